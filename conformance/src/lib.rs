//! # The kit that judges whether a heap conforms
//!
//! > A **generator** draws a **program** of heap operations; a **driver** runs it on a **subject** (any heap) and writes
//! > down a **history**; the **laws**, read against the **reference**, turn the history into a **verdict**; a failing
//! > program is **shrunk** and **reported**, with the heap drawn, as a file that replays.
//!
//! Every noun of that sentence is a module here, and data flows through them in its order:
//!
//! ```text
//! generate::scenario ─▶ drive::step ─▶ History ─▶ law::judge ─▶ Verdict ─▶ shrink ─▶ report
//! ```

#![forbid(unsafe_code)]

pub mod answers;
pub mod campaign;
pub mod chart;
#[cfg(feature = "cli")]
pub mod cli;
pub mod conforms;
pub mod drive;
pub mod explore;
pub mod faulty;
pub mod footprint;
pub mod generate;
pub mod goals;
pub mod history;
#[cfg(feature = "cli")]
pub mod known;
pub mod law;
pub mod ledger;
#[cfg(feature = "cli")]
pub mod mutants;
pub mod play;
pub mod reading;
pub mod report;
pub mod saved;
#[cfg(feature = "cli")]
pub mod shard;
pub mod shrink;
pub mod teeth;
pub mod utilisation;
pub mod verdict;

/// The whole command line for one's own heap: `fn main() -> ExitCode { heaplaw_conformance::judge(MyHeap::new) }`.
#[cfg(feature = "cli")]
pub fn judge<H: heaplaw_reference::heap::Heap + 'static>(make: impl Fn() -> H + 'static) -> std::process::ExitCode {
    cli::main(vec![cli::Bundled::new("heap", "the heap of this program", make)])
}

/// The same for an allocator, which knows nothing of roots and fields.
#[cfg(feature = "cli")]
pub fn judge_allocator<A>(make: impl Fn() -> A + Clone + 'static) -> std::process::ExitCode
where
    A: heaplaw_reference::block::Allocator + Sync + 'static,
    A::Block: Send,
{
    cli::main(vec![cli::Bundled::allocator("allocator", "the allocator of this program", make)])
}

/// Compiles the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
