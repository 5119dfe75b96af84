//! The parallel driver: mutators on threads of their own, all at once, and a collector beside them.
//!
//! Nobody knows in which order things happened, so there is no history, only what each thread [noted](Note), and in the
//! end a walk through all that is left. What can be said of that is said by the laws that need no order: what is loaded
//! was stored there by somebody, what an object holds stays what it was, nothing that is held is gone, and when all is
//! quiet, the garbage goes and the accounts are right.
//!
//! Every object carries its name in its data. It is filled with a stamp that no other object has when it is born, and is
//! never written again; so whoever gets hold of an object knows which one it is by reading it.
//!
//! ```text
//!   thread 0   alloc r1 ─ read r1: 7 ─ store g0 r1 ─ …               notes: born 7, g0 := 7
//!   thread 1   load r0 g0 ─ read r0: 7 ─ load r2 r0.1 ─ …            notes: g0 held 7, 7.1 held nil
//!   collector  gc start ─ gc handshake 1 ─ gc mark 2 ─ …
//! ```
//!
//! A [`Plan`] says what each thread does. It means the same each time, but what comes of it depends on the scheduler:
//! whoever runs the [`Threads`] decides how much of that is seen.

use super::guarded;
use crate::generate::choices::Choices;
use heaplaw_reference::{
    event::Event,
    heap::{Capability, Claims, Heap, Mutator, Reply, SharedHeap},
    object::{Content, Shape, Stamp},
    op::{Action, Collect, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root, Run},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier, Mutex, PoisonError},
};

/// What every thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many pointer fields every object has.
    pub pointers: u32,
    /// What the mutators do, each on a thread of its own. What means nothing at that time is left out.
    pub mutators: Vec<Vec<Action>>,
    /// What the collector does, on one thread more.
    pub collector: Vec<Collect>,
}

/// The roots that plans use; the others are for the walk at the end.
const USED: u8 = 6;

impl Plan {
    /// A plan of `ops` operations for each of `mutators` mutators (at most four), and as many collector steps, for a heap
    /// with these claims.
    pub fn draw(choices: &mut dyn Choices, claims: &Claims, mutators: u8, ops: u32) -> Plan {
        let pointers = 1 + choices.below(3);
        let mutator = |choices: &mut dyn Choices| {
            let mut actions = Vec::new();
            while actions.len() < ops as usize {
                gesture(choices, pointers, &mut actions);
            }
            actions
        };
        let mutators = (0..mutators.clamp(1, MUTATORS)).map(|_| mutator(choices)).collect::<Vec<_>>();
        let count = mutators.len() as u32;
        let steps = (0..ops).filter_map(|_| collect(choices, claims, count));
        Plan { pointers, collector: steps.collect(), mutators }
    }
}

/// One operation, or what makes trouble for a collector: the path over which an object was loaded is cut, and the object
/// is looked at again some time later; what was stored into a field is held by the field alone.
fn gesture(choices: &mut dyn Choices, pointers: u32, actions: &mut Vec<Action>) {
    let first = action(choices, pointers);
    actions.push(first);
    match first {
        Action::Load { into, from } if choices.chance(1, 2) => {
            actions.push(Action::Store { into: from, value: None });
            actions.extend((0..choices.below(8)).map(|_| Action::Safepoint));
            actions.push(Action::Read(into));
        }
        Action::Store { value: Some(root), .. } if choices.chance(1, 2) => actions.push(Action::Clear(root)),
        _ => {}
    }
}

fn action(choices: &mut dyn Choices, pointers: u32) -> Action {
    let root = |choices: &mut dyn Choices| Root(choices.below(u32::from(USED)) as u8);
    let place = |choices: &mut dyn Choices| match choices.below(4) {
        0 => Place::Global(choices.below(u32::from(GLOBALS)) as u8),
        _ => Place::Field { of: root(choices), index: choices.below(pointers) },
    };
    match choices.weighted(&[16, 26, 26, 8, 4, 6, 2, 4, 2, 1]) {
        0 => Action::Alloc { into: root(choices), shape: Shape::new(pointers, 8 + 8 * choices.below(4)) },
        1 => Action::Load { from: place(choices), into: root(choices) },
        2 => Action::Store { into: place(choices), value: Some(root(choices)) },
        3 => Action::Store { into: place(choices), value: None },
        4 => Action::Copy { into: root(choices), from: root(choices) },
        5 => Action::Clear(root(choices)),
        6 => Action::Wipe(Run { of: root(choices), at: 0, count: pointers }),
        7 => Action::Read(root(choices)),
        8 => Action::Safepoint,
        _ => Action::Exit,
    }
}

fn collect(choices: &mut dyn Choices, claims: &Claims, mutators: u32) -> Option<Collect> {
    let (full, steps) = (u32::from(claims.has(Capability::Collect)), u32::from(claims.has(Capability::Steps)));
    if full + steps == 0 {
        return None;
    }
    Some(match choices.weighted(&[full * 2, steps * 4, steps * 6, steps * 8, steps * 4, steps * 4]) {
        0 => Collect::Full,
        1 => Collect::Start,
        2 => Collect::Handshake(MutatorId(choices.below(mutators) as u8)),
        3 => Collect::Mark(1 + choices.below(4)),
        4 => Collect::Finish,
        _ => Collect::Sweep(1 + choices.below(4)),
    })
}

/// Something that runs threads.
pub trait Threads: Sync {
    /// Runs all bodies at the same time, each on a thread of its own, and comes back when all have ended. Bodies do not
    /// panic.
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>);

    /// A thread has done one thing, and others may do something now.
    fn pause(&self);
}

/// The threads of the operating system. They begin at the same moment, and give way after everything they do, so that they
/// take turns even where there are fewer processors than threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Threads for Native {
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>) {
        let start = Barrier::new(bodies.len());
        std::thread::scope(|scope| {
            for body in bodies {
                scope.spawn(|| {
                    start.wait();
                    body();
                });
            }
        });
    }

    fn pause(&self) {
        std::thread::yield_now();
    }
}

/// The name of an object: the stamp in its data.
pub type Name = u64;

/// Where a pointer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A field of an object.
    Field(Name, u32),
    /// A global.
    Global(u8),
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Field(name, index) => write!(f, "field {index} of object {name:#x}"),
            Location::Global(number) => write!(f, "g{number}"),
        }
    }
}

/// One thing that a thread saw or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An object was born: what it asked for, what it got, what its memory read, and what it holds now.
    Born {
        /// The bytes that were asked for.
        size: u64,
        /// The bytes that were set aside.
        usable: u64,
        /// What its memory read.
        found: Content,
        /// What it holds.
        holds: Content,
    },
    /// An allocation was refused.
    Refused,
    /// A pointer was stored.
    Stored(Location, Option<Name>),
    /// A pointer was loaded, and its object read.
    Loaded(Location, Option<Content>),
    /// An object was read that was held since its name was learnt.
    Read(Name, Content),
    /// The heap said that something is wrong, answered what is no answer, or crashed.
    Trouble(Action, String),
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What each mutator noted, in its own order.
    pub threads: Vec<Vec<Note>>,
    /// What was noted on the walk at the end, when all was quiet.
    pub walk: Vec<Note>,
    /// How many objects were found on it.
    pub reachable: u64,
    /// After a full collection: how many objects the heap says there are.
    pub counted: Option<u64>,
    /// After all roots and globals were cleared and another full collection: the same.
    pub left: Option<u64>,
}

/// One mutator, and what its roots hold.
struct Thread<'h, S: SharedHeap> {
    heap: &'h S,
    id: MutatorId,
    /// `None` only while the mutator leaves and comes back.
    mutator: Option<S::Mutator>,
    roots: [Option<Name>; ROOTS as usize],
    pointers: u32,
    births: u64,
    notes: Vec<Note>,
    events: Vec<Event>,
    /// Whether there was trouble: nothing is asked after that.
    stopped: bool,
}

impl<'h, S: SharedHeap> Thread<'h, S> {
    fn new(heap: &'h S, id: MutatorId, pointers: u32) -> Self {
        let mut events = Vec::new();
        let mutator = Some(heap.join(id, &mut events));
        let roots = [None; ROOTS as usize];
        Thread { heap, id, mutator, roots, pointers, births: 0, notes: Vec::new(), events, stopped: false }
    }

    fn root(&mut self, root: Root) -> &mut Option<Name> {
        &mut self.roots[usize::from(root.0)]
    }

    fn perform(&mut self, action: Action) -> Option<Reply> {
        let mutator = self.mutator.as_mut().filter(|_| !self.stopped)?;
        self.events.clear();
        let stamp = Stamp((u64::from(self.id.0) + 1) << 40 | self.births);
        let trouble = match guarded(|| mutator.perform(&action, stamp, &mut self.events)) {
            Ok(Reply::Trap(why)) => why,
            Ok(Reply::Unsupported) => "the heap does not know the operation".to_owned(),
            Ok(reply) => return Some(reply),
            Err(failure) => failure.to_string(),
        };
        self.stopped = true;
        self.notes.push(Note::Trouble(action, trouble));
        None
    }

    /// Where a place is, and that it is one.
    fn location(&self, place: Place) -> Option<Location> {
        match place {
            Place::Global(number) => Some(Location::Global(number)),
            Place::Field { of, index } => Some(Location::Field(self.roots[usize::from(of.0)]?, index)),
        }
    }

    fn read(&mut self, root: Root) -> Option<Content> {
        match self.perform(Action::Read(root))? {
            Reply::Data(content) => Some(content),
            _ => None,
        }
    }

    /// Loads a pointer and learns the name of its object.
    fn load(&mut self, into: Root, from: Place) {
        let Some(location) = self.location(from) else { return };
        let Some(reply) = self.perform(Action::Load { into, from }) else { return };
        let content = match reply {
            Reply::Object(_) => self.read(into),
            _ => None,
        };
        *self.root(into) = name(content);
        self.notes.push(Note::Loaded(location, content));
    }

    fn store(&mut self, into: Place, value: Option<Root>) {
        let held = value.map(|root| self.roots[usize::from(root.0)]);
        // A root that was to be stored and is empty.
        if held == Some(None) {
            return;
        }
        let Some(location) = self.location(into) else { return };
        if self.perform(Action::Store { into, value }).is_some() {
            self.notes.push(Note::Stored(location, held.flatten()));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Alloc { into, shape } => {
                self.births += 1;
                match self.perform(action) {
                    Some(Reply::Born { usable, found, .. }) => {
                        let Some(holds) = self.read(into) else { return };
                        *self.root(into) = name(Some(holds));
                        self.notes.push(Note::Born { size: shape.size(), usable, found, holds });
                    }
                    Some(_) => self.notes.push(Note::Refused),
                    None => {}
                }
            }
            Action::Load { into, from } => self.load(into, from),
            Action::Store { into, value } => self.store(into, value),
            Action::Wipe(Run { of, at, count }) if self.root(of).is_some() => {
                if let (Some(_), Some(object)) = (self.perform(action), *self.root(of)) {
                    self.notes.extend((at..at + count).map(|index| Note::Stored(Location::Field(object, index), None)));
                }
            }
            Action::Copy { into, from } if into != from => {
                if let Some(held) = *self.root(from)
                    && self.perform(action).is_some()
                {
                    *self.root(into) = Some(held);
                }
            }
            Action::Clear(root) if self.root(root).is_some() => {
                self.perform(action);
                *self.root(root) = None;
            }
            Action::Read(root) => {
                if let Some(held) = *self.root(root)
                    && let Some(content) = self.read(root)
                {
                    self.notes.push(Note::Read(held, content));
                }
            }
            Action::Safepoint | Action::Park | Action::Unpark => _ = self.perform(action),
            // It leaves, and another one comes in its place.
            Action::Exit => {
                self.events.clear();
                if let Some(mutator) = self.mutator.take() {
                    self.heap.leave(mutator, &mut self.events);
                    self.mutator = Some(self.heap.join(self.id, &mut self.events));
                    self.roots = [None; ROOTS as usize];
                }
            }
            _ => {}
        }
    }

    /// Looks at everything that the roots and, if `globals`, the globals lead to, and was not seen before.
    fn walk(&mut self, seen: &mut BTreeSet<Name>, globals: bool) {
        let (here, there) = (Root(ROOTS - 1), Root(ROOTS - 2));
        let mut ways: Vec<(Place, Vec<u32>)> = Vec::new();
        for root in (0..USED).map(Root) {
            let Some(held) = *self.root(root) else { continue };
            self.act(Action::Read(root));
            if seen.insert(held) {
                ways.extend((0..self.pointers).map(|index| (Place::Field { of: root, index }, Vec::new())));
            }
        }
        if globals {
            ways.extend((0..GLOBALS).map(|number| (Place::Global(number), Vec::new())));
        }
        while let Some((first, then)) = ways.pop() {
            // All but the last step lead over what was seen before.
            let (steps, from) = match then.split_last() {
                None => (None, first),
                Some((last, between)) => (Some(between), Place::Field { of: here, index: *last }),
            };
            if let Some(between) = steps {
                self.load(here, first);
                for index in between {
                    self.load(here, Place::Field { of: here, index: *index });
                }
            }
            self.load(there, from);
            if let Some(found) = *self.root(there)
                && seen.insert(found)
            {
                let further = |index| (first, then.iter().copied().chain([index]).collect());
                ways.extend((0..self.pointers).map(further));
            }
        }
        self.act(Action::Clear(here));
        self.act(Action::Clear(there));
    }
}

fn name(content: Option<Content>) -> Option<Name> {
    match content? {
        Content::Uniform(name) => Some(name),
        Content::Torn { .. } => None,
    }
}

/// Runs a plan on a fresh heap.
pub fn run<S>(heap: &S, plan: &Plan, threads: &dyn Threads) -> Account
where
    S: SharedHeap + Sync,
    S::Mutator: Send,
{
    let ids = (0..).map(MutatorId).zip(&plan.mutators);
    let mut mutators: Vec<_> = ids.map(|(id, _)| Thread::new(heap, id, plan.pointers)).collect();
    let collector = || {
        for step in &plan.collector {
            // What goes wrong in here shows in what mutators see; a panic is seen as a full heap of trouble below.
            if guarded(|| heap.collect(step, &mut Vec::new())).is_err() {
                return;
            }
            threads.pause();
        }
    };
    let work = mutators.iter_mut().zip(&plan.mutators).map(|(mutator, actions)| {
        let body = move || {
            for action in actions {
                mutator.act(*action);
                threads.pause();
            }
            // Nobody waits for one that has nothing left to do.
            mutator.act(Action::Park);
        };
        Box::new(body) as Box<dyn FnOnce() + Send + '_>
    });
    let work = work.chain([Box::new(collector) as Box<dyn FnOnce() + Send + '_>]).collect();
    threads.run(work);
    close(heap, mutators)
}

/// What is left when all is quiet.
fn close<S: SharedHeap>(heap: &S, mut mutators: Vec<Thread<'_, S>>) -> Account {
    let threads = mutators.iter_mut().map(|mutator| std::mem::take(&mut mutator.notes)).collect();
    let mut seen = BTreeSet::new();
    for (number, mutator) in mutators.iter_mut().enumerate() {
        mutator.act(Action::Unpark);
        mutator.walk(&mut seen, number == 0);
    }
    let counted = count(heap);
    for mutator in &mut mutators {
        for root in (0..USED).map(Root) {
            mutator.act(Action::Clear(root));
        }
        for number in 0..GLOBALS {
            mutator.store(Place::Global(number), None);
        }
    }
    let left = count(heap);
    let walk = mutators.iter_mut().flat_map(|mutator| std::mem::take(&mut mutator.notes)).collect();
    Account { threads, walk, reachable: seen.len() as u64, counted, left }
}

/// How many objects there are after a full collection, if the heap can say.
fn count<S: SharedHeap>(heap: &S) -> Option<u64> {
    let claims = heap.claims();
    if !claims.has(Capability::Collect) || !claims.has(Capability::Stats) {
        return None;
    }
    let ask = |step| guarded(|| heap.collect(&step, &mut Vec::new())).ok();
    ask(Collect::Full)?;
    match ask(Collect::Stats)? {
        Reply::Stats { objects, .. } => Some(objects),
        _ => None,
    }
}

/// A heap that does one thing at a time, shared between threads that wait for one another.
pub struct OneAtATime<H> {
    heap: Arc<Mutex<H>>,
}

impl<H: Heap> OneAtATime<H> {
    /// Shares a fresh heap. Its mutator 0, which is there from the start, leaves; all that take part join.
    pub fn new(mut heap: H) -> Self {
        heap.perform(&Op::mutate(0, Action::Exit), &mut Vec::new());
        OneAtATime { heap: Arc::new(Mutex::new(heap)) }
    }
}

fn perform<H: Heap>(heap: &Mutex<H>, op: &Op, events: &mut Vec<Event>) -> Reply {
    heap.lock().unwrap_or_else(PoisonError::into_inner).perform(op, events)
}

/// A mutator of a heap that is [shared](OneAtATime).
pub struct InLine<H> {
    heap: Arc<Mutex<H>>,
    id: MutatorId,
}

impl<H: Heap> InLine<H> {
    fn act(&self, action: Action, events: &mut Vec<Event>) -> Reply {
        perform(&self.heap, &Op::Mutate { by: self.id, action }, events)
    }
}

impl<H: Heap> Mutator for InLine<H> {
    /// The heap has stamps of its own.
    fn perform(&mut self, action: &Action, _: Stamp, events: &mut Vec<Event>) -> Reply {
        self.act(*action, events)
    }
}

impl<H: Heap> SharedHeap for OneAtATime<H> {
    type Mutator = InLine<H>;

    fn claims(&self) -> Claims {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).claims()
    }

    fn join(&self, id: MutatorId, events: &mut Vec<Event>) -> InLine<H> {
        let mutator = InLine { heap: Arc::clone(&self.heap), id };
        mutator.act(Action::Join, events);
        mutator
    }

    fn leave(&self, mutator: InLine<H>, events: &mut Vec<Event>) {
        mutator.act(Action::Exit, events);
    }

    fn send(
        &self,
        (from, value): (&mut InLine<H>, Root),
        (to, into): (&mut InLine<H>, Root),
        events: &mut Vec<Event>,
    ) -> Reply {
        from.act(Action::Send { value, to: to.id, into }, events)
    }

    fn collect(&self, step: &Collect, events: &mut Vec<Event>) -> Reply {
        perform(&self.heap, &Op::Collect(*step), events)
    }
}
