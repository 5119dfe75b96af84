//! How large a world is and what can happen in it, and every way in which it can begin.

use super::world::{NIL, OBJECTS, Ref, Stage, World};
use crate::{
    color::Color,
    model::world::{FIELDS, MUTATORS, Pending, REGISTERS},
    protocol::{Alphabet, Protocol},
};
use alloc::vec::Vec;

/// How large a world is, and what can happen in it.
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
    /// What can happen besides loads, stores, allocations and hand-overs.
    pub alphabet: Alphabet,
}

impl Scope {
    /// A scope of this size, in which only loads, stores, allocations and hand-overs happen.
    pub const fn new(objects: u8, fields: u8, mutators: u8, registers: u8) -> Scope {
        Scope { objects, fields, mutators, registers, alphabet: Alphabet::PLAIN }
    }

    /// The same size with another alphabet.
    #[must_use]
    pub const fn with(self, alphabet: Alphabet) -> Scope {
        Scope { alphabet, ..self }
    }

    /// Whether a world has room for this.
    pub fn fits(self) -> bool {
        let within = |n: u8, most: usize| n >= 1 && usize::from(n) <= most;
        within(self.objects, OBJECTS)
            && within(self.fields, FIELDS)
            && within(self.mutators, MUTATORS)
            && within(self.registers, REGISTERS)
    }

    /// Every world at the beginning of marking: all ways in which registers, fields and the weak pointer can refer to at
    /// most so many objects, and in which these can have finalizers, told apart only by who refers to whom.
    pub fn beginnings(self, protocol: &Protocol) -> impl Iterator<Item = World> {
        // Most of them differ in names only.
        let mut found = Distinct { numbers: Vec::new(), most: 1_000_000 };
        let mut tell = |world: &World| found.add(world.pack_canonical());
        let references = u32::from(self.registers * self.mutators + self.objects * self.fields);
        let values = u64::from(self.objects) + 1;
        let targets = if self.alphabet.weak { values } else { 1 };
        let attached = if self.alphabet.finalizers { 1 << self.objects } else { 1 };
        for number in 0..values.pow(references) * targets * attached {
            let mut number = number;
            let mut next = |values: u64| {
                let value = number % values;
                number /= values;
                value as Ref
            };
            let mut world = World { finalizable: next(attached), weak: next(targets), ..World::EMPTY };
            for mutator in 0..usize::from(self.mutators) {
                for register in 0..usize::from(self.registers) {
                    world.registers[mutator][register] = next(values);
                }
                world.present |= 1 << mutator;
            }
            for object in 0..usize::from(self.objects) {
                world.colors[object] = Some(Color::White);
                for field in 0..usize::from(self.fields) {
                    world.fields[object][field] = next(values);
                }
            }
            world.start_marking(self);
            tell(&world);
            if protocol.flag_test_can_be_overtaken {
                world.overtaken(self, &mut tell);
            }
            let second = usize::from(self.mutators) - 1;
            if self.alphabet.arrivals && second > 0 && world.registers[second] == [NIL; REGISTERS] {
                world.leave(second as u8);
                tell(&world);
            }
        }
        found.throw_out_doubles();
        found.numbers.into_iter().map(World::unpack)
    }
}

/// Numbers, without their doubles once these are thrown out, which is before there are too many.
struct Distinct {
    numbers: Vec<u128>,
    most: usize,
}

impl Distinct {
    fn add(&mut self, number: u128) {
        self.numbers.push(number);
        if self.numbers.len() >= self.most {
            self.throw_out_doubles();
            self.most = self.most.max(2 * self.numbers.len());
        }
    }

    fn throw_out_doubles(&mut self) {
        self.numbers.sort_unstable();
        self.numbers.dedup();
    }
}

impl World {
    /// Every way in which one mutator can be about to write without a barrier.
    fn overtaken(&self, scope: Scope, tell: &mut impl FnMut(&World)) {
        for mutator in 0..usize::from(scope.mutators) {
            let registers = &self.registers[mutator][..usize::from(scope.registers)];
            for object in registers.iter().copied().filter(|object| *object != NIL) {
                for field in 0..scope.fields {
                    for new in registers.iter().copied().chain([NIL]) {
                        let mut world = *self;
                        let stage = Stage::WritePlainly;
                        world.pending[mutator] = Pending { stage, object, field, old: NIL, new };
                        tell(&world);
                    }
                }
            }
        }
    }
}
