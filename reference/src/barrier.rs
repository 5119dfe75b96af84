//! The write barrier: what a pointer store owes a collector that is marking.
//!
//! While a collector marks, mutators keep on storing pointers. A barrier is the code that goes with each store into a
//! [place](crate::op::Place), an object's field or a global, and shades what the store could hide. It runs before the
//! store, and between reading its on/off flag and the store no phase may change.
//!
//! ```text
//!   none         *slot = new
//!   insertion    shade(new);              *slot = new        Dijkstra et al. 1978; Go 1.5 to 1.7
//!   deletion     shade(*slot);            *slot = new        Yuasa 1990
//!   hybrid       shade(*slot); shade(new); *slot = new       Go since 1.8
//! ```
//!
//! 1. **Insertion** keeps the strong invariant: what is stored into something black is no longer white. It does not
//!    watch stacks, so an object that was moved from the heap to a stack that had been scanned hides there: stacks have
//!    to be scanned again at the end, with the world stopped.
//! 2. **Deletion** keeps the weak invariant: a path that protected a white object is not cut without shading the
//!    object it led to. It needs all stacks scanned at the start, before anything is black, and keeps everything that
//!    was reachable then alive for the cycle.
//! 3. **Hybrid** keeps the modified weak invariant: the deletion half watches what goes from the heap to a stack, the
//!    insertion half what goes from a stack to the heap. Each stack is scanned once, at any time, and never again.
//! 4. The **old value** has to be read before the store. Read afterwards, it is the new value, and the deletion half
//!    is gone.
//! 5. **Nil is not special.** Storing nil deletes an edge like any other store.
//! 6. Barriers do not ask for the colour of the object that is stored into. Asking needs a store-load fence, and the
//!    answer can be out of date by the time the store happens.
//! 7. A pointer that goes from stack to stack ([`Action::Send`](crate::op::Action::Send)) passes no place and no
//!    barrier; the hand-over itself has to shade it.
//!
//! This chapter grounds laws 70 to 73. Source: Go's `mbarrier.go` and proposal 17503.
//!
//! ```
//! use heaplaw_reference::barrier::Barrier;
//! let owed = Barrier::Hybrid.owes();
//! assert!(owed.old && owed.new);
//! assert!(!Barrier::Insertion.owes().old);
//! ```

use core::fmt;

/// A write barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Barrier {
    /// Nothing: sound only if no mutator runs while marking.
    None,
    /// Shade the new value.
    Insertion,
    /// Shade the overwritten value.
    Deletion,
    /// Shade both.
    Hybrid,
}

/// Which values of a store are to be shaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The value that is overwritten: the deletion half.
    pub old: bool,
    /// The value that is stored: the insertion half.
    pub new: bool,
}

impl Barrier {
    /// What a store owes while marking.
    pub fn owes(self) -> Owed {
        Owed {
            old: matches!(self, Barrier::Deletion | Barrier::Hybrid),
            new: matches!(self, Barrier::Insertion | Barrier::Hybrid),
        }
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Barrier::None => "none",
            Barrier::Insertion => "insertion",
            Barrier::Deletion => "deletion",
            Barrier::Hybrid => "hybrid",
        })
    }
}
