//! Places: where a new object goes.
//!
//! The reference heaps place an object in the lowest gap that is large enough: first fit over the objects that there
//! are, in the order of their addresses. Nothing could be slower or simpler, and it has the one property that matters
//! here: what was freed is used again at once, so an object that was freed too early is soon overwritten by another.
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

/// The lowest address of a reference heap.
pub const BASE: u64 = 0x1000;

/// The bytes of a reference heap that is not told otherwise: as good as endless.
pub const MEMORY: u64 = 1 << 40;

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
