//! The faces of the generator: whoever holds the other end, proptest, quickcheck or a fuzzer, finds the lost object of
//! a collector without a barrier, and shows it in ten operations at most.

use arbitrary::{Arbitrary, Unstructured};
use heaplaw_conformance::{
    generate::{
        Sample,
        choices::{Bytes, Choices, Seed},
        proptest::programs,
        scenario::Scenario,
    },
    ledger::Ledger,
    shrink::{Budget, shrink},
};
use heaplaw_reference::{
    event::Event,
    graph::Effect,
    heap::{Heap, Reply},
    machine::Machine,
    object::{Address, ObjectId},
    op::{Op, Program},
    protocol::Protocol,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use quickcheck::{Gen, QuickCheck};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Whether a machine without a barrier frees an object that can still be reached.
fn loses_an_object(program: &Program) -> bool {
    let (mut machine, mut ledger) = (Machine::new(Protocol::NO_BARRIER), Ledger::default());
    let mut objects: HashMap<Address, ObjectId> = HashMap::new();
    let mut events = Vec::new();
    program.ops().iter().any(|op| {
        if !ledger.graph().allows(op) {
            return false;
        }
        let reply = machine.perform(op, &mut events);
        if let (Effect::Born(id), Reply::Born { at, .. }) = (ledger.enter(op, &reply), reply) {
            objects.insert(at, id);
        }
        let reachable = ledger.graph().reachable();
        events.drain(..).any(|event| matches!(event, Event::Free(at) if reachable.contains(objects[&at])))
    })
}

/// The operations that mean something where they stand. What a weak pointer finds, and what is due, is as the machine
/// has it that the generator runs along.
fn meaning(program: &Program) -> Program {
    let (mut machine, mut ledger) = (Machine::new(Protocol::HYBRID), Ledger::default());
    let means = |op: &&Op| {
        let allowed = ledger.graph().allows(op);
        if allowed {
            let reply = machine.perform(op, &mut Vec::new());
            ledger.enter(op, &reply);
        }
        allowed
    };
    program.ops().iter().filter(means).copied().collect()
}

/// Checks what a face has found.
fn assert_small(program: &Program) {
    assert!(loses_an_object(program), "{program}");
    assert!(program.len() <= 10, "{program}");
}

fn proptest_runner() -> TestRunner {
    let config = Config { cases: 10_000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn proptest_finds_and_shrinks_the_lost_object() {
    let found = proptest_runner().run(&programs(Scenario::default()), |sample| match loses_an_object(&sample.0) {
        true => Err(TestCaseError::fail("lost")),
        false => Ok(()),
    });
    match found {
        Err(TestError::Fail(_, sample)) => assert_small(&sample.0),
        other => panic!("nothing was found: {other:?}"),
    }
}

#[test]
fn proptest_draws_what_means_something() {
    let mut runner = proptest_runner();
    for _ in 0..300 {
        let program = programs(Scenario::default()).new_tree(&mut runner).unwrap().current().0;
        assert_eq!(meaning(&program), program);
    }
}

#[test]
fn proptest_that_gives_up_shows_a_program_that_fails() {
    for patience in [1, 2, 5, 20, 50] {
        let mut tree = programs(Scenario::default()).new_tree(&mut proptest_runner()).unwrap();
        let allocates = |program: &Program| program.to_string().contains("alloc");
        assert!(allocates(&tree.current().0), "the first program of this runner");
        let mut more = tree.simplify();
        for _ in 0..patience {
            more = more && if allocates(&tree.current().0) { tree.simplify() } else { tree.complicate() };
        }
        // This is how proptest goes back to the last program that failed.
        if more {
            while tree.complicate() {}
        }
        assert!(allocates(&tree.current().0), "after {patience} steps");
    }
}

#[test]
fn quickcheck_finds_and_shrinks_the_lost_object() {
    // A property of quickcheck is a plain function, so what failed last has to wait outside.
    static LAST: Mutex<Option<Program>> = Mutex::new(None);
    fn keeps_all_objects(sample: Sample) -> bool {
        let lost = loses_an_object(&sample.0);
        if lost {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample.0);
        }
        !lost
    }
    let property: fn(Sample) -> bool = keeps_all_objects;
    let outcome = QuickCheck::new().tests(10_000).rng(Gen::from_size_and_seed(60, 7)).quicktest(property);
    assert!(outcome.is_err(), "nothing was found");
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    assert_small(&last.expect("it failed"));
}

#[test]
fn quickcheck_draws_what_means_something_in_the_size_it_is_given() {
    for size in [0, 1, 10, 200] {
        let mut random = Gen::from_size_and_seed(size, 1);
        for _ in 0..100 {
            let Sample(program) = quickcheck::Arbitrary::arbitrary(&mut random);
            assert_eq!(meaning(&program), program);
            // One program in a hundred and fifty begins with a fan-out, which comes on top; streams for a pacer are longer.
            assert!(program.len() <= 7 * size + 641);
        }
    }
}

/// What a fuzzer without any idea would try.
fn random_bytes(case: u64) -> Vec<u8> {
    let mut seed = Seed::case(11, case);
    (0..600).map(|_| seed.below(256) as u8).collect()
}

#[test]
fn random_bytes_find_the_lost_object() {
    let decoded = |case| Sample::arbitrary(&mut Unstructured::new(&random_bytes(case))).expect("any bytes will do").0;
    let found = (0..10_000).map(decoded).find(loses_an_object).expect("something is found");
    assert_small(&shrink(&found, Budget::default(), loses_an_object).program);
}

#[test]
fn bytes_mean_the_same_to_a_fuzzer_as_to_the_generator() {
    for case in 0..300 {
        let bytes = random_bytes(case);
        let bytes = &bytes[..case as usize];
        let program = Scenario::default().draw(&mut Bytes(bytes));
        assert_eq!(meaning(&program), program);
        let mut source = Unstructured::new(bytes);
        assert_eq!(Sample::arbitrary(&mut source).unwrap().0, program);
        assert_eq!(Sample::arbitrary_take_rest(Unstructured::new(bytes)).unwrap().0, program);
        // What was not needed is still there.
        let rest = source.len();
        assert_eq!(Scenario::default().draw(&mut Bytes(&bytes[..bytes.len() - rest])), program);
    }
}
