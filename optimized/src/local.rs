//! What a mutator has to itself: its roots, windows to allocate in, what its barrier recorded, and its view of the cycle.
//! Above spans and roots; knows nothing of the collector but where they meet.
//!
//! Nothing in here is shared in the sense that two threads would use it at once. The mutator uses it while it runs, the
//! collector while it has borrowed it, and the [`Post`] says which; so everything is a relaxed load or store, as cheap as
//! one of a plain variable.
//!
//! A [`Window`] is a word's worth of slots of one span: free slots that were allocated together, to be handed out one by
//! one. Handing out takes no lock and no atomic read-modify-write. What is left is given back when the window is flushed.
//!
//! Invariants: the span of a window is held by the window alone; the slots in `free` are allocated, and marked if this
//! mutator allocates black; they read zero.

use crate::{
    gc::handshake::Post,
    geometry::{BITS, sized},
    root::{MutatorId, Stack},
    span::{Kind, Span},
    sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    tiny::Current,
};
use std::array;

/// A word that one thread at a time uses.
#[derive(Debug, Default)]
pub(crate) struct Word(AtomicUsize);

impl Word {
    #[inline]
    pub(crate) fn get(&self) -> usize {
        // Relaxed, both: the post orders.
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A flag that one thread at a time uses.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    #[inline]
    pub(crate) fn get(&self) -> bool {
        // Relaxed, both: the post orders.
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Slots to allocate.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Window {
    /// By bit, slots that are not handed out.
    free: AtomicU64,
    /// The address of the slot of bit 0.
    base: Word,
    /// The bytes from one slot to the next.
    size: Word,
    /// The number of the slot of bit 0 in its span.
    first: Word,
    /// The first page of the span, and one more; 0 for none.
    span: Word,
    /// How many pointers the slots are laid out for that are not handed out; more than there can be, if they are not for
    /// the fast path.
    pointers: Word,
}

impl Window {
    /// Hands out the lowest slot: its address.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<usize> {
        // Relaxed, both: as in `Word`.
        let free = self.free.load(Ordering::Relaxed);
        if free == 0 {
            return None;
        }
        self.free.store(free & (free - 1), Ordering::Relaxed);
        Some(self.base.get() + free.trailing_zeros() as usize * self.size.get())
    }

    /// The number in the span of the slot at an address that the window has handed out.
    pub(crate) fn slot_of(&self, at: usize) -> usize {
        self.first.get() + (at - self.base.get()) / self.size.get()
    }

    /// The slots that are not handed out: the number of their word, and which of it.
    pub(crate) fn left(&self) -> (usize, u64) {
        (self.first.get() / BITS, self.free.load(Ordering::Relaxed))
    }

    /// The first page of the span that the window holds.
    #[inline]
    pub(crate) fn span(&self) -> Option<usize> {
        self.span.get().checked_sub(1)
    }

    /// How many pointers the slots are laid out for.
    #[inline]
    pub(crate) fn pointers(&self) -> usize {
        self.pointers.get()
    }

    /// Puts slots into a window that has none: those of a word of a span, which read zero and are laid out for so many
    /// pointers.
    pub(crate) fn fill(&self, span: &Span<'_>, (word, free): (usize, u64), pointers: usize) {
        self.span.set(span.first() + 1);
        self.base.set(span.address(word * BITS).addr().get());
        self.size.set(span.size());
        self.first.set(word * BITS);
        self.pointers.set(pointers);
        self.free.store(free, Ordering::Relaxed);
    }

    /// Makes it hold no span.
    pub(crate) fn clear(&self) {
        self.span.set(0);
        self.free.store(0, Ordering::Relaxed);
    }
}

/// The pointers that a buffer holds at most.
const RECORDS: usize = sized(256, 4);

/// What a barrier recorded, to be shaded later.
#[derive(Debug)]
pub(crate) struct Buffer {
    len: Word,
    records: Box<[Word]>,
}

impl Buffer {
    fn new() -> Buffer {
        Buffer { len: Word::default(), records: (0..RECORDS).map(|_| Word::default()).collect() }
    }

    /// Adds the two pointers of a store; gives how many there are now. There is room for two more after a flush.
    #[inline]
    pub(crate) fn record(&self, pointers: [usize; 2]) -> usize {
        let mut len = self.len.get();
        for pointer in pointers {
            if pointer != 0 {
                self.records[len].set(pointer);
                len += 1;
            }
        }
        self.len.set(len);
        len
    }

    /// Whether there may be no room for two more.
    #[inline]
    pub(crate) fn is_full(len: usize) -> bool {
        len > RECORDS - 2
    }

    /// Takes everything.
    pub(crate) fn drain(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let len = self.len.get();
        self.len.set(0);
        self.records[..len].iter().map(Word::get)
    }
}

/// What a mutator has to itself.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) id: MutatorId,
    pub(crate) post: Post,
    /// Whether stores go through the barrier.
    pub(crate) barrier: Flag,
    /// Whether what it allocates is marked.
    pub(crate) black: Flag,
    /// Whether this cycle has looked at its roots: black, not grey.
    pub(crate) scanned: Flag,
    /// Whether it runs across operations: it is inside [`Mutator::run`](crate::Mutator::run).
    pub(crate) inside: Flag,
    pub(crate) stack: Stack,
    pub(crate) buffer: Buffer,
    /// The bytes that it may allocate while objects are marked before it has to pay; as an `i64`, below zero what it owes.
    pub(crate) balance: Word,
    /// Where its next tiny object goes. Not white once it allocates black.
    pub(crate) tiny: Current,
    /// The cycle in which the spans are born that it makes.
    cycle: AtomicU64,
    windows: [Window; Kind::COUNT],
}

impl Local {
    /// Of a mutator without roots, which joins in this cycle.
    pub(crate) fn new(id: MutatorId, post: Post, cycle: u64) -> Local {
        Local {
            id,
            post,
            barrier: Flag::default(),
            black: Flag::default(),
            scanned: Flag::default(),
            inside: Flag::default(),
            stack: Stack::new(),
            buffer: Buffer::new(),
            balance: Word::default(),
            tiny: Current::default(),
            cycle: AtomicU64::new(cycle),
            windows: array::from_fn(|_| Window::default()),
        }
    }

    /// The bytes that it owes.
    pub(crate) fn owes(&self) -> usize {
        usize::try_from((self.balance.get() as i64).saturating_neg()).unwrap_or(0)
    }

    pub(crate) fn cycle(&self) -> u64 {
        // Relaxed: as in `Word`.
        self.cycle.load(Ordering::Relaxed)
    }

    pub(crate) fn set_cycle(&self, cycle: u64) {
        self.cycle.store(cycle, Ordering::Relaxed);
    }

    /// The window of a kind.
    #[inline(always)]
    pub(crate) fn window(&self, kind: Kind) -> &Window {
        &self.windows[kind.number()]
    }

    pub(crate) fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }
}
