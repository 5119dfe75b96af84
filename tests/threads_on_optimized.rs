//! The fast heap, judged with its mutators on threads of their own, and a collector beside them that is no lock away.
//!
//! That the laws that need no order catch unsound designs is tested in `conformance/tests/parallel.rs`; that this heap
//! notices what goes wrong in itself, by a longer game, in `optimized/tests/threads.rs`.

use heaplaw_conformance::{
    drive::parallel::{Native, Plan, run},
    generate::choices::Seed,
    law::parallel::judge,
};
use heaplaw_optimized::{Barrier, Config, adapter::Subject};
use heaplaw_reference::heap::SharedHeap;

fn all_conform(cases: u64, config: Config) {
    let mut checks = 0;
    for case in 0..cases {
        let heap = Subject::new(config).expect("address space for a small heap");
        let plan = Plan::draw(&mut Seed::case(11, case), &heap.claims(), 3, 120);
        let account = run(&heap, &plan, &Native);
        checks += judge(&account).unwrap_or_else(|breach| panic!("case {case}: {breach:?}"));
        heap.verify().unwrap_or_else(|corruption| panic!("case {case}: {corruption}"));
    }
    assert!(checks > cases * 100, "only {checks} checks");
}

const SMALL: Config = Config { reservation: 8 << 20, ..Config::DEFAULT };

#[test]
fn mutators_on_threads_find_what_they_stored_while_another_takes_the_collectors_steps() {
    all_conform(300, SMALL);
}

#[test]
fn mutators_on_threads_find_what_they_stored_while_workers_collect() {
    all_conform(100, Config { workers: 2, ..SMALL });
}

#[test]
fn so_they_do_with_tiny_objects_and_with_every_barrier() {
    for barrier in [Barrier::Hybrid, Barrier::Insertion, Barrier::Deletion] {
        all_conform(60, Config { barrier, tiny: true, ..SMALL });
        all_conform(40, Config { barrier, tiny: true, workers: 2, ..SMALL });
    }
}
