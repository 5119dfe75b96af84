//! The workloads on the optimized heap, by address: each frame keeps what it holds in root slots, as a language runtime
//! does. One worker collects in the background.

use super::{BOARDS, HELD, QUEENS, Random, WAYS, asked, check_hits, gcbench_array, is_safe};
use heaplaw_optimized::{Config, Heap, Raw};
use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

/// A heap for a workload.
fn heap(workers: usize) -> Heap {
    Heap::new(Config { reservation: 8 << 30, workers, ..Config::DEFAULT }).expect("address space")
}

/// Runs a workload on a heap of its own.
fn with(workers: usize, run: impl FnOnce(&Heap, &mut Raw<'_>)) {
    let heap = heap(workers);
    heap.join().raw(|raw| run(&heap, raw));
}

fn alloc(raw: &mut Raw<'_>, pointers: usize, bytes: usize) -> usize {
    raw.alloc(pointers, bytes).expect("memory")
}

/// A tree whose nodes have two pointers and so many bytes of data, from the leaves up.
fn grow(raw: &mut Raw<'_>, depth: usize, bytes: usize) -> usize {
    if depth == 0 {
        return alloc(raw, 2, bytes);
    }
    let left = grow(raw, depth - 1, bytes);
    let slot = raw.push(left);
    let right = grow(raw, depth - 1, bytes);
    raw.push(right);
    let node = alloc(raw, 2, bytes);
    raw.store(node, 0, raw.get(slot));
    raw.store(node, 1, raw.get(slot + 1));
    raw.pop_to(slot);
    node
}

fn count(raw: &Raw<'_>, node: usize) -> usize {
    match raw.load(node, 0) {
        0 => 1,
        left => 1 + count(raw, left) + count(raw, raw.load(node, 1)),
    }
}

pub fn trees(depth: usize) {
    with(1, |_, raw| {
        let stretch = grow(raw, depth + 1, 0);
        assert_eq!(count(raw, stretch), (1 << (depth + 2)) - 1);
        let long = grow(raw, depth, 0);
        let long = raw.push(long);
        for level in (4..=depth).step_by(4) {
            for _ in 0..1 << (depth - level + 4) {
                let short = grow(raw, level, 0);
                black_box(count(raw, short));
            }
        }
        assert_eq!(count(raw, raw.get(long)), (1 << (depth + 1)) - 1);
    });
}

/// Grows a tree from the root down, under the node in this slot.
fn populate(raw: &mut Raw<'_>, depth: usize, slot: usize) {
    if depth == 0 {
        return;
    }
    for field in 0..2 {
        let node = alloc(raw, 2, 8);
        raw.store(raw.get(slot), field, node);
    }
    for field in 0..2 {
        let below = raw.push(raw.load(raw.get(slot), field));
        populate(raw, depth - 1, below);
        raw.pop_to(below);
    }
}

/// A tree grown from the root down; gives the slot that it is in.
fn populated(raw: &mut Raw<'_>, depth: usize) -> usize {
    let node = alloc(raw, 2, 8);
    let slot = raw.push(node);
    populate(raw, depth, slot);
    slot
}

pub fn gcbench() {
    let size = |depth: usize| (1 << (depth + 1)) - 1;
    with(1, |_, raw| {
        black_box(grow(raw, 18, 8));
        let long = populated(raw, 16);
        let array = gcbench_array();
        for depth in (4..=16).step_by(2) {
            let rounds = 2 * size(18) / size(depth);
            for _ in 0..rounds {
                let slot = populated(raw, depth);
                raw.pop_to(slot);
            }
            for _ in 0..rounds {
                black_box(grow(raw, depth, 8));
            }
        }
        assert!(raw.load(raw.get(long), 0) != 0 && array[1000] == 1.0 / 1001.0);
    });
}

pub fn drop() {
    with(1, |_, raw| {
        let live = alloc(raw, 1 << 20, 0);
        let live = raw.push(live);
        for index in 0..1 << 20 {
            let block = alloc(raw, 2, 48);
            raw.store(raw.get(live), index, block);
        }
        let recent = alloc(raw, 1000, 0);
        let recent = raw.push(recent);
        for index in 0..30_000_000 {
            let block = alloc(raw, 2, 48);
            raw.store(raw.get(recent), index % 1000, block);
        }
        assert!(raw.load(raw.get(live), 5) != 0 && raw.load(raw.get(recent), 7) != 0);
    });
}

pub fn mark() -> Duration {
    const BLOCKS: usize = 1 << 24;
    let mut took = Duration::ZERO;
    // Nothing is collected until it is asked for.
    with(0, |heap, raw| {
        let all: Vec<usize> = (0..BLOCKS).map(|_| alloc(raw, 2, 48)).collect();
        let mut random = Random(1);
        for block in &all {
            raw.store(*block, 0, all[random.below(BLOCKS)]);
            raw.store(*block, 1, all[random.below(BLOCKS)]);
        }
        for block in &all[..64] {
            raw.push(*block);
        }
        std::mem::drop(all);
        raw.park(|| heap.collect());
        let start = Instant::now();
        raw.park(|| heap.collect());
        took = start.elapsed();
        assert!(raw.load(raw.get(3), 0) != 0);
    });
    took
}

/// Stores pointers, so many of them, while nothing is collected or while objects are marked and the stack is scanned.
pub fn store(count: usize, marking: bool) {
    // The worker is never told to mark.
    let heap = heap(1);
    let mut mutator = heap.join();
    let id = mutator.id();
    mutator.raw(|raw| {
        let objects: Vec<usize> = (0..1024).map(|_| alloc(raw, 2, 48)).collect();
        if marking {
            raw.park(|| heap.start() && heap.handshake(id));
        }
        for index in 0..count {
            raw.store(objects[index & 1023], 0, objects[(index >> 1) & 1023]);
        }
        assert!(raw.load(objects[9], 0) != 0);
    });
}

/// In how many ways so many more can stand beside those in a slot's list.
fn place(raw: &mut Raw<'_>, left: usize, slot: usize) -> usize {
    if left == 0 {
        return 1;
    }
    let mut ways = 0;
    for column in 0..QUEENS {
        let one = |queen: usize| (queen != 0).then_some(queen);
        if is_safe(column, one(raw.get(slot)), |queen| (raw.word(queen, 1), one(raw.load(queen, 0)))) {
            let queen = alloc(raw, 1, 8);
            raw.store(queen, 0, raw.get(slot));
            raw.set_word(queen, 1, column);
            let below = raw.push(queen);
            ways += place(raw, left - 1, below);
            raw.pop_to(below);
        }
    }
    ways
}

pub fn queens() {
    with(1, |_, raw| {
        let none = raw.push(0);
        for _ in 0..BOARDS {
            assert_eq!(place(raw, QUEENS, none), WAYS);
        }
    });
}

pub fn cache() {
    with(1, |_, raw| {
        let held = alloc(raw, HELD, 0);
        let held = raw.push(held);
        let mut values = HashMap::new();
        let mut hits = 0;
        for (key, place) in asked() {
            let mut value = values.get(&key).map_or(0, |weak| raw.upgrade(weak).expect("one heap"));
            if value == 0 {
                value = alloc(raw, 2, 48);
                raw.set_word(value, 7, key);
                values.insert(key, raw.weak(value).expect("an object"));
            } else {
                hits += 1;
            }
            assert_eq!(raw.word(value, 7), key);
            raw.store(raw.get(held), place, value);
        }
        check_hits(hits);
    });
}
