//! One run: a program is done to a heap, by threads, and whether the heap was right is watched from three sides.
//!
//! * **Who uses it.** Every object has a stamp in its data, given once. Who gets hold of an object reads it, and reads those
//!   of its roots again and again: they have to be what they were.
//! * **Who sees all.** When marking is over, everything that can be reached is marked. When something is freed, nothing
//!   that can be reached leads to it. Both are looked at in the very moment, without a switch.
//! * **Afterwards.** When all threads are done, the heap verifies itself; one more cycle leaves exactly what can be reached
//!   from the globals.
//!
//! A run that does not come to its end is found by whoever schedules it.

use super::program::{FIELDS, GLOBALS, MANY, Op, Program, ROOTS};
use crate::{
    error::Error,
    events::{Event, Listener},
    gc::phase::Phase,
    geometry::PAGE,
    heap::{Config, Heap},
    local::Local,
    mutator::{Mutator, Place},
    os::Faults,
    raw::Raw,
    root::{Address, MutatorId, Root},
    state::State,
    sync::{Ordering, quietly, thread},
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

/// What is told when the lanes begin.
pub(super) const SET_UP: &str = "set up";
/// The pages of a heap.
const PAGES: usize = 512;

/// What is known of a run while it goes on. Shuttle runs all threads of a program on one, so this is all theirs.
#[derive(Default)]
struct Watched {
    /// What went wrong first.
    wrong: Option<String>,
    state: Option<Arc<State<Watch>>>,
    locals: Vec<Arc<Local>>,
    /// How many stamps were given.
    stamps: u64,
    /// The calls to the kernel that have failed, of all runs.
    refused: usize,
    /// How many stamps were given when this cycle began; what it has shaded, and scanned.
    old: u64,
    shaded: BTreeSet<usize>,
    scanned: BTreeSet<usize>,
    /// What was done, in this order; kept only if somebody wants to be told.
    told: Option<Vec<Told>>,
}

/// Something that was done.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// By whom: by the collector, 0, or by a lane, counted from 1.
    pub(super) column: usize,
    pub(super) what: String,
    /// While objects are being marked, their stamps and colours then.
    pub(super) colours: String,
}

thread_local! {
    static WATCHED: RefCell<Watched> = RefCell::default();
}

/// Says what went wrong, if nothing did before.
fn complain(what: impl FnOnce() -> String) {
    WATCHED.with_borrow_mut(|watched| {
        if watched.wrong.is_none() {
            watched.wrong = Some(what());
        }
    });
}

/// What went wrong.
pub(super) fn wrong() -> Option<String> {
    WATCHED.with_borrow(|watched| watched.wrong.clone())
}

/// Leaves what a run has left, for good: nothing of it may be used, or dropped, outside of a run.
pub(super) fn abandon() {
    WATCHED.with_borrow_mut(|watched| std::mem::forget(std::mem::take(watched)));
}

/// The calls to the kernel that have failed on purpose.
pub(super) fn refused() -> usize {
    WATCHED.with_borrow(|watched| watched.refused)
}

/// Whether to keep what is done.
pub(super) fn listen(told: bool) {
    WATCHED.with_borrow_mut(|watched| watched.told = told.then(Vec::new));
}

/// What was done.
pub(super) fn told() -> Vec<Told> {
    WATCHED.with_borrow_mut(|watched| watched.told.take().unwrap_or_default())
}

fn tell(column: usize, what: impl FnOnce() -> String) {
    if WATCHED.with_borrow(|watched| watched.told.is_none()) {
        return;
    }
    let colours = WATCHED.with_borrow(|watched| quietly(|| watched.colours()));
    WATCHED.with_borrow_mut(|watched| {
        if let Some(told) = &mut watched.told {
            told.push(Told { column, what: what(), colours });
        }
    });
}

/// White, grey and black.
pub(super) const COLOURS: [char; 3] = ['○', '◐', '●'];

impl Watched {
    /// The stamps of all objects, each with its colour, while objects are being marked.
    fn colours(&self) -> String {
        let state = match &self.state {
            Some(state) if state.stage.phase().is_marking() => state,
            _ => return String::new(),
        };
        let mut all = Vec::new();
        for span in state.space.spans_from(0) {
            for number in span.objects() {
                let at = span.address(number).addr().get();
                let pointers = span.pointers(number);
                let stamp = state.space.fields(at, pointers..pointers + 1)[0].load(Ordering::Relaxed);
                let shaded = stamp as u64 >> 8 <= self.old || self.shaded.contains(&at);
                let grey = shaded && !self.scanned.contains(&at);
                // What has no stamp yet is in nobody's hands.
                if stamp != 0 {
                    let colour = COLOURS[if !span.is_marked(number) {
                        0
                    } else if grey {
                        1
                    } else {
                        2
                    }];
                    all.push((stamp >> 8, colour));
                }
            }
        }
        all.sort_unstable();
        all.iter().map(|(stamp, colour)| format!("{stamp}{colour}")).collect::<Vec<_>>().join(" ")
    }

    fn learn(&mut self, event: Event) {
        match event {
            Event::Phase(Phase::Arm) => {
                self.old = self.stamps;
                (self.shaded, self.scanned) = (BTreeSet::new(), BTreeSet::new());
            }
            Event::Shade(at) => _ = self.shaded.insert(at.get()),
            Event::Scan(at) => _ = self.scanned.insert(at.get()),
            _ => {}
        }
    }
}

/// The one who sees all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch;

impl Listener for Watch {
    fn on(&self, event: Event) {
        WATCHED.with_borrow_mut(|watched| watched.learn(event));
        tell(0, || match event {
            Event::Phase(phase) => format!("phase {phase:?}"),
            Event::Start(cause) => format!("start {cause:?}"),
            Event::ScanStack(MutatorId(id)) => format!("scan stack {id}"),
            Event::ScanGlobals => "scan globals".to_owned(),
            Event::Finalize(_) => "finalize".to_owned(),
            Event::Shade(_) => "shade".to_owned(),
            Event::Scan(_) => "scan".to_owned(),
            Event::Free(_) => "free".to_owned(),
            Event::Asked(MutatorId(id)) => format!("{id} is asked"),
            Event::Pause { mutator: MutatorId(id), units, .. } => format!("pause of {id}: {units}"),
            Event::Reclaim { mutator: MutatorId(id), spans } => format!("{id} sweeps {spans}"),
        });
        match event {
            Event::Phase(Phase::Terminate) => look(true),
            Event::Free(_) => look(false),
            _ => {}
        }
    }
}

/// Follows all pointers, and complains of those that lead nowhere, or to something white if all should be `marked`.
fn look(marked: bool) {
    let found = WATCHED.with_borrow(|watched| {
        let state = watched.state.as_ref()?;
        quietly(|| {
            let roots = watched.locals.iter().flat_map(|local| local.stack.values().collect::<Vec<_>>());
            reach(state, roots, marked).err()
        })
    });
    if let Some(found) = found {
        complain(|| found);
    }
}

/// How many objects there are that lead from these roots and the globals.
fn reach(state: &State<Watch>, roots: impl Iterator<Item = usize>, marked: bool) -> Result<usize, String> {
    let globals = state.globals.iter().map(|global| global.load(Ordering::Relaxed));
    let mut waiting: Vec<usize> = roots.chain(globals).collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = waiting.pop() {
        let Some(address) = Address::new(at).filter(|_| seen.insert(at)) else { continue };
        let Some(object) = state.describe(address) else {
            return Err("something is freed that can be reached".to_owned());
        };
        if marked && !object.marked {
            return Err("marking ends, and something white can be reached".to_owned());
        }
        waiting.extend(state.space.fields(at, 0..object.pointers).iter().map(|field| field.load(Ordering::Relaxed)));
    }
    seen.remove(&0);
    Ok(seen.len())
}

/// Does a program to a new heap. Only within one of shuttle's runs.
pub(super) fn run(program: &Arc<Program>) {
    WATCHED.with_borrow_mut(|watched| {
        let told = watched.told.as_ref().map(|_| Vec::new());
        *watched = Watched { told, refused: watched.refused, ..Watched::default() };
    });
    let config = Config {
        reservation: PAGES * PAGE,
        limit: if program.limit == 0 { usize::MAX } else { program.limit },
        globals: GLOBALS,
        workers: program.workers,
        stop_the_world: program.stops,
        faults: Faults { after: program.faults.0, count: program.faults.1 },
        ..Config::DEFAULT
    };
    // A heap that is refused is no heap; whether that is in order is asked elsewhere.
    let Ok(heap) = Heap::with_listener(config, Watch) else { return };
    WATCHED.with_borrow_mut(|watched| watched.state = Some(heap.shared()));
    quietly(|| Lane::new(0, &heap).perform(&program.setup));
    tell(0, || SET_UP.to_owned());
    let lanes: Vec<_> = (1..=program.lanes.len())
        .map(|number| {
            let (program, heap) = (Arc::clone(program), heap.clone());
            thread::spawn(move || {
                let mut lane = Lane::new(number, &heap);
                drop(heap);
                lane.perform(&program.lanes[number - 1]);
                lane
            })
        })
        .collect();
    // Until all are done, each has its roots: what others have lost of them shows.
    let lanes: Vec<Lane> =
        lanes.into_iter().map(|lane| lane.join().expect("a lane says in words why it panics")).collect();
    for mut lane in lanes {
        lane.perform(&[]);
    }
    if wrong().is_none() {
        quietly(|| afterwards(&heap));
    }
    let refused = quietly(|| heap.state().space.memory().arenas().refused());
    WATCHED.with_borrow_mut(|watched| {
        watched.refused += refused;
        (watched.state, watched.locals) = (None, Vec::new());
    });
}

fn afterwards(heap: &Heap<Watch>) {
    for when in ["when all are done", "after one more cycle"] {
        if let Err(corruption) = heap.verify() {
            return complain(|| format!("{when}, {corruption}"));
        }
        heap.collect();
    }
    let reached = reach(heap.state(), std::iter::empty(), false);
    match (reached, heap.stats().objects) {
        (Err(what), _) => complain(|| what),
        (Ok(reached), there) if reached != there => {
            complain(|| format!("{there} objects are left, of which {reached} can be reached"));
        }
        _ => {}
    }
}

/// Halts everybody, and looks twice.
fn halt(heap: &Heap<Watch>) -> Result<(), String> {
    let state = heap.state();
    state.halted(&mut state.driver(), |driver| {
        let before = heap.stats();
        quietly(|| state.verify(driver)).map_err(|corruption| format!("while all are halted, {corruption}"))?;
        let after = heap.stats();
        if before == after { Ok(()) } else { Err(format!("while all are halted, {before:?} becomes {after:?}")) }
    })
}

/// A thread, and its mutator.
struct Lane {
    number: usize,
    heap: Heap<Watch>,
    hands: Hands,
    mutator: Mutator<Watch>,
}

/// What a lane has, its mutator aside: that is borrowed while it runs.
struct Hands {
    number: usize,
    roots: Vec<Root>,
    /// The stamps of what the roots hold.
    held: [Option<u64>; ROOTS],
    /// A mutator that waits for what it is sent, its root, and the stamp of what it got.
    other: Option<(Mutator<Watch>, Root, Option<u64>)>,
}

fn join(heap: &Heap<Watch>) -> Mutator<Watch> {
    let mutator = heap.join();
    WATCHED.with_borrow_mut(|watched| watched.locals.push(mutator.shared()));
    mutator
}

impl Lane {
    fn new(number: usize, heap: &Heap<Watch>) -> Lane {
        let hands = Hands { number, roots: Vec::new(), held: [None; ROOTS], other: None };
        Lane { number, heap: heap.clone(), hands, mutator: join(heap) }
    }

    /// Does operations, as far as nothing is wrong.
    fn perform(&mut self, ops: &[Op]) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut rest = ops;
            while let [op, more @ ..] = rest {
                rest = more;
                if wrong().is_some() {
                    return Ok(());
                }
                match op {
                    Op::In => {
                        let end = more.iter().position(|op| *op == Op::Out).unwrap_or(more.len());
                        let hands = &mut self.hands;
                        tell(self.number, || "in".to_owned());
                        self.mutator.run(|mutator| more[..end].iter().try_for_each(|op| hands.step(mutator, *op)))?;
                        tell(self.number, || "out".to_owned());
                        rest = more.get(end + 1..).unwrap_or_default();
                    }
                    Op::Rejoin => {
                        tell(self.number, || "leave".to_owned());
                        let number = self.hands.number;
                        self.hands = Hands { number, roots: Vec::new(), held: [None; ROOTS], other: None };
                        self.mutator = join(&self.heap);
                        tell(self.number, || "join".to_owned());
                    }
                    op => self.hands.step(&mut self.mutator, *op)?,
                }
            }
            self.hands.look(&self.mutator)
        }));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(what)) => complain(|| format!("lane {}: {what}", self.number)),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
                complain(|| format!("lane {} panics: {}", self.number, said.unwrap_or_default()));
            }
        }
    }
}

/// The times that a global is looked at: long enough for another mutator to hear of the end of marking, and to allocate.
const PEEKS: usize = 8;

/// Looks at a global, again and again. What it holds has to be found by a weak pointer; a finalizer it has for a moment.
fn peek(raw: &mut Raw<'_, Watch>, global: usize) -> Result<Result<(), String>, Error> {
    for _ in 0..PEEKS {
        let at = raw.global(global);
        if at != 0 {
            if raw.upgrade(&raw.weak(at)?)? != at {
                return Ok(Err("a weak pointer does not find what a global has led to".to_owned()));
            }
            raw.set_finalizer(at, 1)?;
            raw.clear_finalizer(at)?;
        }
    }
    Ok(Ok(()))
}

/// How objects are stamped: which one it is, and how many pointer fields it has.
fn fields(stamp: u64) -> usize {
    (stamp & 0xFF) as usize
}

impl Hands {
    fn root(&mut self, mutator: &mut Mutator<Watch>, number: usize) -> usize {
        while self.roots.len() <= number {
            self.roots.push(mutator.root());
        }
        number
    }

    fn read(mutator: &Mutator<Watch>, root: &Root) -> Result<u64, String> {
        let mut stamp = [0; 8];
        mutator.read(root, 0, &mut stamp).map_err(|error| format!("an object cannot be read: {error}"))?;
        let stamp = u64::from_ne_bytes(stamp);
        let given = WATCHED.with_borrow(|watched| watched.stamps);
        if stamp >> 8 == 0 || stamp >> 8 > given {
            Err(format!("an object has the stamp {stamp:#x}"))
        } else {
            Ok(stamp)
        }
    }

    /// Whether the roots hold what they held.
    fn look(&self, mutator: &Mutator<Watch>) -> Result<(), String> {
        for (root, held) in self.roots.iter().zip(self.held) {
            if let Some(held) = held {
                let stamp = Hands::read(mutator, root)?;
                if stamp != held {
                    return Err(format!("a root holds {stamp:#x} and held {held:#x}"));
                }
            }
        }
        Ok(())
    }

    /// A root holds something new, or nil.
    fn got(&mut self, mutator: &Mutator<Watch>, root: usize, something: bool) -> Result<(), String> {
        self.held[root] = if something { Some(Hands::read(mutator, &self.roots[root])?) } else { None };
        Ok(())
    }

    fn alloc(&mut self, mutator: &mut Mutator<Watch>, root: usize, pointers: usize) -> Result<(), String> {
        let root = self.root(mutator, root);
        match mutator.alloc(&self.roots[root], pointers, 8) {
            Ok(_) => {}
            // Only where there is a limit or a fault; a heap without has room for all of these programs.
            Err(Error::OutOfMemory { .. } | Error::Os { .. }) => return Ok(()),
            Err(error) => return Err(format!("an allocation fails: {error}")),
        }
        let stamp = WATCHED.with_borrow_mut(|watched| {
            watched.stamps += 1;
            watched.stamps << 8 | pointers as u64
        });
        self.held[root] = Some(stamp);
        let written = mutator.write(&self.roots[root], 0, &stamp.to_ne_bytes());
        written.map_err(|error| format!("a new object cannot be written: {error}"))
    }

    /// The field of the object that a root holds, if there is one.
    fn field(&self, root: usize, index: usize) -> Option<usize> {
        let fields = fields((*self.held.get(root)?)?);
        (fields > 0).then(|| match index {
            // The last fields of a large object lie in another piece than the first.
            1 => fields - 1,
            index => index % fields,
        })
    }

    fn step(&mut self, mutator: &mut Mutator<Watch>, op: Op) -> Result<(), String> {
        let failed = |error: Error| format!("`{op}` fails: {error}");
        tell(self.number, || op.to_string());
        match op {
            Op::Alloc(root) => self.alloc(mutator, root, FIELDS)?,
            Op::Leaf(root) => self.alloc(mutator, root, 0)?,
            Op::Large(root) => self.alloc(mutator, root, MANY)?,
            Op::Store(of, index, value) => {
                if let Some(index) = self.field(of, index) {
                    let value = self.root(mutator, value);
                    let place = Place::Field(&self.roots[of], index);
                    mutator.store(place, Some(&self.roots[value])).map_err(failed)?;
                }
            }
            Op::Wipe(of, index) => {
                if let Some(index) = self.field(of, index) {
                    mutator.store(Place::Field(&self.roots[of], index), None).map_err(failed)?;
                }
            }
            Op::Load(into, of, index) => {
                if let Some(index) = self.field(of, index) {
                    let into = self.root(mutator, into);
                    let place = Place::Field(&self.roots[of], index);
                    let got = mutator.load(&self.roots[into], place).map_err(failed)?;
                    self.got(mutator, into, got.is_some())?;
                }
            }
            Op::Put(global, value) => {
                let value = self.root(mutator, value);
                mutator.store(Place::Global(global), Some(&self.roots[value])).map_err(failed)?;
            }
            Op::Unset(global) => mutator.store(Place::Global(global), None).map_err(failed)?,
            Op::Take(into, global) => {
                let into = self.root(mutator, into);
                let got = mutator.load(&self.roots[into], Place::Global(global)).map_err(failed)?;
                self.got(mutator, into, got.is_some())?;
            }
            Op::Clear(root) => {
                let root = self.root(mutator, root);
                mutator.clear(&self.roots[root]).map_err(failed)?;
                self.held[root] = None;
            }
            Op::Copy(into, from) => {
                let (into, from) = (self.root(mutator, into), self.root(mutator, from));
                mutator.copy(&self.roots[into], &self.roots[from]).map_err(failed)?;
                self.held[into] = self.held[from];
                self.look(mutator)?;
            }
            Op::Peek(global) => mutator.raw(|raw| peek(raw, global)).map_err(failed)??,
            // Without its other half, neither means anything here.
            Op::In | Op::Out | Op::Rejoin => {}
            Op::Safepoint => mutator.safepoint(),
            Op::Panic(root) => {
                let panic = catch_unwind(AssertUnwindSafe(|| {
                    mutator.run(|mutator| {
                        // Silent: it is no mistake.
                        let done = self.alloc(mutator, root, FIELDS);
                        resume_unwind(Box::new(done))
                    })
                }));
                let Err(panic): Result<Infallible, _> = panic;
                match panic.downcast::<Result<(), String>>() {
                    Ok(done) => (*done)?,
                    Err(other) => resume_unwind(other),
                }
            }
            Op::Send(root) => {
                let root = self.root(mutator, root);
                let (to, into, held) = self.other.get_or_insert_with(|| {
                    let mut other = join(mutator.heap());
                    let root = other.root();
                    (other, root, None)
                });
                mutator.send(&self.roots[root], to, into).map_err(failed)?;
                *held = self.held[root].take();
                mutator.clear(&self.roots[root]).map_err(failed)?;
            }
            Op::Receive(root) => {
                let root = self.root(mutator, root);
                if let Some((from, of, held)) = &mut self.other {
                    from.send(of, mutator, &self.roots[root]).map_err(failed)?;
                    self.held[root] = held.take();
                    from.clear(of).map_err(failed)?;
                }
                self.look(mutator)?;
            }
            Op::Collect => mutator.collect(),
            Op::Halt => {
                let heap = mutator.heap().clone();
                mutator.park(|| halt(&heap))?;
            }
            step => {
                let heap = mutator.heap().clone();
                mutator.park(|| match step {
                    Op::Start => _ = heap.start(),
                    Op::Handshake(id) => _ = heap.handshake(MutatorId(id)),
                    Op::Mark(count) => _ = heap.mark(count),
                    Op::Finish => _ = heap.finish(),
                    Op::Sweep(count) => _ = heap.sweep(count),
                    _ => unreachable!("all others are a mutator's"),
                });
            }
        }
        Ok(())
    }
}
