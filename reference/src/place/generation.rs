//! Generations: who may touch a span, told by one number.
//!
//! A span has to be swept once in each cycle, before anybody allocates from it, and by a single owner. A flag would have
//! to be cleared in every span when a cycle begins. So there is a **generation** instead, of the heap and of each span.
//! What a span's number means depends on the heap's, G; a cycle adds 2 to G, and thereby turns every swept span into an
//! unswept one, at once and without touching any.
//!
//! ```text
//!              claim           swept           cached            uncached
//!     G-2 ───────────▶ G-1 ───────────▶ G ───────────▶ G+3 ───────────▶ G
//!   unswept          claimed          swept           cached
//!      ▲                ▲               │                │
//!      └────────────────┼───────────────┘                ▼        the cycle turns, G becomes G+2:
//!                       └───────────────────────────── G+1        swept is unswept, cached is stale
//!                         uncached, and swept by its owner   stale
//! ```
//!
//! A cached span needs no claim, since a cache has one owner; but it is hidden from those who sweep. That is why its
//! number tells whether it was cached *before* the cycle turned (stale, and swept when it leaves the cache) or after.
//!
//! All of it is arithmetic modulo 2³²: generations wrap around, and nothing notices.
//!
//! This chapter grounds laws 39, 91, 92 and 138. Source: Go's `mheap.go` (`sweepgen`).
//!
//! ```
//! use heaplaw_reference::place::generation::{Generation, Step, Sweep};
//! let mut heap = Generation(u32::MAX - 1);
//! let mut span = heap.step(heap, Step::Cache)?;
//! heap = heap.turn();
//! assert_eq!((heap, heap.of(span)), (Generation(0), Some(Sweep::Stale)));
//! span = heap.step(span, Step::Uncache)?;
//! assert_eq!(heap.of(span), Some(Sweep::Claimed), "its owner sweeps it now");
//! # Ok::<(), heaplaw_reference::place::generation::Illegal>(())
//! ```

/// A sweep generation, of the heap or of a span. The heap's rises by 2 with every cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub u32);

/// What a span's generation means in a heap of generation G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// G-2: not swept in this cycle. Whoever claims it may sweep it.
    Unswept,
    /// G-1: being swept. Only the one who claimed it may touch it.
    Claimed,
    /// G: swept, and ready to be allocated from.
    Swept,
    /// G+1: in a cache since before the cycle turned. It must be swept before it is allocated from.
    Stale,
    /// G+3: swept, and in a cache. Only the cache's owner allocates from it.
    Cached,
}

/// What can be done to a span's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An unswept span is claimed.
    Claim,
    /// The claimed span has been swept.
    Finish,
    /// A swept span is put into a cache.
    Cache,
    /// A cached span is taken out again: swept if it is fresh, claimed if it is stale.
    Uncache,
}

/// A step that the span's generation does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// What was to be done.
    pub step: Step,
    /// What the span is; nothing, if its generation has no meaning.
    pub sweep: Option<Sweep>,
}

impl Generation {
    fn plus(self, difference: i32) -> Self {
        Generation(self.0.wrapping_add_signed(difference))
    }

    /// The generation of a heap whose next cycle's sweep begins.
    pub fn turn(self) -> Self {
        self.plus(2)
    }

    /// Which half of a pair belongs to this generation: the pair's halves swap whenever it turns.
    pub fn parity(self) -> usize {
        (self.0 / 2 % 2) as usize
    }

    /// What a span's generation means in a heap of this one; `None` if it can only be a mistake.
    pub fn of(self, span: Generation) -> Option<Sweep> {
        match span.0.wrapping_sub(self.0).cast_signed() {
            -2 => Some(Sweep::Unswept),
            -1 => Some(Sweep::Claimed),
            0 => Some(Sweep::Swept),
            1 => Some(Sweep::Stale),
            3 => Some(Sweep::Cached),
            _ => None,
        }
    }

    /// A span's generation after this step in a heap of this generation.
    ///
    /// # Errors
    /// If the span is not in the state that the step starts from.
    pub fn step(self, span: Generation, step: Step) -> Result<Generation, Illegal> {
        let sweep = self.of(span);
        match (step, sweep) {
            (Step::Claim, Some(Sweep::Unswept)) | (Step::Uncache, Some(Sweep::Stale)) => Ok(self.plus(-1)),
            (Step::Finish, Some(Sweep::Claimed)) | (Step::Uncache, Some(Sweep::Cached)) => Ok(self),
            (Step::Cache, Some(Sweep::Swept)) => Ok(self.plus(3)),
            _ => Err(Illegal { step, sweep }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const STEPS: [Step; 4] = [Step::Claim, Step::Finish, Step::Cache, Step::Uncache];

    /// Laws 39 and 138: the whole table, at the end of the numbers too.
    #[test]
    fn only_the_published_steps_are_legal() {
        use Sweep::{Cached, Claimed, Stale, Swept, Unswept};
        for start in [0, 2, 1000, u32::MAX - 3, u32::MAX - 1] {
            let heap = Generation(start);
            let mut legal = Vec::new();
            for difference in -8..=8 {
                let span = heap.plus(difference);
                for step in STEPS {
                    match heap.step(span, step) {
                        Ok(after) => legal.push((heap.of(span).unwrap(), step, heap.of(after).unwrap())),
                        Err(illegal) => assert_eq!(illegal, Illegal { step, sweep: heap.of(span) }),
                    }
                }
            }
            let published = [
                (Unswept, Step::Claim, Claimed),
                (Claimed, Step::Finish, Swept),
                (Swept, Step::Cache, Cached),
                (Stale, Step::Uncache, Claimed),
                (Cached, Step::Uncache, Swept),
            ];
            assert_eq!(legal, published, "G = {start}");
        }
    }

    #[test]
    fn the_turn_of_a_cycle_makes_the_swept_unswept_and_the_cached_stale() {
        for heap in [0, 4, u32::MAX - 1].map(Generation) {
            let (swept, cached) = (heap, heap.step(heap, Step::Cache).unwrap());
            assert_eq!(heap.turn().of(swept), Some(Sweep::Unswept));
            assert_eq!(heap.turn().of(cached), Some(Sweep::Stale));
            assert_ne!(heap.parity(), heap.turn().parity());
            assert_eq!(heap.parity(), heap.turn().turn().parity());
            // A span that nobody swept for a whole cycle has a number without meaning.
            assert_eq!(heap.turn().turn().of(swept), None);
            assert_eq!(heap.turn().turn().of(cached), Some(Sweep::Claimed), "a stale span that stays is a mistake");
        }
    }

    #[test]
    fn a_span_is_claimed_once() {
        let heap = Generation(8);
        let span = heap.step(Generation(6), Step::Claim).unwrap();
        assert_eq!(heap.step(span, Step::Claim), Err(Illegal { step: Step::Claim, sweep: Some(Sweep::Claimed) }));
        let span = heap.step(span, Step::Finish).unwrap();
        assert_eq!(heap.step(span, Step::Claim), Err(Illegal { step: Step::Claim, sweep: Some(Sweep::Swept) }));
    }
}
