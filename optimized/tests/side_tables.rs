//! What the tables beside the objects take: nothing is kept in an object or before it, and so much for each of its bytes.
//!
//! A test of its own, in a process of its own: it looks at how much memory the process has.

use heaplaw_optimized::{Config, Heap, Place};
use std::fs;

/// The bytes of an object with two pointers, and nothing else.
const OBJECT: usize = 16;
const OBJECTS: usize = (20 << 20) / OBJECT;

/// The resident bytes of this process.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

#[test]
fn objects_have_no_header_and_little_beside_them() {
    if !cfg!(target_os = "linux") {
        println!("not checked: resident memory is read from /proc");
        return;
    }
    let heap = Heap::new(Config::default()).expect("address space");
    let mut mutator = heap.join();
    let roots = [mutator.root(), mutator.root()];
    let addresses = roots.each_ref().map(|root| mutator.alloc(root, 2, 0).expect("memory").address.get());
    assert_eq!(addresses[1] - addresses[0], OBJECT, "neighbours touch: there is no header");
    // How much memory there is with so many objects, none of them garbage, and all marked once.
    let mut count = 2;
    let mut fill = |objects: usize| {
        while count < objects {
            // Each refers to the one before.
            let (new, last) = (&roots[count % 2], &roots[(count + 1) % 2]);
            mutator.alloc(new, 2, 0).expect("memory");
            mutator.store(Place::Field(new, 0), Some(last)).expect("a field");
            count += 1;
        }
        heap.collect();
        resident()
    };
    // The difference leaves out what a process has once.
    let (few, many) = (fill(OBJECTS / 5), fill(OBJECTS));
    let objects = (OBJECTS - OBJECTS / 5) * OBJECT;
    let tables = (many - few).checked_sub(objects).expect("every object was written");
    let percent = tables as f64 * 100.0 / objects as f64;
    println!("{tables} bytes of tables beside {objects} of objects: {percent:.2} %");
    // 40 of what is known of the span, 5 of its index and 3 * 64 of its bits, for the 8192 bytes of a page: 2.89 %.
    assert!((2.0..3.0).contains(&percent), "{percent:.2} %");
}
