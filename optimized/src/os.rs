//! The kernel: the only file of the heap that calls it, and the only one with unsafe code.
//!
//! A [`Region`] is a run of reserved addresses whose lower part is memory:
//!
//! ```text
//!   start       base                      base + committed                 end
//!     │ unused   │ readable and writable    │ reserved: touching it faults   │
//! ```
//!
//! Invariants:
//! * **Reserved.** `start .. start + reserved` is one mapping made by this region, and nobody else unmaps or changes
//!   it.
//! * **Committed.** `base .. base + committed` lies in it, is readable and writable, and was zero when it was
//!   committed. `committed` only grows.
//! * **Unshared.** Nobody else reads or writes the committed bytes, so borrowing the region borrows them.

use crate::{error::Error, geometry::BASE_ALIGN};
use std::{
    io,
    ptr::{self, NonNull},
    slice,
};

/// A reserved run of addresses, the lower part of which is committed. Unmapped when dropped.
pub(crate) struct Region {
    start: NonNull<u8>,
    reserved: usize,
    base: NonNull<u8>,
    committed: usize,
}

// SAFETY: by "unshared" the region owns its mapping as a `Box<[u8]>` owns its bytes, and mappings belong to the
// process, not to a thread.
unsafe impl Send for Region {}

fn failed(call: &'static str) -> Error {
    Error::Os { call, code: io::Error::last_os_error().raw_os_error().unwrap_or(0) }
}

impl Region {
    /// Reserves `bytes` bytes from an address that is a multiple of [`BASE_ALIGN`]. None of them is committed.
    pub(crate) fn reserve(bytes: usize) -> Result<Region, Error> {
        // The kernel aligns to its own pages only.
        let reserved = bytes.checked_add(BASE_ALIGN).ok_or(Error::Os { call: "mmap", code: libc::ENOMEM })?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses, so no existing memory changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), reserved, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(failed("mmap"));
        }
        let start = NonNull::new(start.cast::<u8>()).ok_or(Error::Os { call: "mmap", code: libc::EINVAL })?;
        // SAFETY: by "reserved" the mapping is BASE_ALIGN bytes longer than asked for, so the next multiple is inside.
        let base = unsafe { start.add(start.align_offset(BASE_ALIGN)) };
        Ok(Region { start, reserved, base, committed: 0 })
    }

    /// The address of the lowest byte.
    pub(crate) fn base(&self) -> usize {
        self.base.as_ptr().addr()
    }

    /// Makes `more` bytes above the committed ones readable and writable. They read zero.
    ///
    /// The caller commits no more than it reserved, and in multiples of the OS page size but for the last time.
    pub(crate) fn commit(&mut self, more: usize) -> Result<(), Error> {
        let room = self.reserved - BASE_ALIGN - self.committed;
        assert!(more <= room, "committing {more} bytes of {room} reserved");
        // SAFETY: the result is inside the mapping, as just asserted.
        let from = unsafe { self.base.add(self.committed) };
        // SAFETY: by "reserved" the range is ours; by "committed" nothing in it was ever touched.
        let result = unsafe { libc::mprotect(from.as_ptr().cast(), more, libc::PROT_READ | libc::PROT_WRITE) };
        if result != 0 {
            return Err(failed("mprotect"));
        }
        self.committed += more;
        Ok(())
    }

    /// The committed bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: by "committed" they are readable and were initialised to zero; by "unshared" nobody writes them while
        // `self` is borrowed.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.committed) }
    }

    /// The committed bytes, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and writable; `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.committed) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: by "reserved" this is exactly our mapping, and by "unshared" no reference into it is left.
        // Failure would leak addresses; there is nobody to tell.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.reserved) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_memory_reads_zero_and_keeps_what_is_written() {
        let mut region = Region::reserve(1 << 20).unwrap();
        assert_eq!((region.base() % BASE_ALIGN, region.bytes().len()), (0, 0));
        region.commit(BASE_ALIGN).unwrap();
        assert!(region.bytes().iter().all(|byte| *byte == 0));
        region.bytes_mut()[BASE_ALIGN - 1] = 7;
        region.commit(BASE_ALIGN).unwrap();
        assert_eq!(region.bytes()[BASE_ALIGN - 1..BASE_ALIGN + 1], [7, 0]);
    }

    #[test]
    fn a_reservation_that_the_kernel_refuses_is_an_error() {
        for bytes in [usize::MAX, usize::MAX / 2] {
            assert!(matches!(Region::reserve(bytes), Err(Error::Os { call: "mmap", code: libc::ENOMEM })));
        }
    }
}
