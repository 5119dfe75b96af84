//! Who finds a pointer to an object sees the object initialised: where its pointers are, and that it reads nil and zero.
//!
//! A mutator allocates in a slot that was used before, and a scanner comes upon the only pointer to it. A large object
//! is the same with more words, and with a span that is born with it: the page index publishes that.

use super::{alone, check};
use crate::{
    arena::Page,
    layout,
    space::{get, put},
    sync::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, thread},
};
use std::{slice, sync::Arc};

/// What the next object in the slot has of pointer fields; the last one had all.
const POINTERS: usize = 1;

struct World {
    /// The words of the slot, with what the last object left there.
    words: [AtomicUsize; 2],
    layout: AtomicU64,
    page: (AtomicU8, AtomicU32),
    /// The field or the global by which the object is found.
    cell: AtomicUsize,
}

impl World {
    fn zero(&self) {
        // As `Space::zero`.
        for word in &self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn lay_out(&self) {
        layout::set(slice::from_ref(&self.layout), 1, 0, POINTERS);
    }

    fn page(&self) -> Page<'_> {
        Page { kind: &self.page.0, back: &self.page.1 }
    }
}

/// `allocate` is how the object comes to be, and `look` how the scanner loads the pointer.
fn find(allocate: fn(&World), look: fn(&AtomicUsize) -> usize) {
    let world = Arc::new(World {
        words: std::array::from_fn(|_| AtomicUsize::new(99)),
        layout: AtomicU64::new(1),
        page: (AtomicU8::new(0), AtomicU32::new(0)),
        cell: AtomicUsize::new(0),
    });
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || allocate(&other));
    if look(&world.cell) != 0 {
        assert_eq!((world.page().kind(), world.page().back()), (5, 3), "the span is not there");
        assert_eq!(
            layout::get(slice::from_ref(&world.layout), 1, 0),
            POINTERS,
            "the fields are those of the last object"
        );
        for word in &world.words {
            assert_eq!(word.load(Ordering::Relaxed), 0, "what the last object left is taken for a pointer");
        }
    }
    thread.join().expect("it ends");
}

fn born(world: &World) {
    world.page().lead(3);
    world.page().publish(5);
}

#[test]
fn who_finds_an_object_sees_it_initialised() {
    let _alone = alone();
    check(|| {
        find(
            |world| {
                born(world);
                world.zero();
                world.lay_out();
                put(&world.cell, 8);
            },
            get,
        );
    });
}

#[test]
fn an_object_that_is_zeroed_late_is_scanned_as_it_was_left() {
    let _alone = alone();
    assert!(super::rejects(|| {
        find(
            |world| {
                born(world);
                world.lay_out();
                put(&world.cell, 8);
                world.zero();
            },
            get,
        );
    }));
}

#[test]
fn an_object_that_is_laid_out_late_is_scanned_as_the_last_one() {
    let _alone = alone();
    assert!(super::rejects(|| {
        find(
            |world| {
                born(world);
                world.zero();
                put(&world.cell, 8);
                world.lay_out();
            },
            get,
        );
    }));
}

#[cfg(heaplaw_loom)]
#[test]
fn a_pointer_that_is_stored_or_loaded_relaxed_leads_to_what_is_not_there_yet() {
    let _alone = alone();
    let relaxed = |world: &World| {
        born(world);
        world.zero();
        world.lay_out();
        world.cell.store(8, Ordering::Relaxed);
    };
    assert!(super::rejects(move || find(relaxed, get)));
    let sound = |world: &World| {
        born(world);
        world.zero();
        world.lay_out();
        put(&world.cell, 8);
    };
    assert!(super::rejects(move || find(sound, |cell| cell.load(Ordering::Relaxed))));
}
