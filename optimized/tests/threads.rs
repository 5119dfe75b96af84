//! Mutators on threads of their own, with and without workers that collect beside them.
//!
//! What a lost object looks like: its memory is used again, so a field that should lead to it leads to another. Every node
//! here carries a stamp that no other has, and the stamps of the two nodes that it was made from; so whoever walks from
//! parent to child sees at each step whether it came to the right place.
//!
//! `HEAPLAW_STRESS_SECONDS` says how long the stress test runs, two seconds unless told.

mod random;

use heaplaw_optimized::{Config, Error, Heap, Mutator, Place, Root};
use random::Random;
use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// The words of a node: its stamp, its height, and the stamps of its two children.
type Node = [u64; 4];

/// Nodes higher than this are not built upon.
const HEIGHT: u64 = 8;
/// The roots of a mutator.
const ROOTS: usize = 12;
/// The fields of a holder, an object that all mutators change.
const FIELDS: usize = 8;

struct Player {
    roots: Vec<Root>,
    spare: [Root; 2],
    random: Random,
    stamps: u64,
    steps: u64,
}

impl Player {
    fn new(mutator: &mut Mutator, seed: u64) -> Player {
        let roots = (0..ROOTS).map(|_| mutator.root()).collect();
        let spare = [mutator.root(), mutator.root()];
        Player { roots, spare, random: Random(seed), stamps: seed << 40, steps: 0 }
    }

    fn pick(&mut self) -> usize {
        self.random.below(ROOTS as u64) as usize
    }

    /// The node in a root.
    fn node(mutator: &Mutator, root: &Root) -> Option<Node> {
        mutator.inspect(root).unwrap()?;
        let mut bytes = [0; 32];
        mutator.read(root, 0, &mut bytes).unwrap();
        let mut words = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        Some(std::array::from_fn(|_| words.next().unwrap()))
    }

    /// A new node over two others, in place of one of them.
    fn build(&mut self, mutator: &mut Mutator) {
        let (a, b) = (self.pick(), self.pick());
        let nodes = [a, b].map(|at| Player::node(mutator, &self.roots[at]));
        let height = 1 + nodes.iter().flatten().map(|node| node[1]).max().unwrap_or(0);
        if height > HEIGHT {
            mutator.clear(&self.roots[a]).unwrap();
            return;
        }
        // Some are larger than they need be, so that many classes take part, and pages.
        let extra = match self.random.below(64) {
            0 => 40_000,
            1..8 => self.random.below(2000),
            _ => 0,
        };
        match mutator.alloc(&self.spare[0], 2, 32 + extra as usize) {
            Ok(_) => {}
            Err(Error::OutOfMemory { .. }) => return mutator.clear(&self.roots[a]).unwrap(),
            Err(other) => panic!("{other}"),
        }
        self.stamps += 1;
        let stamps = nodes.map(|node| node.map_or(0, |node| node[0]));
        let words = [self.stamps, height, stamps[0], stamps[1]];
        let mut fresh = [1; 32];
        mutator.read(&self.spare[0], 0, &mut fresh).unwrap();
        assert_eq!(fresh, [0; 32], "what is new reads zero");
        mutator.write(&self.spare[0], 0, &words.map(u64::to_ne_bytes).concat()).unwrap();
        for (field, at) in [a, b].into_iter().enumerate() {
            mutator.store(Place::Field(&self.spare[0], field), Some(&self.roots[at])).unwrap();
        }
        mutator.copy(&self.roots[a], &self.spare[0]).unwrap();
        mutator.clear(&self.spare[0]).unwrap();
    }

    /// Goes down from a root, and checks that each child is the one that its parent was made from.
    fn walk(&mut self, mutator: &mut Mutator) {
        let at = self.pick();
        let Some(mut node) = Player::node(mutator, &self.roots[at]) else { return };
        mutator.copy(&self.spare[0], &self.roots[at]).unwrap();
        loop {
            let field = self.random.below(2) as usize;
            mutator.load(&self.spare[1], Place::Field(&self.spare[0], field)).unwrap();
            let Some(child) = Player::node(mutator, &self.spare[1]) else {
                assert_eq!(node[2 + field], 0, "a child is missing");
                break;
            };
            assert_eq!(node[2 + field], child[0], "another node is where the child should be");
            assert!(child[1] < node[1]);
            mutator.copy(&self.spare[0], &self.spare[1]).unwrap();
            node = child;
        }
        mutator.clear(&self.spare[0]).unwrap();
        mutator.clear(&self.spare[1]).unwrap();
    }

    /// Takes something out of a holder, so that only this mutator may hold it, or puts something in.
    fn exchange(&mut self, mutator: &mut Mutator) {
        let (at, field) = (self.pick(), self.random.below(FIELDS as u64) as usize);
        mutator.load(&self.spare[0], Place::Global(self.random.below(4) as usize)).unwrap();
        let place = Place::Field(&self.spare[0], field);
        match self.random.below(4) {
            0 => mutator.store(place, Some(&self.roots[at])).unwrap(),
            1 => mutator.clear_fields(&self.spare[0], field, 1).unwrap(),
            2 => mutator.copy_fields((&self.spare[0], field), (&self.spare[0], 0), FIELDS - field).unwrap(),
            _ => {
                mutator.load(&self.roots[at], place).unwrap();
                mutator.store(place, None).unwrap();
            }
        }
        mutator.clear(&self.spare[0]).unwrap();
    }

    fn step(&mut self, mutator: &mut Mutator) {
        match self.random.below(8) {
            0..4 => self.build(mutator),
            4..6 => self.exchange(mutator),
            _ => self.walk(mutator),
        }
        self.steps += 1;
    }
}

/// A heap with holders in its globals.
fn heap(config: Config) -> Heap {
    let heap = Heap::new(config).unwrap();
    let mut mutator = heap.join();
    let holder = mutator.root();
    for global in 0..4 {
        mutator.alloc(&holder, FIELDS, 0).unwrap();
        mutator.store(Place::Global(global), Some(&holder)).unwrap();
    }
    heap
}

/// Mutators play until time is up, while `beside` goes on in this thread. Then all must be as it should.
fn play(heap: &Heap, players: u64, time: Duration, mut beside: impl FnMut()) {
    /// Also if `beside` panics: who plays must not play on.
    struct Over<'o>(&'o AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let steps = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        let end = Over(&over);
        for seed in 1..=players {
            let (heap, over, steps) = (&*heap, &over, &steps);
            scope.spawn(move || {
                let mut mutator = heap.join();
                let mut player = Player::new(&mut mutator, seed);
                while !over.load(Ordering::Relaxed) {
                    // Mutators come and go, and run for long or step by step.
                    (0..200).for_each(|_| player.step(&mut mutator));
                    mutator.run(|mutator| (0..200).for_each(|_| player.step(mutator)));
                    if player.random.below(50) == 0 {
                        let (stamps, done) = (player.stamps, player.steps);
                        mutator = heap.join();
                        player = Player { stamps, steps: done, ..Player::new(&mut mutator, seed + done) };
                    }
                }
                steps.fetch_add(player.steps, Ordering::Relaxed);
            });
        }
        while start.elapsed() < time {
            beside();
        }
        drop(end);
    });
    heap.collect();
    heap.verify().unwrap();
    eprintln!("{players} players, {} steps, {:?}", steps.load(Ordering::Relaxed), heap.stats());
}

/// What the tests play with: not much memory, so that it is used again soon.
const SMALL: Config = Config { reservation: 64 << 20, ..Config::DEFAULT };

fn time() -> Duration {
    let told = env::var("HEAPLAW_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(told.unwrap_or(2.0))
}

#[test]
fn mutators_lose_nothing_while_another_thread_takes_the_collectors_steps() {
    let heap = heap(SMALL);
    let mut random = Random(7);
    play(&heap, 3, time(), || match random.below(4) {
        0 => heap.collect(),
        _ => {
            heap.start();
            heap.mark(random.below(300) as usize);
            thread::yield_now();
            heap.finish();
            heap.sweep(random.below(20) as usize);
        }
    });
}

#[test]
fn mutators_lose_nothing_while_workers_collect() {
    for workers in 1..=3 {
        let heap = heap(Config { workers, ..SMALL });
        play(&heap, 3, time() / 2, || {
            heap.collect();
            thread::sleep(Duration::from_millis(1));
        });
    }
}

#[test]
fn mutators_lose_nothing_while_the_world_stops_for_each_cycle() {
    for (workers, paced) in [(0, false), (0, true), (2, false)] {
        let heap = heap(Config { workers, paced, stop_the_world: true, ..SMALL });
        play(&heap, 3, time() / 2, || {
            heap.collect();
            thread::sleep(Duration::from_millis(1));
        });
    }
}

#[test]
fn nobody_works_in_a_heap_that_is_halted() {
    let heap = heap(Config { workers: 2, ..SMALL });
    let begun = AtomicU64::new(0);
    let (mut moved, mut looks, mut last) = (0, 0, heap.stats());
    play(&heap, 3, time() / 2, || {
        thread::scope(|scope| {
            heap.halted(|| {
                // Also not who joins meanwhile.
                let (heap, begun) = (&heap, &begun);
                let next = begun.load(Ordering::Relaxed) + 1;
                scope.spawn(move || {
                    let mut mutator = heap.join();
                    begun.fetch_add(1, Ordering::Relaxed);
                    let root = mutator.root();
                    mutator.alloc(&root, 0, 8).unwrap();
                });
                while begun.load(Ordering::Relaxed) < next {
                    thread::yield_now();
                }
                let stands = heap.stats();
                thread::sleep(Duration::from_millis(1));
                assert_eq!(heap.stats(), stands);
                moved += u64::from(stands != last);
                last = stands;
            });
        });
        heap.verify().unwrap();
        looks += 1;
    });
    assert!(looks > 10 && moved > looks / 2, "it moved between {moved} of {looks} looks");
}

#[test]
fn a_heap_with_workers_stays_small_without_being_told_to_collect() {
    let heap = Heap::new(Config { workers: 1, ..Config::DEFAULT }).unwrap();
    let mut mutator = heap.join();
    let root = mutator.root();
    mutator.run(|mutator| {
        for _ in 0..1_000_000 {
            mutator.alloc(&root, 1, 56).unwrap();
        }
    });
    // 64 MB went through it.
    assert!(heap.stats().mapped <= 24 << 20, "{:?}", heap.stats());
}

#[test]
fn a_full_heap_with_workers_waits_for_room() {
    let heap = Heap::new(Config { workers: 2, limit: 1 << 20, ..Config::DEFAULT }).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut mutator = heap.join();
            scope.spawn(move || {
                let root = mutator.root();
                (0..20_000).for_each(|_| _ = mutator.alloc(&root, 0, 1000).unwrap());
                mutator.run(|mutator| (0..20_000).for_each(|_| _ = mutator.alloc(&root, 0, 1000).unwrap()));
            });
        }
    });
    heap.collect();
    assert_eq!((heap.stats().objects, heap.verify()), (0, Ok(())));
}

#[test]
fn a_mutator_that_does_not_answer_is_named_and_holds_nobody_up_but_the_collector() {
    let heap = heap(Config { workers: 1, ..SMALL });
    let (mut silent, mut busy) = (heap.join(), heap.join());
    let root = busy.root();
    let id = silent.id();
    thread::scope(|scope| {
        silent.run(|silent| {
            scope.spawn(|| heap.collect());
            let start = Instant::now();
            while heap.stalled(Duration::from_millis(20)) != Some(id) {
                assert!(start.elapsed() < Duration::from_secs(20), "nobody says who is silent");
                busy.alloc(&root, 1, 8).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            // A blocking call is no silence.
            silent.park(|| heap.collect());
        });
    });
    assert_eq!(heap.stalled(Duration::ZERO), None);
}

/// Who allocates is stopped again as soon as it runs, and still comes to its end.
#[test]
fn a_mutator_gets_on_while_others_collect_without_end() {
    for stop_the_world in [true, false] {
        let (over, done) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let heap = Arc::new(heap(Config { stop_the_world, ..SMALL }));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (heap, over) = (Arc::clone(&heap), Arc::clone(&over));
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        heap.collect();
                    }
                })
            })
            .collect();
        let allocates = Arc::clone(&heap);
        thread::spawn(move || {
            let mut mutator = allocates.join();
            let root = mutator.root();
            (0..1000).for_each(|_| _ = mutator.alloc(&root, 1, 8).unwrap());
            mutator.run(|mutator| (0..1000).for_each(|_| _ = mutator.alloc(&root, 1, 8).unwrap()));
            done.0.send(()).unwrap();
        });
        // Not in a scope: that would wait for who does not get on.
        let got_on = done.1.recv_timeout(Duration::from_secs(60));
        over.store(true, Ordering::Relaxed);
        assert_eq!(got_on, Ok(()), "it does not get on, with stop_the_world {stop_the_world}");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn whoever_asks_for_the_classes_of_objects_need_not_wait_until_nobody_is_at_work() {
    let heap = Heap::new(Config { reservation: 16 << 20, ..Config::default() }).unwrap();
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let classes = heap.classes();
                assert!(classes.iter().all(|class| class.pages > 0 && class.size <= 32 << 10));
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Spans begin and end, of changing classes on the same pages.
        let mut mutator = heap.join();
        let root = mutator.root();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            for bytes in [8, 40_000, 1 << 10, 30_000, 100_000, 200] {
                mutator.alloc(&root, 0, bytes).unwrap();
            }
            mutator.clear(&root).unwrap();
            heap.collect();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(asked.into_inner() > 0);
}
