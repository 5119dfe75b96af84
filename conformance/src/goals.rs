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

use crate::{history::Moment, reading::Reading};
use heaplaw_reference::{
    color::{Color, Coloring},
    cycle,
    event::{Event, Phase},
    graph::{Effect, Graph},
    heap::{BornAs, Capability, Claims, Reply},
    object::{ObjectId, Shape},
    op::{Action, Collect, MutatorId, Op, Place},
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
    /// The colour of the pointer that is stored, loaded or handed over.
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
}

impl Sight<'_> {
    fn marking(&self) -> bool {
        cycle::barrier_on(self.before)
    }

    /// Whether `new` is stored over `old` while marking.
    fn stores(&self, new: fn(Option<Color>) -> bool, old: Option<Color>) -> bool {
        self.marking() && self.old == old && new(self.new)
    }

    /// Whether something white is stored into something black while marking; into a global, or into an object.
    fn hides(&self, global: bool) -> bool {
        let into_global = matches!(self.op, Op::Mutate { action: Action::Store { into: Place::Global(_), .. }, .. });
        self.marking() && into_global == global && self.holder == Some(Color::Black) && white(self.new)
    }

    /// Whether this is a move of fields within an object. Two roots may hold the same one; one that names itself is
    /// enough.
    fn overlaps(&self) -> bool {
        match self.op {
            Op::Mutate { action: Action::Move { into, from, start }, .. } => {
                into.of == *from && into.at != *start && into.at.abs_diff(*start) < into.count
            }
            _ => false,
        }
    }
}

fn nil(color: Option<Color>) -> bool {
    color.is_none()
}

fn white(color: Option<Color>) -> bool {
    color == Some(Color::White)
}

fn marked(color: Option<Color>) -> bool {
    color.is_some_and(|color| color > Color::White)
}

const COLORS: &[Capability] = &[Capability::Steps, Capability::Phases, Capability::Colors];
const PHASES: &[Capability] = &[Capability::Steps, Capability::Phases];
const CROWD: &[Capability] = &[Capability::Mutators, Capability::Steps, Capability::Phases];
const CROWD_COLORS: &[Capability] = &[Capability::Mutators, Capability::Steps, Capability::Phases, Capability::Colors];

/// All goals, in the order in which they are told.
pub const ALL: &[Goal] = &[
    // What a store overwrites, and with what. A marked object over nil concerns no barrier.
    Goal {
        id: "store-white-over-nil",
        name: "a white object is stored over nil",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, None),
    },
    Goal {
        id: "store-nil-over-white",
        name: "nil is stored over a white object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::White)),
    },
    Goal {
        id: "store-white-over-white",
        name: "a white object is stored over a white one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::White)),
    },
    Goal {
        id: "store-marked-over-white",
        name: "a marked object is stored over a white one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::White)),
    },
    Goal {
        id: "store-nil-over-grey",
        name: "nil is stored over a grey object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::Grey)),
    },
    Goal {
        id: "store-white-over-grey",
        name: "a white object is stored over a grey one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::Grey)),
    },
    Goal {
        id: "store-marked-over-grey",
        name: "a marked object is stored over a grey one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::Grey)),
    },
    Goal {
        id: "store-nil-over-black",
        name: "nil is stored over a black object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::Black)),
    },
    Goal {
        id: "store-white-over-black",
        name: "a white object is stored over a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::Black)),
    },
    Goal {
        id: "store-marked-over-black",
        name: "a marked object is stored over a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::Black)),
    },
    // Where a white object can hide.
    Goal {
        id: "white-into-black",
        name: "a white object is stored into a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.hides(false),
    },
    Goal {
        id: "white-into-scanned-global",
        name: "a white object is stored into a global after the globals were scanned",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.hides(true),
    },
    Goal {
        id: "load-from-white",
        name: "a load from a white object",
        needs: COLORS,
        on: Deed::Load,
        met: |sight| sight.marking() && white(sight.holder),
    },
    Goal {
        id: "white-onto-scanned-stack",
        name: "a white object is loaded onto a stack that was scanned",
        needs: COLORS,
        on: Deed::Load,
        met: |sight| sight.marking() && sight.stack == Some(Color::Black) && white(sight.new),
    },
    Goal {
        id: "send-white",
        name: "a white object is handed over",
        needs: CROWD_COLORS,
        on: Deed::Send,
        met: |sight| sight.marking() && white(sight.new),
    },
    // Many fields at once.
    Goal {
        id: "wipe-white",
        name: "fields that hold a white object are wiped",
        needs: COLORS,
        on: Deed::Wipe,
        met: |sight| sight.marking() && white(sight.old),
    },
    Goal {
        id: "move-over-white",
        name: "a move overwrites a white object",
        needs: COLORS,
        on: Deed::Move,
        met: |sight| sight.marking() && white(sight.old),
    },
    // Races with the phases of a cycle.
    Goal {
        id: "alloc-while-marking",
        name: "an allocation while marking",
        needs: PHASES,
        on: Deed::Birth,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "alloc-while-sweeping",
        name: "an allocation while sweeping",
        needs: PHASES,
        on: Deed::Birth,
        met: |sight| sight.before == Phase::Sweep,
    },
    Goal {
        id: "finish-too-early",
        name: "marking is asked to end before it may",
        needs: PHASES,
        on: Deed::Finish,
        met: |sight| sight.before == Phase::Mark && *sight.reply == Reply::Idle,
    },
    Goal {
        id: "finish-after-store",
        name: "marking ends with a store since the last handshake",
        needs: COLORS,
        on: Deed::Any,
        met: |sight| sight.before == Phase::Mark && sight.after != Phase::Mark && sight.racing,
    },
    Goal {
        id: "full-while-marking",
        name: "a full collection while marking",
        needs: &[Capability::Collect, Capability::Steps, Capability::Phases],
        on: Deed::Full,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "start-while-sweeping",
        name: "a cycle starts before the last one was swept",
        needs: PHASES,
        on: Deed::Start,
        met: |sight| sight.before == Phase::Sweep && sight.after == Phase::Mark,
    },
    // Mutators that come and go.
    Goal {
        id: "join-while-marking",
        name: "a mutator joins while marking",
        needs: CROWD,
        on: Deed::Join,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "exit-unscanned",
        name: "a mutator leaves while marking before its stack was scanned",
        needs: CROWD_COLORS,
        on: Deed::Exit,
        met: |sight| sight.marking() && sight.stack == Some(Color::Grey),
    },
    Goal {
        id: "scan-parked",
        name: "the stack of a parked mutator is scanned",
        needs: CROWD_COLORS,
        on: Deed::Any,
        met: |sight| sight.parked,
    },
    Goal {
        id: "two-mutators-store",
        name: "two mutators store in one marking",
        needs: CROWD,
        on: Deed::Any,
        met: |sight| sight.together,
    },
    // Memory.
    Goal {
        id: "reuse",
        name: "an address is used again",
        needs: &[Capability::Collect, Capability::Addresses],
        on: Deed::Birth,
        met: |sight| sight.reused,
    },
    Goal {
        id: "free-loop",
        name: "an object that refers to itself is freed",
        needs: &[Capability::Collect, Capability::Frees],
        on: Deed::Any,
        met: |sight| sight.loop_freed,
    },
    Goal {
        id: "more-than-a-page",
        name: "an object of more than a page",
        needs: &[],
        on: Deed::Birth,
        met: |sight| sight.shape.is_some_and(|shape| shape.size() > 8192),
    },
    Goal {
        id: "many-fields",
        name: "an object of more than 64 pointers",
        needs: &[],
        on: Deed::Birth,
        met: |sight| sight.shape.is_some_and(|shape| shape.pointers > 64),
    },
    Goal {
        id: "move-overlap",
        name: "a move whose two runs overlap",
        needs: &[],
        on: Deed::Move,
        met: |sight| sight.overlaps(),
    },
];

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
    graph: Graph,
    colors: Coloring,
    phase: Phase,
    /// How many changes of colour, and frees, have been followed.
    recolored: usize,
    freed: usize,
    /// Whether something was stored since a stack was scanned, and by which mutators in this marking.
    racing: bool,
    storers: u8,
}

impl<'r> Walk<'r> {
    fn new(reading: &'r Reading<'r>) -> Self {
        Walk {
            reading,
            graph: Graph::new(),
            colors: Coloring::new(),
            phase: Phase::Off,
            recolored: 0,
            freed: 0,
            racing: false,
            storers: 0,
        }
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
        };
        if let Op::Mutate { by, action } = &moment.op {
            self.look(*by, action, &mut sight);
        }
        let effect = match moment.reply {
            Reply::OutOfMemory => {
                self.graph.refuse(&moment.op);
                Effect::Quiet
            }
            _ => self.graph.apply(&moment.op),
        };
        if let (Effect::Born(id), Reply::Born { at: address, .. }) = (effect, &moment.reply) {
            self.colors.set_object(id, Some(Color::White));
            sight.shape = self.graph.object(id).map(|object| object.shape);
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
        if !cycle::barrier_on(self.phase) {
            return;
        }
        let color = |id: Option<ObjectId>| id.and_then(|id| self.colors.object(id));
        let held = |root| self.graph.root(by, root);
        let holder = |place| match place {
            Place::Global(_) => Some(self.colors.globals()),
            Place::Field { of, .. } => color(held(of)),
        };
        // White is what matters of many.
        let lightest = |of, at, count| {
            let object = held(of).and_then(|id| self.graph.object(id));
            object.and_then(|object| object.fields.range(at, count).filter_map(|(_, to)| color(Some(to))).min())
        };
        sight.stack = Some(self.colors.stack(by));
        match *action {
            Action::Load { from, .. } => {
                sight.holder = holder(from);
                sight.new = color(self.graph.place(by, from));
            }
            Action::Store { into, value } => {
                sight.holder = holder(into);
                sight.old = color(self.graph.place(by, into));
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
                    let object = self.graph.object(*id);
                    sight.loop_freed |= object.is_some_and(|object| object.fields.iter().any(|(_, to)| to == *id));
                }
            }
            Event::ScanStack(mutator) => {
                sight.parked |= self.graph.stack(mutator).is_some_and(|stack| stack.parked);
                self.colors.set_stack(mutator, Color::Black);
                self.racing = false;
                sight.racing = false;
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
