//! The collector: Go's, one step at a time. Each file is one of its verbs, as methods of
//! [`State`](crate::state::State).

pub(crate) mod barrier;
pub(crate) mod grey;
pub(crate) mod mark;
pub(crate) mod phase;
pub(crate) mod sweep;
