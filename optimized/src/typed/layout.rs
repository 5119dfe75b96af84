//! What objects are made of: the types of fields, and where each lies.
//!
//! A type of objects is a list of the types of its fields, and the list decides all that there is to decide: how many
//! words are links, how many are data, and which word a field begins at. Links come first, since that is what the collector
//! goes by; both keep the order in which they were declared. A struct with `#[derive(Object)]` is a description. No value
//! of it ever exists, so neither its own layout nor its padding matters.
//!
//! Invariants: a field begins at a word and has all of its words to itself, so what is written to one never touches another;
//! all words zero are a value of every field, since that is how objects are born; an [`At`] says what its object's list
//! says.

use super::gc::{Reader, Writer};
use std::marker::PhantomData;

/// A field that leads to an object of type `T`, or to none: nil, which it is at birth.
pub struct Link<T: Object>(PhantomData<fn(T) -> T>);

/// A field that holds a value without pointers: zero at birth.
pub struct Data<D: Plain>(PhantomData<fn(D) -> D>);

/// A type of objects, by the list of the types of its fields; mostly derived.
///
/// It cannot be implemented wrongly: whatever it lists is what its objects have. A struct that has other fields than it
/// lists says something that is not so, and that is all.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of objects on a heap",
    label = "no object of this type can be on a heap",
    note = "write `#[derive(Object)]` before a struct whose fields are `Link<_>`, `Data<_>` or arrays of them"
)]
pub trait Object: 'static {
    /// The types of its fields, in their order.
    type Fields: Fields;
}

mod sealed {
    pub trait Field {}
    pub trait Fields {}
    pub trait Plain {}
}

/// What a field can be: a [`Link`], a [`Data`], or an array of one of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an object on a heap",
    label = "this field is neither a link nor data",
    note = "a field is a `Link<T>` to another object, a `Data<D>` of plain data, or an array of such fields: the collector sees no other pointers, and drops nothing"
)]
pub trait Field: sealed::Field + 'static {
    /// The words of it that are links.
    #[doc(hidden)]
    const LINKS: usize;
    /// The words of it that are data. One of the two is 0.
    #[doc(hidden)]
    const WORDS: usize;
}

impl<T: Object> sealed::Field for Link<T> {}
impl<T: Object> Field for Link<T> {
    const LINKS: usize = 1;
    const WORDS: usize = 0;
}

impl<D: Plain> sealed::Field for Data<D> {}
impl<D: Plain> Field for Data<D> {
    const LINKS: usize = 0;
    const WORDS: usize = D::BYTES.div_ceil(8);
}

impl<F: Field, const N: usize> sealed::Field for [F; N] {}
impl<F: Field, const N: usize> Field for [F; N] {
    const LINKS: usize = F::LINKS * N;
    const WORDS: usize = F::WORDS * N;
}

/// A list of types of fields: [`And`] a field, and so on to the [`End`].
pub trait Fields: sealed::Fields + 'static {
    #[doc(hidden)]
    const LINKS: usize;
    #[doc(hidden)]
    const WORDS: usize;
}

/// A list of no fields.
pub struct End(());

/// A list of a field and of those after it.
pub struct And<F, Rest>(PhantomData<fn(F, Rest)>);

impl sealed::Fields for End {}
impl Fields for End {
    const LINKS: usize = 0;
    const WORDS: usize = 0;
}

impl<F: Field, Rest: Fields> sealed::Fields for And<F, Rest> {}
impl<F: Field, Rest: Fields> Fields for And<F, Rest> {
    const LINKS: usize = F::LINKS + Rest::LINKS;
    const WORDS: usize = F::WORDS + Rest::WORDS;
}

/// The number of the first field of a list.
pub struct First(());

/// The number after another.
pub struct Next<N>(PhantomData<fn(N)>);

/// A list that has a field of this number.
#[diagnostic::on_unimplemented(message = "the list `{Self}` has no field of this number")]
pub trait Nth<N>: Fields {
    /// The type of the field.
    type Field: Field;
    /// The list of those after it.
    type After: Fields;
}

impl<F: Field, Rest: Fields> Nth<First> for And<F, Rest> {
    type Field = F;
    type After = Rest;
}

impl<F: Field, Rest: Nth<N>, N> Nth<Next<N>> for And<F, Rest> {
    type Field = Rest::Field;
    type After = Rest::After;
}

/// Names a field of type `F` of the objects of type `T`. The derive makes one for each field, such as `Node::NEXT`.
pub struct At<T, F> {
    /// The word that it begins at, counted from the object's start.
    pub(super) index: usize,
    of: PhantomData<fn(T) -> T>,
    kind: PhantomData<fn(F) -> F>,
}

impl<T, F> Clone for At<T, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, F> Copy for At<T, F> {}

impl<T: Object, F: Field> At<T, F> {
    /// The field of number `N`. Which one it is of the struct, only the compiler looks at: a struct that lists its fields in
    /// another order than it has them is found out.
    pub const fn nth<N>(_: fn(&T) -> &F) -> At<T, F>
    where
        T::Fields: Nth<N, Field = F>,
    {
        let index = match F::LINKS {
            0 => T::Fields::LINKS + T::Fields::WORDS - F::WORDS - <T::Fields as Nth<N>>::After::WORDS,
            own => T::Fields::LINKS - own - <T::Fields as Nth<N>>::After::LINKS,
        };
        At { index, of: PhantomData, kind: PhantomData }
    }
}

/// A value that is data: without pointers, without padding, nothing to drop, and with a meaning for all bytes zero. Numbers,
/// `bool`, `char`, and arrays of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no plain data",
    label = "this cannot be kept in the data of an object",
    note = "plain data are numbers, `bool`, `char` and arrays of them; what leads to another object is a `Link<T>`"
)]
pub trait Plain: sealed::Plain + Copy + 'static {
    #[doc(hidden)]
    const BYTES: usize;
    #[doc(hidden)]
    fn read(from: &mut Reader<'_>) -> Self;
    #[doc(hidden)]
    fn write(self, into: &mut Writer<'_>);
}

/// Values of 1, 2, 4 or 8 bytes, by the way to their bits and back.
macro_rules! plain {
    ($($type:ty: $to:expr, $from:expr;)*) => {$(
        impl sealed::Plain for $type {}
        impl Plain for $type {
            const BYTES: usize = size_of::<$type>();

            #[inline]
            fn read(from: &mut Reader<'_>) -> Self {
                let back: fn(u64) -> $type = $from;
                back(from.bits(Self::BYTES))
            }

            #[inline]
            fn write(self, into: &mut Writer<'_>) {
                let bits: fn($type) -> u64 = $to;
                into.bits(bits(self), Self::BYTES);
            }
        }
    )*};
}

plain! {
    u8: u64::from, |bits| bits as u8;
    u16: u64::from, |bits| bits as u16;
    u32: u64::from, |bits| bits as u32;
    u64: |value| value, |bits| bits;
    usize: |value| value as u64, |bits| bits as usize;
    // From the type without a sign, so that there are zeros above.
    i8: |value| u64::from(value as u8), |bits| bits as i8;
    i16: |value| u64::from(value as u16), |bits| bits as i16;
    i32: |value| u64::from(value as u32), |bits| bits as i32;
    i64: |value| value as u64, |bits| bits as i64;
    isize: |value| value as u64, |bits| bits as isize;
    f32: |value| u64::from(value.to_bits()), |bits| f32::from_bits(bits as u32);
    f64: f64::to_bits, f64::from_bits;
    // Of what is no `bool` or `char`, which nobody writes, something that is.
    bool: u64::from, |bits| bits != 0;
    char: |value| u64::from(u32::from(value)), |bits| char::from_u32(bits as u32).unwrap_or(char::REPLACEMENT_CHARACTER);
}

impl<D: Plain, const N: usize> sealed::Plain for [D; N] {}
impl<D: Plain, const N: usize> Plain for [D; N] {
    const BYTES: usize = D::BYTES * N;

    #[inline]
    fn read(from: &mut Reader<'_>) -> Self {
        std::array::from_fn(|_| D::read(from))
    }

    #[inline]
    fn write(self, into: &mut Writer<'_>) {
        self.into_iter().for_each(|value| value.write(into));
    }
}
