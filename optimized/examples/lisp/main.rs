//! Runs a program in Lisp: `cargo run --release -p heaplaw-optimized --example lisp [FILE]`; without a file, a
//! demonstration.

mod lisp;

use heaplaw_optimized::{Config, Heap};
use std::{env, error::Error, fs, sync::OnceLock};

fn main() -> Result<(), Box<dyn Error>> {
    let source = match env::args().nth(1) {
        Some(file) => fs::read_to_string(file)?,
        None => include_str!("demonstration.lisp").to_owned(),
    };
    // One worker collects behind the program's threads.
    let heap = Heap::new(Config { workers: 1, ..Config::DEFAULT })?;
    let print = |line: &str| println!("{line}");
    let world = lisp::World { heap: &heap, print: &print, before: None, failure: OnceLock::new() };
    world.run(&source).map_err(|lisp::Error(what, line)| format!("line {line}: {what:?}"))?;
    let used = heap.stats().objects;
    heap.collect();
    let left = heap.stats().objects;
    if let Some(cycle) = heap.last_cycle() {
        println!("{} cycles, the last of which freed {} objects and left {left}: {cycle}", cycle.number, used - left);
    }
    Ok(())
}
