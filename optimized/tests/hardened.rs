//! The hardened malloc face: each misuse ends the process and says what it was, and correct programs notice nothing.
//!
//! A misuse runs in a fork of this process: the block is allocated before, so that it is known here which address, class
//! and span the report has to name.
#![cfg(target_os = "linux")]

use heaplaw_optimized::Global;
use heaplaw_reference::place::class::{CLASSES, row};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    hint::black_box,
    io::{Read, Seek},
    os::fd::{AsRawFd, FromRawFd},
    ptr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

#[global_allocator]
static ALLOCATOR: Global<true> = Global::new();

const PAGE: usize = 8 << 10;
/// A small block, a larger one, one with a span of its own class and few slots, and one with pages of its own.
const SIZES: [usize; 4] = [24, 1000, 30_000, 100_000];

/// One test at a time: forks take what the others hold with them.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// What is done to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misuse {
    FreeTwice,
    /// So many bytes from where the block starts.
    FreeAt(isize),
    FreeStack,
    FreeStatic,
    /// An address that no block ever had.
    FreeWild(usize),
    /// In the window, but far behind what is mapped.
    FreeBehind,
    /// A block of the C allocator.
    FreeForeign,
    /// With a size that is so much larger.
    FreeWithSize(isize),
    FreeWithAlign(usize),
    /// So many bytes behind the block, and then it is freed.
    WriteBehind(usize),
    WriteBefore(usize),
    /// As `WriteBehind`, and then it is resized.
    WriteBehindThenResize(usize),
    WriteFreed,
    ResizeFreed,
    ResizeWithSize(isize),
}

/// A misuse of a block of this layout.
#[derive(Clone, Copy, Debug)]
struct Case {
    misuse: Misuse,
    layout: Layout,
    /// By another thread than the one that allocated.
    elsewhere: bool,
    /// What the report calls it.
    name: &'static str,
}

fn cases() -> Vec<Case> {
    use Misuse::*;
    let mut cases = Vec::new();
    let mut add = |misuse, sizes: &[usize], align, elsewhere, name| {
        cases.extend(sizes.iter().map(|size| Case { misuse, layout: layout(*size, align), elsewhere, name }));
    };
    for elsewhere in [false, true] {
        add(FreeTwice, &SIZES, 8, elsewhere, "double free");
    }
    for bytes in [1, 8, 16, -16] {
        add(FreeAt(bytes), &SIZES, 8, false, "invalid free");
    }
    add(FreeAt(-48), &SIZES[..2], 64, false, "invalid free");
    for misuse in [FreeStack, FreeStatic, FreeWild(16), FreeWild(0x7fff_ffff_f000), FreeBehind] {
        add(misuse, &SIZES[..1], 8, false, "invalid free");
    }
    add(FreeForeign, &[100, 1 << 20], 8, false, "invalid free");
    add(FreeForeign, &[100], 8, true, "invalid free");
    for bytes in [1, -1] {
        add(FreeWithSize(bytes), &SIZES, 8, false, "size mismatch");
    }
    add(FreeWithSize(100), &SIZES[..1], 8, true, "size mismatch");
    for (align, other) in [(8, 16), (1, 8), (8, 64), (64, 8), (4096, 8)] {
        add(FreeWithAlign(other), &[SIZES[0], SIZES[3]], align, false, "alignment mismatch");
    }
    for bytes in [1, 8] {
        add(WriteBehind(bytes), &SIZES, 8, false, "overflow");
        add(WriteBefore(bytes), &SIZES, 8, false, "underflow");
        add(WriteBehindThenResize(bytes), &SIZES[..1], 8, false, "overflow");
    }
    add(WriteFreed, &SIZES[..3], 8, false, "write after free");
    add(WriteFreed, &SIZES[..1], 8, true, "write after free");
    add(ResizeFreed, &SIZES, 8, false, "double free");
    add(ResizeWithSize(-1), &[SIZES[1], SIZES[3]], 8, false, "size mismatch");
    cases
}

impl Case {
    /// Whether it is found by what a byte is, which may be what was there before.
    fn is_found_by_bytes(self) -> bool {
        use Misuse::*;
        matches!(self.misuse, WriteBehind(_) | WriteBefore(_) | WriteBehindThenResize(_) | WriteFreed)
    }

    /// Where the address that is misused is, from where the block starts; `None` if it is elsewhere.
    fn offset(self) -> Option<isize> {
        use Misuse::*;
        match self.misuse {
            FreeAt(bytes) => Some(bytes),
            FreeStack | FreeStatic | FreeWild(_) | FreeBehind | FreeForeign => None,
            _ => Some(0),
        }
    }

    /// Does it.
    ///
    /// # Safety
    /// None can be given: the process ends before harm is done, or goes on damaged. It is one to throw away.
    unsafe fn run(self, block: *mut u8, byte: u8) {
        use Misuse::*;
        static STATIC: [u64; 8] = [0; 8];
        let right = self.layout;
        let sized = |more| layout(right.size().wrapping_add_signed(more), right.align());
        // SAFETY: that this is not safe is the point; only memory of our own blocks is touched, or of their neighbours.
        unsafe {
            let behind = |bytes| block.add(right.size()).write_bytes(byte, bytes);
            match self.misuse {
                FreeTwice => {
                    ALLOCATOR.dealloc(block, right);
                    ALLOCATOR.dealloc(block, right);
                }
                FreeAt(bytes) => ALLOCATOR.dealloc(block.offset(bytes), right),
                FreeStack => ALLOCATOR.dealloc((&raw const right).cast_mut().cast(), right),
                FreeStatic => ALLOCATOR.dealloc((&raw const STATIC).cast_mut().cast(), right),
                FreeWild(address) => ALLOCATOR.dealloc(ptr::without_provenance_mut(address), right),
                FreeBehind => {
                    ALLOCATOR
                        .dealloc(ptr::without_provenance_mut(block.addr() + Global::<true>::stats().mapped), right);
                }
                FreeForeign => ALLOCATOR.dealloc(black_box(System.alloc(right)), right),
                FreeWithSize(more) => ALLOCATOR.dealloc(block, sized(more)),
                FreeWithAlign(align) => ALLOCATOR.dealloc(block, layout(right.size(), align)),
                WriteBehind(bytes) => {
                    behind(bytes);
                    ALLOCATOR.dealloc(block, right);
                }
                WriteBefore(bytes) => {
                    block.sub(bytes).write_bytes(byte, bytes);
                    ALLOCATOR.dealloc(block, right);
                }
                WriteBehindThenResize(bytes) => {
                    behind(bytes);
                    ALLOCATOR.realloc(block, right, right.size() + 100);
                }
                WriteFreed => {
                    ALLOCATOR.dealloc(block, right);
                    block.add(usize::from(byte) % right.size()).write(byte);
                }
                ResizeFreed => {
                    ALLOCATOR.dealloc(block, right);
                    ALLOCATOR.realloc(block, right, right.size() + 100);
                }
                ResizeWithSize(more) => _ = ALLOCATOR.realloc(block, sized(more), right.size() + 100),
            }
        }
    }

    /// Does it in a fork of this process, and gives what was reported, if that ended it.
    fn report(self, block: *mut u8, byte: u8, to: &mut File) -> Option<String> {
        // SAFETY: the file is open and has no other user.
        assert_eq!(unsafe { libc::ftruncate(to.as_raw_fd(), 0) }, 0);
        to.rewind().unwrap();
        // SAFETY: the child allocates, which this allocator allows, and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: the child is to be thrown away; its errors go to the file, and nobody wants its memory.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
                libc::dup2(to.as_raw_fd(), libc::STDERR_FILENO);
                if self.elsewhere {
                    let block = block.expose_provenance();
                    let there = move || self.run(ptr::with_exposed_provenance_mut(block), byte);
                    _ = thread::spawn(there).join();
                } else {
                    self.run(block, byte);
                }
                if self.misuse == Misuse::WriteFreed {
                    // Sooner or later the slot comes back.
                    for _ in 0..10_000 {
                        black_box(ALLOCATOR.alloc(self.layout));
                    }
                }
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: waits for our child, with a valid place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        if libc::WIFEXITED(status) {
            assert_eq!(libc::WEXITSTATUS(status), 0, "{self:?}");
            return None;
        }
        let mut text = String::new();
        // The child has moved the place where both write.
        to.rewind().unwrap();
        to.read_to_string(&mut text).unwrap();
        assert_eq!(libc::WTERMSIG(status), libc::SIGABRT, "{self:?}: {text}");
        Some(text)
    }

    /// Asserts that a report names this misuse of this block, and where it was.
    fn check(self, text: &str, block: *mut u8) {
        /// Where the lowest page is.
        static BASE: OnceLock<usize> = OnceLock::new();
        let number = |after: &str| {
            let rest = text.split_once(after).unwrap_or_else(|| panic!("no {after:?} in {self:?}: {text}")).1;
            rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse::<usize>().unwrap()
        };
        assert!(text.starts_with(&format!("heaplaw: {}", self.name)), "{self:?}: {text}");
        let Some(offset) = self.offset() else {
            return assert!(text.contains("which is in no span"), "{self:?}: {text}");
        };
        let address = block.addr().wrapping_add_signed(offset);
        assert!(text.contains(&format!("  block {address:#x}, ")), "{self:?}: {text}");
        let front = self.layout.align().max(16);
        let base = if text.contains("has ended") {
            assert!(text.contains("which was class 0 and has ended"), "{self:?}: {text}");
            address - front - number("of span ") * PAGE
        } else {
            let wrapped = front + self.layout.size() + 8;
            let fits = |class: &usize| {
                let size = row(*class).size as usize;
                size >= wrapped && size.is_multiple_of(self.layout.align())
            };
            let class = (1..CLASSES).find(fits).unwrap_or(0);
            let size = number(&format!(", class {class} of "));
            assert_eq!(number(", class "), class, "{self:?}: {text}");
            if class == 0 {
                // A span that was freed serves again, rounded up by an eighth at most and two steps too long.
                let exact = wrapped.next_multiple_of(PAGE);
                assert!(
                    size.is_multiple_of(PAGE) && (exact..=exact + exact / 8 * 3 + 2 * PAGE).contains(&size),
                    "{self:?}: {text}"
                );
            } else {
                assert_eq!(size, row(class).size as usize, "{self:?}: {text}");
            }
            let within = number(", byte ");
            assert_eq!(within, front.wrapping_add_signed(offset), "{self:?}: {text}");
            address - within - number("of slot ") * size - number("of span ") * PAGE
        };
        assert_eq!(base, *BASE.get_or_init(|| base), "it is another span: {self:?}: {text}");
    }
}

/// Tries every misuse so many times; gives how often one that is found by bytes was not, and out of how many.
fn misuse(trials: usize) -> (usize, usize) {
    // SAFETY: the name ends with a zero byte; the file is ours from here on.
    let mut to = unsafe {
        let file = libc::memfd_create(c"reports".as_ptr(), 0);
        assert!(file >= 0);
        File::from_raw_fd(file)
    };
    let (mut missed, mut written) = (0, 0);
    for case in cases() {
        let mut silent = 0;
        for trial in 0..trials {
            // SAFETY: the size is not zero, and the block is freed with its layout.
            unsafe {
                // So that not every trial has the same block.
                let neighbours = [(); 5].map(|()| ALLOCATOR.alloc(case.layout));
                let block = neighbours[trial % 5];
                block.write_bytes(trial as u8, case.layout.size());
                // Every change of the byte that is there equally often, and once in 256 none.
                let there = match case.misuse {
                    Misuse::WriteBefore(_) => block.sub(1).read(),
                    Misuse::WriteBehind(_) | Misuse::WriteBehindThenResize(_) => block.add(case.layout.size()).read(),
                    _ => 0,
                };
                match case.report(block, there.wrapping_add(trial as u8), &mut to) {
                    Some(text) => case.check(&text, block),
                    None => silent += 1,
                }
                for block in neighbours {
                    ALLOCATOR.dealloc(block, case.layout);
                }
            }
        }
        // One byte of 256 is the one that was there.
        let allowed = if case.is_found_by_bytes() { trials.div_ceil(250) } else { 0 };
        assert!(silent <= allowed, "{case:?} was not noticed {silent} times of {trials}");
        if case.is_found_by_bytes() {
            (missed, written) = (missed + silent, written + trials);
        }
    }
    (missed, written)
}

#[test]
fn every_misuse_is_found_and_named() {
    let _alone = alone();
    assert!(cases().len() >= 55);
    misuse(5);
}

/// Each 1000 times.
#[test]
#[ignore = "takes minutes"]
fn every_misuse_is_found_and_named_every_time() {
    let _alone = alone();
    let (missed, written) = misuse(1000);
    println!("{} cases, 1000 times each; of {written} writes, {missed} were missed", cases().len());
    assert!(missed * 250 <= written);
}

// ---- Correct programs.

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// A block whose bytes say which it is.
struct Block {
    start: *mut u8,
    layout: Layout,
    stamp: u8,
}

// SAFETY: a block belongs to who has it.
unsafe impl Send for Block {}

impl Block {
    fn new(random: &mut Random) -> Block {
        let size = match random.below(20) {
            0 => random.below(100_000),
            1..4 => random.below(5000),
            _ => random.below(300),
        };
        let layout = layout(size.max(1), 1 << random.below(if size > 300 { 14 } else { 7 }));
        let zeroed = random.below(3) == 0;
        // SAFETY: the size is not zero.
        let start = unsafe { if zeroed { ALLOCATOR.alloc_zeroed(layout) } else { ALLOCATOR.alloc(layout) } };
        assert!(!start.is_null() && start.addr().is_multiple_of(layout.align()), "{layout:?}: {start:?}");
        let mut block = Block { start, layout, stamp: 0 };
        assert!(!zeroed || block.bytes().iter().all(|byte| *byte == 0), "{layout:?} is not zero");
        block.fill(random.below(256) as u8);
        block
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is ours, and initialised wherever this is called.
        unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
    }

    fn fill(&mut self, stamp: u8) {
        self.stamp = stamp;
        // SAFETY: the block is ours.
        unsafe { self.start.write_bytes(stamp, self.layout.size()) };
    }

    fn resize(&mut self, size: usize) {
        let kept = size.min(self.layout.size());
        // SAFETY: allocated with this layout; the size is not zero.
        self.start = unsafe { ALLOCATOR.realloc(self.start, self.layout, size) };
        self.layout = layout(size, self.layout.align());
        assert!(self.start.addr().is_multiple_of(self.layout.align()));
        assert!(self.bytes()[..kept].iter().all(|byte| *byte == self.stamp), "{:?} was overwritten", self.layout);
        self.fill(self.stamp);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        assert!(self.bytes().iter().all(|byte| *byte == self.stamp), "{:?} was overwritten", self.layout);
        // SAFETY: allocated with this layout, and not used any more.
        unsafe { ALLOCATOR.dealloc(self.start, self.layout) };
    }
}

/// Runs correct programs of 60 operations on two threads, which free some of each other's blocks.
fn streams(count: usize) {
    let given = Mutex::new(Vec::new());
    let stream = |seed: usize| {
        let (mut random, mut live) = (Random(seed as u64 + 1), Vec::new());
        for _ in 0..60 {
            let at = random.below(live.len() + 1);
            match random.below(8) {
                0..4 => live.push(Block::new(&mut random)),
                4..6 if at < live.len() => drop(live.swap_remove(at)),
                6 if at < live.len() => live[at].resize(1 + random.below(2000)),
                7 if at < live.len() => given.lock().unwrap().push(live.swap_remove(at)),
                _ => {
                    let taken = given.lock().unwrap().pop();
                    live.extend(taken);
                }
            }
        }
    };
    thread::scope(|scope| {
        let stream = &stream;
        let threads = [0, 1].map(|half| scope.spawn(move || (half..count).step_by(2).for_each(stream)));
        // A scope does not wait for what thread-locals do when they are destroyed; who joins does.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    drop(given);
    Global::<true>::verify().unwrap();
}

#[test]
fn correct_programs_notice_nothing() {
    let _alone = alone();
    streams(3000);
    // SAFETY: the size is not zero; there is no such memory.
    assert!(unsafe { ALLOCATOR.alloc(layout(isize::MAX as usize - 64, 8)) }.is_null());
}

/// 100,000 programs.
#[test]
#[ignore = "takes half a minute"]
fn many_correct_programs_notice_nothing() {
    let _alone = alone();
    streams(100_000);
}
