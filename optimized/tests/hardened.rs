//! The hardened malloc face: each misuse ends the process and says what it was; correct programs notice nothing. The
//! misuses run in processes of their own: this test again, with the name of one in an environment variable.

use heaplaw_optimized::Global;
use std::{
    alloc::{GlobalAlloc, Layout},
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    ptr, thread,
};

#[global_allocator]
static ALLOCATOR: Global<true> = Global::new();

const VARIABLE: &str = "HEAPLAW_TEST_MISUSE";
const SIZES: [usize; 9] = [1, 7, 8, 24, 100, 1000, 5000, 30_000, 100_000];

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Misuses the allocator.
///
/// # Safety
/// None can be given: the process ends before harm is done, or the test has failed.
unsafe fn misuse(name: &str, size: usize) {
    let right = layout(size, 8);
    // SAFETY: that this is not safe is the point; only memory of our own blocks is touched, or of their neighbours.
    unsafe {
        let block = ALLOCATOR.alloc(right);
        let behind = |bytes: usize| block.add(size).write_bytes(1, bytes);
        let before = |bytes: usize| block.sub(bytes).write_bytes(1, bytes);
        match name {
            "double free" => {
                ALLOCATOR.dealloc(block, right);
                ALLOCATOR.dealloc(block, right);
            }
            "double free by another thread" => {
                ALLOCATOR.dealloc(block, right);
                let address = block.expose_provenance();
                let free = move || ALLOCATOR.dealloc(ptr::with_exposed_provenance_mut(address), right);
                _ = thread::spawn(free).join();
            }
            "free of the stack" => ALLOCATOR.dealloc((&raw const size).cast_mut().cast(), right),
            "free of nothing" => ALLOCATOR.dealloc(ptr::without_provenance_mut(16), right),
            "free of the middle" => ALLOCATOR.dealloc(block.add(8), right),
            "free of the front" => ALLOCATOR.dealloc(block.sub(16), right),
            "size mismatch" => ALLOCATOR.dealloc(block, layout(size + 1, 8)),
            "alignment mismatch" => ALLOCATOR.dealloc(block, layout(size, 64)),
            "overflow by 1" => {
                behind(1);
                ALLOCATOR.dealloc(block, right);
            }
            "overflow by 8" => {
                behind(8);
                ALLOCATOR.dealloc(block, right);
            }
            "underflow by 1" => {
                before(1);
                ALLOCATOR.dealloc(block, right);
            }
            "underflow by 8" => {
                before(8);
                ALLOCATOR.dealloc(block, right);
            }
            "write after free" => {
                ALLOCATOR.dealloc(block, right);
                block.add(size / 2).write(1);
                // Sooner or later the slot comes back.
                for _ in 0..10_000 {
                    ALLOCATOR.alloc(right);
                }
            }
            "realloc after free" => {
                ALLOCATOR.dealloc(block, right);
                ALLOCATOR.realloc(block, right, size + 100);
            }
            other => panic!("no misuse is called {other:?}"),
        }
    }
}

#[test]
fn child() {
    let Ok(wanted) = env::var(VARIABLE) else { return };
    let (name, size) = wanted.split_once('/').expect("a name and a size");
    // SAFETY: the process is ours to spoil.
    unsafe { misuse(name, size.parse().expect("a number")) };
}

/// What a misuse of a block of this size prints before it ends the process.
fn printed(name: &str, size: usize) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(VARIABLE, format!("{name}/{size}")).stdout(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{name}, {size} bytes, was not noticed: {text}");
    text
}

#[test]
fn every_misuse_is_named() {
    let cases = [
        ("double free", "double free"),
        ("double free by another thread", "double free"),
        ("free of the stack", "invalid free"),
        ("free of nothing", "invalid free"),
        ("free of the middle", "invalid free"),
        ("free of the front", "invalid free"),
        ("size mismatch", "size mismatch"),
        ("alignment mismatch", "alignment mismatch"),
        ("overflow by 1", "overflow"),
        ("overflow by 8", "overflow"),
        ("underflow by 1", "underflow"),
        ("underflow by 8", "underflow"),
        ("write after free", "write after free"),
        ("realloc after free", "double free"),
    ];
    for (name, message) in cases {
        for size in SIZES {
            // Pages that were freed are not touched again by the allocator, and may be gone.
            let pages = size > 32 << 10;
            if pages && name == "write after free" {
                continue;
            }
            let message = if pages && message == "double free" { "invalid free" } else { message };
            let text = printed(name, size);
            assert!(text.contains(&format!("heaplaw: {message}")), "{name}, {size} bytes: {text}");
            assert!(text.contains("block 0x"), "{name}, {size} bytes: {text}");
        }
    }
}

#[test]
fn correct_programs_notice_nothing() {
    for align in [1, 8, 16, 64, 4096, 16 << 10] {
        for size in SIZES {
            let right = layout(size, align);
            // SAFETY: each block is used within its size and freed once, with its layout.
            unsafe {
                let block = ALLOCATOR.alloc_zeroed(right);
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0));
                block.write_bytes(0xff, size);
                let block = ALLOCATOR.realloc(block, right, size + 50);
                assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0xff));
                ALLOCATOR.dealloc(block, layout(size + 50, align));
            }
        }
    }
    // SAFETY: the size is not zero; there is no such memory.
    assert!(unsafe { ALLOCATOR.alloc(layout(isize::MAX as usize - 64, 8)) }.is_null());
    let mut texts = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| scope.spawn(move || (0..5000).map(|number| (number * seed).to_string()).collect::<Vec<_>>()))
            .collect();
        texts.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    });
    assert_eq!(texts.len(), 20_000);
    Global::<true>::verify().unwrap();
}
