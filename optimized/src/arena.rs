//! Arenas: the address space of a heap, and which span each page of it is in. Above [`os`](crate::os), below pages.
//!
//! A heap reserves one window of addresses, a whole number of pages, and keeps its tables at the window's foot. A table
//! has an element for each page (or so many pages), so that going from an address to its span is arithmetic and two
//! loads: the page's kind, and how far back its span starts. The tables are as sparse as the heap: the kernel puts
//! memory behind those parts that are written.
//!
//! ```text
//!   │ tables │ arena 0: 8192 pages of 8 KiB │ arena 1 │ …                │
//!   tables     base                           up to 256 TiB of addresses
//! ```
//!
//! Where addresses are short, [`Arenas::reserve_up_to`] takes a smaller window.
//!
//! Invariants:
//! * **Published.** A page's kind is stored last, with release order, when a span is born, and loaded first, with acquire
//!   order: who sees a kind sees the span.
//! * **Back.** From any page of a span, `back` pages down is its first page.
//!
//! Source: Go's `mheap.go` (`arenas`), flattened.

use crate::{
    error::Error,
    geometry::{ARENA, BASE_ALIGN, MAX_PAGES, PAGE},
    os::{Faults, Mapped, Region, Zeroed, address_limit, memory},
    sync::{AtomicU8, AtomicU32, AtomicUsize, Ordering},
};
use std::{marker::PhantomData, ops::Range, ptr::NonNull};

/// Tables of more bytes than this are not backed with huge pages: 64 MiB, those of a window of a gigabyte.
const SPARSE: usize = 64 << 20;

/// Tables before they have memory: how much they need.
#[derive(Default)]
pub(crate) struct Plan {
    end: usize,
}

/// A table that was planned.
pub(crate) struct Planned<T> {
    offset: usize,
    len: usize,
    element: PhantomData<T>,
}

impl Plan {
    /// One more table, of so many elements.
    pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Planned<T> {
        const LINE: usize = 64;
        let offset = self.end.next_multiple_of(align_of::<T>().max(LINE));
        self.end = offset + len * size_of::<T>();
        Planned { offset, len, element: PhantomData }
    }
}

/// The window of a heap.
pub(crate) struct Arenas {
    region: Region,
    /// Where page 0 starts in the region.
    first: usize,
    pages: usize,
    /// The bytes from page 0 on that have memory behind them. Never falls: what is decommitted can still be read.
    ready: AtomicUsize,
}

impl Arenas {
    /// Reserves a window of exactly so many pages, at most [`MAX_PAGES`], and the tables.
    pub(crate) fn reserve(plan: &Plan, pages: usize, faults: Faults) -> Result<Arenas, Error> {
        let full = Error::Os { call: "mmap", code: libc::ENOMEM };
        if pages > MAX_PAGES {
            return Err(full);
        }
        let first = plan.end.next_multiple_of(BASE_ALIGN);
        let len = pages.checked_mul(PAGE).and_then(|bytes| bytes.checked_add(first)).ok_or(full)?;
        let region = Region::reserve(len, BASE_ALIGN, faults)?;
        region.commit(0..first)?;
        // A huge page at the start of each of many sparse tables is more memory than a small heap needs for all of them.
        if first > SPARSE {
            region.advise_huge(0..first, false);
        }
        Ok(Arenas { region, first, pages, ready: AtomicUsize::new(0) })
    }

    /// Calls `reserve` with a number of pages, and with fewer while it fails, but no less than an arena. Under a limit
    /// of the process, leaves half of what it allows to others. A kernel that fails counts what is only promised; then
    /// not more is taken than the machine has, so that the tables are a small part of it.
    pub(crate) fn reserve_up_to<T>(
        pages: usize,
        mut reserve: impl FnMut(usize) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut pages = match address_limit() {
            Some(limit) => pages.min(limit / PAGE / ARENA * ARENA).max(ARENA),
            None => pages,
        };
        loop {
            match reserve(pages) {
                Err(_) if pages > ARENA => pages = (pages / 2).min(memory() / PAGE).next_multiple_of(ARENA),
                other => return other,
            }
        }
    }

    /// How many calls to the kernel have failed that were to fail.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> usize {
        self.region.refused()
    }

    /// Opens a table.
    ///
    /// # Safety
    /// It is one of the plan that the window was reserved with; the arenas outlive it.
    pub(crate) unsafe fn open<T: Zeroed>(&self, planned: Planned<T>) -> Mapped<T> {
        // SAFETY: the tables were committed when the window was reserved; a plan gives no byte to two tables, and
        // planned tables cannot be copied.
        unsafe { self.region.table(planned.offset, planned.len) }
    }

    /// The address of page 0.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.region.at(self.first)
    }

    /// How many pages the window has.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    fn bytes(&self, pages: Range<usize>) -> Range<usize> {
        self.first + pages.start * PAGE..self.first + pages.end * PAGE
    }

    /// Puts memory behind pages, the next after those that have some.
    pub(crate) fn commit(&self, pages: Range<usize>) -> Result<(), Error> {
        let end = pages.end * PAGE;
        self.region.commit(self.bytes(pages))?;
        // Release: who sees it may touch the pages. One at a time commits: who has the lock of the pages.
        self.ready.store(end, Ordering::Release);
        Ok(())
    }

    /// How many bytes from page 0 on can be read and written. Whoever was given an address sees enough of them.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        // Acquire: pairs with the release in `commit`.
        self.ready.load(Ordering::Acquire)
    }

    /// Asks for huge pages.
    pub(crate) fn advise_huge(&self, pages: Range<usize>) {
        self.region.advise_huge(self.bytes(pages), true);
    }

    /// Gives the memory behind pages back; gives those for which that happened, which read zero from now on.
    ///
    /// # Safety
    /// The pages are committed, and nobody reads or writes them meanwhile or relies on what is in them.
    pub(crate) unsafe fn decommit(&self, pages: Range<usize>) -> Range<usize> {
        // SAFETY: the caller's promise.
        let gone = unsafe { self.region.decommit(self.bytes(pages)) };
        let (start, end) = ((gone.start - self.first).div_ceil(PAGE), (gone.end - self.first) / PAGE);
        start..end.max(start)
    }
}

/// What the index says of a page.
#[derive(Clone, Copy)]
pub(crate) struct Page<'i> {
    pub(crate) kind: &'i AtomicU8,
    pub(crate) back: &'i AtomicU32,
}

impl Page<'_> {
    /// What the span is for that the page is in; 0 for none.
    #[inline]
    pub(crate) fn kind(self) -> u8 {
        // Acquire: pairs with the release in `publish`.
        self.kind.load(Ordering::Acquire)
    }

    /// How many pages back the span starts, after its kind was seen.
    #[inline]
    pub(crate) fn back(self) -> usize {
        // Relaxed: written before the kind was published.
        self.back.load(Ordering::Relaxed) as usize
    }

    /// Says how many pages back the span starts, before its kind is published.
    pub(crate) fn lead(self, back: usize) {
        // Relaxed: ordered by the release in `publish`.
        self.back.store(back as u32, Ordering::Relaxed);
    }

    /// Says that the page is now in a span. Everything else about the span is written before.
    pub(crate) fn publish(self, kind: u8) {
        // Release: pairs with the acquire in `kind`.
        self.kind.store(kind, Ordering::Release);
    }
}

/// Which span each page is in.
pub(crate) struct Index {
    /// 0 for a page that is in no span, else a number that says what the span is for.
    kinds: Mapped<AtomicU8>,
    back: Mapped<AtomicU32>,
}

/// An index that was planned.
pub(crate) struct PlannedIndex {
    kinds: Planned<AtomicU8>,
    back: Planned<AtomicU32>,
}

impl Index {
    /// Plans an index of so many pages.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> PlannedIndex {
        PlannedIndex { kinds: plan.table(pages), back: plan.table(pages) }
    }

    /// Opens it.
    ///
    /// # Safety
    /// As for [`Arenas::open`].
    pub(crate) unsafe fn open(arenas: &Arenas, planned: PlannedIndex) -> Index {
        // SAFETY: the caller's promise.
        unsafe { Index { kinds: arenas.open(planned.kinds), back: arenas.open(planned.back) } }
    }

    #[inline]
    pub(crate) fn at(&self, page: usize) -> Page<'_> {
        Page { kind: &self.kinds[page], back: &self.back[page] }
    }

    /// What the span is for that a page is in; 0 if it is in none, or beyond the window.
    #[inline]
    pub(crate) fn kind(&self, page: usize) -> u8 {
        if page < self.kinds.len() { self.at(page).kind() } else { 0 }
    }

    /// The first page of the span that a page is in.
    pub(crate) fn first(&self, page: usize) -> Option<usize> {
        if self.kind(page) == 0 { None } else { page.checked_sub(self.at(page).back()) }
    }

    /// Says that a run of pages is now a span. Everything else about the span is written before.
    pub(crate) fn publish(&self, pages: Range<usize>, kind: u8) {
        debug_assert!(kind != 0);
        let of = || self.kinds[pages.clone()].iter().zip(&self.back[pages.clone()]);
        let of = || of().map(|(kind, back)| Page { kind, back });
        for (back, page) in of().enumerate() {
            page.lead(back);
        }
        for page in of() {
            page.publish(kind);
        }
    }

    /// Says that a run of pages is in no span any more.
    pub(crate) fn retract(&self, pages: Range<usize>) {
        for kind in &self.kinds[pages] {
            // Relaxed: whoever may still look has no object there.
            kind.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(pages: usize) -> (Index, Arenas) {
        let mut plan = Plan::default();
        let planned = Index::plan(&mut plan, pages);
        let arenas = Arenas::reserve(&plan, pages, Faults::default()).unwrap();
        // SAFETY: of the same plan, and returned together.
        (unsafe { Index::open(&arenas, planned) }, arenas)
    }

    #[test]
    fn every_page_of_a_span_leads_to_its_first() {
        let (index, arenas) = index(3 * ARENA);
        assert_eq!(arenas.base().addr().get() % BASE_ALIGN, 0);
        let across = ARENA - 2..2 * ARENA + 5;
        index.publish(across.clone(), 7);
        index.publish(0..1, 1);
        for page in 0..arenas.pages() + 10 {
            let expected = if across.contains(&page) { Some(across.start) } else { (page == 0).then_some(0) };
            assert_eq!(index.first(page), expected, "page {page}");
        }
        index.retract(across);
        assert_eq!((index.first(ARENA), index.kind(0), index.kind(ARENA)), (None, 1, 0));
    }

    #[test]
    fn what_the_kernel_refuses_is_not_ready() {
        // The first two calls make the window.
        let arenas = Arenas::reserve(&Plan::default(), ARENA, Faults { after: 3, count: 1 }).unwrap();
        assert_eq!((arenas.ready(), arenas.commit(0..3), arenas.ready()), (0, Ok(()), 3 * PAGE));
        assert!(arenas.commit(3..9).is_err());
        assert_eq!((arenas.refused(), arenas.ready()), (1, 3 * PAGE));
        assert_eq!((arenas.commit(3..9), arenas.ready()), (Ok(()), 9 * PAGE));
    }

    #[test]
    fn a_window_of_terabytes_is_reserved_and_cheap() {
        let reserve = |pages| {
            let mut plan = Plan::default();
            let planned = Index::plan(&mut plan, pages);
            Arenas::reserve(&plan, pages, Faults::default()).map(|arenas| (planned, arenas))
        };
        let (planned, arenas) = Arenas::reserve_up_to((4 << 40) / PAGE, reserve).unwrap();
        let last = arenas.pages() - 1;
        // SAFETY: of the same plan, dropped before the arenas.
        let index = unsafe { Index::open(&arenas, planned) };
        index.publish(last..last + 1, 3);
        assert_eq!(index.first(last), Some(last));
        assert!(reserve(MAX_PAGES + 1).is_err());
    }

    #[test]
    fn a_window_shrinks_until_it_fits_but_not_below_an_arena() {
        let mut asked = Vec::new();
        let refused = Error::Os { call: "mmap", code: libc::ENOMEM };
        let refuse = |pages| -> Result<(), Error> {
            asked.push(pages);
            Err(refused)
        };
        assert_eq!(Arenas::reserve_up_to(5 * ARENA, refuse), Err(refused));
        assert_eq!(asked, [5 * ARENA, 3 * ARENA, 2 * ARENA, ARENA]);
    }
}
