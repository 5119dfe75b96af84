//! Threads that free what others have allocated, and never allocate.
//!
//! In a process of its own: where [`Global`] is the allocator of the program, every thread has allocated before it runs.

use heaplaw_optimized::Global;
use std::{
    alloc::{GlobalAlloc, Layout},
    thread,
};

static GLOBAL: Global = Global::new();

/// Addresses are handed on, as blocks are by a program that is not in Rust.
fn allocate(layout: Layout, count: usize) -> Vec<usize> {
    // SAFETY: the layout has bytes.
    (0..count).map(|_| unsafe { GLOBAL.alloc(layout) }.expose_provenance()).collect()
}

fn free(layout: Layout, blocks: Vec<usize>) {
    for block in blocks {
        // SAFETY: by `allocate`, of this layout; each is freed once.
        unsafe { GLOBAL.dealloc(std::ptr::with_exposed_provenance_mut(block), layout) };
    }
}

#[test]
fn what_a_thread_frees_that_never_allocated_is_used_again() {
    for size in [24, 3_000, 100_000] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let mut first = 0;
        for round in 0..40 {
            let blocks = allocate(layout, 3_000_000 / size);
            assert!(blocks.iter().all(|block| *block != 0));
            let used = Global::<false>::stats().in_use;
            first = if round == 0 { used } else { first };
            assert!(used <= 3 * first, "round {round} of {size} bytes: {used} bytes are in use, at first {first}");
            thread::spawn(move || free(layout, blocks)).join().unwrap();
        }
    }
    assert_eq!(Global::<false>::verify(), Ok(()));
}
