//! The allocator: all of the parts, in the order in which they are tried.
//!
//! This is the road of a request, from top to bottom; most requests do not get further than the first line that has what
//! they want, and a fast allocator spends all of its effort on that one.
//!
//! ```text
//!                     no byte ──▶ the shared address          tiny ──▶ room in the current block
//!   small  1. cache     the lowest free slot of its span of this class
//!          2. central   another span: swept; swept now, partial before full, 101 at most
//!          3. reclaim   while sweeping goes on: sweep until as many pages are free as are wanted
//!          4. pages     a fresh span: the page cache, the lowest run, growth
//!   large  3, 4
//! ```
//!
//! **A cycle**, as far as places are concerned: [`start_marking`](Allocator::start_marking) sweeps what is left from the
//! last one, flushes every cache, and marks every tiny block; whoever is born while marking is marked.
//! [`finish_marking`](Allocator::finish_marking) turns the generation, and from then on spans are swept: by requests, when
//! a cache is flushed, and [one by one](Allocator::sweep_one), in the order of their classes.
//!
//! **Reclaiming** serves requests for whole pages, which the sweeping of single spans only meets by luck. It goes over all
//! pages in pieces of 512 and sweeps the spans there in which nothing was marked. What it frees beyond what was wanted is
//! remembered as credit.
//!
//! This chapter grounds laws 1 to 5, 8 to 13, 31, 33 to 43, 47, 93 and 95. Source: Go's `malloc.go`, `mcache.go`,
//! `mcentral.go`, `mheap.go` and `mgcsweep.go`. Bookkeeping for the pacer is in the chapter on the [pacer](crate::pacer).
//!
//! ```
//! use heaplaw_reference::place::allocator::Allocator;
//! let mut heap = Allocator::new(2, 64 << 20);
//! let mut place = |cache, size, pointers| heap.allocate(cache, size, pointers).expect("room").at - 0xc0_0000_0000;
//! assert_eq!([place(0, 48, true), place(0, 40, true), place(0, 48, false)], [0, 48, 8192]);
//! assert_eq!(place(1, 48, true), 64 * 8192, "another cache has spans of its own, from pages of its own");
//! assert_eq!(place(0, 40_000, false), 2 * 8192, "large: 5 pages");
//! heap.collect([0xc0_0000_0000 + 48]);
//! assert_eq!(heap.find(0xc0_0000_0000 + 50).map(|found| (found.base, found.index)), Some((0xc0_0000_0000 + 48, 1)));
//! assert_eq!(heap.find(0xc0_0000_0000), None, "not marked, and free");
//! ```

use crate::place::{
    PAGE, ZERO_BASE,
    cache::Cache,
    central::Central,
    class::{LARGE, Request, SpanClass, TINY, class_of, request, row},
    generation::{Generation, Step, Sweep},
    large,
    page::CHUNK,
    page_heap::{PageHeap, Swept},
    span::Span,
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

#[cfg(test)]
mod tests;

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its first byte.
    pub at: u64,
    /// The bytes that it has: those asked for, and what its place has beyond them.
    pub usable: u64,
    /// Whether its place may hold something other than zeroes.
    pub need_zero: bool,
}

/// The slot that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its first byte.
    pub base: u64,
    /// Its bytes.
    pub size: u64,
    /// Its number in its span.
    pub index: u64,
}

/// An allocator for several processors.
#[derive(Clone, Debug)]
pub struct Allocator {
    heap: PageHeap,
    /// By the index of their class.
    centrals: Vec<Central>,
    caches: Vec<Cache>,
    /// Whether a span may be unswept.
    sweeping: bool,
    /// Where reclaiming goes on.
    reclaimed: u64,
    /// Pages that reclaiming freed and nobody has asked for.
    credit: u64,
}

impl Allocator {
    /// For so many processors, and so many bytes of addresses.
    pub fn new(caches: usize, memory: u64) -> Self {
        let heap = PageHeap::new(memory);
        Allocator {
            centrals: SpanClass::all().map(Central::new).collect(),
            caches: (0..caches).map(|_| Cache::new(heap.generation())).collect(),
            heap,
            sweeping: false,
            reclaimed: 0,
            credit: 0,
        }
    }

    /// The page heap.
    pub fn heap(&self) -> &PageHeap {
        &self.heap
    }

    /// Of the times that the heap grows, the kernel will refuse this one, counted from now on; none if it is 0.
    pub fn refuse(&mut self, growth: u32) {
        self.heap.refuse(growth);
    }

    /// The slot that an address lies in, if it is allocated (law 11).
    pub fn find(&self, at: u64) -> Option<Found> {
        let span = self.heap.find(at)?;
        let (index, base) = span.find(at)?;
        span.is_allocated(index).then_some(Found { base, size: span.size(), index })
    }

    // ---- a request

    /// Places an object of `size` bytes, with pointers or without, for one processor; `None` if there is no room.
    ///
    /// # Panics
    /// If there is no such processor.
    pub fn allocate(&mut self, cache: usize, size: u64, pointers: bool) -> Option<Placed> {
        self.flush_if_due(cache);
        match request(size, pointers) {
            Request::Nothing => Some(Placed { at: ZERO_BASE, usable: 0, need_zero: false }),
            Request::Tiny => {
                let class = SpanClass::new(class_of(TINY), true);
                let (mut tiny, mut need_zero) = (self.caches[cache].tiny, false);
                let at = tiny.allocate(size, || {
                    let block = self.slot(cache, class)?;
                    need_zero = self.heap.find(block)?.need_zero;
                    Some(block)
                })?;
                self.caches[cache].tiny = tiny;
                Some(Placed { at, usable: size, need_zero })
            }
            Request::Small { span_class, header } => {
                let slot = self.slot(cache, span_class)?;
                let need_zero = self.heap.find(slot)?.need_zero;
                Some(Placed { at: slot + header, usable: row(span_class.class()).size - header, need_zero })
            }
            Request::Large => {
                let pages = large::pages(size)?;
                let class = SpanClass::new(LARGE, !pointers);
                let base = self.span(cache, pages, |base, g| Span::large(base, pages, !pointers, g))?;
                let span = self.heap.span_mut(base);
                span.allocate();
                let need_zero = span.need_zero;
                self.centrals[class.index()].file(&self.heap, base);
                self.born(base);
                Some(Placed { at: base, usable: pages * PAGE, need_zero })
            }
        }
    }

    fn slot(&mut self, cache: usize, class: SpanClass) -> Option<u64> {
        let slot = match self.caches[cache].allocate(&mut self.heap, class) {
            Some(slot) => slot,
            None => {
                self.refill(cache, class)?;
                self.caches[cache].allocate(&mut self.heap, class).expect("a refill has room")
            }
        };
        self.born(slot);
        Some(slot)
    }

    /// What is born while marking is black.
    fn born(&mut self, slot: u64) {
        if self.heap.marking() {
            self.heap.mark(slot);
        }
    }

    fn refill(&mut self, cache: usize, class: SpanClass) -> Option<()> {
        let base = match self.centrals[class.index()].take(&mut self.heap, self.sweeping) {
            Some(base) => base,
            None => self.span(cache, row(class.class()).pages, |base, g| Span::small(base, class, g))?,
        };
        if let Some(full) = self.caches[cache].refill(&mut self.heap, class, base) {
            self.centrals[class.index()].put(&mut self.heap, full);
        }
        Some(())
    }

    fn span(&mut self, cache: usize, pages: u64, make: impl FnOnce(u64, Generation) -> Span) -> Option<u64> {
        if self.sweeping {
            self.reclaim(pages);
        }
        self.heap.allocate(&mut self.caches[cache].pages, pages, make)
    }

    // ---- a cycle

    /// Begins to mark.
    pub fn start_marking(&mut self) {
        self.finish_sweep();
        self.heap.start_marking();
        for cache in &self.caches {
            // Its next objects go into a block that is there already: it has to be black.
            cache.tiny.block().into_iter().for_each(|block| _ = self.heap.mark(block));
        }
    }

    /// Marks the object that an address lies in; false if it lies in none.
    pub fn mark(&mut self, at: u64) -> bool {
        self.find(at).is_some_and(|found| self.heap.mark(found.base))
    }

    /// Marking is finished: what is not marked is garbage, and nothing is swept yet.
    ///
    /// # Panics
    /// If a span was not swept since the last time (law 93).
    pub fn finish_marking(&mut self) {
        let unswept = self.centrals.iter().flat_map(|central| central.filed(&self.heap, false)).count();
        assert!(self.heap.marking() && unswept == 0, "law 93: everything was swept before marking began");
        self.heap.turn();
        (self.sweeping, self.reclaimed, self.credit) = (true, 0, 0);
    }

    fn flush_if_due(&mut self, cache: usize) {
        if !self.caches[cache].is_flushed(&self.heap) {
            self.flush(cache);
        }
    }

    /// Flushes a cache: its spans go to their centrals, swept.
    ///
    /// # Panics
    /// If there is no such processor.
    pub fn flush(&mut self, cache: usize) {
        for (class, base) in self.caches[cache].empty(&self.heap) {
            self.centrals[class.index()].put(&mut self.heap, base);
        }
    }

    /// Sweeps one span, and says how many pages that freed; `None` if all are swept.
    pub fn sweep_one(&mut self) -> Option<u64> {
        let swept = self.centrals.iter_mut().find_map(|central| central.sweep_one(&mut self.heap));
        self.sweeping &= swept.is_some();
        swept
    }

    /// Sweeps everything, and flushes every cache that was not.
    pub fn finish_sweep(&mut self) {
        (0..self.caches.len()).for_each(|cache| self.flush_if_due(cache));
        while self.sweep_one().is_some() {}
    }

    /// A whole cycle that keeps the objects that these addresses lie in, and whatever is in a current tiny block.
    pub fn collect(&mut self, live: impl IntoIterator<Item = u64>) {
        self.start_marking();
        live.into_iter().for_each(|at| _ = self.mark(at));
        self.finish_marking();
        self.finish_sweep();
    }

    /// Sweeps spans without a marked object until so many pages are free, or all were looked at.
    fn reclaim(&mut self, pages: u64) {
        let mut wanted = pages;
        loop {
            let paid = wanted.min(self.credit);
            (wanted, self.credit) = (wanted - paid, self.credit - paid);
            let Some(start) = self.heap.arenas().piece(self.reclaimed).filter(|_| wanted > 0) else { return };
            self.reclaimed += 1;
            let end = start + CHUNK * PAGE;
            let unmarked: Vec<_> = self.heap.arenas().unmarked(start).take_while(|base| *base < end).collect();
            for base in unmarked {
                if !self.heap.step(base, Step::Claim) {
                    continue;
                }
                let class = self.heap.span(base).class();
                match self.heap.sweep(base, false) {
                    Swept::Freed(pages) => self.credit += pages,
                    Swept::Partial | Swept::Full => self.centrals[class.index()].file(&self.heap, base),
                }
            }
        }
    }

    // ---- all of it

    /// Laws 36, 38, 43 and 45.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self) -> Result<(), String> {
        let mut owners: BTreeMap<u64, u32> = BTreeMap::new();
        let cached = self.caches.iter().flat_map(|cache| cache.spans().map(|(_, base)| base));
        let swept = self.centrals.iter().flat_map(|central| central.filed(&self.heap, true));
        // Of an unswept queue, only what is still unswept is there in earnest.
        let unswept = self.centrals.iter().flat_map(|central| central.filed(&self.heap, false)).filter(|base| {
            let span = self.heap.spans().find(|span| span.base() == *base);
            span.is_some_and(|span| self.heap.generation().of(span.generation) == Some(Sweep::Unswept))
        });
        cached.chain(swept).chain(unswept).for_each(|base| *owners.entry(base).or_default() += 1);
        for span in self.heap.spans() {
            if owners.remove(&span.base()) != Some(1) {
                return Err(format!("law 38: the span at {:#x} has no owner, or several", span.base()));
            }
            span.verify()?;
        }
        if let Some((base, _)) = owners.first_key_value() {
            return Err(format!("law 38: there is no span at {base:#x}"));
        }
        self.heap.verify(self.caches.iter().map(|cache| &cache.pages))
    }
}
