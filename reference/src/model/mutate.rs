//! What mutators do.

use super::{
    Scope, Step, World,
    world::{FREED, NIL, OBJECTS, Pending, Period, REGISTERS, Ref, Stage},
};
use crate::{
    barrier::{Order, When},
    color::Color,
    protocol::{Protocol, StackScan},
};

impl World {
    /// Whether mutators do anything here.
    pub(super) fn mutators_run(&self, protocol: &Protocol, scope: Scope) -> bool {
        protocol.stacks != StackScan::Stopped
            || self.period != Period::Mark
            || (!scope.alphabet.has_cycles() && self.marked())
    }

    fn with(&self, mutator: u8, register: u8, value: Ref) -> World {
        let mut world = *self;
        world.registers[usize::from(mutator)][usize::from(register)] = value;
        world
    }

    /// Tells what a mutator that is there can do next.
    pub(super) fn mutate(&self, mutator: u8, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        if self.pending[usize::from(mutator)].stage != Stage::None {
            let mut world = *self;
            world.go(mutator, protocol);
            return tell(Step::Go(mutator), world);
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
                world.colors[usize::from(place)] = Some(match self.period {
                    Period::Mark | Period::Ending => protocol.born,
                    Period::Sweep => protocol.born_while_sweeping,
                    Period::Off => Color::White,
                });
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
        for to in (0..scope.mutators).filter(|to| *to != mutator) {
            self.hand_over(mutator, to, protocol, scope, tell);
        }
        if scope.alphabet.weak {
            self.use_weak(mutator, protocol, scope, tell);
        }
        if scope.alphabet.finalizers {
            self.use_finalizers(mutator, protocol, scope, tell);
        }
        if scope.alphabet.arrivals {
            let mut world = *self;
            world.leave(mutator);
            tell(Step::Leave(mutator), world);
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

    /// From one mutator to the other, which may have to be brought in first.
    fn hand_over(&self, mutator: u8, to: u8, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        let registers = self.registers[usize::from(mutator)];
        let held = (0..scope.registers).filter(|value| registers[usize::from(*value)] != NIL);
        let held = held.filter(|_| self.may_send(protocol));
        if !self.is_present(to) {
            if scope.alphabet.arrivals {
                let mut world = *self;
                world.present |= 1 << to;
                tell(Step::Join { mutator: to, argument: None }, world);
                for argument in held {
                    let sent = registers[usize::from(argument)];
                    let mut world = world.with(to, 0, sent);
                    if protocol.arguments_shade {
                        world.shade(sent);
                    }
                    tell(Step::Join { mutator: to, argument: Some(argument) }, world);
                }
            }
            return;
        }
        // Who receives waits for it, and is in the middle of nothing else.
        if self.pending[usize::from(to)].stage == Stage::None {
            for value in held {
                for into in 0..scope.registers {
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

    /// A stack that is gone need not be scanned.
    pub(super) fn leave(&mut self, mutator: u8) {
        self.present &= !(1 << mutator);
        self.registers[usize::from(mutator)] = [NIL; REGISTERS];
        self.stacks[usize::from(mutator)] = Color::Black;
    }

    // ---- stores

    /// A store: all of it, or its first step.
    fn store(&self, mutator: u8, object: Ref, field: u8, new: Ref, protocol: &Protocol) -> World {
        let mut world = *self;
        if !self.marking() {
            world.set_field(object, field, new);
            return world;
        }
        let first = match protocol.barrier.order {
            Order::WriteFirst => Stage::Write,
            Order::ShadeFirst | Order::ShadeLast => Stage::ReadOld,
        };
        world.begin(mutator, Pending { stage: first, object, field, old: NIL, new }, protocol);
        world
    }

    /// Something in steps: all of them at once, if nothing may come in between.
    fn begin(&mut self, mutator: u8, pending: Pending, protocol: &Protocol) {
        self.pending[usize::from(mutator)] = pending;
        if protocol.stores_are_atomic {
            while self.pending[usize::from(mutator)].stage != Stage::None {
                self.go(mutator, protocol);
            }
        }
    }

    /// The next step of a store or conversion.
    fn go(&mut self, mutator: u8, protocol: &Protocol) {
        let Pending { stage, object, field, old, new } = self.pending[usize::from(mutator)];
        let order = protocol.barrier.order;
        let then = |world: &mut World, stage| world.pending[usize::from(mutator)].stage = stage;
        match stage {
            Stage::None => {}
            Stage::ReadOld => {
                self.pending[usize::from(mutator)].old = self.field(object, field);
                then(self, if order == Order::ShadeLast { Stage::Write } else { Stage::ShadeOld });
            }
            Stage::ShadeOld => {
                if self.due(protocol.barrier.deletion, mutator, object, new) {
                    self.shade(old);
                }
                then(self, Stage::TestNew);
            }
            Stage::TestNew => {
                let due = self.due(protocol.barrier.insertion, mutator, object, new);
                then(self, if due { Stage::ShadeNew } else { Stage::Write });
            }
            Stage::ShadeNew => {
                self.shade(new);
                then(self, Stage::Write);
            }
            Stage::Write => {
                self.set_field(object, field, new);
                match order {
                    Order::ShadeFirst => self.finish(mutator),
                    Order::ShadeLast => then(self, Stage::WrittenShadeOld),
                    // Too late: this is the new value.
                    Order::WriteFirst => {
                        self.pending[usize::from(mutator)].old = new;
                        then(self, Stage::WrittenShadeOld);
                    }
                }
            }
            Stage::WritePlainly => {
                self.set_field(object, field, new);
                self.finish(mutator);
            }
            Stage::WrittenShadeOld => {
                if self.due(protocol.barrier.deletion, mutator, object, new) {
                    self.shade(old);
                }
                then(self, Stage::WrittenShadeNew);
            }
            Stage::WrittenShadeNew => {
                if self.due(protocol.barrier.insertion, mutator, object, new) {
                    self.shade(new);
                }
                self.finish(mutator);
            }
            Stage::Settle => {
                self.settle(old, protocol);
                then(self, Stage::Receive);
            }
            Stage::Receive => {
                self.receive(mutator, field, old, protocol);
                self.finish(mutator);
            }
        }
    }

    fn finish(&mut self, mutator: u8) {
        self.pending[usize::from(mutator)] = Pending::NONE;
    }

    /// Whether a half of the barrier shades.
    fn due(&self, when: When, mutator: u8, object: Ref, new: Ref) -> bool {
        let any = self.stacks.contains(&Color::Grey);
        let mine = self.stacks[usize::from(mutator)] == Color::Grey;
        let color = self.color(object).unwrap_or(Color::White);
        when.applies(mine, any, color, new == NIL)
    }

    // ---- the weak pointer

    fn use_weak(&self, mutator: u8, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        for register in 0..scope.registers {
            let held = self.registers[usize::from(mutator)][usize::from(register)];
            if held != NIL {
                tell(Step::Weaken { mutator, register }, World { weak: held, ..*self });
            }
        }
        // A weak pointer that is nil gives nil, and so does `Clear`.
        if self.target().is_none() || (protocol.specials.strong_waits && self.period == Period::Ending) {
            return;
        }
        for into in 0..scope.registers {
            let mut world = *self;
            let read = Pending { stage: Stage::Settle, field: into, old: self.weak, ..Pending::NONE };
            world.begin(mutator, read, protocol);
            tell(Step::Strengthen { mutator, into }, world);
        }
    }

    /// A conversion sees to it that its target stays.
    fn settle(&mut self, target: Ref, protocol: &Protocol) {
        let dead = self.period == Period::Sweep && target != FREED && self.color(target) == Some(Color::White);
        if dead && protocol.specials.strong_asks_the_sweep {
            self.sweep(target, protocol);
        } else if protocol.specials.strong_shades {
            // Only while marking.
            self.shade(target);
        }
    }

    /// A conversion ends. The weak pointer is read again: it is cleared if the target was found dead meanwhile.
    fn receive(&mut self, mutator: u8, into: u8, target: Ref, protocol: &Protocol) {
        let received = &mut self.registers[usize::from(mutator)][usize::from(into)];
        *received = match target {
            FREED => NIL,
            _ => target,
        };
        if target == FREED && !(protocol.specials.strong_asks_the_sweep && protocol.specials.strong_reads_again) {
            self.weak = FREED;
        }
    }

    // ---- finalizers

    fn use_finalizers(&self, mutator: u8, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        let specials = &protocol.specials;
        for register in 0..scope.registers {
            let held = World::bit(self.registers[usize::from(mutator)][usize::from(register)]);
            if held & !self.finalizable & !self.queued != 0 {
                let mut world = World { finalizable: self.finalizable | held, ..*self };
                if specials.registration_shades && specials.closures_are_roots {
                    world.shade_all(self.out_of_all(held));
                }
                tell(Step::Attach { mutator, register }, world);
            }
        }
        for object in (0..OBJECTS as u8).filter(|object| self.is_queued(*object)) {
            for into in 0..scope.registers {
                let mut world = self.with(mutator, into, object + 1);
                world.queued &= !(1 << object);
                if specials.handing_out_shades {
                    world.shade(object + 1);
                }
                tell(Step::Take { mutator, into, object }, world);
            }
        }
    }
}
