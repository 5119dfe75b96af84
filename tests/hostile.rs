//! Input that means harm: damaged files, files that are no files of operations, adapters that do what they like.
//!
//! Whatever comes, it is understood or refused in words, within bounds of memory and time, and nothing is left running.
//! Memory and time are those that the kernel has counted: a few lines of Python run the command and ask for them. These
//! tests need `python3` and a Unix shell, and fail without them.

use heaplaw_conformance::saved::{self, FileError};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const HEAPLAW: &str = env!("CARGO_BIN_EXE_heaplaw");
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/programs");

/// The most memory that the command may need, in KiB, and the most time that it may compute on a small file.
const MEMORY: u64 = 64 << 10;
const BRIEFLY: Duration = Duration::from_secs(1);

/// Runs each line of its input, words parted by tabs, one after the other; says how each ended, the most memory that it
/// had in KiB, and how many milliseconds it computed.
const RUNNER: &str = r#"
import os, sys
for number, line in enumerate(sys.stdin):
    words = line.rstrip("\n").split("\t")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [(os.POSIX_SPAWN_OPEN, fd, f"{number}.{kind}", flags, 0o600) for fd, kind in ((1, "out"), (2, "err"))]
    files.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    child = os.posix_spawn(words[0], words, os.environ, file_actions=files)
    _, status, used = os.wait4(child, 0)
    milliseconds = int(1000 * (used.ru_utime + used.ru_stime))
    print(os.waitstatus_to_exitcode(status), used.ru_maxrss, milliseconds, flush=True)
"#;

/// How the command ended.
#[derive(Debug)]
struct Run {
    /// Less than 0 if a signal ended it.
    code: i32,
    kib: u64,
    computed: Duration,
    out: String,
    err: String,
}

impl Run {
    /// That nothing is wrong with the command itself, as far as anybody can see.
    #[track_caller]
    fn is_sane(&self, what: &str) -> &Run {
        assert!((0..=8).contains(&self.code), "{what}: {self:?}");
        assert!(!self.err.contains("panicked") && !self.err.contains("internal error"), "{what}: {self:?}");
        assert!(self.kib <= MEMORY, "{what}: {} KiB", self.kib);
        for told in [&self.out, &self.err] {
            assert!(told.len() <= 8192 && told.chars().all(|c| c == '\n' || !c.is_control()), "{what}: {self:?}");
        }
        self
    }
}

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    /// Runs the command once for each of these lists of arguments.
    fn heaplaw(&self, runs: &[Vec<&str>]) -> Vec<Run> {
        let mut python = Command::new("python3");
        python.args(["-c", RUNNER]).current_dir(&self.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().expect("python3 on the PATH");
        let lines: String = runs.iter().map(|run| format!("{HEAPLAW}\t{}\n", run.join("\t"))).collect();
        let mut input = python.stdin.take().expect("a pipe");
        // A pipe may not hold all lines.
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = python.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("it reads them all");
        let told = String::from_utf8(output.stdout).expect("numbers");
        let read = |number: usize, kind: &str| {
            let bytes = fs::read(self.0.join(format!("{number}.{kind}"))).expect("its output");
            String::from_utf8(bytes).expect("the command writes UTF-8")
        };
        let told: Vec<Run> = (0..)
            .zip(told.lines())
            .map(|(number, line)| {
                let mut numbers = line.split(' ').map(|number| number.parse::<i64>().expect("a number"));
                let mut next = || numbers.next().expect("three numbers");
                let (code, kib, computed) = (next() as i32, next() as u64, Duration::from_millis(next() as u64));
                Run { code, kib, computed, out: read(number, "out"), err: read(number, "err") }
            })
            .collect();
        assert_eq!(told.len(), runs.len());
        told
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the build directory and harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Twenty stories.
fn stories() -> Vec<Vec<u8>> {
    let files = fs::read_dir(PROGRAMS).expect("the corpus").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "heap")).collect();
    files.sort();
    let all: Vec<_> = files.iter().map(|path| fs::read(path).expect("a story")).collect();
    let some: Vec<_> = all.into_iter().filter(|story| story.len() < 2000).take(20).collect();
    assert_eq!(some.len(), 20);
    some
}

/// A story that ends too soon, for every end; and with one bit turned, for every bit.
fn damaged(story: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..story.len()).map(|end| story[..end].to_vec());
    let flipped = (0..8 * story.len()).map(|bit| {
        let mut story = story.to_vec();
        story[bit / 8] ^= 1 << (bit % 8);
        story
    });
    cut.chain(flipped)
}

#[test]
fn every_damaged_story_is_read_or_refused_by_line_and_column() {
    let (mut read, mut refused) = (0, 0);
    for story in stories() {
        for bytes in damaged(&story) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match saved::parse(Path::new("x.heap"), bytes) {
                Ok(program) => {
                    assert_eq!(program.to_string().parse(), Ok(program), "{text}");
                    read += 1;
                }
                Err(FileError::Malformed { error, line, .. }) => {
                    let lines = text.lines().count().max(1);
                    assert!((1..=lines).contains(&error.line), "{error} in\n{text}");
                    assert!((1..=line.chars().count() + 1).contains(&error.column), "{error} in {line:?}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(read > 10_000 && refused > 10_000, "{read} were read, {refused} refused");
}

#[test]
fn the_command_survives_damaged_stories_in_little_memory_and_time() {
    let scratch = Scratch::new("damaged");
    let all: Vec<_> = stories().iter().flat_map(|story| damaged(story).collect::<Vec<_>>()).collect();
    let some: Vec<_> = all.iter().step_by(all.len() / 500).take(500).collect();
    assert_eq!(some.len(), 500);
    let names: Vec<_> = (0..some.len()).map(|number| format!("{number}.heap")).collect();
    for (name, bytes) in names.iter().zip(&some) {
        fs::write(scratch.0.join(name), bytes).expect("a file for the test");
    }
    let runs = scratch.heaplaw(&names.iter().map(|name| vec!["replay", name]).collect::<Vec<_>>());
    let mut codes = [0; 5];
    for (name, run) in names.iter().zip(&runs) {
        run.is_sane(name);
        assert!(run.computed <= BRIEFLY, "{name}: {:?}", run.computed);
        codes[usize::try_from(run.code).expect("an exit code").min(4)] += 1;
        match run.code {
            0 => assert!(run.out.ends_with("every law that applies holds\n"), "{run:?}"),
            2 => {
                let place = run.err.strip_prefix(&format!("heaplaw: {name}:")).expect("where it is wrong");
                let numbers: Vec<_> = place.split(':').take(2).map(str::parse::<u32>).collect();
                assert!(numbers.iter().all(|number| matches!(number, Ok(1..))), "{}", run.err);
                assert!(run.err.ends_with("^\n") && run.out.is_empty(), "{run:?}");
            }
            // Nothing was left of the story.
            4 => assert!(run.out.contains("nothing was judged"), "{run:?}"),
            code => panic!("{name}: exit code {code}: {run:?}"),
        }
    }
    assert!(codes[0] > 100 && codes[2] > 100, "{codes:?}");
}

#[test]
fn files_that_are_no_stories_are_refused_in_words() {
    let scratch = Scratch::new("strange");
    let write = |name: &str, bytes: &[u8]| fs::write(scratch.0.join(name), bytes).expect("a file for the test");
    // Takes no room on the disk.
    let huge = fs::File::create(scratch.0.join("huge.heap")).expect("a file for the test");
    huge.set_len(1 << 30).expect("a gigabyte of nothing");
    write("lines.heap", "0 alloc r0 1 8\n".repeat(1_000_000).as_bytes());
    let binary: Vec<u8> = (0..4096u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    write("binary.heap", &binary);
    write("nul.heap", b"0 alloc\0r0 1\n");
    write("nuls.heap", &[0; 5000]);
    write("crlf.heap", b"0 alloc r0 1 8\r\n0 read r0\r\ngc full\r\n");
    write("mac.heap", b"0 alloc r0 1 8\r0 read r0\rgc full\r");
    write("bom.heap", b"\xef\xbb\xbf0 alloc r0 1\n");
    write("utf16.heap", b"\xff\xfe0\0 \0a\0l\0l\0o\0c\0");
    write("latin.heap", b"# gr\xfc\xdfe\n0 alloc r0 1\n");
    write("long.heap", format!("0 alloc r0 {}\n", "9".repeat(500_000)).as_bytes());
    write("wide.heap", format!("{}0 alloc r0 1 q\n", " ".repeat(500_000)).as_bytes());
    write("word.heap", "x".repeat(1 << 20).as_bytes());
    for (name, number) in [("u32", "4294967296"), ("u64", "18446744073709551616"), ("most", "1073741825")] {
        write(&format!("{name}.heap"), format!("gc full\n0 alloc r0 0 {number}\n").as_bytes());
    }
    write("field.heap", b"0 load r0 r1.99999999999999999999\n");
    write("root.heap", b"0 clear r256\n");
    write("minus.heap", b"gc mark -1\n");
    write("escape.heap", b"\x1b[2J\x1b]0;owned\x07\n");
    fs::create_dir(scratch.0.join("directory.heap")).expect("a directory");
    let cases = [
        ("huge.heap", 2, "this is no file of operations: it has more than 1048576 bytes"),
        ("lines.heap", 2, "this is no file of operations: it has more than 1048576 bytes"),
        ("binary.heap", 2, "binary.heap:1:"),
        ("nul.heap", 2, r#"nul.heap:1:3: expected alloc, load,"#),
        ("nuls.heap", 2, "nuls.heap:1:1: expected a mutator 0 to 3, gc or env; found \"\\0\\0"),
        ("crlf.heap", 0, ""),
        ("mac.heap", 2, "mac.heap:1:"),
        ("bom.heap", 2, "bom.heap:1:1: expected a mutator 0 to 3, gc or env; found \"\\u{feff}0\""),
        ("utf16.heap", 2, "utf16.heap:1:1: this is not UTF-8 text"),
        ("latin.heap", 2, "latin.heap:1:5: this is not UTF-8 text"),
        ("long.heap", 2, "long.heap:1:12: expected a number of pointer fields, found \"999999999999999999999999…\""),
        ("wide.heap", 2, "wide.heap:1:500014: expected a number of data bytes, found \"q\""),
        ("word.heap", 2, "word.heap:1:1: expected a mutator"),
        ("u32.heap", 2, "u32.heap:2:14: expected a number of data bytes, found \"4294967296\""),
        ("u64.heap", 2, "u64.heap:2:14: expected a number of data bytes, found \"18446744073709551616\""),
        ("most.heap", 2, "most.heap:2:14: expected a number of data bytes, found \"1073741825\""),
        ("field.heap", 2, "field.heap:1:11: expected a field such as r1.2"),
        ("root.heap", 2, "root.heap:1:9: expected a root r0 to r15, found \"r256\""),
        ("minus.heap", 2, "minus.heap:1:9: expected a number of objects, found \"-1\""),
        ("escape.heap", 2, "escape.heap:1:1: expected a mutator 0 to 3, gc or env; found \"\\u{1b}[2J"),
        ("directory.heap", 2, "directory.heap: Is a directory"),
    ];
    for command in ["replay", "shrink"] {
        let runs = scratch.heaplaw(&cases.iter().map(|(name, ..)| vec![command, name]).collect::<Vec<_>>());
        for ((name, code, told), run) in cases.iter().zip(&runs) {
            assert_eq!(run.is_sane(name).code, *code, "{name}: {run:?}");
            assert!(run.err.contains(told), "{name}: {}", run.err);
            assert!(run.computed <= BRIEFLY, "{name}: {:?}", run.computed);
        }
    }
    // A saved failure like that is not passed over, and not swallowed either.
    fs::create_dir(scratch.0.join("failures")).expect("a directory");
    fs::rename(scratch.0.join("huge.heap"), scratch.0.join("failures/huge.heap")).expect("it moves");
    let run = scratch.heaplaw(&[vec!["check", "--cases", "1"]]).remove(0);
    assert_eq!(run.is_sane("failures/huge.heap").code, 2);
    assert!(run.err.contains("failures/huge.heap: this is no file of operations"), "{}", run.err);
    // Nor is a list of known failures.
    fs::rename(scratch.0.join("failures/huge.heap"), scratch.0.join("known.toml")).expect("it moves");
    let run = scratch.heaplaw(&[vec!["check", "--cases", "1"]]).remove(0);
    assert_eq!(run.is_sane("known.toml").code, 2);
    let told = "known.toml: this is no list of known failures: it has more than 1048576 bytes";
    assert!(run.err.contains(told) && run.computed <= BRIEFLY, "{}", run.err);
}

/// The processes that have this word among their arguments or in their environment.
fn running(marker: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok());
    let read = |path: PathBuf, name| fs::read(path.join(name)).unwrap_or_default();
    let told = processes.map(|entry| [read(entry.path(), "cmdline"), read(entry.path(), "environ")].concat());
    let told = told.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    told.filter(|told| told.contains(marker)).collect()
}

/// Each does something else when it is asked for the first operation; `hold` never ends by itself.
#[test]
fn hostile_adapters_are_named_and_leave_nothing_running() {
    let scratch = Scratch::new("adapters");
    let hold = "while :; do sleep 0.2; done";
    let cases = [
        // A line without an end, and one of four gigabytes.
        ("cat /dev/zero".to_owned(), 5, "it said a line of more than 1048576 bytes"),
        (
            "head -c 4294967296 /dev/zero | tr '\\0' 7; echo".to_owned(),
            5,
            "it said a line of more than 1048576 bytes: \"7777",
        ),
        ("yes ok".to_owned(), 5, "it said \"ok\" and went on after that"),
        (format!("head -c 3000 /dev/urandom; echo; {hold}"), 5, "it said "),
        (format!("printf 'ok\\000\\n'; {hold}"), 5, "it said \"ok\\x00\""),
        // Slowly, for ever.
        ("while :; do printf o; sleep 0.1; done".to_owned(), 6, "no answer within 2000 ms"),
        (hold.to_owned(), 6, "no answer within 2000 ms"),
        // Before it is asked, in one write.
        (format!("printf 'ok\\nok\\n'; {hold}"), 5, "it said \"ok\" and went on after that"),
        // Half way, with last words, with a signal.
        ("printf 'at 40'; echo oh >&2; exit 3".to_owned(), 5, "exit status: 3"),
        ("printf 'at 40'; kill -KILL $$".to_owned(), 5, "signal: 9"),
        // Not to be told to go.
        (format!("trap '' TERM HUP INT PIPE; {hold}"), 6, "no answer within 2000 ms"),
        (format!("exec >&-; {hold}"), 5, "it closed its pipes and went on running"),
        (format!("exec <&- >&- 2>&-; {hold}"), 5, "it closed its pipes and went on running"),
        // The heir keeps the pipes open.
        (format!("({hold}) & exit 0"), 5, "exit status: 0"),
        (format!("({hold}) & ({hold}) & {hold}"), 6, "no answer within 2000 ms"),
        // Last words that never end.
        ("cat /dev/zero >&2".to_owned(), 6, "no answer within 2000 ms"),
    ];
    let markers: Vec<_> = (0..cases.len()).map(|number| format!("hostile-{}-{number}", std::process::id())).collect();
    let scripts: Vec<_> = cases
        .iter()
        .zip(&markers)
        .map(|((script, ..), marker)| {
            let greets = "read h; echo heap x; while read o && [ \"$o\" = reset ]; do echo ok; done";
            format!("export MARK={marker}; {greets}; {script}")
        })
        .collect();
    let run = |script| vec!["replay", "one.heap", "--timeout", "2s", "--", "sh", "-c", script];
    fs::write(scratch.0.join("one.heap"), "0 alloc r0 1 8\n").expect("a file for the test");
    let start = Instant::now();
    let runs = scratch.heaplaw(&scripts.iter().map(|script| run(script.as_str())).collect::<Vec<_>>());
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
    for (((script, code, told), run), marker) in cases.iter().zip(&runs).zip(&markers) {
        assert_eq!(run.is_sane(script).code, *code, "{script}: {run:?}");
        assert!(run.out.contains(told), "{script}: {}", run.out);
        // Those that were killed may take a moment to go.
        let patience = Instant::now() + Duration::from_secs(5);
        while !running(marker).is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(running(marker), [""; 0], "{script}");
    }
    if cfg!(target_os = "linux") {
        let mut left = Command::new("sh");
        let mut left =
            left.args(["-c", "read x"]).env("MARK", &markers[0]).stdin(Stdio::piped()).spawn().expect("a shell");
        // What a process has in its environment is there a moment after it.
        let patience = Instant::now() + Duration::from_secs(5);
        let mut seen = running(&markers[0]);
        while seen.is_empty() && Instant::now() < patience {
            seen = running(&markers[0]);
        }
        left.kill().and_then(|()| left.wait()).expect("it goes");
        assert_eq!(seen.len(), 1, "who is left running would be seen");
    }
}
