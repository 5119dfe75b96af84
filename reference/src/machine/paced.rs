//! A machine that paces itself: the [`pacer`](crate::pacer)'s formulas, put to work.
//!
//! ```text
//!   an allocation of n bytes
//!     marking    charge n to the mutator; if it is in debt, it assists, and may end marking
//!     sweeping   sweep what is owed for n bytes more, and before memory is asked for whatever makes room
//!     allocate, and count n as live
//!     off        the trigger is reached: start a cycle
//!   any operation of a mutator, and time that passes
//!     marking    the background worker first catches up with its quarter of the time so far
//! ```
//!
//! Time is counted, not measured. There is one processor, and it is slow: an operation takes a millisecond, to allocate
//! or to scan a byte takes a microsecond, and what the clock says is spent computing. While marking, for every three
//! parts of time that mutators have, the background worker has one. What the program tells the collector to do takes
//! the program's time. So a run is a function of its operations, like any other of the machine.
//!
//! A machine that stops its mutators while it marks does not start a cycle while the limiter is on; the others only
//! stop to assist.
//!
//! A page that no object touches is given back at once.
//!
//! Invariants: `live` is what was marked last and all that was allocated since; whatever is scanned was scanned by
//! somebody: `background + assists + told` is all scan work ever done; between two operations nobody is in debt while
//! marking, unless the limiter is on.
//!
//! This chapter grounds laws 94, 98 to 106 and 141. Source: Go's `mgcpacer.go` and `malloc.go`.

use super::{Cell, Machine, PAGE};
use crate::{
    color::Color,
    event::{Cause, Event, Phase},
    gauge::Gauge,
    object::{Shape, WORD},
    op::{Environment, GLOBALS, MUTATORS, MutatorId, ROOTS},
    pacer::{
        Account, ConsMark, Gogc, LastCycle, Limiter, Memory, Pace, Pacing, Pool, Progress, Shares, Spent, UTILIZATION,
        Work, cons_mark, limit_goal, sweep_debt, sweep_ratio,
    },
    protocol::StackScan,
};
use alloc::vec::Vec;

/// CPU time of an operation, in nanoseconds.
const OPERATION: u64 = 1_000_000;

/// CPU time to allocate a byte, and to scan one.
const BYTE: u64 = 1_000;

/// Scan work of a stack, and of the globals, in bytes.
pub(super) const STACK: u64 = ROOTS as u64 * WORD;
pub(super) const STATICS: u64 = GLOBALS as u64 * WORD;

/// Who scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    Background,
    Assist,
    /// The program, by telling the collector to.
    Program,
}

/// What a machine needs to know to pace itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pacer {
    rules: Pacing,
    gogc: Gogc,
    limit: Option<u64>,
    last: LastCycle,
    measured: ConsMark,
    cons_mark: f64,
    live: u64,
    /// The live bytes when the sweep ratio was computed, what was to be swept then, and the ratio, per byte.
    sweep: (u64, u64, f64),
    accounts: [Account; MUTATORS as usize],
    pool: Pool,
    limiter: Limiter,
    /// What has run over, since an object is scanned in one piece, and is still to be made up for: nanoseconds.
    overrun: u64,
    worker: Worker,
    /// Time that the background worker may still take, or has taken too much, in nanoseconds.
    due: i64,
    /// When the cycle started, and the time that assists have taken since.
    since: u64,
    assisted: u64,
    /// All numbers of the gauge that are counted. The others are filled in when somebody asks.
    counts: Gauge,
}

impl Pacer {
    fn new(rules: Pacing) -> Pacer {
        Pacer {
            rules,
            gogc: Gogc::Percent(100),
            limit: None,
            last: LastCycle::default(),
            measured: ConsMark::default(),
            cons_mark: 0.0,
            live: 0,
            sweep: (0, 0, 0.0),
            accounts: [Account::default(); MUTATORS as usize],
            pool: Pool::default(),
            limiter: Limiter::new(1, 0),
            overrun: 0,
            worker: Worker::Program,
            due: 0,
            since: 0,
            assisted: 0,
            counts: Gauge { processors: 1, ..Gauge::default() },
        }
    }

    /// Time passes in which mutators run.
    fn run(&mut self, time: u64, marking: bool) {
        self.counts.elapsed = self.counts.elapsed.saturating_add(time);
        self.allow(time, marking);
        let idle = time.min(self.overrun);
        self.overrun -= idle;
        self.limiter.update(self.counts.elapsed, Spent { idle, ..Spent::default() });
    }

    /// The background worker has its share beside this much time of others.
    fn allow(&mut self, time: u64, marking: bool) {
        if marking {
            self.due = self.due.saturating_add((time as f64 * UTILIZATION / (1.0 - UTILIZATION)) as i64);
        }
    }

    fn limiting(&self) -> bool {
        self.rules.limits && (self.overrun > 0 || self.limiter.limiting())
    }

    /// Somebody has scanned so many bytes.
    fn scan(&mut self, bytes: u64) {
        let time = bytes * BYTE;
        let (limited, overflow) = (self.limiting(), self.limiter.overflow());
        let counts = &mut self.counts;
        counts.done += bytes;
        counts.elapsed += time;
        let collector = match self.worker {
            Worker::Background => {
                counts.background += bytes;
                self.due = self.due.saturating_sub_unsigned(time);
                time
            }
            Worker::Assist => {
                counts.assists += bytes;
                self.assisted += time;
                self.allow(time, true);
                time
            }
            Worker::Program => {
                counts.told += bytes;
                0
            }
        };
        self.counts.collecting += collector;
        // Whose time it is, is known to the last: the background worker's quarter need not be guessed.
        self.limiter.update(self.counts.elapsed, Spent { assists: collector, ..Spent::default() });
        self.overrun += self.limiter.overflow() - overflow;
        self.counts.limited += u64::from(self.limiting() && !limited);
    }
}

impl Machine {
    /// The same machine, pacing itself by these rules.
    #[must_use]
    pub fn paced(self, rules: Pacing) -> Self {
        Machine { pacer: Some(Pacer::new(rules)), ..self }
    }

    // ---- what mutators do

    /// Before a mutator allocates: it works for what it is going to take.
    pub(super) fn work_ahead(&mut self, by: MutatorId, shape: Shape, events: &mut Vec<Event>) {
        let bytes = Machine::usable(shape);
        self.assist(by, bytes, events);
        let Some(Pacer { rules, live, sweep: (from, total, ratio), .. }) = self.pacer else { return };
        let owed = sweep_debt(ratio, live - from, bytes);
        while self.phase == Phase::Sweep && rules.sweeps && (owed >= total || self.unswept() + owed > total) {
            self.sweep_step(events);
        }
        while self.phase == Phase::Sweep && self.gap(bytes).is_none_or(|at| self.grows(at, bytes)) {
            self.sweep_step(events);
        }
    }

    fn assist(&mut self, by: MutatorId, bytes: u64, events: &mut Vec<Event>) {
        let progress = self.progress();
        let Some(pacer) = self.pacer.as_mut().filter(|pacer| self.phase == Phase::Mark && pacer.rules.assists) else {
            return;
        };
        let at = usize::from(by.0);
        pacer.accounts[at].allocate(bytes, bytes);
        if pacer.limiting() {
            return;
        }
        let ratio = progress.ratio(pacer.gogc);
        let (mut account, mut pool) = (pacer.accounts[at], core::mem::take(&mut pacer.pool));
        account.assist(ratio, &mut pool, |work| self.drain(work, events));
        if let Some(pacer) = &mut self.pacer {
            let others = pacer.accounts.iter().enumerate().filter(|(other, _)| *other != at);
            let taken: i64 = others.map(|(_, other)| other.balance.max(0)).sum();
            let room = i64::try_from(ratio.goal.saturating_sub(pacer.live)).unwrap_or(i64::MAX);
            account.cap(room.saturating_sub(taken));
            (pacer.accounts[at], pacer.pool) = (account, pool);
        }
    }

    /// Scans so many bytes, if there are as many and the limiter allows it; says how many were scanned.
    fn drain(&mut self, work: i64, events: &mut Vec<Event>) -> i64 {
        let Some(pacer) = &mut self.pacer else { return 0 };
        let before = pacer.counts.done;
        if !pacer.rules.works {
            pacer.counts.assists += work as u64;
            return work;
        }
        let more = move |pacer: &Pacer| (pacer.counts.done - before) < work as u64 && !pacer.limiting();
        self.mark_as(Worker::Assist, events, more);
        self.pacer.as_ref().map_or(0, |pacer| (pacer.counts.done - before) as i64)
    }

    /// The background worker takes the time that it is due.
    pub(super) fn catch_up(&mut self, events: &mut Vec<Event>) {
        let Some(before) = self.pacer.as_ref().map(|pacer| pacer.counts.done) else { return };
        self.mark_as(Worker::Background, events, |pacer| pacer.due > 0);
        if let Some(pacer) = &mut self.pacer {
            // What one worker has done, others need not do. Nobody waits for it here.
            pacer.pool.credit += (pacer.counts.done - before) as i64;
        }
    }

    /// Marks as long as there is something to mark, and more is wanted.
    fn mark_as(&mut self, worker: Worker, events: &mut Vec<Event>, more: impl Fn(&Pacer) -> bool) {
        while self.phase == Phase::Mark
            && let Some(pacer) = self.pacer.as_mut().filter(|pacer| more(pacer))
        {
            pacer.worker = worker;
            let grey = self.stacks.iter().position(|s| s.as_ref().is_some_and(|s| s.color == Color::Grey));
            let step = match grey {
                Some(mutator) => self.handshake(MutatorId(mutator as u8), events),
                None => self.mark_step(events) || self.finish(events),
            };
            if !step {
                break;
            }
        }
        self.program_works();
    }

    fn program_works(&mut self) {
        if let Some(pacer) = &mut self.pacer {
            pacer.worker = Worker::Program;
        }
    }

    /// After a mutator has allocated: its bytes count, and a cycle starts if it is time.
    pub(super) fn count_newborn(&mut self, bytes: u64, events: &mut Vec<Event>) {
        let marking = self.phase == Phase::Mark;
        let Some(pacer) = &mut self.pacer else { return };
        if pacer.rules.counts_newborns || !marking {
            pacer.live += bytes;
        }
        pacer.run(bytes * BYTE, marking);
        if let Some(cause) = self.due() {
            if let Some(pacer) = &mut self.pacer {
                pacer.worker = Worker::Background;
            }
            self.start(cause, events);
            self.program_works();
        }
    }

    /// An operation takes its time; then so does whatever the clock says.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        let marking = self.phase == Phase::Mark;
        if let Some(pacer) = &mut self.pacer {
            pacer.run(milliseconds.saturating_mul(OPERATION), marking);
        }
    }

    // ---- what the collector does

    /// Why a cycle has to start now, if it has to.
    fn due(&self) -> Option<Cause> {
        let pacer = self.pacer.as_ref()?;
        let stuck = self.protocol.stacks == StackScan::Stopped && pacer.limiting();
        let pace = self.pace(pacer);
        let trigger = if pacer.rules.waits { self.trigger(pacer) } else { self.trigger(pacer) / 2 };
        let due = self.phase != Phase::Mark && pacer.live >= trigger && !stuck;
        due.then(|| if pace.is_limited() { Cause::Limit } else { Cause::Trigger })
    }

    /// Whether the clock may start a cycle.
    pub(super) fn collects_by_the_clock(&self) -> bool {
        self.pacer.as_ref().is_none_or(|pacer| pacer.gogc != Gogc::Off || !pacer.rules.rests)
    }

    /// A cycle begins, for which the trigger was `due`.
    pub(super) fn begin(&mut self, cause: Cause, due: u64, events: &mut Vec<Event>) {
        self.work = Work::default();
        let Some(pacer) = &mut self.pacer else { return };
        let counts = &mut pacer.counts;
        match cause {
            Cause::Trigger => counts.by_trigger += 1,
            Cause::Limit => counts.by_limit += 1,
            Cause::Time => counts.by_time += 1,
            Cause::Told => counts.by_hand += 1,
        }
        let expected = pacer.last.scanned.total();
        *counts = Gauge { started: pacer.live, due, ended: 0, reached: 0, expected, done: 0, ..*counts };
        (pacer.accounts, pacer.pool) = Default::default();
        (pacer.due, pacer.since, pacer.assisted) = (pacer.due.min(0), pacer.counts.elapsed, 0);
        events.push(Event::Start(cause));
    }

    /// How many bytes of a cell are scanned that has so many of pointers, and so many in all.
    pub(super) fn looked_at(&self, pointers: u64, usable: u64) -> u64 {
        let all = self.pacer.as_ref().is_some_and(|pacer| !pacer.rules.spares_data);
        if all { usable } else { pointers }
    }

    /// So much was scanned.
    pub(super) fn scanned(&mut self, work: Work) {
        let Work { heap, stacks, globals } = self.work;
        self.work = Work { heap: heap + work.heap, stacks: stacks + work.stacks, globals: globals + work.globals };
        if let Some(pacer) = &mut self.pacer {
            pacer.scan(work.total());
        }
    }

    /// Marking ends: its figures are what the next cycle goes by.
    pub(super) fn measure(&mut self) {
        let Some(reached) = self.pacer.as_ref().map(|pacer| self.pace(pacer).goal()) else { return };
        let black = self.cells.values().filter(|cell| cell.color != Color::White);
        let marked: u64 = black.map(|cell| cell.usable).sum();
        let scanned = self.work;
        let Some(pacer) = &mut self.pacer else { return };
        (pacer.counts.ended, pacer.counts.reached) = (pacer.live, reached);
        let duration = (pacer.counts.elapsed - pacer.since).max(1);
        // The background worker may be behind; nobody has more than all of what it leaves to the others.
        let assists = (pacer.assisted as f64 / duration as f64).min(0.95 - UTILIZATION);
        let shares = Shares { assists, idle: 0.0 };
        let new = cons_mark(pacer.counts.started, pacer.live, scanned.total(), shares);
        if let Some(new) = new.filter(|_| scanned.total() > 0 && pacer.rules.learns) {
            pacer.cons_mark = pacer.measured.measured(new);
        }
        let peak = if pacer.rules.forgets { 0 } else { pacer.last.marked };
        pacer.last = LastCycle { marked: marked.max(peak), scanned };
        pacer.live = marked;
    }

    /// From here on, so much has to be swept for each byte that is allocated.
    pub(super) fn pace_the_sweep(&mut self) {
        let unswept = self.unswept();
        let Some(pacer) = &self.pacer else { return };
        let live = pacer.live;
        let trigger = self.trigger_after(pacer, live);
        if let Some(pacer) = &mut self.pacer {
            pacer.sweep = (live, unswept, sweep_ratio(unswept, 0, trigger, live));
        }
    }

    /// What is found dead and kept is alive again.
    pub(super) fn resurrect(&mut self, bytes: u64) {
        if let Some(pacer) = &mut self.pacer {
            pacer.live += bytes;
        }
    }

    /// What the environment says about pacing.
    pub(super) fn advise(&mut self, change: Environment) {
        if let Some(pacer) = &mut self.pacer {
            match change {
                Environment::Gogc(gogc) => pacer.gogc = gogc,
                Environment::Limit(limit) => pacer.limit = limit.map(u64::from),
                Environment::Fail(_) | Environment::Clock(_) => {}
            }
        }
        self.pace_the_sweep();
    }

    // ---- the numbers

    /// The pages that objects lie in, and how much of them the objects take.
    fn memory(&self) -> Memory {
        let (mut pages, mut next, mut used) = (0, 0, 0);
        for (at, cell) in &self.cells {
            let (first, last) = ((at / PAGE).max(next), (at + cell.usable - 1) / PAGE);
            pages += (last + 1).saturating_sub(first);
            (next, used) = (last + 1, used + cell.usable);
        }
        Memory { mapped: pages * PAGE, heap_free: pages * PAGE - used, heap_allocated: used }
    }

    fn unswept(&self) -> u64 {
        let ahead = self.cells.range(self.swept..).filter(|_| self.phase == Phase::Sweep);
        ahead.map(|(_, cell)| cell.usable).sum()
    }

    fn pace(&self, pacer: &Pacer) -> Pace {
        self.pace_after(pacer, pacer.sweep.0)
    }

    /// The pace, with the sweep paced from so many live bytes on.
    fn pace_after(&self, pacer: &Pacer, sweeping_from: u64) -> Pace {
        let memory = self.memory();
        let limit = pacer.limit.filter(|_| pacer.rules.obeys);
        let LastCycle { marked, scanned } = pacer.last;
        let roots = if pacer.rules.counts_roots { scanned } else { Work { heap: scanned.heap, ..Work::default() } };
        Pace {
            last: LastCycle { marked, scanned: roots },
            gogc: pacer.gogc,
            limit_goal: limit.map(|limit| limit_goal(limit, memory, marked)),
            sweeping_from: (self.phase == Phase::Sweep).then_some(sweeping_from),
            triggered: (self.phase == Phase::Mark).then_some(pacer.counts.started),
            cons_mark: pacer.cons_mark,
        }
    }

    pub(super) fn trigger(&self, pacer: &Pacer) -> u64 {
        self.trigger_after(pacer, pacer.sweep.0)
    }

    fn trigger_after(&self, pacer: &Pacer, sweeping_from: u64) -> u64 {
        let pace = self.pace_after(pacer, sweeping_from);
        if pacer.rules.starts_early { pace.trigger() } else { pace.goal() }
    }

    /// How far the cycle has come.
    fn progress(&self) -> Progress {
        let Some(pacer) = &self.pacer else { return Progress::default() };
        let heap = self.cells.values().map(Cell::scan_work).sum();
        let stacks = self.stacks.iter().flatten().count() as u64 * STACK;
        Progress {
            live: pacer.live,
            done: pacer.counts.done,
            expected: pacer.last.scanned,
            most: Work { heap, stacks, globals: STATICS },
            goal: self.pace(pacer).goal(),
            triggered: pacer.counts.started,
        }
    }

    /// The answer to whoever asks for the pace.
    pub(super) fn gauge(&self) -> Option<Gauge> {
        let pacer = self.pacer.as_ref()?;
        let memory = self.memory();
        let owes = pacer.accounts.iter().map(|account| (-account.balance).max(0) as u64);
        Some(Gauge {
            live: pacer.live,
            goal: self.pace(pacer).goal(),
            trigger: self.trigger(pacer),
            marked: pacer.last.marked,
            roots: pacer.last.scanned.stacks + pacer.last.scanned.globals,
            unswept: self.unswept(),
            mapped: memory.mapped,
            free: memory.heap_free,
            used: memory.heap_allocated,
            debt: if self.phase == Phase::Mark { owes.max().unwrap_or(0) } else { 0 },
            limiting: u64::from(pacer.limiting()),
            ..pacer.counts
        })
    }
}
