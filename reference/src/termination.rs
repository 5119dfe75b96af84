//! Termination: how a collector finds out that nothing is grey.
//!
//! With one thread the question is trivial: the queue is empty. With many it is a famous one. Each processor keeps grey
//! objects in a **private** queue that no other can look into, keeps what its mutator's barrier recorded in a
//! **buffer**, and now and then **publishes** its queue to a list that all share. So "is there any work left?" has no
//! place where it could be asked:
//!
//! ```text
//!        processor 0                               processor 1
//!   mutator      worker                       worker      mutator
//!   r: a ──┐     in hand: –                   in hand: b  r: nil
//!          ▼                  shared list
//!   buffer [c]                 [        ]                 buffer [ ]
//!   queue  [ ] ── publish ──▶              ◀── publish ── queue  [a]
//! ```
//!
//! What saves the day is that marking is *stable*: work comes from work. Once nothing is grey anywhere, nothing will
//! ever be grey again in this cycle. So it is enough to catch one moment, and Go catches it in five steps:
//!
//! 1. **Test.** Nobody works and the shared list is empty. That costs two loads and is wrong as soon as a private queue
//!    holds something.
//! 2. **Wave.** Visit the processors one by one, each at a safepoint (Go calls this a ragged barrier). Flush its
//!    buffer and publish its queue.
//! 3. **Flags.** A processor that has published since its last visit, in its own time or just now, raises `flushed`.
//!    If the wave met a raised flag, somebody may have got that work behind its back: begin again.
//! 4. **Stop** the world.
//! 5. **Re-check.** Flush every buffer once more. If that turns anything up, start the world and begin again.
//!
//! Step 5 looks superfluous, and the proof is short: a quiet wave shows that no queue was filled behind its back, so
//! nothing is left, and work comes from work. Go's collector was rebuilt on that proof in 2018, and the proof forgets
//! that a deletion barrier makes work out of a *store*. What people saw was a crash, now and then, on some machine. A
//! search finds the schedule in a blink, so this chapter is a model that is small enough to be searched to its last
//! state: two processors, three objects of one field each, a mutator with one register on each processor. What is
//! checked is a [`Rule`], which says which of the five steps are there.
//!
//! | rule                                       | private | test      | wave    | re-check   | verdict |
//! |--------------------------------------------|---------|-----------|---------|------------|---------|
//! | [`SHARED`](Rule::SHARED)                   | no      | at once   | –       | –          | sound, but every shade goes through the one list |
//! | [`TWO_READS`](Rule::TWO_READS)             | no      | two reads | –       | –          | loses in 5 steps: a worker takes the last object in between |
//! | [`NO_WAVE`](Rule::NO_WAVE)                 | yes     | at once   | –       | –          | loses in 2: nobody looks into the queues |
//! | [`NO_FLUSH`](Rule::NO_FLUSH)               | yes     | at once   | buffers | –          | loses in 4: the same, with a detour |
//! | [`NO_RECHECK`](Rule::NO_RECHECK)           | yes     | at once   | both    | –          | loses in 7: Go issue 27993 |
//! | [`PRIVATE_RECHECK`](Rule::PRIVATE_RECHECK) | yes     | at once   | both    | private    | loses in 9: what was published late is in the shared list |
//! | [`GO`](Rule::GO)                           | yes     | at once   | both    | everything | sound |
//! | [`ANNOUNCED`](Rule::ANNOUNCED)             | yes     | three reads | buffers | –        | sound, and the world is never stopped |
//! | [`UNANNOUNCED`](Rule::UNANNOUNCED)         | yes     | three reads | buffers | –        | loses in 12: a flush in progress is overlooked |
//!
//! Here is how the wave alone loses. There is no shorter way, and this one is what the search finds:
//!
//! ```text
//!                                          processor 0            processor 1
//!      a -> b -> c, and only a is grey     r: a   buffer [ ]      queue [a]   r: b
//!   1  test: nobody works, the list is empty
//!   2  wave visits P0                      nothing to publish
//!   3  P0: mutator: r.field = nil          buffer [b]
//!   4  P1: worker takes a                                         in hand: a
//!   5  P1: worker scans it                                        the field is nil: a is black
//!   6  wave visits P1                                             nothing to publish, no flag is up
//!   7  stop the world                      marking is over; b and c are white, and mutator 1 holds b
//! ```
//!
//! Between 3 and 7 the buffer may fill up with other records and be flushed; then `b` is grey in processor 0's private
//! queue when marking ends. That is how it came to light: the runtime looks into the queues one last time and dies of
//! what it finds there ("P has cached GC work at end of mark termination"). Raising processor 0's flag at the flush
//! would not help, for nobody visits it again.
//!
//! What the search says about the steps:
//!
//! 1. **The re-check makes it right**, provided it looks everywhere: 304,629 states, reached from all 1,416 small starts
//!    and counted up to the names of objects and processors, and marking ends too early in none. A processor that was
//!    visited early can flush and even publish before the wave is over, and then its private queue is empty and the
//!    shared list is not. Go's re-check looks into private queues only; if the shared list is not empty after that, the
//!    runtime dies. (A processor of Go publishes when its queue is long or the shared list is empty; one of this model,
//!    whenever it likes.)
//! 2. **The wave makes it cheap.** With the full re-check, a rule without any wave is sound as well. But from the start
//!    above, about five times as many of the moments at which the world can be stopped are moments too soon.
//! 3. **With a wave the test may be sloppy.** Two separate reads are fatal where the test decides alone, and harmless
//!    before a wave.
//! 4. **It ends.** Wherever the mutators stop interfering, 15 more steps are enough.
//!
//! **Without a stop.** The last two rules count what mutators do, in one number: 787,532 states, counted as above. It
//! is read first, then the shared list, then who works; the wave has every buffer flushed; and if the number is the
//! same when it is read again, marking is over. A flush takes steps of its own here, and the other processor may go on
//! between any two of them: the mutator *announces* that it has found something white, which is counted; it marks what
//! it has recorded, one by one; it publishes that, and counts again. The announcement is what Go's re-check is
//! elsewhere. Without it, a mutator that was visited may have marked `b` and not yet published it; the other, which has
//! recorded `b` too, finds it marked and has nothing to say, and nothing was counted:
//!
//! ```text
//!                                          processor 0            processor 1
//!      a -> b -> c, and only a is grey     r: a   buffer [ ]      queue [a]   r: b
//!   1  P0: mutator: r.field = nil          buffer [b]
//!   2  P1: worker takes a and scans it                            the field is nil: a is black
//!   4  what is counted is read; the list is empty; nobody works
//!   7  wave visits P1                                             nothing to flush
//!   8  P1: mutator: hands r over           r: b                   buffer [b]
//!   9  P1: mutator: marks b                buffer [ ]             not published, and not counted
//!  11  wave visits P0                      nothing to flush
//!  12  what is counted is read again       the same: marking is over, and b is grey
//! ```
//!
//! ```
//! use heaplaw_reference::termination::{Detector, Processor::*, Object::A, Rule, State, Step};
//! let story =
//!     [Step::Test, Step::Visit(P0), Step::Cut(P0), Step::Take(P1, A), Step::Scan(P1), Step::Visit(P1), Step::Stop];
//! let end = |rule| story.iter().try_fold(State::chain(rule), |state, step| state.after(rule, *step)).unwrap();
//! assert!(end(Rule::NO_RECHECK).too_early());
//! assert_eq!(end(Rule::GO).detector, Detector::Idle, "the re-check has found b");
//! ```
//!
//! This chapter grounds laws 76, 82 and 83. Source: `gcMarkDone` in Go's `mgc.go`, issue 27993; the general problem is
//! Dijkstra, Feijen and van Gasteren 1983.

use core::fmt;

/// A processor, with a mutator and a worker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Processor {
    /// The first.
    P0,
    /// The second.
    P1,
}

impl Processor {
    /// Both.
    pub const ALL: [Processor; 2] = [Processor::P0, Processor::P1];

    fn other(self) -> Processor {
        Processor::ALL[1 - self as usize]
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["P0", "P1"][*self as usize])
    }
}

/// An object of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The first.
    A,
    /// The second.
    B,
    /// The third.
    C,
}

impl Object {
    /// All three.
    pub const ALL: [Object; 3] = [Object::A, Object::B, Object::C];
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["a", "b", "c"][*self as usize])
    }
}

/// Where marking has put an object. All but the first and the last are grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// White.
    White,
    /// Grey, in this processor's private queue.
    Private(Processor),
    /// Grey, marked by this processor's mutator in a flush that is not over, and not yet in the shared list.
    Flushed(Processor),
    /// Grey, in the shared list.
    Shared,
    /// Grey, in the hand of this processor's worker, which is about to scan it.
    Hand(Processor),
    /// Black.
    Black,
}

impl Mark {
    /// Whether it is still to be scanned.
    pub fn is_grey(self) -> bool {
        !matches!(self, Mark::White | Mark::Black)
    }
}

/// What the wave does at each processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// There is no wave.
    None,
    /// Flushes the barrier's buffer.
    FlushBuffers,
    /// Flushes the barrier's buffer, then publishes the private queue.
    FlushQueues,
}

/// What is looked at once the world is stopped. If it is not empty, the world is started and the test begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Nothing: marking is over.
    None,
    /// The private queues, after flushing the buffers into them.
    Private,
    /// The same, and the shared list.
    Everything,
}

/// A way of deciding that marking is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name.
    pub name: &'static str,
    /// Whether processors keep queues and buffers of their own. If not, what is shaded goes straight to the shared list.
    pub private: bool,
    /// Whether "nobody works" and "the shared list is empty" are tested at one and the same moment.
    pub atomic_test: bool,
    /// What happens between the test and the stop.
    pub wave: Wave,
    /// What happens after the stop.
    pub recheck: Recheck,
    /// How mutators flush, if in steps; and then what is counted decides, and the world is never stopped.
    pub counts: Option<Counts>,
    /// Whether the rule never ends marking too early.
    pub sound: bool,
}

/// What mutators count that flush in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// That they have found something white, before they mark it; and what they have published.
    Announcements,
    /// What they have published.
    Publications,
}

impl Rule {
    /// What Go does, with the shared list looked at as well.
    pub const GO: Rule = Rule {
        name: "go",
        private: true,
        atomic_test: true,
        wave: Wave::FlushQueues,
        recheck: Recheck::Everything,
        counts: None,
        sound: true,
    };

    /// The wave decides alone.
    pub const NO_RECHECK: Rule = Rule { name: "no-recheck", recheck: Recheck::None, sound: false, ..Rule::GO };

    /// The re-check leaves the shared list out.
    pub const PRIVATE_RECHECK: Rule =
        Rule { name: "private-recheck", recheck: Recheck::Private, sound: false, ..Rule::GO };

    /// The wave decides alone and leaves private queues where they are.
    pub const NO_FLUSH: Rule = Rule { name: "no-flush", wave: Wave::FlushBuffers, ..Rule::NO_RECHECK };

    /// The test decides alone.
    pub const NO_WAVE: Rule = Rule { name: "no-wave", wave: Wave::None, ..Rule::NO_RECHECK };

    /// Nothing is private, so that the test may decide alone.
    pub const SHARED: Rule = Rule { name: "shared", private: false, sound: true, ..Rule::NO_WAVE };

    /// Nothing is private and the test decides alone, but it is two tests.
    pub const TWO_READS: Rule = Rule { name: "two-reads", atomic_test: false, sound: false, ..Rule::SHARED };

    /// Whether anything was counted decides, and the world is not stopped.
    pub const ANNOUNCED: Rule = Rule {
        name: "announced",
        private: true,
        atomic_test: false,
        wave: Wave::FlushBuffers,
        recheck: Recheck::None,
        counts: Some(Counts::Announcements),
        sound: true,
    };

    /// The same, and only publications are counted.
    pub const UNANNOUNCED: Rule =
        Rule { name: "unannounced", counts: Some(Counts::Publications), sound: false, ..Rule::ANNOUNCED };

    /// All of them, in the order of the table.
    pub const ALL: [Rule; 9] = [
        Rule::SHARED,
        Rule::TWO_READS,
        Rule::NO_WAVE,
        Rule::NO_FLUSH,
        Rule::NO_RECHECK,
        Rule::PRIVATE_RECHECK,
        Rule::GO,
        Rule::ANNOUNCED,
        Rule::UNANNOUNCED,
    ];
}

/// How far the decision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// Not begun.
    Idle,
    /// The first of two reads found that nobody works.
    NobodyWorks,
    /// What is counted was read.
    Read {
        /// Whether anything was counted since.
        moved: bool,
    },
    /// And then the shared list was empty.
    ListEmpty {
        /// Whether anything was counted since.
        moved: bool,
    },
    /// The wave is under way.
    Wave {
        /// Which processors it has visited.
        visited: [bool; 2],
        /// Whether it met a raised flag, or anything was counted.
        moved: bool,
    },
    /// Only the stop is missing.
    Quiet,
    /// Marking has been declared over.
    Done,
}

/// One thing that happens. Scanning an object and visiting a processor are single steps, because a worker has no
/// safepoint between taking an object and having scanned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The mutator goes to the object that its object refers to: `r = r.field`.
    Load(Processor),
    /// The mutator cuts: `r.field = nil`, and the barrier records what was there.
    Cut(Processor),
    /// The mutator hands its pointer to the other mutator's register, and records it.
    Send(Processor),
    /// The barrier's buffer is full: what it recorded and is still white turns grey, in this processor's queue. If mutators
    /// flush in steps, only begins: announces.
    Flush(Processor),
    /// The mutator marks the next object that it has recorded and is white, in a flush in steps.
    Shade(Processor),
    /// The mutator's flush in steps publishes what it has marked.
    Share(Processor),
    /// And counts that, and is over.
    Count(Processor),
    /// The worker takes a grey object out of its queue, or out of the shared list if its queue is empty.
    Take(Processor, Object),
    /// The worker scans the object in its hand.
    Scan(Processor),
    /// The processor's whole queue goes to the shared list.
    Publish(Processor),
    /// Nobody works and the shared list is empty, at one moment.
    Test,
    /// Nobody works.
    ReadWorkers,
    /// The shared list is empty.
    ReadList,
    /// What is counted is read: at first, and after the wave again.
    ReadCount,
    /// The wave visits a processor.
    Visit(Processor),
    /// The world stops, and the re-check decides.
    Stop,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Load(p) => write!(f, "{p}: mutator: r = r.field"),
            Step::Cut(p) => write!(f, "{p}: mutator: r.field = nil"),
            Step::Send(p) => write!(f, "{p}: mutator: hands r over"),
            Step::Flush(p) => write!(f, "{p}: buffer is full and flushed"),
            Step::Shade(p) => write!(f, "{p}: mutator: marks what it has recorded"),
            Step::Share(p) => write!(f, "{p}: mutator: publishes what it has marked"),
            Step::Count(p) => write!(f, "{p}: mutator: counts what it has published"),
            Step::Take(p, object) => write!(f, "{p}: worker takes {object}"),
            Step::Scan(p) => write!(f, "{p}: worker scans it"),
            Step::Publish(p) => write!(f, "{p}: publishes its queue"),
            Step::Test => write!(f, "test: nobody works, the list is empty"),
            Step::ReadWorkers => write!(f, "test: nobody works"),
            Step::ReadList => write!(f, "test: the list is empty"),
            Step::ReadCount => write!(f, "what is counted is read"),
            Step::Visit(p) => write!(f, "wave visits {p}"),
            Step::Stop => write!(f, "stop the world"),
        }
    }
}

/// Everything there is, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// What each object refers to.
    pub fields: [Option<Object>; 3],
    /// What each processor's mutator holds. Its stack was scanned long ago.
    pub registers: [Option<Object>; 2],
    /// Where marking has put each object.
    pub marks: [Mark; 3],
    /// The white objects that each processor's barrier has recorded. An object that has turned grey is not kept: a
    /// flush would skip it.
    pub buffers: [[bool; 3]; 2],
    /// Which processors have published since the wave last asked.
    pub flushed: [bool; 2],
    /// How far each mutator's flush in steps has come.
    pub flushing: [Flushing; 2],
    /// How far the decision has come.
    pub detector: Detector,
}

/// How far a flush in steps has come. Until it is over, the mutator does nothing else, and the wave does not visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flushing {
    /// There is none.
    Not,
    /// It marks.
    Marks,
    /// It has published, and not yet counted that.
    Published,
}

impl State {
    /// The moment when only `a` is grey, there, and all else is white.
    pub fn start(fields: [Option<Object>; 3], registers: [Option<Object>; 2], a: Mark) -> State {
        State {
            fields,
            registers,
            marks: [a, Mark::White, Mark::White],
            buffers: [[false; 3]; 2],
            flushed: [false; 2],
            flushing: [Flushing::Not; 2],
            detector: Detector::Idle,
        }
    }

    /// The chain `a -> b -> c` with `a` in processor 1's queue, or in the shared list if nothing is private. Mutator 0
    /// holds `a`; mutator 1 has gone on to `b` since its stack was scanned.
    pub fn chain(rule: Rule) -> State {
        let (a, b, c) = (Some(Object::A), Some(Object::B), Some(Object::C));
        State::start([b, c, None], [a, b], if rule.private { Mark::Private(Processor::P1) } else { Mark::Shared })
    }

    /// Every step that can be taken, and where it leads.
    pub fn steps(self, rule: Rule) -> impl Iterator<Item = (Step, State)> {
        let of = move |p| {
            let takes = Object::ALL.map(|object| Step::Take(p, object));
            let others = [Step::Load, Step::Cut, Step::Send, Step::Flush, Step::Scan, Step::Publish, Step::Visit];
            let flush = [Step::Shade, Step::Share, Step::Count].into_iter().filter(move |_| rule.counts.is_some());
            let others = others.into_iter().chain(flush);
            takes.into_iter().chain(others.map(move |step: fn(Processor) -> Step| step(p)))
        };
        let tests = [Step::Test, Step::ReadCount, Step::ReadWorkers, Step::ReadList, Step::Stop];
        let all = Processor::ALL.into_iter().flat_map(of).chain(tests);
        all.filter_map(move |step| Some((step, self.after(rule, step)?)))
    }

    /// Where `step` leads, if it can be taken.
    pub fn after(mut self, rule: Rule, step: Step) -> Option<State> {
        if self.detector == Detector::Done {
            return None;
        }
        if let Step::Load(p) | Step::Cut(p) | Step::Send(p) | Step::Flush(p) | Step::Visit(p) = step
            && self.flushing[p as usize] != Flushing::Not
        {
            return None;
        }
        match step {
            Step::Load(p) => {
                let from = self.registers[p as usize]?;
                self.registers[p as usize] = self.fields[from as usize];
            }
            Step::Cut(p) => {
                let from = self.registers[p as usize]?;
                let old = self.fields[from as usize]?;
                self.record(rule, p, old);
                self.fields[from as usize] = None;
            }
            Step::Send(p) => {
                let value = self.registers[p as usize]?;
                self.record(rule, p, value);
                self.registers[p.other() as usize] = Some(value);
            }
            Step::Flush(p) => match rule.counts {
                None => self.flush(p).then_some(())?,
                Some(counts) => {
                    self.buffers[p as usize].contains(&true).then_some(())?;
                    self.flushing[p as usize] = Flushing::Marks;
                    if counts == Counts::Announcements {
                        self.count();
                    }
                }
            },
            Step::Shade(p) => {
                let next = self.buffers[p as usize].iter().position(|recorded| *recorded);
                (self.flushing[p as usize] == Flushing::Marks).then_some(())?;
                self.shade(Object::ALL[next?], Mark::Flushed(p));
            }
            Step::Share(p) => {
                let ready = !self.buffers[p as usize].contains(&true);
                (ready && self.flushing[p as usize] == Flushing::Marks).then_some(())?;
                let shared = self.share(Mark::Flushed(p));
                self.flushing[p as usize] = if shared { Flushing::Published } else { Flushing::Not };
            }
            Step::Count(p) => {
                (self.flushing[p as usize] == Flushing::Published).then_some(())?;
                self.flushing[p as usize] = Flushing::Not;
                self.count();
            }
            Step::Take(p, object) => {
                let ready = match self.marks[object as usize] {
                    Mark::Private(owner) => owner == p,
                    Mark::Shared => !self.marks.contains(&Mark::Private(p)),
                    _ => false,
                };
                (ready && !self.holds(p)).then_some(())?;
                self.marks[object as usize] = Mark::Hand(p);
            }
            Step::Scan(p) => {
                let object = self.marks.iter().position(|mark| *mark == Mark::Hand(p))?;
                self.marks[object] = Mark::Black;
                if let Some(to) = self.fields[object] {
                    self.shade(to, if rule.private { Mark::Private(p) } else { Mark::Shared });
                }
            }
            Step::Publish(p) => {
                self.publish(p).then_some(())?;
                if rule.counts.is_some() {
                    // A worker counts before it ceases to work, and there is no flag.
                    self.count();
                    self.flushed[p as usize] = false;
                }
            }
            Step::Test => {
                let passed = self.detector == Detector::Idle && self.nobody_works() && self.list_is_empty();
                (rule.atomic_test && passed).then_some(())?;
                self.detector = Self::tested(rule);
            }
            Step::ReadCount => {
                rule.counts?;
                self.detector = match self.detector {
                    Detector::Idle => Detector::Read { moved: false },
                    Detector::Wave { visited: [true, true], moved: false } => Detector::Done,
                    Detector::Wave { visited: [true, true], moved: true } => Detector::Idle,
                    _ => return None,
                };
            }
            Step::ReadList if rule.counts.is_some() => {
                let Detector::Read { moved } = self.detector else { return None };
                self.detector = if self.list_is_empty() { Detector::ListEmpty { moved } } else { Detector::Idle };
            }
            Step::ReadWorkers if rule.counts.is_some() => {
                let Detector::ListEmpty { moved } = self.detector else { return None };
                let idle = !Processor::ALL.into_iter().any(|p| self.is_busy(p));
                self.detector = if idle { Detector::Wave { visited: [false; 2], moved } } else { Detector::Idle };
            }
            Step::ReadWorkers => {
                (!rule.atomic_test && self.detector == Detector::Idle && self.nobody_works()).then_some(())?;
                self.detector = Detector::NobodyWorks;
            }
            Step::ReadList => {
                (self.detector == Detector::NobodyWorks).then_some(())?;
                self.detector = if self.list_is_empty() { Self::tested(rule) } else { Detector::Idle };
            }
            Step::Visit(p) => {
                let Detector::Wave { mut visited, mut moved } = self.detector else { return None };
                if rule.counts.is_some() {
                    // Mutators are visited, not workers; and one that has something to flush does so before it answers.
                    (!visited[p as usize] && !self.buffers[p as usize].contains(&true)).then_some(())?;
                    visited[p as usize] = true;
                    self.detector = Detector::Wave { visited, moved };
                    return Some(self);
                }
                (!visited[p as usize] && !self.holds(p)).then_some(())?;
                self.flush(p);
                if rule.wave == Wave::FlushQueues {
                    self.publish(p);
                }
                moved |= core::mem::take(&mut self.flushed[p as usize]);
                visited[p as usize] = true;
                self.detector = match (visited, moved) {
                    ([true, true], true) => Detector::Idle,
                    ([true, true], false) => Detector::Quiet,
                    _ => Detector::Wave { visited, moved },
                };
            }
            Step::Stop => {
                (self.detector == Detector::Quiet && self.nobody_works()).then_some(())?;
                if rule.recheck != Recheck::None {
                    for p in Processor::ALL {
                        self.flush(p);
                    }
                }
                let left = self.marks.iter().any(|mark| match mark {
                    Mark::Private(_) => rule.recheck != Recheck::None,
                    Mark::Shared => rule.recheck == Recheck::Everything,
                    _ => false,
                });
                self.detector = if left { Detector::Idle } else { Detector::Done };
            }
        }
        Some(self)
    }

    /// Whether marking was declared over although an object is grey, or a mutator can reach one that is white.
    pub fn too_early(&self) -> bool {
        let left = |object: Object| match self.marks[object as usize] {
            Mark::White => self.reachable()[object as usize],
            mark => mark.is_grey(),
        };
        self.detector == Detector::Done && Object::ALL.into_iter().any(left)
    }

    /// Which objects a mutator can reach.
    pub fn reachable(&self) -> [bool; 3] {
        let mut found = [false; 3];
        for mut at in self.registers {
            while let Some(object) = at
                && !found[object as usize]
            {
                found[object as usize] = true;
                at = self.fields[object as usize];
            }
        }
        found
    }

    fn tested(rule: Rule) -> Detector {
        match rule.wave {
            Wave::None => Detector::Quiet,
            Wave::FlushBuffers | Wave::FlushQueues => Detector::Wave { visited: [false; 2], moved: false },
        }
    }

    fn holds(&self, p: Processor) -> bool {
        self.marks.contains(&Mark::Hand(p))
    }

    fn nobody_works(&self) -> bool {
        !Processor::ALL.into_iter().any(|p| self.holds(p))
    }

    /// Whether a worker counts as working that does so until its queue is empty.
    fn is_busy(&self, p: Processor) -> bool {
        self.holds(p) || self.marks.contains(&Mark::Private(p))
    }

    /// Something is counted.
    fn count(&mut self) {
        match &mut self.detector {
            Detector::Read { moved } | Detector::ListEmpty { moved } | Detector::Wave { moved, .. } => *moved = true,
            _ => {}
        }
    }

    fn list_is_empty(&self) -> bool {
        !self.marks.contains(&Mark::Shared)
    }

    /// The barrier's share of a store or a hand-over.
    fn record(&mut self, rule: Rule, p: Processor, object: Object) {
        if self.marks[object as usize] != Mark::White {
            return;
        }
        if rule.private {
            self.buffers[p as usize][object as usize] = true;
        } else {
            self.shade(object, Mark::Shared);
        }
    }

    fn shade(&mut self, object: Object, grey: Mark) {
        if self.marks[object as usize] == Mark::White {
            self.marks[object as usize] = grey;
            for buffer in &mut self.buffers {
                buffer[object as usize] = false;
            }
        }
    }

    /// Says whether there was anything to flush.
    fn flush(&mut self, p: Processor) -> bool {
        let recorded = self.buffers[p as usize];
        for object in Object::ALL.into_iter().filter(|object| recorded[*object as usize]) {
            self.shade(object, Mark::Private(p));
        }
        recorded.contains(&true)
    }

    /// Says whether there was anything to publish.
    fn publish(&mut self, p: Processor) -> bool {
        let any = self.share(Mark::Private(p));
        self.flushed[p as usize] |= any;
        any
    }

    /// Says whether anything was there.
    fn share(&mut self, from: Mark) -> bool {
        let mut any = false;
        for mark in self.marks.iter_mut().filter(|mark| **mark == from) {
            *mark = Mark::Shared;
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        collections::{BTreeMap, BTreeSet, VecDeque},
        string::ToString,
        vec::Vec,
    };

    /// What a search from the chain found.
    #[derive(Debug, PartialEq)]
    struct Found {
        states: usize,
        /// States in which marking is over.
        ends: usize,
        /// Stops of the world that were in vain.
        restarts: usize,
        /// The shortest schedule that ends marking too early.
        loss: Option<Vec<Step>>,
    }

    /// Breadth first from the chain, to the first loss or to the last state.
    fn search(rule: Rule) -> Found {
        let mut from = BTreeMap::from([(State::chain(rule), None)]);
        let mut open: VecDeque<State> = from.keys().copied().collect();
        let mut found = Found { states: 1, ends: 0, restarts: 0, loss: None };
        while let Some(state) = open.pop_front() {
            if state.too_early() {
                let mut schedule = Vec::new();
                let mut at = state;
                while let Some((before, step)) = from[&at] {
                    schedule.insert(0, step);
                    at = before;
                }
                found.loss = Some(schedule);
                break;
            }
            found.ends += usize::from(state.detector == Detector::Done);
            for (step, next) in state.steps(rule) {
                found.restarts += usize::from(step == Step::Stop && next.detector == Detector::Idle);
                from.entry(next).or_insert_with(|| {
                    open.push_back(next);
                    Some((state, step))
                });
            }
        }
        found.states = from.len();
        found
    }

    /// Every start in which the weak invariant holds: `a` protects what the mutators can reach.
    fn starts(rule: Rule) -> impl Iterator<Item = State> {
        let any = [None, Some(Object::A), Some(Object::B), Some(Object::C)];
        let homes = [Mark::Shared, Mark::Private(Processor::P0), Mark::Private(Processor::P1)];
        let homes = homes.into_iter().take(if rule.private { 3 } else { 1 });
        homes.flat_map(move |home| {
            (0..4usize.pow(5)).filter_map(move |n| {
                let [a, b, c, r0, r1] = [0, 1, 2, 3, 4].map(|digit| any[n / 4usize.pow(digit) % 4]);
                let state = State::start([a, b, c], [r0, r1], home);
                let protected = State { registers: [Some(Object::A), None], ..state }.reachable();
                state
                    .reachable()
                    .into_iter()
                    .zip(protected)
                    .all(|(held, protected)| protected || !held)
                    .then_some(state)
            })
        })
    }

    /// The least of the twelve states that differ from this one only in the names of objects and processors.
    fn canonical(state: State) -> State {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let renamed = |order: [usize; 3], swap: bool| {
            let mut new = state;
            let object = |old: Option<Object>| old.map(|old| Object::ALL[order[old as usize]]);
            let processor = |old: Processor| if swap { old.other() } else { old };
            for (old, new_at) in order.into_iter().enumerate() {
                new.fields[new_at] = object(state.fields[old]);
                new.marks[new_at] = match state.marks[old] {
                    Mark::Private(p) => Mark::Private(processor(p)),
                    Mark::Hand(p) => Mark::Hand(processor(p)),
                    Mark::Flushed(p) => Mark::Flushed(processor(p)),
                    mark => mark,
                };
            }
            for p in Processor::ALL {
                let (old, at) = (p as usize, processor(p) as usize);
                new.registers[at] = object(state.registers[old]);
                new.flushed[at] = state.flushed[old];
                new.flushing[at] = state.flushing[old];
                for (object, new_at) in order.into_iter().enumerate() {
                    new.buffers[at][new_at] = state.buffers[old][object];
                }
            }
            if let (true, Detector::Wave { visited: [zero, one], moved }) = (swap, state.detector) {
                new.detector = Detector::Wave { visited: [one, zero], moved };
            }
            new
        };
        let all = ORDERS.into_iter().flat_map(|order| [renamed(order, false), renamed(order, true)]);
        all.min().expect("twelve of them")
    }

    /// How many states there are, up to names, from every start. None of them is too early.
    fn exhaust(rule: Rule) -> usize {
        let mut seen: BTreeSet<State> = starts(rule).map(canonical).collect();
        let mut open: Vec<State> = seen.iter().copied().collect();
        while let Some(state) = open.pop() {
            assert!(!state.too_early(), "{}: {state:?}", rule.name);
            open.extend(state.steps(rule).map(|(_, next)| canonical(next)).filter(|next| seen.insert(*next)));
        }
        seen.len()
    }

    #[test]
    fn every_rule_fares_as_its_table_says() {
        let lengths = [None, Some(5), Some(2), Some(4), Some(7), Some(9), None, None, Some(12)];
        for (rule, length) in Rule::ALL.into_iter().zip(lengths) {
            let found = search(rule);
            assert_eq!(found.loss.as_ref().map(Vec::len), length, "{}: {found:?}", rule.name);
            assert_eq!(rule.sound, length.is_none(), "{}", rule.name);
        }
    }

    #[test]
    fn the_shortest_loss_of_the_wave_alone_is_issue_27993() {
        let schedule: Vec<_> = search(Rule::NO_RECHECK).loss.unwrap().iter().map(Step::to_string).collect();
        let told = [
            "test: nobody works, the list is empty",
            "wave visits P0",
            "P0: mutator: r.field = nil",
            "P1: worker takes a",
            "P1: worker scans it",
            "wave visits P1",
            "stop the world",
        ];
        assert_eq!(schedule, told);
    }

    #[test]
    fn a_flush_behind_the_wave_leaves_a_grey_object_in_a_private_queue() {
        use {Object::*, Processor::*};
        let before = [Step::Test, Step::Visit(P0), Step::Cut(P0), Step::Flush(P0)];
        let after = [Step::Take(P1, A), Step::Scan(P1), Step::Visit(P1), Step::Stop];
        let rule = Rule::NO_RECHECK;
        let steps = before.into_iter().chain(after);
        let end = steps.fold(State::chain(rule), |state, step| state.after(rule, step).unwrap());
        assert!(end.too_early() && end.detector == Detector::Done);
        assert_eq!(end.marks, [Mark::Black, Mark::Private(P0), Mark::White]);
    }

    #[test]
    fn two_reads_lose_to_a_worker_that_takes_the_last_object_in_between() {
        let schedule = search(Rule::TWO_READS).loss.unwrap();
        assert!(
            matches!(
                schedule[..],
                [Step::ReadWorkers, Step::Take(p, Object::A), Step::ReadList, Step::Scan(q), Step::Stop] if p == q
            ),
            "{schedule:?}"
        );
    }

    #[test]
    fn what_is_published_behind_the_wave_is_missed_by_a_re_check_of_private_queues() {
        let schedule = search(Rule::PRIVATE_RECHECK).loss.unwrap();
        let behind = |step| schedule.iter().position(|other| *other == step);
        assert!(behind(Step::Visit(Processor::P0)) < behind(Step::Publish(Processor::P0)), "{schedule:?}");
    }

    #[test]
    fn the_full_re_check_is_sound_with_any_wave_and_the_wave_saves_stops() {
        let all = search(Rule::GO);
        assert_eq!(all, Found { states: 107_335, ends: 196, restarts: 1_300, loss: None });
        let two_reads = search(Rule { atomic_test: false, ..Rule::GO });
        assert_eq!(two_reads, Found { states: 143_348, ends: 210, restarts: 1_739, loss: None });
        let no_flush = search(Rule { wave: Wave::FlushBuffers, ..Rule::GO });
        assert_eq!(no_flush, Found { states: 142_562, ends: 240, restarts: 6_601, loss: None });
        let no_wave = search(Rule { wave: Wave::None, ..Rule::GO });
        assert_eq!(no_wave, Found { states: 40_977, ends: 231, restarts: 6_441, loss: None });
    }

    #[test]
    fn from_every_start_the_sound_rules_are_sound() {
        assert_eq!([Rule::SHARED, Rule::GO, Rule::ANNOUNCED].map(exhaust), [4_558, 304_629, 787_532]);
    }

    #[test]
    fn an_object_that_was_marked_and_not_announced_is_overlooked_by_who_answers_last() {
        use {Object::A, Processor::*};
        let schedule = search(Rule::UNANNOUNCED).loss.unwrap();
        assert!(schedule.contains(&Step::Shade(P1)) && !schedule.contains(&Step::Share(P1)), "{schedule:?}");
        // Announced, the same is noticed.
        let reads = [Step::ReadCount, Step::ReadList, Step::ReadWorkers, Step::Visit(P1)];
        let first = [Step::Cut(P0), Step::Take(P1, A), Step::Scan(P1)].into_iter().chain(reads);
        let rest = [Step::Send(P1), Step::Flush(P1), Step::Shade(P1), Step::Visit(P0), Step::ReadCount];
        let end =
            |rule| first.clone().chain(rest).fold(State::chain(rule), |state, step| state.after(rule, step).unwrap());
        assert!(end(Rule::UNANNOUNCED).too_early());
        assert_eq!(end(Rule::ANNOUNCED).detector, Detector::Idle);
    }

    #[test]
    fn marking_ends_once_the_mutators_rest() {
        let rule = Rule::GO;
        let first = State::chain(rule);
        let (mut seen, mut open, mut longest) = (BTreeSet::from([first]), Vec::from([first]), 0);
        while let Some(state) = open.pop() {
            open.extend(state.steps(rule).map(|(_, next)| next).filter(|next| seen.insert(*next)));
            let (mut at, mut length) = (state, 0);
            while at.detector != Detector::Done {
                // A worker that has something to do does it.
                let patience = |step: &Step| match step {
                    Step::Scan(_) => 0,
                    Step::Take(..) => 1,
                    Step::Stop => 2,
                    Step::Visit(_) => 3,
                    _ => 4,
                };
                let rest = |step: &Step| !matches!(step, Step::Load(_) | Step::Cut(_) | Step::Send(_));
                let steps = at.steps(rule).filter(|(step, _)| rest(step));
                at = steps.min_by_key(|(step, _)| patience(step)).expect("a step").1;
                length += 1;
            }
            longest = longest.max(length);
        }
        assert_eq!(longest, 15);
    }

    #[test]
    fn it_is_too_early_if_something_is_grey_or_reachable_and_white() {
        let over = State {
            fields: [Some(Object::B), None, None],
            registers: [Some(Object::A), None],
            marks: [Mark::Black, Mark::Black, Mark::White],
            detector: Detector::Done,
            ..State::chain(Rule::GO)
        };
        assert_eq!(over.reachable(), [true, true, false]);
        assert!(!over.too_early(), "c is garbage");
        for mark in [
            Mark::White,
            Mark::Private(Processor::P0),
            Mark::Flushed(Processor::P1),
            Mark::Shared,
            Mark::Hand(Processor::P0),
        ] {
            let left = State { marks: [Mark::Black, mark, Mark::White], ..over };
            assert!(left.too_early(), "{mark:?}");
            assert!(!State { detector: Detector::Quiet, ..left }.too_early(), "nothing is declared yet");
            let garbage = State { marks: [Mark::Black, Mark::Black, mark], ..over };
            assert_eq!(garbage.too_early(), mark.is_grey(), "{mark:?} garbage");
        }
    }
}
