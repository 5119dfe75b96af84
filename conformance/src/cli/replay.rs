//! `heaplaw replay` and `heaplaw shrink`: one file of operations.
//!
//! A file can be replayed several times, for what does not show every time; and its answers can be printed, to be
//! compared with those of another heap or with the [answers](crate::answers) that come with the corpus.

use super::{Bundled, Exit, Trouble, Who, monitor::Monitor, selected};
use crate::{
    answers,
    campaign::{self, Again, Breach, Counterexample, Watch},
    drive::{Failure, Subject, step},
    history::History,
    report::text,
    saved,
    shrink::Budget,
    verdict::Standing,
};
use clap::Args;
use heaplaw_reference::{graph::Graph, heap::Claims, op::Program};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// The file of operations
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) who: Who,
    /// Judge only by these laws, such as 51,54-60
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(super) laws: String,
}

#[derive(Args)]
pub(super) struct Replay {
    #[command(flatten)]
    options: Options,
    /// Run it so often; a failure that does not show every time is flaky
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
    /// Print each operation with the heap's answer, in the form of conformance/programs/answers, and nothing else
    #[arg(long, conflicts_with = "times")]
    answers: bool,
}

/// What judging a file gave.
enum Seen {
    Nothing(Box<History>, Standing),
    Wrong(Box<Counterexample>),
    Unstartable(Failure),
}

pub(super) fn replay(replay: &Replay, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let options = &replay.options;
    if saved::is_plan(&options.file) {
        if replay.answers {
            let why = "--answers: what threads do has no order, so its answers have none";
            return Err(Trouble::Usage(why.to_owned()));
        }
        return super::threads::replay(options, replay.times, heaps);
    }
    let program = saved::load(&options.file)?;
    let subject = options.who.subject(heaps)?;
    let mut monitor = monitor(options, heaps);
    let mut subject = monitor.timed(subject);
    let ending = if replay.answers { step::Ending::Abrupt } else { step::Ending::Settle };
    let (mut seen, mut failed) = (None, 0);
    for _ in 0..replay.times {
        match see(options, &program, &mut subject, &mut monitor, ending)? {
            // The first failure is shown, if there is one.
            wrong @ Seen::Wrong(_) if failed == 0 => (seen, failed) = (Some(wrong), 1),
            Seen::Wrong(_) => failed += 1,
            other => seen = seen.or(Some(other)),
        }
        if monitor.interrupted() {
            return Ok(Exit::Interrupted);
        }
    }
    monitor.end();
    let again = Again { runs: replay.times, failed };
    let file = options.file.display();
    Ok(match seen {
        None => Exit::NothingRan,
        Some(Seen::Unstartable(failure)) => {
            anstream::eprintln!("heaplaw: {failure}");
            Exit::of(&failure)
        }
        Some(Seen::Wrong(found)) if replay.answers => {
            print!("{}", answers::of(&program, &found.history));
            anstream::eprint!("{}", text::counterexample(&found));
            exit(&found)
        }
        Some(Seen::Nothing(history, _)) if replay.answers => {
            print!("{}", answers::of(&program, &history));
            Exit::Conforms
        }
        Some(Seen::Wrong(found)) => {
            anstream::print!("{}\n{}", text::banner(&found.history.claims), text::counterexample(&found));
            if again.is_flaky() {
                anstream::println!("\n{file}: flaky: it {again}");
                return Ok(Exit::Flaky);
            }
            exit(&found)
        }
        Some(Seen::Nothing(history, standing)) => {
            anstream::print!("{}", text::banner(&history.claims));
            if history.unclaimed > 0 {
                let left_out = text::counted(history.unclaimed as u64, "operation");
                anstream::println!("{left_out} left out: the heap does not claim to perform them");
            }
            let (word, exit) = match standing {
                Standing::Inconclusive => ("nothing was judged: no operation ran, or no law applies", Exit::NothingRan),
                _ => ("every law that applies holds", Exit::Conforms),
            };
            let often = if again.runs > 1 { format!(", {0} of {0} times", again.runs) } else { String::new() };
            anstream::println!("{file}: {word}{often}");
            exit
        }
    })
}

pub(super) fn shrink(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    if saved::is_plan(&options.file) {
        return super::threads::shrink(options, heaps);
    }
    let program = saved::load(&options.file)?;
    let subject = options.who.subject(heaps)?;
    let mut monitor = monitor(options, heaps);
    let mut subject = monitor.timed(subject);
    let found = match see(options, &program, &mut subject, &mut monitor, step::Ending::Settle)? {
        Seen::Unstartable(failure) => {
            anstream::eprintln!("heaplaw: {failure}");
            return Ok(Exit::of(&failure));
        }
        Seen::Nothing(..) => {
            anstream::eprintln!("{}: every law that applies holds; there is nothing to shrink", options.file.display());
            return Ok(Exit::Conforms);
        }
        Seen::Wrong(found) => found,
    };
    let exit = exit(&found);
    monitor.turn_to("shrinking");
    let shrunk = campaign::shrink(&mut subject, *found, Budget::default(), &mut monitor);
    monitor.end();
    let (file, again) = (options.file.display(), shrunk.again);
    match shrunk.unsteady {
        _ if again.failed == 0 => {
            anstream::eprintln!("{file}: the failure did not show again when it was run {} times", again.runs);
            return Ok(Exit::Flaky);
        }
        Some(after) => {
            anstream::eprintln!("{file}: it {again}, and what it would shrink to only {}", after.failed);
            return Ok(exit);
        }
        None => {}
    }
    let after = shrunk.counterexample.program();
    let cut_off = if shrunk.cut_off { "; cut off, so it may be larger than it need be" } else { "" };
    anstream::eprintln!("shrunk from {} to {} operations{cut_off}", shrunk.from, after.len());
    anstream::eprint!("{}", text::counterexample(&shrunk.counterexample));
    print!("{after}");
    if again.is_flaky() {
        anstream::eprintln!("{file}: flaky: it {again}");
        return Ok(Exit::Flaky);
    }
    Ok(exit)
}

fn monitor(options: &Options, heaps: &[Bundled]) -> Monitor {
    Monitor::start(1, options.who.watchdog(None, &options.laws, heaps))
}

fn see(
    options: &Options,
    program: &Program,
    subject: &mut dyn Subject,
    monitor: &mut Monitor,
    ending: step::Ending,
) -> Result<Seen, Trouble> {
    let laws = selected(&options.laws)?;
    monitor.about_to_run(program, 0);
    let judged = campaign::judge(subject, program, ending, &laws);
    // What the driver does to settle is not what the file is about.
    let meant = |history: &History| performed(program, &history.claims) > 0;
    Ok(match judged {
        Err(failure) => Seen::Unstartable(failure),
        Ok((history, judged)) => match judged.breach {
            Some(breach) => Seen::Wrong(Box::new(Counterexample { breach, history, case: None })),
            None => {
                let standing = if meant(&history) { judged.verdict.standing() } else { Standing::Inconclusive };
                Seen::Nothing(Box::new(history), standing)
            }
        },
    })
}

/// How many operations of a program mean something and are claimed.
fn performed(program: &Program, claims: &Claims) -> usize {
    let mut graph = Graph::new();
    let mut performed = 0;
    for op in program.ops().iter().filter(|op| claims.allow(op)) {
        performed += usize::from(graph.allows(op));
        graph.apply(op);
    }
    performed
}

fn exit(found: &Counterexample) -> Exit {
    match &found.breach {
        Breach::Law(..) => Exit::Counterexample,
        Breach::Failure(failure) => Exit::of(failure),
    }
}
