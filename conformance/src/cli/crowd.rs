//! `check --mutators`: an allocator under threads that hand blocks to one another.
//!
//! A library's `malloc` is let loose on threads in a process of its own: this command again, as `heaplaw check --heap
//! malloc --mutators N` behind `LD_PRELOAD`. What that process prints is passed on; if a signal ends it, the program that
//! it was at is told.
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
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// What a child says before each program.
const AT: &str = "at program ";

/// Set for a child that is to say which program it is at.
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
    match &who.allocator {
        Some(library) => {
            let (command, name) = preload::command(library, heaps)?;
            child(who, threads, heaps, &command, &name)
        }
        None => here(who, threads, heaps),
    }
}

/// The command line that does it again.
fn again(who: &Who, threads: &Threads, cases: u64, heaps: &[Bundled]) -> String {
    let Threads { threads, seed, ops, .. } = threads;
    who.line(format!("heaplaw check --mutators {threads} --seed {seed:#x} --cases {cases} --ops {ops}"), "", heaps)
}

/// In this process.
fn here(who: &Who, threads: &Threads, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let name = who.heap.as_deref().unwrap_or_else(|| heaps.first().map_or("", |heap| &heap.name));
    let Some(crowd) = &bundled(heaps, name)?.crowd else {
        return Err(Trouble::Usage(format!("--mutators: {name} is no allocator that threads can share")));
    };
    let tells = std::env::var_os(VARIABLE).is_some();
    let start = Instant::now();
    // The program that is running, and when it began: 0 in between.
    let (program, began) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    watch(who, threads, heaps, &program, &began, start);
    let (mut checks, mut acts, mut programs) = (0, 0, 0);
    let draw =
        |case| Plan::draw(&mut Seed::case(threads.seed, case), threads.threads, threads.ops.saturating_mul(ACTS));
    let mut first = true;
    for case in 0..threads.cases {
        if threads.time.is_some_and(|time| start.elapsed() >= time) {
            break;
        }
        if tells {
            say(&format!("{AT}{}", case + 1));
        }
        let plan = draw(case);
        program.store(case + 1, Ordering::SeqCst);
        began.store(1 + start.elapsed().as_millis() as u64, Ordering::SeqCst);
        let account = crowd(&plan);
        began.store(0, Ordering::SeqCst);
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
                let mut failed = 1;
                for _ in 1..AGAIN {
                    failed += u64::from(judge(&crowd(&plan)).is_err_and(|other| other.law.number == breach.law.number));
                }
                told(&breach, case + 1, failed);
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

fn told(breach: &Breach, program: u64, failed: u64) {
    let by = breach.thread.map_or(String::new(), |thread| format!(" (thread {thread})"));
    let (law, why, program) = (breach.law, &breach.why, grouped(program));
    say(&format!("law {} {}: broken by program {program}{by}: {why}", law.number, law.name));
    say(&format!("  {}\n  it shows {failed} of {AGAIN} times when the program is run again", law.statement));
}

/// Ends the process if a program takes too long: a thread that waits for ever cannot be ended otherwise.
fn watch(
    who: &Who,
    threads: &Threads,
    heaps: &[Bundled],
    program: &Arc<AtomicU64>,
    began: &Arc<AtomicU64>,
    start: Instant,
) {
    let (program, began, limit) = (Arc::clone(program), Arc::clone(began), who.timeout);
    let line = again(who, threads, u64::MAX, heaps);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200).min(limit));
            let since = began.load(Ordering::SeqCst);
            let now = start.elapsed().as_millis() as u64;
            if since > 0 && u128::from(now.saturating_sub(since)) > limit.as_millis() {
                let program = program.load(Ordering::SeqCst);
                say(&format!("{} in program {program}", Failure::Hung(limit)));
                say(&format!("  again  {}", line.replacen(&u64::MAX.to_string(), &program.to_string(), 1)));
                std::process::exit(Exit::Hung as i32);
            }
        }
    });
}

/// In a process whose `malloc` is the library's.
fn child(who: &Who, threads: &Threads, heaps: &[Bundled], command: &[String], library: &str) -> Result<Exit, Trouble> {
    let unstartable = |why: String| {
        anstream::eprintln!("heaplaw: {}", Failure::Unstartable(why));
        Ok(Exit::Crashed)
    };
    let Threads { threads: number, seed, cases, ops, time } = threads;
    let mut child = Command::new(&command[0]);
    child.arg(format!("{VARIABLE}=1")).args(&command[1..]).args(["check", "--heap", MALLOC]);
    child.args(["--mutators", &number.to_string(), "--seed", &seed.to_string(), "--cases", &cases.to_string()]);
    child.args(["--ops", &ops.to_string(), "--timeout", &format!("{}ms", who.timeout.as_millis())]);
    if let Some(time) = time {
        child.args(["--time", &format!("{}ms", time.as_millis())]);
    }
    let mut child = match child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return unstartable(error.to_string()),
    };
    let output = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let mut at = 0;
    for line in output.map_while(Result::ok) {
        if let Some(program) = line.strip_prefix(AT) {
            at = program.parse().unwrap_or(at);
        } else if let Some(again) = line.strip_prefix("  again  ") {
            // The child says how it was started itself.
            let cases = again.split(" --cases ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            say(&format!("  again  {}", self::again(who, threads, cases.unwrap_or(at), heaps)));
        } else {
            if let Some(name) = line.strip_prefix("heaplaw ").and_then(|line| line.split_whitespace().nth(1))
                && let Err(failure) = preload::taken(library, name)
            {
                _ = child.kill();
                _ = child.wait();
                anstream::eprintln!("heaplaw: {failure}");
                return Ok(Exit::of(&failure));
            }
            say(&line);
        }
    }
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return unstartable(error.to_string()),
    };
    let known = [Exit::Conforms, Exit::Counterexample, Exit::NothingRan, Exit::Hung];
    if let Some(exit) = known.into_iter().find(|exit| status.code() == Some(*exit as i32)) {
        return Ok(exit);
    }
    let how = status.signal().map_or(status.to_string(), |_| status.to_string());
    say(&format!("{} in program {at}", Failure::Crashed(how)));
    say(&format!("  again  {}", again(who, threads, at, heaps)));
    Ok(Exit::Crashed)
}
