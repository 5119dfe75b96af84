//! Allocation: from a request to a slot that reads zero.
//!
//! The usual case takes a slot from a window of the mutator: no lock, no atomic read-modify-write. When the window is empty
//! it is filled from the next word of its span. Beyond that, what was freed is used before the heap grows: a span of the
//! right kind that has room, then the slots and pages that the sweep in progress still has to give, then pages that are
//! mapped and free, and only then new memory.
//!
//! What a mutator that allocates black has in its windows is marked, so that to be born black costs nothing for each object.
//!
//! Objects without pointers of at most 16 bytes may share a block, see [`tiny`](crate::tiny).
//!
//! Source: Go's `malloc.go`, `mcache.go` and `mcentral.go` (`cacheSpan`).

use crate::{
    class::{LARGE, class, class_of},
    error::Error,
    events::{Event, Listener},
    gc::{phase::Phase, sweep::Swept},
    geometry::{MAX_SMALL, PAGE, WORD},
    local::{Local, Window},
    span::{Kind, Span},
    state::State,
    tiny::{self, Ends, TINY},
};

/// The spans that one allocation sweeps, looking for room in its kind, before it takes free pages (Go: 100).
const SWEEP: usize = 100;

impl<L: Listener> State<L> {
    /// Allocates an object of `pointers` pointer fields and `bytes` bytes of data; no object is smaller than a word. For
    /// the mutator, which is at a safepoint.
    #[inline]
    pub(crate) fn allocate(&self, local: &Local, pointers: usize, bytes: usize) -> Result<usize, Error> {
        let too_large = Error::OutOfMemory { requested: usize::MAX };
        let fields = pointers.checked_mul(WORD).ok_or(too_large)?;
        let size = fields.checked_add(bytes).ok_or(too_large)?;
        if size > MAX_SMALL {
            return self.allocate_large(local, pointers, size);
        }
        let pointer_free = pointers == 0;
        if pointer_free
            && size <= TINY
            && let Some((ends, start)) = self.space.ends()
        {
            return self.allocate_tiny(local, (ends, start), size.max(1));
        }
        self.slot(local, Kind { class: class_of(size), pointer_free }, pointers, size)
    }

    /// Takes a slot, for an object of `size` bytes.
    #[inline]
    fn slot(&self, local: &Local, kind: Kind, pointers: usize, size: usize) -> Result<usize, Error> {
        let window = local.window(kind);
        loop {
            if let Some(at) = self.take(window, kind, pointers) {
                return Ok(at);
            }
            self.refill(local, kind, size)?;
        }
    }

    /// Allocates an object that shares a block, or has one for itself.
    #[inline]
    fn allocate_tiny(&self, local: &Local, (ends, start): (&Ends, usize), size: usize) -> Result<usize, Error> {
        let at = match local.tiny.place(size) {
            Some(at) => at,
            None => {
                let block = self.slot(local, tiny::KIND, 0, size)?;
                local.tiny.offer(block, size);
                block
            }
        };
        ends.add(at - start, size);
        Ok(at)
    }

    #[inline]
    fn take(&self, window: &Window, kind: Kind, pointers: usize) -> Option<usize> {
        let size = class(kind.class).size;
        let (at, slot) = window.take(size)?;
        if window.is_dirty() {
            self.space.zero(at, size);
        }
        if !kind.pointer_free
            && let Some(first) = window.span()
        {
            self.space.spans().set_pointers(first, kind.class, slot, pointers);
        }
        Some(at)
    }

    /// Fills a window that is empty.
    #[cold]
    fn refill(&self, local: &Local, kind: Kind, size: usize) -> Result<(), Error> {
        let window = local.window(kind);
        if let Some(first) = window.span() {
            let span = self.space.span(first);
            if self.claim(local, window, span) {
                return Ok(());
            }
            window.clear();
            self.space.let_go(span);
        }
        self.safepoint(local);
        if self.config.workers > 0 {
            self.keep_pace(local, class(kind.class).size * 64);
        }
        let span = self.insist(local, || self.span_with_room(local, kind)).map_err(|error| at_least(error, size))?;
        let filled = self.claim(local, window, span);
        debug_assert!(filled, "the span has room");
        Ok(())
    }

    /// Fills a window with the next slots of a span that the mutator holds, if it has any.
    fn claim(&self, local: &Local, window: &Window, span: Span<'_>) -> bool {
        let Some((word, mask)) = span.claim_word() else { return false };
        if local.black.get() {
            span.mark_all(word, mask);
        }
        self.space.count(mask.count_ones() as usize, span.size());
        window.fill(span.first(), span.address(word * 64).addr().get(), (word, mask), span.is_dirty());
        true
    }

    /// Gives back what the windows hold; gives how many held a span.
    pub(crate) fn flush_windows(&self, local: &Local) -> usize {
        let mut spans = 0;
        for window in local.windows() {
            if let Some(first) = window.span() {
                let (span, (word, mask)) = (self.space.span(first), window.left());
                window.clear();
                self.space.recant(mask.count_ones() as usize, span.size());
                span.give_back(word, mask);
                self.space.let_go(span);
                spans += 1;
            }
        }
        spans
    }

    /// A span of this kind with a free slot, which the mutator holds.
    fn span_with_room(&self, local: &Local, kind: Kind) -> Result<Span<'_>, Error> {
        // While mutators are still being told of the end of marking, what is in the sets is not swept, and nothing may be.
        if self.stage.phase() != Phase::Terminate {
            let mut swept = 0;
            let found = loop {
                let found = self.space.pop(kind);
                if found.is_some() || swept == SWEEP || self.sweep_step() == Swept::Nothing {
                    break found;
                }
                swept += 1;
            };
            self.tell_reclaim(local, swept);
            if let Some(span) = found {
                return Ok(span);
            }
        }
        self.add_span(local, kind, 0)
    }

    /// Makes a span on pages: mapped ones, those that the sweep frees, or new ones.
    fn add_span(&self, local: &Local, kind: Kind, pages: usize) -> Result<Span<'_>, Error> {
        self.space.add(kind, pages, local.cycle(), false).or_else(|_| {
            self.tell_reclaim(local, self.sweep_steps(usize::MAX));
            self.space.add(kind, pages, local.cycle(), true)
        })
    }

    fn tell_reclaim(&self, local: &Local, spans: usize) {
        if spans > 0 {
            self.listener.on(Event::Reclaim { mutator: local.id, spans });
        }
    }

    #[cold]
    fn allocate_large(&self, local: &Local, pointers: usize, size: usize) -> Result<usize, Error> {
        if size > self.space.pages().limit() * PAGE {
            return Err(Error::OutOfMemory { requested: size });
        }
        self.safepoint(local);
        if self.config.workers > 0 {
            self.keep_pace(local, size);
        }
        let (kind, pages) = (Kind { class: LARGE, pointer_free: pointers == 0 }, size.div_ceil(PAGE));
        let span = self.insist(local, || self.add_span(local, kind, pages)).map_err(|error| at_least(error, size))?;
        let (word, mask) = span.claim_word().expect("a new span has room");
        if local.black.get() {
            span.mark_all(word, mask);
        }
        if !kind.pointer_free {
            span.set_pointers(0, pointers);
        }
        self.space.count(1, span.size());
        let at = span.address(0).addr().get();
        if span.is_dirty() {
            self.space.zero(at, span.size());
        }
        self.space.let_go(span);
        Ok(at)
    }
}

/// The error, with no fewer bytes than were asked for.
fn at_least(error: Error, size: usize) -> Error {
    match error {
        Error::OutOfMemory { requested } => Error::OutOfMemory { requested: requested.max(size) },
        other => other,
    }
}
