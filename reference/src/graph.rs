//! The graph: what a program means when nobody collects.
//!
//! A [`Graph`] performs the mutators' operations in a world with endless memory. It knows every object ever born, what
//! its fields hold, what its data says, and what each root and global holds. Collector steps change nothing in it.
//!
//! ```text
//!   stack of mutator 0          heap                        globals
//!     r0 ──────────────▶ a ──.0──▶ b                          g0 ───▶ d
//!     r1   nil                     ▲
//!                        c ──.0────┘
//! ```
//!
//! From it follow the definitions that everything else is judged by. An object is **reachable** if a root of some
//! mutator or a global holds it, or a field of a reachable object does. An object is **kept** if it is reachable, or has
//! a finalizer that has not run, or is the argument of a cleanup that has not run, or a field of a kept object holds it.
//! All the rest is **garbage**. Above, `c` is garbage although it refers to `b`. A collector may free garbage, must free
//! it in the end, and must never free anything else.
//!
//! No mutator gets hold of garbage again, because every operation that yields an object yields one that was kept before,
//! or a new one. There is one exception: a weak pointer may yield its object as long as nobody has found it dead.
//!
//! What depends on when a collector finds something dead is not for the graph to say: whether a weak pointer still finds
//! its object, which finalizer or cleanup runs next. There the graph [is told](Graph::apply_with) what the heap handed
//! out, and says what to think of it.
//!
//! This chapter grounds laws 51 (reachable never freed), 59 (completeness), 61 (cycles are collected like trees), 68 (each
//! kind of root keeps what it holds) and 107 to 114.
//!
//! ```
//! use heaplaw_reference::{graph::Graph, object::ObjectId, op::Program};
//! let program: Program = "0 alloc r0 1\n 0 alloc r1 1\n 0 store r0.0 r1\n 0 store r1.0 r0\n".parse()?;
//! let mut graph = Graph::new();
//! for op in program.ops() {
//!     graph.apply(op);
//! }
//! assert_eq!(graph.reachable().len(), 2);
//! graph.apply(&"0 clear r0".parse()?);
//! assert_eq!(graph.reachable().len(), 2, "b is in r1, and its field holds a");
//! graph.apply(&"0 clear r1".parse()?);
//! assert!(graph.reachable().is_empty(), "a and b hold each other, and nobody holds them");
//! # Ok::<(), heaplaw_reference::text::ParseError>(())
//! ```

use crate::{
    object::{Content, Fields, ObjectId, ObjectSet, Shape, Stamp, moved},
    op::{Action, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root, WEAKS, WeakSlot},
};
use alloc::vec::Vec;

/// One object, as the program made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is made of.
    pub shape: Shape,
    /// What its fields hold.
    pub fields: Fields<ObjectId>,
    /// The stamp that fills its data.
    pub stamp: Stamp,
}

impl Object {
    /// What reading its data must give.
    pub fn content(&self) -> Content {
        self.stamp.content(self.shape.bytes)
    }
}

/// A mutator's stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// What its roots hold.
    pub roots: [Option<ObjectId>; ROOTS as usize],
    /// Whether the mutator is in a blocking call.
    pub parked: bool,
}

impl Stack {
    fn get(&self, root: Root) -> Option<ObjectId> {
        self.roots[usize::from(root.0)]
    }
}

/// What an operation means for the mutator that performs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that shows in the answer.
    Quiet,
    /// This object is born.
    Born(ObjectId),
    /// This pointer was loaded.
    Loaded(Option<ObjectId>),
    /// This object's data was read.
    Read(ObjectId),
    /// A weak slot now refers to this object.
    Weak(WeakSlot, ObjectId),
    /// A weak slot was asked for its object.
    Strong {
        /// What the slot refers to.
        target: ObjectId,
        /// How the object was known to have died.
        dead: Option<Obituary>,
        /// Whether a mutator could reach the object before.
        reachable: bool,
        /// What was handed out.
        came: Option<ObjectId>,
    },
    /// This object has a finalizer now.
    Finalizer(ObjectId),
    /// A finalizer was asked for; if one was handed out, its object and what to think of it.
    Finalize(Option<(ObjectId, Death)>),
    /// The first object has a cleanup now, whose argument is the second.
    Cleanup(ObjectId, ObjectId),
    /// A cleanup was asked for; if one was handed out, its argument.
    Clean(Option<ObjectId>),
    /// This object was freed by hand.
    Freed(ObjectId),
}

/// What to think of a finalizer that runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// As it should be: the object has a finalizer that has not run, and nothing held the object.
    Due,
    /// The object has no finalizer, or it has run already.
    NotOwed,
    /// Something that is not about to die itself held the object: a mutator, or the argument of a cleanup.
    Held,
    /// This object, which refers to it, has a finalizer too, and that one has not run.
    Awaits(ObjectId),
}

/// What a weak slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakPointer {
    /// The object that it was made of.
    pub target: ObjectId,
    /// How the object is known to have died since.
    pub dead: Option<Obituary>,
}

/// How one learns of a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obituary {
    /// A weak pointer found nil.
    FoundNil,
    /// The object's finalizer has run.
    Finalized,
}

/// Every object, root and global of a program so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    // By birth number; `None` for a birth that the heap refused, and for what was freed by hand.
    objects: Vec<Option<Object>>,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<ObjectId>; GLOBALS as usize],
    weaks: [Option<WeakPointer>; WEAKS as usize],
    /// Objects with a finalizer that has not run, in the order in which they got it.
    finalizers: Vec<ObjectId>,
    /// Cleanups that have not run: whose death each waits for, and its argument.
    cleanups: Vec<(ObjectId, ObjectId)>,
    stamps: u64,
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

impl Graph {
    /// The world before the first operation: no object, and mutator 0 with empty roots.
    pub fn new() -> Self {
        let mut stacks = [const { None }; MUTATORS as usize];
        stacks[0] = Some(Stack::default());
        Graph {
            objects: Vec::new(),
            stacks,
            globals: [None; GLOBALS as usize],
            weaks: [None; WEAKS as usize],
            finalizers: Vec::new(),
            cleanups: Vec::new(),
            stamps: 0,
        }
    }

    /// How many births there were, refused ones included.
    pub fn births(&self) -> u32 {
        self.objects.len() as u32
    }

    /// An object that was born, not refused, and not freed by hand.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(id.index())?.as_ref()
    }

    /// The stack of a mutator that is there.
    pub fn stack(&self, mutator: MutatorId) -> Option<&Stack> {
        self.stacks[usize::from(mutator.0)].as_ref()
    }

    /// The mutators that are there, with their stacks.
    pub fn stacks(&self) -> impl Iterator<Item = (MutatorId, &Stack)> {
        (0..MUTATORS).map(MutatorId).filter_map(|mutator| Some((mutator, self.stack(mutator)?)))
    }

    /// What the globals hold.
    pub fn globals(&self) -> &[Option<ObjectId>; GLOBALS as usize] {
        &self.globals
    }

    /// What the weak slots hold.
    pub fn weaks(&self) -> &[Option<WeakPointer>; WEAKS as usize] {
        &self.weaks
    }

    /// The objects with a finalizer that has not run.
    pub fn finalizers(&self) -> &[ObjectId] {
        &self.finalizers
    }

    /// The cleanups that have not run: whose death each waits for, and its argument.
    pub fn cleanups(&self) -> &[(ObjectId, ObjectId)] {
        &self.cleanups
    }

    /// What a mutator's root holds.
    pub fn root(&self, mutator: MutatorId, root: Root) -> Option<ObjectId> {
        self.stack(mutator)?.get(root)
    }

    /// What a place holds, as seen by a mutator.
    pub fn place(&self, mutator: MutatorId, place: Place) -> Option<ObjectId> {
        match place {
            Place::Global(number) => self.globals[usize::from(number)],
            Place::Field { of, index } => self.object(self.root(mutator, of)?)?.fields.get(index),
        }
    }

    /// Whether `op` means something here. An operation that does not is left out: it is never given to a heap.
    /// Steps of the collector and of the environment always do.
    pub fn allows(&self, op: &Op) -> bool {
        let Op::Mutate { by, action } = op else { return true };
        let Some(stack) = self.stack(*by) else { return *action == Action::Join };
        if stack.parked {
            return *action == Action::Unpark;
        }
        let holds = |root: Root| stack.get(root).is_some();
        let special =
            |root: Root| stack.get(root).filter(|id| self.object(*id).is_some_and(|object| !object.shape.is_tiny()));
        let run = |root: Root, at: u32, count: u32| {
            let fields = stack.get(root).and_then(|id| self.object(id)).map_or(0, |object| object.shape.pointers);
            count > 0 && at.checked_add(count).is_some_and(|end| end <= fields)
        };
        let place = |place: Place| match place {
            Place::Global(_) => true,
            Place::Field { of, index } => run(of, index, 1),
        };
        match *action {
            Action::Join | Action::Unpark => false,
            Action::Alloc { .. } | Action::Safepoint | Action::Park | Action::Exit => true,
            Action::Finalize(_) | Action::Clean(_) => true,
            Action::Free(root) => stack.get(root).is_some_and(|id| !self.is_referred_to(id)),
            Action::Weak { to, .. } => special(to).is_some(),
            Action::Strong { from, .. } => self.weaks[usize::from(from.0)].is_some(),
            Action::Finalizer(root) => special(root).is_some_and(|id| !self.finalizers.contains(&id)),
            Action::Cleanup { of, with } => {
                special(of).is_some_and(|id| stack.get(with).is_some_and(|argument| argument != id))
            }
            Action::Load { from, .. } => place(from),
            Action::Store { into, value } => place(into) && value.is_none_or(holds),
            Action::Move { into, from, start } => run(into.of, into.at, into.count) && run(from, start, into.count),
            Action::Wipe(into) => run(into.of, into.at, into.count),
            Action::Copy { into, from } => holds(from) && into != from,
            Action::Clear(root) | Action::Write(root) | Action::Read(root) => holds(root),
            Action::Send { value, to, .. } => {
                holds(value) && to != *by && self.stack(to).is_some_and(|receiver| !receiver.parked)
            }
        }
    }

    /// What an operation whose outcome depends on the collector (strong, finalize, clean) is likely to hand out: a weak
    /// pointer finds its object, and the first finalizer or cleanup that can be due is due.
    pub fn guess(&self, op: &Op) -> Option<ObjectId> {
        let Op::Mutate { action, .. } = op else { return None };
        match action {
            Action::Strong { from, .. } => {
                let weak = self.weaks[usize::from(from.0)];
                weak.filter(|weak| weak.dead.is_none()).map(|weak| weak.target)
            }
            Action::Finalize(_) => {
                let doomed = self.doomed();
                self.finalizers.iter().copied().find(|id| doomed.contains(*id))
            }
            Action::Clean(_) => {
                let kept = self.kept();
                self.cleanups.iter().find(|(of, _)| !kept.contains(*of)).map(|(_, with)| *with)
            }
            _ => None,
        }
    }

    /// Performs `op` if it means something here, and says what. Where that depends on the collector, it is
    /// [guessed](Graph::guess).
    pub fn apply(&mut self, op: &Op) -> Effect {
        self.apply_with(op, self.guess(op))
    }

    /// As [`Graph::apply`]; `came` is what the heap handed out, if the operation is one whose outcome depends on the
    /// collector: strong, finalize, clean.
    pub fn apply_with(&mut self, op: &Op, came: Option<ObjectId>) -> Effect {
        if !self.allows(op) {
            return Effect::Quiet;
        }
        let Op::Mutate { by, action } = *op else { return Effect::Quiet };
        match action {
            Action::Alloc { into, shape } => {
                let id = ObjectId(self.births());
                let stamp = self.next_stamp();
                self.objects.push(Some(Object { shape, fields: Fields::default(), stamp }));
                self.set_root(by, into, Some(id));
                return Effect::Born(id);
            }
            Action::Load { into, from } => {
                let value = self.place(by, from);
                self.set_root(by, into, value);
                return Effect::Loaded(value);
            }
            Action::Store { into, value } => {
                let value = value.and_then(|root| self.root(by, root));
                self.set_place(by, into, value);
            }
            Action::Move { into, from, start } => {
                let object = |root| self.root(by, root).and_then(|id| self.object(id));
                let (Some(source), Some(target)) = (object(from), object(into.of)) else { return Effect::Quiet };
                for (index, value) in moved(&source.fields, start, &target.fields, into.at, into.count) {
                    self.set_place(by, Place::Field { of: into.of, index: into.at + index }, value);
                }
            }
            Action::Wipe(into) => {
                let Some(object) = self.root(by, into.of).and_then(|id| self.object(id)) else { return Effect::Quiet };
                let stored: Vec<_> = object.fields.range(into.at, into.count).map(|(index, _)| index).collect();
                for index in stored {
                    self.set_place(by, Place::Field { of: into.of, index }, None);
                }
            }
            Action::Copy { into, from } => self.set_root(by, into, self.root(by, from)),
            Action::Clear(root) => self.set_root(by, root, None),
            Action::Write(root) => {
                let stamp = self.next_stamp();
                if let Some(object) = self.root(by, root).and_then(|id| self.objects[id.index()].as_mut()) {
                    object.stamp = stamp;
                }
            }
            Action::Read(root) => {
                if let Some(id) = self.root(by, root) {
                    return Effect::Read(id);
                }
            }
            Action::Send { value, to, into } => self.set_root(to, into, self.root(by, value)),
            Action::Weak { into, to } => {
                let Some(target) = self.root(by, to) else { return Effect::Quiet };
                self.weaks[usize::from(into.0)] = Some(WeakPointer { target, dead: None });
                return Effect::Weak(into, target);
            }
            Action::Strong { into, from } => {
                let Some(weak) = &mut self.weaks[usize::from(from.0)] else { return Effect::Quiet };
                let WeakPointer { target, dead } = *weak;
                if came.is_none() {
                    weak.dead = dead.or(Some(Obituary::FoundNil));
                }
                let reachable = self.reachable().contains(target);
                self.set_root(by, into, came);
                return Effect::Strong { target, dead, reachable, came };
            }
            Action::Finalizer(root) => {
                let Some(id) = self.root(by, root) else { return Effect::Quiet };
                self.finalizers.push(id);
                return Effect::Finalizer(id);
            }
            Action::Finalize(into) => {
                let ran = came.map(|id| (id, self.finalize(id)));
                self.set_root(by, into, came);
                return Effect::Finalize(ran);
            }
            Action::Cleanup { of, with } => {
                let (Some(of), Some(with)) = (self.root(by, of), self.root(by, with)) else { return Effect::Quiet };
                self.cleanups.push((of, with));
                return Effect::Cleanup(of, with);
            }
            Action::Clean(into) => {
                if let Some(argument) = came {
                    self.clean(argument);
                }
                self.set_root(by, into, came);
                return Effect::Clean(came);
            }
            Action::Free(root) => {
                let Some(id) = self.root(by, root) else { return Effect::Quiet };
                let roots = self.stacks.iter_mut().flatten().flat_map(|stack| &mut stack.roots);
                for holder in roots.chain(&mut self.globals).filter(|holder| **holder == Some(id)) {
                    *holder = None;
                }
                // What its fields hold is held by it no more.
                self.objects[id.index()] = None;
                return Effect::Freed(id);
            }
            Action::Safepoint => {}
            Action::Park => self.set_parked(by, true),
            Action::Unpark => self.set_parked(by, false),
            Action::Join => self.stacks[usize::from(by.0)] = Some(Stack::default()),
            Action::Exit => self.stacks[usize::from(by.0)] = None,
        }
        Effect::Quiet
    }

    /// Whether a field holds an object, or anything is attached to it.
    fn is_referred_to(&self, id: ObjectId) -> bool {
        let held = |object: &Object| object.fields.iter().any(|(_, to)| to == id);
        let weak = |weak: &WeakPointer| weak.target == id;
        self.objects.iter().flatten().any(held)
            || self.weaks.iter().flatten().any(weak)
            || self.finalizers.contains(&id)
            || self.cleanups.iter().any(|(of, with)| *of == id || *with == id)
    }

    /// Takes part in `op` although the heap refused it: an allocation uses up its birth number and its stamp, and
    /// nothing else happens.
    pub fn refuse(&mut self, op: &Op) {
        if let Op::Mutate { action: Action::Alloc { .. }, .. } = op {
            self.objects.push(None);
            self.next_stamp();
        }
    }

    /// All objects that a mutator can get hold of through roots, globals and fields.
    pub fn reachable(&self) -> ObjectSet {
        self.closure(self.mutators_roots())
    }

    /// All objects that must not be freed: what is reachable, and what finalizers and cleanups that have not run hold.
    pub fn kept(&self) -> ObjectSet {
        let arguments = self.cleanups.iter().map(|(_, with)| *with);
        self.closure(self.mutators_roots().chain(self.finalizers.iter().copied()).chain(arguments))
    }

    /// An object and all that its fields lead to.
    pub fn from(&self, id: ObjectId) -> ObjectSet {
        self.closure([id].into_iter())
    }

    /// Whether anything is kept that is not reachable, or could be.
    pub fn has_specials(&self) -> bool {
        !self.finalizers.is_empty() || !self.cleanups.is_empty()
    }

    /// The objects with a finalizer that has not run and that nothing holds, so that the next collection finds them dead:
    /// no mutator, no argument of a cleanup, no field of an object with a finalizer.
    pub fn doomed(&self) -> ObjectSet {
        let held = self.held_but_by(|_| false);
        self.finalizers.iter().copied().filter(|id| !held.contains(*id)).collect()
    }

    /// What is held by mutators, by the arguments of cleanups, and by the fields of objects with finalizers, unless
    /// `ignored` says otherwise of such an object.
    fn held_but_by(&self, ignored: impl Fn(ObjectId) -> bool) -> ObjectSet {
        let finalizable = self.finalizers.iter().filter(|id| !ignored(**id)).filter_map(|id| self.object(*id));
        let fields = finalizable.flat_map(|object| object.fields.iter().map(|(_, to)| to));
        let arguments = self.cleanups.iter().map(|(_, with)| *with);
        self.closure(self.mutators_roots().chain(arguments).chain(fields))
    }

    fn mutators_roots(&self) -> impl Iterator<Item = ObjectId> {
        self.stacks().flat_map(|(_, stack)| stack.roots.iter()).chain(&self.globals).flatten().copied()
    }

    /// These objects and all that their fields lead to.
    fn closure(&self, from: impl Iterator<Item = ObjectId>) -> ObjectSet {
        let mut found = ObjectSet::new();
        let mut open: Vec<ObjectId> = from.filter(|id| found.insert(*id)).collect();
        while let Some(id) = open.pop() {
            if let Some(object) = self.object(id) {
                open.extend(object.fields.iter().map(|(_, to)| to).filter(|to| found.insert(*to)));
            }
        }
        found
    }

    /// The finalizer of an object runs.
    fn finalize(&mut self, id: ObjectId) -> Death {
        let death = if !self.finalizers.contains(&id) {
            Death::NotOwed
        } else if self.held_but_by(|_| true).contains(id) {
            Death::Held
        } else {
            let holder = self.finalizers.iter().find(|other| self.held_but_by(|id| id != **other).contains(id));
            holder.map_or(Death::Due, |holder| Death::Awaits(*holder))
        };
        self.finalizers.retain(|other| *other != id);
        for weak in self.weaks.iter_mut().flatten().filter(|weak| weak.target == id) {
            weak.dead = Some(Obituary::Finalized);
        }
        death
    }

    /// A cleanup with this argument runs: if there are several, one whose object is garbage.
    fn clean(&mut self, argument: ObjectId) {
        let kept = self.kept();
        let fits = |(_, with): &(ObjectId, ObjectId)| *with == argument;
        let dead = self.cleanups.iter().position(|cleanup| fits(cleanup) && !kept.contains(cleanup.0));
        if let Some(at) = dead.or_else(|| self.cleanups.iter().position(fits)) {
            self.cleanups.remove(at);
        }
    }

    fn next_stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp(self.stamps)
    }

    fn set_root(&mut self, mutator: MutatorId, root: Root, value: Option<ObjectId>) {
        if let Some(stack) = &mut self.stacks[usize::from(mutator.0)] {
            stack.roots[usize::from(root.0)] = value;
        }
    }

    fn set_parked(&mut self, mutator: MutatorId, parked: bool) {
        if let Some(stack) = &mut self.stacks[usize::from(mutator.0)] {
            stack.parked = parked;
        }
    }

    fn set_place(&mut self, mutator: MutatorId, place: Place, value: Option<ObjectId>) {
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = value,
            Place::Field { of, index } => {
                let object = self.root(mutator, of).and_then(|id| self.objects[id.index()].as_mut());
                if let Some(object) = object {
                    object.fields.set(index, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Program;
    use alloc::{format, vec};

    fn run(text: &str) -> Graph {
        let mut graph = Graph::new();
        for op in text.parse::<Program>().unwrap().ops() {
            graph.apply(op);
        }
        graph
    }

    #[test]
    fn an_overlapping_move_reads_before_it_writes() {
        let graph = run("0 alloc r0 3\n0 alloc r1 0\n0 store r0.0 r0\n0 store r0.1 r1\n0 move r0.1 r0.0 2\n");
        let fields: Vec<_> = graph.object(ObjectId(0)).unwrap().fields.iter().collect();
        assert_eq!(fields, [(0, ObjectId(0)), (1, ObjectId(0)), (2, ObjectId(1))]);
    }

    #[test]
    fn operations_without_meaning_do_nothing() {
        let before = run("0 alloc r0 1\n1 join\n1 park\n");
        let pointless = [
            "0 load r1 r2.0",
            "0 load r1 r0.1",
            "0 store r0.0 r5",
            "0 wipe r0.0 2",
            "0 wipe r0.0 0",
            "0 move r0.0 r0.1 1",
            "0 wipe r0.1073741824 1073741824",
            "0 copy r1 r1",
            "0 copy r1 r2",
            "0 read r9",
            "0 send r0 1.r0",
            "0 send r0 0.r1",
            "0 join",
            "0 unpark",
            "0 strong r0 w0",
            "0 weak w0 r3",
            "0 cleanup r0 r0",
            "1 alloc r0 0",
            "1 exit",
            "2 safepoint",
            "gc full",
        ];
        for line in pointless {
            let mut after = before.clone();
            let op = line.parse().unwrap();
            assert_eq!(after.apply(&op), Effect::Quiet, "{line}");
            assert_eq!(after, before, "{line}");
            assert_eq!(after.allows(&op), line.starts_with("gc"), "{line}");
        }
    }

    #[test]
    fn a_refused_birth_uses_up_its_number_and_stamp() {
        let mut graph = Graph::new();
        let alloc = "0 alloc r0 0 8".parse().unwrap();
        graph.refuse(&alloc);
        assert_eq!(graph.apply(&alloc), Effect::Born(ObjectId(1)));
        assert_eq!(graph.object(ObjectId(0)), None);
        assert_eq!(graph.object(ObjectId(1)).unwrap().content(), Content::Uniform(2));
    }

    #[test]
    fn a_mutator_that_leaves_drops_what_only_it_held() {
        let mut graph = run("1 join\n1 alloc r0 0\n1 alloc r1 0\n1 send r1 0.r0\n");
        assert_eq!(graph.reachable().len(), 2);
        graph.apply(&"1 exit".parse().unwrap());
        assert_eq!(graph.reachable(), [ObjectId(1)].into_iter().collect());
    }

    #[test]
    fn what_a_finalizer_or_a_cleanup_holds_is_kept() {
        let build = "0 alloc r0 1\n0 alloc r1 1\n0 store r0.0 r1\n0 alloc r2 0 16\n";
        let graph = run(&format!("{build}0 finalizer r0\n0 clear r0\n0 clear r1\n0 clear r2\n"));
        assert!(graph.reachable().is_empty());
        assert_eq!(graph.kept(), [ObjectId(0), ObjectId(1)].into_iter().collect());
        assert_eq!(graph.doomed(), [ObjectId(0)].into_iter().collect());
        let graph = run(&format!("{build}0 cleanup r1 r2\n0 clear r0\n0 clear r1\n0 clear r2\n"));
        assert_eq!(graph.kept(), [ObjectId(2)].into_iter().collect());
    }

    #[test]
    fn a_finalizer_has_to_wait_for_those_that_hold_its_object() {
        let story = "0 alloc r0 1\n0 alloc r1 1\n0 store r0.0 r1\n0 finalizer r0\n0 finalizer r1\n";
        let graph = run(&format!("{story}0 clear r1\n"));
        let next = "0 finalize r2".parse().unwrap();
        let ran = |graph: &Graph, id| graph.clone().apply_with(&next, Some(ObjectId(id)));
        assert_eq!(ran(&graph, 1), Effect::Finalize(Some((ObjectId(1), Death::Held))));
        let mut graph = run(&format!("{story}0 clear r0\n0 clear r1\n"));
        assert_eq!(ran(&graph, 1), Effect::Finalize(Some((ObjectId(1), Death::Awaits(ObjectId(0))))));
        assert_eq!(graph.apply_with(&next, Some(ObjectId(0))), Effect::Finalize(Some((ObjectId(0), Death::Due))));
        assert_eq!(ran(&graph, 0), Effect::Finalize(Some((ObjectId(0), Death::NotOwed))));
        assert!(graph.reachable().contains(ObjectId(1)), "what the finalizer was handed leads there");
    }

    #[test]
    fn a_finalizer_on_a_cycle_waits_for_itself() {
        let mut graph = run("0 alloc r0 1\n0 store r0.0 r0\n0 finalizer r0\n0 clear r0\n");
        assert!(graph.doomed().is_empty());
        let ran = graph.apply_with(&"0 finalize r2".parse().unwrap(), Some(ObjectId(0)));
        assert_eq!(ran, Effect::Finalize(Some((ObjectId(0), Death::Awaits(ObjectId(0))))));
    }

    #[test]
    fn a_weak_pointer_that_has_found_nil_is_dead() {
        let mut graph = run("0 alloc r0 1\n0 weak w1 r0\n0 clear r0\n");
        let ask: Op = "0 strong r1 w1".parse().unwrap();
        let id = ObjectId(0);
        let found = Effect::Strong { target: id, dead: None, reachable: false, came: Some(id) };
        assert_eq!(graph.clone().apply(&ask), found);
        graph.apply_with(&ask, None);
        let dead = Some(Obituary::FoundNil);
        assert_eq!(graph.apply(&ask), Effect::Strong { target: id, dead, reachable: false, came: None });
    }

    #[test]
    fn of_two_cleanups_with_one_argument_that_of_the_garbage_runs() {
        let text = "0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 1\n0 cleanup r0 r2\n0 cleanup r1 r2\n0 clear r1\n";
        let mut graph = run(text);
        graph.apply_with(&"0 clean r3".parse().unwrap(), Some(ObjectId(2)));
        assert_eq!(graph.cleanups(), [(ObjectId(0), ObjectId(2))]);
    }

    #[test]
    fn only_what_nothing_else_refers_to_may_be_freed_by_hand() {
        // a and b have a field each; both are held by roots and by a global, which freeing makes nil.
        let build = "0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 1\n0 store g0 r0\n";
        let cases = [
            ("", [true, true, true]),
            ("0 store r0.0 r1\n", [true, false, true]),
            ("0 store r1.0 r1\n", [true, false, true]),
            ("0 weak w0 r0\n", [false, true, true]),
            ("0 finalizer r1\n", [true, false, true]),
            ("0 cleanup r0 r1\n", [false, false, true]),
        ];
        for (attached, free) in cases {
            let graph = run(&format!("{build}{attached}"));
            let allowed = [0, 1, 2].map(|root| graph.allows(&format!("0 free r{root}").parse().unwrap()));
            assert_eq!(allowed, free, "{attached}");
        }
        let mut graph = run(build);
        assert_eq!(graph.apply(&"0 free r0".parse().unwrap()), Effect::Freed(ObjectId(0)));
        assert_eq!((graph.globals()[0], graph.root(MutatorId(0), Root(0))), (None, None));
    }

    #[test]
    fn an_object_leads_to_itself_and_to_what_its_fields_lead_to() {
        let graph = run("0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 1\n0 store r0.0 r1\n0 store r2.0 r0\n");
        let from = |id| graph.from(ObjectId(id)).iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!([from(0), from(1), from(2)], [vec![0, 1], vec![1], vec![0, 1, 2]]);
    }

    #[test]
    fn only_finalizers_and_cleanups_are_special() {
        let build = "0 alloc r0 1\n0 alloc r1 1\n0 weak w0 r0\n";
        for (attached, special) in [("", false), ("0 finalizer r0\n", true), ("0 cleanup r0 r1\n", true)] {
            assert_eq!(run(&format!("{build}{attached}")).has_specials(), special, "{attached:?}");
        }
    }

    #[test]
    fn a_guess_is_the_first_that_can_be_due() {
        let guess = |story: &str, ask: &str| run(story).guess(&ask.parse().unwrap());
        let pair = "0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 1\n";
        assert_eq!([guess(pair, "0 finalize r3"), guess(pair, "0 clean r3")], [None; 2]);
        let finalizers = format!("{pair}0 finalizer r0\n0 finalizer r1\n");
        assert_eq!(guess(&finalizers, "0 finalize r3"), None, "both are held");
        assert_eq!(guess(&format!("{finalizers}0 clear r1\n"), "0 finalize r3"), Some(ObjectId(1)));
        let cleanups = format!("{pair}0 cleanup r0 r2\n0 cleanup r1 r0\n");
        assert_eq!(guess(&cleanups, "0 clean r3"), None, "both are held");
        assert_eq!(guess(&format!("{cleanups}0 clear r1\n"), "0 clean r3"), Some(ObjectId(0)));
    }

    #[test]
    fn what_is_copied_is_something_and_goes_elsewhere() {
        let graph = run("0 alloc r0 1\n");
        let copies = ["0 copy r1 r0", "0 copy r0 r0", "0 copy r0 r1", "0 copy r1 r1"];
        assert_eq!(copies.map(|line| graph.allows(&line.parse().unwrap())), [true, false, false, false]);
    }

    #[test]
    fn a_finalizer_that_has_run_ends_the_weak_pointers_to_its_object_and_no_others() {
        let mut graph =
            run("0 alloc r0 1\n0 alloc r1 1\n0 weak w0 r0\n0 weak w1 r1\n0 finalizer r0\n0 finalizer r1\n0 clear r0\n");
        assert_eq!(graph.finalizers(), [ObjectId(0), ObjectId(1)]);
        graph.apply_with(&"0 finalize r2".parse().unwrap(), Some(ObjectId(0)));
        assert_eq!(graph.finalizers(), [ObjectId(1)]);
        let dead = [0, 1].map(|slot| graph.weaks()[slot].and_then(|weak| weak.dead));
        assert_eq!(dead, [Some(Obituary::Finalized), None]);
    }
}
