//! What is wrong with a world: something is lost, or an invariant does not hold.

use super::{
    World,
    world::{EARLY, FREED, Objects, Pending, Period, Stage},
};
use crate::{
    color::Color,
    heap::Invariant,
    protocol::{Protocol, StackScan},
};

/// What a collector has done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An object is white where marking ends or is over, and a mutator can reach it, or will be able to once a
    /// finalizer is run.
    Object(u8),
    /// The weak pointer answers an object that was freed.
    WeakOfFreed,
    /// The weak pointer was cleared while a mutator could reach its target.
    WeakCleared,
}

impl World {
    /// Whether nothing is grey and no store is under way: marking can end.
    pub fn marked(&self) -> bool {
        self.nothing_is_grey() && self.pending.iter().all(|pending| pending.stage == Stage::None)
    }

    pub(super) fn nothing_is_grey(&self) -> bool {
        !self.colors.contains(&Some(Color::Grey))
            && !self.stacks.contains(&Color::Grey)
            && self.finalizers == Color::Black
    }

    /// What is lost, if marking can end here (after stacks are scanned again, in a design that does that) or has ended.
    pub fn lost(&self, protocol: &Protocol) -> Option<Loss> {
        match self.weak {
            FREED => return Some(Loss::WeakOfFreed),
            EARLY => return Some(Loss::WeakCleared),
            _ => {}
        }
        let lost = match self.period {
            Period::Off => 0,
            Period::Sweep => self.missed(),
            Period::Mark | Period::Ending if !self.marked() => 0,
            Period::Mark | Period::Ending => {
                if protocol.stacks == StackScan::Rescan {
                    self.rescanned(protocol).missed()
                } else {
                    self.missed()
                }
            }
        };
        (lost != 0).then(|| Loss::Object(lost.trailing_zeros() as u8))
    }

    /// White objects that mutators reach, or will reach once the finalizers are run. (One with a finalizer that only
    /// another one keeps is not freed. It is finalized too early, which is another matter.)
    fn missed(&self) -> Objects {
        let white = self.colored(Color::White);
        let held = self.spread(self.roots() | self.queued, Objects::MAX);
        let will_be = self.spread(self.out_of_all(self.finalizable), Objects::MAX) & !self.finalizable;
        (held | will_be) & white
    }

    /// All objects that mutators reach, or will reach once the finalizers are run.
    pub(super) fn reachable(&self) -> Objects {
        self.spread(self.roots() | self.queued | self.out_of_all(self.finalizable), Objects::MAX)
    }

    /// Whether an invariant holds; see [`color`](crate::color) for what each says. Finalizers are one more thing that
    /// is grey until it has been scanned, and refers to what their objects refer to and to the queue.
    pub fn upholds(&self, invariant: Invariant) -> bool {
        if !self.marking() {
            return true;
        }
        let white = self.colored(Color::White);
        let from_finalizers = self.out_of_all(self.finalizable) | self.queued;
        let mut from_black = self.out_of_all(self.colored(Color::Black) & self.reachable());
        let mut sources = 0;
        match self.finalizers {
            Color::Black => from_black |= from_finalizers,
            _ => sources |= from_finalizers,
        }
        if invariant == Invariant::Strong {
            return from_black & white == 0;
        }
        let stacks = |color| {
            let such = (0..self.stacks.len()).filter(move |mutator| self.stacks[*mutator] == color);
            such.fold(0, |set, mutator| set | self.stack_roots(mutator))
        };
        let exposed = (from_black | stacks(Color::Black)) & white;
        if exposed == 0 {
            return true;
        }
        sources |= self.out_of_all(self.colored(Color::Grey));
        // A shade that a store under way still owes protects like something grey: its mutator cannot skip it.
        for Pending { stage, old, new, .. } in self.pending {
            sources |= match stage {
                Stage::WrittenShadeOld => World::bit(old) | World::bit(new),
                Stage::WrittenShadeNew => World::bit(new),
                _ => 0,
            };
        }
        if invariant == Invariant::Weak {
            sources |= stacks(Color::Grey);
        }
        exposed & !self.spread(sources, white) == 0
    }
}
