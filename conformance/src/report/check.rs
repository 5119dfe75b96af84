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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drive::{Failure, InProcess, step},
        goals,
        history::History,
        known::Known,
        law::Witness,
        reading::Reading,
        report::json,
    };
    use heaplaw_reference::{
        heap::{Capability, Claims, Heap},
        machine::Machine,
        protocol::Protocol,
    };

    fn claims() -> Claims {
        Machine::new(Protocol::HYBRID).claims()
    }

    fn law(number: u16) -> &'static Law {
        Law::numbered(number).expect("a law")
    }

    fn history() -> History {
        let mut subject = InProcess::new(|| Machine::new(Protocol::HYBRID));
        let story = "0 alloc r0 1\ngc start\n0 safepoint\n".parse().expect("a story");
        step::run(&mut subject, &story, step::Ending::Abrupt).expect("it starts")
    }

    fn found(breach: Breach) -> End {
        End::Found(Box::new(Counterexample { breach, history: history(), case: Some(4) }))
    }

    fn broken(number: u16) -> Breach {
        Breach::Law(law(number), Witness { moment: 0, why: "w".to_owned(), objects: Vec::new() })
    }

    /// A run by laws 51, which was looked at, 53, which is not claimed, and 54, which was not looked at.
    fn excused(end: End) -> Excused {
        let laws: Vec<_> = [54, 53, 51].into_iter().map(law).collect();
        let mut outcome = Outcome { claims: Some(claims()), ..Outcome::of_nothing(&laws, end) };
        outcome.tallies[2] = Tally { law: law(51), programs: 3, checks: 9 };
        Excused { outcome, seen: Vec::new(), stale: Vec::new() }
    }

    fn check(excused: &Excused, exit: Option<u8>) -> Check<'_> {
        Check { seed: 1, from: 0, cases: 10, ops: 60, excused, shown: None, threads: None, exit }
    }

    fn statuses(check: &Check<'_>) -> Vec<(u16, &'static str)> {
        check.lines().iter().map(|line| (line.law.number, line.status.name())).collect()
    }

    #[test]
    fn laws_stand_by_number_and_hold_only_at_the_end_of_a_run() {
        let done = excused(End::Finished);
        let all = [(51, "holds"), (53, "not applicable"), (54, "never checked")];
        assert_eq!(statuses(&check(&done, Some(0))), all);
        let so_far = [(51, "held so far"), (53, "not applicable"), (54, "held so far")];
        assert_eq!(statuses(&check(&done, None)), so_far, "it goes on");
        assert_eq!(statuses(&check(&excused(End::OutOfTime), Some(0))), so_far, "it was cut short");
        let first = &check(&done, Some(0)).lines()[0];
        assert_eq!((first.programs, first.checks, &first.reason), (3, 9, &None));
        assert_eq!(check(&done, Some(0)).lines()[1].reason.as_deref(), Some("needs the strong invariant"));
        let wrong = excused(found(broken(51)));
        let lines = check(&wrong, Some(1)).lines();
        assert_eq!((lines[0].status, lines[0].reason.as_deref()), (Status::Broken, Some("w")));
        assert_eq!(lines[2].status, Status::HeldSoFar);
        let known = Known { law: law(51), reason: "r".to_owned(), heap: None };
        let stale = Excused { stale: vec![known], ..excused(End::Finished) };
        assert_eq!(statuses(&check(&stale, Some(7))), [(51, "stale"), (53, "not applicable"), (54, "never checked")]);
        assert_eq!(format!("{:>7}|", Status::Holds), "  holds|");
    }

    #[test]
    fn the_end_of_a_run_is_told_in_a_word() {
        let crash = || Failure::Crashed("c".to_owned());
        let told = |end: End, exit| {
            let excused = excused(end);
            let check = check(&excused, exit);
            (check.end(), check.failure())
        };
        assert_eq!(told(End::Finished, None), ("running", None));
        assert_eq!(told(End::Finished, Some(0)), ("finished", None));
        assert_eq!(told(End::OutOfTime, Some(0)), ("out of time", None));
        assert_eq!(told(End::Interrupted, Some(130)), ("interrupted", None));
        let why = Some("the subject crashed: c".to_owned());
        assert_eq!(told(End::Unstartable(crash()), Some(5)), ("unstartable", why.clone()));
        assert_eq!(told(found(Breach::Failure(crash())), Some(5)), ("failed", why));
        assert_eq!(told(found(broken(51)), Some(1)), ("broken", None));
        // What does not show every time is flaky, and the smaller counterexample is told of.
        let flaky = |breach: Breach, failed| {
            let excused = excused(found(broken(54)));
            let counterexample = Counterexample { breach, history: history(), case: None };
            let again = Some(Again { runs: 20, failed });
            let shown = Shown { counterexample, file: PathBuf::from("f"), replay: "r".to_owned(), again };
            let check = Check { shown: Some(&shown), ..check(&excused, Some(8)) };
            let line = check.lines().swap_remove(0);
            (check.end(), line.status.name(), line.reason)
        };
        let reason = Some("fails 3 of 20 times: w".to_owned());
        assert_eq!(flaky(broken(51), 3), ("flaky", "flaky", reason));
        assert_eq!(flaky(broken(51), 20), ("broken", "broken", Some("w".to_owned())));
    }

    #[test]
    fn goals_are_reached_or_not_or_do_not_apply() {
        let mut excused = excused(End::Finished);
        let claims =
            Claims::new("x").with(&[Capability::Collect, Capability::Steps, Capability::Phases, Capability::Colors]);
        excused.outcome.claims = Some(claims.clone());
        let applies = |goal: &&Goal| goal.missing(&claims).is_empty();
        let there: Vec<_> = goals::ALL.iter().filter(applies).collect();
        excused.outcome.coverage.add_count(there[1].id, 7);
        let aims = check(&excused, Some(0)).aims();
        assert_eq!(aims.len(), goals::ALL.len());
        for aim in &aims {
            let expected = match (applies(&aim.goal), aim.goal.id == there[1].id) {
                (false, _) => ("not applicable", 0),
                (true, true) => ("reached", 7),
                (true, false) => ("not reached", 0),
            };
            assert_eq!((aim.status(), aim.count), expected, "{:?}", aim.goal);
        }
        // In JSON, the reason is there if it does not apply, and what mutators had if anything was paused.
        let report = |excused: &Excused| -> serde_json::Value {
            serde_json::from_str(&json::report(&check(excused, Some(0)))).expect("JSON")
        };
        let json = report(&excused);
        for (aim, goal) in aims.iter().zip(json["goals"].as_array().expect("a list")) {
            assert_eq!((goal["status"].as_str(), goal["count"].as_u64()), (Some(aim.status()), Some(aim.count)));
            assert_eq!(goal["reason"].is_null(), aim.missing.is_empty(), "{goal}");
        }
        assert!(json["utilisation"].is_null() && aims.iter().any(|aim| !aim.missing.is_empty()), "{json}");
        excused.outcome.utilisation.add(&Reading::new(&history()));
        assert_eq!(report(&excused)["utilisation"]["pauses"], 1);
    }
}
