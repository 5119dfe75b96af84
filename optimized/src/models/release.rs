//! A span that a mutator holds is given back before anything is swept: so it is swept once, by somebody who has it to
//! himself, and whoever takes it from its set takes a span that is swept.
//!
//! One mutator, one span of two slots, of which it has one in its window and the other is garbage. Marking is over. The
//! collector tells the mutator to let go of the span, empties the set, and sweeps; the mutator goes on and allocates.

use super::{alone, central::Spans, check, rejects};
use crate::{
    central::Store,
    gc::{
        handshake::{Post, round},
        phase::{Phase, Stage},
    },
    generation::Generation,
    slots,
    sync::{AtomicBool, AtomicU64, Ordering, relax, thread},
};
use std::sync::Arc;

const CYCLE: u64 = 7;
const SPAN: usize = 0;
/// The slot in the window, and the garbage.
const WINDOW: u64 = 1;
const GARBAGE: u64 = 2;

struct World {
    post: Post,
    stage: Stage,
    spans: Arc<Spans>,
    generation: Generation,
    /// Whether the mutator has the span.
    window: AtomicBool,
    /// How often the span was swept.
    swept: AtomicU64,
}

impl World {
    /// As `State::release`: the slot of the window is given back, and the span goes into its set.
    fn release(&self) {
        if self.window.load(Ordering::Relaxed) {
            self.window.store(false, Ordering::Relaxed);
            self.spans.room(SPAN).add(1);
            assert!(slots::free(self.spans.bits(SPAN), 0, WINDOW), "the window's slot is not the mutator's any more");
            if !self.spans.room(SPAN).let_go() {
                self.spans.central.push(&*self.spans, SPAN);
            }
        }
    }

    /// An operation of the mutator: it allocates, if there is a span to be had.
    fn operate(&self) {
        self.post.enter();
        if let Some(request) = self.post.due() {
            self.release();
            self.post.answer(request);
        }
        // While others are being told, what is in the set is not swept.
        if self.stage.phase() == Phase::Sweep
            && let Some(span) = self.spans.central.pop(&*self.spans)
        {
            assert!(self.generation.is(CYCLE), "a span that is not swept is allocated in");
            self.spans.central.allocate(&*self.spans, span, 1, |_| ());
        }
        self.post.park();
    }

    fn sweep(&self) {
        for span in self.spans.central.take_all(&*self.spans).collect::<Vec<_>>() {
            assert!(!self.generation.is(CYCLE), "span {span} is swept already");
        }
        self.stage.enter(CYCLE, Phase::Sweep);
        if self.generation.claim(CYCLE) {
            // As `Span::sweep`: nothing is marked.
            let bits = &self.spans.bits(SPAN)[0];
            let old = bits.load(Ordering::Relaxed);
            bits.store(old & !GARBAGE & !WINDOW, Ordering::Relaxed);
            self.spans.room(SPAN).reset(2, true);
            self.swept.fetch_add(1, Ordering::Relaxed);
            self.generation.done(CYCLE);
            self.spans.central.push(&*self.spans, SPAN);
        }
    }
}

fn two_operations(collect: fn(&World)) {
    let world = Arc::new(World {
        post: Post::new(),
        stage: Stage::new(),
        spans: Spans::full(),
        generation: Generation(AtomicU64::new(CYCLE - 1)),
        window: AtomicBool::new(true),
        swept: AtomicU64::new(0),
    });
    // Held by the mutator, without room.
    world.spans.room(SPAN).reset(0, true);
    world.stage.enter(CYCLE, Phase::Terminate);
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        other.operate();
        other.operate();
    });
    collect(&world);
    thread.join().expect("it ends");
    assert_eq!(world.swept.load(Ordering::Relaxed), 1);
    let left = world.spans.rest();
    assert!(left.len() <= 2 && world.spans.bits(SPAN)[0].load(Ordering::Relaxed) == 3, "{left:?} is left");
}

fn ask(world: &World) {
    round(&[world], |world| &world.post, 1, |world| world.release(), |_| relax());
}

#[test]
fn what_a_mutator_holds_is_given_back_before_it_is_swept() {
    let _alone = alone();
    check(|| {
        two_operations(|world| {
            ask(world);
            world.sweep();
        });
    });
}

#[test]
fn a_sweep_that_does_not_wait_sweeps_what_a_mutator_holds() {
    let _alone = alone();
    assert!(rejects(|| {
        two_operations(|world| {
            world.sweep();
            ask(world);
        });
    }));
}
