//! Shards: one campaign on many machines.
//!
//! Case `k` of a [campaign](crate::campaign) is a function of the campaign and `k`. So a campaign can be cut anywhere,
//! and its pieces can run apart, in any order, on any machine: together they do what one run would have done. A
//! [`Shard`] is the part of one machine, a run of cases next to each other. Within it, cases are done in
//! [blocks](BLOCK), and what came of a block is written down in a [journal], so that a machine which is taken away
//! loses one block at most, and whoever takes over goes on from there.
//!
//! Blocks begin at multiples of their length wherever the cuts between shards are. That is why the journals of any number
//! of shards have the same lines as the journal of one run, and can be compared with it.

pub mod journal;

use crate::{
    campaign::{Breach, Campaign, End, Watch},
    drive::Subject,
    known::{self, Excused, Known},
    saved,
};
use heaplaw_reference::op::Program;
use journal::{Block, Error, Found, Journal, Line};
use std::{
    fmt,
    ops::Range,
    str::FromStr,
    time::{Duration, Instant},
};

/// How many cases are written down together: a tenth of a second of most heaps' time.
pub const BLOCK: u64 = 250;

/// The part of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0, and less than `of`.
    index: u64,
    of: u64,
}

impl Shard {
    /// All of a campaign.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    /// One of so many, counted from 0; `None` if there are not so many.
    pub fn new(index: u64, of: u64) -> Option<Shard> {
        (index < of).then_some(Shard { index, of })
    }

    /// Its cases, of a campaign of so many. They differ by a [block](BLOCK) at most from those of the others, and some have
    /// none if there are fewer blocks than shards.
    pub fn cases(self, cases: u64) -> Range<u64> {
        let blocks = u128::from(cases.div_ceil(BLOCK));
        let edge = |shard: u64| {
            let block = blocks * u128::from(shard) / u128::from(self.of);
            // It is no more than the blocks, which came from a u64.
            (block as u64).saturating_mul(BLOCK).min(cases)
        };
        edge(self.index)..edge(self.index + 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `2/4`: the second of four.
    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').map(|(one, of)| (one.parse::<u64>(), of.parse::<u64>()));
        let Some((Ok(one), Ok(of))) = numbers else {
            return Err("a shard is written 2/4, the second of four".to_owned());
        };
        let shard = one.checked_sub(1).and_then(|index| Shard::new(index, of));
        shard.ok_or_else(|| format!("the shards of {of} are 1/{of} to {of}/{of}"))
    }
}

/// The block that a case belongs to.
fn block_of(case: u64, cases: u64) -> Range<u64> {
    let start = case - case % BLOCK;
    start..start.saturating_add(BLOCK).min(cases)
}

/// Passes on to whoever watches, and takes the programs' hash.
struct Listening<'w> {
    watch: &'w mut dyn Watch,
    /// Programs before those of this block.
    before: u64,
    digest: u64,
}

impl Watch for Listening<'_> {
    fn about_to_run(&mut self, program: &Program, programs_so_far: u64) -> bool {
        self.digest = self.digest.rotate_left(5) ^ saved::hash(&program.to_string());
        self.watch.about_to_run(program, self.before + programs_so_far)
    }
}

/// Runs what is left of the journal's shard of a campaign, with known failures excused, and writes it down; before it, the
/// programs that are not drawn, of which nothing is written down. What was done before counts as if it had been done now,
/// but for [footprint](crate::footprint) and [utilisation](crate::utilisation), which journals do not keep.
///
/// Whether a known failure is stale only all shards together can say.
///
/// # Errors
/// If the journal cannot be written.
pub fn run(
    campaign: &Campaign,
    known: &[Known],
    subject: &mut dyn Subject,
    first: &[Program],
    watch: &mut dyn Watch,
    journal: &mut Journal,
) -> Result<Excused, Error> {
    let start = Instant::now();
    let mut total = known::run(&Campaign { cases: 0, ..campaign.clone() }, known, subject, first, watch);
    total.stale.clear();
    if !matches!(total.outcome.end, End::Finished) {
        return Ok(total);
    }
    let shard = journal.cases();
    for block in journal.pieces().blocks().filter(|block| shard.contains(&block.from)) {
        block.add_to(&mut total.outcome);
    }
    let mut from = shard.start;
    while let Some(cases) = journal.next(from) {
        from = cases.end;
        let time = campaign.time.map(|time| time.saturating_sub(start.elapsed()));
        if time == Some(Duration::ZERO) {
            total.outcome.end = End::OutOfTime;
            break;
        }
        let block = Campaign { from: cases.start, cases: cases.end - cases.start, time, ..campaign.clone() };
        let mut listening = Listening { before: total.outcome.programs, watch: &mut *watch, digest: 0 };
        let Excused { outcome, seen, .. } = known::run(&block, known, subject, &[], &mut listening);
        let digest = listening.digest;
        let laws = seen.iter().map(|seen| seen.known.law.number).collect();
        let block = Block::of(&outcome, cases, digest, laws);
        match &outcome.end {
            End::Finished => journal.write(&Line::Block(block.clone()))?,
            End::Found(found) => journal.write(&Line::Found(match &found.breach {
                Breach::Law(law, witness) => {
                    Found { case: found.case, law: Some(law.number), why: witness.why.clone() }
                }
                Breach::Failure(failure) => Found { case: found.case, law: None, why: failure.to_string() },
            }))?,
            End::OutOfTime | End::Interrupted | End::Unstartable(_) => {}
        }
        block.add_to(&mut total.outcome);
        for one in seen {
            if total.seen.iter().all(|seen| seen.known.law.number != one.known.law.number) {
                total.seen.push(one);
            }
        }
        total.outcome.end = outcome.end;
        if !matches!(total.outcome.end, End::Finished) {
            break;
        }
    }
    let Excused { outcome, seen, .. } = &mut total;
    outcome.tallies.retain(|tally| seen.iter().all(|seen| seen.known.law.number != tally.law.number));
    outcome.elapsed = start.elapsed();
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_a_campaign_are_its_cases_each_once() {
        for cases in [0, 1, 249, 250, 251, 1_000, 30_000, 1_234_567] {
            for of in [1, 2, 3, 4, 7, 100, 5_000] {
                let shards: Vec<_> =
                    (0..of).map(|index| Shard::new(index, of).expect("a shard").cases(cases)).collect();
                assert_eq!((shards[0].start, shards[shards.len() - 1].end), (0, cases), "{cases} in {of}");
                assert!(shards.windows(2).all(|pair| pair[0].end == pair[1].start), "{cases} in {of}");
                let length = |shard: &Range<u64>| shard.end - shard.start;
                let (least, most) = (shards.iter().map(length).min(), shards.iter().map(length).max());
                assert!(most.expect("one") - least.expect("one") < 2 * BLOCK, "{cases} in {of}: {least:?} {most:?}");
                assert!(shards.iter().all(|shard| shard.is_empty() || shard.start % BLOCK == 0), "{cases} in {of}");
            }
        }
        let last = Shard::new(u64::MAX - 1, u64::MAX).expect("the last of very many");
        assert_eq!(last.cases(u64::MAX).end, u64::MAX);
    }

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        let shard: Shard = "2/4".parse().expect("a shard");
        assert_eq!((shard, shard.to_string()), (Shard { index: 1, of: 4 }, "2/4".to_owned()));
        for wrong in ["", "2", "2/", "/4", "0/4", "5/4", "1/0", "0/0", "-1/4", "1/4/4", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
