//! The malloc face of the optimized heap beside what a user would pick instead.
//!
//! ```text
//!   trace ──▶ workload ◀── peer          the command and the benches choose a workload and a peer
//! ```
//!
//! * [`workload`]: what programs do with an allocator, in small.
//! * [`trace`]: what a program did, written down to be done again.
//! * [`peer`]: the allocators, those that are missing here included.
//! * [`meter`]: processor time, resident memory, and on what machine.
//!
//! Invariant: nothing that is measured allocates for itself; only the workload's blocks come from the peer.

pub mod meter;
pub mod peer;
pub mod trace;
pub mod workload;
