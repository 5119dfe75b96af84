//! Fits: the sequential allocators, over memory of their own. Above `os`; no other layer stands on them.
//!
//! The textbook's allocators as values to be embedded: for a compiler's arena, a buffer pool, device memory that somebody
//! else maps. None has a lock or a thread; each places a request exactly where the chapter of the same name in the
//! reference does, and finds the place by a search instead of a walk.
//!
//! ```text
//!                    takes                                  is found by                            gives back
//!   Bump             the bytes behind a cursor              the cursor                             to a mark
//!   FreeList First   the lowest free block that is enough   a tree of maxima                       one, merged
//!            Next    the first of them from the rover on    the same tree, entered at the rover    one, merged
//!            Best    the smallest; of equals, the lowest    a tree of sets of sizes                one, merged
//!   Segregated       a block of the next size               the class's own stack or set           one, as it is
//! ```
//!
//! What an allocator knows stands **beside** its memory, never in it: a write to a freed block corrupts nothing, and
//! freeing what is not allocated is refused, always. A free list needs two bits for each granule. One says that a block
//! starts there, the other that this block is free; the size of a block is the way to the next bit. Everything else is
//! derived from these, 64 granules at a time:
//!
//! ```text
//!   memory    ├──── a ────┤  free   ├─ b ─┤      free       ├──── c ...     offsets, in granules
//!   starts    1 0 0 0 0 0 1 0 0 0 0 1 0 0 1 0 0 0 0 0 0 0 0 1 0 0 ...       one bit of the next level for each word
//!   free      0 . . . . . 1 . . . . 0 . . 1 . . . . . . . . 0 . . ...
//!   summary   the largest free block that starts in the word (9), or the set of their sizes ({5, 9})
//!               └─ tree: eight summaries to a parent, up to a root
//! ```
//!
//! So freeing and merging is a few bits in at most three words, and allocating is one descent. Both take a time that
//! depends on the logarithm of the reserved range, and not on how many blocks there are.
//!
//! Addresses are offsets from the start of the memory, so that runs can be compared; [`FreeList::bytes`] and its like
//! reach what is there. Memory that was never handed out reads zero, what was freed reads as it was left.
//!
//! Invariants: those of each file; [`FreeList::verify`] and [`Segregated::verify`] check all of them. A request that is
//! refused, by the kernel or for want of room, has changed nothing.
//!
//! Source: Knuth, *The Art of Computer Programming*, 2.5; the tree is that of Go's `mpagealloc.go`, with other summaries.
//!
//! ```
//! use heaplaw_optimized::{Faults, fit::{Fit, FreeList, NotAllocated, Rules}};
//! // 160 bytes of at most a mebibyte.
//! let mut heap = FreeList::new(Fit::Next, Rules::plain(16), 160, 1 << 20, Faults::NONE)?;
//! let (a, b, c) = (heap.allocate(32)?, heap.allocate(48)?, heap.allocate(32)?);
//! assert_eq!((a, b, c, heap.rover()), (0, 32, 80, 112));
//! heap.bytes_mut(c).expect("it is allocated").fill(7);
//! heap.free(a)?;
//! heap.free(b)?;
//! assert_eq!(heap.allocate(40)?, 112, "where first fit would take 0");
//! assert!(heap.allocate(100).is_err(), "there are 80 bytes");
//! heap.grow(160)?;
//! assert_eq!(heap.allocate(100)?, 160);
//! assert_eq!(heap.free(b), Err(NotAllocated::Free));
//! heap.verify()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bits;
mod memory;
mod order;
mod tree;

mod bump;
mod free_list;
mod segregated;

pub use bump::{Bump, Mark, Stale};
pub use free_list::{Block, Fit, FreeList, Rules};
pub use segregated::{Pop, Segregated};

use std::{error, fmt};

/// The offset of every object without a byte. No memory reaches this far, so no allocator hands it out for anything
/// else; freeing it does nothing.
pub const ZERO_BASE: usize = usize::MAX;

/// Why an offset cannot be freed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllocated {
    /// It is outside the memory.
    Outside,
    /// It is in a free block: freed before, or never handed out.
    Free,
    /// It is in a used block, but the object starts elsewhere; or where no block can be.
    Inside,
}

impl fmt::Display for NotAllocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAllocated::Outside => "the offset is outside the memory",
            NotAllocated::Free => "the offset is in a free block",
            NotAllocated::Inside => "no object starts at the offset",
        })
    }
}

impl error::Error for NotAllocated {}

/// A belief of an allocator about itself that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The blocks do not tile the memory here: one is too small or of no size that there is, is free without being
    /// there, or the bits above disagree.
    Block(usize),
    /// The free block at this offset is not merged with the one before.
    Apart(usize),
    /// What is derived for searching is not what follows from the blocks around this offset.
    Index(usize),
    /// No block starts at the rover.
    Rover(usize),
    /// The list that this block is in leads to a block that is used or of another size, or not to all that are free.
    List(usize),
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corruption::Block(at) => write!(f, "the blocks do not tile the memory at {at:#x}"),
            Corruption::Apart(at) => write!(f, "the free block at {at:#x} is not merged with the one before"),
            Corruption::Index(at) => write!(f, "what is derived of the blocks around {at:#x} is not true of them"),
            Corruption::Rover(at) => write!(f, "no block starts at the rover {at:#x}"),
            Corruption::List(at) => write!(f, "the list around {at:#x} is not that of the free blocks of its size"),
        }
    }
}

impl error::Error for Corruption {}

fn ensure(holds: bool, corruption: Corruption) -> Result<(), Corruption> {
    if holds { Ok(()) } else { Err(corruption) }
}
