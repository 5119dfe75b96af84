//! The seeded bugs still apply: each edit finds its text exactly once. Whether they are caught, `heaplaw teeth --mutants`
//! says.

use heaplaw_conformance::{
    law::Law,
    mutants::{Catalogue, Level},
};
use std::{collections::HashSet, fs, path::Path};

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
