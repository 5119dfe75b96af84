//! The corpus: the stories in `programs/`, one file each, for every heap in any language.
//!
//! A story opens with a comment: a sentence that says what happens, why it matters, and last the designs that do not
//! survive it, such as `# lost by: no-barrier`. Those are rows of the [protocol table](Protocol::ALL). The list is
//! exact, and counts every law, also an invariant that is broken for a moment without an object being lost.
//!
//! These tests hold the stories to their word, and make sure that together they would notice whatever the kit knows
//! to go wrong. They need `python3`, and fail without it.

use heaplaw_conformance::{
    campaign,
    drive::{InProcess, Subject, process::Process, step::Ending},
    faulty,
    law::{self, Judgement, Law},
    verdict::Verdict,
};
use heaplaw_reference::{
    graph::Graph,
    heap::Heap,
    machine::Machine,
    op::{Op, Program},
    pacer::Pacing,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};
use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters/heap.py");

/// One file of the corpus.
struct Story {
    name: String,
    text: String,
    program: Program,
}

impl Story {
    fn new(name: &str, text: &str) -> Story {
        let program = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        Story { name: name.to_owned(), text: text.to_owned(), program }
    }

    /// The lines of the opening comment, without their marks.
    fn opening(&self) -> Vec<&str> {
        self.text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect()
    }

    /// The rows that the story says are lost.
    ///
    /// It is an error to say it twice, or not at all, or of no row or a sound one.
    fn lost_by(&self) -> Result<BTreeSet<&'static str>, String> {
        let lists: Vec<_> = self.text.lines().filter_map(|line| line.strip_prefix("# lost by: ")).collect();
        let [list] = lists[..] else { return Err(format!("{} lines say who loses", lists.len())) };
        if list == "none" {
            return Ok(BTreeSet::new());
        }
        let row = |name: &str| {
            let unsound = Protocol::ALL.into_iter().filter(|protocol| !protocol.sound);
            let known = unsound.map(|protocol| protocol.name).find(|known| *known == name);
            known.ok_or_else(|| format!("{name:?} is no unsound row"))
        };
        list.split(", ").map(row).collect()
    }

    /// The story without its comments.
    fn bare(&self) -> String {
        let lines = self.text.lines().map(|line| line.split('#').next().unwrap_or_default().trim_end());
        lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
    }

    fn verdict(&self, subject: &mut dyn Subject, laws: &[&'static Law]) -> Verdict {
        let judged = campaign::judge(subject, &self.program, Ending::Settle, laws);
        let (_, judged) = judged.unwrap_or_else(|failure| panic!("{}: {failure}", self.name));
        judged.verdict
    }

    /// The law that a heap breaks first under this story, and why.
    fn breaks<H: Heap>(&self, make: impl FnMut() -> H, laws: &[&'static Law]) -> Option<String> {
        let verdict = self.verdict(&mut InProcess::new(make), laws);
        assert_eq!(verdict.failure, None, "{}", self.name);
        verdict.broken().map(|(law, witness)| format!("{law:?}: {}", witness.why))
    }
}

/// All stories, by name.
fn stories() -> Vec<Story> {
    let mut paths: Vec<_> =
        fs::read_dir(PROGRAMS).expect(PROGRAMS).map(|entry| entry.expect(PROGRAMS).path()).collect();
    // The answers to the stories are tested in `answers.rs`.
    paths.retain(|path| !path.ends_with("answers"));
    paths.sort();
    let story = |path: &Path| {
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("heap"), "{}: not a story", path.display());
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII").to_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Story::new(&name, &text)
    };
    let stories: Vec<_> = paths.iter().map(|path| story(path)).collect();
    assert!(stories.len() >= 25, "only {} stories were found", stories.len());
    stories
}

fn laws() -> Vec<&'static Law> {
    law::all().collect()
}

#[test]
fn every_story_opens_with_a_sentence_a_reason_and_who_loses() {
    for story in stories() {
        let opening = story.opening();
        let [title, blank, reason @ .., gap, list] = &opening[..] else { panic!("{}: no opening", story.name) };
        assert!(title.ends_with('.') && title.starts_with(char::is_uppercase), "{}: {title:?}", story.name);
        assert!(title.matches(". ").count() == 0, "{}: more than a sentence: {title:?}", story.name);
        assert!(blank.is_empty() && gap.is_empty() && !reason.is_empty(), "{}: does not say why", story.name);
        assert!(list.starts_with("lost by: "), "{}: {list:?}", story.name);
        assert!(story.text.lines().all(|line| line.len() <= 120), "{}: a line is too long", story.name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(story.name.chars().all(plain), "{}: not in kebab case", story.name);
    }
}

#[test]
fn every_story_prints_back_to_itself() {
    for story in stories() {
        assert_eq!(story.program.to_string(), story.bare(), "{}", story.name);
    }
}

#[test]
fn every_operation_of_a_story_means_something() {
    for story in stories() {
        let mut graph = Graph::new();
        for (number, op) in story.program.ops().iter().enumerate() {
            assert!(graph.allows(op), "{}: operation {}, {op}, means nothing there", story.name, number + 1);
            graph.apply(op);
        }
    }
}

#[test]
fn no_sound_row_breaks_a_law() {
    for story in stories() {
        for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.sound) {
            let broken = story.breaks(|| Machine::new(protocol), &laws());
            assert_eq!(broken, None, "{} with {}", story.name, protocol.name);
            let broken = story.breaks(|| Machine::new(protocol).paced(Pacing::SOUND), &laws());
            assert_eq!(broken, None, "{} with {}, which paces itself", story.name, protocol.name);
        }
    }
}

#[test]
fn no_allocator_of_the_book_breaks_a_law() {
    for story in stories() {
        for (policy, memory) in Policy::ALL.into_iter().flat_map(|policy| [(policy, 1 << 40), (policy, 16 << 10)]) {
            let broken = story.breaks(|| Manual::with_memory(policy, memory), &laws());
            assert_eq!(broken, None, "{} with {policy:?}", story.name);
        }
    }
}

#[test]
fn exactly_the_rows_that_a_story_names_break_a_law() {
    let mut wrong = String::new();
    let mut named = BTreeSet::new();
    for story in stories() {
        let expected = story.lost_by().unwrap_or_else(|error| panic!("{}: {error}", story.name));
        let unsound = Protocol::ALL.into_iter().filter(|protocol| !protocol.sound);
        let broken: Vec<_> = unsound
            .filter_map(|protocol| Some((protocol.name, story.breaks(|| Machine::new(protocol), &laws())?)))
            .collect();
        let lost: BTreeSet<_> = broken.iter().map(|(row, _)| *row).collect();
        if lost != expected {
            wrong += &format!("{}: says {expected:?}, but\n", story.name);
            wrong.extend(broken.iter().map(|(row, why)| format!("    {row} breaks {why}\n")));
        }
        named.extend(expected);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    let unsound = Protocol::ALL.iter().filter(|protocol| !protocol.sound).count();
    assert_eq!(named.len(), unsound, "every unsound row is lost by some story");
}

#[test]
fn every_law_is_looked_at_by_some_story() {
    let mut unchecked: BTreeSet<u16> = law::all().map(|law| law.number).collect();
    for story in stories() {
        let machines = [Protocol::HYBRID, Protocol::INSERTION]
            .map(|protocol| story.verdict(&mut InProcess::new(|| Machine::new(protocol)), &laws()));
        let by_hand = Policy::ALL.map(|policy| story.verdict(&mut InProcess::new(|| Manual::new(policy)), &laws()));
        let paced = story.verdict(&mut InProcess::new(|| Machine::new(Protocol::HYBRID).paced(Pacing::SOUND)), &laws());
        for verdict in machines.into_iter().chain(by_hand).chain([paced]) {
            for finding in &verdict.findings {
                if matches!(finding.judgement, Judgement::Holds { checks: 1.. }) {
                    unchecked.remove(&finding.law.number);
                }
            }
        }
    }
    assert!(unchecked.is_empty(), "no story is a check of the laws {unchecked:?}");
}

#[test]
fn every_kind_of_operation_occurs_in_some_story() {
    let verb = |op: &Op| op.to_string().split(' ').nth(1).unwrap_or_default().to_owned();
    let told: BTreeSet<_> = stories().iter().flat_map(|story| story.program.ops().iter().map(verb)).collect();
    let known = include_str!("../../reference/src/text.rs");
    let examples = known.lines().filter_map(|line| line.strip_prefix("//! "));
    let verbs: BTreeSet<_> = examples.filter_map(|line| line.parse::<Op>().ok()).map(|op| verb(&op)).collect();
    assert!(verbs.len() >= 20, "the text form's list of operations was not found: {verbs:?}");
    assert_eq!(told, verbs);
}

#[test]
fn every_faulty_heap_of_the_kit_is_rejected_by_some_story() {
    let stories = stories();
    let caught = |fault: &&faulty::Fault| {
        let law = [Law::numbered(fault.law).expect("a law of this number")];
        stories.iter().any(|story| story.breaks(|| fault.heap(), &law).is_some())
    };
    let missed: Vec<_> = faulty::ALL.iter().filter(|fault| !caught(fault)).map(faulty::Fault::slug).collect();
    assert!(missed.is_empty(), "no story rejects {missed:?}");
}

#[test]
fn every_broken_heap_of_the_adapter_is_rejected_by_some_story() {
    let list = Command::new("python3").args([ADAPTER, "--list"]).output();
    let list = list.expect("this test judges conformance/adapters/heap.py and needs python3 on the PATH");
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let list = String::from_utf8(list.stdout).expect("names in ASCII");
    let (stories, laws) = (stories(), laws());
    let mut missed = Vec::new();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        // The faults from `crash` on are in the protocol, not in the heap.
        if name == "crash" {
            assert!(missed.is_empty(), "no story rejects {missed:?}");
            return;
        }
        let mut heap = Process::new(["python3", ADAPTER, "--break", name], Duration::from_secs(20));
        let rejects = |story: &Story| story.verdict(&mut heap, &laws).broken().is_some();
        if !stories.iter().any(rejects) {
            missed.push(name.to_owned());
        }
    }
    panic!("the list of faults has no `crash`:\n{list}");
}

#[test]
fn a_story_that_does_not_keep_to_the_form_is_noticed() {
    let lost = |text: &str| Story::new("x", text).lost_by();
    assert_eq!(lost("# lost by: none\n"), Ok(BTreeSet::new()));
    assert_eq!(lost("# lost by: no-barrier\n"), Ok(BTreeSet::from(["no-barrier"])));
    assert!(lost("# A title.\n").is_err_and(|error| error.starts_with("0 lines")));
    assert!(lost("# lost by: none\n# lost by: none\n").is_err_and(|error| error.starts_with("2 lines")));
    assert!(lost("# lost by: hybrid\n").is_err_and(|error| error == "\"hybrid\" is no unsound row"));
    assert!(lost("# lost by: no-barrier,hybrid-allocate-white\n").is_err());
    let odd = Story::new("x", "0 alloc r0 1 0 # no data\n\n");
    assert_ne!(odd.program.to_string(), odd.bare());
}
