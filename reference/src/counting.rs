//! Counting: the other family of collectors.
//!
//! The literature starts in 1960 with two ideas. McCarthy's marks what is reachable and frees the rest. Collins's asks
//! each object how many references to it there are, keeps that number beside it, and frees it at zero:
//!
//! ```text
//!      r0 ──▶ a:1 ──▶ b:2 ◀── r1                   r0 ──▶ a:1 ──▶ b:2 ──▶ c:1
//!                                                                  ▲       │
//!      clear r0: a falls to 0 and is freed,                        └───────┘
//!      so b falls to 1 and stays                   clear r0: a is freed, b falls to 1,
//!                                                  and b and c count each other for ever
//! ```
//!
//! Everything that is hard about tracing is easy here. There are no phases, no colours, no barrier to switch on, no
//! question when to start and when it is over; garbage is gone in the very step that makes it; a count needs to know
//! nothing of the rest of the heap. This chapter's [`Counting`] is a whole collector in a dozen lines. What is easy about
//! tracing is hard:
//!
//! 1. **Cycles.** A count says "nobody refers to me", and garbage is "nobody *reachable* refers to me". In an acyclic
//!    heap these are the same, in the end. On a cycle they never meet: completeness (law 59), the two-cycle bound (law
//!    60) and law 61 cannot be met, by any patience, and so this heap does not claim to have a full collection.
//! 2. **Every copy costs.** A tracing collector's barrier watches stores into the heap, and only while it marks. A count
//!    is to be kept on every change of *every* pointer, and most changes are in local variables. Here all sixteen roots
//!    count. With threads each change is an atomic one, on a line that all who share the object fight for; and reading
//!    a pointer becomes writing a count.
//! 3. **Order.** The new object is counted before the old one is let go of. `store r0.0 r1` with `r1` there already, the
//!    other way round, would free what it is about to store.
//! 4. **Freeing cascades.** The last reference to a list of a million objects frees a million, in one store. At least it
//!    must not be done by recursion, which would need a stack as deep as the list is long.
//! 5. **Space.** Each object carries a count that could become as large as the number of pointers in the heap.
//!
//! Go has threads that share everything, pointers into the middle of objects, values that are copied freely, and programs
//! full of cycles (every doubly linked list, every parent link). It would have had to pay 2 on each assignment and to
//! build a tracing collector for 1 all the same. So it built only that.
//!
//! Languages that did choose counting have met its faults half-way. *Deferred* counting (Deutsch and Bobrow 1976)
//! leaves local variables uncounted: what falls to zero goes to a table, and now and then the stacks are scanned, and
//! what is in the table but not on a stack is freed. That cures most of 2, and gives up "at once". *Cycle collectors*
//! (Bacon and Rajan 2001) start from objects whose count fell but not to zero, since only such a fall can leave a
//! cycle behind. They take away, on trial, all counts that come from inside the subgraph: if all its counts are zero
//! then, nobody outside holds it. That cures 1, and has colours, phases and all the trouble with concurrent mutators
//! back again. The two families are two ends of one scale (Bacon, Cheng and Rajan 2004): a tracer follows the live
//! objects and starts from the roots, a counter follows the dead ones and starts from what was cut.
//!
//! This chapter grounds law 51 (met) and laws 59 to 61 (not to be met). Source: Collins 1960, and the papers above.
//!
//! ```
//! use heaplaw_reference::{counting::Counting, event::Event, heap::Heap, op::Program};
//! let mut heap = Counting::new();
//! let mut frees = |story: &str| {
//!     let mut events = Vec::new();
//!     for op in story.parse::<Program>().expect("a program").ops() {
//!         heap.perform(op, &mut events);
//!     }
//!     events.len()
//! };
//!
//! // a -> b, and then nobody holds a: both are gone with the last operation.
//! assert_eq!(frees("0 alloc r0 1\n 0 alloc r1 1\n 0 store r0.0 r1\n 0 clear r1\n 0 clear r0\n"), 2);
//! // a -> b -> a: neither is, now or ever.
//! assert_eq!(frees("0 alloc r0 1\n 0 alloc r1 1\n 0 store r0.0 r1\n 0 store r1.0 r0\n 0 clear r1\n 0 clear r0\n"), 0);
//! ```

use crate::{
    event::Event,
    heap::{Capability, Claims, Heap, Reply},
    object::{Address, Content, Fields, Shape, Stamp, WORD},
    op::{Action, Collect, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root},
    place::{MEMORY, lowest_gap},
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

/// One object in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    shape: Shape,
    usable: u64,
    fields: Fields<Address>,
    stamp: Stamp,
    /// How many roots, globals and fields hold it.
    count: u64,
}

/// A mutator's roots.
type Stack = [Option<Address>; ROOTS as usize];

/// What does not make sense to the heap.
type Trap = String;

/// A reference-counting heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counting {
    cells: BTreeMap<u64, Cell>,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<Address>; GLOBALS as usize],
    stamps: u64,
}

impl Default for Counting {
    fn default() -> Self {
        Counting::new()
    }
}

impl Counting {
    /// An empty heap, with mutator 0.
    pub fn new() -> Self {
        let mut stacks = [None; MUTATORS as usize];
        stacks[0] = Some(Stack::default());
        Counting { cells: BTreeMap::new(), stacks, globals: [None; GLOBALS as usize], stamps: 0 }
    }

    // ---- the collector, all of it

    /// One reference more.
    fn retain(&mut self, object: Option<Address>) {
        if let Some(cell) = object.and_then(|at| self.cells.get_mut(&at.0)) {
            cell.count += 1;
        }
    }

    /// One reference less; and if it was the last, one less to whatever the object refers to.
    fn release(&mut self, object: Option<Address>, events: &mut Vec<Event>) {
        let mut open: Vec<Address> = object.into_iter().collect();
        while let Some(at) = open.pop() {
            let Some(cell) = self.cells.get_mut(&at.0) else { continue };
            cell.count -= 1;
            if cell.count == 0 {
                open.extend(cell.fields.iter().map(|(_, to)| to));
                self.cells.remove(&at.0);
                events.push(Event::Free(at));
            }
        }
    }

    // ---- memory

    fn cell(&mut self, at: Address) -> Result<&mut Cell, Trap> {
        self.cells.get_mut(&at.0).ok_or_else(|| format!("{at} is not an object"))
    }

    fn root(&mut self, mutator: MutatorId, root: Root) -> Result<&mut Option<Address>, Trap> {
        let stack = self.stacks[usize::from(mutator.0)].as_mut();
        Ok(&mut stack.ok_or_else(|| format!("mutator {mutator} is not there"))?[usize::from(root.0)])
    }

    fn held(&mut self, mutator: MutatorId, root: Root) -> Result<Address, Trap> {
        self.root(mutator, root)?.ok_or_else(|| format!("root {root} of mutator {mutator} is nil"))
    }

    fn set_root(
        &mut self,
        mutator: MutatorId,
        root: Root,
        new: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<(), Trap> {
        let old = core::mem::replace(self.root(mutator, root)?, new);
        self.retain(new);
        self.release(old, events);
        Ok(())
    }

    // ---- the mutators

    fn load(&mut self, mutator: MutatorId, place: Place) -> Result<Option<Address>, Trap> {
        match place {
            Place::Global(number) => Ok(self.globals[usize::from(number)]),
            Place::Field { of, index } => {
                let object = self.held(mutator, of)?;
                let cell = self.cell(object)?;
                if index < cell.shape.pointers {
                    Ok(cell.fields.get(index))
                } else {
                    Err(format!("{object} has no field {index}"))
                }
            }
        }
    }

    fn store(
        &mut self,
        mutator: MutatorId,
        place: Place,
        new: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<(), Trap> {
        let old = self.load(mutator, place)?;
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = new,
            Place::Field { of, index } => {
                let object = self.held(mutator, of)?;
                self.cell(object)?.fields.set(index, new);
            }
        }
        self.retain(new);
        self.release(old, events);
        Ok(())
    }

    fn act(&mut self, by: MutatorId, action: &Action, events: &mut Vec<Event>) -> Result<Reply, Trap> {
        match *action {
            Action::Alloc { into, shape } => {
                self.stamps += 1;
                let usable = shape.size().next_multiple_of(WORD).max(WORD);
                let Some(at) = lowest_gap(self.cells.iter().map(|(at, cell)| (*at, cell.usable)), MEMORY, usable)
                else {
                    return Ok(Reply::OutOfMemory);
                };
                let cell = Cell { shape, usable, fields: Fields::default(), stamp: Stamp(self.stamps), count: 0 };
                self.cells.insert(at, cell);
                self.set_root(by, into, Some(Address(at)), events)?;
                return Ok(Reply::Born { at: Address(at), usable, found: Content::ZERO, color: None });
            }
            Action::Load { into, from } => {
                let value = self.load(by, from)?;
                self.set_root(by, into, value, events)?;
                return Ok(value.map_or(Reply::Nil, Reply::Object));
            }
            Action::Store { into, value } => {
                let value = value.map(|root| self.held(by, root)).transpose()?;
                self.store(by, into, value, events)?;
            }
            Action::Move { into, from, start } => {
                let fields = start..start + into.count;
                let values = fields.map(|index| self.load(by, Place::Field { of: from, index }));
                let values: Vec<_> = values.collect::<Result<_, _>>()?;
                // A value may be let go of by one store and be due in a later one.
                for value in &values {
                    self.retain(*value);
                }
                for (index, value) in (into.at..).zip(&values) {
                    self.store(by, Place::Field { of: into.of, index }, *value, events)?;
                }
                for value in values {
                    self.release(value, events);
                }
            }
            Action::Wipe(into) => {
                for index in into.at..into.at + into.count {
                    self.store(by, Place::Field { of: into.of, index }, None, events)?;
                }
            }
            Action::Copy { into, from } => {
                let value = *self.root(by, from)?;
                self.set_root(by, into, value, events)?;
            }
            Action::Clear(root) => self.set_root(by, root, None, events)?,
            Action::Write(root) => {
                self.stamps += 1;
                let (stamp, object) = (Stamp(self.stamps), self.held(by, root)?);
                self.cell(object)?.stamp = stamp;
            }
            Action::Read(root) => {
                let object = self.held(by, root)?;
                let cell = self.cell(object)?;
                return Ok(Reply::Data(cell.stamp.content(cell.shape.bytes)));
            }
            Action::Send { value, to, into } => {
                let value = self.held(by, value)?;
                self.set_root(to, into, Some(value), events)?;
            }
            Action::Join => self.stacks[usize::from(by.0)] = Some(Stack::default()),
            Action::Exit => {
                for object in self.stacks[usize::from(by.0)].take().into_iter().flatten() {
                    self.release(object, events);
                }
            }
            Action::Safepoint | Action::Park | Action::Unpark => {}
            Action::Weak { .. }
            | Action::Strong { .. }
            | Action::Finalizer(_)
            | Action::Finalize(_)
            | Action::Cleanup { .. }
            | Action::Clean(_)
            | Action::Free(_) => return Ok(Reply::Unsupported),
        }
        Ok(Reply::Done)
    }
}

impl Heap for Counting {
    fn claims(&self) -> Claims {
        let claimed = [Capability::Mutators, Capability::Addresses, Capability::Stats, Capability::Frees];
        Claims::new("counting").with(&claimed)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        match *op {
            Op::Mutate { by, ref action } => self.act(by, action, events).unwrap_or_else(Reply::Trap),
            Op::Collect(Collect::Stats) => Reply::Stats {
                objects: self.cells.len() as u64,
                bytes: self.cells.values().map(|cell| cell.usable).sum(),
            },
            Op::Collect(_) | Op::Environment(_) => Reply::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Effect, Graph},
        object::{ObjectId, ObjectSet},
        op::{Program, Run},
    };

    /// A counting heap beside the graph that says what it should be.
    struct Pair {
        heap: Counting,
        graph: Graph,
        /// Which object is at which address.
        at: BTreeMap<Address, ObjectId>,
    }

    impl Pair {
        fn new() -> Self {
            Pair { heap: Counting::new(), graph: Graph::new(), at: BTreeMap::new() }
        }

        /// Performs `op` on both, compares, and gives what was freed.
        fn perform(&mut self, op: &Op) -> Vec<ObjectId> {
            let mut events = Vec::new();
            let reply = self.heap.perform(op, &mut events);
            let effect = self.graph.apply(op);
            let freed = |event: &Event| match event {
                Event::Free(at) => self.at.remove(at).expect("only an object is freed"),
                other => panic!("{other:?} is not claimed"),
            };
            let freed: Vec<_> = events.iter().map(freed).collect();
            match (reply, effect) {
                (Reply::Born { at, .. }, Effect::Born(id)) => assert_eq!(self.at.insert(at, id), None, "{op:?}"),
                (Reply::Object(at), Effect::Loaded(Some(id))) => assert_eq!(self.at[&at], id, "{op:?}"),
                (Reply::Nil, Effect::Loaded(None)) | (Reply::Done, Effect::Quiet) => {}
                (Reply::Data(data), Effect::Read(id)) => {
                    assert_eq!(data, self.graph.object(id).unwrap().content(), "{op:?}");
                }
                other => panic!("{op:?}: {other:?}"),
            }
            freed
        }

        fn tell(&mut self, story: &str) -> Vec<ObjectId> {
            story.parse::<Program>().unwrap().ops().iter().flat_map(|op| self.perform(op)).collect()
        }

        /// What counting must keep: all that is reachable, and all garbage that a cycle of garbage leads to. The
        /// rest of the garbage is what is left over when objects that nobody refers to are taken away again and again.
        fn kept(&self) -> ObjectSet {
            let reachable = self.graph.reachable();
            let mut kept: ObjectSet =
                (0..self.graph.births()).map(ObjectId).filter(|id| self.graph.object(*id).is_some()).collect();
            loop {
                let referred: ObjectSet = kept
                    .iter()
                    .flat_map(|id| self.graph.object(id).expect("born").fields.iter().map(|(_, to)| to))
                    .collect();
                let gone: Vec<_> =
                    kept.iter().filter(|id| !referred.contains(*id) && !reachable.contains(*id)).collect();
                if gone.is_empty() {
                    return kept;
                }
                for id in gone {
                    kept.remove(id);
                }
            }
        }
    }

    const A: ObjectId = ObjectId(0);
    const B: ObjectId = ObjectId(1);

    #[test]
    fn acyclic_garbage_is_freed_at_once() {
        let mut pair = Pair::new();
        assert_eq!(pair.tell("0 alloc r0 1\n0 alloc r1 0 8\n0 store r0.0 r1\n0 clear r1\n"), []);
        assert_eq!(pair.tell("0 clear r0\n"), [A, B]);
        assert_eq!(
            pair.heap.perform(&"gc stats".parse().unwrap(), &mut Vec::new()),
            Reply::Stats { objects: 0, bytes: 0 }
        );
    }

    /// Law 61 cannot be met.
    #[test]
    fn a_cycle_is_never_freed() {
        let mut pair = Pair::new();
        assert_eq!(pair.tell("0 alloc r0 1\n0 store r0.0 r0\n0 clear r0\n"), []);
        assert_eq!(
            pair.tell("0 alloc r0 1\n0 alloc r1 1\n0 store r0.0 r1\n0 store r1.0 r0\n0 clear r0\n0 clear r1\n"),
            []
        );
        assert!(pair.graph.reachable().is_empty());
        assert_eq!(pair.heap.cells.len(), 3);
        let full = "gc full".parse().unwrap();
        assert!(!pair.heap.claims().allow(&full));
        assert_eq!(pair.heap.perform(&full, &mut Vec::new()), Reply::Unsupported);
    }

    #[test]
    fn what_is_stored_over_itself_stays() {
        let mut pair = Pair::new();
        assert_eq!(pair.tell("0 alloc r0 2\n0 alloc r1 0\n0 store r0.0 r1\n0 clear r1\n"), []);
        assert_eq!(pair.tell("0 load r1 r0.0\n0 store r0.0 r1\n0 clear r1\n0 move r0.0 r0.0 2\n"), []);
        assert_eq!(pair.tell("0 move r0.1 r0.0 1\n0 move r0.0 r0.1 1\n0 store g0 r0\n0 clear r0\n0 load r0 g0\n"), []);
        assert_eq!(pair.tell("0 load r0 r0.1\n0 store g0 nil\n"), [A]);
        assert_eq!(pair.tell("0 alloc r0 0\n"), [B]);
    }

    #[test]
    fn a_move_does_not_lose_what_it_shifts_over_its_only_place() {
        // c is held by r0.1 alone, which becomes b before c arrives in r0.2.
        let mut pair = Pair::new();
        pair.tell("0 alloc r0 3\n0 alloc r1 0\n0 store r0.0 r1\n0 alloc r1 0\n0 store r0.1 r1\n0 clear r1\n");
        assert_eq!(pair.tell("0 move r0.1 r0.0 2\n"), []);
        assert_eq!(pair.tell("0 wipe r0.0 2\n"), [B]);
        assert_eq!(pair.tell("0 wipe r0.2 1\n"), [ObjectId(2)]);
    }

    #[test]
    fn who_leaves_lets_go() {
        let mut pair = Pair::new();
        assert_eq!(pair.tell("1 join\n1 alloc r0 1\n1 alloc r1 0\n1 store r0.0 r1\n1 send r1 0.r3\n"), []);
        assert_eq!(pair.tell("1 exit\n"), [A]);
        assert_eq!(pair.tell("0 exit\n"), [B]);
    }

    #[test]
    fn a_list_of_any_length_is_freed_in_one_step() {
        let mut pair = Pair::new();
        pair.tell("0 alloc r0 1\n");
        for _ in 0..10_000 {
            pair.tell("0 alloc r1 1\n0 store r1.0 r0\n0 copy r0 r1\n");
        }
        pair.tell("0 clear r1\n");
        assert_eq!(pair.tell("0 clear r0\n").len(), 10_001);
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u32) -> u32 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.0;
            bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((bits ^ bits >> 31) % u64::from(end)) as u32
        }

        fn op(&mut self) -> Op {
            let by = self.below(3) as u8;
            let mut root = || Root(self.below(4) as u8);
            let (one, two) = (root(), root());
            let index = self.below(3);
            let place = match self.below(4) {
                0 => Place::Global(self.below(2) as u8),
                _ => Place::Field { of: two, index },
            };
            let run = Run { of: one, at: index, count: 1 + self.below(2) };
            Op::mutate(
                by,
                match self.below(24) {
                    0..5 => Action::Alloc { into: one, shape: Shape::new(self.below(4), self.below(9)) },
                    5..8 => Action::Load { into: one, from: place },
                    8..12 => Action::Store { into: place, value: Some(one) },
                    12 => Action::Store { into: place, value: None },
                    13 | 14 => Action::Move { into: run, from: two, start: self.below(2) },
                    15 => Action::Wipe(run),
                    16 => Action::Copy { into: one, from: two },
                    17 | 18 => Action::Clear(one),
                    19 => Action::Write(one),
                    20 => Action::Read(one),
                    21 => Action::Send { value: one, to: MutatorId(self.below(3) as u8), into: two },
                    22 => Action::Join,
                    _ => [Action::Exit, Action::Park, Action::Unpark, Action::Safepoint][self.below(4) as usize],
                },
            )
        }
    }

    /// After every operation, exactly what [`Pair::kept`] says is there. In particular nothing reachable is missing, and
    /// no garbage is there unless a cycle keeps it.
    #[test]
    fn exactly_the_reachable_and_what_cycles_keep_is_there() {
        let (mut performed, mut freed, mut leaked) = (0, 0, 0);
        for seed in 0..300 {
            let (mut random, mut pair) = (Random(seed), Pair::new());
            for _ in 0..120 {
                let op = random.op();
                if !pair.graph.allows(&op) {
                    continue;
                }
                freed += pair.perform(&op).len();
                performed += 1;
                let there: ObjectSet = pair.at.values().copied().collect();
                assert_eq!(there, pair.kept(), "seed {seed}, {op:?}");
                assert_eq!(pair.heap.cells.len(), there.len());
            }
            leaked += pair.at.len() - pair.graph.reachable().len();
        }
        assert!(performed > 5_000 && freed > 1_000 && leaked > 30, "{performed}, {freed}, {leaked}");
    }

    #[test]
    fn a_field_behind_the_last_is_a_trap() {
        let mut heap = Counting::new();
        let mut say = |line: &str| heap.perform(&line.parse().unwrap(), &mut Vec::new());
        say("0 alloc r0 2");
        assert_eq!(say("0 load r1 r0.1"), Reply::Nil);
        assert!(matches!(say("0 load r1 r0.2"), Reply::Trap(_)));
    }
}
