//! Programs that are likely to get a pacer into trouble.
//!
//! A pacer does not care who refers to whom. It cares about how much is alive, how much of that has to be scanned, how
//! fast mutators allocate, and about all of these changing when it has just got used to them. So these programs are
//! streams: a table of slots that each hold an object, and a mutator that puts new objects in the place of old ones.
//! For each there is drawn
//!
//! * [`Curve`]s for the rate, for how much of an object is pointers, and for how many slots are in use: constant, a ramp, a
//!   step, a wave, or anything at random. The live heap grows and shrinks with the slots;
//! * the size of the objects, from a few to many of which the smallest goal has room for;
//! * GOGC, and now and then a memory limit;
//! * a [`Mood`]: steady programs leave it at that, fickle ones change GOGC and the limit on the way, collect by hand, and
//!   let minutes pass.
//!
//! The heap is asked for its pace after every allocation, or only now and then.

use super::choices::Choices;
use heaplaw_reference::{
    graph::Graph,
    object::Shape,
    op::{Action, Collect, Environment, Gogc, MutatorId, Op, Place, Program, Root, Run},
    pacer::HEAP_MINIMUM,
};

/// What the heap can be asked for, beyond allocating and telling its pace.
#[derive(Clone, Copy)]
pub(super) struct Repertoire {
    pub(super) mutators: bool,
    pub(super) collect: bool,
    pub(super) steps: bool,
    pub(super) clock: bool,
}

/// How something goes in the course of a program, between nothing and all of it.
#[derive(Clone, Copy)]
enum Curve {
    Constant(u32),
    /// From one value to another.
    Ramp(u32, u32),
    /// One value, and another from the middle on.
    Step(u32, u32),
    /// Two values in turns, for so many allocations each.
    Wave(u32, u32, u32),
    /// Anything below.
    Random(u32),
}

/// The largest value of a curve.
const ALL: u32 = 16;

/// What a program likes to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// What was drawn stays.
    Steady,
    /// Everything changes.
    Fickle,
}

/// The table, and the root into which a new object comes first.
const TABLE: Root = Root(0);
const HAND: Root = Root(1);

/// Draws a program of about seven times `ops` operations at most.
pub(super) fn draw(can: Repertoire, ops: u32, choices: &mut dyn Choices) -> Program {
    let mood = if choices.chance(2, 5) { Mood::Fickle } else { Mood::Steady };
    let mut drawing = Drawing {
        can,
        mood,
        crowd: can.mutators && choices.chance(1, 5),
        graph: Graph::new(),
        slots: 2 + choices.below(30),
        unit: 0,
        clock: 0,
        cursor: 0,
        watch: if choices.chance(2, 3) { 3 } else { 1 },
        ops: Vec::new(),
        choices,
    };
    drawing.stream(ops);
    Program::new(drawing.ops)
}

struct Drawing<'a> {
    can: Repertoire,
    choices: &'a mut dyn Choices,
    mood: Mood,
    /// Whether two mutators take turns.
    crowd: bool,
    graph: Graph,
    /// Slots of the table.
    slots: u32,
    /// The bytes of an object.
    unit: u32,
    /// Milliseconds between two allocations, if the rate is as low as it gets.
    clock: u32,
    /// The next slot to be written, going round.
    cursor: u32,
    /// Out of three allocations, so many are followed by a look at the pace.
    watch: u32,
    ops: Vec<Op>,
}

impl Drawing<'_> {
    /// Adds an operation if it means something.
    fn add(&mut self, op: Op) {
        if self.graph.allows(&op) {
            self.graph.apply(&op);
            self.ops.push(op);
        }
    }

    fn act(&mut self, by: MutatorId, action: Action) {
        self.add(Op::Mutate { by, action });
    }

    fn stream(&mut self, ops: u32) {
        let percent = self.gogc();
        if percent != Gogc::Percent(100) {
            self.add(Op::Environment(Environment::Gogc(percent)));
        }
        let floor = match percent {
            Gogc::Off => HEAP_MINIMUM as u32,
            Gogc::Percent(percent) => HEAP_MINIMUM as u32 / 100 * percent,
        };
        // The table full is a third of the smallest goal, all of it, or three times as much.
        let full = [floor / 3, floor, floor.saturating_mul(3)][self.choices.weighted(&[2, 3, 3])];
        self.unit = (full / self.slots).clamp(64, 512 << 10);
        self.clock = self.unit / 1000 * [0, 1, 4, 16][self.choices.weighted(&[2, 2, 2, 1])];
        if percent == Gogc::Off || self.choices.chance(1, 4) {
            self.limit();
        }
        self.act(MutatorId(0), Action::Alloc { into: TABLE, shape: Shape::new(self.slots, 0) });
        if self.crowd {
            self.act(MutatorId(1), Action::Join);
            self.act(MutatorId(0), Action::Send { value: TABLE, to: MutatorId(1), into: TABLE });
        }
        let (pause, pointers, used) = (self.curve(), self.curve(), self.curve());
        let count = ops / 2 + self.choices.below(2 * ops.max(1));
        for turn in 0..count {
            if self.choices.dry() {
                break;
            }
            if self.mood == Mood::Fickle && self.choices.chance(1, 12) {
                self.whim();
            }
            let [pause, pointers, used] = [pause, pointers, used].map(|curve| self.at(curve, turn, count));
            self.allocate(pointers, used);
            self.pass(pause);
            if self.choices.chance(self.watch, 3) {
                self.add(Op::Collect(Collect::Pace));
            }
        }
        self.add(Op::Collect(Collect::Pace));
    }

    /// A new object in the next slot, and whatever lies beyond those in use is dropped.
    fn allocate(&mut self, pointers: u32, used: u32) {
        let by = MutatorId(if self.crowd { self.choices.below(2) as u8 } else { 0 });
        // At least one slot, whatever the curve says.
        let used = (self.slots * used).div_ceil(ALL).max(1);
        let fields = self.unit / 8 * pointers / ALL;
        self.act(by, Action::Alloc { into: HAND, shape: Shape::new(fields, self.unit - 8 * fields) });
        self.cursor = (self.cursor + 1) % used;
        let into = Place::Field { of: TABLE, index: self.cursor };
        self.act(by, Action::Store { into, value: Some(HAND) });
        let held = self.graph.root(by, TABLE).and_then(|table| self.graph.object(table));
        // Slots are filled one after the other, so that nothing is above if nothing is in the next.
        if held.is_some_and(|table| table.fields.get(used).is_some()) {
            self.act(by, Action::Wipe(Run { of: TABLE, at: used, count: self.slots - used }));
        }
    }

    /// Mutators compute: the more, the lower the rate.
    fn pass(&mut self, pause: u32) {
        let milliseconds = self.clock * pause / ALL;
        if self.can.clock && milliseconds > 0 {
            self.add(Op::Environment(Environment::Clock(milliseconds)));
        } else if !self.can.clock {
            for _ in 0..pause * 3 / ALL {
                self.act(MutatorId(0), Action::Safepoint);
            }
        }
    }

    /// Something that no pacer expects.
    fn whim(&mut self) {
        let Repertoire { collect, steps, clock, .. } = self.can;
        let weights = [6, 3, u32::from(collect), u32::from(steps), u32::from(steps), u32::from(clock) * 2];
        match self.choices.weighted(&weights) {
            0 => {
                let gogc = self.gogc();
                self.add(Op::Environment(Environment::Gogc(gogc)));
            }
            1 => self.limit(),
            2 => self.add(Op::Collect(Collect::Full)),
            3 => self.add(Op::Collect(Collect::Start)),
            4 => {
                let count = 1 + self.choices.below(8);
                let step = if self.choices.chance(1, 2) { Collect::Mark(count) } else { Collect::Sweep(count) };
                self.add(Op::Collect(step));
            }
            _ => self.add(Op::Environment(Environment::Clock(120_001))),
        }
    }

    fn gogc(&mut self) -> Gogc {
        let values = [100, 50, 200, 25, 10, 400, 5];
        match self.choices.weighted(&[6, 3, 3, 3, 3, 1, 1, 2]) {
            7 => Gogc::Off,
            index => Gogc::Percent(values[index]),
        }
    }

    /// A limit that the live heap goes over, that is just enough, or that is no limit at all.
    fn limit(&mut self) {
        let full = self.unit * self.slots;
        let limit = match self.choices.weighted(&[1, 3, 3, 2]) {
            0 => None,
            1 => Some(full / 2),
            2 => Some(4 * full + (2 << 20)),
            _ => Some((1 + self.choices.below(12)) << 20),
        };
        self.add(Op::Environment(Environment::Limit(limit)));
    }

    fn curve(&mut self) -> Curve {
        let mut value = || [ALL, 0, ALL / 2, ALL / 8][self.choices.weighted(&[4, 1, 3, 2])];
        let (one, other) = (value(), value());
        match self.choices.weighted(&[6, 1, 1, 1, 1]) {
            0 => Curve::Constant(one),
            1 => Curve::Ramp(one, other),
            2 => Curve::Step(one, other),
            3 => Curve::Wave(one, other, 1 + self.choices.below(20)),
            _ => Curve::Random(one.max(1)),
        }
    }

    fn at(&mut self, curve: Curve, turn: u32, count: u32) -> u32 {
        match curve {
            Curve::Constant(value) => value,
            Curve::Ramp(from, to) => (from * (count - turn) + to * turn) / count,
            Curve::Step(from, to) => {
                if 2 * turn < count {
                    from
                } else {
                    to
                }
            }
            Curve::Wave(one, other, length) => {
                if (turn / length).is_multiple_of(2) {
                    one
                } else {
                    other
                }
            }
            Curve::Random(below) => self.choices.below(below + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{
        choices::{Bytes, Seed},
        scenario::Scenario,
    };
    use heaplaw_reference::{
        event::{Cause, Event},
        heap::{Capability, Claims, Heap, Reply},
        machine::Machine,
        pacer::Pacing,
        protocol::Protocol,
    };
    use std::collections::BTreeSet;

    const EVERYTHING: Repertoire = Repertoire { mutators: true, collect: true, steps: true, clock: true };

    fn programs(count: u64) -> impl Iterator<Item = Program> {
        (0..count).map(|case| draw(EVERYTHING, 60, &mut Seed::case(1, case)))
    }

    #[test]
    fn every_operation_means_something_and_programs_are_as_short_as_they_say() {
        for program in programs(1_000) {
            let mut graph = Graph::new();
            for op in program.ops() {
                assert!(graph.allows(op), "{op}");
                graph.apply(op);
            }
            assert!(program.len() <= 7 * 60 + 420, "{}", program.len());
        }
        assert!(draw(EVERYTHING, 60, &mut Bytes(&[])).len() < 60);
    }

    #[test]
    fn cycles_start_for_every_reason_end_and_begin_again() {
        let (mut causes, mut cycles, mut limited, mut assists, mut over) = (BTreeSet::new(), 0, 0, 0, 0);
        for program in programs(300) {
            let mut machine = Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
            let mut last = None;
            for op in program.ops() {
                let mut events = Vec::new();
                if let Reply::Pace(gauge) = machine.perform(op, &mut events) {
                    over += u64::from(gauge.ended > gauge.reached);
                    last = Some(*gauge);
                }
                causes.extend(events.iter().filter_map(|event| match event {
                    Event::Start(cause) => Some(cause.name()),
                    _ => None,
                }));
            }
            let gauge = last.expect("a program ends with a look at the pace");
            cycles += gauge.cycles();
            limited += u64::from(gauge.limited > 0);
            assists += u64::from(gauge.assists > 0);
        }
        assert_eq!(causes, Cause::ALL.map(Cause::name).into());
        assert!(cycles > 1_200 && limited > 20 && assists > 100 && over > 20, "{cycles} {limited} {assists} {over}");
    }

    #[test]
    fn only_a_heap_that_paces_itself_is_asked() {
        let asked = |capabilities: &[Capability]| {
            let scenario = Scenario::suited(&Claims::new("x").with(capabilities), 60);
            let draw = |case| scenario.draw(&mut Seed::case(4, case));
            (0..200).map(draw).any(|program| program.ops().contains(&Op::Collect(Collect::Pace)))
        };
        assert!(asked(&[Capability::Pacing]) && !asked(&[Capability::Collect, Capability::Steps]));
    }
}
