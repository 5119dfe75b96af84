//! What can happen next: the steps by name. What mutators do is in `mutate`, what the collector does in `collect`.

use super::{Scope, World};
use crate::protocol::Protocol;
use alloc::vec::Vec;

/// One thing that happens. Numbers of objects are those of the world it happens in, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `mutator`: `into := (register from).field`.
    Load {
        /// Who.
        mutator: u8,
        /// The register that is overwritten.
        into: u8,
        /// The register that holds the object.
        from: u8,
        /// The field that is read.
        field: u8,
    },
    /// `mutator`: `(register of).field := value`, barrier and all; or only its beginning, in a design whose stores fall
    /// into steps.
    Store {
        /// Who.
        mutator: u8,
        /// The register that holds the object.
        of: u8,
        /// The field that is overwritten.
        field: u8,
        /// The register whose value is stored; nil if none.
        value: Option<u8>,
    },
    /// `mutator`: the next step of the store or conversion that it has begun.
    Go(
        /// Who.
        u8,
    ),
    /// `mutator`: `into := from`.
    Copy {
        /// Who.
        mutator: u8,
        /// The register that is overwritten.
        into: u8,
        /// The register that is read.
        from: u8,
    },
    /// `mutator`: a register becomes nil.
    Clear {
        /// Who.
        mutator: u8,
        /// The register.
        register: u8,
    },
    /// `mutator`: a new object.
    Allocate {
        /// Who.
        mutator: u8,
        /// The register that receives it.
        into: u8,
    },
    /// `mutator` hands the reference in a register to the other mutator.
    Send {
        /// Who.
        mutator: u8,
        /// The register that is read.
        value: u8,
        /// The other mutator's register that is overwritten.
        into: u8,
    },
    /// `mutator`: the weak pointer refers to the object in a register.
    Weaken {
        /// Who.
        mutator: u8,
        /// The register that holds the object.
        register: u8,
    },
    /// `mutator`: `into :=` the weak pointer's target, or nil; or only its beginning, in a design whose stores fall into
    /// steps.
    Strengthen {
        /// Who.
        mutator: u8,
        /// The register that receives it.
        into: u8,
    },
    /// `mutator`: the object in a register has a finalizer.
    Attach {
        /// Who.
        mutator: u8,
        /// The register that holds the object.
        register: u8,
    },
    /// `mutator`: `into :=` an object from the queue of those that were found dead.
    Take {
        /// Who.
        mutator: u8,
        /// The register that receives it.
        into: u8,
        /// The object.
        object: u8,
    },
    /// `mutator` leaves, and its registers are gone.
    Leave(
        /// Who.
        u8,
    ),
    /// The other mutator brings in `mutator`, whose first register holds what the other's register `argument` does.
    Join {
        /// Who.
        mutator: u8,
        /// The other's register that is read; nil if none.
        argument: Option<u8>,
    },
    /// The collector scans a stack.
    ScanStack(
        /// Whose.
        u8,
    ),
    /// The collector scans a grey object.
    Scan(
        /// Which.
        u8,
    ),
    /// The collector scans what objects with finalizers refer to, and the queue.
    ScanFinalizers,
    /// The collector scans all stacks and everything that turns up, with no mutator running. If there is a sweep, that
    /// is the end of marking.
    Rescan,
    /// The collector finds the weak pointer's target white, and clears the pointer.
    ClearWeak,
    /// The collector finds nothing grey: marking is going to end.
    Decide,
    /// The collector ends marking, with no mutator running; or goes on, if it looks again and something is grey.
    End,
    /// The collector sweeps an object that is dead.
    Sweep(
        /// Which.
        u8,
    ),
    /// Nothing dead is left.
    Swept,
    /// The next cycle begins to mark.
    Start,
    /// The collector gives up marking.
    Abort,
}

impl Step {
    /// Whether it is the collector's.
    pub fn is_collector(self) -> bool {
        use Step::*;
        matches!(
            self,
            ScanStack(_)
                | Scan(_)
                | ScanFinalizers
                | Rescan
                | ClearWeak
                | Decide
                | End
                | Sweep(_)
                | Swept
                | Start
                | Abort
        )
    }
}

impl World {
    /// Everything that can happen next under a protocol, with the world after it.
    pub fn steps(&self, protocol: &Protocol, scope: Scope) -> Vec<(Step, World)> {
        let mut next = Vec::new();
        self.each_named_step(protocol, scope, |step, world| next.push((step, world.canonical())));
        next
    }

    /// As [`World::steps`], without a list, every world [packed](World::pack), and without steps that change nothing.
    pub fn each_next(&self, protocol: &Protocol, scope: Scope, mut to: impl FnMut(u128)) {
        self.each_named_step(protocol, scope, |_, world| {
            if world != *self {
                to(world.pack_canonical());
            }
        });
    }

    /// As [`World::steps`], without a list and with every object keeping its number: for telling a story.
    pub fn each_named_step(&self, protocol: &Protocol, scope: Scope, mut to: impl FnMut(Step, World)) {
        if self.mutators_run(protocol, scope) {
            for mutator in (0..scope.mutators).filter(|mutator| self.is_present(*mutator)) {
                self.mutate(mutator, protocol, scope, &mut to);
            }
        }
        self.collect(protocol, scope, &mut to);
    }
}
