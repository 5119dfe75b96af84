//! That the books are right: law 123.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Life, Reading};
use heaplaw_reference::heap::{Capability, Reply};

pub(super) const LAWS: &[Law] = &[Law {
    number: 123,
    name: "balance",
    statement: "The statistics count exactly the objects born and not freed, and their usable bytes; of a heap that does not report its frees, at least what is reachable and at most what was ever born.",
    needs: Needs::of(&[Capability::Stats]),
    judge: balance,
}];

fn balance(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let frees = reading.history.claims.tell_frees();
    for (at, moment, _) in reading.scenes() {
        let Reply::Stats { objects, bytes } = moment.reply else { continue };
        let count = |counts: &dyn Fn(&Life) -> bool| {
            let counted = reading.lives().filter(|(_, life)| counts(life)).map(|(_, life)| life.usable);
            counted.fold((0u64, 0u64), |(objects, bytes), usable| (objects + 1, bytes.saturating_add(usable)))
        };
        let (least, most) = match frees {
            true => (count(&|life| life.spans(at)), count(&|life| life.spans(at))),
            false => (count(&|life| life.reachable(at)), count(&|life| life.born <= at)),
        };
        let within = (least.0..=most.0).contains(&objects) && (least.1..=most.1).contains(&bytes);
        check.that(within, at, || {
            let owed = match frees {
                true => format!("born and not freed are {} of {}", least.0, least.1),
                false => format!("reachable are {} of {}, ever born {} of {}", least.0, least.1, most.0, most.1),
            };
            (format!("the statistics say {objects} objects of {bytes} bytes; {owed}"), [])
        });
    }
    check.done()
}
