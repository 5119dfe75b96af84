//! What keeps objects alive from one safepoint to the next: roots of a session, and globals of a heap.
//!
//! Invariants: a root's slot holds an object of its type, and is no other root's; vacant slots are nil. A root is used
//! with its own session alone, which is a matter of types: no two sessions have one lifetime, and neither a session nor a
//! root can be taken for one of another. A global holds objects of the type that it was made with, and its number is used
//! once.

use super::{Heap, Session, Shared, gc::Gc, layout::Object};
use crate::{
    error::Error,
    root::Stack,
    sync::{AtomicUsize, Ordering},
};
use std::{cell::RefCell, fmt, marker::PhantomData, sync::Arc};

/// The slots of a session.
pub(super) struct Roots<'m> {
    stack: &'m Stack,
    vacant: RefCell<Vec<usize>>,
}

impl<'m> Roots<'m> {
    pub(super) fn new(stack: &'m Stack) -> Roots<'m> {
        Roots { stack, vacant: RefCell::new(Vec::new()) }
    }

    /// A slot that holds this. For a mutator that runs: who is parked may have been looked at already.
    #[inline]
    pub(super) fn hold<T>(&'m self, at: usize) -> Root<'m, T> {
        let vacant = self.vacant.borrow_mut().pop();
        let slot = match vacant {
            Some(slot) => {
                self.stack.slot(slot).store(at, Ordering::Relaxed);
                slot
            }
            None => self.stack.push(at),
        };
        Root { roots: self, slot, of: PhantomData, only: PhantomData }
    }
}

/// Keeps an object of type `T` alive until it is dropped, and holds another one if it is told to. Always holds one; what may
/// be nil is an `Option`.
pub struct Root<'m, T> {
    roots: &'m Roots<'m>,
    slot: usize,
    of: PhantomData<*mut T>,
    /// Of this session exactly.
    only: PhantomData<fn(&'m ()) -> &'m ()>,
}

impl<T> Root<'_, T> {
    #[inline]
    pub(super) fn slot(&self) -> &AtomicUsize {
        self.roots.stack.slot(self.slot)
    }
}

impl<'m, T: Object> Root<'m, T> {
    /// The object that it holds.
    #[inline]
    pub fn get<'s>(&self, _: &'s Session<'m>) -> Gc<'s, T> {
        Gc::held(self.slot().load(Ordering::Relaxed))
    }

    /// Makes it hold another object.
    #[inline]
    pub fn set(&self, _: &Session<'m>, object: Gc<'_, T>) {
        self.slot().store(Gc::number(Some(object)), Ordering::Relaxed);
    }
}

impl<T> Drop for Root<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Also if the mutator is parked, and its slots are being looked at: one that is nil then is one object less.
        self.slot().store(0, Ordering::Relaxed);
        self.roots.vacant.borrow_mut().push(self.slot);
    }
}

impl<T> fmt::Debug for Root<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.slot)
    }
}

/// A place of the heap that holds an object of type `T`, or nil, and that all threads reach: what a program begins with, and
/// what its threads hand to one another. Made by [`Heap::global`]; its clones are the same place.
pub struct Global<T> {
    heap: Arc<Shared>,
    index: usize,
    of: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Global<T> {
    fn clone(&self) -> Self {
        Global { heap: Arc::clone(&self.heap), index: self.index, of: PhantomData }
    }
}

impl<T> fmt::Debug for Global<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Global({})", self.index)
    }
}

impl Heap {
    /// A new global, nil. A heap has as many as [`Config::globals`](crate::Config::globals) says, and each is made once: a
    /// place that held one type never holds another.
    ///
    /// # Errors
    /// [`Error::NoPlace`] if all are made.
    pub fn global<T: Object>(&self) -> Result<Global<T>, Error> {
        let count = self.heap.state().globals.len();
        // Relaxed: only a number.
        let next = |made: usize| (made < count).then_some(made + 1);
        match self.shared.globals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(index) => Ok(Global { heap: Arc::clone(&self.shared), index, of: PhantomData }),
            Err(index) => Err(Error::NoPlace { index, count }),
        }
    }
}

impl<T: Object> Global<T> {
    #[inline]
    fn check(&self, session: &Session<'_>) -> Result<(), Error> {
        if Arc::ptr_eq(&self.heap, &session.heap.shared) { Ok(()) } else { Err(Error::ForeignRoot) }
    }

    /// The object that it holds.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the session is of another heap.
    #[inline]
    pub fn get<'s>(&self, session: &'s Session<'_>) -> Result<Option<Gc<'s, T>>, Error> {
        self.check(session)?;
        Ok(Gc::new(session.raw.global(self.index)))
    }

    /// Makes it hold an object, or none. Goes through the write barrier.
    ///
    /// # Errors
    /// As [`Global::get`].
    #[inline]
    pub fn set<'g>(&self, session: &Session<'_>, object: impl Into<Option<Gc<'g, T>>>) -> Result<(), Error> {
        self.check(session)?;
        session.raw.set_global(self.index, Gc::number(object.into()));
        Ok(())
    }
}
