//! The parallel driver for allocators: threads that allocate and free all at once, and hand blocks to one another.
//!
//! Each thread owns a few slots with a block in each, or none. Between the threads hang mailboxes; a thread swaps one of
//! its slots with one of them, and so a block that one thread has allocated is freed by another, or by a third when the
//! first has long ended. Nobody shares a block: whoever owns it is the only one that reads, writes or frees it.
//!
//! ```text
//!   thread 0   allocate s1 ─ write s1 ─ swap s1 m0 ─ …               notes: 7 is block a at 0x1000, …
//!                                          │ m0
//!   thread 1   ───────────── swap s3 m0 ─ read s3 ─ free s3 ─ …      notes: a held stamp 9, a is freed at 12
//! ```
//!
//! Nobody knows in which order all this happened, but some of it is known: every birth takes a ticket *after* the allocator
//! has answered, every death one *before* it is asked to free. So between its two tickets a block certainly existed, and
//! two blocks whose tickets cross existed at the same time. That is all the [laws](crate::law::crowd) need.
//!
//! A thread may [leave](Act::Leave) in the middle, as threads do: it ends, with whatever the allocator kept for it, and
//! another thread goes on with its blocks.

use super::{guarded, parallel::Threads};
use crate::generate::choices::Choices;
use heaplaw_reference::{
    block::{Allocator, Block},
    heap::Claims,
    object::{Content, MOST_ALIGNED, Shape, Stamp},
    place::class::{CLASSES, row},
};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The slots of a thread.
pub const SLOTS: u8 = 24;

/// The mailboxes between all threads.
pub const MAILBOXES: u8 = 6;

/// The most threads that a plan has.
pub const THREADS: u8 = 16;

/// Acts of a thread before it gives way: processors that are fewer than the threads are shared, and nobody waits for long.
const TURN: usize = 16;

/// One thing that a thread does. What means nothing when it comes to it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Allocates into a slot; what was in it is freed first.
    Allocate(u8, Shape),
    /// Frees what is in a slot.
    Free(u8),
    /// Looks at what is in a slot.
    Read(u8),
    /// Fills what is in a slot with a new stamp.
    Write(u8),
    /// Swaps what is in a slot with what is in a mailbox.
    Swap(u8, u8),
    /// The thread ends, and another one goes on in its place.
    Leave,
}

/// What every thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By thread.
    pub threads: Vec<Vec<Act>>,
}

impl Plan {
    /// A plan of `acts` acts for each of so many threads, at least one and at most [`THREADS`].
    pub fn draw(choices: &mut dyn Choices, threads: u8, acts: u32) -> Plan {
        // Few sizes that all threads use, so that what one frees is what another asks for.
        let sizes: Vec<Shape> = (0..1 + choices.below(4)).map(|_| shape(choices)).collect();
        let thread = |choices: &mut dyn Choices| {
            let mut rising = true;
            let mut turn = |choices: &mut dyn Choices| {
                rising ^= choices.chance(1, 30);
                act(choices, &sizes, rising)
            };
            (0..acts).map(|_| turn(choices)).collect()
        };
        Plan { threads: (0..threads.clamp(1, THREADS)).map(|_| thread(choices)).collect() }
    }
}

fn shape(choices: &mut dyn Choices) -> Shape {
    let size = match choices.weighted(&[8, 4, 2, 1]) {
        0 => 1 + choices.below(256),
        1 => row(1 + choices.below(CLASSES as u32 - 1) as usize).size as u32 + choices.below(2),
        2 => 4096 * (1 + choices.below(10)),
        _ => choices.below(600_000),
    };
    let align = if choices.chance(1, 8) { 1 << choices.below(MOST_ALIGNED.ilog2() + 1) } else { 0 };
    Shape::new(0, size).aligned(align)
}

fn act(choices: &mut dyn Choices, sizes: &[Shape], rising: bool) -> Act {
    let slot = choices.below(u32::from(SLOTS)) as u8;
    let (allocate, free) = if rising { (10, 4) } else { (4, 10) };
    match choices.weighted(&[allocate * 8, free * 8, 16, 16, 40, 1]) {
        0 if choices.chance(1, 8) => Act::Allocate(slot, shape(choices)),
        0 => Act::Allocate(slot, sizes[choices.below(sizes.len() as u32) as usize]),
        1 => Act::Free(slot),
        2 => Act::Read(slot),
        3 => Act::Write(slot),
        4 => Act::Swap(slot, choices.below(u32::from(MAILBOXES)) as u8),
        _ => Act::Leave,
    }
}

/// A block's number: births are counted over all threads.
pub type Number = u64;

/// One thing that a thread saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A block was born.
    Born {
        /// Its number, which is also its ticket: taken when the allocator had answered.
        block: Number,
        /// What was asked for.
        shape: Shape,
        /// Where it is.
        address: u64,
        /// The bytes that may be used.
        usable: u64,
        /// What the bytes that were asked for read.
        found: Content,
    },
    /// A request was refused.
    Refused,
    /// A block was looked at: what all its usable bytes hold, and what they were filled with.
    Read(Number, Content, Content),
    /// A block is about to be freed: its ticket.
    Freed(Number, u64),
    /// The allocator panicked.
    Trouble(String),
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What the allocator says of itself.
    pub claims: Claims,
    /// What each thread noted, in its own order; the last entry is what was noted when all was quiet.
    pub threads: Vec<Vec<Note>>,
    /// When all was quiet: how many blocks there are, and how many the allocator says there are.
    pub counted: Option<(u64, u64)>,
    /// When they were all freed: how many the allocator says are left.
    pub left: Option<u64>,
}

/// A block, and who it is.
struct Owned<B> {
    number: Number,
    block: B,
    stamp: Stamp,
    /// The bytes that are filled.
    bytes: usize,
}

impl<B: Block> Owned<B> {
    fn fill(&mut self, stamp: Stamp) {
        let mut bytes = vec![0; self.bytes];
        stamp.fill(&mut bytes);
        self.block.write(0, &bytes);
        self.stamp = stamp;
    }

    fn read(&self) -> Note {
        let mut bytes = vec![0; self.bytes];
        self.block.read(0, &mut bytes);
        Note::Read(self.number, Content::of(&bytes), self.stamp.content(self.bytes.min(8) as u32))
    }
}

/// Where a block waits for whoever takes it next.
type Mailbox<B> = Mutex<Option<Owned<B>>>;

/// A thread, or what goes on in its place when it ends.
struct Worker<'a, A: Allocator> {
    allocator: &'a A,
    mailboxes: &'a [Mailbox<A::Block>],
    tickets: &'a AtomicU64,
    slots: [Option<Owned<A::Block>>; SLOTS as usize],
    turn: u64,
    notes: Vec<Note>,
    /// Whether the allocator panicked: it is not asked again.
    stopped: bool,
}

impl<'a, A: Allocator> Worker<'a, A> {
    fn new(allocator: &'a A, mailboxes: &'a [Mailbox<A::Block>], tickets: &'a AtomicU64) -> Self {
        let slots = [const { None }; SLOTS as usize];
        Worker { allocator, mailboxes, tickets, slots, turn: 0, notes: Vec::new(), stopped: false }
    }

    /// The next ticket. It is after everything that this thread has done, and before everything that it does next; and
    /// whoever gets a later one has seen that.
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst)
    }

    fn act(&mut self, act: Act) {
        if self.stopped {
            return;
        }
        match act {
            Act::Allocate(slot, shape) => {
                self.free(slot);
                self.allocate(slot, shape);
            }
            Act::Free(slot) => self.free(slot),
            Act::Read(slot) => {
                if let Some(owned) = &self.slots[usize::from(slot)] {
                    self.notes.push(owned.read());
                }
            }
            Act::Write(slot) => {
                let stamp = Stamp(self.ticket());
                if let Some(owned) = &mut self.slots[usize::from(slot)] {
                    owned.fill(stamp);
                }
            }
            Act::Swap(slot, mailbox) => {
                let mut mailbox = self.mailboxes[usize::from(mailbox)].lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut self.slots[usize::from(slot)], &mut *mailbox);
            }
            Act::Leave => {}
        }
    }

    fn allocate(&mut self, slot: u8, shape: Shape) {
        self.turn += 1;
        let allocator = self.allocator;
        let turn = self.turn;
        match guarded(|| allocator.allocate(shape, turn)) {
            Ok(Some(block)) => {
                let number = self.ticket();
                let (address, usable) = (block.address().0, block.usable());
                let asked = usize::try_from(shape.size()).unwrap_or(0);
                let mut bytes = vec![0; asked];
                block.read(0, &mut bytes);
                self.notes.push(Note::Born { block: number, shape, address, usable, found: Content::of(&bytes) });
                // A block that is too small is judged by what was asked for.
                let bytes = asked.max(usize::try_from(usable).unwrap_or(0));
                let mut owned = Owned { number, block, stamp: Stamp(number), bytes };
                owned.fill(Stamp(number));
                self.slots[usize::from(slot)] = Some(owned);
            }
            Ok(None) => self.notes.push(Note::Refused),
            Err(failure) => self.trouble(failure.to_string()),
        }
    }

    fn free(&mut self, slot: u8) {
        if let Some(owned) = self.slots[usize::from(slot)].take() {
            self.notes.push(owned.read());
            self.notes.push(Note::Freed(owned.number, self.ticket()));
            if let Err(failure) = guarded(|| drop(owned)) {
                self.trouble(failure.to_string());
            }
        }
    }

    fn trouble(&mut self, why: String) {
        self.stopped = true;
        self.notes.push(Note::Trouble(why));
    }
}

/// Runs a plan on an allocator, which may have a past.
pub fn run<A>(allocator: &A, plan: &Plan, threads: &dyn Threads) -> Account
where
    A: Allocator + Sync,
    A::Block: Send,
{
    let claims = allocator.claims();
    let before = allocator.count();
    let (mailboxes, tickets) = ((0..MAILBOXES).map(|_| Mutex::new(None)).collect::<Vec<_>>(), AtomicU64::new(1));
    let mut workers: Vec<_> = plan.threads.iter().map(|_| Worker::new(allocator, &mailboxes, &tickets)).collect();
    let work = workers.iter_mut().zip(&plan.threads).map(|(worker, acts)| {
        let body = move || {
            // Each life is a thread of its own.
            for life in acts.split_inclusive(|act| *act == Act::Leave) {
                let worker = &mut *worker;
                let body = move || {
                    for (number, act) in life.iter().enumerate() {
                        worker.act(*act);
                        if number % TURN == 0 {
                            threads.pause();
                        }
                    }
                };
                threads.run(vec![Box::new(body)]);
            }
        };
        Box::new(body) as Box<dyn FnOnce() + Send + '_>
    });
    threads.run(work.collect());
    close(allocator, claims, before, workers, &mailboxes)
}

/// Counts what is left when all is quiet, and frees it on this thread, which has allocated none of it.
fn close<A: Allocator>(
    allocator: &A,
    claims: Claims,
    before: Option<u64>,
    mut workers: Vec<Worker<'_, A>>,
    mailboxes: &[Mailbox<A::Block>],
) -> Account {
    let waits = |mailbox: &&Mailbox<A::Block>| mailbox.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    let held = workers.iter().flat_map(|worker| worker.slots.iter().flatten()).count();
    let exist = (held + mailboxes.iter().filter(waits).count()) as u64;
    let since = |before: Option<u64>| Some(allocator.count()?.saturating_sub(before?));
    let counted = since(before).map(|counted| (exist, counted));
    let mut threads: Vec<_> = workers.iter_mut().map(|worker| std::mem::take(&mut worker.notes)).collect();
    let mut last = Vec::new();
    for worker in &mut workers {
        (0..SLOTS).for_each(|slot| worker.free(slot));
        for mailbox in 0..MAILBOXES {
            worker.act(Act::Swap(0, mailbox));
            worker.free(0);
        }
        last.append(&mut worker.notes);
    }
    threads.push(last);
    Account { claims, threads, counted, left: since(before) }
}
