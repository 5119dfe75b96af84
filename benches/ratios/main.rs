//! `cargo ratios FILE.md`: how fast the optimized heap is, beside the reference and beside what a user would pick instead.
//!
//! It writes a page in Markdown, with the machine, the versions, ratios and their spread, and next to it, in
//! `FILE.svg`, a plot of latency and of what a mutator has for itself. Everything is measured in five rounds, and the
//! sides take turns in each, so that whatever else the machine does meets both.
//!
//! * *streams*: the same generated programs on both heaps, each on a fresh one; neither is judged. Nanoseconds for one
//!   operation.
//! * *latency*: one mutator replaces blocks of 64 bytes beside 32 MiB of live ones, with a collector on a thread of its own
//!   and without one; every replacement is timed. See [`latency`].
//! * *peers*: what `cargo yardsticks` and `cargo collectors` print. They take a quarter of an hour; `--alone` leaves them out.
//!
//! ```text
//! cargo ratios FILE.md            the page and its plot
//! cargo ratios FILE.md --alone    without peers
//! cargo ratios                    streams and latency, on standard output
//! ```

mod latency;
mod plot;

use heaplaw_conformance::generate::{choices::Seed, scenario::Scenario};
use heaplaw_optimized::adapter;
use heaplaw_reference::{heap::Heap, machine::Machine, op::Program, protocol::Protocol};
use std::{
    env,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::Instant,
};

const ROUNDS: usize = 5;

/// Runs programs, each on a heap of its own; gives the nanoseconds for an operation.
fn run<H: Heap>(programs: &[Program], make: impl Fn() -> H) -> f64 {
    let mut events = Vec::new();
    let start = Instant::now();
    for program in programs {
        let mut heap = make();
        for op in program.ops() {
            events.clear();
            black_box(heap.perform(op, &mut events));
        }
    }
    let ops: usize = programs.iter().map(Program::len).sum();
    start.elapsed().as_nanos() as f64 / ops as f64
}

/// The least, the median and the most.
fn spread(mut rounds: Vec<f64>) -> [f64; 3] {
    rounds.sort_by(f64::total_cmp);
    [rounds[0], rounds[rounds.len() / 2], rounds[rounds.len() - 1]]
}

/// Rows of programs of so many operations.
fn streams(page: &mut String) {
    page.push_str(
        "\n## The same generated programs on both heaps\n\nNanoseconds for an operation: median (least to most).\n\n",
    );
    page.push_str("| operations of a program | reference | optimized | optimized / reference |\n|---|---|---|---|\n");
    for (ops, count) in [(60, 1_000), (600, 100), (6_000, 10)] {
        let scenario = Scenario::suited(&adapter::bundled().expect("address space").claims(), ops);
        let programs: Vec<Program> = (0..count).map(|case| scenario.draw(&mut Seed::case(1, case))).collect();
        let (mut reference, mut optimized) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            reference.push(run(&programs, || Machine::new(Protocol::HYBRID)));
            optimized.push(run(&programs, || adapter::bundled().expect("address space")));
        }
        let ratios = spread(optimized.iter().zip(&reference).map(|(ours, theirs)| ours / theirs).collect());
        let cell = |[least, median, most]: [f64; 3]| format!("{median:.0} ({least:.0} to {most:.0})");
        let ratio = format!("{:.2} ({:.2} to {:.2})", ratios[1], ratios[0], ratios[2]);
        let _ = writeln!(page, "| {ops} | {} | {} | {ratio} |", cell(spread(reference)), cell(spread(optimized)));
    }
}

/// The rows of latency, and the panels of the plot.
fn latencies(page: &mut String) -> [plot::Panel; 2] {
    page.push_str("\n## Latency, and what a mutator has for itself\n\n");
    page.push_str("Nanoseconds to replace a block of 64 bytes, of all rounds; and the part of its worst window that the mutator ran.\n\n");
    page.push_str("| collector | median | 99 % | 99.9 % | 99.99 % | longest |");
    for window in latency::WINDOWS {
        let _ = write!(page, " {} |", latency::named(window));
    }
    page.push_str(&format!("\n|{}\n", "---|".repeat(6 + latency::WINDOWS.len())));
    let mut times = plot::Panel::new("time of one replacement", "part that takes no longer", "ns");
    let mut parts = plot::Panel::new("what the mutator has for itself", "window", "part of the worst");
    let mut all = [("on a thread", 1, Vec::new()), ("none", 0, Vec::new())];
    for _ in 0..ROUNDS {
        for (_, workers, rounds) in &mut all {
            rounds.push(latency::measure(*workers));
        }
    }
    for (name, _, rounds) in all {
        let mut sorted: Vec<u32> = rounds.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let at = |part| latency::percentile(&sorted, part);
        let _ = write!(page, "| {name} | {} | {} | {} | {} | {} |", at(0.5), at(0.99), at(0.999), at(0.9999), at(1.0));
        // Rounds are runs of their own: no window spans two.
        let worst = |window| rounds.iter().map(|round| latency::utilisation(round, window)).fold(1.0, f64::min);
        let curve: Vec<_> = latency::WINDOWS.iter().map(|window| (latency::named(*window), worst(*window))).collect();
        for (_, part) in &curve {
            let _ = write!(page, " {part:.2} |");
        }
        page.push('\n');
        let steps =
            [("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.9999), ("all", 1.0)];
        times.curve(name, steps.map(|(step, part)| (step.to_owned(), f64::from(at(part)))).to_vec());
        parts.curve(name, curve);
    }
    page.push_str(
        "\nA replacement that takes ten times the median or more counts as time that was taken away, whoever took it: ",
    );
    page.push_str("the collector, or the machine, which the run without a collector shows.\n");
    times.logarithmic = true;
    [times, parts]
}

/// What a command of the yardsticks prints, as it is.
fn peers(page: &mut String) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("yardsticks/Cargo.toml");
    let commands =
        [("Other allocators", "heaplaw-yardsticks", "yardsticks"), ("Other collectors", "collectors", "collectors")];
    for (title, binary, alias) in commands {
        let mut command = Command::new(&cargo);
        command.args(["run", "--release", "--locked", "--bin", binary, "--manifest-path"]).arg(&manifest);
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("cargo {alias}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let table = String::from_utf8_lossy(&output.stdout);
        let _ = write!(
            page,
            "\n## {title}\n\nAs `cargo {alias}` prints it, which says what is what.\n\n```text\n{table}```\n"
        );
    }
    Ok(())
}

/// The machine in a line.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned();
    let (model, kernel) = (model.trim_start_matches(['\t', ' ', ':']), read("/proc/sys/kernel/osrelease"));
    format!("{model}, {processors} processors, Linux {}, load {load} at the start", kernel.trim())
}

fn page(file: Option<&Path>, with_peers: bool) -> Result<(), String> {
    let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let mut page = format!(
        "# Ratios\n\nWritten by `cargo ratios`. {}; heaplaw {}, {}. {ROUNDS} rounds, in which the sides take turns.\n",
        machine(),
        env!("CARGO_PKG_VERSION"),
        String::from_utf8_lossy(&rustc).trim(),
    );
    streams(&mut page);
    let panels = latencies(&mut page);
    let Some(file) = file else {
        print!("{page}");
        return Ok(());
    };
    let drawing = file.with_extension("svg");
    let name = drawing.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let _ = write!(page, "\n![latency and utilisation]({name})\n");
    if with_peers {
        peers(&mut page)?;
    }
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    write(&drawing, &plot::svg(&panels))?;
    write(file, &page)
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (options, files): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    let done = match (&options[..], &files[..]) {
        ([], []) => page(None, false),
        ([], [file]) => page(Some(&PathBuf::from(file)), true),
        ([alone], [file]) if *alone == "--alone" => page(Some(&PathBuf::from(file)), false),
        _ => Err("cargo ratios [FILE.md [--alone]]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ratios: {why}");
            ExitCode::from(2)
        }
    }
}
