//! A reading: the history, read once against the reference.
//!
//! The history says what a heap answered and reported; the [`Graph`] says what the program meant. Put side by side they
//! give the facts that laws are about: who was born where and freed when, what was reachable after each operation, which
//! colour everything had, where each cycle began and ended. Every law reads these facts; none computes them again.
//!
//! Objects are told by the address at which they were born: an address belongs to the last object born there, until it
//! is freed.

use crate::history::{History, Moment};
use heaplaw_reference::{
    color::{self, Color, Coloring, Offence},
    cycle,
    event::{Event, Phase},
    graph::{Effect, Graph},
    heap::{BornAs, Capability, Claims, Invariant, Reply},
    object::{Address, Content, ObjectId, ObjectSet, Shape},
    op::{Action, Collect, MutatorId, Op},
};
use std::{collections::HashMap, rc::Rc};

/// The state of the world after one moment of the history.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the operation meant.
    pub effect: Effect,
    /// What a read had to find.
    pub expected: Option<Content>,
    /// The collector's phase, as far as it is reported.
    pub phase: Phase,
    /// What mutators could still reach afterwards.
    pub reachable: Rc<ObjectSet>,
}

/// The life of an object, as the heap tells it.
#[derive(Clone, Debug)]
pub struct Life {
    /// The moment of its birth.
    pub born: usize,
    /// What it is made of.
    pub shape: Shape,
    /// Where it was born.
    pub address: Address,
    /// The bytes set aside for it.
    pub usable: u64,
    /// What its memory read when it was born.
    pub found: Content,
    /// The cycle that was marking when it was born.
    pub marking: Option<usize>,
    /// The moment it was freed.
    pub freed: Option<usize>,
}

impl Life {
    /// Whether the object exists after the given moment.
    pub fn spans(&self, moment: usize) -> bool {
        self.born <= moment && self.freed.is_none_or(|freed| freed > moment)
    }
}

/// One collection cycle.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// The moment marking began.
    pub start: usize,
    /// The moment marking ended.
    pub marked: Option<usize>,
    /// The moment the sweep ended.
    pub swept: Option<usize>,
    /// What was allocated and unreachable when marking began.
    pub garbage: ObjectSet,
    /// What was white when marking ended (if colours are reported).
    pub white: ObjectSet,
    /// What was white and reachable when marking ended (if colours are reported): lost.
    pub lost: Vec<ObjectId>,
    /// What was still grey when marking ended (if colours are reported).
    pub waiting: Vec<Waiting>,
}

/// Something that is grey: it waits to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// An object.
    Object(ObjectId),
    /// A mutator's stack.
    Stack(MutatorId),
    /// The globals.
    Globals,
}

/// A change of colour that was reported.
#[derive(Clone, Copy, Debug)]
pub struct Recoloring {
    /// When.
    pub moment: usize,
    /// Whose.
    pub object: ObjectId,
    /// From which colour.
    pub from: Color,
    /// To which colour.
    pub to: Color,
}

/// A history with everything that follows from it.
#[derive(Clone, Debug)]
pub struct Reading<'h> {
    /// What was read.
    pub history: &'h History,
    /// The world after each moment.
    pub scenes: Vec<Scene>,
    /// The life of each object, by birth number; `None` if its birth was refused.
    pub lives: Vec<Option<Life>>,
    /// The cycles, in order.
    pub cycles: Vec<Cycle>,
    /// Reported changes of colour, in order.
    pub recolorings: Vec<Recoloring>,
    /// Changes of phase, in order: when, from, to.
    pub phases: Vec<(usize, Phase, Phase)>,
    /// Moments of marking after which the heap's invariant was looked at, and what broke it.
    pub invariant: Vec<(usize, Result<(), Offence>)>,
    /// Objects freed more than once, or events about addresses where nothing lives.
    pub strays: Vec<(usize, Event)>,
    /// Frees, in order.
    pub frees: Vec<(usize, ObjectId)>,
}

/// The world after some moment of a history.
#[derive(Clone, Debug)]
pub struct World {
    /// Every object, root and global.
    pub graph: Graph,
    /// Every colour, as far as it is reported.
    pub colors: Coloring,
    /// The collector's phase, as far as it is reported.
    pub phase: Phase,
}

impl World {
    /// The world after the first `moments` moments of a history.
    pub fn after(history: &History, moments: usize) -> World {
        let mut reader = Reader::new(history);
        for (at, moment) in history.moments.iter().enumerate().take(moments) {
            reader.read(at, moment);
        }
        World { graph: reader.graph, colors: reader.colors, phase: reader.phase }
    }
}

impl<'h> Reading<'h> {
    /// Reads a history.
    pub fn new(history: &'h History) -> Self {
        let mut reader = Reader::new(history);
        for (at, moment) in history.moments.iter().enumerate() {
            reader.read(at, moment);
        }
        reader.reading
    }

    /// The life of an object that was born.
    pub fn life(&self, id: ObjectId) -> Option<&Life> {
        self.lives.get(id.index())?.as_ref()
    }

    /// All lives, in order of birth.
    pub fn lives(&self) -> impl Iterator<Item = (ObjectId, &Life)> {
        (0..).map(ObjectId).zip(&self.lives).filter_map(|(id, life)| Some((id, life.as_ref()?)))
    }

    /// Moments with their scenes.
    pub fn scenes(&self) -> impl Iterator<Item = (usize, &Moment, &Scene)> {
        let scenes = self.history.moments.iter().zip(&self.scenes);
        scenes.enumerate().map(|(at, (moment, scene))| (at, moment, scene))
    }

    /// The object that lives at an address after a moment.
    pub fn owner(&self, address: Address, moment: usize) -> Option<ObjectId> {
        let here = self.lives().filter(|(_, life)| life.address == address && life.spans(moment));
        here.last().map(|(id, _)| id)
    }
}

/// The reader: the world as it is so far, and what was noted.
struct Reader<'h> {
    claims: &'h Claims,
    graph: Graph,
    reachable: Rc<ObjectSet>,
    colors: Coloring,
    phase: Phase,
    owners: HashMap<Address, ObjectId>,
    reading: Reading<'h>,
}

impl<'h> Reader<'h> {
    fn new(history: &'h History) -> Self {
        Reader {
            claims: &history.claims,
            graph: Graph::new(),
            reachable: Rc::new(ObjectSet::new()),
            colors: Coloring::new(),
            phase: Phase::Off,
            owners: HashMap::new(),
            reading: Reading {
                history,
                scenes: Vec::with_capacity(history.moments.len()),
                lives: Vec::new(),
                cycles: Vec::new(),
                recolorings: Vec::new(),
                phases: Vec::new(),
                invariant: Vec::new(),
                strays: Vec::new(),
                frees: Vec::new(),
            },
        }
    }

    fn read(&mut self, at: usize, moment: &Moment) {
        let before = Rc::clone(&self.reachable);
        let effect = self.perform(moment);
        let expected = match effect {
            Effect::Read(id) => self.graph.object(id).map(|object| object.content()),
            _ => None,
        };
        // A heap may work on behalf of its mutators while it allocates, before or after it sets the root; what was
        // unreachable on either side of the operation may count as such.
        let throughout = |id: ObjectId, this: &Self| before.contains(id) && this.reachable.contains(id);
        let newborn = match moment.reply {
            Reply::Born { at, .. } => Some(at),
            _ => None,
        };
        let mut about_newborn = Vec::new();
        for event in &moment.events {
            match event {
                Event::Shade(address) | Event::Scan(address)
                    if newborn == Some(*address) && !self.owners.contains_key(address) =>
                {
                    about_newborn.push(*event);
                }
                _ => self.hear(at, *event, &throughout, &before),
            }
        }
        if let (Effect::Born(id), Reply::Born { at: address, usable, found, color }) = (effect, &moment.reply) {
            self.birth(at, id, *address, *usable, *found, *color);
        }
        for event in about_newborn {
            self.hear(at, event, &throughout, &before);
        }
        self.fullness(at, moment);
        self.check_invariant(at);
        let reachable = Rc::clone(&self.reachable);
        self.reading.scenes.push(Scene { effect, expected, phase: self.phase, reachable });
    }

    /// What the operation does to the graph.
    fn perform(&mut self, moment: &Moment) -> Effect {
        if moment.reply == Reply::OutOfMemory {
            self.graph.refuse(&moment.op);
            self.reading.lives.push(None);
            return Effect::Quiet;
        }
        let effect = self.graph.apply(&moment.op);
        if let Op::Mutate { by, action } = &moment.op {
            let quiet = matches!(
                action,
                Action::Read(_) | Action::Write(_) | Action::Safepoint | Action::Park | Action::Unpark
            );
            if !quiet {
                self.reachable = Rc::new(self.graph.reachable());
            }
            if *action == Action::Join {
                // An empty stack has nothing to be scanned.
                self.colors.set_stack(*by, Color::Black);
            }
        }
        effect
    }

    fn birth(&mut self, at: usize, id: ObjectId, address: Address, usable: u64, found: Content, color: Option<BornAs>) {
        let shape = self.graph.object(id).map(|object| object.shape).unwrap_or_default();
        let marking = (self.phase == Phase::Mark).then(|| self.reading.cycles.len().saturating_sub(1));
        self.reading.lives.push(Some(Life { born: at, shape, address, usable, found, marking, freed: None }));
        self.owners.insert(address, id);
        let color = match color {
            Some(BornAs::White) => Color::White,
            Some(BornAs::Grey) => Color::Grey,
            Some(BornAs::Black) | None => Color::Black,
        };
        self.colors.set_object(id, Some(color));
    }

    fn hear(&mut self, at: usize, event: Event, throughout: &dyn Fn(ObjectId, &Self) -> bool, before: &ObjectSet) {
        match event {
            Event::Phase(phase) => {
                self.reading.phases.push((at, self.phase, phase));
                self.phase = phase;
                match phase {
                    Phase::Mark => self.begin(at, before),
                    Phase::Sweep => self.end_of_marking(at, throughout),
                    Phase::Off => {
                        if let Some(cycle) = self.reading.cycles.last_mut() {
                            cycle.swept.get_or_insert(at);
                        }
                    }
                    Phase::Terminate => {}
                }
            }
            Event::Shade(address) => self.recolor(at, event, address, Color::Grey),
            Event::Scan(address) => self.recolor(at, event, address, Color::Black),
            Event::ScanStack(mutator) => self.colors.set_stack(mutator, Color::Black),
            Event::ScanGlobals => self.colors.set_globals(Color::Black),
            Event::Free(address) => match self.owners.remove(&address) {
                Some(id) => {
                    self.colors.set_object(id, None);
                    if let Some(life) = &mut self.reading.lives[id.index()] {
                        life.freed = Some(at);
                    }
                    self.reading.frees.push((at, id));
                }
                None => self.reading.strays.push((at, event)),
            },
            // A kind of event that this kit does not know says nothing to it.
            _ => {}
        }
    }

    fn begin(&mut self, at: usize, before: &ObjectSet) {
        self.colors.bleach();
        let garbage = self.garbage(before);
        let cycle = Cycle {
            start: at,
            marked: None,
            swept: None,
            garbage,
            white: ObjectSet::new(),
            lost: Vec::new(),
            waiting: Vec::new(),
        };
        self.reading.cycles.push(cycle);
    }

    /// What is allocated, and unreachable on both sides of this operation.
    fn garbage(&self, before: &ObjectSet) -> ObjectSet {
        let alive = self.reading.lives().filter(|(_, life)| life.freed.is_none()).map(|(id, _)| id);
        alive.filter(|id| !before.contains(*id) && !self.reachable.contains(*id)).collect()
    }

    fn end_of_marking(&mut self, at: usize, throughout: &dyn Fn(ObjectId, &Self) -> bool) {
        let all = (0..self.reading.lives.len() as u32).map(ObjectId);
        let white: ObjectSet = all.filter(|id| self.colors.object(*id) == Some(Color::White)).collect();
        let lost = white.iter().filter(|id| throughout(*id, self)).collect();
        let waiting = self.waiting();
        if let Some(cycle) = self.reading.cycles.last_mut()
            && cycle.marked.is_none()
        {
            *cycle = Cycle { marked: Some(at), white, lost, waiting, ..cycle.clone() };
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        let grey = |color| color == Color::Grey;
        let all = (0..self.reading.lives.len() as u32).map(ObjectId);
        let objects = all.filter(|id| self.colors.object(*id).is_some_and(grey)).map(Waiting::Object);
        let stacks = self.graph.stacks().map(|(mutator, _)| mutator);
        let stacks = stacks.filter(|mutator| grey(self.colors.stack(*mutator))).map(Waiting::Stack);
        let globals = grey(self.colors.globals()).then_some(Waiting::Globals);
        objects.chain(stacks).chain(globals).collect()
    }

    fn recolor(&mut self, at: usize, event: Event, address: Address, to: Color) {
        let known = self.owners.get(&address).and_then(|id| Some((*id, self.colors.object(*id)?)));
        match known {
            Some((object, from)) => {
                self.reading.recolorings.push(Recoloring { moment: at, object, from, to });
                self.colors.set_object(object, Some(from.max(to)));
            }
            None => self.reading.strays.push((at, event)),
        }
    }

    /// A heap that does not report phases is seen to have gone through a cycle when a full collection is done.
    fn fullness(&mut self, at: usize, moment: &Moment) {
        let full = moment.op == Op::Collect(Collect::Full) && moment.reply == Reply::Done;
        if full && !self.claims.has(Capability::Phases) {
            let reachable = Rc::clone(&self.reachable);
            let garbage = self
                .reading
                .lives()
                .filter(|(id, life)| life.freed.is_none_or(|freed| freed == at) && !reachable.contains(*id))
                .map(|(id, _)| id)
                .collect();
            let (marked, swept) = (Some(at), Some(at));
            let cycle = Cycle {
                start: at,
                marked,
                swept,
                garbage,
                white: ObjectSet::new(),
                lost: Vec::new(),
                waiting: Vec::new(),
            };
            self.reading.cycles.push(cycle);
        }
    }

    fn check_invariant(&mut self, at: usize) {
        let Some(invariant) = self.claims.invariant else { return };
        let seen = self.claims.has(Capability::Colors) && self.claims.has(Capability::Phases);
        if !seen || !cycle::barrier_on(self.phase) {
            return;
        }
        let outcome = match invariant {
            Invariant::Strong => color::strong(&self.graph, &self.colors),
            Invariant::Weak => color::weak(&self.graph, &self.colors),
            Invariant::ModifiedWeak => color::modified_weak(&self.graph, &self.colors),
        };
        self.reading.invariant.push((at, outcome));
    }
}
