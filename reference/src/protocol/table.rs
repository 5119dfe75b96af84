//! Every design whose fate is known: the table that [explorations](crate::model) have to confirm.
//!
//! The first part turns the knobs of stores, stacks and newborns; its numbers (X) are those of the fact sheet, and a
//! letter tells apart what the sheet puts into one line. The other parts turn the knobs of what a heap has besides: the
//! sweep (S), weak pointers (W), finalizers (F), mutators that arrive (J), cycles that are given up (A). Each row of
//! those says which [`Alphabet`] it takes to see the difference.

use super::{Abort, Alphabet, Protocol, StackScan};
use crate::{
    barrier::{Barrier, Order, When},
    color::Color,
    finalize::{Clearing, Specials},
};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: &'static str,
    /// The design.
    pub protocol: Protocol,
    /// What has to happen, besides loads and stores, for the row to be put to the test.
    pub alphabet: Alphabet,
}

/// A sound or unsound variation of a design.
const fn row(id: &'static str, name: &'static str, sound: bool, protocol: Protocol) -> Row {
    Row { id, protocol: Protocol { name, sound, ..protocol }, alphabet: Alphabet::PLAIN }
}

/// The hybrid design with another barrier.
const fn hybrid(deletion: When, insertion: When, order: Order) -> Protocol {
    Protocol { barrier: Barrier { deletion, insertion, order }, ..Protocol::HYBRID }
}

/// The same design with stores and conversions in steps.
const fn split(protocol: Protocol) -> Protocol {
    Protocol { stores_are_atomic: false, ..protocol }
}

const PLAIN: Alphabet = Alphabet::PLAIN;

/// The same row, to be tried with a sweep.
const fn sweeping(row: Row) -> Row {
    Row { alphabet: Alphabet { sweep: true, ..PLAIN }, ..row }
}

/// A variation of how a design treats weak pointers.
const fn weak(id: &'static str, name: &'static str, sound: bool, specials: Specials, of: Protocol) -> Row {
    Row { alphabet: Alphabet { weak: true, ..PLAIN }, ..row(id, name, sound, Protocol { specials, ..of }) }
}

/// A variation of how a design keeps finalizers.
const fn finalizers(id: &'static str, name: &'static str, sound: bool, specials: Specials, of: Protocol) -> Row {
    Row { alphabet: Alphabet { finalizers: true, ..PLAIN }, ..row(id, name, sound, Protocol { specials, ..of }) }
}

/// A variation of the hybrid design, to be tried with mutators that come and go.
const fn arrivals(id: &'static str, name: &'static str, sound: bool, protocol: Protocol) -> Row {
    Row { alphabet: Alphabet { arrivals: true, ..PLAIN }, ..row(id, name, sound, protocol) }
}

/// A variation of how the hybrid design gives up a cycle.
const fn aborts(id: &'static str, name: &'static str, sound: bool, abort: Abort) -> Row {
    Row { alphabet: Alphabet { aborts: true, ..PLAIN }, ..row(id, name, sound, Protocol { abort, ..Protocol::HYBRID }) }
}

/// Every design whose fate is known.
pub const TABLE: &[Row] = {
    use Order::{ShadeFirst, ShadeLast, WriteFirst};
    use When::{
        Always, MyStackIsGrey, NewIsNotNil, ObjectIsBlack, ObjectIsGrey, ObjectIsNotBlack, ObjectIsNotWhite,
        SomeStackIsGrey,
    };
    const HYBRID: Protocol = Protocol::HYBRID;
    const DELETION: Protocol = Protocol::DELETION;
    const INSERTION: Protocol = Protocol::INSERTION;
    const STOPPED: Protocol = Protocol::STOP_THE_WORLD;
    const SOUND: Specials = Specials::SOUND;
    const BARE: Specials = Specials { strong_shades: false, ..SOUND };
    const UNASKED: Specials = Specials { strong_asks_the_sweep: false, ..SOUND };
    const UNBLOCKED: Specials = Specials { strong_waits: false, ..SOUND };
    &[
        // Stores, stacks and newborns.
        row("X0", "stop-the-world", true, STOPPED),
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
        // The sweep.
        sweeping(row("S1", "sweep", true, HYBRID)),
        sweeping(row("S2", "sweep-born-white", false, Protocol { born_while_sweeping: Color::White, ..HYBRID })),
        // Weak pointers.
        weak("W1", "weak", true, SOUND, HYBRID),
        weak("W1i", "weak-in-steps", true, SOUND, split(HYBRID)),
        weak("W2", "weak-bare", false, BARE, HYBRID),
        weak("W2r", "weak-bare-rescan", true, BARE, INSERTION),
        weak("W2d", "weak-bare-snapshot", false, BARE, DELETION),
        weak("W3", "weak-unswept", false, UNASKED, HYBRID),
        weak("W3s", "weak-unswept-stopped", false, UNASKED, STOPPED),
        weak("W4", "weak-not-read-again", false, Specials { strong_reads_again: false, ..SOUND }, HYBRID),
        weak("W5", "weak-not-blocked", false, UNBLOCKED, HYBRID),
        weak("W5a", "weak-look-again", true, UNBLOCKED, Protocol { looks_again: true, ..HYBRID }),
        weak("W6", "weak-not-pinned", false, Specials { strong_pins: false, ..SOUND }, split(HYBRID)),
        weak("W7", "weak-never-cleared", false, Specials { clearing: Clearing::Never, ..SOUND }, HYBRID),
        weak("W8", "weak-cleared-marking", false, Specials { clearing: Clearing::White, ..SOUND }, HYBRID),
        weak("W9", "weak-cleared-at-the-end", true, Specials { clearing: Clearing::AtTheEnd, ..UNASKED }, HYBRID),
        // Finalizers.
        finalizers("F1", "finalizers", true, SOUND, HYBRID),
        finalizers("F2", "finalizer-alone", false, Specials { closures_are_roots: false, ..SOUND }, HYBRID),
        finalizers("F3", "finalizer-attached-bare", false, Specials { registration_shades: false, ..SOUND }, HYBRID),
        finalizers("F4", "finalizer-queue-unscanned", false, Specials { queue_is_root: false, ..SOUND }, HYBRID),
        finalizers("F5", "finalizer-taken-bare", false, Specials { handing_out_shades: false, ..SOUND }, HYBRID),
        finalizers("F6", "finalizers-before-snapshot", false, Specials { snapshot_first: false, ..SOUND }, DELETION),
        // Mutators that come and go.
        arrivals("J1", "arrivals", true, HYBRID),
        arrivals("J2", "arrival-bare", false, Protocol { arguments_shade: false, ..HYBRID }),
        // Cycles that are given up.
        aborts("A1", "aborts", true, Abort::Forgets),
        aborts("A2", "abort-keeps-marks", false, Abort::KeepsMarks),
        aborts("A3", "abort-sweeps", false, Abort::Sweeps),
    ]
};
