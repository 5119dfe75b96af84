//! The hardened malloc face: misuse is found, reported and ends the process. Above
//! [`malloc`](crate::malloc), whose blocks it wraps.
//!
//! ```text
//!   slot:  │ …  layout │ canary │ block │ guard bytes to the end of the slot, 8 at least │
//!                               └ aligned as asked for
//! ```
//!
//! A bit beside the span says that a block is live: freeing clears it, and only the first to clear it frees. A freed block
//! is filled with [`POISON`], and is looked at when it is allocated again.
//!
//! | misuse                               | found                       | by                      |
//! |--------------------------------------|-----------------------------|-------------------------|
//! | free of an address that is no block  | at once, always             | index, slot, offset     |
//! | double free                          | at once, always             | the live bit            |
//! | free with another size or alignment  | at once, always             | layout word, offset     |
//! | write before or behind the block     | when it is freed            | canary, guard bytes     |
//! | write into a freed block             | when it is allocated again  | poison                  |
//!
//! *Always* is as long as the memory has not become another block's; from then on a free with that block's layout is a
//! free of that block. What is found by bytes is missed if the byte that is written is the one that was there. Large
//! blocks give their pages back, so writes into them after that are not found.
//!
//! Invariant: between calls, layout word, canary and guard of a live block are those that `allocate` wrote.

use crate::{
    class::LARGE,
    geometry::{PAGE, PAGE_WORDS},
    malloc::{allocate as raw_allocate, clear, deallocate as raw_deallocate, heap, span_of},
    span::Span,
};
use std::{
    alloc::Layout,
    fmt::{self, Write as _},
    process,
    ptr::{self, NonNull},
    slice,
};

/// What freed blocks are filled with.
const POISON: u8 = 0xdf;
/// What is behind a block.
const GUARD: u8 = 0xa7;
/// The bytes before a block, unless its alignment is larger.
const FRONT: usize = 16;
/// The fewest bytes behind it.
const BACK: usize = 8;
/// The bits of a layout word that say the size; those above say which power of two the alignment is.
const SIZE_BITS: u32 = 56;

/// How a program misused the allocator.
#[derive(Clone, Copy, Debug)]
enum Misuse {
    InvalidFree,
    DoubleFree,
    SizeMismatch { freed: usize, allocated: usize },
    AlignmentMismatch { freed: usize, allocated: usize },
    Underflow,
    Overflow { at: usize },
    WriteAfterFree { at: usize },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::InvalidFree => f.write_str("invalid free: no block of this alignment starts here"),
            Misuse::DoubleFree => f.write_str("double free"),
            Misuse::SizeMismatch { freed, allocated } => {
                write!(f, "size mismatch: freed with {freed} bytes, allocated with {allocated}")
            }
            Misuse::AlignmentMismatch { freed, allocated } => {
                write!(f, "alignment mismatch: freed with {freed}, allocated with {allocated}")
            }
            Misuse::Underflow => f.write_str("underflow: the bytes before the block were overwritten"),
            Misuse::Overflow { at } => write!(f, "overflow: byte {at} of the block was written, behind its end"),
            Misuse::WriteAfterFree { at } => write!(f, "write after free: byte {at} of the slot was written"),
        }
    }
}

/// Text on the stack: the report must not allocate.
struct Text {
    bytes: [u8; 400],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn report(block: usize, span: Option<Span<'_>>, misuse: Misuse) -> ! {
    let mut text = Text { bytes: [0; 400], len: 0 };
    _ = write!(text, "heaplaw: {misuse}\n  block {block:#x}");
    _ = match span {
        Some(span) if !span.is_alive() => {
            writeln!(text, ", the first of span {}, which was class {LARGE} and has ended", span.first())
        }
        Some(span) => {
            let (slot, offset) = span.slot_of(block);
            let (class, size) = (span.kind().class, span.size());
            writeln!(text, ", byte {offset} of slot {slot} of span {}, class {class} of {size} bytes", span.first())
        }
        None => writeln!(text, ", which is in no span"),
    };
    // SAFETY: the bytes are valid. If they cannot be written there is nobody to tell.
    unsafe { libc::write(libc::STDERR_FILENO, text.bytes.as_ptr().cast(), text.len) };
    process::abort()
}

/// What is asked of the allocator for a block, and how far into it the block starts.
fn wrapped(layout: Layout) -> Option<(Layout, usize)> {
    let front = layout.align().max(FRONT);
    let size = layout.size().checked_add(front)?.checked_add(BACK)?;
    Some((Layout::from_size_align(size, layout.align()).ok()?, front))
}

/// The canary of a block.
fn canary(block: usize) -> u64 {
    // Odd, so that no block's is zero; multiplied, so that neighbours' differ everywhere.
    (block as u64 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The bytes of a slot.
fn bytes(span: Span<'static>, slot: usize) -> &'static mut [u8] {
    // SAFETY: the caller has just been given the slot, or has just made it no block any more: nobody else uses it.
    unsafe { slice::from_raw_parts_mut(span.address(slot).as_ptr(), span.size()) }
}

/// What is written before a block, but for the canary.
fn layout_word(layout: Layout) -> u64 {
    layout.size() as u64 | u64::from(layout.align().trailing_zeros()) << SIZE_BITS
}

/// Allocates a block.
pub(crate) fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
    let Some((outer, front)) = wrapped(layout) else { return ptr::null_mut() };
    let (start, zero) = raw_allocate(outer);
    let Some(start) = NonNull::new(start) else { return ptr::null_mut() };
    let Some((_, span)) = span_of(start) else { return ptr::null_mut() };
    let (slot, _) = span.slot_of(start.addr().get());
    let (address, all) = (start.addr().get() + front, bytes(span, slot));
    debug_assert!(span.slots() <= PAGE_WORDS / 2, "no wrapped block is in the smallest classes");
    if span.flag(slot, false)
        && span.kind().class != LARGE
        && let Some(at) = all.iter().position(|byte| *byte != POISON)
    {
        report(address, Some(span), Misuse::WriteAfterFree { at });
    }
    if zeroed && !zero {
        clear(start, outer.size());
    }
    all[front - 16..front - 8].copy_from_slice(&(layout_word(layout) ^ canary(address)).to_ne_bytes());
    all[front - 8..front].copy_from_slice(&canary(address).to_ne_bytes());
    let (block, guard) = all[front..].split_at_mut(layout.size());
    guard.fill(GUARD);
    span.mark(slot);
    block.as_mut_ptr()
}

/// The large span that began where this block's slot would, if it has ended and its first page is free since.
fn ended(address: usize, front: usize) -> Option<Span<'static>> {
    let (start, heap) = (address.checked_sub(front)?, heap()?);
    let page = heap.memory.spans().page_of(start);
    let inside = start.is_multiple_of(PAGE) && page < heap.memory.arenas().pages();
    // Every span clears the flag when it is born.
    Some(heap.memory.spans().at(page)).filter(|span| inside && !span.is_alive() && span.flag_of(0))
}

/// The span and slot of a live block that has this layout; reports what is wrong with it otherwise.
pub(crate) fn inspect(block: *mut u8, layout: Layout) -> (Span<'static>, usize) {
    let (address, front) = (block.addr(), layout.align().max(FRONT));
    let Some((_, span)) = NonNull::new(block).and_then(span_of) else {
        let ended = ended(address, front);
        report(address, ended, if ended.is_some() { Misuse::DoubleFree } else { Misuse::InvalidFree });
    };
    let (slot, offset) = span.slot_of(address);
    let found = |misuse| -> ! { report(address, Some(span), misuse) };
    if slot >= span.slots() || offset < FRONT || !offset.is_power_of_two() {
        found(Misuse::InvalidFree);
    }
    if !span.is_marked(slot) {
        let freed = offset == front && span.flag_of(slot);
        found(if freed { Misuse::DoubleFree } else { Misuse::InvalidFree });
    }
    let all = bytes(span, slot);
    let word = |at: usize| u64::from_ne_bytes(*all[at..].first_chunk().expect("eight bytes"));
    let begins = |at: usize| word(at - 8) == canary(address - offset + at);
    if !begins(offset) {
        // The slot's block begins elsewhere, or else what is before it is gone.
        let elsewhere = (4..usize::BITS).map(|power| 1 << power).take_while(|at| *at < all.len()).any(begins);
        found(if elsewhere || offset != front { Misuse::InvalidFree } else { Misuse::Underflow });
    }
    let written = word(offset - 16) ^ canary(address);
    let (size, align) =
        ((written & ((1 << SIZE_BITS) - 1)) as usize, 1_usize.checked_shl((written >> SIZE_BITS) as u32));
    let Some(align) = align.filter(|align| (*align).max(FRONT) == offset && size <= all.len() - offset - BACK) else {
        found(Misuse::Underflow);
    };
    if align != layout.align() {
        found(Misuse::AlignmentMismatch { freed: layout.align(), allocated: align });
    }
    if size != layout.size() {
        found(Misuse::SizeMismatch { freed: layout.size(), allocated: size });
    }
    if let Some(at) = all[offset + size..].iter().position(|byte| *byte != GUARD) {
        found(Misuse::Overflow { at: size + at });
    }
    (span, slot)
}

/// Frees a block, or reports why that cannot be.
pub(crate) fn deallocate(block: *mut u8, layout: Layout) {
    let (span, slot) = inspect(block, layout);
    // Only one of two threads that free the same block at the same time gets here.
    if !span.unmark(slot) {
        report(block.addr(), Some(span), Misuse::DoubleFree);
    }
    let Some((outer, _)) = wrapped(layout) else { return };
    if span.kind().class != LARGE {
        bytes(span, slot).fill(POISON);
    }
    // Of a large span it outlives the span.
    span.flag(slot, true);
    raw_deallocate(span.address(slot), outer);
}
