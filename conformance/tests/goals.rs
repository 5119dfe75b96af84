//! The goals can be reached, are not reached by just any program, and are told.

use heaplaw_conformance::{
    campaign::{Campaign, End},
    cli::{self, Bundled},
    drive::{InProcess, step},
    goals::{self, Coverage},
    reading::Reading,
};
use heaplaw_reference::{heap::Heap, machine::Machine, protocol::Protocol};
use serde_json::Value;
use std::{env, fs, path::PathBuf, process::Command, process::ExitCode};

/// The arguments of the child, one a line, and the exit code that is expected of it.
const ARGUMENTS: &str = "HEAPLAW_TEST_ARGUMENTS";
const EXIT: &str = "HEAPLAW_TEST_EXIT";

/// The goals that a program meets on the reference machine, and how often.
fn met(program: &str) -> Vec<(&'static str, u64)> {
    let program = program.parse().expect("a program");
    let mut subject = InProcess::new(|| Machine::new(Protocol::HYBRID));
    let history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("the machine starts");
    assert_eq!(history.moments.len(), program.len(), "every operation means something");
    let mut coverage = Coverage::default();
    coverage.add(&Reading::new(&history));
    coverage.counts().filter(|(_, count)| *count > 0).map(|(goal, count)| (goal.id, count)).collect()
}

#[test]
fn every_goal_is_reached_by_generated_programs() {
    let campaign = Campaign { seed: 1, cases: 20_000, laws: Vec::new(), ..Campaign::default() };
    let outcome = campaign.run(&mut InProcess::new(|| Machine::new(Protocol::HYBRID)), &[], &mut ());
    assert!(matches!(outcome.end, End::Finished));
    assert!(goals::ALL.iter().all(|goal| goal.missing(&Machine::new(Protocol::HYBRID).claims()).is_empty()));
    for (goal, count) in outcome.coverage.counts() {
        assert!(count > 0, "{} was not reached", goal.name);
    }
}

#[test]
fn a_trivial_program_reaches_no_goal() {
    // It allocates, stores over nil and over an object, moves, wipes, loads, hands over and collects: between cycles.
    let program = "
        0 alloc r0 2 8\n 0 alloc r1 1 8\n 0 store r0.0 r1\n 0 load r2 r0.0\n 0 store r0.0 nil\n 0 store g0 r1
        0 move r0.1 r1.0 1\n 0 wipe r0.0 2\n 0 read r0\n 0 write r0
        1 join\n 0 send r0 1.r0\n 1 store r0.0 r0\n 1 store r0.0 nil\n 1 park\n 1 unpark\n 1 exit\n gc stats\n gc full";
    assert_eq!(met(program), []);
}

#[test]
fn a_store_is_counted_by_what_it_meets() {
    // a holds b; c is born black.
    let start = "0 alloc r0 2 0\n 0 alloc r1 0 8\n 0 store r0.0 r1\n gc start\n";
    let after = |ops: &str| met(&format!("{start}{ops}"));
    assert_eq!(after("0 store r0.0 nil"), [("store-nil-over-white", 1)]);
    assert_eq!(after("0 store r0.1 r1"), [("store-white-over-nil", 1)]);
    assert_eq!(after("0 store r0.0 r0"), [("store-white-over-white", 1)]);
    let twice = after("0 alloc r2 0 8\n 0 store r0.0 r2\n 0 store r0.0 nil");
    assert_eq!(twice, [("store-marked-over-white", 1), ("store-nil-over-black", 1), ("alloc-while-marking", 1)]);
    // The globals are scanned first.
    assert_eq!(after("gc mark 1\n 0 store g0 r1"), [("store-white-over-nil", 1), ("white-into-scanned-global", 1)]);
    // The stack holds both, so that after its scan both are grey or black.
    assert_eq!(after("gc handshake 0\n 0 store r0.0 nil").len(), 1);
}

#[test]
fn races_with_the_end_of_marking_are_counted() {
    let raced =
        "0 alloc r0 1 0\n gc start\n gc mark 9\n gc handshake 0\n 0 store r0.0 r0\n gc finish\n gc mark 9\n gc finish";
    let ids: Vec<_> = met(raced).into_iter().map(|(id, _)| id).collect();
    assert!(ids.contains(&"finish-after-store"), "{ids:?}");
    let in_order = "0 alloc r0 1 0\n gc start\n 0 store r0.0 r0\n gc mark 9\n gc handshake 0\n gc mark 9\n gc finish";
    let ids: Vec<_> = met(in_order).into_iter().map(|(id, _)| id).collect();
    assert!(!ids.contains(&"finish-after-store"), "{ids:?}");
}

/// The command, if this is the child; nothing otherwise.
#[test]
fn the_child_is_the_command() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let heaps = vec![Bundled::new("hybrid", "the reference machine", || Machine::new(Protocol::HYBRID))];
    let expected: u8 = env::var(EXIT).expect("an exit code").parse().expect("an exit code");
    assert_eq!(cli::main_with(heaps, ["heaplaw"].into_iter().chain(arguments.lines())), ExitCode::from(expected));
}

/// Runs the command in a directory of its own; gives what it prints and its report, once it has exited as expected.
#[track_caller]
fn check(exit: u8, arguments: &[&str]) -> (String, Value) {
    let name = format!("goals-{}-{}", std::process::id(), arguments.concat().replace([' ', ':'], ""));
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&scratch).expect("a directory for the test");
    let mut child = Command::new(env::current_exe().expect("this program"));
    child.args(["--exact", "the_child_is_the_command", "--nocapture"]).current_dir(&scratch);
    let arguments = [&["check", "--json", "report.json"], arguments].concat();
    child.env(ARGUMENTS, arguments.join("\n")).env(EXIT, exit.to_string());
    let output = child.output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "exit {exit} was expected of {arguments:?}:\n{text}");
    let report = fs::read_to_string(scratch.join("report.json")).expect("a report");
    fs::remove_dir_all(&scratch).expect("the directory goes");
    (text, serde_json::from_str(&report).expect("JSON"))
}

/// How the report says a goal stands, and how often it was met.
#[track_caller]
fn standing<'r>(report: &'r Value, id: &str) -> (&'r str, u64) {
    let all = report["goals"].as_array().expect("a list of goals");
    let goal = all.iter().find(|goal| goal["id"] == id).expect("the goal");
    (goal["status"].as_str().expect("a status"), goal["count"].as_u64().expect("a count"))
}

#[test]
fn a_run_that_is_too_short_exits_with_3_if_goals_are_asked_for() {
    let (text, report) = check(3, &["--seed", "1", "--cases", "1", "--goals"]);
    assert!(text.contains("  NOT REACHED: ") && text.contains("not reached (exit 3)"), "{text}");
    let all = report["goals"].as_array().expect("a list of goals");
    assert_eq!((all.len(), &report["exit"]), (goals::ALL.len(), &Value::from(3)));
    assert_eq!(standing(&report, "store-white-over-black"), ("not reached", 0));

    // Unless they are asked for, goals are only told.
    let (text, _) = check(0, &["--seed", "1", "--cases", "1"]);
    assert!(text.contains("  NOT REACHED: "), "{text}");
    // What is wrong counts more than what is missing.
    let (text, _) = check(1, &["--seed", "1", "--goals", "--heap", "reference:no-barrier"]);
    assert!(!text.contains("NOT REACHED"), "{text}");
}

#[test]
fn a_run_that_is_long_enough_reaches_all_goals() {
    let (text, report) = check(0, &["--seed", "1", "--cases", "20000", "--goals"]);
    assert!(text.contains(&format!("  goals {0}/{0}   rarest: ", goals::ALL.len())), "{text}");
    assert!(!text.contains("NOT REACHED"), "{text}");
    let (status, count) = standing(&report, "store-white-over-black");
    assert!(status == "reached" && count > 10, "{status} {count}");
}
