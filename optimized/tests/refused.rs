//! The kernel refuses in earnest: addresses, memory and mappings run out, for a time. Requests are null meanwhile, and
//! granted again afterwards; nothing is lost.
//!
//! The malloc face is called by name here, while the process itself lives in the system's allocator: so the limits may
//! already hold when the face is used for the first time. Each test is a process of its own: this test again, with a
//! name in an environment variable.
#![cfg(target_os = "linux")]

use heaplaw_optimized::Global;
use std::{
    alloc::{GlobalAlloc, Layout},
    env, fs,
    process::Command,
    ptr,
};

static FACE: Global = Global::new();
const VARIABLE: &str = "HEAPLAW_TEST_REFUSED";
const MIB: usize = 1 << 20;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Whether a block of this size is granted; it is used, and freed again.
fn is_granted(size: usize) -> bool {
    // SAFETY: the size is not zero; the block is used within it and freed with its layout.
    unsafe {
        let block = FACE.alloc(layout(size));
        if block.is_null() {
            return false;
        }
        block.write(1);
        block.add(size - 1).write(1);
        FACE.dealloc(block, layout(size));
    }
    true
}

/// Allocates so many blocks of a size, or fewer if they are refused, and writes to their ends.
fn take(size: usize, count: usize) -> Vec<*mut u8> {
    let mut blocks = Vec::with_capacity(count);
    while blocks.len() < count {
        // SAFETY: as in `is_granted`.
        unsafe {
            let block = FACE.alloc(layout(size));
            if block.is_null() {
                break;
            }
            block.write(7);
            block.add(size - 1).write(7);
            blocks.push(block);
        }
    }
    blocks
}

/// As many as are granted, of which this is more.
fn exhaust(size: usize) -> Vec<*mut u8> {
    const MANY: usize = 1 << 19;
    let blocks = take(size, MANY);
    assert!(blocks.len() < MANY, "nothing is refused");
    blocks
}

fn give_back(blocks: Vec<*mut u8>, size: usize) {
    for block in blocks {
        // SAFETY: allocated with this layout, and written at both ends.
        unsafe {
            assert_eq!([block.read(), block.add(size - 1).read()], [7, 7]);
            FACE.dealloc(block, layout(size));
        }
    }
}

/// What the process has.
#[derive(Clone, Copy)]
enum Of {
    Addresses,
    Memory,
}

/// Sets what the process may have of something; `None` for what it might have at first.
fn limit(of: Of, bytes: Option<usize>) {
    let what = match of {
        Of::Addresses => libc::RLIMIT_AS,
        Of::Memory => libc::RLIMIT_DATA,
    };
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is a place for the answer, and then a valid limit.
    unsafe {
        assert_eq!(libc::getrlimit(what, &raw mut now), 0);
        now.rlim_cur = bytes.map_or(now.rlim_max, |bytes| bytes as u64);
        assert_eq!(libc::setrlimit(what, &raw const now), 0);
    }
}

/// The bytes that a line of `/proc/self/status` tells.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse::<usize>().expect("a number") << 10
}

/// Pages of which every other one is a mapping of its own.
struct Mappings {
    start: *mut u8,
    next: usize,
}

const OS_PAGE: usize = 64 << 10;

impl Mappings {
    fn new() -> Mappings {
        let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        assert!(most < 4 << 20, "a limit of {most} mappings takes too long to reach");
        let (len, flags) = ((most + 10) * OS_PAGE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert!(start != libc::MAP_FAILED);
        Mappings { start: start.cast(), next: 1 }
    }

    /// Splits until the kernel refuses; gives how many mappings that made.
    fn split(&mut self) -> usize {
        let first = self.next;
        // SAFETY: the page is in our mapping.
        while unsafe { libc::mprotect(self.start.add(self.next * OS_PAGE).cast(), OS_PAGE, libc::PROT_READ) } == 0 {
            self.next += 2;
        }
        self.next - first
    }

    /// Takes back so many of the splits.
    fn join(&mut self, count: usize) {
        for _ in 0..count.min(self.next / 2) {
            self.next -= 2;
            // SAFETY: the page is in our mapping.
            let joined =
                unsafe { libc::mprotect(self.start.add(self.next * OS_PAGE).cast(), OS_PAGE, libc::PROT_NONE) };
            assert_eq!(joined, 0);
        }
    }
}

fn play(name: &str) {
    match name {
        "addresses at first" => {
            limit(Of::Addresses, Some(status("VmSize") + 16 * MIB));
            assert!(!is_granted(100) && !is_granted(MIB) && Global::<false>::stats().reserved == 0);
            limit(Of::Addresses, None);
            assert!(is_granted(100) && is_granted(MIB));
        }
        "addresses later" => {
            limit(Of::Addresses, Some(status("VmSize") + 1024 * MIB));
            for size in [MIB, 100_000, 5000] {
                let blocks = exhaust(size);
                assert!(size < MIB || blocks.len() * size > Global::<false>::stats().reserved / 2, "{}", blocks.len());
                assert!(!is_granted(600 * MIB));
                give_back(blocks, size);
                Global::<false>::verify().unwrap();
            }
            assert!(Global::<false>::stats().reserved < 1024 * MIB && is_granted(100 * MIB));
        }
        "memory at first" => {
            limit(Of::Memory, Some(status("VmData") + MIB));
            assert!(!is_granted(100));
            limit(Of::Memory, Some(status("VmData") + 256 * MIB));
            assert!(is_granted(100) && Global::<false>::stats().reserved <= 512 * MIB, "the tables leave room");
            let blocks = exhaust(MIB);
            assert!((200..256).contains(&blocks.len()), "{}", blocks.len());
            give_back(blocks, MIB);
        }
        "memory later" => {
            assert!(is_granted(100));
            limit(Of::Memory, Some(status("VmData") + 64 * MIB));
            for size in [MIB, 40_000, 5000, 1 << 16] {
                let blocks = exhaust(size);
                assert!((60 * MIB / 2..72 * MIB).contains(&(blocks.len() * size)), "{} of {size}", blocks.len());
                assert!(!is_granted(100 * MIB));
                Global::<false>::verify().unwrap();
                give_back(blocks, size);
                assert!(is_granted(size));
            }
            limit(Of::Memory, None);
            assert!(is_granted(100 * MIB));
        }
        "mappings at first" => {
            let mut mappings = Mappings::new();
            assert!(mappings.split() > 1000 && !is_granted(100));
            let mut joined = 0;
            while !is_granted(100) {
                mappings.join(1);
                joined += 1;
                assert!(joined < 10, "a few mappings are enough");
            }
            assert!(is_granted(MIB) && is_granted(500 * MIB));
            mappings.join(usize::MAX);
        }
        "mappings later" => {
            assert!(is_granted(100));
            let mut mappings = Mappings::new();
            assert!(mappings.split() > 1000);
            // What is next to what there is takes no mapping.
            for size in [100, 5000, 40_000, MIB, 100 * MIB] {
                let blocks = take(size, 40);
                give_back(blocks, size);
                Global::<false>::verify().unwrap();
                Global::<false>::trim();
            }
            mappings.join(usize::MAX);
            assert!(is_granted(500 * MIB));
        }
        other => panic!("nothing is called {other:?}"),
    }
    Global::<false>::verify().unwrap();
    Global::<false>::trim();
    assert_eq!(Global::<false>::stats().in_use, 0, "nothing is lost");
}

#[test]
fn child() {
    if let Ok(name) = env::var(VARIABLE) {
        play(&name);
    }
}

#[track_caller]
fn alone(name: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn addresses_that_run_out_are_asked_for_again() {
    alone("addresses at first");
    alone("addresses later");
}

#[test]
fn memory_that_runs_out_is_asked_for_again() {
    alone("memory at first");
    alone("memory later");
}

#[test]
fn mappings_that_run_out_are_asked_for_again() {
    alone("mappings at first");
    alone("mappings later");
}
