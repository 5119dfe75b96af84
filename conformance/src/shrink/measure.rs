//! The measure: which of two programs is simpler.
//!
//! Fewer operations come first, then fewer and smaller objects, then less that is done by other mutators than mutator
//! 0, then simpler kinds of operations, then smaller numbers, those of earlier operations first. The order is total up
//! to equality, and there is no endless descent in it: the number of operations cannot fall for ever, and among
//! programs of the same length every component is a fixed number of natural numbers. A reducer that only ever accepts
//! what is strictly smaller must therefore come to an end.

use super::operand;
use heaplaw_reference::{
    object::Shape,
    op::{Action, Collect, Environment, MutatorId, Op, Place},
};

/// How simple a program is: smaller is simpler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    // The derived order compares in the order of these fields.
    ops: usize,
    births: usize,
    /// Bytes asked for, over all allocations.
    bytes: u64,
    /// Alignments asked for, over all allocations.
    aligns: u64,
    /// What other mutators than mutator 0 do.
    others: usize,
    /// The kinds of all operations, added up.
    kinds: u32,
    /// Kind and numbers of each operation.
    lines: Vec<(u32, Vec<u32>)>,
}

impl Measure {
    /// The measure of a program.
    pub fn of(ops: &[Op]) -> Self {
        Measure {
            ops: ops.len(),
            births: ops.iter().filter_map(shape).count(),
            bytes: ops.iter().filter_map(shape).map(Shape::size).sum(),
            aligns: ops.iter().filter_map(shape).map(|shape| u64::from(shape.align)).sum(),
            others: ops.iter().filter(|op| matches!(op, Op::Mutate { by, .. } if *by != MutatorId(0))).count(),
            kinds: ops.iter().map(kind).sum(),
            lines: ops.iter().map(|op| (kind(op), operand::numbers(op))).collect(),
        }
    }
}

fn shape(op: &Op) -> Option<Shape> {
    match op {
        Op::Mutate { action: Action::Alloc { shape, .. }, .. } => Some(*shape),
        _ => None,
    }
}

/// How much there is to understand in an operation of this kind. The order of kinds is also the order in which
/// independent operations end up: what mutators set up first, what the collector does last.
fn kind(op: &Op) -> u32 {
    let in_field = |place: &Place| u32::from(matches!(place, Place::Field { .. }));
    match op {
        Op::Mutate { action, .. } => match action {
            Action::Alloc { .. } => 0,
            Action::Clear(_) => 1,
            Action::Store { into, value } => 2 + in_field(into) + 2 * u32::from(value.is_some()),
            Action::Load { from, .. } => 6 + in_field(from),
            Action::Copy { .. } => 8,
            Action::Read(_) => 9,
            Action::Write(_) => 10,
            Action::Wipe(_) => 11,
            Action::Move { .. } => 12,
            Action::Safepoint => 13,
            Action::Join => 14,
            Action::Exit => 15,
            Action::Send { .. } => 16,
            Action::Park => 17,
            Action::Unpark => 18,
            Action::Weak { .. } => 19,
            Action::Strong { .. } => 20,
            Action::Finalizer(_) => 21,
            Action::Finalize(_) => 22,
            Action::Cleanup { .. } => 23,
            Action::Clean(_) => 24,
            Action::Free(_) => 25,
            _ => 26,
        },
        Op::Collect(step) => match step {
            Collect::Start => 27,
            Collect::Handshake(_) => 28,
            Collect::Mark(_) => 29,
            Collect::Finish => 30,
            Collect::Sweep(_) => 31,
            Collect::Full => 32,
            Collect::Stats => 33,
            Collect::Abort => 34,
            Collect::Pace => 35,
            _ => 36,
        },
        Op::Environment(Environment::Clock(_)) => 37,
        Op::Environment(Environment::Gogc(_)) => 38,
        Op::Environment(Environment::Limit(_)) => 39,
        Op::Environment(_) => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::Program;

    #[test]
    fn every_kind_of_operation_has_its_place() {
        let rising = [
            "0 alloc r0 0",
            "0 clear r0",
            "0 store g0 nil",
            "0 store r0.0 nil",
            "0 store g0 r0",
            "0 store r0.0 r0",
            "0 load r0 g0",
            "0 load r0 r0.0",
            "0 copy r0 r0",
            "0 read r0",
            "0 write r0",
            "0 wipe r0.0 1",
            "0 move r0.0 r0.0 1",
            "0 safepoint",
            "1 join",
            "1 exit",
            "0 send r0 1.r0",
            "0 park",
            "0 unpark",
            "0 weak w0 r0",
            "0 strong r0 w0",
            "0 finalizer r0",
            "0 finalize r0",
            "0 cleanup r0 r0",
            "0 clean r0",
            "0 free r0",
            "gc start",
            "gc handshake 0",
            "gc mark 1",
            "gc finish",
            "gc sweep 1",
            "gc full",
            "gc stats",
            "gc abort",
            "gc pace",
            "env clock 1",
            "env gogc 1",
            "env limit 1",
            "env fail 1",
        ];
        // 26 and 36 are for what is not known here.
        let places = (0..=25).chain(27..=35).chain(37..=40).collect::<Vec<_>>();
        assert_eq!(rising.map(|line| kind(&line.parse().expect(line))).to_vec(), places);
    }

    #[test]
    fn simpler_programs_measure_less() {
        let rising = [
            "",
            "gc full",
            "0 alloc r0 0",
            "0 alloc r1 0",
            "0 alloc r0 0 1",
            "0 alloc r0 0 9",
            "0 alloc r0 0 9 @16",
            "0 alloc r1 0 9 @16",
            "0 alloc r0 0 9 @64",
            "0 clear r0\n0 store g0 r0",
            "0 alloc r0 0\n0 clear r0",
            "0 alloc r0 0\n0 store g0 nil",
            "0 alloc r0 0\n0 store g0 r0",
            "0 alloc r0 0\n0 store g1 r0",
            "0 alloc r0 0\n0 join",
            "0 alloc r0 0\ngc mark 1",
            "0 alloc r0 0\ngc mark 2",
            "0 alloc r0 0\n1 clear r0",
            "0 alloc r0 1\n0 store r0.0 nil",
            "0 alloc r0 1\n0 wipe r0.0 1",
            "0 alloc r0 0\n0 clear r0\ngc start",
            "0 alloc r0 0\ngc start\n0 clear r0",
        ];
        let measures = rising.map(|text| Measure::of(text.parse::<Program>().unwrap().ops()));
        for (text, pair) in rising.iter().skip(1).zip(measures.windows(2)) {
            assert!(pair[0] < pair[1], "{text}");
        }
    }
}
