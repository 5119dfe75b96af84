//! Sweeping: freeing what was not marked, a span a step, in address order.
//!
//! Invariant: a span is swept for this cycle if it carries the cycle's number, and every span does in phase off. No
//! slot is taken from a span that is not swept, so what is born while sweeping is not mistaken for garbage of the cycle
//! before.
//!
//! Source: Go's `mgcsweep.go`.

use crate::{
    events::{Event, Listener},
    gc::phase::Phase,
    span::Span,
    state::State,
};

impl<L: Listener> State<L> {
    /// Sweeps the next span that is not swept, or ends the cycle.
    pub(crate) fn sweep_step(&mut self) -> bool {
        if self.phase != Phase::Sweep {
            return false;
        }
        let next = self.space.spans_from(self.sweep_next).find(|span| !span.is_swept(self.cycle));
        match next.map(Span::first) {
            Some(first) => {
                self.sweep_next = first + 1;
                self.space.sweep(first, self.cycle, |at| self.listener.on(Event::Free(at)));
            }
            None => self.enter(Phase::Off),
        }
        true
    }
}
