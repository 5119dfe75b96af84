//! Utilisation: how much of its time a mutator has for itself.
//!
//! The longest pause says little: ten short ones in a row are as bad as a long one. The *minimum mutator utilisation* (Cheng
//! and Blelloch 2001) says what a mutator gets in the worst window of a given length: a curve, from short windows, where a
//! pause may take everything, to long ones, where it approaches the collector's share.
//!
//! There is no time here but [work](heaplaw_reference::event::Event::Pause): each operation of a mutator is one unit in
//! which it runs, and a pause is so many units in which it does not. What other mutators do, and the collector beside
//! them, takes none of its time. So the figures compare designs and not machines. What is waited for in a full
//! collection is left out, as it is by the [laws](crate::law::pause).

use crate::reading::Reading;
use heaplaw_reference::op::{MUTATORS, Op};

/// The lengths of the windows, in units of work.
pub const WINDOWS: [usize; 6] = [4, 8, 16, 32, 64, 128];

/// What mutators had for themselves, over all programs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Utilisation {
    /// How many pauses there were.
    pub pauses: u64,
    /// How long the longest was.
    pub longest: u64,
    /// In the worst window of each length, how many units a mutator had for itself; `None` if no mutator was there for as
    /// long.
    least: [Option<usize>; WINDOWS.len()],
}

impl Utilisation {
    /// Counts what happened in a reading too.
    pub fn add(&mut self, reading: &Reading<'_>) {
        if reading.pauses.is_empty() {
            return;
        }
        self.pauses += reading.pauses.len() as u64;
        let longest = reading.pauses.iter().map(|pause| pause.units).max();
        self.longest = self.longest.max(longest.unwrap_or_default());
        for mutator in 0..MUTATORS {
            self.follow(&timeline(reading, mutator));
        }
    }

    /// Looks at every window of one mutator's time: whether it ran, in each unit.
    fn follow(&mut self, ran: &[bool]) {
        for (least, window) in self.least.iter_mut().zip(WINDOWS) {
            let Some(first) = ran.get(..window) else { continue };
            let mut units = first.iter().filter(|ran| **ran).count();
            let mut worst = units;
            for (entering, leaving) in ran[window..].iter().zip(ran) {
                units = units + usize::from(*entering) - usize::from(*leaving);
                worst = worst.min(units);
            }
            *least = Some(least.map_or(worst, |least| least.min(worst)));
        }
    }

    /// The curve: for each length of a window that some mutator was there for, the part of it that a mutator has at least.
    pub fn curve(&self) -> impl Iterator<Item = (usize, f64)> {
        let known = WINDOWS.into_iter().zip(self.least);
        known.filter_map(|(window, least)| Some((window, least? as f64 / window as f64)))
    }
}

/// A mutator's time: whether it ran, in each unit. A unit of a very long pause is as good as the next: of each, no more is
/// kept than the longest window is long.
fn timeline(reading: &Reading<'_>, mutator: u8) -> Vec<bool> {
    let longest = WINDOWS[WINDOWS.len() - 1];
    let mut ran = Vec::new();
    let mut pauses = reading.pauses.iter().peekable();
    for (at, moment) in reading.history.moments.iter().enumerate() {
        if matches!(moment.op, Op::Mutate { by, .. } if by.0 == mutator) {
            ran.push(true);
        }
        while let Some(pause) = pauses.next_if(|pause| pause.moment == at) {
            if pause.who.is_none_or(|who| who.0 == mutator) {
                let units = usize::try_from(pause.units).unwrap_or(longest).min(longest);
                ran.extend(std::iter::repeat_n(false, units));
            }
        }
    }
    // One that never ran has no utilisation.
    if ran.contains(&true) { ran } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drive::{InProcess, step},
        law::tests::history,
    };
    use heaplaw_reference::{
        heap::{Capability, Claims},
        machine::Machine,
        protocol::Protocol,
    };

    #[test]
    fn the_worst_window_is_found() {
        let mut utilisation = Utilisation::default();
        let ran: Vec<bool> = "xxx..xx.xxxxxxxxxxxx".chars().map(|unit| unit == 'x').collect();
        utilisation.follow(&ran);
        assert_eq!(utilisation.curve().collect::<Vec<_>>(), [(4, 0.5), (8, 0.625), (16, 13.0 / 16.0)]);
        utilisation.follow(&[true, false, false, false]);
        assert_eq!(utilisation.curve().next(), Some((4, 0.25)));
    }

    #[test]
    fn a_design_that_stops_the_world_leaves_less() {
        let births = "0 alloc r0 1\n0 store g0 r0\n".repeat(20);
        let story = format!("{births}gc start\ngc handshake 0\ngc mark 99\ngc finish\n{births}").parse();
        let story = story.expect("a program");
        let of = |protocol| {
            let mut subject = InProcess::new(|| Machine::new(protocol));
            let history = step::run(&mut subject, &story, step::Ending::Abrupt).expect("the machine starts");
            let mut utilisation = Utilisation::default();
            utilisation.add(&Reading::new(&history));
            utilisation
        };
        let (stopped, incremental) = (of(Protocol::STOP_THE_WORLD), of(Protocol::HYBRID));
        assert_eq!((stopped.pauses, incremental.pauses), (1, 3));
        assert_eq!((stopped.longest, incremental.longest), (4, 2), "one mutator, one root, the globals, one object");
        let short = |utilisation: &Utilisation| utilisation.curve().next().map(|(_, part)| part);
        assert_eq!((short(&stopped), short(&incremental)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn a_mutators_time_is_what_it_does_and_what_it_waits_for() {
        let ran = |mutator: u8, story: &str| {
            let claims = Claims::new("told").with(&[Capability::Pauses]);
            let history = history(claims, story);
            let time = timeline(&Reading::new(&history), mutator);
            time.iter().map(|ran| if *ran { 'x' } else { '.' }).collect::<String>()
        };
        let story = "0 safepoint\n1 join\ngc mark 1 => ok; pause 0 2\n0 safepoint\n1 safepoint => ok; pause all 3\n\
            0 safepoint => ok; pause 1 1\ngc full => ok; pause all 9";
        assert_eq!([ran(0, story), ran(1, story), ran(2, story)], ["x..x...x", "xx....", ""]);
        assert_eq!(ran(0, "0 safepoint => ok; pause 0 1000000").len(), 1 + 128, "no more than the longest window");
        let mut utilisation = Utilisation::default();
        let history = history(Claims::new("told").with(&[Capability::Pauses]), story);
        utilisation.add(&Reading::new(&history));
        utilisation.add(&Reading::new(&history));
        assert_eq!((utilisation.pauses, utilisation.longest), (6, 3));
        assert_eq!(utilisation.curve().collect::<Vec<_>>(), [(4, 0.0), (8, 3.0 / 8.0)]);
    }
}
