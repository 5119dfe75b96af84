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

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    /// Two objects, one with pointers and one without, and a cycle that begins.
    const MARKING: &str = "0 alloc r0 1 => at 64 8 0\n0 alloc r1 0 8 => at 80 8 0\ngc start => ok; phase mark\n";

    fn marking(law: u16, then: &str) -> Result<u64, usize> {
        told(law, "invariant=weak", &format!("{MARKING}{then}"))
    }

    #[test]
    fn colours_only_darken() {
        assert_eq!(marking(55, "gc mark 1 => ok; shade 64; scan 64"), Ok(2));
        assert_eq!(marking(55, "gc mark 1 => ok; scan 64; shade 64"), Err(3));
    }

    #[test]
    fn what_has_fields_is_grey_before_it_is_black() {
        assert_eq!(marking(56, "gc mark 1 => ok; shade 64; scan 64"), Ok(1));
        assert_eq!(marking(56, "gc mark 1 => ok; scan 64"), Err(3));
        assert_eq!(marking(56, "gc mark 1 => ok; scan 80"), Ok(0), "nothing to look into");
        assert_eq!(marking(56, "0 alloc r2 1 => at 96 8 0 white; scan 96"), Ok(0), "a newborn");
    }

    #[test]
    fn nothing_is_grey_when_marking_finds_nothing_to_do() {
        let grey = |then: &str| marking(56, &format!("gc handshake 0 => ok; shade 64\n{then}"));
        assert_eq!(grey("gc mark 1 => idle"), Err(4));
        assert_eq!(grey("gc mark 1 => idle; shade 64; scan 64"), Ok(2));
        assert_eq!(grey("gc mark 1048576 => ok"), Err(4), "as many steps as there can be");
        assert_eq!(grey("gc mark 1048575 => ok"), Ok(0), "more may be to come");
        assert_eq!(grey("0 write r0\ngc mark 1 => idle"), Ok(0), "somebody may have shaded since");
        assert_eq!(grey("env gogc 50\ngc mark 1 => idle"), Ok(0));
        assert_eq!(grey("gc stats => stats 2 16\ngc mark 1 => idle"), Err(5));
        assert_eq!(grey("1 join\ngc handshake 0\ngc mark 1 => idle"), Ok(0), "not everybody was greeted");
        assert_eq!(grey("1 join\ngc handshake 0\ngc handshake 1\ngc mark 1 => idle"), Err(7));
        assert_eq!(grey("gc finish => ok; scan 64; phase terminate; phase sweep\ngc mark 1 => idle"), Ok(1));
    }

    #[test]
    fn an_object_is_scanned_once_in_a_cycle() {
        assert_eq!(marking(65, "gc mark 1 => ok; shade 64; scan 64"), Ok(1));
        assert_eq!(marking(65, "gc mark 1 => ok; shade 64; scan 64\ngc mark 1 => ok; scan 64"), Err(4));
    }

    #[test]
    fn a_step_of_marking_is_one_object_with_fields() {
        let two = "0 alloc r2 1 => at 96 8 0 white\n";
        let marked = |then: &str| marking(66, &format!("{two}{then}"));
        assert_eq!(marked("gc mark 2 => ok; shade 64 96; scan 64 96"), Ok(1));
        assert_eq!(marked("gc mark 1 => ok; shade 64 96; scan 64 96"), Err(4));
        assert_eq!(marked("gc mark 1 => ok; shade 64 80; scan 80 64"), Ok(1), "one has none");
        assert_eq!(marked("0 write r0 => ok; shade 64; scan 64\ngc mark 1 => ok; shade 96; scan 96"), Ok(1));
    }

    #[test]
    fn a_stack_is_scanned_once_in_a_cycle() {
        let next = "gc finish => ok; phase terminate; phase sweep; phase off\ngc start => ok; phase mark\n";
        assert_eq!(marking(84, &format!("gc handshake 0 => ok; stack 0\n{next}gc handshake 0 => ok; stack 0")), Ok(2));
        assert_eq!(marking(84, "gc handshake 0 => ok; stack 0\ngc handshake 0 => ok; stack 0"), Err(4));
        assert_eq!(marking(84, "gc handshake 0 => ok; stack 0\n1 join\ngc handshake 1 => ok; stack 1"), Ok(2));
    }
}
