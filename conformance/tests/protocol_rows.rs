//! The model and the machine agree: a schedule by which the model loses an object makes the machine lose one too.

use heaplaw_conformance::{
    drive::{InProcess, step},
    explore::{Exploration, Verdict},
    law::{self, Law},
};
use heaplaw_reference::{
    machine::Machine,
    model::Scope,
    protocol::{Protocol, Row, TABLE},
};

/// What it means to lose something: an object, its content, or what a weak pointer says of it.
const LAWS: [u16; 6] = [51, 68, 92, 108, 112, 115];

#[test]
fn shortest_losing_schedules_replay_on_the_machine() {
    let mut replayed = Vec::new();
    for row in TABLE.iter().filter(|row| !row.protocol.sound) {
        let scopes = [Scope::new(3, 1, 1, 2), Scope::new(3, 1, 2, 1)];
        for scope in scopes.map(|scope| scope.with(row.alphabet)) {
            let exploration = Exploration { protocol: row.protocol, scope, invariant: false, most_states: 10_000_000 };
            let Verdict::Lost(schedule) = exploration.run_on(2).verdict else { continue };
            let Some(program) = schedule.program(&row.protocol, scope) else { continue };
            let mut subject = InProcess::new(|| Machine::new(row.protocol));
            let history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("the machine starts");
            let laws = LAWS.map(|number| Law::numbered(number).expect("a law"));
            let verdict = law::judge(&history, &laws);
            let table = schedule.table(&row.protocol, scope);
            assert!(verdict.broken().is_some(), "{} in {scope:?} loses nothing:\n{table}\n{program}", row.id);
            replayed.push(row.id);
        }
    }
    replayed.dedup();
    // X13, X15 and W6 interrupt an operation, W4 does half of one, in W5 and F6 it matters when the collector decides or
    // scans, and J2 arrives with something in its hand: no whole operation does that.
    let expected = [
        "X1", "X2", "X4", "X5", "X6", "X8", "X10", "X11", "X12b", "X14", "X16", "X16w", "S2", "W2", "W2d", "W3", "W3s",
        "W7", "W8", "F2", "F3", "F4", "F5", "A2", "A3",
    ];
    assert_eq!(replayed, expected);
}

#[test]
fn what_the_model_calls_sound_the_machine_keeps() {
    use heaplaw_conformance::generate::{choices::Seed, scenario::Scenario};
    let laws: Vec<_> = law::all().collect();
    let nameless = |row: &Row| Protocol { name: "", ..row.protocol };
    for (at, row) in TABLE.iter().enumerate().filter(|(_, row)| row.protocol.sound) {
        // Some rows are the same design under another alphabet, which is nothing to the machine.
        if TABLE[..at].iter().any(|before| nameless(before) == nameless(row)) {
            continue;
        }
        for case in 0..300 {
            let program = Scenario::default().draw(&mut Seed::case(21, case));
            let mut subject = InProcess::new(|| Machine::new(row.protocol));
            let history = step::run(&mut subject, &program, step::Ending::Settle).expect("the machine starts");
            let verdict = law::judge(&history, &laws);
            assert!(verdict.broken().is_none(), "{} case {case}: {:?}", row.id, verdict.broken());
        }
    }
}
