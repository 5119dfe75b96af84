//! The heap checks itself: every invariant that the other files state about their data, in one pass over all of it.

use crate::{
    class::LARGE,
    gc::phase::Phase,
    root::Address,
    space::{Entry, Slot},
    state::State,
};
use std::{collections::BTreeSet, error, fmt};

/// A belief of the heap about itself that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The page bitmap and the table of spans disagree about this page.
    Page(usize),
    /// The counts of the span at this page are not those of its bits.
    Count(usize),
    /// The span at this page is listed among those with room and has none, or the other way round.
    Room(usize),
    /// The span at this page is empty and still there.
    Empty(usize),
    /// The span at this page is not swept although the sweep has passed it, or has marks although nothing is marked.
    Unswept(usize),
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
            Corruption::Page(page) => write!(f, "the page bitmap and the spans disagree about page {page}"),
            Corruption::Count(span) => write!(f, "the counts of span {span} are not those of its bits"),
            Corruption::Room(span) => write!(f, "span {span} is wrongly listed as having room, or wrongly not"),
            Corruption::Empty(span) => write!(f, "span {span} is empty"),
            Corruption::Unswept(span) => write!(f, "span {span} is not swept, or marked out of season"),
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

impl<L> State<L> {
    pub(crate) fn verify(&self) -> Result<(), Corruption> {
        self.verify_pages()?;
        self.verify_spans()?;
        self.verify_grey()?;
        self.verify_pointers()
    }

    fn verify_pages(&self) -> Result<(), Corruption> {
        let mut span = 0..0;
        for page in 0..self.space.pages().mapped() {
            let entry = self.space.table().get(page).unwrap_or(&Entry::Free);
            let taken = match entry {
                Entry::Free => span.end <= page,
                Entry::First(record) => {
                    let fits = span.end <= page;
                    span = page..page + record.pages();
                    fits
                }
                Entry::Later(first) => *first == span.start && span.contains(&page),
            };
            let free = matches!(entry, Entry::Free);
            ensure(taken && free != self.space.pages().is_taken(page), Corruption::Page(page))?;
        }
        ensure(span.end <= self.space.pages().mapped(), Corruption::Page(span.start))
    }

    fn verify_spans(&self) -> Result<(), Corruption> {
        let (mut objects, mut bytes, mut roomy) = (0, 0, 0);
        for (first, span) in self.space.spans_from(0) {
            ensure(span.adds_up(), Corruption::Count(first))?;
            ensure(span.live() > 0, Corruption::Empty(first))?;
            let room = span.has_room() && span.kind().class != LARGE;
            ensure(self.space.room()[span.kind().number()].contains(&first) == room, Corruption::Room(first))?;
            let swept = span.is_swept(self.cycle);
            let must = self.phase != Phase::Sweep || first < self.sweep_next;
            let season = self.phase.is_marking() || !swept || span.marked() == 0;
            ensure(season && (swept || !must), Corruption::Unswept(first))?;
            objects += span.live();
            bytes += span.live() * span.size();
            roomy += usize::from(room);
        }
        let listed: usize = self.space.room().iter().map(BTreeSet::len).sum();
        ensure((objects, bytes, roomy) == (self.space.objects(), self.space.bytes(), listed), Corruption::Totals)
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
        for (first, span) in self.space.spans_from(0) {
            for number in span.objects() {
                let slot = Slot { span: first, number };
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
        heap.state().space.span_mut(slot.span).mark(slot.number);
        assert_eq!(heap.verify(), Err(Corruption::Unswept(slot.span)));
    }

    #[test]
    fn a_mark_on_a_free_slot_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap();
        heap.start();
        heap.state().space.span_mut(slot.span).mark(slot.number + 1);
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
}
