//! Handshakes: how a collector gets something done at every mutator without stopping them all at once. A kernel, above
//! [`sync`](crate::sync) alone.
//!
//! Each mutator has a [`Post`]. The collector leaves a request there. A mutator that runs finds it at its next safepoint
//! and does itself what is asked for; for one that is parked the collector does it, and the mutator cannot run meanwhile.
//! So a round has reached everybody once, each at a time of its own, and no one has waited for any other.
//!
//! ```text
//!              enter                     ask ──▶ asked ≠ answered
//!   parked ◀────────▶ running            running: act, answer at the next safepoint
//!      ▲  park                           parked:  borrow, act, answer, give back
//!      └───────▶ borrowed
//!  borrow / give back
//! ```
//!
//! To [`halt`] is a round that does not give back: when it is over, nobody runs, and nobody can before the [`Roll`] is
//! resumed. Who is asked for that does nothing but park, and waits there until it is borrowed.
//!
//! Invariants:
//! * **One actor.** What belongs to a mutator is touched by the mutator while it runs, and by the collector while it has
//!   borrowed it; a word decides which.
//! * **Once.** What is asked for is done once, and only between two operations of the mutator.
//! * A mutator that has left has done all that could be asked of it.
//! * **Asked, or told.** Who joins is in the [`Roll`] before the collector calls it, and is asked; or looks at what was
//!   decided before that, and joins accordingly. There is nothing in between: both happen under the roll's lock.
//! * While the roll is halted, all that are on it are borrowed, also who joins, or have left.
//!
//! Orderings: entering and borrowing acquire, parking and giving back release, so each actor sees what the last one did.
//! Asking is a release that a mutator's look acquires, answering a release that the collector's look acquires: what came
//! before the request is seen by who answers, and what came before the answer by who asked.
//!
//! Source: Go's `forEachP` and `safePointFn` in `proc.go`; the ragged handshakes of Doligez, Leroy and Gonthier.

use crate::{
    sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock, rest},
    twin::{Twin, wrong},
};
use std::sync::Arc;

const PARKED: u32 = 0;
const RUNNING: u32 = 1;
const BORROWED: u32 = 2;
const LEFT: u32 = 3;

/// Where a mutator and the collector meet.
#[derive(Debug)]
pub(crate) struct Post {
    state: AtomicU32,
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Post {
    /// Of a mutator that is parked.
    pub(crate) fn new() -> Post {
        Post::of(PARKED)
    }

    fn of(state: u32) -> Post {
        Post { state: AtomicU32::new(state), asked: AtomicU64::new(0), answered: AtomicU64::new(0) }
    }

    // ---- for the mutator

    /// Begins to run; waits while the collector has borrowed what is the mutator's.
    #[inline]
    pub(crate) fn enter(&self) {
        let mut waits = 0;
        // Acquire: pairs with the release in `give_back`, and in `park` by a mutator on another thread.
        while self.state.compare_exchange(PARKED, RUNNING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            rest(waits);
            waits += 1;
        }
    }

    /// Ceases to run.
    #[inline]
    pub(crate) fn park(&self) {
        // Release: pairs with the acquire in `borrow` and `enter`.
        self.state.store(PARKED, Ordering::Release);
    }

    /// Ceases to be a mutator, for good.
    pub(crate) fn leave(&self) {
        // Release: pairs with the acquire in `is_done`.
        self.state.store(LEFT, Ordering::Release);
    }

    /// The request that is not answered yet, if there is one.
    #[inline]
    pub(crate) fn due(&self) -> Option<u64> {
        // Acquire: pairs with the release in `ask`. Relaxed: only who acts for the mutator answers.
        let asked = self.asked.load(Ordering::Acquire);
        (asked != self.answered.load(Ordering::Relaxed)).then_some(asked)
    }

    /// Answers a request, when all is done.
    pub(crate) fn answer(&self, request: u64) {
        // Release: pairs with the acquire in `is_done`.
        self.answered.store(request, Ordering::Release);
    }

    /// Complies with a request to halt: parks until it is borrowed, and begins to run again when it is given back.
    pub(crate) fn stand(&self, request: u64) {
        self.park();
        let mut waits = 0;
        while self.due() == Some(request) {
            rest(waits);
            waits += 1;
        }
        self.enter();
    }

    // ---- for the collector

    fn ask(&self, request: u64) {
        // Release: pairs with the acquire in `due`.
        self.asked.store(request, Ordering::Release);
    }

    fn is_done(&self, request: u64) -> bool {
        // Acquire: pairs with the releases in `answer` and `leave`.
        self.answered.load(Ordering::Acquire) == request || self.state.load(Ordering::Acquire) == LEFT
    }

    fn borrow(&self) -> bool {
        // Acquire: pairs with the release in `park`.
        self.state.compare_exchange(PARKED, BORROWED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn give_back(&self) {
        // Release: pairs with the acquire in `enter`.
        self.state.store(PARKED, Ordering::Release);
    }

    fn has_left(&self) -> bool {
        // Acquire: pairs with the release in `leave`.
        self.state.load(Ordering::Acquire) == LEFT
    }
}

/// Who takes part, in the order in which they joined.
#[derive(Debug)]
pub(crate) struct Roll<M>(Mutex<Entries<M>>);

#[derive(Debug)]
struct Entries<M> {
    all: Vec<Arc<M>>,
    halted: bool,
}

impl<M> Roll<M> {
    pub(crate) fn new() -> Roll<M> {
        Roll(Mutex::new(Entries { all: Vec::new(), halted: false }))
    }

    /// Lets somebody in, who is made when the roll is locked, and so sees what was decided before it is called next. Its
    /// post is given; it cannot run yet if the roll is halted.
    pub(crate) fn join(&self, make: impl FnOnce(Post) -> M) -> Arc<M> {
        let mut entries = lock(&self.0);
        let held = entries.halted && !wrong(Twin::Halting);
        let new = Arc::new(make(if held { Post::of(BORROWED) } else { Post::new() }));
        entries.all.push(Arc::clone(&new));
        new
    }

    /// Calls the roll: everybody who is there now.
    pub(crate) fn call(&self) -> Vec<Arc<M>> {
        lock(&self.0).all.clone()
    }

    /// Strikes somebody off, who has left.
    pub(crate) fn strike(&self, one: &Arc<M>) {
        lock(&self.0).all.retain(|other| !Arc::ptr_eq(other, one));
    }

    /// Whether everybody is halted, or about to be.
    pub(crate) fn is_halted(&self) -> bool {
        lock(&self.0).halted
    }

    /// Gives everybody back whom [`halt`] has borrowed.
    pub(crate) fn resume(&self, post: impl Fn(&M) -> &Post) {
        let mut entries = lock(&self.0);
        entries.halted = false;
        // Under the lock: who joins from here on was not borrowed.
        entries.all.iter().map(|one| post(one)).filter(|post| !post.has_left()).for_each(Post::give_back);
    }
}

/// Halts everybody: comes back when nobody runs. `request` and `wait` are as in a [`round`].
pub(crate) fn halt<M>(roll: &Roll<M>, post: impl Fn(&M) -> &Post, request: u64, mut wait: impl FnMut(&M)) {
    let all = {
        let mut entries = lock(&roll.0);
        entries.halted = true;
        entries.all.clone()
    };
    for one in &all {
        post(one).ask(request);
    }
    for one in &all {
        let post = post(one);
        while !post.borrow() && !post.has_left() {
            wait(one);
        }
        post.answer(request);
    }
}

/// One round: leaves `request`, a number that is not that of the round before, at every post, and comes back when all have
/// done it. `act` does it for a mutator that is parked; `wait` is called again and again while one runs.
pub(crate) fn round<M>(
    mutators: &[M],
    post: impl Fn(&M) -> &Post,
    request: u64,
    mut act: impl FnMut(&M),
    mut wait: impl FnMut(&M),
) {
    for mutator in mutators {
        post(mutator).ask(request);
    }
    for mutator in mutators {
        let post = post(mutator);
        while !post.is_done(request) {
            if !post.borrow() && !wrong(Twin::Borrowing) {
                wait(mutator);
                continue;
            }
            // It may have answered just before it parked.
            if post.due().is_some() {
                act(mutator);
                post.answer(request);
            }
            post.give_back();
        }
    }
}
