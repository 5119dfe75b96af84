//! The lock-step driver: one operation, one answer, with the reference graph beside it.
//!
//! The driver keeps a [`Graph`] of what the program means. It asks the subject only for operations that mean something,
//! and at the end it *settles*: it runs a whole cycle in steps, collects, and reads every object that a mutator can still
//! reach, so that an object which was lost or damaged on the way is looked at even if the program never came back to it.
//!
//! What is asked depends on few answers: a refused allocation changes what means something later, and so does what a
//! weak pointer, a finalizer or a cleanup hands out. So a whole run can be rehearsed, with a guess at these, and offered
//! to the subject [ahead](Subject::ahead) of time. Where an answer is likely to be another than the guess, nothing is sent
//! before it has come; if it is another, the rest is planned again. If a run that was sent ahead meets a refusal that
//! nobody asked for, or a failure, it is made again one operation at a time, which shows where that happened. A failure
//! at speed that does not show then is a failure still, unless it is the plan that was wrong: what follows a refusal may
//! have been an operation that means nothing.

use super::{Failure, Planned, Subject};
use crate::{
    history::{History, Moment, Twice},
    ledger::Ledger,
};
use heaplaw_reference::{
    event::Event,
    graph::{Effect, Graph},
    heap::{Capability, Claims, Reply},
    object::{ObjectId, ObjectSet},
    op::{Action, Collect, Environment, GLOBALS, MutatorId, Op, Place, Program, ROOTS, Root, WEAKS, WeakSlot},
    text::answer,
};
use std::collections::VecDeque;

#[cfg(test)]
mod ahead;

/// What happens after the last operation of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing.
    Abrupt,
    /// Collect, read everything that is reachable, and collect again.
    Settle,
}

/// Runs `program` on a fresh heap of `subject`.
///
/// # Errors
/// If the subject cannot even be reset. A subject that fails later leaves a history with a
/// [failure](History::failure).
pub fn run(subject: &mut dyn Subject, program: &Program, ending: Ending) -> Result<History, Failure> {
    let claims = subject.reset()?;
    let plan = |claims: &Claims| rehearsed(claims, &Ledger::default(), false, program.ops(), ending);
    let ahead = subject.ahead(&|| plan(&claims));
    let (history, off_plan) = Run::new(subject, claims, ahead).through(program.ops(), ending);
    if !off_plan && (!ahead || history.failure.is_none()) {
        return Ok(history);
    }
    let claims = subject.reset()?;
    let (slowly, _) = Run::new(subject, claims, false).through(program.ops(), ending);
    if history.failure.is_none() || slowly.failure.is_some() {
        return Ok(slowly);
    }
    let planned: Vec<Op> = plan(&slowly.claims).into_iter().map(|planned| planned.op).collect();
    let as_planned = slowly.program().into_ops() == planned;
    Ok(if as_planned { history } else { slowly })
}

/// The operations that a run asks for from some point on, if no allocation is refused and every guess is right.
fn rehearsed(claims: &Claims, ledger: &Ledger, failing: bool, ops: &[Op], ending: Ending) -> Vec<Planned> {
    let mut understudy = Understudy;
    let run = Run::new(&mut understudy, claims.clone(), false);
    let run = Run { ledger: ledger.clone(), failing, rehearsal: Some(Vec::new()), ..run };
    run.all(ops, ending).rehearsal.unwrap_or_default()
}

/// Stands in for a subject in a rehearsal, where none is asked.
struct Understudy;

impl Subject for Understudy {
    fn reset(&mut self) -> Result<Claims, Failure> {
        Ok(Claims::new("understudy"))
    }

    fn perform(&mut self, _: &Op, _: &mut Vec<Event>) -> Result<Reply, Failure> {
        Ok(Reply::Unsupported)
    }
}

struct Run<'s> {
    ledger: Ledger,
    history: History,
    subject: &'s mut dyn Subject,
    /// Whether the operations were sent ahead.
    ahead: bool,
    /// What was asked for so far, if the subject only stands in and answers are guessed.
    rehearsal: Option<Vec<Planned>>,
    /// Whether the environment was told to refuse memory.
    failing: bool,
    /// Whether everything was collected since the program ended.
    collected: bool,
    /// Whether the subject gave an answer that was not guessed, and nothing was sent after it.
    surprised: bool,
    /// Whether the subject gave an answer that the plan did not count on.
    off_plan: bool,
}

impl<'s> Run<'s> {
    fn new(subject: &'s mut dyn Subject, claims: Claims, ahead: bool) -> Self {
        let history = History { claims, moments: Vec::new(), unclaimed: 0, failure: None, twice: Twice::NotTried };
        Run {
            ledger: Ledger::default(),
            history,
            subject,
            ahead,
            rehearsal: None,
            failing: false,
            collected: false,
            surprised: false,
            off_plan: false,
        }
    }

    /// The whole run; the history, and whether it broke off because it left the plan.
    fn through(self, ops: &[Op], ending: Ending) -> (History, bool) {
        let run = self.all(ops, ending);
        (run.history, run.off_plan)
    }

    fn all(mut self, ops: &[Op], ending: Ending) -> Self {
        self.history.moments.reserve(ops.len());
        for (at, op) in ops.iter().enumerate() {
            self.perform(*op);
            if std::mem::take(&mut self.surprised) {
                let Run { ledger, history, failing, subject, .. } = &mut self;
                let plan = || rehearsed(&history.claims, ledger, *failing, &ops[at + 1..], ending);
                self.ahead = subject.ahead(&plan);
            }
        }
        if ending == Ending::Settle {
            self.settle();
        }
        self
    }

    fn perform(&mut self, op: Op) {
        if self.off_plan || self.history.failure.is_some() || !self.ledger.graph().allows(&op) {
            return;
        }
        if !self.history.claims.allow(&op) {
            self.history.unclaimed += 1;
            return;
        }
        let guess = self.guess(&op);
        let decides = self.decides(&op);
        if let Op::Environment(Environment::Fail(request)) = op {
            self.failing = request > 0;
        }
        if let Some(plan) = &mut self.rehearsal {
            plan.push(Planned { op, decides });
            self.ledger.rehearse(&op, guess);
            return;
        }
        let mut events: Vec<Event> = Vec::new();
        match self.subject.perform(&op, &mut events) {
            Ok(reply) if !fits(&op, &reply) => {
                let line = answer::print(&reply, &[]);
                self.history.failure = Some((op, Failure::Garbled(format!("{line:?} is no answer to {op}"))));
            }
            Ok(Reply::OutOfMemory) if self.ahead && !decides => self.off_plan = true,
            Ok(reply) => {
                let came = match self.ledger.enter(&op, &reply) {
                    Effect::Strong { came, .. } | Effect::Clean(came) => came,
                    Effect::Finalize(ran) => ran.map(|(id, _)| id),
                    _ => None,
                };
                let refused = reply == Reply::OutOfMemory;
                // One request was to be refused, and was.
                self.failing &= !refused;
                self.surprised = self.ahead && decides && (guess != came || refused);
                self.off_plan = self.ahead && !decides && guess != came;
                self.history.moments.push(Moment { op, reply, events });
                if self.surprised && self.collected {
                    // There is not much left; it is asked for one by one.
                    self.subject.ahead(&Vec::new);
                    self.ahead = false;
                }
            }
            Err(failure) => self.history.failure = Some((op, failure)),
        }
    }

    /// Whether the answer decides what can be asked for next, and is hard to guess.
    fn decides(&self, op: &Op) -> bool {
        let Op::Mutate { action, .. } = op else { return false };
        let graph = self.ledger.graph();
        match action {
            Action::Alloc { .. } => self.failing,
            Action::Strong { from, .. } => graph.weaks()[usize::from(from.0)].is_some_and(|weak| weak.dead.is_none()),
            Action::Finalize(_) => !graph.finalizers().is_empty(),
            Action::Clean(_) => !graph.cleanups().is_empty(),
            _ => false,
        }
    }

    /// What such an operation is likely to hand out.
    fn guess(&self, op: &Op) -> Option<ObjectId> {
        let graph = self.ledger.graph();
        let guess = graph.guess(op);
        match op {
            Op::Mutate { action: Action::Strong { .. }, .. } if self.collected => {
                let (kept, doomed) = (graph.kept(), graph.doomed());
                guess.filter(|id| kept.contains(*id) && !doomed.contains(*id))
            }
            _ => guess,
        }
    }

    fn settle(&mut self) {
        for op in awake(self.ledger.graph()) {
            self.perform(op);
        }
        for op in whole_cycle(self.ledger.graph()) {
            self.perform(op);
        }
        self.perform(Op::Collect(Collect::Full));
        self.collected = true;
        for op in audit(self.ledger.graph()) {
            self.perform(op);
        }
        self.mourn();
        if self.history.claims.is_allocator() {
            self.free_all();
        }
        let claims: &Claims = &self.history.claims;
        let claims_pacing = claims.has(Capability::Pacing);
        if claims.has(Capability::Collect) {
            self.perform(Op::Collect(Collect::Full));
            self.perform(Op::Collect(Collect::Stats));
            if claims_pacing {
                self.perform(Op::Collect(Collect::Pace));
            }
            self.perform(Op::Collect(Collect::Full));
        }
        self.perform(Op::Collect(Collect::Stats));
    }

    /// Asks for all that the program has attached to objects: what weak pointers find, and whose finalizers and cleanups
    /// are due after a full collection, and after another one, until no more are.
    fn mourn(&mut self) {
        let Some((by, stack)) = self.ledger.graph().stacks().next() else { return };
        let empty = |root: &Root| stack.roots[usize::from(root.0)].is_none();
        let into = (0..ROOTS).map(Root).find(empty).unwrap_or(Root(ROOTS - 1));
        for slot in (0..WEAKS).map(WeakSlot) {
            if self.ledger.graph().weaks()[usize::from(slot.0)].is_some() {
                self.look_at(by, into, Action::Strong { into, from: slot });
            }
        }
        // Some cleanups have to wait until a finalizer has run.
        self.drain(by, into, Action::Clean(into), self.ledger.graph().cleanups().len());
        // Every collection finds one more dead, or none ever again.
        for _ in 0..self.ledger.graph().finalizers().len() {
            if !self.drain(by, into, Action::Finalize(into), self.ledger.graph().finalizers().len()) {
                break;
            }
            self.perform(Op::Collect(Collect::Full));
        }
        self.drain(by, into, Action::Clean(into), self.ledger.graph().cleanups().len());
    }

    /// Frees by hand what roots and globals hold, as far as no field holds it, until nothing more can be freed.
    fn free_all(&mut self) {
        let Some((by, _)) = self.ledger.graph().stacks().next() else { return };
        for number in 0..GLOBALS {
            let (into, global) = (Root(ROOTS - 1), Place::Global(number));
            if self.ledger.graph().place(by, global).is_some() {
                self.perform(Op::Mutate { by, action: Action::Load { into, from: global } });
                self.perform(Op::Mutate { by, action: Action::Free(into) });
            }
        }
        // Each round frees what only the round before has held.
        for _ in 0..ROOTS {
            let stacks = self.ledger.graph().stacks();
            let frees = stacks.flat_map(|(by, _)| (0..ROOTS).map(move |root| (by, Root(root))));
            for (by, root) in frees.collect::<Vec<_>>() {
                self.perform(Op::Mutate { by, action: Action::Free(root) });
            }
        }
    }

    /// Performs an operation until it hands out nothing, and once more than it can hand out something. Says whether it
    /// ever did.
    fn drain(&mut self, by: MutatorId, into: Root, action: Action, owed: usize) -> bool {
        let most = if owed == 0 { 0 } else { owed + 1 };
        (0..most).take_while(|_| self.look_at(by, into, action)).count() > 0
    }

    /// Performs an operation that may hand out an object; reads the object and lets go of it. Says whether there was one.
    fn look_at(&mut self, by: MutatorId, into: Root, action: Action) -> bool {
        self.perform(Op::Mutate { by, action: Action::Clear(into) });
        self.perform(Op::Mutate { by, action });
        let came = self.ledger.graph().root(by, into).is_some();
        self.perform(Op::Mutate { by, action: Action::Read(into) });
        self.perform(Op::Mutate { by, action: Action::Clear(into) });
        came
    }
}

/// Whether a reply is of a kind that answers this operation.
fn fits(op: &Op, reply: &Reply) -> bool {
    match (op, reply) {
        (_, Reply::Trap(_)) => true,
        (Op::Mutate { action: Action::Alloc { .. }, .. }, reply) => {
            matches!(reply, Reply::Born { .. } | Reply::OutOfMemory)
        }
        (
            Op::Mutate {
                action: Action::Load { .. } | Action::Strong { .. } | Action::Finalize(_) | Action::Clean(_),
                ..
            },
            reply,
        ) => matches!(reply, Reply::Object(_) | Reply::Nil),
        (Op::Mutate { action: Action::Weak { .. }, .. }, reply) => matches!(reply, Reply::Weak(_)),
        (Op::Mutate { action: Action::Read(_), .. }, reply) => matches!(reply, Reply::Data(_)),
        (Op::Mutate { .. }, reply) => *reply == Reply::Done,
        (Op::Collect(Collect::Stats), reply) => matches!(reply, Reply::Stats { .. }),
        (Op::Collect(Collect::Pace), reply) => matches!(reply, Reply::Pace(_)),
        (Op::Collect(Collect::Full) | Op::Environment(_), reply) => *reply == Reply::Done,
        (Op::Collect(_), reply) => matches!(reply, Reply::Done | Reply::Idle),
    }
}

/// More steps than any program gives a collector to do.
pub const EVERYTHING: u32 = 1 << 20;

/// A cycle in steps, with every handshake and enough of the others.
fn whole_cycle(graph: &Graph) -> Vec<Op> {
    let handshakes = graph.stacks().map(|(mutator, _)| Collect::Handshake(mutator));
    let steps = [Collect::Start].into_iter().chain(handshakes);
    let steps = steps.chain([Collect::Mark(EVERYTHING), Collect::Finish, Collect::Sweep(EVERYTHING)]);
    steps.map(Op::Collect).collect()
}

/// Brings parked mutators back, and one mutator if all have left.
fn awake(graph: &Graph) -> Vec<Op> {
    if graph.stacks().next().is_none() {
        return vec![Op::mutate(0, Action::Join)];
    }
    let parked = graph.stacks().filter(|(_, stack)| stack.parked);
    parked.map(|(by, _)| Op::Mutate { by, action: Action::Unpark }).collect()
}

/// Operations that read every object which is reachable, and load a field of it that is nil.
///
/// Objects are walked to with the roots that a mutator has free. A mutator whose roots are all taken gives up its last
/// one, whose own object is then read but not looked through.
pub fn audit(graph: &Graph) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut seen = ObjectSet::new();
    let globals = (0..).zip(graph.globals()).filter_map(|(number, held)| Some((Place::Global(number), (*held)?)));
    let mut globals: Vec<(Place, ObjectId)> = globals.collect();
    for (by, stack) in graph.stacks() {
        let empty = |root: &Root| graph.root(by, *root).is_none();
        let mut free: Vec<Root> = (0..ROOTS).map(Root).filter(empty).collect();
        let given_up = Root(ROOTS - 1);
        if free.is_empty() {
            free.push(given_up);
        }
        let mut walk = Walk { graph, by, free, seen, later: VecDeque::new(), ops };
        for (root, held) in (0..).map(Root).zip(&stack.roots) {
            let Some(object) = held.filter(|object| walk.seen.insert(*object)) else { continue };
            if walk.free.contains(&root) {
                walk.act(Action::Read(root));
            } else {
                walk.through(root, object, None);
            }
        }
        for (place, object) in globals.drain(..) {
            if walk.seen.insert(object) {
                walk.later.push_back((object, Way { first: place, then: Vec::new() }));
            }
        }
        walk.catch_up();
        (seen, ops) = (walk.seen, walk.ops);
    }
    ops
}

/// How to get to an object: a place that is not in a free root, and the fields to follow from there.
#[derive(Clone)]
struct Way {
    first: Place,
    then: Vec<u32>,
}

/// One mutator's walk through the graph.
struct Walk<'g> {
    graph: &'g Graph,
    by: MutatorId,
    free: Vec<Root>,
    seen: ObjectSet,
    /// Objects that have to wait until a root is free, and how to get there.
    later: VecDeque<(ObjectId, Way)>,
    ops: Vec<Op>,
}

impl Walk<'_> {
    fn act(&mut self, action: Action) {
        self.ops.push(Op::Mutate { by: self.by, action });
    }

    fn load(&mut self, into: Root, of: Root, index: u32) {
        self.act(Action::Load { into, from: Place::Field { of, index } });
    }

    /// Looks at the object in a root and at all that it leads to. The root is free to be used up if there is a way back.
    fn through(&mut self, at: Root, mut object: ObjectId, mut way: Option<Way>) {
        loop {
            self.look(at, object);
            let Some(fields) = self.graph.object(object).map(|object| &object.fields) else { return };
            let mut children: Vec<_> = fields.iter().filter(|(_, to)| !self.seen.contains(*to)).collect();
            // The last one can take the root itself, so that a list is walked without coming back.
            let last = if way.is_some() { children.pop() } else { None };
            let below = |index: u32| match &way {
                None => Way { first: Place::Field { of: at, index }, then: Vec::new() },
                Some(way) => Way { first: way.first, then: way.then.iter().copied().chain([index]).collect() },
            };
            for (index, child) in children {
                if !self.seen.insert(child) {
                    continue;
                }
                match self.free.pop() {
                    Some(root) => {
                        self.load(root, at, index);
                        self.through(root, child, Some(below(index)));
                        self.act(Action::Clear(root));
                        self.free.push(root);
                    }
                    None => self.later.push_back((child, below(index))),
                }
            }
            match last.filter(|(_, child)| self.seen.insert(*child)) {
                Some((index, child)) => {
                    self.load(at, at, index);
                    object = child;
                    if let Some(way) = &mut way {
                        way.then.push(index);
                    }
                }
                None => return,
            }
        }
    }

    /// Reads an object, and loads one of its fields that is nil.
    fn look(&mut self, at: Root, object: ObjectId) {
        self.act(Action::Read(at));
        let Some(object) = self.graph.object(object) else { return };
        let nil = (0..object.shape.pointers).find(|index| object.fields.get(*index).is_none());
        if let (Some(index), Some(root)) = (nil, self.free.last().copied()) {
            self.load(root, at, index);
        }
    }

    /// Goes to what had to wait.
    fn catch_up(&mut self) {
        while let Some((object, way)) = self.later.pop_front() {
            let Some(root) = self.free.pop() else { return };
            self.act(Action::Load { into: root, from: way.first });
            for index in &way.then {
                self.load(root, root, *index);
            }
            self.through(root, object, Some(way));
            self.act(Action::Clear(root));
            self.free.push(root);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drive::InProcess,
        generate::{choices::Seed, scenario::Scenario},
    };
    use heaplaw_reference::{
        heap::Heap,
        machine::Machine,
        place::manual::{Manual, Policy},
        protocol::Protocol,
    };

    /// Which objects an audit reads.
    fn read(graph: &Graph) -> (ObjectSet, usize) {
        let ops = audit(graph);
        let mut after = graph.clone();
        let mut read = ObjectSet::new();
        for op in &ops {
            if let Effect::Read(object) = after.apply(op) {
                read.insert(object);
            }
        }
        (read, ops.len())
    }

    #[test]
    fn an_audit_reads_everything_that_is_reachable() {
        for case in 0..2_000 {
            let mut graph = Graph::new();
            for op in Scenario::default().draw(&mut Seed::case(8, case)).ops() {
                graph.apply(op);
            }
            for op in awake(&graph) {
                graph.apply(&op);
            }
            assert_eq!(read(&graph).0, graph.reachable(), "case {case}");
        }
    }

    #[test]
    fn a_long_list_is_walked_once() {
        let mut graph = Graph::new();
        graph.apply(&"0 alloc r0 1".parse().expect("an operation"));
        for _ in 0..5_000 {
            for line in ["0 alloc r1 1", "0 store r1.0 r0", "0 copy r0 r1"] {
                graph.apply(&line.parse().expect("an operation"));
            }
        }
        let (read, ops) = read(&graph);
        assert_eq!(read.len(), 5_001);
        assert!(ops < 3 * 5_001, "{ops}");
    }

    /// What a heap is asked in a run that settles.
    fn asked<H: Heap + 'static>(make: impl Fn() -> H + 'static, story: &str) -> Vec<String> {
        let program = story.parse().expect("a program");
        let history = run(&mut InProcess::new(make), &program, Ending::Settle).expect("it starts");
        assert!(history.failure.is_none(), "{:?}", history.failure);
        history.program().ops().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_heap_that_settles_is_asked_for_everything() {
        let told = asked(|| Machine::new(Protocol::HYBRID), "0 alloc r0 1\n0 clear r5\n1 join\n1 park");
        let whole = [
            "0 alloc r0 1",
            "1 join",
            "1 park",
            "1 unpark",
            "gc start",
            "gc handshake 0",
            "gc handshake 1",
            "gc mark 1048576",
            "gc finish",
            "gc sweep 1048576",
            "gc full",
            "0 read r0",
            "0 load r15 r0.0",
            "gc full",
            "gc stats",
            "gc full",
            "gc stats",
        ];
        assert_eq!(told, whole);
        let none = asked(|| Machine::new(Protocol::HYBRID), "0 exit");
        assert_eq!(none[..3], ["0 exit", "0 join", "gc start"]);
    }

    #[test]
    fn what_is_attached_to_objects_is_asked_for_until_there_is_no_more() {
        let story = "0 alloc r0 1\n0 alloc r1 1\n0 store r0.0 r1\n0 finalizer r0\n0 finalizer r1\n0 weak w2 r1\n\
            0 alloc r2 1\n0 alloc r3 0 16\n0 cleanup r2 r3\n0 clear r0\n0 clear r1\n0 clear r2\n0 clear r3";
        let told = asked(|| Machine::new(Protocol::HYBRID), story);
        let full = told.iter().position(|op| op == "gc full").expect("it is collected");
        let into = |action: &str| vec![format!("0 {action} r0"), "0 read r0".into(), "0 clear r0".into()];
        let nothing = |action: &str| vec![format!("0 {action} r0")];
        let weak = ["0 strong r0 w2", "0 read r0", "0 clear r0"].map(String::from).to_vec();
        let all = |parts: &[Vec<String>]| parts.concat();
        let gc = vec!["gc full".to_owned()];
        let owed = all(&[
            weak,
            into("clean"),
            nothing("clean"),
            into("finalize"),
            nothing("finalize"),
            gc.clone(),
            into("finalize"),
            nothing("finalize"),
            gc.clone(),
        ]);
        assert_eq!(told[full + 1..told.len() - 4], owed);
    }

    #[test]
    fn what_is_not_claimed_is_counted_and_not_asked() {
        let frees = |policy: &Policy| Manual::new(*policy).claims().is_allocator();
        let policy = Policy::ALL.into_iter().find(frees).expect("one of them");
        let make = move || Manual::new(policy);
        let program = "0 alloc r0 0 16\ngc full\n0 weak w0 r0\n0 read r0".parse().expect("a program");
        let history = run(&mut InProcess::new(make), &program, Ending::Abrupt).expect("it starts");
        assert_eq!((history.unclaimed, history.moments.len()), (2, 2));
        // What is held is freed by hand at the end.
        let told = asked(make, "0 alloc r3 1\n0 alloc r1 1\n0 store g2 r1\n0 clear r1");
        let frees: Vec<_> =
            told.iter().filter(|op| op.contains("free") || op.contains("load r15 g")).map(String::as_str).collect();
        assert_eq!(frees, ["0 load r15 g2", "0 load r15 g2", "0 free r15", "0 free r3"], "looked at, and then freed");
    }

    #[test]
    fn whose_roots_are_all_taken_gives_up_the_last() {
        let fill: String = (0..ROOTS).map(|root| format!("0 alloc r{root} 0 16\n")).collect();
        let told = asked(|| Machine::new(Protocol::HYBRID), &format!("{fill}0 weak w0 r0\n"));
        let at = told.iter().position(|op| op == "0 strong r15 w0").expect("the weak pointer is asked");
        assert_eq!(told[at - 1..at + 3], ["0 clear r15", "0 strong r15 w0", "0 read r15", "0 clear r15"]);
    }

    #[test]
    fn what_is_not_due_is_not_collected_for_again() {
        let told = asked(|| Machine::new(Protocol::HYBRID), "0 alloc r0 1\n0 finalizer r0");
        let full = told.iter().position(|op| op == "gc full").expect("it is collected");
        let rest = ["0 read r0", "0 load r15 r0.0", "0 finalize r1", "gc full", "gc stats", "gc full", "gc stats"];
        assert_eq!(told[full + 1..], rest);
    }
}
