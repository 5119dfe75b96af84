//! A collection cycle: its phases and what each one permits.
//!
//! ```text
//!             ┌──────────────────────────────────────────────────────────┐
//!             ▼                                                          │
//!   off ───▶ mark ───────▶ terminate ───────▶ sweep ───▶ off ───▶ …      │
//!             │                                 └────────────────────────┘
//!             │                                   a new cycle first finishes the sweep
//!   barrier   on            on                off       off
//!   born      the design's  the design's      alive     alive
//!   freed     –             –                 white     –
//! ```
//!
//! 1. **Off.** Mutators run at full speed. Nothing has a colour.
//! 2. **Mark.** The barrier is on before the first object is scanned. Globals and stacks are scanned, one at a time;
//!    grey objects are scanned until none is left.
//! 3. **Terminate.** Nothing is grey, nothing will turn grey: what is white is garbage. This has to be *decided*, which
//!    is harder than it sounds as soon as mutators keep private queues.
//! 4. **Sweep.** White objects are freed, bit by bit. What is born now must not be taken for garbage of the cycle that
//!    has just ended.
//!
//! ## Where marking begins
//!
//! | root                                   | how it is scanned                                            |
//! |----------------------------------------|--------------------------------------------------------------|
//! | globals                                | in pieces, by whoever has time; here: one step               |
//! | stacks                                 | one at a time, its mutator stopped for no longer than that   |
//! | the fields of an object with a finalizer | with the globals; not the object itself                    |
//! | objects whose finalizer is due         | with the globals                                             |
//! | arguments of cleanups, due or not      | with the globals                                             |
//! | a weak pointer                         | not at all: what it refers to is not held                    |
//!
//! Stacks that come to be while marking are empty, and so black. A pointer in flight from one stack to another is on one
//! of them at any time here; where channels have buffers, those are objects.
//!
//! ## One cycle of Go, step by step
//!
//! *Before*, with everybody running: finish the last sweep; take the lock under which a cycle starts, and look once more
//! whether it is still wanted. *First stop*: every processor stands still; no span is left unswept; marks are forgotten;
//! the cycle's number goes up; the pacer says how much work there will be; the barrier goes on; the list of stacks is
//! noted, none is scanned; the blocks that tiny objects share are shaded. *Mark*, with everybody running: workers and
//! those who allocate scan roots and grey objects. *Second stop*, once [termination](crate::termination) is likely: buffers
//! of barriers are emptied, and if that shades anything, marking goes on; otherwise the barrier goes off, what was marked
//! becomes the next cycle's measure, and every span is due to be swept. *After*, with everybody running: caches give back
//! their spans, and spans are swept when somebody needs them, in the background, or at the latest before the next cycle.
//!
//! Neither stop does anything that grows with the heap, with the number of its objects, or with the size of stacks. The
//! [machine](crate::machine) has no stops at all, because between two operations everybody stands still; its steps are
//! those in between.
//!
//! A collector that is told to may also **abort**: it goes from mark straight back to off, forgets what it has marked, and
//! frees nothing. The colours that it leaves behind mean nothing; the next cycle begins from white.
//!
//! This chapter grounds laws 77, 80 and 93. Source: Go's `mgc.go`, its header and
//! `gcStart` and `gcMarkTermination`; `markroot` in `mgcmark.go`.

use crate::event::Phase;

/// Whether a cycle that is not aborted may go from one phase straight to another.
///
/// ```
/// use heaplaw_reference::{cycle::follows, event::Phase::*};
/// assert!(follows(Off, Mark) && follows(Terminate, Sweep));
/// assert!(!follows(Mark, Sweep), "termination cannot be skipped");
/// assert!(!follows(Sweep, Mark), "the sweep has to be finished first");
/// ```
pub fn follows(from: Phase, to: Phase) -> bool {
    to == match from {
        Phase::Off => Phase::Mark,
        Phase::Mark => Phase::Terminate,
        Phase::Terminate => Phase::Sweep,
        Phase::Sweep => Phase::Off,
    }
}

/// Whether stores go through the write barrier in this phase, and objects have colours.
pub fn barrier_on(phase: Phase) -> bool {
    matches!(phase, Phase::Mark | Phase::Terminate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{Mark, Off, Sweep, Terminate};

    #[test]
    fn the_phases_go_round_and_the_barrier_is_on_for_two_of_them() {
        let round = [Off, Mark, Terminate, Sweep];
        for (at, from) in round.into_iter().enumerate() {
            assert_eq!(round.map(|to| follows(from, to)), [0, 1, 2, 3].map(|to| to == (at + 1) % 4), "{from:?}");
        }
        assert_eq!(round.map(barrier_on), [false, true, true, false]);
    }
}
