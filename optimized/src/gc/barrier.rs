//! The write barrier: Go's hybrid of Yuasa's deletion barrier and Dijkstra's insertion barrier. Both halves are
//! unconditional: neither the colour of the object that is stored into nor that of the stack is asked for.
//!
//! Every store of a pointer into a field or a global goes through here; roots are not places, and stores into them do
//! not. A barrier that is on records both pointers in the mutator's buffer. They are shaded when that is full, and at every
//! handshake; in a heap that is collected in steps, at once. To put it off is sound: who decides that nothing is grey has
//! everybody flush first, see [`terminate`](super::terminate).
//!
//! Whether the barrier is on is the mutator's own flag, which changes only at its safepoints. So between looking at it and
//! storing, it cannot change.
//!
//! Source: Go's proposal 17503, `mbarrier.go` and `mwbbuf.go`; Yuasa 1990; Dijkstra et al. 1978.

use crate::{
    events::Listener,
    local::{Buffer, Local},
    space,
    state::State,
    sync::{AtomicUsize, Ordering},
    twin::{Twin, wrong},
};

impl<L: Listener> State<L> {
    /// What a store of `new` over `old` owes the collector, to be paid before the store.
    #[inline]
    pub(crate) fn barrier(&self, local: &Local, old: usize, new: usize) {
        if local.barrier.get() {
            self.record(local, [old, new]);
        }
    }

    #[cold]
    fn record(&self, local: &Local, [old, new]: [usize; 2]) {
        let old = if wrong(Twin::Deletion) { 0 } else { old };
        let new = if wrong(Twin::Insertion) { 0 } else { new };
        let len = local.buffer.record([old, new]);
        if self.config.workers == 0 || Buffer::is_full(len) {
            self.flush_barrier(local);
        }
    }

    /// Shades what a mutator's barrier has recorded.
    pub(crate) fn flush_barrier(&self, local: &Local) {
        let recorded = local.buffer.drain();
        // After the end of marking all that is reachable is marked; what is white was born since.
        if self.stage.phase().is_marking() {
            self.shade_all(recorded);
        }
    }

    /// Stores a pointer in a field or a global.
    #[inline]
    pub(crate) fn store(&self, local: &Local, cell: &AtomicUsize, new: usize) {
        self.barrier(local, cell.load(Ordering::Relaxed), new);
        space::put(cell, new);
    }

    /// Stores `count` pointers that are read from one object into another, or the same, as if all were read first.
    pub(crate) fn copy_fields(&self, local: &Local, into: (usize, usize), from: (usize, usize), count: usize) {
        // Upwards or downwards, whichever reads a field before it overwrites it.
        let downwards = into.0 == from.0 && into.1 > from.1;
        for step in 0..count {
            let index = if downwards { count - 1 - step } else { step };
            let value = self.space.field(from.0, from.1 + index).load(Ordering::Acquire);
            self.store(local, self.space.field(into.0, into.1 + index), value);
        }
    }

    /// Stores nil in `count` fields from `at` on.
    pub(crate) fn clear_fields(&self, local: &Local, object: usize, at: usize, count: usize) {
        for index in at..at + count {
            self.store(local, self.space.field(object, index), 0);
        }
    }
}
