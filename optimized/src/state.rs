//! The state of a heap: what is behind its lock. Its methods are in [`gc`](crate::gc) and [`alloc`](crate::alloc).

use crate::{
    gc::phase::Phase,
    root::{Address, Globals, MutatorId, Stack},
    space::Space,
};

/// Everything that a heap is.
pub(crate) struct State<L> {
    pub(crate) space: Space,
    /// By mutator; a place is taken again when its mutator has left.
    pub(crate) stacks: Vec<Option<Stack>>,
    pub(crate) globals: Globals,
    /// How many mutators ever joined.
    pub(crate) joined: u64,
    pub(crate) phase: Phase,
    /// How many cycles have ended marking.
    pub(crate) cycle: u64,
    /// What is grey; see [`gc::grey`](crate::gc::grey).
    pub(crate) grey: Vec<Address>,
    /// Every span that starts below this page is swept, in phase sweep.
    pub(crate) sweep_next: usize,
    pub(crate) listener: L,
}

impl<L> State<L> {
    pub(crate) fn new(space: Space, globals: usize, listener: L) -> Self {
        State {
            space,
            stacks: Vec::new(),
            globals: Globals { slots: vec![None; globals].into(), scanned: true },
            joined: 0,
            phase: Phase::Off,
            cycle: 0,
            grey: Vec::new(),
            sweep_next: 0,
            listener,
        }
    }

    /// Lets a mutator in; gives its place among the stacks and its name.
    pub(crate) fn join(&mut self) -> (usize, MutatorId) {
        let id = MutatorId(self.joined);
        self.joined += 1;
        let place = self.stacks.iter().position(Option::is_none).unwrap_or_else(|| {
            self.stacks.push(None);
            self.stacks.len() - 1
        });
        self.stacks[place] = Some(Stack::new(id));
        (place, id)
    }

    /// The stack of a mutator that has not left.
    ///
    /// # Panics
    /// If it has.
    pub(crate) fn stack(&self, place: usize) -> &Stack {
        self.stacks[place].as_ref().expect("a mutator has a stack until it is dropped")
    }

    /// As [`State::stack`], to be changed.
    pub(crate) fn stack_mut(&mut self, place: usize) -> &mut Stack {
        self.stacks[place].as_mut().expect("a mutator has a stack until it is dropped")
    }
}
