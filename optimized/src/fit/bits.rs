//! A set of numbers that finds the next and the previous one: a bitmap of bitmaps. Above `memory`.
//!
//! ```text
//!   level 2                                1            a bit: that word below has one
//!   level 1              0 0 1 0 ... 1 0            …
//!   level 0   0000 0000 0110 0000 ... 0001 0000     …   a bit: the number is in the set
//! ```
//!
//! A level has a sixty-fourth of the bits of the one below it, so that a search up and down again looks at two words a
//! level at most.
//!
//! Invariant: above the lowest, a bit is set if and only if the word that it stands for is not zero.

use super::memory::Words;
use crate::geometry::BITS;

/// Levels at most: 64 to the 11th is more than any set has.
const LEVELS: usize = 11;

/// A set of numbers below a limit.
pub(super) struct Bits {
    words: Words,
    /// Where each level starts. Those above the top are not used.
    starts: [usize; LEVELS],
    /// The level of a single word.
    top: usize,
}

/// Where the levels of a set start, which is the last, and where it ends.
fn levels(limit: usize) -> ([usize; LEVELS], usize, usize) {
    let mut starts = [0; LEVELS];
    let (mut end, mut len, mut level) = (0, limit.div_ceil(BITS).max(1), 0);
    loop {
        starts[level] = end;
        end += len;
        if len == 1 {
            return (starts, level, end);
        }
        (len, level) = (len.div_ceil(BITS), level + 1);
    }
}

impl Bits {
    /// The words that a set of numbers below `limit` takes.
    pub(super) fn words(limit: usize) -> usize {
        levels(limit).2
    }

    /// The empty set of numbers below `limit`, in words that are zero.
    pub(super) fn new(limit: usize, words: Words) -> Bits {
        let (starts, top, end) = levels(limit);
        assert_eq!(words.len(), end, "the table is of this size");
        Bits { words, starts, top }
    }

    /// The word of the numbers from `64 * word` on.
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words[word]
    }

    /// Whether a number is in the set.
    pub(super) fn contains(&self, number: usize) -> bool {
        self.words[number / BITS] >> (number % BITS) & 1 == 1
    }

    /// Adds a number.
    pub(super) fn insert(&mut self, number: usize) {
        let mut at = number;
        for level in 0..=self.top {
            let word = &mut self.words[self.starts[level] + at / BITS];
            let before = *word;
            *word |= 1 << (at % BITS);
            if before != 0 {
                return;
            }
            at /= BITS;
        }
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, number: usize) {
        let mut at = number;
        for level in 0..=self.top {
            let word = &mut self.words[self.starts[level] + at / BITS];
            *word &= !(1 << (at % BITS));
            if *word != 0 {
                return;
            }
            at /= BITS;
        }
    }

    /// The lowest number of the set that is at least `from`.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut at = from;
        for level in 0..=self.top {
            let end = if level == self.top { self.words.len() } else { self.starts[level + 1] };
            let index = self.starts[level] + at / BITS;
            if index >= end {
                return None;
            }
            let word = self.words[index] & !0 << (at % BITS);
            if word != 0 {
                let found = at / BITS * BITS + word.trailing_zeros() as usize;
                return Some((0..level).rev().fold(found, |found, level| {
                    found * BITS + self.words[self.starts[level] + found].trailing_zeros() as usize
                }));
            }
            at = at / BITS + 1;
        }
        None
    }

    /// The highest number of the set that is less than `end`.
    pub(super) fn previous(&self, end: usize) -> Option<usize> {
        let mut end = end;
        for level in 0..=self.top {
            let last = end.checked_sub(1)?;
            let word = self.words[self.starts[level] + last / BITS] & !0 >> (BITS - 1 - last % BITS);
            if word != 0 {
                let found = last / BITS * BITS + word.ilog2() as usize;
                return Some((0..level).rev().fold(found, |found, level| {
                    found * BITS + self.words[self.starts[level] + found].ilog2() as usize
                }));
            }
            end = last / BITS;
        }
        None
    }

    /// Whether the levels agree below a number, and there is none from there to the end of its word on any level.
    ///
    /// # Errors
    /// The first number of a word about which they do not.
    pub(super) fn verify(&self, end: usize) -> Result<(), usize> {
        let (mut end, mut width) = (end, 1);
        for level in 0..=self.top {
            let level_words = &self.words[self.starts[level]..];
            if !end.is_multiple_of(BITS) && level_words[end / BITS] >> (end % BITS) != 0 {
                return Err(end * width);
            }
            let words = end.div_ceil(BITS);
            if level < self.top {
                let above = &self.words[self.starts[level + 1]..];
                let agrees = |word: &usize| (level_words[*word] != 0) == (above[word / BITS] >> (word % BITS) & 1 == 1);
                if let Some(word) = (0..words).find(|word| !agrees(word)) {
                    return Err(word * BITS * width);
                }
            }
            (end, width) = (words, width * BITS);
        }
        Ok(())
    }

    /// Damages the set: flips a bit of the part that [`Bits::verify`] speaks of, if there is one of this number.
    #[cfg(test)]
    pub(super) fn flip(&mut self, end: usize, bit: usize) -> bool {
        let (mut end, mut bit) = (end, bit);
        for level in 0..=self.top {
            let words = end.div_ceil(BITS);
            if bit < words * BITS {
                self.words[self.starts[level] + bit / BITS] ^= 1 << (bit % BITS);
                return true;
            }
            (end, bit) = (words, bit - words * BITS);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fit::memory::reserve, os::Faults};
    use std::collections::BTreeSet;

    fn bits(limit: usize) -> Bits {
        let (_, [words]) = reserve(0, [Bits::words(limit)], Faults::NONE).unwrap();
        Bits::new(limit, words)
    }

    #[test]
    fn a_set_finds_its_neighbours_like_a_sorted_one() {
        for limit in [1, 64, 65, 4096, 300_000] {
            let (mut bits, mut set) = (bits(limit), BTreeSet::new());
            let mut state = 1u64;
            for step in 0..4000 {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let number = (state >> 33) as usize % limit;
                if step % 7 < 4 - step / 2000 {
                    bits.insert(number);
                    set.insert(number);
                } else if let Some(there) = set.range(number..).next().copied() {
                    bits.remove(there);
                    set.remove(&there);
                }
                assert_eq!(bits.next(number), set.range(number..).next().copied(), "from {number} of {limit}");
                assert_eq!(bits.previous(number), set.range(..number).next_back().copied(), "before {number}");
                assert_eq!(bits.contains(number), set.contains(&number));
            }
            assert_eq!((bits.next(limit), bits.previous(0)), (None, None));
            assert_eq!(bits.previous(limit), set.last().copied());
            assert_eq!(bits.verify(limit), Ok(()));
        }
    }

    #[test]
    fn levels_that_disagree_and_numbers_beyond_the_end_are_noticed() {
        let mut bits = bits(10_000);
        bits.insert(5000);
        assert_eq!((bits.verify(5001), bits.verify(5000)), (Ok(()), Err(5000)));
        // Above the lowest level every bit follows from those below it.
        for bit in 5001usize.next_multiple_of(BITS).. {
            if !bits.flip(5001, bit) {
                break;
            }
            assert!(bits.verify(5001).is_err(), "{bit}");
            bits.flip(5001, bit);
        }
        assert_eq!(bits.verify(5001), Ok(()));
    }

    #[test]
    fn the_first_number_of_what_is_wrong_is_named() {
        let mut bits = bits(300_000);
        bits.insert(5000);
        let mut wrong = |level: usize, word: usize, bit: usize| {
            let at = bits.starts[level] + word;
            bits.words[at] ^= 1 << bit;
            let found = bits.verify(300_000);
            bits.words[at] ^= 1 << bit;
            found
        };
        // Of numbers and of words above them, up to the end and behind it: there are 4688 words and 74 of these.
        assert_eq!((wrong(0, 70, 5), wrong(0, 4687, 40)), (Err(70 * BITS), Err(300_000)));
        assert_eq!((wrong(1, 3, 5), wrong(1, 73, 20)), (Err((3 * BITS + 5) * BITS), Err(4688 * BITS)));
        assert_eq!((wrong(2, 1, 2), wrong(2, 1, 20)), (Err((BITS + 2) * BITS * BITS), Err(74 * BITS * BITS)));
    }
}
