//! Names in the order of first use, and operations in the order of their kinds, so that equal failures read the same.

use crate::shrink::{
    edit::Edit,
    measure::Measure,
    operand::{Operand, at_place, changed, place},
    trace::Line,
};
use heaplaw_reference::{
    object::ObjectId,
    op::{Action, MutatorId, Op, Place, Root},
};
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// Names that are given out in order.
struct Names<K> {
    given: HashMap<K, u32>,
}

impl<K: Eq + Hash> Names<K> {
    fn new() -> Self {
        Names { given: HashMap::new() }
    }

    fn of(&mut self, key: K) -> u32 {
        let next = self.given.len() as u32;
        *self.given.entry(key).or_insert(next)
    }
}

/// Everything at once, and each kind of name alone.
pub(super) fn by_first_use(lines: &[Line]) -> Vec<Edit> {
    let old: Vec<Op> = lines.iter().map(|line| line.op).collect();
    let fields = fields(lines);
    let all = mutators(&roots(&shared(&fields)));
    let edit = |ops: Vec<Op>| Edit::change(ops.into_iter().enumerate());
    [all, fields, shared(&old), roots(&old), mutators(&old)].map(edit).into()
}

/// Globals and weak slots.
fn shared(ops: &[Op]) -> Vec<Op> {
    let (mut globals, mut weaks) = (Names::new(), Names::new());
    // No more names than there are globals; the same goes for weak slots, roots and mutators.
    let mut rename = |operand: Operand<'_>| match operand {
        Operand::Global(number) => *number = globals.of(*number) as u8,
        Operand::Weak(slot) => slot.0 = weaks.of(slot.0) as u8,
        _ => {}
    };
    ops.iter().map(|op| changed(op, &mut rename)).collect()
}

/// The roots of each mutator by themselves.
fn roots(ops: &[Op]) -> Vec<Op> {
    let mut names: HashMap<MutatorId, Names<Root>> = HashMap::new();
    let mut rename = |operand: Operand<'_>| {
        if let Operand::Read(by, root) | Operand::Write(by, root) = operand {
            *root = Root(names.entry(by).or_insert_with(Names::new).of(*root) as u8);
        }
    };
    ops.iter().map(|op| changed(op, &mut rename)).collect()
}

/// Mutator 0 keeps its name: it is there from the start.
fn mutators(ops: &[Op]) -> Vec<Op> {
    let mut names = Names::new();
    names.of(MutatorId(0));
    let mut rename = |operand: Operand<'_>| {
        if let Operand::Mutator(mutator) = operand {
            *mutator = MutatorId(names.of(*mutator) as u8);
        }
    };
    ops.iter().map(|op| changed(op, &mut rename)).collect()
}

/// The fields of each object by themselves, unless some operation takes several of them at once.
fn fields(lines: &[Line]) -> Vec<Op> {
    let in_runs: HashSet<ObjectId> = lines
        .iter()
        .filter(|line| matches!(line.op, Op::Mutate { action: Action::Move { .. } | Action::Wipe(_), .. }))
        .flat_map(|line| line.reads.iter().copied().flatten())
        .collect();
    let mut names: HashMap<ObjectId, Names<u32>> = HashMap::new();
    let mut renamed = |line: &Line| match (place(&line.op), line.reads.first()) {
        (Some(Place::Field { of, index }), Some(Some(object))) if !in_runs.contains(object) => {
            let index = names.entry(*object).or_insert_with(Names::new).of(index);
            at_place(&line.op, Place::Field { of, index })
        }
        _ => line.op,
    };
    lines.iter().map(&mut renamed).collect()
}

/// Neighbours change places if they are simpler that way.
pub(super) fn neighbours(lines: &[Line]) -> Vec<Edit> {
    let simpler_first = |pair: &[Line]| Measure::of(&[pair[1].op, pair[0].op]) < Measure::of(&[pair[0].op, pair[1].op]);
    let pairs = lines.windows(2).enumerate();
    pairs.filter(|(_, pair)| simpler_first(pair)).map(|(at, _)| Edit::Swap(at)).collect()
}
