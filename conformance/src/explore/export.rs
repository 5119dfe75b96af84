//! Schedules as programs: what the model does in steps, in the words that every heap understands.

use super::Schedule;
use heaplaw_reference::{
    color::Color,
    model::{Period, Scope, Step, World},
    object::Shape,
    op::{Action, Collect, MutatorId, Op, Place, Program, Root, WeakSlot},
    protocol::Protocol,
};

/// The model's weak pointer.
const WEAK: WeakSlot = WeakSlot(0);

/// A root that no story uses.
const SPARE: u8 = 8;

impl Schedule {
    /// The schedule as a program that the reference machine can run, if there are operations for all of it: whole ones,
    /// so not if a store or a conversion is interrupted, or if it matters when the end of marking is decided.
    pub fn program(&self, protocol: &Protocol, scope: Scope) -> Option<Program> {
        let mut ops = beginning(&self.beginning, scope);
        let mut before = self.beginning;
        for (step, after) in &self.steps {
            ops.extend(operations(*step, &before, protocol, scope)?);
            before = *after;
        }
        ops.push(Op::Collect(Collect::Finish));
        let witness = (0..scope.mutators).find(|mutator| before.is_present(*mutator));
        let asks = |on: bool, action| witness.filter(|_| on).map(|mutator| Op::mutate(mutator, action));
        // Where marking ends, what the weak pointer answers has to be right, and after the sweep as well.
        let weak = asks(scope.alphabet.weak, Action::Strong { into: Root(SPARE), from: WEAK });
        ops.extend(weak);
        ops.push(Op::Collect(Collect::Sweep(100)));
        ops.extend(weak);
        // What finalizers are handed has to be whole.
        ops.extend(asks(scope.alphabet.finalizers, Action::Finalize(Root(SPARE))));
        Some(Program::new(ops))
    }
}

/// A step as operations; `None` if there are none that say it.
fn operations(step: Step, before: &World, protocol: &Protocol, scope: Scope) -> Option<Vec<Op>> {
    let mutate = |by: u8, action| vec![Op::mutate(by, action)];
    let collect = |step| vec![Op::Collect(step)];
    let place = |of, field| Place::Field { of: Root(of), index: u32::from(field) };
    let specials = protocol.specials;
    let sweeping = before.period() == Period::Sweep;
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
        Step::Weaken { mutator, register } => mutate(mutator, Action::Weak { into: WEAK, to: Root(register) }),
        // An operation does all of it at once.
        Step::Strengthen { .. } if sweeping && specials.strong_asks_the_sweep && !specials.strong_reads_again => {
            return None;
        }
        Step::Strengthen { mutator, into } => mutate(mutator, Action::Strong { into: Root(into), from: WEAK }),
        Step::Attach { mutator, register } => mutate(mutator, Action::Finalizer(Root(register))),
        Step::Take { mutator, into, .. } => mutate(mutator, Action::Finalize(Root(into))),
        Step::Leave(mutator) => mutate(mutator, Action::Exit),
        Step::Join { mutator, argument: None } => mutate(mutator, Action::Join),
        // In words, who arrives is handed its argument like anything else.
        Step::Join { mutator, argument: Some(value) } if protocol.arguments_shade == protocol.sends_shade => {
            let hand_over = Action::Send { value: Root(value), to: MutatorId(mutator), into: Root(0) };
            [mutate(mutator, Action::Join), mutate(1 - mutator, hand_over)].concat()
        }
        Step::ScanStack(mutator) => collect(Collect::Handshake(MutatorId(mutator))),
        // In words, the globals come first, and with them what is attached to objects.
        Step::Scan(_) if before.finalizers_color() == Color::Grey => return None,
        Step::Scan(_) => collect(Collect::Mark(1)),
        Step::ScanFinalizers if !specials.snapshot_first => return None,
        Step::ScanFinalizers => collect(Collect::Mark(1)),
        Step::Rescan | Step::End => collect(Collect::Finish),
        Step::Start if scope.alphabet.finalizers => collect(Collect::Start),
        Step::Start => [collect(Collect::Start), collect(Collect::Mark(1))].concat(),
        // In words, a sweep goes from address to address; it comes to the only dead object anyway.
        Step::Sweep(object) if before.objects().any(|other| other != object && is_white(before, other)) => return None,
        Step::Sweep(_) | Step::Swept => collect(Collect::Sweep(100)),
        Step::Abort => collect(Collect::Abort),
        // Both go without saying, unless something can come in between.
        Step::Decide if !specials.strong_waits => return None,
        Step::Decide | Step::ClearWeak => vec![],
        Step::Go(_) | Step::Join { .. } => return None,
    })
}

fn is_white(world: &World, object: u8) -> bool {
    world.object_color(object) == Some(Color::White)
}

/// Operations that build a world and begin to mark.
fn beginning(world: &World, scope: Scope) -> Vec<Op> {
    // Objects are held by roots that the story does not use until all references are in place.
    let spare = |object: u8| Root(SPARE + object);
    let mut ops = Vec::new();
    let shape = Shape::new(u32::from(scope.fields), 0);
    for object in world.objects() {
        ops.push(Op::mutate(0, Action::Alloc { into: spare(object), shape }));
    }
    for object in world.objects() {
        for field in 0..scope.fields {
            if let Some(to) = world.holds(object, field) {
                let into = Place::Field { of: spare(object), index: u32::from(field) };
                ops.push(Op::mutate(0, Action::Store { into, value: Some(spare(to)) }));
            }
        }
        if world.has_finalizer(object) {
            ops.push(Op::mutate(0, Action::Finalizer(spare(object))));
        }
    }
    ops.extend(world.target().map(|to| Op::mutate(0, Action::Weak { into: WEAK, to: spare(to) })));
    for mutator in (0..scope.mutators).filter(|mutator| world.is_present(*mutator)) {
        if mutator > 0 {
            ops.push(Op::mutate(mutator, Action::Join));
        }
        for register in 0..scope.registers {
            let Some(held) = world.register(mutator, register) else { continue };
            ops.push(Op::mutate(
                0,
                match mutator {
                    0 => Action::Copy { into: Root(register), from: spare(held) },
                    _ => Action::Send { value: spare(held), to: MutatorId(mutator), into: Root(register) },
                },
            ));
        }
    }
    for object in world.objects() {
        ops.push(Op::mutate(0, Action::Clear(spare(object))));
    }
    ops.push(Op::Collect(Collect::Start));
    // The globals, which hold nothing. With them goes what is attached to objects, if anything can be.
    if !scope.alphabet.finalizers {
        ops.push(Op::Collect(Collect::Mark(1)));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::protocol::Alphabet;

    const PLAIN: Scope = Scope::new(2, 1, 2, 1);

    fn said(step: Step, world: &World, protocol: &Protocol, scope: Scope) -> Option<Vec<String>> {
        operations(step, world, protocol, scope).map(|ops| ops.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn who_arrives_is_handed_its_argument() {
        let world = PLAIN.beginnings(&Protocol::HYBRID).next().expect("a beginning");
        let join = |mutator, argument| Step::Join { mutator, argument };
        let said = |step, protocol: &Protocol| said(step, &world, protocol, PLAIN);
        let lines = |lines: &[&str]| Some(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let alike = Protocol { arguments_shade: true, sends_shade: true, ..Protocol::HYBRID };
        let unlike = Protocol { arguments_shade: false, ..alike };
        assert_eq!(said(join(1, Some(0)), &alike), lines(&["1 join", "0 send r0 1.r0"]));
        assert_eq!(said(join(0, Some(0)), &alike), lines(&["0 join", "1 send r0 0.r0"]));
        assert_eq!(said(join(1, Some(0)), &unlike), None);
        assert_eq!(said(join(1, None), &unlike), lines(&["1 join"]));
        assert_eq!(said(Step::Go(0), &alike), None);
    }

    #[test]
    fn what_an_operation_does_at_once_can_be_said_while_it_marks() {
        let scope = PLAIN.with(Alphabet { weak: true, ..Alphabet::PLAIN });
        let world = scope.beginnings(&Protocol::HYBRID).next().expect("a beginning");
        assert_eq!(world.period(), Period::Mark);
        let mut protocol = Protocol::HYBRID;
        for (asks, reads) in [(false, false), (false, true), (true, false), (true, true)] {
            (protocol.specials.strong_asks_the_sweep, protocol.specials.strong_reads_again) = (asks, reads);
            let told = said(Step::Strengthen { mutator: 0, into: 0 }, &world, &protocol, scope);
            assert_eq!(told, Some(vec!["0 strong r0 w0".to_owned()]), "{asks} {reads}");
        }
    }

    #[test]
    fn what_comes_first_in_words_is_not_said_if_it_does_not_in_the_story() {
        let scope = PLAIN.with(Alphabet { finalizers: true, sweep: true, ..Alphabet::PLAIN });
        let (mut alone, mut beside, mut reached) = (0, 0, 0);
        let and_after = |world: World| {
            let after = world.steps(&Protocol::HYBRID, scope).into_iter().map(|(_, after)| after);
            std::iter::once(world).chain(after).collect::<Vec<_>>()
        };
        for world in scope.beginnings(&Protocol::HYBRID).flat_map(and_after) {
            let white = |object: u8| world.object_color(object) == Some(Color::White);
            let others = world.objects().filter(|object| *object != 0 && white(*object)).count();
            let sweep = said(Step::Sweep(0), &world, &Protocol::HYBRID, scope);
            assert_eq!(sweep.is_none(), others > 0, "{world:?}");
            if others > 0 {
                beside += 1;
            } else {
                alone += 1;
                reached += u32::from(world.objects().any(|object| object != 0));
            }
            let grey = world.finalizers_color() == Color::Grey;
            assert_eq!(said(Step::Scan(0), &world, &Protocol::HYBRID, scope).is_none(), grey, "{world:?}");
        }
        assert!(alone > reached && beside > 0 && reached > 0, "{alone} {beside} {reached}");
    }
}
