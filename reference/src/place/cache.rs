//! Caches: what a processor allocates from without asking anybody.
//!
//! Each processor has a span of every class that it uses, a [tiny](super::tiny) block, and a few free [pages](super::page).
//! As long as its span has a free slot, an allocation is a bit found and a cursor moved, and nobody else is involved. When
//! the span is full, it goes back to its central and another comes in its place: a **refill**.
//!
//! ```text
//!            ┌ class 5, with pointers     ──▶ span with a free slot
//!   cache ───┤ class 5, without           ──▶ none yet
//!            ├ ..  136 of them
//!            ├ tiny block                       flushed: G
//!            └ 64 pages
//! ```
//!
//! A span in a cache is out of the sweeper's sight. So when a cycle has turned, the cache is **flushed** before it is used
//! again: every span goes back, and is swept on the way; the tiny block is forgotten. The generation in which it was last
//! flushed says whether it was; no cycle starts unless all caches were.
//!
//! This chapter grounds laws 37, 38, 39 and 92. Source: Go's `mcache.go`.
//!
//! ```
//! use heaplaw_reference::place::{cache::Cache, class::SpanClass, generation::Generation, page_heap::PageHeap, span::Span};
//! let class = SpanClass::new(5, true);
//! let (mut heap, mut cache) = (PageHeap::new(64 << 20), Cache::new(Generation(0)));
//! assert_eq!(cache.allocate(&mut heap, class), None, "no span: a refill is due");
//! let base = heap.allocate(&mut cache.pages, 1, |base, g| Span::small(base, class, g)).expect("room");
//! assert_eq!(cache.refill(&mut heap, class, base), None, "there was none before");
//! assert_eq!([(); 2].map(|()| cache.allocate(&mut heap, class)), [Some(base), Some(base + 48)]);
//! assert_eq!(cache.empty(&heap).collect::<Vec<_>>(), [(class, base)]);
//! ```

use crate::place::{
    class::{SPAN_CLASSES, SpanClass},
    generation::{Generation, Step, Sweep},
    page::PageCache,
    page_heap::PageHeap,
    tiny::Tiny,
};
use alloc::vec::Vec;

/// What one processor has for itself.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Invariant (law 38): each is cached, and in no other cache and no central.
    spans: [Option<u64>; SPAN_CLASSES],
    flushed: Generation,
    /// Its tiny block.
    pub tiny: Tiny,
    /// Its pages.
    pub pages: PageCache,
}

impl Cache {
    /// An empty one.
    pub fn new(generation: Generation) -> Self {
        Cache { spans: [None; SPAN_CLASSES], flushed: generation, tiny: Tiny::default(), pages: PageCache::default() }
    }

    /// Whether it was flushed since the cycle turned.
    pub fn is_flushed(&self, heap: &PageHeap) -> bool {
        self.flushed == heap.generation()
    }

    /// The spans that it has, in the order of their classes.
    pub fn spans(&self) -> impl Iterator<Item = (SpanClass, u64)> + '_ {
        SpanClass::all().filter_map(|class| Some((class, self.spans[class.index()]?)))
    }

    /// The address of the lowest free slot of its span; `None` if a refill is due.
    ///
    /// # Panics
    /// If a cycle has turned, and it was not flushed.
    pub fn allocate(&mut self, heap: &mut PageHeap, class: SpanClass) -> Option<u64> {
        let base = self.spans[class.index()]?;
        let cached = heap.generation().of(heap.span(base).generation) == Some(Sweep::Cached);
        assert!(cached, "laws 39 and 92: a cache is flushed before it is used again");
        let span = heap.span_mut(base);
        span.allocate().map(|index| span.slot(index))
    }

    /// Puts another span in the place of a full one, and returns that.
    ///
    /// # Panics
    /// If there is room in the old one, or none in the new one, or the new one is not swept or belongs to somebody.
    pub fn refill(&mut self, heap: &mut PageHeap, class: SpanClass, base: u64) -> Option<u64> {
        let old = self.spans[class.index()].replace(base);
        assert!(old.is_none_or(|old| heap.span(old).is_full()), "a refill is for a full span");
        assert!(!heap.span(base).is_full(), "a refill has room");
        assert!(heap.step(base, Step::Cache), "law 39: what is cached is swept, and nobody's");
        old
    }

    /// Forgets its tiny block and all of its spans, and returns those: they have to go to their centrals. It keeps its
    /// pages.
    pub fn empty(&mut self, heap: &PageHeap) -> impl Iterator<Item = (SpanClass, u64)> + use<> {
        let spans: Vec<_> = self.spans().collect();
        self.spans = [None; SPAN_CLASSES];
        self.tiny.flush();
        self.flushed = heap.generation();
        spans.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::span::Span;

    /// Four slots in a page.
    fn class() -> SpanClass {
        SpanClass::new(38, true)
    }

    fn world() -> (PageHeap, Cache, [u64; 2]) {
        let mut heap = PageHeap::new(64 << 20);
        let mut cache = Cache::new(heap.generation());
        let mut make = || heap.allocate(&mut cache.pages, 1, |base, g| Span::small(base, class(), g)).unwrap();
        let bases = [make(), make()];
        cache.refill(&mut heap, class(), bases[0]);
        (heap, cache, bases)
    }

    /// Law 37.
    #[test]
    fn slots_come_in_order_until_the_span_is_full() {
        let (mut heap, mut cache, [a, b]) = world();
        let take = |heap: &mut PageHeap, cache: &mut Cache| cache.allocate(heap, class());
        let taken = [(); 5].map(|()| take(&mut heap, &mut cache));
        assert_eq!(taken, [Some(a), Some(a + 2048), Some(a + 4096), Some(a + 6144), None]);
        assert_eq!(cache.refill(&mut heap, class(), b), Some(a));
        assert_eq!(take(&mut heap, &mut cache), Some(b));
        assert_eq!(cache.spans().collect::<Vec<_>>(), [(class(), b)]);
    }

    #[test]
    fn a_flush_takes_everything_but_the_pages() {
        let (mut heap, mut cache, [a, _]) = world();
        cache.allocate(&mut heap, class());
        cache.tiny.allocate(1, || Some(a));
        heap.turn();
        assert!(!cache.is_flushed(&heap));
        assert_eq!(cache.empty(&heap).collect::<Vec<_>>(), [(class(), a)]);
        assert_eq!((cache.is_flushed(&heap), cache.spans().count(), cache.tiny.block()), (true, 0, None));
        assert!(!cache.pages.is_empty());
    }

    #[test]
    #[should_panic(expected = "laws 39 and 92")]
    fn a_stale_cache_is_not_allocated_from() {
        let (mut heap, mut cache, _) = world();
        heap.turn();
        cache.allocate(&mut heap, class());
    }

    #[test]
    #[should_panic(expected = "for a full span")]
    fn a_span_with_room_is_not_replaced() {
        let (mut heap, mut cache, [_, b]) = world();
        cache.refill(&mut heap, class(), b);
    }

    #[test]
    #[should_panic(expected = "law 39")]
    fn a_span_is_in_one_cache_only() {
        let (mut heap, _, [a, _]) = world();
        Cache::new(heap.generation()).refill(&mut heap, class(), a);
    }

    #[test]
    #[should_panic(expected = "has room")]
    fn a_full_span_is_no_refill() {
        let (mut heap, mut cache, [_, b]) = world();
        let fill = |heap: &mut PageHeap, base| while heap.span_mut(base).allocate().is_some() {};
        fill(&mut heap, b);
        while cache.allocate(&mut heap, class()).is_some() {}
        cache.refill(&mut heap, class(), b);
    }
}
