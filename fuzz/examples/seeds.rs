//! Draws the seeds of the corpus anew: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! The first ones each find out a collector that is known to lose objects, so that a fuzzer starts near the places
//! where collectors go wrong; the others are what the generator draws first. What a fuzzer has added since, in files with
//! other names, stays.

use heaplaw_conformance::{
    drive::{
        InProcess,
        step::{self, Ending},
    },
    generate::{
        choices::{Choices, Recorder, Seed},
        scenario::Scenario,
    },
};
use heaplaw_fuzz::{complaint, protocol::UNASKED, steps};
use heaplaw_reference::{heap::Capability, machine::Machine, op::Program, protocol::Protocol, text::answer};
use std::{fs, io, path::Path};

/// Programs of the corpus, each as bytes and as text.
const PROGRAMS: usize = 160;

/// More operations than a program has that begins with nothing.
const LONG: usize = 100;

/// Schedules of single steps.
const SCHEDULES: usize = 120;

/// How many of them find out each unsound collector.
const TELLING: usize = 3;

/// Inputs of the other targets.
const OTHERS: usize = 40;

/// What heaps answer: texts that no program contains.
const ANSWERS: [&str; 6] = [
    "ok\nidle\nnil\nfull\nunknown\n",
    "at 4096 48 0\nat 8192 16 torn@9 black; shade 8192 4096; scan 8192\n",
    "ref 4096\ndata 3\ndata torn@9\nstats 12 480\n",
    "trap 0x1000 is not an object; phase sweep; free 4096 8192\n",
    "idle; phase mark; globals; stack 0; phase terminate; phase off\n",
    "heap my-gc-2.3 collect steps frees invariant=weak\n",
];

fn main() -> io::Result<()> {
    let unsound = || Protocol::ALL.into_iter().filter(|protocol| !protocol.sound);
    let telling = unsound().flat_map(|protocol| {
        let found_out = move |program: &Program| complaint(|| Machine::new(protocol), program).is_some();
        (0..).map(drawn).filter(move |(_, program)| found_out(program)).take(TELLING)
    });
    let long = (0..).map(drawn).filter(|(_, program)| program.len() > LONG).take(PROGRAMS / 3);
    let seeds: Vec<_> = telling.chain(long).chain((0..).map(drawn)).take(PROGRAMS).collect();
    for (number, (bytes, program)) in seeds.into_iter().enumerate() {
        write("programs", number, &[&[kind(number)], &bytes[..]].concat())?;
        if number < OTHERS {
            write("text", number, program.to_string().as_bytes())?;
        }
    }
    for (number, answers) in (OTHERS..).zip(ANSWERS) {
        write("text", number, answers.as_bytes())?;
    }
    let telling = unsound().flat_map(|protocol| {
        let found_out = move |bytes: &Vec<u8>| complaint(|| Machine::new(protocol), &steps::decoded(bytes)).is_some();
        (0..).map(|case| random(case, 100 * steps::RECORD)).filter(found_out).take(TELLING)
    });
    let seeds = telling.chain((0..).map(mourning));
    for (number, mut bytes) in seeds.take(SCHEDULES).enumerate() {
        bytes[0] = kind(number);
        write("steps", number, &bytes)?;
    }
    for number in 0..OTHERS {
        // Each kind in its turn.
        let mut bytes = random(number as u64, 30 + 10 * number);
        bytes[0] = (number % 5) as u8;
        write("arithmetic", number, &bytes)?;
        write("protocol", number, &conversation(number))?;
    }
    Ok(())
}

/// Each design in its turn, and in every fourth round with a kernel that refuses a call.
fn kind(number: usize) -> u8 {
    let (design, round) = (number % 16, number / 16);
    let granted = if round % 4 == 3 { 1 + number % 15 } else { 0 };
    (granted << 4 | design) as u8
}

/// So many bytes, any.
fn random(case: u64, len: usize) -> Vec<u8> {
    let mut seed = Seed::case(0xf022, case);
    (0..len).map(|_| seed.below(256) as u8).collect()
}

/// A schedule in which every second operation is one of those by which objects die, or a program learns of it.
fn mourning(case: u64) -> Vec<u8> {
    // To allocate, clear, attach and ask; to start a cycle, scan a stack, mark, finish and sweep.
    const LIKELY: [u8; 15] = [0, 1, 18, 240, 240, 242, 242, 244, 246, 248, 31, 34, 37, 41, 44];
    let mut bytes = random(case, 200 * steps::RECORD);
    for record in bytes.as_chunks_mut::<{ 2 * steps::RECORD }>().0 {
        record[0] = LIKELY[usize::from(record[0]) % LIKELY.len()];
    }
    bytes
}

/// What a heap of the reference says to a short program, as an adapter would; in every fifth, something is wrong with it.
fn conversation(number: usize) -> Vec<u8> {
    let (mut decisions, _) = drawn(number as u64);
    decisions.truncate(255.min(20 + 10 * number));
    let protocol = Protocol::ALL[number % Protocol::ALL.len()];
    let mut heap = InProcess::new(|| Machine::new(protocol));
    let history = step::run(&mut heap, &heaplaw_fuzz::drawn(&decisions), Ending::Settle).expect("it starts");
    let batch = if number.is_multiple_of(3) { " batch" } else { "" };
    let mut lines = vec![format!("{}{batch}", answer::print_claims(&history.claims))];
    // Who claims that it does the same every time is asked twice.
    for _ in 0..if history.claims.has(Capability::Deterministic) { 2 } else { 1 } {
        lines.push("ok".to_owned());
        lines.extend(history.moments.iter().map(|moment| answer::print(&moment.reply, &moment.events)));
    }
    let (at, last) = (number % lines.len(), lines.len() - 1);
    match number % 25 {
        5 => lines[at].insert(0, char::from(UNASKED)),
        10 => lines.truncate(at),
        15 => lines.insert(at, "at 4096 16 0".to_owned()),
        20 => lines.swap(at, last),
        _ => {}
    }
    let mut bytes = vec![number as u8, decisions.len() as u8];
    bytes.extend(decisions);
    bytes.extend(lines.join("\n").into_bytes());
    bytes
}

/// A program, and the bytes that mean it.
fn drawn(case: u64) -> (Vec<u8>, Program) {
    let mut recorder = Recorder::new(Seed::case(0xf022, case));
    let program = Scenario::default().draw(&mut recorder);
    let bytes = recorder.into_bytes();
    assert_eq!(heaplaw_fuzz::drawn(&bytes), program, "case {case} does not come back");
    (bytes, program)
}

fn write(target: &str, number: usize, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{number:03}")), bytes)
}
