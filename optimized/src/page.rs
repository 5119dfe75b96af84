//! Pages: who owns which part of the region. Above [`os`](crate::os), below spans.
//!
//! A run of pages is taken at the lowest address where it fits (first fit over a bitmap). When it fits nowhere the
//! region is grown at its end, and the free pages that were there already count.
//!
//! Invariants: a bit is set exactly for the pages that are taken; there is a bit for every mapped page; all pages below
//! `search` are taken; no page from `touched` on was ever taken, so those read zero. Source: Go's `mpagealloc.go`,
//! without its summaries.

use crate::{
    bitmap::Bits,
    error::Error,
    geometry::{GROWTH, PAGE},
    os::Region,
};

/// The pages of a heap.
pub(crate) struct Pages {
    region: Region,
    taken: Bits,
    limit: usize,
    search: usize,
    touched: usize,
}

/// A run of pages that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of its first page.
    pub(crate) first: usize,
    /// Whether it is sure to read zero.
    pub(crate) clean: bool,
}

impl Pages {
    /// Reserves `reservation` bytes, of which at most `limit` will be mapped. Both are cut off to whole pages.
    pub(crate) fn new(reservation: usize, limit: usize) -> Result<Pages, Error> {
        let region = Region::reserve(reservation / PAGE * PAGE)?;
        let limit = limit.min(reservation) / PAGE;
        Ok(Pages { region, taken: Bits::default(), limit, search: 0, touched: 0 })
    }

    /// The memory of all mapped pages.
    pub(crate) fn memory(&self) -> &[u8] {
        self.region.bytes()
    }

    /// The memory of all mapped pages, to be written.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        self.region.bytes_mut()
    }

    /// The address of page 0.
    pub(crate) fn base(&self) -> usize {
        self.region.base()
    }

    /// How many pages can be mapped.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many pages are mapped.
    pub(crate) fn mapped(&self) -> usize {
        self.taken.len()
    }

    /// How many pages are taken.
    pub(crate) fn in_use(&self) -> usize {
        self.taken.count()
    }

    /// Whether this mapped page is taken.
    pub(crate) fn is_taken(&self, page: usize) -> bool {
        self.taken.get(page)
    }

    /// Takes the lowest run of `count` mapped pages, if there is one.
    pub(crate) fn take_mapped(&mut self, count: usize) -> Option<Run> {
        let first = self.taken.fit(self.search, count).ok()?;
        Some(self.claim(first, count))
    }

    /// Takes the lowest run of `count` pages, mapping more if need be.
    pub(crate) fn take(&mut self, count: usize) -> Result<Run, Error> {
        let first = match self.taken.fit(self.search, count) {
            Ok(first) => first,
            Err(tail) => {
                self.grow(count - (self.mapped() - tail), count)?;
                tail
            }
        };
        Ok(self.claim(first, count))
    }

    /// Gives a run back.
    pub(crate) fn give_back(&mut self, first: usize, count: usize) {
        self.taken.fill(first, first + count, false);
        self.search = self.search.min(first);
    }

    fn claim(&mut self, first: usize, count: usize) -> Run {
        let end = first + count;
        self.taken.fill(first, end, true);
        if first == self.search {
            self.search = end;
        }
        let clean = first >= self.touched;
        self.touched = self.touched.max(end);
        Run { first, clean }
    }

    /// Maps at least `missing` more pages, for a run of `count`.
    fn grow(&mut self, missing: usize, count: usize) -> Result<(), Error> {
        let room = self.limit - self.mapped();
        let full = Error::OutOfMemory { requested: count * PAGE };
        if missing > room {
            return Err(full);
        }
        let more = missing.next_multiple_of(GROWTH).min(room);
        // First what can be undone by forgetting it: the bits count only once they are there.
        self.taken.reserve(more).map_err(|_| full)?;
        self.region.commit(more * PAGE)?;
        self.taken.extend(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(limit: usize) -> Pages {
        Pages::new(1 << 26, limit * PAGE).unwrap()
    }

    #[test]
    fn a_run_goes_where_it_fits_lowest() {
        let mut pages = pages(1000);
        for first in [0, 3, 6] {
            assert_eq!(pages.take(3).unwrap(), Run { first, clean: true });
        }
        pages.give_back(0, 3);
        pages.give_back(6, 3);
        assert_eq!(pages.take(4).unwrap(), Run { first: 6, clean: false });
        assert_eq!(pages.take(1).unwrap(), Run { first: 0, clean: false });
        assert_eq!(pages.take(2).unwrap(), Run { first: 1, clean: false });
        assert_eq!(pages.take(1).unwrap(), Run { first: 10, clean: true });
        assert_eq!((pages.in_use(), pages.mapped()), (11, GROWTH));
    }

    #[test]
    fn growing_counts_the_free_pages_at_the_end() {
        let mut pages = pages(1000);
        pages.take(1).unwrap();
        assert_eq!(pages.take(100).unwrap().first, 1);
        assert_eq!(pages.mapped(), 2 * GROWTH);
    }

    #[test]
    fn pages_end_at_the_limit_and_come_back() {
        let mut pages = pages(70);
        assert!(matches!(pages.take(71), Err(Error::OutOfMemory { .. })));
        assert_eq!((pages.mapped(), pages.in_use()), (0, 0), "a refusal changes nothing");
        pages.take(69).unwrap();
        assert_eq!(pages.take(1).unwrap().first, 69);
        assert!(pages.take(1).is_err());
        pages.give_back(5, 1);
        assert_eq!(pages.take(1).unwrap().first, 5);
    }

    #[test]
    fn every_mapped_byte_can_be_written() {
        let mut pages = pages(GROWTH + 1);
        pages.take(GROWTH + 1).unwrap();
        assert_eq!(pages.memory().len(), (GROWTH + 1) * PAGE);
        pages.memory_mut().fill(1);
    }
}
