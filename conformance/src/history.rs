//! The history of a run: what was asked, what was answered, and what the heap said happened. Laws read nothing else.

use crate::drive::Failure;
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::{Op, Program},
};

/// One operation that was performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The operation.
    pub op: Op,
    /// The heap's answer.
    pub reply: Reply,
    /// What happened in its course, in order.
    pub events: Vec<Event>,
}

/// Everything that happened when a program was run on a subject.
///
/// Operations that mean nothing where they stand are not performed, and do not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What the heap said of itself.
    pub claims: Claims,
    /// What was performed, in order.
    pub moments: Vec<Moment>,
    /// How many operations were left out because the heap does not claim to perform them.
    pub unclaimed: usize,
    /// How the subject failed, if it did, and the operation that it failed at.
    pub failure: Option<(Op, Failure)>,
    /// What came of running the same program once more.
    pub twice: Twice,
}

/// What came of running the same program once more on a fresh heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Twice {
    /// That was not tried.
    #[default]
    NotTried,
    /// The same happened, but for addresses.
    Same,
    /// Something else happened.
    Different {
        /// The first moment that was different.
        moment: usize,
        /// What the heap answered and reported then.
        then: String,
    },
}

impl History {
    /// The operations that were performed, and the one that the subject failed at: a program that replays this history.
    pub fn program(&self) -> Program {
        let performed = self.moments.iter().map(|moment| moment.op);
        performed.chain(self.failure.iter().map(|(op, _)| *op)).collect()
    }
}
