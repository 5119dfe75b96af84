//! The driver for other processes, tried on the adapter that everybody copies: `adapters/heap.py`, right and broken.
//!
//! These tests need `python3` and a Unix shell, and fail without them: a check that skips itself checks nothing.

use heaplaw_conformance::{
    drive::{
        Failure, Subject,
        process::{LONGEST, Process},
        step::{self, Ending},
    },
    generate::{choices::Seed, scenario::Scenario},
    history::{History, Moment},
};
use heaplaw_reference::{
    event::{Event, Phase},
    graph::{Effect, Graph},
    heap::{Capability, Claims, Heap, Invariant, Reply},
    machine::Machine,
    object::{Address, ObjectId},
    op::{Collect, Op, Program},
    protocol::Protocol,
    text::answer,
};
use std::{
    collections::{BTreeSet, HashMap},
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters/heap.py");

/// Long enough for a loaded machine; only what is expected to hang is given less.
const PATIENT: Duration = Duration::from_secs(20);

/// For what is expected to hang. Starting the interpreter has to fit in too.
const BRIEF: Duration = Duration::from_secs(2);

/// How much longer than its timeout a failure may take: to kill, to reap, to read last words.
const SLACK: Duration = Duration::from_secs(5);

/// The faults that a child shows at the first operation instead of an answer.
const PROTOCOL_FAULTS: [&str; 7] = ["crash", "silent-exit", "hang", "garbage", "chatty", "drip", "flood"];

fn python(arguments: &[&str], timeout: Duration) -> Process {
    let version = Command::new("python3").arg("--version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "these tests judge conformance/adapters/heap.py and need python3 on the PATH"
    );
    Process::new([&["python3", ADAPTER], arguments].concat(), timeout)
}

fn op(line: &str) -> Op {
    line.parse().expect("an operation")
}

/// What the adapter claims: everything but what can be attached to objects, and the environment.
fn claims() -> Claims {
    let claimed = [
        Capability::Collect,
        Capability::Steps,
        Capability::Mutators,
        Capability::Addresses,
        Capability::Stats,
        Capability::Frees,
        Capability::Phases,
        Capability::Colors,
    ];
    Claims::new("heap.py").with(&claimed).upholding(Invariant::ModifiedWeak)
}

/// A program that the adapter can perform.
fn program(seed: u64, case: u64) -> Program {
    Scenario::suited(&claims(), 60).draw(&mut Seed::case(seed, case))
}

/// The right heap's history of a case.
fn history(heap: &mut Process, case: u64) -> History {
    let history = step::run(heap, &program(20, case), Ending::Settle).expect("the heap can be reset");
    assert_eq!(history.failure, None, "case {case}");
    assert_eq!(history.unclaimed, 0, "the adapter claims what the programs need");
    history
}

/// Resets and asks for one allocation; gives the failure, which has to come within the timeout.
fn failure(subject: &mut Process, timeout: Duration) -> Failure {
    subject.reset().expect("it can be greeted and reset");
    let start = Instant::now();
    let failure = subject.perform(&op("0 alloc r0 1 8"), &mut Vec::new()).expect_err("it fails at the first operation");
    assert!(start.elapsed() < timeout + SLACK, "{failure} took {:?}", start.elapsed());
    assert_eq!(subject.id(), None, "a child that failed is gone");
    failure
}

#[test]
fn the_adapter_says_who_it_is() {
    assert_eq!(python(&[], PATIENT).reset().unwrap(), claims());
}

#[test]
fn the_adapter_finds_every_object_where_it_was_born() {
    let mut heap = python(&[], PATIENT);
    let mut loads = 0;
    for case in 0..300 {
        let mut graph = Graph::new();
        let mut born: HashMap<ObjectId, Address> = HashMap::new();
        for Moment { op, reply, .. } in history(&mut heap, case).moments {
            let expected = match graph.apply(&op) {
                Effect::Born(id) => {
                    let Reply::Born { at, .. } = reply else { panic!("case {case}: {op} answers {reply:?}") };
                    born.insert(id, at);
                    continue;
                }
                Effect::Loaded(value) => {
                    loads += 1;
                    value.map_or(Reply::Nil, |id| Reply::Object(born[&id]))
                }
                Effect::Read(id) => Reply::Data(graph.object(id).expect("it is in a root").content()),
                Effect::Quiet if matches!(op, Op::Mutate { .. }) => Reply::Done,
                Effect::Quiet => {
                    let fits = match op {
                        Op::Collect(Collect::Stats) => matches!(reply, Reply::Stats { .. }),
                        _ => matches!(reply, Reply::Done | Reply::Idle),
                    };
                    assert!(fits, "case {case}: {op} answers {reply:?}");
                    continue;
                }
                other => panic!("case {case}: {op} needs more than the adapter claims: {other:?}"),
            };
            assert_eq!(reply, expected, "case {case}: {op}");
        }
    }
    assert!(loads > 1000, "only {loads} loads were looked at");
}

/// Where objects are and in which order they are swept is a heap's own business. How it marks is all laid down.
#[test]
fn the_adapter_marks_step_by_step_as_the_reference_machine_does() {
    /// What happened to which object, and what was answered, as far as it is laid down.
    fn comparable(op: Op, reply: &Reply, events: &[Event], born: &mut HashMap<Address, u64>, births: u64) -> String {
        if let Reply::Born { at, .. } = reply {
            born.insert(*at, births);
        }
        let reply = match (op, reply) {
            (Op::Collect(Collect::Sweep(_) | Collect::Stats), _) => String::new(),
            (_, Reply::Born { color, found, .. }) => format!("{found} {color:?}"),
            (_, Reply::Object(at)) => format!("{:?}", born.get(at)),
            (_, reply) => format!("{reply:?}"),
        };
        let events = events.iter().filter_map(|event| match event {
            Event::Shade(at) => Some(format!("shade {:?}", born.get(at))),
            Event::Scan(at) => Some(format!("scan {:?}", born.get(at))),
            // The end of a sweep depends on its order, so it comes when it comes.
            // The adapter does not report pauses.
            Event::Free(_) | Event::Pause { .. } | Event::Phase(Phase::Off) => None,
            other => Some(format!("{other:?}")),
        });
        format!("{op}: {reply} {:?}", events.collect::<Vec<_>>())
    }

    let mut heap = python(&[], PATIENT);
    for case in 300..600 {
        let mut machine = Machine::new(Protocol::HYBRID);
        let (mut here, mut there, mut births) = (HashMap::new(), HashMap::new(), 0);
        for Moment { op, reply, events } in history(&mut heap, case).moments {
            births += 1;
            let mut expected = Vec::new();
            let answer = machine.perform(&op, &mut expected);
            assert_eq!(
                comparable(op, &reply, &events, &mut here, births),
                comparable(op, &answer, &expected, &mut there, births),
                "case {case}"
            );
        }
    }
}

/// What is new to the words: an adapter that does not know it says so, whoever asks.
#[test]
fn what_the_adapter_does_not_claim_is_unknown_to_it() {
    let mut heap = python(&[], PATIENT);
    heap.reset().unwrap();
    heap.perform(&op("0 alloc r1 0 16"), &mut Vec::new()).unwrap();
    let lines = [
        "0 weak w0 r1",
        "0 strong r0 w0",
        "0 finalizer r1",
        "0 finalize r0",
        "0 cleanup r1 r1",
        "0 clean r0",
        "gc abort",
        "env fail 2",
        "env clock 1000",
    ];
    for line in lines {
        assert!(!claims().allow(&op(line)), "{line}");
        assert_eq!(heap.perform(&op(line), &mut Vec::new()), Ok(Reply::Unsupported), "{line}");
    }
}

/// One that claims it and then answers something else is no heap that breaks a law: it breaks the protocol.
#[test]
fn an_answer_of_the_wrong_kind_is_garbled() {
    let cases = [
        ("weak", "0 alloc r0 0 16\n0 weak w0 r0\n", "ref 4096"),
        ("weak", "0 alloc r0 0 16\n0 weak w0 r0\n0 strong r1 w0\n", "weak 7"),
        ("finalizers", "0 alloc r0 0 16\n0 finalizer r0\n", "idle"),
        ("finalizers", "0 finalize r0\n", "ok"),
        ("cleanups", "0 clean r0\n", "data 1"),
        ("abort", "gc abort\n", "nil"),
        ("faults", "env fail 2\n", "full"),
        ("clock", "env clock 1000\n", "idle"),
    ];
    for (claim, program, answer) in cases {
        let program: Program = program.parse().unwrap();
        // All is well up to the last operation.
        let before = "read op; case $op in *alloc*) echo at 4096 16 0;; *weak*) echo weak 7;; *) echo ok;; esac;";
        let script = format!(
            "read hello; echo heap x {claim}; read reset; echo ok; {} read op; echo {answer}; read op",
            before.repeat(program.len() - 1)
        );
        let mut subject = Process::new(["sh", "-c", &script], PATIENT);
        let history = step::run(&mut subject, &program, Ending::Abrupt).expect("it starts");
        let Some((at, Failure::Garbled(report))) = history.failure else { panic!("{program}: {:?}", history.failure) };
        assert_eq!((Some(&at), history.moments.len()), (program.ops().last(), program.len() - 1));
        assert_eq!(report, format!("{answer:?} is no answer to {at}"));
    }
}

#[test]
fn a_crash_is_told_with_status_and_last_words() {
    let Failure::Crashed(report) = failure(&mut python(&["--break", "crash"], PATIENT), PATIENT) else { panic!() };
    assert!(report.starts_with("exit status: 1, when asked \"0 alloc r0 1 8\""), "{report}");
    assert!(report.ends_with("| SystemError: the heap is on fire"), "{report}");
}

#[test]
fn a_silent_exit_is_a_crash() {
    let Failure::Crashed(report) = failure(&mut python(&["--break", "silent-exit"], PATIENT), PATIENT) else {
        panic!()
    };
    assert_eq!(report, "exit status: 0, when asked \"0 alloc r0 1 8\"");
}

#[test]
fn silence_and_a_slow_drip_both_hit_the_deadline() {
    for name in ["hang", "drip"] {
        assert_eq!(failure(&mut python(&["--break", name], BRIEF), BRIEF), Failure::Hung(BRIEF), "{name}");
    }
}

#[test]
fn what_is_not_an_answer_is_garbled() {
    let cases =
        [("garbage", "column 1: expected ok"), ("chatty", "went on after that"), ("flood", "more than 1048576")];
    for (name, told) in cases {
        let Failure::Garbled(report) = failure(&mut python(&["--break", name], PATIENT), PATIENT) else {
            panic!("{name}")
        };
        assert!(report.contains(told) && report.len() < 400, "{report}");
    }
}

#[test]
fn a_subject_that_failed_starts_again_when_it_is_reset() {
    let mut subject = python(&["--break", "crash"], PATIENT);
    for _ in 0..2 {
        assert!(matches!(failure(&mut subject, PATIENT), Failure::Crashed(_)));
        let unreset = subject.perform(&op("gc full"), &mut Vec::new());
        assert!(matches!(unreset, Err(Failure::Crashed(report)) if report.contains("was not reset")));
    }
}

#[test]
fn a_missing_command_is_unstartable() {
    let missing = Process::new(["/nowhere/heap", "--fast"], PATIENT).reset().unwrap_err();
    assert!(matches!(&missing, Failure::Unstartable(why) if why.starts_with("/nowhere/heap --fast: ")), "{missing}");
    let empty = Process::new([""; 0], PATIENT).reset().unwrap_err();
    assert_eq!(empty, Failure::Unstartable("the command is empty".to_owned()));
}

#[test]
fn a_missing_script_is_a_crash_in_its_interpreters_words() {
    let failure = Process::new(["python3", "/nowhere/heap.py"], PATIENT).reset().unwrap_err();
    let Failure::Crashed(report) = failure else { panic!("{failure}") };
    assert!(
        report.starts_with("exit status: 2, when asked \"hello\"") && report.contains("/nowhere/heap.py"),
        "{report}"
    );
}

#[cfg(unix)]
#[test]
fn a_child_that_is_killed_from_outside_has_crashed() {
    let mut heap = python(&[], PATIENT);
    heap.reset().unwrap();
    heap.perform(&op("0 alloc r0 1"), &mut Vec::new()).unwrap();
    let id = heap.id().expect("it runs").to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill -s KILL {id}")]).status().unwrap().success());
    let Err(Failure::Crashed(report)) = heap.perform(&op("gc full"), &mut Vec::new()) else { panic!() };
    assert!(report.starts_with("signal: 9 (SIGKILL), when asked \"gc full\""), "{report}");
    heap.reset().unwrap();
    assert!(heap.perform(&op("gc full"), &mut Vec::new()).is_ok());
}

/// A subject written in shell: greets as `x`, resets, and then does what `script` says.
fn shell(script: &str, timeout: Duration) -> Process {
    let greets = "read hello; echo heap x; read reset; echo ok; read op;";
    Process::new(["sh", "-c", &format!("{greets} {script}")], timeout)
}

#[test]
fn an_answer_may_be_long_but_not_longer() {
    let trap = |letters: usize| {
        // The end of the line comes after the rest has been looked at.
        let script = format!("printf 'trap '; head -c {letters} /dev/zero | tr '\\0' x; sleep 0.3; echo; read op");
        let mut subject = shell(&script, PATIENT);
        subject.reset().unwrap();
        subject.perform(&op("gc full"), &mut Vec::new())
    };
    let most = LONGEST - "trap ".len();
    assert!(matches!(trap(most), Ok(Reply::Trap(why)) if why.len() == most));
    assert!(matches!(trap(most + 1), Err(Failure::Garbled(_))));
    // What has no end is not waited for, however it comes in pieces.
    let script = format!("printf x; sleep 0.3; head -c {} /dev/zero | tr '\\0' x; exec sleep 60", 2 * LONGEST);
    assert!(matches!(failure(&mut shell(&script, PATIENT), PATIENT), Failure::Garbled(_)));
}

#[test]
fn bytes_that_are_not_text_are_shown_escaped() {
    let Failure::Garbled(report) = failure(&mut shell(r"printf 'ok\377\n'; read op", PATIENT), PATIENT) else {
        panic!()
    };
    assert_eq!(report, r#"it said "ok\xff", which is not UTF-8, when asked "0 alloc r0 1 8""#);
}

#[test]
fn an_answer_that_breaks_off_is_a_crash() {
    let Failure::Crashed(report) = failure(&mut shell("printf 'at 40'; exit 3", PATIENT), PATIENT) else { panic!() };
    assert_eq!(report, r#"exit status: 3, when asked "0 alloc r0 1 8" and after it had said "at 40""#);
}

#[test]
fn closing_the_output_is_a_crash_even_if_the_child_lives_on() {
    let Failure::Crashed(report) = failure(&mut shell("exec >&-; exec sleep 60", PATIENT), PATIENT) else { panic!() };
    assert!(report.starts_with("it closed its pipes and went on running"), "{report}");
}

#[test]
fn what_is_said_unasked_is_not_taken_for_the_next_answer() {
    let mut subject = shell("echo ok; sleep 0.1; echo ok; read op; echo ok; read op", PATIENT);
    subject.reset().unwrap();
    assert_eq!(subject.perform(&op("gc full"), &mut Vec::new()), Ok(Reply::Done));
    thread::sleep(Duration::from_secs(1));
    let failure = subject.perform(&op("gc start"), &mut Vec::new()).unwrap_err();
    assert!(failure.to_string().contains("had already said \"ok\" unasked, when asked \"gc start\""), "{failure}");
}

#[test]
fn a_child_that_complains_at_length_is_heard_out_but_not_quoted_in_full() {
    let script = "seq 1 200000 >&2; echo ok; read op; seq 1 200000 >&2; exit 1";
    let mut subject = shell(script, PATIENT);
    subject.reset().unwrap();
    assert_eq!(subject.perform(&op("gc full"), &mut Vec::new()), Ok(Reply::Done));
    let Err(Failure::Crashed(report)) = subject.perform(&op("gc full"), &mut Vec::new()) else { panic!() };
    assert_eq!(report.lines().count(), 1 + 20, "{report}");
    assert!(report.ends_with("| 199999\n  | 200000"), "{report}");
}

#[test]
fn a_child_is_killed_with_its_own_children() {
    let trace = concat!(env!("CARGO_TARGET_TMPDIR"), "/a_grandchild_was_here");
    _ = std::fs::remove_file(trace);
    let mut subject = shell(&format!("(sleep 1; echo > '{trace}') & echo ok; read op; sleep 60"), PATIENT);
    subject.reset().unwrap();
    assert_eq!(subject.perform(&op("gc full"), &mut Vec::new()), Ok(Reply::Done));
    drop(subject);
    thread::sleep(Duration::from_secs(2));
    assert!(!std::path::Path::new(trace).exists());
}

#[test]
fn the_transcript_in_the_readme_is_what_the_adapter_says() {
    let readme = include_str!("../adapters/README.md");
    let transcript: Vec<&str> = readme.split("```").find(|block| block.contains("> hello")).unwrap().lines().collect();
    let asked: String =
        transcript.iter().filter_map(|line| line.strip_prefix("> ")).map(|op| format!("{op}\n")).collect();
    let mut heap = Command::new("python3").arg(ADAPTER).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    heap.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let said = String::from_utf8(heap.wait_with_output().unwrap().stdout).unwrap();
    let answers: Vec<&str> = transcript[1..].iter().copied().filter(|line| !line.starts_with("> ")).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), answers);
}

/// Whoever writes an adapter reads that page and nothing else.
#[test]
fn the_readme_tells_every_operation_answer_event_and_claim() {
    let page = include_str!("../adapters/README.md");
    // The cells of the tables under a heading, each as the pieces of code in it.
    let rows = |heading: &str| -> Vec<Vec<Vec<&str>>> {
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
        let code = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| line.split('|').skip(1).map(code).collect()).collect()
    };

    let mut told = BTreeSet::new();
    for row in rows("Operations") {
        let claim: Option<Capability> = row[3].first().map(|name| Capability::named(name).expect("a capability"));
        for op in row[0].iter().chain(&row[1]).filter_map(|code| code.parse::<Op>().ok()) {
            let all_but = Capability::ALL.into_iter().filter(|capability| Some(*capability) != claim);
            assert!(Claims::new("x").with(&claim.into_iter().collect::<Vec<_>>()).allow(&op), "{op}");
            assert!(claim.is_none() || !Claims::new("x").with(&all_but.collect::<Vec<_>>()).allow(&op), "{op}");
            told.insert(op.to_string().split(' ').nth(1).unwrap_or_default().to_owned());
        }
        // Every answer that is named here is told there.
        for answer in &row[2] {
            assert!(rows("Answers").iter().any(|row| row[0][0].split(' ').next() == Some(answer)), "{answer}");
        }
    }
    let words = include_str!("../../reference/src/text.rs").lines().filter_map(|line| line.strip_prefix("//! "));
    let verbs: BTreeSet<_> = words
        .filter_map(|line| line.parse::<Op>().ok())
        .map(|op| op.to_string().split(' ').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert!(verbs.len() >= 30, "{verbs:?}");
    assert_eq!(told, verbs);

    let table = include_str!("../../reference/src/text/answer.rs");
    let listed = |start: &str| -> BTreeSet<String> {
        let lines = table.lines().filter_map(|line| line.strip_prefix(start)?.split(['`', ' ']).next());
        lines.map(str::to_owned).collect()
    };
    let first = |heading| -> BTreeSet<String> {
        rows(heading).iter().filter_map(|row| Some(row[0][0].split(' ').next()?.to_owned())).collect()
    };
    let (answers, events) = (listed("//! | `"), listed("//! | `; "));
    assert!(answers.len() >= 12 && events.len() >= 7, "{answers:?} {events:?}");
    assert_eq!(first("Answers"), answers.into_iter().filter(|word| word != ";").collect());
    assert_eq!(first("Events"), events);
    for row in rows("Answers") {
        assert!(answer::parse(row[0][0]).is_ok(), "{row:?}");
    }
    for row in rows("Events") {
        assert!(answer::parse(&format!("ok; {}", row[0][0])).is_ok(), "{row:?}");
    }

    let claims: BTreeSet<&str> = rows("Claims").iter().flat_map(|row| row[0].clone()).collect();
    let all = Capability::ALL.map(Capability::name).into_iter().chain(["batch", "invariant=", "placement="]).collect();
    assert_eq!(claims, all);
    for invariant in Invariant::ALL {
        assert!(page.contains(&format!("`{invariant}` (")), "{invariant}");
    }
}

/// A heap that loses objects must go on answering, or the laws would have nothing to say about it.
#[test]
fn a_broken_heap_keeps_to_the_protocol() {
    let list = Command::new("python3").args([ADAPTER, "--list"]).output().unwrap().stdout;
    let list = String::from_utf8(list).unwrap();
    let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let (heaps, protocol): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| !PROTOCOL_FAULTS.contains(name));
    assert_eq!(protocol, PROTOCOL_FAULTS);
    for name in heaps {
        let mut heap = python(&["--break", name], PATIENT);
        for case in 0..40 {
            let history = step::run(&mut heap, &program(21, case), Ending::Settle).expect("the heap can be reset");
            assert_eq!(history.failure, None, "{name}, case {case}");
        }
    }
}
