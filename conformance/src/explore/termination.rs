//! Exploration of the [rules by which marking ends](heaplaw_reference::termination): every interleaving from one chain of
//! three objects, breadth first.

use heaplaw_reference::termination::{Rule, State, Step};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// What came of following a rule everywhere.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Different states seen.
    pub states: usize,
    /// Steps taken, to new states and to known ones.
    pub transitions: u64,
    /// The shortest schedule by which marking ends too early, if there is one.
    pub too_early: Option<Vec<Step>>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Follows a rule from the chain to the first state in which marking has ended too early, or to the last state.
pub fn follow(rule: Rule) -> Followed {
    let start = Instant::now();
    let first = State::chain(rule);
    let mut from: HashMap<State, Option<(State, Step)>> = HashMap::from([(first, None)]);
    let mut open = VecDeque::from([first]);
    let (mut transitions, mut too_early) = (0, None);
    while let Some(state) = open.pop_front() {
        if state.too_early() {
            too_early = Some(way(&from, state));
            break;
        }
        for (step, next) in state.steps(rule) {
            transitions += 1;
            from.entry(next).or_insert_with(|| {
                open.push_back(next);
                Some((state, step))
            });
        }
    }
    Followed { states: from.len(), transitions, too_early, elapsed: start.elapsed() }
}

/// The steps that led to a state.
fn way(from: &HashMap<State, Option<(State, Step)>>, to: State) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = to;
    while let Some(Some((before, step))) = from.get(&at) {
        steps.push(*step);
        at = *before;
    }
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_ends_too_early_or_never_as_it_says() {
        for rule in Rule::ALL {
            let followed = follow(rule);
            assert_eq!(followed.too_early.is_none(), rule.sound, "{}", rule.name);
            assert!(followed.elapsed > Duration::ZERO && followed.transitions >= followed.states as u64 - 1);
            let Some(steps) = followed.too_early else { continue };
            // The schedule replays.
            let end = steps.iter().try_fold(State::chain(rule), |state, step| state.after(rule, *step));
            assert!(end.is_some_and(|end| end.too_early()), "{}: {steps:?}", rule.name);
        }
    }

    #[test]
    fn every_state_is_seen_once_and_every_step_taken() {
        let followed = |name: &str| {
            let rule = Rule::ALL.into_iter().find(|rule| rule.name == name).expect("a rule");
            let followed = follow(rule);
            (followed.states, followed.transitions, followed.too_early.map(|steps| steps.len()))
        };
        assert_eq!(followed("shared"), (2_319, 11_448, None));
        assert_eq!(followed("no-wave"), (251, 478, Some(2)));
    }
}
