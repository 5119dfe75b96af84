//! Where the pointers are: for each slot of a span, how many of its words are pointer fields.
//!
//! Pointers come first in every object, so a count says as much as a bit for each word, in less space: a slot of `w`
//! words needs `log2(w + 1)` bits instead of `w`. The bits are rounded up to a power of two, so that no count lies
//! across two words. For 16-byte slots that is 2 bits either way, for 1 KiB slots 8 bits instead of 128. Spans without
//! pointers have no layout at all.
//!
//! Invariant: a count is at most the words of a slot.

use std::collections::TryReserveError;

const BITS: usize = u64::BITS as usize;

/// The pointer fields of every slot of a span.
pub(crate) struct Layout {
    words: Vec<u64>,
    width: usize,
}

impl Layout {
    /// For so many slots of `words` words, all without pointers.
    pub(crate) fn new(slots: usize, words: usize) -> Result<Layout, TryReserveError> {
        let width = ((usize::BITS - words.leading_zeros()) as usize).next_power_of_two();
        let mut layout = Layout { words: Vec::new(), width };
        let length = (slots * width).div_ceil(BITS);
        layout.words.try_reserve_exact(length)?;
        layout.words.resize(length, 0);
        Ok(layout)
    }

    /// The pointer fields of a slot.
    pub(crate) fn pointers(&self, slot: usize) -> usize {
        let at = slot * self.width;
        (self.words[at / BITS] >> (at % BITS) & self.mask()) as usize
    }

    /// Says how many pointer fields a slot has.
    pub(crate) fn set_pointers(&mut self, slot: usize, pointers: usize) {
        let (at, mask) = (slot * self.width, self.mask());
        debug_assert!(pointers as u64 <= mask);
        let word = &mut self.words[at / BITS];
        *word = *word & !(mask << (at % BITS)) | (pointers as u64) << (at % BITS);
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (BITS - self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{CLASSES, class};

    #[test]
    fn counts_do_not_disturb_each_other() {
        for (slots, words) in [(1024, 1), (341, 3), (64, 16), (3, 1216), (1, 4096), (1, 1 << 20), (1, 1 << 40)] {
            let mut layout = Layout::new(slots, words).unwrap();
            for slot in (0..slots).rev() {
                layout.set_pointers(slot, words);
                layout.set_pointers(slot, slot % (words + 1));
            }
            assert!((0..slots).all(|slot| layout.pointers(slot) == slot % (words + 1)), "{words} words");
        }
    }

    #[test]
    fn a_layout_never_takes_more_than_a_bit_for_each_word() {
        for number in 1..CLASSES {
            let row = class(number);
            let layout = Layout::new(row.slots, row.size / 8).unwrap();
            assert!(layout.words.len() <= (row.slots * row.size / 8).div_ceil(BITS), "class {number}");
        }
    }
}
