//! How long mutators are kept from running: laws 85 to 87.
//!
//! Time depends on the machine, so a pause is counted in [units of work](heaplaw_reference::event::Event::Pause): roots and
//! objects that are looked at, mutators that are told. A design that is incremental gives a bound for them in which the
//! heap does not occur, and the generator's heaps are of very different sizes: one in 150 programs links up hundreds of
//! objects, and a pause that grows with the heap is longer than these constants allow.
//!
//! What somebody waits for who has asked for a full collection is not judged.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    heap::Capability,
    op::{Action, Op},
};

/// What every pause may take, in units of work.
pub const ALWAYS: u64 = 16;

/// What a pause of the world may take for each mutator.
pub const EACH_MUTATOR: u64 = 4;

/// What a pause of one mutator may take for each of its roots that holds something.
pub const EACH_ROOT: u64 = 2;

/// What a pause of a mutator that allocates may take for each word that it asked for.
pub const EACH_WORD: u64 = 1;

const SEEN: Needs = Needs::of(&[Capability::Pauses, Capability::Incremental]);

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 85,
        name: "stop the world bounded",
        statement: "The world is stopped for at most 16 units of work and 4 for each mutator, however large the heap is.",
        needs: SEEN,
        judge: stop_the_world_bounded,
    },
    Law {
        number: 86,
        name: "pause bounded",
        statement: "A mutator is stopped for at most 16 units of work, 2 for each of its own roots and 1 for each word that it is allocating, however large the heap is.",
        needs: SEEN,
        judge: pause_bounded,
    },
    Law {
        number: 87,
        name: "progress",
        statement: "A mutator that only loads, stores, reads and writes is not stopped by what it does.",
        needs: SEEN,
        judge: progress,
    },
];

fn stop_the_world_bounded(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for pause in reading.pauses.iter().filter(|pause| pause.who.is_none()) {
        let bound = ALWAYS + EACH_MUTATOR * pause.mutators;
        check.that(pause.units <= bound, pause.moment, || {
            let (units, mutators) = (pause.units, pause.mutators);
            (format!("the world is stopped for {units} units, with {mutators} mutators for at most {bound}"), [])
        });
    }
    check.done()
}

fn pause_bounded(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for pause in &reading.pauses {
        let Some(who) = pause.who else { continue };
        let bound = ALWAYS + EACH_ROOT * pause.roots + EACH_WORD * pause.words;
        check.that(pause.units <= bound, pause.moment, || {
            let (units, roots) = (pause.units, pause.roots);
            (format!("mutator {who} is stopped for {units} units, with {roots} roots for at most {bound}"), [])
        });
    }
    check.done()
}

fn progress(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut pauses = reading.pauses.iter().peekable();
    for (at, moment, _) in reading.scenes() {
        let mut stopped = false;
        while let Some(pause) = pauses.next_if(|pause| pause.moment == at) {
            stopped |= match moment.op {
                Op::Mutate { by, .. } => pause.who.is_none_or(|who| who == by),
                _ => false,
            };
        }
        let Op::Mutate { by, action } = moment.op else { continue };
        if matches!(
            action,
            Action::Load { .. }
                | Action::Store { .. }
                | Action::Move { .. }
                | Action::Wipe(_)
                | Action::Copy { .. }
                | Action::Clear(_)
                | Action::Write(_)
                | Action::Read(_)
        ) {
            check.that(!stopped, at, || (format!("mutator {by} is stopped in the midst of `{}`", moment.op), []));
        }
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use super::{ALWAYS, EACH_MUTATOR, EACH_ROOT, EACH_WORD, LAWS};
    use crate::law::tests::told;

    #[test]
    fn the_laws_say_their_constants() {
        let says = |at: usize, words: &str| assert!(LAWS[at].statement.contains(words), "{words}");
        says(0, &format!("at most {ALWAYS} units of work and {EACH_MUTATOR} for each mutator"));
        says(1, &format!("at most {ALWAYS} units of work, {EACH_ROOT} for each"));
        says(1, &format!("{EACH_WORD} for each word"));
    }

    #[test]
    fn the_world_is_stopped_for_a_time_that_depends_on_mutators_alone() {
        let stopped = |before: &str, units: u64| told(85, "", &format!("{before}gc mark 1 => ok; pause all {units}"));
        assert_eq!([20, 21].map(|units| stopped("", units)), [Ok(1), Err(0)]);
        assert_eq!([24, 25].map(|units| stopped("1 join\n", units)), [Ok(1), Err(1)]);
        assert_eq!([24, 25].map(|units| stopped("1 join\n3 join\n3 exit\n", units)), [Ok(1), Err(3)]);
        assert_eq!(told(85, "", "gc full => ok; pause all 99"), Ok(0), "who asks for it wants to wait");
        assert_eq!(told(85, "", "gc mark 1 => ok; pause 0 99"), Ok(0));
        // One that comes or goes meanwhile counts.
        assert_eq!(
            ["1 join => ok; pause all 24", "1 join => ok; pause all 25"].map(|story| told(85, "", story)),
            [Ok(1), Err(0)]
        );
        assert_eq!(
            [24, 25].map(|units| told(85, "", &format!("1 join\n1 exit => ok; pause all {units}"))),
            [Ok(1), Err(1)]
        );
    }

    #[test]
    fn a_mutator_is_stopped_for_its_own_roots_and_words() {
        let three = "0 alloc r0 1 => at 64 8 0\n0 copy r1 r0\n0 copy r2 r0\n";
        let stopped = |op: &str, units: u64| told(86, "", &format!("{three}{op}; pause 0 {units}"));
        assert_eq!([22, 23].map(|units| stopped("gc mark 1 => ok", units)), [Ok(1), Err(3)]);
        assert_eq!([22, 23].map(|units| stopped("0 clear r0 => ok", units)), [Ok(1), Err(3)], "it had them");
        assert_eq!([24, 25].map(|units| stopped("0 copy r3 r0 => ok", units)), [Ok(1), Err(3)], "it has them");
        assert_eq!([25, 26].map(|units| stopped("0 alloc r0 2 8 => at 128 24 0", units)), [Ok(1), Err(3)]);
        assert_eq!([23, 24].map(|units| stopped("0 alloc r0 0 1 => at 128 24 0", units)), [Ok(1), Err(3)]);
        let other =
            |units: u64| told(86, "", &format!("{three}1 join\n1 alloc r0 0 80 => at 128 80 0; pause 0 {units}"));
        assert_eq!([22, 23].map(other), [Ok(1), Err(4)], "the words of another");
        assert_eq!(told(86, "", "gc mark 1 => ok; pause all 99"), Ok(0));
    }

    #[test]
    fn who_only_looks_and_stores_is_not_stopped() {
        let two = "0 alloc r0 1 => at 64 8 0\n1 join\n";
        let acts = |op: &str| told(87, "", &format!("{two}{op}"));
        for op in [
            "load r1 r0.0 => nil",
            "store r0.0 r0 => ok",
            "move r0.0 r0.0 1 => ok",
            "wipe r0.0 1 => ok",
            "copy r1 r0 => ok",
            "clear r0 => ok",
            "write r0 => ok",
            "read r0 => data 1",
        ] {
            assert_eq!(acts(&format!("0 {op}")), Ok(1), "{op}");
            assert_eq!(acts(&format!("0 {op}; pause 0 1")), Err(2), "{op}");
            assert_eq!(acts(&format!("0 {op}; pause all 1")), Err(2), "{op}");
            assert_eq!(acts(&format!("0 {op}; pause 0 1; pause 1 1")), Err(2), "{op}");
            assert_eq!(acts(&format!("0 {op}; pause 1 1")), Ok(1), "another is");
        }
        assert_eq!(acts("0 alloc r1 1 => at 72 8 0; pause 0 1"), Ok(0));
        assert_eq!(acts("gc mark 1 => ok; pause 0 1\n0 write r0"), Ok(1), "by the collector");
        assert_eq!(acts("gc mark 1 => ok; pause 0 1\n0 write r0 => ok; pause 0 1"), Err(3));
    }
}
