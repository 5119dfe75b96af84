//! Page caches, the page allocator, the scavenger and who ends empty spans, on the memory of a heap as it is: no slot
//! is given twice, and all pages are accounted for. For shuttle alone, which can look into mapped memory.

use super::alone;
use crate::{
    memory::Memory,
    os::Faults,
    page::PageCache,
    span::Kind,
    sync::thread,
    twin::{self, Twin},
};
use shuttle::{
    Config, FailurePersistence, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

const KIND: Kind = Kind { class: 6, pointer_free: true };

/// What two threads have, who take slots through caches of their own and give some back, while a third gives memory back.
fn take_and_scavenge() {
    let memory = Arc::new(Memory::reserve(256, usize::MAX, Faults::NONE, |_| ()).expect("there is room").0);
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let takers = [5, 9].map(|want| {
        let (memory, taken) = (Arc::clone(&memory), Arc::clone(&taken));
        thread::spawn(move || {
            let mut cache = PageCache::empty();
            let mut own = Vec::new();
            for _ in 0..3 {
                let mut new = Vec::new();
                memory.refill(KIND, want, &mut cache, |slot| new.push(slot.addr().get())).expect("there is room");
                let mut all = taken.lock().expect("nobody panics with it");
                assert!(new.iter().all(|slot| all.insert(*slot)), "a slot is given twice");
                drop(all);
                own.append(&mut new);
            }
            let back = own.split_off(want);
            taken.lock().expect("nobody panics with it").retain(|slot| !back.contains(slot));
            memory.free_all(back.into_iter()).expect("they were taken");
            memory.flush(&mut cache);
        })
    });
    memory.scavenge();
    for taker in takers {
        taker.join().expect("it ends");
    }
    memory.scavenge();
    memory.verify().expect("all pages are accounted for");
    memory.verify_sets().expect("and all spans");
}

fn run(runs: usize) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    Runner::new(PctScheduler::new_from_seed(1, 3, runs), config.clone()).run(take_and_scavenge);
    Runner::new(RandomScheduler::new_from_seed(1, runs), config).run(take_and_scavenge);
}

#[test]
fn pages_are_given_once_whoever_takes_and_scavenges() {
    let _alone = alone();
    run(1000);
}

#[test]
fn a_cache_whose_pages_still_count_as_free_shares_them() {
    let _alone = alone();
    twin::with(Some(Twin::Grouping));
    let found = catch_unwind(AssertUnwindSafe(|| run(1000))).is_err();
    twin::with(None);
    assert!(found);
}
