//! Random programs with types, beside a plain model, while the collector takes single steps in between. Memory that is lost
//! is soon used again, so a node that should be there turns out to be another: each has a stamp that no other has.

#[path = "../../tests/random/mod.rs"]
mod random;

use super::*;
use crate::{Barrier, root::MutatorId};
use random::Random;
use std::{
    collections::{BTreeSet, HashMap},
    panic,
};

impl Random {
    fn index(&mut self, end: u64) -> usize {
        self.below(end) as usize
    }
}

/// Links and data in turns, so that the order in memory is another.
#[derive(Object)]
struct Node {
    stamp: Data<u64>,
    left: Link<Node>,
    small: Data<[u8; 11]>,
    more: [Link<Node>; 2],
    leaf: Link<Leaf>,
    sign: Data<char>,
}

#[derive(Object)]
struct Leaf {
    number: Data<i32>,
    pairs: [Data<[bool; 3]>; 2],
}

/// What a node is in the model, where it has the number that is its stamp.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plan {
    links: [Option<usize>; 3],
    small: [u8; 11],
    sign: char,
    /// The leaf's number and the last of its flags.
    leaf: Option<(i32, bool)>,
}

fn link(index: usize, node: Gc<'_, Node>) -> Cell<'_, Link<Node>> {
    if index == 0 { node.at(Node::LEFT) } else { node.at(Node::MORE).at(index - 1) }
}

const ROOTS: usize = 6;

/// A session's roots, the model, and the numbers of the nodes that the roots hold.
struct Player<'m> {
    random: Random,
    roots: [Option<Root<'m, Node>>; ROOTS],
    held: [Option<usize>; ROOTS],
    plans: Vec<Plan>,
    weak: HashMap<usize, Weak<Node>>,
    /// The numbers of the nodes that have a finalizer, or were found dead.
    finalizers: BTreeSet<usize>,
    finalizes: bool,
    /// How many weak pointers were seen to lose their object, and finalizers to come.
    deaths: [usize; 2],
}

impl<'m> Player<'m> {
    fn new(seed: u64) -> Player<'m> {
        Player {
            random: Random(seed),
            roots: [const { None }; ROOTS],
            held: [None; ROOTS],
            plans: Vec::new(),
            weak: HashMap::new(),
            finalizers: BTreeSet::new(),
            finalizes: false,
            deaths: [0; 2],
        }
    }

    fn slot(&mut self) -> usize {
        self.random.index(ROOTS as u64)
    }

    /// Some root that holds a node, and the node's number.
    fn some(&mut self) -> Option<(usize, usize)> {
        let slot = self.slot();
        self.held[slot].map(|number| (slot, number))
    }

    fn hold(&mut self, slot: usize, root: Option<Root<'m, Node>>, number: Option<usize>) {
        (self.roots[slot], self.held[slot]) = (root, number);
    }

    /// The same for what was found in a link. Nil is left: programs would soon have nothing else.
    fn receive(&mut self, slot: usize, root: Option<Root<'m, Node>>, number: Option<usize>) {
        assert_eq!(root.is_some(), number.is_some());
        if root.is_some() {
            self.hold(slot, root, number);
        }
    }

    fn gc<'s>(&self, slot: usize, session: &'s Session<'m>) -> Option<Gc<'s, Node>> {
        self.roots[slot].as_ref().map(|root| root.get(session))
    }

    fn alloc(&mut self, session: &mut Session<'m>) {
        let (slot, number) = (self.slot(), self.plans.len());
        // In a new root, or in one that there is.
        match self.roots[slot].take_if(|_| number % 2 == 0) {
            Some(root) => {
                session.alloc_into(&root).unwrap();
                self.roots[slot] = Some(root);
            }
            None => self.roots[slot] = Some(session.alloc().unwrap()),
        }
        self.held[slot] = Some(number);
        self.plans.push(Plan::default());
        let node = self.gc(slot, session).unwrap();
        assert_eq!(self.seen(node, session), (0, Plan::default(), [None; 3]), "it is born nil and zero");
        node.at(Node::STAMP).set(session, number as u64);
    }

    /// What a node says of itself: its stamp, what is no link to a node, and the stamps of the nodes that its links lead to.
    fn seen(&self, node: Gc<'_, Node>, session: &Session<'_>) -> (usize, Plan, [Option<usize>; 3]) {
        let stamp = |node: Gc<'_, Node>| node.at(Node::STAMP).get(session) as usize;
        let leaf = node
            .at(Node::LEAF)
            .get(session)
            .map(|leaf| (leaf.at(Leaf::NUMBER).get(session), leaf.at(Leaf::PAIRS).at(1).get(session)[2]));
        let (small, sign) = (node.at(Node::SMALL).get(session), node.at(Node::SIGN).get(session));
        let plan = Plan { links: [None; 3], small, sign, leaf };
        (stamp(node), plan, std::array::from_fn(|index| link(index, node).get(session).map(stamp)))
    }

    /// Follows everything from the roots, in the heap and in the model.
    fn compare(&self, session: &Session<'m>) {
        let mut seen = BTreeSet::new();
        let mut left: Vec<_> = (0..ROOTS).filter_map(|slot| self.held[slot].zip(self.gc(slot, session))).collect();
        while let Some((number, node)) = left.pop() {
            if !seen.insert(number) {
                continue;
            }
            let state = session.heap.heap.state();
            assert!(state.describe(node.address()).is_some(), "node {number} can be reached, and was freed");
            let (stamp, mut plan, links) = self.seen(node, session);
            plan.links = links;
            assert_eq!((stamp, &plan), (number, &self.plans[number]));
            let below = |index| link(index, node).get(session);
            left.extend((0..3).filter_map(|index| links[index].zip(below(index))));
        }
    }

    /// The numbers of what the program can reach.
    fn reachable(&self) -> BTreeSet<usize> {
        let (mut seen, mut left) = (BTreeSet::new(), self.held.iter().flatten().copied().collect::<Vec<_>>());
        while let Some(number) = left.pop() {
            if seen.insert(number) {
                left.extend(self.plans[number].links.iter().flatten());
            }
        }
        seen
    }

    /// Loads, stores, swaps or exchanges a link.
    fn relink(&mut self, session: &Session<'m>) {
        let (Some((of, number)), index, other) = (self.some(), self.random.index(3), self.slot()) else { return };
        let cell = link(index, self.gc(of, session).unwrap());
        let (value, target) = (self.gc(other, session), self.held[other]);
        let old = self.plans[number].links[index];
        match self.random.index(6) {
            0 => {
                // Taken away from where it was: the one thing that a collector may overlook.
                let taken = cell.swap(session, None);
                self.plans[number].links[index] = None;
                self.receive(other, taken.map(|node| session.root(node)), old);
            }
            5 => {
                let loaded = cell.get(session);
                self.receive(other, loaded.map(|node| session.root(node)), old);
            }
            1 => {
                let before = cell.swap(session, value);
                assert_eq!(before.map(|node| self.seen(node, session).0), old);
                self.plans[number].links[index] = target;
                self.receive(other, before.map(|node| session.root(node)), old);
            }
            2 => {
                let (expected, guess) =
                    if self.random.index(2) == 0 { (cell.get(session), old) } else { (value, target) };
                let exchanged = cell.compare_exchange(session, expected, value);
                assert_eq!(exchanged.is_ok(), guess == old);
                if exchanged.is_ok() {
                    self.plans[number].links[index] = target;
                }
            }
            _ => {
                cell.set(session, value);
                self.plans[number].links[index] = target;
            }
        }
    }

    /// Writes data; a leaf is a new one.
    fn write(&mut self, session: &mut Session<'m>) {
        let Some((slot, number)) = self.some() else { return };
        let value = self.random.index(1 << 20);
        if value.is_multiple_of(3) {
            let (leaf, flag) = (session.alloc::<Leaf>().unwrap(), value.is_multiple_of(2));
            let (node, leaf) = (self.gc(slot, session).unwrap(), leaf.get(session));
            leaf.at(Leaf::NUMBER).set(session, -(value as i32));
            leaf.at(Leaf::PAIRS).at(1).set(session, [!flag, true, flag]);
            node.at(Node::LEAF).set(session, leaf);
            self.plans[number].leaf = Some((-(value as i32), flag));
        } else {
            let plan = &mut self.plans[number];
            let node = self.roots[slot].as_ref().unwrap().get(session);
            plan.small = std::array::from_fn(|at| (value >> at) as u8);
            plan.sign = char::from_u32(value as u32 % 0xd000).unwrap();
            node.at(Node::SMALL).set(session, plan.small);
            node.at(Node::SIGN).set(session, plan.sign);
        }
    }

    /// Attaches something, or asks for what is due.
    fn attend(&mut self, session: &Session<'m>) {
        if let Some((slot, number)) = self.some() {
            let node = self.gc(slot, session).unwrap();
            match self.random.index(4) {
                0 if self.finalizes && !self.finalizers.contains(&number) => {
                    assert_eq!(session.set_finalizer(node, number as u32), None);
                    self.finalizers.insert(number);
                }
                1 => {
                    let weak = session.weak(node);
                    if let Some(before) = self.weak.insert(number, weak.clone()) {
                        assert!(before == weak || self.finalizers.contains(&number), "it has one in each life");
                    }
                }
                _ => {}
            }
        }
        if let Some(due) = session.finalized() {
            let node = due.of::<Node>().expect("nodes have finalizers");
            assert_eq!(due.of::<Leaf>(), None);
            let number = due.token() as usize;
            assert!(!self.reachable().contains(&number), "{number} can be reached, and was found dead");
            assert_eq!(self.seen(node, session).0, number);
            // It lives on, and all that it leads to.
            let slot = self.slot();
            self.hold(slot, Some(session.root(node)), Some(number));
            self.deaths[1] += 1;
        }
        let reachable = self.reachable();
        let mut lost = 0;
        self.weak.retain(|number, weak| match weak.upgrade(session).unwrap() {
            Some(node) => {
                assert_eq!(node.at(Node::STAMP).get(session) as usize, *number);
                true
            }
            None => {
                assert!(!reachable.contains(number) || self.finalizers.contains(number), "{number} is alive");
                lost += 1;
                false
            }
        });
        self.deaths[0] += lost;
    }

    fn step(&mut self, session: &mut Session<'m>) {
        let heap = session.heap;
        let (choice, budget) = (self.random.index(14), self.random.index(8));
        session.park(|| {
            let heap = &heap.heap;
            match choice {
                0 => _ = heap.start(),
                1..5 => _ = heap.mark(1),
                5..7 => _ = heap.handshake(MutatorId(0)),
                7..9 => _ = heap.finish(),
                9..13 => _ = heap.sweep(budget),
                _ if budget == 0 => heap.collect(),
                _ => {}
            }
        });
    }

    fn play(&mut self, session: &mut Session<'m>, length: usize) {
        for _ in 0..length {
            match self.random.index(20) {
                0..4 => self.alloc(session),
                4..10 => self.relink(session),
                10..12 => self.write(session),
                12 => {
                    let slot = self.slot();
                    self.hold(slot, None, None);
                }
                13 => self.attend(session),
                _ => self.step(session),
            }
            self.compare(session);
        }
    }
}

/// Runs programs, of which each other one has finalizers; gives how many deaths were seen.
fn run(seeds: std::ops::Range<u64>, length: usize, config: Config) -> [usize; 2] {
    let mut deaths = [0; 2];
    for seed in seeds {
        let heap = Heap::new(config).unwrap();
        heap.session(|session| {
            let mut player = Player::new(seed);
            player.finalizes = seed % 2 == 0;
            player.play(session, length);
            deaths = std::array::from_fn(|kind| deaths[kind] + player.deaths[kind]);
            session.collect();
            player.compare(session);
            if !player.finalizes {
                let reachable = player.reachable();
                let leaves = reachable.iter().filter(|number| player.plans[**number].leaf.is_some()).count();
                assert_eq!(heap.stats().objects, reachable.len() + leaves);
                for (number, weak) in &player.weak {
                    assert_eq!(weak.upgrade(session).unwrap().is_some(), reachable.contains(number));
                }
            }
            session.park(|| heap.verify().unwrap());
        });
        heap.collect();
        assert!(seed % 2 == 0 || heap.stats().objects == 0, "the roots of a session end with it");
    }
    deaths
}

const SMALL: Config = Config { reservation: 64 << 20, limit: 4 << 20, globals: 2, ..Config::DEFAULT };

#[test]
fn random_programs_mean_what_the_model_says_whatever_the_collector_does_in_between() {
    let [weak, finalizers] = run(0..200, 2500, SMALL);
    assert!(weak > 500 && finalizers > 100, "deaths were seen: {weak} by weak pointers, {finalizers} by finalizers");
}

#[test]
fn long_programs_under_each_barrier_and_with_tiny_objects_mean_what_the_model_says() {
    for barrier in [Barrier::Hybrid, Barrier::Insertion, Barrier::Deletion] {
        let [weak, finalizers] = run(1000..1006, 4000, Config { barrier, tiny: true, ..SMALL });
        assert!(weak > 20 && finalizers > 20, "{barrier:?}: {weak}, {finalizers}");
    }
}

#[test]
fn a_heap_without_a_barrier_is_found_out() {
    let config = Config { barrier: Barrier::None, ..SMALL };
    let found = (0..40).filter(|seed| panic::catch_unwind(|| run(*seed..*seed + 1, 2500, config)).is_err()).count();
    assert!(found >= 8, "only {found} of 40 programs noticed");
}

// ---- layout

/// Fields of all sizes.
#[derive(Object)]
struct All {
    a: Data<u8>,
    b: Data<[u16; 3]>,
    one: Link<All>,
    c: Data<[[u32; 3]; 2]>,
    d: Data<[u8; 0]>,
    two: [[Link<Node>; 2]; 3],
    e: Data<f64>,
    f: [Data<i8>; 3],
    g: Data<[char; 5]>,
    three: Link<Leaf>,
    h: Data<[f32; 2]>,
}

#[test]
fn links_come_first_and_each_field_has_words_of_its_own() {
    let links = [(All::ONE.index, 1), (All::TWO.index, 6), (All::THREE.index, 1)];
    let data = [(All::A.index, 1), (All::B.index, 1), (All::C.index, 3), (All::D.index, 0), (All::E.index, 1)];
    let more = [(All::F.index, 3), (All::G.index, 3), (All::H.index, 1)];
    let mut next = 0;
    for (index, words) in links.into_iter().chain(data).chain(more) {
        assert_eq!(index, next);
        next += words;
    }
    type List = <All as Object>::Fields;
    assert_eq!((List::LINKS, List::WORDS), (8, next - 8));
}

#[test]
fn what_is_written_in_one_field_is_read_there_and_nowhere_else() {
    let heap = Heap::new(SMALL).unwrap();
    heap.session(|session| {
        let (root, leaf) = (session.alloc::<All>().unwrap(), session.alloc::<Leaf>().unwrap());
        let s = &*session;
        let (all, leaf) = (root.get(s), leaf.get(s));
        for _ in 0..2 {
            all.at(All::A).set(s, u8::MAX);
            all.at(All::B).set(s, [1, u16::MAX, 3]);
            all.at(All::ONE).set(s, all);
            all.at(All::C).set(s, [[1, 2, 3], [u32::MAX, 5, 6]]);
            all.at(All::D).set(s, []);
            all.at(All::E).set(s, -0.1);
            all.at(All::F).iter().zip([-1, i8::MIN, i8::MAX]).for_each(|(cell, value)| cell.set(s, value));
            all.at(All::G).set(s, ['a', '\u{10ffff}', 'c', '\0', 'e']);
            all.at(All::THREE).set(s, leaf);
            all.at(All::H).set(s, [f32::INFINITY, -2.5]);
        }
        assert_eq!((all.at(All::A).get(s), all.at(All::B).get(s)), (u8::MAX, [1, u16::MAX, 3]));
        assert_eq!((all.at(All::ONE).get(s), all.at(All::THREE).get(s)), (Some(all), Some(leaf)));
        assert_eq!(all.at(All::C).get(s), [[1, 2, 3], [u32::MAX, 5, 6]]);
        assert_eq!((all.at(All::D).get(s), all.at(All::E).get(s)), ([], -0.1));
        assert!(all.at(All::F).iter().map(|cell| cell.get(s)).eq([-1, i8::MIN, i8::MAX]));
        assert_eq!(all.at(All::G).get(s), ['a', '\u{10ffff}', 'c', '\0', 'e']);
        assert_eq!(all.at(All::H).get(s), [f32::INFINITY, -2.5]);
        assert!(all.at(All::TWO).iter().all(|row| row.iter().all(|cell| cell.get(s).is_none())));
    });
}

#[test]
fn numbers_without_a_sign_or_with_one_come_back() {
    #[derive(Object)]
    struct Numbers {
        wide: Data<[i64; 2]>,
        middle: Data<[i32; 2]>,
        small: Data<[i16; 4]>,
        sizes: Data<[usize; 1]>,
        signed: Data<isize>,
        truth: Data<bool>,
        long: Data<u64>,
    }
    let heap = Heap::new(SMALL).unwrap();
    heap.session(|session| {
        let root = session.alloc::<Numbers>().unwrap();
        let at = root.get(session);
        at.at(Numbers::WIDE).set(session, [i64::MIN, -1]);
        at.at(Numbers::MIDDLE).set(session, [i32::MIN, i32::MAX]);
        at.at(Numbers::SMALL).set(session, [-1, i16::MIN, 1, i16::MAX]);
        at.at(Numbers::SIZES).set(session, [usize::MAX]);
        at.at(Numbers::SIGNED).set(session, -2);
        at.at(Numbers::TRUTH).set(session, true);
        at.at(Numbers::LONG).set(session, u64::MAX);
        assert_eq!(at.at(Numbers::WIDE).get(session), [i64::MIN, -1]);
        assert_eq!(at.at(Numbers::MIDDLE).get(session), [i32::MIN, i32::MAX]);
        assert_eq!(at.at(Numbers::SMALL).get(session), [-1, i16::MIN, 1, i16::MAX]);
        assert_eq!(at.at(Numbers::SIZES).get(session), [usize::MAX]);
        assert_eq!((at.at(Numbers::SIGNED).get(session), at.at(Numbers::TRUTH).get(session)), (-2, true));
        assert_eq!(at.at(Numbers::LONG).get(session), u64::MAX);
    });
}
