//! Mutators: everything that a program can do to a heap.
//!
//! A [`Mutator`] is owned by whoever acts, and can be sent to another thread. It reaches objects only through its
//! [roots](Root), so what it can reach is alive, and nothing here is unsafe.

use crate::{
    error::Error,
    events::Listener,
    gc::barrier::Cell,
    geometry::WORD,
    heap::Heap,
    root::{Address, MutatorId, Root},
    space::Slot,
    state::State,
};
use std::{fmt, ops::Range, sync::Arc};

/// Where a pointer is kept outside a stack.
#[derive(Clone, Copy, Debug)]
pub enum Place<'r> {
    /// A pointer field, counted from 0, of the object that a root holds.
    Field(&'r Root, usize),
    /// A global, counted from 0.
    Global(usize),
}

/// What the heap knows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub address: Address,
    /// How many pointer fields it has.
    pub pointers: usize,
    /// The bytes that are set aside for it, fields included; all that are not fields are data.
    pub usable: usize,
    /// Whether the cycle that is marking, or whose sweep has not yet come to it, has found it: it is not white.
    pub marked: bool,
}

/// One of the threads of control that share a heap. Dropping it makes it leave, and its roots are gone.
///
/// Every operation that is refused has changed nothing. Any operation that takes a root answers
/// [`Error::ForeignRoot`] if it is another mutator's.
pub struct Mutator<L: Listener = ()> {
    heap: Heap<L>,
    place: usize,
    id: MutatorId,
    /// Shared with its roots.
    identity: Arc<()>,
}

impl<L: Listener> Heap<L> {
    /// A new mutator, without roots.
    pub fn join(&self) -> Mutator<L> {
        let (place, id) = self.state().join();
        Mutator { heap: self.clone(), place, id, identity: Arc::new(()) }
    }
}

impl<L: Listener> Mutator<L> {
    /// Which one it is.
    pub fn id(&self) -> MutatorId {
        self.id
    }

    /// The heap that it belongs to.
    pub fn heap(&self) -> &Heap<L> {
        &self.heap
    }

    // ---- roots

    /// A new root, nil.
    pub fn root(&mut self) -> Root {
        let mut state = self.heap.state();
        let slot = state.stack_mut(self.place).take();
        Root { owner: Arc::clone(&self.identity), slot }
    }

    /// Ends a root. One that is dropped instead goes on holding its object until the mutator leaves.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn release(&mut self, root: Root) -> Result<(), Error> {
        let mut state = self.heap.state();
        self.check(&root)?;
        state.stack_mut(self.place).release(root.slot);
        Ok(())
    }

    /// Makes one root hold what another holds, nil or not.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn copy(&mut self, into: &Root, from: &Root) -> Result<(), Error> {
        let mut state = self.heap.state();
        let value = self.value(&state, from)?;
        self.set(&mut state, into, value)
    }

    /// Makes a root nil.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn clear(&mut self, root: &Root) -> Result<(), Error> {
        self.set(&mut self.heap.state(), root, None)
    }

    /// What a root holds; `None` for nil.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn inspect(&self, root: &Root) -> Result<Option<Object>, Error> {
        let state = self.heap.state();
        match self.value(&state, root)? {
            None => Ok(None),
            Some(at) => state.space.find(at).map(|slot| Some(state.describe(slot))).ok_or(Error::Dangling),
        }
    }

    /// Hands what a root holds to a root of another mutator, as a Go channel hands a value to a receiver that waits. No
    /// barrier watches roots, so the hand-over itself shades the object while a cycle is marking.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`], also if `to` is of another heap.
    pub fn send(&mut self, value: &Root, to: &mut Mutator<L>, into: &Root) -> Result<(), Error> {
        let mut state = self.heap.state();
        let value = self.value(&state, value)?;
        to.check(into)?;
        if !self.heap.is(&to.heap) {
            return Err(Error::ForeignRoot);
        }
        if state.phase.is_marking() {
            state.shade(value);
        }
        to.set(&mut state, into, value)
    }

    // ---- objects

    /// Allocates an object of `pointers` pointer fields followed by `bytes` bytes of data, and makes a root hold it.
    /// All of it reads nil and zero. Without pointer fields, the collector never looks inside.
    ///
    /// Up to 32,768 bytes, the object gets the smallest of the 67 size classes of Go that holds it (none at all: 8
    /// bytes), beyond that whole pages of 8,192 bytes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Os`] if the kernel does not grant memory, [`Error::ForeignRoot`].
    pub fn alloc(&mut self, into: &Root, pointers: usize, bytes: usize) -> Result<Object, Error> {
        let mut state = self.heap.state();
        self.check(into)?;
        let slot = state.allocate(pointers, bytes)?;
        let object = state.describe(slot);
        self.set(&mut state, into, Some(object.address))?;
        Ok(object)
    }

    /// Makes a root hold what a place holds; gives its address, or `None` for nil.
    ///
    /// # Errors
    /// [`Error::Nil`], [`Error::NoPlace`], [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn load(&mut self, into: &Root, from: Place<'_>) -> Result<Option<Address>, Error> {
        let mut state = self.heap.state();
        let value = state.get(self.cell(&state, from)?);
        self.set(&mut state, into, value)?;
        Ok(value)
    }

    /// Stores what a root holds, or nil, in a place. Goes through the write barrier.
    ///
    /// # Errors
    /// [`Error::Nil`] if the root that is looked through is; [`Error::NoPlace`], [`Error::ForeignRoot`],
    /// [`Error::Dangling`].
    pub fn store(&mut self, into: Place<'_>, value: Option<&Root>) -> Result<(), Error> {
        let mut state = self.heap.state();
        let value = value.map_or(Ok(None), |root| self.value(&state, root))?;
        let cell = self.cell(&state, into)?;
        state.store(cell, value);
        Ok(())
    }

    /// Copies `count` pointer fields, from `from.1` on of one object to `into.1` on of another or the same, as if all
    /// were read before any is written (Go: `typedmemmove`). Each goes through the write barrier.
    ///
    /// # Errors
    /// As [`Mutator::store`].
    pub fn copy_fields(&mut self, into: (&Root, usize), from: (&Root, usize), count: usize) -> Result<(), Error> {
        let mut state = self.heap.state();
        let target = self.fields(&state, into.0, into.1, count)?;
        let source = self.fields(&state, from.0, from.1, count)?;
        state.copy_fields((target, into.1), (source, from.1), count);
        Ok(())
    }

    /// Makes `count` pointer fields from `at` on nil (Go: `memclrHasPointers`). Each goes through the write barrier.
    ///
    /// # Errors
    /// As [`Mutator::store`].
    pub fn clear_fields(&mut self, object: &Root, at: usize, count: usize) -> Result<(), Error> {
        let mut state = self.heap.state();
        let slot = self.fields(&state, object, at, count)?;
        state.clear_fields(slot, at, count);
        Ok(())
    }

    /// Reads data from `at` on, counted in bytes after the last pointer field.
    ///
    /// # Errors
    /// [`Error::Nil`], [`Error::NoData`], [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn read(&self, object: &Root, at: usize, data: &mut [u8]) -> Result<(), Error> {
        let state = self.heap.state();
        let slot = self.object(&state, object)?;
        let range = state.data(slot, at, data.len())?;
        data.copy_from_slice(&state.space.image(slot)[range]);
        Ok(())
    }

    /// Writes data from `at` on, counted in bytes after the last pointer field.
    ///
    /// # Errors
    /// As [`Mutator::read`].
    pub fn write(&mut self, object: &Root, at: usize, data: &[u8]) -> Result<(), Error> {
        let mut state = self.heap.state();
        let slot = self.object(&state, object)?;
        let range = state.data(slot, at, data.len())?;
        state.space.image_mut(slot)[range].copy_from_slice(data);
        Ok(())
    }

    // ---- from roots to slots

    fn check(&self, root: &Root) -> Result<(), Error> {
        if Arc::ptr_eq(&root.owner, &self.identity) { Ok(()) } else { Err(Error::ForeignRoot) }
    }

    fn value(&self, state: &State<L>, root: &Root) -> Result<Option<Address>, Error> {
        self.check(root)?;
        Ok(state.stack(self.place).slots[root.slot])
    }

    fn set(&self, state: &mut State<L>, root: &Root, value: Option<Address>) -> Result<(), Error> {
        self.check(root)?;
        state.stack_mut(self.place).slots[root.slot] = value;
        Ok(())
    }

    pub(crate) fn object(&self, state: &State<L>, root: &Root) -> Result<Slot, Error> {
        let at = self.value(state, root)?.ok_or(Error::Nil)?;
        state.space.find(at).ok_or(Error::Dangling)
    }

    /// The object that a root holds, if it has pointer fields `at .. at + count`.
    fn fields(&self, state: &State<L>, root: &Root, at: usize, count: usize) -> Result<Slot, Error> {
        let slot = self.object(state, root)?;
        let pointers = state.describe(slot).pointers;
        match at.checked_add(count) {
            Some(end) if end <= pointers => Ok(slot),
            _ => Err(Error::NoPlace { index: at.max(pointers), count: pointers }),
        }
    }

    fn cell(&self, state: &State<L>, place: Place<'_>) -> Result<Cell, Error> {
        match place {
            Place::Field(root, index) => Ok(Cell::Field(self.fields(state, root, index, 1)?, index)),
            Place::Global(index) if index < state.globals.slots.len() => Ok(Cell::Global(index)),
            Place::Global(index) => Err(Error::NoPlace { index, count: state.globals.slots.len() }),
        }
    }
}

impl<L: Listener> fmt::Debug for Mutator<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutator").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<L: Listener> Drop for Mutator<L> {
    fn drop(&mut self) {
        self.heap.state().stacks[self.place] = None;
    }
}

impl<L: Listener> State<L> {
    pub(crate) fn describe(&self, slot: Slot) -> Object {
        let span = self.space.span(slot.span);
        let (pointers, marked) = (span.pointers(slot.number), span.is_marked(slot.number));
        Object { address: self.space.address(slot), pointers, usable: span.size(), marked }
    }

    /// Where in an object the data bytes `at .. at + count` are.
    fn data(&self, slot: Slot, at: usize, count: usize) -> Result<Range<usize>, Error> {
        let object = self.describe(slot);
        let fields = object.pointers * WORD;
        match at.checked_add(count) {
            Some(end) if end <= object.usable - fields => Ok(fields + at..fields + end),
            end => Err(Error::NoData { end: end.unwrap_or(usize::MAX), count: object.usable - fields }),
        }
    }
}
