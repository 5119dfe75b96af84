//! Large free blocks in the order of their sizes, and of equals in that of their addresses. Above `memory`.
//!
//! A treap: a search tree by (size, number) that is at the same time a heap by priority, which is a hash of the number.
//! So its shape follows from what is in it and from nothing else, and its depth is logarithmic unless somebody chooses
//! addresses against the hash. At most one large block starts in a word of granules, so its number is that of the word,
//! and each number has a node of its own: freeing never waits for memory.
//!
//! Invariants: a number's size is 0 if and only if it is not in the tree; what is left of a node is less, what is right
//! of it is more, and neither has a higher priority.
//!
//! Source: Aragon and Seidel, *Randomized Search Trees*, 1989.

use super::memory::Words;

/// The words of a node: the size, and the nodes to its left and right.
const NODE: usize = 3;
const LEFT: usize = 1;
const RIGHT: usize = 2;

/// Stands for no node; the node of a number is the next number.
const NONE: u64 = 0;

/// The tree.
pub(super) struct Order {
    nodes: Words,
    root: u64,
}

/// The finisher of MurmurHash3: one to one, so that no two priorities are equal.
fn priority(node: u64) -> u64 {
    let node = (node ^ node >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let node = (node ^ node >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    node ^ node >> 33
}

impl Order {
    /// The words that a tree of numbers below `limit` takes.
    pub(super) fn words(limit: usize) -> usize {
        limit * NODE
    }

    /// The empty tree, in words that are zero.
    pub(super) fn new(nodes: Words) -> Order {
        Order { nodes, root: NONE }
    }

    fn index(node: u64, part: usize) -> usize {
        (node as usize - 1) * NODE + part
    }

    fn part(&self, node: u64, part: usize) -> u64 {
        self.nodes[Order::index(node, part)]
    }

    fn set_part(&mut self, node: u64, part: usize, value: u64) {
        self.nodes[Order::index(node, part)] = value;
    }

    fn key(&self, node: u64) -> (u64, u64) {
        (self.part(node, 0), node)
    }

    /// The size of a number; 0 if it is not in the tree.
    pub(super) fn size(&self, number: usize) -> u64 {
        self.part(number as u64 + 1, 0)
    }

    /// Gives a number a size, or takes it out if that is 0.
    pub(super) fn set(&mut self, number: usize, size: u64) {
        let node = number as u64 + 1;
        let before = self.part(node, 0);
        if before == size {
            return;
        }
        if before > 0 {
            self.root = self.without(self.root, node);
            self.set_part(node, 0, 0);
        }
        if size > 0 {
            self.set_part(node, 0, size);
            self.root = self.with(self.root, node);
        }
    }

    /// The smallest of at least this size, and of equals the one with the lowest number.
    pub(super) fn at_least(&self, size: u64) -> Option<usize> {
        let (mut at, mut best) = (self.root, None);
        while at != NONE {
            let enough = self.part(at, 0) >= size;
            if enough {
                best = Some(at as usize - 1);
            }
            at = self.part(at, if enough { LEFT } else { RIGHT });
        }
        best
    }

    /// The tree `at`, and a node.
    fn with(&mut self, at: u64, node: u64) -> u64 {
        if at == NONE || priority(node) > priority(at) {
            let (less, more) = self.split(at, self.key(node));
            self.set_part(node, LEFT, less);
            self.set_part(node, RIGHT, more);
            return node;
        }
        let side = if self.key(node) < self.key(at) { LEFT } else { RIGHT };
        let child = self.with(self.part(at, side), node);
        self.set_part(at, side, child);
        at
    }

    /// The tree `at`, without a node that is in it.
    fn without(&mut self, at: u64, node: u64) -> u64 {
        if at == node {
            return self.merged(self.part(at, LEFT), self.part(at, RIGHT));
        }
        let side = if self.key(node) < self.key(at) { LEFT } else { RIGHT };
        let child = self.without(self.part(at, side), node);
        self.set_part(at, side, child);
        at
    }

    /// What is less than a key in a tree, and what is more.
    fn split(&mut self, at: u64, key: (u64, u64)) -> (u64, u64) {
        if at == NONE {
            return (NONE, NONE);
        }
        if self.key(at) < key {
            let (less, more) = self.split(self.part(at, RIGHT), key);
            self.set_part(at, RIGHT, less);
            (at, more)
        } else {
            let (less, more) = self.split(self.part(at, LEFT), key);
            self.set_part(at, LEFT, more);
            (less, at)
        }
    }

    /// Two trees as one; all of the first is less than all of the second.
    fn merged(&mut self, less: u64, more: u64) -> u64 {
        if less == NONE || more == NONE {
            return less | more;
        }
        if priority(less) > priority(more) {
            let child = self.merged(self.part(less, RIGHT), more);
            self.set_part(less, RIGHT, child);
            less
        } else {
            let child = self.merged(less, self.part(more, LEFT));
            self.set_part(more, LEFT, child);
            more
        }
    }

    /// Whether the first numbers have these sizes and are all that is in the tree, in order.
    ///
    /// # Errors
    /// A number about which that is not so.
    pub(super) fn verify(&self, sizes: impl ExactSizeIterator<Item = u64>) -> Result<(), usize> {
        let limit = sizes.len() as u64;
        let mut missing = 0;
        for (number, size) in sizes.enumerate() {
            if self.size(number) != size {
                return Err(number);
            }
            missing += usize::from(size > 0);
        }
        // In order, by a stack of nodes whose right side is still to be seen; no path is longer than the tree is large.
        let (mut stack, mut at, mut last) = (Vec::new(), self.root, (0, 0));
        while at != NONE || !stack.is_empty() {
            while at != NONE {
                let below = stack.last().is_none_or(|above| priority(*above) > priority(at));
                if at > limit || self.part(at, 0) == 0 || !below || stack.len() > missing {
                    return Err(at.min(limit) as usize - 1);
                }
                stack.push(at);
                at = self.part(at, LEFT);
            }
            let Some(node) = stack.pop() else { break };
            let right = self.part(node, RIGHT);
            let heap = right == NONE || priority(right) < priority(node);
            if self.key(node) <= last || missing == 0 || !heap {
                return Err(node as usize - 1);
            }
            (last, missing, at) = (self.key(node), missing - 1, right);
        }
        if missing == 0 { Ok(()) } else { Err(self.root.saturating_sub(1) as usize) }
    }

    /// Damages the tree: flips a bit of a node that is in it, below a number, if there is one of this number.
    #[cfg(test)]
    pub(super) fn flip(&mut self, limit: usize, bit: usize) -> bool {
        let nodes: Vec<_> = (0..limit).filter(|number| self.size(*number) > 0).collect();
        let found = nodes.get(bit / (NODE * 64));
        if let Some(number) = found {
            self.nodes[number * NODE + bit / 64 % NODE] ^= 1 << (bit % 64);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fit::memory::reserve, os::Faults};
    use std::collections::BTreeSet;

    fn order(limit: usize) -> Order {
        let (_, [nodes]) = reserve(0, [Order::words(limit)], Faults::NONE).unwrap();
        Order::new(nodes)
    }

    #[test]
    fn the_smallest_that_is_enough_is_found_as_in_a_sorted_set() {
        let (mut order, mut set, mut sizes) = (order(300), BTreeSet::new(), vec![0; 300]);
        let mut state = 3u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (number, size) = ((state >> 33) as usize % 300, (state >> 45) % 40);
            set.remove(&(sizes[number], number));
            if size > 0 {
                set.insert((size, number));
            }
            sizes[number] = size;
            order.set(number, size);
            let want = (state >> 50) % 45;
            assert_eq!(order.at_least(want), set.range((want.max(1), 0)..).next().map(|(_, number)| *number));
            if step % 100 == 0 {
                assert_eq!(order.verify(sizes.iter().copied()), Ok(()));
            }
        }
    }

    /// Also of numbers and sizes that follow a pattern.
    #[test]
    fn the_depth_is_logarithmic() {
        fn depth(order: &Order, at: u64) -> usize {
            let below = |side| depth(order, order.part(at, side));
            if at == NONE { 0 } else { 1 + below(LEFT).max(below(RIGHT)) }
        }
        for stride in [1, 2, 55, 64] {
            let mut order = order(4096 * stride);
            (0..4096).for_each(|number| order.set(number * stride, 64 + (number % 3) as u64));
            let depth = depth(&order, order.root);
            assert!((12..50).contains(&depth), "{depth} for a stride of {stride}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sizes: Vec<u64> = (0..60).map(|number| number * 7 % 5 * 100).collect();
        let mut order = order(60);
        (0..60).for_each(|number| order.set(number, sizes[number]));
        let mut flips = 0;
        while order.flip(60, flips) {
            assert!(order.verify(sizes.iter().copied()).is_err(), "{flips}");
            order.flip(60, flips);
            flips += 1;
        }
        assert!(flips == 48 * 3 * 64 && order.verify(sizes.iter().copied()).is_ok());
    }

    #[test]
    fn the_number_that_is_wrong_is_named() {
        // Every second number has a size.
        let sizes: Vec<u64> = (0..20).map(|number| number % 2 * 5).collect();
        let mut order = order(20);
        (0..20).for_each(|number| order.set(number, sizes[number]));
        let root = order.root;
        let mut wrong = |side: usize, part: u64| {
            let before = order.part(root, side);
            order.set_part(root, side, part);
            let found = order.verify(sizes.iter().copied());
            order.set_part(root, side, before);
            found
        };
        assert_eq!((wrong(LEFT, 7), wrong(LEFT, 300)), (Err(6), Err(19)), "nothing is there");
        assert_eq!(wrong(RIGHT, root), Err(root as usize - 1), "no part of itself");
        assert_eq!(order.verify([0; 20].into_iter()), Err(1), "of another size");
    }
}
