//! The heap's arithmetic, for whoever compares it with the same done the obvious way: size classes, slots, pointer
//! counts, free pages, and the way from a page to its span. Above pages; nothing uses it but fuzzers and
//! tests, behind the feature `arithmetic`, and it promises nothing.
//!
//! Each type is a thin door to the code that ships, with storage of its own. It checks what only a caller inside the heap
//! can be trusted with, and does nothing else.
//!
//! Invariant: whatever numbers come in, memory is safe; a number that the heap would never use is a panic.

#![allow(clippy::missing_panics_doc, reason = "what a number may be is said of each function, and asserted")]

use crate::{
    arena::{Arenas, Index, Plan},
    class::{self, CLASSES},
    error::Error,
    geometry::{BITS, PAGE, PAGE_WORDS, WORD},
    layout,
    os::Faults,
    page::{self, PageCache},
    slots::{self, Room},
    sync::AtomicU64,
};
use std::ops::Range;

/// The bytes of a page.
pub const PAGE_BYTES: usize = PAGE;

/// The class for so many bytes at a multiple of `align`, which is a power of two; `None` if that takes whole pages.
pub fn class_for(size: usize, align: usize) -> Option<usize> {
    assert!(align.is_power_of_two());
    class::class_for(size, align)
}

/// The bytes of a slot, the pages of a span and the slots of a span, for a class from 1 on; `None` if there is no such
/// class.
pub fn class(number: usize) -> Option<(usize, usize, usize)> {
    let row = (1..CLASSES).contains(&number).then(|| class::class(number))?;
    Some((row.size, row.pages, row.slots))
}

/// The slot of a span of this class that a byte belongs to.
pub fn slot(number: usize, offset: usize) -> usize {
    class::class(number).slot(offset)
}

fn words(bits: usize) -> Box<[AtomicU64]> {
    (0..bits.div_ceil(BITS)).map(|_| AtomicU64::new(0)).collect()
}

/// The slots of one span, which the caller holds.
#[derive(Debug)]
pub struct Slots {
    bits: Box<[AtomicU64]>,
    room: Room,
    slots: usize,
}

impl Slots {
    /// So many, all free.
    pub fn new(slots: usize) -> Slots {
        let room = Room(AtomicU64::new(0));
        room.reset(slots, true);
        Slots { bits: words(slots), room, slots }
    }

    /// Allocates up to `want` of them, and gives their numbers.
    pub fn allocate(&self, want: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        let count = slots::allocate(&self.bits, self.slots, want, |slot| taken.push(slot));
        assert_eq!(count, taken.len(), "as many as were named");
        self.room.remove(count);
        taken
    }

    /// Frees the slots of a word of 64; whether all of them were allocated. If not, nothing makes sense any more.
    pub fn free(&self, word: usize, mask: u64) -> bool {
        self.room.add(mask.count_ones() as usize);
        slots::free(&self.bits, word, mask)
    }

    /// How many are free, by the count, and whether all are, by the bits.
    pub fn room(&self) -> (usize, bool) {
        (self.room.free(), slots::all_free(&self.bits))
    }
}

/// How many pointers each slot of one span has.
#[derive(Debug)]
pub struct Pointers {
    words: Box<[AtomicU64]>,
    size: usize,
    slots: usize,
}

impl Pointers {
    /// For the slots of a span of this class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn new(number: usize) -> Pointers {
        let (size, pages, slots) = class(number).expect("a class");
        Pointers { words: words(pages * PAGE_WORDS), size: size / WORD, slots }
    }

    /// Says that a slot has so many pointers, at least one and no more than it has words.
    pub fn set(&self, slot: usize, pointers: usize) {
        assert!(slot < self.slots && (1..=self.size).contains(&pointers));
        layout::set(&self.words, layout::width(self.size), slot, pointers);
    }

    /// How many it has.
    pub fn get(&self, slot: usize) -> usize {
        assert!(slot < self.slots);
        layout::get(&self.words, layout::width(self.size), slot)
    }
}

/// The pages of a window, one cache of them, and which span each is in.
pub struct Window {
    // Dropped before the arenas, which their tables are in.
    pages: page::Pages,
    cache: PageCache,
    index: Index,
    arenas: Arenas,
}

impl Window {
    /// A window of so many pages of which `limit` can be used.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the addresses.
    pub fn new(pages: usize, limit: usize) -> Result<Window, Error> {
        let mut plan = Plan::default();
        let planned = (page::Pages::plan(&mut plan, pages), Index::plan(&mut plan, pages));
        let arenas = Arenas::reserve(&plan, pages, Faults::default())?;
        // SAFETY: both tables are of the plan that the window was reserved with; all are fields of one value, and the
        // arenas are dropped last.
        let (pages, index) = unsafe { (page::Pages::open(&arenas, planned.0, limit), Index::open(&arenas, planned.1)) };
        Ok(Window { pages, cache: PageCache::empty(), index, arenas })
    }

    /// Takes the lowest run of `count` pages that starts at a multiple of `align` pages, if page 0 has the number `base`:
    /// its first page. `None` if there is no room below the limit.
    pub fn take(&mut self, count: usize, align: usize, base: usize) -> Option<usize> {
        assert!(count > 0 && align.is_power_of_two());
        self.pages.take(&self.arenas, count, align, base).ok().map(|run| run.first)
    }

    /// Takes these pages if all of them are free.
    pub fn take_at(&mut self, pages: Range<usize>) -> bool {
        assert!(!pages.is_empty() && pages.end <= self.arenas.pages());
        self.pages.take_at(pages.start, pages.len()).is_some()
    }

    /// Gives pages back, which were taken.
    pub fn give_back(&mut self, pages: Range<usize>) {
        assert!(pages.clone().all(|page| page < self.pages.mapped() && !self.pages.is_free(page)));
        self.pages.give_back(pages.start, pages.len());
    }

    /// Takes the free pages of the group of 64 around a page into the cache; what the cache had is given back first.
    pub fn refill_cache(&mut self, page: usize) {
        assert!(page < self.arenas.pages());
        self.pages.give_group(&mut self.cache);
        self.pages.take_group_of(page, &mut self.cache);
    }

    /// Takes the lowest run of so many pages from the cache.
    pub fn take_cached(&mut self, count: usize) -> Option<usize> {
        assert!(count > 0);
        self.cache.take(count)
    }

    /// Gives back what is in the cache.
    pub fn empty_cache(&mut self) {
        self.pages.give_group(&mut self.cache);
    }

    /// Gives the memory of free pages back to the kernel until at most `keep` have any; how many more have none.
    pub fn release(&mut self, keep: usize) -> usize {
        self.pages.scavenge(&self.arenas, keep)
    }

    /// How many pages are taken, free with memory behind them, and free without; then, whether the books are right: the
    /// first page where they are not.
    pub fn books(&self) -> ([usize; 3], Result<(), usize>) {
        ([self.pages.in_use(), self.pages.present(), self.pages.released()], self.pages.verify())
    }

    /// Says that pages are a span; `kind` is not 0.
    pub fn publish(&self, pages: Range<usize>, kind: u8) {
        assert!(kind != 0);
        self.index.publish(pages, kind);
    }

    /// Says that pages are in no span any more.
    pub fn retract(&self, pages: Range<usize>) {
        self.index.retract(pages);
    }

    /// The first page of the span that a page is in.
    pub fn first(&self, page: usize) -> Option<usize> {
        self.index.first(page)
    }
}
