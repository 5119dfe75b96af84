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
        Layout { words, width: width(size) }
    }

    /// The pointer fields of a slot.
    pub(crate) fn pointers(self, slot: usize) -> usize {
        let at = slot * self.width;
        get(&self.words[at / BITS], at % BITS, self.width)
    }

    /// Says how many pointer fields a slot has. Only for who allocates in the span.
    pub(crate) fn set_pointers(self, slot: usize, pointers: usize) {
        let at = slot * self.width;
        set(&self.words[at / BITS], at % BITS, self.width, pointers);
    }
}

/// The bits for each slot of so many words.
pub(crate) const fn width(size: usize) -> usize {
    ((usize::BITS - size.leading_zeros()) as usize).next_power_of_two()
}

fn mask(width: usize) -> u64 {
    u64::MAX >> (BITS - width)
}

/// The count at a bit of a word.
#[inline]
pub(crate) fn get(word: &AtomicU64, bit: usize, width: usize) -> usize {
    // Relaxed: written before the object was published.
    (word.load(Ordering::Relaxed) >> bit & mask(width)) as usize
}

/// Overwrites the count at a bit of a word. Only for who allocates in the span.
#[inline]
pub(crate) fn set(word: &AtomicU64, bit: usize, width: usize, pointers: usize) {
    debug_assert!(pointers as u64 <= mask(width));
    let others = word.load(Ordering::Relaxed) & !(mask(width) << bit);
    // Relaxed: nobody else writes it, and who reads it got the object from us.
    word.store(others | (pointers as u64) << bit, Ordering::Relaxed);
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
            let layout = Layout::new(&words, size);
            for slot in (0..slots).rev() {
                layout.set_pointers(slot, size);
                layout.set_pointers(slot, slot % (size + 1));
            }
            assert!((0..slots).all(|slot| layout.pointers(slot) == slot % (size + 1)), "{size} words");
        }
    }
}
