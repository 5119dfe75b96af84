//! Large objects: a span each.
//!
//! An object of more than [`MAX_SMALL`](super::class::MAX_SMALL) bytes gets whole pages of its own. Its span has one slot
//! and class 0; nobody caches it, so it goes to its central straight away, as full. When it dies, its pages are free at
//! once, for anybody.
//!
//! What is special about it is zeroing. Clearing a gigabyte takes long, too long for a thread that cannot be interrupted.
//! So the span is there before its memory is clean, and a marker may come across it meanwhile:
//!
//! ```text
//!   1. pages ──▶ span, not yet known to have pointers ──▶ 2. zero 256 KiB, stop if asked, zero the next ..
//!   ──▶ 3. say which words are pointers ──▶ 4. fence, and hand it out
//! ```
//!
//! A marker that sees it before step 3 sees an object without pointers, which is true enough: there is nothing in it yet.
//!
//! This chapter grounds laws 5, 10 and 47. Source: Go's `malloc.go` (`mallocgcLarge`, `memclrNoHeapPointersChunked`) and
//! `mcache.go` (`allocLarge`).
//!
//! ```
//! use heaplaw_reference::place::large::{pages, pieces};
//! assert_eq!((pages(32_761), pages(40_961), pages(u64::MAX)), (Some(4), Some(6), None));
//! assert_eq!(pieces(600 << 10).map(|(at, length)| (at >> 10, length >> 10)).collect::<Vec<_>>(),
//!     [(0, 256), (256, 256), (512, 88)]);
//! ```

use crate::place::PAGE;

/// The bytes that are zeroed without a stop.
pub const PIECE: u64 = 256 << 10;

/// The pages of a large object; `None` if so many bytes cannot be rounded up.
pub fn pages(size: u64) -> Option<u64> {
    Some(size.checked_next_multiple_of(PAGE)? / PAGE)
}

/// The offsets and lengths, in bytes, in which so many bytes are zeroed.
pub fn pieces(size: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..size.div_ceil(PIECE)).map(move |piece| (piece * PIECE, PIECE.min(size - piece * PIECE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_rounded_up_unless_that_overflows() {
        assert_eq!([0, 1, PAGE, PAGE + 1].map(pages), [0, 1, 1, 2].map(Some));
        assert_eq!((pages(u64::MAX - PAGE + 1), pages(u64::MAX - PAGE + 2)), (Some(u64::MAX / PAGE), None));
    }

    #[test]
    fn the_pieces_cover_the_object_in_order() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE, 10 * PIECE + 7] {
            let end = pieces(size).fold(0, |end, (at, length)| {
                assert!(at == end && (1..=PIECE).contains(&length), "a piece at {at} follows {end}");
                at + length
            });
            assert_eq!(end, size);
        }
    }
}
