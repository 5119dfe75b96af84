//! Figures of the heap by itself, in nanoseconds: `cargo run --release -p heaplaw-optimized --example figures [WORKERS]`.
//!
//! Without workers a cycle is run every so many bytes, in the same thread, and its time is shown beside; with workers they
//! run it, and it is not in the figures. Time is that of the thread on a processor.

use heaplaw_optimized::{Config, Heap, Raw};
use std::{env, fs, hint::black_box, time::Duration};

/// The time that this thread has been on a processor, so that it makes no difference what else the machine does.
fn now() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("this is for Linux");
    let first = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(first.expect("a number"))
}

struct Bench {
    heap: Heap,
    workers: usize,
    /// What was allocated since the last cycle, and the time that cycles took.
    since: usize,
    collected: Duration,
    cycles: u32,
}

impl Bench {
    fn new(workers: usize) -> Bench {
        let heap = Heap::new(Config { workers, ..Config::DEFAULT }).expect("address space");
        Bench { heap, workers, since: 0, collected: Duration::ZERO, cycles: 0 }
    }

    /// After so many bytes were allocated: collects if it is time, and nobody else does.
    fn allocated(&mut self, raw: &mut Raw<'_>, bytes: usize) {
        self.since += bytes;
        if self.workers == 0 && self.since > 64 << 20 {
            let start = now();
            raw.park(|| self.heap.collect());
            self.collected += now() - start;
            (self.since, self.cycles) = (0, self.cycles + 1);
        }
    }

    fn report(&self, name: &str, count: usize, took: Duration) {
        let each = |time: Duration| time.as_nanos() as f64 / count as f64;
        let mutator = each(took - self.collected);
        let pause = self.collected.checked_div(self.cycles).unwrap_or_default();
        println!(
            "{name:<34} {mutator:8.2} ns each, and {:6.2} ns of {} cycles, {pause:.1?} each",
            each(self.collected),
            self.cycles
        );
    }
}

fn tree(raw: &mut Raw<'_>, depth: u32) -> usize {
    if depth == 0 {
        return raw.alloc(2, 0).expect("room");
    }
    let left = tree(raw, depth - 1);
    let slot = raw.push(left);
    let right = tree(raw, depth - 1);
    raw.push(right);
    let node = raw.alloc(2, 0).expect("room");
    raw.store(node, 0, raw.get(slot));
    raw.store(node, 1, raw.get(slot + 1));
    raw.pop_to(slot);
    node
}

fn check(raw: &Raw<'_>, node: usize) -> usize {
    match raw.load(node, 0) {
        0 => 1,
        left => 1 + check(raw, left) + check(raw, raw.load(node, 1)),
    }
}

/// The well-known one: a long-lived tree, and many short-lived ones of all depths.
fn binary_trees(workers: usize, depth: u32) {
    let mut bench = Bench::new(workers);
    let start = now();
    let mut nodes = 0;
    bench.heap.join().raw(|raw| {
        let long_lived = tree(raw, depth);
        let root = raw.push(long_lived);
        nodes += (2 << depth) - 1;
        for level in (4..=depth).step_by(4) {
            for _ in 0..1 << (depth - level + 4) {
                let short_lived = tree(raw, level);
                assert_eq!(check(raw, short_lived), (2 << level) - 1);
                nodes += (2 << level) - 1;
                bench.allocated(raw, ((2 << level) - 1) * 16);
            }
        }
        assert_eq!(check(raw, raw.get(root)), (2 << depth) - 1);
    });
    bench.report(&format!("binary trees, depth {depth}, a node"), nodes, now() - start);
}

/// Objects of 64 bytes that are dropped at once, beside 64 MiB that live.
fn allocate_and_drop(workers: usize) {
    const LIVE: usize = (64 << 20) / 64;
    let mut bench = Bench::new(workers);
    bench.heap.join().raw(|raw| {
        let list = raw.push(0);
        for _ in 0..LIVE {
            let node = raw.alloc(1, 56).expect("room");
            raw.store(node, 0, raw.get(list));
            raw.set(list, node);
        }
        let count = 20_000_000;
        let start = now();
        for _ in 0..count / 1000 {
            for _ in 0..1000 {
                black_box(raw.alloc(1, 56).expect("room"));
            }
            bench.allocated(raw, 64_000);
        }
        bench.report("allocate and drop, 64 bytes", count, now() - start);
    });
}

/// A wide heap to mark: 64 MiB of objects of two fields that point anywhere.
fn mark(workers: usize) {
    const COUNT: usize = (64 << 20) / 32;
    let bench = Bench::new(workers);
    bench.heap.join().raw(|raw| {
        let array = raw.alloc(COUNT, 0).expect("room");
        raw.push(array);
        for index in 0..COUNT {
            let node = raw.alloc(2, 16).expect("room");
            raw.store(raw.get(0), index, node);
        }
        let mut random = 1_usize;
        for index in 0..COUNT {
            let node = raw.load(raw.get(0), index);
            for field in 0..2 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                raw.store(node, field, raw.load(raw.get(0), (random >> 33) % COUNT));
            }
        }
        raw.park(|| bench.heap.collect());
        let start = now();
        raw.park(|| bench.heap.collect());
        bench.report("a cycle over 2 Mi objects, an object", COUNT, now() - start);
    });
}

/// Stores of pointers while nothing is marked, and while something is.
fn stores(workers: usize) {
    let bench = Bench::new(workers);
    bench.heap.join().raw(|raw| {
        let (a, b) = (raw.alloc(4, 0).expect("room"), raw.alloc(4, 0).expect("room"));
        raw.push(a);
        raw.push(b);
        let count = 50_000_000;
        let time = |raw: &Raw<'_>, name: &str| {
            let start = now();
            for number in 0..count {
                raw.store(black_box(a), number & 3, black_box(b));
            }
            bench.report(name, count, now() - start);
        };
        time(raw, "store of a pointer, barrier off");
        raw.park(|| bench.heap.start());
        time(raw, "store of a pointer, barrier on");
    });
}

fn main() {
    let workers = env::args().nth(1).map_or(0, |workers| workers.parse().expect("a number of workers"));
    println!("{workers} workers");
    for depth in [16, 18] {
        binary_trees(workers, depth);
    }
    allocate_and_drop(workers);
    mark(workers);
    stores(workers);
}
