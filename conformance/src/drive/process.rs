//! A subject in another process.
