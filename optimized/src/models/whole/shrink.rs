//! A failure made small: program and schedule together, as each of them means little without the other.
//!
//! Smaller is, in this order: fewer operations, fewer switches away from a thread that could have gone on, fewer steps. A
//! program without one of its operations is run with the same turns, which are followed leniently; if it does not fail then,
//! with a fixed number of schedules drawn anew. Turns are left out, or joined with the next of the same thread. What a run
//! was in the end is what is kept, so what is kept can be repeated exactly.
//!
//! Nothing here is left to chance or to a clock: the same failure always becomes the same.

use super::{
    Failure,
    program::Program,
    replay, run,
    schedule::{Chooser, Turn},
};
use std::sync::Arc;

/// The schedules that are drawn for a program that has lost an operation.
const DRAWN: usize = 150;

fn size(failure: &Failure) -> (usize, usize, usize) {
    (failure.program.len(), failure.track.switches, failure.track.steps)
}

/// The failure, as small as it gets by leaving out any one thing.
pub(super) fn shrink(found: &Failure) -> Failure {
    let mut best = found.clone();
    loop {
        let before = size(&best);
        fewer_operations(&mut best);
        fewer_turns(&mut best);
        if size(&best) == before {
            return best;
        }
    }
}

fn keep(best: &mut Failure, found: Option<Failure>) -> bool {
    match found {
        Some(found) if size(&found) < size(best) => {
            *best = found;
            true
        }
        _ => false,
    }
}

fn fewer_operations(best: &mut Failure) {
    let mut at = 0;
    while at < best.program.len() {
        let program = Arc::new(best.program.without(at));
        let left = lighter(&program);
        if !keep(best, replay(&left, best.twin, best.track.turns.clone())) && !keep(best, drawn(&left, best)) {
            at += 1;
        }
    }
}

/// Without what an operation left behind: lanes that do nothing, at the end.
fn lighter(program: &Arc<Program>) -> Arc<Program> {
    let mut program = Program::clone(program);
    while program.lanes.last().is_some_and(Vec::is_empty) {
        program.lanes.pop();
    }
    Arc::new(program)
}

fn drawn(program: &Arc<Program>, best: &Failure) -> Option<Failure> {
    [Chooser::Random, Chooser::Pct(3)]
        .into_iter()
        .find_map(|chooser| run(program, best.twin, chooser, 1, DRAWN, false).failure)
}

fn fewer_turns(best: &mut Failure) {
    // All that are left when the failure has happened, then half of them, and so on down to one.
    let mut some = best.track.turns.len().next_power_of_two();
    while some > 0 {
        let mut at = 0;
        while at < best.track.turns.len() {
            let turns = &best.track.turns;
            let end = (at + some).min(turns.len());
            let without: Vec<Turn> = turns[..at].iter().chain(&turns[end..]).copied().collect();
            if !keep(best, replay(&best.program, best.twin, without)) {
                at += some;
            }
        }
        some /= 2;
    }
    // A turn that waits until the next of the same thread.
    let mut at = 0;
    while at + 2 < best.track.turns.len() {
        let mut turns = best.track.turns.clone();
        let later = (at + 1..turns.len()).find(|later| turns[*later].0 == turns[at].0);
        if let Some(later) = later {
            let (_, steps) = turns.remove(later);
            turns[at].1 += steps;
            if keep(best, replay(&best.program, best.twin, turns)) {
                continue;
            }
        }
        at += 1;
    }
}
