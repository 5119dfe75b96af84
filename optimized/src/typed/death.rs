//! How a program with types learns of deaths: weak pointers, finalizers, cleanups.
//!
//! As everywhere in this crate the heap calls nobody. What is due waits until a session asks, and comes as a [`Due`]: the
//! token that was left, and an object whose type is looked up again. For that, the heap's own token has two halves: the
//! program's, and the number of the type.
//!
//! Invariant: what is attached is attached by this face, so every token that comes back has both halves.

use super::{Heap, Session, gc::Gc, layout::Object};
use crate::{
    error::Error,
    special::{self, Cleanup},
    sync::lock,
};
use std::{
    any::TypeId,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

/// A weak pointer to an object of type `T`: finds it as long as nobody has found it dead, and does not keep it alive. It
/// belongs to no session, and may be sent and shared.
///
/// Two are equal if they were made of one object in one life, as [those without a type](special::Weak).
pub struct Weak<T> {
    weak: special::Weak,
    of: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Weak<T> {
    fn clone(&self) -> Self {
        Weak { weak: self.weak.clone(), of: PhantomData }
    }
}

impl<T> PartialEq for Weak<T> {
    fn eq(&self, other: &Self) -> bool {
        self.weak == other.weak
    }
}

impl<T> Eq for Weak<T> {}

impl<T> Hash for Weak<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.weak.hash(state);
    }
}

impl<T> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weak({})", self.weak.number())
    }
}

impl<T: Object> Weak<T> {
    /// The object, or `None` once it has been found dead, and ever after. Keep it in a root.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the session is of another heap.
    #[inline]
    pub fn upgrade<'s>(&self, session: &'s Session<'_>) -> Result<Option<Gc<'s, T>>, Error> {
        session.raw.upgrade(&self.weak).map(Gc::new)
    }
}

/// Something that is due: a finalizer or a cleanup.
#[derive(Debug)]
pub struct Due<'s> {
    token: u32,
    /// Of the object, unless there is none.
    kind: Option<TypeId>,
    at: usize,
    until: PhantomData<&'s ()>,
    /// Of this thread, as a [`Gc`].
    here: PhantomData<*mut ()>,
}

impl<'s> Due<'s> {
    /// What the program left with it.
    pub fn token(&self) -> u32 {
        self.token
    }

    /// The object: of a finalizer, the one that was found dead; of a cleanup, its argument. `None` if it is of another type,
    /// or if there is none.
    pub fn of<T: Object>(&self) -> Option<Gc<'s, T>> {
        if self.kind == Some(TypeId::of::<T>()) { Gc::new(self.at) } else { None }
    }
}

impl Heap {
    /// The upper half of a token: the number of a type, counted from 1.
    fn number<T: Object>(&self) -> u64 {
        let kind = TypeId::of::<T>();
        let mut kinds = lock(&self.shared.kinds);
        let index = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
            kinds.push(kind);
            kinds.len() - 1
        });
        (index as u64 + 1) << 32
    }
}

/// What the heap says of an object at hand, which it knows.
fn known<R>(answer: Result<R, Error>) -> R {
    answer.expect("an object at hand is an object")
}

impl Session<'_> {
    /// A weak pointer to an object, the only one that it has: all that are made while it lives are equal.
    pub fn weak<T: Object>(&self, object: Gc<'_, T>) -> Weak<T> {
        Weak { weak: known(self.raw.weak(object.address().get())), of: PhantomData }
    }

    /// Gives an object a finalizer; gives the token of the one that it had. When the object is found dead, it is kept
    /// once more, with all that it leads to, and comes with the token from [`Session::finalized`].
    pub fn set_finalizer<T: Object>(&self, object: Gc<'_, T>, token: u32) -> Option<u32> {
        let token = self.heap.number::<T>() | u64::from(token);
        // The lower half is the program's.
        known(self.raw.set_finalizer(object.address().get(), token)).map(|old| old as u32)
    }

    /// Takes the finalizer off an object, and gives its token, if it had one that is not due.
    pub fn clear_finalizer<T: Object>(&self, object: Gc<'_, T>) -> Option<u32> {
        known(self.raw.clear_finalizer(object.address().get())).map(|old| old as u32)
    }

    /// Some finalizer that is due, which is forgotten then.
    pub fn finalized(&self) -> Option<Due<'_>> {
        self.raw.finalized().map(|due| self.due(due))
    }

    /// Gives an object one cleanup more. When the object has been freed, the token comes from [`Session::cleaned`].
    pub fn add_cleanup<T: Object>(&self, object: Gc<'_, T>, token: u32) -> Cleanup {
        known(self.raw.add_cleanup(object.address().get(), 0, u64::from(token)))
    }

    /// The same with another object, the argument, that the cleanup keeps alive and brings along.
    ///
    /// # Errors
    /// [`Error::OwnArgument`]
    pub fn add_cleanup_with<T: Object, A: Object>(
        &self,
        object: Gc<'_, T>,
        argument: Gc<'_, A>,
        token: u32,
    ) -> Result<Cleanup, Error> {
        let token = self.heap.number::<A>() | u64::from(token);
        self.raw.add_cleanup(object.address().get(), argument.address().get(), token)
    }

    /// Takes a cleanup off its object. Gives `false` if it is too late, or if it is of another heap.
    pub fn stop_cleanup(&self, cleanup: &Cleanup) -> bool {
        self.raw.stop_cleanup(cleanup)
    }

    /// Some cleanup that is due, which is forgotten then.
    pub fn cleaned(&self) -> Option<Due<'_>> {
        self.raw.cleaned().map(|due| self.due(due))
    }

    fn due(&self, (at, token): (usize, u64)) -> Due<'_> {
        let kind = (token >> 32).checked_sub(1).map(|index| lock(&self.heap.shared.kinds)[index as usize]);
        Due { token: token as u32, kind, at, until: PhantomData, here: PhantomData }
    }
}
