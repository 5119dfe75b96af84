//! Merging: one thing does the work of two.

use crate::shrink::{
    edit::Edit,
    operand::{Operand, at_place, changed, place, target},
    trace::Line,
};
use heaplaw_reference::{
    object::ObjectId,
    op::{Action, Collect, GLOBALS, MutatorId, Op, Place, ROOTS, Root},
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Programs with more steps of the collector, or more overwritten roots, are not searched for pairs of them.
const PAIRS_UP_TO: usize = 24;

/// All pairs of different positions out of `positions`, both ways round.
fn pairs(positions: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let positions = if positions.len() <= PAIRS_UP_TO { positions } else { &[] };
    let partners = move |one: usize| positions.iter().map(move |other| (one, *other));
    positions.iter().flat_map(move |one| partners(*one)).filter(|(one, other)| one != other)
}

/// The positions of operations with some property.
fn positions(lines: &[Line], property: impl Fn(&Op) -> bool) -> Vec<usize> {
    lines.iter().enumerate().filter(|(_, line)| property(&line.op)).map(|(at, _)| at).collect()
}

/// Two runs of marking or of sweeping become one; any steps become a full collection.
pub(super) fn steps(lines: &[Line]) -> Vec<Edit> {
    let collects = positions(lines, |op| matches!(op, Op::Collect(_)));
    let mut edits: Vec<Edit> = collects.iter().map(|at| full_from(lines, *at)).collect();
    for (dropped, kept) in pairs(&collects) {
        let joined = match (lines[dropped].op, lines[kept].op) {
            (Op::Collect(Collect::Mark(one)), Op::Collect(Collect::Mark(two))) => {
                Some(Collect::Mark(one.saturating_add(two)))
            }
            (Op::Collect(Collect::Sweep(one)), Op::Collect(Collect::Sweep(two))) => {
                Some(Collect::Sweep(one.saturating_add(two)))
            }
            _ => None,
        };
        edits.extend(joined.map(|step| Edit::fold(dropped, kept, Op::Collect(step))));
        edits.push(Edit::fold(dropped, kept, Op::Collect(Collect::Full)));
    }
    edits
}

/// A full collection here, and no step of the collector afterwards.
fn full_from(lines: &[Line], at: usize) -> Edit {
    let later = (at + 1..lines.len()).filter(|later| matches!(lines[*later].op, Op::Collect(_)));
    Edit::Rewrite { drop: later.collect(), change: vec![(at, Op::Collect(Collect::Full))] }
}

/// An operation that overwrites a root goes, and another one overwrites that root instead of its own.
pub(super) fn targets(lines: &[Line]) -> Vec<Edit> {
    let writers = positions(lines, |op| target(op).is_some());
    let retarget = |(dropped, kept): (usize, usize)| {
        let ((by, root), (other, old)) = (target(&lines[dropped].op)?, target(&lines[kept].op)?);
        let retargeted = changed(&lines[kept].op, |operand| {
            if let Operand::Write(_, into) = operand {
                *into = root;
            }
        });
        (by == other && root != old).then(|| Edit::fold(dropped, kept, retargeted))
    };
    pairs(&writers).filter_map(retarget).collect()
}

/// What is kept in one field of one object is kept in a global that nobody uses.
pub(super) fn fields_to_globals(lines: &[Line]) -> Vec<Edit> {
    let used: HashSet<Place> = lines.iter().filter_map(|line| place(&line.op)).collect();
    let Some(free) = (0..GLOBALS).map(Place::Global).find(|global| !used.contains(global)) else { return Vec::new() };
    let mut uses: BTreeMap<(ObjectId, u32), Vec<(usize, Op)>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let (Some(Place::Field { index, .. }), Some(Some(of))) = (place(&line.op), line.reads.first()) {
            uses.entry((*of, index)).or_default().push((at, at_place(&line.op, free)));
        }
    }
    uses.into_values().map(Edit::change).collect()
}

/// What one mutator does is done by another one.
pub(super) fn mutators(lines: &[Line]) -> Vec<Edit> {
    let mut present = BTreeSet::new();
    for line in lines {
        changed(&line.op, |operand| {
            if let Operand::Mutator(mutator) = operand {
                present.insert(*mutator);
            }
        });
    }
    let stays = present.iter().map(|mutator| stays(lines, *mutator));
    let below = |gone: &MutatorId| (0..gone.0).map(MutatorId).map(move |heir| (*gone, heir)).collect::<Vec<_>>();
    let couples = present.iter().rev().flat_map(below);
    let merged = couples.flat_map(|(gone, heir)| Merger::new(lines, gone, heir)).flat_map(|merger| merger.edits(lines));
    stays.chain(merged).collect()
}

/// A mutator stays instead of leaving and coming back. One that arrives has nothing to be scanned, hence a handshake.
fn stays(lines: &[Line], mutator: MutatorId) -> Edit {
    let joins = positions(lines, |op| *op == Op::Mutate { by: mutator, action: Action::Join });
    Edit::Rewrite {
        drop: positions(lines, |op| *op == Op::Mutate { by: mutator, action: Action::Exit }),
        change: joins.into_iter().map(|at| (at, Op::Collect(Collect::Handshake(mutator)))).collect(),
    }
}

/// A mutator that is going, and the one that takes over its work and its objects.
struct Merger {
    gone: MutatorId,
    heir: MutatorId,
    /// Where the roots of the one that goes are to be.
    roots: BTreeMap<Root, Root>,
}

impl Merger {
    /// Nothing if the heir has not enough roots for the two of them.
    fn new(lines: &[Line], gone: MutatorId, heir: MutatorId) -> Option<Merger> {
        let (mut moving, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for line in lines {
            changed(&line.op, |operand| match operand {
                Operand::Read(by, root) | Operand::Write(by, root) if by == gone => _ = moving.insert(*root),
                Operand::Read(by, root) | Operand::Write(by, root) if by == heir => _ = taken.insert(*root),
                _ => {}
            });
        }
        let mut free = (0..ROOTS).map(Root).filter(|root| !taken.contains(root));
        let roots = moving.into_iter().map(|root| Some((root, free.next()?))).collect::<Option<_>>()?;
        Some(Merger { gone, heir, roots })
    }

    /// Without the handshakes of the one that goes; with them; and with a handshake in the place of its arrival.
    fn edits(&self, lines: &[Line]) -> [Edit; 3] {
        let of_gone = |op: &Op, property: &dyn Fn(&Action) -> bool| matches!(op, Op::Mutate { by, action } if *by == self.gone && property(action));
        let arrives = |op: &Op| of_gone(op, &|action| *action == Action::Join);
        let leaves = |op: &Op| of_gone(op, &|action| matches!(action, Action::Exit | Action::Park | Action::Unpark));
        let handshake = |op: &Op| *op == Op::Collect(Collect::Handshake(self.gone));
        [
            self.without(lines, |op| arrives(op) || leaves(op) || handshake(op)),
            self.without(lines, |op| arrives(op) || leaves(op)),
            self.without(lines, |op| leaves(op) || handshake(op)),
        ]
    }

    fn without(&self, lines: &[Line], goes: impl Fn(&Op) -> bool) -> Edit {
        let kept = lines.iter().enumerate().filter(|(_, line)| !goes(&line.op));
        let change = kept.map(|(at, line)| (at, self.merged(&line.op))).collect();
        Edit::Rewrite { drop: positions(lines, &goes), change }
    }

    fn merged(&self, op: &Op) -> Op {
        let renamed = changed(op, |operand| match operand {
            Operand::Read(by, root) | Operand::Write(by, root) if by == self.gone => *root = self.roots[root],
            _ => {}
        });
        let renamed = changed(&renamed, |operand| match operand {
            Operand::Mutator(mutator) if *mutator == self.gone => *mutator = self.heir,
            _ => {}
        });
        match renamed {
            Op::Mutate { by, action: Action::Send { value, to, into } } if by == to => {
                Op::Mutate { by, action: Action::Copy { into, from: value } }
            }
            Op::Mutate { action: Action::Join, .. } if renamed != *op => Op::Collect(Collect::Handshake(self.heir)),
            other => other,
        }
    }
}
