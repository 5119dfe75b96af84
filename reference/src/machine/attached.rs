//! What is attached to the machine's objects, and what is due. The rules are in [`finalize`](crate::finalize).

use crate::{
    object::Address,
    op::{WEAKS, WeakSlot},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

/// What a weak slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WeakPointer {
    identity: u64,
    /// `None` once it is cleared.
    target: Option<Address>,
}

/// Everything that is attached to objects, or was and is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attached {
    slots: [Option<WeakPointer>; WEAKS as usize],
    /// The identity of the weak pointer that each object has in this life.
    identities: BTreeMap<Address, u64>,
    identities_given: u64,
    finalizers: BTreeSet<Address>,
    /// Objects whose finalizer is due.
    dead: VecDeque<Address>,
    /// Whose death is waited for, and the argument.
    cleanups: Vec<(Address, Address)>,
    /// Arguments of cleanups that are due.
    due: VecDeque<Address>,
}

impl Attached {
    /// Makes a weak pointer; gives its identity.
    pub(super) fn make_weak(&mut self, into: WeakSlot, to: Address, canonical: bool) -> u64 {
        let known = self.identities.get(&to).copied().filter(|_| canonical);
        let identity = known.unwrap_or_else(|| {
            self.identities_given += 1;
            self.identities_given
        });
        self.identities.insert(to, identity);
        self.slots[usize::from(into.0)] = Some(WeakPointer { identity, target: Some(to) });
        identity
    }

    /// What a weak slot refers to; `None` if it was cleared or never made.
    pub(super) fn target(&self, slot: WeakSlot) -> Option<Address> {
        self.slots[usize::from(slot.0)]?.target
    }

    /// Clears every weak pointer to an object.
    pub(super) fn clear_weak(&mut self, to: Address) {
        self.identities.remove(&to);
        for weak in self.slots.iter_mut().flatten().filter(|weak| weak.target == Some(to)) {
            weak.target = None;
        }
    }

    pub(super) fn add_finalizer(&mut self, to: Address) {
        self.finalizers.insert(to);
    }

    /// The object was found dead: its finalizer, if it has one, is due from now on. Says whether it has.
    pub(super) fn queue_finalizer(&mut self, of: Address) -> bool {
        let has = self.finalizers.remove(&of);
        if has {
            self.dead.push_back(of);
        }
        has
    }

    /// The object of some finalizer that is due.
    pub(super) fn next_dead(&mut self) -> Option<Address> {
        self.dead.pop_front()
    }

    pub(super) fn add_cleanup(&mut self, of: Address, with: Address) {
        self.cleanups.push((of, with));
    }

    /// The object was freed: its cleanups are due from now on.
    pub(super) fn queue_cleanups(&mut self, of: Address) {
        self.due.extend(self.cleanups.iter().filter(|cleanup| cleanup.0 == of).map(|cleanup| cleanup.1));
        self.cleanups.retain(|cleanup| cleanup.0 != of);
    }

    /// The argument of some cleanup that is due.
    pub(super) fn next_cleanup(&mut self) -> Option<Address> {
        self.due.pop_front()
    }

    /// The objects that have a finalizer which is not due.
    pub(super) fn finalizable(&self) -> impl Iterator<Item = Address> {
        self.finalizers.iter().copied()
    }

    /// The objects whose finalizer is due.
    pub(super) fn dead(&self) -> impl Iterator<Item = Address> {
        self.dead.iter().copied()
    }

    /// The arguments of all cleanups that have not run.
    pub(super) fn arguments(&self) -> impl Iterator<Item = Address> {
        self.cleanups.iter().map(|cleanup| cleanup.1).chain(self.due.iter().copied())
    }
}
