//! Tiny objects, as a program sees them: where they are, how long they live, and that each has only its own bytes.

use heaplaw_optimized::{Config, Error, Heap, Mutator, Place, Root};
use heaplaw_reference::place::tiny::{Tiny, alignment};

const BLOCK: usize = 16;

fn heap(tiny: bool) -> (Heap, Mutator, Vec<Root>) {
    let heap = Heap::new(Config { reservation: 16 << 20, tiny, ..Config::default() }).unwrap();
    let mut mutator = heap.join();
    let roots = (0..64).map(|_| mutator.root()).collect();
    (heap, mutator, roots)
}

/// Law 32: what Go was seen to do, beginning with a block of which 8 bytes are in use.
#[test]
fn the_published_trace_is_reproduced() {
    let (_, mut mutator, roots) = heap(true);
    let mut blocks = Vec::new();
    let mut place = |size: usize| {
        let at = mutator.alloc(&roots[0], 0, size).unwrap().address.get();
        let block = blocks.iter().position(|block| *block == at / BLOCK).unwrap_or_else(|| {
            blocks.push(at / BLOCK);
            blocks.len() - 1
        });
        format!("{}{}", ["old", "A", "B", "C", "D", "E"][block], at % BLOCK)
    };
    assert_eq!(place(8), "old0");
    let trace = [15, 1, 1, 2, 3, 5, 8, 12, 1, 3, 8, 8, 8].map(place);
    assert_eq!(trace.join(" "), "A0 old8 old9 old10 old12 B0 B8 C0 C12 C13 D0 D8 E0");
}

/// Law 32, of any trace.
#[test]
fn objects_are_placed_as_the_reference_places_them() {
    let (_, mut mutator, roots) = heap(true);
    let (mut reference, mut dice) = (Tiny::default(), 1_u64);
    for _ in 0..20_000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = 1 + (dice >> 33) % 15;
        let object = mutator.alloc(&roots[0], 0, size as usize).unwrap();
        let at = object.address.get() as u64;
        // If the reference takes a new block, it is ours, and we have begun it.
        let block = at - at % BLOCK as u64;
        assert_eq!(reference.allocate(size, || Some(block)), Some(at), "{size} bytes");
        assert_eq!((object.usable as u64, at % alignment(size)), (size, 0));
    }
    assert!(reference.shared() > 5_000);
}

/// Law 33.
#[test]
fn a_block_lives_exactly_as_long_as_one_of_those_in_it() {
    let (heap, mut mutator, roots) = heap(true);
    let first = mutator.alloc(&roots[0], 0, 3).unwrap().address.get();
    let second = mutator.alloc(&roots[1], 0, 5).unwrap().address.get();
    let third = mutator.alloc(&roots[2], 0, 1).unwrap().address.get();
    assert_eq!([second - first, third - first], [3, 8]);
    for (gone, left) in [(0, 1), (2, 1), (1, 0)] {
        mutator.clear(&roots[gone]).unwrap();
        heap.collect();
        assert_eq!((heap.stats().objects, heap.verify()), (left, Ok(())));
    }
    // It was the current block to the end: the next object does not go there.
    let next = mutator.alloc(&roots[0], 0, 1).unwrap();
    assert_eq!((next.address.get() % BLOCK, heap.stats().objects), (0, 1));
}

#[test]
fn a_field_that_leads_into_a_block_keeps_it() {
    let (heap, mut mutator, roots) = heap(true);
    mutator.alloc(&roots[0], 1, 0).unwrap();
    mutator.alloc(&roots[1], 0, 4).unwrap();
    mutator.alloc(&roots[2], 0, 4).unwrap();
    mutator.write(&roots[2], 0, b"kept").unwrap();
    mutator.store(Place::Field(&roots[0], 0), Some(&roots[2])).unwrap();
    mutator.clear(&roots[1]).unwrap();
    mutator.clear(&roots[2]).unwrap();
    heap.collect();
    mutator.load(&roots[2], Place::Field(&roots[0], 0)).unwrap();
    let mut data = [0; 4];
    mutator.read(&roots[2], 0, &mut data).unwrap();
    assert_eq!((&data, heap.stats().objects), (b"kept", 2));
}

#[test]
fn no_object_reaches_its_neighbours() {
    let (heap, mut mutator, roots) = heap(true);
    for (size, root) in (0..=15).zip(&roots) {
        mutator.alloc(root, 0, size).unwrap();
        let data = vec![size as u8; size.max(1)];
        mutator.write(root, 0, &data).unwrap();
        let error = mutator.write(root, 0, &vec![0xff; size.max(1) + 1]).unwrap_err();
        assert_eq!(error, Error::NoData { end: size.max(1) + 1, count: size.max(1) });
    }
    heap.collect();
    for (size, root) in (0..=15).zip(&roots) {
        let mut data = vec![0xff; size.max(1)];
        mutator.read(root, 0, &mut data).unwrap();
        assert!(data.iter().all(|byte| *byte == size as u8), "{size} bytes: {data:?}");
        assert_eq!(mutator.inspect(root).unwrap().unwrap().usable, size.max(1));
    }
}

/// What is there while marking begins is not mistaken for what is born black.
#[test]
fn a_block_that_is_current_when_marking_begins_is_given_up() {
    let (heap, mut mutator, roots) = heap(true);
    mutator.alloc(&roots[0], 0, 1).unwrap();
    assert!(heap.start());
    let born = mutator.alloc(&roots[1], 0, 1).unwrap();
    assert!(born.marked && born.address.get().is_multiple_of(BLOCK));
    let next = mutator.alloc(&roots[2], 0, 1).unwrap();
    assert!(next.marked && next.address.get() == born.address.get() + 1);
    mutator.clear(&roots[0]).unwrap();
    heap.collect();
    assert_eq!((heap.stats().objects, heap.verify()), (1, Ok(())));
}

#[test]
fn a_heap_without_them_gives_each_object_a_slot() {
    let (heap, mut mutator, roots) = heap(false);
    for (size, root) in (0..16).zip(&roots) {
        let usable = mutator.alloc(root, 0, size).unwrap().usable;
        assert_eq!(usable, if size <= 8 { 8 } else { 16 });
    }
    assert_eq!(heap.stats().objects, 16);
}

#[test]
fn by_address_they_have_their_own_bytes_too() {
    let (heap, mut mutator, _) = heap(true);
    mutator.raw(|raw| {
        let objects = [3, 5, 4].map(|size| raw.alloc(0, size).unwrap());
        for (object, text) in objects.into_iter().zip([&b"abc"[..], b"defgh", b"ijkl"]) {
            raw.push(object);
            raw.write(object, 0, text);
        }
        raw.park(|| heap.collect());
        let mut all = [0; 12];
        raw.read(objects[0], 0, &mut all);
        assert_eq!(&all, b"abcdefghijkl");
        raw.read(objects[1], 1, &mut all[..2]);
        assert_eq!(&all[..2], b"ef");
    });
}

/// A wrong address may lead to nonsense. It does not end the process.
#[test]
fn an_address_without_memory_is_refused() {
    let (_, mut mutator, _) = heap(true);
    let beyond = mutator.raw(|raw| raw.alloc(1, 0)).unwrap() + (8 << 20);
    for wrong in [beyond, 0, usize::MAX, beyond + (64 << 20)] {
        let load = std::panic::AssertUnwindSafe(|| mutator.raw(|raw| raw.load(wrong, 0)));
        let panic = std::panic::catch_unwind(load).unwrap_err();
        let said = panic.downcast_ref::<&str>().copied().unwrap_or_default();
        assert_eq!(said, "no object is there", "{wrong:#x}");
    }
}
