//! Span caches: the few large spans that a mutator freed last, for it to take again without an atomic read-modify-write.
//! Above [`parked`](crate::parked), to which it gives what is too much; a part of each [`cache`](crate::cache).
//!
//! What lies here is free for the mutator and allocated for everybody else, as a slot in a magazine is.
//!
//! Invariants: the first `count` entries are spans, each once, of no more than [`LARGEST`] pages; `pages` is the sum of
//! theirs, and no more than [`MOST`].
//!
//! Source: rpmalloc's span caches.

use crate::{
    geometry::PAGE,
    parked::{LARGEST, slack},
};
use std::cell::Cell;

/// Spans, at most.
const SPANS: usize = 8;
/// Their pages, at most: 4 MiB.
const MOST: usize = (4 << 20) / PAGE;

/// A span: its first page, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) first: usize,
    pub(crate) pages: usize,
}

/// What a mutator has.
pub(crate) struct SpanCache {
    entries: [Cell<Entry>; SPANS],
    count: Cell<usize>,
    pages: Cell<usize>,
}

impl SpanCache {
    /// Nothing.
    pub(crate) const fn new() -> SpanCache {
        SpanCache {
            entries: [const { Cell::new(Entry { first: 0, pages: 0 }) }; SPANS],
            count: Cell::new(0),
            pages: Cell::new(0),
        }
    }

    /// Takes a span of so many pages, which are rounded, or of a few more; gives its first page.
    pub(crate) fn take(&self, wanted: usize) -> Option<usize> {
        if wanted > LARGEST {
            return None;
        }
        let more = slack(wanted);
        // The last one first: it is the most likely to be in the processor's caches.
        let at = (0..self.count.get()).rev().find(|at| self.entries[*at].get().pages.wrapping_sub(wanted) <= more)?;
        Some(self.remove(at).first)
    }

    /// Puts a span in, after giving up those that have been here longest until there is room. Gives the span back if it
    /// is none for here.
    pub(crate) fn put(&self, entry: Entry, mut give_up: impl FnMut(Entry)) -> Result<(), Entry> {
        if entry.pages > LARGEST {
            return Err(entry);
        }
        while self.count.get() == SPANS || self.pages.get() + entry.pages > MOST {
            give_up(self.remove(0));
        }
        self.entries[self.count.get()].set(entry);
        self.count.set(self.count.get() + 1);
        self.pages.set(self.pages.get() + entry.pages);
        Ok(())
    }

    /// Gives everything up.
    pub(crate) fn flush(&self, mut give_up: impl FnMut(Entry)) {
        while self.count.get() > 0 {
            give_up(self.remove(self.count.get() - 1));
        }
    }

    /// The others stay in order.
    fn remove(&self, at: usize) -> Entry {
        let (entry, count) = (self.entries[at].get(), self.count.get() - 1);
        for at in at..count {
            self.entries[at].set(self.entries[at + 1].get());
        }
        self.count.set(count);
        self.pages.set(self.pages.get() - entry.pages);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &SpanCache, first: usize, pages: usize) -> Vec<usize> {
        let mut gone = Vec::new();
        cache.put(Entry { first, pages }, |entry| gone.push(entry.first)).unwrap();
        gone
    }

    #[test]
    fn the_last_span_that_suits_is_taken() {
        let cache = SpanCache::new();
        for (first, pages) in [(1, 10), (2, 12), (3, 13), (4, 40)] {
            put(&cache, first, pages);
        }
        assert_eq!([10, 10, 10].map(|wanted| cache.take(wanted)), [Some(2), Some(1), None]);
        assert_eq!((cache.take(14), cache.take(LARGEST + 1), cache.take(13)), (None, None, Some(3)));
        assert_eq!((cache.count.get(), cache.pages.get()), (1, 40));
    }

    #[test]
    fn what_is_too_much_is_given_up_the_oldest_first() {
        let cache = SpanCache::new();
        let gone: Vec<_> = (0..SPANS + 2).map(|first| put(&cache, first, 5)).collect();
        assert!(gone[..SPANS].iter().all(Vec::is_empty));
        assert_eq!(gone[SPANS..], [[0], [1]]);
        assert_eq!(put(&cache, 20, 256), [2]);
        assert_eq!(put(&cache, 21, 256), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(cache.pages.get(), MOST);
        let large = Entry { first: 30, pages: LARGEST + 32 };
        assert_eq!(cache.put(large, |_| panic!("there is no need")), Err(large));
        let mut rest = Vec::new();
        cache.flush(|entry| rest.push(entry.first));
        assert_eq!((rest, cache.pages.get(), cache.take(5)), (vec![21, 20], 0, None));
    }
}
