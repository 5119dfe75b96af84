//! The address space: what was asked of the kernel.
//!
//! Getting memory is two things: the right to addresses, and pages behind them. Kernels let one have the first without
//! the second, so a heap can reserve far more than it uses and keep what belongs together together. Every byte of the
//! address space is in one of four states:
//!
//! ```text
//!   None ──reserve──▶ Reserved ──map──▶ Prepared ──use──▶ Ready
//!     ▲                  ▲                  ▲──── unuse ────│ │
//!     │                  └──────────────── fault ───────────┘ │
//!     ├──────────────────────── free, from any ───────────────┤
//!     └──────────────────────── allocate ────────────────────▶┘
//! ```
//!
//! * **None**: somebody else's, or nobody's. **Reserved**: ours, and touching it faults. **Prepared**: may be touched as
//!   far as the kernel is concerned, but what it holds is lost: zeroes, or what was there before. **Ready**: memory.
//! * *use* may be asked for a mixture of Prepared and Ready, and says how much was Prepared.
//! * *free* gives back exactly what one *reserve* or *allocate* was granted, and never a part of it.
//!
//! The books are kept here in the simplest way, a map of every boundary; and a step that is not legal is refused, where a
//! kernel would do something worse.
//!
//! This chapter grounds laws 2, 44 and 45. Source: Go's `mem.go` and `mem_linux.go`.
//!
//! ```
//! use heaplaw_reference::place::address::{AddressSpace, State, Step};
//! let mut space = AddressSpace::default();
//! space.perform(Step::Reserve, 0x10000, 0x8000)?;
//! space.perform(Step::Map, 0x10000, 0x4000)?;
//! space.perform(Step::Use, 0x10000, 0x2000)?;
//! assert_eq!(space.perform(Step::Use, 0x10000, 0x3000)?, 0x1000, "2 pages of 3 were in use before");
//! assert_eq!((space.bytes(State::Prepared), space.bytes(State::Ready)), (0x1000, 0x3000));
//! assert!(space.perform(Step::Use, 0x14000, 0x1000).is_err(), "it was never mapped");
//! # Ok::<(), heaplaw_reference::place::address::Refused>(())
//! ```

use alloc::collections::BTreeMap;

/// The bytes of the kernel's pages. Whatever is asked of it is a multiple of that.
pub const KERNEL_PAGE: u64 = 4 << 10;

/// What an address is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: it is not ours.
    None,
    /// It is kept for us, and cannot be touched.
    Reserved,
    /// It can be made ready without fail, and holds nothing.
    Prepared,
    /// It is memory.
    Ready,
}

/// What the kernel is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep addresses for us.
    Reserve,
    /// Give us memory, wherever. For the heap's own records.
    Allocate,
    /// Let reserved addresses be memory when they are touched.
    Map,
    /// We are going to touch it.
    Use,
    /// We shall not touch it for a while.
    Unuse,
    /// Let touching it fault. For debugging.
    Fault,
    /// Take it back.
    Free,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 7] =
        [Step::Reserve, Step::Allocate, Step::Map, Step::Use, Step::Unuse, Step::Fault, Step::Free];

    /// Whether it may be asked for addresses in this state.
    pub fn is_legal_in(self, state: State) -> bool {
        match self {
            Step::Reserve | Step::Allocate => state == State::None,
            Step::Map => state == State::Reserved,
            Step::Use => matches!(state, State::Prepared | State::Ready),
            Step::Unuse | Step::Fault => state == State::Ready,
            Step::Free => state != State::None,
        }
    }

    /// The state that it leads to.
    pub fn leads_to(self) -> State {
        match self {
            Step::Reserve | Step::Fault => State::Reserved,
            Step::Allocate | Step::Use => State::Ready,
            Step::Map | Step::Unuse => State::Prepared,
            Step::Free => State::None,
        }
    }

    /// The system call on Linux.
    pub fn call(self) -> &'static str {
        match self {
            Step::Reserve => "mmap(PROT_NONE, MAP_ANON | MAP_PRIVATE)",
            Step::Allocate => "mmap(PROT_READ | PROT_WRITE, MAP_ANON | MAP_PRIVATE)",
            Step::Map => "mmap(PROT_READ | PROT_WRITE, MAP_ANON | MAP_FIXED | MAP_PRIVATE)",
            Step::Use => "none",
            Step::Unuse => "madvise(MADV_DONTNEED)",
            Step::Fault => "mprotect(PROT_NONE), madvise(MADV_DONTNEED)",
            Step::Free => "munmap",
        }
    }
}

/// Why a step is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is for no byte, for a part of a kernel page, or does not end within the address space.
    Range,
    /// This address is in a state in which the step is not legal.
    State(u64, State),
    /// It was not granted as a whole.
    Part,
}

/// The state of every address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSpace {
    /// The state from each boundary to the next; before the first, none.
    boundaries: BTreeMap<u64, State>,
    /// What was granted and not given back, from start to length.
    granted: BTreeMap<u64, u64>,
}

impl AddressSpace {
    /// The state of an address.
    pub fn state(&self, at: u64) -> State {
        self.boundaries.range(..=at).next_back().map_or(State::None, |(_, state)| *state)
    }

    /// The parts of a range that are in one state each: start, length and state.
    fn parts(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64, State)> + '_ {
        let inner = self.boundaries.range(start..end).map(|(at, _)| *at).filter(move |at| *at > start);
        let starts = core::iter::once(start).chain(inner.clone());
        starts.zip(inner.chain([end])).map(|(from, to)| (from, to - from, self.state(from)))
    }

    /// How many bytes are in a state other than none.
    ///
    /// # Panics
    /// For [`State::None`]: the rest of the address space is not counted.
    pub fn bytes(&self, state: State) -> u64 {
        assert_ne!(state, State::None, "what is not ours is not counted");
        let end = self.boundaries.last_key_value().map_or(0, |(end, _)| *end);
        self.parts(0, end).filter(|(_, _, found)| *found == state).map(|(_, length, _)| length).sum()
    }

    /// Whether a range may be touched.
    pub fn is_ready(&self, start: u64, length: u64) -> bool {
        self.parts(start, start + length).all(|(_, _, state)| state == State::Ready)
    }

    /// Performs a step, and says how many bytes changed their state.
    ///
    /// # Errors
    /// If it is not legal. Nothing has changed then.
    pub fn perform(&mut self, step: Step, start: u64, length: u64) -> Result<u64, Refused> {
        let whole = length > 0 && start.is_multiple_of(KERNEL_PAGE) && length.is_multiple_of(KERNEL_PAGE);
        let end = start.checked_add(length).filter(|_| whole).ok_or(Refused::Range)?;
        if let Some((at, _, state)) = self.parts(start, end).find(|(_, _, state)| !step.is_legal_in(*state)) {
            return Err(Refused::State(at, state));
        }
        if step == Step::Free && self.granted.get(&start) != Some(&length) {
            return Err(Refused::Part);
        }
        let next = step.leads_to();
        let changed = self.parts(start, end).filter(|(_, _, state)| *state != next).map(|(_, length, _)| length).sum();
        let after = self.state(end);
        self.boundaries.retain(|at, _| !(start..end).contains(at));
        self.boundaries.extend([(start, next), (end, after)]);
        match step {
            Step::Reserve | Step::Allocate => _ = self.granted.insert(start, length),
            Step::Free => _ = self.granted.remove(&start),
            _ => {}
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dice;
    use alloc::{vec, vec::Vec};

    /// Law 44.
    #[test]
    fn only_the_published_transitions_are_legal() {
        use State::{None, Prepared, Ready, Reserved};
        let states = [None, Reserved, Prepared, Ready];
        let edges = Step::ALL.map(|step| {
            let from: Vec<_> = states.into_iter().filter(|state| step.is_legal_in(*state)).collect();
            (step, from, step.leads_to())
        });
        let published = [
            (Step::Reserve, vec![None], Reserved),
            (Step::Allocate, vec![None], Ready),
            (Step::Map, vec![Reserved], Prepared),
            (Step::Use, vec![Prepared, Ready], Ready),
            (Step::Unuse, vec![Ready], Prepared),
            (Step::Fault, vec![Ready], Reserved),
            (Step::Free, vec![Reserved, Prepared, Ready], None),
        ];
        assert_eq!(edges, published);
        assert!(!edges.iter().any(|(_, from, to)| from.contains(&Reserved) && *to == Ready), "mapped first");
    }

    /// Laws 2, 44 and 45, against a list of pages.
    #[test]
    fn every_page_is_in_the_state_that_its_steps_led_to() {
        let (mut dice, mut space, mut pages) = (Dice(44), AddressSpace::default(), [State::None; 40]);
        let mut legal = [0; 7];
        for _ in 0..20_000 {
            let number = dice.below(7) as usize;
            let step = Step::ALL[number];
            let (mut start, mut length) = (dice.below(36), 1 + dice.below(4));
            if step == Step::Free && dice.below(4) > 0 && !space.granted.is_empty() {
                let granted = space.granted.iter().nth(dice.below(space.granted.len() as u64) as usize).unwrap();
                (start, length) = (granted.0 / KERNEL_PAGE, granted.1 / KERNEL_PAGE);
            }
            let range = start as usize..(start + length) as usize;
            let before = space.clone();
            let Ok(changed) = space.perform(step, start * KERNEL_PAGE, length * KERNEL_PAGE) else {
                let whole =
                    step != Step::Free || before.granted.get(&(start * KERNEL_PAGE)) == Some(&(length * KERNEL_PAGE));
                assert!(!whole || !pages[range].iter().all(|state| step.is_legal_in(*state)), "{step:?}");
                assert_eq!(space, before, "a refusal changes nothing");
                continue;
            };
            legal[number] += 1;
            assert!(pages[range.clone()].iter().all(|state| step.is_legal_in(*state)));
            let others = pages[range.clone()].iter().filter(|state| **state != step.leads_to()).count() as u64;
            assert_eq!(changed, others * KERNEL_PAGE);
            pages[range].fill(step.leads_to());
            for (page, state) in (0..).zip(pages) {
                assert_eq!(space.state(page * KERNEL_PAGE + 100), state);
                assert_eq!(space.is_ready(page * KERNEL_PAGE, KERNEL_PAGE), state == State::Ready);
            }
            for state in [State::Reserved, State::Prepared, State::Ready] {
                let count = pages.iter().filter(|found| **found == state).count() as u64;
                assert_eq!(space.bytes(state), count * KERNEL_PAGE);
            }
        }
        assert!(legal.iter().all(|count| *count > 100), "{legal:?}");
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let mut space = AddressSpace::default();
        let page = KERNEL_PAGE;
        let odd = [(0, 0), (1, page), (page, page - 1), (0u64.wrapping_sub(page), 2 * page)];
        odd.into_iter()
            .for_each(|(at, length)| assert_eq!(space.perform(Step::Reserve, at, length), Err(Refused::Range)));
        space.perform(Step::Reserve, page, 4 * page).unwrap();
        assert_eq!(space.perform(Step::Free, page, 2 * page), Err(Refused::Part));
        assert_eq!(space.perform(Step::Free, 2 * page, 3 * page), Err(Refused::Part));
        assert_eq!(space.perform(Step::Reserve, 4 * page, page), Err(Refused::State(4 * page, State::Reserved)));
        assert_eq!(space.perform(Step::Free, page, 4 * page), Ok(4 * page));
    }

    #[test]
    fn every_step_but_use_is_a_call() {
        let silent: Vec<_> = Step::ALL.into_iter().filter(|step| step.call() == "none").collect();
        assert_eq!(silent, [Step::Use]);
    }

    #[test]
    fn what_was_given_back_is_no_grant_any_more() {
        let mut space = AddressSpace::default();
        let page = KERNEL_PAGE;
        space.perform(Step::Reserve, 2 * page, page).unwrap();
        space.perform(Step::Free, 2 * page, page).unwrap();
        space.perform(Step::Reserve, page, 4 * page).unwrap();
        assert_eq!(space.perform(Step::Free, 2 * page, page), Err(Refused::Part), "it is a part of another grant");
    }
}
