//! The kernel: the only file that calls it.
//!
//! A [`Region`] is a run of reserved addresses. Parts of it are made memory, and give their memory back while staying
//! reserved:
//!
//! ```text
//!   reserve            commit                 decommit
//!   ───────▶ reserved ────────▶ readable and ──────────▶ readable and writable,
//!            touching   RW      writable,     DONTNEED   reads zero again,
//!            it faults          reads zero               no memory behind it
//! ```
//!
//! Every call can be refused, and tests must see that happen: a region is made with [`Faults`], which say which of its
//! calls fail without being made. Giving the whole region back is not among them, as nobody could be told.
//!
//! Invariants:
//! * **Reserved.** `mapping .. mapping + mapped` is one mapping made by this region, and nobody else unmaps or changes
//!   it; `start .. start + len` lies in it, and `start` is aligned as was asked for.
//! * **Committed.** What was committed is readable and writable from then on, and was zero when it was committed.

use crate::{
    error::Error,
    sync::{AtomicUsize, Ordering},
};
use std::{
    io,
    ops::{Deref, DerefMut, Range},
    ptr::{self, NonNull},
    slice,
};

/// Which calls to the kernel fail, for tests: after the first `after` that succeed, the next `count`. By default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many calls are made before the first that fails.
    pub after: usize,
    /// How many fail.
    pub count: usize,
}

impl Faults {
    /// Every call is made.
    pub const NONE: Faults = Faults { after: 0, count: 0 };
}

/// A reserved run of addresses. Unmapped when dropped.
pub(crate) struct Region {
    mapping: NonNull<u8>,
    mapped: usize,
    start: NonNull<u8>,
    len: usize,
    faults: Faults,
    calls: AtomicUsize,
}

// SAFETY: mappings belong to the process, not to a thread; everything else in a region is a number.
unsafe impl Send for Region {}
// SAFETY: as above; and its methods call the kernel, which does its own locking, or give pointers away.
unsafe impl Sync for Region {}

fn failed(call: &'static str) -> Error {
    Error::Os { call, code: io::Error::last_os_error().raw_os_error().unwrap_or(0) }
}

/// The bytes of a page of the OS, the unit in which memory is given back.
fn os_page() -> usize {
    // SAFETY: asks for a number; there are no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(64 << 10)
}

/// The most addresses that a heap should reserve, in bytes, if the process has limits: half of what it may have, and no
/// more than it may have of memory, so that the tables leave room for what they are about.
pub(crate) fn address_limit() -> Option<usize> {
    let limit = |of| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place for the answer.
        let asked = unsafe { libc::getrlimit(of, &raw mut limit) };
        (asked == 0 && limit.rlim_cur != libc::RLIM_INFINITY)
            .then(|| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
    };
    let (addresses, memory) = (limit(libc::RLIMIT_AS).map(|bytes| bytes / 2), limit(libc::RLIMIT_DATA));
    addresses.into_iter().chain(memory).min()
}

/// The bytes of memory of this machine.
pub(crate) fn memory() -> usize {
    // SAFETY: asks for a number; there are no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) })
        .map_or(1 << 30, |pages| pages.saturating_mul(os_page()))
}

impl Region {
    /// Reserves `len` bytes from an address that is a multiple of `align`, a power of two. None of them is committed.
    pub(crate) fn reserve(len: usize, align: usize, faults: Faults) -> Result<Region, Error> {
        // The kernel aligns to its own pages only.
        let refused = Error::Os { call: "mmap", code: libc::ENOMEM };
        let mapped = len.checked_add(align).ok_or(refused)?;
        let calls = AtomicUsize::new(0);
        if fault(faults, &calls) {
            return Err(refused);
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses, so no existing memory changes.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), mapped, libc::PROT_NONE, flags, -1, 0) };
        if mapping == libc::MAP_FAILED {
            return Err(failed("mmap"));
        }
        let mapping = NonNull::new(mapping.cast::<u8>()).ok_or(Error::Os { call: "mmap", code: libc::EINVAL })?;
        // SAFETY: by "reserved" the mapping is `align` bytes longer than asked for, so the next multiple is inside.
        let start = unsafe { mapping.add(mapping.align_offset(align)) };
        Ok(Region { mapping, mapped, start, len, faults, calls })
    }

    /// From now on, calls fail as these say.
    pub(crate) fn fail(&mut self, faults: Faults) {
        (self.faults, self.calls) = (faults, AtomicUsize::new(0));
    }

    /// The byte at an offset.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len, "{offset} bytes into {}", self.len);
        // SAFETY: the result is inside the mapping, as just asserted.
        unsafe { self.start.add(offset) }
    }

    /// Makes a range of bytes readable and writable. It starts at a multiple of the OS page size.
    pub(crate) fn commit(&self, range: Range<usize>) -> Result<(), Error> {
        assert!(range.start <= range.end && range.end <= self.len, "committing {range:?} of {}", self.len);
        if fault(self.faults, &self.calls) {
            return Err(Error::Os { call: "mprotect", code: libc::ENOMEM });
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: by "reserved" the range is ours, and what was committed before stays as it is.
        let result = unsafe { libc::mprotect(self.at(range.start).as_ptr().cast(), range.len(), access) };
        if result == 0 { Ok(()) } else { Err(failed("mprotect")) }
    }

    /// Gives the memory behind a committed range back, as far as it consists of whole OS pages; gives the range for which
    /// that was done, which reads zero from now on. It is empty if the kernel refuses.
    ///
    /// # Safety
    /// Nobody reads or writes the range meanwhile, or relies on what is in it.
    pub(crate) unsafe fn decommit(&self, range: Range<usize>) -> Range<usize> {
        let unit = os_page();
        let (start, end) = (range.start.next_multiple_of(unit), range.end / unit * unit);
        assert!(range.end <= self.len, "decommitting {range:?} of {}", self.len);
        if start >= end || fault(self.faults, &self.calls) {
            return start..start;
        }
        // SAFETY: by "reserved" the range is ours; that nobody needs its content is the caller's promise.
        let result = unsafe { libc::madvise(self.at(start).as_ptr().cast(), end - start, libc::MADV_DONTNEED) };
        if result == 0 { start..end } else { start..start }
    }

    /// Lets the kernel back a range with huge pages, or forbids it. It may ignore this, and so may we that it did.
    pub(crate) fn advise_huge(&self, range: Range<usize>, huge: bool) {
        assert!(range.start <= range.end && range.end <= self.len, "advising {range:?} of {}", self.len);
        #[cfg(target_os = "linux")]
        if !fault(self.faults, &self.calls) {
            let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
            // SAFETY: by "reserved" the range is ours; the content does not change.
            unsafe { libc::madvise(self.at(range.start).as_ptr().cast(), range.len(), advice) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = huge;
    }

    /// How many calls have failed that were to fail.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> usize {
        self.calls.load(Ordering::Relaxed).saturating_sub(self.faults.after).min(self.faults.count)
    }

    /// A table in committed memory: `len` elements from a byte offset on.
    ///
    /// # Safety
    /// The range is committed and nothing else is kept in it, and the region outlives the table.
    pub(crate) unsafe fn table<T: Zeroed>(&self, offset: usize, len: usize) -> Mapped<T> {
        let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        assert!(bytes.is_some_and(|end| end <= self.len), "a table of {len} elements at {offset} of {}", self.len);
        let start = self.at(offset).cast::<T>();
        assert!(start.is_aligned(), "a table's elements are aligned");
        Mapped { start, len }
    }
}

/// Whether this call is one that shall fail.
fn fault(faults: Faults, calls: &AtomicUsize) -> bool {
    // Relaxed: a counter that orders nothing.
    let number = if faults.count > 0 { calls.fetch_add(1, Ordering::Relaxed) } else { 0 };
    number >= faults.after && number - faults.after < faults.count
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: by "reserved" this is exactly our mapping, and who made a pointer into it promised to be gone.
        // Failure would leak addresses; there is nobody to tell.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}

/// A type of which all bytes zero is a value, so that fresh memory is a table of it.
///
/// # Safety
/// All bytes zero is a valid value, and the type has no destructor.
pub(crate) unsafe trait Zeroed {}

// SAFETY: zero is a number.
unsafe impl Zeroed for u64 {}
// SAFETY: as for the number inside.
unsafe impl Zeroed for crate::sync::AtomicU8 {}
// SAFETY: as above.
unsafe impl Zeroed for crate::sync::AtomicU16 {}
// SAFETY: as for the number inside.
unsafe impl Zeroed for crate::sync::AtomicU32 {}
// SAFETY: as for the number inside.
unsafe impl Zeroed for crate::sync::AtomicU64 {}
// SAFETY: as for the number inside.
unsafe impl Zeroed for AtomicUsize {}
// SAFETY: as for the element.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// A table in mapped memory: a slice that belongs to whoever owns the region.
///
/// Invariant: its memory is committed, holds valid elements, belongs to this table alone, and outlives it.
pub(crate) struct Mapped<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: by its invariant a table owns its memory as a `Box<[T]>` does.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: by the table's invariant.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Mapped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: by the table's invariant, and the table is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
impl<T> Mapped<T> {
    /// Flips a bit of the table, counted from its first byte: damage, for the test of the self-check.
    ///
    /// # Panics
    /// If it is not in the table.
    pub(crate) fn flip(&self, bit: usize) {
        assert!(bit / 8 < self.len * size_of::<T>());
        // SAFETY: by the table's invariant the byte is its own; elements are numbers, so any bits are a value; and tests
        // of this kind are alone.
        unsafe {
            let byte = self.start.as_ptr().cast::<u8>().add(bit / 8);
            byte.write(byte.read() ^ 1 << (bit % 8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::BASE_ALIGN;

    fn region(len: usize, faults: Faults) -> Region {
        Region::reserve(len, BASE_ALIGN, faults).unwrap()
    }

    #[test]
    fn committed_memory_reads_zero_keeps_what_is_written_and_reads_zero_when_it_comes_back() {
        let region = region(1 << 20, Faults::default());
        assert!(region.at(0).addr().get().is_multiple_of(BASE_ALIGN));
        region.commit(BASE_ALIGN..3 * BASE_ALIGN).unwrap();
        // SAFETY: committed just now, and this is the only table.
        let mut table = unsafe { region.table::<u64>(BASE_ALIGN, 2 * BASE_ALIGN / 8) };
        assert!(table.iter().all(|word| *word == 0));
        table.fill(7);
        region.commit(0..BASE_ALIGN).unwrap();
        region.advise_huge(0..BASE_ALIGN, true);
        assert!(table.iter().all(|word| *word == 7));
        // SAFETY: the table is not borrowed.
        let gone = unsafe { region.decommit(BASE_ALIGN + 1..3 * BASE_ALIGN - 1) };
        assert!(gone.start > BASE_ALIGN && gone.end < 3 * BASE_ALIGN && !gone.is_empty(), "whole OS pages: {gone:?}");
        for (at, word) in table.iter().enumerate() {
            assert_eq!(*word, if gone.contains(&(BASE_ALIGN + at * 8)) { 0 } else { 7 });
        }
    }

    #[test]
    fn a_reservation_that_the_kernel_refuses_is_an_error() {
        for bytes in [usize::MAX, usize::MAX / 2] {
            let refused = Region::reserve(bytes, BASE_ALIGN, Faults::default());
            assert!(matches!(refused, Err(Error::Os { call: "mmap", code: libc::ENOMEM })));
        }
    }

    #[test]
    fn exactly_the_calls_that_shall_fail_do() {
        let refused = Region::reserve(1 << 20, BASE_ALIGN, Faults { after: 0, count: 1 });
        assert!(matches!(refused, Err(Error::Os { call: "mmap", .. })));
        let mut region = region(1 << 20, Faults { after: 2, count: 2 });
        let commit = |at: usize| region.commit(at..at + BASE_ALIGN);
        assert_eq!(commit(0), Ok(()));
        assert!(matches!(commit(BASE_ALIGN), Err(Error::Os { call: "mprotect", .. })));
        // SAFETY: nobody uses the memory.
        assert!(unsafe { region.decommit(0..BASE_ALIGN) }.is_empty(), "nothing is said to be released");
        assert_eq!(commit(BASE_ALIGN), Ok(()));
        // SAFETY: as before.
        assert_eq!(unsafe { region.decommit(0..BASE_ALIGN) }, 0..BASE_ALIGN);
        region.fail(Faults { after: 1, count: 1 });
        assert_eq!([0, 0, 0].map(|at| region.commit(at..at + BASE_ALIGN).is_ok()), [true, false, true]);
    }
}
