//! The scenarios: programs by hand, each about one thing that can happen between mutators and a collector, and some that are
//! drawn.

use super::program::Program;
use crate::geometry::PAGE;

/// A name, what happens, and a program.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) program: Program,
}

/// An object in `g0` that leads to another by its first field.
const PAIR: &str = "alloc r0, alloc r1, store r0 0 r1, put g0 r0";
/// Two of them.
const PAIRS: &str = "alloc r0, alloc r1, store r0 0 r1, put g0 r0, alloc r0, alloc r1, store r0 0 r1, put g1 r0";

/// All of them.
pub(super) fn scenarios() -> Vec<Scenario> {
    let of = |name, program| Scenario { name, program };
    let limited = |limit, program| Program { limit, ..program };
    let failing = |faults, program| Program { faults, ..program };
    let stopping = |program| Program { stops: true, ..program };
    // Two spans that are nearly full of garbage.
    let litter = ["alloc r0"; 30].join(", ") + ", put g0 r0, leaf r1, large r2, large r2";
    // All but a few of the pages that are mapped first.
    let full = ["large r0"; 122].join(", ");
    let wide = "large r0, alloc r1, store r0 0 r1, alloc r1, store r0 1 r1, alloc r2, store r1 0 r2, put g0 r0, alloc r3, \
                alloc r2, store r3 0 r2, store r3 1 r1, put g1 r3";
    // Each round of the collector waits for a look to end.
    let (born, looks) = ([PAIR; 24].join(", "), ["peek g0"; 16].join(", "));
    vec![
        of(
            "what a mutator loads and unlinks is hidden on a stack that is scanned",
            Program::new(
                0,
                PAIRS,
                &["take r0 g0, load r1 r0 0, wipe r0 0, take r2 g1, load r3 r2 0, wipe r2 0", "collect"],
            ),
        ),
        of(
            "what a stack that is not scanned holds is hidden in an object that is",
            Program::new(
                0,
                PAIR,
                &[
                    "alloc r1, take r0 g0, store r0 1 r1, clear r1, load r2 r0 1, safepoint",
                    "start, mark 1, mark 1, collect",
                ],
            ),
        ),
        of(
            "mutators hand an object over while stacks are scanned",
            Program::new(
                0,
                PAIR,
                &[
                    "take r0 g0, load r1 r0 0, put g1 r1, wipe r0 0, clear r1, take r2 g2",
                    "take r0 g1, unset g1, put g2 r0, clear r0, take r1 g2",
                    "collect",
                ],
            ),
        ),
        of(
            "mutators join and leave while the collector goes round",
            Program::new(
                1,
                PAIRS,
                &[
                    "take r0 g0, load r1 r0 0, rejoin, take r0 g0, load r1 r0 0, unset g0",
                    "take r0 g1, load r1 r0 0, wipe r0 0, put g2 r1, unset g0, rejoin, take r2 g2",
                    "collect",
                ],
            ),
        ),
        of(
            "who joins takes what others have not yet learnt to record",
            Program::new(
                0,
                PAIR,
                &["rejoin, take r0 g0, load r1 r0 0, safepoint", "take r0 g0, wipe r0 0, safepoint", "collect"],
            ),
        ),
        of(
            "one uses the barrier already, and another is about to store without it",
            Program::new(0, PAIR, &["take r0 g0, load r1 r0 0", "take r0 g0, wipe r0 0", "collect"]),
        ),
        of(
            "one leaves with what it alone has recorded",
            Program::new(1, PAIR, &["take r0 g0, load r1 r0 0", "take r0 g0, wipe r0 0, rejoin", "collect"]),
        ),
        of(
            "a mutator that runs meets one that is parked",
            Program::new(
                1,
                PAIRS,
                &[
                    "in, take r0 g0, load r1 r0 0, wipe r0 0, alloc r2, store r2 0 r1, clear r1, out, load r3 r2 0",
                    "take r0 g0, load r1 r0 0, copy r2 r1",
                    "collect",
                ],
            ),
        ),
        of(
            "whoever allocates sweeps, and so does the collector",
            Program::new(
                0,
                &litter,
                &[
                    "alloc r0, leaf r1, alloc r2, large r3, alloc r1, take r2 g0, put g1 r0",
                    "alloc r0, alloc r1, store r0 0 r1, put g2 r0",
                    "collect, collect",
                ],
            ),
        ),
        of(
            "two take steps of one sweep, and a third begins to mark",
            Program::new(
                0,
                &(litter.clone() + ", collect, clear r0, clear r1, clear r2, start, handshake 0, mark 9, finish"),
                &["sweep 1, sweep 1, sweep 1", "sweep 1, sweep 1, start", "take r0 g0, alloc r1, start, mark 2"],
            ),
        ),
        of(
            "two workers mark, and take work from each other",
            Program::new(2, wide, &["collect", "take r0 g0, load r1 r0 1, wipe r0 1, load r2 r1 0, put g2 r2"]),
        ),
        of(
            "a barrier is flushed late, when marking is about to end",
            Program::new(
                1,
                PAIRS,
                &[
                    "in, take r0 g0, load r1 r0 0, wipe r0 0, take r2 g1, store r2 1 r1, clear r1, out, load r3 r2 1",
                    "in, take r0 g1, load r1 r0 1, wipe r0 1, safepoint, put g2 r1, clear r1",
                    "collect",
                ],
            ),
        ),
        of(
            "a large object is scanned in pieces while its fields change",
            Program::new(
                2,
                wide,
                &[
                    "take r0 g0, load r1 r0 0, load r2 r0 1, store r0 0 r2, store r0 1 r1, wipe r0 0, put g2 r2",
                    "collect",
                ],
            ),
        ),
        of(
            "two order a cycle each",
            Program::new(1, PAIR, &["collect, take r0 g0", "collect", "take r0 g0, load r1 r0 0, unset g0"]),
        ),
        of(
            "two drive the collector, each in its own thread",
            Program::new(0, PAIR, &["collect", "collect, collect", "take r0 g0, load r1 r0 0, wipe r0 0"]),
        ),
        of(
            "two step the collector, in no order",
            Program::new(
                0,
                PAIRS,
                &[
                    "start, handshake 1, mark 2, finish, sweep 2",
                    "mark 3, handshake 2, handshake 3, finish, sweep 1, start",
                    "take r0 g0, load r1 r0 0, wipe r0 0, alloc r2, put g1 r1",
                ],
            ),
        ),
        of(
            "a body panics within a mutator that runs",
            Program::new(
                1,
                PAIR,
                &[
                    "panic r0, take r1 g0, in, load r2 r1 0, panic r3, wipe r1 0, out",
                    "collect",
                    "take r0 g0, panic r1",
                ],
            ),
        ),
        of(
            "calls to the kernel fail in the middle of a cycle",
            failing(
                (3, 2),
                Program::new(
                    0,
                    &full,
                    &[
                        "large r0, large r1, large r2, large r3, alloc r2, put g1 r0, store r0 0 r2",
                        "start, collect",
                        "alloc r0, large r1, large r2, large r3",
                    ],
                ),
            ),
        ),
        of(
            "there is no room, and a mutator waits for the workers to make some",
            limited(
                8 * PAGE,
                Program::new(1, &litter, &["large r0, large r1, large r0, large r1", "alloc r0, large r1, large r1"]),
            ),
        ),
        of(
            "an object is sent to a mutator that waits",
            Program::new(0, PAIRS, &["send r3, alloc r1, send r1, safepoint, receive r2", "collect"]),
        ),
        of(
            "mutators come and go while all are halted, and looked at",
            Program::new(
                0,
                PAIRS,
                &[
                    "take r0 g0, rejoin, alloc r0, in, alloc r1, store r0 0 r1, leaf r2, out, put g0 r0",
                    "halt, alloc r1, halt",
                    "alloc r0, rejoin, alloc r1, alloc r2",
                ],
            ),
        ),
        of(
            "the world stops while one marks",
            stopping(Program::new(
                0,
                PAIRS,
                &[
                    "take r0 g0, load r1 r0 0, wipe r0 0, alloc r2, store r2 0 r1, put g1 r2, clear r2, take r3 g1",
                    "collect, halt",
                    "in, take r0 g1, load r1 r0 0, safepoint, unset g1, out, rejoin, take r0 g1",
                ],
            )),
        ),
        of(
            "the world stops while workers mark",
            stopping(Program::new(
                2,
                wide,
                &["collect, alloc r0", "take r0 g0, load r1 r0 1, wipe r0 1, alloc r2, put g2 r1, rejoin, take r1 g2"],
            )),
        ),
        of(
            "the last handle goes while workers mark",
            Program::new(2, PAIR, &["take r0 g0, alloc r1, alloc r2, put g1 r1", "alloc r0, large r1, large r2"]),
        ),
        of(
            "one has not heard that marking is over, and comes upon what is born since",
            Program::new(0, PAIR, &[&born, &looks, "collect"]),
        ),
        of("drawn: two mutators and steps", Program::draw(1, 2, 8, 0)),
        of("drawn: two mutators and a worker", Program::draw(2, 2, 8, 1)),
        of("drawn: three mutators and two workers", Program::draw(3, 3, 6, 2)),
    ]
}
