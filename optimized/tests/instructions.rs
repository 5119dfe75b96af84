//! How many instructions the paths of the malloc face take, and how many of those lock the bus, by valgrind's count on
//! a release build: figures that are the same on a busy machine and an idle one.
//!
//! `examples/paths.rs` walks each path; only what is inside of its `counted_` functions is counted. Where there is no
//! valgrind, nothing is checked, and a line says so.

use std::{path::Path, process::Command, thread};

/// Calls of a path, a multiple of what the example does at a time.
const CALLS: u64 = 10_000;

/// What a call may take, on average.
struct Budget {
    path: &'static str,
    instructions: u64,
    /// Instructions that lock the bus, of which no path has one that needs neither a span nor another thread's.
    locked: u64,
}

#[rustfmt::skip]
const BUDGETS: [Budget; 7] = [
    Budget { path: "allocate",     instructions: 20,  locked: 0 },
    Budget { path: "free",         instructions: 20,  locked: 0 },
    Budget { path: "refill",       instructions: 55,  locked: 1 },
    Budget { path: "spill",        instructions: 24,  locked: 1 },
    Budget { path: "resize",       instructions: 36,  locked: 0 },
    Budget { path: "resize-pages", instructions: 150, locked: 0 },
    Budget { path: "pages",        instructions: 320, locked: 0 },
];

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    instructions: u64,
    locked: u64,
}

/// What valgrind's last lines say.
fn counted(report: &str) -> Option<Counted> {
    let after = |name| report.lines().find_map(|line| line.split_once(name)).map(|(_, words)| words.split_whitespace());
    let mut numbers = after("Collected :")?.map(str::parse);
    // Zeros at the end are left out, so ask whether they were counted.
    let counts_both = after("Events    :")?.eq(["Ir", "Ge"]);
    let instructions = numbers.next()?.ok()?;
    counts_both.then_some(Counted { instructions, locked: numbers.next().map_or(Some(0), Result::ok)? })
}

/// What is wrong with so many calls of a path.
fn complaint(budget: &Budget, counted: Counted) -> Option<String> {
    let Counted { instructions, locked } = counted;
    // A call and a return, at least: else the functions were not found.
    let nothing = instructions < 2 * CALLS;
    let (most, most_locked) = (budget.instructions * CALLS, budget.locked * CALLS);
    (nothing || instructions > most || locked > most_locked).then(|| {
        format!(
            "{}: {:.1} instructions of {}, {:.2} of them locked of {}",
            budget.path,
            instructions as f64 / CALLS as f64,
            budget.instructions,
            locked as f64 / CALLS as f64,
            budget.locked
        )
    })
}

/// Builds the example as users build, beside what is built already.
fn build() -> std::path::PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--example", "paths", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .expect("cargo");
    assert!(built.success());
    target.join("release/examples/paths")
}

fn count(example: &Path, path: &str) -> Counted {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-bus=yes"])
        .arg("--toggle-collect=*counted_*")
        .arg(example)
        .args([path, &CALLS.to_string()])
        .output()
        .expect("valgrind");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path}: {report}");
    counted(&report).unwrap_or_else(|| panic!("{path}: {report}"))
}

#[test]
fn no_path_takes_more_than_its_budget() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("not checked: the budgets are for Linux on x86-64");
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("not checked: there is no valgrind to count instructions with");
        return;
    }
    let example = build();
    let complaints: Vec<String> = thread::scope(|scope| {
        let halves = BUDGETS.chunks(BUDGETS.len().div_ceil(2)).map(|budgets| {
            let example = &example;
            scope.spawn(move || -> Vec<_> {
                budgets.iter().filter_map(|budget| complaint(budget, count(example, budget.path))).collect()
            })
        });
        let halves: Vec<_> = halves.collect();
        halves.into_iter().flat_map(|half| half.join().expect("it counts")).collect()
    });
    assert!(complaints.is_empty(), "over budget:\n  {}", complaints.join("\n  "));
}

#[test]
fn a_path_that_takes_more_or_is_not_counted_is_complained_of() {
    let budget = Budget { path: "some", instructions: 20, locked: 0 };
    let complains = |instructions, locked| complaint(&budget, Counted { instructions, locked }).is_some();
    assert!(!complains(20 * CALLS, 0));
    assert!(complains(20 * CALLS + 1, 0) && complains(20 * CALLS, 1) && complains(0, 0));
    let report = "==1== Events    : Ir Ge\n==1== Collected : 160000 3\n==1== \n";
    assert_eq!(counted(report), Some(Counted { instructions: 160_000, locked: 3 }));
    assert_eq!(counted(&report.replace(" 3\n", "\n")), Some(Counted { instructions: 160_000, locked: 0 }));
    assert_eq!((counted(&report.replace(" Ge", "")), counted("")), (None, None));
}
