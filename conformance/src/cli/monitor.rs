//! The monitor: progress while a campaign runs, and an end to it when it is interrupted or hangs.
//!
//! On a terminal there is a bar with an estimate; elsewhere one line every ten seconds. A heap in this process that
//! never comes back from an operation cannot be stopped, so the monitor then saves the program and ends the process.

use super::Exit;
use crate::{
    campaign::Watch,
    report::text::{counted, grouped},
    saved,
};
use heaplaw_reference::op::Program;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
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
    bar: ProgressBar,
    thread: Option<JoinHandle<()>>,
}

/// What the campaign tells its monitor.
struct State {
    doing: &'static str,
    programs: u64,
    cases: u64,
    /// The program that runs, and since when; none between programs.
    running: Option<(Program, Instant)>,
    ended: bool,
}

/// What to do about a heap in this process that hangs.
pub(super) struct Watchdog {
    /// How long one program may take.
    pub(super) timeout: Duration,
    /// Where to save the program.
    pub(super) out: PathBuf,
    /// How to replay it, but for the file's name.
    pub(super) replay: String,
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
        let state = Arc::new(Mutex::new(State { doing: "checking", programs: 0, cases, running: None, ended: false }));
        let bar = ProgressBar::with_draw_target(Some(cases), ProgressDrawTarget::stderr_with_hz(10));
        let style = "{msg} {bar:30} {percent:>3} %  {human_pos} of {human_len} programs  eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message("checking");
        let thread = {
            let state = Arc::clone(&state);
            thread::spawn(move || watch(&state, watchdog.as_ref()))
        };
        Monitor { state, interrupted, bar, thread: Some(thread) }
    }

    /// Says what is being done now.
    pub(super) fn turn_to(&self, doing: &'static str) {
        lock(&self.state).doing = doing;
        self.bar.set_message(doing);
    }

    /// Says that no program runs.
    pub(super) fn rest(&self) {
        lock(&self.state).running = None;
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
        match &mut state.running {
            // The program is kept only for the case that it hangs; reuse its memory.
            Some((running, since)) => {
                running.clone_from(program);
                *since = Instant::now();
            }
            running => *running = Some((program.clone(), Instant::now())),
        }
        drop(state);
        self.bar.set_position(programs_so_far);
        !self.interrupted()
    }
}

/// The monitor's thread.
fn watch(state: &Mutex<State>, watchdog: Option<&Watchdog>) {
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
        if let (Some(watchdog), Some((program, since))) = (watchdog, &state.running)
            && since.elapsed() >= watchdog.timeout
        {
            bite(watchdog, program);
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

/// Saves the program that hangs and ends the process.
fn bite(watchdog: &Watchdog, program: &Program) -> ! {
    let path = watchdog.out.join("hang.heap");
    let replay = format!("heaplaw replay {} {}", path.display(), watchdog.replay);
    let text = format!("# the heap did not come back within {:?}\n# replay: {replay}\n{program}", watchdog.timeout);
    let length = counted(program.len() as u64, "operation");
    eprintln!("the heap hung: a program of {length} took more than {:?}", watchdog.timeout);
    match saved::write_whole(&path, &text) {
        Ok(()) => eprintln!("  wrote  {}\n  replay {replay}", path.display()),
        Err(error) => eprintln!("  cannot write {}: {error}", path.display()),
    }
    std::process::exit(Exit::Hung as i32)
}
