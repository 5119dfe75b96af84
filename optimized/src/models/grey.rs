//! Addresses that are published are taken, once each, whether they come in blocks or were spilled.

use super::{alone, check, rejects, words};
use crate::{
    gc::grey::{Blocks, Grey},
    stack::{Links, Stack},
    sync::{AtomicU64, AtomicUsize, Ordering, thread},
};
use std::sync::Arc;

/// One block, of one address.
pub(super) struct Pool([AtomicUsize; 2], [AtomicU64; 1]);

impl Pool {
    pub(super) fn new() -> Pool {
        Pool(std::array::from_fn(|_| AtomicUsize::new(0)), words())
    }
}

impl Links for Pool {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.1[number]
    }
}

impl Blocks for Pool {
    fn block(&self, _: usize) -> &[AtomicUsize] {
        &self.0
    }

    fn blocks(&self) -> usize {
        1
    }
}

#[test]
fn what_two_publish_two_take() {
    let _alone = alone();
    check(|| {
        let shared = Arc::new((Grey::new(), Pool::new()));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            other.0.publish(&other.1, &[8]);
            let mut taken = Vec::new();
            other.0.take(&other.1, &mut taken);
            taken
        });
        shared.0.publish(&shared.1, &[16]);
        let mut taken = Vec::new();
        shared.0.take(&shared.1, &mut taken);
        taken.extend(thread.join().expect("it ends"));
        while shared.0.take(&shared.1, &mut taken) {}
        taken.sort_unstable();
        assert_eq!((taken, shared.0.is_empty()), (vec![8, 16], true));
    });
}

/// Hands a block over, as `publish` does.
fn hand_over(publish: fn(&Pool, &Stack)) {
    let shared = Arc::new((Pool::new(), Stack::new()));
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || publish(&other.0, &other.1));
    if let Some(number) = shared.1.pop(&shared.0) {
        assert_eq!(shared.0.block(number)[1].load(Ordering::Relaxed), 8);
    }
    thread.join().expect("it ends");
}

#[test]
fn who_takes_a_block_sees_what_is_in_it() {
    let _alone = alone();
    check(|| {
        hand_over(|pool, stack| {
            pool.block(0)[1].store(8, Ordering::Relaxed);
            stack.push(pool, 0);
        });
    });
}

#[test]
fn a_block_that_is_published_first_and_filled_then_is_taken_empty() {
    let _alone = alone();
    assert!(rejects(|| {
        hand_over(|pool, stack| {
            stack.push(pool, 0);
            pool.block(0)[1].store(8, Ordering::Relaxed);
        });
    }));
}
