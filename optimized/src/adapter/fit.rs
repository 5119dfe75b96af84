//! The fits as subjects of the kit: a heap freed by hand over each of them.
//!
//! The reference has the same heap over its own allocators, and this one grows by the same steps, so that both place
//! every object at the same distance from their lowest address. Here objects are real memory: fields first, as words, and
//! then data; so an allocator that gives away a byte twice shows in what objects hold. Objects without a byte take no
//! memory; each has an address of its own at the top end of all addresses.
//!
//! ```
//! use heaplaw_optimized::{adapter::fit::ByHand, fit::Fit};
//! use heaplaw_reference::{heap::{Heap, Reply}, op::Program, place::{BASE, manual::{Manual, Policy}}};
//! let story: Program = "0 alloc r0 0 16\n0 alloc r1 0 16\n0 free r0\n0 alloc r0 0 32\n0 alloc r2 0 16\n".parse()?;
//! let (mut fast, mut slow) = (ByHand::free_list(Fit::Next, 1 << 20)?, Manual::new(Policy::NextFit));
//! for op in story.ops() {
//!     match (fast.perform(op, &mut Vec::new()), slow.perform(op, &mut Vec::new())) {
//!         (Reply::Born { at: a, .. }, Reply::Born { at: b, .. }) => assert_eq!(a.0 - fast.base(), b.0 - BASE),
//!         (a, b) => assert_eq!(a, b),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{
    Error, Faults,
    fit::{Bump, Corruption, Fit, FreeList, NotAllocated, Pop, Rules, Segregated, ZERO_BASE},
};
use heaplaw_reference::{
    event::Event,
    heap::{Capability, Choice, Claims, Heap, Placement, Reply},
    object::{Address, Content, Shape, Stamp, WORD},
    op::{Action, Collect, Environment, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root},
};
use std::collections::HashMap;

/// The bytes by which a cursor or a free list grows.
const GROWTH: usize = 4 << 10;

/// Those of the reference's heap freed by hand.
const RULES: Rules = Rules { granule: 16, min_block: 32, header: 16 };

/// The bytes of a unit of segregated fit, and of its largest block.
const UNIT: usize = 8 << 10;

/// An allocator.
enum Places {
    Bump(Bump),
    List(FreeList),
    Segregated(Segregated),
}

/// One object.
#[derive(Clone, Copy)]
struct Cell {
    /// In the allocator's memory.
    offset: usize,
    usable: usize,
    shape: Shape,
}

/// A mutator's roots.
type Stack = [Option<u64>; ROOTS as usize];

/// A heap without a collector over one of the fits.
pub struct ByHand {
    name: &'static str,
    places: Places,
    /// Every object, by its address.
    cells: HashMap<u64, Cell>,
    /// Objects without a byte that were ever born.
    empty: u64,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<u64>; GLOBALS as usize],
    stamps: u64,
}

impl ByHand {
    /// An empty heap over a cursor, in at most so many bytes of memory. It takes nothing back, and does not claim to.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn bump(memory: usize) -> Result<ByHand, Error> {
        Ok(ByHand::over("bump", Places::Bump(Bump::new(memory, GROWTH, Faults::NONE)?)))
    }

    /// As [`ByHand::bump`], over a free list, which takes 4 KiB in any case.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn free_list(fit: Fit, memory: usize) -> Result<ByHand, Error> {
        let name = match fit {
            Fit::First => "first-fit",
            Fit::Next => "next-fit",
            Fit::Best => "best-fit",
        };
        let list = FreeList::new(fit, RULES, GROWTH, memory.max(GROWTH), Faults::NONE)?;
        Ok(ByHand::over(name, Places::List(list)))
    }

    /// As [`ByHand::bump`], over lists for each size: four for each doubling, last in, first out.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn segregated(memory: usize) -> Result<ByHand, Error> {
        let steps = (5..13).flat_map(|power| [4, 5, 6, 7].map(|quarters| quarters << (power - 2)));
        let sizes: Vec<usize> = [8, 16, 24].into_iter().chain(steps).chain([UNIT]).collect();
        let lists = Segregated::new(&sizes, UNIT, Pop::Last, memory, Faults::NONE)?;
        Ok(ByHand::over("segregated-fit", Places::Segregated(lists)))
    }

    fn over(name: &'static str, places: Places) -> ByHand {
        let mut stacks = [None; MUTATORS as usize];
        stacks[0] = Some(Stack::default());
        let globals = [None; GLOBALS as usize];
        ByHand { name, places, cells: HashMap::new(), empty: 0, stacks, globals, stamps: 0 }
    }

    /// The lowest address at which there can be an object.
    pub fn base(&self) -> u64 {
        let base = match &self.places {
            Places::Bump(bump) => bump.base(),
            Places::List(list) => list.base(),
            Places::Segregated(lists) => lists.base(),
        };
        base.addr().get() as u64
    }

    /// Checks everything that the allocator believes about itself; of a cursor there is nothing to check.
    ///
    /// # Errors
    /// The first belief that does not hold.
    pub fn verify(&self) -> Result<(), Corruption> {
        match &self.places {
            Places::Bump(_) => Ok(()),
            Places::List(list) => list.verify(),
            Places::Segregated(lists) => lists.verify(),
        }
    }

    // ---- places

    /// An offset, and the bytes that may be used there.
    fn place(&mut self, size: usize, align: usize) -> Result<(usize, usize), Error> {
        match &mut self.places {
            Places::Bump(bump) => Ok((bump.allocate(size, align)?, size)),
            Places::List(list) => {
                let at = list.allocate(size).or_else(|full| {
                    let growth = RULES.needed(size).and_then(|bytes| bytes.checked_next_multiple_of(GROWTH));
                    list.grow(growth.ok_or(full)?)?;
                    list.allocate(size)
                })?;
                Ok((at, list.usable(at).unwrap_or(0)))
            }
            Places::Segregated(lists) => {
                let at = lists.allocate(size)?;
                Ok((at, lists.usable(at).unwrap_or(0)))
            }
        }
    }

    fn take_back(&mut self, at: usize) -> Result<(), String> {
        let freed = match &mut self.places {
            Places::Bump(_) => return Err("a cursor takes nothing back".into()),
            Places::List(list) => list.free(at),
            Places::Segregated(lists) => lists.free(at),
        };
        freed.map_err(|why: NotAllocated| why.to_string())
    }

    /// The bytes that were asked for; if the block is too small, those that it has, and the laws will say so.
    fn bytes(&mut self, cell: Cell) -> Result<&mut [u8], String> {
        let Cell { offset, shape, .. } = cell;
        let size = usize::try_from(shape.size()).unwrap_or(usize::MAX);
        if offset == ZERO_BASE {
            return Ok(&mut []);
        }
        let bytes = match &mut self.places {
            Places::Bump(bump) => Some(bump.bytes_mut(offset..offset + size)),
            Places::List(list) => list.bytes_mut(offset),
            Places::Segregated(lists) => lists.bytes_mut(offset),
        };
        let bytes = bytes.ok_or_else(|| format!("there is no object at {offset:#x}"))?;
        let size = size.min(bytes.len());
        Ok(&mut bytes[..size])
    }

    // ---- objects

    fn stack(&mut self, mutator: MutatorId) -> Result<&mut Stack, String> {
        let stack = self.stacks[usize::from(mutator.0)].as_mut();
        stack.ok_or_else(|| format!("mutator {mutator} is not there"))
    }

    fn held(&mut self, by: MutatorId, root: Root) -> Result<u64, String> {
        self.stack(by)?[usize::from(root.0)].ok_or_else(|| format!("root {root} of mutator {by} is nil"))
    }

    fn cell(&mut self, by: MutatorId, root: Root) -> Result<Cell, String> {
        let at = self.held(by, root)?;
        self.cells.get(&at).copied().ok_or_else(|| format!("{at:#x} is not an object"))
    }

    fn data(&mut self, by: MutatorId, root: Root) -> Result<&mut [u8], String> {
        let cell = self.cell(by, root)?;
        let bytes = self.bytes(cell)?;
        let start = bytes.len().saturating_sub(cell.shape.bytes as usize);
        Ok(&mut bytes[start..])
    }

    /// The bytes of a field.
    fn field(&mut self, by: MutatorId, of: Root, index: u32) -> Result<&mut [u8; WORD as usize], String> {
        let cell = self.cell(by, of)?;
        let words = self.bytes(cell)?.as_chunks_mut().0;
        let word = words.get_mut(index as usize).filter(|_| index < cell.shape.pointers);
        word.ok_or_else(|| format!("the object has no field {index}"))
    }

    fn load(&mut self, by: MutatorId, place: Place) -> Result<Option<u64>, String> {
        Ok(match place {
            Place::Global(number) => self.globals[usize::from(number)],
            Place::Field { of, index } => Some(u64::from_ne_bytes(*self.field(by, of, index)?)).filter(|at| *at != 0),
        })
    }

    fn store(&mut self, by: MutatorId, place: Place, value: Option<u64>) -> Result<(), String> {
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = value,
            Place::Field { of, index } => *self.field(by, of, index)? = value.unwrap_or_default().to_ne_bytes(),
        }
        Ok(())
    }

    fn alloc(&mut self, by: MutatorId, into: Root, shape: Shape) -> Result<Reply, String> {
        self.stamps += 1;
        self.stack(by)?;
        let stamp = Stamp(self.stamps);
        let (Ok(size), Ok(align)) = (usize::try_from(shape.size()), usize::try_from(shape.alignment())) else {
            return Ok(Reply::OutOfMemory);
        };
        let Ok((offset, usable)) = self.place(size, align) else { return Ok(Reply::OutOfMemory) };
        let at = if offset == ZERO_BASE {
            self.empty += 1;
            u64::MAX - self.empty
        } else {
            self.base() + offset as u64
        };
        let cell = Cell { offset, usable: if size == 0 { 0 } else { usable }, shape };
        let bytes = self.bytes(cell)?;
        bytes.fill(0);
        let found = Content::of(bytes);
        self.cells.insert(at, cell);
        self.stack(by)?[usize::from(into.0)] = Some(at);
        stamp.fill(self.data(by, into)?);
        Ok(Reply::Born { at: Address(at), usable: cell.usable as u64, found, color: None })
    }

    fn free(&mut self, by: MutatorId, root: Root) -> Result<(), String> {
        let at = self.held(by, root)?;
        let cell = self.cells.remove(&at).ok_or_else(|| format!("{at:#x} is not an object"))?;
        self.take_back(cell.offset)?;
        let roots = self.stacks.iter_mut().flatten().flatten().chain(&mut self.globals);
        roots.filter(|held| **held == Some(at)).for_each(|held| *held = None);
        Ok(())
    }

    fn frees(&self) -> bool {
        !matches!(self.places, Places::Bump(_))
    }

    fn act(&mut self, by: MutatorId, action: &Action) -> Result<Reply, String> {
        match *action {
            Action::Alloc { into, shape } => return self.alloc(by, into, shape),
            Action::Load { into, from } => {
                let value = self.load(by, from)?;
                self.stack(by)?[usize::from(into.0)] = value;
                return Ok(value.map_or(Reply::Nil, |at| Reply::Object(Address(at))));
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
            Action::Copy { into, from } => {
                let stack = self.stack(by)?;
                stack[usize::from(into.0)] = stack[usize::from(from.0)];
            }
            Action::Clear(root) => self.stack(by)?[usize::from(root.0)] = None,
            Action::Write(root) => {
                self.stamps += 1;
                let stamp = Stamp(self.stamps);
                stamp.fill(self.data(by, root)?);
            }
            Action::Read(root) => return Ok(Reply::Data(Content::of(self.data(by, root)?))),
            Action::Send { value, to, into } => {
                let value = self.held(by, value)?;
                self.stack(to)?[usize::from(into.0)] = Some(value);
            }
            Action::Free(root) if self.frees() => self.free(by, root)?,
            Action::Join => self.stacks[usize::from(by.0)] = Some(Stack::default()),
            Action::Exit => self.stacks[usize::from(by.0)] = None,
            Action::Safepoint | Action::Park | Action::Unpark => {}
            _ => return Ok(Reply::Unsupported),
        }
        Ok(Reply::Done)
    }
}

impl Heap for ByHand {
    fn claims(&self) -> Claims {
        let claimed = [
            Capability::Mutators,
            Capability::Addresses,
            Capability::Stats,
            Capability::Faults,
            Capability::Deterministic,
        ];
        let claims = Claims::new(self.name).with(&claimed);
        let claims = if self.frees() { claims.with(&[Capability::Free]) } else { claims };
        let Rules { granule, min_block, header } = RULES;
        let [granule, min_block, header, growth] = [granule, min_block, header, GROWTH].map(|bytes| bytes as u64);
        match &self.places {
            Places::Bump(_) => claims.placing(Placement::Bump { granule: 1 }),
            Places::List(list) => {
                let choice = match list.fit() {
                    Fit::First => Choice::First,
                    Fit::Next => Choice::Next,
                    Fit::Best => Choice::Best,
                };
                claims.placing(Placement::FreeList { choice, granule, min_block, header, growth })
            }
            Places::Segregated(_) => claims.with(&[Capability::Classes]),
        }
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
        match *op {
            Op::Mutate { by, ref action } => self.act(by, action).unwrap_or_else(Reply::Trap),
            Op::Collect(Collect::Stats) => Reply::Stats {
                objects: self.cells.len() as u64,
                bytes: self.cells.values().map(|cell| cell.usable as u64).sum(),
            },
            Op::Environment(Environment::Fail(growth)) => {
                // A growth is one call to the kernel, and nothing else is.
                let after = usize::try_from(growth).unwrap_or(usize::MAX).saturating_sub(1);
                let faults = Faults { after, count: usize::from(growth > 0) };
                match &mut self.places {
                    Places::Bump(bump) => bump.fail(faults),
                    Places::List(list) => list.fail(faults),
                    Places::Segregated(lists) => lists.fail(faults),
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
    use heaplaw_reference::op::Program;

    fn heaps() -> [ByHand; 5] {
        let fits = [Fit::First, Fit::Next, Fit::Best].map(|fit| ByHand::free_list(fit, 1 << 20).unwrap());
        let [first, next, best] = fits;
        [ByHand::bump(1 << 20).unwrap(), first, next, best, ByHand::segregated(1 << 20).unwrap()]
    }

    fn run(heap: &mut ByHand, story: &str) -> Vec<Reply> {
        let program: Program = story.parse().expect("a program");
        program.ops().iter().map(|op| heap.perform(op, &mut Vec::new())).collect()
    }

    #[test]
    fn objects_are_memory_of_the_allocator_and_fields_are_words_of_it() {
        for mut heap in heaps() {
            let story =
                "0 alloc r0 2 5\n0 alloc r1 0 300\n0 store r0.1 r1\n0 clear r1\n0 load r2 r0.1\n0 read r2\n0 read r0\n";
            let replies = run(&mut heap, story);
            let Reply::Born { at, usable: 300.., found: Content::ZERO, .. } = replies[1] else { panic!("{replies:?}") };
            assert_eq!((&replies[4], &replies[5]), (&Reply::Object(at), &Reply::Data(Stamp(2).content(300))));
            let cell = heap.cells[&at.0];
            assert_eq!(at.0 - heap.base(), cell.offset as u64);
            assert_eq!(Content::of(heap.bytes(cell).unwrap()), Stamp(2).content(300));
            assert_eq!(heap.verify(), Ok(()));
        }
    }

    #[test]
    fn the_growth_that_is_named_is_refused_and_no_other() {
        for growth in 1..4 {
            for mut heap in heaps() {
                let alloc = format!("0 alloc r0 0 {}\n", if heap.name == "segregated-fit" { UNIT } else { 12_272 });
                let replies = run(&mut heap, &format!("env fail {growth}\n{}", alloc.repeat(5)));
                let refused: Vec<_> = (1..6).filter(|at| replies[*at] == Reply::OutOfMemory).collect();
                assert_eq!(refused, [growth], "{}: {replies:?}", heap.name);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_trap_and_a_cursor_does_not_claim_to_free() {
        for mut heap in heaps() {
            for story in ["0 free r0", "0 read r0", "1 alloc r0 0 8", "0 alloc r0 1\n0 load r1 r0.1"] {
                let told = run(&mut heap, story).pop().expect("a reply");
                assert!(matches!(told, Reply::Trap(_)) || told == Reply::Unsupported && !heap.frees(), "{story}");
            }
            assert_eq!(heap.claims().has(Capability::Free), heap.name != "bump");
        }
    }
}
