//! A campaign on many machines: shards that are killed and started again come to exactly what one run comes to, and
//! what is missing is named.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const HEAPLAW: &str = env!("CARGO_BIN_EXE_heaplaw");

/// The campaign of most tests: sixteen blocks.
const CAMPAIGN: [&str; 7] = ["check", "--heap", "reference:hybrid", "--seed", "7", "--cases", "4000"];

/// What the environment of these tests may say of shards.
const SCHEDULERS: [&str; 14] = [
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "JOB_COMPLETION_INDEX",
    "HEAPLAW_SHARDS",
    "TEST_SHARD_INDEX",
    "TEST_TOTAL_SHARDS",
    "BUILDKITE_PARALLEL_JOB",
    "BUILDKITE_PARALLEL_JOB_COUNT",
    "CIRCLE_NODE_INDEX",
    "CIRCLE_NODE_TOTAL",
    "CI_NODE_INDEX",
    "CI_NODE_TOTAL",
];

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("shards-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(HEAPLAW);
        command.args(arguments).current_dir(&self.0).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in SCHEDULERS.into_iter().chain(["TEST_SHARD_STATUS_FILE"]) {
            command.env_remove(variable);
        }
        command.envs(environment.iter().copied());
        command
    }

    /// Runs the command, which has to end like this; gives what it printed.
    #[track_caller]
    fn heaplaw(&self, code: i32, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments, environment).output().expect("it starts");
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(code), "{arguments:?}\n---- standard output\n{out}\n---- standard error\n{err}");
        format!("{out}{err}")
    }

    #[track_caller]
    fn check(&self, code: i32, more: &[&str]) -> String {
        self.heaplaw(code, &[&CAMPAIGN, more].concat(), &[])
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The names of the files of a directory.
    fn files(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(dir)).expect("the directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the build directory and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Kills a run, and not politely, as soon as the file has a line in it.
fn kill_in_mid_run(mut child: Child, file: &Path) {
    let start = Instant::now();
    while !fs::read(file).is_ok_and(|bytes| bytes.contains(&b'\n')) {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is written to {}", file.display());
        assert!(child.try_wait().expect("a child").is_none(), "it ended before it could be killed");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it is gone");
    assert_eq!(status.code(), None, "it came to its end before it was killed");
}

#[test]
fn four_shards_one_of_them_killed_and_started_again_come_to_exactly_what_one_run_does() {
    let scratch = Scratch::new();
    scratch.check(0, &["--dir", "whole"]);

    for (shard, dir) in [("1/4", "here"), ("2/4", "here"), ("4/4", "there")] {
        let out = scratch.check(0, &["--shard", shard, "--dir", dir]);
        assert!(out.contains(&format!("seed 0x7   shard {shard} by --shard, cases ")), "{out}");
    }
    let third = [&CAMPAIGN[..], &["--shard", "3/4", "--dir", "there"]].concat();
    let killed = scratch.0.join("there/3-of-4.1.jsonl");
    kill_in_mid_run(scratch.command(&third, &[]).spawn().expect("it starts"), &killed);
    let lines = scratch.read("there/3-of-4.1.jsonl").matches('\n').count();
    assert!((1..4).contains(&lines), "{lines} of 4 blocks were written");
    // It may as well have been killed in the middle of a line.
    let mut torn = OpenOptions::new().append(true).open(&killed).expect("the journal");
    torn.write_all(b"{\"block\":{\"from\":2750,\"to\"").expect("a piece of a line");

    let out = scratch.heaplaw(9, &["merge", "here", "there"], &[]);
    let next = 2_000 + 250 * lines;
    let missing = format!("  NOT RUN: cases {},{:03} to 2,999 ({} of them)\n", next / 1000, next % 1000, 3_000 - next);
    assert!(out.contains(&missing) && out.contains("held so far") && !out.contains("   holds\n"), "{missing}{out}");
    let left = format!(": {} cases not run; a `check` with the same --dir goes on (exit 9)\n", 1_000 - 250 * lines);
    assert!(out.ends_with(&left), "{left}{out}");
    assert!(out.contains(" in 4 journals, 1 end in the middle of a line\n") && out.contains("(exit 9)"), "{out}");

    let out = scratch.heaplaw(0, &third, &[]);
    assert!(out.contains(&format!(", cases 2,000 to 2,999   {} of them before, in there\n", 250 * lines)), "{out}");
    assert!(out.contains("\n1,000 programs, "), "what was run before counts too: {out}");

    let merged = scratch.heaplaw(0, &["merge", "here", "there", "--into", "merged"], &[]);
    let alone = scratch.heaplaw(0, &["merge", "whole", "--into", "alone"], &[]);
    let after = |out: &str| out.split_once("\n\n").map(|(_, rest)| rest.to_owned()).expect("a table");
    assert_eq!(after(&merged), after(&alone), "the same is said of both");
    assert!(merged.contains("\n4,000 programs, ") && merged.contains(": conforms to "), "{merged}");
    for file in ["campaign.json", "1-of-1.1.jsonl"] {
        assert_eq!(scratch.read(&format!("merged/{file}")), scratch.read(&format!("whole/{file}")), "{file}");
    }
    assert_eq!(scratch.read("whole/1-of-1.1.jsonl").lines().count(), 16);
    // Whoever starts a shard again that has nothing left to do finds the same, and writes nothing.
    let files = scratch.files("there");
    scratch.heaplaw(0, &third, &[]);
    assert_eq!(scratch.files("there"), files);
}

#[test]
fn schedulers_are_asked_which_shard_it_is_where_there_is_a_directory() {
    let scratch = Scratch::new();
    let status = scratch.0.join("status");
    let cases: [(&str, &[(&str, &str)]); 6] = [
        (
            "Slurm",
            &[
                ("SLURM_ARRAY_TASK_ID", "3"),
                ("SLURM_ARRAY_TASK_MIN", "1"),
                ("SLURM_ARRAY_TASK_COUNT", "4"),
                ("SLURM_ARRAY_TASK_STEP", "1"),
            ],
        ),
        ("Kubernetes", &[("JOB_COMPLETION_INDEX", "2"), ("HEAPLAW_SHARDS", "4")]),
        (
            "Bazel",
            &[
                ("TEST_SHARD_INDEX", "2"),
                ("TEST_TOTAL_SHARDS", "4"),
                ("TEST_SHARD_STATUS_FILE", status.to_str().expect("UTF-8")),
            ],
        ),
        ("Buildkite", &[("BUILDKITE_PARALLEL_JOB", "2"), ("BUILDKITE_PARALLEL_JOB_COUNT", "4")]),
        ("CircleCI", &[("CIRCLE_NODE_INDEX", "2"), ("CIRCLE_NODE_TOTAL", "4")]),
        ("GitLab", &[("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "4")]),
    ];
    let check = ["check", "--heap", "reference:hybrid", "--cases", "1000", "--laws", "1", "--seed", "3"];
    for (name, environment) in cases {
        let out = scratch.heaplaw(0, &[&check[..], &["--dir", name]].concat(), environment);
        assert!(out.contains(&format!("   shard 3/4 by {name}, cases 500 to 749\n")), "{name}: {out}");
        assert_eq!(scratch.files(name), ["3-of-4.1.jsonl", "campaign.json"]);
        let out = scratch.heaplaw(9, &["merge", name], &[]);
        assert!(out.contains("NOT RUN: cases 0 to 499 ") && out.contains("NOT RUN: cases 750 to 999 "), "{out}");
        // Nobody would miss the rest where nothing is written down.
        let out = scratch.heaplaw(0, &check, environment);
        assert!(!out.contains("shard") && out.contains("\n1,000 programs, "), "{out}");
    }
    assert!(status.exists(), "Bazel is told that it has been understood");
    let all: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    scratch.heaplaw(9, &[&["merge"], &all[..]].concat(), &[]);
    let out = scratch.heaplaw(2, &[&check[..], &["--dir", "new"]].concat(), &[("JOB_COMPLETION_INDEX", "2")]);
    assert!(out.contains("JOB_COMPLETION_INDEX is set, and HEAPLAW_SHARDS is not"), "{out}");
}

#[test]
fn shards_that_share_a_directory_share_a_seed() {
    let scratch = Scratch::new();
    let shard = |code, shard, dir: &[&str]| {
        let check = ["check", "--heap", "reference:hybrid", "--cases", "1000", "--laws", "1", "--shard", shard];
        scratch.heaplaw(code, &[&check[..], dir].concat(), &[])
    };
    let seed = |out: String| out.split("\nseed ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let first = seed(shard(0, "1/2", &["--dir", "d"]));
    assert!(first.is_some() && first == seed(shard(0, "2/2", &["--dir", "d"])));
    scratch.heaplaw(0, &["merge", "d"], &[]);
    assert!(shard(2, "1/2", &[]).contains("--shard needs a --seed, the same for all shards"));
    assert!(shard(2, "3/2", &["--dir", "d"]).contains("the shards of 2 are 1/2 to 2/2"));
    // A campaign without an end is one that only time ends.
    let endless =
        ["check", "--heap", "reference:hybrid", "--laws", "1", "--cases", "18446744073709551615", "--dir", "e"];
    let out = scratch.heaplaw(0, &[&endless[..], &["--time", "1s"]].concat(), &[]);
    assert!(out.contains("the time was up before all programs had run"), "{out}");
    assert!(scratch.heaplaw(9, &["merge", "e"], &[]).contains("NOT RUN: cases "));
    // Where nothing is written down, a shard is as long as it is elsewhere.
    let out = shard(0, "2/2", &["--seed", "3"]);
    assert!(out.contains("   shard 2/2 by --shard, cases 500 to 999") && out.contains("\n500 programs, "), "{out}");
    // More shards than blocks: some have nothing to do, which is no failure.
    assert!(shard(0, "1/9", &["--dir", "d"]).contains("nothing is to be done"));
}

#[test]
fn a_directory_of_another_campaign_is_not_written_to() {
    let scratch = Scratch::new();
    let check = |code, more: &[&str]| {
        scratch.heaplaw(code, &[&["check", "--cases", "250", "--laws", "1", "--dir", "d"], more].concat(), &[])
    };
    check(0, &["--heap", "reference:hybrid", "--seed", "1"]);
    let out = check(2, &["--heap", "reference:hybrid", "--seed", "2"]);
    assert!(out.contains(r#"d: this is another campaign: seed "0x1", not "0x2""#), "{out}");
    let out = check(2, &["--heap", "reference:insertion", "--seed", "1"]);
    assert!(out.contains(r#"heap "hybrid", not "insertion""#), "{out}");
    let out = check(2, &["--heap", "reference:hybrid", "--seed", "1", "--ops", "61"]);
    assert!(out.contains("another campaign: ops 60, not 61"), "{out}");
    assert_eq!(scratch.files("d"), ["1-of-1.1.jsonl", "campaign.json"]);

    check(0, &["--heap", "reference:hybrid"]);
    fs::rename(scratch.0.join("d"), scratch.0.join("e")).expect("it moves");
    check(0, &["--heap", "reference:hybrid", "--seed", "2"]);
    let out = scratch.heaplaw(2, &["merge", "d", "e"], &[]);
    assert!(out.contains(r#"e: this is another campaign than that of d: seed "0x1", not "0x2""#), "{out}");
    let out = scratch.heaplaw(2, &["merge", "d", "nowhere"], &[]);
    assert!(out.contains("nowhere: nothing was run here with `heaplaw check --dir`"), "{out}");
    let out = scratch.heaplaw(70, &["merge", "d", "--into", "e"], &[]);
    assert!(out.contains("e: the directory is not empty"), "{out}");
}

#[test]
fn what_a_shard_finds_is_found_by_the_merge_and_shows_by_itself() {
    let scratch = Scratch::new();
    let heap = ["--heap", "reference:no-barrier", "--laws", "51"];
    let shard = |shard| {
        let check = ["check", "--seed", "5", "--cases", "2000", "--dir", "d", "--out", shard, "--shard", shard];
        scratch.heaplaw(1, &[&check[..], &heap].concat(), &[])
    };
    shard("2/2");
    let out = scratch.heaplaw(1, &["merge", "d"], &[]);
    let again = out.split("  FOUND with case ").nth(1).and_then(|rest| rest.split_once(": ")).expect("a case");
    let (case, line) = (again.0.replace(',', ""), again.1.lines().next().expect("a line"));
    assert!(case.parse::<u64>().is_ok_and(|case| case >= 1_000), "{out}");
    assert!(out.contains("\n    law 51 reachable never freed: ") && out.contains("NOT RUN: cases 0 to "), "{out}");
    assert!(line.contains(&format!("--seed 0x5 --ops 60 --from {case} --cases 1")), "{line}");
    let arguments: Vec<&str> = ["check"].into_iter().chain(heap).chain(line.split(' ')).collect();
    let alone = scratch.heaplaw(1, &arguments, &[]);
    assert!(alone.contains("law 51 reachable never freed: broken by program "), "{alone}");
    // A line in a second journal that says the same is the same counterexample.
    shard("2/2");
    assert_eq!(scratch.heaplaw(1, &["merge", "d"], &[]).matches("FOUND").count(), 1);
}

#[test]
fn whether_a_known_failure_is_stale_is_for_all_shards_to_say() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("known.toml"), "[[known]]\nlaw = 51\nreason = 'r'\n").expect("a list");
    let shards = |heap, dir| {
        for shard in ["1/2", "2/2"] {
            let check = ["check", "--seed", "5", "--cases", "1000", "--laws", "1,51"];
            scratch.heaplaw(0, &[&check[..], &["--heap", heap, "--dir", dir, "--shard", shard]].concat(), &[]);
        }
    };
    shards("reference:no-barrier", "d");
    let out = scratch.heaplaw(0, &["merge", "d"], &[]);
    assert!(out.contains("law 51 is broken, as is known"), "{out}");
    assert!(out.ends_with(": conforms to 2 laws (exit 0)\n"), "{out}");
    shards("reference:hybrid", "e");
    let out = scratch.heaplaw(7, &["merge", "e"], &[]);
    assert!(out.contains("law 51 reachable never freed holds, but is listed as known"), "{out}");
    assert!(out.contains(": a law that is listed as a known failure holds; take it off the list (exit 7)"), "{out}");
}

#[test]
fn a_merge_says_in_words_what_it_comes_to() {
    let scratch = Scratch::new();
    let check = |code, laws, dir| {
        let check = ["check", "--heap", "reference:hybrid", "--seed", "1", "--cases", "250"];
        scratch.heaplaw(code, &[&check[..], &["--laws", laws, "--dir", dir]].concat(), &[])
    };
    // Law 53 is for heaps that claim what this one does not.
    check(0, "1,53", "d");
    let out = scratch.heaplaw(0, &["merge", "d"], &[]);
    assert!(out.ends_with(": conforms to 1 law (exit 0)\n"), "{out}");
    let out = scratch.heaplaw(3, &["merge", "d", "--goals"], &[]);
    assert!(out.ends_with(": no law is broken, but a goal was not reached (exit 3)\n"), "{out}");
    check(4, "53", "e");
    let out = scratch.heaplaw(4, &["merge", "e"], &[]);
    assert!(out.ends_with(": nothing was judged: no program ran, or no law applies (exit 4)\n"), "{out}");
}

#[test]
fn a_journal_that_is_damaged_is_not_merged() {
    let scratch = Scratch::new();
    scratch.heaplaw(0, &["check", "--heap", "reference:hybrid", "--seed", "1", "--cases", "500", "--dir", "d"], &[]);
    let journal = scratch.read("d/1-of-1.1.jsonl");
    let damaged = [
        (journal.replacen("\"from\":250", "\"from\":251", 1), "1-of-1.1.jsonl:2: 251..500 is no block"),
        (journal.replacen("\"to\":500", "\"to\":501", 1), "1-of-1.1.jsonl:2: 250..501 is no block"),
        (format!("{journal}\n"), "1-of-1.1.jsonl:3: EOF while parsing"),
        (journal.replacen("\"ran\"", "\"run\"", 1), "1-of-1.1.jsonl:1: unknown field `run`"),
        (journal.replacen("\"laws\":{\"1\":", "\"laws\":{\"2000\":", 1), "1-of-1.1.jsonl:1: law 2000 is none"),
        ("x".repeat(1 << 21), "1-of-1.1.jsonl:1: a line has less than 1048576 bytes"),
    ];
    for (text, told) in damaged {
        assert_ne!(text, journal);
        fs::write(scratch.0.join("d/1-of-1.1.jsonl"), text).expect("a journal");
        let out = scratch.heaplaw(2, &["merge", "d"], &[]);
        assert!(out.contains(told), "{told}: {out}");
    }
    // What is said to have been run twice counts once; if it is not the same, that is told.
    fs::write(scratch.0.join("d/1-of-1.1.jsonl"), &journal).expect("a journal");
    fs::write(scratch.0.join("d/1-of-1.2.jsonl"), &journal).expect("a journal");
    let out = scratch.heaplaw(0, &["merge", "d"], &[]);
    assert!(out.contains("\n500 programs, ") && !out.contains("not alike"), "{out}");
    let unlike = journal.replacen("\"ran\":250", "\"ran\":249", 1);
    fs::write(scratch.0.join("d/1-of-1.2.jsonl"), unlike).expect("a journal");
    let out = scratch.heaplaw(0, &["merge", "d"], &[]);
    assert!(out.contains("cases 0 to 249 were run more than once, and not alike"), "{out}");
    let campaign = scratch.read("d/campaign.json");
    fs::write(scratch.0.join("d/campaign.json"), campaign.replacen("\"laws\": [", "\"laws\": [ 2000, ", 1))
        .expect("it");
    assert!(scratch.heaplaw(2, &["merge", "d"], &[]).contains("campaign.json:1: there is no law 2000"));
}
