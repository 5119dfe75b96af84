//! Programs for `proptest`: a strategy that draws like the kit and shrinks like the kit.
//!
//! Where proptest would shrink the decisions behind a program, [`Shrinking`] shrinks the program, with the kit's own
//! reducer. Its result does not depend on proptest, only on which programs fail.
//!
//! ```
//! use heaplaw_conformance::generate::{proptest::programs, scenario::Scenario};
//! use proptest::{prop_assert_eq, proptest};
//! proptest! {
//!     fn programs_read_back(sample in programs(Scenario::default())) {
//!         prop_assert_eq!(sample.0.to_string().parse(), Ok(sample.0));
//!     }
//! }
//! programs_read_back();
//! ```

use super::{Sample, choices::Seed, scenario::Scenario};
use crate::shrink::Shrinker;
use proptest::{
    prelude::Rng,
    strategy::{NewTree, Strategy, ValueTree},
    test_runner::TestRunner,
};

/// The programs of a scenario.
pub fn programs(scenario: Scenario) -> Programs {
    Programs { scenario }
}

/// The strategy behind [`programs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    scenario: Scenario,
}

impl Strategy for Programs {
    type Tree = Shrinking;
    type Value = Sample;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let random = runner.rng();
        let mut seed = Seed::case(random.next_u64(), random.next_u64());
        let program = self.scenario.draw(&mut seed);
        Ok(Shrinking { shrinker: Shrinker::new(program.clone()), current: Sample(program) })
    }
}

/// A program on its way to a simpler one.
#[derive(Clone, Debug)]
pub struct Shrinking {
    shrinker: Shrinker,
    /// The candidate that is being tried; the reducer's best if there is none.
    current: Sample,
}

impl Shrinking {
    /// Goes to the next candidate, or back to the best if there is none.
    fn advance(&mut self) -> bool {
        let candidate = self.shrinker.propose();
        let more = candidate.is_some();
        self.current = Sample(candidate.unwrap_or_else(|| self.shrinker.best().clone()));
        more
    }
}

impl ValueTree for Shrinking {
    type Value = Sample;

    fn current(&self) -> Sample {
        self.current.clone()
    }

    /// The current program failed.
    fn simplify(&mut self) -> bool {
        self.shrinker.accept();
        self.advance()
    }

    /// The current program did not fail. What comes next may differ from it in any way, but is again simpler than the
    /// best one that failed; at the end stands that one.
    fn complicate(&mut self) -> bool {
        self.shrinker.reject();
        self.advance()
    }
}
