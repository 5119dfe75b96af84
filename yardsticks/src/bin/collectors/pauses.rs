//! How long a program has to wait for its collector: the optimized heap's handshakes beside Go's stops of the world.
//!
//! Both keep so many MiB of linked blocks of 64 bytes alive, with roots from each of four mutators, and replace every block
//! that they let go, 20 million times in all, while one worker collects, or as many as Go likes. Of ours, the time of each
//! operation is taken in whose course the mutator did what the collector asked of it: allocation and its sweeping included.
//! Of Go it is what the runtime says of its stops, `/sched/pauses/total/gc:seconds`, by the upper bounds of its histogram.
//! A mutator of Go is kept from running by assists and stack scans as well, which are no stops and are not in these figures.

use super::go;
use heaplaw_optimized::{Config, Event, Heap, Listener};
use std::{
    cell::Cell,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const LIVE: [usize; 3] = [1, 64, 1024];
const MUTATORS: usize = 4;
const TURNS: usize = 20_000_000;

/// Takes note of this thread's pauses.
struct Pauses;

thread_local! {
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

impl Listener for Pauses {
    #[inline]
    fn on(&self, event: Event) {
        if let Event::Pause { .. } = event {
            PAUSED.set(true);
        }
    }
}

/// One mutator: a table of blocks, of which one after the other is replaced.
fn churn(heap: &Heap<Pauses>, blocks: usize) -> Vec<Duration> {
    let mut pauses = Vec::new();
    heap.join().raw(|raw| {
        let table = raw.alloc(blocks, 0).expect("memory");
        raw.push(table);
        for turn in 0..blocks + TURNS / MUTATORS {
            let start = Instant::now();
            let block = raw.alloc(2, 48).expect("memory");
            if PAUSED.take() {
                pauses.push(start.elapsed());
            }
            let index = turn % blocks;
            raw.store(block, 0, raw.load(table, (index + blocks / 2) % blocks));
            let after = raw.load(block, 0);
            if after != 0 {
                // Chains end here, so that what is let go is garbage.
                raw.store(after, 0, 0);
            }
            raw.store(table, index, block);
        }
    });
    pauses
}

fn ours(live: usize) -> Vec<Duration> {
    let config = Config { reservation: 8 << 30, workers: 1, ..Config::DEFAULT };
    let heap = Heap::with_listener(config, Pauses).expect("address space");
    let blocks = (live << 20) / 72 / MUTATORS;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..MUTATORS).map(|_| scope.spawn(|| churn(&heap, blocks))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    })
}

/// Prints the table.
pub fn table() -> Result<(), String> {
    let go = go();
    println!("{:>10}{:>12}{:>10}{:>12}{:>12}{:>12}", "MiB live", "", "count", "p50 us", "p99 us", "max us");
    for live in LIVE {
        let mut all = ours(live);
        all.sort();
        let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1)));
        let [p50, p99, most] = [50, 99, 100].map(|percent| at(percent).map_or(0.0, |time| time.as_secs_f64() * 1e6));
        println!("{live:>10}{:>12}{:>10}{p50:>12.1}{p99:>12.1}{most:>12.1}", "heaplaw", all.len());
        match &go {
            Err(why) => println!("{:>10}{:>12}  left out: {why}", "", "go"),
            Ok(program) => {
                let output = Command::new(program).args(["pauses", &live.to_string()]).output();
                let output = output.map_err(|error| error.to_string())?;
                let text = String::from_utf8_lossy(&output.stdout);
                let words: Vec<&str> = text.split_whitespace().collect();
                let [count, p50, p99, most] = words[..] else {
                    return Err(format!("go: {}", String::from_utf8_lossy(&output.stderr).trim()));
                };
                println!("{:>10}{:>12}{count:>10}{p50:>12}{p99:>12}{most:>12}", "", "go");
            }
        }
    }
    Ok(())
}
