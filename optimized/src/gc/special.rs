//! What marking and sweeping owe to what is [attached](crate::special) to objects, and what attaching it owes to them.
//!
//! * **Marking.** The fields of an object with a finalizer are roots, though the object is not; so are the arguments of
//!   cleanups, and what waits in the queues. They are scanned with the globals. What is attached after that, by a mutator
//!   that uses the barrier, is shaded at once; what is stored in the fields of such an object goes through the barrier, as
//!   in any.
//! * **Sweeping.** An object that is not marked is dead: its weak pointer is cleared. If it has a finalizer, that is taken
//!   off and due, and the object is kept once more; if not, it is freed, and its cleanups are due.
//! * **Handing out** of a queue is a load from a place that is overwritten with nil, so it owes what such a store owes.
//!
//! From the rule for fields it follows that of two objects with finalizers, of which one leads to the other, that one's
//! runs first, and the other's a cycle later at the earliest; and that an object which leads to itself is never found dead.
//!
//! Objects that share a slot die together: none before all of them are dead, and if one is kept, all are.

use crate::{
    events::{Event, Listener},
    local::Local,
    span::Span,
    special::{Buried, Special, Weak},
    state::State,
    sync::Ordering,
    weak::{self, Found},
};
use std::collections::BTreeSet;

impl<L: Listener> State<L> {
    // ---- marking

    /// Shades what the fields of an object hold.
    fn shade_fields(&self, at: usize) {
        let Some(found) = self.space.locate(at) else { return };
        let pointers = self.space.spans().pointers(found);
        // Acquire: pairs with the release of the store, so the object is seen initialised.
        self.shade_all(self.space.fields(at, 0..pointers).iter().map(|field| field.load(Ordering::Acquire)));
    }

    /// Shades all that is held by what is attached to objects, or is due.
    pub(crate) fn shade_specials(&self) {
        let (finalizable, held) = self.specials.roots();
        // Not under the locks: while objects are marked none is freed, and what is attached from now on is shaded by who does.
        for at in finalizable {
            self.shade_fields(at);
        }
        self.shade_all(held.into_iter());
    }

    // ---- attaching

    /// Changes what is attached to an object, which is alive.
    pub(crate) fn attach<R>(&self, at: usize, span: Span<'_>, change: impl FnOnce(&mut Special) -> R) -> R {
        span.attached().add(span.generation());
        let mut shard = self.specials.shard(span.first());
        if shard.contains_key(&at) {
            // It is counted already.
            span.attached().remove(1);
        }
        change(shard.entry(at).or_default())
    }

    /// Gives an object a finalizer, or another one.
    pub(crate) fn set_finalizer(&self, local: &Local, at: usize, span: Span<'_>, token: u64) -> Option<u64> {
        let old = self.attach(at, span, |special| special.set_finalizer(Some(token)));
        if self.owes_shading(local) {
            self.shade_fields(at);
        }
        old
    }

    /// What is handed out of a queue, or held by a cleanup from now on.
    pub(crate) fn shade_held(&self, local: &Local, at: usize) {
        if self.owes_shading(local) {
            self.shade_all([at].into_iter());
        }
    }

    /// Whether what a mutator gets hold of may have been overlooked. After the end of marking it was not: what is white then
    /// was born since, and is not to be grey when the next cycle begins.
    fn owes_shading(&self, local: &Local) -> bool {
        local.barrier.get() && self.stage.phase().is_marking()
    }

    // ---- weak to strong

    /// What a weak pointer refers to, or 0.
    pub(crate) fn upgrade(&self, local: &Local, weak: &Weak) -> usize {
        let handle = &*weak.0;
        // Acquire: pairs with the release of who cleared it.
        let at = handle.target.load(Ordering::Acquire);
        if at == 0 {
            return 0;
        }
        let span = self.space.span(handle.span);
        let alive = if local.barrier.get() {
            // Nothing is swept now, so the span is what it was.
            let (slot, _) = span.slot_of(at);
            let found = weak::while_marking(&self.grey, || span.is_marked(slot), || span.mark(slot));
            if found == Found::Shaded {
                self.found_white(at, span.kind().pointer_free);
            }
            // What was born since marking ended is white as well: of who heard of the end before this mutator does, and on
            // spans that are born since, as nothing else is used before all have heard.
            found != Found::Dead || !span.generation().is(local.cycle())
        } else {
            let lock = || self.specials.shard(handle.span);
            weak::otherwise(span.generation(), local.cycle(), &handle.target, lock, || {
                span.is_marked(span.slot_of(at).0)
            })
        };
        if alive { at } else { 0 }
    }

    /// A white object was marked: it is published, or black at once.
    fn found_white(&self, at: usize, pointer_free: bool) {
        self.tell(at, Event::Shade);
        if pointer_free {
            self.tell(at, Event::Scan);
        } else {
            self.grey.publish(&self.space.blocks, &[at]);
        }
    }

    // ---- sweeping

    /// Sees to what is attached to objects of a span that the caller has claimed and is about to sweep. Until what this
    /// gives is [queued](crate::special::Specials::queue), nobody is told whether an object of the span is alive.
    pub(crate) fn bury(&self, span: Span<'_>) -> Option<Buried<'_>> {
        if !span.attached().any() {
            return None;
        }
        let mut buried = self.specials.open(span.first());
        let start = span.address(0).addr().get();
        let slot = |at: usize| span.slot_of(at).0;
        let records = buried.shard.range(start..start + span.slots() * span.size());
        let dead = records.filter(|(at, _)| !span.is_marked(slot(**at)));
        let dead: Vec<_> = dead.map(|(at, special)| (*at, special.has_finalizer())).collect();
        let kept: BTreeSet<usize> = dead.iter().filter(|(_, finalizer)| *finalizer).map(|(at, _)| slot(*at)).collect();
        let mut gone = 0;
        for (at, _) in dead {
            let (due, emptied) = buried.bury(at, kept.contains(&slot(at)));
            gone += u32::from(emptied);
            if due {
                self.tell(at, Event::Finalize);
            }
        }
        for slot in kept {
            span.mark(slot);
        }
        span.attached().remove(gone);
        Some(buried)
    }
}
