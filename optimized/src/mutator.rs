//! Mutators: everything that a program can do to a heap.
//!
//! A [`Mutator`] is owned by whoever acts, and can be sent to another thread. It reaches objects only through its
//! [roots](Root), so what it can reach is alive, and nothing here is unsafe.
//!
//! Between two operations a mutator is parked: the collector can do at once what it has to do with it, and need not wait.
//! Within [`Mutator::run`] it is not. There an operation need not say that it begins and ends, which is faster; for that,
//! the collector waits for the next one.

mod special;

use crate::{
    error::Error,
    events::Listener,
    geometry::WORD,
    heap::Heap,
    local::Local,
    root::{Address, MutatorId, Root},
    state::State,
    sync::{AtomicUsize, Ordering},
    twin::{Twin, wrong},
};
use std::{cell::Cell, fmt, marker::PhantomData, mem, ops::Range, sync::Arc};

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
    /// The bytes that are set aside for it, fields included; all that are not fields are data. Of a [tiny
    /// object](crate::Config::tiny), those that were asked for, and one at least.
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
    local: Arc<Local>,
    /// Shared with its roots.
    identity: Arc<()>,
    /// The slots of roots that were released, of the innermost frame and of frames around it.
    vacant: Vec<usize>,
    /// The outermost first.
    frames: Vec<Frame>,
    /// Not to be shared between threads: what it has to itself is used by one at a time.
    alone: PhantomData<Cell<()>>,
}

/// What is known of a [frame](Mutator::frame).
struct Frame {
    /// Shared with the roots that were made in it.
    identity: Arc<()>,
    /// Its first slot.
    base: usize,
    /// What was vacant around it.
    vacant: Vec<usize>,
}

impl<L: Listener> Heap<L> {
    /// A new mutator, without roots.
    pub fn join(&self) -> Mutator<L> {
        let local = self.state().join();
        Mutator {
            heap: self.clone(),
            local,
            identity: Arc::new(()),
            vacant: Vec::new(),
            frames: Vec::new(),
            alone: PhantomData,
        }
    }
}

/// An operation in progress: the mutator runs, and no handshake comes in between.
struct Inside<'m, L: Listener> {
    state: &'m State<L>,
    local: &'m Local,
}

impl<L: Listener> Drop for Inside<'_, L> {
    #[inline]
    fn drop(&mut self) {
        if !self.local.inside.get() {
            self.local.post.park();
        }
    }
}

impl<L: Listener> Mutator<L> {
    /// Which one it is.
    pub fn id(&self) -> MutatorId {
        self.local.id
    }

    /// The heap that it belongs to.
    pub fn heap(&self) -> &Heap<L> {
        &self.heap
    }

    // ---- running and parking

    /// Begins an operation, after whatever the collector asks for.
    #[inline]
    fn enter(&self) -> Inside<'_, L> {
        let (state, local) = (self.heap.state(), &*self.local);
        if !local.inside.get() {
            local.post.enter();
        }
        state.safepoint(local);
        Inside { state, local }
    }

    /// Runs `body`, in which operations are cheaper: the mutator is not parked between them. The collector waits for each
    /// operation, or [`safepoint`](Mutator::safepoint), or the end of `body`; so whatever takes long or blocks belongs into
    /// [`park`](Mutator::park). To collect in it, use [`Mutator::collect`]: the heap's own method would wait for ever.
    pub fn run<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        struct Outside(Arc<Local>);
        impl Drop for Outside {
            fn drop(&mut self) {
                if wrong(Twin::Unwinding) && std::thread::panicking() {
                    return;
                }
                self.0.inside.set(false);
                self.0.post.park();
            }
        }
        if self.local.inside.get() {
            return body(self);
        }
        self.local.post.enter();
        self.local.inside.set(true);
        let _outside = Outside(Arc::clone(&self.local));
        body(self)
    }

    /// Begins to [run](Mutator::run), until [`Mutator::end`]: for who cannot do all of it in one call. Takes a shared
    /// mutator, as whoever does this tells threads apart by other means; two that run it at once wait for each other
    /// here.
    #[cfg(feature = "c")]
    pub(crate) fn begin(&self) {
        self.local.post.enter();
        self.local.inside.set(true);
        self.heap.state().safepoint(&self.local);
    }

    /// Ends what [`Mutator::begin`] began, if that was done.
    #[cfg(feature = "c")]
    pub(crate) fn end(&self) {
        if self.local.inside.get() {
            self.local.inside.set(false);
            self.local.post.park();
        }
    }

    /// Does what the collector asks for, if it does. Every operation begins with one.
    #[inline]
    pub fn safepoint(&mut self) {
        drop(self.enter());
    }

    /// Runs `body` parked, as operations outside of [`run`](Mutator::run) leave a mutator: the collector does not wait.
    pub fn park<R>(&mut self, body: impl FnOnce() -> R) -> R {
        struct Again(Arc<Local>);
        impl Drop for Again {
            fn drop(&mut self) {
                self.0.post.enter();
                self.0.inside.set(true);
            }
        }
        if !self.local.inside.get() {
            return body();
        }
        self.local.inside.set(false);
        self.local.post.park();
        let _again = Again(Arc::clone(&self.local));
        body()
    }

    /// As [`Heap::collect`], also within [`run`](Mutator::run).
    pub fn collect(&mut self) {
        let heap = self.heap.clone();
        self.park(|| heap.collect());
    }

    // ---- roots

    /// A new root, nil.
    pub fn root(&mut self) -> Root {
        let base = self.frames.last().map_or(0, |frame| frame.base);
        let slot = match self.vacant.pop_if(|slot| *slot >= base) {
            Some(slot) => slot,
            None => self.enter().local.stack.push(0),
        };
        let owner = self.frames.last().map_or(&self.identity, |frame| &frame.identity);
        Root { owner: Arc::clone(owner), slot }
    }

    /// Runs `body`, and ends all roots that are made in it. Any of them that is kept is nobody's afterwards.
    pub fn frame<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let (base, vacant) = (self.local.stack.len(), mem::take(&mut self.vacant));
        self.frames.push(Frame { identity: Arc::new(()), base, vacant });
        let depth = self.frames.len();
        let result = body(self);
        // If a frame in this one has panicked, it is still there.
        self.frames.truncate(depth);
        self.enter().local.stack.truncate(base);
        if let Some(frame) = self.frames.pop() {
            let released = mem::replace(&mut self.vacant, frame.vacant);
            self.vacant.extend(released.into_iter().filter(|slot| *slot < base));
        }
        result
    }

    /// Ends a root. One that is dropped instead goes on holding its object until the mutator leaves.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn release(&mut self, root: Root) -> Result<(), Error> {
        self.set(&self.enter(), &root, 0)?;
        self.vacant.push(root.slot);
        Ok(())
    }

    /// Makes one root hold what another holds, nil or not.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn copy(&mut self, into: &Root, from: &Root) -> Result<(), Error> {
        let inside = self.enter();
        let value = self.value(&inside, from)?;
        self.set(&inside, into, value)
    }

    /// Makes a root nil.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn clear(&mut self, root: &Root) -> Result<(), Error> {
        self.set(&self.enter(), root, 0)
    }

    /// What a root holds; `None` for nil.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn inspect(&self, root: &Root) -> Result<Option<Object>, Error> {
        let inside = self.enter();
        match Address::new(self.value(&inside, root)?) {
            None => Ok(None),
            Some(at) => inside.state.describe(at).map(Some).ok_or(Error::Dangling),
        }
    }

    /// Hands what a root holds to a root of another mutator, as a Go channel hands a value to a receiver that waits. No
    /// barrier watches roots, so the hand-over itself shades the object while a cycle is marking and one of the two
    /// stacks is not scanned.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`], also if `to` is of another heap.
    pub fn send(&mut self, value: &Root, to: &mut Mutator<L>, into: &Root) -> Result<(), Error> {
        let inside = self.enter();
        let value = self.value(&inside, value)?;
        to.check(into)?;
        if !self.heap.is(&to.heap) {
            return Err(Error::ForeignRoot);
        }
        let receiver = to.enter();
        // As a store into a field that was nil, by the one whose stack is grey: it may be white, and only there.
        if !wrong(Twin::Sending) {
            let grey = if inside.local.scanned.get() { receiver.local } else { inside.local };
            inside.state.barrier(grey, || 0, value);
        }
        to.set(&receiver, into, value)
    }

    // ---- objects

    /// Allocates an object of `pointers` pointer fields followed by `bytes` bytes of data, and makes a root hold it.
    /// All of it reads nil and zero. Without pointer fields, the collector never looks inside.
    ///
    /// Up to 32,768 bytes, the object gets the smallest of the 67 size classes of Go that holds it (none at all: 8
    /// bytes), beyond that whole pages of 8,192 bytes. With [`Config::tiny`](crate::Config::tiny), those of less than 16
    /// bytes and without pointers share blocks.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Os`] if the kernel does not grant memory, [`Error::ForeignRoot`].
    pub fn alloc(&mut self, into: &Root, pointers: usize, bytes: usize) -> Result<Object, Error> {
        let inside = self.enter();
        self.check(into)?;
        let at = inside.state.allocate(inside.local, pointers, bytes)?;
        self.set(&inside, into, at)?;
        self.object(&inside, into)
    }

    /// Makes a root hold what a place holds; gives its address, or `None` for nil.
    ///
    /// # Errors
    /// [`Error::Nil`], [`Error::NoPlace`], [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn load(&mut self, into: &Root, from: Place<'_>) -> Result<Option<Address>, Error> {
        let inside = self.enter();
        // Acquire: pairs with the release of the store, so the object is seen initialised.
        let value = self.cell(&inside, from)?.load(Ordering::Acquire);
        self.set(&inside, into, value)?;
        Ok(Address::new(value))
    }

    /// Stores what a root holds, or nil, in a place. Goes through the write barrier.
    ///
    /// # Errors
    /// [`Error::Nil`] if the root that is looked through is; [`Error::NoPlace`], [`Error::ForeignRoot`],
    /// [`Error::Dangling`].
    pub fn store(&mut self, into: Place<'_>, value: Option<&Root>) -> Result<(), Error> {
        let inside = self.enter();
        let value = value.map_or(Ok(0), |root| self.value(&inside, root))?;
        let cell = self.cell(&inside, into)?;
        inside.state.store(inside.local, cell, value);
        Ok(())
    }

    /// Copies `count` pointer fields, from `from.1` on of one object to `into.1` on of another or the same, as if all
    /// were read before any is written (Go: `typedmemmove`). Each goes through the write barrier.
    ///
    /// # Errors
    /// As [`Mutator::store`].
    pub fn copy_fields(&mut self, into: (&Root, usize), from: (&Root, usize), count: usize) -> Result<(), Error> {
        let inside = self.enter();
        let target = self.fields(&inside, into.0, into.1, count)?;
        let source = self.fields(&inside, from.0, from.1, count)?;
        inside.state.copy_fields(inside.local, (target, into.1), (source, from.1), count);
        Ok(())
    }

    /// Makes `count` pointer fields from `at` on nil (Go: `memclrHasPointers`). Each goes through the write barrier.
    ///
    /// # Errors
    /// As [`Mutator::store`].
    pub fn clear_fields(&mut self, object: &Root, at: usize, count: usize) -> Result<(), Error> {
        let inside = self.enter();
        let object = self.fields(&inside, object, at, count)?;
        inside.state.clear_fields(inside.local, object, at, count);
        Ok(())
    }

    /// Reads data from `at` on, counted in bytes after the last pointer field.
    ///
    /// # Errors
    /// [`Error::Nil`], [`Error::NoData`], [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn read(&self, object: &Root, at: usize, data: &mut [u8]) -> Result<(), Error> {
        let inside = self.enter();
        let range = self.data(&inside, object, at, data.len())?;
        inside.state.space.read(range.start, data);
        Ok(())
    }

    /// Writes data from `at` on, counted in bytes after the last pointer field.
    ///
    /// # Errors
    /// As [`Mutator::read`].
    pub fn write(&mut self, object: &Root, at: usize, data: &[u8]) -> Result<(), Error> {
        let inside = self.enter();
        let range = self.data(&inside, object, at, data.len())?;
        inside.state.space.write(range.start, data);
        Ok(())
    }

    /// Looks at all bytes of an object, fields included.
    #[cfg(feature = "reference")]
    pub(crate) fn image<R>(&self, root: &Root, look: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        let inside = self.enter();
        let object = self.object(&inside, root)?;
        let mut bytes = vec![0; object.usable];
        inside.state.space.read(object.address.get(), &mut bytes);
        Ok(look(&bytes))
    }

    /// What its roots lie in, for who watches.
    #[cfg(all(test, heaplaw_shuttle))]
    pub(crate) fn shared(&self) -> Arc<Local> {
        Arc::clone(&self.local)
    }

    /// What it works with, for who is inside [`run`](Mutator::run).
    pub(crate) fn parts(&self) -> (&State<L>, &Local) {
        (self.heap.state(), &self.local)
    }

    // ---- from roots to objects

    fn check(&self, root: &Root) -> Result<(), Error> {
        let mut own = self.frames.iter().rev().map(|frame| &frame.identity).chain([&self.identity]);
        if own.any(|identity| Arc::ptr_eq(&root.owner, identity)) { Ok(()) } else { Err(Error::ForeignRoot) }
    }

    fn value(&self, inside: &Inside<'_, L>, root: &Root) -> Result<usize, Error> {
        self.check(root)?;
        Ok(inside.local.stack.slot(root.slot).load(Ordering::Relaxed))
    }

    fn set(&self, inside: &Inside<'_, L>, root: &Root, value: usize) -> Result<(), Error> {
        self.check(root)?;
        inside.local.stack.slot(root.slot).store(value, Ordering::Relaxed);
        Ok(())
    }

    fn object(&self, inside: &Inside<'_, L>, root: &Root) -> Result<Object, Error> {
        let at = Address::new(self.value(inside, root)?).ok_or(Error::Nil)?;
        inside.state.describe(at).ok_or(Error::Dangling)
    }

    /// The object that a root holds, if it has pointer fields `at .. at + count`.
    fn fields(&self, inside: &Inside<'_, L>, root: &Root, at: usize, count: usize) -> Result<usize, Error> {
        let Object { address, pointers, .. } = self.object(inside, root)?;
        match at.checked_add(count) {
            Some(end) if end <= pointers => Ok(address.get()),
            _ => Err(Error::NoPlace { index: at.max(pointers), count: pointers }),
        }
    }

    fn cell<'i>(&self, inside: &Inside<'i, L>, place: Place<'_>) -> Result<&'i AtomicUsize, Error> {
        match place {
            Place::Field(root, index) => {
                let object = self.fields(inside, root, index, 1)?;
                Ok(inside.state.space.field(object, index))
            }
            Place::Global(index) => {
                let globals = &inside.state.globals;
                globals.get(index).ok_or(Error::NoPlace { index, count: globals.len() })
            }
        }
    }

    /// Where the data bytes `at .. at + count` of an object are.
    fn data(&self, inside: &Inside<'_, L>, root: &Root, at: usize, count: usize) -> Result<Range<usize>, Error> {
        let object = self.object(inside, root)?;
        let fields = object.pointers * WORD;
        let start = object.address.get() + fields;
        match at.checked_add(count) {
            Some(end) if end <= object.usable - fields => Ok(start + at..start + end),
            end => Err(Error::NoData { end: end.unwrap_or(usize::MAX), count: object.usable - fields }),
        }
    }
}

impl<L: Listener> fmt::Debug for Mutator<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutator").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl<L: Listener> Drop for Mutator<L> {
    fn drop(&mut self) {
        self.local.post.enter();
        self.heap.state().retire(&self.local);
    }
}

impl<L: Listener> State<L> {
    /// What is known of the object that starts at an address.
    pub(crate) fn describe(&self, address: Address) -> Option<Object> {
        let (slot, usable) = self.space.find(address)?;
        let span = self.space.span(slot.span);
        Some(Object { address, pointers: span.pointers(slot.number), usable, marked: span.is_marked(slot.number) })
    }
}
