//! The numbers that the heap is made of. At the bottom, next to [`os`](crate::os): depends on nothing.
//!
//! Invariant: a page is a whole number of words, a growth step is a whole number of pages and of OS pages (4 to 64
//! KiB).

/// The bytes of a word, and of a pointer field.
pub(crate) const WORD: usize = size_of::<usize>();

/// The bytes of a heap page, whatever the page size of the OS (Go: `_PageSize`).
pub(crate) const PAGE: usize = 8 << 10;

/// The largest object that shares a span with others, in bytes (Go: `_MaxSmallSize`; no header is taken from it).
pub(crate) const MAX_SMALL: usize = 32 << 10;

/// The pages that the heap grows by at least: one word of the page bitmap, 512 KiB. Less than a huge page, so that a
/// small heap never pays for zeroing one.
pub(crate) const GROWTH: usize = u64::BITS as usize;

/// The alignment of the lowest page: that of a heap page, and of the largest OS page.
pub(crate) const BASE_ALIGN: usize = 64 << 10;

const _: () = assert!(WORD == 8, "the heap keeps pointers in eight bytes");
const _: () = assert!(PAGE.is_multiple_of(WORD) && BASE_ALIGN.is_multiple_of(PAGE));
const _: () = assert!((GROWTH * PAGE).is_multiple_of(BASE_ALIGN));
