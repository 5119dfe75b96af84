//! Play: one story under every barrier.
//!
//! The same operations are run by the reference machine under four designs, and for each there is a line that says how
//! it fared: what was lost and where the invariant had already been broken, or which shades saved it and what the design
//! pays for stacks.

use crate::{
    campaign::{Breach, judge},
    drive::{InProcess, step},
    history::History,
    law::Law,
    reading::Reading,
};
use heaplaw_reference::{
    event::Event,
    machine::Machine,
    object::ObjectId,
    op::{Op, Program},
    protocol::{Protocol, StackScan},
};

/// The designs, by their barrier.
const DESIGNS: [(&str, Protocol); 4] = [
    ("none", Protocol::NO_BARRIER),
    ("insertion", Protocol::INSERTION),
    ("deletion", Protocol::DELETION),
    ("hybrid", Protocol::HYBRID),
];

/// How a story ends under one design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The barrier's name.
    pub barrier: &'static str,
    /// Whether a reachable object was freed.
    pub lost: bool,
    /// The line that tells.
    pub told: String,
}

/// Plays a story under each design.
pub fn play(story: &Program) -> Vec<Ending> {
    DESIGNS.iter().map(|(barrier, protocol)| ending(barrier, *protocol, story)).collect()
}

fn ending(barrier: &'static str, protocol: Protocol, story: &Program) -> Ending {
    let first = |number: u16| {
        let laws: Vec<_> = Law::numbered(number).into_iter().collect();
        let mut subject = InProcess::new(|| Machine::new(protocol));
        match judge(&mut subject, story, step::Ending::Abrupt, &laws).ok()?.1.breach {
            Some(Breach::Law(_, witness)) => Some(witness),
            _ => None,
        }
    };
    let broken = first(53).or(first(54)).map(|witness| witness.moment + 1);
    let told = match first(51) {
        Some(witness) => {
            let before = broken.map_or(String::new(), |step| format!(" (invariant broken at step {step})"));
            format!("{} at step {}{before}", witness.why, witness.moment + 1)
        }
        None => {
            let mut subject = InProcess::new(|| Machine::new(protocol));
            let history = step::run(&mut subject, story, step::Ending::Abrupt);
            let shades = history.map(|history| shades(&history)).unwrap_or_default();
            let shades = if shades.is_empty() { "no store or hand-over shades".to_owned() } else { shades.join(", ") };
            // An invariant can be broken without loss, if the story ends too early or the luck is good.
            let luck = broken.map_or(String::new(), |step| format!(", but the invariant is broken at step {step}"));
            format!("nothing is lost{luck}: {shades}; {}", stacks(protocol.stacks))
        }
    };
    Ending { barrier, lost: first(51).is_some(), told }
}

/// What the mutators' operations shaded: "a shaded at step 7".
fn shades(history: &History) -> Vec<String> {
    let reading = Reading::new(history);
    let mut shades = Vec::new();
    for (at, moment, _) in reading.scenes() {
        if !matches!(moment.op, Op::Mutate { .. }) {
            continue;
        }
        for event in &moment.events {
            if let Event::Shade(address) = event {
                let object = reading.owner(*address, at).unwrap_or(ObjectId(0));
                shades.push(format!("{object} shaded at step {}", at + 1));
            }
        }
    }
    shades
}

fn stacks(scan: StackScan) -> &'static str {
    match scan {
        StackScan::Stopped => "no mutator runs while marking",
        StackScan::Snapshot | StackScan::SnapshotAllocating | StackScan::SnapshotSending => {
            "all stacks are scanned before anything is black"
        }
        StackScan::Once => "each stack is scanned once",
        StackScan::Rescan => "all stacks are scanned again at the end, with the world stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lost_object_is_lost_without_a_barrier_only() {
        let story = include_str!("../programs/hide-on-a-scanned-stack.heap").parse().expect("a story");
        let endings = play(&story);
        assert_eq!(endings.iter().map(|ending| ending.lost).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(endings[0].told.contains("(invariant broken at step "), "{}", endings[0].told);
        assert!(endings[1].told.contains("again at the end"), "{}", endings[1].told);
        assert!(endings[2].told.contains(" shaded at step "), "{}", endings[2].told);
        assert!(endings[3].told.contains(" shaded at step "), "{}", endings[3].told);
    }

    #[test]
    fn steps_are_those_of_the_story() {
        let story = include_str!("../programs/cut-by-overwriting.heap").parse().expect("a story");
        let told: Vec<_> = play(&story).into_iter().map(|ending| ending.told).collect();
        let rescan = "all stacks are scanned again at the end, with the world stopped";
        let expected = [
            "a is freed although a mutator can reach it at step 12 (invariant broken at step 9)".to_owned(),
            format!("nothing is lost: no store or hand-over shades; {rescan}"),
            "nothing is lost: a shaded at step 9; all stacks are scanned before anything is black".to_owned(),
            "nothing is lost: a shaded at step 9; each stack is scanned once".to_owned(),
        ];
        assert_eq!(told, expected);
        // It ends before the object is freed.
        let broken = "0 alloc r1 1\ngc start\ngc mark 1\n0 alloc r0 1\n0 store r0.0 r1\n0 clear r1\n";
        let told = &play(&broken.parse().expect("a story"))[0].told;
        let expected = "nothing is lost, but the invariant is broken at step 5: no store or hand-over shades; each stack is \
                        scanned once";
        assert_eq!(told, expected);
    }
}
