//! The heap as programs embed it: nobody listens to its objects, so it takes its fast ways, and mutators run, use frames,
//! take back what they attach, and now and then ask for what has to be refused. They may have [company](super::company).
//!
//! The kit's own [adapter] listens to every object that is shaded or scanned. A heap that is heard that closely shades one
//! object at a time; one that is not gathers what it shades, and marks in batches. Laws of single steps have nothing to
//! judge here: what counts is that mutators get the reference's answers, and that the heap believes no falsehood. What an
//! operation is to a heap, the adapter says here too.

use super::company::{Company, Turns};
use heaplaw_optimized::{
    Config, Error, Heap, Mutator, MutatorId, Place, Root,
    adapter::{self, Keeps, refused},
};
use heaplaw_reference::{
    event::Event,
    heap::{Capability, Claims, InTurn, Reply, SharedHeap},
    object::Stamp,
    op::{self, Action, Collect, Environment, GLOBALS, ROOTS},
};
use std::{array, ops::Range, sync::Arc, time::Duration};

/// A heap to whose objects nobody listens.
pub struct Quiet {
    heap: Heap<Turns>,
    turns: Turns,
    company: Option<(Arc<Company>, MutatorId)>,
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
        let turns = Turns::of(&config);
        let heap = Heap::with_listener(Config { globals: NUMBERS.end, ..config }, turns.clone())?;
        let company = (seed > 0).then(|| {
            let (company, id) = Company::joins(&heap, &turns, seed);
            (Arc::new(company), id)
        });
        Ok(InTurn::new(Quiet { heap, turns, company, numbers: !config.tiny }))
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
        self.turns.journal().joined(id, mutator.id());
        let roots = array::from_fn(|_| mutator.root());
        let company = self.company.as_ref().map(|(company, _)| Arc::clone(company));
        Seat { mutator, roots, data: Vec::new(), runs: false, company, numbers: self.numbers }
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
        self.beside(|| adapter::change(&self.heap, change))
    }
}

impl Quiet {
    /// Takes a step of the collector, or asks what there is to tell.
    fn step(&self, step: &Collect) -> Reply {
        match *step {
            Collect::Handshake(_) => {
                // The program does not know of the company, and cannot ask for its stack.
                let company = self.company.as_ref().is_some_and(|(_, company)| self.heap.handshake(*company));
                let reply = adapter::step(&self.heap, step);
                if company { Reply::Done } else { reply }
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
                Reply::Unsupported
            }
            _ => adapter::step(&self.heap, step),
        }
    }
}

/// A mutator with the kit's sixteen roots.
pub struct Seat {
    mutator: Mutator<Turns>,
    roots: [Root; ROOTS as usize],
    data: Vec<u8>,
    /// Every second operation is done while the mutator runs.
    runs: bool,
    company: Option<Arc<Company>>,
    numbers: bool,
}

impl heaplaw_reference::heap::Mutator for Seat {
    fn perform(&mut self, action: &Action, stamp: Stamp, _: &mut Vec<Event>) -> Reply {
        let Seat { mutator, roots, data, runs, company, numbers } = self;
        *runs = !*runs;
        let mut act = |mutator: &mut Mutator<Turns>| {
            if around(mutator, roots, action)? {
                return Ok(Reply::Done);
            }
            let reply = adapter::act(mutator, roots, data, action, stamp)?;
            if let (Reply::Born { at, .. }, true) = (&reply, *numbers) {
                number(mutator, at.0 as usize);
            }
            Ok(reply)
        };
        let perform = || if *runs { mutator.run(act) } else { act(mutator) };
        let reply = match company {
            Some(company) => company.beside(perform),
            None => perform(),
        };
        reply.unwrap_or_else(refused)
    }
}

/// Does more than is asked for, which makes no difference; gives whether that was all.
fn around(mutator: &mut Mutator<Turns>, roots: &[Root], action: &Action) -> Result<bool, Error> {
    let root = |root: op::Root| &roots[usize::from(root.0)];
    match *action {
        // By way of a frame, and of a root that ends.
        Action::Copy { into, from } => mutator.frame(|mutator| {
            let (first, second) = (mutator.root(), mutator.root());
            mutator.copy(&first, root(from))?;
            mutator.copy(&second, &first)?;
            mutator.release(first)?;
            mutator.copy(root(into), &second)
        })?,
        Action::Safepoint => mutator.run(|mutator| mutator.run(Mutator::safepoint)),
        Action::Park | Action::Unpark => mutator.park(|| ()),
        Action::Read(at) => {
            must_refuse(mutator, root(at))?;
            assert!(roots.iter().filter(|other| *other == root(at)).count() == 1, "roots are told apart");
            return Ok(false);
        }
        Action::Finalizer(of) => {
            // Attached, and taken off again.
            mutator.set_finalizer(root(of), 1)?;
            assert_eq!(mutator.clear_finalizer(root(of)), Ok(Some(1)));
            return Ok(false);
        }
        Action::Cleanup { of, .. } => {
            let stopped = mutator.add_cleanup(root(of), None, 1)?;
            assert!(mutator.stop_cleanup(&stopped) && !mutator.stop_cleanup(&stopped));
            return Ok(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
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
