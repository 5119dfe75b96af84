//! Every file of the fuzzers' corpus, and every failure that a fuzzer has left behind, through the targets' own code, on
//! any toolchain and without a fuzzer. And that the corpus is small, and reaches what it is kept for.

#[allow(dead_code, unreachable_pub, reason = "it is the library of another package")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use heaplaw_conformance::generate::{
    choices::{Recorder, Seed},
    scenario::Scenario,
};
use heaplaw_optimized::Config;
use heaplaw_reference::{
    heap::{Heap, Reply},
    machine::Machine,
    op::{Op, Program},
    protocol::Protocol,
};
use std::{fs, path::Path, thread, time::Duration};
use targets::{
    arithmetic::arithmetic, complaint, decoded, drawn, kind::Kind, programs, protocol::protocol, quiet::Quiet, steps,
    text,
};

/// The most files of a target, and the most bytes of all of them.
const MOST: (usize, u64) = (300, 1 << 20);

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
fn no_law_is_broken_and_nothing_false_believed_under_any_schedule_of_the_corpus() {
    assert!(replay("steps", steps::steps) >= 40);
}

#[test]
fn every_text_of_the_corpus_is_read_or_refused() {
    assert!(replay("text", text) >= 40);
}

#[test]
fn everything_that_adapters_say_in_the_corpus_is_understood_or_told() {
    assert!(replay("protocol", protocol) >= 40);
}

#[test]
fn the_numbers_of_the_corpus_come_to_the_same_on_the_fast_heap_and_in_the_reference() {
    assert!(replay("arithmetic", arithmetic) >= 40);
}

#[test]
fn the_corpus_is_small() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut bytes = 0;
    for target in ["arithmetic", "programs", "protocol", "steps", "text"] {
        let files = fs::read_dir(corpus.join(target)).expect("a target").map(|file| file.expect("a file"));
        // What a fuzzer has found here and nobody has kept is not counted.
        let name = |file: &fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        let kept = |file: &fs::DirEntry| ["seed-", "kept-"].iter().any(|start| name(file).starts_with(start));
        let kept: Vec<_> = files.filter(kept).collect();
        assert!(kept.len() <= MOST.0, "{target} has {} files", kept.len());
        bytes += kept.iter().map(|file| file.metadata().expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= MOST.1, "{bytes} bytes");
}

#[test]
fn no_time_marks_in_a_heap_that_is_stepped() {
    let mut heap = Quiet::of(Config { reservation: 16 << 20, ..Config::DEFAULT }, 0).expect("a small heap");
    let mut told = |line: &str| heap.perform(&line.parse().expect("an operation"), &mut Vec::new());
    assert_eq!([told("0 join"), told("gc start")], [Reply::Done, Reply::Done]);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(told("env clock 1"), Reply::Done);
    assert_eq!(told("gc handshake 0"), Reply::Done, "the stack is still to be scanned");
}

#[test]
fn a_step_less_is_no_difference_and_an_object_that_is_gone_is_one() {
    let (plain, quiet) = (Kind::of(&[0]), Kind::of(&[8]));
    let parsed = |text: &str| text.parse::<Program>().expect("a program");
    // Nothing has to be scanned of an object without pointers: the heap can end marking, the reference cannot yet.
    let dead = "0 alloc r0 1\n0 weak w0 r0\n0 alloc r0 0\ngc start\ngc handshake 0\ngc mark 1\ngc finish\n";
    for kind in [plain, quiet] {
        assert_eq!(kind.believed(&parsed(&format!("{dead}0 strong r0 w0\n")), 1), None);
    }
    let alive = parsed("0 alloc r0 1\n0 weak w0 r0\ngc start\ngc handshake 0\ngc mark 9\ngc finish\n0 strong r0 w0\n");
    let mut machine = Machine::new(Protocol::HYBRID);
    let mut answered: Vec<_> = alive.ops().iter().map(|op| (*op, machine.perform(op, &mut Vec::new()))).collect();
    let differs = |kind: Kind, answered: &[(Op, Reply)]| kind.differs(answered.iter().map(|(op, reply)| (*op, reply)));
    assert_eq!([plain, quiet].map(|kind| differs(kind, &answered)), [None, None]);
    answered.last_mut().expect("an answer").1 = Reply::Nil;
    for kind in [plain, quiet] {
        let told = differs(kind, &answered).expect("it is alive");
        assert!(told.contains("# nil") && told.contains("# ref"), "{told}");
    }
}

#[test]
fn which_finalizer_comes_first_is_no_difference_and_one_that_is_not_due_is_one() {
    let plain = Kind::of(&[0]);
    // The reference takes the address again that is free, and the heap the next one.
    let text = "0 alloc r0 0\n0 alloc r0 1\ngc full\n0 alloc r1 1\n0 alloc r2 1\n0 finalizer r0\n0 finalizer r1\n\
                0 finalizer r2\n0 clear r0\n0 clear r1\ngc full\n0 finalize r3\n0 finalize r4\n";
    let program: Program = text.parse().expect("a program");
    assert_eq!(plain.believed(&program, 1), None);
    let mut machine = Machine::new(Protocol::HYBRID);
    let theirs: Vec<_> = program.ops().iter().map(|op| (*op, machine.perform(op, &mut Vec::new()))).collect();
    let differs = |first: &Reply| {
        let mut answered = theirs.clone();
        answered[11].1 = first.clone();
        plain.differs(answered.iter().map(|(op, reply)| (*op, reply)))
    };
    let object = |of: usize| match theirs[of].1 {
        Reply::Born { at, .. } => Reply::Object(at),
        _ => panic!("{:?}", theirs[of]),
    };
    assert_ne!(theirs[11].1, object(1));
    assert_eq!([object(1), object(3)].map(|due| differs(&due)), [None, None]);
    assert!(differs(&object(4)).is_some() && differs(&Reply::Nil).is_some(), "one is alive, and two are due");
}

/// What a heap with company answers to some hundred steps of cycles; `seed` is the company's. Where the kernel puts a heap
/// depends on what else the process has mapped: addresses are told from the first object on.
fn answered_in_company(seed: u8) -> Vec<Reply> {
    let mut heap = Quiet::of(Config { reservation: 16 << 20, ..Config::DEFAULT }, seed).expect("a small heap");
    let story = "0 alloc r0 1\n0 store g0 r0\ngc start\ngc stats\ngc handshake 0\n0 alloc r1 2\n0 store r1.0 r0\n\
                 gc mark 9\ngc finish\ngc stats\n0 alloc r2 3 24\ngc sweep 9\ngc stats\n";
    let story: Program = story.parse().expect("a story");
    let mut first = None;
    let mut told = |mut reply: Reply| {
        if let Reply::Born { at, .. } | Reply::Object(at) = &mut reply {
            at.0 = at.0.wrapping_sub(*first.get_or_insert(at.0));
        }
        reply
    };
    (0..20).flat_map(|_| story.ops()).map(|op| told(heap.perform(op, &mut Vec::new()))).collect()
}

/// How many objects there are at most.
fn most(replies: &[Reply]) -> u64 {
    let objects = |reply: &Reply| if let Reply::Stats { objects, .. } = reply { *objects } else { 0 };
    replies.iter().map(objects).max().unwrap_or(0)
}

#[test]
fn the_company_takes_its_turns_and_takes_the_same_again() {
    let alone = answered_in_company(0);
    let mut before = alone.clone();
    for seed in 1..20 {
        let answers = answered_in_company(seed);
        assert!(most(&answers) > most(&alone), "company {seed} has done nothing");
        assert_ne!(answers, before, "company {seed} does what the one before it does");
        let differ = answers.iter().zip(answered_in_company(seed)).position(|(first, again)| *first != again);
        assert_eq!(differ, None, "company {seed} is not the same again from that operation on");
        before = answers;
    }
}

#[test]
fn an_operation_that_comes_from_a_record_goes_back_into_one() {
    let records = [[0, 1, 0, 3], [37, 0, 0, 0], [240, 2, 0, 3], [254, 0, 255, 10], [236, 0, 0, 15]];
    for record in records {
        let program = steps::decoded(&[[0; steps::RECORD], record].concat());
        let again = steps::encoded(&program.ops()[0]).expect("it comes from a record");
        assert_eq!(steps::decoded(&[[0; steps::RECORD], again].concat()), program);
    }
    let strange: Program = "3 alloc r9 7 7\n".parse().expect("an operation");
    assert_eq!(steps::encoded(&strange.ops()[0]), None);
}

#[test]
fn the_mutator_of_operations_edits_whole_operations_within_its_bounds() {
    let mut bytes: Vec<u8> = (0..64).collect();
    let (before, mut grown, mut shrunk, mut same) = (bytes.clone(), 0, 0, 0);
    for seed in 0..2_000 {
        bytes.copy_from_slice(&before);
        let size = steps::mutate(&mut bytes, 40, seed);
        assert!(size.is_multiple_of(steps::RECORD) && size <= bytes.len(), "{size} bytes");
        match size.cmp(&40) {
            std::cmp::Ordering::Greater => grown += 1,
            std::cmp::Ordering::Less => shrunk += 1,
            std::cmp::Ordering::Equal => same += 1,
        }
    }
    assert!(grown > 100 && shrunk > 100 && same > 100, "{grown} {shrunk} {same}");
    assert_eq!(steps::mutate(&mut [], 0, 7), 0, "there is no room");
}

#[test]
fn recorded_decisions_decode_to_the_same_program() {
    for case in 0..1_000 {
        let mut recorder = Recorder::new(Seed::case(1, case));
        let program = Scenario::default().draw(&mut recorder);
        assert_eq!(drawn(&recorder.into_bytes()), program, "case {case}");
    }
}

/// The seeds of a target, as programs.
fn seeds(target: &str, decoded: fn(&[u8]) -> Program) -> Vec<Program> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let seeds = (0..40).map(|number| folder.join(format!("seed-{number:03}")));
    seeds.map(|seed| decoded(&fs::read(seed).expect("a seed"))).collect()
}

#[test]
fn heaps_that_lose_objects_are_found_out_by_the_corpus() {
    let (programs, schedules) = (seeds("programs", decoded), seeds("steps", steps::decoded));
    for seeds in [programs, schedules] {
        found_out_by(&seeds);
    }
}

fn found_out_by(seeds: &[Program]) {
    for protocol in Protocol::ALL.into_iter().filter(|protocol| !protocol.sound) {
        let found_out = seeds.iter().any(|program| complaint(|| Machine::new(protocol), program).is_some());
        // Bytes mean what the generator makes of them.
        assert!(found_out, "{}: if the generator has changed, draw the seeds anew, see fuzz/README.md", protocol.name);
    }
}
