//! The optimized fits beside the reference, in heaps with holes: does the time grow with the number of blocks?
//!
//! A heap is filled with blocks of 16 to 512 bytes, and every other one is freed. Then each iteration frees one object and
//! allocates another, in an order that looks random: one free, with its merging, and one allocation, with its search. The
//! reference looks at every block, so that it is measured on the small heap only, and on the large one for first fit,
//! to show the slope.

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main, measurement::WallTime};
use heaplaw_optimized::{
    Faults,
    fit::{Fit, FreeList, Pop, Rules, Segregated},
};
use heaplaw_reference::place::{fit as list, segregated};
use std::hint::black_box;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as usize % end
    }

    fn size(&mut self) -> usize {
        16 + self.below(497)
    }
}

/// Four sizes for each doubling.
fn sizes() -> Vec<usize> {
    (4..9).flat_map(|power| [4, 5, 6, 7].map(|quarters| quarters << (power - 2))).chain([512]).collect()
}

trait Allocator {
    fn allocate(&mut self, size: usize) -> usize;
    fn free(&mut self, at: usize);
}

macro_rules! allocator {
    ($type:ty, $number:ty) => {
        impl Allocator for $type {
            fn allocate(&mut self, size: usize) -> usize {
                let at = <$type>::allocate(self, size as $number);
                at.into_iter().next().expect("there is room") as usize
            }

            fn free(&mut self, at: usize) {
                <$type>::free(self, at as $number).expect("there is an object");
            }
        }
    };
}

allocator!(FreeList, usize);
allocator!(Segregated, usize);
allocator!(list::FreeList, u64);
allocator!(segregated::Segregated, u64);

/// Fills a heap, makes holes, and measures one free and one allocation.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, blocks: usize, mut heap: impl Allocator) {
    let mut random = Random(blocks as u64);
    let filled: Vec<usize> = (0..blocks).map(|_| heap.allocate(random.size())).collect();
    let mut live = Vec::new();
    for (number, at) in filled.into_iter().enumerate() {
        if number % 2 == 0 { heap.free(at) } else { live.push(at) }
    }
    group.bench_function(BenchmarkId::new(name, blocks), |bencher| {
        bencher.iter(|| {
            let at = random.below(live.len());
            heap.free(live[at]);
            live[at] = black_box(heap.allocate(random.size()));
        });
    });
}

fn fits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit");
    let memory = |blocks: usize| blocks * 1024;
    for blocks in [1_000, 100_000] {
        for (name, fit) in [("first", Fit::First), ("next", Fit::Next), ("best", Fit::Best)] {
            let list = FreeList::new(fit, Rules::plain(16), memory(blocks), memory(blocks), Faults::NONE);
            measure(&mut group, &format!("optimized/{name}"), blocks, list.expect("address space"));
        }
        for (name, pop) in [("last", Pop::Last), ("lowest", Pop::Lowest)] {
            let lists = Segregated::new(&sizes(), 8 << 10, pop, memory(blocks), Faults::NONE);
            measure(&mut group, &format!("optimized/segregated-{name}"), blocks, lists.expect("address space"));
        }
    }
    let rules = list::Rules::plain(16);
    for (name, fit) in [("first", list::Fit::First), ("next", list::Fit::Next), ("best", list::Fit::Best)] {
        let list = list::FreeList::new(fit, rules, 1 << 32, memory(1_000) as u64);
        measure(&mut group, &format!("reference/{name}"), 1_000, list);
    }
    let wide = sizes().into_iter().map(|size| size as u64).collect();
    let lists = segregated::Segregated::new(wide, 8 << 10, segregated::Pop::Last, 1 << 32, memory(1_000) as u64);
    measure(&mut group, "reference/segregated-last", 1_000, lists);
    let list = list::FreeList::new(list::Fit::First, rules, 1 << 32, memory(30_000) as u64);
    measure(&mut group, "reference/first", 30_000, list);
    group.finish();
}

criterion_group!(benches, fits);
criterion_main!(benches);
