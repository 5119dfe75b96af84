//! Tiny objects: several in one block of 16 bytes. Above [`span`](crate::span); knows nothing of the collector.
//!
//! A block is a slot of the class of 16 bytes without pointers, and for the collector it is the object: a pointer to any
//! byte of it keeps all of it. Each mutator has a [`Current`] block, where the next objects go.
//!
//! ```text
//!     0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15
//!   ├─ 5 bytes ─────────┤   ├ 2 ──┤ ├─ 4 bytes ───┤ ├┄┄ still free ┄┤
//!   ends:             ▲           ▲             ▲
//! ```
//!
//! The rules: an object goes behind the last one, at its size's alignment. What does not fit gets a new block, and that
//! becomes the current one if it has more room left than the old one.
//!
//! A bit for each last byte of an object, kept beside the memory, says how large the object is that starts at an address.
//! So nobody reads or writes a neighbour by mistake.
//!
//! Invariants: whatever lies in a block is without pointers; every allocated slot of the [`KIND`] that is handed out has an
//! end; only the mutator whose current block it is writes the ends of a block.
//!
//! A mutator forgets its block when it begins to allocate black. The block may be white, and would be freed under its
//! hands. (Go marks it instead, and keeps garbage for a cycle.) What it takes after that is marked, and survives the sweep.
//!
//! Source: Go's `malloc.go` (`mallocgcTiny`). The ends are ours.

use crate::{
    arena::{Plan, Planned},
    geometry::PAGE,
    os::Mapped,
    span::Kind,
    sync::{AtomicU16, AtomicUsize, Ordering},
};

/// The bytes of a block (Go: `maxTinySize`).
pub(crate) const TINY: usize = 16;

/// What the spans of blocks are for (Go: `tinySpanClass`).
pub(crate) const KIND: Kind = Kind { class: 2, pointer_free: true };

/// The alignment of a tiny object: its size's, up to 8.
fn alignment(size: usize) -> usize {
    1 << size.trailing_zeros().min(3)
}

/// The block that a mutator allocates from: its address, and in the lowest four bits the last byte in use; 0 for none.
#[derive(Debug, Default)]
pub(crate) struct Current(AtomicUsize);

impl Current {
    fn get(&self) -> usize {
        // Relaxed, here and in `set`: one thread at a time uses it, and the post orders.
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, word: usize) {
        self.0.store(word, Ordering::Relaxed);
    }

    /// The address of an object in the block, if there is room for so many bytes, 1 to 16.
    #[inline]
    pub(crate) fn place(&self, size: usize) -> Option<usize> {
        let word = self.get();
        let (block, align) = (word & !(TINY - 1), alignment(size));
        let offset = (word % TINY + align) & !(align - 1);
        if block == 0 || offset + size > TINY {
            return None;
        }
        self.set(block | (offset + size - 1));
        Some(block + offset)
    }

    /// Makes a new block, with an object of so many bytes at its start, the current one, if it has more room left.
    pub(crate) fn offer(&self, block: usize, size: usize) {
        let word = self.get();
        if word == 0 || size < word % TINY + 1 {
            self.set(block | (size - 1));
        }
    }

    /// Forgets the block.
    pub(crate) fn forget(&self) {
        self.set(0);
    }

    /// The block, and the last byte in use.
    pub(crate) fn block(&self) -> Option<(usize, usize)> {
        let word = self.get();
        (word != 0).then_some((word & !(TINY - 1), word % TINY))
    }
}

/// For each block of a page, a bit for each last byte of an object.
pub(crate) type PageEnds = [AtomicU16; PAGE / TINY];

/// Where the objects of all blocks end.
pub(crate) struct Ends(Mapped<PageEnds>);

impl Ends {
    /// Plans for a window of so many pages.
    pub(crate) fn plan(plan: &mut Plan, pages: usize) -> Planned<PageEnds> {
        plan.table(pages)
    }

    /// No objects.
    pub(crate) fn new(table: Mapped<PageEnds>) -> Ends {
        Ends(table)
    }

    fn of(&self, offset: usize) -> &AtomicU16 {
        &self.0[offset / PAGE][offset % PAGE / TINY]
    }

    /// An object of so many bytes is at an offset of the window: the first one of its block, or the next.
    #[inline]
    pub(crate) fn add(&self, offset: usize, size: usize) {
        let (word, end) = (self.of(offset), 1 << (offset % TINY + size - 1));
        // Relaxed, both: nobody else writes it, and who finds the object got it from us.
        let others = if offset.is_multiple_of(TINY) { 0 } else { word.load(Ordering::Relaxed) };
        word.store(others | end, Ordering::Relaxed);
    }

    /// The bytes of the object that starts at an offset of the window; `None` if there is none.
    pub(crate) fn size(&self, offset: usize) -> Option<usize> {
        let rest = self.of(offset).load(Ordering::Relaxed) >> (offset % TINY);
        (rest != 0).then(|| rest.trailing_zeros() as usize + 1)
    }

    /// The last byte in use of the block at an offset of the window.
    pub(crate) fn last(&self, offset: usize) -> Option<usize> {
        self.of(offset).load(Ordering::Relaxed).checked_ilog2().map(|last| last as usize)
    }

    #[cfg(test)]
    pub(crate) fn flip(&self, offset: usize, bit: u32) {
        let word = self.of(offset);
        word.store(word.load(Ordering::Relaxed) ^ 1 << bit, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    /// Law 32: the trace that Go was seen to make.
    #[test]
    fn the_published_trace_is_reproduced() {
        let mut blocks = (1..).map(|block| TINY * block);
        let tiny = Current::default();
        tiny.offer(blocks.next().unwrap(), 8);
        let place = |size| {
            let at = tiny.place(size).unwrap_or_else(|| {
                let block = blocks.next().unwrap();
                tiny.offer(block, size);
                block
            });
            format!("{}{}", ["old", "A", "B", "C", "D", "E"][at / TINY - 1], at % TINY)
        };
        let trace = [15, 1, 1, 2, 3, 5, 8, 12, 1, 3, 8, 8, 8].map(place);
        assert_eq!(trace.join(" "), "A0 old8 old9 old10 old12 B0 B8 C0 C12 C13 D0 D8 E0");
    }

    #[test]
    fn the_kind_is_that_of_blocks() {
        assert_eq!(crate::class::class(KIND.class).size, TINY);
    }
}
