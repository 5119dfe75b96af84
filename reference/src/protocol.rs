//! Collector designs as data.
//!
//! A [`Protocol`] is one row of a table: which [barrier](crate::barrier) stores go through, how stacks are scanned,
//! which colour objects are born with while marking, and whether a hand-over between stacks shades. Four rows are
//! sound; the others each leave out one thing that a sound row needs, and lose objects.
//!
//! | row                        | barrier   | stacks   | born  | sends shade | sound | because                          |
//! |----------------------------|-----------|----------|-------|-------------|-------|----------------------------------|
//! | `stop-the-world`           | none      | stopped  | black | –           | yes   | no mutator runs while marking    |
//! | `insertion`                | insertion | rescan   | white | no          | yes   | strong invariant, stacks again at the end |
//! | `deletion`                 | deletion  | snapshot | black | yes         | yes   | weak invariant from the first step |
//! | `hybrid`                   | hybrid    | once     | black | yes         | yes   | modified weak invariant          |
//! | `no-barrier`               | none      | once     | black | yes         | no    | a load and a cut hide an object on a scanned stack |
//! | `insertion-without-rescan` | insertion | once     | black | yes         | no    | the same: stacks are not watched |
//! | `deletion-without-snapshot`| deletion  | once     | black | yes         | no    | a store from an unscanned stack hides behind black |
//! | `hybrid-allocate-white`    | hybrid    | once     | white | yes         | no    | nobody looks at a scanned stack's new object again |
//!
//! This chapter grounds laws 57 and 79.

use crate::{barrier::Barrier, color::Color, heap::Invariant};

/// When a cycle looks at stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StackScan {
    /// Start to end of marking is one step, and no mutator runs in it.
    Stopped,
    /// All stacks at the start, in one step, before anything is scanned.
    Snapshot,
    /// Each stack once, at a handshake, at any time while marking.
    Once,
    /// At handshakes, and all of them again in the last step, with whatever turns up marked in that same step.
    Rescan,
}

/// One collector design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The row's name.
    pub name: &'static str,
    /// What stores into places go through while marking.
    pub barrier: Barrier,
    /// How stacks are scanned.
    pub stacks: StackScan,
    /// The colour of objects born while marking: black or white.
    pub born: Color,
    /// Whether a pointer that is sent from stack to stack is shaded.
    pub sends_shade: bool,
    /// The invariant that the design is meant to keep while marking, if mutators run then.
    pub invariant: Option<Invariant>,
    /// Whether the design never loses an object.
    pub sound: bool,
}

impl Protocol {
    /// Go 1.3: no mutator runs while marking; sweeping is done bit by bit.
    pub const STOP_THE_WORLD: Protocol = Protocol {
        name: "stop-the-world",
        barrier: Barrier::None,
        stacks: StackScan::Stopped,
        born: Color::Black,
        sends_shade: false,
        invariant: None,
        sound: true,
    };

    /// Go 1.5: insertion barrier, stacks scanned again with the world stopped.
    pub const INSERTION: Protocol = Protocol {
        name: "insertion",
        barrier: Barrier::Insertion,
        stacks: StackScan::Rescan,
        born: Color::White,
        sends_shade: false,
        invariant: Some(Invariant::Strong),
        sound: true,
    };

    /// Yuasa: deletion barrier over a snapshot of all stacks.
    pub const DELETION: Protocol = Protocol {
        name: "deletion",
        barrier: Barrier::Deletion,
        stacks: StackScan::Snapshot,
        born: Color::Black,
        sends_shade: true,
        invariant: Some(Invariant::Weak),
        sound: true,
    };

    /// Go 1.8 and since: both barriers, each stack scanned once.
    pub const HYBRID: Protocol = Protocol {
        name: "hybrid",
        barrier: Barrier::Hybrid,
        stacks: StackScan::Once,
        born: Color::Black,
        sends_shade: true,
        invariant: Some(Invariant::ModifiedWeak),
        sound: true,
    };

    /// The hybrid design without its barrier.
    pub const NO_BARRIER: Protocol =
        Protocol { name: "no-barrier", barrier: Barrier::None, sound: false, ..Protocol::HYBRID };

    /// The insertion barrier with stacks scanned once and never again.
    pub const INSERTION_WITHOUT_RESCAN: Protocol =
        Protocol { name: "insertion-without-rescan", barrier: Barrier::Insertion, sound: false, ..Protocol::HYBRID };

    /// The deletion barrier without the snapshot: objects are scanned while some stack still waits.
    pub const DELETION_WITHOUT_SNAPSHOT: Protocol =
        Protocol { name: "deletion-without-snapshot", stacks: StackScan::Once, sound: false, ..Protocol::DELETION };

    /// The hybrid design with white newborns.
    pub const HYBRID_ALLOCATE_WHITE: Protocol =
        Protocol { name: "hybrid-allocate-white", born: Color::White, sound: false, ..Protocol::HYBRID };

    /// All rows, sound ones first.
    pub const ALL: [Protocol; 8] = [
        Protocol::STOP_THE_WORLD,
        Protocol::INSERTION,
        Protocol::DELETION,
        Protocol::HYBRID,
        Protocol::NO_BARRIER,
        Protocol::INSERTION_WITHOUT_RESCAN,
        Protocol::DELETION_WITHOUT_SNAPSHOT,
        Protocol::HYBRID_ALLOCATE_WHITE,
    ];
}
