//! The write barrier: Go's hybrid of Yuasa's deletion barrier and Dijkstra's insertion barrier. What is overwritten is
//! shaded always, what is stored while the stack of who stores is grey: as the proposal has it, where Go shades both. A
//! stack that was scanned holds nothing white but what something grey in the heap leads to, and that can be cut only by
//! overwriting. The colour of the object that is stored into is never asked for. `heaplaw explore
//! hybrid-my-stack-in-steps` follows every interleaving of it.
//!
//! Either half alone is a [`Barrier`] too, if the rest of the collector makes up for what is missing:
//!
//! ```text
//!              shades                         stacks are scanned                     invariant
//!   hybrid     old; new, if stack is grey     once, one by one                       weak, modified
//!   insertion  new                            again, until a round finds nothing     strong
//!   deletion   old                            all, before the first object           weak
//! ```
//!
//! With insertion alone, a stack that was scanned may get hold of what is white, from an object that is grey. So stacks
//! stay grey: in the round that decides about the end of marking each is scanned again. If one of them shades anything,
//! the round does not count, see [`terminate`](super::terminate). If none does, no stack holds anything white: what is
//! behind something black is not white, and from another stack it would have come through a store or a hand-over, which
//! shade. With deletion alone, what was on a stack that is not scanned may be hidden behind something black, and deleted
//! nowhere. So nothing is scanned before all stacks are; until then both halves are on, since the stacks are not scanned
//! all at once.
//!
//! Every store of a pointer into a field or a global goes through here; roots are not places, and stores into them do
//! not. A barrier that is on records in the mutator's buffer what is to be shaded. That is done when the buffer is
//! full, and at every handshake; in a heap that is collected in steps, at once. To put it off is sound: who decides
//! that nothing is grey has everybody flush first, see [`terminate`](super::terminate).
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

/// Which pointers a store shades while a cycle is marking. What a heap does besides follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Barrier {
    /// Go's: what is overwritten, and as long as the mutator's stack is not scanned what is stored. Each stack is scanned
    /// once, at any time.
    #[default]
    Hybrid,
    /// Dijkstra's: what is stored. Stacks are scanned again before marking ends, and again if that found anything.
    Insertion,
    /// Yuasa's: what is overwritten. All stacks are scanned before the first object is.
    Deletion,
    /// None at all, to be measured or to be caught: a program that stores while a cycle is marking **loses objects that it
    /// can reach**. They read as [`Error::Dangling`](crate::Error::Dangling), or as whatever was allocated in their place.
    None,
}

impl<L: Listener> State<L> {
    /// What a store of `new` over `old` owes the collector, to be paid before the store.
    #[inline]
    pub(crate) fn barrier(&self, local: &Local, old: impl FnOnce() -> usize, new: usize) {
        if local.barrier.get() {
            self.record(local, [old(), new]);
        }
    }

    #[cold]
    fn record(&self, local: &Local, [old, new]: [usize; 2]) {
        let [old, new] = match self.config.barrier {
            Barrier::Hybrid => [old, if local.scanned.get() { 0 } else { new }],
            Barrier::Insertion => [0, new],
            // Relaxed: whoever does not see it yet shades too much.
            Barrier::Deletion if self.snapshot.load(Ordering::Relaxed) => [old, 0],
            Barrier::Deletion => [old, new],
            Barrier::None => [0, 0],
        };
        let old = if wrong(Twin::Deletion) { 0 } else { old };
        let new = if wrong(Twin::Insertion) { 0 } else { new };
        let len = local.buffer.record([old, new]);
        // Who takes steps, or listens to objects, finds what a store has shaded.
        let at_once = self.config.workers == 0 && (L::OBJECTS || !self.config.paced);
        if at_once || Buffer::is_full(len) {
            self.flush_barrier(local);
        }
    }

    /// Shades what a mutator's barrier has recorded; gives how much that was.
    pub(crate) fn flush_barrier(&self, local: &Local) -> usize {
        let recorded = local.buffer.drain();
        // After the end of marking all that is reachable is marked; what is white was born since.
        if !self.stage.phase().is_marking() {
            return recorded.count();
        }
        recorded.clone().for_each(|pointer| self.space.fetch_mark(pointer));
        self.shade_all(recorded)
    }

    /// Stores a pointer in a field or a global.
    #[inline]
    pub(crate) fn store(&self, local: &Local, cell: &AtomicUsize, new: usize) {
        self.barrier(local, || cell.load(Ordering::Relaxed), new);
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
