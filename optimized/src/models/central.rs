//! A span with room is held exactly once: it is never lost, and two mutators never allocate in it at the same time.

use super::{alone, check, rejects, words};
use crate::{
    central::{Central, Store},
    slots::Room,
    stack::Links,
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

/// Two spans of two slots.
pub(super) struct Spans {
    pub(super) central: Central,
    links: [AtomicU64; 2],
    rooms: [Room; 2],
    bits: [[AtomicU64; 1]; 2],
}

impl Links for Spans {
    fn link(&self, number: usize) -> &AtomicU64 {
        &self.links[number]
    }
}

impl Store for Spans {
    fn room(&self, span: usize) -> &Room {
        &self.rooms[span]
    }

    fn bits(&self, span: usize) -> &[AtomicU64] {
        &self.bits[span]
    }

    fn slots(&self, _: usize) -> usize {
        2
    }
}

impl Spans {
    /// Both spans are full.
    pub(super) fn full() -> Arc<Spans> {
        let spans = Spans {
            central: Central::new(),
            links: words(),
            rooms: std::array::from_fn(|_| Room(AtomicU64::new(0))),
            bits: std::array::from_fn(|_| [AtomicU64::new(3)]),
        };
        Arc::new(spans)
    }

    /// Allocates a slot of whatever span has one.
    pub(super) fn take(&self) -> Option<(usize, usize)> {
        let span = self.central.pop(self)?;
        let mut taken = None;
        self.central.allocate(self, span, 1, |slot| taken = Some((span, slot)));
        taken
    }

    /// Everything that is free.
    pub(super) fn rest(&self) -> Vec<(usize, usize)> {
        let mut rest = Vec::new();
        while let Some(slot) = self.take() {
            assert!(rest.len() < 4 && !rest.contains(&slot), "{slot:?} twice, after {rest:?}");
            rest.push(slot);
        }
        rest
    }
}

#[test]
fn what_two_threads_free_and_take_is_neither_lost_nor_taken_twice() {
    let _alone = alone();
    check(|| {
        let spans = Spans::full();
        let other = Arc::clone(&spans);
        let thread = thread::spawn(move || {
            assert!(other.central.free(&*other, 0, 0, 1).sound);
            other.take()
        });
        assert!(spans.central.free(&*spans, 0, 0, 2).sound);
        let mine = spans.take();
        let theirs = thread.join().expect("it ends");
        assert!(mine.is_none() || mine != theirs, "both got {mine:?}");
        let mut all: Vec<_> = spans.rest().into_iter().chain(mine).chain(theirs).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (0, 1)]);
    });
}

#[test]
fn a_span_is_emptied_once_however_many_free_its_last_slots() {
    let _alone = alone();
    check(|| {
        let spans = Spans::full();
        let other = Arc::clone(&spans);
        let thread = thread::spawn(move || other.central.free(&*other, 1, 0, 1).emptied);
        let mine = spans.central.free(&*spans, 1, 0, 2).emptied;
        assert!(mine ^ thread.join().expect("it ends"));
        assert!(crate::slots::all_free(spans.bits(1)) && spans.central.pop(&*spans) == Some(1));
        assert_eq!(spans.central.pop(&*spans), None);
    });
}

/// The wrong twin of [`Room::let_go`] looks first and lets go then; what is freed in between belongs to a span that
/// nobody holds.
#[test]
fn looking_before_letting_go_loses_a_span() {
    let _alone = alone();
    assert!(rejects(|| {
        let spans = Spans::full();
        spans.room(0).add(1);
        let other = Arc::clone(&spans);
        let thread = thread::spawn(move || other.central.free(&*other, 0, 0, 1));
        // We hold the span, and take back what was counted.
        spans.room(0).remove(1);
        if spans.room(0).free() == 0 {
            spans.room(0).0.fetch_and((1 << 32) - 1, Ordering::AcqRel);
        } else {
            spans.central.push(&*spans, 0);
        }
        thread.join().expect("it ends");
        assert_eq!(spans.rest(), [(0, 0)]);
    }));
}
