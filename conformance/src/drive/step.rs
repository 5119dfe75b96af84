//! The lock-step driver: one operation, one answer, with the reference graph beside it.
//!
//! The driver keeps a [`Graph`] of what the program means. It asks the subject only for operations that mean something,
//! and at the end it *settles*: it collects twice, and reads every object that a mutator can still reach, so that an
//! object which was lost or damaged on the way is looked at even if the program never came back to it.

use super::{Failure, Subject};
use crate::history::{History, Moment};
use heaplaw_reference::{
    event::Event,
    graph::Graph,
    heap::{Capability, Claims, Reply},
    object::{ObjectId, ObjectSet},
    op::{Action, Collect, Op, Place, Program, ROOTS, Root},
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
    let mut run = Run {
        graph: Graph::new(),
        history: History { claims, moments: Vec::with_capacity(program.len()), unclaimed: 0, failure: None },
        subject,
    };
    for op in program.ops() {
        run.perform(*op);
    }
    if ending == Ending::Settle {
        run.settle();
    }
    Ok(run.history)
}

struct Run<'s> {
    graph: Graph,
    history: History,
    subject: &'s mut dyn Subject,
}

impl Run<'_> {
    fn perform(&mut self, op: Op) {
        if self.history.failure.is_some() || !self.graph.allows(&op) {
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

/// Brings parked mutators back, and one mutator if all have left.
fn awake(graph: &Graph) -> Vec<Op> {
    if graph.stacks().next().is_none() {
        return vec![Op::mutate(0, Action::Join)];
    }
    let parked = graph.stacks().filter(|(_, stack)| stack.parked);
    parked.map(|(by, _)| Op::Mutate { by, action: Action::Unpark }).collect()
}

/// Operations that read every object which is reachable, each on a shortest path from a root or a global.
///
/// The walk needs one root of each mutator to stand on: an empty one, or if there is none the last, whose own object is
/// then read but not looked through.
pub fn audit(graph: &Graph) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut seen = ObjectSet::new();
    let mut globals: Vec<Place> =
        (0..).zip(graph.globals()).filter(|(_, g)| g.is_some()).map(|(n, _)| Place::Global(n)).collect();
    for (by, stack) in graph.stacks() {
        let scratch =
            (0..ROOTS).rev().map(Root).find(|root| graph.root(by, *root).is_none()).unwrap_or(Root(ROOTS - 1));
        let mut act = |action| ops.push(Op::Mutate { by, action });
        // Breadth first: the object, and the loads that lead to it into the scratch root.
        let mut open: VecDeque<(ObjectId, Vec<Place>)> = VecDeque::new();
        let on_scratch = |index| Place::Field { of: scratch, index };
        for (root, held) in (0..).map(Root).zip(&stack.roots) {
            let Some(object) = held.filter(|object| seen.insert(*object)) else { continue };
            act(Action::Read(root));
            if root != scratch {
                let fields = graph.object(object).into_iter().flat_map(|object| object.fields.iter());
                open.extend(fields.map(|(index, to)| (to, vec![Place::Field { of: root, index }])));
            }
        }
        open.extend(globals.drain(..).filter_map(|place| Some((graph.place(by, place)?, vec![place]))));
        while let Some((object, path)) = open.pop_front() {
            if !seen.insert(object) {
                continue;
            }
            for from in &path {
                act(Action::Load { into: scratch, from: *from });
            }
            act(Action::Read(scratch));
            let fields = graph.object(object).into_iter().flat_map(|object| object.fields.iter());
            open.extend(fields.map(|(index, to)| {
                let mut path = path.clone();
                path.push(on_scratch(index));
                (to, path)
            }));
        }
        act(Action::Clear(scratch));
    }
    ops
}
