//! What is caught, by which laws, and after how many programs: what `heaplaw teeth --table` writes down.
//!
//! There are two files in the directory, of the same content: [`DATA`] for programs and [`PAGE`] for people. Bugs seeded
//! into the optimized heap and heaps that are wrong on purpose are written by runs of their own, each of which leaves the
//! other part as it is. The kit carries its own data with it ([`Detections::kept`]), so that `heaplaw check` can say what
//! a run as long as it would have caught (`power.rs`).

use super::Trouble;
use crate::{report::text::counted, saved};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write as _,
    fs, io,
    num::NonZero,
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

/// The data.
const DATA: &str = "detections.json";

/// The page.
const PAGE: &str = "DETECTIONS.md";

/// Everything that was measured.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detections {
    /// Bugs seeded into the source of the optimized heap.
    pub(super) seeded: Option<Part>,
    /// Heaps that are wrong on purpose.
    pub(super) wrong: Option<Part>,
}

/// What one run of `heaplaw teeth` measured.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The day, as `2026-01-31`.
    pub(super) written: String,
    /// The version of this kit.
    pub(super) heaplaw: String,
    /// The compiler.
    pub(super) toolchain: String,
    /// The processor's name.
    pub(super) processor: String,
    /// How many of them.
    pub(super) processors: u64,
    /// How many campaigns each bug was put to.
    pub(super) seeds: u64,
    /// The bugs.
    pub(super) bugs: Vec<Row>,
}

/// One bug, put to campaigns of several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) bug: String,
    /// What is wrong, in a sentence.
    pub(super) what: String,
    /// What caught it: laws, by their numbers, [a crash or a hang](SHOWS_ALWAYS).
    pub(super) by: Vec<String>,
    /// How many seeds caught it, by a law that was to.
    pub(super) caught: u64,
    /// Programs until it was found: the median and the most.
    pub(super) programs: Option<(u64, u64)>,
    /// The median time until it was found.
    pub(super) milliseconds: Option<f64>,
}

/// What is noticed whatever laws are judged.
pub(super) const SHOWS_ALWAYS: [&str; 2] = ["crash", "hang"];

/// A time as a row has it, to a tenth.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

impl Part {
    /// What was measured here and now.
    pub(super) fn of(seeds: u64, bugs: Vec<Row>) -> Part {
        let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        Part {
            written: today.split('T').next().unwrap_or_default().to_owned(),
            heaplaw: env!("CARGO_PKG_VERSION").to_owned(),
            toolchain: String::from_utf8_lossy(&rustc).trim().to_owned(),
            processor: model
                .map_or(std::env::consts::ARCH, |model| model.trim_start_matches(['\t', ' ', ':']))
                .to_owned(),
            processors: thread::available_parallelism().map_or(1, NonZero::get) as u64,
            seeds,
            bugs,
        }
    }

    /// The same, with what was measured again of some of its bugs, by as many campaigns.
    pub(super) fn with(mut self, again: Part) -> Part {
        for row in again.bugs {
            match self.bugs.iter_mut().find(|there| there.bug == row.bug) {
                Some(there) => *there = row,
                None => self.bugs.push(row),
            }
        }
        Part { bugs: self.bugs, ..again }
    }
}

impl Detections {
    /// What was measured last of this kit and its optimized heap.
    ///
    /// # Panics
    /// If the file that was built in is no such data.
    pub(super) fn kept() -> Detections {
        serde_json::from_str(include_str!("../../detections.json")).expect("a test reads it")
    }

    /// What is in a directory; nothing, if there is no such file.
    pub(super) fn read(dir: &Path) -> Result<Detections, Trouble> {
        let path = dir.join(DATA);
        let why = |why: &dyn std::fmt::Display| Trouble::Usage(format!("{}: {why}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| why(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Detections::default()),
            Err(error) => Err(why(&error)),
        }
    }

    /// Writes both files.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Trouble> {
        for (name, text) in [(DATA, self.data()), (PAGE, self.page())] {
            let path = dir.join(name);
            saved::write_whole(&path, &text).map_err(|source| Trouble::Write { path, source })?;
        }
        Ok(())
    }

    /// As JSON, with a line for each bug.
    fn data(&self) -> String {
        let text = serde_json::to_string(self).expect("nothing in it cannot be written");
        // Within a string there would be a backslash before the quotation mark.
        text.replace("{\"bug\"", "\n{\"bug\"") + "\n"
    }

    /// As a page in Markdown.
    fn page(&self) -> String {
        let mut page = "# What is caught, by which law, and how fast\n\n\
             Written by `heaplaw teeth --table`, which says the same to programs in `detections.json`. A program has at most 60 \
             operations. Programs are the median and the most of all seeds, the time the median; the time is one machine's, the \
             programs are the same on any, but for bugs that depend on where memory lies.\n"
            .to_owned();
        let parts = [
            (
                "Bugs seeded into the optimized heap",
                "Judged by all laws; here are those that spoke first.",
                &self.seeded,
            ),
            (
                "Heaps that are wrong on purpose",
                "Judged by the one law that has to catch it, even if there is no other; collectors that are known to be unsound \
                 by all laws.",
                &self.wrong,
            ),
        ];
        for (title, laws, part) in parts {
            let Some(part) = part else { continue };
            let Part { written, heaplaw, toolchain, processor, .. } = part;
            let (campaigns, processors) = (counted(part.seeds, "campaign"), counted(part.processors, "processor"));
            let _ = write!(
                page,
                "\n## {title}\n\n{laws} Each was put to {campaigns}, on {written}, with heaplaw {heaplaw} and {toolchain} on \
                 {processors}, {processor}.\n\n\
                 | bug | what is wrong | law | caught | programs | time, ms |\n|---|---|---|---|---|---|\n",
            );
            part.bugs.iter().for_each(|row| row.print(part.seeds, &mut page));
        }
        page
    }
}

impl Row {
    fn print(&self, seeds: u64, page: &mut String) {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let programs = self.programs.map_or(String::new(), |(median, most)| format!("{median} / {most}"));
        let time = self.milliseconds.map_or(String::new(), |time| format!("{time:.1}"));
        let (bug, what, by, caught) = (cell(&self.bug), cell(&self.what), self.by.join(", "), self.caught);
        let _ = writeln!(page, "| {bug} | {what} | {by} | {caught}/{seeds} | {programs} | {time} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{faulty, law::Law, teeth};
    use std::collections::BTreeSet;

    /// A bug with what hurts Markdown and JSON in its name.
    fn row(caught: u64, programs: Option<(u64, u64)>, time: Option<Duration>) -> Row {
        Row {
            bug: "a|b".to_owned(),
            what: "two\nlines, {\"bug\": 1}".to_owned(),
            by: vec!["51".to_owned(), "hang".to_owned()],
            caught,
            programs,
            milliseconds: time.map(milliseconds),
        }
    }

    fn two() -> Detections {
        let found = row(20, Some((7, 31)), Some(Duration::from_micros(1_240)));
        Detections { seeded: Some(Part::of(20, vec![found])), wrong: Some(Part::of(3, vec![row(0, None, None)])) }
    }

    #[test]
    fn a_bug_is_a_row_whatever_is_in_its_name() {
        let page = two().page();
        assert!(page.contains("\n| a\\|b | two lines, {\"bug\": 1} | 51, hang | 20/20 | 7 / 31 | 1.2 |\n"), "{page}");
        assert!(page.contains("\n| a\\|b | two lines, {\"bug\": 1} | 51, hang | 0/3 |  |  |\n"), "{page}");
        assert_eq!(page.matches("\n## ").count(), 2);
        assert_eq!(Detections { wrong: None, ..two() }.page().matches("\n## ").count(), 1);
    }

    #[test]
    fn what_is_written_is_read_back_and_a_part_leaves_the_other_alone() {
        let dir = std::env::temp_dir().join(format!("heaplaw-detections-test-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        assert_eq!(Detections::read(&dir).expect("nothing is there"), Detections::default());
        two().write(&dir).expect("it can be written");
        let mut there = Detections::read(&dir).expect("what was written");
        assert_eq!(there, two());
        assert_eq!(there.data().lines().count(), 3, "a line for each bug, and one before them");
        there.wrong = Some(Part::of(1, Vec::new()));
        there.write(&dir).expect("it can be written");
        assert_eq!(Detections::read(&dir).expect("what was written").seeded, two().seeded);
        fs::write(dir.join(DATA), "{\"seeded\": 1}").expect("it can be written");
        assert!(matches!(Detections::read(&dir), Err(Trouble::Usage(_))));
        fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn a_bug_that_is_measured_again_keeps_its_place_and_a_new_one_comes_last() {
        let named = |bug: &str, caught| Row { bug: bug.to_owned(), ..row(caught, None, None) };
        let part = |written: &str, bugs| Part { written: written.to_owned(), ..Part::of(3, bugs) };
        let with = part("today", vec![named("three", 2), named("one", 2)]);
        let with = part("before", vec![named("one", 1), named("two", 1)]).with(with);
        assert_eq!(with.bugs, [named("one", 2), named("two", 1), named("three", 2)]);
        assert_eq!(with.written, "today");
    }

    #[test]
    fn the_data_that_is_kept_can_be_read_and_its_laws_exist() {
        let kept = Detections::kept();
        for row in [kept.seeded, kept.wrong].into_iter().flatten().flat_map(|part| part.bugs) {
            let known =
                |by: &str| SHOWS_ALWAYS.contains(&by) || by.parse().is_ok_and(|law| Law::numbered(law).is_some());
            assert!(row.by.iter().all(|by| known(by)), "{row:?}");
        }
    }

    #[test]
    fn the_page_that_is_kept_says_what_the_data_say() {
        assert_eq!(
            include_str!("../../DETECTIONS.md"),
            Detections::kept().page(),
            "run `heaplaw teeth --table conformance`"
        );
    }

    #[test]
    fn the_data_that_are_kept_have_every_wrong_heap_and_no_other() {
        let kept: BTreeSet<_> =
            Detections::kept().wrong.expect("they are there").bugs.into_iter().map(|row| row.bug).collect();
        let missing: Vec<_> = faulty::ALL.iter().map(faulty::Fault::slug).filter(|slug| !kept.contains(slug)).collect();
        assert!(missing.is_empty(), "run `heaplaw teeth --table conformance`: {missing:?}");
        let unsound = kept.iter().filter(|bug| bug.starts_with("reference:")).count();
        assert_eq!((kept.len() - unsound, unsound), (faulty::ALL.len(), teeth::unsound().count()));
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_not_taken_for_nothing() {
        let dir = std::env::temp_dir().join(format!("heaplaw-detections-{}", std::process::id()));
        assert!(Detections::read(&dir).is_ok_and(|there| there == Detections::default()), "there is nothing");
        fs::create_dir_all(dir.join(DATA)).expect("a directory where the file should be");
        assert!(Detections::read(&dir).is_err());
        fs::remove_dir_all(&dir).expect("it goes");
    }
}
