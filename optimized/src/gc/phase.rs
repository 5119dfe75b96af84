//! Phases: where the collector stands in a cycle.
//!
//! ```text
//!            off ──────▶ mark ──────▶ terminate ──────▶ sweep ──────▶ off
//!   barrier  off         on           on                off
//!   born     white       black        black             white, in a span that is swept
//! ```

/// The phase of a collection cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No cycle, and nothing left to sweep.
    #[default]
    Off,
    /// Objects are being marked.
    Mark,
    /// Marking has ended, and mutators are being told.
    Terminate,
    /// What is not marked is being freed.
    Sweep,
}

impl Phase {
    /// Whether objects have colours and stores go through the barrier.
    pub(crate) fn is_marking(self) -> bool {
        matches!(self, Phase::Mark | Phase::Terminate)
    }
}
