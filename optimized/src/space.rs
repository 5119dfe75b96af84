//! The space: objects in spans, and the way from an address to its slot. Above [`memory`](crate::memory); knows nothing of
//! colours or mutators.
//!
//! For each kind the space holds one span that it allocates in. When that is full, the next comes from the central set,
//! and then from free pages. When a cycle has ended marking, the space forgets what it holds and what the sets have
//! ([`Space::forget_room`]): a span is used again only after it was swept.
//!
//! Invariants: the small spans with room that are swept are held, either here or in a set, and no others are; no span is
//! empty between operations; `objects` and `bytes` are the sums over all spans.

use crate::{
    central::Central,
    class::{LARGE, class},
    error::Error,
    geometry::WORD,
    memory::Memory,
    page::Pages,
    root::Address,
    span::{Kind, Span},
    sync::MutexGuard,
};
use std::{ptr::NonNull, slice};

/// A slot: the first page of its span, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) span: usize,
    pub(crate) number: usize,
}

const NO_SPANS: [Option<usize>; Kind::COUNT] = [None; Kind::COUNT];

/// All spans.
pub(crate) struct Space {
    memory: Memory,
    /// By kind, the span that is allocated in.
    current: [Option<usize>; Kind::COUNT],
    objects: usize,
    bytes: usize,
}

impl Space {
    pub(crate) fn new(memory: Memory) -> Space {
        Space { memory, current: NO_SPANS, objects: 0, bytes: 0 }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.memory.pages()
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
    pub(crate) fn span(&self, first: usize) -> Span<'_> {
        self.memory.spans().at(first)
    }

    /// The span that a page is in.
    pub(crate) fn containing(&self, page: usize) -> Option<Span<'_>> {
        self.memory.spans().containing(page)
    }

    /// The spans from this page on, in address order.
    pub(crate) fn spans_from(&self, page: usize) -> impl Iterator<Item = Span<'_>> {
        self.memory.spans().from(page, self.pages().mapped())
    }

    /// The spans that are held, each as often as it is.
    pub(crate) fn held(&self) -> impl Iterator<Item = usize> + '_ {
        let listed = self.memory.centrals().iter().flat_map(|central| central.iter(self.memory.spans()));
        self.current.iter().flatten().copied().chain(listed)
    }

    /// A span of this kind, other than large, with room.
    pub(crate) fn with_room(&mut self, kind: Kind) -> Option<usize> {
        let current = &mut self.current[kind.number()];
        if let Some(first) = *current {
            let room = self.memory.spans().at(first).room();
            if room.free() > 0 || !room.let_go() {
                return *current;
            }
        }
        *current = self.memory.central(kind).pop(self.memory.spans());
        *current
    }

    /// Forgets which spans have room.
    pub(crate) fn forget_room(&mut self) {
        self.current = NO_SPANS;
        for central in self.memory.centrals() {
            central.take_all(self.memory.spans()).for_each(drop);
        }
    }

    /// The object that starts at this address.
    pub(crate) fn find(&self, at: Address) -> Option<Slot> {
        let spans = self.memory.spans();
        let span = spans.containing(spans.page_of(at.get()))?;
        Some(Slot { span: span.first(), number: span.slot_at(at.get())? })
    }

    /// The address of a slot of a span.
    pub(crate) fn address(&self, at: Slot) -> Address {
        Address::new(self.place(at).addr().get()).expect("the kernel maps nothing at address 0")
    }

    // ---- spans come and go

    /// Makes a span, of `pages` pages if it is large. Maps more pages only if `grow`.
    pub(crate) fn add(&mut self, kind: Kind, pages: usize, cycle: u64, grow: bool) -> Result<usize, Error> {
        let pages = if kind.class == LARGE { pages } else { class(kind.class).pages };
        let first = self.memory.new_span(kind, pages, 1, cycle, grow)?.first();
        if kind.class != LARGE {
            debug_assert_eq!(self.current[kind.number()], None);
            self.current[kind.number()] = Some(first);
        }
        Ok(first)
    }

    /// Allocates the lowest free slot of a span, and zeroes it if need be.
    pub(crate) fn take(&mut self, first: usize, pointers: usize) -> Option<Slot> {
        let span = self.span(first);
        let number = span.take()?;
        let (size, kind, dirty) = (span.size(), span.kind(), span.is_dirty());
        if !kind.pointer_free {
            span.set_pointers(number, pointers);
        }
        if kind.class == LARGE {
            span.room().let_go();
        }
        let slot = Slot { span: first, number };
        if dirty {
            self.image_mut(slot).fill(0);
        }
        self.objects += 1;
        self.bytes += size;
        Some(slot)
    }

    /// Sweeps a span, naming the address of each object that is freed, and gives its pages back if it is empty.
    pub(crate) fn sweep(&mut self, first: usize, cycle: u64, mut freed: impl FnMut(Address)) {
        let span = self.memory.spans().at(first);
        let mut count = 0;
        span.sweep(cycle, |slot| {
            count += 1;
            freed(Address::new(span.address(slot).addr().get()).expect("not at address 0"));
        });
        self.objects -= count;
        self.bytes -= count * span.size();
        if span.live() == 0 {
            self.memory.end(span);
        } else if span.room().is_held() {
            self.central(span.kind()).push(self.memory.spans(), first);
        }
    }

    fn central(&self, kind: Kind) -> &Central {
        self.memory.central(kind)
    }

    // ---- memory

    fn place(&self, at: Slot) -> NonNull<u8> {
        self.span(at.span).address(at.number)
    }

    /// The bytes of a slot.
    pub(crate) fn image(&self, at: Slot) -> &[u8] {
        // SAFETY: a slot's pages are mapped as long as its span lives, which is until the space is borrowed mutably; the
        // kernel initialised them. Nobody writes them meanwhile: that takes the space, borrowed mutably.
        unsafe { slice::from_raw_parts(self.place(at).as_ptr(), self.span(at.span).size()) }
    }

    /// The bytes of a slot, to be written.
    pub(crate) fn image_mut(&mut self, at: Slot) -> &mut [u8] {
        // SAFETY: as in `image`, and the space is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.place(at).as_ptr(), self.span(at.span).size()) }
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
