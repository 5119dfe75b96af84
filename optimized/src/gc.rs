//! The collector: Go's, without its stopped world. Each file is one of its verbs, as methods of
//! [`State`](crate::state::State); the kernels, [`handshake`], [`grey`], [`terminate`], [`phase`] and
//! [`pacer`], know nothing of it and stand below the spans.

pub(crate) mod handshake;
pub(crate) mod pacer;
pub(crate) mod phase;
pub(crate) mod grey;
pub(crate) mod terminate;

pub(crate) mod barrier;
pub(crate) mod mark;
pub(crate) mod special;
pub(crate) mod sweep;
pub(crate) mod cycle;
pub(crate) mod pace;
pub(crate) mod worker;
