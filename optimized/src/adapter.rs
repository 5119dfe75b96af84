//! The heap as a subject of the conformance kit. Only this file and those below it name `heaplaw_reference`.
//!
//! A [`Subject`] gives a [`Heap`] sixteen roots for each mutator and four globals, and translates: operations into
//! calls, calls' answers into replies, its own events into the kit's. It decides nothing and knows one thing that the
//! heap does not: how many data bytes were asked for, which in a real program the compiler knows. Of tiny objects the heap
//! tells and counts blocks; the journal knows what is in them.
//!
//! What it does, others may do with a listener of their own that [keeps a journal](Keeps): [`act`], [`step`] and [`change`].
//!
//! ```
//! use heaplaw_optimized::adapter;
//! use heaplaw_reference::{event::Event, heap::Heap, op::Program};
//! let story: Program = "\
//!     0 alloc r0 1\n\
//!     0 alloc r1 0 16\n\
//!     0 store r0.0 r1\n\
//!     0 clear r1\n\
//!     0 clear r0\n\
//!     gc full\n".parse()?;
//! let (mut heap, mut events) = (adapter::bundled()?, Vec::new());
//! for op in story.ops() {
//!     heap.perform(op, &mut events);
//! }
//! assert_eq!(events.iter().filter(|event| matches!(event, Event::Free(_))).count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod fit;

use crate::{
    Address, Barrier, Cause, Config, Error, Event, Heap, Listener, Metrics, Mutator, MutatorId, Object, Phase, Place,
    Root, Weak, gc::pace::Clock,
};
use heaplaw_reference::{
    event,
    gauge::Gauge,
    heap::{BornAs, Capability, Claims, InTurn, Invariant, Reply, SharedHeap},
    object::{self, Content, Stamp},
    op::{self, Action, Collect, Environment, GLOBALS, Gogc, MUTATORS, ROOTS, WEAKS},
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A new small heap for one program: 64 MiB at most, mutators taking turns. Cheap to make and to drop.
///
/// # Errors
/// [`Error::Os`] if the kernel does not grant the reservation.
pub fn bundled() -> Result<InTurn<Subject>, Error> {
    small(64 << 20)
}

/// As [`bundled`], with so many bytes of memory.
///
/// # Errors
/// [`Error::Os`] if the kernel does not grant the reservation.
pub fn small(memory: usize) -> Result<InTurn<Subject>, Error> {
    with(Config { reservation: memory, ..Config::default() })
}

/// As [`bundled`], of any kind.
///
/// # Errors
/// [`Error::Os`] if the kernel does not grant the reservation.
pub fn with(config: Config) -> Result<InTurn<Subject>, Error> {
    Ok(InTurn::new(Subject::new(config)?))
}

/// Takes down what happens in the kit's words, and what only the kit's mutators know. The order is exact as long as one
/// thread is at work.
#[derive(Default)]
pub struct Journal {
    pages: Mutex<Pages>,
    /// Whether the kit hears why cycles start.
    paced: bool,
}

/// A listener that has a journal, at least for what the kit's mutators know.
pub trait Keeps: Listener {
    /// The journal.
    fn journal(&self) -> &Journal;
}

impl Keeps for Journal {
    fn journal(&self) -> &Journal {
        self
    }
}

impl Journal {
    /// What is in a weak slot of the kit's.
    pub fn weak(&self, slot: op::WeakSlot) -> Option<Weak> {
        self.open().weak[usize::from(slot.0)].clone()
    }

    /// Takes note of a mutator of the kit's, which the heap calls otherwise.
    pub fn joined(&self, id: op::MutatorId, mutator: MutatorId) {
        self.open().mutators[usize::from(id.0)] = Some(mutator);
    }

    fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the journal.
#[derive(Default)]
struct Pages {
    events: Vec<event::Event>,
    /// What this heap calls the kit's mutators.
    mutators: [Option<MutatorId>; MUTATORS as usize],
    /// The kit's weak slots.
    weak: [Option<Weak>; WEAKS as usize],
    /// The data bytes that each object was asked to have, and those that it has.
    sizes: HashMap<Address, (u32, usize)>,
    /// Whether tiny objects share blocks; and by the number of each block, those in it.
    tiny: bool,
    blocks: HashMap<usize, Vec<Address>>,
}

/// The bytes of a block that tiny objects may share.
const BLOCK: usize = 16;

impl Pages {
    /// Takes note of a birth.
    fn born(&mut self, object: &Object, asked: u32) {
        self.sizes.insert(object.address, (asked, object.usable));
        if self.tiny && object.pointers == 0 && object.usable <= BLOCK {
            self.blocks.entry(object.address.get() / BLOCK).or_default().push(object.address);
        }
    }

    /// Takes down what happened to the slot at an address, for each object in it.
    fn tell(&mut self, at: Address, event: fn(object::Address) -> event::Event) {
        match self.blocks.get(&(at.get() / BLOCK)) {
            Some(block) => self.events.extend(block.iter().map(|at| event(shown(*at)))),
            None => self.events.push(event(shown(at))),
        }
    }

    /// What the kit calls a mutator.
    fn known(&self, mutator: MutatorId) -> Option<op::MutatorId> {
        let number = self.mutators.iter().position(|known| *known == Some(mutator))?;
        Some(op::MutatorId(number as u8))
    }

    /// A mutator could not go on for so many units of work.
    fn pause(&mut self, mutator: MutatorId, units: usize) {
        if let Some(who) = self.known(mutator) {
            self.events.push(event::Event::Pause { who: Some(who), units: units as u64 });
        }
    }

    /// Takes note of the death of what was in the slot at an address.
    fn died(&mut self, at: Address) {
        match self.blocks.remove(&(at.get() / BLOCK)) {
            Some(block) => block.iter().for_each(|at| _ = self.sizes.remove(at)),
            None => _ = self.sizes.remove(&at),
        }
    }

    /// What the heap counts, block by block, counted object by object.
    fn single(&self, objects: usize, bytes: usize) -> (usize, usize) {
        let tiny = self.blocks.values().flatten();
        let (tiny, of) =
            tiny.fold((0, 0), |(count, sum), at| (count + 1, sum + self.sizes.get(at).map_or(0, |size| size.1)));
        let blocks = self.blocks.len();
        ((objects + tiny).saturating_sub(blocks), (bytes + of).saturating_sub(blocks * BLOCK))
    }
}

impl Listener for Journal {
    fn on(&self, event: Event) {
        let mut pages = self.open();
        let told = match event {
            Event::Start(cause) if self.paced => event::Event::Start(match cause {
                Cause::Trigger => event::Cause::Trigger,
                Cause::Limit => event::Cause::Limit,
                Cause::Time => event::Cause::Time,
                Cause::Told => event::Cause::Told,
            }),
            Event::Start(_) => return,
            Event::Phase(phase) => event::Event::Phase(match phase {
                // To the kit a cycle begins when all mutators know of it.
                Phase::Arm => return,
                Phase::Off => event::Phase::Off,
                Phase::Mark => event::Phase::Mark,
                Phase::Terminate => event::Phase::Terminate,
                Phase::Sweep => event::Phase::Sweep,
            }),
            Event::ScanStack(mutator) => {
                let Some(mutator) = pages.known(mutator) else { return };
                event::Event::ScanStack(mutator)
            }
            Event::ScanGlobals => event::Event::ScanGlobals,
            Event::Finalize(at) => event::Event::Finalize(shown(at)),
            Event::Asked(_) => return,
            Event::Pause { mutator, units, .. } => return pages.pause(mutator, units),
            Event::Reclaim { mutator, spans } => return pages.pause(mutator, spans),
            Event::Shade(at) => return pages.tell(at, event::Event::Shade),
            Event::Scan(at) => return pages.tell(at, event::Event::Scan),
            Event::Free(at) => {
                pages.tell(at, event::Event::Free);
                return pages.died(at);
            }
        };
        pages.events.push(told);
    }
}

fn shown(at: Address) -> object::Address {
    object::Address(at.get() as u64)
}

/// What the kit is told of an operation that was refused.
pub fn refused(error: Error) -> Reply {
    match error {
        Error::OutOfMemory { .. } | Error::Os { .. } => Reply::OutOfMemory,
        error => Reply::Trap(error.to_string()),
    }
}

/// A heap that the kit can judge.
pub struct Subject {
    heap: Heap<Journal>,
}

impl Subject {
    /// A new heap; the number of globals is the kit's.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn new(config: Config) -> Result<Subject, Error> {
        let config = Config { globals: usize::from(GLOBALS), ..config };
        let journal = Journal::default();
        journal.open().tiny = config.tiny;
        Ok(Subject { heap: Heap::with_listener(config, journal)? })
    }

    /// A heap that paces itself, on a clock that is moved by operations and by nothing else: one of a mutator takes a
    /// millisecond, to allocate or to scan a byte takes a microsecond. Between operations a worker seems to take its share.
    ///
    /// # Errors
    /// As [`Subject::new`].
    pub fn paced(config: Config) -> Result<Subject, Error> {
        let config = Config { globals: usize::from(GLOBALS), paced: true, ..config };
        let journal = Journal { paced: true, ..Journal::default() };
        Ok(Subject { heap: Heap::with_clock(config, Clock::counted(), journal)? })
    }

    /// Checks everything that the heap believes about itself; see [`Heap::verify`].
    ///
    /// # Errors
    /// The first belief that does not hold.
    pub fn verify(&self) -> Result<(), crate::Corruption> {
        self.heap.verify()
    }

    fn report(&self, events: &mut Vec<event::Event>) {
        report(&self.heap, events);
    }
}

/// Moves what was taken down to the end of `events`.
fn report(heap: &Heap<Journal>, events: &mut Vec<event::Event>) {
    events.append(&mut heap.state().listener.open().events);
}

impl SharedHeap for Subject {
    type Mutator = Participant;

    fn claims(&self) -> Claims {
        let claimed = [
            Capability::Collect,
            Capability::Steps,
            Capability::Mutators,
            Capability::Addresses,
            Capability::Stats,
            Capability::Frees,
            Capability::Phases,
            Capability::Colors,
            Capability::Weak,
            Capability::Finalizers,
            Capability::Cleanups,
            Capability::Barrier,
            Capability::Deterministic,
            Capability::Classes,
        ];
        let state = self.heap.state();
        let (barrier, invariant) = match state.config.barrier {
            Barrier::Hybrid => ("", Invariant::ModifiedWeak),
            Barrier::Insertion => (":insertion", Invariant::Strong),
            Barrier::Deletion => (":deletion", Invariant::Weak),
            // What the others keep, and this one does not.
            Barrier::None => (":no-barrier", Invariant::ModifiedWeak),
        };
        let tiny = if state.config.tiny { ":tiny" } else { "" };
        let (paced, more): (_, &[Capability]) = match state.listener.paced {
            true => (":paced", &[Capability::Pacing, Capability::Clock]),
            false => ("", &[]),
        };
        let (stops, pauses): (_, &[Capability]) = match state.config.stop_the_world {
            true => (":stop-the-world", &[]),
            // Not incremental: who allocates and finds no room may sweep all that is left to be swept.
            false => ("", &[Capability::Pauses]),
        };
        let name = format!("optimized{paced}{barrier}{tiny}{stops}");
        Claims::new(name).with(&claimed).with(more).with(pauses).upholding(invariant)
    }

    fn join(&self, id: op::MutatorId, events: &mut Vec<event::Event>) -> Participant {
        let mut mutator = self.heap.join();
        self.heap.state().listener.joined(id, mutator.id());
        let roots = std::array::from_fn(|_| mutator.root());
        self.report(events);
        Participant { mutator, roots, data: Vec::new() }
    }

    fn leave(&self, mutator: Participant, events: &mut Vec<event::Event>) {
        drop(mutator);
        self.report(events);
    }

    fn send(
        &self,
        (from, value): (&mut Participant, op::Root),
        (to, into): (&mut Participant, op::Root),
        events: &mut Vec<event::Event>,
    ) -> Reply {
        let (value, into) = (&from.roots[usize::from(value.0)], &to.roots[usize::from(into.0)]);
        let sent = from.mutator.send(value, &mut to.mutator, into);
        pass(&self.heap, OPERATION);
        self.report(events);
        sent.map_or_else(refused, |()| Reply::Done)
    }

    fn collect(&self, step: &Collect, events: &mut Vec<event::Event>) -> Reply {
        if let (Collect::Pace, true) = (step, self.heap.state().listener.paced) {
            return Reply::Pace(Box::new(gauge(&self.heap.metrics())));
        }
        let reply = self::step(&self.heap, step);
        if matches!(reply, Reply::Done | Reply::Idle) {
            self.report(events);
        }
        reply
    }

    fn environment(&self, change: &Environment, events: &mut Vec<event::Event>) -> Reply {
        let reply = self::change(&self.heap, change);
        self.report(events);
        reply
    }
}

/// Takes a step of the collector, or asks how much there is.
pub fn step<L: Keeps>(heap: &Heap<L>, step: &Collect) -> Reply {
    let journal = heap.state().listener.journal();
    let taken = match *step {
        Collect::Full => {
            heap.collect();
            true
        }
        Collect::Start => heap.start(),
        Collect::Mark(steps) => heap.mark(steps as usize) > 0,
        Collect::Handshake(mutator) => {
            let known = journal.open().mutators[usize::from(mutator.0)];
            known.is_some_and(|mutator| heap.handshake(mutator))
        }
        Collect::Finish => heap.finish(),
        Collect::Sweep(steps) => heap.sweep(steps as usize) > 0,
        Collect::Stats => {
            let stats = heap.stats();
            let (objects, bytes) = journal.open().single(stats.objects, stats.bytes);
            return Reply::Stats { objects: objects as u64, bytes: bytes as u64 };
        }
        _ => return Reply::Unsupported,
    };
    if taken { Reply::Done } else { Reply::Idle }
}

/// Changes what the heap is told of its environment. A clock that tells the time of day is left alone.
pub fn change<L: Keeps>(heap: &Heap<L>, change: &Environment) -> Reply {
    match *change {
        Environment::Gogc(Gogc::Off) => heap.set_gogc(None),
        Environment::Gogc(Gogc::Percent(percent)) => heap.set_gogc(Some(percent)),
        Environment::Limit(limit) => heap.set_soft_limit(limit.map(|limit| limit as usize)),
        Environment::Clock(milliseconds) => {
            let (state, time) = (heap.state(), u64::from(milliseconds) * MILLISECOND);
            let marking = heap.phase() == Phase::Mark;
            state.pace.clock.pass(time, time);
            heap.tick();
            // A cycle that starts now has had nothing of the time that is over, and a heap that is stepped has no time.
            if marking && state.is_paced() {
                state.catch_up();
            }
        }
        _ => return Reply::Unsupported,
    }
    Reply::Done
}

const MILLISECOND: u64 = 1_000_000;
/// The time of an operation, and of a byte that is allocated.
const OPERATION: u64 = MILLISECOND;
const BYTE: u64 = 1_000;

/// A mutator has computed for so long.
fn pass(heap: &Heap<Journal>, time: u64) {
    heap.state().pace.clock.pass(time, 0);
}

/// What the kit asks for, of what the heap tells anybody.
fn gauge(metrics: &Metrics) -> Gauge {
    let mut figures = HashMap::new();
    metrics.each(|name, _, value| _ = figures.insert(name.replace('_', "-"), value));
    Gauge::read(|name| figures.get(name).copied().ok_or(name)).expect("the heap tells everything that the kit asks for")
}

/// A mutator with the kit's sixteen roots.
pub struct Participant {
    mutator: Mutator<Journal>,
    roots: [Root; ROOTS as usize],
    /// What is read or written, kept to save allocations.
    data: Vec<u8>,
}

impl heaplaw_reference::heap::Mutator for Participant {
    fn perform(&mut self, action: &Action, stamp: Stamp, events: &mut Vec<event::Event>) -> Reply {
        let heap = self.mutator.heap();
        if heap.state().listener.paced {
            heap.state().catch_up();
        }
        let Participant { mutator, roots, data } = self;
        let reply = act(mutator, roots, data, action, stamp).unwrap_or_else(refused);
        let allocated = if let Reply::Born { usable, .. } = reply { usable * BYTE } else { 0 };
        pass(self.mutator.heap(), OPERATION + allocated);
        report(self.mutator.heap(), events);
        reply
    }
}

/// Has a mutator with these roots do something. `data` is what is read or written, kept to save allocations.
///
/// # Errors
/// What the heap refuses; [`refused`] says it in the kit's words.
pub fn act<L: Keeps>(
    mutator: &mut Mutator<L>,
    roots: &[Root],
    data: &mut Vec<u8>,
    action: &Action,
    stamp: Stamp,
) -> Result<Reply, Error> {
    let root = |root: op::Root| &roots[usize::from(root.0)];
    let place = |place: op::Place| match place {
        op::Place::Field { of, index } => Place::Field(root(of), index as usize),
        op::Place::Global(number) => Place::Global(usize::from(number)),
    };
    match *action {
        Action::Alloc { into, shape } => {
            let object = mutator.alloc(root(into), shape.pointers as usize, shape.bytes as usize)?;
            let found = mutator.image(root(into), Content::of)?;
            journal(mutator).open().born(&object, shape.bytes);
            data.resize(shape.bytes as usize, 0);
            stamp.fill(data);
            mutator.write(root(into), 0, data)?;
            let born = if object.marked { BornAs::Black } else { BornAs::White };
            let color = (mutator.heap().phase() == Phase::Mark).then_some(born);
            return Ok(Reply::Born { at: shown(object.address), usable: object.usable as u64, found, color });
        }
        Action::Load { into, from } => {
            let value = mutator.load(root(into), place(from))?;
            return Ok(value.map_or(Reply::Nil, |at| Reply::Object(shown(at))));
        }
        Action::Store { into, value } => mutator.store(place(into), value.map(root))?,
        Action::Move { into, from, start } => {
            let target = (root(into.of), into.at as usize);
            mutator.copy_fields(target, (root(from), start as usize), into.count as usize)?;
        }
        Action::Wipe(run) => mutator.clear_fields(root(run.of), run.at as usize, run.count as usize)?,
        Action::Copy { into, from } => mutator.copy(root(into), root(from))?,
        Action::Clear(at) => mutator.clear(root(at))?,
        Action::Write(at) => {
            data.resize(bytes(mutator, root(at))? as usize, 0);
            stamp.fill(data);
            mutator.write(root(at), 0, data)?;
        }
        Action::Read(at) => {
            data.resize(bytes(mutator, root(at))? as usize, 0);
            mutator.read(root(at), 0, data)?;
            return Ok(Reply::Data(Content::of(data)));
        }
        Action::Weak { into, to } => {
            let weak = mutator.weak(root(to))?;
            let identity = weak.number();
            journal(mutator).open().weak[usize::from(into.0)] = Some(weak);
            return Ok(Reply::Weak(identity));
        }
        Action::Strong { into, from } => {
            let weak = journal(mutator).open().weak[usize::from(from.0)].clone();
            let found = match weak {
                Some(weak) => mutator.upgrade(root(into), &weak)?,
                None => mutator.clear(root(into)).map(|()| None)?,
            };
            return Ok(found.map_or(Reply::Nil, |at| Reply::Object(shown(at))));
        }
        Action::Finalizer(of) => _ = mutator.set_finalizer(root(of), 0)?,
        Action::Cleanup { of, with } => _ = mutator.add_cleanup(root(of), Some(root(with)), 0)?,
        Action::Finalize(into) => {
            mutator.finalized(root(into))?;
            return held(mutator, root(into));
        }
        Action::Clean(into) => {
            mutator.cleaned(root(into))?;
            return held(mutator, root(into));
        }
        Action::Safepoint | Action::Park | Action::Unpark => {}
        _ => return Ok(Reply::Unsupported),
    }
    Ok(Reply::Done)
}

fn journal<L: Keeps>(mutator: &Mutator<L>) -> &Journal {
    mutator.heap().state().listener.journal()
}

/// The object that a root holds, as a reply.
fn held<L: Keeps>(mutator: &Mutator<L>, root: &Root) -> Result<Reply, Error> {
    Ok(mutator.inspect(root)?.map_or(Reply::Nil, |object| Reply::Object(shown(object.address))))
}

/// How many data bytes an object was asked to have.
fn bytes<L: Keeps>(mutator: &Mutator<L>, root: &Root) -> Result<u32, Error> {
    let object = mutator.inspect(root)?.ok_or(Error::Nil)?;
    journal(mutator).open().sizes.get(&object.address).map(|size| size.0).ok_or(Error::Dangling)
}

/// The pacer beside the reference's: the only test that needs both.
#[cfg(all(test, not(any(heaplaw_loom, heaplaw_shuttle))))]
mod tests {
    use crate::gc::pacer::{Memory, Progress, Terms, Work, cons_mark, sweep_price};
    use heaplaw_reference::pacer as other;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        /// Of any size up to a TiB, and often 0.
        fn bytes(&mut self) -> u64 {
            let (bits, value) = (self.next() % 41, self.next());
            value & ((1 << bits) - 1)
        }

        fn maybe<T>(&mut self, value: T) -> Option<T> {
            (self.next().is_multiple_of(2)).then_some(value)
        }
    }

    #[test]
    fn the_references_pacer_gives_the_same() {
        let mut random = Random(11);
        let (mut limited, mut moved, mut late) = (0, 0, 0);
        for _ in 0..200_000 {
            let scanned = Work { heap: random.bytes(), stacks: random.bytes(), globals: random.bytes() };
            let theirs = other::Work { heap: scanned.heap, stacks: scanned.stacks, globals: scanned.globals };
            let (free, used) = (random.bytes(), random.bytes());
            let memory = Memory { mapped: free + used + random.bytes(), free, used };
            let percent = random.next() as u32 % 500;
            let some = [random.bytes(), random.bytes(), random.bytes()];
            let terms = Terms {
                gogc: random.maybe(percent),
                limit: random.maybe(some[0]),
                memory,
                marked: random.bytes(),
                scanned,
                sweeping_from: random.maybe(some[1]),
                triggered: random.maybe(some[2]),
                cons_mark: random.bytes() as f64 / 1e9,
            };
            let gogc = terms.gogc.map_or(other::Gogc::Off, other::Gogc::Percent);
            let seen = other::Memory { mapped: memory.mapped, heap_free: free, heap_allocated: used };
            let pace = other::Pace {
                limit_goal: terms.limit.map(|limit| other::limit_goal(limit, seen, terms.marked)),
                sweeping_from: terms.sweeping_from,
                triggered: terms.triggered,
                cons_mark: terms.cons_mark,
                ..other::Pace::after(other::LastCycle { marked: terms.marked, scanned: theirs }, gogc)
            };
            assert_eq!((terms.goal(), terms.trigger()), (pace.goal(), pace.trigger()), "{terms:?}");
            assert_eq!((terms.runway(), terms.is_limited()), (pace.runway(), pace.is_limited()), "{terms:?}");
            limited += u64::from(terms.is_limited());

            let most = Work { heap: scanned.heap + random.bytes(), ..scanned };
            let progress = Progress {
                live: random.bytes(),
                done: random.bytes(),
                expected: scanned.total(),
                most: most.total(),
                goal: random.bytes() + 1,
                triggered: random.bytes(),
            };
            let reference = other::Progress {
                live: progress.live,
                done: progress.done,
                expected: theirs,
                most: other::Work { heap: most.heap, ..theirs },
                goal: progress.goal,
                triggered: progress.triggered,
            };
            let (price, ratio) = (progress.price(terms.gogc), reference.ratio(gogc));
            assert_eq!((price.work_per_byte, price.bytes_per_work), (ratio.work_per_byte, ratio.bytes_per_work));
            assert_eq!(price.goal, ratio.goal, "{progress:?}");
            moved += u64::from(progress.done > progress.expected);
            late += u64::from(progress.live > price.goal);

            // Money: a mutator in debt, a pool, and a collector that finds less to do than there should be.
            let (balance, credit) = ((random.bytes() >> 8) as i64 - (1 << 20), random.bytes() as i64);
            let (mut pool, mut others) = (credit, other::Pool { credit, ..other::Pool::default() });
            let bill = price.bill(balance, &mut pool);
            let done = bill.work - bill.work.min((random.bytes() as i64) >> 10);
            let mut account = other::Account { balance };
            let paid = account.assist(ratio, &mut others, |_| done);
            let earned = if bill.work > 0 { price.worth(done).max(1) } else { 0 };
            assert_eq!((bill.stolen, bill.balance.saturating_add(earned)), (paid.stolen, account.balance));
            assert_eq!(pool, others.credit);

            let (pages, live, trigger) = (random.bytes(), random.bytes(), random.bytes());
            assert_eq!(sweep_price(pages, trigger, live), other::sweep_ratio(pages, 0, trigger, live));
            let shares = other::Shares { assists: 0.5, idle: 0.125 };
            assert_eq!(cons_mark(pages, trigger, 0.5, 0.125), other::cons_mark(live, live + pages, trigger, shares));
        }
        assert!(limited > 1000 && moved > 1000 && late > 1000, "{limited} {moved} {late}");
    }
}
