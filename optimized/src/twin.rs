//! Mistakes on purpose: a check that lets one of them pass proves nothing. At the bottom: depends on nothing.
//!
//! Where the heap is run by shuttle, one of them can be switched on; each stands at the one line that it spoils. Everywhere
//! else [`wrong`] is `false` when the program is compiled, and nothing is left of it.

/// One mistake, named after what it leaves out or spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// The barrier does not record what is overwritten: half of it.
    Deletion,
    /// The barrier does not record what is stored: the other half.
    Insertion,
    /// A stack is scanned as soon as its mutator uses the barrier, before all others do.
    Arming,
    /// Nobody is told to allocate black.
    Blacken,
    /// A mutator that joins while others are armed counts as scanned.
    Joining,
    /// A mutator leaves without shading what its barrier has recorded.
    Leaving,
    /// A value is sent to another mutator without being recorded.
    Sending,
    /// The collector acts for mutators that run.
    Borrowing,
    /// A mutator that joins a heap that is halted runs.
    Halting,
    /// A body that panics leaves its mutator running.
    Unwinding,
    /// Marking ends without a round of flushes.
    Flushing,
    /// Marking ends although the round has turned something up.
    Recheck,
    /// Markers do not say that they have something in hand.
    InHand,
    /// The sweep begins before mutators have forgotten the cycle.
    Release,
    /// Two may claim one span.
    Claiming,
    /// The sweep counts as over while somebody sweeps.
    Sweeping,
    /// Who waits for a cycle is woken before it is said to be done.
    Waking,
    /// Objects are counted with a load and a store.
    Counting,
    /// The pages of a cache still count as free.
    Grouping,
    /// Who has not heard that marking is over takes what is white for dead, be it born since.
    Newborn,
    /// Who has not heard that marking is over still shades what it attaches something to.
    Late,
}

/// Whether this mistake is made.
#[cfg(not(all(test, heaplaw_shuttle)))]
#[inline(always)]
pub(crate) const fn wrong(_: Twin) -> bool {
    false
}

#[cfg(all(test, heaplaw_shuttle))]
pub(crate) use switched::{ALL, with, wrong};

#[cfg(all(test, heaplaw_shuttle))]
mod switched {
    use super::Twin;
    use std::cell::Cell;

    /// All of them.
    pub(crate) const ALL: [Twin; 21] = [
        Twin::Deletion,
        Twin::Insertion,
        Twin::Arming,
        Twin::Blacken,
        Twin::Joining,
        Twin::Leaving,
        Twin::Sending,
        Twin::Borrowing,
        Twin::Halting,
        Twin::Unwinding,
        Twin::Flushing,
        Twin::Recheck,
        Twin::InHand,
        Twin::Release,
        Twin::Claiming,
        Twin::Sweeping,
        Twin::Waking,
        Twin::Counting,
        Twin::Grouping,
        Twin::Newborn,
        Twin::Late,
    ];

    thread_local! {
        // Shuttle runs all threads of a program on one.
        static WRONG: Cell<Option<Twin>> = const { Cell::new(None) };
    }

    /// Whether this mistake is made.
    pub(crate) fn wrong(twin: Twin) -> bool {
        WRONG.get() == Some(twin)
    }

    /// Makes a mistake, or none, from now on in what this thread runs.
    pub(crate) fn with(twin: Option<Twin>) {
        WRONG.set(twin);
    }
}
