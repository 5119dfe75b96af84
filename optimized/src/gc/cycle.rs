//! The cycle: from one phase to the next, and what is asked of mutators on the way.
//!
//! ```text
//!   start     finish the sweep ─ arm ─ round: barrier on ─ mark ─ round: allocate black
//!   handshake one mutator's roots
//!   mark      globals, objects
//!   finish    nothing grey? ─ round: flush ─ terminate ─ round: barrier off, windows flushed, allocate white ─ sweep
//! ```
//!
//! Nothing is scanned before every mutator uses the barrier, and no stack before every mutator allocates black. A mutator
//! whose stack is not scanned yet may hold what is white; what it stores of that is shaded by the barrier, what it keeps is
//! found when its stack is scanned.
//!
//! Nothing is swept before every mutator has put its barrier off: a late mark in a swept span would be taken for a mark of
//! the next cycle. And nothing before it has flushed its windows: so the spans that mutators hold are always swept ones.
//!
//! With a deletion barrier, all stacks are scanned in `start`; with an insertion barrier, all are scanned again in the flush
//! of `finish`. See [`barrier`](super::barrier).
//!
//! The steps may come in any order and with any number of mutator steps in between. The globals are one job, the stack
//! of each mutator is another, done once, and every grey object is one. A mutator that joins while objects are being
//! marked holds nothing, so its stack counts as scanned.
//!
//! Source: Go's `mgc.go`.

use super::{
    barrier::Barrier,
    handshake::{self, Roll},
    mark::Driver,
    pace::{Part, SLICE},
    phase::Phase,
    sweep::Swept,
};
use crate::{
    events::{Cause, Event, Listener},
    local::Local,
    root::MutatorId,
    state::State,
    stats::Cycle,
    sync::{Ordering, lock, rest},
    twin::{Twin, wrong},
};
use std::{sync::Arc, time::Instant};

/// What is asked of a mutator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Request {
    /// To use the barrier.
    Arm,
    /// To allocate black.
    Blacken,
    /// To scan its roots.
    Scan,
    /// To shade what its barrier has recorded.
    Flush,
    /// To forget the cycle that has ended marking.
    Release,
    /// To give its windows back, so that it looks at the pace before it allocates again.
    Renew,
    /// To run no more, until the collector lets it.
    Halt,
}

impl Request {
    const ALL: [Request; 7] = [
        Request::Arm,
        Request::Blacken,
        Request::Scan,
        Request::Flush,
        Request::Release,
        Request::Renew,
        Request::Halt,
    ];

    /// What a number that was left at a post asks for.
    fn of(number: u64) -> Request {
        Request::ALL[(number & 7) as usize % Request::ALL.len()]
    }
}

impl Driver {
    /// The number of the next round, in which this is asked for.
    fn next(&mut self, request: Request) -> u64 {
        self.round += 1;
        self.round << 3 | request as u64
    }
}

impl<L: Listener> State<L> {
    // ---- what mutators do

    /// Lets a new mutator see the phase as it is.
    pub(crate) fn admit(&self, local: &Local, phase: Phase) {
        local.barrier.set(phase.is_marking());
        local.black.set(phase == Phase::Mark);
        // While arming it may get hold of what is white before all use the barrier.
        local.scanned.set(phase != Phase::Arm || wrong(Twin::Joining));
    }

    /// Does what is asked for, if anything is. For a mutator between two operations.
    #[inline]
    pub(crate) fn safepoint(&self, local: &Local) {
        if let Some(request) = local.post.due() {
            self.comply(local, request);
        }
    }

    #[cold]
    fn comply(&self, local: &Local, request: u64) {
        if Request::of(request) == Request::Halt {
            return local.post.stand(request);
        }
        self.act(local, request);
        local.post.answer(request);
    }

    fn act(&self, local: &Local, request: u64) {
        self.listener.on(Event::Asked(local.id));
        // The pointers that are looked at, and the spans.
        let (mut looked, mut spans) = (0, 0);
        match Request::of(request) {
            Request::Arm => {
                local.barrier.set(true);
                local.scanned.set(false);
                local.balance.set(0);
                if wrong(Twin::Arming) {
                    self.scan_roots(local);
                }
            }
            Request::Blacken => spans = self.blacken(local),
            Request::Scan => looked = self.scan_roots(local),
            Request::Flush => {
                looked = self.flush_barrier(local);
                if self.config.barrier == Barrier::Insertion {
                    local.scanned.set(false);
                    looked += self.scan_roots(local);
                }
            }
            Request::Release => (looked, spans) = self.release(local),
            Request::Renew => spans = self.flush_windows(local),
            Request::Halt => {}
        }
        self.listener.on(Event::Pause { mutator: local.id, units: 1 + looked, spans });
    }

    /// Allocates black from now on, what is left in the windows included. Gives how many hold a span.
    fn blacken(&self, local: &Local) -> usize {
        let mut spans = 0;
        local.black.set(true);
        // It may be white, and hold nothing but garbage.
        local.tiny.forget();
        for window in local.windows() {
            if let Some(first) = window.span() {
                let (word, free) = window.left();
                self.space.span(first).mark_all(word, free);
                spans += 1;
            }
        }
        spans
    }

    fn release(&self, local: &Local) -> (usize, usize) {
        local.barrier.set(false);
        // What is white now is not reachable, or born since.
        let forgotten = local.buffer.drain().count();
        let spans = self.flush_windows(local);
        local.black.set(false);
        local.set_cycle(self.stage.now().0);
        (forgotten, spans)
    }

    /// Gives everything back that a mutator has. It is running, and will have left.
    pub(crate) fn retire(&self, local: &Arc<Local>) {
        self.safepoint(local);
        if !wrong(Twin::Leaving) {
            self.flush_barrier(local);
        }
        self.flush_windows(local);
        local.stack.truncate(0);
        local.post.leave();
        self.dismiss(local);
    }

    // ---- what the collector does

    /// Asks something of some mutators, and comes back when they have done it.
    fn ask(&self, driver: &mut Driver, mutators: &[Arc<Local>], request: Request) {
        let request = driver.next(request);
        if self.locals.is_halted() {
            mutators.iter().for_each(|local| self.act(local, request));
        } else {
            let act = |local: &Arc<Local>| self.act(local, request);
            self.waiting(|wait| handshake::round(mutators, |local| &local.post, request, act, |local| wait(local)));
        }
    }

    /// Does something for which mutators may have to be waited for; says which.
    fn waiting(&self, work: impl FnOnce(&mut dyn FnMut(&Local))) {
        let mut waits = 0;
        work(&mut |local| {
            let mut awaited = lock(&self.awaited);
            if awaited.is_none_or(|(id, _)| id != local.id) {
                (*awaited, waits) = (Some((local.id, Instant::now())), 0);
            }
            drop(awaited);
            waits += 1;
            rest(waits);
        });
        *lock(&self.awaited) = None;
    }

    /// Does something while no mutator runs, or joins and runs.
    pub(crate) fn halted<R>(&self, driver: &mut Driver, body: impl FnOnce(&mut Driver) -> R) -> R {
        /// Also if `body` panics.
        struct Halted<'r>(&'r Roll<Local>);
        impl Drop for Halted<'_> {
            fn drop(&mut self) {
                self.0.resume(|local| &local.post);
            }
        }
        let request = driver.next(Request::Halt);
        let _halted = Halted(&self.locals);
        self.waiting(|wait| handshake::halt(&self.locals, |local| &local.post, request, wait));
        body(driver)
    }

    fn ask_all(&self, driver: &mut Driver, request: Request) {
        self.ask(driver, &self.mutators(), request);
    }

    fn enter(&self, cycle: u64, phase: Phase) {
        // Told first: what mutators do in the phase comes after it.
        self.listener.on(Event::Phase(phase));
        self.stage.enter(cycle, phase);
    }

    /// Finishes the last cycle's sweep and begins to mark. Does nothing while a cycle is marking.
    pub(crate) fn start(&self, driver: &mut Driver, cause: Cause) -> bool {
        // What is swept now may move the trigger.
        let due = self.work.due_at();
        self.sweep_all();
        let (cycle, phase) = self.stage.now();
        if phase != Phase::Off {
            return false;
        }
        // All mark bits are clear: everything is white.
        let began = self.made.elapsed();
        self.begin_pace(cause, due);
        self.grey.open();
        // Relaxed: the requests order.
        self.snapshot.store(false, Ordering::Relaxed);
        self.enter(cycle, Phase::Arm);
        self.ask_all(driver, Request::Arm);
        driver.globals_scanned = false;
        self.enter(cycle, Phase::Mark);
        if !wrong(Twin::Blacken) {
            self.ask_all(driver, Request::Blacken);
        }
        if self.config.barrier == Barrier::Deletion {
            self.ask_all(driver, Request::Scan);
            self.snapshot.store(true, Ordering::Relaxed);
        }
        let (arming, workers, forced) = (self.made.elapsed() - began, self.config.workers, cause == Cause::Told);
        lock(&self.last).cycle = Cycle { number: cycle + 1, began, arming, workers, forced, ..Cycle::default() };
        true
    }

    /// Scans a stack that was not scanned in this cycle.
    pub(crate) fn handshake(&self, driver: &mut Driver, mutator: MutatorId) -> bool {
        let Some(local) = self.mutators().into_iter().find(|local| local.id == mutator) else { return false };
        if self.stage.phase() != Phase::Mark || local.scanned.get() {
            return false;
        }
        self.scan_stack(driver, local);
        true
    }

    /// Has a stack scanned; gives how many bytes it has.
    pub(crate) fn scan_stack(&self, driver: &mut Driver, local: Arc<Local>) -> usize {
        self.work_as(driver.who, Part::Stacks, || {
            let before = self.pace.roots();
            self.ask(driver, &[local], Request::Scan);
            self.pace.roots() - before
        })
    }

    /// Scans the globals; gives how many bytes they have.
    pub(crate) fn mark_globals(&self, driver: &mut Driver) -> usize {
        driver.globals_scanned = true;
        self.work_as(driver.who, Part::Globals, || {
            self.scan_globals();
            self.globals.len()
        })
    }

    /// Scans objects, up to about so many fields; gives how many bytes were scanned. Who listens to objects is told of
    /// each by itself, and when all of it is scanned.
    pub(crate) fn mark_some(&self, driver: &mut Driver, budget: usize) -> usize {
        self.work_as(driver.who, Part::Heap, || {
            self.grey.start_work();
            let marker = &mut driver.marker;
            let fields = if L::OBJECTS { self.mark_one(marker).unwrap_or(0) } else { self.drain(marker, budget) };
            self.grey.end_work();
            fields
        })
    }

    /// Scans the globals, or else the object that turned grey last.
    pub(crate) fn mark_step(&self, driver: &mut Driver) -> bool {
        if self.stage.phase() != Phase::Mark {
            return false;
        }
        if !driver.globals_scanned {
            self.mark_globals(driver);
            return true;
        }
        let mut marked = false;
        self.work_as(driver.who, Part::Heap, || {
            self.grey.start_work();
            let found = self.mark_one(&mut driver.marker);
            self.grey.end_work();
            marked = found.is_some();
            found.unwrap_or(0)
        });
        marked
    }

    /// Ends marking, if nothing is grey: no object, no stack, not the globals. What is white now is garbage.
    pub(crate) fn finish(&self, driver: &mut Driver) -> bool {
        let (cycle, phase) = self.stage.now();
        let grey = !driver.marker.waiting().is_empty()
            || !driver.globals_scanned
            || self.mutators().iter().any(|local| !local.scanned.get());
        if phase != Phase::Mark || grey {
            return false;
        }
        let mut asked = false;
        while !self.grey.is_over(|| {
            asked = true;
            self.ask_all(driver, Request::Flush);
        }) {
            if self.config.barrier != Barrier::Insertion || !asked {
                return false;
            }
            // What turned up when stacks were scanned again is marked at once, or they would get hold of more. Each round
            // that does not count has marked something, so there is a last one.
            self.mark_again(driver);
            if !self.grey.is_idle() {
                return false;
            }
        }
        let cycle = cycle + 1;
        // While all that is new is black: what is claimed from here on is added.
        let (claimed, marked) = (self.space.claimed(), self.space.marked());
        let ended = self.made.elapsed();
        self.enter(cycle, Phase::Terminate);
        if !wrong(Twin::Release) {
            self.ask_all(driver, Request::Release);
        }
        {
            let last = &mut *lock(&self.last);
            last.cycle.marking = ended - last.cycle.began - last.cycle.arming;
            last.cycle.releasing = self.made.elapsed() - ended;
            self.end_pace(&mut last.cycle, marked, claimed);
            last.over = Some(last.cycle);
        }
        // No mutator holds a span any more that is not swept for this cycle.
        self.space.forget_room(cycle);
        self.sweep.begin(cycle, self.space.pages().mapped());
        self.enter(cycle, Phase::Sweep);
        if wrong(Twin::Release) {
            self.ask_all(driver, Request::Release);
        }
        true
    }

    /// Scans all that is grey; gives whether anything was.
    fn mark_again(&self, driver: &mut Driver) -> bool {
        let mut any = false;
        while self.mark_some(driver, usize::MAX) > 0 {
            any = true;
        }
        any
    }

    /// Finishes a cycle that is marking, then runs a whole new one with its sweep.
    pub(crate) fn collect(&self, driver: &mut Driver, cause: Cause) {
        let mark = |driver: &mut Driver| {
            self.mark_to_the_end(driver);
            self.start(driver, cause);
            self.mark_to_the_end(driver);
        };
        if self.config.stop_the_world {
            self.halted(driver, mark);
        } else {
            mark(driver);
        }
        self.sweep_all();
    }

    /// Has the workers collect, or if there are none, does it: for who waits, and is no mutator that runs.
    pub(crate) fn collect_all(&self) {
        if !self.work.cycle() {
            self.collect(&mut self.driver(), Cause::Told);
        }
    }

    /// Starts a cycle whose steps others take; or if that stops the world, collects.
    pub(crate) fn set_out(&self, driver: &mut Driver, cause: Cause) -> bool {
        if self.config.stop_the_world {
            self.collect(driver, cause);
            return true;
        }
        self.start(driver, cause)
    }

    pub(crate) fn mark_to_the_end(&self, driver: &mut Driver) {
        if self.stage.phase() != Phase::Mark {
            return;
        }
        let grey: Vec<_> = self.mutators().into_iter().filter(|local| !local.scanned.get()).collect();
        for local in grey {
            self.scan_stack(driver, local);
        }
        if !driver.globals_scanned {
            self.mark_globals(driver);
        }
        self.work.mark(true);
        let mut waits = 0;
        loop {
            let done = self.mark_some(driver, SLICE);
            if done == 0 && self.finish(driver) {
                break;
            }
            waits = if done > 0 { 0 } else { waits + 1 };
            rest(waits);
        }
        self.work.mark(false);
    }

    /// Takes up to so many steps of sweeping; gives how many were taken.
    pub(crate) fn sweep_steps(&self, steps: usize) -> usize {
        let taken = (0..steps).take_while(|_| self.sweep_step() != Swept::Nothing).count();
        if self.stage.phase() == Phase::Off && self.is_due() {
            self.renew(&mut self.driver());
        }
        taken
    }

    /// The pace has changed otherwise than by allocation: has mutators look at it before they allocate again, if nobody else
    /// does.
    pub(crate) fn renew(&self, driver: &mut Driver) {
        if self.is_paced() && self.config.workers == 0 {
            self.ask_all(driver, Request::Renew);
        }
    }
}
