//! Operations: everything that can happen to a heap, one at a time.
//!
//! Three actors share a heap. A **mutator** allocates, loads and stores. The **collector** takes its steps only when
//! an operation tells it to, so nothing about a run is hidden or left to chance: when marking starts, how many objects
//! are scanned, when a mutator answers a handshake, are all part of the program. (A heap that collects by itself
//! performs what it is told and reports the rest as [events](crate::event).)
//!
//! A mutator owns [`ROOTS`] root slots, `r0` to `r15`: its stack. All mutators share [`GLOBALS`] globals and [`WEAKS`]
//! weak slots, `w0` to `w3`. Objects are named only by where they are held (`r1`, or field 2 of it: `r1.2`), never by
//! number, and an operation that makes no sense where it stands (a load through an empty root, a step of a mutator that
//! has left) does nothing. So every prefix and every subset of a program is a program, and shrinking can never produce a
//! broken one.
//!
//! A root holds its object until it is overwritten or cleared, whether or not anybody looks through it again. So the end
//! of an object's use is an operation like any other, and there is no need for one that keeps an object alive.

use crate::object::Shape;
use alloc::vec::Vec;

/// Root slots of a mutator.
pub const ROOTS: u8 = 16;

/// Globals of a heap.
pub const GLOBALS: u8 = 4;

/// Weak slots of a heap.
pub const WEAKS: u8 = 4;

/// Mutators that a heap can have at once, numbered from 0. Mutator 0 is there from the start and can leave.
pub const MUTATORS: u8 = 4;

/// The number of a mutator, below [`MUTATORS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MutatorId(pub u8);

/// The number of a root slot of some mutator, below [`ROOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub u8);

/// The number of a weak slot, below [`WEAKS`]. All mutators share them; what they refer to is not held by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeakSlot(pub u8);

/// Where a pointer is kept outside a stack. Stores into a place go through the write barrier, stores into a root do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Pointer field `index` of the object that root `of` holds, written `r1.2`.
    Field {
        /// The root that holds the object.
        of: Root,
        /// Which of its pointer fields, from 0.
        index: u32,
    },
    /// A global, below [`GLOBALS`], written `g0`.
    Global(u8),
}

/// A run of pointer fields `at .. at + count` of the object that root `of` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// The root that holds the object.
    pub of: Root,
    /// The first field.
    pub at: u32,
    /// How many fields.
    pub count: u32,
}

/// What a mutator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// `alloc r0 2 24`: a new object of two pointer fields and 24 data bytes, in root `r0`. Its memory reads zero, and
    /// is then filled with the next [`Stamp`](crate::object::Stamp).
    Alloc {
        /// The root that receives it.
        into: Root,
        /// What it is made of.
        shape: Shape,
    },
    /// `load r0 r1.2`: the pointer in a place, nil or not, into a root.
    Load {
        /// The root that receives it.
        into: Root,
        /// The place that is read.
        from: Place,
    },
    /// `store r1.2 r0` or `store r1.2 nil`: a pointer into a place, through the write barrier.
    Store {
        /// The place that is overwritten.
        into: Place,
        /// The root whose pointer is stored; nil if there is none.
        value: Option<Root>,
    },
    /// `move r1.0 r2.3 2`: two fields at once, from `r2.3` on into `r1.0` on, as if all were read before any is
    /// written (Go: `typedmemmove`). The two runs may overlap.
    Move {
        /// The fields that are overwritten.
        into: Run,
        /// The root that holds the object to copy from.
        from: Root,
        /// The first field to copy.
        start: u32,
    },
    /// `wipe r1.0 2`: two fields at once become nil (Go: `memclrHasPointers`).
    Wipe(Run),
    /// `copy r0 r1`: one root into another. No barrier: a stack is not a place.
    Copy {
        /// The root that is overwritten.
        into: Root,
        /// The root that is read.
        from: Root,
    },
    /// `clear r0`: a root becomes nil.
    Clear(Root),
    /// `write r0`: the object's data is filled with the next [`Stamp`](crate::object::Stamp).
    Write(Root),
    /// `read r0`: what the object's data says, in the reply.
    Read(Root),
    /// `send r0 1.r2`: the pointer goes straight into another mutator's root, as a Go channel hands a value to a
    /// receiver that waits. Neither stack is a place, so a barrier that watches places does not see this.
    Send {
        /// The root that is read.
        value: Root,
        /// The mutator that receives.
        to: MutatorId,
        /// Its root that is overwritten.
        into: Root,
    },
    /// `weak w0 r1`: a weak pointer to the object, in a weak slot. The reply tells the pointer's identity: two that exist
    /// at once are the same exactly if they were made of one object in one life (Go: `weak.Make`).
    Weak {
        /// The weak slot that receives it.
        into: WeakSlot,
        /// The root that holds the object.
        to: Root,
    },
    /// `strong r0 w0`: what a weak slot refers to, into a root: the object, or nil if it has died (Go:
    /// `weak.Pointer.Value`).
    Strong {
        /// The root that receives it.
        into: Root,
        /// The weak slot.
        from: WeakSlot,
    },
    /// `finalizer r1`: the object now has a finalizer, which will be due when the object is found dead (Go:
    /// `runtime.SetFinalizer`).
    Finalizer(Root),
    /// `finalize r0`: some finalizer that is due runs: its object, dead until now, comes into the root. Nil if none is
    /// due.
    Finalize(Root),
    /// `cleanup r1 r2`: the object in `r1` now has one cleanup more, whose argument is the object in `r2`. It will be due
    /// when the first is freed, and holds the second until it has run (Go: `runtime.AddCleanup`).
    Cleanup {
        /// The root that holds the object whose death is waited for.
        of: Root,
        /// The root that holds the argument: another object.
        with: Root,
    },
    /// `clean r0`: some cleanup that is due runs: its argument comes into the root. Nil if none is due.
    Clean(Root),
    /// `free r0`: the object is freed by hand, and every root and global that holds it becomes nil. Means nothing as long
    /// as a field holds it, or anything is attached to it; only allocators are asked for it.
    Free(Root),
    /// `safepoint`: the mutator is at a point where its stack can be scanned; it answers a handshake that waits for it.
    Safepoint,
    /// `park`: the mutator goes into a blocking call. Until [`Action::Unpark`] it does nothing, and the collector may
    /// answer handshakes for it.
    Park,
    /// `unpark`: the mutator comes back.
    Unpark,
    /// `join`: a mutator with empty roots arrives.
    Join,
    /// `exit`: the mutator leaves and its roots are gone.
    Exit,
}

/// What the collector is told to do. A step that finds nothing to do answers [`Reply::Idle`](crate::heap::Reply::Idle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Collect {
    /// `gc full`: finish a cycle that is under way, then run a whole new one including its sweep (Go: `runtime.GC`).
    /// Every mutator counts as being at a safepoint.
    Full,
    /// `gc start`: finish the sweep of the last cycle, then turn the barrier on and begin to mark.
    Start,
    /// `gc mark 3`: scan up to so many grey objects (the globals count as one).
    Mark(u32),
    /// `gc handshake 0`: this mutator reaches a safepoint and its stack is scanned if that is still to be done.
    Handshake(MutatorId),
    /// `gc finish`: end marking if nothing is left to mark, otherwise answer idle.
    Finish,
    /// `gc sweep 3`: so many steps of sweeping; what a step is (an object, a span) is the heap's choice.
    Sweep(u32),
    /// `gc abort`: give up marking. The barrier goes off, nothing is freed, and the next cycle begins from white.
    Abort,
    /// `gc stats`: how many objects and bytes are allocated and not yet freed, in the reply. Not a step: changes nothing.
    Stats,
    /// `gc pace`: what the pacer goes by, in the reply: a [`Gauge`](crate::gauge::Gauge). Not a step: changes nothing.
    Pace,
}

/// How much the heap may grow from one collection to the next (Go: the environment variable, and `debug.SetGCPercent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gogc {
    /// Without end: only the memory limit or the program itself starts a cycle.
    Off,
    /// By so many per cent of what has to be scanned.
    Percent(u32),
}

/// What happens around the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// `env fail 2`: of the requests for memory that the heap makes to whoever provides it, the second from now on is
    /// refused, and no other. `env fail 0`: none is.
    Fail(u32),
    /// `env clock 1000`: so many milliseconds pass.
    Clock(u32),
    /// `env gogc 50`, `env gogc off`: how much the heap may grow between collections from now on. 100 at first.
    Gogc(Gogc),
    /// `env limit 1048576`, `env limit off`: how many bytes of memory the heap should get along with. At first there is no
    /// limit.
    Limit(Option<u32>),
}

/// One line of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A mutator acts.
    Mutate {
        /// Who.
        by: MutatorId,
        /// What it does.
        action: Action,
    },
    /// The collector acts.
    Collect(Collect),
    /// The world acts.
    Environment(Environment),
}

impl Op {
    /// The operation of mutator `by`.
    pub fn mutate(by: u8, action: Action) -> Op {
        Op::Mutate { by: MutatorId(by), action }
    }
}

/// A list of operations. Any list is a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Program {
    ops: Vec<Op>,
}

impl Program {
    /// A program of these operations.
    pub fn new(ops: Vec<Op>) -> Self {
        Program { ops }
    }

    /// The operations in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The operations, to be changed or taken.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl FromIterator<Op> for Program {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        Program { ops: ops.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_an_operation_is_empty() {
        let one: Program = [Op::Collect(Collect::Full)].into_iter().collect();
        assert_eq!(
            [Program::default(), one].map(|program| (program.is_empty(), program.len())),
            [(true, 0), (false, 1)]
        );
    }
}
