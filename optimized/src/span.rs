//! Spans: runs of pages that are cut into slots of one size, either all with pointers or all without.
//!
//! Everything that the heap knows about an object is kept here, beside the memory and never in it: objects have no
//! header, and a sweep touches no object.
//!
//! Invariants:
//! * `marked` is a part of `allocated`, and empty unless objects are being marked or the span waits to be swept.
//! * All slots below `first_free` are allocated; `live` slots are.
//! * A slot that is not allocated reads zero unless the span is `dirty`.
//! * `swept` is the number of the cycle that the span was swept for, or born in.
//!
//! Source: Go's `mheap.go` (`mspan`) and `mcentral.go`; facts about its bitmaps in `mbitmap.go`.

use crate::{
    bitmap::Bits,
    class::{CLASSES, Class, LARGE, class},
    geometry::{PAGE, WORD},
    layout::Layout,
};
use std::collections::TryReserveError;

/// What a span is for: a size class, with or without pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) class: usize,
    pub(crate) pointer_free: bool,
}

impl Kind {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = 2 * CLASSES;

    /// The number of a kind, below [`Kind::COUNT`].
    pub(crate) fn number(self) -> usize {
        2 * self.class + usize::from(self.pointer_free)
    }
}

/// A run of pages and what is in it.
pub(crate) struct Span {
    kind: Kind,
    pages: usize,
    /// The bytes and number of its slots; for a large object, one slot of whole pages.
    size: usize,
    slots: usize,
    allocated: Bits,
    marked: Bits,
    /// None for a pointer-free span.
    layout: Option<Layout>,
    live: usize,
    first_free: usize,
    dirty: bool,
    swept: u64,
}

impl Span {
    /// An empty span for small objects.
    pub(crate) fn small(kind: Kind, cycle: u64) -> Result<Box<Span>, TryReserveError> {
        let Class { size, pages, slots, .. } = class(kind.class);
        Span::new(kind, pages, size, slots, cycle)
    }

    /// An empty span for one large object of `pages` pages.
    pub(crate) fn large(pages: usize, pointer_free: bool, cycle: u64) -> Result<Box<Span>, TryReserveError> {
        Span::new(Kind { class: LARGE, pointer_free }, pages, pages * PAGE, 1, cycle)
    }

    fn new(kind: Kind, pages: usize, size: usize, slots: usize, swept: u64) -> Result<Box<Span>, TryReserveError> {
        let (allocated, marked) = (Bits::zeroed(slots)?, Bits::zeroed(slots)?);
        let layout = if kind.pointer_free { None } else { Some(Layout::new(slots, size / WORD)?) };
        // Until it is known which pages it gets.
        let dirty = true;
        let span = Span { kind, pages, size, slots, allocated, marked, layout, live: 0, first_free: 0, dirty, swept };
        Ok(Box::new(span))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The bytes of a slot.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many slots are allocated.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Whether a slot is free.
    pub(crate) fn has_room(&self) -> bool {
        self.live < self.slots
    }

    /// Whether free slots have to be zeroed before use.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Says that the span's pages read zero.
    pub(crate) fn set_clean(&mut self) {
        self.dirty = false;
    }

    pub(crate) fn is_swept(&self, cycle: u64) -> bool {
        self.swept == cycle
    }

    /// The allocated slot that starts `offset` bytes into the span.
    pub(crate) fn slot_at(&self, offset: usize) -> Option<usize> {
        let slot = if self.kind.class == LARGE { 0 } else { class(self.kind.class).slot(offset) };
        (slot < self.slots && slot * self.size == offset && self.allocated.get(slot)).then_some(slot)
    }

    /// Allocates the lowest free slot for an object with so many pointer fields. White.
    pub(crate) fn take(&mut self, pointers: usize) -> Option<usize> {
        let slot = self.allocated.next_zero(self.first_free);
        if slot == self.slots {
            return None;
        }
        self.allocated.set(slot);
        self.first_free = slot + 1;
        self.live += 1;
        if let Some(layout) = &mut self.layout {
            layout.set_pointers(slot, pointers);
        }
        Some(slot)
    }

    /// The pointer fields of a slot.
    pub(crate) fn pointers(&self, slot: usize) -> usize {
        self.layout.as_ref().map_or(0, |layout| layout.pointers(slot))
    }

    pub(crate) fn is_marked(&self, slot: usize) -> bool {
        self.marked.get(slot)
    }

    /// Marks a slot; says whether it was not marked before.
    pub(crate) fn mark(&mut self, slot: usize) -> bool {
        self.marked.set(slot)
    }

    /// Frees the slots that are not marked, naming each, and unmarks the others.
    pub(crate) fn sweep(&mut self, cycle: u64, freed: impl FnMut(usize)) {
        self.allocated.retain(&mut self.marked, freed);
        self.swept = cycle;
        let live = self.allocated.count();
        if live < self.live {
            self.dirty = true;
            self.first_free = 0;
            self.live = live;
        }
    }

    /// The allocated slots, in order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = usize> + '_ {
        self.allocated.ones()
    }

    /// Whether what the span counts is what its bits say.
    pub(crate) fn adds_up(&self) -> bool {
        let full_below = self.allocated.next_zero(0) >= self.first_free;
        let marked_are_allocated = self.marked.ones().all(|slot| self.allocated.get(slot));
        self.live == self.allocated.count() && full_below && marked_are_allocated
    }

    /// How many slots are marked.
    pub(crate) fn marked(&self) -> usize {
        self.marked.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { class: 8, pointer_free: false };

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let mut span = Span::small(KIND, 0).unwrap();
        let slots: Vec<_> = std::iter::from_fn(|| span.take(1)).collect();
        assert_eq!(slots, (0..85).collect::<Vec<_>>());
        assert!(!span.has_room());
        for slot in (0..85).filter(|slot| ![3, 64, 70].contains(slot)) {
            assert!(span.mark(slot));
        }
        let mut freed = Vec::new();
        span.sweep(1, |slot| freed.push(slot));
        assert_eq!((freed, span.marked(), span.live()), (vec![3, 64, 70], 0, 82));
        assert_eq!([span.take(1), span.take(1), span.take(1), span.take(1)], [Some(3), Some(64), Some(70), None]);
        assert!(span.adds_up());
    }

    #[test]
    fn only_the_start_of_an_allocated_slot_is_an_object() {
        let mut span = Span::small(KIND, 0).unwrap();
        span.take(1);
        span.take(1);
        let found: Vec<_> = (0..PAGE).filter(|offset| span.slot_at(*offset).is_some()).collect();
        assert_eq!(found, [0, 96]);
    }
}
