//! The fast heap, pacing itself, keeps every law; and every law about pacing has something to look at.
//!
//! `HEAPLAW_CASES` says by how many programs it is judged.

use heaplaw_conformance::{
    campaign::{self, Campaign, End},
    drive::InProcess,
    report::text,
    shrink::Budget,
};
use heaplaw_optimized::{Config, adapter::Subject};
use heaplaw_reference::heap::InTurn;

#[test]
fn no_law_is_broken_and_all_that_are_about_pacing_are_looked_at() {
    let cases = std::env::var("HEAPLAW_CASES").map_or(150, |cases| cases.parse().expect("HEAPLAW_CASES is a number"));
    let config = Config { reservation: 1 << 30, ..Config::DEFAULT };
    let mut subject = InProcess::new(|| InTurn::new(Subject::paced(config).expect("address space")));
    let outcome = Campaign { seed: 3, cases, ..Campaign::default() }.run(&mut subject, &[], &mut ());
    if let End::Found(found) = outcome.end {
        let shrunk = campaign::shrink(&mut subject, *found, Budget::default(), &mut ());
        panic!("program {}:\n{}", outcome.programs, text::plain(&text::counterexample(&shrunk.counterexample)));
    }
    assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
    for law in [94, 98, 99, 100, 101, 102, 103, 104, 105, 106, 127, 141] {
        let tally = outcome.tallies.iter().find(|tally| tally.law.number == law);
        assert!(tally.is_some_and(|tally| tally.checks > 0), "law {law} was not looked at");
    }
}
