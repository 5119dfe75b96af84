//! Growth, freeing and releasing, and what is refused.

use super::*;
use crate::place::address::State as Memory;

const BASE: u64 = 0xc0_0000_0000;
const MIB: u64 = 1 << 20;

fn take(heap: &mut PageHeap, pages: u64) -> Option<u64> {
    heap.allocate(&mut PageCache::default(), pages, |base, g| Span::large(base, pages, true, g))
}

fn bytes(heap: &PageHeap) -> [u64; 3] {
    [Memory::Reserved, Memory::Prepared, Memory::Ready].map(|state| heap.space.bytes(state) / MIB)
}

#[test]
fn a_heap_grows_by_chunks_inside_arenas() {
    let mut heap = PageHeap::new(1 << 30);
    assert_eq!(take(&mut heap, 128), Some(BASE));
    assert_eq!((bytes(&heap), heap.arenas.count()), ([60, 3, 1], 1));
    assert_eq!(take(&mut heap, 512), Some(BASE + MIB), "3 MiB are left of the first chunk, and one is added");
    assert_eq!(bytes(&heap), [56, 3, 5]);
    assert_eq!(take(&mut heap, 8192), Some(BASE + 5 * MIB), "over the edge of the arena");
    assert_eq!((bytes(&heap), heap.arenas.count()), ([56, 3, 69], 2));
    assert_eq!(heap.find(BASE + 69 * MIB - 1).map(Span::base), Some(BASE + 5 * MIB));
    assert!(heap.find(BASE + 69 * MIB).is_none());
}

#[test]
fn what_is_left_of_an_arena_is_not_lost_when_the_next_is_elsewhere() {
    let mut heap = PageHeap::new(1 << 30);
    take(&mut heap, 128);
    // Somebody else is there now.
    heap.space.perform(Step::Allocate, BASE + ARENA, 4096).unwrap();
    let far = BASE + (1 << 40);
    assert_eq!(take(&mut heap, 8192), Some(far));
    assert_eq!((heap.pages.count() * PAGE / ARENA, heap.current.clone()), (2, far + ARENA..far + ARENA));
    assert_eq!(take(&mut heap, 7000), Some(BASE + MIB), "of the first arena");
}

/// Law 10.
#[test]
fn a_refusal_changes_nothing() {
    let mut heap = PageHeap::new(2 * ARENA - 1);
    assert_eq!(take(&mut heap, 4000), Some(BASE));
    let before = alloc::format!("{heap:?}");
    assert_eq!([5000, u64::MAX, u64::MAX / PAGE].map(|pages| take(&mut heap, pages)), [None; 3]);
    assert_eq!(alloc::format!("{heap:?}"), before);
    // Not even 4192: the 96 free pages of the last chunk do not count when the heap grows.
    assert_eq!(take(&mut heap, 4192), None);
    assert_eq!(take(&mut heap, 4096), Some(BASE + 4000 * PAGE));
}

/// Laws 5, 42, 45 and 46.
#[test]
fn freed_pages_become_other_spans_and_released_ones_come_back() {
    let mut heap = PageHeap::new(ARENA);
    let [a, b] = [20, 30].map(|pages| take(&mut heap, pages).unwrap());
    assert!(!heap.span(b).need_zero);
    heap.free(b);
    assert!(heap.find(b).is_none(), "its pages remember it, and it is gone");
    heap.free(a);
    let before = heap.space.bytes(Memory::Prepared);
    assert_eq!((heap.release(10), heap.release(100)), (10, 40));
    assert_eq!(heap.space.bytes(Memory::Prepared), before + 50 * PAGE);
    let c = take(&mut heap, 40).unwrap();
    assert_eq!((c, heap.span(c).need_zero), (a, true));
    heap.free(c);
    assert_eq!(take(&mut heap, 25), Some(c));
    assert!(heap.find(c + 24 * PAGE).is_some());
    assert!(heap.find(c + 25 * PAGE).is_none(), "this page remembers a longer span that began there");
}

/// Growth and page caches: a fresh heap's first span is not from a cache, and its second is.
#[test]
fn short_runs_come_from_the_askers_cache() {
    let mut heap = PageHeap::new(ARENA);
    let mut caches = [PageCache::default(); 2];
    let mut take = |cache: usize, pages| {
        let make = |base, g| Span::large(base, pages, true, g);
        heap.allocate(&mut caches[cache], pages, make).map(|base| (base - BASE) / PAGE)
    };
    assert_eq!([take(0, 1), take(0, 1), take(0, 1)], [0, 1, 2].map(Some));
    assert_eq!([take(1, 1), take(0, 15)], [64, 3].map(Some), "another cache, another 64 pages");
    assert_eq!([take(0, 16), take(0, 1)], [128, 18].map(Some), "too long for a cache");
    let counts = caches.each_ref().map(PageCache::count);
    assert_eq!(counts, [45, 63]);
    caches.iter_mut().for_each(|cache| heap.flush(cache));
    assert_eq!(heap.pages.free_pages().count() as u64, CHUNK - 20 - 16);
}

#[test]
fn a_mark_finds_its_object_or_none() {
    let mut heap = PageHeap::new(ARENA);
    let class = crate::place::class::SpanClass::new(5, false);
    let make = |base, g| Span::small(base, class, g);
    let base = heap.allocate(&mut PageCache::default(), 1, make).unwrap();
    let flags = [Flag::InUse, Flag::Marked, Flag::Specials, Flag::InlineMarks];
    let flags = |heap: &PageHeap| flags.map(|flag| heap.arenas.is_set(flag, base));
    assert_eq!(flags(&heap), [true, false, false, true]);
    assert!(heap.mark(base + 100) && heap.span(base).is_marked(2));
    assert_eq!(flags(&heap), [true, true, false, true]);
    assert!(!heap.mark(base + PAGE - 1) && !heap.mark(base - 1), "the span's own bits, and nobody's");
}

#[test]
fn pages_that_are_lost_or_miscounted_are_noticed() {
    let mut heap = PageHeap::new(ARENA);
    let mut cache = PageCache::default();
    for _ in 0..2 {
        heap.allocate(&mut cache, 2, |base, g| Span::large(base, 2, true, g)).unwrap();
    }
    assert_eq!(heap.verify([&cache]), Ok(()));
    assert!(heap.verify([]).unwrap_err().starts_with("law 43: 452 pages"), "the cache is missing");
    heap.pages.release(1);
    assert_eq!(heap.verify([&cache]), Ok(()), "there was nothing to release");
    heap.space.perform(Step::Unuse, BASE, PAGE).unwrap();
    assert!(heap.verify([&cache]).unwrap_err().starts_with("law 45"), "a page in use was given away");
}

#[test]
#[should_panic(expected = "law 40")]
fn nothing_dies_while_marking() {
    let mut heap = PageHeap::new(ARENA);
    let base = take(&mut heap, 1).unwrap();
    heap.start_marking();
    heap.free(base);
}

#[test]
#[should_panic(expected = "is empty")]
fn nothing_dies_with_an_object() {
    let mut heap = PageHeap::new(ARENA);
    let base = take(&mut heap, 1).unwrap();
    heap.span_mut(base).allocate();
    heap.free(base);
}

#[test]
#[should_panic(expected = "law 91")]
fn nobody_sweeps_what_is_not_claimed() {
    let mut heap = PageHeap::new(ARENA);
    let base = take(&mut heap, 1).unwrap();
    heap.turn();
    heap.sweep(base, false);
}

#[test]
#[should_panic(expected = "law 96")]
fn a_zombie_is_fatal() {
    let mut heap = PageHeap::new(ARENA);
    let base = take(&mut heap, 1).unwrap();
    heap.mark(base);
    heap.turn();
    assert!(heap.step(base, generation::Step::Claim));
    heap.sweep(base, false);
}

/// Law 10.
#[test]
fn the_growth_that_is_named_is_refused_and_no_other() {
    for growth in 0..4 {
        let mut heap = PageHeap::new(1 << 30);
        heap.refuse(growth);
        let refused = [1, 2, 3].map(|_| take(&mut heap, CHUNK).is_none());
        assert_eq!(refused, [1, 2, 3].map(|number| number == growth), "{growth}");
    }
}

#[test]
fn marks_lie_in_spans_of_small_objects_only() {
    let mut heap = PageHeap::new(1 << 30);
    let mut inside = |size, pointers| {
        let span_class = match crate::place::class::request(size, pointers) {
            crate::place::class::Request::Small { span_class, .. } => span_class,
            other => panic!("{other:?}"),
        };
        let row = crate::place::class::row(span_class.class());
        let make = |base, generation| Span::small(base, span_class, generation);
        let base = heap.allocate(&mut PageCache::default(), row.span() / PAGE, make).unwrap();
        heap.arenas.is_set(Flag::InlineMarks, base)
    };
    assert_eq!([8, 16, 512, 1024, 32_000].map(|size| inside(size, true)), [false, true, true, false, false]);
    let large = take(&mut heap, 5).unwrap();
    assert!(!heap.arenas.is_set(Flag::InlineMarks, large));
}
