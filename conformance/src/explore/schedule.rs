//! Schedules, told as a table: who did what, whom it shaded, and which shade it owed.

use heaplaw_reference::{
    color::Color,
    model::{Loss, Period, Scope, Step, World},
    protocol::{Protocol, StackScan},
};
use std::fmt::Write;

/// A schedule: a world at the beginning of marking, and what happens in it.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The world at the beginning.
    pub beginning: World,
    /// Each step with the world after it. Objects keep their numbers.
    pub steps: Vec<(Step, World)>,
}

/// The name of an object in a story.
fn name(object: u8) -> char {
    char::from(b'a' + object)
}

fn named(object: Option<u8>) -> String {
    object.map_or_else(|| "nil".to_owned(), |object| name(object).to_string())
}

impl Schedule {
    /// The schedule as a table: what happens, what it shades, and which half of a barrier would have been needed.
    pub fn table(&self, protocol: &Protocol, scope: Scope) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "    at the start of marking: {}", drawn(&self.beginning, scope));
        let mut before = self.beginning;
        for (number, (step, after)) in (1..).zip(&self.steps) {
            let operation = told(*step, &before);
            let changes = changes(*step, &before, after, scope);
            let owed = owed(*step, &before, after, protocol);
            let line = format!("    {number:>2}  {operation:<34} {changes:<26} {owed}");
            let _ = writeln!(text, "{}", line.trim_end());
            before = *after;
        }
        let cleared = before.lost(protocol) == Some(Loss::WeakCleared);
        let cleared = if cleared { ", and the target of w can be reached" } else { "" };
        let _ = writeln!(text, "    at the end: {}{cleared}", drawn(&before, scope));
        text
    }
}

fn drawn(world: &World, scope: Scope) -> String {
    let mut parts = Vec::new();
    for mutator in 0..scope.mutators {
        for register in 0..scope.registers {
            if let Some(held) = world.register(mutator, register) {
                parts.push(format!("{mutator}.r{register} -> {}", name(held)));
            }
        }
    }
    parts.extend(world.target().map(|target| format!("w -> {}", name(target))));
    parts.extend(world.weak_dangles().then(|| "w -> what was freed".to_owned()));
    for object in world.objects() {
        let color = world.object_color(object).unwrap_or_default();
        let fields =
            (0..scope.fields).filter_map(|field| Some(format!(" .{field} -> {}", name(world.holds(object, field)?))));
        let finalizer = if world.has_finalizer(object) { " with a finalizer" } else { "" };
        let queued = if world.is_queued(object) { " in the queue" } else { "" };
        parts.push(format!("{} {color}{}{finalizer}{queued}", name(object), fields.collect::<String>()));
    }
    parts.extend((0..scope.mutators).filter(|mutator| !world.is_present(*mutator)).map(|gone| format!("no {gone}")));
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    parts.join(", ")
}

fn told(step: Step, before: &World) -> String {
    let held = |mutator, register| named(before.register(mutator, register));
    match step {
        Step::Load { mutator, into, from, field } => {
            let object = before.register(mutator, from);
            let value = object.and_then(|object| before.holds(object, field));
            format!("{mutator}: r{into} = {}.{field}  ({})", held(mutator, from), named(value))
        }
        Step::Store { mutator, of, field, value } => {
            let value = value.and_then(|value| before.register(mutator, value));
            format!("{mutator}: {}.{field} = {}", held(mutator, of), named(value))
        }
        Step::Go(mutator) => format!("{mutator}: goes on with what it has begun"),
        Step::Copy { mutator, into, from } => format!("{mutator}: r{into} = r{from}  ({})", held(mutator, from)),
        Step::Clear { mutator, register } => format!("{mutator}: r{register} = nil  (was {})", held(mutator, register)),
        Step::Allocate { mutator, into } => format!("{mutator}: r{into} = new"),
        Step::Send { mutator, value, into } => {
            format!("{mutator}: send {} to {}.r{into}", held(mutator, value), 1 - mutator)
        }
        Step::Weaken { mutator, register } => format!("{mutator}: w = weak {}", held(mutator, register)),
        Step::Strengthen { mutator, into } => format!("{mutator}: r{into} = strong w  ({})", named(before.target())),
        Step::Attach { mutator, register } => format!("{mutator}: finalizer for {}", held(mutator, register)),
        Step::Take { mutator, into, object } => format!("{mutator}: r{into} = {} from the queue", name(object)),
        Step::Leave(mutator) => format!("{mutator}: leaves"),
        Step::Join { mutator, argument: None } => format!("{}: brings in {mutator}", 1 - mutator),
        Step::Join { mutator, argument: Some(value) } => {
            format!("{0}: brings in {mutator} with {1}", 1 - mutator, held(1 - mutator, value))
        }
        Step::ScanStack(mutator) => format!("gc: scan the stack of {mutator}"),
        Step::Scan(object) => format!("gc: scan {}", name(object)),
        Step::ScanFinalizers => "gc: scan finalizers and queue".to_owned(),
        Step::Rescan => "gc: scan all stacks and finish".to_owned(),
        Step::ClearWeak => "gc: the target of w is white".to_owned(),
        Step::Decide => "gc: nothing is grey".to_owned(),
        Step::End => "gc: end marking".to_owned(),
        Step::Sweep(object) => format!("gc: sweep {}", name(object)),
        Step::Swept => "gc: nothing is left to sweep".to_owned(),
        Step::Start => "gc: start".to_owned(),
        Step::Abort => "gc: abort".to_owned(),
    }
}

/// What a step does to colours, the weak pointer and the queue.
fn changes(step: Step, before: &World, after: &World, scope: Scope) -> String {
    let mut parts = Vec::new();
    // Where marking begins or is over, all colours change at once, and that is said in one word.
    let repainted = match step {
        Step::Swept | Step::Abort if after.period() == Period::Off => Some("colours mean nothing"),
        Step::Start => Some("all is white"),
        _ => None,
    };
    let marked = |object: &u8| after.object_color(*object) != Some(Color::White);
    match repainted {
        Some(_) if after.objects().any(|object| marked(&object)) => {
            let kept: Vec<_> = after.objects().filter(marked).map(|object| name(object).to_string()).collect();
            parts.push(format!("still marked: {}", kept.join(", ")));
        }
        Some(repainted) => parts.push(repainted.to_owned()),
        None => {}
    }
    for object in after.objects().filter(|_| repainted.is_none()) {
        let (old, new) = (before.object_color(object), after.object_color(object));
        match (old, new) {
            _ if after.is_queued(object) && !before.is_queued(object) => {
                parts.push(format!("{} is queued", name(object)));
            }
            (Some(Color::White), Some(Color::Grey)) => parts.push(format!("shades {}", name(object))),
            (Some(old), Some(Color::Black)) if old != Color::Black => parts.push(format!("{} is black", name(object))),
            (None, Some(color)) => parts.push(format!("{} is born {color}", name(object))),
            _ => {}
        }
    }
    for mutator in (0..scope.mutators).filter(|_| repainted.is_none()) {
        if before.stack_color(mutator) != after.stack_color(mutator) && after.is_present(mutator) {
            parts.push(format!("stack {mutator} is black"));
        }
    }
    let freed = before.objects().filter(|object| after.object_color(*object).is_none());
    // A world forgets what no longer matters without a word; a sweep says what it frees.
    if matches!(step, Step::Sweep(_) | Step::Strengthen { .. } | Step::Go(_)) && after.period() == Period::Sweep {
        parts.extend(freed.map(|object| format!("frees {}", name(object))));
    }
    if before.target().is_some() && after.target().is_none() && !after.weak_dangles() {
        parts.push("w is cleared".to_owned());
    }
    if step == Step::End && after.period() == Period::Mark {
        parts.push("something is grey: goes on".to_owned());
    }
    parts.join(", ")
}

/// What a step should have shaded or done: what the hybrid design does, and this one left out.
fn owed(step: Step, before: &World, after: &World, protocol: &Protocol) -> String {
    let marking = matches!(before.period(), Period::Mark | Period::Ending);
    let white = |object: &u8| marking && after.object_color(*object) == Some(Color::White);
    let owes = |who: &str, object: Option<u8>| {
        object.filter(white).map_or_else(String::new, |object| format!("{who}: {}", name(object)))
    };
    match step {
        Step::Store { mutator, of, field, value } if protocol.stores_are_atomic => {
            let object = before.register(mutator, of);
            let old = object.and_then(|object| before.holds(object, field));
            let new = value.and_then(|value| before.register(mutator, value));
            let halves = [owes("deletion half owed", old), owes("insertion half owed", new)];
            halves.into_iter().filter(|half| !half.is_empty()).collect::<Vec<_>>().join(", ")
        }
        Step::Send { mutator, value, .. } => owes("hand-over owes", before.register(mutator, value)),
        Step::Join { mutator, argument: Some(value) } => owes("argument owes", before.register(1 - mutator, value)),
        Step::Strengthen { .. } if marking && protocol.stores_are_atomic => owes("conversion owes", before.target()),
        Step::Strengthen { .. } if before.period() == Period::Sweep => {
            let dead = before.target().filter(|target| after.object_color(*target) == Some(Color::White));
            dead.map_or_else(String::new, |target| format!("sweep owed first: {}", name(target)))
        }
        Step::Take { object, .. } => owes("deletion half owed", Some(object)),
        Step::Attach { mutator, register } => {
            let object = before.register(mutator, register);
            let closure = (0..2).filter_map(|field| before.holds(object?, field));
            owes("root owed", closure.into_iter().find(white))
        }
        Step::ScanFinalizers => {
            let closures = after.objects().filter(|object| after.has_finalizer(*object));
            let closures = closures.flat_map(|object| (0..2).filter_map(move |field| after.holds(object, field)));
            let queue = after.objects().filter(|object| after.is_queued(*object));
            owes("root owed", closures.chain(queue).find(white))
        }
        Step::Allocate { .. } if before.period() == Period::Sweep && protocol.born_while_sweeping == Color::White => {
            "newborn owed: black".to_owned()
        }
        Step::Allocate { .. } if marking && protocol.born == Color::White && protocol.stacks != StackScan::Rescan => {
            "newborn owed: black".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Exploration, Verdict};
    use heaplaw_reference::protocol::{Alphabet, TABLE};

    fn table(id: &str) -> String {
        let row = TABLE.iter().find(|row| row.id == id).expect("a row");
        let scope = Scope::new(3, 1, 1, 2).with(row.alphabet);
        let exploration = Exploration { protocol: row.protocol, scope, invariant: false, most_states: 10_000_000 };
        let Verdict::Lost(schedule) = exploration.run_on(1).verdict else { panic!("{id} loses nothing") };
        schedule.table(&row.protocol, scope)
    }

    #[test]
    fn a_schedule_tells_who_shaded_what_and_what_is_owed() {
        let expected = "    at the start of marking: w -> a, a white
     1  gc: scan the stack of 0            stack 0 is black
     2  0: r0 = strong w  (a)                                         conversion owes: a
    at the end: 0.r0 -> a, w -> a, a white
";
        assert_eq!(table("W2"), expected);
        let expected = "    at the start of marking: w -> a, a white .0 -> b, b white
     1  gc: scan the stack of 0            stack 0 is black
     2  gc: nothing is grey
     3  0: r0 = strong w  (a)              shades a
     4  gc: end marking
    at the end: 0.r0 -> a, w -> a, a grey .0 -> b, b white
";
        assert_eq!(table("W5"), expected);
    }

    #[test]
    fn what_no_longer_matters_is_not_said_to_be_freed() {
        let scope = Scope::new(2, 1, 1, 2).with(Alphabet { weak: true, ..Alphabet::PLAIN });
        let protocol = Protocol::HYBRID;
        let (mut forgotten, mut marking) = (0, 0);
        for before in scope.beginnings(&protocol) {
            for (step, after) in before.steps(&protocol, scope) {
                let gone = before.objects().any(|object| after.object_color(object).is_none());
                forgotten += u32::from(gone && matches!(step, Step::Strengthen { .. }));
                assert!(!changes(step, &before, &after, scope).contains("frees"), "{step:?} {before:?}");
                marking += u32::from(after.period() == Period::Mark);
            }
        }
        assert!(forgotten > 0 && marking > forgotten, "{forgotten} {marking}");
    }

    #[test]
    fn a_newborn_owes_what_it_is_born_without() {
        let scope = Scope::new(2, 1, 1, 2);
        let world = scope.beginnings(&Protocol::HYBRID).next().expect("a beginning");
        let step = Step::Allocate { mutator: 0, into: 0 };
        let owed = |born, born_while_sweeping| {
            owed(step, &world, &world, &Protocol { born, born_while_sweeping, ..Protocol::HYBRID })
        };
        assert_eq!(world.period(), Period::Mark);
        assert_eq!(owed(Color::Black, Color::Black), "");
        assert_eq!(owed(Color::Black, Color::White), "", "it is not swept yet");
        assert_eq!(owed(Color::White, Color::Black), "newborn owed: black");
    }

    #[test]
    fn a_schedule_tells_what_becomes_of_finalizers_and_cycles() {
        let table = [table("F4"), table("F5"), table("A2"), table("W7"), table("W8")].concat();
        for told in [
            "a white with a finalizer",
            "gc: sweep a                        a is queued",
            "gc: start                          all is white",
            "gc: scan finalizers and queue                                 root owed: a",
            "0: r0 = a from the queue                                      deletion half owed: a",
            "gc: abort                          still marked: a",
            "at the end: w -> what was freed",
            "at the end: 0.r0 -> a, a white, and the target of w can be reached",
        ] {
            assert!(table.contains(told), "{told:?} is not in\n{table}");
        }
    }
}
