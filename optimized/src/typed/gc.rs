//! Objects at hand, and their cells.
//!
//! A [`Gc`] is an address with a type and an end: it borrows the session, and ends at the next safepoint. A [`Cell`] is a
//! field of an object at hand. A cell of a link goes through the write barrier when it is written, since there is no other
//! way to write it; a cell of data has no way to hold an address.
//!
//! Invariants: an object at hand is one of the heap of the one session that its thread is in, it is alive until the
//! next safepoint, and it has the fields that its type lists. They hold for what an allocation, a root, a global or a
//! weak pointer gives, and a link holds nothing but what was at hand.

use super::{
    Session,
    layout::{At, Data, Field, Link, Object, Plain},
};
use crate::{geometry::WORD, raw::Raw, root::Address};
use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

/// An object of type `T`, until the next safepoint of the session. As large as an address, and so is an `Option` of it.
///
/// Two are equal if they are the same object.
pub struct Gc<'s, T> {
    at: Address,
    /// Of this thread and no other: whoever has it is in the session that it is of. Of this type exactly: one type that
    /// can stand for another may list other fields.
    of: PhantomData<*mut T>,
    until: PhantomData<&'s ()>,
}

impl<T> Clone for Gc<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Gc<'_, T> {}

impl<T> PartialEq for Gc<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Gc<'_, T> {}

impl<T> Hash for Gc<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.at.hash(state);
    }
}

impl<T> fmt::Debug for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gc({:?})", self.at)
    }
}

impl<'s, T> Gc<'s, T> {
    /// What is at this address, if anything is. The caller knows that it is a `T` of the session's heap, and alive.
    #[inline]
    pub(super) fn new(at: usize) -> Option<Gc<'s, T>> {
        Address::new(at).map(|at| Gc { at, of: PhantomData, until: PhantomData })
    }

    /// What a root holds, which is never nil.
    #[inline]
    pub(super) fn held(at: usize) -> Gc<'s, T> {
        Gc::new(at).expect("a root holds an object")
    }

    /// Where it is: a number for comparing and showing, which leads nowhere.
    pub fn address(self) -> Address {
        self.at
    }

    /// The address of what may be nil.
    #[inline]
    pub(super) fn number(this: Option<Self>) -> usize {
        this.map_or(0, |gc| gc.at.get())
    }
}

impl<'s, T: Object> Gc<'s, T> {
    /// One of its fields.
    #[inline]
    pub fn at<F: Field>(self, field: At<T, F>) -> Cell<'s, F> {
        Cell { object: self.at.get(), index: field.index, of: PhantomData, until: PhantomData }
    }
}

/// A field of an object at hand, or an element of one that is an array.
pub struct Cell<'s, F> {
    object: usize,
    /// The word that it begins at, counted from the object's start.
    index: usize,
    of: PhantomData<*mut F>,
    until: PhantomData<&'s ()>,
}

impl<F> Clone for Cell<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Cell<'_, F> {}

impl<F> fmt::Debug for Cell<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({:#x}.{})", self.object, self.index)
    }
}

impl<T: Object> Cell<'_, Link<T>> {
    /// The object that it leads to.
    #[inline]
    pub fn get<'s>(self, session: &'s Session<'_>) -> Option<Gc<'s, T>> {
        Gc::new(session.raw.load(self.object, self.index))
    }

    /// Makes it lead to an object, or to none. Goes through the write barrier.
    #[inline]
    pub fn set<'g>(self, session: &Session<'_>, value: impl Into<Option<Gc<'g, T>>>) {
        session.raw.store(self.object, self.index, Gc::number(value.into()));
    }

    /// As [`Cell::set`], and gives what it led to. One step for all threads.
    #[inline]
    pub fn swap<'s, 'g>(self, session: &'s Session<'_>, value: impl Into<Option<Gc<'g, T>>>) -> Option<Gc<'s, T>> {
        Gc::new(session.raw.swap(self.object, self.index, Gc::number(value.into())))
    }

    /// As [`Cell::set`], if it leads to `old`. One step for all threads.
    ///
    /// # Errors
    /// What it leads to instead.
    #[inline]
    pub fn compare_exchange<'s, 'g, 'o>(
        self,
        session: &'s Session<'_>,
        old: impl Into<Option<Gc<'o, T>>>,
        value: impl Into<Option<Gc<'g, T>>>,
    ) -> Result<(), Option<Gc<'s, T>>> {
        let (old, value) = (Gc::number(old.into()), Gc::number(value.into()));
        session.raw.compare_exchange(self.object, self.index, old, value).map(drop).map_err(Gc::new)
    }
}

impl<D: Plain> Cell<'_, Data<D>> {
    /// The value. One of up to 8 bytes is read in one step; a larger one, while another thread writes it, may be partly
    /// old. It orders nothing: who finds an object by a link sees what was written before the link was.
    #[inline]
    pub fn get(self, session: &Session<'_>) -> D {
        D::read(&mut Reader { raw: &session.raw, object: self.object, next: self.index, word: 0, used: WORD })
    }

    /// Overwrites the value, as [`Cell::get`] reads it.
    #[inline]
    pub fn set(self, session: &Session<'_>, value: D) {
        let mut writer = Writer { raw: &session.raw, object: self.object, next: self.index, word: 0, used: 0 };
        value.write(&mut writer);
        writer.finish();
    }
}

impl<'s, F: Field, const N: usize> Cell<'s, [F; N]> {
    /// Element `index`.
    ///
    /// # Panics
    /// If there is no such element.
    #[inline]
    pub fn at(self, index: usize) -> Cell<'s, F> {
        assert!(index < N, "there is no element {index}, only {N}");
        let index = self.index + index * (F::LINKS + F::WORDS);
        Cell { object: self.object, index, of: PhantomData, until: PhantomData }
    }

    /// All elements.
    pub fn iter(self) -> impl Iterator<Item = Cell<'s, F>> {
        (0..N).map(move |index| self.at(index))
    }
}

/// Takes the words of a value apart. Part of [`Plain`], which nobody else implements.
#[doc(hidden)]
pub struct Reader<'r> {
    raw: &'r Raw<'r>,
    object: usize,
    /// The word that is read next.
    next: usize,
    word: usize,
    /// How many bytes of the word were given.
    used: usize,
}

impl Reader<'_> {
    /// The next so many bytes, of which a word has a whole number.
    #[inline]
    pub(super) fn bits(&mut self, bytes: usize) -> u64 {
        if self.used == WORD {
            (self.word, self.used) = (self.raw.word(self.object, self.next), 0);
            self.next += 1;
        }
        let bits = self.word as u64 >> (8 * self.used);
        self.used += bytes;
        bits & (u64::MAX >> (64 - 8 * bytes))
    }
}

/// Puts the words of a value together.
#[doc(hidden)]
pub struct Writer<'w> {
    raw: &'w Raw<'w>,
    object: usize,
    /// The word that is written next.
    next: usize,
    word: u64,
    /// How many bytes of the word there are.
    used: usize,
}

impl Writer<'_> {
    /// The next so many bytes, of which a word has a whole number.
    #[inline]
    pub(super) fn bits(&mut self, bits: u64, bytes: usize) {
        self.word |= bits << (8 * self.used);
        self.used += bytes;
        if self.used == WORD {
            self.finish();
        }
    }

    /// Writes what was begun. What is left of its last word is the field's, and nobody's data.
    #[inline]
    fn finish(&mut self) {
        if self.used > 0 {
            self.raw.set_word(self.object, self.next, self.word as usize);
            (self.next, self.word, self.used) = (self.next + 1, 0, 0);
        }
    }
}
