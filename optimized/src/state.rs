//! The state of a heap: what its mutators and its collector share. The methods are in [`gc`](crate::gc) and
//! [`alloc`](crate::alloc).
//!
//! No lock guards it. Who may touch what follows from the protocols: what is a mutator's own, from its
//! [`Post`](crate::gc::handshake::Post); spans, from who holds or has claimed them; what is attached to objects, from the
//! locks of the [specials](crate::special), which no allocation, load or store takes; pages, from their lock; and the
//! collector's own, from the lock of its [`Driver`], which no mutator takes.

use crate::{
    events::Listener,
    gc::{
        grey::Grey,
        handshake::Roll,
        mark::{Driver, Marker},
        pace::{Clock, Pace, Who},
        phase::Stage,
        sweep::Sweep,
        worker::Work,
    },
    heap::Config,
    local::Local,
    root::MutatorId,
    space::Space,
    special::Specials,
    stats::Last,
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock},
};
use std::{
    sync::{Arc, TryLockError},
    time::Instant,
};

/// Everything that a heap is.
pub(crate) struct State<L> {
    pub(crate) config: Config,
    pub(crate) space: Space,
    /// 0 for nil.
    pub(crate) globals: Box<[AtomicUsize]>,
    /// The mutators.
    pub(crate) locals: Roll<Local>,
    /// How many ever joined.
    joined: AtomicU64,
    pub(crate) stage: Stage,
    pub(crate) grey: Grey,
    pub(crate) sweep: Sweep,
    pub(crate) specials: Specials,
    pub(crate) work: Work,
    pub(crate) pace: Pace,
    /// Whether this cycle has scanned all stacks, of a heap with a deletion barrier.
    pub(crate) snapshot: AtomicBool,
    /// Which mutator a handshake waits for, and since when.
    pub(crate) awaited: Mutex<Option<(MutatorId, Instant)>>,
    driver: Mutex<Driver>,
    /// When the heap was made.
    pub(crate) made: Instant,
    pub(crate) last: Mutex<Last>,
    pub(crate) listener: L,
}

impl<L: Listener> State<L> {
    pub(crate) fn new(space: Space, config: Config, clock: Clock, listener: L) -> Self {
        let pace = Pace::new(clock, config.gogc, config.soft_limit);
        State {
            config,
            space,
            globals: (0..config.globals).map(|_| AtomicUsize::new(0)).collect(),
            locals: Roll::new(),
            joined: AtomicU64::new(0),
            stage: Stage::new(),
            grey: Grey::new(),
            sweep: Sweep::new(),
            specials: Specials::new(),
            work: Work::new(pace.first_trigger()),
            pace,
            snapshot: AtomicBool::new(false),
            awaited: Mutex::new(None),
            driver: Mutex::new(Driver { marker: Marker::new(), globals_scanned: true, round: 0, who: Who::Program }),
            made: Instant::now(),
            last: Mutex::new(Last::default()),
            listener,
        }
    }

    /// The right to drive the collector.
    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver> {
        lock(&self.driver)
    }

    /// The right to drive the collector, if nobody does.
    pub(crate) fn try_driver(&self) -> Option<MutexGuard<'_, Driver>> {
        match self.driver.try_lock() {
            Ok(driver) => Some(driver),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// All mutators that are there now. Whoever joins later sees the phase as it is now, or a later one.
    pub(crate) fn mutators(&self) -> Vec<Arc<Local>> {
        self.locals.call()
    }

    /// Lets a mutator in.
    pub(crate) fn join(&self) -> Arc<Local> {
        let id = MutatorId(self.joined.fetch_add(1, Ordering::Relaxed));
        self.locals.join(|post| {
            let (cycle, phase) = self.stage.now();
            let local = Local::new(id, post, cycle);
            self.admit(&local, phase);
            local
        })
    }

    /// Lets a mutator go, which has flushed everything.
    pub(crate) fn dismiss(&self, local: &Arc<Local>) {
        self.locals.strike(local);
    }
}
