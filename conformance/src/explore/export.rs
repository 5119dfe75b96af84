//! Schedules as programs: what the model does in steps, in the words that every heap understands.

use super::Schedule;
use heaplaw_reference::{
    model::{Scope, Step, World},
    object::Shape,
    op::{Action, Collect, MutatorId, Op, Place, Program, Root},
    protocol::Protocol,
};

impl Schedule {
    /// The schedule as a program that the reference machine can run, if there are operations for all of it. There are
    /// none for a store that is interrupted.
    pub fn program(&self, protocol: &Protocol, scope: Scope) -> Option<Program> {
        let mut ops = beginning(&self.beginning, scope)?;
        for (step, _) in &self.steps {
            ops.extend(operations(*step, protocol, scope)?);
        }
        ops.push(Op::Collect(Collect::Finish));
        ops.push(Op::Collect(Collect::Sweep(100)));
        Some(Program::new(ops))
    }
}

/// A step as operations; `None` if there are none that say it.
fn operations(step: Step, protocol: &Protocol, scope: Scope) -> Option<Vec<Op>> {
    let mutate = |by: u8, action| vec![Op::Mutate { by: MutatorId(by), action }];
    let collect = |step| vec![Op::Collect(step)];
    let place = |of, field| Place::Field { of: Root(of), index: u32::from(field) };
    Some(match step {
        Step::Load { mutator, into, from, field } => {
            mutate(mutator, Action::Load { into: Root(into), from: place(from, field) })
        }
        Step::Store { mutator, of, field, value } => {
            mutate(mutator, Action::Store { into: place(of, field), value: value.map(Root) })
        }
        Step::Copy { mutator, into, from } => mutate(mutator, Action::Copy { into: Root(into), from: Root(from) }),
        Step::Clear { mutator, register } => mutate(mutator, Action::Clear(Root(register))),
        Step::Allocate { mutator, into } => {
            mutate(mutator, Action::Alloc { into: Root(into), shape: Shape::new(u32::from(scope.fields), 0) })
        }
        Step::Send { mutator, value, into } => {
            mutate(mutator, Action::Send { value: Root(value), to: MutatorId(1 - mutator), into: Root(into) })
        }
        Step::Leave(mutator) => mutate(mutator, Action::Exit),
        Step::Join { mutator, argument: None } => mutate(mutator, Action::Join),
        // In words, who arrives is handed its argument like anything else.
        Step::Join { mutator, argument: Some(value) } if protocol.arguments_shade == protocol.sends_shade => {
            let hand_over = Action::Send { value: Root(value), to: MutatorId(mutator), into: Root(0) };
            [mutate(mutator, Action::Join), mutate(1 - mutator, hand_over)].concat()
        }
        Step::ScanStack(mutator) => collect(Collect::Handshake(MutatorId(mutator))),
        Step::Scan(_) => collect(Collect::Mark(1)),
        Step::Rescan | Step::End => collect(Collect::Finish),
        Step::Start => collect(Collect::Start),
        Step::Swept => collect(Collect::Sweep(100)),
        // Seen in the model only.
        Step::Decide => vec![],
        Step::Go(_)
        | Step::Join { .. }
        | Step::Weaken { .. }
        | Step::Strengthen { .. }
        | Step::Attach { .. }
        | Step::Take { .. }
        | Step::ScanFinalizers
        | Step::ClearHandle
        | Step::Sweep(_)
        | Step::Abort => return None,
    })
}

/// Operations that build a world and begin to mark, if there are any that can.
fn beginning(world: &World, scope: Scope) -> Option<Vec<Op>> {
    if world.target().is_some() || world.objects().any(|object| world.has_finalizer(object)) {
        return None;
    }
    let mutate = |by: u8, action| Op::Mutate { by: MutatorId(by), action };
    // Objects are held by roots that the story does not use until all references are in place.
    let spare = |object: u8| Root(8 + object);
    let mut ops = Vec::new();
    let shape = Shape::new(u32::from(scope.fields), 0);
    for object in world.objects() {
        ops.push(mutate(0, Action::Alloc { into: spare(object), shape }));
    }
    for object in world.objects() {
        for field in 0..scope.fields {
            if let Some(to) = world.holds(object, field) {
                let into = Place::Field { of: spare(object), index: u32::from(field) };
                ops.push(mutate(0, Action::Store { into, value: Some(spare(to)) }));
            }
        }
    }
    for mutator in (0..scope.mutators).filter(|mutator| world.is_present(*mutator)) {
        if mutator > 0 {
            ops.push(mutate(mutator, Action::Join));
        }
        for register in 0..scope.registers {
            let Some(held) = world.register(mutator, register) else { continue };
            ops.push(mutate(
                0,
                match mutator {
                    0 => Action::Copy { into: Root(register), from: spare(held) },
                    _ => Action::Send { value: spare(held), to: MutatorId(mutator), into: Root(register) },
                },
            ));
        }
    }
    for object in world.objects() {
        ops.push(mutate(0, Action::Clear(spare(object))));
    }
    ops.push(Op::Collect(Collect::Start));
    // The globals, which hold nothing.
    ops.push(Op::Collect(Collect::Mark(1)));
    Some(ops)
}
