//! Summaries: the lowest run of free pages without looking at every page.
//!
//! A terabyte has 2²⁷ pages. Three numbers about a range of pages are enough to search it without looking inside: how many
//! are free at its **start**, how many at its **end**, and the longest run anywhere (**max**). Summaries of neighbours
//! merge into the summary of both. So there is a tree of them, each entry for 8 of the level below:
//!
//! ```text
//!   level 0    16 GiB each, 16384 of them      [ s  m  e ] [ s  m  e ] ..
//!   level 1     2 GiB                            ╱ ╱ │ ╲ ╲
//!   level 2   256 MiB                        8 entries of the level below
//!   level 3    32 MiB
//!   level 4     4 MiB: a chunk               ##..#...  start 0, max 3, end 3      ....##..  start 4, max 4, end 2
//!                                                   together: start 0, max 3 + 4, end 2
//! ```
//!
//! **The search** walks the 8 entries of a block from left to right and keeps the length of the free run that ends where
//! it stands. If that run and the next entry's start are enough, it is found, on the boundary. If not, and an entry's max
//! is enough, the run lies within that entry, and the search goes down. Since a boundary is looked at before the entry
//! behind it, what is found is always the lowest. Everything below the **search address** is known to be in use, and is
//! skipped.
//!
//! An entry is one word: three numbers of 21 bits, and one bit for the case that needs a 22nd, when all is free.
//!
//! This chapter grounds laws 23 and 24. Source: Go's `mpagealloc.go`; proposal 35112.
//!
//! ```
//! use heaplaw_reference::place::summary::{Summary, Tree};
//! let left = Summary { start: 3, max: 7, end: 5 };
//! let right = Summary { start: 6, max: 9, end: 2 };
//! assert_eq!(Summary::merge([left, right], 512), Summary { start: 3, max: 11, end: 2 });
//! let mut tree = Tree::default();
//! tree.grow(512, 1024);
//! assert_eq!((tree.allocate(600), tree.allocate(600), tree.allocate(424)), (Some(512), None, Some(1112)));
//! ```

use crate::place::page::CHUNK;
use alloc::collections::BTreeMap;

/// How many levels the tree has.
pub const LEVELS: usize = 5;

/// The pages of an entry of level 0.
pub const TOP: u64 = 1 << 21;

/// The pages of an entry of a level.
pub const fn width(level: usize) -> u64 {
    TOP >> (3 * level)
}

/// What is known of a range of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Free pages at its start.
    pub start: u64,
    /// The longest run of free pages in it.
    pub max: u64,
    /// Free pages at its end.
    pub end: u64,
}

impl Summary {
    /// Of so many pages, each free or not.
    pub fn of(free: impl IntoIterator<Item = bool>) -> Self {
        Summary::merge(
            free.into_iter().map(|free| Summary { start: free.into(), max: free.into(), end: free.into() }),
            1,
        )
    }

    /// Of neighbours of `width` pages each, from left to right.
    pub fn merge(parts: impl IntoIterator<Item = Summary>, width: u64) -> Self {
        let mut whole = Summary::default();
        for (part, before) in parts.into_iter().zip((0..).step_by(width as usize)) {
            if whole.start == before {
                whole.start += part.start;
            }
            whole.max = whole.max.max(whole.end + part.start).max(part.max);
            whole.end = if part.end == width { whole.end + width } else { part.end };
        }
        whole
    }

    /// In one word.
    pub fn pack(self) -> u64 {
        let Summary { start, max, end } = self;
        if max == TOP { 1 << 63 } else { start | max << 21 | end << 42 }
    }

    /// From one word.
    pub fn unpack(word: u64) -> Self {
        if word >> 63 == 1 {
            return Summary { start: TOP, max: TOP, end: TOP };
        }
        Summary { start: word % TOP, max: (word >> 21) % TOP, end: word >> 42 }
    }
}

/// Pages that are free or in use, and their summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The pages of each chunk: a bit is set if the page is in use.
    chunks: BTreeMap<u64, [u64; 8]>,
    /// The entries of each level, packed; those that are not there are 0. Invariant (law 24): each is the summary of its
    /// pages, and pages that the heap does not have are in use.
    levels: [BTreeMap<u64, u64>; LEVELS],
    /// Invariant: every page below is in use.
    search: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { chunks: BTreeMap::new(), levels: [const { BTreeMap::new() }; LEVELS], search: u64::MAX }
    }
}

impl Tree {
    /// Adds chunks, all free.
    ///
    /// # Panics
    /// If they are not whole chunks.
    pub fn grow(&mut self, first: u64, count: u64) {
        assert!(first.is_multiple_of(CHUNK) && count.is_multiple_of(CHUNK), "a heap grows by whole chunks");
        self.chunks.extend((first / CHUNK..(first + count) / CHUNK).map(|chunk| (chunk, [u64::MAX; 8])));
        self.free(first, count);
    }

    /// Takes the lowest run of so many free pages.
    pub fn allocate(&mut self, count: u64) -> Option<u64> {
        let found = self.find(count);
        match found {
            Some(first) => {
                self.set(first, count, true);
                if self.search == first {
                    self.search = first + count;
                }
            }
            // Nothing is free at all.
            None if count == 1 => self.search = u64::MAX,
            None => {}
        }
        found
    }

    /// Takes a run back.
    pub fn free(&mut self, first: u64, count: u64) {
        self.set(first, count, false);
        self.search = self.search.min(first);
    }

    fn set(&mut self, first: u64, count: u64, in_use: bool) {
        for page in first..first + count {
            let words = self.chunks.get_mut(&(page / CHUNK)).expect("the heap has the page");
            let (word, bit) = (&mut words[(page % CHUNK / 64) as usize], 1 << (page % 64));
            *word = if in_use { *word | bit } else { *word & !bit };
        }
        for level in (0..LEVELS).rev() {
            for index in first / width(level)..=(first + count - 1) / width(level) {
                let summary = self.summarize(level, index);
                self.levels[level].insert(index, summary.pack());
            }
        }
    }

    /// The summary of an entry: of the level below, or of the pages.
    fn summarize(&self, level: usize, index: u64) -> Summary {
        if level == LEVELS - 1 {
            return Summary::of((0..CHUNK).map(|page| self.is_free(index * CHUNK + page)));
        }
        Summary::merge((8 * index..8 * index + 8).map(|child| self.entry(level + 1, child)), width(level + 1))
    }

    fn is_free(&self, page: u64) -> bool {
        self.chunks
            .get(&(page / CHUNK))
            .is_some_and(|words| words[(page % CHUNK / 64) as usize] >> (page % 64) & 1 == 0)
    }

    /// An entry.
    pub fn entry(&self, level: usize, index: u64) -> Summary {
        Summary::unpack(self.levels[level].get(&index).copied().unwrap_or(0))
    }

    /// The first page of the lowest run of so many free pages.
    ///
    /// # Panics
    /// If a summary promises more than there is.
    pub fn find(&self, count: u64) -> Option<u64> {
        // All of level 0 is one block; below, 8 entries are.
        let (mut level, mut block) = (0, 0..u64::MAX);
        'down: loop {
            let (width, first) = (width(level), block.start.max(self.search / width(level)));
            let (mut run, mut next) = (0, first);
            for (&index, &word) in self.levels[level].range(first..block.end) {
                let entry = Summary::unpack(word);
                if index != next || word == 0 {
                    run = 0;
                }
                next = index + 1;
                if word == 0 {
                    continue;
                }
                if run + entry.start >= count {
                    return Some(index * width - run);
                }
                if entry.max >= count {
                    if level == LEVELS - 1 {
                        return Some(self.find_in_chunk(index, count));
                    }
                    (level, block) = (level + 1, 8 * index..8 * index + 8);
                    continue 'down;
                }
                run = if run == 0 || entry.start < width { entry.end } else { run + width };
            }
            assert_eq!(level, 0, "a summary promises more than there is");
            return None;
        }
    }

    fn find_in_chunk(&self, chunk: u64, count: u64) -> u64 {
        let mut starts = chunk * CHUNK..=(chunk + 1) * CHUNK - count;
        let all_free = |first: &u64| (*first..first + count).all(|page| self.is_free(page));
        starts.find(all_free).expect("a summary promises no more than there is")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Dice, PAGE, page::Pages};
    use alloc::vec::Vec;

    fn summary(start: u64, max: u64, end: u64) -> Summary {
        Summary { start, max, end }
    }

    #[test]
    fn the_published_vectors_are_reproduced() {
        let full = summary(512, 512, 512);
        let vectors = [
            ([full, summary(10, 20, 30)], summary(522, 522, 30)),
            ([summary(3, 7, 5), summary(6, 9, 2)], summary(3, 11, 2)),
            ([summary(0, 0, 0), full], summary(0, 512, 512)),
        ];
        vectors.into_iter().for_each(|(parts, whole)| assert_eq!(Summary::merge(parts, 512), whole));
        assert_eq!(Summary::merge([full; 8], 512), summary(4096, 4096, 4096));
        let mib = [0, 1, 2, 3, 4].map(|level| (width(level) * PAGE) >> 20);
        assert_eq!(mib, [16 << 10, 2 << 10, 256, 32, 4]);
        assert_eq!((width(LEVELS - 1), 16_384 * TOP * PAGE), (CHUNK, 1 << 48), "all addresses");
    }

    #[test]
    fn a_summary_fits_into_a_word() {
        for some in [summary(0, 0, 0), summary(1, 2, 3), summary(TOP - 1, TOP - 1, 0), summary(TOP, TOP, TOP)] {
            assert_eq!(Summary::unpack(some.pack()), some);
        }
        assert_eq!(summary(0, 0, 0).pack(), 0, "nothing is free");
    }

    /// Every entry recomputed from its pages, and nothing free below the search address.
    fn verify(tree: &Tree) -> bool {
        let below = |chunk: u64| (0..CHUNK).map(move |page| chunk * CHUNK + page).filter(|page| *page < tree.search);
        let lost = tree.chunks.keys().flat_map(|chunk| below(*chunk)).any(|page| tree.is_free(page));
        let entries =
            tree.levels.iter().enumerate().flat_map(|(level, entries)| entries.keys().map(move |i| (level, *i)));
        let truth = |level: usize, index: u64| {
            let chunks = width(level) / CHUNK;
            let chunks = (index * chunks..(index + 1) * chunks).map(|chunk| {
                let known = tree.chunks.contains_key(&chunk);
                if known {
                    Summary::of((0..CHUNK).map(|page| tree.is_free(chunk * CHUNK + page)))
                } else {
                    Summary::default()
                }
            });
            Summary::merge(chunks, CHUNK)
        };
        !lost && entries.into_iter().all(|(level, index)| tree.entry(level, index) == truth(level, index))
    }

    /// Laws 23 and 24.
    #[test]
    fn the_search_finds_what_looking_at_every_page_finds() {
        let mut dice = Dice(24);
        for round in 0..8 {
            // Two pieces, on both sides of a boundary of level 0, with a gap in one half of the rounds.
            let (mut tree, mut pages) = (Tree::default(), Pages::default());
            let edge = (1 + round) * TOP;
            for (first, count) in [(edge - 9 * CHUNK, 8 + round % 2), (edge, 3)] {
                tree.grow(first, count * CHUNK);
                pages.grow(first, count * CHUNK);
            }
            let mut live = Vec::new();
            for step in 0..300 {
                if dice.below(5) < 2 && !live.is_empty() {
                    let (first, count) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    tree.free(first, count);
                    pages.free(first, count).unwrap();
                } else {
                    let most = [4, 60, 900, 3000][dice.below(4) as usize];
                    let count = 1 + dice.below(most);
                    assert_eq!(tree.find(count), pages.find(count), "{count} pages");
                    let found = tree.allocate(count);
                    assert_eq!(found, pages.allocate(count).map(|run| run.first));
                    live.extend(found.map(|first| (first, count)));
                }
                assert!(step % 50 > 0 || verify(&tree), "law 24");
            }
        }
    }

    #[test]
    fn no_run_leads_over_pages_that_are_not_there() {
        let (mut tree, edge) = (Tree::default(), TOP);
        tree.grow(edge - CHUNK, CHUNK);
        tree.grow(edge + TOP, CHUNK);
        assert_eq!((tree.find(CHUNK), tree.find(CHUNK + 1)), (Some(edge - CHUNK), None));
        tree.grow(edge, TOP);
        assert_eq!(tree.find(CHUNK + TOP + 9), Some(edge - CHUNK), "all of an entry of the highest level, and more");
    }

    #[test]
    fn an_exhausted_tree_is_searched_no_more() {
        let mut tree = Tree::default();
        tree.grow(0, CHUNK);
        assert_eq!((tree.allocate(CHUNK), tree.allocate(1), tree.search), (Some(0), None, u64::MAX));
        tree.free(7, 2);
        assert_eq!((tree.search, tree.allocate(3), tree.allocate(2)), (7, None, Some(7)));
    }

    #[test]
    fn a_summary_that_is_not_true_is_noticed() {
        let mut tree = Tree::default();
        tree.grow(0, CHUNK);
        tree.allocate(5);
        assert!(verify(&tree));
        let wrong = |change: fn(&mut Tree)| {
            let mut tree = tree.clone();
            change(&mut tree);
            !verify(&tree)
        };
        assert!(wrong(|tree| _ = tree.levels[2].insert(0, summary(0, 500, 0).pack())));
        assert!(wrong(|tree| tree.search = 6));
    }

    #[test]
    #[should_panic(expected = "promises more")]
    fn a_summary_may_not_promise_too_much() {
        let mut tree = Tree::default();
        tree.grow(0, CHUNK);
        tree.levels[0].insert(0, summary(0, 600, 0).pack());
        tree.find(600);
    }
}
