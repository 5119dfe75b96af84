//! The reducer: it makes a failing program as simple as it can, while it still fails.
//!
//! Any subset of a program is a program, so the reducer never has to repair syntax. What it repairs is *meaning*: when
//! an operation goes, the operations after it look for their objects in other roots ([`trace`](self#files)). The
//! reducer takes no randomness and asks one question only, "does this one still fail?".
//!
//! ```text
//!             ┌──────────── propose ◀───────────┐
//!             ▼                                 │
//!   does the candidate fail? ── yes ▶ accept ───┤   (it is the best now)
//!             └────────────────  no ▶ reject ───┘
//! ```
//!
//! The [`Shrinker`] can be driven step by step, so that other libraries' loops can hold the reins; [`shrink`] is the
//! kit's own loop.
//!
//! Why it comes to an end: every candidate is strictly smaller than the best so far by one [`Measure`], in which there
//! is no endless descent, and no candidate is proposed twice. Why the result is good: the end is reached only after
//! all passes went over the same program in vain, so that (among other things) no single operation can be left out, and
//! shrinking the result again changes nothing.
//!
//! # Files
//!
//! `operand` (the numbers of an operation), `measure` (what is simpler), `trace` (what the operands stand for), `edit`
//! (one change), `pass` (which changes are tried), and this file, which puts them in order.

mod edit;
mod measure;
mod operand;
mod pass;
pub mod plan;
mod trace;

pub use measure::Measure;

use edit::{Carry, Edit};
use heaplaw_reference::op::Program;
use pass::Pass;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};
use trace::Line;

/// How much may be spent on shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many candidates are tried at most.
    pub tries: usize,
    /// How long it may take, if there is a limit; no candidate is started later. A result that was cut off by time is
    /// not the same on every machine.
    pub time: Option<Duration>,
}

impl Default for Budget {
    /// Ten thousand tries, several times what a program of sixty operations takes, and no limit of time.
    fn default() -> Self {
        Budget { tries: 10_000, time: None }
    }
}

/// What [`shrink`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The simplest program that was seen to fail.
    pub program: Program,
    /// How many candidates were tried.
    pub tries: usize,
    /// Whether the budget ran out before all was tried.
    pub exhausted: bool,
}

/// Shrinks a program that fails. A program that does not is given back as it was.
///
/// ```
/// use heaplaw_conformance::shrink::{Budget, shrink};
/// use heaplaw_reference::op::Program;
/// let program: Program = "\
///     0 alloc r5 3 100\n\
///     0 alloc r1 1\n\
///     0 copy r2 r5\n\
///     0 store r2.2 r1\n\
///     gc full\n".parse()?;
/// let stores = |program: &Program| program.to_string().contains("store");
/// let shrunk = shrink(&program, Budget::default(), stores);
/// assert_eq!(shrunk.program.to_string(), "0 store g0 nil\n");
/// # Ok::<(), heaplaw_reference::text::ParseError>(())
/// ```
pub fn shrink(program: &Program, budget: Budget, mut fails: impl FnMut(&Program) -> bool) -> Shrunk {
    let start = Instant::now();
    let late = || budget.time.is_some_and(|time| start.elapsed() >= time);
    let mut shrinker = Shrinker::new(program.clone());
    let mut tries = 0;
    let exhausted = loop {
        let Some(candidate) = shrinker.propose() else { break false };
        if tries == budget.tries || late() {
            break true;
        }
        tries += 1;
        if fails(&candidate) {
            shrinker.accept();
        }
    };
    Shrunk { program: shrinker.best, tries, exhausted }
}

/// The reducer between two candidates.
#[derive(Clone, Debug)]
pub struct Shrinker {
    best: Program,
    /// Invariant: the measure of `best`.
    measure: Measure,
    /// Invariant: the trace of `best`.
    lines: Vec<Line>,
    /// The last candidate, until something is said about it. Invariant: smaller than `best`.
    pending: Option<Program>,
    /// The hashes of all programs that were ever the best or proposed.
    tried: HashSet<u64>,
    course: Course,
    /// What the current pass would do to `best`, and where it is.
    edits: Vec<Edit>,
    at: usize,
    /// The ways, for the current edit, of carrying it through that were not tried yet, last one first.
    carries: Vec<Carry>,
    /// Whether the failure survives if operations without meaning are left out. It does unless somebody has unusual
    /// ideas of failing, or a heap refuses allocations that the graph performs.
    prunable: bool,
}

impl Shrinker {
    /// A reducer for a program that fails.
    pub fn new(program: Program) -> Self {
        let mut shrinker = Shrinker {
            measure: Measure::of(program.ops()),
            lines: Vec::new(),
            pending: None,
            tried: HashSet::from([hash(&program)]),
            course: Course::new(program.len()),
            edits: Vec::new(),
            at: 0,
            carries: Vec::new(),
            prunable: trace::meaningful(program.ops().iter().copied()) == program.ops(),
            best: program,
        };
        shrinker.survey();
        shrinker
    }

    /// The simplest program so far that fails.
    pub fn best(&self) -> &Program {
        &self.best
    }

    /// The next program to try: simpler than the best, and never tried before. Nothing if there is none left. A
    /// candidate that nothing was said about counts as rejected.
    pub fn propose(&mut self) -> Option<Program> {
        self.reject();
        loop {
            while let Some(carry) = self.carries.pop() {
                let candidate = Program::new(self.edits[self.at].apply(&self.lines, carry));
                if Measure::of(candidate.ops()) < self.measure && self.tried.insert(hash(&candidate)) {
                    self.pending = Some(candidate.clone());
                    return Some(candidate);
                }
            }
            self.at += 1;
            if self.at >= self.edits.len() {
                self.course.advance()?;
                self.at = 0;
                self.edits = self.course.pass().edits(&self.lines);
            }
            self.load();
        }
    }

    /// The last candidate fails: it is the best from now on.
    ///
    /// # Panics
    /// If it is not simpler, which would be a mistake in this module.
    pub fn accept(&mut self) {
        let Some(candidate) = self.pending.take() else { return };
        let measure = Measure::of(candidate.ops());
        assert!(measure < self.measure, "shrinking descends");
        (self.best, self.measure) = (candidate, measure);
        self.prunable |= self.course.pass() == Pass::Prune;
        self.course.progress();
        self.survey();
    }

    /// The last candidate does not fail.
    pub fn reject(&mut self) {
        self.pending = None;
    }

    /// Looks at a new best program, without leaving the place in the current pass.
    fn survey(&mut self) {
        self.lines = trace::traced(self.best.ops());
        self.edits = self.course.pass().edits(&self.lines);
        self.load();
    }

    fn load(&mut self) {
        self.carries = match self.edits.get(self.at) {
            None => vec![],
            Some(_) if self.prunable => vec![Carry::Meaningful, Carry::Repaired],
            Some(_) => vec![Carry::Verbatim, Carry::Meaningful, Carry::Repaired],
        };
    }
}

/// The order of passes. Coarse passes go by once in a round. The fine ones start again as soon as one of them got
/// somewhere. A round in which nothing was gained is the last one.
#[derive(Clone, Debug)]
struct Course {
    passes: Vec<Pass>,
    /// Where the fine passes begin.
    fine: usize,
    at: usize,
    /// Whether anything was gained in this pass, and in this round.
    pass_gained: bool,
    round_gained: bool,
}

impl Course {
    fn new(ops: usize) -> Self {
        let (coarse, fine) = Pass::all(ops);
        let begin = coarse.len();
        let passes = coarse.into_iter().chain(fine).collect();
        Course { passes, fine: begin, at: 0, pass_gained: false, round_gained: false }
    }

    fn pass(&self) -> Pass {
        self.passes[self.at]
    }

    fn progress(&mut self) {
        self.pass_gained = true;
        self.round_gained = true;
    }

    /// Goes to the next pass; nothing if there is no need to.
    fn advance(&mut self) -> Option<()> {
        let gained = std::mem::take(&mut self.pass_gained);
        self.at = match self.at + 1 {
            _ if gained && self.at >= self.fine => self.fine,
            next if next < self.passes.len() => next,
            _ if std::mem::take(&mut self.round_gained) => 0,
            _ => return None,
        };
        Some(())
    }
}

fn hash(program: &Program) -> u64 {
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
