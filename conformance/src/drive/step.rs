//! The lock-step driver: one operation, one answer, with the reference graph beside it.
//!
//! The driver keeps a [`Graph`] of what the program means. It asks the subject only for operations that mean something,
//! and at the end it *settles*: it runs a whole cycle in steps, collects, and reads every object that a mutator can still
//! reach, so that an object which was lost or damaged on the way is looked at even if the program never came back to it.
//!
//! What is asked depends on the answers in one way only: a refused allocation changes what means something later. So a
//! whole run can be rehearsed and offered to the subject [ahead](Subject::ahead) of time. If a run that was sent ahead
//! then meets a refusal or a failure, it is made again one operation at a time, which shows where that happened.

use super::{Failure, Subject};
use crate::history::{History, Moment};
use heaplaw_reference::{
    event::Event,
    graph::Graph,
    heap::{Capability, Claims, Reply},
    object::{Address, Content, ObjectId, ObjectSet},
    op::{Action, Collect, MutatorId, Op, Place, Program, ROOTS, Root},
    text::answer,
};
use std::collections::VecDeque;

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
    let ahead = subject.ahead(&|| rehearsed(&claims, program, ending));
    let (history, off_plan) = Run::new(subject, claims, ahead).through(program, ending);
    if !off_plan && (!ahead || history.failure.is_none()) {
        return Ok(history);
    }
    let claims = subject.reset()?;
    let (slowly, _) = Run::new(subject, claims, false).through(program, ending);
    // A failure that shows only at speed is a failure still.
    Ok(if history.failure.is_some() && slowly.failure.is_none() { history } else { slowly })
}

/// The operations that a run asks for if no allocation is refused.
fn rehearsed(claims: &Claims, program: &Program, ending: Ending) -> Vec<Op> {
    let (history, _) = Run::new(&mut Understudy, claims.clone(), false).through(program, ending);
    history.moments.into_iter().map(|moment| moment.op).collect()
}

/// Stands in for a subject in a rehearsal: gives some answer that fits.
struct Understudy;

impl Subject for Understudy {
    fn reset(&mut self) -> Result<Claims, Failure> {
        Ok(Claims::new("understudy"))
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Result<Reply, Failure> {
        Ok(match op {
            Op::Mutate { action: Action::Alloc { .. }, .. } => {
                Reply::Born { at: Address(0), usable: 0, found: Content::ZERO, color: None }
            }
            Op::Mutate { action: Action::Load { .. }, .. } => Reply::Nil,
            Op::Mutate { action: Action::Read(_), .. } => Reply::Data(Content::ZERO),
            Op::Collect(Collect::Stats) => Reply::Stats { objects: 0, bytes: 0 },
            _ => Reply::Done,
        })
    }
}

struct Run<'s> {
    graph: Graph,
    history: History,
    subject: &'s mut dyn Subject,
    /// Whether the operations were sent ahead.
    ahead: bool,
    /// Whether an allocation was refused that the plan counted on.
    off_plan: bool,
}

impl<'s> Run<'s> {
    fn new(subject: &'s mut dyn Subject, claims: Claims, ahead: bool) -> Self {
        let history = History { claims, moments: Vec::new(), unclaimed: 0, failure: None };
        Run { graph: Graph::new(), history, subject, ahead, off_plan: false }
    }

    /// The whole run; the history, and whether it broke off because it left the plan.
    fn through(mut self, program: &Program, ending: Ending) -> (History, bool) {
        self.history.moments.reserve(program.len());
        for op in program.ops() {
            self.perform(*op);
        }
        if ending == Ending::Settle {
            self.settle();
        }
        (self.history, self.off_plan)
    }

    fn perform(&mut self, op: Op) {
        if self.off_plan || self.history.failure.is_some() || !self.graph.allows(&op) {
            return;
        }
        if !self.history.claims.allow(&op) {
            self.history.unclaimed += 1;
            return;
        }
        let mut events: Vec<Event> = Vec::new();
        match self.subject.perform(&op, &mut events) {
            Ok(reply) if !fits(&op, &reply) => {
                let line = answer::print(&reply, &[]);
                self.history.failure = Some((op, Failure::Garbled(format!("{line:?} is no answer to {op}"))));
            }
            Ok(Reply::OutOfMemory) if self.ahead => self.off_plan = true,
            Ok(reply) => {
                match reply {
                    Reply::OutOfMemory => self.graph.refuse(&op),
                    _ => _ = self.graph.apply(&op),
                }
                self.history.moments.push(Moment { op, reply, events });
            }
            Err(failure) => self.history.failure = Some((op, failure)),
        }
    }

    fn settle(&mut self) {
        for op in awake(&self.graph) {
            self.perform(op);
        }
        for op in whole_cycle(&self.graph) {
            self.perform(op);
        }
        self.perform(Op::Collect(Collect::Full));
        for op in audit(&self.graph) {
            self.perform(op);
        }
        let claims: &Claims = &self.history.claims;
        if claims.has(Capability::Collect) {
            self.perform(Op::Collect(Collect::Full));
            self.perform(Op::Collect(Collect::Stats));
            self.perform(Op::Collect(Collect::Full));
        }
        self.perform(Op::Collect(Collect::Stats));
    }
}

/// Whether a reply is of a kind that answers this operation.
fn fits(op: &Op, reply: &Reply) -> bool {
    match (op, reply) {
        (_, Reply::Trap(_)) => true,
        (Op::Mutate { action: Action::Alloc { .. }, .. }, reply) => {
            matches!(reply, Reply::Born { .. } | Reply::OutOfMemory)
        }
        (Op::Mutate { action: Action::Load { .. }, .. }, reply) => matches!(reply, Reply::Object(_) | Reply::Nil),
        (Op::Mutate { action: Action::Read(_), .. }, reply) => matches!(reply, Reply::Data(_)),
        (Op::Mutate { .. }, reply) => *reply == Reply::Done,
        (Op::Collect(Collect::Stats), reply) => matches!(reply, Reply::Stats { .. }),
        (Op::Collect(Collect::Full), reply) => *reply == Reply::Done,
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
    use crate::generate::{choices::Seed, scenario::Scenario};
    use heaplaw_reference::graph::Effect;

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
}
