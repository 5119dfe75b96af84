//! The laws: what every heap owes its mutators, and what a collector owes the theory.
//!
//! A [`Law`] is data: a number, a name, a sentence, what it needs to see of a heap, and a pure function from a
//! [`Reading`] to a [`Judgement`]. Laws never panic and never talk to a heap. Their numbers are those of the project's
//! list of 140, and above that the kit's own; where the others are held, the page `LAWS.md` tells.
//!
//! The modules group them by what they are about: where objects are ([`placement`]), what they hold ([`content`]), that
//! they stay ([`survival`]), how marking goes ([`color`], [`barrier`], [`phase`]), that garbage goes ([`reclamation`]),
//! what a program can learn of a death ([`finalize`]), when a cycle starts ([`pacing`]), how large the heap becomes
//! ([`growth`]), who works for it ([`effort`]), how long mutators wait ([`pause`]), what whoever frees by hand is owed
//! ([`fit`]), what classes of sizes promise ([`class`]), that a textbook allocator goes by its book ([`textbook`]), and
//! that the books are right ([`account`]). Where the order of things is unknown, [`parallel`] and [`crowd`] judge.

pub mod account;
pub mod barrier;
pub mod class;
pub mod color;
pub mod content;
pub mod crowd;
pub mod effort;
pub mod finalize;
pub mod fit;
pub mod growth;
pub mod parallel;
pub mod pacing;
pub mod pause;
pub mod phase;
pub mod placement;
pub mod reclamation;
pub mod survival;
pub mod textbook;

use crate::{
    history::History,
    reading::Reading,
    verdict::{Finding, Verdict},
};
use heaplaw_reference::{
    heap::{Capability, Claims, Invariant},
    object::ObjectId,
};
use std::fmt;

/// One law.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its number in the list of laws.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub statement: &'static str,
    /// What it has to see.
    pub needs: Needs,
    /// Judges a reading whose heap claims what the law needs.
    pub judge: fn(&Reading<'_>) -> Judgement,
}

impl Law {
    /// The law of this number.
    pub fn numbered(number: u16) -> Option<&'static Law> {
        all().find(|law| law.number == number)
    }

    /// The name as an identifier: `law_51_reachable_never_freed`.
    pub fn identifier(&self) -> String {
        format!("law_{}_{}", self.number, self.name.replace([' ', '-'], "_"))
    }

    /// What a heap would have to claim for this law to apply; empty if it applies.
    pub fn missing(&self, claims: &Claims) -> Vec<&'static str> {
        let capabilities = self.needs.capabilities.iter().filter(|capability| !claims.has(**capability));
        let mut missing: Vec<_> = capabilities.map(|capability| capability.name()).collect();
        let invariants = self.needs.invariants;
        if !invariants.is_empty() && !claims.invariant.is_some_and(|claimed| invariants.contains(&claimed)) {
            missing.push(match invariants {
                [Invariant::Strong] => "the strong invariant",
                [Invariant::ModifiedWeak] => "the modified weak invariant",
                [_, _, _] => "an invariant",
                _ => "a weak invariant",
            });
        }
        let rules = self.needs.placements;
        if !rules.is_empty() && !claims.placement.is_some_and(|rule| rules.contains(&rule.name())) {
            missing.push(match rules {
                [rule] => rule,
                _ => "first-, next- or best-fit",
            });
        }
        missing
    }
}

impl fmt::Debug for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} {}", self.number, self.name)
    }
}

/// What a law has to see of a heap.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The heap claims all of these.
    pub capabilities: &'static [Capability],
    /// The heap claims one of these, if there are any.
    pub invariants: &'static [Invariant],
    /// The heap claims to place objects by one of these [rules](heaplaw_reference::heap::Placement::name), if there are any.
    pub placements: &'static [&'static str],
    /// The program is run [once more](crate::drive::twice).
    pub twice: bool,
}

impl Needs {
    /// Nothing: the law applies to every heap.
    pub const NOTHING: Needs = Needs::of(&[]);

    /// These capabilities.
    pub const fn of(capabilities: &'static [Capability]) -> Needs {
        Needs { capabilities, invariants: &[], placements: &[], twice: false }
    }

    /// And one of these invariants.
    pub const fn upholding(self, invariants: &'static [Invariant]) -> Needs {
        Needs { invariants, ..self }
    }

    /// And one of these rules.
    pub const fn placing(self, placements: &'static [&'static str]) -> Needs {
        Needs { placements, ..self }
    }

    /// And that the program is run twice.
    pub const fn twice(self) -> Needs {
        Needs { twice: true, ..self }
    }
}

/// What a law says of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It held every time it was looked at.
    Holds {
        /// How many times that was; 0 says nothing at all about the heap.
        checks: u64,
    },
    /// It did not hold.
    Broken(Witness),
    /// The heap does not claim what the law has to see.
    NotApplicable,
}

/// The first thing in a history that breaks a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The moment after which it shows.
    pub moment: usize,
    /// What is wrong, as a clause: "b was freed although root r0 of mutator 0 holds it".
    pub why: String,
    /// The objects concerned.
    pub objects: Vec<ObjectId>,
}

/// Counts checks and keeps the earliest that failed.
#[derive(Debug, Default)]
pub struct Check {
    checks: u64,
    broken: Option<Witness>,
}

impl Check {
    /// Checks that `holds`; if not, `why` says why and about whom, and `moment` when.
    pub fn that<const N: usize>(&mut self, holds: bool, moment: usize, why: impl FnOnce() -> (String, [ObjectId; N])) {
        if holds {
            return self.held();
        }
        self.checks += 1;
        if self.broken.as_ref().is_none_or(|broken| moment < broken.moment) {
            let (why, objects) = why();
            self.broken = Some(Witness { moment, why, objects: objects.into() });
        }
    }

    /// Counts a check that held.
    pub fn held(&mut self) {
        self.checks += 1;
    }

    /// Counts a check that failed.
    pub fn failed<const N: usize>(&mut self, moment: usize, why: String, objects: [ObjectId; N]) {
        self.that(false, moment, || (why, objects));
    }

    /// The judgement that follows.
    pub fn done(self) -> Judgement {
        match self.broken {
            Some(witness) => Judgement::Broken(witness),
            None => Judgement::Holds { checks: self.checks },
        }
    }
}

/// All laws, by number.
pub fn all() -> impl Iterator<Item = &'static Law> {
    static LAWS: std::sync::LazyLock<Vec<Law>> = std::sync::LazyLock::new(|| {
        let mut laws = [
            placement::LAWS,
            content::LAWS,
            survival::LAWS,
            color::LAWS,
            barrier::LAWS,
            phase::LAWS,
            reclamation::LAWS,
            finalize::LAWS,
            fit::LAWS,
            class::LAWS,
            textbook::LAWS,
            pacing::LAWS,
            pause::LAWS,
            growth::LAWS,
            effort::LAWS,
            account::LAWS,
        ]
        .concat();
        laws.sort_by_key(|law| law.number);
        laws
    });
    LAWS.iter()
}

/// Judges a history by these laws.
pub fn judge(history: &History, laws: &[&'static Law]) -> Verdict {
    judge_reading(&Reading::new(history), laws)
}

/// Judges a history that has been read by these laws.
pub fn judge_reading(reading: &Reading<'_>, laws: &[&'static Law]) -> Verdict {
    let History { claims, failure, .. } = reading.history;
    let finding = |law: &&'static Law| {
        let applies = law.missing(claims).is_empty();
        Finding { law, judgement: if applies { (law.judge)(reading) } else { Judgement::NotApplicable } }
    };
    Verdict { findings: laws.iter().map(finding).collect(), failure: failure.clone() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        drive::{InProcess, step},
        generate::{
            choices::{Choices, Seed},
            scenario::Scenario,
        },
        history::{Moment, Twice},
    };
    use heaplaw_reference::{
        gauge::Gauge,
        heap::{Heap, Reply},
        machine::Machine,
        pacer::Pacing,
        protocol::Protocol,
        text::answer,
    };

    /// What a law says of a story that a heap tells. The heap claims what the law needs, and `claims` besides. Each line
    /// is an operation and, behind an arrow, the answer, if that is not `ok`; in that of `gc pace`, numbers that are left
    /// out are 0.
    pub(crate) fn judged(number: u16, claims: &str, story: &str) -> Judgement {
        let law = Law::numbered(number).expect("a law");
        let claims = answer::parse_claims(&format!("heap told {claims}")).expect("claims");
        let claims = claims.with(law.needs.capabilities);
        assert!(law.missing(&claims).is_empty(), "{law:?} needs {:?}", law.missing(&claims));
        judge(&history(claims, story), &[law]).findings.remove(0).judgement
    }

    /// The history of such a story.
    pub(crate) fn history(claims: Claims, story: &str) -> History {
        let lines = story.lines().map(str::trim).filter(|line| !line.is_empty());
        let moments = lines.map(|line| {
            let (op, answer) = line.split_once("=>").unwrap_or((line, "ok"));
            let (reply, events) = answer::parse(&every_number(answer.trim())).expect(line);
            Moment { op: op.trim().parse().expect(line), reply, events }
        });
        let moments = moments.collect();
        History { claims, moments, unclaimed: 0, failure: None, twice: Twice::NotTried }
    }

    /// An answer to `gc pace` with all its numbers; any other as it is.
    fn every_number(answer: &str) -> String {
        let Some(told) = answer.strip_prefix("pace") else { return answer.to_owned() };
        let (told, events) =
            told.split_once(';').map_or((told, String::new()), |(told, rest)| (told, format!(";{rest}")));
        let told: Vec<_> = told.split_whitespace().map(|word| word.split_once('=').expect("name=number")).collect();
        let number = |name| told.iter().find(|(other, _)| *other == name).map_or(Ok(0), |(_, number)| number.parse());
        let gauge = Gauge::read(number).expect("numbers");
        let mut known = Vec::new();
        gauge.each(|name, _| known.push(name));
        assert!(told.iter().all(|(name, _)| known.contains(name)), "{answer}");
        answer::print(&Reply::Pace(Box::new(gauge)), &[]) + &events
    }

    /// How often a law [held](judged) in a story, or the moment at which it is broken.
    pub(crate) fn told(number: u16, claims: &str, story: &str) -> Result<u64, usize> {
        match judged(number, claims, story) {
            Judgement::Holds { checks } => Ok(checks),
            Judgement::Broken(witness) => Err(witness.moment),
            Judgement::NotApplicable => unreachable!("it is claimed"),
        }
    }

    /// Why a law is broken by a story.
    pub(crate) fn why(number: u16, claims: &str, story: &str) -> String {
        match judged(number, claims, story) {
            Judgement::Broken(witness) => witness.why,
            other => panic!("law {number} holds: {other:?}"),
        }
    }

    #[test]
    fn laws_come_to_terms_with_whatever_numbers_a_heap_gives() {
        const NUMBERS: [u64; 6] = [0, 1, 1 << 20, 1 << 63, u64::MAX - 7, u64::MAX];
        let (laws, mut broken) = (all().collect::<Vec<_>>(), 0);
        for case in 0..2_000 {
            let make = || Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
            let scenario = Scenario::suited(&make().claims(), 40);
            let program = scenario.draw(&mut Seed::case(5, case));
            let mut history = step::run(&mut InProcess::new(make), &program, step::Ending::Abrupt).expect("it runs");
            let mut dice = Seed::case(6, case);
            // One number of four answers.
            let mut number = |old: u64, at: usize, lies: usize| {
                let lie = NUMBERS[dice.below(NUMBERS.len() as u32) as usize];
                if (at + case as usize) % 4 < lies { lie } else { old }
            };
            for (at, moment) in history.moments.iter_mut().enumerate() {
                match &mut moment.reply {
                    Reply::Born { usable, .. } => *usable = number(*usable, at, 1),
                    Reply::Stats { objects, bytes } => {
                        (*objects, *bytes) = (number(*objects, at, 2), number(*bytes, at, 2));
                    }
                    Reply::Pace(gauge) => {
                        let mut numbers = Vec::new();
                        gauge.each(|_, old| numbers.push(number(old, at, 1)));
                        let mut numbers = numbers.into_iter();
                        let read = Gauge::read(|_| numbers.next().ok_or(()));
                        **gauge = read.expect("as many as there were");
                    }
                    _ => {}
                }
            }
            let verdict = judge(&history, &laws);
            broken += verdict.findings.iter().filter(|found| matches!(found.judgement, Judgement::Broken(_))).count();
        }
        assert!(broken > 300, "only {broken} findings");
    }

    #[test]
    fn laws_are_told_apart_by_number_and_by_name() {
        let numbers: Vec<_> = all().map(|law| law.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let names: std::collections::HashSet<_> = all().map(|law| law.name).collect();
        assert_eq!(names.len(), numbers.len());
    }

    #[test]
    fn a_law_is_one_sentence() {
        for law in all() {
            assert!(law.statement.ends_with('.') && !law.statement.trim_end_matches('.').contains(". "), "{law:?}");
        }
    }

    #[test]
    fn the_earliest_failure_is_kept() {
        let mut check = Check::default();
        check.that(true, 0, || (String::new(), []));
        check.that(false, 7, || ("late".into(), []));
        check.that(false, 3, || ("early".into(), [ObjectId(1)]));
        check.that(false, 3, || ("second".into(), []));
        let witness = Witness { moment: 3, why: "early".into(), objects: vec![ObjectId(1)] };
        assert_eq!(check.done(), Judgement::Broken(witness));
        let mut check = Check::default();
        (0..3).for_each(|moment| check.that(true, moment, || (String::new(), [])));
        check.held();
        assert_eq!(check.done(), Judgement::Holds { checks: 4 });
        assert_eq!(Check::default().done(), Judgement::Holds { checks: 0 });
    }

    #[test]
    fn a_check_that_does_not_count_as_earlier_is_not_even_described() {
        let mut check = Check::default();
        check.failed(3, "early".into(), []);
        check.that(false, 3, || -> (String, [ObjectId; 0]) { panic!("the same moment") });
        check.that(false, 7, || -> (String, [ObjectId; 0]) { panic!("a later one") });
        assert_eq!(check.checks, 3);
        assert!(matches!(check.done(), Judgement::Broken(witness) if witness.moment == 3));
    }

    #[test]
    fn what_a_heap_would_have_to_claim_is_said() {
        let missing = |number, claims| {
            let claims = answer::parse_claims(&format!("heap told {claims}")).expect("claims");
            Law::numbered(number).expect("a law").missing(&claims)
        };
        assert_eq!(missing(53, "phases"), ["colors", "the strong invariant"]);
        assert_eq!(missing(53, "phases colors invariant=strong"), [""; 0]);
        assert_eq!(missing(54, "phases colors invariant=strong"), ["a weak invariant"]);
        assert_eq!(missing(54, "phases colors invariant=weak"), [""; 0]);
        assert_eq!(missing(73, "barrier phases colors invariant=weak"), ["the modified weak invariant"]);
        assert_eq!(missing(70, "barrier phases colors"), ["an invariant"]);
        assert_eq!(missing(18, "addresses free placement=bump/16"), ["first-fit"]);
        assert_eq!(missing(17, "addresses free placement=bump/16"), ["first-, next- or best-fit"]);
        assert_eq!(missing(22, "addresses placement=bump/16"), [""; 0]);
        assert_eq!(missing(3, ""), [""; 0]);
        assert_eq!(format!("{:?}", Law::numbered(3).expect("a law")), "law 3 big enough");
    }
}
