//! Plans: what each of several threads does.
//!
//! A plan is drawn like a program, and is written like one: the operations of the text form, those of each mutator
//! together and in its order, then those of the collector. The order between threads says nothing. So a plan is a program
//! too, one of its many interleavings, and can be replayed in turn as well.

use crate::generate::choices::Choices;
use heaplaw_reference::{
    heap::{Capability, Claims},
    object::Shape,
    op::{Action, Collect, GLOBALS, MUTATORS, MutatorId, Op, Place, Program, Root, Run, WEAKS, WeakSlot},
};
use std::fmt;

/// The roots that plans use; the others are for the walk at the end.
pub(super) const USED: u8 = 6;

/// What every thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many pointer fields every object has.
    pub pointers: u32,
    /// What the mutators do, each on a thread of its own. What means nothing at that time is left out.
    pub mutators: Vec<Vec<Action>>,
    /// What the collector does, on one thread more.
    pub collector: Vec<Collect>,
}

impl Plan {
    /// A plan of `ops` operations for each of `mutators` mutators (at most four), and as many collector steps, for a heap
    /// with these claims.
    pub fn draw(choices: &mut dyn Choices, claims: &Claims, mutators: u8, ops: u32) -> Plan {
        // A wide object takes several steps to be scanned in some heaps; its last field is one of the first three, or far
        // behind.
        let pointers = if choices.chance(1, 16) { 40 } else { 1 + choices.below(3) };
        let mutator = |choices: &mut dyn Choices| {
            let mut actions = Vec::new();
            while actions.len() < ops as usize {
                if specials(choices, claims, pointers, &mut actions) {
                    continue;
                }
                gesture(choices, pointers, &mut actions);
            }
            actions
        };
        let mutators = (0..mutators.clamp(1, MUTATORS)).map(|_| mutator(choices)).collect::<Vec<_>>();
        let count = mutators.len() as u32;
        let steps = (0..ops).filter_map(|_| collect(choices, claims, count));
        Plan { pointers, collector: steps.collect(), mutators }
    }

    /// How many operations all threads have together.
    pub fn len(&self) -> usize {
        self.mutators.iter().map(Vec::len).sum::<usize>() + self.collector.len()
    }

    /// Whether nobody does anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The operation of a lane, for those who watch: mutators are counted from 0, the collector comes last.
    pub fn op(&self, lane: usize, step: usize) -> Option<Op> {
        match self.mutators.get(lane) {
            Some(actions) => Some(Op::mutate(lane as u8, *actions.get(step)?)),
            None if lane == self.mutators.len() => Some(Op::Collect(*self.collector.get(step)?)),
            None => None,
        }
    }

    /// The plan that a file's operations are: those of each mutator on a thread of its own, those of the collector on
    /// another.
    ///
    /// # Errors
    /// If there is an operation that no thread can perform by itself, if a root is used that the walk at the end needs, or
    /// if objects have different numbers of fields: whoever finds one has to know.
    pub fn of(program: &Program) -> Result<Plan, PlanError> {
        let mut plan = Plan { pointers: 1, mutators: vec![Vec::new()], collector: Vec::new() };
        let mut fields = None;
        for (number, op) in program.ops().iter().enumerate() {
            let strange = || PlanError { number: number + 1, op: *op };
            match *op {
                Op::Mutate { by, action } => {
                    if !stands_alone(&action) {
                        return Err(strange());
                    }
                    if let Action::Alloc { shape, .. } = action
                        && *fields.get_or_insert(shape.pointers) != shape.pointers
                    {
                        return Err(strange());
                    }
                    let lane = usize::from(by.0);
                    if plan.mutators.len() <= lane {
                        plan.mutators.resize(lane + 1, Vec::new());
                    }
                    plan.mutators[lane].push(action);
                }
                Op::Collect(Collect::Abort | Collect::Stats) | Op::Environment(_) => return Err(strange()),
                Op::Collect(step) => plan.collector.push(step),
            }
        }
        plan.pointers = fields.unwrap_or(1);
        Ok(plan)
    }
}

/// An operation has no place in a plan.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "operation {number}, `{op}`, cannot be done by threads: a plan has objects of one shape, roots r0 to r5, and no operation that takes two mutators"
)]
pub struct PlanError {
    /// Which operation of the file, from 1.
    pub number: usize,
    /// The operation.
    pub op: Op,
}

/// Whether a mutator can perform this on a thread of its own, as a plan has it.
fn stands_alone(action: &Action) -> bool {
    let root = |root: Root| root.0 < USED;
    let place = |place: Place| match place {
        Place::Global(_) => true,
        Place::Field { of, .. } => root(of),
    };
    match *action {
        Action::Alloc { into, .. } => root(into),
        Action::Load { from, into } => place(from) && root(into),
        Action::Store { into, value } => place(into) && value.is_none_or(root),
        Action::Wipe(Run { of, .. }) | Action::Clear(of) | Action::Read(of) => root(of),
        Action::Copy { into, from } => root(into) && root(from),
        Action::Weak { to, .. } => root(to),
        Action::Strong { into, .. } => root(into),
        Action::Finalizer(of) | Action::Finalize(of) => root(of),
        Action::Safepoint | Action::Exit => true,
        _ => false,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for lane in 0..=self.mutators.len() {
            if lane == self.mutators.len() {
                writeln!(f, "# the collector")?;
            } else {
                writeln!(f, "# mutator {lane}")?;
            }
            for op in (0..).map_while(|step| self.op(lane, step)) {
                writeln!(f, "{op}")?;
            }
        }
        Ok(())
    }
}

/// Now and then what has to do with deaths, if the heap knows of any: a weak pointer, an object that is born to be
/// finalized.
fn specials(choices: &mut dyn Choices, claims: &Claims, pointers: u32, actions: &mut Vec<Action>) -> bool {
    let [weak, finalizers] = [Capability::Weak, Capability::Finalizers].map(|wanted| u32::from(claims.has(wanted)));
    if weak + finalizers == 0 {
        return false;
    }
    let root = Root(choices.below(u32::from(USED)) as u8);
    let slot = WeakSlot(choices.below(u32::from(WEAKS)) as u8);
    match choices.weighted(&[24, weak * 2, weak * 4, finalizers, finalizers]) {
        0 => return false,
        1 => actions.push(Action::Weak { into: slot, to: root }),
        2 => actions.push(Action::Strong { into: root, from: slot }),
        3 => actions.extend([Action::Alloc { into: root, shape: Shape::new(pointers, 16) }, Action::Finalizer(root)]),
        _ => actions.push(Action::Finalize(root)),
    }
    true
}

/// One operation, or what makes trouble for a collector: the path over which an object was loaded is cut, and the object
/// is looked at again some time later; what was stored into a field is held by the field alone. Or what brings threads
/// together: an object is shown to all, or one that was shown is taken and built upon.
fn gesture(choices: &mut dyn Choices, pointers: u32, actions: &mut Vec<Action>) {
    let root = |choices: &mut dyn Choices| Root(choices.below(u32::from(USED)) as u8);
    let global = |choices: &mut dyn Choices| Place::Global(choices.below(u32::from(GLOBALS)) as u8);
    match choices.weighted(&[10, 2, 4]) {
        0 => {}
        1 => {
            let (at, place) = (root(choices), global(choices));
            actions.push(Action::Alloc { into: at, shape: Shape::new(pointers, 16) });
            return actions.push(Action::Store { into: place, value: Some(at) });
        }
        _ => {
            let (at, other) = (root(choices), root(choices));
            let field = Place::Field { of: at, index: choices.below(pointers.min(3)) };
            actions.push(Action::Load { into: at, from: global(choices) });
            return actions.push(match choices.below(3) {
                0 => Action::Load { into: other, from: field },
                1 => Action::Store { into: field, value: Some(other) },
                _ => Action::Read(at),
            });
        }
    }
    let first = action(choices, pointers);
    actions.push(first);
    match first {
        Action::Load { into, from } if choices.chance(1, 2) => {
            actions.push(Action::Store { into: from, value: None });
            actions.extend((0..choices.below(8)).map(|_| Action::Safepoint));
            actions.push(Action::Read(into));
        }
        Action::Store { value: Some(root), .. } if choices.chance(1, 2) => actions.push(Action::Clear(root)),
        _ => {}
    }
}

fn action(choices: &mut dyn Choices, pointers: u32) -> Action {
    let root = |choices: &mut dyn Choices| Root(choices.below(u32::from(USED)) as u8);
    let field = |choices: &mut dyn Choices| {
        if choices.chance(1, 4) { choices.below(pointers) } else { choices.below(pointers.min(3)) }
    };
    let place = |choices: &mut dyn Choices| match choices.below(4) {
        0 => Place::Global(choices.below(u32::from(GLOBALS)) as u8),
        _ => Place::Field { of: root(choices), index: field(choices) },
    };
    match choices.weighted(&[16, 26, 26, 8, 4, 6, 2, 4, 2, 1]) {
        0 => {
            // Mostly small; some of another size class, a few of pages of their own.
            let words = match choices.weighted(&[60, 6, 1]) {
                0 => choices.below(4),
                1 => choices.below(256),
                _ => 4096 + choices.below(1024),
            };
            Action::Alloc { into: root(choices), shape: Shape::new(pointers, 8 + 8 * words) }
        }
        1 => Action::Load { from: place(choices), into: root(choices) },
        2 => Action::Store { into: place(choices), value: Some(root(choices)) },
        3 => Action::Store { into: place(choices), value: None },
        4 => Action::Copy { into: root(choices), from: root(choices) },
        5 => Action::Clear(root(choices)),
        6 => Action::Wipe(Run { of: root(choices), at: 0, count: pointers.min(4) }),
        7 => Action::Read(root(choices)),
        8 => Action::Safepoint,
        _ => Action::Exit,
    }
}

fn collect(choices: &mut dyn Choices, claims: &Claims, mutators: u32) -> Option<Collect> {
    let (full, steps) = (u32::from(claims.has(Capability::Collect)), u32::from(claims.has(Capability::Steps)));
    if full + steps == 0 {
        return None;
    }
    Some(match choices.weighted(&[full * 2, steps * 4, steps * 6, steps * 8, steps * 4, steps * 4]) {
        0 => Collect::Full,
        1 => Collect::Start,
        2 => Collect::Handshake(MutatorId(choices.below(mutators) as u8)),
        3 => Collect::Mark(1 + choices.below(4)),
        4 => Collect::Finish,
        _ => Collect::Sweep(1 + choices.below(4)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::choices::Seed;

    fn claims() -> Claims {
        Claims::new("any").with(&[Capability::Collect, Capability::Steps, Capability::Weak, Capability::Finalizers])
    }

    #[test]
    fn plans_read_back() {
        for case in 0..200 {
            let plan = Plan::draw(&mut Seed::case(1, case), &claims(), 3, 40);
            let program: Program = plan.to_string().parse().expect("a plan is a program");
            let fields = |plan: &Plan| plan.to_string().contains("alloc").then_some(plan.pointers);
            let read = Plan::of(&program).expect("a plan");
            assert_eq!(
                (fields(&read), &read.mutators, &read.collector),
                (fields(&plan), &plan.mutators, &plan.collector)
            );
        }
    }

    #[test]
    fn what_threads_cannot_do_is_refused() {
        let stories = [
            "1 join\n",
            "0 send r0 1.r0\n",
            "env fail 1\n",
            "gc stats\n",
            "0 alloc r0 1\n1 alloc r0 2\n",
            "0 clear r6\n",
        ];
        for story in stories {
            let refused = Plan::of(&story.parse().expect("a program"));
            assert!(refused.is_err(), "{story}");
        }
    }

    #[test]
    fn what_a_plan_has_uses_the_lower_roots_and_needs_nobody_else() {
        let is_one = |line: &str| Plan::of(&format!("{line}\n").parse::<Program>().expect("a program")).is_ok();
        let (used, beyond) = (USED - 1, USED);
        // Each place of a root by itself.
        for line in [
            "0 alloc R 1",
            "0 load R r0.0",
            "0 load r0 R.0",
            "0 load R g0",
            "0 store R.0 r0",
            "0 store r0.0 R",
            "0 store R.0 nil",
            "0 store g0 R",
            "0 wipe R.0 1",
            "0 clear R",
            "0 read R",
            "0 copy R r0",
            "0 copy r0 R",
            "0 weak w0 R",
            "0 strong R w0",
            "0 finalizer R",
            "0 finalize R",
        ] {
            let with = |root: u8| line.replace('R', &format!("r{root}"));
            assert!(is_one(&with(used)) && !is_one(&with(beyond)), "{line}");
        }
        for (line, stands) in [
            ("0 safepoint", true),
            ("0 exit", true),
            ("0 store g0 nil", true),
            ("0 write r0", false),
            ("0 park", false),
            ("1 join", false),
            ("0 send r0 1.r0", false),
            ("0 free r0", false),
            ("gc full", true),
        ] {
            assert_eq!(is_one(line), stands, "{line}");
        }
    }

    #[test]
    fn lanes_are_the_mutators_and_then_the_collector() {
        let plan = Plan::of(&"0 clear r0\n2 clear r2\ngc full\ngc start\n".parse::<Program>().expect("a program"))
            .expect("a plan");
        let op = |lane, step| plan.op(lane, step).map(|op| op.to_string());
        assert_eq!(
            [op(0, 0), op(0, 1), op(1, 0), op(2, 0)].map(Option::unwrap_or_default),
            ["0 clear r0", "", "", "2 clear r2"]
        );
        assert_eq!(
            [op(3, 0), op(3, 1), op(3, 2), op(4, 0)].map(Option::unwrap_or_default),
            ["gc full", "gc start", "", ""]
        );
        assert_eq!((plan.len(), plan.is_empty()), (4, false));
        let nothing = Plan { mutators: vec![Vec::new(); 2], collector: Vec::new(), pointers: 1 };
        assert_eq!((nothing.is_empty(), nothing.len()), (true, 0));
    }

    #[test]
    fn a_heap_is_asked_for_what_it_claims() {
        let draws = |claims: &[Capability]| {
            let claims = Claims::new("some").with(claims);
            let plans = (0..200).map(|case| Plan::draw(&mut Seed::case(2, case), &claims, 2, 40).to_string());
            plans.collect::<String>()
        };
        let nothing = draws(&[]);
        assert!(!nothing.contains(" weak ") && !nothing.contains(" finalizer ") && !nothing.contains("gc "));
        let weak = draws(&[Capability::Weak]);
        assert!(weak.contains(" weak ") && !weak.contains(" finalizer "));
        let finalizers = draws(&[Capability::Finalizers]);
        assert!(finalizers.contains(" finalizer ") && !finalizers.contains(" weak "));
        let full = draws(&[Capability::Collect]);
        assert!(full.contains("gc full") && !full.contains("gc mark"));
        let steps = draws(&[Capability::Steps]);
        assert!(steps.contains("gc mark") && !steps.contains("gc full"));
    }

    #[test]
    fn an_operation_that_no_thread_can_do_is_told_by_its_number() {
        let program: Program = "0 alloc r0 1\n0 alloc r1 1\n1 alloc r0 2\n".parse().expect("a program");
        assert_eq!(Plan::of(&program).expect_err("another width").number, 3);
    }
}
