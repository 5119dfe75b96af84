//! The whole allocator, over many requests and cycles.

use super::*;
use crate::place::{
    Dice,
    address::State,
    arena::ARENA,
    class::{MAX_BITMAP, MAX_SMALL},
    tiny,
};

const BASE: u64 = 0xc0_0000_0000;

/// What an object's address is sure to be a multiple of (law 4).
fn alignment(size: u64, pointers: bool) -> u64 {
    match request(size, pointers) {
        Request::Tiny => tiny::alignment(size),
        Request::Small { header: 0, span_class } => row(span_class.class()).align(),
        Request::Large => PAGE,
        _ => 8,
    }
}

/// Notes that these bytes are written, in words of 8, and says whether one of them was before.
fn soil(dirty: &mut BTreeMap<u64, [u64; 16]>, at: u64, length: u64) -> bool {
    (at / 8..(at + length).div_ceil(8)).fold(false, |found, word| {
        let bits = &mut dirty.entry(word / 1024).or_default()[(word % 1024 / 64) as usize];
        let bit = 1 << (word % 64);
        let before = *bits & bit != 0;
        *bits |= bit;
        found | before
    })
}

/// Many requests of all sizes for two processors, and cycles that stand at any point; returns every address.
fn wander(seed: u64, requests: u32, memory: u64) -> Vec<u64> {
    let mut dice = Dice(seed);
    let mut heap = Allocator::new(2, memory);
    // What the program holds, from the first byte to the size; and what the collector may not have freed yet.
    let (mut live, mut all, mut dirty, mut clean) = (BTreeMap::new(), Vec::new(), BTreeMap::new(), 0);
    for number in 0..requests {
        match dice.below(100) {
            // Let go of something.
            0..=29 if !live.is_empty() => {
                let (at, _) = live.iter().nth(dice.below(live.len() as u64) as usize).unwrap();
                let at: u64 = *at;
                live.remove(&at);
            }
            30 if heap.heap.marking() => {
                live.keys().for_each(|at| assert!(heap.mark(*at), "{at:#x} is lost"));
                heap.finish_marking();
            }
            30 if dice.below(10) == 0 => heap.start_marking(),
            31..=45 if !heap.heap.marking() => _ = heap.sweep_one(),
            46 => heap.flush(dice.below(2) as usize),
            47 => _ = heap.heap.release(dice.below(100) as usize),
            _ => {
                let most = [16, 16, 100, 600, 5000, 40_000, 400_000][dice.below(7) as usize];
                let (size, pointers) = (1 + dice.below(most), dice.below(2) == 0);
                let Some(placed) = heap.allocate(dice.below(2) as usize, size, pointers) else { continue };
                let Placed { at, usable, need_zero } = placed;
                // A tiny object's words may be its neighbours' too; its block was clean, or made so, when it was taken.
                let used = soil(&mut dirty, at, usable) && request(size, pointers) != Request::Tiny;
                assert!(need_zero || !used, "law 5: {at:#x} was used");
                clean += u32::from(!need_zero);
                assert!(usable >= size, "law 3");
                assert_eq!(at % alignment(size, pointers), 0, "law 4: {size} bytes");
                assert!(heap.heap.space().is_ready(at, usable), "law 2");
                let found = heap.find(at + size - 1).unwrap();
                assert!(found.base <= at && at + size <= found.base + found.size, "law 11");
                let before = live.range(..at + size).next_back();
                assert!(before.is_none_or(|(other, length)| other + length <= at), "law 1: {at:#x}");
                live.insert(at, size);
                all.push(at);
            }
        }
        if number % 64 == 0 {
            assert_eq!(heap.verify(), Ok(()));
            assert!(live.keys().all(|at| heap.find(*at).is_some()), "what is held stays");
        }
    }
    heap.finish_sweep();
    assert_eq!(heap.verify(), Ok(()));
    assert!(clean > 100, "much of it was never used");
    all
}

/// Laws 1 to 5, 8, 11, 36, 38, 39, 40, 43, 45 and 46.
#[test]
fn objects_never_overlap_and_what_is_held_is_never_lost() {
    for seed in 1..=4 {
        assert!(wander(seed, 6000, 1 << 30).len() > 2000);
    }
    assert!(wander(5, 20_000, ARENA).len() > 2000, "with little room");
}

/// Law 13.
#[test]
fn the_same_requests_get_the_same_addresses() {
    assert_eq!(wander(6, 3000, 1 << 30), wander(6, 3000, 1 << 30));
    assert_ne!(wander(6, 3000, 1 << 30), wander(7, 3000, 1 << 30));
}

fn mapped(heap: &Allocator) -> u64 {
    heap.heap.space().bytes(State::Prepared) + heap.heap.space().bytes(State::Ready)
}

/// Law 41: the live set is constant, and so is the heap.
#[test]
fn what_is_freed_is_used_again() {
    let mut heap = Allocator::new(1, 1 << 30);
    let sizes: Vec<_> = (0..2000).map(|n| 1 + n * 37 % 3000).chain([50_000, 300_000]).collect();
    let kept: Vec<_> = (0..100).map(|n| heap.allocate(0, 16 + n, true).unwrap().at).collect();
    let mut most = 0;
    for round in 0..1000 {
        for size in &sizes[..if round < 5 { sizes.len() } else { 200 }] {
            heap.allocate(0, *size, round % 2 == 0).unwrap();
        }
        heap.collect(kept.iter().copied());
        most = if round < 5 { mapped(&heap) } else { most };
        assert!(mapped(&heap) <= most, "round {round}");
    }
}

/// Law 42.
#[test]
fn an_empty_span_serves_other_classes() {
    let mut heap = Allocator::new(1, ARENA);
    let mut sizes = [48, 3000, 16, 20_000, 600].into_iter().cycle();
    for _ in 0..10 {
        let size = sizes.next().unwrap();
        let mut bytes = 0;
        while let Some(placed) = heap.allocate(0, size, true) {
            bytes += placed.usable;
        }
        assert!(bytes > ARENA / 10 * 8, "nearly all of the memory, for {size} bytes each");
        heap.collect([]);
        assert_eq!(heap.heap.spans().count(), 0);
    }
}

/// Law 10: a refusal leaves everything where it is, and there is room again when something is freed.
#[test]
fn a_full_heap_refuses_and_recovers() {
    let mut heap = Allocator::new(1, ARENA);
    let placed: Vec<_> = core::iter::from_fn(|| heap.allocate(0, 1000, false)).map(|placed| placed.at).collect();
    assert_eq!(placed.len() as u64, ARENA / 1024);
    for size in [1000, 1, 40_000, u64::MAX, u64::MAX - PAGE] {
        let before = format!("{heap:?}");
        assert_eq!(heap.allocate(0, size, false), None);
        assert_eq!(format!("{heap:?}"), before, "{size} bytes");
    }
    heap.collect(placed.iter().copied().filter(|at| *at != placed[100]));
    assert_eq!(heap.allocate(0, 1000, false).map(|placed| placed.at), Some(placed[100]));
    assert_eq!(heap.allocate(0, 1000, false), None);
}

/// Law 9.
#[test]
fn no_byte_costs_nothing() {
    let mut heap = Allocator::new(1, 0);
    let placed = Placed { at: ZERO_BASE, usable: 0, need_zero: false };
    assert_eq!([true, false].map(|pointers| heap.allocate(0, 0, pointers)), [Some(placed); 2]);
    assert_eq!((heap.allocate(0, 1, false), heap.find(ZERO_BASE), heap.heap.spans().count()), (None, None, 0));
}

/// Laws 31 and 47.
#[test]
fn a_large_object_has_a_span_of_its_own_and_leaves_nothing_behind() {
    let mut heap = Allocator::new(1, ARENA);
    let small = heap.allocate(0, MAX_SMALL, true).unwrap();
    assert_eq!((heap.find(small.at).unwrap().size, small.at % PAGE), (32_768, 8), "behind its header");
    let large = heap.allocate(0, MAX_SMALL + 1, true).unwrap();
    assert_eq!((large.at % PAGE, large.usable, heap.find(large.at).unwrap().index), (0, 32_768, 0));
    let huge = heap.allocate(0, 60 << 20, false).unwrap();
    assert!(!huge.need_zero && heap.allocate(0, 60 << 20, false).is_none());
    heap.collect([small.at, large.at]);
    let again = heap.allocate(0, 60 << 20, true).unwrap();
    assert_eq!((again.at, again.need_zero), (huge.at, true), "freed whole");
    assert!(heap.find(large.at).is_some());
}

/// Laws 33 and 34.
#[test]
fn a_tiny_block_lives_as_long_as_one_of_those_in_it() {
    let mut heap = Allocator::new(1, ARENA);
    let [a, b, pointer] = [(4, false), (4, false), (8, true)].map(|(size, p)| heap.allocate(0, size, p).unwrap().at);
    assert_eq!((heap.find(a).unwrap().base, a + 4), (heap.find(b).unwrap().base, b), "one block");
    assert_ne!(heap.find(pointer).unwrap().base, heap.find(a).unwrap().base, "nothing with pointers in it");
    heap.flush(0);
    heap.collect([b]);
    assert!(heap.find(a).is_some(), "with its neighbour");
    heap.collect([]);
    assert!(heap.find(a).is_none() && heap.find(b).is_none());

    // The current block stays, since the next object may go there.
    let c = heap.allocate(0, 4, false).unwrap().at;
    heap.start_marking();
    let d = heap.allocate(0, 4, false).unwrap().at;
    assert_eq!((c + 4, heap.find(d).is_some()), (d, true));
    heap.finish_marking();
    heap.finish_sweep();
    assert!(heap.find(d).is_some(), "born while marking, in a block that was there");
}

/// What is born while marking survives the cycle, in any kind of place.
#[test]
fn what_is_born_while_marking_is_black() {
    let mut heap = Allocator::new(1, ARENA);
    heap.start_marking();
    let born = [1, 100, MAX_BITMAP + 1, 100_000].map(|size| heap.allocate(0, size, true).unwrap().at);
    heap.finish_marking();
    heap.finish_sweep();
    assert!(born.iter().all(|at| heap.find(*at).is_some()));
    heap.collect([]);
    assert!(born.iter().all(|at| heap.find(*at).is_none()));
}

/// Law 95: dead spans are swept before the heap grows.
#[test]
fn pages_are_reclaimed_before_the_heap_grows() {
    let mut heap = Allocator::new(1, ARENA);
    // 20 pages each: too long for a page cache.
    let bases: Vec<_> = (0..100).map(|_| heap.allocate(0, 160_000, false).unwrap().at).collect();
    while heap.heap.pages().find(20).is_some() {
        heap.allocate(0, 160_000, false).unwrap();
    }
    let size = mapped(&heap);
    heap.start_marking();
    heap.heap.spans().map(Span::base).skip(10).collect::<Vec<_>>().into_iter().for_each(|at| assert!(heap.mark(at)));
    heap.finish_marking();
    assert_eq!(heap.heap.pages().find(20), None, "nothing is swept yet");
    assert_eq!(heap.allocate(0, 200 * PAGE, false).map(|placed| placed.at), Some(bases[0]));
    assert_eq!((mapped(&heap), heap.sweeping), (size, true));
    heap.finish_sweep();
    assert_eq!((heap.sweeping, heap.verify()), (false, Ok(())));
}

#[test]
fn reclaiming_remembers_what_it_freed_too_much() {
    let mut heap = Allocator::new(1, ARENA);
    (0..50).for_each(|_| _ = heap.allocate(0, 80_000, false));
    heap.collect(heap.heap.spans().map(Span::base).collect::<Vec<_>>());
    heap.start_marking();
    heap.finish_marking();
    heap.allocate(0, 80_000, false).unwrap();
    assert_eq!((heap.credit, heap.reclaimed), (490, 1), "500 pages in the first piece, and 10 were wanted");
    heap.allocate(0, 80_000, false).unwrap();
    assert_eq!((heap.credit, heap.reclaimed), (480, 1));
}

/// The order of tries: the cache, swept, unswept, fresh.
#[test]
fn a_request_takes_the_first_thing_that_has_room() {
    // A span of 8192 bytes holds four.
    let mut heap = Allocator::new(1, ARENA);
    let take = |heap: &mut Allocator| (heap.allocate(0, 2048, false).unwrap().at - BASE) / 2048;
    let placed: Vec<_> = (0..12).map(|_| take(&mut heap)).collect();
    assert_eq!(placed, (0..12).collect::<Vec<_>>(), "three fresh spans");
    heap.start_marking();
    for slot in [0, 1, 2, 3, 4, 6, 7, 9, 10, 11] {
        heap.mark(BASE + slot * 2048);
    }
    heap.finish_marking();
    assert_eq!(take(&mut heap), 8, "the cache was flushed, and its span is partial and swept");
    assert_eq!(take(&mut heap), 5, "two full unswept ones: one stays full, and one has room");
    assert_eq!(take(&mut heap), 12, "fresh");
}

#[test]
fn a_span_with_two_owners_or_none_is_noticed() {
    let mut heap = Allocator::new(1, ARENA);
    let base = heap.allocate(0, 40_000, false).unwrap().at;
    heap.allocate(0, 16, true).unwrap();
    assert_eq!(heap.verify(), Ok(()));
    let mut twice = heap.clone();
    twice.centrals[1].file(&twice.heap, base);
    assert!(twice.verify().unwrap_err().starts_with("law 38"), "filed twice");
    let mut lost = heap.clone();
    lost.caches[0].empty(&lost.heap).count();
    assert!(lost.verify().unwrap_err().starts_with("law 38"), "flushed nowhere");
    let mut gone = heap.clone();
    gone.caches[0].pages.allocate(1).unwrap();
    assert!(gone.verify().unwrap_err().starts_with("law 43"));
}

#[test]
#[should_panic(expected = "law 93")]
fn marking_does_not_begin_on_unswept_spans() {
    let mut heap = Allocator::new(1, ARENA);
    heap.allocate(0, 40_000, false).unwrap();
    heap.start_marking();
    heap.finish_marking();
    // What `start_marking` would have swept.
    heap.heap.start_marking();
    heap.finish_marking();
}

/// A request for pages sweeps piece by piece, and no further than it has to.
#[test]
fn reclaiming_stops_at_the_end_of_the_piece_in_which_it_found_enough() {
    let mut heap = Allocator::new(1, 1 << 30);
    // Two pieces of 512 pages, full.
    let size = 64 * PAGE;
    (0..16).for_each(|_| assert!(heap.allocate(0, size, false).is_some()));
    heap.start_marking();
    heap.finish_marking();
    assert_eq!(heap.heap.spans().count(), 16);
    assert_eq!(heap.allocate(0, size, false).unwrap().at, BASE);
    assert_eq!(heap.heap.spans().count(), 9, "the first piece is swept, and its first pages are taken again");
    assert_eq!((heap.reclaimed, heap.credit), (1, 512 - 64));
}

#[test]
fn the_growth_that_is_named_is_refused() {
    let mut heap = Allocator::new(1, 1 << 30);
    heap.refuse(2);
    let refused = [1, 2, 3].map(|_| heap.allocate(0, 512 * PAGE, false).is_none());
    assert_eq!(refused, [false, true, false]);
}
