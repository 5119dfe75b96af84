//! The malloc face as the allocator of this very test: everything here, the test harness included, lives in it.

use heaplaw_optimized::{Global, GlobalStats};
use heaplaw_reference::place::class::{CLASSES, LARGEST, row};
use std::{
    alloc::{GlobalAlloc, Layout},
    cell::RefCell,
    collections::{HashMap, HashSet},
    ptr,
    sync::{Mutex, mpsc},
    thread,
};

#[global_allocator]
static ALLOCATOR: Global = Global::new();

/// One test at a time: some look at totals.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
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
    fn new(size: usize, align: usize, stamp: u8) -> Block {
        let layout = layout(size.max(1), align);
        // SAFETY: the size is not zero.
        let start = unsafe { ALLOCATOR.alloc(layout) };
        assert!(!start.is_null() && start.addr().is_multiple_of(align), "{layout:?}: {start:?}");
        // SAFETY: allocated just now.
        unsafe { start.write_bytes(stamp, layout.size()) };
        Block { start, layout, stamp }
    }

    fn check(&self, bytes: usize) {
        // SAFETY: the block is ours and initialised.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, bytes) };
        assert!(bytes.iter().all(|byte| *byte == self.stamp), "{:?} was overwritten", self.layout);
    }

    fn resize(&mut self, size: usize) {
        let kept = size.min(self.layout.size());
        // SAFETY: allocated with this layout; the size is not zero.
        self.start = unsafe { ALLOCATOR.realloc(self.start, self.layout, size) };
        self.layout = layout(size, self.layout.align());
        assert!(!self.start.is_null() && self.start.addr().is_multiple_of(self.layout.align()));
        self.check(kept);
        // SAFETY: the block has so many bytes now.
        unsafe { self.start.write_bytes(self.stamp, size) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.check(self.layout.size());
        // SAFETY: allocated with this layout, and not used any more.
        unsafe { ALLOCATOR.dealloc(self.start, self.layout) };
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// The bytes of the smallest slot of the reference for this layout, or else those of whole pages.
fn smallest(layout: Layout) -> usize {
    let fits = |bytes: &usize| *bytes >= layout.size() && bytes.is_multiple_of(layout.align());
    let slots = (1..CLASSES).map(|class| row(class).size as usize);
    let pages = layout.size().max(1).next_multiple_of(8 << 10);
    slots.filter(|_| layout.align() <= 8 << 10).find(fits).unwrap_or(pages)
}

/// A block that is filled to the end of its slot.
struct Full {
    start: *mut u8,
    layout: Layout,
    usable: usize,
    stamp: u8,
}

impl Full {
    /// Fills what the allocator gave for a layout.
    fn fill(start: *mut u8, layout: Layout, stamp: u8) -> Full {
        assert!(!start.is_null() && start.addr().is_multiple_of(layout.align()), "{layout:?}: {start:?}");
        let usable = Global::<false>::usable_size(layout).expect("it has a block");
        let least = smallest(layout);
        // Whole pages are rounded up by less than an eighth.
        let most = if least > 32 << 10 { least + least / 8 } else { least };
        assert!((least..=most).contains(&usable), "{layout:?}: {usable}, not {least} to {most}");
        // SAFETY: the block may be used up to there.
        unsafe { start.write_bytes(stamp, usable) };
        Full { start, layout, usable, stamp }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is ours, and all of it was written.
        unsafe { std::slice::from_raw_parts(self.start, self.usable) }
    }
}

/// Whether all bytes are this one. By comparison with themselves, which is fast.
fn all(bytes: &[u8], byte: u8) -> bool {
    bytes.first().is_none_or(|first| *first == byte) && bytes[bytes.len().min(1)..] == bytes[..bytes.len().max(1) - 1]
}

impl Drop for Full {
    fn drop(&mut self) {
        assert!(all(self.bytes(), self.stamp), "{:?} was overwritten", self.layout);
        // SAFETY: allocated with this layout, and not used any more.
        unsafe { ALLOCATOR.dealloc(self.start, self.layout) };
    }
}

/// Asks in every way for blocks of these sizes with every alignment up to 4096. Gives how many layouts that were.
fn ask_for(sizes: impl Iterator<Item = usize> + Clone) -> usize {
    let mut count = 0;
    let mut held: Vec<Full> = Vec::new();
    for align in (0..=12).map(|shift| 1 << shift) {
        for size in sizes.clone() {
            let (wanted, half) = (layout(size, align), layout(size / 2, align));
            let stamp = count as u8;
            count += 1;
            // SAFETY: no caller may count on it, but this allocator gives blocks of no bytes as well. The one that is
            // resized was allocated with that layout.
            unsafe {
                held.push(Full::fill(ALLOCATOR.alloc(wanted), wanted, stamp));
                let zeroed = ALLOCATOR.alloc_zeroed(wanted);
                assert!(zeroed.is_null() || all(std::slice::from_raw_parts(zeroed, size), 0), "{wanted:?} is not zero");
                held.push(Full::fill(zeroed, wanted, !stamp));
                let small = std::mem::ManuallyDrop::new(Full::fill(ALLOCATOR.alloc(half), half, stamp));
                let grown = ALLOCATOR.realloc(small.start, half, size);
                assert!(grown.is_null() || all(std::slice::from_raw_parts(grown, size / 2), stamp), "{wanted:?}");
                held.push(Full::fill(grown, wanted, stamp));
            }
            while held.len() > 30 {
                drop(held.swap_remove(count % 30));
            }
        }
    }
    drop(held);
    Global::<false>::verify().unwrap();
    count
}

/// One byte less and one more than every class has.
fn edges() -> impl Iterator<Item = usize> + Clone {
    (1..CLASSES).flat_map(|class| (row(class).size as usize - 1)..=(row(class).size as usize + 1))
}

#[test]
fn a_block_is_the_smallest_that_the_reference_knows_and_usable_to_its_end() {
    let _alone = alone();
    assert_eq!(ask_for(edges().chain((0..=LARGEST as usize).step_by(97))), 13 * (201 + 338));
}

/// Takes a minute in a debug build.
#[test]
#[ignore = "every size takes a minute"]
fn every_block_is_the_smallest_that_the_reference_knows_and_usable_to_its_end() {
    let _alone = alone();
    assert_eq!(ask_for(edges().chain(0..=LARGEST as usize)), 13 * (201 + LARGEST as usize + 1));
}

#[test]
fn alignments_up_to_all_addresses_are_kept_or_refused() {
    let _alone = alone();
    for align in (13..=46).map(|shift| 1 << shift) {
        for size in [0, 1, 4096, 8192, 8193, 100_000] {
            let wanted = layout(size, align);
            // SAFETY: as in `ask_for`.
            let [plain, zeroed] = unsafe { [ALLOCATOR.alloc(wanted), ALLOCATOR.alloc_zeroed(wanted)] };
            assert!(!plain.is_null() && !zeroed.is_null() || align > 1 << 30, "{wanted:?} is refused");
            for block in [plain, zeroed].into_iter().filter(|block| !block.is_null()) {
                let block = std::mem::ManuallyDrop::new(Full::fill(block, wanted, 5));
                // SAFETY: allocated with this layout.
                let start = unsafe { ALLOCATOR.realloc(block.start, wanted, size * 2) };
                let wanted = layout(size * 2, align);
                drop(Full::fill(start, wanted, 6));
            }
        }
    }
    Global::<false>::verify().unwrap();
}

#[test]
fn no_size_and_alignment_overflow() {
    let _alone = alone();
    let mut random = Random(3);
    let (mut refused, mut kept) = (0, Block::new(1000, 8, 3));
    while refused < 10_000 {
        let align = 1_usize << random.below(63);
        // Around the powers of two beyond the window, and from the largest size down.
        let size = match random.below(2) {
            0 => (1_usize << (41 + random.below(22))).wrapping_add(random.below(5)).wrapping_sub(2),
            _ => isize::MAX as usize - random.below(2 * align.min(1 << 40)),
        };
        let Ok(wanted) = Layout::from_size_align(size, align) else { continue };
        // SAFETY: the size is not zero, and does not overflow when it is rounded up; the block that is resized has the
        // alignment of the new one.
        unsafe {
            assert!(ALLOCATOR.alloc(wanted).is_null() && ALLOCATOR.alloc_zeroed(wanted).is_null(), "{wanted:?}");
            if align <= 8 {
                assert!(ALLOCATOR.realloc(kept.start, kept.layout, size - 8).is_null(), "{wanted:?}");
            }
        }
        assert!(Global::<false>::usable_size(wanted).is_none_or(|usable| usable >= size), "{wanted:?}");
        refused += 1;
    }
    kept.check(1000);
    kept.resize(1);
    Global::<false>::verify().unwrap();
}

#[test]
fn requests_that_cannot_be_had_are_null_and_change_nothing() {
    let _alone = alone();
    for (size, align) in
        [(1 << 62, 8), (1 << 47, 1 << 46), (8, 1 << 46), (isize::MAX as usize - 4095, 4096), (1 << 46, 1)]
    {
        // SAFETY: the size is not zero.
        let block = unsafe { ALLOCATOR.alloc(layout(size, align)) };
        assert!(block.is_null(), "{size} bytes aligned to {align}: {block:?}");
    }
    for align in (13..=30).map(|shift| 1 << shift) {
        drop(Block::new(100, align, 1));
    }
    let mut block = Block::new(1000, 8, 3);
    // SAFETY: allocated with this layout.
    let refused = unsafe { ALLOCATOR.realloc(block.start, block.layout, 1 << 60) };
    assert!(refused.is_null());
    block.check(1000);
    block.resize(1);
}

#[test]
fn zeroed_memory_is_zero_whatever_was_there() {
    let _alone = alone();
    for round in 0..3 {
        for size in [1, 8, 100, 1024, 5000, 32 << 10, 33 << 10, 1 << 20, 40 << 20] {
            // SAFETY: the size is not zero; the block is written within its size and freed with its layout.
            unsafe {
                let block = ALLOCATOR.alloc_zeroed(layout(size, 8));
                assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0), "{size}, {round}");
                block.write_bytes(0xff, size);
                ALLOCATOR.dealloc(block, layout(size, 8));
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_block_that_reads_zero_takes_memory_only_as_it_is_used() {
    let _alone = alone();
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        // SAFETY: asks for a number.
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
            * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
    };
    let wanted = layout(1 << 30, 8);
    // Leaves free pages that do not read zero where the block will begin.
    drop(Block::new(8 << 20, 8, 7));
    let before = resident();
    // SAFETY: the size is not zero; the block is read and written within it and freed with its layout.
    unsafe {
        let block = ALLOCATOR.alloc_zeroed(wanted);
        assert!(resident() < before + (32 << 20), "{before} bytes resident, then {}", resident());
        assert!((0..wanted.size()).step_by(4096).all(|at| block.add(at).read() == 0));
        block.write(1);
        ALLOCATOR.dealloc(block, wanted);
    }
}

#[test]
fn blocks_keep_their_bytes_when_they_are_resized() {
    let _alone = alone();
    let mut random = Random(7);
    let sizes = [1, 7, 8, 9, 16, 17, 100, 1024, 1025, 32 << 10, (32 << 10) + 1, 40 << 10, 100 << 10, 1 << 20];
    for align in [1, 8, 64, 4096, 16 << 10] {
        let mut blocks: Vec<_> = (1..20).map(|stamp| Block::new(10, align, stamp)).collect();
        for _ in 0..3000 {
            let size = sizes[random.below(sizes.len())] + random.below(3);
            let at = random.below(blocks.len());
            blocks[at].resize(size);
        }
    }
    let mut large = Block::new(100 << 10, 8, 1);
    let start = large.start;
    large.resize(60 << 10);
    large.resize(62 << 10);
    assert!(ptr::eq(large.start, start), "shrinking, and growing into what is free, moves nothing");
}

#[test]
fn threads_allocate_and_free_each_others_blocks() {
    let _alone = alone();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel::<Block>()).unzip();
    thread::scope(|scope| {
        let threads: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(number, receiver)| {
                let next = senders[(number + 1) % 4].clone();
                scope.spawn(move || {
                    let mut random = Random(number as u64 + 1);
                    let mut own = Vec::new();
                    for round in 0..30_000 {
                        let size = if round % 100 == 0 { random.below(100_000) } else { random.below(600) };
                        own.push(Block::new(size, 8, random.below(255) as u8));
                        if own.len() > 200 {
                            let block = own.swap_remove(random.below(200));
                            if random.below(2) == 0 {
                                _ = next.send(block);
                            }
                        }
                        while let Ok(block) = receiver.try_recv() {
                            drop(block);
                        }
                    }
                })
            })
            .collect();
        drop(senders);
        // A scope does not wait for what thread-locals do when they are destroyed; who joins does.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    Global::<false>::verify().unwrap();
}

#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let round = || {
        thread::scope(|scope| {
            let threads: Vec<_> = (1..5)
                .map(|seed| {
                    scope.spawn(move || {
                        let mut random = Random(seed);
                        let blocks: Vec<_> = (0..500).map(|_| Block::new(random.below(4000), 8, 1)).collect();
                        drop(blocks);
                        drop([(); 4].map(|()| Block::new((40 << 10) + random.below(1 << 20), 8, 2)));
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    };
    for _ in 0..50 {
        round();
    }
    Global::<false>::trim();
    let before = Global::<false>::stats();
    for _ in 0..200 {
        round();
    }
    Global::<false>::trim();
    let after = Global::<false>::stats();
    // Each of the 800 threads had a megabyte.
    assert!(after.in_use <= before.in_use + (8 << 20), "{before:?}, then {after:?}");
    Global::<false>::verify().unwrap();
}

#[test]
fn memory_that_is_free_goes_back_to_the_kernel() {
    let _alone = alone();
    let present = |stats: GlobalStats| stats.mapped - stats.released;
    Global::<false>::trim();
    let before = Global::<false>::stats();
    let blocks: Vec<_> = (0..100_000).map(|number| Block::new(500, 8, number as u8)).collect();
    let large = Block::new(100 << 20, 8, 9);
    let full = Global::<false>::stats();
    assert!(present(full) >= present(before) + (120 << 20), "{before:?}, {full:?}");
    drop((blocks, large));
    assert!(Global::<false>::trim() > 0);
    let after = Global::<false>::stats();
    assert!(present(after) <= present(before) + (8 << 20), "{before:?}, {after:?}");
}

#[test]
fn thread_locals_may_allocate_while_they_are_destroyed() {
    let _alone = alone();
    struct Late(RefCell<Vec<String>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.borrow_mut().push("late".repeat(100));
        }
    }
    thread_local!(static LATE: Late = const { Late(RefCell::new(Vec::new())) });
    for _ in 0..100 {
        thread::spawn(|| LATE.with(|late| late.0.borrow_mut().push(String::from("early")))).join().unwrap();
    }
}

#[test]
fn a_child_of_a_fork_can_allocate() {
    let _alone = alone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..3 {
            let stop = &stop;
            scope.spawn(move || {
                let mut random = Random(seed);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    drop((Block::new(random.below(100_000), 8, 1), Block::new(40_000, 8, 2)));
                }
            });
        }
        for _ in 0..100 {
            // SAFETY: the child only allocates, which this allocator allows, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let all: HashSet<_> = (0..1000).map(|size| Block::new(size * 40, 8, 1).start.addr()).collect();
                // SAFETY: ends the child without running what belongs to its parent.
                unsafe { libc::_exit(if all.is_empty() { 1 } else { 0 }) };
            }
            let mut status = 0;
            // SAFETY: waits for our child, with a valid place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn ordinary_programs_work() {
    let _alone = alone();
    let mut map = HashMap::new();
    for number in 0..100_000_u64 {
        map.insert(number, number.to_string());
        if number % 3 == 0 {
            map.remove(&(number / 2));
        }
    }
    assert!(map.iter().all(|(number, text)| text.parse() == Ok(*number)));
}
