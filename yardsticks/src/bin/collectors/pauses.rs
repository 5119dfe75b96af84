//! How long a program has to wait for its collector: the optimized heap's handshakes beside Go's stops of the world, and
//! single operations of both.
//!
//! Both keep so many MiB of linked blocks of 64 bytes alive, with roots from each of so many mutators, and replace every
//! block that they let go, 20 million times in all, while one worker collects, or as many as Go likes.
//!
//! * *stops*: how long the collector kept a mutator from running. Of ours, the time from when a mutator begins to do what the
//!   collector asks until it has done it. Of Go it is what the runtime says of its stops, `/sched/pauses/total/gc:seconds`,
//!   by the upper bounds of its histogram.
//! * *operations*: how long it took to replace a block, whatever kept the mutator from it: the collector, a debt that it had
//!   to pay by marking, the kernel that let another thread run.

use super::go;
use heaplaw_optimized::{Config, Event, Heap, Listener};
use std::{
    cell::{Cell, RefCell},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// MiB alive, and mutators.
const WORLDS: [(usize, usize); 7] = [(1, 1), (1, 4), (1, 16), (64, 4), (1024, 1), (1024, 16), (1024, 256)];
const TURNS: usize = 20_000_000;
/// What is quicker is only counted.
const QUICK: Duration = Duration::from_micros(1);

/// Takes note of this thread's stops.
struct Stops;

thread_local! {
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    static STOPS: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
}

impl Listener for Stops {
    const OBJECTS: bool = false;

    #[inline]
    fn on(&self, event: Event) {
        match event {
            Event::Asked(_) => SINCE.set(Some(Instant::now())),
            Event::Pause { .. } => {
                if let Some(since) = SINCE.take() {
                    STOPS.with_borrow_mut(|stops| stops.push(since.elapsed()));
                }
            }
            _ => {}
        }
    }
}

/// What was measured.
#[derive(Default)]
struct Waits {
    stops: Vec<Duration>,
    /// Of operations, those that were not [quick](QUICK).
    operations: Vec<Duration>,
}

/// One of so many mutators: a table of blocks, of which one after the other is replaced.
fn churn(heap: &Heap<Stops>, blocks: usize, mutators: usize) -> Waits {
    let mut operations = Vec::new();
    heap.join().raw(|raw| {
        let table = raw.alloc(blocks, 0).expect("memory");
        raw.push(table);
        let mut last = Instant::now();
        for turn in 0..blocks + TURNS / mutators {
            let block = raw.alloc(2, 48).expect("memory");
            let index = turn % blocks;
            raw.store(block, 0, raw.load(table, (index + blocks / 2) % blocks));
            let after = raw.load(block, 0);
            if after != 0 {
                // Chains end here, so that what is let go is garbage.
                raw.store(after, 0, 0);
            }
            raw.store(table, index, block);
            let now = Instant::now();
            if now - last > QUICK {
                operations.push(now - last);
            }
            last = now;
        }
    });
    Waits { stops: STOPS.take(), operations }
}

fn ours(live: usize, mutators: usize) -> Waits {
    let config = Config { reservation: 8 << 30, workers: 1, ..Config::DEFAULT };
    let heap = Heap::with_listener(config, Stops).expect("address space");
    let blocks = blocks(live, mutators);
    let mut all = Waits::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..mutators).map(|_| scope.spawn(|| churn(&heap, blocks, mutators))).collect();
        for thread in threads {
            let mut waits = thread.join().expect("it ends");
            all.stops.append(&mut waits.stops);
            all.operations.append(&mut waits.operations);
        }
    });
    all
}

/// The blocks of each mutator.
fn blocks(live: usize, mutators: usize) -> usize {
    (live << 20) / 72 / mutators
}

/// The line of a table: the stops, how many, and the median, the 99th percentile and the longest in microseconds; of
/// operations, that which one in 10,000 exceeds, one in a million, and the longest.
fn line(mut waits: Waits, operations: usize) -> String {
    waits.stops.sort();
    waits.operations.sort();
    // Whatever is not in the list is quicker than all that are.
    let at = |sorted: &[Duration], exceeds: usize| {
        let time = sorted.len().checked_sub(exceeds + 1).and_then(|index| sorted.get(index));
        time.copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    let count = waits.stops.len();
    let [p50, p99, most] = [count / 2, count / 100, 0].map(|exceeds| at(&waits.stops, exceeds));
    let [rare, rarest, longest] =
        [operations / 10_000, operations / 1_000_000, 0].map(|exceeds| at(&waits.operations, exceeds));
    format!("{count} {p50:.1} {p99:.1} {most:.1} {rare:.1} {rarest:.1} {longest:.1}")
}

fn row(first: [&str; 3], line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [count, p50, p99, most, rare, rarest, longest] = words[..] else {
        return Err(format!("not a line of seven numbers: {line:?}"));
    };
    let [live, mutators, peer] = first;
    println!("{live:>8}{mutators:>9} {peer:<8}{count:>8}{p50:>9}{p99:>9}{most:>9}{rare:>10}{rarest:>10}{longest:>10}");
    Ok(())
}

/// Prints the table.
pub fn table() -> Result<(), String> {
    let go = go();
    if let Err(why) = &go {
        println!("go is left out: {why}");
    }
    println!("{:>61}{:>30}", "stops, us", "operations, us");
    row(["MiB live", "mutators", ""], "count p50 p99 longest 1/10^4 1/10^6 longest")?;
    for (live, mutators) in WORLDS {
        let operations = blocks(live, mutators) * mutators + TURNS / mutators * mutators;
        row([&live.to_string(), &mutators.to_string(), "heaplaw"], &line(ours(live, mutators), operations))?;
        if let Ok(program) = &go {
            let output = Command::new(program).args(["pauses", &live.to_string(), &mutators.to_string()]).output();
            let output = output.map_err(|error| error.to_string())?;
            row(["", "", "go"], &String::from_utf8_lossy(&output.stdout))
                .map_err(|why| format!("go: {why}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        }
    }
    Ok(())
}
