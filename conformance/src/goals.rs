//! Goals: what a campaign must have exercised for its "holds" to mean something.
//!
//! A law that holds over a million checks says little if no mutator ever stored anything while the collector was marking.
//! A [`Goal`] is a situation that such mistakes need, as data: a name, what a heap has to claim for it, and a predicate on
//! one operation. Most are cells of a table that a write barrier's branches draw: what was overwritten, what was stored
//! and where to, by colour, while marking. The others are races with the phases of a cycle, mutators that come and go,
//! memory that is used again, and sizes at which allocators change their mind.
//!
//! [`Coverage`] follows a [`Reading`] once, operation by operation, and counts the operations that met each goal. A goal
//! that a heap's claims leave out of sight is not applicable, like a law.

mod all;

pub use self::all::ALL;
use crate::{history::Moment, ledger::Ledger, reading::Reading};
use heaplaw_reference::{
    color::{Color, Coloring},
    cycle,
    event::{Event, Phase},
    graph::{Effect, Graph},
    heap::{BornAs, Capability, Claims, Reply},
    object::{ObjectId, ObjectSet, Shape},
    op::{Action, Collect, MUTATORS, MutatorId, Op, Place},
};
use std::sync::LazyLock;

/// A situation that a campaign should have met.
#[derive(Clone, Copy)]
pub struct Goal {
    /// What it is called in reports for programs; never changes.
    pub id: &'static str,
    /// What it is, as a fragment of a sentence.
    pub name: &'static str,
    /// What a heap has to claim for the goal to be reached, and to be seen to be.
    pub needs: &'static [Capability],
    on: Deed,
    met: fn(&Sight<'_>) -> bool,
}

/// The kind of operation that can meet a goal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Store,
    Load,
    Send,
    Wipe,
    Move,
    Birth,
    Join,
    Exit,
    Strong,
    Start,
    Finish,
    Full,
    /// Some other operation; of a goal: any operation at all.
    Any,
}

impl Deed {
    fn of(op: &Op, reply: &Reply) -> Deed {
        match op {
            Op::Collect(Collect::Start) => Deed::Start,
            Op::Collect(Collect::Finish) => Deed::Finish,
            Op::Collect(Collect::Full) => Deed::Full,
            Op::Collect(_) | Op::Environment(_) => Deed::Any,
            Op::Mutate { action, .. } => match action {
                Action::Alloc { .. } if matches!(reply, Reply::Born { .. }) => Deed::Birth,
                Action::Load { .. } => Deed::Load,
                Action::Store { .. } => Deed::Store,
                Action::Send { .. } => Deed::Send,
                Action::Wipe(_) => Deed::Wipe,
                Action::Move { .. } => Deed::Move,
                Action::Join => Deed::Join,
                Action::Strong { .. } => Deed::Strong,
                Action::Exit => Deed::Exit,
                _ => Deed::Any,
            },
        }
    }
}

impl Goal {
    /// What a heap would have to claim for this goal to apply; empty if it applies.
    pub fn missing(&self, claims: &Claims) -> Vec<&'static str> {
        let missing = self.needs.iter().filter(|capability| !claims.has(**capability));
        missing.map(|capability| capability.name()).collect()
    }
}

impl std::fmt::Debug for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "goal {}", self.id)
    }
}

/// One operation, and what goals want to know of the world around it.
struct Sight<'r> {
    op: &'r Op,
    reply: &'r Reply,
    /// The phase before the operation, and after it.
    before: Phase,
    after: Phase,
    /// The colour, before the operation, of what a store overwrites, or a bulk operation if any of it is white; nil
    /// has none.
    old: Option<Color>,
    /// The colour of the pointer that is stored, loaded or handed over, or of what a weak pointer refers to.
    new: Option<Color>,
    /// The colour of the object (or the globals) that is stored into or loaded from.
    holder: Option<Color>,
    /// The colour of the acting mutator's stack.
    stack: Option<Color>,
    /// The shape of what is born.
    shape: Option<Shape>,
    /// Whether what is born has the address of an object before it.
    reused: bool,
    /// Whether the stack of a parked mutator was scanned.
    parked: bool,
    /// Whether something was stored in this marking since a stack was scanned last.
    racing: bool,
    /// Whether a second mutator stores in this marking.
    together: bool,
    /// Whether an object that refers to itself was freed.
    loop_freed: bool,
    /// Whether an object was scanned that only a long path leads to.
    deep: bool,
    /// How many cycles have begun before.
    cycles: usize,
    /// Whether a mutator was stopped, and there were many objects.
    paused: bool,
    crowded: bool,
    /// Whether something was freed that died on a circle of references, or behind one.
    circle_freed: bool,
}

impl Sight<'_> {
    fn marking(&self) -> bool {
        cycle::barrier_on(self.before)
    }
}

/// How often each goal was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: [u64; ALL.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { counts: [0; ALL.len()] }
    }
}

impl Coverage {
    /// Counts the operations of a reading too.
    pub fn add(&mut self, reading: &Reading<'_>) {
        // The goals that each kind of operation can meet.
        static CONCERNED: LazyLock<[Vec<usize>; Deed::Any as usize + 1]> = LazyLock::new(|| {
            let concerns = |goal: &usize, deed| [deed, Deed::Any as usize].contains(&(ALL[*goal].on as usize));
            std::array::from_fn(|deed| (0..ALL.len()).filter(|goal| concerns(goal, deed)).collect())
        });
        let concerned = &*CONCERNED;
        let mut walk = Walk::new(reading);
        for (at, moment) in reading.history.moments.iter().enumerate() {
            let sight = walk.step(at, moment);
            for goal in &concerned[Deed::of(&moment.op, &moment.reply) as usize] {
                self.counts[*goal] += u64::from((ALL[*goal].met)(&sight));
            }
        }
    }

    /// Counts so many operations more that met the goal of this [`id`](Goal::id), if there is one.
    pub fn add_count(&mut self, id: &str, count: u64) {
        if let Some(at) = ALL.iter().position(|goal| goal.id == id) {
            self.counts[at] = self.counts[at].saturating_add(count);
        }
    }

    /// Each goal with the number of operations that met it.
    pub fn counts(&self) -> impl Iterator<Item = (&'static Goal, u64)> {
        ALL.iter().zip(self.counts)
    }

    /// The goals that apply to a heap with these claims and were not met.
    pub fn unreached(&self, claims: &Claims) -> Vec<&'static Goal> {
        let missed = self.counts().filter(|(goal, count)| *count == 0 && goal.missing(claims).is_empty());
        missed.map(|(goal, _)| goal).collect()
    }
}

/// Follows a reading: the world before the next operation.
struct Walk<'r> {
    reading: &'r Reading<'r>,
    ledger: Ledger,
    colors: Coloring,
    phase: Phase,
    /// How many changes of colour, and frees, have been followed.
    recolored: usize,
    freed: usize,
    /// Whether something was stored since a stack was scanned, and by which mutators in this marking.
    racing: bool,
    storers: u8,
    cycles: usize,
    /// The objects that were far from any root when something was scanned last.
    far: ObjectSet,
}

/// How many fields away from its root an object is far.
const FAR: u32 = 100;

/// The objects that are reachable only over more than [`FAR`] fields.
fn far(graph: &Graph) -> ObjectSet {
    let roots = graph.stacks().flat_map(|(_, stack)| stack.roots).chain(*graph.globals()).flatten();
    let mut found = ObjectSet::new();
    let mut level: Vec<ObjectId> = roots.filter(|id| found.insert(*id)).collect();
    for _ in 0..FAR {
        let fields = level.iter().filter_map(|id| graph.object(*id)).flat_map(|object| object.fields.iter());
        level = fields.map(|(_, to)| to).filter(|to| found.insert(*to)).collect();
    }
    graph.reachable().iter().filter(|id| !found.contains(*id)).collect()
}

impl<'r> Walk<'r> {
    fn new(reading: &'r Reading<'r>) -> Self {
        Walk {
            reading,
            ledger: Ledger::default(),
            colors: Coloring::new(),
            phase: Phase::Off,
            recolored: 0,
            freed: 0,
            racing: false,
            storers: 0,
            cycles: 0,
            far: ObjectSet::new(),
        }
    }

    fn graph(&self) -> &Graph {
        self.ledger.graph()
    }

    /// Takes the next operation.
    fn step(&mut self, at: usize, moment: &'r Moment) -> Sight<'r> {
        let mut sight = Sight {
            op: &moment.op,
            reply: &moment.reply,
            before: self.phase,
            after: self.phase,
            old: None,
            new: None,
            holder: None,
            stack: None,
            shape: None,
            reused: false,
            parked: false,
            racing: false,
            together: false,
            loop_freed: false,
            deep: false,
            cycles: self.cycles,
            paused: false,
            crowded: false,
            circle_freed: false,
        };
        if let Op::Mutate { by, action } = &moment.op {
            self.look(*by, action, &mut sight);
        }
        if self.graph().births() > FAR && moment.events.iter().any(|event| matches!(event, Event::Scan(_))) {
            self.far = far(self.graph());
        }
        let effect = self.ledger.enter(&moment.op, &moment.reply);
        if let (Effect::Born(id), Reply::Born { at: address, .. }) = (effect, &moment.reply) {
            self.colors.set_object(id, Some(Color::White));
            sight.shape = self.graph().object(id).map(|object| object.shape);
            let older = &self.reading.lives[..id.index()];
            sight.reused = older.iter().flatten().any(|life| life.address == *address);
        }
        sight.racing = self.racing;
        for event in &moment.events {
            self.hear(at, *event, &mut sight);
        }
        if let (Effect::Born(id), Reply::Born { color: Some(color), .. }) = (effect, &moment.reply) {
            let born = match color {
                BornAs::White => Color::White,
                BornAs::Grey => Color::Grey,
                BornAs::Black => Color::Black,
            };
            self.colors.set_object(id, self.colors.object(id).max(Some(born)));
        }
        sight.after = self.phase;
        sight
    }

    /// What a mutator is about to meet.
    fn look(&mut self, by: MutatorId, action: &Action, sight: &mut Sight<'r>) {
        if *action == Action::Join {
            // An empty stack has nothing to be scanned.
            self.colors.set_stack(by, Color::Black);
            return;
        }
        if let Action::Strong { from, .. } = action {
            let weak = self.graph().weaks()[usize::from(from.0)];
            sight.new = weak.and_then(|weak| self.colors.object(weak.target));
        }
        if !cycle::barrier_on(self.phase) {
            return;
        }
        let color = |id: Option<ObjectId>| id.and_then(|id| self.colors.object(id));
        let held = |root| self.graph().root(by, root);
        let holder = |place| match place {
            Place::Global(_) => Some(self.colors.globals()),
            Place::Field { of, .. } => color(held(of)),
        };
        // White is what matters of many.
        let lightest = |of, at, count| {
            let object = held(of).and_then(|id| self.graph().object(id));
            object.and_then(|object| object.fields.range(at, count).filter_map(|(_, to)| color(Some(to))).min())
        };
        sight.stack = Some(self.colors.stack(by));
        match *action {
            Action::Load { from, .. } => {
                sight.holder = holder(from);
                sight.new = color(self.graph().place(by, from));
            }
            Action::Store { into, value } => {
                sight.holder = holder(into);
                sight.old = color(self.graph().place(by, into));
                sight.new = color(value.and_then(held));
            }
            Action::Move { into: run, .. } | Action::Wipe(run) => sight.old = lightest(run.of, run.at, run.count),
            Action::Send { value, .. } => sight.new = color(held(value)),
            _ => {}
        }
        if matches!(action, Action::Store { .. } | Action::Move { .. } | Action::Wipe(_)) {
            self.racing = true;
            self.storers |= 1 << by.0;
            sight.together = !self.storers.is_power_of_two();
        }
    }

    fn hear(&mut self, at: usize, event: Event, sight: &mut Sight<'r>) {
        match event {
            Event::Phase(phase) => {
                self.phase = phase;
                if phase == Phase::Mark {
                    self.cycles += 1;
                    self.colors.bleach();
                    self.racing = false;
                    self.storers = 0;
                }
            }
            // The reading has found out whom these are about.
            Event::Shade(address) | Event::Scan(address) => {
                if let Some(change) = self.reading.recolorings.get(self.recolored)
                    && change.moment == at
                    && self.reading.life(change.object).is_some_and(|life| life.address == address)
                {
                    self.recolored += 1;
                    sight.deep |= change.to == Color::Black && self.far.contains(change.object);
                    self.colors.set_object(change.object, self.colors.object(change.object).max(Some(change.to)));
                }
            }
            Event::Free(address) => {
                if let Some((moment, id)) = self.reading.frees.get(self.freed)
                    && *moment == at
                    && self.reading.life(*id).is_some_and(|life| life.address == address)
                {
                    self.freed += 1;
                    self.colors.set_object(*id, None);
                    let object = self.graph().object(*id);
                    sight.circle_freed |= self.reading.life(*id).is_some_and(|life| life.ring);
                    sight.loop_freed |= object.is_some_and(|object| object.fields.iter().any(|(_, to)| to == *id));
                }
            }
            Event::ScanStack(mutator) if mutator.0 < MUTATORS => {
                sight.parked |= self.graph().stack(mutator).is_some_and(|stack| stack.parked);
                self.colors.set_stack(mutator, Color::Black);
                self.racing = false;
                sight.racing = false;
            }
            Event::Pause { .. } => {
                sight.paused = true;
                sight.crowded = self.graph().births() > FAR && self.graph().reachable().iter().count() > FAR as usize;
            }
            Event::ScanGlobals => self.colors.set_globals(Color::Black),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn goals_are_told_apart_by_id_and_by_name() {
        let ids: HashSet<_> = ALL.iter().map(|goal| goal.id).collect();
        let names: HashSet<_> = ALL.iter().map(|goal| goal.name).collect();
        assert_eq!((ids.len(), names.len()), (ALL.len(), ALL.len()));
    }

    #[test]
    fn a_goal_that_is_out_of_sight_is_not_missed() {
        let (blind, seeing) = (Claims::new("blind"), Claims::new("seeing").with(&Capability::ALL));
        assert_eq!(Coverage::default().unreached(&seeing).len(), ALL.len());
        let unreached = Coverage::default().unreached(&blind);
        assert!(unreached.iter().all(|goal| goal.needs.is_empty()) && !unreached.is_empty(), "{unreached:?}");
    }
}
