//! The memory of a heap: where spans come from and where they go to. Above pages, spans and the central sets, which meet
//! here; below the caches, and knows nothing of colours, cycles or mutators.
//!
//! One lock guards the pages. Everything else, so every free and every allocation that finds a span with room or a
//! parked one, takes none.
//!
//! Invariants: a page is in a span, free, or in some mutator's [`PageCache`]; `idle` counts the pages of spans that are
//! empty but for what is being taken from them, of those that [`Memory::refill`] and [`Memory::free`] work on.
//!
//! Orderings: `idle` is relaxed, a count that orders nothing.
//!
//! Source: Go's `mheap.go`.

use crate::{
    arena::{Arenas, Plan},
    central::{Central, Freed},
    class::{LARGE, class},
    error::Error,
    geometry::{BITS, PAGE},
    os::Faults,
    page::{PageCache, Pages},
    parked::Parked,
    span::{Kind, MAX_SPAN, Span, Spans},
    sync::{AtomicUsize, Mutex, MutexGuard, Ordering, lock},
};
use std::ptr::NonNull;

/// Free pages up to here keep their memory, whatever is in use: 16 MiB.
const KEEP: usize = (16 << 20) / PAGE;
/// Spans that take fewer pages than this come from a page cache.
const CACHED: usize = 16;

/// Everything that is mapped.
pub(crate) struct Memory {
    spans: Spans,
    centrals: [Central; Kind::COUNT],
    parked: Parked,
    pages: Mutex<Pages>,
    idle: AtomicUsize,
    /// The pages that will be in use before the next cycle ends, if somebody collects.
    goal: AtomicUsize,
    /// Last, as the tables of all others are in it.
    arenas: Arenas,
}

impl Memory {
    /// Reserves a window of so many pages, of which at most `limit` will be mapped. `more` may plan further tables.
    pub(crate) fn reserve<T>(
        pages: usize,
        limit: usize,
        faults: Faults,
        more: impl FnOnce(&mut Plan) -> T,
    ) -> Result<(Memory, T), Error> {
        let mut plan = Plan::default();
        if pages > crate::geometry::MAX_PAGES {
            // Before the tables' sizes overflow.
            return Arenas::reserve(&plan, pages, faults).map(|_| unreachable!("it is refused"));
        }
        let (planned_spans, planned_pages) = (Spans::plan(&mut plan, pages), Pages::plan(&mut plan, pages));
        let more = more(&mut plan);
        let arenas = Arenas::reserve(&plan, pages, faults)?;
        // SAFETY: all are of this plan, and live in the `Memory` that the arenas live in.
        let (spans, pages) =
            unsafe { (Spans::open(&arenas, planned_spans), Pages::open(&arenas, planned_pages, limit)) };
        let centrals = std::array::from_fn(|_| Central::new());
        let (pages, parked) = (Mutex::new(pages), Parked::new());
        let (idle, goal) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok((Memory { spans, centrals, parked, pages, idle, goal, arenas }, more))
    }

    /// The window.
    pub(crate) fn arenas(&self) -> &Arenas {
        &self.arenas
    }

    #[inline]
    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The set of the spans of a kind that have room.
    pub(crate) fn central(&self, kind: Kind) -> &Central {
        &self.centrals[kind.number()]
    }

    /// The sets of all kinds.
    pub(crate) fn centrals(&self) -> &[Central; Kind::COUNT] {
        &self.centrals
    }

    /// The large spans that are kept.
    pub(crate) fn parked(&self) -> &Parked {
        &self.parked
    }

    /// The pages, locked.
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }

    /// The number that page 0 has among the pages of the address space.
    fn base(&self) -> usize {
        self.arenas.base().addr().get() / PAGE
    }

    // ---- spans come and go

    /// Makes a span, which the caller holds. Small ones have the pages of their class; a large one has `pages`, from an
    /// address that is a multiple of `align` pages. Maps more pages only if `grow`.
    pub(crate) fn new_span(
        &self,
        kind: Kind,
        pages: usize,
        align: usize,
        cycle: u64,
        grow: bool,
    ) -> Result<Span<'_>, Error> {
        let full = Error::OutOfMemory { requested: pages.saturating_mul(PAGE) };
        if pages > MAX_SPAN {
            return Err(full);
        }
        let run = {
            let mut free = self.pages();
            if grow {
                free.take(&self.arenas, pages, align, self.base())?
            } else {
                free.take_mapped(pages, align, self.base()).ok_or(full)?
            }
        };
        Ok(self.spans.birth(run.first, kind, pages, run.clean, cycle))
    }

    /// Ends a span that the caller has to itself, and frees its pages.
    pub(crate) fn end(&self, span: Span<'_>) {
        let mut free = self.pages();
        self.bury(span, &mut free);
        self.release(&mut free);
    }

    /// Says that so many bytes will be in use before the next cycle ends. What that takes, and a tenth more, is not given
    /// back to the kernel (Go: `gcController.heapGoal`, `retainExtraPercent`).
    pub(crate) fn expect(&self, bytes: usize) {
        // Relaxed: an estimate.
        self.goal.store(bytes / PAGE, Ordering::Relaxed);
        self.release(&mut self.pages());
    }

    /// Gives memory back to the kernel once there is twice as much as is worth keeping.
    pub(crate) fn release(&self, pages: &mut Pages) {
        let goal = self.goal.load(Ordering::Relaxed);
        let soon = (goal + goal / 10).saturating_sub(pages.in_use());
        let keep = KEEP.max(pages.in_use() / 8).max(soon);
        if pages.present() > 2 * keep {
            pages.scavenge(&self.arenas, keep);
        }
    }

    /// Gives the memory behind all free pages back to the kernel; gives how many pages that were.
    pub(crate) fn scavenge(&self) -> usize {
        self.trim();
        self.pages().scavenge(&self.arenas, 0)
    }

    /// Gives memory behind free pages back to the kernel as far as there is more than `limit` pages of it altogether.
    pub(crate) fn give_back_above(&self, limit: usize) {
        let mut pages = self.pages();
        let keep = limit.saturating_sub(pages.in_use());
        if pages.present() > keep {
            pages.scavenge(&self.arenas, keep);
        }
    }

    /// Takes the pages of a cache back.
    pub(crate) fn flush(&self, cache: &mut PageCache) {
        self.pages().give_group(cache);
    }

    // ---- slots, for mutators that free

    /// Allocates up to `want` slots of a kind other than large, naming each, and gives how many. What was freed is used
    /// before new spans are made.
    pub(crate) fn refill(
        &self,
        kind: Kind,
        want: usize,
        cache: &mut PageCache,
        mut took: impl FnMut(NonNull<u8>),
    ) -> Result<usize, Error> {
        let central = self.central(kind);
        // A span whose frees are counted but not yet done has no slot to give. That passes; do not wait for it.
        for _ in 0..2 {
            let Some(first) = central.pop(&self.spans) else { break };
            let count = self.allocate(self.spans.at(first), want, &mut took);
            if count > 0 {
                return Ok(count);
            }
        }
        let span = self.small_span(kind, cache)?;
        self.idle.fetch_add(span.pages(), Ordering::Relaxed);
        Ok(self.allocate(span, want, &mut took))
    }

    fn allocate(&self, span: Span<'_>, want: usize, took: &mut impl FnMut(NonNull<u8>)) -> usize {
        let (pages, central) = (span.pages(), self.central(span.kind()));
        let address = span.addresses();
        let took = |slot| took(address(slot));
        let (count, was_empty) = central.allocate(&self.spans, span.first(), want, took);
        if was_empty {
            self.idle.fetch_sub(pages, Ordering::Relaxed);
        }
        count
    }

    fn small_span(&self, kind: Kind, cache: &mut PageCache) -> Result<Span<'_>, Error> {
        debug_assert!(kind.class != LARGE);
        let pages = class(kind.class).pages;
        let take = |cache: &mut PageCache| (pages < CACHED).then(|| cache.take(pages)).flatten();
        if let Some(first) = take(cache) {
            return Ok(self.spans.birth(first, kind, pages, false, 0));
        }
        let mut free = self.pages();
        let run = match free.take_mapped(pages, 1, 0) {
            Some(run) => run,
            None => {
                drop(free);
                self.reclaim(pages);
                free = self.pages();
                match free.take(&self.arenas, pages, 1, 0) {
                    Ok(run) => run,
                    Err(_) => {
                        drop(free);
                        self.trim();
                        free = self.pages();
                        free.take(&self.arenas, pages, 1, 0)?
                    }
                }
            }
        };
        // The rest of the group, for the next spans.
        if pages < CACHED && cache.is_empty() {
            free.take_group_of(run.first + pages, cache);
        }
        drop(free);
        Ok(self.spans.birth(run.first, kind, pages, run.clean, 0))
    }

    /// The pages of spans that are empty. For a moment less than there are, if one is used before who emptied it counts.
    fn idle(&self) -> usize {
        usize::try_from(self.idle.load(Ordering::Relaxed).cast_signed()).unwrap_or(0)
    }

    /// Before the heap grows by so many pages: ends the spans that are empty, if that is likely to be worth it.
    pub(crate) fn reclaim(&self, pages: usize) {
        if self.idle() > pages.max(self.pages().in_use() / 16) {
            self.trim();
        }
    }

    /// Frees the slots of a span that `mask` names in one of its words. Gives whether they were allocated.
    pub(crate) fn free(&self, span: Span<'_>, word: usize, mask: u64) -> bool {
        // Read first: as soon as the slots are free the span may end.
        let (pages, central) = (span.pages(), self.central(span.kind()));
        let Freed { sound, emptied } = central.free(&self.spans, span.first(), word, mask);
        if emptied {
            self.idle.fetch_add(pages, Ordering::Relaxed);
            let idle = self.idle();
            if idle > 2 * KEEP && idle.is_multiple_of(64) && idle > self.pages().in_use() / 4 {
                self.trim();
            }
        }
        sound
    }

    /// Frees the slots that start at these addresses, which come in no order; neighbours that follow one another are freed
    /// together. Gives the first that is no allocated slot's.
    pub(crate) fn free_all(&self, addresses: impl Iterator<Item = usize>) -> Result<(), usize> {
        let mut wrong = Ok(());
        let mut group: Option<(Span<'_>, usize, u64, usize)> = None;
        for address in addresses {
            let Some(span) = self.spans.containing(self.spans.page_of(address)) else {
                wrong = wrong.and(Err(address));
                continue;
            };
            let (slot, _) = span.slot_of(address);
            let (word, bit) = (slot / BITS, 1 << (slot % BITS));
            group = match group {
                Some((last, at, mask, first)) if last.first() == span.first() && at == word => {
                    Some((last, at, mask | bit, first))
                }
                other => {
                    if let Some((last, at, mask, first)) = other
                        && !self.free(last, at, mask)
                    {
                        wrong = wrong.and(Err(first));
                    }
                    Some((span, word, bit, address))
                }
            };
        }
        match group {
            Some((last, at, mask, first)) if !self.free(last, at, mask) => wrong.and(Err(first)),
            _ => wrong,
        }
    }

    /// Ends all spans that are empty and in a set, or parked. Gives how many pages that freed.
    pub(crate) fn trim(&self) -> usize {
        let mut freed = 0;
        for central in &self.centrals {
            for first in central.take_all(&self.spans) {
                let span = self.spans.at(first);
                // By "nothing pending" nobody will touch it any more.
                if span.room().free() == span.slots() && crate::slots::all_free(span.allocated()) {
                    self.idle.fetch_sub(span.pages(), Ordering::Relaxed);
                    freed += self.bury(span, &mut self.pages());
                } else {
                    central.push(&self.spans, first);
                }
            }
        }
        for first in self.parked.take_all(&self.spans) {
            let pages = self.bury(self.spans.at(first), &mut self.pages());
            self.parked.ended(pages);
            freed += pages;
        }
        if freed > 0 {
            self.release(&mut self.pages());
        }
        freed
    }

    /// Ends a span that the caller has to itself, and gives how many pages that freed.
    fn bury(&self, span: Span<'_>, free: &mut Pages) -> usize {
        let (first, pages) = (span.first(), span.pages());
        self.spans.death(first);
        free.give_back(first, pages);
        pages
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use std::{collections::HashSet, thread};

    const KIND: Kind = Kind { class: 8, pointer_free: true };

    fn memory(pages: usize) -> Memory {
        Memory::reserve(pages, usize::MAX, Faults::default(), |_| ()).unwrap().0
    }

    fn refill(memory: &Memory, cache: &mut PageCache, want: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        memory.refill(KIND, want, cache, |slot| taken.push(slot.addr().get())).unwrap();
        taken
    }

    #[test]
    fn what_was_freed_comes_first_and_empty_spans_give_their_pages_back() {
        let memory = memory(1024);
        let mut cache = PageCache::empty();
        let first = refill(&memory, &mut cache, 85);
        assert_eq!(first.len(), 85);
        let second = refill(&memory, &mut cache, 10);
        assert_eq!(memory.free_all(first[3..5].iter().copied()), Ok(()));
        assert_eq!(refill(&memory, &mut cache, 100), first[3..5]);
        assert_eq!(memory.free_all([first[0], first[0] + 1].into_iter()), Ok(()), "any byte of a slot names it");
        assert_eq!(memory.free_all([second[0], first[0]].into_iter()), Err(first[0]), "it is free already");
        drop(memory);
    }

    #[test]
    fn spans_are_ended_only_when_all_is_free() {
        let memory = memory(1024);
        let mut cache = PageCache::empty();
        let taken: Vec<_> = (0..20).flat_map(|_| refill(&memory, &mut cache, 40)).collect();
        memory.flush(&mut cache);
        let used = memory.pages().in_use();
        assert_eq!(memory.free_all(taken[1..].iter().copied()), Ok(()));
        assert_eq!(memory.trim(), used - 1);
        assert_eq!(memory.free_all(taken[..1].iter().copied()), Ok(()));
        assert_eq!((memory.trim(), memory.pages().in_use(), memory.idle.load(Ordering::Relaxed)), (1, 0, 0));
        assert_eq!(memory.pages().verify(), Ok(()));
    }

    #[test]
    fn no_free_page_is_kept_below_what_is_in_use() {
        let memory = memory(1024);
        // Too large to be parked.
        let [_, second] = [300, 300].map(|pages| memory.large(pages, 1).unwrap().0.addr().get());
        memory.free_large(memory.spans().containing(memory.spans().page_of(second)).unwrap());
        let present = || memory.pages().present();
        assert_eq!(present(), 300);
        memory.give_back_above(500);
        // Of a word of the bitmap, all or none.
        assert!((200 - BITS..=200).contains(&present()), "{} pages are kept", present());
        memory.give_back_above(299);
        assert_eq!((present(), memory.pages().verify()), (0, Ok(())));
    }

    #[test]
    fn threads_never_get_the_same_slot() {
        let memory = memory(8192);
        let shared = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for seed in 0..4 {
                let (memory, shared) = (&memory, &shared);
                scope.spawn(move || {
                    let mut cache = PageCache::empty();
                    let mut own = Vec::new();
                    for round in 0..2000_usize {
                        own.extend(refill(memory, &mut cache, 1 + (round * 7 + seed) % 60));
                        if own.len() > 300 {
                            let mut pool = shared.lock().unwrap();
                            pool.append(&mut own.split_off(100));
                            let unique: HashSet<_> = pool.iter().collect();
                            assert_eq!(unique.len(), pool.len());
                            let half = pool.len() / 2;
                            let other: Vec<_> = pool.drain(..half).collect();
                            drop(pool);
                            assert_eq!(memory.free_all(other.into_iter()), Ok(()));
                        }
                        if round % 500 == 0 {
                            memory.trim();
                        }
                    }
                    shared.lock().unwrap().append(&mut own);
                    memory.flush(&mut cache);
                });
            }
        });
        let rest = shared.into_inner().unwrap();
        assert_eq!(rest.iter().collect::<HashSet<_>>().len(), rest.len());
        memory.free_all(rest.into_iter()).unwrap();
        memory.trim();
        assert_eq!((memory.pages().in_use(), memory.idle.load(Ordering::Relaxed)), (0, 0));
        assert_eq!(memory.pages().verify(), Ok(()));
    }

    #[test]
    fn the_k_th_call_to_the_kernel_may_fail() {
        for after in 0..20 {
            let faults = Faults { after, count: 1 };
            let Ok((memory, ())) = Memory::reserve(4096, usize::MAX, faults, |_| ()) else { continue };
            let mut cache = PageCache::empty();
            let mut failures = 0;
            for pages in [1, 100, 1000, 64] {
                failures += usize::from(memory.large(pages, 1).is_err());
                failures += usize::from(memory.refill(KIND, 5, &mut cache, |_| ()).is_err());
            }
            assert!(failures <= 1, "one failure was asked for, {failures} were seen");
            assert_eq!(memory.pages().verify(), Ok(()));
            memory.large(10, 1).unwrap();
        }
    }
}
