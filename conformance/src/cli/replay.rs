//! `heaplaw replay` and `heaplaw shrink`: one file of operations.

use super::{Bundled, Exit, Trouble, Who, monitor::Monitor, selected};
use crate::{
    campaign::{self, Breach, Counterexample, Watch},
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
    file: PathBuf,
    #[command(flatten)]
    who: Who,
    /// Judge only by these laws, such as 51,54-60
    #[arg(long, value_name = "LIST", default_value = "")]
    laws: String,
}

/// What judging a file gave.
enum Seen {
    Nothing(Box<History>, Standing),
    Wrong(Box<Counterexample>),
    Unstartable(Failure),
}

pub(super) fn replay(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let program = saved::load(&options.file)?;
    let subject = options.who.subject(heaps)?;
    let mut monitor = monitor(options, heaps);
    let mut subject = monitor.timed(subject);
    let seen = see(options, &program, &mut subject, &mut monitor, step::Ending::Settle)?;
    monitor.end();
    Ok(match seen {
        Seen::Unstartable(failure) => {
            anstream::eprintln!("heaplaw: {failure}");
            Exit::of(&failure)
        }
        Seen::Wrong(found) => {
            anstream::print!("{}\n{}", text::banner(&found.history.claims), text::counterexample(&found));
            exit(&found)
        }
        Seen::Nothing(history, standing) => {
            anstream::print!("{}", text::banner(&history.claims));
            if history.unclaimed > 0 {
                let left_out = text::counted(history.unclaimed as u64, "operation");
                anstream::println!("{left_out} left out: the heap does not claim to perform them");
            }
            let (word, exit) = match standing {
                Standing::Inconclusive => ("nothing was judged: no operation ran, or no law applies", Exit::NothingRan),
                _ => ("every law that applies holds", Exit::Conforms),
            };
            anstream::println!("{}: {word}", options.file.display());
            exit
        }
    })
}

pub(super) fn shrink(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
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
    if !shrunk.reproduces {
        anstream::eprintln!("{}: the failure did not show a second time", options.file.display());
        return Ok(exit);
    }
    let after = shrunk.counterexample.program();
    let cut_off = if shrunk.cut_off { "; cut off, so it may be larger than it need be" } else { "" };
    anstream::eprintln!("shrunk from {} to {} operations{cut_off}", shrunk.from, after.len());
    anstream::eprint!("{}", text::counterexample(&shrunk.counterexample));
    print!("{after}");
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
