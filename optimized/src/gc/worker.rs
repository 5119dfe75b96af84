//! Workers: the threads that collect in the background, and when they do.
//!
//! A heap with workers has one that drives cycles, when somebody orders one, when the [trigger](super::pace) is
//! reached, or when none has marked for two minutes; and others that help it to mark. While they mark they do nothing
//! else, each as much as the kernel lets it; in between they sleep. A mutator that is alone begins the cycle that it
//! orders, and may have paid for all of it before a worker comes. A heap without workers collects in the thread that
//! says so, and if it is paced, in those of its mutators.
//!
//! Invariants: an order that is given while a cycle runs is for a later one, so whoever orders a cycle and waits has seen a
//! whole one; of any number of mutators that find the trigger reached, one orders a cycle.

use super::{
    mark::{Driver, Marker},
    pace::{Part, SLICE, Who},
};
use crate::{
    events::{Cause, Listener},
    geometry::sized,
    local::Local,
    state::State,
    sync::{AtomicBool, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, PoisonError, lock, rest},
    twin::{Twin, wrong},
};
use std::time::Duration;

/// The cycles that an allocation waits for at most, when there is no room.
const PATIENCE: usize = sized(32, 4);
/// How often it is looked whether the last cycle was long ago.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Orders {
    /// How many cycles were ordered, begun with, and are over.
    wanted: u64,
    taken: u64,
    done: u64,
    /// Whether what was ordered last is due to the pace, and nobody waits for it.
    paced: bool,
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
    /// The live bytes at which a cycle is due.
    trigger: AtomicUsize,
    /// Whether the trigger has led to an order that is not done yet.
    pending: AtomicBool,
}

impl Work {
    pub(crate) fn new(trigger: usize) -> Work {
        Work {
            orders: Mutex::new(Orders::default()),
            changed: Condvar::new(),
            trigger: AtomicUsize::new(trigger),
            pending: AtomicBool::new(false),
        }
    }

    /// Says that there are workers.
    pub(crate) fn open(&self) {
        lock(&self.orders).open = true;
    }

    /// Whether there are workers.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.orders).open
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
            (orders.wanted, orders.paced) = (orders.wanted + 1, false);
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

    /// All cycles up to this number are over: wakes who waits for one of them.
    pub(crate) fn done(&self, ticket: u64) {
        lock(&self.orders).done = ticket;
        self.changed.notify_all();
    }

    /// The same, wrongly: who looks in between sleeps for ever.
    pub(crate) fn done_late(&self, ticket: u64) {
        self.changed.notify_all();
        lock(&self.orders).done = ticket;
    }

    /// The live bytes at which a cycle is due.
    pub(crate) fn due_at(&self) -> usize {
        self.trigger.load(Ordering::Relaxed)
    }

    /// Whether so much is live that a cycle is due.
    #[inline]
    pub(crate) fn is_due(&self, live: usize) -> bool {
        live >= self.due_at()
    }

    /// Orders a cycle that was found due, if it still is when it is found that nobody else has.
    pub(crate) fn trigger(&self, live: impl Fn() -> usize) {
        // Tested first: until a cycle has begun, all who allocate come here. Acquire and release: pairs with `settle`.
        if self.pending.load(Ordering::Relaxed) || self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if !self.is_due(live()) {
            // Somebody did, and the cycle is over.
            return self.forget();
        }
        let mut orders = lock(&self.orders);
        if orders.wanted == orders.taken {
            (orders.wanted, orders.paced) = (orders.wanted + 1, true);
            self.changed.notify_all();
        }
    }

    /// The trigger has led to an order, or was about to, and no cycle is due: the next order may come.
    pub(crate) fn forget(&self) {
        // Release: pairs with the acquire in `trigger`.
        self.pending.store(false, Ordering::Release);
    }

    /// Moves the trigger.
    pub(crate) fn aim(&self, trigger: usize) {
        // Relaxed: an estimate, or published by `pending`.
        self.trigger.store(trigger, Ordering::Relaxed);
    }

    /// Marking has ended: the next order may come, at this trigger.
    pub(crate) fn settle(&self, trigger: usize) {
        self.aim(trigger);
        self.forget();
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
        while let Some((ticket, cause)) = self.order() {
            let mut driver = self.driver();
            driver.who = Who::Background;
            match cause {
                Cause::Trigger | Cause::Limit => self.collect_if_due(&mut driver, cause),
                Cause::Time | Cause::Told => self.collect(&mut driver, cause),
            }
            driver.who = Who::Program;
            drop(driver);
            if let Some(ticket) = ticket {
                if wrong(Twin::Waking) {
                    self.work.done_late(ticket);
                } else {
                    self.work.done(ticket);
                }
            }
        }
    }

    /// Does what the trigger has led to. Mutators may have begun that cycle, or be through with it.
    fn collect_if_due(&self, driver: &mut Driver, cause: Cause) {
        self.mark_to_the_end(driver);
        if self.is_due() {
            return self.collect(driver, cause);
        }
        self.work.forget();
        self.sweep_all();
    }

    /// Waits until there is a reason for a cycle: an order, with its number, or the clock.
    fn order(&self) -> Option<(Option<u64>, Cause)> {
        let mut orders = lock(&self.work.orders);
        while orders.open && orders.wanted == orders.done {
            orders = self.work.changed.wait_timeout(orders, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            if orders.open && orders.wanted == orders.done && self.is_old() {
                return Some((None, Cause::Time));
            }
        }
        let cause = if orders.paced { self.cause() } else { Cause::Told };
        orders.open.then(|| (Some(Work::take(&mut orders)), cause))
    }

    /// What the other workers do.
    pub(crate) fn help(&self) {
        let _closing = Closing(&self.work);
        let mut marker = Marker::new();
        let mut idle = 0;
        while self.work.wait_until(|orders| orders.marking).open {
            if self.lend(Who::Background, &mut marker, SLICE) > 0 {
                idle = 0;
            } else {
                idle += 1;
                rest(idle);
            }
        }
    }

    /// Marks, if there is something to mark, up to about so many fields; gives how many bytes were scanned.
    fn lend(&self, who: Who, marker: &mut Marker, budget: usize) -> usize {
        if self.grey.is_empty() {
            return 0;
        }
        self.work_as(who, Part::Heap, || {
            self.grey.start_work();
            let done = self.drain(marker, budget);
            self.give_all(marker);
            self.grey.end_work();
            done
        })
    }

    /// A mutator that pays marks beside the workers.
    pub(crate) fn lend_a_hand(&self, budget: usize) -> usize {
        self.lend(Who::Assist, &mut Marker::new(), budget)
    }

    /// Waits, parked, until a cycle is over, one that is running or else a new one. Gives whether there was one.
    fn wait_for_cycle(&self, local: &Local) -> bool {
        self.parked(local, || {
            if self.config.workers == 0 {
                self.collect(&mut self.driver(), Cause::Told);
                return true;
            }
            let seen = {
                let mut orders = lock(&self.work.orders);
                if orders.wanted == orders.done {
                    (orders.wanted, orders.paced) = (orders.wanted + 1, false);
                }
                orders.done
            };
            self.work.changed.notify_all();
            self.work.wait_until(|orders| orders.done > seen).open
        })
    }

    /// Allocates, and if there is no room, has a cycle make some first: again and again, as long as others are to blame that
    /// it is gone already, and not what is alive.
    pub(crate) fn insist<T, E>(&self, local: &Local, allocate: impl Fn() -> Result<T, E>) -> Result<T, E> {
        let mut cycles = 0;
        loop {
            let refused = match allocate() {
                Err(refused) if self.is_paced() => refused,
                other => return other,
            };
            // The first cycle may have begun before what fills the heap became garbage.
            let full = self.pace.marked() > self.config.limit.min(self.config.reservation) / 8 * 7;
            let full = full || self.config.workers == 0;
            if cycles == PATIENCE || (cycles >= 2 && full) || !self.wait_for_cycle(local) {
                return Err(refused);
            }
            cycles += 1;
        }
    }
}
