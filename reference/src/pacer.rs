//! The pacer: when a collection starts, and how fast it has to be.
//!
//! A stop-the-world collector has one number to choose: how full the heap may get. A concurrent one has two, because
//! mutators allocate *while* it marks. It must start early enough to be done before the heap reaches its **goal**, and
//! so it has to know beforehand how long marking will take, in the only unit that matters: bytes allocated meanwhile.
//!
//! ```text
//!   0        M                lo          trigger     hi      goal
//!   ├────────┼─────────────────┼─────────────┼─────────┼────────┤──────▶ live heap, in bytes
//!     marked    mutators run                 ├──── runway ──────┤
//!    last time  without a cycle                 marking, with assists if it falls behind
//! ```
//!
//! 1. **Goal.** What was marked last time (M), and GOGC per cent of all that had to be scanned for it: M, stacks (S) and
//!    globals (Gl). Never below 4 MiB at GOGC 100. A memory limit may pull the goal down, but never below M: marked
//!    bytes cannot be collected away.
//! 2. **Runway.** Marking has a quarter of the processors, mutators three quarters. If mutators allocate `c` bytes in the
//!    time in which the collector scans one (**cons/mark**, both per second of one CPU), then for each byte to scan the
//!    heap grows by `c · ¾ / ¼`. That many bytes before the goal is the time to start.
//! 3. **Trigger.** The runway is an estimate, and is held between two bounds. Not before 45/64 of the way from M to the
//!    goal: a cycle that never ends allocates everything black. Not after 61/64, or 4 MiB before the goal if that is
//!    later: a cycle has fixed costs, and needs some room for them.
//! 4. **Assists.** If the estimate was wrong, those who allocate pay. The **assist ratio** is the scan work that remains
//!    over the bytes that may still be allocated; a mutator that allocates `n` bytes owes `n · ratio` bytes of scan
//!    work. So the goal is kept by the ones who threaten it, in proportion, whatever the estimate was worth.
//! 5. **Growth.** A cycle that has scanned more than it expected is in a heap that grows. Holding on to the goal would
//!    stall everybody, so the goal is moved on, at the price of the next cycle: never by more than GOGC.
//! 6. **Sweeping** is paid for in the same coin: so many pages per byte allocated that the last page is swept when the
//!    next trigger is reached.
//! 7. **The limiter** is the emergency exit. Under a memory limit that cannot be met, rules 1 to 4 would collect all the
//!    time. A leaky bucket fills with the collector's CPU time and drains with the mutators'; while it is full, nobody
//!    assists, and the heap is allowed to grow.
//!
//! All of it is arithmetic, and all of it is here: pure functions of numbers in bytes, pages and nanoseconds, with the
//! clock handed in. Byte counts are integers and divisions cut off, in the order in which Go does them: `goal − M` is
//! divided by 64 before it is multiplied. Floating point enters where rates do, and nowhere else: in the runway, in the
//! assist ratio and what is converted with it, in cons/mark, in the sweep ratio, and as a fractional worker's share. On
//! its way back to an integer it is cut off too, never rounded.
//!
//! How it looks when it runs can be seen in the [machine](crate::machine::Machine::paced), which can pace itself by these
//! formulas, on a clock that counts operations and bytes: each allocation first pays for itself, then starts a cycle if it
//! reaches the trigger. A [`Pacing`] says which of the rules it keeps to, and so what comes of each that is missing:
//!
//! | without                | what happens                                                                    |
//! |------------------------|---------------------------------------------------------------------------------|
//! | the runway             | the cycle starts when the goal is reached, and ends beyond it                   |
//! | measuring cons/mark    | it starts late each time, and mutators do the work of the background            |
//! | assists                | a heap that is allocated from fast grows until the background is done           |
//! | proportional sweeping  | the next cycle finds the last one unswept, and sweeps it all at once            |
//! | the limiter            | under a limit that cannot be met, mutators do nothing but assist                |
//! | forgetting             | a heap that was large once never becomes small again                            |
//!
//! `heaplaw pace` draws such a run: how the live heap goes up and down below the goal, and what started each cycle.
//!
//! This chapter grounds laws 88, 94, 98, 99, 102, 103 and 106. Source: Go 1.27's `mgcpacer.go`, `mgcmark.go`,
//! `mgcsweep.go` and `mgclimit.go`; proposals 44167 (pacer) and 48409 (memory limit).
//!
//! ```
//! use heaplaw_reference::pacer::{Account, Gogc, LastCycle, Pace, Pool, Progress, Work};
//!
//! // 64 MiB were marked, 40 of them by scanning; for each byte scanned, a quarter of a byte is allocated.
//! let scanned = Work { heap: 40 << 20, stacks: 1 << 20, globals: 1 << 19 };
//! let last = LastCycle { marked: 64 << 20, scanned };
//! let pace = Pace { cons_mark: 0.25, ..Pace::after(last, Gogc::Percent(100)) };
//! assert_eq!((pace.goal(), pace.runway(), pace.trigger()), (135_790_592, 32_636_928, 115_400_704));
//!
//! // The cycle starts there. A third of the way to the goal, a third of the work should be done; nothing is.
//! let live = pace.trigger() + (pace.goal() - pace.trigger()) / 3;
//! let most = Work { heap: 90 << 20, ..scanned };
//! let progress = Progress { live, done: 0, expected: scanned, most, goal: pace.goal(), triggered: pace.trigger() };
//! let ratio = progress.ratio(Gogc::Percent(100));
//!
//! // So somebody who allocates 100 KiB scans 320 KiB, unless the background workers have done it already.
//! let (mut account, mut pool) = (Account::default(), Pool::default());
//! account.allocate(100 << 10, 100 << 10);
//! let paid = account.assist(ratio, &mut pool, |work| work);
//! assert_eq!((paid.stolen, paid.drained >> 10), (0, 320));
//! assert!(!account.in_debt());
//! ```

pub use crate::{op::Gogc, place::PAGE};

use crate::op::MutatorId;
use alloc::{collections::VecDeque, vec::Vec};

/// A heap that has not been marked for longer than this is collected whether it has grown or not (Go: `forcegcperiod`).
pub const PERIOD_MS: u64 = 120_000;

/// The bytes of a KiB.
const KIB: u64 = 1 << 10;

/// The bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The smallest goal at GOGC 100, in bytes; and how much later than 61/64 of the way a cycle may start.
pub const HEAP_MINIMUM: u64 = 4 * MIB;

/// How many bytes are left to allocate when the sweep is to be finished, and how much larger than at the end of marking the
/// heap is before the next cycle starts, if that is not.
pub const SWEEP_MARGIN: u64 = MIB;

/// The share of all processors that marks in the background.
pub const UTILIZATION: f64 = 0.25;

/// The least scan work that an assist does, in bytes: what is too much is paid ahead.
pub const LEAST_ASSIST: i64 = 64 * KIB as i64;

// ---- how large the heap may become

impl Gogc {
    /// The smallest goal, in bytes.
    pub fn heap_minimum(self) -> u64 {
        match self {
            Gogc::Off => u64::MAX,
            Gogc::Percent(percent) => HEAP_MINIMUM * u64::from(percent) / 100,
        }
    }

    /// How many times its size a cycle's goal may become while the cycle runs. A cycle that was forced although
    /// collection is off has as good as no bound.
    pub fn growth(self) -> f64 {
        1.0 + match self {
            Gogc::Off => 1000.0,
            Gogc::Percent(percent) => f64::from(percent) / 100.0,
        }
    }
}

/// Scan work by where it lies, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// In objects with pointers.
    pub heap: u64,
    /// On stacks.
    pub stacks: u64,
    /// In globals.
    pub globals: u64,
}

impl Work {
    /// All of it, in bytes.
    pub fn total(self) -> u64 {
        self.heap + self.stacks + self.globals
    }
}

/// What the last cycle measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastCycle {
    /// Bytes of marked objects: M. Pointer-free objects count here although nobody scans them.
    pub marked: u64,
    /// What was scanned: H, S and Gl.
    pub scanned: Work,
}

/// The goal that GOGC sets, in bytes: M + (M + S + Gl) · GOGC / 100, or the smallest goal.
pub fn percent_goal(last: LastCycle, gogc: Gogc) -> u64 {
    let Gogc::Percent(percent) = gogc else { return u64::MAX };
    let scanned = u128::from(last.marked) + u128::from(last.scanned.stacks) + u128::from(last.scanned.globals);
    let goal = u128::from(last.marked) + scanned * u128::from(percent) / 100;
    u64::try_from(goal).unwrap_or(u64::MAX).max(gogc.heap_minimum())
}

/// What a process has mapped, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All memory that is mapped and not given back: what the limit is about.
    pub mapped: u64,
    /// Of that, pages of the heap without objects.
    pub heap_free: u64,
    /// Of that, objects.
    pub heap_allocated: u64,
}

/// The goal that a memory limit of `limit` bytes sets, in bytes. What is not heap is taken off the limit, and so is once
/// more what is over it already; of the rest, 3 % (1 MiB at least) are kept as headroom.
pub fn limit_goal(limit: u64, memory: Memory, marked: u64) -> u64 {
    let other = memory.mapped.saturating_sub(memory.heap_free.saturating_add(memory.heap_allocated));
    let overage = memory.mapped.saturating_sub(limit);
    let room = limit.saturating_sub(other.saturating_add(overage));
    if room == 0 {
        return marked;
    }
    let headroom = (room / 100 * 3).max(MIB);
    room.saturating_sub(headroom).max(headroom).max(marked)
}

// ---- when a cycle starts

/// The least and the largest trigger for a goal, in bytes, when there is nothing to sweep: 45 and 61 sixty-fourths of
/// the way from what is marked, or 4 MiB before the goal if that is later. Both are the goal if everything up to it is
/// marked.
pub fn bounds(marked: u64, goal: u64) -> (u64, u64) {
    if marked >= goal {
        return (goal, goal);
    }
    let way = |sixty_fourths: u64| marked + (goal - marked) / 64 * sixty_fourths;
    let most = way(61).max(goal.saturating_sub(HEAP_MINIMUM));
    (way(45), most)
}

/// All that the next cycle's start is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// What the last cycle measured.
    pub last: LastCycle,
    /// How much the heap may grow.
    pub gogc: Gogc,
    /// The goal that the memory limit sets, in bytes, if there is a limit: see [`limit_goal`].
    pub limit_goal: Option<u64>,
    /// While pages of the last cycle wait for being swept: the live bytes when that cycle ended.
    pub sweeping_from: Option<u64>,
    /// While a cycle runs: the live bytes when it was triggered.
    pub triggered: Option<u64>,
    /// Bytes allocated per byte scanned, each per second of one CPU.
    pub cons_mark: f64,
}

impl Pace {
    /// After this cycle: swept, without a limit, and nothing known about the rate of allocation.
    pub fn after(last: LastCycle, gogc: Gogc) -> Pace {
        Pace { last, gogc, limit_goal: None, sweeping_from: None, triggered: None, cons_mark: 0.0 }
    }

    /// Whether it is the memory limit that sets the goal.
    pub fn is_limited(&self) -> bool {
        self.limited().is_some()
    }

    /// The limit's goal, if it is the smaller one.
    fn limited(&self) -> Option<u64> {
        self.limit_goal.filter(|goal| *goal < percent_goal(self.last, self.gogc))
    }

    /// The live bytes before which no cycle should start, because there is still sweeping to do.
    fn sweep_minimum(&self) -> u64 {
        self.sweeping_from.map_or(0, |live| live.saturating_add(SWEEP_MARGIN))
    }

    /// The size at which the cycle should end, in bytes. A goal set by GOGC leaves room for the sweep before the cycle,
    /// and 64 KiB for the cycle; a goal set by the limit does not give way.
    pub fn goal(&self) -> u64 {
        self.limited().unwrap_or_else(|| {
            let runway = self.triggered.map_or(0, |triggered| triggered.saturating_add(64 * KIB));
            percent_goal(self.last, self.gogc).max(self.sweep_minimum()).max(runway)
        })
    }

    /// How many bytes will be allocated while the cycle runs, if it is like the last one.
    pub fn runway(&self) -> u64 {
        let per_byte = self.cons_mark * (1.0 - UTILIZATION) / UTILIZATION;
        (per_byte * self.last.scanned.total() as f64) as u64
    }

    /// The least and the largest trigger, in bytes. Both are the goal if everything up to the goal is marked.
    pub fn bounds(&self) -> (u64, u64) {
        let sweep = if self.is_limited() { 0 } else { self.sweep_minimum() };
        let goal = self.goal();
        let (least, most) = bounds(self.last.marked, goal);
        let least = least.max(sweep.min(goal));
        (least, most.max(least))
    }

    /// The live bytes at which the cycle starts.
    pub fn trigger(&self) -> u64 {
        let (least, most) = self.bounds();
        self.goal().saturating_sub(self.runway()).clamp(least, most)
    }
}

/// How a cycle's CPU time was spent, as shares of all processors from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// In assists.
    pub assists: f64,
    /// By workers on processors that had nothing else to do.
    pub idle: f64,
}

/// Cons/mark as one cycle measures it; nothing, if nothing was allocated while it ran, or nothing scanned. Idle time
/// counts for the collector, which used it, but not against the mutators, which could have had it.
pub fn cons_mark(triggered: u64, live_at_end: u64, work: u64, shares: Shares) -> Option<f64> {
    let allocated = live_at_end.checked_sub(triggered).filter(|bytes| *bytes > 0 && work > 0)?;
    let collector = UTILIZATION + shares.assists;
    Some(allocated as f64 * (collector + shares.idle) / (work as f64 * (1.0 - collector)))
}

/// The last measurements of cons/mark. The largest is used, since starting late costs more than starting early.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConsMark {
    last: [f64; 4],
}

impl ConsMark {
    /// Takes a new measurement, and gives the largest of it and the four before.
    pub fn measured(&mut self, new: f64) -> f64 {
        let largest = self.last.into_iter().fold(new, f64::max);
        self.last.rotate_left(1);
        self.last[3] = new;
        largest
    }
}

// ---- how fast a cycle has to be

/// How far a cycle has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Live bytes: marked last time or allocated since.
    pub live: u64,
    /// Bytes scanned so far.
    pub done: u64,
    /// What is to be scanned if the cycle is like the last one.
    pub expected: Work,
    /// What is to be scanned if all that may hold pointers turns out to be alive.
    pub most: Work,
    /// The goal in bytes.
    pub goal: u64,
    /// The live bytes at which the cycle started.
    pub triggered: u64,
}

/// What allocation costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Bytes to scan per byte allocated.
    pub work_per_byte: f64,
    /// Bytes that may be allocated per byte scanned.
    pub bytes_per_work: f64,
    /// The goal that this is about, in bytes: the cycle's, or one that was moved on.
    pub goal: u64,
}

impl Progress {
    /// What allocation costs from now on.
    pub fn ratio(&self, gogc: Gogc) -> Ratio {
        let (mut expected, mut goal) = (self.expected.total(), self.goal);
        if self.done > expected {
            // The heap grows. Extend the runway in proportion to the work.
            let runway = goal.saturating_sub(self.triggered) as f64;
            let extended = (runway / expected as f64 * self.most.total() as f64) as u64;
            goal = self.triggered.saturating_add(extended).min((gogc.growth() * goal as f64) as u64);
            expected = self.most.total();
        }
        if self.live > goal {
            // Too late already. Allow a tenth more, and assume the worst.
            goal = (goal as f64 * 1.1) as u64;
            expected = self.most.total();
        }
        let work = expected.saturating_sub(self.done).max(1000) as f64;
        let room = goal.saturating_sub(self.live).max(1) as f64;
        Ratio { work_per_byte: work / room, bytes_per_work: room / work, goal }
    }
}

/// What a mutator may still allocate before it has to assist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes: credit, or debt if below zero.
    pub balance: i64,
}

/// How a debt was worked off, in bytes of scan work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// Taken from what background workers have done.
    pub stolen: i64,
    /// Done by the mutator itself.
    pub drained: i64,
}

impl Account {
    /// Charges for an allocation while marking: the bytes asked for, and the rest of the slot that they are put into.
    /// (An object that shares its slot, as tiny ones do, is charged for itself only: `slot` equal to `requested`.)
    pub fn allocate(&mut self, requested: u64, slot: u64) {
        self.balance -= requested.max(slot) as i64;
    }

    /// Takes back credit for more than `room` bytes. When a cycle seems to be nearly over, work is cheap, and what is paid
    /// ahead buys more than there is; if it then turns out that the heap has grown, nobody would assist any more. (Go
    /// leaves the credit, and a heap that grows fast may exceed its bound.)
    pub fn cap(&mut self, room: i64) {
        self.balance = self.balance.min(room.max(0));
    }

    /// Whether the mutator has to assist before it may go on.
    pub fn in_debt(&self) -> bool {
        self.balance < 0
    }

    /// Pays a debt: first out of the pool, then by scanning. `drain` is asked to scan so many bytes and says how many it
    /// did, fewer if it found nothing or was interrupted. A small debt is paid ahead, since an assist has costs of its
    /// own. A mutator that is in debt afterwards waits in the pool's queue.
    pub fn assist(&mut self, ratio: Ratio, pool: &mut Pool, drain: impl FnOnce(i64) -> i64) -> Paid {
        if !self.in_debt() {
            return Paid::default();
        }
        let mut debt = -self.balance;
        let mut work = (ratio.work_per_byte * debt as f64) as i64;
        if work < LEAST_ASSIST {
            work = LEAST_ASSIST;
            debt = (ratio.bytes_per_work * work as f64) as i64;
        }
        let stolen = pool.credit.clamp(0, work);
        pool.credit -= stolen;
        if stolen == work {
            self.balance = self.balance.saturating_add(debt);
            return Paid { stolen, drained: 0 };
        }
        // One byte more, so that what was cut off cannot leave a debt for ever.
        let earned = |work: i64| ((ratio.bytes_per_work * work as f64) as i64).saturating_add(1);
        if stolen > 0 {
            self.balance = self.balance.saturating_add(earned(stolen));
        }
        let drained = drain(work - stolen);
        self.balance = self.balance.saturating_add(earned(drained));
        Paid { stolen, drained }
    }
}

/// What background workers have done for others, and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Bytes of scan work that nobody has used yet. (In Go several can steal at once, and it may fall below zero.)
    pub credit: i64,
    /// The mutators in debt, in the order in which they came.
    pub waiting: VecDeque<(MutatorId, Account)>,
}

impl Pool {
    /// Hands in `work` bytes of scan work. Debts are paid first, the oldest first, and who is free of debt goes on. One
    /// that can only be paid in part goes to the back. What is left is for those who come later.
    pub fn deposit(&mut self, work: i64, ratio: Ratio) -> Vec<(MutatorId, Account)> {
        let mut free = Vec::new();
        if self.waiting.is_empty() {
            self.credit += work;
            return free;
        }
        let mut bytes = (work as f64 * ratio.bytes_per_work) as i64;
        while bytes > 0
            && let Some((mutator, mut account)) = self.waiting.pop_front()
        {
            let paid = bytes.min(-account.balance);
            account.balance += paid;
            bytes -= paid;
            if account.in_debt() {
                self.waiting.push_back((mutator, account));
            } else {
                free.push((mutator, account));
            }
        }
        self.credit += (bytes as f64 * ratio.work_per_byte) as i64;
        free
    }
}

// ---- who marks

/// The background workers of a cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workers {
    /// Processors that do nothing but mark.
    pub dedicated: u32,
    /// The share of its time that each of the others marks.
    pub fraction: f64,
}

/// How a quarter of `processors` is shared out. The number of dedicated workers is rounded (halves up); if that is more
/// than 30 % off, it is rounded down, and the others make up for the rest.
///
/// ```
/// use heaplaw_reference::pacer::{Workers, workers};
/// assert_eq!(workers(8), Workers { dedicated: 2, fraction: 0.0 });
/// assert_eq!(workers(2), Workers { dedicated: 0, fraction: 0.25 });
/// ```
pub fn workers(processors: u32) -> Workers {
    let all = u64::from(processors);
    // The nearest integer to all / 4, without leaving the integers.
    let mut dedicated = (all + 2) / 4;
    if (4 * dedicated).abs_diff(all) * 10 <= 3 * all {
        return Workers { dedicated: dedicated as u32, fraction: 0.0 };
    }
    if 4 * dedicated > all {
        dedicated -= 1;
    }
    Workers { dedicated: dedicated as u32, fraction: (all - 4 * dedicated) as f64 / (4 * all) as f64 }
}

/// How many more workers may run on processors that have nothing else to do. A cycle that was started by the clock, in a
/// program that sleeps, should not wake them all; but one worker has to be sure to run.
pub fn idle_workers(processors: u32, periodic: bool) -> u32 {
    let Workers { dedicated, .. } = workers(processors);
    if periodic { u32::from(dedicated == 0) } else { processors - dedicated }
}

// ---- how fast the sweep has to be

/// The pages to sweep per byte allocated, so that all are swept 1 MiB before the trigger.
pub fn sweep_ratio(pages_in_use: u64, pages_swept: u64, trigger: u64, live: u64) -> f64 {
    let room = trigger.saturating_sub(live).saturating_sub(SWEEP_MARGIN).max(PAGE);
    pages_in_use.saturating_sub(pages_swept) as f64 / room as f64
}

/// How many pages have to be swept before a span of `span` bytes is taken, with `grown` bytes allocated since the ratio
/// was computed.
pub fn sweep_debt(ratio: f64, grown: u64, span: u64) -> u64 {
    (ratio * (grown + span) as f64) as u64
}

// ---- all of it together

/// Pacing as data: what a heap that paces itself keeps to. One that is right keeps to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// The goal makes allowance for stacks and globals.
    pub counts_roots: bool,
    /// A cycle starts as early as the runway asks for, not at the goal.
    pub starts_early: bool,
    /// No cycle starts before the trigger is reached.
    pub waits: bool,
    /// Cons/mark is measured.
    pub learns: bool,
    /// Those who allocate while marking assist.
    pub assists: bool,
    /// Those who assist do the work that they are given credit for.
    pub works: bool,
    /// The limiter can forbid assists.
    pub limits: bool,
    /// The goal heeds the memory limit.
    pub obeys: bool,
    /// Those who allocate while sweeping sweep.
    pub sweeps: bool,
    /// What is allocated while marking counts as live.
    pub counts_newborns: bool,
    /// Only the last cycle's mark counts, however much was marked before.
    pub forgets: bool,
    /// The clock starts no cycle while collection is off.
    pub rests: bool,
    /// Objects without pointers are not scanned.
    pub spares_data: bool,
}

impl Pacing {
    /// Keeps to everything.
    pub const SOUND: Pacing = Pacing {
        counts_roots: true,
        starts_early: true,
        waits: true,
        learns: true,
        assists: true,
        works: true,
        limits: true,
        obeys: true,
        sweeps: true,
        counts_newborns: true,
        forgets: true,
        rests: true,
        spares_data: true,
    };
}

// ---- the emergency exit

/// The limiter of the collector's CPU time: a leaky bucket. All times are in nanoseconds; the clock is the caller's,
/// and never runs backwards.
///
/// ```text
///    assists + ¼ of all CPU while marking         full: no assists
///                    │                            ┌─────────────┐ capacity: 1 s for each processor
///                    ▼                            │▒▒▒▒▒▒▒▒▒▒▒▒▒│
///                                                 └──────┬──────┘
///                                                        ▼ the mutators' CPU time
/// ```
///
/// Time goes in and out at the same rate, so that in the long run the collector has at most half of what is used; the
/// capacity is how long it may have more. An idle processor counts for neither side. What runs over is forgotten, so the
/// promise is as good as the windows are short in which the bucket is full and assists do not know it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limiter {
    processors: u64,
    /// Invariant: at most the capacity.
    fill: u64,
    overflow: u64,
    last: u64,
}

/// What the processors did besides running mutators, since the limiter was last told; in nanoseconds of CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Assists.
    pub assists: u64,
    /// Nothing.
    pub idle: u64,
    /// Whether background workers were marking.
    pub marking: bool,
}

impl Limiter {
    /// An empty bucket, at this time.
    pub fn new(processors: u32, now: u64) -> Limiter {
        Limiter { processors: u64::from(processors), fill: 0, overflow: 0, last: now }
    }

    /// What the bucket holds when it is full: a second for each processor.
    pub fn capacity(&self) -> u64 {
        self.processors * 1_000_000_000
    }

    /// What the bucket holds.
    pub fn fill(&self) -> u64 {
        self.fill
    }

    /// What has run over so far.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Whether the bucket is full: no assists.
    pub fn limiting(&self) -> bool {
        self.fill == self.capacity()
    }

    /// Tells the time, and what was done meanwhile. To be called every 10 ms at least.
    pub fn update(&mut self, now: u64, spent: Spent) {
        let all = (now - self.last) * self.processors;
        let background = if spent.marking { all / 4 } else { 0 };
        self.account(now, spent.assists + background, spent.idle);
    }

    /// Tells the time after a pause: nobody else could use any processor meanwhile.
    pub fn update_after_pause(&mut self, now: u64) {
        self.account(now, (now - self.last) * self.processors, 0);
    }

    fn account(&mut self, now: u64, collector: u64, idle: u64) {
        let all = (now - self.last) * self.processors;
        let mutators = all.saturating_sub(idle).saturating_sub(collector);
        let level = (self.fill + collector).saturating_sub(mutators);
        self.overflow += level.saturating_sub(self.capacity());
        self.fill = level.min(self.capacity());
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-5 * right.abs().max(1e-3)
    }

    #[test]
    fn goal_runway_and_trigger_to_the_byte() {
        // M, S, Gl, GOGC, c, H; goal, runway, trigger.
        let vectors = [
            (0, 0, 0, 100, 0.0, 0, 4194304, 0, 3997696),
            (0, 0, 0, 50, 0.0, 0, 2097152, 0, 1998848),
            (0, 0, 0, 200, 0.0, 0, 8388608, 0, 7995392),
            (1048576, 0, 0, 100, 0.2, 1048576, 4194304, 629145, 3565159),
            (67108864, 1048576, 524288, 100, 0.25, 41943040, 135790592, 32636928, 115400704),
            (67108864, 1048576, 524288, 100, 1.5, 67108864, 135790592, 309067776, 115400704),
            (67108864, 0, 0, 10, 0.5, 67108864, 73819750, 100663296, 71827429),
            (1073741824, 16777216, 2097152, 100, 0.05, 629145600, 2166358016, 97202995, 2069155021),
            (1073741824, 16777216, 2097152, 400, 0.3, 629145600, 5444206592, 583217971, 4860988621),
        ];
        for (marked, stacks, globals, percent, cons_mark, heap, goal, runway, trigger) in vectors {
            let last = LastCycle { marked, scanned: Work { heap, stacks, globals } };
            let pace = Pace { cons_mark, ..Pace::after(last, Gogc::Percent(percent)) };
            assert_eq!((pace.goal(), pace.runway(), pace.trigger()), (goal, runway, trigger), "{pace:?}");
        }
    }

    #[test]
    fn the_limit_sets_a_goal_but_never_below_what_is_marked() {
        // Limit, mapped, free, allocated, marked in MiB; goal in bytes.
        let vectors = [
            (200, 150, 20, 110, 80, 183_081_372),
            (90, 100, 5, 80, 64, 64 * MIB),
            (40, 100, 5, 80, 64, 64 * MIB),
            (3, 2, 0, 1, 1, MIB),
        ];
        for (limit, mapped, free, allocated, marked, goal) in vectors {
            let memory = Memory { mapped: mapped * MIB, heap_free: free * MIB, heap_allocated: allocated * MIB };
            assert_eq!(limit_goal(limit * MIB, memory, marked * MIB), goal, "limit {limit} MiB");
        }
    }

    #[test]
    fn the_smaller_goal_counts_and_a_limit_does_not_give_way() {
        let last = LastCycle { marked: 64 * MIB, scanned: Work::default() };
        let pace = Pace::after(last, Gogc::Percent(100));
        assert_eq!(pace.goal(), 128 * MIB);
        let off = Pace::after(last, Gogc::Off);
        assert_eq!((off.goal(), off.trigger() < off.goal()), (u64::MAX, true));

        let busy = Pace { sweeping_from: Some(130 * MIB), ..pace };
        assert_eq!((busy.goal(), busy.trigger()), (131 * MIB, 131 * MIB), "the sweep comes first");
        let late = Pace { triggered: Some(128 * MIB), ..pace };
        assert_eq!(late.goal(), 128 * MIB + 64 * KIB);
        let limited = Pace { limit_goal: Some(100 * MIB), sweeping_from: Some(130 * MIB), ..late };
        assert_eq!(limited.goal(), 100 * MIB);
        assert_eq!(Pace { limit_goal: Some(200 * MIB), ..pace }.goal(), 128 * MIB);
        let at_the_limit = Pace { limit_goal: Some(64 * MIB), ..off };
        assert_eq!((at_the_limit.goal(), at_the_limit.trigger()), (64 * MIB, 64 * MIB), "collects all the time");
    }

    /// Law 99, over a grid: M <= lo <= trigger <= hi <= goal.
    #[test]
    fn the_trigger_lies_between_its_bounds() {
        let sizes = [0, 1, 63, 64 * KIB, 4 * MIB - 1, 5 * MIB, 1 << 30, 1 << 42];
        let gogcs = [Gogc::Off, Gogc::Percent(0), Gogc::Percent(1), Gogc::Percent(100), Gogc::Percent(100_000)];
        let rates = [0.0, 1e-9, 0.1, 1.0, 1e12, f64::INFINITY];
        let mut points = 0;
        for (marked, extra) in sizes.iter().flat_map(|marked| sizes.map(|extra| (*marked, extra))) {
            let scanned = Work { heap: marked / 2, stacks: extra, globals: extra / 3 };
            let last = LastCycle { marked, scanned };
            for (gogc, cons_mark) in gogcs.iter().flat_map(|gogc| rates.map(|rate| (*gogc, rate))) {
                for limit_goal in [None, Some(marked), Some(marked + extra)] {
                    for at in [None, Some(marked), Some(marked + extra), Some(2 * marked)] {
                        for (sweeping_from, triggered) in [(at, None), (None, at), (at, at)] {
                            let pace = Pace { last, gogc, limit_goal, sweeping_from, triggered, cons_mark };
                            let (least, most) = pace.bounds();
                            let row = [marked, least, pace.trigger(), most, pace.goal()];
                            assert!(row.is_sorted(), "{row:?} for {pace:?}");
                            points += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(points, 8 * 8 * 5 * 6 * 3 * 4 * 3);
    }

    #[test]
    fn the_assist_ratio_follows_the_work_that_remains() {
        // Live and done in MiB; the goal in bytes and the ratio.
        let vectors = [
            (110, 0, 128 * MIB, 2.2222),
            (120, 30, 128 * MIB, 1.25),
            (126, 45, 157_810_688, 1.8367),
            (130, 38, 147_639_500, 4.8148),
        ];
        for (live, done, goal, ratio) in vectors {
            let progress = Progress {
                live: live * MIB,
                done: done * MIB,
                expected: Work { heap: 40 * MIB, ..Work::default() },
                most: Work { heap: 90 * MIB, ..Work::default() },
                goal: 128 * MIB,
                triggered: 110 * MIB,
            };
            let found = progress.ratio(Gogc::Percent(100));
            assert_eq!(found.goal, goal, "live {live} MiB");
            assert!((found.work_per_byte - ratio).abs() < 5e-5, "live {live} MiB: {found:?}");
            assert!(close(found.work_per_byte * found.bytes_per_work, 1.0));
        }
    }

    #[test]
    fn the_goal_is_moved_on_by_gogc_at_most_and_never_divides_by_zero() {
        let tiny = Work { heap: MIB, ..Work::default() };
        let huge = Work { heap: 1000 * MIB, ..Work::default() };
        let (goal, triggered) = (128 * MIB, 110 * MIB);
        let grown = Progress { live: 127 * MIB, done: 2 * MIB, expected: tiny, most: huge, goal, triggered };
        assert_eq!(grown.ratio(Gogc::Percent(50)).goal, 192 * MIB);
        let exact = Progress { live: goal, done: MIB, ..grown };
        let ratio = exact.ratio(Gogc::Percent(50));
        assert_eq!((ratio.work_per_byte, ratio.goal), (1000.0, goal), "1000 bytes of work, one byte of room");
        let unexpected = Progress { expected: Work::default(), ..grown };
        assert!(unexpected.ratio(Gogc::Off).work_per_byte.is_finite());
    }

    #[test]
    fn cons_mark_is_measured_and_the_largest_of_five_is_used() {
        let measure = |assists, idle| cons_mark(110 * MIB, 128 * MIB, 40 * MIB, Shares { assists, idle }).unwrap();
        assert!(close(measure(0.0, 0.0), 0.15));
        assert!(close(measure(0.1, 0.0), 0.24231));
        assert!(close(measure(0.0, 0.25), 0.30));
        assert_eq!([(110, 40), (128, 0)].map(|(end, work)| cons_mark(110, end, work, Shares::default())), [None; 2]);
        let mut history = ConsMark::default();
        let used: Vec<f64> = [0.1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1].map(|new| history.measured(new)).into();
        assert_eq!(used, [0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2]);
    }

    #[test]
    fn a_debt_is_paid_from_the_pool_first() {
        let ratio = Ratio { work_per_byte: 2.0, bytes_per_work: 0.5, goal: 0 };
        let debt = |bytes: i64| Account { balance: -bytes };
        let mut pool = Pool { credit: 1_000_000, ..Pool::default() };

        let mut account = debt(100_000);
        assert_eq!(account.assist(ratio, &mut pool, |_| unreachable!()), Paid { stolen: 200_000, drained: 0 });
        assert_eq!((account.balance, pool.credit), (0, 800_000));

        let mut small = debt(10);
        assert_eq!(small.assist(ratio, &mut pool, |_| unreachable!()), Paid { stolen: LEAST_ASSIST, drained: 0 });
        assert_eq!(small.balance, LEAST_ASSIST / 2 - 10, "64 KiB of work are paid ahead");
        assert_eq!(small.assist(ratio, &mut pool, |_| unreachable!()), Paid::default());

        pool.credit = 50_000;
        let mut account = debt(100_000);
        assert_eq!(account.assist(ratio, &mut pool, |work| work), Paid { stolen: 50_000, drained: 150_000 });
        assert_eq!((account.balance, pool.credit), (2, 0), "a byte for each payment");

        let mut account = debt(100_000);
        assert_eq!(account.assist(ratio, &mut pool, |_| 20_000), Paid { stolen: 0, drained: 20_000 });
        assert!(account.in_debt());
    }

    #[test]
    fn an_object_is_charged_for_its_whole_slot() {
        let mut account = Account::default();
        account.allocate(33, 48);
        account.allocate(5, 5);
        assert_eq!(account.balance, -53);
    }

    #[test]
    fn those_who_wait_are_paid_in_the_order_in_which_they_came() {
        let ratio = Ratio { work_per_byte: 2.0, bytes_per_work: 0.5, goal: 0 };
        let names =
            |free: Vec<(MutatorId, Account)>| free.into_iter().map(|(mutator, _)| mutator.0).collect::<Vec<_>>();
        let mut pool = Pool::default();
        assert_eq!(names(pool.deposit(7, ratio)), []);
        assert_eq!(pool.credit, 7);
        pool.waiting =
            [100, 300, 50].into_iter().zip(0..).map(|(debt, n)| (MutatorId(n), Account { balance: -debt })).collect();
        assert_eq!(names(pool.deposit(400, ratio)), [0]);
        let left: Vec<_> = pool.waiting.iter().map(|(mutator, account)| (mutator.0, account.balance)).collect();
        assert_eq!(left, [(2, -50), (1, -200)], "paid in part, and sent to the back");
        assert_eq!(names(pool.deposit(600, ratio)), [2, 1]);
        assert_eq!(pool.credit, 7 + 100);
    }

    /// Law 102: what was scanned is what background workers and assists scanned, and no debt outlives its assist.
    #[test]
    fn work_is_neither_lost_nor_invented() {
        let ratio = Ratio { work_per_byte: 1.6, bytes_per_work: 0.625, goal: 0 };
        let (mut account, mut pool) = (Account::default(), Pool::default());
        let (mut scanned, mut background, mut assists, mut stolen) = (0, 0, 0, 0);
        for turn in 0..1000 {
            account.allocate(16 + turn * 37 % 5000, 8192);
            let paid = account.assist(ratio, &mut pool, |work| {
                scanned += work;
                work
            });
            assert!(!account.in_debt());
            (assists, stolen) = (assists + paid.drained, stolen + paid.stolen);
            if turn % 3 == 0 {
                let work = (turn * 91 % 20_000) as i64;
                (scanned, background) = (scanned + work, background + work);
                pool.deposit(work, ratio);
            }
        }
        assert!(assists > 0 && stolen > 0);
        assert_eq!((assists + background, stolen + pool.credit), (scanned, background));
    }

    #[test]
    fn a_quarter_of_the_processors_mark() {
        let twelfth = 1.0 / 12.0;
        let table = [
            (1, 0, 0.25),
            (2, 0, 0.25),
            (3, 0, 0.25),
            (4, 1, 0.0),
            (5, 1, 0.0),
            (6, 1, twelfth),
            (7, 2, 0.0),
            (8, 2, 0.0),
            (9, 2, 0.0),
            (10, 3, 0.0),
            (11, 3, 0.0),
            (12, 3, 0.0),
            (13, 3, 0.0),
            (14, 4, 0.0),
            (15, 4, 0.0),
            (16, 4, 0.0),
            (32, 8, 0.0),
        ];
        for (processors, dedicated, fraction) in table {
            assert_eq!(workers(processors), Workers { dedicated, fraction }, "{processors} processors");
        }
        for processors in 1..=4096 {
            let Workers { dedicated, fraction } = workers(processors);
            let share = (f64::from(dedicated) + fraction * f64::from(processors)) / f64::from(processors);
            // With the processors of the dedicated workers counted among those that give a fraction.
            assert!((0.7 * UTILIZATION..=1.3 * UTILIZATION).contains(&share), "{processors} processors: {share}");
            assert_eq!(idle_workers(processors, false), processors - dedicated);
            assert!(dedicated + idle_workers(processors, true) > 0, "somebody has to mark");
        }
    }

    #[test]
    fn the_sweep_is_finished_when_the_trigger_is_reached() {
        assert!((sweep_ratio(8192, 0, 96 * MIB, 64 * MIB) - 0.000252016).abs() < 5e-10);
        assert_eq!(sweep_ratio(8192, 0, 64 * MIB + MIB / 2, 64 * MIB), 1.0, "the way is one page at least");
        assert_eq!(sweep_ratio(8192, 8192, 96 * MIB, 64 * MIB), 0.0);
        let ratio = sweep_ratio(8192, 0, 96 * MIB, 64 * MIB);
        assert!(sweep_debt(ratio, 31 * MIB - PAGE, PAGE) >= 8191, "all pages, 1 MiB before the trigger");
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn the_bucket_fills_with_the_collector_and_drains_with_the_mutators() {
        let mut limiter = Limiter::new(4, 0);
        limiter.update(100 * MS, Spent::default());
        assert_eq!(limiter.fill(), 0, "it cannot be emptier than empty");
        // 400 ms of CPU: 100 background, 200 assists, 60 idle, 40 mutators.
        limiter.update(200 * MS, Spent { assists: 200 * MS, idle: 60 * MS, marking: true });
        assert_eq!(limiter.fill(), 260 * MS);
        limiter.update_after_pause(300 * MS);
        assert_eq!(limiter.fill(), 660 * MS);
        limiter.update_after_pause(2000 * MS);
        assert!(limiter.limiting());
        assert_eq!((limiter.fill(), limiter.overflow()), (4000 * MS, 3460 * MS));
        limiter.update(2010 * MS, Spent { marking: true, ..Spent::default() });
        assert_eq!((limiter.limiting(), limiter.fill()), (false, 3980 * MS));
    }

    /// Law 103: whoever would assist all the time gets half of the time, the capacity and what ran over.
    #[test]
    fn the_collector_gets_half_in_the_long_run() {
        for (assist_window, overflows) in [(MS, false), (10 * MS, true)] {
            let mut limiter = Limiter::new(2, 0);
            let (mut now, mut collector) = (0, 0);
            while now < 100_000 * MS {
                let window = if limiter.limiting() { 10 * MS } else { assist_window };
                now += window;
                // All that the background workers leave, unless the limiter is on.
                let assists = if limiter.limiting() { 0 } else { window * 2 / 4 * 3 };
                collector += assists + window * 2 / 4;
                limiter.update(now, Spent { assists, idle: 0, marking: true });
            }
            let mutators = 2 * now - collector;
            assert!(collector <= mutators + limiter.capacity() + limiter.overflow());
            assert_eq!(limiter.overflow() > 0, overflows);
            let share = collector as f64 / (2 * now) as f64;
            assert!(if overflows { share > 0.6 } else { share < 0.51 }, "{share}");
        }
    }

    #[test]
    fn a_limit_that_leads_to_the_same_goal_does_not_set_it() {
        let last = LastCycle { marked: 64 * MIB, scanned: Work::default() };
        let at = |limit_goal| Pace { limit_goal: Some(limit_goal), ..Pace::after(last, Gogc::Percent(100)) };
        let limited = [128 * MIB - 1, 128 * MIB, 128 * MIB + 1].map(|goal| at(goal).is_limited());
        assert_eq!(limited, [true, false, false]);
    }

    #[test]
    fn credit_is_taken_back_down_to_the_room_there_is_and_never_below_nothing() {
        let cases =
            [(50, 100, 50), (50, 50, 50), (50, 20, 20), (50, 0, 0), (50, -7, 0), (-30, 20, -30), (-30, -40, -30)];
        for (balance, room, left) in cases {
            let mut account = Account { balance };
            account.cap(room);
            assert_eq!(account.balance, left, "{balance} in a room of {room}");
        }
    }

    #[test]
    fn a_debt_is_paid_to_the_byte() {
        let ratio = Ratio { work_per_byte: 2.0, bytes_per_work: 0.5, goal: 0 };
        let mut alone = Account { balance: -100_000 };
        assert_eq!(alone.assist(ratio, &mut Pool::default(), |work| work), Paid { stolen: 0, drained: 200_000 });
        assert_eq!(alone.balance, 1, "one payment, one byte");
        // A debt that is worth exactly the least assist is not rounded to another one.
        let half = Ratio { work_per_byte: 0.5, bytes_per_work: 2.0, goal: 0 };
        let mut exact = Account { balance: -(2 * LEAST_ASSIST + 1) };
        let mut pool = Pool { credit: LEAST_ASSIST, ..Pool::default() };
        assert_eq!(exact.assist(half, &mut pool, |_| unreachable!()).stolen, LEAST_ASSIST);
        assert_eq!((exact.balance, pool.credit), (0, 0));
    }

    #[test]
    fn what_is_owed_to_the_sweep_grows_with_what_was_allocated_and_with_the_span() {
        assert_eq!([(0, 8), (8, 0), (24, 8)].map(|(grown, span)| sweep_debt(0.5, grown, span)), [4, 4, 16]);
        assert_eq!(sweep_debt(3.0, 5, 7), 36);
    }
}
