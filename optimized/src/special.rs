//! Specials: what is attached to objects from outside, and what is due since they died. Above the kernels; knows nothing of
//! the collector.
//!
//! ```text
//!   shard: address ──▶ Special: weak pointer │ finalizer │ cleanups ──▶ arguments
//!                                                 │            │
//!                             the object is dead  ▼            ▼  the object is freed
//!   due:                                    object, token   argument, token
//! ```
//!
//! Of an object that has anything attached there is a record, found by its address, in a shard that is its span's. A lock
//! guards each shard: for who attaches, and for who sweeps such a span. Allocating, loading, storing, and sweeping spans
//! without specials take none of them.
//!
//! Invariants: a record says something; all records of a span are in one shard, and the span
//! [counts](crate::weak::Attached) them. A weak pointer that is not cleared is in the record of its object. Arguments and
//! what is due are roots. What is due was attached once, so there is never more of it than was attached.
//!
//! Source: Go's specials in `mheap.go`, `mfinal.go`, `mcleanup.go`.

use crate::{
    root::Address,
    sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock},
};
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The locks that records are spread over.
const SHARDS: usize = 16;

/// A weak pointer: finds its object as long as nobody has found it dead, and does not keep it alive. Made by
/// [`Mutator::weak`](crate::Mutator::weak), asked by [`Mutator::upgrade`](crate::Mutator::upgrade).
///
/// Two are equal exactly if they were made of one object in one life: an object that is handed to its
/// [finalizer](crate::Mutator::set_finalizer) has another life after that, in which older weak pointers stay nil. So a weak
/// pointer is a key that never means another object, also after the object is gone.
#[derive(Clone, Debug)]
pub struct Weak(pub(crate) Arc<Handle>);

/// What all clones of a weak pointer share.
#[derive(Debug)]
pub(crate) struct Handle {
    /// As of all that belongs to one heap.
    heap: Arc<()>,
    number: u64,
    /// The first page of the object's span.
    pub(crate) span: usize,
    /// The object's address; 0 when it was found dead, and ever after.
    pub(crate) target: AtomicUsize,
}

impl Weak {
    /// A number that no other weak pointer of the heap has, but those that are equal.
    pub fn number(&self) -> u64 {
        self.0.number
    }
}

impl PartialEq for Weak {
    fn eq(&self, other: &Weak) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Weak {}

impl Hash for Weak {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

/// Names a cleanup, so that it can be [stopped](crate::Mutator::stop_cleanup).
#[derive(Debug)]
pub struct Cleanup {
    heap: Arc<()>,
    /// The object whose death it waits for: where it was, and its span.
    at: Address,
    span: usize,
    number: u64,
}

/// A cleanup that is attached.
#[derive(Debug)]
struct Waiting {
    number: u64,
    argument: usize,
    token: u64,
}

/// What is attached to one object.
#[derive(Debug, Default)]
pub(crate) struct Special {
    weak: Option<Arc<Handle>>,
    finalizer: Option<u64>,
    cleanups: Vec<Waiting>,
}

impl Special {
    fn is_empty(&self) -> bool {
        self.weak.is_none() && self.finalizer.is_none() && self.cleanups.is_empty()
    }

    pub(crate) fn has_finalizer(&self) -> bool {
        self.finalizer.is_some()
    }

    /// Sets the finalizer's token, or takes the finalizer off; gives the token before.
    pub(crate) fn set_finalizer(&mut self, token: Option<u64>) -> Option<u64> {
        std::mem::replace(&mut self.finalizer, token)
    }

    /// The arguments of its cleanups, 0 for nil.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = usize> + '_ {
        self.cleanups.iter().map(|cleanup| cleanup.argument)
    }

    /// Whether a weak pointer that it has leads to this object of this span.
    pub(crate) fn is_sound(&self, at: usize, span: usize) -> bool {
        let leads = |weak: &Arc<Handle>| weak.span == span && weak.target.load(Ordering::Relaxed) == at;
        !self.is_empty() && self.weak.as_ref().is_none_or(leads)
    }
}

/// The records of a shard, by address.
pub(crate) type Shard = BTreeMap<usize, Special>;

/// An object or argument, 0 for nil, and the token that goes with it.
pub(crate) type Due = (usize, u64);

/// What the sweep of a span with specials has found, and the lock on their shard.
pub(crate) struct Buried<'s> {
    pub(crate) shard: MutexGuard<'s, Shard>,
    finalized: Vec<Due>,
    cleaned: Vec<Due>,
}

impl Buried<'_> {
    /// An object is dead. `kept` says whether it stays for a finalizer, be it that of a neighbour in its slot. Gives whether
    /// a finalizer of its own is due, and whether the record is gone.
    pub(crate) fn bury(&mut self, at: usize, kept: bool) -> (bool, bool) {
        let Some(special) = self.shard.get_mut(&at) else { return (false, false) };
        if let Some(weak) = special.weak.take() {
            // Release: as the generation that is set afterwards.
            weak.target.store(0, Ordering::Release);
        }
        let token = special.finalizer.take();
        self.finalized.extend(token.map(|token| (at, token)));
        if !kept {
            self.cleaned.extend(special.cleanups.drain(..).map(|cleanup| (cleanup.argument, cleanup.token)));
        }
        let gone = special.is_empty();
        if gone {
            self.shard.remove(&at);
        }
        (token.is_some(), gone)
    }
}

/// One of the two queues.
#[derive(Debug)]
struct Queue {
    due: Mutex<VecDeque<Due>>,
    len: AtomicUsize,
}

impl Queue {
    fn new() -> Queue {
        Queue { due: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) }
    }

    fn extend(&self, more: Vec<Due>) {
        if !more.is_empty() {
            let mut due = lock(&self.due);
            due.extend(more);
            // Release: pairs with the acquire in `len`.
            self.len.store(due.len(), Ordering::Release);
        }
    }

    fn pop(&self) -> Option<Due> {
        if self.len() == 0 {
            return None;
        }
        let mut due = lock(&self.due);
        let next = due.pop_front();
        self.len.store(due.len(), Ordering::Release);
        next
    }

    fn len(&self) -> usize {
        // Acquire: pairs with the release in `extend`.
        self.len.load(Ordering::Acquire)
    }

    fn addresses(&self) -> Vec<usize> {
        lock(&self.due).iter().map(|due| due.0).collect()
    }
}

/// All specials of a heap.
#[derive(Debug)]
pub(crate) struct Specials {
    heap: Arc<()>,
    shards: [Mutex<Shard>; SHARDS],
    finalized: Queue,
    cleaned: Queue,
    /// The numbers that were given to weak pointers, and to cleanups.
    numbers: [AtomicU64; 2],
}

impl Specials {
    pub(crate) fn new() -> Specials {
        Specials {
            heap: Arc::new(()),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
            finalized: Queue::new(),
            cleaned: Queue::new(),
            numbers: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The records of the spans of which the one that starts at this page is one.
    pub(crate) fn shard(&self, span: usize) -> MutexGuard<'_, Shard> {
        lock(&self.shards[span % SHARDS])
    }

    /// What marking has to begin at: the objects whose fields are roots, and the objects that are roots, or 0.
    pub(crate) fn roots(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut finalizable, mut held) = (Vec::new(), self.due());
        for shard in self.shards() {
            finalizable.extend(shard.iter().filter(|(_, special)| special.has_finalizer()).map(|(at, _)| *at));
            held.extend(shard.values().flat_map(Special::arguments));
        }
        (finalizable, held)
    }

    /// All records, shard by shard.
    pub(crate) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock)
    }

    /// Whether a weak pointer is one of this heap.
    pub(crate) fn owns(&self, weak: &Weak) -> bool {
        Arc::ptr_eq(&self.heap, &weak.0.heap)
    }

    fn number(&self, of: usize) -> u64 {
        // Relaxed: only a number.
        self.numbers[of].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The weak pointer to an object, which has one from now on.
    pub(crate) fn weak(&self, special: &mut Special, at: usize, span: usize) -> Weak {
        let make = || {
            let (heap, target) = (Arc::clone(&self.heap), AtomicUsize::new(at));
            Arc::new(Handle { heap, number: self.number(0), span, target })
        };
        Weak(Arc::clone(special.weak.get_or_insert_with(make)))
    }

    /// Adds a cleanup.
    pub(crate) fn add_cleanup(
        &self,
        special: &mut Special,
        (at, span): (Address, usize),
        argument: usize,
        token: u64,
    ) -> Cleanup {
        let number = self.number(1);
        special.cleanups.push(Waiting { number, argument, token });
        Cleanup { heap: Arc::clone(&self.heap), at, span, number }
    }

    /// Takes a cleanup off, if it is still waiting; gives whether it was. `uncount` is as in [`Specials::detach`], and is
    /// given the span.
    pub(crate) fn stop(&self, cleanup: &Cleanup, uncount: impl FnOnce(usize)) -> bool {
        if !Arc::ptr_eq(&self.heap, &cleanup.heap) {
            return false;
        }
        let mut stopped = false;
        let stop = |special: &mut Special| {
            let place = special.cleanups.iter().position(|waiting| waiting.number == cleanup.number);
            stopped = place.map(|place| special.cleanups.remove(place)).is_some();
        };
        self.detach(cleanup.at.get(), cleanup.span, stop, || uncount(cleanup.span));
        stopped
    }

    /// Changes the record of an object, if there is one. If it is gone then, calls `uncount`, while the span cannot be
    /// swept.
    pub(crate) fn detach(&self, at: usize, span: usize, change: impl FnOnce(&mut Special), uncount: impl FnOnce()) {
        let mut shard = self.shard(span);
        let Some(special) = shard.get_mut(&at) else { return };
        change(special);
        if special.is_empty() {
            shard.remove(&at);
            uncount();
        }
    }

    /// Begins to bury the dead of a span, whose sweep others wait for meanwhile.
    pub(crate) fn open(&self, span: usize) -> Buried<'_> {
        Buried { shard: self.shard(span), finalized: Vec::new(), cleaned: Vec::new() }
    }

    /// Queues what was found, once the span is swept.
    pub(crate) fn queue(&self, buried: Option<Buried<'_>>) {
        if let Some(Buried { shard, finalized, cleaned }) = buried {
            drop(shard);
            self.finalized.extend(finalized);
            self.cleaned.extend(cleaned);
        }
    }

    /// Takes the object of some finalizer that is due.
    pub(crate) fn finalized(&self) -> Option<Due> {
        self.finalized.pop()
    }

    /// Takes the argument of some cleanup that is due.
    pub(crate) fn cleaned(&self) -> Option<Due> {
        self.cleaned.pop()
    }

    pub(crate) fn finalizers_due(&self) -> usize {
        self.finalized.len()
    }

    pub(crate) fn cleanups_due(&self) -> usize {
        self.cleaned.len()
    }

    /// The objects and arguments that wait in the queues.
    pub(crate) fn due(&self) -> Vec<usize> {
        let mut due = self.finalized.addresses();
        due.extend(self.cleaned.addresses());
        due
    }
}
