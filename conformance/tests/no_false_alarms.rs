//! Heaps that do things differently and are right: no law may be broken by any of them.

use heaplaw_conformance::{
    campaign::{self, Campaign, End},
    drive::{InProcess, step::Ending},
    history::{History, Moment, Twice},
    law,
    report::text,
};
use heaplaw_reference::{
    barrier::{Barrier, When},
    event::{Event, Phase},
    heap::{BornAs, Capability, Claims, Heap, Invariant, Reply},
    machine::Machine,
    op::{Action, Collect, Op, Program},
    protocol::Protocol,
    text::answer,
};

/// The reference machine with habits of its own.
struct Different {
    machine: Machine,
    claims: Claims,
    habit: fn(&mut Machine, &Op, &mut Vec<Event>) -> Reply,
}

impl Heap for Different {
    fn claims(&self) -> Claims {
        self.claims.clone()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        (self.habit)(&mut self.machine, op, events)
    }
}

fn judged(claims: &Claims, habit: fn(&mut Machine, &Op, &mut Vec<Event>) -> Reply) {
    conforms(|| Different { machine: Machine::new(Protocol::HYBRID), claims: claims.clone(), habit });
}

fn conforms<H: Heap>(make: impl FnMut() -> H) {
    let campaign = Campaign { seed: 5, cases: 3_000, ..Campaign::default() };
    let outcome = campaign.run(&mut InProcess::new(make), &[], &mut ());
    if let End::Found(found) = &outcome.end {
        panic!("program {}:\n{}", outcome.programs, text::plain(&text::counterexample(found)));
    }
    assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
}

fn everything() -> Claims {
    Machine::new(Protocol::HYBRID).claims()
}

fn some(capabilities: &[Capability]) -> Claims {
    Claims::new("different").with(capabilities)
}

/// Everything but these, and no invariant.
fn without(capabilities: &[Capability]) -> Claims {
    let all = everything();
    let claimed = Capability::ALL.into_iter().filter(|claimed| all.has(*claimed) && !capabilities.contains(claimed));
    some(&claimed.collect::<Vec<_>>())
}

fn allocates(op: &Op) -> bool {
    matches!(op, Op::Mutate { action: Action::Alloc { .. }, .. })
}

#[test]
fn a_heap_may_collect_before_it_allocates() {
    judged(&everything(), |machine, op, events| {
        if allocates(op) {
            machine.perform(&Op::Collect(Collect::Full), events);
        }
        machine.perform(op, events)
    });
}

#[test]
fn a_heap_may_collect_after_it_has_allocated() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if allocates(op) {
            machine.perform(&Op::Collect(Collect::Full), events);
        }
        reply
    });
}

#[test]
fn a_heap_may_begin_a_cycle_before_it_allocates() {
    judged(&everything(), |machine, op, events| {
        if allocates(op) {
            machine.perform(&Op::Collect(Collect::Start), events);
        }
        machine.perform(op, events)
    });
}

#[test]
fn a_heap_may_begin_a_cycle_after_it_has_allocated() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if allocates(op) {
            machine.perform(&Op::Collect(Collect::Start), events);
        }
        reply
    });
}

#[test]
fn a_newborn_may_be_called_white_if_the_cycle_began_after_its_birth() {
    judged(&everything(), |machine, op, events| match machine.perform(op, events) {
        Reply::Born { at, usable, found, .. }
            if machine.perform(&Op::Collect(Collect::Start), events) == Reply::Done =>
        {
            Reply::Born { at, usable, found, color: Some(BornAs::White) }
        }
        reply => reply,
    });
}

#[test]
fn a_heap_may_mark_while_it_allocates() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if let Op::Mutate { by, .. } = op
            && allocates(op)
        {
            machine.perform(&Op::Collect(Collect::Handshake(*by)), events);
            machine.perform(&Op::Collect(Collect::Mark(2)), events);
        }
        reply
    });
}

#[test]
fn the_way_of_a_newborn_to_black_may_be_reported() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if let Reply::Born { at, color: Some(_), .. } = reply {
            events.extend([Event::Shade(at), Event::Scan(at)]);
        }
        reply
    });
}

#[test]
fn the_way_of_a_newborn_to_black_may_be_all_that_is_reported() {
    judged(&everything(), |machine, op, events| match machine.perform(op, events) {
        Reply::Born { at, usable, found, color: Some(_) } => {
            events.extend([Event::Shade(at), Event::Scan(at)]);
            Reply::Born { at, usable, found, color: None }
        }
        reply => reply,
    });
}

#[test]
fn a_heap_may_report_colours_and_no_frees() {
    use Capability::{Addresses, Collect, Colors, Mutators, Phases, Steps};
    let claims = some(&[Collect, Steps, Mutators, Addresses, Phases, Colors]).upholding(Invariant::ModifiedWeak);
    judged(&claims, |machine, op, events| {
        let reply = machine.perform(op, events);
        events.retain(|event| !matches!(event, Event::Free(_)));
        match reply {
            Reply::Born { at, usable, found, color: Some(_) } => {
                events.extend([Event::Shade(at), Event::Scan(at)]);
                Reply::Born { at, usable, found, color: Some(BornAs::Grey) }
            }
            reply => reply,
        }
    });
}

#[test]
fn a_heap_may_report_frees_and_nothing_else() {
    use Capability::{Collect, Frees, Mutators, Stats};
    judged(&some(&[Collect, Frees, Stats, Mutators]), |machine, op, events| machine.perform(op, events));
}

#[test]
fn a_heap_may_report_nothing() {
    judged(&some(&[Capability::Collect, Capability::Stats]), |machine, op, events| machine.perform(op, events));
}

#[test]
fn a_heap_may_refuse() {
    let make = || Machine::with_memory(Protocol::HYBRID, 96);
    let campaign = Campaign { seed: 5, cases: 3_000, ..Campaign::default() };
    assert!(matches!(campaign.run(&mut InProcess::new(make), &[], &mut ()).end, End::Finished));
}

#[test]
fn a_heap_may_collect_when_it_refuses() {
    struct Small(Machine);
    impl Heap for Small {
        fn claims(&self) -> Claims {
            self.0.claims()
        }
        fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
            let reply = self.0.perform(op, events);
            if reply == Reply::OutOfMemory {
                self.0.perform(&Op::Collect(Collect::Full), events);
            }
            reply
        }
    }
    conforms(|| Small(Machine::with_memory(Protocol::HYBRID, 96)));
}

#[test]
fn a_heap_may_sweep_as_soon_as_it_has_marked() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if *op == Op::Collect(Collect::Finish) && reply == Reply::Done {
            machine.perform(&Op::Collect(Collect::Sweep(1 << 20)), events);
        }
        reply
    });
}

#[test]
fn a_heap_may_sweep_when_it_allocates() {
    judged(&everything(), |machine, op, events| {
        if allocates(op) {
            machine.perform(&Op::Collect(Collect::Sweep(1)), events);
        }
        machine.perform(op, events)
    });
}

#[test]
fn a_heap_may_mark_whatever_mutators_do() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if let Op::Mutate { .. } = op {
            machine.perform(&Op::Collect(Collect::Mark(1)), events);
        }
        reply
    });
}

#[test]
fn the_stack_of_a_mutator_that_leaves_may_be_scanned_before_or_after() {
    judged(&everything(), |machine, op, events| match op {
        Op::Mutate { by, action: Action::Exit } if by.0 % 2 == 0 => {
            machine.perform(&Op::Collect(Collect::Handshake(*by)), events);
            machine.perform(op, events)
        }
        Op::Mutate { by, action: Action::Exit } => {
            let mut late = Vec::new();
            machine.perform(&Op::Collect(Collect::Handshake(*by)), &mut late);
            let reply = machine.perform(op, events);
            events.append(&mut late);
            reply
        }
        _ => machine.perform(op, events),
    });
}

#[test]
fn the_empty_stack_of_a_mutator_that_joins_may_be_scanned() {
    judged(&everything(), |machine, op, events| {
        let reply = machine.perform(op, events);
        if let Op::Mutate { by, action: Action::Join } = op
            && machine.phase() == Phase::Mark
        {
            events.push(Event::ScanStack(*by));
        }
        reply
    });
}

#[test]
fn a_barrier_may_be_deferred_by_a_heap_that_names_no_invariant() {
    struct Deferring(Machine, Vec<Event>);
    impl Heap for Deferring {
        fn claims(&self) -> Claims {
            without(&[])
        }
        fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
            if matches!(op, Op::Mutate { action: Action::Store { .. } | Action::Wipe(_) | Action::Move { .. }, .. }) {
                return self.0.perform(op, &mut self.1);
            }
            events.append(&mut self.1);
            self.0.perform(op, events)
        }
    }
    conforms(|| Deferring(Machine::new(Protocol::HYBRID), Vec::new()));
}

#[test]
fn a_barrier_may_ask_for_colours_if_it_does_not_claim_otherwise() {
    use When::{Always, MyStackIsGrey, Never, ObjectIsBlack, ObjectIsNotBlack};
    let barrier = |deletion, insertion| Barrier { deletion, insertion, ..Barrier::HYBRID };
    for (protocol, claims) in [
        (Protocol { barrier: barrier(Never, ObjectIsBlack), ..Protocol::INSERTION }, false),
        (Protocol { barrier: barrier(ObjectIsNotBlack, ObjectIsBlack), ..Protocol::HYBRID }, false),
        (Protocol { barrier: barrier(ObjectIsNotBlack, Always), ..Protocol::HYBRID }, true),
        (Protocol { barrier: barrier(Always, MyStackIsGrey), ..Protocol::HYBRID }, true),
        (Protocol { barrier: barrier(Always, When::SomeStackIsGrey), ..Protocol::HYBRID }, true),
    ] {
        // The fields of an object with a finalizer are roots, whatever its colour.
        let beyond = [Capability::Barrier, Capability::Finalizers, Capability::Cleanups, Capability::Weak];
        let claimed = without(if claims { &[] } else { &beyond });
        let claimed = claimed.upholding(protocol.invariant.expect("an invariant"));
        let habit = |machine: &mut Machine, op: &Op, events: &mut Vec<Event>| machine.perform(op, events);
        conforms(|| Different { machine: Machine::new(protocol), claims: claimed.clone(), habit });
    }
}

/// What breaks first in a history that is written down.
fn broken(claims: Claims, lines: &str) -> Option<u16> {
    let moment = |line: &str| {
        let (op, answer) = line.split_once("=>").expect("an operation => an answer");
        let (reply, events) = answer::parse(answer).expect("an answer");
        Moment { op: op.parse().expect("an operation"), reply, events }
    };
    let history = History {
        claims,
        moments: lines.lines().map(moment).collect(),
        unclaimed: 0,
        failure: None,
        twice: Twice::NotTried,
    };
    let laws: Vec<_> = law::all().collect();
    law::judge(&history, &laws).broken().map(|(law, _)| law.number)
}

#[test]
fn a_handshake_before_the_cycle_is_none_in_it() {
    let lines = ["1 join", "gc handshake 1", "gc start", "gc handshake 0", "gc mark 1048576", "gc finish"];
    let story: Program = lines.join("\n").parse().expect("a program");
    let laws: Vec<_> = law::all().collect();
    let mut subject = InProcess::new(|| Machine::new(Protocol::HYBRID));
    let (_, judged) = campaign::judge(&mut subject, &story, Ending::Abrupt, &laws).expect("it answers");
    assert_eq!(judged.breach.map(|breach| format!("{breach:?}")), None, "the stack of mutator 1 was never scanned");
}

#[test]
fn a_tiny_neighbour_keeps_its_block() {
    let neighbour_was_marked = "\
0 alloc r0 0 8 => at 4096 8 0
0 alloc r1 0 8 => at 4104 8 0
0 clear r0 => ok
gc start => ok; phase mark
gc handshake 0 => ok; shade 4104; scan 4104; stack 0
0 clear r1 => ok
gc mark 9 => ok; globals
gc finish => ok; phase terminate; phase sweep
gc sweep 99 => ok; phase off";
    assert_eq!(broken(everything(), neighbour_was_marked), None);
    let neighbour_is_born = "\
0 alloc r0 0 8 => at 4096 8 0
0 clear r0 => ok
gc start => ok; phase mark
0 alloc r1 0 8 => at 4104 8 0 black
0 clear r1 => ok
gc mark 9 => ok; globals
gc handshake 0 => ok; stack 0
gc finish => ok; phase terminate; phase sweep
gc sweep 99 => ok; phase off";
    assert_eq!(broken(everything(), neighbour_is_born), None);
    let both_are_garbage = "\
0 alloc r0 0 8 => at 4096 8 0
0 alloc r1 0 8 => at 4104 8 0
0 clear r0 => ok
0 clear r1 => ok
gc full => ok; phase mark; stack 0; globals; phase terminate; phase sweep; phase off";
    assert_eq!(broken(everything(), both_are_garbage), Some(59), "nobody needs the block");
}

#[test]
fn an_address_may_be_freed_and_taken_again_in_one_operation() {
    let taken_again = "\
0 alloc r0 1 => at 4096 8 0
0 clear r0 => ok
0 alloc r1 1 => at 4096 8 0; phase mark; stack 0; globals; phase terminate; phase sweep; free 4096; phase off";
    assert_eq!(broken(everything(), taken_again), None);
    let newborn_is_freed = "\
0 alloc r1 1 => at 4096 8 0; phase mark; stack 0; globals; phase terminate; phase sweep; free 4096; phase off";
    assert_eq!(broken(everything(), newborn_is_freed), Some(51), "its root holds it");
}

#[test]
fn frees_are_judged_although_nothing_else_is_reported() {
    let twice = "\
0 alloc r0 1 => at 4096 8 0
0 clear r0 => ok
gc full => ok; free 4096 4096";
    assert_eq!(broken(some(&[Capability::Collect, Capability::Frees]), twice), Some(90));
}

#[test]
fn statistics_are_judged_although_frees_are_not_reported() {
    let claims = || some(&[Capability::Collect, Capability::Stats]);
    let stats = |stats: &str| {
        let story = "0 alloc r0 1 => at 4096 8 0\n0 alloc r1 1 => at 4104 8 0\n0 clear r0 => ok\n";
        broken(claims(), &format!("{story}gc stats => {stats}"))
    };
    assert_eq!([stats("stats 1 8"), stats("stats 2 16")], [None, None]);
    assert_eq!([stats("stats 0 0"), stats("stats 3 24"), stats("stats 2 7")], [Some(123), Some(10), Some(123)]);
}

#[test]
fn an_object_that_is_found_dead_while_marking_may_be_marked() {
    let found_while_marking = "\
0 alloc r0 1 => at 4096 8 0
0 alloc r1 0 24 => at 4104 24 0
0 store r0.0 r1 => ok
0 clear r1 => ok
0 finalizer r0 => ok
0 clear r0 => ok
gc start => ok; phase mark
gc handshake 0 => ok; stack 0
gc mark 9 => ok; globals; finalize 4096; shade 4096; scan 4096; shade 4104; scan 4104
gc finish => ok; phase terminate; phase sweep
0 finalize r0 => ref 4096
gc sweep 99 => ok; phase off";
    assert_eq!(broken(everything(), found_while_marking), None);
}

#[test]
fn a_finalizer_may_be_given_back_while_sweeping_and_found_by_a_new_weak_pointer() {
    let handed_out = "\
0 alloc r0 0 24 => at 4096 24 0
0 finalizer r0 => ok
0 clear r0 => ok
gc start => ok; phase mark
gc handshake 0 => ok; stack 0
gc mark 9 => ok; globals
gc finish => ok; phase terminate; phase sweep
gc sweep 1 => ok; finalize 4096
0 finalize r0 => ref 4096
0 weak w0 r0 => weak 1
0 strong r1 w0 => ref 4096";
    assert_eq!(broken(everything(), handed_out), None);
    let never_found_dead = "\
0 alloc r0 0 24 => at 4096 24 0
0 weak w0 r0 => weak 1
0 clear r0 => ok
gc start => ok; phase mark
gc handshake 0 => ok; stack 0
gc mark 9 => ok; globals
gc finish => ok; phase terminate; phase sweep
0 strong r1 w0 => ref 4096";
    assert_eq!(broken(everything(), never_found_dead), Some(92));
}

#[test]
fn what_becomes_garbage_unmarked_has_to_be_swept_in_the_same_cycle() {
    let kept_for_the_next = "\
0 alloc r0 1 => at 4096 8 0
gc start => ok; phase mark
0 clear r0 => ok
gc handshake 0 => ok; stack 0
gc mark 9 => ok; globals
gc finish => ok; phase terminate; phase sweep
gc sweep 99 => ok; phase off
gc full => ok; phase mark; stack 0; globals; phase terminate; phase sweep; free 4096; phase off";
    assert_eq!(broken(everything(), kept_for_the_next), Some(93), "laws 59 and 60 give it another cycle");
}

#[test]
fn an_aborted_marking_may_count_as_one_when_the_clock_is_asked() {
    let story = "\
gc full => ok; phase mark; stack 0; globals; phase terminate; phase sweep; phase off
env clock 100000 => ok
gc start => ok; phase mark
gc abort => ok; phase off
";
    let then = |lines: &str| broken(everything(), &format!("{story}{lines}"));
    assert_eq!(then("env clock 20001 => ok"), None);
    assert_eq!(then("env clock 20001 => ok; phase mark"), None);
    assert_eq!(then("env clock 20000 => ok; phase mark"), Some(106));
    assert_eq!(then("env clock 120001 => ok"), Some(105));
}

#[test]
fn a_cycle_may_start_some_time_after_the_allocation_that_calls_for_it() {
    let later = "0 alloc r0 1 => at 4096 8 0\n0 safepoint => ok\n0 write r0 => ok; phase mark";
    assert_eq!(broken(everything(), later), None);
    assert_eq!(broken(everything(), "0 safepoint => ok; phase mark"), Some(106));
    let twice = format!("{later}; stack 0; globals; shade 4096; scan 4096; phase terminate; phase sweep; phase off");
    assert_eq!(broken(everything(), &format!("{twice}\n0 read r0 => data 0; phase mark")), Some(106));
}

#[test]
fn only_who_was_there_in_a_cycle_has_a_stack_to_scan() {
    let joined = "1 join => ok\ngc start => ok; phase mark\n1 exit => ok\ngc mark 1 => ok; stack 1";
    assert_eq!(broken(everything(), joined), None);
    assert_eq!(broken(everything(), "gc start => ok; phase mark; stack 1"), Some(132));
}

#[test]
fn statistics_after_a_collection_are_judged_although_frees_are_not_reported() {
    let claims = || some(&[Capability::Collect, Capability::Stats]);
    let after = |stats: &str| {
        let tiny = "0 alloc r0 0 8 => at 4096 8 0\n0 alloc r1 0 8 => at 4104 8 0\n0 alloc r2 1 => at 8192 8 0\n";
        broken(claims(), &format!("{tiny}0 clear r0 => ok\n0 clear r2 => ok\ngc full => ok\ngc stats => {stats}"))
    };
    assert_eq!([after("stats 1 8"), after("stats 2 16")], [None, None], "a tiny neighbour may keep the other");
    assert_eq!([after("stats 3 24"), after("stats 0 0")], [Some(127), Some(123)]);
}
