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

pub mod drive;
pub mod faulty;
pub mod generate;
pub mod history;
pub mod law;
pub mod reading;
pub mod shrink;
pub mod verdict;
