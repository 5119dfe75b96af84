//! Heaps that are wrong on purpose, for mutators on threads of their own.
//!
//! Most are the faults of [`faulty`](super) that show without an order, one operation at a time. Three are wrong only
//! because of what other threads do meanwhile: no program that runs in turn can find them out.

use super::{Fault, garbled, row};
use crate::drive::parallel::{Account, InLine, Made, OneAtATime, Plan, Shareable, Threads};
use heaplaw_reference::{
    event::Event,
    finalize::{Clearing, Specials},
    heap::{Claims, Heap, Mutator, Reply, SharedHeap},
    machine::Machine,
    object::{Address, Content, Stamp},
    op::{Action, Collect, MutatorId, ROOTS, Root},
    protocol::Protocol,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A heap that breaks a law when its mutators run on threads.
#[derive(Clone, Copy)]
pub struct Race {
    /// Its name, as a sentence about the heap.
    pub name: &'static str,
    /// The number of the law that it breaks.
    pub law: u16,
    make: Make,
}

#[derive(Clone, Copy)]
enum Make {
    /// A heap that does one thing at a time.
    InLine(fn() -> Box<dyn Heap + Send>),
    /// One that does not.
    Careless(Carelessness),
}

/// All of them, by law.
pub const ALL: &[Race] = &[
    in_line(1, "claims eight bytes of its neighbour", || garbled(super::claims_of_neighbour)),
    in_line(3, "gives one byte too few", || garbled(super::short)),
    in_line(5, "does not zero memory that it uses again", || garbled(super::dirty)),
    in_line(6, "loses a byte of what is written", || garbled(super::torn)),
    in_line(7, "moves objects", || garbled(super::moves)),
    in_line(14, "loads nil now and then", || garbled(super::forgetful_load)),
    in_line(51, "ends marking without a barrier", || row(Protocol::NO_BARRIER)),
    in_line(81, "starts over when it is asked to start again", || garbled(super::starts_over)),
    in_line(91, "frees twice", || garbled(super::frees_twice)),
    in_line(97, "takes a full collection lightly", || garbled(super::not_full)),
    Race {
        name: "forgets a finalizer when it is busy",
        law: 107,
        make: Make::Careless(Carelessness::ForgetsFinalizers),
    },
    in_line(112, "never clears a weak pointer", || {
        super::specials(Specials { clearing: Clearing::Never, ..Specials::SOUND })
    }),
    in_line(123, "miscounts by one", || garbled(super::miscounts)),
    Race { name: "shows what it has not filled", law: 136, make: Make::Careless(Carelessness::ShowsUnfilled) },
    Race { name: "drops a store when it is busy", law: 137, make: Make::Careless(Carelessness::DropsStores) },
    in_line(139, "counts its collections", || garbled(super::counts_collections)),
];

const fn in_line(law: u16, name: &'static str, make: fn() -> Box<dyn Heap + Send>) -> Race {
    Race { name, law, make: Make::InLine(make) }
}

impl Race {
    /// The name under which the command knows the heap: `faulty:frees-twice`, or `racy:` if it needs threads to be wrong.
    pub fn slug(&self) -> String {
        let slug = Fault { name: self.name, law: self.law, make: || row(Protocol::HYBRID) }.slug();
        if self.needs_threads() { slug.replace("faulty:", "racy:") } else { slug }
    }

    /// Whether it is wrong only because of what other threads do meanwhile.
    pub fn needs_threads(&self) -> bool {
        matches!(self.make, Make::Careless(_))
    }

    /// A fresh heap whose mutators take turns: what threads alone bring to light does not show in it.
    pub fn in_turn(&self) -> Box<dyn Heap + Send> {
        match self.make {
            Make::InLine(make) => make(),
            Make::Careless(_) => row(Protocol::HYBRID),
        }
    }
}

impl Shareable for Race {
    fn claims(&self) -> Claims {
        self.in_turn().claims()
    }

    fn run(&self, plan: &Plan, threads: &dyn Threads) -> Account {
        match self.make {
            Make::InLine(make) => Made(|| OneAtATime::new(make())).run(plan, threads),
            Make::Careless(carelessness) => Made(|| Careless::new(carelessness)).run(plan, threads),
        }
    }
}

/// What a heap does not take care of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carelessness {
    /// What another thread has made a moment ago reads zero when it is first looked at, as if it had been stored before it
    /// was filled.
    ShowsUnfilled,
    /// A store that meets another operation is not carried out.
    DropsStores,
    /// Nor is a finalizer attached.
    ForgetsFinalizers,
}

/// The reference machine between threads that do not quite wait for one another.
struct Careless {
    carelessness: Carelessness,
    heap: OneAtATime<Machine>,
    between: Arc<Between>,
}

/// What the mutators of such a heap have in common.
#[derive(Default)]
struct Between {
    /// How many operations have begun.
    time: AtomicU64,
    /// How many mutators are in the midst of one.
    busy: AtomicU64,
    /// Who made what, and when.
    young: Mutex<HashMap<Address, (MutatorId, u64)>>,
}

impl Careless {
    fn new(carelessness: Carelessness) -> Self {
        let heap = OneAtATime::new(Machine::new(Protocol::HYBRID));
        Careless { carelessness, heap, between: Arc::default() }
    }
}

struct Hasty {
    carelessness: Carelessness,
    id: MutatorId,
    inner: InLine<Machine>,
    between: Arc<Between>,
    roots: [Option<Address>; ROOTS as usize],
}

impl Hasty {
    fn act(&mut self, action: &Action, stamp: Stamp, events: &mut Vec<Event>, alone: bool) -> Reply {
        let time = self.between.time.fetch_add(1, Ordering::Relaxed);
        if let (Action::Store { .. }, Carelessness::DropsStores, false) = (action, self.carelessness, alone) {
            return Reply::Done;
        }
        if let (Action::Finalizer(_), Carelessness::ForgetsFinalizers, false) = (action, self.carelessness, alone) {
            return Reply::Done;
        }
        let reply = self.inner.perform(action, stamp, events);
        let between = Arc::clone(&self.between);
        let mut young = between.young.lock().unwrap_or_else(PoisonError::into_inner);
        match (*action, &reply) {
            (Action::Alloc { into, .. }, Reply::Born { at, .. }) => {
                young.insert(*at, (self.id, time));
                self.hold(into, Some(*at));
            }
            (Action::Load { into, .. }, Reply::Object(at)) => self.hold(into, Some(*at)),
            (Action::Load { into, .. }, _) | (Action::Clear(into), _) => self.hold(into, None),
            (Action::Copy { into, from }, _) => self.hold(into, self.roots[usize::from(from.0)]),
            (Action::Read(root), Reply::Data(_)) if self.carelessness == Carelessness::ShowsUnfilled => {
                let at = self.roots[usize::from(root.0)];
                let made = at.and_then(|at| young.get(&at).copied());
                if made.is_some_and(|(maker, born)| maker != self.id && time - born < 32) {
                    young.remove(&at.expect("it was looked up"));
                    return Reply::Data(Content::ZERO);
                }
            }
            _ => {}
        }
        reply
    }

    fn hold(&mut self, root: Root, held: Option<Address>) {
        self.roots[usize::from(root.0)] = held;
    }
}

impl Mutator for Hasty {
    fn perform(&mut self, action: &Action, stamp: Stamp, events: &mut Vec<Event>) -> Reply {
        let between = Arc::clone(&self.between);
        let alone = between.busy.fetch_add(1, Ordering::AcqRel) == 0;
        // What makes it likely that two meet.
        std::thread::yield_now();
        let reply = self.act(action, stamp, events, alone);
        between.busy.fetch_sub(1, Ordering::AcqRel);
        reply
    }
}

impl SharedHeap for Careless {
    type Mutator = Hasty;

    fn claims(&self) -> Claims {
        self.heap.claims()
    }

    fn join(&self, id: MutatorId, events: &mut Vec<Event>) -> Hasty {
        let inner = self.heap.join(id, events);
        let between = Arc::clone(&self.between);
        Hasty { carelessness: self.carelessness, id, inner, between, roots: [None; ROOTS as usize] }
    }

    fn leave(&self, mutator: Hasty, events: &mut Vec<Event>) {
        self.heap.leave(mutator.inner, events);
    }

    fn send(&self, from: (&mut Hasty, Root), to: (&mut Hasty, Root), events: &mut Vec<Event>) -> Reply {
        self.heap.send((&mut from.0.inner, from.1), (&mut to.0.inner, to.1), events)
    }

    fn collect(&self, step: &Collect, events: &mut Vec<Event>) -> Reply {
        self.heap.collect(step, events)
    }
}
