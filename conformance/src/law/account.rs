//! That the books are right: laws 10, 123 and 127.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Life, Reading, Report};
use heaplaw_reference::{
    heap::{Capability, Reply},
    object::TINY_BLOCK,
    op::{Collect, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 10,
        name: "total failure",
        statement: "From one look at the statistics to the next they grow by no more than was born in between: an allocation that is refused does not count.",
        needs: Needs::of(&[Capability::Stats]),
        judge: total_failure,
    },
    Law {
        number: 123,
        name: "balance",
        statement: "The statistics count exactly the objects born and not freed, and their usable bytes; of a heap that does not report its frees, at least what is reachable and at most what was ever born.",
        needs: Needs::of(&[Capability::Stats]),
        judge: balance,
    },
    Law {
        number: 127,
        name: "live after collection",
        statement: "Right after a full collection the statistics count no more than what is kept: no garbage, however it is connected, and neither does what the pacer takes for live, which is never less than what is reachable.",
        needs: Needs::of(&[Capability::Stats, Capability::Collect]),
        judge: live_after_collection,
    },
];

/// How many lives there are, and their usable bytes.
fn sum<'r>(lives: impl Iterator<Item = &'r Life>) -> (u64, u64) {
    lives.fold((0, 0), |(objects, bytes), life| (objects + 1, bytes.saturating_add(life.usable)))
}

fn total_failure(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // What the statistics can be at most, since they were last seen; a fresh heap holds nothing.
    let (mut most_objects, mut most_bytes) = (0u64, 0u64);
    for (at, moment, _) in reading.scenes() {
        match moment.reply {
            Reply::Born { usable, .. } => {
                most_objects = most_objects.saturating_add(1);
                most_bytes = most_bytes.saturating_add(usable);
            }
            Reply::Stats { objects, bytes } => {
                check.that(objects <= most_objects && bytes <= most_bytes, at, || {
                    let most = format!("{most_objects} of {most_bytes}");
                    (format!("the statistics say {objects} objects of {bytes} bytes; born were {most} at most"), [])
                });
                (most_objects, most_bytes) = (objects, bytes);
            }
            _ => {}
        }
    }
    check.done()
}

fn balance(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let frees = reading.history.claims.tell_frees();
    for (at, moment, _) in reading.scenes() {
        let Reply::Stats { objects, bytes } = moment.reply else { continue };
        let count =
            |counts: &dyn Fn(&Life) -> bool| sum(reading.lives().map(|(_, life)| life).filter(|life| counts(life)));
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

fn live_after_collection(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    live_estimate(reading, &mut check);
    let mut collected = false;
    for (at, moment, _) in reading.scenes() {
        let Reply::Stats { objects, bytes } = moment.reply else {
            collected = moment.op == Op::Collect(Collect::Full) && moment.reply == Reply::Done;
            continue;
        };
        if !collected {
            continue;
        }
        let (kept, most) = kept_and_spared(reading, at);
        // That nothing is missing is law 123.
        check.that(objects <= most.0 && bytes <= most.1, at, || {
            let kept = format!("kept are {} of {}", kept.0, kept.1);
            (format!("after a full collection the statistics say {objects} objects of {bytes} bytes; {kept}"), [])
        });
    }
    check.done()
}

/// What is kept after a moment, and that together with what may be there for its sake: objects and bytes.
fn kept_and_spared(reading: &Reading<'_>, at: usize) -> ((u64, u64), (u64, u64)) {
    let lives = || reading.lives().map(|(_, life)| life);
    let kept = sum(lives().filter(|life| life.kept(at)));
    let spared = sum(lives().filter(|life| !life.kept(at) && may_be_spared(reading, life, at)));
    (kept, (kept.0 + spared.0, kept.1.saturating_add(spared.1)))
}

/// Checks what a pacer takes for live.
fn live_estimate(reading: &Reading<'_>, check: &mut Check) {
    for Report { moment, gauge, .. } in &reading.reports {
        let (at, live) = (*moment, gauge.live);
        let reachable = sum(reading.lives().map(|(_, life)| life).filter(|life| life.reachable(at))).1;
        check.that(live >= reachable, at, || {
            (format!("the pacer takes {live} bytes for live; {reachable} are reachable"), [])
        });
        // Other questions that change nothing may come in between.
        let asks = |op: &Op| matches!(op, Op::Collect(Collect::Stats | Collect::Pace));
        let last = reading.history.moments[..at].iter().rfind(|moment| !asks(&moment.op));
        if last.is_some_and(|last| last.op == Op::Collect(Collect::Full) && last.reply == Reply::Done) {
            let (_, most) = kept_and_spared(reading, at);
            check.that(live <= most.1, at, || {
                let most = most.1;
                (format!("after a full collection the pacer takes {live} bytes for live; kept are {most}"), [])
            });
        }
    }
}

/// Whether an object that is garbage may be there for the sake of a tiny neighbour that is kept.
fn may_be_spared(reading: &Reading<'_>, life: &Life, at: usize) -> bool {
    let addresses = reading.history.claims.has(Capability::Addresses);
    let block = |life: &Life| life.address.0 / TINY_BLOCK;
    let neighbour = |other: &Life| !addresses || block(other) == block(life);
    life.shape.is_tiny()
        && life.spans(at)
        && reading.lives().any(|(_, other)| other.shape.is_tiny() && other.kept(at) && neighbour(other))
}

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    #[test]
    fn the_statistics_grow_by_what_is_born() {
        let stats =
            |then: &str| told(10, "", &format!("0 alloc r0 0 32 => at 64 32 0\n0 alloc r1 0 9 => full\n{then}"));
        assert_eq!(stats("gc stats => stats 1 32"), Ok(1));
        assert_eq!(["2 32", "1 33"].map(|told| stats(&format!("gc stats => stats {told}"))), [Err(2); 2]);
        assert_eq!(stats("gc stats => stats 0 0\ngc stats => stats 1 32"), Err(3), "nothing was born in between");
        assert_eq!(stats("gc stats => stats 0 0\n0 alloc r1 0 8 => at 128 8 0\ngc stats => stats 1 8"), Ok(2));
    }

    #[test]
    fn the_statistics_count_what_there_is() {
        let born = "0 alloc r0 0 32 => at 64 32 0\n0 alloc r1 0 16 => at 128 16 0\n0 clear r1\n";
        let counted = |claims: &str, then: &str, stats: &str| {
            told(123, claims, &format!("{born}{then}gc stats => stats {stats}"))
        };
        let frees = ["1 48", "2 47", "2 48", "2 49", "3 48"].map(|stats| counted("frees", "", stats).is_ok());
        assert_eq!(frees, [false, false, true, false, false]);
        assert_eq!(counted("frees", "gc full => ok; free 128\n", "1 32"), Ok(1));
        let unseen = ["0 32", "1 31", "1 32", "2 48", "3 48", "2 49"].map(|stats| counted("", "", stats).is_ok());
        assert_eq!(unseen, [false, false, true, true, false, false]);
    }

    #[test]
    fn a_full_collection_leaves_no_garbage_in_the_statistics() {
        let collected = |then: &str| told(127, "", &format!("0 alloc r0 0 32 => at 64 32 0\n0 clear r0\n{then}"));
        let stats = ["0 0", "1 0", "0 1"].map(|stats| collected(&format!("gc full\ngc stats => stats {stats}")));
        assert_eq!(stats, [Ok(1), Err(3), Err(3)]);
        assert_eq!(collected("gc full\ngc stats => stats 0 0\ngc stats => stats 1 0"), Err(4));
        assert_eq!(collected("gc full => idle\ngc stats => stats 1 32"), Ok(0), "it was none");
        assert_eq!(collected("gc full\n0 safepoint\ngc stats => stats 1 32"), Ok(0));
    }

    #[test]
    fn garbage_is_excused_by_a_tiny_neighbour_that_is_kept() {
        let two = |claims: &str, one: &str, other: &str, then: &str| {
            let born = format!("0 alloc r0 {one} 0\n0 alloc r1 {other} 0\n0 clear r0\n{then}");
            let bytes = if other.ends_with("16") { 24 } else { 16 };
            told(127, claims, &format!("{born}gc stats => stats 2 {bytes}")).is_ok()
        };
        let full = "gc full\n";
        assert!(two("addresses", "0 8 => at 64 8", "0 8 => at 72 8", full));
        assert!(!two("addresses", "0 8 => at 64 8", "0 8 => at 80 8", full), "another block");
        assert!(two("", "0 8 => at 64 8", "0 8 => at 80 8", full), "who knows where they are");
        assert!(!two("addresses", "0 8 => at 64 8", "0 16 => at 72 16", full), "what is not tiny is no neighbour");
        assert!(!two("addresses", "1 0 => at 64 8", "0 8 => at 72 8", full), "nor has it one");
        assert!(!two("addresses", "0 8 => at 64 8", "0 8 => at 72 8", "0 clear r1\ngc full\n"), "it is garbage too");
        assert!(
            !two("addresses frees", "0 8 => at 64 8", "0 8 => at 72 8", "gc full => ok; free 64\n"),
            "it was freed"
        );
        // It goes for the pacer, too.
        let paced = |at: u64, live: u64| {
            let born = format!("0 alloc r0 0 8 => at 64 8 0\n0 alloc r1 0 8 => at {at} 8 0\n0 clear r0\n{full}");
            told(127, "addresses", &format!("{born}gc pace => pace live={live}"))
        };
        assert_eq!([paced(72, 16), paced(72, 17), paced(80, 16), paced(80, 8)], [Ok(2), Err(4), Err(4), Ok(2)]);
    }

    #[test]
    fn what_a_pacer_takes_for_live_is_what_is_kept_after_a_full_collection() {
        let live = |before: &str, live: u64| {
            let two = "0 alloc r0 0 32 => at 64 32 0\n0 alloc r1 0 16 => at 128 16 0\n0 clear r1\n";
            told(127, "", &format!("{two}{before}gc pace => pace live={live}")).is_ok()
        };
        assert_eq!([31, 32, 48, 99].map(|bytes| live("", bytes)), [false, true, true, true]);
        assert_eq!([31, 32, 33].map(|bytes| live("gc full\n", bytes)), [false, true, false]);
        assert!(!live("gc full\ngc stats => stats 1 32\ngc pace => pace live=32\n", 33), "only looked");
        assert!(live("gc full\n0 safepoint\n", 33) && live("gc full => idle\n", 33) && live("gc start\n", 33));
    }
}
