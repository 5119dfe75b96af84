//! The model: a whole heap in the palm of a hand.
//!
//! The [machine](crate::machine) shows what a design does to a program. The model shows what it does to *every* program,
//! as long as the world is small: up to four objects of up to two fields, two mutators, two registers each. A
//! [`World`] is a few bytes that can be copied, compared and packed into a number, and [`World::steps`] lists everything
//! that can happen next. Whoever follows all steps from all [beginnings](Scope::beginnings) has seen every interleaving
//! there is.
//!
//! ```text
//!   a mutator    load, store, copy, clear, allocate, send; a store may fall into four steps of its own:
//!                read the old value, shade it, shade the new value, write
//!   collector    scan a stack, scan any grey object
//! ```
//!
//! A world begins at the moment when marking does: everything white, stacks grey, the barrier on. (For a design whose
//! flag test can be overtaken, also with a store under way that found the barrier off.) Marking is over when nothing is
//! grey, and then the design has **lost** an object if a mutator can still reach a white one. There are no globals here:
//! they are an object that nobody can drop.
//!
//! Objects that can neither be reached nor make others grey are forgotten, and the others are named in the order in
//! which a walk from the registers finds them. So worlds that differ only in names are one world, and an object's place
//! can be taken by a new one.
//!
//! This chapter grounds laws 51 to 54, 70 to 76, 79 and 137. Source: the model-checked table of the fact sheet (7.4);
//! the idea of a design space as data is from A. Clements' models of Go's barriers.
//!
//! ```
//! use heaplaw_reference::{model::Scope, protocol::Protocol};
//! let scope = Scope { objects: 2, fields: 1, mutators: 1, registers: 2 };
//! // One step at a time, from one of the beginnings, until nothing is grey.
//! let mut world = scope.beginnings(&Protocol::HYBRID).next().expect("a beginning");
//! while !world.marked() {
//!     let steps = world.steps(&Protocol::HYBRID, scope);
//!     (_, world) = *steps.iter().find(|(step, _)| step.is_collector()).expect("something is grey");
//! }
//! assert!(world.lost(&Protocol::HYBRID).is_none());
//! ```

use crate::{
    barrier::{Order, When},
    color::Color,
    heap::Invariant,
    protocol::{Protocol, StackScan},
};
use alloc::vec::Vec;

/// The most objects, fields, mutators and registers that a world has room for.
const OBJECTS: usize = 4;
const FIELDS: usize = 2;
const MUTATORS: usize = 2;
const REGISTERS: usize = 2;

/// A reference: nil, or an object by its number from 1.
type Ref = u8;
const NIL: Ref = 0;

/// How large a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Objects, up to 4.
    pub objects: u8,
    /// Pointer fields of each, up to 2.
    pub fields: u8,
    /// Mutators, up to 2.
    pub mutators: u8,
    /// Registers of each, up to 2.
    pub registers: u8,
}

impl Scope {
    /// Whether a world has room for this.
    pub fn fits(self) -> bool {
        let within = |n: u8, most: usize| n >= 1 && usize::from(n) <= most;
        within(self.objects, OBJECTS)
            && within(self.fields, FIELDS)
            && within(self.mutators, MUTATORS)
            && within(self.registers, REGISTERS)
    }

    /// Every world at the beginning of marking: all ways in which registers and fields can refer to at most so many
    /// objects, told apart only by who refers to whom.
    pub fn beginnings(self, protocol: &Protocol) -> impl Iterator<Item = World> {
        let (registers, fields) = (self.registers * self.mutators, self.objects * self.fields);
        let places = u32::from(registers + fields);
        let values = u64::from(self.objects) + 1;
        let mut worlds: Vec<World> = (0..values.pow(places))
            .flat_map(|mut number| {
                let mut next = || {
                    let value = (number % values) as Ref;
                    number /= values;
                    value
                };
                let mut world = World::EMPTY;
                world.stacks = [Color::Black; MUTATORS];
                for mutator in 0..usize::from(self.mutators) {
                    world.stacks[mutator] = Color::Grey;
                    for register in 0..usize::from(self.registers) {
                        world.registers[mutator][register] = next();
                    }
                }
                for object in 0..usize::from(self.objects) {
                    world.colors[object] = Some(Color::White);
                    for field in 0..usize::from(self.fields) {
                        world.fields[object][field] = next();
                    }
                }
                let world = world.canonical();
                let overtaken = if protocol.flag_test_can_be_overtaken { world.overtaken(self) } else { Vec::new() };
                core::iter::once(world).chain(overtaken)
            })
            .collect();
        worlds.sort_unstable();
        worlds.dedup();
        worlds.into_iter()
    }
}

/// A store that has begun and is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pending {
    /// The next thing to do.
    stage: Stage,
    object: Ref,
    field: u8,
    old: Ref,
    new: Ref,
}

/// What a store that has begun does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    /// No store is under way.
    None,
    ReadOld,
    ShadeOld,
    TestNew,
    ShadeNew,
    Write,
    /// The barrier was off when it was tested.
    WritePlainly,
    /// The field is written; its shades are still owed.
    WrittenShadeOld,
    WrittenShadeNew,
}

impl Stage {
    const ALL: [Stage; 9] = [
        Stage::None,
        Stage::ReadOld,
        Stage::ShadeOld,
        Stage::TestNew,
        Stage::ShadeNew,
        Stage::Write,
        Stage::WritePlainly,
        Stage::WrittenShadeOld,
        Stage::WrittenShadeNew,
    ];
}

impl Pending {
    const NONE: Pending = Pending { stage: Stage::None, object: NIL, field: 0, old: NIL, new: NIL };
}

/// The state of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    registers: [[Ref; REGISTERS]; MUTATORS],
    fields: [[Ref; FIELDS]; OBJECTS],
    /// By number less 1; `None`: there is no such object.
    colors: [Option<Color>; OBJECTS],
    stacks: [Color; MUTATORS],
    pending: [Pending; MUTATORS],
}

/// One thing that happens. Numbers of objects are those of the world it happens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `mutator`: `into := (register from).field`.
    Load {
        /// Who.
        mutator: u8,
        /// The register that is overwritten.
        into: u8,
        /// The register that holds the object.
        from: u8,
        /// The field that is read.
        field: u8,
    },
    /// `mutator`: `(register of).field := value`, barrier and all; or only its beginning, in a design whose stores fall
    /// into steps.
    Store {
        /// Who.
        mutator: u8,
        /// The register that holds the object.
        of: u8,
        /// The field that is overwritten.
        field: u8,
        /// The register whose value is stored; nil if none.
        value: Option<u8>,
    },
    /// `mutator`: the next step of the store that it has begun.
    Go(
        /// Who.
        u8,
    ),
    /// `mutator`: `into := from`.
    Copy {
        /// Who.
        mutator: u8,
        /// The register that is overwritten.
        into: u8,
        /// The register that is read.
        from: u8,
    },
    /// `mutator`: a register becomes nil.
    Clear {
        /// Who.
        mutator: u8,
        /// The register.
        register: u8,
    },
    /// `mutator`: a new object.
    Allocate {
        /// Who.
        mutator: u8,
        /// The register that receives it.
        into: u8,
    },
    /// `mutator` hands the reference in a register to the other mutator.
    Send {
        /// Who.
        mutator: u8,
        /// The register that is read.
        value: u8,
        /// The other mutator's register that is overwritten.
        into: u8,
    },
    /// The collector scans a stack.
    ScanStack(
        /// Whose.
        u8,
    ),
    /// The collector scans a grey object.
    Scan(
        /// Which, by its number in the world before, from 0.
        u8,
    ),
    /// The collector scans all stacks and everything that turns up, with no mutator running.
    Rescan,
}

impl Step {
    /// Whether it is the collector's.
    pub fn is_collector(self) -> bool {
        matches!(self, Step::ScanStack(_) | Step::Scan(_) | Step::Rescan)
    }
}

impl World {
    const EMPTY: World = World {
        registers: [[NIL; REGISTERS]; MUTATORS],
        fields: [[NIL; FIELDS]; OBJECTS],
        colors: [None; OBJECTS],
        stacks: [Color::Black; MUTATORS],
        pending: [Pending::NONE; MUTATORS],
    };

    fn color(&self, at: Ref) -> Option<Color> {
        self.colors[usize::from(at) - 1]
    }

    fn shade(&mut self, at: Ref) {
        if at != NIL && self.color(at) == Some(Color::White) {
            self.colors[usize::from(at) - 1] = Some(Color::Grey);
        }
    }

    fn field(&self, object: Ref, field: u8) -> Ref {
        self.fields[usize::from(object) - 1][usize::from(field)]
    }

    fn set_field(&mut self, object: Ref, field: u8, value: Ref) {
        self.fields[usize::from(object) - 1][usize::from(field)] = value;
    }

    /// A register of a mutator, as a reference.
    pub fn register(&self, mutator: u8, register: u8) -> Option<u8> {
        self.registers[usize::from(mutator)][usize::from(register)].checked_sub(1)
    }

    /// What a field holds.
    pub fn holds(&self, object: u8, field: u8) -> Option<u8> {
        self.fields[usize::from(object)][usize::from(field)].checked_sub(1)
    }

    /// The objects that there are.
    pub fn objects(&self) -> impl Iterator<Item = u8> {
        (0..OBJECTS as u8).filter(|at| self.colors[usize::from(*at)].is_some())
    }

    /// The colour of an object that there is.
    pub fn object_color(&self, object: u8) -> Option<Color> {
        self.colors[usize::from(object)]
    }

    /// The colour of a stack.
    pub fn stack_color(&self, mutator: u8) -> Color {
        self.stacks[usize::from(mutator)]
    }

    /// Whether nothing is grey and no store is under way: marking can end.
    pub fn marked(&self) -> bool {
        !self.colors.contains(&Some(Color::Grey))
            && self.stacks.iter().all(|stack| *stack == Color::Black)
            && self.pending.iter().all(|pending| pending.stage == Stage::None)
    }

    /// A white object that a mutator can still reach, if marking can end here (after stacks are scanned again, in a
    /// design that does that) and there is one.
    pub fn lost(&self, protocol: &Protocol) -> Option<u8> {
        if !self.marked() {
            return None;
        }
        let world = if protocol.stacks == StackScan::Rescan { self.rescanned() } else { *self };
        let lost = world.spread(world.roots(), |_| true) & world.colored(Color::White);
        (lost != 0).then(|| lost.trailing_zeros() as u8)
    }

    // ---- sets of objects, a bit for each

    fn bit(at: Ref) -> u8 {
        if at == NIL { 0 } else { 1 << (at - 1) }
    }

    fn stack_roots(&self, mutator: usize) -> u8 {
        let registers = self.registers[mutator].iter().fold(0, |set, at| set | World::bit(*at));
        // A store under way holds what it is going to use. The old value is not among it: no mutator gets hold of it.
        let Pending { object, new, .. } = self.pending[mutator];
        registers | World::bit(object) | World::bit(new)
    }

    fn roots(&self) -> u8 {
        (0..MUTATORS).fold(0, |set, mutator| set | self.stack_roots(mutator))
    }

    fn colored(&self, color: Color) -> u8 {
        let has = |at: &usize| self.colors[*at] == Some(color);
        (0..OBJECTS).filter(has).fold(0, |set, at| set | 1 << at)
    }

    fn out_of(&self, at: usize) -> u8 {
        self.fields[at].iter().fold(0, |set, to| set | World::bit(*to))
    }

    /// All objects that `from` reaches over objects that `through` lets pass; `from` has to pass too.
    fn spread(&self, from: u8, through: impl Fn(usize) -> bool) -> u8 {
        let passable = (0..OBJECTS).filter(|at| through(*at)).fold(0, |set, at| set | 1u8 << at);
        let (mut found, mut open) = (from & passable, from & passable);
        while open != 0 {
            let at = open.trailing_zeros() as usize;
            open &= open - 1;
            let new = self.out_of(at) & passable & !found;
            found |= new;
            open |= new;
        }
        found
    }

    /// Whether an invariant holds; see [`color`](crate::color) for what each says.
    pub fn upholds(&self, invariant: Invariant) -> bool {
        let (white, grey, black) = (self.colored(Color::White), self.colored(Color::Grey), self.colored(Color::Black));
        let reachable = self.spread(self.roots(), |_| true);
        let each = |set: u8| (0..OBJECTS).filter(move |at| set >> at & 1 == 1);
        let from_black = each(black & reachable).fold(0, |set, at| set | self.out_of(at));
        if invariant == Invariant::Strong {
            return from_black & white == 0;
        }
        let stacks = |color| (0..MUTATORS).filter(move |mutator| self.stacks[*mutator] == color);
        let from_stacks = stacks(Color::Black).fold(0, |set, mutator| set | self.stack_roots(mutator));
        let mut sources = each(grey).fold(0, |set, at| set | self.out_of(at));
        // A shade that a store under way still owes protects like something grey: its mutator cannot skip it.
        for pending in &self.pending {
            sources |= match pending.stage {
                Stage::WrittenShadeOld => World::bit(pending.old) | World::bit(pending.new),
                Stage::WrittenShadeNew => World::bit(pending.new),
                _ => 0,
            };
        }
        if invariant == Invariant::Weak {
            sources |= stacks(Color::Grey).fold(0, |set, mutator| set | self.stack_roots(mutator));
        }
        let protected = self.spread(sources & white, |at| white >> at & 1 == 1);
        (from_black | from_stacks) & white & !protected == 0
    }

    // ---- what can happen

    /// Everything that can happen next under a protocol, with the world after it.
    pub fn steps(&self, protocol: &Protocol, scope: Scope) -> Vec<(Step, World)> {
        let mut next = Vec::new();
        self.each_step(protocol, scope, |step, world| next.push((step, world)));
        next
    }

    /// As [`World::steps`], without a list.
    pub fn each_step(&self, protocol: &Protocol, scope: Scope, mut to: impl FnMut(Step, World)) {
        self.each_named_step(protocol, scope, |step, world| to(step, world.canonical()));
    }

    /// As [`World::each_step`], with every object keeping its number: for telling a story.
    pub fn each_named_step(&self, protocol: &Protocol, scope: Scope, mut to: impl FnMut(Step, World)) {
        if protocol.stacks != StackScan::Stopped || self.marked() {
            for mutator in 0..scope.mutators {
                self.mutate(mutator, protocol, scope, &mut to);
            }
        }
        self.collect(protocol, scope, &mut to);
    }

    fn with(&self, mutator: u8, register: u8, value: Ref) -> World {
        let mut world = *self;
        world.registers[usize::from(mutator)][usize::from(register)] = value;
        world
    }

    fn mutate(&self, mutator: u8, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        if self.pending[usize::from(mutator)].stage != Stage::None {
            return tell(Step::Go(mutator), self.go(mutator, protocol));
        }
        let registers = self.registers[usize::from(mutator)];
        let used = 0..scope.registers;
        for into in used.clone() {
            if registers[usize::from(into)] != NIL {
                tell(Step::Clear { mutator, register: into }, self.with(mutator, into, NIL));
            }
            for from in used.clone().filter(|from| registers[usize::from(*from)] != NIL) {
                let held = registers[usize::from(from)];
                if from != into && registers[usize::from(into)] != held {
                    tell(Step::Copy { mutator, into, from }, self.with(mutator, into, held));
                }
                for field in 0..scope.fields {
                    let value = self.field(held, field);
                    tell(Step::Load { mutator, into, from, field }, self.with(mutator, into, value));
                }
            }
            if let Some(place) = (0..scope.objects).find(|at| self.colors[usize::from(*at)].is_none())
                && self.may_allocate(protocol)
            {
                let mut world = self.with(mutator, into, place + 1);
                world.colors[usize::from(place)] = Some(protocol.born);
                tell(Step::Allocate { mutator, into }, world);
            }
        }
        for of in used.clone().filter(|of| registers[usize::from(*of)] != NIL) {
            let object = registers[usize::from(of)];
            for field in 0..scope.fields {
                let values = used.clone().filter(|value| registers[usize::from(*value)] != NIL).map(Some);
                for value in values.chain([None]) {
                    let new = value.map_or(NIL, |value| registers[usize::from(value)]);
                    let step = Step::Store { mutator, of, field, value };
                    tell(step, self.store(mutator, object, field, new, protocol));
                }
            }
        }
        // Who receives waits for it, and is in the middle of nothing else.
        let receives = |to: &u8| *to != mutator && self.pending[usize::from(*to)].stage == Stage::None;
        for to in (0..scope.mutators).filter(receives).filter(|_| self.may_send(protocol)) {
            for value in used.clone().filter(|value| registers[usize::from(*value)] != NIL) {
                for into in used.clone() {
                    let sent = registers[usize::from(value)];
                    let mut world = self.with(to, into, sent);
                    if protocol.sends_shade {
                        world.shade(sent);
                    }
                    tell(Step::Send { mutator, value, into }, world);
                }
            }
        }
    }

    /// While a snapshot is taken nobody may allocate.
    fn may_allocate(&self, protocol: &Protocol) -> bool {
        !matches!(protocol.stacks, StackScan::Snapshot | StackScan::SnapshotSending) || self.all_scanned()
    }

    /// Nor may anybody send.
    fn may_send(&self, protocol: &Protocol) -> bool {
        !matches!(protocol.stacks, StackScan::Snapshot | StackScan::SnapshotAllocating) || self.all_scanned()
    }

    fn all_scanned(&self) -> bool {
        self.stacks.iter().all(|stack| *stack == Color::Black)
    }

    /// A store: all of it, or its first step.
    fn store(&self, mutator: u8, object: Ref, field: u8, new: Ref, protocol: &Protocol) -> World {
        let mut world = *self;
        let first = match protocol.barrier.order {
            Order::WriteFirst => Stage::Write,
            Order::ShadeFirst | Order::ShadeLast => Stage::ReadOld,
        };
        world.pending[usize::from(mutator)] = Pending { stage: first, object, field, old: NIL, new };
        if protocol.stores_are_atomic {
            while world.pending[usize::from(mutator)].stage != Stage::None {
                world = world.go(mutator, protocol);
            }
        }
        world
    }

    /// The next step of a store.
    fn go(&self, mutator: u8, protocol: &Protocol) -> World {
        let mut world = *self;
        let Pending { stage, object, field, old, new } = self.pending[usize::from(mutator)];
        let pending = &mut world.pending[usize::from(mutator)];
        let order = protocol.barrier.order;
        match stage {
            Stage::None => {}
            Stage::ReadOld => {
                pending.old = self.field(object, field);
                pending.stage = if order == Order::ShadeLast { Stage::Write } else { Stage::ShadeOld };
            }
            Stage::ShadeOld => {
                pending.stage = Stage::TestNew;
                if self.due(protocol.barrier.deletion, mutator, object, new) {
                    world.shade(old);
                }
            }
            Stage::TestNew => {
                let due = self.due(protocol.barrier.insertion, mutator, object, new);
                pending.stage = if due { Stage::ShadeNew } else { Stage::Write };
            }
            Stage::ShadeNew => {
                pending.stage = Stage::Write;
                world.shade(new);
            }
            Stage::Write => {
                world.set_field(object, field, new);
                let pending = &mut world.pending[usize::from(mutator)];
                match order {
                    Order::ShadeFirst => *pending = Pending::NONE,
                    Order::ShadeLast => pending.stage = Stage::WrittenShadeOld,
                    // Too late: this is the new value.
                    Order::WriteFirst => (pending.old, pending.stage) = (new, Stage::WrittenShadeOld),
                }
            }
            Stage::WritePlainly => {
                world.set_field(object, field, new);
                world.pending[usize::from(mutator)] = Pending::NONE;
            }
            Stage::WrittenShadeOld => {
                pending.stage = Stage::WrittenShadeNew;
                if self.due(protocol.barrier.deletion, mutator, object, new) {
                    world.shade(old);
                }
            }
            Stage::WrittenShadeNew => {
                *pending = Pending::NONE;
                if self.due(protocol.barrier.insertion, mutator, object, new) {
                    world.shade(new);
                }
            }
        }
        world
    }

    /// Whether a half of the barrier shades.
    fn due(&self, when: When, mutator: u8, object: Ref, new: Ref) -> bool {
        let any = self.stacks.contains(&Color::Grey);
        let mine = self.stacks[usize::from(mutator)] == Color::Grey;
        let color = self.color(object).unwrap_or(Color::White);
        when.applies(mine, any, color, new == NIL)
    }

    /// Every way in which one mutator can be about to write without a barrier.
    fn overtaken(&self, scope: Scope) -> Vec<World> {
        let mut worlds = Vec::new();
        for mutator in 0..usize::from(scope.mutators) {
            let registers = &self.registers[mutator][..usize::from(scope.registers)];
            for object in registers.iter().copied().filter(|object| *object != NIL) {
                for field in 0..scope.fields {
                    for new in registers.iter().copied().chain([NIL]) {
                        let mut world = *self;
                        let stage = Stage::WritePlainly;
                        world.pending[mutator] = Pending { stage, object, field, old: NIL, new };
                        worlds.push(world.canonical());
                    }
                }
            }
        }
        worlds
    }

    fn collect(&self, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        if protocol.stacks == StackScan::Stopped {
            if !self.marked() {
                tell(Step::Rescan, self.rescanned());
            }
            return;
        }
        for mutator in (0..scope.mutators).filter(|mutator| self.stacks[usize::from(*mutator)] == Color::Grey) {
            let mut world = *self;
            world.scan_stack(usize::from(mutator));
            tell(Step::ScanStack(mutator), world);
        }
        let stacks_first = !matches!(protocol.stacks, StackScan::Once | StackScan::Rescan);
        if !stacks_first || self.all_scanned() {
            for at in (0..scope.objects).filter(|at| self.colors[usize::from(*at)] == Some(Color::Grey)) {
                let mut world = *self;
                world.scan(usize::from(at));
                tell(Step::Scan(at), world);
            }
        }
        if protocol.stacks == StackScan::Rescan && self.marked() {
            let world = self.rescanned();
            if world != *self {
                tell(Step::Rescan, world);
            }
        }
    }

    fn scan_stack(&mut self, mutator: usize) {
        self.stacks[mutator] = Color::Black;
        for at in self.registers[mutator] {
            self.shade(at);
        }
    }

    fn scan(&mut self, at: usize) {
        self.colors[at] = Some(Color::Black);
        for to in self.fields[at] {
            self.shade(to);
        }
    }

    /// All stacks scanned, and everything that turns up.
    fn rescanned(&self) -> World {
        let mut world = *self;
        for mutator in 0..MUTATORS {
            world.scan_stack(mutator);
        }
        while let Some(at) = world.colors.iter().position(|color| *color == Some(Color::Grey)) {
            world.scan(at);
        }
        world
    }

    /// The same world with objects named in the order in which they are found, and without those that do not matter.
    pub fn canonical(&self) -> World {
        let mut names = [NIL; OBJECTS + 1];
        let mut order = [0usize; OBJECTS];
        let mut found = 0;
        let mut find = |at: Ref, names: &mut [Ref; OBJECTS + 1]| {
            if at != NIL && names[usize::from(at)] == NIL {
                order[found] = usize::from(at) - 1;
                found += 1;
                names[usize::from(at)] = found as Ref;
            }
            found
        };
        let mut count = 0;
        for mutator in 0..MUTATORS {
            for at in self.registers[mutator] {
                count = find(at, &mut names);
            }
            let Pending { object, old, new, .. } = self.pending[mutator];
            for at in [object, old, new] {
                count = find(at, &mut names);
            }
        }
        let grey = (1..=OBJECTS as Ref).filter(|at| self.color(*at) == Some(Color::Grey));
        for at in grey {
            count = count.max(find(at, &mut names));
        }
        let mut walked = 0;
        while walked < count {
            // `order` is written by `find` only beyond `walked`.
            let at = names.iter().position(|name| usize::from(*name) == walked + 1).map_or(0, |at| at - 1);
            for to in self.fields[at] {
                count = find(to, &mut names);
            }
            walked += 1;
        }
        let mut world = World { stacks: self.stacks, ..World::EMPTY };
        let name = |at: Ref| names[usize::from(at)];
        for mutator in 0..MUTATORS {
            world.registers[mutator] = self.registers[mutator].map(name);
            let Pending { stage, object, field, old, new } = self.pending[mutator];
            world.pending[mutator] = Pending { stage, object: name(object), field, old: name(old), new: name(new) };
        }
        for at in 0..OBJECTS {
            if let Some(place) = usize::from(names[at + 1]).checked_sub(1) {
                world.colors[place] = self.colors[at];
                world.fields[place] = self.fields[at].map(name);
            }
        }
        world
    }

    /// The same world without the objects that do not matter, with every other keeping its number.
    pub fn without_garbage(&self) -> World {
        let owed = self.pending.iter().fold(0, |set, pending| set | World::bit(pending.old));
        let matters = self.spread(self.roots() | owed | self.colored(Color::Grey), |_| true);
        let mut world = *self;
        for at in (0..OBJECTS).filter(|at| matters >> at & 1 == 0) {
            (world.colors[at], world.fields[at]) = (None, [NIL; FIELDS]);
        }
        world
    }

    // ---- packing

    /// The world as a number.
    pub fn pack(&self) -> u128 {
        let mut number: u128 = 0;
        let mut put = |value: u8, bits: u32| number = number << bits | u128::from(value);
        for at in self.registers.iter().flatten().chain(self.fields.iter().flatten()) {
            put(*at, 3);
        }
        for color in self.colors {
            put(color.map_or(0, |color| color as u8 + 1), 2);
        }
        for stack in self.stacks {
            put(u8::from(stack == Color::Black), 1);
        }
        for pending in self.pending {
            put(pending.stage as u8, 4);
            put(pending.object, 3);
            put(pending.field, 1);
            put(pending.old, 3);
            put(pending.new, 3);
        }
        number
    }

    /// The world that a number stands for.
    pub fn unpack(mut number: u128) -> World {
        let mut take = |bits: u32| {
            let value = (number & ((1 << bits) - 1)) as u8;
            number >>= bits;
            value
        };
        let mut world = World::EMPTY;
        for pending in world.pending.iter_mut().rev() {
            (pending.new, pending.old, pending.field, pending.object) = (take(3), take(3), take(1), take(3));
            pending.stage = Stage::ALL[usize::from(take(4))];
        }
        for stack in world.stacks.iter_mut().rev() {
            *stack = if take(1) == 1 { Color::Black } else { Color::Grey };
        }
        for color in world.colors.iter_mut().rev() {
            *color = [None, Some(Color::White), Some(Color::Grey), Some(Color::Black)][usize::from(take(2))];
        }
        for at in world.fields.iter_mut().flatten().rev() {
            *at = take(3);
        }
        for at in world.registers.iter_mut().flatten().rev() {
            *at = take(3);
        }
        world
    }
}
