//! Workers: the threads that collect in the background, and when they do.
//!
//! A heap with workers has one that drives cycles, when somebody orders one or when enough was allocated, and others that
//! help it to mark. They sleep while there is nothing to do. A heap without collects in the thread that says so.
//!
//! ```text
//!   allocated since the last cycle:   0 ─────────── allowance ───────────── twice that
//!                                     nothing       a cycle is ordered;     mutators wait until
//!                                                   mutators lend a hand    the cycle is over
//! ```
//!
//! The allowance is what was alive after the last cycle, and at least 4 MiB; so a heap is never more than about three times
//! as large as what was alive in it.
//!
//! Invariants: an order that is given while a cycle runs is for a later one, so whoever orders a cycle and waits has seen a
//! whole one; of any number of mutators that find the allowance used up, one orders a cycle.

use crate::{
    events::Listener,
    gc::{mark::Marker, phase::Phase},
    geometry::sized,
    local::Local,
    state::State,
    sync::{AtomicBool, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, PoisonError, lock, sleep},
    twin::{Twin, wrong},
};
use std::time::Duration;

/// The least that may be allocated between two cycles (Go: `heapMinimum`).
const ALLOWANCE: usize = sized(4 << 20, 1 << 10);
/// The words that a mutator scans for each byte that it allocates, when it lends a hand.
const ASSIST: usize = 2;

/// The cycles that an allocation waits for at most, when there is no room.
const PATIENCE: usize = 32;

#[derive(Debug, Default)]
struct Orders {
    /// How many cycles were ordered, begun with, and are over.
    wanted: u64,
    taken: u64,
    done: u64,
    /// Whether objects are being marked.
    marking: bool,
    /// Whether there are workers, and they go on.
    open: bool,
}

/// What workers and mutators tell each other.
#[derive(Debug)]
pub(crate) struct Work {
    orders: Mutex<Orders>,
    changed: Condvar,
    /// What may be allocated, counted as in [`Space::claimed`](crate::space::Space::claimed), before a cycle is ordered.
    trigger: AtomicUsize,
    /// And before mutators wait.
    bound: AtomicUsize,
    /// The bytes that were alive when the last cycle had ended marking.
    alive: AtomicUsize,
    /// Whether the trigger has led to an order that is not done yet.
    pending: AtomicBool,
}

impl Work {
    pub(crate) fn new() -> Work {
        Work {
            orders: Mutex::new(Orders::default()),
            changed: Condvar::new(),
            trigger: AtomicUsize::new(ALLOWANCE),
            bound: AtomicUsize::new(2 * ALLOWANCE),
            alive: AtomicUsize::new(0),
            pending: AtomicBool::new(false),
        }
    }

    /// Says that there are workers.
    pub(crate) fn open(&self) {
        lock(&self.orders).open = true;
    }

    /// Tells the workers to end.
    pub(crate) fn close(&self) {
        lock(&self.orders).open = false;
        self.changed.notify_all();
    }

    /// Waits until `ready`, or there are no workers.
    fn wait_until(&self, ready: impl Fn(&Orders) -> bool) -> MutexGuard<'_, Orders> {
        let mut orders = lock(&self.orders);
        while orders.open && !ready(&orders) {
            orders = self.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        orders
    }

    /// Orders a cycle that has not begun yet, and waits until it is over. Gives `false` if there are no workers.
    pub(crate) fn cycle(&self) -> bool {
        let ticket = {
            let mut orders = lock(&self.orders);
            orders.wanted += 1;
            orders.wanted
        };
        self.changed.notify_all();
        self.wait_until(|orders| orders.done >= ticket).open
    }

    /// Takes up what is ordered.
    fn take(orders: &mut Orders) -> u64 {
        orders.taken = orders.wanted;
        orders.taken
    }

    /// Whether so much was allocated that a cycle is due.
    #[inline]
    pub(crate) fn is_due(&self, claimed: usize) -> bool {
        claimed >= self.trigger.load(Ordering::Relaxed)
    }

    /// Orders a cycle that was found due, if it still is when it is found that nobody else has.
    pub(crate) fn trigger(&self, claimed: impl Fn() -> usize) {
        // Tested first: while a cycle runs, all who allocate come here. Acquire and release: pairs with `settle`.
        if self.pending.load(Ordering::Relaxed) || self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if !self.is_due(claimed()) {
            // Somebody did, and the cycle is over.
            self.pending.store(false, Ordering::Release);
            return;
        }
        let mut orders = lock(&self.orders);
        if orders.wanted == orders.taken {
            orders.wanted += 1;
            self.changed.notify_all();
        }
    }

    /// Says how much may be allocated until the next cycle, when so much is alive; gives the sum.
    pub(crate) fn settle(&self, claimed: usize, alive: usize) -> usize {
        let allowance = alive.max(ALLOWANCE);
        // Relaxed, all: published by `pending`, or estimates.
        self.alive.store(alive, Ordering::Relaxed);
        self.trigger.store(claimed.saturating_add(allowance), Ordering::Relaxed);
        self.bound.store(claimed.saturating_add(2 * allowance), Ordering::Relaxed);
        // Release: pairs with the acquire in `trigger`.
        self.pending.store(false, Ordering::Release);
        alive + allowance
    }

    /// Takes up what is ordered, and gives how many cycles were ordered so far.
    #[cfg(all(test, any(heaplaw_loom, heaplaw_shuttle)))]
    pub(crate) fn begin(&self) -> u64 {
        Work::take(&mut lock(&self.orders))
    }

    /// Wakes those who help to mark.
    pub(crate) fn mark(&self, marking: bool) {
        let mut orders = lock(&self.orders);
        if orders.open {
            orders.marking = marking;
            self.changed.notify_all();
        }
    }
}

/// Tells everybody that there are no workers any more, if one of them panics.
struct Closing<'w>(&'w Work);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<L: Listener> State<L> {
    /// What the worker does that drives cycles.
    pub(crate) fn drive(&self) {
        let _closing = Closing(&self.work);
        loop {
            let ticket = {
                let mut orders = self.work.wait_until(|orders| orders.wanted > orders.done);
                if !orders.open {
                    return;
                }
                Work::take(&mut orders)
            };
            self.collect(&mut self.driver());
            if wrong(Twin::Waking) {
                self.work.changed.notify_all();
                lock(&self.work.orders).done = ticket;
                continue;
            }
            lock(&self.work.orders).done = ticket;
            self.work.changed.notify_all();
        }
    }

    /// What the other workers do.
    pub(crate) fn help(&self) {
        let _closing = Closing(&self.work);
        let mut marker = Marker::new();
        let mut idle = 0;
        while self.work.wait_until(|orders| orders.marking).open {
            if self.lend(&mut marker, usize::MAX) {
                idle = 0;
            } else {
                idle += 1;
                rest(idle);
            }
        }
    }

    /// Marks, if there is something to mark; gives whether there was.
    fn lend(&self, marker: &mut Marker, budget: usize) -> bool {
        if self.grey.is_empty() {
            return false;
        }
        self.grey.start_work();
        let done = self.drain(marker, budget);
        self.give_all(marker);
        self.grey.end_work();
        done > 0
    }

    /// For a mutator that has just got so many bytes, at a safepoint: sees that a cycle begins when it has to, lends a hand
    /// to one that is late, and waits for one that is very late.
    pub(crate) fn keep_pace(&self, local: &Local, bytes: usize) {
        let claimed = || self.space.claimed();
        if !self.work.is_due(claimed()) {
            return;
        }
        self.work.trigger(claimed);
        if self.stage.phase() == Phase::Mark {
            self.lend(&mut Marker::new(), bytes.saturating_mul(ASSIST));
        }
        if claimed() >= self.work.bound.load(Ordering::Relaxed) {
            self.wait_for_cycle(local);
        }
    }

    /// Waits, parked, until a cycle is over, one that is running or else a new one. Gives whether there was one.
    fn wait_for_cycle(&self, local: &Local) -> bool {
        local.post.park();
        let seen = {
            let mut orders = lock(&self.work.orders);
            if orders.wanted == orders.done {
                orders.wanted += 1;
            }
            orders.done
        };
        self.work.changed.notify_all();
        let open = self.work.wait_until(|orders| orders.done > seen).open;
        local.post.enter();
        self.safepoint(local);
        open
    }

    /// Allocates, and if there is no room, lets the workers make some first: again and again, as long as others are to
    /// blame that it is gone already, and not what is alive.
    pub(crate) fn insist<T, E>(&self, local: &Local, allocate: impl Fn() -> Result<T, E>) -> Result<T, E> {
        let mut cycles = 0;
        loop {
            let refused = match allocate() {
                Err(refused) if self.config.workers > 0 => refused,
                other => return other,
            };
            // The first cycle may have begun before what fills the heap became garbage.
            let full = self.work.alive.load(Ordering::Relaxed) > self.config.limit.min(self.config.reservation) / 8 * 7;
            if cycles == PATIENCE || (cycles >= 2 && full) || !self.wait_for_cycle(local) {
                return Err(refused);
            }
            cycles += 1;
        }
    }
}

/// Lets others go on: at first for a moment, then for longer.
pub(crate) fn rest(times: usize) {
    if times < 64 {
        crate::sync::relax();
    } else {
        sleep(Duration::from_micros(50));
    }
}
