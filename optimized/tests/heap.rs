//! The heap as its users see it.

use heaplaw_optimized::{Config, Error, Heap, Mutator, Phase, Place, Stats};
use std::thread;

fn heap() -> Heap {
    Heap::new(Config { reservation: 64 << 20, ..Config::default() }).unwrap()
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let (heap, other) = (heap(), heap());
    let (mut mutator, mut neighbour, mut stranger) = (heap.join(), heap.join(), other.join());
    let (object, nil, foreign, far) = (mutator.root(), mutator.root(), neighbour.root(), stranger.root());
    mutator.alloc(&object, 2, 4).unwrap();
    assert_eq!(mutator.load(&nil, Place::Field(&nil, 0)), Err(Error::Nil));
    assert_eq!(mutator.load(&nil, Place::Field(&object, 2)), Err(Error::NoPlace { index: 2, count: 2 }));
    assert_eq!(mutator.load(&nil, Place::Global(16)), Err(Error::NoPlace { index: 16, count: 16 }));
    assert_eq!(mutator.clear_fields(&object, 1, usize::MAX), Err(Error::NoPlace { index: 2, count: 2 }));
    assert_eq!(mutator.read(&object, 5, &mut [0; 4]), Err(Error::NoData { end: 9, count: 8 }));
    assert_eq!(mutator.write(&object, usize::MAX, &[0]), Err(Error::NoData { end: usize::MAX, count: 8 }));
    for root in [&foreign, &far] {
        assert_eq!(mutator.alloc(root, 0, 8), Err(Error::ForeignRoot));
        assert_eq!(mutator.store(Place::Field(&object, 0), Some(root)), Err(Error::ForeignRoot));
        assert_eq!(mutator.copy(&nil, root), Err(Error::ForeignRoot));
        assert_eq!(mutator.clear(root), Err(Error::ForeignRoot));
    }
    assert_eq!(mutator.send(&object, &mut stranger, &far), Err(Error::ForeignRoot));
    assert_eq!(mutator.release(foreign), Err(Error::ForeignRoot));
    assert_eq!(heap.stats().objects, 1);
    assert_eq!(heap.verify(), Ok(()));
}

#[test]
fn requests_beyond_all_memory_are_out_of_memory() {
    let heap = heap();
    let mut mutator = heap.join();
    let root = mutator.root();
    for (pointers, bytes) in [(usize::MAX, 0), (0, usize::MAX), (1, usize::MAX), (0, 65 << 20), (1 << 60, 1 << 62)] {
        assert!(matches!(mutator.alloc(&root, pointers, bytes), Err(Error::OutOfMemory { .. })));
    }
    assert_eq!(heap.stats(), Stats::default());
}

#[test]
fn a_reservation_that_cannot_be_had_is_an_error() {
    for reservation in [0, 8191] {
        let heap = Heap::new(Config { reservation, ..Config::default() }).unwrap();
        let mut mutator = heap.join();
        let root = mutator.root();
        assert!(matches!(mutator.alloc(&root, 0, 0), Err(Error::OutOfMemory { .. })));
    }
    for reservation in [1 << 60, usize::MAX] {
        let refused = Heap::new(Config { reservation, ..Config::default() });
        assert!(matches!(refused, Err(Error::Os { call: "mmap", .. })));
    }
}

#[test]
fn a_full_heap_has_room_again_after_a_collection() {
    let heap = Heap::new(Config { limit: 1 << 20, ..Config::default() }).unwrap();
    let mut mutator = heap.join();
    let root = mutator.root();
    for size in [8, 100, 5000, 40_000] {
        let fill = |mutator: &mut Mutator| (0..).take_while(|_| mutator.alloc(&root, 0, size).is_ok()).count();
        let first = fill(&mut mutator);
        heap.collect();
        // The last object of the round before is in the root until the first of this one replaces it.
        let again = fill(&mut mutator);
        assert!(first > 10 && again + 1 >= first, "{first}, then {again} of {size} bytes");
        assert!(heap.stats().mapped <= 1 << 20);
        heap.verify().unwrap();
        mutator.clear(&root).unwrap();
        heap.collect();
        assert_eq!((heap.stats().objects, heap.stats().in_use), (0, 0), "empty spans give their pages back");
    }
}

#[test]
fn memory_that_was_freed_reads_zero_again() {
    let heap = heap();
    let mut mutator = heap.join();
    let root = mutator.root();
    for size in [8, 24, 1000, 20_000, 70_000] {
        for _ in 0..100 {
            mutator.alloc(&root, 0, size).unwrap();
            let mut data = vec![1; size];
            mutator.read(&root, 0, &mut data).unwrap();
            assert!(data.iter().all(|byte| *byte == 0), "{size} bytes");
            mutator.write(&root, 0, &vec![0xff; size]).unwrap();
        }
        mutator.clear(&root).unwrap();
        heap.collect();
    }
    assert!(heap.stats().mapped < 32 << 20, "{:?}", heap.stats());
}

#[test]
fn usable_sizes_are_classes_and_whole_pages() {
    let heap = heap();
    let mut mutator = heap.join();
    let root = mutator.root();
    let sizes = [(0, 8), (8, 8), (9, 16), (33, 48), (1025, 1152), (32_768, 32_768), (32_769, 40_960), (81_920, 81_920)];
    let mut sum = 0;
    for (bytes, usable) in sizes {
        assert_eq!(mutator.alloc(&root, 0, bytes).unwrap().usable, usable);
        sum += usable;
    }
    assert_eq!((heap.stats().objects, heap.stats().bytes), (8, sum));
}

#[test]
fn roots_that_are_released_let_go_and_are_used_again() {
    let heap = heap();
    let mut mutator = heap.join();
    let (kept, dropped) = (mutator.root(), mutator.root());
    mutator.alloc(&kept, 0, 1).unwrap();
    mutator.alloc(&dropped, 0, 1).unwrap();
    mutator.release(dropped).unwrap();
    heap.collect();
    assert_eq!(heap.stats().objects, 1);
    let fresh = mutator.root();
    assert_eq!(mutator.inspect(&fresh), Ok(None));
    drop(mutator);
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn a_frame_ends_the_roots_that_were_made_in_it() {
    let heap = heap();
    let mut mutator = heap.join();
    let (outer, released) = (mutator.root(), mutator.root());
    let escaped = mutator.frame(|mutator| {
        let inner = mutator.root();
        mutator.release(released).unwrap();
        mutator.alloc(&inner, 1, 8).unwrap();
        mutator.alloc(&outer, 1, 8).unwrap();
        let innermost = mutator.frame(|mutator| {
            let root = mutator.root();
            mutator.copy(&root, &inner).unwrap();
            mutator.store(Place::Field(&outer, 0), Some(&root)).unwrap();
            root
        });
        assert_eq!(mutator.inspect(&innermost), Err(Error::ForeignRoot));
        assert!(mutator.inspect(&inner).unwrap().is_some());
        mutator.store(Place::Field(&outer, 0), None).unwrap();
        inner
    });
    assert_eq!(mutator.clear(&escaped), Err(Error::ForeignRoot));
    heap.collect();
    assert_eq!(heap.stats().objects, 1, "what the outer root holds");
    let again = [mutator.root(), mutator.root(), mutator.root()];
    assert!(again.iter().all(|root| mutator.inspect(root) == Ok(None) && *root != outer));
}

#[test]
fn an_overlapping_copy_reads_before_it_writes() {
    for (into, from, expected) in [(1, 0, [0, 0, 1, 2, 4]), (0, 1, [1, 2, 3, 3, 4]), (2, 2, [0, 1, 2, 3, 4])] {
        let heap = heap();
        let mut mutator = heap.join();
        let (array, element) = (mutator.root(), mutator.root());
        mutator.alloc(&array, 5, 0).unwrap();
        let elements: Vec<_> = (0..5)
            .map(|index| {
                let object = mutator.alloc(&element, 0, 8).unwrap();
                mutator.store(Place::Field(&array, index), Some(&element)).unwrap();
                Some(object.address)
            })
            .collect();
        mutator.copy_fields((&array, into), (&array, from), 3).unwrap();
        let found: Vec<_> = (0..5).map(|index| mutator.load(&element, Place::Field(&array, index)).unwrap()).collect();
        assert_eq!(found, expected.map(|index: usize| elements[index]));
    }
}

#[test]
fn what_is_sent_while_marking_survives() {
    let heap = heap();
    let (mut sender, mut receiver) = (heap.join(), heap.join());
    let (from, into) = (sender.root(), receiver.root());
    sender.alloc(&from, 0, 8).unwrap();
    heap.start();
    heap.handshake(receiver.id());
    sender.send(&from, &mut receiver, &into).unwrap();
    sender.clear(&from).unwrap();
    heap.handshake(sender.id());
    heap.mark(usize::MAX);
    assert!(heap.finish());
    heap.sweep(usize::MAX);
    assert_eq!((heap.phase(), heap.stats().objects), (Phase::Off, 1));
    assert_eq!(heap.verify(), Ok(()));
}

#[test]
fn a_mutator_that_joins_while_marking_has_nothing_to_scan() {
    let heap = heap();
    heap.start();
    let mutator = heap.join();
    assert!(!heap.handshake(mutator.id()));
    assert_eq!(heap.mark(usize::MAX), 1, "the globals");
    assert!(heap.finish());
}

#[test]
fn what_is_born_while_sweeping_survives() {
    let heap = heap();
    let mut mutator = heap.join();
    let roots: Vec<_> = (0..2000).map(|_| mutator.root()).collect();
    for root in &roots {
        mutator.alloc(root, 1, 8).unwrap();
    }
    for root in roots.iter().step_by(2) {
        mutator.clear(root).unwrap();
    }
    heap.start();
    heap.handshake(mutator.id());
    heap.mark(usize::MAX);
    heap.finish();
    for root in roots.iter().step_by(2) {
        mutator.alloc(root, 1, 8).unwrap();
        assert_eq!(heap.verify(), Ok(()));
    }
    heap.sweep(usize::MAX);
    assert_eq!((heap.stats().objects, heap.stats().mapped), (2000, 512 << 10));
    assert!(roots.iter().all(|root| mutator.inspect(root).unwrap().is_some()));
}

/// Every other object is garbage that waits to be swept, and amidst them lies a span that need not be.
#[test]
fn room_is_swept_for_before_the_heap_grows() {
    let heap = heap();
    let mut mutator = heap.join();
    let (other, roots) = (mutator.root(), Vec::from_iter((0..2000).map(|_| mutator.root())));
    for (number, root) in roots.iter().enumerate() {
        mutator.alloc(root, 1, 1016).unwrap();
        if number == 1500 {
            mutator.alloc(&other, 1, 70_000).unwrap();
        }
    }
    mutator.clear(&other).unwrap();
    heap.collect();
    for root in roots.iter().step_by(2) {
        mutator.clear(root).unwrap();
    }
    heap.start();
    heap.handshake(mutator.id());
    heap.mark(usize::MAX);
    heap.finish();
    mutator.alloc(&other, 1, 2000).unwrap();
    let before = heap.stats().in_use;
    for root in roots.iter().step_by(2).take(900) {
        mutator.alloc(root, 1, 1016).unwrap();
    }
    assert_eq!((heap.stats().in_use, heap.phase()), (before, Phase::Sweep), "some of it is still to be swept");
    heap.sweep(usize::MAX);
    assert_eq!((heap.stats().objects, heap.verify()), (1901, Ok(())));
}

/// More than the buffer holds, and nothing else protects it: the stack is black, and each object is cut out of the heap.
#[test]
fn what_the_barrier_records_is_shaded_however_much_it_is() {
    const COUNT: usize = 1000;
    for paced in [false, true] {
        let heap = Heap::new(Config { reservation: 64 << 20, paced, ..Config::default() }).unwrap();
        let mut mutator = heap.join();
        let (array, roots) = (mutator.root(), Vec::from_iter((0..COUNT).map(|_| mutator.root())));
        mutator.alloc(&array, COUNT, 0).unwrap();
        for (index, root) in roots.iter().enumerate() {
            mutator.alloc(root, 1, 8).unwrap();
            mutator.write(root, 0, &index.to_ne_bytes()).unwrap();
            mutator.store(Place::Field(&array, index), Some(root)).unwrap();
            mutator.clear(root).unwrap();
        }
        assert!(heap.start() && heap.handshake(mutator.id()));
        for (index, root) in roots.iter().enumerate() {
            mutator.load(root, Place::Field(&array, index)).unwrap();
            mutator.store(Place::Field(&array, index), None).unwrap();
        }
        while heap.phase() == Phase::Mark {
            heap.mark(1);
            heap.finish();
        }
        heap.sweep(usize::MAX);
        assert_eq!((heap.stats().objects, heap.verify()), (COUNT + 1, Ok(())));
        for (index, root) in roots.iter().enumerate() {
            let mut data = [0; 8];
            mutator.read(root, 0, &mut data).unwrap();
            assert_eq!(usize::from_ne_bytes(data), index);
        }
    }
}

#[test]
fn mutators_on_several_threads_share_a_heap() {
    let heap = heap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut mutator = heap.join();
            scope.spawn(move || {
                let (head, next) = (mutator.root(), mutator.root());
                for number in 0..2000u64 {
                    mutator.alloc(&next, 1, 8).unwrap();
                    mutator.write(&next, 0, &number.to_le_bytes()).unwrap();
                    mutator.store(Place::Field(&next, 0), Some(&head)).unwrap();
                    mutator.copy(&head, &next).unwrap();
                }
                for number in (0..2000u64).rev() {
                    let mut data = [0; 8];
                    mutator.read(&head, 0, &mut data).unwrap();
                    assert_eq!(u64::from_le_bytes(data), number);
                    mutator.load(&next, Place::Field(&head, 0)).unwrap();
                    mutator.copy(&head, &next).unwrap();
                }
            });
        }
        for _ in 0..20 {
            heap.collect();
            heap.verify().unwrap();
        }
    });
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn a_root_of_a_heap_that_is_gone_is_never_taken_for_another() {
    let gone = {
        let heap = heap();
        heap.join().root()
    };
    // The kernel is likely to give the same addresses again, and the first mutator has the same number.
    let heap = heap();
    let mut mutator = heap.join();
    let own = mutator.root();
    assert_eq!(mutator.copy(&own, &gone), Err(Error::ForeignRoot));
    assert_eq!(mutator.release(gone), Err(Error::ForeignRoot));
}

#[test]
fn fields_are_exchanged_in_one_step_and_slots_are_popped() {
    let heap = heap();
    heap.join().raw(|raw| {
        let [a, b] = [raw.alloc(1, 8).unwrap(), raw.alloc(1, 8).unwrap()];
        assert_eq!((raw.push(a), raw.push(b)), (0, 1));
        assert_eq!(raw.swap(a, 0, b), 0);
        assert_eq!(raw.compare_exchange(a, 0, a, 0), Err(b));
        assert_eq!(raw.compare_exchange(a, 0, b, a), Ok(b));
        assert_eq!(raw.load(a, 0), a);
        // What is taken out of the only field that held it, while marking, is still there at the end.
        raw.store(a, 0, b);
        raw.pop_to(1);
        raw.park(|| heap.start());
        assert_eq!(raw.swap(a, 0, 0), b);
        raw.set_word(b, 1, 7);
        raw.push(b);
        let heap = &heap;
        raw.park(|| {
            heap.collect();
            heap.verify().unwrap();
            assert_eq!(heap.stats().objects, 2);
        });
        assert_eq!(raw.word(raw.get(1), 1), 7);
    });
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
}

#[test]
fn odd_words_are_numbers_wherever_they_are_and_keep_nothing_alive() {
    for workers in [0, 1] {
        let heap = Heap::new(Config { workers, ..Config::default() }).unwrap();
        heap.join().raw(|raw| {
            let holder = raw.alloc(3, 0).unwrap();
            let slot = raw.push(holder);
            // All that look like an address inside of an object, and some that do not.
            let object = raw.alloc(0, 64).unwrap();
            for (step, number) in (object..object + 64).chain([1, usize::MAX]).filter(|word| word & 1 == 1).enumerate()
            {
                raw.set_word(holder, 0, number);
                raw.store(holder, 1, number);
                raw.swap(holder, 2, number);
                raw.set_global(0, number);
                raw.push(number);
                // With the barrier, and without.
                raw.park(|| if step % 2 == 0 && workers == 0 { _ = heap.start() } else { heap.collect() });
            }
            raw.park(|| heap.collect());
            assert_eq!(raw.park(|| heap.stats().objects), 1, "the holder alone is left");
            if workers == 0 {
                raw.park(|| heap.verify()).unwrap();
            }
            assert_eq!(raw.load(raw.get(slot), 1), usize::MAX);
        });
    }
}
