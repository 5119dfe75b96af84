//! `heaplaw replay` and `heaplaw shrink`: one file of operations.

use super::{
    Bundled, Exit, Trouble, Who,
    check::quietly,
    monitor::{Monitor, Watchdog},
    selected,
};
use crate::{
    campaign::{self, Breach, Counterexample, Watch},
    drive::{Failure, Subject, step},
    report::text,
    saved,
    shrink::Budget,
    verdict::Standing,
};
use clap::Args;
use heaplaw_reference::op::Program;
use std::path::{Path, PathBuf};

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
    Nothing(Standing),
    Wrong(Box<Counterexample>),
    Unstartable(Failure),
}

pub(super) fn replay(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let program = saved::load(&options.file)?;
    let mut subject = options.who.subject(heaps)?;
    let mut monitor = monitor(options, heaps, &options.file);
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
        Seen::Nothing(standing) => {
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
    let mut subject = options.who.subject(heaps)?;
    let mut monitor = monitor(options, heaps, &options.file);
    let found = match see(options, &program, &mut subject, &mut monitor, step::Ending::Settle)? {
        Seen::Unstartable(failure) => {
            anstream::eprintln!("heaplaw: {failure}");
            return Ok(Exit::of(&failure));
        }
        Seen::Nothing(_) => {
            anstream::eprintln!("{}: every law that applies holds; there is nothing to shrink", options.file.display());
            return Ok(Exit::Conforms);
        }
        Seen::Wrong(found) => found,
    };
    let exit = exit(&found);
    monitor.turn_to("shrinking");
    let shrunk = quietly(|| campaign::shrink(&mut subject, *found, Budget::default(), &mut monitor));
    monitor.end();
    if !shrunk.reproduces {
        anstream::eprintln!("{}: the failure did not show a second time", options.file.display());
        return Ok(exit);
    }
    let after = shrunk.counterexample.program();
    anstream::eprintln!("shrunk from {} to {} operations", shrunk.from, after.len());
    anstream::eprint!("{}", text::counterexample(&shrunk.counterexample));
    print!("{after}");
    Ok(exit)
}

fn monitor(options: &Options, heaps: &[Bundled], file: &Path) -> Monitor {
    let out = file.parent().map(Path::to_owned).unwrap_or_default();
    let watchdog = Watchdog { timeout: options.who.timeout, out, replay: options.who.argument(heaps) };
    Monitor::start(1, options.who.in_process().then_some(watchdog))
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
    let judged = quietly(|| campaign::judge(subject, program, ending, &laws));
    monitor.rest();
    Ok(match judged {
        Err(failure) => Seen::Unstartable(failure),
        Ok((history, judged)) => match judged.breach {
            Some(breach) => Seen::Wrong(Box::new(Counterexample { breach, history, case: None })),
            None => Seen::Nothing(judged.verdict.standing()),
        },
    })
}

fn exit(found: &Counterexample) -> Exit {
    match &found.breach {
        Breach::Law(..) => Exit::Counterexample,
        Breach::Failure(failure) => Exit::of(failure),
    }
}
