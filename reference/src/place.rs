//! Places: where a new object goes.
//!
//! The chapters below this one are allocators, from the simplest to a whole one, each slow, deterministic and exact: the
//! same requests always get the same addresses, so that a fast allocator can be held to them.
//!
//! ```text
//!   textbook                            Go's, from a request downwards
//!   ────────                            ──────────────────────────────
//!   bump        a cursor                class       which of 67 sizes        tiny   several in one block
//!   fit         first, next, best       cache       spans of one processor   large  a span of its own
//!   segregated  a list for each size    central     spans of one class, swept and unswept
//!                                       span        slots: bits, cursor, window; and its generation
//!                                       page_heap   pages to spans and back; growth
//!                                       page        the lowest run of free pages; summary: the same, fast
//!                                       arena       64 MiB, and what is known of each page
//!                                       address     what the kernel was asked for
//!                                       allocator   all of these, in the order in which they are tried
//!   manual      a heap of words over any of them
//! ```
//!
//! Together they ground laws 1 to 5, 8 to 13, and 15 to 47. What takes more than one thread (spans in lock-free sets, a
//! path without locks) is not in here: these chapters say where an object goes, not how fast.
//!
//! The reference heaps need less. They place an object in the lowest gap that is large enough: first fit over the objects
//! that there are, in the order of their addresses. Nothing could be slower or simpler, and it has the one property that
//! matters there: what was freed is used again at once, so an object that was freed too early is soon overwritten by
//! another.
//!
//! ```text
//!   BASE                                                   BASE + memory
//!   ├── a ──┤        ├─ b ─┤  ├──── c ────┤                      │
//!           └─ gap ──┘     └──┘           └───── the rest ───────┘
//! ```
//!
//! ```
//! use heaplaw_reference::place::{BASE, lowest_gap};
//! let taken = [(BASE, 16), (BASE + 40, 8)];
//! assert_eq!(lowest_gap(taken, 64, 24), Some(BASE + 16));
//! assert_eq!(lowest_gap(taken, 64, 16), Some(BASE + 16));
//! assert_eq!(lowest_gap([(BASE, 16), (BASE + 24, 8)], 64, 16), Some(BASE + 32), "the gap of 8 is too small");
//! assert_eq!(lowest_gap(taken, 64, 32), None);
//! ```

pub mod bump;
pub mod fit;
pub mod segregated;
pub mod class;
pub mod tiny;
pub mod generation;
pub mod span;
pub mod address;
pub mod arena;
pub mod page;
pub mod summary;
pub mod page_heap;
pub mod central;
pub mod cache;
pub mod large;
pub mod allocator;
pub mod manual;

/// The lowest address of a reference heap.
pub const BASE: u64 = 0x1000;

/// The bytes of a reference heap that is not told otherwise: as good as endless.
pub const MEMORY: u64 = 1 << 40;

/// The address of every object without a byte (Go: `zerobase`). No range of memory reaches this far, so no allocator hands
/// it out for anything else; and freeing it does nothing.
pub const ZERO_BASE: u64 = u64::MAX;

/// The bytes of a page: Go's own, whatever the kernel's are.
pub const PAGE: u64 = 8 << 10;

/// The lowest address at which `size` bytes are free, in a heap of `memory` bytes in which these runs are taken: each an
/// address and a length, in order, none overlapping another.
pub fn lowest_gap(taken: impl IntoIterator<Item = (u64, u64)>, memory: u64, size: u64) -> Option<u64> {
    let mut at = BASE;
    for (start, length) in taken {
        if start - at >= size {
            break;
        }
        at = start + length;
    }
    (size <= memory && at - BASE <= memory - size).then_some(at)
}

/// Numbers for the tests of these chapters: a shift-register generator, so that they are the same everywhere.
#[cfg(test)]
pub(crate) struct Dice(pub(crate) u64);

#[cfg(test)]
impl Dice {
    /// The next number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let Dice(state) = self;
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        // The high bits are the better ones, and a small seed shows in the first few.
        (*state >> 11) % end
    }
}
