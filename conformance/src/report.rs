//! Reports: how verdicts and counterexamples are shown to people and programs.

pub mod text;
