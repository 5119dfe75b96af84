//! Marking: shading what is found, and scanning what was shaded.
//!
//! A [`Marker`] marks: the thread that steps the collector, a worker, or a mutator that lends a hand. It takes from its
//! own queue, and a block from the others when that is empty; what is too much for one queue it publishes. What it
//! needs it has fetched ahead: a pointer that is found waits while its mark is, and an object that is about to be
//! scanned waits in a short line while its memory is.
//!
//! ```text
//!   scan ──▶ found, 16 pointers ──▶ shade ──▶ queue, last in first out ──▶ line, 8 objects ──▶ scan
//!            mark is fetched                                               object is fetched
//! ```
//!
//! Objects wait one by one, not by the spans that they are in, as in Go since 1.25 ("Green Tea"). A queue of spans in
//! place of ours, each with a second bitmap of what was scanned, took 1.3 times as long to mark a tree of 4 million
//! objects of 16 bytes (19 ns an object, ours 14), and 1.9 times as long for 16 million of 64 bytes that are linked at
//! random (79 and 41 ns): with fetching ahead, misses overlap already.
//!
//! Source: Go's `mgcmark.go`.

use super::pace::Who;
use crate::{
    events::{Event, Listener},
    geometry::{ADDRESS_BITS, WORD, sized},
    local::Local,
    root::Address,
    space,
    state::State,
};
use std::{mem, ops::Range};

/// The addresses that a marker keeps to itself.
const OWN: usize = sized(256, 4);
/// The addresses that it publishes at once.
const GIVEN: usize = sized(128, 2);
/// The objects that wait for their memory.
const LINE: usize = sized(8, 2);
/// The pointers that wait for their marks.
const AHEAD: usize = sized(16, 2);
/// Objects are scanned in pieces of so many fields, so that several markers can share one: 128 KiB (Go: `maxObletBytes`).
pub(crate) const PIECE: usize = sized(128 << 10, 64) / WORD;

/// What waits to be scanned: the address of an object, or of a piece of one, and above it the number of pointer fields of
/// the object, which is known when the object is shaded. 0 says nothing: then it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) usize);

impl Entry {
    /// Addresses are less than this power of two.
    const BITS: u32 = ADDRESS_BITS;

    #[inline(always)]
    fn new(at: usize, pointers: usize) -> Entry {
        Entry(if pointers >> (usize::BITS - Entry::BITS) == 0 { at | pointers << Entry::BITS } else { at })
    }

    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        self.0 & ((1 << Entry::BITS) - 1)
    }

    #[inline(always)]
    fn pointers(self) -> usize {
        self.0 >> Entry::BITS
    }
}

/// Who marks.
#[derive(Debug)]
pub(crate) struct Marker {
    queue: Vec<usize>,
}

impl Marker {
    pub(crate) fn new() -> Marker {
        Marker { queue: Vec::new() }
    }

    /// The [entries](Entry) that wait here.
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
    /// In whose name it works.
    pub(crate) who: Who,
}

impl<L: Listener> State<L> {
    /// Turns a white object grey, and `push`es it; a pointer-free one has nothing to look at and turns black at once. Nil,
    /// and a pointer to no object ([`verify`](crate::Heap::verify) reports it), are left alone. `white` is called before
    /// what is white is marked.
    #[inline(always)]
    fn shade(&self, at: usize, white: impl FnOnce(), push: impl FnOnce(usize)) {
        let Some(found) = self.space.locate(at) else { return };
        // A pointer leads to the start of an object, or it is none. Only in a tiny block that need not be the slot's.
        if found.rest != 0 && !self.space.is_inside(found) || !self.space.spans().mark(found, white) {
            return;
        }
        let at = at - found.rest;
        self.tell(at, Event::Shade);
        if found.kind.pointer_free {
            self.tell(at, Event::Scan);
        } else {
            push(Entry::new(at, self.space.spans().pointers(found)).0);
        }
    }

    pub(crate) fn tell(&self, at: usize, event: fn(Address) -> Event) {
        if L::OBJECTS
            && let Some(at) = Address::new(at)
        {
            self.listener.on(event(at));
        }
    }

    /// Shades for a mutator: what turns grey is published at once, and announced before it is marked. Gives how many
    /// pointers were not nil.
    pub(crate) fn shade_all(&self, pointers: impl Iterator<Item = usize>) -> usize {
        let (mut found, mut count, mut looked) = ([0; 64], 0, 0);
        let mut announced = false;
        for at in pointers.filter(|at| *at != 0) {
            let announce = || {
                if !announced {
                    self.grey.announce();
                    announced = true;
                }
            };
            looked += 1;
            self.shade(at, announce, |entry| {
                found[count] = entry;
                count += 1;
            });
            if count == found.len() {
                self.grey.publish(&self.space.blocks, &found);
                count = 0;
            }
        }
        self.grey.publish(&self.space.blocks, &found[..count]);
        looked
    }

    /// Scans a mutator's roots, unless this cycle has done so; gives how many held something. For the mutator, or who has
    /// borrowed it.
    pub(crate) fn scan_roots(&self, local: &Local) -> usize {
        if local.scanned.get() {
            return 0;
        }
        let looked = self.shade_all(local.stack.values());
        self.pace.count_roots(local.stack.len());
        local.scanned.set(true);
        self.listener.on(Event::ScanStack(local.id));
        looked
    }

    /// Scans the globals, and what is attached to objects.
    pub(crate) fn scan_globals(&self) {
        self.shade_all(self.globals.iter().map(space::get));
        self.shade_specials();
        self.listener.on(Event::ScanGlobals);
    }

    /// Takes what a marker shaded last, or some of the others'.
    #[inline]
    fn next(&self, marker: &mut Marker, ahead: &mut Ahead) -> Option<Entry> {
        if marker.queue.is_empty() {
            self.settle(marker, ahead);
        }
        if marker.queue.is_empty() {
            self.grey.take(&self.space.blocks, &mut marker.queue);
        }
        marker.queue.pop().map(Entry)
    }

    /// Scans one object, whole, if any waits; gives how many fields it had. Only for who is busy, or alone.
    pub(crate) fn mark_one(&self, marker: &mut Marker) -> Option<usize> {
        let mut ahead = Ahead::new();
        let entry = self.next(marker, &mut ahead)?;
        let fields = self.scan(marker, &mut ahead, entry, usize::MAX);
        self.settle(marker, &mut ahead);
        Some(fields)
    }

    /// Scans objects until none waits, or about `budget` fields are scanned. Gives how many were. Only for who is busy, and
    /// has to publish what is left.
    pub(crate) fn drain(&self, marker: &mut Marker, budget: usize) -> usize {
        let mut ahead = Ahead::new();
        // The objects whose memory is being fetched, and how many they are.
        let (mut line, mut head, mut waiting) = ([None; LINE], 0, 0);
        let mut done = 0;
        loop {
            let next = if done < budget { self.next(marker, &mut ahead) } else { None };
            if next.is_none() && waiting == 0 {
                break;
            }
            if let Some(entry) = next {
                self.space.fetch(entry.address());
                waiting += 1;
            }
            let due = mem::replace(&mut line[head], next);
            head = (head + 1) % LINE;
            if let Some(due) = due {
                waiting -= 1;
                done += self.scan(marker, &mut ahead, due, PIECE);
            }
            if marker.queue.len() > OWN || (marker.queue.len() > GIVEN / 2 && self.grey.is_empty()) {
                self.give(marker);
            }
        }
        self.settle(marker, &mut ahead);
        done
    }

    /// Publishes the older part of a queue, if it is worth it.
    fn give(&self, marker: &mut Marker) {
        if self.config.workers > 1 || marker.queue.len() > OWN {
            // All that is too much at once: the rest has to move up.
            let given = GIVEN.min(marker.queue.len() / 2).max(marker.queue.len().saturating_sub(OWN));
            self.grey.publish(&self.space.blocks, &marker.queue[..given]);
            marker.queue.drain(..given);
        }
    }

    /// Publishes all of a queue.
    pub(crate) fn give_all(&self, marker: &mut Marker) {
        self.grey.publish(&self.space.blocks, &marker.queue);
        marker.queue.clear();
    }

    /// Scans an object, or a piece of a large one; gives how many fields that were.
    #[inline]
    fn scan(&self, marker: &mut Marker, ahead: &mut Ahead, entry: Entry, piece: usize) -> usize {
        let at = entry.address();
        if (1..=piece).contains(&entry.pointers()) {
            self.scan_fields(marker, ahead, at, 0..entry.pointers());
            self.tell(at, Event::Scan);
            return entry.pointers();
        }
        self.scan_large(marker, ahead, at, piece)
    }

    /// The same of which not all is said, so that it can be too large.
    #[inline(never)]
    fn scan_large(&self, marker: &mut Marker, ahead: &mut Ahead, at: usize, piece: usize) -> usize {
        // Nothing is freed while objects are being marked, so what was shaded is still there.
        let Some(found) = self.space.locate(at) else { return 0 };
        let (object, pointers) = (at - found.rest, self.space.spans().pointers(found));
        let from = found.rest / WORD;
        if from == 0 {
            // The other pieces, for whoever comes first.
            marker.queue.extend((1..pointers.div_ceil(piece)).map(|number| object + number * piece * WORD));
        }
        let run = from..pointers.min(from.saturating_add(piece));
        let count = run.len();
        self.scan_fields(marker, ahead, object, run);
        if from == 0 {
            self.tell(object, Event::Scan);
        }
        count
    }

    #[inline(always)]
    fn scan_fields(&self, marker: &mut Marker, ahead: &mut Ahead, object: usize, run: Range<usize>) {
        for field in self.space.fields(object, run) {
            let value = space::get(field);
            if value != 0 {
                self.space.fetch_mark(value);
                let earlier = ahead.replace(value);
                self.shade_for(marker, earlier);
            }
        }
    }

    /// Shades all that was found, and not yet looked at.
    fn settle(&self, marker: &mut Marker, ahead: &mut Ahead) {
        for _ in 0..AHEAD {
            let earlier = ahead.replace(0);
            self.shade_for(marker, earlier);
        }
    }

    #[inline(always)]
    fn shade_for(&self, marker: &mut Marker, value: usize) {
        if value != 0 {
            self.shade(value, || (), |entry| marker.queue.push(entry));
        }
    }
}

/// Pointers that were found, in this order, and wait for what says whether they are marked.
struct Ahead {
    found: [usize; AHEAD],
    oldest: usize,
}

impl Ahead {
    fn new() -> Ahead {
        Ahead { found: [0; AHEAD], oldest: 0 }
    }

    /// Adds a pointer, and gives the oldest in its place; 0 is none.
    #[inline(always)]
    fn replace(&mut self, value: usize) -> usize {
        let earlier = mem::replace(&mut self.found[self.oldest % AHEAD], value);
        self.oldest = (self.oldest + 1) % AHEAD;
        earlier
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn what_waits_says_how_many_pointers_it_has_if_there_is_room_for_that() {
        let at = (1 << ADDRESS_BITS) - WORD;
        for (pointers, said) in [(1, 1), (2, 2), (PIECE, PIECE), (0xffff, 0xffff), (0x1_0000, 0), (1 << 40, 0)] {
            let entry = Entry::new(at, pointers);
            assert_eq!((entry.address(), entry.pointers()), (at, said));
        }
    }

    #[test]
    fn what_is_found_is_looked_at_in_the_order_in_which_it_was_found() {
        let mut ahead = Ahead::new();
        let given: Vec<_> = (1..=3 * AHEAD).map(|value| ahead.replace(value)).collect();
        assert!(given[..AHEAD].iter().all(|value| *value == 0) && given[AHEAD..].iter().copied().eq(1..=2 * AHEAD));
    }
}
