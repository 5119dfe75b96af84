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
use heaplaw_fuzz::{complaint, kind::Kind, protocol::UNASKED, steps};
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

/// Stories for the smallest steps, and the designs that they are for: what chance is long to come upon.
const STORIES: [(&[u8], &str); 6] = [
    // What a scanned stack got hold of is nowhere else: an insertion barrier's collector scans it again, and marks on.
    (
        &[5, 16],
        "0 alloc r0 2\n0 alloc r1 1\n0 alloc r2 1\n0 store r1.0 r2\n0 clear r2\n0 store r0.0 r1\n0 clear r1\n\
         gc start\ngc handshake 0\n0 load r1 r0.0\n0 store r0.0 nil\ngc mark 1\ngc mark 1\ngc mark 1\n\
         gc finish\ngc finish\ngc sweep 1\ngc sweep 1\ngc sweep 1\n0 load r2 r1.0\n",
    ),
    // A weak pointer is asked between the death of its object and the sweep.
    (
        &[0, 8, 9, 11],
        "0 alloc r0 1\n0 weak w0 r0\n0 alloc r1 1\n0 weak w1 r1\n0 clear r0\ngc start\ngc handshake 0\n\
         gc mark 1\ngc mark 1\ngc mark 1\ngc finish\n0 strong r2 w0\n0 strong r3 w1\ngc sweep 1\n\
         0 strong r2 w0\n0 strong r3 w1\ngc sweep 1\n0 strong r2 w0\ngc full\n0 strong r3 w1\n",
    ),
    // Blocks of tiny objects that fit no more, and of which the old one has more room left.
    (
        &[3, 11],
        "0 alloc r0 0 8\n0 alloc r1 0 6\n0 alloc r2 0 8\n0 alloc r3 0 13\n0 alloc r0 0 1\n0 alloc r1 0 13\n\
         0 alloc r2 0 6\n0 alloc r3 0 13\n0 alloc r0 0 1\n0 read r3\n0 read r2\ngc full\n0 alloc r1 0 0\n\
         0 alloc r1 0 6\ngc start\n0 alloc r0 0 6\n0 alloc r1 0 13\ngc full\n0 read r0\n0 read r1\n",
    ),
    // Little is alive, and still there is no room for one more.
    (
        &[13, 15],
        "0 alloc r0 4 33000\n0 alloc r1 4 33000\n0 alloc r2 4 33000\n0 clear r1\n0 alloc r3 1 32760\n\
         0 alloc r1 4 33000\n0 alloc r2 4 33000\n0 clear r0\n0 clear r1\n0 alloc r2 4 33000\ngc full\n",
    ),
    // Roots that are told apart, pointers and data of one object that no window is for, and steps at odd moments.
    (
        &[8, 12, 14, 17, 18, 19],
        "0 alloc r0 100 1000\n0 alloc r1 1\n0 store r0.3 r1\n0 read r0\n0 safepoint\ngc pace\ngc start\n\
         gc pace\n0 read r1\n0 alloc r2 100 1000\ngc stats\ngc finish\ngc full\ngc pace\nenv clock 261120\n\
         1 join\n1 alloc r0 3 24\n0 safepoint\ngc full\n1 exit\n",
    ),
    // Two mutators that allocate when cycles are due.
    (
        &[12, 14, 15, 17, 18],
        "1 join\n0 alloc r0 4 33000\n1 alloc r0 4 33000\n0 alloc r1 0 5000\n1 alloc r1 0 5000\n\
         0 alloc r0 1 32760\n1 alloc r0 1 32760\n0 alloc r2 0 5000\n1 alloc r2 0 5000\n0 alloc r0 4 33000\n\
         1 alloc r0 4 33000\n1 alloc r1 1 32760\n0 alloc r1 1 32760\ngc stats\n1 exit\n",
    ),
];

/// Takes memory, gives it back, and takes it again.
const REFUSED: &str = "0 alloc r0 4 33000\n0 alloc r1 4 33000\n0 clear r0\ngc full\nenv limit 32768\n0 clear r1\n\
                       gc full\nenv limit off\n0 alloc r0 4 33000\n0 alloc r2 0 5000\n";

/// A weak pointer is asked for what is dead by somebody who was not told yet that marking is over: by company that takes
/// this turn, found by trying all.
const LATE: ([u8; Kind::BYTES], &str) = (
    [8, 0, 0, 19],
    "0 alloc r0 1\n0 weak w0 r0\n0 weak w1 r0\n0 weak w2 r0\n0 weak w3 r0\n0 clear r0\ngc start\ngc handshake 0\n\
     gc mark 1\ngc mark 1\ngc mark 1\ngc finish\ngc sweep 1\ngc sweep 1\n",
);

/// A story as records.
fn records(story: &str) -> Vec<[u8; steps::RECORD]> {
    let story: Program = story.parse().expect("a story");
    let record = |op| steps::encoded(op).unwrap_or_else(|| panic!("no record means {op}"));
    story.ops().iter().map(record).collect()
}

/// Programs with more objects than a marker's queue holds, or spans than one allocation sweeps; and the designs that they
/// are for.
fn wide() -> Vec<(&'static [u8], Vec<[u8; steps::RECORD]>)> {
    // Of root 0 by way of root 1: a hundred objects with a pointer each, or with four pages.
    let (fan, large) = ([228, 0, 1 << 2 | 1, 99], [228, 0, 10 << 2 | 1, 99]);
    let code = |line: &str| records(line)[0];
    let [full, start, handshake, mark, finish] =
        ["gc full", "gc start", "gc handshake 0", "gc mark 1", "gc finish"].map(code);
    let [attach, clear, fetch, small, pace] =
        ["0 finalizer r0", "0 clear r0", "0 finalize r0", "0 alloc r1 3 24", "gc pace"].map(code);
    // A hundred fields of root 0 at once.
    let wipe = [236, 0, 0, 99];
    let comb = [fan; 5].to_vec();
    let all: &[u8] = &[8, 12, 14, 16, 18];
    let paced: &[u8] = &[12, 14];
    let begun = [start, handshake];
    vec![
        (all, [&comb[..], &[pace, full, pace, attach, clear, full, fetch, full]].concat()),
        (paced, [&comb[..], &begun, &[wipe], &comb[..1], &[wipe, fan, wipe, fan, wipe, full]].concat()),
        (&[8, 19], [&[large; 2][..], &begun, &[mark; 220], &[finish, small, small, clear, full]].concat()),
    ]
}

fn main() -> io::Result<()> {
    let unsound = || Protocol::ALL.into_iter().filter(|protocol| !protocol.sound);
    let telling = unsound().flat_map(|protocol| {
        let found_out = move |program: &Program| complaint(|| Machine::new(protocol), program).is_some();
        (0..).map(drawn).filter(move |(_, program)| found_out(program)).take(TELLING)
    });
    let long = (0..).map(drawn).filter(|(_, program)| program.len() > LONG).take(PROGRAMS / 3);
    let seeds: Vec<_> = telling.chain(long).chain((0..).map(drawn)).take(PROGRAMS).collect();
    for (number, (bytes, program)) in seeds.into_iter().enumerate() {
        write("programs", number, &[&kind(number), &bytes[..]].concat())?;
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
        bytes[..Kind::BYTES].copy_from_slice(&kind(number));
        write("steps", number, &bytes)?;
    }
    let told = STORIES.map(|(designs, story)| (designs, records(story)));
    let told = told.into_iter().chain(wide());
    let told = told.flat_map(|(designs, records)| designs.iter().map(move |design| (*design, records.clone())));
    // Each alone, and with company.
    let told =
        told.flat_map(|(design, records)| [0, 1 + design].map(|company| ([design, 0, 0, company], records.clone())));
    // The kernel refuses one story from each of its calls on.
    let refused = (0..12).flat_map(|granted| [12, 19].map(|design| ([design, granted, 99, 0], records(REFUSED))));
    let late = [(LATE.0, records(LATE.1))];
    for (number, (kind, records)) in (SCHEDULES..).zip(told.chain(refused).chain(late)) {
        write("steps", number, &[&kind, records.as_flattened()].concat())?;
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

/// Each design in its turn; in every fourth round with a kernel that refuses calls, and in every third with company.
fn kind(number: usize) -> [u8; Kind::BYTES] {
    let (design, round) = (number % 20, number / 20);
    let (granted, refused) =
        if round % 4 == 3 { (number * 7 % 20 * (number * 7 % 20) / 4, 1 + number % 3) } else { (0, 0) };
    let company = if round % 3 == 1 { 1 + number } else { 0 };
    [design, granted, refused, company].map(|part| part as u8)
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
