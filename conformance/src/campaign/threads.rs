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
