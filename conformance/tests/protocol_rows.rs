//! The model and the machine agree: a schedule by which the model loses an object makes the machine lose one too.

use heaplaw_conformance::{
    drive::{InProcess, step},
    explore::{Exploration, Verdict},
    law::{self, Law},
};
use heaplaw_reference::{machine::Machine, model::Scope, protocol::TABLE};

#[test]
fn shortest_losing_schedules_replay_on_the_machine() {
    let mut replayed = Vec::new();
    for row in TABLE.iter().filter(|row| !row.protocol.sound) {
        let scopes = [(1, 2), (2, 1)].map(|(mutators, registers)| Scope::new(3, 1, mutators, registers));
        for scope in scopes {
            let exploration = Exploration { protocol: row.protocol, scope, invariant: false, most_states: 10_000_000 };
            let Verdict::Lost(schedule) = exploration.run_on(2).verdict else { continue };
            let Some(program) = schedule.program(&row.protocol, scope) else { continue };
            let mut subject = InProcess::new(|| Machine::new(row.protocol));
            let history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("the machine starts");
            let law = [Law::numbered(51).expect("law 51")];
            let verdict = law::judge(&history, &law);
            let table = schedule.table(&row.protocol, scope);
            assert!(verdict.broken().is_some(), "{} in {scope:?} loses nothing:\n{table}\n{program}", row.id);
            replayed.push(row.id);
        }
    }
    replayed.dedup();
    // X13 and X15 interrupt a store, which no whole operation does.
    assert_eq!(replayed, ["X1", "X2", "X4", "X5", "X6", "X8", "X10", "X11", "X12b", "X14", "X16", "X16w"]);
}

#[test]
fn what_the_model_calls_sound_the_machine_keeps() {
    use heaplaw_conformance::generate::{choices::Seed, scenario::Scenario};
    let laws: Vec<_> = law::all().collect();
    for row in TABLE.iter().filter(|row| row.protocol.sound) {
        for case in 0..300 {
            let program = Scenario::default().draw(&mut Seed::case(21, case));
            let mut subject = InProcess::new(|| Machine::new(row.protocol));
            let history = step::run(&mut subject, &program, step::Ending::Settle).expect("the machine starts");
            let verdict = law::judge(&history, &laws);
            assert!(verdict.broken().is_none(), "{} case {case}: {:?}", row.id, verdict.broken());
        }
    }
}
