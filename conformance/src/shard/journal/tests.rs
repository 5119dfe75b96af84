//! Shards that are interrupted, go on and are put together, and journals that are damaged.

use super::*;
use crate::{
    campaign::Watch,
    drive::{InProcess, Subject},
    known::Excused,
    shard::{self, Listening},
};
use heaplaw_reference::{
    event::Event,
    heap::{Heap, Reply},
    machine::Machine,
    op::{Op, Program},
    place::manual::{Manual, Policy},
    protocol::Protocol,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("heaplaw-journal-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Stops before this program, and keeps how many there were at each.
struct Until(u64, Vec<u64>);

impl Watch for Until {
    fn about_to_run(&mut self, _: &Program, programs_so_far: u64) -> bool {
        self.1.push(programs_so_far);
        programs_so_far < self.0
    }
}

/// Two blocks and a short one.
fn campaign() -> Campaign {
    let laws = [1, 51, 53].into_iter().filter_map(Law::numbered).collect();
    Campaign { seed: 7, cases: 600, ops: 20, laws, ..Campaign::default() }
}

fn machine(protocol: Protocol) -> InProcess<impl FnMut() -> Machine, Machine> {
    InProcess::new(move || Machine::new(protocol))
}

fn known(number: u16, heap: Option<&str>) -> Known {
    let law = Law::numbered(number).expect("a law");
    Known { law, reason: "r".to_owned(), heap: heap.map(str::to_owned) }
}

/// Runs what is left of a shard in this directory.
fn run(dir: &Path, subject: &mut dyn Subject, known: &[Known], shard: Shard, watch: &mut dyn Watch) -> Excused {
    let whole = campaign();
    let claims = subject.reset().expect("it starts");
    let mut journal = Journal::open(dir, Identity::of(&whole, &claims, known), shard).expect("a journal");
    let cases = journal.cases();
    let campaign = Campaign { from: cases.start, cases: cases.end - cases.start, ..whole };
    shard::run(&campaign, known, subject, &[], watch, &mut journal).expect("the journal is written")
}

fn identity() -> Identity {
    Identity::of(&campaign(), &Machine::new(Protocol::HYBRID).claims(), &[])
}

fn pieces(dir: &Path, identity: &Identity) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.add(dir, identity).expect("journals");
    pieces
}

/// The names of the files, and the lines of those that are journals.
fn files(dir: &Path) -> (Vec<String>, Vec<String>) {
    let mut paths: Vec<_> = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("one").path()).collect();
    paths.sort();
    let journals = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let lines = journals
        .flat_map(|path| fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect::<Vec<_>>());
    let names = paths.iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
    (names.collect(), lines.collect())
}

/// All that is counted: programs, operations, what was seen of each law, and of each goal.
fn counts(outcome: &Outcome) -> Vec<u64> {
    let tallies = outcome.tallies.iter().flat_map(|tally| [tally.law.number.into(), tally.programs, tally.checks]);
    let goals = outcome.coverage.counts().map(|(_, count)| count);
    [outcome.programs, outcome.performed].into_iter().chain(tallies).chain(goals).collect()
}

/// One range of cases, and no other.
fn only(cases: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(cases).collect()
}

#[test]
fn a_run_that_is_stopped_and_goes_on_comes_to_what_one_run_does() {
    let scratch = Scratch::new();
    let (here, whole) = (scratch.dir("here"), scratch.dir("whole"));
    let plain = campaign().run(&mut machine(Protocol::HYBRID), &[], &mut ());
    assert!(plain.tallies.iter().filter(|tally| tally.checks > 0).count() == 2, "{plain:?}");

    let mut watch = Until(300, Vec::new());
    let first = run(&here, &mut machine(Protocol::HYBRID), &[], Shard::WHOLE, &mut watch);
    assert!(matches!(first.outcome.end, End::Interrupted) && first.outcome.programs == 300, "{first:?}");
    assert_eq!(watch.1, (0..=300).collect::<Vec<_>>());
    let journal = Journal::open(&here, identity(), Shard::WHOLE).expect("a journal");
    assert_eq!((journal.done(), journal.next(0), journal.next(500)), (250, Some(250..500), Some(500..600)));
    assert_eq!(journal.pieces().gaps(0..600), only(250..600));
    assert!(matches!(journal.pieces().outcome(&identity()).end, End::OutOfTime));

    let mut watch = Until(u64::MAX, Vec::new());
    let second = run(&here, &mut machine(Protocol::HYBRID), &[], Shard::WHOLE, &mut watch);
    assert_eq!(watch.1, (250..600).collect::<Vec<_>>());
    assert!(matches!(second.outcome.end, End::Finished) && second.outcome.elapsed > std::time::Duration::ZERO);
    assert_eq!(counts(&second.outcome), counts(&plain));
    run(&whole, &mut machine(Protocol::HYBRID), &[], Shard::WHOLE, &mut ());
    assert_eq!(files(&here).0, ["1-of-1.1.jsonl", "1-of-1.2.jsonl", "campaign.json"]);
    assert_eq!(files(&here).1, files(&whole).1, "the same lines");
    for line in files(&here).1 {
        let (_, counts) = line.split_once("\"laws\"").expect("laws and goals");
        assert!(!counts.contains(":0") && !counts.contains("[0,0]"), "what is 0 is not written down: {line}");
    }

    let mut pieces = pieces(&here, &identity());
    let summed = pieces.outcome(&identity());
    assert!(matches!(summed.end, End::Finished) && counts(&summed) == counts(&plain), "{summed:?}");
    assert_eq!((pieces.journals, pieces.torn, pieces.gaps(0..600)), (2, 0, vec![]));
    let copy = scratch.dir("copy");
    pieces.write(&copy, &identity()).expect("a copy");
    assert_eq!(files(&copy), files(&whole));
    let error = pieces.write(&copy, &identity()).expect_err("there is something");
    assert!(error.to_string().ends_with("copy: the directory is not empty"), "{error}");
    // What is done is not done again.
    let third = run(&here, &mut machine(Protocol::HYBRID), &[], Shard::WHOLE, &mut Until(0, Vec::new()));
    assert!(matches!(third.outcome.end, End::Finished) && counts(&third.outcome) == counts(&plain));
    // Whoever reads twice counts once.
    pieces.add(&here, &identity()).expect("journals");
    assert_eq!((pieces.blocks().count(), pieces.unlike.len(), pieces.journals), (3, 0, 4));
}

#[test]
fn each_shard_has_its_own_cases_and_tells_of_no_others() {
    let scratch = Scratch::new();
    let dir = scratch.dir("d");
    let (one, two) = (Shard::new(0, 2).expect("a shard"), Shard::new(1, 2).expect("a shard"));
    let second = run(&dir, &mut machine(Protocol::HYBRID), &[], two, &mut ());
    assert_eq!(second.outcome.programs, 350);
    assert_eq!(pieces(&dir, &identity()).gaps(0..600), only(0..250));
    assert_eq!(pieces(&dir, &identity()).gaps(250..600), []);
    let mut watch = Until(u64::MAX, Vec::new());
    let first = run(&dir, &mut machine(Protocol::HYBRID), &[], one, &mut watch);
    assert_eq!((first.outcome.programs, watch.1), (250, (0..250).collect()));
    let journal = Journal::open(&dir, identity(), two).expect("a journal");
    assert_eq!((journal.cases(), journal.done(), journal.next(0)), (250..600, 350, None));
    assert_eq!(files(&dir).0, ["1-of-2.1.jsonl", "2-of-2.1.jsonl", "campaign.json"]);
}

#[test]
fn the_time_of_a_run_is_up_before_a_block_begins() {
    let scratch = Scratch::new();
    let dir = scratch.dir("d");
    let mut subject = machine(Protocol::HYBRID);
    let mut journal = Journal::open(&dir, identity(), Shard::WHOLE).expect("a journal");
    let late = Campaign { time: Some(std::time::Duration::ZERO), ..campaign() };
    let ran = shard::run(&late, &[], &mut subject, &[], &mut (), &mut journal).expect("nothing is written");
    assert!(matches!(ran.outcome.end, End::OutOfTime) && ran.outcome.programs == 0, "{ran:?}");
    assert_eq!(files(&dir).0, ["campaign.json"]);
    let enough = Campaign { time: Some(std::time::Duration::from_secs(3600)), ..campaign() };
    let ran = shard::run(&enough, &[], &mut subject, &[], &mut (), &mut journal).expect("a journal");
    assert!(matches!(ran.outcome.end, End::Finished) && ran.outcome.programs == 600, "{ran:?}");
}

/// Takes a while for each program.
struct Slowly;

impl Watch for Slowly {
    fn about_to_run(&mut self, _: &Program, _: u64) -> bool {
        std::thread::sleep(std::time::Duration::from_millis(1));
        true
    }
}

#[test]
fn a_block_has_what_time_is_left() {
    let scratch = Scratch::new();
    let mut journal = Journal::open(&scratch.dir("d"), identity(), Shard::WHOLE).expect("a journal");
    // Enough for one block, and not for two.
    let campaign = Campaign { time: Some(std::time::Duration::from_millis(400)), ..campaign() };
    let mut subject = machine(Protocol::HYBRID);
    let ran = shard::run(&campaign, &[], &mut subject, &[], &mut Slowly, &mut journal).expect("a journal");
    assert!(matches!(ran.outcome.end, End::OutOfTime) && ran.outcome.programs < 500, "{}", ran.outcome.programs);
}

#[test]
fn what_is_found_is_a_line_and_ends_the_run() {
    let scratch = Scratch::new();
    let dir = scratch.dir("d");
    let no_barrier = Identity::of(&campaign(), &Machine::new(Protocol::NO_BARRIER).claims(), &[]);
    let ran = run(&dir, &mut machine(Protocol::NO_BARRIER), &[], Shard::WHOLE, &mut ());
    let End::Found(found) = &ran.outcome.end else { panic!("a lost object is not found") };
    let case = found.case.expect("it was drawn");
    assert_eq!(ran.outcome.programs, case + 1);
    let there = pieces(&dir, &no_barrier);
    assert_eq!(there.blocks().count() as u64, case / BLOCK);
    assert_eq!((there.found.len(), there.found[0].case, there.found[0].law), (1, Some(case), Some(51)));
    assert!(!there.found[0].why.is_empty());

    // A heap that does not answer breaks no law.
    crate::drive::print_no_panics_of_subjects();
    let dir = scratch.dir("e");
    let mut subject = InProcess::new(|| Mute(Machine::new(Protocol::HYBRID)));
    let ran = run(&dir, &mut subject, &[], Shard::WHOLE, &mut ());
    assert!(matches!(&ran.outcome.end, End::Found(found) if found.case == Some(0)), "{ran:?}");
    let there = pieces(&dir, &identity());
    assert_eq!((there.found.len(), there.found[0].law, there.blocks().count()), (1, None, 0));
    assert!(there.found[0].why.contains("it says nothing"), "{there:?}");
}

/// A heap that panics when it is asked anything.
struct Mute(Machine);

impl Heap for Mute {
    fn claims(&self) -> Claims {
        self.0.claims()
    }

    fn perform(&mut self, _: &Op, _: &mut Vec<Event>) -> Reply {
        panic!("it says nothing")
    }
}

#[test]
fn a_saved_failure_comes_before_all_blocks() {
    let scratch = Scratch::new();
    let dir = scratch.dir("d");
    let hide = "0 alloc r0 1\n0 alloc r1 1\n0 store r1.0 r0\n0 clear r0\ngc start\ngc handshake 0\n0 load r0 r1.0\n\
                0 store r1.0 nil\ngc mark 9\ngc finish\ngc sweep 9\n";
    let saved = [hide.parse::<Program>().expect("a program")];
    let mut subject = machine(Protocol::NO_BARRIER);
    let identity = Identity::of(&campaign(), &subject.reset().expect("it starts"), &[]);
    let mut journal = Journal::open(&dir, identity, Shard::WHOLE).expect("a journal");
    let ran = shard::run(&campaign(), &[], &mut subject, &saved, &mut (), &mut journal).expect("nothing is written");
    assert!(matches!(&ran.outcome.end, End::Found(found) if found.case.is_none()), "{ran:?}");
    assert_eq!((ran.outcome.programs, files(&dir).1.len()), (1, 0), "of what is not drawn nothing is written down");
}

#[test]
fn a_failure_that_is_known_is_told_once_and_stale_only_for_all() {
    let scratch = Scratch::new();
    let excused = [known(51, None)];
    let dir = scratch.dir("d");
    let ran = run(&dir, &mut machine(Protocol::NO_BARRIER), &excused, Shard::WHOLE, &mut ());
    assert!(matches!(ran.outcome.end, End::Finished), "{ran:?}");
    let numbers: Vec<_> = ran.seen.iter().map(|seen| seen.known.law.number).collect();
    let tallied: Vec<_> = ran.outcome.tallies.iter().map(|tally| tally.law.number).collect();
    assert_eq!((numbers, tallied), (vec![51], vec![1, 53]));
    let of = |protocol| Identity::of(&campaign(), &Machine::new(protocol).claims(), &excused);
    let there = pieces(&dir, &of(Protocol::NO_BARRIER));
    assert!(there.blocks().filter(|block| block.known().eq([51])).count() > 1, "{there:?}");
    assert!(there.stale(&of(Protocol::NO_BARRIER)).is_empty());

    let dir = scratch.dir("e");
    let ran = run(&dir, &mut machine(Protocol::HYBRID), &excused, Shard::WHOLE, &mut ());
    assert!(ran.stale.is_empty() && ran.seen.is_empty(), "one shard does not know: {ran:?}");
    let stale =
        |pieces: &Pieces| pieces.stale(&of(Protocol::HYBRID)).into_iter().map(|law| law.number).collect::<Vec<_>>();
    assert_eq!(stale(&pieces(&dir, &of(Protocol::HYBRID))), [51]);
    assert_eq!(stale(&Pieces::default()), [0; 0], "a law that nobody looked at may still be broken");
}

#[test]
fn programs_are_told_apart_by_their_order() {
    let programs = ["0 alloc r0 1\n", "gc full\n"].map(|text| text.parse::<Program>().expect("a program"));
    let digest = |order: &[usize]| {
        let mut until = Until(u64::MAX, Vec::new());
        let mut listening = Listening { watch: &mut until, before: 40, digest: 0 };
        for (at, program) in order.iter().enumerate() {
            assert!(listening.about_to_run(&programs[*program], at as u64));
        }
        let digest = listening.digest;
        assert_eq!(until.1, (40..).take(order.len()).collect::<Vec<_>>());
        digest
    };
    let [one, other] = [0, 1].map(|at: usize| saved::hash(&programs[at].to_string()));
    assert_eq!([digest(&[0]), digest(&[1])], [one, other]);
    assert_eq!([digest(&[0, 1]), digest(&[1, 0])], [one.rotate_left(5) ^ other, other.rotate_left(5) ^ one]);
    let mut until = Until(40, Vec::new());
    assert!(!Listening { watch: &mut until, before: 40, digest: 0 }.about_to_run(&programs[0], 0), "it is passed on");
}

#[test]
fn an_identity_is_read_as_it_was_written() {
    let scratch = Scratch::new();
    assert!(Identity::read(&scratch.0).expect("a directory").is_none());
    let mine = [known(51, None), known(1, Some("hybrid")), known(54, Some("other")), known(51, Some("hybrid"))];
    let claims = Machine::new(Protocol::HYBRID).claims();
    let whole = Campaign { seed: 0xfeed, faults: true, ..campaign() };
    let identity = Identity::of(&whole, &claims, &mine);
    identity.claim(&scratch.0).expect("nobody was there before");
    identity.claim(&scratch.0).expect("it is the same");
    let read = Identity::read(&scratch.0).expect("a file").expect("it is there");
    assert_eq!(read, identity);
    assert_eq!((read.seed(), read.cases(), read.ops()), (0xfeed, 600, 20));
    assert_eq!(read.known().map(|law| law.number).collect::<Vec<_>>(), [1, 51], "each once, of this heap");
    assert_eq!((read.claims(), read.claims().invariant.is_some()), (claims, true));
    let fit = Manual::new(Policy::FirstFit).claims();
    let placed = Identity::of(&whole, &fit, &[]).claims();
    assert!(placed == fit && placed.placement.is_some(), "{placed:?}");
    let nothing = read.nothing_yet();
    assert_eq!((nothing.claims, nothing.tallies.len(), nothing.programs), (Some(read.claims()), 3, 0));

    let other = Identity::of(&Campaign { seed: 1, ops: 21, ..whole }, &read.claims(), &mine);
    assert_eq!(identity.difference(&other), r#"ops 20, not 21; seed "0xfeed", not "0x1""#);
    let error = other.claim(&scratch.0).expect_err("it is another");
    assert!(error.to_string().ends_with(r#"this is another campaign: ops 20, not 21; seed "0xfeed", not "0x1""#));
    assert_eq!(files(&scratch.0).0, ["campaign.json"], "no draft is left");
}

#[test]
fn words_that_mean_nothing_are_no_campaign() {
    assert_eq!(identity().check(), Ok(()));
    type Change = fn(&mut Identity);
    let cases: [(Change, &str); 6] = [
        (|identity| identity.schema.push('0'), r#"the schema is "heaplaw.campaign/10", not "heaplaw.campaign/1""#),
        (|identity| identity.seed = "7".to_owned(), r#""7" is no seed"#),
        (|identity| identity.seed = "0xg".to_owned(), r#""0xg" is no seed"#),
        (|identity| identity.claims.push("speed".to_owned()), r#"nothing is called "speed" that a heap could claim"#),
        (|identity| identity.laws.push(2_000), "there is no law 2000"),
        (|identity| identity.known.push(2_001), "there is no law 2001"),
    ];
    for (change, told) in cases {
        let mut wrong = identity();
        change(&mut wrong);
        assert_eq!(wrong.check(), Err(told.to_owned()));
        let scratch = Scratch::new();
        let text = serde_json::to_string(&wrong).expect("JSON");
        fs::write(scratch.dir(CAMPAIGN), text).expect("a file");
        let error = Identity::read(&scratch.0).expect_err("it is read");
        assert!(error.to_string().ends_with(&format!("campaign.json:1: {told}")), "{error}");
    }
}

/// A line of a journal that says nothing but which cases were run.
fn line(from: u64, to: u64, ran: u64) -> String {
    let block = Block {
        from,
        to,
        programs: "0".to_owned(),
        ran,
        operations: 0,
        faults: 0,
        known: Vec::new(),
        laws: BTreeMap::new(),
        goals: BTreeMap::new(),
    };
    Line::Block(block).print().expect("JSON")
}

#[test]
fn lines_that_cannot_be_of_a_campaign_are_refused_by_number() {
    let good = line(250, 500, 250);
    let cases = [
        (line(251, 500, 1), "251..500 is no block of 250 cases of 600"),
        (line(250, 501, 1), "250..501 is no block of 250 cases of 600"),
        (line(500, 500, 1), "500..500 is no block of 250 cases of 600"),
        (line(750, 600, 1), "750..600 is no block of 250 cases of 600"),
        (line(750, 1_000, 1), "750..1000 is no block of 250 cases of 600"),
        (good.replace("\"laws\":{", "\"laws\":{\"2\":[1,1]"), "law 2 is none that is judged by"),
        (good.replace("\"known\":[", "\"known\":[2"), "law 2 is none that is judged by"),
        (good.replace("\"goals\":{", "\"goals\":{\"x\":1"), "no goal is called \"x\""),
        ("\n".to_owned(), "EOF while parsing a value at line 2 column 0"),
        (good.replace("ran", "run"), "unknown field `run`"),
        (format!("{}\n", " ".repeat(1 << 20)), "a line has less than 1048576 bytes"),
    ];
    for (wrong, told) in cases {
        assert_ne!(wrong, good);
        let scratch = Scratch::new();
        fs::write(scratch.dir("1-of-1.1.jsonl"), format!("{}{wrong}", line(0, 250, 250))).expect("a journal");
        fs::write(scratch.dir("notes.txt"), "not looked at").expect("a file");
        let error = Pieces::default().add(&scratch.0, &identity()).expect_err(told);
        assert!(error.to_string().contains(&format!("1-of-1.1.jsonl:2: {told}")), "{error}");
    }
    // The longest line that there can be is read as one, whatever it says.
    let scratch = Scratch::new();
    fs::write(scratch.dir("1-of-1.1.jsonl"), format!("{}\n", " ".repeat((1 << 20) - 1))).expect("a journal");
    let error = Pieces::default().add(&scratch.0, &identity()).expect_err("blanks");
    assert!(error.to_string().contains("EOF while parsing"), "{error}");
}

#[test]
fn what_is_torn_off_is_left_out_and_what_is_not_alike_is_told() {
    let scratch = Scratch::new();
    let found = |case| Line::Found(Found { case, law: None, why: "w".to_owned() }).print().expect("JSON");
    let journals = [
        ("1-of-1.1.jsonl", format!("{}{{\"block\":", line(0, 250, 250))),
        ("1-of-1.2.jsonl", format!("{}{}{}", line(0, 250, 251), line(500, 600, 100), found(Some(9)))),
        ("1-of-1.3.jsonl", format!("{}{}{}", line(0, 250, 252), found(None), found(Some(9)))),
    ];
    for (name, text) in journals {
        fs::write(scratch.dir(name), text).expect("a journal");
    }
    let there = pieces(&scratch.0, &identity());
    assert_eq!((there.journals, there.torn), (3, 1));
    assert_eq!(there.unlike, only(0..250), "once");
    assert_eq!(there.found.iter().map(|found| found.case).collect::<Vec<_>>(), [None, Some(9)], "once, in order");
    assert_eq!(there.outcome(&identity()).programs, 350, "the first counts");
    assert_eq!(there.gaps(0..600), only(250..500));
    assert_eq!(there.gaps(0..750), [250..500, 600..750]);
    let journal = Journal::open(&scratch.0, identity(), Shard::WHOLE).expect("a journal");
    assert_eq!([0, 250, 500].map(|from| journal.next(from)), [Some(250..500), Some(250..500), None]);
    let looked_at = line(0, 250, 250).replace("\"laws\":{", "\"laws\":{\"51\":[1,0]");
    fs::write(scratch.dir("1-of-1.1.jsonl"), looked_at).expect("a journal");
    let identity = Identity { known: vec![51], ..identity() };
    assert!(pieces(&scratch.0, &identity).stale(&identity).is_empty(), "it applied, and was not looked at");
    // A directory that is gone takes no more lines.
    let mut journal = Journal::open(&scratch.dir("d"), identity, Shard::WHOLE).expect("a journal");
    fs::remove_dir_all(scratch.dir("d")).expect("it goes");
    let found = Line::Found(Found { case: None, law: None, why: "w".to_owned() });
    assert!(journal.write(&found).is_err_and(|error| error.to_string().contains("1-of-1.1.jsonl: ")));
}
