//! What an allocator has from the kernel: its tables, and the bytes that it hands out. Above [`os`](crate::os); the only
//! file here with unsafe code.
//!
//! ```text
//!   │ table │ table │ table │ committed at once          one region
//!   │ bytes, committed as they are asked for │ reserved │ another
//!   offset 0                                 committed  limit
//! ```
//!
//! Invariants:
//! * **Apart.** No two tables share a byte, and none lies among the bytes that are handed out.
//! * **Alive.** Each table holds on to the region of all, so that it outlives whichever is dropped last.
//! * **Committed.** The tables, and the bytes below `committed`, are readable and writable, and were zero at first.

use crate::{
    error::Error,
    geometry::BASE_ALIGN,
    os::{Faults, Mapped, Region},
};
use std::{
    ops::{Deref, DerefMut, Range},
    ptr::NonNull,
    slice,
    sync::Arc,
};

/// A cache line: tables start at one.
const LINE: usize = 64;

/// Tables of more bytes than this are not backed with huge pages, of which one for each would be more memory than a
/// small heap needs.
const SPARSE: usize = 64 << 20;

/// A table of words, at first zero.
pub(super) struct Words {
    words: Mapped<u64>,
    /// By "alive".
    _region: Arc<Region>,
}

impl Deref for Words {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.words
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }
}

/// The bytes of an allocator.
pub(super) struct Bytes {
    region: Region,
    committed: usize,
    limit: usize,
}

/// Reserves room for `limit` bytes, of which none is committed yet, and makes tables of so many words each.
pub(super) fn reserve<const N: usize>(
    limit: usize,
    tables: [usize; N],
    faults: Faults,
) -> Result<(Bytes, [Words; N]), Error> {
    let tables = make(tables, faults)?;
    // Two calls have been made.
    let faults = Faults { after: faults.after.saturating_sub(2), ..faults };
    Ok((Bytes::reserve(limit, faults)?, tables))
}

/// Makes tables of so many words each, by two calls to the kernel.
fn make<const N: usize>(tables: [usize; N], faults: Faults) -> Result<[Words; N], Error> {
    let words = tables.iter().fold(0usize, |sum, words| sum.saturating_add(*words));
    let full = Error::OutOfMemory { requested: words.saturating_mul(size_of::<u64>()) };
    let mut end = 0usize;
    let mut plan = [0; N];
    for (offset, words) in plan.iter_mut().zip(tables) {
        *offset = end;
        let bytes = words.checked_mul(size_of::<u64>()).ok_or(full)?;
        end = end.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(LINE)).ok_or(full)?;
    }
    let region = Arc::new(Region::reserve(end, BASE_ALIGN, faults)?);
    region.commit(0..end)?;
    if end > SPARSE {
        region.advise_huge(0..end, false);
    }
    Ok(std::array::from_fn(|number| {
        // SAFETY: the tables were committed just now, by the plan they are apart, and by "alive" the region outlives this.
        let words = unsafe { region.table(plan[number], tables[number]) };
        Words { words, _region: Arc::clone(&region) }
    }))
}

impl Bytes {
    /// Reserves room for `limit` bytes, of which none is committed yet, by one call to the kernel.
    pub(super) fn reserve(limit: usize, faults: Faults) -> Result<Bytes, Error> {
        let whole = limit.checked_next_multiple_of(BASE_ALIGN).ok_or(Error::OutOfMemory { requested: limit })?;
        Ok(Bytes { region: Region::reserve(whole, BASE_ALIGN, faults)?, committed: 0, limit })
    }

    /// How many there can be.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Makes the bytes below `end` memory, by one call to the kernel. Nothing has changed if that is refused.
    pub(super) fn commit(&mut self, end: usize) -> Result<(), Error> {
        let requested = end.saturating_sub(self.committed);
        if end > self.limit {
            return Err(Error::OutOfMemory { requested });
        }
        // What is committed already stays as it is; the kernel wants its own pages whole.
        let start = self.committed.min(end) / BASE_ALIGN * BASE_ALIGN;
        self.region.commit(start..end.next_multiple_of(BASE_ALIGN))?;
        self.committed = self.committed.max(end);
        Ok(())
    }

    /// The address of an offset, which is within the limit.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.limit, "{offset} bytes into {}", self.limit);
        self.region.at(offset)
    }

    /// What is there.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.committed, "{range:?} of {}", self.committed);
        // SAFETY: by "committed" and "apart", and borrowed as long as the bytes are.
        unsafe { slice::from_raw_parts(self.at(range.start).as_ptr(), range.len()) }
    }

    /// What is there, to be written.
    pub(super) fn slice_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.committed, "{range:?} of {}", self.committed);
        // SAFETY: by "committed" and "apart", and borrowed exclusively as long as the bytes are.
        unsafe { slice::from_raw_parts_mut(self.at(range.start).as_ptr(), range.len()) }
    }

    /// From now on, calls to the kernel fail as these say.
    pub(super) fn fail(&mut self, faults: Faults) {
        self.region.fail(faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_bytes_are_apart_read_zero_and_outlive_one_another() {
        let (mut bytes, [mut a, mut b]) = reserve(100, [3, 1000], Faults::NONE).unwrap();
        bytes.commit(100).unwrap();
        assert!(a.iter().chain(&*b).all(|word| *word == 0) && bytes.slice(0..100).iter().all(|byte| *byte == 0));
        a.fill(1);
        b.fill(2);
        bytes.slice_mut(0..100).fill(3);
        assert_eq!((a.len(), b.len(), bytes.at(0).addr().get() % BASE_ALIGN), (3, 1000, 0));
        drop(bytes);
        assert!(a.iter().all(|word| *word == 1));
        drop(a);
        assert!(b.iter().all(|word| *word == 2));
    }

    #[test]
    fn what_is_not_granted_changes_nothing() {
        for (after, call) in [(0, "mmap"), (1, "mprotect"), (2, "mmap")] {
            let refused = reserve(100, [8], Faults { after, count: 1 }).map(|_| ()).unwrap_err();
            assert!(matches!(refused, Error::Os { call: by, .. } if by == call));
        }
        assert!(matches!(reserve(usize::MAX - 8, [], Faults::NONE), Err(Error::OutOfMemory { .. })));
        assert!(matches!(reserve(8, [usize::MAX / 4], Faults::NONE), Err(Error::OutOfMemory { .. })));
        let mut bytes = Bytes::reserve(1 << 20, Faults::NONE).unwrap();
        bytes.commit(10).unwrap();
        bytes.slice_mut(0..10).fill(9);
        bytes.fail(Faults { after: 0, count: 1 });
        assert!(matches!(bytes.commit(1 << 20), Err(Error::Os { .. })));
        assert_eq!(bytes.commit((1 << 20) + 1), Err(Error::OutOfMemory { requested: (1 << 20) - 9 }));
        assert_eq!(bytes.slice(0..10), [9; 10]);
        assert_eq!((bytes.commit(1 << 20), bytes.slice(0..12)[8..].to_vec()), (Ok(()), vec![9, 9, 0, 0]));
    }

    #[test]
    #[should_panic(expected = "of 10")]
    fn bytes_that_are_no_memory_are_not_looked_at() {
        let mut bytes = Bytes::reserve(1 << 20, Faults::NONE).unwrap();
        bytes.commit(10).unwrap();
        bytes.slice(0..11);
    }
}
