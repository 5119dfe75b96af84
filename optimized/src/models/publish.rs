//! Who finds a page's kind in the index sees the whole span behind it.
//!
//! The index in miniature: one page, whose kind is published after everything else about its span.

use super::{alone, check};
use crate::{
    arena::Page,
    sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, thread},
};
use std::sync::Arc;

/// A thread makes a span while another looks it up; `publish` is how it is published.
fn look_up(publish: fn(Page<'_>)) {
    let shared = Arc::new((AtomicU8::new(0), AtomicU32::new(0), AtomicU64::new(0)));
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        // The record: slots, size and so on.
        other.2.store(64, Ordering::Relaxed);
        publish(Page { kind: &other.0, back: &other.1 });
    });
    let page = Page { kind: &shared.0, back: &shared.1 };
    if page.kind() != 0 {
        assert_eq!((page.back(), shared.2.load(Ordering::Relaxed)), (3, 64));
    }
    thread.join().expect("it ends");
}

#[test]
fn who_sees_a_kind_sees_the_span() {
    let _alone = alone();
    check(|| {
        look_up(|page| {
            page.lead(3);
            page.publish(5);
        });
    });
}

#[cfg(heaplaw_loom)]
#[test]
fn a_kind_that_is_stored_relaxed_shows_half_a_span() {
    let _alone = alone();
    assert!(super::rejects(|| {
        look_up(|page| {
            page.lead(3);
            page.kind.store(5, Ordering::Relaxed);
        });
    }));
}

#[test]
fn a_kind_that_is_stored_first_shows_half_a_span() {
    let _alone = alone();
    assert!(super::rejects(|| {
        look_up(|page| {
            page.publish(5);
            page.lead(3);
        });
    }));
}
