//! Grey: found, but not yet looked at. A mark bit says that an object is found, the queue that it waits.
//!
//! Invariants: every object in the queue is marked, has pointers, and is there once; the queue is empty unless objects
//! are being marked. So white is not marked, grey is marked and queued, black is marked and not queued.

use crate::{
    events::{Event, Listener},
    root::Address,
    state::State,
};

impl<L: Listener> State<L> {
    /// Turns a white object grey; a pointer-free one has nothing to look at and turns black at once. Nil, and a pointer
    /// to no object ([`verify`](crate::Heap::verify) reports it), are left alone.
    pub(crate) fn shade(&mut self, value: Option<Address>) {
        let Some(at) = value else { return };
        let Some(slot) = self.space.find(at) else { return };
        let span = self.space.span(slot.span);
        if !span.mark(slot.number) {
            return;
        }
        let pointer_free = span.kind().pointer_free;
        self.listener.on(Event::Shade(at));
        if pointer_free {
            self.listener.on(Event::Scan(at));
        } else {
            self.grey.push(at);
        }
    }
}
