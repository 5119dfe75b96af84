//! Pages: which of them are free. Above [`arena`](crate::arena), below spans.
//!
//! A run of pages is taken at the lowest address where it fits: address-ordered first fit, exact. A bit says that a page
//! is free; a tree of [`Summary`]s over chunks of 512 pages says where runs are, so a search, like a change, touches eight
//! summaries for each level and one chunk. When a run fits nowhere the heap grows at its end, and the free pages
//! that were there already count.
//!
//! A mutator that needs spans often takes all free pages of a group of 64 at once, into its [`PageCache`].
//!
//! Free pages are *present* or *released*: behind the latter there is no memory, and they read zero. New pages start as
//! released, for the kernel puts memory behind them when they are first touched.
//!
//! Invariants: only mapped pages, those below `mapped`, are free; a page is released only if it is free; every summary is
//! that of its part of the bitmap; `free_pages` and `released` count the bits.
//!
//! Source: Go's `mpagealloc.go`, `mpagecache.go`, `mgcscavenge.go`.

use crate::{
    arena::{Arenas, Plan, Planned},
    error::Error,
    geometry::{ARENA, BITS, CHUNK, GROWTH, PAGE},
    os::{Mapped, Zeroed},
    twin::{Twin, wrong},
};
use std::ops::Range;

/// Where free pages are in a part of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    /// The free pages at its very start.
    start: usize,
    /// The longest run.
    max: usize,
    /// The free pages at its very end.
    end: usize,
}

// SAFETY: zero is a number; three times zero says that nothing is free.
unsafe impl Zeroed for Summary {}

impl Summary {
    /// Of `width` pages, followed by a part of `more` pages.
    fn then(self, width: usize, next: Summary, more: usize) -> Summary {
        Summary {
            start: if self.start == width { width + next.start } else { self.start },
            max: self.max.max(next.max).max(self.end + next.start),
            end: if next.end == more { self.end + more } else { next.end },
        }
    }
}

/// Children of a summary.
const FAN: usize = 8;
/// Levels, at most: 8 to the 9th chunks are more than any window has.
const LEVELS: usize = 10;

/// The pages of a heap.
pub(crate) struct Pages {
    free: Mapped<u64>,
    released_bits: Mapped<u64>,
    summaries: Mapped<Summary>,
    /// The part of `summaries` for each level, chunks first.
    levels: [Range<usize>; LEVELS],
    /// The lowest level at which a single summary speaks of all that is mapped. Those above are not kept.
    top: usize,
    limit: usize,
    mapped: usize,
    free_pages: usize,
    released: usize,
}

/// What [`Pages`] needs tables for.
pub(crate) struct PlannedPages {
    free: Planned<u64>,
    released: Planned<u64>,
    summaries: Planned<Summary>,
}

/// A run of pages that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of its first page.
    pub(crate) first: usize,
    /// Whether it is sure to read zero.
    pub(crate) clean: bool,
}

/// The runs of set bits in words, as ranges of bits, in order. One that goes on in the next word is given in parts that
/// touch.
fn runs(words: &[u64]) -> impl Iterator<Item = Range<usize>> + '_ {
    words.iter().enumerate().flat_map(|(number, word)| {
        let (mut word, mut at) = (*word, number * BITS);
        std::iter::from_fn(move || {
            let zeros = word.trailing_zeros() as usize;
            if zeros == BITS {
                return None;
            }
            word >>= zeros;
            at += zeros;
            let ones = word.trailing_ones() as usize;
            word = word.checked_shr(ones as u32).unwrap_or(0);
            let run = at..at + ones;
            at += ones;
            Some(run)
        })
    })
}

/// Where the levels of a window are among its summaries, and which is the last.
fn levels(pages: usize) -> ([Range<usize>; LEVELS], usize) {
    let mut levels = [const { 0..0 }; LEVELS];
    let (mut at, mut len, mut level) = (0, pages.div_ceil(CHUNK).max(1), 0);
    loop {
        levels[level] = at..at + len;
        if len == 1 {
            return (levels, level);
        }
        (at, len, level) = (at + len, len.div_ceil(FAN), level + 1);
    }
}

impl Pages {
    /// Plans for a window of so many pages.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> PlannedPages {
        let (levels, top) = levels(pages);
        let words = pages.div_ceil(CHUNK) * (CHUNK / BITS);
        PlannedPages { free: plan.table(words), released: plan.table(words), summaries: plan.table(levels[top].end) }
    }

    /// No page is mapped, and no more than `limit` will be.
    ///
    /// # Safety
    /// As for [`Arenas::open`].
    pub(crate) unsafe fn open(arenas: &Arenas, planned: PlannedPages, limit: usize) -> Pages {
        let (levels, _) = levels(arenas.pages());
        // SAFETY: the caller's promise.
        let (free, released_bits, summaries) =
            unsafe { (arenas.open(planned.free), arenas.open(planned.released), arenas.open(planned.summaries)) };
        let limit = limit.min(arenas.pages());
        Pages { free, released_bits, summaries, levels, top: 0, limit, mapped: 0, free_pages: 0, released: 0 }
    }

    /// How many pages can be mapped.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many pages are mapped.
    pub(crate) fn mapped(&self) -> usize {
        self.mapped
    }

    /// How many pages are taken.
    pub(crate) fn in_use(&self) -> usize {
        self.mapped - self.free_pages
    }

    /// How many free pages have no memory behind them.
    pub(crate) fn released(&self) -> usize {
        self.released
    }

    /// How many free pages have memory behind them.
    pub(crate) fn present(&self) -> usize {
        self.free_pages - self.released
    }

    /// Whether a page is mapped and free.
    pub(crate) fn is_free(&self, page: usize) -> bool {
        self.free[page / BITS] >> (page % BITS) & 1 == 1
    }

    /// Takes the lowest run of `count` mapped pages that starts at a multiple of `align` pages in address, if there is
    /// one. `base` is the number that page 0 has among all pages of the address space.
    pub(crate) fn take_mapped(&mut self, count: usize, align: usize, base: usize) -> Option<Run> {
        let wanted = count.checked_add(align - 1)?;
        let found = self.find(wanted)?;
        Some(self.claim((base + found).next_multiple_of(align) - base, count))
    }

    /// As [`Pages::take_mapped`], mapping more if need be.
    pub(crate) fn take(&mut self, arenas: &Arenas, count: usize, align: usize, base: usize) -> Result<Run, Error> {
        if let Some(run) = self.take_mapped(count, align, base) {
            return Ok(run);
        }
        let full = Error::OutOfMemory { requested: count.saturating_mul(PAGE) };
        // Before anything is counted that takes time.
        let wanted = count.checked_add(align - 1).filter(|wanted| *wanted <= self.limit).ok_or(full)?;
        self.grow(arenas, wanted - self.free_at_the_end(), full)?;
        self.take_mapped(count, align, base).ok_or(full)
    }

    /// Takes the pages from `first` on if all of them are free: lets a run grow in place.
    pub(crate) fn take_at(&mut self, first: usize, count: usize) -> Option<Run> {
        let free = first + count <= self.mapped && (first..first + count).all(|page| self.is_free(page));
        free.then(|| self.claim(first, count))
    }

    /// Takes all free pages of the group of 64 that a page is in into a cache, which is empty.
    pub(crate) fn take_group_of(&mut self, page: usize, cache: &mut PageCache) {
        debug_assert!(cache.is_empty());
        let group = page / BITS;
        let free = self.free.get(group).copied().unwrap_or(0);
        for run in runs(&[free]).filter(|_| !wrong(Twin::Grouping)) {
            self.claim(group * BITS + run.start, run.len());
        }
        *cache = PageCache { group, free };
    }

    /// Gives a run back.
    pub(crate) fn give_back(&mut self, first: usize, count: usize) {
        debug_assert!((first..first + count).all(|page| page < self.mapped && !self.is_free(page)));
        fill(&mut self.free, first..first + count, true);
        self.free_pages += count;
        self.summarise(first..first + count);
    }

    /// Gives what is left of a cache back.
    pub(crate) fn give_group(&mut self, cache: &mut PageCache) {
        for run in runs(&[std::mem::take(&mut cache.free)]) {
            self.give_back(cache.group * BITS + run.start, run.len());
        }
    }

    /// Gives memory behind free pages back until no more than `keep` of them are present, from the highest address down.
    /// Gives how many were released.
    pub(crate) fn scavenge(&mut self, arenas: &Arenas, keep: usize) -> usize {
        let before = self.released;
        for word in (0..self.mapped.div_ceil(BITS)).rev() {
            let present = self.free[word] & !self.released_bits[word];
            for run in runs(&[present]) {
                if self.free_pages - self.released <= keep {
                    return self.released - before;
                }
                let pages = word * BITS + run.start..word * BITS + run.end;
                // SAFETY: the pages are mapped and free, so nobody has anything in them.
                let gone = unsafe { arenas.decommit(pages) };
                self.released += gone.len();
                fill(&mut self.released_bits, gone, true);
            }
        }
        self.released - before
    }

    fn claim(&mut self, first: usize, count: usize) -> Run {
        let mut released = 0;
        for_words(first..first + count, |word, mask| {
            released += (self.released_bits[word] & mask).count_ones() as usize;
            self.released_bits[word] &= !mask;
            self.free[word] &= !mask;
        });
        self.free_pages -= count;
        self.released -= released;
        self.summarise(first..first + count);
        Run { first, clean: released == count }
    }

    fn free_at_the_end(&self) -> usize {
        let mut count = 0;
        while count < self.mapped {
            let last = self.mapped - count - 1;
            let free = (self.free[last / BITS] << (BITS - 1 - last % BITS)).leading_ones() as usize;
            count += free;
            if free <= last % BITS {
                break;
            }
        }
        count
    }

    /// Maps at least `missing` more pages.
    fn grow(&mut self, arenas: &Arenas, missing: usize, full: Error) -> Result<(), Error> {
        let room = self.limit - self.mapped;
        if missing > room {
            return Err(full);
        }
        // Big heaps in bigger steps, an arena at most.
        let step = missing.max((self.mapped / 16).min(ARENA));
        let new = self.mapped..self.mapped + step.next_multiple_of(GROWTH).min(room);
        arenas.commit(new.clone())?;
        if new.len() >= CHUNK {
            arenas.advise_huge(new.clone());
        }
        self.mapped = new.end;
        let tall = (self.top..LEVELS).find(|level| width(*level) >= new.end).expect("enough for every window");
        self.free_pages += new.len();
        self.released += new.len();
        fill(&mut self.released_bits, new.clone(), true);
        fill(&mut self.free, new.clone(), true);
        self.summarise(new);
        // Levels are used only as far as there is something to sum up.
        while self.top < tall {
            self.top += 1;
            for at in 0..self.mapped.div_ceil(width(self.top)) {
                let entry = self.levels[self.top].start + at;
                self.summaries[entry] = self.of_children(self.top, at);
            }
        }
        Ok(())
    }

    // ---- summaries

    fn chunk(&self, chunk: usize) -> &[u64] {
        &self.free[chunk * (CHUNK / BITS)..][..CHUNK / BITS]
    }

    /// The summary of a chunk, from its bits.
    fn of_chunk(&self, chunk: usize) -> Summary {
        // How long the run is that ends here, and the one at the start once it has ended.
        let (mut run, mut start, mut max) = (0, None, 0);
        for word in self.chunk(chunk) {
            if *word == u64::MAX {
                run += BITS;
                continue;
            }
            let (low, high) = (word.trailing_ones() as usize, word.leading_ones() as usize);
            run += low;
            start = start.or(Some(run));
            max = max.max(run).max(longest(word >> low << low << high >> high));
            run = high;
        }
        Summary { start: start.unwrap_or(run), max: max.max(run), end: run }
    }

    /// The summary of a part, from those below it.
    fn of_children(&self, level: usize, at: usize) -> Summary {
        let (below, width) = (&self.levels[level - 1], width(level - 1));
        let children = &self.summaries[below.start + at * FAN..below.end.min(below.start + (at + 1) * FAN)];
        let mut sum = children[0];
        for (number, child) in (1..).zip(&children[1..]) {
            sum = sum.then(number * width, *child, width);
        }
        // Missing children are not free.
        if children.len() < FAN {
            sum.end = 0;
        }
        sum
    }

    /// Brings the summaries up to date after these pages changed.
    fn summarise(&mut self, pages: Range<usize>) {
        let (mut from, mut to) = (pages.start / CHUNK, (pages.end.max(1) - 1) / CHUNK);
        for level in 0..=self.top {
            let mut changed = false;
            for at in from..=to {
                let sum = if level == 0 { self.of_chunk(at) } else { self.of_children(level, at) };
                let entry = &mut self.summaries[self.levels[level].start + at];
                changed |= *entry != sum;
                *entry = sum;
            }
            if !changed {
                return;
            }
            (from, to) = (from / FAN, to / FAN);
        }
    }

    /// The lowest run of `count` free pages.
    fn find(&self, count: usize) -> Option<usize> {
        let root = self.summaries[self.levels[self.top].start];
        if root.max < count {
            return None;
        }
        let (mut level, mut at) = (self.top, 0);
        'down: while level > 0 {
            level -= 1;
            let (range, width) = (&self.levels[level], width(level));
            // Where the free pages start that end where the next child starts.
            let mut start = at * FAN * width;
            for child in at * FAN..((at + 1) * FAN).min(range.len()) {
                let sum = self.summaries[range.start + child];
                if child * width + sum.start >= start + count {
                    return Some(start);
                }
                if sum.max >= count {
                    at = child;
                    continue 'down;
                }
                if sum.start < width {
                    start = (child + 1) * width - sum.end;
                }
            }
            unreachable!("the summary above says that there is a run of {count} pages");
        }
        let mut last = 0..0;
        for run in runs(self.chunk(at)) {
            last = if run.start == last.end { last.start..run.end } else { run };
            if last.len() >= count {
                return Some(at * CHUNK + last.start);
            }
        }
        unreachable!("the summary of chunk {at} says that there is a run of {count} pages")
    }

    // ---- self-check

    /// The first page, or part of the window, of which the summaries or counts are wrong.
    pub(crate) fn verify(&self) -> Result<(), usize> {
        let (mut free, mut released) = (0, 0);
        // To the end of the last chunk: its summary is of all its bits.
        let words = self.mapped.next_multiple_of(CHUNK) / BITS;
        for (word, (bits, gone)) in self.free.iter().zip(self.released_bits.iter()).enumerate().take(words) {
            let first = word * BITS;
            if first >= self.mapped && (*bits | *gone) != 0 || *gone & !*bits != 0 {
                return Err(first);
            }
            free += bits.count_ones() as usize;
            released += gone.count_ones() as usize;
        }
        if (free, released) != (self.free_pages, self.released) {
            return Err(self.mapped);
        }
        for level in 0..=self.top {
            for at in 0..self.mapped.div_ceil(width(level)) {
                let sum = if level == 0 { self.of_chunk(at) } else { self.of_children(level, at) };
                if self.summaries[self.levels[level].start + at] != sum {
                    return Err(at * width(level));
                }
            }
        }
        Ok(())
    }
}

/// The longest run of ones in a word.
fn longest(mut word: u64) -> usize {
    let mut count = 0;
    while word != 0 {
        word &= word >> 1;
        count += 1;
    }
    count
}

/// The pages of a summary of this level.
fn width(level: usize) -> usize {
    CHUNK * FAN.pow(level as u32)
}

/// The words that a range of bits is in, each with the mask of its part.
fn for_words(bits: Range<usize>, mut with: impl FnMut(usize, u64)) {
    let mut at = bits.start;
    while at < bits.end {
        let count = (BITS - at % BITS).min(bits.end - at);
        with(at / BITS, u64::MAX >> (BITS - count) << (at % BITS));
        at += count;
    }
}

fn fill(words: &mut [u64], bits: Range<usize>, value: bool) {
    for_words(bits, |word, mask| {
        if value {
            words[word] |= mask;
        } else {
            words[word] &= !mask;
        }
    });
}

/// Free pages that belong to one mutator, all of one group of 64.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    group: usize,
    free: u64,
}

impl PageCache {
    /// A cache without pages.
    pub(crate) const fn empty() -> PageCache {
        PageCache { group: 0, free: 0 }
    }

    /// Whether it has no pages.
    pub(crate) fn is_empty(&self) -> bool {
        self.free == 0
    }

    /// Takes the lowest run of `count` pages.
    pub(crate) fn take(&mut self, count: usize) -> Option<usize> {
        let run = runs(&[self.free]).find(|run| run.len() >= count)?;
        fill(std::slice::from_mut(&mut self.free), run.start..run.start + count, false);
        Some(self.group * BITS + run.start)
    }
}

#[cfg(test)]
mod tests;
