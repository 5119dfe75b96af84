//! The pacer's arithmetic: when a cycle starts, and what allocation costs while it runs. A kernel: numbers in, numbers out.
//!
//! ```text
//!   0 ────── marked ───────── least ─── trigger ─── most ──── goal ──▶ live bytes
//!            by the last      45/64      goal -     61/64     where marking
//!            cycle            of the way runway     of it     should end
//! ```
//!
//! * A **goal** is what was marked and GOGC per cent of all that had to be looked at for it, or less if memory is limited.
//! * The **trigger** lies before the goal by the **runway**: what mutators are going to allocate while the collector marks
//!   with a quarter of all processors. How much that is for each byte scanned, **cons/mark**, the last cycles have measured.
//! * The **price** is the scan work that is left for each byte that may still be allocated. Who allocates while objects are
//!   marked pays it, so marking keeps up however wrong the runway was.
//! * **Sweeping** has a price too, in pages: all are swept when the trigger is near.
//! * The **bucket** is the way out: when the collector has had more than half of the time for long enough, nobody pays.
//!
//! Sizes and scan work are bytes, times nanoseconds. Integers where Go has integers, and divisions cut off in its
//! order; so the reference's pacer, made of the same formulas in other words, gives the same to the last bit. A test in
//! `adapter` compares them.
//!
//! Source: Go's `mgcpacer.go` and `mgclimit.go`; proposals 44167 and 48409.

use crate::geometry::{PAGE, sized};

/// How long a heap may go unmarked, in nanoseconds: two minutes (Go: `forcegcperiod`).
pub(crate) const PERIOD: u64 = 120_000_000_000;
/// The share of all processors that marks behind mutators.
pub(crate) const UTILIZATION: f64 = 0.25;
/// The smallest goal at GOGC 100, and the longest way from the latest trigger to the goal.
const MINIMUM: u64 = sized(4 << 20, 1 << 10) as u64;
/// What may be allocated when the sweep is over, before the next cycle begins.
const MARGIN: u64 = 1 << 20;
/// The shortest way from the trigger to the goal.
const SHORTEST: u64 = 64 << 10;
/// The least that an assist does, in bytes of scan work; what is too much is paid ahead.
const LEAST: i64 = 64 << 10;
/// What the bucket holds for each processor.
const CAPACITY: u64 = 1_000_000_000;

/// Scan work by where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) heap: u64,
    pub(crate) stacks: u64,
    pub(crate) globals: u64,
}

impl Work {
    pub(crate) fn total(self) -> u64 {
        self.heap + self.stacks + self.globals
    }
}

/// What was obtained from the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Everything that was not given back.
    pub(crate) mapped: u64,
    /// Of that, whole pages that are free.
    pub(crate) free: u64,
    /// Of that, slots that are allocated.
    pub(crate) used: u64,
}

// ---- when

/// What a goal and a trigger are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    /// Per cent; collection is off without.
    pub(crate) gogc: Option<u32>,
    /// How much memory there should be at most.
    pub(crate) limit: Option<u64>,
    pub(crate) memory: Memory,
    /// What the last cycle marked,
    pub(crate) marked: u64,
    /// and looked at for that.
    pub(crate) scanned: Work,
    /// The live bytes from which the sweep is paced, while there is one.
    pub(crate) sweeping_from: Option<u64>,
    /// The live bytes when the cycle began, while one marks.
    pub(crate) triggered: Option<u64>,
    /// Bytes allocated for each byte scanned.
    pub(crate) cons_mark: f64,
}

/// How many times the goal a cycle's own goal may become.
fn growth(gogc: Option<u32>) -> f64 {
    1.0 + gogc.map_or(1000.0, |percent| f64::from(percent) / 100.0)
}

impl Terms {
    /// The goal that GOGC sets.
    fn by_percent(&self) -> u64 {
        let Some(percent) = self.gogc.map(u64::from) else { return u64::MAX };
        let looked_at = u128::from(self.marked) + u128::from(self.scanned.stacks) + u128::from(self.scanned.globals);
        let goal = u128::from(self.marked) + looked_at * u128::from(percent) / 100;
        u64::try_from(goal).unwrap_or(u64::MAX).max(MINIMUM * percent / 100)
    }

    /// The goal that the limit sets: what it leaves to objects, without what is over it already, and 3 % less.
    fn by_limit(&self) -> Option<u64> {
        let (limit, Memory { mapped, free, used }) = (self.limit?, self.memory);
        let spent = mapped.saturating_sub(free + used) + mapped.saturating_sub(limit);
        let goal = match limit.saturating_sub(spent) {
            0 => 0,
            room => {
                let headroom = (room / 100 * 3).max(1 << 20);
                room.saturating_sub(headroom).max(headroom)
            }
        };
        // What is alive cannot be collected away.
        Some(goal.max(self.marked))
    }

    /// The limit's goal, if that is the smaller one.
    fn limited(&self) -> Option<u64> {
        self.by_limit().filter(|goal| *goal < self.by_percent())
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limited().is_some()
    }

    /// The least live bytes to trigger at, while there is something to sweep.
    fn after_the_sweep(&self) -> u64 {
        self.sweeping_from.map_or(0, |from| from.saturating_add(MARGIN))
    }

    /// How many bytes should be live at most when marking ends.
    pub(crate) fn goal(&self) -> u64 {
        if let Some(goal) = self.limited() {
            return goal;
        }
        let started = self.triggered.map_or(0, |triggered| triggered.saturating_add(SHORTEST));
        self.by_percent().max(self.after_the_sweep()).max(started)
    }

    /// How many bytes are allocated while the collector marks, if it has as much to do as the last time.
    pub(crate) fn runway(&self) -> u64 {
        (self.cons_mark * (1.0 - UTILIZATION) / UTILIZATION * self.scanned.total() as f64) as u64
    }

    /// How many bytes are live when the next cycle begins.
    pub(crate) fn trigger(&self) -> u64 {
        let (goal, marked) = (self.goal(), self.marked);
        if marked >= goal {
            return goal;
        }
        let sixty_fourths = |count| marked + (goal - marked) / 64 * count;
        let swept = if self.is_limited() { 0 } else { self.after_the_sweep().min(goal) };
        let least = sixty_fourths(45).max(swept);
        let most = sixty_fourths(61).max(goal.saturating_sub(MINIMUM)).max(least);
        goal.saturating_sub(self.runway()).clamp(least, most)
    }
}

/// What a cycle says of cons/mark; nothing if nothing was allocated meanwhile. `assists` and `idle` are shares of all CPU
/// time: that of those who paid, and that of workers beyond their quarter.
pub(crate) fn cons_mark(allocated: u64, work: u64, assists: f64, idle: f64) -> Option<f64> {
    let collector = UTILIZATION + assists;
    let found = allocated as f64 * (collector + idle) / (work as f64 * (1.0 - collector));
    (allocated > 0 && work > 0).then_some(found)
}

/// The last figures for cons/mark. The largest counts: to start late costs more than to start early.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured([f64; 4]);

impl Measured {
    /// Adds one; gives the largest of it and the four before.
    pub(crate) fn with(&mut self, new: f64) -> f64 {
        let largest = self.0.iter().copied().fold(new, f64::max);
        self.0 = [self.0[1], self.0[2], self.0[3], new];
        largest
    }
}

// ---- at what price

/// How far a cycle has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) live: u64,
    pub(crate) done: u64,
    /// The work if this cycle is as the last one, and if everything is alive that may have pointers.
    pub(crate) expected: u64,
    pub(crate) most: u64,
    pub(crate) goal: u64,
    pub(crate) triggered: u64,
}

/// What allocation costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Price {
    pub(crate) work_per_byte: f64,
    pub(crate) bytes_per_work: f64,
    /// The goal that this keeps: the cycle's, or one that was moved because the heap grows.
    pub(crate) goal: u64,
}

impl Progress {
    pub(crate) fn price(&self, gogc: Option<u32>) -> Price {
        let (mut expected, mut goal) = (self.expected, self.goal);
        if self.done > expected {
            // There is more than the last time. As much longer may it take, but no longer than GOGC allows for.
            let way = goal.saturating_sub(self.triggered) as f64;
            let longer = (way / expected as f64 * self.most as f64) as u64;
            goal = self.triggered.saturating_add(longer).min((growth(gogc) * goal as f64) as u64);
            expected = self.most;
        }
        if self.live > goal {
            goal = (goal as f64 * 1.1) as u64;
            expected = self.most;
        }
        let work = expected.saturating_sub(self.done).max(1000) as f64;
        let room = goal.saturating_sub(self.live).max(1) as f64;
        Price { work_per_byte: work / room, bytes_per_work: room / work, goal }
    }
}

/// What a mutator still has to do for what it owes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    /// Taken from what was done for it.
    pub(crate) stolen: i64,
    /// Left to be done.
    pub(crate) work: i64,
    /// What it has now, in bytes of allocation.
    pub(crate) balance: i64,
}

impl Price {
    /// What so much scan work is worth, in bytes of allocation. One more, or what is cut off would leave a debt for ever.
    pub(crate) fn worth(&self, work: i64) -> i64 {
        if work > 0 { ((self.bytes_per_work * work as f64) as i64).saturating_add(1) } else { 0 }
    }

    /// Makes out the bill of a mutator with this `balance`, and pays from `pool` what is in there.
    pub(crate) fn bill(&self, balance: i64, pool: &mut i64) -> Bill {
        if balance >= 0 {
            return Bill { balance, ..Bill::default() };
        }
        let (mut debt, mut work) = (-balance, (self.work_per_byte * -balance as f64) as i64);
        if work < LEAST {
            (debt, work) = ((self.bytes_per_work * LEAST as f64) as i64, LEAST);
        }
        let stolen = (*pool).clamp(0, work);
        *pool -= stolen;
        let paid = if stolen == work { debt } else { self.worth(stolen) };
        Bill { stolen, work: work - stolen, balance: balance.saturating_add(paid) }
    }
}

/// The pages to sweep for each byte allocated, so that `pages` are swept 1 MiB before the trigger.
pub(crate) fn sweep_price(pages: u64, trigger: u64, live: u64) -> f64 {
    pages as f64 / trigger.saturating_sub(live).saturating_sub(MARGIN).max(PAGE as u64) as f64
}

// ---- the way out

/// A leaky bucket: the collector's time flows in, the mutators' out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    processors: u64,
    fill: u64,
    /// What has run over, to be made up for by time in which mutators run: a piece of work is not broken off.
    over: u64,
    /// When it was last looked at.
    last: u64,
}

impl Bucket {
    pub(crate) fn new(processors: u64) -> Bucket {
        Bucket { processors, fill: 0, over: 0, last: 0 }
    }

    /// Whether nobody has to pay. While something has run over, it is.
    pub(crate) fn is_full(&self) -> bool {
        self.fill == self.capacity()
    }

    fn capacity(&self) -> u64 {
        CAPACITY * self.processors
    }

    /// Says how late it is, and how much CPU time the collector has had meanwhile.
    pub(crate) fn update(&mut self, now: u64, collector: u64) {
        let all = now.saturating_sub(self.last) * self.processors;
        let mutators = all.saturating_sub(collector);
        let made_up = mutators.min(self.over);
        let level = (self.fill + collector).saturating_sub(mutators - made_up);
        self.over += level.saturating_sub(self.capacity());
        self.over -= made_up;
        self.fill = level.min(self.capacity());
        self.last = self.last.max(now);
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-4 * right.abs()
    }

    fn terms(marked: u64, gogc: u32) -> Terms {
        Terms { gogc: Some(gogc), marked, ..Terms::default() }
    }

    #[test]
    fn goal_runway_and_trigger_are_those_of_go() {
        // Marked, stacks, globals, GOGC, cons/mark, heap; goal, runway, trigger.
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
        for (marked, stacks, globals, gogc, cons_mark, heap, goal, runway, trigger) in vectors {
            let terms = Terms { scanned: Work { heap, stacks, globals }, cons_mark, ..terms(marked, gogc) };
            assert_eq!((terms.goal(), terms.runway(), terms.trigger()), (goal, runway, trigger), "{terms:?}");
        }
    }

    #[test]
    fn a_limit_lowers_the_goal_to_what_is_marked_at_most() {
        // Limit, mapped, free, used, marked in MiB; the goal.
        let vectors = [
            (200, 150, 20, 110, 80, 183_081_372),
            (90, 100, 5, 80, 64, 64 * MIB),
            (40, 100, 5, 80, 64, 64 * MIB),
            (3, 2, 0, 1, 1, MIB),
        ];
        for (limit, mapped, free, used, marked, goal) in vectors {
            let memory = Memory { mapped: mapped * MIB, free: free * MIB, used: used * MIB };
            let off = Terms { limit: Some(limit * MIB), memory, marked: marked * MIB, ..Terms::default() };
            assert_eq!(off.goal(), goal, "a limit of {limit} MiB");
            let far = Terms { gogc: Some(10), limit: Some(1000 * MIB), ..off };
            assert_eq!((far.goal(), far.is_limited()), (terms(marked * MIB, 10).goal(), false));
        }
    }

    #[test]
    fn the_price_follows_what_is_left_to_do() {
        let vectors = [
            (110, 0, 128 * MIB, 2.2222),
            (120, 30, 128 * MIB, 1.25),
            (126, 45, 157_810_688, 1.8367),
            (130, 38, 147_639_500, 4.8148),
        ];
        for (live, done, goal, price) in vectors {
            let progress = Progress {
                live: live * MIB,
                done: done * MIB,
                expected: 40 * MIB,
                most: 90 * MIB,
                goal: 128 * MIB,
                triggered: 110 * MIB,
            };
            let found = progress.price(Some(100));
            assert_eq!(found.goal, goal, "{live} MiB are live");
            assert!(close(found.work_per_byte, price) && close(found.work_per_byte * found.bytes_per_work, 1.0));
        }
    }

    #[test]
    fn cons_mark_counts_idle_time_for_the_collector_and_not_against_mutators() {
        let measure = |assists, idle| cons_mark(18 * MIB, 40 * MIB, assists, idle).unwrap();
        assert!(close(measure(0.0, 0.0), 0.15) && close(measure(0.1, 0.0), 0.24231) && close(measure(0.0, 0.25), 0.30));
        assert_eq!((cons_mark(0, 40, 0.0, 0.0), cons_mark(18, 0, 0.0, 0.0)), (None, None));
        let mut measured = Measured::default();
        let used = [0.1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1].map(|new| measured.with(new));
        assert_eq!(used, [0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2]);
    }

    #[test]
    fn the_sweep_is_over_when_the_trigger_is_near() {
        assert!(close(sweep_price(8192, 96 * MIB, 64 * MIB), 0.000252016));
        assert_eq!(sweep_price(8192, 64 * MIB + MIB / 2, 64 * MIB), 1.0);
    }

    #[test]
    fn a_bill_is_of_no_less_than_a_piece_of_work() {
        let price = Price { work_per_byte: 1.0, bytes_per_work: 0.5, goal: 0 };
        let bill = |debt: i64| price.bill(-debt, &mut 0).work;
        assert_eq!([1, LEAST - 1, LEAST, LEAST + 1].map(bill), [LEAST, LEAST, LEAST, LEAST + 1]);
        // All of a debt is gone with what it was worth; of a smaller one more is paid than is owed.
        let rest = |debt: i64| price.bill(-debt, &mut LEAST.clone()).balance;
        assert_eq!([LEAST, LEAST - 2].map(rest), [0, LEAST / 2 - (LEAST - 2)]);
    }

    #[test]
    fn a_bucket_is_full_after_a_second_of_each_processor_and_until_it_has_run_dry_of_what_ran_over() {
        const SECOND: u64 = 1_000_000_000;
        let mut bucket = Bucket::new(3);
        bucket.update(SECOND / 2, 3 * SECOND - 1);
        // Half a second of three processors, all of it and more the collector's.
        assert!(!bucket.is_full());
        bucket.update(SECOND / 2, 1);
        assert!(bucket.is_full());
        bucket.update(SECOND / 2, 10);
        assert!(bucket.is_full());
        // What ran over is made up for first; then what the mutators have had makes room.
        bucket.update(SECOND / 2 + 3, 0);
        assert!(bucket.is_full() && bucket.over == 1);
        bucket.update(SECOND / 2 + 4, 0);
        assert!(!bucket.is_full() && bucket.fill == 3 * SECOND - 2);
    }

    /// A bucket under a collector that takes all it may.
    #[test]
    fn the_collector_has_half_of_the_time_and_a_second_more() {
        for piece in [1, 10, 4_000] {
            let (mut bucket, mut now, mut collector) = (Bucket::new(1), 0, 0);
            while now < 100_000_000_000 {
                let time = if bucket.is_full() { 0 } else { piece * 1_000_000 };
                now += if time > 0 { time } else { 5_000_000 };
                collector += time;
                bucket.update(now, time);
            }
            let piece = piece * 1_000_000;
            assert!(2 * collector <= now + CAPACITY + 2 * piece, "{collector} of {now} in pieces of {piece}");
            assert!(2 * collector + 2 * piece > now, "{collector} of {now} in pieces of {piece}");
        }
    }
}
