//! Meters: processor time, resident memory, live bytes, and on what machine. At the bottom.
//!
//! Time is that of the processor, of all threads of the process together. It leaves out when the machine does something
//! else, and so differs less from run to run than what a clock says; two threads that run side by side for a second
//! have used two.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The processor time of this process, in nanoseconds.
///
/// # Panics
/// If the kernel has no such clock.
pub fn processor_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the answer.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A field of what Linux says of this process, in bytes; 0 where there is no such thing.
fn status(field: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0) << 10
}

/// The resident bytes now.
pub fn resident() -> usize {
    status("VmRSS")
}

/// The most resident bytes that there were.
pub fn resident_peak() -> usize {
    status("VmHWM")
}

/// The machine in one line.
pub fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("? : an unknown processor");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned();
    format!(
        "{}, {processors} processors, Linux {}, load {load}",
        model.trim_start_matches(['\t', ' ', ':']),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The system's allocator, counting what is asked of it.
#[derive(Default)]
pub struct Counting {
    live: AtomicUsize,
    peak: AtomicUsize,
    calls: AtomicUsize,
}

impl Counting {
    /// The most bytes that were allocated at a time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// How often something was allocated, freed or resized.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many bytes are allocated.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn change(&self, from: usize, to: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_sub(from, Ordering::Relaxed);
        let live = self.live.fetch_add(to, Ordering::Relaxed) + to;
        self.peak.fetch_max(live, Ordering::Relaxed);
    }
}

// SAFETY: it is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.change(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.change(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.change(layout.size(), size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}
