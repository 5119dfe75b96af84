//! Spans: runs of pages that are cut into slots of one size, either all with pointers or all without.
//!
//! Everything that the heap knows about an object is kept here, beside the memory and never in it: objects have no
//! header, free slots hold no list, and a sweep touches no object. What is known of a span lies in tables by its first
//! page, so a span needs no allocation of its own, and a record is never anything but a record:
//!
//! ```text
//!   page ──▶ Index: kind, first page ──▶ Record       size, slots, generation, room, link
//!                                    ──▶ 16 words     allocated: a bit for each slot
//!                                    ──▶ 16 words     marked
//!                                    ──▶ 16 words     layout: pointer fields of each slot
//! ```
//!
//! Invariants:
//! * `marked` is a part of `allocated`, and empty unless objects are being marked or the span waits to be swept.
//! * All slots below `hint` are allocated. Nothing is allocated in a page that is in no span.
//! * A slot that is not allocated reads zero unless the span is `dirty`.
//! * Whoever holds a span, or has claimed it for sweeping, has it to itself, but for the marks.
//! * Size, slots, pages and magic do not change from the publication of a span to its end.
//!
//! Orderings: relaxed, all. What is fixed from publication to end is ordered by the index, which publishes it; what the
//! holder writes, by the set through which a span changes hands; bits of slots, by [`slots`](crate::slots).
//!
//! Source: Go's `mheap.go` (`mspan`) and `mcentral.go`; facts about its bitmaps in `mbitmap.go`.

use crate::{
    arena::{Arenas, Index, Plan, Planned, PlannedIndex},
    central::Store,
    class::{CLASSES, Class, LARGE, class},
    generation::Generation,
    geometry::{BITS, PAGE, PAGE_WORDS, WORD},
    layout::{self, Layout},
    os::{Mapped, Zeroed},
    slots::{self, Room},
    stack::Links,
    sync::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    weak::Attached,
};
use std::ptr::NonNull;

/// What a span is for: a size class, with or without pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) class: usize,
    pub(crate) pointer_free: bool,
}

impl Kind {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = 2 * CLASSES;

    /// The number of a kind, below [`Kind::COUNT`].
    pub(crate) fn number(self) -> usize {
        2 * self.class + usize::from(self.pointer_free)
    }

    fn numbered(number: usize) -> Kind {
        Kind { class: number / 2, pointer_free: number % 2 == 1 }
    }
}

/// What is known of a span as a whole.
#[repr(C, align(64))]
pub(crate) struct Record {
    link: AtomicU64,
    room: Room,
    pages: AtomicUsize,
    size: AtomicUsize,
    generation: Generation,
    slots: AtomicU32,
    hint: AtomicU32,
    /// 1 if free slots have to be zeroed before use.
    dirty: AtomicU8,
    attached: Attached,
}

// SAFETY: made of numbers.
unsafe impl Zeroed for Record {}

/// The words of a bitmap that belong to a page.
type PageBits = [AtomicU64; PAGE_WORDS / BITS];

/// All spans.
pub(crate) struct Spans {
    base: NonNull<u8>,
    index: Index,
    records: Mapped<Record>,
    allocated: Mapped<PageBits>,
    marked: Mapped<PageBits>,
    layout: Mapped<PageBits>,
}

// SAFETY: `base` is only a place; what lies there is shared as the rest of the heap says.
unsafe impl Send for Spans {}
// SAFETY: as above; everything else in it is shared by itself.
unsafe impl Sync for Spans {}

/// What [`Spans`] needs tables for.
pub(crate) struct PlannedSpans {
    index: PlannedIndex,
    records: Planned<Record>,
    allocated: Planned<PageBits>,
    marked: Planned<PageBits>,
    layout: Planned<PageBits>,
}

impl Spans {
    /// Plans for a window of so many pages.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> PlannedSpans {
        PlannedSpans {
            index: Index::plan(plan, pages),
            records: plan.table(pages),
            allocated: plan.table(pages),
            marked: plan.table(pages),
            layout: plan.table(pages),
        }
    }

    /// No spans.
    ///
    /// # Safety
    /// As for [`Arenas::open`].
    pub(crate) unsafe fn open(arenas: &Arenas, planned: PlannedSpans) -> Spans {
        // SAFETY: the caller's promise.
        unsafe {
            Spans {
                base: arenas.base(),
                index: Index::open(arenas, planned.index),
                records: arenas.open(planned.records),
                allocated: arenas.open(planned.allocated),
                marked: arenas.open(planned.marked),
                layout: arenas.open(planned.layout),
            }
        }
    }

    /// The address of page 0.
    #[cfg(test)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The page that an address is in; beyond the window if it is outside.
    pub(crate) fn page_of(&self, address: usize) -> usize {
        address.wrapping_sub(self.base.addr().get()) / PAGE
    }

    /// The kind of the span that a page is in.
    pub(crate) fn kind_at(&self, page: usize) -> Option<Kind> {
        match self.index.kind(page) {
            0 => None,
            number => Some(Kind::numbered(usize::from(number) - 1)),
        }
    }

    /// The span that a page is in.
    pub(crate) fn containing(&self, page: usize) -> Option<Span<'_>> {
        self.index.first(page).map(|first| self.at(first))
    }

    /// The span that starts at a page.
    pub(crate) fn at(&self, first: usize) -> Span<'_> {
        Span { spans: self, first }
    }

    /// Makes a run of pages a span, of which the caller is the holder. Its slots are small, or it is one slot.
    pub(crate) fn birth(&self, first: usize, kind: Kind, pages: usize, clean: bool, cycle: u64) -> Span<'_> {
        let (size, slots) = match kind.class {
            LARGE => (pages * PAGE, 1),
            number => {
                let Class { size, slots, .. } = class(number);
                (size, slots)
            }
        };
        let span = self.at(first);
        let record = span.record();
        // Relaxed, all: ordered by the publication in the index.
        record.pages.store(pages, Ordering::Relaxed);
        record.size.store(size, Ordering::Relaxed);
        record.slots.store(slots as u32, Ordering::Relaxed);
        record.hint.store(0, Ordering::Relaxed);
        record.dirty.store(u8::from(!clean), Ordering::Relaxed);
        record.attached.reset();
        record.generation.begin(cycle);
        record.room.reset(slots, true);
        for word in span.allocated().iter().chain(&self.marked[first]) {
            // Tested first: most are zero, and in memory that was never touched.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
        self.index.publish(first..first + pages, kind.number() as u8 + 1);
        span
    }

    /// Ends a span. Only for who has it to itself.
    pub(crate) fn death(&self, first: usize) {
        // Of small spans nothing is allocated any more; of a large one, this is its slot.
        self.at(first).allocated()[0].store(0, Ordering::Relaxed);
        self.at(first).record().generation.end();
        self.index.retract(first..first + self.at(first).pages());
    }

    /// Whether no slot is allocated in a page that is in no span.
    pub(crate) fn is_blank(&self, page: usize) -> bool {
        slots::all_free(&self.allocated[page])
    }

    /// Says that a large span now has so many pages, as many as it had or fewer or more.
    pub(crate) fn resize(&self, first: usize, pages: usize, kind: Kind) {
        let span = self.at(first);
        let old = span.pages();
        self.index.retract(first + pages.min(old)..first + old);
        span.record().pages.store(pages, Ordering::Relaxed);
        span.record().size.store(pages * PAGE, Ordering::Relaxed);
        self.index.publish(first..first + pages, kind.number() as u8 + 1);
    }

    /// The slot that an address is in.
    #[inline]
    pub(crate) fn locate(&self, at: usize) -> Option<Located> {
        let page = self.page_of(at);
        let kind = Kind::numbered(usize::from(self.index.kind(page).checked_sub(1)?));
        let first = page - self.index.at(page).back();
        let offset = at - self.base.addr().get() - first * PAGE;
        let (slot, rest) = if kind.class == LARGE {
            (0, offset)
        } else {
            let row = class(kind.class);
            let slot = row.slot(offset);
            (slot, offset - slot * row.size)
        };
        Some(Located { first, kind, slot, rest })
    }

    /// As [`Span::mark`] and [`Span::is_marked`]: marks a slot, after calling `white`, if it is not marked; says whether
    /// the caller did. A slot that cannot be is marked already.
    #[inline]
    pub(crate) fn mark(&self, first: usize, slot: usize, white: impl FnOnce()) -> bool {
        let Some(word) = self.marked[first].get(slot / BITS) else { return false };
        slots::mark(word, slot % BITS, white)
    }

    /// As [`Span::set_pointers`], for slots of a small class.
    #[inline]
    pub(crate) fn set_pointers(&self, first: usize, class: usize, slot: usize, pointers: usize) {
        let width = usize::from(WIDTH[class]);
        let at = slot * width;
        let (page, word) = (first + at / PAGE_WORDS, at % PAGE_WORDS / BITS);
        layout::set(&self.layout[page][word], at % BITS, width, pointers);
    }

    /// As [`Span::pointers`].
    #[inline]
    pub(crate) fn pointers(&self, at: Located) -> usize {
        if at.kind.pointer_free {
            return 0;
        }
        if at.kind.class == LARGE {
            return self.at(at.first).pointers(0);
        }
        let width = usize::from(WIDTH[at.kind.class]);
        let bit = at.slot * width;
        layout::get(&self.layout[at.first + bit / PAGE_WORDS][bit % PAGE_WORDS / BITS], bit % BITS, width)
    }

    /// The spans from a page on, in address order, below another page.
    pub(crate) fn from(&self, page: usize, end: usize) -> impl Iterator<Item = Span<'_>> {
        let mut page = page;
        std::iter::from_fn(move || {
            while page < end {
                if let Some(first) = self.index.first(page) {
                    let span = self.at(first);
                    page = first + span.pages();
                    return Some(span);
                }
                page += 1;
            }
            None
        })
    }
}

impl Links for Spans {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.records[number].link
    }
}

impl Store for Spans {
    fn room(&self, span: usize) -> &Room {
        self.at(span).room()
    }

    fn bits(&self, span: usize) -> &[AtomicU64] {
        self.at(span).allocated()
    }

    fn slots(&self, span: usize) -> usize {
        self.at(span).slots()
    }
}

/// By class, the bits that say how many pointer fields a slot has.
static WIDTH: [u8; CLASSES] = {
    let mut widths = [0; CLASSES];
    let mut number = 1;
    while number < CLASSES {
        widths[number] = layout::width(class(number).size / WORD) as u8;
        number += 1;
    }
    widths
};

/// Where an address is: the first page of its span, what that is for, the slot, and how far into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) first: usize,
    pub(crate) kind: Kind,
    pub(crate) slot: usize,
    pub(crate) rest: usize,
}

/// A span: a run of pages and what is in it.
#[derive(Clone, Copy)]
pub(crate) struct Span<'s> {
    spans: &'s Spans,
    first: usize,
}

impl<'s> Span<'s> {
    fn record(self) -> &'s Record {
        &self.spans.records[self.first]
    }

    /// Its first page, which is also its name.
    pub(crate) fn first(self) -> usize {
        self.first
    }

    pub(crate) fn kind(self) -> Kind {
        self.spans.kind_at(self.first).expect("a span has a kind until it dies")
    }

    /// Whether it has not ended: only then has it a kind.
    pub(crate) fn is_alive(self) -> bool {
        self.spans.kind_at(self.first).is_some()
    }

    pub(crate) fn pages(self) -> usize {
        self.record().pages.load(Ordering::Relaxed)
    }

    /// The bytes of a slot.
    pub(crate) fn size(self) -> usize {
        self.record().size.load(Ordering::Relaxed)
    }

    pub(crate) fn slots(self) -> usize {
        self.record().slots.load(Ordering::Relaxed) as usize
    }

    /// Who may allocate, and how much.
    pub(crate) fn room(self) -> &'s Room {
        &self.record().room
    }

    /// How many slots are allocated.
    pub(crate) fn live(self) -> usize {
        self.slots() - self.room().free()
    }

    fn words(self, table: &'s Mapped<PageBits>) -> &'s [AtomicU64] {
        // A span's slots are at most the words of its first page, or else it has as many pages as that takes.
        &table[self.first].as_slice()[..self.slots().div_ceil(BITS)]
    }

    /// A bit for each slot that is allocated.
    pub(crate) fn allocated(self) -> &'s [AtomicU64] {
        self.words(&self.spans.allocated)
    }

    fn marked(self) -> &'s [AtomicU64] {
        self.words(&self.spans.marked)
    }

    fn layout(self) -> Layout<'s> {
        let words = &self.spans.layout[self.first..self.first + self.pages().min(16)];
        Layout::new(words.as_flattened(), self.size() / WORD)
    }

    /// Whether free slots have to be zeroed before use.
    pub(crate) fn is_dirty(self) -> bool {
        self.record().dirty.load(Ordering::Relaxed) != 0
    }

    /// Says that free slots have to be zeroed before use.
    pub(crate) fn set_dirty(self) {
        self.record().dirty.store(1, Ordering::Relaxed);
    }

    pub(crate) fn is_swept(self, cycle: u64) -> bool {
        self.record().generation.is(cycle)
    }

    /// The cycle that it is swept for.
    pub(crate) fn generation(self) -> &'s Generation {
        &self.record().generation
    }

    /// How many of its objects have something attached.
    pub(crate) fn attached(self) -> &'s Attached {
        &self.record().attached
    }

    /// Claims the span for sweeping; says whether the caller is who sweeps it.
    pub(crate) fn claim(self, cycle: u64) -> bool {
        self.record().generation.claim(cycle)
    }

    /// Where a slot is.
    pub(crate) fn address(self, slot: usize) -> NonNull<u8> {
        debug_assert!(slot < self.slots());
        // SAFETY: a span's slots lie in its pages, and those in the window that `base` is the start of.
        unsafe { self.spans.base.add(self.first * PAGE + slot * self.size()) }
    }

    /// Where its slots are; for who asks of many.
    pub(crate) fn addresses(self) -> impl Fn(usize) -> NonNull<u8> + use<'s> {
        let (start, size, slots) = (self.address(0), self.size(), self.slots());
        move |slot| {
            debug_assert!(slot < slots);
            // SAFETY: as in `address`.
            unsafe { start.add(slot * size) }
        }
    }

    /// The slot that an address in the span belongs to, and how far into it the address is.
    pub(crate) fn slot_of(self, address: usize) -> (usize, usize) {
        let offset = address - self.spans.base.addr().get() - self.first * PAGE;
        match self.kind().class {
            LARGE => (0, offset),
            number => {
                let slot = class(number).slot(offset);
                (slot, offset - slot * self.size())
            }
        }
    }

    /// The allocated slot that starts at an address in the span.
    pub(crate) fn slot_at(self, address: usize) -> Option<usize> {
        let (slot, rest) = self.slot_of(address);
        (rest == 0 && slot < self.slots() && self.is_allocated(slot)).then_some(slot)
    }

    /// Whether a slot is allocated.
    pub(crate) fn is_allocated(self, slot: usize) -> bool {
        self.allocated()[slot / BITS].load(Ordering::Relaxed) >> (slot % BITS) & 1 == 1
    }

    /// Claims all free slots of the lowest word that has any: allocates them, to be handed out later. Gives the number of
    /// the word and the slots. Only for the holder, and while nobody frees single slots.
    pub(crate) fn claim_word(self) -> Option<(usize, u64)> {
        let hint = &self.record().hint;
        let skip = hint.load(Ordering::Relaxed) as usize / BITS;
        let (words, slots) = (self.allocated(), self.slots());
        let (word, mask) = slots::claim(words.get(skip..)?, slots - skip * BITS)?;
        let word = skip + word;
        self.room().remove(mask.count_ones() as usize);
        hint.store(((word + 1) * BITS).min(slots) as u32, Ordering::Relaxed);
        Some((word, mask))
    }

    /// Gives back what was claimed and not handed out: no longer allocated, no longer marked. Only for the holder.
    pub(crate) fn give_back(self, word: usize, mask: u64) {
        if mask == 0 {
            return;
        }
        self.marked()[word].fetch_and(!mask, Ordering::Relaxed);
        self.room().add(mask.count_ones() as usize);
        slots::free(self.allocated(), word, mask);
        let lowest = (word * BITS) as u32 + mask.trailing_zeros();
        let hint = &self.record().hint;
        hint.store(lowest.min(hint.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Marks all slots of a word that are in `mask`.
    pub(crate) fn mark_all(self, word: usize, mask: u64) {
        self.marked()[word].fetch_or(mask, Ordering::Relaxed);
    }

    /// Says how many pointer fields an object has.
    pub(crate) fn set_pointers(self, slot: usize, pointers: usize) {
        self.layout().set_pointers(slot, pointers);
    }

    /// The pointer fields of a slot.
    pub(crate) fn pointers(self, slot: usize) -> usize {
        if self.kind().pointer_free { 0 } else { self.layout().pointers(slot) }
    }

    pub(crate) fn is_marked(self, slot: usize) -> bool {
        // Acquire: as in `slots::mark`.
        self.marked()[slot / BITS].load(Ordering::Acquire) >> (slot % BITS) & 1 == 1
    }

    /// Marks a slot; says whether it was not marked before.
    pub(crate) fn mark(self, slot: usize) -> bool {
        slots::mark(&self.marked()[slot / BITS], slot % BITS, || ())
    }

    /// Unmarks a slot; says whether it was marked.
    pub(crate) fn unmark(self, slot: usize) -> bool {
        let bit = 1 << (slot % BITS);
        self.marked()[slot / BITS].fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    /// Sets a flag of a slot that the hardened heap keeps beside the marks, of which it uses no more than half: gives what
    /// it was.
    pub(crate) fn flag(self, slot: usize, value: bool) -> bool {
        let at = PAGE_WORDS / 2 + slot;
        let (word, bit) = (&self.spans.marked[self.first][at / BITS], 1 << (at % BITS));
        let old = if value { word.fetch_or(bit, Ordering::Relaxed) } else { word.fetch_and(!bit, Ordering::Relaxed) };
        old & bit != 0
    }

    /// The flag that [`Span::flag`] sets.
    pub(crate) fn flag_of(self, slot: usize) -> bool {
        let at = PAGE_WORDS / 2 + slot;
        self.spans.marked[self.first][at / BITS].load(Ordering::Relaxed) >> (at % BITS) & 1 == 1
    }

    /// Frees the slots that are not marked, naming each if `tell`, and unmarks the others. Gives how many were freed. The
    /// span is held afterwards exactly if it has room. Only for who has claimed it, and says then that it is
    /// [swept](Span::swept).
    pub(crate) fn sweep(self, tell: bool, mut freed: impl FnMut(usize)) -> usize {
        let (mut live, mut count) = (0, 0);
        for (number, (allocated, marked)) in self.allocated().iter().zip(self.marked()).enumerate() {
            let (old, keep) = (allocated.load(Ordering::Relaxed), marked.load(Ordering::Relaxed));
            let mut gone = old & !keep;
            live += (old & keep).count_ones() as usize;
            count += gone.count_ones() as usize;
            if gone != 0 {
                allocated.store(old & keep, Ordering::Relaxed);
            }
            if keep != 0 {
                marked.store(0, Ordering::Relaxed);
            }
            while tell && gone != 0 {
                freed(number * BITS + gone.trailing_zeros() as usize);
                gone &= gone - 1;
            }
        }
        if count > 0 {
            self.set_dirty();
            self.record().hint.store(0, Ordering::Relaxed);
        }
        self.room().reset(self.slots() - live, live < self.slots());
        count
    }

    /// Says that the span, claimed and swept, is swept for this cycle.
    pub(crate) fn swept(self, cycle: u64) {
        self.record().generation.done(cycle);
    }

    /// The allocated slots, in order.
    pub(crate) fn objects(self) -> impl Iterator<Item = usize> + 's {
        (0..self.slots()).filter(move |slot| self.is_allocated(*slot))
    }

    /// Whether what the span counts is what its bits say, while nobody allocates or frees.
    pub(crate) fn adds_up(self) -> bool {
        let word = |words: &[AtomicU64], at: usize| words[at].load(Ordering::Relaxed);
        let (allocated, marked) = (self.allocated(), self.marked());
        let count: u32 = (0..allocated.len()).map(|at| word(allocated, at).count_ones()).sum();
        let hint = self.record().hint.load(Ordering::Relaxed) as usize;
        let full_below = hint <= self.slots() && (0..hint).all(|slot| self.is_allocated(slot));
        let last = (self.slots() - 1) % BITS;
        let beyond = word(allocated, allocated.len() - 1) & !(u64::MAX >> (BITS - 1 - last));
        self.room().is_sound(self.slots())
            && self.live() == count as usize
            && full_below
            && beyond == 0
            && self.record().dirty.load(Ordering::Relaxed) <= 1
            && slots::all_free(&self.spans.allocated[self.first][allocated.len()..])
            && (0..allocated.len()).all(|at| word(marked, at) & !word(allocated, at) == 0)
    }

    /// Whether pages, size and slots are those of a span of this kind, below page `end`. What holds of the slots is asked
    /// only then.
    pub(crate) fn is_as_made(self, kind: Kind, end: usize) -> bool {
        let (pages, size, slots) = match kind.class {
            LARGE => (self.pages(), self.pages().saturating_mul(PAGE), 1),
            number => {
                let Class { pages, size, slots, .. } = class(number);
                (pages, size, slots)
            }
        };
        let fits = pages > 0 && pages <= end - self.first;
        fits && (self.pages(), self.size(), self.slots()) == (pages, size, slots)
    }

    /// A word of the bits of allocated slots, and of those that are marked; `None` if there is none of that number.
    pub(crate) fn bits(self, word: usize) -> Option<[u64; 2]> {
        let load = |words: &[AtomicU64]| words.get(word).map(|word| word.load(Ordering::Relaxed));
        Some([load(self.allocated())?, load(self.marked())?])
    }

    /// How many slots are marked.
    pub(crate) fn count_marked(self) -> usize {
        self.marked().iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests;
