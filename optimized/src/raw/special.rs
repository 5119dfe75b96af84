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
    root::Address,
    span::Span,
    special::{Cleanup, Special, Weak},
};

impl<L: Listener> Raw<'_, L> {
    /// The object at an address, and its span.
    fn target(&self, object: usize) -> Result<(Address, Span<'_>), Error> {
        let at = Address::new(object).ok_or(Error::Nil)?;
        let (slot, _) = self.state.space.find(at).ok_or(Error::Dangling)?;
        Ok((at, self.state.space.span(slot.span)))
    }

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
        let (at, span) = self.target(object)?;
        let state = self.state;
        Ok(state.attach(at.get(), span, |special| state.specials.weak(special, at.get(), span.first())))
    }

    /// As [`Mutator::upgrade`](crate::Mutator::upgrade): the object, or 0 once it has been found dead.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the weak pointer is of another heap.
    #[inline]
    pub fn upgrade(&self, weak: &Weak) -> Result<usize, Error> {
        if !self.state.specials.owns(weak) {
            return Err(Error::ForeignRoot);
        }
        Ok(self.state.upgrade(self.local, weak))
    }

    /// As [`Mutator::set_finalizer`](crate::Mutator::set_finalizer).
    ///
    /// # Errors
    /// As [`Raw::weak`].
    pub fn set_finalizer(&self, object: usize, token: u64) -> Result<Option<u64>, Error> {
        let (at, span) = self.target(object)?;
        Ok(self.state.set_finalizer(self.local, at.get(), span, token))
    }

    /// As [`Mutator::clear_finalizer`](crate::Mutator::clear_finalizer).
    ///
    /// # Errors
    /// As [`Raw::weak`].
    pub fn clear_finalizer(&self, object: usize) -> Result<Option<u64>, Error> {
        let (at, span) = self.target(object)?;
        let mut token = None;
        let clear = |special: &mut Special| token = special.set_finalizer(None);
        self.state.specials.detach(at.get(), span.first(), clear, || span.attached().remove(1));
        Ok(token)
    }

    /// As [`Mutator::finalized`](crate::Mutator::finalized): the object and the token of some finalizer that is due.
    pub fn finalized(&self) -> Option<(usize, u64)> {
        self.hand_out(self.state.specials.finalized())
    }

    /// As [`Mutator::add_cleanup`](crate::Mutator::add_cleanup); an argument of 0 is none.
    ///
    /// # Errors
    /// As [`Raw::weak`], and [`Error::OwnArgument`].
    pub fn add_cleanup(&self, object: usize, argument: usize, token: u64) -> Result<Cleanup, Error> {
        let (at, span) = self.target(object)?;
        if argument == object {
            return Err(Error::OwnArgument);
        }
        let specials = &self.state.specials;
        let place = (at, span.first());
        let attach = |special: &mut Special| specials.add_cleanup(special, place, argument, token);
        let cleanup = self.state.attach(at.get(), span, attach);
        self.state.shade_held(self.local, argument);
        Ok(cleanup)
    }

    /// As [`Mutator::stop_cleanup`](crate::Mutator::stop_cleanup).
    pub fn stop_cleanup(&self, cleanup: &Cleanup) -> bool {
        let space = &self.state.space;
        self.state.specials.stop(cleanup, |span| space.span(span).attached().remove(1))
    }

    /// As [`Mutator::cleaned`](crate::Mutator::cleaned): the argument, or 0, and the token of some cleanup that is due.
    pub fn cleaned(&self) -> Option<(usize, u64)> {
        self.hand_out(self.state.specials.cleaned())
    }

    fn hand_out(&self, due: Option<(usize, u64)>) -> Option<(usize, u64)> {
        if let Some((at, _)) = due {
            self.state.shade_held(self.local, at);
        }
        due
    }
}
