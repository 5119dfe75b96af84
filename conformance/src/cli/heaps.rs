//! The heaps that a command comes with: those that it is given, and those that the kit has itself.

use crate::{
    drive::{
        self,
        blocks::Blocks,
        parallel::{Made, Native, OneAtATime, Shareable},
    },
    faulty,
};
use heaplaw_reference::{
    barrier::Barrier,
    block::Allocator,
    counting::Counting,
    event::Event,
    heap::{Capability, Claims, Heap, InTurn, Reply, SharedHeap},
    machine::Machine,
    op::{Action, Collect, Op},
    pacer::Pacing,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};
use std::cell::Cell;

/// Runs a plan of threads on an allocator.
type Crowd = Box<dyn Fn(&drive::crowd::Plan) -> drive::crowd::Account>;

/// A heap that the command comes with.
pub struct Bundled {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) make: Box<dyn Fn() -> Box<dyn Heap>>,
    /// Runs a plan of threads on it, if it is an allocator.
    pub(super) crowd: Option<Crowd>,
    /// The same heap for threads, if they can share it.
    pub(super) threads: Option<Box<dyn Shareable>>,
}

impl Bundled {
    /// A heap known as `name`; `make` gives a fresh one.
    pub fn new<H: Heap + 'static>(
        name: impl Into<String>,
        about: impl Into<String>,
        make: impl Fn() -> H + 'static,
    ) -> Self {
        Bundled {
            name: name.into(),
            about: about.into(),
            make: Box::new(move || Box::new(make())),
            crowd: None,
            threads: None,
        }
    }

    /// An allocator known as `name`, which knows nothing of roots and fields: the kit lends them, and can let threads at
    /// it. `make` gives one, which may have a past.
    pub fn allocator<A>(
        name: impl Into<String>,
        about: impl Into<String>,
        make: impl Fn() -> A + Clone + 'static,
    ) -> Self
    where
        A: Allocator + Sync + 'static,
        A::Block: Send,
    {
        let shared = make.clone();
        let run = move |plan: &drive::crowd::Plan| drive::crowd::run(&shared(), plan, &Native);
        Bundled { crowd: Some(Box::new(run)), ..Bundled::new(name, about, move || Blocks::new(make())) }
    }

    /// A heap that threads share; in turn, all its mutators are on one.
    pub fn shared<S>(name: impl Into<String>, about: impl Into<String>, make: impl Fn() -> S + Clone + 'static) -> Self
    where
        S: SharedHeap + Sync + 'static,
        S::Mutator: Send,
    {
        let in_turn = make.clone();
        let threads: Option<Box<dyn Shareable>> = Some(Box::new(Made(make)));
        Bundled { threads, ..Bundled::new(name, about, move || InTurn::new(in_turn())) }
    }

    /// A heap that does one thing at a time: its threads wait for one another.
    pub fn one_at_a_time<H: Heap + Send + 'static>(
        name: impl Into<String>,
        about: impl Into<String>,
        make: impl Fn() -> H + Clone + 'static,
    ) -> Self {
        let alone = make.clone();
        let threads: Option<Box<dyn Shareable>> = Some(Box::new(Made(move || OneAtATime::new(alone()))));
        Bundled { threads, ..Bundled::new(name, about, make) }
    }
}

/// The reference machine under every protocol, and the heaps that are wrong on purpose.
pub(super) fn reference_heaps() -> Vec<Bundled> {
    let rows = Protocol::ALL.into_iter().map(|protocol| {
        let sound =
            if protocol.sound { "the reference machine" } else { "the reference machine with an unsound protocol" };
        Bundled::one_at_a_time(format!("reference:{}", protocol.name), sound, move || Machine::new(protocol))
    });
    let tight = Bundled::new("reference:hybrid-tight", "the reference machine with 512 bytes of memory", || {
        Machine::with_memory(Protocol::HYBRID, 512)
    });
    let paced = Bundled::new("reference:paced", "the reference machine, which paces itself as Go does", || {
        Machine::new(Protocol::HYBRID).paced(Pacing::SOUND)
    });
    let eager = Bundled::one_at_a_time(
        "reference:eager",
        "the reference machine, which collects before each allocation",
        || Eager(Machine::new(Protocol::HYBRID)),
    );
    let about = "reference counting: frees at once, and a cycle never; it does not claim to collect";
    let rows = rows.chain([tight, paced, eager, Bundled::new("reference:counting", about, Counting::new)]);
    let allocators = Policy::ALL.into_iter().map(|policy| {
        let about = match policy {
            Policy::Bump => "an allocator that never takes back: a cursor".to_owned(),
            Policy::Go => "an allocator: Go's, from the class of a size to the arenas".to_owned(),
            _ => format!("an allocator with explicit free: {}", policy.name().replace('-', " ")),
        };
        Bundled::new(format!("reference:{}", policy.name()), about, move || Manual::new(policy))
    });
    let full = [Policy::FirstFit, Policy::NextFit, Policy::BestFit, Policy::SegregatedFit].map(|policy| {
        let about = format!("an allocator with 16 KiB of memory, which is often full: {}", policy.name());
        let name = format!("reference:{}-tight", policy.name());
        Bundled::new(name, about, move || Manual::with_memory(policy, 16 << 10))
    });
    let rows = rows.chain(allocators).chain(full);
    let faults = faulty::ALL.iter().map(|fault| {
        let about = format!("wrong on purpose: {} (law {})", fault.name, fault.law);
        Bundled::one_at_a_time(fault.slug(), about, move || fault.heap())
    });
    let races = faulty::threads::ALL.iter().filter(|race| race.needs_threads()).map(|race| {
        let about = format!("wrong on purpose, with --mutators only: {} (law {})", race.name, race.law);
        Bundled { threads: Some(Box::new(*race)), ..Bundled::new(race.slug(), about, move || race.in_turn()) }
    });
    let failures = [
        Bundled::one_at_a_time("faulty:never-comes-back", "wrong on purpose: hangs in a full collection", || {
            Fails(Failing::Hangs)
        }),
        Bundled::one_at_a_time("faulty:panics", "wrong on purpose: panics in a full collection", || {
            Fails(Failing::Panics)
        }),
    ];
    let about = "wrong on purpose: every third heap has no barrier, so what is wrong does not show every time (flaky)";
    let made = Cell::new(0_u32);
    let flaky = Bundled::new("faulty:flaky", about, move || {
        made.set(made.get() + 1);
        let barrier = if made.get().is_multiple_of(3) { Barrier::NONE } else { Protocol::HYBRID.barrier };
        Machine::new(Protocol { name: "flaky", barrier, ..Protocol::HYBRID })
    });
    rows.chain(faults).chain(races).chain(failures).chain([flaky]).collect()
}

/// The reference machine, which collects before each allocation: what the new object takes the place of is still held then.
struct Eager(Machine);

impl Heap for Eager {
    fn claims(&self) -> Claims {
        let mut claims = self.0.claims();
        claims.name = "eager".into();
        claims
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        if matches!(op, Op::Mutate { action: Action::Alloc { .. }, .. }) {
            self.0.perform(&Op::Collect(Collect::Full), events);
        }
        self.0.perform(op, events)
    }
}

/// A heap that has no room, and fails to answer when it is asked for a full collection.
struct Fails(Failing);

#[derive(Clone, Copy)]
enum Failing {
    Hangs,
    Panics,
}

impl Heap for Fails {
    fn claims(&self) -> Claims {
        Claims::new("fails").with(&[Capability::Collect])
    }

    fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
        match (op, self.0) {
            (Op::Collect(_), Failing::Hangs) => loop {
                std::thread::park();
            },
            (Op::Collect(_), Failing::Panics) => panic!("this heap panics on purpose"),
            (Op::Mutate { action: Action::Alloc { .. }, .. }, _) => Reply::OutOfMemory,
            (Op::Mutate { action: Action::Load { .. }, .. }, _) => Reply::Nil,
            (Op::Mutate { .. } | Op::Environment(_), _) => Reply::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::{InProcess, Subject, step};

    #[test]
    fn heaps_are_what_the_list_says() {
        let heaps = reference_heaps();
        let heap = |name: &str| heaps.iter().find(|heap| heap.name == name).unwrap_or_else(|| panic!("no {name}"));
        let about = |policy: Policy| heap(&format!("reference:{}", policy.name())).about.as_str();
        assert_eq!(about(Policy::Bump), "an allocator that never takes back: a cursor");
        assert_eq!(about(Policy::Go), "an allocator: Go's, from the class of a size to the arenas");
        assert_eq!(about(Policy::FirstFit), "an allocator with explicit free: first fit");
        let story = "0 alloc r0 0 8000\n0 alloc r1 0 4000\n0 alloc r2 0 8000\n".parse().expect("a story");
        for policy in [Policy::FirstFit, Policy::NextFit, Policy::BestFit] {
            let tight = heap(&format!("reference:{}-tight", policy.name()));
            let history =
                step::run(&mut InProcess::new(&*tight.make), &story, step::Ending::Abrupt).expect("it starts");
            let refused = history.moments.iter().map(|moment| moment.reply == Reply::OutOfMemory);
            assert_eq!(refused.collect::<Vec<_>>(), [false, false, true], "{}", tight.name);
        }
        let flaky = InProcess::new(&*heap("faulty:flaky").make).reset().expect("it starts");
        assert_eq!(flaky.name, "flaky");
    }
}
