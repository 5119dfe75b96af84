//! Objects with types, for Rust programs: what cannot be got wrong, on what is fast.
//!
//! A type of objects is a struct of [`Link`]s and [`Data`] that derives [`Object`]. A thread enters a [`Session`] of a
//! [`Heap`], allocates there, and holds objects in two ways: as a [`Gc`], which costs nothing and ends at the next
//! *safepoint*, and in a [`Root`], which keeps its object until it is dropped. What threads share is in a [`Global`].
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use heaplaw_optimized::{Config, Error, typed::{Data, Heap, Link, Object}};
//!
//! #[derive(Object)]
//! struct Node {
//!     next: Link<Node>,
//!     value: Data<u64>,
//! }
//!
//! let heap = Heap::new(Config::default())?;
//! let sum = heap.session(|session| {
//!     // A list of ten numbers. It has to outlive each `alloc`, so it is in a root.
//!     let list = session.alloc::<Node>()?;
//!     for value in 1..10 {
//!         let node = session.alloc::<Node>()?;
//!         let (first, rest) = (node.get(session), list.get(session));
//!         first.at(Node::VALUE).set(session, value);
//!         first.at(Node::NEXT).set(session, rest);
//!         list.set(session, first);
//!     }
//!     // Nothing is allocated from here on, so nothing has to be in a root.
//!     let (mut sum, mut next) = (0, Some(list.get(session)));
//!     while let Some(node) = next {
//!         sum += node.at(Node::VALUE).get(session);
//!         next = node.at(Node::NEXT).get(session);
//!     }
//!     Ok::<_, Error>(sum)
//! })?;
//! assert_eq!(sum, 45);
//! # }
//! # Ok::<(), heaplaw_optimized::Error>(())
//! ```
//!
//! # Why it is safe
//!
//! There is no unsafe code in it, nor in what the derive writes. It is [`Raw`] with types before it, and of `Raw` the worst
//! is known: a wrong address does damage to objects and is no undefined behaviour. What the types add is that there is
//! no wrong address:
//!
//! * **No object is held too long.** Safepoints take `&mut Session`, all else `&Session`, and a [`Gc`] borrows it. So the
//!   compiler ends every one of them before [`Session::alloc`], [`Session::safepoint`], [`Session::park`] and
//!   [`Session::collect`], and between those nothing is freed.
//! * **No barrier is forgotten.** The only way to write a link is [`Cell::set`] and its like, on the [`Raw`] that has it.
//! * **No object is taken for another.** A link, a root, a global and a weak pointer have the type of what they lead to,
//!   exactly that type, and start nil. Objects of a [`Heap`] are made by sessions alone: it has no mutators without types.
//! * **No heap is taken for another.** A root fits its own session, by a lifetime that no other session has. A [`Gc`]
//!   stays on its thread, and a thread is in one session at a time, so it can meet no other session. What crosses threads,
//!   [`Global`] and [`Weak`], is compared with the heap at each use.
//!
//! A `Gc` could have been a reference to a struct of atomics in the heap's memory. Then the layout of every such struct
//! would have to be proven, in unsafe code that each derive writes. As it is, a struct is a description, the list of
//! its fields [decides](layout), and a field is named by a constant: `node.at(Node::NEXT)` for `node.next`. It costs
//! the comparison with the end of the memory that `Raw` makes at each access.
//!
//! What it leaves to the program: to leave a session, or [park](Session::park), before it waits for another thread, since
//! the collector waits for it; and to stay out of a session when it waits for the collector ([`Heap::collect`]).
//! Memory that the kernel maps is beyond Miri, so these claims stand on types and tests, not on a run of Miri.

mod death;
mod gc;
pub mod layout;
mod root;
#[cfg(all(test, feature = "derive"))]
mod tests;

pub use death::{Due, Weak};
pub use gc::{Cell, Gc};
#[cfg(feature = "derive")]
pub use heaplaw_derive::Object;
pub use layout::{At, Data, Field, Link, Object, Plain};
pub use root::{Global, Root};

use crate::{
    error::Error,
    geometry::WORD,
    heap::{self, Config},
    raw::Raw,
    stats::{Cycle, Metrics, Stats},
    sync::{AtomicUsize, Mutex, Ordering},
    verify::Corruption,
};
use layout::Fields;
use root::Roots;
use std::{any::TypeId, cell, fmt, marker::PhantomData, sync::Arc};

/// A heap all of whose objects have types. Cloning gives another handle to the same one; the memory goes back to the OS
/// with the last handle.
#[derive(Clone)]
pub struct Heap {
    heap: heap::Heap,
    shared: Arc<Shared>,
}

/// What is known of a heap's types. Also tells heaps apart.
#[derive(Debug)]
struct Shared {
    /// How many globals were made.
    globals: AtomicUsize,
    /// The types that tokens name by number.
    kinds: Mutex<Vec<TypeId>>,
}

impl Heap {
    /// A new, empty heap.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn new(config: Config) -> Result<Heap, Error> {
        let shared = Shared { globals: AtomicUsize::new(0), kinds: Mutex::new(Vec::new()) };
        Ok(Heap { heap: heap::Heap::new(config)?, shared: Arc::new(shared) })
    }

    /// Runs `body` as a mutator of the heap: this thread's session, whose roots are gone afterwards. Until it ends, the
    /// collector waits for its safepoints.
    ///
    /// # Panics
    /// If the thread is in a session already, of this heap or of another. While that one is [parked](Session::park), it is
    /// not.
    pub fn session<R>(&self, body: impl for<'m> FnOnce(&mut Session<'m>) -> R) -> R {
        let _alone = Alone::enter();
        self.heap.join().inside(|raw| {
            let roots = Roots::new(raw.stack());
            body(&mut Session { raw, roots: &roots, heap: self, only: PhantomData, here: PhantomData })
        })
    }

    /// As [`heap::Heap::collect`]: every object that cannot be reached is freed. In a session, it would wait for ever:
    /// there it is [`Session::collect`].
    pub fn collect(&self) {
        self.heap.collect();
    }

    /// As [`heap::Heap::stats`].
    pub fn stats(&self) -> Stats {
        self.heap.stats()
    }

    /// As [`heap::Heap::metrics`].
    pub fn metrics(&self) -> Metrics {
        self.heap.metrics()
    }

    /// As [`heap::Heap::last_cycle`].
    pub fn last_cycle(&self) -> Option<Cycle> {
        self.heap.last_cycle()
    }

    /// As [`heap::Heap::set_gogc`].
    pub fn set_gogc(&self, gogc: Option<u32>) {
        self.heap.set_gogc(gogc);
    }

    /// As [`heap::Heap::set_soft_limit`].
    pub fn set_soft_limit(&self, limit: Option<usize>) {
        self.heap.set_soft_limit(limit);
    }

    /// As [`heap::Heap::finalizers_due`].
    pub fn finalizers_due(&self) -> usize {
        self.heap.finalizers_due()
    }

    /// As [`heap::Heap::cleanups_due`].
    pub fn cleanups_due(&self) -> usize {
        self.heap.cleanups_due()
    }

    /// As [`heap::Heap::verify`]. In a session, it would wait for ever, unless that is [parked](Session::park).
    ///
    /// # Errors
    /// The first belief that does not hold: a bug in this crate.
    pub fn verify(&self) -> Result<(), Corruption> {
        self.heap.verify()
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether the thread is in a session.
    static INSIDE: cell::Cell<bool> = const { cell::Cell::new(false) };
}

/// The thread is in a session, until this is dropped.
struct Alone;

impl Alone {
    fn enter() -> Alone {
        assert!(!INSIDE.replace(true), "a thread is in one session at a time: park the one before");
        Alone
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// A thread's stay in a heap. What takes it by `&mut` is a safepoint, and ends every [`Gc`].
pub struct Session<'m> {
    raw: Raw<'m>,
    roots: &'m Roots<'m>,
    heap: &'m Heap,
    /// No session has the lifetime of another.
    only: PhantomData<fn(&'m ()) -> &'m ()>,
    /// It stays on its thread.
    here: PhantomData<*mut ()>,
}

impl<'m> Session<'m> {
    /// Allocates an object, with links that are nil and data that is zero, in a root. A safepoint.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Os`] if the kernel does not grant memory.
    #[inline]
    pub fn alloc<T: Object>(&mut self) -> Result<Root<'m, T>, Error> {
        let at = self.place::<T>()?;
        Ok(self.roots.hold(at))
    }

    /// The same in a root that there is, which holds what it held before if there is an error.
    ///
    /// # Errors
    /// As [`Session::alloc`].
    #[inline]
    pub fn alloc_into<T: Object>(&mut self, root: &Root<'m, T>) -> Result<(), Error> {
        let at = self.place::<T>()?;
        root.slot().store(at, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn place<T: Object>(&mut self) -> Result<usize, Error> {
        self.raw.alloc(T::Fields::LINKS, T::Fields::WORDS * WORD)
    }

    /// A root that holds an object.
    #[inline]
    pub fn root<T: Object>(&self, object: Gc<'_, T>) -> Root<'m, T> {
        self.roots.hold(object.address().get())
    }

    /// Lets the collector have what it asks for. Loops that allocate nothing need one. A safepoint.
    #[inline]
    pub fn safepoint(&mut self) {
        self.raw.safepoint();
    }

    /// Runs `body` while the collector need not wait for this thread: for what blocks, or takes long. Roots stay. A
    /// safepoint.
    pub fn park<R>(&mut self, body: impl FnOnce() -> R) -> R {
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                INSIDE.set(true);
            }
        }
        self.raw.park(|| {
            INSIDE.set(false);
            let _again = Again;
            body()
        })
    }

    /// As [`Heap::collect`]. A safepoint.
    pub fn collect(&mut self) {
        self.raw.collect();
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
