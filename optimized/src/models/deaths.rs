//! A whole heap in boxes, with weak pointers, finalizers and cleanups, under schedules that nobody would think of.
//!
//! Four objects in one span, each with one field: 0 leads to 1, 2 to nothing, 3 is an argument. Two mutators attach, forget,
//! ask and are handed out; a collector goes through whole cycles meanwhile. It is made of the kernels that ship, put together
//! as [`State`](crate::state::State) puts them; what is left out is allocation.

use super::{alone, check, grey::Pool, rejects, words};
use crate::{
    gc::{
        grey::Grey,
        handshake::{Post, round},
    },
    generation::Generation,
    slots,
    special::{Specials, Weak},
    sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, Ordering, lock, relax, thread},
    weak::{Attached, Found, otherwise, while_marking},
};
use std::sync::Arc;

const OBJECTS: usize = 4;

/// What is asked of a mutator; the number of the round is above.
const ARM: u64 = 0;
const SCAN: u64 = 1;
const FLUSH: u64 = 2;
const RELEASE: u64 = 3;

fn address(object: usize) -> usize {
    8 * (object + 1)
}

fn object(at: usize) -> usize {
    at / 8 - 1
}

struct Mutator {
    post: Post,
    barrier: AtomicBool,
    cycle: AtomicU64,
    root: AtomicUsize,
    /// Of the one who attaches: holds the argument until it does.
    spare: AtomicUsize,
}

/// What may be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// An upgrade while marking shades nothing.
    Unshaded,
}

struct Heap {
    mistake: Mistake,
    grey: Grey,
    pool: Pool,
    specials: Specials,
    attached: Attached,
    generation: Generation,
    allocated: [AtomicU64; 1],
    marks: [AtomicU64; 1],
    fields: [AtomicUsize; OBJECTS],
    mutators: [Mutator; 2],
    weak: Mutex<Option<Weak>>,
    /// How often what was handed out of each queue.
    seen: [AtomicU32; 2],
}

impl Heap {
    fn new(mistake: Mistake) -> Arc<Heap> {
        let mutator = |root, spare| Mutator {
            post: Post::new(),
            barrier: AtomicBool::new(false),
            cycle: AtomicU64::new(0),
            root: AtomicUsize::new(root),
            spare: AtomicUsize::new(spare),
        };
        let heap = Heap {
            mistake,
            grey: Grey::new(),
            pool: Pool::new(),
            specials: Specials::new(),
            attached: Attached(AtomicU32::new(0)),
            generation: Generation(AtomicU64::new(0)),
            allocated: words(),
            marks: words(),
            fields: std::array::from_fn(|_| AtomicUsize::new(0)),
            mutators: [mutator(address(0), address(3)), mutator(address(2), 0)],
            weak: Mutex::new(None),
            seen: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        heap.allocated[0].store((1 << OBJECTS) - 1, Ordering::Relaxed);
        heap.fields[0].store(address(1), Ordering::Relaxed);
        Arc::new(heap)
    }

    fn is_marked(&self, at: usize) -> bool {
        self.marks[0].load(Ordering::Acquire) >> object(at) & 1 == 1
    }

    fn is_allocated(&self, at: usize) -> bool {
        self.allocated[0].load(Ordering::Acquire) >> object(at) & 1 == 1
    }

    fn field(&self, at: usize) -> usize {
        self.fields[object(at)].load(Ordering::Acquire)
    }

    fn shade(&self, at: usize) {
        if at != 0 && slots::mark(&self.marks[0], object(at), || self.grey.announce()) {
            self.grey.publish(&self.pool, &[at]);
        }
    }

    // ---- mutators

    fn act(&self, mutator: &Mutator, request: u64, cycle: u64) {
        match request & 3 {
            ARM => mutator.barrier.store(true, Ordering::Relaxed),
            SCAN => {
                self.shade(mutator.root.load(Ordering::Relaxed));
                self.shade(mutator.spare.load(Ordering::Relaxed));
            }
            // Nothing is put off here.
            FLUSH => {}
            _ => {
                mutator.barrier.store(false, Ordering::Relaxed);
                mutator.cycle.store(cycle, Ordering::Relaxed);
            }
        }
    }

    /// An operation of a mutator.
    fn operate<R>(&self, number: usize, operation: impl FnOnce(&Mutator, bool) -> R) -> R {
        let mutator = &self.mutators[number];
        mutator.post.enter();
        if let Some(request) = mutator.post.due() {
            self.act(mutator, request, request >> 8);
            mutator.post.answer(request);
        }
        let result = operation(mutator, mutator.barrier.load(Ordering::Relaxed));
        mutator.post.park();
        result
    }

    /// Attaches a weak pointer, a finalizer and a cleanup, whose argument is object 3, to what a root holds, and forgets it.
    fn attach(&self, number: usize) {
        self.operate(number, |mutator, marking| {
            let at = mutator.root.load(Ordering::Relaxed);
            self.attached.add(&self.generation);
            let mut shard = self.specials.shard(0);
            if shard.contains_key(&at) {
                self.attached.remove(1);
            }
            let special = shard.entry(at).or_default();
            *lock(&self.weak) = Some(self.specials.weak(special, at, 0));
            special.set_finalizer(Some(7));
            let named = crate::root::Address::new(at).expect("an object");
            self.specials.add_cleanup(special, (named, 0), address(3), 8);
            drop(shard);
            if marking {
                self.shade(self.field(at));
                self.shade(address(3));
            }
            mutator.root.store(0, Ordering::Relaxed);
            mutator.spare.store(0, Ordering::Relaxed);
        });
    }

    fn upgrade(&self, number: usize) {
        let Some(weak) = lock(&self.weak).clone() else { return };
        self.operate(number, |mutator, marking| {
            let target = &weak.0.target;
            let at = target.load(Ordering::Acquire);
            if at == 0 {
                return;
            }
            let alive = if marking {
                let mark = || slots::mark(&self.marks[0], object(at), || ());
                let found = match self.mistake {
                    Mistake::Unshaded => Found::Alive,
                    _ => while_marking(&self.grey, || self.is_marked(at), mark),
                };
                if found == Found::Shaded {
                    self.grey.publish(&self.pool, &[at]);
                }
                found != Found::Dead
            } else {
                let cycle = mutator.cycle.load(Ordering::Relaxed);
                otherwise(&self.generation, cycle, target, || self.specials.shard(0), || self.is_marked(at))
            };
            mutator.root.store(if alive { at } else { 0 }, Ordering::Relaxed);
        });
        self.look(number);
    }

    /// What a root holds is there, and what it leads to, whatever the collector has done since.
    fn look(&self, number: usize) {
        let held = || self.operate(number, |mutator, _| mutator.root.load(Ordering::Relaxed));
        let at = held();
        if at != 0 {
            assert!(self.is_allocated(at), "what is held is gone");
            let child = self.field(at);
            assert!(child == 0 || self.is_allocated(child), "what is held leads to what is gone");
        }
        self.operate(number, |mutator, _| mutator.root.store(0, Ordering::Relaxed));
    }

    /// Is handed out of a queue what is due: of finalizers, or of cleanups.
    fn hand_out(&self, number: usize, queue: usize) {
        self.operate(number, |mutator, marking| {
            let due = if queue == 0 { self.specials.finalized() } else { self.specials.cleaned() };
            let Some((at, token)) = due else { return };
            assert_eq!(token, 7 + queue as u64);
            assert_eq!(self.seen[queue].fetch_add(1, Ordering::Relaxed), 0, "it runs twice");
            // Only object 0 has a finalizer, and gets no second weak pointer.
            let held = self.mutators.iter().any(|other| other.root.load(Ordering::Relaxed) == at);
            assert!(queue == 1 || !held, "it is finalized, and somebody has it by a weak pointer");
            if marking {
                self.shade(at);
            }
            mutator.root.store(at, Ordering::Relaxed);
        });
        self.look(number);
    }

    // ---- the collector

    fn ask(&self, number: &mut u64, request: u64, cycle: u64) {
        *number += 1;
        let request = cycle << 8 | *number << 2 | request;
        round(
            &self.mutators,
            |mutator| &mutator.post,
            request,
            |mutator| self.act(mutator, request, cycle),
            |_| relax(),
        );
    }

    fn cycle(&self, cycle: u64) {
        let mut number = 0;
        self.grey.open();
        self.ask(&mut number, ARM, cycle);
        self.ask(&mut number, SCAN, cycle);
        let (finalizable, held) = self.specials.roots();
        for at in finalizable {
            self.shade(self.field(at));
        }
        held.into_iter().for_each(|at| self.shade(at));
        loop {
            let mut queue = Vec::new();
            self.grey.start_work();
            while self.grey.take(&self.pool, &mut queue) {
                queue.drain(..).for_each(|at| self.shade(self.field(at)));
            }
            self.grey.end_work();
            if self.grey.is_over(|| self.ask(&mut number, FLUSH, cycle)) {
                break;
            }
        }
        self.ask(&mut number, RELEASE, cycle);
        self.sweep(cycle);
    }

    fn sweep(&self, cycle: u64) {
        assert!(self.generation.claim(cycle));
        let mut buried = self.attached.any().then(|| self.specials.open(0));
        if let Some(buried) = &mut buried {
            let dead = |at: &usize| !self.is_marked(*at);
            let dead: Vec<_> = buried.shard.keys().copied().filter(dead).collect();
            for at in dead {
                let held = self.mutators.iter().any(|mutator| mutator.root.load(Ordering::Relaxed) == at);
                assert!(!held, "it is dead, and somebody has it by a weak pointer");
                let finalizer = buried.shard.get(&at).is_some_and(|special| special.has_finalizer());
                let (_, gone) = buried.bury(at, finalizer);
                self.attached.remove(u32::from(gone));
                if finalizer {
                    slots::mark(&self.marks[0], object(at), || ());
                }
            }
        }
        self.allocated[0].fetch_and(self.marks[0].load(Ordering::Relaxed), Ordering::AcqRel);
        self.marks[0].store(0, Ordering::Relaxed);
        self.generation.done(cycle);
        self.specials.queue(buried);
    }
}

fn live(mistake: Mistake) {
    let heap = Heap::new(mistake);
    let threads: Vec<_> = (0..2)
        .map(|number| {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                if number == 0 {
                    heap.attach(0);
                }
                for _ in 0..3 {
                    heap.upgrade(number);
                    heap.hand_out(number, 0);
                    heap.hand_out(number, 1);
                }
            })
        })
        .collect();
    (1..=3).for_each(|cycle| heap.cycle(cycle));
    for thread in threads {
        thread.join().expect("it ends");
    }
    // Nobody holds anything: what was attached comes to be due.
    for cycle in 4..=7 {
        heap.hand_out(0, 0);
        heap.hand_out(1, 1);
        heap.cycle(cycle);
    }
    let seen = [0, 1].map(|queue| heap.seen[queue].load(Ordering::Relaxed));
    assert_eq!((seen, heap.allocated[0].load(Ordering::Relaxed)), ([1, 1], 0), "something is missing, or left");
}

#[test]
fn whoever_dies_when_nothing_that_is_held_is_lost_and_everything_runs_once() {
    let _alone = alone();
    check(|| live(Mistake::None));
}

#[test]
fn an_upgrade_that_does_not_shade_loses_something() {
    let _alone = alone();
    assert!(rejects(|| live(Mistake::Unshaded)));
}
