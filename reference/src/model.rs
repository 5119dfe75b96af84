//! The model: a whole heap in the palm of a hand.
//!
//! The [machine](crate::machine) shows what a design does to a program. The model shows what it does to *every* program,
//! as long as the world is small: up to four objects of up to two fields, two mutators, two registers each. A
//! [`World`] is a few bytes that can be copied, compared and packed into a number, and [`World::steps`] lists everything
//! that can happen next. Whoever follows all steps from all [beginnings](Scope::beginnings) has seen every interleaving
//! there is.
//!
//! ```text
//!   always       mutator    load, store, copy, clear, allocate, send; a store may fall into four steps of its own:
//!                           read the old value, shade it, shade the new value, write
//!                collector  scan a stack, scan any grey object
//!   sweep        collector  end marking, sweep any dead object, start again
//!   weak         mutator    make the weak pointer refer to an object; make a strong one of it
//!                collector  decide that nothing is grey, then end marking
//!   finalizers   mutator    attach a finalizer; take an object from the queue
//!                collector  scan the finalizers, which is: what their objects refer to, and the queue
//!   arrivals     mutator    leave; bring in the other one, with or without a reference to begin with
//!   aborts       collector  give up marking
//! ```
//!
//! The first part is always there, the others are switched on by the scope's
//! [alphabet](crate::protocol::Alphabet). A world begins at the moment when marking does: everything white, stacks
//! grey, the barrier on. (For a design whose flag test can be overtaken, also with a store under way that found the
//! barrier off.) There are no globals here: they are an object that nobody can drop.
//!
//! ```text
//!   mark ──────▶ ending ──────▶ sweep ──────▶ off ──────▶ mark …      ending: only with weak pointers; it is decided,
//!     │  nothing is grey  world stopped   nothing is white            but the world has not been stopped yet
//!     └────────────────── abort ─────────────▶ off
//! ```
//!
//! What is [lost](World::lost) is judged in every world. Where marking can end, everything that a mutator can reach has
//! to be black, and so has everything that an object with a finalizer refers to. While sweeping, nothing reachable may
//! be white. The weak pointer must not answer an object that is gone, nor be nil while its target is there.
//!
//! Objects that can neither be reached nor make others grey are forgotten, and the others are named in the order in
//! which a walk from the registers finds them. So worlds that differ only in names are one world, and an object's place
//! can be taken by a new one.
//!
//! This chapter grounds laws 51 to 54, 70 to 76, 79, 93, 107, 108, 112, 115 and 137. Source: the model-checked table of
//! the fact sheet (7.4) and its kernels for weak pointers and finalizers (appendix B); the idea of a design space as data
//! is from A. Clements' models of Go's barriers.
//!
//! ```
//! use heaplaw_reference::{model::Scope, protocol::Protocol};
//! let scope = Scope::new(2, 1, 1, 2);
//! // One step at a time, from one of the beginnings, until nothing is grey.
//! let mut world = scope.beginnings(&Protocol::HYBRID).next().expect("a beginning");
//! while !world.marked() {
//!     let steps = world.steps(&Protocol::HYBRID, scope);
//!     (_, world) = *steps.iter().find(|(step, _)| step.is_collector()).expect("something is grey");
//! }
//! assert!(world.lost(&Protocol::HYBRID).is_none());
//! ```

mod collect;
mod judge;
mod mutate;
mod scope;
mod step;
mod world;

pub use judge::Loss;
pub use scope::Scope;
pub use step::Step;
pub use world::{Period, World};

#[cfg(test)]
mod tests;
