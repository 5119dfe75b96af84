//! What the fuzz targets do with their bytes.
//!
//! The targets themselves are a line or two each, in `fuzz_targets`. Everything is here, so that a plain test can replay
//! what a fuzzer has found, on any toolchain and without a fuzzer.

pub mod arithmetic;
pub mod company;
pub mod kind;
pub mod protocol;
pub mod quiet;
pub mod steps;

use arbitrary::{Arbitrary, Unstructured};
use heaplaw_conformance::{
    answers,
    drive::{InProcess, step},
    generate::Sample,
    history::History,
    law,
    saved::{self, FileError},
    shrink::{Budget, shrink},
};
use heaplaw_reference::{
    heap::{Heap, Reply},
    machine::Machine,
    op::{Action, Op, Program},
    protocol::Protocol,
    text::{ParseError, answer},
};
use kind::Kind;
use std::path::Path;

/// After so many operations a heap is asked what it believes, which takes as long as it is large.
const NOW_AND_THEN: usize = 100;

/// The first bytes say what [kind](Kind) of heap, and any others are a program; no law is broken under it, and the reference
/// gives the same answers.
///
/// # Panics
/// If one is, if the heap crashes, or if they differ. The message has the program, as simple as the reducer can make it.
pub fn programs(bytes: &[u8]) {
    let (kind, program) = (Kind::of(bytes), decoded(bytes));
    if let Some(what) = wrong(kind, &program) {
        panic!("{kind:?}: {what}\n{}", simplest(&program, |candidate| wrong(kind, candidate).is_some()));
    }
}

/// What is wrong with this kind of heap under this program, if anything.
fn wrong(kind: Kind, program: &Program) -> Option<String> {
    if !kind.is_in_steps() {
        return kind.believed(program, NOW_AND_THEN);
    }
    match history(|| kind.subject().expect("address space for a small heap"), program) {
        Ok(history) => kind.differs(answered(&history)),
        Err(complaint) => Some(complaint),
    }
}

/// A program that fails, and a simpler one.
fn simplest(program: &Program, fails: impl FnMut(&Program) -> bool) -> String {
    let simple = shrink(program, Budget::default(), fails).program;
    format!("under\n{program}\nor simpler, under\n{simple}")
}

/// The program that these bytes mean, all but the first ones.
pub fn decoded(bytes: &[u8]) -> Program {
    drawn(bytes.get(Kind::BYTES..).unwrap_or_default())
}

/// The program that is drawn by these decisions.
///
/// # Panics
/// If there is none, which would be a mistake in the decoder: it takes any bytes.
pub fn drawn(decisions: &[u8]) -> Program {
    let Sample(program) = Sample::arbitrary(&mut Unstructured::new(decisions)).expect("any bytes are a program");
    program
}

/// What is wrong under this program with the heaps that `make` makes, if anything: the law that they break, or how they
/// fail.
pub fn complaint<H: Heap>(make: impl FnMut() -> H, program: &Program) -> Option<String> {
    history(make, program).err()
}

/// What happens under this program, if no law is broken; else what is wrong.
fn history<H: Heap>(make: impl FnMut() -> H, program: &Program) -> Result<History, String> {
    let laws: Vec<_> = law::all().collect();
    let history = step::run(&mut InProcess::new(make), program, step::Ending::Settle).map_err(|e| e.to_string())?;
    if let Some((op, failure)) = &history.failure {
        return Err(format!("at {op}: {failure}"));
    }
    match law::judge(&history, &laws).broken() {
        Some((law, witness)) => Err(format!("{}: {witness:?}", law.identifier())),
        None => Ok(history),
    }
}

/// What was asked and answered.
fn answered(history: &History) -> impl Iterator<Item = (Op, &Reply)> + Clone {
    history.moments.iter().map(|moment| (moment.op, &moment.reply))
}

/// What the reference answers to the same operations, but for what was refused for want of memory, of which it has any
/// amount.
fn of_the_reference<'r>(answered: impl Iterator<Item = (Op, &'r Reply)>) -> Vec<(Op, &'r Reply, Reply)> {
    let mut machine = Machine::new(Protocol::HYBRID);
    let granted = answered.filter(|(_, reply)| **reply != Reply::OutOfMemory);
    granted.map(|(op, reply)| (op, reply, machine.perform(&op, &mut Vec::new()))).collect()
}

/// What the reference answers otherwise to the same operations, if anything. Only what every right heap answers is
/// compared. If something was refused for want of memory, stamps are not compared, which count those allocations too. Which
/// of several objects comes first out of a queue is for the heap to say, and what follows depends on it.
fn differs<'r>(answered: impl Iterator<Item = (Op, &'r Reply)> + Clone) -> Option<String> {
    let refused = answered.clone().any(|(_, reply)| *reply == Reply::OutOfMemory);
    let reads = |op: &Op| matches!(op, Op::Mutate { action: Action::Read(_), .. });
    let both = of_the_reference(answered.filter(|(op, _)| !(refused && reads(op))));
    let here = answers::beside(both.iter().map(|(op, reply, _)| (*op, Some(*reply))));
    let there = answers::beside(both.iter().map(|(op, _, reply)| (*op, Some(reply))));
    let header = here.lines().count() - both.len();
    let mut lines = here.lines().zip(there.lines()).skip(header);
    let at = lines.clone().position(|(here, there)| here != there)?;
    let (here, there) = lines.nth(at)?;
    if hands_out_another(&both[..=at]) {
        return None;
    }
    Some(format!("the heap answers   {here}\nthe reference says {there}"))
}

/// Whether at last something is handed out that the reference has in the same queue, behind what it hands out itself.
fn hands_out_another(both: &[(Op, &Reply, Reply)]) -> bool {
    let Some((op @ Op::Mutate { action: Action::Finalize(_) | Action::Clean(_), .. }, Reply::Object(object), _)) =
        both.last()
    else {
        return false;
    };
    let born = both.iter().rev().find_map(|(_, here, there)| match (here, there) {
        (Reply::Born { at, .. }, Reply::Born { at: there, .. }) if at == object => Some(Reply::Object(*there)),
        _ => None,
    });
    let mut machine = Machine::new(Protocol::HYBRID);
    for (op, ..) in both {
        machine.perform(op, &mut Vec::new());
    }
    let waiting = std::iter::from_fn(|| Some(machine.perform(op, &mut Vec::new())));
    waiting.take_while(|reply| matches!(reply, Reply::Object(_))).any(|reply| Some(reply) == born)
}

/// What can be read can be written and read back, as a program, as an answer and as claims; what cannot is refused, also
/// as a saved file.
///
/// # Panics
/// If reading panics, or something else comes back.
pub fn text(bytes: &[u8]) {
    let file = saved::parse(Path::new("fuzzed.heap"), bytes.to_vec());
    if let Err(FileError::Malformed { error, line, .. }) = &file {
        // The caret stands under a character of the line, or just behind it.
        assert!(error.line >= 1 && (1..=line.chars().count() + 1).contains(&error.column), "{error} in {line:?}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(file.is_err(), "what is not text is no program");
        return;
    };
    assert_eq!(file.ok(), text.parse().ok(), "a file is read like any text");
    stable(text, str::parse::<Program>, Program::to_string);
    for line in text.lines() {
        // The words of a trap are evened out when they are printed, so it is the text that has to come back.
        stable(line, answer::parse, |(reply, events)| answer::print(reply, events));
        stable(line, answer::parse_claims, answer::print_claims);
    }
    if let Ok(program) = text.parse::<Program>() {
        assert_eq!(program.to_string().parse(), Ok(program));
    }
}

/// Printing what was read gives a text that reads and prints the same.
fn stable<T>(text: &str, read: impl Fn(&str) -> Result<T, ParseError>, print: impl Fn(&T) -> String) {
    match read(text) {
        Ok(value) => {
            let printed = print(&value);
            let again = read(&printed).unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}: {error}"));
            assert_eq!(print(&again), printed, "from {text:?}");
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{text:?}: {error}"),
    }
}
