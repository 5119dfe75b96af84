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
        assert!(spans.containing(5).is_none() && spans.kind_at(usize::MAX / PAGE).is_none());
    });
}

impl Spans {
    /// Flips a bit of what is known of the spans, counted from 0, and says of what; `None` when there are no more.
    ///
    /// Left out is what can be anything: the link, the hint, the generation, and whether memory is dirty; and who holds a
    /// span, as a collector may have forgotten what the sets hold.
    pub(crate) fn flip(&self, number: usize) -> Option<&'static str> {
        let mut left = number;
        // Whether the bit is among these.
        let mut among = |bits: usize| {
            let found = left < bits;
            left = if found { left } else { left - bits };
            found.then_some(left)
        };
        let mut page = 0;
        while page < self.records.len() {
            let pages = match self.kind_at(page) {
                None => {
                    page += 1;
                    continue;
                }
                // By the record, unless that is what was flipped.
                Some(kind) if kind.class == LARGE || kind.class >= CLASSES => self.flipping_pages(page),
                Some(kind) => class(kind.class).pages,
            };
            let (record, span) = (&self.records[page], self.at(page));
            let flips: [(&AtomicUsize, &str); 2] = [(&record.pages, "pages"), (&record.size, "size")];
            for (field, name) in flips {
                if let Some(bit) = among(64) {
                    field.store(field.load(Ordering::Relaxed) ^ 1 << bit, Ordering::Relaxed);
                    return Some(name);
                }
            }
            if let Some(bit) = among(31) {
                // The 32nd bit is that of who holds it.
                record.room.0.store(record.room.0.load(Ordering::Relaxed) ^ 1 << bit, Ordering::Relaxed);
                return Some("room");
            }
            let words = self.allocated[page][..4].iter().take(span.slots().div_ceil(BITS));
            for word in words {
                if let Some(bit) = among(64) {
                    word.store(word.load(Ordering::Relaxed) ^ 1 << bit, Ordering::Relaxed);
                    return Some("allocated");
                }
            }
            for at in page..page + pages {
                let of = self.index.at(at);
                if let Some(bit) = among(32) {
                    of.lead(of.back() ^ 1 << bit);
                    return Some("back");
                }
            }
            page += pages;
        }
        None
    }

    fn flipping_pages(&self, page: usize) -> usize {
        (page..self.records.len()).take_while(|at| self.index.kind(*at) == self.index.kind(page)).count()
    }
}
