//! The C allocator of this process: `malloc`, `calloc`, `realloc`, `aligned_alloc`, `free` and `malloc_usable_size`.
//!
//! Whatever library provides them is what is called. So a process that was started with `LD_PRELOAD=lib.so` calls that
//! library's, and the kit can judge any allocator without a line of glue. Two things stand here: thin safe wrappers that
//! keep what the interface asks of its users, and [`Apart`], which takes this process's own memory from elsewhere, so
//! that an allocator that gives away the same block twice corrupts the objects under test and nothing that judges them.
//!
//! Invariants:
//! * **Owned.** A [`Block`] stands for one block that was handed out and not yet freed. It is neither copied nor
//!   shared; dropping it frees it.
//! * **Inside.** Only the bytes that were asked for are touched. If the library breaks its promise, even these may be
//!   somebody else's: that is what the laws are there to find, and why the process that calls this is a child.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ffi::CStr,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
};

/// The environment variable that makes [`Apart`] leave the C allocator alone. The kit sets it for a process that is to
/// serve a library's `malloc`, to the library.
pub const APART: &CStr = c"HEAPLAW_ALLOCATOR";

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

/// A global allocator that is the system's, unless the variable [`APART`] is set when the process starts: then memory
/// comes straight from the kernel, and the C allocator serves only who calls it by name.
///
/// It is made to be out of the way, not to be fast: sizes are rounded up to powers of two, each with a list of free
/// blocks, cut from chunks that are never given back.
pub struct Apart {
    /// 0 as long as nobody has asked, 1 for the system, 2 for the kernel.
    mode: AtomicU8,
    locked: AtomicBool,
    /// By power of two: the first free block, which holds the address of the next; 0 if there is none.
    free: [AtomicUsize; Apart::POWERS],
    /// The rest of the current chunk: invariant: `cursor <= end`, all of it mapped and unused.
    cursor: AtomicUsize,
    end: AtomicUsize,
}

impl Default for Apart {
    fn default() -> Self {
        Apart::new()
    }
}

impl Apart {
    const POWERS: usize = 48;
    const CHUNK: usize = 1 << 20;

    /// An allocator that has nothing yet.
    pub const fn new() -> Self {
        Apart {
            mode: AtomicU8::new(0),
            locked: AtomicBool::new(false),
            free: [const { AtomicUsize::new(0) }; Apart::POWERS],
            cursor: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn is_system(&self) -> bool {
        self.mode.load(Ordering::Relaxed) == 1 || self.decide()
    }

    /// Whether the system serves, when that may not be known yet.
    #[cold]
    fn decide(&self) -> bool {
        if self.mode.load(Ordering::Relaxed) == 0 {
            // SAFETY: the name ends with a zero byte; nobody changes the environment before the first allocation.
            let apart = unsafe { !libc::getenv(APART.as_ptr()).is_null() };
            self.mode.store(1 + u8::from(apart), Ordering::Relaxed);
        }
        self.mode.load(Ordering::Relaxed) == 1
    }

    /// The power of two that a request is rounded up to.
    fn power(layout: Layout) -> usize {
        layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros() as usize
    }

    /// Takes the lock for as long as `work` takes.
    fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        let result = work();
        self.locked.store(false, Ordering::Release);
        result
    }

    /// Fresh bytes, so many and at a multiple of so many, which is a power of two; 0 if the kernel refuses.
    fn cut(&self, size: usize) -> usize {
        let (cursor, end) = (self.cursor.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        let at = cursor.next_multiple_of(size);
        if cursor != 0 && at <= end && end - at >= size {
            self.cursor.store(at + size, Ordering::Relaxed);
            return at;
        }
        // Twice the size has a multiple of the size with room behind it.
        let Some(length) = size.checked_mul(2).map(|twice| twice.max(Apart::CHUNK)) else { return 0 };
        let (access, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that there is.
        let chunk = unsafe { libc::mmap(ptr::null_mut(), length, access, private, -1, 0) };
        if chunk == libc::MAP_FAILED {
            return 0;
        }
        // What was left of the chunk before is wasted.
        let at = chunk.expose_provenance().next_multiple_of(size);
        self.cursor.store(at + size, Ordering::Relaxed);
        self.end.store(chunk.addr() + length, Ordering::Relaxed);
        at
    }
}

// SAFETY: in the mode of the system, it is `System`. In the other, `alloc` gives blocks of a power of two that is at
// least the size and the alignment, cut from mappings that nobody else uses, at multiples of that power; each is either
// with the caller or in the list of its power, and only there. The mode is decided by the first call and stays, so that
// a block goes back to where it came from. Nothing in here unwinds.
unsafe impl GlobalAlloc for Apart {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.is_system() {
            // SAFETY: the caller's promises are those that `System` asks for.
            return unsafe { System.alloc(layout) };
        }
        let power = Apart::power(layout);
        let Some(list) = self.free.get(power) else { return ptr::null_mut() };
        let at = self.alone(|| match list.load(Ordering::Relaxed) {
            0 => self.cut(1 << power),
            first => {
                // SAFETY: a block in a list is ours, mapped, and its first word is the address of the next.
                let next = unsafe { ptr::with_exposed_provenance::<usize>(first).read() };
                list.store(next, Ordering::Relaxed);
                first
            }
        });
        ptr::with_exposed_provenance_mut(at)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.is_system() {
            // SAFETY: the caller's promises are those that `System` asks for.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promises are those that `alloc` asks for, and the block has so many bytes.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_system() {
            // SAFETY: the caller's promises are those that `System` asks for, and the block is its own.
            return unsafe { System.dealloc(block, layout) };
        }
        let Some(list) = self.free.get(Apart::power(layout)) else { return };
        self.alone(|| {
            // SAFETY: the caller gives the block back; it has room for a word and is aligned for it, since its power
            // is at least 16.
            unsafe { block.cast::<usize>().write(list.load(Ordering::Relaxed)) };
            list.store(block.expose_provenance(), Ordering::Relaxed);
        });
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_system() {
            // SAFETY: the caller's promises are those that `System` asks for, and the block is its own.
            return unsafe { System.realloc(block, layout, size) };
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
        if Apart::power(wanted) == Apart::power(layout) {
            return block;
        }
        // SAFETY: the new block is another one, both have room for what is copied, and the old one is the caller's.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
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

    /// An allocator that leaves the C one alone.
    fn apart() -> Apart {
        Apart { mode: AtomicU8::new(2), ..Apart::new() }
    }

    #[test]
    fn memory_apart_is_aligned_kept_and_used_again() {
        let own = apart();
        let layouts = [(1, 1), (24, 8), (100, 64), (4096, 4096), (3 << 20, 16)];
        let layouts = layouts.map(|(size, align)| Layout::from_size_align(size, align).expect("a layout"));
        let take = |layout: &Layout| {
            // SAFETY: no layout is empty.
            let block = unsafe { own.alloc(*layout) };
            assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(7, layout.size()) };
            block
        };
        let first = layouts.each_ref().map(take);
        let others = layouts.each_ref().map(take);
        assert!(first.iter().all(|block| !others.contains(block)));
        for (block, layout) in first.iter().zip(layouts) {
            // SAFETY: it was allocated with this layout and is not used again.
            unsafe { own.dealloc(*block, layout) };
        }
        assert_eq!(layouts.each_ref().map(take), first);
    }

    #[test]
    fn memory_apart_that_is_resized_keeps_its_bytes() {
        let own = apart();
        let layout = Layout::new::<[u8; 40]>();
        // SAFETY: each block is as large as its layout says, and is used only until it is resized.
        unsafe {
            let block = own.alloc(layout);
            block.write_bytes(9, 40);
            let same = own.realloc(block, layout, 60);
            assert_eq!(same, block, "both are rounded up to 64");
            let grown = own.realloc(same, Layout::new::<[u8; 60]>(), 1000);
            assert!(grown != same && slice::from_raw_parts(grown, 40).iter().all(|byte| *byte == 9));
        }
    }
}
