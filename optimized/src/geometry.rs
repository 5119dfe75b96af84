//! The numbers that the heap is made of. At the bottom, next to [`os`](crate::os): depends on nothing.
//!
//! Invariant: a page is a whole number of words, a growth step is a whole number of pages and of OS pages (4 to 64
//! KiB).

/// A number, or the smaller one that stands for it where a checker runs the whole heap: a schedule is then short, and what
/// happens when something is full happens soon.
pub(crate) const fn sized(number: usize, small: usize) -> usize {
    if cfg!(all(test, heaplaw_shuttle)) { small } else { number }
}

/// The bytes of a word, and of a pointer field.
pub(crate) const WORD: usize = size_of::<usize>();

/// The bits of a word of a bitmap.
pub(crate) const BITS: usize = u64::BITS as usize;

/// The bytes of a heap page, whatever the page size of the OS (Go: `_PageSize`).
pub(crate) const PAGE: usize = sized(8 << 10, 512);

/// The words of a page, and so the most slots that a page can have.
pub(crate) const PAGE_WORDS: usize = PAGE / WORD;

/// The largest object that shares a span with others, in bytes (Go: `_MaxSmallSize`; no header is taken from it).
pub(crate) const MAX_SMALL: usize = sized(32 << 10, 64);

/// The pages that a summary at the lowest level speaks of: 4 MiB (Go: `pallocChunkPages`).
pub(crate) const CHUNK: usize = 512;

/// The pages of an arena, the unit of address space: 64 MiB (Go: `heapArenaBytes`).
pub(crate) const ARENA: usize = (64 << 20) / PAGE;

/// The most pages that a heap can have: 256 TiB, more than a process can address today. A page number and one more fit
/// into 36 bits.
pub(crate) const MAX_PAGES: usize = sized((1 << 48) / PAGE, 1 << 20);

/// The address of no byte of a heap has more bits than this.
pub(crate) const ADDRESS_BITS: u32 = 48;

/// The pages that the heap grows by at least: one word of the page bitmap, 512 KiB. Less than a huge page, so that a
/// small heap never pays for zeroing one.
pub(crate) const GROWTH: usize = sized(BITS, 2 * BITS);

/// The alignment of the lowest page: that of a heap page, and of the largest OS page.
pub(crate) const BASE_ALIGN: usize = 64 << 10;

const _: () = assert!(WORD == 8, "the heap keeps pointers in eight bytes");
const _: () = assert!(PAGE.is_multiple_of(WORD) && BASE_ALIGN.is_multiple_of(PAGE));
const _: () = assert!((GROWTH * PAGE).is_multiple_of(BASE_ALIGN));
const _: () = assert!(ARENA.is_multiple_of(CHUNK) && CHUNK.is_multiple_of(BITS));
