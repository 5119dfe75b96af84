//! Slots: which of a span's are allocated, and how a span with free slots changes hands. The kernel of all allocation,
//! above [`sync`](crate::sync) alone: it is given the words that it works on, so that a model can check the code that
//! ships.
//!
//! A bit for each slot says that it is allocated; a slot that lies in some mutator's cache counts as allocated. Anybody
//! may free a slot at any time. Only the *holder* of a span allocates in it, and [`Room`] decides who that is:
//!
//! ```text
//!   Room: │ held │ free slots │
//!
//!              free: free += n, clear bits; was not held?
//!   not held ─────────────────────────────────────────────▶ held: in a central set
//!      ▲                                                        │ pop
//!      └──────────── no slot is free any more ────────────── held: by who popped it
//! ```
//!
//! Invariants:
//! * **One holder.** A span that is held is in exactly one central set, or with exactly one mutator.
//! * **Counted first.** The free slots are counted before their bits are cleared, and uncounted after their bits are set;
//!   so `free` is never less than the clear bits, and never falls below zero.
//! * **Nothing pending.** When all bits are clear, every free is over: nobody but the holder will touch the span.
//!
//! Orderings: clearing a bit is a release and setting it an acquire, so the next owner of a slot sees what the last one
//! did; counting is both, so that the order of counting and clearing holds.

use crate::{
    geometry::BITS,
    sync::{AtomicU64, Ordering},
};

const HELD: u64 = 1 << 32;
const FREE: u64 = HELD - 1;

/// How many slots are free, and whether the span is held.
#[derive(Debug)]
pub(crate) struct Room(pub(crate) AtomicU64);

impl Room {
    /// How many slots are free, at least those whose bits are clear.
    pub(crate) fn free(&self) -> usize {
        // Acquire: pairs with the release in `add`.
        (self.0.load(Ordering::Acquire) & FREE) as usize
    }

    /// Whether the span is in a set, or with a mutator.
    pub(crate) fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire) & HELD != 0
    }

    /// Whether this can be a span of so many slots.
    pub(crate) fn is_sound(&self, slots: usize) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word < 2 * HELD && (word & FREE) as usize <= slots
    }

    /// Starts a new life. Only for who has the span to itself.
    pub(crate) fn reset(&self, free: usize, held: bool) {
        // Relaxed: whoever is to see it gets the span through a set or the index, which publish.
        self.0.store(free as u64 | if held { HELD } else { 0 }, Ordering::Relaxed);
    }

    /// Counts slots that are about to be freed, and holds the span. Gives how many are free now, and whether the span was
    /// not held before: then the caller puts it into its set, once the bits are clear.
    pub(crate) fn add(&self, slots: usize) -> (usize, bool) {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let new = (old + slots as u64) | HELD;
            // Acquire and release: pairs with itself and with `let_go`; keeps the count before the bits.
            match self.0.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return ((new & FREE) as usize, old & HELD == 0),
                Err(now) => old = now,
            }
        }
    }

    /// Uncounts slots that the holder allocated. Gives how many were free before.
    pub(crate) fn remove(&self, slots: usize) -> usize {
        // Acquire and release: as in `add`.
        (self.0.fetch_sub(slots as u64, Ordering::AcqRel) & FREE) as usize
    }

    /// Ends the hold if no slot is free. Otherwise the caller still holds the span, and puts it into its set.
    pub(crate) fn let_go(&self) -> bool {
        // Release: what the holder did comes before the next hold, which starts with an acquire in `add`.
        self.0.compare_exchange(HELD, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// The bits of a word that are slots, if this is word `word` of `slots` slots.
fn valid(word: usize, slots: usize) -> u64 {
    let left = slots - word * BITS;
    if left >= BITS { u64::MAX } else { (1 << left) - 1 }
}

/// Allocates up to `want` slots, the lowest first, naming each. Gives how many. Only for the holder.
pub(crate) fn allocate(words: &[AtomicU64], slots: usize, want: usize, mut took: impl FnMut(usize)) -> usize {
    let mut left = want;
    for (number, word) in words.iter().enumerate() {
        if left == 0 {
            break;
        }
        // Relaxed: only the holder sets bits, so what is clear stays so; the acquire is below.
        let free = !word.load(Ordering::Relaxed) & valid(number, slots);
        if free == 0 {
            continue;
        }
        let mut taken = free;
        // Leaves out the highest that are too many: seldom any, and of one word.
        while taken.count_ones() as usize > left {
            taken &= !(1 << taken.ilog2());
        }
        left -= taken.count_ones() as usize;
        // Acquire: pairs with the release in `free`.
        word.fetch_or(taken, Ordering::Acquire);
        while taken != 0 {
            took(number * BITS + taken.trailing_zeros() as usize);
            taken &= taken - 1;
        }
    }
    want - left
}

/// Allocates all free slots of the first word that has any; gives the word's number and the slots. Only for the holder.
pub(crate) fn claim(words: &[AtomicU64], slots: usize) -> Option<(usize, u64)> {
    words.iter().enumerate().find_map(|(number, word)| {
        // Relaxed and acquire: as in `allocate`.
        let free = !word.load(Ordering::Relaxed) & valid(number, slots);
        (free != 0).then(|| {
            word.fetch_or(free, Ordering::Acquire);
            (number, free)
        })
    })
}

/// Frees the slots of a word that `mask` names. Gives whether all of them were allocated.
pub(crate) fn free(words: &[AtomicU64], word: usize, mask: u64) -> bool {
    // Release: pairs with the acquires in `allocate` and `all_free`.
    words[word].fetch_and(!mask, Ordering::Release) & mask == mask
}

/// Whether no slot is allocated, which only the holder can rely on.
pub(crate) fn all_free(words: &[AtomicU64]) -> bool {
    // Acquire: pairs with the release in `free`, so every free is over.
    words.iter().all(|word| word.load(Ordering::Acquire) == 0)
}

/// Marks a slot, by its bit in a word, if it is not marked, after calling `white`. Of all who try, one gets `true`.
#[inline]
pub(crate) fn mark(word: &AtomicU64, bit: usize, white: impl FnOnce()) -> bool {
    // Tested first: a bit that is set already costs a load, not a read-modify-write. Acquire and release: who finds a bit
    // set knows what its setter announced before, see `gc::terminate`.
    if word.load(Ordering::Acquire) >> bit & 1 == 1 {
        return false;
    }
    white();
    word.fetch_or(1 << bit, Ordering::AcqRel) >> bit & 1 == 0
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;

    fn words(slots: usize) -> Box<[AtomicU64]> {
        (0..slots.div_ceil(BITS)).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn the_lowest_slots_come_first_and_every_slot_comes_once() {
        for slots in [1, 2, 63, 64, 65, 128, 170, 1024] {
            let words = words(slots);
            let mut taken = Vec::new();
            while allocate(&words, slots, 7, |slot| taken.push(slot)) > 0 {}
            assert_eq!(taken, (0..slots).collect::<Vec<_>>());
            assert!(free(&words, (slots - 1) / BITS, 1 << ((slots - 1) % BITS)));
            assert!(!free(&words, (slots - 1) / BITS, 1 << ((slots - 1) % BITS)), "it is free already");
            assert_eq!(allocate(&words, slots, 2, |slot| assert_eq!(slot, slots - 1)), 1);
        }
    }

    #[test]
    fn of_two_that_mark_a_slot_at_once_one_is_the_first() {
        let word = AtomicU64::new(0);
        assert!(mark(&word, 3, || ()) && !mark(&word, 3, || panic!("it is marked")));
        assert!(!mark(&word, 5, || _ = word.fetch_or(1 << 5, Ordering::Relaxed)), "another came first");
        assert!(mark(&word, 7, || _ = word.fetch_or(1 << 6, Ordering::Relaxed)));
    }

    #[test]
    fn nothing_is_allocated_if_every_bit_is_clear() {
        let words = words(200);
        assert!(all_free(&words));
        words[3].store(1 << 7, Ordering::Relaxed);
        assert!(!all_free(&words));
    }

    #[test]
    fn a_span_has_no_more_room_than_slots_and_no_other_flags() {
        let room = Room(AtomicU64::new(0));
        let sound = |free, held| {
            room.reset(free, held);
            room.is_sound(10)
        };
        assert!(sound(0, false) && sound(10, false) && sound(10, true) && !sound(11, false) && !sound(11, true));
        room.0.store(2 * HELD, Ordering::Relaxed);
        assert!(!room.is_sound(10));
        room.0.store(2 * HELD - 1, Ordering::Relaxed);
        assert!(room.is_sound(FREE as usize));
    }

    #[test]
    fn a_span_is_held_from_the_first_free_slot_to_the_last() {
        let room = Room(AtomicU64::new(0));
        room.reset(0, false);
        assert_eq!((room.add(2), room.add(1)), ((2, true), (3, false)));
        assert_eq!((room.remove(2), room.let_go(), room.free()), (3, false, 1));
        assert_eq!((room.remove(1), room.let_go(), room.is_held()), (1, true, false));
        assert_eq!(room.add(1), (1, true));
    }
}
