//! Known failures: laws that a heap is known to break, in a file `known.toml` that everybody can read.
//!
//! ```toml
//! [[known]]
//! law = 60
//! reason = "the last object of a page stays for a cycle more; our issue 12"
//! heap = "my-gc"          # as it names itself; any heap if this is left out
//! ```
//!
//! A listed law that is broken does not fail a run: it is shown as known, with its reason, and the programs are run
//! again without it, so that every one of them is judged by every other law. A listed law that holds over a whole run is
//! *stale*, which is an error: a list that nobody has to shorten would in the end excuse everything.

use crate::{
    campaign::{Breach, Campaign, Counterexample, End, Outcome, Tally, Watch},
    drive::Subject,
    law::Law,
    saved::{self, FileError},
};
use heaplaw_reference::{op::Program, text::ParseError};
use serde::Deserialize;
use std::{io, ops::Range, path::Path, time::Duration};

/// The file that is read if no other is named.
pub const FILE: &str = "known.toml";

/// A law that a heap is known to break.
#[derive(Clone, Debug)]
pub struct Known {
    /// The law.
    pub law: &'static Law,
    /// Why it is accepted for now.
    pub reason: String,
    /// The name of the heap; any if there is none.
    pub heap: Option<String>,
}

/// A known failure that did show.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The entry.
    pub known: Known,
    /// How it showed; not shrunk.
    pub counterexample: Counterexample,
    /// What was seen of the law before that.
    pub tally: Tally,
}

/// What came of a campaign with known failures.
#[derive(Clone, Debug)]
pub struct Excused {
    /// The campaign over all laws but those that were broken as known.
    pub outcome: Outcome,
    /// The known failures that showed.
    pub seen: Vec<Seen>,
    /// The known failures that the whole run did not show.
    pub stale: Vec<Known>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    known: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    law: toml::Spanned<u16>,
    reason: toml::Spanned<String>,
    heap: Option<String>,
}

/// Reads a list of known failures.
///
/// # Errors
/// If the file cannot be read, is [too long](saved::LONGEST), is not such a list, or names a law that does not exist;
/// then with the line and the column.
pub fn load(path: &Path) -> Result<Vec<Known>, FileError> {
    let text = String::from_utf8(saved::read(path, "list of known failures")?)
        .map_err(|error| FileError::Unreadable { path: path.to_owned(), source: io::Error::other(error) })?;
    parse(&text).map_err(|(at, message)| {
        let before = &text[..at.start.min(text.len())];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let error = ParseError {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message: message.trim_end().replace('\n', "; "),
        };
        let line = text[start..].lines().next().unwrap_or_default().to_owned();
        FileError::Malformed { path: path.to_owned(), error, line }
    })
}

/// The list that a text is, or where and why it is none.
fn parse(text: &str) -> Result<Vec<Known>, (Range<usize>, String)> {
    let list: List =
        toml::from_str(text).map_err(|error| (error.span().unwrap_or_default(), error.message().to_owned()))?;
    let mut all: Vec<Known> = Vec::new();
    for entry in list.known {
        let (at, number) = (entry.law.span(), entry.law.into_inner());
        let Some(law) = Law::numbered(number) else {
            return Err((at, format!("there is no law {number}; `heaplaw laws` lists them")));
        };
        if all.iter().any(|known| known.law.number == number && known.heap == entry.heap) {
            return Err((at, format!("law {number} is listed twice for the same heap")));
        }
        if entry.reason.get_ref().trim().is_empty() {
            return Err((entry.reason.span(), "a reason is needed: why may this law be broken?".to_owned()));
        }
        all.push(Known { law, reason: entry.reason.into_inner(), heap: entry.heap });
    }
    Ok(all)
}

/// Runs a campaign in which known failures are excused.
pub fn run(
    campaign: &Campaign,
    known: &[Known],
    subject: &mut dyn Subject,
    first: &[Program],
    watch: &mut dyn Watch,
) -> Excused {
    let mut campaign = campaign.clone();
    let mut seen = Vec::new();
    let mut elapsed = Duration::ZERO;
    loop {
        let mut outcome = campaign.run(subject, first, watch);
        elapsed += outcome.elapsed;
        campaign.time = campaign.time.map(|time| time.saturating_sub(outcome.elapsed));
        outcome.elapsed = elapsed;
        let name = outcome.claims.as_ref().map(|claims| claims.name.to_string());
        let here = |entry: &&Known| entry.heap.is_none() || entry.heap == name;
        let excuse = |number: u16| known.iter().filter(here).find(|entry| entry.law.number == number);
        let broken = match &outcome.end {
            End::Found(found) => match &found.breach {
                Breach::Law(law, _) => excuse(law.number).map(|entry| (entry.clone(), (**found).clone())),
                Breach::Failure(_) => None,
            },
            _ => None,
        };
        if let Some((known, counterexample)) = broken {
            campaign.laws.retain(|law| law.number != known.law.number);
            let tally = outcome.tallies.into_iter().find(|tally| tally.law.number == known.law.number);
            let tally = tally.unwrap_or(Tally { law: known.law, programs: 0, checks: 0 });
            seen.push(Seen { known, counterexample, tally });
            continue;
        }
        let held = outcome.tallies.iter().filter(|tally| tally.checks > 0);
        let stale = match outcome.end {
            End::Finished => held.filter_map(|tally| excuse(tally.law.number)).cloned().collect(),
            _ => Vec::new(),
        };
        return Excused { outcome, seen, stale };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::InProcess;
    use heaplaw_reference::{heap::Heap, machine::Machine, protocol::Protocol};

    #[test]
    fn a_list_is_read() {
        let text = "[[known]]\nlaw = 51\nreason = 'r'\nheap = 'h'\n[[known]]\nlaw = 51\nreason = 's'\n";
        let list = parse(text).expect("a list");
        assert_eq!((list[0].law.number, list[0].reason.as_str(), list[0].heap.as_deref()), (51, "r", Some("h")));
        assert_eq!((list[1].law.number, list[1].heap.as_deref()), (51, None));
        assert!(parse("").expect("an empty list").is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_list_is_placed() {
        let entry = |lines: &str| format!("[[known]]\n{lines}");
        let cases = [
            ("[[known]".to_owned(), 8, ""),
            (entry("law = 2000\nreason = 'r'\n"), 16, "there is no law 2000"),
            (entry("law = 51\nreason = ' '\n"), 28, "a reason is needed"),
            (entry("law = 51\n"), 0, "missing field `reason`"),
            (entry("law = 51\nreason = 'r'\nuntil = 'May'\n"), 32, "unknown field `until`"),
            (entry("law = 51\nreason = 'r'\n") + &entry("law = 51\nreason = 'r'\n"), 48, "law 51 is listed twice"),
        ];
        for (text, at, told) in cases {
            let (place, message) = parse(&text).expect_err(&text);
            assert!(place.start == at && message.contains(told), "{text:?}: {place:?} {message}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        let file = std::env::temp_dir().join(format!("heaplaw-known-{}.toml", std::process::id()));
        let load_of = |text: &[u8]| {
            std::fs::write(&file, text).expect("a file for the test");
            let list = load(&file).map_err(|error| error.to_string().replace(&file.display().to_string(), "FILE"));
            std::fs::remove_file(&file).expect("it goes");
            list.map(|list| list.iter().map(|known| known.law.number).collect::<Vec<_>>())
        };
        let entry = "[[known]]\nlaw = 51\nreason = 'r'\n";
        assert_eq!(load_of(entry.as_bytes()), Ok(vec![51]));
        let second = load_of(format!("{entry}\n[[known]]\nreason = 'r'\n  law = 2000\n").as_bytes());
        let told = "FILE:7:9: there is no law 2000; `heaplaw laws` lists them\n    law = 2000\n          ^";
        assert_eq!(second, Err(told.to_owned()));
        let first = load_of(b"x");
        assert!(first.as_ref().is_err_and(|error| error.starts_with("FILE:1:2: ")), "{first:?}");
        assert!(load_of(b"\xff").is_err_and(|error| error.starts_with("FILE: invalid utf-8")));
        assert!(load(&file).is_err(), "it is gone");
    }

    fn listed(number: u16, heap: Option<&str>) -> Known {
        let law = Law::numbered(number).expect("a law");
        Known { law, reason: "r".to_owned(), heap: heap.map(str::to_owned) }
    }

    /// A campaign on this design; the laws that were seen broken, those that are stale, and whether a law is broken that
    /// is not excused.
    fn excused(protocol: Protocol, known: &[Known], time: Option<Duration>) -> (Vec<Seen>, Vec<u16>, Option<u16>) {
        let laws = [51, 52, 53, 123].into_iter().filter_map(Law::numbered).collect();
        let campaign = Campaign { seed: 1, cases: 300, laws, time, ..Campaign::default() };
        let mut subject = InProcess::new(|| Machine::new(protocol));
        let Excused { outcome, seen, stale } = run(&campaign, known, &mut subject, &[], &mut ());
        assert!(outcome.elapsed > Duration::ZERO || time.is_some());
        let broken = match outcome.end {
            End::Found(found) => match found.breach {
                Breach::Law(law, _) => Some(law.number),
                Breach::Failure(failure) => panic!("{failure}"),
            },
            _ => None,
        };
        let left: Vec<_> = outcome.tallies.iter().map(|tally| tally.law.number).collect();
        assert!(seen.iter().all(|seen| !left.contains(&seen.known.law.number)), "{left:?}");
        (seen, stale.iter().map(|known| known.law.number).collect(), broken)
    }

    #[test]
    fn what_is_known_is_excused_on_the_heap_that_it_is_known_of() {
        let name = Machine::new(Protocol::NO_BARRIER).claims().name;
        let both = [listed(51, None), listed(52, Some(&name))];
        let (seen, stale, broken) = excused(Protocol::NO_BARRIER, &both, None);
        let mut numbers: Vec<_> = seen.iter().map(|seen| seen.known.law.number).collect();
        numbers.sort_unstable();
        assert_eq!((numbers, stale, broken), (vec![51, 52], vec![], None));
        for Seen { known, counterexample, tally } in &seen {
            assert!(matches!(&counterexample.breach, Breach::Law(law, _) if law.number == known.law.number));
            assert_eq!(tally.law.number, known.law.number);
            assert!(counterexample.case.is_some_and(|case| case < 300));
        }
        assert!(seen.iter().any(|seen| seen.tally.checks > 0));
        let (seen, _, broken) = excused(Protocol::NO_BARRIER, &[listed(51, Some("other")), listed(52, None)], None);
        assert!(broken == Some(51) && seen.iter().all(|seen| seen.known.law.number == 52));
        assert!(excused(Protocol::NO_BARRIER, &[], None).2.is_some());
    }

    #[test]
    fn what_holds_to_the_end_is_stale_if_it_was_looked_at() {
        // The strong invariant is nothing that this design claims, and law 1 is not judged.
        let known = [listed(51, None), listed(52, Some("other")), listed(53, None), listed(1, None)];
        let (seen, stale, broken) = excused(Protocol::HYBRID, &known, None);
        assert_eq!((seen.len(), stale, broken), (0, vec![51], None));
        assert_eq!(excused(Protocol::HYBRID, &known, Some(Duration::ZERO)).1, [0; 0], "it did not come to the end");
    }
}
