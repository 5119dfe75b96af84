//! What marking and sweeping owe to what is [attached](crate::special) to objects, and what attaching it owes to them. Both
//! faces of a mutator, by root and by address, come here.
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
    error::Error,
    events::{Event, Listener},
    local::Local,
    root::Address,
    span::Span,
    special::{Buried, Cleanup, Due, Special, Weak},
    state::State,
    sync::Ordering,
    twin::{Twin, wrong},
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
        // Not under the locks: while objects are marked none is freed, and what is attached from now on is shaded by
        // who does.
        for at in finalizable {
            self.shade_fields(at);
        }
        self.shade_all(held.into_iter());
    }

    // ---- attaching, by address

    /// The object that starts at an address, and its span.
    fn target(&self, at: usize) -> Result<(Address, Span<'_>), Error> {
        let at = Address::new(at).ok_or(Error::Nil)?;
        let (slot, _) = self.space.find(at).ok_or(Error::Dangling)?;
        Ok((at, self.space.span(slot.span)))
    }

    /// Changes what is attached to an object, which is alive.
    fn attach<R>(&self, at: Address, span: Span<'_>, change: impl FnOnce(&mut Special) -> R) -> R {
        span.attached().add(span.generation());
        let mut shard = self.specials.shard(span.first());
        if shard.contains_key(&at.get()) {
            // It is counted already.
            span.attached().remove(1);
        }
        change(shard.entry(at.get()).or_default())
    }

    /// The weak pointer to an object.
    pub(crate) fn weak(&self, object: usize) -> Result<Weak, Error> {
        let (at, span) = self.target(object)?;
        Ok(self.attach(at, span, |special| self.specials.weak(special, at.get(), span.first())))
    }

    /// Gives an object a finalizer, or another one; gives the token of the one that it had.
    pub(crate) fn set_finalizer(&self, local: &Local, object: usize, token: u64) -> Result<Option<u64>, Error> {
        let (at, span) = self.target(object)?;
        let old = self.attach(at, span, |special| special.set_finalizer(Some(token)));
        if self.owes_shading(local) {
            self.shade_fields(object);
        }
        Ok(old)
    }

    /// Takes the finalizer off an object; gives its token.
    pub(crate) fn clear_finalizer(&self, object: usize) -> Result<Option<u64>, Error> {
        let (at, span) = self.target(object)?;
        let mut token = None;
        let clear = |special: &mut Special| token = special.set_finalizer(None);
        self.specials.detach(at.get(), span.first(), clear, || span.attached().remove(1));
        Ok(token)
    }

    /// Gives an object one cleanup more, with an argument or 0.
    pub(crate) fn add_cleanup(
        &self,
        local: &Local,
        object: usize,
        argument: usize,
        token: u64,
    ) -> Result<Cleanup, Error> {
        let (at, span) = self.target(object)?;
        if argument == object {
            return Err(Error::OwnArgument);
        }
        let place = (at, span.first());
        let add = |special: &mut Special| self.specials.add_cleanup(special, place, argument, token);
        let cleanup = self.attach(at, span, add);
        self.shade_held(local, argument);
        Ok(cleanup)
    }

    /// Takes a cleanup off its object; gives whether it was not too late.
    pub(crate) fn stop_cleanup(&self, cleanup: &Cleanup) -> bool {
        self.specials.stop(cleanup, |span| self.space.span(span).attached().remove(1))
    }

    // ---- handing out

    /// The object and the token of some finalizer that is due.
    pub(crate) fn finalized(&self, local: &Local) -> Option<Due> {
        self.specials.finalized().inspect(|due| self.shade_held(local, due.0))
    }

    /// The argument, or 0, and the token of some cleanup that is due.
    pub(crate) fn cleaned(&self, local: &Local) -> Option<Due> {
        self.specials.cleaned().inspect(|due| self.shade_held(local, due.0))
    }

    /// What is handed out of a queue, or held by a cleanup from now on.
    fn shade_held(&self, local: &Local, at: usize) {
        if self.owes_shading(local) {
            self.shade_all([at].into_iter());
        }
    }

    /// Whether what a mutator gets hold of may have been overlooked. After the end of marking it was not: what is white then
    /// was born since, and is not to be grey when the next cycle begins.
    fn owes_shading(&self, local: &Local) -> bool {
        local.barrier.get() && (self.stage.phase().is_marking() || wrong(Twin::Late))
    }

    // ---- weak to strong

    /// What a weak pointer refers to, or 0.
    pub(crate) fn upgrade(&self, local: &Local, weak: &Weak) -> Result<usize, Error> {
        if !self.specials.owns(weak) {
            return Err(Error::ForeignRoot);
        }
        let handle = &*weak.0;
        // Acquire: pairs with the release of who cleared it.
        let at = handle.target.load(Ordering::Acquire);
        if at == 0 {
            return Ok(0);
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
            found != Found::Dead || (!wrong(Twin::Newborn) && !span.generation().is(local.cycle()))
        } else {
            let lock = || self.specials.shard(handle.span);
            weak::otherwise(span.generation(), local.cycle(), &handle.target, lock, || {
                span.is_marked(span.slot_of(at).0)
            })
        };
        Ok(if alive { at } else { 0 })
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
