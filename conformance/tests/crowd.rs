//! Threads that hand blocks to one another: a right allocator is not accused, wrong ones are caught.

use heaplaw_conformance::{
    drive::{
        blocks::Blocks,
        crowd::{Plan, run},
        parallel::Native,
    },
    generate::choices::Seed,
    law::crowd::judge,
};
use heaplaw_reference::{
    block::{Allocator, Block},
    event::Event,
    heap::{Capability, Claims, Heap, Reply},
    object::{Address, Content, Shape, Stamp},
    op::Program,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

/// What is wrong with an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// It looks at the first free block, and takes it a little later.
    Racy,
    /// A block that another thread frees is free twice.
    FreesTwice,
    /// A block that another thread frees is still counted.
    Miscounts,
    /// It does not clear memory that was used before.
    Dirty,
    /// It gives a byte less than was asked for.
    Small,
    /// It forgets what alignment was asked for.
    Misaligns,
    /// What another thread has freed is written to once more.
    WritesLate,
    /// It takes a larger class when another thread has allocated before.
    Classless,
    /// It panics.
    Panics,
}

/// Memory of 4 MiB that anybody may touch at any time without harm to anybody else, and lists of free blocks in it.
struct Arena {
    memory: Vec<AtomicU8>,
    /// By size, where free blocks are; and where the rest begins.
    free: Mutex<(HashMap<u64, Vec<u64>>, u64)>,
    live: AtomicU64,
    turns: Mutex<Vec<u64>>,
    requests: AtomicU64,
    wrong: Wrong,
}

const MEMORY: u64 = 4 << 20;

#[derive(Clone)]
struct Shared(Arc<Arena>);

struct Piece {
    arena: Shared,
    at: u64,
    size: u64,
    by: ThreadId,
}

impl Shared {
    fn new(wrong: Wrong) -> Shared {
        let memory = (0..MEMORY).map(|_| AtomicU8::new(0)).collect();
        let free = Mutex::new((HashMap::new(), 4096));
        let (live, requests, turns) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
        Shared(Arc::new(Arena { memory, free, live, turns, requests, wrong }))
    }

    fn lists(&self) -> MutexGuard<'_, (HashMap<u64, Vec<u64>>, u64)> {
        self.0.free.lock().expect("no thread panics")
    }

    fn take(&self, size: u64) -> Option<u64> {
        let mut lists = self.lists();
        let top = lists.0.get(&size).and_then(|list| list.last().copied());
        if let Some(top) = top {
            if self.0.wrong == Wrong::Racy {
                drop(lists);
                thread::yield_now();
                lists = self.lists();
            }
            lists.0.get_mut(&size).and_then(Vec::pop);
            return Some(top);
        }
        let at = lists.1.next_multiple_of(size);
        (at + size <= MEMORY).then(|| {
            lists.1 = at + size;
            at
        })
    }
}

impl Allocator for Shared {
    type Block = Piece;

    fn claims(&self) -> Claims {
        Claims::new("arena").with(&[Capability::Classes])
    }

    fn allocate(&self, shape: Shape, turn: u64) -> Option<Piece> {
        let Arena { memory, live, turns, requests, wrong, .. } = &*self.0;
        assert!(*wrong != Wrong::Panics, "this allocator panics on purpose");
        turns.lock().expect("no thread panics").push(turn);
        let align = if *wrong == Wrong::Misaligns { 1 } else { shape.alignment() };
        let size = shape.size().max(align).max(16).next_power_of_two();
        let larger = *wrong == Wrong::Classless && requests.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        let size = if larger { 2 * size } else { size };
        let at = self.take(size)?;
        if *wrong != Wrong::Dirty {
            (at..at + size).for_each(|at| memory[at as usize].store(0, Ordering::Relaxed));
        }
        live.fetch_add(1, Ordering::Relaxed);
        Some(Piece { arena: self.clone(), at, size, by: thread::current().id() })
    }

    fn count(&self) -> Option<u64> {
        Some(self.0.live.load(Ordering::Relaxed))
    }
}

impl Block for Piece {
    fn address(&self) -> Address {
        // A class of 16 bytes lies on a multiple of 16, whatever was asked for.
        Address(self.at + if self.arena.0.wrong == Wrong::Misaligns { 16 } else { 0 })
    }

    fn usable(&self) -> u64 {
        self.size - if self.arena.0.wrong == Wrong::Small { self.size / 2 + 1 } else { 0 }
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        for (byte, from) in into.iter_mut().zip(&self.arena.0.memory[(self.at + at) as usize..]) {
            *byte = from.load(Ordering::Relaxed);
        }
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        for (byte, into) in from.iter().zip(&self.arena.0.memory[(self.at + at) as usize..]) {
            into.store(*byte, Ordering::Relaxed);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Arena { memory, live, wrong, .. } = &*self.arena.0;
        let remote = self.by != thread::current().id();
        if !(remote && *wrong == Wrong::Miscounts) {
            live.fetch_sub(1, Ordering::Relaxed);
        }
        let times = if remote && *wrong == Wrong::FreesTwice { 2 } else { 1 };
        let mut lists = self.arena.lists();
        lists.0.entry(self.size).or_default().extend(std::iter::repeat_n(self.at, times));
        drop(lists);
        if remote && *wrong == Wrong::WritesLate {
            thread::yield_now();
            memory[(self.at + self.size - 1) as usize].store(0xA5, Ordering::Relaxed);
        }
    }
}

/// The laws that an allocator breaks, each time with memory of its own.
fn broken(wrong: Wrong, cases: u64, threads: u8) -> Vec<u16> {
    let law = |case| {
        let plan = Plan::draw(&mut Seed::case(6, case), threads, 300);
        judge(&run(&Shared::new(wrong), &plan, &Native)).err().map(|breach| breach.law.number)
    };
    (0..cases).filter_map(law).collect()
}

#[test]
fn a_right_allocator_holds_under_threads() {
    for threads in 1..=4 {
        assert_eq!(broken(Wrong::Nothing, 20, threads), [0; 0]);
    }
}

#[test]
fn every_wrong_allocator_is_caught_by_its_law() {
    let wrong = [
        (Wrong::FreesTwice, 1),
        (Wrong::Small, 3),
        (Wrong::Misaligns, 4),
        (Wrong::Dirty, 5),
        (Wrong::Miscounts, 123),
        (Wrong::Classless, 30),
        (Wrong::Panics, 51),
    ];
    for (wrong, law) in wrong {
        let laws = broken(wrong, 20, 3);
        assert!(laws.contains(&law), "{wrong:?}: {laws:?}");
    }
}

#[test]
fn what_only_races_is_caught_too() {
    // An overlap shows in where blocks lie, or in what they hold when they are born or later.
    assert!((0..20).any(|_| broken(Wrong::Racy, 10, 4).iter().any(|law| [1, 5, 6].contains(law))));
    assert!((0..20).any(|_| broken(Wrong::WritesLate, 10, 4).iter().any(|law| [5, 6].contains(law))));
}

#[test]
fn every_request_of_a_thread_has_its_turn() {
    let arena = Shared::new(Wrong::Nothing);
    run(&arena, &Plan::draw(&mut Seed::case(6, 0), 1, 300), &Native);
    let turns = arena.0.turns.lock().expect("no thread panics").clone();
    assert!(turns.len() > 50 && turns.iter().copied().eq(1..=turns.len() as u64), "{turns:?}");
}

#[test]
fn the_same_choices_make_the_same_plan() {
    let draw = |seed| Plan::draw(&mut Seed::case(seed, 3), 4, 100);
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_eq!((Plan::draw(&mut Seed::case(1, 1), 0, 9).threads.len(), draw(1).threads[3].len()), (1, 100));
}

/// An allocator as a heap: what the kit lends it.
fn perform(heap: &mut impl Heap, story: &str) -> Vec<Reply> {
    let story: Program = story.parse().expect("a program");
    story.ops().iter().map(|op| heap.perform(op, &mut Vec::<Event>::new())).collect()
}

#[test]
fn objects_are_laid_out_in_blocks_and_are_freed_by_hand() {
    let story = "\
        0 alloc r0 2 5\n0 alloc r1 0 300 @64\n0 store r0.1 r1\n0 store g2 r1\n0 clear r1\n0 load r2 r0.1\n0 read r2\n\
        0 store r0.1 nil\n0 load r3 g2\n0 free r2\n0 load r4 g2\n0 read r0\n0 move r0.0 r0.1 1\n0 free r0\n";
    let arena = Shared::new(Wrong::Nothing);
    let replies = perform(&mut Blocks::new(arena.clone()), story);
    let Reply::Born { at, usable: 300.., found: Content::ZERO, .. } = replies[1] else { panic!("{replies:?}") };
    assert_eq!((at.0 % 64, arena.count()), (0, Some(0)));
    assert_eq!((&replies[5], &replies[8]), (&Reply::Object(at), &Reply::Object(at)));
    assert_eq!((&replies[6], &replies[11]), (&Reply::Data(Stamp(2).content(300)), &Reply::Data(Content::Uniform(1))));
    assert_eq!((&replies[10], &replies[13]), (&Reply::Nil, &Reply::Done));
}

#[test]
fn a_byte_beyond_what_was_asked_for_is_looked_at() {
    let arena = Shared::new(Wrong::Nothing);
    let mut heap = Blocks::new(arena.clone());
    let Reply::Born { at, usable: 32, .. } = perform(&mut heap, "0 alloc r0 1 10").remove(0) else { panic!("no room") };
    assert_eq!(perform(&mut heap, "0 read r0"), [Reply::Data(Content::Uniform(1))]);
    arena.0.memory[at.0 as usize + 30].store(9, Ordering::Relaxed);
    assert_eq!(perform(&mut heap, "0 read r0"), [Reply::Data(Content::Torn { at: 22 })]);
}

#[test]
fn what_makes_no_sense_is_a_trap() {
    let mut heap = Blocks::new(Shared::new(Wrong::Nothing));
    assert!(matches!(perform(&mut heap, "0 free r0")[..], [Reply::Trap(_)]));
    assert!(matches!(
        perform(&mut heap, "0 alloc r0 1 8\n0 load r1 r0.1\ngc full")[..],
        [Reply::Born { .. }, Reply::Trap(_), Reply::Unsupported]
    ));
}
