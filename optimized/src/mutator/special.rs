//! Weak pointers, finalizers and cleanups: how a program learns of a death.
//!
//! The heap never calls back. What is due waits, and a mutator of the program's choice asks for it when it likes: it gets
//! the token that it left, and the object or the argument in a root of its own. So a finalizer runs where the program can
//! stand it, with no lock of the heap held, and may do whatever a mutator may.
//!
//! ```
//! use heaplaw_optimized::{Config, Heap};
//! let heap = Heap::new(Config::default())?;
//! let mut mutator = heap.join();
//! let (object, found) = (mutator.root(), mutator.root());
//! mutator.alloc(&object, 0, 16)?;
//! let weak = mutator.weak(&object)?;
//! mutator.set_finalizer(&object, 7)?;
//! mutator.add_cleanup(&object, None, 8)?;
//!
//! heap.collect();
//! assert!(mutator.upgrade(&found, &weak)?.is_some(), "it is alive");
//! mutator.clear(&object)?;
//! mutator.clear(&found)?;
//! heap.collect();
//! assert_eq!(mutator.upgrade(&found, &weak)?, None, "it is dead, although it is kept once more");
//! assert_eq!(mutator.finalized(&object)?, Some(7), "and here it is");
//! assert_eq!(mutator.cleaned(&found)?, None, "not freed yet");
//! mutator.clear(&object)?;
//! heap.collect();
//! assert_eq!(mutator.cleaned(&found)?, Some(8));
//! assert_eq!(heap.stats().objects, 0);
//! # Ok::<(), heaplaw_optimized::Error>(())
//! ```

use super::{Inside, Mutator};
use crate::{
    error::Error,
    events::Listener,
    root::{Address, Root},
    special::{Cleanup, Due, Weak},
};

impl<L: Listener> Mutator<L> {
    /// A weak pointer to the object that a root holds (Go: `weak.Make`). As long as the object is not found dead, it
    /// has only one: all that are made of it are equal.
    ///
    /// # Errors
    /// [`Error::Nil`], [`Error::ForeignRoot`], [`Error::Dangling`].
    pub fn weak(&mut self, of: &Root) -> Result<Weak, Error> {
        let inside = self.enter();
        inside.state.weak(self.value(&inside, of)?)
    }

    /// Makes a root hold the object that a weak pointer refers to, and gives its address; or nil and `None`, once the object
    /// has been found dead (Go: `weak.Pointer.Value`). From then on the answer stays so.
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`], also if the weak pointer is of another heap.
    pub fn upgrade(&mut self, into: &Root, weak: &Weak) -> Result<Option<Address>, Error> {
        let inside = self.enter();
        self.check(into)?;
        let at = inside.state.upgrade(inside.local, weak)?;
        self.set(&inside, into, at)?;
        Ok(Address::new(at))
    }

    /// Gives the object that a root holds a finalizer, and gives the token of the one that it had, which is forgotten (Go:
    /// `runtime.SetFinalizer`). When the object is found dead, it is kept once more, and handed out with the token by
    /// [`Mutator::finalized`], once; then the object has no finalizer, unless it gets another.
    ///
    /// All that the object leads to is kept until then. So if it leads to another one with a finalizer, its own comes first,
    /// and the other's a cycle later; if it leads to itself, it is never found dead, which is a leak.
    ///
    /// # Errors
    /// As [`Mutator::weak`].
    pub fn set_finalizer(&mut self, of: &Root, token: u64) -> Result<Option<u64>, Error> {
        let inside = self.enter();
        inside.state.set_finalizer(inside.local, self.value(&inside, of)?, token)
    }

    /// Takes the finalizer off the object that a root holds, and gives its token, if it had one that is not due.
    ///
    /// # Errors
    /// As [`Mutator::weak`].
    pub fn clear_finalizer(&mut self, of: &Root) -> Result<Option<u64>, Error> {
        let inside = self.enter();
        inside.state.clear_finalizer(self.value(&inside, of)?)
    }

    /// Hands out some finalizer that is due: makes a root hold its object, and gives its token. Nil and `None` if none is.
    /// Weak pointers that were made before are nil by then. How many are due, says
    /// [`Heap::finalizers_due`](crate::Heap::finalizers_due).
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn finalized(&mut self, into: &Root) -> Result<Option<u64>, Error> {
        let inside = self.enter();
        self.check(into)?;
        self.hand_out(&inside, into, inside.state.finalized(inside.local))
    }

    /// Gives the object that a root holds one cleanup more (Go: `runtime.AddCleanup`). When the object has been freed, the
    /// cleanup is handed out with the token by [`Mutator::cleaned`], once. Until then it keeps its argument alive, and all
    /// that this leads to; if that is the object, it never dies, which is a leak.
    ///
    /// # Errors
    /// As [`Mutator::weak`], and [`Error::OwnArgument`]. An argument that is nil is none.
    pub fn add_cleanup(&mut self, of: &Root, argument: Option<&Root>, token: u64) -> Result<Cleanup, Error> {
        let inside = self.enter();
        let argument = argument.map_or(Ok(0), |root| self.value(&inside, root))?;
        inside.state.add_cleanup(inside.local, self.value(&inside, of)?, argument, token)
    }

    /// Takes a cleanup off its object. Gives `false` if it is too late: it is due or was handed out, or was stopped before,
    /// or is of another heap.
    pub fn stop_cleanup(&mut self, cleanup: &Cleanup) -> bool {
        self.enter().state.stop_cleanup(cleanup)
    }

    /// Hands out some cleanup that is due: makes a root hold its argument, nil if it has none, and gives its token. Nil and
    /// `None` if none is due. How many are, says [`Heap::cleanups_due`](crate::Heap::cleanups_due).
    ///
    /// # Errors
    /// Only [`Error::ForeignRoot`].
    pub fn cleaned(&mut self, into: &Root) -> Result<Option<u64>, Error> {
        let inside = self.enter();
        self.check(into)?;
        self.hand_out(&inside, into, inside.state.cleaned(inside.local))
    }

    fn hand_out(&self, inside: &Inside<'_, L>, into: &Root, due: Option<Due>) -> Result<Option<u64>, Error> {
        self.set(inside, into, due.map_or(0, |due| due.0))?;
        Ok(due.map(|due| due.1))
    }
}
