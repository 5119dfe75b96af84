//! Allocation: from a request to a slot that reads zero.
//!
//! The usual case takes a slot from a window of the mutator: no lock, no atomic read-modify-write. When the window is
//! empty it is filled from the next word of its span: all slots of it are zeroed, and laid out for as many pointers as
//! the object has that is asked for, since the next ones are likely to have as many. Beyond that, what was freed is
//! used before the heap grows: a span of the right kind that has room, then the slots and pages that the sweep in
//! progress still has to give, then pages that are mapped and free, and only then new memory.
//!
//! What a mutator that allocates black has in its windows is marked, so that to be born black costs nothing for each object.
//!
//! Objects without pointers of at most 16 bytes may share a block, see [`tiny`](crate::tiny).
//!
//! Source: Go's `malloc.go`, `mcache.go` and `mcentral.go` (`cacheSpan`).

use crate::{
    class::{LARGE, class, class_of, fine_class},
    error::Error,
    events::{Event, Listener},
    gc::{phase::Phase, sweep::Swept},
    geometry::{MAX_SMALL, PAGE, WORD},
    local::{Local, Window},
    span::{Kind, Span},
    state::State,
    tiny::{self, Ends, TINY},
};

/// The pointers, and the words of data, of objects that the fast path is for, at most.
const FEW: usize = 128;

/// The spans that one allocation sweeps, looking for room in its kind, before it takes free pages (Go: 100).
const SWEEP: usize = 100;

/// The bytes that a window gets at once if the heap is paced, or else one slot: what is claimed counts as live, so the
/// pace is no finer than this.
const WINDOW: usize = PAGE;
/// How often an allocation pays for a window. Who pays may come to the end of a cycle, which takes the window back; above a
/// limit that cannot be met each payment would be for another cycle, and so on for ever.
const PAID: usize = 2;

impl<L: Listener> State<L> {
    /// Allocates an object of `pointers` pointer fields and `bytes` bytes of data; no object is smaller than a word. For
    /// the mutator, which is at a safepoint.
    #[inline(always)]
    pub(crate) fn allocate(&self, local: &Local, pointers: usize, bytes: usize) -> Result<usize, Error> {
        // The sum of two small numbers does not overflow.
        if pointers <= FEW
            && bytes <= FEW * WORD
            && let Some(class) = fine_class(pointers * WORD + bytes)
        {
            let window = local.window(Kind { class, pointer_free: pointers == 0 });
            if window.pointers() == pointers
                && let Some(at) = window.take()
            {
                return Ok(at);
            }
        }
        self.allocate_slowly(local, pointers, bytes)
    }

    /// The same for any object, whether or not there is a window that has one.
    #[cold]
    #[inline(never)]
    fn allocate_slowly(&self, local: &Local, pointers: usize, bytes: usize) -> Result<usize, Error> {
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
        let mut refills = 0;
        loop {
            if let Some(at) = window.take() {
                if window.pointers() != pointers && !kind.pointer_free {
                    self.set_pointers(window, kind, at, pointers);
                }
                return Ok(at);
            }
            self.refill(local, kind, (pointers, size), refills < PAID)?;
            refills += 1;
        }
    }

    /// Allocates an object that shares a block, or has one for itself.
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

    /// Of an object that has not as many pointers as its window was filled for.
    fn set_pointers(&self, window: &Window, kind: Kind, at: usize, pointers: usize) {
        if let Some(first) = window.span() {
            self.space.spans().set_pointers(first, kind.class, window.slot_of(at), pointers);
        }
    }

    /// Fills a window that is empty, for objects with so many pointers, whether or not the mutator `pays`.
    fn refill(&self, local: &Local, kind: Kind, (pointers, size): (usize, usize), pays: bool) -> Result<(), Error> {
        let window = local.window(kind);
        if let Some(first) = window.span() {
            let span = self.space.span(first);
            if self.claim(local, window, kind, span, pointers, pays) {
                return Ok(());
            }
            window.clear();
            self.space.let_go(span);
        }
        self.safepoint(local);
        let span = self.insist(local, || self.span_with_room(local, kind)).map_err(|error| at_least(error, size))?;
        let filled = self.claim(local, window, kind, span, pointers, pays);
        debug_assert!(filled, "the span has room");
        Ok(())
    }

    /// Fills a window with the next slots of a span that the mutator holds, if it has any: zeroed, and laid out for so many
    /// pointers. If the mutator `pays` for them, the collector may want them back meanwhile: then the window is empty again.
    fn claim(&self, local: &Local, window: &Window, kind: Kind, span: Span<'_>, pointers: usize, pays: bool) -> bool {
        let Some((word, mask)) = span.claim_word() else { return false };
        let mask =
            if self.is_paced() { lowest(mask, WINDOW / span.size(), |rest| span.give_back(word, rest)) } else { mask };
        if local.black.get() {
            span.mark_all(word, mask);
        }
        if span.is_dirty() {
            self.space.zero_slots(span, word, mask);
        }
        if pointers > 0 {
            span.set_all_pointers(word, mask, pointers);
        }
        // What may be shared has to be told of.
        let shared = kind == tiny::KIND && self.space.ends().is_some();
        window.fill(&span, (word, mask), if shared { usize::MAX } else { pointers });
        let slots = mask.count_ones() as usize;
        self.count(kind, slots, span.size());
        if pays {
            self.pay(local, slots * span.size());
        }
        true
    }

    /// Counts slots that a mutator has got.
    fn count(&self, kind: Kind, slots: usize, size: usize) {
        self.space.count(slots, size);
        if !kind.pointer_free {
            self.pace.count_scannable(slots * size);
        }
    }

    /// Has a mutator pay for so many bytes, which it has in a window, or is still to get. It may park meanwhile.
    fn pay(&self, local: &Local, bytes: usize) {
        if self.is_paced() {
            self.keep_pace(local, bytes);
        }
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
        self.keep_to_the_limit(if kind.class == LARGE { pages } else { class(kind.class).pages });
        let span = self.space.add(kind, pages, local.cycle(), false).or_else(|_| {
            let steps = std::iter::from_fn(|| (self.sweep_step() != Swept::Nothing).then_some(()));
            self.tell_reclaim(local, steps.count());
            self.space.add(kind, pages, local.cycle(), true)
        })?;
        self.weigh();
        Ok(span)
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
        let (kind, pages) = (Kind { class: LARGE, pointer_free: pointers == 0 }, size.div_ceil(PAGE));
        // Paid beforehand: nothing holds the object before it is in a root, so nobody may collect once it is there.
        let bytes = pages * PAGE;
        self.pace.promise(bytes);
        self.pay(local, bytes);
        let span = self.insist(local, || self.add_span(local, kind, pages)).map_err(|error| {
            self.pace.keep_promise(bytes);
            at_least(error, size)
        })?;
        let (word, mask) = span.claim_word().expect("a new span has room");
        if local.black.get() {
            span.mark_all(word, mask);
        }
        self.count(kind, 1, bytes);
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
