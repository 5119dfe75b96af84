//! The C allocator of this process: `malloc`, `calloc`, `realloc`, `aligned_alloc`, `free` and `malloc_usable_size`.
//!
//! Whatever library provides them is what is called. So a process that was started with `LD_PRELOAD=lib.so` calls that
//! library's, and the kit can judge any allocator without a line of glue. Two things stand here: thin safe wrappers that
//! keep what the interface asks of its users, and [`Apart`], by which this process's own memory comes from elsewhere, so
//! that an allocator that gives away the same block twice corrupts the objects under test and nothing that judges them.
//!
//! Invariants:
//! * **Owned.** A [`Block`] stands for one block that was handed out and not yet freed. It is neither copied nor
//!   shared; dropping it frees it.
//! * **Inside.** Only the bytes that were asked for are touched. If the library breaks its promise, even these may be
//!   somebody else's: that is what the laws are there to find, and why the process that calls this is a child.

use std::{ffi::CStr, ptr::NonNull, slice};

#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod apart;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
pub use apart::{APART, Apart};

/// How a block is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `calloc`: reads zero.
    Calloc,
    /// `malloc`, and the bytes are cleared here.
    Malloc,
    /// `aligned_alloc` at a multiple of this power of two, from 16 on, and the bytes are cleared here.
    Aligned(usize),
    /// `malloc` of half, `realloc` to the whole, and the bytes are cleared here.
    Realloc,
}

/// A block from the C allocator.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    size: usize,
}

impl Block {
    /// Asks for `size` bytes; `None` if they are refused. A request for nothing asks for one byte, since C lets a library
    /// answer it with nothing.
    pub fn new(size: usize, call: Call) -> Option<Block> {
        let asked = size.max(1);
        // SAFETY: these calls ask nothing of their arguments, but for `aligned_alloc`, whose alignment is a power of two
        // and divides the size; and `realloc`, whose block was handed out just before and is used no more.
        let start = unsafe {
            match call {
                Call::Calloc => libc::calloc(1, asked),
                Call::Malloc => libc::malloc(asked),
                Call::Aligned(align) => libc::aligned_alloc(align, asked.checked_next_multiple_of(align)?),
                Call::Realloc => {
                    let half = libc::malloc(asked / 2 + 1);
                    let whole = if half.is_null() { half } else { libc::realloc(half, asked) };
                    if whole.is_null() {
                        libc::free(half);
                    }
                    whole
                }
            }
        };
        let mut block = Block { start: NonNull::new(start.cast())?, size };
        if call != Call::Calloc {
            block.bytes_mut().fill(0);
        }
        Some(block)
    }

    /// Where it is.
    pub fn address(&self) -> usize {
        self.start.addr().get()
    }

    /// The bytes that the library says may be used.
    pub fn usable(&self) -> usize {
        // SAFETY: by "owned", the block was handed out and not yet freed.
        unsafe { libc::malloc_usable_size(self.start.as_ptr().cast()) }
    }

    /// The bytes that were asked for.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: by "owned" and "inside", they are this block's as long as it is borrowed; and they were cleared or
        // come from `calloc`, so they are initialised.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }

    /// The bytes that were asked for, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: by "owned" and "inside", they are this block's as long as it is borrowed mutably. If they are not yet
        // initialised, they are only written.
        unsafe {
            if self.size > 0 {
                // What the compiler knows of fresh memory ends here: it may be that of another block.
                std::hint::black_box(self.start.as_ptr());
            }
            slice::from_raw_parts_mut(self.start.as_ptr(), self.size)
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: by "owned", the block was handed out and not yet freed, and nobody uses it any more.
        unsafe { libc::free(self.start.as_ptr().cast()) };
    }
}

/// The file of the library that provides `malloc`, without its directory.
pub fn library() -> String {
    let unknown = || "unknown".to_owned();
    // SAFETY: a `Dl_info` is pointers and numbers, for which zero is a value.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let symbol = libc::malloc as *const () as *const libc::c_void;
    // The address that this program calls by may be a stub of its own; the one that is looked up is the library's.
    // SAFETY: the name ends with a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc".as_ptr()) };
    let symbol = if found.is_null() { symbol } else { found.cast_const() };
    // SAFETY: `info` is a valid place for the answer.
    if unsafe { libc::dladdr(symbol, &mut info) } == 0 || info.dli_fname.is_null() {
        return unknown();
    }
    // SAFETY: `dladdr` succeeded, so that the name is a string that lives as long as the library is loaded.
    let path = unsafe { CStr::from_ptr(info.dli_fname) }.to_string_lossy();
    path.rsplit('/').next().map_or_else(unknown, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_gives_zeroed_bytes_of_its_own() {
        for call in [Call::Calloc, Call::Malloc, Call::Aligned(64), Call::Realloc] {
            let mut blocks: Vec<Block> = [0, 1, 7, 100, 5000].map(|size| Block::new(size, call).expect("room")).into();
            for (number, block) in (1..).zip(&mut blocks) {
                assert!(block.bytes().iter().all(|byte| *byte == 0) && block.usable() >= block.bytes().len());
                block.bytes_mut().fill(number);
            }
            for (number, block) in (1..).zip(&blocks) {
                assert!(block.bytes().iter().all(|byte| *byte == number), "{call:?}");
            }
            if let Call::Aligned(align) = call {
                assert!(blocks.iter().all(|block| block.address() % align == 0));
            }
        }
        assert!(Block::new(usize::MAX / 2, Call::Calloc).is_none());
        assert!(Block::new(usize::MAX - 5, Call::Aligned(64)).is_none());
    }

    #[test]
    fn the_library_has_a_name() {
        assert!(library().contains("libc"), "{}", library());
    }
}
