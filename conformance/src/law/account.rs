//! That the books are right: law 123.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::heap::{Capability, Reply};

pub(super) const LAWS: &[Law] = &[Law {
    number: 123,
    name: "balance",
    statement: "The statistics count exactly the objects born and not freed, and their usable bytes.",
    needs: Needs::of(&[Capability::Stats, Capability::Frees]),
    judge: balance,
}];

fn balance(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, _) in reading.scenes() {
        let Reply::Stats { objects, bytes } = moment.reply else { continue };
        let alive: Vec<_> = reading.lives().filter(|(_, life)| life.spans(at)).map(|(_, life)| life.usable).collect();
        let (owed_objects, owed_bytes) = (alive.len() as u64, alive.iter().fold(0u64, |sum, n| sum.saturating_add(*n)));
        check.that((objects, bytes) == (owed_objects, owed_bytes), at, || {
            let why = format!(
                "the statistics say {objects} objects of {bytes} bytes; born and not freed are {owed_objects} of {owed_bytes}"
            );
            (why, [])
        });
    }
    check.done()
}
