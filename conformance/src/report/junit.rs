//! Reports as JUnit XML, for the test pages of CI services: `heaplaw check --junit FILE`.
//!
//! One test suite, named after the heap, with one test case for each law:
//!
//! | law                     | test case                                                     |
//! |-------------------------|---------------------------------------------------------------|
//! | holds                   | passed                                                        |
//! | known                   | passed, with the reason on its standard output                |
//! | not applicable          | skipped, with what the heap would have to claim               |
//! | held so far             | skipped: the run did not come to its end                      |
//! | never checked           | skipped: nothing came that it could be checked on             |
//! | broken                  | failed, with the counterexample                               |
//! | flaky                   | failed, type `flaky`, with the counterexample and how often it shows |
//! | stale                   | failed, with the reason that no longer applies                |
//!
//! A subject that failed to answer is one more test case, `answers`, in error. Like the JSON report the file is there
//! from the start of the run, and replaced at its end.

use super::{Check, Status, text};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The report of a run.
pub fn report(check: &Check<'_>) -> String {
    let outcome = &check.excused.outcome;
    let heap = outcome.claims.as_ref().map_or("a heap that did not start", |claims| &*claims.name);
    let mut suite = TestSuite::new(heap);
    suite.set_time(outcome.elapsed);
    suite.add_property(("seed", format!("{:#x}", check.seed).as_str()));
    suite.add_property(("programs", outcome.programs.to_string().as_str()));
    suite.add_property(("end", check.end()));
    let shown = check.shown.map(|shown| {
        let table = text::plain(&text::counterexample(&shown.counterexample));
        format!("{table}\n  wrote  {}\n  replay {}\n", shown.file.display(), shown.replay)
    });
    for line in check.lines() {
        let reason = line.reason.unwrap_or_default();
        let status = match line.status {
            Status::Holds | Status::Known => TestCaseStatus::success(),
            Status::NotApplicable => skipped(&format!("not applicable: {reason}")),
            Status::HeldSoFar => skipped("held so far; the run did not come to its end"),
            Status::NeverChecked => skipped("never checked: nothing came that it could be checked on"),
            Status::Broken => wrong(NonSuccessKind::Failure, &reason, shown.as_deref()),
            Status::Flaky => {
                let mut status = wrong(NonSuccessKind::Failure, &format!("flaky, {reason}"), shown.as_deref());
                status.set_type("flaky");
                status
            }
            Status::Stale => {
                let message = format!("it is listed as a known failure, but holds: {reason}");
                wrong(NonSuccessKind::Failure, &message, None)
            }
        };
        let mut case = TestCase::new(line.law.identifier(), status);
        case.set_classname("heaplaw");
        if line.status == Status::Known {
            case.set_system_out(format!("known to be broken: {reason}"));
        }
        suite.add_test_case(case);
    }
    if let Some(failure) = check.failure() {
        let mut case = TestCase::new("answers", wrong(NonSuccessKind::Error, &failure, shown.as_deref()));
        case.set_classname("heaplaw");
        suite.add_test_case(case);
    }
    let mut report = Report::new("heaplaw check");
    report.set_time(outcome.elapsed);
    report.add_test_suite(suite);
    // Writing to memory does not fail.
    report.to_string().unwrap_or_default()
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn wrong(kind: NonSuccessKind, message: &str, description: Option<&str>) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    if let Some(description) = description {
        status.set_description(description);
    }
    status
}
