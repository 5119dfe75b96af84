//! The generator: it draws programs.
//!
//! There is one generator, [`scenario::Scenario`], and it asks all its questions of a [`choices::Choices`]: "a number
//! below five?". Who answers decides what it is: a seed makes it a random tester, the bytes of a fuzzer make it a
//! decoder under which every byte string is a program, and an odometer makes it an enumeration of all programs up to
//! some size.
//!
//! Three well-known libraries can hold the other end, each behind a feature of its name: `proptest` (a strategy),
//! `quickcheck` and `arbitrary` (for [`Sample`]).

mod allocator;
pub mod choices;
mod pacing;
pub mod scenario;

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "proptest")]
pub mod proptest;
#[cfg(feature = "quickcheck")]
mod quickcheck;

use heaplaw_reference::op::Program;

/// A program that was drawn with the default [`scenario::Scenario`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sample(pub Program);
