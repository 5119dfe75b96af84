//! The space: objects in spans, and the way from an address to its slot. Above [`memory`](crate::memory); knows nothing of
//! colours or mutators.
//!
//! The memory of objects is words, and all of them are atomic: fields are stored with release order and loaded with
//! acquire order, so who finds a pointer finds what is behind it initialised; data is relaxed. So mutators that race for
//! an object are in nobody's way but each other's.
//!
//! Invariant: `objects` and `bytes` are the sums over all spans of what is allocated, of which mutators may hold some in
//! their windows.

use crate::{
    arena::{Plan, Planned},
    class::{LARGE, class},
    error::Error,
    gc::grey,
    geometry::{ADDRESS_BITS, BITS, PAGE, WORD, sized},
    memory::Memory,
    os::{Faults, Mapped},
    page::Pages,
    root::Address,
    span::{Kind, Located, Span, Spans},
    stack::Links,
    sync::{AtomicU64, AtomicUsize, MutexGuard, Ordering},
    tiny::{self, Ends, TINY},
    twin::{Twin, wrong},
};
use std::{ops::Range, slice};

/// A slot: the first page of its span, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) span: usize,
    pub(crate) number: usize,
}

/// The words of a block of grey objects.
const BLOCK: usize = sized(64, 4);

/// Blocks for the queue of grey objects, and the links between them.
pub(crate) struct Blocks(Mapped<[AtomicUsize; BLOCK]>, Mapped<AtomicU64>);

struct PlannedBlocks(Planned<[AtomicUsize; BLOCK]>, Planned<AtomicU64>);

impl Blocks {
    /// Plans for a window of so many pages: as many blocks as take a sixty-fourth of it.
    fn plan(plan: &mut Plan, pages: usize) -> PlannedBlocks {
        let blocks = pages * PAGE / 64 / (BLOCK * WORD);
        PlannedBlocks(plan.table(blocks), plan.table(blocks))
    }
}

impl Links for Blocks {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.1[number]
    }
}

impl grey::Blocks for Blocks {
    fn block(&self, number: usize) -> &[AtomicUsize] {
        &self.0[number]
    }

    fn blocks(&self) -> usize {
        self.0.len()
    }
}

/// All spans.
pub(crate) struct Space {
    pub(crate) blocks: Blocks,
    objects: AtomicUsize,
    bytes: AtomicUsize,
    /// The bytes that were ever allocated.
    claimed: AtomicUsize,
    /// Where the objects of tiny blocks end, if there are tiny objects.
    ends: Option<Ends>,
    /// Last, as the blocks and the ends are in it.
    memory: Memory,
}

impl Space {
    /// Reserves a window of so many pages, of which at most `limit` will be mapped, with or without tiny objects.
    pub(crate) fn reserve(pages: usize, limit: usize, faults: Faults, tiny: bool) -> Result<Space, Error> {
        let (memory, (blocks, ends)) = Memory::reserve(pages, limit, faults, |plan| {
            (Blocks::plan(plan, pages), tiny.then(|| Ends::plan(plan, pages)))
        })?;
        let arenas = memory.arenas();
        if (arenas.base().addr().get() + pages * PAGE - 1) >> ADDRESS_BITS != 0 {
            // No kernel does that unless it is asked to.
            return Err(Error::Os { call: "mmap", code: libc::ENOMEM });
        }
        // SAFETY: of the plan that the memory was reserved with, and dropped before it.
        let blocks = unsafe { Blocks(arenas.open(blocks.0), arenas.open(blocks.1)) };
        // SAFETY: as above.
        let ends = ends.map(|planned| Ends::new(unsafe { arenas.open(planned) }));
        Ok(Space {
            blocks,
            objects: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            ends,
            memory,
        })
    }

    #[inline]
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    #[inline]
    pub(crate) fn spans(&self) -> &Spans {
        self.memory.spans()
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.memory.pages()
    }

    /// How many slots are allocated, and their bytes.
    pub(crate) fn allocated(&self) -> (usize, usize) {
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// The bytes of all slots that were ever allocated, but not of those that mutators gave back unused.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Counts slots that were allocated.
    pub(crate) fn count(&self, slots: usize, size: usize) {
        // Relaxed, here and below: counts that order nothing.
        if wrong(Twin::Counting) {
            self.objects.store(self.objects.load(Ordering::Relaxed) + slots, Ordering::Relaxed);
        } else {
            self.objects.fetch_add(slots, Ordering::Relaxed);
        }
        self.bytes.fetch_add(slots * size, Ordering::Relaxed);
        self.claimed.fetch_add(slots * size, Ordering::Relaxed);
    }

    /// Uncounts slots that were given back unused.
    pub(crate) fn recant(&self, slots: usize, size: usize) {
        self.discount(slots, size);
        self.claimed.fetch_sub(slots * size, Ordering::Relaxed);
    }

    /// Uncounts slots that were freed.
    fn discount(&self, slots: usize, size: usize) {
        self.objects.fetch_sub(slots, Ordering::Relaxed);
        self.bytes.fetch_sub(slots * size, Ordering::Relaxed);
    }

    /// The span that starts at this page.
    pub(crate) fn span(&self, first: usize) -> Span<'_> {
        self.memory.spans().at(first)
    }

    /// The span that a page is in.
    pub(crate) fn containing(&self, page: usize) -> Option<Span<'_>> {
        self.memory.spans().containing(page)
    }

    /// The spans from this page on, in address order, while nobody makes or ends any.
    pub(crate) fn spans_from(&self, page: usize) -> impl Iterator<Item = Span<'_>> {
        self.memory.spans().from(page, self.pages().mapped())
    }

    /// The spans that are in a set, each as often as it is.
    pub(crate) fn listed(&self) -> impl Iterator<Item = usize> + '_ {
        self.memory.centrals().iter().flat_map(|central| central.iter(self.memory.spans()))
    }

    /// The object that starts at this address: its slot, and the bytes that it has there. A tiny one need not start where
    /// its slot does.
    pub(crate) fn find(&self, at: Address) -> Option<(Slot, usize)> {
        let (spans, at) = (self.memory.spans(), at.get());
        let span = spans.containing(spans.page_of(at))?;
        let (start, size) = match &self.ends {
            Some(ends) if span.kind() == tiny::KIND => (at & !(TINY - 1), ends.size(at - self.start())?),
            _ => (at, span.size()),
        };
        Some((Slot { span: span.first(), number: span.slot_at(start)? }, size))
    }

    /// Whether an address that is not where a slot starts may be that of an object.
    #[inline]
    pub(crate) fn is_inside(&self, found: Located) -> bool {
        found.kind == tiny::KIND && self.ends.is_some()
    }

    /// The address of the window.
    fn start(&self) -> usize {
        self.spans().base().addr().get()
    }

    /// Where the objects of tiny blocks end, and the address that offsets are counted from; `None` if there are no tiny
    /// objects.
    pub(crate) fn ends(&self) -> Option<(&Ends, usize)> {
        self.ends.as_ref().map(|ends| (ends, self.start()))
    }

    /// The slot that an address is in.
    #[inline(always)]
    pub(crate) fn locate(&self, at: usize) -> Option<Located> {
        self.memory.spans().locate(at)
    }

    /// Has the memory of an object fetched, if that can be asked for.
    #[inline]
    pub(crate) fn fetch(&self, at: usize) {
        fetch(std::ptr::without_provenance(at));
    }

    /// Has fetched what is kept beside an object, for a mark to be tested.
    #[inline]
    pub(crate) fn fetch_mark(&self, at: usize) {
        let row = self.spans().row_near(at);
        fetch(row.cast());
        fetch(row.wrapping_add(8).cast());
    }

    /// The address of a slot of a span.
    pub(crate) fn address(&self, at: Slot) -> Address {
        address_of(self.span(at.span), at.number)
    }

    // ---- spans come and go

    /// Makes a span, of `pages` pages if it is large, which the caller holds. Maps more pages only if `grow`.
    pub(crate) fn add(&self, kind: Kind, pages: usize, cycle: u64, grow: bool) -> Result<Span<'_>, Error> {
        let pages = if kind.class == LARGE { pages } else { class(kind.class).pages };
        self.memory.new_span(kind, pages, 1, cycle, grow)
    }

    /// A span of this kind with room that nobody holds; the caller does now.
    pub(crate) fn pop(&self, kind: Kind) -> Option<Span<'_>> {
        self.memory.central(kind).pop(self.memory.spans()).map(|first| self.span(first))
    }

    /// Lets go of a span that the caller holds, and that is swept: into the set of its kind if it has room. An empty one
    /// ends.
    pub(crate) fn let_go(&self, span: Span<'_>) {
        if span.live() == 0 {
            self.memory.end(span);
        } else if !span.room().let_go() {
            self.memory.central(span.kind()).push(self.memory.spans(), span.first());
        }
    }

    /// Empties the sets, but for spans that are swept for this cycle. What was in them is held by nobody until it is swept.
    pub(crate) fn forget_room(&self, cycle: u64) {
        for central in self.memory.centrals() {
            for first in central.take_all(self.memory.spans()).collect::<Vec<_>>() {
                if self.span(first).is_swept(cycle) {
                    central.push(self.memory.spans(), first);
                }
            }
        }
    }

    /// Sweeps a span that the caller has claimed, naming the address of each object that is freed if `tell`, and gives its
    /// pages back if it is empty.
    pub(crate) fn sweep(&self, span: Span<'_>, cycle: u64, tell: bool, mut freed: impl FnMut(Address)) {
        let (size, kind) = (span.size(), span.kind());
        let count = span.sweep(tell, |slot| freed(address_of(span, slot)));
        self.discount(count, size);
        let (empty, room) = (span.live() == 0, span.room().is_held());
        span.swept(cycle);
        if empty {
            self.memory.end(span);
        } else if room {
            self.memory.central(kind).push(self.memory.spans(), span.first());
        }
    }

    /// The bytes that are marked. Exact while nobody marks, allocates or ends a span.
    pub(crate) fn marked(&self) -> usize {
        let (spans, end) = (self.memory.spans(), self.pages().mapped());
        let (mut page, mut bytes) = (0, 0);
        while page < end {
            // A page in transit may seem to be in a span that is gone.
            page += match spans.containing(page).filter(|span| span.first() == page) {
                Some(span) => {
                    bytes += span.count_marked() * span.size();
                    span.pages().max(1)
                }
                None => 1,
            };
        }
        bytes
    }

    // ---- memory

    /// Whether there is memory for a run of bytes.
    #[cfg(feature = "c")]
    #[inline]
    pub(crate) fn has(&self, at: usize, bytes: usize) -> bool {
        let offset = at.wrapping_sub(self.spans().base().addr().get());
        let ready = self.memory.arenas().ready();
        offset < ready && bytes <= ready - offset
    }

    /// The words of a run of bytes, which starts at a multiple of a word.
    ///
    /// # Panics
    /// If there is no memory.
    #[inline]
    fn words(&self, at: usize, bytes: usize) -> &[AtomicUsize] {
        let (start, ready) = (self.spans().base(), self.memory.arenas().ready());
        let offset = at.wrapping_sub(start.addr().get());
        assert!(offset <= ready && bytes <= ready - offset && at.is_multiple_of(WORD), "{bytes} bytes at {at:#x}");
        // SAFETY: by the assertion the words lie where the window has memory, which stays as long as the space; the kernel
        // initialised it, and everybody reaches it as atomic words alone.
        unsafe { slice::from_raw_parts(start.as_ptr().add(offset).cast(), bytes / WORD) }
    }

    /// A word of an object: for one, a pointer field.
    ///
    /// # Panics
    /// If there is no memory.
    #[inline]
    pub(crate) fn field(&self, object: usize, index: usize) -> &AtomicUsize {
        let start = self.spans().base();
        let offset = object.wrapping_add(index.wrapping_mul(WORD)).wrapping_sub(start.addr().get());
        assert!(offset < self.memory.arenas().ready(), "no object is there");
        // SAFETY: as in `words`; pages are whole numbers of words, and what is left of `offset` is the start of one.
        unsafe { &*start.as_ptr().add(offset & !(WORD - 1)).cast() }
    }

    /// A run of pointer fields.
    #[inline]
    pub(crate) fn fields(&self, object: usize, run: Range<usize>) -> &[AtomicUsize] {
        self.words(object + run.start * WORD, run.len() * WORD)
    }

    /// Zeroes a slot that nobody else knows of.
    pub(crate) fn zero(&self, at: usize, bytes: usize) {
        for word in self.words(at, bytes) {
            // Relaxed: whoever publishes the object publishes this.
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Zeroes the slots of a word of a span that are in `mask`, of which nobody else knows.
    pub(crate) fn zero_slots(&self, span: Span<'_>, word: usize, mask: u64) {
        let (size, mut left) = (span.size(), mask);
        while left != 0 {
            // Neighbours together.
            let start = left.trailing_zeros();
            let count = (left >> start).trailing_ones();
            self.zero(span.address(word * BITS + start as usize).addr().get(), count as usize * size);
            left &= left.wrapping_add(1 << start);
        }
    }

    /// Reads bytes.
    pub(crate) fn read(&self, at: usize, data: &mut [u8]) {
        let (words, skip) = self.around(at, data.len());
        let (head, rest) = data.split_at_mut(data.len().min(skip.wrapping_neg() % WORD));
        let (whole, tail) = rest.as_chunks_mut();
        // Relaxed: data orders nothing.
        let mut words = words.iter().map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
        read_part(&mut words, head, skip);
        // The bytes first: of a zip, that is who ends it.
        whole.iter_mut().zip(&mut words).for_each(|(bytes, word)| *bytes = word);
        read_part(&mut words, tail, 0);
    }

    /// Writes bytes.
    pub(crate) fn write(&self, at: usize, data: &[u8]) {
        let (words, skip) = self.around(at, data.len());
        let (head, rest) = data.split_at(data.len().min(skip.wrapping_neg() % WORD));
        let (whole, tail) = rest.as_chunks();
        let mut words = words.iter();
        write_part(&mut words, head, skip);
        // Relaxed: data orders nothing. The bytes first: of a zip, that is who ends it.
        for (bytes, word) in whole.iter().zip(&mut words) {
            word.store(usize::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        write_part(&mut words, tail, 0);
    }

    /// The words that a run of bytes lies in, and how far into the first it starts.
    fn around(&self, at: usize, bytes: usize) -> (&[AtomicUsize], usize) {
        let skip = at % WORD;
        (self.words(at - skip, (skip + bytes).next_multiple_of(WORD)), skip)
    }
}

/// Reads a few bytes of the next word, from one of its bytes on.
fn read_part(words: &mut impl Iterator<Item = [u8; WORD]>, some: &mut [u8], from: usize) {
    if !some.is_empty()
        && let Some(word) = words.next()
    {
        some.copy_from_slice(&word[from..][..some.len()]);
    }
}

/// Writes a few bytes into the next word, from one of its bytes on. Others may be writing the other bytes of it.
fn write_part<'w>(words: &mut impl Iterator<Item = &'w AtomicUsize>, some: &[u8], from: usize) {
    if some.is_empty() {
        return;
    }
    let Some(word) = words.next() else { return };
    // Relaxed, all: data orders nothing.
    let mut old = word.load(Ordering::Relaxed);
    loop {
        let mut bytes = old.to_ne_bytes();
        bytes[from..][..some.len()].copy_from_slice(some);
        match word.compare_exchange_weak(old, usize::from_ne_bytes(bytes), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

#[inline]
fn fetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may name any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Stores a pointer where others may find it.
#[inline]
pub(crate) fn put(cell: &AtomicUsize, pointer: usize) {
    // Release: pairs with the acquire in `get`, so who loads the pointer finds the object initialised.
    cell.store(pointer, Ordering::Release);
}

/// Loads a pointer, to look at what is behind it.
#[inline]
pub(crate) fn get(cell: &AtomicUsize) -> usize {
    // Acquire: pairs with the release in `put`.
    cell.load(Ordering::Acquire)
}

fn address_of(span: Span<'_>, slot: usize) -> Address {
    Address::new(span.address(slot).addr().get()).expect("the kernel maps nothing at address 0")
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_written_wherever_they_start() {
        let space = Space::reserve(64, usize::MAX, Faults::NONE, true).unwrap();
        let span = space.add(Kind { class: LARGE, pointer_free: true }, 1, 0, true).unwrap();
        let start = span.address(0).addr().get();
        let mut expected = [0_u8; 64];
        for (at, len) in (0..20).flat_map(|at| (0..20).map(move |len| (at, len))) {
            let data: Vec<u8> = (0..len).map(|byte| (byte * 7 + at * 31 + len) as u8).collect();
            space.write(start + at, &data);
            expected[at..at + len].copy_from_slice(&data);
            let mut all = [0; 64];
            space.read(start, &mut all);
            assert_eq!(all, expected, "{len} bytes at {at}");
            let mut some = vec![0; len];
            space.read(start + at, &mut some);
            assert_eq!(some, data);
        }
    }
}
