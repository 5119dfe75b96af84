//! Statistics: counted, not estimated.
//!
//! Slots are counted as allocated when a mutator gets them into a window, a word at a time; what windows still hold is
//! subtracted when somebody asks.

use crate::{events::Listener, geometry::PAGE, state::State, sync::lock};
use std::{fmt, time::Duration};

/// How much of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects allocated and not yet freed. [Tiny objects](crate::Config::tiny) that share a block count as one.
    pub objects: usize,
    /// Their usable bytes: size classes and whole pages, not what was asked for.
    pub bytes: usize,
    /// Bytes of the pages that hold them.
    pub in_use: usize,
    /// Bytes of memory taken from the OS.
    pub mapped: usize,
    /// Of these, bytes that have no memory behind them: free, and never touched or given back to the OS.
    pub released: usize,
}

/// What is known of a cycle when it is over. Shown as a line, it has the fields of Go's `gctrace` in their order, as far as
/// there are such here: nothing is ever stopped, so the first and the last time are those of rounds in which each mutator
/// is told something.
///
/// ```
/// use heaplaw_optimized::{Config, Heap};
/// let heap = Heap::new(Config::default())?;
/// heap.collect();
/// let line = heap.last_cycle().expect("there was one").to_string();
/// // gc 1 @0.000s: 0.003+0.011+0.002 ms clock, 0->0->0 MB, 4 MB goal, 0 workers
/// assert!(line.starts_with("gc 1 @") && line.ends_with(" MB goal, 0 workers"));
/// # Ok::<(), heaplaw_optimized::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// Which one it is, counted from 1.
    pub number: u64,
    /// When it began, after the heap was made.
    pub began: Duration,
    /// How long it took until every mutator had heard that marking begins.
    pub arming: Duration,
    /// How long objects were marked.
    pub marking: Duration,
    /// How long it took until every mutator had heard that marking was over.
    pub releasing: Duration,
    /// The bytes that were allocated when it began.
    pub before: usize,
    /// The bytes that were allocated when marking was over.
    pub after: usize,
    /// The bytes of them that were found alive.
    pub alive: usize,
    /// The bytes that may be alive and allocated when the next cycle begins, in a heap with workers.
    pub goal: usize,
    /// How many workers there are.
    pub workers: usize,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [arming, marking, releasing] =
            [self.arming, self.marking, self.releasing].map(|time| time.as_secs_f64() * 1e3);
        let [before, after, alive, goal] = [self.before, self.after, self.alive, self.goal].map(|bytes| bytes >> 20);
        let (number, began) = (self.number, self.began.as_secs_f64());
        write!(f, "gc {number} @{began:.3}s: {arming:.3}+{marking:.3}+{releasing:.3} ms clock, ")?;
        write!(f, "{before}->{after}->{alive} MB, {goal} MB goal, {} workers", self.workers)
    }
}

impl<L: Listener> State<L> {
    pub(crate) fn stats(&self) -> Stats {
        let (mut objects, mut bytes) = self.space.allocated();
        for local in self.mutators() {
            for window in local.windows() {
                if let Some(first) = window.span() {
                    let left = window.left().1.count_ones() as usize;
                    objects = objects.saturating_sub(left);
                    bytes = bytes.saturating_sub(left * self.space.span(first).size());
                }
            }
        }
        let pages = self.space.pages();
        let (in_use, mapped, released) = (pages.in_use() * PAGE, pages.mapped() * PAGE, pages.released() * PAGE);
        Stats { objects, bytes, in_use, mapped, released }
    }

    /// Takes note of what a cycle came to, when all is swept. Of those who find that out the first does.
    pub(crate) fn note_swept(&self, cycle: u64) {
        let mut last = lock(&self.last);
        if last.cycle.number != cycle || last.over.is_some_and(|over| over.number == cycle) {
            return;
        }
        // What was allocated since marking ended is no part of what was found alive.
        let since = self.space.claimed().saturating_sub(last.claimed);
        last.cycle.alive = self.space.allocated().1.saturating_sub(since);
        last.cycle.goal = self.work.settle(self.space.claimed(), last.cycle.alive);
        last.over = Some(last.cycle);
    }
}

/// What is known of the cycle that runs, and of the last that is over.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) cycle: Cycle,
    pub(crate) over: Option<Cycle>,
    /// What was [claimed](crate::space::Space::claimed) when the last cycle ended marking.
    pub(crate) claimed: usize,
}
