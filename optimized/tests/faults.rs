//! The kernel refuses: every k-th call, once or for good, and address space that runs out.

use heaplaw_optimized::{Config, Error, Faults, Global, Heap, Place};
use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

#[global_allocator]
static ALLOCATOR: Global = Global::new();

/// Fills a heap with lists and pages, and collects. Gives how often it was refused.
fn program(heap: &Heap) -> usize {
    let mut mutator = heap.join();
    let (list, node, page) = (mutator.root(), mutator.root(), mutator.root());
    let mut refused = 0;
    for round in 0..60 {
        for size in [8, 100, 3000, 40_000, 400_000] {
            let object = mutator.alloc(&node, 1, size);
            match object {
                Ok(_) if round % 3 == 0 => {
                    mutator.store(Place::Field(&node, 0), Some(&list)).unwrap();
                    mutator.copy(&list, &node).unwrap();
                }
                Ok(_) => mutator.copy(&page, &node).unwrap(),
                Err(Error::OutOfMemory { .. } | Error::Os { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        if round % 20 == 19 {
            heap.collect();
            heap.verify().unwrap();
        }
    }
    mutator.clear(&list).unwrap();
    mutator.clear(&node).unwrap();
    mutator.clear(&page).unwrap();
    heap.collect();
    refused
}

#[test]
fn a_heap_survives_the_refusal_of_every_call() {
    let mut injected = 0;
    for count in [1, 3, usize::MAX] {
        for after in 0..40 {
            let faults = Faults { after, count };
            let heap = match Heap::new(Config { faults, ..Config::default() }) {
                Ok(heap) => heap,
                Err(Error::Os { .. }) => {
                    assert!(after < 2, "making a heap takes two calls");
                    injected += 1;
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            let refused = program(&heap);
            injected += refused;
            assert!(count == usize::MAX || refused <= count, "{faults:?}: {refused} refusals");
            assert_eq!(heap.verify(), Ok(()));
            assert_eq!((heap.stats().objects, heap.stats().in_use), (0, 0), "nothing is lost: {faults:?}");
            if refused == count {
                assert_eq!(program(&heap), 0, "what was refused can be tried again: {faults:?}");
            }
        }
    }
    assert!(injected > 100, "only {injected} refusals");
}

/// What the processes of the test below do.
#[test]
fn child() {
    let Ok(_) = env::var("HEAPLAW_TEST_LIMIT") else { return };
    let limit = Global::<false>::stats();
    assert!(limit.reserved > 0 && limit.reserved <= 512 << 20, "{limit:?}");
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(10_000);
    let mut size = 1 << 20;
    while size > 1000 {
        let mut block = Vec::new();
        if block.try_reserve_exact(size).is_err() {
            size /= 2;
            continue;
        }
        block.resize(size, 7);
        blocks.push(block);
    }
    assert!(blocks.iter().flatten().all(|byte| *byte == 7));
    assert!(blocks.iter().map(Vec::len).sum::<usize>() > limit.reserved / 2);
    drop(blocks);
    Global::<false>::verify().unwrap();
    drop(vec![1_u8; limit.reserved / 4]);
}

#[test]
fn a_process_with_few_addresses_gets_a_smaller_window() {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--test-threads=1"]).env("HEAPLAW_TEST_LIMIT", "1").stdout(Stdio::null());
    let limit = || {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: `limit` is a valid limit.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        Ok(())
    };
    // SAFETY: the function only sets a limit of the child.
    let output = unsafe { command.pre_exec(limit) }.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
