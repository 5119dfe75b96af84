//! Roots: what mutators hold objects by. An object is never named by a bare address, so a mutator cannot get hold of
//! one that the collector has freed.
//!
//! A mutator's roots are its stack. They live in the heap, where the collector finds them; the mutator has a [`Root`]
//! for each, which says no more than which one.
//!
//! Invariants: a slot is vacant or belongs to exactly one [`Root`]; vacant slots are nil. Slots are touched by the mutator
//! while it runs, and by the collector while it has borrowed them.

use crate::sync::{AtomicUsize, Ordering};
use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
};

/// Where an object is. It does not move. A number for comparing and showing: nothing can be reached through it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(NonZeroUsize);

impl Address {
    /// The address, unless it is 0: nil.
    pub(crate) fn new(address: usize) -> Option<Address> {
        NonZeroUsize::new(address).map(Address)
    }

    /// The address as a number.
    pub fn get(self) -> usize {
        self.0.get()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Names a mutator of a heap, also after it has left: no later one has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MutatorId(pub(crate) u64);

/// A root of a mutator: nil or an object, which it keeps alive. Made by [`Mutator::root`](crate::Mutator::root), lives
/// until it is [released](crate::Mutator::release) or the mutator leaves.
#[derive(Debug)]
pub struct Root {
    /// The mutator that it belongs to. While a root is left, no other mutator of any heap can have the same.
    pub(crate) owner: Arc<()>,
    pub(crate) slot: usize,
}

impl PartialEq for Root {
    fn eq(&self, other: &Root) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner) && self.slot == other.slot
    }
}

impl Eq for Root {}

/// The roots that a stack has room for from the beginning; the first chunk has as many, each following one twice as many.
const FIRST: usize = 128;
const CHUNKS: usize = 32;

/// The stack of a mutator: words that hold addresses, 0 for nil. It grows by chunks that do not move, so that whoever may
/// look at it needs no lock.
#[derive(Debug)]
pub(crate) struct Stack {
    len: AtomicUsize,
    first: [AtomicUsize; FIRST],
    chunks: [OnceLock<Box<[AtomicUsize]>>; CHUNKS],
}

impl Stack {
    pub(crate) fn new() -> Stack {
        Stack {
            len: AtomicUsize::new(0),
            first: std::array::from_fn(|_| AtomicUsize::new(0)),
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// One more slot, which holds this. Only for the mutator.
    #[inline]
    pub(crate) fn push(&self, value: usize) -> usize {
        let slot = self.len.load(Ordering::Relaxed);
        match self.first.get(slot) {
            Some(place) => place.store(value, Ordering::Relaxed),
            None => self.grow(slot).store(value, Ordering::Relaxed),
        }
        self.len.store(slot + 1, Ordering::Relaxed);
        slot
    }

    /// A slot beyond the first, whose chunk may not be there yet.
    #[cold]
    fn grow(&self, slot: usize) -> &AtomicUsize {
        let (chunk, at) = Stack::place(slot);
        &self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| AtomicUsize::new(0)).collect())[at]
    }

    /// Ends the slots from this one on. Only for the mutator.
    #[inline]
    pub(crate) fn truncate(&self, len: usize) {
        debug_assert!(len <= self.len());
        self.len.store(len, Ordering::Relaxed);
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// The chunk that a slot beyond the first is in, and where in it.
    fn place(slot: usize) -> (usize, usize) {
        let chunk = (slot / FIRST).ilog2() as usize;
        (chunk, slot - (FIRST << chunk))
    }

    /// A slot. Relaxed loads and stores will do: who may use it is decided by the mutator's post.
    ///
    /// # Panics
    /// If it was never made.
    #[inline]
    pub(crate) fn slot(&self, slot: usize) -> &AtomicUsize {
        match self.first.get(slot) {
            Some(place) => place,
            None => self.far(slot),
        }
    }

    #[cold]
    fn far(&self, slot: usize) -> &AtomicUsize {
        let (chunk, at) = Stack::place(slot);
        &self.chunks[chunk].get().expect("a slot's chunk is there")[at]
    }

    /// What the slots hold.
    pub(crate) fn values(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|slot| self.slot(slot).load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_what_they_are_while_the_stack_grows() {
        let stack = Stack::new();
        for number in 0..1000 {
            assert_eq!(stack.push(number), number);
            stack.slot(number).store(number + 1, Ordering::Relaxed);
        }
        assert!(stack.values().eq(1..=1000));
        for len in [FIRST + 1, 3] {
            stack.truncate(len);
            assert_eq!((stack.push(0), stack.values().last()), (len, Some(0)));
        }
    }
}
