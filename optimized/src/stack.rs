//! A lock-free stack of numbers, safe against ABA. Above [`sync`](crate::sync) alone.
//!
//! One word holds the number of what is on top and a tag that every change counts up. So a pop that was overtaken fails
//! even if the same number is on top again. What is below an element is written in its link, wherever the caller keeps
//! links; a link may be read after its element was taken by somebody else, and must stay readable for that.
//!
//! ```text
//!   head: │ tag: 28 bits │ number + 1: 36 bits │ ──▶ link ──▶ link ──▶ 0
//! ```
//!
//! Invariants: a number is in at most one stack, once; while it is, only the stack writes its link. The tag would have to
//! wrap around, 2^28 changes, between a pop's load and its exchange, and end on the same number, to deceive it.
//!
//! Orderings: the exchange of a push is a release, the load and the exchange of a pop acquire, so who pops a number sees
//! what its pusher did before. Every exchange continues the release sequences of those before it, so this also holds for
//! numbers that others were pushed upon.
//!
//! Source: Treiber 1986; Go's `lfstack.go`, which packs an address and so needs to know how long those are.

use crate::sync::{AtomicU64, Ordering};

const NUMBER: u64 = (1 << 36) - 1;
const TAG: u64 = NUMBER + 1;

/// Where the links of a stack's elements are.
pub(crate) trait Links {
    /// The link of an element.
    fn link(&self, number: usize) -> &AtomicU64;
}

/// A stack of numbers below 2^36 - 1.
#[derive(Debug)]
pub(crate) struct Stack {
    head: AtomicU64,
}

impl Stack {
    /// An empty stack.
    #[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
    pub(crate) const fn new() -> Stack {
        Stack { head: AtomicU64::new(0) }
    }

    /// An empty stack of a model.
    #[cfg(all(test, any(heaplaw_loom, heaplaw_shuttle)))]
    pub(crate) fn new() -> Stack {
        Stack { head: AtomicU64::new(0) }
    }

    /// Puts a number on top.
    pub(crate) fn push(&self, links: &impl Links, number: usize) {
        // Relaxed: nothing is read through it.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Relaxed: ordered by the release below.
            links.link(number).store(head & NUMBER, Ordering::Relaxed);
            let new = (head & !NUMBER).wrapping_add(TAG) | (number as u64 + 1);
            // Release: pairs with the acquires of `pop` and `take_all`.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the number from the top.
    pub(crate) fn pop(&self, links: &impl Links) -> Option<usize> {
        // Acquire, here and below: pairs with the release of `push`, so that the link is the one that was pushed.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let number = (head & NUMBER).checked_sub(1)? as usize;
            // Relaxed: ordered by the acquire above; if it is not the link that belongs to this head, the exchange fails.
            let next = links.link(number).load(Ordering::Relaxed);
            let new = (head & !NUMBER).wrapping_add(TAG) | next;
            match self.head.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }

    /// Whether there is nothing in it now.
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: pairs with the release of `push`, whose continuation every exchange is.
        self.head.load(Ordering::Acquire) & NUMBER == 0
    }

    /// Takes everything; gives the numbers from the top down.
    pub(crate) fn take_all<'l>(&self, links: &'l impl Links) -> impl Iterator<Item = usize> + 'l {
        let mut head = self.head.load(Ordering::Relaxed);
        // Acquire: pairs with the release of `push`. There is nothing to take from an empty stack, so it is left alone.
        while head & NUMBER != 0
            && let Err(now) = self.head.compare_exchange_weak(
                head,
                (head & !NUMBER).wrapping_add(TAG),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
        {
            head = now;
        }
        chain(links, head)
    }

    /// The numbers in the stack from the top down, for checks: nobody may change it meanwhile. A number's link is read only
    /// when the next is asked for, so that a number that is none can be refused first.
    pub(crate) fn iter<'l>(&self, links: &'l impl Links) -> impl Iterator<Item = usize> + 'l {
        let (head, mut last) = (self.head.load(Ordering::Acquire), None);
        std::iter::from_fn(move || {
            // Relaxed: ordered by the acquire above.
            let next = match last {
                None => head & NUMBER,
                Some(number) => links.link(number).load(Ordering::Relaxed),
            };
            last = Some(next.checked_sub(1)? as usize);
            last
        })
    }

    /// Flips a bit of the head.
    #[cfg(test)]
    pub(crate) fn flip(&self, bit: usize) {
        self.head.store(self.head.load(Ordering::Relaxed) ^ 1 << bit, Ordering::Relaxed);
    }
}

/// The numbers from the one that `head` names on. A number's link is read before the number is given away.
fn chain<'l>(links: &'l impl Links, head: u64) -> impl Iterator<Item = usize> + 'l {
    let mut next = head & NUMBER;
    std::iter::from_fn(move || {
        let number = next.checked_sub(1)? as usize;
        // Relaxed: whoever took the chain acquired all of it.
        next = links.link(number).load(Ordering::Relaxed);
        Some(number)
    })
}

#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, thread};

    struct Boxed(Box<[AtomicU64]>);

    impl Links for Boxed {
        fn link(&self, number: usize) -> &AtomicU64 {
            &self.0[number]
        }
    }

    fn links(count: usize) -> Boxed {
        Boxed((0..count).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn the_last_in_is_the_first_out() {
        let (stack, links) = (Stack::new(), links(4));
        for number in [2, 0, 3] {
            stack.push(&links, number);
        }
        assert_eq!(stack.iter(&links).collect::<Vec<_>>(), [3, 0, 2]);
        assert_eq!(stack.pop(&links), Some(3));
        stack.push(&links, 1);
        assert_eq!(stack.take_all(&links).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!((stack.pop(&links), stack.take_all(&links).count()), (None, 0));
    }

    #[test]
    fn the_tag_wraps_around_without_touching_the_number() {
        let (stack, links) = (Stack { head: AtomicU64::new(!NUMBER) }, links(2));
        stack.push(&links, 1);
        stack.push(&links, 0);
        assert_eq!([stack.pop(&links), stack.pop(&links), stack.pop(&links)], [Some(0), Some(1), None]);
    }

    #[test]
    fn threads_that_pop_and_push_lose_nothing() {
        let (stack, links) = (Stack::new(), links(8));
        for number in 0..8 {
            stack.push(&links, number);
        }
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let (a, b) = (stack.pop(&links), stack.pop(&links));
                        for number in [a, b].into_iter().flatten() {
                            stack.push(&links, number);
                        }
                    }
                });
            }
        });
        let left: BTreeSet<_> = stack.iter(&links).collect();
        assert_eq!((left.len(), stack.iter(&links).count()), (8, 8));
    }
}
