//! What the command `heaplaw` promises to people and to scripts: exit codes, saved failures, and what is printed.
//!
//! Every test runs the command in a directory of its own, which is gone afterwards. These tests need `python3` and a
//! Unix shell, and fail without them.

use heaplaw_reference::{
    heap::{Capability, Claims, Invariant},
    op::Program,
    protocol::Protocol,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const HEAPLAW: &str = env!("CARGO_BIN_EXE_heaplaw");
const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/adapters/heap.py");
const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/programs/hide-on-a-scanned-stack.heap");

/// No run in these tests should take nearly as long; one that does is killed, and its test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most operations that a shrunk counterexample of a seeded fault may have.
const SMALL: usize = 9;

/// What a run of the command gave.
#[derive(Debug)]
struct Run {
    /// The exit code; -1 if a signal ended it.
    code: i32,
    out: String,
    err: String,
}

impl Run {
    #[track_caller]
    fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, code, "\n---- standard output\n{}\n---- standard error\n{}", self.out, self.err);
        self
    }

    /// The rest of the first line that starts with this, apart from blanks.
    #[track_caller]
    fn line(&self, start: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.trim_start().strip_prefix(start));
        line.unwrap_or_else(|| panic!("no line starts with {start:?}:\n{}", self.out)).trim()
    }
}

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HEAPLAW);
        command.args(arguments).current_dir(&self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the command in this directory.
    fn heaplaw(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).spawn().expect("the command starts"))
    }

    /// Runs `check` on the adapter with this fault.
    fn check_adapter(&self, options: &[&str], fault: &str) -> Run {
        let adapter = ["--", "python3", ADAPTER, "--break", fault];
        self.heaplaw(&[&["check"], options, &adapter].concat())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).expect("a file for the test");
    }

    /// The names of the saved failures.
    fn saved(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join("failures")) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn program(&self, path: &str) -> Program {
        let text = fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.parse().unwrap_or_else(|error| panic!("{path}: {error}\n{text}"))
    }

    /// Runs the line that a run says replays its failure.
    fn replay(&self, run: &Run) -> Run {
        let line = run.line("replay heaplaw ").split('#').next().unwrap_or_default();
        self.heaplaw(&line.split_whitespace().collect::<Vec<_>>())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the build directory and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits for the end of a run, but not for ever.
fn finish(mut child: Child) -> Run {
    let (out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    finish_reading(child, out, err)
}

fn finish_reading(mut child: Child, out: impl Read + Send + 'static, err: impl Read + Send + 'static) -> Run {
    fn read(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("UTF-8");
            text
        })
    }
    let (out, err) = (read(out), read(err));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child to wait for") {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                _ = child.kill();
                panic!("the command did not come to an end: {}", out.join().unwrap_or_default());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let run = Run {
        code: status.code().unwrap_or(-1),
        out: out.join().expect("its output"),
        err: err.join().expect("its standard error"),
    };
    assert!(!run.err.contains("internal error") && !run.err.contains("panicked"), "{}", run.err);
    run
}

/// Runs `heaplaw` in a directory of its own.
fn heaplaw(arguments: &[&str]) -> Run {
    Scratch::new().heaplaw(arguments)
}

/// Does something for each of these on two threads.
fn on_two_threads<T: Send>(work: Vec<T>, each: impl Fn(T) + Sync) {
    let queue = Mutex::new(work.into_iter());
    let next = || queue.lock().expect("no panic while it is locked").next();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = next() {
                    each(item);
                }
            });
        }
    });
}

/// The faults of `heap.py`: those of the heap, and those of the protocol.
fn adapter_faults() -> (Vec<String>, Vec<String>) {
    let output = Command::new("python3").args([ADAPTER, "--list"]).output();
    let output = output.expect("these tests judge conformance/adapters/heap.py and need python3 on the PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("names in ASCII");
    let mut heap: Vec<String> = list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    let first = heap.iter().position(|name| name == "crash").expect("faults of the protocol begin with `crash`");
    let protocol = heap.split_off(first);
    (heap, protocol)
}

/// The numbers with a decimal point that stand before ` s`: times.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        let seconds = words[at].split(|c: char| !c.is_ascii_alphanumeric()).next() == Some("s");
        if seconds && words[at - 1].contains('.') && words[at - 1].parse::<f64>().is_ok() {
            words[at - 1] = "?";
        }
    }
    words.join(" ")
}

/// The last words on a heap that keeps all laws that apply to what it claims, by the first line of its run.
fn conforms_to_all(run: &Run) -> String {
    let claims = run.out.split("claims: ").nth(1).and_then(|rest| rest.split([',', '\n']).next()).expect("claims");
    let claims: Vec<_> = claims.split(' ').filter_map(Capability::named).collect();
    assert!(claims.len() >= 8, "{}", run.out);
    let claims = Claims::new("x").with(&claims).upholding(Invariant::ModifiedWeak);
    let laws = heaplaw_conformance::law::all().filter(|law| law.missing(&claims).is_empty()).count();
    assert!(laws >= 20, "only {laws} laws apply");
    format!("conforms to {laws} laws (exit 0)")
}

#[test]
fn a_heap_that_conforms_exits_with_0_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let run = scratch.heaplaw(&["check", "--cases", "300", "--seed", "0x35"]).exits(0);
    assert!(run.out.starts_with("heaplaw ") && run.out.contains("   optimized   claims: collect"), "{}", run.out);
    assert!(run.out.contains("\nseed 0x35\n"), "{}", run.out);
    assert!(run.line("300 programs, ").ends_with(&conforms_to_all(&run)), "{}", run.out);
    assert!(run.out.contains("not applicable: needs the strong invariant"), "{}", run.out);
    assert!(!run.out.contains("never checked") && !run.out.contains("broken"), "{}", run.out);
    assert_eq!(fs::read_dir(&scratch.0).expect("the directory").count(), 0);
}

#[test]
fn every_bundled_heap_is_accepted_or_rejected_as_the_list_says() {
    let heaps = heaplaw(&["heaps"]).exits(0).out;
    let names: Vec<String> = heaps.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(names[0], "optimized", "the first heap is the default");
    for protocol in Protocol::ALL {
        assert!(names.contains(&format!("reference:{}", protocol.name)), "{heaps}");
    }
    assert!(names.iter().filter(|name| name.starts_with("faulty:")).count() >= 20, "{heaps}");
    on_two_threads(names, |name| {
        let line = heaps.lines().find(|line| line.split(' ').next() == Some(&name)).expect("its line");
        let scratch = Scratch::new();
        if line.contains("with --mutators only") {
            scratch.heaplaw(&["check", "--heap", &name, "--seed", "1", "--cases", "300"]).exits(0);
        } else if line.contains("wrong on purpose") || line.contains("unsound") {
            let code = match name.as_str() {
                "faulty:panics" => 5,
                "faulty:flaky" => 8,
                // It has a test of its own.
                "faulty:never-comes-back" => return,
                _ => 1,
            };
            let run = scratch.heaplaw(&["check", "--heap", &name, "--seed", "1"]).exits(code);
            assert_eq!(scratch.saved().len(), 1, "{name}");
            scratch.replay(&run).exits(code);
        } else {
            scratch.heaplaw(&["check", "--heap", &name, "--seed", "1", "--cases", "300"]).exits(0);
            assert_eq!(scratch.saved(), [""; 0], "{name}");
        }
    });
}

#[test]
fn a_heap_in_this_process_that_hangs_is_told_and_saved() {
    let scratch = Scratch::new();
    let run = scratch.heaplaw(&["check", "--heap", "faulty:never-comes-back", "--timeout", "1s"]).exits(6);
    assert!(run.err.contains("the heap hung: an operation of a program of "), "{}", run.err);
    let saved = scratch.saved();
    assert!(saved.len() == 1 && saved[0].starts_with("hang-"), "{saved:?}");
    let file = format!("failures/{}", saved[0]);
    let replay = format!("heaplaw replay {file} --timeout 1s --heap faulty:never-comes-back");
    assert!(run.err.contains(&replay), "{}", run.err);
    scratch.heaplaw(&["replay", &file, "--timeout", "1s", "--heap", "faulty:never-comes-back"]).exits(6);
    assert_eq!(scratch.saved(), saved, "a file that hangs is not saved again");
}

#[test]
fn a_counterexample_is_saved_shrunk_and_runs_first_from_then_on() {
    let scratch = Scratch::new();
    let check = ["check", "--heap", "reference:no-barrier", "--laws", "51", "--seed", "5"];
    let run = scratch.heaplaw(&check).exits(1);
    assert!(run.out.contains("law 51 reachable never freed: broken by program "), "{}", run.out);
    assert!(run.out.contains("   # fails 20 of 20 times"), "{}", run.out);
    let wrote = run.line("wrote ").to_owned();
    assert_eq!(scratch.saved(), [wrote.trim_start_matches("failures/")]);
    let program = scratch.program(&wrote);
    assert!(program.len() <= SMALL, "{} operations:\n{program}", program.len());
    assert!(run.out.contains(&format!(" to {} operations in ", program.len())), "{}", run.out);
    let text = fs::read_to_string(scratch.0.join(&wrote)).expect("the file");
    assert!(text.contains("# replay: heaplaw replay failures/51-"), "{text}");

    let again = scratch.replay(&run).exits(1);
    assert!(again.out.contains("law 51  reachable never freed"), "{}", again.out);

    let run = scratch.heaplaw(&check).exits(1);
    assert!(run.out.contains("seed 0x5   1 saved failure of failures first\n"), "{}", run.out);
    assert!(run.out.contains(&format!("law 51 reachable never freed: broken by {wrote}, ")), "{}", run.out);
    assert_eq!(scratch.saved(), [wrote.trim_start_matches("failures/")], "the same failure is kept once");
    assert!(run.line("1 program, ").ends_with("(exit 1)"), "{}", run.out);

    // Whoever conforms is not held up by what others saved.
    let run = scratch.heaplaw(&["check", "--cases", "10"]).exits(0);
    assert!(run.out.contains(" saved failure") && run.out.contains(" first\n"), "{}", run.out);
}

#[test]
fn mutators_on_threads_conform_or_leave_a_plan_that_is_replayed() {
    let scratch = Scratch::new();
    let reports = ["--json", "r.json", "--junit", "r.xml"];
    let check = |rest: &[&str]| scratch.heaplaw(&[&["check", "--mutators", "3", "--seed", "1"], rest].concat());
    let run = check(&[&["--cases", "200"], &reports[..]].concat()).exits(0);
    assert!(run.out.contains("seed 0x1   3 mutators and a collector, on threads\n"), "{}", run.out);
    assert!(run.line("200 plans, ").ends_with("as far as threads show (exit 0)"), "{}", run.out);
    let report = fs::read_to_string(scratch.0.join("r.json")).expect("a report");
    assert!(report.contains("\"mutators\": 3") && report.contains("\"plan\": null"), "{report}");
    assert_eq!(scratch.saved(), [""; 0]);

    let broken = ["--heap", "faulty:miscounts-by-one"];
    let run = check(&[&broken[..], &reports].concat()).exits(1);
    assert!(run.out.contains("law 123 balance: broken by plan "), "{}", run.out);
    let wrote = run.line("wrote ").to_owned();
    assert_eq!(scratch.saved(), [wrote.trim_start_matches("failures/")]);
    assert!(wrote.ends_with(".threads") && scratch.program(&wrote).len() <= SMALL, "{}", run.out);
    let report = fs::read_to_string(scratch.0.join("r.json")).expect("a report");
    assert!(
        report.contains(&format!("\"file\": \"{wrote}\"")) && report.contains("\"status\": \"broken\""),
        "{report}"
    );
    assert!(fs::read_to_string(scratch.0.join("r.xml")).expect("a report").contains("<failure"));
    let again = scratch.heaplaw(&[&["replay", &wrote, "--times", "50"], &broken[..]].concat()).exits(1);
    assert!(again.out.contains(" of 50 times"), "{}", again.out);
    assert_eq!(again.line("^ "), run.line("^ "), "what is told is what is wrong with the plan that is left");
    scratch.heaplaw(&["replay", &wrote, "--times", "50"]).exits(0);
    let shrunk = scratch.heaplaw(&[&["shrink", &wrote], &broken[..]].concat()).exits(1);
    assert!(shrunk.out.parse::<Program>().is_ok_and(|program| !program.is_empty()), "{}", shrunk.out);

    // It runs first from then on, and programs without threads do not look at it.
    scratch.write("failures/000-right.threads", "gc start\n");
    let run = check(&broken).exits(1);
    assert!(run.out.contains("2 saved plans of failures first, 20 times each\n"), "{}", run.out);
    assert!(run.out.contains(&format!("broken by {wrote}, ")), "{}", run.out);
    scratch.heaplaw(&["check", "--cases", "10"]).exits(0);
}

#[test]
fn what_goes_wrong_on_threads_has_its_exit_code() {
    let scratch = Scratch::new();
    let check = |heap| scratch.heaplaw(&["check", "--mutators", "2", "--timeout", "1s", "--seed", "1", "--heap", heap]);
    let run = check("faulty:never-comes-back").exits(6);
    assert!(run.err.contains("the heap hung: a thread has not come back for 1s\n"), "{}", run.err);
    assert!(run.err.contains("has been in `"), "{}", run.err);
    assert!(scratch.saved().iter().all(|name| name.starts_with("hang-") && name.ends_with(".threads")), "{}", run.err);
    let run = check("faulty:panics").exits(5);
    assert!(run.out.contains("this heap panics on purpose"), "{}", run.out);
    // A plan in which nothing is done cannot be shrunk, and is kept.
    let other = Scratch::new();
    let nothing = ["check", "--mutators", "1", "--seed", "1", "--ops", "0", "--heap", "faulty:panics"];
    let run = other.heaplaw(&nothing).exits(5);
    assert_eq!(other.saved(), [run.line("wrote ").trim_start_matches("failures/")]);
    assert!(check("racy:drops-a-store-when-it-is-busy").exits(1).out.contains("law "));
    for wrong in [
        vec!["check", "--mutators", "5"],
        vec!["check", "--mutators", "2", "--heap", "malloc", "--json", "r.json"],
        vec!["check", "--mutators", "2", "--heap", "reference:best-fit"],
        vec!["check", "--mutators", "2", "--faults"],
        vec!["check", "--mutators", "2", "--", "python3", ADAPTER],
    ] {
        scratch.heaplaw(&wrong).exits(2);
    }
    scratch.write("wide.threads", "0 alloc r0 1\n1 alloc r0 2\n");
    let run = scratch.heaplaw(&["replay", "wide.threads"]).exits(2);
    assert!(run.err.contains("operation 2, `1 alloc r0 2`"), "{}", run.err);
}

#[test]
fn only_laws_that_were_looked_at_on_threads_are_conformed_to() {
    let check = ["check", "--mutators", "2", "--seed", "1", "--ops", "1", "--cases", "1", "--laws", "7,139"];
    let run = heaplaw(&check).exits(0);
    assert!(run.line("7  address stability ").ends_with("never checked"), "{}", run.out);
    assert!(run.out.ends_with(": conforms to 1 law, as far as threads show (exit 0)\n"), "{}", run.out);
}

#[test]
fn what_does_not_show_every_time_is_flaky_and_exits_with_8() {
    let scratch = Scratch::new();
    let run = scratch.heaplaw(&["check", "--heap", "faulty:flaky", "--laws", "51", "--seed", "1"]).exits(8);
    assert!(run.out.contains("law 51 reachable never freed: broken by program "), "{}", run.out);
    assert!(run.out.lines().any(|line| line.starts_with("   51  ") && line.ends_with("   flaky")), "{}", run.out);
    assert!(run.out.ends_with("flaky: something is wrong, but not every time that it is run again (exit 8)\n"));
    let often = run.line("replay ").split("# FLAKY: ").nth(1).expect("how often it shows").to_owned();
    let failed = often.strip_prefix("fails ").and_then(|rest| rest.strip_suffix(" of 20 times")).expect("of 20");
    assert!((1..20).contains(&failed.parse::<u64>().expect("a number")), "{often}");

    // Its file has all that there is to look into: how often, what was answered, how to come upon it again.
    let file = run.line("wrote ").to_owned();
    let text = fs::read_to_string(scratch.0.join(&file)).expect("the file");
    assert!(text.contains(&format!("# flaky: {often} when it is run again")), "{text}");
    assert!(text.contains("\n# law 51 reachable never freed: ") && text.contains("# at 4096 "), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.contains("; free ")), "{text}");
    let program = scratch.program(&file);
    assert!(program.len() <= SMALL, "{program}");
    let check = text.lines().find_map(|line| line.strip_prefix("# found by: heaplaw ")).expect("the run");
    assert!(run.line("again ").starts_with(&format!("heaplaw {check}")), "{}", run.out);

    // Replayed as it says, it is flaky again; replayed on a heap that always fails, it is not.
    assert!(run.line("replay ").starts_with("heaplaw replay --times 20 failures/51-"), "{}", run.out);
    let again = scratch.replay(&run).exits(8);
    assert!(again.out.contains(": flaky: it fails ") && again.out.ends_with(" of 20 times\n"), "{}", again.out);
    scratch.heaplaw(&["replay", &file, "--times", "20", "--heap", "reference:no-barrier", "--laws", "51"]).exits(1);
    let right = scratch.heaplaw(&["replay", &file, "--times", "20"]).exits(0);
    assert!(right.out.ends_with(": every law that applies holds, 20 of 20 times\n"), "{}", right.out);
    // The run that came upon it comes upon it again.
    fs::remove_dir_all(scratch.0.join("failures")).expect("it goes");
    scratch.heaplaw(&check.split_whitespace().collect::<Vec<_>>()).exits(8);
}

#[test]
fn a_crash_that_does_not_show_every_time_is_flaky() {
    let scratch = Scratch::new();
    scratch.write("count", "0");
    // Counts the operations of all its lives, and ends at every hundredth.
    let script = "read hello; echo heap x; while read line; do [ \"$line\" = reset ] && echo ok && continue; \
                  n=$(($(cat count) + 1)); echo $n > count; [ $((n % 100)) = 0 ] && exit 3; \
                  case $line in *alloc*) echo full;; *load*) echo nil;; *) echo ok;; esac; done";
    let run = scratch.heaplaw(&["check", "--seed", "1", "--", "sh", "-c", script]).exits(8);
    assert!(run.out.contains("the subject crashed: exit status: 3"), "{}", run.out);
    assert!(run.out.contains("   # FLAKY: fails "), "{}", run.out);
    let text = fs::read_to_string(scratch.0.join(run.line("wrote "))).expect("the file");
    assert!(text.contains("# flaky: fails "), "{text}");
}

#[test]
fn the_answers_to_a_story_are_printed_for_any_heap() {
    let answers = STORY.replace("programs/", "programs/answers/").replace(".heap", ".answers");
    let expected = fs::read_to_string(&answers).unwrap_or_else(|error| panic!("{answers}: {error}"));
    assert_eq!(heaplaw(&["replay", STORY, "--answers"]).exits(0).out, expected);
    assert_eq!(heaplaw(&["replay", STORY, "--answers", "--", "python3", ADAPTER]).exits(0).out, expected);
    let lost = heaplaw(&["replay", STORY, "--answers", "--laws", "51", "--heap", "reference:no-barrier"]).exits(1);
    assert!(lost.err.contains("law 51  reachable never freed"), "{}", lost.err);
    assert_ne!(lost.out, expected);
    heaplaw(&["replay", STORY, "--answers", "--times", "2"]).exits(2);
    heaplaw(&["replay", STORY, "--times", "0"]).exits(2);
}

#[test]
fn a_saved_failure_of_one_heap_is_not_overwritten_by_another() {
    let scratch = Scratch::new();
    // Longer than it need be, and with a comment: somebody keeps it as it is.
    let text = "# mine\n0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 0 8\n0 store r1.0 r0\n0 clear r0\ngc start\n\
                gc handshake 0\n0 load r0 r1.0\n0 store r1.0 nil\ngc mark 9\ngc finish\n";
    fs::create_dir(scratch.0.join("failures")).expect("a directory");
    scratch.write("failures/mine.heap", text);
    let run = scratch.heaplaw(&["check", "--heap", "reference:no-barrier"]).exits(1);
    assert!(run.out.contains("broken by failures/mine.heap, "), "{}", run.out);
    assert_eq!(fs::read_to_string(scratch.0.join("failures/mine.heap")).expect("the file"), text);
    let saved = scratch.saved();
    assert!(saved.len() == 2 && saved.iter().any(|name| name.starts_with("54-")), "{saved:?}");
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    let scratch = Scratch::new();
    scratch.write("good.heap", "0 alloc r0 1\n");
    let cases: &[(&[&str], &str)] = &[
        (&["check", "--heap", "nobody"], "heaplaw: there is no heap \"nobody\"; `heaplaw heaps` lists them\n"),
        (&["check", "--laws", "51,2000"], "heaplaw: there is no law 2000; `heaplaw laws` lists them\n"),
        (&["check", "--laws", "prime"], "heaplaw: \"prime\" is not the number of a law\n"),
        (&["laws", "2000"], "heaplaw: there is no law 2000; `heaplaw laws` lists them\n"),
        (&["check", "--heap", "optimized", "--", "true"], "heaplaw: name a heap or a command, not both\n"),
        (
            &["replay", "good.heap", "--heap", "optimized", "--", "true"],
            "heaplaw: name a heap or a command, not both\n",
        ),
        (&["replay", "good.heap", "--heap", "nobody"], "heaplaw: there is no heap \"nobody\""),
        (&["replay", "missing.heap"], "heaplaw: missing.heap: No such file or directory"),
        (&["shrink", "missing.heap"], "heaplaw: missing.heap: No such file or directory"),
        (&["replay"], "error: the following required arguments were not provided"),
        (&["check", "--frobnicate"], "error: unexpected argument '--frobnicate' found"),
        (&["frobnicate"], "error: unrecognized subcommand 'frobnicate'"),
        (&["check", "--seed", "0xg"], "error: invalid value '0xg' for '--seed <SEED>'"),
        (&["check", "--cases", "-1"], "error: unexpected argument '-1' found"),
        (&["check", "--time", "soon"], "error: invalid value 'soon' for '--time <TIME>'"),
    ];
    for (arguments, told) in cases {
        let run = scratch.heaplaw(arguments).exits(2);
        assert!(run.err.starts_with(told), "{arguments:?}:\n{}", run.err);
        assert_eq!(run.out, "", "{arguments:?}");
    }
}

#[test]
fn a_malformed_file_is_shown_by_line_and_column_with_a_caret() {
    let cases: &[(&[u8], &str)] = &[
        (
            b"# a story\n0 alloc q0 2\n",
            "bad.heap:2:9: expected a root r0 to r15, found \"q0\"\n  0 alloc q0 2\n          ^\n",
        ),
        (b"0 alloc", "bad.heap:1:8: expected a root r0 to r15, found the end of the line\n  0 alloc\n         ^\n"),
        (b"gc full\n0 read r\xff0\n", "bad.heap:2:9: this is not UTF-8 text\n  0 read r\n          ^\n"),
    ];
    for (content, told) in cases {
        let scratch = Scratch::new();
        fs::create_dir(scratch.0.join("failures")).expect("a directory");
        scratch.write("bad.heap", content);
        scratch.write("failures/bad.heap", content);
        for command in ["replay", "shrink"] {
            let run = scratch.heaplaw(&[command, "bad.heap"]).exits(2);
            assert_eq!((run.err.as_str(), run.out.as_str()), (format!("heaplaw: {told}").as_str(), ""));
        }
        // A saved failure that cannot be run is not passed over.
        let run = scratch.heaplaw(&["check", "--cases", "1"]).exits(2);
        assert_eq!((run.err.as_str(), run.out.as_str()), (format!("heaplaw: failures/{told}").as_str(), ""));
    }
}

#[cfg(unix)]
#[test]
fn a_failure_that_cannot_be_saved_exits_with_70() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink("nowhere", scratch.0.join("failures")).expect("a link");
    let run = scratch.heaplaw(&["check", "--heap", "reference:no-barrier"]).exits(70);
    assert!(run.err.contains("heaplaw: cannot write failures/"), "{}", run.err);
}

#[test]
fn nothing_to_judge_exits_with_4() {
    for arguments in [&["check", "--cases", "0"][..], &["check", "--laws", "53", "--cases", "5"]] {
        let run = heaplaw(arguments).exits(4);
        assert!(run.out.ends_with("nothing was judged: no program ran, or no law applies (exit 4)\n"), "{}", run.out);
    }
}

#[test]
fn a_subject_that_crashes_or_talks_nonsense_exits_with_5() {
    for (fault, told) in [
        ("crash", "  | SystemError: the heap is on fire"),
        ("silent-exit", "the subject crashed: exit status: 0"),
        ("garbage", "the subject broke the protocol: it said \"fine, thanks\""),
        ("chatty", "the subject broke the protocol: "),
        ("flood", "the subject broke the protocol: "),
    ] {
        let scratch = Scratch::new();
        let run = scratch.check_adapter(&["--seed", "1"], fault).exits(5);
        assert!(run.out.contains(told), "{fault}:\n{}", run.out);
        assert!(run.out.contains("the subject failed to answer"), "{fault}:\n{}", run.out);
        let wrote = run.line("wrote ").to_owned();
        assert_eq!(scratch.program(&wrote).len(), 1, "{fault}: the first operation shows it");
        scratch.replay(&run).exits(5);
    }
    let run = heaplaw(&["check", "--", "/nowhere/heap"]).exits(5);
    assert!(run.err.contains("the subject could not be started: /nowhere/heap: "), "{}", run.err);
}

#[test]
fn a_subject_that_hangs_exits_with_6_in_time() {
    for fault in ["hang", "drip"] {
        let scratch = Scratch::new();
        let start = Instant::now();
        // Three seconds are enough for an interpreter to start, whatever else the machine does.
        let run = scratch.check_adapter(&["--seed", "1", "--timeout", "3s"], fault).exits(6);
        assert!(start.elapsed() < Duration::from_secs(60), "{fault} took {:?}", start.elapsed());
        assert!(run.out.contains("the subject hung: no answer within 3000 ms"), "{}", run.out);
        let file = run.line("wrote ").to_owned();
        assert!(file.starts_with("failures/hang-"), "{file}");
        let replay = ["replay", &file, "--timeout", "3s", "--", "python3", ADAPTER, "--break", fault];
        let run = scratch.heaplaw(&replay).exits(6);
        assert!(run.out.contains("no answer"), "{}{}", run.out, run.err);
    }
}

#[test]
fn every_fault_of_the_adapter_is_rejected_with_a_small_counterexample() {
    let (faults, protocol) = adapter_faults();
    assert!(faults.len() >= 30 && protocol.len() >= 7, "{faults:?} {protocol:?}");
    on_two_threads(faults, |fault| {
        let scratch = Scratch::new();
        // Which programs come is a matter of the seed; the rarest fault takes a few thousand.
        let run = scratch.check_adapter(&["--seed", "1", "--cases", "30000"], &fault).exits(1);
        let wrote = run.line("wrote ").to_owned();
        let program = scratch.program(&wrote);
        assert!(program.len() <= SMALL, "{fault} shrinks only to {} operations:\n{program}", program.len());
        scratch.replay(&run).exits(1);
        // What the run says about doing it by hand is true as well.
        let by_hand = run.line("by hand ");
        let shell = Command::new("sh").args(["-c", by_hand]).current_dir(&scratch.0).output().expect("a shell");
        assert!(shell.status.success(), "{by_hand}: {}", String::from_utf8_lossy(&shell.stderr));
        let answers = String::from_utf8(shell.stdout).expect("UTF-8");
        assert_eq!(answers.lines().count(), program.len(), "{by_hand}");
    });
}

#[test]
fn the_adapter_as_it_is_conforms() {
    let scratch = Scratch::new();
    let run = scratch.heaplaw(&["check", "--seed", "1", "--cases", "300", "--", "python3", ADAPTER]).exits(0);
    assert!(run.line("300 programs, ").ends_with(&conforms_to_all(&run)), "{}", run.out);
}

#[test]
fn laws_and_heaps_are_listed() {
    let run = heaplaw(&["laws"]).exits(0);
    let listed: Vec<u16> = run.out.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let threaded = heaplaw_conformance::law::parallel::LAWS;
    let known = heaplaw_conformance::law::all().chain(threaded).map(|law| law.number);
    assert_eq!(listed, known.collect::<Vec<_>>());
    let run = heaplaw(&["laws", "137"]).exits(0);
    assert!(run.out.contains("heaplaw check --mutators 3 --heap racy:drops-a-store-when-it-is-busy"), "{}", run.out);

    let run = heaplaw(&["laws", "51", "54"]).exits(0);
    assert!(run.out.starts_with("law 51  reachable never freed\n  "), "{}", run.out);
    assert!(run.out.contains("\nlaw 54  weak invariant\n  "), "{}", run.out);
    assert!(run.out.contains("needs a heap that claims: phases, colors, invariant=weak|modified-weak"), "{}", run.out);
    let hint = run.line("broken by a heap that frees what is held: heaplaw ").to_owned();
    let hinted: Vec<_> = hint.split_whitespace().chain(["--seed", "1"]).collect();
    heaplaw(&hinted).exits(1);

    let run = heaplaw(&["heaps"]).exits(0);
    for fault in heaplaw_conformance::faulty::ALL {
        assert!(run.out.lines().any(|line| line.starts_with(&format!("{} ", fault.slug()))), "{}", fault.slug());
    }
}

#[test]
fn help_and_version_exit_with_0() {
    for arguments in [&["--help"][..], &["check", "--help"], &["help", "replay"], &["--version"]] {
        let run = heaplaw(arguments).exits(0);
        assert!(!run.out.is_empty() && run.err.is_empty(), "{arguments:?}");
        let codes = run.out.contains("Exit codes:\n") && run.out.contains("\n    8  flaky");
        assert_eq!(codes, arguments != ["--version"], "{arguments:?}: {}", run.out);
    }
}

#[test]
fn what_does_not_go_to_a_terminal_has_no_escapes() {
    let scratch = Scratch::new();
    let lines: [&[&str]; 6] = [
        &["check", "--cases", "20"],
        &["check", "--heap", "reference:no-barrier", "--seed", "1"],
        &["replay", STORY, "--heap", "reference:no-barrier"],
        &["shrink", STORY, "--heap", "reference:no-barrier"],
        &["laws", "51"],
        &["check", "--nonsense"],
    ];
    for arguments in lines {
        let run = scratch.heaplaw(arguments);
        assert!(!run.out.contains('\x1b') && !run.err.contains('\x1b'), "{arguments:?}: {run:?}");
    }
    // Colours are there, for those who want them; and NO_COLOR is stronger.
    let mut command = scratch.command(&["laws", "51"]);
    let forced = finish(command.env("CLICOLOR_FORCE", "1").spawn().expect("the command starts"));
    assert!(forced.out.contains('\x1b'), "{}", forced.out);
    let without = finish(command.env("NO_COLOR", "1").spawn().expect("the command starts"));
    assert!(!without.out.contains('\x1b'), "{}", without.out);
}

#[test]
fn the_same_seed_gives_the_same_output_apart_from_times() {
    assert_eq!(without_times("in 0.31 s: b 2 s, 1.5 s\nx v0.1 s"), "in ? s: b 2 s, ? s\nx v0.1 s");
    for arguments in [
        &["check", "--seed", "77", "--cases", "200"][..],
        &["check", "--seed", "77", "--heap", "reference:insertion-without-rescan"],
        &["check", "--seed", "0x7", "--heap", "reference:hybrid-allocate-white", "--laws", "51-52"],
    ] {
        let (one, other) = (heaplaw(arguments), heaplaw(arguments));
        assert_eq!(without_times(&one.out), without_times(&other.out), "{arguments:?}");
        assert_eq!((one.code, &one.err), (other.code, &other.err), "{arguments:?}");
    }
    let seeded = |seed| without_times(&heaplaw(&["check", "--seed", seed, "--cases", "50"]).exits(0).out);
    assert_ne!(seeded("1").replace("0x1", ""), seeded("2").replace("0x2", ""), "another seed, other programs");
}

#[test]
fn time_ends_a_run() {
    let start = Instant::now();
    let run = heaplaw(&["check", "--time", "1s", "--cases", "100000000"]).exits(0);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "it took {took:?}");
    assert!(run.out.ends_with("; the time was up before all programs had run (exit 0)\n"), "{}", run.out);
    assert!(run.out.contains("held so far"), "{}", run.out);
}

#[test]
fn shrink_prints_a_program_that_still_fails() {
    let scratch = Scratch::new();
    for (heap, most) in [("reference:no-barrier", SMALL), ("reference:insertion-without-rescan", SMALL)] {
        let run = scratch.heaplaw(&["shrink", STORY, "--heap", heap]).exits(1);
        let program: Program = run.out.parse().expect("standard output is a program");
        assert!((1..=most).contains(&program.len()), "{heap}:\n{program}");
        assert_eq!(program.to_string(), run.out, "{heap}");
        assert!(run.err.starts_with("shrunk from "), "{}", run.err);
        scratch.write("shrunk.heap", &run.out);
        scratch.heaplaw(&["replay", "shrunk.heap", "--heap", heap]).exits(1);
    }
    let run = scratch.heaplaw(&["shrink", STORY, "--heap", "reference:hybrid"]).exits(0);
    assert_eq!(run.out, "");
    assert!(run.err.ends_with("every law that applies holds; there is nothing to shrink\n"), "{}", run.err);
    assert!(scratch.saved().is_empty());
}

#[test]
fn a_failure_that_shows_only_once_is_not_shrunk() {
    let scratch = Scratch::new();
    scratch.write("x.heap", "0 alloc r0 1\n0 read r0\n");
    // Ends at its first operation, once in all its lives.
    let script = "read hello; echo heap x; while read line; do [ \"$line\" = reset ] && echo ok && continue; \
                  [ -e seen ] || { touch seen; exit 3; }; case $line in *alloc*) echo full;; *) echo ok;; esac; done";
    let run = scratch.heaplaw(&["shrink", "x.heap", "--", "sh", "-c", script]).exits(8);
    assert_eq!(run.out, "", "there is no program to be shown");
    assert!(run.err.contains("x.heap: the failure did not show again when it was run 20 times\n"), "{}", run.err);
}

#[test]
fn a_story_is_replayed_on_any_heap() {
    let told = heaplaw(&["replay", STORY]).exits(0).out;
    assert!(told.ends_with("hide-on-a-scanned-stack.heap: every law that applies holds\n"), "{told}");
    let run = heaplaw(&["replay", STORY, "--heap", "reference:no-barrier", "--laws", "51"]).exits(1);
    assert!(run.out.contains("law 51  reachable never freed"), "{}", run.out);
    heaplaw(&["replay", STORY, "--", "python3", ADAPTER]).exits(0);
    heaplaw(&["replay", STORY, "--", "python3", ADAPTER, "--break", "nil-is-special"]).exits(1);
}

/// Interrupts a command, once it listens: as Linux tells of it, or else after a while.
#[cfg(unix)]
fn interrupt(child: &Child) {
    let patience = Instant::now() + Duration::from_secs(60);
    let listens = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        // Signal 2 is the second bit.
        Some(u64::from_str_radix(caught.trim(), 16).ok()? & 0b10 != 0)
    };
    while listens() == Some(false) {
        assert!(Instant::now() < patience, "it does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_secs(if listens().is_some() { 1 } else { 3 }));
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_run_with_the_table_and_130() {
    let scratch = Scratch::new();
    // More programs than anybody waits for, in this process and in another.
    for arguments in
        [&["check", "--cases", "100000000"][..], &["check", "--cases", "1000000", "--", "python3", ADAPTER]]
    {
        let mut child = scratch.command(arguments).spawn().expect("the command starts");
        let (mut out, err) =
            (BufReader::new(child.stdout.take().expect("a pipe")), child.stderr.take().expect("a pipe"));
        let mut banner = String::new();
        out.read_line(&mut banner).expect("a banner");
        assert!(banner.starts_with("heaplaw "), "{banner}");
        interrupt(&child);
        let start = Instant::now();
        let run = finish_reading(child, out, err).exits(130);
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        assert!(run.out.contains("reachable never freed") && run.out.contains("held so far"), "{}", run.out);
        assert!(run.out.ends_with("interrupted; this is how far it went (exit 130)\n"), "{}", run.out);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_what_threads_do_with_130() {
    let scratch = Scratch::new();
    scratch.write("x.threads", "0 alloc r0 1\ngc start\n");
    let many = "100000000";
    for (arguments, end) in [
        (["check", "--mutators", "2", "--cases", many], "interrupted; this is how far it went (exit 130)\n"),
        (["replay", "x.threads", "--times", many, "--timeout=60s"], " times\n"),
    ] {
        let child = scratch.command(&arguments).spawn().expect("the command starts");
        interrupt(&child);
        let start = Instant::now();
        let run = finish(child).exits(130);
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        assert!(run.out.ends_with(end), "{}", run.out);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_internal_error() {
    let scratch = Scratch::new();
    let mut child = scratch.command(&["check", "--cases", "2000", "--seed", "1"]).spawn().expect("the command starts");
    drop(child.stdout.take());
    let err = child.stderr.take().expect("a pipe");
    let run = finish_reading(child, std::io::empty(), err);
    assert_ne!(run.code, 70, "{}", run.err);
}

#[test]
fn no_command_at_all_means_check() {
    let scratch = Scratch::new();
    // Judging the whole default campaign takes long; that it looks at the saved failures first shows that it began one.
    fs::create_dir(scratch.0.join("failures")).expect("a directory");
    let mut file = fs::File::create(scratch.0.join("failures/x.heap")).expect("a file");
    file.write_all(b"gc dance\n").expect("it can be written");
    let run = scratch.heaplaw(&[]).exits(2);
    assert!(run.err.starts_with("heaplaw: failures/x.heap:1:4: expected full, start,"), "{}", run.err);
}
