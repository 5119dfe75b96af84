//! When a cycle starts: laws 98, 99, 105 and 106.
//!
//! How large a heap may grow before it collects is its own affair. What can be asked of any is that it does not forget
//! to collect when time passes, and that it does not collect for nothing. A heap that is made to collect all the time, so
//! as to be tested, breaks law 106, and is meant to.
//!
//! Of a heap that claims to pace itself as Go does, and says what it goes by, more can be asked: that its goal and its
//! trigger are what the [`pacer`] makes of these numbers. That the numbers themselves are right
//! is for other laws: 102, 127 and 141.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Cycle, Reading, Report};
use heaplaw_reference::{
    cycle,
    event::{Cause, Event, Phase},
    heap::{Capability, Reply},
    op::{Action, Collect, Environment, Gogc, Op},
    pacer::{self, LastCycle, Memory, PERIOD_MS, Pace, SWEEP_MARGIN, Work},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 98,
        name: "goal formula",
        statement: "The goal is what was marked and GOGC per cent of that, of stacks and of globals, never below 4 MiB times GOGC per cent; a memory limit may lower it, and a sweep that is not finished raise it by 1 MiB.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: goal_formula,
    },
    Law {
        number: 99,
        name: "trigger bounds",
        statement: "The trigger lies between 45 and 61 sixty-fourths of the way from what is marked to the goal, or at most 4 MiB before the goal if that is later, and an allocation that reaches it starts a cycle.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: trigger_bounds,
    },
    Law {
        number: 105,
        name: "periodic",
        statement: "When more than two minutes have gone by since objects were last marked, if they ever were, a cycle starts as soon as the clock says so, and none does while collection is off.",
        needs: Needs::of(&[Capability::Clock, Capability::Phases]),
        judge: periodic,
    },
    Law {
        number: 106,
        name: "no needless cycle",
        statement: "A cycle that nobody asked for starts only if an allocation was asked for since the last one started, or if it is time, and not below the trigger, if the heap tells it.",
        needs: Needs::of(&[Capability::Phases]),
        judge: no_needless_cycle,
    },
];

impl Report {
    /// The goal that GOGC sets, or the one that the memory limit does, in the way that Go computes it: without what a
    /// sweep that is not finished adds. And whether it is the limit's.
    fn goal(&self) -> (u64, bool) {
        let gauge = &self.gauge;
        let memory = Memory { mapped: gauge.mapped, heap_free: gauge.free, heap_allocated: gauge.used };
        let scanned = Work { stacks: gauge.roots, ..Work::default() };
        let last = LastCycle { marked: gauge.marked, scanned };
        let pace = Pace {
            limit_goal: self.limit.map(|limit| pacer::limit_goal(limit, memory, gauge.marked)),
            triggered: cycle::barrier_on(self.phase).then_some(gauge.started),
            ..Pace::after(last, self.gogc)
        };
        (pace.goal(), pace.is_limited())
    }

    /// How much larger what a sweep moves may be: as long as it is not finished, unless the limit rules.
    fn room_to_sweep(&self, limited: bool) -> u64 {
        if self.phase == Phase::Sweep && !limited { self.gauge.live.saturating_add(SWEEP_MARGIN) } else { 0 }
    }
}

fn goal_formula(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for report in &reading.reports {
        let (goal, limited) = report.goal();
        let most = goal.max(report.room_to_sweep(limited));
        let told = report.gauge.goal;
        check.that((goal..=most).contains(&told), report.moment, || {
            let marked = report.gauge.marked;
            (format!("the goal is said to be {told}; with {marked} bytes marked it is {goal}"), [])
        });
    }
    check.done()
}

fn trigger_bounds(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for report in &reading.reports {
        let (gauge, limited) = (&report.gauge, report.goal().1);
        let (least, most) = pacer::bounds(gauge.marked, gauge.goal);
        let most = most.max(report.room_to_sweep(limited)).min(gauge.goal);
        let trigger = gauge.trigger;
        check.that((least..=most).contains(&trigger), report.moment, || {
            let goal = gauge.goal;
            (format!("the trigger is {trigger}; for the goal {goal} it lies between {least} and {most}"), [])
        });
        // Right after an allocation.
        let before = report.moment.checked_sub(1).map(|before| &reading.history.moments[before]);
        let allocates = before.is_some_and(|moment| matches!(moment.reply, Reply::Born { .. }));
        if allocates && !cycle::barrier_on(report.phase) && gauge.limiting == 0 {
            // A cycle that starts and is over in one operation leaves less behind, or nothing else could be done.
            let ran = before.is_some_and(|moment| moment.events.contains(&Event::Phase(Phase::Mark)));
            check.that(gauge.live < trigger || ran, report.moment, || {
                let live = gauge.live;
                (format!("{live} bytes are live, the trigger is {trigger}, and no cycle has started"), [])
            });
        }
    }
    check.done()
}

/// The time after a moment, in milliseconds.
fn time(reading: &Reading<'_>, moment: usize) -> u64 {
    let ticks = reading.clock.partition_point(|(at, _)| *at <= moment);
    ticks.checked_sub(1).map_or(0, |last| reading.clock[last].1)
}

/// How long before a moment marking was last completed.
fn since_marked(reading: &Reading<'_>, moment: usize) -> Option<u64> {
    let marked = reading.cycles.iter().filter_map(|cycle| cycle.marked).rfind(|marked| *marked < moment)?;
    Some(time(reading, moment) - time(reading, marked))
}

fn periodic(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, now) in &reading.clock {
        let before = at.checked_sub(1).map_or(Phase::Off, |before| reading.scenes[before].phase);
        if cycle::barrier_on(before) || since_marked(reading, *at).is_none() {
            continue;
        }
        // A marking that was aborted is one that there was.
        let left = |(_, from, to): &(usize, Phase, Phase)| cycle::barrier_on(*from) && !cycle::barrier_on(*to);
        let last = reading.phases.iter().filter(|change| left(change)).rfind(|(moment, ..)| moment < at);
        let Some((left, ..)) = last else { continue };
        let rested = now - time(reading, *left);
        let starts = reading.cycles.iter().any(|cycle| cycle.start == *at);
        if reading.gogc(*at) == Gogc::Off {
            check.that(!starts, *at, || ("the clock starts a cycle although collection is off".to_owned(), []));
        } else if rested > PERIOD_MS {
            check.that(starts, *at, || (format!("no cycle starts after {rested} ms without marking"), []));
        }
    }
    check.done()
}

fn no_needless_cycle(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut since = 0;
    for cycle in &reading.cycles {
        let op = |moment: usize| &reading.history.moments[moment].op;
        let told = matches!(op(cycle.start), Op::Collect(Collect::Start | Collect::Full));
        let clock = matches!(op(cycle.start), Op::Environment(Environment::Clock(_)));
        let allocates = |moment: usize| matches!(op(moment), Op::Mutate { action: Action::Alloc { .. }, .. });
        let due = || since_marked(reading, cycle.start).is_some_and(|rested| rested > PERIOD_MS);
        let needed = told || (since..=cycle.start).any(allocates) || due();
        check.that(needed, cycle.start, || {
            let why = if clock { "when the clock does not say so, and" } else { "by itself, and" };
            (format!("a cycle starts {why} nothing was allocated since the last one"), [])
        });
        since = cycle.start;
        if let Some(cause) = cycle.cause {
            let fits = match cause {
                Cause::Told => told,
                Cause::Time => clock && due(),
                Cause::Trigger | Cause::Limit => !told && !clock,
            };
            check.that(fits, cycle.start, || (format!("a cycle starts, as it says because of {cause}"), []));
        }
    }
    for (cycle, next) in reading.cycles.iter().zip(reading.cycles.iter().skip(1).map(Some).chain([None])) {
        below_the_trigger(reading, cycle, next, &mut check);
    }
    check.done()
}

/// Whether a cycle started below the trigger, by what the heap says before and after.
fn below_the_trigger(reading: &Reading<'_>, cycle: &Cycle, next: Option<&Cycle>, check: &mut Check) {
    if !matches!(cycle.cause, Some(Cause::Trigger | Cause::Limit)) {
        return;
    }
    let later = reading.reports.partition_point(|report| report.moment < cycle.start);
    let before = later.checked_sub(1).map(|before| &reading.reports[before]);
    let about_it = |report: &&Report| next.is_none_or(|next| report.moment < next.start);
    // Nothing shows before the heap is asked.
    let Some(Report { gauge, moment: asked, .. }) = reading.reports.get(later).filter(about_it) else { return };
    let (started, due) = (gauge.started, gauge.due);
    check.that(started >= due, *asked, || (format!("a cycle started at {started}, below the trigger, {due}"), []));
    // Nothing but allocation since the heap was last asked, and nothing to be swept: the trigger stays where it is.
    let Some(before) = before.filter(|before| before.phase == Phase::Off && before.limit.is_none()) else { return };
    let quiet = |moment: usize| {
        let moment = &reading.history.moments[moment];
        let changes = matches!(moment.op, Op::Environment(Environment::Gogc(_) | Environment::Limit(_)));
        !changes && !moment.events.iter().any(|event| matches!(event, Event::Phase(_)))
    };
    if (before.moment..cycle.start).all(quiet) {
        let (live, trigger) = (before.gauge.live, before.gauge.trigger);
        check.that((due, true) == (trigger, started >= live), *asked, || {
            (
                format!(
                    "a cycle started at {started} of {due}; before, {live} were live and the trigger was {trigger}"
                ),
                [],
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    const MIB: u64 = 1 << 20;
    const START: &str = "gc start => ok; phase mark\n";
    const WHOLE: &str = "phase mark; phase terminate; phase sweep; phase off";

    #[test]
    fn the_goal_is_what_the_pacer_makes_of_the_figures() {
        let goal = |before: &str, figures: &str, goal: u64| {
            told(98, "", &format!("{before}gc pace => pace marked={} {figures} goal={goal}", 8 * MIB)).is_ok()
        };
        let exactly = |before: &str, figures: &str, at: u64| {
            [at - 1, at, at + 1].map(|told| goal(before, figures, told)) == [false, true, false]
        };
        // What was marked, and as much again for it and for the roots.
        assert!(exactly("", "roots=1048576", 17 * MIB));
        assert!(exactly("env gogc 50\n", "roots=1048576", 12 * MIB + MIB / 2));
        // A cycle that runs has 64 KiB at least, if it started beyond the goal.
        assert!(exactly(START, "started=20971520", 20 * MIB + (64 << 10)));
        assert!(exactly("", "started=20971520", 16 * MIB), "that is over");
        // A sweep that is not finished may move it by 1 MiB beyond what is live.
        let sweep = "gc start => ok; phase mark; phase terminate; phase sweep\n";
        assert!([16 * MIB, 21 * MIB].iter().all(|told| goal(sweep, "live=20971520", *told)));
        assert!([16 * MIB - 1, 21 * MIB + 1].iter().all(|told| !goal(sweep, "live=20971520", *told)));
        assert!(exactly("", "live=20971520", 16 * MIB), "nothing is swept");
        // A limit of 12 MiB, 1 of which is no heap, and 1 is left as headroom.
        let memory = "mapped=11534336 free=1048576 used=9437184";
        assert!(exactly("env limit 12582912\n", memory, 10 * MIB));
        assert!(exactly(&format!("env limit 12582912\n{sweep}"), &format!("live=20971520 {memory}"), 10 * MIB));
        assert!(exactly("env limit 125829120\n", memory, 16 * MIB), "a limit that is far away");
    }

    #[test]
    fn the_trigger_lies_between_45_and_61_of_64_parts_of_the_way() {
        let trigger = |before: &str, figures: &str, at: u64| {
            told(99, "", &format!("{before}gc pace => pace goal=7400 marked=1000 {figures} trigger={at}")).is_ok()
        };
        assert_eq!([5499, 5500, 7100, 7101].map(|at| trigger("", "", at)), [false, true, true, false]);
        let sweep = "gc start => ok; phase mark; phase terminate; phase sweep\n";
        assert_eq!([5499, 5500, 7400, 7401].map(|at| trigger(sweep, "", at)), [false, true, true, false]);
        let limit = format!("env limit 4194304\n{sweep}");
        assert_eq!([7100, 7101].map(|at| trigger(&limit, "", at)), [true, false], "the limit does not give way");
    }

    #[test]
    fn an_allocation_that_reaches_the_trigger_starts_a_cycle() {
        let born = "0 alloc r0 0 8 => at 64 8 0";
        let asked = |before: &str, figures: &str| {
            told(99, "", &format!("{before}\ngc pace => pace goal=6400 trigger=5000 {figures}"))
        };
        assert_eq!([asked(born, "live=4999"), asked(born, "live=5000")], [Ok(2), Err(1)]);
        assert_eq!(asked("", "live=5000"), Ok(1), "nothing was allocated");
        assert_eq!(asked(&format!("{born}\n0 safepoint"), "live=5000"), Ok(1));
        assert_eq!(asked("0 alloc r0 0 8 => full", "live=5000"), Ok(1));
        assert_eq!(asked(born, "live=5000 limiting=1"), Ok(1), "the limiter lets it go on");
        assert_eq!(asked(&format!("{START}{born}"), "live=5000"), Ok(1), "one is running");
        assert_eq!(asked(&format!("{born}; {WHOLE}"), "live=5000"), Ok(2), "it has run");
    }

    #[test]
    fn a_heap_that_was_not_marked_for_two_minutes_is_collected_when_the_clock_says_so() {
        let full = format!("gc full => ok; {WHOLE}\n");
        let rests = |then: &str| told(105, "", &format!("{full}{then}"));
        assert_eq!(rests("env clock 120000"), Ok(0));
        assert_eq!(rests("env clock 120001"), Err(1));
        assert_eq!(rests("env clock 100000\nenv clock 20001"), Err(2));
        assert_eq!(rests("env clock 120001 => ok; phase mark"), Ok(1));
        assert_eq!(rests(&format!("env clock 120001 => ok; {WHOLE}")), Ok(1));
        assert_eq!(told(105, "", "env clock 999999"), Ok(0), "it never was");
        assert_eq!(rests(&format!("{START}env clock 120001")), Ok(0), "it is being marked");
        let given_up = format!("{START}gc abort => ok; phase off\n");
        assert_eq!(rests(&format!("env clock 100000\n{given_up}env clock 30000")), Ok(0), "that was marking too");
        assert_eq!(told(105, "", &format!("{given_up}env clock 130000 => ok; {WHOLE}")), Ok(0), "it never was before");
        let swept_late = "gc start => ok; phase mark; phase terminate; phase sweep\nenv clock 100000\n\
            gc sweep 9 => ok; phase off\nenv clock 30000";
        assert_eq!(told(105, "", swept_late), Err(3), "sweeping is not marking");
        assert_eq!(rests("env gogc off\nenv clock 120001"), Ok(1));
        assert_eq!(rests("env gogc off\nenv clock 120001 => ok; phase mark"), Err(2));
        assert_eq!(rests("env gogc off\nenv gogc 50\nenv clock 120001"), Err(3));
    }

    #[test]
    fn a_cycle_that_nobody_asked_for_needs_an_allocation_or_time() {
        let born = "0 alloc r0 0 8 => at 64 8 0\n";
        let starts = |story: &str| told(106, "", story);
        assert_eq!(starts("0 safepoint => ok; phase mark"), Err(0));
        assert_eq!(starts(&format!("{born}0 safepoint => ok; phase mark")), Ok(1));
        assert_eq!(starts("0 alloc r0 0 8 => at 64 8 0; phase mark"), Ok(1));
        assert_eq!(starts("gc start => ok; phase mark"), Ok(1));
        assert_eq!(starts(&format!("gc full => ok; {WHOLE}")), Ok(1));
        let once = format!("{born}0 safepoint => ok; {WHOLE}\n");
        assert_eq!(starts(&format!("{once}0 safepoint => ok; phase mark")), Err(2));
        assert_eq!(starts(&format!("{once}{born}0 safepoint => ok; phase mark")), Ok(2));
        let clock = |time: u32| format!("env clock 100000\n{once}env clock {time} => ok; {WHOLE}");
        assert_eq!([120_000, 120_001].map(|time| starts(&clock(time))), [Err(3), Ok(2)]);
        assert!(why(106, "", &clock(9)).contains("the clock does not say so"));
        assert!(why(106, "", "0 safepoint => ok; phase mark").contains("by itself"));
    }

    #[test]
    fn a_cycle_says_truly_why_it_starts() {
        let started =
            |before: &str, op: &str, cause: &str| told(106, "", &format!("{before}{op}; start {cause}; phase mark"));
        let (born, told_to) = ("0 alloc r0 0 8 => at 64 8 0", "gc start => ok");
        let all = |before: &str, op: &str| {
            ["told", "time", "trigger", "limit"].map(|cause| started(before, op, cause).is_ok())
        };
        assert_eq!(all("", told_to), [true, false, false, false]);
        assert_eq!(all("", born), [false, false, true, true]);
        let due = format!("gc full => ok; {WHOLE}\n");
        let late = format!("{due}env clock 130000\n");
        assert_eq!(all(&due, "env clock 130000 => ok"), [false, true, false, false]);
        assert_eq!(all(&late, born), [false, false, true, true]);
        assert_eq!(all(&format!("{due}{born}\n"), "env clock 10 => ok"), [false; 4]);
    }

    #[test]
    fn a_cycle_does_not_start_below_the_trigger() {
        let (born, start) = ("0 alloc r0 0 8 => at 64 8 0", "0 alloc r0 0 8 => at 64 8 0; start trigger; phase mark\n");
        let asked = |story: &str| told(106, "", story);
        let pace = |started: u64| format!("gc pace => pace started={started} due=10\n");
        assert_eq!([9, 10].map(|at| asked(&format!("{start}{}", pace(at)))), [Err(1), Ok(3)]);
        assert_eq!(asked(&format!("gc start => ok; start told; phase mark\n{}", pace(9))), Ok(2), "it was told to");
        let next = format!("{born}; phase terminate; phase sweep; phase off; phase mark\n");
        assert_eq!(asked(&format!("{start}{next}{}", pace(9))), Ok(3), "that is about the next");
        assert_eq!(
            asked(&format!("{start}{born}\n{}; phase off; phase mark", pace(9).trim())),
            Ok(3),
            "it begins there"
        );
        assert_eq!(
            asked(&format!("{born}\n{}; start trigger; phase mark", pace(9).trim())),
            Err(1),
            "in the same breath"
        );
    }

    #[test]
    fn a_cycle_starts_at_the_trigger_that_was_told() {
        let start = "0 alloc r0 0 8 => at 64 8 0; start trigger; phase mark\n";
        let asked = |first: &str, live: u64, between: &str, trigger: u64| {
            let before = format!("{first}gc pace => pace live={live} trigger={trigger}\n{between}");
            told(106, "", &format!("{before}{start}gc pace => pace started=10 due=10"))
        };
        assert_eq!([9, 10, 11].map(|live| asked("", live, "", 10)), [Ok(4), Ok(4), Err(2)]);
        assert_eq!([9, 11].map(|trigger| asked("", 5, "", trigger)), [Err(2); 2]);
        for change in ["env gogc 50\n", "env limit 4194304\n", "gc sweep 1 => ok; phase off\n"] {
            assert_eq!(asked("", 5, change, 9), Ok(3), "{change}");
            assert_eq!(asked("", 5, "env clock 5\n", 9), Err(3), "that changes nothing");
        }
        assert_eq!(asked("env limit 4194304\n", 5, "", 9), Ok(3), "a limit moves it at any time");
        assert_eq!(
            asked("gc full => ok; phase mark; phase terminate; phase sweep\n", 5, "", 9),
            Ok(4),
            "so does sweeping"
        );
    }
}
