//! Company: a second thread, with a mutator of its own, in a heap that a program is put to.
//!
//! It runs as long as one of the program's operations is done, and answers at safepoints what the collector asks; so
//! handshakes are made with a mutator that runs, halts wait for one, and the collector's steps find somebody at work. What
//! it does itself it does in its turns. The collector is its clock: whenever it [tells](Listener::on) of something, the
//! thread that tells stands still until the company has taken one more step of a walk that a byte of the input draws. So
//! what comes between what is a function of the input.
//!
//! Where nobody collects but who is told to, nothing is left to chance. In a heap that paces itself, a step may need what
//! the thread holds that waits for it: after a moment they both go on, and no other turn is given before that step is
//! over. So it is in a heap that stops the world; and workers are threads that come and go as they like.
//!
//! The company keeps a list, whose data says how long it is, and looks at all of it now and then: what it holds stays what
//! it was. Beside that it has whatever it finds in globals and weak pointers. It hands nothing to the program.

use heaplaw_optimized::{
    Config, Error, Event, Heap, Listener, Mutator, MutatorId, Place, Root,
    adapter::{Journal, Keeps},
};
use heaplaw_reference::op::{GLOBALS, WEAKS, WeakSlot};
use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// The company sleeps, parked.
const ASLEEP: u8 = 0;
/// It runs.
const AWAKE: u8 = 1;
/// It has to take a step.
const TURN: u8 = 2;
/// It has to leave.
const OVER: u8 = 3;

/// How long is waited for a step that may need what who waits has. It usually takes some microseconds.
const BRIEF: Duration = Duration::from_millis(3);

/// How long somebody sleeps who waits. Nobody yields: where there are more threads than processors, that takes a whole slice
/// of time.
const NAP: Duration = Duration::from_micros(20);

/// How long is waited for what is sure to come: more than anything takes.
const DEADLINE: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether this is the company's thread, which does not wait for itself.
    static COMPANY: Cell<bool> = const { Cell::new(false) };
}

/// What the heap's threads and the company tell each other.
#[derive(Debug, Default)]
struct Talk {
    asked: AtomicU8,
    /// Whether it sleeps.
    asleep: AtomicBool,
    /// The company's thread.
    thread: Mutex<Option<Thread>>,
    /// How long is waited for a step.
    patience: Duration,
}

/// The listener that gives turns. It does not listen to single objects, so the heap takes its fast ways; its journal knows
/// no more than the kit's mutators do.
#[derive(Clone, Default)]
pub struct Turns {
    talk: Arc<Talk>,
    journal: Arc<Journal>,
}

impl Keeps for Turns {
    fn journal(&self) -> &Journal {
        &self.journal
    }
}

impl Turns {
    /// For a heap that is made with `config`.
    pub fn of(config: &Config) -> Turns {
        let waits = config.workers > 0 || config.paced || config.stop_the_world;
        let talk = Talk { patience: if waits { BRIEF } else { DEADLINE }, ..Talk::default() };
        Turns { talk: Arc::new(talk), journal: Arc::default() }
    }
}

impl Listener for Turns {
    const OBJECTS: bool = false;

    fn on(&self, _: Event) {
        let talk = &*self.talk;
        if talk.asked.load(Ordering::Relaxed) != AWAKE || COMPANY.get() {
            return;
        }
        if talk.asked.compare_exchange(AWAKE, TURN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let began = Instant::now();
            lock(&talk.thread).as_ref().inspect(|company| company.unpark());
            while talk.asked.load(Ordering::Acquire) == TURN && began.elapsed() < talk.patience {
                thread::sleep(NAP);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread with a mutator of its own.
pub struct Company {
    turns: Turns,
    thread: Option<JoinHandle<()>>,
}

impl Company {
    /// Has somebody join a heap whose listener is `turns`: asleep, and parked. `seed` draws what it does. Gives its mutator,
    /// whose stack is to be scanned like any.
    ///
    /// # Panics
    /// If there is no thread to be had.
    pub fn joins(heap: &Heap<Turns>, turns: &Turns, seed: u8) -> (Company, MutatorId) {
        let mut mutator = heap.join();
        let (id, mut guest) = (mutator.id(), Guest::new(&mut mutator, turns.clone(), seed));
        turns.talk.asleep.store(true, Ordering::Release);
        let talk = Arc::clone(&turns.talk);
        let body = move || {
            COMPANY.set(true);
            guest.stays(mutator, &talk);
        };
        let thread = thread::Builder::new().name("company".to_owned()).spawn(body).expect("a thread");
        *lock(&turns.talk.thread) = Some(thread.thread().clone());
        (Company { turns: turns.clone(), thread: Some(thread) }, id)
    }

    /// Does something while it runs.
    ///
    /// # Panics
    /// If the company has found something wrong.
    pub fn beside<R>(&self, body: impl FnOnce() -> R) -> R {
        let talk = &self.turns.talk;
        talk.asked.store(AWAKE, Ordering::Release);
        self.wake();
        self.wait(|| !talk.asleep.load(Ordering::Acquire));
        let result = body();
        // A step that is not over yet ends beforehand.
        talk.asked.store(ASLEEP, Ordering::Release);
        self.wait(|| talk.asleep.load(Ordering::Acquire));
        result
    }

    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }

    fn wait(&self, until: impl Fn() -> bool) {
        let began = Instant::now();
        while !until() {
            assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the company has panicked");
            assert!(began.elapsed() < DEADLINE, "the company does not come back");
            thread::sleep(NAP);
        }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        self.turns.talk.asked.store(OVER, Ordering::Release);
        self.wake();
        let left = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(!matches!(left, Some(Err(_))), "the company has panicked");
        }
    }
}

/// What the company has, beside its mutator.
struct Guest {
    /// A list of so many nodes: a link, whatever was found, and a number.
    list: Root,
    length: u64,
    /// Whatever was found.
    other: Root,
    /// Used for a moment.
    hand: Root,
    turns: Turns,
    walk: u32,
}

/// The fields and the data of a node.
const NODE: (usize, usize) = (2, 8);

impl Guest {
    fn new(mutator: &mut Mutator<Turns>, turns: Turns, seed: u8) -> Guest {
        let [list, other, hand] = std::array::from_fn(|_| mutator.root());
        Guest { list, length: 0, other, hand, turns, walk: u32::from(seed) }
    }

    /// Sleeps and runs, as it is told, until it is over.
    fn stays(&mut self, mut mutator: Mutator<Turns>, talk: &Talk) {
        loop {
            match talk.asked.load(Ordering::Acquire) {
                ASLEEP => {
                    talk.asleep.store(true, Ordering::Release);
                    thread::park();
                }
                OVER => return,
                _ => mutator.run(|mutator| self.runs(mutator, talk)),
            }
        }
    }

    fn runs(&mut self, mutator: &mut Mutator<Turns>, talk: &Talk) {
        talk.asleep.store(false, Ordering::Release);
        loop {
            mutator.safepoint();
            match talk.asked.load(Ordering::Acquire) {
                AWAKE => thread::park_timeout(NAP),
                TURN => {
                    match self.step(mutator) {
                        // What has no room, or nothing to work on, is left out.
                        Ok(()) | Err(Error::OutOfMemory { .. } | Error::Os { .. } | Error::Nil) => {}
                        Err(wrong) => panic!("the company is refused: {wrong}"),
                    }
                    // Unless it was told to sleep meanwhile.
                    _ = talk.asked.compare_exchange(TURN, AWAKE, Ordering::AcqRel, Ordering::Relaxed);
                }
                _ => return,
            }
        }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u32) -> u32 {
        self.walk = self.walk.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.walk >> 16) % bound
    }

    fn step(&mut self, mutator: &mut Mutator<Turns>) -> Result<(), Error> {
        match self.below(12) {
            0..3 => self.push(mutator)?,
            3 => {
                mutator.clear(&self.list)?;
                self.length = 0;
            }
            4 => {
                let global = self.below(u32::from(GLOBALS)) as usize;
                _ = mutator.load(&self.other, Place::Global(global))?;
            }
            5 => {
                let slot = WeakSlot(self.below(u32::from(WEAKS)) as u8);
                let weak = self.turns.journal.weak(slot);
                if let Some(weak) = weak {
                    _ = mutator.upgrade(&self.other, &weak)?;
                }
            }
            6 => mutator.store(Place::Field(&self.list, 1), Some(&self.other))?,
            7 => mutator.store(Place::Field(&self.list, 1), None)?,
            8 => _ = mutator.load(&self.other, Place::Field(&self.list, 1))?,
            9 => {
                // Somebody else comes and goes, for whom this thread may have to wait: so it is parked.
                let heap = mutator.heap().clone();
                mutator.park(|| {
                    let mut visitor = heap.join();
                    let root = visitor.root();
                    visitor.alloc(&root, 1, 40)?;
                    visitor.weak(&root)
                })?;
            }
            10 => mutator.park(|| thread::sleep(NAP)),
            _ => self.look(mutator)?,
        }
        Ok(())
    }

    /// Puts a node in front of the list.
    fn push(&mut self, mutator: &mut Mutator<Turns>) -> Result<(), Error> {
        mutator.alloc(&self.hand, NODE.0, NODE.1)?;
        mutator.write(&self.hand, 0, &self.length.to_ne_bytes())?;
        mutator.store(Place::Field(&self.hand, 0), Some(&self.list))?;
        mutator.copy(&self.list, &self.hand)?;
        mutator.clear(&self.hand)?;
        self.length += 1;
        Ok(())
    }

    /// Whether all of the list is as it was.
    fn look(&mut self, mutator: &mut Mutator<Turns>) -> Result<(), Error> {
        mutator.copy(&self.hand, &self.list)?;
        for expected in (0..self.length).rev() {
            let mut data = [0; 8];
            mutator.read(&self.hand, 0, &mut data)?;
            assert_eq!(u64::from_ne_bytes(data), expected, "a node of the company's list");
            mutator.frame(|mutator| {
                let node = mutator.root();
                mutator.copy(&node, &self.hand)?;
                mutator.load(&self.hand, Place::Field(&node, 0))
            })?;
        }
        assert_eq!(mutator.inspect(&self.hand)?, None, "the end of the company's list");
        Ok(())
    }
}
