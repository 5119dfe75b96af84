//! The command `heaplaw`: the kit's command line over the heaps that it comes with.

use heaplaw_conformance::cli::{self, Bundled};
use heaplaw_optimized::adapter;
use std::process::ExitCode;

fn main() -> ExitCode {
    let heap = |memory| move || adapter::small(memory).expect("the kernel gives address space for a small heap");
    cli::main(vec![
        Bundled::new("optimized", "the fast heap, in single steps", heap(64 << 20)),
        Bundled::new("optimized:tight", "the same with 64 KiB of memory, which is often full", heap(64 << 10)),
    ])
}
