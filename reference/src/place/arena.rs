//! Arenas: 64 MiB of addresses each, and what is known of every page in them.
//!
//! Given any address, the collector must find the span that it lies in, or that there is none. The address space is far
//! too large for a table of all pages, so there are two steps: the address divided by 64 MiB is the index of an **arena**,
//! and an arena, if the heap has one there, knows its 8192 pages.
//!
//! ```text
//!   address ──▶ arena index ──▶ arena ─┬─ span of each page      every page of a span leads to it
//!             (+2⁴⁷) / 64 MiB   or none ├─ in use     ┐
//!                                      ├─ marked     │ a bit for each page; only the bit of a span's
//!                                      ├─ specials   │ first page is used
//!                                      ├─ marks      ┘
//!                                      └─ first page never used: what lies above it is zero
//! ```
//!
//! Two of its answers must be taken with care. The span of a page is not cleared when the span dies, so whoever asks has
//! to check that the span is in use and that the address lies within. And *never used* is a mark of high water: it is
//! right since pages are taken from the lowest address up, so everything above it is as the kernel gave it.
//!
//! An arena, once there, stays. New ones are asked for at a **hint**, first `0xc0_0000_0000`, then right behind the last
//! one, so that spans may cross from one to the next.
//!
//! This chapter grounds laws 5, 11 and 95. Source: Go's `mheap.go` (`heapArena`, `arenaIndex`, `allocNeedsZero`) and
//! `malloc.go` (`mallocinit`).
//!
//! ```
//! use heaplaw_reference::place::arena::{ARENA, Arenas, Flag, index};
//! let base = 0xc0_0000_0000;
//! let mut arenas = Arenas::default();
//! assert!(arenas.insert(base));
//! assert_eq!(index(base), index(0) + 768 * 16);
//! arenas.set_span(base + 8192, 3);
//! assert_eq!(arenas.span_of(base + 3 * 8192 + 5), Some(base + 8192));
//! assert_eq!((arenas.span_of(base), arenas.span_of(base + ARENA)), (None, None));
//! arenas.set(Flag::InUse, base + 8192, true);
//! assert!(arenas.is_set(Flag::InUse, base + 8192) && !arenas.is_set(Flag::Marked, base + 8192));
//! ```

use crate::place::{PAGE, page::CHUNK};
use alloc::collections::{BTreeMap, BTreeSet};

/// The bytes of an arena.
pub const ARENA: u64 = 64 << 20;

/// The pages of an arena.
pub const PAGES: u64 = ARENA / PAGE;

/// The lowest address there is: on amd64, addresses are numbers of 48 bits with a sign.
const LOWEST: u64 = 0xffff_8000_0000_0000;

/// How many arenas the address space has room for.
pub const INDICES: u64 = (1 << 48) / ARENA;

/// The number of the arena that an address lies in. Below [`INDICES`] for every address that can be.
pub fn index(at: u64) -> u64 {
    at.wrapping_sub(LOWEST) / ARENA
}

/// Where arenas are asked for, in this order: what is there, a reader of a core dump will recognise as the heap.
pub fn hints() -> impl Iterator<Item = u64> {
    (0..0x80).map(|high| high << 40 | 0xc0 << 32)
}

/// What is known of a span, at the page that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// It is there, for objects.
    InUse,
    /// One of its objects was marked in this cycle.
    Marked,
    /// One of its objects has a special record: a finalizer, a weak pointer.
    Specials,
    /// Its mark bits are in the span.
    InlineMarks,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Arena {
    /// From a page to the base of its span, or of the last that it had.
    spans: BTreeMap<u64, u64>,
    flags: [BTreeSet<u64>; 4],
    /// Bytes from the start that may have been written. Invariant: never falls, and at most [`ARENA`].
    zeroed_base: u64,
}

/// Every arena that the heap has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arenas {
    arenas: BTreeMap<u64, Arena>,
}

impl Arenas {
    /// Makes the arena that an address lies in; false if it is there already.
    pub fn insert(&mut self, at: u64) -> bool {
        let fresh = !self.arenas.contains_key(&index(at));
        self.arenas.entry(index(at)).or_default();
        fresh
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.arenas.len()
    }

    fn arena(&mut self, at: u64) -> &mut Arena {
        self.arenas.get_mut(&index(at)).expect("the heap has an arena there")
    }

    /// Lets every page of a span lead to it.
    ///
    /// # Panics
    /// If there is no arena for one of them.
    pub fn set_span(&mut self, base: u64, pages: u64) {
        for at in (0..pages).map(|page| base + page * PAGE) {
            self.arena(at).spans.insert(at % ARENA / PAGE, base);
        }
    }

    /// The base of the span that an address lies in; or of one that was there before.
    pub fn span_of(&self, at: u64) -> Option<u64> {
        self.arenas.get(&index(at))?.spans.get(&(at % ARENA / PAGE)).copied()
    }

    /// Sets or clears a flag of the span that begins here.
    ///
    /// # Panics
    /// If there is no arena.
    pub fn set(&mut self, flag: Flag, base: u64, value: bool) {
        let (page, flags) = (base % ARENA / PAGE, &mut self.arena(base).flags[flag as usize]);
        if value {
            flags.insert(page);
        } else {
            flags.remove(&page);
        }
    }

    /// Whether a flag of the span that begins here is set.
    pub fn is_set(&self, flag: Flag, base: u64) -> bool {
        let page = base % ARENA / PAGE;
        self.arenas.get(&index(base)).is_some_and(|arena| arena.flags[flag as usize].contains(&page))
    }

    /// Clears the marks of all pages, for a new cycle.
    pub fn clear_marks(&mut self) {
        self.arenas.values_mut().for_each(|arena| arena.flags[Flag::Marked as usize].clear());
    }

    /// The spans in use, at or after an address, of which no object was marked: they are worth sweeping when pages are
    /// wanted.
    pub fn unmarked(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let bases = self.arenas.iter().flat_map(|(number, arena)| {
            let start = LOWEST.wrapping_add(number * ARENA);
            let [in_use, marked, ..] = &arena.flags;
            in_use.difference(marked).map(move |page| start + page * PAGE)
        });
        bases.filter(move |base| *base >= from)
    }

    /// The first address of the `number`th piece of 512 pages, counted over all arenas in order.
    pub fn piece(&self, number: u64) -> Option<u64> {
        let pieces = PAGES / CHUNK;
        let arena = self.arenas.keys().nth((number / pieces) as usize)?;
        Some(LOWEST.wrapping_add(arena * ARENA) + number % pieces * CHUNK * PAGE)
    }

    /// Whether a span that is about to be made may find something other than zeroes in these pages; and notes that they
    /// are used from now on. Pages beyond the first never used are zero, even if those before are skipped.
    ///
    /// # Panics
    /// If there is no arena for one of them.
    pub fn need_zero(&mut self, base: u64, pages: u64) -> bool {
        let (mut at, end, mut need) = (base, base + pages * PAGE, false);
        while at < end {
            let arena = self.arena(at);
            let (from, to) = (at % ARENA, (at % ARENA + (end - at)).min(ARENA));
            need |= from < arena.zeroed_base;
            arena.zeroed_base = arena.zeroed_base.max(to);
            at += to - from;
        }
        need
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const BASE: u64 = 0xc0_0000_0000;

    #[test]
    fn the_index_covers_the_address_space() {
        assert_eq!((PAGES, INDICES), (8192, 4_194_304));
        assert_eq!((index(LOWEST), index(u64::MAX)), (0, INDICES / 2 - 1));
        assert_eq!((index(0), index((1 << 47) - 1)), (INDICES / 2, INDICES - 1));
        assert!(index(1 << 47) >= INDICES, "there is no such address");
    }

    #[test]
    fn hints_come_in_order() {
        let first: Vec<_> = hints().take(3).collect();
        assert_eq!(first, [0x00c0_0000_0000, 0x01c0_0000_0000, 0x02c0_0000_0000]);
        assert!(hints().count() == 0x80 && hints().all(|hint| index(hint) < INDICES && hint % ARENA == 0));
    }

    #[test]
    fn a_span_may_cross_from_one_arena_to_the_next() {
        let mut arenas = Arenas::default();
        assert_eq!([BASE, BASE + ARENA, BASE + 5].map(|at| arenas.insert(at)), [true, true, false]);
        let base = BASE + ARENA - 2 * PAGE;
        arenas.set_span(base, 4);
        let pages = [base - 1, base, base + 2 * PAGE, base + 4 * PAGE - 1, base + 4 * PAGE];
        let found = pages.map(|at| arenas.span_of(at));
        assert_eq!(found, [None, Some(base), Some(base), Some(base), None]);
        arenas.set_span(base + PAGE, 1);
        assert_eq!(arenas.span_of(base + PAGE), Some(base + PAGE), "the last one who had the page");
    }

    /// Law 5: as long as nothing above the mark was used.
    #[test]
    fn only_pages_that_were_used_need_zeroing() {
        let mut arenas = Arenas::default();
        arenas.insert(BASE);
        arenas.insert(BASE + ARENA);
        let mut need = |page: u64, pages| arenas.need_zero(BASE + page * PAGE, pages);
        assert!(!need(0, 2) && !need(2, 1) && need(1, 1) && need(2, 3), "the last one is only partly new");
        assert!(!need(10, 1) && need(7, 1), "what was skipped counts as used");
        assert!(!need(PAGES - 1, 2) && need(PAGES, 1) && !need(PAGES + 1, 1), "each arena has its own mark");
    }

    #[test]
    fn flags_are_independent() {
        let mut arenas = Arenas::default();
        arenas.insert(BASE);
        let flags = [Flag::InUse, Flag::Marked, Flag::Specials, Flag::InlineMarks];
        for flag in flags {
            arenas.set(flag, BASE + PAGE, true);
        }
        arenas.set(Flag::Specials, BASE + PAGE, false);
        arenas.set(Flag::InUse, BASE + 3 * PAGE, true);
        assert_eq!(arenas.unmarked(0).collect::<Vec<_>>(), [BASE + 3 * PAGE]);
        arenas.clear_marks();
        assert_eq!(flags.map(|flag| arenas.is_set(flag, BASE + PAGE)), [true, false, false, true]);
        assert_eq!(arenas.unmarked(0).collect::<Vec<_>>(), [BASE + PAGE, BASE + 3 * PAGE]);
        assert_eq!(arenas.unmarked(BASE + 2 * PAGE).count(), 1);
        assert!(!arenas.is_set(Flag::InUse, BASE + ARENA));
    }

    #[test]
    fn pieces_are_counted_over_all_arenas() {
        let mut arenas = Arenas::default();
        let far = BASE + 5 * ARENA;
        arenas.insert(far);
        arenas.insert(BASE);
        let all: Vec<_> = (0..).map_while(|number| arenas.piece(number)).collect();
        let expected: Vec<_> = [BASE, far].into_iter().flat_map(|base| (base..base + ARENA).step_by(4 << 20)).collect();
        assert_eq!(all, expected, "of 512 pages of 8 KiB each");
    }
}
