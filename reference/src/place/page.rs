//! Pages: the lowest run that is free.
//!
//! All memory of the heap is pages of 8 KiB, given out in runs and taken back in runs. The policy is **first fit by
//! address**, page by page: of all runs of `n` free pages, the one with the lowest address. That keeps the heap low and
//! dense, and the high end free to be given back to the kernel. Here it is found by looking at every page;
//! [summaries](super::summary) find the same one fast.
//!
//! ```text
//!   page      0  1  2  3  4  5  6  7  8  9 ..           # in use   . free   - free, and released to the kernel
//!             #  #  .  #  .  .  #  -  -  -
//!   1 page          ▲
//!   2 pages               ▲
//!   3 pages                        ▲   3 released pages, which have to be made ready first
//! ```
//!
//! Memory comes in **chunks** of 512 pages, all of them free and released: none is backed by memory until it is used.
//!
//! **A page cache** is one processor's share: of the 64 pages, aligned, around the lowest free page, all that are free.
//! They count as in use until they are given back, even if nobody uses them; so first fit is first fit among the pages
//! that no cache holds. Within a cache it is the lowest run again.
//!
//! This chapter grounds laws 23, 43, 45 and 46. Source: Go's `mpagealloc.go`, `mpallocbits.go` and `mpagecache.go`.
//!
//! ```
//! use heaplaw_reference::place::page::{CHUNK, Pages};
//! let mut pages = Pages::default();
//! pages.grow(0, CHUNK);
//! assert_eq!([2, 1, 3].map(|count| pages.allocate(count).map(|run| run.first)), [0, 2, 3].map(Some));
//! pages.free(2, 1)?;
//! assert_eq!(pages.allocate(2).map(|run| (run.first, run.released)), Some((6, 2)));
//! let mut cache = pages.fill_cache().expect("a free page");
//! assert_eq!((cache.allocate(2), cache.allocate(1)).0.map(|run| run.first), Some(8), "page 2 stands alone");
//! # Ok::<(), heaplaw_reference::place::page::NotInUse>(())
//! ```

use alloc::{collections::BTreeSet, vec::Vec};

/// The pages by which a heap grows: 4 MiB.
pub const CHUNK: u64 = 512;

/// The pages that a page cache may hold.
pub const CACHE: u64 = 64;

/// Runs that are shorter are taken from a page cache.
pub const CACHED: u64 = CACHE / 4;

/// Pages that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of the first.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// How many of them have to be made ready.
    pub released: u64,
}

/// A page that was to be freed, and is free or was never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInUse(pub u64);

/// Every page of a heap, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Chunks that the heap has.
    chunks: BTreeSet<u64>,
    /// Invariant: in these chunks.
    free: BTreeSet<u64>,
    /// Invariant: a part of those that are free.
    released: BTreeSet<u64>,
}

impl Pages {
    /// Adds chunks, free and released.
    ///
    /// # Panics
    /// If they are not whole chunks, or there already.
    pub fn grow(&mut self, first: u64, count: u64) {
        assert!(first.is_multiple_of(CHUNK) && count.is_multiple_of(CHUNK), "a heap grows by whole chunks");
        for chunk in first / CHUNK..(first + count) / CHUNK {
            assert!(self.chunks.insert(chunk), "chunk {chunk} is there already");
        }
        self.free.extend(first..first + count);
        self.released.extend(first..first + count);
    }

    /// How many pages there are.
    pub fn count(&self) -> u64 {
        self.chunks.len() as u64 * CHUNK
    }

    /// The free ones, in order.
    pub fn free_pages(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.free.iter().copied()
    }

    /// How many are released.
    pub fn released(&self) -> u64 {
        self.released.len() as u64
    }

    /// The first page of the lowest run of so many free pages.
    pub fn find(&self, count: u64) -> Option<u64> {
        let (mut run, mut next) = (0, 0);
        for page in self.free_pages() {
            run = if page == next { run + 1 } else { 1 };
            next = page + 1;
            if run >= count {
                return Some(next - count);
            }
        }
        None
    }

    /// Takes the lowest run of so many free pages; `None`, and nothing has changed, if there is none.
    ///
    /// # Panics
    /// If it is for no page.
    pub fn allocate(&mut self, count: u64) -> Option<Run> {
        assert!(count > 0, "a run has a page");
        let first = self.find(count)?;
        let released = (first..first + count).filter(|page| self.take(*page)).count() as u64;
        Some(Run { first, count, released })
    }

    /// Takes a page, and says whether it was released.
    fn take(&mut self, page: u64) -> bool {
        self.free.remove(&page);
        self.released.remove(&page)
    }

    /// Takes a run back.
    ///
    /// # Errors
    /// The first page that is not in use. Nothing has changed then.
    pub fn free(&mut self, first: u64, count: u64) -> Result<(), NotInUse> {
        let known = |page: u64| self.chunks.contains(&(page / CHUNK)) && !self.free.contains(&page);
        match (first..first + count).find(|page| !known(*page)) {
            Some(page) => Err(NotInUse(page)),
            None => {
                self.free.extend(first..first + count);
                Ok(())
            }
        }
    }

    /// Takes every free page of the 64 around the lowest free page.
    pub fn fill_cache(&mut self) -> Option<PageCache> {
        let base = self.find(1)? / CACHE * CACHE;
        let mut cache = PageCache { base, ..PageCache::default() };
        for (bit, page) in (base..base + CACHE).enumerate() {
            if self.free.contains(&page) {
                cache.free |= 1 << bit;
                cache.released |= u64::from(self.take(page)) << bit;
            }
        }
        Some(cache)
    }

    /// Notes that so many pages are given to the kernel, and which: free ones that are not released yet, from the highest
    /// address down.
    pub fn release(&mut self, count: usize) -> Vec<u64> {
        let unreleased = self.free_pages().rev().filter(|page| !self.released.contains(page));
        let given: Vec<_> = unreleased.take(count).collect();
        self.released.extend(&given);
        given
    }
}

/// Free pages of one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCache {
    /// The page of bit 0. A multiple of 64.
    base: u64,
    /// A bit for each free page.
    free: u64,
    /// A bit for each free page that is released. Invariant: a part of `free`.
    released: u64,
}

impl PageCache {
    /// Whether it has no page.
    pub fn is_empty(&self) -> bool {
        self.free == 0
    }

    /// How many pages it has.
    pub fn count(&self) -> u64 {
        self.free.count_ones().into()
    }

    /// How many of them are released.
    pub fn released(&self) -> u64 {
        self.released.count_ones().into()
    }

    /// Takes the lowest run of so many pages; `None`, and nothing has changed, if there is none.
    pub fn allocate(&mut self, count: u64) -> Option<Run> {
        let run = 1u64.checked_shl(count as u32).map_or(u64::MAX, |bit| bit - 1);
        let bit = (0..=CACHE.checked_sub(count)?).find(|bit| self.free >> bit & run == run)?;
        let taken = run << bit;
        let released = u64::from((self.released & taken).count_ones());
        self.free &= !taken;
        self.released &= !taken;
        Some(Run { first: self.base + bit, count, released })
    }

    /// Gives everything back.
    pub fn flush(&mut self, pages: &mut Pages) {
        let PageCache { base, free, released } = core::mem::take(self);
        let those = |bits: u64| (base..base + CACHE).filter(move |page| bits >> (page - base) & 1 == 1);
        pages.free.extend(those(free));
        pages.released.extend(those(released));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;

    fn firsts(runs: impl IntoIterator<Item = Option<Run>>) -> Vec<u64> {
        runs.into_iter().map(|run| run.map_or(u64::MAX, |run| run.first)).collect()
    }

    #[test]
    fn a_run_may_cross_chunks_but_no_gap_between_them() {
        let mut pages = Pages::default();
        pages.grow(0, 2 * CHUNK);
        pages.grow(3 * CHUNK, 2 * CHUNK);
        let placed = [500, 1024, 530, 494, 1].map(|count| pages.allocate(count));
        assert_eq!(firsts(placed), [0, 3 * CHUNK, u64::MAX, 500, 994], "{pages:?}");
        assert_eq!(pages.find(30), None);
    }

    /// Laws 23 and 43, against one flag for each page: 0 free, 1 in use, 2 in the cache.
    #[test]
    fn the_lowest_run_is_taken_and_every_page_is_in_one_place() {
        let (mut dice, mut pages, mut cache) = (Dice(23), Pages::default(), PageCache::default());
        pages.grow(0, CHUNK);
        let (mut where_, mut live, mut refused) = ([0; CHUNK as usize], Vec::new(), 0);
        for _ in 0..5000 {
            match dice.below(9) {
                0..=3 if !live.is_empty() => {
                    let (first, count): (u64, u64) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    pages.free(first, count).unwrap();
                    where_[first as usize..(first + count) as usize].fill(0);
                }
                4 => {
                    cache.flush(&mut pages);
                    where_.iter_mut().filter(|flag| **flag == 2).for_each(|flag| *flag = 0);
                    let lowest = where_.iter().position(|flag| *flag == 0);
                    cache = pages.fill_cache().unwrap_or_default();
                    if let Some(lowest) = lowest {
                        let group = lowest / 64 * 64;
                        where_[group..group + 64].iter_mut().filter(|flag| **flag == 0).for_each(|flag| *flag = 2);
                    }
                }
                kind => {
                    let (from, count) = if kind < 7 { (0, 1 + dice.below(40)) } else { (2, 1 + dice.below(20)) };
                    let lowest = where_.windows(count as usize).position(|run| run.iter().all(|flag| *flag == from));
                    let run = if from == 0 { pages.allocate(count) } else { cache.allocate(count) };
                    assert_eq!(run.map(|run| run.first as usize), lowest, "{count} pages from {from}");
                    let Some(first) = lowest else {
                        refused += 1;
                        continue;
                    };
                    where_[first..first + count as usize].fill(1);
                    live.push((first as u64, count));
                }
            }
            let in_use = live.iter().map(|(_, count)| count).sum::<u64>();
            assert_eq!(in_use + pages.free_pages().count() as u64 + cache.count(), pages.count());
        }
        assert!(refused > 100);
    }

    #[test]
    fn pages_that_are_free_cannot_be_freed() {
        let mut pages = Pages::default();
        pages.grow(CHUNK, CHUNK);
        pages.allocate(10);
        let before = pages.clone();
        let attempts = [(CHUNK - 1, 1), (CHUNK + 8, 3), (2 * CHUNK, 1)].map(|(first, count)| pages.free(first, count));
        assert_eq!(attempts, [CHUNK - 1, CHUNK + 10, 2 * CHUNK].map(|page| Err(NotInUse(page))));
        assert_eq!(pages, before);
    }

    /// Laws 45 and 46.
    #[test]
    fn released_pages_are_free_and_are_counted_when_they_are_taken() {
        let mut pages = Pages::default();
        pages.grow(0, CHUNK);
        assert_eq!(pages.allocate(10), Some(Run { first: 0, count: 10, released: 10 }));
        pages.free(2, 4).unwrap();
        assert_eq!(pages.release(3), [5, 4, 3], "from the highest down, and nothing in use");
        assert_eq!(pages.released(), CHUNK - 10 + 3);
        assert_eq!(pages.allocate(3), Some(Run { first: 2, count: 3, released: 2 }));
        let mut cache = pages.fill_cache().unwrap();
        assert_eq!((cache.count(), cache.released(), pages.released()), (55, 55, CHUNK - 64));
        assert_eq!(cache.allocate(1), Some(Run { first: 5, count: 1, released: 1 }));
        cache.flush(&mut pages);
        assert_eq!((cache.is_empty(), pages.released(), pages.release(9)), (true, CHUNK - 10, Vec::new()));
    }

    #[test]
    fn a_whole_cache_may_be_one_run() {
        let mut pages = Pages::default();
        pages.grow(0, CHUNK);
        let mut cache = pages.fill_cache().unwrap();
        assert_eq!((cache.allocate(65), cache.allocate(64).map(|run| run.first)), (None, Some(0)));
        assert!(cache.is_empty());
    }

    #[test]
    #[should_panic(expected = "whole chunks")]
    fn a_heap_grows_by_whole_chunks() {
        Pages::default().grow(0, 100);
    }
}
