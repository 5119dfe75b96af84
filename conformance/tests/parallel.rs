//! Mutators on threads of their own: right heaps are not accused, wrong ones are caught.

use heaplaw_conformance::{
    drive::parallel::{Native, OneAtATime, Plan, run},
    generate::choices::Seed,
    law::parallel::judge,
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
        assert!(law.is_some_and(|law| [5, 6, 14, 51, 97, 123].contains(&law)), "{}: {law:?}", protocol.name);
    }
}
