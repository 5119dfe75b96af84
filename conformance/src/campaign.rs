//! A campaign: many programs, one subject, one outcome.
//!
//! Case `k` of a campaign is a function of the campaign and `k` alone: which program is drawn follows from the seed,
//! the length of programs and what the heap claims, whether it is run twice from `k`, and each begins on a fresh heap.
//! So any case can be run again by itself, and a campaign can be cut into pieces that run on different machines:
//! running cases `k` to `k + n` alone does what a whole run does with them. A campaign ends with its first
//! counterexample: what a heap that has lost an object does afterwards says little.

pub mod threads;

use crate::{
    drive::{Failure, Subject, step, twice::second_run},
    footprint::Footprint,
    generate::{choices::Seed, scenario::Scenario},
    goals::Coverage,
    history::{History, Moment},
    law::{self, Judgement, Law, Witness},
    reading::Reading,
    shrink::{self, Budget},
    utilisation::Utilisation,
    verdict::Verdict,
};
use heaplaw_reference::{
    heap::{Capability, Claims, Reply},
    op::{Environment, Op, Program},
};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// One case of so many is run twice, if a law wants that.
const TWICE_EVERY: u64 = 16;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What all decisions follow from.
    pub seed: u64,
    /// The first case that is run.
    pub from: u64,
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
        Campaign { seed: 0, from: 0, cases: 20_000, ops: 60, time: None, laws: law::all().collect(), faults: false }
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
    /// How much memory an allocator used.
    pub footprint: Footprint,
    /// What mutators had for themselves, of a heap that reports pauses.
    pub utilisation: Utilisation,
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

/// Runs `program`, twice if a law wants that, and judges it; gives what is wrong, if anything.
///
/// # Errors
/// If the subject cannot be started.
pub fn judge(
    subject: &mut dyn Subject,
    program: &Program,
    ending: step::Ending,
    laws: &[&'static Law],
) -> Result<(History, Judged), Failure> {
    let mut history = step::run(subject, program, ending)?;
    if twice(laws, &history.claims) {
        second_run(subject, program, ending, &mut history)?;
    }
    let judged = judged(&Reading::new(&history), laws);
    Ok((history, judged))
}

/// Whether one of these laws applies that wants a program to be run twice.
fn twice(laws: &[&'static Law], claims: &Claims) -> bool {
    laws.iter().any(|law| law.needs.twice && law.missing(claims).is_empty())
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
        let mut outcome = Outcome::of_nothing(&self.laws, End::Finished);
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
        let twice = twice(&self.laws, &claims);
        if faults {
            // What is left of a program before would be there when memory is refused.
            subject.begin_from_nothing();
        }
        outcome.claims = Some(claims);
        let saved = first.iter().map(|program| (None, program.clone()));
        let drawn = (self.from..self.from.saturating_add(self.cases))
            .map(|case| (Some(case), scenario.draw(&mut Seed::case(self.seed, case))));
        for (case, program) in saved.chain(drawn) {
            if self.time.is_some_and(|time| start.elapsed() >= time) {
                return End::OutOfTime;
            }
            if !watch.about_to_run(&program, outcome.programs) {
                return End::Interrupted;
            }
            let ran = step::run(subject, &program, step::Ending::Settle).and_then(|mut history| {
                if twice && case.is_none_or(|case| case % TWICE_EVERY == 0) {
                    second_run(subject, &program, step::Ending::Settle, &mut history)?;
                }
                Ok(history)
            });
            match ran {
                Err(failure) => return End::Unstartable(failure),
                Ok(history) => {
                    let reading = Reading::new(&history);
                    let judged = judged(&reading, &self.laws);
                    outcome.programs += 1;
                    outcome.add(&reading, &judged);
                    outcome.footprint.add(&reading, outcome.programs);
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
    /// What came of a campaign in which no program was run.
    pub fn of_nothing(laws: &[&'static Law], end: End) -> Outcome {
        Outcome {
            claims: None,
            programs: 0,
            performed: 0,
            faults: 0,
            tallies: laws.iter().map(|law| Tally { law, programs: 0, checks: 0 }).collect(),
            coverage: Coverage::default(),
            footprint: Footprint::default(),
            utilisation: Utilisation::default(),
            end,
            elapsed: Duration::ZERO,
        }
    }

    fn add(&mut self, reading: &Reading<'_>, judged: &Judged) {
        self.performed += reading.history.moments.len() as u64;
        self.coverage.add(reading);
        self.utilisation.add(reading);
        for (tally, finding) in self.tallies.iter_mut().zip(&judged.verdict.findings) {
            if let Judgement::Holds { checks } = finding.judgement {
                tally.programs += 1;
                tally.checks += checks;
            }
        }
    }
}

/// How often a counterexample is run again, to see whether it always shows.
pub const AGAIN: u64 = 20;

/// How often a counterexample showed when it was run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How often it was run.
    pub runs: u64,
    /// How often it showed.
    pub failed: u64,
}

impl Again {
    /// Whether it did not show every time: whatever it depends on, it is not the operations alone.
    pub fn is_flaky(self) -> bool {
        self.failed < self.runs
    }

    /// How often to run what fails so often, to see it fail nineteen times in twenty; at most as often as it was run.
    fn patience(self) -> u64 {
        let passes = 1.0 - self.failed as f64 / self.runs.max(1) as f64;
        (1..self.runs).find(|runs| passes.powi(*runs as i32) < 0.05).unwrap_or(self.runs.max(1))
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fails {} of {} times", self.failed, self.runs)
    }
}

/// Runs a program by itself, and gives the counterexample that it is if the same thing is wrong.
fn once(subject: &mut dyn Subject, program: &Program, found: &Counterexample) -> Option<Counterexample> {
    let laws: Vec<&'static Law> = match &found.breach {
        Breach::Law(law, _) => vec![law],
        Breach::Failure(_) => Vec::new(),
    };
    let (history, judged) = judge(subject, program, step::Ending::Abrupt, &laws).ok()?;
    let breach = judged.breach.filter(|breach| breach.is_like(&found.breach))?;
    Some(Counterexample { breach, history, case: found.case })
}

/// Runs a counterexample [again and again](AGAIN), unless whoever watches says stop.
pub fn again(subject: &mut dyn Subject, found: &Counterexample, watch: &mut dyn Watch) -> Again {
    let program = found.program();
    let mut again = Again { runs: 0, failed: 0 };
    while again.runs < AGAIN && watch.about_to_run(&program, again.runs) {
        again.runs += 1;
        again.failed += u64::from(once(subject, &program, found).is_some());
    }
    again
}

/// What came of shrinking a counterexample.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smaller counterexample; the same one if none was found that shows as reliably.
    pub counterexample: Counterexample,
    /// How many operations there were before.
    pub from: usize,
    /// How many programs were tried.
    pub tries: u64,
    /// How often the counterexample shows when its operations are run again by themselves.
    pub again: Again,
    /// What it would have shrunk to shows less often than it did itself, which was every time.
    pub unsteady: Option<Again>,
    /// Whether the budget was used up, or whoever watched said stop: then it may be larger than it need be.
    pub cut_off: bool,
}

/// Shrinks a counterexample: fewer operations, smaller objects, the same breach.
///
/// One that is flaky is shrunk with patience: each candidate is run until it fails, or has been run so often that it
/// should have. One that shows every time is not shrunk to one that does not.
pub fn shrink(subject: &mut dyn Subject, found: Counterexample, budget: Budget, watch: &mut dyn Watch) -> Shrunk {
    subject.begin_from_nothing();
    let before = again(subject, &found, watch);
    let program = found.program();
    let from = program.len();
    let whole = |found, unsteady, tries, cut_off| Shrunk {
        counterexample: found,
        from,
        tries,
        again: before,
        unsteady,
        cut_off,
    };
    if before.failed == 0 {
        return whole(found, None, 0, false);
    }
    let mut fails = |program: &Program| (0..before.patience()).find_map(|_| once(subject, program, &found));
    let mut stopped = false;
    let mut tries = 0;
    let shrunk = shrink::shrink(&program, budget, |candidate| {
        stopped = stopped || !watch.about_to_run(candidate, tries);
        tries += 1;
        !stopped && fails(candidate).is_some()
    });
    let cut_off = stopped || shrunk.exhausted;
    let Some(counterexample) = fails(&shrunk.program) else { return whole(found, None, tries, cut_off) };
    let after = again(subject, &counterexample, watch);
    if after.is_flaky() && !before.is_flaky() {
        return whole(found, Some(after), tries, cut_off);
    }
    Shrunk { counterexample, from, tries, again: after, unsteady: None, cut_off }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::InProcess;
    use heaplaw_reference::{
        event::Event,
        heap::{Heap, Reply},
        machine::Machine,
        op::{Action, Collect, Op},
        place::manual::{Manual, Policy},
        protocol::Protocol,
    };
    use std::cell::Cell;

    /// Keeps the programs that are run.
    impl Watch for Vec<Program> {
        fn about_to_run(&mut self, program: &Program, _: u64) -> bool {
            self.push(program.clone());
            true
        }
    }

    #[test]
    fn a_piece_of_a_campaign_is_what_a_whole_run_does_with_its_cases() {
        for protocol in [Protocol::HYBRID, Protocol::STOP_THE_WORLD] {
            let run = |from, cases| {
                let campaign = Campaign { seed: 3, from, cases, ..Campaign::default() };
                let mut programs = Vec::new();
                let outcome = campaign.run(&mut InProcess::new(|| Machine::new(protocol)), &[], &mut programs);
                assert!(matches!(outcome.end, End::Finished) && outcome.programs == cases);
                (programs, outcome)
            };
            let cuts = [0, 1, 17, 100, 250];
            let (whole, all) = run(0, 250);
            let pieces: Vec<_> = cuts.windows(2).rev().map(|cut| (cut[0], run(cut[0], cut[1] - cut[0]))).collect();
            for (from, (programs, _)) in &pieces {
                assert_eq!(programs[..], whole[*from as usize..][..programs.len()], "from case {from}");
            }
            let sum = |of: &dyn Fn(&Outcome) -> u64| pieces.iter().map(|(_, (_, outcome))| of(outcome)).sum::<u64>();
            assert_eq!(sum(&|outcome| outcome.performed), all.performed);
            for (at, tally) in all.tallies.iter().enumerate() {
                let parts = [sum(&|outcome| outcome.tallies[at].programs), sum(&|outcome| outcome.tallies[at].checks)];
                assert_eq!(parts, [tally.programs, tally.checks], "{:?}", tally.law);
            }
            for (at, (goal, count)) in all.coverage.counts().enumerate() {
                let part = |outcome: &Outcome| outcome.coverage.counts().nth(at).map_or(0, |(_, count)| count);
                assert_eq!(sum(&part), count, "{goal:?}");
            }
        }
    }

    #[test]
    fn a_counterexample_is_the_same_case_wherever_the_piece_begins() {
        let found = |from| {
            let campaign = Campaign { seed: 8, from, laws: law_51(), ..Campaign::default() };
            let mut subject = InProcess::new(|| Machine::new(Protocol::NO_BARRIER));
            match campaign.run(&mut subject, &[], &mut ()).end {
                End::Found(found) => (found.case.expect("a case"), found.program()),
                end => panic!("{end:?}"),
            }
        };
        let (case, program) = found(0);
        assert!(case > 0, "the seed of this test should not fail at once");
        assert_eq!(found(case), (case, program));
        assert!(found(case + 1).0 > case);
    }

    fn law_51() -> Vec<&'static Law> {
        Law::numbered(51).into_iter().collect()
    }

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

    /// Machines of which every `n`th has no barrier.
    fn every(n: u64, count: &Cell<u64>) -> InProcess<impl FnMut() -> Machine, Machine> {
        InProcess::new(move || {
            count.set(count.get() + 1);
            Machine::new(if count.get().is_multiple_of(n) { Protocol::NO_BARRIER } else { Protocol::HYBRID })
        })
    }

    fn found(subject: &mut dyn Subject) -> Counterexample {
        let law_51 = Law::numbered(51).into_iter().collect();
        let campaign = Campaign { laws: law_51, ..Campaign::default() };
        let End::Found(found) = campaign.run(subject, &[], &mut ()).end else { panic!("a lost object is not found") };
        *found
    }

    #[test]
    fn what_fails_every_third_time_is_flaky_and_shrinks_all_the_same() {
        let count = Cell::new(0);
        let mut subject = every(3, &count);
        let found = found(&mut subject);
        let again = again(&mut subject, &found, &mut ());
        assert!(again.is_flaky() && again.runs == AGAIN && (6..=7).contains(&again.failed), "{again}");
        let shrunk = shrink(&mut subject, found, Budget::default(), &mut ());
        assert!(shrunk.again.is_flaky() && shrunk.unsteady.is_none(), "{shrunk:?}");
        assert!(shrunk.counterexample.program().len() < 12, "{}", shrunk.counterexample.program());
        assert!(matches!(shrunk.counterexample.breach, Breach::Law(law, _) if law.number == 51));
    }

    #[test]
    fn what_never_fails_again_is_not_shrunk() {
        let count = Cell::new(0);
        let mut subject = every(1, &count);
        let found = found(&mut subject);
        let mut right = InProcess::new(|| Machine::new(Protocol::HYBRID));
        let shrunk = shrink(&mut right, found.clone(), Budget::default(), &mut ());
        assert_eq!((shrunk.again, shrunk.tries), (Again { runs: AGAIN, failed: 0 }, 0));
        assert_eq!(shrunk.counterexample.history, found.history);
        assert!(!again(&mut subject, &found, &mut ()).is_flaky());
    }

    /// A heap that fails every time, unless the program is short; then every other time.
    struct Steady {
        machine: Machine,
        allocations: u32,
        count: u64,
    }

    impl Heap for Steady {
        fn claims(&self) -> Claims {
            self.machine.claims()
        }

        fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
            self.allocations += u32::from(matches!(op, Op::Mutate { action: Action::Alloc { .. }, .. }));
            match self.machine.perform(op, events) {
                Reply::Stats { objects, bytes } if self.allocations > 3 || self.count.is_multiple_of(2) => {
                    Reply::Stats { objects: objects + 100, bytes }
                }
                reply => reply,
            }
        }
    }

    #[test]
    fn what_fails_every_time_is_not_shrunk_to_what_does_not() {
        let count = Cell::new(0);
        let mut subject = InProcess::new(|| {
            count.set(count.get() + 1);
            Steady { machine: Machine::new(Protocol::HYBRID), allocations: 0, count: count.get() }
        });
        let program: Program = "0 alloc r0 1\n".repeat(9).parse::<Program>().expect("a program");
        let program = program.into_ops().into_iter().chain([Op::Collect(Collect::Stats)]).collect();
        let laws: Vec<_> = Law::numbered(123).into_iter().collect();
        let (history, judged) = judge(&mut subject, &program, step::Ending::Abrupt, &laws).expect("it starts");
        let found = Counterexample { breach: judged.breach.expect("a breach"), history, case: None };
        let shrunk = shrink(&mut subject, found, Budget::default(), &mut ());
        assert!(!shrunk.again.is_flaky());
        match shrunk.unsteady {
            Some(after) => assert!(after.is_flaky() && shrunk.counterexample.program() == program, "{after}"),
            None => assert!(shrunk.counterexample.program().len() > 4, "{}", shrunk.counterexample.program()),
        }
    }

    #[test]
    fn patience_is_measured_by_how_often_something_fails() {
        let patience = |failed| Again { runs: 20, failed }.patience();
        assert_eq!([20, 18, 10, 7, 1].map(patience), [1, 2, 5, 7, 20]);
    }

    #[test]
    fn breaches_of_the_same_law_or_the_same_way_to_fail_are_alike() {
        let witness = |why: &str| Witness { moment: 0, why: why.to_owned(), objects: Vec::new() };
        let law = |number, why: &str| Breach::Law(Law::numbered(number).expect("a law"), witness(why));
        let failure = |failure| Breach::Failure(failure);
        assert!(law(51, "a").is_like(&law(51, "b")) && !law(51, "a").is_like(&law(52, "a")));
        let crash = |how: &str| failure(Failure::Crashed(how.to_owned()));
        assert!(crash("a").is_like(&crash("b")));
        assert!(!crash("a").is_like(&failure(Failure::Garbled("a".to_owned()))));
        assert!(!crash("a").is_like(&law(51, "a")) && !law(51, "a").is_like(&crash("a")));
        assert_eq!(Again { runs: 20, failed: 3 }.to_string(), "fails 3 of 20 times");
    }

    #[test]
    fn one_case_in_sixteen_is_run_twice_if_a_law_wants_that() {
        let twice: Vec<_> = law::all().filter(|law| law.needs.twice).collect();
        let heaps = |laws: Vec<&'static Law>, first: &[Program]| {
            let count = Cell::new(0);
            let mut subject = InProcess::new(|| {
                count.set(count.get() + 1);
                Machine::new(Protocol::HYBRID)
            });
            let campaign = Campaign { from: 1, cases: 33, laws, ..Campaign::default() };
            let outcome = campaign.run(&mut subject, first, &mut ());
            assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
            count.get()
        };
        let saved: Program = "0 alloc r0 1\n".parse().expect("a program");
        // One for the claims, one for each program, one more for cases 16 and 32.
        assert_eq!((heaps(law_51(), &[]), heaps(twice.clone(), &[])), (34, 36));
        assert_eq!(heaps(twice, &[saved]), 38, "what was saved is run twice as well");
    }

    /// Keeps how many programs there were before each, and says stop once.
    struct Stopping(u64, Vec<u64>);

    impl Watch for Stopping {
        fn about_to_run(&mut self, _: &Program, programs_so_far: u64) -> bool {
            self.1.push(programs_so_far);
            self.1.len() as u64 != self.0
        }
    }

    #[test]
    fn whoever_watches_shrinking_is_told_of_each_try_and_can_stop_it() {
        let mut subject = InProcess::new(|| Machine::new(Protocol::NO_BARRIER));
        let found = found(&mut subject);
        let mut watch = Stopping(0, Vec::new());
        let shrunk = shrink(&mut subject, found.clone(), Budget::default(), &mut watch);
        let (before, rest) = watch.1.split_at(AGAIN as usize);
        let (tries, after) = rest.split_at(rest.len() - AGAIN as usize);
        assert_eq!((before, after), (&(0..AGAIN).collect::<Vec<_>>()[..], before));
        assert_eq!(tries, (0..shrunk.tries).collect::<Vec<_>>());
        // Who says stop at the third try is not asked about a fourth.
        let mut watch = Stopping(AGAIN + 3, Vec::new());
        let shrunk = shrink(&mut subject, found, Budget::default(), &mut watch);
        assert!(shrunk.cut_off && shrunk.tries >= 3);
        assert_eq!(watch.1.len() as u64, 2 * AGAIN + 3);
    }

    /// An allocator that panics when it is refused memory, if it is so minded.
    struct Sulking(Manual, bool);

    impl Heap for Sulking {
        fn claims(&self) -> Claims {
            self.0.claims()
        }

        fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
            let reply = self.0.perform(op, events);
            assert!(reply != Reply::OutOfMemory || !self.1, "it sulks");
            reply
        }
    }

    #[test]
    fn each_request_for_memory_is_refused_until_none_is_felt() {
        crate::drive::print_no_panics_of_subjects();
        let first = ["0 alloc r0 0 4096\n0 alloc r1 0 9000\n".parse::<Program>().expect("a program")];
        let run = |faults, sulks, watch: &mut dyn Watch| {
            let mut subject = InProcess::new(|| Sulking(Manual::new(Policy::FirstFit), sulks));
            let time = Some(Duration::from_secs(3600));
            let campaign = Campaign { cases: 0, faults, time, ..Campaign::default() };
            campaign.run(&mut subject, &first, watch)
        };
        let mut programs: Vec<Program> = Vec::new();
        let outcome = run(true, false, &mut programs);
        assert!(matches!(outcome.end, End::Finished) && outcome.programs == 1, "{:?}", outcome.end);
        // The program as it is; each request refused, which is felt; two more, which nobody makes.
        let fails: Vec<String> = programs[1..].iter().map(|program| program.ops()[0].to_string()).collect();
        assert_eq!((programs[0].clone(), outcome.faults), (first[0].clone(), 2));
        assert_eq!(fails, ["env fail 1", "env fail 2", "env fail 3", "env fail 4"]);
        assert!(programs[1..].iter().all(|program| program.ops()[1..] == *first[0].ops()));
        assert_eq!(run(false, false, &mut ()).faults, 0);
        let stopped = run(true, false, &mut Stopping(3, Vec::new()));
        assert!(matches!(stopped.end, End::Interrupted) && stopped.faults == 1, "{stopped:?}");
        let found = run(true, true, &mut ());
        let End::Found(found) = found.end else { panic!("{found:?}") };
        assert!(matches!(&found.breach, Breach::Failure(Failure::Crashed(why)) if why.contains("it sulks")));
        // The time is up before anything is run.
        let none = Campaign { time: Some(Duration::ZERO), ..Campaign::default() };
        let outcome = none.run(&mut InProcess::new(|| Machine::new(Protocol::HYBRID)), &[], &mut ());
        assert!(matches!(outcome.end, End::OutOfTime) && outcome.programs == 0, "{outcome:?}");
    }

    #[test]
    fn what_memory_there_is_shows_in_blocks_counts_and_refusals() {
        use heaplaw_reference::object::{Address, Content};
        let op: Op = "0 alloc r0 1\n".trim().parse().expect("an operation");
        let of = |reply| outline(&Moment { op, reply, events: Vec::new() });
        let born = |at, usable| Reply::Born { at: Address(at), usable, found: Content::ZERO, color: None };
        assert_eq!(of(born(8, 16)), (op, Some(16), false));
        assert_eq!(of(born(8, 16)), of(born(64, 16)), "where it lies does not matter");
        assert_eq!(of(Reply::Stats { objects: 2, bytes: 24 }), (op, Some(24), false));
        assert_eq!([of(Reply::OutOfMemory), of(Reply::Done)], [(op, None, true), (op, None, false)]);
    }
}
