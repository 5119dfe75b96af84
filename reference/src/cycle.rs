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
//! A collector that is told to may also **abort**: it goes from mark straight back to off, forgets what it has marked, and
//! frees nothing. The colours that it leaves behind mean nothing; the next cycle begins from white.
//!
//! This chapter grounds laws 77, 80 and 93. Source: the header of Go's `mgc.go`.

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
