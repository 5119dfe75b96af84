//! Parked spans: large spans that were freed and are kept whole for whoever next asks for as many pages. Above
//! [`central`](crate::central); like that it is given its storage.
//!
//! To free a large span and make another is to clear and write what the index says of each page, and to search the free
//! pages, under their lock. A span that is parked keeps its pages and its place in the index; taking it is one exchange.
//! That needs sizes to recur, so the pages of a large block are [`rounded`] up, by less than an eighth, and a block gets
//! a span that is up to two such steps too large if there is no other. What it does not touch of it costs addresses and
//! no memory.
//!
//! ```text
//!   allocate ◀── bin of so many pages, or the next two ◀── free        larger, or too many ──▶ free pages
//! ```
//!
//! Parked pages are not free for spans of other sizes: so there are no more than [`MOST`], and all are given up with the
//! small spans that are empty, and before an allocation fails.
//!
//! Invariants:
//! * A span that is parked is held and empty, in the one bin of as many pages as it has.
//! * `pages` counts what is parked, and for a moment what is about to be.
//!
//! Orderings: what is written of a span before it is parked is published by the stack; `pages` is relaxed, a count that
//! orders nothing.
//!
//! Source: the size classes of jemalloc's large extents, twice as fine.

use crate::{
    central::{Central, Store},
    geometry::PAGE,
    sync::{AtomicUsize, Ordering},
};

/// Steps from one power of two to the next: eight.
const STEPS: u32 = 3;
/// The most pages of a span that is parked: 2 MiB.
pub(crate) const LARGEST: usize = (2 << 20) / PAGE;
const BINS: usize = bin(LARGEST) + 1;
/// The most pages that are parked: 8 MiB.
const MOST: usize = (8 << 20) / PAGE;
/// How many bins further up a span is looked for: a quarter more, at most.
const SLACK: usize = 2;

/// The distance, as a shift, from one of the rounded sizes to the next, where `pages` is.
const fn step(pages: usize) -> u32 {
    pages.ilog2().saturating_sub(STEPS)
}

/// The bin of a rounded size: sizes in order.
const fn bin(pages: usize) -> usize {
    let step = step(pages);
    ((step as usize) << STEPS) + (pages >> step)
}

/// The rounded size of a bin.
const fn size(bin: usize) -> usize {
    let step = (bin >> STEPS).saturating_sub(1);
    (bin - (step << STEPS)) << step
}

/// Whether a span of `pages` pages is as good as one of `wanted`, which is rounded.
pub(crate) fn suits(pages: usize, wanted: usize) -> bool {
    pages == wanted || wanted < pages && pages <= LARGEST && bin(pages) - bin(wanted) <= SLACK
}

/// How many pages more than `wanted`, which is rounded, [suit](suits) at least: a quarter of the power of two below.
pub(crate) const fn slack(wanted: usize) -> usize {
    SLACK << step(wanted)
}

/// So many pages, at least one, or a few more.
pub(crate) fn rounded(pages: usize) -> usize {
    if pages > LARGEST { pages } else { pages.next_multiple_of(1 << step(pages)) }
}

/// Whether what had `old` bytes or pages, and is to have `new`, is likely to grow again soon: who grows in large steps
/// does that seldom.
pub(crate) fn grows_on(old: usize, new: usize) -> bool {
    new > old && new - old < old / 4
}

/// What a block gets that has grown by little, and so is likely to grow on: so many pages and as many more as still
/// [suit](suits).
pub(crate) fn roomy(pages: usize) -> usize {
    let pages = rounded(pages);
    if pages > LARGEST { pages } else { size((bin(pages) + SLACK).min(BINS - 1)) }
}

/// Large spans that are kept.
pub(crate) struct Parked {
    bins: [Central; BINS],
    pages: AtomicUsize,
}

impl Parked {
    /// None.
    pub(crate) fn new() -> Parked {
        Parked { bins: std::array::from_fn(|_| Central::new()), pages: AtomicUsize::new(0) }
    }

    /// About how many pages are parked.
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    /// Takes a span that [`suits`]; the caller has it to itself, and it is allocated.
    pub(crate) fn take(&self, store: &impl Store, wanted: usize) -> Option<usize> {
        if wanted > LARGEST {
            return None;
        }
        let mut bins = (bin(wanted)..BINS).take(1 + SLACK);
        let (bin, span) = bins.find_map(|bin| self.bins[bin].pop(store).map(|span| (bin, span)))?;
        self.pages.fetch_sub(size(bin), Ordering::Relaxed);
        store.bits(span)[0].store(1, Ordering::Relaxed);
        store.room(span).reset(0, false);
        Some(span)
    }

    /// Parks a span of so many pages that the caller has to itself, if it is worth it.
    pub(crate) fn park(&self, store: &impl Store, span: usize, pages: usize) -> bool {
        if pages > LARGEST || rounded(pages) != pages || self.pages() + pages > MOST {
            return false;
        }
        self.pages.fetch_add(pages, Ordering::Relaxed);
        store.bits(span)[0].store(0, Ordering::Relaxed);
        store.room(span).reset(1, true);
        self.bins[bin(pages)].push(store, span);
        true
    }

    /// Takes all spans; the caller has each to itself, and it is free.
    pub(crate) fn take_all<'s>(&'s self, store: &'s impl Store) -> impl Iterator<Item = usize> + 's {
        self.bins.iter().flat_map(|bin| bin.take_all(store))
    }

    /// Says that a span of so many pages, of those that [`Parked::take_all`] gave, has ended.
    pub(crate) fn ended(&self, pages: usize) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }

    /// The spans that are parked, each with how many pages it should have been parked for; while nobody changes that.
    pub(crate) fn iter<'s>(&'s self, store: &'s impl Store) -> impl Iterator<Item = (usize, usize)> + 's {
        (0..).zip(&self.bins).flat_map(move |(at, bin)| bin.iter(store).map(move |span| (span, size(at))))
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_by_less_than_an_eighth_and_each_has_its_bin() {
        let mut last = (0, 0);
        for pages in 1..=LARGEST {
            let up = rounded(pages);
            assert!(up >= pages && (up - pages) * 8 < pages && rounded(up) == up, "{pages} pages become {up}");
            let now = (up, bin(up));
            assert_eq!(size(now.1), up);
            let next = now.1 == last.1 + 1 && pages == last.0 + 1;
            assert!(now == last || next, "{last:?} is followed by {now:?}");
            last = now;
        }
        assert_eq!((last.1 + 1, rounded(LARGEST + 1)), (BINS, LARGEST + 1));
    }

    #[test]
    fn a_span_suits_if_it_is_a_quarter_too_large_at_most() {
        for wanted in (1..=LARGEST).map(rounded) {
            assert!(suits(roomy(wanted), wanted) && roomy(wanted) == rounded(roomy(wanted)));
            let most = (wanted + slack(wanted)).min(LARGEST);
            assert!((wanted..=most).all(|pages| rounded(pages) != pages || suits(pages, wanted)), "{wanted}");
            assert!(suits(wanted, wanted) && !suits(wanted - 1, wanted) && !suits(LARGEST + 9, wanted), "{wanted}");
            for pages in (wanted..LARGEST).map(rounded).filter(|pages| suits(*pages, wanted)) {
                assert!(pages - wanted <= (wanted / 4).max(SLACK), "{pages} for {wanted}");
            }
        }
    }
}
