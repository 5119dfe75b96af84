//! Free lists: first, next and best fit. Above `bits`, `tree` and `order`, and the same bits for all three policies.
//!
//! The rules are those of the reference's chapter on fits: how much a request needs, which block it takes, what is split
//! off, where the rover goes, how blocks are merged, what may be freed, and how the range grows.
//!
//! What differs is the [`Index`], by which a block is found. It knows of each word of 64 granules the free blocks that
//! start there, in summary, and is written anew for each word in which a block changes:
//!
//! ```text
//!   first, next   the size of the largest                    tree of maxima: the first word with enough
//!   best, small   the set of the sizes below 64 granules     tree of sets: the root has the smallest size that is
//!                                                            enough, a descent the first word with it
//!   best, large   the size of the only one from 64 on        a search tree by size and address
//! ```
//!
//! In the word that is found, the block is found by its bits.
//!
//! Invariants:
//! * **Tiles.** A block starts at granule 0 and at each granule of `starts`; the last of these is `end`, behind which
//!   there is none. A block is free if its bit of `free` is set, and no other bits of `free` are.
//! * **Merged.** Of two neighbours, one is used.
//! * **Index.** Each word's summary is that of its free blocks.
//! * **Count.** `objects` blocks are used.
//! * **Rover.** It is the start of a block.

use super::{
    Corruption, NotAllocated, ZERO_BASE,
    bits::Bits,
    ensure,
    memory::{Bytes, Words, reserve},
    order::Order,
    tree::{Maximum, Tree, Union},
};
use crate::{error::Error, geometry::BITS, os::Faults};
use std::{ops::Range, ptr::NonNull};

/// Which free block is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The lowest that is large enough.
    First,
    /// The lowest at or after the rover that is large enough; or else the lowest.
    Next,
    /// The smallest that is large enough; of equals, the lowest.
    Best,
}

/// The three numbers of a free list, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Sizes and offsets are multiples of it. A power of two.
    pub granule: usize,
    /// No block is smaller. A multiple of the granule.
    pub min_block: usize,
    /// What precedes an object in its block, for whoever wants to keep something there: the allocator does not. A
    /// multiple of the granule.
    pub header: usize,
}

impl Rules {
    /// No headers, and no block too small to be worth keeping.
    pub const fn plain(granule: usize) -> Self {
        Rules { granule, min_block: granule, header: 0 }
    }

    /// The bytes of a block that `size` bytes need, if that is a number.
    pub fn needed(self, size: usize) -> Option<usize> {
        let whole = self.header.checked_add(size)?.checked_next_multiple_of(self.granule)?;
        Some(whole.max(self.min_block))
    }
}

/// A tile of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The offset of its first byte.
    pub start: usize,
    /// Its bytes, the header included.
    pub size: usize,
    /// Whether an object is in it.
    pub used: bool,
}

/// By what a free block is found. Everything is in granules.
enum Index {
    Largest(Tree<Maximum>),
    Sizes { small: Tree<Union>, large: Order },
}

/// What an [`Index`] knows of the free blocks that start in a word.
#[derive(Clone, Copy, Default)]
struct Summary {
    /// The size of the largest.
    largest: usize,
    /// The set of the sizes below 64.
    small: u64,
    /// The size of the one from 64 on: there is no room for two.
    large: usize,
}

/// Memory tiled by blocks.
///
/// See the [module](super) for an example.
pub struct FreeList {
    fit: Fit,
    rules: Rules,
    /// The binary logarithm of the granule.
    shift: u32,
    /// In granules, like `rover`.
    end: usize,
    rover: usize,
    /// The blocks that are used.
    objects: usize,
    starts: Bits,
    free: Words,
    index: Index,
    bytes: Bytes,
}

impl FreeList {
    /// One free block of `size` bytes, which can grow to `limit`. The kernel is asked for addresses for that many, and for
    /// the books: less than half a byte for each granule, and for best fit less than one. They take memory as they are
    /// used.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses, as `faults` may make it, and [`Error::OutOfMemory`] if the size is more than
    /// the limit.
    ///
    /// # Panics
    /// If the granule is not a power of two, if another number of the rules or the size is not a multiple of it, or if
    /// the size is less than the smallest block.
    pub fn new(fit: Fit, rules: Rules, size: usize, limit: usize, faults: Faults) -> Result<FreeList, Error> {
        let Rules { granule, min_block, header } = rules;
        assert!(granule.is_power_of_two(), "a granule is a power of two");
        let whole = [min_block, header, size].iter().all(|number| number.is_multiple_of(granule));
        assert!(whole, "sizes are multiples of the granule");
        assert!(min_block > 0 && size >= min_block, "there is room for a block");
        // The bit at the end is one, too.
        let granules = limit / granule + 1;
        let words = granules.div_ceil(BITS);
        let (tree, order) = match fit {
            Fit::First | Fit::Next => (Tree::<Maximum>::words(words), 0),
            Fit::Best => (Tree::<Union>::words(words), Order::words(words)),
        };
        let (bytes, [starts, free, tree, order]) = reserve(limit, [Bits::words(granules), words, tree, order], faults)?;
        let index = match fit {
            Fit::First | Fit::Next => Index::Largest(Tree::new(words, tree)),
            Fit::Best => Index::Sizes { small: Tree::new(words, tree), large: Order::new(order) },
        };
        let shift = granule.trailing_zeros();
        let starts = Bits::new(granules, starts);
        let mut list = FreeList { fit, rules, shift, end: 0, rover: 0, objects: 0, starts, free, index, bytes };
        list.starts.insert(0);
        list.grow(size)?;
        Ok(list)
    }

    /// Makes the memory so many bytes longer, by one call to the kernel. They are free, and merged with a free block
    /// before them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if that is beyond the limit, and [`Error::Os`] if the kernel refuses; nothing has changed.
    ///
    /// # Panics
    /// If these are less than the smallest block or no multiple of the granule.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let Rules { granule, min_block, .. } = self.rules;
        assert!(bytes >= min_block && bytes.is_multiple_of(granule), "what is added is a block");
        let end = self.size().checked_add(bytes).ok_or(Error::OutOfMemory { requested: bytes })?;
        self.bytes.commit(end)?;
        let old = self.end;
        self.end = end >> self.shift;
        self.starts.insert(self.end);
        let last = self.starts.previous(old).filter(|last| self.is_free(*last));
        let start = last.unwrap_or(old);
        if start < old {
            self.starts.remove(old);
        }
        self.set_free(start, true);
        self.summarise(start);
        Ok(())
    }

    /// The offset of `size` bytes, at a multiple of the granule; [`ZERO_BASE`] if that is none. They hold what they held
    /// when they were last freed, and zero if they never were.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if no free block has them; nothing has changed.
    pub fn allocate(&mut self, size: usize) -> Result<usize, Error> {
        if size == 0 {
            return Ok(ZERO_BASE);
        }
        let full = Error::OutOfMemory { requested: size };
        let needed = self.rules.needed(size).ok_or(full)? >> self.shift;
        let start = self.choose(needed).ok_or(full)?;
        let end = self.end_of(start);
        self.set_free(start, false);
        let mut after = end;
        if end - start - needed >= self.rules.min_block >> self.shift {
            after = start + needed;
            self.starts.insert(after);
            self.set_free(after, true);
            if after / BITS != start / BITS {
                self.summarise(after);
            }
        }
        self.summarise(start);
        self.rover = if after == self.end { 0 } else { after };
        self.objects += 1;
        Ok((start << self.shift) + self.rules.header)
    }

    /// Takes an object back.
    ///
    /// # Errors
    /// If there is no object at this offset; nothing has changed.
    pub fn free(&mut self, at: usize) -> Result<(), NotAllocated> {
        if at == ZERO_BASE {
            return Ok(());
        }
        let Some(start) = self.object(at) else { return Err(self.why_not(at)) };
        self.objects -= 1;
        let end = self.end_of(start);
        let (mut low, mut high) = (start, end);
        if let Some(before) = self.starts.previous(start).filter(|before| self.is_free(*before)) {
            self.starts.remove(start);
            low = before;
        }
        // At the end of the memory nothing is free.
        if self.is_free(end) {
            high = self.end_of(end);
            self.starts.remove(end);
            self.set_free(end, false);
        }
        self.set_free(low, true);
        if (low..high).contains(&self.rover) {
            self.rover = low;
        }
        self.summarise(low);
        // What started in other words is gone from there, if anything did.
        if start / BITS != low / BITS {
            self.summarise(start);
        }
        if end < high && end / BITS != start / BITS {
            self.summarise(end);
        }
        Ok(())
    }

    /// The bytes that the object at this offset may use, if there is one.
    pub fn usable(&self, at: usize) -> Option<usize> {
        self.range(at).map(|range| range.len())
    }

    /// The bytes of the object at this offset, if there is one.
    pub fn bytes(&self, at: usize) -> Option<&[u8]> {
        self.range(at).map(|range| self.bytes.slice(range))
    }

    /// The bytes of the object at this offset, if there is one, to be written.
    pub fn bytes_mut(&mut self, at: usize) -> Option<&mut [u8]> {
        self.range(at).map(|range| self.bytes.slice_mut(range))
    }

    /// Which free block it takes.
    pub fn fit(&self) -> Fit {
        self.fit
    }

    /// The address of offset 0, for those who keep pointers: a multiple of 64 KiB. What is committed stays where it is
    /// as long as the allocator lives. It is for the caller to see to it that nothing that is borrowed by
    /// [`FreeList::bytes`] or [`FreeList::bytes_mut`] is written by such a pointer.
    pub fn base(&self) -> NonNull<u8> {
        self.bytes.at(0)
    }

    /// The bytes of the memory.
    pub fn size(&self) -> usize {
        self.end << self.shift
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// The offset at which next fit starts to look.
    pub fn rover(&self) -> usize {
        self.rover << self.shift
    }

    /// Every tile, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        std::iter::successors(Some(0), |start| Some(self.end_of(*start))).take_while(|start| *start < self.end).map(
            |start| {
                let size = (self.end_of(start) - start) << self.shift;
                Block { start: start << self.shift, size, used: !self.is_free(start) }
            },
        )
    }

    /// From now on, calls to the kernel fail as these say.
    pub fn fail(&mut self, faults: Faults) {
        self.bytes.fail(faults);
    }

    // ---- blocks; everything is in granules

    fn is_free(&self, start: usize) -> bool {
        self.free[start / BITS] >> (start % BITS) & 1 == 1
    }

    fn set_free(&mut self, start: usize, free: bool) {
        let word = &mut self.free[start / BITS];
        *word = *word & !(1 << (start % BITS)) | u64::from(free) << (start % BITS);
    }

    /// Where the block ends that starts here.
    fn end_of(&self, start: usize) -> usize {
        let rest = self.starts.word(start / BITS) >> (start % BITS) >> 1;
        if rest != 0 {
            return start + 1 + rest.trailing_zeros() as usize;
        }
        // By "tiles", a start follows on every block.
        self.starts.next((start / BITS + 1) * BITS).unwrap_or(self.end)
    }

    /// The start of the block whose object is at this offset.
    fn object(&self, at: usize) -> Option<usize> {
        let start = at.checked_sub(self.rules.header).filter(|start| start.is_multiple_of(self.rules.granule))?;
        let start = start >> self.shift;
        (start < self.end && self.starts.contains(start) && !self.is_free(start)).then_some(start)
    }

    /// The bytes of the object at this offset.
    fn range(&self, at: usize) -> Option<Range<usize>> {
        self.object(at).map(|start| at..self.end_of(start) << self.shift)
    }

    fn why_not(&self, at: usize) -> NotAllocated {
        if at >= self.size() {
            return NotAllocated::Outside;
        }
        let block = self.starts.previous((at >> self.shift) + 1);
        if block.is_some_and(|start| self.is_free(start)) { NotAllocated::Free } else { NotAllocated::Inside }
    }

    /// The free blocks that start in a word, from a granule of it on: start and size.
    fn free_in(&self, word: usize, from: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut rest = self.free[word] & !0 << from;
        std::iter::from_fn(move || {
            let start = word * BITS + (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some((start, self.end_of(start) - start))
        })
    }

    // ---- the index

    fn summary(&self, word: usize) -> Summary {
        self.free_in(word, 0).fold(Summary::default(), |summary, (_, size)| {
            let largest = summary.largest.max(size);
            if size < BITS {
                Summary { largest, small: summary.small | 1 << size, ..summary }
            } else {
                Summary { largest, large: size, ..summary }
            }
        })
    }

    /// Enters what has become of the word of a granule into the index.
    fn summarise(&mut self, granule: usize) {
        let word = granule / BITS;
        let summary = self.summary(word);
        match &mut self.index {
            Index::Largest(tree) => tree.set(word, summary.largest as u64),
            Index::Sizes { small, large } => {
                small.set(word, summary.small);
                large.set(word, summary.large as u64);
            }
        }
    }

    /// The start of the free block that is taken for so many granules.
    fn choose(&self, needed: usize) -> Option<usize> {
        match &self.index {
            Index::Largest(tree) => {
                let from = if self.fit == Fit::Next { self.rover } else { 0 };
                self.lowest(tree, from, needed).or_else(|| self.lowest(tree, 0, needed).filter(|_| from > 0))
            }
            Index::Sizes { small, large } => {
                let enough = if needed < BITS { small.root() & !0 << needed } else { 0 };
                if enough == 0 {
                    // The last one to start in its word.
                    let word = large.at_least(needed as u64)?;
                    return Some(word * BITS + self.free[word].ilog2() as usize);
                }
                let size = enough.trailing_zeros() as usize;
                let word = small.first(0, |sizes| sizes >> size & 1 == 1)?;
                self.free_in(word, 0).find(|(_, there)| *there == size).map(|(start, _)| start)
            }
        }
    }

    /// The lowest free block from a granule on that has so many.
    fn lowest(&self, tree: &Tree<Maximum>, from: usize, needed: usize) -> Option<usize> {
        let enough = |largest| largest >= needed as u64;
        let within = |word, from| self.free_in(word, from).find(|(_, size)| *size >= needed).map(|(start, _)| start);
        let word = from / BITS;
        let here = if enough(tree.leaf(word)) { within(word, from % BITS) } else { None };
        here.or_else(|| within(tree.first(word + 1, enough)?, 0))
    }

    /// Checks every invariant.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(&self) -> Result<(), Corruption> {
        let offset = |granule: usize| granule << self.shift;
        let at = |word: usize| offset(word * BITS);
        ensure(self.starts.contains(0) && self.starts.contains(self.end), Corruption::Block(0))?;
        self.starts.verify(self.end + 1).map_err(|granule| Corruption::Block(offset(granule)))?;
        let (mut last_free, mut objects) = (false, 0);
        for block in self.blocks() {
            objects += usize::from(block.used);
            ensure(block.size >= self.rules.min_block, Corruption::Block(block.start))?;
            ensure(block.used || !last_free, Corruption::Apart(block.start))?;
            last_free = !block.used;
        }
        ensure(objects == self.objects && !self.is_free(self.end), Corruption::Block(self.size()))?;
        let words = self.end / BITS + 1;
        let stray = (0..words).find(|word| self.free[*word] & !self.starts.word(*word) != 0);
        stray.map_or(Ok(()), |word| Err(Corruption::Block(at(word))))?;
        ensure(self.rover < self.end && self.starts.contains(self.rover), Corruption::Rover(self.rover()))?;
        let summaries: Vec<Summary> = (0..words).map(|word| self.summary(word)).collect();
        match &self.index {
            Index::Largest(tree) => tree.verify(summaries.iter().map(|summary| summary.largest as u64)),
            Index::Sizes { small, large } => {
                let smalls = small.verify(summaries.iter().map(|summary| summary.small));
                smalls.and_then(|()| large.verify(summaries.iter().map(|summary| summary.large as u64)))
            }
        }
        .map_err(|word| Corruption::Index(at(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FITS: [Fit; 3] = [Fit::First, Fit::Next, Fit::Best];

    fn list(fit: Fit, size: usize) -> FreeList {
        FreeList::new(fit, Rules::plain(16), size, 1 << 20, Faults::NONE).unwrap()
    }

    #[test]
    fn next_fit_goes_round_as_published() {
        let mut heap = list(Fit::Next, 160);
        let mut rovers = Vec::new();
        let mut take = |heap: &mut FreeList, size| {
            let at = heap.allocate(size).ok();
            rovers.push(heap.rover());
            at
        };
        assert_eq!([32, 48, 32].map(|size| take(&mut heap, size)), [Some(0), Some(32), Some(80)]);
        assert_eq!((heap.free(0), heap.free(32)), (Ok(()), Ok(())));
        assert_eq!([40, 16, 80].map(|size| take(&mut heap, size)), [Some(112), Some(0), None]);
        assert_eq!(heap.free(112), Ok(()));
        assert_eq!([48, 48].map(|size| take(&mut heap, size)), [Some(16), Some(112)]);
        assert_eq!(rovers, [32, 80, 112, 0, 16, 16, 64, 0]);
        assert_eq!(heap.verify(), Ok(()));
    }

    #[test]
    fn only_what_was_handed_out_can_be_freed_and_once() {
        for fit in FITS {
            let rules = Rules { granule: 16, min_block: 16, header: 16 };
            let mut heap = FreeList::new(fit, rules, 160, 160, Faults::NONE).unwrap();
            assert_eq!((heap.allocate(0), heap.allocate(32)), (Ok(ZERO_BASE), Ok(16)));
            use NotAllocated::{Free, Inside, Outside};
            let attempts = [160, usize::MAX - 1, 0, 17, 32, 48, 159].map(|at| heap.free(at).unwrap_err());
            assert_eq!(attempts, [Outside, Outside, Inside, Inside, Inside, Free, Free]);
            assert_eq!((heap.free(ZERO_BASE), heap.verify()), (Ok(()), Ok(())));
            assert_eq!((heap.free(16), heap.free(16)), (Ok(()), Err(Free)));
        }
    }

    #[test]
    fn what_objects_hold_is_theirs_and_what_is_free_is_nobodys() {
        let mut heap = list(Fit::First, 160);
        let (a, b) = (heap.allocate(20).unwrap(), heap.allocate(20).unwrap());
        assert_eq!((heap.usable(a), heap.bytes(a)), (Some(32), Some(&[0; 32][..])));
        heap.bytes_mut(a).unwrap().fill(1);
        heap.bytes_mut(b).unwrap().fill(2);
        assert_eq!((heap.bytes(a), heap.bytes(b)), (Some(&[1; 32][..]), Some(&[2; 32][..])));
        assert_eq!((heap.base().addr().get() % (64 << 10), heap.bytes(ZERO_BASE)), (0, None));
        heap.free(a).unwrap();
        assert!(heap.bytes(a).is_none() && heap.bytes_mut(a).is_none() && heap.usable(b + 16).is_none());
    }

    #[test]
    fn what_the_kernel_refuses_has_not_happened() {
        for fit in FITS {
            let calls = |after| FreeList::new(fit, Rules::plain(16), 160, 1 << 20, Faults { after, count: 1 });
            assert_eq!([0, 1, 2, 3, 4].map(|after| calls(after).is_ok()), [false, false, false, false, true]);
            let mut heap = calls(4).unwrap();
            heap.allocate(100).unwrap();
            let before: Vec<Block> = heap.blocks().collect();
            assert!(matches!(heap.grow(1 << 17), Err(Error::Os { call: "mprotect", .. })));
            assert_eq!(heap.grow(1 << 20), Err(Error::OutOfMemory { requested: 1 << 20 }));
            assert_eq!(heap.grow(usize::MAX - 15), Err(Error::OutOfMemory { requested: usize::MAX - 15 }));
            assert_eq!([49, usize::MAX].map(|size| heap.allocate(size).is_ok()), [false; 2]);
            assert_eq!((heap.blocks().collect(), heap.size(), heap.verify()), (before, 160, Ok(())));
            assert_eq!((heap.grow(1 << 17), heap.allocate(1 << 17)), (Ok(()), Ok(112)));
            heap.bytes_mut(112).unwrap().fill(1);
            let too_large = FreeList::new(fit, Rules::plain(16), 160, 144, Faults::NONE);
            assert!(matches!(too_large, Err(Error::OutOfMemory { .. })));
        }
    }

    /// Blocks of all sizes, some of them large, and the last one free or not.
    fn fragmented(fit: Fit, full: bool) -> FreeList {
        let mut heap = list(fit, 160 << 10);
        let sizes = (0..).map(|number| 16 + number * 53 % 300 + if number % 7 == 0 { 3000 } else { 0 });
        let objects: Vec<usize> = sizes.map_while(|size| heap.allocate(size).ok()).collect();
        objects.iter().step_by(3).for_each(|at| heap.free(*at).unwrap());
        heap.free(objects[objects.len() - 2]).unwrap();
        if full {
            while heap.allocate(16).is_ok() {}
        }
        heap
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for (fit, full) in FITS.into_iter().flat_map(|fit| [(fit, false), (fit, true)]) {
            let mut heap = fragmented(fit, full);
            assert_eq!(heap.verify(), Ok(()));
            let end = heap.end + 1;
            let words = end.div_ceil(BITS);
            let mut flip = |part: &str, flip: fn(&mut FreeList, usize, usize, usize) -> bool| {
                let mut flips = 0;
                // Each tenth of them, so that it does not take minutes.
                while flip(&mut heap, end, words, flips) {
                    assert!(heap.verify().is_err(), "{part} {flips} of {fit:?}");
                    flip(&mut heap, end, words, flips);
                    flips += 11;
                }
                flips
            };
            let starts = flip("starts", |heap, end, _, bit| heap.starts.flip(end, bit));
            let free = flip("free", |heap, _, words, bit| {
                let flips = bit < words * BITS;
                if flips {
                    heap.free[bit / BITS] ^= 1 << (bit % BITS);
                }
                flips
            });
            let index = flip("index", |heap, _, words, bit| match &mut heap.index {
                Index::Largest(tree) => tree.flip(words, bit),
                Index::Sizes { small, .. } => small.flip(words, bit),
            });
            let large = flip("large", |heap, _, words, bit| match &mut heap.index {
                Index::Largest(_) => false,
                Index::Sizes { large, .. } => large.flip(words, bit),
            });
            assert!(starts > 10_000 && free > 10_000 && index > 10_000, "{starts} {free} {index}");
            assert_eq!(large > 1000, fit == Fit::Best && !full, "{large}");
            assert_eq!(heap.verify(), Ok(()));
            heap.rover = heap.end;
            assert_eq!(heap.verify(), Err(Corruption::Rover(160 << 10)));
        }
    }

    #[test]
    fn a_free_block_that_does_not_start_where_it_is_said_to_is_named_by_its_word() {
        let mut heap = list(Fit::First, 160 << 10);
        heap.allocate(100 << 10).unwrap();
        heap.free[3] ^= 1 << 7;
        assert_eq!(heap.verify(), Err(Corruption::Block(3 * BITS * 16)));
    }
}
