//! A summary for each word of granules, and a tree above them, that finds the first summary of a kind. Above `memory`.
//!
//! ```text
//!                       9                        eight to a parent, each a cache line
//!         9             3       …
//!   4 0 9 … 1     0 3 … 0 0
//! ```
//!
//! What a summary is, the tree does not know; only how two are [joined](Join), so that whatever is true of a part is
//! seen in the whole. Zero is the summary of nothing.
//!
//! Invariants: each summary above the leaves is the join of its eight children; what has no leaf is zero.

use super::memory::Words;
use std::marker::PhantomData;

/// Children of a parent: a cache line of words.
const FAN: usize = 8;

/// Levels at most: 8 to the 21st is more than there are words.
const LEVELS: usize = 21;

/// How summaries are joined.
pub(super) trait Join {
    /// Of two parts, the summary of both. Joining zero changes nothing.
    fn join(a: u64, b: u64) -> u64;
}

/// The larger number.
pub(super) struct Maximum;

impl Join for Maximum {
    fn join(a: u64, b: u64) -> u64 {
        a.max(b)
    }
}

/// The union of two sets of numbers below 64.
pub(super) struct Union;

impl Join for Union {
    fn join(a: u64, b: u64) -> u64 {
        a | b
    }
}

/// The tree.
pub(super) struct Tree<J> {
    words: Words,
    /// Where each level starts: at a multiple of the fan. Those above the top are not used.
    starts: [usize; LEVELS],
    /// The level of a single summary.
    top: usize,
    join: PhantomData<J>,
}

/// Where the levels over so many leaves start, which is the last, and where the tree ends.
fn levels(leaves: usize) -> ([usize; LEVELS], usize, usize) {
    let mut starts = [0; LEVELS];
    let (mut end, mut len, mut level) = (0, leaves.max(1), 0);
    loop {
        starts[level] = end;
        end += len.next_multiple_of(FAN);
        if len == 1 {
            return (starts, level, end);
        }
        (len, level) = (len.div_ceil(FAN), level + 1);
    }
}

impl<J: Join> Tree<J> {
    /// The words that a tree over so many leaves takes.
    pub(super) fn words(leaves: usize) -> usize {
        levels(leaves).2
    }

    /// A tree over so many leaves, all zero, in words that are.
    pub(super) fn new(leaves: usize, words: Words) -> Tree<J> {
        let (starts, top, end) = levels(leaves);
        assert_eq!(words.len(), end, "the table is of this size");
        Tree { words, starts, top, join: PhantomData }
    }

    /// The summary of everything.
    pub(super) fn root(&self) -> u64 {
        self.words[self.starts[self.top]]
    }

    /// A leaf.
    pub(super) fn leaf(&self, leaf: usize) -> u64 {
        self.words[leaf]
    }

    /// The children from one on, to the last that has the same parent.
    fn children(&self, level: usize, first: usize) -> &[u64] {
        let start = self.starts[level];
        &self.words[start + first..start + (first + 1).next_multiple_of(FAN)]
    }

    /// The join of the children of a parent on the level above theirs.
    fn joined(&self, level: usize, parent: usize) -> u64 {
        self.children(level, parent * FAN).iter().fold(0, |a, b| J::join(a, *b))
    }

    /// Changes a leaf.
    pub(super) fn set(&mut self, leaf: usize, summary: u64) {
        if self.words[leaf] == summary {
            return;
        }
        self.words[leaf] = summary;
        let mut parent = leaf;
        for level in 0..self.top {
            parent /= FAN;
            let joined = self.joined(level, parent);
            let there = &mut self.words[self.starts[level + 1] + parent];
            if *there == joined {
                return;
            }
            *there = joined;
        }
    }

    /// The first of the children from one on that is `wanted`, counted from there.
    fn position(&self, level: usize, first: usize, wanted: &impl Fn(u64) -> bool) -> Option<usize> {
        // All are asked, since a branch that nobody can foresee takes longer.
        let asked = self.children(level, first).iter().rev().fold(0, |found, summary| {
            let found: u32 = found << 1;
            found | u32::from(wanted(*summary))
        });
        (asked != 0).then(|| asked.trailing_zeros() as usize)
    }

    /// The first leaf from `from` on that is `wanted`. What is wanted of a part is wanted of the whole, and zero is not.
    pub(super) fn first(&self, from: usize, wanted: impl Fn(u64) -> bool) -> Option<usize> {
        let mut at = from;
        // From the very first, the root speaks for all.
        for level in if from == 0 { self.top } else { 0 }..=self.top {
            let end = if level == self.top { self.words.len() } else { self.starts[level + 1] };
            if self.starts[level] + at >= end {
                return None;
            }
            if let Some(index) = self.position(level, at, &wanted) {
                return Some((0..level).rev().fold(at + index, |parent, level| {
                    let index = self.position(level, parent * FAN, &wanted);
                    parent * FAN + index.expect("what is seen in the whole is true of a part")
                }));
            }
            at = at / FAN + 1;
        }
        None
    }

    /// Whether the first leaves are these, and every summary above them is the join of its children.
    ///
    /// # Errors
    /// The first leaf about which that is not so.
    pub(super) fn verify(&self, leaves: impl ExactSizeIterator<Item = u64>) -> Result<(), usize> {
        let mut len = leaves.len();
        if let Some((wrong, _)) = leaves.enumerate().find(|(at, leaf)| self.words[*at] != *leaf) {
            return Err(wrong);
        }
        let mut width = 1;
        for level in 0..=self.top {
            let padding = &self.words[self.starts[level]..][len..len.next_multiple_of(FAN)];
            if padding.iter().any(|summary| *summary != 0) {
                return Err(len * width);
            }
            if level < self.top {
                let above = |parent: &usize| self.words[self.starts[level + 1] + parent];
                if let Some(wrong) = (0..len.div_ceil(FAN)).find(|parent| self.joined(level, *parent) != above(parent))
                {
                    return Err(wrong * FAN * width);
                }
            }
            (len, width) = (len.div_ceil(FAN), width * FAN);
        }
        Ok(())
    }

    /// Damages the tree: flips a bit of the part that [`Tree::verify`] speaks of, if there is one of this number.
    #[cfg(test)]
    pub(super) fn flip(&mut self, leaves: usize, bit: usize) -> bool {
        let (mut len, mut bit) = (leaves, bit);
        for level in 0..=self.top {
            let bits = len.next_multiple_of(FAN) * 64;
            if bit < bits {
                self.words[self.starts[level] + bit / 64] ^= 1 << (bit % 64);
                return true;
            }
            (len, bit) = (len.div_ceil(FAN), bit - bits);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fit::memory::reserve, os::Faults};

    fn tree<J: Join>(leaves: usize) -> Tree<J> {
        let (_, [words]) = reserve(0, [Tree::<J>::words(leaves)], Faults::NONE).unwrap();
        Tree::new(leaves, words)
    }

    #[test]
    fn the_first_that_is_wanted_is_found_as_by_looking_at_all() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) as usize
        };
        for leaves in [1, 8, 9, 64, 700] {
            let (mut maxima, mut sets) = (tree::<Maximum>(leaves), tree::<Union>(leaves));
            let mut plain = vec![0; leaves];
            for _ in 0..2000 {
                let (leaf, value) = (random() % leaves, if random() % 3 == 0 { 0 } else { random() as u64 % 60 });
                plain[leaf] = value;
                maxima.set(leaf, value);
                sets.set(leaf, if value > 0 { 1 << value } else { 0 });
                let (from, want) = (random() % leaves, 1 + random() as u64 % 59);
                let found = |wanted: &dyn Fn(u64) -> bool| (from..leaves).find(|at| wanted(plain[*at]));
                assert_eq!(maxima.first(from, |most| most >= want), found(&|value| value >= want));
                assert_eq!(sets.first(from, |set| set >> want & 1 == 1), found(&|value| value == want));
                assert_eq!(maxima.root(), *plain.iter().max().unwrap());
            }
            assert_eq!(maxima.first(leaves, |most| most > 0), None);
            assert_eq!(maxima.verify(plain.iter().copied()), Ok(()));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut tree = tree::<Maximum>(100);
        let leaves: Vec<u64> = (0..100).map(|leaf| leaf * 37 % 50).collect();
        (0..100).for_each(|leaf| tree.set(leaf, leaves[leaf]));
        let mut flips = 0;
        while tree.flip(100, flips) {
            assert!(tree.verify(leaves.iter().copied()).is_err(), "{flips}");
            tree.flip(100, flips);
            flips += 1;
        }
        assert!(flips > 100 * 64 && tree.verify(leaves.iter().copied()).is_ok());
    }

    #[test]
    fn the_first_leaf_of_what_is_wrong_is_named() {
        let mut tree = tree::<Maximum>(700);
        let mut wrong = |level: usize, summary: usize| {
            let at = tree.starts[level] + summary;
            tree.words[at] ^= 1;
            let found = tree.verify(std::iter::repeat_n(0, 700));
            tree.words[at] ^= 1;
            found
        };
        // Up to the end and behind it: there are 88 summaries, and 11 of these.
        assert_eq!((wrong(0, 699), wrong(0, 701)), (Err(699), Err(700)));
        assert_eq!((wrong(1, 5), wrong(2, 3)), (Err(5 * FAN), Err(3 * FAN * FAN)));
        assert_eq!(wrong(2, 12), Err(11 * FAN * FAN));
    }
}
