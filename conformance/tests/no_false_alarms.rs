//! Heaps that do things differently and are right: no law may be broken by any of them.

use heaplaw_conformance::{
    campaign::{Campaign, End},
    drive::InProcess,
    history::{Again, History, Moment},
    law,
    report::text,
};
use heaplaw_reference::{
    event::Event,
    heap::{BornAs, Capability, Claims, Heap, Invariant, Reply},
    machine::Machine,
    op::{Action, Collect, Op},
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
    let make = || Different { machine: Machine::new(Protocol::HYBRID), claims: claims.clone(), habit };
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
        again: Again::NotTried,
    };
    let laws: Vec<_> = law::all().collect();
    law::judge(&history, &laws).broken().map(|(law, _)| law.number)
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
    assert_eq!([stats("stats 0 0"), stats("stats 3 24"), stats("stats 2 7")], [Some(123); 3]);
}
