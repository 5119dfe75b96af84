//! Where a generator's decisions come from.

/// Someone who decides.
pub trait Choices {
    /// A number below `bound`, which is at least 1. What it stands for is the caller's business; by convention 0 is the
    /// simplest answer, and the one given by a source that has run dry.
    fn below(&mut self, bound: u32) -> u32;

    /// Whether the source has run dry, and answers only 0 from here on.
    fn dry(&self) -> bool {
        false
    }

    /// Whether a thing happens that is to happen `often` times out of `outof`.
    fn chance(&mut self, often: u32, outof: u32) -> bool {
        // "No" is the simple answer.
        self.below(outof) >= outof - often
    }

    /// An index into `weights`, each drawn in proportion to its weight. At least one weight is not 0.
    fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut ticket = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match ticket.checked_sub(*weight) {
                Some(rest) => ticket = rest,
                None => return index,
            }
        }
        unreachable!("the ticket is below the sum of the weights")
    }
}

/// Decisions that follow from a seed: SplitMix64 (Steele, Lea and Flood 2014). Written out here because the sequence is
/// part of what a seed means and must not change with somebody's new version.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// The decisions of one campaign's case `case`. Every case of every campaign is a sequence of its own.
    pub fn case(campaign: u64, case: u64) -> Seed {
        let mut seed = Seed(campaign);
        let campaign = seed.next();
        Seed(campaign ^ Seed(case).next())
    }

    /// The next 64 bits.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

impl Choices for Seed {
    fn below(&mut self, bound: u32) -> u32 {
        // The high half of a product: even enough for bounds this small (Lemire 2019, without the rejection).
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }
}

/// Decisions that are read off bytes, such as those of a fuzzer; 0 when they have run out. A bound up to 256 takes one
/// byte, so a changed byte is a changed decision and moves nothing else.
#[derive(Clone, Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

impl Choices for Bytes<'_> {
    fn dry(&self) -> bool {
        self.0.is_empty()
    }

    fn below(&mut self, bound: u32) -> u32 {
        let (now, later) = self.0.split_at(self.0.len().min(width(bound)));
        self.0 = later;
        let number = now.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        (number % u64::from(bound)) as u32
    }
}

/// How many bytes a decision below `bound` takes.
fn width(bound: u32) -> usize {
    match bound {
        0..=1 => 0,
        2..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Decisions of another source, written down as the bytes that [`Bytes`] would read them from. That is how the
/// generator's programs become seeds of a fuzzer.
#[derive(Clone, Debug)]
pub struct Recorder<C> {
    source: C,
    bytes: Vec<u8>,
}

impl<C: Choices> Recorder<C> {
    /// Listens to `source`.
    pub fn new(source: C) -> Self {
        Recorder { source, bytes: Vec::new() }
    }

    /// The bytes that mean the decisions so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<C: Choices> Choices for Recorder<C> {
    fn below(&mut self, bound: u32) -> u32 {
        let decision = self.source.below(bound);
        self.bytes.extend(&decision.to_be_bytes()[4 - width(bound)..]);
        decision
    }

    fn dry(&self) -> bool {
        self.source.dry()
    }
}

/// All sequences of decisions, one after the other: an odometer.
///
/// ```
/// use heaplaw_conformance::generate::choices::{Choices, Odometer};
/// let mut all = Odometer::default();
/// let mut seen = Vec::new();
/// while all.turn() {
///     let first = all.below(2);
///     let second = if first == 1 { all.below(3) } else { 0 };
///     seen.push((first, second));
/// }
/// assert_eq!(seen, [(0, 0), (1, 0), (1, 1), (1, 2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Odometer {
    /// The wheels: each with its position and its bound.
    wheels: Vec<(u32, u32)>,
    at: usize,
    started: bool,
}

impl Odometer {
    /// Goes to the next sequence; says whether there is one.
    pub fn turn(&mut self) -> bool {
        self.at = 0;
        if !std::mem::replace(&mut self.started, true) {
            return true;
        }
        while let Some((position, bound)) = self.wheels.last_mut() {
            if *position + 1 < *bound {
                *position += 1;
                return true;
            }
            self.wheels.pop();
        }
        false
    }
}

impl Choices for Odometer {
    fn below(&mut self, bound: u32) -> u32 {
        if self.at == self.wheels.len() {
            self.wheels.push((0, bound));
        }
        self.at += 1;
        self.wheels[self.at - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_even_and_stays_below() {
        let mut seed = Seed::case(1, 2);
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[seed.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_a_seed_means_never_changes() {
        let mut seed = Seed::case(7, 11);
        let drawn: Vec<_> = (0..4).map(|_| seed.below(1_000_000)).collect();
        assert_eq!(drawn, [571_498, 271_988, 915_602, 26_221]);
    }

    #[test]
    fn weights_are_kept() {
        let mut seed = Seed::case(3, 3);
        let mut counts = [0; 3];
        for _ in 0..40_000 {
            counts[seed.weighted(&[1, 0, 3])] += 1;
        }
        assert!(counts[1] == 0 && (9_500..10_500).contains(&counts[0]), "{counts:?}");
        let often = (0..10_000).filter(|_| seed.chance(1, 10)).count();
        assert!((900..1_100).contains(&often), "{often}");
    }

    #[test]
    fn recorded_decisions_read_back() {
        let bounds = [1, 2, 7, 256, 257, 70_000, u32::MAX];
        let mut recorder = Recorder::new(Seed::case(4, 4));
        let decisions = bounds.map(|bound| recorder.below(bound));
        let mut source = Seed::case(4, 4);
        assert_eq!(decisions, bounds.map(|bound| source.below(bound)), "they are the source's");
        let bytes = recorder.into_bytes();
        let mut again = Bytes(&bytes);
        assert_eq!(bounds.map(|bound| again.below(bound)), decisions);
        assert!(again.dry());
    }

    #[test]
    fn bytes_run_dry_at_zero() {
        let mut bytes = Bytes(&[7, 1, 2, 9]);
        assert_eq!(
            [bytes.below(5), bytes.below(1), bytes.below(1000), bytes.below(256), bytes.below(9)],
            [2, 0, 258, 9, 0]
        );
    }

    #[test]
    fn a_recorder_is_dry_when_its_source_is() {
        let dry = |bytes| Recorder::new(Bytes(bytes)).dry();
        assert_eq!([dry(&[]), dry(&[0])], [true, false]);
    }

    #[test]
    fn an_odometer_shows_every_sequence_once() {
        let mut all = Odometer::default();
        let mut seen = Vec::new();
        while all.turn() {
            let first = all.below(3);
            let second = if first == 1 { all.below(2) } else { 0 };
            seen.push((first, second, all.below(2)));
            assert!(seen.len() < 20, "{seen:?}");
        }
        let expected = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0), (2, 0, 1)];
        assert_eq!(seen, expected);
        assert!(!all.turn(), "the end is the end");
    }
}
