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
//! marking whom the limiter has not let off.
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

    /// While marking, a mutator pays for what it allocates: until it is out of debt, as long as there is work.
    fn assist(&mut self, by: MutatorId, bytes: u64, events: &mut Vec<Event>) {
        let at = usize::from(by.0);
        match &mut self.pacer {
            Some(pacer) if self.phase == Phase::Mark && pacer.rules.assists => {
                pacer.accounts[at].allocate(bytes, bytes);
            }
            _ => return,
        }
        while self.phase == Phase::Mark {
            let progress = self.progress();
            let Some(pacer) = self.pacer.as_mut().filter(|pacer| !pacer.limiting()) else { return };
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
            if !account.in_debt() {
                return;
            }
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

    /// Marks as long as there is something to mark, and more is wanted; ends marking if nothing is left.
    fn mark_as(&mut self, worker: Worker, events: &mut Vec<Event>, more: impl Fn(&Pacer) -> bool) {
        while self.phase == Phase::Mark
            && let Some(pacer) = self.pacer.as_mut().filter(|pacer| more(pacer))
        {
            pacer.worker = worker;
            let grey = self.stacks.iter().position(|s| s.as_ref().is_some_and(|s| s.color == Color::Grey));
            match grey {
                Some(mutator) => self.handshake(MutatorId(mutator as u8), events),
                None => self.mark_step(events),
            };
            // Who has done the last of it says so: the next who looks may be late.
            self.finish(events);
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
        if let Some(new) = new.filter(|_| pacer.rules.learns) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        heap::{Heap, Reply},
        object::Address,
        op::{Collect, Op},
        place::{BASE, Dice},
        protocol::Protocol,
    };
    use alloc::{collections::BTreeMap, format, string::String};

    fn perform(machine: &mut Machine, line: &str) -> (Reply, Vec<Event>) {
        let mut events = Vec::new();
        (machine.perform(&line.parse().expect("an operation"), &mut events), events)
    }

    fn gauge(machine: &mut Machine) -> Gauge {
        match machine.perform(&Op::Collect(Collect::Pace), &mut Vec::new()) {
            Reply::Pace(gauge) => *gauge,
            other => panic!("{other:?}"),
        }
    }

    /// What the bookkeeping has to come to, counted from outside.
    #[derive(Default)]
    struct Books {
        /// Time of mutators and the clock, in nanoseconds.
        time: u64,
        allocated: u64,
        /// Allocated since the last cycle ended marking, or found dead and kept since.
        since: u64,
        /// What was born, from address to bytes.
        cells: BTreeMap<u64, u64>,
    }

    impl Books {
        fn note(&mut self, op: &Op, reply: &Reply, events: &[Event]) {
            let mut born = match *reply {
                Reply::Born { at: Address(at), usable, .. } => Some((at, usable)),
                _ => None,
            };
            // What is born comes before the cycle that it starts, and after all else.
            for event in events.iter().map(Some).chain([None]) {
                if let (None | Some(Event::Start(_)), Some((at, usable))) = (event, born) {
                    self.cells.insert(at, usable);
                    (self.allocated, self.since, born) = (self.allocated + usable, self.since + usable, None);
                }
                let Some(event) = event else { break };
                match event {
                    Event::Phase(Phase::Terminate) => self.since = 0,
                    Event::Free(at) => _ = self.cells.remove(&at.0).expect("an object"),
                    Event::Finalize(at) => self.since += self.cells[&at.0],
                    _ => {}
                }
            }
            match op {
                Op::Mutate { .. } => self.time += OPERATION,
                Op::Environment(Environment::Clock(milliseconds)) => self.time += u64::from(*milliseconds) * OPERATION,
                _ => {}
            }
        }

        fn check(&self, gauge: &Gauge) {
            assert_eq!(gauge.elapsed, self.time + BYTE * (self.allocated + gauge.work()), "all time");
            assert_eq!(gauge.collecting, BYTE * (gauge.background + gauge.assists), "the collector's");
            assert_eq!(gauge.live, gauge.marked + self.since);
            let used: u64 = self.cells.values().sum();
            let mut pages: Vec<u64> =
                self.cells.iter().flat_map(|(at, usable)| at / PAGE..=(at + usable - 1) / PAGE).collect();
            pages.dedup();
            let mapped = pages.len() as u64 * PAGE;
            assert_eq!((gauge.mapped, gauge.used, gauge.free), (mapped, used, mapped - used));
            assert!(gauge.debt == 0 || gauge.limited > 0, "nobody was in debt before the limiter came on: {gauge:?}");
        }
    }

    /// One of many operations, of every kind that a pacer has to do with. Mutator 1 comes and goes.
    fn line(dice: &mut Dice, both: bool) -> String {
        let (by, root) = (u8::from(dice.below(8) == 0 && both), dice.below(16));
        match dice.below(64) {
            0..=15 => format!("{by} clear r{root}"),
            16..=19 => format!("{by} store r{root}.{} r{}", dice.below(4), dice.below(16)),
            20..=21 => format!("0 store g{} r{root}", dice.below(4)),
            22 => format!("{by} finalizer r{root}"),
            23 => format!("{by} finalize r{root}"),
            24..=25 => format!("env clock {}", if dice.below(20) == 0 { 130_000 } else { 1 + dice.below(40) }),
            26 => format!("env gogc {}", ["10", "50", "100", "off"][dice.below(4) as usize]),
            27 => format!("env limit {}", ["300000", "600000", "off", "off"][dice.below(4) as usize]),
            28 if dice.below(4) == 0 => ["gc start", "gc full", "gc abort"][dice.below(3) as usize].into(),
            29 if dice.below(3) == 0 => ["1 join", "1 exit"][usize::from(both)].into(),
            30 => format!("gc sweep {}", dice.below(4)),
            31 => format!("gc mark {}", dice.below(2)),
            _ => format!("{by} alloc r{root} {} {}", 4 + dice.below(3000), dice.below(16_000)),
        }
    }

    /// Every gauge of a walk in one number (FNV-1a), and the last one.
    fn walk(protocol: Protocol, rules: Pacing, seed: u64) -> (u64, Gauge) {
        let mut machine = Machine::new(protocol).paced(rules);
        let (mut books, mut dice) = (Books::default(), Dice(seed));
        let (mut sum, mut last) = (0xcbf2_9ce4_8422_2325, Gauge::default());
        for _ in 0..3000 {
            let line = line(&mut dice, machine.stacks[1].is_some());
            let op: Op = line.parse().expect("an operation");
            let mut events = Vec::new();
            let reply = machine.perform(&op, &mut events);
            books.note(&op, &reply, &events);
            last = gauge(&mut machine);
            if rules == Pacing::SOUND {
                books.check(&last);
            }
            last.each(|_, number| sum = (sum ^ number).wrapping_mul(0x0100_0000_01b3));
        }
        (sum, last)
    }

    /// Each rule that can be broken, broken, and what the walk of the hybrid design comes to then.
    #[rustfmt::skip]
    const BROKEN: [(Pacing, u64); 13] = {
        const SOUND: Pacing = Pacing::SOUND;
        [
            (Pacing { counts_roots: false, ..SOUND }, 0x1ac7_7876_77b0_261b),
            (Pacing { starts_early: false, ..SOUND }, 0xa618_38ed_1ff0_8007),
            (Pacing { waits: false, ..SOUND }, 0x760e_e8a3_8211_ea58),
            (Pacing { learns: false, ..SOUND }, 0x83fd_b7c2_f273_d479),
            (Pacing { assists: false, ..SOUND }, 0xe661_fd99_c5c3_6a24),
            (Pacing { works: false, ..SOUND }, 0x8b0f_3e3f_ee42_7c04),
            (Pacing { limits: false, ..SOUND }, 0x312c_dd9d_b00d_a491),
            (Pacing { obeys: false, ..SOUND }, 0xcb34_de6b_4dc9_bf44),
            (Pacing { sweeps: false, ..SOUND }, 0xc230_9abb_b331_b48b),
            (Pacing { counts_newborns: false, ..SOUND }, 0x7270_c924_9f19_c3ae),
            (Pacing { forgets: false, ..SOUND }, 0x0879_9d29_3817_78b3),
            (Pacing { rests: false, ..SOUND }, 0x5231_6a14_d41c_8eda),
            (Pacing { spares_data: false, ..SOUND }, 0x16ce_fa7e_7463_cb07),
        ]
    };

    /// The books balance all along, and every number is what it was. Whoever changes a formula on purpose looks at the last
    /// gauge to see what has come of it.
    #[test]
    fn the_books_balance_on_a_long_walk_and_every_rule_shows_in_them() {
        let designs = [Protocol::HYBRID, Protocol::STOP_THE_WORLD, Protocol::INSERTION];
        let walks = designs.map(|protocol| walk(protocol, Pacing::SOUND, 1));
        let gauge = Gauge {
            live: 523_672,
            goal: 589_208,
            trigger: 555_142,
            marked: 474_592,
            roots: 160,
            unswept: 0,
            mapped: 569_344,
            free: 45_672,
            used: 523_672,
            by_trigger: 66,
            by_limit: 24,
            by_time: 4,
            by_hand: 10,
            started: 523_672,
            due: 507_937,
            ended: 0,
            reached: 0,
            expected: 231_328,
            done: 0,
            background: 5_800_032,
            assists: 13_050_528,
            told: 1_786_064,
            debt: 0,
            limiting: 0,
            limited: 47,
            processors: 1,
            elapsed: 706_436_384_000,
            collecting: 18_850_560_000,
        };
        assert_eq!(walks[0].1, gauge);
        assert_eq!(walks.map(|(sum, _)| sum), [0xd287_8eed_c965_f282, 0x3429_1f01_5eb1_f8ca, 0xfadf_f5c5_233b_7431]);
        for (rules, sum) in BROKEN {
            assert_eq!(walk(Protocol::HYBRID, rules, 1).0, sum, "{rules:?}");
            assert_ne!(sum, walks[0].0, "{rules:?} shows");
        }
    }

    #[test]
    fn who_scans_the_last_of_it_ends_marking() {
        // Three objects of 64,000 bytes. The background worker scans a thousand bytes in three milliseconds of others, and
        // what it has begun.
        for milliseconds in 1..=600 {
            let mut machine = Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
            for root in 0..3 {
                perform(&mut machine, &format!("0 alloc r{root} 8000"));
            }
            perform(&mut machine, "gc start");
            perform(&mut machine, &format!("env clock {milliseconds}"));
            let marks = machine.phase() == Phase::Mark;
            assert_eq!(marks, milliseconds <= 384, "{milliseconds} ms, {} bytes", gauge(&mut machine).done);
        }
    }

    #[test]
    fn who_pays_pays_to_the_last_byte() {
        // A byte of scan work is worth several bytes here. What work a debt costs is cut off, and what it earns as well:
        // for the last object a single byte is left.
        let mut machine = Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
        let large = "0 alloc r1 9362 74897";
        for line in core::iter::once("0 alloc r0 28")
            .chain([large; 25])
            .chain(["0 store g0 r1", "0 alloc r1 3471 74897", large, "env clock 149"])
            .chain([large; 25])
            .chain(["0 store g1 r1", "env clock 149", "0 alloc r0 9362 74897"])
        {
            perform(&mut machine, line);
        }
        let owes = machine.pacer.as_ref().map(|pacer| pacer.accounts[0].in_debt());
        assert_eq!(
            (owes, machine.phase()),
            (Some(false), Phase::Sweep),
            "it has scanned one more, and that was the last"
        );
    }

    #[test]
    fn before_memory_is_asked_for_what_makes_room_is_swept() {
        let born = |build: &str, ask: &str| {
            let mut machine = Machine::new(Protocol::HYBRID).paced(Pacing { sweeps: false, ..Pacing::SOUND });
            build.lines().for_each(|line| _ = perform(&mut machine, line));
            for line in ["0 clear r0", "gc start", "gc handshake 0", "gc mark 9", "gc finish"] {
                perform(&mut machine, line);
            }
            assert_eq!(machine.phase(), Phase::Sweep);
            match perform(&mut machine, ask).0 {
                Reply::Born { at, .. } => at.0 - BASE,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(born("0 alloc r0 0 4096\n", "0 alloc r1 0 8"), 0, "the page is full");
        let half = "0 alloc r0 0 2048\n0 alloc r1 0 1024\n";
        assert_eq!(born(half, "0 alloc r2 0 1024"), 3072, "it just has room");
        assert_eq!(born(half, "0 alloc r2 0 1032"), 0, "it has not");
    }
}
