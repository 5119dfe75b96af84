//! The detection table: what is wrong with each bug, which law catches it, and after how many programs.

use crate::report::text::counted;
use std::{
    fmt::Write as _,
    num::NonZero,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

/// One bug, put to campaigns of several seeds.
pub(super) struct Row {
    pub(super) bug: String,
    /// What is wrong, in a sentence.
    pub(super) what: String,
    /// What caught it: laws, by their numbers, a crash, a hang.
    pub(super) by: Vec<String>,
    /// How many seeds caught it, by a law that was to.
    pub(super) caught: u64,
    /// Programs until it was found: the median and the most.
    pub(super) programs: Option<(u64, u64)>,
    /// The median time until it was found.
    pub(super) time: Option<Duration>,
}

/// All rows of a run of `heaplaw teeth --table`.
#[derive(Default)]
pub(super) struct Table {
    /// Bugs seeded into source.
    pub(super) seeded: Vec<Row>,
    /// Of how many these are a sample, if they are one.
    pub(super) sample_of: Option<usize>,
    /// Heaps that are wrong on purpose.
    pub(super) wrong: Vec<Row>,
}

impl Table {
    /// The page in Markdown.
    pub(super) fn page(&self, seeds: u64, file: &Path) -> String {
        let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let (today, _) = today.split_once('T').unwrap_or((&today, ""));
        let processors = thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let mut page = format!(
            "# What is caught, by which law, and how fast\n\n\
             Written by `heaplaw teeth --table {}` on {today}, on {} of {}, with heaplaw {}. Each bug was put to {}. A program \
             has at most 60 operations. Programs are the median and the most of all seeds, the time the median; the time is this machine's, \
             the programs are the same on any, but for bugs that depend on where memory lies.\n",
            file.display(),
            counted(processors, "processor"),
            std::env::consts::ARCH,
            env!("CARGO_PKG_VERSION"),
            counted(seeds, "campaign"),
        );
        let sections = [
            ("Bugs seeded into the fast heap", "the laws are those that spoke first", &self.seeded, self.sample_of),
            (
                "Heaps that are wrong on purpose",
                "the law is the one that has to catch it even if there is no other",
                &self.wrong,
                None,
            ),
        ];
        for (title, laws, rows, sample_of) in sections.into_iter().filter(|(_, _, rows, _)| !rows.is_empty()) {
            let _ = writeln!(page, "\n## {title}\n\nHere {laws}.\n");
            if let Some(all) = sample_of {
                let _ = writeln!(page, "This is a sample: {} of {all}.\n", rows.len());
            }
            page.push_str("| bug | what is wrong | law | caught | programs | time, ms |\n|---|---|---|---|---|---|\n");
            rows.iter().for_each(|row| row.print(seeds, &mut page));
        }
        page
    }
}

impl Row {
    fn print(&self, seeds: u64, page: &mut String) {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let programs = self.programs.map_or(String::new(), |(median, most)| format!("{median} / {most}"));
        let time = self.time.map_or(String::new(), |time| format!("{:.1}", time.as_secs_f64() * 1e3));
        let (bug, what, by, caught) = (cell(&self.bug), cell(&self.what), self.by.join(", "), self.caught);
        let _ = writeln!(page, "| {bug} | {what} | {by} | {caught}/{seeds} | {programs} | {time} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_a_row_whatever_is_in_its_name() {
        let row = |caught, programs, time| Row {
            bug: "a|b".to_owned(),
            what: "two\nlines".to_owned(),
            by: vec!["51".to_owned(), "hang".to_owned()],
            caught,
            programs,
            time,
        };
        let missed = row(0, None, None);
        let found = row(20, Some((7, 31)), Some(Duration::from_micros(1_240)));
        let table = Table { seeded: vec![found], sample_of: Some(90), wrong: vec![missed] };
        let page = table.page(20, Path::new("T.md"));
        assert!(page.contains("\n| a\\|b | two lines | 51, hang | 20/20 | 7 / 31 | 1.2 |\n"), "{page}");
        assert!(page.contains("\n| a\\|b | two lines | 51, hang | 0/20 |  |  |\n"), "{page}");
        assert_eq!((page.matches("\n## ").count(), page.matches("a sample: 1 of 90").count()), (2, 1));
        let no_seeded = Table { seeded: Vec::new(), ..table };
        assert_eq!(no_seeded.page(20, Path::new("T.md")).matches("\n## ").count(), 1);
    }
}
