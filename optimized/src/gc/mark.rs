//! Marking: shading what is found, and scanning what was shaded.
//!
//! A [`Marker`] marks: the thread that steps the collector, a worker, or a mutator that lends a hand. It takes from its own
//! queue, and a block from the others when that is empty; what is too much for one queue it publishes. Objects that are
//! about to be scanned wait a moment longer in a short line, while their memory is fetched.
//!
//! Source: Go's `mgcmark.go`.

use crate::{
    events::{Event, Listener},
    geometry::{WORD, sized},
    local::Local,
    root::Address,
    space,
    state::State,
    sync::AtomicUsize,
};

/// The addresses that a marker keeps to itself.
const OWN: usize = sized(256, 4);
/// The addresses that it publishes at once.
const GIVEN: usize = sized(128, 2);
/// The objects that wait for their memory.
const LINE: usize = sized(8, 2);
/// Objects are scanned in pieces of so many fields, so that several markers can share one: 128 KiB (Go: `maxObletBytes`).
const PIECE: usize = sized(128 << 10, 64) / WORD;

/// Who marks.
#[derive(Debug)]
pub(crate) struct Marker {
    queue: Vec<usize>,
}

impl Marker {
    pub(crate) fn new() -> Marker {
        Marker { queue: Vec::new() }
    }

    /// The addresses that wait here.
    pub(crate) fn waiting(&self) -> &[usize] {
        &self.queue
    }

    #[cfg(test)]
    pub(crate) fn waiting_mut(&mut self) -> &mut Vec<usize> {
        &mut self.queue
    }
}

/// What belongs to whoever drives the collector.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) marker: Marker,
    /// Whether this cycle has looked at the globals: black, not grey.
    pub(crate) globals_scanned: bool,
    /// How many rounds there were.
    pub(crate) round: u64,
}

impl<L: Listener> State<L> {
    /// Turns a white object grey, and `push`es it; a pointer-free one has nothing to look at and turns black at once. Nil,
    /// and a pointer to no object ([`verify`](crate::Heap::verify) reports it), are left alone. `white` is called before
    /// what is white is marked.
    #[inline]
    fn shade(&self, at: usize, white: impl FnOnce(), push: impl FnOnce(usize)) {
        let Some(found) = self.space.locate(at) else { return };
        // A pointer leads to the start of an object, or it is none.
        if found.rest != 0 || !self.space.spans().mark(found.first, found.slot, white) {
            return;
        }
        let pointer_free = found.kind.pointer_free;
        self.tell(at, Event::Shade);
        if pointer_free {
            self.tell(at, Event::Scan);
        } else {
            push(at);
        }
    }

    fn tell(&self, at: usize, event: fn(Address) -> Event) {
        if L::LISTENS
            && let Some(at) = Address::new(at)
        {
            self.listener.on(event(at));
        }
    }

    /// Shades for a mutator: what turns grey is published at once, and announced before it is marked.
    pub(crate) fn shade_all(&self, pointers: impl Iterator<Item = usize>) {
        let (mut found, mut count) = ([0; 64], 0);
        let mut announced = false;
        for at in pointers.filter(|at| *at != 0) {
            let announce = || {
                if !announced {
                    self.grey.announce();
                    announced = true;
                }
            };
            self.shade(at, announce, |at| {
                found[count] = at;
                count += 1;
            });
            if count == found.len() {
                self.grey.publish(&self.space.blocks, &found);
                count = 0;
            }
        }
        self.grey.publish(&self.space.blocks, &found[..count]);
    }

    /// Scans a mutator's roots, unless this cycle has done so. For the mutator, or who has borrowed it.
    pub(crate) fn scan_roots(&self, local: &Local) {
        if !local.scanned.get() {
            self.shade_all(local.stack.values());
            local.scanned.set(true);
            self.listener.on(Event::ScanStack(local.id));
        }
    }

    /// Scans the globals.
    pub(crate) fn scan_globals(&self) {
        self.shade_all(self.globals.iter().map(space::get));
        self.listener.on(Event::ScanGlobals);
    }

    /// Takes the address that a marker found last, or some of the others'.
    fn next(&self, marker: &mut Marker) -> Option<usize> {
        if marker.queue.is_empty() {
            self.grey.take(&self.space.blocks, &mut marker.queue);
        }
        marker.queue.pop()
    }

    /// Scans one object, whole, if any waits. Only for who is busy, or alone.
    pub(crate) fn mark_one(&self, marker: &mut Marker) -> bool {
        let Some(at) = self.next(marker) else { return false };
        self.scan(marker, at, usize::MAX);
        true
    }

    /// Scans objects until none waits, or about `budget` words are scanned. Gives how many were. Only for who is busy, and
    /// has to publish what is left.
    pub(crate) fn drain(&self, marker: &mut Marker, budget: usize) -> usize {
        let (mut line, mut head) = ([0; LINE], 0);
        let (mut empty, mut done) = (0, 0);
        // An empty place in the line for each object that is missing: all in it are through after so many steps.
        while empty < LINE {
            let next = if done < budget { self.next(marker) } else { None };
            match next {
                Some(at) => {
                    self.space.fetch(at);
                    empty = 0;
                    let due = std::mem::replace(&mut line[head], at);
                    done += self.scan_due(marker, due);
                }
                None => {
                    let due = std::mem::take(&mut line[head]);
                    empty = if due == 0 { empty + 1 } else { 0 };
                    done += self.scan_due(marker, due);
                }
            }
            head = (head + 1) % LINE;
            if marker.queue.len() > OWN || (marker.queue.len() > GIVEN / 2 && self.grey.is_empty()) {
                self.give(marker);
            }
        }
        done
    }

    fn scan_due(&self, marker: &mut Marker, due: usize) -> usize {
        if due == 0 { 0 } else { self.scan(marker, due, PIECE) }
    }

    /// Publishes the older part of a queue, if it is worth it.
    fn give(&self, marker: &mut Marker) {
        if self.config.workers > 1 || marker.queue.len() > OWN {
            let given = GIVEN.min(marker.queue.len() / 2);
            self.grey.publish(&self.space.blocks, &marker.queue[..given]);
            marker.queue.drain(..given);
        }
    }

    /// Publishes all of a queue.
    pub(crate) fn give_all(&self, marker: &mut Marker) {
        self.grey.publish(&self.space.blocks, &marker.queue);
        marker.queue.clear();
    }

    /// Scans an object, or the piece of a large one that starts at this address; gives how many words that were.
    fn scan(&self, marker: &mut Marker, at: usize, piece: usize) -> usize {
        // Nothing is freed while objects are being marked, so what was shaded is still there.
        let Some(found) = self.space.locate(at) else { return 0 };
        let (object, pointers) = (at - found.rest, self.space.spans().pointers(found));
        let from = (at - object) / WORD;
        if from == 0 {
            // The other pieces, for whoever comes first.
            marker.queue.extend((1..pointers.div_ceil(piece)).map(|number| object + number * piece * WORD));
        }
        let run = from..pointers.min(from.saturating_add(piece));
        let words = run.len();
        for field in self.space.fields(object, run) {
            self.shade_field(marker, field);
        }
        if from == 0 {
            self.tell(object, Event::Scan);
        }
        1 + words
    }

    #[inline]
    fn shade_field(&self, marker: &mut Marker, field: &AtomicUsize) {
        let value = space::get(field);
        if value != 0 {
            self.shade(value, || (), |at| marker.queue.push(at));
        }
    }
}
