//! A gauge: what a heap says of its pacing, when it is asked.
//!
//! A pacer is judged by what it went by: how large the heap was taken to be, how large it might become, when the last
//! cycle started and ended, who has worked how much. These are the numbers that Go prints with `gctrace` and
//! `gcpacertrace`, in one place and at any time. Sizes and scan work are in bytes, times in nanoseconds of CPU time.
//!
//! Nothing here is taken on trust: most of these numbers can be compared with what the program did, and the laws do.

macro_rules! gauge {
    ($($(#[$about:meta])* $field:ident $name:literal,)*) => {
        /// What a pacer goes by. What is said of *the cycle* is about the one that marks, or else the last one.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Gauge {
            $($(#[$about])* pub $field: u64,)*
        }

        impl Gauge {
            /// Shows each number with its name in the text form, in order.
            pub fn each(&self, mut show: impl FnMut(&'static str, u64)) {
                $(show($name, self.$field);)*
            }

            /// Makes a gauge of the numbers of these names, asked for in order.
            ///
            /// # Errors
            /// The first that `read` gives.
            pub fn read<E>(mut read: impl FnMut(&'static str) -> Result<u64, E>) -> Result<Gauge, E> {
                Ok(Gauge { $($field: read($name)?,)* })
            }
        }
    };
}

gauge! {
    /// Bytes that count as live: marked by the last cycle, or allocated since.
    live "live",
    /// How large the live heap should be at the end of a cycle's marking. The largest number there is, if collection is
    /// off and there is no limit.
    goal "goal",
    /// How large it is when the next cycle starts.
    trigger "trigger",
    /// Bytes of what the last cycle marked, and of what was born black while it did.
    marked "marked",
    /// Bytes of stacks and globals that it scanned.
    roots "roots",
    /// Bytes that wait to be swept.
    unswept "unswept",
    /// Bytes that were obtained and not given back: what the memory limit is about.
    mapped "mapped",
    /// Of these, bytes of the heap without objects.
    free "free",
    /// Of these, bytes of objects.
    used "used",
    /// Cycles that the trigger has started.
    by_trigger "by-trigger",
    /// Cycles that the memory limit has started.
    by_limit "by-limit",
    /// Cycles that the clock has started.
    by_time "by-time",
    /// Cycles that the program has asked for.
    by_hand "by-hand",
    /// The live bytes when the cycle started.
    started "started",
    /// The trigger then.
    due "due",
    /// The live bytes when its marking ended; 0 before it has.
    ended "ended",
    /// The goal then; 0 before it has.
    reached "reached",
    /// How many bytes it expected to scan.
    expected "expected",
    /// How many it has scanned.
    done "done",
    /// Bytes ever scanned by background workers.
    background "background",
    /// Bytes ever scanned by mutators that assist.
    assists "assists",
    /// Bytes ever scanned because the program said so, as by `gc mark`.
    told "told",
    /// What the mutator that owes most owes, in bytes of allocation.
    debt "debt",
    /// 1 while the limiter of the collector's CPU time forbids assists, else 0.
    limiting "limiting",
    /// How often the limiter has come on.
    limited "limited",
    /// Processors.
    processors "processors",
    /// CPU time of all of them since the heap was made.
    elapsed "elapsed",
    /// Of this, time spent by background workers and assists.
    collecting "collecting",
}

impl Gauge {
    /// Scan work ever done, by whomever.
    pub fn work(&self) -> u64 {
        self.background.saturating_add(self.assists).saturating_add(self.told)
    }

    /// Cycles ever started.
    pub fn cycles(&self) -> u64 {
        [self.by_trigger, self.by_limit, self.by_time, self.by_hand].into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_cycles_are_sums() {
        let gauge = Gauge {
            background: 1,
            assists: 20,
            told: 300,
            by_trigger: 4,
            by_limit: 50,
            by_time: 600,
            by_hand: 7000,
            ..Gauge::default()
        };
        assert_eq!((gauge.work(), gauge.cycles()), (321, 7654));
        let most = Gauge { told: u64::MAX, by_hand: u64::MAX, ..gauge };
        assert_eq!((most.work(), most.cycles()), (u64::MAX, u64::MAX));
    }
}
