//! Tests: the kernel refuses, once, for a while or for good, at every call that a program makes, and both faces go on: the
//! request is refused and nothing else happens, nothing is lost, everything still adds up, and as soon as the kernel
//! gives again the same request is granted.
//!
//! Programs are drawn from a seed. Each is run once for every call that it makes, with the refusals beginning there.

use crate::{
    Config, Error, Faults, Heap, Place,
    cache::{BinAt, Cache},
    class::{CLASSES, class},
    geometry::PAGE,
    malloc::Malloc,
};
use std::{collections::BTreeMap, ptr::NonNull};

/// How many calls in a row are refused.
const COUNTS: [usize; 5] = [1, 2, 3, 7, usize::MAX];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Asks until it is granted; gives the last refusal if it never is. Every refusal takes one of those that are left.
fn ask<T>(faults: Faults, mut request: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..faults.count.min(10) {
        match request() {
            Err(Error::Os { .. } | Error::OutOfMemory { .. }) => {}
            other => return other,
        }
    }
    request()
}

/// Runs every program with refusals from every call on, until there were `enough`. `run` gives how many there were.
fn refuse(enough: usize, mut run: impl FnMut(u64, Faults) -> usize) -> usize {
    let mut total = 0;
    for seed in 1.. {
        for count in COUNTS {
            for after in 0.. {
                let refused = run(seed, Faults { after, count });
                assert!(refused <= count);
                total += refused;
                if refused == 0 {
                    // The program makes no more calls than that.
                    assert!(after >= 2, "a program that makes no window");
                    break;
                }
            }
        }
        if total >= enough {
            break;
        }
    }
    total
}

/// A block of the malloc face: its bin, unless it has pages of its own.
struct Block {
    start: NonNull<u8>,
    bin: Option<BinAt>,
    bytes: usize,
}

impl Block {
    /// The first byte and the last.
    fn ends(&self) -> [u8; 2] {
        // SAFETY: the block is the program's own, of so many bytes, which the kernel initialised.
        unsafe { [self.start.read(), self.start.add(self.bytes - 1).read()] }
    }

    fn stamp(&self, stamp: u8) {
        // SAFETY: the block is the program's own, and has so many bytes.
        unsafe {
            self.start.write(stamp);
            self.start.add(self.bytes - 1).write(stamp);
        }
    }
}

/// Two mutators that allocate, resize and free by hand. Gives how many calls were refused.
fn blocks(seed: u64, faults: Faults) -> usize {
    let Ok(face) = Malloc::reserve(1 << 15, faults) else {
        assert!(faults.after < 2, "a window takes two calls");
        return faults.count.min(1);
    };
    let (memory, depot) = (&face.memory, &face.depot);
    let (mut random, caches) = (Random(seed), [Cache::new(), Cache::new()]);
    let mut live: BTreeMap<usize, (Block, u8)> = BTreeMap::new();
    let free = |block: Block, stamp: u8, cache: &Cache| {
        assert_eq!(block.ends(), [stamp; 2], "a block was overwritten");
        match block.bin {
            Some(at) if cache.push(at, block.start) => {}
            Some(at) => cache.spill(memory, depot, at, block.start),
            None => memory.end(memory.spans().containing(memory.spans().page_of(block.start.addr().get())).unwrap()),
        }
    };
    for step in 0..80 {
        let (cache, stamp) = (&caches[random.below(2)], step as u8);
        let before = memory.arenas().refused();
        match random.below(10) {
            0..5 => {
                let block = if random.below(3) > 0 {
                    let number = 1 + random.below(CLASSES - 1);
                    let at = BinAt::of(number);
                    let slot = ask(faults, || cache.pop(at).map_or_else(|| cache.refill(memory, depot, at), Ok));
                    slot.map(|start| Block { start, bin: Some(at), bytes: class(number).size })
                } else {
                    let (pages, align) = (1 + random.below(700), 1 << random.below(8));
                    let run = ask(faults, || memory.large(pages, align));
                    run.map(|(start, clean)| {
                        let block = Block { start, bin: None, bytes: pages * PAGE };
                        assert!(!clean || block.ends() == [0; 2], "what the kernel kept is said to be zero");
                        block
                    })
                };
                let Ok(block) = block else {
                    assert!(
                        faults.count > 10,
                        "the kernel gives again, and the heap does not: {block:?}",
                        block = block.err()
                    );
                    assert!(memory.arenas().refused() > before, "refused although the kernel gives");
                    continue;
                };
                let (start, end) = (block.start.addr().get(), block.start.addr().get() + block.bytes);
                let below = live.range(..end).next_back();
                assert!(below.is_none_or(|(at, (other, _))| at + other.bytes <= start), "two blocks overlap");
                block.stamp(stamp);
                live.insert(start, (block, stamp));
            }
            5..8 => {
                let at = live.keys().nth(random.below(live.len().max(1))).copied();
                if let Some((block, stamp)) = at.and_then(|at| live.remove(&at)) {
                    free(block, stamp, cache);
                }
            }
            8 => {
                let pages = 1 + random.below(900);
                let large = live.values_mut().find(|(block, _)| block.bin.is_none());
                if let Some((block, stamp)) = large {
                    let span = memory.spans().containing(memory.spans().page_of(block.start.addr().get())).unwrap();
                    if memory.resize(span, pages) {
                        block.bytes = pages * PAGE;
                        block.stamp(*stamp);
                    }
                }
            }
            _ => {
                cache.flush(memory, depot);
                depot.trim(memory);
                memory.scavenge();
            }
        }
        if memory.arenas().refused() > before {
            assert_eq!(memory.verify().and_then(|()| depot.verify(memory)), Ok(()));
        }
    }
    for (block, stamp) in std::mem::take(&mut live).into_values() {
        free(block, stamp, &caches[0]);
    }
    caches.iter().for_each(|cache| cache.flush(memory, depot));
    depot.trim(memory);
    memory.trim();
    assert_eq!(memory.verify().and_then(|()| depot.verify(memory)), Ok(()));
    assert_eq!(memory.pages().in_use(), 0, "pages are lost");
    memory.arenas().refused()
}

/// A mutator that builds and drops lists, and a collector. Gives how many calls were refused.
fn objects(seed: u64, faults: Faults) -> usize {
    let Ok(heap) = Heap::new(Config { reservation: 64 << 20, faults, ..Config::default() }) else {
        assert!(faults.after < 2, "a window takes two calls");
        return faults.count.min(1);
    };
    let refused = || heap.state().space.memory().arenas().refused();
    let (mut random, mut mutator) = (Random(seed), heap.join());
    let roots: Vec<_> = (0..6).map(|_| mutator.root()).collect();
    let mut held = [false; 6];
    for _ in 0..60 {
        let (at, from) = (random.below(6), random.below(6));
        let before = refused();
        match random.below(12) {
            0..6 => {
                let size = [8, 100, 1000, 30_000, 300_000, 2 << 20][random.below(6)] + random.below(50);
                match ask(faults, || mutator.alloc(&roots[at], 2, size)) {
                    Ok(_) => held[at] = true,
                    Err(error) => {
                        assert!(faults.count > 10, "the kernel gives again, and the heap does not: {error}");
                        assert!(refused() > before, "refused although the kernel gives");
                    }
                }
            }
            6..8 => {
                let value = held[from].then_some(&roots[from]);
                let stored = mutator.store(Place::Field(&roots[at], 1), value);
                assert_eq!(stored.is_ok(), held[at]);
            }
            8 => {
                mutator.clear(&roots[at]).unwrap();
                held[at] = false;
            }
            9 => {
                heap.start();
                heap.handshake(mutator.id());
                heap.mark(random.below(20));
                heap.finish();
            }
            10 => _ = heap.sweep(random.below(5)),
            _ => heap.collect(),
        }
        if refused() > before {
            assert_eq!(heap.verify(), Ok(()));
        }
    }
    for root in &roots {
        mutator.clear(root).unwrap();
    }
    heap.collect();
    assert_eq!((heap.verify(), heap.stats().objects, heap.stats().in_use), (Ok(()), 0, 0), "something is lost");
    refused()
}

#[test]
fn refusals_cost_the_request_and_nothing_else() {
    assert!(refuse(1000, blocks) >= 1000);
    assert!(refuse(1000, objects) >= 1000);
}

/// 200,000 refusals.
#[test]
#[ignore = "takes a minute"]
fn many_refusals_cost_the_request_and_nothing_else() {
    let (blocks, objects) = (refuse(100_000, blocks), refuse(100_000, objects));
    println!("{blocks} refusals to who frees by hand, {objects} to the collected heap");
    assert!(blocks >= 100_000 && objects >= 100_000);
}
