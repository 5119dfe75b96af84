//! However many find the trigger reached, one orders a cycle; and who waits for one is woken.

use super::{alone, check, rejects};
use crate::{
    gc::worker::Work,
    sync::{relax, thread},
};
use std::sync::Arc;

/// The trigger of the first cycle.
const TRIGGER: usize = 4 << 20;
/// What is live then: the second cycle is not due.
const LIVE: usize = 5 << 20;

/// A mutator that finds a cycle due.
fn look(work: &Work, again: fn() -> usize) {
    if work.is_due(LIVE) {
        work.trigger(again);
    }
}

#[test]
fn two_that_find_a_cycle_due_order_one() {
    let _alone = alone();
    check(|| {
        let work = Arc::new(Work::new(TRIGGER));
        let other = Arc::clone(&work);
        let thread = thread::spawn(move || look(&other, || LIVE));
        look(&work, || LIVE);
        thread.join().expect("it ends");
        assert_eq!(work.begin(), 1);
    });
}

/// A mutator looks while the cycle that was due comes to its end.
fn late(again: fn() -> usize) {
    let work = Arc::new(Work::new(TRIGGER));
    look(&work, || LIVE);
    assert_eq!(work.begin(), 1);
    let other = Arc::clone(&work);
    let thread = thread::spawn(move || look(&other, again));
    work.settle(2 * LIVE);
    thread.join().expect("it ends");
    assert_eq!(work.begin(), 1, "a cycle is ordered that is not due");
}

#[test]
fn who_finds_a_cycle_due_that_is_over_orders_none() {
    let _alone = alone();
    check(|| late(|| LIVE));
}

#[test]
fn who_does_not_look_again_orders_a_needless_one() {
    let _alone = alone();
    assert!(rejects(|| late(|| usize::MAX)));
}

/// A worker takes up what was ordered when less was allowed. It may be due again by then, as here it is in the end.
fn idle(forget: fn(&Work)) {
    let work = Arc::new(Work::new(TRIGGER));
    look(&work, || LIVE);
    assert_eq!(work.begin(), 1);
    work.aim(2 * LIVE);
    let other = Arc::clone(&work);
    let thread = thread::spawn(move || {
        if other.is_due(LIVE) {
            other.settle(TRIGGER);
        } else {
            forget(&other);
        }
    });
    work.aim(TRIGGER);
    look(&work, || LIVE);
    thread.join().expect("it ends");
    look(&work, || LIVE);
    assert_eq!(work.begin(), 2, "a cycle is due, and nobody can order it");
}

#[test]
fn an_order_that_comes_to_nothing_lets_the_next_one_come() {
    let _alone = alone();
    check(|| idle(Work::forget));
}

#[test]
fn who_does_not_say_that_an_order_came_to_nothing_has_no_other() {
    let _alone = alone();
    assert!(rejects(|| idle(|_| ())));
}

/// A mutator waits for a cycle, which a worker takes up and is `done` with.
fn wait(done: fn(&Work, u64)) {
    let work = Arc::new(Work::new(TRIGGER));
    work.open();
    let other = Arc::clone(&work);
    let thread = thread::spawn(move || assert!(other.cycle(), "there are workers"));
    let ticket = loop {
        match work.begin() {
            0 => relax(),
            ticket => break ticket,
        }
    };
    done(&work, ticket);
    thread.join().expect("it wakes");
}

#[test]
fn who_waits_for_a_cycle_is_woken_when_it_is_over() {
    let _alone = alone();
    check(|| wait(Work::done));
}

#[test]
fn who_is_woken_before_it_is_over_sleeps_on() {
    let _alone = alone();
    assert!(rejects(|| wait(Work::done_late)));
}
