//! Schedules: which thread went on at each switch, as data. One is written down while any of shuttle's schedulers chooses,
//! and followed again.
//!
//! A schedule is a list of turns: a thread, and for how many steps it goes on. It is followed leniently: where a thread
//! cannot go on, its turn is over, and when all turns are over each thread goes on until it waits. So every part of a
//! schedule is a schedule, and a program that has become smaller still has one. Followed with the program that it was
//! written down with, it is exact.
//!
//! Source: shuttle's `Scheduler`, which is asked at each switch.

use super::program::Dice;
use shuttle::scheduler::{PctScheduler, Schedule, Scheduler, Task, TaskId, UrwRandomScheduler};
use std::{cell::RefCell, panic::resume_unwind};

/// A thread, in the order in which they were made, and how many steps it goes on for.
pub(super) type Turn = (usize, usize);

/// After so many steps a run is taken for one without end. Those of the longest scenario are a tenth.
pub(super) const STEPS: usize = 60_000;

/// What one run was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) turns: Vec<Turn>,
    /// How many steps it had.
    pub(super) steps: usize,
    /// How often a thread was left that could have gone on, and did not wait.
    pub(super) switches: usize,
}

thread_local! {
    static TRACK: RefCell<Track> = RefCell::default();
    static TOTAL: RefCell<(usize, usize)> = const { RefCell::new((0, 0)) };
}

/// What the last run was, or the one that goes on.
pub(super) fn track() -> Track {
    TRACK.with_borrow(Track::clone)
}

/// How many runs there were on this thread, and how many steps.
pub(super) fn total() -> (usize, usize) {
    TOTAL.with_borrow(|total| *total)
}

/// Who chooses.
#[derive(Clone, Debug)]
pub(super) enum Chooser {
    Random,
    /// So many changes of priority.
    Pct(usize),
    /// Uniform over all interleavings, as far as their lengths can be estimated.
    Uniform,
    /// Nobody is made to go on in place of another but once, to each other, at each `stride`th step. Who begins is the same.
    Single {
        first: usize,
        stride: usize,
    },
    /// These turns, once.
    Turns(Vec<Turn>),
}

impl Chooser {
    fn scheduler(self, seed: u64, runs: usize) -> Box<dyn Scheduler + Send> {
        match self {
            Chooser::Random => Box::new(Random { dice: Dice(seed), runs }),
            Chooser::Pct(depth) => Box::new(PctScheduler::new_from_seed(seed, depth, runs)),
            Chooser::Uniform => Box::new(UrwRandomScheduler::new_from_seed(seed, runs)),
            Chooser::Single { first, stride } => Box::new(Single::new(first, stride)),
            Chooser::Turns(turns) => Box::new(Script { turns, at: 0, done: 0, begun: false }),
        }
    }
}

/// Writes down what another scheduler chooses, and ends at the first run with which something is `wrong`.
pub(super) struct Scribe {
    inner: Box<dyn Scheduler + Send>,
    wrong: fn() -> bool,
    begun: bool,
    /// Whether there ever was anything to choose; if not, one run is all.
    choice: bool,
}

impl Scribe {
    pub(super) fn new(chooser: Chooser, seed: u64, runs: usize, wrong: fn() -> bool) -> Scribe {
        Scribe { inner: chooser.scheduler(seed, runs), wrong, begun: false, choice: false }
    }
}

impl Scheduler for Scribe {
    fn new_execution(&mut self) -> Option<Schedule> {
        if (self.wrong)() || (std::mem::replace(&mut self.begun, true) && !self.choice) {
            return None;
        }
        let next = self.inner.new_execution()?;
        TRACK.set(Track::default());
        TOTAL.with_borrow_mut(|total| total.0 += 1);
        Some(next)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, waits: bool) -> Option<TaskId> {
        self.choice |= runnable.len() > 1;
        let next = self.inner.next_task(runnable, current, waits)?;
        let steps = TRACK.with_borrow_mut(|track| {
            let number = usize::from(next);
            match track.turns.last_mut() {
                Some((last, steps)) if *last == number => *steps += 1,
                _ => track.turns.push((number, 1)),
            }
            track.steps += 1;
            let left = current.filter(|current| *current != next && !waits);
            if left.is_some_and(|current| runnable.iter().any(|task| task.id() == current)) {
                track.switches += 1;
            }
            track.steps
        });
        TOTAL.with_borrow_mut(|total| total.1 += 1);
        if steps > STEPS {
            // Ends the run: shuttle takes it for a failure of its own, and leaves everything as it lies.
            resume_unwind(Box::new(format!("it does not end within {STEPS} steps")));
        }
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// Any thread that can go on, as likely as any other. Shuttle's own talks when it ends.
struct Random {
    dice: Dice,
    runs: usize,
}

impl Scheduler for Random {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.runs = self.runs.checked_sub(1)?;
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], _: Option<TaskId>, _: bool) -> Option<TaskId> {
        Some(runnable[self.dice.below(runnable.len())].id())
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// Who goes on if nobody chooses: whoever does, until it waits; then the next in the order in which they were made.
fn goes_on(runnable: &[&Task], current: Option<TaskId>, waits: bool) -> Option<TaskId> {
    let stays = current.filter(|current| !waits && runnable.iter().any(|task| task.id() == *current));
    let after = current.map_or(0, |current| usize::from(current) + 1);
    let later = || runnable.iter().find(|task| usize::from(task.id()) >= after).or(runnable.first());
    stays.or_else(|| later().map(|task| task.id()))
}

/// One switch, at every place and to every thread in turn.
struct Single {
    first: usize,
    stride: usize,
    /// The step of the switch, and to whom: the how manieth of those who could go on instead.
    at: usize,
    whom: usize,
    /// The step that comes next; whether there was one to switch at, and somebody to switch to.
    step: usize,
    reached: bool,
    switched: bool,
    begun: bool,
}

impl Single {
    fn new(first: usize, stride: usize) -> Single {
        let (reached, switched, begun) = (false, false, false);
        Single { first, stride, at: 0, whom: 0, step: 0, reached, switched, begun }
    }
}

impl Scheduler for Single {
    fn new_execution(&mut self) -> Option<Schedule> {
        if std::mem::replace(&mut self.begun, true) {
            if !self.reached {
                return None;
            }
            if self.switched {
                self.whom += 1;
            } else {
                (self.at, self.whom) = (self.at + self.stride, 0);
            }
        }
        (self.step, self.reached, self.switched) = (0, false, false);
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, waits: bool) -> Option<TaskId> {
        let step = self.step;
        self.step += 1;
        if step == self.at {
            self.reached = true;
            let others = runnable.iter().map(|task| task.id()).filter(|task| Some(*task) != current);
            if let Some(other) = others.clone().nth(self.whom) {
                self.switched = true;
                return Some(other);
            }
        }
        let goes_on = goes_on(runnable, current, waits);
        // When the main thread waits for the others, one of them is the first.
        let first = runnable.iter().find(|task| usize::from(task.id()) == self.first + 1);
        match (current, first) {
            (Some(current), Some(first)) if usize::from(current) == 0 && goes_on != Some(current) => Some(first.id()),
            _ => goes_on,
        }
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// Follows turns.
struct Script {
    turns: Vec<Turn>,
    at: usize,
    /// The steps of the turn that are over.
    done: usize,
    begun: bool,
}

impl Scheduler for Script {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!std::mem::replace(&mut self.begun, true)).then(|| Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, waits: bool) -> Option<TaskId> {
        while let Some((thread, steps)) = self.turns.get(self.at) {
            let task = runnable.iter().find(|task| usize::from(task.id()) == *thread);
            if let Some(task) = task.filter(|_| self.done < *steps) {
                self.done += 1;
                return Some(task.id());
            }
            (self.at, self.done) = (self.at + 1, 0);
        }
        goes_on(runnable, current, waits)
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
