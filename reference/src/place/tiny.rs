//! Tiny objects: several in one block of 16 bytes.
//!
//! A program makes many objects of a few bytes without pointers: small numbers in interfaces, short strings. Each would
//! take a slot of at least 8 bytes. The tiny allocator packs them into blocks of [`TINY`] bytes instead, each an ordinary
//! slot for objects without pointers:
//!
//! ```text
//!     0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15
//!   ├─ 5 bytes ─────────┤   ├ 2 ──┤ ├─ 4 bytes ───┤ ├┄┄ still free ┄┤
//!                         ▲
//!                         └ a size's alignment: 8 if it is a multiple of 8, else 4, else 2, else 1
//! ```
//!
//! The rules: an object goes behind the last one in the current block, at its alignment. If it does not fit, it gets a
//! new block. The new block becomes the current one if there was none, or if it has more room left than the old one:
//! if the object is smaller than what the old one has in use. If not, the new block stays that object's own.
//!
//! **The block is the object** for the collector: a pointer to any byte of it keeps all of it. So a tiny object dies only
//! together with those that it shares a block with, and no object with pointers may ever be among them: nobody would look
//! for them. A cache that is flushed forgets its current block, since after a collection it may be garbage.
//!
//! This chapter grounds laws 4, 8, 32, 33 and 34. Source: Go's `malloc.go` (`mallocgcTiny`).
//!
//! ```
//! use heaplaw_reference::place::tiny::Tiny;
//! let mut blocks = [0x1000, 0x1010].into_iter();
//! let mut tiny = Tiny::default();
//! let mut take = |size| tiny.allocate(size, || blocks.next());
//! assert_eq!([5, 2, 4].map(&mut take), [0x1000, 0x1006, 0x1008].map(Some));
//! assert_eq!([8, 4].map(&mut take), [0x1010, 0x1018].map(Some), "8 do not fit, and 8 are less than 12");
//! ```

use crate::place::class::TINY;

/// The alignment of a tiny object: its size's, up to 8.
pub fn alignment(size: u64) -> u64 {
    1 << size.trailing_zeros().min(3)
}

/// The current block of one cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiny {
    block: Option<u64>,
    /// Bytes in use. Invariant: at most [`TINY`]; 0 if there is no block.
    offset: u64,
    /// Objects that were put into a block that was there already: they took no slot.
    shared: u64,
}

impl Tiny {
    /// The address of a tiny object, in the current block or at the start of a new one; `None`, and nothing has changed,
    /// if it needs one and there is none.
    ///
    /// # Panics
    /// If the size is not that of a tiny object: 1 to 15 bytes.
    pub fn allocate(&mut self, size: u64, new_block: impl FnOnce() -> Option<u64>) -> Option<u64> {
        assert!((1..TINY).contains(&size), "{size} bytes are not a tiny object");
        let offset = self.offset.next_multiple_of(alignment(size));
        if let Some(block) = self.block
            && offset + size <= TINY
        {
            self.offset = offset + size;
            self.shared += 1;
            return Some(block + offset);
        }
        let block = new_block()?;
        if self.block.is_none() || size < self.offset {
            (self.block, self.offset) = (Some(block), size);
        }
        Some(block)
    }

    /// The current block.
    pub fn block(&self) -> Option<u64> {
        self.block
    }

    /// How many objects took no slot of their own. (Go counts each as an allocation and as a free.)
    pub fn shared(&self) -> u64 {
        self.shared
    }

    /// Forgets the current block.
    pub fn flush(&mut self) {
        (self.block, self.offset) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;
    use alloc::{collections::BTreeMap, format, string::String};

    /// Law 32.
    #[test]
    fn the_published_trace_is_reproduced() {
        let mut blocks = (1..).map(|block| 16 * block);
        let mut tiny = Tiny { block: Some(0), offset: 8, shared: 0 };
        let place = |size| {
            let at = tiny.allocate(size, || blocks.next()).unwrap();
            format!("{}{}", ["old", "A", "B", "C", "D", "E"][at as usize / 16], at % 16)
        };
        let trace = [15, 1, 1, 2, 3, 5, 8, 12, 1, 3, 8, 8, 8].map(place);
        assert_eq!(trace.join(" "), "A0 old8 old9 old10 old12 B0 B8 C0 C12 C13 D0 D8 E0");
        assert_eq!(tiny.shared(), 8);
    }

    #[test]
    fn an_alignment_is_what_the_size_allows() {
        let aligned: String = (1..TINY).map(|size| char::from(b'0' + alignment(size) as u8)).collect();
        assert_eq!(aligned, "121412181214121");
    }

    /// Laws 4, 8 and 32: packed without overlap, inside one block, and a block is replaced only by an emptier one.
    #[test]
    fn tiny_objects_share_a_block_without_overlap() {
        let (mut dice, mut tiny, mut made) = (Dice(32), Tiny::default(), 0);
        let mut end: BTreeMap<u64, u64> = BTreeMap::new();
        for _ in 0..10_000 {
            if dice.below(50) == 0 {
                tiny.flush();
            }
            let (size, before) = (1 + dice.below(15), tiny);
            let at = tiny
                .allocate(size, || {
                    made += 1;
                    Some(16 * made)
                })
                .unwrap();
            let used = end.entry(at / 16).or_default();
            assert!(at % 16 >= *used && at % 16 + size <= 16 && at % alignment(size) == 0);
            *used = at % 16 + size;
            if before.block.is_some() && tiny.block != before.block {
                assert!(tiny.offset < before.offset, "the new one has more room");
            }
        }
        assert_eq!(made + tiny.shared(), 10_000);
    }

    #[test]
    fn a_flushed_block_is_never_used_again() {
        let mut tiny = Tiny::default();
        assert_eq!(tiny.allocate(1, || Some(16)), Some(16));
        tiny.flush();
        assert_eq!((tiny.block(), tiny.allocate(1, || None)), (None, None), "there is no block to be had");
        assert_eq!((tiny.allocate(15, || Some(32)), tiny.block()), (Some(32), Some(32)));
    }

    #[test]
    #[should_panic(expected = "16 bytes are not a tiny object")]
    fn sixteen_bytes_are_not_tiny() {
        Tiny::default().allocate(16, || Some(16));
    }

    #[test]
    #[should_panic(expected = "0 bytes are not a tiny object")]
    fn no_bytes_are_not_tiny() {
        Tiny::default().allocate(0, || Some(16));
    }
}
