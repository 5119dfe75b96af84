//! The central sets: one for each kind of span, of those that have room and that no mutator holds. Above
//! [`stack`](crate::stack) and [`slots`](crate::slots); like those it is given its storage.
//!
//! A set is a lock-free stack. A span enters it when the first of its slots is freed, or when its holder has had enough,
//! and leaves it only at the top, so it may become empty while it is inside; whoever pops it then decides.
//!
//! Invariant: the spans in a set are held (see [`Room`]), and each is in one set, once.
//!
//! Source: Go's `mcentral.go`; the hand-over in one word replaces its full sets and their locks.

use crate::{
    slots::{self, Room},
    stack::{Links, Stack},
    sync::AtomicU64,
};

/// Where the spans of a set keep what allocation needs.
pub(crate) trait Store: Links {
    /// Who may allocate in a span, and how much.
    fn room(&self, span: usize) -> &Room;
    /// The bits of its slots.
    fn bits(&self, span: usize) -> &[AtomicU64];
    /// The number of its slots.
    fn slots(&self, span: usize) -> usize;
}

/// The spans of one kind that have room.
#[repr(align(64))]
#[derive(Debug)]
pub(crate) struct Central {
    partial: Stack,
}

/// What freeing slots did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Whether all of the slots were allocated.
    pub(crate) sound: bool,
    /// Whether the span has no allocated slot any more.
    pub(crate) emptied: bool,
}

impl Central {
    /// No spans.
    #[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
    pub(crate) const fn new() -> Central {
        Central { partial: Stack::new() }
    }

    /// No spans, for a model.
    #[cfg(all(test, any(heaplaw_loom, heaplaw_shuttle)))]
    pub(crate) fn new() -> Central {
        Central { partial: Stack::new() }
    }

    /// Takes a span; the caller is its holder now.
    pub(crate) fn pop(&self, store: &impl Store) -> Option<usize> {
        self.partial.pop(store)
    }

    /// Puts a span in that the caller holds.
    pub(crate) fn push(&self, store: &impl Store, span: usize) {
        self.partial.push(store, span);
    }

    /// Flips a bit of where the set begins.
    #[cfg(test)]
    pub(crate) fn flip(&self, bit: usize) {
        self.partial.flip(bit);
    }

    /// Takes all spans; the caller holds them.
    pub(crate) fn take_all<'s>(&self, store: &'s impl Store) -> impl Iterator<Item = usize> + 's {
        self.partial.take_all(store)
    }

    /// The spans in the set, while nobody changes it.
    pub(crate) fn iter<'s>(&self, store: &'s impl Store) -> impl Iterator<Item = usize> + 's {
        self.partial.iter(store)
    }

    /// Allocates up to `want` slots of a span that the caller holds, and ends the hold: the span goes into the set if it
    /// still has room. Gives how many slots that were, and whether the span was empty before.
    pub(crate) fn allocate(
        &self,
        store: &impl Store,
        span: usize,
        want: usize,
        took: impl FnMut(usize),
    ) -> (usize, bool) {
        let (room, slots) = (store.room(span), store.slots(span));
        let count = slots::allocate(store.bits(span), slots, want, took);
        let was_empty = count > 0 && room.remove(count) == slots;
        if !room.let_go() {
            self.push(store, span);
        }
        (count, was_empty)
    }

    /// Frees the slots of a span that `mask` names in one of its words. Anybody may, at any time.
    pub(crate) fn free(&self, store: &impl Store, span: usize, word: usize, mask: u64) -> Freed {
        let (free, held) = store.room(span).add(mask.count_ones() as usize);
        let emptied = free == store.slots(span);
        let sound = slots::free(store.bits(span), word, mask);
        if held {
            self.push(store, span);
        }
        Freed { sound, emptied }
    }
}
