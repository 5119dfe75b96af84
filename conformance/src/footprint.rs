//! How much memory an allocator uses for what it is asked for: a figure, and no verdict.
//!
//! What is freed leaves gaps, and what is asked for next may not fit into them. So an allocator comes to use more bytes
//! than ever exist at once. How many more, no allocator that leaves objects where they are can help altogether: Robson
//! showed that whoever asks cleverly can make *any* of them use `1 + log2(n) / 2` times as much as is live, if the largest
//! object has `n` times the bytes of the smallest, and that first fit uses no more than about `1 + log2(n)` times as
//! much (J. M. Robson, *Bounds for some functions concerning dynamic storage allocation*, 1974, and *Worst case
//! fragmentation of first fit and best fit storage allocation strategies*, 1977). The figure stands beside these two.
//!
//! *Used* are the bytes that ever belonged to an object, each counted once; *live* is what objects that existed at once
//! had asked for, at the moment when that was most. What an allocator keeps beside its objects does not show.

use crate::reading::{Life, Reading};
use heaplaw_reference::heap::Capability;
use std::collections::BTreeMap;

/// Programs with less than this live at their peak say nothing: one object may be all there is.
const ENOUGH: u64 = 4096;

/// What one program made an allocator use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// Which program, from 1.
    pub program: u64,
    /// Bytes that ever belonged to an object.
    pub used: u64,
    /// Bytes asked for by the objects that existed at the peak.
    pub live: u64,
    /// The bytes of the smallest object and of the largest.
    pub sizes: (u64, u64),
}

impl Use {
    /// What a program made an allocator use, if that can be seen and is [enough](ENOUGH) to tell of.
    fn of(reading: &Reading<'_>, program: u64) -> Option<Use> {
        let claims = &reading.history.claims;
        if !claims.is_allocator() || !claims.has(Capability::Addresses) {
            return None;
        }
        let lives: Vec<&Life> = reading.lives().map(|(_, life)| life).filter(|life| life.shape.size() > 0).collect();
        // When objects are born, and when they go.
        let mut turns: Vec<(usize, i128)> = Vec::with_capacity(2 * lives.len());
        for life in &lives {
            let size = i128::from(life.shape.size());
            turns.push((life.born, size));
            turns.extend(life.freed.map(|freed| (freed, -size)));
        }
        turns.sort_unstable();
        let sums = turns.iter().scan(0, |sum, (_, size)| {
            *sum += size;
            Some(*sum)
        });
        let live = u64::try_from(sums.max()?).ok().filter(|live| *live >= ENOUGH)?;
        let mut runs: Vec<(u64, u64)> =
            lives.iter().map(|life| (life.address.0, life.address.0.saturating_add(life.usable))).collect();
        runs.sort_unstable();
        let (mut used, mut end) = (0, 0);
        for (from, to) in runs {
            used += to.saturating_sub(from.max(end));
            end = end.max(to);
        }
        let sizes = lives.iter().map(|life| life.shape.size());
        Some(Use { program, used, live, sizes: (sizes.clone().min()?, sizes.max()?) })
    }

    /// Bytes used for each that was live.
    pub fn ratio(&self) -> f64 {
        self.used as f64 / self.live as f64
    }

    /// How many doublings lie between the smallest object and the largest.
    fn doublings(&self) -> f64 {
        let (smallest, largest) = self.sizes;
        (largest as f64 / smallest.max(1) as f64).log2()
    }

    /// The ratio that any allocator can be made to come to with such sizes.
    pub fn lower_bound(&self) -> f64 {
        1.0 + self.doublings() / 2.0
    }

    /// About the ratio that first fit never exceeds with such sizes, but for what its blocks are rounded up by.
    pub fn first_fit_bound(&self) -> f64 {
        1.0 + self.doublings()
    }
}

/// What all programs of a campaign made an allocator use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footprint {
    /// How many programs came to each ratio, in hundredths.
    ratios: BTreeMap<u64, u64>,
    /// The program with the highest.
    worst: Option<Use>,
}

impl Footprint {
    /// Counts a program.
    pub fn add(&mut self, reading: &Reading<'_>, program: u64) {
        let Some(one) = Use::of(reading, program) else { return };
        *self.ratios.entry((one.ratio() * 100.0) as u64).or_insert(0) += 1;
        if self.worst.is_none_or(|worst| one.ratio() > worst.ratio()) {
            self.worst = Some(one);
        }
    }

    /// How many programs were counted.
    pub fn programs(&self) -> u64 {
        self.ratios.values().sum()
    }

    /// The median of the ratios, if there is one.
    pub fn median(&self) -> Option<f64> {
        let mut left = self.programs().div_ceil(2);
        let middle = self.ratios.iter().find(|(_, programs)| {
            let here = left <= **programs;
            left = left.saturating_sub(**programs);
            here
        });
        middle.map(|(ratio, _)| *ratio as f64 / 100.0)
    }

    /// The program with the highest ratio.
    pub fn worst(&self) -> Option<&Use> {
        self.worst.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::{InProcess, step};
    use heaplaw_reference::{
        op::Program,
        place::manual::{Manual, Policy},
    };

    fn used(policy: Policy, story: &str) -> Option<Use> {
        let story: Program = story.parse().expect("a program");
        let mut subject = InProcess::new(|| Manual::new(policy));
        let history = step::run(&mut subject, &story, step::Ending::Abrupt).expect("it starts");
        Use::of(&Reading::new(&history), 1)
    }

    #[test]
    fn what_is_used_again_counts_once() {
        let again = "0 alloc r0 0 8000\n0 free r0\n".repeat(9);
        let one = used(Policy::FirstFit, &again).expect("an allocator");
        assert_eq!((one.used, one.live, one.sizes), (8000, 8000, (8000, 8000)));
        assert_eq!((one.lower_bound(), one.first_fit_bound()), (1.0, 1.0));
        let empty = used(Policy::FirstFit, "0 alloc r0 0 8000\n0 alloc r1 0\n").expect("an allocator");
        assert_eq!(empty.sizes, (8000, 8000), "what has no bytes has no size");
    }

    #[test]
    fn gaps_that_nothing_fits_into_are_used_for_nothing() {
        // Every other one is freed, and what comes next is twice as large.
        let fill: String = (0..8).map(|root| format!("0 alloc r{root} 0 1008\n")).collect();
        let holes: String = (0..4).map(|pair| format!("0 free r{}\n", 2 * pair)).collect();
        let refill: String = (0..2).map(|root| format!("0 alloc r{root}{root} 0 2032\n")).collect();
        let refill = refill.replace("r00", "r8").replace("r11", "r9");
        let story = format!("{fill}{holes}{refill}");
        let one = used(Policy::FirstFit, &story).expect("an allocator");
        assert_eq!((one.live, one.used), (8096, 8 * 1008 + 2 * 2032));
        assert!((one.lower_bound() - 1.5).abs() < 0.02 && (one.first_fit_bound() - 2.0).abs() < 0.02, "{one:?}");
    }

    #[test]
    fn what_says_nothing_is_not_counted() {
        assert_eq!(used(Policy::FirstFit, "0 alloc r0 0 100\n"), None, "one small object");
        assert_eq!(used(Policy::Bump, "0 alloc r0 0 8000\n"), None, "it does not free");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let of = |ratios: &[(u64, u64)]| Footprint { ratios: ratios.iter().copied().collect(), worst: None }.median();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(100, 2), (200, 1)]), Some(1.0));
        assert_eq!(of(&[(100, 1), (150, 1), (900, 1)]), Some(1.5));
        assert_eq!(of(&[(100, 1), (300, 5)]), Some(3.0));
    }

    #[test]
    fn the_worst_program_is_the_first_of_the_worst() {
        let mut all = Footprint::default();
        let mut add = |policy: Policy, story: &str, program| {
            let mut subject = InProcess::new(|| Manual::new(policy));
            let history = step::run(&mut subject, &story.parse().expect("a program"), step::Ending::Abrupt);
            all.add(&Reading::new(&history.expect("it starts")), program);
            (
                all.programs(),
                all.median(),
                all.worst().map(|worst| (worst.program, worst.used, worst.live, worst.ratio())),
            )
        };
        let tight = "0 alloc r0 0 8000\n";
        // The second is too large for the gap of the first.
        let loose = "0 alloc r0 0 8000\n0 alloc r1 0 8000\n0 free r0\n0 alloc r2 0 16000\n";
        let (used, live) = (32_000, 24_000);
        let ratio = used as f64 / live as f64;
        assert_eq!(add(Policy::FirstFit, tight, 1), (1, Some(1.0), Some((1, 8_000, 8_000, 1.0))));
        assert_eq!(add(Policy::FirstFit, loose, 2), (2, Some(1.0), Some((2, used, live, ratio))));
        assert_eq!(add(Policy::FirstFit, loose, 3), (3, Some(1.33), Some((2, used, live, ratio))));
        assert_eq!(add(Policy::FirstFit, tight, 4).2, Some((2, used, live, ratio)));
        assert_eq!(add(Policy::FirstFit, "0 alloc r0 0 8\n", 5).0, 4, "too little to tell of");
        assert_eq!(
            crate::report::text::footprint(&all),
            "  memory 1.00 bytes used for each live at the peak (median of 4 programs); 1.33 at worst, in program 2: \
             31.2 KiB for 23.4 KiB\n         of objects of 8,000 to 16,000 bytes any allocator can be made to use 1.50, \
             first fit no more than about 2.00 (Robson)\n"
        );
        assert_eq!(crate::report::text::footprint(&Footprint::default()), "");
    }
}
