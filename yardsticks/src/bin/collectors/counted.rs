//! The workloads on dumpster, which counts references and looks for cycles: its `Gc` for one thread.

use super::{BOARDS, QUEENS, WAYS, is_safe};
use dumpster::{Trace, unsync::Gc};
use std::{cell::RefCell, hint::black_box};

#[derive(Trace)]
struct Tree {
    left: Option<Gc<Tree>>,
    right: Option<Gc<Tree>>,
}

fn grow(depth: usize) -> Gc<Tree> {
    match depth {
        0 => Gc::new(Tree { left: None, right: None }),
        _ => Gc::new(Tree { left: Some(grow(depth - 1)), right: Some(grow(depth - 1)) }),
    }
}

impl Tree {
    fn count(&self) -> usize {
        1 + self.left.as_ref().map_or(0, |tree| tree.count()) + self.right.as_ref().map_or(0, |tree| tree.count())
    }
}

pub fn trees(depth: usize) {
    assert_eq!(grow(depth + 1).count(), (1 << (depth + 2)) - 1);
    let long = grow(depth);
    for d in (4..=depth).step_by(4) {
        for _ in 0..1 << (depth - d + 4) {
            black_box(grow(d).count());
        }
    }
    assert_eq!(long.count(), (1 << (depth + 1)) - 1);
}

#[derive(Default, Trace)]
struct Node {
    left: RefCell<Option<Gc<Node>>>,
    right: RefCell<Option<Gc<Node>>>,
    _data: [i32; 2],
}

fn make(depth: usize) -> Gc<Node> {
    match depth {
        0 => Gc::new(Node::default()),
        _ => Gc::new(Node {
            left: RefCell::new(Some(make(depth - 1))),
            right: RefCell::new(Some(make(depth - 1))),
            _data: [0; 2],
        }),
    }
}

fn populate(depth: usize, node: &Gc<Node>) {
    if depth > 0 {
        let (left, right) = (Gc::new(Node::default()), Gc::new(Node::default()));
        populate(depth - 1, &left);
        populate(depth - 1, &right);
        *node.left.borrow_mut() = Some(left);
        *node.right.borrow_mut() = Some(right);
    }
}

pub fn gcbench() {
    let size = |depth: usize| (1 << (depth + 1)) - 1;
    black_box(make(18));
    let long = Gc::new(Node::default());
    populate(16, &long);
    let array = super::gcbench_array();
    for depth in (4..=16).step_by(2) {
        let rounds = 2 * size(18) / size(depth);
        for _ in 0..rounds {
            populate(depth, black_box(&Gc::new(Node::default())));
        }
        for _ in 0..rounds {
            black_box(make(depth));
        }
    }
    assert!(long.left.borrow().is_some() && array[1000] == 1.0 / 1001.0);
}

/// Eight words.
#[derive(Default, Trace)]
struct Block {
    _pointers: [RefCell<Option<Gc<Block>>>; 2],
    _data: [u64; 4],
}

pub fn drop() {
    let live: Vec<Gc<Block>> = (0..1 << 20).map(|_| Gc::new(Block::default())).collect();
    let mut recent: Vec<Gc<Block>> = (0..1000).map(|_| Gc::new(Block::default())).collect();
    for i in 0..30_000_000 {
        recent[i % 1000] = black_box(Gc::new(Block::default()));
    }
    assert!(live.len() + recent.len() > 1 << 20);
}

#[derive(Trace)]
struct Queen {
    next: Option<Gc<Queen>>,
    column: usize,
}

/// In how many ways so many more can stand beside those in a list.
fn place(left: usize, placed: Option<&Gc<Queen>>) -> usize {
    if left == 0 {
        return 1;
    }
    let mut ways = 0;
    for column in 0..QUEENS {
        if is_safe(column, placed.map(|queen| &**queen), |queen| (queen.column, queen.next.as_deref())) {
            ways += place(left - 1, Some(&Gc::new(Queen { next: placed.cloned(), column })));
        }
    }
    ways
}

pub fn queens() {
    (0..BOARDS).for_each(|_| assert_eq!(place(QUEENS, None), WAYS));
}
