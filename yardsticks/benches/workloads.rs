//! The workloads under criterion, for whoever wants a comparison with the run before: `cargo bench` in this directory.
//!
//! One iteration is one workload, done once; the table of `cargo yardsticks` says what that is for a pair.

use criterion::{Criterion, criterion_group, criterion_main};
use heaplaw_yardsticks::{
    peer::{self, Allocator, Visitor},
    workload::{self, Workload},
};
use std::time::Duration;

struct Bench<'c> {
    criterion: &'c mut Criterion,
    workload: &'c str,
    peer: &'c str,
}

impl Visitor for Bench<'_> {
    type Output = ();

    fn visit<A: Allocator>(self, a: &A) {
        let workload = Workload::named(self.workload).expect("it is named");
        let mut group = self.criterion.benchmark_group(self.workload);
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.bench_function(self.peer, |bencher| bencher.iter(|| workload.run(a, 1)));
        group.finish();
    }
}

fn workloads(criterion: &mut Criterion) {
    for workload in workload::NAMES {
        for peer in peer::NAMES {
            if let Err(why) = peer::visit(peer, Bench { criterion, workload, peer }) {
                println!("{peer} is left out: {why}");
            }
        }
    }
}

criterion_group!(benches, workloads);
criterion_main!(benches);
