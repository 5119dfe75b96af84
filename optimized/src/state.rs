//! The state of a heap: what its mutators and its collector share. The methods are in [`gc`](crate::gc) and
//! [`alloc`](crate::alloc).
//!
//! No lock guards it. Who may touch what follows from the protocols: what is a mutator's own, from its
//! [`Post`](crate::gc::handshake::Post); spans, from who holds or has claimed them; pages, from their lock; and the
//! collector's own, from the lock of its [`Driver`], which no mutator takes.

use crate::{
    events::Listener,
    gc::{
        grey::Grey,
        handshake::Roll,
        mark::{Driver, Marker},
        phase::Stage,
        sweep::Sweep,
        worker::Work,
    },
    heap::Config,
    local::Local,
    root::MutatorId,
    space::Space,
    stats::Last,
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, lock},
};
use std::{sync::Arc, time::Instant};

/// Everything that a heap is.
pub(crate) struct State<L> {
    pub(crate) config: Config,
    pub(crate) space: Space,
    /// 0 for nil.
    pub(crate) globals: Box<[AtomicUsize]>,
    /// The mutators.
    locals: Roll<Local>,
    /// How many ever joined.
    joined: AtomicU64,
    pub(crate) stage: Stage,
    pub(crate) grey: Grey,
    pub(crate) sweep: Sweep,
    pub(crate) work: Work,
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
    pub(crate) fn new(space: Space, config: Config, listener: L) -> Self {
        State {
            config,
            space,
            globals: (0..config.globals).map(|_| AtomicUsize::new(0)).collect(),
            locals: Roll::new(),
            joined: AtomicU64::new(0),
            stage: Stage::new(),
            grey: Grey::new(),
            sweep: Sweep::new(),
            work: Work::new(),
            snapshot: AtomicBool::new(false),
            awaited: Mutex::new(None),
            driver: Mutex::new(Driver { marker: Marker::new(), globals_scanned: true, round: 0 }),
            made: Instant::now(),
            last: Mutex::new(Last::default()),
            listener,
        }
    }

    /// The right to drive the collector.
    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver> {
        lock(&self.driver)
    }

    /// All mutators that are there now. Whoever joins later sees the phase as it is now, or a later one.
    pub(crate) fn mutators(&self) -> Vec<Arc<Local>> {
        self.locals.call()
    }

    /// Lets a mutator in.
    pub(crate) fn join(&self) -> Arc<Local> {
        let id = MutatorId(self.joined.fetch_add(1, Ordering::Relaxed));
        self.locals.join(|| {
            let (cycle, phase) = self.stage.now();
            let local = Local::new(id, cycle);
            self.admit(&local, phase);
            local
        })
    }

    /// Lets a mutator go, which has flushed everything.
    pub(crate) fn dismiss(&self, local: &Arc<Local>) {
        self.locals.strike(local);
    }
}
