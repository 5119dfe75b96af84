//! Roots: what mutators hold objects by. An object is never named by a bare address, so a mutator cannot get hold of
//! one that the collector has freed.
//!
//! A mutator's roots are its stack. They live in the heap, where the collector finds them; the mutator has a [`Root`]
//! for each, which says no more than which one.
//!
//! Invariants: a slot is vacant or belongs to exactly one [`Root`]; vacant slots are nil.

use std::{fmt, num::NonZeroUsize, sync::Arc};

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

/// The roots of a mutator.
pub(crate) struct Stack {
    pub(crate) owner: MutatorId,
    /// Whether this cycle has looked at it: black, not grey.
    pub(crate) scanned: bool,
    pub(crate) slots: Vec<Option<Address>>,
    vacant: Vec<usize>,
}

impl Stack {
    /// No roots yet, so nothing to look at.
    pub(crate) fn new(owner: MutatorId) -> Stack {
        Stack { owner, scanned: true, slots: Vec::new(), vacant: Vec::new() }
    }

    /// A slot for a new root.
    pub(crate) fn take(&mut self) -> usize {
        self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    /// Takes a slot back.
    pub(crate) fn release(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.vacant.push(slot);
    }
}

/// The globals of a heap.
pub(crate) struct Globals {
    pub(crate) slots: Box<[Option<Address>]>,
    /// Whether this cycle has looked at them: black, not grey.
    pub(crate) scanned: bool,
}
