//! Allocators that are not this crate's: the C one of this process, and any [`GlobalAlloc`], as the kit's
//! [`Allocator`]s.
//!
//! [`C`] is `malloc`, `calloc`, `realloc`, `aligned_alloc`, `free` and `malloc_usable_size`, of whatever library provides
//! them. So a process that was started with `LD_PRELOAD=lib.so` calls that library's, and the kit can judge any allocator
//! without a line of glue. [`Rust`] is an allocator that Rust programs name as their global one, or any other of that kind.
//! Beside these safe wrappers, which keep what the interfaces ask of their users, stands [`Apart`], by which this
//! process's own memory comes from elsewhere, so that an allocator that gives away the same block twice corrupts the
//! objects under test and nothing that judges them.
//!
//! Invariants:
//! * **Owned.** A block stands for one that was handed out and not yet freed. It is neither copied nor shared; dropping
//!   it frees it.
//! * **Inside.** Only the bytes that were asked for are touched, and those beyond that the allocator says may be used. If
//!   it breaks its promise, even these may be somebody else's: that is what the laws are there to find, and why the
//!   process that calls a library is a child.
//!
//! ```
//! use heaplaw_optimized::{Global, foreign::Rust};
//! use heaplaw_reference::{block::{Allocator, Block}, object::Shape};
//! static GLOBAL: Global = Global::new();
//! let allocator = Rust::new("global", &GLOBAL).classes(Global::<false>::usable_size);
//! let block = allocator.allocate(Shape::new(0, 100).aligned(64), 0).expect("room");
//! assert!(block.usable() >= 100 && block.address().0 % 64 == 0);
//! ```

use heaplaw_reference::{
    block::{Allocator, Block},
    heap::{Capability, Claims},
    object::{Address, Shape},
};
use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::CStr,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod apart;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
pub use apart::{APART, Apart};

/// How a block of the C allocator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `calloc`: reads zero.
    Calloc,
    /// `malloc`, and the bytes are cleared here.
    Malloc,
    /// `aligned_alloc` at a multiple of this power of two, from 8 on, and the bytes are cleared here.
    Aligned(usize),
    /// `malloc` of half, `realloc` to the whole, and the bytes are cleared here.
    Realloc,
}

/// What `malloc` owes any object that is as large as this.
const FUNDAMENTAL: usize = 16;

impl Call {
    /// How a shape is asked for at this turn. An alignment that `malloc` owes by itself is not asked for: it is looked at.
    fn of(shape: Shape, turn: u64) -> Call {
        let align = shape.align as usize;
        match turn % 8 {
            // What is smaller than its alignment is not owed it.
            _ if align > FUNDAMENTAL || (align >= 8 && shape.size() < align as u64) => Call::Aligned(align),
            5 | 6 => Call::Malloc,
            7 => Call::Realloc,
            _ => Call::Calloc,
        }
    }
}

/// The C allocator of this process, with what it is to be refused.
#[derive(Debug, Default)]
pub struct C {
    /// Which of the calls that make the library ask the kernel for memory is refused, counted from the next; 0 if none
    /// is.
    failing: AtomicU32,
}

impl C {
    /// The C allocator.
    pub const fn new() -> C {
        C { failing: AtomicU32::new(0) }
    }

    /// Makes a call, and refuses the library what it asks of the kernel meanwhile if it is its turn.
    fn call(&self, size: usize, call: Call) -> Option<CBlock> {
        // A request for nothing asks for a byte, and is owed: it is never refused.
        let failing = if size == 0 { 0 } else { self.failing.load(Ordering::Relaxed) };
        match failing {
            0 => CBlock::new(size, call),
            1 => {
                let block = without_memory(|| CBlock::new(size, call));
                if block.is_none() {
                    self.failing.store(0, Ordering::Relaxed);
                }
                block
            }
            more => {
                let before = data_pages();
                let block = CBlock::new(size, call);
                if data_pages() > before {
                    self.failing.store(more - 1, Ordering::Relaxed);
                }
                block
            }
        }
    }
}

impl Allocator for C {
    type Block = CBlock;

    /// Named after the library that provides `malloc`.
    fn claims(&self) -> Claims {
        Claims::new(format!("malloc-of-{}", library())).with(&[Capability::Faults])
    }

    fn allocate(&self, shape: Shape, turn: u64) -> Option<CBlock> {
        self.call(usize::try_from(shape.size()).ok()?, Call::of(shape, turn))
    }

    fn refuse(&self, request: u32) {
        self.failing.store(request, Ordering::Relaxed);
    }
}

/// Runs code while the kernel gives this process no memory that it has not got already.
///
/// What is limited is memory that can be written and is not shared, whether it is mapped so, grown by `brk`, or reserved
/// before and made so now; a limit on addresses would let the last pass. A stack may grow.
fn without_memory<T>(code: impl FnOnce() -> T) -> T {
    let mut before = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `before` is a valid place for the answer.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_DATA, &mut before) } == 0;
    // A page is less than any process has. Linux takes a limit of nothing for none.
    let least = libc::rlimit { rlim_cur: 4096.min(before.rlim_max), rlim_max: before.rlim_max };
    // SAFETY: `least` is a limit that is not above the one that the process may not exceed.
    let limited = known && unsafe { libc::setrlimit(libc::RLIMIT_DATA, &least) } == 0;
    let result = code();
    if limited {
        // SAFETY: `before` is what the limit was.
        unsafe { libc::setrlimit(libc::RLIMIT_DATA, &before) };
    }
    result
}

/// How many pages this process has that can be written and are not shared; 0 if the kernel does not say.
fn data_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(5).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

/// A block from the C allocator.
#[derive(Debug)]
pub struct CBlock {
    start: NonNull<u8>,
    /// The bytes that may be used: what the library says, or what was asked for if that is more.
    room: Room,
    /// What the library says.
    usable: usize,
}

impl CBlock {
    /// Asks for `size` bytes; `None` if they are refused. A request for nothing asks for one byte, since C lets a library
    /// answer it with nothing.
    pub fn new(size: usize, call: Call) -> Option<CBlock> {
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
        let start: NonNull<u8> = NonNull::new(start.cast())?;
        // SAFETY: the block was handed out just now.
        let usable = unsafe { libc::malloc_usable_size(start.as_ptr().cast()) };
        let room = usable.max(size);
        let cleared = if call == Call::Calloc { size } else { 0 };
        // SAFETY: by "owned" and "inside", these bytes are the block's.
        let room = unsafe { Room::new(start, room, cleared) };
        Some(CBlock { start, room, usable })
    }
}

impl Block for CBlock {
    fn address(&self) -> Address {
        Address(self.start.addr().get() as u64)
    }

    fn usable(&self) -> u64 {
        self.usable as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        self.room.read(at, into);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.room.write(at, from);
    }
}

impl Drop for CBlock {
    fn drop(&mut self) {
        // SAFETY: by "owned", the block was handed out and not yet freed, and nobody uses it any more.
        unsafe { libc::free(self.start.as_ptr().cast()) };
    }
}

// SAFETY: by "owned", a block is memory that nobody else uses; the C allocator takes it back from any thread.
unsafe impl Send for CBlock {}

/// Any allocator that Rust programs can have: a [`GlobalAlloc`].
#[derive(Debug)]
pub struct Rust<'a, A> {
    name: &'static str,
    allocator: &'a A,
    /// How many bytes a block of some layout really has, if the allocator says.
    usable: Option<fn(Layout) -> Option<usize>>,
}

impl<'a, A: GlobalAlloc> Rust<'a, A> {
    /// This allocator, by this name.
    pub const fn new(name: &'static str, allocator: &'a A) -> Self {
        Rust { name, allocator, usable: None }
    }

    /// The same, if blocks may be used beyond their layout: up to so many bytes, which is a class for each layout.
    #[must_use]
    pub fn classes(self, usable: fn(Layout) -> Option<usize>) -> Self {
        Rust { usable: Some(usable), ..self }
    }
}

impl<'a, A: GlobalAlloc> Allocator for Rust<'a, A> {
    type Block = RustBlock<'a, A>;

    fn claims(&self) -> Claims {
        let classes: &[Capability] = if self.usable.is_some() { &[Capability::Classes] } else { &[] };
        Claims::new(self.name).with(classes)
    }

    fn allocate(&self, shape: Shape, turn: u64) -> Option<RustBlock<'a, A>> {
        let size = usize::try_from(shape.size()).ok()?;
        // Of no byte there is no layout that may be asked for.
        let layout = Layout::from_size_align(size.max(1), shape.alignment() as usize).ok()?;
        let allocator = self.allocator;
        let (start, cleared) = match turn % 8 {
            // SAFETY: the layout is not empty.
            5 | 6 => (unsafe { allocator.alloc(layout) }, 0),
            7 => {
                let half = Layout::from_size_align(layout.size() / 2 + 1, layout.align()).ok()?;
                // SAFETY: the layout is not empty.
                let block = unsafe { allocator.alloc(half) };
                if block.is_null() {
                    return None;
                }
                // SAFETY: the block has this layout, and the new size makes one, too.
                let whole = unsafe { allocator.realloc(block, half, layout.size()) };
                if whole.is_null() {
                    // SAFETY: what could not be resized is as it was.
                    unsafe { allocator.dealloc(block, half) };
                }
                (whole, 0)
            }
            // SAFETY: the layout is not empty.
            _ => (unsafe { allocator.alloc_zeroed(layout) }, size),
        };
        let start = NonNull::new(start)?;
        let usable = self.usable.and_then(|usable| usable(layout)).unwrap_or(size);
        // SAFETY: by "owned" and "inside", these bytes are the block's.
        let room = unsafe { Room::new(start, usable.max(size), cleared) };
        Some(RustBlock { start, layout, allocator, room, usable })
    }
}

/// A block from a [`GlobalAlloc`].
#[derive(Debug)]
pub struct RustBlock<'a, A: GlobalAlloc> {
    start: NonNull<u8>,
    layout: Layout,
    allocator: &'a A,
    room: Room,
    usable: usize,
}

impl<A: GlobalAlloc> Block for RustBlock<'_, A> {
    fn address(&self) -> Address {
        Address(self.start.addr().get() as u64)
    }

    fn usable(&self) -> u64 {
        self.usable as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        self.room.read(at, into);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.room.write(at, from);
    }
}

impl<A: GlobalAlloc> Drop for RustBlock<'_, A> {
    fn drop(&mut self) {
        // SAFETY: by "owned", the block has this layout, was not yet freed, and nobody uses it any more.
        unsafe { self.allocator.dealloc(self.start.as_ptr(), self.layout) };
    }
}

// SAFETY: by "owned", a block is memory that nobody else uses; an allocator that can be shared between threads takes it
// back from any of them.
unsafe impl<A: GlobalAlloc + Sync> Send for RustBlock<'_, A> {}

/// The bytes of a block. Invariant: all of them are initialised, and whoever has the room owns them.
#[derive(Debug)]
struct Room {
    start: NonNull<u8>,
    bytes: usize,
}

impl Room {
    /// The bytes of a block, of which the first `cleared` are known to be initialised; the others are cleared.
    ///
    /// # Safety
    /// So many bytes from `start` on are the caller's as long as the room is used.
    unsafe fn new(start: NonNull<u8>, bytes: usize, cleared: usize) -> Room {
        // What the compiler knows of fresh memory ends here: it may be that of another block.
        let start = std::hint::black_box(start);
        if cleared < bytes {
            // SAFETY: the caller's promise: these bytes are its own.
            unsafe { start.add(cleared).write_bytes(0, bytes - cleared) };
        }
        Room { start, bytes }
    }

    fn range(&self, at: u64, count: usize) -> Option<usize> {
        let at = usize::try_from(at).ok()?;
        (at.checked_add(count)? <= self.bytes).then_some(at)
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        let at = self.range(at, into.len()).expect("the block has these bytes");
        // SAFETY: by the room's invariant, they are initialised and nobody else writes them; they were counted just now.
        into.copy_from_slice(unsafe { slice::from_raw_parts(self.start.as_ptr().add(at), into.len()) });
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        let at = self.range(at, from.len()).expect("the block has these bytes");
        // SAFETY: by the room's invariant, nobody else uses them; they were counted just now; and what is borrowed by the
        // caller is not of this block.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.start.as_ptr().add(at), from.len()) };
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
    use std::alloc::System;

    fn content(block: &impl Block, bytes: usize) -> Vec<u8> {
        let mut found = vec![1; bytes];
        block.read(0, &mut found);
        found
    }

    #[test]
    fn every_call_gives_zeroed_bytes_of_its_own() {
        for call in [Call::Calloc, Call::Malloc, Call::Aligned(64), Call::Realloc] {
            let sizes = [0, 1, 7, 100, 5000];
            let mut blocks: Vec<CBlock> = sizes.map(|size| CBlock::new(size, call).expect("room")).into();
            for ((number, block), size) in (1..).zip(&mut blocks).zip(sizes) {
                assert!(content(block, size) == vec![0; size] && block.usable() >= size as u64);
                // All of it may be used.
                block.write(0, &vec![number; block.usable() as usize]);
            }
            for (number, block) in (1..).zip(&blocks) {
                let bytes = block.usable() as usize;
                assert!(content(block, bytes) == vec![number; bytes], "{call:?}");
            }
            if let Call::Aligned(align) = call {
                assert!(blocks.iter().all(|block| block.address().0 % align as u64 == 0));
            }
        }
        assert!(CBlock::new(usize::MAX / 2, Call::Calloc).is_none());
        assert!(CBlock::new(usize::MAX - 5, Call::Aligned(64)).is_none());
    }

    #[test]
    fn any_global_allocator_gives_zeroed_bytes_of_its_own() {
        let system = Rust::new("system", &System);
        let mut blocks: Vec<_> = (0..64)
            .map(|turn| system.allocate(Shape::new(1, turn * 9).aligned(1 << (turn % 13)), turn.into()).expect("room"))
            .collect();
        for (number, block) in (1..).zip(&mut blocks) {
            let bytes = block.usable() as usize;
            assert!(content(block, bytes) == vec![0; bytes] && block.address().0 % (1 << ((number - 1) % 13)) == 0);
            block.write(0, &vec![number; bytes]);
        }
        for (number, block) in (1..).zip(&blocks) {
            let bytes = block.usable() as usize;
            assert_eq!(content(block, bytes), vec![number; bytes]);
        }
        assert!(system.allocate(Shape::new(1 << 30, 1 << 30), 0).is_none() || usize::BITS > 32);
        assert_eq!(system.allocate(Shape::default(), 0).expect("room for nothing").usable(), 0);
    }

    #[test]
    fn the_library_has_a_name() {
        assert!(library().contains("libc"), "{}", library());
    }
}
