//! The one door to atomics, locks and threads. At the bottom: depends on nothing.
//!
//! A program gets those of `std`. The models in `models` are unit tests that get a checker's instead:
//!
//! | build                             | atomics are                              | what it finds                         |
//! |-----------------------------------|------------------------------------------|---------------------------------------|
//! | plain                             | `std`'s                                  |                                       |
//! | test with `--cfg heaplaw_loom`    | loom's, a load may be stale              | orderings that are too weak           |
//! | the same, inside `interleaved`  | loom's, all are read-modify-writes       | every interleaving, no stale values   |
//! | test with `--cfg heaplaw_shuttle` | `std`'s, each access may switch threads  | unlikely schedules of larger scenarios, up to the whole heap |
//!
//! Two modes of loom are needed because it explores a thread that loads and then stores the same location only once: in
//! its plain mode it sees stale values but not every interleaving.
//!
//! Shuttle's runs are sequentially consistent: one thread at a time, and a switch before an access is all that there is to
//! see. So its atomics here are `std`'s with such a switch. They look as `std`'s do in memory, so mapped memory that reads
//! zero is a table of them, and the whole heap can be run.
//!
//! Invariant: outside of tests everything here is the standard library's, at no cost.

#[cfg(not(all(test, any(heaplaw_loom, heaplaw_shuttle))))]
pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize},
    },
    thread,
};

#[cfg(all(test, heaplaw_shuttle))]
pub(crate) use {
    scheduled::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, quietly},
    shuttle::{
        sync::{Condvar, Mutex, MutexGuard},
        thread,
    },
};

#[cfg(all(test, heaplaw_loom))]
pub(crate) use modelled::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, interleaved, reset,
    thread,
};

pub(crate) use std::sync::{PoisonError, atomic::Ordering};
use std::{thread as real, time::Duration};

/// Lets others go on, while waiting for one of them.
pub(crate) fn relax() {
    thread::yield_now();
}

/// The same, for so long. A checker has no clock.
pub(crate) fn sleep(time: Duration) {
    if cfg!(all(test, any(heaplaw_loom, heaplaw_shuttle))) {
        relax();
    } else {
        // Not `thread`, which is the checker's where there is one.
        real::sleep(time);
    }
}

/// How often a thread that waits looks again after a moment, each time twice as long: a few microseconds, in all some ten.
const SPINS: usize = 8;
/// How long it sleeps from then on.
const NAP: Duration = Duration::from_micros(20);

/// Lets others go on, for whom one has waited so many times. It never yields: where there are more threads than processors
/// that gives away a whole slice of time, and who sleeps comes back at once.
pub(crate) fn rest(times: usize) {
    if times < SPINS && !cfg!(all(test, any(heaplaw_loom, heaplaw_shuttle))) {
        (0..8_usize << times).for_each(|_| std::hint::spin_loop());
    } else {
        sleep(NAP);
    }
}

/// Locks, whether or not somebody panicked while holding the lock: what it guards is kept consistent between any two
/// statements that can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loom's atomics, with loads that can be turned into read-modify-writes.
#[cfg(all(test, heaplaw_loom))]
mod modelled {
    use super::Ordering;
    pub(crate) use loom::{
        sync::{Condvar, Mutex, MutexGuard},
        thread,
    };
    use std::sync::atomic;

    /// Of the whole process: models run one at a time.
    static INTERLEAVED: atomic::AtomicBool = atomic::AtomicBool::new(false);

    /// Runs `model` with every load and every store a read-modify-write.
    pub(crate) fn interleaved(model: impl FnOnce()) {
        INTERLEAVED.store(true, Ordering::SeqCst);
        model();
        INTERLEAVED.store(false, Ordering::SeqCst);
    }

    /// Ends [`interleaved`] after a model that failed in it.
    pub(crate) fn reset() {
        INTERLEAVED.store(false, Ordering::SeqCst);
    }

    macro_rules! wrap {
        ($name:ident, $value:ty, $same:expr, $($method:ident),*) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    $name(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    if INTERLEAVED.load(Ordering::Relaxed) {
                        let same: fn(&loom::sync::atomic::$name, Ordering) -> $value = $same;
                        same(&self.0, order)
                    } else {
                        self.0.load(order)
                    }
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    if INTERLEAVED.load(Ordering::Relaxed) {
                        // Else loom may put the unchanged value that a load has written after this one.
                        self.0.swap(value, order);
                    } else {
                        self.0.store(value, order);
                    }
                }

                pub(crate) fn compare_exchange(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(old, new, success, failure)
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(old, new, success, failure)
                }

                $(pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    self.0.$method(value, order)
                })*
            }
        };
    }
    wrap!(AtomicU64, u64, |a, o| a.fetch_add(0, o), swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicUsize, usize, |a, o| a.fetch_add(0, o), swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicU32, u32, |a, o| a.fetch_add(0, o), swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicU16, u16, |a, o| a.fetch_add(0, o), swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicU8, u8, |a, o| a.fetch_add(0, o), swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicBool, bool, |a, o| a.fetch_or(false, o), swap, fetch_or, fetch_and);
}

/// The atomics of `std`, with a chance for other threads before each access.
#[cfg(all(test, heaplaw_shuttle))]
mod scheduled {
    use super::Ordering;
    use std::{cell::Cell, sync::atomic, time::Duration};

    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `body` without switches at its accesses: for who is alone, or only looks. Locks still switch.
    pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
        struct Loud(bool);
        impl Drop for Loud {
            fn drop(&mut self) {
                QUIET.set(self.0);
            }
        }
        let _loud = Loud(QUIET.replace(true));
        body()
    }

    fn switch() {
        if !QUIET.get() {
            // A switch and nothing else; `yield_now` would say that the thread waits for others, and cost it its priority.
            shuttle::thread::sleep(Duration::ZERO);
        }
    }

    macro_rules! wrap {
        ($name:ident, $value:ty, $($method:ident),*) => {
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub(crate) struct $name(atomic::$name);

            impl $name {
                pub(crate) const fn new(value: $value) -> Self {
                    $name(atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    switch();
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    switch();
                    self.0.store(value, order);
                }

                pub(crate) fn compare_exchange(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    switch();
                    self.0.compare_exchange(old, new, success, failure)
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    old: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    // Not the weak one: on some processors that fails by chance, and a schedule could not be repeated.
                    self.compare_exchange(old, new, success, failure)
                }

                $(pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    switch();
                    self.0.$method(value, order)
                })*
            }
        };
    }
    wrap!(AtomicU64, u64, swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicUsize, usize, swap, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max);
    wrap!(AtomicU32, u32, swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicU16, u16, swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicU8, u8, swap, fetch_add, fetch_sub, fetch_or, fetch_and);
    wrap!(AtomicBool, bool, swap, fetch_or, fetch_and);
}
