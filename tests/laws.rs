//! `LAWS.md` says where each law is held, and every word of that is true: the kit's laws are the kit's, and
//! each test that is named exists and is a test.

mod pages;

use heaplaw_conformance::law;
use pages::{is_test, source};
use std::collections::BTreeMap;

/// How many laws there are.
const LAWS: u16 = 142;

/// What is wrong with a page; `source` gives the text of a file of the project.
fn complaints(page: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let kit: BTreeMap<u16, &str> =
        law::parallel::LAWS.iter().chain(law::all()).map(|law| (law.number, law.name)).collect();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        Some((cells.next()?.parse::<u16>().ok()?, cells.next()?, cells.next()?))
    });
    let rows: Vec<_> = rows.collect();
    let mut complaints = Vec::new();
    let numbers: Vec<u16> = rows.iter().map(|(number, _, _)| *number).collect();
    if numbers != (1..=LAWS).collect::<Vec<_>>() {
        complaints.push(format!("the page should list 1 to {LAWS} in order, and lists {numbers:?}"));
    }
    for (number, name, held) in rows {
        let complaint = match (kit.get(&number), held == "kit") {
            (Some(law), true) => (*law != name).then(|| format!("is called {law:?}, not {name:?}")),
            (Some(law), false) => Some(format!("is one of the kit: | {number} | {law} | kit |")),
            (None, true) => Some("is none of the kit".to_owned()),
            (None, false) if held.is_empty() => Some("nobody is named, and no reason".to_owned()),
            (None, false) => {
                let mut tests = held.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"));
                let missing = tests
                    .find(|(file, test)| !source(&format!("{file}.rs")).is_some_and(|source| is_test(&source, test)));
                missing.map(|(file, test)| format!("{file}.rs has no test {test}"))
            }
        };
        complaints.extend(complaint.map(|complaint| format!("law {number}: {complaint}")));
    }
    complaints
}

fn page() -> String {
    source("LAWS.md").expect("the page")
}

#[test]
fn the_page_says_where_each_law_is_held() {
    let complaints = complaints(&page(), source);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_page_that_is_not_true_is_noticed() {
    let page = page();
    let wrong = [
        ("| 1 | no overlap | kit |\n", "", "in order"),
        ("| 1 | no overlap | kit |", "| 1 | overlap | kit |", "is called"),
        ("| 41 | reuse | kit |", "| 41 | reuse | somebody |", "is one of the kit"),
        ("| 27 | magic division | ", "| 27 | magic division | kit |", "none of the kit"),
        ("blocks_that_do_not_tile_are_noticed", "blocks_tile", "has no test blocks_tile"),
        ("place/fit.rs::only_what", "place/fits.rs::only_what", "fits.rs has no test"),
    ];
    for (part, other, why) in wrong {
        assert!(page.contains(part), "{part}");
        let complaints = complaints(&page.replacen(part, other, 1), source);
        assert!(complaints.iter().any(|complaint| complaint.contains(why)), "{part}: {complaints:?}");
    }
    assert!(!is_test("#[test]\nfn a() {}\nfn b() {}\n", "b"), "a function that is no test");
}
