//! Operands: every number that is written in an operation, one after the other, to be looked at or changed.
//!
//! This is the one place of the reducer that knows how operations are laid out. The order is that of the text form,
//! the mutator first.

use heaplaw_reference::op::{Action, Collect, Environment, Gogc, MutatorId, Op, Place, Root, Run, WeakSlot};

/// One number of an operation.
#[derive(Debug)]
pub(super) enum Operand<'o> {
    /// Who acts, who receives, or whose stack is scanned.
    Mutator(&'o mut MutatorId),
    /// A root of this mutator, which is looked at.
    Read(MutatorId, &'o mut Root),
    /// A root of this mutator, which is overwritten.
    Write(MutatorId, &'o mut Root),
    /// A global.
    Global(&'o mut u8),
    /// A weak slot.
    Weak(&'o mut WeakSlot),
    /// A pointer field.
    Field(&'o mut u32),
    /// How many steps or fields.
    Count(&'o mut u32),
    /// Pointer fields of a new object.
    Pointers(&'o mut u32),
    /// Data bytes of a new object.
    Bytes(&'o mut u32),
}

impl Operand<'_> {
    /// The number itself.
    pub(super) fn value(&self) -> u32 {
        match self {
            Operand::Mutator(mutator) => mutator.0.into(),
            Operand::Read(_, root) | Operand::Write(_, root) => root.0.into(),
            Operand::Global(number) => u32::from(**number),
            Operand::Weak(slot) => slot.0.into(),
            Operand::Field(n) | Operand::Count(n) | Operand::Pointers(n) | Operand::Bytes(n) => **n,
        }
    }

    /// Lowers the number to `value`.
    pub(super) fn lower(self, value: u32) {
        debug_assert!(value <= self.value(), "{value} is not lower than {self:?}");
        match self {
            // What is lower than a byte is a byte.
            Operand::Mutator(mutator) => mutator.0 = value as u8,
            Operand::Read(_, root) | Operand::Write(_, root) => root.0 = value as u8,
            Operand::Global(number) => *number = value as u8,
            Operand::Weak(slot) => slot.0 = value as u8,
            Operand::Field(n) | Operand::Count(n) | Operand::Pointers(n) | Operand::Bytes(n) => *n = value,
        }
    }
}

/// Shows every operand of `op` to `visit`, in the order of the text form.
pub(super) fn each(op: &mut Op, visit: &mut dyn FnMut(Operand<'_>)) {
    match op {
        Op::Mutate { by, action } => {
            visit(Operand::Mutator(by));
            each_of_action(*by, action, visit);
        }
        Op::Collect(Collect::Mark(count) | Collect::Sweep(count)) => visit(Operand::Count(count)),
        Op::Collect(Collect::Handshake(mutator)) => visit(Operand::Mutator(mutator)),
        Op::Collect(_) => {}
        Op::Environment(
            Environment::Fail(count)
            | Environment::Clock(count)
            | Environment::Gogc(Gogc::Percent(count))
            | Environment::Limit(Some(count)),
        ) => visit(Operand::Count(count)),
        Op::Environment(_) => {}
    }
}

fn each_of_action(by: MutatorId, action: &mut Action, visit: &mut dyn FnMut(Operand<'_>)) {
    match action {
        Action::Alloc { into, shape } => {
            visit(Operand::Write(by, into));
            visit(Operand::Pointers(&mut shape.pointers));
            visit(Operand::Bytes(&mut shape.bytes));
        }
        Action::Load { into, from } => {
            visit(Operand::Write(by, into));
            each_of_place(by, from, visit);
        }
        Action::Store { into, value } => {
            each_of_place(by, into, visit);
            if let Some(value) = value {
                visit(Operand::Read(by, value));
            }
        }
        Action::Move { into: Run { of, at, count }, from, start } => {
            visit(Operand::Read(by, of));
            visit(Operand::Field(at));
            visit(Operand::Read(by, from));
            visit(Operand::Field(start));
            visit(Operand::Count(count));
        }
        Action::Wipe(Run { of, at, count }) => {
            visit(Operand::Read(by, of));
            visit(Operand::Field(at));
            visit(Operand::Count(count));
        }
        Action::Copy { into, from } => {
            visit(Operand::Write(by, into));
            visit(Operand::Read(by, from));
        }
        Action::Clear(root) | Action::Finalize(root) | Action::Clean(root) => visit(Operand::Write(by, root)),
        Action::Write(root) | Action::Read(root) | Action::Finalizer(root) | Action::Free(root) => {
            visit(Operand::Read(by, root));
        }
        Action::Weak { into, to } => {
            visit(Operand::Weak(into));
            visit(Operand::Read(by, to));
        }
        Action::Strong { into, from } => {
            visit(Operand::Write(by, into));
            visit(Operand::Weak(from));
        }
        Action::Cleanup { of, with } => {
            visit(Operand::Read(by, of));
            visit(Operand::Read(by, with));
        }
        Action::Send { value, to, into } => {
            visit(Operand::Read(by, value));
            visit(Operand::Mutator(to));
            visit(Operand::Write(*to, into));
        }
        _ => {}
    }
}

fn each_of_place(by: MutatorId, place: &mut Place, visit: &mut dyn FnMut(Operand<'_>)) {
    match place {
        Place::Global(number) => visit(Operand::Global(number)),
        Place::Field { of, index } => {
            visit(Operand::Read(by, of));
            visit(Operand::Field(index));
        }
    }
}

/// `op` after every operand was shown to `change`.
pub(super) fn changed(op: &Op, mut change: impl FnMut(Operand<'_>)) -> Op {
    let mut op = *op;
    each(&mut op, &mut change);
    op
}

/// The numbers of all operands.
pub(super) fn numbers(op: &Op) -> Vec<u32> {
    let mut numbers = Vec::new();
    changed(op, |operand| numbers.push(operand.value()));
    numbers
}

/// The root that `op` overwrites, if it does.
pub(super) fn target(op: &Op) -> Option<(MutatorId, Root)> {
    let mut target = None;
    changed(op, |operand| {
        if let Operand::Write(by, root) = operand {
            target = Some((by, *root));
        }
    });
    target
}

/// The place that `op` loads or stores, if it does.
pub(super) fn place(op: &Op) -> Option<Place> {
    match *op {
        Op::Mutate { action: Action::Load { from: place, .. } | Action::Store { into: place, .. }, .. } => Some(place),
        _ => None,
    }
}

/// `op` with another place to load or store.
pub(super) fn at_place(op: &Op, place: Place) -> Op {
    let mut op = *op;
    if let Op::Mutate { action: Action::Load { from: old, .. } | Action::Store { into: old, .. }, .. } = &mut op {
        *old = place;
    }
    op
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_text_is_an_operand() {
        let lines = [
            "0 alloc r0 2 24",
            "1 load r2 r0.1",
            "2 load r2 g3",
            "0 store r0.1 r1",
            "0 store r0.1 nil",
            "0 store g0 r5",
            "0 move r0.4 r1.3 1",
            "0 wipe r0.7 2",
            "0 copy r3 r0",
            "3 clear r9",
            "0 write r3",
            "0 read r3",
            "1 join",
            "0 send r3 1.r2",
            "0 weak w3 r2",
            "0 strong r1 w2",
            "0 finalizer r2",
            "0 finalize r3",
            "0 cleanup r1 r2",
            "0 clean r4",
            "0 free r4",
            "0 safepoint",
            "0 park",
            "0 unpark",
            "1 exit",
            "gc full",
            "gc start",
            "gc handshake 2",
            "gc mark 3",
            "gc finish",
            "gc sweep 4",
            "gc stats",
            "gc abort",
            "env fail 2",
            "env clock 1000",
        ];
        for line in lines {
            let digits = line.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
            let written: Vec<u32> = digits.map(|word| word.parse().unwrap()).collect();
            assert_eq!(numbers(&line.parse().unwrap()), written, "{line}");
            let zeroed = changed(&line.parse().unwrap(), |operand| operand.lower(0));
            assert!(numbers(&zeroed).iter().all(|number| *number == 0), "{line}");
        }
    }
}
