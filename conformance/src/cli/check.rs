//! `heaplaw check`: generated programs, judged by the laws.

use super::{
    Bundled, Exit, Trouble, Who,
    monitor::{Monitor, Watchdog},
    selected,
};
use crate::{
    campaign::{self, Breach, Campaign, Counterexample, End, Outcome, Watch},
    drive::{Failure, Subject, step},
    report::text::{self, counted, grouped},
    saved,
    shrink::Budget,
};
use clap::{Args, Parser};
use heaplaw_reference::op::Program;
use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often a shrunk counterexample is run again to see whether it always shows.
const AGAIN: u64 = 20;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    who: Who,
    /// The seed that all programs follow from; a fresh one if nothing is said
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// How many programs to run
    #[arg(long, default_value_t = 30_000, value_name = "N")]
    cases: u64,
    /// How many operations a program has at most
    #[arg(long, default_value_t = 60, value_name = "N")]
    ops: u32,
    /// Stop after this long, such as 90s or 20m
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Judge only by these laws, such as 51,54-60
    #[arg(long, value_name = "LIST", default_value = "")]
    laws: String,
    /// The directory of saved failures; they run first
    #[arg(long, value_name = "DIR", default_value = "failures")]
    out: PathBuf,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

impl Options {
    /// What an empty command line means.
    pub(super) fn default_line() -> Options {
        Line::parse_from(["check"]).options
    }
}

/// A seed as it is shown, `0x7f3a`, or in decimal.
fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

pub(super) fn run(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let laws = selected(&options.laws)?;
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let campaign = Campaign { seed, cases: options.cases, ops: options.ops, time: options.time, laws };
    let saved = saved::all(&options.out)?;
    let mut subject = options.who.subject(heaps)?;
    let claims = match subject.reset() {
        Ok(claims) => claims,
        Err(failure) => {
            anstream::eprintln!("heaplaw: {failure}");
            return Ok(Exit::of(&failure));
        }
    };
    anstream::print!("{}", text::banner(&claims));
    anstream::println!("seed {seed:#x}{}\n", first_words(&saved, options));

    let watchdog = options.who.in_process().then(|| Watchdog {
        timeout: options.who.timeout,
        out: options.out.clone(),
        replay: options.who.argument(heaps),
    });
    let mut monitor = Monitor::start(campaign.cases + saved.len() as u64, watchdog);
    let first: Vec<Program> = saved.iter().map(|(_, program)| program.clone()).collect();
    let outcome = quietly(|| campaign.run(&mut subject, &first, &mut monitor));
    monitor.rest();
    let exit = conclude(options, heaps, &outcome, &mut subject, monitor)?;
    Ok(exit)
}

fn first_words(saved: &[(PathBuf, Program)], options: &Options) -> String {
    match saved.len() as u64 {
        0 => String::new(),
        n => format!("   {} of {} first", counted(n, "saved failure"), options.out.display()),
    }
}

/// Runs code that may catch panics of a heap, without their being printed: they are reported as crashes.
pub(super) fn quietly<T>(code: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let value = code();
    std::panic::set_hook(hook);
    value
}

fn conclude(
    options: &Options,
    heaps: &[Bundled],
    outcome: &Outcome,
    subject: &mut dyn Subject,
    monitor: Monitor,
) -> Result<Exit, Trouble> {
    let exit = match &outcome.end {
        End::Unstartable(failure) => {
            monitor.end();
            anstream::eprintln!("heaplaw: {failure}");
            return Ok(Exit::of(failure));
        }
        End::Found(found) => {
            let exit = match &found.breach {
                Breach::Law(..) => Exit::Counterexample,
                Breach::Failure(failure) => Exit::of(failure),
            };
            show(options, heaps, found, outcome, subject, monitor)?;
            exit
        }
        End::Interrupted => {
            monitor.end();
            Exit::Interrupted
        }
        End::Finished | End::OutOfTime => {
            monitor.end();
            let looked = outcome.tallies.iter().any(|tally| tally.checks > 0);
            if looked { Exit::Conforms } else { Exit::NothingRan }
        }
    };
    anstream::print!("{}", text::table(outcome));
    anstream::println!("\n{}", last_words(outcome, exit));
    Ok(exit)
}

fn last_words(outcome: &Outcome, exit: Exit) -> String {
    let did = format!(
        "{}, {} in {:.1} s",
        counted(outcome.programs, "program"),
        counted(outcome.performed, "operation"),
        outcome.elapsed.as_secs_f64()
    );
    let held = outcome.tallies.iter().filter(|tally| tally.checks > 0).count();
    let result = match exit {
        Exit::Conforms => format!("conforms to {}", counted(held as u64, "law")),
        Exit::Counterexample => "a law is broken; the others are as far as the run went".to_owned(),
        Exit::NothingRan => "nothing was judged: no program ran, or no law applies".to_owned(),
        Exit::Interrupted => "interrupted; this is how far it went".to_owned(),
        Exit::Crashed | Exit::Hung => "the subject failed to answer; this is how far it went".to_owned(),
        Exit::Usage | Exit::Internal => String::new(),
    };
    let cut = if matches!(outcome.end, End::OutOfTime) { "; the time was up before all programs had run" } else { "" };
    format!("{did}: {result}{cut} (exit {})", exit as i32)
}

/// Saves, shrinks, saves again and shows a counterexample.
fn show(
    options: &Options,
    heaps: &[Bundled],
    found: &Counterexample,
    outcome: &Outcome,
    subject: &mut dyn Subject,
    mut monitor: Monitor,
) -> Result<(), Trouble> {
    let who = options.who.argument(heaps);
    let program = found.program();
    let path = options.out.join(saved::name(&found.breach, &program));
    let replay = format!("heaplaw replay {} {who}", path.display());
    let heap = found.history.claims.name.to_string();
    let write = |found: &Counterexample| {
        saved::save(&path, &heap, &replay, found).map_err(|source| Trouble::Write { path: path.clone(), source })
    };
    write(found)?;

    let (title, place) = match &found.breach {
        Breach::Law(law, _) => (format!("law {} {}", law.number, law.name), "broken by"),
        Breach::Failure(failure) => (failure.to_string(), "in"),
    };
    let number = found.case.map_or("a saved failure".to_owned(), |case| format!("program {}", grouped(case + 1)));
    let (after, length) = (outcome.elapsed.as_secs_f64(), counted(program.len() as u64, "operation"));
    anstream::println!("{title}: {place} {number}, after {after:.2} s ({length})");

    let shown = if matches!(found.breach, Breach::Failure(Failure::Hung(_))) {
        anstream::println!("  not shrunk: each try would take {:?}", options.who.timeout);
        found.clone()
    } else {
        monitor.turn_to("shrinking");
        let start = Instant::now();
        let shrunk = quietly(|| campaign::shrink(subject, found.clone(), Budget::default(), &mut monitor));
        if shrunk.reproduces {
            write(&shrunk.counterexample)?;
            anstream::println!(
                "  shrunk from {} to {} operations in {:.2} s ({})",
                shrunk.from,
                shrunk.counterexample.program().len(),
                start.elapsed().as_secs_f64(),
                counted(shrunk.tries, "try").replace("trys", "tries")
            );
        } else {
            anstream::println!("  not shrunk: it did not show again when its operations were run by themselves");
        }
        shrunk.counterexample
    };
    let times = matches!(shown.breach, Breach::Law(..)).then(|| again(subject, &shown, &mut monitor));
    monitor.end();
    anstream::println!();
    anstream::print!("{}", text::counterexample(&shown));
    anstream::println!();
    anstream::println!("  wrote  {}", path.display());
    let often = times.map_or(String::new(), |times| format!("   # fails {times} of {AGAIN} times"));
    anstream::println!("  replay {replay}{often}");
    if !options.who.in_process() {
        let command = who.trim_start_matches("-- ");
        anstream::println!("  by hand {command} < {}", path.display());
    }
    anstream::println!("  keep   git add {}   # runs first from now on\n", path.display());
    Ok(())
}

/// How often a counterexample shows when it is run again.
fn again(subject: &mut dyn Subject, shown: &Counterexample, monitor: &mut Monitor) -> u64 {
    let Breach::Law(law, _) = shown.breach else { return 0 };
    let program = shown.program();
    let shows = |_: &u64| {
        let judged = monitor
            .about_to_run(&program, 0)
            .then(|| quietly(|| campaign::judge(subject, &program, step::Ending::Abrupt, &[law])));
        matches!(judged, Some(Ok((_, judged))) if judged.breach.as_ref().is_some_and(|b| b.is_like(&shown.breach)))
    };
    let times = (0..AGAIN).filter(shows).count() as u64;
    monitor.rest();
    times
}
