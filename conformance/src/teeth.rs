//! Teeth: whether a wrong heap is caught, by which law, and how fast.
//!
//! A green run means something only if a wrong heap would have been red. Every [`Fault`](crate::faulty::Fault) and every
//! unsound row of the protocol table is put to campaigns of several seeds, and has to be caught in each: a fault by its
//! own law even when no other law is there to help.

use crate::{
    campaign::{self, Breach, Campaign, End},
    drive::{InProcess, Subject},
    faulty,
    law::{self, Law},
    shrink::Budget,
};
use heaplaw_reference::{machine::Machine, protocol::Protocol};
use std::{
    collections::BTreeSet,
    ops::{ControlFlow, Range},
    time::{Duration, Instant},
};

/// Programs after which a wrong heap counts as not caught.
const LIMIT: u64 = 50_000;

/// What it took to catch a wrong heap once.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The law that spoke first, or `None` if the heap failed to answer.
    pub law: Option<u16>,
    /// Programs run.
    pub programs: u64,
    /// Time until it was found.
    pub found: Duration,
    /// Time to shrink it.
    pub shrunk: Duration,
    /// Operations left.
    pub ops: usize,
}

/// What it took to catch a wrong heap with several seeds.
#[derive(Clone, Debug)]
pub struct Bite {
    /// The heap's name.
    pub heap: String,
    /// The number of the law that it must break, if one is named. There may be no such law: then nothing breaks it.
    pub owed: Option<u16>,
    /// One catch for each seed that found something by all laws.
    pub catches: Vec<Catch>,
    /// How many seeds there were.
    pub seeds: u64,
    /// For each seed that broke the named law when it was the only one: how many programs and how long it took.
    pub alone: Vec<(u64, Duration)>,
}

impl Bite {
    /// Whether every seed caught it, and by the law that it owes.
    pub fn holds(&self) -> bool {
        self.catches.len() as u64 == self.seeds && (self.owed.is_none() || self.alone.len() as u64 == self.seeds)
    }

    /// The laws that spoke first.
    pub fn laws(&self) -> BTreeSet<u16> {
        self.catches.iter().filter_map(|catch| catch.law).collect()
    }

    /// The median and the largest of something over all catches.
    pub fn median_and_most<T: Ord + Copy>(&self, of: impl Fn(&Catch) -> T) -> Option<(T, T)> {
        median_and_most(self.catches.iter().map(of))
    }
}

/// The median and the largest of these, if there are any.
pub fn median_and_most<T: Ord + Copy>(all: impl IntoIterator<Item = T>) -> Option<(T, T)> {
    let mut all: Vec<T> = all.into_iter().collect();
    all.sort();
    Some((*all.get(all.len() / 2)?, *all.last()?))
}

/// The designs that are known to lose objects.
pub fn unsound() -> impl Iterator<Item = Protocol> {
    Protocol::ALL.into_iter().filter(|protocol| !protocol.sound)
}

/// Puts every fault and every unsound protocol to campaigns of these seeds; `each` is told about every one, until it has
/// heard enough.
pub fn bite(seeds: Range<u64>, mut each: impl FnMut(&Bite) -> ControlFlow<()>) -> ControlFlow<()> {
    for fault in faulty::ALL {
        each(&put(fault.slug(), Some(fault.law), seeds.clone(), || Box::new(InProcess::new(|| fault.heap()))))?;
    }
    for protocol in unsound() {
        let name = format!("reference:{}", protocol.name);
        each(&put(name, None, seeds.clone(), || Box::new(InProcess::new(move || Machine::new(protocol)))))?;
    }
    ControlFlow::Continue(())
}

/// Laws that no fault names: nothing shows that they can be broken.
pub fn toothless() -> Vec<&'static Law> {
    law::all().filter(|law| faulty::ALL.iter().all(|fault| fault.law != law.number)).collect()
}

fn put(heap: String, owed: Option<u16>, seeds: Range<u64>, subject: impl Fn() -> Box<dyn Subject>) -> Bite {
    let mut bite = Bite { heap, owed, catches: Vec::new(), seeds: seeds.end - seeds.start, alone: Vec::new() };
    for seed in seeds {
        let campaign = Campaign { seed, cases: LIMIT, ..Campaign::default() };
        let mut wrong = subject();
        let outcome = campaign.run(&mut wrong, &[], &mut ());
        if let End::Found(found) = outcome.end {
            let start = Instant::now();
            let shrunk = campaign::shrink(&mut wrong, *found, Budget::default(), &mut ());
            let law = match &shrunk.counterexample.breach {
                Breach::Law(law, _) => Some(law.number),
                Breach::Failure(_) => None,
            };
            let ops = shrunk.counterexample.program().len();
            let (programs, found) = (outcome.programs, outcome.elapsed);
            bite.catches.push(Catch { law, programs, found, shrunk: start.elapsed(), ops });
        }
        if let Some(law) = owed.and_then(Law::numbered) {
            let alone = Campaign { laws: vec![law], ..campaign };
            let outcome = alone.run(&mut subject(), &[], &mut ());
            if let End::Found(_) = outcome.end {
                bite.alone.push((outcome.programs, outcome.elapsed));
            }
        }
    }
    bite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_heap_is_caught_by_its_own_law() {
        // More seeds are for the command, and by their own laws alone for the tests of the laws.
        let mut bites = 0;
        let end = bite(0..1, |bite| {
            assert!(bite.holds(), "{bite:?}");
            bites += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(end, ControlFlow::Continue(()));
        assert_eq!(bites, faulty::ALL.len() + unsound().count());
        assert_eq!(toothless().len(), 0, "{:?}", toothless());
    }

    #[test]
    fn a_right_heap_does_not_count_as_caught() {
        let subject = || -> Box<dyn Subject> { Box::new(InProcess::new(|| Machine::new(Protocol::STOP_THE_WORLD))) };
        let campaign = |law| put("right".to_owned(), law, 0..1, subject);
        assert!(!campaign(None).holds());
    }

    #[test]
    fn a_fault_whose_law_is_not_on_the_list_is_not_caught_whatever_else_speaks() {
        let wrong = || -> Box<dyn Subject> { Box::new(InProcess::new(|| Machine::new(Protocol::NO_BARRIER))) };
        let unlisted = (1..).find(|number| Law::numbered(*number).is_none()).expect("a number of no law");
        let bite = put("wrong".to_owned(), Some(unlisted), 0..1, wrong);
        assert!(bite.catches.len() == 1 && bite.alone.is_empty() && !bite.holds(), "{bite:?}");
        assert!(put("wrong".to_owned(), Some(52), 0..1, wrong).holds(), "the same heap, and a law that is listed");
    }

    #[test]
    fn each_seed_is_a_campaign_of_its_own_by_all_laws_and_one_by_the_law_that_is_owed() {
        let wrong = || -> Box<dyn Subject> { Box::new(InProcess::new(|| Machine::new(Protocol::NO_BARRIER))) };
        let bite = put("wrong".to_owned(), Some(51), 3..6, wrong);
        assert_eq!((bite.seeds, bite.catches.len(), bite.alone.len()), (3, 3, 3));
        for (at, seed) in (3..6).enumerate() {
            let programs =
                |laws| Campaign { seed, laws, ..Campaign::default() }.run(&mut wrong(), &[], &mut ()).programs;
            assert_eq!(bite.catches[at].programs, programs(law::all().collect()));
            assert_eq!(bite.alone[at].0, programs(Law::numbered(51).into_iter().collect()));
        }
        assert!(bite.alone.iter().zip(&bite.catches).any(|(alone, all)| alone.0 > all.programs), "{bite:?}");
        assert!(bite.catches.iter().any(|catch| catch.programs != bite.catches[0].programs), "{bite:?}");
    }

    #[test]
    fn the_middle_and_the_most_are_told_of_all() {
        assert_eq!(median_and_most([3, 1, 2]), Some((2, 3)));
        assert_eq!(median_and_most([4, 1, 3, 2]), Some((3, 4)));
        assert_eq!(median_and_most([0_u64; 0]), None);
        let at = |law, programs| Catch { law, programs, found: Duration::ZERO, shrunk: Duration::ZERO, ops: 1 };
        let catches = vec![at(Some(51), 5), at(None, 9), at(Some(54), 1), at(Some(51), 7)];
        let bite = Bite { heap: "h".to_owned(), owed: None, catches, seeds: 4, alone: Vec::new() };
        assert_eq!(bite.laws(), BTreeSet::from([51, 54]));
        assert_eq!(bite.median_and_most(|catch| catch.programs), Some((7, 9)));
    }
}
