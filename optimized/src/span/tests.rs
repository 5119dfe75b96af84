//! Spans: slots, marks and pages; and a way to damage them, for the test of the self-check.

use super::*;
use crate::os::Faults;
use std::iter;

const KIND: Kind = Kind { class: 8, pointer_free: false };

fn spans(with: impl FnOnce(&Spans)) {
    let mut plan = Plan::default();
    let planned = Spans::plan(&mut plan, 64);
    let arenas = Arenas::reserve(&plan, 64, Faults::default()).unwrap();
    // SAFETY: of the same plan, and dropped before the arenas.
    with(&unsafe { Spans::open(&arenas, planned) });
}

#[test]
fn the_lowest_free_slot_is_taken_first() {
    spans(|spans| {
        let span = spans.birth(3, KIND, 1, true, 0);
        let words: Vec<_> = iter::from_fn(|| span.claim_word()).collect();
        assert_eq!(words, [(0, u64::MAX), (1, (1 << 21) - 1)]);
        assert_eq!(span.room().free(), 0);
        span.give_back(0, 1 << 63);
        assert_eq!((span.claim_word(), span.claim_word()), (Some((0, 1 << 63)), None));
        for slot in (0..85).filter(|slot| ![3, 64, 70].contains(slot)) {
            assert!(span.mark(slot) && !span.mark(slot));
        }
        let mut freed = Vec::new();
        assert!(!span.claim(0) && span.claim(1) && !span.claim(1));
        assert_eq!(span.sweep(true, |slot| freed.push(slot)), 3);
        span.swept(1);
        assert!(!span.claim(1) && span.claim(2), "once for each cycle");
        assert_eq!((freed, span.count_marked(), span.live()), (vec![3, 64, 70], 0, 82));
        assert!(!span.is_swept(1) && span.is_dirty());
        let words: Vec<_> = iter::from_fn(|| span.claim_word()).collect();
        assert_eq!(words, [(0, 1 << 3), (1, 1 | 1 << 6)]);
        assert!(span.adds_up());
    });
}

#[test]
fn only_the_start_of_an_allocated_slot_is_an_object() {
    spans(|spans| {
        let span = spans.birth(3, KIND, 1, true, 0);
        span.claim_word();
        span.claim_word();
        span.give_back(0, !3);
        span.give_back(1, (1 << 21) - 1);
        let start = spans.base().addr().get() + 3 * PAGE;
        let found: Vec<_> = (0..PAGE).filter(|offset| span.slot_at(start + offset).is_some()).collect();
        assert_eq!(found, [0, 96]);
        assert_eq!(span.slot_of(start + 200), (2, 8));
    });
}

#[test]
fn every_class_has_room_in_its_row_for_all_of_its_slots() {
    for number in (0..CLASSES).flat_map(|class| [2 * class, 2 * class + 1]) {
        let kind = Kind::numbered(number);
        spans(|spans| {
            let pages = if kind.class == LARGE { 20 } else { class(kind.class).pages };
            let span = spans.birth(3, kind, pages, true, 0);
            let (slots, most) = (span.slots(), span.size() / WORD);
            let count = |slot| if kind.pointer_free { 0 } else { slot % most + 1 };
            while span.claim_word().is_some() {}
            for slot in (0..slots).rev() {
                if kind.pointer_free && kind.class != SMALLEST {
                    assert!(!span.flag(slot, true));
                } else if !kind.pointer_free {
                    span.set_pointers(slot, count(slot));
                }
                assert!(slot % 3 == 0 || span.mark(slot));
            }
            for slot in 0..slots {
                assert!(span.is_allocated(slot) && span.is_marked(slot) == (slot % 3 != 0), "{kind:?}");
                assert_eq!(span.pointers(slot), count(slot), "{kind:?}");
                assert!(!kind.pointer_free || kind.class == SMALLEST || span.flag_of(slot));
            }
            assert!(span.sweep(false, |_| ()) == slots.div_ceil(3) && span.adds_up());
        });
    }
}

#[test]
fn a_page_leads_to_its_span_as_long_as_it_lives() {
    spans(|spans| {
        let large = Kind { class: LARGE, pointer_free: true };
        spans.birth(5, large, 10, false, 7);
        spans.birth(20, KIND, 1, true, 7);
        assert_eq!(spans.from(0, 64).map(Span::first).collect::<Vec<_>>(), [5, 20]);
        assert_eq!(spans.containing(14).map(Span::first), Some(5));
        assert_eq!(spans.kind_at(14), Some(large));
        spans.resize(5, 4, large);
        assert_eq!((spans.containing(9).map(Span::first), spans.at(5).size()), (None, 4 * PAGE));
        spans.death(5);
        assert!(spans.is_blank(5) && !spans.is_blank(20));
        assert!(spans.containing(5).is_none() && spans.kind_at(usize::MAX / PAGE).is_none());
    });
}

/// A table of [`Spans`], all of which have an element for each page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Kind,
    Back,
    Record,
    Row,
    Marks,
}

/// Where in a row a bit is: for the marks and the bits of allocated slots, of which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InRow {
    Marked(usize),
    Layout,
    Allocated(usize),
    Nothing,
}

impl Table {
    pub(crate) const ALL: [Table; 5] = [Table::Kind, Table::Back, Table::Record, Table::Row, Table::Marks];

    /// The bits of an element.
    pub(crate) fn bits(self) -> usize {
        match self {
            Table::Kind => 8,
            Table::Back => 32,
            Table::Record => 8 * size_of::<Record>(),
            Table::Row => 8 * size_of::<Row>(),
            Table::Marks => 8 * size_of::<Marks>(),
        }
    }

    /// The field of the record that a bit is in, by the name that it has there; nothing of what is between fields.
    pub(crate) fn field(bit: usize) -> &'static str {
        use std::mem::offset_of;
        let fields = [
            (offset_of!(Record, link), 8, "link"),
            (offset_of!(Record, room), 8, "room"),
            (offset_of!(Record, generation), 8, "generation"),
            (offset_of!(Record, pages), 4, "pages"),
            (offset_of!(Record, kind), 1, "kind"),
            (offset_of!(Record, hint), 1, "hint"),
            (offset_of!(Record, dirty), 1, "dirty"),
            (offset_of!(Record, attached), 4, "attached"),
        ];
        let found = fields.iter().find(|(start, bytes, _)| (*start..start + bytes).contains(&(bit / 8)));
        found.map_or("", |(_, _, name)| name)
    }
}

impl Span<'_> {
    /// What a bit of its row is.
    pub(crate) fn in_row(self, bit: usize) -> InRow {
        let (Shape { words, layout, allocated, .. }, word) = (self.shape(), bit / BITS);
        let [words, layout, allocated] = [words, layout, allocated].map(usize::from);
        if (allocated..allocated + words).contains(&word) {
            InRow::Allocated(bit - allocated * BITS)
        } else if word < words {
            InRow::Marked(bit)
        } else if (layout..allocated).contains(&word) {
            InRow::Layout
        } else {
            InRow::Nothing
        }
    }

    /// Whether its marks have a table of their own.
    pub(crate) fn has_marks_apart(self) -> bool {
        self.class() == SMALLEST
    }
}

impl Spans {
    /// Flips a bit of the element that a table has for a page.
    pub(crate) fn flip(&self, table: Table, page: usize, bit: usize) {
        let word = |words: &[AtomicU64]| {
            let word = &words[bit / BITS];
            word.store(word.load(Ordering::Relaxed) ^ 1 << (bit % BITS), Ordering::Relaxed);
        };
        let of = self.index.at(page);
        match table {
            Table::Kind => of.publish(of.kind() ^ 1 << bit),
            Table::Back => of.lead(of.back() ^ 1 << bit),
            Table::Record => self.records.flip(page * 8 * size_of::<Record>() + bit),
            Table::Row => word(&self.rows[page]),
            Table::Marks => word(&self.marks[page]),
        }
    }
}
