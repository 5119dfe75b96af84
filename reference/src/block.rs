//! What an allocator of blocks implements, and nothing else.
//!
//! A [`Heap`](crate::heap::Heap) speaks of roots, fields and objects. An allocator (the C `malloc` family, a Rust
//! `GlobalAlloc`, an arena) knows none of these: it hands out blocks of bytes and takes them back. These two traits say
//! just that. The kit lends the rest: it keeps the roots, lays objects out in the blocks, and hands blocks from thread to
//! thread.
//!
//! ```text
//!   Allocator ── allocate 40 bytes at a multiple of 16 ──▶ Block ── read, write ──▶ its bytes
//!                                                            └── dropped: it is free
//! ```
//!
//! Invariants: a block that exists was not freed; whoever owns it is the only one to use it; and it is freed once, by
//! being dropped, in whatever thread that is.

use crate::{
    heap::Claims,
    object::{Address, Shape},
};

/// Hands out blocks.
pub trait Allocator {
    /// What it hands out. Dropping it frees it.
    type Block: Block;

    /// What it is called, and what it claims of itself: [`Classes`](crate::heap::Capability::Classes), a
    /// [`Placement`](crate::heap::Placement), or [`Faults`](crate::heap::Capability::Faults). What the kit lends need not
    /// be claimed.
    fn claims(&self) -> Claims;

    /// A block for an object of this shape, or `None` if it is refused: as many bytes as the shape has, or more, at its
    /// [alignment](Shape::alignment), reading zero. An allocator that can be asked in several ways (C: `malloc`, `calloc`,
    /// `realloc`) asks in the way of this `turn`, and clears what does not come as zero by itself.
    fn allocate(&self, shape: Shape, turn: u64) -> Option<Self::Block>;

    /// Of the requests that have to get memory from whoever provides it, so many from now on, the last is refused, and
    /// no other; 0: none is. Only asked of one that claims [`Faults`](crate::heap::Capability::Faults).
    fn refuse(&self, request: u32) {
        let _ = request;
    }

    /// How many blocks there are, if the allocator counts them. Only asked while no thread allocates or frees.
    fn count(&self) -> Option<u64> {
        None
    }
}

/// A block, owned by whoever has it.
pub trait Block {
    /// Where it is.
    fn address(&self) -> Address;

    /// How many bytes of it may be used.
    fn usable(&self) -> u64;

    /// Copies what it holds from byte `at` on. There are so many bytes.
    fn read(&self, at: u64, into: &mut [u8]);

    /// Overwrites what it holds from byte `at` on. There are so many bytes.
    fn write(&mut self, at: u64, from: &[u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An allocator that says nothing of itself, and gives nothing.
    struct Silent;

    /// There is none.
    enum Nothing {}

    impl Block for Nothing {
        fn address(&self) -> Address {
            match *self {}
        }

        fn usable(&self) -> u64 {
            match *self {}
        }

        fn read(&self, _: u64, _: &mut [u8]) {
            match *self {}
        }

        fn write(&mut self, _: u64, _: &[u8]) {
            match *self {}
        }
    }

    impl Allocator for Silent {
        type Block = Nothing;

        fn claims(&self) -> Claims {
            Claims::new("silent")
        }

        fn allocate(&self, _: Shape, _: u64) -> Option<Nothing> {
            None
        }
    }

    #[test]
    fn an_allocator_that_says_nothing_of_it_does_not_count() {
        assert_eq!(Silent.count(), None);
    }
}
