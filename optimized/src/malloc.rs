//! Malloc: the one heap of a process that programs allocate in and free by hand, and each thread's cache. Above
//! [`cache`](crate::cache), below the faces that programs see.
//!
//! Whoever frees says size and alignment again, and so the class: neither path looks anything up by address.
//!
//! ```text
//!   alloc ── class of size ── pop the thread's magazine ──▶ slot       dealloc ── class of size ── push
//!                              └ empty: refill                                                     └ full: spill
//! ```
//!
//! * **Before main and after thread destructors.** The thread-local is constant and has no destructor, so it can be used at
//!   any time. A thread's first refill asks for a call when it ends; that empties the cache, and what is allocated and
//!   freed after that bypasses it. So a thread that ends leaves nothing behind.
//! * **Across fork.** The child has the lock that it needs. What other threads had in their caches is lost to it.
//! * **Failure** is null, and changes nothing.
//!
//! Invariant: the class that a block was allocated with is the one of its size and alignment, whatever [`resize`] did to
//! it.

use crate::{
    arena::Arenas,
    cache::{self, BinAt, Cache, Depot},
    class::{class, class_for},
    error::Error,
    geometry::{MAX_SMALL, PAGE, WORD},
    memory::Memory,
    os::Faults,
    page::{PageCache, Pages},
    parked::{grows_on, roomy, rounded},
    span::Span,
    span_cache::Entry,
    sync::{Mutex, MutexGuard, lock},
};
use std::{
    alloc::Layout,
    cell::{Cell, UnsafeCell},
    ptr::{self, NonNull},
    sync::OnceLock,
};

/// The pages of the window, if the process may have as many addresses: 1 TiB.
const WINDOW: usize = (1 << 40) / PAGE;

/// From so many bytes on most of a block has no memory behind it, even if some was used before: the heap does not keep as
/// much. 64 MiB.
const RENEW: usize = 64 << 20;

/// What all threads share.
pub(crate) struct Malloc {
    pub(crate) memory: Memory,
    pub(crate) depot: Depot,
    /// Whose destructor is called when a thread ends, if there was one left to have.
    key: Option<libc::pthread_key_t>,
}

impl Malloc {
    /// Reserves a window of so many pages.
    pub(crate) fn reserve(pages: usize, faults: Faults) -> Result<Malloc, Error> {
        let (memory, planned) = Memory::reserve(pages, usize::MAX, faults, |plan| Depot::plan(plan, pages))?;
        // SAFETY: planned with this memory, and lives beside it.
        let depot = unsafe { Depot::open(memory.arenas(), planned) };
        Ok(Malloc { memory, depot, key: None })
    }
}

static HEAP: OnceLock<Malloc> = OnceLock::new();
/// Held by who makes the heap.
static MAKING: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Has not allocated.
    New,
    /// Has a cache, and will be told when it ends.
    Running,
    /// Has no cache any more.
    Ended,
}

struct Local {
    cache: Cache,
    thread: Cell<Thread>,
}

thread_local! {
    static LOCAL: Local = const { Local { cache: Cache::new(), thread: Cell::new(Thread::New) } };
}

/// The shared part, made when it is first needed. `None` if the kernel does not grant it now; the next call asks again.
pub(crate) fn heap() -> Option<&'static Malloc> {
    HEAP.get().or_else(make)
}

#[cold]
#[inline(never)]
fn make() -> Option<&'static Malloc> {
    let _alone = lock(&MAKING);
    if let Some(heap) = HEAP.get() {
        return Some(heap);
    }
    let heap = Arenas::reserve_up_to(WINDOW, |pages| Malloc::reserve(pages, Faults::NONE)).ok()?;
    let mut key = 0;
    // SAFETY: `key` is a place for the answer, and the functions live as long as the process.
    let key = unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork));
        (libc::pthread_key_create(&raw mut key, Some(end_thread)) == 0).then_some(key)
    };
    Some(HEAP.get_or_init(|| Malloc { key, ..heap }))
}

/// Whether this thread has a cache now.
fn has_cache(local: &Local, heap: &Malloc) -> bool {
    if local.thread.get() == Thread::New {
        local.thread.set(Thread::Running);
        let mark = ptr::without_provenance(1);
        // SAFETY: the key was made with the heap and is never deleted.
        let told = heap.key.is_some_and(|key| unsafe { libc::pthread_setspecific(key, mark) } == 0);
        if !told {
            local.thread.set(Thread::Ended);
        }
    }
    local.thread.get() == Thread::Running
}

/// Called when a thread ends that has a cache.
extern "C" fn end_thread(_: *mut libc::c_void) {
    LOCAL.with(|local| {
        local.thread.set(Thread::Ended);
        if let Some(heap) = heap() {
            local.cache.flush(&heap.memory, &heap.depot);
        }
    });
}

/// The lock of the pages, while a fork is under way.
struct Forking(UnsafeCell<Option<MutexGuard<'static, Pages>>>);

// SAFETY: only who holds the lock that it is about reads or writes it.
unsafe impl Sync for Forking {}

static FORKING: Forking = Forking(UnsafeCell::new(None));

extern "C" fn before_fork() {
    // Not made here: a fork while another thread makes it would otherwise wait.
    if let Some(heap) = HEAP.get() {
        let guard = heap.memory.pages();
        // SAFETY: we hold the lock.
        unsafe { *FORKING.0.get() = Some(guard) };
    }
}

extern "C" fn after_fork() {
    // SAFETY: this thread, or the one that it was forked from, has held the lock since `before_fork`, if there was one.
    drop(unsafe { (*FORKING.0.get()).take() });
}

#[cold]
#[inline(never)]
fn refill(at: BinAt) -> *mut u8 {
    let Some(heap) = heap() else { return ptr::null_mut() };
    let slot = LOCAL.with(|local| {
        if has_cache(local, heap) {
            return local.cache.refill(&heap.memory, &heap.depot, at);
        }
        let (mut pages, mut slot) = (PageCache::empty(), None);
        let refilled = heap.memory.refill(cache::kind(at.class()), 1, &mut pages, |found| slot = Some(found));
        heap.memory.flush(&mut pages);
        refilled.and(slot.ok_or(Error::OutOfMemory { requested: class(at.class()).size }))
    });
    slot.map_or(ptr::null_mut(), NonNull::as_ptr)
}

#[cold]
#[inline(never)]
fn spill(at: BinAt, slot: NonNull<u8>) {
    let Some(heap) = heap() else { return };
    LOCAL.with(|local| {
        if has_cache(local, heap) {
            local.cache.spill(&heap.memory, &heap.depot, at, slot);
        } else {
            _ = heap.memory.free_all(std::iter::once(slot.addr().get()));
        }
    });
}

/// A slot of a class, or null.
#[inline(always)]
fn pop(at: BinAt) -> *mut u8 {
    match LOCAL.with(|local| local.cache.pop(at)) {
        Some(slot) => slot.as_ptr(),
        None => refill(at),
    }
}

#[inline(always)]
fn push(at: BinAt, slot: NonNull<u8>) {
    if !LOCAL.with(|local| local.cache.push(at, slot)) {
        spill(at, slot);
    }
}

/// The bin of a layout that the fast paths are for: few bytes, aligned to a word at most.
#[inline(always)]
fn small(layout: Layout) -> Option<BinAt> {
    if layout.align() <= WORD { BinAt::small(layout.size()) } else { None }
}

/// The bin of any layout, if it has one.
fn bin(layout: Layout) -> Option<BinAt> {
    if layout.size() > MAX_SMALL {
        return None;
    }
    // A layout's size does not overflow when it is rounded up.
    let rounded = (layout.size().max(1) + (layout.align() - 1)) & !(layout.align() - 1);
    BinAt::small(rounded).or_else(|| class_for(layout.size(), layout.align()).map(BinAt::of))
}

/// A block, and whether it is known to read zero; or null.
#[inline(always)]
pub(crate) fn allocate(layout: Layout) -> (*mut u8, bool) {
    match small(layout) {
        Some(at) => (pop(at), false),
        None => allocate_more(layout),
    }
}

#[inline(never)]
fn allocate_more(layout: Layout) -> (*mut u8, bool) {
    match bin(layout) {
        Some(at) => (pop(at), false),
        None => allocate_pages(layout),
    }
}

#[inline(never)]
fn allocate_pages(layout: Layout) -> (*mut u8, bool) {
    allocate_so_many(layout.size().div_ceil(PAGE).max(1), layout.align())
}

fn allocate_so_many(pages: usize, align: usize) -> (*mut u8, bool) {
    let (pages, align) = (rounded(pages), align.div_ceil(PAGE));
    let Some(heap) = heap() else { return (ptr::null_mut(), false) };
    if align == 1
        && let Some(first) = LOCAL.with(|local| local.cache.spans.take(pages))
    {
        return (heap.memory.spans().at(first).address(0).as_ptr(), false);
    }
    match heap.memory.large(pages, align).ok() {
        Some((block, clean)) => (block.as_ptr(), clean),
        None => (ptr::null_mut(), false),
    }
}

/// A block to which one of `old` bytes moves that is to have this layout; or null.
pub(crate) fn move_to(layout: Layout, old: usize) -> *mut u8 {
    if grows_on(old, layout.size()) && bin(layout).is_none() {
        allocate_so_many(roomy(layout.size().div_ceil(PAGE)), layout.align()).0
    } else {
        allocate(layout).0
    }
}

/// Clears a block, of which so many bytes were asked for.
pub(crate) fn clear(block: NonNull<u8>, size: usize) {
    if size >= RENEW && renew(block) {
        return;
    }
    // SAFETY: the block was allocated just now, for so many bytes.
    unsafe { block.write_bytes(0, size) };
}

/// Lets the kernel put new memory behind a block as it is used. May be refused.
#[cold]
fn renew(block: NonNull<u8>) -> bool {
    let Some((heap, span)) = span_of(block) else { return false };
    let pages = span.first()..span.first() + span.pages();
    // SAFETY: the pages are those of a block that was allocated just now, and nothing is in them yet.
    unsafe { heap.memory.arenas().decommit(pages.clone()) == pages }
}

/// Frees a block that was allocated with this layout.
#[inline(always)]
pub(crate) fn deallocate(block: NonNull<u8>, layout: Layout) {
    match small(layout) {
        Some(at) => push(at, block),
        None => deallocate_more(block, layout),
    }
}

#[inline(never)]
fn deallocate_more(block: NonNull<u8>, layout: Layout) {
    match bin(layout) {
        Some(at) => push(at, block),
        None => {
            if let Some((heap, span)) = span_of(block) {
                deallocate_pages(heap, span);
            }
        }
    }
}

#[inline(always)]
fn deallocate_pages(heap: &'static Malloc, span: Span<'_>) {
    let give_up = |entry: Entry| heap.memory.free_large(heap.memory.spans().at(entry.first));
    LOCAL.with(|local| {
        let entry = Entry { first: span.first(), pages: span.pages() };
        let put = if has_cache(local, heap) { local.cache.spans.put(entry, give_up) } else { Err(entry) };
        put.unwrap_or_else(give_up);
    });
}

/// The span that a block is in.
pub(crate) fn span_of(block: NonNull<u8>) -> Option<(&'static Malloc, Span<'static>)> {
    let heap = heap()?;
    let spans = heap.memory.spans();
    Some((heap, spans.containing(spans.page_of(block.addr().get()))?))
}

/// Whether a block can have another layout of the same alignment from now on, where it is.
#[inline(always)]
pub(crate) fn resize(block: NonNull<u8>, layout: Layout, to: Layout) -> bool {
    match (small(layout), small(to)) {
        (Some(old), Some(new)) => old == new,
        _ => resize_more(block, layout, to),
    }
}

#[inline(never)]
fn resize_more(block: NonNull<u8>, layout: Layout, to: Layout) -> bool {
    match (bin(layout), bin(to)) {
        (Some(old), Some(new)) => old == new,
        (None, None) => {
            span_of(block).is_some_and(|(heap, span)| heap.memory.resize(span, to.size().div_ceil(PAGE).max(1)))
        }
        _ => false,
    }
}

/// Empties the cache of this thread.
pub(crate) fn flush(heap: &Malloc) {
    LOCAL.with(|local| local.cache.flush(&heap.memory, &heap.depot));
}
