//! Sweeping: freeing what was not marked, span by span. Whoever needs room sweeps: mutators that allocate, the collector,
//! and whoever takes its steps.
//!
//! Who sweeps looks for the next span in address order from a common cursor, and [claims](crate::generation) it. When the
//! cursor has come to the end and nobody sweeps any more, one of those who find that out ends the cycle.
//!
//! Invariants: in phase sweep, a span below the cursor is swept or claimed; in phase off, every span is swept. No slot is
//! taken from a span that is not swept, so what is born while sweeping is not mistaken for garbage of the cycle before.
//! Nothing is swept before every mutator knows of the new cycle and has flushed its windows.
//!
//! Orderings: a sweeper counts itself before it looks at the cursor; who ends the cycle has seen the cursor at its end
//! before it looks at the count. Both change the count, so one of them sees the other.
//!
//! Source: Go's `mgcsweep.go`.

use crate::{
    events::{Event, Listener},
    gc::phase::Phase,
    state::State,
    sync::{AtomicU64, AtomicUsize, Ordering},
    twin::{Twin, wrong},
};

/// The bits of a page number.
const PAGE_BITS: u32 = 36;
const END: u64 = (1 << PAGE_BITS) - 1;

/// How far the sweep has come.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// The cycle, and the page below which all is swept or claimed.
    cursor: AtomicU64,
    /// The page at which the heap ended when the sweep began.
    end: AtomicUsize,
    /// How many are sweeping.
    active: AtomicUsize,
}

impl Sweep {
    pub(crate) fn new() -> Sweep {
        Sweep { cursor: AtomicU64::new(END), end: AtomicUsize::new(0), active: AtomicUsize::new(0) }
    }

    fn word(cycle: u64, page: u64) -> u64 {
        cycle << PAGE_BITS | page
    }

    /// Begins the sweep of a cycle. Before its phase begins.
    pub(crate) fn begin(&self, cycle: u64, end: usize) {
        self.end.store(end, Ordering::Relaxed);
        // Release: pairs with the acquire in `next`.
        self.cursor.store(Sweep::word(cycle, 0), Ordering::Release);
    }

    /// Somebody sweeps, and looks at the cursor only now.
    pub(crate) fn enter(&self) {
        // Acquire and release: pairs with `is_over`.
        self.active.fetch_add(1, Ordering::AcqRel);
    }

    /// The same has done what it came upon.
    pub(crate) fn leave(&self) {
        // Release: pairs with `is_over`.
        self.active.fetch_sub(1, Ordering::AcqRel);
    }

    /// The page to look from; `None` if the sweep of this cycle has come to its end.
    pub(crate) fn next(&self, cycle: u64) -> Option<usize> {
        // Acquire: pairs with the release in `begin`.
        let word = self.cursor.load(Ordering::Acquire);
        let page = word & END;
        (word == Sweep::word(cycle, page) && page != END).then_some(page as usize)
    }

    /// Moves the cursor up to a page.
    pub(crate) fn advance(&self, cycle: u64, page: u64) {
        let new = Sweep::word(cycle, page);
        let mut old = self.cursor.load(Ordering::Relaxed);
        while old >> PAGE_BITS == new >> PAGE_BITS && old < new {
            // Release: pairs with the acquire in `next`.
            match self.cursor.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Moves the cursor to its end.
    pub(crate) fn finish(&self, cycle: u64) {
        self.advance(cycle, END);
    }

    /// The page below which all is swept, while nobody sweeps.
    pub(crate) fn passed(&self, cycle: u64) -> usize {
        self.next(cycle).unwrap_or(usize::MAX)
    }

    /// How many are sweeping, to be spoilt.
    #[cfg(all(test, heaplaw_loom))]
    pub(crate) fn active(&self) -> &AtomicUsize {
        &self.active
    }

    /// Whether the sweep of a cycle is over.
    pub(crate) fn is_over(&self, cycle: u64) -> bool {
        // Acquire and release: pairs with the start of every other sweeper, who then sees the cursor at its end.
        self.next(cycle).is_none() && (self.active.fetch_add(0, Ordering::AcqRel) == 0 || wrong(Twin::Sweeping))
    }
}

/// What a step of sweeping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// A span was swept.
    Span,
    /// The cycle was ended.
    Cycle,
    /// There is nothing to do.
    Nothing,
}

impl<L: Listener> State<L> {
    /// Sweeps the next span that is not swept, or ends the cycle.
    pub(crate) fn sweep_step(&self) -> Swept {
        let (cycle, phase) = self.stage.now();
        if phase != Phase::Sweep {
            return Swept::Nothing;
        }
        self.sweep.enter();
        let swept = self.sweep_next(cycle);
        self.sweep.leave();
        if swept {
            return Swept::Span;
        }
        if self.sweep.is_over(cycle) && self.stage.end_sweep(cycle) {
            self.end_sweep_pace();
            self.listener.on(Event::Phase(Phase::Off));
            return Swept::Cycle;
        }
        Swept::Nothing
    }

    fn sweep_next(&self, cycle: u64) -> bool {
        let Some(from) = self.sweep.next(cycle) else { return false };
        let end = self.sweep.end.load(Ordering::Relaxed);
        let spans = self.space.memory().spans();
        let mut page = from;
        while page < end {
            // A span of which this may be a page in transit was made in this cycle, and is swept.
            let Some(span) = spans.containing(page).filter(|span| span.first() == page) else {
                page += 1;
                continue;
            };
            page += span.pages().max(1);
            if span.claim(cycle) {
                self.sweep.advance(cycle, page as u64);
                self.pace.count_swept(span.pages());
                let buried = self.bury(span);
                self.space.sweep(span, cycle, L::OBJECTS, |at| self.listener.on(Event::Free(at)));
                self.specials.queue(buried);
                return true;
            }
        }
        self.sweep.finish(cycle);
        false
    }

    /// Sweeps until the cycle is over.
    pub(crate) fn sweep_all(&self) {
        while self.stage.phase() == Phase::Sweep {
            if self.sweep_step() == Swept::Nothing {
                // Others are still sweeping.
                crate::sync::relax();
            }
        }
    }
}
