//! How long a mutator cannot run because the collector asks something of it: work in proportion to its own roots, whatever
//! the size of the heap, and however many mutators there are.
//!
//! Work is counted where it is done, and once more from outside: whatever a listener hears in the steps of a cycle in which
//! mutators wait, was done meanwhile.

use heaplaw_optimized::{Barrier, Config, Event, Heap, Listener, Phase, Place};
use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What a mutator's pause may take besides its roots: being asked, and what its barrier's buffer holds at most.
const ALWAYS: usize = 1 + 256;
/// The windows that a mutator has at most.
const WINDOWS: usize = 136;
/// The roots that hold something, of the first mutator, and of each other.
const MANY: usize = 500;
const FEW: usize = 3;

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Listener for Heard {
    fn on(&self, event: Event) {
        // Most is told while objects are marked or swept, and is no news.
        if !matches!(event, Event::Shade(_) | Event::Scan(_) | Event::Free(_)) || self.0.lock().unwrap().len() < 1 << 16
        {
            self.0.lock().unwrap().push(event);
        }
    }
}

impl Heard {
    fn take(&self) -> Vec<Event> {
        mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The units and the spans of each pause.
fn pauses(events: &[Event]) -> Vec<(usize, usize)> {
    let pause = |event: &Event| match *event {
        Event::Pause { units, spans, .. } => Some((units, spans)),
        _ => None,
    };
    events.iter().filter_map(pause).collect()
}

/// How many objects were shaded, scanned or freed.
fn objects(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Shade(_) | Event::Scan(_) | Event::Free(_))).count()
}

/// A heap with so many live bytes, in lists of 64-byte objects, and garbage between them; a cycle of it step by step,
/// and one on a worker. Gives the largest pause of each.
fn largest(live: usize, mutators: usize, barrier: Barrier) -> [(usize, usize); 2] {
    let heard = Heard::default();
    let config = Config { reservation: (8 * live).max(64 << 20), barrier, ..Config::default() };
    let heap = Heap::with_listener(config, heard.clone()).unwrap();
    let mut group: Vec<_> = (0..mutators).map(|_| heap.join()).collect();
    let mut lists = Vec::new();
    for (number, mutator) in group.iter_mut().enumerate() {
        let roots = if number == 0 { MANY } else { FEW };
        let own: Vec<_> = (0..roots).map(|_| mutator.root()).collect();
        own.iter().for_each(|root| _ = mutator.alloc(root, 1, 56).unwrap());
        lists.push(own);
    }
    group[0].raw(|raw| {
        // All of it behind global 0, and as much again that is garbage.
        for _ in 0..live / 64 {
            let node = raw.alloc(1, 56).unwrap();
            raw.store(node, 0, raw.global(0));
            raw.set_global(0, node);
            raw.alloc(1, 56).unwrap();
        }
        // A window for every kind.
        for size in (8..1024).step_by(8).chain((1024..=32 << 10).step_by(128)) {
            raw.alloc(0, size).unwrap();
            raw.alloc(1, size - 8).unwrap();
        }
    });
    // And behind a root: who goes on to look at what he finds meets all of it.
    group[0].load(&lists[0][0], Place::Global(0)).unwrap();
    assert!(heap.stats().bytes >= 2 * live);
    heard.take();
    let mut all: Vec<(usize, usize)> = Vec::new();
    let mut heard_while_waiting = |limit: usize, what: &str| {
        let events = heard.take();
        assert!(objects(&events) <= limit, "{what}: {} objects are touched", objects(&events));
        all.extend(pauses(&events));
    };
    let roots = MANY + FEW * (mutators - 1);
    let in_start = if barrier == Barrier::Deletion { roots } else { 0 };
    assert!(heap.start());
    heard_while_waiting(in_start, "start");
    for (number, mutator) in group.iter().enumerate() {
        let own = if number == 0 { MANY } else { FEW };
        heap.handshake(mutator.id());
        heard_while_waiting(own, "handshake");
    }
    while heap.mark(1 << 20) > 0 {
        heard.take();
    }
    assert!(heap.finish() && heap.phase() == Phase::Sweep);
    heard_while_waiting(0, "finish");
    assert_eq!(all.len(), 5 * mutators, "each was asked five times");
    while heap.sweep(1 << 20) > 0 {}
    heard.take();
    let most = |all: &[(usize, usize)]| all.iter().fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
    let stepped = most(&all);

    // The same cycle with mutators that run, and answer for themselves.
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for mutator in group.iter_mut().skip(1).take(3) {
            scope.spawn(|| {
                mutator.raw(|raw| {
                    while !stop.load(Ordering::Relaxed) {
                        raw.safepoint();
                        raw.set_global(1, raw.global(0));
                        thread::sleep(Duration::from_micros(20));
                    }
                });
            });
        }
        heap.collect();
        stop.store(true, Ordering::Relaxed);
    });
    [stepped, most(&pauses(&heard.take()))]
}

fn no_pause_grows_with_the_heap(sizes: &[usize], counts: &[usize]) {
    for barrier in [Barrier::Hybrid, Barrier::Insertion, Barrier::Deletion] {
        for mutators in counts.iter().filter(|count| barrier == Barrier::Hybrid || **count == 16) {
            let all: Vec<_> = sizes.iter().map(|live| largest(*live, *mutators, barrier)).collect();
            for ([stepped, threads], live) in all.iter().zip(sizes) {
                println!("{barrier:?}, {mutators} mutators, {} MiB live: {stepped:?}, {threads:?}", live >> 20);
                for (units, spans) in [stepped, threads] {
                    assert!(*units <= ALWAYS + MANY && *spans <= WINDOWS, "{units} units and {spans} spans");
                }
                assert!(stepped.0 > MANY && stepped.1 > 100, "all roots and windows were looked at");
                assert_eq!(*stepped, all[0][0], "the heap makes no difference");
            }
        }
    }
}

#[test]
fn no_pause_grows_with_a_heap_of_1_or_64_mib() {
    no_pause_grows_with_the_heap(&[1 << 20, 64 << 20], &[1, 16, 256]);
}

/// 3 GiB of memory.
#[test]
#[ignore = "takes 3 GiB of memory and some minutes"]
fn no_pause_grows_with_a_heap_of_a_gigabyte() {
    no_pause_grows_with_the_heap(&[1 << 20, 1 << 30], &[1, 16, 256]);
}

/// Hears what it is told, but of no objects.
struct Aloof(Heard);

impl Listener for Aloof {
    const OBJECTS: bool = false;

    fn on(&self, event: Event) {
        self.0.on(event);
    }
}

#[test]
fn who_does_not_listen_to_objects_hears_of_all_else_the_same() {
    fn cycle(heap: &Heap<impl Listener>, heard: &Heard) -> Vec<Event> {
        let mut mutator = heap.join();
        let root = mutator.root();
        for _ in 0..3 {
            mutator.alloc(&root, 1, 8).unwrap();
        }
        heap.start();
        heap.handshake(mutator.id());
        while heap.mark(1) > 0 {}
        assert!(heap.finish());
        while heap.sweep(1) > 0 {}
        assert_eq!(heap.stats().objects, 1);
        heard.take()
    }
    let config = Config { reservation: 64 << 20, ..Config::default() };
    let heard = Heard::default();
    let mut all = cycle(&Heap::with_listener(config, heard.clone()).unwrap(), &heard);
    assert_eq!(objects(&all), 4, "one is shaded and scanned, two are freed: {all:?}");
    all.retain(|event| objects(&[*event]) == 0);
    assert_eq!(cycle(&Heap::with_listener(config, Aloof(heard.clone())).unwrap(), &heard), all);
    // Whoever is asked pauses next.
    let asked = |pair: &&[Event]| matches!(pair[0], Event::Asked(_));
    let handshakes: Vec<_> = all.windows(2).filter(asked).collect();
    assert_eq!(handshakes.len(), pauses(&all).len());
    for pair in handshakes {
        let (Event::Asked(asked), Event::Pause { mutator, .. }) = (pair[0], *pair.last().unwrap()) else {
            assert!(matches!(pair[1], Event::ScanStack(_)), "{pair:?}");
            continue;
        };
        assert_eq!(asked, mutator);
    }
}
