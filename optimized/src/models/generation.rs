//! A span is swept once in a cycle, and who finds it swept finds it as it was left; an object is marked once.

use super::{alone, check, rejects, words};
use crate::{
    generation::Generation,
    slots,
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

/// Two sweepers come upon a span; `claim` is how they claim it.
fn sweep(claim: fn(&Generation) -> bool) {
    let shared = Arc::new((Generation(AtomicU64::new(6)), words::<1>()));
    let sweep = move |(generation, bits): &(Generation, [AtomicU64; 1])| {
        let mine = claim(generation);
        if mine {
            bits[0].store(bits[0].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            generation.done(7);
        } else if generation.is(7) {
            assert_eq!(bits[0].load(Ordering::Relaxed), 1, "it is swept, and does not look like it");
        }
        mine
    };
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || sweep(&other));
    let mine = sweep(&shared);
    let theirs = thread.join().expect("it ends");
    assert!(mine != theirs, "it is swept {} times", usize::from(mine) + usize::from(theirs));
    assert!(shared.0.is(7) && !shared.0.claim(7));
}

#[test]
fn one_of_two_sweepers_sweeps() {
    let _alone = alone();
    check(|| sweep(|generation| generation.claim(7)));
}

#[test]
fn a_claim_without_an_exchange_lets_both_sweep() {
    let _alone = alone();
    assert!(rejects(|| {
        sweep(|generation| {
            let free = generation.0.load(Ordering::Acquire) == 6;
            if free {
                generation.0.store(u64::MAX, Ordering::Relaxed);
            }
            free
        });
    }));
}

/// Two markers find neighbours, and both find one of them.
fn mark(mark: fn(&AtomicU64, usize) -> bool) {
    let shared = Arc::new(words::<1>());
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || [mark(&other[0], 1), mark(&other[0], 2)]);
    let mine = [mark(&shared[0], 1), mark(&shared[0], 0)];
    let theirs = thread.join().expect("it ends");
    assert!(mine[1] && theirs[1] && mine[0] != theirs[0], "{mine:?} {theirs:?}");
    assert_eq!(shared[0].load(Ordering::Relaxed), 0b111);
}

#[test]
fn one_of_two_markers_marks() {
    let _alone = alone();
    check(|| mark(|word, bit| slots::mark(word, bit, || ())));
}

#[test]
fn a_mark_without_a_read_modify_write_loses_a_neighbours() {
    let _alone = alone();
    assert!(rejects(|| {
        mark(|word, bit| {
            let old = word.load(Ordering::Acquire);
            word.store(old | 1 << bit, Ordering::Release);
            old >> bit & 1 == 0
        });
    }));
}
