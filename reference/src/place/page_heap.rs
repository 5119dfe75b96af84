//! The page heap: from pages to spans, and back.
//!
//! Below the caches and the centrals there is one owner of all memory. It is asked for a span of so many pages and tries,
//! in this order:
//!
//! ```text
//!   1. fewer than 16 pages: the asker's page cache, filled first if it is empty      no lock, in a concurrent heap
//!   2. the lowest run of free pages                                                   a lock
//!   3. growth, by whole chunks of 4 MiB, and then 2 again
//!        current arena   ├───── mapped: chunks ─────┼─┄ reserved ┄┤
//!                                                   └ the next chunk; a new 64 MiB if it does not fit
//! ```
//!
//! **Growth.** The part of an arena that is reserved and not mapped yet is the *current* one. A request that does not fit
//! in there reserves new addresses, a multiple of 64 MiB. If they follow the current ones, those are simply longer now; if
//! not, what is left of the current ones is mapped first, so that nothing is lost. A heap grows by all that it is asked for,
//! even if its last pages are free.
//!
//! **Freeing.** A span that was swept and in which nothing lives goes back to its pages, and they may become a span of any
//! other class: memory moves between classes by whole spans. Nothing is freed while marking goes on.
//!
//! **Releasing** gives pages that are free back to the kernel, from the highest address down. They stay ours, and are made
//! ready when they are taken again. What they held is lost.
//!
//! This chapter grounds laws 2, 5, 11, 39, 40, 42 to 46 and 90 to 92. Source: Go's `mheap.go` and `mgcscavenge.go`.
//!
//! ```
//! use heaplaw_reference::place::{page::PageCache, page_heap::PageHeap, span::Span};
//! let mut heap = PageHeap::new(64 << 20);
//! let mut cache = PageCache::default();
//! let large = |pages| move |base, generation| Span::large(base, pages, true, generation);
//! let first = heap.allocate(&mut cache, 20, large(20)).expect("room");
//! let second = heap.allocate(&mut cache, 3, large(3)).expect("room");
//! assert_eq!((first, second), (0xc0_0000_0000, 0xc0_0000_0000 + 20 * 8192));
//! assert_eq!(heap.find(second + 100).map(|span| span.base()), Some(second));
//! assert!(heap.allocate(&mut cache, 8192, large(8192)).is_none(), "64 MiB, and some of it is taken");
//! ```

use crate::place::{
    PAGE,
    address::{self, AddressSpace, Step},
    arena::{ARENA, Arenas, Flag, hints},
    class::{LARGE, MAX_BITMAP, TINY},
    generation::{self, Generation, Sweep},
    page::{CACHED, CHUNK, PageCache, Pages, Run},
    span::{Span, State},
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::ops::Range;

#[cfg(test)]
mod tests;

/// What became of a span that was swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing lives in it, and its pages are free: so many.
    Freed(u64),
    /// It has a free slot.
    Partial,
    /// It has none.
    Full,
}

/// The owner of all pages and all spans.
#[derive(Clone, Debug)]
pub struct PageHeap {
    /// The bytes of address space that the kernel will let us have, and those that we have.
    memory: u64,
    reserved: u64,
    space: AddressSpace,
    arenas: Arenas,
    pages: Pages,
    /// Where to ask for the next arena; those that were refused are gone.
    hints: Vec<u64>,
    /// Addresses that are reserved and not mapped yet.
    current: Range<u64>,
    /// How many requests to the kernel from now on, until one is refused; 0 if none is.
    failing: u32,
    /// Every span that is not dead, by its base.
    spans: BTreeMap<u64, Span>,
    generation: Generation,
    marking: bool,
}

impl PageHeap {
    /// A heap that may reserve so many bytes of addresses, in arenas of 64 MiB.
    pub fn new(memory: u64) -> Self {
        PageHeap {
            memory,
            reserved: 0,
            space: AddressSpace::default(),
            arenas: Arenas::default(),
            pages: Pages::default(),
            hints: hints().collect(),
            current: 0..0,
            failing: 0,
            spans: BTreeMap::new(),
            generation: Generation(0),
            marking: false,
        }
    }

    // ---- what there is

    /// The generation of the heap.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether marking goes on.
    pub fn marking(&self) -> bool {
        self.marking
    }

    /// What was asked of the kernel.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// Pages that no span has and no cache.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// What is known of each page.
    pub fn arenas(&self) -> &Arenas {
        &self.arenas
    }

    /// Every span, in order.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.values()
    }

    /// The span that begins here.
    ///
    /// # Panics
    /// If none does.
    pub fn span(&self, base: u64) -> &Span {
        self.spans.get(&base).expect("a span begins here")
    }

    /// As [`span`](PageHeap::span), to be changed.
    ///
    /// # Panics
    /// As there.
    pub fn span_mut(&mut self, base: u64) -> &mut Span {
        self.spans.get_mut(&base).expect("a span begins here")
    }

    /// The span that any address lies in.
    pub fn find(&self, at: u64) -> Option<&Span> {
        let span = self.spans.get(&self.arenas.span_of(at)?)?;
        // The page may remember a span that is gone, and another may begin where that did.
        (at - span.base() < span.pages() * PAGE && span.state == State::InUse).then_some(span)
    }

    /// Marks the object that an address lies in; false if it lies in none.
    pub fn mark(&mut self, at: u64) -> bool {
        let Some((base, Some((index, _)))) = self.find(at).map(|span| (span.base(), span.find(at))) else {
            return false;
        };
        self.span_mut(base).mark(index);
        self.arenas.set(Flag::Marked, base, true);
        true
    }

    // ---- spans

    /// Makes a span of so many pages; `None` if there is no room. It is swept, and needs zeroing if its pages were used.
    ///
    /// # Panics
    /// If the span that is made does not have these pages.
    pub fn allocate(
        &mut self,
        cache: &mut PageCache,
        pages: u64,
        make: impl FnOnce(u64, Generation) -> Span,
    ) -> Option<u64> {
        let run = self.take(cache, pages)?;
        let base = run.first * PAGE;
        let made_ready = self.space.perform(Step::Use, base, pages * PAGE);
        assert_eq!(made_ready, Ok(run.released * PAGE), "law 45: what counts as released is");
        let mut span = make(base, self.generation);
        assert_eq!((span.base(), span.pages()), (base, pages), "the span is made of these pages");
        span.need_zero = self.arenas.need_zero(base, pages);
        let marks_inside = span.class().class() != LARGE && (TINY..=MAX_BITMAP).contains(&span.size());
        self.arenas.set_span(base, pages);
        self.arenas.set(Flag::InUse, base, true);
        self.arenas.set(Flag::InlineMarks, base, marks_inside);
        self.spans.insert(base, span);
        Some(base)
    }

    fn take(&mut self, cache: &mut PageCache, pages: u64) -> Option<Run> {
        if pages < CACHED {
            if cache.is_empty() {
                *cache = self.pages.fill_cache().unwrap_or_default();
            }
            if let Some(run) = cache.allocate(pages) {
                return Some(run);
            }
        }
        if self.pages.find(pages).is_none() {
            self.grow(pages)?;
        }
        self.pages.allocate(pages)
    }

    /// Makes room for a run of so many pages; `None`, and nothing has changed, if the kernel does not let us.
    fn grow(&mut self, pages: u64) -> Option<()> {
        let ask = pages.checked_next_multiple_of(CHUNK)?.checked_mul(PAGE)?;
        if self.failing > 0 {
            self.failing -= 1;
            if self.failing == 0 {
                return None;
            }
        }
        if self.current.end - self.current.start < ask {
            let fresh = self.reserve(ask.checked_next_multiple_of(ARENA)?)?;
            if fresh.start == self.current.end {
                self.current.end = fresh.end;
            } else {
                let left = core::mem::replace(&mut self.current, fresh);
                self.map(left);
            }
        }
        let end = self.current.start + ask;
        let chunks = core::mem::replace(&mut self.current.start, end)..end;
        self.map(chunks);
        Some(())
    }

    fn reserve(&mut self, length: u64) -> Option<Range<u64>> {
        if length > self.memory - self.reserved {
            return None;
        }
        while let Some(hint) = self.hints.first_mut() {
            let base = *hint;
            if self.space.perform(Step::Reserve, base, length).is_ok() {
                *hint += length;
                self.reserved += length;
                (base..base + length).step_by(ARENA as usize).for_each(|at| _ = self.arenas.insert(at));
                return Some(base..base + length);
            }
            self.hints.remove(0);
        }
        None
    }

    fn map(&mut self, range: Range<u64>) {
        let length = range.end - range.start;
        if length > 0 {
            self.space.perform(Step::Map, range.start, length).expect("it was reserved");
            self.pages.grow(range.start / PAGE, length / PAGE);
        }
    }

    /// Frees a span.
    ///
    /// # Panics
    /// If it holds an object, was not swept, or marking goes on.
    pub fn free(&mut self, base: u64) {
        let span = self.span(base);
        assert_eq!(span.allocated(), 0, "a span that is freed is empty");
        let swept = self.generation.of(span.generation) == Some(Sweep::Swept);
        assert!(span.state.may_become(State::Dead, swept, self.marking), "law 40: a span dies by the sweep");
        let pages = span.pages();
        self.spans.remove(&base);
        self.arenas.set(Flag::InUse, base, false);
        self.pages.free(base / PAGE, pages).expect("they were in use");
    }

    // ---- sweeping

    /// A step of a span's generation (law 39); false, and nothing has changed, if it is not legal or the span is gone.
    pub fn step(&mut self, base: u64, step: generation::Step) -> bool {
        let Some(span) = self.spans.get_mut(&base) else { return false };
        self.generation.step(span.generation, step).map(|next| span.generation = next).is_ok()
    }

    /// Sweeps a span that was claimed, and frees it if nothing lives in it, unless it is to be kept.
    ///
    /// # Panics
    /// If it was not claimed, or if a free slot of it is marked.
    pub fn sweep(&mut self, base: u64, keep: bool) -> Swept {
        let claimed = self.generation.of(self.span(base).generation) == Some(Sweep::Claimed);
        assert!(claimed, "law 91: a span is swept by who claimed it");
        let freed = self.span_mut(base).sweep();
        assert!(freed.is_ok(), "law 96: a free slot is marked: {freed:?}");
        self.step(base, generation::Step::Finish);
        let span = self.span(base);
        match span.allocated() {
            0 if !keep => {
                let pages = span.pages();
                self.free(base);
                Swept::Freed(pages)
            }
            _ if span.is_full() => Swept::Full,
            _ => Swept::Partial,
        }
    }

    /// A cycle begins: no page is marked, and nothing dies.
    pub fn start_marking(&mut self) {
        self.arenas.clear_marks();
        self.marking = true;
    }

    /// Marking is finished: every span is unswept.
    pub fn turn(&mut self) {
        self.marking = false;
        self.generation = self.generation.turn();
    }

    // ---- the kernel

    /// Of the times that the heap grows, the kernel will refuse this one, counted from now on; none if it is 0.
    pub fn refuse(&mut self, growth: u32) {
        self.failing = growth;
    }

    /// Gives the pages of a page cache back.
    pub fn flush(&mut self, cache: &mut PageCache) {
        cache.flush(&mut self.pages);
    }

    /// Gives up to so many free pages to the kernel, the highest first, and says how many.
    pub fn release(&mut self, count: usize) -> usize {
        let given = self.pages.release(count);
        given.iter().for_each(|page| self.unuse(*page));
        given.len()
    }

    fn unuse(&mut self, page: u64) {
        let unused = self.space.perform(Step::Unuse, page * PAGE, PAGE);
        assert_eq!(unused, Ok(PAGE), "law 46: a page that was used, and is free");
    }

    /// Laws 43 and 45: every page is in one place, of these caches or the heap, and those that count as released are.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify<'c>(&self, caches: impl IntoIterator<Item = &'c PageCache>) -> Result<(), String> {
        let (mut count, mut released) = (self.pages.free_pages().count() as u64, self.pages.released());
        for cache in caches {
            (count, released) = (count + cache.count(), released + cache.released());
        }
        count += self.spans.values().map(Span::pages).sum::<u64>();
        if count != self.pages.count() {
            return Err(format!("law 43: {count} pages of {} are accounted for", self.pages.count()));
        }
        let prepared = self.space.bytes(address::State::Prepared);
        if released * PAGE != prepared {
            return Err(format!("law 45: {released} pages count as released, and {prepared} bytes are"));
        }
        Ok(())
    }
}
