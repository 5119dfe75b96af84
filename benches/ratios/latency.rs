//! How long single operations take while a collector works, and what is left to the mutator.
//!
//! The *minimum mutator utilisation* (Cheng and Blelloch 2001) of a window is the part of the worst window of that
//! length in which the mutator ran. Here time is the clock's: an operation that takes [ten times](SLOW) the median is
//! taken to have been kept from running for what it took beyond the median.

use heaplaw_optimized::{Config, Heap};
use std::time::Instant;

/// How many blocks are replaced in a round.
const REPLACED: usize = 2_000_000;
/// How many blocks live.
const LIVE: usize = 1 << 19;
/// What takes so many times the median was kept from running.
const SLOW: u64 = 10;
/// The lengths of windows, in nanoseconds.
pub(crate) const WINDOWS: [u64; 5] = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A length of time in words.
pub(crate) fn named(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000_000 => format!("{} µs", nanoseconds / 1_000),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}

/// The nanoseconds that each replacement took, with so many threads that collect.
pub(crate) fn measure(workers: usize) -> Vec<u32> {
    let heap = Heap::new(Config { reservation: 8 << 30, workers, ..Config::DEFAULT }).expect("address space");
    heap.join().raw(|raw| {
        let live = raw.alloc(LIVE, 0).expect("memory");
        let live = raw.push(live);
        let replace = |raw: &mut heaplaw_optimized::Raw<'_>, index| {
            let block = raw.alloc(2, 48).expect("memory");
            raw.store(raw.get(live), index, block);
        };
        (0..LIVE).for_each(|index| replace(raw, index));
        let mut times = Vec::with_capacity(REPLACED);
        let mut last = Instant::now();
        for turn in 0..REPLACED {
            // All over the live ones, so that what is replaced is old.
            replace(raw, turn.wrapping_mul(7_919) % LIVE);
            let now = Instant::now();
            times.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
            last = now;
        }
        times
    })
}

/// The least time that this part of all, which are sorted, does not exceed.
pub(crate) fn percentile(sorted: &[u32], part: f64) -> u32 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The part of the worst window of this length in which the mutator ran, if its operations took these times, one after
/// the other; 1 if it was not there for as long.
pub(crate) fn utilisation(times: &[u32], window: u64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let usual = u64::from(percentile(&sorted, 0.5));
    // When it was kept from running: from, to, and how much had been taken before.
    let mut taken: Vec<(u64, u64, u64)> = Vec::new();
    let (mut now, mut sum) = (0, 0);
    for time in times.iter().map(|time| u64::from(*time)) {
        if time >= SLOW * usual.max(1) {
            taken.push((now + usual, now + time, sum));
            sum += time - usual;
        }
        now += time;
    }
    if window == 0 || now < window {
        return 1.0;
    }
    // What had been taken until a moment.
    let until = |moment: u64| {
        let next = taken.partition_point(|(from, ..)| *from < moment);
        next.checked_sub(1).map_or(0, |last| {
            let (from, to, before) = taken[last];
            before + moment.min(to) - from
        })
    };
    // A worst window begins where it is kept from running, or ends where it runs again.
    let starts = taken.iter().map(|(from, ..)| (*from).min(now - window));
    let ends = taken.iter().map(|(_, to, _)| to.saturating_sub(window));
    let lost = starts.chain(ends).map(|start| until(start + window) - until(start)).max().unwrap_or_default();
    1.0 - lost as f64 / window as f64
}
