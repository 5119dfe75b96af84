//! The malloc face: a [`Global`] allocator for programs that free by hand, on the same spans as the collected heap.
//!
//! ```
//! use heaplaw_optimized::Global;
//! #[global_allocator]
//! static A: Global = Global::new();
//! # fn main() { assert_eq!(vec![1, 2, 3].len(), 3); }
//! ```
//!
//! A heap is a value; a process has one global allocator, so this face has a static heap behind it: see
//! [`malloc`](crate::malloc).
//!
//! There are no tiny objects here: several of them in one block would be freed with the first, since who frees by hand names
//! one of them, and nobody knows of the others.
//!
//! Invariant: a hardened block has a wrapping and another has not, so each is freed by the face that it came from.

use crate::{
    class::{class, class_for},
    geometry::PAGE,
    harden,
    malloc::{allocate, clear, deallocate, flush, heap, move_to, resize},
    parked::rounded,
};
use std::{
    alloc::{GlobalAlloc, Layout},
    ptr::{self, NonNull},
};

/// A global allocator. All of them, in all threads, share one heap.
///
/// With `HARDENED`, misuse ends the process, and what was misused is written to standard error: double and foreign frees,
/// frees with another size or alignment, writes before, after and into freed blocks. Blocks cost at least 24 bytes more.
/// Without, the checks are not compiled at all. A block is freed by the kind of allocator that it came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Global<const HARDENED: bool = false>(());

impl<const HARDENED: bool> Global<HARDENED> {
    /// The global allocator.
    pub const fn new() -> Self {
        Global(())
    }

    /// The bytes that a block of this layout really has. The block may be used up to there.
    ///
    /// `None` if no block can have this layout.
    pub fn usable_size(layout: Layout) -> Option<usize> {
        if HARDENED {
            return Some(layout.size());
        }
        match class_for(layout.size(), layout.align()) {
            Some(number) => Some(class(number).size),
            None => rounded(layout.size().div_ceil(PAGE).max(1)).checked_mul(PAGE),
        }
    }

    /// Gives all memory that is free back to the kernel, but for what threads have in their caches; of those, the calling
    /// thread's are emptied. Gives how many bytes that were.
    pub fn trim() -> usize {
        let Some(heap) = heap() else { return 0 };
        flush(heap);
        heap.depot.trim(&heap.memory);
        heap.memory.scavenge() * PAGE
    }

    /// What there is now. What threads have in their caches counts as in use.
    pub fn stats() -> GlobalStats {
        let Some(heap) = heap() else { return GlobalStats::default() };
        let pages = heap.memory.pages();
        GlobalStats {
            in_use: pages.in_use() * PAGE,
            mapped: pages.mapped() * PAGE,
            released: pages.released() * PAGE,
            reserved: heap.memory.arenas().pages() * PAGE,
        }
    }

    /// Checks everything that the allocator believes about itself. Only while no other thread allocates or frees.
    ///
    /// # Errors
    /// The first belief that does not hold: a bug in this crate, or memory that was overwritten.
    pub fn verify() -> Result<(), crate::Corruption> {
        heap().map_or(Ok(()), |heap| {
            heap.memory.verify()?;
            heap.memory.verify_sets()?;
            heap.depot.verify(&heap.memory)
        })
    }
}

/// How much memory a [`Global`] allocator has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalStats {
    /// In pages that hold objects, or are in a thread's cache.
    pub in_use: usize,
    /// Taken from the OS.
    pub mapped: usize,
    /// Of these, without memory behind them: free, and never touched or given back to the OS.
    pub released: usize,
    /// Addresses that were reserved.
    pub reserved: usize,
}

// SAFETY: blocks are slots of spans, or whole spans: by the invariants of those they are apart from one another, as large
// and as aligned as their class, which `class_for` chooses to be enough; they stay allocated until they are freed.
unsafe impl<const HARDENED: bool> GlobalAlloc for Global<HARDENED> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if HARDENED { harden::allocate(layout, false) } else { allocate(layout).0 }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if HARDENED {
            return harden::allocate(layout, true);
        }
        let (block, zero) = allocate(layout);
        if let Some(block) = NonNull::new(block)
            && !zero
        {
            clear(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if HARDENED {
            return harden::deallocate(block, layout);
        }
        // SAFETY: the caller's promise: it is a block.
        deallocate(unsafe { NonNull::new_unchecked(block) }, layout);
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if HARDENED {
            harden::inspect(block, layout);
        }
        // SAFETY: the caller's promise: the size does not overflow when it is rounded up.
        let to = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's promise: it is a block.
        if !HARDENED && resize(unsafe { NonNull::new_unchecked(block) }, layout, to) {
            return block;
        }
        let new = if HARDENED { harden::allocate(to, false) } else { move_to(to, layout.size()) };
        if !new.is_null() {
            // SAFETY: both are blocks of at least so many bytes, the new one apart from the old one, which is not used
            // any more.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}
