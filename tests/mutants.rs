//! The seeded bugs still apply: each edit finds its text exactly once. Whether they are caught, `heaplaw teeth --mutants`
//! says; and what it said of each last time, the data that the kit carries with it.

use heaplaw_conformance::{
    law::Law,
    mutants::{Catalogue, Level},
};
use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
};

#[test]
fn every_seeded_bug_applies_to_the_source_as_it_is() {
    let mut names = HashSet::new();
    for level in Level::ALL {
        let krate = Path::new(env!("CARGO_MANIFEST_DIR")).join(level.krate());
        for mutant in Catalogue::of(&krate).expect("a catalogue").mutant {
            let text = fs::read_to_string(krate.join(&mutant.file)).expect("the file");
            let edited = mutant.edit(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(edited, text, "{} changes nothing", mutant.name);
            assert!(!mutant.caught_by.is_empty() && mutant.caught_by.iter().all(|law| Law::numbered(*law).is_some()));
            assert!(names.insert(mutant.name.clone()), "two seeded bugs are called {}", mutant.name);
        }
    }
}

/// What is wrong with data that should be about exactly these bugs.
fn unlike(data: &str, bugs: &BTreeSet<String>) -> Vec<String> {
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    let rows = data["seeded"]["bugs"].as_array().expect("a list of bugs");
    let there: Vec<_> = rows.iter().map(|row| row["bug"].as_str().expect("a name").to_owned()).collect();
    let missing = bugs.iter().filter(|bug| !there.contains(bug)).map(|bug| format!("{bug} is missing"));
    let unknown = there.iter().filter(|bug| !bugs.contains(*bug)).map(|bug| format!("{bug} is no seeded bug"));
    let twice = there.iter().enumerate().filter(|(at, bug)| there[..*at].contains(bug));
    missing.chain(unknown).chain(twice.map(|(_, bug)| format!("{bug} is there twice"))).collect()
}

#[test]
fn the_data_of_what_is_caught_are_about_every_seeded_bug_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = fs::read_to_string(root.join("conformance/detections.json")).expect("the data");
    let catalogue = Catalogue::of(&root.join(Level::Heap.krate())).expect("a catalogue");
    let bugs = catalogue.mutant.into_iter().map(|mutant| mutant.name).collect();
    let unlike = unlike(&data, &bugs);
    assert!(unlike.is_empty(), "measure again, see README.md: {unlike:?}");
}

#[test]
fn data_about_other_bugs_are_noticed() {
    let data = |bugs: &[&str]| {
        let rows: Vec<_> = bugs.iter().map(|bug| format!("{{\"bug\": \"{bug}\"}}")).collect();
        format!("{{\"seeded\": {{\"bugs\": [{}]}}}}", rows.join(", "))
    };
    let bugs = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    assert!(unlike(&data(&["two", "one"]), &bugs).is_empty());
    assert_eq!(unlike(&data(&["one"]), &bugs), ["two is missing"]);
    assert_eq!(unlike(&data(&["one", "two", "three"]), &bugs), ["three is no seeded bug"]);
    assert_eq!(unlike(&data(&["one", "two", "one"]), &bugs), ["one is there twice"]);
}
