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
