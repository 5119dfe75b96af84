//! Marking: from the start of a cycle to the decision that nothing grey is left.
//!
//! The steps may come in any order and with any number of mutator steps in between. The globals are one job, the stack
//! of each mutator is another, done once, and every grey object is one. A mutator that joins while objects are being
//! marked holds nothing, so its stack counts as scanned.
//!
//! Source: Go's `mgc.go` and `mgcmark.go`.

use crate::{
    events::{Event, Listener},
    gc::phase::Phase,
    root::{Address, MutatorId, Stack},
    state::State,
};

impl<L: Listener> State<L> {
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.listener.on(Event::Phase(phase));
    }

    /// Finishes the last cycle's sweep and begins to mark. Does nothing while a cycle is marking.
    pub(crate) fn start(&mut self) -> bool {
        if self.phase.is_marking() {
            return false;
        }
        while self.sweep_step() {}
        // All mark bits are clear: everything is white.
        for stack in self.stacks.iter_mut().flatten() {
            stack.scanned = false;
        }
        self.globals.scanned = false;
        self.enter(Phase::Mark);
        true
    }

    /// Scans a stack that was not scanned in this cycle.
    pub(crate) fn handshake(&mut self, mutator: MutatorId) -> bool {
        let owned = |stack: &Option<Stack>| stack.as_ref().is_some_and(|stack| stack.owner == mutator);
        self.stacks.iter().position(owned).is_some_and(|place| self.scan_stack(place))
    }

    fn scan_stack(&mut self, place: usize) -> bool {
        let Some(stack) = &mut self.stacks[place] else { return false };
        if self.phase != Phase::Mark || stack.scanned {
            return false;
        }
        stack.scanned = true;
        let (owner, roots) = (stack.owner, stack.slots.clone());
        for root in roots {
            self.shade(root);
        }
        self.listener.on(Event::ScanStack(owner));
        true
    }

    /// Scans the globals, or else the object that turned grey last.
    pub(crate) fn mark_step(&mut self) -> bool {
        if self.phase != Phase::Mark {
            return false;
        }
        if !self.globals.scanned {
            self.globals.scanned = true;
            for index in 0..self.globals.slots.len() {
                self.shade(self.globals.slots[index]);
            }
            self.listener.on(Event::ScanGlobals);
            return true;
        }
        let Some(at) = self.grey.pop() else { return false };
        self.scan(at);
        true
    }

    fn scan(&mut self, at: Address) {
        // Nothing is freed while objects are being marked, so what was shaded is still there.
        let Some(object) = self.space.find(at) else { return };
        for index in 0..self.space.span(object.span).pointers(object.number) {
            self.shade(self.space.field(object, index));
        }
        self.listener.on(Event::Scan(at));
    }

    /// Ends marking, if nothing is grey: no object, no stack, not the globals. What is white now is garbage.
    pub(crate) fn finish(&mut self) -> bool {
        let grey =
            !self.grey.is_empty() || !self.globals.scanned || self.stacks.iter().flatten().any(|stack| !stack.scanned);
        if self.phase != Phase::Mark || grey {
            return false;
        }
        self.enter(Phase::Terminate);
        self.cycle += 1;
        self.sweep_next = 0;
        self.space.forget_room();
        self.enter(Phase::Sweep);
        true
    }

    /// Finishes a cycle that is marking, then runs a whole new one with its sweep.
    pub(crate) fn collect(&mut self) {
        self.mark_to_the_end();
        self.start();
        self.mark_to_the_end();
        while self.sweep_step() {}
    }

    fn mark_to_the_end(&mut self) {
        for place in 0..self.stacks.len() {
            self.scan_stack(place);
        }
        while self.mark_step() {}
        self.finish();
    }
}
