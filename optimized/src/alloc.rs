//! Allocation: from a request to a slot that reads zero.
//!
//! What was freed is used before the heap grows: a free slot in a span of the right kind, then the slots and pages that
//! the sweep in progress still has to give, then pages that are mapped and free, and only then new memory.
//!
//! Source: Go's `malloc.go`, `mcache.go` and `mcentral.go` (`cacheSpan`).

use crate::{
    class::{LARGE, class_of},
    error::Error,
    events::Listener,
    geometry::{MAX_SMALL, PAGE, WORD},
    space::Slot,
    span::Kind,
    state::State,
};

impl<L: Listener> State<L> {
    /// Allocates an object of `pointers` pointer fields and `bytes` bytes of data; no object is smaller than a word.
    pub(crate) fn allocate(&mut self, pointers: usize, bytes: usize) -> Result<Slot, Error> {
        let too_large = Error::OutOfMemory { requested: usize::MAX };
        let fields = pointers.checked_mul(WORD).ok_or(too_large)?;
        let size = fields.checked_add(bytes).ok_or(too_large)?;
        let full = Error::OutOfMemory { requested: size };
        if size > self.space.pages().limit() * PAGE {
            return Err(full);
        }
        let pointer_free = pointers == 0;
        let span = if size <= MAX_SMALL {
            let kind = Kind { class: class_of(size), pointer_free };
            match self.span_with_room(kind) {
                Some(span) => span,
                None => self.add_span(kind, 0)?,
            }
        } else {
            self.add_span(Kind { class: LARGE, pointer_free }, size.div_ceil(PAGE))?
        };
        let slot = self.space.take(span, pointers).expect("the span has room");
        if self.phase.is_marking() {
            self.space.span(span).mark(slot.number);
        }
        Ok(slot)
    }

    /// A span of this kind with a free slot, if sweeping can find one.
    fn span_with_room(&mut self, kind: Kind) -> Option<usize> {
        loop {
            match self.space.with_room(kind) {
                None if self.sweep_step() => {}
                span => return span,
            }
        }
    }

    /// Makes a span on pages: mapped ones, those that the sweep frees, or new ones.
    fn add_span(&mut self, kind: Kind, pages: usize) -> Result<usize, Error> {
        self.space.add(kind, pages, self.cycle, false).or_else(|_| {
            while self.sweep_step() {}
            self.space.add(kind, pages, self.cycle, true)
        })
    }
}
