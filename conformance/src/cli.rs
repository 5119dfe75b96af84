//! The command line, as a library.
//!
//! The command `heaplaw` is [`main`] over the heaps it comes with; a heap author gets the same command for his own heap
//! with `heaplaw_conformance::cli::main(vec![Bundled::new("mine", "my heap", || MyHeap::new())])`.
//!
//! | exit code | meaning                                           |
//! |-----------|---------------------------------------------------|
//! | 0         | the heap conforms                                 |
//! | 1         | a counterexample was found                        |
//! | 2         | wrong usage, or a malformed file                  |
//! | 3         | no law is broken, but a goal was not reached      |
//! | 4         | nothing ran                                       |
//! | 5         | the subject crashed or broke the protocol         |
//! | 6         | the subject hung                                  |
//! | 7         | a law holds that is listed as a known failure     |
//! | 8         | flaky: something is wrong, but not every time that the same operations are run again |
//! | 9         | part of a campaign that shards were to run did not run |
//! | 70        | an internal error                                 |
//! | 130       | interrupted                                       |

mod check;
mod crowd;
mod detections;
mod explore;
mod heaps;
mod merge;
mod monitor;
mod new;
mod power;
mod preload;
mod replay;
mod serve;
mod shard;
mod teeth;
mod threads;

pub use heaps::Bundled;

use crate::{
    chart,
    drive::{self, Failure, InProcess, Subject, process::Process},
    law::{self, Law},
    play,
    report::text,
    saved::{self, FileError},
    shard::journal,
};
use clap::{Args, Parser, Subcommand};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// What `--help` says of exit codes.
const EXIT_CODES: &str = "\
Exit codes:
    0  the heap conforms
    1  a counterexample was found
    2  wrong usage, or a malformed file
    3  no law is broken, but a goal was not reached (with --goals)
    4  nothing ran
    5  the subject crashed or broke the protocol
    6  the subject hung
    7  a law holds that is listed as a known failure
    8  flaky: something is wrong, but not every time that the same operations are run again
    9  part of a campaign that shards were to run did not run
   70  an internal error
  130  interrupted";

#[derive(Parser)]
#[command(
    name = "heaplaw",
    version,
    after_help = EXIT_CODES,
    about = "Judges whether a garbage-collected heap conforms to its executable specification"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run generated programs on a heap and judge them by the laws (this is also what no command does)
    #[command(after_help = EXIT_CODES)]
    Check(check::Options),
    /// Put together what the shards of a campaign have left in their directories, and say what was not run
    #[command(after_help = EXIT_CODES)]
    Merge(merge::Options),
    /// Run a file of operations and judge it
    #[command(after_help = EXIT_CODES)]
    Replay(replay::Replay),
    /// Shrink a file of operations that shows a failure; the result goes to standard output
    Shrink(replay::Options),
    /// List the laws, or tell about some
    Laws {
        /// Law numbers such as 51 54
        numbers: Vec<String>,
    },
    /// Run one file of operations on the machine that paces itself, and draw how large the heap is and when it collects
    Pace {
        /// The file of operations
        file: PathBuf,
    },
    /// Run one file of operations under every barrier, and tell how each fares
    Play {
        /// The file of operations
        file: PathBuf,
    },
    /// Follow every interleaving of a small world, for one collector design or all
    Explore(explore::Options),
    /// Put wrong heaps to the laws and see whether each is caught
    Teeth(teeth::Options),
    /// Answer operations on standard input with a heap that comes with this command, as an adapter does
    Serve(serve::Options),
    /// Write an adapter to start from, for a heap in some language
    New(new::Options),
    /// List the heaps that can be named with --heap
    Heaps,
}

/// The name of the heap that calls the C allocator of its process, if the command comes with one.
pub const MALLOC: &str = "malloc";

/// How long a heap may take, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Which heap is judged.
#[derive(Args)]
struct Who {
    /// A heap that comes with this command (see `heaplaw heaps`); the first of them if nothing is said
    #[arg(long, value_name = "NAME")]
    heap: Option<String>,
    /// A library to judge instead, which exports malloc, calloc, realloc, aligned_alloc, free and malloc_usable_size
    #[arg(long, value_name = "FILE")]
    allocator: Option<PathBuf>,
    /// How long the subject may take over one operation
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// A program to judge instead, which speaks the text form on its standard input and output
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How the command can go wrong, apart from what it finds.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Mutants(#[from] crate::mutants::Error),
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// How a run ended, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Conforms = 0,
    Counterexample = 1,
    Usage = 2,
    Unreached = 3,
    NothingRan = 4,
    Crashed = 5,
    Hung = 6,
    Stale = 7,
    Flaky = 8,
    Incomplete = 9,
    Internal = 70,
    Interrupted = 130,
}

impl Exit {
    fn of(failure: &Failure) -> Exit {
        match failure {
            Failure::Hung(_) => Exit::Hung,
            Failure::Unstartable(_) | Failure::Crashed(_) | Failure::Garbled(_) => Exit::Crashed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command over these heaps and the reference's own; the first is the default.
///
/// The arguments are those of the process. A panic of a heap is not printed, since it is reported as a crash together
/// with the program that led to it.
pub fn main(heaps: Vec<Bundled>) -> ExitCode {
    main_with(heaps, std::env::args_os())
}

/// As [`main`], with these arguments; the first is the name of the program.
pub fn main_with(
    mut heaps: Vec<Bundled>,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Conforms };
            // Nothing is left to do if even this cannot be printed.
            let _ = error.print();
            return code.into();
        }
    };
    heaps.extend(heaps::reference_heaps());
    drive::print_no_panics_of_subjects();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(cli, &heaps)));
    match outcome {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(trouble)) => {
            anstream::eprintln!("heaplaw: {trouble}");
            let exit = match trouble {
                Trouble::Write { .. } | Trouble::Journal(journal::Error::File { .. }) => Exit::Internal,
                _ => Exit::Usage,
            };
            exit.into()
        }
        Err(_) => {
            anstream::eprintln!("heaplaw: internal error; please report it, with the lines above and the command line");
            Exit::Internal.into()
        }
    }
}

fn run(cli: Cli, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    match cli.command {
        None => check::run(&check::Options::default_line(), heaps),
        Some(Command::Check(options)) => check::run(&options, heaps),
        Some(Command::Merge(options)) => merge::run(&options),
        Some(Command::Replay(options)) => replay::replay(&options, heaps),
        Some(Command::Shrink(options)) => replay::shrink(&options, heaps),
        Some(Command::Serve(options)) => serve::run(&options, heaps),
        Some(Command::Laws { numbers }) => laws(&numbers),
        Some(Command::Play { file }) => {
            let story = saved::load(&file)?;
            for ending in play::play(&story) {
                anstream::println!("  {:<11} {}", ending.barrier, ending.told);
            }
            Ok(Exit::Conforms)
        }
        Some(Command::Pace { file }) => {
            anstream::print!("{}", chart::chart(&saved::load(&file)?));
            Ok(Exit::Conforms)
        }
        Some(Command::Explore(options)) => explore::run(&options),
        Some(Command::Teeth(options)) => teeth::run(&options),
        Some(Command::New(options)) => new::run(&options),
        Some(Command::Heaps) => {
            for heap in heaps {
                anstream::println!("{:<44} {}", heap.name, heap.about);
            }
            Ok(Exit::Conforms)
        }
    }
}

fn laws(numbers: &[String]) -> Result<Exit, Trouble> {
    if numbers.is_empty() {
        let line = |law: &Law| anstream::println!("{:>3}  {:<24} {}", law.number, law.name, law.statement);
        law::all().for_each(line);
        anstream::println!("\nwith mutators on threads of their own (heaplaw check --mutators 2):\n");
        law::parallel::LAWS.iter().for_each(line);
    }
    let threads_only = law::parallel::LAWS.iter().filter(|law| Law::numbered(law.number).is_none());
    for law in selected_of(law::all().chain(threads_only).collect(), &numbers.join(","))? {
        if !numbers.is_empty() {
            anstream::print!("{}", text::law(law));
        }
    }
    Ok(Exit::Conforms)
}

/// The laws that a list such as `51,54-60` names; all of them if it is empty.
fn selected(list: &str) -> Result<Vec<&'static Law>, Trouble> {
    selected_of(law::all().collect(), list)
}

/// The same of some laws.
fn selected_of(laws: Vec<&'static Law>, list: &str) -> Result<Vec<&'static Law>, Trouble> {
    let number = |word: &str| {
        word.trim().parse::<u16>().map_err(|_| Trouble::Usage(format!("{word:?} is not the number of a law")))
    };
    let mut chosen = Vec::new();
    for part in list.split(',').filter(|part| !part.trim().is_empty()) {
        let (from, to) = match part.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(part)?, number(part)?),
        };
        let before = chosen.len();
        chosen.extend(laws.iter().copied().filter(|law| (from..=to).contains(&law.number)));
        if chosen.len() == before {
            return Err(Trouble::Usage(format!("there is no law {part}; `heaplaw laws` lists them")));
        }
    }
    Ok(if chosen.is_empty() { laws } else { chosen })
}

/// The heap of this name.
fn bundled<'h>(heaps: &'h [Bundled], name: &str) -> Result<&'h Bundled, Trouble> {
    let heap = heaps.iter().find(|heap| heap.name == name);
    heap.ok_or_else(|| Trouble::Usage(format!("there is no heap {name:?}; `heaplaw heaps` lists them")))
}

impl Who {
    /// The subject that is meant.
    fn subject<'h>(&self, heaps: &'h [Bundled]) -> Result<Box<dyn Subject + 'h>, Trouble> {
        if let Some(library) = &self.allocator {
            if self.heap.is_some() || !self.command.is_empty() {
                return Err(Trouble::Usage("name an allocator, a heap or a command, and only one".to_owned()));
            }
            return Ok(Box::new(preload::subject(library, heaps, self.timeout)?));
        }
        match (&self.heap, self.command.is_empty()) {
            (Some(_), false) => Err(Trouble::Usage("name a heap or a command, not both".to_owned())),
            (None, false) => Ok(Box::new(Process::new(self.command.clone(), self.timeout))),
            (name, true) => {
                let first = heaps.first().map(|heap| heap.name.as_str()).unwrap_or_default();
                let heap = bundled(heaps, name.as_deref().unwrap_or(first))?;
                Ok(Box::new(InProcess::new(&*heap.make)))
            }
        }
    }

    /// Whether the heap runs in this process, where nothing but a watchdog can end a hang.
    fn in_process(&self) -> bool {
        self.command.is_empty() && self.allocator.is_none()
    }

    /// A watchdog for a heap in this process, which saves what hangs in `out` (unless it comes from a file).
    fn watchdog(&self, out: Option<&Path>, laws: &str, heaps: &[Bundled]) -> Option<monitor::Watchdog> {
        // The monitor's thread cannot borrow the heaps; a file's place in the line is kept open instead.
        let gap = Path::new("FILE");
        let line = self.replay(gap, laws, heaps);
        let replay = move |file: &Path| line.replacen("FILE", &quoted(&file.to_string_lossy()), 1);
        self.in_process().then(|| monitor::Watchdog {
            timeout: self.timeout,
            out: out.map(Path::to_owned),
            replay: Box::new(replay),
            board: None,
        })
    }

    /// The command line that replays a file on this subject, judged by these laws.
    fn replay(&self, file: &Path, laws: &str, heaps: &[Bundled]) -> String {
        self.line(format!("heaplaw replay {}", quoted(&file.to_string_lossy())), laws, heaps)
    }

    /// A command line that begins like this, for this subject and these laws.
    fn line(&self, mut line: String, laws: &str, heaps: &[Bundled]) -> String {
        if !laws.is_empty() {
            line.push_str(&format!(" --laws {}", quoted(laws)));
        }
        if self.timeout != TIMEOUT {
            line.push_str(&format!(" --timeout {}", quoted(&humantime::format_duration(self.timeout).to_string())));
        }
        if let Some(library) = &self.allocator {
            line.push_str(&format!(" --allocator {}", quoted(&library.to_string_lossy())));
            return line;
        }
        match self.command.is_empty() {
            true => {
                let first = heaps.first().map(|heap| heap.name.clone()).unwrap_or_default();
                line.push_str(&format!(" --heap {}", quoted(self.heap.as_ref().unwrap_or(&first))));
            }
            false => line.push_str(&format!(" -- {}", self.command_line())),
        }
        line
    }

    /// The command as a shell takes it.
    fn command_line(&self) -> String {
        if let Some(library) = &self.allocator {
            return preload::by_hand(library);
        }
        self.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_are_chosen_by_numbers_and_ranges() {
        let numbers = |list: &str| selected(list).unwrap().iter().map(|law| law.number).collect::<Vec<_>>();
        assert_eq!(numbers("51, 53-55"), [51, 53, 54, 55]);
        assert_eq!(numbers("").len(), law::all().count());
        assert!(selected("51,2000").is_err() && selected("x").is_err());
    }

    #[test]
    fn the_help_and_the_readme_tell_every_exit_code() {
        let all = [
            Exit::Conforms,
            Exit::Counterexample,
            Exit::Usage,
            Exit::Unreached,
            Exit::NothingRan,
            Exit::Crashed,
            Exit::Hung,
            Exit::Stale,
            Exit::Flaky,
            Exit::Incomplete,
            Exit::Internal,
            Exit::Interrupted,
        ];
        let told = EXIT_CODES.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
        assert_eq!(told.collect::<Vec<i32>>(), all.map(|exit| exit as i32));
        let page = include_str!("../../README.md").replace('\n', " ");
        let list = page.split("Exit codes: ").nth(1).and_then(|rest| rest.split(". ").next()).expect("a list of them");
        let told = list.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok());
        assert_eq!(told.collect::<Vec<i32>>(), all.map(|exit| exit as i32), "{list}");
    }

    #[test]
    fn a_command_can_be_pasted_back() {
        assert_eq!(quoted("heap.py"), "heap.py");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        who: Who,
    }

    fn who(words: &[&str]) -> Who {
        Line::try_parse_from(["x"].iter().chain(words)).expect("a command line").who
    }

    #[test]
    fn a_line_to_be_pasted_names_what_was_meant_and_no_more() {
        use heaplaw_reference::{machine::Machine, protocol::Protocol};
        let heaps = vec![Bundled::new("mine", "my heap", || Machine::new(Protocol::HYBRID))];
        let line = |words: &[&str], laws: &str| who(words).line("heaplaw x".to_owned(), laws, &heaps);
        assert_eq!(line(&[], ""), "heaplaw x --heap mine");
        assert_eq!(line(&["--timeout", "10s"], "51,54"), "heaplaw x --laws 51,54 --heap mine");
        assert_eq!(line(&["--timeout", "1m 2s", "--heap", "a b"], ""), "heaplaw x --timeout '1m 2s' --heap 'a b'");
        assert_eq!(line(&["--allocator", "l.so"], "1"), "heaplaw x --laws 1 --allocator l.so");
        let python = ["--", "python3", "my heap.py"];
        assert_eq!(line(&python, ""), "heaplaw x -- python3 'my heap.py'");
        assert_eq!(who(&python).command_line(), "python3 'my heap.py'");
        let by_hand = who(&["--allocator", "/l.so"]).command_line();
        assert_eq!(by_hand, "env LD_PRELOAD=/l.so HEAPLAW_ALLOCATOR=/l.so heaplaw serve malloc");
        assert_eq!(who(&[]).replay(Path::new("a b"), "", &heaps), "heaplaw replay 'a b' --heap mine");
        // Only what runs in this process needs a watchdog.
        let watchdog = who(&["--timeout", "3s"]).watchdog(Some(Path::new("out")), "51", &heaps).expect("a watchdog");
        let (timeout, out) = (watchdog.timeout, watchdog.out.as_deref());
        assert_eq!((timeout, out), (Duration::from_secs(3), Some(Path::new("out"))));
        let replay = (watchdog.replay)(Path::new("a b"));
        assert_eq!(replay, "heaplaw replay 'a b' --laws 51 --timeout 3s --heap mine");
        assert!(who(&python).watchdog(None, "", &heaps).is_none());
        assert!(who(&["--allocator", "l.so"]).watchdog(None, "", &heaps).is_none());
    }
}
