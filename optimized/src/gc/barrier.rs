//! The write barrier: Go's hybrid of Yuasa's deletion barrier and Dijkstra's insertion barrier. Both halves are
//! unconditional: neither the colour of the object that is stored into nor that of the stack is asked for.
//!
//! Every store of a pointer into a field or a global goes through here; roots are not places, and stores into them do
//! not. Between the question whether objects are being marked and the store, no phase can change, since the heap is
//! locked.
//!
//! Source: Go's proposal 17503 and `mbarrier.go`; Yuasa 1990; Dijkstra et al. 1978.

use crate::{events::Listener, root::Address, space::Slot, state::State};

/// Where a pointer is stored.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    /// A field of an object.
    Field(Slot, usize),
    /// A global.
    Global(usize),
}

impl<L: Listener> State<L> {
    /// What a store of `new` into `cell` owes the collector, to be paid before the store.
    fn barrier(&mut self, cell: Cell, new: Option<Address>) {
        if self.phase.is_marking() {
            self.shade(self.get(cell));
            self.shade(new);
        }
    }

    /// What is stored in a cell.
    pub(crate) fn get(&self, cell: Cell) -> Option<Address> {
        match cell {
            Cell::Field(object, index) => self.space.field(object, index),
            Cell::Global(index) => self.globals.slots[index],
        }
    }

    /// Stores a pointer.
    pub(crate) fn store(&mut self, cell: Cell, new: Option<Address>) {
        self.barrier(cell, new);
        match cell {
            Cell::Field(object, index) => self.space.set_field(object, index, new),
            Cell::Global(index) => self.globals.slots[index] = new,
        }
    }

    /// Stores `count` pointers that are read from one object into another, or the same, as if all were read first.
    pub(crate) fn copy_fields(&mut self, into: (Slot, usize), from: (Slot, usize), count: usize) {
        // Upwards or downwards, whichever reads a field before it overwrites it.
        let downwards = into.0 == from.0 && into.1 > from.1;
        for step in 0..count {
            let index = if downwards { count - 1 - step } else { step };
            let value = self.space.field(from.0, from.1 + index);
            self.store(Cell::Field(into.0, into.1 + index), value);
        }
    }

    /// Stores nil in `count` fields from `at` on.
    pub(crate) fn clear_fields(&mut self, object: Slot, at: usize, count: usize) {
        for index in at..at + count {
            self.store(Cell::Field(object, index), None);
        }
    }
}
