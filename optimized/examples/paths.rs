//! Walks one path of the malloc face so many times, for `tests/instructions.rs` to count its instructions.
//!
//! `paths PATH COUNT`. What is counted are the functions whose names start with `counted_`: they are not inlined, and
//! do nothing but call the allocator, without what the standard library puts around such a call. Everything that they
//! do for the first time happens before, by functions of other names.
//!
//! Invariant: exactly `COUNT` calls are counted.

use heaplaw_optimized::Global;
use std::{
    alloc::{GlobalAlloc, Layout, alloc, dealloc},
    hint::black_box,
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: Global = Global::new();

#[inline(never)]
fn counted_allocate(layout: Layout) -> *mut u8 {
    // SAFETY: no size here is zero.
    unsafe { ALLOCATOR.alloc(layout) }
}

#[inline(never)]
fn counted_free(block: *mut u8, layout: Layout) {
    // SAFETY: allocated with this layout.
    unsafe { ALLOCATOR.dealloc(block, layout) }
}

#[inline(never)]
fn counted_resize(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: allocated with this layout; no size here is zero.
    unsafe { ALLOCATOR.realloc(block, layout, size) }
}

#[inline(never)]
fn counted_pair(layout: Layout) {
    // SAFETY: as above.
    unsafe { ALLOCATOR.dealloc(black_box(ALLOCATOR.alloc(layout)), layout) }
}

/// Calls that are not counted.
fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: as above.
    unsafe { alloc(black_box(layout)) }
}

fn free(block: *mut u8, layout: Layout) {
    // SAFETY: as above.
    unsafe { dealloc(black_box(block), layout) }
}

/// Blocks that are sure to be in one magazine: fewer than it has room for.
const FEW: usize = 50;

fn walk(path: &str, count: usize) -> Option<()> {
    let small = Layout::new::<[u64; 8]>();
    let large = Layout::new::<[u8; 100 << 10]>();
    let few = || -> Vec<_> { (0..FEW).map(|_| allocate(small)).collect() };
    // The magazine of the class, and an empty one beside it.
    let warm = || few().into_iter().for_each(|block| free(block, small));
    warm();
    match path {
        "allocate" => {
            for _ in 0..count / FEW {
                let blocks: [_; FEW] = std::array::from_fn(|_| counted_allocate(black_box(small)));
                blocks.into_iter().for_each(|block| free(block, small));
            }
        }
        "free" => {
            for _ in 0..count / FEW {
                few().into_iter().for_each(|block| counted_free(black_box(block), small));
            }
        }
        // All from new spans.
        "refill" => (0..count).for_each(|_| _ = black_box(counted_allocate(black_box(small)))),
        // Back to the spans.
        "spill" => {
            let blocks: Vec<_> = (0..count).map(|_| allocate(small)).collect();
            blocks.into_iter().for_each(|block| counted_free(black_box(block), small));
        }
        "resize" => {
            let block = allocate(small);
            (0..count).for_each(|number| _ = counted_resize(block, black_box(small), 60 + number % 4));
        }
        "resize-pages" => {
            let block = allocate(large);
            (0..count).for_each(|number| _ = counted_resize(block, black_box(large), large.size() - number % 1000));
        }
        "pages" => {
            free(allocate(large), large);
            (0..count).for_each(|_| counted_pair(black_box(large)));
        }
        _ => return None,
    }
    Some(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (path, count) = (arguments.next(), arguments.next().and_then(|count| count.parse().ok()));
    match path.zip(count).and_then(|(path, count)| walk(&path, count)) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::from(2),
    }
}
