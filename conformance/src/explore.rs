//! Exploration: every interleaving of a small world.
//!
//! Testing draws some programs; exploration follows all of them, as long as the [world](heaplaw_reference::model) is
//! small. It goes breadth first from every beginning, so what it finds it finds by a shortest schedule. Threads share
//! the work: each owns a part of the states, by their hash; they expand their own and hand what they find to its owner.
//! The result does not depend on how many there are.
//!
//! A design is **lost** if marking can end while a mutator still reaches a white object. If the design names an
//! invariant, that is looked at in every state, which finds the same mistakes in fewer steps; it can be turned off, to
//! see the loss itself.

mod export;
mod schedule;
pub mod termination;

#[cfg(test)]
mod shortest;

pub use schedule::Schedule;

use heaplaw_reference::{
    heap::Invariant,
    model::{Scope, World},
    protocol::Protocol,
};
use std::{
    hint::black_box,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Exploration {
    /// The design.
    pub protocol: Protocol,
    /// How large worlds are.
    pub scope: Scope,
    /// Whether to look at the design's invariant in every state.
    pub invariant: bool,
    /// The most states to keep; about 30 bytes each.
    pub most_states: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every state was seen, and nothing is wrong.
    Exhausted,
    /// There is a state in which something is lost.
    Lost(Schedule),
    /// There is a state in which the invariant does not hold.
    Broken(Invariant, Schedule),
    /// There are more states than were to be kept. Nothing was wrong in those that were seen.
    TooLarge,
}

/// An exploration's result.
#[derive(Clone, Debug)]
pub struct Explored {
    /// What came of it.
    pub verdict: Verdict,
    /// Different states seen.
    pub states: usize,
    /// Steps taken, to new states and to known ones.
    pub transitions: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How many threads took part.
    pub threads: usize,
}

impl Explored {
    /// States seen in a second by each thread.
    pub fn states_per_second_and_thread(&self) -> f64 {
        self.states as f64 / self.elapsed.as_secs_f64().max(1e-9) / self.threads as f64
    }
}

/// How many states of the frontier a thread expands before it hands on what it has found.
const BATCH: usize = 1 << 15;

/// How many finds a thread remembers: few enough to stay in its core's cache.
const RECENT: usize = 1 << 15;

/// How many finds are looked up at once.
const LOOKED_UP: usize = 16;

/// A state that was found.
#[derive(Clone, Copy)]
struct Find {
    state: u128,
    hash: u64,
    /// Where it was found from.
    parent: u32,
}

/// One thread's part of the states.
struct Part {
    /// Packed, in the order in which they were found.
    states: Vec<u128>,
    /// Where each was first found from, as a state's number over all parts; itself if it is a beginning.
    parents: Vec<u32>,
    /// Open addressing: a state's index plus 1, or 0. Never more than half full.
    table: Vec<u32>,
    /// States that this part found not long ago, by their hash. It need not tell their owners again.
    recent: Vec<u128>,
    /// States from here on have not been expanded.
    frontier: usize,
    /// States of the next level start here.
    level: usize,
    transitions: u64,
}

fn hash(state: u128) -> u64 {
    // Multiply and fold, twice: every bit of the state reaches every bit of the hash.
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide >> 64) as u64 ^ wide as u64
    };
    let (low, high) = (state as u64, (state >> 64) as u64);
    fold(fold(low ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93) ^ high, 0xa076_1d64_78bd_642f)
}

impl Part {
    fn new() -> Part {
        Part {
            states: Vec::new(),
            parents: Vec::new(),
            table: vec![0; 1 << 10],
            // No state is zero: whoever is not there has a black stack.
            recent: vec![0; RECENT],
            frontier: 0,
            level: 0,
            transitions: 0,
        }
    }

    /// Adds a state; says its index if it is new.
    fn insert(&mut self, state: u128, hash: u64, parent: Option<u32>, number: impl Fn(usize) -> u32) -> Option<usize> {
        if (self.states.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(index) = self.table[at].checked_sub(1) {
            if self.states[index as usize] == state {
                return None;
            }
            at = (at + 1) & mask;
        }
        let index = self.states.len();
        self.table[at] = index as u32 + 1;
        self.states.push(state);
        self.parents.push(parent.unwrap_or_else(|| number(index)));
        Some(index)
    }

    /// Brings what is going to be compared into the cache, for several states at once: waiting for memory one after the
    /// other is what takes the time.
    fn look_up(&self, finds: &[Find]) {
        let mask = self.table.len() - 1;
        let mut entries = [0; LOOKED_UP];
        for (entry, find) in entries.iter_mut().zip(finds) {
            *entry = self.table[find.hash as usize & mask];
        }
        let found = entries.iter().filter_map(|entry| self.states.get(entry.wrapping_sub(1) as usize));
        black_box(found.fold(0, |all, state| all ^ state));
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        self.table = vec![0; mask + 1];
        for (index, state) in self.states.iter().enumerate() {
            let mut at = hash(*state) as usize & mask;
            while self.table[at] != 0 {
                at = (at + 1) & mask;
            }
            self.table[at] = index as u32 + 1;
        }
    }
}

/// The part that owns a state: by the high bits of its hash, since the table uses the low ones.
fn owner(hash: u64, parts: usize) -> usize {
    (hash >> 48) as usize % parts
}

impl Exploration {
    /// Follows every step from every beginning, on as many threads as there are cores.
    pub fn run(&self) -> Explored {
        self.run_on(thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// As [`Exploration::run`], on so many threads.
    ///
    /// # Panics
    /// If the scope is larger than a world, or there are no threads.
    pub fn run_on(&self, threads: usize) -> Explored {
        assert!(self.scope.fits() && threads > 0, "{:?} on {threads} threads", self.scope);
        let start = Instant::now();
        let mut parts: Vec<Part> = (0..threads).map(|_| Part::new()).collect();
        let mut wrong = None;
        for world in self.scope.beginnings(&self.protocol) {
            let state = world.pack();
            let hash = hash(state);
            let part = owner(hash, threads);
            let number = |index| (index * threads + part) as u32;
            if let Some(index) = parts[part].insert(state, hash, None, number)
                && self.is_wrong(&world)
            {
                wrong = first(wrong, Some((state, number(index))));
            }
        }
        let verdict = loop {
            if let Some((_, state)) = wrong {
                if threads > 1 {
                    // Of several shortest ways threads find now this one, now that. One thread always finds the same.
                    return self.run_on(1);
                }
                break self.explain(&parts, state);
            }
            if parts.iter().map(|part| part.states.len()).sum::<usize>() > self.most_states {
                break Verdict::TooLarge;
            }
            for part in &mut parts {
                part.level = part.states.len();
            }
            if parts.iter().all(|part| part.frontier == part.level) {
                break Verdict::Exhausted;
            }
            wrong = self.expand_level(&mut parts);
        };
        Explored {
            verdict,
            states: parts.iter().map(|part| part.states.len()).sum(),
            transitions: parts.iter().map(|part| part.transitions).sum(),
            elapsed: start.elapsed(),
            threads,
        }
    }

    fn is_wrong(&self, world: &World) -> bool {
        let invariant = self.protocol.invariant.filter(|_| self.invariant);
        invariant.is_some_and(|invariant| !world.upholds(invariant)) || world.lost(&self.protocol).is_some()
    }

    /// Expands all states of one level; gives the least of what is wrong among the states that were found.
    fn expand_level(&self, parts: &mut [Part]) -> Option<(u128, u32)> {
        let threads = parts.len();
        let mut wrong = None;
        while parts.iter().any(|part| part.frontier < part.level) {
            let found: Vec<Vec<Vec<Find>>> = thread::scope(|scope| {
                let expand = |(at, part): (usize, &mut Part)| self.expand(part, at, threads);
                let running: Vec<_> =
                    parts.iter_mut().enumerate().map(|part| scope.spawn(move || expand(part))).collect();
                running.into_iter().map(|thread| thread.join().expect("a step does not panic")).collect()
            });
            let found = &found;
            let news = thread::scope(|scope| {
                let take_in = |(at, part): (usize, &mut Part)| self.take_in(part, at, threads, found);
                let running: Vec<_> =
                    parts.iter_mut().enumerate().map(|part| scope.spawn(move || take_in(part))).collect();
                let outcomes = running.into_iter().map(|thread| thread.join().expect("a check does not panic"));
                outcomes.fold(None, first)
            });
            wrong = first(wrong, news);
        }
        wrong
    }

    /// Expands the next batch of a part; what is found is sorted by owner.
    fn expand(&self, part: &mut Part, at: usize, threads: usize) -> Vec<Vec<Find>> {
        let mut found = vec![Vec::new(); threads];
        let end = part.level.min(part.frontier + BATCH);
        for index in part.frontier..end {
            let parent = (index * threads + at) as u32;
            let world = World::unpack(part.states[index]);
            world.each_next(&self.protocol, self.scope, |state| {
                part.transitions += 1;
                let hash = hash(state);
                let recent = &mut part.recent[hash as usize % RECENT];
                if *recent != state {
                    *recent = state;
                    found[owner(hash, threads)].push(Find { state, hash, parent });
                }
            });
        }
        part.frontier = end;
        found
    }

    /// Takes in what all threads found for this part.
    fn take_in(&self, part: &mut Part, at: usize, threads: usize, found: &[Vec<Vec<Find>>]) -> Option<(u128, u32)> {
        let mut wrong = None;
        let number = |index| (index * threads + at) as u32;
        for finds in found.iter().flat_map(|by_owner| by_owner[at].chunks(LOOKED_UP)) {
            part.look_up(finds);
            for Find { state, hash, parent } in finds.iter().copied() {
                if let Some(index) = part.insert(state, hash, Some(parent), number)
                    && self.is_wrong(&World::unpack(state))
                {
                    wrong = first(wrong, Some((state, number(index))));
                }
            }
        }
        wrong
    }

    /// The way to a state in which something is wrong.
    fn explain(&self, parts: &[Part], state: u32) -> Verdict {
        let threads = parts.len();
        let mut way = Vec::new();
        let mut at = state;
        loop {
            let (part, index) = (&parts[at as usize % threads], at as usize / threads);
            way.push(part.states[index]);
            if part.parents[index] == at {
                break;
            }
            at = part.parents[index];
        }
        way.reverse();
        let beginning = World::unpack(way[0]);
        let mut now = beginning;
        let mut steps = Vec::new();
        for state in &way[1..] {
            let mut next = None;
            now.without_garbage().each_named_step(&self.protocol, self.scope, |step, world| {
                if next.is_none() && world.pack_canonical() == *state {
                    next = Some((step, world));
                }
            });
            let (step, world) = next.expect("each state was found by a step");
            steps.push((step, world));
            now = world;
        }
        let schedule = Schedule { beginning, steps };
        match self.protocol.invariant.filter(|invariant| self.invariant && !now.upholds(*invariant)) {
            Some(invariant) => Verdict::Broken(invariant, schedule),
            None => Verdict::Lost(schedule),
        }
    }
}

/// The lesser of two finds, so that the result does not depend on the order in which threads come.
fn first(a: Option<(u128, u32)>, b: Option<(u128, u32)>) -> Option<(u128, u32)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::protocol::{Alphabet, TABLE};

    fn explored(protocol: Protocol, scope: Scope, invariant: bool, threads: usize) -> Explored {
        Exploration { protocol, scope, invariant, most_states: 10_000_000 }.run_on(threads)
    }

    const SMALL: Scope = Scope::new(3, 1, 1, 2);

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        for protocol in [Protocol::HYBRID, Protocol::INSERTION_WITHOUT_RESCAN] {
            let results: Vec<_> = (1..4)
                .map(|threads| {
                    let explored = explored(protocol, SMALL, false, threads);
                    (explored.states, explored.transitions, format!("{:?}", explored.verdict))
                })
                .collect();
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        }
    }

    #[test]
    fn a_bound_is_not_mistaken_for_safety() {
        let exploration = Exploration { protocol: Protocol::HYBRID, scope: SMALL, invariant: true, most_states: 100 };
        assert!(matches!(exploration.run_on(1).verdict, Verdict::TooLarge));
    }

    #[test]
    fn every_design_of_the_table_meets_its_fate() {
        for row in TABLE {
            // What needs a second mutator has one; the registers are cut down to keep it small.
            let scope = match row.id {
                "X8" | "X11" | "X15" | "J1" | "J2" => Scope::new(3, 1, 2, 1),
                _ => SMALL,
            };
            let scope = scope.with(row.alphabet);
            for invariant in [false, true] {
                let lost = match explored(row.protocol, scope, invariant, 2).verdict {
                    Verdict::Exhausted => false,
                    Verdict::Lost(_) | Verdict::Broken(..) => true,
                    Verdict::TooLarge => panic!("{} is too large", row.id),
                };
                assert_eq!(lost, !row.protocol.sound, "{} {} (invariant: {invariant})", row.id, row.protocol.name);
            }
        }
    }

    #[test]
    fn what_is_sound_is_so_whatever_else_happens() {
        let scope = Scope::new(2, 1, 2, 1).with(Alphabet::ALL);
        let designs = [Protocol::STOP_THE_WORLD, Protocol::INSERTION, Protocol::DELETION, Protocol::HYBRID];
        for protocol in designs {
            let explored = explored(protocol, scope, true, 2);
            assert!(matches!(explored.verdict, Verdict::Exhausted), "{}", protocol.name);
            assert!(explored.states > 2_000, "{}: {}", protocol.name, explored.states);
        }
    }

    #[test]
    fn as_many_states_as_there_are_may_be_kept() {
        let scope = Scope::new(2, 1, 1, 1);
        let run =
            |most_states| Exploration { protocol: Protocol::HYBRID, scope, invariant: true, most_states }.run_on(1);
        let states = run(1_000_000).states;
        assert!(matches!(run(states).verdict, Verdict::Exhausted), "{states}");
        assert!(matches!(run(states - 1).verdict, Verdict::TooLarge), "{states}");
        let fast = Explored {
            verdict: Verdict::Exhausted,
            states: 3_000,
            transitions: 0,
            elapsed: Duration::from_millis(500),
            threads: 2,
        };
        assert_eq!(fast.states_per_second_and_thread(), 3_000.0);
    }
}
