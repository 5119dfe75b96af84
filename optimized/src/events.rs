//! Events: what the collector says while it works, to whoever listens.

use crate::{
    gc::phase::Phase,
    root::{Address, MutatorId},
};

/// Why a cycle starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The heap has grown as much as GOGC allows for.
    Trigger,
    /// There is a limit to memory, and the heap is near it.
    Limit,
    /// Two minutes have gone by since objects were last marked.
    Time,
    /// The program has asked for it, or has asked for memory that was not there.
    Told,
}

/// One thing that the collector did. [Tiny objects](crate::Config::tiny) have one address for all that share a block: that
/// of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A cycle starts, for this reason.
    Start(Cause),
    /// The collector is now in this phase.
    Phase(Phase),
    /// A white object is now grey.
    Shade(Address),
    /// A grey object is now black. Pointer-free objects turn black as soon as they are grey.
    Scan(Address),
    /// A mutator's roots have been looked at.
    ScanStack(MutatorId),
    /// The globals have been looked at.
    ScanGlobals,
    /// An object was found dead and is kept, because it has a finalizer, which is due.
    Finalize(Address),
    /// An object was freed.
    Free(Address),
    /// A mutator, or the collector for one that is parked, begins to do what the collector asks of it. A
    /// [pause](Event::Pause) is what follows.
    Asked(MutatorId),
    /// A mutator has done what the collector asked of it, or the collector for one that is parked; it could not run
    /// meanwhile.
    Pause {
        /// Which.
        mutator: MutatorId,
        /// One for being asked, and one for each root that held something and each recorded pointer that was looked at.
        units: usize,
        /// The spans that it had windows into, if they were marked or given back.
        spans: usize,
    },
    /// A mutator that allocates has swept so many spans for want of room.
    Reclaim {
        /// Which.
        mutator: MutatorId,
        /// How many.
        spans: usize,
    },
}

/// Is told of every [`Event`], by whichever thread it happens in: a mutator's, if that shades or sweeps, or the
/// collector's. Where only one thread is at work, the order is that in which things happen. `()` does not listen, and costs
/// nothing.
pub trait Listener: Send + Sync + 'static {
    /// Whether it is told of single objects: [`Shade`](Event::Shade), [`Scan`](Event::Scan) and [`Free`](Event::Free). Then
    /// objects are marked one by one, which is slow; the rest costs next to nothing.
    const OBJECTS: bool = true;

    /// Takes note of `event`. Must not use the heap.
    fn on(&self, event: Event);
}

impl Listener for () {
    const OBJECTS: bool = false;

    fn on(&self, _: Event) {}
}
