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

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    /// The first of three objects refers to the second, a global to the third; and a cycle begins.
    const MARKING: &str = "0 alloc r0 2 => at 64 16 0\n0 alloc r1 1 => at 80 8 0\n0 alloc r2 1 => at 96 8 0\n\
        0 store r0.0 r1\n0 store g0 r2\n1 join\ngc start => ok; phase mark\n";

    fn marking(law: u16, invariant: &str, then: &str) -> Result<u64, usize> {
        told(law, &format!("invariant={invariant}"), &format!("{MARKING}{then}"))
    }

    #[test]
    fn what_is_stored_does_not_stay_white_under_the_strong_invariant() {
        assert_eq!(marking(70, "strong", "0 store r0.1 r2"), Err(7));
        assert_eq!(marking(70, "strong", "0 store r0.1 r2 => ok; shade 96"), Ok(1));
        assert_eq!(marking(70, "strong", "0 store r0.0 r1"), Ok(0), "it was there");
        assert_eq!(marking(70, "strong", "0 store r0.0 nil"), Ok(0));
        assert_eq!(marking(70, "weak", "0 store r0.1 r2"), Ok(0));
    }

    #[test]
    fn what_a_global_loses_does_not_stay_white_under_a_weak_one() {
        for change in ["store g0 r1", "store g0 nil"] {
            assert_eq!(marking(70, "weak", &format!("0 {change}")), Err(7));
            assert_eq!(marking(70, "weak", &format!("0 {change} => ok; shade 96")), Ok(1));
        }
        assert_eq!(marking(70, "weak", "0 store g0 r2"), Ok(0), "it is still there");
        let said = |then: &str| why(70, "invariant=weak", &format!("{MARKING}{then}"));
        assert_eq!(said("0 store g0 nil"), "c is overwritten in a global and stays white");
        assert_eq!(said("0 wipe r0.0 2"), "b is overwritten in bulk and stays white");
        assert_eq!(marking(70, "weak", "0 store r0.0 r2"), Ok(0), "no global");
        for change in ["wipe r0.0 2", "move r0.0 r0.1 1"] {
            assert_eq!(marking(70, "weak", &format!("0 {change}")), Err(7));
            assert_eq!(marking(70, "weak", &format!("0 {change} => ok; shade 80")), Ok(1));
        }
        assert_eq!(marking(70, "weak", "0 wipe r0.1 1"), Ok(0), "nothing was there");
    }

    #[test]
    fn what_a_field_loses_does_not_stay_white() {
        let (another, nil) = ("0 store r0.0 r2", "0 store r0.0 nil");
        for (law, change, other) in [(71, another, nil), (72, nil, another)] {
            assert_eq!(marking(law, "weak", change), Err(7));
            assert_eq!(marking(law, "weak", &format!("{change} => ok; shade 80")), Ok(1));
            assert_eq!(marking(law, "weak", other), Ok(0));
            assert_eq!(marking(law, "weak", &format!("{change} => ok; phase terminate")), Ok(0), "in another phase");
        }
    }

    #[test]
    fn what_is_handed_to_a_scanned_stack_does_not_stay_white() {
        let scanned = "gc handshake 1 => ok; stack 1\n";
        let sent = |then: &str| marking(73, "modified-weak", then);
        assert_eq!(sent(&format!("{scanned}0 send r1 1.r0")), Err(8));
        assert_eq!(sent(&format!("{scanned}0 send r1 1.r0 => ok; shade 80")), Ok(1));
        assert_eq!(sent("0 send r1 1.r0"), Ok(0), "it will be scanned");
        assert_eq!(sent(&format!("{scanned}gc handshake 0 => ok; stack 0\n0 send r1 1.r0")), Ok(0), "so was its own");
    }

    #[test]
    fn nothing_is_marked_by_mutators_when_nothing_is_being_marked() {
        let off = |then: &str| told(77, "", &format!("0 alloc r0 1 => at 64 8 0\n{then}"));
        for mark in ["shade 64", "scan 64", "stack 0", "globals"] {
            assert_eq!(off(&format!("0 write r0 => ok; {mark}")), Err(1), "{mark}");
            assert_eq!(off(&format!("gc mark 1 => ok; {mark}")), Ok(1), "it is for law 80");
        }
        assert_eq!(off("0 write r0 => ok; free 80"), Ok(2));
        assert_eq!(off("gc start => ok; phase mark\n0 write r0 => ok; shade 64"), Ok(1));
        assert_eq!(off("0 write r0 => ok; phase mark; shade 64"), Ok(1), "it begins");
        assert_eq!(off("0 write r0 => ok; phase mark; shade 64; phase terminate; phase sweep; phase off"), Ok(1));
        let sweep = "gc full => ok; phase mark; phase terminate; phase sweep\n";
        assert_eq!(off(&format!("{sweep}0 write r0 => ok; shade 64")), Err(2));
        assert_eq!(off(&format!("{sweep}0 write r0 => ok; phase off")), Ok(1));
    }
}
