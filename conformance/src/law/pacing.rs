//! When a cycle starts: laws 105 and 106.
//!
//! How large a heap may grow before it collects is its own affair. What can be asked of any is that it does not forget
//! to collect when time passes, and that it does not collect for nothing. A heap that is made to collect all the time, so
//! as to be tested, breaks law 106, and is meant to.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    cycle,
    event::Phase,
    heap::Capability,
    op::{Action, Collect, Environment, Op},
    pacer::PERIOD_MS,
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 105,
        name: "periodic",
        statement: "When more than two minutes have gone by since objects were last marked, if they ever were, a cycle starts as soon as the clock says so.",
        needs: Needs::of(&[Capability::Clock, Capability::Phases]),
        judge: periodic,
    },
    Law {
        number: 106,
        name: "no needless cycle",
        statement: "A cycle that nobody asked for starts only if an allocation was asked for since the last one started, or if it is time.",
        needs: Needs::of(&[Capability::Phases]),
        judge: no_needless_cycle,
    },
];

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
        if rested > PERIOD_MS {
            let starts = reading.cycles.iter().any(|cycle| cycle.start == *at);
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
    }
    check.done()
}
