//! Draws the seeds of the corpus anew: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! The first ones each find out a collector that is known to lose objects, so that a fuzzer starts near the places
//! where collectors go wrong; the others are what the generator draws first.

use heaplaw_conformance::generate::{
    choices::{Recorder, Seed},
    scenario::Scenario,
};
use heaplaw_fuzz::{complaint, decoded};
use heaplaw_reference::{machine::Machine, op::Program, protocol::Protocol};
use std::{fs, io, path::Path};

/// Programs of the corpus, each as bytes and as text.
const PROGRAMS: usize = 40;

/// How many of them find out each unsound collector.
const TELLING: usize = 3;

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
    let unsound = Protocol::ALL.into_iter().filter(|protocol| !protocol.sound);
    let telling = unsound.flat_map(|protocol| {
        let found_out = move |program: &Program| complaint(|| Machine::new(protocol), program).is_some();
        (0..).map(drawn).filter(move |(_, program)| found_out(program)).take(TELLING)
    });
    let seeds: Vec<_> = telling.chain((0..).map(drawn)).take(PROGRAMS).collect();
    for (number, (bytes, program)) in seeds.iter().enumerate() {
        write("programs", number, bytes)?;
        write("text", number, program.to_string().as_bytes())?;
    }
    for (number, answers) in (PROGRAMS..).zip(ANSWERS) {
        write("text", number, answers.as_bytes())?;
    }
    Ok(())
}

/// A program, and the bytes that mean it.
fn drawn(case: u64) -> (Vec<u8>, Program) {
    let mut recorder = Recorder::new(Seed::case(0xf022, case));
    let program = Scenario::default().draw(&mut recorder);
    let bytes = recorder.into_bytes();
    assert_eq!(decoded(&bytes), program, "case {case} does not come back");
    (bytes, program)
}

fn write(target: &str, number: usize, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{number:02}")), bytes)
}
