//! A cache that several threads share, with weak values: a page stays in it as long as somebody has it, and until the
//! collector, which works beside them, has found out that nobody has.
//!
//! ```text
//!   thread ── roots ──▶ Page ──▶ Style ◀── global
//!   cache: key ── weak ─▶┘
//! ```
//!
//! When a page is found dead, its finalizer is due: it is handed out once more, and written back. When it has been
//! freed, its cleanup is due, and its entry leaves the cache. Neither is called by the collector: each thread asks for
//! what is due when it suits it, which here is with no lock held.
//!
//! At the end the program checks that every page was written back exactly once, and that the cache and the heap are empty.
//!
//! ```text
//! cargo run --release -p heaplaw-optimized --example cache
//! ```

use heaplaw_optimized::{
    Config, Error,
    typed::{Data, Gc, Global, Heap, Link, Object, Root, Session, Weak},
};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A page that somebody has rendered.
#[derive(Object)]
struct Page {
    /// All pages have the same, an object of its own.
    style: Link<Style>,
    key: Data<u32>,
    /// No other page has the same, be it of the same key.
    serial: Data<u64>,
    text: Data<[u8; 400]>,
}

#[derive(Object)]
struct Style {
    letter: Data<char>,
}

/// The threads that use the cache, the keys that they ask for, and how often each asks.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) threads: u64,
    pub(crate) keys: u32,
    pub(crate) asks: u64,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) asked: u64,
    pub(crate) hits: u64,
    pub(crate) made: u64,
    pub(crate) written_back: u64,
    pub(crate) removed: u64,
    /// Whether the serial numbers of what was written back add up to those of what was made.
    pub(crate) adds_up: bool,
    /// What was left in the cache, and how many objects in the heap.
    pub(crate) left: (usize, usize),
    pub(crate) cycles: u64,
}

/// Pages by key, behind a lock for each few keys. No safepoint is taken under one: who waits for a lock keeps the collector
/// waiting, and whoever has it would wait for the collector.
struct Cache {
    shards: Vec<Mutex<HashMap<u32, Weak<Page>>>>,
    style: Global<Style>,
    /// The next page's number.
    serials: AtomicU64,
    made: Tally,
    written_back: Tally,
    removed: Tally,
}

/// How many pages, and the sum of their serial numbers.
#[derive(Default)]
struct Tally {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Tally {
    fn add(&self, serial: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(serial, Ordering::Relaxed);
    }

    fn get(&self) -> [u64; 2] {
        [&self.count, &self.sum].map(|number| number.load(Ordering::Relaxed))
    }
}

impl Cache {
    fn new(style: Global<Style>) -> Cache {
        let shards = (0..16).map(|_| Mutex::default()).collect();
        let [made, written_back, removed] = [(); 3].map(|()| Tally::default());
        Cache { shards, style, serials: AtomicU64::new(0), made, written_back, removed }
    }

    fn shard(&self, key: u32) -> MutexGuard<'_, HashMap<u32, Weak<Page>>> {
        self.shards[key as usize % self.shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of a key, and whether it was there.
    fn get<'m>(&self, session: &mut Session<'m>, key: u32) -> Result<(Root<'m, Page>, bool), Error> {
        if let Some(weak) = self.shard(key).get(&key)
            && let Some(page) = weak.upgrade(session)?
        {
            return Ok((session.root(page), true));
        }
        let page = self.render(session, key)?;
        let mut shard = self.shard(key);
        if let Some(weak) = shard.get(&key)
            && let Some(other) = weak.upgrade(session)?
        {
            // Somebody else was faster. Ours is garbage, and is written back like any.
            return Ok((session.root(other), true));
        }
        // Of a page that died meanwhile there may still be an entry; then it has a new page.
        shard.insert(key, session.weak(page.get(session)));
        Ok((page, false))
    }

    fn render<'m>(&self, session: &mut Session<'m>, key: u32) -> Result<Root<'m, Page>, Error> {
        let root = session.alloc::<Page>()?;
        let page = root.get(session);
        page.at(Page::STYLE).set(session, self.style.get(session)?);
        page.at(Page::KEY).set(session, key);
        page.at(Page::TEXT).set(session, [key as u8; 400]);
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        self.made.add(serial);
        page.at(Page::SERIAL).set(session, serial);
        session.set_finalizer(page, key);
        session.add_cleanup(page, key);
        Ok(root)
    }

    /// Whether a page is what was rendered for the key.
    fn is_right(&self, session: &Session<'_>, page: Gc<'_, Page>, key: u32) -> bool {
        let letter = page.at(Page::STYLE).get(session).map(|style| style.at(Style::LETTER).get(session));
        let text = page.at(Page::TEXT).get(session);
        (page.at(Page::KEY).get(session), letter) == (key, Some('§')) && text == [key as u8; 400]
    }

    /// Does what is due.
    fn attend(&self, session: &Session<'_>) -> Result<(), Error> {
        while let Some(due) = session.finalized() {
            let page = due.of::<Page>().expect("only pages have finalizers");
            assert!(self.is_right(session, page, due.token()), "a page that died is what it was");
            self.written_back.add(page.at(Page::SERIAL).get(session));
        }
        while let Some(due) = session.cleaned() {
            let mut shard = self.shard(due.token());
            // It may be that of a page that was rendered since.
            if let Some(weak) = shard.get(&due.token())
                && weak.upgrade(session)?.is_none()
            {
                shard.remove(&due.token());
            }
            self.removed.add(0);
        }
        Ok(())
    }

    /// One thread's work; gives how often a page was there.
    fn browse(&self, session: &mut Session<'_>, plan: Plan, seed: u64) -> Result<u64, Error> {
        let (mut hits, mut random) = (0, seed * 2 + 1);
        // What this thread has open. The oldest goes when another comes.
        let mut open: Vec<_> = (0..64).map(|_| None).collect();
        for ask in 0..plan.asks {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Small keys are asked for more often.
            let (a, b) = ((random >> 48) as u32 % plan.keys, (random >> 32) as u16 as u32 % plan.keys);
            let key = a * b / plan.keys;
            let (page, hit) = self.get(session, key)?;
            assert!(self.is_right(session, page.get(session), key), "the page of key {key}");
            hits += u64::from(hit);
            open[ask as usize % 64] = Some(page);
            if ask % 256 == 0 {
                self.attend(session)?;
            }
        }
        Ok(hits)
    }
}

/// Runs it all.
///
/// # Errors
/// What the heap refuses.
pub(crate) fn run(plan: Plan) -> Result<Told, Error> {
    let heap = Heap::new(Config { workers: 1, ..Config::DEFAULT })?;
    let cache = Cache::new(heap.global()?);
    heap.session(|session| {
        let style = session.alloc::<Style>()?;
        style.get(session).at(Style::LETTER).set(session, '§');
        cache.style.set(session, style.get(session))
    })?;

    let hits: u64 = thread::scope(|scope| {
        let (heap, cache) = (&heap, &cache);
        let work = |seed| scope.spawn(move || heap.session(|session| cache.browse(session, plan, seed)));
        let threads: Vec<_> = (0..plan.threads).map(work).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum::<Result<u64, Error>>()
    })?;

    // All sessions are over, so no page can be reached. One collection finds them dead, the next one frees them.
    let cycles = heap.last_cycle().map_or(0, |cycle| cycle.number);
    heap.session(|session| {
        for _ in 0..3 {
            session.collect();
            cache.attend(session)?;
        }
        cache.style.set(session, None)
    })?;
    heap.collect();
    let [[made, sum], [written_back, sum_of_these], [removed, _]] =
        [&cache.made, &cache.written_back, &cache.removed].map(Tally::get);
    Ok(Told {
        asked: plan.threads * plan.asks,
        hits,
        made,
        written_back,
        removed,
        adds_up: sum == sum_of_these,
        left: (
            cache.shards.iter().map(|shard| shard.lock().map_or(1, |shard| shard.len())).sum(),
            heap.stats().objects,
        ),
        cycles,
    })
}

impl Told {
    /// # Panics
    /// If something was lost, or done twice.
    pub(crate) fn check(&self) {
        assert!(self.made > 0 && self.hits + self.made >= self.asked, "{self:?}");
        assert_eq!((self.written_back, self.removed), (self.made, self.made), "{self:?}");
        assert!(self.adds_up && self.left == (0, 0), "{self:?}");
    }
}

#[allow(dead_code)] // A test runs it too, and prints nothing.
fn main() -> Result<(), Error> {
    let plan = Plan { threads: 4, keys: 20_000, asks: 300_000 };
    let told = run(plan)?;
    let (asked, percent) = (told.asked, told.hits * 100 / told.asked);
    println!(
        "{} threads asked for a page {asked} times, and it was in the cache {percent} % of the time",
        plan.threads
    );
    println!(
        "{} pages were made, while the collector went {} times through the heap beside them",
        told.made, told.cycles
    );
    println!("{} were written back when they were found dead; {} were freed", told.written_back, told.removed);
    println!("left are {} entries in the cache, and {} objects", told.left.0, told.left.1);
    told.check();
    Ok(())
}
