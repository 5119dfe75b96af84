//! Every design that loses something, in the smallest world in which it does, and what is told of it: how many states
//! there are to its shortest schedule, the schedule as a table, and as operations. All of it stands in `shortest.txt`.

use super::{Exploration, Verdict};
use heaplaw_reference::{
    model::Scope,
    protocol::{Row, TABLE},
};
use std::fmt::Write;

/// Worlds from the smallest: objects, fields, mutators, registers.
const WORLDS: [Scope; 9] = [
    Scope::new(1, 1, 1, 1),
    Scope::new(1, 1, 1, 2),
    Scope::new(2, 1, 1, 1),
    Scope::new(1, 1, 2, 1),
    Scope::new(2, 1, 1, 2),
    Scope::new(2, 1, 2, 1),
    Scope::new(3, 1, 1, 1),
    Scope::new(3, 1, 1, 2),
    Scope::new(2, 2, 1, 2),
];

/// What comes of a row in a world, in lines; nothing if all is well there.
fn told(row: &Row, scope: Scope, invariant: bool) -> Option<String> {
    let exploration = Exploration { protocol: row.protocol, scope, invariant, most_states: 1_000_000 };
    let explored = exploration.run_on(1);
    let (what, schedule) = match explored.verdict {
        Verdict::Lost(schedule) => ("lost".to_owned(), schedule),
        Verdict::Broken(invariant, schedule) => (format!("{invariant} invariant broken"), schedule),
        Verdict::Exhausted => return None,
        Verdict::TooLarge => panic!("{} in {scope:?} is too large", row.id),
    };
    let Scope { objects, fields, mutators, registers, .. } = scope;
    let mut text = format!(
        "{} {} in {objects}, {fields}, {mutators}, {registers}: {what} after {} states, {} transitions\n",
        row.id, row.protocol.name, explored.states, explored.transitions
    );
    text.push_str(&schedule.table(&row.protocol, scope));
    text.push_str("    in operations:\n");
    match schedule.program(&row.protocol, scope) {
        Some(program) => program.to_string().lines().for_each(|line| _ = writeln!(text, "        {line}")),
        None => text.push_str("        not all of it can be said\n"),
    }
    text.push('\n');
    Some(text)
}

#[test]
fn every_shortest_schedule_is_told_as_it_was() {
    let mut text = String::new();
    for row in TABLE.iter().filter(|row| !row.protocol.sound) {
        let first = |invariant| WORLDS.into_iter().find_map(|scope| told(row, scope.with(row.alphabet), invariant));
        let (lost, broken) = (first(false), first(true));
        assert!(lost.is_some() && broken.is_some(), "{} loses nothing", row.id);
        // With the invariant looked at, a design that names none fares as it does without.
        let broken = broken.filter(|broken| lost.as_ref() != Some(broken));
        text.extend(lost.into_iter().chain(broken));
    }
    let expected = include_str!("shortest.txt");
    if text != expected {
        let file = std::env::temp_dir().join("shortest.txt");
        std::fs::write(&file, &text).expect("a file for what is told now");
        let at = text.lines().zip(expected.lines()).take_while(|(now, then)| now == then).count();
        let [now, then] = [&text, expected].map(|text| text.lines().nth(at).unwrap_or("the end"));
        panic!("line {}:\n{now}\nused to be\n{then}\nif that is right, it is {}", at + 1, file.display());
    }
}
