//! Scenarios: programs that are likely to get a collector into trouble.
//!
//! A scenario keeps a [`Ledger`] of what it has drawn so far, and so draws only operations that mean something. Small
//! worlds find the most: a handful of roots, objects of one to three fields, loads and stores that keep moving the same
//! few objects around while the collector takes one step at a time. Beside those there are other kinds of programs, each
//! of which finds something that the others hardly ever do:
//!
//! * **Sizes**: sizes around the edges of size classes and pages, many objects of one size, or large ones.
//! * **Starts**: one object that holds many others, a long list, or as much as memory holds.
//! * **Moods**: allocating and dropping all the time, or anything at all with equal chances.
//! * For an allocator, two programs in three are of another kind altogether (`generate/allocator.rs`).
//! * For a heap that paces itself, one program in three is a stream of allocations (`generate/pacing.rs`).
//! * A third of the programs, if the heap has such things, attach weak pointers, finalizers and cleanups to objects.
//!
//! What is likely depends on what the collector is doing. Between cycles a program builds: it allocates, links, and lets
//! go of roots, so that objects come to be held by other objects only. While marking it rearranges: it loads what is
//! held by objects, cuts the edge it came over, and stores it elsewhere. Two gestures make that likely: what was stored
//! into a field is often let go of by the root next, and a field that was loaded from is often overwritten next. To know
//! the phase, the scenario runs the reference [`Machine`] along; a heap whose phases differ only gets less likely
//! programs.

use super::{
    allocator::{self, Repertoire},
    choices::Choices,
    pacing,
};
use crate::ledger::Ledger;
use heaplaw_reference::{
    event::Phase,
    heap::{Capability, Claims, Heap},
    machine::Machine,
    object::Shape,
    op::{Action, Collect, Environment, GLOBALS, MutatorId, Op, Place, Program, ROOTS, Root, Run, WEAKS, WeakSlot},
    protocol::Protocol,
};

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// How many operations a program has at most. What one program in fifty starts with comes on top: up to
    /// 960 operations.
    pub ops: u32,
    collect: bool,
    steps: bool,
    mutators: bool,
    stats: bool,
    weak: bool,
    finalizers: bool,
    cleanups: bool,
    abort: bool,
    faults: bool,
    clock: bool,
    free: bool,
    aligned: bool,
    pacing: bool,
}

impl Default for Scenario {
    /// Sixty operations of every kind.
    fn default() -> Self {
        Scenario::suited(&Claims::new("any").with(&Capability::ALL), 60)
    }
}

/// What a program begins with.
#[derive(Clone, Copy)]
enum Start {
    /// Nothing.
    Empty,
    /// One object that holds many others: more than one word of any bitmap, and more than any small queue.
    FanOut,
    /// A long list: deeper than any stack that a collector should need.
    DeepList,
    /// Large objects in a list, up to a few MiB: a heap with less memory has none left.
    Full,
}

/// What a program likes to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Builds between cycles, and rearranges while marking.
    Wary,
    /// Allocates and lets go.
    Churning,
    /// Anything, with equal chances.
    Blind,
}

/// What kind of objects a program asks for.
#[derive(Clone, Copy)]
enum Sizes {
    /// A few fields, little data.
    Small,
    /// Sizes just below, at and above where allocators change their mind: classes, cache lines, pages.
    Edges,
    /// One shape again and again.
    Burst(Shape),
    /// Now and then more than 32 KiB.
    Large,
}

impl Scenario {
    /// Programs of at most `ops` operations that a heap with these claims can perform.
    pub fn suited(claims: &Claims, ops: u32) -> Self {
        Scenario {
            ops,
            collect: claims.has(Capability::Collect),
            steps: claims.has(Capability::Steps),
            mutators: claims.has(Capability::Mutators),
            stats: claims.has(Capability::Stats),
            weak: claims.has(Capability::Weak),
            finalizers: claims.has(Capability::Finalizers),
            cleanups: claims.has(Capability::Cleanups),
            abort: claims.has(Capability::Abort),
            faults: claims.has(Capability::Faults),
            clock: claims.has(Capability::Clock),
            free: claims.has(Capability::Free),
            aligned: claims.has(Capability::Aligned),
            pacing: claims.has(Capability::Pacing),
        }
    }

    /// Draws a program.
    pub fn draw(&self, choices: &mut dyn Choices) -> Program {
        if self.free && !self.collect && choices.chance(2, 3) {
            let Scenario { mutators, stats, faults, aligned, .. } = *self;
            return allocator::draw(Repertoire { mutators, stats, faults, aligned }, self.ops, choices);
        }
        if self.pacing && choices.chance(1, 3) {
            let Scenario { mutators, collect, steps, clock, .. } = *self;
            return pacing::draw(pacing::Repertoire { mutators, collect, steps, clock }, self.ops, choices);
        }
        let count = 2 + choices.below(5) as u8;
        // Anywhere among the sixteen: a collector may forget any of them.
        let first = choices.below(u32::from(ROOTS - count) + 1) as u8;
        let roots = (first..first + count).map(Root).collect();
        let sizes = match choices.weighted(&[12, 3, 2, 1]) {
            0 => Sizes::Small,
            1 => Sizes::Edges,
            2 => Sizes::Burst(Shape::new(choices.below(3), 8 * choices.below(12))),
            _ => Sizes::Large,
        };
        let mut drawing = Drawing {
            crowd: self.mutators && choices.chance(1, 2),
            mourns: (self.weak || self.finalizers || self.cleanups) && choices.chance(1, 3),
            scenario: self,
            choices,
            ledger: Ledger::default(),
            machine: Machine::new(Protocol::HYBRID),
            roots,
            sizes,
            mood: Mood::Wary,
            gesture: None,
            ops: Vec::new(),
        };
        drawing.mood = [Mood::Wary, Mood::Churning, Mood::Blind][drawing.choices.weighted(&[20, 1, 1])];
        let starts = [Start::Empty, Start::FanOut, Start::DeepList, Start::Full];
        let start = drawing.choices.weighted(&[294, 2, 2, 2]);
        drawing.start(starts[start]);
        let limit = drawing.ops.len() + self.ops as usize;
        while drawing.ops.len() < limit && !drawing.choices.dry() {
            let op = drawing.op();
            if !drawing.add(op) && drawing.ledger.graph().stacks().next().is_none() {
                break;
            }
        }
        Program::new(drawing.ops)
    }
}

/// A program while it is being drawn.
struct Drawing<'a> {
    scenario: &'a Scenario,
    choices: &'a mut dyn Choices,
    ledger: Ledger,
    machine: Machine,
    /// Roots in use, at least two.
    roots: Vec<Root>,
    sizes: Sizes,
    mood: Mood,
    /// Whether mutators other than 0 take part.
    crowd: bool,
    /// Whether weak pointers, finalizers and cleanups take part.
    mourns: bool,
    /// The second half of a gesture whose first half was the last operation.
    gesture: Option<Op>,
    ops: Vec<Op>,
}

impl Drawing<'_> {
    /// Adds an operation if it means something; says whether it does.
    fn add(&mut self, op: Op) -> bool {
        let allowed = self.ledger.graph().allows(&op);
        if allowed {
            let reply = self.machine.perform(&op, &mut Vec::new());
            self.ledger.enter(&op, &reply);
            self.ops.push(op);
        }
        allowed
    }

    fn start(&mut self, start: Start) {
        let (parent, child) = (self.roots[0], self.roots[1]);
        let count = match start {
            Start::Empty => 0,
            Start::FanOut | Start::DeepList => 20 + self.choices.below(300),
            Start::Full => 2 + self.choices.below(40),
        };
        let alloc = |into, shape| Op::mutate(0, Action::Alloc { into, shape });
        let store =
            |of, index, value| Op::mutate(0, Action::Store { into: Place::Field { of, index }, value: Some(value) });
        let shape = match start {
            Start::FanOut => self.shape(),
            Start::Full => Shape::new(1, 20_000 + self.choices.below(50_000)),
            Start::Empty | Start::DeepList => Shape::new(1 + self.choices.below(2), 0),
        };
        if let Start::FanOut = start {
            self.add(alloc(parent, Shape::new(count, 0)));
        }
        for index in 0..count {
            self.add(alloc(child, shape));
            if let Start::FanOut = start {
                self.add(store(parent, index, child));
            } else {
                // The first one has no next.
                self.add(store(child, 0, parent));
                self.add(Op::mutate(0, Action::Copy { into: parent, from: child }));
            }
        }
    }

    fn op(&mut self) -> Op {
        if let Some(op) = self.gesture.take()
            && self.choices.chance(1, 2)
        {
            return op;
        }
        let collects = self.scenario.collect || self.scenario.steps || self.scenario.stats;
        if collects && self.choices.chance(3, 10) {
            return Op::Collect(self.collect());
        }
        if (self.scenario.faults || self.scenario.clock) && self.choices.chance(1, 120) {
            return Op::Environment(self.environment());
        }
        let by = self.mutator();
        let action = self.action(by);
        let second = match action {
            Action::Load { into, from } if self.machine.phase() == Phase::Mark => Some(self.cut(into, from)),
            Action::Store { value: Some(root), .. } => Some(Action::Clear(root)),
            // One thing more that waits for a death, or the death.
            Action::Finalizer(root) if self.choices.chance(1, 3) => Some(self.attach(root, by)),
            Action::Weak { to: root, .. } | Action::Finalizer(root) | Action::Cleanup { of: root, .. } => {
                Some(Action::Clear(root))
            }
            _ => None,
        };
        self.gesture = second.map(|action| Op::Mutate { by, action });
        Op::Mutate { by, action }
    }

    fn environment(&mut self) -> Environment {
        let Scenario { faults, clock, .. } = *self.scenario;
        match self.choices.weighted(&[u32::from(faults), u32::from(clock)]) {
            0 => Environment::Fail(1 + self.choices.below(2)),
            // A while, not quite as long as a heap may rest, and longer.
            _ => Environment::Clock([1_000, 119_999, 120_001][self.choices.weighted(&[2, 1, 3])]),
        }
    }

    /// Overwrites a place that was just loaded from into a root.
    fn cut(&mut self, loaded: Root, place: Place) -> Action {
        let cut = Action::Store { into: place, value: None };
        match (place, self.choices.weighted(&[4, 1, 1])) {
            // Unless the object that is cut from was just overwritten in its root.
            (Place::Field { of, index }, 1) if of != loaded => Action::Wipe(Run { of, at: index, count: 1 }),
            (Place::Field { of, index }, 2) if of != loaded => {
                Action::Move { into: Run { of, at: index, count: 1 }, from: loaded, start: 0 }
            }
            _ => cut,
        }
    }

    /// Some mutator: mostly one that is there.
    fn mutator(&mut self) -> MutatorId {
        let crowd: u32 = if self.crowd { 2 } else { 1 };
        // The third and fourth mutator only now and then: two are enough for every known race.
        let crowd = if self.crowd && self.choices.chance(1, 24) { 4 } else { crowd };
        MutatorId(self.choices.below(crowd) as u8)
    }

    fn collect(&mut self) -> Collect {
        let Scenario { collect, steps, stats, abort, .. } = *self.scenario;
        let (full, stats, abort) = (u32::from(collect) * 3, u32::from(stats) * 2, u32::from(abort));
        let step = |weight| u32::from(steps) * weight;
        // An empty heap teaches nothing.
        let begin = if self.edges() > 1 { 24 } else { 2 };
        // full, stats, start, handshake, mark, finish, sweep, abort
        let weights = match self.machine.phase() {
            Phase::Off => [full, stats, step(begin), step(1), step(1), step(1), step(1), 0],
            Phase::Mark | Phase::Terminate => [full / 3, stats, step(1), step(14), step(20), step(8), step(1), abort],
            Phase::Sweep => [full, stats, step(8), step(1), step(1), step(1), step(18), 0],
        };
        match self.choices.weighted(&weights) {
            0 => Collect::Full,
            1 => Collect::Stats,
            2 => Collect::Start,
            3 => Collect::Handshake(if self.crowd { self.mutator() } else { MutatorId(0) }),
            4 => Collect::Mark(1 + self.choices.weighted(&[6, 2, 1]) as u32),
            5 => Collect::Finish,
            6 => Collect::Sweep(1 + self.choices.below(4)),
            _ => Collect::Abort,
        }
    }

    /// How many edges there are between reachable objects.
    fn edges(&self) -> usize {
        let graph = self.ledger.graph();
        let objects = graph.reachable();
        objects.iter().filter_map(|id| graph.object(id)).map(|object| object.fields.iter().count()).sum()
    }

    fn action(&mut self, by: MutatorId) -> Action {
        let graph = self.ledger.graph();
        let Some(stack) = graph.stack(by) else { return Action::Join };
        if stack.parked {
            return Action::Unpark;
        }
        let holds = |root: &Root| graph.root(by, *root).is_some();
        let held: Vec<Root> = self.roots.iter().copied().filter(holds).collect();
        let fields: Vec<Run> = held
            .iter()
            .filter_map(|root| {
                let object = graph.object(graph.root(by, *root)?)?;
                Some(Run { of: *root, at: 0, count: object.shape.pointers })
            })
            .filter(|run| run.count > 0)
            .collect();
        let some = u32::from(!held.is_empty());
        let wide = u32::from(!fields.is_empty());
        let crowd = u32::from(self.crowd);
        let mourns = u32::from(self.mourns);
        // While marking, rearrange; otherwise build.
        let marking = self.machine.phase() == Phase::Mark;
        let (alloc, load, store, clear, bulk) = if marking { (6, 26, 28, 10, 5) } else { (22, 8, 26, 9, 2) };
        let mut weights = [
            alloc,
            2 + wide * load,
            some + wide * store,
            some * 3, // copy
            some * clear,
            wide * bulk,      // move
            wide * bulk,      // wipe
            some * 2,         // write
            some * 3,         // read
            crowd * some * 6, // send
            1,                // safepoint
            crowd,            // park
            crowd,            // exit
            u32::from(self.scenario.free) * some * 14,
            mourns * if self.machine.phase() == Phase::Sweep { 24 } else { 12 }, // weak pointers, finalizers, cleanups
        ];
        match self.mood {
            Mood::Wary => {}
            Mood::Churning => weights[0] += 60,
            Mood::Blind => weights = weights.map(|weight| weight.min(1)),
        }
        let into = self.roots[self.choices.below(self.roots.len() as u32) as usize];
        match self.choices.weighted(&weights) {
            0 => Action::Alloc { into, shape: self.shape() },
            1 => Action::Load { into, from: self.place(&fields) },
            2 => {
                let place = self.place(&fields);
                let nil = held.is_empty() || self.choices.chance(if marking { 4 } else { 1 }, 10);
                Action::Store { into: place, value: (!nil).then(|| self.pick(&held)) }
            }
            3 => Action::Copy { into, from: self.pick(&held) },
            4 => Action::Clear(self.pick(&held)),
            5 => {
                let (to, from) = (self.pick(&fields), self.pick(&fields));
                let count = 1 + self.choices.below(to.count.min(from.count));
                let at = self.choices.below(to.count - count + 1);
                let start = self.choices.below(from.count - count + 1);
                Action::Move { into: Run { of: to.of, at, count }, from: from.of, start }
            }
            6 => {
                let run = self.pick(&fields);
                let count = 1 + self.choices.below(run.count);
                Action::Wipe(Run { of: run.of, at: self.choices.below(run.count - count + 1), count })
            }
            7 => Action::Write(self.pick(&held)),
            8 => Action::Read(self.pick(&held)),
            9 => Action::Send { value: self.pick(&held), to: self.mutator(), into },
            10 => Action::Safepoint,
            11 => Action::Park,
            12 => Action::Exit,
            13 => Action::Free(self.pick(&held)),
            _ => self.special(into, &held),
        }
    }

    /// A cleanup for the object in this root, with the object in some other root as argument.
    fn attach(&mut self, of: Root, by: MutatorId) -> Action {
        let graph = self.ledger.graph();
        let others = self.roots.iter().copied().filter(|root| graph.root(by, *root).is_some() && *root != of);
        let others: Vec<Root> = others.collect();
        if others.is_empty() || !self.scenario.cleanups {
            return Action::Clear(of);
        }
        Action::Cleanup { of, with: self.pick(&others) }
    }

    /// Something is attached to an object, or asked for.
    fn special(&mut self, into: Root, held: &[Root]) -> Action {
        let Scenario { weak, finalizers, cleanups, .. } = *self.scenario;
        let (weak, finalizers, cleanups) = (u32::from(weak), u32::from(finalizers), u32::from(cleanups));
        let some = u32::from(!held.is_empty());
        // What the sweep has not come to yet is neither alive nor gone.
        let find = if self.machine.phase() == Phase::Sweep { 20 } else { 5 };
        let weights =
            [4 * some * weak, find * weak, 3 * some * finalizers, 2 * finalizers, 2 * some * cleanups, cleanups];
        let slot = WeakSlot(self.choices.below(u32::from(WEAKS)) as u8);
        match self.choices.weighted(&weights) {
            0 => Action::Weak { into: slot, to: self.pick(held) },
            1 => Action::Strong { into, from: slot },
            2 => Action::Finalizer(self.pick(held)),
            3 => Action::Finalize(into),
            4 => Action::Cleanup { of: self.pick(held), with: self.pick(held) },
            _ => Action::Clean(into),
        }
    }

    fn shape(&mut self) -> Shape {
        match self.sizes {
            Sizes::Burst(shape) => shape,
            Sizes::Small => self.small(),
            Sizes::Edges => {
                let edge = match self.choices.below(3) {
                    0 => 8 * self.choices.below(130),
                    1 => 128 * self.choices.below(260),
                    _ => 8192 * self.choices.below(6),
                };
                let size = (edge + self.choices.below(3)).saturating_sub(1);
                let most = (size / 8).min(4);
                let pointers = self.choices.below(most + 1);
                Shape::new(pointers, size - 8 * pointers)
            }
            Sizes::Large => match self.choices.weighted(&[4, 1, 1]) {
                0 => self.small(),
                // Many pointers: more than one word, and more than one page, of any bitmap.
                1 => Shape::new(1 + self.choices.below(5_000), 8 * self.choices.below(3)),
                _ => Shape::new(self.choices.below(3), self.choices.below(150_000)),
            },
        }
    }

    fn small(&mut self) -> Shape {
        let pointers = [1, 2, 3, 0][self.choices.weighted(&[6, 4, 1, 2])];
        let bytes = [0, 8, 16, 1, 4, 40][self.choices.weighted(&[4, 3, 1, 1, 1, 1])];
        Shape::new(pointers, bytes)
    }

    /// A field of one of these objects, or a global.
    fn place(&mut self, fields: &[Run]) -> Place {
        if fields.is_empty() || self.choices.chance(1, 10) {
            return Place::Global(self.choices.below(u32::from(GLOBALS)) as u8);
        }
        let run = self.pick(fields);
        Place::Field { of: run.of, index: self.choices.below(run.count) }
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.choices.below(among.len() as u32) as usize]
    }
}

const _: () = assert!(ROOTS > 6, "a scenario uses up to six roots");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::choices::{Bytes, Seed};
    use std::collections::HashSet;

    #[test]
    fn every_operation_of_a_program_means_something() {
        for case in 0..2_000 {
            let program = Scenario::default().draw(&mut Seed::case(1, case));
            let (mut ledger, mut machine) = (Ledger::default(), Machine::new(Protocol::HYBRID));
            for op in program.ops() {
                assert!(ledger.graph().allows(op), "case {case}: {op}");
                ledger.enter(op, &machine.perform(op, &mut Vec::new()));
            }
        }
    }

    #[test]
    fn every_kind_of_operation_is_drawn() {
        let mut verbs = HashSet::new();
        for case in 0..500 {
            for op in Scenario::default().draw(&mut Seed::case(2, case)).ops() {
                verbs.insert(op.to_string().split(' ').nth(1).unwrap_or_default().to_owned());
            }
        }
        // Twenty-two actions, nine things that the collector is told, and four that the world does.
        assert_eq!(verbs.len(), 22 + 9 + 4, "{verbs:?}");
    }

    #[test]
    fn a_heap_that_claims_little_is_asked_for_little() {
        for claimed in [&[Capability::Collect][..], &[Capability::Mutators, Capability::Weak], &[Capability::Free]] {
            let claims = Claims::new("modest").with(claimed);
            for case in 0..300 {
                for op in Scenario::suited(&claims, 100).draw(&mut Seed::case(3, case)).ops() {
                    assert!(claims.allow(op), "{op}");
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_a_program() {
        assert!(Scenario::default().draw(&mut Bytes(&[])).is_empty());
        for length in 0..300usize {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 167 + length * 31) as u8).collect();
            let program = Scenario::default().draw(&mut Bytes(&bytes));
            assert!(program.len() <= 60 + 960);
        }
    }
}
