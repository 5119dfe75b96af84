//! The whole heap under shuttle: real mutators, workers and collector's steps, in tables in mapped memory, on threads that a
//! scheduler switches before every atomic access, lock and wait.
//!
//! ```text
//!   scenarios ─▶ program ─▶ world: a run, watched ─▶ failure ─▶ shrink ─▶ file: program, turns, picture
//!                   schedule: who chooses, what was chosen ──┘
//! ```
//!
//! The heap is small: pages of 512 bytes, six size classes, buffers of four (see [`sized`](crate::geometry::sized)). So
//! a run is short, and what happens when something is full happens.
//!
//! What holds of every run is said in [`world`]. That it would be noticed if it did not, the [twins](crate::twin) show: each
//! mistake is found without being told the schedule, made small, saved, and repeated from its file.
//!
//! By default each scenario is run as often as fits into an ordinary test; `HEAPLAW_SCHEDULES=20000` sets how often each
//! scheduler runs it. How often it was run is said in the output.

mod file;
mod program;
mod scenarios;
mod schedule;
mod shrink;
mod tests;
mod world;

use crate::twin::{self, Twin};
use program::Program;
use schedule::{Chooser, Scribe, Track, Turn};
use shuttle::{Config, FailurePersistence, Runner};
use std::{
    cell::Cell,
    fs,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Once, OnceLock},
    time::{Duration, Instant},
};
use world::Told;

/// A run in which something went wrong.
#[derive(Clone, Debug)]
struct Failure {
    message: String,
    program: Arc<Program>,
    twin: Option<Twin>,
    track: Track,
}

/// What came of some runs.
#[derive(Debug, Default)]
struct Outcome {
    runs: usize,
    steps: usize,
    /// That a processor was busy with them.
    time: Duration,
    failure: Option<Failure>,
    /// The calls to the kernel that have failed on purpose.
    refused: usize,
    /// Of the last run, if that was asked for.
    told: Vec<Told>,
}

/// Runs a program up to so many times, until something goes wrong.
fn run(program: &Arc<Program>, twin: Option<Twin>, chooser: Chooser, seed: u64, runs: usize, tell: bool) -> Outcome {
    hush();
    let program = Arc::clone(program);
    // On a thread of its own, as a run that fails leaves shuttle's state on its thread as it was.
    let thread = std::thread::Builder::new().name(QUIET.to_owned()).spawn(move || {
        let begun = clock();
        twin::with(twin);
        world::listen(tell);
        let mut config = Config::new();
        config.failure_persistence = FailurePersistence::None;
        config.silence_warnings = true;
        let scribe = Scribe::new(chooser, seed, runs, || world::wrong().is_some());
        let body = Arc::clone(&program);
        let done = panic::catch_unwind(AssertUnwindSafe(|| Runner::new(scribe, config).run(move || world::run(&body))));
        let ended = done.err().map(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default()
        });
        let failure = world::wrong().or(ended);
        let failure = failure.map(|message| Failure { message, program, twin, track: schedule::track() });
        let (runs, steps) = schedule::total();
        let (told, refused) = (world::told(), world::refused());
        // What a run that failed has left behind is not taken down, but left: its threads are gone.
        if failure.is_some() {
            world::abandon();
        }
        Outcome { runs, steps, time: clock() - begun, failure, refused, told }
    });
    let outcome = thread.expect("there is room for a thread").join().expect("all panics are caught");
    SPENT.set(SPENT.get() + outcome.time);
    outcome
}

thread_local! {
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long the runs have taken that this thread has asked for.
fn spent() -> Duration {
    SPENT.get()
}

/// How long this thread has kept a processor busy: of a machine that has other things to do as well, that is what counts.
/// Where the kernel does not say, the time that has passed.
fn clock() -> Duration {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let busy = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let busy = busy.and_then(|text| text.split(' ').next()?.parse().ok());
    busy.map_or_else(|| BEGUN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// Follows turns; gives what went wrong.
fn replay(program: &Arc<Program>, twin: Option<Twin>, turns: Vec<Turn>) -> Option<Failure> {
    run(program, twin, Chooser::Turns(turns), 0, 1, false).failure
}

/// The name of the threads whose panics are data.
const QUIET: &str = "a batch of runs";

/// Has panics said only on threads that are not such.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Shuttle puts its hook in front of the one that is there, at its first run.
        shuttle::check_random(|| (), 1);
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(QUIET) {
                hook(info);
            }
        }));
    });
}
