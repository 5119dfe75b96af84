//! Size classes: the sizes that small objects are rounded up to.
//!
//! A span that held objects of any size would need a free list; one that holds a single size needs a bitmap. So sizes
//! are rounded up to one of 67 **classes**. Each class is twice there, once for objects with pointers and once for those
//! without, which the collector need not look into: with class 0, of objects that have a span of their own, that makes
//! 136 **span classes**.
//!
//! The table is not a matter of taste. Three steps derive it:
//!
//! ```text
//!   candidates        8  16  24  32  48  64  ..  1024  1152  1280  ..  2048  2304  ..  32768   (162 of them)
//!     spaced by       8   8   8  16  16  16         128   128   128        256   256            about an eighth
//!   pages of a span   the fewest of which no more than an eighth is left over at the end
//!   merged            1408 │ 1536 │ 1664 ─┐       candidates that come to as many slots in as many pages as the
//!                                  1792 ──┴▶ 1792  next one are dropped for it: 95 of them
//!   grown             2560 ▶ 2688                  what is left over is shared out among the slots, in steps of 128
//! ```
//!
//! Both rules bound what they are about, spacing and tail, by an eighth. What an object really wastes may be more, since
//! merging undoes the spacing: see [`slack`].
//!
//! **Lookup** takes one of two small tables: sizes up to 1024 in steps of 8, the others in steps of 128. **Division** by
//! a class's size, to find the slot that an inner pointer means, is one multiplication: [`Row::slot`].
//!
//! Part of a span may hold the collector's own notes, so that marking touches no other memory: a mark bit for each slot
//! (sizes 16 to 512), and a bit for each word that is a pointer (sizes to 512, with pointers). [`SpanClass::slots`] is
//! what is left for objects. An object with pointers that is larger than 512 bytes has its type in a header of 8 bytes
//! instead.
//!
//! This chapter grounds laws 3, 4 and 25 to 31. Source: Go's `mksizeclasses.go`, `sizeclasses.go`, `msize.go`,
//! `mbitmap.go` and `mgcmark_greenteagc.go`.
//!
//! ```
//! use heaplaw_reference::place::class::{Request, SpanClass, class_of, request, row, usable};
//! assert_eq!((class_of(33), row(5).size), (5, 48));
//! assert_eq!(row(5).slot(100), 2, "the third slot of 48 bytes");
//! assert_eq!(request(513, false), Request::Small { span_class: SpanClass::new(27, true), header: 0 });
//! assert_eq!(request(600, true), Request::Small { span_class: SpanClass::new(28, false), header: 8 });
//! assert_eq!(usable(600, true), Some(632), "640 without the header");
//! ```

use crate::{object::WORD, place::PAGE};

#[cfg(test)]
mod tests;

/// How many classes there are, with class 0 of the objects that have a span of their own.
pub const CLASSES: usize = 68;

/// How many kinds of span there are: each class with pointers and without.
pub const SPAN_CLASSES: usize = 2 * CLASSES;

/// The class of large objects. It has no size.
pub const LARGE: usize = 0;

/// The largest slot, in bytes.
pub const LARGEST: u64 = 32 << 10;

/// The largest small object, in bytes, header not included. One byte more has a span of its own.
pub const MAX_SMALL: u64 = LARGEST - HEADER;

/// The bytes of the header that says the type of an object with pointers of more than [`MAX_BITMAP`] bytes.
pub const HEADER: u64 = 8;

/// The largest object whose pointers are told by bits at the end of its span, in bytes; and the largest slot whose mark
/// bit is in its span.
pub const MAX_BITMAP: u64 = 512;

/// The size below which pointer-free objects share a block, in bytes; and the smallest slot whose mark bit is in its span.
pub const TINY: u64 = 16;

/// The bytes of a span that its own mark bits take.
const INLINE_MARKS: u64 = 128;

/// Sizes up to here are looked up in steps of [`FINE`], larger ones in steps of [`COARSE`].
const FINE_END: u64 = 1024;
const FINE: u64 = 8;
const COARSE: u64 = 128;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The bytes of a slot.
    pub size: u64,
    /// The pages of a span.
    pub pages: u64,
    /// How often the size goes into the span.
    pub objects: u64,
    /// The size before it was grown.
    merged: u64,
    magic: u64,
}

impl Row {
    /// The bytes of a span.
    pub const fn span(self) -> u64 {
        self.pages * PAGE
    }

    /// The bytes at the end of a span that are too few for an object.
    pub const fn tail(self) -> u64 {
        self.span() - self.objects * self.size
    }

    /// What every slot's address is a multiple of, in bytes: the largest power of two that divides the size, and no more
    /// than a page.
    pub const fn align(self) -> u64 {
        let align = 1 << self.size.trailing_zeros();
        if align < PAGE { align } else { PAGE }
    }

    /// The slot that the byte at `offset` of a span belongs to: the offset divided by the size. Exact for every offset in
    /// the span, its end included.
    pub const fn slot(self, offset: u64) -> u64 {
        (offset * self.magic) >> 32
    }
}

static TABLE: [Row; CLASSES] = derive();
static FINE_LOOKUP: [u8; (FINE_END / FINE + 1) as usize] = lookup(0, FINE);
static COARSE_LOOKUP: [u8; ((LARGEST - FINE_END) / COARSE + 1) as usize] = lookup(FINE_END, COARSE);

/// How far the candidate after `size` is, in bytes, if the step before was `step`.
const fn spacing(size: u64, step: u64) -> u64 {
    match size {
        _ if !size.is_power_of_two() => step,
        2048.. => 256,
        128.. => size / 8,
        32.. => 16,
        _ => WORD,
    }
}

const fn derive() -> [Row; CLASSES] {
    let mut table = [Row { size: 0, pages: 0, objects: 0, merged: 0, magic: 0 }; CLASSES];
    let (mut last, mut size, mut step) = (LARGE, WORD, WORD);
    while size <= LARGEST {
        step = spacing(size, step);
        let mut pages = 1;
        while pages * PAGE % size > pages * PAGE / 8 {
            pages += 1;
        }
        let objects = pages * PAGE / size;
        if table[last].pages != pages || table[last].objects != objects {
            last += 1;
        }
        table[last] = Row { size, pages, objects, merged: size, magic: 0 };
        size += step;
    }
    assert!(last == CLASSES - 1);
    let mut class = 1;
    while class < CLASSES {
        let row = &mut table[class];
        let grown = row.span() / row.objects / COARSE * COARSE;
        if grown > row.size {
            row.size = grown;
        }
        row.magic = u32::MAX as u64 / row.size + 1;
        class += 1;
    }
    table
}

/// The smallest class for `start`, `start + step`, `start + 2 * step`, ...
const fn lookup<const N: usize>(start: u64, step: u64) -> [u8; N] {
    let mut classes = [0; N];
    let (mut class, mut index) = (0, 0);
    while index < N {
        while TABLE[class].size < start + index as u64 * step {
            class += 1;
        }
        classes[index] = class as u8;
        index += 1;
    }
    classes
}

/// The row of a class.
///
/// # Panics
/// If there is no such class, or it is [`LARGE`].
pub fn row(class: usize) -> Row {
    assert!(class != LARGE, "large objects have no size in common");
    TABLE[class]
}

/// The first class whose slots hold `size` bytes; class 0 for 0 bytes.
///
/// # Panics
/// If the size is more than [`LARGEST`].
pub fn class_of(size: u64) -> usize {
    // The difference wraps for 1017 to 1023, and comes to 0 again when rounded up.
    usize::from(if size <= FINE_END - FINE {
        FINE_LOOKUP[size.div_ceil(FINE) as usize]
    } else {
        COARSE_LOOKUP[(size.wrapping_sub(FINE_END).wrapping_add(COARSE - 1) / COARSE) as usize]
    })
}

/// What a slot of this class wastes at worst, in bytes: the smallest object of the class is one byte larger than the
/// class before. More than an eighth of the slot for 16 of the classes, and up to 15.77 % of those above 1 KiB.
///
/// # Panics
/// As [`row`].
pub fn slack(class: usize) -> u64 {
    row(class).size - TABLE[class - 1].size - 1
}

/// What a span of this class wastes at worst, in bytes: every slot its slack, and the tail.
///
/// # Panics
/// As [`row`].
pub fn waste(class: usize) -> u64 {
    slack(class) * row(class).objects + row(class).tail()
}

/// What a span is for: a class, with pointers or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanClass(u8);

impl SpanClass {
    /// Every one, in the order of their [indices](SpanClass::index).
    pub fn all() -> impl DoubleEndedIterator<Item = SpanClass> {
        (0..SPAN_CLASSES as u8).map(SpanClass)
    }

    /// A class, of objects without pointers or with them.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn new(class: usize, pointer_free: bool) -> Self {
        assert!(class < CLASSES, "there is no class {class}");
        SpanClass(2 * class as u8 + u8::from(pointer_free))
    }

    /// Twice the class, and one more if it is without pointers.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// The class.
    pub fn class(self) -> usize {
        self.index() / 2
    }

    /// Whether its objects have no pointers: nobody need look into them.
    pub fn pointer_free(self) -> bool {
        self.index() % 2 == 1
    }

    /// The slots of a span: those that its own mark bits and pointer bits leave.
    ///
    /// # Panics
    /// For large objects.
    pub fn slots(self) -> u64 {
        let Row { size, .. } = row(self.class());
        let span = row(self.class()).span();
        let marks = if (TINY..=MAX_BITMAP).contains(&size) { INLINE_MARKS } else { 0 };
        let pointers = if size <= MAX_BITMAP && !self.pointer_free() { span / WORD / 8 } else { 0 };
        (span - marks - pointers) / size
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nowhere: it is for no byte.
    Nothing,
    /// To a block that it shares with others: fewer than [`TINY`] bytes without pointers.
    Tiny,
    /// To a slot.
    Small {
        /// Of a span of this class.
        span_class: SpanClass,
        /// The bytes of the slot before the object.
        header: u64,
    },
    /// To a span of its own.
    Large,
}

/// Where an object of `size` bytes goes, with pointers or without.
pub fn request(size: u64, pointers: bool) -> Request {
    match size {
        0 => Request::Nothing,
        1..TINY if !pointers => Request::Tiny,
        _ if size <= MAX_SMALL => {
            let header = if pointers && size > MAX_BITMAP { HEADER } else { 0 };
            Request::Small { span_class: SpanClass::new(class_of(size + header), !pointers), header }
        }
        _ => Request::Large,
    }
}

/// The bytes that an object of `size` bytes may grow to where it is, if it has a place of its own: its slot without the
/// header, or whole pages. `None` if that is more than there are numbers for.
pub fn usable(size: u64, pointers: bool) -> Option<u64> {
    match request(size, pointers) {
        Request::Nothing => Some(0),
        Request::Tiny => Some(row(class_of(size)).size),
        Request::Small { span_class, header } => Some(row(span_class.class()).size - header),
        Request::Large => size.checked_next_multiple_of(PAGE),
    }
}
