//! Stories in the model, step by step, and what must not matter to it.

use super::{
    Loss, Period, Scope, Step, World,
    world::{EARLY, FREED, NIL, OBJECTS, Pending, Ref, Stage, World as State},
};
use crate::{
    color::Color,
    finalize::{Clearing, Specials},
    heap::Invariant,
    protocol::{Abort, Alphabet, Protocol, TABLE},
};
use alloc::{collections::BTreeSet, vec::Vec};

const EVERYTHING: Scope = Scope::new(2, 1, 2, 1).with(Alphabet::ALL);

/// A world at the beginning of marking: what registers, the fields of the objects and the weak pointer refer to, and
/// which objects have finalizers.
fn world(scope: Scope, registers: &[Ref], fields: &[Ref], weak: Ref, finalizable: u8) -> World {
    let mut world = State { weak, finalizable, ..State::EMPTY };
    for (mutator, register) in (0..).zip(registers) {
        world.registers[mutator][0] = *register;
        world.present |= 1 << mutator;
    }
    for (object, to) in fields.iter().enumerate() {
        world.colors[object] = Some(Color::White);
        world.fields[object][0] = *to;
    }
    world.start_marking(scope);
    world
}

/// The world after some steps, each of which must be possible.
fn after(world: World, protocol: &Protocol, scope: Scope, steps: &[Step]) -> World {
    steps.iter().fold(world, |world, step| {
        let mut next = None;
        world.each_named_step(protocol, scope, |other, world| {
            if other == *step {
                next = Some(world);
            }
        });
        next.unwrap_or_else(|| panic!("{step:?} cannot happen in {world:?}"))
    })
}

fn possible(world: &World, protocol: &Protocol, scope: Scope) -> Vec<Step> {
    let mut steps = Vec::new();
    world.each_named_step(protocol, scope, |step, _| steps.push(step));
    steps
}

/// Some states, found by following a few steps from every beginning.
fn some_worlds(protocol: &Protocol, scope: Scope) -> Vec<World> {
    let mut found: Vec<World> = scope.beginnings(protocol).collect();
    let mut seen: BTreeSet<u128> = found.iter().map(World::pack).collect();
    let mut at = 0;
    while at < found.len() && found.len() < 20_000 {
        for (_, next) in found[at].steps(protocol, scope) {
            if seen.insert(next.pack()) {
                found.push(next);
            }
        }
        at += 1;
    }
    found
}

#[test]
fn packing_loses_nothing() {
    for row in TABLE {
        for world in some_worlds(&row.protocol, EVERYTHING) {
            assert_eq!(World::unpack(world.pack()), world);
        }
    }
    let freed = State { weak: FREED, present: 2, ..State::EMPTY };
    let early = State { weak: EARLY, ..freed };
    assert_eq!([freed, early].map(|world| World::unpack(world.pack())), [freed, early]);
}

#[test]
fn the_short_way_to_a_canonical_number_is_the_long_one() {
    for world in some_worlds(&Protocol::HYBRID, EVERYTHING) {
        assert_eq!(world.pack_canonical(), world.pack(), "it is canonical already: {world:?}");
        world.each_named_step(&Protocol::HYBRID, EVERYTHING, |_, next| {
            assert_eq!(next.pack_canonical(), next.canonical().pack());
            assert_eq!(next.without_garbage().pack_canonical(), next.pack_canonical());
        });
    }
}

#[test]
fn names_do_not_matter() {
    // The same four objects in a row, under all names. The first is held, the last has a finalizer.
    let mut numbers = BTreeSet::new();
    let mut told = 0;
    for code in 0..256 {
        let names = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6 & 3];
        if (0..OBJECTS).any(|at| names[..at].contains(&names[at])) {
            continue;
        }
        let scope = Scope::new(4, 1, 1, 1).with(Alphabet::ALL);
        let mut fields = [NIL; OBJECTS];
        for pair in names.windows(2) {
            fields[pair[0]] = pair[1] as Ref + 1;
        }
        let start = world(scope, &[names[0] as Ref + 1], &fields, names[1] as Ref + 1, 1 << names[3]);
        numbers.insert(start.pack_canonical());
        told += 1;
    }
    assert_eq!((told, numbers.len()), (24, 1));
}

#[test]
fn a_weak_pointer_to_what_is_dead_answers_nil_before_its_sweep() {
    let scope = Scope::new(1, 1, 1, 1).with(Alphabet { weak: true, ..Alphabet::PLAIN });
    let ended = [Step::ScanStack(0), Step::Decide, Step::End];
    let dead = after(world(scope, &[NIL], &[NIL], 1, 0), &Protocol::HYBRID, scope, &ended);
    assert_eq!((dead.period(), dead.target()), (Period::Sweep, Some(0)));
    let asked = after(dead, &Protocol::HYBRID, scope, &[Step::Strengthen { mutator: 0, into: 0 }]);
    assert_eq!((asked.register(0, 0), asked.target(), asked.objects().count()), (None, None, 0));
    let swept = after(dead, &Protocol::HYBRID, scope, &[Step::Sweep(0)]);
    assert_eq!((swept.target(), swept.objects().count()), (None, 0));

    let unasked =
        Protocol { specials: Specials { strong_asks_the_sweep: false, ..Specials::SOUND }, ..Protocol::HYBRID };
    let asked = after(dead, &unasked, scope, &[Step::Strengthen { mutator: 0, into: 0 }]);
    assert_eq!(asked.lost(&unasked), Some(Loss::Object(0)));
}

#[test]
fn while_the_end_of_marking_is_decided_no_strong_pointer_is_made() {
    let scope = Scope::new(1, 1, 1, 1).with(Alphabet { weak: true, ..Alphabet::PLAIN });
    let deciding =
        after(world(scope, &[NIL], &[NIL], 1, 0), &Protocol::HYBRID, scope, &[Step::ScanStack(0), Step::Decide]);
    let strong = Step::Strengthen { mutator: 0, into: 0 };
    assert!(!possible(&deciding, &Protocol::HYBRID, scope).contains(&strong));
    let unblocked = Protocol { specials: Specials { strong_waits: false, ..Specials::SOUND }, ..Protocol::HYBRID };
    assert!(possible(&deciding, &unblocked, scope).contains(&strong));
    // Who looks again goes on marking.
    let again = Protocol { looks_again: true, ..unblocked };
    assert_eq!(after(deciding, &again, scope, &[strong, Step::End]).period(), Period::Mark);
    assert_eq!(after(deciding, &unblocked, scope, &[strong, Step::End]).period(), Period::Sweep);
}

#[test]
fn each_kind_of_loss_is_told_from_the_others() {
    let scope = Scope::new(1, 1, 1, 1).with(Alphabet { weak: true, ..Alphabet::PLAIN });
    let with = |clearing| Protocol { specials: Specials { clearing, ..Specials::SOUND }, ..Protocol::HYBRID };
    let ended = [Step::ScanStack(0), Step::Decide, Step::End, Step::Sweep(0)];

    let never = with(Clearing::Never);
    let freed = after(world(scope, &[NIL], &[NIL], 1, 0), &never, scope, &ended);
    assert_eq!(freed.lost(&never), Some(Loss::WeakOfFreed));

    let white = with(Clearing::White);
    let held = after(world(scope, &[1], &[NIL], 1, 0), &white, scope, &[Step::ClearWeak]);
    assert_eq!(held.lost(&white), Some(Loss::WeakCleared));
    let dead = after(world(scope, &[NIL], &[NIL], 1, 0), &white, scope, &[Step::ClearWeak]);
    assert_eq!(dead.lost(&white), None, "nobody holds it");

    let sound = after(world(scope, &[NIL], &[NIL], 1, 0), &Protocol::HYBRID, scope, &ended);
    assert_eq!(sound.lost(&Protocol::HYBRID), None);
}

#[test]
fn a_finalizer_runs_once_and_its_object_is_freed_a_cycle_later() {
    let scope = Scope::new(2, 1, 1, 1).with(Alphabet { finalizers: true, weak: true, ..Alphabet::PLAIN });
    // a -> b, a has a finalizer, and nobody holds it.
    let start = world(scope, &[NIL], &[2, NIL], 1, 1);
    let cycle = [Step::ScanStack(0), Step::ScanFinalizers];
    let marked = after(start, &Protocol::HYBRID, scope, &cycle);
    assert_eq!(marked.object_color(0), Some(Color::White), "the object is not a root");
    assert_eq!(marked.object_color(1), Some(Color::Grey), "what it refers to is");
    let swept = after(marked, &Protocol::HYBRID, scope, &[Step::Scan(1), Step::Decide, Step::End, Step::Sweep(0)]);
    assert!(swept.is_queued(0) && !swept.has_finalizer(0));
    assert_eq!(swept.target(), None, "the weak pointer is cleared before the finalizer runs");
    let take = Step::Take { mutator: 0, into: 0, object: 0 };
    let run = after(swept, &Protocol::HYBRID, scope, &[take, Step::Swept, Step::Clear { mutator: 0, register: 0 }]);
    assert!(!possible(&run, &Protocol::HYBRID, scope).contains(&take));
    let cycle = [Step::Start, Step::ScanStack(0), Step::ScanFinalizers, Step::Decide, Step::End, Step::Sweep(0)];
    let gone = after(run, &Protocol::HYBRID, scope, &cycle);
    assert!(!gone.objects().any(|object| object == 0));
}

#[test]
fn what_only_finalizers_keep_is_missed_unless_it_has_one_itself() {
    let scope = Scope::new(2, 1, 1, 1).with(Alphabet { finalizers: true, ..Alphabet::PLAIN });
    let alone = Protocol { specials: Specials { closures_are_roots: false, ..Specials::SOUND }, ..Protocol::HYBRID };
    let cycle = [Step::ScanStack(0), Step::ScanFinalizers];
    let lost = after(world(scope, &[NIL], &[2, NIL], NIL, 0b01), &alone, scope, &cycle);
    assert_eq!(lost.lost(&alone), Some(Loss::Object(1)));
    let too_early = after(world(scope, &[NIL], &[2, NIL], NIL, 0b11), &alone, scope, &cycle);
    assert_eq!(too_early.lost(&alone), None);
    assert!(!too_early.upholds(Invariant::Weak), "that breaks the rule nevertheless");
}

#[test]
fn a_mutator_arrives_with_a_black_stack_and_takes_its_registers_along() {
    let scope = Scope::new(1, 1, 2, 1).with(Alphabet { arrivals: true, ..Alphabet::PLAIN });
    let alone = after(world(scope, &[1, NIL], &[NIL], NIL, 0), &Protocol::HYBRID, scope, &[Step::Leave(1)]);
    assert!(!alone.is_present(1) && alone.stack_color(1) == Color::Black);
    let both = after(alone, &Protocol::HYBRID, scope, &[Step::Join { mutator: 1, argument: Some(0) }]);
    assert!(both.is_present(1) && both.stack_color(1) == Color::Black);
    assert_eq!((both.register(1, 0), both.object_color(0)), (Some(0), Some(Color::Grey)), "the argument is shaded");
    let left = after(both, &Protocol::HYBRID, scope, &[Step::Leave(0), Step::Leave(1)]);
    assert_eq!((left.register(0, 0), left.register(1, 0)), (None, None));
    assert!(possible(&left, &Protocol::HYBRID, scope).iter().all(|step| step.is_collector()), "nobody is there");
}

#[test]
fn while_a_stopped_world_is_marked_no_mutator_does_anything() {
    let stopped = Protocol::STOP_THE_WORLD;
    let marking_alone = Scope::new(2, 1, 1, 1);
    let start = world(marking_alone, &[1], &[2, NIL], NIL, 0);
    assert_eq!(possible(&start, &stopped, marking_alone), [Step::Rescan]);
    let marked = after(start, &stopped, marking_alone, &[Step::Rescan]);
    assert_eq!((marked.period(), marked.colored(Color::Black)), (Period::Mark, 0b11));
    let then = possible(&marked, &stopped, marking_alone);
    assert!(!then.is_empty() && then.iter().all(|step| !step.is_collector()), "{then:?}");
    // Where a sweep follows, marking has to end before.
    let cycles = marking_alone.with(Alphabet { sweep: true, ..Alphabet::PLAIN });
    assert_eq!(possible(&marked, &stopped, cycles), [Step::Rescan]);
    let ended = after(marked, &stopped, cycles, &[Step::Rescan]);
    assert!(ended.period() == Period::Sweep && possible(&ended, &stopped, cycles).len() > 1);
}

#[test]
fn stacks_are_scanned_again_once_nothing_is_grey_and_nobody_is_in_the_middle_of_anything() {
    let scope = Scope::new(2, 1, 1, 2);
    let start = world(scope, &[1], &[2, NIL], NIL, 0);
    let clean = after(start, &Protocol::INSERTION, scope, &[Step::ScanStack(0), Step::Scan(0), Step::Scan(1)]);
    assert!(!possible(&clean, &Protocol::INSERTION, scope).contains(&Step::Rescan), "there would be nothing to find");
    let mut hidden = clean;
    (hidden.colors[1], hidden.fields[0][0], hidden.registers[0][1]) = (Some(Color::White), NIL, 2);
    let found = after(hidden, &Protocol::INSERTION, scope, &[Step::Rescan]);
    assert_eq!(found.colored(Color::Black), 0b11);
    // Nor does it end any other way while a conversion is under way.
    let specials = Specials { strong_pins: false, ..Specials::SOUND };
    let alphabet = Alphabet { sweep: true, weak: true, ..Alphabet::PLAIN };
    let (protocol, scope) = (Protocol { specials, ..Protocol::INSERTION }, scope.with(alphabet));
    let mut converting = State { weak: 1, ..clean };
    let collector = |world: &World| possible(world, &protocol, scope).iter().any(|step| step.is_collector());
    assert!(collector(&converting));
    converting.pending[0] = Pending { stage: Stage::Settle, object: NIL, field: 0, old: 1, new: NIL };
    assert!(!collector(&converting));
}

#[test]
fn a_weak_pointer_that_goes_with_its_object_outlives_the_first_sweep_of_one_with_a_finalizer() {
    let scope = Scope::new(1, 1, 1, 1).with(Alphabet::ALL);
    let specials = Specials { clearing: Clearing::Freed, ..Specials::SOUND };
    let late = Protocol { specials, ..Protocol::HYBRID };
    for (finalizable, target) in [(0b1, Some(0)), (0b0, None)] {
        let mut swept = world(scope, &[NIL], &[NIL], 1, finalizable);
        swept.period = Period::Sweep;
        swept.sweep(1, &late);
        assert_eq!((swept.target(), swept.is_queued(0)), (target, target.is_some()));
    }
}

#[test]
fn a_cycle_that_is_given_up_leaves_no_marks_behind() {
    let scope = Scope::new(2, 1, 1, 1).with(Alphabet { aborts: true, ..Alphabet::PLAIN });
    let start = world(scope, &[1], &[2, NIL], NIL, 0);
    let story = [Step::ScanStack(0), Step::Scan(0), Step::Abort, Step::Start];
    let again = after(start, &Protocol::HYBRID, scope, &story);
    assert_eq!(again, start, "as if nothing had happened");
    let keeps = Protocol { abort: Abort::KeepsMarks, ..Protocol::HYBRID };
    let again = after(start, &keeps, scope, &story);
    assert_eq!(again.object_color(0), Some(Color::Black));
    let sweeps = Protocol { abort: Abort::Sweeps, ..Protocol::HYBRID };
    assert_eq!(after(start, &sweeps, scope, &[Step::Abort]).lost(&sweeps), Some(Loss::Object(0)));
}

#[test]
fn what_is_born_while_sweeping_is_not_swept() {
    let scope = Scope::new(1, 1, 1, 1).with(Alphabet { sweep: true, ..Alphabet::PLAIN });
    let born = [Step::ScanStack(0), Step::End, Step::Allocate { mutator: 0, into: 0 }];
    let start = world(scope, &[NIL], &[], NIL, 0);
    let alive = after(start, &Protocol::HYBRID, scope, &born);
    assert!(!possible(&alive, &Protocol::HYBRID, scope).contains(&Step::Sweep(0)));
    let white = Protocol { born_while_sweeping: Color::White, ..Protocol::HYBRID };
    let doomed = after(start, &white, scope, &born);
    assert!(possible(&doomed, &white, scope).contains(&Step::Sweep(0)));
    assert_eq!(doomed.lost(&white), Some(Loss::Object(0)));
}

/// What a design gets into in three small scopes: how many worlds, how many steps lead out of them, in how many something
/// is lost, and in how many the strong, the weak and the modified weak invariant are broken.
fn census(protocol: &Protocol) -> [usize; 6] {
    let mut census = [0; 6];
    for scope in [Scope::new(1, 1, 2, 1), Scope::new(2, 1, 1, 1), Scope::new(1, 2, 1, 2)] {
        let scope = scope.with(Alphabet::ALL);
        let mut open: Vec<World> = scope.beginnings(protocol).collect();
        let mut seen: BTreeSet<u128> = open.iter().map(World::pack).collect();
        while let Some(world) = open.pop() {
            let steps = world.steps(protocol, scope);
            let [strong, weak, modified] = [Invariant::Strong, Invariant::Weak, Invariant::ModifiedWeak]
                .map(|rule| usize::from(!world.upholds(rule)));
            let counts = [1, steps.len(), world.lost(protocol).is_some().into(), strong, weak, modified];
            for (sum, count) in census.iter_mut().zip(counts) {
                *sum += count;
            }
            open.extend(steps.into_iter().map(|(_, next)| next).filter(|next| seen.insert(next.pack())));
        }
    }
    census
}

/// The census of every row, as model checkers print it: whatever the model does otherwise than before shows here.
#[rustfmt::skip]
const CENSUS: &[(&str, [usize; 6])] = &[
    ("X0", [1236, 6163, 0, 0, 0, 0]),
    ("X1", [8986, 71024, 0, 371, 274, 342]),
    ("X2", [8045, 65779, 0, 0, 0, 0]),
    ("X3", [7821, 66637, 0, 0, 234, 258]),
    ("X4", [8953, 75271, 0, 399, 649, 745]),
    ("X5", [9102, 72172, 0, 371, 274, 342]),
    ("X6", [6213, 45646, 0, 10, 0, 0]),
    ("X7", [5811, 41762, 0, 10, 0, 0]),
    ("X8", [6659, 50758, 120, 46, 138, 150]),
    ("X9", [8081, 66166, 0, 0, 0, 0]),
    ("X9m", [8091, 66219, 0, 10, 0, 0]),
    ("X9s", [8091, 66219, 0, 10, 0, 0]),
    ("X10", [13548, 114965, 364, 0, 352, 368]),
    ("X11", [9126, 78146, 100, 0, 114, 138]),
    ("X12", [112801, 456550, 0, 0, 0, 0]),
    ("X12m", [111327, 453803, 0, 34, 0, 0]),
    ("X12l", [89243, 366147, 0, 300, 0, 0]),
    ("X12b", [8045, 65779, 0, 0, 0, 0]),
    ("X13", [105961, 422492, 0, 1891, 966, 1785]),
    ("X13d", [112801, 456550, 0, 0, 0, 0]),
    ("X14", [8045, 65779, 0, 0, 0, 0]),
    ("X15", [128589, 516975, 0, 1601, 776, 1541]),
    ("X16", [8055, 65832, 0, 10, 0, 0]),
    ("X16w", [8055, 65832, 0, 10, 0, 0]),
    ("S1", [8081, 66166, 0, 0, 0, 0]),
    ("S2", [11948, 103369, 184, 0, 0, 0]),
    ("W1", [8081, 66166, 0, 0, 0, 0]),
    ("W1i", [112801, 456550, 0, 0, 0, 0]),
    ("W2", [16729, 138548, 466, 0, 299, 311]),
    ("W2r", [7894, 67743, 0, 0, 325, 349]),
    ("W2d", [13061, 96199, 522, 198, 474, 480]),
    ("W3", [12139, 104431, 72, 0, 0, 0]),
    ("W3s", [2026, 11371, 72, 0, 0, 0]),
    ("W4", [10968, 89565, 2887, 0, 0, 0]),
    ("W5", [13605, 106025, 52, 0, 0, 0]),
    ("W5a", [8494, 68906, 0, 0, 0, 0]),
    ("W6", [246707, 1019123, 947, 0, 5060, 6508]),
    ("W7", [12426, 105077, 2133, 0, 0, 0]),
    ("W8", [11183, 91959, 3098, 0, 0, 0]),
    ("W9", [8029, 65962, 0, 0, 0, 0]),
    ("F1", [8081, 66166, 0, 0, 0, 0]),
    ("F2", [13459, 104536, 168, 672, 420, 509]),
    ("F3", [13485, 104785, 168, 645, 393, 482]),
    ("F4", [19155, 150989, 1656, 1395, 1160, 1295]),
    ("F5", [17123, 144539, 737, 0, 771, 795]),
    ("F6", [7389, 53952, 0, 325, 240, 296]),
    ("J1", [8081, 66166, 0, 0, 0, 0]),
    ("J2", [9126, 78146, 100, 0, 114, 138]),
    ("A1", [8081, 66166, 0, 0, 0, 0]),
    ("A2", [16223, 123077, 320, 583, 351, 393]),
    ("A3", [19062, 153892, 1663, 0, 0, 0]),
];

#[test]
fn every_row_of_the_table_gets_into_as_many_worlds_as_it_did() {
    assert_eq!(CENSUS.len(), TABLE.len());
    for (row, expected) in TABLE.iter().zip(CENSUS) {
        let found = census(&row.protocol);
        assert_eq!((row.id, found), *expected);
        let [_, _, lost, strong, weak, modified] = found;
        if row.protocol.sound {
            let broken = match row.protocol.invariant {
                Some(Invariant::Strong) => strong,
                Some(Invariant::Weak) => weak,
                Some(Invariant::ModifiedWeak) => modified,
                None => 0,
            };
            assert_eq!((lost, broken), (0, 0), "{} is sound", row.id);
        }
    }
}

#[test]
fn a_scope_fits_from_one_of_each_to_as_many_as_a_world_has_room_for() {
    for (size, fits) in [
        ([1, 1, 1, 1], true),
        ([4, 2, 2, 2], true),
        ([0, 1, 1, 1], false),
        ([1, 0, 1, 1], false),
        ([1, 1, 0, 1], false),
        ([1, 1, 1, 0], false),
        ([5, 2, 2, 2], false),
        ([4, 3, 2, 2], false),
        ([4, 2, 3, 2], false),
        ([4, 2, 2, 3], false),
    ] {
        let [objects, fields, mutators, registers] = size;
        assert_eq!(Scope::new(objects, fields, mutators, registers).fits(), fits, "{size:?}");
    }
}

#[test]
fn a_world_tells_what_was_put_into_it() {
    let scope = Scope::new(3, 2, 2, 1).with(Alphabet::ALL);
    let mut world = world(scope, &[1, 2], &[2, 3, NIL], 3, 0b101);
    world.set_field(2, 1, 1);
    let fields = [1, 2, 3].map(|object| [0, 1].map(|field| world.field(object, field)));
    assert_eq!(fields, [[2, NIL], [3, 1], [NIL, NIL]]);
    assert_eq!([1, 4].map(|object| world.color(object)), [Some(Color::White), None]);
    assert_eq!([0, 1, 2].map(|object| world.has_finalizer(object)), [true, false, true]);
    assert_eq!((world.target(), world.finalizers_color(), world.colored(Color::White)), (Some(2), Color::Grey, 0b111));
    assert!(!world.weak_dangles() && State { weak: FREED, ..world }.weak_dangles());
    assert_eq!(World::unpack(world.pack()), world);
    let steps = possible(&world, &Protocol::HYBRID, scope);
    let of_mutators = |step: &&Step| matches!(step, Step::Load { .. } | Step::Allocate { .. });
    assert!(steps.iter().filter(of_mutators).count() > 2 && steps.contains(&Step::ScanStack(1)), "{steps:?}");
    assert!(steps.iter().filter(of_mutators).all(|step| !step.is_collector()) && Step::ScanStack(1).is_collector());
}

#[test]
fn garbage_is_what_nothing_that_matters_reaches() {
    let scope = Scope::new(4, 1, 1, 1).with(Alphabet::ALL);
    let kept = |registers: &[Ref], weak, finalizable| {
        let world = world(scope, registers, &[2, NIL, 4, NIL], weak, finalizable).without_garbage();
        (0..4).filter(|object| world.colors[*object].is_some()).collect::<Vec<_>>()
    };
    assert_eq!(kept(&[NIL], NIL, 0), []);
    assert_eq!(kept(&[1], NIL, 0), [0, 1]);
    assert_eq!(kept(&[2], 3, 0), [1, 2, 3]);
    assert_eq!(kept(&[NIL], NIL, 0b1010), [1, 3]);
    // For two reasons at once: no two of them cancel each other out.
    assert_eq!(kept(&[3], 3, 0), [2, 3]);
    assert_eq!(kept(&[NIL], 1, 0b0001), [0, 1]);
    let reasons: [fn(&mut World); 5] = [
        |world| world.pending = [Pending { stage: Stage::ShadeOld, old: 1, ..Pending::NONE }; 2],
        |world| world.weak = 1,
        |world| world.finalizable = 1,
        |world| world.queued = 1,
        |world| world.colors[0] = Some(Color::Grey),
    ];
    for some in reasons.windows(1).chain(reasons.windows(2)) {
        let mut world = world(scope, &[NIL], &[2, NIL], NIL, 0);
        some.iter().for_each(|give| give(&mut world));
        assert_eq!(world.without_garbage().fields, world.fields);
    }
}

#[test]
fn a_store_under_way_that_owes_a_shade_protects_what_it_overwrote_and_what_it_wrote() {
    let scope = Scope::new(3, 1, 1, 1);
    let mut world = world(scope, &[1], &[NIL, NIL, NIL], NIL, 0);
    world.scan_stack(0);
    (world.colors[0], world.registers[0][1]) = (Some(Color::Black), 2);
    assert!(!world.upholds(Invariant::Weak), "a black stack holds something white");
    let mut owes = |stage, old, new| {
        world.pending[0] = Pending { stage, object: 1, field: 0, old, new };
        world.upholds(Invariant::Weak)
    };
    assert!(owes(Stage::WrittenShadeOld, 2, NIL) && owes(Stage::WrittenShadeOld, NIL, 2));
    assert!(owes(Stage::WrittenShadeOld, 2, 2), "the same twice");
    assert!(owes(Stage::WrittenShadeNew, NIL, 2) && !owes(Stage::WrittenShadeNew, 2, NIL));
    assert!(!owes(Stage::WrittenShadeOld, NIL, NIL) && !owes(Stage::Write, 2, 2));
}

#[test]
fn beginnings_are_all_ways_to_refer_and_no_other() {
    // By hand. One object, one field, one register: nothing held; held; held, and its field refers to itself.
    let one = Scope::new(1, 1, 1, 1);
    let with = |alphabet| one.with(alphabet).beginnings(&Protocol::HYBRID).count();
    assert_eq!(with(Alphabet::PLAIN), 3);
    // With a weak pointer to it or none: an object that only this refers to is one more, in two ways.
    assert_eq!(with(Alphabet { weak: true, ..Alphabet::PLAIN }), 1 + 2 + 2 * 2);
    // With a finalizer or none: likewise.
    assert_eq!(with(Alphabet { finalizers: true, ..Alphabet::PLAIN }), 1 + 2 + 2 * 2);
    assert_eq!(with(Alphabet { finalizers: true, weak: true, ..Alphabet::PLAIN }), 1 + 3 * 2 + 4 * 2);
    // Two mutators: neither holds it, one does, the other does, both do. One that holds nothing may not be there.
    let two = Scope::new(1, 1, 2, 1);
    assert_eq!(two.beginnings(&Protocol::HYBRID).count(), 1 + 3 * 2);
    let arrivals = two.with(Alphabet { arrivals: true, ..Alphabet::PLAIN });
    assert_eq!(arrivals.beginnings(&Protocol::HYBRID).count(), 1 + 3 * 2 + (1 + 2));
    // Whoever is alone is always there.
    assert_eq!(with(Alphabet { arrivals: true, ..Alphabet::PLAIN }), 3);
    // About to write plainly: whoever holds it may write it or nil, into one field of two.
    let overtaken = Protocol { flag_test_can_be_overtaken: true, ..Protocol::HYBRID };
    assert_eq!(one.beginnings(&overtaken).count(), 3 + 2 * 2);
    let fields = Scope::new(1, 2, 1, 1);
    assert_eq!((fields.beginnings(&Protocol::HYBRID).count(), fields.beginnings(&overtaken).count()), (5, 5 + 4 * 4));
    let full = |world: World| world.fields[..3].as_flattened().iter().all(|to| *to != NIL);
    assert!(Scope::new(3, 2, 1, 1).beginnings(&Protocol::HYBRID).any(full));
}
