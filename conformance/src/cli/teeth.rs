//! `heaplaw teeth`: whether wrong heaps are caught.

use super::{Exit, Trouble};
use crate::{
    mutants::{Catalogue, Mutant, Scratch},
    teeth::{self, Bite},
};
use clap::Args;
use std::{path::PathBuf, time::Duration};

#[derive(Args)]
pub(super) struct Options {
    /// How many campaigns each wrong heap is put to
    #[arg(long, default_value_t = 20, value_name = "N")]
    seeds: u64,
    /// Seed the bugs of optimized/mutants.toml into a scratch copy of the source instead
    #[arg(long)]
    mutants: bool,
    /// Only the seeded bugs whose name contains this
    #[arg(long, value_name = "NAME", default_value = "", requires = "mutants")]
    name: String,
    /// The repository with the source
    #[arg(long, value_name = "DIR", default_value = ".", requires = "mutants")]
    repository: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    if options.mutants { mutants(options) } else { Ok(faults(options.seeds)) }
}

fn faults(seeds: u64) -> Exit {
    let row = |name: &str, law: &str, caught: &str, programs: &str, found: &str, ops: &str, shrunk: &str| {
        anstream::println!("{name:<54} {law:>8} {caught:>7} {programs:>11} {found:>13} {ops:>7} {shrunk:>13}");
    };
    row("wrong heap", "law", "caught", "programs", "found, ms", "ops", "shrunk, ms");
    let mut survivors = Vec::new();
    teeth::bite(seeds, |bite| {
        let laws: Vec<_> = bite.laws().iter().map(u16::to_string).collect();
        let law = bite.owed.map_or(laws.join(","), |law| law.number.to_string());
        let caught = bite.owed.map_or(bite.catches.len() as u64, |_| bite.by_own_law);
        let pair = |pair: Option<(String, String)>| pair.map_or_else(String::new, |(m, most)| format!("{m} / {most}"));
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let both = |(median, most): (Duration, Duration)| (ms(median), ms(most));
        let programs = bite.median_and_most(|catch| catch.programs).map(|(m, most)| (m.to_string(), most.to_string()));
        let ops = bite.median_and_most(|catch| catch.ops).map(|(m, most)| (m.to_string(), most.to_string()));
        row(
            &bite.heap,
            &law,
            &format!("{caught}/{seeds}"),
            &pair(programs),
            &pair(bite.median_and_most(|catch| catch.found).map(both)),
            &pair(ops),
            &pair(bite.median_and_most(|catch| catch.shrunk).map(both)),
        );
        if !bite.holds() {
            survivors.push(Bite::clone(bite));
        }
    });
    anstream::println!("\nprograms, times and operations: median / most over {seeds} seeds, judged by all laws");
    for law in teeth::toothless() {
        anstream::println!("no wrong heap breaks {law:?}");
    }
    for bite in &survivors {
        anstream::println!("NOT CAUGHT by every seed: {}", bite.heap);
    }
    if survivors.is_empty() && teeth::toothless().is_empty() { Exit::Conforms } else { Exit::Counterexample }
}

/// The crate whose bugs are seeded, and the heap that is judged unless a bug names another.
const CRATE: (&str, &str) = ("optimized", "optimized");

fn mutants(options: &Options) -> Result<Exit, Trouble> {
    let catalogue = Catalogue::of(&options.repository.join(CRATE.0))?;
    let chosen: Vec<&Mutant> = catalogue.mutant.iter().filter(|mutant| mutant.name.contains(&options.name)).collect();
    if chosen.is_empty() {
        return Err(Trouble::Usage(format!("no seeded bug has a name with {:?} in it", options.name)));
    }
    let scratch = Scratch::of(&options.repository)?;
    anstream::println!("{:<34} {:>7} {:>14} {:>18}", "seeded bug", "caught", "by law", "programs");
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let heap = mutant.heap.as_deref().unwrap_or(CRATE.1);
        let runs = scratch.try_out(CRATE.0, mutant, heap, options.seeds)?;
        let caught = runs.iter().filter(|run| run.caught(mutant)).count() as u64;
        let mut laws: Vec<_> = runs.iter().filter_map(|run| run.law).collect();
        laws.sort_unstable();
        laws.dedup();
        let laws: Vec<_> = laws.iter().map(u16::to_string).collect();
        let mut programs: Vec<_> = runs.iter().map(|run| run.programs).collect();
        programs.sort_unstable();
        let (median, most) = (programs.get(programs.len() / 2).unwrap_or(&0), programs.last().unwrap_or(&0));
        let seeds = options.seeds;
        anstream::println!(
            "{:<34} {:>7} {:>14} {:>18}",
            mutant.name,
            format!("{caught}/{seeds}"),
            laws.join(","),
            format!("{median} / {most}")
        );
        if caught < seeds {
            survivors.push((mutant, runs));
        }
    }
    anstream::println!("\nprograms: median / most over {} seeds", options.seeds);
    for (mutant, runs) in &survivors {
        anstream::println!("NOT CAUGHT by every seed: {} (by one of {:?}): {runs:?}", mutant.name, mutant.caught_by);
    }
    anstream::println!("{} of {} seeded bugs caught", chosen.len() - survivors.len(), chosen.len());
    Ok(if survivors.is_empty() { Exit::Conforms } else { Exit::Counterexample })
}
