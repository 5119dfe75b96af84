//! A campaign with mutators on threads of their own: many plans, one heap, one outcome.
//!
//! Plan `k` is a function of the seed and `k` alone, but what comes of it depends on the scheduler. So a failure is
//! measured rather than repeated: it shows in so many of so many runs, each [disturbed](Disturbed) in another way.

use super::{Again, Breach, Counterexample};
use crate::{
    drive::parallel::{
        Plan, Shareable,
        watch::{Board, Disturbed},
    },
    generate::choices::{Choices, Seed},
    history::{History, Twice},
    law::{
        Law, Witness,
        parallel::{self, Crossings, Findings},
    },
};
use heaplaw_reference::heap::Claims;
use std::time::{Duration, Instant};

/// How often a plan that failed is run again, to see how often that shows.
pub const AGAIN: u64 = 100;

/// How often a plan is run that was saved.
pub const SAVED: u64 = 20;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What all plans follow from, and all disturbances.
    pub seed: u64,
    /// How many plans to run.
    pub cases: u64,
    /// How many operations each mutator has.
    pub ops: u32,
    /// How many mutators there are.
    pub mutators: u8,
    /// When to stop, even if cases are left.
    pub time: Option<Duration>,
    /// The laws to judge by, of [`parallel::LAWS`].
    pub laws: Vec<&'static Law>,
}

/// A plan under which something is wrong.
#[derive(Clone, Debug)]
pub struct Found {
    /// What every thread did.
    pub plan: Plan,
    /// The case of the campaign, if it was drawn.
    pub case: Option<u64>,
    /// What is wrong.
    pub breach: Breach,
    /// Which mutator saw it; `None` for what was seen when all was quiet.
    pub thread: Option<usize>,
}

/// What came of a campaign.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As of any campaign: a plan counts as a program. What is found has no history.
    pub seen: super::Outcome,
    /// The plan under which something is wrong, if there is one.
    pub found: Option<Found>,
    /// What happened between threads.
    pub crossings: Crossings,
}

/// Someone who watches a campaign.
pub trait Watch {
    /// A plan is about to be run. Answering `false` ends the campaign.
    fn about_to_run(&mut self, plan: &Plan, plans_so_far: u64) -> bool;
}

/// Nobody watches.
impl Watch for () {
    fn about_to_run(&mut self, _: &Plan, _: u64) -> bool {
        true
    }
}

impl Campaign {
    /// An outcome in which no plan has been run.
    pub fn nothing_yet(&self, claims: Claims, end: super::End) -> Outcome {
        let seen = super::Outcome { claims: Some(claims), ..super::Outcome::of_nothing(&self.laws, end) };
        Outcome { seen, found: None, crossings: Crossings::default() }
    }

    /// Runs the campaign, `first` some plans that are not drawn (saved failures), then the cases.
    pub fn run(&self, heap: &dyn Shareable, first: &[Plan], board: &Board, watch: &mut dyn Watch) -> Outcome {
        let start = Instant::now();
        let claims = heap.claims();
        let mut outcome = self.nothing_yet(claims.clone(), super::End::Finished);
        let saved =
            first.iter().flat_map(|plan| std::iter::repeat_n(plan, SAVED as usize)).map(|plan| (None, plan.clone()));
        let draw = |case| Plan::draw(&mut Seed::case(self.seed, case), &claims, self.mutators, self.ops);
        let drawn = (0..self.cases).map(|case| (Some(case), draw(case)));
        for (case, plan) in saved.chain(drawn) {
            if self.time.is_some_and(|time| start.elapsed() >= time) {
                outcome.seen.end = super::End::OutOfTime;
                break;
            }
            if !watch.about_to_run(&plan, outcome.seen.programs) {
                outcome.seen.end = super::End::Interrupted;
                break;
            }
            let disturbance = Seed::case(self.seed, outcome.seen.programs).below(u32::MAX);
            let findings = parallel::examine(&heap.run(&plan, &Disturbed::new(disturbance.into(), board)));
            outcome.add(&plan, &findings);
            if let Some((breach, thread)) = wrong(&findings, &self.laws) {
                let nothing =
                    History { claims, moments: Vec::new(), unclaimed: 0, failure: None, twice: Twice::NotTried };
                let counterexample = Counterexample { breach: breach.clone(), history: nothing, case };
                outcome.seen.end = super::End::Found(Box::new(counterexample));
                outcome.found = Some(Found { plan, case, breach, thread });
                break;
            }
        }
        outcome.seen.elapsed = start.elapsed();
        outcome
    }
}

/// What is wrong by these laws, and who saw it.
fn wrong(findings: &Findings, laws: &[&'static Law]) -> Option<(Breach, Option<usize>)> {
    if let Some(breach) = findings.first(laws) {
        let witness = Witness { moment: 0, why: breach.why.clone(), objects: Vec::new() };
        return Some((Breach::Law(breach.law, witness), breach.thread));
    }
    let (_, failure) = findings.failure.as_ref()?;
    Some((Breach::Failure(failure.clone()), None))
}

impl Outcome {
    fn add(&mut self, plan: &Plan, findings: &Findings) {
        self.seen.programs += 1;
        self.seen.performed += plan.len() as u64;
        self.crossings.add(findings.crossings);
        for tally in &mut self.seen.tallies {
            if let Some(checks) = findings.checks.get(&tally.law.number) {
                tally.programs += 1;
                tally.checks += checks;
            }
        }
    }
}

/// Runs a plan once, disturbed by this seed, and gives what is wrong by these laws.
pub fn once(
    heap: &dyn Shareable,
    plan: &Plan,
    laws: &[&'static Law],
    seed: u64,
    board: &Board,
) -> Option<(Breach, Option<usize>)> {
    wrong(&parallel::examine(&heap.run(plan, &Disturbed::new(seed, board))), laws)
}

/// Runs a plan so often, and counts how often the same thing is wrong, unless whoever watches says stop.
pub fn again(
    heap: &dyn Shareable,
    (plan, breach): (&Plan, &Breach),
    runs: u64,
    board: &Board,
    watch: &mut dyn Watch,
) -> Again {
    let laws = law_of(breach);
    let mut again = Again { runs: 0, failed: 0 };
    while again.runs < runs && watch.about_to_run(plan, again.runs) {
        again.runs += 1;
        let seen = once(heap, plan, &laws, again.runs, board);
        again.failed += u64::from(seen.is_some_and(|(seen, _)| seen.is_like(breach)));
    }
    again
}

/// The law that a breach is of, to be judged by alone.
pub fn law_of(breach: &Breach) -> Vec<&'static Law> {
    match breach {
        Breach::Law(law, _) => vec![law],
        Breach::Failure(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        campaign::End,
        drive::{
            Failure,
            parallel::{Account, OneAtATime, Threads, run},
        },
    };
    use heaplaw_reference::{
        event::Event,
        heap::{Heap, Reply},
        machine::Machine,
        op::Op,
        protocol::Protocol,
    };
    use std::cell::Cell;

    /// One thread after the other.
    struct InTurn;

    impl Threads for InTurn {
        fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>) {
            bodies.into_iter().for_each(|body| body());
        }

        fn pause(&self) {}
    }

    /// Counts an object that is not there, if it is wrong.
    struct Counting(Machine, bool);

    impl Heap for Counting {
        fn claims(&self) -> Claims {
            self.0.claims()
        }

        fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
            match self.0.perform(op, events) {
                Reply::Stats { objects, bytes } if self.1 => Reply::Stats { objects: objects + 1, bytes },
                reply => reply,
            }
        }
    }

    /// Heaps whose threads take turns; each so-and-so-manieth is wrong.
    struct Turns {
        wrong: u64,
        made: Cell<u64>,
    }

    fn turns(wrong: u64) -> Turns {
        Turns { wrong, made: Cell::new(0) }
    }

    impl Shareable for Turns {
        fn claims(&self) -> Claims {
            Machine::new(Protocol::HYBRID).claims()
        }

        fn run(&self, plan: &Plan, _: &dyn Threads) -> Account {
            self.made.set(self.made.get() + 1);
            let wrong = self.wrong > 0 && self.made.get().is_multiple_of(self.wrong);
            run(&OneAtATime::new(Counting(Machine::new(Protocol::HYBRID), wrong)), plan, &InTurn)
        }
    }

    /// Keeps the plans, and stops before one.
    struct Until(u64, Vec<(Plan, u64)>);

    impl Watch for Until {
        fn about_to_run(&mut self, plan: &Plan, plans_so_far: u64) -> bool {
            self.1.push((plan.clone(), plans_so_far));
            self.1.len() as u64 <= self.0
        }
    }

    fn campaign(time: Option<Duration>) -> Campaign {
        Campaign { seed: 3, cases: 12, ops: 30, mutators: 2, time, laws: parallel::LAWS.iter().collect() }
    }

    fn saved() -> Plan {
        Plan::draw(&mut Seed::case(9, 9), &Turns { wrong: 0, made: Cell::new(0) }.claims(), 2, 10)
    }

    #[test]
    fn all_plans_are_counted_with_what_came_of_them() {
        let mut watch = Until(u64::MAX, Vec::new());
        let hour = Some(Duration::from_secs(3600));
        let outcome = campaign(hour).run(&turns(0), &[saved()], &Board::default(), &mut watch);
        assert!(matches!(outcome.seen.end, End::Finished) && outcome.found.is_none(), "{outcome:?}");
        assert_eq!(watch.1.iter().map(|(_, so_far)| *so_far).collect::<Vec<_>>(), (0..SAVED + 12).collect::<Vec<_>>());
        assert!(watch.1[..SAVED as usize].iter().all(|(plan, _)| *plan == saved()));
        assert_eq!(outcome.seen.programs, SAVED + 12);
        assert_eq!(outcome.seen.performed, watch.1.iter().map(|(plan, _)| plan.len() as u64).sum::<u64>());
        let findings: Vec<_> =
            watch.1.iter().map(|(plan, _)| parallel::examine(&turns(0).run(plan, &InTurn))).collect();
        for tally in &outcome.seen.tallies {
            let checks = findings.iter().filter_map(|findings| findings.checks.get(&tally.law.number));
            assert_eq!(
                (tally.programs, tally.checks),
                (checks.clone().count() as u64, checks.sum::<u64>()),
                "{:?}",
                tally.law
            );
        }
        let mut crossings = Crossings::default();
        findings.iter().for_each(|findings| crossings.add(findings.crossings));
        assert_eq!(outcome.crossings, crossings);
        assert!(crossings.cycles > 0, "{crossings:?}");
    }

    #[test]
    fn a_campaign_ends_with_what_is_wrong_or_when_it_is_told_to() {
        let run = |time, wrong, first: &[Plan], most| {
            campaign(time).run(&turns(wrong), first, &Board::default(), &mut Until(most, Vec::new()))
        };
        let stopped = run(None, 0, &[], 5);
        assert!(matches!(stopped.seen.end, End::Interrupted) && stopped.seen.programs == 5, "{stopped:?}");
        let late = run(Some(Duration::ZERO), 0, &[], u64::MAX);
        assert!(matches!(late.seen.end, End::OutOfTime) && late.seen.programs == 0, "{late:?}");
        let drawn = run(None, 4, &[], u64::MAX);
        let found = drawn.found.expect("the fourth is wrong");
        assert_eq!((found.case, found.thread, drawn.seen.programs), (Some(3), None, 4));
        assert!(matches!(&found.breach, Breach::Law(law, _) if [97, 123].contains(&law.number)));
        assert!(matches!(&drawn.seen.end, End::Found(same) if same.case == Some(3)));
        assert!(run(None, 1, &[saved()], u64::MAX).found.is_some_and(|found| found.case.is_none()));
        // By other laws nothing is wrong.
        let others = Campaign { laws: Law::numbered(51).into_iter().collect(), ..campaign(None) };
        assert!(others.run(&turns(1), &[], &Board::default(), &mut ()).found.is_none());
    }

    #[test]
    fn what_is_wrong_now_and_then_is_counted() {
        let board = Board::default();
        let laws: Vec<_> = parallel::LAWS.iter().collect();
        assert!(once(&turns(0), &saved(), &laws, 1, &board).is_none());
        let (breach, _) = once(&turns(1), &saved(), &laws, 1, &board).expect("it is wrong");
        assert_eq!(law_of(&breach).iter().map(|law| law.number).collect::<Vec<_>>(), [97]);
        let count = |heap: &Turns, breach: &Breach, most| {
            again(heap, (&saved(), breach), 10, &board, &mut Until(most, Vec::new()))
        };
        assert_eq!(count(&turns(3), &breach, u64::MAX), Again { runs: 10, failed: 3 });
        assert_eq!(count(&turns(3), &breach, 6), Again { runs: 6, failed: 2 });
        assert_eq!(again(&turns(1), (&saved(), &breach), 10, &board, &mut ()), Again { runs: 10, failed: 10 });
        // It is not that a thread panicked.
        let crash = Breach::Failure(Failure::Crashed("c".to_owned()));
        assert!(law_of(&crash).is_empty());
        assert_eq!(count(&turns(1), &crash, u64::MAX), Again { runs: 10, failed: 0 });
    }
}
