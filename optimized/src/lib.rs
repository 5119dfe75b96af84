//! # A garbage-collected heap in mapped memory
//!
//! A [`Heap`] is a value that owns a reserved run of addresses, hands out objects in it, and frees those that can no
//! longer be reached. Its design is that of Go's memory manager: 67 size classes, spans of pages cut into equal slots,
//! bitmaps beside the memory instead of headers in it, and a collector that marks with a hybrid write barrier, scans
//! each stack once, and sweeps bit by bit. Objects do not move.
//!
//! ```text
//!   Mutator ── Root ──▶ stack slot ──▶ object: pointer fields │ data          Heap
//!                                      └─ a slot of a span ───┘               start handshake mark finish sweep
//!                                         └─ a run of pages of the region     collect
//! ```
//!
//! The collector does not run by itself. Programs step it, or call [`Heap::collect`]; so every run can be repeated
//! exactly. For now one lock guards the whole heap: it can be shared between threads, but they take turns.
//!
//! * **Memory.** A [`Config`] says how much address space to reserve and how much memory to use. What cannot be granted
//!   is an [`Error`]. Bookkeeping lies in Rust's global allocator: 16 bytes for each page; a record, two bitmaps and a
//!   pointer layout for each span. For the page table and the bitmaps, failure of that allocator is an [`Error`] too;
//!   for roots, span records and the queue of grey objects it ends the process, as it does for any `Vec`.
//! * **Safety.** A [`Mutator`] names objects only by its own [`Root`]s, so the whole interface is safe.
//! * **Seeing.** A [`Listener`] is told what the collector does; [`Stats`] are exact; [`Heap::verify`] checks every
//!   invariant that the heap has.
//!
//! With the feature `reference`, `adapter` makes a heap a subject of the conformance kit.
//!
//! Sources: Go's runtime (`malloc.go`, `mheap.go`, `mcentral.go`, `mgc.go`, `mgcmark.go`, `mgcsweep.go`,
//! `mbarrier.go`), Go's proposal 17503, and the papers that the barrier stands on.

// In layers, the lowest first: a module uses only its own layer and the ones before it, and never in a circle. Of `gc`,
// `events` and `state` use the phases, and the steps of the collector use them.

// Numbers, bits and the kernel.
mod bitmap;
mod class;
mod error;
mod geometry;
mod layout;
mod os;

// Memory.
mod page;
mod root;
mod space;
mod span;

// The collector.
mod events;
mod gc;
mod state;

// The heap.
mod alloc;
mod heap;
mod mutator;
mod stats;
mod verify;

#[cfg(feature = "reference")]
pub mod adapter;
#[cfg(all(feature = "reference", target_os = "linux"))]
pub mod malloc;

pub use error::Error;
pub use events::{Event, Listener};
pub use gc::phase::Phase;
pub use heap::{Config, Heap};
pub use mutator::{Mutator, Object, Place};
pub use root::{Address, MutatorId, Root};
pub use stats::Stats;
pub use verify::Corruption;
