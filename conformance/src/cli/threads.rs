//! `heaplaw check --mutators N`, and `replay` and `shrink` for what it saves.
//!
//! Only heaps that are linked into the command can be put to threads: an adapter answers one line after the other.
//!
//! A failure between threads shows in some runs and not in others, so the exit code says what was found and not whether
//! it always shows: 1 if a law is broken, 5 for a crash, 6 for a hang. How often it shows is told beside it.

use super::{
    Bundled, Exit, Trouble, Who, bundled,
    check::{self, write_reports},
    monitor::{Monitor, Watchdog},
    quoted, replay as replaying, selected_of,
};
use crate::{
    campaign::{
        Again, Breach, End,
        threads::{self, AGAIN, Campaign, Found, Outcome, Watch, law_of, once},
    },
    drive::parallel::{Plan, Shareable, watch::Board},
    known::{self, Excused},
    law::{Law, parallel},
    report::{
        Check, SavedPlan, Threads,
        text::{self, counted, grouped},
    },
    saved,
    shrink::plan,
};
use heaplaw_reference::op::MUTATORS;
use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long shrinking may take.
const SHRINKING: Duration = Duration::from_secs(20);

/// The heap that is meant, if threads can share it.
fn shareable<'h>(who: &Who, heaps: &'h [Bundled]) -> Result<&'h dyn Shareable, Trouble> {
    if !who.in_process() {
        let why = "threads are for heaps that are linked into the command: an adapter answers one line after the other";
        return Err(Trouble::Usage(why.to_owned()));
    }
    let first = heaps.first().map(|heap| heap.name.as_str()).unwrap_or_default();
    let heap = bundled(heaps, who.heap.as_deref().unwrap_or(first))?;
    heap.threads.as_deref().ok_or_else(|| Trouble::Usage(format!("threads cannot share the heap {}", heap.name)))
}

fn laws(list: &str) -> Result<Vec<&'static Law>, Trouble> {
    selected_of(parallel::LAWS.iter().collect(), list)
}

fn watchdog(who: &Who, out: Option<&Path>, laws: &str, heaps: &[Bundled], board: &Arc<Board>) -> Option<Watchdog> {
    let watchdog = who.watchdog(out, laws, heaps)?;
    Some(Watchdog { board: Some(Arc::clone(board)), ..watchdog })
}

pub(super) fn check(options: &check::Options, mutators: u8, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    if mutators > MUTATORS {
        return Err(Trouble::Usage(format!("--mutators {mutators}: a heap has at most {MUTATORS}")));
    }
    if options.known.is_some() {
        return Err(Trouble::Usage("--known: no failure between threads is known to show each time".to_owned()));
    }
    let heap = shareable(&options.who, heaps)?;
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    let (cases, ops, time) = (options.cases.unwrap_or(3_000), options.ops, options.time);
    let mut laws = laws(&options.laws)?;
    if mutators == 1 && options.laws.is_empty() {
        laws.retain(|law| !parallel::BETWEEN.contains(&law.number));
    }
    let campaign = Campaign { seed, cases, ops, mutators, time, laws };
    let saved = saved::plans(&options.out)?;
    let claims = heap.claims();
    report(options, &campaign, &campaign.nothing_yet(claims.clone(), End::Interrupted), None, None)?;
    let board = Arc::new(Board::default());
    let watchdog = watchdog(&options.who, Some(&options.out), &options.laws, heaps, &board);
    let runs = cases + saved.len() as u64 * threads::SAVED;
    let mut monitor = Monitor::start(runs, watchdog);
    let first = match saved.len() as u64 {
        0 => String::new(),
        n => {
            format!("   {} of {} first, {} times each", counted(n, "saved plan"), options.out.display(), threads::SAVED)
        }
    };
    let mutators = counted(u64::from(mutators), "mutator");
    monitor
        .say(format_args!("{}seed {seed:#x}   {mutators} and a collector, on threads{first}\n", text::banner(&claims)));
    if Path::new(known::FILE).exists() {
        monitor.say(format_args!("{} is for programs without threads, and is not looked at", known::FILE));
    }
    let plans: Vec<Plan> = saved.iter().map(|(_, plan)| plan.clone()).collect();
    let outcome = campaign.run(heap, &plans, &board, &mut monitor);
    let (exit, plan) = conclude(options, heaps, heap, &campaign, &saved, &outcome, &board, monitor)?;
    report(options, &campaign, &outcome, plan.as_ref(), Some(exit))?;
    Ok(exit)
}

fn report(
    options: &check::Options,
    campaign: &Campaign,
    outcome: &Outcome,
    plan: Option<&SavedPlan>,
    exit: Option<Exit>,
) -> Result<(), Trouble> {
    let Campaign { seed, cases, ops, mutators, .. } = *campaign;
    let excused = Excused { outcome: outcome.seen.clone(), seen: Vec::new(), stale: Vec::new() };
    let threads = Some(Threads { mutators, crossings: outcome.crossings, plan });
    let exit = exit.map(|exit| exit as u8);
    write_reports(options, &Check { seed, from: 0, cases, ops, excused: &excused, shown: None, threads, exit })
}

#[expect(clippy::too_many_arguments, reason = "it is where everything comes together")]
fn conclude(
    options: &check::Options,
    heaps: &[Bundled],
    heap: &dyn Shareable,
    campaign: &Campaign,
    saved: &[(PathBuf, Plan)],
    outcome: &Outcome,
    board: &Board,
    mut monitor: Monitor,
) -> Result<(Exit, Option<SavedPlan>), Trouble> {
    let seen = &outcome.seen;
    let mut shown = None;
    let exit = match &outcome.found {
        Some(found) => {
            let file = saved.iter().find(|(_, plan)| found.case.is_none() && *plan == found.plan).map(|(file, _)| file);
            shown = Some(show(options, heaps, heap, found, file, outcome, board, &mut monitor)?);
            breach_exit(&found.breach)
        }
        None if matches!(seen.end, End::Interrupted) => Exit::Interrupted,
        None if seen.tallies.iter().all(|tally| tally.checks == 0) => Exit::NothingRan,
        None => Exit::Conforms,
    };
    monitor.end();
    anstream::print!("{}", text::table(seen, false));
    let parallel::Crossings { foreign, contested, cycles, reused } = outcome.crossings;
    anstream::println!(
        "\n  between threads: {} · {} · {} · {}",
        counted(foreign, "load") + " of another's object",
        counted(contested, "place") + " where several stored",
        counted(cycles, "cycle"),
        counted(reused, "address").replace("addresss", "addresses") + " used again"
    );
    let held = seen.tallies.iter().filter(|tally| tally.checks > 0).count();
    let result = match exit {
        Exit::Conforms => format!("conforms to {}, as far as threads show", counted(held as u64, "law")),
        Exit::Counterexample => "a law is broken; the others are as far as the run went".to_owned(),
        Exit::NothingRan => "nothing was judged: no plan ran, or no law applies".to_owned(),
        Exit::Interrupted => "interrupted; this is how far it went".to_owned(),
        _ => "the subject failed to answer; this is how far it went".to_owned(),
    };
    let cut = if matches!(seen.end, End::OutOfTime) { "; the time was up before all plans had run" } else { "" };
    anstream::println!(
        "\n{}, {} by {} in {:.1} s: {result}{cut} (exit {})",
        counted(seen.programs, "plan"),
        counted(seen.performed, "operation"),
        counted(u64::from(campaign.mutators) + 1, "thread"),
        seen.elapsed.as_secs_f64(),
        exit as i32
    );
    Ok((exit, shown))
}

fn breach_exit(breach: &Breach) -> Exit {
    match breach {
        Breach::Law(..) => Exit::Counterexample,
        Breach::Failure(failure) => Exit::of(failure),
    }
}

/// Saves, measures, shrinks, saves again and shows what went wrong. `file` is where it came from, if it was saved before:
/// that file is left as it is.
#[expect(clippy::too_many_arguments, reason = "it is where everything comes together")]
fn show(
    options: &check::Options,
    heaps: &[Bundled],
    heap: &dyn Shareable,
    found: &Found,
    file: Option<&PathBuf>,
    outcome: &Outcome,
    board: &Board,
    monitor: &mut Monitor,
) -> Result<SavedPlan, Trouble> {
    let title = titled(&found.breach);
    let number = match (file, found.case) {
        (Some(file), _) => file.display().to_string(),
        (None, case) => format!("plan {}", grouped(case.unwrap_or_default() + 1)),
    };
    let (after, length) = (outcome.seen.elapsed.as_secs_f64(), counted(found.plan.len() as u64, "operation"));
    let place = if matches!(found.breach, Breach::Law(..)) { "broken by" } else { "in" };
    monitor.say(format_args!("{title}: {place} {number}, after {after:.2} s ({length})"));

    let path = |plan: &Plan| match file {
        Some(file) => file.clone(),
        None => options.out.join(saved::plan_name(&found.breach, plan)),
    };
    let replay = |plan: &Plan| {
        let line = options.who.replay(&path(plan), &options.laws, heaps);
        line.replacen("replay", &format!("replay --times {AGAIN}"), 1)
    };
    let write = |plan: &Plan, breach: &Breach, thread: Option<usize>, often: &str| {
        if file.is_some() {
            return Ok(());
        }
        let heap = heap.claims().name;
        let about = format!("{heap}\n{}\n{often}replay: {}", told(breach, thread), replay(plan));
        let path = path(plan);
        saved::save_plan(&path, &about, plan).map_err(|source| Trouble::Write { path, source })
    };
    write(&found.plan, &found.breach, found.thread, "")?;
    let (plan, again, told) = reduce(heap, &found.plan, &found.breach, board, monitor);
    monitor.say(format_args!("  {told}"));
    // What is told is what was seen of the plan that is left.
    let seen = witnessed(heap, &plan, &found.breach, board);
    let (breach, thread) = seen.unwrap_or_else(|| (found.breach.clone(), found.thread));
    write(&plan, &breach, thread, &format!("threads: it {again}\n"))?;
    if file.is_none() && path(&plan) != path(&found.plan) {
        // What it was before it was shrunk is no longer needed; if it stays, no harm is done.
        let _ = std::fs::remove_file(path(&found.plan));
    }
    let (path, replay) = (path(&plan), replay(&plan));
    monitor.say(format_args!("\n{}", lanes(&plan, &breach, thread)));
    monitor.say(format_args!("  wrote  {}\n  replay {replay}   # {again}", path.display()));
    monitor.say(format_args!("  keep   git add {}   # runs first from now on\n", quoted(&path.to_string_lossy())));
    Ok(SavedPlan { file: path, replay, again: Some(again) })
}

/// Measures how often a plan fails, and shrinks it; gives what is left, how often that fails, and what is to be told of it.
fn reduce(
    heap: &dyn Shareable,
    plan: &Plan,
    breach: &Breach,
    board: &Board,
    monitor: &mut Monitor,
) -> (Plan, Again, String) {
    monitor.turn_to("shrinking");
    let before = threads::again(heap, (plan, breach), AGAIN, board, monitor);
    if before.failed == 0 {
        let told = format!("not shrunk: it did not show again in {} runs", before.runs);
        return (plan.clone(), before, told);
    }
    let laws = law_of(breach);
    let seed = Cell::new(AGAIN);
    let shrunk = plan::shrink(plan, (before.failed, before.runs), SHRINKING, |plan| {
        if monitor.interrupted() {
            return false;
        }
        seed.set(seed.get() + 1);
        // So that the watchdog knows what to save.
        monitor.about_to_run(plan, 0);
        once(heap, plan, &laws, seed.get(), board).is_some_and(|(seen, _)| seen.is_like(breach))
    });
    let after = threads::again(heap, (&shrunk.plan, breach), AGAIN, board, monitor);
    let tries = counted(shrunk.tries, "try");
    if after.failed == 0 {
        return (plan.clone(), before, format!("not shrunk: what was left after {tries} does not show again"));
    }
    let cut_off = if shrunk.cut_off { "; cut off, so it may be larger than it need be" } else { "" };
    let (from, to) = (plan.len(), shrunk.plan.len());
    let told = format!(
        "shrunk from {from} operations, {} in {}, to {to}, {} in {} ({tries}{cut_off})",
        before.failed, before.runs, after.failed, after.runs
    );
    (shrunk.plan, after, told)
}

/// What is wrong the first time that a plan fails again in the same way.
fn witnessed(heap: &dyn Shareable, plan: &Plan, breach: &Breach, board: &Board) -> Option<(Breach, Option<usize>)> {
    let laws = law_of(breach);
    (0..2 * AGAIN).find_map(|seed| once(heap, plan, &laws, seed, board).filter(|(seen, _)| seen.is_like(breach)))
}

fn titled(breach: &Breach) -> String {
    match breach {
        Breach::Law(law, _) => format!("law {} {}", law.number, law.name),
        Breach::Failure(failure) => failure.to_string(),
    }
}

/// What is wrong and who saw it, in a line.
fn told(breach: &Breach, thread: Option<usize>) -> String {
    let who = thread.map_or("when all was quiet".to_owned(), |thread| format!("seen by mutator {thread}"));
    match breach {
        Breach::Law(law, witness) => format!("law {} {}, {who}: {}", law.number, law.name, witness.why),
        Breach::Failure(failure) => failure.to_string(),
    }
}

/// What every thread does, side by side, and what is wrong.
fn lanes(plan: &Plan, breach: &Breach, thread: Option<usize>) -> String {
    let lanes = plan.mutators.len() + 1;
    let column = |lane: usize| -> Vec<String> {
        let ops = (0..).map_while(|step| plan.op(lane, step));
        ops.map(|op| op.to_string().trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned()).collect()
    };
    let columns: Vec<Vec<String>> = (0..lanes).map(column).collect();
    let mut text = String::new();
    if let Breach::Law(law, _) = breach {
        text.push_str(&format!("  law {}  {}: {}\n", law.number, law.name, law.statement));
    }
    let names =
        (0..lanes).map(|lane| if lane + 1 < lanes { format!("mutator {lane}") } else { "collector".to_owned() });
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let rows =
        (0..longest).map(|row| columns.iter().map(|column| column.get(row).cloned().unwrap_or_default()).collect());
    let rows: Vec<Vec<String>> = [names.collect()].into_iter().chain(rows).collect();
    let width = |lane: usize| rows.iter().map(|row| row[lane].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lanes).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(format!("    {}", cells.collect::<Vec<_>>().join("   ")).trim_end());
        text.push('\n');
    }
    text.push_str(&format!("    ^ {}\n", told(breach, thread)));
    text
}

pub(super) fn replay(options: &replaying::Options, times: u64, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let plan = saved::load_plan(&options.file)?;
    let heap = shareable(&options.who, heaps)?;
    let laws = laws(&options.laws)?;
    let board = Arc::new(Board::default());
    let mut monitor = Monitor::start(times, watchdog(&options.who, None, &options.laws, heaps, &board));
    let (mut runs, mut failed, mut first) = (0, 0, None);
    while runs < times && monitor.about_to_run(&plan, runs) {
        if let Some(seen) = once(heap, &plan, &laws, runs, &board) {
            failed += 1;
            first.get_or_insert(seen);
        }
        runs += 1;
    }
    let interrupted = monitor.interrupted();
    monitor.end();
    let file = options.file.display();
    anstream::print!("{}", text::banner(&heap.claims()));
    if let Some((breach, thread)) = &first {
        anstream::print!("{}", lanes(&plan, breach, *thread));
        anstream::println!("\n{file}: it {}", Again { runs, failed });
    } else {
        anstream::println!("{file}: every law that applies holds, {runs} of {runs} times");
    }
    Ok(match first {
        Some((breach, _)) => breach_exit(&breach),
        None if interrupted => Exit::Interrupted,
        None if plan.is_empty() => Exit::NothingRan,
        None => Exit::Conforms,
    })
}

pub(super) fn shrink(options: &replaying::Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let plan = saved::load_plan(&options.file)?;
    let heap = shareable(&options.who, heaps)?;
    let laws = laws(&options.laws)?;
    let board = Arc::new(Board::default());
    let mut monitor = Monitor::start(AGAIN, watchdog(&options.who, None, &options.laws, heaps, &board));
    let mut run =
        |seed: u64| if monitor.about_to_run(&plan, seed) { once(heap, &plan, &laws, seed, &board) } else { None };
    let Some((breach, thread)) = (0..AGAIN).find_map(&mut run) else {
        monitor.end();
        anstream::eprintln!("{}: every law that applies holds, {AGAIN} of {AGAIN} times", options.file.display());
        return Ok(Exit::Conforms);
    };
    let (plan, again, told) = reduce(heap, &plan, &breach, &board, &mut monitor);
    monitor.end();
    anstream::eprintln!("{told}");
    anstream::eprint!("{}", lanes(&plan, &breach, thread));
    anstream::eprintln!("{}: it {again}", options.file.display());
    print!("{plan}");
    Ok(breach_exit(&breach))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drive::Failure, law::Witness};

    #[test]
    fn what_every_thread_does_stands_side_by_side() {
        let plan = "0 alloc r0 1\n0 store g0 r0\n1 load r0 g0\ngc start\ngc handshake 0\ngc finish\n";
        let plan = Plan::of(&plan.parse().expect("a program")).expect("a plan");
        let witness = Witness { moment: 0, why: "so it is".to_owned(), objects: Vec::new() };
        let breach = Breach::Law(Law::numbered(123).expect("a law"), witness);
        let law = Law::numbered(123).expect("a law").statement;
        let expected = format!(
            "  law 123  balance: {law}
    mutator 0     mutator 1    collector
    alloc r0 1    load r0 g0   gc start
    store g0 r0                gc handshake 0
                               gc finish
    ^ law 123 balance, seen by mutator 1: so it is
"
        );
        assert_eq!(lanes(&plan, &breach, Some(1)), expected);
        let crash = Breach::Failure(Failure::Crashed("c".to_owned()));
        let page = lanes(&plan, &crash, None);
        assert!(page.starts_with("    mutator 0  ") && page.ends_with("\n    ^ the subject crashed: c\n"), "{page}");
        assert_eq!(told(&breach, None), "law 123 balance, when all was quiet: so it is");
        assert_eq!((titled(&breach).as_str(), titled(&crash).as_str()), ("law 123 balance", "the subject crashed: c"));
        assert_eq!([breach_exit(&breach), breach_exit(&crash)], [Exit::Counterexample, Exit::Crashed]);
    }
}
