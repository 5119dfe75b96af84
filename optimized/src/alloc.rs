//! Allocation: from a request to a slot that reads zero.
//!
//! The usual case takes a slot from a window of the mutator: no lock, no atomic read-modify-write. When the window is empty
//! it is filled from the next word of its span. Beyond that, what was freed is used before the heap grows: a span of the
//! right kind that has room, then the slots and pages that the sweep in progress still has to give, then pages that are
//! mapped and free, and only then new memory.
//!
//! What a mutator that allocates black has in its windows is marked, so that to be born black costs nothing for each object.
//!
//! Source: Go's `malloc.go`, `mcache.go` and `mcentral.go` (`cacheSpan`).

use crate::{
    class::{LARGE, class, class_of},
    error::Error,
    events::Listener,
    gc::{phase::Phase, sweep::Swept},
    geometry::{MAX_SMALL, PAGE, WORD},
    local::{Local, Window},
    span::{Kind, Span},
    state::State,
};

/// The spans that one allocation sweeps, looking for room in its kind, before it takes free pages (Go: 100).
const SWEEP: usize = 100;

/// The bytes that a window gets at once if the heap is paced, or else one slot: what is claimed counts as live, so the pace is
/// no finer than this.
const WINDOW: usize = PAGE;

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
        let kind = Kind { class: class_of(size), pointer_free: pointers == 0 };
        let window = local.window(kind);
        loop {
            if let Some(at) = self.take(window, kind, pointers) {
                return Ok(at);
            }
            self.refill(local, kind, size)?;
        }
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
            if self.claim(local, window, kind, span) {
                return Ok(());
            }
            window.clear();
            self.space.let_go(span);
        }
        self.safepoint(local);
        let span = self.insist(local, || self.span_with_room(local, kind)).map_err(|error| at_least(error, size))?;
        let filled = self.claim(local, window, kind, span);
        debug_assert!(filled, "the span has room");
        Ok(())
    }

    /// Fills a window with the next slots of a span that the mutator holds, if it has any, and has the mutator pay for them.
    /// The collector may want them back meanwhile: then the window is empty again.
    fn claim(&self, local: &Local, window: &Window, kind: Kind, span: Span<'_>) -> bool {
        let Some((word, mask)) = span.claim_word() else { return false };
        let mask =
            if self.is_paced() { lowest(mask, WINDOW / span.size(), |rest| span.give_back(word, rest)) } else { mask };
        if local.black.get() {
            span.mark_all(word, mask);
        }
        let slots = mask.count_ones() as usize;
        window.fill(span.first(), span.address(word * 64).addr().get(), (word, mask), span.is_dirty());
        self.count(local, kind, slots, span.size());
        true
    }

    /// Counts slots that a mutator has got, and has it pay. What it has got is in a window, or is still to be had.
    fn count(&self, local: &Local, kind: Kind, slots: usize, size: usize) {
        self.space.count(slots, size);
        if !kind.pointer_free {
            self.pace.count_scannable(slots * size);
        }
        if self.is_paced() {
            self.keep_pace(local, slots * size);
        }
    }

    /// Gives back what the windows hold.
    pub(crate) fn flush_windows(&self, local: &Local) {
        for window in local.windows() {
            if let Some(first) = window.span() {
                let (span, (word, mask)) = (self.space.span(first), window.left());
                window.clear();
                self.space.recant(mask.count_ones() as usize, span.size());
                span.give_back(word, mask);
                self.space.let_go(span);
            }
        }
    }

    /// A span of this kind with a free slot, which the mutator holds.
    fn span_with_room(&self, local: &Local, kind: Kind) -> Result<Span<'_>, Error> {
        // While mutators are still being told of the end of marking, what is in the sets is not swept, and nothing may be.
        if self.stage.phase() != Phase::Terminate {
            for _ in 0..SWEEP {
                if let Some(span) = self.space.pop(kind) {
                    return Ok(span);
                }
                if self.sweep_step() == Swept::Nothing {
                    break;
                }
            }
        }
        self.add_span(local, kind, 0)
    }

    /// Makes a span on pages: mapped ones, those that the sweep frees, or new ones.
    fn add_span(&self, local: &Local, kind: Kind, pages: usize) -> Result<Span<'_>, Error> {
        self.keep_to_the_limit(if kind.class == LARGE { pages } else { class(kind.class).pages });
        let span = self.space.add(kind, pages, local.cycle(), false).or_else(|_| {
            while self.sweep_step() != Swept::Nothing {}
            self.space.add(kind, pages, local.cycle(), true)
        })?;
        self.weigh();
        Ok(span)
    }

    #[cold]
    fn allocate_large(&self, local: &Local, pointers: usize, size: usize) -> Result<usize, Error> {
        if size > self.space.pages().limit() * PAGE {
            return Err(Error::OutOfMemory { requested: size });
        }
        self.safepoint(local);
        let (kind, pages) = (Kind { class: LARGE, pointer_free: pointers == 0 }, size.div_ceil(PAGE));
        // Beforehand: nothing holds the object before it is in a root, so nobody may collect once it is there.
        let bytes = pages * PAGE;
        self.pace.promise(bytes);
        self.count(local, kind, 1, bytes);
        let span = self.insist(local, || self.add_span(local, kind, pages)).map_err(|error| {
            self.space.recant(1, bytes);
            self.pace.keep_promise(bytes);
            at_least(error, size)
        })?;
        let (word, mask) = span.claim_word().expect("a new span has room");
        if local.black.get() {
            span.mark_all(word, mask);
        }
        self.pace.keep_promise(bytes);
        if !kind.pointer_free {
            span.set_pointers(0, pointers);
        }
        let at = span.address(0).addr().get();
        if span.is_dirty() {
            self.space.zero(at, span.size());
        }
        self.space.let_go(span);
        Ok(at)
    }
}

/// The lowest `count` bits of a mask, and at least one; the others are given back.
fn lowest(mask: u64, count: usize, give_back: impl FnOnce(u64)) -> u64 {
    let count = count.max(1);
    if mask.count_ones() as usize <= count {
        return mask;
    }
    let rest = (0..count).fold(mask, |rest, _| rest & (rest - 1));
    give_back(rest);
    mask & !rest
}

/// The error, with no fewer bytes than were asked for.
fn at_least(error: Error, size: usize) -> Error {
    match error {
        Error::OutOfMemory { requested } => Error::OutOfMemory { requested: requested.max(size) },
        other => other,
    }
}
