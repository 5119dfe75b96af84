//! Caches: what lets a mutator that frees allocate and free without locks and without atomic read-modify-writes. Above
//! [`memory`](crate::memory).
//!
//! A [`Cache`] has a bin for each size class, and a bin has a *loaded* magazine and a *spare* one. A magazine is a stack of
//! addresses of slots that are free for the mutator and allocated for the span. Allocating pops the loaded magazine,
//! freeing pushes, whoever's the slot was. When it runs empty or full it is exchanged: for the spare, then with the
//! [`Depot`], where full magazines of all mutators lie, and only then with the spans.
//!
//! ```text
//!   alloc ◀── loaded ◀──▶ spare ◀──▶ Depot: full magazines ──▶ other mutators
//!   free  ──▶ (63 addresses)              empty ones
//!                    ▲ refill                  │ more than a megabyte
//!                    └────────── spans ◀───────┘
//! ```
//!
//! Why magazines and not lists through the free slots, as other allocators have: the heap then writes nothing into memory
//! that is not allocated, so collected and freed objects live in the same spans, under the same bits; a write to a freed
//! object corrupts no bookkeeping; freeing does not touch the object, which another core may have; and a slot that is
//! popped is not read to find the next. Frees from other threads need no path of their own: 63 of them change hands with
//! one exchange.
//!
//! Invariants:
//! * An element below the bottom is never read; the bottom element is null, so a pop finds null exactly if the magazine is
//!   empty. A magazine ends at a multiple of its size, so a push finds by the address of the next element whether it is
//!   full.
//! * A spare is full, or it is empty and its first element is null. Those in the depot's class stacks are full.
//! * Larger slots have lower magazines: all elements of one have [`HOLD`] bytes at most, or two slots.
//!
//! Orderings: relaxed, all. A magazine belongs to one mutator, or else it is in a stack, which publishes what is in it;
//! counts order nothing.
//!
//! Source: Bonwick and Adams 2001.

use crate::{
    arena::{Arenas, Plan, Planned},
    class::{CLASSES, FINE_SIZES, class, fine, fine_table},
    error::Error,
    geometry::PAGE,
    memory::Memory,
    os::{Mapped, Zeroed},
    page::PageCache,
    span::Kind,
    span_cache::SpanCache,
    stack::{Links, Stack},
    sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};
use std::{cell::Cell, ptr};

/// The elements of a magazine, one of which is null.
const ELEMENTS: usize = 64;
/// The bytes of slots that a magazine holds at most, if they are more than two.
const HOLD: usize = 64 << 10;
/// The bytes of slots that the depot holds for a class at most, if they are more than a few magazines.
const STORE: usize = 1 << 20;

type Element = AtomicPtr<u8>;

/// Addresses of slots.
#[repr(C, align(512))]
pub(crate) struct Magazine([Element; ELEMENTS]);

const _: () = assert!(size_of::<Magazine>() == 512 && align_of::<Magazine>() == 512);

// SAFETY: zero is the null pointer.
unsafe impl Zeroed for Magazine {}

/// Full and empty: what bins are loaded with before there is anything better. Never written.
static NOTHING: Magazine = Magazine([const { AtomicPtr::new(ptr::null_mut()) }; ELEMENTS]);

/// The slots that a magazine of a class holds.
const fn capacity(number: usize) -> usize {
    let most = HOLD / class_size(number);
    if most < 2 {
        2
    } else if most > ELEMENTS - 1 {
        ELEMENTS - 1
    } else {
        most
    }
}

const fn class_size(number: usize) -> usize {
    if number == 0 { HOLD } else { class(number).size }
}

/// By class, the element below the first that is used.
static BOTTOM: [u8; CLASSES] = {
    let mut bottom = [0; CLASSES];
    let mut number = 0;
    while number < CLASSES {
        bottom[number] = (ELEMENTS - 1 - capacity(number)) as u8;
        number += 1;
    }
    bottom
};

/// What a mutator has of one class.
pub(crate) struct Bin {
    /// The last element of the loaded magazine, null if it is empty. Only read and written by the mutator; loads and
    /// stores through it are relaxed.
    top: Cell<*const Element>,
    spare: Cell<*const Magazine>,
}

/// Which bin: the offset of it in bytes, at most that of the last class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BinAt(u16);

/// By eighth of a small size, where its bin is: what the fast paths look up instead of a class.
static FINE: [u16; FINE_SIZES] = fine_table(size_of::<Bin>());

impl BinAt {
    /// The bin of a class.
    pub(crate) fn of(number: usize) -> BinAt {
        debug_assert!(number < CLASSES);
        BinAt((number * size_of::<Bin>()) as u16)
    }

    /// The bin for so many bytes, if they are few and aligned as any slot is.
    #[inline(always)]
    pub(crate) fn small(size: usize) -> Option<BinAt> {
        FINE.get(fine(size)).copied().map(BinAt)
    }

    /// The class that the bin is of.
    pub(crate) fn class(self) -> usize {
        usize::from(self.0) / size_of::<Bin>()
    }
}

/// What a mutator has.
pub(crate) struct Cache {
    bins: [Bin; CLASSES],
    pages: Cell<PageCache>,
    pub(crate) spans: SpanCache,
}

impl Cache {
    /// Nothing.
    pub(crate) const fn new() -> Cache {
        Cache {
            bins: [const { Bin { top: Cell::new(&raw const NOTHING.0[ELEMENTS - 1]), spare: Cell::new(&raw const NOTHING) } };
                CLASSES],
            pages: Cell::new(PageCache::empty()),
            spans: SpanCache::new(),
        }
    }

    #[inline(always)]
    fn bin(&self, at: BinAt) -> &Bin {
        // SAFETY: a `BinAt` is the offset of a bin among the bins, of which there is one for each class.
        unsafe { &*(&raw const self.bins).byte_add(usize::from(at.0)).cast() }
    }

    /// A slot of this class, if there is one in the loaded magazine.
    #[inline(always)]
    pub(crate) fn pop(&self, at: BinAt) -> Option<ptr::NonNull<u8>> {
        let bin = self.bin(at);
        let top = bin.top.get();
        // SAFETY: `top` is an element of the loaded magazine; those are never unmapped while the memory lives.
        // Relaxed: only this mutator writes a loaded magazine.
        let slot = ptr::NonNull::new(unsafe { &*top }.load(Ordering::Relaxed))?;
        // SAFETY: the element is not the bottom one, which is null, so there is one below it.
        bin.top.set(unsafe { top.sub(1) });
        Some(slot)
    }

    /// Puts a slot of this class into the loaded magazine, unless it is full.
    #[inline(always)]
    pub(crate) fn push(&self, at: BinAt, slot: ptr::NonNull<u8>) -> bool {
        let bin = self.bin(at);
        let next = bin.top.get().wrapping_add(1);
        if next.addr().is_multiple_of(size_of::<Magazine>()) {
            return false;
        }
        // SAFETY: `next` does not start another magazine, so it is an element of the loaded one. Relaxed: as in `pop`.
        unsafe { &*next }.store(slot.as_ptr(), Ordering::Relaxed);
        bin.top.set(next);
        true
    }
}

/// All magazines, and their links in the depot's stacks.
pub(crate) struct Magazines(Mapped<Magazine>, Mapped<AtomicU64>);

impl Links for Magazines {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.1[number]
    }
}

/// Where magazines of no mutator are.
pub(crate) struct Depot {
    magazines: Magazines,
    /// By class.
    full: [Stack; CLASSES],
    /// About how many are in each.
    count: [AtomicUsize; CLASSES],
    empty: Stack,
    /// How many magazines were ever used.
    used: AtomicUsize,
}

/// What a [`Depot`] needs tables for.
pub(crate) struct PlannedDepot(Planned<Magazine>, Planned<AtomicU64>);

impl Depot {
    /// Plans for a window of so many pages: as many magazines as take a sixty-fourth of it, a million at most.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> PlannedDepot {
        let magazines = (pages * (PAGE / 64 / size_of::<Magazine>())).clamp(1024, 1 << 20);
        PlannedDepot(plan.table(magazines), plan.table(magazines))
    }

    /// A depot without magazines.
    ///
    /// # Safety
    /// As for [`Arenas::open`].
    pub(crate) unsafe fn open(arenas: &Arenas, planned: PlannedDepot) -> Depot {
        // SAFETY: the caller's promise.
        let magazines = unsafe { Magazines(arenas.open(planned.0), arenas.open(planned.1)) };
        Depot {
            magazines,
            full: [const { Stack::new() }; CLASSES],
            count: [const { AtomicUsize::new(0) }; CLASSES],
            empty: Stack::new(),
            used: AtomicUsize::new(0),
        }
    }

    /// An empty magazine; `None` if there are no more.
    fn take_empty(&self) -> Option<&Magazine> {
        let all = &self.magazines.0;
        let number = self.empty.pop(&self.magazines).or_else(|| {
            // Relaxed: only counts.
            let number = self.used.load(Ordering::Relaxed);
            (number < all.len()).then(|| self.used.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < all.len())
        })?;
        Some(&all[number])
    }

    fn number(&self, magazine: *const Magazine) -> usize {
        (magazine.addr() - self.magazines.0.as_ptr().addr()) / size_of::<Magazine>()
    }

    fn give_empty(&self, magazine: *const Magazine) {
        if !ptr::eq(magazine, &raw const NOTHING) {
            self.empty.push(&self.magazines, self.number(magazine));
        }
    }

    fn take_full(&self, number: usize) -> Option<&Magazine> {
        // Tested first, so that an empty depot costs no exchange. Relaxed: only counts.
        if self.count[number].load(Ordering::Relaxed) == 0 {
            return None;
        }
        let magazine = self.full[number].pop(&self.magazines)?;
        self.count[number].fetch_sub(1, Ordering::Relaxed);
        Some(&self.magazines.0[magazine])
    }

    /// Keeps a full magazine, or else empties it into the spans; then gives it back.
    fn give_full<'d>(&'d self, memory: &Memory, number: usize, magazine: &'d Magazine) -> Option<&'d Magazine> {
        let most = STORE / capacity(number) / class_size(number);
        if self.count[number].load(Ordering::Relaxed) < most.max(4) {
            self.count[number].fetch_add(1, Ordering::Relaxed);
            self.full[number].push(&self.magazines, self.number(magazine));
            return None;
        }
        drain(memory, number, magazine, ELEMENTS - 1);
        Some(magazine)
    }

    /// Empties all magazines into the spans.
    pub(crate) fn trim(&self, memory: &Memory) {
        for number in 1..CLASSES {
            while let Some(magazine) = self.take_full(number) {
                drain(memory, number, magazine, ELEMENTS - 1);
                self.give_empty(magazine);
            }
        }
    }

    /// The addresses in full magazines, by class.
    ///
    /// For checks: nobody may use the depot meanwhile.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (1..CLASSES).flat_map(move |number| {
            let magazines = self.full[number].iter(&self.magazines);
            magazines.flat_map(move |at| {
                let elements = &self.magazines.0[at].0[usize::from(BOTTOM[number]) + 1..];
                elements.iter().map(move |element| (number, element.load(Ordering::Relaxed).addr()))
            })
        })
    }
}

/// The kind of the spans that a class's slots come from.
pub(crate) fn kind(number: usize) -> Kind {
    Kind { class: number, pointer_free: true }
}

/// Gives the slots of a magazine, up to element `top`, back to their spans.
fn drain(memory: &Memory, number: usize, magazine: &Magazine, top: usize) {
    let slots = &magazine.0[usize::from(BOTTOM[number]) + 1..=top];
    // Slots that are not allocated were freed twice. That is for the hardened heap to find, before they come here.
    _ = memory.free_all(slots.iter().map(|slot| slot.load(Ordering::Relaxed).addr()));
}

impl Bin {
    fn element(&self) -> usize {
        self.top.get().addr() % size_of::<Magazine>() / size_of::<Element>()
    }

    fn loaded(&self) -> *const Magazine {
        self.top.get().map_addr(|address| address & !(size_of::<Magazine>() - 1)).cast()
    }

    fn load(&self, magazine: &Magazine, number: usize, slots: usize) {
        let bottom = usize::from(BOTTOM[number]);
        // Relaxed: it is ours. Another class may have had it.
        magazine.0[bottom].store(ptr::null_mut(), Ordering::Relaxed);
        self.top.set(&raw const magazine.0[bottom + slots]);
    }

    /// Makes a magazine that is empty the spare one, and lets it look so.
    fn keep_empty(&self, magazine: *const Magazine, number: usize) {
        if !Bin::is_nothing(magazine) {
            // SAFETY: magazines are never unmapped while the memory lives.
            let element = unsafe { &(*magazine).0[usize::from(BOTTOM[number]) + 1] };
            element.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.spare.set(magazine);
    }

    fn is_nothing(magazine: *const Magazine) -> bool {
        ptr::eq(magazine, &raw const NOTHING)
    }
}

impl Cache {
    /// A slot of this class when the loaded magazine is empty.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&self, memory: &Memory, depot: &Depot, at: BinAt) -> Result<ptr::NonNull<u8>, Error> {
        let class = at.class();
        let bin = &self.bins[class];
        let (loaded, spare) = (bin.loaded(), bin.spare.get());
        // The spare, if it is full.
        if self.spare_is_full(bin, class) {
            bin.keep_empty(loaded, class);
            // SAFETY: magazines are never unmapped while the memory lives.
            bin.load(unsafe { &*spare }, class, capacity(class));
        } else if let Some(full) = depot.take_full(class) {
            depot.give_empty(spare);
            bin.keep_empty(loaded, class);
            bin.load(full, class, capacity(class));
        } else {
            self.load_from_spans(memory, depot, class)?;
        }
        if let Some(slot) = self.pop(at) {
            return Ok(slot);
        }
        // No magazine is to be had.
        let mut slot = None;
        self.with_pages(|pages| memory.refill(kind(class), 1, pages, |found| slot = Some(found)))?;
        slot.ok_or(Error::OutOfMemory { requested: class_size(class) })
    }

    fn load_from_spans(&self, memory: &Memory, depot: &Depot, class: usize) -> Result<(), Error> {
        let bin = &self.bins[class];
        let magazine = if Bin::is_nothing(bin.loaded()) {
            let Some(magazine) = depot.take_empty() else { return Ok(()) };
            bin.load(magazine, class, 0);
            magazine
        } else {
            // SAFETY: magazines are never unmapped while the memory lives.
            unsafe { &*bin.loaded() }
        };
        // From the end down, so that the lowest slot is popped first.
        let (bottom, mut at) = (usize::from(BOTTOM[class]), ELEMENTS);
        self.with_pages(|pages| {
            memory.refill(kind(class), capacity(class), pages, |slot| {
                at -= 1;
                magazine.0[at].store(slot.as_ptr(), Ordering::Relaxed);
            })
        })?;
        let count = ELEMENTS - at;
        // A span with less to give leaves a gap at the bottom.
        if at > bottom + 1 {
            for offset in 0..count {
                let slot = magazine.0[at + offset].load(Ordering::Relaxed);
                magazine.0[bottom + 1 + offset].store(slot, Ordering::Relaxed);
            }
        }
        bin.load(magazine, class, count);
        Ok(())
    }

    /// Takes a slot of this class when the loaded magazine is full.
    #[cold]
    #[inline(never)]
    pub(crate) fn spill(&self, memory: &Memory, depot: &Depot, at: BinAt, slot: ptr::NonNull<u8>) {
        let class = at.class();
        let bin = &self.bins[class];
        let (loaded, spare) = (bin.loaded(), bin.spare.get());
        let empty = if Bin::is_nothing(spare) {
            depot.take_empty()
        } else if self.spare_is_full(bin, class) {
            // SAFETY: magazines are never unmapped while the memory lives.
            depot.give_full(memory, class, unsafe { &*spare }).or_else(|| depot.take_empty())
        } else {
            // SAFETY: as above.
            Some(unsafe { &*spare })
        };
        match empty {
            Some(magazine) => {
                bin.spare.set(loaded);
                bin.load(magazine, class, 0);
            }
            // The spare is gone, and no other is to be had.
            None => bin.spare.set(&raw const NOTHING),
        }
        if !self.push(at, slot) {
            _ = memory.free_all(std::iter::once(slot.addr().get()));
        }
    }

    /// Whether the spare magazine, if any, is full rather than empty.
    fn spare_is_full(&self, bin: &Bin, class: usize) -> bool {
        // SAFETY: magazines are never unmapped while the memory lives.
        let spare = unsafe { &*bin.spare.get() };
        !spare.0[usize::from(BOTTOM[class]) + 1].load(Ordering::Relaxed).is_null()
    }

    fn with_pages<T>(&self, with: impl FnOnce(&mut PageCache) -> T) -> T {
        let mut pages = self.pages.take();
        let result = with(&mut pages);
        self.pages.set(pages);
        result
    }

    /// Gives everything back, so that the mutator can leave.
    pub(crate) fn flush(&self, memory: &Memory, depot: &Depot) {
        for (class, bin) in self.bins.iter().enumerate().skip(1) {
            let (loaded, spare, top) = (bin.loaded(), bin.spare.get(), bin.element());
            if !Bin::is_nothing(loaded) {
                // SAFETY: magazines are never unmapped while the memory lives.
                drain(memory, class, unsafe { &*loaded }, top);
                depot.give_empty(loaded);
            }
            if !Bin::is_nothing(spare) {
                // SAFETY: as above.
                let spare = unsafe { &*spare };
                if !self.spare_is_full(bin, class) || depot.give_full(memory, class, spare).is_some() {
                    depot.give_empty(spare);
                }
            }
            bin.top.set(&raw const NOTHING.0[ELEMENTS - 1]);
            bin.spare.set(&raw const NOTHING);
        }
        self.spans.flush(|entry| memory.free_large(memory.spans().at(entry.first)));
        self.with_pages(|pages| memory.flush(pages));
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use crate::os::Faults;
    use std::{collections::BTreeSet, iter};

    #[test]
    fn without_a_magazine_slots_come_and_go_one_by_one() {
        let reserved = Memory::reserve(1024, usize::MAX, Faults::NONE, |plan| Depot::plan(plan, 1024));
        let (memory, planned) = reserved.unwrap();
        // SAFETY: planned with this memory, and dropped before it.
        let depot = unsafe { Depot::open(memory.arenas(), planned) };
        let (cache, at) = (Cache::new(), BinAt::of(8));
        // Nobody has a magazine, or this mutator alone has one.
        for left in [0, 1] {
            let taken: Vec<_> = iter::from_fn(|| depot.take_empty().map(ptr::from_ref)).collect();
            taken.iter().take(left).for_each(|magazine| depot.give_empty(*magazine));
            let take = || cache.pop(at).map_or_else(|| cache.refill(&memory, &depot, at), Ok);
            let slots: Vec<_> = (0..200).map(|_| take().unwrap()).collect();
            assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 200, "{left} magazines");
            for slot in slots {
                if !cache.push(at, slot) {
                    cache.spill(&memory, &depot, at, slot);
                }
            }
            cache.flush(&memory, &depot);
            taken.iter().skip(left).for_each(|magazine| depot.give_empty(*magazine));
            assert_eq!((memory.trim() > 0, memory.pages().in_use()), (true, 0), "{left} magazines");
        }
    }
}
