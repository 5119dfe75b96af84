//! The heap checks itself: every invariant that the other files state about their data, in one pass over all of it.

use crate::{
    class::{CLASSES, LARGE},
    gc::phase::Phase,
    memory::Memory,
    root::Address,
    space::Slot,
    span::{Kind, Span},
    state::State,
};
use std::{collections::BTreeSet, error, fmt};

/// A belief of the heap about itself that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The free pages and the spans disagree about this page, or the summaries of the free pages are wrong there.
    Page(usize),
    /// The counts of the span at this page are not those of its bits.
    Count(usize),
    /// The span at this page has room and is held nowhere, or it is held although it is not swept, or twice, or
    /// it is parked and not empty, or for another number of pages.
    Room(usize),
    /// The span at this page is empty and still there.
    Empty(usize),
    /// The span at this page is not swept although the sweep has passed it, or has marks although nothing is marked.
    Unswept(usize),
    /// This address lies in the depot of caches, and is no allocated slot of the class that it lies there for.
    Cached(usize),
    /// The totals are not the sums over all spans.
    Totals,
    /// This object waits to be scanned, twice, unmarked, without pointers, or while nothing is being marked.
    Grey(Address),
    /// A root, a global, or a field of an object that is alive leads here, and there is no object that is alive.
    Dangling(Address),
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corruption::Page(page) => {
                write!(f, "the free pages, their summaries and the spans disagree about page {page}")
            }
            Corruption::Count(span) => write!(f, "the counts of span {span} are not those of its bits"),
            Corruption::Room(span) => write!(f, "span {span} is wrongly held for allocation, or wrongly not"),
            Corruption::Empty(span) => write!(f, "span {span} is empty"),
            Corruption::Unswept(span) => write!(f, "span {span} is not swept, or marked out of season"),
            Corruption::Cached(at) => write!(f, "{at:#x} is cached and is no slot of its class"),
            Corruption::Totals => f.write_str("the totals are not the sums"),
            Corruption::Grey(at) => write!(f, "the object at {at:?} should not wait to be scanned"),
            Corruption::Dangling(at) => write!(f, "a pointer leads to {at:?}, where there is no object"),
        }
    }
}

impl error::Error for Corruption {}

fn ensure(holds: bool, corruption: Corruption) -> Result<(), Corruption> {
    if holds { Ok(()) } else { Err(corruption) }
}

impl Memory {
    /// Checks pages and spans, while nobody uses them. Pages that are in no span may be in a mutator's cache.
    pub(crate) fn verify(&self) -> Result<(), Corruption> {
        let mapped = {
            let pages = self.pages();
            pages.verify().map_err(Corruption::Page)?;
            pages.mapped()
        };
        let mut last: Option<(Span<'_>, Kind)> = None;
        let mut end = 0;
        for page in 0..mapped {
            let Some(kind) = self.spans().kind_at(page) else {
                ensure(end <= page, Corruption::Page(page))?;
                continue;
            };
            let span = self.spans().containing(page).filter(|_| kind.class < CLASSES && !self.pages().is_free(page));
            let span = span.ok_or(Corruption::Page(page))?;
            if span.first() == page {
                ensure(end <= page && span.is_as_made(kind, mapped), Corruption::Page(page))?;
                (last, end) = (Some((span, kind)), page + span.pages());
            } else {
                let inside = last.is_some_and(|(of, same)| span.first() == of.first() && kind == same && page < end);
                ensure(inside, Corruption::Page(page))?;
            }
        }
        for (number, central) in self.centrals().iter().enumerate() {
            // Only spans of its kind are in a set, so none is in two; one that is there twice makes it endless.
            for (count, first) in central.iter(self.spans()).enumerate() {
                let span = self.spans().containing(first).filter(|span| span.first() == first);
                let held = span.is_some_and(|span| span.kind().number() == number && span.room().is_held());
                ensure(held && count < mapped, Corruption::Room(first))?;
            }
        }
        for (count, (first, pages)) in self.parked().iter(self.spans()).enumerate() {
            let span = self.spans().containing(first).filter(|span| span.first() == first);
            let kept = span.is_some_and(|span| {
                let empty = span.room().is_held() && span.room().free() == 1 && span.is_dirty();
                span.kind() == Kind { class: LARGE, pointer_free: true } && span.pages() == pages && empty
            });
            ensure(kept && count < mapped, Corruption::Room(first))?;
        }
        self.spans().from(0, mapped).try_for_each(|span| ensure(span.adds_up(), Corruption::Count(span.first())))
    }
}

#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
impl crate::cache::Depot {
    /// Checks that what lies here are allocated slots of its class, while nobody uses the depot.
    pub(crate) fn verify(&self, memory: &Memory) -> Result<(), Corruption> {
        for (number, address) in self.addresses() {
            let span = memory.spans().containing(memory.spans().page_of(address));
            let slot = span.filter(|span| span.kind() == crate::cache::kind(number));
            ensure(slot.and_then(|span| span.slot_at(address)).is_some(), Corruption::Cached(address))?;
        }
        Ok(())
    }
}

impl<L> State<L> {
    pub(crate) fn verify(&self) -> Result<(), Corruption> {
        self.space.memory().verify()?;
        self.verify_pages()?;
        self.verify_spans()?;
        self.verify_grey()?;
        self.verify_pointers()
    }

    /// That every page that is in no span is free: this heap's mutators cache none.
    fn verify_pages(&self) -> Result<(), Corruption> {
        let pages = self.space.pages();
        let lost = (0..pages.mapped()).find(|page| self.space.containing(*page).is_none() && !pages.is_free(*page));
        lost.map_or(Ok(()), |page| Err(Corruption::Page(page)))
    }

    fn verify_spans(&self) -> Result<(), Corruption> {
        let (mut objects, mut bytes) = (0, 0);
        let mut held = BTreeSet::new();
        for first in self.space.held() {
            let span = self.space.containing(first).filter(|span| span.first() == first);
            ensure(span.is_some() && held.insert(first), Corruption::Room(first))?;
        }
        for span in self.space.spans_from(0) {
            let first = span.first();
            ensure(span.live() > 0, Corruption::Empty(first))?;
            let swept = span.is_swept(self.cycle);
            let room = span.room().free() > 0 && swept;
            // A span that has just been filled is held until the next allocation.
            ensure(held.contains(&first) || !room, Corruption::Room(first))?;
            ensure(!held.contains(&first) || swept && span.room().is_held(), Corruption::Room(first))?;
            let must = self.phase != Phase::Sweep || first < self.sweep_next;
            let season = self.phase.is_marking() || !swept || span.count_marked() == 0;
            ensure(season && (swept || !must), Corruption::Unswept(first))?;
            objects += span.live();
            bytes += span.live() * span.size();
        }
        ensure((objects, bytes) == (self.space.objects(), self.space.bytes()), Corruption::Totals)
    }

    fn verify_grey(&self) -> Result<(), Corruption> {
        let mut seen = BTreeSet::new();
        for at in &self.grey {
            let waits = self.space.find(*at).is_some_and(|slot| {
                let span = self.space.span(slot.span);
                span.is_marked(slot.number) && !span.kind().pointer_free
            });
            ensure(waits && self.phase == Phase::Mark && seen.insert(*at), Corruption::Grey(*at))?;
        }
        Ok(())
    }

    fn verify_pointers(&self) -> Result<(), Corruption> {
        let roots = self.stacks.iter().flatten().flat_map(|stack| &stack.slots);
        for root in roots.chain(&self.globals.slots) {
            self.verify_pointer(*root)?;
        }
        for span in self.space.spans_from(0) {
            for number in span.objects() {
                let slot = Slot { span: span.first(), number };
                if self.is_alive(slot) {
                    for index in 0..span.pointers(number) {
                        self.verify_pointer(self.space.field(slot, index))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn verify_pointer(&self, value: Option<Address>) -> Result<(), Corruption> {
        match value {
            Some(at) if !self.space.find(at).is_some_and(|slot| self.is_alive(slot)) => Err(Corruption::Dangling(at)),
            _ => Ok(()),
        }
    }

    /// Whether an allocated slot is not about to be swept away.
    fn is_alive(&self, slot: Slot) -> bool {
        let span = self.space.span(slot.span);
        span.is_swept(self.cycle) || span.is_marked(slot.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Heap, Mutator, Place, Root};
    use crate::{os::Faults, page::PageCache};

    fn heap() -> (Heap, Mutator, Root) {
        let heap = Heap::new(Config { reservation: 1 << 20, ..Config::default() }).unwrap();
        let mut mutator = heap.join();
        let root = mutator.root();
        (heap, mutator, root)
    }

    #[test]
    fn a_mark_out_of_season_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        heap.state().space.span(slot.span).mark(slot.number);
        assert_eq!(heap.verify(), Err(Corruption::Unswept(slot.span)));
    }

    #[test]
    fn a_mark_on_a_free_slot_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap();
        heap.start();
        heap.state().space.span(slot.span).mark(slot.number + 1);
        assert_eq!(heap.verify(), Err(Corruption::Count(slot.span)));
    }

    #[test]
    fn an_object_that_waits_twice_or_unmarked_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        heap.start();
        heap.state().grey.push(object.address);
        assert_eq!(heap.verify(), Err(Corruption::Grey(object.address)));
        heap.state().grey.clear();
        heap.handshake(mutator.id());
        assert_eq!(heap.verify(), Ok(()));
        heap.state().grey.push(object.address);
        assert_eq!(heap.verify(), Err(Corruption::Grey(object.address)));
    }

    #[test]
    fn a_pointer_to_no_object_is_noticed_wherever_it_is() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let stray = Address::new(object.address.get() + 8);
        let dangling = Err(Corruption::Dangling(stray.unwrap()));
        let slot = heap.state().space.find(object.address).unwrap();
        heap.state().space.set_field(slot, 0, stray);
        assert_eq!(heap.verify(), dangling);
        mutator.store(Place::Field(&root, 0), None).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        heap.state().globals.slots[0] = stray;
        assert_eq!(heap.verify(), dangling);
    }

    /// Of everything that says where spans are, what they are cut into and which slots are allocated.
    #[test]
    fn every_flipped_bit_of_the_spans_is_noticed() {
        let (memory, ()) = Memory::reserve(64, usize::MAX, Faults::NONE, |_| ()).unwrap();
        let mut cache = PageCache::empty();
        for (class, count) in [(1, 70), (8, 85), (40, 3), (60, 1), (67, 1)] {
            memory.refill(Kind { class, pointer_free: true }, count, &mut cache, |_| ()).unwrap();
        }
        memory.flush(&mut cache);
        memory.large(5, 2).unwrap();
        let (parked, _) = memory.large(9, 1).unwrap();
        let parked = memory.spans().containing(memory.spans().page_of(parked.addr().get())).unwrap();
        memory.free_large(parked);
        memory.new_span(Kind { class: LARGE, pointer_free: false }, 3, 1, 0, true).unwrap().take();
        assert_eq!(memory.verify(), Ok(()));
        let mut flips = 0;
        while let Some(what) = memory.spans().flip(flips) {
            assert!(memory.verify().is_err(), "{what} {flips} is not noticed");
            memory.spans().flip(flips);
            flips += 1;
        }
        assert_eq!(memory.verify(), Ok(()));
        assert!(flips > 2000, "only {flips} flips");
    }
}
