//! The workloads with `Box`, or `Rc` where something has several owners, freed as soon as they are not needed any more.

use super::{BOARDS, HELD, HITS, QUEENS, WAYS, asked, is_safe};
use std::{
    collections::HashMap,
    hint::black_box,
    rc::{Rc, Weak},
};

#[derive(Default)]
struct Tree {
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
}

fn grow(depth: usize) -> Box<Tree> {
    match depth {
        0 => Box::default(),
        _ => Box::new(Tree { left: Some(grow(depth - 1)), right: Some(grow(depth - 1)) }),
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

#[derive(Default)]
struct Node {
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
    _data: [i32; 2],
}

fn make(depth: usize) -> Box<Node> {
    match depth {
        0 => Box::default(),
        _ => Box::new(Node { left: Some(make(depth - 1)), right: Some(make(depth - 1)), _data: [0; 2] }),
    }
}

fn populate(depth: usize, node: &mut Node) {
    if depth > 0 {
        populate(depth - 1, node.left.insert(Box::default()));
        populate(depth - 1, node.right.insert(Box::default()));
    }
}

pub fn gcbench() {
    let size = |depth: usize| (1 << (depth + 1)) - 1;
    black_box(make(18));
    let mut long = Box::<Node>::default();
    populate(16, &mut long);
    let array = super::gcbench_array();
    for depth in (4..=16).step_by(2) {
        let rounds = 2 * size(18) / size(depth);
        for _ in 0..rounds {
            populate(depth, black_box(&mut Box::default()));
        }
        for _ in 0..rounds {
            black_box(make(depth));
        }
    }
    assert!(long.left.is_some() && array[1000] == 1.0 / 1001.0);
}

/// Eight words.
#[derive(Default)]
struct Block {
    _pointers: [Option<Box<Block>>; 2],
    data: [u64; 6],
}

pub fn drop() {
    let live: Vec<Box<Block>> = (0..1 << 20).map(|_| Box::default()).collect();
    let mut recent: Vec<Box<Block>> = (0..1000).map(|_| Box::default()).collect();
    for i in 0..30_000_000 {
        recent[i % 1000] = black_box(Box::default());
    }
    assert!(live.len() + recent.len() > 1 << 20);
}

/// Several lists end in the same queens, so these are counted.
struct Queen {
    next: Option<Rc<Queen>>,
    column: usize,
}

/// In how many ways so many more can stand beside those in a list.
fn place(left: usize, placed: Option<&Rc<Queen>>) -> usize {
    if left == 0 {
        return 1;
    }
    let mut ways = 0;
    for column in 0..QUEENS {
        if is_safe(column, placed.map(|queen| &**queen), |queen| (queen.column, queen.next.as_deref())) {
            ways += place(left - 1, Some(&Rc::new(Queen { next: placed.cloned(), column })));
        }
    }
    ways
}

pub fn queens() {
    (0..BOARDS).for_each(|_| assert_eq!(place(QUEENS, None), WAYS));
}

pub fn cache() {
    let mut values = HashMap::<usize, Weak<Block>>::new();
    let mut held: Vec<Option<Rc<Block>>> = vec![None; HELD];
    let mut hits = 0;
    for (key, place) in asked() {
        let found = values.get(&key).and_then(Weak::upgrade);
        hits += usize::from(found.is_some());
        let value = found.unwrap_or_else(|| {
            let value = Rc::new(Block { data: [key as u64; 6], ..Block::default() });
            values.insert(key, Rc::downgrade(&value));
            value
        });
        assert_eq!(value.data[5], key as u64);
        held[place] = Some(value);
    }
    assert_eq!(hits, HITS);
}
