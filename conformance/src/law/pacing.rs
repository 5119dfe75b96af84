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
