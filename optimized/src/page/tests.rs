//! Free pages: against first fit done the obvious way, at the borders of groups, chunks and levels.

use super::*;
use crate::os::Faults;

struct Test {
    pages: Pages,
    arenas: Arenas,
}

impl Test {
    fn new(window: usize, limit: usize) -> Test {
        Test::with_faults(window, limit, Faults::default()).unwrap()
    }

    fn with_faults(window: usize, limit: usize, faults: Faults) -> Result<Test, Error> {
        let mut plan = Plan::default();
        let planned = Pages::plan(&mut plan, window);
        let arenas = Arenas::reserve(&plan, window, faults)?;
        // SAFETY: of the same plan, and dropped first.
        Ok(Test { pages: unsafe { Pages::open(&arenas, planned, limit) }, arenas })
    }

    fn take(&mut self, count: usize) -> Result<Run, Error> {
        self.pages.take(&self.arenas, count, 1, 0)
    }
}

#[test]
fn a_run_goes_where_it_fits_lowest() {
    let mut test = Test::new(8192, 1000);
    for first in [0, 3, 6] {
        assert_eq!(test.take(3).unwrap(), Run { first, clean: true });
    }
    test.pages.give_back(0, 3);
    test.pages.give_back(6, 3);
    assert_eq!(test.take(4).unwrap(), Run { first: 6, clean: false });
    assert_eq!(test.take(1).unwrap(), Run { first: 0, clean: false });
    assert_eq!(test.take(2).unwrap(), Run { first: 1, clean: false });
    assert_eq!(test.take(1).unwrap(), Run { first: 10, clean: true });
    assert_eq!((test.pages.in_use(), test.pages.mapped()), (11, GROWTH));
    assert_eq!(test.pages.verify(), Ok(()));
}

#[test]
fn growing_counts_the_free_pages_at_the_end() {
    let mut test = Test::new(8192, 1000);
    test.take(1).unwrap();
    assert_eq!(test.take(100).unwrap().first, 1);
    assert_eq!(test.pages.mapped(), 2 * GROWTH);
}

#[test]
fn pages_end_at_the_limit_and_come_back() {
    let mut test = Test::new(8192, 70);
    assert!(matches!(test.take(71), Err(Error::OutOfMemory { .. })));
    assert!(test.take(usize::MAX).is_err());
    assert_eq!((test.pages.mapped(), test.pages.in_use()), (0, 0), "a refusal changes nothing");
    test.take(69).unwrap();
    assert_eq!(test.take(1).unwrap().first, 69);
    assert!(test.take(1).is_err());
    test.pages.give_back(5, 1);
    assert_eq!(test.take(1).unwrap().first, 5);
}

#[test]
fn an_aligned_run_leaves_what_is_before_it_free() {
    let mut test = Test::new(8192, 8192);
    test.take(1).unwrap();
    let base = 5;
    let run = test.pages.take(&test.arenas, 3, 16, base).unwrap();
    assert_eq!((run.first + base) % 16, 0);
    assert_eq!(test.take(10).unwrap().first, 1);
    assert_eq!(test.pages.verify(), Ok(()));
}

#[test]
fn a_run_grows_in_place_only_into_free_pages() {
    let mut test = Test::new(8192, 8192);
    test.take(4).unwrap();
    test.take(4).unwrap();
    assert_eq!(test.pages.take_at(4, 1), None);
    assert_eq!(test.pages.take_at(8, 4), Some(Run { first: 8, clean: true }));
    assert_eq!(test.pages.take_at(40, 2), Some(Run { first: 40, clean: true }));
    assert_eq!(test.pages.take_at(GROWTH - 4, 5), None, "not beyond what is mapped");
    assert_eq!(test.pages.verify(), Ok(()));
}

#[test]
fn a_cache_holds_the_free_pages_of_a_group_and_gives_the_rest_back() {
    let mut test = Test::new(8192, 8192);
    test.take(3).unwrap();
    let mut cache = PageCache::empty();
    test.pages.take_group_of(4, &mut cache);
    assert!(!cache.is_empty());
    assert_eq!((test.pages.in_use(), cache.take(2), cache.take(60), cache.take(1)), (64, Some(3), None, Some(5)));
    test.pages.give_group(&mut cache);
    assert_eq!((test.pages.in_use(), cache.take(1)), (6, None));
    assert_eq!((test.take(1).unwrap().first, test.pages.verify()), (6, Ok(())));
}

#[test]
fn released_pages_are_counted_and_read_zero_again() {
    let mut test = Test::new(8192, 8192);
    let run = test.take(100).unwrap();
    let memory = test.arenas.base().as_ptr();
    // SAFETY: the run was taken, so its bytes are ours.
    unsafe { memory.write_bytes(7, 100 * PAGE) };
    test.pages.give_back(run.first, 100);
    assert_eq!((test.pages.present(), test.pages.free_pages), (100, 128));
    assert_eq!(test.pages.scavenge(&test.arenas, 64), 36, "the highest go first");
    assert_eq!(test.pages.verify(), Ok(()));
    assert!(!test.take(36).unwrap().clean);
    assert_eq!(test.pages.scavenge(&test.arenas, 0), 28);
    let run = test.take(64).unwrap();
    assert!(run.clean);
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(memory.add(run.first * PAGE), 64 * PAGE) };
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn pages_that_the_kernel_does_not_take_back_stay_present() {
    let mut refused = 0;
    for after in 0..20 {
        let Ok(mut test) = Test::with_faults(8192, 8192, Faults { after, count: 1 }) else { continue };
        let Ok(run) = test.take(100) else { continue };
        let memory = test.arenas.base().as_ptr();
        // SAFETY: the run was taken, so its bytes are ours.
        unsafe { memory.write_bytes(7, 100 * PAGE) };
        test.pages.give_back(run.first, 100);
        let gone = test.pages.scavenge(&test.arenas, 0);
        refused += usize::from(gone < 100);
        assert_eq!((test.pages.present(), test.pages.verify()), (100 - gone, Ok(())), "call {after} is refused");
        assert_eq!(test.pages.scavenge(&test.arenas, 0), 100 - gone, "call {after} is tried again");
        let run = test.take(100).unwrap();
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(memory.add(run.first * PAGE), 100 * PAGE) };
        assert!(run.clean && bytes.iter().all(|byte| *byte == 0));
    }
    assert_eq!(refused, 2, "the pages are in two words, and each is a call");
}

#[test]
fn what_is_one_page_too_much_is_given_back_and_no_more() {
    let mut test = Test::new(8192, 8192);
    for keep in [0, 1, 64] {
        let run = test.take(keep + 1).unwrap();
        test.pages.give_back(run.first, keep + 1);
        assert_eq!((test.pages.present(), test.pages.verify()), (keep + 1, Ok(())));
        let gone = test.pages.scavenge(&test.arenas, keep);
        assert!(gone >= 1, "{keep} may be kept, and one more is");
        assert_eq!((test.pages.scavenge(&test.arenas, keep), test.pages.verify()), (0, Ok(())), "{keep} may be kept");
        test.pages.scavenge(&test.arenas, 0);
    }
}

#[test]
fn summaries_merge_as_published() {
    let sum = |start, max, end| Summary { start, max, end };
    let two = |a: Summary, b| a.then(512, b, 512);
    assert_eq!(two(sum(512, 512, 512), sum(10, 20, 30)), sum(522, 522, 30));
    assert_eq!(two(sum(3, 7, 5), sum(6, 9, 2)), sum(3, 11, 2));
    assert_eq!(two(sum(0, 0, 0), sum(512, 512, 512)), sum(0, 512, 512));
}

#[test]
fn a_chunk_is_summed_up_as_by_looking_at_each_page() {
    let mut test = Test::new(8192, 8192);
    test.take(1).unwrap();
    let mut random = 1_u64;
    for round in 0..2000 {
        let mut free = [false; CHUNK];
        for run in free.chunk_by_mut(|_, _| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % 40 > round % 40
        }) {
            run.fill(run.len() % 2 == 1);
        }
        for (word, pages) in free.chunks(BITS).enumerate() {
            test.pages.free[word] = (0..).zip(pages).map(|(bit, free)| u64::from(*free) << bit).sum();
        }
        let length = |run: &[bool]| if run[0] { run.len() } else { 0 };
        let runs: Vec<usize> = free.chunk_by(|a, b| a == b).map(length).collect();
        let (start, end) = (runs[0], runs[runs.len() - 1]);
        let max = runs.into_iter().max().unwrap();
        assert_eq!(test.pages.of_chunk(0), Summary { start, max, end }, "round {round}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_first_page() {
    let mut test = Test::new(16 * CHUNK, 16 * CHUNK);
    test.take(15 * CHUNK).unwrap();
    test.pages.give_back(3, 1);
    let mapped = test.pages.mapped();
    assert_eq!((test.pages.verify(), mapped % CHUNK), (Ok(()), 0));
    let level = test.pages.levels[1].start;
    let summary = test.pages.summaries[level + 1];
    test.pages.summaries[level + 1] = Summary { max: summary.max + 1, ..summary };
    assert_eq!(test.pages.verify(), Err(8 * CHUNK));
    test.pages.summaries[level + 1] = summary;
    // Released, but not free; free, but not counted.
    test.pages.released_bits[2] ^= 1;
    assert_eq!(test.pages.verify(), Err(2 * BITS));
    test.pages.released_bits[2] ^= 1;
    test.pages.free_pages += 1;
    assert_eq!(test.pages.verify(), Err(mapped));
    // Free, but not mapped.
    let mut test = Test::new(8192, 70);
    test.take(1).unwrap();
    assert_eq!((test.pages.mapped(), test.pages.verify()), (GROWTH.min(70), Ok(())));
    for (free, released) in [(4, 0), (4, 4)] {
        (test.pages.free[3], test.pages.released_bits[3]) = (free, released);
        assert_eq!(test.pages.verify(), Err(3 * BITS));
    }
}

/// Against first fit done the obvious way, over several levels of summaries and across their borders.
#[test]
fn the_search_finds_what_a_plain_one_finds() {
    const WINDOW: usize = 40 * CHUNK;
    let mut test = Test::new(WINDOW, WINDOW - 3);
    let mut taken = vec![false; WINDOW];
    let mut live: Vec<(usize, usize)> = Vec::new();
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..3000 {
        let count = [1, 2, 9, 64, 70, 511, 512, 513, 1500, 4097][next(if round < 200 { 10 } else { 6 })];
        if next(5) < 2 && !live.is_empty() {
            let (first, count) = live.swap_remove(next(live.len()));
            test.pages.give_back(first, count);
            taken[first..first + count].fill(false);
            continue;
        }
        let plain = {
            let mut run = 0;
            (0..WINDOW - 3).find_map(|page| {
                run = if taken[page] { 0 } else { run + 1 };
                (run == count).then(|| page + 1 - count)
            })
        };
        let got = test.take(count).ok().map(|run| run.first);
        assert_eq!(got, plain, "{count} pages in round {round}");
        if let Some(first) = got {
            taken[first..first + count].fill(true);
            live.push((first, count));
        }
        if round % 100 == 0 {
            assert_eq!(test.pages.verify(), Ok(()));
        }
    }
}

impl Pages {
    /// Flips a bit of what is known of the mapped pages, counted from 0, and says of what; `None` when there are no more.
    /// Bits and summaries are those of whole chunks.
    pub(crate) fn flip(&self, number: usize) -> Option<&'static str> {
        let pages = self.mapped.next_multiple_of(CHUNK);
        let summaries = (0..=self.top).flat_map(|level| {
            let first = self.levels[level].start;
            first..first + self.mapped.div_ceil(width(level))
        });
        let mut left = number;
        for (table, name) in [(&self.free, "free pages"), (&self.released_bits, "released pages")] {
            if left < pages {
                table.flip(left);
                return Some(name);
            }
            left -= pages;
        }
        let bits = 8 * size_of::<Summary>();
        let summary = summaries.into_iter().nth(left / bits)?;
        self.summaries.flip(summary * bits + left % bits);
        Some("summaries")
    }
}
