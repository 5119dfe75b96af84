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

use crate::{
    barrier::{Barrier, Order, When},
    color::Color,
    heap::Invariant,
};

/// When a cycle looks at stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StackScan {
    /// Start to end of marking is one step, and no mutator runs in it.
    Stopped,
    /// All stacks at the start, before anything else is scanned, and before any mutator allocates or sends.
    Snapshot,
    /// As [`StackScan::Snapshot`], but mutators allocate while it is taken: what was white can be hidden in a black
    /// newborn.
    SnapshotAllocating,
    /// As [`StackScan::Snapshot`], but mutators send while it is taken.
    SnapshotSending,
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
    /// Whether moves and wipes go through the barrier too, field by field.
    pub bulk_shades: bool,
    /// Whether a store and its barrier happen in one step. If not, anything can happen in between.
    pub stores_are_atomic: bool,
    /// Whether a store that found the barrier off can still be under way when marking begins.
    pub flag_test_can_be_overtaken: bool,
    /// The invariant that the design is meant to keep while marking, if mutators run then.
    pub invariant: Option<Invariant>,
    /// Whether the design never loses an object.
    pub sound: bool,
}

impl Protocol {
    /// Go 1.3: no mutator runs while marking; sweeping is done bit by bit.
    pub const STOP_THE_WORLD: Protocol = Protocol {
        name: "stop-the-world",
        barrier: Barrier::NONE,
        stacks: StackScan::Stopped,
        born: Color::Black,
        sends_shade: false,
        bulk_shades: true,
        stores_are_atomic: true,
        flag_test_can_be_overtaken: false,
        invariant: None,
        sound: true,
    };

    /// Go 1.5: insertion barrier, stacks scanned again with the world stopped.
    pub const INSERTION: Protocol = Protocol {
        name: "insertion",
        barrier: Barrier::INSERTION,
        stacks: StackScan::Rescan,
        born: Color::White,
        sends_shade: false,
        bulk_shades: true,
        stores_are_atomic: true,
        flag_test_can_be_overtaken: false,
        invariant: Some(Invariant::Strong),
        sound: true,
    };

    /// Yuasa: deletion barrier over a snapshot of all stacks.
    pub const DELETION: Protocol = Protocol {
        name: "deletion",
        barrier: Barrier::DELETION,
        stacks: StackScan::Snapshot,
        born: Color::Black,
        sends_shade: true,
        bulk_shades: true,
        stores_are_atomic: true,
        flag_test_can_be_overtaken: false,
        invariant: Some(Invariant::Weak),
        sound: true,
    };

    /// Go 1.8 and since: both barriers, each stack scanned once.
    pub const HYBRID: Protocol = Protocol {
        name: "hybrid",
        barrier: Barrier::HYBRID,
        stacks: StackScan::Once,
        born: Color::Black,
        sends_shade: true,
        bulk_shades: true,
        stores_are_atomic: true,
        flag_test_can_be_overtaken: false,
        invariant: Some(Invariant::ModifiedWeak),
        sound: true,
    };

    /// The hybrid design without its barrier.
    pub const NO_BARRIER: Protocol =
        Protocol { name: "no-barrier", barrier: Barrier::NONE, sound: false, ..Protocol::HYBRID };

    /// The insertion barrier with stacks scanned once and never again.
    pub const INSERTION_WITHOUT_RESCAN: Protocol =
        Protocol { name: "insertion-without-rescan", barrier: Barrier::INSERTION, sound: false, ..Protocol::HYBRID };

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

/// A row of the table of designs that [explorations](crate::model) have to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the table of model-checked designs.
    pub id: &'static str,
    /// The design.
    pub protocol: Protocol,
}

/// A sound or unsound variation of a design.
const fn row(id: &'static str, name: &'static str, sound: bool, protocol: Protocol) -> Row {
    Row { id, protocol: Protocol { name, sound, ..protocol } }
}

/// The hybrid design with another barrier.
const fn hybrid(deletion: When, insertion: When, order: Order) -> Protocol {
    Protocol { barrier: Barrier { deletion, insertion, order }, ..Protocol::HYBRID }
}

/// The same design with stores in four steps.
const fn split(protocol: Protocol) -> Protocol {
    Protocol { stores_are_atomic: false, ..protocol }
}

/// Every design whose fate is known, in the order of the table. The numbers are those of the fact sheet; a letter tells
/// apart what it puts into one line.
pub const TABLE: &[Row] = {
    use Order::{ShadeFirst, ShadeLast, WriteFirst};
    use When::{
        Always, MyStackIsGrey, NewIsNotNil, ObjectIsBlack, ObjectIsGrey, ObjectIsNotBlack, ObjectIsNotWhite,
        SomeStackIsGrey,
    };
    const HYBRID: Protocol = Protocol::HYBRID;
    const DELETION: Protocol = Protocol::DELETION;
    const INSERTION: Protocol = Protocol::INSERTION;
    &[
        row("X0", "stop-the-world", true, Protocol::STOP_THE_WORLD),
        row("X1", "no-barrier", false, Protocol::NO_BARRIER),
        row("X2", "insertion-without-rescan", false, Protocol::INSERTION_WITHOUT_RESCAN),
        row("X3", "insertion", true, INSERTION),
        row("X4", "no-barrier-rescan", false, Protocol { barrier: Barrier::NONE, invariant: None, ..INSERTION }),
        row("X5", "deletion-without-snapshot", false, Protocol::DELETION_WITHOUT_SNAPSHOT),
        row("X6", "snapshot-allocating", false, Protocol { stacks: StackScan::SnapshotAllocating, ..DELETION }),
        row("X7", "deletion", true, DELETION),
        row(
            "X8",
            "snapshot-sending-bare",
            false,
            Protocol { stacks: StackScan::SnapshotSending, sends_shade: false, ..DELETION },
        ),
        row("X9", "hybrid", true, HYBRID),
        row("X9m", "hybrid-my-stack", true, hybrid(Always, MyStackIsGrey, ShadeFirst)),
        row("X9s", "hybrid-some-stack", true, hybrid(Always, SomeStackIsGrey, ShadeFirst)),
        row("X10", "hybrid-allocate-white", false, Protocol::HYBRID_ALLOCATE_WHITE),
        row("X11", "hybrid-sending-bare", false, Protocol { sends_shade: false, ..HYBRID }),
        row("X12", "hybrid-in-steps", true, split(HYBRID)),
        row("X12m", "hybrid-my-stack-in-steps", true, split(hybrid(Always, MyStackIsGrey, ShadeFirst))),
        row("X12l", "hybrid-shade-last", true, split(hybrid(Always, Always, ShadeLast))),
        row("X12b", "hybrid-write-first", false, hybrid(Always, Always, WriteFirst)),
        row("X13", "insertion-if-black", false, split(hybrid(Always, ObjectIsBlack, ShadeFirst))),
        row("X13d", "deletion-unless-black", true, split(hybrid(ObjectIsNotBlack, Always, ShadeFirst))),
        row("X14", "nil-is-special", false, hybrid(NewIsNotNil, Always, ShadeFirst)),
        row("X15", "flag-test-overtaken", false, Protocol { flag_test_can_be_overtaken: true, ..split(HYBRID) }),
        row("X16", "deletion-if-grey", false, hybrid(ObjectIsGrey, MyStackIsGrey, ShadeFirst)),
        row("X16w", "deletion-unless-white", false, hybrid(ObjectIsNotWhite, MyStackIsGrey, ShadeFirst)),
    ]
};
