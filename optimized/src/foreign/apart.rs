//! Memory apart from the C allocator: for a process that is to judge that allocator, or to serve it to who judges. Above
//! [`global`](crate::global).
//!
//! The command has to choose when it starts, not when it is built. A process that judges the heaps of this crate stands on
//! the system's memory: a bug in them must not reach who looks for it. A process over whose `malloc` the judgement is
//! stands on this crate's, which calls the kernel and nobody else.
//!
//! Invariant: the choice is made by the first call and stays, so that a block goes back to where it came from.

use crate::Global;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    ffi::CStr,
    sync::atomic::{AtomicU8, Ordering},
};

/// The environment variable that makes [`Apart`] leave the C allocator alone. The kit sets it for a process that is to
/// serve a library's `malloc`, to the library.
pub const APART: &CStr = c"HEAPLAW_ALLOCATOR";

/// A global allocator that is the system's, unless the variable [`APART`] is set when the process starts: then it is
/// [`Global`], and the C allocator serves only who calls it by name.
#[derive(Debug, Default)]
pub struct Apart {
    /// [`UNKNOWN`], [`SYSTEM`] or [`OWN`].
    mode: AtomicU8,
}

/// Nobody has asked yet.
const UNKNOWN: u8 = 0;
const SYSTEM: u8 = 1;
const OWN: u8 = 2;
static GLOBAL: Global = Global::new();

impl Apart {
    /// An allocator that has not chosen yet.
    pub const fn new() -> Self {
        Apart { mode: AtomicU8::new(UNKNOWN) }
    }

    #[inline]
    fn is_system(&self) -> bool {
        // Relaxed, here and below: whoever decides, decides the same.
        match self.mode.load(Ordering::Relaxed) {
            UNKNOWN => self.decide(),
            mode => mode == SYSTEM,
        }
    }

    #[cold]
    fn decide(&self) -> bool {
        // SAFETY: the name ends with a zero byte; nobody changes the environment before the first allocation.
        let system = unsafe { libc::getenv(APART.as_ptr()).is_null() };
        self.mode.store(if system { SYSTEM } else { OWN }, Ordering::Relaxed);
        system
    }
}

// SAFETY: it is one of two allocators, by the invariant always the same, and the caller's promises are theirs.
unsafe impl GlobalAlloc for Apart {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above, here and below.
        unsafe { if self.is_system() { System.alloc(layout) } else { GLOBAL.alloc(layout) } }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { if self.is_system() { System.alloc_zeroed(layout) } else { GLOBAL.alloc_zeroed(layout) } }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { if self.is_system() { System.dealloc(block, layout) } else { GLOBAL.dealloc(block, layout) } }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if self.is_system() { System.realloc(block, layout, size) } else { GLOBAL.realloc(block, layout, size) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_apart_is_not_the_c_allocators() {
        let layout = Layout::new::<[u64; 5]>();
        let is_ours = |block: *mut u8| crate::malloc::span_of(std::ptr::NonNull::new(block).unwrap()).is_some();
        for (mode, ours) in [(SYSTEM, false), (OWN, true)] {
            let apart = Apart { mode: AtomicU8::new(mode) };
            // SAFETY: each block is used within its size and freed once, with its layout.
            unsafe {
                let (block, zeroed) = (apart.alloc(layout), apart.alloc_zeroed(layout));
                assert!(block != zeroed && is_ours(block) == ours && is_ours(zeroed) == ours);
                assert!(std::slice::from_raw_parts(zeroed, 40).iter().all(|byte| *byte == 0));
                block.write_bytes(9, 40);
                let grown = apart.realloc(block, layout, 1000);
                assert!(is_ours(grown) == ours && std::slice::from_raw_parts(grown, 40).iter().all(|byte| *byte == 9));
                apart.dealloc(grown, Layout::new::<[u64; 125]>());
                apart.dealloc(zeroed, layout);
            }
        }
        assert!(Apart::new().is_system(), "nothing is judged here");
    }
}
