//! The workloads on gc-arena: an incremental mark-sweep collector for one thread, which collects between calls of
//! `mutate`. Trees are grown in one call each, since nothing can be held between two but by the root.

use super::{ASKS, BOARDS, HELD, QUEENS, WAYS, asked, check_hits, is_safe};
use gc_arena::{Arena, Collect, Gc, GcWeak, Mutation, RefLock, Rootable};
use std::{collections::HashMap, hint::black_box};

#[derive(Collect)]
#[collect(no_drop)]
struct Tree<'gc> {
    left: Option<Gc<'gc, Tree<'gc>>>,
    right: Option<Gc<'gc, Tree<'gc>>>,
}

fn grow<'gc>(mc: &Mutation<'gc>, depth: usize) -> Gc<'gc, Tree<'gc>> {
    match depth {
        0 => Gc::new(mc, Tree { left: None, right: None }),
        _ => Gc::new(mc, Tree { left: Some(grow(mc, depth - 1)), right: Some(grow(mc, depth - 1)) }),
    }
}

impl Tree<'_> {
    fn count(&self) -> usize {
        1 + self.left.as_ref().map_or(0, |tree| tree.count()) + self.right.as_ref().map_or(0, |tree| tree.count())
    }
}

pub fn trees(depth: usize) {
    let mut arena = Arena::<Rootable![Option<Gc<'_, Tree<'_>>>]>::new(|_| None);
    arena.mutate(|mc, _| assert_eq!(grow(mc, depth + 1).count(), (1 << (depth + 2)) - 1));
    arena.collect_debt();
    arena.mutate_root(|mc, root| *root = Some(grow(mc, depth)));
    for d in (4..=depth).step_by(4) {
        for _ in 0..1 << (depth - d + 4) {
            arena.mutate(|mc, _| black_box(grow(mc, d).count()));
            arena.collect_debt();
        }
    }
    arena.mutate(|_, root| assert_eq!(root.unwrap().count(), (1 << (depth + 1)) - 1));
}

type Cell<'gc> = RefLock<Option<Gc<'gc, Node<'gc>>>>;

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    left: Cell<'gc>,
    right: Cell<'gc>,
    data: [i32; 2],
}

fn node<'gc>(
    mc: &Mutation<'gc>,
    left: Option<Gc<'gc, Node<'gc>>>,
    right: Option<Gc<'gc, Node<'gc>>>,
) -> Gc<'gc, Node<'gc>> {
    Gc::new(mc, Node { left: RefLock::new(left), right: RefLock::new(right), data: [0; 2] })
}

fn make<'gc>(mc: &Mutation<'gc>, depth: usize) -> Gc<'gc, Node<'gc>> {
    match depth {
        0 => node(mc, None, None),
        _ => node(mc, Some(make(mc, depth - 1)), Some(make(mc, depth - 1))),
    }
}

fn populate<'gc>(mc: &Mutation<'gc>, depth: usize, at: Gc<'gc, Node<'gc>>) {
    if depth > 0 {
        let (left, right) = (node(mc, None, None), node(mc, None, None));
        let fields = Gc::write(mc, at);
        *gc_arena::barrier::field!(fields, Node, left).unlock().borrow_mut() = Some(left);
        *gc_arena::barrier::field!(fields, Node, right).unlock().borrow_mut() = Some(right);
        populate(mc, depth - 1, left);
        populate(mc, depth - 1, right);
    }
}

pub fn gcbench() {
    let size = |depth: usize| (1 << (depth + 1)) - 1;
    let mut arena = Arena::<Rootable![Option<Gc<'_, Node<'_>>>]>::new(|_| None);
    arena.mutate(|mc, _| {
        black_box(make(mc, 18));
    });
    arena.collect_debt();
    arena.mutate_root(|mc, root| {
        let long = node(mc, None, None);
        populate(mc, 16, long);
        *root = Some(long);
    });
    let array = super::gcbench_array();
    for depth in (4..=16).step_by(2) {
        let rounds = 2 * size(18) / size(depth);
        for _ in 0..rounds {
            arena.mutate(|mc, _| populate(mc, depth, black_box(node(mc, None, None))));
            arena.collect_debt();
        }
        for _ in 0..rounds {
            arena.mutate(|mc, _| {
                black_box(make(mc, depth));
            });
            arena.collect_debt();
        }
    }
    arena.mutate(|_, root| assert!(root.unwrap().left.borrow().is_some() && root.unwrap().data[0] == 0));
    assert_eq!(array[1000], 1.0 / 1001.0);
}

/// Eight words.
#[derive(Collect)]
#[collect(no_drop)]
struct Block<'gc> {
    pointers: [Option<Gc<'gc, Block<'gc>>>; 2],
    data: [u64; 6],
}

#[derive(Collect)]
#[collect(no_drop)]
struct Blocks<'gc> {
    live: Vec<Gc<'gc, Block<'gc>>>,
    recent: Vec<Gc<'gc, Block<'gc>>>,
}

fn block<'gc>(mc: &Mutation<'gc>) -> Gc<'gc, Block<'gc>> {
    Gc::new(mc, Block { pointers: [None; 2], data: [0; 6] })
}

pub fn drop() {
    let mut arena = Arena::<Rootable![Blocks<'_>]>::new(|mc| Blocks {
        live: (0..1 << 20).map(|_| block(mc)).collect(),
        recent: (0..1000).map(|_| block(mc)).collect(),
    });
    for _ in 0..30_000 {
        arena.mutate_root(|mc, root| {
            for place in &mut root.recent {
                *place = black_box(block(mc));
            }
        });
        arena.collect_debt();
    }
    arena.mutate(|_, root| assert!(root.live[5].pointers[0].is_none() && root.recent[7].data[0] == 0));
}

#[derive(Collect)]
#[collect(no_drop)]
struct Queen<'gc> {
    next: Option<Gc<'gc, Queen<'gc>>>,
    column: usize,
}

/// In how many ways so many more can stand beside those in a list.
fn place<'gc>(mc: &Mutation<'gc>, left: usize, placed: Option<Gc<'gc, Queen<'gc>>>) -> usize {
    if left == 0 {
        return 1;
    }
    let mut ways = 0;
    for column in 0..QUEENS {
        if is_safe(column, placed.as_deref(), |queen| (queen.column, queen.next.as_deref())) {
            ways += place(mc, left - 1, Some(Gc::new(mc, Queen { next: placed, column })));
        }
    }
    ways
}

pub fn queens() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ());
    for _ in 0..BOARDS {
        arena.mutate(|mc, ()| assert_eq!(place(mc, QUEENS, None), WAYS));
        arena.collect_debt();
    }
}

#[derive(Collect)]
#[collect(no_drop)]
struct Cache<'gc> {
    values: HashMap<usize, GcWeak<'gc, Block<'gc>>>,
    held: Vec<Option<Gc<'gc, Block<'gc>>>>,
}

impl<'gc> Cache<'gc> {
    /// Whether the value of a key was there.
    fn get(&mut self, mc: &Mutation<'gc>, key: usize, place: usize) -> bool {
        let found = self.values.get(&key).and_then(|weak| weak.upgrade(mc));
        let value = found.unwrap_or_else(|| {
            let value = Gc::new(mc, Block { pointers: [None; 2], data: [key as u64; 6] });
            self.values.insert(key, Gc::downgrade(value));
            value
        });
        assert_eq!(value.data[5], key as u64);
        self.held[place] = Some(value);
        found.is_some()
    }
}

pub fn cache() {
    let mut arena = Arena::<Rootable![Cache<'_>]>::new(|_| Cache { values: HashMap::new(), held: vec![None; HELD] });
    let (mut asked, mut hits) = (asked(), 0);
    for _ in 0..ASKS / 1000 {
        arena.mutate_root(|mc, root| {
            hits += asked.by_ref().take(1000).filter(|(key, place)| root.get(mc, *key, *place)).count();
        });
        arena.collect_debt();
    }
    check_hits(hits);
}
