//! Weak pointers, finalizers and cleanups: as programs see them, at every step of a cycle, and on threads.
//!
//! `HEAPLAW_STRESS_SECONDS` says how long the stress test runs, two seconds unless told.

mod random;

use heaplaw_optimized::{Config, Error, Heap, Mutator, Phase, Place, Root, Weak};
use random::Random;
use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn small() -> (Heap, Mutator) {
    let heap = Heap::new(Config { reservation: 16 << 20, ..Config::default() }).unwrap();
    let mutator = heap.join();
    (heap, mutator)
}

/// Collects, and checks the heap.
fn collect(heap: &Heap) {
    heap.collect();
    assert_eq!(heap.verify(), Ok(()));
}

/// An object that leads to another, in a root.
fn link(mutator: &mut Mutator, from: &Root, to: &Root) {
    mutator.store(Place::Field(from, 0), Some(to)).unwrap();
}

#[test]
fn what_leads_to_another_is_finalized_a_cycle_earlier() {
    let (heap, mut mutator) = small();
    let [a, b] = [mutator.root(), mutator.root()];
    mutator.alloc(&a, 1, 0).unwrap();
    mutator.alloc(&b, 1, 0).unwrap();
    link(&mut mutator, &a, &b);
    assert_eq!((mutator.set_finalizer(&a, 1), mutator.set_finalizer(&b, 2)), (Ok(None), Ok(None)));
    let first = mutator.inspect(&b).unwrap();
    mutator.clear(&a).unwrap();
    mutator.clear(&b).unwrap();
    collect(&heap);
    assert_eq!((heap.finalizers_due(), mutator.finalized(&a), heap.finalizers_due()), (1, Ok(Some(1)), 0));
    mutator.load(&b, Place::Field(&a, 0)).unwrap();
    assert_eq!(mutator.inspect(&b).unwrap().map(|object| object.address), first.map(|object| object.address));
    collect(&heap);
    assert_eq!(mutator.finalized(&b), Ok(None), "it is held");
    mutator.clear(&a).unwrap();
    mutator.clear(&b).unwrap();
    collect(&heap);
    assert_eq!(mutator.finalized(&b), Ok(Some(2)));
    mutator.clear(&b).unwrap();
    collect(&heap);
    assert_eq!((heap.stats().objects, mutator.finalized(&b)), (0, Ok(None)));
}

#[test]
fn a_cycle_is_never_finalized_and_cleaned_up_at_once() {
    let (heap, mut mutator) = small();
    let [a, b] = [mutator.root(), mutator.root()];
    for finalizer in [true, false] {
        mutator.alloc(&a, 1, 0).unwrap();
        mutator.alloc(&b, 1, 0).unwrap();
        link(&mut mutator, &a, &b);
        link(&mut mutator, &b, &a);
        if finalizer {
            mutator.set_finalizer(&a, 1).unwrap();
        } else {
            mutator.add_cleanup(&a, None, 2).unwrap();
            mutator.add_cleanup(&b, None, 3).unwrap();
        }
        mutator.clear(&a).unwrap();
        mutator.clear(&b).unwrap();
        (0..4).for_each(|_| collect(&heap));
    }
    assert_eq!((heap.finalizers_due(), heap.cleanups_due(), heap.stats().objects), (0, 2, 2));
    let tokens = [mutator.cleaned(&a).unwrap(), mutator.cleaned(&a).unwrap()];
    assert_eq!((tokens, mutator.cleaned(&a)), ([Some(2), Some(3)], Ok(None)));
}

#[test]
fn a_cleanup_keeps_its_argument_and_not_its_object_and_can_be_stopped() {
    let (heap, mut mutator) = small();
    let [object, argument] = [mutator.root(), mutator.root()];
    mutator.alloc(&object, 0, 24).unwrap();
    mutator.alloc(&argument, 0, 40).unwrap();
    mutator.write(&argument, 0, b"argument").unwrap();
    assert_eq!(mutator.add_cleanup(&object, Some(&object), 0).unwrap_err(), Error::OwnArgument);
    let stopped = mutator.add_cleanup(&object, Some(&argument), 1).unwrap();
    let kept = mutator.add_cleanup(&object, Some(&argument), 2).unwrap();
    assert!(mutator.stop_cleanup(&stopped) && !mutator.stop_cleanup(&stopped));
    let (other_heap, mut other) = small();
    assert!(!other.stop_cleanup(&kept), "it is another heap's");
    drop(other_heap);
    mutator.clear(&argument).unwrap();
    collect(&heap);
    assert_eq!((heap.stats().objects, heap.cleanups_due()), (2, 0));
    mutator.clear(&object).unwrap();
    collect(&heap);
    assert_eq!((heap.stats().objects, heap.cleanups_due()), (1, 1), "the argument waits");
    assert!(!mutator.stop_cleanup(&kept), "it is due");
    assert_eq!((mutator.cleaned(&argument), mutator.cleaned(&object)), (Ok(Some(2)), Ok(None)));
    let mut data = [0; 8];
    mutator.read(&argument, 0, &mut data).unwrap();
    assert_eq!(&data, b"argument");
    mutator.clear(&argument).unwrap();
    collect(&heap);
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn a_weak_pointer_is_one_for_each_life_of_an_object() {
    let (heap, mut mutator) = small();
    let [object, other, found] = [mutator.root(), mutator.root(), mutator.root()];
    // Small ones, and one with pages of its own.
    for bytes in [16, 100, 50_000] {
        mutator.alloc(&object, 0, bytes).unwrap();
        mutator.alloc(&other, 0, bytes).unwrap();
        let weak = mutator.weak(&object).unwrap();
        assert_eq!(mutator.weak(&object).unwrap(), weak);
        assert_ne!(mutator.weak(&other).unwrap(), weak);
        mutator.set_finalizer(&object, 1).unwrap();
        let at = mutator.inspect(&object).unwrap().map(|object| object.address);
        assert_eq!(mutator.upgrade(&found, &weak), Ok(at));
        mutator.clear(&object).unwrap();
        collect(&heap);
        assert_eq!(mutator.upgrade(&object, &weak), Ok(at), "the other root holds it");
        mutator.clear(&object).unwrap();
        mutator.clear(&found).unwrap();
        collect(&heap);
        assert_eq!(mutator.upgrade(&found, &weak), Ok(None));
        assert_eq!(mutator.finalized(&object), Ok(Some(1)));
        assert_eq!(mutator.inspect(&object).unwrap().map(|object| object.address), at);
        assert_eq!(mutator.upgrade(&found, &weak), Ok(None), "it is here, and had died");
        let again = mutator.weak(&object).unwrap();
        assert_ne!(again, weak);
        assert_eq!(mutator.upgrade(&found, &again), Ok(at));
        let (_other_heap, mut stranger) = small();
        let root = stranger.root();
        assert_eq!(stranger.upgrade(&root, &again), Err(Error::ForeignRoot));
        for root in [&object, &other, &found] {
            mutator.clear(root).unwrap();
        }
        collect(&heap);
        assert_eq!((mutator.upgrade(&found, &again), heap.stats().objects), (Ok(None), 0));
        // Another object in the same place is another object.
        mutator.alloc(&object, 0, bytes).unwrap();
        assert_eq!(mutator.upgrade(&found, &weak), Ok(None));
        mutator.clear(&object).unwrap();
        collect(&heap);
    }
}

#[test]
fn a_finalizer_can_be_replaced_and_taken_off() {
    let (heap, mut mutator) = small();
    let root = mutator.root();
    assert_eq!(mutator.set_finalizer(&root, 1), Err(Error::Nil));
    mutator.alloc(&root, 0, 16).unwrap();
    assert_eq!(mutator.clear_finalizer(&root), Ok(None));
    assert_eq!((mutator.set_finalizer(&root, 1), mutator.set_finalizer(&root, 2)), (Ok(None), Ok(Some(1))));
    assert_eq!((mutator.clear_finalizer(&root), mutator.clear_finalizer(&root)), (Ok(Some(2)), Ok(None)));
    assert_eq!(heap.verify(), Ok(()));
    mutator.clear(&root).unwrap();
    collect(&heap);
    assert_eq!((heap.finalizers_due(), heap.stats().objects), (0, 0));
}

/// The steps of a cycle, one at a time; gives whether there was another.
fn step(heap: &Heap, mutator: &Mutator) -> bool {
    match heap.phase() {
        Phase::Off => heap.start(),
        Phase::Mark => heap.mark(1) > 0 || heap.handshake(mutator.id()) || heap.finish(),
        _ => heap.sweep(1) > 0,
    }
}

/// What is done after so many steps of a cycle, for all numbers of steps until the cycle is over.
fn at_every_step(mut story: impl FnMut(&Heap, &mut Mutator, usize)) {
    let mut over = false;
    let mut steps = 0;
    while !over {
        let (heap, mut mutator) = small();
        story(&heap, &mut mutator, steps);
        steps += 1;
        // A cycle of a few objects has no more steps.
        over = steps > 40;
    }
}

#[test]
fn whenever_a_finalizer_is_attached_all_that_its_object_leads_to_is_kept() {
    at_every_step(|heap, mutator, steps| {
        let [a, b] = [mutator.root(), mutator.root()];
        mutator.alloc(&a, 1, 0).unwrap();
        mutator.alloc(&b, 0, 8).unwrap();
        mutator.write(&b, 0, &[7; 8]).unwrap();
        link(mutator, &a, &b);
        mutator.clear(&b).unwrap();
        (0..steps).take_while(|_| step(heap, mutator)).count();
        mutator.set_finalizer(&a, 1).unwrap();
        let argument = mutator.root();
        mutator.alloc(&argument, 0, 8).unwrap();
        mutator.write(&argument, 0, &[8; 8]).unwrap();
        mutator.add_cleanup(&a, Some(&argument), 2).unwrap();
        mutator.clear(&argument).unwrap();
        mutator.clear(&a).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        collect(heap);
        assert_eq!(mutator.finalized(&a), Ok(Some(1)), "after {steps} steps");
        mutator.load(&b, Place::Field(&a, 0)).unwrap();
        let mut data = [0; 8];
        mutator.read(&b, 0, &mut data).unwrap();
        assert_eq!(data, [7; 8]);
        mutator.clear(&a).unwrap();
        mutator.clear(&b).unwrap();
        collect(heap);
        assert_eq!(mutator.cleaned(&a), Ok(Some(2)));
        mutator.read(&a, 0, &mut data).unwrap();
        assert_eq!(data, [8; 8]);
        mutator.clear(&a).unwrap();
        collect(heap);
        assert_eq!(heap.stats().objects, 0);
    });
}

#[test]
fn whenever_a_weak_pointer_is_asked_its_object_is_there_or_never_again() {
    let mut seen = [0; 2];
    at_every_step(|heap, mutator, steps| {
        let [a, b, found] = [mutator.root(), mutator.root(), mutator.root()];
        mutator.alloc(&a, 1, 0).unwrap();
        mutator.alloc(&b, 0, 8).unwrap();
        mutator.write(&b, 0, &[7; 8]).unwrap();
        link(mutator, &a, &b);
        let weak = mutator.weak(&a).unwrap();
        mutator.clear(&a).unwrap();
        mutator.clear(&b).unwrap();
        (0..steps).take_while(|_| step(heap, mutator)).count();
        let there = mutator.upgrade(&found, &weak).unwrap();
        assert_eq!(heap.verify(), Ok(()));
        collect(heap);
        assert_eq!(mutator.upgrade(&a, &weak).unwrap(), there, "after {steps} steps");
        seen[usize::from(there.is_some())] += 1;
        if there.is_some() {
            mutator.load(&b, Place::Field(&found, 0)).unwrap();
            let mut data = [0; 8];
            mutator.read(&b, 0, &mut data).unwrap();
            assert_eq!(data, [7; 8]);
        }
        assert_eq!(heap.stats().objects, if there.is_some() { 2 } else { 0 });
    });
    assert!(seen.iter().all(|times| *times > 2), "{seen:?}");
}

/// How many tokens there are.
const TOKENS: usize = 1 << 20;

/// How many weak pointers there are.
const SLOTS: u64 = 1 << 14;

/// What all threads of the stress test share.
struct Shared {
    /// Weak pointers, and the stamps of their objects. Many: what is asked for while objects are marked lives on, so
    /// one that is asked for all the time never dies.
    weak: Vec<Mutex<Option<(Weak, u64)>>>,
    /// How often each token was handed out: of a finalizer, of a cleanup.
    seen: [Vec<AtomicU32>; 2],
    given: [AtomicU64; 2],
    /// How often a weak pointer was asked, and found its object.
    asked: AtomicU64,
    found: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn token(&self, of: usize) -> Option<u64> {
        let token = self.given[of].fetch_add(1, Ordering::Relaxed);
        (token < TOKENS as u64).then_some(token)
    }

    fn note(&self, of: usize, token: Option<u64>) -> bool {
        if let Some(token) = token {
            assert_eq!(self.seen[of][token as usize].fetch_add(1, Ordering::Relaxed), 0, "{token} runs twice");
        }
        token.is_some()
    }
}

fn stamp(mutator: &Mutator, root: &Root) -> u64 {
    let mut data = [0; 8];
    mutator.read(root, 0, &mut data).unwrap();
    u64::from_ne_bytes(data)
}

/// One mutator: makes pairs, a parent that leads to a child with the same stamp, attaches things to parents, and looks
/// whether what is handed out, of queues and weak pointers, is whole.
fn play(mutator: &mut Mutator, shared: &Shared, seed: u64) {
    let mut random = Random(seed);
    let roots: Vec<Root> = (0..8).map(|_| mutator.root()).collect();
    let [child, found] = [mutator.root(), mutator.root()];
    let mut stamps = seed << 40;
    let whole = |mutator: &mut Mutator, parent: &Root, child: &Root| {
        mutator.load(child, Place::Field(parent, 0)).unwrap();
        assert_eq!(stamp(mutator, child), stamp(mutator, parent), "the child is another's");
    };
    while !shared.stop.load(Ordering::Relaxed) {
        let at = random.below(8) as usize;
        let root = &roots[at];
        let slot = &shared.weak[random.below(SLOTS) as usize];
        let holds = mutator.inspect(root).unwrap().is_some();
        match random.below(16) {
            0..6 => {
                stamps += 1;
                let more = if random.below(100) == 0 { 40_000 } else { random.below(200) as usize };
                let made = mutator.alloc(&child, 0, 8).and_then(|_| mutator.alloc(root, 1, 8 + more));
                match made {
                    Ok(_) => {}
                    Err(Error::OutOfMemory { .. }) => mutator.clear(root).unwrap(),
                    Err(other) => panic!("{other}"),
                }
                if mutator.inspect(root).unwrap().is_some() {
                    mutator.write(&child, 0, &stamps.to_ne_bytes()).unwrap();
                    mutator.write(root, 0, &stamps.to_ne_bytes()).unwrap();
                    link(mutator, root, &child);
                }
            }
            6 if holds => {
                if let Some(token) = shared.token(0)
                    && let Some(old) = mutator.set_finalizer(root, token).unwrap()
                {
                    shared.note(0, Some(old));
                }
            }
            7 if holds => {
                // The argument is its child.
                mutator.load(&child, Place::Field(root, 0)).unwrap();
                if let Some(token) = shared.token(1) {
                    let cleanup = mutator.add_cleanup(root, Some(&child), token).unwrap();
                    if random.below(8) == 0 && mutator.stop_cleanup(&cleanup) {
                        shared.note(1, Some(token));
                    }
                }
            }
            // Seldom in place of one that has just been asked, so that some are old.
            8 | 11 if holds && (random.below(32) == 0 || slot.lock().unwrap().is_none()) => {
                let weak = mutator.weak(root).unwrap();
                *slot.lock().unwrap() = Some((weak, stamp(mutator, root)));
            }
            9 | 10 => {
                let weak = slot.lock().unwrap().clone();
                if let Some((weak, wanted)) = weak {
                    shared.asked.fetch_add(1, Ordering::Relaxed);
                    let first = mutator.upgrade(&found, &weak).unwrap();
                    if first.is_some() {
                        shared.found.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(stamp(mutator, &found), wanted, "it is another");
                        whole(mutator, &found, &child);
                        assert_eq!(mutator.upgrade(&child, &weak).unwrap(), first, "it is held");
                    } else {
                        assert_eq!(mutator.upgrade(&found, &weak).unwrap(), None, "it has died before");
                        let mut slot = slot.lock().unwrap();
                        if slot.as_ref().is_some_and(|(other, _)| *other == weak) {
                            *slot = None;
                        }
                    }
                    if random.below(2) == 0 {
                        mutator.clear(&found).unwrap();
                    }
                }
            }
            13 => {
                let token = mutator.finalized(&found).unwrap();
                if shared.note(0, token) {
                    whole(mutator, &found, &child);
                    mutator.copy(root, &found).unwrap();
                }
            }
            14 => {
                let token = mutator.cleaned(&child).unwrap();
                if shared.note(1, token) {
                    assert!(stamp(mutator, &child) >> 40 > 0, "the argument is whole");
                }
            }
            _ => mutator.clear(root).unwrap(),
        }
    }
}

#[test]
fn threads_lose_nothing_and_run_everything_once() {
    let seconds = env::var("HEAPLAW_STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    for workers in [0, 2] {
        let heap = Heap::new(Config { reservation: 256 << 20, limit: 64 << 20, workers, ..Config::default() }).unwrap();
        let shared = Shared {
            weak: (0..SLOTS).map(|_| Mutex::new(None)).collect(),
            seen: std::array::from_fn(|_| (0..TOKENS).map(|_| AtomicU32::new(0)).collect()),
            given: std::array::from_fn(|_| AtomicU64::new(0)),
            asked: AtomicU64::new(0),
            found: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            for number in 0..3 {
                let (heap, shared) = (&heap, &shared);
                scope.spawn(move || {
                    let mut mutator = heap.join();
                    if number == 0 {
                        play(&mut mutator, shared, 1);
                    } else {
                        mutator.run(|mutator| play(mutator, shared, 1 + number));
                    }
                });
            }
            let end = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < end {
                heap.collect();
            }
            shared.stop.store(true, Ordering::Relaxed);
        });
        // All that is left dies, and what is due is handed out.
        let mut mutator = heap.join();
        let root = mutator.root();
        for _ in 0..3 {
            heap.collect();
            for of in 0..2 {
                loop {
                    let token = if of == 0 { mutator.finalized(&root) } else { mutator.cleaned(&root) };
                    if !shared.note(of, token.unwrap()) {
                        break;
                    }
                }
            }
            mutator.clear(&root).unwrap();
        }
        collect(&heap);
        assert_eq!(heap.stats().objects, 0);
        for of in 0..2 {
            let given = shared.given[of].load(Ordering::Relaxed).min(TOKENS as u64) as usize;
            let missing = (0..given).find(|token| shared.seen[of][*token].load(Ordering::Relaxed) != 1);
            assert_eq!(missing, None, "of {given} tokens");
            assert!(given > 100, "only {given} were attached");
        }
        let (asked, found) = (shared.asked.load(Ordering::Relaxed), shared.found.load(Ordering::Relaxed));
        let cycles = heap.last_cycle().map_or(0, |cycle| cycle.number);
        println!("{workers} workers: {:?} attached, {cycles} cycles, {found} of {asked} found", shared.given);
        assert!(found > 100, "of {asked} weak pointers {found} found something in {cycles} cycles");
        let left: Vec<_> = shared.weak.into_iter().filter_map(|slot| slot.into_inner().unwrap()).collect();
        assert!(
            left.len() > 100 && left.iter().all(|(weak, _)| mutator.upgrade(&root, weak) == Ok(None)),
            "all have died"
        );
    }
}

#[test]
fn what_is_attached_by_address_is_what_is_attached_by_root() {
    let heap = Heap::new(Config { reservation: 64 << 20, ..Config::DEFAULT }).unwrap();
    heap.join().raw(|raw| {
        let (object, argument) = (raw.alloc(1, 16).unwrap(), raw.alloc(0, 8).unwrap());
        let slots = [raw.push(object), raw.push(argument)];
        let weak = raw.weak(object).unwrap();
        assert_eq!(raw.weak(object).unwrap(), weak);
        assert_eq!(raw.set_finalizer(object, 1).unwrap(), None);
        assert_eq!(raw.set_finalizer(object, 2).unwrap(), Some(1));
        assert_eq!(raw.clear_finalizer(object).unwrap(), Some(2));
        assert_eq!(raw.clear_finalizer(object).unwrap(), None);
        raw.set_finalizer(object, 3).unwrap();
        raw.add_cleanup(object, argument, 4).unwrap();
        let stopped = raw.add_cleanup(object, 0, 5).unwrap();
        assert!(raw.stop_cleanup(&stopped) && !raw.stop_cleanup(&stopped));
        assert_eq!(raw.add_cleanup(object, object, 6).map(drop), Err(Error::OwnArgument));
        slots.into_iter().for_each(|slot| raw.set(slot, 0));
        raw.collect();
        assert_eq!((raw.upgrade(&weak), raw.cleaned()), (Ok(0), None));
        assert_eq!(raw.finalized(), Some((object, 3)));
        assert_eq!(raw.finalized(), None);
        raw.collect();
        assert_eq!(raw.cleaned(), Some((argument, 4)), "the argument outlives the object");
        raw.collect();
    });
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn nothing_is_attached_where_no_object_starts() {
    let (heap, other) = (Heap::new(Config::DEFAULT).unwrap(), Heap::new(Config::DEFAULT).unwrap());
    heap.join().raw(|raw| {
        let object = raw.alloc(1, 16).unwrap();
        raw.push(object);
        for at in [1, 8, object + 1, object + 8, object ^ 1 << 40, object + (1 << 29), usize::MAX, usize::MAX - 7] {
            assert_eq!(raw.weak(at).map(drop), Err(Error::Dangling), "{at:#x}");
            assert_eq!(raw.set_finalizer(at, 1), Err(Error::Dangling), "{at:#x}");
            assert_eq!(raw.clear_finalizer(at), Err(Error::Dangling), "{at:#x}");
            assert_eq!(raw.add_cleanup(at, 0, 1).map(drop), Err(Error::Dangling), "{at:#x}");
        }
        assert_eq!(raw.weak(0).map(drop), Err(Error::Nil));
        let weak = raw.weak(object).unwrap();
        assert_eq!(raw.upgrade(&weak), Ok(object));
        let mut stranger = other.join();
        stranger.raw(|raw| assert_eq!(raw.upgrade(&weak), Err(Error::ForeignRoot)));
    });
}

#[test]
fn what_was_born_after_marking_is_found_by_who_has_not_heard_that_marking_is_over() {
    let heap = Heap::new(Config { reservation: 64 << 20, ..Config::DEFAULT }).unwrap();
    let mut late = heap.join();
    let id = late.id();
    late.raw(|raw| {
        raw.park(|| assert!(heap.start() && heap.handshake(id) && heap.mark(8) == 1, "only the globals are grey"));
        let (object, found) = thread::scope(|scope| {
            let finish = scope.spawn(|| heap.finish());
            // The round before the end is answered, the end is not. Another mutator hears of it at once.
            while heap.phase() == Phase::Mark {
                raw.safepoint();
            }
            let early = scope.spawn(|| {
                let mut early = heap.join();
                let (root, below) = (early.root(), early.root());
                let white = (0..1000).any(|_| !early.alloc(&below, 1, 8).unwrap().marked);
                early.alloc(&root, 1, 8).unwrap();
                early.store(Place::Field(&root, 0), Some(&below)).unwrap();
                early.store(Place::Global(0), Some(&root)).unwrap();
                white
            });
            while raw.global(0) == 0 {
                thread::yield_now();
            }
            let object = raw.global(0);
            let found = raw.weak(object).and_then(|weak| raw.upgrade(&weak));
            // What is attached now is not to be grey when the next cycle begins.
            let attached = raw.set_finalizer(object, 1).and(raw.add_cleanup(object, raw.load(object, 0), 2));
            // Only then is anything judged, or the others would wait for ever.
            raw.park(|| assert!(finish.join().unwrap() && early.join().unwrap()));
            attached.unwrap();
            (object, found)
        });
        assert_eq!(found, Ok(object));
    });
    drop(late);
    assert_eq!(heap.verify(), Ok(()));
}
