//! Machines that pace themselves: every sound design keeps every law, and every law about pacing is looked at.
//!
//! `HEAPLAW_CASES` says how many programs each design is judged by.

use heaplaw_conformance::{
    campaign::{self, Campaign, End},
    drive::InProcess,
    law,
    report::text,
    shrink::Budget,
};
use heaplaw_reference::{
    machine::Machine,
    pacer::Pacing,
    protocol::{Protocol, StackScan},
};
use std::collections::BTreeSet;

fn cases() -> u64 {
    std::env::var("HEAPLAW_CASES").map_or(1_000, |cases| cases.parse().expect("HEAPLAW_CASES is a number"))
}

#[test]
fn no_law_is_broken_by_a_sound_design_that_paces_itself() {
    for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.sound) {
        let campaign = Campaign { seed: 11, cases: cases(), ..Campaign::default() };
        let mut subject = InProcess::new(|| Machine::new(protocol).paced(Pacing::SOUND));
        let outcome = campaign.run(&mut subject, &[], &mut ());
        if let End::Found(found) = outcome.end {
            let shrunk = campaign::shrink(&mut subject, *found, Budget::default(), &mut ());
            let shown = text::plain(&text::counterexample(&shrunk.counterexample));
            panic!("{}, program {}:\n{shown}", protocol.name, outcome.programs);
        }
        assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
        let checks = |number: u16| {
            let tally = outcome.tallies.iter().find(|tally| tally.law.number == number);
            tally.map_or(0, |tally| tally.checks)
        };
        let pacing: Vec<_> = [94, 98, 99, 100, 101, 102, 103, 104, 141].map(|law| (law, checks(law))).into();
        println!("{:<24} {pacing:?}", protocol.name);
        // One that scans stacks again stops everybody in every cycle.
        let stops = |law: u16| law == 103 && protocol.stacks == StackScan::Rescan;
        let checked = |(law, checks): &(u16, u64)| *checks > 0 || stops(*law);
        assert!(pacing.iter().all(checked), "{}: {pacing:?}", protocol.name);
    }
    let numbers: BTreeSet<u16> = law::all().map(|law| law.number).collect();
    assert!(numbers.is_superset(&(98..=106).collect()), "{numbers:?}");
}
