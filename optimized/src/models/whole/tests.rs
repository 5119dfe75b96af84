//! What is asked of the whole heap, and of those who ask.

use super::{
    super::{number, schedules},
    Failure, Outcome, file,
    program::Program,
    replay, run,
    scenarios::{Scenario, scenarios},
    schedule::{Chooser, Turn},
    shrink::shrink,
    spent,
};
use crate::{
    sync::{AtomicU64, Ordering, quietly, thread},
    twin::{ALL, Twin},
};
use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

/// How often each scheduler runs each scenario.
fn often() -> usize {
    schedules(400)
}

/// How many times each mistake is looked for, each time with other schedules.
fn seeds() -> u64 {
    number("HEAPLAW_SEEDS", 3) as u64
}

/// A failure as it is shown to who has to mend it: small, drawn, and in a file.
fn shown(name: &str, failure: &Failure) -> String {
    let small = shrink(failure);
    let saved = file::save(&small, &name.replace(|c: char| !c.is_alphanumeric(), "-"));
    let saved = saved.map_or_else(|error| error.to_string(), |path| path.display().to_string());
    format!("{name}: {}\n{}\nsaved: {saved}", failure.message, file::text(&small))
}

fn nothing_goes_wrong(scenarios: Vec<Scenario>, choosers: impl Fn(&Program) -> Vec<(Chooser, usize)>) {
    let mut failures = Vec::new();
    for Scenario { name, program } in scenarios {
        let program = Arc::new(program);
        let (mut runs, mut steps, mut time, mut refused) = (0, 0, Duration::ZERO, 0);
        for (chooser, often) in choosers(&program) {
            let outcome = run(&program, None, chooser, 1, often, false);
            (runs, steps, time) = (runs + outcome.runs, steps + outcome.steps, time + outcome.time);
            refused += outcome.refused;
            if let Some(failure) = outcome.failure {
                failures.push(shown(name, &failure));
                break;
            }
        }
        let speed = runs as f64 / time.as_secs_f64();
        println!("{name}: {runs} schedules of {} steps, {speed:.0} a second", steps / runs);
        assert_eq!(refused > 0, program.faults.1 > 0, "{name}: {refused} calls have failed");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn nothing_is_lost_by_hand() {
    let often = often();
    println!("{often} schedules of each scheduler");
    nothing_goes_wrong(scenarios(), |_| {
        vec![(Chooser::Random, often), (Chooser::Pct(3), often), (Chooser::Uniform, often)]
    });
}

#[test]
fn nothing_is_lost_by_chance() {
    // A program for every 20 schedules: another program shows more than another schedule.
    let programs = often().div_ceil(20) as u64;
    println!("{programs} programs of each kind");
    for (name, mutators, ops, workers) in [
        ("drawn: two mutators and steps", 2, 10, 0),
        ("drawn: two mutators and a worker", 2, 10, 1),
        ("drawn: three mutators and steps", 3, 7, 0),
        ("drawn: three mutators and two workers", 3, 7, 2),
    ] {
        let (mut runs, mut steps, mut time) = (0, 0, Duration::ZERO);
        for seed in 0..programs {
            let program = Arc::new(Program::draw(seed, mutators, ops, workers));
            for chooser in [Chooser::Random, Chooser::Pct(3)] {
                let outcome = run(&program, None, chooser, seed, 20, false);
                (runs, steps, time) = (runs + outcome.runs, steps + outcome.steps, time + outcome.time);
                if let Some(failure) = outcome.failure {
                    panic!("{}", shown(&format!("{name} {seed}"), &failure));
                }
            }
        }
        let speed = runs as f64 / time.as_secs_f64();
        println!("{name}: {runs} schedules of {} steps, {speed:.0} a second", steps / runs);
    }
}

#[test]
fn nothing_is_lost_by_a_single_switch_wherever_it_is() {
    // All of them in the short scenarios; of the others, every so many.
    nothing_goes_wrong(scenarios(), |program| {
        let plain = run(&Arc::new(program.clone()), None, Chooser::Turns(Vec::new()), 0, 1, false);
        let all = plain.steps * (program.lanes.len() + program.workers + 1);
        let stride = all.div_ceil(2 * often());
        (0..=program.lanes.len()).map(|first| (Chooser::Single { first, stride }, usize::MAX)).collect()
    });
}

/// Where each mistake shows, of the scenarios: by a word of its name.
fn shows(twin: Twin) -> &'static str {
    match twin {
        Twin::Deletion => "loads and unlinks",
        Twin::Insertion => "is not scanned",
        Twin::Arming => "about to store without it",
        Twin::Blacken => "a mutator that runs",
        Twin::Joining => "who joins takes",
        Twin::Leaving => "it alone has recorded",
        Twin::Flushing | Twin::Recheck => "flushed late",
        Twin::Sending => "is sent",
        Twin::Borrowing => "whoever allocates",
        Twin::Unwinding => "a body panics",
        Twin::InHand => "two workers mark",
        Twin::Release | Twin::Counting => "whoever allocates",
        Twin::Claiming | Twin::Sweeping => "two take steps",
        Twin::Waking => "two order a cycle",
        Twin::Halting => "come and go while all are halted",
        Twin::Newborn | Twin::Late => "born since",
        Twin::Grouping => unreachable!("no collected heap has a page cache; see `models::pages`"),
    }
}

fn scenario(twin: Twin) -> Arc<Program> {
    let part = shows(twin);
    let found = scenarios().into_iter().find(|scenario| scenario.name.contains(part));
    Arc::new(found.unwrap_or_else(|| panic!("no scenario is about {part:?}")).program)
}

/// Looks for a mistake with all schedulers in turn, none of which knows where it is.
fn hunt(twin: Twin, seed: u64) -> Outcome {
    let program = scenario(twin);
    let (mut runs, mut steps, mut time) = (0, 0, Duration::ZERO);
    for round in 0..40 {
        for chooser in [Chooser::Pct(3), Chooser::Random, Chooser::Uniform] {
            let outcome = run(&program, Some(twin), chooser, seed * 1000 + round, 200, false);
            (runs, steps, time) = (runs + outcome.runs, steps + outcome.steps, time + outcome.time);
            if outcome.failure.is_some() {
                return Outcome { runs, steps, time, ..outcome };
            }
        }
    }
    panic!("{twin:?} is not found in {runs} schedules")
}

#[test]
fn every_mistake_is_found_soon() {
    let seeds = seeds();
    println!("{seeds} times each");
    for twin in ALL.into_iter().filter(|twin| *twin != Twin::Grouping) {
        let mut found: Vec<_> = (1..=seeds).map(|seed| hunt(twin, seed)).collect();
        found.sort_by_key(|outcome| outcome.time);
        let (median, worst) = (&found[found.len() / 2], &found[found.len() - 1]);
        let message = median.failure.as_ref().map_or("", |failure| &failure.message);
        println!(
            "{twin:?}: median {:.3} s and {} schedules, at most {:.3} s: {message}",
            median.time.as_secs_f64(),
            median.runs,
            worst.time.as_secs_f64()
        );
        assert!(median.time < Duration::from_secs(5), "{twin:?} takes too long to find");
    }
}

/// What is said, without addresses: the kernel gives others each time.
fn gist(message: &str) -> String {
    let words = message.split(' ').map(|word| if word.starts_with("0x") { "0x" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_failure_is_made_small_and_is_repeated_from_its_file() {
    for twin in [Twin::Deletion, Twin::Insertion, Twin::Flushing, Twin::Sweeping, Twin::Waking] {
        let found = hunt(twin, 1).failure.expect("it was found");
        let begun = spent();
        let small = shrink(&found);
        let time = spent() - begun;
        println!(
            "{twin:?}: {} operations and {} switches become {} and {}, in {:.1} s\n{}",
            found.program.len(),
            found.track.switches,
            small.program.len(),
            small.track.switches,
            time.as_secs_f64(),
            file::text(&small)
        );
        assert!(time < Duration::from_secs(30), "{twin:?} takes too long to make small");
        assert!(small.program.len() <= 12 && small.track.switches <= 8, "{twin:?} is not small");
        let again = shrink(&found);
        assert_eq!((&again.program, &again.track), (&small.program, &small.track), "another one each time");

        let path = file::save(&small, &format!("{twin:?}")).expect("a file can be written");
        let saved = file::parse(&fs::read_to_string(&path).expect("and read")).expect("it is what was written");
        assert_eq!((&saved.program, saved.twin, &saved.turns), (&small.program, Some(twin), &small.track.turns));
        for _ in 0..100 {
            let failure = replay(&saved.program, saved.twin, saved.turns.clone()).expect("it fails each time");
            assert_eq!((gist(&failure.message), &failure.track), (gist(&small.message), &small.track));
        }
        let harmless = replay(&saved.program, None, saved.turns.clone());
        assert!(harmless.is_none(), "without the mistake: {harmless:?}");
    }
}

#[test]
fn a_picture_shows_how_objects_turn_grey_and_black() {
    let program = Arc::new(Program::new(0, "alloc r0, alloc r1, store r0 0 r1, put g0 r0", &["collect"]));
    let told = run(&program, None, Chooser::Turns(Vec::new()), 0, 1, true).told;
    let mut seen: Vec<&str> = told.iter().map(|told| told.colours.as_str()).filter(|text| !text.is_empty()).collect();
    seen.dedup();
    // The globals lead to the first, and that to the second, which is shaded when all fields of the first are read. So
    // it is in the cycles that come at the end, too.
    let cycle = ["1○ 2○", "1◐ 2○", "1● 2○", "1● 2◐", "1● 2●"];
    assert_eq!(seen, cycle.repeat(seen.len().div_ceil(cycle.len())));
    assert!(!seen.is_empty());
}

/// Follows a file that a run has saved: `HEAPLAW_SCHEDULE=FILE cargo shuttle a_saved_schedule --nocapture`.
#[test]
fn a_saved_schedule_is_followed() {
    let Some(path) = std::env::var_os("HEAPLAW_SCHEDULE") else {
        println!("HEAPLAW_SCHEDULE names no file: nothing is followed");
        return;
    };
    let text = fs::read_to_string(&path).expect("the file can be read");
    let saved = file::parse(&text).expect("the file is a schedule");
    if let Some(failure) = replay(&saved.program, saved.twin, saved.turns) {
        panic!("{}", file::text(&failure));
    }
}

#[test]
fn files_that_are_no_schedules_are_refused() {
    for text in [
        "lane 0 fly r0",
        "lane x alloc r0",
        "lane 0 alloc r9999999999999999999999",
        "turn 1",
        "twin Nobody",
        "turn 1 x",
    ] {
        assert!(file::parse(text).is_err(), "{text}");
    }
    let program = Arc::new(Program::draw(5, 3, 9, 1));
    let turns: Vec<Turn> = vec![(0, 3), (2, 1)];
    let text = format!("# anything\n{program}turn 0 3\nturn 2 1\n");
    assert_eq!(file::parse(&text), Ok(file::Saved { program, twin: None, turns }));
}

/// What two threads see of each other who store and then load; or who each add one, in two steps.
fn seen(program: fn() -> (u64, u64)) -> BTreeSet<(u64, u64)> {
    let all = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let into = Arc::clone(&all);
    shuttle::check_dfs(move || _ = into.lock().expect("one at a time").insert(program()), None);
    let all = all.lock().expect("all are done");
    all.clone()
}

#[test]
fn every_interleaving_of_accesses_is_tried_and_nothing_else() {
    fn both(step: fn(&AtomicU64, &AtomicU64) -> u64) -> (u64, u64) {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let other = Arc::clone(&words);
        let thread = thread::spawn(move || step(&other[0], &other[1]));
        let mine = step(&words[1], &words[0]);
        (mine, thread.join().expect("it ends"))
    }
    fn store_and_load(mine: &AtomicU64, other: &AtomicU64) -> u64 {
        mine.store(1, Ordering::Relaxed);
        other.load(Ordering::Relaxed)
    }
    // Both zero is what processors with store buffers show as well: no interleaving does.
    assert_eq!(seen(|| both(store_and_load)), BTreeSet::from([(0, 1), (1, 0), (1, 1)]));
    assert_eq!(
        seen(|| {
            let word = Arc::new(AtomicU64::new(0));
            let other = Arc::clone(&word);
            let add = |word: &AtomicU64| word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            let thread = thread::spawn(move || add(&other));
            add(&word);
            thread.join().expect("it ends");
            (word.load(Ordering::Relaxed), quietly(|| word.load(Ordering::Relaxed)))
        }),
        BTreeSet::from([(1, 1), (2, 2)])
    );
}
