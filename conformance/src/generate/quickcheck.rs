//! Programs for `quickcheck`: [`Arbitrary`] for [`Sample`].
//!
//! The generator's size is the number of operations. Shrinking offers the candidates of the kit's own reducer;
//! quickcheck begins again with each one that fails, which costs some repetition and gives the same kind of result.

use super::{Sample, choices::Seed, scenario::Scenario};
use crate::shrink::Shrinker;
use quickcheck::{Arbitrary, Gen};

impl Arbitrary for Sample {
    fn arbitrary(random: &mut Gen) -> Self {
        let ops = u32::try_from(random.size()).unwrap_or(u32::MAX);
        let mut seed = Seed::case(u64::arbitrary(random), u64::arbitrary(random));
        let mut scenario = Scenario::default();
        scenario.ops = ops;
        Sample(scenario.draw(&mut seed))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let mut shrinker = Shrinker::new(self.0.clone());
        Box::new(std::iter::from_fn(move || shrinker.propose().map(Sample)))
    }
}
