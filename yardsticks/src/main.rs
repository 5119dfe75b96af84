//! The malloc face of the optimized heap beside what a user would pick instead, in one process.
//!
//! The allocators take turns, round by round, so that whatever else the machine does meets all of them; each figure is
//! the median of the rounds, in nanoseconds for a pair of allocation and release, and beside it the ratio of the optimized
//! heap to that allocator: below 1, it is faster. The first word of every block is written, as a program would.
//!
//! * *lifo*: 1,000 blocks of 64 bytes are allocated and freed in the opposite order.
//! * *fifo*: a queue of 1,000 blocks of 64 bytes; the oldest is freed when the next is allocated.
//! * *deep*: a queue of 100,000 blocks of 64 bytes.
//! * *larson*: two threads replace random blocks of 16 to 512 bytes among 2,000 each; what they leave, the next two go on
//!   with.
//! * *handover*: one thread allocates blocks of 64 bytes, another frees them.
//! * *pages*: blocks of 40 KiB to 1 MiB, allocated and freed in pairs.
//!
//! `cargo run --release`, or with the name of an allocator and of a workload to run that alone.

use heaplaw_optimized::Global;
use mimalloc::MiMalloc;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};
use tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 5;

/// A call as the compiler makes it: not inlined into the program.
#[inline(never)]
fn get<A: GlobalAlloc>(allocator: &A, size: usize) -> usize {
    // SAFETY: no size here is zero; the block is written within its size.
    unsafe {
        let block = allocator.alloc(Layout::from_size_align_unchecked(size, 8));
        assert!(!block.is_null());
        block.cast::<usize>().write(size);
        block.expose_provenance()
    }
}

#[inline(never)]
fn put<A: GlobalAlloc>(allocator: &A, block: usize, size: usize) {
    // SAFETY: `get` gave the block, for this size.
    unsafe {
        allocator.dealloc(std::ptr::with_exposed_provenance_mut(block), Layout::from_size_align_unchecked(size, 8))
    }
}

fn lifo<A: GlobalAlloc>(a: &A) -> usize {
    let mut blocks = Vec::with_capacity(1000);
    for _ in 0..2000 {
        for _ in 0..1000 {
            blocks.push(get(a, 64));
        }
        while let Some(block) = blocks.pop() {
            put(a, block, 64);
        }
    }
    2_000_000
}

fn queue<A: GlobalAlloc>(a: &A, depth: usize) -> usize {
    let mut blocks: Vec<_> = (0..depth).map(|_| get(a, 64)).collect();
    let mut at = 0;
    for _ in 0..3_000_000 {
        put(a, blocks[at], 64);
        blocks[at] = get(a, 64);
        at = if at + 1 == depth { 0 } else { at + 1 };
    }
    blocks.into_iter().for_each(|block| put(a, block, 64));
    3_000_000
}

fn larson<A: GlobalAlloc + Sync>(a: &A) -> usize {
    let mut sets: Vec<Vec<(usize, usize)>> = (0..2).map(|_| (0..2000).map(|_| (get(a, 64), 64)).collect()).collect();
    for pass in 0..10_u64 {
        // Each thread goes on with what the other one left.
        sets.reverse();
        thread::scope(|scope| {
            for (number, set) in sets.iter_mut().enumerate() {
                scope.spawn(move || {
                    let mut random = pass * 2 + number as u64 + 1;
                    for _ in 0..100_000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let (at, size) = ((random >> 33) as usize % 2000, 16 + (random >> 50) as usize % 497);
                        put(a, set[at].0, set[at].1);
                        set[at] = (get(a, size), size);
                    }
                });
            }
        });
    }
    sets.into_iter().flatten().for_each(|(block, size)| put(a, block, size));
    1_000_000
}

fn handover<A: GlobalAlloc + Sync>(a: &A) -> usize {
    const COUNT: usize = 1_000_000;
    const RING: usize = 1024;
    let ring: Vec<AtomicUsize> = (0..RING).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                let block = get(a, 64);
                while ring[number % RING].load(Ordering::Acquire) != 0 {
                    thread::yield_now();
                }
                ring[number % RING].store(block, Ordering::Release);
            }
        });
        for number in 0..COUNT {
            let block = loop {
                match ring[number % RING].load(Ordering::Acquire) {
                    0 => thread::yield_now(),
                    block => break block,
                }
            };
            ring[number % RING].store(0, Ordering::Release);
            put(a, block, 64);
        }
    });
    COUNT
}

fn pages<A: GlobalAlloc>(a: &A) -> usize {
    let mut random = 1_u64;
    for _ in 0..50_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = (40 << 10) + (random >> 44) as usize;
        let (one, two) = (get(a, size), get(a, size / 2 + 40_000));
        put(a, one, size);
        put(a, two, size / 2 + 40_000);
    }
    100_000
}

const WORKLOADS: [&str; 6] = ["lifo", "fifo", "deep", "larson", "handover", "pages"];

fn run<A: GlobalAlloc + Sync>(a: &A, workload: &str) -> f64 {
    let start = Instant::now();
    let pairs = match workload {
        "lifo" => lifo(a),
        "fifo" => queue(a, 1000),
        "deep" => queue(a, 100_000),
        "larson" => larson(a),
        "handover" => handover(a),
        "pages" => pages(a),
        other => panic!("there is no workload {other:?}, only {WORKLOADS:?}"),
    };
    start.elapsed().as_secs_f64() * 1e9 / pairs as f64
}

const ALLOCATORS: [&str; 4] = ["heaplaw", "system", "mimalloc", "jemalloc"];

fn run_named(allocator: &str, workload: &str) -> f64 {
    match allocator {
        "heaplaw" => run(&Global::<false>::new(), workload),
        "hardened" => run(&Global::<true>::new(), workload),
        "system" => run(&System, workload),
        "mimalloc" => run(&MiMalloc, workload),
        "jemalloc" => run(&Jemalloc, workload),
        other => panic!("there is no allocator {other:?}, only {ALLOCATORS:?} and hardened"),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [allocator, workload] = &arguments[..] {
        println!("{:.1} ns", run_named(allocator, workload));
        return;
    }
    print!("{:10}", "");
    for allocator in ALLOCATORS {
        print!("{allocator:>17}");
    }
    println!();
    for workload in WORKLOADS {
        let mut figures = [const { Vec::new() }; ALLOCATORS.len()];
        for _ in 0..ROUNDS {
            for (allocator, figures) in ALLOCATORS.iter().zip(&mut figures) {
                figures.push(run_named(allocator, workload));
            }
        }
        let medians = figures.map(median);
        print!("{workload:10}");
        for figure in medians {
            print!("{figure:>9.1} ({:.2})", medians[0] / figure);
        }
        println!();
    }
}
