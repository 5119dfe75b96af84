//! The heap as a value: making one, sharing it, and stepping its collector.

use crate::{
    error::Error,
    events::{Cause, Listener},
    gc::{barrier::Barrier, pace::Clock, pacer::Terms, phase::Phase},
    geometry::PAGE,
    os::Faults,
    root::MutatorId,
    space::Space,
    state::State,
    stats::{Class, Cycle, Metrics, Stats},
    sync::{
        lock,
        thread::{self, JoinHandle},
    },
    verify::Corruption,
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a heap is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The bytes of address space to reserve; the heap never grows beyond. They cost nothing until they are used.
    pub reservation: usize,
    /// The bytes of memory to take from the OS at most, as far as there is room in the reservation.
    pub limit: usize,
    /// How many globals there are.
    pub globals: usize,
    /// How many threads collect in the background. With none, the collector runs only when it is told to, or if the heap is
    /// [paced](Config::paced).
    pub workers: usize,
    /// What a store shades while a cycle is marking.
    pub barrier: Barrier,
    /// Whether mutators stand still while a whole cycle marks, as Go's did before 1.5: to compare with, and to debug. Steps
    /// that are taken [one by one](Heap::start) stop nobody.
    pub stop_the_world: bool,
    /// Whether objects without pointers of less than 16 bytes share blocks of 16 (Go: the tiny allocator). A block lives as
    /// long as one of those in it, and no collector can tell them apart. Objects of one byte take an eighth of the memory,
    /// of four half of it; of eight and more as much as without, and a fifth more time to allocate. So it is off, unless a
    /// program has many of the smallest. How large each is is kept beside them: an eighth of the reservation more addresses.
    pub tiny: bool,
    /// Which calls to the kernel fail: none, but in tests.
    pub faults: Faults,
    /// Whether a heap without workers paces itself as one with workers does: cycles start by themselves, and mutators that
    /// allocate mark and sweep.
    pub paced: bool,
    /// By how many per cent of what is alive a heap that paces itself may grow until the end of the next cycle, and at least
    /// to 4 MiB at 100 (Go: `GOGC`). Without, it collects only for the limit, or when it is told to.
    pub gogc: Option<u32>,
    /// The bytes of memory to keep to, if a heap that paces itself can by collecting and by giving free pages back (Go:
    /// `GOMEMLIMIT`). What is alive is more important; and so is, if it comes to that, half of the time for mutators.
    pub soft_limit: Option<usize>,
}

impl Config {
    /// A reservation of 1 GiB, no other limit, 16 globals, no workers, and the hybrid barrier; not paced, but if it is, a
    /// GOGC of 100.
    pub const DEFAULT: Config = Config {
        reservation: 1 << 30,
        limit: usize::MAX,
        globals: 16,
        workers: 0,
        barrier: Barrier::Hybrid,
        stop_the_world: false,
        tiny: false,
        faults: Faults::NONE,
        paced: false,
        gogc: Some(100),
        soft_limit: None,
    };
}

impl Default for Config {
    fn default() -> Self {
        Config::DEFAULT
    }
}

/// A garbage-collected heap. Cloning gives another handle to the same one; the memory goes back to the OS with the last
/// handle or mutator. Several heaps know nothing of one another.
///
/// Without workers, and if it is not paced, the collector runs only when it is told to, in the calling thread. Its single
/// steps may come in any order and with anything in between; one that cannot be taken does nothing and says so.
///
/// ```
/// use heaplaw_optimized::{Config, Heap, Place};
/// let heap = Heap::new(Config::default())?;
/// let mut mutator = heap.join();
/// let (list, next) = (mutator.root(), mutator.root());
/// mutator.alloc(&list, 1, 0)?;
/// mutator.alloc(&next, 1, 8)?;
/// mutator.store(Place::Field(&list, 0), Some(&next))?;
/// mutator.clear(&next)?;
/// heap.collect();
/// assert_eq!(heap.stats().objects, 2);
/// mutator.store(Place::Field(&list, 0), None)?;
/// heap.collect();
/// assert_eq!(heap.stats().objects, 1);
/// # Ok::<(), heaplaw_optimized::Error>(())
/// ```
pub struct Heap<L: Listener = ()> {
    core: Arc<Core<L>>,
}

/// What all handles of a heap share. The workers have the state, but not this: they end with the last handle.
struct Core<L: Listener> {
    state: Arc<State<L>>,
    workers: Vec<JoinHandle<()>>,
}

impl<L: Listener> Drop for Core<L> {
    fn drop(&mut self) {
        self.state.work.close();
        for worker in self.workers.drain(..) {
            // One that panicked has said so.
            _ = worker.join();
        }
    }
}

impl<L: Listener> Core<L> {
    fn new(state: State<L>) -> Result<Core<L>, Error> {
        let mut core = Core { state: Arc::new(state), workers: Vec::new() };
        if core.state.config.workers > 0 {
            core.state.work.open();
        }
        for number in 0..core.state.config.workers {
            let state = Arc::clone(&core.state);
            let work = move || if number == 0 { state.drive() } else { state.help() };
            let worker = thread::Builder::new().name("heaplaw-worker".to_owned()).spawn(work);
            core.workers
                .push(worker.map_err(|error| Error::Os { call: "clone", code: error.raw_os_error().unwrap_or(0) })?);
        }
        Ok(core)
    }
}

impl<L: Listener> Clone for Heap<L> {
    fn clone(&self) -> Self {
        Heap { core: Arc::clone(&self.core) }
    }
}

impl<L: Listener> fmt::Debug for Heap<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

impl Heap {
    /// A new, empty heap that nobody listens to.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn new(config: Config) -> Result<Heap, Error> {
        Heap::with_listener(config, ())
    }
}

impl<L: Listener> Heap<L> {
    /// Whether two handles are of one heap.
    pub(crate) fn is(&self, other: &Heap<L>) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// A new, empty heap that tells `listener` what its collector does.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn with_listener(config: Config, listener: L) -> Result<Heap<L>, Error> {
        Heap::with_clock(config, Clock::Real(Instant::now()), listener)
    }

    /// As [`Heap::with_listener`], with this clock.
    pub(crate) fn with_clock(config: Config, clock: Clock, listener: L) -> Result<Heap<L>, Error> {
        let space = Space::reserve(config.reservation / PAGE, config.limit / PAGE, config.faults, config.tiny)?;
        Ok(Heap { core: Arc::new(Core::new(State::new(space, config, clock, listener))?) })
    }

    /// Finishes a cycle that is marking, then runs a whole new one, including its sweep (Go: `runtime.GC`). Every
    /// object that cannot be reached is freed.
    pub fn collect(&self) {
        self.state().collect_all();
    }

    /// Sets [`Config::gogc`] from now on. In a heap without workers that is paced, this waits for mutators as
    /// [`Heap::collect`] does.
    pub fn set_gogc(&self, gogc: Option<u32>) {
        self.advise(|terms| terms.gogc = gogc);
    }

    /// Sets [`Config::soft_limit`] from now on. Waits as [`Heap::set_gogc`] does.
    pub fn set_soft_limit(&self, limit: Option<usize>) {
        self.advise(|terms| terms.limit = limit.map(|limit| limit as u64));
    }

    fn advise(&self, change: impl FnOnce(&mut Terms)) {
        let state = self.state();
        if state.config.workers > 0 {
            state.advise(change);
        } else {
            let driver = &mut state.driver();
            state.advise(change);
            state.renew(driver);
        }
    }

    /// Starts a cycle if none has marked for two minutes, unless collection is off: for heaps without workers, which have
    /// nobody to look at the clock. Gives whether one was started.
    pub fn tick(&self) -> bool {
        self.state().is_old() && self.state().set_out(&mut self.state().driver(), Cause::Time)
    }

    /// Finishes the sweep of the last cycle and begins to mark. Does nothing, and gives `false`, while already marking.
    pub fn start(&self) -> bool {
        self.state().start(&mut self.state().driver(), Cause::Told)
    }

    /// Scans the roots of a mutator. Gives `false` if they were scanned in this cycle, if nothing is being marked, or
    /// if the mutator has left.
    pub fn handshake(&self, mutator: MutatorId) -> bool {
        self.state().handshake(&mut self.state().driver(), mutator)
    }

    /// Scans up to so many grey objects, of which the globals count as one; gives how many there were.
    pub fn mark(&self, steps: usize) -> usize {
        let driver = &mut self.state().driver();
        (0..steps).take_while(|_| self.state().mark_step(driver)).count()
    }

    /// Ends marking and begins to sweep, if no object, no mutator and no global is left to scan. Otherwise gives
    /// `false`.
    pub fn finish(&self) -> bool {
        self.state().finish(&mut self.state().driver())
    }

    /// Takes up to so many steps of sweeping: each sweeps a span, and one more ends the cycle. Gives how many were
    /// taken.
    pub fn sweep(&self, steps: usize) -> usize {
        self.state().sweep_steps(steps)
    }

    /// The phase of the collector.
    pub fn phase(&self) -> Phase {
        self.state().stage.phase()
    }

    /// What there is now. Exact as long as no mutator allocates and nothing is swept at the same time, as it is when all
    /// are [halted](Heap::halted).
    pub fn stats(&self) -> Stats {
        self.state().stats()
    }

    /// How many finalizers are due: objects that wait for [`Mutator::finalized`](crate::Mutator::finalized).
    pub fn finalizers_due(&self) -> usize {
        self.state().specials.finalizers_due()
    }

    /// How many cleanups are due, and wait for [`Mutator::cleaned`](crate::Mutator::cleaned).
    pub fn cleanups_due(&self) -> usize {
        self.state().specials.cleanups_due()
    }

    /// What there is of each kind of objects now. As exact as [`Heap::stats`], and slow: it looks at every span.
    pub fn classes(&self) -> Vec<Class> {
        self.state().classes()
    }

    /// What the heap is doing.
    pub fn metrics(&self) -> Metrics {
        self.state().metrics()
    }

    /// What is known of the last cycle whose marking is over.
    pub fn last_cycle(&self) -> Option<Cycle> {
        lock(&self.state().last).over
    }

    /// The mutator that the collector has been waiting for, for so long or longer: one that neither operates, nor parks, nor
    /// ends, within [`Mutator::run`](crate::Mutator::run).
    pub fn stalled(&self, after: Duration) -> Option<MutatorId> {
        lock(&self.state().awaited).filter(|(_, since)| since.elapsed() >= after).map(|(id, _)| id)
    }

    /// Runs `body` while no mutator and no collector is at work; all wait at safepoints. What it reads of the heap, say
    /// its [`stats`](Heap::stats), belongs together. It waits for ever if `body` drives the collector, verifies the
    /// heap or uses a mutator, or if one [runs](crate::Mutator::run) on this thread that is not parked.
    pub fn halted<R>(&self, body: impl FnOnce() -> R) -> R {
        self.state().halted(&mut self.state().driver(), |_| body())
    }

    /// Checks everything that the heap believes about itself, [while nobody is at work](Heap::halted). Takes time in
    /// proportion to the whole heap.
    ///
    /// # Errors
    /// The first belief that does not hold: a bug in this crate.
    pub fn verify(&self) -> Result<(), Corruption> {
        let state = self.state();
        state.halted(&mut state.driver(), |driver| state.verify(driver))
    }

    /// The same, for who watches.
    #[cfg(all(test, heaplaw_shuttle))]
    pub(crate) fn shared(&self) -> Arc<State<L>> {
        Arc::clone(&self.core.state)
    }

    /// What the heap's mutators and its collector share.
    pub(crate) fn state(&self) -> &State<L> {
        &self.core.state
    }
}
