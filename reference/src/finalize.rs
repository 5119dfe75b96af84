//! Finalizers, cleanups and weak pointers: what a program can learn of a death.
//!
//! Three things can be attached to an object. None of them is seen when the object is looked at; Go calls their records
//! *specials* and keeps them beside the span.
//!
//! ```text
//!                    weak slot w0 ┄┄┄┄┄▶ object ──.0──▶ child        ┄┄▶ refers, but does not hold
//!                                        ▲    ▲
//!   finalizer: holds child, not object ┄┄┘    └┄┄ cleanup ────▶ argument
//! ```
//!
//! A **finalizer** is handed its object. So the object must be whole when it dies, and all that it leads to: marking
//! treats the object's *fields* as roots, though not the object. When the sweep finds the object unmarked, it keeps it
//! once more (**resurrection**), takes the finalizer off, and puts the object into a queue, which is a root. From this
//! one rule three things follow:
//!
//! 1. If `a` leads to `b` and both have finalizers, `a`'s runs first, and `b`'s a cycle later at the earliest.
//! 2. An object on a cycle with itself is held by its own finalizer: it is never found dead. That is a leak.
//! 3. An object can be reached again after its finalizer has run; it is freed when it dies again.
//!
//! A **cleanup** is handed something else, its argument. So the object need not be kept: there is no resurrection, no
//! order, and cycles do not matter. The argument is a root until the cleanup has run; if it leads to the object, that is
//! a leak. An object with both is finalized first, and cleaned up after it has died again.
//!
//! A **weak pointer** finds its object as long as nobody has found it dead. It is cleared when the object is first found
//! dead: before its finalizer runs, so that no mutator can get hold of an object that is being finalized by a way the
//! finalizer does not know of. After a resurrection it stays nil; one that is made then is a different one.
//!
//! Making a strong pointer of a weak one is the one operation that yields an object which no root, global or field
//! leads to. So it has duties that no other operation has:
//!
//! 4. *While marking, shade what is handed out*, as a deletion barrier would: the object may be white, and the stack
//!    that receives it black.
//! 5. *While sweeping, ask whether the object was marked* (Go sweeps its span first). If it was not, it is dead, even if
//!    the sweep has not come to it.
//!
//! 6. *Wait while the end of marking is being decided.* A store finds only what is grey or black once nothing is grey; a
//!    conversion makes grey out of nothing, behind the back of whoever decides. For the same reason marking does not end
//!    while a conversion is under way.
//!
//! The same holds at the other end. What is attached *while marking* is a new root, whose work is done at once, since
//! the step that scans such roots may be over; and what is handed out of a queue while marking is shaded, since that
//! step may not have come.
//!
//! [`Specials`] has a switch for each of these rules. This chapter grounds laws 68, 92 and 107 to 115. Source: Go's
//! `mheap.go`, `mfinal.go`, `mcleanup.go`; issue 67535 for weak pointers, 67552 for cleanups.
//!
//! ```
//! use heaplaw_reference::{finalize::{Clearing, Specials}, heap::{Heap, Reply}, machine::Machine, protocol::Protocol};
//! let story = "0 alloc r0 0 16\n0 weak w0 r0\n0 finalizer r0\n0 clear r0\ngc full\n0 finalize r1\n0 strong r2 w0\n";
//! let tell = |specials| {
//!     let mut machine = Machine::new(Protocol::HYBRID).with_specials(specials);
//!     let ops = story.lines().map(|line| line.parse().expect("an operation"));
//!     ops.map(|op| machine.perform(&op, &mut Vec::new())).last()
//! };
//! assert_eq!(tell(Specials::SOUND), Some(Reply::Nil), "it died, although it is here again");
//! let late = Specials { clearing: Clearing::Freed, ..Specials::SOUND };
//! assert!(matches!(tell(late), Some(Reply::Object(_))), "a way that the finalizer did not know of");
//! ```

/// When weak pointers to an object are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// When it is found dead: before its finalizer runs.
    Dead,
    /// Only when it is freed.
    Freed,
    /// In the step that ends marking, with no mutator running: all at once. Then nobody needs to ask the sweep.
    AtTheEnd,
    /// As soon as the collector finds the object white, be it while marking.
    White,
    /// Not at all.
    Never,
}

/// A design for what is attached to objects: one switch for each rule of this chapter.
///
/// The [machine](crate::machine) and the [model](crate::model) obey them. The machine takes whole operations, one at a
/// time, so `strong_waits`, `strong_pins`, `strong_reads_again` and `snapshot_first` make no difference to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specials {
    /// The fields of an object with a finalizer are roots.
    pub closures_are_roots: bool,
    /// The argument of a cleanup is a root.
    pub arguments_are_roots: bool,
    /// What is attached while marking does its work as a root at once.
    pub registration_shades: bool,
    /// An object is kept until the finalizer that it waits for has run.
    pub queue_is_root: bool,
    /// A cleanup waits until its object is freed, not only found dead.
    pub cleanups_wait: bool,
    /// When weak pointers are cleared.
    pub clearing: Clearing,
    /// Two weak pointers that are made of an object in one life are the same.
    pub canonical: bool,
    /// A strong pointer that is made of a weak one while marking is shaded.
    pub strong_shades: bool,
    /// One that is asked for while sweeping is nil if its object was not marked.
    pub strong_asks_the_sweep: bool,
    /// To ask is to sweep, and then the weak pointer is read again. If not, the answer is what it was before.
    pub strong_reads_again: bool,
    /// None is made from when nothing is grey until marking is over.
    pub strong_waits: bool,
    /// Marking does not end while one is being made.
    pub strong_pins: bool,
    /// What is handed out of a queue while marking is shaded.
    pub handing_out_shades: bool,
    /// In a design that takes a snapshot of the stacks, what is attached to objects is scanned after that. A stack that
    /// is still grey can hide something behind a finalizer that has been scanned, as it can behind any other root.
    pub snapshot_first: bool,
}

impl Specials {
    /// Every rule is kept.
    pub const SOUND: Specials = Specials {
        closures_are_roots: true,
        arguments_are_roots: true,
        registration_shades: true,
        queue_is_root: true,
        cleanups_wait: true,
        clearing: Clearing::Dead,
        canonical: true,
        strong_shades: true,
        strong_asks_the_sweep: true,
        strong_reads_again: true,
        strong_waits: true,
        strong_pins: true,
        handing_out_shades: true,
        snapshot_first: true,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        heap::{Heap, Reply},
        machine::Machine,
        object::Address,
        op::Program,
        place::BASE,
        protocol::Protocol,
    };
    use alloc::vec::Vec;

    /// The answers to a story.
    fn tell(specials: Specials, story: &str) -> Vec<Reply> {
        let mut machine = Machine::new(Protocol::HYBRID).with_specials(specials);
        let program: Program = story.parse().unwrap();
        program.ops().iter().map(|op| machine.perform(op, &mut Vec::new())).collect()
    }

    /// What the questions among the last operations of a story find: an object by its place in memory, counted in words.
    fn found(story: &str) -> Vec<Option<u64>> {
        let asks = |line: &&str| ["finalize ", "clean ", "strong "].iter().any(|verb| line.contains(verb));
        let replies = tell(Specials::SOUND, story);
        let answered = story.lines().zip(&replies).filter(|(line, _)| asks(line));
        answered
            .map(|(_, reply)| match reply {
                Reply::Object(Address(at)) => Some((at - BASE) / 8),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_leads_to_another_is_finalized_a_cycle_earlier() {
        let story = "0 alloc r0 1 8\n0 alloc r1 0 16\n0 store r0.0 r1\n0 finalizer r0\n0 finalizer r1\n\
                     0 clear r0\n0 clear r1\ngc full\n0 finalize r2\n0 finalize r3\n0 clear r2\ngc full\n0 finalize r2\n";
        assert_eq!(found(story), [Some(0), None, Some(2)]);
    }

    #[test]
    fn a_cycle_with_a_finalizer_is_never_found_dead() {
        let story = "0 alloc r0 1 8\n0 store r0.0 r0\n0 finalizer r0\n0 clear r0\n\
                     gc full\ngc full\ngc full\ngc full\n0 finalize r1\n";
        assert_eq!(found(story), [None]);
        let careless = Specials { closures_are_roots: false, ..Specials::SOUND };
        assert!(matches!(tell(careless, story).last(), Some(Reply::Object(_))));
    }

    #[test]
    fn a_cycle_with_cleanups_is_cleaned_up_at_once() {
        let story = "0 alloc r0 1 8\n0 alloc r1 1 8\n0 alloc r2 0 16\n0 store r0.0 r1\n0 store r1.0 r0\n\
                     0 cleanup r0 r2\n0 cleanup r1 r2\n0 clear r0\n0 clear r1\ngc full\n0 clean r3\n0 clean r3\n0 clean r3\n";
        assert_eq!(found(story), [Some(4), Some(4), None]);
    }

    #[test]
    fn of_both_kinds_the_finalizer_runs_first_and_the_cleanup_after_the_second_death() {
        let story = "0 alloc r0 1 8\n0 alloc r1 0 16\n0 finalizer r0\n0 cleanup r0 r1\n0 clear r0\n\
                     gc full\n0 clean r3\n0 finalize r2\n0 clear r2\ngc full\n0 clean r3\n";
        assert_eq!(found(story), [None, Some(0), Some(2)]);
    }

    #[test]
    fn an_argument_that_leads_to_the_object_is_a_leak() {
        let story = "0 alloc r0 1 8\n0 alloc r1 1 8\n0 store r1.0 r0\n0 cleanup r0 r1\n0 clear r0\n0 clear r1\n\
                     gc full\ngc full\n0 clean r3\ngc stats\n";
        assert_eq!(found(story), [None]);
        assert_eq!(tell(Specials::SOUND, story).last(), Some(&Reply::Stats { objects: 2, bytes: 32 }));
    }

    #[test]
    fn a_weak_pointer_from_before_a_resurrection_is_another_one_and_finds_nil() {
        let story = "0 alloc r0 1 8\n0 weak w0 r0\n0 weak w1 r0\n0 finalizer r0\n0 clear r0\ngc full\n\
                     0 finalize r1\n0 strong r2 w0\n0 weak w2 r1\n0 strong r2 w2\n";
        assert_eq!(found(story), [Some(0), None, Some(0)]);
        let replies = tell(Specials::SOUND, story);
        assert_eq!(replies[1], replies[2]);
        assert_ne!(replies[1], replies[8]);
    }

    #[test]
    fn what_waits_to_be_swept_is_dead() {
        let story = "0 alloc r0 1 8\n0 weak w0 r0\n0 clear r0\ngc start\ngc handshake 0\ngc mark 1\ngc finish\n\
                     0 strong r1 w0\n";
        assert_eq!(found(story), [None]);
        let careless = Specials { strong_asks_the_sweep: false, ..Specials::SOUND };
        assert!(matches!(tell(careless, story).last(), Some(Reply::Object(_))));
    }
}
