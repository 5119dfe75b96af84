//! Nothing is scanned before every mutator uses the barrier: who stores into a scanned object has recorded what.
//!
//! One mutator, whose root holds `b`, and an object `a` of one field. The mutator stores `b` in `a` and forgets it. The
//! collector arms, scans `a`, and then scans the root and flushes.

use super::{alone, check, rejects};
use crate::{
    gc::{
        handshake::{Post, Roll, halt, round},
        phase::{Phase, Stage},
    },
    sync::{AtomicBool, AtomicU64, Ordering, relax, thread},
};
use std::sync::Arc;

const ARM: u64 = 1;
const SCAN: u64 = 2;

struct World {
    post: Post,
    barrier: AtomicBool,
    /// Whether the root holds `b`, and whether the field does.
    root: AtomicBool,
    field: AtomicBool,
    /// Whether `b` is in the buffer, and whether it is marked.
    recorded: AtomicBool,
    marked: AtomicBool,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            post: Post::new(),
            barrier: AtomicBool::new(false),
            root: AtomicBool::new(true),
            field: AtomicBool::new(false),
            recorded: AtomicBool::new(false),
            marked: AtomicBool::new(false),
        })
    }

    fn act(&self, request: u64) {
        // Relaxed, all: it is the post that orders.
        if request == ARM {
            self.barrier.store(true, Ordering::Relaxed);
        } else if self.root.load(Ordering::Relaxed) || self.recorded.load(Ordering::Relaxed) {
            self.marked.store(true, Ordering::Relaxed);
        }
    }

    fn operate(&self, operation: impl FnOnce(&World)) {
        self.post.enter();
        if let Some(request) = self.post.due() {
            self.act(request);
            self.post.answer(request);
        }
        operation(self);
        self.post.park();
    }

    fn ask(&self, request: u64) {
        round(&[self], |world| &world.post, request, |world| world.act(request), |_| relax());
    }
}

/// `arm` is how the barrier is put on.
fn hide(arm: fn(&World)) {
    let world = World::new();
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        other.operate(|world| {
            if world.barrier.load(Ordering::Relaxed) {
                world.recorded.store(true, Ordering::Relaxed);
            }
            world.field.store(true, Ordering::Release);
            world.root.store(false, Ordering::Relaxed);
        });
    });
    arm(&world);
    if world.field.load(Ordering::Acquire) {
        world.marked.store(true, Ordering::Relaxed);
    }
    world.ask(SCAN);
    thread.join().expect("it ends");
    assert!(world.marked.load(Ordering::Relaxed), "b is lost");
}

#[test]
fn a_mutator_that_was_asked_to_records_what_it_hides() {
    let _alone = alone();
    check(|| hide(|world| world.ask(ARM)));
}

#[test]
fn a_barrier_that_is_put_on_without_asking_comes_too_late() {
    let _alone = alone();
    assert!(rejects(|| hide(|world| world.barrier.store(true, Ordering::SeqCst))));
}

/// A mutator leaves, while the collector asks. What it did before is seen by who does not get an answer.
fn leave(bye: fn(&World)) {
    let world = World::new();
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        other.post.enter();
        other.act(SCAN);
        bye(&other);
    });
    world.ask(ARM);
    let answered = world.post.due().is_none();
    assert!(answered || world.marked.load(Ordering::Relaxed), "the flush of who has left is not seen");
    thread.join().expect("it ends");
    assert!(world.marked.load(Ordering::Relaxed));
}

#[test]
fn who_leaves_holds_no_round_up_and_is_seen_to_have_flushed() {
    let _alone = alone();
    check(|| leave(|world| world.post.leave()));
}

// Loom gives up on a round without end.
#[cfg(heaplaw_loom)]
#[test]
fn who_goes_without_leaving_holds_the_round_up_for_ever() {
    let _alone = alone();
    assert!(rejects(|| leave(|_| ())));
}

/// A mutator that joins.
struct Newcomer {
    post: Post,
    barrier: AtomicBool,
    recorded: AtomicBool,
}

impl Newcomer {
    fn of(post: Post, phase: Phase) -> Newcomer {
        let armed = AtomicBool::new(phase == Phase::Arm);
        Newcomer { post, barrier: armed, recorded: AtomicBool::new(false) }
    }

    fn arm(&self) {
        self.barrier.store(true, Ordering::Relaxed);
    }
}

/// A mutator joins while the collector arms, and stores. If the collector does not find that in the field that it looks at
/// after the round, the barrier has recorded it. `join` is how it does.
fn arrive(join: fn(&Stage, &Roll<Newcomer>) -> Arc<Newcomer>) {
    let world = Arc::new((Stage::new(), Roll::new(), AtomicBool::new(false)));
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        let (stage, roll, field) = &*other;
        let new = join(stage, roll);
        new.post.enter();
        if let Some(request) = new.post.due() {
            new.arm();
            new.post.answer(request);
        }
        // Relaxed, all but the store: it is the post that orders.
        new.recorded.store(new.barrier.load(Ordering::Relaxed), Ordering::Relaxed);
        field.store(true, Ordering::Release);
        new.post.park();
        new
    });
    let (stage, roll, field) = &*world;
    stage.enter(0, Phase::Arm);
    round(&roll.call(), |new| &new.post, ARM, |new| new.arm(), |_| relax());
    let seen = field.load(Ordering::Acquire);
    let new = thread.join().expect("it ends");
    assert!(seen || new.recorded.load(Ordering::Relaxed), "what it stored is neither seen nor recorded");
}

#[test]
fn who_joins_during_a_round_is_asked_or_joins_armed() {
    let _alone = alone();
    check(|| arrive(|stage, roll| roll.join(|post| Newcomer::of(post, stage.phase()))));
}

#[test]
fn who_looks_at_the_phase_before_the_roll_is_locked_is_neither() {
    let _alone = alone();
    assert!(rejects(|| {
        arrive(|stage, roll| {
            let phase = stage.phase();
            roll.join(|post| Newcomer::of(post, phase))
        })
    }));
}

/// A mutator that counts objects and their bytes.
struct Counting {
    post: Post,
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Counting {
    fn with(post: Post) -> Counting {
        Counting { post, objects: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn allocate(&self) {
        self.post.enter();
        if let Some(request) = self.post.due() {
            self.post.stand(request);
        }
        // Relaxed, all: it is the post that orders.
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(8, Ordering::Relaxed);
        self.post.park();
    }
}

/// A mutator allocates twice, and leaves. Meanwhile somebody else looks, and looks again, after `before` and until `after`:
/// what is seen belongs together.
fn cut(join: fn(&Roll<Counting>) -> Arc<Counting>, before: fn(&Roll<Counting>), after: fn(&Roll<Counting>)) {
    let roll = Arc::new(Roll::new());
    let other = Arc::clone(&roll);
    let thread = thread::spawn(move || {
        let one = join(&other);
        one.allocate();
        one.post.enter();
        one.post.leave();
    });
    before(&roll);
    let look = || {
        let all = roll.call();
        let sum = |of: fn(&Counting) -> &AtomicU64| all.iter().map(|one| of(one).load(Ordering::Relaxed)).sum::<u64>();
        [sum(|one| &one.objects), sum(|one| &one.bytes)]
    };
    let [objects, bytes] = look();
    let again = look();
    after(&roll);
    thread.join().expect("it ends");
    assert_eq!([objects, 8 * objects], [again[0], bytes], "they did not stand still");
}

fn stop(roll: &Roll<Counting>) {
    halt(roll, |one| &one.post, 1, |_| relax());
}

fn go_on(roll: &Roll<Counting>) {
    roll.resume(|one| &one.post);
}

#[test]
fn what_is_seen_while_all_are_halted_belongs_together() {
    let _alone = alone();
    check(|| cut(|roll| roll.join(Counting::with), stop, go_on));
}

#[test]
fn who_joins_and_runs_while_all_are_halted_spoils_it() {
    let _alone = alone();
    assert!(rejects(|| cut(|roll| roll.join(|_| Counting::with(Post::new())), stop, |_| ())));
}

#[test]
fn a_round_that_gives_back_halts_nobody() {
    let _alone = alone();
    let ask = |roll: &Roll<Counting>| round(&roll.call(), |one| &one.post, 1, |_| (), |_| relax());
    assert!(rejects(move || cut(|roll| roll.join(Counting::with), ask, |_| ())));
}
