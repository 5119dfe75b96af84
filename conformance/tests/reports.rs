//! What `heaplaw check` writes for programs (`--json`, `--junit`), and how it treats known failures (`--known`).
//!
//! The command runs as a child of the test: this very program, told to be the command.

use heaplaw_conformance::cli::{self, Bundled};
use heaplaw_reference::{machine::Machine, op::Program, protocol::Protocol};
use serde_json::{Value, json};
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The arguments of the child, one a line, and the exit code that is expected of it.
const ARGUMENTS: &str = "HEAPLAW_TEST_ARGUMENTS";
const EXIT: &str = "HEAPLAW_TEST_EXIT";

/// A subject in shell: greets as `x`, resets as often as it is told, and then does what follows.
const GREETS: &str = "read hello; echo heap x; while read line && [ \"$line\" = reset ]; do echo ok; done;";

/// The command, if this is the child; nothing otherwise.
#[test]
fn the_child_is_the_command() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let heaps = vec![Bundled::new("hybrid", "the reference machine", || Machine::new(Protocol::HYBRID))];
    let expected: u8 = env::var(EXIT).expect("an exit code").parse().expect("an exit code");
    assert_eq!(cli::main_with(heaps, ["heaplaw"].into_iter().chain(arguments.lines())), ExitCode::from(expected));
}

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("reports-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    /// Runs the command in this directory; gives what it prints, once it has exited as expected.
    #[track_caller]
    fn heaplaw(&self, exit: u8, arguments: &[&str]) -> String {
        let mut child = Command::new(env::current_exe().expect("this program"));
        child.args(["--exact", "the_child_is_the_command", "--nocapture"]).current_dir(&self.0);
        child.env(ARGUMENTS, arguments.join("\n")).env(EXIT, exit.to_string());
        let output = child.output().expect("this program runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "exit {exit} was expected of {arguments:?}:\n{text}");
        text
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.read("report.json")).expect("JSON")
    }

    fn known(&self, list: &str) {
        fs::write(self.0.join("known.toml"), list).expect("a file for the test");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the build directory and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The entry of a law in a report.
#[track_caller]
fn law(report: &Value, number: u16) -> &Value {
    let laws = report["laws"].as_array().expect("a list of laws");
    laws.iter().find(|law| law["number"] == number).unwrap_or_else(|| panic!("law {number}"))
}

/// The test case of a law, from its name to its end.
fn case<'x>(xml: &'x str, name: &str) -> &'x str {
    let start = xml.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}:\n{xml}"));
    let rest = &xml[start..];
    &rest[..rest.find("<testcase").unwrap_or(rest.len())]
}

#[test]
fn a_report_on_a_heap_that_conforms_has_every_law() {
    let scratch = Scratch::new();
    scratch.heaplaw(0, &["check", "--seed", "0x2a", "--cases", "300", "--json", "report.json", "--junit", "j.xml"]);
    let report = scratch.json();
    let (head, laws) = (&report["schema"], report["laws"].as_array().expect("a list"));
    assert_eq!(head, "heaplaw.check/1");
    assert_eq!((&report["heap"], &report["seed"]), (&json!("hybrid"), &json!("0x2a")));
    assert_eq!((&report["invariant"], &report["placement"]), (&json!("modified-weak"), &Value::Null));
    assert!(report["claims"].as_array().is_some_and(|claims| claims.contains(&json!("collect"))));
    assert_eq!((&report["cases"], &report["ops"], &report["programs"]), (&json!(300), &json!(60), &json!(300)));
    assert!(report["operations"].as_u64().is_some_and(|operations| operations > 10_000), "{report:#}");
    assert!(report["elapsed"].as_f64().is_some_and(|elapsed| elapsed > 0.0));
    assert_eq!((&report["end"], &report["exit"]), (&json!("finished"), &json!(0)));
    assert_eq!((&report["failure"], &report["counterexample"]), (&Value::Null, &Value::Null));
    assert_eq!(laws.len(), heaplaw_conformance::law::all().count());
    assert_eq!(law(&report, 51)["status"], "holds");
    assert_eq!(law(&report, 51)["name"], "reachable never freed");
    assert_eq!(law(&report, 51)["programs"], 300);
    assert_eq!(law(&report, 53)["status"], "not applicable");
    assert_eq!(law(&report, 53)["reason"], "needs the strong invariant");

    let xml = scratch.read("j.xml");
    assert_eq!(xml.matches("<testcase ").count(), laws.len());
    assert!(case(&xml, "law_53_strong_invariant").contains("<skipped message=\"not applicable: needs the strong"));
    assert!(!xml.contains("<failure") && !xml.contains("<error"), "{xml}");
}

#[test]
fn a_report_on_an_allocator_has_the_rule_by_which_it_places() {
    let scratch = Scratch::new();
    let best_fit = ["check", "--heap", "reference:best-fit", "--seed", "1", "--cases", "20"];
    scratch.heaplaw(0, &[&best_fit[..], &["--json", "report.json"]].concat());
    assert_eq!(scratch.json()["placement"], "best-fit/16/32/16/4096");
}

#[test]
fn a_report_on_a_broken_law_has_its_counterexample() {
    let scratch = Scratch::new();
    let check = ["check", "--heap", "reference:no-barrier", "--laws", "51", "--seed", "5"];
    let text = scratch.heaplaw(1, &[&check[..], &["--json", "report.json", "--junit", "j.xml"]].concat());
    let report = scratch.json();
    assert_eq!((&report["end"], &report["exit"]), (&json!("broken"), &json!(1)));
    assert_eq!(law(&report, 51)["status"], "broken");
    let found = &report["counterexample"];
    assert_eq!((&found["law"], &found["unanswered"]), (&json!(51), &Value::Null));
    assert!(found["case"].is_u64());
    let operations = found["operations"].as_array().expect("a list");
    assert_eq!(found["witness"]["moment"], operations.len() - 1);
    assert_eq!(found["witness"]["why"], law(&report, 51)["reason"]);
    assert!(found["witness"]["objects"][0].is_string());
    let freed = operations.last().expect("an operation")["events"].as_array().expect("a list");
    assert!(freed.iter().any(|event| event.as_str().is_some_and(|event| event.starts_with("free "))), "{found:#}");
    // Its operations are those of the file, and the line that replays it is the one that was printed.
    let told: Vec<_> = operations.iter().filter_map(|operation| operation["operation"].as_str()).collect();
    let file: Program = scratch.read(found["file"].as_str().expect("a path")).parse().expect("a program");
    assert_eq!(told.join("\n").parse::<Program>().expect("a program"), file);
    assert!(text.contains(&format!("  replay {}", found["replay"].as_str().expect("a line"))), "{text}");

    let xml = scratch.read("j.xml");
    let failed = case(&xml, "law_51_reachable_never_freed");
    assert!(failed.contains("<failure message=") && failed.contains("replay heaplaw replay failures/51-"), "{failed}");
    assert!(!xml.contains('\u{1b}'));
}

#[test]
fn a_report_on_what_does_not_show_every_time_says_flaky() {
    let scratch = Scratch::new();
    let reports = ["--json", "report.json", "--junit", "j.xml"];
    let check = ["check", "--heap", "faulty:flaky", "--laws", "51", "--seed", "1"];
    scratch.heaplaw(8, &[&check[..], &reports].concat());
    let report = scratch.json();
    assert_eq!((&report["end"], &report["exit"]), (&json!("flaky"), &json!(8)));
    let again = &report["counterexample"]["again"];
    let failed = again["failed"].as_u64().expect("a number");
    assert!(again["runs"] == 20 && (1..20).contains(&failed), "{again}");
    assert_eq!(law(&report, 51)["status"], "flaky");
    let reason = law(&report, 51)["reason"].as_str().expect("a reason");
    let why = report["counterexample"]["witness"]["why"].as_str().expect("why");
    assert_eq!(reason, format!("fails {failed} of 20 times: {why}"));
    let xml = scratch.read("j.xml");
    let failed = case(&xml, "law_51_reachable_never_freed");
    assert!(failed.contains(&format!("<failure message=\"flaky, {reason}\" type=\"flaky\"")), "{failed}");

    // What does show every time says so.
    fs::remove_dir_all(scratch.0.join("failures")).expect("it goes");
    let check = ["check", "--heap", "reference:no-barrier", "--laws", "51", "--seed", "1"];
    scratch.heaplaw(1, &[&check[..], &reports].concat());
    let report = scratch.json();
    assert_eq!(report["counterexample"]["again"], json!({"runs": 20, "failed": 20}));
    assert_eq!(law(&report, 51)["status"], "broken");
    assert!(!scratch.read("j.xml").contains("flaky"));
}

#[test]
fn a_subject_that_fails_leaves_reports_too() {
    let scratch = Scratch::new();
    let reports = ["--seed", "1", "--json", "report.json", "--junit", "j.xml"];
    let run = |exit, more: &[&str]| {
        scratch.heaplaw(exit, &[&["check"], &reports[..], more].concat());
        (scratch.json(), scratch.read("j.xml"))
    };
    let (report, xml) = run(5, &["--", "sh", "-c", &format!("{GREETS} exit 3")]);
    assert_eq!((&report["end"], &report["exit"], &report["heap"]), (&json!("failed"), &json!(5), &json!("x")));
    assert!(report["failure"].as_str().is_some_and(|failure| failure.contains("exit status: 3")), "{report:#}");
    assert!(report["counterexample"]["unanswered"].is_string() && report["counterexample"]["law"].is_null());
    assert!(case(&xml, "answers").contains("<error message="), "{xml}");

    let (report, xml) = run(5, &["--", "/nowhere/heap"]);
    assert_eq!((&report["end"], &report["heap"]), (&json!("unstartable"), &Value::Null));
    assert!(case(&xml, "answers").contains("could not be started"), "{xml}");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_leaves_a_report_that_says_so() {
    let scratch = Scratch::new();
    // The heap kills the command that judges it at the first operation.
    let script = format!("{GREETS} kill -9 $PPID");
    let mut child = Command::new(env::current_exe().expect("this program"));
    child.args(["--exact", "the_child_is_the_command"]).current_dir(&scratch.0).env(EXIT, "0");
    child.env(ARGUMENTS, ["check", "--json", "report.json", "--", "sh", "-c", &script].join("\n"));
    assert!(!child.output().expect("this program runs").status.success());
    let report = scratch.json();
    assert_eq!((&report["end"], &report["exit"], &report["heap"]), (&json!("running"), &Value::Null, &json!("x")));
    assert_eq!(law(&report, 3)["status"], "held so far");
}

#[test]
fn a_report_that_cannot_be_written_exits_with_70() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("report.json")).expect("a directory");
    let text = scratch.heaplaw(70, &["check", "--cases", "1", "--json", "report.json"]);
    assert!(text.contains("heaplaw: cannot write report.json: "), "{text}");
}

#[test]
fn a_known_failure_does_not_fail_a_run_and_hides_no_other_law() {
    let scratch = Scratch::new();
    scratch.known("[[known]]\nlaw = 123\nreason = 'issue 12'\nheap = 'garbled'\n");
    let check = ["check", "--heap", "faulty:miscounts-by-one", "--seed", "1", "--cases", "300"];
    let reports = ["--json", "report.json", "--junit", "j.xml"];
    let text = scratch.heaplaw(0, &[&check[..], &reports].concat());
    assert!(text.lines().any(|line| line.starts_with("  123  ") && line.ends_with("known: issue 12")), "{text}");
    assert!(text.contains(", 1 known to be broken (exit 0)"), "{text}");
    let report = scratch.json();
    assert_eq!((&law(&report, 123)["status"], &law(&report, 123)["reason"]), (&json!("known"), &json!("issue 12")));
    assert_eq!((&law(&report, 51)["status"], &report["programs"]), (&json!("holds"), &json!(300)));
    assert_eq!(report["laws"].as_array().map(Vec::len), Some(heaplaw_conformance::law::all().count()));
    let xml = scratch.read("j.xml");
    assert!(!xml.contains("<failure") && xml.contains("known to be broken: issue 12"), "{xml}");
    assert!(!scratch.0.join("failures").exists(), "what is known is not saved again");

    // The same heap without the list, or with one for another heap, fails.
    scratch.known("[[known]]\nlaw = 123\nreason = 'issue 12'\nheap = 'other'\n");
    scratch.heaplaw(1, &check);
    // Excusing one law does not excuse the others.
    scratch.known("[[known]]\nlaw = 52\nreason = 'r'\n");
    let text = scratch.heaplaw(1, &["check", "--heap", "reference:no-barrier", "--seed", "1"]);
    assert!(!text.contains("law 52 sound termination: broken by"), "{text}");
}

#[test]
fn a_known_failure_that_no_longer_shows_is_an_error() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("list.toml"), "[[known]]\nlaw = 60\nreason = 'issue 9'\n").expect("a file");
    let check = ["check", "--seed", "1", "--cases", "100", "--known", "list.toml", "--json", "report.json"];
    let text = scratch.heaplaw(7, &check);
    assert!(text.contains("holds, but is listed as known: issue 9"), "{text}");
    assert!(text.contains("take it off the list (exit 7)"), "{text}");
    assert_eq!((&law(&scratch.json(), 60)["status"], &scratch.json()["exit"]), (&json!("stale"), &json!(7)));
    // Nothing can be said of a law that was not judged, or of a run that was cut short.
    scratch.heaplaw(0, &[&check[..], &["--laws", "1-8"]].concat());
    scratch.heaplaw(0, &["check", "--cases", "100000000", "--time", "1s", "--known", "list.toml"]);
}

#[test]
fn a_malformed_list_exits_with_2_and_is_pointed_at() {
    let scratch = Scratch::new();
    scratch.known("[[known]]\nlaw = 51\nreason = 'r'\n\n[[known]]\nlaw = 2000\nreason = 'r'\n");
    let told = "heaplaw: known.toml:6:7: there is no law 2000; `heaplaw laws` lists them\n  law = 2000\n        ^\n";
    let text = scratch.heaplaw(2, &["check"]);
    assert!(text.contains(told), "{text}");
    scratch.known("[[known]]\nlaw = 51 reason\n");
    let text = scratch.heaplaw(2, &["check"]);
    assert!(text.contains("heaplaw: known.toml:2:7: "), "{text}");
    let text = scratch.heaplaw(2, &["check", "--known", "missing.toml"]);
    assert!(text.contains("heaplaw: missing.toml: No such file"), "{text}");
}

#[test]
fn a_template_is_written_once() {
    let scratch = Scratch::new();
    for (language, told) in
        [("c", "int main(void)"), ("python", "import sys"), ("go", "package main"), ("rust", "fn main()")]
    {
        let text = scratch.heaplaw(0, &["new", "--lang", language]);
        assert!(text.contains(told) && text.to_lowercase().contains("your heap here"), "{language}:\n{text}");
        let file = format!("adapter.{language}");
        scratch.heaplaw(0, &["new", "--lang", language, "--out", &file]);
        assert!(text.contains(&scratch.read(&file)), "{language}");
        let again = scratch.heaplaw(2, &["new", "--lang", language, "--out", &file]);
        assert!(again.contains("is there already; name another file"), "{again}");
    }
}

#[test]
fn what_is_explored_is_told_in_a_table() {
    let scratch = Scratch::new();
    let text = scratch.heaplaw(0, &["explore", "X10", "--objects", "1", "--registers", "1"]);
    let row = text.lines().find(|line| line.starts_with("X10 ")).unwrap_or_else(|| panic!("{text}"));
    let told = "X10   hybrid-allocate-white       1, 1, 1, 1                           LOST in 2 (inv.)";
    assert!(row.starts_with(told), "{row}");
    assert!(text.contains("design") && !text.contains("rule of termination"), "{text}");
    assert!(text.contains("    at the start of marking: ") && !text.contains("some worlds have more"), "{text}");
    let text = scratch.heaplaw(0, &["explore", "X10", "--objects", "1", "--registers", "1", "--no-invariant"]);
    assert!(text.lines().any(|line| line.starts_with("X10 ") && line.contains("LOST in 2  ")), "{text}");
    let text = scratch.heaplaw(4, &["explore", "X10", "--objects", "1", "--most-states", "1"]);
    assert!(text.contains("too large") && text.contains("some worlds have more than 1 states"), "{text}");

    let text = scratch.heaplaw(0, &["explore", "no-wave"]);
    let row = text.lines().find(|line| line.starts_with("no-wave ")).unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains("LOST in 2                  251           478 "), "{row}");
    assert!(text.contains("\n     1  ") && text.contains("rule of termination"), "{text}");
    assert!(!text.contains("objects, fields, mutators"), "{text}");
}

#[test]
fn a_run_that_misses_a_goal_can_be_made_to_fail() {
    let scratch = Scratch::new();
    let few = ["check", "--seed", "1", "--cases", "3", "--json", "report.json"];
    let text = scratch.heaplaw(3, &[&few[..], &["--goals"]].concat());
    assert!(text.contains(" of the goals not reached (exit 3)") && text.contains("  power: 3 programs "), "{text}");
    let text = scratch.heaplaw(0, &[&few[..], &["--ops", "61"]].concat());
    assert!(!text.contains("power:"), "what was measured is of programs of 60 operations: {text}");
    // A part of a campaign is told as that.
    scratch.heaplaw(0, &[&few[..], &["--from", "7"]].concat());
    let report = scratch.json();
    assert_eq!([&report["from"], &report["cases"], &report["programs"]], [7, 3, 3]);
}

#[test]
fn a_failure_that_was_saved_under_another_name_keeps_it() {
    let scratch = Scratch::new();
    let check = ["check", "--heap", "reference:no-barrier", "--laws", "51", "--seed", "5"];
    let text = scratch.heaplaw(1, &check);
    assert!(!text.contains("  by hand "), "it runs in this process: {text}");
    let failures = || {
        let files = fs::read_dir(scratch.0.join("failures")).expect("failures");
        files.map(|file| file.expect("one").file_name().into_string().expect("UTF-8")).collect::<Vec<_>>()
    };
    let [saved] = &failures()[..] else { panic!("{:?}", failures()) };
    let at = |name: &str| scratch.0.join("failures").join(name);
    fs::rename(at(saved), at("mine.heap")).expect("it has another name");
    let text = scratch.heaplaw(1, &check);
    assert!(
        text.contains("broken by failures/mine.heap, ") && text.contains("  wrote  failures/mine.heap\n"),
        "{text}"
    );
    assert_eq!(failures(), ["mine.heap"]);
}

#[test]
fn what_happens_once_is_told_and_not_shrunk() {
    let scratch = Scratch::new();
    let script = format!("{GREETS} [ -e was ] && while true; do echo ok; read line || exit; done; touch was; exit 3");
    let text = scratch.heaplaw(8, &["check", "--seed", "1", "--", "sh", "-c", &script]);
    assert!(text.contains("  not shrunk: it did not show again when it was run 20 times by itself\n"), "{text}");
    assert!(text.contains("  by hand sh -c ") && text.contains("# FLAKY: fails 0 of 20 times"), "{text}");
    assert!(!text.contains("  shrunk from "), "{text}");
}

#[test]
fn the_run_that_came_upon_something_flaky_is_told_from_where_it_began() {
    let scratch = Scratch::new();
    let check = ["check", "--heap", "faulty:flaky", "--laws", "51", "--seed", "1", "--from", "3"];
    let text = scratch.heaplaw(8, &check);
    let line = text.lines().find_map(|line| line.strip_prefix("  again  heaplaw ")).expect("a line");
    let line = line.split("   # ").next().expect("a command");
    assert!(line.starts_with("check --seed 0x1 --from 3 --cases "), "{line}");
    fs::remove_dir_all(scratch.0.join("failures")).expect("it goes");
    let again = scratch.heaplaw(8, &line.split(' ').collect::<Vec<_>>());
    let found =
        |text: &str| text.split("broken by program ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned);
    assert!(found(&text).is_some() && found(&text) == found(&again), "{text}{again}");
    // One case fewer, and nothing is found.
    let (head, rest) = line.split_once("--cases ").expect("so many");
    let (cases, tail) = rest.split_once(' ').expect("and more");
    let fewer = format!("{head}--cases {} {tail}", cases.parse::<u64>().expect("a number") - 1);
    fs::remove_dir_all(scratch.0.join("failures")).expect("it goes");
    scratch.heaplaw(0, &fewer.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_file_is_replayed_as_often_as_one_likes() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("a.heap"), "0 alloc r0 1\n0 read r0\n").expect("a file");
    let text = scratch.heaplaw(0, &["replay", "a.heap"]);
    assert!(text.contains("\na.heap: every law that applies holds\n"), "{text}");
    let text = scratch.heaplaw(0, &["replay", "a.heap", "--times", "3"]);
    assert!(text.contains("\na.heap: every law that applies holds, 3 of 3 times\n"), "{text}");
    for nothing in ["0 free r0\n", "0 read r0\n", ""] {
        fs::write(scratch.0.join("none.heap"), nothing).expect("a file");
        let text = scratch.heaplaw(4, &["replay", "none.heap"]);
        assert!(text.contains("\nnone.heap: nothing was judged: no operation ran, or no law applies\n"), "{text}");
    }
    fs::write(scratch.0.join("one.heap"), "gc full\n").expect("a file");
    scratch.heaplaw(0, &["replay", "one.heap"]);
    fs::write(scratch.0.join("none.threads"), "").expect("a file");
    scratch.heaplaw(4, &["replay", "none.threads", "--heap", "faulty:miscounts-by-one"]);
}

#[test]
fn a_run_on_threads_ends_with_what_it_comes_to() {
    let scratch = Scratch::new();
    let check = |exit, more: &[&str]| {
        scratch.heaplaw(exit, &[&["check", "--seed", "1", "--heap", "reference:hybrid", "--mutators"], more].concat())
    };
    let text = check(0, &["4", "--cases", "20", "--laws", "97,123"]);
    assert!(text.contains("\n20 plans, ") && text.contains(" by 5 threads in "), "{text}");
    assert!(
        text.contains(": conforms to 2 laws, as far as threads show (exit 0)") && !text.contains("known.toml"),
        "{text}"
    );
    scratch.known("");
    let text = check(4, &["2", "--cases", "0"]);
    assert!(text.contains(": nothing was judged: no plan ran, or no law applies (exit 4)"), "{text}");
    assert!(text.contains("known.toml is for programs without threads, and is not looked at"), "{text}");
    // A mutator that is alone is not judged by what happens between several.
    assert!(check(0, &["2", "--cases", "5"]).contains("\n  136  "));
    assert!(!check(0, &["1", "--cases", "5"]).contains("\n  136  "));
    assert!(check(0, &["1", "--cases", "20", "--laws", "136,123"]).contains("\n  136  "));

    let wrong = ["check", "--mutators", "2", "--seed", "1", "--heap", "faulty:miscounts-by-one", "--laws", "123"];
    let text = scratch.heaplaw(1, &wrong);
    assert!(text.contains(": a law is broken; the others are as far as the run went (exit 1)"), "{text}");
    assert!(text.contains("    ^ law 123 balance, when all was quiet: "), "{text}");
    let file = text.lines().find_map(|line| line.strip_prefix("  wrote  ")).expect("a file");
    let saved = fs::read_dir(scratch.0.join("failures")).expect("failures").count();
    assert_eq!(saved, 1, "what it was before it was shrunk is gone");
    let again = ["replay", file, "--times", "7", "--heap", "faulty:miscounts-by-one"];
    assert!(scratch.heaplaw(1, &again).contains(": it fails 7 of 7 times\n"));
}
