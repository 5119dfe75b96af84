//! The order of a cycle: laws 80, 82 and 90.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Cycle, Reading, Waiting};
use heaplaw_reference::{
    cycle,
    event::{Event, Phase},
    heap::Capability,
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 80,
        name: "phase automaton",
        statement: "Phases follow one another as off, mark, terminate, sweep, off, and objects change colour only while marking.",
        needs: Needs::of(&[Capability::Phases]),
        judge: phase_automaton,
    },
    Law {
        number: 82,
        name: "no premature termination",
        statement: "Marking ends only when nothing is grey: no object, no stack, and not the globals.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: no_premature_termination,
    },
    Law {
        number: 90,
        name: "sweep exactness",
        statement: "Only the sweep frees, only what was white when marking ended, and each object once.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors, Capability::Frees]),
        judge: sweep_exactness,
    },
];

fn phase_automaton(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, from, to) in &reading.phases {
        check.that(cycle::follows(*from, *to), *at, || (format!("the phase goes from {from} to {to}"), []));
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

fn no_premature_termination(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(marked) = cycle.marked else { continue };
        match cycle.waiting.first() {
            None => check.that(true, marked, || (String::new(), [])),
            Some(Waiting::Object(id)) => check.that(false, marked, || (format!("marking ends with {id} grey"), [*id])),
            Some(Waiting::Stack(mutator)) => check.that(false, marked, || {
                (format!("marking ends although the stack of mutator {mutator} was not scanned"), [])
            }),
            Some(Waiting::Globals) => {
                check.that(false, marked, || ("marking ends although the globals were not scanned".to_owned(), []))
            }
        }
    }
    check.done()
}

fn sweep_exactness(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
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
    for (at, id) in &reading.frees {
        // The cycle whose sweep this is: of several in one operation, one in which it was white.
        let marked = |cycle: &&Cycle| cycle.marked.is_some_and(|marked| marked <= *at);
        let sweeping = |cycle: &&Cycle| cycle.swept.is_none_or(|swept| swept >= *at);
        let mut cycles = reading.cycles.iter().filter(marked).filter(sweeping);
        let white = cycles.any(|cycle| cycle.white.contains(*id));
        check.that(white, *at, || (format!("{id} is freed although it was marked"), [*id]));
    }
    for (at, stray) in &reading.strays {
        if let Event::Free(address) = stray {
            check.that(false, *at, || (format!("{address} is freed, where no object lives"), []));
        }
    }
    check.done()
}
