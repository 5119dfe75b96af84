//! Edits: small changes to a program that may leave it simpler. Whether they do, and whether it still fails, is for
//! others to find out.

use super::operand::{Operand, changed};
use super::trace::{Line, meaningful, repaired};
use heaplaw_reference::op::{Op, Root};

/// A change to a program, in terms of positions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Leave some operations out, and put others in the place of some that stay.
    Rewrite {
        /// The positions that are left out, rising.
        drop: Vec<usize>,
        /// What comes into the place of what.
        change: Vec<(usize, Op)>,
    },
    /// Exchange the operation at this position with the next one.
    Swap(usize),
}

/// How an edit is carried through in the rest of the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carry {
    /// Later operations follow their objects into other roots.
    Repaired,
    /// Later operations stay as they are; those that mean nothing any more are left out.
    Meaningful,
    /// Later operations stay as they are.
    Verbatim,
}

impl Edit {
    /// Leaves out some positions, which rise.
    pub(super) fn drop(positions: impl IntoIterator<Item = usize>) -> Edit {
        Edit::Rewrite { drop: positions.into_iter().collect(), change: Vec::new() }
    }

    /// Puts other operations in the place of some.
    pub(super) fn change(change: impl IntoIterator<Item = (usize, Op)>) -> Edit {
        Edit::Rewrite { drop: Vec::new(), change: change.into_iter().collect() }
    }

    /// Leaves `dropped` out, and puts `op` in the place of `at`.
    pub(super) fn fold(dropped: usize, at: usize, op: Op) -> Edit {
        Edit::Rewrite { drop: vec![dropped], change: vec![(at, op)] }
    }

    /// The edited program.
    pub(super) fn apply(&self, lines: &[Line], carry: Carry) -> Vec<Op> {
        let mut lines = lines.to_vec();
        match self {
            Edit::Swap(at) => lines.swap(*at, at + 1),
            Edit::Rewrite { drop, change } => {
                for (at, op) in change {
                    lines[*at] = lines[*at].with(*op);
                }
                let mut position = 0..;
                lines.retain(|_| position.next().is_none_or(|at| drop.binary_search(&at).is_err()));
            }
        }
        match carry {
            Carry::Repaired => repaired(lines.into_iter()),
            Carry::Meaningful => meaningful(lines.into_iter().map(|line| line.op)),
            Carry::Verbatim => lines.into_iter().map(|line| line.op).collect(),
        }
    }
}

impl Line {
    /// Another operation in the same place. If it reads other roots, then on purpose, and nothing is to be repaired.
    fn with(&self, op: Op) -> Line {
        let same = roots_read(&op) == roots_read(&self.op);
        Line { op, reads: if same { self.reads.clone() } else { Vec::new() }, born: self.born }
    }
}

fn roots_read(op: &Op) -> Vec<Root> {
    let mut roots = Vec::new();
    changed(op, |operand| {
        if let Operand::Read(_, root) = operand {
            roots.push(*root);
        }
    });
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shrink::trace::traced;
    use heaplaw_reference::op::Program;

    /// An edit of a program, carried through so that operations follow their objects.
    fn repaired(story: &str, edit: &Edit) -> Vec<String> {
        let program: Program = story.parse().expect("a program");
        edit.apply(&traced(program.ops()), Carry::Repaired).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_reads_other_roots_does_so_on_purpose_and_what_does_not_follows_its_object() {
        let read = Edit::change([(2, "0 read r1".parse().expect("an operation"))]);
        assert_eq!(repaired("0 alloc r0 1\n0 alloc r1 1\n0 read r0\n", &read)[2], "0 read r1");
        let fewer = Edit::fold(1, 2, "0 wipe r2.0 1".parse().expect("an operation"));
        assert_eq!(repaired("0 alloc r0 2\n0 copy r2 r0\n0 wipe r2.0 2\n", &fewer), ["0 alloc r0 2", "0 wipe r0.0 1"]);
    }
}
