//! A reading: the history, read once against the reference.
//!
//! The history says what a heap answered and reported; the [`Graph`] says what the program meant. Put side by side they
//! give the facts that laws are about: who was born where and freed when, what was reachable after each operation, which
//! colour everything had, where each cycle began and ended. Every law reads these facts; none computes them again.
//!
//! Objects are told by the address at which they were born: an address belongs to the last object born there, until it
//! is freed.

use crate::{
    drive::step::EVERYTHING,
    history::{History, Moment},
    ledger::handed_out,
};
use heaplaw_reference::{
    color::{self, Color, Coloring, Offence},
    cycle,
    event::{Cause, Event, Phase},
    gauge::Gauge,
    graph::{Effect, Graph},
    heap::{BornAs, Capability, Claims, Invariant, Reply},
    object::{Address, Content, ObjectId, ObjectSet, Shape, WORD},
    op::{Action, Collect, Environment, Gogc, MUTATORS, MutatorId, Op, Place, Run},
};
use std::collections::HashMap;

/// The state of the world after one moment of the history.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the operation meant.
    pub effect: Effect,
    /// What a read had to find.
    pub expected: Option<Content>,
    /// The collector's phase, as far as it is reported.
    pub phase: Phase,
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
    /// The moments after which it was not [reachable](Graph::reachable) any more, reachable again, and so on.
    pub unreachable: Vec<usize>,
    /// The moments after which it was not [kept](Graph::kept) any more, kept again, and so on. What is garbage stays
    /// garbage, unless a weak pointer still finds it.
    pub garbage: Vec<usize>,
    /// The moment it was freed.
    pub freed: Option<usize>,
    /// Whether it became garbage on a cycle of references, or behind one: something that was garbage then still refers to
    /// it, and to that, without end.
    pub ring: bool,
}

impl Life {
    /// Whether a mutator can reach the object after the given moment.
    pub fn reachable(&self, moment: usize) -> bool {
        self.born <= moment && !turned(&self.unreachable, moment)
    }

    /// Whether anything keeps the object after the given moment.
    pub fn kept(&self, moment: usize) -> bool {
        self.born <= moment && !turned(&self.garbage, moment)
    }

    /// Whether nothing keeps the object at any time from the first of these moments to the second. What was let go of by
    /// the operation of the first was kept before it.
    pub fn dead(&self, from: usize, to: usize) -> bool {
        turned(&self.garbage, from) && !self.garbage.iter().any(|turn| (from..=to).contains(turn))
    }

    /// Whether the object exists after the given moment.
    pub fn spans(&self, moment: usize) -> bool {
        self.born <= moment && self.freed.is_none_or(|freed| freed > moment)
    }
}

/// Whether something is the other way round after a moment, if it has turned at these moments, which rise.
fn turned(turns: &[usize], moment: usize) -> bool {
    turns.iter().take_while(|turn| **turn <= moment).count() % 2 == 1
}

/// One collection cycle.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// Why it was started, if the heap says so.
    pub cause: Option<Cause>,
    /// The moment marking began.
    pub start: usize,
    /// The moment marking ended.
    pub marked: Option<usize>,
    /// The moment the sweep ended.
    pub swept: Option<usize>,
    /// What was allocated and garbage after the operation in which marking began. What was so before it as well is
    /// [dead](Life::dead) from there on.
    pub garbage: ObjectSet,
    /// What was white when marking ended (if colours are reported).
    pub white: ObjectSet,
    /// What was white and reachable when marking ended (if colours are reported): lost.
    pub lost: Vec<ObjectId>,
    /// What was still grey when marking ended (if colours are reported).
    pub waiting: Vec<Waiting>,
}

/// An answer to `gc pace`, and what was in force then.
#[derive(Clone, Debug)]
pub struct Report {
    /// When.
    pub moment: usize,
    /// The answer.
    pub gauge: Gauge,
    /// The collector's phase, as far as it is reported.
    pub phase: Phase,
    /// How much the heap may grow.
    pub gogc: Gogc,
    /// The memory limit in bytes.
    pub limit: Option<u64>,
    /// When one of these two was last changed.
    pub changed: Option<usize>,
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

/// Something that a barrier is there for: a pointer to a white object was overwritten, stored, or handed over while
/// marking.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    /// When.
    pub moment: usize,
    /// The white object.
    pub object: ObjectId,
    /// What was done to its pointer.
    pub deed: Deed,
    /// Whether the object was shaded in the course of the operation.
    pub paid: bool,
}

/// What an operation does to a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A store into a field puts another pointer over it.
    Replaced,
    /// A store into a field puts nil over it.
    Erased,
    /// A store into a global overwrites it.
    LostByGlobal,
    /// A move or a wipe overwrites it.
    LostInBulk,
    /// It is put where it was not before, by a store or a move.
    Stored,
    /// A mutator whose stack was not scanned hands it to one whose stack was.
    HandedOver,
}

/// Mutators were kept from running.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// When.
    pub moment: usize,
    /// Who; `None` for all.
    pub who: Option<MutatorId>,
    /// For how many units of work.
    pub units: u64,
    /// How many roots of his held something before or after the operation.
    pub roots: u64,
    /// How many mutators there were, before or after the operation.
    pub mutators: u64,
    /// How many words were allocated in the operation, if it was his.
    pub words: u64,
}

/// A stack was scanned.
#[derive(Clone, Copy, Debug)]
pub struct StackScan {
    /// When.
    pub moment: usize,
    /// Whose.
    pub mutator: MutatorId,
    /// Whether it had been scanned before in the same cycle.
    pub again: bool,
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
    /// What barriers are there for, of a heap that claims [`Capability::Barrier`].
    pub owed: Vec<Owed>,
    /// Scans of stacks, in order.
    pub stack_scans: Vec<StackScan>,
    /// Pauses, in order, but for those of full collections: whoever asks for one wants to wait.
    pub pauses: Vec<Pause>,
    /// Moments at which marking had nothing left to do: every handshake had been given since a mutator last acted, and a
    /// step of marking was asked for more than there was. And an object that was grey then.
    pub dry: Vec<(usize, Option<ObjectId>)>,
    /// Objects freed more than once, or events about addresses where nothing lives.
    pub strays: Vec<(usize, Event)>,
    /// Other events that cannot be: the stack of nobody was scanned, or an object was found dead outside of any cycle,
    /// or has no finalizer that it could be kept for.
    pub misfits: Vec<(usize, Event)>,
    /// How much time had passed after each moment at which some did, in milliseconds.
    pub clock: Vec<(usize, u64)>,
    /// How much the heap may grow from these moments on.
    pub gogc: Vec<(usize, Gogc)>,
    /// What the heap says of its pacing, in order.
    pub reports: Vec<Report>,
    /// What the heap freed by itself, in order.
    pub frees: Vec<(usize, ObjectId)>,
    /// Finalizers that came to be due, in order.
    pub finalized: Vec<(usize, ObjectId)>,
    /// Finalizers that ran: when, of which object, and what it led to that had been freed.
    pub estates: Vec<(usize, ObjectId, Option<ObjectId>)>,
    /// When nil was handed out although an object had been found dead by a full collection, and its finalizer or cleanup
    /// was due.
    pub overdue: Vec<(usize, ObjectId)>,
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

    /// Whether a mutator can reach an object after a moment.
    pub fn reachable(&self, id: ObjectId, moment: usize) -> bool {
        self.life(id).is_some_and(|life| life.reachable(moment))
    }

    /// How much the heap may grow after a moment.
    pub fn gogc(&self, moment: usize) -> Gogc {
        let changes = self.gogc.partition_point(|(at, _)| *at <= moment);
        changes.checked_sub(1).map_or(Gogc::Percent(100), |last| self.gogc[last].1)
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

/// Objects that are not garbage.
#[derive(Clone, Debug, Default)]
struct Alive {
    /// What mutators can reach.
    reachable: ObjectSet,
    /// And what something else keeps; `None` if nothing does.
    kept: Option<ObjectSet>,
}

impl Alive {
    fn of(graph: &Graph) -> Alive {
        Alive { reachable: graph.reachable(), kept: graph.has_specials().then(|| graph.kept()) }
    }

    fn kept(&self) -> &ObjectSet {
        self.kept.as_ref().unwrap_or(&self.reachable)
    }
}

/// The pointers that an operation is about to overwrite.
struct Target {
    /// The object, or the number of a global.
    holder: Result<ObjectId, u8>,
    /// Which fields of the object.
    at: u32,
    count: u32,
    /// What they hold.
    old: Vec<(u32, ObjectId)>,
}

impl Target {
    /// What an operation overwrites, if it overwrites anything but a root.
    fn of(graph: &Graph, op: &Op) -> Option<Target> {
        let Op::Mutate { by, action } = op else { return None };
        let run = |root, at, count| Some(Target { holder: Ok(graph.root(*by, root)?), at, count, old: Vec::new() });
        let target = match *action {
            Action::Store { into: Place::Global(number), .. } => {
                Some(Target { holder: Err(number), at: 0, count: 1, old: Vec::new() })
            }
            Action::Store { into: Place::Field { of, index }, .. } => run(of, index, 1),
            Action::Move { into: Run { of, at, count }, .. } | Action::Wipe(Run { of, at, count }) => {
                run(of, at, count)
            }
            _ => None,
        }?;
        Some(Target { old: target.held(graph), ..target })
    }

    /// What is there now.
    fn held(&self, graph: &Graph) -> Vec<(u32, ObjectId)> {
        match self.holder {
            Ok(object) => {
                let object = graph.object(object);
                object.map(|object| object.fields.range(self.at, self.count).collect()).unwrap_or_default()
            }
            Err(number) => graph.globals()[usize::from(number)].map(|held| (0, held)).into_iter().collect(),
        }
    }
}

/// The reader: the world as it is so far, and what was noted.
struct Reader<'h> {
    claims: &'h Claims,
    graph: Graph,
    /// Before the operation that is read, and after it. A heap may work for its mutators before or after it sets a root,
    /// so inside of an operation an object may count as either.
    before: Alive,
    after: Alive,
    colors: Coloring,
    phase: Phase,
    owners: HashMap<Address, ObjectId>,
    /// Whether the barrier is looked at.
    audits: bool,
    /// The mutators whose stack was scanned in this cycle, and those that were there at any time in it.
    scanned: [bool; MUTATORS as usize],
    present: [bool; MUTATORS as usize],
    /// Whether pauses are looked at; and how many roots each mutator held before this operation, if it was there.
    times: bool,
    held: [Option<u64>; MUTATORS as usize],
    /// The mutators that were given a handshake since one last acted.
    greeted: [bool; MUTATORS as usize],
    /// The objects that wait for their finalizer, as far as it is reported; and the one whose finalizer runs now.
    waiting: ObjectSet,
    finalized: Option<ObjectId>,
    /// The objects whose finalizer is due since some full collection.
    due: ObjectSet,
    /// The cleanups that are due since some full collection: whose, and the argument.
    due_cleanups: Vec<(ObjectId, ObjectId)>,
    /// Why the next cycle starts, as far as it is reported.
    cause: Option<Cause>,
    /// The memory limit, and when it or GOGC was last changed.
    limit: Option<u64>,
    changed: Option<usize>,
    reading: Reading<'h>,
}

impl<'h> Reader<'h> {
    fn new(history: &'h History) -> Self {
        Reader {
            claims: &history.claims,
            graph: Graph::new(),
            before: Alive::default(),
            after: Alive::default(),
            colors: Coloring::new(),
            phase: Phase::Off,
            owners: HashMap::new(),
            audits: history.claims.invariant.is_some()
                && [Capability::Barrier, Capability::Phases, Capability::Colors]
                    .into_iter()
                    .all(|capability| history.claims.has(capability)),
            scanned: [false; MUTATORS as usize],
            present: [false; MUTATORS as usize],
            times: history.claims.has(Capability::Pauses),
            held: [None; MUTATORS as usize],
            greeted: [false; MUTATORS as usize],
            waiting: ObjectSet::new(),
            finalized: None,
            due: ObjectSet::new(),
            due_cleanups: Vec::new(),
            cause: None,
            limit: None,
            changed: None,
            reading: Reading {
                history,
                scenes: Vec::with_capacity(history.moments.len()),
                lives: Vec::new(),
                cycles: Vec::new(),
                recolorings: Vec::new(),
                phases: Vec::new(),
                invariant: Vec::new(),
                owed: Vec::new(),
                stack_scans: Vec::new(),
                pauses: Vec::new(),
                dry: Vec::new(),
                strays: Vec::new(),
                misfits: Vec::new(),
                clock: Vec::new(),
                gogc: Vec::new(),
                reports: Vec::new(),
                frees: Vec::new(),
                finalized: Vec::new(),
                estates: Vec::new(),
                overdue: Vec::new(),
            },
        }
    }

    fn read(&mut self, at: usize, moment: &Moment) {
        if self.times {
            self.held = self.holding();
        }
        // A pointer that is overwritten owes nothing to a cycle that begins or ends meanwhile.
        let marking = self.audits
            && self.phase == Phase::Mark
            && !moment.events.iter().any(|event| matches!(event, Event::Phase(_)));
        let target = if marking { Target::of(&self.graph, &moment.op) } else { None };
        let effect = self.perform(at, moment);
        let owing = self.reading.owed.len();
        if marking {
            self.note_owed(at, moment, target);
        }
        self.finalized = match effect {
            Effect::Finalize(ran) => ran.map(|(id, _)| id),
            _ => None,
        };
        let expected = match effect {
            Effect::Read(id) => self.graph.object(id).map(|object| object.content()),
            _ => None,
        };
        match (effect, &moment.reply) {
            (Effect::Born(id), Reply::Born { at: address, usable, found, color }) => {
                let place = self.place_of_birth(moment, *address, *color);
                for event in &moment.events[..place] {
                    self.hear(at, *event);
                }
                self.birth(at, id, *address, *usable, *found);
                for event in &moment.events[place..] {
                    self.hear(at, *event);
                }
                if !moment.events[place..].contains(&Event::Phase(Phase::Mark)) {
                    self.color_of_birth(id, *color);
                }
            }
            (effect, _) => {
                match effect {
                    // Not an answer to an allocation; the birth number is used up.
                    Effect::Born(_) => self.reading.lives.push(None),
                    Effect::Freed(id) => self.free(at, id),
                    _ => {}
                }
                for event in &moment.events {
                    self.hear(at, *event);
                }
            }
        }
        for owed in &mut self.reading.owed[owing..] {
            owed.paid = self.colors.object(owed.object) != Some(Color::White);
        }
        self.note_dues(at, moment, effect);
        self.note_dry(at, moment);
        if let Reply::Pace(gauge) = &moment.reply {
            let gogc = self.reading.gogc(at);
            let Reader { phase, limit, changed, .. } = *self;
            self.reading.reports.push(Report { moment: at, gauge: **gauge, phase, gogc, limit, changed });
        }
        self.check_invariant(at);
        self.reading.scenes.push(Scene { effect, expected, phase: self.phase });
    }

    /// What the operation does to the graph.
    fn perform(&mut self, at: usize, moment: &Moment) -> Effect {
        if moment.reply == Reply::OutOfMemory {
            self.graph.refuse(&moment.op);
            self.reading.lives.push(None);
            return Effect::Quiet;
        }
        let came = handed_out(&moment.op, &moment.reply, |address| self.owners.get(&address).copied());
        let effect = self.graph.apply_with(&moment.op, came);
        if let Op::Mutate { by, action } = &moment.op {
            if *action == Action::Join {
                // An empty stack has nothing to be scanned.
                self.colors.set_stack(*by, Color::Black);
                self.scanned[usize::from(by.0)] = false;
                self.present[usize::from(by.0)] = true;
            }
            let looks_only = matches!(
                action,
                Action::Read(_) | Action::Write(_) | Action::Safepoint | Action::Park | Action::Unpark
            );
            let now = if looks_only { None } else { Some(Alive::of(&self.graph)) };
            self.before = std::mem::take(&mut self.after);
            self.after = now.unwrap_or_else(|| self.before.clone());
            self.note_turns(at);
        } else {
            self.before.clone_from(&self.after);
            match moment.op {
                Op::Environment(Environment::Clock(milliseconds)) => {
                    let before = self.reading.clock.last().map_or(0, |(_, time)| *time);
                    self.reading.clock.push((at, before.saturating_add(u64::from(milliseconds))));
                }
                Op::Environment(Environment::Gogc(gogc)) => {
                    self.reading.gogc.push((at, gogc));
                    self.changed = Some(at);
                }
                Op::Environment(Environment::Limit(limit)) => {
                    self.limit = limit.map(u64::from);
                    self.changed = Some(at);
                }
                _ => {}
            }
        }
        effect
    }

    /// Notes what is white and has been overwritten, stored or handed over by an operation that was just performed.
    fn note_owed(&mut self, at: usize, moment: &Moment, target: Option<Target>) {
        let colors = &self.colors;
        let owed = &mut self.reading.owed;
        let mut note = |object, deed| {
            if colors.object(object) == Some(Color::White) {
                owed.push(Owed { moment: at, object, deed, paid: false });
            }
        };
        let Op::Mutate { by, action } = moment.op else { return };
        if let Some(target) = target {
            let new = target.held(&self.graph);
            for (_, object) in &target.old {
                if !new.iter().any(|(_, held)| held == object) {
                    note(
                        *object,
                        match (action, target.holder) {
                            (Action::Store { .. }, Err(_)) => Deed::LostByGlobal,
                            (Action::Store { .. }, Ok(_)) if new.is_empty() => Deed::Erased,
                            (Action::Store { .. }, Ok(_)) => Deed::Replaced,
                            _ => Deed::LostInBulk,
                        },
                    );
                }
            }
            for (_, object) in &new {
                if !target.old.iter().any(|(_, held)| held == object) {
                    note(*object, Deed::Stored);
                }
            }
        } else if let Action::Send { to, into, .. } = action
            && (colors.stack(by), colors.stack(to)) == (Color::Grey, Color::Black)
            && let Some(object) = self.graph.root(to, into)
        {
            note(object, Deed::HandedOver);
        }
    }

    /// Notes who has become garbage in this operation, or has come back.
    fn note_turns(&mut self, at: usize) {
        let lives = &mut self.reading.lives;
        let mut note = |before: &ObjectSet, after: &ObjectSet, turns: fn(&mut Life) -> &mut Vec<usize>| {
            let gone = before.iter().filter(|id| !after.contains(*id));
            let back = after.iter().filter(|id| !before.contains(*id));
            for id in gone.chain(back) {
                // Not of what is born in this operation, and has no life yet.
                if let Some(Some(life)) = lives.get_mut(id.index()) {
                    turns(life).push(at);
                }
            }
        };
        note(&self.before.reachable, &self.after.reachable, |life| &mut life.unreachable);
        note(self.before.kept(), self.after.kept(), |life| &mut life.garbage);
        self.note_rings();
    }

    /// Notes what became garbage on a cycle of references or behind one: take away what nothing else of it refers to, again
    /// and again, and it is what is left.
    fn note_rings(&mut self) {
        let dead = self.before.kept().iter().filter(|id| !self.after.kept().contains(*id));
        let mut referrers: HashMap<ObjectId, u32> = dead.map(|id| (id, 0)).collect();
        let fields = |graph: &Graph, id| -> Vec<ObjectId> {
            graph.object(id).map(|object| object.fields.iter().map(|(_, to)| to).collect()).unwrap_or_default()
        };
        for id in referrers.keys().copied().collect::<Vec<_>>() {
            for to in fields(&self.graph, id) {
                referrers.entry(to).and_modify(|count| *count += 1);
            }
        }
        let mut free: Vec<ObjectId> = referrers.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        while let Some(id) = free.pop() {
            referrers.remove(&id);
            for to in fields(&self.graph, id) {
                if let Some(count) = referrers.get_mut(&to) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(to);
                    }
                }
            }
        }
        for id in referrers.keys() {
            if let Some(Some(life)) = self.reading.lives.get_mut(id.index()) {
                life.ring = true;
            }
        }
    }

    /// How many roots each mutator holds.
    fn holding(&self) -> [Option<u64>; MUTATORS as usize] {
        let mut holding = [None; MUTATORS as usize];
        for (mutator, stack) in self.graph.stacks() {
            holding[usize::from(mutator.0)] = Some(stack.roots.iter().flatten().count() as u64);
        }
        holding
    }

    fn note_pause(&mut self, at: usize, who: Option<MutatorId>, units: u64) {
        let op = &self.reading.history.moments[at].op;
        if *op == Op::Collect(Collect::Full) {
            return;
        }
        let now = self.holding();
        let both = self.held.iter().zip(&now);
        let mutators = both.filter(|(before, after)| before.is_some() || after.is_some()).count() as u64;
        let roots = match who {
            None => 0,
            Some(who) => match (self.held.get(usize::from(who.0)), now.get(usize::from(who.0))) {
                (Some(before), Some(after)) if before.is_some() || after.is_some() => {
                    (*before).max(*after).unwrap_or(0)
                }
                _ => return self.reading.misfits.push((at, Event::Pause { who: Some(who), units })),
            },
        };
        let words = match op {
            Op::Mutate { by, action: Action::Alloc { shape, .. } } if Some(*by) == who => shape.size().div_ceil(WORD),
            _ => 0,
        };
        self.reading.pauses.push(Pause { moment: at, who, units, roots, mutators, words });
    }

    /// Notes whether marking has nothing left to do, and what is grey all the same.
    fn note_dry(&mut self, at: usize, moment: &Moment) {
        match moment.op {
            Op::Collect(Collect::Handshake(mutator)) => {
                if let Some(greeted) = self.greeted.get_mut(usize::from(mutator.0)) {
                    *greeted = true;
                }
            }
            Op::Collect(Collect::Mark(steps)) => {
                let greeted = self.graph.stacks().all(|(mutator, _)| self.greeted[usize::from(mutator.0)]);
                let dry = moment.reply == Reply::Idle || steps >= EVERYTHING;
                if greeted && dry && self.phase == Phase::Mark && self.claims.has(Capability::Colors) {
                    let grey = |waiting| if let Waiting::Object(id) = waiting { Some(id) } else { None };
                    let left = self.waiting().into_iter().find_map(grey);
                    self.reading.dry.push((at, left));
                }
            }
            Op::Collect(Collect::Start | Collect::Full) | Op::Mutate { .. } | Op::Environment(_) => {
                self.greeted = [false; MUTATORS as usize];
            }
            Op::Collect(_) => {}
        }
    }

    /// Notes which finalizers and cleanups are due, and which have run.
    fn note_dues(&mut self, at: usize, moment: &Moment, effect: Effect) {
        match effect {
            Effect::Finalize(Some((id, _))) => {
                self.due.remove(id);
                self.waiting.remove(id);
                let freed = |id: &ObjectId| self.reading.life(*id).is_some_and(|life| life.freed.is_some());
                let missing = self.graph.from(id).iter().find(freed);
                self.reading.estates.push((at, id, missing));
            }
            Effect::Finalize(None) => {
                self.reading.overdue.extend(self.due.iter().next().map(|id| (at, id)));
            }
            Effect::Clean(Some(argument)) => {
                if let Some(place) = self.due_cleanups.iter().position(|due| due.1 == argument) {
                    self.due_cleanups.remove(place);
                }
            }
            Effect::Clean(None) => {
                self.reading.overdue.extend(self.due_cleanups.first().map(|due| (at, due.0)));
            }
            _ if moment.op == Op::Collect(Collect::Full)
                && moment.reply == Reply::Done
                && self.graph.has_specials() =>
            {
                self.due = self.graph.doomed();
                let kept = self.after.kept();
                let dead = self.graph.cleanups().iter().filter(|cleanup| !kept.contains(cleanup.0));
                self.due_cleanups = dead.copied().collect();
            }
            _ => {}
        }
    }

    /// The place of a birth among the events of its operation. A heap may collect before it allocates, and free the very
    /// memory that it then hands out; or after, and then mark the newborn. What is said about the address tells which.
    fn place_of_birth(&self, moment: &Moment, address: Address, color: Option<BornAs>) -> usize {
        let events = &moment.events;
        let start = match (self.owners.contains_key(&address), self.claims.tell_frees()) {
            (false, _) | (true, false) => 0,
            // Events are about the former owner until it is freed; if it never is, two objects share the address.
            (true, true) => match events.iter().position(|event| *event == Event::Free(address)) {
                Some(freed) => freed + 1,
                None => return events.len(),
            },
        };
        let is_start = |event: &Event| *event == Event::Phase(Phase::Mark);
        let about = |event: &Event| match event {
            Event::Shade(at) | Event::Scan(at) | Event::Free(at) => *at == address,
            _ => false,
        };
        match events[start..].iter().position(about) {
            // If the operation began a cycle before it says something about the newborn, that was after the birth.
            Some(first) => {
                let first = start + first;
                events[start..first].iter().rposition(is_start).map_or(first, |cycle| start + cycle)
            }
            // Nothing is said. What is born black is born while marking; what is not may have been born before.
            None if color == Some(BornAs::Black) => events.len(),
            None => events[start..].iter().position(is_start).map_or(events.len(), |cycle| start + cycle),
        }
    }

    fn birth(&mut self, at: usize, id: ObjectId, address: Address, usable: u64, found: Content) {
        let shape = self.graph.object(id).map(|object| object.shape).unwrap_or_default();
        let marking = (self.phase == Phase::Mark).then(|| self.reading.cycles.len().saturating_sub(1));
        let life = Life {
            born: at,
            shape,
            address,
            usable,
            found,
            marking,
            unreachable: Vec::new(),
            garbage: Vec::new(),
            freed: None,
            ring: false,
        };
        self.reading.lives.push(Some(life));
        if let Some(former) = self.owners.insert(address, id) {
            // Of a heap that does not report its frees.
            self.colors.set_object(former, None);
        }
        self.colors.set_object(id, Some(Color::White));
    }

    /// The colour in which an operation leaves its newborn: that of its birth, or a darker one if it was marked since.
    fn color_of_birth(&mut self, id: ObjectId, color: Option<BornAs>) {
        let Some(now) = self.colors.object(id) else { return };
        let born = match color {
            Some(BornAs::White) => Color::White,
            Some(BornAs::Grey) => Color::Grey,
            // Outside of marking nobody says, and it does not matter: the next cycle begins with everything white.
            Some(BornAs::Black) | None => Color::Black,
        };
        self.colors.set_object(id, Some(now.max(born)));
    }

    fn hear(&mut self, at: usize, event: Event) {
        match event {
            Event::Phase(phase) => {
                self.reading.phases.push((at, self.phase, phase));
                self.phase = phase;
                match phase {
                    Phase::Mark => self.begin(at),
                    Phase::Sweep => self.end_of_marking(at),
                    Phase::Off => {
                        // Unless marking was aborted.
                        if let Some(cycle) = self.reading.cycles.last_mut().filter(|cycle| cycle.marked.is_some()) {
                            cycle.swept.get_or_insert(at);
                        }
                    }
                    Phase::Terminate => {}
                }
            }
            Event::Start(cause) => self.cause = Some(cause),
            Event::Shade(address) => self.recolor(at, event, address, Color::Grey),
            Event::Scan(address) => self.recolor(at, event, address, Color::Black),
            Event::ScanStack(mutator) => self.scan_stack(at, mutator),
            Event::ScanGlobals => self.colors.set_globals(Color::Black),
            Event::Free(address) => match self.owners.get(&address).copied() {
                Some(id) => {
                    self.free(at, id);
                    self.reading.frees.push((at, id));
                }
                None => self.reading.strays.push((at, event)),
            },
            // It is kept, and not for its colour: nothing else may refer to it.
            Event::Finalize(address) => match self.owners.get(&address) {
                Some(id) => {
                    self.colors.set_object(*id, Some(Color::Black));
                    let has_one = self.graph.finalizers().contains(id) || self.finalized == Some(*id);
                    if !(self.waiting.insert(*id) && has_one && self.phase != Phase::Off) {
                        self.reading.misfits.push((at, event));
                    }
                    self.reading.finalized.push((at, *id));
                }
                None => self.reading.strays.push((at, event)),
            },
            Event::Pause { who, units } => self.note_pause(at, who, units),
            // A kind of event that this kit does not know says nothing to it.
            _ => {}
        }
    }

    fn free(&mut self, at: usize, id: ObjectId) {
        self.colors.set_object(id, None);
        if let Some(life) = &mut self.reading.lives[id.index()] {
            life.freed = Some(at);
            if self.owners.get(&life.address) == Some(&id) {
                self.owners.remove(&life.address);
            }
        }
    }

    fn scan_stack(&mut self, at: usize, mutator: MutatorId) {
        // There is no mutator of this number.
        let Some(scanned) = self.scanned.get_mut(usize::from(mutator.0)) else {
            return self.reading.misfits.push((at, Event::ScanStack(mutator)));
        };
        let again = std::mem::replace(scanned, true);
        self.reading.stack_scans.push(StackScan { moment: at, mutator, again });
        if !self.present[usize::from(mutator.0)] {
            self.reading.misfits.push((at, Event::ScanStack(mutator)));
        }
        self.colors.set_stack(mutator, Color::Black);
    }

    fn begin(&mut self, at: usize) {
        self.colors.bleach();
        self.scanned = [false; MUTATORS as usize];
        // One that leaves in this very operation was there.
        let leaves = |mutator| self.reading.history.moments[at].op == Op::Mutate { by: mutator, action: Action::Exit };
        self.present = std::array::from_fn(|number| {
            let mutator = MutatorId(number as u8);
            self.graph.stack(mutator).is_some() || leaves(mutator)
        });
        let garbage = self.garbage();
        let cycle = Cycle {
            cause: self.cause.take(),
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

    /// What is allocated, and garbage after this operation.
    fn garbage(&self) -> ObjectSet {
        let alive = self.reading.lives().filter(|(_, life)| life.freed.is_none()).map(|(id, _)| id);
        alive.filter(|id| !self.after.kept().contains(*id)).collect()
    }

    fn end_of_marking(&mut self, at: usize) {
        let all = (0..self.reading.lives.len() as u32).map(ObjectId);
        let white: ObjectSet = all.filter(|id| self.colors.object(*id) == Some(Color::White)).collect();
        let (before, after) = (&self.before.reachable, &self.after.reachable);
        let lost = white.iter().filter(|id| before.contains(*id) && after.contains(*id)).collect();
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
            Some((object, mut from)) => {
                // What was found dead while marking, and counts as black, may be marked for its own sake.
                if self.waiting.contains(object) && from == Color::Black {
                    from = Color::White;
                }
                self.reading.recolorings.push(Recoloring { moment: at, object, from, to });
                self.colors.set_object(object, Some(from.max(to)));
            }
            None => self.reading.strays.push((at, event)),
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
