//! Why an operation was refused. A refused operation has changed nothing.

use std::{error, fmt};

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A call to the kernel failed.
    Os {
        /// The call.
        call: &'static str,
        /// What it left in `errno`.
        code: i32,
    },
    /// There is no room: within the configured limit, in the reservation, or for the heap's own bookkeeping.
    OutOfMemory {
        /// The bytes that were asked for.
        requested: usize,
    },
    /// The root is not one of this mutator's, or the other mutator or the weak pointer is not of this heap.
    ForeignRoot,
    /// The root that is looked through holds nil.
    Nil,
    /// The object has too few pointer fields, or the heap too few globals.
    NoPlace {
        /// The first place that is not there.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The object has too few data bytes.
    NoData {
        /// Where the bytes that were asked for end.
        end: usize,
        /// How many there are.
        count: usize,
    },
    /// The argument of a cleanup is the object whose death it waits for, and which would never die.
    OwnArgument,
    /// The root leads to no object: the heap has lost it. This is a bug in this crate.
    Dangling,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Os { call, code } => write!(f, "{call} failed: {}", std::io::Error::from_raw_os_error(*code)),
            Error::OutOfMemory { requested } => write!(f, "no room for {requested} bytes"),
            Error::ForeignRoot => f.write_str("the root belongs to another mutator"),
            Error::Nil => f.write_str("the root is nil"),
            Error::NoPlace { index, count } => write!(f, "there is no place {index}, only {count}"),
            Error::NoData { end, count } => write!(f, "data up to {end} was asked for, there are {count} bytes"),
            Error::OwnArgument => f.write_str("an object cannot be the argument of its own cleanup"),
            Error::Dangling => f.write_str("the root leads to no object"),
        }
    }
}

impl error::Error for Error {}
