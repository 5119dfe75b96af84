//! What the fuzz targets do with their bytes.
//!
//! The targets themselves are one line each, in `fuzz_targets`. Everything is here, so that a plain test can replay
//! what a fuzzer has found, on any toolchain and without a fuzzer.

use arbitrary::{Arbitrary, Unstructured};
use heaplaw_conformance::{
    drive::{InProcess, step},
    generate::Sample,
    law,
    shrink::{Budget, shrink},
};
use heaplaw_optimized::adapter;
use heaplaw_reference::{
    heap::Heap,
    op::Program,
    text::{ParseError, answer},
};

/// The heap under test. Lock step with the reference is in the laws: law 14 compares what is loaded.
fn subject() -> impl Heap {
    adapter::bundled().expect("the kernel gives address space for a small heap")
}

/// Any bytes are a program; no law is broken under it.
///
/// # Panics
/// If one is, or if the heap crashes. The message has the program, as simple as the reducer can make it.
pub fn programs(bytes: &[u8]) {
    let program = decoded(bytes);
    let Some(wrong) = complaint(subject, &program) else { return };
    let simple = shrink(&program, Budget::default(), |candidate| complaint(subject, candidate).is_some()).program;
    panic!("{wrong}\nunder\n{program}\nor simpler, under\n{simple}");
}

/// The program that these bytes mean.
///
/// # Panics
/// If there is none, which would be a mistake in the decoder: it takes any bytes.
pub fn decoded(bytes: &[u8]) -> Program {
    let Sample(program) = Sample::arbitrary(&mut Unstructured::new(bytes)).expect("any bytes are a program");
    program
}

/// What is wrong under this program with the heaps that `make` makes, if anything.
pub fn complaint<H: Heap>(make: impl FnMut() -> H, program: &Program) -> Option<String> {
    let laws: Vec<_> = law::all().collect();
    let history = match step::run(&mut InProcess::new(make), program, step::Ending::Settle) {
        Ok(history) => history,
        Err(failure) => return Some(failure.to_string()),
    };
    if let Some((op, failure)) = &history.failure {
        return Some(format!("at {op}: {failure}"));
    }
    let verdict = law::judge(&history, &laws);
    verdict.broken().map(|(law, witness)| format!("{}: {witness:?}", law.identifier()))
}

/// What can be read can be written and read back, as a program, as an answer and as claims; what cannot is refused.
///
/// # Panics
/// If reading panics, or something else comes back.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
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
