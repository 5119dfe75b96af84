//! The C allocator is refused what it asks of the kernel. The limits that do it are those of the whole process, so this
//! file has one test, and a process of its own.
#![cfg(target_os = "linux")]

use heaplaw_optimized::foreign::C;
use heaplaw_reference::{block::Allocator, object::Shape};

/// So much, C libraries ask the kernel for each time.
const LARGE: Shape = Shape { pointers: 0, bytes: 1 << 20, align: 0 };

#[test]
fn the_call_whose_turn_it_is_to_be_refused_is_and_no_other() {
    let malloc = C::new();
    // What was freed could be handed out again without the kernel, so nothing is.
    let mut blocks = Vec::with_capacity(64);
    let mut granted = |shape| {
        // By `calloc`, which need not touch what comes from the kernel.
        let block = malloc.allocate(shape, 0);
        let granted = block.is_some();
        blocks.extend(block);
        granted
    };
    for request in 1..4 {
        malloc.refuse(request);
        let refused: Vec<_> = (0..5).map(|_| !granted(LARGE)).collect();
        let owed: Vec<_> = (1..=5).map(|number| number == request).collect();
        assert_eq!(refused, owed, "request {request}");
    }
    malloc.refuse(1);
    assert!(granted(Shape::default()), "what is owed is not refused");
    malloc.refuse(0);
    assert!(granted(LARGE));
    assert_eq!(blocks.len(), 3 * 4 + 2);
}
