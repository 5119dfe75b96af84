//! The heap for C: the [raw face](crate::raw) as functions. What each of them means, `include/heaplaw.h` says; a test holds
//! the two together.
//!
//! A closure that a mutator runs in is nothing that C has. So a [`Handle`] owns its mutator, which
//! [begins](Mutator::begin) to run in `heaplaw_enter` and [ends](Mutator::end) in `heaplaw_park`; in between each function
//! borrows it for as long as it takes. Nothing is borrowed across calls.
//!
//! Invariants: a handle is only ever reached by a shared reference, and all of it is atomic, so that a thread that uses
//! another's is refused and breaks nothing. Its owner is the thread that it runs on, 0 while it is parked; whoever is
//! the owner is alone with the mutator. Nothing here panics: what could, is looked at before; what does all the same
//! ends the process at the border.

use crate::{Config, Error, Heap, Mutator, geometry::WORD, raw::Raw};
use std::{
    cell::Cell,
    ffi::{c_char, c_int, c_uint, c_void},
    fmt::{Arguments, Write},
    ptr, slice,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Why a function was refused.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Code {
    Ok,
    Null,
    NotRunning,
    Running,
    OtherThread,
    NoMemory,
    Os,
    NoPlace,
    Changed,
    Corrupt,
}

/// As `heaplaw_config`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Settings {
    reservation: usize,
    limit: usize,
    globals: usize,
    soft_limit: usize,
    workers: c_uint,
    gogc: c_int,
    paced: c_int,
}

/// As `heaplaw_stats`.
#[repr(C)]
pub(crate) struct Figures {
    objects: usize,
    bytes: usize,
    in_use: usize,
    mapped: usize,
    released: usize,
    cycles: usize,
}

/// As `heaplaw_mutator`.
pub(crate) struct Handle {
    mutator: Mutator,
    owner: AtomicUsize,
}

// ---- errors

/// The bytes of a message, with the zero at its end.
const MESSAGE: usize = 160;

thread_local! {
    static CODE: Cell<c_int> = const { Cell::new(0) };
    static TEXT: Cell<[u8; MESSAGE]> = const { Cell::new([0; MESSAGE]) };
}

/// As much of a text as fits, and a zero.
struct Text([u8; MESSAGE], usize);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let count = text.len().min(MESSAGE - 1 - self.1);
        self.0[self.1..][..count].copy_from_slice(&text.as_bytes()[..count]);
        self.1 += count;
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn refuse(code: Code, message: Arguments<'_>) -> Code {
    let mut text = Text([0; MESSAGE], 0);
    _ = text.write_fmt(message);
    TEXT.set(text.0);
    CODE.set(code as c_int);
    code
}

impl From<Error> for Code {
    #[cold]
    fn from(error: Error) -> Code {
        let code = match error {
            Error::OutOfMemory { .. } => Code::NoMemory,
            _ => Code::Os,
        };
        refuse(code, format_args!("{error}"))
    }
}

#[cold]
#[inline(never)]
fn null(what: &str) -> Code {
    refuse(Code::Null, format_args!("the {what} is NULL"))
}

#[cold]
#[inline(never)]
fn no_place(what: &str, index: usize) -> Code {
    refuse(Code::NoPlace, format_args!("there is no {what} {index}"))
}

fn code(result: Result<(), Code>) -> c_int {
    result.err().unwrap_or(Code::Ok) as c_int
}

// ---- handles

/// Which thread this is: a number that no other has as long as it lives.
#[inline]
fn here() -> usize {
    thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
    HERE.with(|here| ptr::from_ref(here).addr())
}

/// # Safety
/// Null, or what `heaplaw_create` gave and `heaplaw_destroy` did not get yet.
unsafe fn heap<'h>(heap: *const Heap) -> Result<&'h Heap, Code> {
    // SAFETY: the caller's; a heap may be shared.
    unsafe { heap.as_ref() }.ok_or_else(|| null("heap"))
}

/// A mutator that runs on no other thread.
///
/// # Safety
/// Null, or what `heaplaw_join` gave and `heaplaw_leave` did not take back yet.
unsafe fn handle<'h>(mutator: *const Handle) -> Result<&'h Handle, Code> {
    // SAFETY: the caller's; a handle is reached by shared references alone.
    let handle = unsafe { mutator.as_ref() }.ok_or_else(|| null("mutator"))?;
    let owner = handle.owner.load(Ordering::Relaxed);
    if owner == 0 || owner == here() { Ok(handle) } else { Err(elsewhere()) }
}

#[cold]
#[inline(never)]
fn elsewhere() -> Code {
    refuse(Code::OtherThread, format_args!("the mutator runs on another thread"))
}

#[cold]
#[inline(never)]
fn not_running(owner: usize) -> Code {
    if owner == 0 { refuse(Code::NotRunning, format_args!("the mutator is parked")) } else { elsewhere() }
}

/// A mutator that runs on this thread.
///
/// # Safety
/// As [`handle`].
#[inline]
unsafe fn running<'h>(mutator: *const Handle) -> Result<Raw<'h>, Code> {
    // SAFETY: as in `handle`.
    let handle = unsafe { mutator.as_ref() }.ok_or_else(|| null("mutator"))?;
    // Relaxed: a thread finds its own number only if it has put it there itself.
    let owner = handle.owner.load(Ordering::Relaxed);
    if owner == here() { Ok(handle.mutator.as_raw()) } else { Err(not_running(owner)) }
}

/// The same, if the heap has memory for word `index` of an object.
///
/// # Safety
/// As [`handle`].
#[inline]
unsafe fn at_word<'h>(mutator: *const Handle, object: usize, index: usize) -> Result<Raw<'h>, Code> {
    // SAFETY: the caller's.
    let raw = unsafe { running(mutator) }?;
    let has = index.checked_mul(WORD).is_some_and(|at| raw.has(object, at, WORD));
    if has { Ok(raw) } else { Err(no_place("word", index)) }
}

/// The same, if there is this slot.
///
/// # Safety
/// As [`handle`].
#[inline]
unsafe fn at_slot<'h>(mutator: *const Handle, slot: usize) -> Result<Raw<'h>, Code> {
    // SAFETY: the caller's.
    let raw = unsafe { running(mutator) }?;
    if slot < raw.slots() { Ok(raw) } else { Err(no_place("slot", slot)) }
}

// ---- what C calls. Safety, of all: pointers are what the header says, and handles not used after they were given back.

#[unsafe(no_mangle)]
pub(crate) extern "C" fn heaplaw_error() -> c_int {
    CODE.get()
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn heaplaw_message() -> *const c_char {
    TEXT.with(|text| text.as_ptr().cast_const().cast())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_create(config: *const Settings) -> *mut Heap {
    let or = |number: usize, default: usize| if number == 0 { default } else { number };
    let default = Config::DEFAULT;
    // SAFETY: null, or a pointer to a config, says the header.
    let config = match unsafe { config.as_ref() } {
        None => default,
        Some(settings) => Config {
            reservation: or(settings.reservation, default.reservation),
            limit: or(settings.limit, default.limit),
            globals: or(settings.globals, default.globals),
            soft_limit: Some(settings.soft_limit).filter(|limit| *limit != 0),
            workers: settings.workers as usize,
            gogc: if settings.gogc == 0 { default.gogc } else { u32::try_from(settings.gogc).ok() },
            paced: settings.paced != 0,
            ..default
        },
    };
    match Heap::new(config).map_err(Code::from) {
        Ok(heap) => Box::into_raw(Box::new(heap)),
        Err(_) => ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_destroy(heap: *mut Heap) {
    if !heap.is_null() {
        // SAFETY: from `heaplaw_create`, and not destroyed yet, says the header.
        drop(unsafe { Box::from_raw(heap) });
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_get_stats(of: *const Heap, into: *mut Figures) -> c_int {
    // SAFETY: as the header says.
    let figures = unsafe { heap(of) }.map(|heap| {
        let (stats, cycle) = (heap.stats(), heap.last_cycle());
        Figures {
            objects: stats.objects,
            bytes: stats.bytes,
            in_use: stats.in_use,
            mapped: stats.mapped,
            released: stats.released,
            cycles: cycle.map_or(0, |cycle| cycle.number as usize),
        }
    });
    if into.is_null() {
        return null("place for the figures") as c_int;
    }
    // SAFETY: as the header says, it can be written.
    code(figures.map(|figures| unsafe { into.write(figures) }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_trace(of: *const Heap, buffer: *mut c_char, size: usize) -> usize {
    // SAFETY: as the header says.
    let Ok(heap) = (unsafe { heap(of) }) else { return 0 };
    let line = heap.last_cycle().map(|cycle| cycle.to_string()).unwrap_or_default();
    if !buffer.is_null() && size > 0 {
        // SAFETY: as the header says, so many bytes can be written.
        let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), size) };
        let count = line.len().min(size - 1);
        buffer[..count].copy_from_slice(&line.as_bytes()[..count]);
        buffer[count] = 0;
    }
    line.len()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_verify(of: *const Heap) -> c_int {
    // SAFETY: as the header says.
    let verified = unsafe { heap(of) }.map(Heap::verify);
    code(verified.and_then(|found| found.map_err(|why| refuse(Code::Corrupt, format_args!("{why}")))))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_join(of: *const Heap) -> *mut Handle {
    // SAFETY: as the header says.
    match unsafe { heap(of) } {
        Ok(heap) => Box::into_raw(Box::new(Handle { mutator: heap.join(), owner: AtomicUsize::new(0) })),
        Err(_) => ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_leave(mutator: *mut Handle) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { handle(mutator) }.map(|handle| {
        if handle.owner.load(Ordering::Relaxed) == here() {
            handle.mutator.end();
        }
        // SAFETY: from `heaplaw_join`, and not given back yet, says the header.
        drop(unsafe { Box::from_raw(mutator) });
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_enter(mutator: *const Handle) -> c_int {
    // SAFETY: as the header says.
    let entered = unsafe { handle(mutator) }.and_then(|handle| {
        // Acquire: pairs with the release in `heaplaw_park`, maybe on another thread.
        match handle.owner.compare_exchange(0, here(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                handle.mutator.begin();
                Ok(())
            }
            Err(owner) if owner == here() => Err(refuse(Code::Running, format_args!("the mutator runs already"))),
            Err(_) => Err(elsewhere()),
        }
    });
    code(entered)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_park(mutator: *const Handle) -> c_int {
    // SAFETY: as the header says.
    let parked = unsafe { running(mutator) }.and_then(|_| unsafe { handle(mutator) });
    code(parked.map(|handle| {
        handle.mutator.end();
        // Release: pairs with the acquire in `heaplaw_enter`.
        handle.owner.store(0, Ordering::Release);
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_safepoint(mutator: *const Handle) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { running(mutator) }.map(|mut raw| raw.safepoint()))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_collect(mutator: *const Handle) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { handle(mutator) }.map(|handle| {
        let runs = handle.owner.load(Ordering::Relaxed) == here();
        if runs {
            handle.mutator.end();
        }
        handle.mutator.heap().collect();
        if runs {
            handle.mutator.begin();
        }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_alloc(mutator: *const Handle, pointers: usize, bytes: usize) -> usize {
    // SAFETY: as the header says.
    let raw = unsafe { running(mutator) };
    raw.and_then(|mut raw| raw.alloc(pointers, bytes).map_err(Code::from)).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_load(mutator: *const Handle, object: usize, index: usize) -> usize {
    // SAFETY: as the header says.
    unsafe { at_word(mutator, object, index) }.map_or(0, |raw| raw.load(object, index))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_store(
    mutator: *const Handle,
    object: usize,
    index: usize,
    value: usize,
) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { at_word(mutator, object, index) }.map(|raw| raw.store(object, index, value)))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_swap(
    mutator: *const Handle,
    object: usize,
    index: usize,
    value: usize,
) -> usize {
    // SAFETY: as the header says.
    unsafe { at_word(mutator, object, index) }.map_or(0, |raw| raw.swap(object, index, value))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_cas(
    mutator: *const Handle,
    object: usize,
    index: usize,
    expected: *mut usize,
    value: usize,
) -> c_int {
    // SAFETY: null, or a pointer to a reference, says the header.
    let Some(expected) = (unsafe { expected.as_mut() }) else { return null("expected value") as c_int };
    // SAFETY: as the header says.
    code(unsafe { at_word(mutator, object, index) }.and_then(|raw| {
        raw.compare_exchange(object, index, *expected, value).map(|_| ()).map_err(|found| {
            *expected = found;
            // No mistake, so nothing is said of it.
            Code::Changed
        })
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_word(mutator: *const Handle, object: usize, index: usize) -> usize {
    // SAFETY: as the header says.
    unsafe { at_word(mutator, object, index) }.map_or(0, |raw| raw.word(object, index))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_set_word(
    mutator: *const Handle,
    object: usize,
    index: usize,
    value: usize,
) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { at_word(mutator, object, index) }.map(|raw| raw.set_word(object, index, value)))
}

/// A mutator that runs here, and whose heap has memory for these bytes; and where they come from or go to.
///
/// # Safety
/// As [`handle`]; `data` is null, or there is so much of it.
unsafe fn at_bytes<'h>(
    mutator: *const Handle,
    (object, at): (usize, usize),
    data: *const c_void,
    size: usize,
) -> Result<Raw<'h>, Code> {
    // SAFETY: the caller's.
    let raw = unsafe { running(mutator) }?;
    if data.is_null() && size > 0 {
        return Err(null("data"));
    }
    if size == 0 || raw.has(object, at, size) { Ok(raw) } else { Err(no_place("byte", at.saturating_add(size))) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_read(
    mutator: *const Handle,
    object: usize,
    at: usize,
    data: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { at_bytes(mutator, (object, at), data, size) }.map(|raw| {
        if size > 0 {
            // SAFETY: not null, and as the header says, so many bytes can be written.
            raw.read(object, at, unsafe { slice::from_raw_parts_mut(data.cast(), size) });
        }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_write(
    mutator: *const Handle,
    object: usize,
    at: usize,
    data: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { at_bytes(mutator, (object, at), data, size) }.map(|raw| {
        if size > 0 {
            // SAFETY: not null, and as the header says, so many bytes can be read.
            raw.write(object, at, unsafe { slice::from_raw_parts(data.cast(), size) });
        }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_push(mutator: *const Handle, value: usize) -> usize {
    // SAFETY: as the header says.
    unsafe { running(mutator) }.map_or(usize::MAX, |mut raw| raw.push(value))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_get(mutator: *const Handle, slot: usize) -> usize {
    // SAFETY: as the header says.
    unsafe { at_slot(mutator, slot) }.map_or(0, |raw| raw.get(slot))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_set(mutator: *const Handle, slot: usize, value: usize) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { at_slot(mutator, slot) }.map(|mut raw| raw.set(slot, value)))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_pop_to(mutator: *const Handle, slot: usize) -> c_int {
    // SAFETY: as the header says.
    code(unsafe { running(mutator) }.map(|mut raw| raw.pop_to(slot)))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_global(mutator: *const Handle, index: usize) -> usize {
    // SAFETY: as the header says.
    let raw = unsafe { running(mutator) };
    let raw = raw.and_then(|raw| if index < raw.globals() { Ok(raw) } else { Err(no_place("global", index)) });
    raw.map_or(0, |raw| raw.global(index))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn heaplaw_set_global(mutator: *const Handle, index: usize, value: usize) -> c_int {
    // SAFETY: as the header says.
    let raw = unsafe { running(mutator) };
    let raw = raw.and_then(|raw| if index < raw.globals() { Ok(raw) } else { Err(no_place("global", index)) });
    code(raw.map(|raw| raw.set_global(index, value)))
}
