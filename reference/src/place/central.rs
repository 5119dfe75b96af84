//! Centrals: the spans of one class that nobody is using.
//!
//! There is one for each of the 136 span classes. It has four queues: spans with a free slot (*partial*) and without
//! (*full*), each swept and unswept. Which queue is which of a pair is told by the heap's generation; when that turns, the
//! swept ones are the unswept ones, and no span has moved.
//!
//! ```text
//!                        G = 8               G = 10
//!   partial [0]          swept      ──▶      unswept       a cycle turned: what was swept
//!   partial [1]          unswept    ──▶      swept         has to be swept again
//! ```
//!
//! A cache that needs a span asks, and gets the first of these that there is:
//!
//! ```text
//!   1. a partial swept one
//!   2. a partial unswept one: claim it, sweep it, and it has room
//!   3. a full unswept one:    claim it, sweep it; if it has no room now, it is full and swept: try the next
//!      2 and 3 take 101 spans out of their queues at most, so that no request waits for long
//!   4. a fresh one, of the page heap: that is up to the asker
//! ```
//!
//! Queues are first in, first out. A span in an unswept queue may have been swept meanwhile by someone who found it another
//! way; its claim fails then, and it is dropped, as it is filed elsewhere or gone.
//!
//! What a span's worth of sweeping costs the asker before step 1 is the [pacer](crate::pacer)'s affair.
//!
//! This chapter grounds laws 38, 39, 91 and 92. Source: Go's `mcentral.go` and `mspanset.go`.
//!
//! ```
//! use heaplaw_reference::place::{central::Central, class::SpanClass, page::PageCache, page_heap::PageHeap, span::Span};
//! let class = SpanClass::new(5, true);
//! let (mut heap, mut central) = (PageHeap::new(64 << 20), Central::new(class));
//! let base = heap.allocate(&mut PageCache::default(), 1, |base, g| Span::small(base, class, g)).expect("room");
//! heap.span_mut(base).allocate();
//! central.file(&heap, base);
//! heap.mark(base);
//! heap.turn();
//! assert_eq!(central.take(&mut heap, true), Some(base), "found unswept, and swept");
//! assert_eq!(central.take(&mut heap, true), None);
//! ```

use crate::place::{
    class::SpanClass,
    generation::{Step, Sweep},
    page_heap::{PageHeap, Swept},
};
use alloc::collections::VecDeque;

/// How many spans are taken out of unswept queues for one request at most.
pub const BUDGET: usize = 101;

/// The spans of one class that no cache has.
#[derive(Clone, Debug)]
pub struct Central {
    class: SpanClass,
    /// By the parity of the generation in which they were filed.
    partial: [VecDeque<u64>; 2],
    full: [VecDeque<u64>; 2],
}

impl Central {
    /// Without a span.
    pub fn new(class: SpanClass) -> Self {
        let queues = || [VecDeque::new(), VecDeque::new()];
        Central { class, partial: queues(), full: queues() }
    }

    /// Files a span that was swept, and belongs to nobody, by whether it has room.
    ///
    /// # Panics
    /// If it is of another class, or was not swept (laws 35 and 92).
    pub fn file(&mut self, heap: &PageHeap, base: u64) {
        let span = heap.span(base);
        assert_eq!(span.class(), self.class, "law 35: a span stays in its class");
        let swept = heap.generation().of(span.generation) == Some(Sweep::Swept);
        assert!(swept, "law 92: what is filed is swept");
        let queues = if span.is_full() { &mut self.full } else { &mut self.partial };
        queues[heap.generation().parity()].push_back(base);
    }

    /// A swept span with a free slot, by steps 1 to 3, which nobody else has; the unswept are left alone if sweeping is
    /// over.
    pub fn take(&mut self, heap: &mut PageHeap, sweeping: bool) -> Option<u64> {
        let swept = heap.generation().parity();
        if let Some(base) = self.partial[swept].pop_front() {
            return Some(base);
        }
        let mut budget = if sweeping { BUDGET } else { 0 };
        for queues in [&mut self.partial, &mut self.full] {
            while budget > 0
                && let Some(base) = queues[1 - swept].pop_front()
            {
                budget -= 1;
                if heap.step(base, Step::Claim) {
                    match heap.sweep(base, true) {
                        // No longer unswept: of the two queues, this can only be that of the full ones.
                        Swept::Full => queues[swept].push_back(base),
                        Swept::Partial | Swept::Freed(_) => return Some(base),
                    }
                }
            }
        }
        None
    }

    /// Takes back the span of a cache. If a cycle turned while it was there, it is swept now, by its owner.
    ///
    /// # Panics
    /// If it was not in a cache, or holds nothing.
    pub fn put(&mut self, heap: &mut PageHeap, base: u64) {
        assert!(heap.span(base).allocated() > 0, "a cached span was allocated from");
        let stale = heap.generation().of(heap.span(base).generation) == Some(Sweep::Stale);
        assert!(heap.step(base, Step::Uncache), "law 39: it was cached");
        if !stale || !matches!(heap.sweep(base, false), Swept::Freed(_)) {
            self.file(heap, base);
        }
    }

    /// Sweeps the next unswept span, one of the full ones first; the pages that were freed by that, or `None` if there is
    /// no such span.
    pub fn sweep_one(&mut self, heap: &mut PageHeap) -> Option<u64> {
        let unswept = 1 - heap.generation().parity();
        loop {
            let base = self.full[unswept].pop_front().or_else(|| self.partial[unswept].pop_front())?;
            if heap.step(base, Step::Claim) {
                return Some(match heap.sweep(base, false) {
                    Swept::Freed(pages) => pages,
                    Swept::Full | Swept::Partial => {
                        self.file(heap, base);
                        0
                    }
                });
            }
        }
    }

    /// The spans that are filed as swept, or as unswept.
    pub fn filed(&self, heap: &PageHeap, swept: bool) -> impl Iterator<Item = u64> + '_ {
        let index = if swept { heap.generation().parity() } else { 1 - heap.generation().parity() };
        self.full[index].iter().chain(&self.partial[index]).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{page::PageCache, span::Span};
    use alloc::vec::Vec;

    /// Four slots in a page.
    const CLASS: usize = 38;

    struct World {
        heap: PageHeap,
        central: Central,
        bases: Vec<u64>,
    }

    /// Spans with so many objects each, all filed; then, all but so many of them marked, and a cycle turned.
    fn world(spans: impl IntoIterator<Item = (u64, u64)>) -> World {
        let class = SpanClass::new(CLASS, true);
        let mut heap = PageHeap::new(64 << 20);
        let (mut central, mut cache, mut bases) = (Central::new(class), PageCache::default(), Vec::new());
        for (objects, dead) in spans {
            let base = heap.allocate(&mut cache, 1, |base, g| Span::small(base, class, g)).unwrap();
            let span = heap.span_mut(base);
            (0..objects).for_each(|_| _ = span.allocate());
            (dead..objects).for_each(|index| span.mark(index));
            central.file(&heap, base);
            bases.push(base);
        }
        heap.turn();
        World { heap, central, bases }
    }

    #[test]
    fn a_partial_span_is_taken_before_a_full_one_and_a_swept_one_before_any() {
        let World { mut heap, mut central, bases } = world([(4, 0), (4, 2), (3, 0), (2, 2), (4, 0)]);
        assert_eq!(central.take(&mut heap, false), None, "all are unswept");
        assert_eq!(central.take(&mut heap, true), Some(bases[2]));
        assert_eq!(central.take(&mut heap, true), Some(bases[3]), "kept, although it is empty");
        assert_eq!(central.take(&mut heap, true), Some(bases[1]), "after the first, which stays full");
        assert_eq!(central.filed(&heap, true).collect::<Vec<_>>(), [bases[0]]);
        assert_eq!(central.filed(&heap, false).collect::<Vec<_>>(), [bases[4]]);
        assert!(heap.step(bases[2], Step::Cache));
        central.put(&mut heap, bases[2]);
        assert_eq!(central.take(&mut heap, true), Some(bases[2]), "swept already");
        assert_eq!((central.take(&mut heap, true), central.filed(&heap, false).count()), (None, 0));
    }

    #[test]
    fn one_hundred_and_one_spans_are_looked_at_and_no_more() {
        let full = |count: usize| core::iter::repeat_n((4, 0), count).chain([(4, 1)]);
        let World { mut heap, mut central, bases } = world(full(100));
        assert_eq!(central.take(&mut heap, true), Some(bases[100]), "the 101st has room");
        let World { mut heap, mut central, .. } = world(full(101));
        assert_eq!(central.take(&mut heap, true), None, "the 102nd would");
        assert_eq!((central.filed(&heap, true).count(), central.filed(&heap, false).count()), (101, 1));

        // Steps 2 and 3 share the budget, whether a claim succeeds or not.
        let partial = core::iter::repeat_n((3, 0), 60);
        let World { mut heap, mut central, bases } = world(partial.chain(full(41)));
        for base in &bases[..60] {
            assert!(heap.step(*base, Step::Claim));
        }
        assert_eq!((central.take(&mut heap, true), central.filed(&heap, false).count()), (None, 1));
    }

    #[test]
    fn a_span_that_somebody_else_swept_is_dropped() {
        let World { mut heap, mut central, bases } = world([(3, 0), (3, 3), (3, 1)]);
        for base in &bases[..2] {
            assert!(heap.step(*base, Step::Claim));
        }
        assert_eq!(heap.sweep(bases[0], false), Swept::Partial);
        assert_eq!(heap.sweep(bases[1], false), Swept::Freed(1));
        assert_eq!((central.sweep_one(&mut heap), central.sweep_one(&mut heap)), (Some(0), None));
        assert_eq!(central.filed(&heap, true).collect::<Vec<_>>(), [bases[2]]);
    }

    #[test]
    fn the_full_are_swept_before_the_partial() {
        let World { mut heap, mut central, bases } = world([(3, 3), (4, 0), (4, 4), (2, 1)]);
        let swept: Vec<_> = core::iter::from_fn(|| central.sweep_one(&mut heap)).collect();
        assert_eq!(swept, [0, 1, 1, 0]);
        assert_eq!(central.filed(&heap, true).collect::<Vec<_>>(), [bases[1], bases[3]]);
    }

    #[test]
    fn a_stale_span_is_swept_when_it_leaves_its_cache() {
        let World { mut heap, mut central, bases } = world([(4, 0), (4, 0)]);
        while central.sweep_one(&mut heap).is_some() {}
        for base in &bases {
            assert!(heap.step(*base, Step::Cache));
        }
        let mut central = Central::new(SpanClass::new(CLASS, true));
        heap.mark(bases[0]);
        heap.turn();
        bases.iter().for_each(|base| central.put(&mut heap, *base));
        assert_eq!(heap.span(bases[0]).allocated(), 1);
        assert!(heap.find(bases[1]).is_none(), "nothing lived in the other");
        assert_eq!(central.filed(&heap, true).collect::<Vec<_>>(), [bases[0]]);
    }

    #[test]
    #[should_panic(expected = "law 92")]
    fn what_is_not_swept_is_not_filed() {
        let World { heap, mut central, bases } = world([(1, 0)]);
        central.file(&heap, bases[0]);
    }

    #[test]
    #[should_panic(expected = "law 35")]
    fn another_class_is_not_filed() {
        let World { heap, bases, .. } = world([(1, 0)]);
        Central::new(SpanClass::new(CLASS, false)).file(&heap, bases[0]);
    }

    #[test]
    #[should_panic(expected = "law 39")]
    fn what_was_not_cached_is_not_put_back() {
        let World { mut heap, mut central, bases } = world([(1, 0)]);
        central.put(&mut heap, bases[0]);
    }
}
