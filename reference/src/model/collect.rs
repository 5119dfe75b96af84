//! What the collector does.

use super::{
    Scope, Step, World,
    world::{EARLY, FREED, MUTATORS, NIL, OBJECTS, Objects, Period, Ref, Stage, each},
};
use crate::{
    color::Color,
    finalize::Clearing,
    protocol::{Abort, Protocol, StackScan},
};

impl World {
    /// Tells what the collector can do next.
    pub(super) fn collect(&self, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        match self.period {
            Period::Mark => self.mark(protocol, scope, tell),
            Period::Ending if self.quiet(protocol) => tell(Step::End, self.ended(protocol)),
            Period::Ending => {}
            Period::Sweep => {
                let dead = self.colored(Color::White);
                for at in each(dead) {
                    let mut world = *self;
                    world.sweep(at as Ref + 1, protocol);
                    tell(Step::Sweep(at as u8), world);
                }
                if dead == 0 {
                    let mut world = World { period: Period::Off, ..*self };
                    world.bleach();
                    tell(Step::Swept, world);
                }
            }
            Period::Off if self.quiet(protocol) => {
                let mut world = *self;
                world.start_marking(scope);
                tell(Step::Start, world);
            }
            Period::Off => {}
        }
    }

    /// Whether nobody is in the middle of something that no change of phase may come into.
    fn quiet(&self, protocol: &Protocol) -> bool {
        let free = |stage: Stage| stage == Stage::None || (stage.is_conversion() && !protocol.specials.strong_pins);
        self.pending.iter().all(|pending| free(pending.stage))
    }

    pub(super) fn all_scanned(&self) -> bool {
        !self.stacks.contains(&Color::Grey)
    }

    fn bleach(&mut self) {
        for color in self.colors.iter_mut().flatten() {
            *color = Color::White;
        }
    }

    /// Stacks and finalizers turn grey. Objects are what they were left.
    pub(super) fn start_marking(&mut self, scope: Scope) {
        self.period = Period::Mark;
        for mutator in (0..MUTATORS).filter(|mutator| self.present >> mutator & 1 == 1) {
            self.stacks[mutator] = Color::Grey;
        }
        if scope.alphabet.finalizers {
            self.finalizers = Color::Grey;
        }
    }

    fn mark(&self, protocol: &Protocol, scope: Scope, tell: &mut impl FnMut(Step, World)) {
        let cycles = scope.alphabet.has_cycles();
        if protocol.stacks == StackScan::Stopped {
            let world = self.rescanned(protocol);
            if cycles {
                tell(Step::Rescan, world.ended(protocol));
            } else if !self.marked() {
                tell(Step::Rescan, world);
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
            for at in each(self.colored(Color::Grey)) {
                let mut world = *self;
                world.scan(at);
                tell(Step::Scan(at as u8), world);
            }
        }
        let in_time = !stacks_first || !protocol.specials.snapshot_first || self.all_scanned();
        if self.finalizers == Color::Grey && in_time {
            let mut world = *self;
            world.scan_finalizers(protocol);
            tell(Step::ScanFinalizers, world);
        }
        if protocol.specials.clearing == Clearing::White && self.target_is_white() {
            let alive = self.reachable() & World::bit(self.weak) != 0;
            tell(Step::ClearWeak, World { weak: if alive { EARLY } else { NIL }, ..*self });
        }
        if scope.alphabet.aborts && self.quiet(protocol) {
            tell(Step::Abort, self.aborted(protocol));
        }
        let done = self.nothing_is_grey() && self.quiet(protocol);
        match protocol.stacks {
            StackScan::Rescan if self.marked() => {
                let world = self.rescanned(protocol);
                if cycles {
                    tell(Step::Rescan, world.ended(protocol));
                } else if world != *self {
                    tell(Step::Rescan, world);
                }
            }
            StackScan::Rescan => {}
            // Between the decision and the end only conversions can do harm.
            _ if done && scope.alphabet.weak => tell(Step::Decide, World { period: Period::Ending, ..*self }),
            _ if done && cycles => tell(Step::End, self.ended(protocol)),
            _ => {}
        }
    }

    pub(super) fn scan_stack(&mut self, mutator: usize) {
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

    fn scan_finalizers(&mut self, protocol: &Protocol) {
        self.finalizers = Color::Black;
        if protocol.specials.closures_are_roots {
            self.shade_all(self.out_of_all(self.finalizable));
        }
        if protocol.specials.queue_is_root {
            self.shade_all(self.queued);
        }
    }

    /// All stacks and finalizers scanned, and everything that turns up.
    pub(super) fn rescanned(&self, protocol: &Protocol) -> World {
        let mut world = *self;
        for mutator in 0..MUTATORS {
            world.scan_stack(mutator);
        }
        if world.finalizers == Color::Grey {
            world.scan_finalizers(protocol);
        }
        while let Some(at) = world.colors.iter().position(|color| *color == Some(Color::Grey)) {
            world.scan(at);
        }
        world
    }

    /// The world is stopped. Marking ends, unless the design looks again and finds something.
    fn ended(&self, protocol: &Protocol) -> World {
        let mut world = *self;
        if protocol.looks_again && !self.marked() {
            world.period = Period::Mark;
            return world;
        }
        world.period = Period::Sweep;
        if protocol.specials.clearing == Clearing::AtTheEnd && self.target_is_white() {
            world.weak = NIL;
        }
        // What is dead and will not be handed to a finalizer refers to nothing that matters.
        let dead = self.colored(Color::White) & !self.reachable() & !self.finalizable;
        for at in each(dead) {
            world.fields[at] = [NIL; 2];
        }
        world
    }

    fn target_is_white(&self) -> bool {
        self.target().is_some_and(|target| self.colors[usize::from(target)] == Some(Color::White))
    }

    fn aborted(&self, protocol: &Protocol) -> World {
        let mut world = World { period: Period::Off, stacks: [Color::Black; MUTATORS], ..*self };
        world.finalizers = Color::Black;
        match protocol.abort {
            Abort::Forgets => world.bleach(),
            Abort::KeepsMarks => {
                for color in world.colors.iter_mut().flatten().filter(|color| **color == Color::Grey) {
                    *color = Color::Black;
                }
            }
            Abort::Sweeps => world.period = Period::Sweep,
        }
        world
    }

    /// Sweeps an object that is dead: frees it, or puts it in the queue if it has a finalizer. Conversions that have
    /// read the weak pointer will find it cleared.
    pub(super) fn sweep(&mut self, at: Ref, protocol: &Protocol) {
        let object: Objects = World::bit(at);
        let kept = self.finalizable & object != 0;
        let clears = match protocol.specials.clearing {
            Clearing::Dead | Clearing::AtTheEnd | Clearing::White => true,
            Clearing::Freed => !kept,
            Clearing::Never => false,
        };
        if self.weak == at && clears {
            self.weak = NIL;
        }
        for pending in self.pending.iter_mut().filter(|pending| pending.stage.is_conversion() && pending.old == at) {
            pending.old = FREED;
        }
        if kept {
            self.finalizable &= !object;
            self.queued |= object;
            self.colors[usize::from(at) - 1] = Some(Color::Black);
            return;
        }
        self.colors[usize::from(at) - 1] = None;
        self.fields[usize::from(at) - 1] = [NIL; 2];
        if self.weak == at {
            self.weak = FREED;
        }
        // Only what is dead as well can refer to it.
        for field in self.fields[..OBJECTS].iter_mut().flatten().filter(|field| **field == at) {
            *field = NIL;
        }
    }
}
