//! Large blocks: whole pages for one object that is freed by hand. Above [`memory`](crate::memory).
//!
//! A large span has one slot, which is all of its pages. It is not held and in no set: freeing it parks it, see
//! [`parked`](crate::parked), or else ends it. It can be aligned to any number of pages, known to read zero, and can shrink,
//! or grow into free pages, without moving.
//!
//! Source: Go's `malloc.go` (`largeAlloc`), `mcache.go` (`allocLarge`).

use crate::{
    class::LARGE,
    error::Error,
    memory::Memory,
    parked::{grows_on, roomy, rounded, suits},
    span::{Kind, MAX_SPAN, Span},
    sync::Ordering,
};
use std::ptr::NonNull;

impl Memory {
    /// Makes a large span of so many pages, [`rounded`], at an address that is a multiple of `align` pages. Gives where
    /// it is, and whether it is known to read zero.
    pub(crate) fn large(&self, pages: usize, align: usize) -> Result<(NonNull<u8>, bool), Error> {
        let pages = rounded(pages);
        if align == 1
            && let Some(first) = self.parked().take(self.spans(), pages)
        {
            return Ok((self.spans().at(first).address(0), false));
        }
        let kind = Kind { class: LARGE, pointer_free: true };
        let span = match self.new_span(kind, pages, align, 0, false) {
            Ok(span) => span,
            Err(_) => {
                self.reclaim(pages);
                let grown = self.new_span(kind, pages, align, 0, true);
                grown.or_else(
                    |full| if self.trim() > 0 { self.new_span(kind, pages, align, 0, true) } else { Err(full) },
                )?
            }
        };
        span.room().reset(0, false);
        span.allocated()[0].store(1, Ordering::Relaxed);
        Ok((span.address(0), !span.is_dirty()))
    }

    /// Frees a large span that [`Memory::large`] made; one that is free already is left alone.
    pub(crate) fn free_large(&self, span: Span<'_>) {
        if !span.is_allocated(0) {
            return;
        }
        // What was clean may have been written since.
        span.set_dirty();
        if !self.parked().park(self.spans(), span.first(), span.pages()) {
            self.end(span);
        }
    }

    /// Lets a large span have so many pages, [`rounded`], without moving, if it can. If it is to have a few more than
    /// it has, it gets more than that, if they are free.
    pub(crate) fn resize(&self, span: Span<'_>, pages: usize) -> bool {
        let (first, old, kind) = (span.first(), span.pages(), span.kind());
        let pages = rounded(pages);
        if suits(old, pages) {
            return true;
        }
        let mut free = self.pages();
        let mut pages = pages;
        if pages > old {
            let mut take = |pages: usize| free.take_at(first + old, pages - old).is_some();
            if grows_on(old, pages) && roomy(pages) <= MAX_SPAN && take(roomy(pages)) {
                pages = roomy(pages);
            } else if pages > MAX_SPAN || !take(pages) {
                return false;
            }
        }
        self.spans().resize(first, pages, kind);
        if pages < old {
            free.give_back(first + pages, old - pages);
            self.release(&mut free);
        }
        true
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use crate::{geometry::PAGE, os::Faults};

    fn memory(limit: usize) -> Memory {
        Memory::reserve(2048, limit, Faults::NONE, |_| ()).unwrap().0
    }

    fn span_at(memory: &Memory, address: NonNull<u8>) -> Span<'_> {
        memory.spans().containing(memory.spans().page_of(address.addr().get())).unwrap()
    }

    #[test]
    fn what_is_freed_is_parked_and_comes_next_for_as_many_pages_or_a_few_less() {
        let memory = memory(usize::MAX);
        let [first, second] = [50, 60].map(|pages| memory.large(pages, 1).unwrap().0);
        let used = memory.pages().in_use();
        for (address, pages) in [(first, 52), (second, 60)] {
            memory.free_large(span_at(&memory, address));
            memory.free_large(span_at(&memory, address));
            assert_eq!(memory.verify(), Ok(()));
            assert_eq!(memory.parked().pages(), pages, "freed once, however often");
            assert_eq!(memory.large(49, 1).unwrap(), (address, false));
            assert_eq!((memory.parked().pages(), memory.pages().in_use()), (0, used));
            assert_eq!(memory.verify(), Ok(()));
        }
        [first, second].iter().for_each(|address| memory.free_large(span_at(&memory, *address)));
        assert_ne!(memory.large(40, 1).unwrap().0, first, "a quarter too large is too large");
        assert!(memory.large(50, 8).unwrap().0.addr().get().is_multiple_of(8 * PAGE), "alignments are not kept");
        assert_eq!(memory.parked().pages(), 112);
        assert_eq!(memory.trim(), 112);
        assert_eq!((memory.parked().pages(), memory.verify()), (0, Ok(())));
    }

    #[test]
    fn so_much_is_parked_and_all_of_it_is_given_up_before_memory_is_refused() {
        let memory = memory(1536);
        let blocks: Vec<_> = (0..12).map(|_| memory.large(128, 1).unwrap().0).collect();
        assert!(memory.large(128, 1).is_err());
        blocks.iter().for_each(|block| memory.free_large(span_at(&memory, *block)));
        assert_eq!(memory.parked().pages(), 8 * 128);
        memory.large(1500, 1).unwrap();
        assert_eq!((memory.parked().pages(), memory.verify()), (0, Ok(())));
    }

    #[test]
    fn a_large_span_grows_and_shrinks_where_it_is() {
        let memory = memory(usize::MAX);
        let (address, clean) = memory.large(9, 4).unwrap();
        assert!(clean && address.addr().get() % (4 * PAGE) == 0);
        let span = span_at(&memory, address);
        assert!(memory.resize(span, 12) && memory.resize(span, 5));
        memory.large(1, 1).unwrap();
        let blocked = memory.spans().containing(span.first() + 5).is_some();
        assert_eq!(memory.resize(span, 6), !blocked);
        assert!(memory.large(usize::MAX / PAGE, 1).is_err() && memory.large(1, usize::MAX / 2 + 1).is_err());
    }
}
