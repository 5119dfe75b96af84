//! Two threads that pop and push lose no element and get none twice.

use super::{alone, check, rejects, words};
use crate::{
    stack::{Links, Stack},
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

struct Boxed([AtomicU64; 3]);

impl Links for Boxed {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.0[number]
    }
}

/// What a model needs of a stack.
trait Stacked: Send + Sync + 'static {
    fn empty() -> Self;
    fn push(&self, links: &Boxed, number: usize);
    fn pop(&self, links: &Boxed) -> Option<usize>;
}

impl Stacked for Stack {
    fn empty() -> Self {
        Stack::new()
    }

    fn push(&self, links: &Boxed, number: usize) {
        Stack::push(self, links, number);
    }

    fn pop(&self, links: &Boxed) -> Option<usize> {
        Stack::pop(self, links)
    }
}

/// The wrong twin: no tag, so that an exchange succeeds although everything below has changed; and, if `RELAXED`, a push
/// that releases nothing (1), or a pop that acquires nothing (2).
struct Untagged<const RELAXED: u8>(AtomicU64);

impl<const RELAXED: u8> Stacked for Untagged<RELAXED> {
    fn empty() -> Self {
        Untagged(AtomicU64::new(0))
    }

    fn push(&self, links: &Boxed, number: usize) {
        let mut head = self.0.load(Ordering::Relaxed);
        let order = if RELAXED == 1 { Ordering::Relaxed } else { Ordering::Release };
        loop {
            links.link(number).store(head, Ordering::Relaxed);
            match self.0.compare_exchange(head, number as u64 + 1, order, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop(&self, links: &Boxed) -> Option<usize> {
        let order = if RELAXED == 2 { Ordering::Relaxed } else { Ordering::Acquire };
        let mut head = self.0.load(order);
        loop {
            let number = head.checked_sub(1)? as usize;
            let next = links.link(number).load(Ordering::Relaxed);
            match self.0.compare_exchange(head, next, order, order) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }
}

/// One thread pops while another pops twice and puts the first back.
fn aba<S: Stacked>() {
    let shared = Arc::new((S::empty(), Boxed(words())));
    for number in [2, 1, 0] {
        shared.0.push(&shared.1, number);
    }
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        let (stack, links) = &*other;
        let (a, b) = (stack.pop(links), stack.pop(links));
        if let Some(a) = a {
            stack.push(links, a);
        }
        b
    });
    let mine = shared.0.pop(&shared.1);
    let theirs = thread.join().expect("it ends");
    let mut seen: Vec<_> = mine.into_iter().chain(theirs).collect();
    while let Some(number) = shared.0.pop(&shared.1) {
        assert!(seen.len() < 3, "more elements than there are: {mine:?} {theirs:?} {seen:?} {number}");
        seen.push(number);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}

/// Who pops an element sees what was written before it was pushed, also if another was pushed upon it.
fn publishes<S: Stacked>() {
    let shared = Arc::new((S::empty(), Boxed(words()), AtomicU64::new(0)));
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        other.2.store(7, Ordering::Relaxed);
        other.0.push(&other.1, 0);
    });
    shared.0.push(&shared.1, 1);
    let popped = [shared.0.pop(&shared.1), shared.0.pop(&shared.1)];
    if popped.contains(&Some(0)) {
        assert_eq!(shared.2.load(Ordering::Relaxed), 7);
    }
    thread.join().expect("it ends");
}

#[test]
fn every_element_is_popped_once() {
    let _alone = alone();
    check(aba::<Stack>);
}

#[test]
fn without_a_tag_an_element_is_popped_twice() {
    let _alone = alone();
    assert!(rejects(aba::<Untagged<0>>));
}

#[test]
fn what_was_written_before_a_push_is_seen_after_the_pop() {
    let _alone = alone();
    check(publishes::<Stack>);
}

#[cfg(heaplaw_loom)]
#[test]
fn a_relaxed_push_publishes_nothing() {
    let _alone = alone();
    assert!(rejects(publishes::<Untagged<1>>));
}

#[cfg(heaplaw_loom)]
#[test]
fn a_relaxed_pop_sees_nothing() {
    let _alone = alone();
    assert!(rejects(publishes::<Untagged<2>>));
}
