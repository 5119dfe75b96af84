//! Workloads: what programs do with an allocator, in small, for any allocator. Above [`trace`](crate::trace).
//!
//! | name     | what is done                                                                                           |
//! |----------|--------------------------------------------------------------------------------------------------------|
//! | lifo     | 1,000 blocks of 64 bytes are allocated, and freed in the opposite order                                  |
//! | fifo     | a queue of 1,000 blocks of 64 bytes: the oldest is freed when the next is allocated                     |
//! | deep     | the same with 100,000 blocks                                                                            |
//! | larson   | two threads replace random blocks of 16 to 512 bytes among 2,000 each; what they leave, the next two go on with |
//! | handover | one thread allocates blocks of 64 bytes, another frees them, 500 at a time                              |
//! | doubling | vectors double from 16 bytes to a megabyte                                                              |
//! | steps    | vectors grow by 64 bytes to 16 KiB, and by 4 KiB to a megabyte                                           |
//! | classes  | of every class of up to 32 KiB 1,000 blocks, or a megabyte of them, are allocated and freed in random order |
//! | pages    | pairs of blocks of 40 KiB to 1 MiB                                                                      |
//! | trace    | what the kit asked of its allocator while it judged a heap, see [`trace::recorded`]                      |
//!
//! The first word of every block is written, as a program would. What a workload needs for itself is allocated by the
//! system, before it starts.
//!
//! Invariants: a workload frees what it allocates, and does the same whenever it is done again.

use crate::trace::{self, Event};
use std::{
    alloc::{GlobalAlloc, Layout},
    sync::mpsc,
    thread,
};

/// The names of all workloads.
pub const NAMES: [&str; 10] =
    ["lifo", "fifo", "deep", "larson", "handover", "doubling", "steps", "classes", "pages", "trace"];

/// A workload that is ready to be done.
pub enum Workload {
    /// Blocks of 64 bytes, last in, first out.
    Lifo,
    /// A queue of so many.
    Queue(usize),
    /// Random sizes and ages, two threads.
    Larson,
    /// One allocates, another frees.
    Handover,
    /// Vectors grow in these ways.
    Growth(&'static [Growth]),
    /// The sizes of the blocks, and the order in which they are freed.
    Classes(Vec<usize>, Vec<usize>),
    /// Large blocks.
    Pages,
    /// What a program did.
    Trace(Vec<Event>),
}

/// How vectors grow.
pub struct Growth {
    first: usize,
    last: usize,
    next: fn(usize) -> usize,
}

impl Growth {
    const DOUBLING: Growth = Growth { first: 16, last: 1 << 20, next: |size| size * 2 };
    const BY_WORDS: Growth = Growth { first: 64, last: 16 << 10, next: |size| size + 64 };
    const BY_PAGES: Growth = Growth { first: 4 << 10, last: 1 << 20, next: |size| size + 4096 };
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a size")
}

/// A call as the compiler makes it: not inlined into the program.
#[inline(never)]
fn get<A: GlobalAlloc>(allocator: &A, size: usize) -> usize {
    // SAFETY: no size here is less than a word; the block is written within its size.
    unsafe {
        let block = allocator.alloc(Layout::from_size_align_unchecked(size, 8));
        assert!(!block.is_null());
        block.cast::<usize>().write(size);
        block.expose_provenance()
    }
}

#[inline(never)]
fn put<A: GlobalAlloc>(allocator: &A, block: usize, size: usize) {
    // SAFETY: `get` or `resize` gave the block, for this size.
    unsafe {
        allocator.dealloc(std::ptr::with_exposed_provenance_mut(block), Layout::from_size_align_unchecked(size, 8));
    }
}

#[inline(never)]
fn resize<A: GlobalAlloc>(allocator: &A, block: usize, size: usize, new: usize) -> usize {
    // SAFETY: `get` or `resize` gave the block, for this size; neither size is less than a word; the block is written
    // within its size.
    unsafe {
        let block = allocator.realloc(std::ptr::with_exposed_provenance_mut(block), layout(size), new);
        assert!(!block.is_null());
        block.add((new - 8) & !7).cast::<usize>().write(new);
        block.expose_provenance()
    }
}

impl Workload {
    /// The workload of this name.
    pub fn named(name: &str) -> Option<Workload> {
        Some(match name {
            "lifo" => Workload::Lifo,
            "fifo" => Workload::Queue(1000),
            "deep" => Workload::Queue(100_000),
            "larson" => Workload::Larson,
            "handover" => Workload::Handover,
            "doubling" => Workload::Growth(&[Growth::DOUBLING]),
            "steps" => Workload::Growth(&[Growth::BY_WORDS, Growth::BY_PAGES]),
            "classes" => Workload::classes(),
            "pages" => Workload::Pages,
            "trace" => Workload::Trace(trace::recorded()),
            _ => return None,
        })
    }

    fn classes() -> Workload {
        let mut sizes = Vec::new();
        let mut size = 8;
        while size <= 32 << 10 {
            let usable = heaplaw_optimized::Global::<false>::usable_size(layout(size)).expect("a size");
            sizes.extend(std::iter::repeat_n(usable, 1000.min((1 << 20) / usable)));
            size = usable + 1;
        }
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        let mut random = Random(1);
        for last in (1..order.len()).rev() {
            order.swap(last, random.next() % (last + 1));
        }
        Workload::Classes(sizes, order)
    }

    /// Does it, `times` times; gives how many pairs of allocation and release, or changes of a size, that were.
    pub fn run<A: GlobalAlloc + Sync>(&self, a: &A, times: usize) -> usize {
        match self {
            Workload::Lifo => lifo(a, times),
            Workload::Queue(depth) => queue(a, *depth, times),
            Workload::Larson => larson(a, times),
            Workload::Handover => handover(a, times),
            Workload::Growth(kinds) => (0..times).map(|_| growth(a, kinds)).sum(),
            Workload::Classes(sizes, order) => classes(a, sizes, order, times),
            Workload::Pages => pages(a, times),
            Workload::Trace(events) => trace::replay(a, events, times),
        }
    }
}

fn lifo<A: GlobalAlloc>(a: &A, times: usize) -> usize {
    let mut blocks = Vec::with_capacity(1000);
    for _ in 0..500 * times {
        for _ in 0..1000 {
            blocks.push(get(a, 64));
        }
        while let Some(block) = blocks.pop() {
            put(a, block, 64);
        }
    }
    500_000 * times
}

fn queue<A: GlobalAlloc>(a: &A, depth: usize, times: usize) -> usize {
    let mut blocks: Vec<_> = (0..depth).map(|_| get(a, 64)).collect();
    let mut at = 0;
    for _ in 0..1_000_000 * times {
        put(a, blocks[at], 64);
        blocks[at] = get(a, 64);
        at = if at + 1 == depth { 0 } else { at + 1 };
    }
    blocks.into_iter().for_each(|block| put(a, block, 64));
    1_000_000 * times + depth
}

fn larson<A: GlobalAlloc + Sync>(a: &A, times: usize) -> usize {
    let mut sets: Vec<Vec<(usize, usize)>> = (0..2).map(|_| (0..2000).map(|_| (get(a, 64), 64)).collect()).collect();
    for pass in 0..5 * times as u64 {
        // Each thread goes on with what the other one left.
        sets.reverse();
        thread::scope(|scope| {
            for (number, set) in sets.iter_mut().enumerate() {
                scope.spawn(move || {
                    let mut random = Random(pass * 2 + number as u64 + 1);
                    for _ in 0..50_000 {
                        let (at, size) = (random.next() % 2000, 16 + random.next() % 497);
                        put(a, set[at].0, set[at].1);
                        set[at] = (get(a, size), size);
                    }
                });
            }
        });
    }
    sets.into_iter().flatten().for_each(|(block, size)| put(a, block, size));
    500_000 * times + 4000
}

fn handover<A: GlobalAlloc + Sync>(a: &A, times: usize) -> usize {
    const BATCH: usize = 500;
    let batches = 1000 * times;
    // Lists go round: full ones there, empty ones back. Whoever has none waits without using the processor.
    let (full, to_free) = mpsc::sync_channel::<Vec<usize>>(4);
    let (empty, to_fill) = mpsc::sync_channel::<Vec<usize>>(4);
    for _ in 0..4 {
        empty.send(Vec::with_capacity(BATCH)).expect("there is room");
    }
    thread::scope(|scope| {
        scope.spawn(move || {
            for mut list in to_fill.into_iter().take(batches) {
                list.extend((0..BATCH).map(|_| get(a, 64)));
                full.send(list).expect("the other thread takes it");
            }
        });
        for mut list in to_free {
            list.drain(..).for_each(|block| put(a, block, 64));
            // At the end nobody fills it any more.
            _ = empty.send(list);
        }
    });
    batches * BATCH
}

fn growth<A: GlobalAlloc>(a: &A, kinds: &[Growth]) -> usize {
    let mut changes = 0;
    for Growth { first, last, next } in kinds {
        // Eight vectors grow in turn, so that none has the end of the memory to itself.
        for _ in 0..4 {
            let (mut blocks, mut size) = ([0; 8].map(|_| get(a, *first)), *first);
            while size < *last {
                let new = next(size);
                for block in &mut blocks {
                    *block = resize(a, *block, size, new);
                }
                (size, changes) = (new, changes + 8);
            }
            blocks.into_iter().for_each(|block| put(a, block, size));
        }
    }
    changes
}

fn classes<A: GlobalAlloc>(a: &A, sizes: &[usize], order: &[usize], times: usize) -> usize {
    let mut blocks = Vec::with_capacity(sizes.len());
    for _ in 0..times {
        blocks.extend(sizes.iter().map(|size| get(a, *size)));
        for at in order {
            put(a, blocks[*at], sizes[*at]);
        }
        blocks.clear();
    }
    sizes.len() * times
}

fn pages<A: GlobalAlloc>(a: &A, times: usize) -> usize {
    let mut random = Random(1);
    for _ in 0..20_000 * times {
        let size = (40 << 10) + random.next() % (1 << 20);
        let (one, two) = (get(a, size), get(a, size / 2 + 40_000));
        put(a, one, size);
        put(a, two, size / 2 + 40_000);
    }
    40_000 * times
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Counting;

    #[test]
    fn every_workload_frees_what_it_allocates_and_does_the_same_again() {
        for name in NAMES {
            let workload = Workload::named(name).expect("it is named");
            let [first, second] = [(); 2].map(|()| {
                let counting = Counting::default();
                let pairs = workload.run(&counting, 1);
                assert_eq!(counting.live(), 0, "{name} leaves something behind");
                assert!(counting.peak() > 0 && counting.calls() >= pairs && counting.calls() <= 3 * pairs, "{name}");
                (pairs, counting.calls())
            });
            assert_eq!(first, second, "{name}");
        }
        assert!(Workload::named("nothing").is_none());
    }
}
