//! The heap checks itself: every invariant that the other files state about their data, in one pass over all of it.

use crate::sync::Ordering;
use crate::{
    class::{CLASSES, LARGE},
    events::Listener,
    gc::{
        mark::{Driver, Entry, PIECE},
        phase::Phase,
    },
    geometry::WORD,
    memory::Memory,
    root::Address,
    space::Slot,
    span::{Kind, Span},
    state::State,
    tiny,
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
    /// The counts of the span at this page are not those of its bits, or an object has more pointers than words.
    Count(usize),
    /// The span at this page has room and is held nowhere, or it is held although it is not swept, or twice, or
    /// it is parked and not empty, or for another number of pages.
    Room(usize),
    /// The span at this page is empty and still there.
    Empty(usize),
    /// The span at this page is not swept although the sweep has passed it, or has marks although nothing is marked.
    Unswept(usize),
    /// A free slot of the span at this page does not read zero, as the span says.
    Dirty(usize),
    /// This address lies in the depot of caches, and is no allocated slot of the class that it lies there for.
    Cached(usize),
    /// A mutator's window into the span at this page holds slots that are not allocated, or of the wrong colour; or the
    /// mutator does not know of the phase.
    Window(usize),
    /// A mutator's block for tiny objects, at this address, is not allocated, or of the wrong colour; or the block is, and
    /// nothing ends in it, or not where the mutator believes.
    Tiny(usize),
    /// The totals are not the sums over all spans.
    Totals,
    /// This object waits to be scanned, twice, unmarked, without pointers, or while nothing is being marked.
    Grey(Address),
    /// What is attached to this object is said wrongly: it is no object, its span does not count it, its weak pointer does
    /// not lead to it, or there is nothing.
    Special(Address),
    /// A root, a global, a field of an object that is alive, or what is attached or due leads here, and there is no
    /// object that is alive.
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
            Corruption::Dirty(span) => write!(f, "a free slot of span {span} is said to read zero and does not"),
            Corruption::Cached(at) => write!(f, "{at:#x} is cached and is no slot of its class"),
            Corruption::Window(span) => write!(f, "a window into span {span} is not as the cycle wants it"),
            Corruption::Tiny(at) => write!(f, "the block at {at:#x} is not as tiny objects want it"),
            Corruption::Totals => f.write_str("the totals are not the sums"),
            Corruption::Grey(at) => write!(f, "the object at {at:?} should not wait to be scanned"),
            Corruption::Special(at) => write!(f, "what is attached to the object at {at:?} is wrong"),
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
        let pages = self.pages();
        pages.verify().map_err(Corruption::Page)?;
        let mapped = pages.mapped();
        let mut last: Option<(Span<'_>, Kind)> = None;
        let mut end = 0;
        for page in 0..mapped {
            let Some(kind) = self.spans().kind_at(page) else {
                ensure(end <= page && (pages.is_free(page) || self.spans().is_blank(page)), Corruption::Page(page))?;
                continue;
            };
            let span = self.spans().containing(page).filter(|_| kind.class < CLASSES && !pages.is_free(page));
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

    /// Checks, after [`Memory::verify`], that the small spans with room are all held by a set, and no others are: so it is
    /// where blocks are freed by hand, between any two calls. Allocates nothing: it may be the process's own memory.
    pub(crate) fn verify_sets(&self) -> Result<(), Corruption> {
        let in_sets: usize = self.centrals().iter().map(|central| central.iter(self.spans()).count()).sum();
        let listed = in_sets + self.parked().iter(self.spans()).count();
        let (mapped, mut held) = (self.pages().mapped(), 0);
        for span in self.spans().from(0, mapped) {
            let (free, is_held) = (span.room().free() > 0, span.room().is_held());
            // Large ones that are held are parked.
            let right = if span.kind().class == LARGE { free == is_held } else { is_held || !free };
            ensure(right, Corruption::Room(span.first()))?;
            // Nothing is attached to blocks.
            ensure(span.attached().count() == 0, Corruption::Count(span.first()))?;
            held += usize::from(is_held);
        }
        // All that are listed are held, and none twice.
        ensure(held == listed, Corruption::Totals)
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
        self.verify_tiny(&windows)?;
        self.verify_grey(driver)?;
        self.verify_specials(&windows)?;
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
            let mut image = vec![0; span.size()];
            let mut zero = |number| {
                self.space.read(span.address(number).addr().get(), &mut image);
                image.iter().all(|byte| *byte == 0)
            };
            let clean = span.is_dirty() || (0..span.slots()).all(|slot| span.is_allocated(slot) || zero(slot));
            ensure(clean, Corruption::Dirty(first))?;
            objects += span.live();
            bytes += span.live() * span.size();
        }
        ensure((objects, bytes) == self.space.allocated(), Corruption::Totals)
    }

    /// That the blocks which mutators allocate tiny objects from are alive, and black if they have to be; and that in every
    /// block something ends.
    fn verify_tiny(&self, windows: &Windows) -> Result<(), Corruption> {
        let Some((ends, start)) = self.space.ends() else { return Ok(()) };
        for (block, last) in self.mutators().iter().filter_map(|local| local.tiny.block()) {
            let slot = Address::new(block).and_then(|at| self.space.find(at)).map(|(slot, _)| slot);
            let slot = slot.filter(|slot| self.space.span(slot.span).kind() == tiny::KIND);
            let slot = slot.filter(|slot| self.is_alive(windows, *slot)).ok_or(Corruption::Tiny(block))?;
            let black = self.stage.phase() != Phase::Mark || self.space.span(slot.span).is_marked(slot.number);
            ensure(black && ends.last(block - start) == Some(last), Corruption::Tiny(block))?;
        }
        for span in self.space.spans_from(0).filter(|span| span.kind() == tiny::KIND) {
            for number in span.objects() {
                let slot = Slot { span: span.first(), number };
                let at = self.space.address(slot).get();
                ensure(is_in_window(windows, slot) || ends.last(at - start).is_some(), Corruption::Tiny(at))?;
            }
        }
        Ok(())
    }

    fn verify_grey(&self, driver: &Driver) -> Result<(), Corruption> {
        let mut seen = BTreeSet::new();
        let mut waiting = self.grey.waiting(&self.space.blocks);
        waiting.extend(driver.marker.waiting());
        for at in waiting.into_iter().filter_map(|entry| Address::new(Entry(entry).address())) {
            let waits = self.space.locate(at.get()).is_some_and(|found| {
                // Of a large object that is being scanned, its other pieces wait, each where it begins.
                let piece = found.rest.is_multiple_of(PIECE * WORD)
                    && found.rest / WORD < self.space.spans().pointers(found).max(1);
                piece && !found.kind.pointer_free && self.space.span(found.first).is_marked(found.slot)
            });
            ensure(waits && self.stage.phase() == Phase::Mark && seen.insert(at), Corruption::Grey(at))?;
        }
        Ok(())
    }

    /// That what is attached is attached to objects, and counted; and that all it holds is alive.
    fn verify_specials(&self, windows: &Windows) -> Result<(), Corruption> {
        let mut counts = BTreeMap::new();
        let mut held = self.specials.due();
        for shard in self.specials.shards() {
            for (at, special) in shard.iter() {
                let address = Address::new(*at).ok_or(Corruption::Totals)?;
                let (slot, _) = self.space.find(address).ok_or(Corruption::Special(address))?;
                ensure(special.is_sound(*at, slot.span), Corruption::Special(address))?;
                *counts.entry(slot.span).or_insert(0) += 1;
                held.extend(special.arguments());
                if special.has_finalizer() {
                    let pointers = self.space.span(slot.span).pointers(slot.number);
                    held.extend(self.space.fields(*at, 0..pointers).iter().map(|field| field.load(Ordering::Relaxed)));
                }
            }
        }
        for span in self.space.spans_from(0) {
            let counted = counts.get(&span.first()).copied().unwrap_or(0);
            ensure(span.attached().count() == counted, Corruption::Count(span.first()))?;
        }
        held.into_iter().try_for_each(|value| self.verify_pointer(windows, value))
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
        // A number of a runtime's: where all objects start at words, no address is odd.
        if value & 1 == 1 && self.space.ends().is_none() {
            return Ok(());
        }
        match Address::new(value) {
            Some(at) if !self.space.find(at).is_some_and(|(slot, _)| self.is_alive(windows, slot)) => {
                Err(Corruption::Dangling(at))
            }
            _ => Ok(()),
        }
    }

    /// Whether an allocated slot is an object, and not about to be swept away.
    fn is_alive(&self, windows: &Windows, slot: Slot) -> bool {
        let span = self.space.span(slot.span);
        !is_in_window(windows, slot) && (span.is_swept(self.stage.now().0) || span.is_marked(slot.number))
    }
}

/// Whether a window holds a slot.
fn is_in_window(windows: &Windows, slot: Slot) -> bool {
    let held = windows.get(&slot.span);
    held.is_some_and(|(word, mask)| slot.number / 64 == *word && mask >> (slot.number % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Heap, Mutator, Place, Root};
    use crate::{
        geometry::PAGE,
        os::Faults,
        page::PageCache,
        span::{
            Spans,
            tests::{InRow, Table},
        },
    };
    use std::collections::BTreeMap;

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
        let slot = heap.state().space.find(object.address).unwrap().0;
        assert_eq!(heap.verify(), Ok(()));
        heap.state().space.span(slot.span).mark(slot.number);
        assert_eq!(heap.verify(), Err(Corruption::Unswept(slot.span)));
    }

    #[test]
    fn a_mark_on_a_free_slot_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap().0;
        heap.start();
        drop(mutator);
        assert_eq!(heap.verify(), Ok(()));
        heap.state().space.span(slot.span).mark(slot.number + 1);
        assert_eq!(heap.verify(), Err(Corruption::Count(slot.span)));
    }

    #[test]
    fn an_object_with_more_pointers_than_words_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 16).unwrap();
        let (slot, _) = heap.state().space.find(object.address).unwrap();
        heap.state().space.span(slot.span).set_pointers(slot.number, 4);
        assert_eq!(heap.verify(), Err(Corruption::Count(slot.span)));
    }

    #[test]
    fn a_tiny_block_that_is_not_as_it_should_be_is_noticed() {
        let heap = Heap::new(Config { reservation: 1 << 20, tiny: true, ..Config::default() }).unwrap();
        let mut mutator = heap.join();
        let root = mutator.root();
        heap.start();
        let at = mutator.alloc(&root, 0, 5).unwrap().address;
        let slot = heap.state().space.find(at).unwrap().0;
        let (ends, start) = heap.state().space.ends().unwrap();
        let wrong = Err(Corruption::Tiny(at.get()));
        assert_eq!(heap.verify(), Ok(()));
        // It ends later than the mutator knows, or earlier, or nowhere.
        for bits in [&[9][..], &[3, 4], &[4]] {
            bits.iter().for_each(|bit| ends.flip(at.get() - start, *bit));
            assert_eq!(heap.verify(), wrong, "{bits:?}");
            bits.iter().for_each(|bit| ends.flip(at.get() - start, *bit));
        }
        // White, in the hands of who allocates black.
        heap.state().space.span(slot.span).unmark(slot.number);
        assert_eq!(heap.verify(), wrong);
        heap.state().space.span(slot.span).mark(slot.number);
        // A block of nobody in which nothing ends.
        let local = &heap.state().mutators()[0];
        local.tiny.forget();
        assert_eq!(heap.verify(), Ok(()));
        ends.flip(at.get() - start, 4);
        assert_eq!(heap.verify(), wrong);
        ends.flip(at.get() - start, 4);
        // A current block that is none.
        local.tiny.offer(at.get() + 16, 5);
        assert_eq!(heap.verify(), Err(Corruption::Tiny(at.get() + 16)));
    }

    #[test]
    fn pieces_of_a_large_object_may_wait_and_nothing_else_in_it() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, PIECE + 1, 0).unwrap();
        heap.start();
        heap.handshake(mutator.id());
        let at = |field: usize| object.address.get() + field * WORD;
        let waiting = |field| {
            heap.state().driver().marker.waiting_mut().push(at(field));
            let found = heap.verify();
            heap.state().driver().marker.waiting_mut().pop();
            found
        };
        assert_eq!(waiting(PIECE), Ok(()));
        for field in [1, PIECE - 1, PIECE + 1, 2 * PIECE] {
            assert_eq!(waiting(field).err(), Address::new(at(field)).map(Corruption::Grey), "field {field}");
        }
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

    /// Why a flipped bit that is not noticed does no harm.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Harmless {
        /// Of a page that is in no span, nothing is read but its kind.
        InNoSpan,
        /// No span starts at the page: a birth writes the record, and the words of its slots; what it leaves is then
        /// noticed.
        NoSpanStarts,
        /// It is between the fields of a record.
        Padding,
        /// The span is in no set: its link is written before it is read.
        InNoSet,
        /// A search for a free slot begins there. It still finds all, as what is below is allocated.
        SearchBegins,
        /// Free slots all read zero, or none is said to: whoever frees by hand asks only when a span is born; a collected
        /// heap at most zeroes what is zero.
        ReadsZero,
        /// Blocks that are freed by hand know no cycles, and nobody marks them. The hardened face keeps its live bits there:
        /// if one is wrong, the free of that block is reported, and ends the process.
        NotCollected,
        /// A collector frees whole words of slots; that a full span is held matters only to who frees single ones.
        NoSingleFrees,
        /// Beyond what the span has in its row, or of marks that it has elsewhere.
        NotUsed,
        /// How many pointers an object has, its maker alone knows, and how many a slot would have that is free, nobody.
        /// Where there are none, the hardened face keeps there whether a block was freed.
        NobodyKnows,
    }

    /// Why it is harmless that a bit is flipped, if it is.
    fn harmless(
        spans: &Spans,
        sets: &BTreeSet<usize>,
        table: Table,
        page: usize,
        bit: usize,
        collected: bool,
    ) -> Option<Harmless> {
        use Harmless::*;
        let Some(span) = spans.containing(page) else {
            return match table {
                Table::Kind => None,
                Table::Back => Some(InNoSpan),
                _ => Some(NoSpanStarts),
            };
        };
        let starts = span.first() == page;
        let full = span.room().free() == 0;
        let unmarked = |slot: usize| (!collected && span.is_allocated(slot)).then_some(NotCollected);
        match table {
            Table::Kind | Table::Back => None,
            _ if !starts => Some(NoSpanStarts),
            Table::Record => match Table::field(bit) {
                "" => Some(Padding),
                "link" if !sets.contains(&page) => Some(InNoSet),
                "hint" => Some(SearchBegins),
                "generation" if !collected => Some(NotCollected),
                "dirty" => Some(ReadsZero),
                "room" if collected && full => Some(NoSingleFrees),
                _ => None,
            },
            Table::Row => match span.in_row(bit) {
                InRow::Allocated(_) => None,
                InRow::Marked(slot) => unmarked(slot),
                InRow::Layout => Some(NobodyKnows),
                InRow::Nothing => Some(NotUsed),
            },
            Table::Marks if span.has_marks_apart() => unmarked(bit),
            Table::Marks => Some(NotUsed),
        }
    }

    /// Flips every bit of the tables of the spans, with `verify` looking at each. Gives how many were noticed, and how many
    /// were harmless, and why.
    fn flip_all(
        memory: &Memory,
        collected: bool,
        verify: impl Fn() -> Result<(), Corruption>,
    ) -> (usize, BTreeMap<(Table, Harmless), usize>) {
        let spans = memory.spans();
        let sets: BTreeSet<_> = memory.centrals().iter().flat_map(|central| central.iter(spans)).collect();
        let (mut noticed, mut harmless_ones) = (0, BTreeMap::new());
        for table in Table::ALL {
            for (page, bit) in (0..64).flat_map(|page| (0..table.bits()).map(move |bit| (page, bit))) {
                spans.flip(table, page, bit);
                let seen = verify().is_err();
                spans.flip(table, page, bit);
                if seen {
                    noticed += 1;
                    continue;
                }
                let reason = harmless(spans, &sets, table, page, bit, collected);
                let field = if table == Table::Record { Table::field(bit) } else { "" };
                let reason =
                    reason.unwrap_or_else(|| panic!("bit {bit} of {table:?} {field} of page {page} is not noticed"));
                *harmless_ones.entry((table, reason)).or_insert(0) += 1;
            }
        }
        assert_eq!(verify(), Ok(()));
        (noticed, harmless_ones)
    }

    /// 64 pages of blocks that are freed by hand.
    #[test]
    fn a_window_that_is_not_as_it_should_be_is_noticed() {
        let (heap, mut mutator, root) = heap();
        let object = mutator.alloc(&root, 1, 0).unwrap();
        let slot = heap.state().space.find(object.address).unwrap().0;
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
    fn every_flipped_bit_is_noticed_or_does_no_harm() {
        let (memory, ()) = Memory::reserve(64, usize::MAX, Faults::NONE, |_| ()).unwrap();
        let mut cache = PageCache::empty();
        for (class, count) in [(1, 70), (1, 2000), (8, 85), (8, 20), (40, 3), (60, 1), (67, 1)] {
            memory.refill(Kind { class, pointer_free: true }, count, &mut cache, |_| ()).unwrap();
        }
        memory.flush(&mut cache);
        memory.large(5, 2).unwrap();
        memory.large(1, 1).unwrap();
        let (gone, _) = memory.large(3, 1).unwrap();
        memory.large(1, 1).unwrap();
        memory.end(memory.spans().containing(memory.spans().page_of(gone.addr().get())).unwrap());
        let verify = || memory.verify().and_then(|()| memory.verify_sets());
        assert_eq!((verify(), memory.pages().mapped()), (Ok(()), 64));
        let (noticed, harmless) = flip_all(&memory, false, verify);
        println!("noticed: {noticed}, harmless: {harmless:#?}");
        // Of what tells where spans are, every bit of pages in use is noticed; of the slots, those of first pages.
        assert!(noticed > 4000 && harmless.keys().all(|(table, _)| *table != Table::Kind));

        for number in 0.. {
            let flip = || memory.pages().flip(number);
            let Some(what) = flip() else { break };
            assert!(memory.verify().is_err(), "bit {number} of the {what} is not noticed");
            flip();
        }
        for central in memory.centrals() {
            for bit in 0..64 {
                central.flip(bit);
                // Above 36 bits of number is the tag, of which it only matters that it changes.
                assert_eq!(verify().is_err(), bit < 36, "bit {bit} of the head of a set");
                central.flip(bit);
            }
        }
        assert_eq!(verify(), Ok(()));
    }

    /// 64 pages of objects that are collected.
    #[test]
    fn every_flipped_bit_of_a_collected_heap_is_noticed_or_does_no_harm() {
        let heap = Heap::new(Config { reservation: 64 * PAGE, ..Config::default() }).unwrap();
        let mut mutator = heap.join();
        let (list, node, kept) = (mutator.root(), mutator.root(), mutator.root());
        for (pointers, bytes) in [(1, 0), (1, 8), (2, 8), (1, 100), (0, 24), (3, 5000), (1, 40_000), (0, 60_000)] {
            for round in 0..4 {
                mutator.alloc(&node, pointers, bytes).unwrap();
                if pointers > 0 && round != 1 {
                    mutator.store(Place::Field(&node, 0), Some(&list)).unwrap();
                    mutator.copy(&list, &node).unwrap();
                } else if round == 2 {
                    mutator.copy(&kept, &node).unwrap();
                }
                if heap.stats().in_use > 48 * PAGE {
                    mutator.clear(&node).unwrap();
                    heap.collect();
                }
            }
        }
        heap.collect();
        assert_eq!(heap.verify(), Ok(()));
        let state = heap.state();
        let (noticed, harmless) = flip_all(state.space.memory(), true, || state.verify(&state.driver()));
        println!("noticed: {noticed}, harmless: {harmless:#?}");
        assert!(noticed > 9000);
    }
}
