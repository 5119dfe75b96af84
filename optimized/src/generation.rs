//! Generations: who sweeps a span, once in each cycle. A kernel, above [`sync`](crate::sync) alone.
//!
//! A span's word holds the number of the cycle that it was swept for, or born in. To sweep it is to exchange an older
//! number for the mark of a claim; so of all who try, one does.
//!
//! ```text
//!   cycle c ──claim for c + 1──▶ claimed ──done──▶ cycle c + 1
//!                                   ▲ death: for ever, until a new span begins here
//! ```
//!
//! Invariants: between two changes of the cycle a span is claimed at most once; no span that is swept for the cycle is
//! ever claimed for it; where no span begins, the word is a claim or as young as the cycle in which the span died.
//!
//! Orderings: `done` is a release and looking an acquire, so who sees a span swept sees its bits; claiming is an acquire
//! of what was done in the cycle before.
//!
//! Source: Go's `sweepgen` in `mheap.go`, of which the states of cached spans are left out: all windows are flushed
//! before the first span is swept.

use crate::{
    sync::{AtomicU64, Ordering},
    twin::{Twin, wrong},
};

const CLAIMED: u64 = u64::MAX;

/// The cycle that a span is swept for.
#[derive(Debug)]
pub(crate) struct Generation(pub(crate) AtomicU64);

impl Generation {
    /// A span is born in a cycle. Before it is published.
    pub(crate) fn begin(&self, cycle: u64) {
        // Release: pairs with the acquire in `is`, of who comes without the index: by a weak pointer to what was here
        // before.
        self.0.store(cycle, Ordering::Release);
    }

    /// A span dies: nobody can claim it.
    pub(crate) fn end(&self) {
        self.0.store(CLAIMED, Ordering::Relaxed);
    }

    /// Whether the span is swept for this cycle.
    pub(crate) fn is(&self, cycle: u64) -> bool {
        // Acquire: pairs with the release in `done`.
        self.0.load(Ordering::Acquire) == cycle
    }

    /// Claims a span that is not swept for this cycle. Whoever gets `true` sweeps it.
    pub(crate) fn claim(&self, cycle: u64) -> bool {
        let old = self.0.load(Ordering::Relaxed);
        if wrong(Twin::Claiming) && old != cycle && old != CLAIMED {
            self.end();
            return true;
        }
        // Acquire: pairs with the release in `done`, of the cycle before.
        old != cycle
            && old != CLAIMED
            && self.0.compare_exchange(old, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether somebody sweeps the span now, or it has died.
    pub(crate) fn is_claimed(&self) -> bool {
        // Acquire: pairs with the release in `done`, if not.
        self.0.load(Ordering::Acquire) == CLAIMED
    }

    /// The claimed span is swept.
    pub(crate) fn done(&self, cycle: u64) {
        // Release: pairs with the acquires in `is` and `claim`.
        self.0.store(cycle, Ordering::Release);
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_claimed_once_for_a_cycle_and_never_after_its_death() {
        let span = Generation(AtomicU64::new(0));
        span.begin(4);
        assert!(span.is(4) && !span.claim(4), "what is born in a cycle is swept for it");
        assert!(span.claim(5) && span.is_claimed() && !span.claim(5) && !span.is(5));
        span.done(5);
        assert!(span.is(5) && !span.is_claimed() && !span.claim(5) && span.claim(6));
        span.end();
        assert!(span.is_claimed() && !span.claim(7));
        span.begin(7);
        span.end();
        assert!(!span.claim(8) && !span.is(8));
    }
}
