//! The bump allocator: a cursor that only moves forwards, or back to a mark. Above `memory`.
//!
//! The rules are those of the reference's chapter: the cursor is rounded up to the alignment; what does not fit changes
//! nothing; releasing a mark releases those made since, and each can be released once. Memory is asked for as the cursor
//! reaches it.
//!
//! ```
//! use heaplaw_optimized::{Faults, fit::Bump};
//! let mut bump = Bump::new(64, 64, Faults::NONE)?;
//! assert_eq!(bump.allocate(5, 1)?, 0);
//! let mark = bump.mark();
//! assert_eq!(bump.allocate(8, 16)?, 16, "11 bytes of padding");
//! assert!(bump.allocate(41, 1).is_err(), "40 are left");
//! bump.release(mark)?;
//! assert_eq!(bump.allocate(59, 1)?, 5, "as if nothing had happened");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{ZERO_BASE, memory::Bytes};
use crate::{error::Error, os::Faults};
use std::{error, fmt, ops::Range, ptr::NonNull};

/// A position to go back to. From [`Bump::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// A mark that was released already, with itself or with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mark was released already")
    }
}

impl error::Error for Stale {}

/// Memory, and how much of it is used up.
pub struct Bump {
    /// Invariant: `cursor <= obtained <= limit`.
    cursor: usize,
    /// The bytes that are memory.
    obtained: usize,
    growth: usize,
    /// Marks that can be released, and where the cursor stood. Invariant: both rise, and no mark is beyond the cursor.
    marks: Vec<(Mark, usize)>,
    /// Marks that were ever made.
    made: u64,
    bytes: Bytes,
}

impl Bump {
    /// An empty allocator over `limit` bytes, which asks the kernel for `growth` of them at a time, or more for a large
    /// request.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not give the addresses, as `faults` may make it.
    pub fn new(limit: usize, growth: usize, faults: Faults) -> Result<Bump, Error> {
        Ok(Bump::over(Bytes::reserve(limit, faults)?, growth.max(1)))
    }

    /// Over bytes none of which is committed.
    pub(super) fn over(bytes: Bytes, growth: usize) -> Bump {
        Bump { cursor: 0, obtained: 0, growth, marks: Vec::new(), made: 0, bytes }
    }

    /// The offset of `size` fresh bytes at a multiple of `align`, [`ZERO_BASE`] if that is none. They read zero if they
    /// were not released before. Up to 64 KiB, the address is such a multiple as well.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if they are not left, and [`Error::Os`] if the kernel refuses them; nothing has changed.
    ///
    /// # Panics
    /// If the alignment is not a power of two.
    pub fn allocate(&mut self, size: usize, align: usize) -> Result<usize, Error> {
        assert!(align.is_power_of_two(), "an alignment is a power of two");
        if size == 0 {
            return Ok(ZERO_BASE);
        }
        let full = Error::OutOfMemory { requested: size };
        let at = self.cursor.checked_next_multiple_of(align).ok_or(full)?;
        let end = at.checked_add(size).filter(|end| *end <= self.bytes.limit()).ok_or(full)?;
        if end > self.obtained {
            let whole = end.checked_next_multiple_of(self.growth).unwrap_or(end).min(self.bytes.limit());
            self.bytes.commit(whole)?;
            self.obtained = whole;
        }
        self.cursor = end;
        Ok(at)
    }

    /// Bytes behind which the next object is: objects and padding.
    pub fn used(&self) -> usize {
        self.cursor
    }

    /// Remembers the cursor, in Rust's global allocator.
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
        let index = self.marks.binary_search_by_key(&mark, |(made, _)| *made).map_err(|_| Stale)?;
        self.cursor = self.marks[index].1;
        self.marks.truncate(index);
        Ok(())
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.cursor = 0;
        self.marks.clear();
    }

    /// What is there, below [`Bump::used`].
    ///
    /// # Panics
    /// If the range is not below that.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.end <= self.cursor, "{range:?} of {}", self.cursor);
        self.bytes.slice(range)
    }

    /// What is there, below [`Bump::used`], to be written.
    ///
    /// # Panics
    /// If the range is not below that.
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.end <= self.cursor, "{range:?} of {}", self.cursor);
        self.bytes.slice_mut(range)
    }

    /// The address of offset 0; as [`FreeList::base`](super::FreeList::base).
    pub fn base(&self) -> NonNull<u8> {
        self.bytes.at(0)
    }

    /// From now on, calls to the kernel fail as these say.
    pub fn fail(&mut self, faults: Faults) {
        self.bytes.fail(faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_released_in_the_opposite_order_and_once() {
        let mut bump = Bump::new(100, 100, Faults::NONE).unwrap();
        let outer = bump.mark();
        bump.allocate(10, 1).unwrap();
        let inner = bump.mark();
        bump.allocate(10, 1).unwrap();
        assert_eq!((bump.release(outer), bump.used()), (Ok(()), 0));
        bump.allocate(50, 1).unwrap();
        assert_eq!((bump.release(outer), bump.release(inner)), (Err(Stale), Err(Stale)));
        assert_eq!(bump.used(), 50, "a stale mark changes nothing");
        let before = bump.mark();
        bump.reset();
        assert_eq!((bump.used(), bump.release(before)), (0, Err(Stale)));
        assert!(!Stale.to_string().is_empty());
    }

    #[test]
    fn what_the_kernel_refuses_has_not_happened() {
        let refused = |after| Bump::new(1 << 20, 4096, Faults { after, count: 1 });
        assert!(refused(0).is_err());
        let mut bump = refused(2).unwrap();
        assert_eq!((bump.allocate(4096, 1), bump.allocate(1, 1).is_ok()), (Ok(0), false));
        assert_eq!((bump.used(), bump.allocate(10_000, 8), bump.allocate(2288, 1)), (4096, Ok(4096), Ok(14_096)));
        bump.fail(Faults { after: 0, count: usize::MAX });
        assert!(matches!(bump.allocate(1, 1), Err(Error::Os { call: "mprotect", .. })));
        bump.bytes_mut(4096..16_384).fill(1);
        assert_eq!(bump.allocate(1 << 20, 1), Err(Error::OutOfMemory { requested: 1 << 20 }));
        assert_eq!(bump.allocate(1, 1 << 63), Err(Error::OutOfMemory { requested: 1 }));
        assert_eq!((bump.bytes(0..2), bump.bytes(4096..4098)), (&[0; 2][..], &[1; 2][..]));
    }

    #[test]
    #[should_panic(expected = "of 100")]
    fn what_was_released_is_not_looked_at() {
        let mut bump = Bump::new(1000, 1000, Faults::NONE).unwrap();
        bump.allocate(100, 1).unwrap();
        bump.bytes(0..101);
    }
}
