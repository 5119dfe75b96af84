//! Spans: runs of pages that are cut into slots of one size, either all with pointers or all without.
//!
//! Everything that the heap knows about an object is kept here, beside the memory and never in it: objects have no
//! header, free slots hold no list, and a sweep touches no object. What is known of a span lies in tables by its first
//! page, so a span needs no allocation of its own, and a record is never anything but a record:
//!
//! ```text
//!   page ──▶ Index: kind, first page ──▶ Record    32 bytes: pages, generation, room, link
//!                                    ──▶ Row      192 bytes: │ marked │ layout │ allocated │
//! ```
//!
//! A [`Row`] has a bit for each slot that is marked, [`layout`] for its pointer fields, and a bit if it is allocated.
//! Where each part begins is the same for all spans of a class, see [`Shape`]. Slots of 16 bytes fill the row, and larger
//! ones leave some of it over, since there are fewer of them. Slots of 8 bytes need no layout, and still do not fit: their
//! marks have a table of their own, which no memory is behind until there are such spans. In all that is 229 bytes for
//! each page of 8192, of which marking a small object and finding its pointers touches one line or two.
//!
//! Invariants:
//! * `marked` is a part of `allocated`, and empty unless objects are being marked or the span waits to be swept.
//! * All slots of the words below `hint` are allocated.
//! * A record has pages exactly if a span begins there.
//! * A slot that is not allocated reads zero unless the span is `dirty`.
//! * Whoever holds a span, or has claimed it for sweeping, has it to itself, but for the marks.
//! * Kind and pages do not change from the publication of a span to its end, but for [`Spans::resize`].
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
    geometry::{BITS, PAGE, PAGE_WORDS, WORD, sized},
    layout,
    os::{Mapped, Zeroed},
    slots::{self, Room},
    stack::Links,
    sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
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
    #[inline]
    pub(crate) fn number(self) -> usize {
        2 * self.class + usize::from(self.pointer_free)
    }

    #[inline]
    fn numbered(number: usize) -> Kind {
        Kind { class: number / 2, pointer_free: number % 2 == 1 }
    }
}

/// What is known of a span as a whole.
#[repr(C)]
pub(crate) struct Record {
    link: AtomicU64,
    room: Room,
    generation: Generation,
    /// 0 if no span begins here.
    pages: AtomicU32,
    /// The number of its kind, also after its end.
    kind: AtomicU8,
    /// The word that the search for a free slot begins with.
    hint: AtomicU8,
    /// 1 if free slots have to be zeroed before use.
    dirty: AtomicU8,
    attached: Attached,
}

const _: () = assert!((size_of::<Record>() == 40 || cfg!(all(test, heaplaw_loom))) && Kind::COUNT < 256);

// SAFETY: made of numbers.
unsafe impl Zeroed for Record {}

/// The most pages that a span can have: 32 TiB.
pub(crate) const MAX_SPAN: usize = u32::MAX as usize;

/// What is known of the slots of a span, by the span's first page.
type Row = [AtomicU64; ROW];

/// The words of a row: three bits for each slot of 16 bytes.
const ROW: usize = sized(3 * PAGE_WORDS / 2 / BITS, 8);

/// The marks of a span of the smallest slots.
type Marks = [AtomicU64; PAGE_WORDS / BITS];

/// The class of the smallest slots.
const SMALLEST: usize = 1;

/// Where in a row what is. The first words are the marks.
#[derive(Clone, Copy)]
struct Shape {
    /// The words of a bit for each slot.
    words: u8,
    /// The first word of the layout; where there is none, the flags of the hardened heap.
    layout: u8,
    /// The first word of the bits of allocated slots.
    allocated: u8,
    /// The bits of the layout for each slot.
    width: u8,
}

/// By class.
static SHAPES: [Shape; CLASSES] = {
    // Of a large span, the one slot has a whole word for the number of its pointers.
    let mut shapes = [Shape { words: 1, layout: 1, allocated: 2, width: BITS as u8 }; CLASSES];
    let mut number = 1;
    while number < CLASSES {
        let Class { size, slots, .. } = class(number);
        let (words, width) = (slots.div_ceil(BITS), layout::width(size / WORD));
        let allocated = if number == SMALLEST { 0 } else { words + (slots * width).div_ceil(BITS) };
        assert!(allocated + words <= ROW);
        shapes[number] =
            Shape { words: words as u8, layout: words as u8, allocated: allocated as u8, width: width as u8 };
        number += 1;
    }
    shapes
};

/// All spans.
pub(crate) struct Spans {
    base: NonNull<u8>,
    index: Index,
    records: Mapped<Record>,
    rows: Mapped<Row>,
    /// Of spans of the smallest slots alone.
    marks: Mapped<Marks>,
}

// SAFETY: `base` is only a place; what lies there is shared as the rest of the heap says.
unsafe impl Send for Spans {}
// SAFETY: as above; everything else in it is shared by itself.
unsafe impl Sync for Spans {}

/// What [`Spans`] needs tables for.
pub(crate) struct PlannedSpans {
    index: PlannedIndex,
    records: Planned<Record>,
    rows: Planned<Row>,
    marks: Planned<Marks>,
}

impl Spans {
    /// Plans for a window of so many pages.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> PlannedSpans {
        PlannedSpans {
            index: Index::plan(plan, pages),
            records: plan.table(pages),
            rows: plan.table(pages),
            marks: plan.table(pages),
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
                rows: arenas.open(planned.rows),
                marks: arenas.open(planned.marks),
            }
        }
    }

    /// The address of page 0.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The page that an address is in; beyond the window if it is outside.
    #[inline]
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

    /// Makes a run of at most [`MAX_SPAN`] pages a span, of which the caller is the holder. Its slots are small, or it is
    /// one slot.
    pub(crate) fn birth(&self, first: usize, kind: Kind, pages: usize, clean: bool, cycle: u64) -> Span<'_> {
        debug_assert!(pages <= MAX_SPAN);
        let span = self.at(first);
        let record = span.record();
        // Relaxed, all: ordered by the publication in the index.
        record.pages.store(pages as u32, Ordering::Relaxed);
        record.kind.store(kind.number() as u8, Ordering::Relaxed);
        record.hint.store(0, Ordering::Relaxed);
        record.dirty.store(u8::from(!clean), Ordering::Relaxed);
        record.attached.reset();
        record.generation.begin(cycle);
        record.room.reset(span.slots(), true);
        let marks = if kind.class == SMALLEST { self.marks[first].as_slice() } else { &[] };
        for word in self.rows[first].iter().chain(marks) {
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
        let (record, pages) = (self.at(first).record(), self.at(first).pages());
        record.generation.end();
        record.pages.store(0, Ordering::Relaxed);
        self.index.retract(first..first + pages);
    }

    /// Whether no span begins at a page that is in no span.
    pub(crate) fn is_blank(&self, page: usize) -> bool {
        self.at(page).pages() == 0
    }

    /// Says that a large span now has so many pages, as many as it had or fewer or more.
    pub(crate) fn resize(&self, first: usize, pages: usize, kind: Kind) {
        let span = self.at(first);
        let old = span.pages();
        self.index.retract(first + pages.min(old)..first + old);
        span.record().pages.store(pages as u32, Ordering::Relaxed);
        self.index.publish(first..first + pages, kind.number() as u8 + 1);
    }

    /// The slot that an address is in.
    #[inline(always)]
    pub(crate) fn locate(&self, at: usize) -> Option<Located> {
        let page = self.page_of(at);
        let kind = Kind::numbered(usize::from(self.index.kind(page).checked_sub(1)?));
        let row = class(kind.class);
        // Most spans are one page, which the index need not be asked about.
        let first = if row.pages == 1 { page } else { page - self.index.at(page).back() };
        let offset = at - self.base.addr().get() - first * PAGE;
        let (slot, rest) = if kind.class == LARGE {
            (0, offset)
        } else {
            let slot = row.slot(offset);
            (slot, offset - slot * row.size)
        };
        Some(Located { first, kind, slot, rest })
    }

    /// Where the marks and the layout of an address's slot are likely to be: right for spans of one page. For
    /// [`Space::fetch`](crate::space::Space::fetch).
    #[inline]
    pub(crate) fn row_near(&self, at: usize) -> *const AtomicU64 {
        self.rows.as_ptr().wrapping_add(self.page_of(at)).cast()
    }

    /// The marks of a span of a class: a bit for each slot.
    #[inline]
    fn marks(&self, first: usize, class: usize) -> &[AtomicU64] {
        if class == SMALLEST { &self.marks[first] } else { &self.rows[first][..usize::from(SHAPES[class].words)] }
    }

    /// As [`Span::mark`]: marks a slot, after calling `white`, if it is not marked; says whether the caller did. A slot that
    /// cannot be is marked already.
    #[inline]
    pub(crate) fn mark(&self, at: Located, white: impl FnOnce()) -> bool {
        let Some(word) = self.marks(at.first, at.kind.class).get(at.slot / BITS) else { return false };
        slots::mark(word, at.slot % BITS, white)
    }

    /// Says how many pointer fields an object has: at least one, and its span is not pointer-free.
    #[inline]
    pub(crate) fn set_pointers(&self, first: usize, class: usize, slot: usize, pointers: usize) {
        let Shape { layout, width, .. } = SHAPES[class];
        layout::set(&self.rows[first][usize::from(layout)..], usize::from(width), slot, pointers);
    }

    /// How many pointer fields an object has.
    #[inline]
    pub(crate) fn pointers(&self, at: Located) -> usize {
        if at.kind.pointer_free {
            return 0;
        }
        let Shape { layout, width, .. } = SHAPES[at.kind.class];
        layout::get(&self.rows[at.first][usize::from(layout)..], usize::from(width), at.slot)
    }

    /// The spans from a page on, in address order, below another page.
    pub(crate) fn from(&self, page: usize, end: usize) -> impl Iterator<Item = Span<'_>> {
        let mut page = page;
        std::iter::from_fn(move || {
            while page < end {
                if let Some(first) = self.index.first(page) {
                    let span = self.at(first);
                    // One that ends just now has no pages.
                    page = (first + span.pages()).max(page + 1);
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
        self.record().pages.load(Ordering::Relaxed) as usize
    }

    fn class(self) -> usize {
        Kind::numbered(usize::from(self.record().kind.load(Ordering::Relaxed))).class
    }

    fn shape(self) -> Shape {
        SHAPES[self.class()]
    }

    /// The bytes of a slot.
    pub(crate) fn size(self) -> usize {
        match self.class() {
            LARGE => self.pages() * PAGE,
            number => class(number).size,
        }
    }

    pub(crate) fn slots(self) -> usize {
        match self.class() {
            LARGE => 1,
            number => class(number).slots,
        }
    }

    /// Who may allocate, and how much.
    pub(crate) fn room(self) -> &'s Room {
        &self.record().room
    }

    /// How many slots are allocated.
    pub(crate) fn live(self) -> usize {
        self.slots() - self.room().free()
    }

    fn row(self) -> &'s Row {
        &self.spans.rows[self.first]
    }

    /// A bit for each slot that is allocated.
    pub(crate) fn allocated(self) -> &'s [AtomicU64] {
        let Shape { words, allocated, .. } = self.shape();
        &self.row()[usize::from(allocated)..][..usize::from(words)]
    }

    fn marked(self) -> &'s [AtomicU64] {
        self.spans.marks(self.first, self.class())
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
        let skip = usize::from(hint.load(Ordering::Relaxed));
        let (words, slots) = (self.allocated(), self.slots());
        let (word, mask) = slots::claim(words.get(skip..)?, slots.saturating_sub(skip * BITS))?;
        let word = skip + word;
        self.room().remove(mask.count_ones() as usize);
        hint.store(word as u8 + 1, Ordering::Relaxed);
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
        let hint = &self.record().hint;
        hint.store(hint.load(Ordering::Relaxed).min(word as u8), Ordering::Relaxed);
    }

    /// Marks all slots of a word that are in `mask`.
    pub(crate) fn mark_all(self, word: usize, mask: u64) {
        self.marked()[word].fetch_or(mask, Ordering::Relaxed);
    }

    /// As [`Spans::set_pointers`].
    pub(crate) fn set_pointers(self, slot: usize, pointers: usize) {
        self.spans.set_pointers(self.first, self.class(), slot, pointers);
    }

    /// As [`Span::set_pointers`], for all slots of a word that are in `mask`.
    pub(crate) fn set_all_pointers(self, word: usize, mask: u64, pointers: usize) {
        let Shape { layout, width, .. } = self.shape();
        layout::set_all(&self.row()[usize::from(layout)..], usize::from(width), word, mask, pointers);
    }

    /// How many pointer fields an object has.
    pub(crate) fn pointers(self, slot: usize) -> usize {
        self.spans.pointers(Located { first: self.first, kind: self.kind(), slot, rest: 0 })
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

    fn flags(self) -> &'s [AtomicU64] {
        debug_assert!(self.class() != SMALLEST && self.record().kind.load(Ordering::Relaxed) % 2 == 1);
        &self.row()[usize::from(self.shape().layout)..]
    }

    /// Sets a flag of a slot that the hardened heap keeps where objects with pointers have their layout, in all classes but
    /// the smallest: gives what it was. When a span is born, none is set.
    pub(crate) fn flag(self, slot: usize, value: bool) -> bool {
        let (word, bit) = (&self.flags()[slot / BITS], 1 << (slot % BITS));
        let old = if value { word.fetch_or(bit, Ordering::Relaxed) } else { word.fetch_and(!bit, Ordering::Relaxed) };
        old & bit != 0
    }

    /// The flag that [`Span::flag`] sets; also after the end of the span.
    pub(crate) fn flag_of(self, slot: usize) -> bool {
        self.flags()[slot / BITS].load(Ordering::Relaxed) >> (slot % BITS) & 1 == 1
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
        let hint = usize::from(self.record().hint.load(Ordering::Relaxed));
        let full_below =
            hint <= allocated.len() && (0..(hint * BITS).min(self.slots())).all(|at| self.is_allocated(at));
        let last = (self.slots() - 1) % BITS;
        let beyond = word(allocated, allocated.len() - 1) & !(u64::MAX >> (BITS - 1 - last));
        self.room().is_sound(self.slots())
            && self.live() == count as usize
            && full_below
            && beyond == 0
            && self.record().dirty.load(Ordering::Relaxed) <= 1
            && (0..allocated.len()).all(|at| word(marked, at) & !word(allocated, at) == 0)
            && self.objects().all(|slot| self.pointers(slot) <= self.size() / WORD)
    }

    /// Whether kind and pages are those of a span of this kind, below page `end`. What holds of the slots is asked only
    /// then.
    pub(crate) fn is_as_made(self, kind: Kind, end: usize) -> bool {
        let pages = match kind.class {
            LARGE => self.pages(),
            number => class(number).pages,
        };
        let fits = pages > 0 && pages <= end - self.first;
        fits && self.pages() == pages && usize::from(self.record().kind.load(Ordering::Relaxed)) == kind.number()
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
