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

mod plan;
pub mod watch;

pub use self::plan::{Plan, PlanError};

use self::plan::USED;
use super::{Failure, guarded};
use heaplaw_reference::{
    event::{Event, Phase},
    heap::{Capability, Claims, Heap, Mutator, Reply, SharedHeap},
    object::{Address, Content, Stamp},
    op::{Action, Collect, GLOBALS, MutatorId, Op, Place, ROOTS, Root, Run, WeakSlot},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Barrier, Mutex, PoisonError},
};

/// Something that runs threads.
pub trait Threads: Sync {
    /// Runs all bodies at the same time, each on a thread of its own, and comes back when all have ended. Bodies do not
    /// panic.
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>);

    /// A thread has done one thing, and others may do something now.
    fn pause(&self);

    /// A thread is about to do something: this step of this [lane](Plan::op). The lane after the collector's is the walk
    /// at the end, by whoever called [`run`]. Nobody need care.
    fn begins(&self, lane: usize, step: usize) {
        let _ = (lane, step);
    }

    /// A thread has done what it was about to.
    fn ended(&self, lane: usize) {
        let _ = lane;
    }
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
        /// Where it is.
        at: Address,
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
    /// A pointer was loaded: from where, what it is, and what its object holds.
    Loaded(Location, Option<(Address, Content)>),
    /// An object was read that was held since its name was learnt.
    Read(Name, Content),
    /// A weak pointer to an object was put into a slot.
    Weak(WeakSlot, Name),
    /// What the weak pointer of a slot was found to lead to, and what the thread held when it asked.
    Strong(WeakSlot, Option<(Address, Content)>, Vec<Name>),
    /// An object got a finalizer, and was let go of.
    Registered(Name),
    /// A finalizer was handed this.
    Finalized(Address, Content),
    /// The heap said that something is wrong.
    Trouble(Action, String),
    /// The heap crashed, or answered what is no answer.
    Failed(Op, Failure),
}

/// What a heap says it has allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// How many objects.
    pub objects: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// What was heard of the collector, by all threads together. Nobody knows in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How often the memory at an address was freed.
    pub frees: BTreeMap<Address, u64>,
    /// How often each phase was entered.
    pub phases: BTreeMap<Phase, u64>,
}

impl Heard {
    fn hear(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::Free(at) => *self.frees.entry(at).or_default() += 1,
                Event::Phase(phase) => *self.phases.entry(phase).or_default() += 1,
                _ => {}
            }
        }
    }

    fn add(&mut self, other: Heard) {
        for (at, times) in other.frees {
            *self.frees.entry(at).or_default() += times;
        }
        for (phase, times) in other.phases {
            *self.phases.entry(phase).or_default() += times;
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What the heap says of itself.
    pub claims: Claims,
    /// What each mutator noted, in its own order.
    pub threads: Vec<Vec<Note>>,
    /// What was noted on the walk at the end, when all was quiet.
    pub walk: Vec<Note>,
    /// The objects that were found on it.
    pub reachable: BTreeSet<Name>,
    /// After a full collection: what the heap says there is.
    pub counted: Option<Books>,
    /// After one more, with nothing in between: the same.
    pub again: Option<Books>,
    /// After all roots and globals were cleared and another full collection: the same.
    pub left: Option<Books>,
    /// What was heard of the collector, from the first operation to the last collection.
    pub heard: Heard,
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
    /// The root of an object that was born in the last operation: nobody else has it.
    fresh: Option<Root>,
    notes: Vec<Note>,
    events: Vec<Event>,
    heard: Heard,
    /// Whether there was trouble: nothing is asked after that, but to park.
    stopped: bool,
    parked: bool,
}

impl<'h, S: SharedHeap> Thread<'h, S> {
    fn new(heap: &'h S, id: MutatorId, pointers: u32) -> Self {
        let (mut events, mut heard) = (Vec::new(), Heard::default());
        let mutator = Some(heap.join(id, &mut events));
        heard.hear(&mut events);
        let roots = [None; ROOTS as usize];
        Thread {
            heap,
            id,
            mutator,
            roots,
            pointers,
            births: 0,
            fresh: None,
            notes: Vec::new(),
            events,
            heard,
            stopped: false,
            parked: false,
        }
    }

    fn root(&mut self, root: Root) -> &mut Option<Name> {
        &mut self.roots[usize::from(root.0)]
    }

    fn perform(&mut self, action: Action) -> Option<Reply> {
        let mutator = self.mutator.as_mut().filter(|_| !self.stopped)?;
        let stamp = Stamp((u64::from(self.id.0) + 1) << 40 | self.births);
        let answer = guarded(|| mutator.perform(&action, stamp, &mut self.events));
        self.heard.hear(&mut self.events);
        let op = Op::Mutate { by: self.id, action };
        let trouble = match answer {
            Ok(Reply::Trap(why)) => Note::Trouble(action, why),
            Ok(Reply::Unsupported) => Note::Failed(op, Failure::Garbled("it does not know the operation".to_owned())),
            Ok(reply) => return Some(reply),
            Err(failure) => Note::Failed(op, failure),
        };
        self.stopped = true;
        self.notes.push(trouble);
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
        let found = match reply {
            // Without an answer to that, there is nothing to be noted.
            Reply::Object(at) => match self.read(into) {
                Some(content) => Some((at, content)),
                None => return,
            },
            _ => None,
        };
        *self.root(into) = found.and_then(|(_, content)| name(Some(content)));
        self.notes.push(Note::Loaded(location, found));
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

    /// What an operation that yields an object has put into a root: the object, and what it holds. `None` if that cannot be
    /// learnt.
    fn receive(&mut self, into: Root, reply: &Reply) -> Option<Option<(Address, Content)>> {
        *self.root(into) = None;
        let found = match reply {
            Reply::Object(at) => Some((*at, self.read(into)?)),
            _ => None,
        };
        *self.root(into) = found.and_then(|(_, content)| name(Some(content)));
        Some(found)
    }

    fn act(&mut self, action: Action) {
        let fresh = self.fresh.take();
        match action {
            Action::Alloc { into, shape } => {
                self.births += 1;
                match self.perform(action) {
                    Some(Reply::Born { at, usable, found, .. }) => {
                        let Some(holds) = self.read(into) else { return };
                        *self.root(into) = name(Some(holds));
                        self.fresh = Some(into);
                        self.notes.push(Note::Born { at, size: shape.size(), usable, found, holds });
                    }
                    Some(_) => self.notes.push(Note::Refused),
                    None => {}
                }
            }
            Action::Load { into, from } => self.load(into, from),
            Action::Weak { into, to } => {
                if let Some(held) = *self.root(to)
                    && self.perform(action).is_some()
                {
                    self.notes.push(Note::Weak(into, held));
                }
            }
            Action::Strong { into, from } => {
                let held = self.roots.iter().flatten().copied().collect();
                if let Some(reply) = self.perform(action)
                    && let Some(found) = self.receive(into, &reply)
                {
                    self.notes.push(Note::Strong(from, found, held));
                }
            }
            // Only of an object that nobody else has and that leads nowhere, which is let go of at once: so it is dead
            // from now on, and keeps nothing but itself.
            Action::Finalizer(root) if fresh == Some(root) => {
                if let Some(held) = *self.root(root)
                    && self.perform(action).is_some()
                {
                    self.notes.push(Note::Registered(held));
                }
                self.act(Action::Clear(root));
            }
            Action::Finalize(into) => {
                if let Some(reply) = self.perform(action)
                    && let Some(Some((at, content))) = self.receive(into, &reply)
                {
                    self.notes.push(Note::Finalized(at, content));
                }
            }
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
            // Nobody waits for one that is parked, whatever happened to it.
            Action::Park if self.stopped && !self.parked => {
                self.parked = true;
                if let Some(mutator) = self.mutator.as_mut() {
                    // What is wrong is known already.
                    _ = guarded(|| mutator.perform(&action, Stamp(0), &mut self.events));
                    self.heard.hear(&mut self.events);
                }
            }
            Action::Park | Action::Unpark if !self.stopped => {
                self.perform(action);
                self.parked = action == Action::Park;
            }
            Action::Safepoint => _ = self.perform(action),
            // It leaves, and another one comes in its place.
            Action::Exit => {
                if let Some(mutator) = self.mutator.take() {
                    let (heap, id, events) = (self.heap, self.id, &mut self.events);
                    let joined = guarded(|| {
                        heap.leave(mutator, events);
                        heap.join(id, events)
                    });
                    self.heard.hear(&mut self.events);
                    match joined {
                        Ok(mutator) => self.mutator = Some(mutator),
                        Err(failure) => {
                            self.stopped = true;
                            self.notes.push(Note::Failed(Op::Mutate { by: id, action }, failure));
                        }
                    }
                    self.roots = [None; ROOTS as usize];
                }
            }
            _ => {}
        }
    }

    /// Runs all finalizers that are due, and lets go of their objects.
    fn drain(&mut self) {
        let into = Root(ROOTS - 1);
        loop {
            self.act(Action::Finalize(into));
            if self.root(into).is_none() {
                return;
            }
            self.act(Action::Clear(into));
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

/// Some heap that threads can share, whichever it is.
pub trait Shareable {
    /// What a heap says of itself.
    fn claims(&self) -> Claims;

    /// Runs a plan on a fresh heap.
    fn run(&self, plan: &Plan, threads: &dyn Threads) -> Account;
}

/// Heaps that threads can share, as this function makes them.
pub struct Made<F>(pub F);

impl<S, F> Shareable for Made<F>
where
    S: SharedHeap + Sync,
    S::Mutator: Send,
    F: Fn() -> S,
{
    fn claims(&self) -> Claims {
        (self.0)().claims()
    }

    fn run(&self, plan: &Plan, threads: &dyn Threads) -> Account {
        run(&(self.0)(), plan, threads)
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
    let mut collector = Collector { heap, events: Vec::new(), heard: Heard::default(), failed: None };
    let work = mutators.iter_mut().zip(&plan.mutators).enumerate().map(|(lane, (mutator, actions))| {
        let body = move || {
            for (step, action) in actions.iter().enumerate() {
                threads.begins(lane, step);
                mutator.act(*action);
                threads.ended(lane);
                threads.pause();
            }
            // Nobody waits for one that has nothing left to do.
            threads.begins(lane, actions.len());
            mutator.act(Action::Park);
            threads.ended(lane);
        };
        Box::new(body) as Box<dyn FnOnce() + Send + '_>
    });
    let collecting = || {
        for (step, op) in plan.collector.iter().enumerate() {
            threads.begins(plan.mutators.len(), step);
            collector.step(*op);
            threads.ended(plan.mutators.len());
            threads.pause();
        }
    };
    let work = work.chain([Box::new(collecting) as Box<dyn FnOnce() + Send + '_>]).collect();
    threads.run(work);
    threads.begins(plan.mutators.len() + 1, 0);
    let account = close(collector, mutators);
    threads.ended(plan.mutators.len() + 1);
    account
}

/// The thread that collects.
struct Collector<'h, S> {
    heap: &'h S,
    events: Vec<Event>,
    heard: Heard,
    /// The step that the heap failed at: nothing is asked after that.
    failed: Option<Note>,
}

impl<S: SharedHeap> Collector<'_, S> {
    fn step(&mut self, step: Collect) -> Option<Reply> {
        if self.failed.is_some() {
            return None;
        }
        let answer = guarded(|| self.heap.collect(&step, &mut self.events));
        self.heard.hear(&mut self.events);
        let failure = match answer {
            Ok(Reply::Unsupported) => Failure::Garbled("it does not know the operation".to_owned()),
            Ok(Reply::Trap(why)) => Failure::Crashed(why),
            Ok(reply) => return Some(reply),
            Err(failure) => failure,
        };
        self.failed = Some(Note::Failed(Op::Collect(step), failure));
        None
    }

    /// What there is after a full collection, if the heap can say.
    fn count(&mut self) -> Option<Books> {
        let claims = self.heap.claims();
        if !claims.has(Capability::Collect) || !claims.has(Capability::Stats) {
            return None;
        }
        self.step(Collect::Full)?;
        match self.step(Collect::Stats)? {
            Reply::Stats { objects, bytes } => Some(Books { objects, bytes }),
            _ => None,
        }
    }
}

/// What is left when all is quiet. All threads have ended, so a mutator that does nothing here is parked: the collector
/// need not wait for it.
fn close<S: SharedHeap>(mut collector: Collector<'_, S>, mut mutators: Vec<Thread<'_, S>>) -> Account {
    let threads = mutators.iter_mut().map(|mutator| std::mem::take(&mut mutator.notes)).collect();
    // What was lost is gone after that, and the walk comes upon the place where it was.
    if collector.heap.claims().has(Capability::Collect) {
        collector.step(Collect::Full);
        if let Some(mutator) = mutators.first_mut().filter(|_| collector.heap.claims().has(Capability::Finalizers)) {
            mutator.act(Action::Unpark);
            mutator.drain();
            mutator.act(Action::Park);
        }
    }
    let mut reachable = BTreeSet::new();
    for (number, mutator) in mutators.iter_mut().enumerate() {
        mutator.act(Action::Unpark);
        mutator.walk(&mut reachable, number == 0);
        mutator.act(Action::Park);
    }
    let counted = collector.count();
    let again = counted.and_then(|_| collector.count());
    for mutator in &mut mutators {
        mutator.act(Action::Unpark);
        for root in (0..USED).map(Root) {
            mutator.act(Action::Clear(root));
        }
        for number in 0..GLOBALS {
            mutator.store(Place::Global(number), None);
        }
        mutator.act(Action::Park);
    }
    let left = collector.count();
    let mut heard = std::mem::take(&mut collector.heard);
    for mutator in &mut mutators {
        heard.add(std::mem::take(&mut mutator.heard));
    }
    let walked = mutators.iter_mut().flat_map(|mutator| std::mem::take(&mut mutator.notes));
    let walk = walked.chain(collector.failed.take()).collect();
    Account { claims: collector.heap.claims(), threads, walk, reachable, counted, again, left, heard }
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

#[cfg(test)]
mod tests;
