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
//! From it follows the one definition that everything else is judged by. An object is **reachable** if a root of some
//! mutator or a global holds it, or a field of a reachable object does. All the rest is **garbage**: no mutator can ever
//! get hold of it again, because every operation that yields an object yields one that was reachable before (or a new
//! one). Above, `c` is garbage although it refers to `b`. A collector may free garbage, must free it in the end, and
//! must never free anything else.
//!
//! This chapter grounds laws 51 (reachable never freed), 59 (completeness) and 61 (cycles are collected like trees).
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
    op::{Action, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root},
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
}

/// Every object, root and global of a program so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    // By birth number; `None` for a birth that the heap refused.
    objects: Vec<Option<Object>>,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<ObjectId>; GLOBALS as usize],
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
        Graph { objects: Vec::new(), stacks, globals: [None; GLOBALS as usize], stamps: 0 }
    }

    /// How many births there were, refused ones included.
    pub fn births(&self) -> u32 {
        self.objects.len() as u32
    }

    /// An object that was born and not refused.
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
    /// Collector steps always do.
    pub fn allows(&self, op: &Op) -> bool {
        let Op::Mutate { by, action } = op else { return true };
        let Some(stack) = self.stack(*by) else { return *action == Action::Join };
        if stack.parked {
            return *action == Action::Unpark;
        }
        let holds = |root: Root| stack.get(root).is_some();
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

    /// Performs `op` if it means something here, and says what.
    pub fn apply(&mut self, op: &Op) -> Effect {
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
            Action::Safepoint => {}
            Action::Park => self.set_parked(by, true),
            Action::Unpark => self.set_parked(by, false),
            Action::Join => self.stacks[usize::from(by.0)] = Some(Stack::default()),
            Action::Exit => self.stacks[usize::from(by.0)] = None,
        }
        Effect::Quiet
    }

    /// Takes part in `op` although the heap refused it: an allocation uses up its birth number and its stamp, and
    /// nothing else happens.
    pub fn refuse(&mut self, op: &Op) {
        if let Op::Mutate { action: Action::Alloc { .. }, .. } = op {
            self.objects.push(None);
            self.next_stamp();
        }
    }

    /// All objects that a mutator can still get hold of.
    pub fn reachable(&self) -> ObjectSet {
        let roots = self.stacks().flat_map(|(_, stack)| stack.roots.iter()).chain(&self.globals);
        let mut found = ObjectSet::new();
        let mut open: Vec<ObjectId> = roots.flatten().copied().filter(|id| found.insert(*id)).collect();
        while let Some(id) = open.pop() {
            if let Some(object) = self.object(id) {
                open.extend(object.fields.iter().map(|(_, to)| to).filter(|to| found.insert(*to)));
            }
        }
        found
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
            "0 read r9",
            "0 send r0 1.r0",
            "0 send r0 0.r1",
            "0 join",
            "0 unpark",
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
}
