//! Allocators are judged as the README says: those that come with the command, as adapter processes too, and any library
//! that provides the C `malloc` family.
//!
//! These tests need a C compiler, and fail without one.
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

const HEAPLAW: &str = env!("CARGO_BIN_EXE_heaplaw");
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/allocators/shim.c");

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("allocators-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    /// Runs the command in this directory; what it prints, once it has exited as expected.
    #[track_caller]
    fn heaplaw(&self, exit: i32, arguments: &[&str]) -> String {
        self.exits(exit, Command::new(HEAPLAW).args(arguments))
    }

    #[track_caller]
    fn exits(&self, exit: i32, command: &mut Command) -> String {
        let arguments = format!("{command:?}");
        let output = command.current_dir(&self.0).output().expect("the command starts");
        let Output { status, stdout, stderr } = output;
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(exit), "{arguments}\n{text}");
        text
    }

    /// The shim with a fault, as a library.
    fn shim(&self, fault: &str) -> String {
        let library = self.0.join(format!("lib{fault}.so"));
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-fno-builtin", "-shared", "-fPIC", "-fvisibility=hidden", &format!("-D{fault}"), "-o"]);
        let status = compiler.arg(&library).arg(SHIM).status().expect("a C compiler on the PATH");
        assert!(status.success(), "{fault}");
        library.to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the build directory and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run of `check` found: its table, and the counterexample without the ways to see it again.
fn findings(text: &str) -> Vec<&str> {
    let told = |line: &&str| {
        let start = line.trim_start();
        let place = ["heaplaw ", "replay ", "by hand ", "wrote ", "keep "].iter().any(|word| start.starts_with(word));
        let timed = line.contains(" s: ") || line.contains(" s (");
        !place && !timed
    };
    text.lines().filter(told).collect()
}

#[test]
fn a_served_heap_gets_the_verdict_that_it_gets_in_process() {
    let heaps = [
        ("optimized", 0),
        ("reference:hybrid", 0),
        ("reference:go", 0),
        ("reference:best-fit-tight", 0),
        ("reference:no-barrier", 1),
        ("faulty:keeps-what-is-given-back", 1),
        ("faulty:frees-twice", 1),
        ("faulty:panics", 5),
    ];
    for (heap, exit) in heaps {
        let (here, there) = (Scratch::new(), Scratch::new());
        let check = ["check", "--seed", "1", "--cases", "400"];
        let inside = here.heaplaw(exit, &[&check, &["--heap", heap][..]].concat());
        let outside = there.heaplaw(exit, &[&check, &["--", HEAPLAW, "serve", heap][..]].concat());
        if exit == 5 {
            assert!(outside.contains("this heap panics on purpose"), "its last words are told\n{outside}");
        } else {
            assert_eq!(findings(&inside), findings(&outside), "{heap}");
        }
    }
}

#[test]
fn serving_says_what_is_wrong_with_its_input() {
    let scratch = Scratch::new();
    assert!(
        scratch.heaplaw(2, &["serve", "nobody"]).contains("there is no heap \"nobody\"; `heaplaw heaps` lists them")
    );
    fs::write(scratch.0.join("x.heap"), "# a story\n0 alloc r0 1\n0 frobnicate r0\n").expect("a file");
    let input = fs::File::open(scratch.0.join("x.heap")).expect("the file");
    let output = Command::new(HEAPLAW).args(["serve", "reference:go"]).stdin(input).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.starts_with("heaplaw: line 3, column 3 of standard input: expected "), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("at "), "what came before is answered");
}

/// Where the C library lies that this process uses.
fn libc() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("a list of mappings");
    let path = |line: &str| line.split_whitespace().nth(5).map(str::to_owned);
    let is_libc = |path: &String| path.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so"));
    maps.lines().filter_map(path).find(is_libc).expect("the C library")
}

#[test]
fn the_systems_allocator_and_a_simple_one_conform() {
    let scratch = Scratch::new();
    for library in [libc(), scratch.shim("RIGHT")] {
        let text = scratch.heaplaw(0, &["check", "--allocator", &library, "--cases", "2000", "--seed", "1"]);
        let name = library.rsplit('/').next().expect("a name");
        assert!(text.starts_with("heaplaw ") && text.contains(&format!(" malloc-of-{name} ")), "{text}");
        assert!(text.contains(": conforms to ") && !text.contains("never checked"), "{text}");
    }
}

#[test]
fn a_wrong_allocator_is_rejected_for_what_is_wrong_with_it() {
    let wrong = [
        ("OVERLAPS", "law 1  no overlap", "was given"),
        ("MISALIGNS", "law 4  alignment", "not on a multiple of"),
        ("IGNORES_ALIGNMENT", "law 4  alignment", "not on a multiple of"),
        ("SCRIBBLES", "law 6  content stability", "torn at byte"),
        ("DIRTY", "law 5  zeroed", "the memory of new"),
        ("SHORT", "law 3  big enough", "and was given"),
    ];
    for (fault, law, why) in wrong {
        let scratch = Scratch::new();
        let library = scratch.shim(fault);
        let text = scratch.heaplaw(1, &["check", "--allocator", &library, "--cases", "2000", "--seed", "1"]);
        assert!(text.contains(law) && text.contains(why), "{fault}\n{text}");
        let replay = text.lines().find_map(|line| line.trim_start().strip_prefix("replay heaplaw ")).expect("a line");
        let (line, often) = replay.split_once('#').expect("how often it fails");
        assert!(line.contains(" --allocator ") && often.contains("fails 20 of 20 times"), "{replay}");
        scratch.heaplaw(1, &line.split_whitespace().collect::<Vec<_>>());
    }
}

#[test]
fn every_refusal_is_survived_by_the_systems_allocator() {
    for library in [libc(), Scratch::new().shim("RIGHT")] {
        let scratch = Scratch::new();
        let library = if library.contains("RIGHT") { scratch.shim("RIGHT") } else { library };
        let check = ["check", "--allocator", &library, "--faults", "--cases", "60", "--seed", "1"];
        let text = scratch.heaplaw(0, &check);
        assert!(text.contains(" felt, ") && text.contains(": conforms to "), "{text}");
    }
}

#[test]
fn the_command_says_the_same_in_memory_of_the_bundled_heap() {
    for (heap, exit) in [("optimized", 0), ("reference:go", 0), ("faulty:frees-twice", 1)] {
        let (here, there) = (Scratch::new(), Scratch::new());
        let check = ["check", "--seed", "1", "--cases", "400", "--heap", heap];
        let system = here.heaplaw(exit, &check);
        let own = there.exits(exit, Command::new(HEAPLAW).args(check).env("HEAPLAW_ALLOCATOR", "whichever"));
        assert_eq!(findings(&system), findings(&own), "{heap}");
    }
}

#[test]
fn an_allocator_that_gives_up_when_it_is_refused_memory_is_found() {
    let scratch = Scratch::new();
    let faults = |library: &str| -> [String; 6] {
        ["check", "--allocator", library, "--faults", "--cases", "500"].map(str::to_owned)
    };
    let check = |exit: i32, fault: &str| {
        let arguments = faults(&scratch.shim(fault));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--seed", "1"]).collect();
        scratch.heaplaw(exit, &arguments)
    };
    let text = check(1, "SULKS");
    assert!(["law 9 ", "law 21 ", "law 41 "].iter().any(|law| text.contains(law)), "{text}");
    let text = check(5, "ABORTS");
    assert!(text.contains("the subject crashed: signal: 6 (SIGABRT)") && text.contains("env fail"), "{text}");
}

#[test]
fn an_allocator_is_judged_under_threads() {
    let scratch = Scratch::new();
    let check = |exit: i32, library: &str, cases: &str| {
        let threads = ["check", "--allocator", library, "--mutators", "3", "--seed", "1", "--cases", cases];
        scratch.heaplaw(exit, &threads)
    };
    for library in [libc(), scratch.shim("RIGHT")] {
        let text = check(0, &library, "20");
        let name = library.rsplit('/').next().expect("a name");
        assert!(text.contains(&format!("malloc-of-{name}   3 threads")), "{text}");
        assert!(text.contains("20 programs, ") && text.contains("no law is broken in "), "{text}");
    }
    let text = check(1, &scratch.shim("SHORT"), "20");
    let program = |start: &str| text.split(start).nth(1).and_then(|rest| rest.split([' ', ':']).next());
    assert_eq!(program("broken by program "), program(" --cases "), "no more are run again than it took\n{text}");
    assert!(text.contains("law 3 big enough: broken by program ") && text.contains("times when"), "{text}");
    let again = text.lines().find_map(|line| line.strip_prefix("  again  heaplaw ")).expect("a line");
    assert!(again.contains(" --allocator ") && again.contains(" --mutators 3 "), "{again}");
    scratch.heaplaw(1, &again.split_whitespace().collect::<Vec<_>>());
    let text = check(5, &scratch.shim("CRASHES"), "2000");
    assert!(text.contains("the subject crashed: signal: 11 (SIGSEGV)") && text.contains("in program "), "{text}");
    fs::write(scratch.0.join("text.so"), "not a library").expect("a file");
    assert!(check(5, "text.so", "20").contains("text.so was not taken: malloc comes from libc"));
}

#[test]
fn only_allocators_have_threads_that_hand_blocks_around() {
    let scratch = Scratch::new();
    let refused = |arguments: &[&str], why: &str| {
        let text = scratch.heaplaw(2, &[&["check", "--mutators"], arguments].concat());
        assert!(text.contains(why), "{text}");
    };
    refused(&["0", "--heap", "malloc"], "0 is not in 1..=16");
    refused(&["17", "--heap", "malloc"], "17 is not in 1..=16");
    refused(&["2", "--heap", "malloc", "--laws", "1"], "--laws is not there for the threads of an allocator");
    refused(&["2", "--heap", "reference:best-fit"], "threads cannot share the heap reference:best-fit");
    refused(&["2", "--", "python3"], "threads are for heaps that are linked into the command");
    for heap in ["system", "optimized:global", "optimized:global-hardened"] {
        let text = scratch.heaplaw(0, &["check", "--mutators", "3", "--heap", heap, "--cases", "20", "--seed", "1"]);
        assert!(text.contains("no law is broken in "), "{text}");
        let acts = text.split("20 programs, ").nth(1).and_then(|rest| rest.split_once(" acts in ")).expect("acts").0;
        // 600 of each thread, of which some come to nothing.
        let acts: u32 = acts.replace(',', "").parse().expect("a number");
        assert!((20_000..45_000).contains(&acts), "{acts}");
    }
    let endless = ["check", "--mutators", "2", "--heap", "system", "--cases", "1000000000", "--time", "1s"];
    let text = scratch.heaplaw(0, &endless);
    assert!(text.contains("no law is broken in "), "{text}");
}

#[test]
fn an_allocator_that_does_not_wait_for_its_threads_is_caught() {
    let scratch = Scratch::new();
    let library = scratch.shim("RACES");
    let caught = (1..=20).find_map(|seed: u32| {
        let mut check = Command::new(HEAPLAW);
        check.args([
            "check",
            "--allocator",
            &library,
            "--mutators",
            "4",
            "--seed",
            &seed.to_string(),
            "--cases",
            "200",
        ]);
        let output = check.current_dir(&scratch.0).output().expect("the command starts");
        output.status.code().filter(|code| *code != 0)
    });
    // What a race does to it, a law shows or a crash.
    assert!(matches!(caught, Some(1 | 5 | 6)), "{caught:?}");
}

#[test]
fn an_allocator_that_is_found_wrong_and_hangs_when_it_is_tried_again_is_left() {
    let scratch = Scratch::new();
    let library = scratch.shim("LINGERS");
    let check = ["check", "--allocator", &library, "--mutators", "3", "--timeout", "1s", "--seed", "1"];
    let text = scratch.heaplaw(1, &check);
    assert!(
        text.contains("broken by program 1 ")
            && text.contains("the subject hung: no answer within 1000 ms in program 1"),
        "{text}"
    );
}

#[test]
fn an_allocator_that_crashes_takes_nobody_with_it() {
    let scratch = Scratch::new();
    let library = scratch.shim("CRASHES");
    let text = scratch.heaplaw(5, &["check", "--allocator", &library, "--cases", "2000", "--seed", "1"]);
    assert!(text.contains("the subject crashed: signal: 11 (SIGSEGV)"), "{text}");
    assert_eq!(fs::read_dir(scratch.0.join("failures")).expect("saved failures").count(), 1);
}

#[test]
fn a_library_that_was_not_taken_is_not_judged() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("text.so"), "not a library").expect("a file");
    let text = scratch.heaplaw(5, &["check", "--allocator", "text.so"]);
    assert!(text.contains("text.so was not taken: malloc comes from libc"), "{text}");
    let text = scratch.heaplaw(2, &["check", "--allocator", "none.so"]);
    assert!(text.contains("none.so: there is no such library"), "{text}");
    fs::write(scratch.0.join("a b.so"), "").expect("a file");
    let text = scratch.heaplaw(2, &["check", "--allocator", "a b.so"]);
    assert!(text.contains("a path with a blank or a colon"), "{text}");
    let text = scratch.heaplaw(2, &["check", "--allocator", "text.so", "--heap", "optimized"]);
    assert!(text.contains("name an allocator, a heap or a command, and only one"), "{text}");
}
