//! Segregated fit: units of equal blocks, and what is free of each size. Above `bits`, `tree` and `bump`.
//!
//! The rules are those of the reference's chapter: the first size that is enough; of its free blocks the one that came
//! last, or the lowest; of a fresh unit, the next. A unit is taken when a size has nothing left, and keeps that size.
//!
//! ```text
//!   unit 0, of 16              unit 1, of 24           unit 2, of 16
//!   ├ a ┼ free ┼ b ┼ free ┤    ├── c ──┼──────┼ tail ┤ ├ d ┼ fresh ┼ fresh ┼ fresh ┤
//!         ▲            ▲                                    ▲ the cursor of 16
//!         └────────────┴── a stack through a table beside, or the bits of a set
//! ```
//!
//! Neither order needs fresh blocks to be listed. A size takes a unit only when everything that was freed has been taken,
//! so what is fresh is the last on its stack; and units rise, so what is fresh is behind whatever was freed.
//!
//! A block's number is its offset divided by the smallest size, rounded down: no two blocks share one.
//!
//! Invariants:
//! * **Cut.** A block is there if it starts at a multiple of its unit's size in the unit and ends in it, and is before
//!   that size's cursor or in another unit than the cursor.
//! * **Free.** A block that is there is free if and only if its bit of `free` is set, and no other bits are.
//! * **Found.** Last in, first out: the stacks lead to each free block once. Lowest first: a unit's leaf has the bit of
//!   its size if and only if a block of it is free.

use super::{
    Corruption, NotAllocated, ZERO_BASE,
    bits::Bits,
    bump::Bump,
    ensure,
    memory::{Words, reserve},
    tree::{Tree, Union},
};
use crate::{error::Error, os::Faults};
use std::{collections::BTreeSet, ops::Range, ptr::NonNull};

/// Which free block of a size is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pop {
    /// The one with the lowest offset.
    Lowest,
    /// The one that was freed last.
    Last,
}

/// How free blocks are found.
enum Found {
    /// Which sizes are free in each unit.
    Lowest(Tree<Union>),
    /// For each block, the one below it on its stack, plus one; and the top of each size's stack, plus one.
    Last { below: Words, tops: Vec<u64> },
}

/// Blocks of a few sizes.
///
/// ```
/// use heaplaw_optimized::{Faults, fit::{Pop, Segregated}};
/// let mut heap = Segregated::new(&[16, 24], 64, Pop::Lowest, 128, Faults::NONE)?;
/// assert_eq!((heap.allocate(9)?, heap.allocate(20)?, heap.allocate(24)?), (0, 64, 88));
/// assert!(heap.allocate(17).is_err(), "a unit holds two blocks of 24, and there is no third unit");
/// assert_eq!(heap.allocate(16)?, 16);
/// # Ok::<(), heaplaw_optimized::Error>(())
/// ```
pub struct Segregated {
    sizes: Vec<usize>,
    unit: usize,
    units: Bump,
    /// For each unit, which size it has.
    classes: Words,
    /// For each size, its fresh blocks: a cursor, and the end of those of its last unit.
    fresh: Vec<Range<usize>>,
    free: Bits,
    found: Found,
    /// The blocks that are there and not free.
    objects: usize,
}

impl Segregated {
    /// Blocks of these sizes, to be cut from `limit` bytes in units of `unit` bytes.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not give the addresses, or memory for the books, as `faults` may make it.
    ///
    /// # Panics
    /// If there is no size, or more than 64, if they do not rise from more than 0, or if the largest is larger than a
    /// unit.
    pub fn new(sizes: &[usize], unit: usize, pop: Pop, limit: usize, faults: Faults) -> Result<Segregated, Error> {
        assert!((1..=64).contains(&sizes.len()), "there are 1 to 64 sizes");
        assert!(sizes.is_sorted_by(|a, b| a < b), "the sizes rise");
        assert!(sizes.iter().all(|size| (1..=unit).contains(size)), "a unit has room for every size");
        let (blocks, units) = (limit / sizes[0] + 1, limit / unit);
        let (stacks, tree) = match pop {
            Pop::Lowest => (0, Tree::<Union>::words(units)),
            Pop::Last => (blocks, 0),
        };
        let (bytes, [free, classes, below, tree]) = reserve(limit, [Bits::words(blocks), units, stacks, tree], faults)?;
        let found = match pop {
            Pop::Lowest => Found::Lowest(Tree::new(units, tree)),
            Pop::Last => Found::Last { below, tops: vec![0; sizes.len()] },
        };
        Ok(Segregated {
            sizes: sizes.to_vec(),
            unit,
            units: Bump::over(bytes, unit),
            classes,
            fresh: vec![0..0; sizes.len()],
            free: Bits::new(blocks, free),
            found,
            objects: 0,
        })
    }

    fn class(&self, size: usize) -> Option<usize> {
        Some(self.sizes.partition_point(|class| *class < size)).filter(|class| *class < self.sizes.len())
    }

    /// The offset of a block of at least `size` bytes; [`ZERO_BASE`] if that is none. It holds what it held when it was
    /// last freed, and zero if it never was.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if no size is enough or no unit is left, and [`Error::Os`] if the kernel refuses a unit;
    /// nothing has changed.
    pub fn allocate(&mut self, size: usize) -> Result<usize, Error> {
        if size == 0 {
            return Ok(ZERO_BASE);
        }
        let class = self.class(size).ok_or(Error::OutOfMemory { requested: size })?;
        if let Some(at) = self.pop(class) {
            self.objects += 1;
            return Ok(at);
        }
        let size = self.sizes[class];
        if self.fresh[class].is_empty() {
            let start = self.units.allocate(self.unit, 1)?;
            self.classes[start / self.unit] = class as u64;
            self.fresh[class] = start..start + self.unit / size * size;
        }
        let at = self.fresh[class].start;
        self.fresh[class].start += size;
        self.objects += 1;
        Ok(at)
    }

    /// A block of a size that was freed.
    fn pop(&mut self, class: usize) -> Option<usize> {
        let block = match &mut self.found {
            Found::Lowest(tree) => {
                let unit = tree.first(0, |classes| classes >> class & 1 == 1)?;
                // A unit starts with a block, so that the number there is the lowest of the unit.
                let numbers = [unit, unit + 1].map(|unit| unit * self.unit / self.sizes[0]);
                let block = self.free.next(numbers[0])?;
                self.free.remove(block);
                if self.free.next(block).is_none_or(|next| next >= numbers[1]) {
                    tree.set(unit, 0);
                }
                block
            }
            Found::Last { below, tops } => {
                let block = (tops[class] as usize).checked_sub(1)?;
                tops[class] = below[block];
                self.free.remove(block);
                block
            }
        };
        Some(self.start(block))
    }

    /// The offset of a block.
    fn start(&self, block: usize) -> usize {
        // It is the first to start from here on: in this unit, or as the first of the next.
        let from = block * self.sizes[0];
        let (unit, inside) = (from / self.unit, from % self.unit);
        let size = self.sizes[self.classes[unit] as usize];
        let next = inside.next_multiple_of(size);
        unit * self.unit + if next + size <= self.unit { next } else { self.unit }
    }

    /// The block that is there at an offset, and which size it has.
    fn block(&self, at: usize) -> Option<(usize, usize)> {
        if at >= self.units.used() {
            return None;
        }
        let class = self.classes[at / self.unit] as usize;
        let (size, inside) = (self.sizes[class], at % self.unit);
        let whole = inside.is_multiple_of(size) && inside + size <= self.unit;
        whole.then_some((at / self.sizes[0], class))
    }

    /// Takes an object back.
    ///
    /// # Errors
    /// If there is no object at this offset; nothing has changed.
    pub fn free(&mut self, at: usize) -> Result<(), NotAllocated> {
        if at == ZERO_BASE {
            return Ok(());
        }
        if at >= self.units.used() {
            return Err(NotAllocated::Outside);
        }
        let (block, class) = self.block(at).ok_or(NotAllocated::Inside)?;
        if self.fresh[class].contains(&at) || self.free.contains(block) {
            return Err(NotAllocated::Free);
        }
        self.free.insert(block);
        self.objects -= 1;
        match &mut self.found {
            Found::Lowest(tree) => tree.set(at / self.unit, 1 << class),
            Found::Last { below, tops } => {
                below[block] = tops[class];
                tops[class] = block as u64 + 1;
            }
        }
        Ok(())
    }

    /// The bytes of the object at this offset, if there is one.
    fn range(&self, at: usize) -> Option<Range<usize>> {
        let (block, class) = self.block(at)?;
        let used = !self.fresh[class].contains(&at) && !self.free.contains(block);
        used.then(|| at..at + self.sizes[class])
    }

    /// The bytes that the object at this offset may use, if there is one.
    pub fn usable(&self, at: usize) -> Option<usize> {
        self.range(at).map(|range| range.len())
    }

    /// The bytes of the object at this offset, if there is one.
    pub fn bytes(&self, at: usize) -> Option<&[u8]> {
        self.range(at).map(|range| self.units.bytes(range))
    }

    /// The bytes of the object at this offset, if there is one, to be written.
    pub fn bytes_mut(&mut self, at: usize) -> Option<&mut [u8]> {
        self.range(at).map(|range| self.units.bytes_mut(range))
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// The address of offset 0; as [`FreeList::base`](super::FreeList::base).
    pub fn base(&self) -> NonNull<u8> {
        self.units.base()
    }

    /// From now on, calls to the kernel fail as these say.
    pub fn fail(&mut self, faults: Faults) {
        self.units.fail(faults);
    }

    /// Checks every invariant.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(&self) -> Result<(), Corruption> {
        let used = self.units.used();
        let offset = |block: usize| block.saturating_mul(self.sizes[0]);
        let classes: Vec<usize> = self.classes[..used / self.unit].iter().map(|class| *class as usize).collect();
        let stray = classes.iter().position(|class| *class >= self.sizes.len());
        stray.map_or(Ok(()), |unit| Err(Corruption::Block(unit * self.unit)))?;
        let mut fresh_blocks = 0;
        for (class, (fresh, size)) in self.fresh.iter().zip(&self.sizes).enumerate() {
            // Of a size that has no unit yet, there is nothing fresh.
            let unit = fresh.end.saturating_sub(1) / self.unit;
            let last = classes.get(unit) == Some(&class) && !classes[unit + 1..].contains(&class);
            let whole = fresh.end == unit * self.unit + self.unit / size * size && fresh.start / self.unit >= unit;
            let cut = fresh.start <= fresh.end && fresh.len().is_multiple_of(*size);
            let none = *fresh == (0..0) && !classes.contains(&class);
            ensure(none || last && whole && cut, Corruption::Block(fresh.start))?;
            fresh_blocks += fresh.len() / size;
        }
        let end = used / self.sizes[0] + 1;
        self.free.verify(end).map_err(|block| Corruption::Block(offset(block)))?;
        let (mut free, mut leaves) = (vec![0; self.sizes.len()], vec![0; classes.len()]);
        for block in std::iter::successors(self.free.next(0), |block| self.free.next(block + 1)) {
            ensure(offset(block) < used, Corruption::Block(offset(block)))?;
            let at = self.start(block);
            let unit = at / self.unit;
            let class = *classes.get(unit).ok_or(Corruption::Block(offset(block)))?;
            let there = self.block(at) == Some((block, class)) && !self.fresh[class].contains(&at);
            ensure(there, Corruption::Block(offset(block)))?;
            free[class] += 1;
            leaves[unit] |= 1 << class;
        }
        let blocks: usize = classes.iter().map(|class| self.unit / self.sizes[*class]).sum();
        ensure(blocks == self.objects + fresh_blocks + free.iter().sum::<usize>(), Corruption::Block(used))?;
        match &self.found {
            Found::Lowest(tree) => tree.verify(leaves.into_iter()).map_err(|unit| Corruption::Index(unit * self.unit)),
            Found::Last { below, tops } => tops.iter().zip(free).enumerate().try_for_each(|(class, (top, free))| {
                let (mut seen, mut at) = (BTreeSet::new(), *top);
                while at > 0 {
                    let block = at as usize - 1;
                    let here = block < end && self.free.contains(block) && seen.insert(block);
                    let of = here && classes[self.start(block) / self.unit] == class;
                    ensure(of, Corruption::List(offset(block)))?;
                    at = below[block];
                }
                ensure(seen.len() == free, Corruption::List(self.fresh[class].start))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POPS: [Pop; 2] = [Pop::Lowest, Pop::Last];

    #[test]
    fn the_order_is_what_it_says() {
        for (pop, order) in [(Pop::Lowest, [0, 16, 48]), (Pop::Last, [16, 48, 0])] {
            let mut heap = Segregated::new(&[16], 64, pop, 64, Faults::NONE).unwrap();
            assert_eq!([0, 16, 32, 48].map(|at| heap.allocate(1) == Ok(at)), [true; 4]);
            [0, 48, 16].into_iter().for_each(|at| heap.free(at).unwrap());
            assert_eq!([1, 16, 8].map(|size| heap.allocate(size)), order.map(Ok));
            assert_eq!(heap.allocate(1), Err(Error::OutOfMemory { requested: 64 }));
        }
    }

    #[test]
    fn only_what_was_handed_out_can_be_freed_and_once() {
        use NotAllocated::{Free, Inside, Outside};
        for pop in POPS {
            let mut heap = Segregated::new(&[16, 48], 64, pop, 128, Faults::NONE).unwrap();
            assert_eq!((heap.allocate(0), heap.allocate(40), heap.allocate(1)), (Ok(ZERO_BASE), Ok(0), Ok(64)));
            let attempts = [1, 48, 80, 128, usize::MAX - 1].map(|at| heap.free(at).unwrap_err());
            assert_eq!(attempts, [Inside, Inside, Free, Outside, Outside]);
            heap.bytes_mut(0).unwrap().fill(7);
            assert_eq!((heap.usable(0), heap.bytes(0), heap.usable(80)), (Some(48), Some(&[7; 48][..]), None));
            assert_eq!((heap.free(ZERO_BASE), heap.free(0), heap.free(0)), (Ok(()), Ok(()), Err(Free)));
            assert_eq!((heap.usable(0), heap.bytes(0), heap.verify()), (None, None, Ok(())));
        }
    }

    #[test]
    fn what_the_kernel_refuses_has_not_happened() {
        for pop in POPS {
            let calls = |after| Segregated::new(&[16, 48], 64, pop, 1024, Faults { after, count: 1 });
            assert_eq!([0, 1, 2, 3].map(|after| calls(after).is_ok()), [false, false, false, true]);
            let mut heap = calls(4).unwrap();
            heap.allocate(16).unwrap();
            assert!(matches!(heap.allocate(48), Err(Error::Os { call: "mprotect", .. })));
            assert_eq!((heap.verify(), heap.allocate(16), heap.allocate(48)), (Ok(()), Ok(16), Ok(64)));
            assert_eq!(heap.allocate(49), Err(Error::OutOfMemory { requested: 49 }));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for (pop, unit) in POPS.into_iter().flat_map(|pop| [(pop, 512), (pop, 509)]) {
            let mut heap = Segregated::new(&[8, 24, 100, 500], unit, pop, 1 << 20, Faults::NONE).unwrap();
            let objects: Vec<usize> = (0..400).map(|n| heap.allocate(1 + n * 37 % 120 * (n % 4)).unwrap()).collect();
            objects.iter().step_by(3).for_each(|at| heap.free(*at).unwrap());
            assert_eq!(heap.verify(), Ok(()));
            let (used, mut flips) = (heap.units.used(), 0);
            while heap.free.flip(used / 8 + 1, flips) {
                assert!(heap.verify().is_err(), "free {flips}");
                heap.free.flip(used / 8 + 1, flips);
                flips += 1;
            }
            let flip = |heap: &mut Segregated, bit: usize| match &mut heap.found {
                Found::Lowest(tree) => tree.flip(used / unit, bit),
                Found::Last { below, .. } => {
                    let block = objects.iter().step_by(3).map(|at| at / 8).nth(bit / 64);
                    block.inspect(|block| below[*block] ^= 1 << (bit % 64)).is_some()
                }
            };
            let mut more = 0;
            while flip(&mut heap, more) {
                assert!(heap.verify().is_err(), "found {more}");
                flip(&mut heap, more);
                more += 1;
            }
            assert!(flips > 2000 && more > 1000, "{flips} {more}");
            heap.fresh[0].start += 4;
            assert!(heap.verify().is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_fresh_blocks_units_and_the_tree_is_named() {
        // Of 64 bytes each: two units of 8 bytes, of which the second has four fresh blocks, and one of 24.
        let broken = |change: fn(&mut Segregated)| {
            let mut heap = Segregated::new(&[8, 24, 40], 64, Pop::Lowest, 1024, Faults::NONE).unwrap();
            (0..12).for_each(|_| _ = heap.allocate(8).unwrap());
            heap.allocate(24).unwrap();
            assert_eq!((heap.fresh.as_slice(), heap.verify()), (&[96..128, 152..176, 0..0][..], Ok(())));
            change(&mut heap);
            heap.verify()
        };
        // Not the last unit of its size, not to its end, from before its start, not cut, of a size that has no unit.
        assert_eq!(broken(|heap| heap.fresh[0] = 32..64), Err(Corruption::Block(32)));
        assert_eq!(broken(|heap| heap.fresh[0].end = 120), Err(Corruption::Block(96)));
        assert_eq!(broken(|heap| heap.fresh[0].start = 56), Err(Corruption::Block(56)));
        assert_eq!(broken(|heap| heap.fresh[1].start = 153), Err(Corruption::Block(153)));
        assert_eq!(broken(|heap| heap.fresh[1].end = 192), Err(Corruption::Block(152)));
        assert_eq!(broken(|heap| heap.fresh[2] = 64..104), Err(Corruption::Block(64)));
        assert_eq!(broken(|heap| heap.fresh[0] = 0..0), Err(Corruption::Block(0)));
        // A unit of no size, and a free block of which the tree does not know.
        assert_eq!(broken(|heap| heap.classes[2] = 3), Err(Corruption::Block(128)));
        let unknown = broken(|heap| {
            heap.free(64).unwrap();
            let Found::Lowest(tree) = &mut heap.found else { panic!("the lowest first") };
            tree.set(1, 0);
        });
        assert_eq!(unknown, Err(Corruption::Index(64)));
        // What is fresh is not free as well.
        assert_eq!(broken(|heap| heap.free.insert(104 / 8)), Err(Corruption::Block(104)));
    }
}
