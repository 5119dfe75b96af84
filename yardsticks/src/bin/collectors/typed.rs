//! The workloads on the optimized heap through its typed face: what a Rust program holds across an allocation is in a root.
//! One worker collects in the background.

use super::{BOARDS, HELD, QUEENS, WAYS, asked, check_hits, is_safe};
use heaplaw_optimized::{
    Config,
    typed::{Data, Gc, Heap, Link, Object, Root, Session, Weak},
};
use std::{collections::HashMap, hint::black_box};

/// Runs a workload on a heap of its own.
fn with(run: impl for<'m> FnOnce(&mut Session<'m>)) {
    let heap = Heap::new(Config { reservation: 8 << 30, workers: 1, ..Config::DEFAULT }).expect("address space");
    heap.session(run);
}

fn alloc<'m, T: Object>(session: &mut Session<'m>) -> Root<'m, T> {
    session.alloc().expect("memory")
}

#[derive(Object)]
struct Tree {
    left: Link<Tree>,
    right: Link<Tree>,
}

fn grow<'m>(session: &mut Session<'m>, depth: usize) -> Root<'m, Tree> {
    if depth == 0 {
        return alloc(session);
    }
    let (left, right) = (grow(session, depth - 1), grow(session, depth - 1));
    let root = alloc(session);
    let tree: Gc<'_, Tree> = root.get(session);
    tree.at(Tree::LEFT).set(session, left.get(session));
    tree.at(Tree::RIGHT).set(session, right.get(session));
    root
}

fn count(tree: Gc<'_, Tree>, session: &Session<'_>) -> usize {
    let below = |tree: Option<Gc<'_, Tree>>| tree.map_or(0, |tree| count(tree, session));
    1 + below(tree.at(Tree::LEFT).get(session)) + below(tree.at(Tree::RIGHT).get(session))
}

pub fn trees(depth: usize) {
    with(|session| {
        let stretch = grow(session, depth + 1);
        assert_eq!(count(stretch.get(session), session), (1 << (depth + 2)) - 1);
        drop(stretch);
        let long = grow(session, depth);
        for level in (4..=depth).step_by(4) {
            for _ in 0..1 << (depth - level + 4) {
                let short = grow(session, level);
                black_box(count(short.get(session), session));
            }
        }
        assert_eq!(count(long.get(session), session), (1 << (depth + 1)) - 1);
    });
}

/// Eight words.
#[derive(Object)]
struct Block {
    pointers: [Link<Block>; 2],
    data: Data<[u64; 6]>,
}

pub fn drop_blocks() {
    with(|session| {
        let live: Vec<Root<'_, Block>> = (0..1 << 20).map(|_| alloc(session)).collect();
        let recent: Vec<Root<'_, Block>> = (0..1000).map(|_| alloc(session)).collect();
        for i in 0..30_000_000 {
            session.alloc_into(&recent[i % 1000]).expect("memory");
        }
        assert!(live[5].get(session).at(Block::POINTERS).at(0).get(session).is_none());
        assert_eq!(recent[7].get(session).at(Block::DATA).get(session), [0; 6]);
    });
}

#[derive(Object)]
struct Queen {
    next: Link<Queen>,
    column: Data<usize>,
}

/// In how many ways so many more can stand beside those in a list.
fn place<'m>(session: &mut Session<'m>, left: usize, placed: Option<&Root<'m, Queen>>) -> usize {
    if left == 0 {
        return 1;
    }
    let mut ways = 0;
    for column in 0..QUEENS {
        let look = |at: Gc<'_, Queen>| (at.at(Queen::COLUMN).get(session), at.at(Queen::NEXT).get(session));
        if is_safe(column, placed.map(|queen| queen.get(session)), look) {
            let queen = alloc::<Queen>(session);
            let at = queen.get(session);
            at.at(Queen::NEXT).set(session, placed.map(|placed| placed.get(session)));
            at.at(Queen::COLUMN).set(session, column);
            ways += place(session, left - 1, Some(&queen));
        }
    }
    ways
}

pub fn queens() {
    with(|session| (0..BOARDS).for_each(|_| assert_eq!(place(session, QUEENS, None), WAYS)));
}

pub fn cache() {
    with(|session| {
        let first = alloc::<Block>(session);
        let held: Vec<_> = (0..HELD).map(|_| session.root(first.get(session))).collect();
        let mut values = HashMap::<usize, Weak<Block>>::new();
        let mut hits = 0;
        for (key, place) in asked() {
            let place = &held[place];
            let found = values.get(&key).and_then(|weak| weak.upgrade(session).expect("one heap"));
            if let Some(value) = found {
                hits += 1;
                place.set(session, value);
            } else {
                session.alloc_into(place).expect("memory");
                let value = place.get(session);
                value.at(Block::DATA).set(session, [key as u64; 6]);
                values.insert(key, session.weak(value));
            }
            assert_eq!(place.get(session).at(Block::DATA).get(session)[5], key as u64);
        }
        check_hits(hits);
    });
}
