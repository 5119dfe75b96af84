//! Weak pointers: what one may find, while objects are marked, swept, and given new lives elsewhere. A kernel, above
//! [`generation`](crate::generation) and [`grey`](crate::gc::grey).
//!
//! Making a strong pointer of a weak one is the one operation that yields an object to which no root, global or field
//! leads. What it has to look out for depends on what the mutator that asks was last told:
//!
//! ```text
//!   to use the barrier   the object may be white, and the end of marking near:   [`while_marking`]
//!   to forget the cycle  the object may be white, and the sweep on its way:      [`otherwise`]
//! ```
//!
//! * **While marking**, what is handed out is shaded. The end of marking and the announcement that something white is about
//!   to be shaded are changes of one word, so one comes first. If it is the end, what is white is dead.
//! * **Otherwise** the generation of the object's span tells whether the sweep has been there. If it has, the weak pointer is
//!   cleared, or its object is alive until the end of the next marking, which waits for the mutator. If not, the marks of
//!   the span are looked at, under a lock that the sweep of the span takes too.
//!
//! Nobody waits for a phase to pass, and a span is not swept for the sake of the question.
//!
//! The sweep takes the lock only for spans of which an object has something [attached](Attached). It claims the span first
//! and asks then; who attaches something counts first and then waits until nobody has a claim. So either the sweep sees the
//! count, or it was over before there was anything to find.
//!
//! Orderings: asking and counting are both read-modify-writes of the count, so one sees what the other did before.
//!
//! Source: Go's `mheap.go` (`internal_weak_runtime_makeStrongFromWeak`), which sweeps the span, and blocks the conversion
//! while marking ends; its issues 67535 and 70455.

use crate::{
    gc::grey::Grey,
    generation::Generation,
    sync::{AtomicU32, AtomicUsize, Ordering, relax},
};

/// What a mutator found by a weak pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An object that is marked.
    Alive,
    /// An object that the caller has just marked, and has to publish if it has pointers.
    Shaded,
    /// An object that was white when marking ended.
    Dead,
}

/// Looks at an object for a mutator that uses the barrier.
pub(crate) fn while_marking(grey: &Grey, is_marked: impl FnOnce() -> bool, mark: impl FnOnce() -> bool) -> Found {
    if is_marked() {
        return Found::Alive;
    }
    if !grey.announce_in_time() {
        // It is still white. The round before the end has been here, after all were idle; so what markers had marked
        // was seen, and what others do since then they announce.
        return Found::Dead;
    }
    if mark() { Found::Shaded } else { Found::Alive }
}

/// Whether the object that `target` names, unless it is 0, is alive; for a mutator that does not use the barrier, and was
/// told of this cycle. `lock` keeps the sweep away from the object's span, and `generation` is that span's.
pub(crate) fn otherwise<G>(
    generation: &Generation,
    cycle: u64,
    target: &AtomicUsize,
    lock: impl FnOnce() -> G,
    is_marked: impl FnOnce() -> bool,
) -> bool {
    if !generation.is(cycle) {
        let _guard = lock();
        if !generation.is(cycle) {
            return target.load(Ordering::Acquire) != 0 && is_marked();
        }
    }
    // Acquire: the sweep cleared it, if it did, before it said that the span is swept.
    target.load(Ordering::Acquire) != 0
}

/// How many objects of a span have something attached, or are about to.
#[derive(Debug)]
pub(crate) struct Attached(pub(crate) AtomicU32);

impl Attached {
    /// Of a new span. Before it is published.
    pub(crate) fn reset(&self) {
        // Relaxed: the publication of the span publishes this.
        self.0.store(0, Ordering::Relaxed);
    }

    /// Counts an object that gets something attached; comes back when nobody sweeps the span who did not see that. Not with
    /// the lock that the sweep takes.
    pub(crate) fn add(&self, generation: &Generation) {
        // Acquire and release: pairs with `any`.
        self.0.fetch_add(1, Ordering::AcqRel);
        while generation.is_claimed() {
            relax();
        }
    }

    /// Uncounts objects. With the lock that the sweep takes.
    pub(crate) fn remove(&self, objects: u32) {
        // Release: as in `add`.
        self.0.fetch_sub(objects, Ordering::AcqRel);
    }

    /// Whether there are any. For who has claimed the span: if not, there will be none before it is swept.
    pub(crate) fn any(&self) -> bool {
        // Acquire and release: who counts later sees the claim.
        self.0.fetch_add(0, Ordering::AcqRel) != 0
    }

    /// How many there are, while nobody attaches or sweeps.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed) as usize
    }
}
