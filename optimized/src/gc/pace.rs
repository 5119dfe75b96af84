//! Pacing: the [`pacer`](super::pacer)'s arithmetic, put to work. What is live is counted when windows are filled, and
//! that is when mutators are asked to pay; a slot taken from a window costs nothing.
//!
//! ```text
//!   a mutator has got so many bytes
//!     nothing runs   is the trigger reached? start a cycle, or order one from the workers
//!     marking        charge them: in debt, take from the pool what workers have done, or else mark as much
//!     sweeping       sweep what is due, then as if nothing ran
//! ```
//!
//! A heap with workers marks behind its mutators on their threads, as many processors as there are workers. What they do
//! within a quarter of all CPU time counts as background work, what they do beyond as idle time, as Go's idle workers'. A
//! heap without has nobody: the mutator that allocates takes the quarter of the time that a worker would have had, beside
//! what it owes. So a heap without threads works through assists and steps alone.
//!
//! A mutator that finds nothing to mark, while others have all of it in hand, waits until they have earned what it owes, or
//! marking ends. Nobody is served in any order.
//!
//! Time is the machine's, or is counted: operations and bytes that are scanned take time as if on one slow processor.
//! So a run under a counted clock is a function of what the program does.
//!
//! Invariants: the live bytes are what the last cycle found alive and what was claimed since; what was scanned was scanned
//! by workers, by mutators that paid, or because the program said so, and is counted once.
//!
//! Orderings: relaxed, all. What is read without the lock are estimates, and the trigger, which is looked at again by who
//! acts upon it.
//!
//! Source: Go's `mgcpacer.go`, `mgcmark.go` (`gcAssistAlloc`) and `mgcsweep.go` (`deductSweepCredit`).

use super::{
    mark::Driver,
    pacer::{Bucket, Measured, PERIOD, Progress, Terms, UTILIZATION, cons_mark, sweep_price},
    phase::Phase,
    sweep::Swept,
};
use crate::{
    events::{Cause, Event, Listener},
    geometry::{PAGE, WORD},
    local::Local,
    state::State,
    stats::{Cycle, Metrics},
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock, rest},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// What a byte takes that is scanned, on a clock that is counted: nanoseconds.
const BYTE: u64 = 1_000;
/// The words that are scanned before time is looked at again: 128 KiB.
pub(crate) const SLICE: usize = (128 << 10) / WORD;

/// What tells the time, in nanoseconds.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's.
    Real(Instant),
    /// Counted: time of the one processor that there seems to be, and time that has passed outside. The second is as long as
    /// somebody says.
    Counted { cpu: AtomicU64, wall: AtomicU64 },
}

impl Clock {
    /// One that is counted, from 0 on.
    #[cfg_attr(not(feature = "reference"), allow(dead_code))]
    pub(crate) fn counted() -> Clock {
        Clock::Counted { cpu: AtomicU64::new(0), wall: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::Real(since) => since.elapsed().as_nanos() as u64,
            Clock::Counted { cpu, .. } => cpu.load(Ordering::Relaxed),
        }
    }

    fn wall(&self) -> u64 {
        match self {
            Clock::Real(_) => self.now(),
            Clock::Counted { wall, .. } => wall.load(Ordering::Relaxed),
        }
    }

    fn processors(&self) -> u64 {
        match self {
            Clock::Real(_) => thread::available_parallelism().map_or(1, |count| count.get() as u64),
            Clock::Counted { .. } => 1,
        }
    }

    /// A mutator has computed for so long, in which so much time has passed outside.
    pub(crate) fn pass(&self, time: u64, outside: u64) {
        if let Clock::Counted { cpu, wall } = self {
            cpu.fetch_add(time, Ordering::Relaxed);
            wall.fetch_add(outside, Ordering::Relaxed);
        }
    }
}

/// Who scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Workers, or who stands in for one.
    Background,
    /// A mutator that pays.
    Assist,
    /// The program, which steps the collector or asked for a whole cycle.
    Program,
}

/// Where scan work lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Heap,
    Stacks,
    Globals,
}

/// How a heap is paced.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) clock: Clock,
    /// The live bytes less what was [claimed](crate::space::Space::claimed).
    offset: AtomicUsize,
    /// Bytes that are paid for, of objects that are still to be made.
    promised: AtomicUsize,
    goal: AtomicUsize,
    /// The pages that there should be at most.
    limit: AtomicUsize,
    /// Bytes claimed for objects with pointers since marking ended.
    scannable: AtomicUsize,
    /// The words of stacks that were ever scanned.
    stacks: AtomicUsize,
    /// The live bytes from which the sweep is paced, the pages to sweep for each byte since, and those that are swept.
    sweep_from: AtomicUsize,
    sweep_price: AtomicU64,
    swept: AtomicUsize,
    plan: Mutex<Plan>,
}

/// What is written down when something begins or ends.
#[derive(Debug)]
struct Plan {
    terms: Terms,
    measured: Measured,
    /// Background work that nobody has used yet, in bytes.
    pool: i64,
    bucket: Bucket,
    /// Time that a worker would have marked by now and has not: only in a heap without.
    due: i64,
    seen: u64,
    /// Of the cycle that marks: when it began, and the CPU time of workers and of mutators that paid.
    began: u64,
    background: u64,
    assists: u64,
    /// What was scanned in it.
    done: [u64; 3],
    /// The time outside when marking last ended.
    marked_at: Option<u64>,
    /// The pages that the sweep began with.
    to_sweep: usize,
    /// What is counted; what is not counted here is filled in when somebody asks.
    counts: Metrics,
}

impl Plan {
    fn total(&self) -> u64 {
        self.done.iter().sum()
    }

    /// Takes the time, and how much of it since was the collector's.
    fn time(&mut self, now: u64, collector: u64) {
        let full = self.bucket.is_full();
        self.bucket.update(now, collector);
        self.counts.limited += u64::from(self.bucket.is_full() && !full);
        self.counts.collecting += collector;
    }

    /// Somebody has scanned so many bytes.
    fn worked(&mut self, who: Who, part: Part, bytes: u64, (began, ended): (u64, u64)) {
        self.time(began, 0);
        self.done[part as usize] += bytes;
        let time = ended - began;
        match who {
            Who::Background => {
                self.counts.background += bytes;
                self.pool += bytes as i64;
                self.background += time;
                self.due -= time as i64;
                self.seen = ended;
            }
            Who::Assist => {
                self.counts.assists += bytes;
                self.assists += time;
            }
            Who::Program => self.counts.told += bytes,
        }
        self.time(ended, if who == Who::Program { 0 } else { time });
    }

    /// A worker would have had a share of the time that mutators had since this was last asked.
    fn share(&mut self, now: u64) {
        let time = now.saturating_sub(self.seen) as f64;
        self.due += (time * UTILIZATION / (1.0 - UTILIZATION)) as i64;
        self.seen = now;
    }
}

impl Pace {
    pub(crate) fn new(clock: Clock, gogc: Option<u32>, limit: Option<usize>) -> Pace {
        let processors = clock.processors();
        let terms = Terms { gogc, limit: limit.map(|limit| limit as u64), ..Terms::default() };
        let plan = Plan {
            terms,
            measured: Measured::default(),
            pool: 0,
            bucket: Bucket::new(processors),
            due: 0,
            seen: 0,
            began: 0,
            background: 0,
            assists: 0,
            done: [0; 3],
            marked_at: None,
            to_sweep: 0,
            counts: Metrics { processors, ..Metrics::default() },
        };
        let count = || AtomicUsize::new(0);
        Pace {
            clock,
            offset: count(),
            promised: count(),
            goal: AtomicUsize::new(terms.goal() as usize),
            limit: AtomicUsize::new(pages(limit)),
            scannable: count(),
            stacks: count(),
            sweep_from: count(),
            sweep_price: AtomicU64::new(0),
            swept: count(),
            plan: Mutex::new(plan),
        }
    }

    /// The trigger of a heap in which nothing has happened.
    pub(crate) fn first_trigger(&self) -> usize {
        lock(&self.plan).terms.trigger() as usize
    }

    /// The bytes that were found alive when marking last ended.
    pub(crate) fn marked(&self) -> usize {
        lock(&self.plan).terms.marked as usize
    }

    /// Somebody got slots for objects with pointers.
    pub(crate) fn count_scannable(&self, bytes: usize) {
        self.scannable.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Somebody is about to claim so many bytes.
    pub(crate) fn promise(&self, bytes: usize) {
        self.promised.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The object is there, or will not be.
    pub(crate) fn keep_promise(&self, bytes: usize) {
        self.promised.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Somebody has scanned so many roots.
    pub(crate) fn count_roots(&self, words: usize) {
        self.stacks.fetch_add(words, Ordering::Relaxed);
    }

    /// The words of stacks that were ever scanned.
    pub(crate) fn roots(&self) -> usize {
        self.stacks.load(Ordering::Relaxed)
    }

    /// Somebody has swept a span of so many pages.
    pub(crate) fn count_swept(&self, pages: usize) {
        self.swept.fetch_add(pages, Ordering::Relaxed);
    }

    /// The pages that there should be at most, if there is a limit.
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit != usize::MAX)
    }
}

/// A limit in pages.
fn pages(limit: Option<usize>) -> usize {
    limit.map_or(usize::MAX, |limit| limit / PAGE)
}

impl<L: Listener> State<L> {
    // ---- how much is live

    /// The bytes that count as live: those that the last cycle found alive, those that were claimed since, and those that
    /// are about to be.
    pub(crate) fn live(&self) -> usize {
        let promised = self.pace.promised.load(Ordering::Relaxed);
        self.space.claimed().wrapping_add(self.pace.offset.load(Ordering::Relaxed)).wrapping_add(promised)
    }

    /// Whether cycles start by themselves.
    #[inline]
    pub(crate) fn is_paced(&self) -> bool {
        self.config.paced || self.config.workers > 0
    }

    // ---- who allocates

    /// A mutator has got so many bytes, and has nothing in hand that is not in a root or a window: it pays for them. It may
    /// park meanwhile.
    pub(crate) fn keep_pace(&self, local: &Local, bytes: usize) {
        match self.stage.phase() {
            Phase::Mark => self.charge(local, bytes),
            Phase::Sweep => self.sweep_due(),
            Phase::Off | Phase::Arm | Phase::Terminate => {}
        }
        // Who pays may have come to the end of a cycle, and the next is due at once: above a limit that cannot be met.
        if self.stage.phase() == Phase::Mark || !self.work.is_due(self.live()) {
            return;
        }
        if self.config.workers > 0 {
            self.order_a_cycle(local);
        } else {
            self.parked(local, || self.start_if_due(&mut self.driver()));
        }
    }

    /// Whether the trigger is reached.
    pub(crate) fn is_due(&self) -> bool {
        self.is_paced() && self.work.is_due(self.live())
    }

    /// Does something while the collector need not wait for this mutator.
    pub(crate) fn parked<R>(&self, local: &Local, body: impl FnOnce() -> R) -> R {
        local.post.park();
        let result = body();
        local.post.enter();
        self.safepoint(local);
        result
    }

    /// Starts a cycle that is still due.
    fn start_if_due(&self, driver: &mut Driver) {
        if self.stage.phase() != Phase::Mark && self.work.is_due(self.live()) {
            self.set_out(driver, self.cause());
        }
    }

    /// What has led to the trigger.
    pub(crate) fn cause(&self) -> Cause {
        if lock(&self.pace.plan).terms.is_limited() { Cause::Limit } else { Cause::Trigger }
    }

    /// Orders a cycle from the workers. It begins a moment later, and the last one may still have to end; nobody allocates
    /// beyond the goal meanwhile. A mutator that is alone begins it, and leaves the rest to them: nobody else has to answer,
    /// and a worker may have to wait for a processor before it can ask.
    fn order_a_cycle(&self, local: &Local) {
        let (cycle, mut waits) = (self.stage.now().0, 0);
        if !self.config.stop_the_world && self.mutators().len() == 1 {
            self.parked(local, || self.try_driver().map(|mut driver| self.start_if_due(&mut driver)));
        }
        loop {
            // Again and again: what was ordered may have been for the cycle that is just over.
            self.work.trigger(|| self.live());
            // A cycle that has little to mark may be over before this is looked at again.
            if self.stage.now().0 != cycle
                || self.stage.phase() == Phase::Mark
                || self.live() < self.pace.goal.load(Ordering::Relaxed)
                || !self.work.is_due(self.live())
                || !self.work.is_open()
            {
                return;
            }
            self.parked(local, || rest(waits));
            waits += 1;
        }
    }

    /// Sweeps what has to be swept by now.
    fn sweep_due(&self) {
        let price = f64::from_bits(self.pace.sweep_price.load(Ordering::Relaxed));
        loop {
            let grown = self.live().saturating_sub(self.pace.sweep_from.load(Ordering::Relaxed));
            let swept = self.pace.swept.load(Ordering::Relaxed);
            if swept as f64 >= price * grown as f64 || self.sweep_step() != Swept::Span {
                return;
            }
        }
    }

    /// While objects are marked: has the mutator pay for so many bytes.
    fn charge(&self, local: &Local, bytes: usize) {
        if self.config.workers == 0 {
            self.parked(local, || self.catch_up());
        }
        local.balance.set(local.balance.get().wrapping_sub(bytes));
        let mut waits = 0;
        while local.owes() > 0 && self.stage.phase() == Phase::Mark {
            let (price, bill) = {
                let mut plan = lock(&self.pace.plan);
                plan.time(self.pace.clock.now(), 0);
                if plan.bucket.is_full() {
                    return;
                }
                let price = self.progress(&plan).price(plan.terms.gogc);
                (price, price.bill(local.balance.get() as i64, &mut plan.pool))
            };
            let done = if bill.work > 0 { self.assist(local, bill.work as usize) } else { 0 };
            let balance = bill.balance.saturating_add(price.worth(done as i64));
            // Work is cheap when a cycle seems to be nearly over: what is paid ahead must not buy more than there is.
            let room = price.goal.saturating_sub(self.live() as u64).saturating_sub(self.credit(local));
            local.balance.set(balance.min(i64::try_from(room).unwrap_or(i64::MAX)) as usize);
            if done == 0 && bill.stolen == 0 {
                self.parked(local, || rest(waits));
                waits += 1;
            }
        }
    }

    /// The bytes that other mutators have paid for ahead.
    fn credit(&self, local: &Local) -> u64 {
        let others = self.mutators();
        let others = others.iter().filter(|other| other.id != local.id);
        others.map(|other| (other.balance.get() as i64).max(0) as u64).sum()
    }

    /// How far the cycle has come.
    fn progress(&self, plan: &Plan) -> Progress {
        let scanned = plan.terms.scanned;
        Progress {
            live: self.live() as u64,
            done: plan.total(),
            expected: plan.counts.expected,
            most: scanned.total() + self.pace.scannable.load(Ordering::Relaxed) as u64,
            goal: plan.terms.goal(),
            triggered: plan.counts.started,
        }
    }

    /// Scans about so many bytes, or what can be had; gives how many were scanned.
    fn assist(&self, local: &Local, bytes: usize) -> usize {
        if self.config.workers > 0 {
            let done = self.lend_a_hand(bytes.div_ceil(WORD));
            if done > 0 {
                return done;
            }
        }
        // Nothing waits. If nobody drives the cycle, who pays does: to its end, if it has come to that.
        self.parked(local, || {
            let Some(mut driver) = self.try_driver() else { return 0 };
            self.advance(&mut driver, Who::Assist, |plan, done| done < bytes && !plan.bucket.is_full())
        })
    }

    /// Has the worker's share of the time so far, in a heap without workers, or as many bytes as can be had.
    pub(crate) fn catch_up(&self) {
        let due = {
            let mut plan = lock(&self.pace.plan);
            plan.share(self.pace.clock.now());
            plan.due > 0
        };
        if due
            && self.stage.phase() == Phase::Mark
            && let Some(mut driver) = self.try_driver()
        {
            self.advance(&mut driver, Who::Background, |plan, _| plan.due > 0);
        }
    }

    /// Takes steps of marking as long as there are any and `more` are wanted, and ends it if nothing is left; gives how many
    /// bytes were scanned.
    fn advance(&self, driver: &mut Driver, who: Who, more: impl Fn(&Plan, usize) -> bool) -> usize {
        driver.who = who;
        let mut done = 0;
        while self.stage.phase() == Phase::Mark && more(&lock(&self.pace.plan), done) {
            let unscanned = self.mutators().into_iter().find(|local| !local.scanned.get());
            done += match unscanned {
                Some(local) => self.scan_stack(driver, local),
                None if !driver.globals_scanned => self.mark_globals(driver),
                None => match self.mark_some(driver, SLICE) {
                    0 => break,
                    bytes => bytes,
                },
            };
        }
        // What was wanted may have been all there was: who stops looks, or nobody might before the goal is passed. Not yet
        // the end, if others are at work; they will be back.
        self.finish(driver);
        driver.who = Who::Program;
        done
    }

    /// Does scan work in somebody's name: `work` says how many words it was. Gives the bytes.
    pub(crate) fn work_as(&self, who: Who, part: Part, work: impl FnOnce() -> usize) -> usize {
        let clock = &self.pace.clock;
        let began = clock.now();
        let bytes = work() * WORD;
        if bytes > 0 {
            clock.pass(bytes as u64 * BYTE, 0);
            lock(&self.pace.plan).worked(who, part, bytes as u64, (began, clock.now()));
        }
        bytes
    }

    // ---- the cycle

    /// A cycle begins, for which the trigger was `due`.
    pub(crate) fn begin_pace(&self, cause: Cause, due: usize) {
        let (now, live) = (self.pace.clock.now(), self.live() as u64);
        let mut plan = lock(&self.pace.plan);
        plan.time(now, 0);
        (plan.pool, plan.due, plan.seen) = (0, plan.due.min(0), now);
        (plan.began, plan.background, plan.assists, plan.done) = (now, 0, 0, [0; 3]);
        (plan.terms.sweeping_from, plan.terms.triggered) = (None, Some(live));
        let expected = plan.terms.scanned.total();
        let counts = &mut plan.counts;
        match cause {
            Cause::Trigger => counts.by_trigger += 1,
            Cause::Limit => counts.by_limit += 1,
            Cause::Time => counts.by_time += 1,
            Cause::Told => counts.by_hand += 1,
        }
        *counts = Metrics { started: live, due: due as u64, ended: 0, reached: 0, expected, ..*counts };
        self.commit(&mut plan);
        drop(plan);
        self.listener.on(Event::Start(cause));
    }

    /// Marking has ended, and no mutator allocates black any more; `marked` bytes were marked when so many were claimed.
    /// The next cycle is paced by what this one has come to.
    pub(crate) fn end_pace(&self, cycle: &mut Cycle, marked: usize, claimed: usize) {
        let (ended, claimed_now) = (self.live() as u64, self.space.claimed());
        // What was claimed since is marked, or white and new. What was given back is no longer marked.
        let marked = marked.wrapping_add(claimed_now).wrapping_sub(claimed);
        let (now, wall) = (self.pace.clock.now(), self.pace.clock.wall());
        let mut plan = lock(&self.pace.plan);
        let plan = &mut *plan;
        plan.time(now, 0);
        let all = (now.saturating_sub(plan.began).max(1) * plan.counts.processors) as f64;
        let share = |time: u64| (time as f64 / all).min(1.0);
        let assists = share(plan.assists).min(0.95 - UTILIZATION);
        let idle = (share(plan.background) - UTILIZATION).max(0.0);
        let allocated = ended.saturating_sub(plan.counts.started);
        if let Some(new) = cons_mark(allocated, plan.total(), assists, idle) {
            plan.terms.cons_mark = plan.measured.with(new);
        }
        (plan.counts.ended, plan.counts.reached) = (ended, plan.terms.goal());
        let [heap, stacks, globals] = plan.done;
        cycle.before = plan.counts.started as usize;
        (cycle.after, cycle.alive, cycle.goal) = (ended as usize, marked, plan.counts.reached as usize);
        (cycle.stacks, cycle.globals) = (stacks as usize, globals as usize);
        cycle.processors = plan.counts.processors as usize;
        cycle.assists = Duration::from_nanos(plan.assists);
        cycle.idle = Duration::from_nanos((idle * all) as u64);
        cycle.background = Duration::from_nanos(plan.background).saturating_sub(cycle.idle);
        cycle.share = plan.counts.collecting as f64 / (now.max(1) * plan.counts.processors) as f64;

        plan.terms.marked = marked as u64;
        plan.terms.scanned = super::pacer::Work { heap, stacks, globals };
        (plan.terms.triggered, plan.marked_at) = (None, Some(wall));
        self.pace.offset.store(marked.wrapping_sub(claimed_now), Ordering::Relaxed);
        self.pace.scannable.store(0, Ordering::Relaxed);
        plan.to_sweep = self.space.pages().in_use();
        self.pace.swept.store(0, Ordering::Relaxed);
        self.pace_the_sweep(plan);
        self.work.settle(plan.terms.trigger() as usize);
    }

    /// From here on so many pages are swept for each byte that is allocated.
    fn pace_the_sweep(&self, plan: &mut Plan) {
        let live = self.live();
        plan.terms.sweeping_from = Some(live as u64);
        self.commit(plan);
        plan.to_sweep = plan.to_sweep.saturating_sub(self.pace.swept.swap(0, Ordering::Relaxed));
        let price = sweep_price(plan.to_sweep as u64, plan.terms.trigger(), live as u64);
        self.pace.sweep_from.store(live, Ordering::Relaxed);
        self.pace.sweep_price.store(price.to_bits(), Ordering::Relaxed);
    }

    /// The sweep is over.
    pub(crate) fn end_sweep_pace(&self) {
        let mut plan = lock(&self.pace.plan);
        // The next cycle may have begun.
        if plan.terms.triggered.is_none() {
            plan.terms.sweeping_from = None;
            self.commit(&mut plan);
        }
        // As much as is planned, or as it came to this time.
        let soon = plan.terms.goal().max(plan.counts.ended);
        drop(plan);
        self.space.memory().expect(soon as usize);
    }

    /// Looks at the memory there is, and computes goal and trigger anew.
    fn commit(&self, plan: &mut Plan) {
        let (mapped, present) = {
            let pages = self.space.pages();
            (pages.in_use() + pages.present(), pages.present())
        };
        let memory = &mut plan.terms.memory;
        memory.mapped = (mapped * PAGE) as u64;
        memory.free = (present * PAGE) as u64;
        memory.used = (self.space.allocated().1 as u64).min(memory.mapped - memory.free);
        self.pace.goal.store(plan.terms.goal() as usize, Ordering::Relaxed);
        self.work.aim(plan.terms.trigger() as usize);
    }

    // ---- the environment

    /// Says how much the heap may grow between two cycles, and how large it should be at most.
    pub(crate) fn advise(&self, change: impl FnOnce(&mut Terms)) {
        let mut plan = lock(&self.pace.plan);
        change(&mut plan.terms);
        let limit = plan.terms.limit.map(|limit| limit as usize);
        self.pace.limit.store(pages(limit), Ordering::Relaxed);
        if plan.terms.sweeping_from.is_some() {
            self.pace_the_sweep(&mut plan);
        } else {
            self.commit(&mut plan);
        }
        drop(plan);
        self.keep_to_the_limit(0);
    }

    /// Before so many pages more are used: makes room below the limit, by sweeping, and by giving back what is free.
    pub(crate) fn keep_to_the_limit(&self, more: usize) {
        let Some(limit) = self.pace.limit() else { return };
        let over = || self.space.pages().in_use() + more > limit;
        while over() && self.sweep_step() == Swept::Span {}
        self.space.memory().give_back_above(limit.saturating_sub(more));
    }

    /// After pages were taken, under a limit: the goal may be nearer.
    pub(crate) fn weigh(&self) {
        if self.pace.limit().is_some() {
            self.commit(&mut lock(&self.pace.plan));
        }
    }

    /// Whether a cycle is due because none has marked for two minutes. In a heap that was never marked, none is.
    pub(crate) fn is_old(&self) -> bool {
        let plan = lock(&self.pace.plan);
        let old = |at: u64| self.pace.clock.wall().saturating_sub(at) > PERIOD;
        plan.terms.gogc.is_some() && plan.marked_at.is_some_and(old)
    }

    // ---- the figures

    pub(crate) fn metrics(&self) -> Metrics {
        let stats = self.stats();
        let (cycle, phase) = self.stage.now();
        let debt = self.mutators().iter().map(|local| local.owes()).max().unwrap_or(0);
        let swept = self.pace.swept.load(Ordering::Relaxed);
        let mut plan = lock(&self.pace.plan);
        plan.time(self.pace.clock.now(), 0);
        if plan.terms.limit.is_none() {
            // Nothing is computed from it, and it is as it was when marking ended.
            self.commit(&mut plan);
        }
        let unswept = if phase == Phase::Sweep && self.sweep.next(cycle).is_some() { plan.to_sweep } else { 0 };
        let terms = &plan.terms;
        Metrics {
            live: self.live() as u64,
            goal: terms.goal(),
            trigger: terms.trigger(),
            marked: terms.marked,
            roots: terms.scanned.stacks + terms.scanned.globals,
            unswept: (unswept.saturating_sub(swept) * PAGE) as u64,
            mapped: terms.memory.mapped,
            free: terms.memory.free,
            used: terms.memory.used,
            done: plan.total(),
            debt: if phase == Phase::Mark { debt as u64 } else { 0 },
            limiting: u64::from(plan.bucket.is_full()),
            elapsed: self.pace.clock.now() * plan.counts.processors,
            objects: stats.objects as u64,
            bytes: stats.bytes as u64,
            in_use: stats.in_use as u64,
            idle: (stats.mapped - stats.in_use) as u64,
            released: stats.released as u64,
            ..plan.counts
        }
    }
}
