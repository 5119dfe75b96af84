//! The command `heaplaw`: the kit's command line over the heaps that it comes with.

use heaplaw_conformance::cli::{self, Bundled};
use heaplaw_optimized::{
    Config,
    adapter::{self, Subject},
};
use std::process::ExitCode;

/// This process's own memory stays clear of an allocator that is judged.
#[cfg(target_os = "linux")]
#[global_allocator]
static OWN: heaplaw_optimized::foreign::Apart = heaplaw_optimized::foreign::Apart::new();

fn main() -> ExitCode {
    let heap = |reservation| {
        let config = Config { reservation, ..Config::default() };
        move || Subject::new(config).expect("the kernel gives address space for a small heap")
    };
    let heaps = vec![
        Bundled::shared("optimized", "the fast heap, in single steps", heap(64 << 20)),
        Bundled::shared("optimized:tight", "the same with 64 KiB of memory, which is often full", heap(64 << 10)),
        #[cfg(target_os = "linux")]
        Bundled::new(
            cli::MALLOC,
            "the C allocator of this process: malloc and its family",
            adapter::malloc::Malloc::new,
        ),
    ];
    cli::main(heaps)
}
