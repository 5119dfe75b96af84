//! An allocator as a subject of the kit: [`Blocks`] lends it what a heap has and an [`Allocator`] has not.
//!
//! Objects are laid out as the kit says, fields first, each in a block of its own; their fields are words of that memory.
//! So an allocator that writes where it should not, or gives one byte away twice, shows in what objects hold. The bytes
//! that a block has beyond what was asked for are filled like the object's data, and looked at with it: they may be used,
//! so nobody else may touch them.
//!
//! Of every eight objects, five are asked for in the way that promises zeroes, and one each in the others that the
//! allocator has; how each is called, it says itself.

use heaplaw_reference::{
    block::{Allocator, Block},
    event::Event,
    heap::{Capability, Claims, Heap, Reply},
    object::{Address, Content, Shape, Stamp, WORD},
    op::{Action, Environment, GLOBALS, MutatorId, Op, Place, ROOTS, Root},
};
use std::collections::HashMap;

/// An object in its block.
struct Cell<B> {
    block: B,
    shape: Shape,
    stamp: Stamp,
}

impl<B: Block> Cell<B> {
    /// Where the data begins.
    fn start(&self) -> u64 {
        u64::from(self.shape.pointers) * WORD
    }

    /// The data and what the block has beyond it. A block that is too small is judged by what was asked for.
    fn fill(&mut self, stamp: Stamp) {
        let start = self.start();
        let mut bytes = vec![0; bytes_between(start, self.block.usable().max(self.shape.size()))];
        stamp.fill(&mut bytes);
        self.block.write(start, &bytes);
        self.stamp = stamp;
    }

    /// What the data says; torn, too, if it is the rest of the block that has changed.
    fn content(&self) -> Content {
        let start = self.start();
        let mut bytes = vec![0; bytes_between(start, self.block.usable().max(self.shape.size()))];
        self.block.read(start, &mut bytes);
        let data = self.shape.bytes as usize;
        let found = Content::of(&bytes[..data]);
        let mut filled = vec![0; bytes.len()];
        self.stamp.fill(&mut filled);
        match (data..bytes.len()).find(|at| bytes[*at] != filled[*at]) {
            Some(at) if found == self.stamp.content(self.shape.bytes) => Content::Torn { at: at as u64 },
            _ => found,
        }
    }
}

fn bytes_between(start: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(start)).unwrap_or(0)
}

/// A heap with one mutator over an allocator.
pub struct Blocks<A: Allocator> {
    allocator: A,
    objects: HashMap<u64, Cell<A::Block>>,
    roots: [Option<u64>; ROOTS as usize],
    globals: [Option<u64>; GLOBALS as usize],
    stamps: u64,
}

impl<A: Allocator> Blocks<A> {
    /// An empty heap.
    pub fn new(allocator: A) -> Self {
        Blocks { allocator, objects: HashMap::new(), roots: Default::default(), globals: Default::default(), stamps: 0 }
    }

    fn held(&self, root: Root) -> Result<u64, String> {
        self.roots[usize::from(root.0)].ok_or_else(|| format!("root {root} is nil"))
    }

    fn object(&mut self, root: Root) -> Result<&mut Cell<A::Block>, String> {
        let at = self.held(root)?;
        self.objects.get_mut(&at).ok_or_else(|| format!("{at:#x} is not an object"))
    }

    /// The object whose field this is, and where in it the field is.
    fn field(&mut self, of: Root, index: u32) -> Result<(&mut Cell<A::Block>, u64), String> {
        let cell = self.object(of)?;
        let there = index < cell.shape.pointers;
        if there { Ok((cell, u64::from(index) * WORD)) } else { Err(format!("the object has no field {index}")) }
    }

    fn load(&mut self, place: Place) -> Result<Option<u64>, String> {
        Ok(match place {
            Place::Global(number) => self.globals[usize::from(number)],
            Place::Field { of, index } => {
                let (cell, at) = self.field(of, index)?;
                let mut word = [0; WORD as usize];
                cell.block.read(at, &mut word);
                Some(u64::from_ne_bytes(word)).filter(|at| *at != 0)
            }
        })
    }

    fn store(&mut self, place: Place, value: Option<u64>) -> Result<(), String> {
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = value,
            Place::Field { of, index } => {
                let (cell, at) = self.field(of, index)?;
                cell.block.write(at, &value.unwrap_or_default().to_ne_bytes());
            }
        }
        Ok(())
    }

    fn alloc(&mut self, into: Root, shape: Shape) -> Reply {
        self.stamps += 1;
        let Some(block) = self.allocator.allocate(shape, self.stamps) else { return Reply::OutOfMemory };
        let (Address(at), usable) = (block.address(), block.usable());
        let mut bytes = vec![0; bytes_between(0, shape.size())];
        block.read(0, &mut bytes);
        let found = Content::of(&bytes);
        let mut cell = Cell { block, shape, stamp: Stamp(0) };
        cell.fill(Stamp(self.stamps));
        // If there is an object already, the allocator has given one block twice. It is not freed twice: that would hide
        // what is wrong behind a crash.
        std::mem::forget(self.objects.insert(at, cell));
        self.roots[usize::from(into.0)] = Some(at);
        Reply::Born { at: Address(at), usable, found, color: None }
    }

    fn act(&mut self, action: &Action) -> Result<Reply, String> {
        match *action {
            Action::Alloc { into, shape } => return Ok(self.alloc(into, shape)),
            Action::Load { into, from } => {
                let value = self.load(from)?;
                self.roots[usize::from(into.0)] = value;
                return Ok(value.map_or(Reply::Nil, |at| Reply::Object(Address(at))));
            }
            Action::Store { into, value } => {
                let value = value.map(|root| self.held(root)).transpose()?;
                self.store(into, value)?;
            }
            Action::Move { into, from, start } => {
                let fields = start..start + into.count;
                let values = fields.map(|index| self.load(Place::Field { of: from, index }));
                let values: Vec<_> = values.collect::<Result<_, _>>()?;
                for (index, value) in (into.at..).zip(values) {
                    self.store(Place::Field { of: into.of, index }, value)?;
                }
            }
            Action::Wipe(into) => {
                for index in into.at..into.at + into.count {
                    self.store(Place::Field { of: into.of, index }, None)?;
                }
            }
            Action::Copy { into, from } => self.roots[usize::from(into.0)] = self.roots[usize::from(from.0)],
            Action::Clear(root) => self.roots[usize::from(root.0)] = None,
            Action::Write(root) => {
                self.stamps += 1;
                let stamp = Stamp(self.stamps);
                self.object(root)?.fill(stamp);
            }
            Action::Read(root) => return Ok(Reply::Data(self.object(root)?.content())),
            Action::Free(root) => {
                let at = self.held(root)?;
                self.objects.remove(&at).ok_or_else(|| format!("{at:#x} is not an object"))?;
                let roots = self.roots.iter_mut().chain(&mut self.globals);
                roots.filter(|held| **held == Some(at)).for_each(|held| *held = None);
            }
            Action::Safepoint => {}
            _ => return Ok(Reply::Unsupported),
        }
        Ok(Reply::Done)
    }
}

impl<A: Allocator> Heap for Blocks<A> {
    fn claims(&self) -> Claims {
        let lent = [Capability::Addresses, Capability::Free, Capability::Aligned];
        self.allocator.claims().with(&lent)
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
        match op {
            Op::Mutate { by: MutatorId(0), action } => self.act(action).unwrap_or_else(Reply::Trap),
            Op::Environment(Environment::Fail(request)) => {
                self.allocator.refuse(*request);
                Reply::Done
            }
            _ => Reply::Unsupported,
        }
    }
}
