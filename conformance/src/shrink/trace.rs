//! Traces: what the operands of a program stand for, so that they still stand for it after something was left out.
//!
//! A program says `r2`; what it *means* is an object. A [`Line`] is an operation together with the birth numbers of the
//! objects that its roots held. When an operation is left out, the objects may be in other roots than before, or
//! nowhere:
//!
//! ```text
//! 0 alloc r0 1                     0 alloc r0 1
//! 0 copy r2 r0    ── left out ──▶
//! 0 read r2                        0 read r0        # r2 is empty now, but r0 holds the same object
//! ```
//!
//! [`repaired`] looks for them. It is what lets a reducer of single operations get all the way down: without it, every
//! `load` and `copy` that some later operation looks through has to stay.

use super::operand::{Operand, changed};
use heaplaw_reference::{
    graph::{Effect, Graph},
    object::ObjectId,
    op::{MutatorId, Op, ROOTS, Root},
};

/// An operation and what its operands stand for.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The operation.
    pub(super) op: Op,
    /// The objects in the roots that are read, in the order of the operands.
    pub(super) reads: Vec<Option<ObjectId>>,
    /// The object that is born.
    pub(super) born: Option<ObjectId>,
}

/// Performs a program and notes what its operands stand for.
pub(super) fn traced(ops: &[Op]) -> Vec<Line> {
    let mut graph = Graph::new();
    let mut line = |op: &Op| {
        let mut reads = Vec::new();
        changed(op, |operand| {
            if let Operand::Read(by, root) = operand {
                reads.push(graph.root(by, *root));
            }
        });
        let born = match graph.apply(op) {
            Effect::Born(id) => Some(id),
            _ => None,
        };
        Line { op: *op, reads, born }
    };
    ops.iter().map(&mut line).collect()
}

/// The operations that mean something where they stand.
pub(super) fn meaningful(ops: impl Iterator<Item = Op>) -> Vec<Op> {
    let mut graph = Graph::new();
    let means = |op: &Op| {
        let allowed = graph.allows(op);
        graph.apply(op);
        allowed
    };
    ops.filter(means).collect()
}

/// The operations with their roots redirected to where the objects are now. What works on an object that its mutator
/// does not hold any more is left out, and so is what means nothing.
pub(super) fn repaired(lines: impl Iterator<Item = Line>) -> Vec<Op> {
    let mut world = World { graph: Graph::new(), births: Vec::new() };
    lines.filter_map(|line| world.admit(&line)).collect()
}

/// A program while it is being repaired.
struct World {
    graph: Graph,
    /// What the objects, in the order of their birth here, are called in the trace.
    births: Vec<Option<ObjectId>>,
}

impl World {
    fn admit(&mut self, line: &Line) -> Option<Op> {
        let mut reads = line.reads.iter();
        let mut found = true;
        let op = changed(&line.op, |operand| {
            if let Operand::Read(by, root) = operand {
                match reads.next().copied().flatten().map(|wanted| self.find(by, *root, wanted)) {
                    Some(Some(other)) => *root = other,
                    Some(None) => found = false,
                    // The operation is not the one that was traced: it knows better.
                    None => {}
                }
            }
        });
        if !found || !self.graph.allows(&op) {
            return None;
        }
        if let Effect::Born(_) = self.graph.apply(&op) {
            self.births.push(line.born);
        }
        Some(op)
    }

    /// The root that holds `wanted`: the one where it used to be, or the lowest.
    fn find(&self, by: MutatorId, usual: Root, wanted: ObjectId) -> Option<Root> {
        let holds = |root: &Root| {
            let held = self.graph.root(by, *root);
            held.and_then(|held| self.births[held.index()]) == Some(wanted)
        };
        std::iter::once(usual).chain((0..ROOTS).map(Root)).find(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::Program;

    /// What is left of `text` after the operation at `without` was left out.
    fn without(text: &str, without: usize) -> String {
        let program: Program = text.parse().unwrap();
        let mut lines = traced(program.ops());
        lines.remove(without);
        Program::new(repaired(lines.into_iter())).to_string()
    }

    #[test]
    fn an_object_is_found_in_another_root() {
        let text = "0 alloc r0 1\n0 copy r2 r0\n0 store r2.0 r2\n";
        assert_eq!(without(text, 1), "0 alloc r0 1\n0 store r0.0 r0\n");
    }

    #[test]
    fn what_works_on_a_missing_object_goes_with_it() {
        let text = "0 alloc r0 1\n0 alloc r1 0\n0 store r0.0 r1\n0 read r1\n";
        assert_eq!(without(text, 0), "0 alloc r1 0\n0 read r1\n");
        // A stranger in the same root is not taken for it.
        let text = "0 alloc r0 1\n0 alloc r0 1\n0 store r0.0 r0\ngc full\n";
        assert_eq!(without(text, 1), "0 alloc r0 1\ngc full\n");
    }

    #[test]
    fn only_meaning_is_kept() {
        let program: Program = "0 read r0\n0 alloc r0 0\n1 exit\ngc stats\n0 load r1 r0.0\n".parse().unwrap();
        let kept = Program::new(meaningful(program.into_ops().into_iter()));
        assert_eq!(kept.to_string(), "0 alloc r0 0\ngc stats\n");
    }
}
