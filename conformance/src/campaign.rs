//! A campaign: many programs, one subject, one outcome.
//!
//! Case `k` of a campaign is a function of the campaign's seed and `k` alone, so any case can be run again by itself. A
//! campaign ends with its first counterexample: what a heap that has lost an object does afterwards says little.

use crate::{
    drive::{Failure, Subject, step},
    generate::{choices::Seed, scenario::Scenario},
    goals::Coverage,
    history::{History, Moment},
    law::{self, Judgement, Law, Witness},
    reading::Reading,
    shrink::{self, Budget},
    verdict::Verdict,
};
use heaplaw_reference::{
    heap::{Capability, Claims, Reply},
    op::{Environment, Op, Program},
};
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What all decisions follow from.
    pub seed: u64,
    /// How many programs to run.
    pub cases: u64,
    /// How many operations a program has at most, but for the fan-out that a few [begin with](Scenario::ops).
    pub ops: u32,
    /// When to stop, even if cases are left.
    pub time: Option<Duration>,
    /// The laws to judge by.
    pub laws: Vec<&'static Law>,
    /// Whether each program is run again and again, and the heap refused the first request for memory that it makes, then
    /// the second, and so on until it feels nothing of it. Only of a heap that claims [`Capability::Faults`].
    pub faults: bool,
}

impl Default for Campaign {
    /// 20,000 programs of 60 operations by all laws.
    fn default() -> Self {
        Campaign { seed: 0, cases: 20_000, ops: 60, time: None, laws: law::all().collect(), faults: false }
    }
}

/// What was seen of one law.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The law.
    pub law: &'static Law,
    /// How many programs it applied to.
    pub programs: u64,
    /// How often it was looked at.
    pub checks: u64,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub enum Breach {
    /// A law is broken.
    Law(&'static Law, Witness),
    /// The subject failed to answer.
    Failure(Failure),
}

impl Breach {
    /// Whether another breach is of the same kind: the same law, or the same way to fail.
    pub fn is_like(&self, other: &Breach) -> bool {
        match (self, other) {
            (Breach::Law(law, _), Breach::Law(other, _)) => law.number == other.number,
            (Breach::Failure(failure), Breach::Failure(other)) => {
                std::mem::discriminant(failure) == std::mem::discriminant(other)
            }
            _ => false,
        }
    }
}

/// A program under which something is wrong.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub breach: Breach,
    /// What happened.
    pub history: History,
    /// The case of the campaign, if it was drawn.
    pub case: Option<u64>,
}

impl Counterexample {
    /// The operations up to the one that shows the breach: all that is needed to see it again.
    pub fn program(&self) -> Program {
        let ops = self.history.program().into_ops();
        let needed = match &self.breach {
            Breach::Law(_, witness) => witness.moment + 1,
            Breach::Failure(_) => ops.len(),
        };
        ops.into_iter().take(needed).collect()
    }
}

/// How a campaign ended.
#[derive(Clone, Debug)]
pub enum End {
    /// All cases were run.
    Finished,
    /// The time was up.
    OutOfTime,
    /// Whoever watched said stop.
    Interrupted,
    /// Something is wrong.
    Found(Box<Counterexample>),
    /// The subject did not even start.
    Unstartable(Failure),
}

/// What came of a campaign.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the subject says of itself, once it was started.
    pub claims: Option<Claims>,
    /// How many programs were run.
    pub programs: u64,
    /// How many operations were performed.
    pub performed: u64,
    /// How many times a program was run with a fault that the heap felt.
    pub faults: u64,
    /// What was seen of each law.
    pub tallies: Vec<Tally>,
    /// How often each goal was met.
    pub coverage: Coverage,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub elapsed: Duration,
}

/// Someone who watches a campaign.
pub trait Watch {
    /// A program is about to be run. Answering `false` ends the campaign.
    fn about_to_run(&mut self, program: &Program, programs_so_far: u64) -> bool;
}

/// Nobody watches.
impl Watch for () {
    fn about_to_run(&mut self, _: &Program, _: u64) -> bool {
        true
    }
}

/// A verdict, and what is wrong first.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// What is wrong, if anything.
    pub breach: Option<Breach>,
}

/// Runs `program` and judges it; gives what is wrong, if anything.
///
/// # Errors
/// If the subject cannot be started.
pub fn judge(
    subject: &mut dyn Subject,
    program: &Program,
    ending: step::Ending,
    laws: &[&'static Law],
) -> Result<(History, Judged), Failure> {
    let history = step::run(subject, program, ending)?;
    let judged = judged(&Reading::new(&history), laws);
    Ok((history, judged))
}

fn judged(reading: &Reading<'_>, laws: &[&'static Law]) -> Judged {
    let verdict = law::judge_reading(reading, laws);
    let breach = match (verdict.broken(), &verdict.failure) {
        (Some((law, witness)), _) => Some(Breach::Law(law, witness.clone())),
        (None, Some((_, failure))) => Some(Breach::Failure(failure.clone())),
        (None, None) => None,
    };
    Judged { verdict, breach }
}

impl Campaign {
    /// Runs the campaign, `first` some programs that are not drawn (saved failures), then the cases.
    pub fn run(&self, subject: &mut dyn Subject, first: &[Program], watch: &mut dyn Watch) -> Outcome {
        let start = Instant::now();
        let tallies = self.laws.iter().map(|law| Tally { law, programs: 0, checks: 0 }).collect();
        let mut outcome = Outcome {
            claims: None,
            programs: 0,
            performed: 0,
            faults: 0,
            tallies,
            coverage: Coverage::default(),
            end: End::Finished,
            elapsed: Duration::ZERO,
        };
        outcome.end = self.run_all(subject, first, watch, &mut outcome, start);
        outcome.elapsed = start.elapsed();
        outcome
    }

    fn run_all(
        &self,
        subject: &mut dyn Subject,
        first: &[Program],
        watch: &mut dyn Watch,
        outcome: &mut Outcome,
        start: Instant,
    ) -> End {
        // The claims decide what is drawn.
        let claims = match subject.reset() {
            Ok(claims) => claims,
            Err(failure) => return End::Unstartable(failure),
        };
        let scenario = Scenario::suited(&claims, self.ops);
        let faults = self.faults && claims.has(Capability::Faults);
        outcome.claims = Some(claims);
        let saved = first.iter().map(|program| (None, program.clone()));
        let drawn = (0..self.cases).map(|case| (Some(case), scenario.draw(&mut Seed::case(self.seed, case))));
        for (case, program) in saved.chain(drawn) {
            if self.time.is_some_and(|time| start.elapsed() >= time) {
                return End::OutOfTime;
            }
            if !watch.about_to_run(&program, outcome.programs) {
                return End::Interrupted;
            }
            match step::run(subject, &program, step::Ending::Settle) {
                Err(failure) => return End::Unstartable(failure),
                Ok(history) => {
                    let reading = Reading::new(&history);
                    let judged = judged(&reading, &self.laws);
                    outcome.programs += 1;
                    outcome.add(&reading, &judged);
                    if let Some(breach) = judged.breach {
                        return End::Found(Box::new(Counterexample { breach, history, case }));
                    }
                    if faults && let Some(end) = self.refuse(subject, &program, &history, case, watch, outcome, start) {
                        return end;
                    }
                }
            }
        }
        End::Finished
    }

    /// Runs a program with every growth refused in turn, one in each run. Says how the campaign ends, if it does.
    #[expect(clippy::too_many_arguments, reason = "the state of the loop that calls it")]
    fn refuse(
        &self,
        subject: &mut dyn Subject,
        program: &Program,
        without: &History,
        case: Option<u64>,
        watch: &mut dyn Watch,
        outcome: &mut Outcome,
        start: Instant,
    ) -> Option<End> {
        let mut unfelt = 0;
        for growth in 1.. {
            // A heap may make good for one refusal by itself, and not for the next.
            if unfelt == 2 {
                break;
            }
            if self.time.is_some_and(|time| start.elapsed() >= time) {
                return Some(End::OutOfTime);
            }
            let fail = Op::Environment(Environment::Fail(growth));
            let program: Program = [fail].into_iter().chain(program.ops().iter().copied()).collect();
            if !watch.about_to_run(&program, outcome.programs) {
                return Some(End::Interrupted);
            }
            let history = match step::run(subject, &program, step::Ending::Settle) {
                Ok(history) => history,
                Err(failure) => return Some(End::Unstartable(failure)),
            };
            let judged = {
                let reading = Reading::new(&history);
                let judged = judged(&reading, &self.laws);
                outcome.add(&reading, &judged);
                judged
            };
            if let Some(breach) = judged.breach {
                return Some(End::Found(Box::new(Counterexample { breach, history, case })));
            }
            let felt = !history.moments.iter().skip(1).map(outline).eq(without.moments.iter().map(outline));
            outcome.faults += u64::from(felt);
            unfelt = if felt { 0 } else { unfelt + 1 };
        }
        None
    }
}

/// What a moment tells of how much memory there is: not where anything lies.
fn outline(moment: &Moment) -> (Op, Option<u64>, bool) {
    let usable = match moment.reply {
        Reply::Born { usable, .. } => Some(usable),
        Reply::Stats { bytes, .. } => Some(bytes),
        _ => None,
    };
    (moment.op, usable, moment.reply == Reply::OutOfMemory)
}

impl Outcome {
    fn add(&mut self, reading: &Reading<'_>, judged: &Judged) {
        self.performed += reading.history.moments.len() as u64;
        self.coverage.add(reading);
        for (tally, finding) in self.tallies.iter_mut().zip(&judged.verdict.findings) {
            if let Judgement::Holds { checks } = finding.judgement {
                tally.programs += 1;
                tally.checks += checks;
            }
        }
    }
}

/// What came of shrinking a counterexample.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smaller counterexample; the same one if it did not show again.
    pub counterexample: Counterexample,
    /// How many operations there were before.
    pub from: usize,
    /// How many programs were tried.
    pub tries: u64,
    /// Whether the breach showed when its operations were run again by themselves.
    pub reproduces: bool,
    /// Whether the budget was used up, or whoever watched said stop: then it may be larger than it need be.
    pub cut_off: bool,
}

/// Shrinks a counterexample: fewer operations, smaller objects, the same breach.
pub fn shrink(subject: &mut dyn Subject, found: Counterexample, budget: Budget, watch: &mut dyn Watch) -> Shrunk {
    let laws: Vec<&'static Law> = match &found.breach {
        Breach::Law(law, _) => vec![law],
        Breach::Failure(_) => Vec::new(),
    };
    subject.begin_from_nothing();
    let mut again = |program: &Program| -> Option<Counterexample> {
        let (history, judged) = judge(subject, program, step::Ending::Abrupt, &laws).ok()?;
        let breach = judged.breach.filter(|breach| breach.is_like(&found.breach))?;
        Some(Counterexample { breach, history, case: found.case })
    };
    let program = found.program();
    let from = program.len();
    let Some(shown) = again(&program) else {
        return Shrunk { counterexample: found, from, tries: 1, reproduces: false, cut_off: false };
    };
    let mut stopped = false;
    let mut tries = 1;
    let shrunk = shrink::shrink(&program, budget, |candidate| {
        stopped = stopped || !watch.about_to_run(candidate, tries);
        tries += 1;
        !stopped && again(candidate).is_some()
    });
    let counterexample = again(&shrunk.program).unwrap_or(shown);
    let cut_off = stopped || shrunk.exhausted;
    Shrunk { counterexample, from, tries: tries + 1, reproduces: true, cut_off }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::InProcess;
    use heaplaw_reference::{machine::Machine, protocol::Protocol};

    #[test]
    fn shrinking_that_was_cut_off_says_so() {
        let mut subject = InProcess::new(|| Machine::new(Protocol::NO_BARRIER));
        let outcome = Campaign::default().run(&mut subject, &[], &mut ());
        let End::Found(found) = outcome.end else { panic!("a lost object is not found") };
        let whole = shrink(&mut subject, (*found).clone(), Budget::default(), &mut ());
        let part = shrink(&mut subject, *found, Budget { tries: 3, ..Budget::default() }, &mut ());
        assert_eq!((whole.cut_off, part.cut_off), (false, true));
        assert!(part.counterexample.program().len() > whole.counterexample.program().len());
    }
}
