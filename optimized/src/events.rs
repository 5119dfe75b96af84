//! Events: what the collector says while it works, to whoever listens.

use crate::{
    gc::phase::Phase,
    root::{Address, MutatorId},
};

/// One thing that the collector did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
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
    /// An object was freed.
    Free(Address),
}

/// Is told of every [`Event`], in the order in which they happen. `()` does not listen, and costs nothing.
pub trait Listener: Send {
    /// Takes note of `event`. Called while the heap is locked: must not use the heap.
    fn on(&mut self, event: Event);
}

impl Listener for () {
    fn on(&mut self, _: Event) {}
}
