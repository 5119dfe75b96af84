//! Size classes: the sizes that small objects are rounded up to. Above [`geometry`](crate::geometry), below spans.
//!
//! The 68 rows are derived, not copied. Candidate sizes are spaced so that rounding up wastes about an eighth; a span
//! is the fewest pages that waste at most an eighth at their end; candidates that fit equally often into equally many
//! pages are merged into the largest; and what is left over at the end of a span is shared out among its slots.
//!
//! Invariants: sizes rise and are multiples of the word; `slots * size <= pages * PAGE`; class 0 is for large objects
//! and has no row of its own. Source: the algorithm of Go's `mksizeclasses.go`, and after that its `sizeclasses.go`.

use crate::geometry::{MAX_SMALL, PAGE, WORD, sized};

/// How many classes there are, the one for large objects included.
pub(crate) const CLASSES: usize = sized(68, 7);

/// The class of every object that has a span of its own.
pub(crate) const LARGE: usize = 0;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// The bytes of a slot.
    pub(crate) size: usize,
    /// The pages of a span.
    pub(crate) pages: usize,
    /// The slots of a span.
    pub(crate) slots: usize,
    /// `(offset * magic) >> 32 == offset / size` for every offset in a span.
    magic: u64,
}

impl Class {
    /// The slot that the byte at `offset` of a span belongs to.
    #[inline]
    pub(crate) fn slot(self, offset: usize) -> usize {
        ((offset as u64 * self.magic) >> 32) as usize
    }
}

/// Sizes up to here are looked up in steps of [`FINE`], larger ones in steps of [`COARSE`].
const FINE_END: usize = sized(1024, MAX_SMALL);
const FINE: usize = 8;
const COARSE: usize = 128;

static TABLE: [Class; CLASSES] = derive();
static FINE_LOOKUP: [u8; FINE_END / FINE + 1] = lookup(0, FINE);
static COARSE_LOOKUP: [u8; (MAX_SMALL - FINE_END) / COARSE + 1] = lookup(FINE_END, COARSE);

/// The row of a class other than [`LARGE`].
#[inline]
pub(crate) const fn class(number: usize) -> Class {
    TABLE[number]
}

/// The class of the smallest slot that holds `size` bytes, if they are few: what fast paths ask first.
#[inline(always)]
pub(crate) fn fine_class(size: usize) -> Option<usize> {
    FINE_LOOKUP.get(fine(size)).map(|class| usize::from(*class))
}

/// How many sizes [`fine`] tells apart.
pub(crate) const FINE_SIZES: usize = FINE_END / FINE + 1;

/// Where in a table like [`fine_table`] a size is; beyond its end if it is not. At most half the address space.
#[inline(always)]
pub(crate) fn fine(size: usize) -> usize {
    // Not `div_ceil`: the sum does not overflow.
    size.wrapping_add(FINE - 1) / FINE
}

/// The classes of small sizes, each times `unit`.
pub(crate) const fn fine_table(unit: usize) -> [u16; FINE_SIZES] {
    let mut table = [0; FINE_SIZES];
    let mut at = 0;
    while at < FINE_SIZES {
        table[at] = FINE_LOOKUP[at] as u16 * unit as u16;
        at += 1;
    }
    table
}

/// The class for so many bytes at an address that is a multiple of `align`, a power of two. `None` if that takes pages of
/// its own.
pub(crate) fn class_for(size: usize, align: usize) -> Option<usize> {
    let size = size.max(1).checked_add(align - 1)? & !(align - 1);
    if size > MAX_SMALL || align > PAGE {
        return None;
    }
    // A slot is aligned as its size is, up to a page.
    (class_of(size)..CLASSES).find(|number| TABLE[*number].size.is_multiple_of(align))
}

/// The class of the smallest slot that holds `size` bytes, at most [`MAX_SMALL`]. Size 0 gets the smallest slot.
#[inline]
pub(crate) fn class_of(size: usize) -> usize {
    usize::from(if size <= FINE_END {
        FINE_LOOKUP[size.div_ceil(FINE)]
    } else {
        COARSE_LOOKUP[(size - FINE_END).div_ceil(COARSE)]
    })
}

const fn derive() -> [Class; CLASSES] {
    let mut table = [Class { size: 0, pages: 0, slots: 0, magic: 0 }; CLASSES];
    let mut last = LARGE;
    let mut size = WORD;
    let mut step = WORD;
    while size <= MAX_SMALL {
        if size.is_power_of_two() {
            step = match size {
                2048.. => 256,
                128.. => size / 8,
                32.. => 16,
                _ => WORD,
            };
        }
        let mut pages = 1;
        while pages * PAGE % size > pages * PAGE / 8 {
            pages += 1;
        }
        let slots = pages * PAGE / size;
        if table[last].pages != pages || table[last].slots != slots {
            last += 1;
        }
        table[last] = Class { size, pages, slots, magic: 0 };
        size += step;
    }
    assert!(last == CLASSES - 1);
    let mut number = 1;
    while number < CLASSES {
        let row = &mut table[number];
        let grown = row.pages * PAGE / row.slots / 128 * 128;
        if grown > row.size {
            row.size = grown;
        }
        row.magic = u32::MAX as u64 / row.size as u64 + 1;
        number += 1;
    }
    table
}

/// The smallest class for `start`, `start + step`, `start + 2 * step`, ….
const fn lookup<const N: usize>(start: usize, step: usize) -> [u8; N] {
    let mut classes = [0; N];
    let mut class = 1;
    let mut index = 0;
    while index < N {
        while TABLE[class].size < start + index * step {
            class += 1;
        }
        classes[index] = class as u8;
        index += 1;
    }
    classes
}

#[cfg(all(test, not(heaplaw_shuttle)))]
mod tests {
    use super::*;

    /// Bytes, pages and slots of every class as published in Go's `sizeclasses.go`.
    #[rustfmt::skip]
    const PUBLISHED: [(usize, usize, usize); CLASSES - 1] = [
        (8, 1, 1024), (16, 1, 512), (24, 1, 341), (32, 1, 256), (48, 1, 170), (64, 1, 128),
        (80, 1, 102), (96, 1, 85), (112, 1, 73), (128, 1, 64), (144, 1, 56), (160, 1, 51),
        (176, 1, 46), (192, 1, 42), (208, 1, 39), (224, 1, 36), (240, 1, 34), (256, 1, 32),
        (288, 1, 28), (320, 1, 25), (352, 1, 23), (384, 1, 21), (416, 1, 19), (448, 1, 18),
        (480, 1, 17), (512, 1, 16), (576, 1, 14), (640, 1, 12), (704, 1, 11), (768, 1, 10),
        (896, 1, 9), (1024, 1, 8), (1152, 1, 7), (1280, 1, 6), (1408, 2, 11), (1536, 1, 5),
        (1792, 2, 9), (2048, 1, 4), (2304, 2, 7), (2688, 1, 3), (3072, 3, 8), (3200, 2, 5),
        (3456, 3, 7), (4096, 1, 2), (4864, 3, 5), (5376, 2, 3), (6144, 3, 4), (6528, 4, 5),
        (6784, 5, 6), (6912, 6, 7), (8192, 1, 1), (9472, 7, 6), (9728, 6, 5), (10240, 5, 4),
        (10880, 4, 3), (12288, 3, 2), (13568, 5, 3), (14336, 7, 4), (16384, 2, 1), (18432, 9, 4),
        (19072, 7, 3), (20480, 5, 2), (21760, 8, 3), (24576, 3, 1), (27264, 10, 3), (28672, 7, 2),
        (32768, 4, 1),
    ];

    #[test]
    fn the_derived_table_is_the_published_one() {
        for (number, row) in (1..).zip(PUBLISHED) {
            let Class { size, pages, slots, .. } = class(number);
            assert_eq!((size, pages, slots), row, "class {number}");
        }
    }

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        let mut expected = 1;
        for size in 0..=MAX_SMALL {
            if size > class(expected).size {
                expected += 1;
            }
            assert_eq!(class_of(size), expected, "{size} bytes");
            assert_eq!(fine_class(size), (size <= FINE_END).then_some(expected), "{size} bytes");
        }
    }

    #[test]
    fn every_size_and_alignment_gets_a_slot_that_holds_both() {
        for align in (0..=12).map(|shift| 1 << shift) {
            for size in 1..=MAX_SMALL {
                let rounded = size.next_multiple_of(align);
                let number = class_for(size, align).expect("it fits");
                let row = class(number);
                assert!(row.size >= size && row.size.is_multiple_of(align), "{size} bytes aligned to {align}");
                let found = fine_table(2).get(fine(rounded)).copied().map(usize::from);
                assert_eq!(found, (rounded <= FINE_END).then_some(2 * number), "{size} bytes aligned to {align}");
                if align <= FINE {
                    assert_eq!(fine(rounded), fine(size), "small alignments need no rounding");
                }
            }
        }
        assert_eq!((class_for(1, 2 * PAGE), class_for(usize::MAX, 8), class_for(MAX_SMALL + 1, 1)), (None, None, None));
    }

    #[test]
    fn the_multiplication_divides_every_offset_exactly() {
        for number in 1..CLASSES {
            let row = class(number);
            for offset in 0..=row.pages * PAGE {
                assert_eq!(row.slot(offset), offset / row.size, "offset {offset} of class {number}");
            }
        }
    }
}
