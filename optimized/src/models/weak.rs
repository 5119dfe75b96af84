//! What a weak pointer finds is not lost: neither to the end of marking, nor to the sweep.

use super::{alone, check, grey::Pool, rejects, words};
use crate::{
    gc::{
        grey::Grey,
        handshake::{Post, round},
    },
    generation::Generation,
    slots,
    sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock, relax, thread},
    weak::{Attached, Found, otherwise, while_marking},
};
use std::sync::Arc;

// ---- the end of marking

/// How a mutator that uses the barrier looks at the one object that there is.
type Look = fn(&Ending) -> Found;
/// How it is decided that marking is over; the second argument makes everybody answer.
type Rule = fn(&Grey, &dyn Fn()) -> bool;

/// A mutator with a weak pointer to a white object, while marking ends.
struct Ending {
    grey: Grey,
    pool: Pool,
    marks: AtomicU64,
    post: Post,
}

impl Ending {
    fn is_marked(&self) -> bool {
        self.marks.load(Ordering::Acquire) & 1 == 1
    }

    fn mark(&self) -> bool {
        slots::mark(&self.marks, 0, || ())
    }
}

fn shipped(world: &Ending) -> Found {
    while_marking(&world.grey, || world.is_marked(), || world.mark())
}

fn closing(grey: &Grey, ask: &dyn Fn()) -> bool {
    grey.is_over(ask)
}

/// The mutator looks. If `scans`, a worker that has something in hand comes upon the object meanwhile.
fn end(look: Look, rule: Rule, scans: bool) {
    let world = Arc::new(Ending { grey: Grey::new(), pool: Pool::new(), marks: AtomicU64::new(0), post: Post::new() });
    if scans {
        world.grey.start_work();
    }
    let mutator = Arc::clone(&world);
    let mutator = thread::spawn(move || {
        mutator.post.enter();
        if let Some(request) = mutator.post.due() {
            mutator.post.answer(request);
        }
        let found = look(&mutator);
        if found == Found::Shaded {
            mutator.grey.publish(&mutator.pool, &[16]);
        }
        mutator.post.park();
        found
    });
    let worker = scans.then(|| {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            // A worker announces nothing, and this object has no pointers, so nothing is published.
            world.mark();
            world.grey.end_work();
        })
    });
    let ask = || round(&[&world], |world| &world.post, 1, |_| (), |_| relax());
    let over = rule(&world.grey, &ask);
    // What is white now is garbage.
    let alive = world.is_marked();
    let found = mutator.join().expect("it ends");
    if let Some(worker) = worker {
        worker.join().expect("it ends");
    }
    if over {
        assert!(world.grey.is_empty(), "marking is over, and something is grey");
        assert_eq!(alive, world.is_marked(), "marking is over, and something is marked");
        assert_eq!(alive, found != Found::Dead, "it is garbage, and handed out, or neither");
    } else {
        assert!(found != Found::Dead, "marking goes on, and the object is given up");
    }
}

#[test]
fn what_a_weak_pointer_finds_is_found_before_the_end_of_marking_or_not_at_all() {
    let _alone = alone();
    check(|| end(shipped, closing, false));
}

#[test]
fn what_a_worker_marks_a_weak_pointer_finds_after_the_end() {
    let _alone = alone();
    check(|| end(shipped, closing, true));
}

#[test]
fn what_is_handed_out_without_being_shaded_is_lost() {
    let _alone = alone();
    assert!(rejects(|| end(|_| Found::Alive, closing, false)));
}

#[test]
fn who_announces_and_does_not_look_whether_it_is_too_late_shades_after_the_end() {
    let _alone = alone();
    assert!(rejects(|| {
        let look = |world: &Ending| {
            world.grey.announce();
            if world.mark() { Found::Shaded } else { Found::Alive }
        };
        end(look, closing, false);
    }));
}

#[test]
fn an_end_that_is_only_looked_for_and_not_written_down_comes_too_early() {
    let _alone = alone();
    assert!(rejects(|| {
        let rule = |grey: &Grey, ask: &dyn Fn()| {
            let before = grey.activity();
            if !grey.is_empty() || !grey.is_idle() {
                return false;
            }
            ask();
            grey.activity() == before
        };
        end(shipped, rule, false);
    }));
}

// ---- the sweep

/// A span that has not been swept for cycle 7, and an object in it.
struct Sweeping {
    generation: Generation,
    attached: Attached,
    lock: Mutex<()>,
    marks: [AtomicU64; 1],
    /// The weak pointer; 0 when it is cleared.
    target: AtomicUsize,
    /// Whether the memory was given to somebody else.
    freed: AtomicBool,
}

impl Sweeping {
    fn new(marked: bool, attached: u32) -> Arc<Sweeping> {
        let world = Sweeping {
            generation: Generation(AtomicU64::new(6)),
            attached: Attached(AtomicU32::new(attached)),
            lock: Mutex::new(()),
            marks: words(),
            target: AtomicUsize::new(8),
            freed: AtomicBool::new(false),
        };
        world.marks[0].store(u64::from(marked), Ordering::Relaxed);
        Arc::new(world)
    }

    fn is_marked(&self) -> bool {
        self.marks[0].load(Ordering::Relaxed) == 1
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        lock(&self.lock)
    }

    fn clear(&self, dead: bool) {
        if dead {
            self.target.store(0, Ordering::Release);
        }
    }

    fn free(&self, dead: bool) {
        self.marks[0].store(0, Ordering::Relaxed);
        if dead {
            self.freed.store(true, Ordering::Relaxed);
        }
    }

    /// Sweeps the span as the heap does.
    fn sweep(&self) {
        if self.generation.claim(7) {
            let guard = self.attached.any().then(|| self.lock());
            let dead = !self.is_marked();
            if guard.is_some() {
                self.clear(dead);
            }
            self.free(dead);
            self.generation.done(7);
            drop(guard);
        }
    }

    fn find(&self) -> bool {
        otherwise(&self.generation, 7, &self.target, || self.lock(), || self.is_marked())
    }
}

/// A mutator asks, twice, while the span is swept.
fn ask(marked: bool, find: fn(&Sweeping) -> bool, sweep: fn(&Sweeping)) {
    let world = Sweeping::new(marked, 1);
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || sweep(&other));
    for _ in 0..2 {
        assert_eq!(find(&world), marked, "it is alive, and given up, or dead, and handed out");
    }
    thread.join().expect("it ends");
    assert_eq!((world.freed.load(Ordering::Relaxed), find(&world)), (!marked, marked));
}

#[test]
fn while_a_span_is_swept_weak_pointers_find_what_was_marked_and_nothing_else() {
    let _alone = alone();
    check(|| ask(true, Sweeping::find, Sweeping::sweep));
    check(|| ask(false, Sweeping::find, Sweeping::sweep));
}

#[test]
fn who_does_not_ask_the_sweep_finds_the_dead() {
    let _alone = alone();
    assert!(rejects(|| ask(false, |world| world.target.load(Ordering::Acquire) != 0, Sweeping::sweep)));
}

#[test]
fn who_looks_at_marks_without_the_lock_gives_up_what_is_alive() {
    let _alone = alone();
    assert!(rejects(|| {
        ask(true, |world| world.target.load(Ordering::Acquire) != 0 && world.is_marked(), Sweeping::sweep);
    }));
}

#[test]
fn a_sweep_that_clears_last_leaves_the_dead_to_be_found() {
    let _alone = alone();
    assert!(rejects(|| {
        ask(false, Sweeping::find, |world| {
            if world.generation.claim(7) {
                let guard = world.lock();
                let dead = !world.is_marked();
                world.free(dead);
                world.generation.done(7);
                drop(guard);
                world.clear(dead);
            }
        });
    }));
}

/// An object that is alive gets its first weak pointer while its span is swept, and is asked for at once.
fn attach(add: fn(&Sweeping)) {
    let world = Sweeping::new(true, 0);
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || other.sweep());
    add(&world);
    assert!(world.find(), "it is alive, and given up");
    thread.join().expect("it ends");
}

#[test]
fn what_is_attached_while_its_span_is_swept_is_there_afterwards() {
    let _alone = alone();
    check(|| attach(|world| world.attached.add(&world.generation)));
}

#[test]
fn who_does_not_wait_for_a_sweep_that_has_not_counted_him_is_told_nonsense() {
    let _alone = alone();
    assert!(rejects(|| attach(|world| _ = world.attached.0.fetch_add(1, Ordering::AcqRel))));
}
