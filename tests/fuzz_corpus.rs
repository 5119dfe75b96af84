//! Every file of the fuzzers' corpus, and every failure that a fuzzer has left behind, through the targets' own code, on
//! any toolchain and without a fuzzer.

#[allow(dead_code, unreachable_pub, reason = "it is the library of another package")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use heaplaw_conformance::generate::{
    choices::{Recorder, Seed},
    scenario::Scenario,
};
use heaplaw_reference::{machine::Machine, op::Program, protocol::Protocol};
use std::{fs, path::Path};
use targets::{complaint, decoded, programs, text};

/// Hands all files of a target to `body`; says how many seeds were among them.
fn replay(target: &str, body: fn(&[u8])) -> usize {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut seeds = 0;
    for folder in ["corpus", "artifacts"] {
        // There are no artifacts if all went well.
        let Ok(files) = fs::read_dir(here.join(folder).join(target)) else { continue };
        for file in files {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            println!("{}", path.display());
            body(&bytes);
            seeds += usize::from(path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")));
        }
    }
    seeds
}

#[test]
fn no_law_is_broken_under_any_program_of_the_corpus() {
    assert!(replay("programs", programs) >= 40);
}

#[test]
fn every_text_of_the_corpus_is_read_or_refused() {
    assert!(replay("text", text) >= 40);
}

#[test]
fn recorded_decisions_decode_to_the_same_program() {
    for case in 0..1_000 {
        let mut recorder = Recorder::new(Seed::case(1, case));
        let program = Scenario::default().draw(&mut recorder);
        assert_eq!(decoded(&recorder.into_bytes()), program, "case {case}");
    }
}

/// The programs of the corpus that are checked in.
fn seeds() -> Vec<Program> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/programs");
    let seeds = (0..40).map(|number| folder.join(format!("seed-{number:02}")));
    seeds.map(|seed| decoded(&fs::read(seed).expect("a seed"))).collect()
}

#[test]
fn heaps_that_lose_objects_are_found_out_by_the_corpus() {
    let seeds = seeds();
    for protocol in Protocol::ALL.into_iter().filter(|protocol| !protocol.sound) {
        let found_out = seeds.iter().any(|program| complaint(|| Machine::new(protocol), program).is_some());
        // Bytes mean what the generator makes of them.
        assert!(found_out, "{}: if the generator has changed, draw the seeds anew, see fuzz/README.md", protocol.name);
    }
}
