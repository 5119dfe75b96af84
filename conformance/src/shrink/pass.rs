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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shrink::{edit::Carry, trace::traced};
    use heaplaw_reference::op::{GLOBALS, Program, ROOTS};

    /// What a pass would try with a program, as it stands: operations are told apart by bars.
    fn tries(pass: Pass, story: &str) -> Vec<String> {
        let program: Program = story.replace('|', "\n").parse().expect("a program");
        let lines = traced(program.ops());
        let edited = pass.edits(&lines).into_iter().map(|edit| edit.apply(&lines, Carry::Verbatim));
        edited.map(|ops| ops.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")).collect()
    }

    #[test]
    fn coarse_passes_halve() {
        let (coarse, fine) = Pass::all(9);
        let halves = [8, 4, 2].map(Pass::LeaveOut);
        assert_eq!(coarse, [[Pass::Prune, Pass::CutTail].as_slice(), &halves].concat());
        assert_eq!((Pass::all(8).0[2], Pass::all(0).0.len(), fine[0]), (Pass::LeaveOut(4), 2, Pass::LeaveOut(1)));
    }

    #[test]
    fn operations_are_left_out_from_the_end() {
        let five = "gc full|gc stats|gc start|gc finish|gc pace";
        assert_eq!(tries(Pass::Prune, five), [five]);
        assert_eq!(
            tries(Pass::CutTail, five),
            ["", "gc full|gc stats|gc start", "gc full|gc stats|gc start|gc finish"]
        );
        let pairs = ["gc full|gc stats|gc start", "gc full|gc finish|gc pace", "gc stats|gc start|gc finish|gc pace"];
        assert_eq!(tries(Pass::LeaveOut(2), five), pairs);
        assert_eq!(tries(Pass::LeaveOutTwo, "gc full|gc stats|gc start"), ["gc full", "gc stats", "gc start"]);
        let two_of = |length: usize| tries(Pass::LeaveOutTwo, &vec!["gc full"; length].join("|")).len();
        assert_eq!([two_of(24), two_of(25)], [24 * 23 / 2, 0]);
    }

    #[test]
    fn objects_are_as_large_as_they_have_to_be() {
        let shapes = |story: &str| -> Vec<String> {
            let firsts = tries(Pass::ShrinkObjects, story).into_iter();
            firsts
                .map(|story| story.split('|').next().unwrap_or_default().trim_start_matches("0 alloc r0 ").to_owned())
                .collect()
        };
        assert_eq!(shapes("0 alloc r0 4 8 @16|0 store r0.1 r0"), ["2", "2 0 @16", "2 8 @16", "4 0 @16", "4 8"]);
        let fields = |used: &str| shapes(&format!("0 alloc r0 9|0 alloc r1 9|{used}"))[0].clone();
        let uses = [
            "0 read r0",
            "0 load r2 r0.2",
            "0 store r0.2 nil|0 store r0.0 nil",
            "0 wipe r0.1 2",
            "0 move r0.1 r1.3 4",
            "0 move r1.1 r0.3 4",
        ];
        assert_eq!(uses.map(fields), ["0", "3", "3", "3", "5", "7"]);
        // Of another object, and not of the root.
        assert_eq!(fields("0 copy r2 r0|0 copy r0 r1|0 load r3 r0.7|0 load r3 r2.4"), "5");
    }

    #[test]
    fn steps_of_the_collector_are_merged() {
        let merged = tries(Pass::MergeSteps, "gc mark 1|gc sweep 2|gc mark 3|0 safepoint|gc sweep 4");
        let full = ["gc full|0 safepoint", "gc mark 1|gc full|0 safepoint", "gc mark 1|gc sweep 2|gc full|0 safepoint"];
        assert_eq!(merged[..3], full);
        assert_eq!(merged[3], "gc mark 1|gc sweep 2|gc mark 3|0 safepoint|gc full");
        for joined in [
            "gc sweep 2|gc mark 4|0 safepoint|gc sweep 4",
            "gc mark 4|gc sweep 2|0 safepoint|gc sweep 4",
            "gc mark 1|gc mark 3|0 safepoint|gc sweep 6",
            "gc mark 1|gc sweep 6|gc mark 3|0 safepoint",
            "gc full|gc mark 3|0 safepoint|gc sweep 4",
            "gc full|gc sweep 2|0 safepoint|gc sweep 4",
        ] {
            assert!(merged.iter().any(|tried| tried == joined), "{joined}");
        }
        assert_eq!(merged.len(), 4 + 4 * 3 + 4, "four of a kind can be joined");
        let many = |steps: usize| tries(Pass::MergeSteps, &vec!["gc start"; steps].join("|")).len();
        assert_eq!([many(24), many(25)], [24 + 24 * 23, 25]);
    }

    #[test]
    fn a_root_is_overwritten_once_instead_of_twice() {
        let merged = tries(Pass::MergeTargets, "0 alloc r1 1|0 alloc r2 1|0 read r1|1 clear r3");
        assert_eq!(merged, ["0 alloc r1 1|0 read r1|1 clear r3", "0 alloc r2 1|0 read r1|1 clear r3"]);
        assert_eq!(tries(Pass::MergeTargets, "0 clear r1|0 clear r1"), [""; 0], "it is the same root");
    }

    #[test]
    fn what_a_field_keeps_a_global_can() {
        let kept = tries(Pass::Globalize, "0 alloc r0 2|0 store r0.1 r0|0 load r1 r0.1|0 load r2 r0.0|0 store g0 r0");
        assert_eq!(
            kept,
            [
                "0 alloc r0 2|0 store r0.1 r0|0 load r1 r0.1|0 load r2 g1|0 store g0 r0",
                "0 alloc r0 2|0 store g1 r0|0 load r1 g1|0 load r2 r0.0|0 store g0 r0",
            ]
        );
        let all: String = (0..GLOBALS).map(|number| format!("|0 store g{number} nil")).collect();
        assert_eq!(tries(Pass::Globalize, &format!("0 alloc r0 2|0 store r0.1 r0{all}")), [""; 0], "all are in use");
        assert_eq!(tries(Pass::Globalize, "0 store r0.1 nil"), [""; 0], "there is no object");
    }

    #[test]
    fn one_mutator_does_the_work_of_two() {
        let merged = tries(
            Pass::MergeMutators,
            "0 alloc r0 1|1 join|1 alloc r0 0 8|1 park|1 send r0 0.r1|gc handshake 1|1 exit",
        );
        assert_eq!(
            merged,
            [
                "0 alloc r0 1|1 join|1 alloc r0 0 8|1 park|1 send r0 0.r1|gc handshake 1|1 exit",
                "0 alloc r0 1|gc handshake 1|1 alloc r0 0 8|1 park|1 send r0 0.r1|gc handshake 1",
                "0 alloc r0 1|0 alloc r2 0 8|0 copy r1 r2",
                "0 alloc r0 1|0 alloc r2 0 8|0 copy r1 r2|gc handshake 0",
                "0 alloc r0 1|gc handshake 0|0 alloc r2 0 8|0 copy r1 r2",
            ]
        );
        // Of three, the last goes first; what the third does is its own.
        let three = tries(Pass::MergeMutators, "1 join|2 join|2 clear r1|1 clear r1|gc handshake 2|0 exit");
        assert_eq!(three.len(), 3 + 3 * 3);
        assert_eq!(
            three[3..6],
            [
                "1 join|0 clear r0|1 clear r1|0 exit",
                "1 join|0 clear r0|1 clear r1|gc handshake 0|0 exit",
                "1 join|gc handshake 0|0 clear r0|1 clear r1|0 exit"
            ]
        );
        assert_eq!(three[6], "1 join|1 clear r0|1 clear r1|0 exit");
        assert_eq!(three[9], "2 join|2 clear r1|0 clear r0|gc handshake 2|0 exit");
        let sends = tries(Pass::MergeMutators, "1 join|2 join|0 alloc r0 0|0 send r0 2.r1|1 clear r1");
        assert_eq!(sends[9], "2 join|0 alloc r0 0|0 send r0 2.r1|0 clear r1", "the third gets it as before");
        let roots: String = (0..ROOTS).map(|root| format!("0 clear r{root}|")).collect();
        assert_eq!(tries(Pass::MergeMutators, &format!("{roots}1 join|1 clear r0")).len(), 2, "there is no room");
        assert_eq!(tries(Pass::MergeMutators, &format!("{roots}1 join|1 exit")).len(), 2 + 3, "it needs none");
    }

    #[test]
    fn names_are_given_in_the_order_of_first_use() {
        let story = "3 join|0 alloc r5 2|0 store r5.1 r5|0 store g3 r5|0 weak w2 r5|3 clear r7";
        assert_eq!(
            tries(Pass::Rename, story),
            [
                "1 join|0 alloc r0 2|0 store r0.0 r0|0 store g0 r0|0 weak w0 r0|1 clear r0",
                "3 join|0 alloc r5 2|0 store r5.0 r5|0 store g3 r5|0 weak w2 r5|3 clear r7",
                "3 join|0 alloc r5 2|0 store r5.1 r5|0 store g0 r5|0 weak w0 r5|3 clear r7",
                "3 join|0 alloc r0 2|0 store r0.1 r0|0 store g3 r0|0 weak w2 r0|3 clear r0",
                "1 join|0 alloc r5 2|0 store r5.1 r5|0 store g3 r5|0 weak w2 r5|1 clear r7",
            ]
        );
        let runs = "0 alloc r0 3|0 alloc r1 3|0 store r0.2 r0|0 store r1.2 r0|0 load r2 r1.1|0 wipe r0.1 2";
        let fields = "0 alloc r0 3|0 alloc r1 3|0 store r0.2 r0|0 store r1.0 r0|0 load r2 r1.1|0 wipe r0.1 2";
        assert_eq!(tries(Pass::Rename, runs)[1], fields, "not those that a run takes together");
    }

    #[test]
    fn neighbours_change_places_if_that_is_simpler() {
        let sorted = tries(Pass::Sort, "gc full|0 alloc r0 0|0 clear r0|0 clear r0|0 alloc r1 0");
        assert_eq!(
            sorted,
            [
                "0 alloc r0 0|gc full|0 clear r0|0 clear r0|0 alloc r1 0",
                "gc full|0 alloc r0 0|0 clear r0|0 alloc r1 0|0 clear r0",
            ]
        );
    }

    #[test]
    fn verbs_become_simpler_and_numbers_smaller() {
        let simpler = |line: &str, expected: &[&str]| assert_eq!(tries(Pass::Simplify, line), expected, "{line}");
        simpler("env clock 5", &["gc start", "env clock 3", "env clock 4"]);
        simpler("gc mark 1", &[]);
        simpler("gc handshake 2", &["gc handshake 0", "gc handshake 1"]);
        simpler("0 store g0 r1", &["0 store g0 nil", "0 store g0 r0"]);
        simpler("0 store g0 nil", &[]);
        simpler("0 alloc r1 0", &["0 clear r1", "0 alloc r0 0"]);
        simpler("0 load r0 g1", &["0 clear r0", "0 load r0 g0"]);
        simpler("0 copy r0 r1", &["0 clear r0", "0 copy r0 r0"]);
        simpler("0 send r0 1.r1", &["0 copy r1 r0", "0 send r0 0.r1", "0 send r0 1.r0"]);
        simpler("0 wipe r0.1 2", &["0 store r0.1 nil", "0 wipe r0.0 2", "0 wipe r0.1 1"]);
        simpler("0 strong r0 w1", &["0 strong r0 w0"]);
        simpler(
            "0 move r0.0 r1.1 2",
            &[
                "0 wipe r0.0 2",
                "0 store r0.0 r0",
                "0 store r0.0 r1",
                "0 move r0.0 r0.1 2",
                "0 move r0.0 r1.0 2",
                "0 move r0.0 r1.1 1",
            ],
        );
        let aligned = [
            "0 alloc r0 1 8",
            "0 alloc r0 1 8 @1",
            "0 alloc r0 1 8 @2",
            "0 clear r0",
            "0 alloc r0 0 8 @4",
            "0 alloc r0 1 0 @4",
            "0 alloc r0 1 4 @4",
            "0 alloc r0 1 6 @4",
            "0 alloc r0 1 7 @4",
        ];
        simpler("0 alloc r0 1 8 @4", &aligned);
        simpler("0 alloc r0 0 0 @1", &["0 alloc r0 0", "0 clear r0"]);
        // Who leaves may let go of what he used; the last operation comes first.
        let leaves = [
            "1 copy r0 r2|0 clear r5|1 clear r0",
            "1 copy r0 r2|0 clear r5|1 clear r2",
            "1 copy r0 r2|0 clear r5|0 exit",
        ];
        assert_eq!(tries(Pass::Simplify, "1 copy r0 r2|0 clear r5|1 exit")[..3], leaves);
    }
}
