//! Fits: which of the free blocks an allocator takes.
//!
//! The classical allocator with explicit free. Its range is **tiled** by blocks, each used or free. A request takes one
//! free block that is large enough; the three policies differ in which, and in nothing else:
//!
//! ```text
//!   address    0        32            80      112      128              192
//!              ├─ used ─┼─── free ────┼─ used ─┼─ free ─┼──── used ──────┤     the rover stands at 80
//!                            48                    16
//!   for 16 bytes:   first fit 32 (lowest address)   next fit 112 (from the rover on)   best fit 112 (smallest)
//! ```
//!
//! The rules, exactly, so that any other allocator can be held to the same addresses:
//!
//! 1. **Size.** A request of `n` bytes needs `header + n` bytes, rounded up to a multiple of the granule, and never less
//!    than the smallest block. A request of 0 bytes takes no block: it is [`ZERO_BASE`], which may be freed in vain.
//! 2. **Choice**, among the free blocks that have what is needed. *First*: the lowest address. *Next*: the first one that
//!    starts at or after the rover; if there is none, the lowest. *Best*: the smallest; of equals, the lowest address.
//!    If no block is large enough, nothing changes.
//! 3. **Split.** The request takes the low end. What is left over stays a free block if it is at least a smallest block;
//!    if not, the request gets it too.
//! 4. **Rover.** It starts at the base. After a success it is the end of the block that was taken, whatever stands
//!    there; behind the last block, it is the base again. A refusal leaves it where it is.
//! 5. **Free.** The block becomes free and is merged *at once* with a free neighbour on either side. If the rover stood
//!    at a block that is now inside the merged one, it moves to the start of that.
//! 6. **Address.** The object lies behind the header of its block. Only the address that was handed out can be freed.
//! 7. **Growth.** The range becomes longer at its end. The new bytes are free, and merged with a free block before them.
//!
//! Whatever the policy, a request is refused only if no block is large enough; so in the same state, all three succeed or
//! fail together. They come to different states, of course, and that is what they are compared by.
//!
//! This chapter grounds laws 1, 3, 4, 9, 10, 12, 13 and 15 to 21. Source: Knuth, *The Art of Computer Programming*, 2.5;
//! Go has no such allocator for objects, but its [pages](super::page) go by first fit.
//!
//! ```
//! use heaplaw_reference::place::fit::{Fit, FreeList, Rules};
//! let mut heap = FreeList::new(Fit::Next, Rules::plain(16), 0, 160);
//! let placed: Vec<_> = [32, 48, 32].map(|size| heap.allocate(size)).into_iter().flatten().collect();
//! assert_eq!((placed, heap.rover()), (vec![0, 32, 80], 112));
//! heap.free(0)?;
//! heap.free(32)?;
//! assert_eq!(heap.rover(), 112, "0 to 80 is one free block, and the rover is elsewhere");
//! assert_eq!(heap.allocate(40), Some(112), "where first fit would take 0");
//! # Ok::<(), heaplaw_reference::place::fit::NotAllocated>(())
//! ```

use crate::place::ZERO_BASE;
use alloc::{collections::BTreeMap, format, string::String};

/// Which free block is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The lowest that is large enough.
    First,
    /// The lowest at or after the rover that is large enough; or else the lowest.
    Next,
    /// The smallest that is large enough; of equals, the lowest.
    Best,
}

/// The three numbers of a free list, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Sizes and addresses are multiples of it. A power of two.
    pub granule: u64,
    /// No block is smaller. A multiple of the granule; a real allocator has to find room for its links in here.
    pub min_block: u64,
    /// What precedes an object. A multiple of the granule, or the object would not be aligned to it.
    pub header: u64,
}

impl Rules {
    /// No headers, and no block too small to be worth keeping.
    pub const fn plain(granule: u64) -> Self {
        Rules { granule, min_block: granule, header: 0 }
    }

    /// The bytes of a block that `size` bytes need, if that is a number.
    pub fn needed(self, size: u64) -> Option<u64> {
        let whole = self.header.checked_add(size)?.checked_next_multiple_of(self.granule)?;
        Some(whole.max(self.min_block))
    }
}

/// A tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first byte.
    pub start: u64,
    /// Its bytes, the header included.
    pub size: u64,
    /// Whether an object is in it.
    pub used: bool,
}

/// Why an address cannot be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllocated {
    /// It is outside the range.
    Outside,
    /// It is in a free block: freed before, or never handed out.
    Free,
    /// It is in a used block, but the object starts elsewhere.
    Inside,
}

/// A range tiled by blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeList {
    fit: Fit,
    rules: Rules,
    base: u64,
    end: u64,
    /// Start to size and whether it is used. Invariant (laws 15 and 16): the blocks tile `base..end`, and of two
    /// neighbours one is used.
    blocks: BTreeMap<u64, (u64, bool)>,
    /// Invariant: the start of a block.
    rover: u64,
}

impl FreeList {
    /// One free block of `size` bytes at `base`.
    ///
    /// # Panics
    /// If the granule is not a power of two, if another number is not a multiple of it, or if the range is smaller than
    /// the smallest block or does not end within the address space.
    pub fn new(fit: Fit, rules: Rules, base: u64, size: u64) -> Self {
        let Rules { granule, min_block, header } = rules;
        assert!(granule.is_power_of_two(), "a granule is a power of two");
        let whole = [min_block, header, base, size].iter().all(|number| number % granule == 0);
        assert!(whole, "sizes and addresses are multiples of the granule");
        assert!(min_block > 0 && size >= min_block, "there is room for a block");
        let end = base.checked_add(size).expect("the range ends within the address space");
        FreeList { fit, rules, base, end, blocks: BTreeMap::from([(base, (size, false))]), rover: base }
    }

    /// Every tile, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.blocks.iter().map(|(start, (size, used))| Block { start: *start, size: *size, used: *used })
    }

    /// Where next fit starts to look.
    pub fn rover(&self) -> u64 {
        self.rover
    }

    /// The bytes of the range.
    pub fn size(&self) -> u64 {
        self.end - self.base
    }

    /// The bytes that the object at this address may use, if there is one.
    pub fn usable(&self, at: u64) -> Option<u64> {
        let (size, used) = self.blocks.get(&at.checked_sub(self.rules.header)?)?;
        used.then(|| size - self.rules.header)
    }

    /// Makes the range so many bytes longer.
    ///
    /// # Panics
    /// If these are less than the smallest block or no multiple of the granule, or the range does not end within the
    /// address space.
    pub fn grow(&mut self, bytes: u64) {
        let Rules { granule, min_block, .. } = self.rules;
        assert!(bytes >= min_block && bytes.is_multiple_of(granule), "what is added is a block");
        let start = match self.blocks().last() {
            Some(last) if !last.used => last.start,
            _ => self.end,
        };
        self.end = self.end.checked_add(bytes).expect("the range ends within the address space");
        self.blocks.insert(start, (self.end - start, false));
    }

    /// The address of `size` bytes; `None`, and nothing has changed, if no free block has them.
    pub fn allocate(&mut self, size: u64) -> Option<u64> {
        if size == 0 {
            return Some(ZERO_BASE);
        }
        let needed = self.rules.needed(size)?;
        let block = self.choose(needed)?;
        let rest = block.size - needed;
        let taken = if rest >= self.rules.min_block { needed } else { block.size };
        self.blocks.insert(block.start, (taken, true));
        if taken < block.size {
            self.blocks.insert(block.start + taken, (rest, false));
        }
        let after = block.start + taken;
        self.rover = if after == self.end { self.base } else { after };
        Some(block.start + self.rules.header)
    }

    fn choose(&self, needed: u64) -> Option<Block> {
        let mut fitting = self.blocks().filter(|block| !block.used && block.size >= needed);
        match self.fit {
            Fit::First => fitting.next(),
            // False is less than true, and of equals the first is taken.
            Fit::Next => fitting.min_by_key(|block| block.start < self.rover),
            Fit::Best => fitting.min_by_key(|block| block.size),
        }
    }

    /// Takes an object back.
    ///
    /// # Errors
    /// If there is no object at this address; nothing has changed then.
    pub fn free(&mut self, at: u64) -> Result<(), NotAllocated> {
        if at == ZERO_BASE {
            return Ok(());
        }
        if !(self.base..self.end).contains(&at) {
            return Err(NotAllocated::Outside);
        }
        let Some((&start, &(size, used))) = self.blocks.range(..=at).next_back() else {
            return Err(NotAllocated::Outside);
        };
        if !used {
            return Err(NotAllocated::Free);
        }
        if at - start != self.rules.header {
            return Err(NotAllocated::Inside);
        }
        let (mut low, mut high) = (start, start + size);
        if let Some((before, (_, false))) = self.blocks.range(..start).next_back() {
            low = *before;
        }
        if let Some((size, false)) = self.blocks.get(&high) {
            high += size;
        }
        self.blocks.retain(|start, _| !(low..high).contains(start));
        self.blocks.insert(low, (high - low, false));
        if (low..high).contains(&self.rover) {
            self.rover = low;
        }
        Ok(())
    }

    /// Laws 15 and 16, and that the rover is a block.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self) -> Result<(), String> {
        let (mut at, mut free) = (self.base, false);
        for block in self.blocks() {
            if block.start != at {
                return Err(format!("a block at {:#x} follows the end {at:#x}", block.start));
            }
            if block.size < self.rules.min_block || block.size % self.rules.granule != 0 {
                return Err(format!("the block at {at:#x} has {} bytes", block.size));
            }
            if free && !block.used {
                return Err(format!("the free block at {at:#x} is not merged with the one before"));
            }
            (at, free) = (at + block.size, !block.used);
        }
        if at != self.end {
            return Err(format!("the blocks end at {at:#x}, and the range at {:#x}", self.end));
        }
        if !self.blocks.contains_key(&self.rover) {
            return Err(format!("no block starts at the rover {:#x}", self.rover));
        }
        Ok(())
    }

    /// What [`FreeList::verify`] must not accept.
    #[cfg(test)]
    pub(super) fn misplace_rover(&mut self) {
        self.rover += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Dice, lowest_gap};
    use alloc::vec::Vec;

    const FITS: [Fit; 3] = [Fit::First, Fit::Next, Fit::Best];

    fn next_fit() -> FreeList {
        FreeList::new(Fit::Next, Rules::plain(16), 0, 160)
    }

    #[test]
    fn next_fit_goes_round_as_published() {
        let mut heap = next_fit();
        let mut rovers = Vec::new();
        let mut take = |heap: &mut FreeList, size| {
            let at = heap.allocate(size);
            rovers.push(heap.rover());
            at
        };
        assert_eq!([32, 48, 32].map(|size| take(&mut heap, size)), [Some(0), Some(32), Some(80)]);
        assert_eq!((heap.free(0), heap.free(32)), (Ok(()), Ok(())));
        assert_eq!([40, 16, 80].map(|size| take(&mut heap, size)), [Some(112), Some(0), None]);
        assert_eq!(heap.free(112), Ok(()));
        assert_eq!([48, 48].map(|size| take(&mut heap, size)), [Some(16), Some(112)]);
        assert_eq!(rovers, [32, 80, 112, 0, 16, 16, 64, 0]);
        assert_eq!(heap.verify(), Ok(()));
    }

    #[test]
    fn a_range_that_grows_is_tiled_as_before() {
        let mut heap = FreeList::new(Fit::First, Rules { header: 16, ..Rules::plain(16) }, 0, 64);
        assert_eq!([32, 32].map(|size| heap.allocate(size)), [Some(16), None]);
        heap.grow(32);
        assert_eq!((heap.size(), heap.allocate(32)), (96, Some(64)), "16 bytes were left, and 32 came");
        heap.grow(16);
        assert_eq!(heap.blocks().map(|block| (block.size, block.used)).last(), Some((16, false)));
        assert_eq!([0, 16, 64, 80].map(|at| heap.usable(at)), [None, Some(32), Some(32), None]);
        assert_eq!(heap.verify(), Ok(()));
    }

    #[test]
    fn the_rover_moves_to_the_start_of_what_swallows_it() {
        let mut heap = next_fit();
        for at in [0, 32, 64] {
            assert_eq!(heap.allocate(32), Some(at));
        }
        assert_eq!((heap.rover(), heap.free(64), heap.rover()), (96, Ok(()), 64));
        assert_eq!((heap.free(0), heap.rover()), (Ok(()), 64));
        assert_eq!((heap.free(32), heap.rover()), (Ok(()), 0));
    }

    #[test]
    fn best_fit_takes_the_lowest_of_equals() {
        let mut heap = FreeList::new(Fit::Best, Rules::plain(16), 0, 160);
        for _ in 0..10 {
            heap.allocate(16);
        }
        for at in [0, 16, 48, 96] {
            heap.free(at).unwrap();
        }
        assert_eq!([16, 16, 32, 16].map(|size| heap.allocate(size)), [Some(48), Some(96), Some(0), None]);
    }

    #[test]
    fn a_rest_that_is_too_small_for_a_block_goes_with_the_request() {
        let rules = Rules { granule: 8, min_block: 32, header: 8 };
        let mut heap = FreeList::new(Fit::First, rules, 0, 96);
        assert_eq!((rules.needed(1), rules.needed(33)), (Some(32), Some(48)));
        assert_eq!([33, 16, 1].map(|size| heap.allocate(size)), [Some(8), Some(56), None]);
        assert_eq!(heap.blocks().map(|block| block.size).collect::<Vec<_>>(), [48, 48], "16 bytes are given away");
        assert_eq!((heap.allocate(u64::MAX), heap.allocate(u64::MAX - 10)), (None, None));
    }

    #[test]
    fn only_what_was_handed_out_can_be_freed_and_once() {
        let rules = Rules { header: 16, ..Rules::plain(16) };
        let mut heap = FreeList::new(Fit::First, rules, 160, 160);
        assert_eq!((heap.allocate(0), heap.allocate(32)), (Some(ZERO_BASE), Some(176)));
        let before = heap.clone();
        let attempts = [0, 159, 320, 160, 177, 192, 208, 319].map(|at| heap.free(at).unwrap_err());
        use NotAllocated::{Free, Inside, Outside};
        assert_eq!(attempts, [Outside, Outside, Outside, Inside, Inside, Inside, Free, Free]);
        assert_eq!((heap.free(ZERO_BASE), &heap), (Ok(()), &before));
        assert_eq!((heap.free(176), heap.free(176)), (Ok(()), Err(Free)));
    }

    /// Laws 1, 13 and 15 to 21, for every policy, with and without headers.
    #[test]
    fn every_choice_is_the_policys_and_the_blocks_always_tile_the_range() {
        let smooth = Rules::plain(8);
        let rough = Rules { granule: 16, min_block: 48, header: 16 };
        for (fit, rules) in FITS.into_iter().flat_map(|fit| [(fit, smooth), (fit, rough)]) {
            let mut dice = Dice(15);
            let fresh = FreeList::new(fit, rules, 0x1000, 4096);
            let (mut heap, mut live, mut refused) = (fresh.clone(), Vec::new(), 0);
            for _ in 0..3000 {
                if dice.below(5) < 2 && !live.is_empty() {
                    let at = live.swap_remove(dice.below(live.len() as u64) as usize);
                    assert_eq!(heap.free(at), Ok(()));
                } else {
                    let most = 1 << (3 + dice.below(7));
                    let size = 1 + dice.below(most);
                    let needed = rules.needed(size).unwrap();
                    let before = heap.clone();
                    let room = |block: &Block| !block.used && block.size >= needed;
                    let Some(at) = heap.allocate(size) else {
                        assert!(!before.blocks().any(|block| room(&block)), "law 17");
                        assert_eq!(heap, before, "a refusal changes nothing");
                        refused += 1;
                        continue;
                    };
                    let start = at - rules.header;
                    let chosen = before.blocks().find(|block| block.start == start).unwrap();
                    assert!(room(&chosen) && at % rules.granule == 0);
                    let way = |block: &Block| (block.start.wrapping_sub(before.rover)) % 4096;
                    assert!(before.blocks().filter(room).all(|other| match fit {
                        Fit::First => chosen.start <= other.start,
                        Fit::Next => way(&chosen) <= way(&other),
                        Fit::Best => (chosen.size, chosen.start) <= (other.size, other.start),
                    }));
                    live.push(at);
                }
                assert_eq!(heap.verify(), Ok(()));
                assert_eq!(heap.blocks().filter(|block| block.used).count(), live.len());
            }
            assert!(refused > 20, "{fit:?}: the heap was never full");
            live.into_iter().for_each(|at| heap.free(at).unwrap());
            assert_eq!(heap.blocks, fresh.blocks, "law 21");
        }
    }

    #[test]
    fn first_fit_is_the_lowest_gap_of_the_reference_heaps() {
        let mut dice = Dice(18);
        let mut heap = FreeList::new(Fit::First, Rules::plain(8), crate::place::BASE, 1024);
        for _ in 0..1000 {
            let taken: Vec<_> = heap.blocks().filter(|block| block.used).map(|b| (b.start, b.size)).collect();
            if dice.below(3) == 0 && !taken.is_empty() {
                heap.free(taken[dice.below(taken.len() as u64) as usize].0).unwrap();
            } else {
                let size = 8 + 8 * dice.below(20);
                assert_eq!(lowest_gap(taken, 1024, size), heap.allocate(size));
            }
        }
    }

    #[test]
    fn blocks_that_do_not_tile_are_noticed() {
        let broken = |change: fn(&mut FreeList)| {
            let mut heap = next_fit();
            heap.allocate(32);
            change(&mut heap);
            heap.verify().unwrap_err()
        };
        assert!(broken(|heap| _ = heap.blocks.insert(0, (16, true))).contains("follows the end 0x10"));
        assert!(broken(|heap| _ = heap.blocks.insert(32, (112, true))).contains("the range at 0xa0"));
        assert!(broken(|heap| _ = heap.blocks.insert(0, (32, false))).contains("not merged"));
        assert!(broken(|heap| _ = heap.blocks.insert(0, (8, true))).contains("has 8 bytes"));
        assert!(broken(|heap| _ = heap.blocks.insert(0, (36, true))).contains("has 36 bytes"));
        assert!(broken(|heap| _ = heap.blocks.insert(0, (0, true))).contains("has 0 bytes"));
        assert!(broken(|heap| heap.rover = 16).contains("the rover 0x10"));
    }
}
