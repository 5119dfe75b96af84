//! What objects hold, and that it is the same every time: laws 5, 6, 13 and 14.

use super::{Check, Judgement, Law, Needs};
use crate::{history::Twice, reading::Reading};
use heaplaw_reference::{
    graph::Effect,
    heap::{Capability, Reply},
    object::{Content, ObjectId},
    op::{Action, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 5,
        name: "zeroed",
        statement: "The memory of a new object reads zero.",
        needs: Needs::NOTHING,
        judge: zeroed,
    },
    Law {
        number: 6,
        name: "content stability",
        statement: "The data of an object changes only when it is written.",
        needs: Needs::NOTHING,
        judge: content_stability,
    },
    Law {
        number: 13,
        name: "determinism",
        statement: "A program that is run again on a fresh heap gets the same answers and the same events, but for where objects lie.",
        needs: Needs::of(&[Capability::Deterministic]).twice(),
        judge: determinism,
    },
    Law {
        number: 14,
        name: "cross equivalence",
        statement: "A load finds exactly what the reference finds: the same object, or nil.",
        needs: Needs::NOTHING,
        judge: cross_equivalence,
    },
];

fn zeroed(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        check.that(life.found == Content::ZERO, life.born, || {
            let whose = stamped_by(reading, life.found, life.born);
            (format!("the memory of new {id} holds {}{whose}", life.found), [id])
        });
    }
    check.done()
}

fn content_stability(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        let (Effect::Read(id), Reply::Data(found), Some(expected)) = (scene.effect, &moment.reply, scene.expected)
        else {
            continue;
        };
        check.that(*found == expected, at, || {
            let whose = stamped_by(reading, *found, at);
            (format!("{id} was filled with {expected} and now holds {found}{whose}"), [id])
        });
    }
    check.done()
}

fn determinism(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    match &reading.history.twice {
        Twice::NotTried => {}
        Twice::Same => check.held(),
        Twice::Different { moment, then } => {
            check.failed(*moment, format!("when the program is run once more, the answer here is {then:?}"), []);
        }
    }
    check.done()
}

fn cross_equivalence(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        let Effect::Loaded(expected) = scene.effect else { continue };
        match (expected, &moment.reply) {
            (Some(id), Reply::Nil) => {
                check.failed(at, format!("{id} was stored there, and nil is loaded"), [id]);
            }
            (None, Reply::Object(seen)) => {
                check.failed(at, format!("nil was stored there, and {} is loaded", named(reading, *seen, at)), []);
            }
            (Some(id), Reply::Object(seen)) => {
                let here = reading.life(id).is_none_or(|life| life.address == *seen);
                // An address where nobody lives is a matter for law 7, if addresses mean something.
                let judged_here =
                    reading.owner(*seen, at).is_some() || !reading.history.claims.has(Capability::Addresses);
                check.that(here || !judged_here, at, || {
                    (format!("{id} was stored there, and {} is loaded", named(reading, *seen, at)), [id])
                });
            }
            (None, Reply::Nil) => check.held(),
            _ => {}
        }
    }
    check.done()
}

fn named(reading: &Reading<'_>, address: heaplaw_reference::object::Address, at: usize) -> String {
    reading.owner(address, at).map_or_else(|| format!("{address}, where no object lives,"), |id| id.to_string())
}

/// Who wrote this content, if it was somebody: ", which is b's".
fn stamped_by(reading: &Reading<'_>, content: Content, until: usize) -> String {
    let Content::Uniform(stamp @ 1..) = content else { return String::new() };
    // Stamps are handed out in order to allocations and writes.
    let stamped = reading.scenes().take(until + 1).filter(|(_, moment, _)| {
        matches!(moment.op, Op::Mutate { action: Action::Alloc { .. } | Action::Write(_), .. })
    });
    let mut births = 0;
    for (number, (_, moment, _)) in (1..).zip(stamped) {
        let alloc = matches!(moment.op, Op::Mutate { action: Action::Alloc { .. }, .. });
        if number == stamp && alloc {
            return format!(", which is {}'s", ObjectId(births));
        }
        births += u32::from(alloc);
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    /// Of two objects the first refers to the second; then one of their fields is loaded.
    const TWO: &str = "0 alloc r0 1 => at 64 8 0\n0 alloc r1 1 => at 80 8 0\n0 store r0.0 r1\n";

    #[test]
    fn a_load_finds_what_was_stored() {
        let loaded = |claims, load: &str| told(14, claims, &format!("{TWO}0 load r2 {load}"));
        let full = ["r0.0 => ref 80", "r0.0 => ref 64", "r0.0 => nil"].map(|load| loaded("", load));
        assert_eq!(full, [Ok(1), Err(3), Err(3)]);
        assert_eq!(["r1.0 => nil", "r1.0 => ref 64"].map(|load| loaded("", load)), [Ok(1), Err(3)]);
        // Where nobody lives: if addresses mean something, it has moved, which is for law 7.
        assert_eq!(["", "addresses"].map(|claims| loaded(claims, "r0.0 => ref 96")), [Err(3), Ok(1)]);
        let said = |load: &str| why(14, "", &format!("{TWO}0 load r2 {load}"));
        assert_eq!(said("r0.0 => ref 64"), "b was stored there, and a is loaded");
        assert_eq!(said("r0.0 => nil"), "b was stored there, and nil is loaded");
        assert_eq!(said("r1.0 => ref 96"), "nil was stored there, and 0x60, where no object lives, is loaded");
    }

    #[test]
    fn data_that_is_not_an_objects_own_is_told_whose_it_is() {
        let story = "0 alloc r0 0 8 => at 64 8 0\n0 alloc r1 0 8 => at 80 8 0\n0 write r0\n\
            0 alloc r2 0 8 => at 96 8 0\n";
        let read = |root: &str, stamp: u64| format!("{story}0 read {root} => data {stamp}");
        assert_eq!([told(6, "", &read("r1", 2)), told(6, "", &read("r0", 3))], [Ok(1); 2]);
        let stamps = [0, 1, 3, 4, 5].map(|stamp| why(6, "", &read("r1", stamp)));
        assert!(stamps[1].ends_with(", which is a's") && stamps[3].ends_with(", which is c's"), "{stamps:?}");
        assert!([0, 2, 4].iter().all(|place| !stamps[*place].contains("which")), "nobody's, or written: {stamps:?}");
    }

    #[test]
    fn new_memory_reads_zero() {
        let born = |found: &str| format!("0 alloc r0 0 8 => at 64 8 0\n0 alloc r1 0 8 => at 80 8 {found}");
        assert_eq!(["0", "1", "torn@3"].map(|found| told(5, "", &born(found))), [Ok(2), Err(1), Err(1)]);
        assert!(why(5, "", &born("1")).ends_with(", which is a's"));
        assert!(why(5, "", &born("2")).ends_with(", which is b's"), "the stamp that it is going to have");
    }
}
