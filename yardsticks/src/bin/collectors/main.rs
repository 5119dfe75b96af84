//! The collected heap beside what a user would pick instead: the same programs on the optimized heap, by address and with
//! types, in Go, with `Box` on mimalloc, on gc-arena and on dumpster.
//!
//! * *trees*: the binary trees of the Computer Language Benchmarks Game, depth 20, one mutator.
//! * *gcbench*: Ellis, Kovac and Boehm's, three times: trees of all sizes beside long-lived ones.
//! * *drop*: 30 million blocks of 64 bytes beside 64 MiB of live ones; each lives until 1,000 more were allocated.
//! * *queens*: all ways for 11 queens, 50 times, as a program in Lisp finds them: those that stand are a list on the heap.
//! * *cache*: 10 million times, one of 16,384 keys is asked for, small ones more often. A map leads from keys to blocks of 64
//!   bytes by weak pointers; the last 8,192 that were asked for are held. What is not found is made anew.
//! * *mark*: one collection of 1 GiB of blocks of 64 bytes that are linked at random.
//! * *store*: 400 million pointers stored into 1,024 objects, while nothing is collected.
//! * *barrier*: 100 million, while objects are marked.
//!
//! Each figure comes from a process of its own, so that its largest resident size is its own. The peers take turns, round
//! by round. Of five rounds a cell shows the median of the seconds that passed, and the ratio of ours to it: below 1, ours
//! is faster. Beneath are the extremes of the rounds, and the largest resident size in MiB.
//!
//! Go is looked for on the path, and by the variable `GO`; a peer that is not there is left out, and said so.
//!
//! ```text
//! cargo collectors [WORKLOAD...]        the table, of these workloads or of all
//! cargo collectors one PEER WORKLOAD    a single process
//! cargo collectors pauses               how long mutators wait for the collector, ours and Go's
//! ```

mod arena;
mod boxed;
mod counted;
mod ours;
mod pauses;
mod typed;

use heaplaw_yardsticks::meter;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// What the peers that need an allocator stand on. Ours takes its memory from the kernel.
#[global_allocator]
static MIMALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const WORKLOADS: [&str; 8] = ["trees", "gcbench", "drop", "queens", "cache", "mark", "store", "barrier"];
const PEERS: [&str; 6] = ["heaplaw", "typed", "go", "box", "gc-arena", "dumpster"];

/// *queens*: of a board, in how many ways they can stand, and how often they are counted.
pub(crate) const QUEENS: usize = 11;
pub(crate) const WAYS: usize = 2680;
pub(crate) const BOARDS: usize = 50;

/// Whether a queen can stand in a column beside those in a list, the nearest first; `look` gives one's column, and the next.
pub(crate) fn is_safe<Q>(column: usize, mut queen: Option<Q>, look: impl Fn(Q) -> (usize, Option<Q>)) -> bool {
    let mut distance = 1;
    while let Some(at) = queen {
        let (other, next) = look(at);
        if other == column || other.abs_diff(column) == distance {
            return false;
        }
        (queen, distance) = (next, distance + 1);
    }
    true
}

/// *cache*: how many values are held, and how often something is asked for.
pub(crate) const HELD: usize = 8192;
pub(crate) const ASKS: usize = 10_000_000;
/// How often what is held is found. A collector may leave more to be found.
pub(crate) const HITS: usize = 5_556_007;

/// What is asked for, and in which place of the ring it is held then.
pub(crate) fn asked() -> impl Iterator<Item = (usize, usize)> {
    const KEYS: usize = 1 << 14;
    let mut random = Random(1);
    (0..ASKS).map(move |ask| (random.below(KEYS) * random.below(KEYS) / KEYS, ask % HELD))
}

/// # Panics
/// If so many cannot have been found: what is held is, and the first of each key is not.
pub(crate) fn check_hits(hits: usize) {
    assert!((HITS..ASKS).contains(&hits), "{hits} of {HITS}");
}

/// Numbers that are the same in every language.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// The array that lives as long as *gcbench*: half a million numbers.
pub(crate) fn gcbench_array() -> Vec<f64> {
    (0..500_000).map(|index| if index < 250_000 { 1.0 / f64::from(index + 1) } else { 0.0 }).collect()
}

/// Runs a workload in this process; gives how long it took, if the peer has it.
fn run(peer: &str, workload: &str) -> Option<Duration> {
    let start = Instant::now();
    match (peer, workload) {
        ("heaplaw", "trees") => ours::trees(20),
        ("heaplaw", "gcbench") => (0..3).for_each(|_| ours::gcbench()),
        ("heaplaw", "drop") => ours::drop(),
        ("heaplaw", "queens") => ours::queens(),
        ("heaplaw", "cache") => ours::cache(),
        ("heaplaw", "mark") => return Some(ours::mark()),
        ("heaplaw", "store") => ours::store(400_000_000, false),
        ("heaplaw", "barrier") => ours::store(100_000_000, true),
        ("typed", "trees") => typed::trees(20),
        ("typed", "queens") => typed::queens(),
        ("typed", "cache") => typed::cache(),
        ("typed", "drop") => typed::drop_blocks(),
        ("box", "trees") => boxed::trees(20),
        ("box", "gcbench") => (0..3).for_each(|_| boxed::gcbench()),
        ("box", "queens") => boxed::queens(),
        ("box", "cache") => boxed::cache(),
        ("box", "drop") => boxed::drop(),
        ("gc-arena", "trees") => arena::trees(20),
        ("gc-arena", "gcbench") => (0..3).for_each(|_| arena::gcbench()),
        ("gc-arena", "queens") => arena::queens(),
        ("gc-arena", "cache") => arena::cache(),
        ("gc-arena", "drop") => arena::drop(),
        ("dumpster", "trees") => counted::trees(20),
        ("dumpster", "gcbench") => (0..3).for_each(|_| counted::gcbench()),
        ("dumpster", "queens") => counted::queens(),
        ("dumpster", "drop") => counted::drop(),
        _ => return None,
    }
    Some(start.elapsed())
}

/// What a process found.
#[derive(Clone, Copy)]
struct Figure {
    seconds: f64,
    /// MiB, at most.
    resident: f64,
}

impl Figure {
    /// What a process prints: `1.2345 67`.
    fn read(line: &str) -> Option<Figure> {
        let (seconds, resident) = line.trim().split_once(' ')?;
        Some(Figure { seconds: seconds.parse().ok()?, resident: resident.parse().ok()? })
    }
}

/// The program in Go, built.
fn go() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join("main.go");
    let program = env::temp_dir().join("heaplaw-yardsticks-go");
    let compiler = env::var_os("GO").unwrap_or_else(|| "go".into());
    let build = Command::new(compiler).arg("build").arg("-o").arg(&program).arg(source).output();
    match build {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A process that does it; `None` if the peer has no such workload.
fn process(peer: &str, workload: &str, go: &Result<PathBuf, String>) -> Result<Option<Figure>, String> {
    let mut command = match (peer, go) {
        ("go", Ok(program)) => Command::new(program),
        ("go", Err(_)) => return Ok(None),
        _ => {
            let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
            command.args(["one", peer]);
            command
        }
    };
    let output = command.arg(workload).output().map_err(|error| error.to_string())?;
    if output.status.code() == Some(NO_SUCH) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match Figure::read(&text).filter(|_| output.status.success()) {
        Some(figure) => Ok(Some(figure)),
        None => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// The exit code of a process whose peer has no such workload.
const NO_SUCH: i32 = 3;

/// The least, the median and the most.
fn spread(figures: &[Figure], of: fn(&Figure) -> f64) -> [f64; 3] {
    let mut all: Vec<f64> = figures.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    [all[0], all[all.len() / 2], all[all.len() - 1]]
}

fn table(workloads: &[&str]) -> Result<(), String> {
    println!("{}", meter::machine());
    let go = go();
    if let Err(why) = &go {
        println!("go is left out: {why}");
    }
    if workloads.contains(&"cache") {
        println!("dumpster is left out of cache: it has no weak pointers");
    }
    print!("\n{:10}", "seconds");
    PEERS.iter().for_each(|peer| print!("{peer:>18}"));
    println!();
    for workload in workloads {
        let mut figures = vec![Vec::new(); PEERS.len()];
        for _ in 0..ROUNDS {
            for (peer, figures) in PEERS.iter().zip(&mut figures) {
                figures.extend(process(peer, workload, &go).map_err(|why| format!("{peer}: {workload}: {why}"))?);
            }
        }
        let ours = spread(&figures[0], |figure| figure.seconds)[1];
        let line = |name: &str, cell: &dyn Fn(&[Figure]) -> String| {
            print!("{name:10}");
            figures
                .iter()
                .for_each(|found| print!("{:>18}", if found.is_empty() { String::new() } else { cell(found) }));
            println!();
        };
        line(workload, &|found| {
            let median = spread(found, |figure| figure.seconds)[1];
            format!("{median:.3} ({:.2})", ours / median)
        });
        line("", &|found| {
            let [least, _, most] = spread(found, |figure| figure.seconds);
            format!("{least:.3}..{most:.3}")
        });
        line("", &|found| format!("{:.0} MiB", spread(found, |figure| figure.resident)[1]));
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["one", peer, workload] => match run(peer, workload) {
            Some(took) => {
                println!("{:.4} {}", took.as_secs_f64(), meter::resident_peak() >> 20);
                Ok(())
            }
            None => std::process::exit(NO_SUCH),
        },
        ["pauses"] => pauses::table(),
        [] => table(&WORKLOADS),
        ref names => match names.iter().find(|name| !WORKLOADS.contains(name)) {
            Some(unknown) => Err(format!("there is no workload {unknown:?}, only {WORKLOADS:?}")),
            None => table(names),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("collectors: {why}");
            ExitCode::from(2)
        }
    }
}
