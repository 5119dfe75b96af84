//! Reports: how verdicts and counterexamples are shown to people and programs.

#[cfg(feature = "cli")]
pub mod json;
#[cfg(feature = "cli")]
pub mod junit;
pub mod text;

#[cfg(feature = "cli")]
pub use check::{Check, Line, SavedPlan, Shown, Status, Threads};

#[cfg(feature = "cli")]
mod check;
