//! `heaplaw merge`: what the shards of a campaign come to together, and what of it was not run.

use super::{Exit, Trouble, shard::range};
use crate::{
    campaign::Outcome,
    law::Law,
    report::text::{self, counted, grouped},
    shard::journal::{Found, Identity, Pieces},
};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// The directories that `heaplaw check --dir` has left, from one machine or many
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Write all of it to a new directory, as one run would have
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Fail if a goal was not reached: a situation that the programs should have brought about
    #[arg(long)]
    goals: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    let mut all: Option<Identity> = None;
    let mut pieces = Pieces::default();
    for dir in &options.dirs {
        let here = Identity::read(dir)?.ok_or_else(|| {
            Trouble::Usage(format!("{}: nothing was run here with `heaplaw check --dir`", dir.display()))
        })?;
        if let Some(other) = all.as_ref().filter(|other| **other != here) {
            let (dir, first) = (dir.display(), options.dirs[0].display());
            let difference = here.difference(other);
            return Err(Trouble::Usage(format!("{dir}: this is another campaign than that of {first}: {difference}")));
        }
        pieces.add(dir, &here)?;
        all = Some(here);
    }
    let Some(campaign) = all else { return Err(Trouble::Usage("no directory is named".to_owned())) };
    if let Some(into) = &options.into {
        pieces.write(into, &campaign)?;
    }
    let outcome = pieces.outcome(&campaign);
    let gaps = pieces.gaps(0..campaign.cases());
    let exit = exit(options, &campaign, &pieces, &outcome, !gaps.is_empty());
    anstream::print!("{}", text::banner(&campaign.claims()));
    let torn = match pieces.torn as u64 {
        0 => String::new(),
        n => format!(", {} in the middle of a line", counted(n, "end")),
    };
    let journals = counted(pieces.journals as u64, "journal");
    let seed = campaign.seed();
    anstream::println!("seed {seed:#x}   {} in {journals}{torn}\n", range(&(0..campaign.cases())));
    anstream::print!("{}{}", text::table(&outcome, false), text::goals(&outcome));
    for law in pieces.blocks().flat_map(|block| block.known()).collect::<std::collections::BTreeSet<_>>() {
        anstream::println!("  law {law} is broken, as is known");
    }
    for cases in &pieces.unlike {
        anstream::println!("  {} were run more than once, and not alike; the first counts", range(cases));
    }
    for found in &pieces.found {
        tell(found, &campaign);
    }
    for law in pieces.stale(&campaign) {
        anstream::println!("  {law:?} holds, but is listed as known");
    }
    for cases in &gaps {
        anstream::println!("  NOT RUN: {} ({} of them)", range(cases), grouped(cases.end - cases.start));
    }
    let missing: u64 = gaps.iter().map(|cases| cases.end - cases.start).sum();
    let result = match exit {
        Exit::Conforms => {
            let held = outcome.tallies.iter().filter(|tally| tally.checks > 0).count();
            format!("conforms to {}", counted(held as u64, "law"))
        }
        Exit::Incomplete => format!("{} not run; a `check` with the same --dir goes on", counted(missing, "case")),
        Exit::Stale => "a law that is listed as a known failure holds; take it off the list".to_owned(),
        Exit::Unreached => "no law is broken, but a goal was not reached".to_owned(),
        Exit::NothingRan => "nothing was judged: no program ran, or no law applies".to_owned(),
        _ => "something is wrong; the others are as far as the runs went".to_owned(),
    };
    let (programs, operations) = (counted(outcome.programs, "program"), counted(outcome.performed, "operation"));
    anstream::println!("\n{programs}, {operations}: {result} (exit {})", exit as i32);
    Ok(exit)
}

/// What is wrong counts before what is missing, and that before anything that can be said only of all.
fn exit(options: &Options, campaign: &Identity, pieces: &Pieces, outcome: &Outcome, gaps: bool) -> Exit {
    if pieces.found.iter().any(|found| found.law.is_some()) {
        Exit::Counterexample
    } else if !pieces.found.is_empty() {
        Exit::Crashed
    } else if gaps {
        Exit::Incomplete
    } else if !pieces.stale(campaign).is_empty() {
        Exit::Stale
    } else if outcome.tallies.iter().all(|tally| tally.checks == 0) {
        Exit::NothingRan
    } else if options.goals && !outcome.coverage.unreached(&campaign.claims()).is_empty() {
        Exit::Unreached
    } else {
        Exit::Conforms
    }
}

fn tell(found: &Found, campaign: &Identity) {
    let what = match found.law.and_then(Law::numbered) {
        Some(law) => format!("{law:?}: {}", found.why),
        None => found.why.clone(),
    };
    let again = found.case.map_or(String::new(), |case| {
        let (seed, ops) = (campaign.seed(), campaign.ops());
        format!(" with {}: --seed {seed:#x} --ops {ops} --from {case} --cases 1", range(&(case..case + 1)))
    });
    anstream::println!("  FOUND{again}\n    {what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Campaign;
    use heaplaw_reference::heap::{Capability, Claims};

    #[test]
    fn what_is_wrong_counts_before_what_is_missing() {
        let claims = Claims::new("x").with(&[Capability::Collect, Capability::Steps, Capability::Phases]);
        let identity = Identity::of(&Campaign { cases: 100, ..Campaign::default() }, &claims, &[]);
        let found = |laws: &[Option<u16>]| {
            let mut pieces = Pieces::default();
            pieces.found.extend(laws.iter().map(|law| Found { case: None, law: *law, why: String::new() }));
            pieces
        };
        let exit = |goals, pieces: &Pieces, checks, gaps| {
            let mut outcome = pieces.outcome(&identity);
            outcome.tallies[0].checks = checks;
            exit(&Options { dirs: Vec::new(), into: None, goals }, &identity, pieces, &outcome, gaps)
        };
        assert_eq!(exit(true, &found(&[None, Some(51)]), 0, true), Exit::Counterexample);
        assert_eq!(exit(true, &found(&[None]), 0, true), Exit::Crashed);
        assert_eq!(exit(true, &found(&[]), 0, true), Exit::Incomplete);
        assert_eq!(exit(true, &found(&[]), 0, false), Exit::NothingRan);
        assert_eq!(exit(true, &found(&[]), 1, false), Exit::Unreached);
        assert_eq!(exit(false, &found(&[]), 1, false), Exit::Conforms);
        let mut outcome = found(&[]).outcome(&identity);
        outcome.tallies[0].checks = 1;
        crate::goals::ALL.iter().for_each(|goal| outcome.coverage.add_count(goal.id, 1));
        let options = Options { dirs: Vec::new(), into: None, goals: true };
        assert_eq!(super::exit(&options, &identity, &found(&[]), &outcome, false), Exit::Conforms);
    }
}
