//! Detection power: how many of the bugs whose fate is known a run like this one finds.
//!
//! A green run says nothing of how hard it looked. `heaplaw teeth` has measured after how many programs each bug of the
//! catalogue is found, and by which laws ([`Detections`]); a run of as many programs, judged by those laws, finds it again.
//! Programs are compared and not seconds, since a program is the same on every machine.
//!
//! It is the least that can be said: a bug counts only if every seed that was measured caught it, each by a law of this
//! run, and the slowest in no more programs than this run had.

use super::detections::{Detections, Part, Row, SHOWS_ALWAYS};
use crate::report::text::grouped;
use std::collections::BTreeSet;

/// What becomes of a bug in such a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Found,
    /// Some seed needed more programs.
    TooFewPrograms,
    /// Some seed caught it by a law that this run has not judged.
    OtherLaws,
    /// Some seed did not catch it.
    NotByAll,
}

fn fate(row: &Row, seeds: u64, programs: u64, laws: &BTreeSet<u16>) -> Fate {
    let judged = |by: &String| SHOWS_ALWAYS.contains(&by.as_str()) || by.parse().is_ok_and(|law| laws.contains(&law));
    match row.programs {
        _ if row.caught < seeds || seeds == 0 => Fate::NotByAll,
        _ if !row.by.iter().all(judged) => Fate::OtherLaws,
        Some((_, most)) if most <= programs => Fate::Found,
        _ => Fate::TooFewPrograms,
    }
}

/// What a run of so many programs finds, in which these laws have been judged: a line, or nothing without data.
pub(super) fn told(measured: &Detections, programs: u64, laws: &BTreeSet<u16>) -> String {
    let fates = |part: &Option<Part>| -> Vec<Fate> {
        let rows = part.iter().flat_map(|part| part.bugs.iter().map(|row| (row, part.seeds)));
        rows.map(|(row, seeds)| fate(row, seeds, programs, laws)).collect()
    };
    let (seeded, wrong) = (fates(&measured.seeded), fates(&measured.wrong));
    if seeded.is_empty() || wrong.is_empty() {
        return String::new();
    }
    let count = |fates: &[Fate], wanted| fates.iter().filter(|fate| **fate == wanted).count();
    let found = |fates: &[Fate]| format!("{} of {}", count(fates, Fate::Found), fates.len());
    let missed = [
        (Fate::OtherLaws, "by other laws"),
        (Fate::TooFewPrograms, "with more programs"),
        (Fate::NotByAll, "not with every seed"),
    ];
    let missed = missed.map(|(fate, how)| (count(&seeded, fate), how));
    let missed: Vec<_> = missed.iter().filter(|(n, _)| *n > 0).map(|(n, how)| format!("{n} {how}")).collect();
    let others = if missed.is_empty() { String::new() } else { format!(" (the others: {})", missed.join(", ")) };
    format!(
        "  power: {} programs and these laws find at least {} bugs seeded into the optimized heap{others}, and {} wrong heaps\n",
        grouped(programs),
        found(&seeded),
        found(&wrong),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(by: &[&str], caught: u64, most: u64) -> Row {
        Row {
            bug: "bug".to_owned(),
            what: "It is wrong.".to_owned(),
            by: by.iter().map(|by| (*by).to_owned()).collect(),
            caught,
            programs: Some((1, most)),
            milliseconds: None,
        }
    }

    #[test]
    fn a_bug_counts_if_every_seed_found_it_in_no_more_programs_by_laws_of_this_run() {
        let laws = BTreeSet::from([51, 54]);
        let of = |row: Row, programs| fate(&row, 3, programs, &laws);
        assert_eq!(of(row(&["51"], 3, 100), 100), Fate::Found);
        assert_eq!(of(row(&["51"], 3, 100), 99), Fate::TooFewPrograms);
        assert_eq!(of(row(&["51"], 2, 100), 100), Fate::NotByAll);
        assert_eq!(of(row(&["51", "52"], 3, 100), 100), Fate::OtherLaws);
        assert_eq!(of(row(&["54", "crash", "hang"], 3, 100), 100), Fate::Found);
        assert_eq!(of(Row { programs: None, ..row(&["51"], 3, 0) }, 100), Fate::TooFewPrograms);
        assert_eq!(fate(&row(&[], 0, 1), 0, 100, &laws), Fate::NotByAll, "nothing was measured");
    }

    #[test]
    fn fewer_programs_fewer_laws_and_fewer_seeds_find_less() {
        let seeded = vec![row(&["51"], 3, 10), row(&["54"], 3, 1_000), row(&["51"], 2, 1)];
        let part = |bugs| Some(Part::of(3, bugs));
        let measured = Detections { seeded: part(seeded), wrong: part(vec![row(&["54"], 3, 10)]) };
        let told = |programs, laws: &[u16]| told(&measured, programs, &laws.iter().copied().collect());
        let says = |programs, seeded, wrong| {
            format!("  power: {programs} programs and these laws find at least {seeded}, and {wrong} wrong heaps\n")
        };
        let heap = "bugs seeded into the optimized heap (the others:";
        let all = format!("2 of 3 {heap} 1 not with every seed)");
        assert_eq!(told(1_000, &[51, 54]), says("1,000", &*all, "1 of 1"));
        let fewer = format!("1 of 3 {heap} 1 with more programs, 1 not with every seed)");
        assert_eq!(told(999, &[51, 54]), says("999", &*fewer, "1 of 1"));
        let laws = format!("1 of 3 {heap} 1 by other laws, 1 not with every seed)");
        assert_eq!(told(1_000, &[51]), says("1,000", &*laws, "0 of 1"));
        let none = super::told(&Detections::default(), 1_000, &BTreeSet::from([51]));
        assert_eq!(none, "", "nothing was measured, and nothing is said");
        let half = Detections { seeded: part(vec![row(&["51"], 3, 10)]), wrong: None };
        assert_eq!(super::told(&half, 1_000, &BTreeSet::from([51])), "", "of the others nothing is known");
    }

    #[test]
    fn the_data_that_are_kept_make_a_difference() {
        let all: BTreeSet<u16> = crate::law::all().map(|law| law.number).collect();
        let found = |programs, laws: &BTreeSet<u16>| {
            let part = Detections::kept().seeded.expect("bugs were measured");
            part.bugs.iter().filter(|row| fate(row, part.seeds, programs, laws) == Fate::Found).count()
        };
        let (few, many) = (found(10, &all), found(30_000, &all));
        assert!(0 < few && few < many, "{few} in 10 programs, {many} in 30,000");
        let alone = found(30_000, &BTreeSet::from([51]));
        assert!(0 < alone && alone < many, "{alone} by law 51, {many} by all");
    }
}
