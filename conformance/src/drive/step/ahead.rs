//! Tests of what is sent ahead: a subject that takes every plan, and lets nobody depart from it. Whatever is planned, the
//! history is that of a run in which nothing was.

use super::*;
use crate::{
    drive::InProcess,
    generate::{choices::Seed, scenario::Scenario},
};
use heaplaw_reference::{
    heap::Heap,
    machine::Machine,
    object::Shape,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};

/// What a subject does to whoever sends ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fair,
    /// Crashes when it is asked for its statistics, if that was sent ahead.
    CrashesAtSpeed,
    /// Does so in any case.
    Crashes,
    /// Crashes when that was sent ahead; otherwise refuses its second allocation.
    CrashesAtSpeedAndRefuses,
}

/// Takes every plan.
struct Far<F, H> {
    heap: InProcess<F, H>,
    mood: Mood,
    /// What has been sent and not been asked for.
    sent: Option<VecDeque<Planned>>,
    /// The operations of the last plan whose answers decide what comes next.
    decisions: Vec<String>,
    /// Whether another plan may be offered.
    open: bool,
    resets: u32,
    offers: u32,
    allocations: u32,
}

impl<H: Heap, F: FnMut() -> H> Far<F, H> {
    fn new(make: F, mood: Mood) -> Self {
        let heap = InProcess::new(make);
        Far { heap, mood, sent: None, decisions: Vec::new(), open: false, resets: 0, offers: 0, allocations: 0 }
    }
}

impl<H: Heap, F: FnMut() -> H> Subject for Far<F, H> {
    fn reset(&mut self) -> Result<Claims, Failure> {
        (self.sent, self.open, self.allocations) = (None, true, 0);
        self.resets += 1;
        self.heap.reset()
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        assert!(self.open, "a plan is offered in the middle of another");
        let plan = plan();
        let decide = plan.iter().filter(|planned| planned.decides);
        self.decisions = decide.map(|planned| planned.op.to_string()).collect();
        // An empty plan says that operations come one by one.
        self.sent = if plan.is_empty() { None } else { Some(plan.into()) };
        self.open = false;
        self.offers += 1;
        true
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        let at_speed = self.sent.is_some();
        if let Some(sent) = &mut self.sent {
            let planned = sent.pop_front().expect("the plan goes on");
            assert_eq!(planned.op, *op, "this is not what was planned");
            self.open = planned.decides;
        }
        let crashes = match self.mood {
            Mood::Fair => false,
            Mood::CrashesAtSpeed | Mood::CrashesAtSpeedAndRefuses => at_speed,
            Mood::Crashes => true,
        };
        if crashes && *op == Op::Collect(Collect::Stats) {
            return Err(Failure::Crashed(if at_speed { "at speed" } else { "one by one" }.to_owned()));
        }
        if matches!(op, Op::Mutate { action: Action::Alloc { .. }, .. }) {
            self.allocations += 1;
            if self.mood == Mood::CrashesAtSpeedAndRefuses && !at_speed && self.allocations == 2 {
                return Ok(Reply::OutOfMemory);
            }
        }
        self.heap.perform(op, events)
    }
}

fn hybrid() -> Machine {
    Machine::new(Protocol::HYBRID)
}

/// Runs a program both ways, which come to the same; gives how often the far subject was reset and offered a plan.
fn both<H: Heap, F: FnMut() -> H>(make: impl Fn() -> F, program: &Program) -> (u32, u32) {
    let near = run(&mut InProcess::new(make()), program, Ending::Settle).expect("it starts");
    let mut far = Far::new(make(), Mood::Fair);
    let history = run(&mut far, program, Ending::Settle).expect("it starts");
    assert_eq!(history, near, "{program}");
    (far.resets, far.offers)
}

#[test]
fn what_was_sent_ahead_is_what_would_have_been_asked() {
    let scenario = Scenario::suited(&hybrid().claims(), 60);
    let mut offers = 0;
    for case in 0..400 {
        let program = scenario.draw(&mut Seed::case(4, case));
        let (resets, offered) = both(|| hybrid, &program);
        assert_eq!(resets, 1, "what decides is waited for, so that nothing has to be done again: {program}");
        offers += offered;
    }
    assert!((420..440).contains(&offers), "nearly all that is planned comes to pass: {offers}");
}

#[test]
fn so_it_is_for_an_allocator_that_is_refused_memory() {
    let claims = Manual::new(Policy::FirstFit).claims();
    let scenario = Scenario::suited(&claims, 60);
    let (mut refused, mut again) = (0, 0);
    for case in 0..400 {
        let program = scenario.draw(&mut Seed::case(5, case));
        refused += u32::from(program.to_string().contains("env fail"));
        let (resets, _) = both(|| || Manual::new(Policy::FirstFit), &program);
        again += resets - 1;
    }
    assert!(refused > 20 && again == 0, "{refused} programs refuse memory, {again} were run again");
}

#[test]
fn a_refusal_that_nobody_asked_for_is_met_one_by_one() {
    let program: Program = (0..20).map(|at| Op::mutate(0, alloc(at % 15, 64))).collect();
    let (resets, offers) = both(|| || Machine::with_memory(Protocol::HYBRID, 300), &program);
    assert_eq!((resets, offers), (2, 1), "sent ahead once, and then one by one");
}

#[test]
fn only_a_surprise_is_planned_for_anew_and_memory_is_refused_as_before() {
    let offers = |story: &str| {
        let mut far = Far::new(hybrid, Mood::Fair);
        run(&mut far, &story.parse().expect("a program"), Ending::Abrupt).expect("it starts");
        (far.offers, far.decisions)
    };
    assert_eq!(offers("0 alloc r0 1\n0 weak w0 r0\n0 strong r1 w0\n"), (1, vec!["0 strong r1 w0".to_owned()]));
    // Nobody holds what the weak pointer is guessed to find; and of three requests the last is still to be refused.
    let story = "env fail 3\n0 alloc r0 1\n0 weak w0 r0\n0 clear r0\ngc full\n0 strong r1 w0\n0 alloc r2 1\n";
    assert_eq!(offers(story), (2, vec!["0 alloc r2 1".to_owned()]));
}

fn alloc(into: u8, data: u32) -> Action {
    Action::Alloc { into: Root(into), shape: Shape::new(1, data) }
}

#[test]
fn what_decides_is_what_is_hard_to_guess() {
    let story = "0 alloc r0 1\n0 strong r1 w0\n0 weak w0 r0\n0 strong r1 w0\n0 finalize r2\n0 finalizer r0\n\
                 0 finalize r2\n0 clean r3\n0 alloc r4 0 16\n0 cleanup r4 r0\n0 clean r3\n0 load r5 r0.0\ngc stats\n";
    let told = |claims: &Claims, story: &str| -> Vec<(String, bool)> {
        let program: Program = story.parse().expect("a program");
        let plan = rehearsed(claims, &Ledger::default(), false, program.ops(), Ending::Abrupt);
        plan.into_iter().map(|planned| (planned.op.to_string(), planned.decides)).collect()
    };
    let decided: Vec<_> = told(&hybrid().claims(), story).into_iter().filter(|(_, decides)| *decides).collect();
    let strong = ("0 strong r1 w0".to_owned(), true);
    assert_eq!(decided, [strong, ("0 finalize r2".to_owned(), true), ("0 clean r3".to_owned(), true)]);

    let claims = Manual::new(Policy::FirstFit).claims();
    let told = told(&claims, "0 alloc r0 0 16\nenv fail 1\n0 alloc r1 0 16\n0 free r0\nenv fail 0\n0 alloc r2 0 16\n");
    let decided: Vec<_> = told.iter().map(|(_, decides)| *decides).collect();
    assert_eq!(decided, [false, false, true, false, false, false], "{told:?}");
}

#[test]
fn a_failure_at_speed_is_looked_at_one_by_one() {
    let program: Program = "0 alloc r0 1\n0 alloc r1 1\n0 read r1\ngc stats\n".parse().expect("a program");
    let with = |mood| {
        let mut far = Far::new(hybrid, mood);
        let history = run(&mut far, &program, Ending::Abrupt).expect("it starts");
        let failure = history.failure.as_ref().map(|(op, failure)| (op.to_string(), failure.to_string()));
        (far.resets, history.moments.len(), failure)
    };
    let crash = |how: &str| Some(("gc stats".to_owned(), format!("the subject crashed: {how}")));
    assert_eq!(with(Mood::Fair), (1, 4, None));
    assert_eq!(with(Mood::Crashes), (2, 3, crash("one by one")));
    assert_eq!(with(Mood::CrashesAtSpeed), (2, 3, crash("at speed")), "a failure that does not show again is one");
    // What was planned could not be: after the refusal nothing is in r1 that could be read.
    assert_eq!(with(Mood::CrashesAtSpeedAndRefuses), (2, 3, None));
}

#[test]
fn answers_of_another_kind_are_no_answers() {
    let ops = ["0 alloc r0 1", "0 load r1 r0.0", "0 weak w0 r0", "0 read r0", "0 clear r0", "gc stats", "gc pace"];
    let ops = ops.into_iter().chain(["gc full", "gc start", "env fail 1", "0 strong r1 w0", "0 clean r1"]);
    let pace = Reply::Pace(Box::default());
    let stats = Reply::Stats { objects: 0, bytes: 0 };
    let data = Reply::Data(heaplaw_reference::object::Content::ZERO);
    let at = heaplaw_reference::object::Address(8);
    let born = Reply::Born { at, usable: 8, found: heaplaw_reference::object::Content::ZERO, color: None };
    let replies = [
        (born, vec![0]),
        (Reply::OutOfMemory, vec![0]),
        (Reply::Object(at), vec![1, 10, 11]),
        (Reply::Nil, vec![1, 10, 11]),
        (Reply::Weak(1), vec![2]),
        (data, vec![3]),
        (Reply::Done, vec![4, 7, 8, 9]),
        (stats, vec![5]),
        (pace, vec![6]),
        (Reply::Idle, vec![8]),
        (Reply::Unsupported, vec![]),
    ];
    let ops: Vec<Op> = ops.map(|line| line.parse().expect("an operation")).collect();
    for (reply, expected) in replies {
        let fitting: Vec<usize> = (0..ops.len()).filter(|at| fits(&ops[*at], &reply)).collect();
        assert_eq!(fitting, expected, "{reply:?}");
    }
}
