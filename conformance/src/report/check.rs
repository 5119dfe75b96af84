//! What the reports for programs tell of a run of `heaplaw check`.

use crate::{
    campaign::{Again, Breach, Counterexample, End, Outcome, Tally},
    goals::Goal,
    known::Excused,
    law::{Law, parallel::Crossings},
};
use std::{fmt, path::PathBuf};

/// A run of `heaplaw check`, ended or not.
#[derive(Debug)]
pub struct Check<'r> {
    /// The seed of the campaign.
    pub seed: u64,
    /// The first case that was to be run.
    pub from: u64,
    /// How many programs were to be run.
    pub cases: u64,
    /// How many operations a program has at most.
    pub ops: u32,
    /// What came of it.
    pub excused: &'r Excused,
    /// The counterexample, if there is one.
    pub shown: Option<&'r Shown>,
    /// What threads did, if mutators ran on threads of their own.
    pub threads: Option<Threads<'r>>,
    /// The exit code; none while the run goes on.
    pub exit: Option<u8>,
}

/// A run with mutators on threads of their own.
#[derive(Clone, Copy, Debug)]
pub struct Threads<'r> {
    /// How many there were.
    pub mutators: u8,
    /// What happened between them.
    pub crossings: Crossings,
    /// The plan under which something is wrong, if there is one.
    pub plan: Option<&'r SavedPlan>,
}

/// A plan under which something is wrong, as it was saved.
#[derive(Clone, Debug)]
pub struct SavedPlan {
    /// The file.
    pub file: PathBuf,
    /// The command line that replays it.
    pub replay: String,
    /// How often it shows when it is run again; none if it hung.
    pub again: Option<Again>,
}

/// A counterexample as it was shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The counterexample, shrunk if that was possible.
    pub counterexample: Counterexample,
    /// The file that it was saved to.
    pub file: PathBuf,
    /// The command line that replays it.
    pub replay: String,
    /// How often it shows when it is run again; none if that would take too long, as it does for what hangs.
    pub again: Option<Again>,
}

impl Shown {
    /// How often it shows, if that is not every time.
    pub fn flaky(&self) -> Option<Again> {
        self.again.filter(|again| again.is_flaky())
    }
}

/// How a law stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It held in all programs.
    Holds,
    /// It held as far as the run went, which was not to its end.
    HeldSoFar,
    /// It is broken.
    Broken,
    /// It was broken, but not every time that the same operations were run again.
    Flaky,
    /// It is broken, as is known.
    Known,
    /// It is known to be broken, but holds.
    Stale,
    /// The heap does not claim what the law has to see.
    NotApplicable,
    /// It applies, but nothing came that it could be checked on.
    NeverChecked,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Holds => "holds",
            Status::HeldSoFar => "held so far",
            Status::Broken => "broken",
            Status::Flaky => "flaky",
            Status::Known => "known",
            Status::Stale => "stale",
            Status::NotApplicable => "not applicable",
            Status::NeverChecked => "never checked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a run tells of one law.
#[derive(Clone, Debug)]
pub struct Line {
    /// The law.
    pub law: &'static Law,
    /// How it stands.
    pub status: Status,
    /// Why, where that is not plain: what the heap would have to claim, why the failure is accepted, what is wrong.
    pub reason: Option<String>,
    /// How many programs it applied to.
    pub programs: u64,
    /// How often it was looked at.
    pub checks: u64,
}

/// What a run tells of one goal.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The goal.
    pub goal: &'static Goal,
    /// What the heap would have to claim; empty if the goal applies.
    pub missing: Vec<&'static str>,
    /// How many operations met it.
    pub count: u64,
}

impl Aim {
    /// How the goal stands, in a word or two.
    pub fn status(&self) -> &'static str {
        match (self.missing.is_empty(), self.count) {
            (false, _) => "not applicable",
            (true, 0) => "not reached",
            (true, _) => "reached",
        }
    }
}

impl Check<'_> {
    fn outcome(&self) -> &Outcome {
        &self.excused.outcome
    }

    /// How the run ended, in a word or three.
    pub fn end(&self) -> &'static str {
        match (&self.outcome().end, self.exit) {
            (_, None) => "running",
            (End::Finished, _) => "finished",
            (End::OutOfTime, _) => "out of time",
            (End::Interrupted, _) => "interrupted",
            (End::Unstartable(_), _) => "unstartable",
            (End::Found(_), _) if self.flaky().is_some() => "flaky",
            (End::Found(found), _) => match found.breach {
                Breach::Law(..) => "broken",
                Breach::Failure(_) => "failed",
            },
        }
    }

    /// How often the counterexample shows, if that is not every time.
    pub fn flaky(&self) -> Option<Again> {
        self.shown.and_then(Shown::flaky)
    }

    /// What was wrong with the subject, if it failed to answer or to start.
    pub fn failure(&self) -> Option<String> {
        match &self.outcome().end {
            End::Unstartable(failure) => Some(failure.to_string()),
            End::Found(found) => match (&found.breach, self.flaky()) {
                (Breach::Failure(failure), Some(again)) => Some(format!("flaky, {again}: {failure}")),
                (Breach::Failure(failure), None) => Some(failure.to_string()),
                (Breach::Law(..), _) => None,
            },
            _ => None,
        }
    }

    /// What is told of each law, by number.
    pub fn lines(&self) -> Vec<Line> {
        let outcome = self.outcome();
        // The smaller counterexample is the one to be told of.
        let found = match (self.shown, &outcome.end) {
            (Some(shown), _) => Some(&shown.counterexample),
            (None, End::Found(found)) => Some(&**found),
            _ => None,
        };
        let broken = match found.map(|found| &found.breach) {
            Some(Breach::Law(law, witness)) => Some((law.number, &witness.why)),
            _ => None,
        };
        let finished = self.exit.is_some() && matches!(outcome.end, End::Finished);
        let line = |tally: &Tally| {
            let law = tally.law;
            let missing = outcome.claims.as_ref().map(|claims| law.missing(claims)).unwrap_or_default();
            let stale = self.excused.stale.iter().find(|known| known.law.number == law.number);
            let (status, reason) = match (broken.filter(|(number, _)| *number == law.number), stale) {
                (Some((_, why)), _) => match self.flaky() {
                    Some(again) => (Status::Flaky, Some(format!("{again}: {why}"))),
                    None => (Status::Broken, Some(why.clone())),
                },
                (None, Some(known)) => (Status::Stale, Some(known.reason.clone())),
                _ if !missing.is_empty() => (Status::NotApplicable, Some(format!("needs {}", missing.join(", ")))),
                _ if !finished => (Status::HeldSoFar, None),
                _ if tally.checks == 0 => (Status::NeverChecked, None),
                _ => (Status::Holds, None),
            };
            Line { law, status, reason, programs: tally.programs, checks: tally.checks }
        };
        let known = self.excused.seen.iter().map(|seen| Line {
            law: seen.known.law,
            status: Status::Known,
            reason: Some(seen.known.reason.clone()),
            programs: seen.tally.programs,
            checks: seen.tally.checks,
        });
        let mut lines: Vec<Line> = outcome.tallies.iter().map(line).chain(known).collect();
        lines.sort_by_key(|line| line.law.number);
        lines
    }
    /// What is told of each goal.
    pub fn aims(&self) -> Vec<Aim> {
        let Outcome { claims, coverage, .. } = self.outcome();
        let missing = |goal: &Goal| claims.as_ref().map(|claims| goal.missing(claims)).unwrap_or_default();
        coverage.counts().map(|(goal, count)| Aim { goal, missing: missing(goal), count }).collect()
    }
}
