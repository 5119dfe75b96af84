//! Statistics: counted, not estimated.
//!
//! Slots are counted as allocated when a mutator gets them into a window, a word at a time; what windows still hold is
//! subtracted when somebody asks.

use crate::{
    class::{LARGE, class as class_of},
    events::Listener,
    geometry::PAGE,
    span::Kind,
    state::State,
};
use std::{fmt, time::Duration};

/// How much of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects allocated and not yet freed. [Tiny objects](crate::Config::tiny) that share a block count as one.
    pub objects: usize,
    /// Their usable bytes: size classes and whole pages, not what was asked for.
    pub bytes: usize,
    /// Bytes of the pages that hold them.
    pub in_use: usize,
    /// Bytes of memory taken from the OS.
    pub mapped: usize,
    /// Of these, bytes that have no memory behind them: free, and never touched or given back to the OS.
    pub released: usize,
}

/// What is known of a cycle whose marking is over. Shown as a line, it has the fields of Go's `gctrace` in their order.
/// Nothing is ever stopped here, so the first and the last time are those of rounds in which each mutator is told
/// something.
///
/// ```
/// use heaplaw_optimized::{Config, Heap};
/// let heap = Heap::new(Config::default())?;
/// heap.collect();
/// let line = heap.last_cycle().expect("there was one").to_string();
/// // gc 1 @0.000s 0%: 0.003+0.011+0.002 ms clock, 0.003+0.000/0.000/0.000+0.002 ms cpu, 0->0->0 MB, 4 MB goal,
/// // 0 MB stacks, 0 MB globals, 2 P (forced)
/// assert!(line.starts_with("gc 1 @") && line.ends_with(" P (forced)"));
/// # Ok::<(), heaplaw_optimized::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cycle {
    /// Which one it is, counted from 1.
    pub number: u64,
    /// When it began, after the heap was made.
    pub began: Duration,
    /// How long it took until every mutator had heard that marking begins.
    pub arming: Duration,
    /// How long objects were marked.
    pub marking: Duration,
    /// How long it took until every mutator had heard that marking was over.
    pub releasing: Duration,
    /// CPU time in which mutators paid for what they allocated.
    pub assists: Duration,
    /// CPU time in which others marked, within a quarter of all.
    pub background: Duration,
    /// And beyond that: time of processors for which mutators had no use, it is assumed.
    pub idle: Duration,
    /// The part of all CPU time since the heap was made that was spent marking by workers and mutators that paid.
    pub share: f64,
    /// The bytes that counted as live when it began.
    pub before: usize,
    /// The bytes that counted as live when marking was over.
    pub after: usize,
    /// The bytes of them that were found alive, or are new.
    pub alive: usize,
    /// The bytes that should have counted as live at most when marking was over; `usize::MAX` if that was left open.
    pub goal: usize,
    /// The bytes of stacks that were scanned.
    pub stacks: usize,
    /// The bytes of globals that were scanned.
    pub globals: usize,
    /// How many processors there are.
    pub processors: usize,
    /// How many workers there are.
    pub workers: usize,
    /// Whether the program asked for it.
    pub forced: bool,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let [arming, marking, releasing] = [self.arming, self.marking, self.releasing].map(milliseconds);
        let [assists, background, idle] = [self.assists, self.background, self.idle].map(milliseconds);
        let [before, after, alive, goal] = [self.before, self.after, self.alive, self.goal].map(|bytes| bytes >> 20);
        let (number, began, share) = (self.number, self.began.as_secs_f64(), (self.share * 100.0) as u64);
        let forced = if self.forced { " (forced)" } else { "" };
        write!(f, "gc {number} @{began:.3}s {share}%: {arming:.3}+{marking:.3}+{releasing:.3} ms clock, ")?;
        write!(f, "{arming:.3}+{assists:.3}/{background:.3}/{idle:.3}+{releasing:.3} ms cpu, ")?;
        write!(f, "{before}->{after}->{alive} MB, {goal} MB goal, {} MB stacks, ", self.stacks >> 20)?;
        write!(f, "{} MB globals, {} P{forced}", self.globals >> 20, self.processors)
    }
}

macro_rules! metrics {
    ($($(#[doc = $about:literal])+ $field:ident,)*) => {
        /// What a heap is doing, as numbers to be watched: bytes, nanoseconds and counts. What is said of *the cycle* is
        /// about the one that marks, or else the last one. Shown, a line for each, as Prometheus reads them.
        ///
        /// ```
        /// use heaplaw_optimized::{Config, Heap};
        /// let metrics = Heap::new(Config::default())?.metrics();
        /// assert!(metrics.to_string().contains("heaplaw_goal 4194304\n"));
        /// # Ok::<(), heaplaw_optimized::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[doc = $about])+ pub $field: u64,)*
        }

        impl Metrics {
            /// Shows each number with its name and what it is.
            pub fn each(&self, mut show: impl FnMut(&'static str, &'static str, u64)) {
                $(show(stringify!($field), concat!($($about),+).trim_ascii_start(), self.$field);)*
            }
        }
    };
}

metrics! {
    /// Bytes that count as live: found alive by the last cycle, or claimed by mutators since.
    live,
    /// How large the live heap should be at most when marking ends; the largest number there is, if that is left open.
    goal,
    /// How large it is when the next cycle starts.
    trigger,
    /// Bytes that the last cycle found alive.
    marked,
    /// Bytes of stacks and globals that it scanned.
    roots,
    /// Bytes of spans that wait to be swept.
    unswept,
    /// Bytes of memory behind pages, as the pacer last saw them: what a soft limit is about.
    mapped,
    /// Of these, bytes of free pages.
    free,
    /// Of these, bytes of slots that were allocated.
    used,
    /// Cycles that the trigger has started.
    by_trigger,
    /// Cycles that a soft limit has started.
    by_limit,
    /// Cycles that the clock has started.
    by_time,
    /// Cycles that the program has asked for.
    by_hand,
    /// The live bytes when the cycle started.
    started,
    /// The trigger then.
    due,
    /// The live bytes when its marking ended; 0 before it has.
    ended,
    /// The goal then; 0 before it has.
    reached,
    /// How many bytes it expected to scan.
    expected,
    /// How many it has scanned.
    done,
    /// Bytes ever scanned in the background.
    background,
    /// Bytes ever scanned by mutators that paid.
    assists,
    /// Bytes ever scanned because the program said so.
    told,
    /// What the mutator that owes most owes, in bytes of allocation.
    debt,
    /// 1 while the collector has had so much time that nobody has to pay, else 0.
    limiting,
    /// How often that began.
    limited,
    /// Processors.
    processors,
    /// CPU time of all of them since the heap was made, in nanoseconds.
    elapsed,
    /// Of this, time spent marking in the background and by mutators that paid.
    collecting,
    /// Objects allocated and not yet freed.
    objects,
    /// Their usable bytes.
    bytes,
    /// Bytes of the pages that they are in.
    in_use,
    /// Bytes of free pages that were taken from the OS, with memory behind them or not.
    idle,
    /// Of these, bytes without memory behind them.
    released,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        self.each(|name, about, value| {
            written = written.and_then(|()| writeln!(f, "# HELP heaplaw_{name} {about}\nheaplaw_{name} {value}"));
        });
        written
    }
}

/// What there is of one kind of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// The usable bytes of each; 0 for objects that have pages of their own.
    pub size: usize,
    /// Whether they have no pointer fields.
    pub pointer_free: bool,
    /// Pages that are set aside for them.
    pub pages: usize,
    /// Objects allocated and not yet freed.
    pub objects: usize,
    /// Their usable bytes.
    pub bytes: usize,
}

impl<L: Listener> State<L> {
    pub(crate) fn stats(&self) -> Stats {
        let (mut objects, mut bytes) = self.space.allocated();
        for local in self.mutators() {
            for window in local.windows() {
                if let Some(first) = window.span() {
                    let left = window.left().1.count_ones() as usize;
                    objects = objects.saturating_sub(left);
                    bytes = bytes.saturating_sub(left * self.space.span(first).size());
                }
            }
        }
        let pages = self.space.pages();
        let (in_use, mapped, released) = (pages.in_use() * PAGE, pages.mapped() * PAGE, pages.released() * PAGE);
        Stats { objects, bytes, in_use, mapped, released }
    }

    /// What there is of each kind of which there are pages.
    pub(crate) fn classes(&self) -> Vec<Class> {
        let mut classes = vec![Class::default(); Kind::COUNT];
        // Others are at work: a span may end while it is looked at, and another begin in its place.
        let kind_of = |first: usize| self.space.spans().kind_at(first);
        for span in self.space.spans_from(0) {
            let Some(kind) = kind_of(span.first()) else { continue };
            let (live, size) = (span.slots().saturating_sub(span.room().free()), span.size());
            let class = &mut classes[kind.number()];
            class.size = if kind.class == LARGE { 0 } else { class_of(kind.class).size };
            class.pointer_free = kind.pointer_free;
            class.pages += span.pages();
            class.objects += live;
            class.bytes += live * size;
        }
        for local in self.mutators() {
            for window in local.windows() {
                if let Some(first) = window.span()
                    && let Some(kind) = kind_of(first)
                {
                    let (span, left) = (self.space.span(first), window.left().1.count_ones() as usize);
                    let class = &mut classes[kind.number()];
                    class.objects = class.objects.saturating_sub(left);
                    class.bytes = class.bytes.saturating_sub(left * span.size());
                }
            }
        }
        classes.retain(|class| class.pages > 0);
        classes
    }
}

/// What is known of the cycle that runs, and of the last whose marking is over.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) cycle: Cycle,
    pub(crate) over: Option<Cycle>,
}
