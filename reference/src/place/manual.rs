//! Manual: a heap whose program frees by hand, over any of the allocators of this part.
//!
//! The allocators above place sizes. To be judged by the same laws as a collector, an allocator has to speak the suite's
//! words: it needs roots, globals and objects with fields. This chapter lends it those. What an object holds is kept in
//! here, beside the allocator, which decides only where the object goes:
//!
//! ```text
//!   words      0 alloc r0 2 24          0 free r0             env fail 1
//!                 │  40 bytes, pointers    │  0x1010             │
//!   manual     roots, fields, stamps       │                     │
//!                 ▼                        ▼                     ▼
//!   places     place ──▶ 0x1010, 48    take back             the next growth is refused
//! ```
//!
//! | policy         | takes                                     | grows by                  | takes back                 |
//! |----------------|-------------------------------------------|---------------------------|----------------------------|
//! | bump           | the next bytes                            | pages of 4 KiB            | nothing: it does not claim to |
//! | first, next, best fit | the free block that the rule says  | pages of 4 KiB            | at once, merged            |
//! | segregated fit | a block of the next size, 8 KiB at most   | units of 8 KiB            | at once, into its list     |
//! | go             | a slot, packed if tiny; pages if large    | chunks of 4 MiB           | by a cycle, now and then   |
//!
//! Go's allocator has no way to take back one object: it learns of a death by a cycle that does not mark it. So freeing
//! only forgets the object; every sixteenth free begins a cycle or ends one, whose sweep is left to the requests that
//! follow, and a request that is refused is made again after a whole one.
//!
//! Objects without a byte take no room, but here each has an address of its own, since the suite tells objects apart by
//! their addresses. They stand at the top end of all addresses, where no memory is.
//!
//! This chapter grounds laws 1, 3, 4, 9, 10, 17 to 22, 28, 30, 41 and 123.
//!
//! ```
//! use heaplaw_reference::{heap::{Heap, Reply}, op::Program, place::manual::{Manual, Policy}};
//! let story: Program = "0 alloc r0 0 16\n0 alloc r1 0 16\n0 free r0\n0 alloc r0 0 32\n0 alloc r2 0 16\n".parse()?;
//! let places = |policy| {
//!     let mut heap = Manual::new(policy);
//!     let replies: Vec<_> = story.ops().iter().map(|op| heap.perform(op, &mut Vec::new())).collect();
//!     replies.into_iter().filter_map(|reply| match reply {
//!         Reply::Born { at, .. } => Some(at.0 - 0x1000),
//!         _ => None,
//!     }).collect::<Vec<_>>()
//! };
//! assert_eq!(places(Policy::FirstFit), [16, 48, 80, 16], "the gap of the first is too small for 32 bytes");
//! assert_eq!(places(Policy::NextFit), [16, 48, 80, 128], "the rover is behind that gap");
//! # Ok::<(), heaplaw_reference::text::ParseError>(())
//! ```

use crate::{
    event::Event,
    heap::{Capability, Choice, Claims, Heap, Placement, Reply},
    object::{Address, Content, Fields, Shape, Stamp},
    op::{Action, Collect, Environment, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root},
    place::{
        BASE, MEMORY, ZERO_BASE,
        allocator::Allocator,
        bump::Bump,
        fit::{Fit, FreeList, Rules},
        segregated::{Pop, Segregated},
    },
};
use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, vec, vec::Vec};

/// How objects are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By a [cursor](Bump).
    Bump,
    /// In the [lowest](Fit::First) free block.
    FirstFit,
    /// In the [next](Fit::Next) free block.
    NextFit,
    /// In the [smallest](Fit::Best) free block.
    BestFit,
    /// In a block from a [list](Segregated) of its size.
    SegregatedFit,
    /// By Go's whole [allocator](Allocator).
    Go,
}

impl Policy {
    /// All of them, the simplest first.
    pub const ALL: [Policy; 6] =
        [Policy::Bump, Policy::FirstFit, Policy::NextFit, Policy::BestFit, Policy::SegregatedFit, Policy::Go];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Bump => "bump",
            Policy::FirstFit => "first-fit",
            Policy::NextFit => "next-fit",
            Policy::BestFit => "best-fit",
            Policy::SegregatedFit => "segregated-fit",
            Policy::Go => "go",
        }
    }
}

/// The bytes by which a cursor or a free list grows.
const GROWTH: u64 = 4 << 10;

/// The headers of real free lists hold a size and a bit; what is behind them is fit for anything.
const RULES: Rules = Rules { granule: 16, min_block: 32, header: 16 };

/// The bytes of a unit of segregated fit, and of its largest block.
const UNIT: u64 = 8 << 10;

/// Frees from one turn of Go's cycle to the next.
const TURN: u32 = 16;

/// An allocator, and what it has of the memory.
#[derive(Clone, Debug)]
enum Places {
    Bump { cursor: Bump, obtained: u64 },
    Fit(FreeList),
    Segregated(Segregated),
    Go { allocator: alloc::boxed::Box<Allocator>, frees: u32 },
}

/// One object in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    shape: Shape,
    usable: u64,
    fields: Fields<Address>,
    stamp: Stamp,
}

/// A mutator's roots.
type Stack = [Option<Address>; ROOTS as usize];

/// What does not make sense to the heap.
type Trap = String;

/// A heap without a collector.
#[derive(Clone, Debug)]
pub struct Manual {
    policy: Policy,
    places: Places,
    memory: u64,
    /// How many growths from now on, until one is refused; 0 if none is. Go's allocator counts for itself.
    failing: u32,
    /// Every object, by its address.
    cells: BTreeMap<u64, Cell>,
    /// Objects without a byte that were ever born.
    empty: u64,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<Address>; GLOBALS as usize],
    stamps: u64,
}

impl Manual {
    /// An empty heap, with mutator 0, in memory as good as endless.
    pub fn new(policy: Policy) -> Self {
        Manual::with_memory(policy, MEMORY)
    }

    /// As [`Manual::new`], in so many bytes of memory; Go's allocator reserves 64 MiB at a time.
    pub fn with_memory(policy: Policy, memory: u64) -> Self {
        let mut stacks = [None; MUTATORS as usize];
        stacks[0] = Some(Stack::default());
        let fit = |fit| Places::Fit(FreeList::new(fit, RULES, BASE, GROWTH));
        let places = match policy {
            Policy::Bump => Places::Bump { cursor: Bump::new(BASE, memory), obtained: 0 },
            Policy::FirstFit => fit(Fit::First),
            Policy::NextFit => fit(Fit::Next),
            Policy::BestFit => fit(Fit::Best),
            Policy::SegregatedFit => {
                // Four sizes for each doubling.
                let steps = (5..13).flat_map(|power| [4, 5, 6, 7].map(|quarters| quarters << (power - 2)));
                let sizes: Vec<u64> = [8, 16, 24].into_iter().chain(steps).chain([UNIT]).collect();
                Places::Segregated(Segregated::new(sizes, UNIT, Pop::Last, BASE, memory))
            }
            Policy::Go => {
                let allocator = Allocator::new(usize::from(MUTATORS), memory).into();
                Places::Go { allocator, frees: 0 }
            }
        };
        Manual {
            policy,
            places,
            memory,
            failing: 0,
            cells: BTreeMap::new(),
            empty: 0,
            stacks,
            globals: [None; GLOBALS as usize],
            stamps: 0,
        }
    }

    // ---- places

    /// Whether the heap may have so many bytes of memory: whoever provides it may refuse.
    fn granted(&mut self, whole: Option<u64>) -> bool {
        if whole.is_none_or(|whole| whole > self.memory) {
            return false;
        }
        let refused = self.failing == 1;
        self.failing = self.failing.saturating_sub(1);
        !refused
    }

    /// A place for an object: its address, and the bytes that it may use.
    fn place(&mut self, by: MutatorId, shape: Shape) -> Option<(u64, u64)> {
        let size = shape.size();
        if size == 0 {
            self.empty += 1;
            return Some((ZERO_BASE - self.empty, 0));
        }
        match &mut self.places {
            Places::Bump { cursor, obtained } => {
                let align = shape.alignment();
                let end = (BASE + cursor.used()).next_multiple_of(align) - BASE + size;
                if end > *obtained {
                    let whole = end.next_multiple_of(GROWTH);
                    if !self.granted(Some(whole)) {
                        return None;
                    }
                    let Places::Bump { obtained, .. } = &mut self.places else { unreachable!("the policy stays") };
                    *obtained = whole;
                }
                let Places::Bump { cursor, .. } = &mut self.places else { unreachable!("the policy stays") };
                Some((cursor.allocate(size, align)?, size))
            }
            Places::Fit(list) => {
                let mut at = list.allocate(size);
                if at.is_none() {
                    let growth = RULES.needed(size)?.checked_next_multiple_of(GROWTH)?;
                    let whole = list.size().checked_add(growth);
                    if !self.granted(whole) {
                        return None;
                    }
                    let Places::Fit(list) = &mut self.places else { unreachable!("the policy stays") };
                    list.grow(growth);
                    at = list.allocate(size);
                }
                let Places::Fit(list) = &self.places else { unreachable!("the policy stays") };
                Some((at?, list.usable(at?)?))
            }
            Places::Segregated(lists) => {
                // The units lie in a range of their own, which knows its end.
                if lists.wants_unit(size) && !self.granted(Some(0)) {
                    return None;
                }
                let Places::Segregated(lists) = &mut self.places else { unreachable!("the policy stays") };
                let at = lists.allocate(size)?;
                Some((at, lists.usable(at)?))
            }
            Places::Go { allocator, .. } => {
                let pointers = !shape.pointer_free();
                let cache = usize::from(by.0);
                let mut placed = allocator.allocate(cache, size, pointers);
                if placed.is_none() {
                    if !allocator.heap().marking() {
                        allocator.start_marking();
                    }
                    self.cells.keys().for_each(|at| _ = allocator.mark(*at));
                    allocator.finish_marking();
                    allocator.finish_sweep();
                    placed = allocator.allocate(cache, size, pointers);
                }
                placed.map(|placed| (placed.at, placed.usable))
            }
        }
    }

    /// Takes the place of an object back, which is one no more.
    fn take_back(&mut self, at: u64) -> Result<(), Trap> {
        let freed = match &mut self.places {
            Places::Bump { .. } => return Err("a cursor takes nothing back".into()),
            Places::Fit(list) => list.free(at),
            Places::Segregated(lists) => lists.free(at),
            Places::Go { allocator, frees } => {
                *frees += 1;
                if frees.is_multiple_of(TURN) {
                    if allocator.heap().marking() {
                        self.cells.keys().for_each(|at| _ = allocator.mark(*at));
                        allocator.finish_marking();
                    } else {
                        allocator.start_marking();
                    }
                }
                Ok(())
            }
        };
        freed.map_err(|why| format!("there is no object at {at:#x}: {why:?}"))
    }

    /// What the allocator believes about itself, checked.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self) -> Result<(), String> {
        match &self.places {
            Places::Bump { .. } | Places::Segregated(_) => Ok(()),
            Places::Fit(list) => list.verify(),
            Places::Go { allocator, .. } => allocator.verify(),
        }
    }

    // ---- objects

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

    fn load(&mut self, by: MutatorId, place: Place) -> Result<Option<Address>, Trap> {
        let Place::Field { of, index } = place else {
            let Place::Global(number) = place else { unreachable!("a place is a field or a global") };
            return Ok(self.globals[usize::from(number)]);
        };
        let object = self.held(by, of)?;
        let cell = self.cell(object)?;
        if index < cell.shape.pointers {
            Ok(cell.fields.get(index))
        } else {
            Err(format!("{object} has no field {index}"))
        }
    }

    fn store(&mut self, by: MutatorId, place: Place, new: Option<Address>) -> Result<(), Trap> {
        self.load(by, place)?;
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = new,
            Place::Field { of, index } => {
                let object = self.held(by, of)?;
                self.cell(object)?.fields.set(index, new);
            }
        }
        Ok(())
    }

    fn free(&mut self, by: MutatorId, root: Root) -> Result<(), Trap> {
        let object = self.held(by, root)?;
        let cell = self.cells.remove(&object.0).ok_or_else(|| format!("{object} is not an object"))?;
        if cell.shape.size() > 0 {
            self.take_back(object.0)?;
        }
        let roots = self.stacks.iter_mut().flatten().flatten().chain(&mut self.globals);
        roots.filter(|held| **held == Some(object)).for_each(|held| *held = None);
        Ok(())
    }

    fn act(&mut self, by: MutatorId, action: &Action) -> Result<Reply, Trap> {
        match *action {
            Action::Alloc { into, shape } => {
                self.stamps += 1;
                let Some((at, usable)) = self.place(by, shape) else { return Ok(Reply::OutOfMemory) };
                let cell = Cell { shape, usable, fields: Fields::default(), stamp: Stamp(self.stamps) };
                self.cells.insert(at, cell);
                *self.root(by, into)? = Some(Address(at));
                return Ok(Reply::Born { at: Address(at), usable, found: Content::ZERO, color: None });
            }
            Action::Load { into, from } => {
                let value = self.load(by, from)?;
                *self.root(by, into)? = value;
                return Ok(value.map_or(Reply::Nil, Reply::Object));
            }
            Action::Store { into, value } => {
                let value = value.map(|root| self.held(by, root)).transpose()?;
                self.store(by, into, value)?;
            }
            Action::Move { into, from, start } => {
                let fields = start..start + into.count;
                let values = fields.map(|index| self.load(by, Place::Field { of: from, index }));
                let values: Vec<_> = values.collect::<Result<_, _>>()?;
                for (index, value) in (into.at..).zip(values) {
                    self.store(by, Place::Field { of: into.of, index }, value)?;
                }
            }
            Action::Wipe(into) => {
                for index in into.at..into.at + into.count {
                    self.store(by, Place::Field { of: into.of, index }, None)?;
                }
            }
            Action::Copy { into, from } => *self.root(by, into)? = *self.root(by, from)?,
            Action::Clear(root) => *self.root(by, root)? = None,
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
            Action::Send { value, to, into } => *self.root(to, into)? = Some(self.held(by, value)?),
            Action::Free(root) if self.policy != Policy::Bump => self.free(by, root)?,
            Action::Join => self.stacks[usize::from(by.0)] = Some(Stack::default()),
            Action::Exit => self.stacks[usize::from(by.0)] = None,
            Action::Safepoint | Action::Park | Action::Unpark => {}
            _ => return Ok(Reply::Unsupported),
        }
        Ok(Reply::Done)
    }
}

impl Heap for Manual {
    fn claims(&self) -> Claims {
        let mut claimed = vec![
            Capability::Mutators,
            Capability::Addresses,
            Capability::Stats,
            Capability::Faults,
            Capability::Deterministic,
        ];
        if self.policy != Policy::Bump {
            claimed.push(Capability::Free);
        }
        if matches!(self.policy, Policy::SegregatedFit | Policy::Go) {
            claimed.push(Capability::Classes);
        }
        let claims = Claims::new(Cow::Borrowed(self.policy.name())).with(&claimed);
        let Rules { granule, min_block, header } = RULES;
        let list = |choice| Placement::FreeList { choice, granule, min_block, header, growth: GROWTH };
        match self.policy {
            Policy::Bump => claims.placing(Placement::Bump { granule: 1 }),
            Policy::FirstFit => claims.placing(list(Choice::First)),
            Policy::NextFit => claims.placing(list(Choice::Next)),
            Policy::BestFit => claims.placing(list(Choice::Best)),
            Policy::SegregatedFit | Policy::Go => claims,
        }
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
        match *op {
            Op::Mutate { by, ref action } => self.act(by, action).unwrap_or_else(Reply::Trap),
            Op::Collect(Collect::Stats) => Reply::Stats {
                objects: self.cells.len() as u64,
                bytes: self.cells.values().map(|cell| cell.usable).sum(),
            },
            Op::Environment(Environment::Fail(growth)) => {
                match &mut self.places {
                    Places::Go { allocator, .. } => allocator.refuse(growth),
                    _ => self.failing = growth,
                }
                Reply::Done
            }
            Op::Collect(_) | Op::Environment(_) => Reply::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{op::Program, place::Dice};

    fn run(heap: &mut Manual, story: &str) -> Vec<Reply> {
        let program: Program = story.parse().expect("a program");
        program.ops().iter().map(|op| heap.perform(op, &mut Vec::new())).collect()
    }

    /// What the answer says, but for where the heap put it.
    fn heard(reply: Reply) -> Reply {
        match reply {
            Reply::Born { found, color, .. } => Reply::Born { at: Address(0), usable: 0, found, color },
            Reply::Object(_) => Reply::Object(Address(0)),
            Reply::Stats { objects, .. } => Reply::Stats { objects, bytes: 0 },
            reply => reply,
        }
    }

    #[test]
    fn every_policy_gives_the_same_answers_but_for_the_places() {
        let freeing = Policy::ALL.into_iter().filter(|policy| *policy != Policy::Bump);
        let mut heaps: Vec<Manual> = freeing.map(Manual::new).collect();
        let (mut dice, mut used) = (Dice(41), 0u32);
        for step in 0..4_000 {
            let root = dice.below(16);
            let line = match (used >> root & 1, dice.below(8)) {
                (0, 0) => "gc stats".into(),
                (0, _) => {
                    let size = if dice.below(9) == 0 { dice.below(8192) } else { dice.below(200) };
                    format!("0 alloc r{root} {} {size}", dice.below(3))
                }
                (_, 0) => format!("0 read r{root}"),
                (_, 1) => format!("0 write r{root}"),
                _ => format!("0 free r{root}"),
            };
            match line.split(' ').nth(1) {
                Some("alloc") => used |= 1 << root,
                Some("free") => used &= !(1 << root),
                _ => {}
            }
            let mut answers = heaps.iter_mut().map(|heap| heard(run(heap, &line).remove(0)));
            let first = answers.next().expect("an answer");
            assert!(!matches!(first, Reply::Trap(_) | Reply::OutOfMemory | Reply::Unsupported), "{line}: {first:?}");
            assert!(answers.all(|answer| answer == first), "step {step}: {line}");
        }
        for heap in &heaps {
            assert_eq!(heap.verify(), Ok(()), "{}", heap.policy.name());
        }
    }

    #[test]
    fn what_is_freed_is_used_again() {
        for policy in [Policy::FirstFit, Policy::NextFit, Policy::BestFit, Policy::SegregatedFit] {
            let mut heap = Manual::with_memory(policy, 3 * UNIT);
            let fill: String = (0..16).map(|root| format!("0 alloc r{root} 0 3000\n")).collect();
            let filled = run(&mut heap, &fill);
            let born = filled.iter().filter(|reply| matches!(reply, Reply::Born { .. })).count();
            assert!((6..9).contains(&born) && filled.last() == Some(&Reply::OutOfMemory), "{policy:?}: {born}");
            for root in 0..born {
                let again = run(&mut heap, &format!("0 free r{root}\n0 alloc r{root} 0 3000\n"));
                assert!(matches!(again[1], Reply::Born { .. }), "{policy:?}");
            }
        }
    }

    #[test]
    fn a_free_list_that_is_broken_is_found() {
        let mut heap = Manual::new(Policy::NextFit);
        let Places::Fit(list) = &mut heap.places else { panic!("a free list") };
        list.misplace_rover();
        assert!(heap.verify().is_err_and(|why| why.contains("rover")));
    }

    #[test]
    fn go_takes_back_what_a_cycle_did_not_mark() {
        let mut heap = Manual::new(Policy::Go);
        let mut places = Vec::new();
        for _ in 0..1_000 {
            match &run(&mut heap, "0 alloc r0 1 2000\n0 free r0\n")[0] {
                Reply::Born { at, .. } => places.push(at.0),
                other => panic!("{other:?}"),
            }
            assert_eq!(heap.verify(), Ok(()));
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() < 400, "{} places for one object at a time", places.len());
    }

    #[test]
    fn the_growth_that_is_named_is_refused_and_no_other() {
        for policy in Policy::ALL {
            // Each takes a growth of its own.
            let size = match policy {
                Policy::Go => 4 << 20,
                Policy::SegregatedFit => UNIT,
                _ => 3 * GROWTH - RULES.header,
            };
            for growth in 1..4 {
                let mut heap = Manual::new(policy);
                let alloc = format!("0 alloc r0 0 {size}\n");
                let story = format!("env fail {growth}\n{}", alloc.repeat(5));
                let refused: Vec<_> =
                    run(&mut heap, &story)[1..].iter().map(|reply| *reply == Reply::OutOfMemory).collect();
                let expected: Vec<_> = (1..=5).map(|number| number == growth && policy != Policy::Go).collect();
                // Go's makes its request again after a cycle, and the kernel refuses only once.
                assert_eq!(refused, expected, "{policy:?}");
            }
        }
    }

    #[test]
    fn an_object_without_a_byte_takes_no_room_and_has_an_address_of_its_own() {
        for policy in Policy::ALL {
            let mut heap = Manual::with_memory(policy, 0);
            let replies = run(&mut heap, "0 alloc r0 0\n0 alloc r1 0\ngc stats\n");
            let [
                Reply::Born { at: a, usable: 0, .. },
                Reply::Born { at: b, .. },
                Reply::Stats { objects: 2, bytes: 0 },
            ] = replies[..]
            else {
                panic!("{replies:?}")
            };
            assert!(a != b && a.0 > 0 && b.0 > 0);
        }
    }

    #[test]
    fn a_cursor_does_not_claim_to_free() {
        let mut heap = Manual::new(Policy::Bump);
        assert!(!heap.claims().has(Capability::Free) && Manual::new(Policy::Go).claims().is_allocator());
        assert_eq!(run(&mut heap, "0 alloc r0 0 8\n0 free r0\n")[1], Reply::Unsupported);
    }

    #[test]
    fn what_makes_no_sense_is_a_trap() {
        let trap = |story: &str| run(&mut Manual::new(Policy::BestFit), story).pop();
        for story in ["0 free r0", "0 read r0", "1 alloc r0 0 8", "0 alloc r0 1\n0 load r1 r0.1"] {
            assert!(matches!(trap(story), Some(Reply::Trap(_))), "{story}");
        }
    }

    fn born(heap: &mut Manual, line: &str) -> Option<u64> {
        match run(heap, line)[..] {
            [Reply::Born { at, .. }] => Some(at.0),
            _ => None,
        }
    }

    #[test]
    fn gos_cycle_turns_after_so_many_frees_and_when_memory_is_refused() {
        // Few frees: no cycle has come round, so nothing is used again.
        let mut heap = Manual::new(Policy::Go);
        let mut places: Vec<_> = (0..TURN)
            .map(|_| {
                let at = born(&mut heap, "0 alloc r0 1 2000");
                run(&mut heap, "0 free r0");
                at.expect("there is room")
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), TURN as usize);
        // Whether a cycle is under way or not, a refusal completes one, and what was freed before it is there again.
        for frees in [1, TURN] {
            let mut heap = Manual::new(Policy::Go);
            let large = |root| format!("0 alloc r{root} 0 4194304");
            let first = born(&mut heap, &large(0)).expect("there is room");
            (1..frees).for_each(|_| _ = run(&mut heap, "0 alloc r1 0 8\n0 free r1\n"));
            run(&mut heap, "0 free r0\nenv fail 1\n");
            let next = born(&mut heap, &large(2));
            assert_eq!((next, heap.verify()), (Some(first), Ok(())), "{frees}");
            assert!(born(&mut heap, &large(3)).is_some_and(|at| Some(at) != next));
        }
    }

    #[test]
    fn every_policy_keeps_what_is_stored_moved_copied_and_sent() {
        for policy in Policy::ALL {
            let mut heap = Manual::new(policy);
            let mut say = |story: &str| run(&mut heap, story).pop().expect("an answer");
            let mut born = |story: &str| match say(story) {
                Reply::Born { at, .. } => at,
                other => panic!("{other:?}"),
            };
            let (a, b) = (born("0 alloc r0 3 8"), born("0 alloc r1 0 8"));
            let fields = |heap: &mut Manual| {
                [0, 1, 2].map(|index| match run(heap, &format!("0 load r9 r0.{index}\n"))[..] {
                    [Reply::Object(at)] => Some(at),
                    [Reply::Nil] => None,
                    ref other => panic!("{other:?}"),
                })
            };
            run(&mut heap, "0 store r0.0 r1\n0 store r0.1 r0\n");
            assert_eq!(fields(&mut heap), [Some(b), Some(a), None]);
            run(&mut heap, "0 move r0.1 r0.0 2\n");
            assert_eq!(fields(&mut heap), [Some(b), Some(b), Some(a)], "all is read before anything is written");
            run(&mut heap, "0 wipe r0.1 2\n");
            assert_eq!(fields(&mut heap), [Some(b), None, None]);
            let traps = run(&mut heap, "0 load r9 r0.3\n0 move r0.2 r0.0 2\n0 wipe r0.2 2\n0 store r0.3 r1\n");
            assert!(traps.iter().all(|reply| matches!(reply, Reply::Trap(_))), "{traps:?}");
            let rest = "0 copy r2 r1\n0 write r2\n0 read r1\n0 write r2\n0 read r1\n0 clear r2\n0 read r2\n";
            let [_, _, first, _, second, cleared, nil] = &run(&mut heap, rest)[..] else { panic!("seven answers") };
            let stamp = |number| Reply::Data(Content::Uniform(number));
            assert_eq!((first, second, cleared), (&stamp(3), &stamp(4), &Reply::Done));
            assert!(matches!(nil, Reply::Trap(_)));
            let others = "1 join\n0 send r1 1.r5\n1 read r5\n1 park\n1 unpark\n1 safepoint\n1 exit\n1 read r5\n";
            let replies = run(&mut heap, others);
            let done = [0, 1, 3, 4, 5, 6].map(|at| &replies[at]);
            assert_eq!((done, &replies[2]), ([&Reply::Done; 6], &stamp(4)));
            assert!(matches!(replies[7], Reply::Trap(_)), "mutator 1 is not there");
            assert_eq!(heap.claims().name, policy.name());
        }
        assert_eq!(
            Policy::ALL.map(Policy::name),
            ["bump", "first-fit", "next-fit", "best-fit", "segregated-fit", "go"]
        );
    }

    #[test]
    fn memory_grows_by_pages_up_to_its_end_and_a_cursor_leaves_no_byte_out() {
        let filled = |policy, memory, sizes: &[u64]| {
            let mut heap = Manual::with_memory(policy, memory);
            sizes.iter().map(|size| born(&mut heap, &format!("0 alloc r0 0 {size}")).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(filled(Policy::Bump, 2 * GROWTH, &[GROWTH, GROWTH, 1]), [true, true, false]);
        assert_eq!(filled(Policy::Bump, 2 * GROWTH - 1, &[GROWTH, GROWTH - 1]), [true, false], "whole pages");
        let block = GROWTH - RULES.header;
        assert_eq!(filled(Policy::FirstFit, 2 * GROWTH, &[block, block, 1]), [true, true, false]);
        assert_eq!(filled(Policy::FirstFit, 2 * GROWTH - 1, &[block, block]), [true, false]);
        // Which of a cursor's requests grows: padding counts, and a request that just fits does not grow.
        let mut heap = Manual::new(Policy::Bump);
        let refused = |heap: &mut Manual, size: u64| born(heap, &format!("0 alloc r0 0 {size}")).is_none();
        run(&mut heap, "env fail 2\n");
        assert_eq!([4089, 7].map(|size| refused(&mut heap, size)), [false, false], "4096 bytes");
        assert!(refused(&mut heap, 1), "the second growth");
        assert_eq!([4089, 8].map(|size| refused(&mut heap, size)), [false, false]);
    }

    #[test]
    fn go_packs_what_has_no_pointers() {
        let mut heap = Manual::new(Policy::Go);
        let apart = |heap: &mut Manual, shape: &str| {
            let [a, b] = [0, 1].map(|root| born(heap, &format!("0 alloc r{root} {shape}")).expect("there is room"));
            b - a
        };
        assert_eq!([apart(&mut heap, "0 4"), apart(&mut heap, "1 0")], [4, 8]);
    }
}
