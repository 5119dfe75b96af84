//! Random programs, run on the heap and on the reference's graph side by side. Whatever the collector did in between, a
//! mutator must find the object that the graph says, where it was born and with the data that was last written.

mod random;

use heaplaw_optimized::{
    Config,
    adapter::{Subject, bundled},
};
use heaplaw_reference::{
    color::{Color, Coloring, modified_weak},
    event::{Event, Phase},
    graph::{Effect, Graph},
    heap::{BornAs, Heap, InTurn, Reply},
    object::{Address, Content, ObjectId, Shape},
    op::{Action, Collect, GLOBALS, MUTATORS, MutatorId, Op, Place, Program, ROOTS, Root, Run},
};
use random::Random;
use std::collections::HashMap;

impl Random {
    fn root(&mut self) -> Root {
        // Few roots, so that much is held by the heap alone.
        Root(self.below(u64::from(ROOTS) / 3) as u8)
    }

    /// Mostly 0, so that one mutator gets far.
    fn mutator(&mut self) -> u8 {
        (self.below(u64::from(MUTATORS)) * self.below(2)) as u8
    }

    fn place(&mut self) -> Place {
        match self.below(5) {
            0 => Place::Global(self.below(u64::from(GLOBALS)) as u8),
            _ => Place::Field { of: self.root(), index: self.below(3) as u32 },
        }
    }

    fn shape(&mut self, sizes: &Sizes) -> Shape {
        let pointers = match self.below(4) {
            0 => 0,
            1 => self.below(40) as u32,
            _ => 1 + self.below(3) as u32,
        };
        let size = sizes.0[self.below(sizes.0.len() as u64) as usize];
        Shape::new(pointers, self.below(size) as u32)
    }

    fn action(&mut self, sizes: &Sizes) -> Action {
        let (into, from) = (self.root(), self.root());
        match self.below(26) {
            0..4 => Action::Alloc { into, shape: self.shape(sizes) },
            4..9 => Action::Load { into, from: self.place() },
            9..15 => {
                let value = (self.below(4) > 0).then_some(from);
                Action::Store { into: self.place(), value }
            }
            15 => {
                let into = Run { of: into, at: self.below(4) as u32, count: self.below(5) as u32 };
                Action::Move { into, from, start: self.below(4) as u32 }
            }
            16 => Action::Wipe(Run { of: into, at: self.below(3) as u32, count: 1 + self.below(3) as u32 }),
            17 => Action::Copy { into, from },
            18 => Action::Clear(into),
            19 => Action::Write(into),
            20 | 21 => Action::Read(into),
            22 => Action::Send { value: from, to: MutatorId(self.mutator()), into },
            23 => Action::Join,
            24 if self.below(4) == 0 => Action::Exit,
            _ => Action::Safepoint,
        }
    }

    fn step(&mut self) -> Collect {
        match self.below(12) {
            0 => Collect::Start,
            1..4 => Collect::Mark(self.below(4) as u32),
            4..8 => Collect::Handshake(MutatorId(self.mutator())),
            8 => Collect::Finish,
            9 | 10 => Collect::Sweep(self.below(3) as u32),
            _ if self.below(8) == 0 => Collect::Full,
            _ => Collect::Stats,
        }
    }
}

/// The bounds of data sizes to choose from.
struct Sizes(&'static [u64]);

const TINY: Sizes = Sizes(&[1, 9, 25]);
const MIXED: Sizes = Sizes(&[1, 9, 60, 600, 3500, 20_000, 33_000, 100_000]);

/// A heap and a graph that perform the same operations.
struct Pair {
    heap: InTurn<Subject>,
    graph: Graph,
    born: Vec<Option<Address>>,
    ids: HashMap<Address, ObjectId>,
    phase: Phase,
    colors: Coloring,
    phases_of_births: u32,
    events: Vec<Event>,
}

impl Pair {
    fn new(config: Config) -> Pair {
        let heap = InTurn::new(Subject::new(config).unwrap());
        Pair {
            heap,
            graph: Graph::new(),
            born: Vec::new(),
            ids: HashMap::new(),
            phase: Phase::Off,
            colors: Coloring::new(),
            phases_of_births: 0,
            events: Vec::new(),
        }
    }

    /// Performs an operation on both, if it means something, and compares.
    fn perform(&mut self, op: &Op) {
        if !self.graph.allows(op) {
            return;
        }
        self.events.clear();
        let reply = self.heap.perform(op, &mut self.events);
        self.heap.heap().verify().unwrap_or_else(|corruption| panic!("{op}: {corruption}"));
        if reply == Reply::OutOfMemory {
            self.graph.refuse(op);
            self.born.push(None);
            self.listen(op);
            return;
        }
        // What is freed in the course of an operation was garbage before it.
        self.listen(op);
        match self.graph.apply(op) {
            Effect::Born(id) => self.welcome(op, id, &reply),
            Effect::Loaded(value) => {
                let expected = value.map_or(Reply::Nil, |id| Reply::Object(self.born[id.index()].unwrap()));
                assert_eq!(reply, expected, "{op}");
            }
            Effect::Read(id) => assert_eq!(reply, Reply::Data(self.graph.object(id).unwrap().content()), "{op}"),
            Effect::Quiet => {
                assert!(matches!(reply, Reply::Done | Reply::Idle | Reply::Stats { .. }), "{op}: {reply:?}");
            }
            other => panic!("{op} needs more than the heap claims: {other:?}"),
        }
        if let Op::Mutate { by, action: Action::Join } = op {
            self.colors.set_stack(*by, Color::Black);
        }
        if self.phase == Phase::Mark {
            modified_weak(&self.graph, &self.colors).unwrap_or_else(|offence| panic!("{op}: {offence}"));
        }
    }

    fn welcome(&mut self, op: &Op, id: ObjectId, reply: &Reply) {
        let Reply::Born { at, usable, found, color } = *reply else { panic!("{op}: {reply:?}") };
        let shape = self.graph.object(id).unwrap().shape;
        assert_eq!(found, Content::ZERO, "{op}");
        assert!(usable >= shape.size().max(1) && at.0.is_multiple_of(shape.alignment()), "{op}: {reply:?}");
        assert_eq!(color, (self.phase == Phase::Mark).then_some(BornAs::Black), "{op}");
        assert_eq!(self.ids.insert(at, id), None, "{op}: the place is taken");
        self.born.push(Some(at));
        self.colors.set_object(id, Some(if color.is_some() { Color::Black } else { Color::White }));
        self.phases_of_births |= 1 << self.phase as u32;
    }

    fn listen(&mut self, op: &Op) {
        let reachable = self.graph.reachable();
        for event in &self.events {
            match event {
                Event::Free(at) => {
                    let id = self.ids.remove(at).unwrap_or_else(|| panic!("{op}: {at} was not allocated"));
                    assert!(!reachable.contains(id), "{op}: {id} is reachable and was freed");
                    self.colors.set_object(id, None);
                }
                Event::Phase(phase) => {
                    if *phase == Phase::Mark {
                        self.colors.bleach();
                    }
                    self.phase = *phase;
                }
                Event::Shade(at) => {
                    assert_eq!(self.colors.object(self.ids[at]), Some(Color::White), "{op}: shaded twice");
                    self.colors.set_object(self.ids[at], Some(Color::Grey));
                }
                Event::Scan(at) => {
                    assert_eq!(self.colors.object(self.ids[at]), Some(Color::Grey), "{op}: scanned twice or unseen");
                    self.colors.set_object(self.ids[at], Some(Color::Black));
                }
                Event::ScanStack(mutator) => self.colors.set_stack(*mutator, Color::Black),
                Event::ScanGlobals => self.colors.set_globals(Color::Black),
                _ => {}
            }
        }
    }

    /// Two full collections leave exactly what is reachable.
    fn settle(&mut self) {
        self.perform(&Op::Collect(Collect::Full));
        self.perform(&Op::Collect(Collect::Full));
        let Reply::Stats { objects, bytes } = self.heap.perform(&Op::Collect(Collect::Stats), &mut Vec::new()) else {
            panic!("stats are claimed");
        };
        assert_eq!(objects, self.graph.reachable().len() as u64);
        assert_eq!(objects, self.ids.len() as u64);
        assert!(bytes >= self.graph.reachable().iter().map(|id| self.graph.object(id).unwrap().shape.size()).sum());
    }
}

fn run(seeds: std::ops::Range<u64>, length: usize, sizes: &Sizes, config: Config) -> u32 {
    let mut phases = 0;
    for seed in seeds {
        let (mut random, mut pair) = (Random(seed), Pair::new(config));
        for _ in 0..length {
            let op = match random.below(4) {
                0 => Op::Collect(random.step()),
                _ => Op::mutate(random.mutator(), random.action(sizes)),
            };
            pair.perform(&op);
        }
        pair.settle();
        phases |= pair.phases_of_births;
    }
    phases
}

const SMALL: Config = Config { reservation: 64 << 20, globals: 4, ..Config::DEFAULT };

#[test]
fn short_programs_mean_what_the_graph_says() {
    run(0..400, 150, &TINY, SMALL);
}

#[test]
fn long_programs_with_large_objects_mean_what_the_graph_says() {
    let phases = run(1000..1060, 1500, &MIXED, SMALL);
    let [off, mark, sweep] = [Phase::Off, Phase::Mark, Phase::Sweep].map(|phase| 1 << phase as u32);
    assert_eq!(phases, off | mark | sweep, "objects are born in every phase");
}

#[test]
fn a_heap_that_is_full_refuses_and_goes_on() {
    run(2000..2040, 800, &MIXED, Config { limit: 40 * 8192, ..SMALL });
}

#[test]
fn chains_of_hundreds_in_one_class_survive_steps_and_die_together() {
    for pointers in [1, 2, 12, 200] {
        let mut pair = Pair::new(SMALL);
        let tell = |pair: &mut Pair, line: &str| pair.perform(&line.parse().unwrap());
        for number in 0..700 {
            // r0 is the head; every third object is dropped at once.
            tell(&mut pair, &format!("0 alloc r1 {pointers} 8"));
            if number % 3 > 0 {
                if number > 1 {
                    tell(&mut pair, "0 store r1.0 r0");
                }
                tell(&mut pair, "0 copy r0 r1");
            }
            match number % 50 {
                7 => tell(&mut pair, "gc start"),
                11 => tell(&mut pair, "gc handshake 0"),
                12..30 => tell(&mut pair, "gc mark 40"),
                30 => tell(&mut pair, "gc finish"),
                31.. => tell(&mut pair, "gc sweep 1"),
                _ => {}
            }
        }
        pair.settle();
        tell(&mut pair, "0 clear r1");
        pair.settle();
        assert!(pair.graph.reachable().len() > 400);
        tell(&mut pair, "0 clear r0");
        pair.settle();
        assert_eq!(pair.ids.len(), 0);
    }
}

#[test]
fn a_lost_object_of_the_unsound_designs_is_not_lost_here() {
    let story = "\
0 alloc r0 1 8
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
    let mut heap = bundled().unwrap();
    let replies: Vec<_> =
        story.parse::<Program>().unwrap().ops().iter().map(|op| heap.perform(op, &mut Vec::new())).collect();
    assert_eq!(replies.last(), Some(&Reply::Data(Content::Uniform(1))));
}

#[test]
fn steps_out_of_season_are_idle() {
    let mut heap = bundled().unwrap();
    let mut tell = |line: &str| heap.perform(&line.parse().unwrap(), &mut Vec::new());
    for line in ["gc mark 1", "gc handshake 0", "gc finish", "gc sweep 1"] {
        assert_eq!(tell(line), Reply::Idle, "{line}");
    }
    assert_eq!([tell("gc start"), tell("gc start")], [Reply::Done, Reply::Idle]);
    assert_eq!(tell("gc finish"), Reply::Idle, "neither stack nor globals were scanned");
    assert_eq!([tell("gc handshake 0"), tell("gc handshake 0")], [Reply::Done, Reply::Idle]);
    assert_eq!(tell("gc finish"), Reply::Idle, "the globals were not scanned");
    assert_eq!([tell("gc mark 1"), tell("gc mark 1"), tell("gc finish")], [Reply::Done, Reply::Idle, Reply::Done]);
    assert_eq!([tell("gc sweep 9"), tell("gc sweep 1")], [Reply::Done, Reply::Idle]);
}
