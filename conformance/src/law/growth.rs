//! How large the heap becomes, of a heap that paces itself: laws 100, 101, 104 and 141.
//!
//! Goal and trigger are promises; these laws look at what comes of them, cycle by cycle. Each states its bound as a
//! constant. What excuses a heap is written beside the check: the program has just changed the rules, the live heap has
//! grown more than anybody could know, or the limiter has let mutators go on.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Cycle, Life, Reading, Report};
use heaplaw_reference::{
    event::Cause,
    heap::{Capability, Reply},
    object::TINY_BLOCK,
    op::{Collect, Environment, Gogc, MUTATORS, Op},
    pacer::{LEAST_ASSIST, LastCycle, SWEEP_MARGIN, Work, percent_goal},
};

/// Cycles after which a program in a steady state has one that is as all before.
const SETTLED: usize = 5;

/// How much a steady heap may be larger than its goal when marking ends, in per cent.
const OVERSHOOT: u64 = 5;

/// How much figures of a steady state differ from one another, in per cent.
const STEADY: u64 = 10;

/// What assists may do in a steady state beside background workers, in per cent of their work: with 25 % of all CPU time
/// spent in the background, that is 5 %.
const ASSISTS: u64 = 20;

/// Bytes that a processor may hold for each of the few classes of sizes that a program uses.
const CACHED: u64 = 64 << 10;

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 100,
        name: "steady state",
        statement: "When for five cycles, without a memory limit, as much is alive, as much is scanned and the program allocates at the same rate, the next one ends at most 5 % over its goal, and if it starts as early as it wants to and no object is as large as what is left of the goal then, assists did at most a fifth of what was done in the background meanwhile.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: steady_state,
    },
    Law {
        number: 101,
        name: "hard bound",
        statement: "Without a memory limit, and unless the limiter was on, marking ends before the live heap is a tenth larger than what GOGC makes of the goal itself, or than it was when the cycle started.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: hard_bound,
    },
    Law {
        number: 104,
        name: "memory limit",
        statement: "When less than a quarter of a limit of at least 2 MiB is alive, and the last two cycles to end have started since it was set and scanned no more than they expected, no more is mapped than the limit allows.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: memory_limit,
    },
    Law {
        number: 141,
        name: "return to baseline",
        statement: "What the next goal is computed from is no more than what the last cycle can have found alive or seen born, however large the heap was before.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: return_to_baseline,
    },
];

/// A cycle whose marking has ended, and the first look at the gauge after that and before the next cycle.
struct Run<'r> {
    /// Which of the cycles.
    number: usize,
    cycle: &'r Cycle,
    marked: usize,
    report: &'r Report,
}

fn runs<'r>(reading: &'r Reading<'_>) -> Vec<Run<'r>> {
    let cycles = reading.cycles.iter().enumerate();
    let run = |(number, cycle): (usize, &'r Cycle)| {
        let marked = cycle.marked?;
        let next = reading.cycles.get(number + 1).map_or(usize::MAX, |next| next.start);
        let report = reading.reports.get(reading.reports.partition_point(|report| report.moment < marked))?;
        // In the operation that ends marking the next cycle may have begun.
        (report.moment < next && report.moment > cycle.start).then_some(Run { number, cycle, marked, report })
    };
    cycles.filter_map(run).collect()
}

impl Run<'_> {
    /// Whether GOGC and the limit were the same since a moment.
    fn unchanged_since(&self, moment: usize) -> bool {
        self.report.changed.is_none_or(|changed| changed < moment)
    }

    /// Bytes born from a moment to the end of marking, and the largest object.
    fn born(&self, reading: &Reading<'_>, from: usize) -> (u64, u64) {
        let born = reading.history.moments[from..=self.marked].iter().filter_map(|moment| match moment.reply {
            Reply::Born { usable, .. } => Some(usable),
            _ => None,
        });
        born.fold((0, 0), |(sum, most), usable| (u64::saturating_add(sum, usable), most.max(usable)))
    }

    /// How often the limiter had come on before the cycle started, as far as anybody asked.
    fn limited_before(&self, reading: &Reading<'_>) -> u64 {
        let before = reading.reports.partition_point(|report| report.moment < self.cycle.start);
        before.checked_sub(1).map_or(0, |before| {
            let Report { gauge, .. } = &reading.reports[before];
            // One that was on then was on in the cycle.
            gauge.limited - gauge.limiting.min(gauge.limited)
        })
    }

    /// Whether the limiter may have been on in the course of the cycle.
    fn limited(&self, reading: &Reading<'_>) -> bool {
        self.report.gauge.limited > self.limited_before(reading)
    }
}

/// Whether two figures are about the same.
fn alike(one: u64, other: u64) -> bool {
    one.abs_diff(other).saturating_mul(100) <= one.max(other).saturating_mul(STEADY)
}

fn steady_state(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let runs = runs(reading);
    for window in runs.windows(SETTLED + 1) {
        let [first, .., before, last] = window else { continue };
        let gauge = &last.report.gauge;
        let told = |op: &Op| match op {
            Op::Collect(step) => !matches!(step, Collect::Stats | Collect::Pace),
            Op::Environment(change) => !matches!(change, Environment::Clock(_)),
            Op::Mutate { .. } => false,
        };
        let moments = &reading.history.moments[first.cycle.start..=last.marked];
        let steady = last.number - first.number == SETTLED
            && last.unchanged_since(first.cycle.start)
            && last.report.limit.is_none()
            && !moments.iter().any(|moment| told(&moment.op))
            && window.iter().all(|run| {
                let other = &run.report.gauge;
                run.cycle.cause == Some(Cause::Trigger)
                    && !run.limited(reading)
                    && alike(other.marked, gauge.marked)
                    && alike(other.done, gauge.done)
            });
        if !steady {
            continue;
        }
        let largest = last.born(reading, first.cycle.start).1;
        let (ended, reached) = (gauge.ended, gauge.reached);
        let most = reached.saturating_add(reached / 100 * OVERSHOOT).saturating_add(largest);
        check.that(ended <= most, last.report.moment, || {
            (format!("in a steady state a cycle ends with {ended} bytes live; its goal was {reached}"), [])
        });
        // As early as it wants to: not as early as it may.
        let was = &before.report.gauge;
        let scanned = Work { stacks: was.roots, ..Work::default() };
        let goal = percent_goal(LastCycle { marked: was.marked, scanned }, last.report.gogc);
        let earliest = was.marked.saturating_add(goal.saturating_sub(was.marked) / 64 * 46);
        let rates: Vec<_> = window.windows(2).map(|pair| rate(reading, &pair[0], &pair[1])).collect();
        let constant = rates.iter().all(|rate| alike(rate.0, rates[0].0) && alike(rate.1, rates[0].1));
        // Who allocates at once what is to be allocated meanwhile pays for everything.
        let long = largest >= goal.saturating_sub(earliest);
        if gauge.due > earliest && constant && !long {
            // Over all five: an object that the background worker scans in one piece may be one too many for its share of a
            // cycle, and then it has less of the next.
            let then = &first.report.gauge;
            let assists = gauge.assists.saturating_sub(then.assists);
            let background = gauge.background.saturating_sub(then.background);
            // Who pays pays ahead, and the first who allocates pays before anybody has worked for him.
            let ahead = u64::from(MUTATORS) * LEAST_ASSIST.unsigned_abs();
            let ahead = largest.saturating_add(ahead).saturating_mul(SETTLED as u64);
            check.that(assists <= (background / 100 * ASSISTS).saturating_add(ahead), last.report.moment, || {
                (format!("in a steady state assists do {assists} bytes of work, and {background} are done behind"), [])
            });
        }
    }
    check.done()
}

/// Bytes allocated in a thousand units of time, between two cycles and while the second marks. A unit is an operation of a
/// mutator, or a millisecond.
fn rate(reading: &Reading<'_>, before: &Run<'_>, run: &Run<'_>) -> (u64, u64) {
    let between = |from: usize, to: usize| {
        let (mut bytes, mut units) = (0u64, 1u64);
        for moment in &reading.history.moments[from..=to] {
            match (&moment.op, &moment.reply) {
                (_, Reply::Born { usable, .. }) => (bytes, units) = (bytes.saturating_add(*usable), units + 1),
                (Op::Environment(Environment::Clock(milliseconds)), _) => units += u64::from(*milliseconds),
                (Op::Mutate { .. }, _) => units += 1,
                _ => {}
            }
        }
        bytes.saturating_mul(1000) / units
    };
    (between(before.marked, run.cycle.start), between(run.cycle.start, run.marked))
}

fn hard_bound(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for run in runs(reading) {
        let gauge = &run.report.gauge;
        // A limit moves the goal at any time, below what is live already.
        let free = run.report.gogc != Gogc::Off && run.report.limit.is_none();
        if !free || !run.unchanged_since(run.cycle.start) || run.limited(reading) {
            continue;
        }
        let grown = gauge.reached as f64 * run.report.gogc.growth();
        let most = (grown.max(gauge.started as f64) * 1.1) as u64;
        let slack = run.born(reading, run.cycle.start).1.saturating_add(CACHED.saturating_mul(gauge.processors));
        check.that(gauge.ended <= most.saturating_add(slack), run.report.moment, || {
            let (ended, reached) = (gauge.ended, gauge.reached);
            (
                format!(
                    "a cycle ends with {ended} bytes live; its goal was {reached}, and {most} the most it could be"
                ),
                [],
            )
        });
    }
    check.done()
}

fn memory_limit(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let runs = runs(reading);
    for report in &reading.reports {
        let (Some(limit), Some(changed)) = (report.limit, report.changed) else { continue };
        let past = runs.partition_point(|run| run.report.moment <= report.moment);
        let Some([.., before, last]) = runs.get(..past) else { continue };
        let expected = |run: &&Run<'_>| {
            let gauge = &run.report.gauge;
            gauge.done <= gauge.expected && gauge.marked <= limit / 4 && !run.limited(reading)
        };
        // A cycle that nobody asked about may have scanned more.
        let next = reading.cycles.get(last.number + 1).and_then(|next| next.marked);
        let permits = limit >= 2 * SWEEP_MARGIN
            && last.number == before.number + 1
            && next.is_none_or(|marked| marked > report.moment)
            && before.cycle.start > changed
            && [before, last].iter().all(expected)
            && report.gauge.done <= report.gauge.expected
            && report.gauge.limited == last.report.gauge.limited
            && report.gauge.limiting == 0;
        // What is alive must not have grown since, or it was not known when the last cycle ended.
        let alive = reading.lives().filter(|(_, life)| life.reachable(report.moment));
        let alive = alive.map(|(_, life)| life.usable).fold(0, u64::saturating_add);
        if permits && alive <= limit / 4 {
            let mapped = report.gauge.mapped;
            check.that(mapped <= limit, report.moment, || {
                (format!("{mapped} bytes are mapped, the limit is {limit}, and {alive} are alive"), [])
            });
        }
    }
    check.done()
}

fn return_to_baseline(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for run in runs(reading) {
        let (start, marked) = (run.cycle.start, run.marked);
        // Kept at some time from just before the cycle to the end of its marking.
        let found = |life: &Life| {
            let turns = || life.garbage.iter().any(|turn| (start..=marked).contains(turn));
            life.born <= marked
                && (life.born >= start || life.kept(start.saturating_sub(1)) || life.kept(start) || turns())
        };
        let (mut most, mut tiny) = (0u64, 0);
        for (_, life) in reading.lives() {
            tiny += u64::from(life.shape.is_tiny());
            most = most.saturating_add(if found(life) { life.usable } else { 0 });
        }
        // Tiny objects keep their neighbours.
        let most = most.saturating_add(tiny * TINY_BLOCK);
        let told = run.report.gauge.marked;
        check.that(told <= most, run.report.moment, || {
            (format!("the next goal is computed from {told} bytes; the last cycle found at most {most} alive"), [])
        });
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    /// One cycle.
    const CYCLE: &str = "gc start => ok; start told; phase mark\ngc finish => ok; phase terminate; phase sweep; phase off\n";

    /// A limit of 4 MiB, two cycles that scan what they expected, and then a look at a heap that has mapped a byte more.
    fn over_the_limit(between: &str) -> Result<u64, usize> {
        let cycle = format!("{CYCLE}gc pace => pace\n");
        told(104, "", &format!("env limit 4194304\n{cycle}{cycle}{between}gc pace => pace mapped=4194305"))
    }

    #[test]
    fn a_heap_over_its_limit_is_excused_only_by_a_cycle_that_ended_and_nobody_asked_about() {
        let start = CYCLE.lines().next().unwrap_or_default();
        // What is looked at is the heap after the second cycle.
        assert_eq!(over_the_limit(&format!("{CYCLE}{start}\n")), Ok(1));
        assert_eq!(over_the_limit(""), Err(7));
        assert_eq!(over_the_limit(&format!("{start}\n")), Err(8));
        assert_eq!(over_the_limit(CYCLE), Err(9));
    }
}
