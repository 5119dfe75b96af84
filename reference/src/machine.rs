//! The machine: a heap that runs any [`Protocol`] in single steps, slowly and in the open.
//!
//! Nothing in here is clever. Objects lie in an ordered map from address to cell, a new object takes the lowest
//! gap that is large enough, the grey objects wait in one queue, and a sweep walks the cells in address order. What the
//! machine frees it really frees: the next allocation may take the place, and a mutator that was robbed of an object
//! will find a stranger there, or nothing. So a wrong protocol does visible damage.
//!
//! The steps, in the machine's own words:
//!
//! ```text
//!   start      every cell white; the globals and all stacks grey; barrier on
//!              snapshot: scan all stacks now      stopped: run handshake, mark and finish now
//!   handshake  shade what the stack holds; the stack is black
//!   mark       take a grey thing: shade what its fields hold; it is black
//!   store      if marking: shade the old value, the new value, as the barrier says; then store
//!   finish     only if nothing is grey and every stack was scanned
//!              rescan: scan all stacks again and mark what turns up, with no mutator running
//!   sweep      take the next cell: free it if it is white, or queue it if it has a finalizer
//!   abort      barrier off; what was marked is forgotten
//! ```
//!
//! What finalizers and cleanups hold is scanned together with the globals.
//!
//! `start`, `finish` and `abort` stop the world, a handshake stops its mutator, and each says for how much work. The
//! machine turns every cell white at the start, which a heap in real memory does by exchanging its mark bits: it counts
//! as nothing.
//!
//! Memory comes in pages of [`PAGE`] bytes, and each page that is used for the first time is a request that the
//! environment can refuse. The clock stands still unless the program moves it; a machine that has marked for longer than
//! [`PERIOD_MS`] ago starts a cycle by itself, as Go's does.
//!
//! By itself it does nothing else; [`Machine::paced`] makes it a heap that also starts cycles when it has grown, marks in
//! the background, and makes those who allocate pay.
//!
//! The machine implements [`Heap`] and claims everything that a collector can, so the same laws judge it as any other
//! heap.
//!
//! This chapter grounds laws 51 to 60, 75, 80, 90 and 97. Source: appendix A of the project's fact sheet; Go's `mgc.go`.

mod attached;
mod paced;

use self::{attached::Attached, paced::Pacer};
use crate::{
    barrier::{Barrier, Order},
    color::Color,
    event::{Cause, Event, Phase},
    finalize::{Clearing, Specials},
    heap::{BornAs, Capability, Claims, Heap, Reply},
    object::{Address, Content, Fields, Shape, Stamp, WORD, moved},
    op::{Action, Collect, Environment, GLOBALS, MUTATORS, MutatorId, Op, Place, ROOTS, Root, Run, WeakSlot},
    pacer::{PERIOD_MS, Work},
    place::{BASE, MEMORY, lowest_gap},
    protocol::{Abort, Protocol, StackScan},
};
use alloc::{
    borrow::Cow,
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    vec::Vec,
};

/// The bytes that a machine requests at once.
pub const PAGE: u64 = 4096;

/// One object in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    shape: Shape,
    usable: u64,
    fields: Fields<Address>,
    stamp: Stamp,
    color: Color,
}

impl Cell {
    /// How many bytes of it have to be scanned.
    fn scan_work(&self) -> u64 {
        u64::from(self.shape.pointers) * WORD
    }
}

/// One mutator.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stack {
    roots: [Option<Address>; ROOTS as usize],
    /// Grey or black.
    color: Color,
}

impl Stack {
    fn new(color: Color) -> Self {
        Stack { roots: [None; ROOTS as usize], color }
    }
}

/// A thing that a mutator was refused, because the machine lost an object before.
type Trap = String;

/// The reference heap.
///
/// ```
/// use heaplaw_reference::{heap::{Heap, Reply}, machine::Machine, object::Content, protocol::Protocol};
/// let mut machine = Machine::new(Protocol::HYBRID);
/// let mut say = |line: &str| machine.perform(&line.parse().expect("an operation"), &mut Vec::new());
/// assert!(matches!(say("0 alloc r0 1 8"), Reply::Born { usable: 16, found: Content::ZERO, .. }));
/// assert_eq!(say("0 read r0"), Reply::Data(Content::Uniform(1)));
/// assert_eq!(say("0 load r1 r0.0"), Reply::Nil);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    protocol: Protocol,
    memory: u64,
    cells: BTreeMap<u64, Cell>,
    stacks: [Option<Stack>; MUTATORS as usize],
    globals: [Option<Address>; GLOBALS as usize],
    globals_color: Color,
    /// Invariant: while marking, exactly the grey cells. Empty otherwise.
    grey: VecDeque<Address>,
    phase: Phase,
    /// The sweep has passed every cell below.
    swept: u64,
    attached: Attached,
    /// Marks of a cycle that was given up are still there, and are believed.
    stale: bool,
    /// How many bytes were ever requested, in whole pages.
    obtained: u64,
    /// Which request from now on is refused; 0: none.
    failing: u32,
    /// Milliseconds since the machine was made.
    clock: u64,
    /// When marking last ended.
    marked: Option<u64>,
    stamps: u64,
    /// The roots and objects that were looked at so far.
    looked: u64,
    /// What was scanned since marking began.
    work: Work,
    /// Of a machine that paces itself.
    pacer: Option<Pacer>,
}

impl Machine {
    /// A machine with this protocol and as good as endless memory.
    pub fn new(protocol: Protocol) -> Self {
        Machine::with_memory(protocol, MEMORY)
    }

    /// A machine with this protocol and so many bytes of memory.
    pub fn with_memory(protocol: Protocol, memory: u64) -> Self {
        let mut stacks = [const { None }; MUTATORS as usize];
        stacks[0] = Some(Stack::new(Color::Grey));
        Machine {
            protocol,
            memory,
            cells: BTreeMap::new(),
            stacks,
            globals: [None; GLOBALS as usize],
            globals_color: Color::Grey,
            grey: VecDeque::new(),
            phase: Phase::Off,
            swept: 0,
            attached: Attached::default(),
            stale: false,
            obtained: 0,
            failing: 0,
            clock: 0,
            marked: None,
            stamps: 0,
            looked: 0,
            work: Work::default(),
            pacer: None,
        }
    }

    /// The same machine with other rules for what is attached to objects.
    #[must_use]
    pub fn with_specials(self, specials: Specials) -> Self {
        Machine { protocol: Protocol { specials, ..self.protocol }, ..self }
    }

    /// The phase of the collector.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    // ---- memory

    fn allocate(&mut self, shape: Shape, stamp: Stamp) -> Reply {
        let usable = Machine::usable(shape);
        let Some(at) = self.gap(usable) else { return Reply::OutOfMemory };
        if !self.obtain(at + usable - BASE) {
            return Reply::OutOfMemory;
        }
        let color = match self.phase {
            Phase::Mark | Phase::Terminate => self.protocol.born,
            // Not for the sweep of the cycle that has just ended.
            Phase::Sweep => self.protocol.born_while_sweeping,
            // Whether the next cycle makes everything white or believes the marks that it finds.
            Phase::Off => Color::White,
        };
        let born = match color {
            Color::White => BornAs::White,
            Color::Grey | Color::Black => BornAs::Black,
        };
        self.cells.insert(at, Cell { shape, usable, fields: Fields::default(), stamp, color });
        let color = (self.phase == Phase::Mark).then_some(born);
        Reply::Born { at: Address(at), usable, found: Content::ZERO, color }
    }

    /// The bytes that are set aside. An object without size takes a word too, so that it has an address of its own.
    fn usable(shape: Shape) -> u64 {
        shape.size().next_multiple_of(WORD).max(WORD)
    }

    /// The lowest gap of so many bytes.
    fn gap(&self, usable: u64) -> Option<u64> {
        let taken = self.cells.iter().map(|(at, cell)| (*at, cell.usable));
        lowest_gap(taken, self.memory, usable)
    }

    /// Whether memory has to be requested for what lies there.
    fn grows(&self, at: u64, usable: u64) -> bool {
        at + usable - BASE > self.obtained
    }

    /// Requests memory until there are so many bytes, unless the environment refuses.
    fn obtain(&mut self, bytes: u64) -> bool {
        if bytes <= self.obtained {
            return true;
        }
        if self.failing > 0 {
            self.failing -= 1;
            if self.failing == 0 {
                return false;
            }
        }
        self.obtained = bytes.next_multiple_of(PAGE);
        true
    }

    fn cell(&mut self, at: Address) -> Result<&mut Cell, Trap> {
        self.cells.get_mut(&at.0).ok_or_else(|| format!("{at} is not an object"))
    }

    fn field(&mut self, object: Address, index: u32) -> Result<Option<Address>, Trap> {
        self.within(object, index, 1)?;
        Ok(self.cell(object)?.fields.get(index))
    }

    /// Whether an object has these fields.
    fn within(&mut self, object: Address, at: u32, count: u32) -> Result<(), Trap> {
        let pointers = self.cell(object)?.shape.pointers;
        match at.checked_add(count) {
            Some(end) if end <= pointers => Ok(()),
            _ => Err(format!("{object} has {pointers} fields, and not {count} from field {at} on")),
        }
    }

    fn stack(&mut self, mutator: MutatorId) -> Result<&mut Stack, Trap> {
        self.stacks[usize::from(mutator.0)].as_mut().ok_or_else(|| format!("mutator {mutator} is not there"))
    }

    fn root(&mut self, mutator: MutatorId, root: Root) -> Result<Option<Address>, Trap> {
        Ok(self.stack(mutator)?.roots[usize::from(root.0)])
    }

    fn held(&mut self, mutator: MutatorId, root: Root) -> Result<Address, Trap> {
        self.root(mutator, root)?.ok_or_else(|| format!("root {root} of mutator {mutator} is nil"))
    }

    fn set_root(&mut self, mutator: MutatorId, root: Root, value: Option<Address>) -> Result<(), Trap> {
        self.stack(mutator)?.roots[usize::from(root.0)] = value;
        Ok(())
    }

    // ---- the mutators

    fn load(&mut self, mutator: MutatorId, place: Place) -> Result<Option<Address>, Trap> {
        match place {
            Place::Global(number) => Ok(self.globals[usize::from(number)]),
            Place::Field { of, index } => {
                let object = self.held(mutator, of)?;
                self.field(object, index)
            }
        }
    }

    /// A store, with its barrier.
    fn store(
        &mut self,
        mutator: MutatorId,
        place: Place,
        new: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<(), Trap> {
        let old = self.load(mutator, place)?;
        let order = self.protocol.barrier.order;
        if order == Order::ShadeFirst {
            self.pay(mutator, place, old, new, events)?;
        }
        self.put(mutator, place, new)?;
        match order {
            Order::ShadeFirst => Ok(()),
            Order::ShadeLast => self.pay(mutator, place, old, new, events),
            Order::WriteFirst => {
                let too_late = self.load(mutator, place)?;
                self.pay(mutator, place, too_late, new, events)
            }
        }
    }

    /// A store that is part of a move or a wipe.
    fn store_in_bulk(
        &mut self,
        mutator: MutatorId,
        place: Place,
        new: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<(), Trap> {
        if self.protocol.bulk_shades { self.store(mutator, place, new, events) } else { self.put(mutator, place, new) }
    }

    /// A store without its barrier.
    fn put(&mut self, mutator: MutatorId, place: Place, new: Option<Address>) -> Result<(), Trap> {
        match place {
            Place::Global(number) => self.globals[usize::from(number)] = new,
            Place::Field { of, index } => {
                let object = self.held(mutator, of)?;
                self.cell(object)?.fields.set(index, new);
            }
        }
        Ok(())
    }

    /// The barrier: shades what a store owes while marking.
    fn pay(
        &mut self,
        mutator: MutatorId,
        place: Place,
        old: Option<Address>,
        new: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<(), Trap> {
        if self.phase != Phase::Mark {
            return Ok(());
        }
        let mine = self.stack(mutator)?.color == Color::Grey;
        let some = self.stacks.iter().flatten().any(|stack| stack.color == Color::Grey);
        let color = match place {
            Place::Global(_) => self.globals_color,
            Place::Field { of, .. } => {
                let object = self.held(mutator, of)?;
                self.cell(object)?.color
            }
        };
        let Barrier { deletion, insertion, .. } = self.protocol.barrier;
        for (when, value) in [(deletion, old), (insertion, new)] {
            if let Some(value) = value
                && when.applies(mine, some, color, new.is_none())
            {
                self.shade(value, events);
            }
        }
        Ok(())
    }

    fn act(&mut self, by: MutatorId, action: &Action, events: &mut Vec<Event>) -> Result<Reply, Trap> {
        let place = |of, index| Place::Field { of, index };
        match *action {
            Action::Alloc { into, shape } => {
                self.stamps += 1;
                self.work_ahead(by, shape, events);
                let reply = self.allocate(shape, Stamp(self.stamps));
                if let Reply::Born { at, usable, .. } = reply {
                    self.set_root(by, into, Some(at))?;
                    self.count_newborn(usable, events);
                }
                return Ok(reply);
            }
            Action::Load { into, from } => {
                let value = self.load(by, from)?;
                self.set_root(by, into, value)?;
                return Ok(value.map_or(Reply::Nil, Reply::Object));
            }
            Action::Store { into, value } => {
                let value = value.map(|root| self.held(by, root)).transpose()?;
                self.store(by, into, value, events)?;
            }
            Action::Move { into: Run { of, at, count }, from, start } => {
                let (source, target) = (self.held(by, from)?, self.held(by, of)?);
                self.within(source, start, count)?;
                self.within(target, at, count)?;
                let values = moved(&self.cell(source)?.fields.clone(), start, &self.cell(target)?.fields, at, count);
                for (index, value) in values {
                    self.store_in_bulk(by, place(of, at + index), value, events)?;
                }
            }
            Action::Wipe(Run { of, at, count }) => {
                let object = self.held(by, of)?;
                self.within(object, at, count)?;
                let stored: Vec<_> = self.cell(object)?.fields.range(at, count).map(|(index, _)| index).collect();
                for index in stored {
                    self.store_in_bulk(by, place(of, index), None, events)?;
                }
            }
            Action::Copy { into, from } => {
                let value = self.root(by, from)?;
                self.set_root(by, into, value)?;
            }
            Action::Clear(root) => self.set_root(by, root, None)?,
            Action::Write(root) => {
                self.stamps += 1;
                let (stamp, object) = (Stamp(self.stamps), self.held(by, root)?);
                self.cell(object)?.stamp = stamp;
            }
            Action::Read(root) => {
                let object = self.held(by, root)?;
                let cell = self.cell(object)?;
                return Ok(Reply::Data(cell.stamp.content(cell.shape.bytes)));
            }
            Action::Send { value, to, into } => {
                let value = self.held(by, value)?;
                if self.phase == Phase::Mark && self.protocol.sends_shade {
                    self.shade(value, events);
                }
                self.set_root(to, into, Some(value))?;
            }
            Action::Join => {
                // An empty stack has been scanned.
                self.stacks[usize::from(by.0)] = Some(Stack::new(Color::Black));
            }
            Action::Exit => self.stacks[usize::from(by.0)] = None,
            Action::Weak { into, to } => {
                let to = self.held(by, to)?;
                return Ok(Reply::Weak(self.attached.make_weak(into, to, self.protocol.specials.canonical)));
            }
            Action::Strong { into, from } => {
                let value = self.strong(from, events);
                self.set_root(by, into, value)?;
                return Ok(value.map_or(Reply::Nil, Reply::Object));
            }
            Action::Finalizer(root) => {
                let object = self.held(by, root)?;
                self.attached.add_finalizer(object);
                if self.phase == Phase::Mark
                    && self.protocol.specials.registration_shades
                    && self.protocol.specials.closures_are_roots
                {
                    self.shade_fields(object, events);
                }
            }
            Action::Finalize(into) => {
                let object = self.attached.next_dead();
                return self.hand_out(by, into, object, events);
            }
            Action::Cleanup { of, with } => {
                let (of, with) = (self.held(by, of)?, self.held(by, with)?);
                self.attached.add_cleanup(of, with);
                if self.phase == Phase::Mark
                    && self.protocol.specials.registration_shades
                    && self.protocol.specials.arguments_are_roots
                {
                    self.shade(with, events);
                }
            }
            Action::Clean(into) => {
                let argument = self.attached.next_cleanup();
                return self.hand_out(by, into, argument, events);
            }
            Action::Free(_) => return Ok(Reply::Unsupported),
            Action::Safepoint | Action::Park | Action::Unpark => {}
        }
        Ok(Reply::Done)
    }

    /// What a weak slot refers to, for a root.
    fn strong(&mut self, from: WeakSlot, events: &mut Vec<Event>) -> Option<Address> {
        let at = self.attached.target(from)?;
        let dead = |cell: &Cell| self.phase == Phase::Sweep && at.0 >= self.swept && cell.color == Color::White;
        if self.protocol.specials.strong_asks_the_sweep && self.cells.get(&at.0).is_some_and(dead) {
            return None;
        }
        if self.phase == Phase::Mark && self.protocol.specials.strong_shades {
            self.shade(at, events);
        }
        Some(at)
    }

    /// An object moves from a queue, which the step that scans globals scans too, to a stack. As a deletion barrier would
    /// shade what a global loses, so does this.
    fn hand_out(
        &mut self,
        by: MutatorId,
        into: Root,
        object: Option<Address>,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Trap> {
        if let (Some(at), Phase::Mark) = (object, self.phase)
            && self.protocol.specials.handing_out_shades
        {
            self.shade(at, events);
        }
        self.set_root(by, into, object)?;
        Ok(object.map_or(Reply::Nil, Reply::Object))
    }

    // ---- the collector

    /// White to grey. A pointer to no object is left alone: the damage is done.
    fn shade(&mut self, at: Address, events: &mut Vec<Event>) {
        if let Some(cell) = self.cells.get_mut(&at.0)
            && cell.color == Color::White
        {
            cell.color = Color::Grey;
            self.grey.push_back(at);
            events.push(Event::Shade(at));
        }
    }

    /// What the fields of an object hold turns grey; the object itself stays as it is.
    fn shade_fields(&mut self, at: Address, events: &mut Vec<Event>) {
        let held: Vec<_> =
            self.cells.get(&at.0).map(|cell| cell.fields.iter().map(|(_, to)| to).collect()).unwrap_or_default();
        for to in held {
            self.shade(to, events);
        }
    }

    fn enter(&mut self, phase: Phase, events: &mut Vec<Event>) {
        self.phase = phase;
        events.push(Event::Phase(phase));
    }

    fn start(&mut self, cause: Cause, events: &mut Vec<Event>) -> bool {
        if self.phase == Phase::Mark {
            return false;
        }
        // What is swept now may move the trigger.
        let due = self.pacer.as_ref().map_or(0, |pacer| self.trigger(pacer));
        while self.sweep_step(events) {}
        if !core::mem::take(&mut self.stale) {
            for cell in self.cells.values_mut() {
                cell.color = Color::White;
            }
        }
        for stack in self.stacks.iter_mut().flatten() {
            stack.color = Color::Grey;
        }
        self.globals_color = Color::Grey;
        self.begin(cause, due, events);
        self.enter(Phase::Mark, events);
        match self.protocol.stacks {
            StackScan::Snapshot => self.scan_stacks(events),
            StackScan::Stopped => self.mark_to_the_end(events),
            StackScan::Once | StackScan::Rescan | StackScan::SnapshotAllocating | StackScan::SnapshotSending => {}
        }
        true
    }

    /// Scans a stack that is grey.
    fn handshake(&mut self, mutator: MutatorId, events: &mut Vec<Event>) -> bool {
        let stack = &mut self.stacks[usize::from(mutator.0)];
        let Some(stack) = stack.as_mut().filter(|stack| self.phase == Phase::Mark && stack.color == Color::Grey) else {
            return false;
        };
        stack.color = Color::Black;
        let roots = stack.roots;
        for at in roots.into_iter().flatten() {
            self.looked += 1;
            self.shade(at, events);
        }
        events.push(Event::ScanStack(mutator));
        self.scanned(Work { stacks: paced::STACK, ..Work::default() });
        true
    }

    fn scan_stacks(&mut self, events: &mut Vec<Event>) {
        for mutator in (0..MUTATORS).map(MutatorId) {
            self.handshake(mutator, events);
        }
    }

    /// Scans the globals, or the object that has been grey for longest.
    fn mark_step(&mut self, events: &mut Vec<Event>) -> bool {
        if self.phase != Phase::Mark {
            return false;
        }
        if self.protocol.specials.clearing == Clearing::White {
            self.clear_white();
        }
        if self.globals_color == Color::Grey {
            self.looked += 1;
            self.globals_color = Color::Black;
            for at in self.globals.into_iter().flatten() {
                self.shade(at, events);
            }
            self.shade_specials(events);
            events.push(Event::ScanGlobals);
            self.scanned(Work { globals: paced::STATICS, ..Work::default() });
            return true;
        }
        let snapshot = matches!(self.protocol.stacks, StackScan::SnapshotAllocating | StackScan::SnapshotSending);
        if snapshot && self.stacks.iter().flatten().any(|stack| stack.color == Color::Grey) {
            return false;
        }
        let Some(at) = self.grey.pop_front() else { return false };
        self.looked += 1;
        // A grey cell is never freed: only the sweep frees, and nothing is grey then.
        if let Some(cell) = self.cells.get_mut(&at.0) {
            cell.color = Color::Black;
            let (pointers, usable) = (cell.scan_work(), cell.usable);
            let fields: Vec<_> = cell.fields.iter().map(|(_, to)| to).collect();
            for to in fields {
                self.shade(to, events);
            }
            events.push(Event::Scan(at));
            let heap = self.looked_at(pointers, usable);
            self.scanned(Work { heap, ..Work::default() });
        }
        true
    }

    /// What finalizers and cleanups hold turns grey.
    fn shade_specials(&mut self, events: &mut Vec<Event>) {
        let Specials { closures_are_roots, arguments_are_roots, queue_is_root, .. } = self.protocol.specials;
        let finalizable: Vec<_> = self.attached.finalizable().filter(|_| closures_are_roots).collect();
        let queued = self.attached.dead().filter(|_| queue_is_root);
        let held: Vec<_> = queued.chain(self.attached.arguments().filter(|_| arguments_are_roots)).collect();
        for at in finalizable {
            self.shade_fields(at, events);
        }
        for at in held {
            self.shade(at, events);
        }
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> bool {
        let marked = self.grey.is_empty() && self.globals_color == Color::Black;
        let scanned = self.stacks.iter().flatten().all(|stack| stack.color == Color::Black);
        if self.phase != Phase::Mark || !marked || !scanned {
            return false;
        }
        if self.protocol.stacks == StackScan::Rescan {
            for stack in self.stacks.iter_mut().flatten() {
                stack.color = Color::Grey;
            }
            self.scan_stacks(events);
            while self.mark_step(events) {}
        }
        if self.protocol.specials.clearing == Clearing::AtTheEnd {
            self.clear_white();
        }
        self.sweep_from_the_start(events);
        true
    }

    /// Clears weak pointers to whatever is white.
    fn clear_white(&mut self) {
        for (at, _) in self.cells.iter().filter(|(_, cell)| cell.color == Color::White) {
            self.attached.clear_weak(Address(*at));
        }
    }

    fn sweep_from_the_start(&mut self, events: &mut Vec<Event>) {
        self.measure();
        self.enter(Phase::Terminate, events);
        self.enter(Phase::Sweep, events);
        self.swept = 0;
        self.marked = Some(self.clock);
        self.pace_the_sweep();
    }

    fn abort(&mut self, events: &mut Vec<Event>) -> bool {
        let marking = self.phase == Phase::Mark;
        if marking {
            // To whom a colour still means something, what is grey is marked.
            for at in self.grey.drain(..) {
                if let Some(cell) = self.cells.get_mut(&at.0) {
                    cell.color = Color::Black;
                }
            }
            match self.protocol.abort {
                Abort::Forgets => self.enter(Phase::Off, events),
                Abort::KeepsMarks => {
                    self.stale = true;
                    self.enter(Phase::Off, events);
                }
                Abort::Sweeps => self.sweep_from_the_start(events),
            }
        }
        marking
    }

    fn mark_to_the_end(&mut self, events: &mut Vec<Event>) {
        self.scan_stacks(events);
        while self.mark_step(events) {}
        self.finish(events);
    }

    /// Sweeps one cell.
    fn sweep_step(&mut self, events: &mut Vec<Event>) -> bool {
        if self.phase != Phase::Sweep {
            return false;
        }
        match self.cells.range(self.swept..).next() {
            None => self.enter(Phase::Off, events),
            Some((&at, cell)) => {
                self.swept = at + cell.usable;
                if cell.color == Color::White {
                    self.bury(Address(at), events);
                }
            }
        }
        true
    }

    /// A cell was found dead: it is freed, or kept for its finalizer.
    fn bury(&mut self, at: Address, events: &mut Vec<Event>) {
        let kept = self.attached.queue_finalizer(at);
        match self.protocol.specials.clearing {
            Clearing::Never => {}
            Clearing::Freed if kept => {}
            Clearing::Freed | Clearing::Dead | Clearing::AtTheEnd | Clearing::White => self.attached.clear_weak(at),
        }
        if !kept || !self.protocol.specials.cleanups_wait {
            self.attached.queue_cleanups(at);
        }
        if kept {
            if let Some(cell) = self.cells.get_mut(&at.0) {
                cell.color = Color::Black;
                let usable = cell.usable;
                self.resurrect(usable);
            }
            events.push(Event::Finalize(at));
        } else {
            self.cells.remove(&at.0);
            events.push(Event::Free(at));
        }
    }

    /// Someone was kept from running, since so much had been `looked` at.
    fn pause(&self, who: Option<MutatorId>, looked: u64, events: &mut Vec<Event>) {
        let told = if who.is_some() { 1 } else { self.stacks.iter().flatten().count() as u64 };
        events.push(Event::Pause { who, units: told + self.looked - looked });
    }

    fn collect(&mut self, step: Collect, events: &mut Vec<Event>) -> Reply {
        let looked = self.looked;
        let done = match step {
            Collect::Full => {
                if self.phase == Phase::Mark {
                    self.mark_to_the_end(events);
                }
                self.start(Cause::Told, events);
                self.mark_to_the_end(events);
                while self.sweep_step(events) {}
                true
            }
            Collect::Start => self.start(Cause::Told, events),
            // Every step is taken: `count` of them, or until one finds nothing to do.
            Collect::Mark(steps) => (0..steps).take_while(|_| self.mark_step(events)).count() > 0,
            Collect::Handshake(mutator) => self.handshake(mutator, events),
            Collect::Finish => self.finish(events),
            Collect::Abort => self.abort(events),
            Collect::Sweep(steps) => (0..steps).take_while(|_| self.sweep_step(events)).count() > 0,
            Collect::Stats => {
                return Reply::Stats {
                    objects: self.cells.len() as u64,
                    bytes: self.cells.values().map(|cell| cell.usable).sum(),
                };
            }
            Collect::Pace => return self.gauge().map_or(Reply::Unsupported, |gauge| Reply::Pace(Box::new(gauge))),
        };
        match step {
            Collect::Start | Collect::Finish | Collect::Abort if done => self.pause(None, looked, events),
            Collect::Handshake(mutator) if done => self.pause(Some(mutator), looked, events),
            _ => {}
        }
        if done { Reply::Done } else { Reply::Idle }
    }

    // ---- the environment

    fn environment(&mut self, change: Environment, events: &mut Vec<Event>) {
        match change {
            Environment::Fail(requests) => self.failing = requests,
            Environment::Clock(milliseconds) => {
                self.clock += u64::from(milliseconds);
                self.pass(u64::from(milliseconds));
                let due = self.marked.is_some_and(|marked| self.clock - marked > PERIOD_MS);
                if self.phase != Phase::Mark && due && self.collects_by_the_clock() {
                    let looked = self.looked;
                    self.start(Cause::Time, events);
                    self.pause(None, looked, events);
                }
            }
            Environment::Gogc(_) | Environment::Limit(_) => self.advise(change),
        }
    }
}

impl Heap for Machine {
    fn claims(&self) -> Claims {
        let claimed = Capability::ALL.into_iter().filter(|capability| match capability {
            // It takes addresses in turn, as they come.
            Capability::Free | Capability::Aligned | Capability::Classes => false,
            Capability::Pacing => self.pacer.is_some(),
            // What is done in the course of an allocation is not told apart from it.
            Capability::Pauses => self.pacer.is_none(),
            // Whoever scans all stacks at once, or marks meanwhile, stops the world for longer.
            Capability::Incremental => self.pacer.is_none() && self.protocol.stacks == StackScan::Once,
            _ => true,
        });
        let name = match self.pacer {
            Some(_) => Cow::Owned(format!("{}-paced", self.protocol.name)),
            None => Cow::Borrowed(self.protocol.name),
        };
        let claims = Claims::new(name).with(&claimed.collect::<Vec<_>>());
        match self.protocol.invariant {
            Some(invariant) => claims.upholding(invariant),
            None => claims,
        }
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        match *op {
            Op::Collect(step) => self.collect(step, events),
            Op::Environment(change) => {
                // A cycle that the clock starts has not been given any of the time that is over.
                let marking = self.phase == Phase::Mark;
                self.environment(change, events);
                if marking {
                    self.catch_up(events);
                }
                Reply::Done
            }
            Op::Mutate { by, ref action } => {
                self.catch_up(events);
                let reply = self.act(by, action, events).unwrap_or_else(Reply::Trap);
                self.pass(1);
                reply
            }
        }
    }
}

#[cfg(test)]
mod tests;
