//! The heap as a value: making one, sharing it, and stepping its collector.
//!
//! One lock guards all of it: mutators and the collector take turns.

use crate::{
    error::Error, events::Listener, gc::phase::Phase, geometry::PAGE, memory::Memory, os::Faults, root::MutatorId,
    space::Space, state::State, stats::Stats, verify::Corruption,
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// Which calls to the kernel fail: none, but in tests.
    pub faults: Faults,
}

impl Default for Config {
    /// A reservation of 1 GiB, no other limit, and 16 globals.
    fn default() -> Self {
        Config { reservation: 1 << 30, limit: usize::MAX, globals: 16, faults: Faults::default() }
    }
}

/// A garbage-collected heap. Cloning gives another handle to the same one; the memory goes back to the OS with the last
/// handle or mutator. Several heaps know nothing of one another.
///
/// The collector runs only when it is told to, in the calling thread. Its single steps may come in any order and with
/// anything in between; one that cannot be taken does nothing and says so.
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
    state: Arc<Mutex<State<L>>>,
}

impl<L: Listener> Clone for Heap<L> {
    fn clone(&self) -> Self {
        Heap { state: Arc::clone(&self.state) }
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
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// A new, empty heap that tells `listener` what its collector does.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel does not grant the reservation.
    pub fn with_listener(config: Config, listener: L) -> Result<Heap<L>, Error> {
        let (memory, ()) = Memory::reserve(config.reservation / PAGE, config.limit / PAGE, config.faults, |_| ())?;
        let space = Space::new(memory);
        Ok(Heap { state: Arc::new(Mutex::new(State::new(space, config.globals, listener))) })
    }

    /// Finishes a cycle that is marking, then runs a whole new one, including its sweep (Go: `runtime.GC`). Every
    /// object that cannot be reached is freed.
    pub fn collect(&self) {
        self.state().collect();
    }

    /// Finishes the sweep of the last cycle and begins to mark. Does nothing, and gives `false`, while already marking.
    pub fn start(&self) -> bool {
        self.state().start()
    }

    /// Scans the roots of a mutator. Gives `false` if they were scanned in this cycle, if nothing is being marked, or
    /// if the mutator has left.
    pub fn handshake(&self, mutator: MutatorId) -> bool {
        self.state().handshake(mutator)
    }

    /// Scans up to so many grey objects, of which the globals count as one; gives how many there were.
    pub fn mark(&self, steps: usize) -> usize {
        let mut state = self.state();
        (0..steps).take_while(|_| state.mark_step()).count()
    }

    /// Ends marking and begins to sweep, if no object, no mutator and no global is left to scan. Otherwise gives
    /// `false`.
    pub fn finish(&self) -> bool {
        self.state().finish()
    }

    /// Takes up to so many steps of sweeping: each sweeps a span, and one more ends the cycle. Gives how many were
    /// taken.
    pub fn sweep(&self, steps: usize) -> usize {
        let mut state = self.state();
        (0..steps).take_while(|_| state.sweep_step()).count()
    }

    /// The phase of the collector.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// What there is now.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        let (space, pages) = (&state.space, state.space.pages());
        Stats {
            objects: space.objects(),
            bytes: space.bytes(),
            in_use: pages.in_use() * PAGE,
            mapped: pages.mapped() * PAGE,
            released: pages.released() * PAGE,
        }
    }

    /// Checks everything that the heap believes about itself. Takes time in proportion to the whole heap.
    ///
    /// # Errors
    /// The first belief that does not hold: a bug in this crate.
    pub fn verify(&self) -> Result<(), Corruption> {
        self.state().verify()
    }

    /// The state, locked. A panic while it was locked (a listener's) leaves at worst a heap that does not
    /// [verify](Heap::verify): memory is only touched inside the region.
    pub(crate) fn state(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
