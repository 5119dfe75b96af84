//! Which part of a campaign this machine has: `--shard`, or what says so among those that start one command many times.
//!
//! The environment is only asked when there is a `--dir`: what a shard leaves there can be put together, and `heaplaw merge`
//! says what is missing. Without one, a run that does a quarter of what it was asked to would go unnoticed.

use super::{Trouble, check};
use crate::{report::text::grouped, shard::Shard};
use std::{env, ffi::OsString, fs, ops::Range};

/// A shard, and who said that it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) shard: Shard,
    /// `--shard`, or a scheduler; none if nobody said anything, and all is to be run.
    by: Option<&'static str>,
}

/// Who starts one command many times, and in which variables he says which time it is.
struct Scheduler {
    name: &'static str,
    index: &'static str,
    of: &'static str,
    /// What the first has for an index, or the variable that has it.
    first: First,
}

enum First {
    Is(u64),
    /// The variable with the first index, and that with the distance to the next.
    In(&'static str, &'static str),
}

const SCHEDULERS: [Scheduler; 6] = [
    // An array need not begin at 0.
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        of: "SLURM_ARRAY_TASK_COUNT",
        first: First::In("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    },
    // An indexed job does not say how many pods it has; its manifest has to.
    Scheduler { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", of: "HEAPLAW_SHARDS", first: First::Is(0) },
    Scheduler { name: "Bazel", index: "TEST_SHARD_INDEX", of: "TEST_TOTAL_SHARDS", first: First::Is(0) },
    Scheduler {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        of: "BUILDKITE_PARALLEL_JOB_COUNT",
        first: First::Is(0),
    },
    Scheduler { name: "CircleCI", index: "CIRCLE_NODE_INDEX", of: "CIRCLE_NODE_TOTAL", first: First::Is(0) },
    Scheduler { name: "GitLab", index: "CI_NODE_INDEX", of: "CI_NODE_TOTAL", first: First::Is(1) },
];

impl Scheduler {
    /// The shard that he means, if he has started this.
    fn shard(&self, get: &impl Fn(&str) -> Option<OsString>) -> Result<Option<Shard>, String> {
        let number = |name: &str| match get(name) {
            None => Ok(None),
            Some(text) => match text.to_str().and_then(|text| text.parse::<u64>().ok()) {
                None => Err(format!("{}: {name} is not a number: {text:?}", self.name)),
                number => Ok(number),
            },
        };
        let Some(index) = number(self.index)? else { return Ok(None) };
        let Some(of) = number(self.of)? else {
            return Err(format!(
                "{}: {} is set, and {} is not; say --shard, or set it",
                self.name, self.index, self.of
            ));
        };
        let (first, step) = match self.first {
            First::Is(first) => (first, 1),
            First::In(first, step) => (number(first)?.unwrap_or_default(), number(step)?.unwrap_or(1).max(1)),
        };
        let place = index.checked_sub(first).filter(|distance| distance % step == 0).map(|distance| distance / step);
        let shard = place.and_then(|place| Shard::new(place, of));
        let wrong = || format!("{}: {} {index} is none of {of} shards; say --shard", self.name, self.index);
        shard.map(Some).ok_or_else(wrong)
    }
}

/// What the environment says.
fn of_environment(get: impl Fn(&str) -> Option<OsString>) -> Result<Option<(Shard, &'static str)>, String> {
    let mut told: Option<(Shard, &'static str)> = None;
    for scheduler in SCHEDULERS {
        // One that starts a single one, as some always do, says nothing.
        let Some(shard) = scheduler.shard(&get)?.filter(|shard| *shard != Shard::WHOLE) else { continue };
        if let Some((_, other)) = told {
            return Err(format!("both {other} and {} say which shard this is; say --shard", scheduler.name));
        }
        told = Some((shard, scheduler.name));
    }
    Ok(told)
}

/// The part that is meant.
pub(super) fn part(options: &check::Options) -> Result<Part, Trouble> {
    if let Some(shard) = options.shard {
        return Ok(Part { shard, by: Some("--shard") });
    }
    if options.dir.is_none() {
        return Ok(Part { shard: Shard::WHOLE, by: None });
    }
    if let Some(file) = env::var_os("TEST_SHARD_STATUS_FILE") {
        // Bazel wants to be told that it has been understood.
        fs::write(&file, "").map_err(|source| Trouble::Write { path: file.into(), source })?;
    }
    let told = of_environment(|name| env::var_os(name)).map_err(Trouble::Usage)?;
    Ok(told.map_or(Part { shard: Shard::WHOLE, by: None }, |(shard, by)| Part { shard, by: Some(by) }))
}

impl Part {
    /// What is told of it at the start, if it is not all.
    pub(super) fn told(&self, cases: &Range<u64>) -> String {
        match self.by {
            None => String::new(),
            Some(by) => format!("   shard {} by {by}, {}", self.shard, range(cases)),
        }
    }
}

/// Cases in words.
pub(super) fn range(cases: &Range<u64>) -> String {
    match cases.end - cases.start {
        0 => "no cases".to_owned(),
        1 => format!("case {}", grouped(cases.start)),
        _ => format!("cases {} to {}", grouped(cases.start), grouped(cases.end - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Result<Option<(String, &'static str)>, String> {
        let get = |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| OsString::from(value));
        Ok(of_environment(get)?.map(|(shard, by)| (shard.to_string(), by)))
    }

    #[test]
    fn every_scheduler_is_understood() {
        let slurm = |id, min, step| {
            told(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", "4"),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
            ])
        };
        assert_eq!(slurm("0", "0", "1"), Ok(Some(("1/4".to_owned(), "Slurm"))));
        assert_eq!(slurm("4", "1", "1"), Ok(Some(("4/4".to_owned(), "Slurm"))));
        assert_eq!(slurm("14", "10", "2"), Ok(Some(("3/4".to_owned(), "Slurm"))));
        assert!(slurm("7", "0", "1").is_err_and(|why| why.contains("none of 4 shards; say --shard")));
        assert!(slurm("13", "10", "2").is_err());
        let from_0 = [
            ("Kubernetes", "JOB_COMPLETION_INDEX", "HEAPLAW_SHARDS"),
            ("Bazel", "TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS"),
            ("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT"),
            ("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL"),
        ];
        for (name, index, of) in from_0 {
            assert_eq!(told(&[(index, "0"), (of, "3")]), Ok(Some(("1/3".to_owned(), name))));
            assert_eq!(told(&[(index, "2"), (of, "3")]), Ok(Some(("3/3".to_owned(), name))));
            assert!(told(&[(index, "3"), (of, "3")]).is_err(), "{name}");
            assert!(told(&[(index, "2")]).is_err_and(|why| why.contains(of)), "{name}");
            assert!(told(&[(index, "two"), (of, "3")]).is_err_and(|why| why.contains("not a number")), "{name}");
        }
        assert_eq!(told(&[("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "3")]), Ok(Some(("3/3".to_owned(), "GitLab"))));
        assert!(told(&[("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "3")]).is_err());
    }

    #[test]
    fn who_starts_one_says_nothing_and_two_who_start_many_say_too_much() {
        assert_eq!(told(&[]), Ok(None));
        assert_eq!(told(&[("CI_NODE_TOTAL", "1")]), Ok(None), "as GitLab does without `parallel`");
        assert_eq!(told(&[("CIRCLE_NODE_INDEX", "0"), ("CIRCLE_NODE_TOTAL", "1")]), Ok(None));
        let both = [
            ("CIRCLE_NODE_INDEX", "0"),
            ("CIRCLE_NODE_TOTAL", "2"),
            ("TEST_SHARD_INDEX", "1"),
            ("TEST_TOTAL_SHARDS", "4"),
        ];
        assert!(told(&both).is_err_and(|why| why.contains("both Bazel and CircleCI")));
    }

    #[test]
    fn cases_are_told_as_they_are_counted() {
        assert_eq!([range(&(0..0)), range(&(7..8)), range(&(0..1_250))], ["no cases", "case 7", "cases 0 to 1,249"]);
    }

    #[test]
    fn a_part_is_told_with_whoever_named_it() {
        let part = |by| Part { shard: Shard::new(1, 4).expect("a shard"), by };
        assert_eq!(part(Some("--shard")).told(&(250..500)), "   shard 2/4 by --shard, cases 250 to 499");
        assert_eq!(part(None).told(&(0..500)), "");
    }
}
