//! Spans: runs of pages, cut into slots of one size.
//!
//! A span keeps no list of its free slots. It has two bitmaps, a cursor, and a window:
//!
//! ```text
//!   slot          0  1  2  3  4  5  6  7  8  ..            allocated: below the cursor, or its bit is set
//!   alloc bits    1  1  0  1  0  1  1  0  1                who was there when the span was last swept
//!   mark bits     1  0  0  1  0  0  1  0  0                who has been found alive in this cycle
//!   cursor                 ▲                               slots below it are taken
//!   window                 0  1  0  0  1  0 ..             64 alloc bits from the cursor on, upside down: 1 is free
//! ```
//!
//! **Allocating** finds the lowest set bit of the window, shifts the window past it, and moves the cursor along. When
//! nothing is left in the window, the next 64 bits are loaded, at a multiple of 64. So a span hands out its **lowest free
//! slot** each time, never writes into a free one, and never goes back.
//!
//! **Sweeping** is a change of roles: the mark bits become the alloc bits, fresh zeroes become the mark bits, the cursor
//! returns to 0. Whatever was not marked is thereby free, without having been looked at. A marked slot that was free
//! before is a **zombie**: a pointer was missed in an earlier cycle, and it is too late to go on.
//!
//! **States.** A span is *dead*, *in use* by objects, or *manual* (a stack). Nothing dies while marking goes on, since
//! the marker may hold a pointer into it; and spans of objects die by being swept, only.
//!
//! ```text
//!   in use ◀──── any time ──── dead ──── any time ────▶ manual
//!      └──── swept, not marking ─▶▲◀─ not marking ────────┘
//! ```
//!
//! This chapter grounds laws 11, 35, 36, 37, 40, 90 and 96. Source: Go's `mheap.go` (`mspan`), `mbitmap.go`
//! (`nextFreeIndex`), `mcache.go` and `mgcsweep.go`.
//!
//! ```
//! use heaplaw_reference::place::{class::SpanClass, generation::Generation, span::Span};
//! let mut span = Span::small(0x10000, SpanClass::new(5, true), Generation(0));
//! assert_eq!((span.slots(), span.allocate(), span.allocate()), (168, Some(0), Some(1)));
//! span.mark(1);
//! assert_eq!(span.sweep(), Ok(1), "slot 0 is free");
//! assert_eq!((span.allocate(), span.allocate()), (Some(0), Some(2)));
//! assert_eq!(span.find(0x10000 + 100), Some((2, 0x10000 + 96)), "an inner pointer");
//! ```

use crate::place::{
    PAGE,
    class::{LARGE, SpanClass, row},
    generation::Generation,
};
use alloc::{format, string::String, vec, vec::Vec};

/// What a span is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: its pages are free.
    Dead,
    /// Objects.
    InUse,
    /// Something that is not collected, such as a stack.
    Manual,
}

impl State {
    /// Whether a span may go from one state to another (law 40), by being swept or not, while marking goes on or not.
    pub fn may_become(self, next: State, swept: bool, marking: bool) -> bool {
        match (self, next) {
            (State::Dead, State::InUse | State::Manual) => true,
            (State::InUse, State::Dead) => swept && !marking,
            (State::Manual, State::Dead) => !marking,
            _ => false,
        }
    }
}

/// A slot that is marked although it was free: a pointer to it had been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zombie(pub u64);

/// Slots in a word of a bitmap.
const WORD: u64 = u64::BITS as u64;

/// A run of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    base: u64,
    pages: u64,
    class: SpanClass,
    slots: u64,
    size: u64,
    /// Invariant: at most `slots`. Slots below are allocated.
    cursor: u64,
    /// Bits from `slots` on mean nothing.
    alloc_bits: Vec<u64>,
    mark_bits: Vec<u64>,
    /// Invariant: the complement of the alloc bits from the cursor to the next multiple of 64, in its lowest bits; nothing
    /// but zeroes above that.
    window: u64,
    /// Invariant (law 36): as many as are allocated.
    allocated: u64,
    /// What it is used for.
    pub state: State,
    /// Whether it was swept, and who owns it.
    pub generation: Generation,
    /// Whether a free slot may hold something other than zeroes.
    pub need_zero: bool,
}

impl Span {
    /// A fresh span of slots, for objects of a size class.
    ///
    /// # Panics
    /// If the class is that of large objects.
    pub fn small(base: u64, class: SpanClass, generation: Generation) -> Self {
        let row = row(class.class());
        Span::new(base, row.pages, class, class.slots(), row.size, generation)
    }

    /// A fresh span of so many pages, for a single object.
    pub fn large(base: u64, pages: u64, pointer_free: bool, generation: Generation) -> Self {
        Span::new(base, pages, SpanClass::new(LARGE, pointer_free), 1, pages * PAGE, generation)
    }

    fn new(base: u64, pages: u64, class: SpanClass, slots: u64, size: u64, generation: Generation) -> Self {
        let bits = vec![0; slots.div_ceil(WORD) as usize];
        let (alloc_bits, mark_bits) = (bits.clone(), bits);
        let mut span = Span {
            base,
            pages,
            class,
            slots,
            size,
            cursor: 0,
            alloc_bits,
            mark_bits,
            window: 0,
            allocated: 0,
            state: State::InUse,
            generation,
            need_zero: false,
        };
        span.load_window();
        span
    }

    /// Its first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Its length in pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// What its objects are.
    pub fn class(&self) -> SpanClass {
        self.class
    }

    /// How many objects it has room for.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The bytes of a slot.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many slots are allocated.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Whether every slot is allocated.
    pub fn is_full(&self) -> bool {
        self.allocated == self.slots
    }

    /// The first slot that allocation will look at.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Where a slot starts.
    pub fn slot(&self, index: u64) -> u64 {
        self.base + index * self.size
    }

    /// The slot that an address lies in, and where it starts; `None` for what is left over at the end.
    pub fn find(&self, at: u64) -> Option<(u64, u64)> {
        let index = at.checked_sub(self.base)? / self.size;
        (index < self.slots).then(|| (index, self.slot(index)))
    }

    /// Whether a slot is allocated.
    pub fn is_allocated(&self, index: u64) -> bool {
        index < self.cursor || bit(&self.alloc_bits, index)
    }

    /// Whether a slot has been marked in this cycle.
    pub fn is_marked(&self, index: u64) -> bool {
        bit(&self.mark_bits, index)
    }

    /// Marks a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn mark(&mut self, index: u64) {
        assert!(index < self.slots, "slot {index} of {}", self.slots);
        self.mark_bits[(index / WORD) as usize] |= 1 << (index % WORD);
    }

    /// Allocates the lowest free slot; `None` if there is none.
    pub fn allocate(&mut self) -> Option<u64> {
        while self.window == 0 {
            self.cursor = (self.cursor / WORD + 1) * WORD;
            if self.cursor >= self.slots {
                self.cursor = self.slots;
                return None;
            }
            self.load_window();
        }
        let skip = u64::from(self.window.trailing_zeros());
        let index = self.cursor + skip;
        if index >= self.slots {
            // A free bit of a slot that does not exist.
            self.cursor = self.slots;
            return None;
        }
        // In two steps: a shift by 64 would be none at all.
        self.window = self.window >> skip >> 1;
        self.cursor = index + 1;
        if self.cursor.is_multiple_of(WORD) && self.cursor < self.slots {
            self.load_window();
        }
        self.allocated += 1;
        Some(index)
    }

    /// Loads the window at the cursor, which is at the start of a word.
    fn load_window(&mut self) {
        let word = self.alloc_bits.get((self.cursor / WORD) as usize).copied();
        self.window = word.map_or(0, |word| !word);
    }

    /// Frees every slot that is not marked, clears the marks, and says how many slots were freed. What they held is not
    /// touched, so the next object there may need zeroing.
    ///
    /// # Errors
    /// The first slot that is marked although it is free. Nothing has changed then.
    pub fn sweep(&mut self) -> Result<u64, Zombie> {
        let marked: Vec<_> = (0..self.slots).filter(|index| self.is_marked(*index)).collect();
        if let Some(zombie) = marked.iter().find(|index| !self.is_allocated(**index)) {
            return Err(Zombie(*zombie));
        }
        let freed = self.allocated - marked.len() as u64;
        let fresh = vec![0; self.mark_bits.len()];
        self.alloc_bits = core::mem::replace(&mut self.mark_bits, fresh);
        self.allocated = marked.len() as u64;
        self.cursor = 0;
        self.load_window();
        self.need_zero |= freed > 0;
        Ok(freed)
    }

    /// Law 36: as many slots are allocated as it counts.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self) -> Result<(), String> {
        let allocated = (0..self.slots).filter(|index| self.is_allocated(*index)).count() as u64;
        if allocated == self.allocated {
            Ok(())
        } else {
            Err(format!("law 36: {allocated} slots at {:#x} are allocated, and {} counted", self.base, self.allocated))
        }
    }
}

fn bit(bits: &[u64], index: u64) -> bool {
    bits.get((index / WORD) as usize).is_some_and(|word| word >> (index % WORD) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;

    /// Laws 36, 37 and 90, against a list of flags, for every kind of span.
    #[test]
    fn a_span_hands_out_its_lowest_free_slot_and_a_sweep_frees_exactly_the_unmarked() {
        let mut dice = Dice(37);
        for class in SpanClass::all().filter(|class| class.class() != LARGE) {
            let mut span = Span::small(0x10000, class, Generation(0));
            let mut taken = vec![false; span.slots() as usize];
            for _ in 0..4 {
                for _ in 0..dice.below(2 * span.slots()) {
                    let lowest = taken.iter().position(|taken| !taken).map(|index| index as u64);
                    assert_eq!(span.allocate(), lowest, "class {}", class.class());
                    lowest.into_iter().for_each(|index| taken[index as usize] = true);
                    assert_eq!(span.allocated(), taken.iter().filter(|taken| **taken).count() as u64);
                }
                let some = (0..span.slots()).all(|index| span.is_allocated(index) == taken[index as usize]);
                assert!(some, "what lies below the cursor is allocated");
                for (index, taken) in taken.iter_mut().enumerate() {
                    *taken &= dice.below(3) > 0;
                    if *taken {
                        span.mark(index as u64);
                    }
                }
                let before = span.allocated();
                let freed = span.sweep().unwrap();
                assert_eq!((before - freed, span.cursor()), (span.allocated(), 0));
                assert!((0..span.slots()).all(|index| !span.is_marked(index)), "the new marks are clear");
                assert!((0..span.slots()).all(|index| span.is_allocated(index) == taken[index as usize]));
                assert!(freed == 0 || span.need_zero);
            }
        }
    }

    #[test]
    fn bits_behind_the_last_slot_mean_nothing() {
        let mut span = Span::small(0, SpanClass::new(26, true), Generation(0));
        assert_eq!((span.slots(), (0..15).all(|index| span.allocate() == Some(index))), (15, true));
        assert_eq!((span.window & 1, span.allocate(), span.is_full()), (1, None, true), "a free bit, and no slot");
        assert_eq!((span.allocate(), span.cursor()), (None, 15));
    }

    /// Law 36.
    #[test]
    fn a_wrong_count_is_noticed() {
        let mut span = Span::small(0, SpanClass::new(5, false), Generation(0));
        span.allocate();
        span.allocate();
        assert_eq!(span.verify(), Ok(()));
        assert!(Span { allocated: 1, ..span.clone() }.verify().is_err());
        assert!(Span { cursor: 1, ..span }.verify().is_err());
    }

    /// Law 96.
    #[test]
    fn a_marked_slot_that_is_free_is_a_zombie() {
        let mut span = Span::small(0, SpanClass::new(5, false), Generation(0));
        span.allocate();
        span.mark(0);
        span.mark(100);
        let before = span.clone();
        assert_eq!((span.sweep(), &span), (Err(Zombie(100)), &before));
    }

    /// Law 11.
    #[test]
    fn every_byte_of_a_slot_leads_to_it_and_no_other_byte_to_any() {
        for class in SpanClass::all().filter(|class| class.class() != LARGE) {
            let span = Span::small(PAGE, class, Generation(0));
            for at in 0..span.pages() * PAGE + 2 * PAGE {
                let expected = at.checked_sub(PAGE).map(|offset| offset / span.size());
                let expected = expected.filter(|index| *index < span.slots());
                assert_eq!(span.find(at).map(|(index, _)| index), expected);
            }
            assert_eq!(span.find(span.slot(1) - 1), Some((0, PAGE)));
            // The division by multiplication agrees; a tail that belongs to nobody has numbers from `slots` on.
            assert_eq!(row(class.class()).slot(span.size() - 1), 0);
        }
    }

    #[test]
    fn one_object_has_a_large_span() {
        let mut span = Span::large(PAGE, 3, true, Generation(0));
        assert_eq!((span.allocate(), span.allocate(), span.is_full()), (Some(0), None, true));
        assert_eq!(span.find(4 * PAGE - 1), Some((0, PAGE)));
        assert_eq!((span.sweep(), span.allocated()), (Ok(1), 0));
    }

    /// Law 40.
    #[test]
    fn no_span_dies_while_marking_and_objects_die_by_the_sweep() {
        use State::{Dead, InUse, Manual};
        let states = [Dead, InUse, Manual];
        let modes = [(false, false), (false, true), (true, false), (true, true)];
        let mut legal = Vec::new();
        for (from, to) in states.into_iter().flat_map(|from| states.map(|to| (from, to))) {
            let when = modes.map(|(swept, marking)| from.may_become(to, swept, marking));
            if when.contains(&true) {
                legal.push((from, to, when));
            }
        }
        let published = [
            (Dead, InUse, [true; 4]),
            (Dead, Manual, [true; 4]),
            (InUse, Dead, [false, false, true, false]),
            (Manual, Dead, [true, false, true, false]),
        ];
        assert_eq!(legal, published);
    }

    #[test]
    #[should_panic(expected = "slot 168 of 168")]
    fn slots_that_do_not_exist_cannot_be_marked() {
        Span::small(0, SpanClass::new(5, true), Generation(0)).mark(168);
    }

    /// Law 5: nothing was freed, so nothing was written.
    #[test]
    fn a_sweep_that_frees_nothing_leaves_what_is_clean_clean() {
        let mut span = Span::small(0, SpanClass::new(5, false), Generation(0));
        for index in 0..3 {
            span.allocate();
            span.mark(index);
        }
        assert_eq!((span.sweep(), span.need_zero), (Ok(0), false));
        assert_eq!((span.sweep(), span.need_zero), (Ok(3), true));
    }
}
