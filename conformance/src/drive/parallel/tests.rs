//! What threads do is noted: plans run one thread after the other, and a heap that writes down what it is asked.

use super::*;
use heaplaw_reference::{machine::Machine, object::Shape, op::Program, protocol::Protocol};

/// One thread after the other.
struct InTurn;

impl Threads for InTurn {
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>) {
        bodies.into_iter().for_each(|body| body());
    }

    fn pause(&self) {}
}

/// What came of a story, told by mutator 0 before the others and the collector; and its notes, without addresses.
fn told(story: &str) -> (Account, Vec<Vec<String>>) {
    let mut plan = Plan { pointers: 2, mutators: vec![Vec::new()], collector: Vec::new() };
    for line in story.lines().map(str::trim) {
        match line.parse().expect(line) {
            Op::Mutate { by, action } => {
                plan.mutators.resize(plan.mutators.len().max(usize::from(by.0) + 1), Vec::new());
                plan.mutators[usize::from(by.0)].push(action);
            }
            Op::Collect(step) => plan.collector.push(step),
            other => panic!("{other}"),
        }
    }
    let account = run(&OneAtATime::new(Machine::new(Protocol::HYBRID)), &plan, &InTurn);
    let content = |content: &Content| match content {
        Content::Uniform(name) => name.to_string(),
        torn => torn.to_string(),
    };
    let value = |found: &Option<(Address, Content)>| found.map_or("nil".to_owned(), |(_, found)| content(&found));
    let note = |note: &Note| match note {
        Note::Born { size, usable, found, holds, .. } => {
            format!("born {} of {size} in {usable}, {}", content(holds), content(found))
        }
        Note::Stored(location, name) => {
            format!("{location} = {}", name.map_or("nil".to_owned(), |name| name.to_string()))
        }
        Note::Loaded(location, found) => format!("{location} is {}", value(found)),
        Note::Read(name, found) => format!("{name} holds {}", content(found)),
        Note::Weak(slot, name) => format!("w{} to {name}", slot.0),
        Note::Strong(slot, found, held) => format!("w{} finds {} beside {held:?}", slot.0, value(found)),
        Note::Registered(name) => format!("registered {name}"),
        Note::Finalized(_, found) => format!("finalized {}", content(found)),
        other => format!("{other:?}"),
    };
    let notes = account.threads.iter().chain([&account.walk]).map(|notes| notes.iter().map(note).collect());
    let notes = notes.collect();
    (account, notes)
}

#[test]
fn what_a_mutator_does_and_finds_is_noted() {
    let (account, notes) = told(
        "0 alloc r0 2 8\n0 alloc r1 2 8\n0 store g0 r0\n0 load r2 g0\n0 store r0.1 r1\n0 load r3 r0.1\n0 wipe r0.0 2\n\
         0 load r3 r0.1\n0 copy r4 r1\n0 read r4\n0 weak w0 r1\n0 strong r5 w0\n0 clear r1\n0 read r1\n\
         0 store r0.0 r1\n0 load r1 r3.0\n0 wipe r3.0 1\n0 copy r1 r3\n0 weak w1 r3\n0 finalizer r0\n0 alloc r1 0 8\n\
         0 finalizer r1\n0 read r1\n0 alloc r1 0 8\n0 safepoint\n0 finalizer r1\n0 read r1\n0 strong r3 w1\n\
         0 copy r4 r4\n0 exit\n0 read r0\n0 load r0 g0\n0 store g1 nil\n1 alloc r0 2 16\n1 load r1 g0\ngc full",
    );
    let own = [
        "born 1 of 24 in 24, 0",
        "born 2 of 24 in 24, 0",
        "g0 = 1",
        "g0 is 1",
        "field 1 of object 0x1 = 2",
        "field 1 of object 0x1 is 2",
        "field 0 of object 0x1 = nil",
        "field 1 of object 0x1 = nil",
        "field 1 of object 0x1 is nil",
        "2 holds 2",
        "w0 to 2",
        "w0 finds 2 beside [1, 2, 1, 2]",
        "born 3 of 8 in 8, 0",
        "registered 3",
        "born 4 of 8 in 8, 0",
        "4 holds 4",
        "w1 finds nil beside [1, 4, 1, 2, 2]",
        "g0 is 1",
        "g1 = nil",
    ];
    assert_eq!(notes[0], own);
    assert_eq!(notes[1], ["born 5 of 32 in 32, 0", "g0 is 1"]);
    // At the end: finalizers, the roots and what they lead to, the globals.
    let walk = &notes[2];
    assert_eq!(walk[..2], ["finalized 3", "1 holds 1"]);
    assert!(walk.iter().filter(|note| *note == "field 0 of object 0x1 is nil").count() == 1, "{walk:?}");
    assert!(["g0 is 1", "g1 is nil", "5 holds 5"].iter().all(|note| walk.iter().any(|told| told == note)), "{walk:?}");
    assert_eq!(account.reachable, BTreeSet::from([1, 5]));
    let books = |objects, bytes| Some(Books { objects, bytes });
    assert_eq!([account.counted, account.again, account.left], [books(2, 56), books(2, 56), books(0, 0)]);
    let frees: u64 = account.heard.frees.values().sum();
    assert_eq!(frees, 5, "each once");
    let cycles = account.heard.phases[&Phase::Mark];
    assert!(cycles >= 5 && account.heard.phases[&Phase::Off] == cycles, "{:?}", account.heard);
}

#[test]
fn what_leads_far_is_walked_to() {
    let row = "0 alloc r0 2 8\n0 alloc r1 2 8\n0 alloc r2 2 8\n0 alloc r3 2 8\n0 store r2.1 r3\n0 store r1.0 r2\n0 store r0.1 r1\n\
         0 store g3 r0\n0 clear r0\n0 clear r1\n0 clear r2\n0 clear r3";
    let (account, notes) = told(row);
    assert_eq!(account.reachable, BTreeSet::from([1, 2, 3, 4]));
    assert!(notes[1].contains(&"field 1 of object 0x3 is 4".to_owned()), "{:?}", notes[1]);
    assert_eq!(account.left, Some(Books { objects: 0, bytes: 0 }));
}

#[test]
fn what_is_heard_is_added_up() {
    let heard = |frees: &[(u64, u64)], phases: &[(Phase, u64)]| Heard {
        frees: frees.iter().map(|(at, times)| (Address(*at), *times)).collect(),
        phases: phases.iter().copied().collect(),
    };
    let mut sum = Heard::default();
    sum.hear(&mut vec![Event::Free(Address(8)), Event::Free(Address(8)), Event::Phase(Phase::Off), Event::ScanGlobals]);
    assert_eq!(sum, heard(&[(8, 2)], &[(Phase::Off, 1)]));
    sum.add(heard(&[(8, 3), (16, 1)], &[(Phase::Off, 4), (Phase::Mark, 1)]));
    assert_eq!(sum, heard(&[(8, 5), (16, 1)], &[(Phase::Off, 5), (Phase::Mark, 1)]));
}

/// A heap that only writes down what it is asked, with whose stamp. It claims nothing, and traps when root 5 is read.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<String>>>);

struct Writes(Tape, u8, Stamp);

impl Mutator for Writes {
    fn perform(&mut self, action: &Action, stamp: Stamp, _: &mut Vec<Event>) -> Reply {
        let op = Op::Mutate { by: MutatorId(self.1), action: *action };
        let mut asked = self.0.0.lock().expect("nobody panics");
        match action {
            Action::Alloc { .. } => {
                asked.push(format!("{op} as {:#x}", stamp.0));
                self.2 = stamp;
                Reply::Born { at: Address(8), usable: 16, found: Content::ZERO, color: None }
            }
            Action::Read(Root(5)) => Reply::Trap("gone".into()),
            Action::Read(_) => Reply::Data(Content::Uniform(self.2.0)),
            Action::Load { .. } => Reply::Nil,
            _ => {
                asked.push(op.to_string());
                Reply::Done
            }
        }
    }
}

impl SharedHeap for Tape {
    type Mutator = Writes;

    fn claims(&self) -> Claims {
        Claims::new("tape")
    }

    fn join(&self, id: MutatorId, _: &mut Vec<Event>) -> Writes {
        self.0.lock().expect("nobody panics").push(format!("{id} joins"));
        Writes(self.clone(), id.0, Stamp(0))
    }

    fn leave(&self, mutator: Writes, _: &mut Vec<Event>) {
        self.0.lock().expect("nobody panics").push(format!("{} leaves", mutator.1));
    }

    fn send(&self, _: (&mut Writes, Root), _: (&mut Writes, Root), _: &mut Vec<Event>) -> Reply {
        Reply::Unsupported
    }

    fn collect(&self, _: &Collect, _: &mut Vec<Event>) -> Reply {
        Reply::Done
    }
}

#[test]
fn a_mutator_has_stamps_of_its_own_and_after_trouble_it_is_only_parked() {
    let lane = |story: &str| -> Vec<Action> {
        let action = |op: &Op| match op {
            Op::Mutate { action, .. } => *action,
            other => panic!("{other}"),
        };
        story.parse::<Program>().expect("a program").ops().iter().map(action).collect()
    };
    let own =
        lane("0 safepoint\n0 alloc r0 0 8\n0 alloc r1 0 8\n0 clear r4\n0 clear r0\n0 exit\n0 clear r1\n0 alloc r2 0 8");
    let trouble = lane("1 alloc r0 0 8\n1 copy r3 r0\n1 copy r3 r3\n1 alloc r5 0 8\n1 safepoint\n1 clear r0");
    let tape = Tape::default();
    let plan = Plan { pointers: 0, mutators: vec![own, trouble], collector: vec![Collect::Full] };
    let account = run(&tape, &plan, &InTurn);
    let asked = tape.0.lock().expect("nobody panics").clone();
    let globals = ["0 store g0 nil", "0 store g1 nil", "0 store g2 nil", "0 store g3 nil"];
    let owed = [
        &[
            "0 joins",
            "1 joins",
            "0 safepoint",
            "0 alloc r0 0 8 as 0x10000000001",
            "0 alloc r1 0 8 as 0x10000000002",
            "0 clear r0",
            "0 leaves",
            "0 joins",
            "0 alloc r2 0 8 as 0x10000000003",
            "0 park",
            "1 alloc r0 0 8 as 0x20000000001",
            "1 copy r3 r0",
            "1 alloc r5 0 8 as 0x20000000002",
            "1 park",
            "0 unpark",
            "0 park",
            "0 unpark",
            "0 clear r2",
        ][..],
        &globals,
        &["0 park"],
    ];
    assert_eq!(asked, owed.concat());
    assert_eq!((account.counted, account.again, account.left), (None, None, None), "it cannot be asked");
    assert!(matches!(account.threads[1][..], [Note::Born { .. }, Note::Trouble(Action::Read(Root(5)), _)]));
}

/// Keeps which lane begins which step, and which has ended.
#[derive(Default)]
struct Noted(Mutex<Vec<(usize, Option<usize>)>>);

impl Threads for Noted {
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>) {
        bodies.into_iter().for_each(|body| body());
    }

    fn pause(&self) {}

    fn begins(&self, lane: usize, step: usize) {
        self.0.lock().expect("one thread").push((lane, Some(step)));
    }

    fn ended(&self, lane: usize) {
        self.0.lock().expect("one thread").push((lane, None));
    }
}

#[test]
fn the_mutators_lanes_come_before_the_collectors_and_the_walk() {
    let program: Program = "0 alloc r0 1\n1 alloc r0 1\ngc start\ngc finish\n".parse().expect("a program");
    let plan = Plan::of(&program).expect("a plan");
    let noted = Noted::default();
    run(&OneAtATime::new(Machine::new(Protocol::HYBRID)), &plan, &noted);
    let noted = noted.0.into_inner().expect("one thread");
    let of =
        |wanted: usize| -> Vec<_> { noted.iter().filter(|(lane, _)| *lane == wanted).map(|(_, step)| *step).collect() };
    assert_eq!(of(2), [Some(0), None, Some(1), None], "the collector's");
    assert_eq!((of(3), noted.last()), (vec![Some(0), None], Some(&(3, None))), "the walk at the end");
    assert_eq!(of(0)[..2], [Some(0), None]);
    assert!(noted.iter().all(|(lane, _)| *lane < 4));
}

#[test]
fn who_leaves_holds_nothing_any_more() {
    let (heap, mut events) = (OneAtATime::new(Machine::new(Protocol::HYBRID)), Vec::new());
    let mut mutator = heap.join(MutatorId(1), &mut events);
    let shape = Shape::new(0, 16);
    let born = mutator.perform(&Action::Alloc { into: Root(0), shape }, Stamp(1), &mut events);
    assert!(matches!(born, Reply::Born { .. }), "{born:?}");
    let mut counted = || {
        heap.collect(&Collect::Full, &mut events);
        heap.collect(&Collect::Stats, &mut events)
    };
    assert!(matches!(counted(), Reply::Stats { objects: 1, .. }));
    heap.leave(mutator, &mut Vec::new());
    assert!(matches!(counted(), Reply::Stats { objects: 0, .. }));
}
