//! Phases: where the collector stands in a cycle.
//!
//! ```text
//!            off ────▶ arm ────▶ mark ────▶ terminate ────▶ sweep ────▶ off
//!   barrier  off       turns on  on         turns off       off
//!   born     white     white     turns to   turns to        white, in a span that is swept
//!                                black      white
//! ```
//!
//! What "turns" does so mutator by mutator, in a [handshake](super::handshake) with each: a mutator has its own view of
//! barrier, colour and cycle, and it changes only there. No phase begins before the handshake of the last one has reached
//! everybody.
//!
//! The phase and the number of the cycle are one word, so that whoever ends a phase ends the one that it looked at.

use crate::sync::{AtomicU64, Ordering};

/// The phase of a collection cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No cycle, and nothing left to sweep.
    #[default]
    Off,
    /// Mutators are being told to use the barrier. Nothing is looked at yet.
    Arm,
    /// Objects are being marked.
    Mark,
    /// Marking has ended, and mutators are being told.
    Terminate,
    /// What is not marked is being freed.
    Sweep,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::Off, Phase::Arm, Phase::Mark, Phase::Terminate, Phase::Sweep];

    /// Whether what mutators record is shaded.
    pub(crate) fn is_marking(self) -> bool {
        matches!(self, Phase::Arm | Phase::Mark)
    }
}

/// The phase that a heap is in, and the number of the cycle: how many have ended marking.
#[derive(Debug)]
pub(crate) struct Stage(AtomicU64);

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage(AtomicU64::new(0))
    }

    /// The cycle and the phase.
    pub(crate) fn now(&self) -> (u64, Phase) {
        // Acquire: pairs with the releases below.
        let word = self.0.load(Ordering::Acquire);
        (word >> 3, Phase::ALL[(word & 7) as usize % Phase::ALL.len()])
    }

    pub(crate) fn phase(&self) -> Phase {
        self.now().1
    }

    fn word(cycle: u64, phase: Phase) -> u64 {
        cycle << 3 | phase as u64
    }

    /// Enters a phase. Only for the collector.
    pub(crate) fn enter(&self, cycle: u64, phase: Phase) {
        // Release: pairs with the acquire in `now`.
        self.0.store(Stage::word(cycle, phase), Ordering::Release);
    }

    /// Ends the sweep of a cycle. One of those who try does.
    pub(crate) fn end_sweep(&self, cycle: u64) -> bool {
        let (old, new) = (Stage::word(cycle, Phase::Sweep), Stage::word(cycle, Phase::Off));
        // Acquire and release: what was swept is seen by who finds the phase over.
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
