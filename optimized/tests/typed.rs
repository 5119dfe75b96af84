//! The typed face with threads, and what it refuses when it runs. What it refuses before that is in `refused.rs`; random
//! programs of one thread, step by step, are beside its source.
//!
//! Each seal has a stamp that no other has, and the stamps of the two seals that it was made of; so whoever follows a link
//! sees whether it leads to the right place. A link to what was freed leads to another, since the heap is small.

mod random;

use heaplaw_optimized::{
    Config, Error,
    typed::{Data, Gc, Global, Heap, Link, Object, Root, Session, Weak},
};
use random::Random;
use std::{
    panic::{self, AssertUnwindSafe},
    sync::mpsc,
    thread,
};

impl Random {
    fn index(&mut self, end: u64) -> usize {
        self.below(end) as usize
    }
}

#[derive(Object)]
struct Seal {
    stamp: Data<u64>,
    height: Data<u8>,
    below: [Link<Seal>; 2],
    stamps: Data<[u64; 2]>,
}

/// What all threads change.
#[derive(Object)]
struct Board {
    places: [Link<Seal>; PLACES],
}

const PLACES: usize = 6;
const ROOTS: usize = 8;
const HEIGHT: u8 = 12;
/// About a third of the weak pointers that a thread has after a while.
const WEAK: u64 = 500;

fn stamp(seal: Gc<'_, Seal>, session: &Session<'_>) -> u64 {
    seal.at(Seal::STAMP).get(session)
}

struct Player<'m> {
    random: Random,
    roots: [Option<Root<'m, Seal>>; ROOTS],
    weak: Vec<(u64, Weak<Seal>)>,
    next: u64,
    /// How many links were followed, and how many weak pointers found nothing.
    seen: [u64; 2],
}

impl<'m> Player<'m> {
    fn new(thread: u64) -> Player<'m> {
        let roots = [const { None }; ROOTS];
        Player { random: Random(thread), roots, weak: Vec::new(), next: (thread + 1) << 40, seen: [0; 2] }
    }

    fn slot(&mut self) -> usize {
        self.random.index(ROOTS as u64)
    }

    /// A new seal over two others, or over one, or none.
    fn build(&mut self, session: &mut Session<'m>) -> Result<(), Error> {
        let (into, from) = (self.slot(), [self.slot(), self.slot()]);
        let root = session.alloc::<Seal>()?;
        let seal = root.get(session);
        assert_eq!((stamp(seal, session), seal.at(Seal::STAMPS).get(session)), (0, [0; 2]), "it is born zero");
        let below = from.map(|slot| self.roots[slot].as_ref().map(|root| root.get(session)));
        let height = below.iter().flatten().map(|seal| seal.at(Seal::HEIGHT).get(session)).max().unwrap_or(0);
        if height < HEIGHT {
            for (cell, below) in seal.at(Seal::BELOW).iter().zip(below) {
                cell.set(session, below);
            }
            seal.at(Seal::STAMPS).set(session, below.map(|below| below.map_or(0, |below| stamp(below, session))));
            seal.at(Seal::HEIGHT).set(session, height + 1);
        }
        self.next += 1;
        seal.at(Seal::STAMP).set(session, self.next);
        self.roots[into] = Some(root);
        Ok(())
    }

    /// Follows links down from a seal.
    fn walk<'s>(&mut self, mut seal: Gc<'s, Seal>, session: &'s Session<'_>) {
        loop {
            let side = self.random.index(2);
            let (expected, height) = (seal.at(Seal::STAMPS).get(session)[side], seal.at(Seal::HEIGHT).get(session));
            let Some(below) = seal.at(Seal::BELOW).at(side).get(session) else {
                return assert_eq!(expected, 0, "a link is lost");
            };
            assert_eq!(stamp(below, session), expected, "a link leads elsewhere");
            assert!(below.at(Seal::HEIGHT).get(session) < height);
            seal = below;
            self.seen[0] += 1;
        }
    }

    /// Changes a place of the board, or takes what is there.
    fn trade(&mut self, session: &Session<'m>, board: &Global<Board>) -> Result<(), Error> {
        let (slot, index) = (self.slot(), self.random.index(PLACES as u64));
        let place = board.get(session)?.expect("the board is there").at(Board::PLACES).at(index);
        let own = self.roots[slot].as_ref().map(|root| root.get(session));
        let taken = match self.random.index(4) {
            0 => {
                place.set(session, own);
                None
            }
            1 => place.swap(session, own),
            2 => {
                let there = place.get(session);
                match place.compare_exchange(session, there, own) {
                    Ok(()) => there,
                    Err(other) => other,
                }
            }
            _ => place.get(session),
        };
        if let Some(seal) = taken {
            self.walk(seal, session);
            self.roots[slot] = Some(session.root(seal));
        }
        Ok(())
    }

    /// Makes a weak pointer in place of another, or asks one. Not all: who is asked for while objects are marked is kept.
    fn remember(&mut self, session: &Session<'m>) -> Result<(), Error> {
        let (slot, place) = (self.slot(), self.random.index(4 * WEAK));
        if let Some(root) = &self.roots[slot]
            && place >= self.weak.len()
        {
            let seal = root.get(session);
            let weak = session.weak(seal);
            assert_eq!(weak.upgrade(session)?, Some(seal), "it is in a root");
            self.weak.push((stamp(seal, session), weak));
        } else if place < self.weak.len() {
            let (expected, weak) = self.weak.swap_remove(place);
            match weak.upgrade(session)? {
                Some(seal) => {
                    assert_eq!(stamp(seal, session), expected, "a weak pointer leads elsewhere");
                    self.walk(seal, session);
                }
                None => self.seen[1] += 1,
            }
        }
        Ok(())
    }

    fn play(&mut self, session: &mut Session<'m>, board: &Global<Board>, steps: usize) -> Result<(), Error> {
        for _ in 0..steps {
            match self.random.index(16) {
                0..6 => self.build(session)?,
                6..10 => self.trade(session, board)?,
                10 => self.remember(session)?,
                11 => {
                    let slot = self.slot();
                    self.roots[slot] = None;
                }
                12 => session.safepoint(),
                13 if self.random.index(64) == 0 => session.park(thread::yield_now),
                _ => {
                    let slot = self.slot();
                    if let Some(seal) = self.roots[slot].as_ref().map(|root| root.get(session)) {
                        self.walk(seal, session);
                    }
                }
            }
        }
        Ok(())
    }
}

fn stress(config: Config, steps: usize) {
    let heap = Heap::new(config).expect("address space");
    let board = heap.global::<Board>().expect("a global");
    heap.session(|session| {
        let root = session.alloc::<Board>()?;
        board.set(session, root.get(session))
    })
    .expect("memory");
    let seen = thread::scope(|scope| {
        let (heap, board) = (&heap, &board);
        let play = |thread| {
            scope.spawn(move || {
                heap.session(|session| {
                    let mut player = Player::new(thread);
                    player.play(session, board, steps).expect("memory");
                    player.seen
                })
            })
        };
        let threads: Vec<_> = (0..3).map(play).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .fold([0; 2], |sum, seen| [sum[0] + seen[0], sum[1] + seen[1]])
    });
    let cycles = heap.last_cycle().expect("it has collected").number;
    assert!(seen[0] > steps as u64 && seen[1] > 100 && cycles > 5, "{seen:?} in {cycles} cycles");
    heap.session(|session| board.set(session, None)).expect("it is of this heap");
    heap.collect();
    heap.verify().expect("it is sound");
    assert_eq!(heap.stats().objects, 0);
}

/// Cycles come as soon as there are 200 KiB more.
const SMALL: Config = Config { reservation: 64 << 20, gogc: Some(5), ..Config::DEFAULT };

#[test]
fn three_threads_follow_links_to_the_right_places_while_workers_collect() {
    stress(Config { workers: 2, ..SMALL }, 1_500_000);
}

#[test]
fn three_threads_follow_links_to_the_right_places_while_they_collect_themselves() {
    stress(Config { paced: true, ..SMALL }, 500_000);
}

// ---- what is refused

#[derive(Object)]
struct Other {
    seal: Link<Seal>,
}

fn panics(run: impl FnOnce()) -> String {
    let why = panic::catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
    why.downcast_ref::<String>()
        .cloned()
        .or_else(|| why.downcast_ref::<&str>().map(|why| why.to_string()))
        .unwrap_or_default()
}

#[test]
fn what_is_of_another_heap_is_refused() {
    let (one, other) = (Heap::new(SMALL).unwrap(), Heap::new(SMALL).unwrap());
    let (global, weak) = one.session(|session| {
        let root = session.alloc::<Seal>().unwrap();
        let cleanup = session.add_cleanup(root.get(session), 1);
        session.park(|| other.session(|session| assert!(!session.stop_cleanup(&cleanup))));
        let global = one.global::<Seal>().unwrap();
        global.set(session, root.get(session)).unwrap();
        (global, session.weak(root.get(session)))
    });
    other.session(|session| {
        let root = session.alloc::<Seal>().unwrap();
        assert_eq!(global.get(session).map(drop), Err(Error::ForeignRoot));
        assert_eq!(global.set(session, root.get(session)), Err(Error::ForeignRoot));
        assert_eq!(weak.upgrade(session).map(drop), Err(Error::ForeignRoot));
    });
    one.session(|session| {
        assert_eq!(global.get(session).unwrap(), weak.upgrade(session).unwrap());
        assert!(global.get(session).unwrap().is_some());
    });
}

#[test]
fn each_global_is_made_once() {
    let heap = Heap::new(Config { globals: 2, ..SMALL }).unwrap();
    let (seal, other) = (heap.global::<Seal>().unwrap(), heap.global::<Other>().unwrap());
    assert_eq!(heap.clone().global::<Seal>().map(drop), Err(Error::NoPlace { index: 2, count: 2 }));
    heap.session(|session| {
        let root = session.alloc::<Seal>().unwrap();
        seal.set(session, root.get(session)).unwrap();
        assert_eq!((seal.clone().get(session).unwrap(), other.get(session).unwrap()), (Some(root.get(session)), None));
    });
}

#[test]
fn a_thread_is_in_one_session_at_a_time_but_while_it_is_parked() {
    let (one, other) = (Heap::new(SMALL).unwrap(), Heap::new(SMALL).unwrap());
    for inner in [&one, &other] {
        let why = panics(|| one.session(|_| inner.session(|_| ())));
        assert!(why.contains("one session at a time"), "{why}");
    }
    // Whatever panics, sessions and parking end.
    one.session(|session| {
        assert!(panics(|| session.park(|| panic!("parked"))).contains("parked"));
        assert!(panics(|| other.session(|_| ())).contains("one session"));
        session.park(|| other.session(|session| session.alloc::<Seal>().map(drop))).unwrap();
        assert!(panics(|| other.session(|_| ())).contains("one session"));
    });
    other.session(|_| ());
}

#[test]
fn an_element_that_is_not_there_is_refused() {
    Heap::new(SMALL).unwrap().session(|session| {
        let root = session.alloc::<Seal>().unwrap();
        let below = root.get(session).at(Seal::BELOW);
        assert_eq!(below.iter().count(), 2);
        assert!(panics(|| _ = below.at(2)).contains("there is no element 2, only 2"));
    });
}

#[test]
fn a_heap_that_is_full_refuses_and_roots_hold_what_they_held() {
    #[derive(Object)]
    struct Large {
        words: Data<[u64; 10_000]>,
        next: Link<Large>,
    }
    Heap::new(Config { limit: 1 << 20, ..SMALL }).unwrap().session(|session| {
        let list = session.alloc::<Large>().unwrap();
        let held = loop {
            let before = list.get(session).address();
            let node = session.root(list.get(session));
            match session.alloc_into(&list) {
                Ok(()) => list.get(session).at(Large::NEXT).set(session, node.get(session)),
                Err(error) => break (before, error),
            }
        };
        assert!(matches!(held.1, Error::OutOfMemory { .. }), "{held:?}");
        assert_eq!(list.get(session).address(), held.0);
        assert!(session.alloc::<Large>().is_err());
        let _ = Large::WORDS;
    });
}

// ---- roots, deaths

#[test]
fn a_root_that_is_dropped_lets_its_object_go_also_while_parked() {
    let heap = Heap::new(SMALL).unwrap();
    heap.session(|session| {
        let mut roots: Vec<_> = (0..300).map(|_| session.alloc::<Seal>().unwrap()).collect();
        session.collect();
        assert_eq!(heap.stats().objects, 300);
        roots.truncate(200);
        session.collect();
        assert_eq!(heap.stats().objects, 200);
        session.park(|| roots.truncate(100));
        session.collect();
        assert_eq!(heap.stats().objects, 100);
        // Vacant slots are used again.
        let more: Vec<_> = (0..200).map(|_| session.root(roots[0].get(session))).collect();
        assert!(more.iter().all(|root| root.get(session) == roots[0].get(session)));
        session.collect();
        assert_eq!(heap.stats().objects, 100);
    });
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn what_is_due_comes_with_its_type_and_its_token() {
    let heap = Heap::new(SMALL).unwrap();
    heap.session(|session| {
        let (seal, other) = (session.alloc::<Seal>().unwrap(), session.alloc::<Other>().unwrap());
        seal.get(session).at(Seal::STAMP).set(session, 77);
        assert_eq!(session.set_finalizer(seal.get(session), u32::MAX), None);
        assert_eq!(session.set_finalizer(seal.get(session), 5), Some(u32::MAX));
        assert_eq!(session.set_finalizer(other.get(session), 6), None);
        assert_eq!(session.clear_finalizer(other.get(session)), Some(6));
        assert_eq!(session.clear_finalizer(other.get(session)), None);
        let argument = session.add_cleanup_with(other.get(session), seal.get(session), 8).unwrap();
        session.add_cleanup(other.get(session), 9);
        let stopped = session.add_cleanup(other.get(session), 10);
        assert!(session.stop_cleanup(&stopped) && !session.stop_cleanup(&stopped));
        let own = session.add_cleanup_with(seal.get(session), seal.get(session), 0);
        assert_eq!(own.map(drop), Err(Error::OwnArgument));
        let weak = session.weak(seal.get(session));
        assert!(session.finalized().is_none() && session.cleaned().is_none());

        // The cleanup's argument stays until it was handed out.
        drop((seal, other));
        session.collect();
        assert_eq!((heap.finalizers_due(), heap.cleanups_due()), (0, 2));
        assert!(!session.stop_cleanup(&argument), "it is due");
        let mut tokens = Vec::new();
        let mut kept = None;
        while let Some(due) = session.cleaned() {
            tokens.push(due.token());
            assert!(due.of::<Other>().is_none(), "the argument is no such object");
            if let Some(seal) = due.of::<Seal>() {
                assert_eq!((due.token(), stamp(seal, session)), (8, 77));
                assert_eq!(weak.upgrade(session).unwrap(), Some(seal));
                kept = Some(session.root(seal));
            }
        }
        tokens.sort_unstable();
        assert_eq!(tokens, [8, 9]);
        assert!(kept.take().is_some(), "the argument came along");

        session.collect();
        let due = session.finalized().expect("it was found dead");
        assert_eq!((due.token(), due.of::<Other>()), (5, None));
        let again = session.root(due.of::<Seal>().expect("a seal"));
        assert_eq!((stamp(again.get(session), session), weak.upgrade(session).unwrap()), (77, None));
        let anew = session.weak(again.get(session));
        assert!(anew != weak, "another life");
        session.collect();
        assert_eq!(anew.upgrade(session).unwrap(), Some(again.get(session)), "it lives on");
    });
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn an_object_without_fields_is_an_object() {
    #[derive(Object)]
    struct Nothing;
    for tiny in [false, true] {
        let heap = Heap::new(Config { tiny, ..SMALL }).unwrap();
        heap.session(|session| {
            let (one, other) = (session.alloc::<Nothing>().unwrap(), session.alloc::<Nothing>().unwrap());
            assert_ne!(one.get(session), other.get(session));
            assert_eq!(session.weak(one.get(session)), session.weak(one.get(session)));
        });
    }
    _ = Nothing;
}

#[test]
fn a_global_hands_an_object_from_one_thread_to_another() {
    let heap = Heap::new(Config { workers: 1, ..SMALL }).unwrap();
    let (global, other) = (heap.global::<Seal>().unwrap(), heap.global::<Other>().unwrap());
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            heap.session(|session| {
                let seal = session.alloc::<Seal>().unwrap();
                seal.get(session).at(Seal::STAMP).set(session, 5);
                global.set(session, seal.get(session)).unwrap();
            });
            tell.send(()).unwrap();
        });
        heap.session(|session| {
            // Whoever waits is parked.
            session.park(|| told.recv().unwrap());
            session.collect();
            let seal = session.root(global.get(session).unwrap().expect("it was handed over"));
            global.set(session, None).unwrap();
            session.collect();
            assert_eq!(stamp(seal.get(session), session), 5);
            let holder = session.alloc::<Other>().unwrap();
            holder.get(session).at(Other::SEAL).set(session, seal.get(session));
            other.set(session, holder.get(session)).unwrap();
        });
    });
    heap.collect();
    assert_eq!(heap.stats().objects, 2);
}
