//! The reducer, put to real failures: unsound rows of the protocol table, which lose objects.

use super::*;
use crate::generate::{choices::Seed, scenario::Scenario};
use heaplaw_reference::{
    event::Event,
    graph::{Effect, Graph},
    heap::{Heap, Reply},
    machine::Machine,
    object::{Address, ObjectId},
    op::{Action, Op},
    protocol::Protocol,
};
use std::collections::HashMap;

/// The rows of the table that lose objects while marking.
const UNSOUND: [Protocol; 4] = [
    Protocol::NO_BARRIER,
    Protocol::INSERTION_WITHOUT_RESCAN,
    Protocol::DELETION_WITHOUT_SNAPSHOT,
    Protocol::HYBRID_ALLOCATE_WHITE,
];

/// Whether a machine with this protocol frees an object that can still be reached.
fn loses(protocol: Protocol, program: &Program) -> bool {
    let (mut machine, mut graph) = (Machine::new(protocol), Graph::new());
    let mut objects: HashMap<Address, ObjectId> = HashMap::new();
    let mut events = Vec::new();
    for op in program.ops() {
        if !graph.allows(op) {
            continue;
        }
        let reply = machine.perform(op, &mut events);
        if let (Effect::Born(id), Reply::Born { at, .. }) = (graph.apply(op), reply) {
            objects.insert(at, id);
        }
        let freed = events.drain(..).filter_map(|event| match event {
            Event::Free(at) => Some(objects[&at]),
            _ => None,
        });
        let freed: Vec<_> = freed.collect();
        if freed.iter().any(|object| graph.reachable().contains(*object)) {
            return true;
        }
    }
    false
}

/// Programs that make a protocol lose an object, each with a collection at the end.
fn losing(protocol: Protocol, count: usize) -> Vec<Program> {
    let draw = |case| {
        let drawn = Scenario::default().draw(&mut Seed::case(5, case)).into_ops().into_iter();
        drawn.chain(["gc full".parse().unwrap()]).collect()
    };
    let found: Vec<_> = (0..200_000).map(draw).filter(|program| loses(protocol, program)).take(count).collect();
    assert_eq!(found.len(), count, "{}: too few programs lose an object", protocol.name);
    found
}

fn shrunk(protocol: Protocol, program: &Program) -> Shrunk {
    let shrunk = shrink(program, Budget::default(), |candidate| loses(protocol, candidate));
    assert!(!shrunk.exhausted && loses(protocol, &shrunk.program));
    shrunk
}

fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn a_lost_object_is_shown_in_nine_operations_or_less() {
    for protocol in UNSOUND {
        let shrunk: Vec<_> = losing(protocol, 20).iter().map(|program| shrunk(protocol, program)).collect();
        let ops = median(shrunk.iter().map(|shrunk| shrunk.program.len()).collect());
        let tries = median(shrunk.iter().map(|shrunk| shrunk.tries).collect());
        assert!(ops <= 9 && tries <= 1_000, "{}: {ops} operations after {tries} tries", protocol.name);
    }
}

#[test]
fn equal_failures_read_the_same() {
    for program in losing(Protocol::HYBRID_ALLOCATE_WHITE, 20) {
        let text = shrunk(Protocol::HYBRID_ALLOCATE_WHITE, &program).program.to_string();
        assert_eq!(text, "gc start\ngc handshake 0\n0 alloc r0 0\ngc full\n", "from\n{program}");
    }
}

#[test]
fn the_result_is_the_same_every_time_and_shrinks_no_further() {
    for protocol in UNSOUND {
        for program in losing(protocol, 5) {
            let first = shrunk(protocol, &program);
            assert_eq!(first, shrunk(protocol, &program));
            assert_eq!(first.program, shrunk(protocol, &first.program).program);
        }
    }
}

#[test]
fn no_single_operation_can_be_left_out() {
    for protocol in UNSOUND {
        for program in losing(protocol, 5) {
            let ops = shrunk(protocol, &program).program.into_ops();
            for at in 0..ops.len() {
                let mut less = ops.clone();
                less.remove(at);
                assert!(!loses(protocol, &Program::new(less)), "{}: without {}", protocol.name, ops[at]);
            }
        }
    }
}

#[test]
fn every_candidate_is_simpler_than_the_best_and_new() {
    for program in losing(Protocol::NO_BARRIER, 5) {
        let mut shrinker = Shrinker::new(program.clone());
        let mut seen = HashSet::from([program]);
        while let Some(candidate) = shrinker.propose() {
            assert!(Measure::of(candidate.ops()) < Measure::of(shrinker.best().ops()));
            assert!(seen.insert(candidate.clone()), "proposed twice:\n{candidate}");
            let meant = trace::meaningful(candidate.ops().iter().copied());
            assert_eq!(meant, candidate.ops(), "all operations mean something, as they did");
            if loses(Protocol::NO_BARRIER, &candidate) {
                shrinker.accept();
                assert_eq!(*shrinker.best(), candidate);
            } else {
                shrinker.reject();
            }
        }
        assert_eq!(shrinker.propose(), None, "the end is the end");
    }
}

#[test]
fn a_reducer_can_be_left_and_resumed_at_any_point() {
    let program = losing(Protocol::NO_BARRIER, 1).remove(0);
    let fails = |candidate: &Program| loses(Protocol::NO_BARRIER, candidate);
    let whole = shrunk(Protocol::NO_BARRIER, &program);
    for pause in [0, 1, 10, 50] {
        let mut shrinker = Shrinker::new(program.clone());
        for _ in 0..pause {
            if shrinker.propose().is_some_and(|candidate| fails(&candidate)) {
                shrinker.accept();
            }
        }
        let mut resumed = shrinker.clone();
        while let Some(candidate) = resumed.propose() {
            if fails(&candidate) {
                resumed.accept();
            }
        }
        assert_eq!(*resumed.best(), whole.program, "resumed after {pause} candidates");
    }
}

#[test]
fn what_always_fails_shrinks_to_nothing_and_what_never_fails_stays() {
    let program = losing(Protocol::NO_BARRIER, 1).remove(0);
    let always = shrink(&program, Budget::default(), |_| true);
    assert!(always.program.is_empty() && !always.exhausted);
    let never = shrink(&program, Budget::default(), |_| false);
    assert!(never.program == program && !never.exhausted);
    assert_eq!(shrink(&Program::default(), Budget::default(), |_| true).tries, 0);
}

#[test]
fn a_budget_is_kept() {
    let program = losing(Protocol::NO_BARRIER, 1).remove(0);
    let fails = |candidate: &Program| loses(Protocol::NO_BARRIER, candidate);
    let some = shrink(&program, Budget { tries: 7, time: None }, fails);
    assert!(some.exhausted && some.tries == 7 && loses(Protocol::NO_BARRIER, &some.program));
    let none = shrink(&program, Budget { time: Some(Duration::ZERO), ..Budget::default() }, fails);
    assert!(none.exhausted && none.tries == 0 && none.program == program);
    // Just enough is not too little.
    let enough = shrunk(Protocol::NO_BARRIER, &program);
    assert_eq!(shrink(&program, Budget { tries: enough.tries, time: None }, fails), enough);
}

/// Whether some object has at least so many bytes of data.
fn asks_for(bytes: u32, program: &Program) -> bool {
    let large = |op: &Op| match op {
        Op::Mutate { action: Action::Alloc { shape, .. }, .. } => shape.bytes >= bytes,
        _ => false,
    };
    program.ops().iter().any(large)
}

#[test]
fn an_edge_is_found_to_the_byte() {
    let program: Program = "0 alloc r3 7 100000\n0 wipe r3.2 4\n0 alloc r1 0 8\n".parse().unwrap();
    for bytes in [1, 24, 4_242, 32_769, 65_536, 99_999, 100_000] {
        let shrunk = shrink(&program, Budget::default(), |candidate| asks_for(bytes, candidate));
        assert_eq!(shrunk.program.to_string(), format!("0 alloc r0 0 {bytes}\n"));
        assert!(shrunk.tries < 300, "{} tries for {bytes} bytes", shrunk.tries);
    }
}

#[test]
fn operations_without_meaning_are_kept_if_the_failure_needs_them() {
    let program: Program = "0 alloc r1 1\n0 read r9\n2 exit\n0 load r3 r7.5\n".parse().unwrap();
    let odd = |candidate: &Program| candidate.to_string().contains("2 exit");
    let shrunk = shrink(&program, Budget::default(), odd);
    assert_eq!(shrunk.program.to_string(), "2 exit\n");
    assert_eq!(shrink(&shrunk.program, Budget::default(), odd).program, shrunk.program);
}

#[test]
fn long_programs_shrink_too() {
    let mut scenario = Scenario::default();
    scenario.ops = 2_000;
    let program = scenario.draw(&mut Seed::case(6, 1));
    let needs_three = |candidate: &Program| {
        let text = candidate.to_string();
        text.contains("gc full") && text.contains("store") && text.contains("load")
    };
    assert!(needs_three(&program));
    let shrunk = shrink(&program, Budget::default(), needs_three);
    assert_eq!((shrunk.program.len(), shrunk.exhausted), (3, false), "{}", shrunk.program);
}

#[test]
fn a_candidate_that_was_rejected_is_not_accepted_any_more() {
    let program: Program = "gc full\ngc stats\n".parse().unwrap();
    let mut shrinker = Shrinker::new(program.clone());
    assert!(shrinker.propose().is_some());
    shrinker.reject();
    shrinker.accept();
    assert_eq!(*shrinker.best(), program);
    while shrinker.propose().is_some() {}
    shrinker.accept();
    assert_eq!(*shrinker.best(), program, "nothing was proposed");
}

#[test]
fn fine_passes_start_again_when_one_gets_somewhere_and_all_do_in_the_next_round() {
    let mut course = Course::new(4);
    let (coarse, all) = (course.fine, course.passes.len());
    let round: Vec<_> = (0..all).collect();
    // Where it is, until it ends, if one pass gains something.
    let mut walk = |gaining: usize| {
        let mut places = Vec::new();
        for pass in 0.. {
            places.push(course.at);
            if pass == gaining {
                course.progress();
            }
            if course.advance().is_none() {
                break;
            }
        }
        course = Course::new(4);
        places
    };
    assert_eq!(walk(usize::MAX), round);
    assert_eq!(walk(1), [&round[..], &round].concat(), "a coarse pass goes by once in a round");
    assert_eq!(walk(coarse), [&round[..=coarse], &round[coarse..], &round].concat());
    assert_eq!(walk(coarse + 2), [&round[..=coarse + 2], &round[coarse..], &round].concat());
}
