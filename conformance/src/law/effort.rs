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
        statement: "Over two seconds of CPU time for each processor and more, the collector has at most half, one second for each processor, and what it takes to scan the largest object as fast as everything so far; windows in which everybody else was stopped to mark do not count: a cycle marked within one operation, or stacks scanned again.",
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
        // Nothing, if marking ends as the heap is asked.
        let moments = reading.history.moments.get(since + 1..*moment).unwrap_or_default();
        let grown: u64 = moments.iter().map(usable).fold(0, u64::saturating_add);
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
    // Who has begun to scan an object does not stop, be it a mutator or the worker after it.
    let largest = reading.lives().map(|(_, life)| u64::from(life.shape.pointers) * WORD).max().unwrap_or(0);
    for Report { moment, gauge, .. } in &reading.reports {
        let work = i128::from(gauge.background) + i128::from(gauge.assists);
        let piece = (i128::from(largest) * i128::from(gauge.collecting)).checked_div(work).unwrap_or(0);
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
            check.that(more - from <= 2 * (capacity + piece), *moment, || {
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

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    const START: &str = "gc start => ok; phase mark\n";
    const WHOLE: &str = "gc full => ok; phase mark; phase terminate; phase sweep; phase off\n";

    #[test]
    fn near_the_trigger_nothing_is_left_to_be_swept() {
        let born = |bytes: u64| format!("0 alloc r0 0 8 => at 64 {bytes} 0\n");
        let near = |before: &str, live: u64| {
            told(94, "", &format!("{before}gc pace => pace trigger=2097152 live={live} unswept=1"))
        };
        let page = born(8192);
        assert_eq!([1 << 20, (1 << 20) - 1].map(|live| near(&format!("{WHOLE}{page}"), live)), [Err(2), Ok(0)]);
        assert_eq!(near(&format!("{WHOLE}{}", born(8191)), 1 << 20), Ok(0), "not a page");
        assert_eq!(near(&format!("{page}{WHOLE}"), 1 << 20), Ok(0), "before it was marked");
        assert_eq!(near(&format!("{page}{page}"), 1 << 20), Ok(0), "it never was");
        assert_eq!(near(&format!("{WHOLE}env limit 4194304\n{page}"), 1 << 20), Ok(0), "the limit moves the trigger");
        assert_eq!(near(&format!("{WHOLE}{START}{page}"), 1 << 20), Ok(0), "it is being marked");
        assert_eq!(near(&format!("{WHOLE}{page}env gogc 100\n"), 1 << 20), Ok(0), "that is new");
        assert_eq!(near(&format!("{WHOLE}env gogc 100\n{page}"), 1 << 20), Err(3));
        assert_eq!(near(&format!("env gogc 100\n{WHOLE}{page}"), 1 << 20), Err(3));
        let ends = format!("{START}0 alloc r0 0 8 => at 64 8192 0; phase terminate; phase sweep\n");
        assert_eq!([near(&ends, 1 << 20), near(&format!("{ends}{page}"), 1 << 20)], [Ok(0), Err(3)]);
        let swept = format!("{WHOLE}{page}gc pace => pace trigger=2097152 live=2097152");
        assert_eq!(told(94, "", &swept), Ok(1));
        let as_it_is_asked =
            format!("{START}{page}gc pace => pace trigger=9 live=9 unswept=1; phase terminate; phase sweep");
        assert_eq!(told(94, "", &as_it_is_asked), Ok(0), "nothing was allocated since");
        assert_eq!(near(&format!("{WHOLE}{}", born(u64::MAX).repeat(2)), u64::MAX), Err(3), "whatever it says");
    }

    #[test]
    fn work_that_was_done_stays_done() {
        for who in ["background", "assists", "told"] {
            let then = |work: u64| told(102, "", &format!("gc pace => pace {who}=5\ngc pace => pace {who}={work}"));
            assert_eq!([4, 5, 6].map(then), [Err(1), Ok(1), Ok(1)], "{who}");
        }
    }

    #[test]
    fn the_work_that_was_done_is_that_of_what_was_scanned() {
        let object = "0 alloc r0 2 8 => at 64 32 0\n0 alloc r1 0 32 => at 128 32 0\n";
        let done = |then: &str, work: u64| {
            told(102, "colors", &format!("{object}{START}{then}gc pace => pace told={work}")).is_ok()
        };
        let between = |then: &str, least: u64, most: u64| {
            [least.wrapping_sub(1), least, most, most + 1].map(|work| done(then, work)) == [false, true, true, false]
        };
        assert!(between("gc mark 1 => ok; shade 64; scan 64\n", 16, 32), "at least its fields");
        assert!(between("gc mark 1 => ok; shade 64 128; scan 64 128\n", 16, 32), "the other has none");
        assert!(between("gc mark 1 => ok; shade 64\n", 0, 0));
        assert!(between("gc handshake 0 => ok; stack 0\n", 0, 65_536));
        assert!(between("gc handshake 0 => ok; stack 0; globals\n", 0, 2 * 65_536));
        assert!(between("gc handshake 0 => ok; stack 0\ngc mark 1 => ok; shade 64; scan 64\n", 16, 65_536 + 32));
        let newborn = "0 alloc r2 2 8 => at 256 32 0 white; shade 256; scan 256\n";
        assert!(between(newborn, 0, 32), "black, perhaps");
        let next = format!(
            "{newborn}gc finish => ok; phase terminate; phase sweep; phase off\n{START}gc mark 1 => ok; shade 256; scan 256\n"
        );
        assert!(between(&next, 16, 64), "in the next cycle it is none");
        // After, and not by, the time the heap is asked.
        let twice = "gc pace => pace told=0\ngc mark 1 => ok; shade 64; scan 64\n";
        assert!(between(twice, 16, 32));
        assert_eq!(
            told(102, "", &format!("{object}{START}gc pace => pace told=99")),
            Ok(1),
            "nobody says what is scanned"
        );
        assert!(done("gc pace => pace told=32; shade 64; scan 64\n", 32), "in the same breath");
    }

    #[test]
    fn nobody_owes_anything_while_marking() {
        let owes = |before: &str, figures: &str| told(102, "", &format!("{before}gc pace => pace debt=1 {figures}"));
        assert_eq!([owes("", ""), owes(WHOLE, "")], [Ok(0); 2], "nothing is marked");
        assert_eq!(owes(START, ""), Err(1));
        assert_eq!(told(102, "", &format!("{START}gc pace => pace")), Ok(1));
        assert_eq!(owes(&START.replace("mark", "mark; phase terminate"), ""), Err(1));
        assert_eq!([owes(START, "limiting=1"), owes(START, "limited=1")], [Ok(0); 2], "the limiter is on, or was");
        let before = |figures: &str| format!("gc pace => pace {figures}\n{START}");
        assert_eq!(owes(&before("limited=1"), "limited=1"), Err(2), "before");
        assert_eq!(owes(&before("limited=1 limiting=1"), "limited=1"), Ok(1), "it still was");
        assert_eq!(owes(&format!("{START}gc pace => pace limited=1\n"), "limited=1"), Ok(1), "in this cycle");
        let begins = "gc pace => pace limited=1; phase mark\n";
        assert_eq!(owes(begins, "limited=1"), Ok(1), "as it began");
    }

    #[test]
    fn marking_keeps_up_with_allocation() {
        // Half of the way is gone.
        let half = "started=1000000 goal=2000000 live=1500000 expected=1000000";
        let done = |before: &str, figures: &str, done: u64| {
            told(102, "", &format!("{before}gc pace => pace {half} {figures} done={done}")).is_ok()
        };
        let least = |before: &str, figures: &str, least: u64| {
            [least - 1, least].map(|work| done(before, figures, work)) == [false, true]
        };
        assert!(least(START, "", 500_000 - 65_536));
        assert!(least(START, "background=10", 500_000 - 65_536 - 20));
        let before = format!("gc pace => pace background=10\n{START}");
        assert!(least(&before, "background=10", 500_000 - 65_536), "that was before");
        assert!(least(&before, "background=15", 500_000 - 65_536 - 10));
        assert!(least(&format!("env gogc 50\n{START}"), "", 500_000 - 65_536));
        for excuse in [format!("{START}env gogc 50\n"), format!("env limit 4194304\n{START}"), String::new()] {
            assert!(done(&excuse, "", 0), "{excuse}");
        }
        assert!(done("env gogc 50 => ok; phase mark\n", "", 0), "as it begins");
        let other = |figures: &str| told(102, "", &format!("{START}gc pace => pace {figures}"));
        assert_eq!(other(half), Err(1));
        assert_eq!(other(&half.replace("expected=1000000", "expected=0")), Ok(1), "nothing was expected");
        assert_eq!(other(&half.replace("live=1500000", "live=2000001")), Ok(1), "the goal is passed");
        assert_eq!(other(&half.replace("live=1500000", "live=2000000")), Err(1));
        assert_eq!(other(&half.replace("started=1000000", "started=2000000")), Ok(1), "there is no way");
        assert_eq!(other(&half.replace("started=1000000", "started=2000001")), Ok(1));
        assert_eq!(other("started=0 goal=100 live=100 expected=65537 done=0"), Err(1));
        assert_eq!(other("started=0 goal=100 live=100 expected=65536 done=0"), Ok(2));
        assert_eq!(other("started=50 goal=100 live=20 expected=999999 done=0"), Ok(2), "it has become less");
        // More was scanned than expected: how much there is nobody knew.
        assert_eq!(other("started=0 goal=1 live=1 expected=100000 done=100001"), Ok(1));
        assert_eq!(other("started=0 goal=1 live=1 expected=100000 done=100000"), Ok(2));
        assert_eq!(told(102, "", &format!("{WHOLE}{START}gc pace => pace {half}")), Err(2), "the cycle that marks");
    }

    /// Looks at the clock of a heap: all its time, and of it the collector's, in units of half a second.
    fn clock(processors: u64, looks: &[(u64, u64)], between: &str) -> Result<u64, usize> {
        let look = |(elapsed, collecting): &(u64, u64)| {
            let (elapsed, collecting) = (elapsed * 500_000_000, collecting * 500_000_000);
            format!("gc pace => pace processors={processors} elapsed={elapsed} collecting={collecting}\n")
        };
        told(103, "", &looks.iter().map(look).collect::<Vec<_>>().join(between))
    }

    #[test]
    fn the_collector_has_half_of_the_time_and_a_second() {
        assert_eq!(clock(1, &[(0, 0), (4, 4)], ""), Ok(1));
        assert_eq!(clock(1, &[(0, 0), (3, 3)], ""), Ok(0), "two seconds at least");
        assert_eq!(clock(1, &[(8, 8), (11, 11)], ""), Ok(0), "between two looks");
        assert_eq!(clock(1, &[(0, 0), (8, 6)], ""), Ok(1));
        assert_eq!(clock(1, &[(0, 0), (8, 7)], ""), Err(1));
        assert_eq!([clock(2, &[(0, 0), (8, 8)], ""), clock(2, &[(0, 0), (7, 7)], "")], [Ok(1), Ok(0)]);
        assert_eq!(clock(1, &[(8, 8), (12, 12)], ""), Ok(1), "from the first look on");
        // The window begins where the collector had least; the first of such moments.
        assert_eq!(clock(1, &[(0, 0), (8, 0), (16, 7)], ""), Err(2));
        assert_eq!(clock(1, &[(0, 0), (8, 0), (16, 6)], ""), Ok(2));
        assert_eq!(clock(1, &[(0, 0), (4, 2), (6, 6)], ""), Err(2));
        assert_eq!(clock(1, &[(0, 0), (4, 3), (8, 7)], ""), Err(2), "not where it had more");
        let exact = |more: u64| {
            told(
                103,
                "",
                &format!(
                    "gc pace => pace processors=1\ngc pace => pace processors=1 elapsed=4000000000 collecting={}",
                    3_000_000_000 + more
                ),
            )
        };
        assert_eq!([exact(0), exact(1)], [Ok(1), Err(1)]);
        let look = |elapsed: u64, collecting: u64| {
            format!("gc pace => pace processors=1 elapsed={elapsed}000000 collecting={collecting}000000\n")
        };
        let said = why(103, "", &(look(4000, 3000) + &look(8000, 6400)));
        assert_eq!(said, "of 4000 ms of CPU time the collector has 3400");
    }

    #[test]
    fn an_object_that_is_scanned_in_one_piece_may_take_its_time() {
        // A byte is scanned in a microsecond, and the largest object with pointers has 8000 of them.
        let exact = |born: &str, more: u64| {
            let look = format!("gc pace => pace processors=1\n{born}gc pace => pace processors=1 elapsed=4000000000");
            let collecting = 3_000_000_000 + more;
            told(
                103,
                "",
                &format!("{look} collecting={collecting} background=2000000 assists={}", 1_000_000 + more / 1000),
            )
        };
        let born = "0 alloc r0 1000 => at 64 8000 0\n0 alloc r1 9 90000 => at 8064 90072 0\n";
        assert_eq!([8_000_000, 8_001_000].map(|more| exact(born, more)), [Ok(1), Err(3)]);
        assert_eq!([0, 1000].map(|more| exact("", more)), [Ok(1), Err(1)], "there is none");
    }

    #[test]
    fn time_in_which_everybody_was_stopped_does_not_count() {
        let looks = [(0, 0), (8, 8)];
        assert_eq!(clock(1, &looks, WHOLE), Ok(0), "a cycle in one operation");
        let steps = format!("{START}gc finish => ok; phase terminate; phase sweep; phase off\n");
        assert_eq!(clock(1, &looks, &steps), Err(3));
        let (once, twice) =
            (format!("{START}gc mark 1 => ok; stack 0\n"), format!("{START}gc mark 1 => ok; stack 0; stack 0\n"));
        assert_eq!([clock(1, &looks, &once), clock(1, &looks, &twice)], [Err(3), Ok(0)]);
        assert_eq!(clock(1, &looks, START), Err(2), "it marks");
        // Windows before and after one.
        let later = |looks: &[&str]| told(103, "", &looks.join("\n"));
        let look = |elapsed: u64| format!("gc pace => pace processors=1 elapsed={elapsed} collecting={elapsed}");
        assert_eq!(later(&[&look(0), WHOLE.trim(), &look(9), &look(8_000_000_000)]), Err(3));
        assert_eq!(later(&[WHOLE.trim(), &look(0), &look(8_000_000_000)]), Err(2));
    }
}
