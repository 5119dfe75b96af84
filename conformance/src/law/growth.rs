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
        statement: "When for five cycles, without a memory limit, as much is alive, as much is scanned and the program allocates at the same rate, the next one ends at most 5 % over its goal, and if it starts as early as it wants to, something was allocated while one of the five marked, and no object is as large as what is left of the goal then, assists did at most a fifth of what was done in the background meanwhile.",
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
        // From cycles that are over before anything is allocated nobody learns how early to start.
        let learned = window[..SETTLED].iter().any(|run| run.report.gauge.ended > run.report.gauge.started);
        // Who allocates at once what is to be allocated meanwhile pays for everything.
        let long = largest >= goal.saturating_sub(earliest);
        if gauge.due > earliest && constant && learned && !long {
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
            life.born <= marked && (life.born >= start || life.kept(start) || turns())
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
    use std::collections::BTreeMap;

    /// One cycle.
    const CYCLE: &str =
        "gc start => ok; start told; phase mark\ngc finish => ok; phase terminate; phase sweep; phase off\n";

    /// A cycle of a program in a steady state.
    struct Steady {
        /// Before it and while it marks.
        before: String,
        during: String,
        /// What starts and ends it.
        start: String,
        end: String,
        figures: BTreeMap<&'static str, u64>,
    }

    /// Six cycles of a program that allocates 1000 bytes at the beginning and at the end of each, the first of which is
    /// number 0. Of 100 MiB alive the goal is 200 MiB, and 171.875 MiB the earliest that a cycle wants to start.
    fn steady(change: impl Fn(u64, &mut Steady)) -> Result<u64, usize> {
        let mut story = String::new();
        for number in 0..6 {
            let born = "0 alloc r0 0 1000 => at 64 1000 0";
            let mut figures = BTreeMap::from([("marked", 100 << 20), ("done", 1000), ("due", EARLIEST + 1)]);
            figures.extend([("ended", 1), ("reached", 1_000_000), ("background", 1_000_000 * number), ("assists", 0)]);
            let mut cycle = Steady {
                before: "env clock 97".into(),
                during: "env clock 97".into(),
                start: format!("{born}; start trigger; phase mark"),
                end: format!("{born}; phase terminate; phase sweep; phase off"),
                figures,
            };
            change(number, &mut cycle);
            let Steady { before, during, start, end, figures } = cycle;
            let figures: String = figures.iter().map(|(name, number)| format!(" {name}={number}")).collect();
            story += &format!("{before}\n{start}\n{during}\n{end}\ngc pace => pace{figures}\n");
        }
        told(100, "", &story)
    }

    const EARLIEST: u64 = (100 << 20) + (100 << 20) / 64 * 46;

    #[test]
    fn in_a_steady_state_a_cycle_ends_near_its_goal() {
        let ended = |at: u64| {
            steady(|number, cycle| {
                if number == 5 {
                    cycle.figures.insert("ended", at);
                }
            })
        };
        // A twentieth more, and the object that is being allocated.
        assert_eq!([1_051_000, 1_051_001].map(ended), [Ok(2), Err(29)]);
        // Only of the last of six can it be said.
        let before = |number, cycle: &mut Steady| {
            cycle.figures.insert("ended", if number < 5 { 1 << 40 } else { 1 });
        };
        assert_eq!(steady(before), Ok(2));
    }

    #[test]
    fn in_a_steady_state_assists_do_a_fifth_of_what_is_done_behind() {
        let assists = |all: u64, due: u64| {
            steady(|number, cycle| {
                cycle.figures.insert("due", due);
                cycle.figures.insert("assists", 7 + if number == 5 { all } else { 0 });
            })
        };
        // In five cycles: a fifth of 5,000,000, and for each cycle a newborn and 64 KiB of four mutators paid ahead.
        let most = 1_000_000 + 5 * (1000 + 4 * 65_536);
        assert_eq!([most, most + 1].map(|all| assists(all, EARLIEST + 1)), [Ok(2), Err(29)]);
        assert_eq!(assists(most + 1, EARLIEST), Ok(1), "it starts as early as it may");
        let roots = |roots: u64| {
            steady(|_, cycle| {
                cycle.figures.insert("roots", roots);
            })
        };
        assert_eq!([roots(0), roots(6400)], [Ok(2), Ok(1)], "the goal is further away");
    }

    #[test]
    fn from_cycles_in_which_nothing_is_allocated_nobody_learns() {
        let learns = |learns: &dyn Fn(u64) -> bool| {
            steady(|number, cycle| {
                cycle.figures.extend([("started", 500), ("ended", 500 + u64::from(learns(number)))]);
            })
        };
        assert_eq!(learns(&|_| false), Ok(1));
        assert_eq!(
            [0, 4, 5].map(|at| learns(&|number| number == at)),
            [Ok(2), Ok(2), Ok(1)],
            "the last comes too late"
        );
    }

    #[test]
    fn an_object_as_long_as_what_is_left_pays_for_everything() {
        let long = |size: u64| {
            steady(|_, cycle| {
                cycle.end = format!("0 alloc r0 0 1000 => at 64 {size} 0; phase terminate; phase sweep; phase off");
            })
        };
        let left = (200 << 20) - EARLIEST;
        assert_eq!([left - 1, left].map(long), [Ok(2), Ok(1)]);
    }

    #[test]
    fn a_state_in_which_anything_changes_is_not_steady() {
        let with = |at: u64, change: &dyn Fn(&mut Steady)| {
            steady(|number, cycle| {
                if number == at {
                    change(cycle);
                }
            })
        };
        assert_eq!(with(0, &|cycle| cycle.before = "env gogc 50\ngc start".into()), Ok(2), "before it began");
        for told in ["env gogc 100", "env limit 4194304", "gc sweep 1", "gc start", "env fail 1"] {
            assert_eq!(with(2, &|cycle| cycle.before += &format!("\n{told}")), Ok(0), "{told}");
            assert_eq!(with(5, &|cycle| cycle.during += &format!("\n{told}")), Ok(0), "{told}");
        }
        assert_eq!(with(0, &|cycle| cycle.before = "env limit 4194304".into()), Ok(0), "there is a limit");
        for looks in ["gc stats => stats 0 0", "env clock 1", "0 safepoint"] {
            assert_eq!(with(2, &|cycle| cycle.before += &format!("\n{looks}")), Ok(2), "{looks}");
        }
        for at in [0, 3, 5] {
            let started = |cause: &str| with(at, &|cycle| cycle.start = cycle.start.replace("trigger", cause));
            assert_eq!(["time", "limit", "trigger"].map(started), [Ok(0), Ok(0), Ok(2)]);
        }
        for figure in ["marked", "done"] {
            let figures = |tenth: u64| {
                with(3, &|cycle| {
                    let number = cycle.figures.get_mut(figure).expect("it is there");
                    *number -= *number / 10 + tenth;
                })
            };
            assert_eq!([0, 1].map(figures), [Ok(2), Ok(0)], "{figure}");
        }
        // In one of the cycles the limiter comes on, and is not on before.
        let limited = |from: u64| {
            steady(|number, cycle| {
                cycle.figures.insert("limited", u64::from(number >= from));
            })
        };
        assert_eq!([limited(0), limited(3), limited(6)], [Ok(0), Ok(0), Ok(2)]);
        // One cycle that nobody asked about.
        let unseen = "gc stats => stats 0 0\n0 alloc r0 0 1000 => at 64 1000 0; start trigger; phase mark\n\
            0 safepoint => ok; phase terminate; phase sweep; phase off\n";
        assert_eq!(with(3, &|cycle| cycle.before += &format!("\n{unseen}")), Ok(0));
    }

    #[test]
    fn a_rate_is_bytes_in_operations_and_milliseconds() {
        let with = |change: &dyn Fn(&mut Steady)| {
            steady(|number, cycle| {
                if number == 3 {
                    change(cycle);
                }
            })
        };
        // 2000 bytes in 100 units, or 111, or 112; the last is less than nine tenths.
        assert_eq!([108, 109].map(|time| with(&|cycle| cycle.before = format!("env clock {time}"))), [Ok(2), Ok(1)]);
        assert_eq!([108, 109].map(|time| with(&|cycle| cycle.during = format!("env clock {time}"))), [Ok(2), Ok(1)]);
        assert_eq!([11, 12].map(|more| with(&|cycle| cycle.before += &"\n0 safepoint".repeat(more))), [Ok(2), Ok(1)]);
        assert_eq!(
            [9, 18].map(|less| with(&|cycle| cycle.during = format!("env clock {}", 97 - less))),
            [Ok(2), Ok(1)]
        );
        let twice = "env clock 196\n0 alloc r1 0 8 => at 8 2000 0";
        assert_eq!(with(&|cycle| cycle.before = twice.into()), Ok(2), "twice as much in twice the time");
        let larger = |bytes: u64| with(&|cycle| cycle.before += &format!("\n0 alloc r1 0 8 => at 8 {bytes} 0"));
        assert_eq!([larger(200), larger(300)], [Ok(2), Ok(1)]);
    }

    /// A cycle of 1000 bytes that are born meanwhile, between two looks at the gauge.
    fn ends(before: &str, between: &str, figures: &str) -> Result<u64, usize> {
        let born = "0 alloc r0 0 1000 => at 64 1000 0\n";
        let start = format!("{before}gc start => ok; phase mark\n{born}{between}");
        told(
            101,
            "",
            &format!("{start}gc finish => ok; phase terminate; phase sweep; phase off\ngc pace => pace {figures}"),
        )
    }

    #[test]
    fn a_cycle_ends_a_tenth_above_what_gogc_makes_of_its_goal() {
        let most = |before: &str, figures: &str, most: u64| {
            [most, most + 1].map(|ended| ends(before, "", &format!("{figures} processors=2 ended={ended}")).is_ok())
                == [true, false]
        };
        // And an object, and what two processors may hold.
        let slack = 1000 + 2 * 65_536;
        assert!(most("", "reached=1000000", 2_200_000 + slack));
        assert!(most("env gogc 50\n", "reached=1000000", 1_650_000 + slack));
        assert!(most("", "reached=1000000 started=3000000", 3_300_000 + slack), "it started above that");
        assert!(most("0 alloc r1 0 9 => at 2000 9999 0\n", "reached=1000000", 2_200_000 + slack), "born before");
        let most = "reached=1000000 processors=2 ended=9999999";
        assert_eq!(ends("", "", most), Err(3));
        assert_eq!(ends("env gogc off\n", "", most), Ok(0));
        assert_eq!(ends("env limit 4194304\n", "", most), Ok(0));
        assert_eq!(ends("", "env gogc 100\n", most), Ok(0), "that is new");
        assert_eq!(ends("", "", &format!("{most} limited=1")), Ok(0), "the limiter was on");
        assert_eq!(ends("gc pace => pace limited=1\n", "", &format!("{most} limited=1")), Err(4), "before");
        assert_eq!(
            ends("gc pace => pace limited=1 limiting=1\n", "", &format!("{most} limited=1")),
            Ok(0),
            "it still was"
        );
        assert_eq!(
            ends("gc pace => pace limited=1\ngc pace => pace limited=2\n", "", &format!("{most} limited=2")),
            Err(5)
        );
        assert_eq!(
            ends("", "gc pace => pace limited=1\n", &format!("{most} limited=1")),
            Ok(0),
            "it came on meanwhile"
        );
    }

    #[test]
    fn what_changes_as_a_cycle_begins_changes_in_it() {
        let (start, finish) = CYCLE.split_once('\n').expect("two lines");
        let ends = |begins: &str| told(101, "", &format!("{begins}\n{finish}gc pace => pace limited=1 ended=9999999"));
        assert_eq!(ends("gc pace => pace limited=1; phase mark"), Ok(0), "the limiter came on");
        assert_eq!(ends(&format!("gc pace => pace limited=1\n{start}")), Err(3), "it was on before");
        let changes = format!("env gogc 100 => ok; start time; phase mark\n{finish}gc pace => pace ended=9999999");
        assert_eq!(told(101, "", &changes), Ok(0));
    }

    #[test]
    fn a_cycle_is_seen_after_its_marking_and_before_the_next() {
        let most = "gc pace => pace ended=9999999\n";
        let sees = |story: &str| told(101, "", story);
        let start = CYCLE.lines().next().unwrap_or_default();
        assert_eq!(sees(&format!("{CYCLE}{most}")), Err(2));
        assert_eq!(sees(&format!("{CYCLE}gc pace => pace\n{most}")), Ok(1), "only once");
        assert_eq!(sees(&format!("{start}\n{most}")), Ok(0), "not ended");
        assert_eq!(sees(&format!("{CYCLE}{start}\n{most}")), Ok(0), "that is about the next");
        assert_eq!(sees(&format!("{CYCLE}{}; start time; phase mark", most.trim())), Ok(0), "as it begins");
        assert_eq!(sees(&format!("{start}\n{}; phase terminate; phase sweep", most.trim())), Err(1), "as it ends");
        let whole = "start time; phase mark; phase terminate; phase sweep; phase off";
        assert_eq!(sees(&format!("{}; {whole}", most.trim())), Ok(0), "all of it is in one answer");
    }

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

    /// A limit, and two cycles with these figures; then a byte more is mapped than it allows.
    fn limited(limit: u64, before: &str, first: &str, second: &str, last: &str) -> bool {
        let cycles = format!("{CYCLE}gc pace => pace {first}\n{CYCLE}gc pace => pace {second}\n");
        let last = format!("gc pace => pace {last} mapped={}", limit + 1);
        told(104, "", &format!("env limit {limit}\n{before}{cycles}{last}")).is_ok()
    }

    #[test]
    fn a_limit_that_can_be_met_is_met() {
        const LIMIT: u64 = 4 << 20;
        assert!(!limited(LIMIT, "", "", "", ""));
        assert!(
            [(2 << 20, false), ((2 << 20) - 1, true)]
                .iter()
                .all(|(limit, holds)| limited(*limit, "", "", "", "") == *holds)
        );
        assert!(limited(LIMIT, "env limit off\n", "", "", ""), "there is none");
        // Both cycles scanned no more than they expected, and so did what goes on.
        let (more, enough) = ("done=2 expected=1", "done=2 expected=2");
        assert!(
            limited(LIMIT, "", more, "", "") && limited(LIMIT, "", "", more, "") && limited(LIMIT, "", "", "", more)
        );
        assert!(!limited(LIMIT, "", enough, enough, enough));
        // A quarter of it was marked, and is alive.
        let (most, beyond) = ("marked=1048576", "marked=1048577");
        assert!(!limited(LIMIT, "", most, most, ""));
        assert!(limited(LIMIT, "", beyond, "", "") && limited(LIMIT, "", "", beyond, ""));
        let alive =
            |bytes: u64, then: &str| limited(LIMIT, &format!("0 alloc r0 0 9 => at 64 {bytes} 0\n{then}"), "", "", "");
        assert!(!alive(1 << 20, "") && alive((1 << 20) + 1, "") && !alive((1 << 20) + 1, "0 clear r0\n"));
        // The limiter.
        assert!(limited(LIMIT, "", "limited=1", "limited=1", "limited=1"));
        assert!(limited(LIMIT, "", "", "limited=1", "limited=1"));
        assert!(limited(LIMIT, "", "", "", "limited=1") && limited(LIMIT, "", "", "", "limiting=1"));
        let before = "gc pace => pace limited=1\n";
        assert!(!limited(LIMIT, before, "limited=1", "limited=1", "limited=1"), "long ago");
        // The limit was there before both, and no cycle came between that nobody asked about.
        let start = "gc start => ok; start told; phase mark";
        let over = "gc pace => pace mapped=4194305";
        let cycle = format!("{CYCLE}gc pace => pace\n");
        assert_eq!(told(104, "", &format!("{cycle}env limit {LIMIT}\n{cycle}{over}")), Ok(0));
        assert_eq!(told(104, "", &format!("env limit {LIMIT}\n{cycle}{over}")), Ok(0));
        assert_eq!(told(104, "", &format!("env limit {LIMIT}\n{cycle}{CYCLE}{cycle}{over}")), Ok(0));
        let as_it_is_set = CYCLE.replace(start, &format!("env limit {LIMIT} => ok; start time; phase mark"));
        assert_eq!(told(104, "", &format!("{as_it_is_set}gc pace => pace\n{cycle}{over}")), Ok(0));
        let as_it_is_asked = format!("{over}; start told; phase mark; phase terminate; phase sweep; phase off");
        assert_eq!(told(104, "", &format!("env limit {LIMIT}\n{cycle}{cycle}{as_it_is_asked}")), Ok(1));
        assert_eq!(told(104, "", &format!("env limit {LIMIT}\n{cycle}{cycle}{over}")), Err(7));
    }

    #[test]
    fn the_next_goal_is_computed_from_what_can_be_alive() {
        let object = "0 alloc r0 0 32 => at 64 32 0\n";
        let (start, finish) = CYCLE.split_once('\n').expect("two lines");
        let most = |before: &str, during: &str, most: u64| {
            let marked =
                |bytes: u64| told(141, "", &format!("{before}{start}\n{during}{finish}gc pace => pace marked={bytes}"));
            marked(most) == Ok(1) && marked(most + 1).is_err()
        };
        assert!(most(object, "", 32));
        assert!(most("", object, 32), "born meanwhile");
        assert!(most("", &format!("{object}0 clear r0\n"), 32));
        assert!(most(object, "0 clear r0\n", 32), "let go of meanwhile");
        assert!(most(&format!("{object}0 clear r0\n"), "", 0), "and before");
        let weak = format!("{object}0 weak w0 r0 => weak 1\n0 clear r0\n");
        assert!(most(&weak, "0 strong r0 w0 => ref 64\n", 32), "brought back");
        let again = "0 strong r0 w0 => ref 64\n0 clear r0\n";
        assert!(most(&format!("{weak}{again}"), "", 0));
        assert!(most("0 alloc r0 0 8 => at 64 8 0\n", "", 24), "a tiny one, and neighbours");
        assert!(most("0 alloc r0 0 8 => at 64 8 0\n0 clear r0\n", "", 16), "neighbours");
        // In the operation with which marking begins.
        let begins = |op: &str| {
            told(141, "", &format!("{object}{op} => ok; start time; phase mark\n{finish}gc pace => pace marked=32"))
        };
        assert_eq!([begins("0 clear r0"), begins("0 safepoint")], [Ok(1); 2]);
        assert_eq!(
            told(
                141,
                "",
                "0 alloc r0 0 32 => at 64 32 0; start trigger; phase mark; phase terminate; phase sweep; phase off\ngc pace => pace marked=32"
            ),
            Ok(1)
        );
        let late = format!("{CYCLE}{object}gc pace => pace marked=1");
        assert_eq!(told(141, "", &late), Err(3), "born since");
    }
}
