//! A heap to start from: put it into `src/main.rs` of a crate that depends on `heaplaw-reference` and
//! `heaplaw-conformance`; then `cargo run` judges it, and `cargo run -- --help` tells what else there is.
//!
//! This heap allocates and never frees, so it claims next to nothing and few laws apply; `your heap here` marks what to
//! replace. Then claim more in `claims`, one capability at a time, and look again.

use heaplaw_reference::{
    event::Event,
    heap::{Capability, Claims, Heap, Reply},
    object::{Address, Content, Stamp},
    op::{Action, Op, Place, Root, Run},
};
use std::process::ExitCode;

/// Your heap here. An object is known by its number; its address is made up from that.
#[derive(Default)]
pub struct MyHeap {
    objects: Vec<Object>,
    roots: [Option<usize>; 16],
    globals: [Option<usize>; 4],
    stamps: u64,
}

struct Object {
    fields: Vec<Option<usize>>,
    bytes: u32,
    stamp: Stamp,
}

fn address(object: usize) -> Address {
    Address(4096 + ((object as u64) << 34))
}

impl MyHeap {
    /// The object in a root; the suite only asks for what is there.
    fn object(&mut self, root: Root) -> &mut Object {
        let number = self.roots[usize::from(root.0)].expect("the root holds an object");
        &mut self.objects[number]
    }

    fn load(&mut self, place: Place) -> Option<usize> {
        match place {
            Place::Field { of, index } => self.object(of).fields[index as usize],
            Place::Global(number) => self.globals[usize::from(number)],
        }
    }

    /// Your heap here: the write barrier.
    fn store(&mut self, place: Place, value: Option<usize>) {
        match place {
            Place::Field { of, index } => self.object(of).fields[index as usize] = value,
            Place::Global(number) => self.globals[usize::from(number)] = value,
        }
    }

    fn act(&mut self, action: &Action) -> Reply {
        match *action {
            Action::Alloc { into, shape } => {
                self.stamps += 1;
                let (at, stamp) = (self.objects.len(), Stamp(self.stamps));
                // Your heap here; `Reply::OutOfMemory` if there is no room.
                self.objects.push(Object { fields: vec![None; shape.pointers as usize], bytes: shape.bytes, stamp });
                self.roots[usize::from(into.0)] = Some(at);
                // What the new memory reads before it is filled with the stamp.
                return Reply::Born { at: address(at), usable: shape.size().max(8), found: Content::ZERO, color: None };
            }
            Action::Load { into, from } => {
                let value = self.load(from);
                self.roots[usize::from(into.0)] = value;
                return value.map_or(Reply::Nil, |object| Reply::Object(address(object)));
            }
            Action::Store { into, value } => {
                let value = value.and_then(|root| self.roots[usize::from(root.0)]);
                self.store(into, value);
            }
            Action::Move { into: Run { of, at, count }, from, start } => {
                let range = start as usize..(start + count) as usize;
                let values = self.object(from).fields[range].to_vec();
                for (index, value) in (at..).zip(values) {
                    self.store(Place::Field { of, index }, value);
                }
            }
            Action::Wipe(Run { of, at, count }) => {
                for index in at..at + count {
                    self.store(Place::Field { of, index }, None);
                }
            }
            Action::Copy { into, from } => self.roots[usize::from(into.0)] = self.roots[usize::from(from.0)],
            Action::Clear(root) => self.roots[usize::from(root.0)] = None,
            Action::Write(root) => {
                self.stamps += 1;
                self.object(root).stamp = Stamp(self.stamps);
            }
            Action::Read(root) => {
                let object = self.object(root);
                return Reply::Data(object.stamp.content(object.bytes));
            }
            Action::Safepoint => {}
            // Your heap here: join, exit, send, park and unpark, once you claim mutators; weak and strong; finalizer and
            // finalize; cleanup and clean.
            _ => return Reply::Unsupported,
        }
        Reply::Done
    }
}

impl Heap for MyHeap {
    fn claims(&self) -> Claims {
        Claims::new("my heap").with(&[Capability::Addresses])
    }

    fn perform(&mut self, op: &Op, _events: &mut Vec<Event>) -> Reply {
        match op {
            Op::Mutate { action, .. } => self.act(action),
            // Your heap here: full, stats; start, handshake, mark, finish, sweep; abort; the environment's fail and clock.
            Op::Collect(_) | Op::Environment(_) => Reply::Unsupported,
        }
    }
}

/// The whole command line for this heap.
pub fn main() -> ExitCode {
    heaplaw_conformance::judge(MyHeap::default)
}
