//! Where the pointers are: for each slot of a span, how many of its words are pointer fields.
//!
//! Pointers come first in every object, so a count says as much as a bit for each word, in less space: a slot of `w`
//! words has 1 to `w` pointer fields, as those without any are in spans of their own, and that is `log2(w)` bits instead of
//! `w`. The bits are rounded up to a power of two, so that no count lies across two words. For 8-byte slots that is nothing
//! at all, for 16-byte slots 1 bit, for 1 KiB slots 8 bits instead of 128.
//!
//! Invariant: a count is at least 1, and at most the words of a slot.

use crate::{
    geometry::BITS,
    sync::{AtomicU64, Ordering},
};

/// The bits for each slot of so many words.
pub(crate) const fn width(size: usize) -> usize {
    match usize::BITS - (size - 1).leading_zeros() {
        0 => 0,
        bits => bits.next_power_of_two() as usize,
    }
}

/// What a count of this width can say, less one.
#[inline(always)]
fn mask(width: usize) -> u64 {
    1_u64.unbounded_shl(width as u32).wrapping_sub(1)
}

/// The pointer fields of a slot.
#[inline]
pub(crate) fn get(words: &[AtomicU64], width: usize, slot: usize) -> usize {
    let bit = slot * width;
    // Relaxed: written before the object was published.
    let word = words[bit / BITS].load(Ordering::Relaxed);
    1 + (word >> (bit % BITS) & mask(width)) as usize
}

/// Says how many pointer fields a slot has. Only for who allocates in the span.
#[inline]
pub(crate) fn set(words: &[AtomicU64], width: usize, slot: usize, pointers: usize) {
    let bit = slot * width;
    let (word, count) = (&words[bit / BITS], pointers.wrapping_sub(1) as u64);
    debug_assert!(count <= mask(width));
    let others = word.load(Ordering::Relaxed) & !(mask(width) << (bit % BITS));
    // Relaxed: nobody else writes it, and who reads it got the object from us.
    word.store(others | count << (bit % BITS), Ordering::Relaxed);
}

/// Says how many pointer fields the slots of a word have that are in `mask`. Only for who allocates in the span.
pub(crate) fn set_all(words: &[AtomicU64], width: usize, word: usize, mask: u64, pointers: usize) {
    if mask == u64::MAX && width > 0 {
        // The same count over and over.
        let count = u64::MAX / self::mask(width) * (pointers as u64 - 1);
        for word in &words[word * width..(word + 1) * width] {
            word.store(count, Ordering::Relaxed);
        }
        return;
    }
    let mut left = if width == 0 { 0 } else { mask };
    while left != 0 {
        set(words, width, word * BITS + left.trailing_zeros() as usize, pointers);
        left &= left - 1;
    }
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use crate::{
        class::{CLASSES, class},
        geometry::WORD,
    };

    #[test]
    fn counts_do_not_disturb_each_other() {
        let classes = (1..CLASSES).map(|number| (class(number).slots, class(number).size / WORD));
        for (slots, size) in classes.chain([(1, 1 << 20), (1, 1 << 40)]) {
            let width = width(size);
            assert!(width >= usize::BITS as usize || 1_usize << width >= size);
            let words: Vec<_> = (0..(slots * width).div_ceil(BITS).max(1)).map(|_| AtomicU64::new(0)).collect();
            for slot in (0..slots).rev() {
                set(&words, width, slot, size);
                set(&words, width, slot, slot % size + 1);
            }
            assert!((0..slots).all(|slot| get(&words, width, slot) == slot % size + 1), "{size} words");
        }
    }

    #[test]
    fn counts_that_are_set_together_are_those_that_are_set_one_by_one() {
        for number in 1..CLASSES {
            let (slots, size) = (class(number).slots, class(number).size / WORD);
            let width = width(size);
            let fresh = || (0..(slots * width).div_ceil(BITS).max(1)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
            let (words, expected) = (fresh(), fresh());
            for word in 0..slots.div_ceil(BITS) {
                let all = u64::MAX >> (BITS - (slots - word * BITS).min(BITS));
                for (round, mask) in
                    [all, all & 0x5555_5555_5555_5555, all & 0xff00_f0f0_0000_0001].into_iter().enumerate()
                {
                    let pointers = (word + 3 * round) % size + 1;
                    set_all(&words, width, word, mask, pointers);
                    for slot in (0..BITS).filter(|slot| mask >> slot & 1 == 1) {
                        set(&expected, width, word * BITS + slot, pointers);
                    }
                    let read =
                        |words: &[AtomicU64]| words.iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>();
                    assert_eq!(read(&words), read(&expected), "{size} words");
                }
            }
        }
    }

    #[test]
    fn a_count_takes_no_more_bits_than_it_needs_but_for_rounding() {
        assert_eq!([1, 2, 3, 4, 5, 8, 9, 16, 17, 256, 257].map(width), [0, 1, 2, 2, 4, 4, 4, 4, 8, 8, 16]);
    }
}
