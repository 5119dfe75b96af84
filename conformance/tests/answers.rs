//! The answers that come with the corpus, `programs/answers/`: they are what the reference answers, every heap that
//! conforms gives them, and the script in `adapters/` compares them as the kit does.
//!
//! After a change to the stories they are written again, from the project's directory, by
//!
//! ```text
//! for story in conformance/programs/*.heap; do
//!     name=$(basename $story .heap)
//!     heap=$(grep -q '^[0-9] free' $story && echo first-fit || { grep -q '^gc pace\|^env gogc' $story && echo paced || echo hybrid; })
//!     heaplaw replay $story --answers --heap reference:$heap > conformance/programs/answers/$name.answers
//! done
//! ```
//!
//! These tests need `python3`, `cc`, `awk` and a Unix shell, and fail without them.

use heaplaw_conformance::{
    answers,
    drive::{InProcess, Subject, process::Process, step},
    saved,
};
use heaplaw_reference::{
    heap::{Claims, Heap, Reply},
    machine::Machine,
    op::{Op, Program},
    pacer::Pacing,
    place::manual::{Manual, Policy},
    protocol::{Protocol, StackScan},
    text::answer,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters");

/// Long enough for a loaded machine.
const PATIENT: Duration = Duration::from_secs(20);

/// A story, and the file of its answers.
struct Story {
    name: String,
    file: PathBuf,
    program: Program,
    answers: String,
}

fn stories() -> Vec<Story> {
    let stories = saved::all(Path::new(PROGRAMS)).unwrap_or_else(|error| panic!("{error}"));
    assert!(stories.len() >= 50, "only {} stories were found", stories.len());
    let story = |(file, program): (PathBuf, Program)| {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII").to_owned();
        let path = format!("{PROGRAMS}/answers/{name}.answers");
        let answers = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; see {}", file!()));
        Story { name, file, program, answers }
    };
    stories.into_iter().map(story).collect()
}

impl Story {
    /// A subject that can perform the story: programs that free by hand are for allocators.
    fn reference(&self) -> Box<dyn Subject> {
        let collector = || Machine::new(Protocol::HYBRID);
        let paced = || Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
        if self.suits(&collector().claims()) {
            Box::new(InProcess::new(collector))
        } else if self.suits(&paced().claims()) {
            Box::new(InProcess::new(paced))
        } else {
            Box::new(InProcess::new(|| Manual::new(Policy::FirstFit)))
        }
    }

    fn answers_of(&self, subject: &mut dyn Subject) -> String {
        let history = step::run(subject, &self.program, step::Ending::Abrupt);
        let history = history.unwrap_or_else(|failure| panic!("{}: {failure}", self.name));
        answers::of(&self.program, &history)
    }

    /// Whether a heap with these claims can perform every operation.
    fn suits(&self, claims: &Claims) -> bool {
        self.program.ops().iter().all(|op| claims.allow(op))
    }

    /// What the documented line of shell makes of an adapter.
    fn compared_by_hand(&self, adapter: &str) -> String {
        let story = self.file.to_str().expect("a path in ASCII");
        let line = format!("{adapter} < '{story}' | awk -f '{ADAPTERS}/answers.awk' '{story}' -");
        let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn the_answers_are_those_of_the_reference() {
    let mut wrong = Vec::new();
    for story in stories() {
        if story.answers_of(&mut *story.reference()) != story.answers {
            wrong.push(story.name);
        }
    }
    assert!(wrong.is_empty(), "{} says how the answers to {wrong:?} are written again", file!());
}

#[test]
fn every_file_of_answers_belongs_to_a_story() {
    let entries = fs::read_dir(format!("{PROGRAMS}/answers")).expect("the directory");
    let files: BTreeSet<_> = entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    assert_eq!(files, stories().iter().map(|story| format!("{}.answers", story.name)).collect());
}

#[test]
fn the_answers_are_a_program_themselves_which_is_the_story() {
    for story in stories() {
        assert!(story.answers.starts_with(answers::HEADER), "{}", story.name);
        assert_eq!(story.answers.parse::<Program>().expect("a program"), story.program, "{}", story.name);
    }
}

/// The stories in which a weak pointer is asked for an object that no mutator can reach, while marking. A design that has
/// found it dead by then, because it stops the world and marks it all at once, answers nil, and may.
const OPEN: [&str; 2] = ["weak-to-strong-while-marking", "brought-back-with-a-neighbour"];

#[test]
fn every_sound_design_gives_these_answers() {
    for story in stories() {
        for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.sound) {
            if !story.suits(&Machine::new(protocol).claims()) {
                continue;
            }
            if OPEN.contains(&story.name.as_str()) && protocol.stacks == StackScan::Stopped {
                continue;
            }
            let answers = story.answers_of(&mut InProcess::new(|| Machine::new(protocol)));
            assert_eq!(answers, story.answers, "{} with {}", story.name, protocol.name);
        }
    }
}

#[test]
fn the_heaps_in_c_and_in_python_give_these_answers_by_hand() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("answers-{}", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O2", "-o"]).arg(&program).arg(format!("{ADAPTERS}/heap.c"));
    assert!(cc.status().expect("this test compiles adapters/heap.c with cc").success());
    let c = program.to_str().expect("a path in ASCII");
    let python = format!("python3 '{ADAPTERS}/heap.py'");
    let claims =
        Process::new(["python3".to_owned(), format!("{ADAPTERS}/heap.py")], PATIENT).reset().expect("it starts");
    let mut suited = 0;
    for story in stories() {
        if story.suits(&Machine::new(Protocol::HYBRID).claims()) {
            assert_eq!(story.compared_by_hand(c), story.answers, "{} with heap.c", story.name);
        }
        if story.suits(&claims) {
            suited += 1;
            assert_eq!(story.compared_by_hand(&python), story.answers, "{} with heap.py", story.name);
        }
    }
    assert!(suited >= 40, "only {suited} stories");
    _ = fs::remove_file(program);
}

/// A heap need not say a word of its collector for these to be noticed.
#[test]
fn heaps_that_lose_or_damage_objects_answer_something_else() {
    let stories = stories();
    for fault in [
        "no-barrier",
        "nil-is-special",
        "lost-root",
        "frees-young",
        "full-leaves-garbage",
        "dirty-memory",
        "loses-writes",
        "moves",
        "miscounts",
        "shares-place",
    ] {
        let adapter = format!("python3 '{ADAPTERS}/heap.py' --break {fault}");
        let noticed = |story: &&Story| story.compared_by_hand(&adapter) != story.answers;
        assert!(
            stories.iter().filter(|story| !story.answers.contains("finalize")).any(|story| noticed(&story)),
            "{fault}"
        );
    }
}

/// The kit and the script do the same to answers of every kind, right or wrong.
#[test]
fn the_script_writes_answers_as_the_kit_does() {
    let transcript = [
        ("0 alloc r0 0 16", "at 4096 16 0; free 64"),
        ("0 alloc r1 0 16", "full"),
        ("0 alloc r1 0 16", "at 0xffffffffffffff00 16 torn@3 black; shade 1"),
        ("0 weak w0 r1", "weak 18446744073709551615"),
        ("0 weak w1 r0", "weak 7"),
        ("0 weak w2 r1", "weak 18446744073709551615; shade 1"),
        ("0 strong r2 w0", "ref 0xffffffffffffff00"),
        ("0 strong r2 w0", "ref 65"),
        ("0 strong r2 w0", "nil"),
        ("0 read r2", "trap what, me"),
        ("0 read r2", "data torn@9"),
        ("0 read r2", "data 18446744073709551615"),
        ("gc start", "ok; phase mark"),
        ("gc stats", "stats 3 48"),
        ("gc full", "ok; phase mark; phase terminate"),
        ("gc stats", "stats 2 32"),
        ("gc stats", "stats 2 32"),
        ("gc mark 9", "idle"),
        ("gc abort", "unknown"),
        ("env clock 9", "unknown"),
        ("env fail 1", "ok"),
        ("0 alloc r0 1", "full"),
        ("0 alloc r0 1", "at 8 8 0"),
        ("env fail 0", "ok"),
        ("0 load r2 g0", "ref 8"),
        ("0 alloc r0 1", "full"),
        ("0 exit", "unknown"),
    ];
    let many = (0..30).map(|number| ("0 alloc r0 1", format!("at {} 8 0", 9000 + 8 * number)));
    let all = transcript.map(|(op, said)| (op, said.to_owned())).into_iter().chain(many);
    let parsed: Vec<(Op, Reply, String)> =
        all.map(|(op, said)| (op.parse().unwrap(), answer::parse(&said).unwrap().0, said)).collect();
    let written = answers::beside(parsed.iter().map(|(op, reply, _)| (*op, Some(reply))));
    assert!(written.contains("# at aa 0\n") && written.contains("# ref e\n"), "{written}");

    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("script-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    let story: String = parsed.iter().map(|(op, _, _)| format!("{op}  # why\n\n")).collect();
    let said: String = parsed.iter().map(|(_, _, said)| format!("{said}\n")).collect();
    fs::write(dir.join("x.heap"), format!("# A story.\n\n{story}")).expect("a file");
    fs::write(dir.join("said"), &said).expect("a file");
    let script = format!("{ADAPTERS}/answers.awk");
    let run = |said: &str| {
        let output = Command::new("awk").args(["-f", &script, "x.heap", said]).current_dir(&dir).output();
        String::from_utf8(output.expect("awk").stdout).expect("text")
    };
    assert_eq!(run("said"), written);
    // A heap that breaks off is told so, line by line.
    fs::write(dir.join("short"), "at 4096 16 0\n").expect("a file");
    assert!(run("short").contains("0 exit                   # no answer\n"), "{}", run("short"));
    fs::remove_dir_all(dir).expect("the directory goes");
}

/// A heap that answers everything that is asked of it, and is no heap.
struct Nonsense;

impl Heap for Nonsense {
    fn claims(&self) -> Claims {
        Claims::new("nonsense")
    }

    fn perform(&mut self, _: &Op, _: &mut Vec<heaplaw_reference::event::Event>) -> Reply {
        Reply::OutOfMemory
    }
}

#[test]
fn what_is_not_performed_has_no_answer() {
    let program: Program = "0 alloc r0 1\ngc full\n0 read r0\n".parse().expect("a program");
    let history = step::run(&mut InProcess::new(|| Nonsense), &program, step::Ending::Abrupt).expect("it starts");
    let expected = format!("{}0 alloc r0 1             # full\ngc full\n0 read r0\n", answers::HEADER);
    assert_eq!(answers::of(&program, &history), expected);
}
