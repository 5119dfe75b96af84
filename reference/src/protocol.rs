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
//! A heap is more than loads and stores, and each thing that it adds is one more way to lose an object: [weak pointers
//! and finalizers](crate::finalize), mutators that [arrive](Protocol::arguments_shade), cycles that are [given
//! up](Abort), objects born [while sweeping](Protocol::born_while_sweeping). The four sound rows do all of these as Go
//! does. Which of them are tried is an [`Alphabet`]; the [table](TABLE) has rows that do one of them differently.
//!
//! This chapter grounds laws 57 and 79.

mod table;

pub use table::{Row, TABLE};

use crate::{barrier::Barrier, color::Color, finalize::Specials, heap::Invariant};

/// What can happen to a heap besides loads, stores, allocations and hand-overs. Everything is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet {
    /// After marking there is a sweep, and then another cycle, and so on. Whatever needs a sweep brings it along.
    pub sweep: bool,
    /// There is one weak pointer.
    pub weak: bool,
    /// Objects can have finalizers.
    pub finalizers: bool,
    /// Mutators leave and arrive.
    pub arrivals: bool,
    /// The collector can give up a cycle while it marks.
    pub aborts: bool,
}

impl Alphabet {
    /// Only loads, stores, allocations and hand-overs, in one cycle.
    pub const PLAIN: Alphabet =
        Alphabet { sweep: false, weak: false, finalizers: false, arrivals: false, aborts: false };

    /// Everything.
    pub const ALL: Alphabet = Alphabet { sweep: true, weak: true, finalizers: true, arrivals: true, aborts: true };

    /// Whether marking is followed by anything.
    pub const fn has_cycles(self) -> bool {
        self.sweep || self.weak || self.finalizers || self.aborts
    }
}

/// What the collector makes of a cycle that it gives up while marking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Nothing: colours mean nothing, and the next cycle begins with everything white.
    Forgets,
    /// The next cycle finds the marks of this one, and believes them.
    KeepsMarks,
    /// It sweeps what is white.
    Sweeps,
}

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
    /// Whether the world is stopped and looked at once more before marking ends. If something is grey, marking goes on.
    pub looks_again: bool,
    /// The rules for weak pointers and finalizers.
    pub specials: Specials,
    /// Whether a pointer that a mutator arrives with is shaded. Its stack is black: it is empty but for that pointer.
    pub arguments_shade: bool,
    /// What becomes of a cycle that is given up.
    pub abort: Abort,
    /// The colour of objects born while sweeping: white is about to be freed.
    pub born_while_sweeping: Color,
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
        invariant: None,
        ..Protocol::HYBRID
    };

    /// Go 1.5: insertion barrier, stacks scanned again with the world stopped.
    pub const INSERTION: Protocol = Protocol {
        name: "insertion",
        barrier: Barrier::INSERTION,
        stacks: StackScan::Rescan,
        born: Color::White,
        sends_shade: false,
        arguments_shade: false,
        invariant: Some(Invariant::Strong),
        ..Protocol::HYBRID
    };

    /// Yuasa: deletion barrier over a snapshot of all stacks.
    pub const DELETION: Protocol = Protocol {
        name: "deletion",
        barrier: Barrier::DELETION,
        stacks: StackScan::Snapshot,
        invariant: Some(Invariant::Weak),
        ..Protocol::HYBRID
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
        looks_again: false,
        specials: Specials::SOUND,
        arguments_shade: true,
        abort: Abort::Forgets,
        born_while_sweeping: Color::Black,
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
