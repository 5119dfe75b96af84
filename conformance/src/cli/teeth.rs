//! `heaplaw teeth`: whether wrong heaps are caught.

use super::{
    Exit, Trouble,
    detections::{Detections, Part, Row, milliseconds},
};
use crate::{
    faulty,
    law::Law,
    mutants::{Catalogue, Level, Mutant, Run, Scratch},
    teeth::{self, Bite},
};
use clap::Args;
use std::{ops::ControlFlow, path::PathBuf, time::Duration};

#[derive(Args)]
pub(super) struct Options {
    /// How many campaigns each wrong heap is put to
    #[arg(long, default_value_t = 20, value_name = "N")]
    seeds: u64,
    /// The first of the campaigns' seeds
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "mutants")]
    from: u64,
    /// Stop at the first wrong heap that is not caught
    #[arg(long, conflicts_with = "mutants")]
    fail_fast: bool,
    /// Seed the bugs of the lists mutants.toml into a scratch copy of the source instead
    #[arg(long)]
    mutants: bool,
    /// Only the bugs in the heap, or only those in the judge
    #[arg(long, requires = "mutants")]
    level: Option<Level>,
    /// Only the seeded bugs whose name contains this
    #[arg(long, value_name = "NAME", default_value = "", requires = "mutants")]
    name: String,
    /// Only so many of the seeded bugs, from all over the lists
    #[arg(long, value_name = "N", requires = "mutants", value_parser = clap::value_parser!(u16).range(1..))]
    sample: Option<u16>,
    /// The repository with the source
    #[arg(long, value_name = "DIR", default_value = ".")]
    repository: PathBuf,
    /// Write what was found to detections.json and DETECTIONS.md in this directory: of wrong heaps, or with --mutants of
    /// bugs seeded into the heap; what is there of others stays
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fail_fast", "sample"])]
    table: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    let mut rows = Vec::new();
    let Some(dir) = &options.table else {
        return if options.mutants {
            mutants(options, options.level, &mut rows)
        } else {
            Ok(faults(options, &mut rows))
        };
    };
    if options.level == Some(Level::Judge) {
        return Err(Trouble::Usage("--table is of bugs in the heap, not of those in the judge".to_owned()));
    }
    // What cannot be read or completed is better known before the work than after it.
    let mut there = Detections::read(dir)?;
    let part = if options.mutants { &mut there.seeded } else { &mut there.wrong };
    let before = part.take().filter(|_| !options.name.is_empty());
    if let Some(before) = &before
        && before.seeds != options.seeds
    {
        return Err(Trouble::Usage(format!(
            "the others in the table have had {} seeds: say --seeds {0}",
            before.seeds
        )));
    }
    let exit =
        if options.mutants { mutants(options, Some(Level::Heap), &mut rows)? } else { faults(options, &mut rows) };
    let measured = Part::of(options.seeds, rows);
    *part = Some(match before {
        Some(before) => before.with(measured),
        None => measured,
    });
    there.write(dir)?;
    Ok(exit)
}

fn faults(options: &Options, rows: &mut Vec<Row>) -> Exit {
    let seeds = options.seeds;
    let row = |name: &str, law: &str, caught: &str, programs: &str, found: &str, ops: &str, shrunk: &str| {
        anstream::println!("{name:<54} {law:>8} {caught:>7} {programs:>11} {found:>13} {ops:>7} {shrunk:>13}");
    };
    row("wrong heap", "law", "caught", "programs", "found, ms", "ops", "shrunk, ms");
    let mut survivors = Vec::new();
    let end = teeth::bite(options.from..options.from.saturating_add(seeds), |bite| {
        let laws: Vec<_> = bite.laws().iter().map(u16::to_string).collect();
        let law = bite.owed.map_or_else(|| laws.join(","), |law| law.to_string());
        let caught = bite.owed.map_or(bite.catches.len(), |_| bite.alone.len()) as u64;
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
        // A law alone finds a heap no sooner than all together.
        let (by, programs, time) = match bite.owed {
            Some(law) => {
                let (programs, times): (Vec<_>, Vec<_>) = bite.alone.iter().copied().unzip();
                (vec![law.to_string()], teeth::median_and_most(programs), teeth::median_and_most(times))
            }
            None => {
                let times = bite.median_and_most(|catch| catch.found);
                (laws, bite.median_and_most(|catch| catch.programs), times)
            }
        };
        rows.push(Row {
            bug: bite.heap.clone(),
            what: what(&bite.heap),
            by,
            caught,
            programs,
            milliseconds: time.map(|(median, _)| milliseconds(median)),
        });
        if bite.holds() {
            return ControlFlow::Continue(());
        }
        survivors.push(Bite::clone(bite));
        if options.fail_fast { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    anstream::println!("\nprograms, times and operations: median / most over {seeds} seeds, judged by all laws");
    let toothless = teeth::toothless();
    for law in &toothless {
        anstream::println!("NOT CAUGHT: {law:?}: no wrong heap is there to break it");
    }
    for bite in &survivors {
        // A seeded bug may have taken the law off the list; its number is still the fault's.
        let law = bite.owed.map_or("no law".to_owned(), |number| match Law::numbered(number) {
            Some(law) => format!("{law:?}"),
            None => format!("law {number}, which is not on the list"),
        });
        anstream::println!("NOT CAUGHT: {law}, by every seed: {}", bite.heap);
    }
    if end.is_break() {
        anstream::println!("stopped there");
    }
    if survivors.is_empty() && toothless.is_empty() { Exit::Conforms } else { Exit::Counterexample }
}

/// What is wrong with a wrong heap, as a sentence.
fn what(heap: &str) -> String {
    match faulty::ALL.iter().find(|fault| fault.slug() == heap) {
        Some(fault) => format!("A heap that {}.", fault.name),
        None => "The reference machine with an unsound protocol.".to_owned(),
    }
}

fn mutants(options: &Options, level: Option<Level>, rows: &mut Vec<Row>) -> Result<Exit, Trouble> {
    let mut chosen: Vec<(Level, Mutant)> = Vec::new();
    for level in Level::ALL.into_iter().filter(|one| level.is_none_or(|only| only == *one)) {
        let catalogue = Catalogue::of(&options.repository.join(level.krate()))?;
        chosen.extend(catalogue.mutant.into_iter().map(|mutant| (level, mutant)));
    }
    chosen.retain(|(_, mutant)| mutant.name.contains(&options.name));
    if chosen.is_empty() {
        return Err(Trouble::Usage(format!("no seeded bug has a name with {:?} in it", options.name)));
    }
    let all = chosen.len();
    if let Some(sample) = options.sample {
        chosen = spread(chosen, usize::from(sample));
    }
    let sample_of = (chosen.len() < all).then_some(all);
    let scratch = Scratch::of(&options.repository)?;
    anstream::println!("{:<7} {:<34} {:>7} {:>14} {:>18}", "in", "seeded bug", "caught", "by", "programs");
    let mut survivors: Vec<(&Mutant, Vec<Run>)> = Vec::new();
    for (level, mutant) in &chosen {
        let runs = scratch.try_out(*level, mutant, options.seeds)?;
        let caught = runs.iter().filter(|run| run.caught(mutant)).count() as u64;
        let mut by: Vec<_> = runs.iter().filter_map(Run::by).collect();
        by.sort_unstable();
        by.dedup();
        let by: Vec<_> = by.iter().map(ToString::to_string).collect();
        let programs = teeth::median_and_most(runs.iter().map(|run| run.programs)).filter(|_| *level == Level::Heap);
        let time = teeth::median_and_most(runs.iter().filter_map(|run| run.found));
        rows.push(Row {
            bug: mutant.name.clone(),
            what: mutant.why.clone(),
            by: by.clone(),
            caught,
            programs,
            milliseconds: time.map(|(median, _)| milliseconds(median)),
        });
        let programs = programs.map_or(String::new(), |(median, most)| format!("{median} / {most}"));
        let seeds = options.seeds;
        anstream::println!(
            "{:<7} {:<34} {:>7} {:>14} {:>18}",
            match level {
                Level::Heap => "heap",
                Level::Judge => "judge",
            },
            mutant.name,
            format!("{caught}/{seeds}"),
            by.join(","),
            programs
        );
        if caught < seeds {
            survivors.push((mutant, runs));
        }
    }
    anstream::println!("\nprograms: median / most over {} seeds", options.seeds);
    for (mutant, runs) in &survivors {
        anstream::println!("NOT CAUGHT by every seed: {} (by one of {:?}): {runs:?}", mutant.name, mutant.caught_by);
    }
    let sample = sample_of.map_or(String::new(), |all| format!(", a sample of {all}"));
    anstream::println!("{} of {} seeded bugs caught{sample}", chosen.len() - survivors.len(), chosen.len());
    Ok(if survivors.is_empty() { Exit::Conforms } else { Exit::Counterexample })
}

/// So many of these, as far from one another as can be; all if there are no more.
fn spread<T>(all: Vec<T>, sample: usize) -> Vec<T> {
    let count = all.len();
    let chosen = |at: usize| (at + 1) * sample / count > at * sample / count;
    all.into_iter().enumerate().filter(|(at, _)| sample >= count || chosen(*at)).map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_comes_from_all_over_the_list() {
        assert_eq!(spread((0..10).collect(), 2), [4, 9]);
        assert_eq!(spread((0..5).collect(), 5), [0, 1, 2, 3, 4]);
        assert_eq!(spread(vec![7, 8], 9), [7, 8]);
        for sample in 1..=19 {
            assert_eq!(spread((0..19).collect::<Vec<_>>(), sample).len(), sample);
        }
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_table_that_cannot_be_completed_is_refused_before_the_work() {
        use clap::Parser;
        let dir = std::env::temp_dir().join(format!("heaplaw-teeth-{}", std::process::id()));
        let here = dir.to_string_lossy().into_owned();
        let refused = |words: &[&str]| {
            let words = [&["teeth", "--mutants", "--table", &here, "--repository", "/nowhere"], words].concat();
            run(&Line::try_parse_from(words).expect("a command line").options).map_err(|trouble| trouble.to_string())
        };
        let why = refused(&["--level", "judge"]).expect_err("it is refused");
        assert_eq!(why, "--table is of bugs in the heap, not of those in the judge");
        let row = Row {
            bug: "b".to_owned(),
            what: "w".to_owned(),
            by: Vec::new(),
            caught: 3,
            programs: None,
            milliseconds: None,
        };
        let there = Detections { seeded: Some(Part::of(3, vec![row])), wrong: None };
        std::fs::create_dir_all(&dir).expect("a directory");
        there.write(&dir).expect("it is written");
        let why = refused(&["--name", "b", "--seeds", "4"]).expect_err("it is refused");
        assert_eq!(why, "the others in the table have had 3 seeds: say --seeds 3");
        // With as many seeds, or all of them anew, it would go on, if there were a repository.
        for words in [&["--name", "b", "--seeds", "3"][..], &["--seeds", "4"]] {
            assert!(refused(words).is_err_and(|why| why.contains("/nowhere")), "{words:?}");
        }
        std::fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn what_is_wrong_is_told_in_a_sentence() {
        let fault = &faulty::ALL[0];
        assert_eq!(what(&fault.slug()), format!("A heap that {}.", fault.name));
        assert_eq!(what("reference:no-barrier"), "The reference machine with an unsound protocol.");
    }
}
