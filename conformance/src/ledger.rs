//! The ledger: the reference graph, kept in step with what a heap answers.
//!
//! Most of what an operation means does not depend on the heap. Where it does, the ledger tells the [`Graph`] what the
//! heap did: that it refused an allocation, which object a weak pointer still found, whose finalizer ran. For that it
//! remembers who was born where.

use heaplaw_reference::{
    graph::{Effect, Graph},
    heap::Reply,
    object::{Address, ObjectId},
    op::{Action, Op},
};
use std::collections::HashMap;

/// The graph, and who was born where.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    graph: Graph,
    /// The last object that was born at each address.
    born: HashMap<Address, ObjectId>,
}

impl Ledger {
    /// What the operations so far mean.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The last object that was born at an address.
    pub fn born_at(&self, at: Address) -> Option<ObjectId> {
        self.born.get(&at).copied()
    }

    /// Enters an operation and its answer.
    pub fn enter(&mut self, op: &Op, reply: &Reply) -> Effect {
        if *reply == Reply::OutOfMemory {
            self.graph.refuse(op);
            return Effect::Quiet;
        }
        let came = handed_out(op, reply, |at| self.born_at(at));
        let effect = self.graph.apply_with(op, came);
        if let (Effect::Born(id), Reply::Born { at, .. }) = (effect, reply) {
            self.born.insert(*at, id);
        }
        effect
    }

    /// Enters an operation as if it had been answered, and had handed out this object if it is one that can.
    pub fn rehearse(&mut self, op: &Op, came: Option<ObjectId>) -> Effect {
        self.graph.apply_with(op, came)
    }
}

/// The object that an answer hands out, if the operation is one whose outcome is for the heap to say.
pub fn handed_out(op: &Op, reply: &Reply, owner: impl Fn(Address) -> Option<ObjectId>) -> Option<ObjectId> {
    match (op, reply) {
        (
            Op::Mutate { action: Action::Strong { .. } | Action::Finalize(_) | Action::Clean(_), .. },
            Reply::Object(at),
        ) => owner(*at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_heap_hands_out_is_found_by_its_address() {
        let mut ledger = Ledger::default();
        let born =
            Reply::Born { at: Address(64), usable: 16, found: heaplaw_reference::object::Content::ZERO, color: None };
        for (line, reply) in [("0 alloc r0 0 16", born), ("0 weak w0 r0", Reply::Weak(1)), ("0 clear r0", Reply::Done)]
        {
            ledger.enter(&line.parse().expect("an operation"), &reply);
        }
        let ask: Op = "0 strong r1 w0".parse().expect("an operation");
        let came = |effect| match effect {
            Effect::Strong { came, .. } => came,
            _ => None,
        };
        assert_eq!(came(ledger.clone().enter(&ask, &Reply::Object(Address(64)))), Some(ObjectId(0)));
        assert_eq!(came(ledger.clone().enter(&ask, &Reply::Object(Address(8)))), None);
        assert_eq!(came(ledger.enter(&ask, &Reply::Nil)), None);
    }
}
