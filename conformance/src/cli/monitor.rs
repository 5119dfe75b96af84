//! The monitor: progress while a campaign runs, and an end to it when it is interrupted or hangs.
//!
//! On a terminal there is a bar with an estimate; elsewhere one line every ten seconds. A heap in this process that
//! never comes back from an operation cannot be stopped, so the monitor then saves the program and ends the process.
//! Only the heap's own time counts.

use super::Exit;
use crate::{
    campaign::{Breach, Watch, threads},
    drive::{
        Failure, Planned, Subject,
        parallel::{Plan, watch::Board},
    },
    report::text::{counted, grouped},
    saved,
};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::{Op, Program},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fmt::Display,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The longest silence.
const BEAT: Duration = Duration::from_secs(10);

/// How often the monitor looks.
const GLANCE: Duration = Duration::from_millis(50);

/// Watches a campaign from a thread of its own.
pub(super) struct Monitor {
    state: Arc<Mutex<State>>,
    interrupted: Arc<AtomicBool>,
    clock: Arc<Clock>,
    bar: ProgressBar,
    thread: Option<JoinHandle<()>>,
}

/// What the campaign tells its monitor.
struct State {
    doing: &'static str,
    programs: u64,
    cases: u64,
    /// The program that runs, for the case that it hangs.
    running: Program,
    /// The same for threads.
    plan: Option<Plan>,
    ended: bool,
}

/// For how long the subject has been busy with one request. What the kit itself takes does not count.
struct Clock {
    start: Instant,
    /// Milliseconds from `start` to the beginning of the request, plus 1; 0 between requests.
    since: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        Clock { start: Instant::now(), since: AtomicU64::new(0) }
    }

    fn during<T>(&self, request: impl FnOnce() -> T) -> T {
        // Relaxed: a number that stands for itself, and the monitor may see it late.
        self.since.store(self.start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let result = request();
        self.since.store(0, Ordering::Relaxed);
        result
    }

    fn busy(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }
}

/// A subject whose requests are timed.
struct Timed<'s> {
    subject: Box<dyn Subject + 's>,
    clock: Arc<Clock>,
}

impl Subject for Timed<'_> {
    fn reset(&mut self) -> Result<Claims, Failure> {
        self.clock.during(|| self.subject.reset())
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        self.subject.ahead(plan)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        self.clock.during(|| self.subject.perform(op, events))
    }

    fn begin_from_nothing(&mut self) {
        self.subject.begin_from_nothing();
    }
}

/// What to do about a heap in this process that hangs.
pub(super) struct Watchdog {
    /// How long one operation may take.
    pub(super) timeout: Duration,
    /// Where to save the program, unless it comes from a file.
    pub(super) out: Option<PathBuf>,
    /// The command line that replays a file.
    pub(super) replay: Box<dyn Fn(&Path) -> String + Send>,
    /// What the heap's threads are doing, if it has any.
    pub(super) board: Option<Arc<Board>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The state is plain data: a panic elsewhere leaves nothing half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Monitor {
    /// Starts to watch a campaign of so many cases; with a watchdog if the heap runs in this process.
    pub(super) fn start(cases: u64, watchdog: Option<Watchdog>) -> Monitor {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        // The second time, the user means it. A handler that cannot be set leaves Ctrl-C as it was.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
        });
        let state = Arc::new(Mutex::new(State {
            doing: "checking",
            programs: 0,
            cases,
            running: Program::default(),
            plan: None,
            ended: false,
        }));
        let clock = Arc::new(Clock::new());
        let bar = ProgressBar::with_draw_target(Some(cases), ProgressDrawTarget::stderr_with_hz(10));
        let style = "{msg} {bar:30} {percent:>3} %  {human_pos} of {human_len} programs  eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message("checking");
        let thread = {
            let (state, clock) = (Arc::clone(&state), Arc::clone(&clock));
            thread::spawn(move || watch(&state, &clock, watchdog.as_ref()))
        };
        Monitor { state, interrupted, clock, bar, thread: Some(thread) }
    }

    /// Prints a line on standard output, clear of the bar.
    pub(super) fn say(&self, line: impl Display) {
        self.bar.suspend(|| anstream::println!("{line}"));
    }

    /// Says what is being done now.
    pub(super) fn turn_to(&self, doing: &'static str) {
        lock(&self.state).doing = doing;
        self.bar.set_message(doing);
    }

    /// The same subject, with the time that it takes measured for the watchdog.
    pub(super) fn timed<'s>(&self, subject: Box<dyn Subject + 's>) -> Box<dyn Subject + 's> {
        Box::new(Timed { subject, clock: Arc::clone(&self.clock) })
    }

    /// Whether the user wants to stop.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Takes the bar away.
    pub(super) fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        lock(&self.state).ended = true;
        self.bar.finish_and_clear();
        if let Some(thread) = self.thread.take() {
            // It only ever panics if printing fails.
            let _ = thread.join();
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Watch for Monitor {
    fn about_to_run(&mut self, program: &Program, programs_so_far: u64) -> bool {
        let mut state = lock(&self.state);
        state.programs = programs_so_far;
        state.running.clone_from(program);
        drop(state);
        self.bar.set_position(programs_so_far);
        !self.interrupted()
    }
}

impl threads::Watch for Monitor {
    fn about_to_run(&mut self, plan: &Plan, plans_so_far: u64) -> bool {
        let mut state = lock(&self.state);
        state.programs = plans_so_far;
        state.plan = Some(plan.clone());
        drop(state);
        self.bar.set_position(plans_so_far);
        !self.interrupted()
    }
}

/// The monitor's thread.
fn watch(state: &Mutex<State>, clock: &Clock, watchdog: Option<&Watchdog>) {
    let start = Instant::now();
    let mut last_beat = start;
    let silent = std::io::stderr().is_terminal();
    loop {
        thread::sleep(GLANCE);
        let state = lock(state);
        if state.ended {
            return;
        }
        if !silent && last_beat.elapsed() >= BEAT {
            last_beat = Instant::now();
            eprintln!("{}", beat(&state, start.elapsed()));
        }
        let Some(watchdog) = watchdog else { continue };
        if clock.busy() >= watchdog.timeout {
            bite(watchdog, &state.running);
        }
        if let (Some(board), Some(plan)) = (&watchdog.board, &state.plan)
            && board.longest() >= watchdog.timeout
        {
            bite_threads(watchdog, board, plan);
        }
    }
}

fn beat(state: &State, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let clock = format!("[{:02}:{:02}:{:02}]", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if state.doing != "checking" || state.programs == 0 {
        return format!("{clock} {}", state.doing);
    }
    let left = state.cases.saturating_sub(state.programs);
    let eta = elapsed.mul_f64(left as f64 / state.programs as f64).as_secs();
    let percent = 100 * state.programs / state.cases.max(1);
    format!(
        "{clock} {} {percent} %  {} of {} programs  eta {}",
        state.doing,
        grouped(state.programs),
        grouped(state.cases),
        humantime::format_duration(Duration::from_secs(eta))
    )
}

/// Saves the plan that hangs, tells what every thread is doing, and ends the process.
fn bite_threads(watchdog: &Watchdog, board: &Board, plan: &Plan) -> ! {
    let told = board.told(plan);
    eprintln!("the heap hung: a thread has not come back for {:?}\n{told}", watchdog.timeout);
    if let Some(out) = &watchdog.out {
        let path = out.join(saved::plan_name(&Breach::Failure(Failure::Hung(watchdog.timeout)), plan));
        let replay = (watchdog.replay)(&path);
        let about = format!("a thread did not come back within {:?}\n{told}replay: {replay}", watchdog.timeout);
        match saved::save_plan(&path, &about, plan) {
            Ok(()) => eprintln!("  wrote  {}\n  replay {replay}", path.display()),
            Err(error) => eprintln!("  cannot write {}: {error}", path.display()),
        }
    }
    std::process::exit(Exit::Hung as i32)
}

/// Saves the program that hangs and ends the process.
fn bite(watchdog: &Watchdog, program: &Program) -> ! {
    let length = counted(program.len() as u64, "operation");
    eprintln!("the heap hung: an operation of a program of {length} took more than {:?}", watchdog.timeout);
    if let Some(out) = &watchdog.out {
        let hung = Breach::Failure(Failure::Hung(watchdog.timeout));
        let path = out.join(saved::name(&hung, program));
        let replay = (watchdog.replay)(&path);
        let text = format!("# the heap did not come back within {:?}\n# replay: {replay}\n{program}", watchdog.timeout);
        match saved::write_whole(&path, &text) {
            Ok(()) => eprintln!("  wrote  {}\n  replay {replay}", path.display()),
            Err(error) => eprintln!("  cannot write {}: {error}", path.display()),
        }
    }
    std::process::exit(Exit::Hung as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_tells_what_is_done_and_how_long_the_rest_will_take() {
        let told = |doing, programs, cases, seconds| {
            let state = State { doing, programs, cases, running: Program::default(), plan: None, ended: false };
            beat(&state, Duration::from_secs(seconds))
        };
        let quarter = "[01:02:05] checking 25 %  1,000 of 4,000 programs  eta 3h 6m 15s";
        assert_eq!(told("checking", 1_000, 4_000, 3_725), quarter);
        assert_eq!(told("checking", 0, 4, 61), "[00:01:01] checking", "nothing is known yet");
        assert_eq!(told("shrinking", 1, 4, 36_000), "[10:00:00] shrinking");
        assert_eq!(told("checking", 5, 4, 10), "[00:00:10] checking 125 %  5 of 4 programs  eta 0s", "some were saved");
    }

    #[test]
    fn only_the_time_of_the_subject_counts() {
        let clock = Clock::new();
        assert_eq!(clock.busy(), Duration::ZERO);
        let nap = Duration::from_millis(10);
        let busy = clock.during(|| {
            thread::sleep(nap);
            clock.busy()
        });
        assert!(busy >= nap, "{busy:?}");
        assert_eq!(clock.busy(), Duration::ZERO);
    }

    /// Says yes to the second plan.
    struct Far(Arc<AtomicU64>);

    impl Subject for Far {
        fn reset(&mut self) -> Result<Claims, Failure> {
            Ok(Claims::new("far"))
        }

        fn ahead(&mut self, _: &dyn Fn() -> Vec<Planned>) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) == 1
        }

        fn perform(&mut self, _: &Op, _: &mut Vec<Event>) -> Result<Reply, Failure> {
            Ok(Reply::Done)
        }

        fn begin_from_nothing(&mut self) {
            self.0.fetch_add(10, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_subject_that_is_timed_is_told_what_it_would_be_told() {
        let told = Arc::new(AtomicU64::new(0));
        let mut timed = Timed { subject: Box::new(Far(Arc::clone(&told))), clock: Arc::new(Clock::new()) };
        assert_eq!([timed.ahead(&Vec::new), timed.ahead(&Vec::new)], [false, true]);
        timed.begin_from_nothing();
        assert_eq!(told.load(Ordering::Relaxed), 12);
        assert!(timed.reset().is_ok_and(|claims| claims.name == "far"));
    }
}
