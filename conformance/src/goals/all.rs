//! All goals, by what they are about: what a store overwrites, where a white object can hide, races with the phases of a
//! cycle, mutators that come and go, memory, and deaths.

use super::{Deed, Goal, Sight};
use heaplaw_reference::{
    color::Color,
    event::Phase,
    heap::{Capability, Reply},
    op::{Action, Collect, Environment, Op, Place},
};

impl Sight<'_> {
    /// Whether `new` is stored over `old` while marking.
    fn stores(&self, new: fn(Option<Color>) -> bool, old: Option<Color>) -> bool {
        self.marking() && self.old == old && new(self.new)
    }

    /// Whether something white is stored into something black while marking; into a global, or into an object.
    fn hides(&self, global: bool) -> bool {
        let into_global = matches!(self.op, Op::Mutate { action: Action::Store { into: Place::Global(_), .. }, .. });
        self.marking() && into_global == global && self.holder == Some(Color::Black) && white(self.new)
    }

    /// Whether this is a move of fields within an object. Two roots may hold the same one; one that names itself is
    /// enough.
    fn overlaps(&self) -> bool {
        match self.op {
            Op::Mutate { action: Action::Move { into, from, start }, .. } => {
                into.of == *from && into.at != *start && into.at.abs_diff(*start) < into.count
            }
            _ => false,
        }
    }
}

fn nil(color: Option<Color>) -> bool {
    color.is_none()
}

fn white(color: Option<Color>) -> bool {
    color == Some(Color::White)
}

fn marked(color: Option<Color>) -> bool {
    color.is_some_and(|color| color > Color::White)
}

const COLORS: &[Capability] = &[Capability::Steps, Capability::Phases, Capability::Colors];
const WEAK_COLORS: &[Capability] = &[Capability::Weak, Capability::Steps, Capability::Phases, Capability::Colors];
const PHASES: &[Capability] = &[Capability::Steps, Capability::Phases];
const CROWD: &[Capability] = &[Capability::Mutators, Capability::Steps, Capability::Phases];
const CROWD_COLORS: &[Capability] = &[Capability::Mutators, Capability::Steps, Capability::Phases, Capability::Colors];

/// All goals, in the order in which they are told.
pub const ALL: &[Goal] = &[
    // What a store overwrites, and with what. A marked object over nil concerns no barrier.
    Goal {
        id: "store-white-over-nil",
        name: "a white object is stored over nil",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, None),
    },
    Goal {
        id: "store-nil-over-white",
        name: "nil is stored over a white object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::White)),
    },
    Goal {
        id: "store-white-over-white",
        name: "a white object is stored over a white one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::White)),
    },
    Goal {
        id: "store-marked-over-white",
        name: "a marked object is stored over a white one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::White)),
    },
    Goal {
        id: "store-nil-over-grey",
        name: "nil is stored over a grey object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::Grey)),
    },
    Goal {
        id: "store-white-over-grey",
        name: "a white object is stored over a grey one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::Grey)),
    },
    Goal {
        id: "store-marked-over-grey",
        name: "a marked object is stored over a grey one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::Grey)),
    },
    Goal {
        id: "store-nil-over-black",
        name: "nil is stored over a black object",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(nil, Some(Color::Black)),
    },
    Goal {
        id: "store-white-over-black",
        name: "a white object is stored over a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(white, Some(Color::Black)),
    },
    Goal {
        id: "store-marked-over-black",
        name: "a marked object is stored over a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.stores(marked, Some(Color::Black)),
    },
    // Where a white object can hide.
    Goal {
        id: "white-into-black",
        name: "a white object is stored into a black one",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.hides(false),
    },
    Goal {
        id: "white-into-scanned-global",
        name: "a white object is stored into a global after the globals were scanned",
        needs: COLORS,
        on: Deed::Store,
        met: |sight| sight.hides(true),
    },
    Goal {
        id: "load-from-white",
        name: "a load from a white object",
        needs: COLORS,
        on: Deed::Load,
        met: |sight| sight.marking() && white(sight.holder),
    },
    Goal {
        id: "white-onto-scanned-stack",
        name: "a white object is loaded onto a stack that was scanned",
        needs: COLORS,
        on: Deed::Load,
        met: |sight| sight.marking() && sight.stack == Some(Color::Black) && white(sight.new),
    },
    Goal {
        id: "send-white",
        name: "a white object is handed over",
        needs: CROWD_COLORS,
        on: Deed::Send,
        met: |sight| sight.marking() && white(sight.new),
    },
    // Many fields at once.
    Goal {
        id: "wipe-white",
        name: "fields that hold a white object are wiped",
        needs: COLORS,
        on: Deed::Wipe,
        met: |sight| sight.marking() && white(sight.old),
    },
    Goal {
        id: "move-over-white",
        name: "a move overwrites a white object",
        needs: COLORS,
        on: Deed::Move,
        met: |sight| sight.marking() && white(sight.old),
    },
    // Races with the phases of a cycle.
    Goal {
        id: "alloc-while-marking",
        name: "an allocation while marking",
        needs: PHASES,
        on: Deed::Birth,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "alloc-while-sweeping",
        name: "an allocation while sweeping",
        needs: PHASES,
        on: Deed::Birth,
        met: |sight| sight.before == Phase::Sweep,
    },
    Goal {
        id: "finish-too-early",
        name: "marking is asked to end before it may",
        needs: PHASES,
        on: Deed::Finish,
        met: |sight| sight.before == Phase::Mark && *sight.reply == Reply::Idle,
    },
    Goal {
        id: "finish-after-store",
        name: "marking ends with a store since the last handshake",
        needs: COLORS,
        on: Deed::Any,
        met: |sight| sight.before == Phase::Mark && sight.after != Phase::Mark && sight.racing,
    },
    Goal {
        id: "full-while-marking",
        name: "a full collection while marking",
        needs: &[Capability::Collect, Capability::Steps, Capability::Phases],
        on: Deed::Full,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "start-while-sweeping",
        name: "a cycle starts before the last one was swept",
        needs: PHASES,
        on: Deed::Start,
        met: |sight| sight.before == Phase::Sweep && sight.after == Phase::Mark,
    },
    Goal {
        id: "start-while-marking",
        name: "a cycle is asked to start while one is marking",
        needs: PHASES,
        on: Deed::Start,
        met: |sight| sight.marking() && sight.after == Phase::Mark,
    },
    Goal {
        id: "birth-between-cycles",
        name: "an allocation between two cycles",
        needs: PHASES,
        on: Deed::Birth,
        met: |sight| sight.before == Phase::Off && sight.after == Phase::Off && sight.cycles > 0,
    },
    Goal {
        id: "pause-in-a-large-heap",
        name: "a pause with more than a hundred objects reachable",
        needs: &[Capability::Steps, Capability::Pauses],
        on: Deed::Any,
        met: |sight| sight.paused && sight.crowded,
    },
    // Mutators that come and go.
    Goal {
        id: "join-while-marking",
        name: "a mutator joins while marking",
        needs: CROWD,
        on: Deed::Join,
        met: |sight| sight.marking(),
    },
    Goal {
        id: "exit-unscanned",
        name: "a mutator leaves while marking before its stack was scanned",
        needs: CROWD_COLORS,
        on: Deed::Exit,
        met: |sight| sight.marking() && sight.stack == Some(Color::Grey),
    },
    Goal {
        id: "scan-parked",
        name: "the stack of a parked mutator is scanned",
        needs: CROWD_COLORS,
        on: Deed::Any,
        met: |sight| sight.parked,
    },
    Goal {
        id: "two-mutators-store",
        name: "two mutators store in one marking",
        needs: CROWD,
        on: Deed::Any,
        met: |sight| sight.together,
    },
    // Memory.
    Goal {
        id: "reuse",
        name: "an address is used again",
        needs: &[Capability::Collect, Capability::Addresses],
        on: Deed::Birth,
        met: |sight| sight.reused,
    },
    Goal {
        id: "free-loop",
        name: "an object that refers to itself is freed",
        needs: &[Capability::Collect, Capability::Frees],
        on: Deed::Any,
        met: |sight| sight.loop_freed,
    },
    Goal {
        id: "free-circle",
        name: "garbage on a circle of references, or behind one, is freed",
        needs: &[Capability::Collect, Capability::Frees],
        on: Deed::Any,
        met: |sight| sight.circle_freed,
    },
    Goal {
        id: "more-than-a-page",
        name: "an object of more than a page",
        needs: &[],
        on: Deed::Birth,
        met: |sight| sight.shape.is_some_and(|shape| shape.size() > 8192),
    },
    Goal {
        id: "many-fields",
        name: "an object of more than 64 pointers",
        needs: &[],
        on: Deed::Birth,
        met: |sight| sight.shape.is_some_and(|shape| shape.pointers > 64),
    },
    Goal {
        id: "move-overlap",
        name: "a move whose two runs overlap",
        needs: &[],
        on: Deed::Move,
        met: |sight| sight.overlaps(),
    },
    Goal {
        id: "deep",
        name: "an object more than a hundred fields away from any root is scanned",
        needs: COLORS,
        on: Deed::Any,
        met: |sight| sight.deep,
    },
    Goal {
        id: "refused",
        name: "an allocation is refused",
        needs: &[Capability::Faults],
        on: Deed::Any,
        met: |sight| *sight.reply == Reply::OutOfMemory,
    },
    // Deaths.
    Goal {
        id: "weak-white",
        name: "a weak pointer finds a white object while marking",
        needs: WEAK_COLORS,
        on: Deed::Strong,
        met: |sight| sight.marking() && white(sight.new),
    },
    Goal {
        id: "weak-unswept",
        name: "a weak pointer is asked for an object that waits to be swept",
        needs: WEAK_COLORS,
        on: Deed::Strong,
        met: |sight| sight.before == Phase::Sweep && white(sight.new),
    },
    Goal {
        id: "finalizer-while-marking",
        name: "an object is given a finalizer while marking",
        needs: &[Capability::Finalizers, Capability::Steps, Capability::Phases],
        on: Deed::Any,
        met: |sight| sight.marking() && matches!(sight.op, Op::Mutate { action: Action::Finalizer(_), .. }),
    },
    Goal {
        id: "finalize-while-marking",
        name: "a finalizer runs while marking",
        needs: &[Capability::Finalizers, Capability::Steps, Capability::Phases],
        on: Deed::Any,
        met: |sight| {
            let runs = matches!(sight.op, Op::Mutate { action: Action::Finalize(_), .. });
            sight.marking() && runs && matches!(sight.reply, Reply::Object(_))
        },
    },
    Goal {
        id: "clean",
        name: "a cleanup runs",
        needs: &[Capability::Cleanups, Capability::Collect],
        on: Deed::Any,
        met: |sight| {
            let runs = matches!(sight.op, Op::Mutate { action: Action::Clean(_), .. });
            runs && matches!(sight.reply, Reply::Object(_))
        },
    },
    Goal {
        id: "abort",
        name: "marking is aborted",
        needs: &[Capability::Abort, Capability::Steps],
        on: Deed::Any,
        met: |sight| *sight.op == Op::Collect(Collect::Abort) && *sight.reply == Reply::Done,
    },
    Goal {
        id: "periodic",
        name: "the clock starts a cycle",
        needs: &[Capability::Clock, Capability::Phases],
        on: Deed::Any,
        met: |sight| {
            let clock = matches!(sight.op, Op::Environment(Environment::Clock(_)));
            clock && sight.before != Phase::Mark && sight.after == Phase::Mark
        },
    },
];
