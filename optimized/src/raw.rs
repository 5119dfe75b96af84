//! Objects by address: what language runtimes and benchmarks use instead of roots that are values.
//!
//! A [`Raw`] is a mutator that runs. It allocates, loads and stores by address, which is as fast as the heap can be, and it
//! has a stack of root slots as a compiled program has: what is not reachable from there, from a global, or from an object
//! that is, may be freed at the next safepoint.
//!
//! **Safepoints** are [`Raw::alloc`], [`Raw::safepoint`] and [`Raw::park`]. What a program holds by address across one it
//! must have in a slot. Between two safepoints nothing is freed.
//!
//! Weak pointers, finalizers and cleanups are had by address as well. Rust programs have a [face with types](crate::typed).
//!
//! **Numbers.** In a heap without [tiny objects](crate::Config::tiny) no address is odd, and an odd word is none: the
//! collector leaves it alone wherever an address may stand, in fields, slots and globals. So a runtime can keep there
//! what needs no object, such as small integers, and in the first field of each object a word that says what kind of
//! object it is.
//!
//! The example `lisp` is an interpreter of 400 lines on this.
//!
//! An address that is not that of an object, or no longer, is a mistake that the heap does not notice. It is still no
//! undefined behaviour: objects are words that are read and written atomically, and nothing is kept among them that the
//! heap relies on. A wild store damages other objects of this heap; a wild load gives nonsense; where the heap has no
//! memory, both panic.
//!
//! ```
//! use heaplaw_optimized::{Config, Heap};
//! let heap = Heap::new(Config::default())?;
//! let sum = heap.join().raw(|raw| {
//!     // A list of ten numbers.
//!     let list = raw.push(0);
//!     for number in 0..10 {
//!         let node = raw.alloc(1, 8)?;
//!         raw.store(node, 0, raw.get(list));
//!         raw.set_word(node, 1, number);
//!         raw.set(list, node);
//!     }
//!     let (mut sum, mut node) = (0, raw.get(list));
//!     while node != 0 {
//!         sum += raw.word(node, 1);
//!         node = raw.load(node, 0);
//!     }
//!     Ok::<_, heaplaw_optimized::Error>(sum)
//! })?;
//! assert_eq!(sum, 45);
//! # Ok::<(), heaplaw_optimized::Error>(())
//! ```

mod special;

use crate::{
    error::Error,
    events::Listener,
    local::Local,
    mutator::Mutator,
    root::Stack,
    state::State,
    sync::{AtomicUsize, Ordering},
};
use std::{cell::Cell, marker::PhantomData};

/// A mutator that runs, and names objects by address. Addresses are numbers; 0 is nil.
pub struct Raw<'m, L: Listener = ()> {
    state: &'m State<L>,
    local: &'m Local,
    /// How many roots the mutator has of its own.
    base: usize,
    /// Not to be shared between threads, as the mutator.
    alone: PhantomData<Cell<()>>,
}

impl<L: Listener> Mutator<L> {
    /// Runs `body` with objects by address. The slots that it pushes are gone afterwards.
    pub fn raw<R>(&mut self, body: impl FnOnce(&mut Raw<'_, L>) -> R) -> R {
        self.inside(|mut raw| body(&mut raw))
    }

    /// The same for who makes more of it.
    pub(crate) fn inside<R>(&mut self, body: impl FnOnce(Raw<'_, L>) -> R) -> R {
        /// Ends the slots also if `body` panics.
        struct Slots<'l>(&'l Local, usize);
        impl Drop for Slots<'_> {
            fn drop(&mut self) {
                self.0.stack.truncate(self.1);
            }
        }
        self.run(|mutator| {
            let (state, local) = mutator.parts();
            let slots = Slots(local, local.stack.len());
            body(Raw { state, local, base: slots.1, alone: PhantomData })
        })
    }
}

#[cfg(feature = "c")]
impl<L: Listener> Mutator<L> {
    /// Objects by address for a single operation, while the mutator [runs](Mutator::begin). Slots are counted from its
    /// first.
    #[inline]
    pub(crate) fn as_raw(&self) -> Raw<'_, L> {
        let (state, local) = self.parts();
        Raw { state, local, base: 0, alone: PhantomData }
    }
}

#[cfg(feature = "c")]
impl<L: Listener> Raw<'_, L> {
    /// Whether the heap has memory for a run of bytes of an object.
    #[inline]
    pub(crate) fn has(&self, object: usize, at: usize, bytes: usize) -> bool {
        self.state.space.has(object.wrapping_add(at), bytes)
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn slots(&self) -> usize {
        self.local.stack.len() - self.base
    }

    /// How many globals there are.
    #[inline]
    pub(crate) fn globals(&self) -> usize {
        self.state.globals.len()
    }
}

impl<'m, L: Listener> Raw<'m, L> {
    /// Where its slots lie.
    pub(crate) fn stack(&self) -> &'m Stack {
        &self.local.stack
    }

    /// Allocates an object of `pointers` pointer fields followed by `bytes` bytes of data, all nil and zero, and gives its
    /// address. A safepoint; the new object itself is safe until the next. A [tiny](crate::Config::tiny) one may share its
    /// words with others, and is for [`Raw::read`] and [`Raw::write`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Os`] if the kernel does not grant memory.
    #[inline(always)]
    pub fn alloc(&mut self, pointers: usize, bytes: usize) -> Result<usize, Error> {
        self.state.allocate(self.local, pointers, bytes)
    }

    /// Lets the collector have what it asks for. Loops that allocate nothing need one.
    #[inline]
    pub fn safepoint(&mut self) {
        self.state.safepoint(self.local);
    }

    /// As [`Mutator::park`]: for what blocks, or takes long.
    pub fn park<R>(&mut self, body: impl FnOnce() -> R) -> R {
        struct Again<'l>(&'l Local);
        impl Drop for Again<'_> {
            fn drop(&mut self) {
                self.0.post.enter();
            }
        }
        self.local.post.park();
        let again = Again(self.local);
        let result = body();
        drop(again);
        self.safepoint();
        result
    }

    // ---- objects

    /// What pointer field `index` of an object holds.
    ///
    /// # Panics
    /// If the heap has no memory there, as all that name a field or a word.
    #[inline]
    pub fn load(&self, object: usize, index: usize) -> usize {
        // Acquire: pairs with the release of the store, so the object is seen initialised.
        self.state.space.field(object, index).load(Ordering::Acquire)
    }

    /// Stores an address, or nil, in pointer field `index` of an object. Goes through the write barrier.
    #[inline]
    pub fn store(&self, object: usize, index: usize, value: usize) {
        self.state.store(self.local, self.state.space.field(object, index), value);
    }

    /// Stores an address, or nil, in pointer field `index` of an object; gives what it held. One step for all mutators.
    #[inline]
    pub fn swap(&self, object: usize, index: usize, value: usize) -> usize {
        // Acquire and release: as a load and a store.
        let old = self.state.space.field(object, index).swap(value, Ordering::AcqRel);
        // No safepoint comes in between, so it makes no difference that it is the store that came first.
        self.state.barrier(self.local, || old, value);
        old
    }

    /// Stores an address, or nil, in pointer field `index` of an object, if the field holds `old`. One step for all
    /// mutators.
    ///
    /// # Errors
    /// What the field holds instead.
    #[inline]
    pub fn compare_exchange(&self, object: usize, index: usize, old: usize, value: usize) -> Result<usize, usize> {
        let field = self.state.space.field(object, index);
        // Acquire and release: as in `swap`.
        let exchanged = field.compare_exchange(old, value, Ordering::AcqRel, Ordering::Acquire);
        if exchanged.is_ok() {
            self.state.barrier(self.local, || old, value);
        }
        exchanged
    }

    /// What global `index` holds.
    ///
    /// # Panics
    /// If there is no such global.
    #[inline]
    pub fn global(&self, index: usize) -> usize {
        // Acquire: as in `load`.
        self.state.globals[index].load(Ordering::Acquire)
    }

    /// Stores an address, or nil, in global `index`. Goes through the write barrier.
    ///
    /// # Panics
    /// If there is no such global.
    #[inline]
    pub fn set_global(&self, index: usize, value: usize) {
        self.state.store(self.local, &self.state.globals[index], value);
    }

    /// Word `index` of an object, counted from its start: of the data, the first is number `pointers`.
    #[inline]
    pub fn word(&self, object: usize, index: usize) -> usize {
        // Relaxed: data orders nothing.
        self.state.space.field(object, index).load(Ordering::Relaxed)
    }

    /// Overwrites word `index` of an object, counted as in [`Raw::word`]. Not for pointers: no barrier.
    #[inline]
    pub fn set_word(&self, object: usize, index: usize, value: usize) {
        // Relaxed: as in `word`.
        self.state.space.field(object, index).store(value, Ordering::Relaxed);
    }

    /// Reads bytes of an object, from `at` on, counted from its start.
    ///
    /// # Panics
    /// If the heap has no memory there.
    #[inline]
    pub fn read(&self, object: usize, at: usize, data: &mut [u8]) {
        self.state.space.read(object.wrapping_add(at), data);
    }

    /// Overwrites bytes of an object, counted as in [`Raw::read`]. Not for pointers: no barrier.
    ///
    /// # Panics
    /// As [`Raw::read`].
    #[inline]
    pub fn write(&self, object: usize, at: usize, data: &[u8]) {
        self.state.space.write(object.wrapping_add(at), data);
    }

    // ---- slots

    #[inline]
    fn slot(&self, slot: usize) -> &AtomicUsize {
        self.local.stack.slot(self.base + slot)
    }

    /// Pushes a slot; gives its number, counted from 0.
    #[inline]
    pub fn push(&mut self, value: usize) -> usize {
        self.local.stack.push(value) - self.base
    }

    /// What a slot holds.
    ///
    /// # Panics
    /// If it was never pushed.
    #[inline]
    pub fn get(&self, slot: usize) -> usize {
        self.slot(slot).load(Ordering::Relaxed)
    }

    /// Overwrites a slot.
    ///
    /// # Panics
    /// If it was never pushed.
    #[inline]
    pub fn set(&mut self, slot: usize, value: usize) {
        self.slot(slot).store(value, Ordering::Relaxed);
    }

    /// Pops all slots from this one on.
    #[inline]
    pub fn pop_to(&mut self, slot: usize) {
        self.local.stack.truncate((self.base + slot).min(self.local.stack.len()));
    }
}
