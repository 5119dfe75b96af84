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
