//! The cycle ends when everything is swept, and is ended once.

use super::{alone, check, rejects, words};
use crate::{
    gc::{
        phase::{Phase, Stage},
        sweep::Sweep,
    },
    generation::Generation,
    sync::{AtomicU64, Ordering, thread},
};
use std::sync::Arc;

struct World {
    sweep: Sweep,
    stage: Stage,
    span: Generation,
    /// Whether the span is swept, and how often the cycle was ended.
    done: [AtomicU64; 2],
}

/// A step of sweeping in a heap of one span; `leave` is how a sweeper says that it is done, and `over` how it is decided
/// that all is swept.
fn step(world: &World, leave: fn(&Sweep), over: fn(&Sweep) -> bool) {
    world.sweep.enter();
    if world.sweep.next(7).is_some() {
        if world.span.claim(7) {
            world.sweep.advance(7, 1);
            world.done[0].store(1, Ordering::Relaxed);
            world.span.done(7);
        } else {
            world.sweep.finish(7);
        }
    }
    leave(&world.sweep);
    if over(&world.sweep) && world.stage.end_sweep(7) {
        assert_eq!(world.done[0].load(Ordering::Relaxed), 1, "the cycle is over, and a span is not swept");
        world.done[1].fetch_add(1, Ordering::Relaxed);
    }
}

fn two_sweepers(leave: fn(&Sweep), over: fn(&Sweep) -> bool) {
    let world = World { sweep: Sweep::new(), stage: Stage::new(), span: Generation(AtomicU64::new(6)), done: words() };
    world.sweep.begin(7, 1);
    world.stage.enter(7, Phase::Sweep);
    let world = Arc::new(world);
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || step(&other, leave, over));
    step(&world, leave, over);
    thread.join().expect("it ends");
    step(&world, leave, over);
    step(&world, leave, over);
    assert_eq!((world.done[1].load(Ordering::Relaxed), world.stage.now()), (1, (7, Phase::Off)));
}

#[test]
fn the_last_of_two_sweepers_ends_the_cycle() {
    let _alone = alone();
    check(|| two_sweepers(Sweep::leave, |sweep| sweep.is_over(7)));
}

#[test]
fn who_looks_at_the_cursor_alone_ends_the_cycle_too_early() {
    let _alone = alone();
    assert!(rejects(|| two_sweepers(Sweep::leave, |sweep| sweep.next(7).is_none())));
}

// The mistake that shows only where a load may be stale.
#[cfg(heaplaw_loom)]
#[test]
fn who_leaves_relaxed_hides_what_it_has_swept() {
    let _alone = alone();
    let leave = |sweep: &Sweep| _ = sweep.active().fetch_sub(1, Ordering::Relaxed);
    assert!(rejects(move || two_sweepers(leave, |sweep| sweep.is_over(7))));
}
