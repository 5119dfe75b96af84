//! Records what the kit asks of its allocator while it judges the reference: `check.trace`.
//!
//! `cargo run --release --features record --bin record` writes the file again. Calls are kept as they are made, in memory
//! of their own, and turned into events when the program has ended.
//!
//! Invariant: while anything is recorded there is one thread.

use heaplaw_conformance::{campaign::Campaign, drive::InProcess};
use heaplaw_reference::{machine::Machine, protocol::Protocol};
use heaplaw_yardsticks::trace::{self, Event, Numbers};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::UnsafeCell,
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// A call: the block before, the block after, and what was asked for.
#[derive(Clone, Copy)]
struct Call {
    before: usize,
    after: usize,
    layout: Layout,
    zeroed: bool,
}

const MOST: usize = 1 << 20;

/// The system's allocator, with a list of what is asked of it.
struct Recorder {
    on: AtomicBool,
    count: AtomicUsize,
    calls: UnsafeCell<[Option<Call>; MOST]>,
}

// SAFETY: only the thread that draws a number writes the call of that number, and all are read when recording is over.
unsafe impl Sync for Recorder {}

#[global_allocator]
static RECORDER: Recorder =
    Recorder { on: AtomicBool::new(false), count: AtomicUsize::new(0), calls: UnsafeCell::new([None; MOST]) };

impl Recorder {
    fn keep(&self, before: *mut u8, after: *mut u8, layout: Layout, zeroed: bool) {
        if self.on.load(Ordering::Relaxed) {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            if number < MOST {
                let call = Call { before: before.addr(), after: after.addr(), layout, zeroed };
                // SAFETY: the number is ours.
                unsafe { (*self.calls.get())[number] = Some(call) };
            }
        }
    }
}

// SAFETY: it is the system's.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, here and below.
        let block = unsafe { System.alloc(layout) };
        self.keep(std::ptr::null_mut(), block, layout, false);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { System.alloc_zeroed(layout) };
        self.keep(std::ptr::null_mut(), block, layout, true);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.keep(block, std::ptr::null_mut(), layout, false);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the caller promises that the size makes a layout.
        let (new, layout) =
            unsafe { (System.realloc(block, layout, size), Layout::from_size_align_unchecked(size, layout.align())) };
        self.keep(block, new, layout, false);
        new
    }
}

/// Calls as events. What was allocated before, and is freed or resized now, is left out.
fn events(calls: &[Call]) -> Vec<Event> {
    let (mut numbers, mut live) = (Numbers::default(), HashMap::new());
    let mut events = Vec::new();
    for call in calls {
        match (call.before, call.after) {
            (0, after) => {
                live.insert(after, numbers.take());
                events.push(Event::Allocate(call.layout, call.zeroed));
            }
            (before, 0) => {
                if let Some(number) = live.remove(&before) {
                    numbers.give(number);
                    events.push(Event::Free(number));
                }
            }
            (before, after) => {
                if let Some(number) = live.remove(&before) {
                    live.insert(after, number);
                    events.push(Event::Resize(number, call.layout.size()));
                }
            }
        }
    }
    events
}

fn main() {
    let campaign = Campaign { seed: 1, cases: 150, ..Campaign::default() };
    RECORDER.on.store(true, Ordering::Relaxed);
    let outcome = campaign.run(&mut InProcess::new(|| Machine::new(Protocol::HYBRID)), &[], &mut ());
    RECORDER.on.store(false, Ordering::Relaxed);
    let count = RECORDER.count.load(Ordering::Relaxed);
    assert!(count <= MOST, "{count} calls, and room for {MOST}");
    // SAFETY: nothing is recorded any more.
    let calls: Vec<Call> = unsafe { &*RECORDER.calls.get() }[..count].iter().flatten().copied().collect();
    let events = events(&calls);
    let bytes = trace::write(&events);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/check.trace");
    std::fs::write(path, &bytes).expect("the file can be written");
    println!("{} programs, {} events, {} bytes: {path}", outcome.programs, events.len(), bytes.len());
}
