//! What a heap under test implements.
//!
//! There are two ways in, and a heap takes the one that is natural for it:
//!
//! * [`Heap`] for a heap that does one thing at a time: a single method, [`Heap::perform`], that is given operations and
//!   answers each. This is also the shape of the protocol that heaps in other languages speak, line by line.
//! * [`SharedHeap`] and [`Mutator`] for a heap that threads share. [`InTurn`] makes a [`Heap`] of it, with all its
//!   mutators taking turns on one thread.
//!
//! # Guarantees
//!
//! What the suite promises to a heap:
//!
//! * **Nothing pointless.** Operations that do nothing where they stand are not sent. The mutator that acts has joined
//!   and is not parked, a root that is looked through holds an object, a field number is below the object's number of
//!   fields. Collector steps are the exception: only the heap knows its phase, so `gc mark 1` may arrive at any time.
//! * **Only what is claimed.** Operations that need a capability outside [`Heap::claims`] are not sent.
//! * **Sixteen roots, four globals, four weak slots, four mutators**, and never more ([`ROOTS`], [`GLOBALS`], [`WEAKS`],
//!   [`MUTATORS`]).
//! * **Nothing tiny dies alone.** Weak pointers, finalizers and cleanups are asked for only of objects that are not
//!   [tiny](crate::object::Shape::is_tiny); an object has one finalizer at a time, and is never the argument of its own
//!   cleanup.
//! * **Stamps.** The n-th operation that is an `alloc` or a `write` fills the object's data with
//!   [`Stamp`]`(n)`, counting from 1 and counting refused allocations too.
//!
//! What a heap promises in return:
//!
//! * A root or global holds what was last put there, and what it reaches stays alive, stays where it is (if
//!   [`Capability::Addresses`] is claimed) and keeps its content.
//! * New memory reads zero.
//! * What cannot be done is refused with a [`Reply`] and changes nothing; a panic is a crash.
//! * What is reported as an [`Event`] did happen, in that order.
//!
//! [`ROOTS`]: crate::op::ROOTS
//! [`GLOBALS`]: crate::op::GLOBALS
//! [`MUTATORS`]: crate::op::MUTATORS
//! [`WEAKS`]: crate::op::WEAKS

use crate::{
    event::Event,
    gauge::Gauge,
    object::{Address, Content, Stamp},
    op::{Action, Collect, Environment, MUTATORS, MutatorId, Op},
};
use alloc::{borrow::Cow, boxed::Box, format, string::String, vec::Vec};
use core::fmt;

/// Something that a heap can do beyond allocating, loading and storing, or lets the suite see. Laws that need a
/// capability which is not claimed are shown as not applicable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Performs [`Collect::Full`].
    Collect,
    /// Performs the single steps of a cycle: start, mark, handshake, finish, sweep.
    Steps,
    /// More than one mutator: join, exit, send, park.
    Mutators,
    /// Addresses in replies are real addresses, and objects do not move.
    Addresses,
    /// Answers [`Collect::Stats`].
    Stats,
    /// Reports [`Event::Free`] for every object that is freed, and [`Event::Finalize`] for every one that is not because
    /// it has a finalizer.
    Frees,
    /// Reports [`Event::Phase`].
    Phases,
    /// Reports [`Event::Shade`], [`Event::Scan`], [`Event::ScanStack`], [`Event::ScanGlobals`] and the colour at birth.
    Colors,
    /// Weak pointers: weak, strong.
    Weak,
    /// Finalizers: finalizer, finalize.
    Finalizers,
    /// Cleanups: cleanup, clean.
    Cleanups,
    /// Performs [`Collect::Abort`].
    Abort,
    /// Performs [`Environment::Fail`].
    Faults,
    /// Performs [`Environment::Clock`], and starts a cycle by itself when none has marked for
    /// more than two minutes.
    Clock,
    /// Performs [`Action::Free`]. A heap that claims this, and not [`Capability::Collect`], is an allocator: it frees
    /// nothing by itself.
    Free,
    /// The barrier asks for no colours and puts nothing off: while marking, whatever an operation overwrites (of a heap
    /// that keeps a weak invariant) or stores (of one that keeps the strong one) is shaded before it is over, whatever the
    /// colour of the object that is stored into; and so is what a stack that was not scanned hands to one that was.
    Barrier,
    /// Paces itself by Go's rules, in the numbers of the [`pacer`](crate::pacer): performs [`Environment::Gogc`] and
    /// [`Environment::Limit`], answers [`Collect::Pace`], and reports [`Event::Start`]. With [`Capability::Clock`], times
    /// in the answer are those of a clock that only operations move.
    Pacing,
    /// Does the same again, addresses apart, if the same program is run again on a fresh heap.
    Deterministic,
    /// Gives an object the [alignment](crate::object::Shape::align) that is asked for.
    Aligned,
    /// Rounds requests up to classes of sizes: the usable bytes of an object follow from its size, and rise with it.
    Classes,
    /// Reports [`Event::Pause`] whenever mutators are kept from running, but for full collections.
    Pauses,
    /// Its pauses are short: what is done with the world stopped grows with the number of mutators alone, and what one
    /// mutator waits for with its own roots and what it allocates; no pause grows with the heap. Says something only
    /// together with [`Capability::Pauses`].
    Incremental,
}

impl Capability {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Capability; 22] = [
        Capability::Collect,
        Capability::Steps,
        Capability::Mutators,
        Capability::Addresses,
        Capability::Stats,
        Capability::Frees,
        Capability::Phases,
        Capability::Colors,
        Capability::Weak,
        Capability::Finalizers,
        Capability::Cleanups,
        Capability::Abort,
        Capability::Faults,
        Capability::Clock,
        Capability::Free,
        Capability::Barrier,
        Capability::Pacing,
        Capability::Deterministic,
        Capability::Aligned,
        Capability::Classes,
        Capability::Pauses,
        Capability::Incremental,
    ];

    /// The word for it in reports and in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Collect => "collect",
            Capability::Steps => "steps",
            Capability::Mutators => "mutators",
            Capability::Addresses => "addresses",
            Capability::Stats => "stats",
            Capability::Frees => "frees",
            Capability::Phases => "phases",
            Capability::Colors => "colors",
            Capability::Weak => "weak",
            Capability::Finalizers => "finalizers",
            Capability::Cleanups => "cleanups",
            Capability::Abort => "abort",
            Capability::Faults => "faults",
            Capability::Clock => "clock",
            Capability::Free => "free",
            Capability::Barrier => "barrier",
            Capability::Pacing => "pacing",
            Capability::Deterministic => "deterministic",
            Capability::Aligned => "aligned",
            Capability::Classes => "classes",
            Capability::Pauses => "pauses",
            Capability::Incremental => "incremental",
        }
    }

    /// The capability of this name.
    pub fn named(name: &str) -> Option<Capability> {
        Capability::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The tri-colour invariant that a stepped collector maintains between any two operations while it marks. What each
/// one says is in [`color`](crate::color).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// No black object has a field that refers to a white one; stacks are excepted. What an insertion barrier keeps.
    Strong,
    /// Every white object that something black refers to is also reached from something grey over white objects only.
    /// What a deletion barrier keeps.
    Weak,
    /// As [`Invariant::Weak`], and the grey thing is in the heap: not a stack. What Go's hybrid barrier keeps.
    ModifiedWeak,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 3] = [Invariant::Strong, Invariant::Weak, Invariant::ModifiedWeak];

    /// The word for it in reports and in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::Strong => "strong",
            Invariant::Weak => "weak",
            Invariant::ModifiedWeak => "modified-weak",
        }
    }

    /// The invariant of this name.
    pub fn named(name: &str) -> Option<Invariant> {
        Invariant::ALL.into_iter().find(|invariant| invariant.name() == name)
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which free block a free list takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The lowest that is large enough.
    First,
    /// The lowest at or after the rover that is large enough; or else the lowest.
    Next,
    /// The smallest that is large enough; of equals, the lowest.
    Best,
}

/// The textbook rule by which a heap places its objects, told exactly enough that where each lies can be computed. What
/// the rules say is in [`place`](crate::place).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// One after the other: each at the next multiple of `granule`, and of what its shape is owed.
    Bump {
        /// A power of two.
        granule: u64,
    },
    /// In blocks of a range that is tiled by them: freed blocks are merged at once, and what a block has too much is
    /// split off at its end.
    FreeList {
        /// Which free block is taken.
        choice: Choice,
        /// Blocks are multiples of it. A power of two.
        granule: u64,
        /// No block is smaller.
        min_block: u64,
        /// What an object's block has besides the object, in bytes.
        header: u64,
        /// The range begins with so many bytes, and grows at its end by multiples of it.
        growth: u64,
    },
}

impl Placement {
    /// The word for the rule in reports.
    pub fn name(self) -> &'static str {
        match self {
            Placement::Bump { .. } => "bump",
            Placement::FreeList { choice: Choice::First, .. } => "first-fit",
            Placement::FreeList { choice: Choice::Next, .. } => "next-fit",
            Placement::FreeList { choice: Choice::Best, .. } => "best-fit",
        }
    }

    /// The rule that is written like this in the protocol: `bump/8`, or `best-fit/16/32/16/4096` with granule, smallest
    /// block, header and growth. `None` if it is none, or its numbers do not make sense.
    pub fn named(text: &str) -> Option<Placement> {
        let mut words = text.split('/');
        let name = words.next()?;
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let placement = match (name, numbers.as_slice()) {
            ("bump", &[granule]) => Placement::Bump { granule },
            (_, &[granule, min_block, header, growth]) => {
                let choice = match name {
                    "first-fit" => Choice::First,
                    "next-fit" => Choice::Next,
                    "best-fit" => Choice::Best,
                    _ => return None,
                };
                Placement::FreeList { choice, granule, min_block, header, growth }
            }
            _ => return None,
        };
        placement.makes_sense().then_some(placement)
    }

    /// Whether these numbers can be: a power of two, and multiples of it.
    pub fn makes_sense(self) -> bool {
        match self {
            Placement::Bump { granule } => granule.is_power_of_two() && granule <= 1 << 16,
            Placement::FreeList { granule, min_block, header, growth, .. } => {
                let multiples = [min_block, header, growth].iter().all(|number| number % granule.max(1) == 0);
                granule.is_power_of_two()
                    && multiples
                    && min_block > 0
                    && min_block <= growth
                    && growth <= 1 << 40
                    && header <= growth
            }
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Bump { granule } => write!(f, "bump/{granule}"),
            Placement::FreeList { granule, min_block, header, growth, .. } => {
                write!(f, "{}/{granule}/{min_block}/{header}/{growth}", self.name())
            }
        }
    }
}

/// What a heap says of itself before anything is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The heap's name and perhaps version, for reports.
    pub name: Cow<'static, str>,
    capabilities: u32,
    /// The invariant that holds between any two operations while marking, if the heap names one.
    pub invariant: Option<Invariant>,
    /// The rule by which objects are placed, if the heap names one.
    pub placement: Option<Placement>,
}

impl Claims {
    /// A heap of this name that claims nothing yet.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Claims { name: name.into(), capabilities: 0, invariant: None, placement: None }
    }

    /// Claims these capabilities too.
    #[must_use]
    pub fn with(mut self, capabilities: &[Capability]) -> Self {
        for capability in capabilities {
            self.capabilities |= 1 << *capability as u32;
        }
        self
    }

    /// Claims this invariant.
    #[must_use]
    pub fn upholding(mut self, invariant: Invariant) -> Self {
        self.invariant = Some(invariant);
        self
    }

    /// Claims that objects are placed by this rule.
    #[must_use]
    pub fn placing(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// Whether this capability is claimed.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities >> capability as u32 & 1 == 1
    }

    /// Whether one knows of every object when it is freed: the heap says so, or never frees by itself.
    pub fn tell_frees(&self) -> bool {
        self.has(Capability::Frees) || self.is_allocator()
    }

    /// Whether the heap frees nothing by itself.
    pub fn is_allocator(&self) -> bool {
        self.has(Capability::Free) && !self.has(Capability::Collect)
    }

    /// Whether the heap may be asked to perform `op`.
    pub fn allow(&self, op: &Op) -> bool {
        let needs = match op {
            Op::Mutate { action, .. } => match action {
                Action::Send { .. } | Action::Park | Action::Unpark | Action::Join | Action::Exit => {
                    Some(Capability::Mutators)
                }
                Action::Weak { .. } | Action::Strong { .. } => Some(Capability::Weak),
                Action::Finalizer(_) | Action::Finalize(_) => Some(Capability::Finalizers),
                Action::Cleanup { .. } | Action::Clean(_) => Some(Capability::Cleanups),
                Action::Free(_) => Some(Capability::Free),
                Action::Alloc { shape, .. } if shape.align > 0 => Some(Capability::Aligned),
                _ => None,
            },
            Op::Collect(Collect::Full) => Some(Capability::Collect),
            Op::Collect(Collect::Stats) => Some(Capability::Stats),
            Op::Collect(Collect::Abort) => Some(Capability::Abort),
            Op::Environment(Environment::Fail(_)) => Some(Capability::Faults),
            Op::Environment(Environment::Clock(_)) => Some(Capability::Clock),
            Op::Environment(Environment::Gogc(_) | Environment::Limit(_)) | Op::Collect(Collect::Pace) => {
                Some(Capability::Pacing)
            }
            Op::Collect(_) => Some(Capability::Steps),
        };
        let alone = !matches!(op, Op::Mutate { by: MutatorId(1..), .. }) || self.has(Capability::Mutators);
        alone && needs.is_none_or(|capability| self.has(capability))
    }
}

/// The colour of an object at birth, reported by heaps that claim [`Capability::Colors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BornAs {
    /// White: this cycle's sweep frees it unless it is found.
    White,
    /// Grey: it will be scanned this cycle.
    Grey,
    /// Black: it survives this cycle and is not scanned.
    Black,
}

/// What a heap answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done; there is nothing to say.
    Done,
    /// A collector step that found nothing to do, or cannot be taken in this phase.
    Idle,
    /// An allocation succeeded.
    Born {
        /// Where the object is.
        at: Address,
        /// How many bytes the heap set aside for it; at least what was asked for.
        usable: u64,
        /// What the whole object read before it was stamped.
        found: Content,
        /// Its colour at birth, while marking and if the heap reports colours. If the operation goes on to mark it, the
        /// events tell; a heap may also report the whole way, `Shade` and `Scan`, and say nothing here.
        color: Option<BornAs>,
    },
    /// This object came into the root.
    Object(Address),
    /// Nil came into the root.
    Nil,
    /// A weak pointer was made, and this is its identity: equal for equal pointers, and different for different ones as
    /// long as both exist.
    Weak(u64),
    /// A read found this data.
    Data(Content),
    /// The heap's own count of what is allocated and not yet freed.
    Stats {
        /// Objects.
        objects: u64,
        /// Bytes: the sum of `usable` over these objects.
        bytes: u64,
    },
    /// What the pacer goes by.
    Pace(Box<Gauge>),
    /// An allocation was refused for want of memory; nothing has changed.
    OutOfMemory,
    /// The heap itself noticed that something is wrong, and this is what. It counts as evidence against the heap.
    Trap(String),
    /// The heap does not know the operation.
    Unsupported,
}

/// A heap that performs one operation at a time.
///
/// ```
/// use heaplaw_reference::{event::Event, heap::*, op::{Action, Op}};
///
/// /// The heap that never has room. Nothing can be said against it: refusing is allowed.
/// struct Full;
///
/// impl Heap for Full {
///     fn claims(&self) -> Claims {
///         Claims::new("full")
///     }
///     fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Reply {
///         match op {
///             Op::Mutate { action: Action::Alloc { .. }, .. } => Reply::OutOfMemory,
///             Op::Mutate { action: Action::Load { .. }, .. } => Reply::Nil,
///             _ => Reply::Done,
///         }
///     }
/// }
/// # Full.perform(&"gc full".parse()?, &mut Vec::new());
/// # Ok::<(), heaplaw_reference::text::ParseError>(())
/// ```
pub trait Heap {
    /// What this heap can do and lets the suite see. Must not change while the heap exists.
    fn claims(&self) -> Claims;

    /// Performs `op`, appends to `events` what happened in its course, and answers.
    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply;
}

impl<H: Heap + ?Sized> Heap for Box<H> {
    fn claims(&self) -> Claims {
        (**self).claims()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        (**self).perform(op, events)
    }
}

/// One mutator of a heap that threads share. It owns its sixteen roots.
pub trait Mutator {
    /// Performs `action` as [`Heap::perform`] would. `stamp` is what an allocation or write fills the data with.
    /// Never called with [`Action::Join`], [`Action::Exit`] or [`Action::Send`].
    fn perform(&mut self, action: &Action, stamp: Stamp, events: &mut Vec<Event>) -> Reply;
}

/// A heap that threads share, each with a mutator of its own.
pub trait SharedHeap {
    /// A mutator's handle.
    type Mutator: Mutator;

    /// What this heap can do and lets the suite see.
    fn claims(&self) -> Claims;

    /// A new mutator with empty roots. `id` is what events and [`Collect::Handshake`] call it.
    fn join(&self, id: MutatorId, events: &mut Vec<Event>) -> Self::Mutator;

    /// A mutator leaves, and its roots are gone.
    fn leave(&self, mutator: Self::Mutator, events: &mut Vec<Event>) {
        let _ = events;
        drop(mutator);
    }

    /// Hands the reference in `from`'s root to `to`'s root, as [`Action::Send`] says. Both are at a safepoint.
    fn send(
        &self,
        from: (&mut Self::Mutator, crate::op::Root),
        to: (&mut Self::Mutator, crate::op::Root),
        events: &mut Vec<Event>,
    ) -> Reply;

    /// Performs a step of the collector. When mutators take turns, all are at a safepoint. When they run on threads, this is
    /// called by a thread of its own, at any time: a mutator goes on to its next operation, or [parks](Action::Park) when it
    /// has none left, so one that has to be waited for does come.
    fn collect(&self, step: &Collect, events: &mut Vec<Event>) -> Reply;

    /// Something happens around the heap. A heap that claims neither [`Capability::Faults`] nor [`Capability::Clock`] is
    /// never told.
    fn environment(&self, change: &Environment, events: &mut Vec<Event>) -> Reply {
        let _ = (change, events);
        Reply::Unsupported
    }
}

/// A [`SharedHeap`] whose mutators take turns on one thread: a [`Heap`].
pub struct InTurn<S: SharedHeap> {
    // Mutators are dropped before the heap they belong to: fields drop in order.
    mutators: [Option<S::Mutator>; MUTATORS as usize],
    heap: S,
    stamps: u64,
}

impl<S: SharedHeap> InTurn<S> {
    /// Takes the heap over, with mutator 0 joined.
    pub fn new(heap: S) -> Self {
        let mut mutators = [const { None }; MUTATORS as usize];
        // Nothing is going on yet that could be reported.
        mutators[0] = Some(heap.join(MutatorId(0), &mut Vec::new()));
        InTurn { mutators, heap, stamps: 0 }
    }

    /// The heap.
    pub fn heap(&self) -> &S {
        &self.heap
    }

    fn act(&mut self, by: MutatorId, action: &Action, events: &mut Vec<Event>) -> Option<Reply> {
        let by = usize::from(by.0);
        match *action {
            Action::Join => self.mutators[by] = Some(self.heap.join(MutatorId(by as u8), events)),
            Action::Exit => self.heap.leave(self.mutators[by].take()?, events),
            Action::Send { value, to, into } => {
                let to = usize::from(to.0);
                let [from, to] = self.mutators.get_disjoint_mut([by, to]).ok()?;
                return Some(self.heap.send((from.as_mut()?, value), (to.as_mut()?, into), events));
            }
            _ => {
                let stamp = match action {
                    Action::Alloc { .. } | Action::Write(_) => {
                        self.stamps += 1;
                        Stamp(self.stamps)
                    }
                    _ => Stamp(0),
                };
                return Some(self.mutators.get_mut(by)?.as_mut()?.perform(action, stamp, events));
            }
        }
        Some(Reply::Done)
    }
}

impl<S: SharedHeap> Heap for InTurn<S> {
    fn claims(&self) -> Claims {
        self.heap.claims()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        match op {
            Op::Collect(step) => self.heap.collect(step, events),
            Op::Environment(change) => self.heap.environment(change, events),
            Op::Mutate { by, action } => {
                self.act(*by, action, events).unwrap_or_else(|| Reply::Trap(format!("mutator {} is not there", by.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_placement_reads_back_and_its_numbers_have_to_make_sense() {
        for name in ["bump/1", "bump/65536", "first-fit/16/32/16/4096", "next-fit/8/8/0/8", "best-fit/1/1/1/1"] {
            assert_eq!(Placement::named(name).map(|placement| placement.to_string()).as_deref(), Some(name));
        }
        let nonsense = [
            "bump",
            "bump/0",
            "bump/3",
            "bump/131072",
            "bump/8/8",
            "worst-fit/16/32/16/4096",
            "best-fit/16/0/16/4096",
            "best-fit/16/24/16/4096",
            "best-fit/16/32/8/4096",
            "best-fit/16/32/16/4100",
            "best-fit/24/48/24/4800",
            "best-fit/0/32/16/4096",
            "best-fit/16/8192/16/4096",
            "best-fit/16/32/8192/4096",
            "best-fit/16/32/16/2199023255552",
        ];
        for name in nonsense {
            assert_eq!(Placement::named(name), None, "{name}");
        }
    }

    #[test]
    fn one_knows_of_every_death_if_it_is_told_or_decides_by_hand() {
        use Capability::{Collect, Free, Frees};
        let cases = [
            (&[][..], [false, false]),
            (&[Frees], [true, false]),
            (&[Collect], [false, false]),
            (&[Free], [true, true]),
            (&[Free, Collect], [false, false]),
            (&[Free, Collect, Frees], [true, false]),
        ];
        for (claimed, expected) in cases {
            let claims = Claims::new("").with(claimed);
            assert_eq!([claims.tell_frees(), claims.is_allocator()], expected, "{claimed:?}");
        }
    }

    #[test]
    fn a_heap_is_asked_only_for_what_it_claims() {
        use Capability::{
            Abort, Aligned, Cleanups, Clock, Collect, Faults, Finalizers, Free, Mutators, Pacing, Stats, Steps, Weak,
        };
        let needs = [
            ("0 alloc r0 1 8", None),
            ("0 store r0.0 nil", None),
            ("0 alloc r0 0 8 @64", Some(Aligned)),
            ("1 clear r0", Some(Mutators)),
            ("1 join", Some(Mutators)),
            ("0 park", Some(Mutators)),
            ("0 send r0 1.r0", Some(Mutators)),
            ("0 weak w0 r0", Some(Weak)),
            ("0 strong r0 w0", Some(Weak)),
            ("0 finalizer r0", Some(Finalizers)),
            ("0 finalize r0", Some(Finalizers)),
            ("0 cleanup r0 r1", Some(Cleanups)),
            ("0 clean r0", Some(Cleanups)),
            ("0 free r0", Some(Free)),
            ("gc full", Some(Collect)),
            ("gc stats", Some(Stats)),
            ("gc abort", Some(Abort)),
            ("gc start", Some(Steps)),
            ("gc mark 1", Some(Steps)),
            ("gc pace", Some(Pacing)),
            ("env gogc off", Some(Pacing)),
            ("env limit off", Some(Pacing)),
            ("env fail 1", Some(Faults)),
            ("env clock 1", Some(Clock)),
        ];
        for (line, need) in needs {
            let op: Op = line.parse().unwrap();
            for claimed in Capability::ALL {
                let claims = Claims::new("").with(&[claimed]);
                assert_eq!(claims.allow(&op), need.is_none_or(|need| need == claimed), "{line}: {claimed:?}");
            }
        }
    }

    /// Says who did what, with which stamp.
    struct Talker;

    struct TalkerMutator(MutatorId);

    impl Mutator for TalkerMutator {
        fn perform(&mut self, action: &Action, stamp: Stamp, _: &mut Vec<Event>) -> Reply {
            Reply::Trap(format!("{} does {action:?} with {}", self.0, stamp.0))
        }
    }

    impl SharedHeap for Talker {
        type Mutator = TalkerMutator;

        fn claims(&self) -> Claims {
            Claims::new("talker")
        }

        fn join(&self, id: MutatorId, _: &mut Vec<Event>) -> TalkerMutator {
            TalkerMutator(id)
        }

        fn send(
            &self,
            from: (&mut TalkerMutator, crate::op::Root),
            to: (&mut TalkerMutator, crate::op::Root),
            _: &mut Vec<Event>,
        ) -> Reply {
            Reply::Trap(format!("{} of {} to {} of {}", from.1, from.0.0, to.1, to.0.0))
        }

        fn collect(&self, step: &Collect, _: &mut Vec<Event>) -> Reply {
            Reply::Trap(format!("{step:?}"))
        }
    }

    #[test]
    fn mutators_that_take_turns_are_told_what_is_theirs() {
        let mut heap = InTurn::new(Talker);
        let mut say = |line: &str| match heap.perform(&line.parse().unwrap(), &mut Vec::new()) {
            Reply::Trap(said) => said,
            other => format!("{other:?}"),
        };
        assert!(say("0 alloc r0 1").ends_with("with 1") && say("0 read r0").ends_with("with 0"));
        assert_eq!(say("2 safepoint"), "mutator 2 is not there");
        assert_eq!(say("0 send r3 2.r4"), "mutator 0 is not there", "or not both of them");
        assert_eq!(say("2 join"), "Done");
        assert!(say("2 write r0").starts_with("2 does Write") && say("2 write r0").ends_with("with 3"));
        assert_eq!(say("0 send r3 2.r4"), "r3 of 0 to r4 of 2");
        assert_eq!([say("2 exit"), say("2 safepoint")], ["Done", "mutator 2 is not there"]);
        assert_eq!([say("gc full"), say("env fail 1")], ["Full", "Unsupported"]);
    }
}
