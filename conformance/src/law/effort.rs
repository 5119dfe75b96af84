//! Who works, and how much, of a heap that paces itself: laws 94, 102 and 103.
//!
//! Allocation is what brings the goal nearer, so those who allocate pay: by sweeping, by marking. Whether they do can be
//! seen in what is left to be done. How much the heap says it has scanned is compared with what it has reported to be
//! scanned, if it reports that.

use super::{Check, Judgement, Law, Needs};
use crate::{
    history::Moment,
    reading::{Reading, Report},
};
use heaplaw_reference::{
    color::Color,
    cycle,
    event::Event,
    heap::{Capability, Reply},
    object::WORD,
    pacer::{LEAST_ASSIST, PAGE, SWEEP_MARGIN},
};

/// How far marking may be behind, in bytes: what is cut off, and one object that is scanned in pieces.
const BEHIND: u64 = LEAST_ASSIST.unsigned_abs();

/// What a heap may call the scan work of a stack, or of the globals, in bytes.
const ROOTS: u64 = 64 << 10;

/// What the limiter's bucket holds, for each processor: nanoseconds.
const BUCKET: i128 = 1_000_000_000;

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 94,
        name: "proportional sweep",
        statement: "When the heap has come within 1 MiB of the trigger, and at least 8 KiB were allocated since marking ended, nothing is left to be swept.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: proportional_sweep,
    },
    Law {
        number: 102,
        name: "assist honesty",
        statement: "Background workers, assists and the program have done all scan work, which is that of objects with pointers and of roots alone, and unless the limiter was on nobody is in debt while marking, which keeps up with allocation: as large a part of the work is done as of the way from the trigger to the goal, but for twice what was done in the background.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases]),
        judge: assist_honesty,
    },
    Law {
        number: 103,
        name: "limiter",
        statement: "Over two seconds of CPU time for each processor and more, the collector has at most half, and one second for each processor; windows in which everybody else was stopped to mark do not count: a cycle marked within one operation, or stacks scanned again.",
        needs: Needs::of(&[Capability::Pacing, Capability::Phases, Capability::Clock]),
        judge: limiter,
    },
];

fn proportional_sweep(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for report in &reading.reports {
        let Report { gauge, moment, .. } = report;
        // The limit moves the trigger at any time.
        if report.limit.is_some() || cycle::barrier_on(report.phase) {
            continue;
        }
        let marked = reading.cycles.iter().filter_map(|cycle| cycle.marked).rfind(|marked| marked <= moment);
        let Some(marked) = marked else { continue };
        let since = marked.max(report.changed.unwrap_or(0));
        let grown: u64 = reading.history.moments[since + 1..*moment].iter().map(usable).fold(0, u64::saturating_add);
        if grown >= PAGE && gauge.live.saturating_add(SWEEP_MARGIN) >= gauge.trigger {
            check.that(gauge.unswept == 0, *moment, || {
                let (unswept, live, trigger) = (gauge.unswept, gauge.live, gauge.trigger);
                (format!("{live} bytes are live, the trigger is {trigger}, and {unswept} wait to be swept"), [])
            });
        }
    }
    check.done()
}

fn usable(moment: &Moment) -> u64 {
    match moment.reply {
        Reply::Born { usable, .. } => usable,
        _ => 0,
    }
}

fn assist_honesty(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut scans = Scans::default();
    let mut last: Option<&Report> = None;
    for report in &reading.reports {
        let gauge = &report.gauge;
        let marking = cycle::barrier_on(report.phase);
        if let Some(Report { gauge: before, .. }) = last {
            let falls =
                gauge.background < before.background || gauge.assists < before.assists || gauge.told < before.told;
            check.that(!falls, report.moment, || ("work that was done is undone".to_owned(), []));
        }
        last = Some(report);
        if reading.history.claims.has(Capability::Colors) {
            let (least, most) = scans.until(reading, report.moment);
            let work = gauge.work();
            check.that((least..=most).contains(&work), report.moment, || {
                (format!("{work} bytes of work are said to be done; what was scanned has {least} to {most}"), [])
            });
        }
        if !marking {
            continue;
        }
        let starts = reading.cycles.iter().map(|cycle| cycle.start);
        let Some(cycle) = starts.rev().find(|start| *start <= report.moment) else { continue };
        let before = reading.reports.iter().rfind(|report| report.moment < cycle);
        let limited = gauge.limiting > 0 || before.map_or(0, |before| before.gauge.limited) < gauge.limited;
        let ruled = before.is_some_and(|before| before.gauge.limiting > 0);
        if limited || ruled {
            continue;
        }
        let debt = gauge.debt;
        check.that(debt == 0, report.moment, || (format!("somebody owes {debt} bytes and goes on"), []));
        let changed = report.changed.is_some_and(|changed| changed >= cycle) || report.limit.is_some();
        let foreseen = gauge.expected > 0 && gauge.done <= gauge.expected && gauge.live <= gauge.goal;
        if let Some(way) = gauge.goal.checked_sub(gauge.started).filter(|way| *way > 0 && foreseen && !changed) {
            let gone = gauge.live.saturating_sub(gauge.started);
            let owed = (u128::from(gauge.expected) * u128::from(gone) / u128::from(way)) as u64;
            // What is done in the background makes allocation cheaper at once, and pays for it later: so it counts twice,
            // and marking may be behind by as much, and a little for that.
            let background = gauge.background.saturating_sub(before.map_or(0, |before| before.gauge.background));
            let behind = BEHIND.saturating_add(background.saturating_mul(2));
            check.that(gauge.done.saturating_add(behind) >= owed, report.moment, || {
                let done = gauge.done;
                (
                    format!(
                        "{done} bytes were scanned; {gone} of {way} bytes on the way to the goal, it should be {owed}"
                    ),
                    [],
                )
            });
        }
    }
    check.done()
}

/// Scan work as far as it was reported, at least and at most.
#[derive(Default)]
struct Scans {
    recolorings: usize,
    moments: usize,
    least: u64,
    most: u64,
}

impl Scans {
    fn until(&mut self, reading: &Reading<'_>, moment: usize) -> (u64, u64) {
        while let Some(change) = reading.recolorings.get(self.recolorings).filter(|change| change.moment <= moment) {
            self.recolorings += 1;
            let Some(life) = reading.life(change.object).filter(|_| change.to == Color::Black) else { continue };
            // What is born while marking is born black, and its way there may be reported too.
            let cycle = reading.cycles.partition_point(|cycle| cycle.start <= change.moment);
            let newborn = life.marking.is_some_and(|marking| marking + 1 == cycle);
            self.least += if newborn { 0 } else { u64::from(life.shape.pointers) * WORD };
            self.most = self.most.saturating_add(if life.shape.pointer_free() { 0 } else { life.usable });
        }
        while self.moments <= moment {
            let roots = |event: &&Event| matches!(event, Event::ScanStack(_) | Event::ScanGlobals);
            let roots = reading.history.moments[self.moments].events.iter().filter(roots).count() as u64;
            self.most = self.most.saturating_add(ROOTS * roots);
            self.moments += 1;
        }
        (self.least, self.most)
    }
}

fn limiter(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // What the collector had more than half, and when that was least: the window to look at begins there.
    let mut least: Option<(i128, i128)> = None;
    let mut last = 0;
    for Report { moment, gauge, .. } in &reading.reports {
        let elapsed = i128::from(gauge.elapsed);
        let more = 2 * i128::from(gauge.collecting) - elapsed;
        let since = last..=*moment;
        let at_once =
            reading.cycles.iter().any(|cycle| since.contains(&cycle.start) && cycle.marked == Some(cycle.start));
        let again = reading.stack_scans.iter().any(|scan| scan.again && since.contains(&scan.moment));
        let stopped = at_once || again;
        last = *moment;
        if stopped {
            least = None;
        }
        let capacity = BUCKET * i128::from(gauge.processors);
        if let Some((from, then)) = least
            && elapsed - then >= 2 * capacity
        {
            check.that(more - from <= 2 * capacity, *moment, || {
                let time = (elapsed - then) / 1_000_000;
                let had = (more - from + elapsed - then) / 2_000_000;
                (format!("of {time} ms of CPU time the collector has {had}"), [])
            });
        }
        if least.is_none_or(|(from, _)| more < from) {
            least = Some((more, elapsed));
        }
    }
    check.done()
}
