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
//! A heap is more than loads and stores, and each thing that it adds is one more way to lose an object: [weak
//! handles](Weak), [finalizers](Finalizers), mutators that [arrive](Protocol::arguments_shade), cycles that are [given
//! up](Abort), objects born [while sweeping](Protocol::born_while_sweeping). The four sound rows do all of these as Go
//! does. Which of them are tried is an [`Alphabet`]; the [table](TABLE) has rows that do one of them differently.
//!
//! This chapter grounds laws 57, 79, 107, 108, 112 and 115.

mod table;

pub use table::{Row, TABLE};

use crate::{barrier::Barrier, color::Color, heap::Invariant};

/// What can happen to a heap besides loads, stores, allocations and hand-overs. Everything is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet {
    /// After marking there is a sweep, and then another cycle, and so on. Whatever needs a sweep brings it along.
    pub sweep: bool,
    /// There is one weak handle.
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

/// How a reference is made from a weak handle, which does not keep its target alive.
///
/// ```text
///   strong(w):  wait while the end of marking is being decided           waits
///               t = w                                                    from here on no phase may end: pins
///               if marking: shade(t)                                     shades
///               if sweeping: sweep t, which may clear w                  unswept
///               register = w
/// ```
///
/// The handle's target can be white, and no path from a root leads to it: so a conversion makes grey out of nothing,
/// which no store does. Hence the shade, and hence the wait. A deletion barrier that runs while the end of marking is
/// being decided finds only what is black already; a conversion does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weak {
    /// Whether a conversion shades the target while marking.
    pub shades: bool,
    /// What becomes of a target that the sweep has not come to.
    pub unswept: Unswept,
    /// Whether conversions wait from the moment when nothing is grey until marking is over.
    pub waits: bool,
    /// Whether the end of marking waits for a conversion that has begun.
    pub pins: bool,
    /// When the handle of a dead target is cleared.
    pub cleared: Cleared,
}

impl Weak {
    /// What Go does.
    pub const GO: Weak =
        Weak { shades: true, unswept: Unswept::SweptFirst, waits: true, pins: true, cleared: Cleared::BySweep };
}

/// What a conversion does between the end of marking and the sweep of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unswept {
    /// Sweeps it, then reads the handle again.
    SweptFirst,
    /// Sweeps it, and goes on with what it has read before.
    SweptUnseen,
    /// Takes it, dead or alive.
    Taken,
}

/// When the handle of a dead target is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// By the sweep, when it comes to the target.
    BySweep,
    /// When marking ends, in the same step.
    AtTheEnd,
    /// While marking, as soon as the collector finds the target white.
    WhileMarking,
    /// Never.
    Never,
}

/// How finalizers are kept. An object with a finalizer that is found dead is not freed: it is put in a queue, and
/// handed to a mutator later. So everything it reaches has to stay, and it has not: the object is garbage first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finalizers {
    /// Whether what the object refers to is a root, the object itself is not.
    pub closure_is_root: bool,
    /// Whether attaching a finalizer while marking shades what the object refers to, there and then. The roots may have
    /// been scanned already.
    pub attaching_shades: bool,
    /// Whether the queue is a root.
    pub queue_is_root: bool,
    /// Whether finalizers are scanned after a snapshot of the stacks, if the design takes one.
    pub after_snapshot: bool,
    /// Whether taking from the queue goes through the deletion half of the barrier. The queue is a place.
    pub taking_shades: bool,
}

impl Finalizers {
    /// What Go does.
    pub const GO: Finalizers = Finalizers {
        closure_is_root: true,
        attaching_shades: true,
        queue_is_root: true,
        after_snapshot: true,
        taking_shades: true,
    };
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
    /// How references are made from weak handles.
    pub weak: Weak,
    /// How finalizers are kept.
    pub finalizers: Finalizers,
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
        weak: Weak::GO,
        finalizers: Finalizers::GO,
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
