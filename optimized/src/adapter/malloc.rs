//! The C allocator as a subject of the kit: whatever provides `malloc` in this process.
//!
//! Objects are laid out as the kit says, fields first, in blocks of their own; their fields are words of that memory. So
//! an allocator that writes where it should not, or gives one byte away twice, shows in what objects hold.
//!
//! Of every eight objects, five come from `calloc`, which is the only call that promises zeroes, and one each from
//! `malloc`, `aligned_alloc` and `realloc`. The laws ask for no more than an alignment of 8; what is beyond that, C
//! promises and this file checks.

use crate::foreign::{Block, Call, library};
use heaplaw_reference::{
    event::Event,
    heap::{Capability, Claims, Heap, Reply},
    object::{Address, Content, Shape, Stamp, WORD},
    op::{Action, GLOBALS, MutatorId, Op, Place, ROOTS, Root},
};
use std::collections::HashMap;

/// The alignment that is asked of `aligned_alloc`.
const ALIGNMENT: usize = 64;

/// What `malloc` owes any object that is as large as this.
const FUNDAMENTAL: usize = 16;

/// A heap over the C allocator, with one mutator.
#[derive(Debug)]
pub struct Malloc {
    name: String,
    objects: HashMap<u64, (Block, Shape)>,
    roots: [Option<u64>; ROOTS as usize],
    globals: [Option<u64>; GLOBALS as usize],
    stamps: u64,
}

impl Default for Malloc {
    fn default() -> Self {
        Malloc::new()
    }
}

impl Malloc {
    /// An empty heap, named after the library that provides `malloc`.
    pub fn new() -> Self {
        let name = format!("malloc-of-{}", library());
        Malloc { name, objects: HashMap::new(), roots: Default::default(), globals: Default::default(), stamps: 0 }
    }

    fn held(&self, root: Root) -> Result<u64, String> {
        self.roots[usize::from(root.0)].ok_or_else(|| format!("root {root} is nil"))
    }

    fn object(&mut self, root: Root) -> Result<&mut (Block, Shape), String> {
        let at = self.held(root)?;
        self.objects.get_mut(&at).ok_or_else(|| format!("{at:#x} is not an object"))
    }

    /// The bytes of a field.
    fn field(&mut self, of: Root, index: u32) -> Result<&mut [u8; WORD as usize], String> {
        let (block, shape) = self.object(of)?;
        let fields = shape.pointers;
        let words = block.bytes_mut().as_chunks_mut().0;
        let word = words.get_mut(index as usize).filter(|_| index < fields);
        word.ok_or_else(|| format!("the object has no field {index}"))
    }

    fn data(&mut self, root: Root) -> Result<&mut [u8], String> {
        let (block, shape) = self.object(root)?;
        let start = usize::try_from(shape.size()).unwrap_or(usize::MAX) - shape.bytes as usize;
        Ok(&mut block.bytes_mut()[start..])
    }

    fn load(&mut self, place: Place) -> Result<Option<u64>, String> {
        Ok(match place {
            Place::Global(number) => self.globals[usize::from(number)],
            Place::Field { of, index } => Some(u64::from_ne_bytes(*self.field(of, index)?)).filter(|at| *at != 0),
        })
    }

    fn store(&mut self, place: Place, value: Option<u64>) -> Result<(), String> {
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = value,
            Place::Field { of, index } => *self.field(of, index)? = value.unwrap_or_default().to_ne_bytes(),
        }
        Ok(())
    }

    fn alloc(&mut self, into: Root, shape: Shape) -> Result<Reply, String> {
        self.stamps += 1;
        let call = match self.stamps % 8 {
            5 => Call::Malloc,
            6 => Call::Aligned(ALIGNMENT),
            7 => Call::Realloc,
            _ => Call::Calloc,
        };
        let Ok(size) = usize::try_from(shape.size()) else { return Ok(Reply::OutOfMemory) };
        let Some(block) = Block::new(size, call) else { return Ok(Reply::OutOfMemory) };
        let (address, usable) = (block.address(), block.usable());
        let owed = match call {
            Call::Aligned(alignment) => alignment,
            _ if size >= FUNDAMENTAL => FUNDAMENTAL,
            _ => 1,
        };
        if !address.is_multiple_of(owed) {
            return Err(format!("{call:?} of {size} bytes gave {address:#x}, which is no multiple of {owed}"));
        }
        let found = Content::of(block.bytes());
        let at = address as u64;
        // If there is an object already, the library has given one block twice. It is not freed twice: that would hide
        // what is wrong behind a crash.
        std::mem::forget(self.objects.insert(at, (block, shape)));
        self.roots[usize::from(into.0)] = Some(at);
        let stamp = Stamp(self.stamps);
        stamp.fill(self.data(into)?);
        Ok(Reply::Born { at: Address(at), usable: usable as u64, found, color: None })
    }

    fn act(&mut self, action: &Action) -> Result<Reply, String> {
        match *action {
            Action::Alloc { into, shape } => return self.alloc(into, shape),
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
                stamp.fill(self.data(root)?);
            }
            Action::Read(root) => return Ok(Reply::Data(Content::of(self.data(root)?))),
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

impl Heap for Malloc {
    fn claims(&self) -> Claims {
        Claims::new(self.name.clone()).with(&[Capability::Addresses, Capability::Free])
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
        match op {
            Op::Mutate { by: MutatorId(0), action } => self.act(action).unwrap_or_else(Reply::Trap),
            _ => Reply::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::Program;

    #[test]
    fn objects_are_real_memory_and_are_freed_by_hand() {
        let story: Program = "\
            0 alloc r0 2 5\n0 alloc r1 0 300\n0 store r0.1 r1\n0 store g2 r1\n0 clear r1\n0 load r2 r0.1\n0 read r2\n\
            0 store r0.1 nil\n0 load r3 g2\n0 free r2\n0 load r4 g2\n0 read r0\n0 move r0.0 r0.1 1\n0 free r0\n"
            .parse()
            .expect("a program");
        let mut heap = Malloc::new();
        let replies: Vec<_> = story.ops().iter().map(|op| heap.perform(op, &mut Vec::new())).collect();
        let Reply::Born { at, usable: 300.., found: Content::ZERO, .. } = replies[1] else { panic!("{replies:?}") };
        assert_eq!((&replies[5], &replies[8]), (&Reply::Object(at), &Reply::Object(at)));
        assert_eq!(
            (&replies[6], &replies[11]),
            (&Reply::Data(Stamp(2).content(300)), &Reply::Data(Content::Uniform(1)))
        );
        assert_eq!((&replies[10], &replies[13]), (&Reply::Nil, &Reply::Done));
        assert!(heap.objects.is_empty() && heap.roots == [None; ROOTS as usize]);
    }

    #[test]
    fn what_makes_no_sense_is_a_trap() {
        let mut heap = Malloc::new();
        let mut ask = |line: &str| heap.perform(&line.parse().expect("an operation"), &mut Vec::new());
        assert!(matches!(ask("0 free r0"), Reply::Trap(_)));
        assert!(matches!(ask("0 alloc r0 1 8"), Reply::Born { .. }));
        assert!(matches!((ask("0 load r1 r0.1"), ask("gc full")), (Reply::Trap(_), Reply::Unsupported)));
    }
}
