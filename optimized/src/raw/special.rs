//! What is attached to objects, by address: weak pointers, finalizers and cleanups as [`Mutator`](crate::Mutator) has them.
//!
//! None of these is a safepoint. What is handed out, here as anywhere, the program must have in a slot before the next.
//!
//! ```
//! use heaplaw_optimized::{Config, Heap};
//! let heap = Heap::new(Config::default())?;
//! heap.join().raw(|raw| {
//!     let object = raw.alloc(0, 16)?;
//!     let (weak, slot) = (raw.weak(object)?, raw.push(object));
//!     raw.set_finalizer(object, 7)?;
//!     raw.collect();
//!     assert_eq!(raw.upgrade(&weak)?, raw.get(slot), "it is alive, and objects do not move");
//!     raw.set(slot, 0);
//!     raw.collect();
//!     assert_eq!(raw.upgrade(&weak)?, 0, "it is dead");
//!     assert_eq!(raw.finalized(), Some((object, 7)), "and handed out once more");
//!     Ok(())
//! })?;
//! # Ok::<(), heaplaw_optimized::Error>(())
//! ```

use super::Raw;
use crate::{
    error::Error,
    events::Listener,
    special::{Cleanup, Weak},
};

impl<L: Listener> Raw<'_, L> {
    /// As [`Heap::collect`](crate::Heap::collect), which would wait for this mutator for ever. A safepoint.
    pub fn collect(&mut self) {
        let state = self.state;
        self.park(|| state.collect_all());
    }

    /// As [`Mutator::weak`](crate::Mutator::weak).
    ///
    /// # Errors
    /// [`Error::Nil`]; [`Error::Dangling`] if no object starts there.
    pub fn weak(&self, object: usize) -> Result<Weak, Error> {
        self.state.weak(object)
    }

    /// As [`Mutator::upgrade`](crate::Mutator::upgrade): the object, or 0 once it has been found dead.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the weak pointer is of another heap.
    #[inline]
    pub fn upgrade(&self, weak: &Weak) -> Result<usize, Error> {
        self.state.upgrade(self.local, weak)
    }

    /// As [`Mutator::set_finalizer`](crate::Mutator::set_finalizer).
    ///
    /// # Errors
    /// As [`Raw::weak`].
    pub fn set_finalizer(&self, object: usize, token: u64) -> Result<Option<u64>, Error> {
        self.state.set_finalizer(self.local, object, token)
    }

    /// As [`Mutator::clear_finalizer`](crate::Mutator::clear_finalizer).
    ///
    /// # Errors
    /// As [`Raw::weak`].
    pub fn clear_finalizer(&self, object: usize) -> Result<Option<u64>, Error> {
        self.state.clear_finalizer(object)
    }

    /// As [`Mutator::finalized`](crate::Mutator::finalized): the object and the token of some finalizer that is due.
    pub fn finalized(&self) -> Option<(usize, u64)> {
        self.state.finalized(self.local)
    }

    /// As [`Mutator::add_cleanup`](crate::Mutator::add_cleanup); an argument of 0 is none.
    ///
    /// # Errors
    /// As [`Raw::weak`], and [`Error::OwnArgument`].
    pub fn add_cleanup(&self, object: usize, argument: usize, token: u64) -> Result<Cleanup, Error> {
        self.state.add_cleanup(self.local, object, argument, token)
    }

    /// As [`Mutator::stop_cleanup`](crate::Mutator::stop_cleanup).
    pub fn stop_cleanup(&self, cleanup: &Cleanup) -> bool {
        self.state.stop_cleanup(cleanup)
    }

    /// As [`Mutator::cleaned`](crate::Mutator::cleaned): the argument, or 0, and the token of some cleanup that is due.
    pub fn cleaned(&self) -> Option<(usize, u64)> {
        self.state.cleaned(self.local)
    }
}
