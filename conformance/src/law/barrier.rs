//! What stores owe while marking: laws 70 to 73; and that they owe nothing at other times: law 77.
//!
//! The invariants of laws 53 and 54 say what must be true of the whole heap. A barrier that is left out somewhere breaks
//! them only if nothing else happens to protect the object in question, so most of the time nobody notices. These laws
//! look at each single operation instead, without the collector's help: what it overwrote, stored or handed over is known
//! from the program, and if that was white it has to be shaded by the time the operation is over.
//!
//! That is more than soundness needs. A barrier may ask for the colour of the object that is stored into, or log each
//! object once, and be right. So these laws judge only heaps that [claim](Capability::Barrier) to do neither. A heap that
//! defers its shades may still claim it, if it reports each as soon as it is recorded, as [`Event::Shade`] asks.
//!
//! What may be left out in any case is not asked for: a pointer that an operation overwrites and leaves there as well, and
//! anything that was marked before.
//!
//! [`Event::Shade`]: heaplaw_reference::event::Event::Shade

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Deed, Reading};
use heaplaw_reference::{
    event::{Event, Phase},
    heap::{Capability, Invariant},
    op::Op,
};

const BARRIER: Needs = Needs::of(&[Capability::Barrier, Capability::Phases, Capability::Colors]);
const WEAK: &[Invariant] = &[Invariant::Weak, Invariant::ModifiedWeak];

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 70,
        name: "covers all stores",
        statement: "While marking, no store goes past the barrier: what a move, a wipe or a store into a global overwrites (under a weak invariant) or what any store or move puts anywhere (under the strong one) does not stay white.",
        needs: BARRIER.upholding(&Invariant::ALL),
        judge: covers_all_stores,
    },
    Law {
        number: 71,
        name: "old value first",
        statement: "While marking, what a store of another pointer overwrites in a field does not stay white.",
        needs: BARRIER.upholding(WEAK),
        judge: old_value_first,
    },
    Law {
        number: 72,
        name: "nil is not special",
        statement: "While marking, what a store of nil overwrites in a field does not stay white.",
        needs: BARRIER.upholding(WEAK),
        judge: nil_is_not_special,
    },
    Law {
        number: 73,
        name: "hand-over shade",
        statement: "While marking, what a mutator whose stack was not scanned hands to one whose stack was does not stay white.",
        // A snapshot has scanned all stacks when mutators run.
        needs: BARRIER.upholding(&[Invariant::ModifiedWeak]),
        judge: hand_over_shade,
    },
    Law {
        number: 77,
        name: "off is free",
        statement: "When nothing is being marked, what a mutator does shades and scans nothing.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: off_is_free,
    },
];

fn covers_all_stores(reading: &Reading<'_>) -> Judgement {
    match reading.history.claims.invariant {
        Some(Invariant::Strong) => paid(reading, &[(Deed::Stored, "is stored")]),
        _ => paid(
            reading,
            &[(Deed::LostByGlobal, "is overwritten in a global"), (Deed::LostInBulk, "is overwritten in bulk")],
        ),
    }
}

fn old_value_first(reading: &Reading<'_>) -> Judgement {
    paid(reading, &[(Deed::Replaced, "is overwritten")])
}

fn nil_is_not_special(reading: &Reading<'_>) -> Judgement {
    paid(reading, &[(Deed::Erased, "is overwritten with nil")])
}

fn hand_over_shade(reading: &Reading<'_>) -> Judgement {
    paid(reading, &[(Deed::HandedOver, "is handed to a stack that was scanned")])
}

fn off_is_free(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut phase = Phase::Off;
    for (at, moment, scene) in reading.scenes() {
        let quiet = matches!(phase, Phase::Off | Phase::Sweep) && scene.phase == phase;
        // An operation that begins a cycle and ends it comes back to the phase it began in.
        let cycle = moment.events.iter().any(|event| matches!(event, Event::Phase(_)));
        if matches!(moment.op, Op::Mutate { .. }) && quiet && !cycle {
            let marks = |event: &&Event| {
                matches!(event, Event::Shade(_) | Event::Scan(_) | Event::ScanStack(_) | Event::ScanGlobals)
            };
            check.that(!moment.events.iter().any(|event| marks(&event)), at, || {
                (format!("an operation marks something in the phase {phase}"), [])
            });
        }
        phase = scene.phase;
    }
    check.done()
}

/// Checks that whatever was owed for these deeds was paid.
fn paid(reading: &Reading<'_>, deeds: &[(Deed, &str)]) -> Judgement {
    let mut check = Check::default();
    for owed in &reading.owed {
        let Some((_, done)) = deeds.iter().find(|(deed, _)| *deed == owed.deed) else { continue };
        check.that(owed.paid, owed.moment, || (format!("{} {done} and stays white", owed.object), [owed.object]));
    }
    check.done()
}
