//! Large blocks: whole pages for one object that is freed by hand. Above [`memory`](crate::memory).
//!
//! A large span has one slot, which is all of its pages. It is never held and in no set: freeing it ends it. It can be
//! aligned to any number of pages, known to read zero, and can shrink, or grow into free pages, without moving.
//!
//! Source: Go's `malloc.go` (`largeAlloc`), `mcache.go` (`allocLarge`).

use crate::{
    class::LARGE,
    error::Error,
    memory::Memory,
    span::{Kind, Span},
    sync::Ordering,
};
use std::ptr::NonNull;

impl Memory {
    /// Makes a large span, at an address that is a multiple of `align` pages. Gives where it is, and whether it is known to
    /// read zero.
    pub(crate) fn large(&self, pages: usize, align: usize) -> Result<(NonNull<u8>, bool), Error> {
        let kind = Kind { class: LARGE, pointer_free: true };
        let span = match self.new_span(kind, pages, align, 0, false) {
            Ok(span) => span,
            Err(_) => {
                self.reclaim(pages);
                self.new_span(kind, pages, align, 0, true)?
            }
        };
        span.room().reset(0, false);
        span.allocated()[0].store(1, Ordering::Relaxed);
        Ok((span.address(0), !span.is_dirty()))
    }

    /// Lets a large span have so many pages without moving, if it can.
    pub(crate) fn resize(&self, span: Span<'_>, pages: usize) -> bool {
        let (first, old, kind) = (span.first(), span.pages(), span.kind());
        let mut free = self.pages();
        if pages > old && free.take_at(first + old, pages - old).is_none() {
            return false;
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

    #[test]
    fn a_large_span_grows_and_shrinks_where_it_is() {
        let memory = Memory::reserve(1024, usize::MAX, Faults::default(), |_| ()).unwrap().0;
        let (address, clean) = memory.large(9, 4).unwrap();
        assert!(clean && address.addr().get() % (4 * PAGE) == 0);
        let span = memory.spans().containing(memory.spans().page_of(address.addr().get())).unwrap();
        assert!(memory.resize(span, 12) && memory.resize(span, 5));
        memory.large(1, 1).unwrap();
        let blocked = memory.spans().containing(span.first() + 5).is_some();
        assert_eq!(memory.resize(span, 6), !blocked);
        assert!(memory.large(usize::MAX / PAGE, 1).is_err() && memory.large(1, usize::MAX / 2 + 1).is_err());
    }
}
