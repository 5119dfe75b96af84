//! Mutators on threads of their own: right heaps are not accused, wrong ones are caught.

use heaplaw_conformance::{
    campaign::{Breach, threads::Campaign},
    drive::parallel::{Made, Native, OneAtATime, Plan, run, watch::Board},
    faulty::threads::ALL,
    generate::choices::Seed,
    law::{
        Law,
        parallel::{BETWEEN, Crossings, LAWS, judge},
    },
};
use heaplaw_reference::{
    heap::{Heap, SharedHeap},
    machine::Machine,
    protocol::Protocol,
};

/// The law that a heap breaks in one of so many cases, the first that is found.
fn broken<H: Heap + Send>(cases: u64, make: impl Fn() -> H) -> Option<u16> {
    (0..cases).find_map(|case| {
        let heap = OneAtATime::new(make());
        let plan = Plan::draw(&mut Seed::case(4, case), &heap.claims(), 2, 120);
        judge(&run(&heap, &plan, &Native)).err().map(|breach| breach.law.number)
    })
}

#[test]
fn sound_designs_hold_on_threads() {
    for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.sound) {
        assert_eq!(broken(150, || Machine::new(protocol)), None, "{}", protocol.name);
    }
    assert_eq!(broken(150, || Machine::with_memory(Protocol::HYBRID, 1 << 10)), None);
}

#[test]
fn unsound_designs_are_caught_on_threads() {
    for protocol in Protocol::ALL.into_iter().filter(|protocol| !protocol.sound) {
        let law = broken(20_000, || Machine::new(protocol));
        assert!(law.is_some_and(|law| [5, 6, 14, 51, 97, 112, 123, 137].contains(&law)), "{}: {law:?}", protocol.name);
    }
}

/// A campaign by some laws.
fn campaign(seed: u64, cases: u64, mutators: u8, laws: Vec<&'static Law>) -> Campaign {
    Campaign { seed, cases, ops: 60, mutators, time: None, laws }
}

#[test]
fn every_law_is_broken_on_threads_by_a_heap_that_is_wrong() {
    for law in LAWS {
        let mut races = ALL.iter().filter(|race| race.law == law.number).peekable();
        assert!(races.peek().is_some(), "nothing breaks {law:?}");
        for race in races {
            for seed in 0..20 {
                let outcome = campaign(seed, 3_000, 3, vec![law]).run(race, &[], &Board::default(), &mut ());
                let broken = outcome.found.is_some_and(|found| matches!(found.breach, Breach::Law(..)));
                assert!(broken, "a heap that {} keeps {law:?} in campaign {seed}", race.name);
            }
        }
    }
}

#[test]
fn sound_heaps_keep_every_law_on_threads_and_every_law_is_looked_at() {
    for mutators in 1..=4 {
        let heap = Made(|| OneAtATime::new(Machine::new(Protocol::HYBRID)));
        let outcome = campaign(9, 300, mutators, LAWS.iter().collect()).run(&heap, &[], &Board::default(), &mut ());
        assert!(outcome.found.is_none(), "{:?}", outcome.found);
        let unseen = outcome.seen.tallies.iter().filter(|tally| tally.checks == 0).map(|tally| tally.law.number);
        let owed: &[u16] = if mutators == 1 { &BETWEEN } else { &[] };
        assert_eq!(unseen.collect::<Vec<_>>(), owed);
        let Crossings { foreign, contested, cycles, reused } = outcome.crossings;
        assert!(cycles > 0 && reused > 0 && (mutators == 1 || foreign > 0 && contested > 0), "{:?}", outcome.crossings);
    }
}
