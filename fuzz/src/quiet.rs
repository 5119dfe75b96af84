//! The heap as programs embed it: nobody listens to its objects, so it takes its fast ways, and mutators run, use frames,
//! take back what they attach, and now and then ask for what has to be refused. They may have [company](super::company).
//!
//! The kit's own [adapter](heaplaw_optimized::adapter) listens to every object that is shaded or scanned. A heap that is
//! heard that closely shades one object at a time; one that is not gathers what it shades, and marks in batches. Laws of
//! single steps have nothing to judge here: what counts is that mutators get the reference's answers, and that the heap
//! believes no falsehood.

use super::company::{Company, Turns, Weaks};
use heaplaw_optimized::{Config, Error, Heap, Mutator, MutatorId, Place, Root};
use heaplaw_reference::{
    event::Event,
    heap::{Capability, Claims, InTurn, Reply, SharedHeap},
    object::{Address, Content, Stamp},
    op::{self, Action, Collect, Environment, GLOBALS, Gogc, MUTATORS, ROOTS},
};
use std::{
    array,
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A heap to whose objects nobody listens.
pub struct Quiet {
    heap: Heap<Turns>,
    company: Option<(Arc<Company>, MutatorId)>,
    known: Arc<Mutex<Known>>,
    weaks: Weaks,
}

/// What has to be remembered for the kit.
#[derive(Default)]
struct Known {
    mutators: [Option<MutatorId>; MUTATORS as usize],
    /// The data bytes that were asked for at each address.
    asked: HashMap<heaplaw_optimized::Address, u32>,
    /// Whether there may be [numbers](NUMBERS).
    numbers: bool,
}

impl Quiet {
    /// A fresh one; the number of globals is the kit's, and two in which a runtime keeps numbers. With company, if `seed`
    /// is not 0.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn of(config: Config, seed: u8) -> Result<InTurn<Quiet>, Error> {
        let (turns, weaks) = (Turns::of(&config), Weaks::default());
        let heap = Heap::with_listener(Config { globals: NUMBERS.end, ..config }, turns.clone())?;
        let company = (seed > 0).then(|| {
            let (company, id) = Company::joins(&heap, &turns, Arc::clone(&weaks), seed);
            (Arc::new(company), id)
        });
        let known = Arc::new(Mutex::new(Known { numbers: !config.tiny, ..Known::default() }));
        Ok(InTurn::new(Quiet { heap, company, known, weaks }))
    }

    /// What the heap finds wrong with itself, if anything.
    pub fn corruption(&self) -> Option<String> {
        self.heap.verify().err().map(|corruption| format!("{corruption:?}"))
    }

    /// Does something while the company runs, if there is any.
    fn beside<R>(&self, body: impl FnOnce() -> R) -> R {
        match &self.company {
            Some((company, _)) => company.beside(body),
            None => body(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        open(&self.known)
    }
}

/// The globals in which there are numbers, if the heap [can tell](heaplaw_optimized::Raw) them from addresses.
const NUMBERS: Range<usize> = GLOBALS as usize..GLOBALS as usize + 2;

/// Keeps two numbers in globals: one that is no address at all, and one within an object.
fn number(mutator: &mut Mutator<Turns>, object: usize) {
    mutator.raw(|raw| {
        raw.set_global(NUMBERS.start, 1);
        raw.set_global(NUMBERS.start + 1, object | 1);
    });
}

fn open<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shown(at: heaplaw_optimized::Address) -> Address {
    Address(at.get() as u64)
}

fn refused(error: Error) -> Reply {
    match error {
        Error::OutOfMemory { .. } | Error::Os { .. } => Reply::OutOfMemory,
        error => Reply::Trap(error.to_string()),
    }
}

impl SharedHeap for Quiet {
    type Mutator = Seat;

    fn claims(&self) -> Claims {
        Claims::new("quiet").with(&[
            Capability::Collect,
            Capability::Steps,
            Capability::Mutators,
            Capability::Addresses,
            Capability::Stats,
            Capability::Weak,
            Capability::Finalizers,
            Capability::Cleanups,
            Capability::Pacing,
            Capability::Clock,
        ])
    }

    fn join(&self, id: op::MutatorId, _: &mut Vec<Event>) -> Seat {
        let mut mutator = self.heap.join();
        self.known().mutators[usize::from(id.0)] = Some(mutator.id());
        let roots = array::from_fn(|_| mutator.root());
        let company = self.company.as_ref().map(|(company, _)| Arc::clone(company));
        let (known, weaks) = (Arc::clone(&self.known), Arc::clone(&self.weaks));
        Seat { mutator, roots, runs: false, company, known, weaks }
    }

    fn leave(&self, seat: Seat, _: &mut Vec<Event>) {
        self.beside(|| drop(seat.mutator));
    }

    fn send(
        &self,
        (from, value): (&mut Seat, op::Root),
        (to, into): (&mut Seat, op::Root),
        _: &mut Vec<Event>,
    ) -> Reply {
        let (value, into) = (&from.roots[usize::from(value.0)], &to.roots[usize::from(into.0)]);
        self.beside(|| from.mutator.send(value, &mut to.mutator, into)).map_or_else(refused, |()| Reply::Done)
    }

    fn collect(&self, step: &Collect, _: &mut Vec<Event>) -> Reply {
        self.beside(|| self.step(step))
    }

    fn environment(&self, change: &Environment, _: &mut Vec<Event>) -> Reply {
        self.beside(|| {
            match *change {
                Environment::Gogc(Gogc::Off) => self.heap.set_gogc(None),
                Environment::Gogc(Gogc::Percent(percent)) => self.heap.set_gogc(Some(percent)),
                Environment::Limit(limit) => self.heap.set_soft_limit(limit.map(|limit| limit as usize)),
                Environment::Clock(_) => _ = self.heap.tick(),
                _ => return Reply::Unsupported,
            }
            Reply::Done
        })
    }
}

impl Quiet {
    /// Takes a step of the collector, or asks what there is to tell.
    fn step(&self, step: &Collect) -> Reply {
        let taken = match *step {
            Collect::Full => {
                self.heap.collect();
                true
            }
            Collect::Start => self.heap.start(),
            Collect::Mark(steps) => self.heap.mark(steps as usize) > 0,
            Collect::Handshake(mutator) => {
                // The program does not know of the company, and cannot ask for its stack.
                let company = self.company.as_ref().is_some_and(|(_, company)| self.heap.handshake(*company));
                let known = self.known().mutators[usize::from(mutator.0)];
                known.is_some_and(|mutator| self.heap.handshake(mutator)) || company
            }
            Collect::Finish => self.heap.finish(),
            Collect::Sweep(steps) => self.heap.sweep(steps as usize) > 0,
            Collect::Stats => {
                let stats = self.heap.stats();
                return Reply::Stats { objects: stats.objects as u64, bytes: stats.bytes as u64 };
            }
            Collect::Pace => {
                // Whatever is told can be shown.
                let told =
                    format!("{} {:?}", self.heap.metrics(), self.heap.last_cycle().map(|cycle| cycle.to_string()));
                assert!(told.contains("heaplaw_goal"), "{told}");
                _ = self.heap.classes();
                // Who joins while all stand still begins to run later.
                let mut late = self.heap.halted(|| self.heap.join());
                _ = late.root();
                assert_eq!(self.heap.stalled(Duration::from_secs(60)), None, "nobody is waited for");
                return Reply::Unsupported;
            }
            _ => return Reply::Unsupported,
        };
        if taken { Reply::Done } else { Reply::Idle }
    }
}

/// A mutator with the kit's sixteen roots.
pub struct Seat {
    mutator: Mutator<Turns>,
    roots: [Root; ROOTS as usize],
    /// Every second operation is done while the mutator runs.
    runs: bool,
    company: Option<Arc<Company>>,
    known: Arc<Mutex<Known>>,
    weaks: Weaks,
}

impl heaplaw_reference::heap::Mutator for Seat {
    fn perform(&mut self, action: &Action, stamp: Stamp, _: &mut Vec<Event>) -> Reply {
        let Seat { mutator, roots, runs, company, known, weaks } = self;
        *runs = !*runs;
        let act = |mutator: &mut Mutator<Turns>| act(mutator, roots, (known, weaks), action, stamp);
        let mut perform = || if *runs { mutator.run(act) } else { act(mutator) };
        let reply = match company {
            Some(company) => company.beside(perform),
            None => perform(),
        };
        reply.unwrap_or_else(refused)
    }
}

fn act(
    mutator: &mut Mutator<Turns>,
    roots: &[Root],
    (known, weaks): (&Mutex<Known>, &Weaks),
    action: &Action,
    stamp: Stamp,
) -> Result<Reply, Error> {
    let root = |root: op::Root| &roots[usize::from(root.0)];
    let place = |place: op::Place| match place {
        op::Place::Field { of, index } => Place::Field(root(of), index as usize),
        op::Place::Global(number) => Place::Global(usize::from(number)),
    };
    let length = |mutator: &Mutator<Turns>, of: &Root| -> Result<usize, Error> {
        let object = mutator.inspect(of)?.ok_or(Error::Nil)?;
        Ok(open(known).asked.get(&object.address).map_or(object.usable, |asked| *asked as usize))
    };
    let held = |mutator: &Mutator<Turns>, of: &Root| -> Result<Reply, Error> {
        Ok(mutator.inspect(of)?.map_or(Reply::Nil, |object| Reply::Object(shown(object.address))))
    };
    match *action {
        Action::Alloc { into, shape } => {
            let into = root(into);
            let object = mutator.alloc(into, shape.pointers as usize, shape.bytes as usize)?;
            open(known).asked.insert(object.address, shape.bytes);
            if open(known).numbers {
                number(mutator, object.address.get());
            }
            let mut data = vec![0; shape.bytes as usize];
            mutator.read(into, 0, &mut data)?;
            let found = Content::of(&data);
            stamp.fill(&mut data);
            mutator.write(into, 0, &data)?;
            return Ok(Reply::Born { at: shown(object.address), usable: object.usable as u64, found, color: None });
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
        // By way of a frame, and of a root that ends.
        Action::Copy { into, from } => mutator.frame(|mutator| {
            let (first, second) = (mutator.root(), mutator.root());
            mutator.copy(&first, root(from))?;
            mutator.copy(&second, &first)?;
            mutator.release(first)?;
            mutator.copy(root(into), &second)
        })?,
        Action::Clear(at) => mutator.clear(root(at))?,
        Action::Write(at) => {
            let mut data = vec![0; length(mutator, root(at))?];
            stamp.fill(&mut data);
            mutator.write(root(at), 0, &data)?;
        }
        Action::Read(at) => {
            must_refuse(mutator, root(at))?;
            assert!(roots.iter().filter(|other| *other == root(at)).count() == 1, "roots are told apart");
            let mut data = vec![0; length(mutator, root(at))?];
            mutator.read(root(at), 0, &mut data)?;
            return Ok(Reply::Data(Content::of(&data)));
        }
        Action::Weak { into, to } => {
            let weak = mutator.weak(root(to))?;
            let identity = weak.number();
            open(weaks)[usize::from(into.0)] = Some(weak);
            return Ok(Reply::Weak(identity));
        }
        Action::Strong { into, from } => {
            let weak = open(weaks)[usize::from(from.0)].clone();
            match weak {
                Some(weak) => _ = mutator.upgrade(root(into), &weak)?,
                None => mutator.clear(root(into))?,
            }
            return held(mutator, root(into));
        }
        Action::Finalizer(of) => {
            // Taken off and attached again.
            mutator.set_finalizer(root(of), 1)?;
            assert_eq!(mutator.clear_finalizer(root(of)), Ok(Some(1)));
            mutator.set_finalizer(root(of), 0)?;
        }
        Action::Cleanup { of, with } => {
            // One is taken off, which makes no difference; the other stays.
            let stopped = mutator.add_cleanup(root(of), None, 1)?;
            mutator.add_cleanup(root(of), Some(root(with)), 0)?;
            assert!(mutator.stop_cleanup(&stopped) && !mutator.stop_cleanup(&stopped));
        }
        Action::Finalize(into) => {
            mutator.finalized(root(into))?;
            return held(mutator, root(into));
        }
        Action::Clean(into) => {
            mutator.cleaned(root(into))?;
            return held(mutator, root(into));
        }
        Action::Safepoint => mutator.run(|mutator| mutator.run(Mutator::safepoint)),
        Action::Park | Action::Unpark => mutator.park(|| ()),
        _ => return Ok(Reply::Unsupported),
    }
    Ok(Reply::Done)
}

/// Asks for what no object has, and with a root and a weak pointer of another heap.
fn must_refuse(mutator: &mut Mutator<Turns>, root: &Root) -> Result<(), Error> {
    let Some(object) = mutator.inspect(root)? else { return Ok(()) };
    let beyond = mutator.store(Place::Field(root, object.pointers), None);
    assert!(matches!(beyond, Err(Error::NoPlace { .. })), "field {} of {object:?}: {beyond:?}", object.pointers);
    let beyond = mutator.read(root, object.usable + 1, &mut [0]);
    assert!(matches!(beyond, Err(Error::NoData { .. })), "past the end of {object:?}: {beyond:?}");
    // More addresses than there are, than a window may have, and than a number can say.
    for reservation in [1 << 48, 1 << 49, usize::MAX] {
        let beyond = Heap::new(Config { reservation, ..Config::DEFAULT });
        assert!(matches!(beyond, Err(Error::Os { .. })), "{reservation} bytes");
    }
    let small = Config { reservation: 1 << 20, ..Config::DEFAULT };
    let Ok(other) = Heap::with_listener(small, Turns::default()) else { return Ok(()) };
    let mut stranger = other.join();
    let foreign = stranger.root();
    assert!(foreign != *root, "roots are told apart");
    assert_eq!(mutator.copy(root, &foreign), Err(Error::ForeignRoot));
    assert_eq!(mutator.send(root, &mut stranger, &foreign), Err(Error::ForeignRoot));
    let weak = mutator.weak(root)?;
    assert_eq!(stranger.upgrade(&foreign, &weak).map(|_| ()), Err(Error::ForeignRoot));
    assert_eq!(mutator.add_cleanup(root, Some(root), 0).map(|_| ()), Err(Error::OwnArgument));
    stranger.alloc(&foreign, 0, 8)?;
    assert_eq!(stranger.clear_finalizer(&foreign), Ok(None), "nothing is attached");
    let cleanup = stranger.add_cleanup(&foreign, None, 0)?;
    assert!(!mutator.stop_cleanup(&cleanup) && stranger.stop_cleanup(&cleanup), "a cleanup of another heap");
    Ok(())
}
