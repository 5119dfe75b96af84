//! Segregated fit: a list of free blocks for each size, and no search at all.
//!
//! A request is rounded up to the next of a few sizes and takes any block from that size's list. An empty list is filled
//! by cutting a larger **unit** from the next level into equal blocks. Nothing is ever merged, so nothing has to be
//! looked at; the price is that a block serves one size for ever, and what is left of a unit serves none.
//!
//! ```text
//!   sizes    lists                                        units of 64 bytes, from the bump allocator below
//!     16     0x1010 0x1020 0x1030                         ├ 16 ┼ 16 ┼ 16 ┼ 16 ┤
//!     24     0x1058                                       ├── 24 ──┼── 24 ──┼16┤   a tail of 16 that nobody gets
//! ```
//!
//! The rules: the first size that is at least the request, the block with the lowest address (or, in a last-in first-out
//! list, the one that came last), and of a fresh unit the block at its start. A request fails if it is larger than the
//! largest size, or if its list is empty and no whole unit is left; then nothing changes. A block that is freed goes to
//! the list that it came from.
//!
//! Go's allocator is this one, with two differences: a [span](super::span) is the unit, with bits in place of a list, and
//! a unit in which nothing lives is taken back.
//!
//! This chapter grounds laws 1, 3, 9, 10, 12 and 13. Source: Knuth, *The Art of Computer Programming*, 2.5; Go's
//! `mfixalloc.go` is the same for a single size.
//!
//! ```
//! use heaplaw_reference::place::segregated::{Pop, Segregated};
//! let mut heap = Segregated::new(vec![16, 24], 64, Pop::Lowest, 0x1000, 128);
//! assert_eq!([9, 20, 24].map(|size| heap.allocate(size)), [0x1000, 0x1040, 0x1058].map(Some));
//! assert_eq!(heap.allocate(17), None, "a unit holds two blocks of 24, and there is no third unit");
//! assert_eq!(heap.allocate(16), Some(0x1010));
//! ```

use crate::place::{ZERO_BASE, bump::Bump, fit::NotAllocated};
use alloc::{collections::BTreeMap, vec::Vec};

/// Which block of a list is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pop {
    /// The one with the lowest address.
    Lowest,
    /// The one that was put there last; of a fresh unit, the one with the lowest address.
    Last,
}

/// One list for each size, over units of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segregated {
    /// Invariant: rising.
    sizes: Vec<u64>,
    unit: u64,
    pop: Pop,
    base: u64,
    units: Bump,
    /// The free blocks of each size; the next to be taken is the last.
    lists: Vec<Vec<u64>>,
    /// Every block that there is, by its address: its size's index, and whether it is used.
    blocks: BTreeMap<u64, (usize, bool)>,
}

impl Segregated {
    /// Lists for these sizes, to be filled from the `memory` bytes at `base` in units of `unit` bytes.
    ///
    /// # Panics
    /// If the sizes do not rise from more than 0, if the largest is larger than a unit, or if the range does not end
    /// within the address space.
    pub fn new(sizes: Vec<u64>, unit: u64, pop: Pop, base: u64, memory: u64) -> Self {
        assert!(sizes.is_sorted_by(|a, b| a < b), "the sizes rise");
        assert!(sizes.iter().all(|size| (1..=unit).contains(size)), "a unit has room for every size");
        let lists = sizes.iter().map(|_| Vec::new()).collect();
        Segregated { sizes, unit, pop, base, units: Bump::new(base, memory), lists, blocks: BTreeMap::new() }
    }

    /// The address of a block of at least `size` bytes; `None`, and nothing has changed, if there is none to be had.
    pub fn allocate(&mut self, size: u64) -> Option<u64> {
        if size == 0 {
            return Some(ZERO_BASE);
        }
        let class = self.sizes.iter().position(|class| *class >= size)?;
        if self.lists[class].is_empty() {
            let unit = self.units.allocate(self.unit, 1)?;
            let size = self.sizes[class];
            let cut = (0..self.unit / size).rev().map(|index| unit + index * size);
            self.lists[class].extend(cut.clone());
            self.blocks.extend(cut.map(|at| (at, (class, false))));
        }
        let at = self.lists[class].pop()?;
        self.blocks.insert(at, (class, true));
        Some(at)
    }

    /// Whether the next request of this size would take another unit.
    pub fn wants_unit(&self, size: u64) -> bool {
        let class = self.sizes.iter().position(|class| *class >= size);
        size > 0 && class.is_some_and(|class| self.lists[class].is_empty())
    }

    /// The bytes that the object at this address may use, if there is one.
    pub fn usable(&self, at: u64) -> Option<u64> {
        self.blocks.get(&at).filter(|(_, used)| *used).map(|(class, _)| self.sizes[*class])
    }

    /// Takes an object back.
    ///
    /// # Errors
    /// If there is no object at this address; nothing has changed then.
    pub fn free(&mut self, at: u64) -> Result<(), NotAllocated> {
        if at == ZERO_BASE {
            return Ok(());
        }
        if !(self.base..self.base + self.units.used()).contains(&at) {
            return Err(NotAllocated::Outside);
        }
        match self.blocks.get_mut(&at) {
            Some((class, used)) if *used => {
                *used = false;
                let list = &mut self.lists[*class];
                list.push(at);
                if self.pop == Pop::Lowest {
                    list.sort_unstable_by(|a, b| b.cmp(a));
                }
                Ok(())
            }
            Some(_) => Err(NotAllocated::Free),
            None => Err(NotAllocated::Inside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;
    use alloc::vec;

    #[test]
    fn the_order_of_a_list_is_what_it_says() {
        for (pop, order) in [(Pop::Lowest, [0, 16, 48]), (Pop::Last, [16, 48, 0])] {
            let mut heap = Segregated::new(vec![16], 64, pop, 4096, 64);
            assert_eq!([0, 16, 32, 48].map(|at| heap.allocate(1) == Some(4096 + at)), [true; 4]);
            for at in [0, 48, 16] {
                heap.free(4096 + at).unwrap();
            }
            assert_eq!([1, 16, 8].map(|size| heap.allocate(size)), order.map(|at| Some(4096 + at)));
            assert_eq!(heap.allocate(1), None);
        }
    }

    /// Laws 1, 3, 10 and 13: among live objects nothing overlaps, and a block keeps its size.
    #[test]
    fn blocks_never_overlap_and_keep_their_size() {
        for pop in [Pop::Lowest, Pop::Last] {
            let mut dice = Dice(3);
            let mut heap = Segregated::new(vec![8, 24, 100, 512], 1024, pop, 4096, 16 * 1024);
            let (mut live, mut sizes) = (BTreeMap::new(), BTreeMap::new());
            for _ in 0..3000 {
                if dice.below(5) < 2 && !live.is_empty() {
                    let at = *live.keys().nth(dice.below(live.len() as u64) as usize).unwrap();
                    heap.free(at).unwrap();
                    live.remove(&at).unwrap();
                    continue;
                }
                let (size, before) = (1 + dice.below(600), heap.clone());
                let Some(at) = heap.allocate(size) else {
                    assert_eq!(heap, before, "a refusal changes nothing");
                    assert!(size > 512 || before.units.used() == 16 * 1024, "and is never early");
                    continue;
                };
                let usable = heap.usable(at).unwrap();
                assert!(usable >= size && *sizes.entry(at).or_insert(usable) == usable);
                assert!(live.range(..at + usable).next_back().is_none_or(|(start, length)| start + length <= at));
                live.insert(at, usable);
            }
        }
    }

    #[test]
    fn only_what_was_handed_out_can_be_freed_and_once() {
        let mut heap = Segregated::new(vec![16, 48], 64, Pop::Last, 4096, 128);
        assert_eq!((heap.allocate(0), heap.allocate(40)), (Some(ZERO_BASE), Some(4096)));
        use NotAllocated::{Free, Inside, Outside};
        assert_eq!([0, 16, 17, 48, 49].map(|size| heap.wants_unit(size)), [false, true, true, true, false]);
        assert_eq!([4095, 4097, 4144, 4160].map(|at| heap.free(at).unwrap_err()), [Outside, Inside, Inside, Outside]);
        assert_eq!((heap.free(ZERO_BASE), heap.free(4096), heap.free(4096)), (Ok(()), Ok(()), Err(Free)));
        assert_eq!(heap.usable(4096), None);
    }

    #[test]
    #[should_panic(expected = "the sizes rise")]
    fn sizes_rise() {
        Segregated::new(vec![16, 16], 64, Pop::Last, 0, 64);
    }
}
