//! Termination: how it is known that nothing is grey, although nobody can look everywhere at once.
//!
//! The rule, in this order: read how much [activity](Grey::activity) there was; see that no block waits; see that no marker
//! has anything in hand; go round all mutators, each of which shades what its barrier has recorded; and read the activity
//! again. If it is the same, marking is over. If not, there may be work, and marking goes on.
//!
//! ```text
//!   a ── nothing waits ── nobody is busy ── round: everyone flushes ── a again? ── the end
//! ```
//!
//! Why it is enough. Once every stack and the globals are scanned, each white object that a mutator can reach is
//! protected: a grey object leads to it, or something that a barrier has recorded and not yet shaded. Let `t` be the
//! moment when nobody was busy.
//!
//! * If at `t` nothing white is recorded, then nothing white is reachable, ever after: what is recorded later is marked.
//! * If something is, its owner comes to it in the round. It finds it white, and announces that before it shades it. Or it
//!   finds it marked, by somebody who announced it before and published it afterwards. Had that been over before `a` was
//!   read, we would have found it waiting, or it would have been scanned before `t`, and not be white at `t`. So who marked
//!   it was in the middle of that, and answers in the round too, after it has counted what it published. In each case the
//!   activity has changed, and we see that: mark bits, answers and the activity are read with acquire and written with
//!   release.
//!
//! What is published is counted *after* it can be found. Counted before, it could be in `a` already, and be found only when
//! nobody looks any more.
//!
//! An announcement is needed, a publication alone is not enough: a mutator that has answered already may have marked an
//! object and not yet published it, when another finds it marked and answers "nothing new". Announcing only what is white
//! is enough, so mutators that store all the time do not keep marking from its end.
//!
//! The last look at the activity and the end of marking are one step. For there is one operation that makes grey what
//! nothing protected: making a strong pointer of a [weak](crate::weak) one. It announces that, and either we see the
//! announcement, or it sees the end.
//!
//! The reference has this rule as one of its own, `announced` in its chapter on termination, and follows it to the last
//! state, next to the same without announcements, which loses an object.
//!
//! Source: what Go's `gcMarkDone` in `mgc.go` does with a stopped world since its issue 27993; here without.

use super::grey::Grey;
use crate::twin::{Twin, wrong};

impl Grey {
    /// Goes through the rule; `round` makes every mutator flush. Gives whether marking is over.
    pub(crate) fn is_over(&self, round: impl FnOnce()) -> bool {
        let before = self.activity();
        if !self.is_empty() || !self.is_idle() {
            return false;
        }
        if !wrong(Twin::Flushing) {
            round();
        }
        self.close(if wrong(Twin::Recheck) { self.activity() } else { before })
    }
}
