//! Marking does not end while anything is grey, although nobody stops.

use super::{alone, check, grey::Pool, rejects, words};
use crate::{
    gc::{
        grey::Grey,
        handshake::{Post, round},
    },
    slots,
    sync::{AtomicBool, AtomicU64, Ordering, relax, thread},
};
use std::sync::Arc;

/// How a mutator marks the one object that there is: it is given the world, and says whether it did.
type Mark = fn(&World) -> bool;
/// How it is decided that marking is over; the second argument makes everybody flush.
type Rule = fn(&Grey, &dyn Fn()) -> bool;

/// Two mutators and a white object.
struct World {
    grey: Grey,
    pool: Pool,
    marks: AtomicU64,
    posts: [Post; 2],
    /// Whether the object is in the buffer of a mutator.
    recorded: [AtomicBool; 2],
    mark: Mark,
    publish: fn(&World),
}

impl World {
    fn new(mark: Mark, publish: fn(&World)) -> Arc<World> {
        Arc::new(World {
            grey: Grey::new(),
            pool: Pool::new(),
            marks: AtomicU64::new(0),
            posts: std::array::from_fn(|_| Post::new()),
            recorded: std::array::from_fn(|_| AtomicBool::new(false)),
            mark,
            publish,
        })
    }

    fn record(&self, mutator: usize) {
        self.recorded[mutator].store(true, Ordering::Relaxed);
    }

    fn flush(&self, mutator: usize) {
        let recorded = &self.recorded[mutator];
        if recorded.load(Ordering::Relaxed) {
            recorded.store(false, Ordering::Relaxed);
            if (self.mark)(self) {
                (self.publish)(self);
            }
        }
    }

    fn ask(&self) {
        let mutators = [(self, 0), (self, 1)];
        round(&mutators, |(world, at)| &world.posts[*at], 1, |(world, at)| world.flush(*at), |_| relax());
    }
}

fn announced(world: &World) -> bool {
    slots::mark(&world.marks, 0, || world.grey.announce())
}

fn silent(world: &World) -> bool {
    slots::mark(&world.marks, 0, || ())
}

fn published(world: &World) {
    world.grey.publish(&world.pool, &[8]);
}

/// The wrong twin of [`Grey::publish`]: counts first.
fn counted_before(world: &World) {
    world.grey.announce();
    world.grey.put(&world.pool, &[8]);
}

fn shipped(grey: &Grey, ask: &dyn Fn()) -> bool {
    grey.is_over(ask)
}

/// Mutator 1 has recorded the object. Mutator 0 records it too, whenever it likes, and flushes at once.
fn two_records(mark: Mark, publish: fn(&World), rule: Rule) {
    let world = World::new(mark, publish);
    world.record(1);
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        let post = &other.posts[0];
        post.enter();
        if let Some(request) = post.due() {
            other.flush(0);
            post.answer(request);
        }
        other.record(0);
        other.flush(0);
        post.park();
    });
    let over = rule(&world.grey, &|| world.ask());
    thread.join().expect("it ends");
    assert!(!over || world.grey.is_empty(), "marking is over, and something is grey");
}

#[test]
fn marking_goes_on_while_a_mutator_that_was_visited_shades() {
    let _alone = alone();
    check(|| two_records(announced, published, shipped));
}

#[test]
fn publications_that_nobody_announced_come_too_late() {
    let _alone = alone();
    assert!(rejects(|| two_records(silent, published, shipped)));
}

#[test]
fn publications_that_are_counted_before_they_can_be_found_are_missed() {
    let _alone = alone();
    assert!(rejects(|| two_records(announced, counted_before, shipped)));
}

#[test]
fn a_round_that_turns_something_up_is_not_the_end() {
    let _alone = alone();
    assert!(rejects(|| {
        two_records(announced, published, |grey, ask| {
            let quiet = grey.is_empty() && grey.is_idle();
            ask();
            quiet
        });
    }));
}

#[test]
fn marking_ends_when_all_that_is_recorded_is_marked() {
    let _alone = alone();
    check(|| {
        let world = World::new(announced, published);
        world.marks.store(1, Ordering::Relaxed);
        world.record(0);
        world.record(1);
        let other = Arc::clone(&world);
        let thread = thread::spawn(move || {
            other.posts[0].enter();
            other.record(0);
            other.flush(0);
            other.posts[0].park();
        });
        assert!(world.grey.is_over(|| world.ask()));
        thread.join().expect("it ends");
    });
}

/// A worker takes the last object, and has it in hand.
fn in_hand(work: fn(&Grey, &Pool, &AtomicU64), rule: Rule) {
    let shared = Arc::new((Grey::new(), Pool::new(), words::<1>()));
    shared.0.publish(&shared.1, &[8]);
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || work(&other.0, &other.1, &other.2[0]));
    if rule(&shared.0, &|| ()) {
        assert_eq!(shared.2[0].load(Ordering::Relaxed), 1, "marking is over, and a worker has something in hand");
    }
    thread.join().expect("it ends");
}

fn worker(grey: &Grey, pool: &Pool, scanned: &AtomicU64) {
    grey.start_work();
    if grey.take(pool, &mut Vec::new()) {
        scanned.store(1, Ordering::Relaxed);
    }
    grey.end_work();
}

#[test]
fn marking_goes_on_while_a_worker_has_something_in_hand() {
    let _alone = alone();
    check(|| in_hand(worker, shipped));
}

#[test]
fn who_looks_for_workers_first_and_for_work_then_sees_neither() {
    let _alone = alone();
    assert!(rejects(|| in_hand(worker, |grey, _| grey.is_idle() && grey.is_empty())));
}

#[test]
fn a_worker_that_takes_before_it_says_so_is_not_seen() {
    let _alone = alone();
    assert!(rejects(|| in_hand(
        |grey, pool, scanned| {
            let took = grey.take(pool, &mut Vec::new());
            grey.start_work();
            if took {
                scanned.store(1, Ordering::Relaxed);
            }
            grey.end_work();
        },
        shipped
    )));
}
