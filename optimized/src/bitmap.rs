//! A row of bits with the searches that allocators live on. Knows nothing about memory.
//!
//! Invariant: the bits of the last word past the length are zero, so counting words counts bits.

use std::collections::TryReserveError;

const BITS: usize = u64::BITS as usize;

/// A row of bits.
#[derive(Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// So many zeroes.
    pub(crate) fn zeroed(len: usize) -> Result<Bits, TryReserveError> {
        let mut bits = Bits::default();
        bits.reserve(len)?;
        bits.extend(len);
        Ok(bits)
    }

    /// How many bits there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for so many more bits.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), TryReserveError> {
        self.words.try_reserve((self.len + more).div_ceil(BITS) - self.words.len())
    }

    /// Appends so many zeroes.
    pub(crate) fn extend(&mut self, more: usize) {
        self.len += more;
        self.words.resize(self.len.div_ceil(BITS), 0);
    }

    pub(crate) fn get(&self, at: usize) -> bool {
        self.words[at / BITS] >> (at % BITS) & 1 == 1
    }

    /// Sets a bit; says whether it was zero.
    pub(crate) fn set(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.words[at / BITS], 1 << (at % BITS));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Gives all bits from `at` to before `end` this value.
    pub(crate) fn fill(&mut self, at: usize, end: usize, value: bool) {
        let mut at = at;
        while at < end {
            let count = (BITS - at % BITS).min(end - at);
            let mask = u64::MAX >> (BITS - count) << (at % BITS);
            let word = &mut self.words[at / BITS];
            *word = if value { *word | mask } else { *word & !mask };
            at += count;
        }
    }

    /// How many bits are set.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first bit from `from` on that is zero, or the length.
    pub(crate) fn next_zero(&self, from: usize) -> usize {
        self.next(from, |word| !word)
    }

    /// The first bit from `from` on that is set, or the length.
    pub(crate) fn next_one(&self, from: usize) -> usize {
        self.next(from, |word| word)
    }

    fn next(&self, from: usize, wanted: impl Fn(u64) -> u64) -> usize {
        let mut mask = u64::MAX << (from % BITS);
        for at in from / BITS..self.words.len() {
            let found = wanted(self.words[at]) & mask;
            if found != 0 {
                return (at * BITS + found.trailing_zeros() as usize).min(self.len);
            }
            mask = u64::MAX;
        }
        self.len
    }

    /// The first `count` zeroes in a row from `from` on; else where the zeroes at the very end start
    /// (the length if there are none).
    pub(crate) fn fit(&self, from: usize, count: usize) -> Result<usize, usize> {
        let mut start = self.next_zero(from);
        loop {
            let end = self.next_one(start);
            if end - start >= count {
                return Ok(start);
            }
            if end == self.len {
                return Err(start);
            }
            start = self.next_zero(end);
        }
    }

    /// The set bits, in order.
    pub(crate) fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = self.next_one(next);
            next = at + 1;
            (at < self.len).then_some(at)
        })
    }

    /// Keeps only the bits that `keep` has too, takes all of `keep` away, and names each bit that was lost.
    pub(crate) fn retain(&mut self, keep: &mut Bits, mut lost: impl FnMut(usize)) {
        for (at, (word, keep)) in self.words.iter_mut().zip(&mut keep.words).enumerate() {
            let mut gone = *word & !*keep;
            *word &= std::mem::take(keep);
            while gone != 0 {
                lost(at * BITS + gone.trailing_zeros() as usize);
                gone &= gone - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(len: usize, ones: &[usize]) -> Bits {
        let mut bits = Bits::zeroed(len).unwrap();
        for at in ones {
            assert!(bits.set(*at));
        }
        bits
    }

    #[test]
    fn a_search_finds_the_lowest_and_stops_at_the_length() {
        let mut bits = with(130, &[0, 1, 64, 129]);
        assert_eq!((bits.next_zero(0), bits.next_one(2), bits.next_one(65)), (2, 64, 129));
        bits.fill(0, 130, true);
        assert_eq!((bits.next_zero(0), bits.count()), (130, 130));
        bits.fill(60, 70, false);
        assert_eq!((bits.next_zero(0), bits.next_one(60), bits.count()), (60, 70, 120));
        assert_eq!(with(130, &[]).next_zero(130), 130);
    }

    #[test]
    fn a_fit_is_the_lowest_run_or_the_free_end() {
        let bits = with(200, &[3, 70, 71, 150]);
        assert_eq!(bits.fit(0, 3), Ok(0));
        assert_eq!(bits.fit(0, 4), Ok(4));
        assert_eq!(bits.fit(0, 70), Ok(72));
        assert_eq!(bits.fit(0, 100), Err(151));
        assert_eq!(with(200, &[199]).fit(0, 200), Err(200));
    }

    #[test]
    fn what_is_not_kept_is_named_and_gone() {
        let (mut bits, mut keep) = (with(100, &[1, 2, 70, 99]), with(100, &[2, 99]));
        let mut lost = Vec::new();
        bits.retain(&mut keep, |at| lost.push(at));
        assert_eq!((lost, bits.ones().collect(), keep.count()), (vec![1, 70], vec![2, 99], 0));
    }
}
