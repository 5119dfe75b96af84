//! The command `heaplaw`: the kit's command line over the heaps that it comes with.

use heaplaw_conformance::cli::{self, Bundled};
use heaplaw_optimized::{
    Barrier, Config, Error,
    adapter::{Subject, fit::ByHand},
    fit::Fit,
};
#[cfg(target_os = "linux")]
use heaplaw_optimized::{
    Global,
    foreign::{Apart, C, Rust},
};
#[cfg(target_os = "linux")]
use std::alloc::System;
use std::process::ExitCode;

/// This process's own memory stays clear of an allocator that is judged.
#[cfg(target_os = "linux")]
#[global_allocator]
static OWN: Apart = Apart::new();

/// The fast heap's global allocators, which are judged, and serve nobody here.
#[cfg(target_os = "linux")]
static GLOBAL: Global = Global::new();
#[cfg(target_os = "linux")]
static HARDENED: Global<true> = Global::new();

/// Address space of a fit: more than any program asks for.
const FIT: usize = 1 << 30;

/// The heaps that collect.
const SMALL: Config = Config { reservation: 64 << 20, ..Config::DEFAULT };
const TIGHT: Config = Config { reservation: 64 << 10, ..Config::DEFAULT };
const PACED: Config = Config { reservation: 1 << 30, ..Config::DEFAULT };
const TINY: Config = Config { tiny: true, ..SMALL };
const STOPPING: Config = Config { stop_the_world: true, ..SMALL };
const INSERTION: Config = Config { barrier: Barrier::Insertion, ..SMALL };
const DELETION: Config = Config { barrier: Barrier::Deletion, ..SMALL };

/// One of the sequential allocators, and how it finds a place.
fn fit(name: &str, by: &str, make: fn(usize) -> Result<ByHand, Error>) -> Bundled {
    let about = format!("an allocator in mapped memory: {}, by {by}", name.replace('-', " "));
    Bundled::new(format!("optimized:{name}"), about, move || make(FIT).expect("the kernel gives address space"))
}

fn main() -> ExitCode {
    let heap = |config| move || Subject::new(config).expect("the kernel gives address space for a small heap");
    let heaps = vec![
        Bundled::shared("optimized", "the fast heap, in single steps", heap(SMALL)),
        Bundled::shared(
            "optimized:paced",
            "the same, pacing itself by Go's rules on a clock that operations move",
            || Subject::paced(PACED).expect("the kernel gives address space"),
        ),
        Bundled::shared("optimized:tight", "the same with 64 KiB of memory, which is often full", heap(TIGHT)),
        Bundled::shared("optimized:tiny", "the same with several small objects in one slot", heap(TINY)),
        Bundled::shared("optimized:stop-the-world", "the same, with mutators that stand still", heap(STOPPING)),
        Bundled::shared("optimized:insertion", "the same with an insertion barrier", heap(INSERTION)),
        Bundled::shared("optimized:deletion", "the same with a deletion barrier", heap(DELETION)),
        fit("bump", "a cursor", ByHand::bump),
        fit("first-fit", "a tree of maxima", |memory| ByHand::free_list(Fit::First, memory)),
        fit("next-fit", "the same tree", |memory| ByHand::free_list(Fit::Next, memory)),
        fit("best-fit", "a tree of sizes", |memory| ByHand::free_list(Fit::Best, memory)),
        fit("segregated-fit", "a stack for each size", ByHand::segregated),
        #[cfg(target_os = "linux")]
        Bundled::allocator(cli::MALLOC, "the C allocator of this process: malloc and its family", C::new),
        #[cfg(target_os = "linux")]
        Bundled::allocator("system", "the allocator that Rust programs have if they name none", || {
            Rust::new("system", &System)
        }),
        #[cfg(target_os = "linux")]
        Bundled::allocator("optimized:global", "the global allocator that comes with the fast heap", || {
            Rust::new("global", &GLOBAL).classes(Global::<false>::usable_size)
        }),
        #[cfg(target_os = "linux")]
        Bundled::allocator("optimized:global-hardened", "the same, with misuse found", || {
            Rust::new("global-hardened", &HARDENED)
        }),
    ];
    cli::main(heaps)
}
