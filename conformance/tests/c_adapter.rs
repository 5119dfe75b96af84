//! The adapter in C, `adapters/heap.c`, and what `heaplaw new` writes: they compile without warnings and conform.
//!
//! These tests need `cc` and `python3`, and fail without them: a check that skips itself checks nothing.

use heaplaw_conformance::{
    answers,
    campaign::{Campaign, End, Outcome},
    drive::{Failure, Subject, process::Process, step},
    generate::{choices::Seed, scenario::Scenario},
};
use heaplaw_reference::{
    heap::{Capability, Claims, Invariant, Reply},
    op::Program,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The heap that comes with `heaplaw new --lang rust`, as whoever copies it has it.
#[path = "../adapters/templates/adapter.rs"]
pub mod template;

const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters");

/// Long enough for a loaded machine.
const PATIENT: Duration = Duration::from_secs(20);

/// Compiles a file of `adapters`, without a warning, and gives the program.
fn compiled(source: &str, name: &str, options: &[&str]) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]).args(options).arg("-o").arg(&program);
    cc.arg(Path::new(ADAPTERS).join(source));
    let output = cc.output().unwrap_or_else(|error| panic!("these tests compile adapters/{source} with cc: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn process(program: &Path) -> Process {
    Process::new([program.to_string_lossy()], PATIENT)
}

fn judged(subject: &mut dyn Subject, cases: u64) -> Outcome {
    let outcome = Campaign { seed: 3, cases, ..Campaign::default() }.run(subject, &[], &mut ());
    assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
    assert_eq!(outcome.programs, cases);
    outcome
}

/// The numbers of the laws that were looked at.
fn checked(outcome: &Outcome) -> Vec<u16> {
    outcome.tallies.iter().filter(|tally| tally.checks > 0).map(|tally| tally.law.number).collect()
}

#[test]
fn the_heap_in_c_conforms_and_is_judged_at_speed() {
    let mut heap = process(&compiled("heap.c", "heap", &[]));
    // Everything but to be told when to free, to place objects as it did before, which is for `malloc` to say, and to
    // start cycles by itself for anything but the time.
    let not =
        [Capability::Free, Capability::Deterministic, Capability::Pacing, Capability::Aligned, Capability::Classes];
    let all: Vec<_> = Capability::ALL.into_iter().filter(|capability| !not.contains(capability)).collect();
    let claims = Claims::new("heap.c").with(&all).upholding(Invariant::ModifiedWeak);
    assert_eq!(heap.reset().expect("it starts"), claims);
    let outcome = judged(&mut heap, 3_000);
    let owed = heaplaw_conformance::law::all().filter(|law| law.missing(&claims).is_empty());
    assert_eq!(checked(&outcome), owed.map(|law| law.number).collect::<Vec<_>>());
    let rate = outcome.programs as f64 / outcome.elapsed.as_secs_f64();
    println!("{rate:.0} programs a second");
    // Ten times less than on an idle machine with an optimized judge; one line at a time would be slower still.
    assert!(rate > 200.0, "{rate:.0} programs a second");
}

#[test]
fn the_heap_in_c_handles_its_memory_well() {
    let options = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    judged(&mut process(&compiled("heap.c", "heap-sanitized", &options)), 500);
}

#[test]
fn a_refusal_in_a_batch_is_told_as_if_each_line_had_been_sent_alone() {
    let program: Program = "0 alloc r0 0 8\n0 alloc r0 0 99999999\n0 write r0\n0 read r0\ngc full\n0 alloc r1 1\n\
                            0 store r1.0 r0\n0 load r2 r1.0\n"
        .parse()
        .expect("a program");
    let mut heap = process(&compiled("heap.c", "heap-full", &[]));
    let history = step::run(&mut heap, &program, step::Ending::Abrupt).expect("it starts");
    let replies: Vec<_> = history.moments.iter().map(|moment| moment.reply.clone()).collect();
    assert!(matches!(replies[0], Reply::Born { .. }) && replies[1] == Reply::OutOfMemory, "{replies:?}");
    assert_eq!(history.program(), program, "{replies:?}");
    judged(&mut heap, 50);
}

#[test]
fn a_failure_in_a_batch_is_pinned_to_its_operation() {
    // It holds its answers back until all that has come in is answered, so that they are lost when it crashes.
    let script = "\
import os, sys
while lines := os.read(0, 4096).decode().splitlines():
    for line in lines:
        if line == 'hello': print('heap x batch')
        elif 'clear' in line: os._exit(9)
        elif 'alloc' in line: print('at 4096 8 0')
        else: print('ok')
    sys.stdout.flush()
";
    let program: Program = "0 alloc r0 1\n0 copy r1 r0\n0 clear r0\n0 safepoint\n".parse().expect("a program");
    let mut subject = Process::new(["python3", "-c", script], PATIENT);
    let history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("it starts");
    let (op, failure) = history.failure.expect("it crashes");
    let Failure::Crashed(report) = failure else { panic!("{failure}") };
    assert_eq!((op, history.moments.len()), (program.ops()[2], 2));
    assert_eq!(report, "exit status: 9, when asked \"0 clear r0\"");
}

#[test]
fn a_heap_is_not_blamed_for_what_a_wrong_plan_asked_of_it() {
    // The second allocation is refused, so that what is sent after it looks for a field that is not there.
    let script = "\
import os, sys
while lines := os.read(0, 4096).decode().splitlines():
    for line in lines:
        if line == 'hello': print('heap x batch')
        elif 'wipe' in line: os._exit(9)
        elif 'alloc r0 9' in line: print('full')
        elif 'alloc' in line: print('at 4096 16 0')
        elif 'read' in line: print('data 1')
        else: print('ok')
    sys.stdout.flush()
";
    let refused: Program = "0 alloc r0 0 16\n0 alloc r0 9\n0 wipe r0.0 9\n0 read r0\n".parse().expect("a program");
    let planned: Program = "0 alloc r0 2\n0 wipe r0.0 1\n".parse().expect("a program");
    let mut subject = Process::new(["python3", "-c", script], PATIENT);
    let history = step::run(&mut subject, &refused, step::Ending::Abrupt).expect("it starts");
    assert_eq!((&history.failure, history.moments.len()), (&None, 3));
    let history = step::run(&mut subject, &planned, step::Ending::Abrupt).expect("it starts again");
    assert!(matches!(history.failure, Some((_, Failure::Crashed(_)))), "{history:?}");
}

/// Whether it is asked line by line or ahead of its answers, the heap is asked the same and answers the same.
#[test]
fn what_is_sent_ahead_is_what_would_have_been_asked() {
    let program = compiled("heap.c", "heap-ahead", &[]);
    let mut ahead = process(&program);
    let slow = format!("exec {} | sed -u 's/ batch//'", program.to_string_lossy());
    let mut slow = Process::new(["sh", "-c", &slow], PATIENT);
    let claims = ahead.reset().expect("it starts");
    assert_eq!(slow.reset().expect("it starts"), claims);
    let mut handed_out = 0;
    for case in 0..200 {
        let program = Scenario::suited(&claims, 60).draw(&mut Seed::case(5, case));
        let run = |heap: &mut Process| step::run(heap, &program, step::Ending::Settle).expect("it starts");
        let (fast, slow) = (run(&mut ahead), run(&mut slow));
        assert_eq!((&fast.failure, &slow.failure), (&None, &None), "case {case}");
        assert_eq!(fast.program(), slow.program(), "case {case}");
        assert_eq!(answers::of(&fast.program(), &fast), answers::of(&slow.program(), &slow), "case {case}");
        let verbs = ["strong", "finalize ", "clean "];
        let asked = fast.moments.iter().filter(|moment| verbs.iter().any(|verb| moment.op.to_string().contains(verb)));
        handed_out += asked.filter(|moment| matches!(moment.reply, Reply::Object(_))).count();
    }
    assert!(handed_out > 20, "only {handed_out} objects were handed out");
}

#[test]
fn a_plan_may_be_longer_than_what_is_sent_at_once() {
    let program: Program = "0 alloc r0 1 8\n0 store r0.0 r0\n0 read r0\n".repeat(1_000).parse().expect("a program");
    let mut heap = process(&compiled("heap.c", "heap-long", &[]));
    let history = step::run(&mut heap, &program, step::Ending::Settle).expect("it starts");
    assert_eq!(history.failure, None);
    assert!(history.moments.len() > program.len());
}

#[test]
fn what_a_batch_does_not_ask_for_is_noticed() {
    let script = "\
import sys
for line in sys.stdin:
    if line.startswith('hello'): print('heap x batch', flush=True)
    elif line.startswith('alloc', 2): print('at 4096 8 0\\nok', flush=True)
    else: print('ok', flush=True)
";
    let program: Program = "0 safepoint\n0 alloc r0 1\n".parse().expect("a program");
    let mut subject = Process::new(["python3", "-c", script], PATIENT);
    let history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("it starts");
    let Some((_, Failure::Garbled(report))) = history.failure else { panic!("{:?}", history.failure) };
    assert!(report.contains("went on after that, when asked \"0 alloc r0 1\""), "{report}");
}

#[test]
fn every_template_conforms_as_it_is() {
    let c = compiled("templates/adapter.c", "adapter", &["-pedantic"]);
    let python = Path::new(ADAPTERS).join("templates/adapter.py");
    let rust = heaplaw_conformance::drive::InProcess::new(template::MyHeap::default);
    let subjects: [(&str, Box<dyn Subject>); 3] = [
        ("c", Box::new(process(&c))),
        ("python", Box::new(Process::new(["python3".into(), python.to_string_lossy()], PATIENT))),
        ("rust", Box::new(rust)),
    ];
    for (language, mut subject) in subjects {
        let outcome = judged(&mut subject, 300);
        let checked = checked(&outcome);
        assert!([1, 3, 4, 5, 6, 7, 8, 14].iter().all(|law| checked.contains(law)), "{language}: {checked:?}");
        // Whoever sends what is not claimed is told so.
        subject.reset().expect("it starts");
        let lines = ["gc full", "gc stats", "gc mark 1", "gc abort", "1 join", "0 send r0 0.r1", "0 park"];
        let more =
            ["0 weak w0 r0", "0 strong r0 w0", "0 finalizer r0", "0 finalize r0", "0 cleanup r0 r1", "0 clean r0"];
        for line in lines.into_iter().chain(more).chain(["env fail 1", "env clock 1"]) {
            let reply = subject.perform(&line.parse().expect("an operation"), &mut Vec::new());
            assert_eq!(reply, Ok(Reply::Unsupported), "{language}: {line}");
        }
    }
}
