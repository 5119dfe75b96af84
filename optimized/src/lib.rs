//! # A garbage-collected heap in mapped memory
//!
//! A [`Heap`] is a value that owns a reserved run of addresses, hands out objects in it, and frees those that can no
//! longer be reached. Its design is that of Go's memory manager: 67 size classes, spans of pages cut into equal slots,
//! bitmaps beside the memory instead of headers in it, and a collector that marks with a hybrid write barrier, scans
//! each stack once, and sweeps bit by bit. Objects do not move.
//!
//! ```text
//!   Mutator ── Root ──▶ stack slot ──▶ object: pointer fields │ data          Heap
//!   Raw ───────┘                       └─ a slot of a span ───┘               start handshake mark finish sweep
//!                                         └─ a run of pages of the region     collect
//! ```
//!
//! Mutators allocate from windows of their own, without a lock. The collector works while they do: it never stops them
//! all, but asks each of them, at a time of its own, to use the barrier, to show its roots, to hand out what it has
//! recorded, to forget the cycle. It halts them only where that is asked for: [`Heap::halted`],
//! [`Config::stop_the_world`]. With [`Config::workers`] it runs on threads of its own, paced as Go paces its own.
//! Without, it runs when programs step it, or call [`Heap::collect`]; so every run of one thread can be repeated
//! exactly. Or it is [paced](Config::paced) as well, and mutators do all of it as they allocate. All are the same code.
//!
//! * **Memory.** A [`Config`] says how much address space to reserve and how much memory to use. What cannot be granted
//!   is an [`Error`]. Bookkeeping lies beside the pages, in tables of the same reservation, which add a twelfth to it
//!   and take memory as they are used. Only what is kept of each mutator lies in Rust's global allocator, what is
//!   [attached](Weak) to objects, and grey objects for which there is no table left; its failure ends the process, as it
//!   does for any `Vec`.
//! * **Deaths.** [`Weak`] pointers find an object as long as it lives; finalizers and cleanups tell of its death, to whichever
//!   mutator [asks](Mutator::finalized), and never by a call out of the collector.
//! * **Choices.** [`Config::tiny`] packs small objects without pointers; [`Config::barrier`] is Go's hybrid write barrier
//!   unless another is asked for.
//! * **Blocks.** The lower layers serve programs that free by hand as well: [`Global`] is a global allocator on the same
//!   spans, without locks on its usual paths.
//! * **Fits.** [`fit`] has the sequential allocators, first fit to segregated fit, as values to be embedded.
//! * **Safety.** A [`Mutator`] names objects only by its own [`Root`]s. A [`Raw`] names them by address, for language
//!   runtimes; a wrong address does damage to objects, and is still no undefined behaviour. The whole interface is safe.
//! * **Types.** [`typed`] is for Rust programs: objects with typed fields, and a compiler that knows when they may be freed.
//! * **Pace.** [`Config::gogc`] says how much a heap may grow beside what is alive in it, [`Config::soft_limit`] how much
//!   memory it should keep to; both can be changed at any time. Cycles start early enough to end at the goal, and who
//!   allocates while objects are marked helps in proportion.
//! * **Seeing.** A [`Listener`] is told what the collector does; [`Stats`] are exact; [`Cycle`] tells of the last cycle, in
//!   a line such as Go's `gctrace`, and [`Metrics`] of now, for whatever draws curves; [`Heap::stalled`] names the mutator that a collector waits for; [`Heap::verify`] checks
//!   every invariant that the heap has.
//!
//! * **C.** With the feature `c` the crate exports the raw face to C, as `include/heaplaw.h` tells; `cargo rustc -p
//!   heaplaw-optimized --release --features c --crate-type staticlib` builds the library.
//!
//! With the feature `reference`, `adapter` makes a heap a subject of the conformance kit, and `foreign` other allocators.
//!
//! Sources: Go's runtime (`malloc.go`, `mheap.go`, `mcentral.go`, `mgc.go`, `mgcmark.go`, `mgcsweep.go`,
//! `mbarrier.go`), Go's proposal 17503, and the papers that the barrier stands on.

// Models use the kernels alone, but for the whole heap under shuttle, which does without the malloc face.
#![cfg_attr(all(test, any(heaplaw_loom, heaplaw_shuttle)), allow(dead_code))]

// What the derive writes names this crate, also in its own tests.
#[cfg(all(test, feature = "derive", not(any(heaplaw_loom, heaplaw_shuttle))))]
extern crate self as heaplaw_optimized;

// In layers, the lowest first: a module uses only its own layer and the ones before it, and never in a circle. Of `gc`, the
// kernels stand with the other kernels, and the rest uses all of its layer.

// Numbers, bits and the kernel.
mod class;
mod error;
mod geometry;
mod os;
mod sync;
mod twin;

// Kernels: lock-free, and given their storage.
mod central;
mod generation;
mod layout;
mod parked;
mod slots;
mod stack;
mod weak;

// Memory.
mod arena;
mod memory;
mod page;
mod root;
mod space;
mod span;
mod tiny;

// The collector.
mod events;
mod gc;
mod local;
mod special;
mod state;
mod stats;

// Blocks that are freed by hand.
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod cache;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod global;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod harden;
mod large;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod span_cache;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
mod malloc;

// Sequential allocators, each with memory of its own.
pub mod fit;

// The heap.
mod alloc;
mod heap;
mod mutator;
mod raw;
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
pub mod typed;
mod verify;

// The same for C.
#[cfg(all(feature = "c", not(all(test, any(heaplaw_loom, heaplaw_shuttle)))))]
mod c;

#[cfg(all(test, any(heaplaw_loom, heaplaw_shuttle)))]
mod models;

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod refusals;

#[cfg(feature = "reference")]
pub mod adapter;
#[cfg(feature = "arithmetic")]
#[doc(hidden)]
pub mod arithmetic;
#[cfg(all(feature = "reference", target_os = "linux"))]
pub mod foreign;

pub use error::Error;
pub use events::{Cause, Event, Listener};
pub use gc::{barrier::Barrier, phase::Phase};
#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
pub use global::{Global, GlobalStats};
pub use heap::{Config, Heap};
pub use mutator::{Mutator, Object, Place};
pub use os::Faults;
pub use raw::Raw;
pub use root::{Address, MutatorId, Root};
pub use special::{Cleanup, Weak};
pub use stats::{Class, Cycle, Metrics, Stats};
pub use verify::Corruption;
