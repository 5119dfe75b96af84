//! The bump allocator: a cursor that only moves forwards.
//!
//! The fastest allocator there is, since it remembers nothing. It hands out the bytes after its cursor and moves the
//! cursor on. For the same reason it cannot take anything back, except everything at once, or everything since a
//! **mark**: that is what makes it the natural partner of a *moving* collector, which empties a whole range by copying
//! what is alive out of it, and useless to one that frees objects where they lie.
//!
//! ```text
//!   base              mark            cursor                       end
//!   ├── a ──┬─ b ─┬┄┄┬──┬── c ──┬─ d ──┤         still free         │
//!                  │                   ▲
//!                  padding             └── the next object, at a multiple of its alignment
//! ```
//!
//! The rules: `at` is the cursor, rounded up to the alignment. If `at + size` is beyond the end, nothing happens at all.
//! An object without a byte is at [`ZERO_BASE`] and costs nothing. Marks are released in the opposite order of their
//! making: releasing one releases those made since, and each can be released once.
//!
//! This chapter grounds laws 3, 4, 8, 9, 10 and 22. Go uses a bump allocator for its own metadata and for the current
//! arena. Source: Go's `malloc.go` (`persistentalloc`, `linearAlloc`) and `arena.go`.
//!
//! ```
//! use heaplaw_reference::place::bump::Bump;
//! let mut bump = Bump::new(0x1000, 64);
//! assert_eq!(bump.allocate(5, 1), Some(0x1000));
//! let mark = bump.mark();
//! assert_eq!(bump.allocate(8, 16), Some(0x1010), "11 bytes of padding");
//! assert_eq!(bump.allocate(41, 1), None, "40 are left");
//! assert_eq!(bump.allocate(40, 8), Some(0x1018));
//! bump.release(mark)?;
//! assert_eq!(bump.allocate(8, 16), Some(0x1010), "as if nothing had happened");
//! # Ok::<(), heaplaw_reference::place::bump::Stale>(())
//! ```

use crate::place::ZERO_BASE;
use alloc::vec::Vec;

/// A position to go back to. From [`Bump::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// A mark that was released already, with itself or with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// A range of addresses, and how much of it is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bump {
    base: u64,
    /// Invariant: `base <= cursor <= end`.
    cursor: u64,
    end: u64,
    /// Marks that can be released, and where the cursor stood. Invariant: both rise, and no mark is beyond the cursor.
    marks: Vec<(Mark, u64)>,
    /// Marks that were ever made.
    made: u64,
}

impl Bump {
    /// An empty allocator over `size` bytes at `base`.
    ///
    /// # Panics
    /// If the range does not end within the address space.
    pub fn new(base: u64, size: u64) -> Self {
        let end = base.checked_add(size).expect("the range ends within the address space");
        Bump { base, cursor: base, end, marks: Vec::new(), made: 0 }
    }

    /// The address of `size` fresh bytes at a multiple of `align`; `None`, and nothing has changed, if they are not left.
    ///
    /// # Panics
    /// If the alignment is not a power of two.
    pub fn allocate(&mut self, size: u64, align: u64) -> Option<u64> {
        assert!(align.is_power_of_two(), "an alignment is a power of two");
        if size == 0 {
            return Some(ZERO_BASE);
        }
        let at = self.cursor.checked_next_multiple_of(align)?;
        let end = at.checked_add(size).filter(|end| *end <= self.end)?;
        self.cursor = end;
        Some(at)
    }

    /// Bytes between the base and the cursor: objects and padding.
    pub fn used(&self) -> u64 {
        self.cursor - self.base
    }

    /// Remembers the cursor.
    pub fn mark(&mut self) -> Mark {
        let mark = Mark(self.made);
        self.made += 1;
        self.marks.push((mark, self.cursor));
        mark
    }

    /// Forgets everything allocated, and every mark made, since this mark; and the mark.
    ///
    /// # Errors
    /// If it is forgotten already. Nothing has changed then.
    pub fn release(&mut self, mark: Mark) -> Result<(), Stale> {
        let index = self.marks.iter().position(|(made, _)| *made == mark).ok_or(Stale)?;
        self.cursor = self.marks[index].1;
        self.marks.truncate(index);
        Ok(())
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.cursor = self.base;
        self.marks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;

    /// Law 22, and with it laws 3, 4 and 8.
    #[test]
    fn addresses_rise_and_what_is_used_is_sizes_and_padding() {
        let mut dice = Dice(22);
        for _ in 0..200 {
            let (base, room) = (0x1000 + dice.below(64), dice.below(2000));
            let mut bump = Bump::new(base, room);
            let (mut end, mut sizes, mut padding) = (base, 0, 0);
            loop {
                let (size, align) = (1 + dice.below(100), 1 << dice.below(7));
                let before = bump.clone();
                let Some(at) = bump.allocate(size, align) else {
                    assert_eq!(bump, before, "a refusal changes nothing");
                    assert!(end.next_multiple_of(align) + size > base + room, "and is never early");
                    break;
                };
                assert!(at >= end && at % align == 0 && at - end < align, "{at:#x}");
                (sizes, padding, end) = (sizes + size, padding + at - end, at + size);
                assert_eq!(bump.used(), sizes + padding);
                assert!(bump.used() <= room);
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let mut bump = Bump::new(u64::MAX - 100, 100);
        assert_eq!(bump.allocate(u64::MAX, 1), None);
        assert_eq!(bump.allocate(1, 1 << 63), None);
        assert_eq!(bump.allocate(100, 1), Some(u64::MAX - 100));
        assert_eq!(bump.allocate(1, 1), None);
    }

    #[test]
    fn nothing_takes_no_room_and_is_never_refused() {
        let mut bump = Bump::new(0x1000, 0);
        assert_eq!((bump.allocate(0, 8), bump.allocate(0, 1)), (Some(ZERO_BASE), Some(ZERO_BASE)));
        assert_eq!(bump.used(), 0);
    }

    #[test]
    fn marks_are_released_in_the_opposite_order_and_once() {
        let mut bump = Bump::new(0x1000, 100);
        let outer = bump.mark();
        bump.allocate(10, 1);
        let inner = bump.mark();
        bump.allocate(10, 1);
        assert_eq!(bump.release(outer), Ok(()));
        assert_eq!(bump.used(), 0);
        bump.allocate(50, 1);
        assert_eq!((bump.release(outer), bump.release(inner)), (Err(Stale), Err(Stale)));
        assert_eq!(bump.used(), 50, "a stale mark changes nothing");
        let before = bump.mark();
        bump.reset();
        assert_eq!((bump.used(), bump.release(before)), (0, Err(Stale)));
    }

    #[test]
    #[should_panic(expected = "a power of two")]
    fn an_alignment_is_a_power_of_two() {
        Bump::new(0x1000, 100).allocate(1, 3);
    }

    #[test]
    fn a_new_mark_is_not_an_old_one() {
        let mut bump = Bump::new(0x1000, 100);
        let old = bump.mark();
        assert_eq!(bump.release(old), Ok(()));
        bump.mark();
        bump.allocate(10, 1);
        assert_eq!((bump.release(old), bump.used()), (Err(Stale), 10));
    }
}
