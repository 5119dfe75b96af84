//! `BUGS.md` lists real bugs and says what sees each of them here: every edit, design, twin and test that it names is there.

mod pages;

use heaplaw_conformance::mutants::{Catalogue, Level};
use heaplaw_reference::{protocol::TABLE, termination::Rule};
use pages::{is_test, source};
use std::{collections::BTreeSet, path::Path};

/// The tables of the page.
fn tables(page: &str) -> impl Iterator<Item = &str> {
    page.split("| bug | what broke | seen here by |").skip(1)
}

/// The rows of a table: what the bug is called, what broke, and by what it is seen.
fn rows(table: &str) -> impl Iterator<Item = [&str; 3]> {
    table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let row = [cells.next()?, cells.next()?, cells.next()?];
        (!row[0].starts_with('-')).then_some(row)
    })
}

/// What can be named.
struct Known {
    seeded: BTreeSet<String>,
    explored: BTreeSet<&'static str>,
    twins: BTreeSet<String>,
}

impl Known {
    fn new() -> Known {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let seeded = Level::ALL.map(|level| Catalogue::of(&root.join(level.krate())).expect("a catalogue").mutant);
        let designs = TABLE.iter().map(|row| (row.protocol.name, row.protocol.sound));
        let rules = Rule::ALL.iter().map(|rule| (rule.name, rule.sound));
        let twins = source("optimized/src/twin.rs").expect("the twins");
        let twins = twins.split("Twin::").skip(1).map(|rest| {
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            format!("Twin::{name}")
        });
        Known {
            seeded: seeded.into_iter().flatten().map(|mutant| mutant.name).collect(),
            explored: designs.chain(rules).filter(|(_, sound)| !sound).map(|(name, _)| name).collect(),
            twins: twins.collect(),
        }
    }

    /// Whether something of this name is there.
    fn has(&self, name: &str) -> bool {
        match name.split_once(".rs::") {
            Some((file, test)) => source(&format!("{file}.rs")).is_some_and(|source| is_test(&source, test)),
            None => self.seeded.contains(name) || self.explored.contains(name) || self.twins.contains(name),
        }
    }

    /// What is wrong with the page.
    fn complaints(&self, page: &str) -> Vec<String> {
        let (mut complaints, mut bugs) = (Vec::new(), BTreeSet::new());
        for [bug, broke, seen] in tables(page).flat_map(rows) {
            if broke.is_empty() || !bugs.insert(bug) {
                complaints.push(format!("{bug} is listed twice, or it is not said what broke"));
            }
            let names: Vec<_> = seen.split('`').skip(1).step_by(2).collect();
            if names.is_empty() && !seen.starts_with("cannot be: ") {
                complaints.push(format!("{bug} is seen by nothing, and no reason is given"));
            }
            complaints
                .extend(names.iter().filter(|name| !self.has(name)).map(|name| format!("{bug}: there is no {name}")));
        }
        complaints
    }
}

#[test]
fn every_bug_is_seen_by_something_that_is_there() {
    let page = source("BUGS.md").expect("the page");
    let complaints = Known::new().complaints(&page);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(tables(&page).map(|table| rows(table).count()).collect::<Vec<_>>(), [69, 80], "every bug of the list");
    let seen = |table| rows(table).filter(|row| !row[2].starts_with("cannot be: ")).count();
    assert!(tables(&page).map(seen).sum::<usize>() >= 130, "most of them can be made here");
}

#[test]
fn a_name_that_leads_nowhere_is_noticed() {
    let (page, known) = (source("BUGS.md").expect("the page"), Known::new());
    let wrong = [
        ("`xfer-unshaded`", "`xfer-shaded`", "no xfer-shaded"),
        ("`hybrid-write-first`", "`hybrid`", "no hybrid"),
        ("`Twin::Arming`", "`Twin::Disarming`", "no Twin::Disarming"),
        ("::a_relaxed_pop_sees_nothing", "::a_pop", "::a_pop"),
        ("| seeded `sweep-stale-count` |", "| |", "by nothing"),
        ("| sweep_stale_count |", "| sweep_skips_full_spans |", "twice"),
        // Of the second table.
        ("`checkmark-of-roots-alone`", "`checkmark-of-stacks`", "no checkmark-of-stacks"),
        ("| seeded `total-overwritten` |", "| |", "by nothing"),
        ("| total_overwritten |", "| wb_missing_fastpath |", "twice"),
    ];
    for (part, other, why) in wrong {
        assert!(page.contains(part), "{part}");
        let complaints = known.complaints(&page.replacen(part, other, 1));
        assert!(complaints.iter().any(|complaint| complaint.contains(why)), "{part}: {complaints:?}");
    }
}
