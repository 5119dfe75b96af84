//! The space: all spans, and which span a page belongs to. Above [`page`](crate::page) and [`span`](crate::span); knows
//! nothing of colours, cycles or mutators.
//!
//! The table has an entry for each page. The first page of a span owns the span's record, the others point to the
//! first; so no page can be in two spans, and walking the table visits spans in address order.
//!
//! Invariants: a page has an entry other than `Free` exactly if it is taken; the spans with room, and only small ones,
//! are in `room`; no span is empty between operations; `objects` and `bytes` are the sums over all spans.

use crate::{
    class::LARGE,
    error::Error,
    geometry::{PAGE, WORD},
    page::{Pages, Run},
    root::Address,
    span::{Kind, Span},
};
use std::collections::BTreeSet;

/// What the table says of a page.
pub(crate) enum Entry {
    /// In no span.
    Free,
    /// The first page of this span.
    First(Box<Span>),
    /// A later page of the span that starts at this page.
    Later(usize),
}

/// A slot: the first page of its span, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) span: usize,
    pub(crate) number: usize,
}

/// All spans.
pub(crate) struct Space {
    pages: Pages,
    table: Vec<Entry>,
    /// By kind, the first pages of the spans that have room. Ordered, so that allocation goes to the lowest.
    room: [BTreeSet<usize>; Kind::COUNT],
    objects: usize,
    bytes: usize,
}

impl Space {
    pub(crate) fn new(pages: Pages) -> Space {
        Space { pages, table: Vec::new(), room: [const { BTreeSet::new() }; Kind::COUNT], objects: 0, bytes: 0 }
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// How many objects are allocated.
    pub(crate) fn objects(&self) -> usize {
        self.objects
    }

    /// The usable bytes of all objects that are allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The span that starts at this page.
    ///
    /// # Panics
    /// If none does.
    pub(crate) fn span(&self, first: usize) -> &Span {
        match &self.table[first] {
            Entry::First(span) => span,
            _ => panic!("no span starts at page {first}"),
        }
    }

    /// As [`Space::span`], to be changed.
    pub(crate) fn span_mut(&mut self, first: usize) -> &mut Span {
        match &mut self.table[first] {
            Entry::First(span) => span,
            _ => panic!("no span starts at page {first}"),
        }
    }

    /// The entries of all pages that were ever taken.
    pub(crate) fn table(&self) -> &[Entry] {
        &self.table
    }

    /// The spans with room, by kind.
    pub(crate) fn room(&self) -> &[BTreeSet<usize>; Kind::COUNT] {
        &self.room
    }

    /// The spans from this page on, in address order.
    pub(crate) fn spans_from(&self, page: usize) -> impl Iterator<Item = (usize, &Span)> {
        self.table.iter().enumerate().skip(page).filter_map(|(first, entry)| match entry {
            Entry::First(span) => Some((first, &**span)),
            _ => None,
        })
    }

    /// The lowest span of this kind with room.
    pub(crate) fn with_room(&self, kind: Kind) -> Option<usize> {
        self.room[kind.number()].first().copied()
    }

    /// The object that starts at this address.
    pub(crate) fn find(&self, at: Address) -> Option<Slot> {
        let offset = at.get().checked_sub(self.pages.base())?;
        let page = offset / PAGE;
        let first = match self.table.get(page)? {
            Entry::Free => return None,
            Entry::First(_) => page,
            Entry::Later(first) => *first,
        };
        let slot = self.span(first).slot_at(offset - first * PAGE)?;
        Some(Slot { span: first, number: slot })
    }

    /// The address of a slot of a span.
    pub(crate) fn address(&self, at: Slot) -> Address {
        let offset = at.span * PAGE + at.number * self.span(at.span).size();
        Address::new(self.pages.base() + offset).expect("the kernel maps nothing at address 0")
    }

    // ---- spans come and go

    /// Puts a new span on mapped pages, if they are there.
    pub(crate) fn add_mapped(&mut self, span: Box<Span>) -> Result<usize, Box<Span>> {
        match self.pages.take_mapped(span.pages()) {
            Some(run) if self.reserve_entries(run, &span) => Ok(self.insert(run, span)),
            _ => Err(span),
        }
    }

    /// Puts a new span on pages, mapping more if need be.
    pub(crate) fn add(&mut self, span: Box<Span>) -> Result<usize, Error> {
        let run = self.pages.take(span.pages())?;
        if self.reserve_entries(run, &span) {
            Ok(self.insert(run, span))
        } else {
            Err(Error::OutOfMemory { requested: span.pages() * PAGE })
        }
    }

    /// Makes room in the table, or gives the run back.
    fn reserve_entries(&mut self, run: Run, span: &Span) -> bool {
        let end = run.first + span.pages();
        let enough = self.table.try_reserve(end.saturating_sub(self.table.len())).is_ok();
        if !enough {
            self.pages.give_back(run.first, span.pages());
        }
        enough
    }

    fn insert(&mut self, run: Run, mut span: Box<Span>) -> usize {
        let (first, end) = (run.first, run.first + span.pages());
        if run.clean {
            span.set_clean();
        }
        if self.table.len() < end {
            self.table.resize_with(end, || Entry::Free);
        }
        self.table[first + 1..end].fill_with(|| Entry::Later(first));
        if span.kind().class != LARGE {
            self.room[span.kind().number()].insert(first);
        }
        self.table[first] = Entry::First(span);
        first
    }

    /// Allocates the lowest free slot of a span, and zeroes it if need be.
    pub(crate) fn take(&mut self, first: usize, pointers: usize) -> Option<Slot> {
        let span = self.span_mut(first);
        let slot = span.take(pointers)?;
        let (kind, size, dirty, full) = (span.kind(), span.size(), span.is_dirty(), !span.has_room());
        if full {
            self.room[kind.number()].remove(&first);
        }
        if dirty {
            let start = first * PAGE + slot * size;
            self.pages.memory_mut()[start..start + size].fill(0);
        }
        self.objects += 1;
        self.bytes += size;
        Some(Slot { span: first, number: slot })
    }

    /// Sweeps a span, naming the address of each object that is freed, and gives its pages back if it is empty.
    pub(crate) fn sweep(&mut self, first: usize, cycle: u64, mut freed: impl FnMut(Address)) {
        let start = self.pages.base() + first * PAGE;
        let span = self.span_mut(first);
        let (kind, size, pages, before) = (span.kind(), span.size(), span.pages(), span.live());
        span.sweep(cycle, |slot| freed(Address::new(start + slot * size).expect("not at address 0")));
        let (live, has_room) = (span.live(), span.has_room());
        self.objects -= before - live;
        self.bytes -= (before - live) * size;
        if live == 0 {
            self.room[kind.number()].remove(&first);
            self.table[first..first + pages].fill_with(|| Entry::Free);
            self.pages.give_back(first, pages);
        } else if has_room {
            self.room[kind.number()].insert(first);
        }
    }

    // ---- memory

    /// The bytes of a slot.
    pub(crate) fn image(&self, at: Slot) -> &[u8] {
        let size = self.span(at.span).size();
        let start = at.span * PAGE + at.number * size;
        &self.pages.memory()[start..start + size]
    }

    /// The bytes of a slot, to be written.
    pub(crate) fn image_mut(&mut self, at: Slot) -> &mut [u8] {
        let size = self.span(at.span).size();
        let start = at.span * PAGE + at.number * size;
        &mut self.pages.memory_mut()[start..start + size]
    }

    /// What a pointer field holds.
    pub(crate) fn field(&self, at: Slot, index: usize) -> Option<Address> {
        let bytes = self.image(at)[index * WORD..].first_chunk().expect("a field is a whole word");
        Address::new(usize::from_ne_bytes(*bytes))
    }

    /// Overwrites a pointer field.
    pub(crate) fn set_field(&mut self, at: Slot, index: usize, value: Option<Address>) {
        let word = value.map_or(0, Address::get).to_ne_bytes();
        self.image_mut(at)[index * WORD..][..WORD].copy_from_slice(&word);
    }
}
