//! The verdict on one program: what each law said.

use crate::{
    drive::Failure,
    law::{Judgement, Law, Witness},
};
use heaplaw_reference::op::Op;

/// What one law said.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The law.
    pub law: &'static Law,
    /// What it said.
    pub judgement: Judgement,
}

/// What all laws said.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// One finding for each law, in their order.
    pub findings: Vec<Finding>,
    /// How the subject failed, if it did; then the laws saw only the part before.
    pub failure: Option<(Op, Failure)>,
}

/// Verdicts on several programs add up: the worst counts. From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Every law that applies was looked at, and held.
    Conforms,
    /// Nothing is wrong, but nothing was looked at either.
    Inconclusive,
    /// The subject failed to answer.
    Failed,
    /// A law is broken.
    Broken,
}

impl Verdict {
    /// The law whose breach shows first; of several at the same moment, the one with the lowest number.
    pub fn broken(&self) -> Option<(&'static Law, &Witness)> {
        let broken = self.findings.iter().filter_map(|finding| match &finding.judgement {
            Judgement::Broken(witness) => Some((finding.law, witness)),
            _ => None,
        });
        broken.min_by_key(|(law, witness)| (witness.moment, law.number))
    }

    /// How the subject stands after this program.
    pub fn standing(&self) -> Standing {
        let checked = |finding: &Finding| matches!(finding.judgement, Judgement::Holds { checks } if checks > 0);
        if self.broken().is_some() {
            Standing::Broken
        } else if self.failure.is_some() {
            Standing::Failed
        } else if self.findings.iter().any(checked) {
            Standing::Conforms
        } else {
            Standing::Inconclusive
        }
    }
}
