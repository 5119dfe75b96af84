//! Where the pointers are: for each slot of a span, how many of its words are pointer fields.
//!
//! Pointers come first in every object, so a count says as much as a bit for each word, in less space: a slot of `w`
//! words needs `log2(w + 1)` bits instead of `w`. The bits are rounded up to a power of two, so that no count lies
//! across two words. For 16-byte slots that is 2 bits either way, for 1 KiB slots 8 bits instead of 128. What is kept
//! for a page of a span without pointers is never touched.
//!
//! Invariants: a count is at most the words of a slot; the words of a span's pages suffice, as counts take no more
//! than a bit for each word of the span.

use crate::{
    geometry::BITS,
    sync::{AtomicU64, Ordering},
};

/// The pointer fields of every slot of a span.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'w> {
    words: &'w [AtomicU64],
    width: usize,
}

impl<'w> Layout<'w> {
    /// For slots of `size` words, in these words.
    pub(crate) fn new(words: &'w [AtomicU64], size: usize) -> Layout<'w> {
        let width = ((usize::BITS - size.leading_zeros()) as usize).next_power_of_two();
        Layout { words, width }
    }

    /// The pointer fields of a slot.
    pub(crate) fn pointers(self, slot: usize) -> usize {
        let at = slot * self.width;
        // Relaxed: written before the object was published.
        (self.words[at / BITS].load(Ordering::Relaxed) >> (at % BITS) & self.mask()) as usize
    }

    /// Says how many pointer fields a slot has; gives by which bits that changes the [`sum`](Layout::sum). Only for who
    /// allocates in the span.
    pub(crate) fn set_pointers(self, slot: usize, pointers: usize) -> u64 {
        let (at, mask) = (slot * self.width, self.mask());
        debug_assert!(pointers as u64 <= mask);
        let word = &self.words[at / BITS];
        let old = word.load(Ordering::Relaxed);
        let new = old & !(mask << (at % BITS)) | (pointers as u64) << (at % BITS);
        // Relaxed: nobody else writes it, and who reads it got the object from us.
        word.store(new, Ordering::Relaxed);
        old ^ new
    }

    /// The exclusive or of all words, by which a check notices that one was changed.
    pub(crate) fn sum(self) -> u64 {
        self.words.iter().fold(0, |sum, word| sum ^ word.load(Ordering::Relaxed))
    }

    fn mask(self) -> u64 {
        u64::MAX >> (BITS - self.width)
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use crate::{
        class::{CLASSES, class},
        geometry::{PAGE_WORDS, WORD},
    };

    #[test]
    fn counts_do_not_disturb_each_other_and_fit_in_a_bit_for_each_word() {
        let classes = (1..CLASSES).map(|number| (class(number).slots, class(number).size / WORD, class(number).pages));
        for (slots, size, pages) in classes.chain([(1, 1 << 20, 1024), (1, 1 << 40, 1 << 30)]) {
            let words: Vec<_> = (0..(pages * PAGE_WORDS / BITS).min(1024)).map(|_| AtomicU64::new(0)).collect();
            let (layout, mut sum) = (Layout::new(&words, size), 0);
            for slot in (0..slots).rev() {
                sum ^= layout.set_pointers(slot, size);
                sum ^= layout.set_pointers(slot, slot % (size + 1));
            }
            assert_eq!(layout.sum(), sum, "{size} words");
            assert!((0..slots).all(|slot| layout.pointers(slot) == slot % (size + 1)), "{size} words");
        }
    }
}
