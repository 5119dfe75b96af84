//! `heaplaw check`: generated programs, judged by the laws.

use super::{
    Bundled, Exit, Trouble, Who, crowd, detections::Detections, monitor::Monitor, power, quoted, selected, shard,
    threads,
};
use crate::{
    campaign::{self, Again, Breach, Campaign, Counterexample, End, Outcome, Shrunk},
    drive::{Failure, Subject, crowd::THREADS},
    goals::Goal,
    known::{self, Excused, Known},
    report::{
        Check, Shown, json, junit,
        text::{self, counted, grouped},
    },
    saved::{self, Flaky},
    shard::{
        BLOCK, Shard,
        journal::{self, Identity, Journal},
    },
    shrink::Budget,
};
use clap::{Args, Parser};
use heaplaw_reference::{
    heap::{Capability, Claims},
    op::Program,
};
use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How many operations a program has at most, if nothing is said.
const OPS: u32 = 60;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) who: Who,
    /// The seed that all programs follow from; a fresh one if nothing is said
    #[arg(long, value_parser = seed)]
    pub(super) seed: Option<u64>,
    /// How many programs to run: 30,000 if nothing is said, or 3,000 with --mutators
    #[arg(long, value_name = "N")]
    pub(super) cases: Option<u64>,
    /// Run the programs' mutators, so many of them, each on a thread of its own, and the collector on another; those of an
    /// allocator hand blocks to one another
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(THREADS)))]
    pub(super) mutators: Option<u8>,
    /// Begin with this case
    #[arg(long, value_name = "N", conflicts_with = "mutators")]
    from: Option<u64>,
    /// Run only the second of four parts, if this is 2/4; with --dir, whoever starts this command many times may say so
    #[arg(long, value_name = "I/N", conflicts_with_all = ["mutators", "from"])]
    pub(super) shard: Option<Shard>,
    /// Write down in this directory what was run, go on from what is there, and leave the rest to `heaplaw merge`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mutators", "from"])]
    pub(super) dir: Option<PathBuf>,
    /// How many operations a program has at most; one in 150 links up to 319 objects to one before
    #[arg(long, default_value_t = OPS, value_name = "N")]
    pub(super) ops: u32,
    /// Stop after this long, such as 90s or 20m
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) time: Option<Duration>,
    /// Judge only by these laws, such as 51,54-60
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(super) laws: String,
    /// The directory of saved failures; they run first
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub(super) out: PathBuf,
    /// The list of known failures; known.toml if nothing is said and there is one
    #[arg(long, value_name = "FILE")]
    pub(super) known: Option<PathBuf>,
    /// Write a report as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Fail if a goal was not reached: a situation that the programs should have brought about
    #[arg(long, conflicts_with_all = ["mutators", "shard", "dir"])]
    goals: bool,
    /// Run each program again and again, and refuse the heap its first request for memory, then its second, and so on
    #[arg(long, conflicts_with = "mutators")]
    faults: bool,
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
    if let Some(mutators) = options.mutators {
        return match crowd::is_meant(&options.who, heaps)? {
            true => crowd::run(options, mutators, heaps),
            false => threads::check(options, mutators, heaps),
        };
    }
    let laws = selected(&options.laws)?;
    let Options { ops, time, faults, .. } = *options;
    let part = shard::part(options)?;
    let seed = seed_of(options)?;
    let whole = Campaign { seed, from: 0, cases: options.cases.unwrap_or(30_000), ops, time, laws, faults };
    let saved = saved::all(&options.out)?;
    let known = match &options.known {
        Some(file) => known::load(file)?,
        None if Path::new(known::FILE).exists() => known::load(Path::new(known::FILE))?,
        None => Vec::new(),
    };
    let mut subject = options.who.subject(heaps)?;
    let cases = match options.from {
        Some(from) => from..from.saturating_add(whole.cases),
        None => part.shard.cases(whole.cases),
    };
    let (from, length) = (cases.start, cases.end - cases.start);
    let mut campaign = Campaign { from, cases: length, ..whole };
    let claims = match subject.reset() {
        Ok(claims) => claims,
        Err(failure) => {
            anstream::eprintln!("heaplaw: {failure}");
            let exit = Exit::of(&failure);
            report(options, &campaign, &nothing_yet(&campaign, None, End::Unstartable(failure)), None, Some(exit))?;
            return Ok(exit);
        }
    };
    if faults && !claims.has(Capability::Faults) {
        let why = "--faults: the heap does not claim `faults`, so there is nothing that it could be refused";
        return Err(Trouble::Usage(why.to_owned()));
    }
    let mut journal = match &options.dir {
        Some(dir) => Some(open(dir, options, &mut campaign, whole.cases, &claims, &known, part.shard)?),
        None => None,
    };
    // A run that is killed leaves its reports.
    report(options, &campaign, &nothing_yet(&campaign, Some(claims.clone()), End::Interrupted), None, None)?;
    let done = journal.as_ref().map_or(0, Journal::done);
    let watchdog = options.who.watchdog(Some(&options.out), &options.laws, heaps);
    let mut monitor = Monitor::start(length + saved.len() as u64, watchdog);
    let mut subject = monitor.timed(subject);
    let there = match &options.dir {
        Some(dir) if done > 0 => format!("   {} of them before, in {}", grouped(done), dir.display()),
        _ => String::new(),
    };
    let (told, first) = (part.told(&cases), first_words(&saved, options));
    monitor.say(format_args!("{}seed {:#x}{told}{there}{first}\n", text::banner(&claims), campaign.seed));
    if cases.is_empty() && journal.is_some() {
        monitor.end();
        anstream::println!("nothing is to be done: there are more shards than blocks of {BLOCK} cases (exit 0)");
        report(options, &campaign, &nothing_yet(&campaign, Some(claims), End::Finished), None, Some(Exit::Conforms))?;
        return Ok(Exit::Conforms);
    }
    let first: Vec<Program> = saved.iter().map(|(_, program)| program.clone()).collect();
    let excused = match &mut journal {
        Some(journal) => crate::shard::run(&campaign, &known, &mut subject, &first, &mut monitor, journal)?,
        None => known::run(&campaign, &known, &mut subject, &first, &mut monitor),
    };
    let (exit, shown) = conclude(options, heaps, &campaign, &saved, &excused, &mut subject, monitor)?;
    report(options, &campaign, &excused, shown.as_ref(), Some(exit))?;
    Ok(exit)
}

/// The seed that is meant: one that was named, that of the directory, or a fresh one.
fn seed_of(options: &Options) -> Result<u64, Trouble> {
    let there = match (options.seed, &options.dir) {
        (None, Some(dir)) => Identity::read(dir)?.map(|identity| identity.seed()),
        (seed, _) => seed,
    };
    if there.is_none() && options.shard.is_some() && options.dir.is_none() {
        let why = "--shard needs a --seed, the same for all shards, or a --dir that they share";
        return Err(Trouble::Usage(why.to_owned()));
    }
    Ok(there.unwrap_or_else(|| RandomState::new().hash_one(())))
}

/// Opens the journal of a shard. If nobody named a seed, and another shard has just chosen one, it is that one.
fn open(
    dir: &Path,
    options: &Options,
    campaign: &mut Campaign,
    cases: u64,
    claims: &Claims,
    known: &[Known],
    shard: Shard,
) -> Result<Journal, Trouble> {
    let identity = |seed| Identity::of(&Campaign { seed, cases, ..campaign.clone() }, claims, known);
    match Journal::open(dir, identity(campaign.seed), shard) {
        Err(journal::Error::Different { .. }) => {
            // One that somebody named is the same again, and so is the error.
            let seed = seed_of(options)?;
            let journal = Journal::open(dir, identity(seed), shard)?;
            campaign.seed = seed;
            Ok(journal)
        }
        journal => Ok(journal?),
    }
}

/// A campaign in which no program has been run.
fn nothing_yet(campaign: &Campaign, claims: Option<Claims>, end: End) -> Excused {
    let outcome = Outcome { claims, ..Outcome::of_nothing(&campaign.laws, end) };
    Excused { outcome, seen: Vec::new(), stale: Vec::new() }
}

/// Writes the reports of a run on one thread.
fn report(
    options: &Options,
    campaign: &Campaign,
    excused: &Excused,
    shown: Option<&Shown>,
    exit: Option<Exit>,
) -> Result<(), Trouble> {
    let Campaign { seed, from, cases, ops, .. } = *campaign;
    let check = Check { seed, from, cases, ops, excused, shown, threads: None, exit: exit.map(|exit| exit as u8) };
    write_reports(options, &check)
}

/// Writes the reports that were asked for.
pub(super) fn write_reports(options: &Options, check: &Check<'_>) -> Result<(), Trouble> {
    let write = |file: &Option<PathBuf>, print: fn(&Check<'_>) -> String| match file {
        Some(path) => {
            saved::write_whole(path, &print(check)).map_err(|source| Trouble::Write { path: path.clone(), source })
        }
        None => Ok(()),
    };
    write(&options.json, json::report)?;
    write(&options.junit, junit::report)
}

fn first_words(saved: &[(PathBuf, Program)], options: &Options) -> String {
    match saved.len() as u64 {
        0 => String::new(),
        n => format!("   {} of {} first", counted(n, "saved failure"), options.out.display()),
    }
}

fn conclude(
    options: &Options,
    heaps: &[Bundled],
    campaign: &Campaign,
    saved: &[(PathBuf, Program)],
    excused: &Excused,
    subject: &mut dyn Subject,
    monitor: Monitor,
) -> Result<(Exit, Option<Shown>), Trouble> {
    let outcome = &excused.outcome;
    let mut shown = None;
    let exit = match &outcome.end {
        End::Unstartable(failure) => {
            monitor.end();
            anstream::eprintln!("heaplaw: {failure}");
            return Ok((Exit::of(failure), None));
        }
        End::Found(found) => {
            let file = saved.get(outcome.programs as usize - 1);
            let one = show(options, heaps, campaign, file, found, outcome, subject, monitor)?;
            let exit = match (&found.breach, one.flaky()) {
                (_, Some(_)) => Exit::Flaky,
                (Breach::Law(..), None) => Exit::Counterexample,
                (Breach::Failure(failure), None) => Exit::of(failure),
            };
            shown = Some(one);
            exit
        }
        End::Interrupted => {
            monitor.end();
            Exit::Interrupted
        }
        End::Finished | End::OutOfTime => {
            monitor.end();
            let looked = outcome.tallies.iter().any(|tally| tally.checks > 0);
            match (excused.stale.is_empty(), looked || !excused.seen.is_empty()) {
                (false, _) => Exit::Stale,
                (true, false) => Exit::NothingRan,
                (true, true) if options.goals && !unreached(outcome).is_empty() => Exit::Unreached,
                (true, true) => Exit::Conforms,
            }
        }
    };
    let flaky = shown.as_ref().and_then(Shown::flaky);
    anstream::print!("{}", text::table(outcome, flaky.is_some()));
    for known::Seen { known, tally, .. } in &excused.seen {
        let (law, programs, checks) = (known.law, grouped(tally.programs), grouped(tally.checks));
        let (number, name, reason) = (law.number, law.name, &known.reason);
        anstream::println!("  {number:>3}  {name:<36} {programs:>9}  {checks:>12}   known: {reason}");
    }
    for known in &excused.stale {
        anstream::println!("  {:?} holds, but is listed as known: {}", known.law, known.reason);
    }
    if shown.is_none() {
        // A run that ends with a failure says nothing by what it did not come to.
        anstream::print!("{}{}", text::goals(outcome), text::utilisation(outcome));
        anstream::print!("{}", text::footprint(&outcome.footprint));
    }
    if matches!(exit, Exit::Conforms | Exit::Unreached) && campaign.ops == OPS {
        anstream::print!("{}", detection_power(outcome, saved.len() as u64));
    }
    anstream::println!("\n{}", last_words(excused, exit));
    Ok((exit, shown))
}

/// How many bugs whose fate is known such a run finds: of a collector, by the programs that were drawn for it. `saved` are
/// those that were not.
fn detection_power(outcome: &Outcome, saved: u64) -> String {
    if !outcome.claims.as_ref().is_some_and(|claims| claims.has(Capability::Collect)) {
        return String::new();
    }
    let laws = outcome.tallies.iter().filter(|tally| tally.checks > 0).map(|tally| tally.law.number);
    power::told(&Detections::kept(), outcome.programs.saturating_sub(saved), &laws.collect())
}

/// The goals that apply and were not reached.
fn unreached(outcome: &Outcome) -> Vec<&'static Goal> {
    outcome.claims.as_ref().map(|claims| outcome.coverage.unreached(claims)).unwrap_or_default()
}

fn last_words(excused: &Excused, exit: Exit) -> String {
    let Excused { outcome, seen, .. } = excused;
    let faults = match outcome.faults {
        0 => String::new(),
        n => format!(", {} felt", counted(n, "fault")),
    };
    let did = format!(
        "{}{faults}, {} in {:.1} s",
        counted(outcome.programs, "program"),
        counted(outcome.performed, "operation"),
        outcome.elapsed.as_secs_f64()
    );
    let held = outcome.tallies.iter().filter(|tally| tally.checks > 0).count();
    let result = match exit {
        Exit::Conforms if seen.is_empty() => format!("conforms to {}", counted(held as u64, "law")),
        Exit::Conforms => format!("conforms to {}, {} known to be broken", counted(held as u64, "law"), seen.len()),
        Exit::Counterexample => "a law is broken; the others are as far as the run went".to_owned(),
        Exit::NothingRan => "nothing was judged: no program ran, or no law applies".to_owned(),
        Exit::Interrupted => "interrupted; this is how far it went".to_owned(),
        Exit::Crashed | Exit::Hung => "the subject failed to answer; this is how far it went".to_owned(),
        Exit::Unreached => {
            format!("no law is broken, {} of the goals not reached", unreached(outcome).len())
        }
        Exit::Flaky => "flaky: something is wrong, but not every time that it is run again".to_owned(),
        Exit::Stale => "a law that is listed as a known failure holds; take it off the list".to_owned(),
        Exit::Usage | Exit::Incomplete | Exit::Internal => String::new(),
    };
    let cut = if matches!(outcome.end, End::OutOfTime) { "; the time was up before all programs had run" } else { "" };
    format!("{did}: {result}{cut} (exit {})", exit as i32)
}

/// Saves, shrinks, saves again and shows a counterexample; `file` is where it came from, if it was saved before. That file
/// is left as it is: it may be another heap's failure too.
#[allow(clippy::too_many_arguments, reason = "it is where everything comes together")]
fn show(
    options: &Options,
    heaps: &[Bundled],
    campaign: &Campaign,
    file: Option<&(PathBuf, Program)>,
    found: &Counterexample,
    outcome: &Outcome,
    subject: &mut dyn Subject,
    mut monitor: Monitor,
) -> Result<Shown, Trouble> {
    let path = |found: &Counterexample| match file {
        Some((file, program)) if *program == found.program() => file.clone(),
        _ => options.out.join(saved::name(&found.breach, &found.program())),
    };
    let heap = found.history.claims.name.to_string();
    let replay = |found: &Counterexample, again: Option<Again>| {
        let line = options.who.replay(&path(found), &options.laws, heaps);
        match again.filter(|again| again.is_flaky()) {
            Some(_) => line.replacen("replay", &format!("replay --times {}", campaign::AGAIN), 1),
            None => line,
        }
    };
    let check = {
        let cases = found.case.map_or(0, |case| case + 1 - campaign.from);
        let from = if campaign.from == 0 { String::new() } else { format!(" --from {}", campaign.from) };
        let start = format!("heaplaw check --seed {:#x}{from} --cases {cases} --ops {}", campaign.seed, campaign.ops);
        options.who.line(start, &options.laws, heaps)
    };
    let write = |found: &Counterexample, again: Option<Again>| {
        let path = path(found);
        if file.is_some_and(|(file, _)| *file == path) {
            return Ok(());
        }
        let flaky = again.filter(|again| again.is_flaky()).map(|again| Flaky { again, check: &check });
        saved::save(&path, &heap, &replay(found, again), found, flaky).map_err(|source| Trouble::Write { path, source })
    };
    if file.is_none() {
        write(found, None)?;
    }

    let (title, place) = match &found.breach {
        Breach::Law(law, _) => (format!("law {} {}", law.number, law.name), "broken by"),
        Breach::Failure(failure) => (failure.to_string(), "in"),
    };
    let number = match (file, found.case) {
        (Some((file, _)), _) => file.display().to_string(),
        (None, case) => format!("program {}", grouped(case.unwrap_or_default() + 1)),
    };
    let (after, length) = (outcome.elapsed.as_secs_f64(), counted(found.program().len() as u64, "operation"));
    monitor.say(format_args!("{title}: {place} {number}, after {after:.2} s ({length})"));

    let (shown, again) = if matches!(found.breach, Breach::Failure(Failure::Hung(_))) {
        monitor.say(format_args!("  not shrunk: each try would take {:?}", options.who.timeout));
        (found.clone(), None)
    } else {
        let shrunk = shrink(found, subject, &mut monitor);
        (shrunk.counterexample, Some(shrunk.again))
    };
    write(&shown, again)?;
    if file.is_none() && path(&shown) != path(found) {
        // What it was before it was shrunk is no longer needed; if it stays, no harm is done.
        let _ = std::fs::remove_file(path(found));
    }
    monitor.end();
    anstream::println!();
    anstream::print!("{}", text::counterexample(&shown));
    anstream::println!();
    let path = path(&shown);
    let argument = quoted(&path.to_string_lossy());
    anstream::println!("  wrote  {}", path.display());
    let often =
        again.map_or(String::new(), |again| format!("   # {}{again}", if again.is_flaky() { "FLAKY: " } else { "" }));
    let replay = replay(&shown, again);
    anstream::println!("  replay {replay}{often}");
    if !options.who.in_process() {
        anstream::println!("  by hand {} < {argument}", options.who.command_line());
    }
    if again.is_some_and(Again::is_flaky) {
        anstream::println!("  again  {check}   # the run that came upon it");
    }
    anstream::println!("  keep   git add {argument}   # runs first from now on\n");
    Ok(Shown { counterexample: shown, file: path, replay, again })
}

fn shrink(found: &Counterexample, subject: &mut dyn Subject, monitor: &mut Monitor) -> Shrunk {
    monitor.turn_to("shrinking");
    let start = Instant::now();
    let shrunk = campaign::shrink(subject, found.clone(), Budget::default(), monitor);
    let again = shrunk.again;
    match shrunk.unsteady {
        _ if again.failed == 0 => {
            monitor.say(format_args!(
                "  not shrunk: it did not show again when it was run {} times by itself",
                again.runs
            ));
        }
        Some(after) => {
            monitor.say(format_args!("  not shrunk: it {again}, and what it would shrink to only {}", after.failed));
        }
        None => {
            let (from, to) = (shrunk.from, shrunk.counterexample.program().len());
            let (seconds, tries) = (start.elapsed().as_secs_f64(), counted(shrunk.tries, "try"));
            let cut_off = if shrunk.cut_off { "; cut off, so it may be larger than it need be" } else { "" };
            monitor.say(format_args!("  shrunk from {from} to {to} operations in {seconds:.2} s ({tries}{cut_off})"));
        }
    }
    if again.is_flaky() {
        monitor
            .say(format_args!("  FLAKY: it {again} when it is run again, so it depends on more than its operations"));
    }
    shrunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_seed_that_nobody_named_is_that_of_the_directory() {
        use crate::drive::InProcess;
        use heaplaw_reference::{machine::Machine, protocol::Protocol};
        let dir = std::env::temp_dir().join(format!("heaplaw-check-{}", std::process::id()));
        let options = |words: &[&str]| {
            let here = dir.to_string_lossy();
            let words = [&["check", "--dir", &here], words].concat();
            Words::try_parse_from(words).expect("a command line").options
        };
        let claims = InProcess::new(|| Machine::new(Protocol::HYBRID)).reset().expect("it starts");
        // Another shard has chosen a seed since this one looked.
        let part = |seed| Campaign { seed, from: 500, cases: 250, ..Campaign::default() };
        let opened = |seed: u64, words: &[&str]| {
            let mut campaign = part(seed);
            let shard = Shard::new(2, 4).expect("a shard");
            let journal = open(&dir, &options(words), &mut campaign, 1_000, &claims, &[], shard);
            journal.map(|journal| (campaign.seed, journal.cases())).map_err(|trouble| trouble.to_string())
        };
        assert_eq!(opened(7, &[]), Ok((7, 500..750)));
        assert_eq!(opened(8, &[]), Ok((7, 500..750)));
        assert!(
            opened(8, &["--seed", "8"]).is_err_and(|why| why.contains("another campaign: seed \"0x7\", not \"0x8\""))
        );
        assert_eq!(opened(7, &["--seed", "7"]), Ok((7, 500..750)));
        let there = Identity::read(&dir).expect("a file").expect("it is there");
        assert_eq!((there.seed(), there.cases()), (7, 1_000));
        assert!(seed_of(&options(&[])).is_ok_and(|seed| seed == 7));
        assert!(seed_of(&options(&["--seed", "0x9"])).is_ok_and(|seed| seed == 9));
        std::fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn power_is_told_of_what_was_drawn_and_judged() {
        let claims = |all: &[Capability]| Some(Claims::new("x").with(all));
        let campaign = Campaign::default();
        let mut outcome = nothing_yet(&campaign, claims(&[Capability::Collect]), End::Finished).outcome;
        outcome.programs = 1_000;
        let none = power::told(&Detections::kept(), 990, &std::collections::BTreeSet::new());
        assert_eq!(detection_power(&outcome, 10), none, "no law was looked at");
        outcome.tallies.iter_mut().for_each(|tally| tally.checks = 1);
        let all = campaign.laws.iter().map(|law| law.number).collect();
        let told = detection_power(&outcome, 10);
        assert_eq!(told, power::told(&Detections::kept(), 990, &all));
        assert!(told != none && told.contains("power: 990 programs"), "{told}");
        outcome.claims = claims(&[Capability::Free]);
        assert_eq!(detection_power(&outcome, 10), "", "bugs of collectors were seeded");
        outcome.claims = None;
        assert_eq!((detection_power(&outcome, 10).as_str(), unreached(&outcome).len()), ("", 0));
    }

    #[test]
    fn last_words_count_what_was_done_and_say_what_it_comes_to() {
        let campaign = Campaign { laws: crate::law::Law::numbered(51).into_iter().collect(), ..Campaign::default() };
        let claims = Claims::new("x").with(&[Capability::Collect, Capability::Steps]);
        let mut excused = nothing_yet(&campaign, Some(claims), End::Finished);
        excused.outcome.programs = 1_200;
        excused.outcome.performed = 1;
        let words = last_words(&excused, Exit::Conforms);
        assert_eq!(words, "1,200 programs, 1 operation in 0.0 s: conforms to 0 laws (exit 0)");
        excused.outcome.tallies[0].checks = 1;
        excused.outcome.faults = 2;
        excused.outcome.end = End::OutOfTime;
        let told = |exit| {
            let words = last_words(&excused, exit);
            let start = "1,200 programs, 2 faults felt, 1 operation in 0.0 s: ";
            words.strip_prefix(start).unwrap_or_else(|| panic!("{words}")).to_owned()
        };
        let cut = "; the time was up before all programs had run";
        assert_eq!(told(Exit::Conforms), format!("conforms to 1 law{cut} (exit 0)"));
        let missed = unreached(&excused.outcome).len();
        assert!(missed > 0);
        assert_eq!(told(Exit::Unreached), format!("no law is broken, {missed} of the goals not reached{cut} (exit 3)"));
        for (exit, start) in [
            (Exit::Counterexample, "a law is broken"),
            (Exit::NothingRan, "nothing was judged"),
            (Exit::Interrupted, "interrupted"),
            (Exit::Crashed, "the subject failed to answer"),
            (Exit::Hung, "the subject failed to answer"),
            (Exit::Flaky, "flaky"),
            (Exit::Stale, "a law that is listed"),
        ] {
            assert!(told(exit).starts_with(start), "{exit:?}");
        }
    }
}
