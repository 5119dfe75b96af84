//! How marking goes: laws 53 to 56, 65, 66 and 84.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    color::Color,
    heap::{Capability, Invariant},
    op::{Collect, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 53,
        name: "strong invariant",
        statement: "While marking, no black object or global refers to a white object.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]).upholding(&[Invariant::Strong]),
        judge: invariant,
    },
    Law {
        number: 54,
        name: "weak invariant",
        statement: "While marking, every white object that something black refers to is grey-protected (by the heap, if the modified invariant is claimed).",
        needs: Needs::of(&[Capability::Phases, Capability::Colors])
            .upholding(&[Invariant::Weak, Invariant::ModifiedWeak]),
        judge: invariant,
    },
    Law {
        number: 55,
        name: "monotone colour",
        statement: "Within a cycle an object only turns from white to grey to black.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: monotone_color,
    },
    Law {
        number: 56,
        name: "grey is queued",
        statement: "An object with fields is grey when it is scanned, and when every stack is scanned and marking finds nothing to do, no object is grey.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: grey_is_queued,
    },
    Law {
        number: 65,
        name: "bounded work",
        statement: "Within a cycle an object is scanned at most once, and one that was born black not at all.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: bounded_work,
    },
    Law {
        number: 66,
        name: "small steps",
        statement: "So many steps of marking scan at most so many objects with fields.",
        needs: Needs::of(&[Capability::Steps, Capability::Phases, Capability::Colors]),
        judge: small_steps,
    },
    Law {
        number: 84,
        name: "scan once",
        statement: "A heap that keeps a weak invariant scans each stack at most once in a cycle.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors])
            .upholding(&[Invariant::Weak, Invariant::ModifiedWeak]),
        judge: scan_once,
    },
];

/// The invariant that the heap claims, after every single operation.
fn invariant(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, outcome) in &reading.invariant {
        match outcome {
            Ok(()) => check.held(),
            Err(offence) => check.failed(*at, offence.to_string(), [offence.to]),
        }
    }
    check.done()
}

fn monotone_color(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for step in &reading.recolorings {
        let back = step.from == Color::Black && step.to == Color::Grey;
        check.that(!back, step.moment, || (format!("{} was black and turns grey again", step.object), [step.object]));
    }
    check.done()
}

fn grey_is_queued(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for step in reading.recolorings.iter().filter(|step| step.to == Color::Black) {
        // A pointer-free object may turn black unseen, and a newborn has the colour that its heap says.
        let Some(life) = reading.life(step.object).filter(|life| life.shape.pointers > 0) else { continue };
        if life.born < step.moment {
            check.that(step.from != Color::White, step.moment, || {
                (format!("{} is scanned and was not grey", step.object), [step.object])
            });
        }
    }
    for (at, left) in &reading.dry {
        match left {
            None => check.held(),
            Some(id) => check.failed(*at, format!("marking finds nothing to do, and {id} is grey"), [*id]),
        }
    }
    check.done()
}

fn small_steps(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut steps = reading.recolorings.iter().filter(|step| step.to == Color::Black).peekable();
    for (at, moment, _) in reading.scenes() {
        let mut scanned = 0;
        while let Some(step) = steps.next_if(|step| step.moment == at) {
            scanned += u32::from(reading.life(step.object).is_some_and(|life| life.shape.pointers > 0));
        }
        if let Op::Collect(Collect::Mark(allowed)) = moment.op {
            check.that(scanned <= allowed, at, || {
                (format!("{allowed} steps of marking were asked for, and {scanned} objects are scanned"), [])
            });
        }
    }
    check.done()
}

fn bounded_work(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for step in reading.recolorings.iter().filter(|step| step.to == Color::Black) {
        check.that(step.from != Color::Black, step.moment, || {
            (format!("{} is black and is scanned again", step.object), [step.object])
        });
    }
    check.done()
}

fn scan_once(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for scan in &reading.stack_scans {
        check.that(!scan.again, scan.moment, || {
            (format!("the stack of mutator {} is scanned for the second time in one cycle", scan.mutator), [])
        });
    }
    check.done()
}
