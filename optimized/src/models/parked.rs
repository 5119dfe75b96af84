//! A large span that is parked is taken by one mutator, which finds it as the one left it that parked it.

use super::{alone, check, rejects, words};
use crate::{
    central::Store,
    parked::Parked,
    slots::Room,
    stack::Links,
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

/// The pages of each span.
const PAGES: usize = 8;

/// Two allocated spans of one slot, and a word in each.
struct Spans {
    parked: Parked,
    links: [AtomicU64; 2],
    rooms: [Room; 2],
    bits: [[AtomicU64; 1]; 2],
    content: [AtomicU64; 2],
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
        1
    }
}

impl Spans {
    fn allocated() -> Arc<Spans> {
        Arc::new(Spans {
            parked: Parked::new(),
            links: words(),
            rooms: std::array::from_fn(|_| Room(AtomicU64::new(0))),
            bits: std::array::from_fn(|_| [AtomicU64::new(1)]),
            content: words(),
        })
    }

    /// Writes into a span that this thread owns, and frees it.
    fn free(&self, span: usize, park: fn(&Spans, usize)) {
        self.content[span].store(7, Ordering::Relaxed);
        park(self, span);
    }

    /// Takes a span, and writes into it.
    fn take(&self) -> Option<usize> {
        let span = self.parked.take(self, PAGES)?;
        assert_eq!(self.content[span].load(Ordering::Relaxed), 7, "span {span} is not as it was left");
        self.content[span].store(8, Ordering::Relaxed);
        Some(span)
    }
}

/// Two threads free a span each, and take one.
fn free_and_take(park: fn(&Spans, usize)) {
    let spans = Spans::allocated();
    let other = Arc::clone(&spans);
    let thread = thread::spawn(move || {
        other.free(0, park);
        other.take()
    });
    spans.free(1, park);
    let taken = [spans.take(), thread.join().expect("it ends")];
    assert!(taken[0].is_none() || taken[0] != taken[1], "both got {taken:?}");
    let state = |span: usize| (spans.bits(span)[0].load(Ordering::Relaxed), spans.room(span).free());
    for span in 0..2 {
        let expected = if taken.contains(&Some(span)) { (1, 0) } else { (0, 1) };
        assert_eq!(state(span), expected, "span {span} after {taken:?}");
    }
    let rest: Vec<_> = spans.parked.take_all(&*spans).collect();
    assert_eq!(rest.len() + taken.iter().flatten().count(), 2, "{taken:?} and then {rest:?}");
    assert_eq!(spans.parked.pages(), rest.len() * PAGES);
}

#[test]
fn who_takes_a_parked_span_has_it_alone_and_as_it_was_left() {
    let _alone = alone();
    check(|| free_and_take(|spans, span| assert!(spans.parked.park(spans, span, PAGES))));
}

/// The wrong twin of [`Parked::park`] says that the span is empty when it may have been taken already.
#[test]
fn emptying_a_span_after_it_is_parked_empties_somebody_elses() {
    let _alone = alone();
    assert!(rejects(|| {
        free_and_take(|spans, span| {
            assert!(spans.parked.park(spans, span, PAGES));
            spans.bits(span)[0].store(0, Ordering::Relaxed);
            spans.room(span).reset(1, true);
        });
    }));
}
