//! Every story of the corpus conforms on the fast heap, and on the heap in Python through its pipe.
//!
//! The corpus itself, and what the unsound designs make of it, is tested in `conformance/tests/corpus.rs`. These tests
//! need `python3`, and fail without it.

use heaplaw_conformance::{
    answers,
    campaign::{self, Campaign, End},
    drive::{
        InProcess, Subject,
        process::Process,
        step::{self, Ending},
    },
    history::History,
    law::{self, Law},
    saved,
    verdict::Standing,
};
use heaplaw_optimized::{Barrier, Config, adapter};
use heaplaw_reference::{
    event::{Cause, Event},
    heap::{Claims, Heap, InTurn, Reply},
    op::{Op, Program},
};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/programs");
const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/adapters/heap.py");

fn stories() -> Vec<(PathBuf, Program)> {
    let stories = saved::all(Path::new(PROGRAMS)).unwrap_or_else(|error| panic!("{error}"));
    assert!(stories.len() >= 25, "only {} stories were found in {PROGRAMS}", stories.len());
    stories
}

/// Runs every story, with and without the settling at its end, and expects every law to hold. What happened is `then` given,
/// with the story and what to call it.
fn each_conforms(subject: &mut dyn Subject, mut then: impl FnMut(&History, &Program, &str)) {
    let laws: Vec<&'static Law> = law::all().collect();
    for (path, program) in stories() {
        for ending in [Ending::Abrupt, Ending::Settle] {
            let name = format!("{}, {ending:?}", path.file_name().unwrap_or_default().to_string_lossy());
            let judged = campaign::judge(subject, &program, ending, &laws);
            let (history, judged) = judged.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_eq!(judged.breach.map(|breach| format!("{breach:?}")), None, "{name}");
            assert_eq!(judged.verdict.standing(), Standing::Conforms, "{name}");
            then(&history, &program, &name);
        }
    }
}

/// The same for a heap that moves only when it is told to.
fn all_conform(subject: &mut dyn Subject) {
    let mut whole = 0;
    each_conforms(subject, |history, program, name| {
        // A heap that refuses everything conforms as well; here nothing is refused, or left out if it is claimed.
        let refused = history.moments.iter().filter(|moment| moment.reply == Reply::OutOfMemory).count();
        assert_eq!(refused, 0, "{name}");
        if program.ops().iter().all(|op| history.claims.allow(op)) {
            whole += 1;
            assert_eq!(history.unclaimed, 0, "{name}");
            assert!(history.moments.len() >= program.len(), "{name}: operations were left out");
        }
    });
    assert!(whole >= 80, "only {whole} runs were of whole stories");
}

#[test]
fn every_story_gives_its_answers_on_the_optimized_heap() {
    let mut subject = InProcess::new(|| adapter::bundled().expect("address space for a small heap"));
    let claims = subject.reset().expect("it starts");
    for (path, program) in stories() {
        if program.ops().iter().all(|op| claims.allow(op)) {
            let history = step::run(&mut subject, &program, Ending::Abrupt).expect("it starts");
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let answers = std::fs::read_to_string(format!("{PROGRAMS}/answers/{name}.answers")).expect("its answers");
            assert_eq!(answers::of(&program, &history), answers, "{name}");
        }
    }
}

#[test]
fn every_story_conforms_on_the_optimized_heap() {
    all_conform(&mut InProcess::new(|| adapter::bundled().expect("address space for a small heap")));
}

/// The other kinds that are sound.
const KINDS: [Config; 3] = [
    Config { tiny: true, ..SMALL },
    Config { barrier: Barrier::Insertion, ..SMALL },
    Config { barrier: Barrier::Deletion, ..SMALL },
];
const SMALL: Config = Config { reservation: 64 << 20, ..Config::DEFAULT };

#[test]
fn every_story_conforms_on_every_kind_of_the_optimized_heap() {
    for config in KINDS {
        all_conform(&mut InProcess::new(|| adapter::with(config).expect("address space for a small heap")));
    }
}

#[test]
fn every_story_conforms_on_the_optimized_heap_that_paces_itself() {
    let paced = || adapter::Subject::paced(SMALL).expect("address space for a small heap");
    let mut cycles = 0;
    each_conforms(&mut InProcess::new(|| InTurn::new(paced())), |history, _, _| {
        let events = history.moments.iter().flat_map(|moment| &moment.events);
        cycles += events.filter(|event| matches!(event, Event::Start(Cause::Trigger | Cause::Limit))).count();
    });
    assert!(cycles >= 60, "only {cycles} cycles began by themselves");
}

#[test]
fn the_optimized_heap_believes_no_falsehood_after_any_story() {
    for (config, (path, program)) in
        KINDS.into_iter().chain([SMALL]).flat_map(|kind| stories().into_iter().map(move |story| (kind, story)))
    {
        let mut heap = adapter::with(config).expect("address space for a small heap");
        for (number, op) in program.ops().iter().enumerate() {
            heap.perform(op, &mut Vec::new());
            let verified = heap.heap().verify();
            assert!(verified.is_ok(), "{}, after operation {}, {op}: {verified:?}", path.display(), number + 1);
        }
    }
}

/// A heap that checks itself after each operation, or does not.
struct Checked {
    heap: InTurn<adapter::Subject>,
    checks: bool,
}

impl Heap for Checked {
    fn claims(&self) -> Claims {
        self.heap.claims()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        let reply = self.heap.perform(op, events);
        if self.checks {
            self.heap.heap().verify().expect("all is as it should be");
        }
        reply
    }
}

/// Law 13 has every story run twice: here once with a look after each operation, and once without.
#[test]
fn a_heap_that_checks_itself_does_what_it_does_otherwise() {
    let determinism = Law::numbered(13).expect("there is one");
    for config in KINDS.into_iter().chain([SMALL]) {
        let runs = Cell::new(0_usize);
        let mut subject = InProcess::new(|| {
            runs.set(runs.get() + 1);
            let heap = adapter::with(config).expect("address space for a small heap");
            Checked { heap, checks: runs.get().is_multiple_of(2) }
        });
        for (number, (path, program)) in stories().into_iter().enumerate() {
            let judged = campaign::judge(&mut subject, &program, Ending::Settle, &[determinism]);
            let (_, judged) = judged.unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
            let told = judged.breach.map(|breach| format!("{breach:?}"));
            assert_eq!((told, runs.get()), (None, 2 * (number + 1)), "{}", path.display());
        }
    }
}

/// A heap whose stores shade nothing is wrong, and every campaign finds that out.
#[test]
fn an_optimized_heap_without_a_barrier_is_caught() {
    let config = Config { barrier: Barrier::None, ..SMALL };
    let mut found = Vec::new();
    for seed in 0..20 {
        let campaign = Campaign { seed, cases: 2_000, ..Campaign::default() };
        let mut wrong = InProcess::new(|| adapter::with(config).expect("address space for a small heap"));
        let outcome = campaign.run(&mut wrong, &[], &mut ());
        let End::Found(breach) = outcome.end else { panic!("seed {seed}: {:?}", outcome.end) };
        let laws = format!("{:?}", breach.breach);
        assert!(["51", "52", "54", "70", "71", "72", "73"].iter().any(|law| laws.contains(law)), "{laws}");
        found.push((outcome.programs, outcome.elapsed));
    }
    found.sort();
    let median = found[found.len() / 2];
    println!(
        "caught after {} programs and {:?}, by the median of 20 seeds; {:?} at most",
        median.0, median.1, found[19]
    );
    assert!(median.0 < 100, "{found:?}");
}

#[test]
fn every_story_conforms_on_the_adapter_in_python() {
    let version = Command::new("python3").arg("--version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "this test judges conformance/adapters/heap.py and needs python3 on the PATH"
    );
    all_conform(&mut Process::new(["python3", ADAPTER], Duration::from_secs(20)));
}
