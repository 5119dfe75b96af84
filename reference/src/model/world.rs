//! A world: what there is, its names, and the number that it fits into.

use crate::color::Color;

/// The most objects, fields, mutators and registers that a world has room for.
pub(super) const OBJECTS: usize = 4;
pub(super) const FIELDS: usize = 2;
pub(super) const MUTATORS: usize = 2;
pub(super) const REGISTERS: usize = 2;

/// A reference: nil, or an object by its number from 1.
pub(super) type Ref = u8;
pub(super) const NIL: Ref = 0;
/// What a weak pointer, or a conversion under way, refers to after its target was found dead.
pub(super) const FREED: Ref = 5;
/// What a weak pointer refers to that was cleared while its target was reachable.
pub(super) const EARLY: Ref = 6;

/// A set of objects, a bit for each.
pub(super) type Objects = u8;

/// What a mutator has begun and not finished: a store, or the conversion of the weak pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pending {
    /// The next thing to do.
    pub(super) stage: Stage,
    pub(super) object: Ref,
    /// The field that is stored into; for a conversion, the register that receives the target.
    pub(super) field: u8,
    /// The field's old value; for a conversion, what the weak pointer referred to when it was read.
    pub(super) old: Ref,
    pub(super) new: Ref,
}

/// What a store or conversion that has begun does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    /// Nothing is under way.
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
    /// A conversion has read the weak pointer.
    Settle,
    /// It has shaded or swept what it read.
    Receive,
}

impl Stage {
    const ALL: [Stage; 11] = [
        Stage::None,
        Stage::ReadOld,
        Stage::ShadeOld,
        Stage::TestNew,
        Stage::ShadeNew,
        Stage::Write,
        Stage::WritePlainly,
        Stage::WrittenShadeOld,
        Stage::WrittenShadeNew,
        Stage::Settle,
        Stage::Receive,
    ];

    pub(super) fn is_conversion(self) -> bool {
        matches!(self, Stage::Settle | Stage::Receive)
    }
}

impl Pending {
    pub(super) const NONE: Pending = Pending { stage: Stage::None, object: NIL, field: 0, old: NIL, new: NIL };
}

/// Where in its cycle a collector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Marking; the barrier is on.
    Mark,
    /// Still marking, but it has been decided that nothing is grey.
    Ending,
    /// Freeing what is white. Grey is as good as black.
    Sweep,
    /// Doing nothing. Everything is white and that means nothing, but for marks that an aborted cycle has left.
    Off,
}

impl Period {
    const ALL: [Period; 4] = [Period::Mark, Period::Ending, Period::Sweep, Period::Off];
}

/// The state of everything.
///
/// While not marking, stacks and finalizers are black, and so is a mutator that is not there: nobody asks. What is not
/// there refers to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    pub(super) registers: [[Ref; REGISTERS]; MUTATORS],
    pub(super) fields: [[Ref; FIELDS]; OBJECTS],
    /// By number less 1; `None`: there is no such object.
    pub(super) colors: [Option<Color>; OBJECTS],
    pub(super) stacks: [Color; MUTATORS],
    pub(super) pending: [Pending; MUTATORS],
    pub(super) period: Period,
    /// Which mutators there are, a bit for each.
    pub(super) present: u8,
    /// What the weak pointer refers to.
    pub(super) weak: Ref,
    /// Objects with a finalizer.
    pub(super) finalizable: Objects,
    /// Objects that were found dead, wait for their finalizer, and have none any more. No object is both.
    pub(super) queued: Objects,
    /// Whether finalizers and queue have been scanned in this cycle: grey or black.
    pub(super) finalizers: Color,
}

/// New names of objects, by old name: four bits for each, of which the upper says that there is a name. Nil and what was
/// freed keep theirs. In one number, because this is where exploration spends its time.
#[derive(Clone, Copy)]
struct Names(u32);

impl Names {
    const NAMED: u32 = 8;
    /// No object has a name.
    const NONE: Names = Names(Names::NAMED | (Names::NAMED | 5) << (4 * 5) | (Names::NAMED | 6) << (4 * 6));
    /// Every object keeps its name.
    const SAME: Names = Names(Names::NONE.0 | 0x000c_ba90);

    fn has(self, at: Ref) -> bool {
        self.0 >> (4 * at) & Names::NAMED != 0
    }

    fn of(self, at: Ref) -> Ref {
        (self.0 >> (4 * at) & 7) as Ref
    }

    fn of_all(self, objects: Objects) -> Objects {
        each(objects).fold(0, |set, at| set | World::bit(self.of(at as Ref + 1)))
    }
}

/// A walk that gives names in the order in which it finds objects.
struct Walk {
    names: Names,
    /// The objects found, four bits for each.
    order: u32,
    found: u32,
}

impl Walk {
    fn find(&mut self, at: Ref) {
        if !self.names.has(at) {
            self.order |= u32::from(at) << (4 * self.found);
            self.found += 1;
            self.names.0 |= (Names::NAMED | self.found) << (4 * at);
        }
    }
}

/// The numbers of a set's objects, from 0.
pub(super) fn each(mut set: Objects) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let at = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            at
        })
    })
}

impl World {
    pub(super) const EMPTY: World = World {
        registers: [[NIL; REGISTERS]; MUTATORS],
        fields: [[NIL; FIELDS]; OBJECTS],
        colors: [None; OBJECTS],
        stacks: [Color::Black; MUTATORS],
        pending: [Pending::NONE; MUTATORS],
        period: Period::Mark,
        present: 0,
        weak: NIL,
        finalizable: 0,
        queued: 0,
        finalizers: Color::Black,
    };

    // ---- one thing

    /// A register of a mutator, as an object.
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

    /// Whether a mutator is there.
    pub fn is_present(&self, mutator: u8) -> bool {
        self.present >> mutator & 1 == 1
    }

    /// Where in its cycle the collector is.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Whether the weak pointer refers to an object that was freed.
    pub fn weak_dangles(&self) -> bool {
        self.weak == FREED
    }

    /// The weak pointer's target.
    pub fn target(&self) -> Option<u8> {
        self.weak.checked_sub(1).filter(|at| usize::from(*at) < OBJECTS)
    }

    /// Whether an object has a finalizer.
    pub fn has_finalizer(&self, object: u8) -> bool {
        self.finalizable >> object & 1 == 1
    }

    /// Whether an object was found dead and waits for its finalizer.
    pub fn is_queued(&self, object: u8) -> bool {
        self.queued >> object & 1 == 1
    }

    /// Whether finalizers and queue have been scanned: grey or black.
    pub fn finalizers_color(&self) -> Color {
        self.finalizers
    }

    pub(super) fn color(&self, at: Ref) -> Option<Color> {
        self.colors[usize::from(at) - 1]
    }

    pub(super) fn field(&self, object: Ref, field: u8) -> Ref {
        self.fields[usize::from(object) - 1][usize::from(field)]
    }

    pub(super) fn set_field(&mut self, object: Ref, field: u8, value: Ref) {
        self.fields[usize::from(object) - 1][usize::from(field)] = value;
    }

    /// Whether the barrier is on and colours mean something.
    pub(super) fn marking(&self) -> bool {
        matches!(self.period, Period::Mark | Period::Ending)
    }

    /// White to grey, while marking.
    pub(super) fn shade(&mut self, at: Ref) {
        if (1..FREED).contains(&at) && self.color(at) == Some(Color::White) && self.marking() {
            self.colors[usize::from(at) - 1] = Some(Color::Grey);
        }
    }

    pub(super) fn shade_all(&mut self, objects: Objects) {
        for at in each(objects) {
            self.shade(at as Ref + 1);
        }
    }

    // ---- sets of objects

    /// An object as a set; what is freed is none.
    pub(super) fn bit(at: Ref) -> Objects {
        (1u8 << at) >> 1 & ((1 << OBJECTS) - 1)
    }

    /// What a mutator holds: its registers, and what a store under way is going to use. The old value is not among it,
    /// no mutator gets hold of it; nor is a conversion's target before it is received.
    pub(super) fn stack_roots(&self, mutator: usize) -> Objects {
        let registers = self.registers[mutator].iter().fold(0, |set, at| set | World::bit(*at));
        let Pending { object, new, .. } = self.pending[mutator];
        registers | World::bit(object) | World::bit(new)
    }

    pub(super) fn roots(&self) -> Objects {
        (0..MUTATORS).fold(0, |set, mutator| set | self.stack_roots(mutator))
    }

    pub(super) fn colored(&self, color: Color) -> Objects {
        let has = |at: &usize| self.colors[*at] == Some(color);
        (0..OBJECTS).filter(has).fold(0, |set, at| set | 1 << at)
    }

    fn out_of(&self, at: usize) -> Objects {
        self.fields[at].iter().fold(0, |set, to| set | World::bit(*to))
    }

    /// What these objects refer to.
    pub(super) fn out_of_all(&self, objects: Objects) -> Objects {
        each(objects).fold(0, |set, at| set | self.out_of(at))
    }

    /// All objects that `from` reaches over objects that are `passable`; `from` has to be as well.
    pub(super) fn spread(&self, from: Objects, passable: Objects) -> Objects {
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

    // ---- names

    /// Names of objects in the order in which a walk finds them: from the registers, stores under way and the weak pointer,
    /// then from what is grey, queued or has a finalizer. What the walk does not find gets none.
    fn names(&self) -> Names {
        let mut walk = Walk { names: Names::NONE, order: 0, found: 0 };
        for mutator in 0..MUTATORS {
            for at in self.registers[mutator] {
                walk.find(at);
            }
            let Pending { stage, object, old, new, .. } = self.pending[mutator];
            if stage != Stage::None {
                for at in [object, old, new] {
                    walk.find(at);
                }
            }
        }
        walk.find(self.weak);
        for roots in [self.colored(Color::Grey), self.queued, self.finalizable] {
            for at in each(roots) {
                walk.find(at as Ref + 1);
            }
        }
        let mut walked = 0;
        while walked < walk.found {
            let at = (walk.order >> (4 * walked) & 7) as usize - 1;
            for to in self.fields[at % OBJECTS] {
                walk.find(to);
            }
            walked += 1;
        }
        walk.names
    }

    /// The same world with objects named in the order in which they are found, and without those that do not matter.
    pub fn canonical(&self) -> World {
        let names = self.names();
        let name = |at: Ref| names.of(at);
        let mut world = *self;
        (world.colors, world.fields) = (World::EMPTY.colors, World::EMPTY.fields);
        world.weak = name(self.weak);
        world.finalizable = names.of_all(self.finalizable);
        world.queued = names.of_all(self.queued);
        for mutator in 0..MUTATORS {
            world.registers[mutator] = self.registers[mutator].map(name);
            let Pending { stage, object, field, old, new } = self.pending[mutator];
            world.pending[mutator] = Pending { stage, object: name(object), field, old: name(old), new: name(new) };
        }
        for at in 0..OBJECTS {
            if let Some(place) = usize::from(names.of(at as Ref + 1)).checked_sub(1) {
                world.colors[place] = self.colors[at];
                world.fields[place] = self.fields[at].map(name);
            }
        }
        world
    }

    /// The same world without the objects that do not matter, with every other keeping its number.
    pub fn without_garbage(&self) -> World {
        let owed = self.pending.iter().fold(0, |set, pending| set | World::bit(pending.old));
        let kept = owed | World::bit(self.weak) | self.finalizable | self.queued | self.colored(Color::Grey);
        let matters = self.spread(self.roots() | kept, Objects::MAX);
        let mut world = *self;
        for at in (0..OBJECTS).filter(|at| matters >> at & 1 == 0) {
            (world.colors[at], world.fields[at]) = (None, [NIL; FIELDS]);
        }
        world
    }

    // ---- packing

    /// The world as a number.
    pub fn pack(&self) -> u128 {
        self.packed(Names::SAME)
    }

    /// The [canonical](World::canonical) world as a number.
    pub fn pack_canonical(&self) -> u128 {
        self.packed(self.names())
    }

    /// The world with new names as a number: 40 bits for the objects, 22 for registers, colours, weak pointer and
    /// period, and in the upper half 14 for what each mutator has begun. An object without a name is left out.
    fn packed(&self, names: Names) -> u128 {
        let name = |at: Ref| u64::from(names.of(at));
        let mut number: u64 = 0;
        for (at, color) in self.colors.iter().enumerate() {
            let (place, Some(color)) = (name(at as Ref + 1), color) else { continue };
            if place != 0 {
                let bit = 1 << at;
                let [a, b] = self.fields[at];
                let finalizable = u64::from(self.finalizable & bit != 0);
                let queued = u64::from(self.queued & bit != 0);
                let object = name(a) | name(b) << 3 | (*color as u64 + 1) << 6 | finalizable << 8 | queued << 9;
                number |= object << (10 * (place - 1));
            }
        }
        let mut at = 40;
        let mut put = |value: u64, bits: u32| {
            number |= value << at;
            at += bits;
        };
        for register in self.registers.iter().flatten() {
            put(name(*register), 3);
        }
        for stack in self.stacks {
            put(u64::from(stack == Color::Black), 1);
        }
        put(u64::from(self.finalizers == Color::Black), 1);
        put(name(self.weak), 3);
        put(self.period as u64, 2);
        put(u64::from(self.present), 2);
        let mut begun = 0;
        for (mutator, pending) in self.pending.iter().enumerate() {
            if pending.stage != Stage::None {
                let Pending { stage, object, field, old, new } = *pending;
                let one = stage as u64 | u64::from(field) << 4 | name(object) << 5 | name(old) << 8 | name(new) << 11;
                begun |= one << (14 * mutator);
            }
        }
        u128::from(number) | u128::from(begun) << 64
    }

    /// The world that a number stands for.
    pub fn unpack(number: u128) -> World {
        let (mut rest, mut begun) = (number as u64, (number >> 64) as u64);
        let take = |from: &mut u64, bits: u32| {
            let value = (*from & ((1 << bits) - 1)) as u8;
            *from >>= bits;
            value
        };
        let mut world = World::EMPTY;
        for at in 0..OBJECTS {
            world.fields[at] = [take(&mut rest, 3), take(&mut rest, 3)];
            world.colors[at] =
                [None, Some(Color::White), Some(Color::Grey), Some(Color::Black)][usize::from(take(&mut rest, 2))];
            world.finalizable |= take(&mut rest, 1) << at;
            world.queued |= take(&mut rest, 1) << at;
        }
        for register in world.registers.iter_mut().flatten() {
            *register = take(&mut rest, 3);
        }
        let colors = [Color::Grey, Color::Black];
        for stack in &mut world.stacks {
            *stack = colors[usize::from(take(&mut rest, 1))];
        }
        world.finalizers = colors[usize::from(take(&mut rest, 1))];
        world.weak = take(&mut rest, 3);
        world.period = Period::ALL[usize::from(take(&mut rest, 2))];
        world.present = take(&mut rest, 2);
        for pending in &mut world.pending {
            let from = &mut begun;
            pending.stage = Stage::ALL[usize::from(take(from, 4))];
            pending.field = take(from, 1);
            (pending.object, pending.old, pending.new) = (take(from, 3), take(from, 3), take(from, 3));
        }
        world
    }
}
