//! The order of a cycle: laws 80 to 83, 90, 96 and 132.

use super::{Check, Judgement, Law, Needs};
use crate::{
    drive::step::EVERYTHING,
    reading::{Cycle, Reading, Waiting},
};
use heaplaw_reference::{
    cycle,
    event::{Event, Phase},
    heap::{Capability, Reply},
    op::{Action, Collect, MutatorId, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 80,
        name: "phase automaton",
        statement: "Phases follow one another as off, mark, terminate, sweep, off, unless marking is aborted, and objects change colour only while marking.",
        needs: Needs::of(&[Capability::Phases]),
        judge: phase_automaton,
    },
    Law {
        number: 81,
        name: "one transition",
        statement: "A cycle that is asked to start while one is marking, or to end marking when none is, is idle and changes no phase.",
        needs: Needs::of(&[Capability::Steps, Capability::Phases]),
        judge: one_transition,
    },
    Law {
        number: 82,
        name: "no premature termination",
        statement: "Marking ends only when nothing is grey: no object, no stack, and not the globals.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: no_premature_termination,
    },
    Law {
        number: 83,
        name: "termination",
        statement: "A cycle that is given every handshake and enough steps, with no mutator in between, ends marking and then the sweep.",
        needs: Needs::of(&[Capability::Steps, Capability::Phases]),
        judge: termination,
    },
    Law {
        number: 90,
        name: "sweep exactness",
        statement: "What is freed exists, and is freed once; if phases and colours are reported, only the sweep frees, and only what was white when marking ended.",
        needs: Needs::of(&[Capability::Frees]),
        judge: sweep_exactness,
    },
    Law {
        number: 96,
        name: "no zombie",
        statement: "Nothing is shaded or scanned where no object lives.",
        needs: Needs::of(&[Capability::Colors]),
        judge: no_zombie,
    },
    Law {
        number: 132,
        name: "trace order",
        statement: "Only the stack of a mutator that was there in the same cycle is scanned, only one that is there is paused, and only an object that has a finalizer is kept for it, once, in the course of a cycle.",
        needs: Needs::of(&[Capability::Phases]),
        judge: trace_order,
    },
];

fn phase_automaton(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, from, to) in &reading.phases {
        let abort = reading.history.moments[*at].op == Op::Collect(Collect::Abort);
        let follows = cycle::follows(*from, *to) || abort && (*from, *to) == (Phase::Mark, Phase::Off);
        check.that(follows, *at, || (format!("the phase goes from {from} to {to}"), []));
    }
    let mut phase = Phase::Off;
    for (at, moment, _) in reading.scenes() {
        for event in &moment.events {
            match event {
                Event::Phase(next) => phase = *next,
                Event::Shade(_) | Event::Scan(_) | Event::ScanStack(_) | Event::ScanGlobals => {
                    check.that(cycle::barrier_on(phase), at, || {
                        (format!("something is marked in the phase {phase}"), [])
                    });
                }
                _ => {}
            }
        }
    }
    check.done()
}

fn one_transition(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut phase = Phase::Off;
    for (at, moment, scene) in reading.scenes() {
        let out_of_season = match moment.op {
            Op::Collect(Collect::Start) => phase == Phase::Mark,
            Op::Collect(Collect::Finish) => phase != Phase::Mark,
            _ => false,
        };
        if out_of_season {
            // A shade that was put off may be reported here.
            let still = !moment.events.iter().any(|event| matches!(event, Event::Phase(_)));
            check.that(moment.reply == Reply::Idle && still, at, || {
                (format!("`{}` is obeyed in the phase {phase}", moment.op), [])
            });
        }
        phase = scene.phase;
    }
    check.done()
}

fn no_zombie(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, stray) in &reading.strays {
        if let Event::Shade(address) | Event::Scan(address) = stray {
            check.failed(*at, format!("{address} is marked, where no object was born or all were freed"), []);
        }
    }
    for _ in &reading.recolorings {
        check.held();
    }
    check.done()
}

fn no_premature_termination(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(marked) = cycle.marked else { continue };
        match cycle.waiting.first() {
            None => check.held(),
            Some(Waiting::Object(id)) => check.failed(marked, format!("marking ends with {id} grey"), [*id]),
            Some(Waiting::Stack(mutator)) => {
                check.failed(marked, format!("marking ends before the stack of mutator {mutator} was scanned"), []);
            }
            Some(Waiting::Globals) => {
                check.failed(marked, "marking ends before the globals were scanned".to_owned(), []);
            }
        }
    }
    check.done()
}

fn termination(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut present = vec![MutatorId(0)];
    // Since a mutator last acted: who has had a handshake, and whether everything was marked after that.
    let mut scanned: Vec<MutatorId> = Vec::new();
    let (mut started, mut marked, mut finished) = (false, false, false);
    for (at, moment, scene) in reading.scenes() {
        match &moment.op {
            Op::Mutate { by, action } => {
                match action {
                    Action::Join => present.push(*by),
                    Action::Exit => present.retain(|mutator| mutator != by),
                    _ => {}
                }
                scanned.clear();
                (started, marked, finished) = (false, false, false);
            }
            Op::Collect(Collect::Start) => {
                if moment.reply == Reply::Done {
                    scanned.clear();
                }
                (started, marked, finished) = (true, false, false);
            }
            Op::Collect(Collect::Handshake(mutator)) => scanned.push(*mutator),
            Op::Collect(Collect::Mark(EVERYTHING..)) => marked = present.iter().all(|m| scanned.contains(m)),
            // A design that stops the world has ended marking long before.
            Op::Collect(Collect::Finish) if started && marked => {
                finished = scene.phase != Phase::Mark;
                check.that(finished, at, || ("marking does not end although everything was marked".to_owned(), []));
            }
            Op::Collect(Collect::Sweep(EVERYTHING..)) if finished => check.that(scene.phase == Phase::Off, at, || {
                (format!("the sweep does not end: the phase is still {}", scene.phase), [])
            }),
            Op::Collect(_) => {}
            Op::Environment(_) => {
                scanned.clear();
                (started, marked, finished) = (false, false, false);
            }
        }
    }
    check.done()
}

fn sweep_exactness(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, stray) in &reading.strays {
        if let Event::Free(address) = stray {
            check.failed(*at, format!("{address} is freed, where no object lives"), []);
        }
    }
    let claims = &reading.history.claims;
    if claims.has(Capability::Phases) {
        only_the_sweep_frees(reading, &mut check);
    }
    for (at, id) in &reading.frees {
        // The cycle whose sweep this is: of several in one operation, one in which it was white.
        let marked = |cycle: &&Cycle| cycle.marked.is_some_and(|marked| marked <= *at);
        let sweeping = |cycle: &&Cycle| cycle.swept.is_none_or(|swept| swept >= *at);
        let mut cycles = reading.cycles.iter().filter(marked).filter(sweeping);
        let colored = claims.has(Capability::Phases) && claims.has(Capability::Colors);
        let white = !colored || cycles.any(|cycle| cycle.white.contains(*id));
        check.that(white, *at, || (format!("{id} is freed although it was marked"), [*id]));
    }
    check.done()
}

fn only_the_sweep_frees(reading: &Reading<'_>, check: &mut Check) {
    let mut phase = Phase::Off;
    for (at, moment, _) in reading.scenes() {
        for event in &moment.events {
            match event {
                Event::Phase(next) => phase = *next,
                Event::Free(_) => {
                    check.that(phase == Phase::Sweep, at, || (format!("something is freed in the phase {phase}"), []));
                }
                _ => {}
            }
        }
    }
}

fn trace_order(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, misfit) in &reading.misfits {
        let why = match misfit {
            Event::ScanStack(mutator) => format!("the stack of mutator {mutator} is scanned, who is not there"),
            Event::Pause { .. } => "a mutator is kept from running that is not there".to_owned(),
            _ => "an object is kept for a finalizer that it does not have, a second time, or outside of a cycle".into(),
        };
        check.failed(*at, why, []);
    }
    for (at, stray) in &reading.strays {
        if let Event::Finalize(address) = stray {
            check.failed(*at, format!("{address} is kept for a finalizer, where no object lives"), []);
        }
    }
    for _ in 0..reading.stack_scans.len() + reading.finalized.len() {
        check.held();
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    const START: &str = "gc start => ok; phase mark\n";

    #[test]
    fn phases_follow_one_another() {
        let started = |then: &str| told(80, "", &format!("0 alloc r0 1 => at 64 8 0\n{START}{then}"));
        assert_eq!(started("gc finish => ok; phase terminate; phase sweep; phase off"), Ok(4));
        assert_eq!(started("gc finish => ok; phase sweep"), Err(2));
        assert_eq!(started("gc finish => ok; phase off"), Err(2), "nobody gave up");
        assert_eq!(started("gc abort => ok; phase off"), Ok(2));
        assert_eq!(started("gc abort => ok; phase sweep"), Err(2), "that is not how one gives up");
    }

    #[test]
    fn objects_change_colour_only_while_marking() {
        for mark in ["shade 64", "scan 64", "stack 0", "globals"] {
            let marked =
                |before: &str| told(80, "", &format!("0 alloc r0 1 => at 64 8 0\n{before}gc mark 1 => ok; {mark}"));
            assert_eq!(marked(""), Err(1), "{mark}");
            assert_eq!(marked(START), Ok(2), "{mark}");
            assert_eq!(marked("gc start => ok; phase mark; phase terminate\n"), Ok(3), "{mark}");
            assert_eq!(marked("gc start => ok; phase mark; phase terminate; phase sweep\n"), Err(2), "{mark}");
        }
    }

    #[test]
    fn what_is_asked_out_of_season_is_idle() {
        let (start, finish) = (START.trim(), "gc finish => ok; phase terminate; phase sweep");
        let asked = |story: &str| told(81, "", story);
        assert_eq!(asked(&format!("{start}\n{finish}")), Ok(0));
        assert_eq!(asked(&format!("{start}\ngc start => idle")), Ok(1));
        assert_eq!(asked(&format!("{start}\ngc start => idle; shade 64")), Ok(1), "a shade that was put off");
        assert_eq!(asked(&format!("{start}\ngc start")), Err(1));
        assert_eq!(asked(&format!("{start}\ngc start => idle; phase terminate")), Err(1));
        assert_eq!(asked(&format!("{start}\n{finish}\ngc finish => idle")), Ok(1));
        assert_eq!(asked("gc finish"), Err(0));
        assert_eq!(asked(&format!("{start}\ngc mark 1\ngc sweep 1")), Ok(0), "no such question");
    }

    #[test]
    fn a_cycle_that_is_given_all_it_needs_ends() {
        let all = "gc handshake 0\ngc mark 1048576\n";
        let given = |then: &str| told(83, "", then);
        assert_eq!(given(&format!("{START}{all}gc finish => idle")), Err(3));
        let ended = format!("{START}{all}gc finish => ok; phase terminate; phase sweep\n");
        assert_eq!(given(&ended), Ok(1));
        assert_eq!(given(&format!("{ended}gc sweep 1048576 => ok; phase off")), Ok(2));
        assert_eq!(given(&format!("{ended}gc sweep 1048576")), Err(4));
        assert_eq!(given(&format!("{ended}gc sweep 1048575")), Ok(1), "not enough steps");
        assert_eq!(given(&format!("{ended}0 safepoint\ngc sweep 1048576")), Ok(1), "a mutator in between");
        assert_eq!(given(&format!("{ended}env gogc 50\ngc sweep 1048576")), Ok(1));
        assert_eq!(given("gc finish => idle\ngc sweep 1048576"), Ok(0), "no cycle was begun");
        // What is missing excuses a cycle that does not end.
        for begun in [
            format!("{START}gc mark 1048576\n"),
            format!("{START}gc handshake 0\n"),
            format!("{START}gc handshake 0\ngc mark 1048575\n"),
            format!("{all}{START}"),
            format!("gc handshake 0\n{START}gc mark 1048576\n"),
            format!("{START}{all}0 safepoint\n"),
            format!("{START}{all}env clock 1\n"),
            format!("{START}gc handshake 0\n0 safepoint\ngc mark 1048576\n"),
            format!("1 join\n{START}{all}"),
            all.to_owned(),
        ] {
            assert_eq!(given(&format!("{begun}gc finish => idle")), Ok(0), "{begun}");
        }
        assert_eq!(given(&format!("1 join\n1 exit\n{START}{all}gc finish => idle")), Err(5), "it has left");
        assert_eq!(given(&format!("1 join\n{START}gc handshake 1\n{all}gc finish => idle")), Err(5));
    }

    #[test]
    fn marking_ends_when_nothing_is_grey() {
        let object = "0 alloc r0 1 => at 64 8 0\n";
        let ends =
            |grey: &str| told(82, "", &format!("{object}{START}{grey}gc finish => ok; phase terminate; phase sweep"));
        let roots = "gc handshake 0 => ok; globals; stack 0\n";
        assert_eq!(ends(roots), Ok(1));
        assert_eq!(ends(&format!("{roots}gc mark 1 => ok; shade 64\n")), Err(4));
        assert_eq!(ends("gc handshake 0 => ok; globals\n"), Err(3));
        assert_eq!(ends("gc handshake 0 => ok; stack 0\n"), Err(3));
        assert_eq!(ends(&format!("{roots}1 join\n")), Ok(1), "an empty stack");
    }

    #[test]
    fn only_the_sweep_frees_and_only_what_was_white_and_that_once() {
        let object = "0 alloc r0 1 => at 64 8 0\n0 clear r0\n";
        let freed = |claims: &str, then: &str| told(90, claims, &format!("{object}{then}"));
        let (sweep, full) = ("gc start => ok; phase mark; phase terminate; phase sweep\n", "gc full => ok; free 64");
        assert_eq!(freed("", full), Ok(1));
        assert_eq!(freed("", "gc full => ok; free 80"), Err(2));
        assert_eq!(freed("", "gc full => ok; free 64 64"), Err(2));
        assert_eq!(freed("phases", full), Err(2));
        assert_eq!(freed("phases", &format!("{sweep}{full}")), Ok(2));
        assert_eq!(freed("colors", full), Ok(1), "nobody says when marking ends");
        let marked = "gc start => ok; phase mark; shade 64; scan 64; phase terminate; phase sweep\n";
        assert_eq!(freed("phases colors", &format!("{marked}{full}")), Err(3));
        assert_eq!(freed("phases", &format!("{marked}{full}")), Ok(2), "colours mean nothing");
        assert_eq!(freed("phases colors", &format!("{sweep}{full}")), Ok(2));
        // It was white in the first of two cycles, whose sweep ends as it is freed.
        let twice = "gc start => ok; phase mark; phase terminate; phase sweep\n\
            gc full => ok; free 64; phase off; phase mark; phase terminate; phase sweep; phase off";
        assert_eq!(freed("phases colors", twice), Ok(2));
        assert_eq!(freed("phases colors", &format!("{sweep}gc sweep 1 => ok; phase off\n{marked}{full}")), Err(5));
    }

    #[test]
    fn only_mutators_that_are_there_are_scanned_and_paused() {
        let stops = |story: &str| told(132, "pauses", &format!("{START}{story}"));
        assert_eq!(stops("gc handshake 0 => ok; stack 0; pause 0 1"), Ok(1));
        assert_eq!(stops("gc handshake 0 => ok; stack 1"), Err(1));
        assert_eq!(stops("gc handshake 0 => ok; pause 1 1"), Err(1));
        assert_eq!(stops("1 join\ngc handshake 1 => ok; stack 1; pause 1 1"), Ok(1));
        assert_eq!(stops("1 join\n1 exit => ok; pause 1 1; stack 1"), Ok(1), "before it has left");
        assert_eq!(stops("1 join\n1 exit\ngc mark 1 => ok; stack 1"), Ok(1), "it was there in this cycle");
        assert_eq!(stops("1 join\n1 exit\ngc finish => ok; pause 1 1"), Err(3));
        let said = |story: &str| why(132, "pauses", &format!("{START}{story}"));
        assert!(said("gc mark 1 => ok; stack 1").contains("the stack of mutator 1"));
        assert!(said("gc mark 1 => ok; pause 1 1").contains("kept from running"));
        assert!(said("gc mark 1 => ok; finalize 64").contains("where no object lives"));
    }

    #[test]
    fn an_object_is_kept_for_its_finalizer_once_and_if_it_has_one() {
        let object = "0 alloc r0 0 16 => at 64 16 0\n";
        let kept = |before: &str, then: &str| told(132, "", &format!("{object}{before}0 clear r0\n{START}{then}"));
        assert_eq!(kept("0 finalizer r0\n", "gc finish => ok; phase terminate; finalize 64; phase sweep"), Ok(1));
        assert_eq!(kept("0 finalizer r0\n", "gc handshake 0 => ok; stack 0\ngc finish => ok; finalize 64"), Ok(2));
        let runs = "0 finalize r1 => ref 64; finalize 64";
        assert_eq!(kept("0 finalizer r0\n", runs), Ok(1), "it is found and handed out at once");
        assert_eq!(
            kept("0 finalizer r0\n", "0 finalize r1 => ref 64\ngc mark 1 => ok; finalize 64"),
            Err(5),
            "it has run"
        );
        assert_eq!(kept("", "gc finish => ok; phase terminate; finalize 64; phase sweep"), Err(3));
        assert_eq!(kept("0 finalizer r0\n", "gc finish => ok; finalize 64 64"), Err(4));
        assert_eq!(
            kept("0 finalizer r0\n", "gc finish => ok; phase terminate; phase sweep; phase off; finalize 64"),
            Err(4)
        );
    }

    #[test]
    fn nothing_is_marked_where_nobody_lives() {
        let marked = |mark: &str| told(96, "", &format!("0 alloc r0 1 => at 64 8 0\n{START}gc mark 1 => ok; {mark}"));
        assert_eq!(["shade 80", "scan 80"].map(marked), [Err(2); 2]);
        assert_eq!(["shade 64", "scan 64"].map(marked), [Ok(1); 2]);
        assert_eq!(marked("free 80"), Ok(0), "it is for law 90");
    }
}
