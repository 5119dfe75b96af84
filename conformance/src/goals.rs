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
    use crate::law::tests::history;
    use std::collections::HashSet;

    #[test]
    fn goals_are_told_apart_by_id_and_by_name() {
        let ids: HashSet<_> = ALL.iter().map(|goal| goal.id).collect();
        let names: HashSet<_> = ALL.iter().map(|goal| goal.name).collect();
        assert_eq!((ids.len(), names.len()), (ALL.len(), ALL.len()));
        assert_eq!(format!("{:?}", ALL[0]), "goal store-white-over-nil");
    }

    #[test]
    fn a_goal_that_is_out_of_sight_is_not_missed() {
        let (blind, seeing) = (Claims::new("blind"), Claims::new("seeing").with(&Capability::ALL));
        assert_eq!(Coverage::default().unreached(&seeing).len(), ALL.len());
        let unreached = Coverage::default().unreached(&blind);
        assert!(unreached.iter().all(|goal| goal.needs.is_empty()) && !unreached.is_empty(), "{unreached:?}");
    }

    /// How often each goal is met by a story.
    fn met(story: &str) -> Vec<(&'static str, u64)> {
        let history = history(Claims::new("seeing").with(&Capability::ALL), story);
        let mut coverage = Coverage::default();
        coverage.add(&Reading::new(&history));
        coverage.counts().filter(|(_, count)| *count > 0).map(|(goal, count)| (goal.id, count)).collect()
    }

    fn times(id: &str, story: &str) -> u64 {
        assert!(ALL.iter().any(|goal| goal.id == id), "{id}");
        met(story).iter().find(|(met, _)| *met == id).map_or(0, |(_, count)| *count)
    }

    /// Objects in r0 to r3, each with two fields: grey, white, grey and black.
    const COLORED: &str = "0 alloc r0 2 => at 64 16 0\n0 alloc r1 2 => at 128 16 0\n0 alloc r2 2 => at 256 16 0\n\
        0 alloc r3 2 => at 512 16 0\n";
    const START: &str = "gc start => ok; phase mark\n";
    const SHADE: &str = "gc mark 9 => ok; shade 64 256 512; scan 512\n";

    #[test]
    fn every_colour_is_stored_over_every_other() {
        let colors =
            [("nil", "nil", "nil"), ("r1", "white", "white"), ("r2", "grey", "marked"), ("r3", "black", "marked")];
        for (before, old, _) in colors {
            for (value, _, new) in colors {
                let store = |start: &str| format!("{COLORED}0 store r0.0 {before}\n{start}0 store r0.0 {value}");
                let id = format!("store-{new}-over-{old}");
                let told = met(&store(&format!("{START}{SHADE}")));
                let stores: Vec<_> = told.into_iter().filter(|(met, _)| met.starts_with("store-")).collect();
                let expected: Vec<_> = ALL.iter().filter(|goal| goal.id == id).map(|goal| (goal.id, 1)).collect();
                assert_eq!(stores, expected, "{id}");
                assert_eq!(expected.is_empty(), old == "nil" && new != "white", "nothing is lost or hidden: {id}");
                assert_eq!(met(&store("")), [], "while marking");
            }
        }
        // Events about nobody in between.
        let strays =
            format!("{COLORED}0 store r0.0 r2\n{START}gc mark 9 => ok; shade 999 256; free 8\n0 store r0.0 nil");
        assert_eq!(times("store-nil-over-grey", &strays), 1);
    }

    #[test]
    fn white_objects_hide_where_nobody_looks_again() {
        let marking = |then: &str| format!("{COLORED}0 store r0.0 r1\n0 store r0.1 r3\n{START}{SHADE}{then}");
        let seen = |id: &str, then: &[&str]| then.iter().map(|then| times(id, &marking(then))).collect::<Vec<_>>();
        assert_eq!(
            seen("white-into-black", &["0 store r3.0 r1", "0 store r2.0 r1", "0 store r3.0 r2", "0 store g0 r1"]),
            [1, 0, 0, 0]
        );
        let scanned = "gc mark 1 => ok; globals\n0 store g0 r1";
        assert_eq!(seen("white-into-scanned-global", &[scanned, "0 store g0 r1", "0 store r3.0 r1"]), [1, 0, 0]);
        assert_eq!(
            seen("load-from-white", &["0 load r4 r1.0 => nil", "0 load r4 r0.0 => ref 128", "0 load r4 g0 => nil"]),
            [1, 0, 0]
        );
        let scanned = |field| format!("gc handshake 0 => ok; stack 0\n0 load r4 r0.{field}");
        let loads = [scanned("0 => ref 128"), scanned("1 => ref 512"), "0 load r4 r0.0 => ref 128".into()];
        assert_eq!(seen("white-onto-scanned-stack", &loads.each_ref().map(String::as_str)), [1, 0, 0]);
        assert_eq!(seen("send-white", &["1 join\n0 send r1 1.r0", "1 join\n0 send r2 1.r0"]), [1, 0]);
        assert_eq!(seen("wipe-white", &["0 wipe r0.0 1", "0 wipe r0.0 2", "0 wipe r0.1 1"]), [1, 1, 0]);
        assert_eq!(
            seen("move-over-white", &["0 move r0.0 r2.0 1", "0 move r0.0 r2.0 2", "0 move r0.1 r2.0 1"]),
            [1, 1, 0]
        );
        assert_eq!(times("wipe-white", &format!("{COLORED}0 store r0.0 r1\n0 wipe r0.0 1")), 0, "while marking");
        assert_eq!(times("load-from-white", &format!("{COLORED}0 load r4 r1.0 => nil")), 0);
    }

    #[test]
    fn races_with_the_phases_are_seen() {
        let (born, sweep) = ("0 alloc r9 0 32 => at 1024 32 0", "gc finish => ok; phase terminate; phase sweep\n");
        let seen = |id: &str, stories: &[&str]| stories.iter().map(|story| times(id, story)).collect::<Vec<_>>();
        let (marking, sweeping) = (format!("{START}{born}"), format!("{START}{sweep}{born}"));
        let between = format!("{START}{sweep}gc sweep 9 => ok; phase off\n{born}");
        let births = [born, &marking, &sweeping, &between, &format!("{START}0 alloc r9 0 32 => full")];
        assert_eq!(seen("alloc-while-marking", &births), [0, 1, 0, 0, 0]);
        assert_eq!(seen("alloc-while-sweeping", &births), [0, 0, 1, 0, 0]);
        assert_eq!(seen("birth-between-cycles", &births), [0, 0, 0, 1, 0]);
        assert_eq!(seen("birth-between-cycles", &[&format!("{between}; phase mark")]), [0]);
        let finish = |answer: &str| times("finish-too-early", &format!("{START}gc finish => {answer}"));
        assert_eq!([finish("idle"), finish("ok"), times("finish-too-early", "gc finish => idle")], [1, 0, 0]);
        let store = format!("{COLORED}{START}0 store r0.0 r1\n");
        let stories = [
            format!("{store}{sweep}"),
            format!("{store}gc handshake 0 => ok; stack 0\n{sweep}"),
            format!("{store}gc finish => ok; stack 0; phase terminate; phase sweep"),
            format!("{store}gc finish => idle"),
            format!("{COLORED}{START}{sweep}"),
            format!("{store}gc abort => ok; phase off\n{START}{sweep}"),
            format!("{COLORED}{START}0 wipe r0.0 1\n{sweep}"),
            format!("{COLORED}{START}0 move r0.0 r1.0 1\n{sweep}"),
            format!("{COLORED}{START}0 load r4 r0.0 => nil\n{sweep}"),
        ];
        assert_eq!(seen("finish-after-store", &stories.each_ref().map(String::as_str)), [1, 0, 0, 0, 0, 1, 1, 1, 0]);
        let whole = "gc full => ok; phase mark; phase terminate; phase sweep; phase off\n";
        assert_eq!(seen("full-while-marking", &[&format!("{START}gc full"), whole]), [1, 0]);
        let starts = [
            format!("{START}{sweep}{START}"),
            format!("{START}{START}"),
            format!("{START}gc start => idle"),
            START.into(),
            format!("{START}{sweep}gc start => idle"),
        ];
        let starts = starts.each_ref().map(String::as_str);
        assert_eq!(seen("start-while-sweeping", &starts), [1, 0, 0, 0, 0]);
        assert_eq!(seen("start-while-marking", &starts), [0, 1, 1, 0, 0]);
        let clock = ["env clock 1 => ok; phase mark", "env clock 1", "env gogc 9 => ok; phase mark"];
        assert_eq!(seen("periodic", &clock), [1, 0, 0]);
        assert_eq!(
            seen("periodic", &[&format!("{START}env clock 1"), &format!("{START}env clock 1 => ok; phase terminate")]),
            [0, 0]
        );
        assert_eq!(
            seen("abort", &[&format!("{START}gc abort => ok; phase off"), "gc abort => idle", "gc finish"]),
            [1, 0, 0]
        );
    }

    #[test]
    fn mutators_that_come_and_go_are_seen() {
        let seen = |id: &str, stories: &[String]| stories.iter().map(|story| times(id, story)).collect::<Vec<_>>();
        let there = |then: &str| format!("1 join\n{START}{then}");
        assert_eq!(seen("join-while-marking", &[format!("{START}1 join"), there("")]), [1, 0]);
        let leaves = [
            there("1 exit"),
            there("gc handshake 1 => ok; stack 1\n1 exit"),
            there("2 join\n2 exit"),
            "1 join\n1 exit".into(),
        ];
        assert_eq!(seen("exit-unscanned", &leaves), [1, 0, 0, 0]);
        let scan = "gc handshake 1 => ok; stack 1";
        let parks = [
            there(&format!("1 park\n{scan}")),
            there(&format!("1 park\n{scan}; stack 0")),
            there(scan),
            there("1 park"),
        ];
        assert_eq!(seen("scan-parked", &parks), [1, 1, 0, 0]);
        let both = format!("{COLORED}1 join\n0 send r0 1.r0\n{START}0 store r0.0 r1\n");
        let next = "gc abort => ok; phase off\ngc start => ok; phase mark\n";
        let stores = [
            format!("{both}1 store r0.0 r0"),
            format!("{both}0 store r0.0 nil"),
            format!("{both}{next}1 store r0.0 r0"),
            format!("{both}1 load r1 r0.0 => ref 128"),
        ];
        assert_eq!(seen("two-mutators-store", &stores), [1, 0, 0, 0]);
        assert_eq!(times("two-mutators-store", &format!("{both}1 store r0.0 r0\n0 store r0.0 nil")), 2);
    }

    #[test]
    fn memory_and_sizes_are_seen() {
        let seen = |id: &str, stories: &[String]| stories.iter().map(|story| times(id, story)).collect::<Vec<_>>();
        let born = |shape: &str, at: u64| format!("0 alloc r0 {shape} => at {at} 9999 0\n");
        assert_eq!(seen("reuse", &[born("0 8", 64) + &born("0 8", 64), born("0 8", 64) + &born("0 8", 80)]), [1, 0]);
        assert_eq!(
            seen("more-than-a-page", &["0 8192", "0 8193", "1 8184", "1 8185"].map(|shape| born(shape, 64))),
            [0, 1, 0, 1]
        );
        assert_eq!(seen("many-fields", &["64 0", "65 0"].map(|shape| born(shape, 64))), [0, 1]);
        assert_eq!(seen("refused", &["0 alloc r0 0 8 => full".into(), born("0 8", 64)]), [1, 0]);
        let moves = ["r0.0 r0.1 2", "r0.1 r0.0 2", "r0.0 r0.1 1", "r0.1 r0.1 2", "r0.0 r1.1 2", "r0.2 r0.0 2"];
        let moves = moves.map(|run| format!("{}0 copy r1 r0\n0 move {run}", born("4", 64)));
        assert_eq!(seen("move-overlap", &moves), [1, 1, 0, 0, 0, 0]);
        let freed = |fields: &str| format!("{COLORED}{fields}0 clear r0\n0 clear r1\ngc full => ok; free 64");
        let circles = ["0 store r0.1 r0\n", "0 store r0.0 r1\n0 store r1.0 r0\n", "0 store r0.0 r1\n"].map(freed);
        assert_eq!(seen("free-loop", &circles), [1, 0, 0]);
        assert_eq!(seen("free-circle", &circles), [1, 1, 0]);
        let another = format!("0 alloc r9 0 16 => at 1024 16 0\n0 clear r9\ngc full => ok; free 1024\n{}", circles[0]);
        assert_eq!(times("free-loop", &another), 1, "another went before");
        let nobody = circles[0].replace("free 64", "free 8 64");
        assert_eq!(times("free-loop", &nobody), 1, "the other was nobody");
    }

    /// So many objects in a row, of which a root holds the last, at 64, and the first, at 16 times their number, is the
    /// furthest away.
    fn row(objects: u64) -> String {
        let one = |number: u64| {
            format!("0 alloc r0 1 => at {} 8 0\n0 store r0.0 r1\n0 copy r1 r0\n", 16 * (objects - number))
        };
        (0..objects).map(one).collect::<String>() + "0 clear r0\n"
    }

    #[test]
    fn deep_and_large_heaps_are_seen() {
        let scan = |objects: u64, place: u64| {
            times("deep", &format!("{}{START}gc mark 1 => ok; shade {1}; scan {1}", row(objects), 16 * place))
        };
        assert_eq!([scan(101, 101), scan(102, 101), scan(102, 102), scan(110, 102)], [0, 0, 1, 1]);
        let shade = format!("{}{START}gc mark 1 => ok; shade 1632", row(102));
        assert_eq!(times("deep", &shade), 0, "it is not scanned");
        let both = format!("{}{START}gc mark 1 => ok; shade 1632 16; scan 16", row(102));
        assert_eq!(times("deep", &both), 0, "the other is scanned");
        assert_eq!(times("deep", &format!("{}{START}gc mark 1 => ok; scan 1632", row(102))), 1);
        let cut = format!("{}0 clear r1\n{START}gc mark 1 => ok; shade 1632; scan 1632", row(102));
        assert_eq!(times("deep", &cut), 0, "no root leads to it");
        let pause = |objects: u64, then: &str| {
            times("pause-in-a-large-heap", &format!("{}{then}gc mark 1 => ok; pause 0 1", row(objects)))
        };
        assert_eq!([pause(100, ""), pause(101, ""), pause(101, "0 clear r1\n")], [0, 1, 0]);
        let one_died = format!("0 alloc r5 0 8 => at 8 8 0\n0 clear r5\n{}gc mark 1 => ok; pause 0 1", row(100));
        assert_eq!(times("pause-in-a-large-heap", &one_died), 0);
        assert_eq!(times("pause-in-a-large-heap", &row(101)), 0);
    }

    #[test]
    fn deaths_are_seen() {
        let seen = |id: &str, stories: &[String]| stories.iter().map(|story| times(id, story)).collect::<Vec<_>>();
        let weak = |then: &str| format!("{COLORED}0 weak w0 r1 => weak 1\n0 weak w1 r2 => weak 2\n{then}");
        let (white, grey) = ("0 strong r5 w0 => ref 128", "0 strong r5 w1 => ref 256");
        let marking = |then: &str| weak(&format!("{START}{SHADE}{then}"));
        let sweeping =
            |then: &str| weak(&format!("{START}{SHADE}gc finish => ok; phase terminate; phase sweep\n{then}"));
        let asked = [marking(white), marking(grey), sweeping(white), sweeping(grey), weak(white)];
        assert_eq!(seen("weak-white", &asked), [1, 0, 0, 0, 0]);
        assert_eq!(seen("weak-unswept", &asked), [0, 0, 1, 0, 0]);
        let freed = sweeping(&format!("gc sweep 1 => ok; free 128\n{white}"));
        assert_eq!(times("weak-unswept", &freed), 0, "it is swept");
        let finalizer = "0 finalizer r1";
        assert_eq!(
            seen("finalizer-while-marking", &[marking(finalizer), weak(finalizer), marking("0 clear r1")]),
            [1, 0, 0]
        );
        let runs = |start: &str, answer: &str| {
            format!("{COLORED}0 finalizer r1\n0 clear r1\n{start}0 finalize r1 => {answer}")
        };
        assert_eq!(
            seen(
                "finalize-while-marking",
                &[runs(START, "ref 128"), runs(START, "nil"), runs("", "ref 128"), marking(white)]
            ),
            [1, 0, 0, 0]
        );
        let cleans = |answer: &str| format!("{COLORED}0 cleanup r1 r2\n0 clear r1\ngc full\n0 clean r1 => {answer}");
        assert_eq!(seen("clean", &[cleans("ref 256"), cleans("nil"), weak(white)]), [1, 0, 0]);
    }

    #[test]
    fn what_is_born_has_the_colour_that_its_heap_says() {
        let store = |color: &str| met(&format!("{COLORED}{START}0 alloc r4 1 => at 1024 8 0{color}\n0 store r4.0 r1"));
        let into_black = |color: &str| store(color).contains(&("white-into-black", 1));
        assert_eq!(
            [" black", " grey", " white", "", " white; shade 1024; scan 1024"].map(into_black),
            [true, false, false, false, true]
        );
    }

    #[test]
    fn stacks_of_nobody_and_counts_without_end_are_borne() {
        let mut history = history(Claims::new("seeing").with(&Capability::ALL), START);
        history.moments[0].events.push(Event::ScanStack(MutatorId(MUTATORS)));
        let mut coverage = Coverage::default();
        coverage.add(&Reading::new(&history));
        coverage.add_count("refused", 3);
        coverage.add_count("refused", u64::MAX);
        coverage.add_count("nothing of that name", 1);
        let counts: Vec<_> =
            coverage.counts().filter(|(_, count)| *count > 0).map(|(goal, count)| (goal.id, count)).collect();
        assert_eq!(counts, [("refused", u64::MAX)]);
        let unreached = coverage.unreached(&Claims::new("seeing").with(&Capability::ALL));
        assert_eq!(unreached.len(), ALL.len() - 1);
    }
}
