//! Statistics: counted, not estimated.

/// How much of what there is. Exact at the moment of asking.
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
