//! Our allocator beside the others, on every workload: one table of time, one of memory.
//!
//! Each figure comes from a process of its own, which does the workload once to warm up and then for a while. The
//! allocators take turns, round by round, so that whatever else the machine does meets all of them. Of five rounds a
//! cell shows the median, in nanoseconds of processor time for a pair of allocation and release, and the ratio of ours
//! to it: below 1, ours is faster. Beneath are the extremes of the rounds.
//!
//! The other table has what was resident at most, beyond what the process had before, over the bytes that were live at
//! most: less than 1 where blocks are not written to their ends. It leaves out workloads of less than a megabyte, which
//! would say more about the process than about the heap.
//!
//! ```text
//! cargo yardsticks [WORKLOAD...]          the tables, of these workloads or of all
//! cargo yardsticks one ALLOCATOR WORKLOAD a single process
//! ```

use heaplaw_yardsticks::{
    meter::{self, Counting},
    peer::{self, Allocator, Visitor},
    workload::{self, Workload},
};
use std::process::{Command, ExitCode};

const ROUNDS: usize = 5;
/// The processor time that a figure is taken over, at least.
const ENOUGH: u64 = 100_000_000;
/// A workload of fewer live bytes says little of memory.
const TELLING: usize = 1 << 20;

/// What a process found.
#[derive(Clone, Copy, Debug)]
struct Figure {
    /// Nanoseconds for a pair.
    time: f64,
    /// Resident bytes, at most, beyond those before.
    resident: usize,
}

struct Measure(Workload);

impl Visitor for Measure {
    type Output = Figure;

    fn visit<A: Allocator>(self, a: &A) -> Figure {
        let before = meter::resident();
        self.0.run(a, 1);
        let (start, mut pairs, mut times) = (meter::processor_time(), 0, 1);
        let time = loop {
            pairs += self.0.run(a, times);
            let time = meter::processor_time() - start;
            if time >= ENOUGH {
                break time;
            }
            times *= 2;
        };
        Figure { time: time as f64 / pairs as f64, resident: meter::resident_peak().saturating_sub(before) }
    }
}

fn one(allocator: &str, workload: &str) -> Result<Figure, String> {
    let found = Workload::named(workload);
    let workload = found.ok_or_else(|| format!("there is no workload {workload:?}, only {:?}", workload::NAMES))?;
    peer::visit(allocator, Measure(workload))
}

/// A process that does it.
fn process(allocator: &str, workload: &str) -> Result<Figure, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output =
        Command::new(program).args(["one", allocator, workload]).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let time = words.next().and_then(|word| word.parse().ok());
    let resident = words.nth(1).and_then(|word| word.parse().ok());
    match (output.status.success(), time, resident) {
        (true, Some(time), Some(resident)) => Ok(Figure { time, resident }),
        _ => {
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.trim().trim_start_matches("heaplaw-yardsticks: ");
            Err(if why.is_empty() { output.status.to_string() } else { why.to_owned() })
        }
    }
}

/// What the rounds found.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_by(f64::total_cmp);
    let at = |at: usize| figures.get(at).copied().unwrap_or(f64::NAN);
    Spread { least: at(0), median: at(figures.len() / 2), most: at(figures.len().wrapping_sub(1)) }
}

fn tables(workloads: &[&str]) -> Result<(), String> {
    println!("{}", meter::machine());
    let mut peers = Vec::new();
    for name in peer::NAMES {
        match process(name, "lifo") {
            Ok(_) => peers.push(name),
            Err(why) => println!("{name} is left out: {why}"),
        }
    }
    println!("{}\n", peers.iter().map(|name| peer::version(name)).collect::<Vec<_>>().join(", "));
    let head = |what: &str| {
        print!("{what:10}");
        peers.iter().for_each(|name| print!("{name:>20}"));
        println!();
    };
    head("ns a pair");
    let mut memory = Vec::new();
    for workload in workloads {
        let mut figures = vec![Vec::new(); peers.len()];
        let mut failures = Vec::new();
        for _ in 0..ROUNDS {
            for (name, figures) in peers.iter().zip(&mut figures) {
                match process(name, workload) {
                    Ok(figure) => figures.push(figure),
                    Err(why) if *name == peer::NAMES[0] => return Err(format!("{name}: {workload}: {why}")),
                    Err(why) => failures.push(format!("{name} failed, and that round is left out: {why}")),
                }
            }
        }
        let spread = |of: fn(&Figure) -> f64| -> Vec<_> {
            figures.iter().map(|figures| spread(figures.iter().map(of).collect())).collect()
        };
        let times = spread(|figure| figure.time);
        print!("{workload:10}");
        times.iter().for_each(|time| print!("{:>13.1} ({:.2})", time.median, times[0].median / time.median));
        print!("\n{:10}", "");
        times.iter().for_each(|time| print!("{:>20}", format!("{:.1}..{:.1}", time.least, time.most)));
        println!();
        failures.iter().for_each(|failure| println!("{:10}{failure}", ""));
        let counting = Counting::default();
        Workload::named(workload).ok_or("no such workload")?.run(&counting, 1);
        if counting.peak() >= TELLING {
            memory.push((*workload, counting.peak(), spread(|figure| figure.resident as f64)));
        }
    }
    println!();
    head("resident");
    for (workload, live, resident) in memory {
        print!("{workload:10}");
        resident.iter().for_each(|resident| print!("{:>20.2}", resident.median / live as f64));
        println!("   of {:.1} MiB live", live as f64 / f64::from(1 << 20));
    }
    Ok(())
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["one", allocator, workload] => {
            let Figure { time, resident } = one(allocator, workload)?;
            println!("{time:.2} ns {resident} bytes");
            Ok(())
        }
        [] => tables(&workload::NAMES),
        names => match names.iter().find(|name| !workload::NAMES.contains(name)) {
            Some(unknown) => Err(format!("there is no workload {unknown:?}, only {:?}", workload::NAMES)),
            None => tables(names),
        },
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("heaplaw-yardsticks: {why}");
            ExitCode::from(2)
        }
    }
}
