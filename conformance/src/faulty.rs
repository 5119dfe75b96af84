//! Heaps that are wrong on purpose.
//!
//! A law that nothing can break says nothing. Each [`Fault`] makes a heap that breaks one law, and names that law; the
//! suite is tested by having to reject every one of them for the right reason. Some are unsound rows of the
//! [protocol table](heaplaw_reference::protocol), wrong all by themselves; the others are the reference machine behind
//! a layer that garbles what it is told, what it answers, or what it reports. [`threads`] has those that are put to
//! mutators on threads.

pub mod threads;

use crate::ledger::Ledger;
use heaplaw_reference::{
    barrier::{Barrier, Order, When},
    counting::Counting,
    event::{Event, Phase},
    finalize::{Clearing, Specials},
    heap::{Capability, Claims, Heap, Invariant, Reply},
    machine::Machine,
    object::{Address, Content},
    op::{Action, Collect, Environment, MUTATORS, MutatorId, Op, Place},
    pacer::Pacing,
    place::manual::{Manual, Policy},
    protocol::{Protocol, StackScan},
};
use std::cell::Cell;

/// Something that can be wrong with a heap.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name, as a sentence about the heap.
    pub name: &'static str,
    /// The number of the law that it breaks.
    pub law: u16,
    make: fn() -> Box<dyn Heap + Send>,
}

impl Fault {
    /// The name under which the command knows the heap: `faulty:allocates-white`.
    pub fn slug(&self) -> String {
        format!("faulty:{}", self.name.replace(", ", "-").replace(' ', "-"))
    }

    /// A fresh heap with this fault.
    pub fn heap(&self) -> Box<dyn Heap + Send> {
        (self.make)()
    }
}

/// All of them, by law.
pub const ALL: &[Fault] = &[
    Fault { name: "claims eight bytes of its neighbour", law: 1, make: || garbled(claims_of_neighbour) },
    Fault { name: "gives one byte too few", law: 3, make: || garbled(short) },
    Fault { name: "places objects four bytes off", law: 4, make: || garbled(misaligned) },
    Fault { name: "does not zero memory that it uses again", law: 5, make: || garbled(dirty) },
    Fault { name: "loses a byte of what is written", law: 6, make: || garbled(torn) },
    Fault { name: "moves objects", law: 7, make: || garbled(moves) },
    Fault { name: "gives an address twice", law: 8, make: || garbled(same_address) },
    Fault { name: "has no room for nothing", law: 9, make: || allocating(Policy::FirstFit, no_room_for_nothing) },
    Fault { name: "counts what it has refused", law: 10, make: || mute(counts_refusals) },
    Fault { name: "remembers the heap before it", law: 13, make: || garbled(remembers) },
    Fault { name: "loads nil now and then", law: 14, make: || garbled(forgetful_load) },
    Fault { name: "gives up before the last block", law: 17, make: || allocating(Policy::BestFit, gives_up_early) },
    Fault { name: "goes on from the last block", law: 18, make: || impostor(Policy::FirstFit, Policy::NextFit) },
    Fault { name: "begins at the bottom each time", law: 19, make: || impostor(Policy::NextFit, Policy::FirstFit) },
    Fault { name: "takes the first block that will do", law: 20, make: || impostor(Policy::BestFit, Policy::FirstFit) },
    Fault { name: "never puts the pieces together", law: 21, make: || allocating(Policy::FirstFit, stays_in_pieces) },
    Fault { name: "leaves gaps where it bumps", law: 22, make: || impostor(Policy::Bump, Policy::FirstFit) },
    Fault { name: "rounds up to powers of four", law: 28, make: || roomy(powers_of_four) },
    Fault { name: "takes a larger class now and then", law: 30, make: || roomy(larger_class) },
    Fault { name: "keeps what is given back", law: 41, make: || allocating(Policy::BestFit, keeps_what_is_freed) },
    Fault {
        name: "loses the last block when it is refused memory",
        law: 41,
        make: || allocating(Policy::NextFit, loses_a_block_when_refused),
    },
    Fault { name: "frees what is held", law: 51, make: || garbled(frees_what_is_held) },
    Fault { name: "ends marking without a barrier", law: 52, make: || row(Protocol::NO_BARRIER) },
    Fault { name: "marks only what stacks hold", law: 52, make: || Box::new(Shallow::default()) },
    Fault {
        name: "inserts without a barrier",
        law: 53,
        make: || row(Protocol { barrier: Barrier::NONE, ..Protocol::INSERTION }),
    },
    Fault { name: "deletes without a snapshot", law: 54, make: || row(Protocol::DELETION_WITHOUT_SNAPSHOT) },
    Fault { name: "leaves it to its stacks to protect", law: 54, make: || Box::new(Garbled::over_stacks()) },
    Fault { name: "shades what is black", law: 55, make: || garbled(shades_black) },
    Fault { name: "forgets what is grey", law: 56, make: || garbled(forgets_what_is_grey) },
    Fault { name: "scans what was never shaded", law: 56, make: || garbled(scans_unshaded) },
    Fault { name: "allocates white", law: 57, make: || row(Protocol::HYBRID_ALLOCATE_WHITE) },
    Fault { name: "keeps what is born between cycles", law: 58, make: || garbled(keeps_newborns) },
    Fault { name: "never frees every other object", law: 59, make: || garbled(leaks) },
    Fault { name: "frees two cycles late", law: 60, make: || garbled(frees_two_cycles_late) },
    Fault { name: "collects by counting references", law: 61, make: || Box::new(CountsOnly(Counting::new())) },
    Fault { name: "scans twice", law: 65, make: || garbled(scans_twice) },
    Fault { name: "marks more than it is asked to", law: 66, make: || garbled(marks_on) },
    Fault { name: "loses garbage when it marks in one go", law: 67, make: || garbled(loses_garbage) },
    Fault {
        name: "forgets what finalizers hold",
        law: 68,
        make: || specials(Specials { closures_are_roots: false, ..Specials::SOUND }),
    },
    Fault {
        name: "moves and wipes without a barrier",
        law: 70,
        make: || row(Protocol { bulk_shades: false, ..Protocol::HYBRID }),
    },
    Fault {
        name: "moves without shading what it stores",
        law: 70,
        make: || row(Protocol { bulk_shades: false, ..Protocol::INSERTION }),
    },
    Fault { name: "stores into globals without a barrier", law: 70, make: || garbled(bare_globals) },
    Fault {
        name: "reads the old value after the store",
        law: 71,
        make: || row(Protocol { barrier: Barrier { order: Order::WriteFirst, ..Barrier::HYBRID }, ..Protocol::HYBRID }),
    },
    Fault {
        name: "stores nil without a barrier",
        law: 72,
        make: || {
            let barrier = Barrier { deletion: When::NewIsNotNil, ..Barrier::HYBRID };
            row(Protocol { barrier, ..Protocol::HYBRID })
        },
    },
    Fault {
        name: "hands over without shading",
        law: 73,
        make: || row(Protocol { sends_shade: false, ..Protocol::HYBRID }),
    },
    Fault { name: "shades while it sweeps", law: 77, make: || garbled(shades_while_sweeping) },
    Fault { name: "skips termination", law: 80, make: || garbled(skips_termination) },
    Fault { name: "starts over when it is asked to start again", law: 81, make: || garbled(starts_over) },
    Fault { name: "leaves an object grey", law: 82, make: || garbled(leaves_grey) },
    Fault { name: "never ends marking", law: 83, make: || garbled(never_finishes) },
    Fault {
        name: "scans all stacks again",
        law: 84,
        make: || row(Protocol { stacks: StackScan::Rescan, ..Protocol::HYBRID }),
    },
    Fault { name: "marks with the world stopped", law: 85, make: || garbled(marks_in_the_pause) },
    Fault { name: "marks while a mutator waits for its stack", law: 86, make: || garbled(marks_in_a_handshake) },
    Fault { name: "stops whoever stores", law: 87, make: || garbled(stops_whoever_stores) },
    Fault { name: "frees twice", law: 90, make: || garbled(frees_twice) },
    Fault {
        name: "revives what waits to be swept",
        law: 92,
        make: || specials(Specials { strong_asks_the_sweep: false, ..Specials::SOUND }),
    },
    Fault { name: "breaks the sweep off to mark", law: 93, make: || garbled(breaks_off) },
    Fault {
        name: "does not sweep for what it allocates",
        law: 94,
        make: || paced(Pacing { sweeps: false, ..Pacing::SOUND }),
    },
    Fault { name: "marks what was freed", law: 96, make: || garbled(marks_what_was_freed) },
    Fault { name: "takes a full collection lightly", law: 97, make: || garbled(not_full) },
    Fault {
        name: "forgets its roots when it sets a goal",
        law: 98,
        make: || paced(Pacing { counts_roots: false, ..Pacing::SOUND }),
    },
    Fault {
        name: "waits for the goal before it starts",
        law: 99,
        make: || paced(Pacing { starts_early: false, ..Pacing::SOUND }),
    },
    Fault {
        name: "does not learn how fast it is allocated from",
        law: 100,
        make: || paced(Pacing { learns: false, ..Pacing::SOUND }),
    },
    Fault { name: "never lets anybody assist", law: 101, make: || paced(Pacing { assists: false, ..Pacing::SOUND }) },
    Fault {
        name: "gives credit for work that nobody did",
        law: 102,
        make: || paced(Pacing { works: false, ..Pacing::SOUND }),
    },
    Fault {
        name: "looks for pointers where there are none",
        law: 102,
        make: || paced(Pacing { spares_data: false, ..Pacing::SOUND }),
    },
    Fault { name: "has no limiter", law: 103, make: || paced(Pacing { limits: false, ..Pacing::SOUND }) },
    Fault { name: "ignores the memory limit", law: 104, make: || paced(Pacing { obeys: false, ..Pacing::SOUND }) },
    Fault {
        name: "collects by the clock although collection is off",
        law: 105,
        make: || paced(Pacing { rests: false, ..Pacing::SOUND }),
    },
    Fault {
        name: "starts cycles at half of the trigger",
        law: 106,
        make: || paced(Pacing { waits: false, ..Pacing::SOUND }),
    },
    Fault { name: "has no clock", law: 105, make: || garbled(timeless) },
    Fault { name: "collects whenever the clock ticks", law: 106, make: || garbled(restless) },
    Fault { name: "runs a finalizer twice", law: 107, make: || garbled(finalizes_twice) },
    Fault {
        name: "frees what waits for its finalizer",
        law: 108,
        make: || specials(Specials { queue_is_root: false, ..Specials::SOUND }),
    },
    Fault {
        name: "finalizes in the order of addresses",
        law: 109,
        make: || specials(Specials { closures_are_roots: false, ..Specials::SOUND }),
    },
    Fault {
        name: "finalizes cycles",
        law: 110,
        make: || specials(Specials { closures_are_roots: false, ..Specials::SOUND }),
    },
    Fault {
        name: "cleans up before the finalizer",
        law: 111,
        make: || specials(Specials { cleanups_wait: false, ..Specials::SOUND }),
    },
    Fault {
        name: "forgets the arguments of cleanups",
        law: 111,
        make: || specials(Specials { arguments_are_roots: false, ..Specials::SOUND }),
    },
    Fault {
        name: "never clears a weak pointer",
        law: 112,
        make: || specials(Specials { clearing: Clearing::Never, ..Specials::SOUND }),
    },
    Fault {
        name: "clears weak pointers after the finalizer",
        law: 113,
        make: || specials(Specials { clearing: Clearing::Freed, ..Specials::SOUND }),
    },
    Fault {
        name: "makes a new weak pointer each time",
        law: 114,
        make: || specials(Specials { canonical: false, ..Specials::SOUND }),
    },
    Fault {
        name: "hands out what is weakly held without shading it",
        law: 115,
        make: || specials(Specials { strong_shades: false, ..Specials::SOUND }),
    },
    Fault {
        name: "attaches finalizers while marking without shading",
        law: 68,
        make: || specials(Specials { registration_shades: false, ..Specials::SOUND }),
    },
    Fault { name: "miscounts by one", law: 123, make: || garbled(miscounts) },
    Fault { name: "takes a full collection lightly and says nothing", law: 127, make: || mute(not_full) },
    Fault {
        name: "overlooks what is born while it marks",
        law: 127,
        make: || paced(Pacing { counts_newborns: false, ..Pacing::SOUND }),
    },
    Fault { name: "scans stacks of nobody", law: 132, make: || garbled(scans_nobody) },
    Fault { name: "finds the same dead twice", law: 132, make: || garbled(dies_twice) },
    Fault { name: "counts its collections", law: 139, make: || garbled(counts_collections) },
    Fault { name: "frees late", law: 139, make: || garbled(frees_late) },
    Fault {
        name: "never forgets how large it once was",
        law: 141,
        make: || paced(Pacing { forgets: false, ..Pacing::SOUND }),
    },
    Fault { name: "never uses memory again", law: 142, make: || garbled(never_uses_memory_again) },
];

fn row(protocol: Protocol) -> Box<dyn Heap + Send> {
    Box::new(Machine::new(protocol))
}

fn paced(rules: Pacing) -> Box<dyn Heap + Send> {
    Box::new(Machine::new(Protocol::HYBRID).paced(rules))
}

fn specials(specials: Specials) -> Box<dyn Heap + Send> {
    Box::new(Machine::new(Protocol::HYBRID).with_specials(specials))
}

/// A heap of the reference behind a layer that garbles.
struct Garbled {
    machine: Box<dyn Heap + Send>,
    garble: fn(&mut Garbled, &Op, &mut Vec<Event>) -> Reply,
    /// Whatever the layer has to remember: how often it was asked, or where the last object lies.
    memory: u64,
    /// Events kept back.
    kept: Vec<Event>,
    /// Whether it claims to report what it frees.
    tells: bool,
}

fn garbled(garble: fn(&mut Garbled, &Op, &mut Vec<Event>) -> Reply) -> Box<dyn Heap + Send> {
    Box::new(Garbled { machine: row(Protocol::HYBRID), garble, memory: 0, kept: Vec::new(), tells: true })
}

/// As [`garbled`], and does not claim to report what it frees, as most heaps in the world do not.
fn mute(garble: fn(&mut Garbled, &Op, &mut Vec<Event>) -> Reply) -> Box<dyn Heap + Send> {
    Box::new(Garbled { machine: row(Protocol::HYBRID), garble, memory: 0, kept: Vec::new(), tells: false })
}

/// An allocator with 8 KiB of memory.
fn allocating(policy: Policy, garble: fn(&mut Garbled, &Op, &mut Vec<Event>) -> Reply) -> Box<dyn Heap + Send> {
    let machine = Box::new(Manual::with_memory(policy, 8 << 10));
    Box::new(Garbled { machine, garble, memory: 0, kept: Vec::new(), tells: true })
}

/// An allocator with a list for each of its classes, and memory for all of them.
fn roomy(garble: fn(&mut Garbled, &Op, &mut Vec<Event>) -> Reply) -> Box<dyn Heap + Send> {
    let machine = Box::new(Manual::new(Policy::SegregatedFit));
    Box::new(Garbled { machine, garble, memory: 0, kept: Vec::new(), tells: true })
}

/// An allocator that claims to be another.
fn impostor(claimed: Policy, real: Policy) -> Box<dyn Heap + Send> {
    Box::new(Impostor { claims: Manual::new(claimed).claims(), heap: Manual::new(real) })
}

/// A heap whose marks are those of what some stack holds: of everything else it does not say that it was found.
struct Shallow {
    machine: Machine,
    ledger: Ledger,
    /// What was found, and not yet told.
    kept: Vec<Event>,
}

impl Default for Shallow {
    fn default() -> Self {
        Shallow { machine: Machine::new(Protocol::HYBRID), ledger: Ledger::default(), kept: Vec::new() }
    }
}

impl Heap for Shallow {
    fn claims(&self) -> Claims {
        self.machine.claims()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        let mut told = Vec::new();
        let reply = self.machine.perform(op, &mut told);
        self.ledger.enter(op, &reply);
        let graph = self.ledger.graph();
        let held = |at: Address| {
            let id = self.ledger.born_at(at);
            graph.stacks().any(|(_, stack)| id.is_some() && stack.roots.contains(&id))
        };
        let deep = |event: &Event| matches!(*event, Event::Shade(at) | Event::Scan(at) if !held(at));
        // First what is held by now, as long as there is marking.
        let (kept, late) = std::mem::take(&mut self.kept).into_iter().partition(deep);
        self.kept = kept;
        if told.iter().any(|event| matches!(event, Event::Phase(_))) {
            self.kept.clear();
        } else {
            events.extend::<Vec<Event>>(late);
        }
        for event in told {
            if deep(&event) { self.kept.push(event) } else { events.push(event) }
        }
        reply
    }
}

struct Impostor {
    claims: Claims,
    heap: Manual,
}

impl Heap for Impostor {
    fn claims(&self) -> Claims {
        self.claims.clone()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        self.heap.perform(op, events)
    }
}

impl Heap for Garbled {
    fn claims(&self) -> Claims {
        let claimed = self.machine.claims();
        let capabilities = Capability::ALL.into_iter().filter(|capability| claimed.has(*capability));
        let capabilities = capabilities.filter(|capability| self.tells || *capability != Capability::Frees);
        let claims = Claims::new("garbled").with(&capabilities.collect::<Vec<_>>());
        let claims = claimed.invariant.map_or(claims.clone(), |invariant| claims.upholding(invariant));
        claimed.placement.map_or(claims.clone(), |placement| claims.placing(placement))
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        (self.garble)(self, op, events)
    }
}

impl Garbled {
    /// A heap that promises that something in the heap protects what is white behind black, and keeps the weak invariant
    /// alone: a stack protects too, and is scanned only when it lets something go.
    fn over_stacks() -> Garbled {
        let row = Protocol { invariant: Some(Invariant::ModifiedWeak), ..Protocol::DELETION_WITHOUT_SNAPSHOT };
        let machine = Box::new(Machine::new(row));
        Garbled { machine, garble: scans_before_it_lets_go, memory: 0, kept: Vec::new(), tells: true }
    }

    /// Whether this is one of every `n`.
    fn every(&mut self, n: u64) -> bool {
        self.memory += 1;
        self.memory.is_multiple_of(n)
    }
}

/// A heap that counts references, and says that it collects.
struct CountsOnly(Counting);

impl Heap for CountsOnly {
    fn claims(&self) -> Claims {
        self.0.claims().with(&[Capability::Collect])
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        match op {
            Op::Collect(Collect::Full) => Reply::Done,
            _ => self.0.perform(op, events),
        }
    }
}

/// Scans a stack before anything in it is overwritten.
fn scans_before_it_lets_go(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    if let Op::Mutate { by, action } = op {
        let whose = match action {
            Action::Store { .. } => None,
            Action::Send { to, .. } => Some(*to),
            _ => Some(*by),
        };
        if let Some(mutator) = whose {
            this.machine.perform(&Op::Collect(Collect::Handshake(mutator)), events);
        }
    }
    this.machine.perform(op, events)
}

/// Every other request to mark finds nothing, whatever is grey.
fn forgets_what_is_grey(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Mark(_)) if this.every(2) => Reply::Idle,
        _ => this.machine.perform(op, events),
    }
}

/// Does not report that it shades what it scans in the same operation.
fn scans_unshaded(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    let scanned: Vec<_> =
        events.iter().filter_map(|event| if let Event::Scan(at) = event { Some(*at) } else { None }).collect();
    events.retain(|event| !matches!(event, Event::Shade(at) if scanned.contains(at)));
    reply
}

/// Never reports that what was born outside of marking is freed.
fn keeps_newborns(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    for event in events.iter() {
        match event {
            Event::Phase(Phase::Mark) => this.memory = 1,
            Event::Phase(Phase::Sweep) => this.memory = 2,
            _ => {}
        }
    }
    if let (Reply::Born { at, .. }, 2) = (&reply, this.memory) {
        this.kept.push(Event::Free(*at));
    }
    events.retain(|event| !this.kept.contains(event));
    reply
}

fn marks_on(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Mark(steps)) => this.machine.perform(&Op::Collect(Collect::Mark(steps * 3)), events),
        _ => this.machine.perform(op, events),
    }
}

/// As a second worker that drops what it should have swept.
fn loses_garbage(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    match op {
        Op::Collect(Collect::Mark(steps)) => this.memory = u64::from(*steps > 1 << 10),
        Op::Collect(Collect::Sweep(_)) if this.memory > 0 => {
            if let Some(free) = events.iter().position(|event| matches!(event, Event::Free(_))) {
                events.remove(free);
            }
        }
        _ => {}
    }
    reply
}

fn shades_while_sweeping(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    for event in events.iter() {
        if let Event::Phase(phase) = event {
            this.memory = u64::from(*phase == Phase::Sweep);
        }
    }
    if let (Op::Mutate { action: Action::Load { .. }, .. }, Reply::Object(at)) = (op, &reply)
        && this.memory > 0
    {
        events.push(Event::Shade(*at));
    }
    reply
}

fn starts_over(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match (op, this.machine.perform(op, events)) {
        (Op::Collect(Collect::Start), Reply::Idle) => {
            events.push(Event::Phase(Phase::Mark));
            Reply::Done
        }
        (_, reply) => reply,
    }
}

/// Does an operation, then marks all there is, and says that somebody waited for it.
fn marking_meanwhile(this: &mut Garbled, op: &Op, who: Option<MutatorId>, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if reply == Reply::Done {
        let before = events.len();
        this.machine.perform(&Op::Collect(Collect::Mark(1 << 20)), events);
        let units = events[before..].iter().filter(|event| matches!(event, Event::Scan(_))).count() as u64;
        events.push(Event::Pause { who, units });
    }
    reply
}

fn marks_in_the_pause(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Mark(_)) => marking_meanwhile(this, op, None, events),
        _ => this.machine.perform(op, events),
    }
}

fn marks_in_a_handshake(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Handshake(mutator)) => marking_meanwhile(this, op, Some(*mutator), events),
        _ => this.machine.perform(op, events),
    }
}

fn stops_whoever_stores(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if let Op::Mutate { by, action: Action::Store { .. } } = op
        && events.iter().any(|event| matches!(event, Event::Shade(_)))
    {
        events.push(Event::Pause { who: Some(*by), units: 1 });
    }
    reply
}

/// Memory for eight objects, each of which is used once.
fn never_uses_memory_again(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    if let Op::Mutate { action: Action::Alloc { .. }, .. } = op
        && this.memory == 8
    {
        return Reply::OutOfMemory;
    }
    let reply = this.machine.perform(op, events);
    this.memory += u64::from(matches!(reply, Reply::Born { .. }));
    reply
}

/// As a second sweep that comes upon a mark where it has just freed.
fn marks_what_was_freed(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if let Some(Event::Free(at)) = events.iter().rfind(|event| matches!(event, Event::Free(_))) {
        events.push(Event::Shade(*at));
    }
    reply
}

fn claims_of_neighbour(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Born { at, usable, found, color } => Reply::Born { at, usable: usable + 8, found, color },
        reply => reply,
    }
}

fn short(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Born { at, usable, found, color } => Reply::Born { at, usable: usable.saturating_sub(9), found, color },
        reply => reply,
    }
}

fn misaligned(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let off = |at: Address| Address(at.0 + 4);
    let reply = this.machine.perform(op, events);
    for event in events {
        match event {
            Event::Shade(at) | Event::Scan(at) | Event::Free(at) => *at = off(*at),
            _ => {}
        }
    }
    match reply {
        Reply::Born { at, usable, found, color } => Reply::Born { at: off(at), usable, found, color },
        Reply::Object(at) => Reply::Object(off(at)),
        reply => reply,
    }
}

fn dirty(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Born { at, usable, color, .. } if at.0 < this.memory => {
            Reply::Born { at, usable, found: Content::Uniform(1), color }
        }
        reply => {
            if let Reply::Born { at, .. } = reply {
                this.memory = at.0;
            }
            reply
        }
    }
}

fn torn(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Data(_) if this.every(3) => Reply::Data(Content::Torn { at: 8 }),
        reply => reply,
    }
}

fn moves(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Object(at) => Reply::Object(Address(at.0 + (1 << 32))),
        reply => reply,
    }
}

fn same_address(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Born { at, usable, found, color } => {
            let first = if this.memory == 0 { at } else { Address(this.memory) };
            this.memory = at.0;
            Reply::Born { at: first, usable, found, color }
        }
        reply => reply,
    }
}

fn no_room_for_nothing(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Mutate { action: Action::Alloc { shape, .. }, .. } if shape.size() == 0 => Reply::OutOfMemory,
        _ => this.machine.perform(op, events),
    }
}

/// Refuses every third request that follows a free.
fn keeps_what_is_freed(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let freed = std::mem::take(&mut this.kept);
    match op {
        Op::Mutate { action: Action::Alloc { .. }, .. } if !freed.is_empty() && this.every(3) => Reply::OutOfMemory,
        Op::Mutate { action: Action::Free(_), .. } => {
            // Any event will do, as a note that something was freed.
            this.kept.push(Event::ScanGlobals);
            this.machine.perform(op, events)
        }
        _ => this.machine.perform(op, events),
    }
}

/// A request that is refused takes the next block that is freed with it.
fn loses_a_block_when_refused(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let lost = std::mem::take(&mut this.memory);
    match op {
        // Freed by the program, and the next to be asked for: refused if a block was lost.
        Op::Mutate { action: Action::Alloc { .. }, .. } if lost == 2 => Reply::OutOfMemory,
        _ => {
            let reply = this.machine.perform(op, events);
            let frees = matches!(op, Op::Mutate { action: Action::Free(_), .. });
            this.memory = match (lost, frees) {
                _ if reply == Reply::OutOfMemory => 1,
                (1, true) => 2,
                (state, _) => state,
            };
            reply
        }
    }
}

/// Refuses every seventh request, as if the last block had not been looked at.
fn gives_up_early(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Mutate { action: Action::Alloc { shape, .. }, .. } if shape.size() > 0 && this.every(7) => {
            Reply::OutOfMemory
        }
        _ => this.machine.perform(op, events),
    }
}

/// Has no block for a large object again, once what it had was cut up.
fn stays_in_pieces(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        // Any event will do, as a note that something was cut.
        Op::Mutate { action: Action::Alloc { shape, .. }, .. } if this.memory == 0 && !this.kept.is_empty() => {
            if shape.size() >= 256 { Reply::OutOfMemory } else { counted(this, op, events) }
        }
        Op::Mutate { action: Action::Alloc { .. }, .. } => {
            this.kept.push(Event::ScanGlobals);
            counted(this, op, events)
        }
        _ => counted(this, op, events),
    }
}

/// Performs an operation and keeps count of what there is.
fn counted(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    match (op, &reply) {
        (_, Reply::Born { .. }) => this.memory += 1,
        (Op::Mutate { action: Action::Free(_), .. }, Reply::Done) => this.memory -= 1,
        _ => {}
    }
    reply
}

/// The same request for so many bytes, if that is more; a few bytes stay as they are, since their data shows how many.
fn enlarged(op: &Op, size: impl FnOnce(u64) -> u64) -> Op {
    match *op {
        Op::Mutate { by, action: Action::Alloc { into, mut shape } } if shape.bytes >= 8 => {
            let more = size(shape.size()).saturating_sub(shape.size());
            shape.bytes = shape.bytes.saturating_add(more as u32);
            Op::Mutate { by, action: Action::Alloc { into, shape } }
        }
        op => op,
    }
}

fn powers_of_four(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let power = |size: u64| 1 << size.max(1).next_power_of_two().trailing_zeros().next_multiple_of(2);
    this.machine.perform(&enlarged(op, power), events)
}

fn larger_class(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let now = this.every(3);
    this.machine.perform(&enlarged(op, |size| if now { size + size / 3 } else { size }), events)
}

fn forgetful_load(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Object(_) if this.every(3) => Reply::Nil,
        reply => reply,
    }
}

fn shades_black(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    let scanned: Vec<_> = events.iter().filter(|event| matches!(event, Event::Scan(_))).copied().collect();
    if let Some(Event::Scan(at)) = scanned.last() {
        events.push(Event::Shade(*at));
    }
    reply
}

fn leaks(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    events.retain(|event| !matches!(event, Event::Free(Address(at)) if at / 8 % 2 == 1));
    reply
}

fn frees_what_is_held(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if let Reply::Object(at) = reply
        && this.every(3)
    {
        events.push(Event::Free(at));
    }
    reply
}

/// Keeps frees back until two more cycles have begun.
fn frees_two_cycles_late(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let mut now = Vec::new();
    let reply = this.machine.perform(op, &mut now);
    for event in now {
        match event {
            Event::Free(_) => this.kept.push(event),
            _ => events.push(event),
        }
        this.memory += u64::from(event == Event::Phase(Phase::Mark));
        if event == Event::Phase(Phase::Sweep) && this.memory >= 3 {
            this.memory = 0;
            events.append(&mut this.kept);
        }
    }
    reply
}

fn skips_termination(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    events.retain(|event| *event != Event::Phase(Phase::Terminate));
    reply
}

fn leaves_grey(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if let Some(last) = events.iter().rposition(|event| matches!(event, Event::Scan(_))) {
        events.remove(last);
    }
    reply
}

fn never_finishes(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Finish) => Reply::Idle,
        _ => this.machine.perform(op, events),
    }
}

fn frees_twice(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    let freed = events.iter().find(|event| matches!(event, Event::Free(_))).copied();
    events.extend(freed);
    reply
}

fn not_full(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Collect(Collect::Full) => Reply::Done,
        _ => this.machine.perform(op, events),
    }
}

fn finalizes_twice(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let asked = matches!(op, Op::Mutate { action: Action::Finalize(_), .. });
    match this.machine.perform(op, events) {
        Reply::Object(at) if asked => {
            this.memory = at.0;
            Reply::Object(at)
        }
        Reply::Nil if asked && this.memory > 0 => Reply::Object(Address(this.memory)),
        reply => reply,
    }
}

fn miscounts(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::Stats { objects, bytes } if objects > 2 => Reply::Stats { objects: objects - 1, bytes },
        reply => reply,
    }
}

fn frees_late(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let mut now = Vec::new();
    let reply = this.machine.perform(op, &mut now);
    if *op == Op::Collect(Collect::Full) {
        events.append(&mut this.kept);
        let free = |event: &Event| matches!(event, Event::Free(_));
        this.kept = now.iter().filter(|event| free(event)).copied().collect();
        now.retain(|event| !free(event));
    }
    events.append(&mut now);
    reply
}

fn counts_collections(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    this.memory += u64::from(*op == Op::Collect(Collect::Full));
    match this.machine.perform(op, events) {
        Reply::Stats { objects, bytes } => Reply::Stats { objects: objects + this.memory, bytes },
        reply => reply,
    }
}

fn counts_refusals(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match this.machine.perform(op, events) {
        Reply::OutOfMemory => {
            this.memory += 1;
            Reply::OutOfMemory
        }
        Reply::Stats { objects, bytes } => Reply::Stats { objects: objects + this.memory, bytes },
        reply => reply,
    }
}

thread_local! {
    /// How many heaps of [`remembers`] this thread has used.
    static HEAPS: Cell<u64> = const { Cell::new(0) };
}

/// Every other heap takes one step of marking more.
fn remembers(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    if this.memory == 0 {
        HEAPS.set(HEAPS.get() + 1);
        this.memory = HEAPS.get();
    }
    match op {
        Op::Collect(Collect::Mark(steps)) if this.memory.is_multiple_of(2) => {
            this.machine.perform(&Op::Collect(Collect::Mark(steps + 1)), events)
        }
        _ => this.machine.perform(op, events),
    }
}

fn scans_twice(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    let first = events.iter().position(|event| matches!(event, Event::Scan(_)));
    if let Some(first) = first {
        events.insert(first, events[first]);
    }
    reply
}

fn bare_globals(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if matches!(op, Op::Mutate { action: Action::Store { into: Place::Global(_), .. }, .. }) {
        events.clear();
    }
    reply
}

/// Forgets what was still to be swept when the next cycle starts.
fn breaks_off(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if *op == Op::Collect(Collect::Start) {
        events.retain(|event| !matches!(event, Event::Free(_)));
    }
    reply
}

fn timeless(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    match op {
        Op::Environment(Environment::Clock(_)) => Reply::Done,
        _ => this.machine.perform(op, events),
    }
}

fn restless(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if matches!(op, Op::Environment(Environment::Clock(_))) {
        this.machine.perform(&Op::Collect(Collect::Start), events);
    }
    reply
}

fn scans_nobody(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    if events.contains(&Event::ScanGlobals) {
        events.push(Event::ScanStack(MutatorId(MUTATORS - 1)));
    }
    reply
}

fn dies_twice(this: &mut Garbled, op: &Op, events: &mut Vec<Event>) -> Reply {
    let reply = this.machine.perform(op, events);
    let dead = events.iter().find(|event| matches!(event, Event::Finalize(_))).copied();
    events.extend(dead);
    reply
}
