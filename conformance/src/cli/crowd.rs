//! `check --mutators`: an allocator under threads that hand blocks to one another.
//!
//! The threads are in a process of its own: this command again, for a library as `heaplaw check --heap malloc --mutators N`
//! behind `LD_PRELOAD`. What that process prints is passed on; if a signal ends it, or it falls silent, the program that it
//! was at is told. It cannot watch itself: what an allocator that hangs holds may be what it takes to say so.
//!
//! What comes of a program depends on the scheduler, so nothing is shrunk: a program that breaks a law is run again a few
//! times, to tell how often it does.

use super::{Bundled, Exit, MALLOC, Trouble, Who, bundled, check, preload};
use crate::{
    campaign::AGAIN,
    drive::{
        Failure,
        crowd::{Note, Plan},
    },
    generate::choices::Seed,
    law::{crowd::judge, parallel::Breach},
    report::text::{counted, grouped},
};
use std::{
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// What is to be done.
struct Threads {
    threads: u8,
    seed: u64,
    cases: u64,
    /// Operations of a program; a thread does [so many times](ACTS) as much.
    ops: u32,
    time: Option<Duration>,
}

/// How many programs to run if nothing is said.
const CASES: u64 = 3_000;

/// Acts of a thread for each operation that a program would have: threads meet one another only now and then.
const ACTS: u32 = 10;

/// What the child says before each run of a program.
const AT: &str = "at program ";

/// Set for the child.
const VARIABLE: &str = "HEAPLAW_AT";

/// Whether the heap that is meant is an allocator that threads can share.
pub(super) fn is_meant(who: &Who, heaps: &[Bundled]) -> Result<bool, Trouble> {
    match &who.heap {
        Some(name) => Ok(bundled(heaps, name)?.crowd.is_some()),
        None if who.allocator.is_none() && who.command.is_empty() => {
            Ok(heaps.first().is_some_and(|heap| heap.crowd.is_some()))
        }
        None => Ok(who.allocator.is_some()),
    }
}

pub(super) fn run(options: &check::Options, threads: u8, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let asked = [
        ("--json", options.json.is_some()),
        ("--junit", options.junit.is_some()),
        ("--known", options.known.is_some()),
        ("--laws", !options.laws.is_empty()),
    ];
    if let Some((option, _)) = asked.iter().find(|(_, asked)| *asked) {
        return Err(Trouble::Usage(format!("{option} is not there for the threads of an allocator")));
    }
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let cases = options.cases.unwrap_or(CASES);
    let (who, threads) = (&options.who, &Threads { threads, seed, cases, ops: options.ops, time: options.time });
    if std::env::var_os(VARIABLE).is_some() {
        return here(who, threads, heaps);
    }
    let (command, library) = match &who.allocator {
        Some(library) => preload::command(library, heaps).map(|(command, name)| (command, Some(name)))?,
        None => (preload::this_command()?, None),
    };
    child(who, threads, heaps, &command, library.as_deref())
}

/// The command line that does it again.
fn again(who: &Who, threads: &Threads, cases: u64, heaps: &[Bundled]) -> String {
    let Threads { threads, seed, ops, .. } = threads;
    who.line(format!("heaplaw check --mutators {threads} --seed {seed:#x} --cases {cases} --ops {ops}"), "", heaps)
}

/// The child's work.
fn here(who: &Who, threads: &Threads, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let name = heap(who, heaps);
    let Some(crowd) = &bundled(heaps, name)?.crowd else {
        return Err(Trouble::Usage(format!("--mutators: {name} is no allocator that threads can share")));
    };
    let start = Instant::now();
    let (mut checks, mut acts, mut programs) = (0, 0, 0);
    let draw =
        |case| Plan::draw(&mut Seed::case(threads.seed, case), threads.threads, threads.ops.saturating_mul(ACTS));
    let mut first = true;
    for case in 0..threads.cases {
        if threads.time.is_some_and(|time| start.elapsed() >= time) {
            break;
        }
        let plan = draw(case);
        let run = || {
            say(&format!("{AT}{}", case + 1));
            crowd(&plan)
        };
        let account = run();
        if std::mem::take(&mut first) {
            let claims = &account.claims;
            let (threads, seed) = (counted(threads.threads.into(), "thread"), threads.seed);
            say(&format!("heaplaw {}   {}   {threads}\nseed {seed:#x}\n", env!("CARGO_PKG_VERSION"), claims.name));
        }
        programs += 1;
        acts += account.threads.iter().flatten().filter(|note| !matches!(note, Note::Refused)).count() as u64;
        match judge(&account) {
            Ok(looked) => checks += looked,
            Err(breach) => {
                told(&breach, case + 1);
                let shows = || judge(&run()).is_err_and(|other| other.law.number == breach.law.number);
                let shown = 1 + (1..AGAIN).filter(|_| shows()).count();
                say(&format!("  it shows {shown} of {AGAIN} times when the program is run again"));
                say(&format!("  again  {}", again(who, threads, case + 1, heaps)));
                say(&format!("\n{}: a law is broken (exit 1)", sum(programs, acts, start)));
                return Ok(Exit::Counterexample);
            }
        }
    }
    if checks == 0 {
        say(&format!("{}: nothing was judged (exit 4)", sum(programs, acts, start)));
        return Ok(Exit::NothingRan);
    }
    say(&format!("{}: no law is broken in {} checks (exit 0)", sum(programs, acts, start), grouped(checks)));
    Ok(Exit::Conforms)
}

fn say(text: &str) {
    anstream::println!("{text}");
    // Whoever reads this may have to tell where it ended.
    _ = anstream::stdout().flush();
}

fn sum(programs: u64, acts: u64, start: Instant) -> String {
    let (programs, acts) = (counted(programs, "program"), counted(acts, "act"));
    format!("{programs}, {acts} in {:.1} s", start.elapsed().as_secs_f64())
}

fn told(breach: &Breach, program: u64) {
    let by = breach.thread.map_or(String::new(), |thread| format!(" (thread {thread})"));
    let (law, why, program) = (breach.law, &breach.why, grouped(program));
    say(&format!("law {} {}: broken by program {program}{by}: {why}", law.number, law.name));
    say(&format!("  {}", law.statement));
}

/// The heap that is meant, by its name.
fn heap<'h>(who: &'h Who, heaps: &'h [Bundled]) -> &'h str {
    who.heap.as_deref().unwrap_or_else(|| heaps.first().map_or("", |heap| &heap.name))
}

/// Has the child work, whose `malloc` is the library's if there is one.
fn child(
    who: &Who,
    threads: &Threads,
    heaps: &[Bundled],
    command: &[String],
    library: Option<&str>,
) -> Result<Exit, Trouble> {
    let unstartable = |why: String| {
        anstream::eprintln!("heaplaw: {}", Failure::Unstartable(why));
        Ok(Exit::Crashed)
    };
    let Threads { threads: number, seed, cases, ops, time } = threads;
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env(VARIABLE, "1");
    child.args(["check", "--heap", library.map_or_else(|| heap(who, heaps), |_| MALLOC)]);
    child.args(["--mutators", &number.to_string(), "--seed", &seed.to_string(), "--cases", &cases.to_string()]);
    child.args(["--ops", &ops.to_string()]);
    if let Some(time) = time {
        child.args(["--time", &format!("{}ms", time.as_millis())]);
    }
    let mut child = match child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return unstartable(error.to_string()),
    };
    let output = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || output.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut at, mut broken) = (0, false);
    let hung = loop {
        let line = match lines.recv_timeout(who.timeout) {
            Ok(line) => line,
            Err(error) => break error == RecvTimeoutError::Timeout,
        };
        if let Some(program) = line.strip_prefix(AT) {
            at = program.parse().unwrap_or(at);
            continue;
        }
        broken |= line.starts_with("law ");
        if let Some(again) = line.strip_prefix("  again  ") {
            // The child says how it was started itself.
            let cases = again.split(" --cases ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            say(&format!("  again  {}", self::again(who, threads, cases.unwrap_or(at), heaps)));
            continue;
        }
        if let Some(name) = line.strip_prefix("heaplaw ").and_then(|line| line.split_whitespace().nth(1))
            && let Some(library) = library
            && let Err(failure) = preload::taken(library, name)
        {
            _ = child.kill();
            _ = child.wait();
            anstream::eprintln!("heaplaw: {failure}");
            return Ok(Exit::of(&failure));
        }
        say(&line);
    };
    if hung {
        _ = child.kill();
    }
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return unstartable(error.to_string()),
    };
    let known = [Exit::Conforms, Exit::Counterexample, Exit::NothingRan, Exit::Usage];
    if let Some(exit) = known.into_iter().find(|exit| status.code() == Some(*exit as i32)) {
        return Ok(exit);
    }
    let (failure, exit) = match hung {
        true => (Failure::Hung(who.timeout), Exit::Hung),
        false => (Failure::Crashed(status.to_string()), Exit::Crashed),
    };
    say(&format!("{failure} in program {at}"));
    say(&format!("  again  {}", again(who, threads, at, heaps)));
    // A law that was broken stays so, however the program fared when it was tried again.
    Ok(if broken { Exit::Counterexample } else { exit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use heaplaw_reference::{
        block::{Allocator, Block},
        heap::Claims,
        machine::Machine,
        object::{Address, Shape},
        protocol::Protocol,
    };

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        who: Who,
    }

    /// Refuses everything.
    struct Empty;

    impl Allocator for Empty {
        type Block = Nothing;

        fn claims(&self) -> Claims {
            Claims::new("empty")
        }

        fn allocate(&self, _: Shape, _: u64) -> Option<Nothing> {
            None
        }
    }

    enum Nothing {}

    impl Block for Nothing {
        fn address(&self) -> Address {
            match *self {}
        }

        fn usable(&self) -> u64 {
            match *self {}
        }

        fn read(&self, _: u64, _: &mut [u8]) {
            match *self {}
        }

        fn write(&mut self, _: u64, _: &[u8]) {
            match *self {}
        }
    }

    #[test]
    fn the_first_heap_is_meant_where_nothing_is_named() {
        let heap = || Bundled::new("heap", "", || Machine::new(Protocol::HYBRID));
        let allocator = || Bundled::allocator("allocator", "", || Empty);
        let meant = |heaps: &[Bundled], words: &[&str]| {
            let line = [&["check"], words].concat();
            is_meant(&Words::try_parse_from(line).expect("a command line").who, heaps).ok()
        };
        let (first, last) = ([allocator(), heap()], [heap(), allocator()]);
        assert_eq!([meant(&first, &[]), meant(&last, &[]), meant(&[], &[])], [Some(true), Some(false), Some(false)]);
        for heaps in [&first, &last] {
            assert_eq!(meant(heaps, &["--heap", "allocator"]), Some(true));
            assert_eq!(meant(heaps, &["--heap", "heap"]), Some(false));
            assert_eq!(meant(heaps, &["--heap", "nobody"]), None);
            assert_eq!(meant(heaps, &["--allocator", "a.so"]), Some(true));
            assert_eq!(meant(heaps, &["--", "python3"]), Some(false));
        }
    }
}
