//! # What a garbage-collected heap is
//!
//! This crate is a text first and a library second. It says what a heap, its mutators and its collector may do to one
//! another, in an order that can be read from top to bottom:
//!
//! **The words.** An [`object`] is born with a [`Shape`](object::Shape) and keeps a birth number for ever. An [`op`] is
//! one thing that a mutator or the collector does; a [`Program`](op::Program) is a list of them, and [`text`] is how
//! people, files and pipes write it down. An [`event`] is what a heap says about itself while it works, and a
//! [`gauge`] what its pacer goes by. A [`heap`] is
//! whatever can perform operations: the traits there are all that a heap under test has to implement.
//!
//! **The meaning.** The [`graph`] says what a program *means*, without any collector: who refers to whom, and therefore
//! what is garbage. A [`color`]ing says how far a marking collector has come, and three predicates say when a colouring
//! is safe. A [`barrier`] is what a pointer store must do to keep it safe. A [`cycle`] is the order of a collection's
//! phases, [`termination`] the art of noticing that there is nothing left to mark, and the [`pacer`] says when a cycle
//! should begin and who pays for it. A [`protocol`] is one collector design: a barrier, a way of scanning stacks, an
//! allocation colour. Finalizers, cleanups and weak pointers are what a program can learn of a death, and [`finalize`]
//! says in which order it may. The [`machine`] is a heap that runs any of these designs in single steps, slowly and in
//! the open. The [`model`] is the same in the palm of a hand, small enough that everything which can happen in it can be
//! followed. Reference [`counting`] is the other way to find garbage, and what it cannot find.
//!
//! **The places.** A [`place`] is where an object goes. Its chapters are allocators, from the simplest to a whole one. The
//! textbook has a cursor ([`bump`](place::bump)), a list of free blocks ([`fit`](place::fit)), and a list for each size
//! ([`segregated`](place::segregated)). Go rounds sizes up to a [`class`](place::class), packs what is
//! [`tiny`](place::tiny), and cuts a [`span`](place::span) of pages into slots; a [`generation`](place::generation) says
//! who may touch it. Below are what the kernel gave ([`address`](place::address)), what is known of each page
//! ([`arena`](place::arena)), which pages are free ([`page`](place::page), and [`summary`](place::summary) for the same
//! in a hurry), and the [`page_heap`](place::page_heap) that makes spans of them. Above are the spans that nobody uses
//! ([`central`](place::central)), those that one processor does ([`cache`](place::cache)), those of a single object
//! ([`large`](place::large)), and the [`allocator`](place::allocator) that tries all of these in order. Any of them becomes
//! a heap that the suite can judge by [`manual`](place::manual).
//!
//! The modules stand in this order in the source, which is the order to read them in. The words never depend on the
//! meaning or the places, nor the places on the meaning; a test of the workspace holds that line.
//!
//! What is modelled is the memory manager of Go (1.3 to 1.27) and the papers it stands on: Dijkstra et al. 1978 for the
//! insertion barrier, Yuasa 1990 for the deletion barrier, Pirinen 1998 for the weak invariant, and Go's proposal 17503
//! for the hybrid of the two.
//!
//! ## A first collection
//!
//! ```
//! use heaplaw_reference::{event::Event, heap::Heap, machine::Machine, op::Program, protocol::Protocol};
//!
//! // One object refers to another, then lets go of it.
//! let story: Program = "\
//!     0 alloc r0 1\n\
//!     0 alloc r1 0 16\n\
//!     0 store r0.0 r1\n\
//!     0 clear r1\n\
//!     0 store r0.0 nil\n\
//!     gc full\n".parse()?;
//!
//! let mut machine = Machine::new(Protocol::HYBRID);
//! let mut events = Vec::new();
//! for op in story.ops() {
//!     machine.perform(op, &mut events);
//! }
//! let freed = events.iter().filter(|event| matches!(event, Event::Free(_))).count();
//! assert_eq!(freed, 1, "the second object is garbage, the first is not");
//! # Ok::<(), heaplaw_reference::text::ParseError>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

// The words.
pub mod object;
pub mod op;
pub mod text;
pub mod event;
pub mod gauge;
pub mod heap;
pub mod block;

// The meaning.
pub mod graph;
pub mod color;
pub mod barrier;
pub mod cycle;
pub mod termination;
pub mod pacer;
pub mod finalize;
pub mod protocol;
pub mod machine;
pub mod model;
pub mod counting;

// The places.
pub mod place;
