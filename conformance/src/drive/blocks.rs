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

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::text::answer;
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    /// Memory that a test can look into.
    type Bytes = Rc<RefCell<Vec<u8>>>;

    /// Blocks one behind the other, each with four bytes more than were asked for.
    #[derive(Default)]
    struct Shelf {
        blocks: RefCell<Vec<Bytes>>,
        refused: Cell<u32>,
    }

    struct Drawer(u64, Bytes);

    impl Block for Drawer {
        fn address(&self) -> Address {
            Address(self.0)
        }

        fn usable(&self) -> u64 {
            self.1.borrow().len() as u64
        }

        fn read(&self, at: u64, into: &mut [u8]) {
            into.copy_from_slice(&self.1.borrow()[at as usize..][..into.len()]);
        }

        fn write(&mut self, at: u64, from: &[u8]) {
            self.1.borrow_mut()[at as usize..][..from.len()].copy_from_slice(from);
        }
    }

    impl Allocator for &Shelf {
        type Block = Drawer;

        fn claims(&self) -> Claims {
            Claims::new("shelf").with(&[Capability::Faults])
        }

        fn allocate(&self, shape: Shape, _: u64) -> Option<Drawer> {
            if self.refused.replace(0) > 0 {
                return None;
            }
            let bytes = Bytes::new(RefCell::new(vec![0; shape.size() as usize + 4]));
            self.blocks.borrow_mut().push(Rc::clone(&bytes));
            Some(Drawer(1024 * self.blocks.borrow().len() as u64, bytes))
        }

        fn refuse(&self, request: u32) {
            self.refused.set(request);
        }
    }

    #[test]
    fn an_allocator_is_lent_all_that_a_heap_has() {
        let shelf = Shelf::default();
        let mut heap = Blocks::new(&shelf);
        let told = [
            ("0 alloc r0 3 8", "at 1024 36 0"),
            ("0 alloc r2 1 8", "at 2048 20 0"),
            ("0 store r0.0 r0", "ok"),
            ("0 store r0.1 r2", "ok"),
            ("0 move r0.1 r0.0 2", "ok"),
            ("0 load r3 r0.0", "ref 1024"),
            ("0 load r3 r0.1", "ref 1024"),
            ("0 load r3 r0.2", "ref 2048"),
            ("0 wipe r0.1 1", "ok"),
            ("0 load r3 r0.0", "ref 1024"),
            ("0 load r3 r0.1", "nil"),
            ("0 load r3 r0.2", "ref 2048"),
            ("0 wipe r0.2 1", "ok"),
            ("0 load r3 r0.2", "nil"),
            ("0 load r3 r0.3", "trap the object has no field 3"),
            ("0 store g1 r2", "ok"),
            ("0 load r4 g1", "ref 2048"),
            ("0 store g1 nil", "ok"),
            ("0 load r3 g1", "nil"),
            ("0 copy r5 r2", "ok"),
            ("0 read r5", "data 2"),
            ("0 write r5", "ok"),
            ("0 write r5", "ok"),
            ("0 read r2", "data 4"),
            ("0 read r0", "data 1"),
            ("0 clear r5", "ok"),
            ("0 read r5", "trap root r5 is nil"),
            ("0 safepoint", "ok"),
            ("0 park", "unknown"),
            ("1 safepoint", "unknown"),
            ("gc full", "unknown"),
            ("0 free r2", "ok"),
            ("0 read r4", "trap root r4 is nil"),
            ("env fail 1", "ok"),
            ("0 alloc r2 0 8", "full"),
            ("0 alloc r2 0 8", "at 3072 12 0"),
            ("0 read r2", "data 6"),
        ];
        for (op, owed) in told {
            let reply = heap.perform(&op.parse().expect(op), &mut Vec::new());
            assert_eq!(answer::print(&reply, &[]), owed, "{op}");
        }
    }

    #[test]
    fn what_somebody_else_writes_shows() {
        let read = |at: &[usize]| {
            let shelf = Shelf::default();
            let mut heap = Blocks::new(&shelf);
            heap.perform(&"0 alloc r0 1 8".parse().expect("an operation"), &mut Vec::new());
            for at in at {
                shelf.blocks.borrow()[0].borrow_mut()[*at] ^= 0xff;
            }
            let reply = heap.perform(&"0 read r0".parse().expect("an operation"), &mut Vec::new());
            answer::print(&reply, &[])
        };
        assert_eq!(read(&[]), "data 1");
        assert_eq!(read(&[16]), "data torn@8", "behind the data, which begins behind the field");
        assert_eq!(read(&[19]), "data torn@11");
        assert!(read(&[8]) != "data 1" && !read(&[8]).starts_with("data torn@"), "another stamp: {}", read(&[8]));
        assert_eq!(read(&[8, 16]), read(&[8]), "what it holds comes first");
    }
}
