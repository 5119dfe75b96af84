//! The heap checks itself: every invariant that the other files state about their data, in one pass over all of it.

use crate::sync::Ordering;
use crate::{
    class::CLASSES,
    events::Listener,
    gc::{mark::Driver, phase::Phase},
    memory::Memory,
    root::Address,
    space::Slot,
    span::{Kind, Span},
    state::State,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error, fmt,
};

/// A belief of the heap about itself that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The free pages and the spans disagree about this page, or the summaries of the free pages are wrong there.
    Page(usize),
    /// The counts of the span at this page are not those of its bits.
    Count(usize),
    /// The span at this page has room and is held nowhere, or it is held although it is not swept, or twice.
    Room(usize),
    /// The span at this page is empty and still there.
    Empty(usize),
    /// The span at this page is not swept although the sweep has passed it, or has marks although nothing is marked.
    Unswept(usize),
    /// This address lies in the depot of caches, and is no allocated slot of the class that it lies there for.
    Cached(usize),
    /// A mutator's window into the span at this page holds slots that are not allocated, or of the wrong colour; or the
    /// mutator does not know of the phase.
    Window(usize),
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
            Corruption::Window(span) => write!(f, "a window into span {span} is not as the cycle wants it"),
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

/// By span, the slots that a window holds: the number of their word, and which of it.
type Windows = BTreeMap<usize, (usize, u64)>;

impl<L: Listener> State<L> {
    pub(crate) fn verify(&self, driver: &Driver) -> Result<(), Corruption> {
        self.space.memory().verify()?;
        self.verify_pages()?;
        let windows = self.verify_windows()?;
        self.verify_spans(&windows)?;
        self.verify_grey(driver)?;
        self.verify_pointers(&windows)
    }

    /// That every page that is in no span is free: this heap's mutators cache none.
    fn verify_pages(&self) -> Result<(), Corruption> {
        let pages = self.space.pages();
        let lost = (0..pages.mapped()).find(|page| self.space.containing(*page).is_none() && !pages.is_free(*page));
        lost.map_or(Ok(()), |page| Err(Corruption::Page(page)))
    }

    /// That each mutator sees the phase as it is, and that what its windows hold is allocated, and marked if it has to be.
    fn verify_windows(&self) -> Result<Windows, Corruption> {
        let mut windows = Windows::new();
        let (cycle, phase) = self.stage.now();
        for local in self.mutators() {
            let marking = phase == Phase::Mark;
            ensure(local.cycle() == cycle, Corruption::Window(0))?;
            ensure((local.barrier.get(), local.black.get()) == (marking, marking), Corruption::Window(0))?;
            for window in local.windows() {
                let Some(first) = window.span() else { continue };
                let (word, mask) = window.left();
                let span = self.space.containing(first).filter(|span| span.first() == first);
                let span = span.ok_or(Corruption::Window(first))?;
                let [allocated, marked] = span.bits(word).ok_or(Corruption::Window(first))?;
                let marks = if marking { mask } else { 0 };
                ensure(allocated & mask == mask && marked & mask == marks, Corruption::Window(first))?;
                ensure(span.room().is_held() && span.is_swept(cycle), Corruption::Window(first))?;
                ensure(windows.insert(first, (word, mask)).is_none(), Corruption::Room(first))?;
            }
        }
        Ok(windows)
    }

    fn verify_spans(&self, windows: &Windows) -> Result<(), Corruption> {
        let (mut objects, mut bytes) = (0, 0);
        let (cycle, phase) = self.stage.now();
        let mut held: BTreeSet<_> = windows.keys().copied().collect();
        for first in self.space.listed() {
            let span = self.space.containing(first).filter(|span| span.first() == first);
            ensure(span.is_some() && held.insert(first), Corruption::Room(first))?;
        }
        for span in self.space.spans_from(0) {
            let first = span.first();
            ensure(span.live() > 0, Corruption::Empty(first))?;
            let swept = span.is_swept(cycle);
            let room = span.room().free() > 0 && swept;
            // The span of a window that has just been emptied is held until the next allocation.
            ensure(held.contains(&first) || !room, Corruption::Room(first))?;
            ensure(!held.contains(&first) || swept && span.room().is_held(), Corruption::Room(first))?;
            let must = phase != Phase::Sweep || first < self.sweep.passed(cycle);
            let season = phase.is_marking() || !swept || span.count_marked() == 0;
            ensure(season && (swept || !must), Corruption::Unswept(first))?;
            objects += span.live();
            bytes += span.live() * span.size();
        }
        ensure((objects, bytes) == self.space.allocated(), Corruption::Totals)
    }

    fn verify_grey(&self, driver: &Driver) -> Result<(), Corruption> {
        let mut seen = BTreeSet::new();
        let mut waiting = self.grey.waiting(&self.space.blocks);
        waiting.extend(driver.marker.waiting());
        for at in waiting.into_iter().filter_map(Address::new) {
            let waits = self.space.find(at).is_some_and(|slot| {
                let span = self.space.span(slot.span);
                span.is_marked(slot.number) && !span.kind().pointer_free
            });
            ensure(waits && self.stage.phase() == Phase::Mark && seen.insert(at), Corruption::Grey(at))?;
        }
        Ok(())
    }

    fn verify_pointers(&self, windows: &Windows) -> Result<(), Corruption> {
        let locals = self.mutators();
        let roots = locals.iter().flat_map(|local| local.stack.values());
        let globals = self.globals.iter().map(|global| global.load(Ordering::Relaxed));
        for value in roots.chain(globals) {
            self.verify_pointer(windows, value)?;
        }
        for span in self.space.spans_from(0) {
            for number in span.objects() {
                let slot = Slot { span: span.first(), number };
                if self.is_alive(windows, slot) {
                    let at = self.space.address(slot).get();
                    for field in self.space.fields(at, 0..span.pointers(number)) {
                        self.verify_pointer(windows, field.load(Ordering::Relaxed))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn verify_pointer(&self, windows: &Windows, value: usize) -> Result<(), Corruption> {
        match Address::new(value) {
            Some(at) if !self.space.find(at).is_some_and(|slot| self.is_alive(windows, slot)) => {
                Err(Corruption::Dangling(at))
            }
            _ => Ok(()),
        }
    }

    /// Whether an allocated slot is an object, and not about to be swept away.
    fn is_alive(&self, windows: &Windows, slot: Slot) -> bool {
        let span = self.space.span(slot.span);
        let in_window = windows
            .get(&slot.span)
            .is_some_and(|(word, mask)| slot.number / 64 == *word && mask >> (slot.number % 64) & 1 == 1);
        !in_window && (span.is_swept(self.stage.now().0) || span.is_marked(slot.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Heap, Mutator, Place, Root};
    use crate::{class::LARGE, os::Faults, page::PageCache};

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
        drop(mutator);
        assert_eq!(heap.verify(), Ok(()));
        heap.state().space.span(slot.span).mark(slot.number + 1);
        assert_eq!(heap.verify(), Err(Corruption::Count(slot.span)));
    }

    #[test]
    fn an_object_that_waits_twice_or_unmarked_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        heap.start();
        heap.state().driver().marker.waiting_mut().push(object.address.get());
        assert_eq!(heap.verify(), Err(Corruption::Grey(object.address)));
        heap.state().driver().marker.waiting_mut().clear();
        heap.handshake(mutator.id());
        assert_eq!(heap.verify(), Ok(()));
        heap.state().driver().marker.waiting_mut().push(object.address.get());
        assert_eq!(heap.verify(), Err(Corruption::Grey(object.address)));
    }

    #[test]
    fn a_pointer_to_no_object_is_noticed_wherever_it_is() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let stray = Address::new(object.address.get() + 8);
        let dangling = Err(Corruption::Dangling(stray.unwrap()));
        heap.state().space.field(object.address.get(), 0).store(stray.unwrap().get(), Ordering::Relaxed);
        assert_eq!(heap.verify(), dangling);
        mutator.store(Place::Field(&root, 0), None).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        heap.state().globals[0].store(stray.unwrap().get(), Ordering::Relaxed);
        assert_eq!(heap.verify(), dangling);
    }

    #[test]
    fn a_window_that_is_not_as_it_should_be_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap();
        let span = heap.state().space.span(slot.span);
        let wrong = Err(Corruption::Window(slot.span));
        // White in a window of who allocates black; then not allocated at all.
        heap.start();
        assert_eq!(heap.verify(), Ok(()));
        assert!(span.unmark(slot.number + 1));
        assert_eq!(heap.verify(), wrong);
        assert!(span.mark(slot.number + 1));
        let stray = Address::new(object.address.get() + 8).unwrap();
        heap.state().globals[0].store(stray.get(), Ordering::Relaxed);
        assert_eq!(heap.verify(), Err(Corruption::Dangling(stray)), "what is in a window is no object");
        heap.state().globals[0].store(0, Ordering::Relaxed);
        heap.state().mutators()[0].black.set(false);
        assert_eq!(heap.verify(), Err(Corruption::Window(0)));
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
        memory.new_span(Kind { class: LARGE, pointer_free: false }, 3, 1, 0, true).unwrap().claim_word();
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
