//! Grey: found, but not yet looked at. A mark bit says that an object is found; where it waits, a queue says.
//!
//! Who marks has a queue of its own. What is more than it can use soon it publishes: blocks of addresses in one lock-free
//! stack, from which any marker takes. That is hand-off and stealing in one. A mutator has no queue: what it shades it
//! publishes before its next operation.
//!
//! ```text
//!   mutator ── barrier buffer ── shade ──▶ block ──┐                     ┌──▶ queue of a marker ──▶ scan
//!   marker  ── queue too long ───────────▶ block ──┴──▶ stack of blocks ─┘
//! ```
//!
//! With each address comes what is known of the object, see [`Entry`](super::mark::Entry); here that is all one word.
//!
//! Invariants: an address that waits is marked, has pointers, and waits once; nothing waits unless objects are being
//! marked. So white is not marked, grey is marked and waits, black is marked and does not wait.
//!
//! Blocks are as many as there is room for beside the heap. What finds none free is spilled into a vector behind a lock:
//! slow, and never lost.
//!
//! Orderings: what is in a block is published by the stack. `activity` and `busy` are explained in
//! [`terminate`](super::terminate).
//!
//! Source: Go's `mgcwork.go`.

use crate::{
    stack::{Links, Stack},
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock},
    twin::{Twin, wrong},
};

/// Where blocks are kept. In each, the first word says how many addresses follow.
pub(crate) trait Blocks: Links {
    /// The words of a block.
    fn block(&self, number: usize) -> &[AtomicUsize];
    /// How many blocks there are.
    fn blocks(&self) -> usize;
}

/// The bit of the activity that says that marking is over.
const OVER: u64 = 1 << 63;

/// Addresses that wait for any marker, and the signs by which the end of marking is known.
#[derive(Debug)]
pub(crate) struct Grey {
    full: Stack,
    empty: Stack,
    /// How many blocks were ever used.
    used: AtomicUsize,
    spill: Mutex<Vec<usize>>,
    /// How many addresses are in `spill`.
    spilled: AtomicUsize,
    /// Counts what makes work: what was published, and announcements of mutators that are about to shade. [`OVER`] from the
    /// end of marking to the next cycle.
    activity: AtomicU64,
    /// How many markers have, or look for, something in hand.
    busy: AtomicUsize,
}

impl Grey {
    pub(crate) fn new() -> Grey {
        Grey {
            full: Stack::new(),
            empty: Stack::new(),
            used: AtomicUsize::new(0),
            spill: Mutex::new(Vec::new()),
            spilled: AtomicUsize::new(0),
            activity: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
        }
    }

    /// Says that something white is about to be shaded, before it is, or that something was published, after it was.
    pub(crate) fn announce(&self) {
        // Acquire and release: pairs with the acquire in `activity`, over the mark bit and the handshake.
        self.activity.fetch_add(1, Ordering::AcqRel);
    }

    /// As [`Grey::announce`], unless marking [is over](Grey::close): then gives `false`, and nothing may be shaded.
    pub(crate) fn announce_in_time(&self) -> bool {
        // Acquire and release: who finds marking over sees every mark.
        self.activity.fetch_add(1, Ordering::AcqRel) & OVER == 0
    }

    /// Says that marking is over, if there was no activity since there was so much; gives whether it is.
    pub(crate) fn close(&self, activity: u64) -> bool {
        // Acquire and release: as in `announce` and `activity`. Of an announcement and the end, one comes first.
        self.activity.compare_exchange(activity, activity | OVER, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that marking begins. Before any mutator uses the barrier.
    pub(crate) fn open(&self) {
        // Relaxed: the round that arms mutators publishes it.
        self.activity.fetch_and(!OVER, Ordering::Relaxed);
    }

    /// How often something was announced or published. No change of it: no work was made.
    pub(crate) fn activity(&self) -> u64 {
        // Acquire: pairs with `announce`.
        self.activity.load(Ordering::Acquire)
    }

    /// Gives addresses to whoever marks.
    pub(crate) fn publish(&self, blocks: &impl Blocks, addresses: &[usize]) {
        if !addresses.is_empty() {
            self.put(blocks, addresses);
            // After the addresses can be found: who does not see them sees them counted afterwards.
            self.announce();
        }
    }

    /// Puts addresses where any marker finds them.
    pub(crate) fn put(&self, blocks: &impl Blocks, addresses: &[usize]) {
        let mut rest = addresses;
        while !rest.is_empty() {
            let Some(number) = self.empty.pop(blocks).or_else(|| self.fresh(blocks)) else {
                let mut spill = lock(&self.spill);
                spill.extend_from_slice(rest);
                // Release: pairs with the acquire in `is_empty`.
                self.spilled.fetch_add(rest.len(), Ordering::Release);
                return;
            };
            let block = blocks.block(number);
            let (some, more) = rest.split_at(rest.len().min(block.len() - 1));
            block[0].store(some.len(), Ordering::Relaxed);
            for (slot, address) in block[1..].iter().zip(some) {
                slot.store(*address, Ordering::Relaxed);
            }
            self.full.push(blocks, number);
            rest = more;
        }
    }

    fn fresh(&self, blocks: &impl Blocks) -> Option<usize> {
        let all = blocks.blocks();
        // Relaxed: only counts.
        let number = self.used.load(Ordering::Relaxed);
        (number < all).then(|| self.used.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < all)
    }

    /// Takes a block; gives whether there was one. Only for who is [busy](Grey::start_work), or alone.
    pub(crate) fn take(&self, blocks: &impl Blocks, queue: &mut Vec<usize>) -> bool {
        if let Some(number) = self.full.pop(blocks) {
            let block = blocks.block(number);
            let count = block[0].load(Ordering::Relaxed);
            queue.extend(block[1..].iter().take(count).map(|slot| slot.load(Ordering::Relaxed)));
            self.empty.push(blocks, number);
            return true;
        }
        if self.spilled.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut spill = lock(&self.spill);
        let from = spill.len() - spill.len().min(64);
        queue.extend(spill.drain(from..));
        self.spilled.store(spill.len(), Ordering::Release);
        !queue.is_empty()
    }

    /// Whether nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.spilled.load(Ordering::Acquire) == 0
    }

    /// The addresses that wait here, while nobody marks.
    pub(crate) fn waiting(&self, blocks: &impl Blocks) -> Vec<usize> {
        let mut all = lock(&self.spill).clone();
        for number in self.full.iter(blocks) {
            let block = blocks.block(number);
            let count = block[0].load(Ordering::Relaxed);
            all.extend(block[1..].iter().take(count).map(|slot| slot.load(Ordering::Relaxed)));
        }
        all
    }

    /// Says that the caller is about to take addresses, and until it [ends](Grey::end_work) may have some in hand.
    pub(crate) fn start_work(&self) {
        // Acquire and release: before anything is taken.
        self.busy.fetch_add(1, Ordering::AcqRel);
    }

    /// Says that the caller has nothing in hand any more.
    pub(crate) fn end_work(&self) {
        // Release: pairs with the acquire in `is_idle`.
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether nobody has anything in hand.
    pub(crate) fn is_idle(&self) -> bool {
        // Acquire: pairs with the release in `end_work`.
        self.busy.load(Ordering::Acquire) == 0 || wrong(Twin::InHand)
    }
}
