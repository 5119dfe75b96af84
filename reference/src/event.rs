//! Events: what a heap says about its collector while it performs an operation.
//!
//! A heap that says nothing can still be judged by what its mutators see. A heap that reports its events can be judged
//! at every step, long before a mistake has cost an object. Events name objects by [`Address`], since a heap knows no
//! birth numbers; they are reported in the order in which they happen, and belong to the operation in whose course they
//! happen.

use crate::{object::Address, op::MutatorId};
use core::fmt;

/// The phase of a collection cycle, in the order in which phases follow one another.
///
/// ```text
///          gc start              gc finish (nothing grey, every stack scanned)
///   Off ────────────▶ Mark ────────────▶ Terminate ────────────▶ Sweep ────────────▶ Off
///                     barrier on         barrier on              barrier off
/// ```
///
/// Go folds `Sweep` into its phase `_GCoff`; here the phase is kept apart, because "off" promises that nothing is left
/// to sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No cycle, and nothing left to sweep.
    #[default]
    Off,
    /// Objects are being marked; the barrier is on.
    Mark,
    /// Marking has ended; the barrier is on until every mutator knows.
    Terminate,
    /// Unmarked objects are being freed; the barrier is off.
    Sweep,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Off => "off",
            Phase::Mark => "mark",
            Phase::Terminate => "terminate",
            Phase::Sweep => "sweep",
        })
    }
}

/// Why a cycle starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The live heap has reached the trigger that GOGC sets.
    Trigger,
    /// It has reached the one that the memory limit sets.
    Limit,
    /// Nothing was marked for two minutes.
    Time,
    /// The program asked for it.
    Told,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 4] = [Cause::Trigger, Cause::Limit, Cause::Time, Cause::Told];

    /// The word for it in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Trigger => "trigger",
            Cause::Limit => "limit",
            Cause::Time => "time",
            Cause::Told => "told",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that a collector did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A cycle starts, and this is why. Comes just before the phase does.
    Start(Cause),
    /// The collector is now in this phase. Entering [`Phase::Mark`] turns every object white and every stack grey.
    Phase(Phase),
    /// A white object is now grey: marked, and queued or recorded so that it will be scanned.
    Shade(Address),
    /// An object is now black: all its fields have been looked at. A pointer-free object may turn black unseen.
    Scan(Address),
    /// This mutator's roots have been looked at: its stack is black.
    ScanStack(MutatorId),
    /// The globals have been looked at: they are black.
    ScanGlobals,
    /// An object was found dead and has a finalizer. It is kept, and marked if need be; its finalizer is due.
    Finalize(Address),
    /// An object's memory may be handed out again.
    Free(Address),
    /// Mutators were kept from running for so many units of work: one of them, or all at once if none is named. One unit
    /// is a root that is looked at and holds something, an object that is scanned, a slot or span that is swept, or a
    /// mutator that is told something. What a mutator waits for in a full collection, or does in its own barrier, is no
    /// pause.
    Pause {
        /// Who; `None` for the whole world.
        who: Option<MutatorId>,
        /// For how many units.
        units: u64,
    },
}
