//! The optimized heap beside the reference, on the same generated programs.
//!
//! Each iteration makes a heap, runs one program of 60 operations on it, and drops it; neither side is judged. The ratio
//! of the two says how much faster the optimized heap is where programs are tiny and heaps are short-lived, which is the
//! kit's own use.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use heaplaw_conformance::generate::{choices::Seed, scenario::Scenario};
use heaplaw_optimized::adapter;
use heaplaw_reference::{heap::Heap, machine::Machine, op::Program, protocol::Protocol};
use std::hint::black_box;

fn run(mut heap: impl Heap, program: &Program) {
    let mut events = Vec::new();
    for op in program.ops() {
        events.clear();
        black_box(heap.perform(op, &mut events));
    }
}

fn streams(criterion: &mut Criterion) {
    let programs: Vec<Program> = (0..256).map(|case| Scenario::default().draw(&mut Seed::case(1, case))).collect();
    let mut group = criterion.benchmark_group("streams");
    let mut case = programs.iter().cycle();
    let mut next = || case.next().expect("programs without end");
    group.bench_function("reference", |bencher| {
        bencher.iter_batched(&mut next, |program| run(Machine::new(Protocol::HYBRID), program), BatchSize::SmallInput);
    });
    group.bench_function("optimized", |bencher| {
        bencher.iter_batched(
            &mut next,
            |program| run(adapter::bundled().expect("address space"), program),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, streams);
criterion_main!(benches);
