//! A slot that another thread freed carries what that thread did to it, and is counted before it can be taken.

use super::{alone, central::Spans, check, rejects, words};
use crate::{
    central::Store,
    slots,
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

/// The last owner writes and frees, the next takes and reads; `free` is how the last one frees.
fn hand_over(free: fn(&[AtomicU64])) {
    let shared = Arc::new((words::<1>(), AtomicU64::new(0)));
    shared.0[0].store(1, Ordering::Relaxed);
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        other.1.store(7, Ordering::Relaxed);
        free(&other.0);
    });
    if slots::allocate(&shared.0, 1, 1, |_| ()) == 1 {
        assert_eq!(shared.1.load(Ordering::Relaxed), 7);
    }
    thread.join().expect("it ends");
}

#[test]
fn the_next_owner_sees_what_the_last_one_did() {
    let _alone = alone();
    check(|| hand_over(|bits| assert!(slots::free(bits, 0, 1))));
}

#[cfg(heaplaw_loom)]
#[test]
fn a_relaxed_free_hides_what_the_last_owner_did() {
    let _alone = alone();
    assert!(rejects(|| hand_over(|bits| _ = bits[0].fetch_and(!1, Ordering::Relaxed))));
}

/// A thread frees a slot of a span that the other holds and allocates in; `free` is how.
fn count(free: fn(&Spans)) {
    let spans = Spans::full();
    assert!(spans.central.free(&*spans, 0, 0, 1).sound);
    let span = spans.central.pop(&*spans).expect("it has room");
    let other = Arc::clone(&spans);
    let thread = thread::spawn(move || free(&other));
    spans.central.allocate(&*spans, span, 2, |_| ());
    let room = spans.room(span);
    assert!(room.free() <= 2, "the count fell below zero");
    thread.join().expect("it ends");
    let left = spans.bits(span)[0].load(Ordering::Relaxed).count_zeros() as usize - 62;
    assert_eq!((room.free(), room.is_held()), (left, left > 0));
}

#[test]
fn the_count_is_never_less_than_what_can_be_taken() {
    let _alone = alone();
    check(|| count(|spans| assert!(spans.central.free(spans, 0, 0, 2).sound)));
}

#[test]
fn clearing_bits_before_counting_them_lets_the_count_fall_below_zero() {
    let _alone = alone();
    assert!(rejects(|| {
        count(|spans| {
            slots::free(spans.bits(0), 0, 2);
            if spans.room(0).add(1).1 {
                spans.central.push(spans, 0);
            }
        });
    }));
}
