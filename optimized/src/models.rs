//! Models of the lock-free kernels, run by checkers on the code that ships: `cargo loom` tries every interleaving and
//! every stale value, `cargo shuttle` many schedules of larger scenarios, and of the whole heap (`whole`).
//!
//! Each file is about one property, and each model has a wrong twin: a copy of the few lines in question with one mistake.
//! A model that lets its twin pass proves nothing, so the twin must fail.
//!
//! Every model runs in both of loom's modes, see [`sync`](crate::sync). A run that is cut off has not shown anything; so
//! no bound is set on time or number, and a model is small enough to end.

mod central;
mod generation;
mod grey;
mod handshake;
mod object;
#[cfg(heaplaw_shuttle)]
mod pages;
mod parked;
mod publish;
mod release;
mod remote;
mod special;
#[cfg(heaplaw_loom)]
mod selftest;
mod stack;
mod sweep;
mod terminate;
mod trigger;
mod weak;
#[cfg(heaplaw_shuttle)]
mod whole;

use crate::sync::AtomicU64;
#[cfg(heaplaw_loom)]
use std::cell::Cell;

/// Runs a model in all modes of the checker, and says how often.
#[cfg(heaplaw_loom)]
fn check(model: impl Fn() + Sync + Send + Copy + 'static) {
    thread_local! {
        static RUNS: Cell<u64> = const { Cell::new(0) };
    }
    let run = |mode| {
        let all = loom::model::Builder::new();
        let cut = all.max_permutations.is_some() || all.max_duration.is_some();
        assert!(!cut, "a run that LOOM_MAX_PERMUTATIONS or LOOM_MAX_DURATION cuts off has shown nothing");
        let bound = all.preemption_bound.map_or("no bound".to_owned(), |most| format!("at most {most} pre-emptions"));
        RUNS.set(0);
        let begun = std::time::Instant::now();
        all.check(move || {
            RUNS.set(RUNS.get() + 1);
            model();
        });
        let (runs, time, thread) = (RUNS.get(), begun.elapsed().as_secs_f64(), std::thread::current());
        println!("{}, {mode}: {runs} executions in {time:.2} s, {bound}", thread.name().unwrap_or_default());
    };
    run("plain");
    crate::sync::interleaved(|| run("interleaved"));
}

/// Runs a model in all modes of the checker.
#[cfg(heaplaw_shuttle)]
fn check(model: impl Fn() + Sync + Send + Copy + 'static) {
    let often = schedules(2000);
    shuttle::check_pct(model, often, 3);
    shuttle::check_random(model, often);
    let thread = std::thread::current();
    println!("{}: {often} schedules of each scheduler", thread.name().unwrap_or_default());
}

/// How often each scheduler runs a model, or a scenario of the whole heap: what `HEAPLAW_SCHEDULES` says, or else so often.
#[cfg(heaplaw_shuttle)]
fn schedules(otherwise: usize) -> usize {
    number("HEAPLAW_SCHEDULES", otherwise)
}

/// A number from the environment.
#[cfg(heaplaw_shuttle)]
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Whether the checker finds something wrong with a model, in at least one of its modes.
#[cfg(heaplaw_loom)]
fn rejects(model: impl Fn() + Sync + Send + Copy + 'static) -> bool {
    let fails = |run: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
    let weak = fails(&|| loom::model(model));
    crate::sync::reset();
    let interleaved = fails(&|| crate::sync::interleaved(|| loom::model(model)));
    crate::sync::reset();
    weak || interleaved
}

/// Whether the checker finds something wrong with a model.
#[cfg(heaplaw_shuttle)]
fn rejects(model: impl Fn() + Sync + Send + Copy + 'static) -> bool {
    let run = || {
        shuttle::check_pct(model, 5000, 3);
        shuttle::check_random(model, 5000);
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
}

/// Words for links and bits.
fn words<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

/// Models run one at a time: the checkers' modes are the process's.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
