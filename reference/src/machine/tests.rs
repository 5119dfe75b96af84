//! Every design beside the plain graph, and stories of single steps.

use super::*;
use crate::{
    barrier::When,
    graph::{Death, Effect, Graph},
    object::ObjectId,
    op::Program,
    pacer::Pacing,
    place::{BASE, Dice},
};
use alloc::vec;

/// Runs a story and gives the last answer and all events.
fn tell(machine: &mut Machine, story: &str) -> (Reply, Vec<Event>) {
    let mut events = Vec::new();
    let mut last = Reply::Done;
    for op in story.parse::<Program>().unwrap().ops() {
        last = machine.perform(op, &mut events);
    }
    (last, events)
}

/// Schedule X1 of the fact sheet: o2 -> o1 -> o0, r1 = o2; the stack is scanned, then o1 moves onto it.
const HIDE_ON_THE_STACK: &str = "\
0 alloc r0 1
0 alloc r1 1
0 store r1.0 r0
0 clear r0
gc start
gc handshake 0
0 load r0 r1.0
0 store r1.0 nil
gc mark 9
gc finish
gc sweep 9
0 read r0
";

#[test]
fn every_row_treats_the_lost_object_as_its_table_says() {
    for protocol in Protocol::ALL {
        let (reply, _) = tell(&mut Machine::new(protocol), HIDE_ON_THE_STACK);
        let lost = matches!(reply, Reply::Trap(_));
        let watched = matches!(protocol.stacks, StackScan::Stopped | StackScan::Rescan)
            || protocol.barrier.deletion == When::Always;
        assert_eq!(lost, !watched, "{}", protocol.name);
    }
}

#[test]
fn a_freed_place_is_taken_again_lowest_first() {
    let mut machine = Machine::new(Protocol::HYBRID);
    let story = "0 alloc r0 0 24\n0 alloc r1 0 8\n0 alloc r2 0 8\n0 clear r0\n0 clear r1\ngc full\n0 alloc r0 0 8\n";
    let (reply, events) = tell(&mut machine, story);
    assert!(matches!(reply, Reply::Born { at: Address(BASE), .. }));
    assert!(events.contains(&Event::Free(Address(BASE + 24))));
    let (reply, _) = tell(&mut machine, "0 alloc r1 0 32\n");
    assert!(matches!(reply, Reply::Born { at: Address(at), .. } if at == BASE + 40), "the gap has 24 bytes");
}

#[test]
fn memory_ends_where_it_is_said_to_end() {
    let mut machine = Machine::with_memory(Protocol::HYBRID, 64);
    let (reply, _) = tell(&mut machine, "0 alloc r0 0 40\n0 alloc r1 0 25\n");
    assert_eq!(reply, Reply::OutOfMemory);
    let (reply, _) = tell(&mut machine, "0 alloc r1 0 24\n");
    assert!(matches!(reply, Reply::Born { .. }));
    assert_eq!(tell(&mut machine, "gc stats\n").0, Reply::Stats { objects: 2, bytes: 64 });
}

#[test]
fn pauses_are_what_is_done_while_mutators_wait() {
    let story = "0 alloc r0 1\n0 alloc r1 1\n1 join\ngc start\ngc handshake 0\ngc handshake 1\ngc mark 9\ngc finish\n";
    let pauses = |protocol| {
        let (_, events) = tell(&mut Machine::new(protocol), story);
        let pause = |event: &Event| match event {
            Event::Pause { who, units } => Some((who.map(|mutator| mutator.0), *units)),
            _ => None,
        };
        events.iter().filter_map(pause).collect::<Vec<_>>()
    };
    assert_eq!(pauses(Protocol::HYBRID), [(None, 2), (Some(0), 3), (Some(1), 1), (None, 2)]);
    assert_eq!(pauses(Protocol::STOP_THE_WORLD), [(None, 7)], "two mutators, two roots, the globals, two objects");
    assert_eq!(pauses(Protocol::INSERTION).last(), Some(&(None, 4)), "two mutators, and two roots once more");
}

#[test]
fn steps_out_of_season_are_idle() {
    let mut machine = Machine::new(Protocol::HYBRID);
    for line in ["gc mark 1\n", "gc handshake 0\n", "gc finish\n", "gc sweep 1\n"] {
        assert_eq!(tell(&mut machine, line), (Reply::Idle, vec![]), "{line}");
    }
    tell(&mut machine, "gc start\n");
    assert_eq!(tell(&mut machine, "gc start\n").0, Reply::Idle);
    assert_eq!(tell(&mut machine, "gc finish\n").0, Reply::Idle, "the stack has not been scanned");
    tell(&mut machine, "gc handshake 0\n");
    assert_eq!(tell(&mut machine, "gc finish\n").0, Reply::Idle, "the globals have not been scanned");
    assert_eq!(tell(&mut machine, "gc mark 1\ngc finish\n").0, Reply::Done);
    assert_eq!(tell(&mut machine, "gc sweep 9\ngc sweep 1\n").0, Reply::Idle);
    assert_eq!(machine.phase(), Phase::Off);
}

#[test]
fn the_barrier_asks_for_the_stack_of_who_stores_or_for_any() {
    let build = "0 alloc r0 1\n0 alloc r1 0\n0 store r0.0 r1\n0 clear r1\n1 join\n0 send r0 1.r0\ngc start\n";
    let shades = |deletion, scanned: &str, by: u8| {
        let barrier = Barrier { deletion, ..Barrier::NONE };
        let mut machine = Machine::new(Protocol { barrier, ..Protocol::HYBRID });
        tell(&mut machine, &format!("{build}{scanned}"));
        let (_, events) = tell(&mut machine, &format!("{by} store r0.0 nil\n"));
        events == [Event::Shade(Address(BASE + 8))]
    };
    let [one, both] = ["gc handshake 0\n", "gc handshake 0\ngc handshake 1\n"];
    for (scanned, by, mine, some) in [("", 0, true, true), (one, 0, false, true), (one, 1, true, true)] {
        assert_eq!(shades(When::MyStackIsGrey, scanned, by), mine, "{scanned:?} {by}");
        assert_eq!(shades(When::SomeStackIsGrey, scanned, by), some, "{scanned:?} {by}");
    }
    assert!(!shades(When::MyStackIsGrey, both, 1) && !shades(When::SomeStackIsGrey, both, 1));
}

#[test]
fn what_is_attached_while_marking_shades_if_both_rules_are_kept() {
    let build = "0 alloc r0 1\n0 alloc r1 0\n0 store r0.0 r1\n";
    for bits in 0..8 {
        let [marking, shades, roots] = [bits & 1 == 1, bits & 2 == 2, bits & 4 == 4];
        let specials = Specials {
            registration_shades: shades,
            closures_are_roots: roots,
            arguments_are_roots: roots,
            ..Specials::SOUND
        };
        for attach in ["0 finalizer r0\n", "0 cleanup r0 r1\n"] {
            let mut machine = Machine::new(Protocol::HYBRID).with_specials(specials);
            tell(&mut machine, build);
            tell(&mut machine, if marking { "gc start\n" } else { "" });
            let shaded = [Event::Shade(Address(BASE + 8))];
            let expected = &shaded[..usize::from(marking && shades && roots)];
            assert_eq!(tell(&mut machine, attach).1, expected, "{bits:#b} {attach}");
        }
    }
}

#[test]
fn a_snapshot_is_whole_before_any_object_is_scanned() {
    let build = "0 alloc r0 1\n1 join\n1 alloc r0 1\ngc start\ngc mark 1\ngc handshake 0\n";
    let next = |stacks, more: &str| {
        let mut machine = Machine::new(Protocol { stacks, ..Protocol::DELETION });
        tell(&mut machine, build);
        tell(&mut machine, &format!("{more}gc mark 1\n")).0
    };
    for stacks in [StackScan::SnapshotAllocating, StackScan::SnapshotSending] {
        assert_eq!([next(stacks, ""), next(stacks, "gc handshake 1\n")], [Reply::Idle, Reply::Done]);
    }
    assert_eq!(next(StackScan::Once, ""), Reply::Done);
}

#[test]
fn a_weak_pointer_is_cleared_when_its_rule_says() {
    let clearing = |clearing, story: &str| {
        let mut machine = Machine::new(Protocol::HYBRID).with_specials(Specials { clearing, ..Specials::SOUND });
        tell(&mut machine, "0 alloc r0 1\n0 weak w0 r0\ngc start\n");
        tell(&mut machine, story);
        machine.attached.target(WeakSlot(0)).is_none()
    };
    // White, while marking: as soon as it is looked for, unless it is shaded before.
    let [early, late] = ["gc mark 1\n", "gc handshake 0\ngc mark 1\n"];
    assert!(clearing(Clearing::White, early) && !clearing(Clearing::White, late));
    assert!(!clearing(Clearing::Dead, early));
    // Dead: at the end of marking, or when it is swept.
    let ended = "0 clear r0\ngc handshake 0\ngc mark 9\ngc finish\n";
    let held = "gc handshake 0\ngc mark 9\ngc finish\n";
    assert!(clearing(Clearing::AtTheEnd, ended) && !clearing(Clearing::AtTheEnd, held));
    let swept = format!("{ended}gc sweep 1\n");
    for (rule, cleared) in [(Clearing::Dead, true), (Clearing::Freed, true), (Clearing::Never, false)] {
        assert_eq!([clearing(rule, ended), clearing(rule, &swept)], [false, cleared], "{rule:?}");
    }
    // Kept for its finalizer: dead, and not freed.
    let kept = format!("0 finalizer r0\n{swept}");
    assert!(clearing(Clearing::Dead, &kept) && !clearing(Clearing::Freed, &kept));
}

#[test]
fn a_cycle_can_be_given_up_while_it_marks() {
    let mut machine = Machine::new(Protocol::HYBRID);
    assert_eq!(tell(&mut machine, "gc abort\n"), (Reply::Idle, vec![]));
    tell(&mut machine, "0 alloc r0 1\ngc start\ngc handshake 0\n");
    let (reply, events) = tell(&mut machine, "gc abort\n");
    assert_eq!((reply, events.first()), (Reply::Done, Some(&Event::Phase(Phase::Off))));
    assert!(machine.grey.is_empty() && matches!(events[..], [_, Event::Pause { who: None, .. }]));
    assert_eq!(tell(&mut machine, "0 clear r0\ngc full\n").1.last(), Some(&Event::Phase(Phase::Off)));
    tell(&mut machine, "gc start\ngc handshake 0\ngc mark 1\ngc finish\n");
    assert_eq!(tell(&mut machine, "gc abort\n"), (Reply::Idle, vec![]), "it sweeps");
}

#[test]
fn a_sweep_goes_cell_by_cell_and_says_when_there_is_no_more() {
    let mut machine = Machine::new(Protocol::HYBRID);
    tell(&mut machine, "0 alloc r0 1\n0 alloc r1 1\n0 clear r0\ngc start\ngc handshake 0\ngc mark 9\ngc finish\n");
    assert_eq!(tell(&mut machine, "gc sweep 1\n"), (Reply::Done, vec![Event::Free(Address(BASE))]));
    assert_eq!(tell(&mut machine, "gc sweep 1\n"), (Reply::Done, vec![]));
    assert_eq!(tell(&mut machine, "gc sweep 1\n"), (Reply::Done, vec![Event::Phase(Phase::Off)]));
    assert_eq!(tell(&mut machine, "gc sweep 1\n"), (Reply::Idle, vec![]));
}

#[test]
fn fields_that_an_object_has_not_are_a_trap() {
    let say = |line: &str| {
        let mut machine = Machine::new(Protocol::HYBRID);
        tell(&mut machine, "0 alloc r0 3\n0 alloc r1 2\n");
        matches!(tell(&mut machine, line).0, Reply::Trap(_))
    };
    let good = ["0 load r2 r0.2", "0 store r1.1 r0", "0 wipe r0.1 2", "0 move r0.1 r1.0 2", "0 move r1.0 r0.1 2"];
    let bad = ["0 load r2 r0.3", "0 store r1.2 r0", "0 wipe r0.2 2", "0 move r0.2 r1.0 2", "0 move r1.0 r0.2 2"];
    assert_eq!([good.map(say), bad.map(say)], [[false; 5], [true; 5]]);
}

#[test]
fn memory_is_asked_for_in_pages_and_the_request_that_is_named_is_refused() {
    let mut machine = Machine::new(Protocol::HYBRID);
    let mut born = |story: &str| matches!(tell(&mut machine, story).0, Reply::Born { .. });
    assert!(born("env fail 3\n0 alloc r0 0 8\n"), "the first page");
    assert!(born("0 alloc r1 0 4088\n"), "it has room for this");
    assert!(born("0 alloc r2 0 5000\n"), "the next two");
    assert!(born("0 alloc r3 0 3192\n"), "which end here");
    assert!(!born("0 alloc r4 0 8\n"), "the third request");
    assert!(born("0 alloc r4 0 8\n") && born("0 alloc r5 0 9000\n"), "no other is refused");
}

#[test]
fn a_machine_claims_pauses_or_pacing_and_steps_only_if_they_are_short() {
    let claims = |machine: Machine| {
        let claims = machine.claims();
        [Capability::Pauses, Capability::Pacing, Capability::Incremental].map(|capability| claims.has(capability))
    };
    assert_eq!(claims(Machine::new(Protocol::HYBRID)), [true, false, true]);
    assert_eq!(claims(Machine::new(Protocol::HYBRID).paced(Pacing::SOUND)), [false, true, false]);
    assert_eq!(claims(Machine::new(Protocol::INSERTION)), [true, false, false]);
}

/// Any operation, of mutators 0 and 1 and of the collector.
fn any_line(dice: &mut Dice) -> String {
    let (by, a, b) = (dice.below(6) / 5, dice.below(8), dice.below(8));
    let (slot, field, other) = (dice.below(3), dice.below(4), dice.below(4));
    match dice.below(60) {
        0..=9 => format!("{by} alloc r{a} {} {}", dice.below(5), dice.below(40)),
        10..=15 => format!("{by} store r{a}.{field} r{b}"),
        16 => format!("{by} store r{a}.{field} nil"),
        17 => format!("{by} store g{slot} r{b}"),
        18..=21 => format!("{by} load r{a} r{b}.{field}"),
        22 => format!("{by} load r{a} g{slot}"),
        23..=24 => format!("{by} move r{a}.{field} r{b}.{other} {}", 1 + dice.below(3)),
        25 => format!("{by} wipe r{a}.{field} {}", 1 + dice.below(3)),
        26 => format!("{by} copy r{a} r{b}"),
        27..=33 => format!("{by} clear r{a}"),
        34..=35 => format!("{by} write r{a}"),
        36..=38 => format!("{by} read r{a}"),
        39..=40 => format!("{by} send r{a} {}.r{b}", 1 - by),
        41 => format!("1 {}", ["join", "exit", "park", "unpark"][dice.below(4) as usize]),
        42 => format!("{by} weak w{slot} r{a}"),
        43..=44 => format!("{by} strong r{a} w{slot}"),
        45 => format!("{by} finalizer r{a}"),
        46..=47 => format!("{by} finalize r{a}"),
        48 => format!("{by} cleanup r{a} r{b}"),
        49 => format!("{by} clean r{a}"),
        50 => "gc start".into(),
        51..=53 => format!("gc handshake {by}"),
        54..=56 => format!("gc mark {}", 1 + dice.below(4)),
        57 => "gc finish".into(),
        58 => format!("gc sweep {}", 1 + dice.below(4)),
        _ => ["gc full", "gc abort", "env clock 70000", "env clock 50001"][dice.below(4) as usize].into(),
    }
}

#[test]
fn sound_designs_answer_as_the_graph_does_and_free_only_what_it_lets_go() {
    for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.sound) {
        for seed in 1..=20 {
            let (mut machine, mut graph, mut dice) = (Machine::new(protocol), Graph::new(), Dice(seed));
            let mut at: BTreeMap<Address, ObjectId> = BTreeMap::new();
            for _ in 0..600 {
                let line = any_line(&mut dice);
                let op: Op = line.parse().unwrap();
                if !graph.allows(&op) {
                    continue;
                }
                let mut events = Vec::new();
                let reply = machine.perform(&op, &mut events);
                let came = match reply {
                    Reply::Object(address) => Some(at[&address]),
                    _ => None,
                };
                match (graph.apply_with(&op, came), &reply) {
                    (Effect::Born(id), Reply::Born { at: address, .. }) => {
                        assert_eq!(at.insert(*address, id), None);
                    }
                    (Effect::Loaded(found), _) => assert_eq!(found, came, "{line}"),
                    (Effect::Read(id), Reply::Data(data)) => {
                        assert_eq!(*data, graph.object(id).expect("born").content(), "{line}");
                    }
                    (Effect::Strong { dead, reachable, came, .. }, _) => {
                        assert!(came.is_none() || dead.is_none(), "{line}: it is dead");
                        assert!(came.is_some() || dead.is_some() || !reachable, "{line}: it is held");
                    }
                    (Effect::Finalize(Some((id, death))), _) => assert_eq!(death, Death::Due, "{line}: {id}"),
                    (Effect::Finalize(None) | Effect::Clean(_), Reply::Object(_) | Reply::Nil)
                    | (Effect::Weak(..), Reply::Weak(_))
                    | (Effect::Quiet | Effect::Finalizer(_) | Effect::Cleanup(..), Reply::Done | Reply::Idle) => {}
                    other => panic!("{line}: {other:?}"),
                }
                let kept = graph.kept();
                for event in events {
                    if let Event::Free(address) = event {
                        let id = at.remove(&address).expect("an object");
                        assert!(!kept.contains(id), "{}: {line} frees {id}", protocol.name);
                    }
                }
            }
            // Once for what is found dead and kept for its finalizer, and once more for what only that kept.
            tell(&mut machine, "gc full\ngc full\n");
            let (reply, _) = tell(&mut machine, "gc stats\n");
            let (kept, queued) = (graph.kept().len() as u64, machine.attached.dead().count());
            if queued == 0 {
                assert!(matches!(reply, Reply::Stats { objects, .. } if objects == kept), "{reply:?}, {kept} kept");
            }
        }
    }
}

#[test]
fn a_weak_pointer_to_what_will_be_swept_answers_nil_and_nothing_else_does() {
    // Whether the collector is sweeping, has not come by, and found it dead: the answer is nil if all three.
    let ended = "gc start\ngc handshake 0\ngc mark 9\ngc finish\n";
    let ask = |story: &str| {
        let mut machine = Machine::new(Protocol::HYBRID);
        tell(&mut machine, "0 alloc r0 1\n0 alloc r1 1\n0 weak w0 r1\n");
        tell(&mut machine, story);
        tell(&mut machine, "0 strong r2 w0\n").0
    };
    let here = Reply::Object(Address(BASE + 8));
    assert_eq!(ask("0 clear r1\n"), here, "nobody has looked");
    assert_eq!(ask("0 clear r1\ngc start\n"), here, "it is found now");
    assert_eq!(ask(&format!("0 clear r1\n{ended}")), Reply::Nil);
    assert_eq!(ask(&format!("0 clear r1\n{ended}gc sweep 1\n")), Reply::Nil);
    assert_eq!(ask(ended), here, "it was found");
    assert_eq!(ask(&format!("{ended}gc sweep 2\n")), here, "and passed");
}

#[test]
fn a_newborns_colour_is_told_while_marking_and_is_the_designs() {
    let told = |protocol, story: &str| {
        let mut machine = Machine::new(protocol);
        match tell(&mut machine, &format!("{story}0 alloc r0 1\n")).0 {
            Reply::Born { color, .. } => color,
            other => panic!("{other:?}"),
        }
    };
    let ended = "gc start\ngc handshake 0\ngc mark 9\ngc finish\n";
    assert_eq!([told(Protocol::HYBRID, ""), told(Protocol::HYBRID, ended)], [None; 2]);
    assert_eq!(told(Protocol::HYBRID, "gc start\n"), Some(BornAs::Black));
    assert_eq!(told(Protocol::HYBRID_ALLOCATE_WHITE, "gc start\n"), Some(BornAs::White));
}

#[test]
fn what_is_sent_is_shaded_while_marking_and_if_the_design_says_so() {
    let shades = |sends_shade, start: &str| {
        let mut machine = Machine::new(Protocol { sends_shade, ..Protocol::HYBRID });
        tell(&mut machine, &format!("0 alloc r0 1\n1 join\n{start}"));
        !tell(&mut machine, "0 send r0 1.r0\n").1.is_empty()
    };
    let start = "gc start\n";
    assert_eq!(
        [shades(true, start), shades(true, ""), shades(false, start), shades(false, "")],
        [true, false, false, false]
    );
}

#[test]
fn the_clock_starts_a_cycle_when_the_last_is_longer_ago_than_the_period() {
    let starts = |milliseconds: u64| {
        let mut machine = Machine::new(Protocol::HYBRID);
        let (_, events) = tell(&mut machine, &format!("gc full\nenv clock {milliseconds}\n"));
        events.contains(&Event::Start(Cause::Time)) || machine.phase() == Phase::Mark
    };
    assert_eq!([PERIOD_MS, PERIOD_MS + 1].map(starts), [false, true]);
}

#[test]
fn a_machine_does_not_claim_what_it_does_not_do() {
    let claims = Machine::new(Protocol::HYBRID).claims();
    let missing: Vec<_> = Capability::ALL.into_iter().filter(|capability| !claims.has(*capability)).collect();
    let expected = [Capability::Free, Capability::Aligned, Capability::Classes, Capability::Pacing];
    assert!(missing.iter().all(|capability| expected.contains(capability)) && missing.len() == 4, "{missing:?}");
}

#[test]
fn a_move_and_a_wipe_change_these_fields_and_no_others() {
    let mut machine = Machine::new(Protocol::HYBRID);
    tell(&mut machine, "0 alloc r0 4\n0 alloc r1 0\n0 store r0.0 r0\n0 store r0.1 r1\n0 store r0.3 r1\n");
    let (a, b) = (Some(Address(BASE)), Some(Address(BASE + 32)));
    let mut fields = |story: &str| {
        tell(&mut machine, story);
        [0, 1, 2, 3].map(|index| match tell(&mut machine, &format!("0 load r9 r0.{index}\n")).0 {
            Reply::Object(at) => Some(at),
            _ => None,
        })
    };
    assert_eq!(fields("0 move r0.1 r0.0 2\n"), [a, a, b, b]);
    assert_eq!(fields("0 wipe r0.1 2\n"), [a, None, None, b]);
    assert_eq!(fields("0 move r0.2 r0.0 2\n"), [a, None, a, None]);
    assert_eq!(fields("0 wipe r0.2 2\n"), [a, None, None, None]);
    let stamps = "0 write r1\n0 write r1\n0 read r1\n";
    assert_eq!(tell(&mut machine, "0 alloc r1 0 8\n").1, []);
    assert_eq!(tell(&mut machine, stamps).0, Reply::Data(Content::Uniform(5)), "two births, one more, two writes");
}
