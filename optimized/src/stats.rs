//! Statistics: counted, not estimated.
//!
//! Slots are counted as allocated when a mutator gets them into a window, a word at a time; what windows still hold is
//! subtracted when somebody asks.

use crate::{geometry::PAGE, state::State};

/// How much of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects allocated and not yet freed.
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

impl<L: crate::Listener> State<L> {
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
}
