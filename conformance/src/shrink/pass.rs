//! Passes: each knows one way of making programs simpler, and lists the edits that try it.
//!
//! Coarse passes come first and take out as much as they can at once. The fine ones after them look at single
//! operations and numbers, and some at every pair of operations, which by then is not many.

mod leave_out;
mod merge;
mod rename;
mod simplify;

use super::{edit::Edit, trace::Line};

/// One way of making programs simpler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Leave out what means nothing.
    Prune,
    /// Cut off the end.
    CutTail,
    /// Leave out so many neighbours.
    LeaveOut(usize),
    /// Make objects smaller, all at once.
    ShrinkObjects,
    /// Use simpler operations and smaller numbers, one at a time.
    Simplify,
    /// Keep in a global what was kept in a field.
    Globalize,
    /// Let one step of the collector do the work of several.
    MergeSteps,
    /// Let one mutator do the work of two.
    MergeMutators,
    /// Let one operation overwrite the root that two operations overwrote.
    MergeTargets,
    /// Leave out two operations, wherever they are.
    LeaveOutTwo,
    /// Number everything in the order of first use.
    Rename,
    /// Put neighbours in order.
    Sort,
}

impl Pass {
    /// The passes for a program of `ops` operations: the coarse ones and the fine ones.
    pub(super) fn all(ops: usize) -> (Vec<Pass>, Vec<Pass>) {
        let halves = std::iter::successors(Some(ops.next_power_of_two() / 2), |size| Some(size / 2));
        let coarse = [Pass::Prune, Pass::CutTail].into_iter();
        let fine = vec![
            Pass::LeaveOut(1),
            Pass::ShrinkObjects,
            Pass::MergeSteps,
            Pass::MergeMutators,
            Pass::Globalize,
            Pass::Simplify,
            Pass::MergeTargets,
            Pass::LeaveOutTwo,
            Pass::Rename,
            Pass::Sort,
        ];
        (coarse.chain(halves.take_while(|size| *size > 1).map(Pass::LeaveOut)).collect(), fine)
    }

    /// What this pass would try with the program of this trace. The k-th edit of a program and the k-th edit of what
    /// became of it are meant to be about neighbouring places, so that a pass can go on where it was.
    pub(super) fn edits(self, lines: &[Line]) -> Vec<Edit> {
        match self {
            Pass::Prune => vec![Edit::drop([])],
            Pass::CutTail => leave_out::tails(lines),
            Pass::LeaveOut(size) => leave_out::neighbours(lines, size),
            Pass::ShrinkObjects => simplify::objects(lines),
            Pass::Simplify => simplify::operations(lines),
            Pass::Globalize => merge::fields_to_globals(lines),
            Pass::MergeSteps => merge::steps(lines),
            Pass::MergeMutators => merge::mutators(lines),
            Pass::MergeTargets => merge::targets(lines),
            Pass::LeaveOutTwo => leave_out::pairs(lines),
            Pass::Rename => rename::by_first_use(lines),
            Pass::Sort => rename::neighbours(lines),
        }
    }
}
