//! Simpler operations: smaller objects, less alignment, other verbs, smaller numbers.

use crate::shrink::{
    edit::Edit,
    operand::{Operand, changed, numbers},
    trace::Line,
};
use heaplaw_reference::{
    object::{ObjectId, Shape},
    op::{Action, Collect, Environment, MutatorId, Op, Place, Root, Run},
};
use std::collections::{BTreeSet, HashMap};

/// All objects at once: as many fields as are used, no data and no alignment; then only some of the three.
pub(super) fn objects(lines: &[Line]) -> Vec<Edit> {
    let used = fields_used(lines);
    let fitting = |line: &Line, shape: Shape| {
        let fields = line.born.and_then(|id| used.get(&id)).copied().unwrap_or(0);
        shape.pointers.min(fields)
    };
    let all = |change: &dyn Fn(&Line, Shape) -> Shape| {
        let shapes = lines.iter().enumerate().filter_map(|(at, line)| match line.op {
            Op::Mutate { by, action: Action::Alloc { into, shape } } => {
                Some((at, Op::Mutate { by, action: Action::Alloc { into, shape: change(line, shape) } }))
            }
            _ => None,
        });
        Edit::change(shapes)
    };
    vec![
        all(&|line, shape| Shape::new(fitting(line, shape), 0)),
        all(&|line, shape| Shape::new(fitting(line, shape), 0).aligned(shape.align)),
        all(&|line, shape| Shape::new(fitting(line, shape), shape.bytes).aligned(shape.align)),
        all(&|_, shape| Shape::new(shape.pointers, 0).aligned(shape.align)),
        all(&|_, shape| shape.aligned(0)),
    ]
}

/// One past the last field of each object that the program names.
fn fields_used(lines: &[Line]) -> HashMap<ObjectId, u32> {
    let mut used = HashMap::new();
    let mut names = |object: Option<&Option<ObjectId>>, end: u32| {
        if let Some(Some(object)) = object {
            let most = used.entry(*object).or_insert(0);
            *most = end.max(*most);
        }
    };
    for Line { op, reads, .. } in lines {
        let Op::Mutate { action, .. } = op else { continue };
        match *action {
            Action::Load { from: Place::Field { index, .. }, .. }
            | Action::Store { into: Place::Field { index, .. }, .. } => names(reads.first(), index.saturating_add(1)),
            Action::Wipe(Run { at, count, .. }) => names(reads.first(), at.saturating_add(count)),
            Action::Move { into: Run { at, count, .. }, start, .. } => {
                names(reads.first(), at.saturating_add(count));
                names(reads.get(1), start.saturating_add(count));
            }
            _ => {}
        }
    }
    used
}

/// One operation at a time, from the end: a simpler verb, or a smaller number.
pub(super) fn operations(lines: &[Line]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (at, line) in lines.iter().enumerate().rev() {
        let simpler = simpler_verbs(&line.op, lines).into_iter().chain(smaller_numbers(&line.op));
        edits.extend(simpler.map(|op| Edit::change([(at, op)])));
    }
    edits
}

fn simpler_verbs(op: &Op, lines: &[Line]) -> Vec<Op> {
    // What the clock does, somebody can have done on purpose.
    if let Op::Environment(Environment::Clock(_)) = op {
        return vec![Op::Collect(Collect::Start)];
    }
    let Op::Mutate { by, action } = *op else { return Vec::new() };
    let actions = match action {
        Action::Store { into, value: Some(_) } => vec![Action::Store { into, value: None }],
        Action::Alloc { into, shape } if shape.align > 0 => {
            // None, then the lesser powers of two.
            let less = std::iter::successors(Some(1), |align| Some(align * 2)).take_while(|align| *align < shape.align);
            let aligned =
                std::iter::once(0).chain(less).map(|align| Action::Alloc { into, shape: shape.aligned(align) });
            aligned.chain([Action::Clear(into)]).collect()
        }
        Action::Alloc { into, .. } | Action::Load { into, .. } | Action::Copy { into, .. } => {
            vec![Action::Clear(into)]
        }
        Action::Exit => roots_of(by, lines).into_iter().map(Action::Clear).collect(),
        Action::Send { value, into, .. } => vec![Action::Copy { into, from: value }],
        Action::Wipe(run) => vec![Action::Store { into: first(run), value: None }],
        Action::Move { into, .. } => {
            let store = |value| Action::Store { into: first(into), value: Some(value) };
            let stores = roots_of(by, lines).into_iter().map(store);
            std::iter::once(Action::Wipe(into)).chain(stores).collect()
        }
        _ => Vec::new(),
    };
    actions.into_iter().map(|action| Op::Mutate { by, action }).collect()
}

fn first(run: Run) -> Place {
    Place::Field { of: run.of, index: run.at }
}

/// The roots that a mutator uses.
fn roots_of(mutator: MutatorId, lines: &[Line]) -> BTreeSet<Root> {
    let mut roots = BTreeSet::new();
    for line in lines {
        changed(&line.op, |operand| match operand {
            Operand::Read(by, root) | Operand::Write(by, root) if by == mutator => _ = roots.insert(*root),
            _ => {}
        });
    }
    roots
}

fn smaller_numbers(op: &Op) -> Vec<Op> {
    let mut ops = Vec::new();
    for number in 0..numbers(op).len() {
        for value in below(op, number) {
            let mut position = 0..;
            ops.push(changed(op, |operand| {
                if position.next() == Some(number) {
                    operand.lower(value);
                }
            }));
        }
    }
    ops
}

/// The numbers that are tried for the `number`-th operand.
fn below(op: &Op, number: usize) -> Vec<u32> {
    let mut position = 0..;
    let mut values = Vec::new();
    changed(op, |operand| {
        if position.next() == Some(number) {
            let value = operand.value();
            values = match operand {
                // No steps at all are better left out.
                Operand::Count(_) => descending(value).filter(|count| *count > 0).collect(),
                Operand::Field(_) | Operand::Pointers(_) | Operand::Bytes(_) => descending(value).collect(),
                _ => (0..value).collect(),
            };
        }
    });
    values
}

/// 0, then a half, three quarters, … of `value`, at last one less: finds the edge below which a failure goes away in
/// as many steps as the edge has digits.
fn descending(value: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(value), |step| Some(step / 2)).take_while(|step| *step > 0).map(move |step| value - step)
}
