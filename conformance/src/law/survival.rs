//! That objects stay: laws 51, 52 and 57.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    heap::{Capability, Invariant, Reply},
    op::Op,
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 51,
        name: "reachable never freed",
        statement: "An object that a mutator can reach is never freed.",
        needs: Needs::NOTHING,
        judge: reachable_never_freed,
    },
    Law {
        number: 52,
        name: "sound termination",
        statement: "When marking ends, nothing that is reachable is white.",
        needs: Needs::of(&[Capability::Phases, Capability::Colors]),
        judge: sound_termination,
    },
    Law {
        number: 57,
        name: "allocate black",
        statement: "An object that is born while marking survives the cycle.",
        needs: Needs::of(&[Capability::Phases, Capability::Frees])
            .upholding(&[Invariant::Weak, Invariant::ModifiedWeak]),
        judge: allocate_black,
    },
];

/// With reported frees the law is checked at each of them and for all that exists; without, whenever a mutator uses an
/// object. A trap is a heap's own word that an object is gone.
fn reachable_never_freed(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, id) in &reading.frees {
        let lost = reading.reachable(*id, *at);
        check.that(!lost, *at, || (format!("{id} is freed although a mutator can reach it"), [*id]));
    }
    for (at, moment, _) in reading.scenes() {
        if let Op::Mutate { .. } = moment.op {
            let trap = match &moment.reply {
                Reply::Trap(why) => Some(why),
                _ => None,
            };
            check.that(trap.is_none(), at, || {
                (format!("the heap itself says that something is gone: {}", trap.map_or("", String::as_str)), [])
            });
        }
    }
    check.done()
}

fn sound_termination(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(marked) = cycle.marked else { continue };
        match cycle.lost.first() {
            None => check.held(),
            Some(id) => check.failed(marked, format!("marking ends with {id} white and reachable"), [*id]),
        }
    }
    check.done()
}

fn allocate_black(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        let Some(cycle) = life.marking.and_then(|cycle| reading.cycles.get(cycle)) else { continue };
        // Freed in this cycle's sweep, or even before; what is freed by hand is nobody's mistake.
        let by_itself = |freed: &usize| reading.frees.contains(&(*freed, id));
        let Some(freed) = life.freed.filter(by_itself) else {
            check.held();
            continue;
        };
        let survived = cycle.swept.is_some_and(|swept| freed > swept);
        // A full collection finishes one cycle and runs another in one operation.
        let another = reading.cycles.iter().any(|later| later.start > life.born && later.start <= freed);
        check.that(survived || another, freed, || {
            (format!("{id} was born while marking and is freed by the sweep of that same cycle"), [id])
        });
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    const CLAIMS: &str = "frees phases invariant=weak";

    /// An object is born while marking, and then this happens.
    fn born_while_marking(then: &str) -> Result<u64, usize> {
        told(57, CLAIMS, &format!("gc start => ok; phase mark\n0 alloc r0 0 16 => at 64 16 0\n{then}"))
    }

    #[test]
    fn what_is_born_while_marking_may_be_freed_by_hand_and_by_nobody_else() {
        let story = "gc start => ok; phase mark\n0 alloc r0 0 16 => at 64 16 0\n0 free r0";
        assert_eq!(told(57, "free frees phases invariant=weak", story), Ok(1));
        assert_eq!(born_while_marking(""), Ok(1), "it is there");
        assert_eq!(born_while_marking("gc finish => ok; phase terminate; phase sweep; free 64"), Err(2));
    }

    #[test]
    fn what_is_born_while_marking_outlives_the_sweep_of_its_cycle() {
        let ends = "gc finish => ok; phase terminate; phase sweep";
        assert_eq!(born_while_marking(&format!("{ends}\ngc sweep 9 => ok; free 64; phase off")), Err(3));
        assert_eq!(born_while_marking(&format!("{ends}; phase off\ngc sweep 9 => ok; free 64")), Ok(1), "later");
        let full = "gc full => ok; phase terminate; phase sweep; phase off; phase mark; phase terminate; phase sweep";
        assert_eq!(born_while_marking(&format!("{full}; free 64; phase off")), Ok(1), "by the next cycle");
        // The cycle that begins with the birth is not a later one.
        let first = "0 alloc r0 0 16 => at 64 16 0 black; phase mark\n";
        assert_eq!(told(57, CLAIMS, &format!("{first}{ends}; free 64")), Err(1));
    }

    #[test]
    fn a_trap_is_a_heaps_own_word_that_something_is_gone() {
        let story = |answer| format!("0 alloc r0 0 16 => at 64 16 0\n0 read r0 => {answer}\ngc full => trap no");
        assert_eq!(told(51, "", &story("data 1")), Ok(2));
        assert_eq!(told(51, "", &story("trap gone")), Err(1));
    }

    #[test]
    fn what_is_freed_may_not_be_reachable() {
        let story = |held| format!("0 alloc r0 0 16 => at 64 16 0\n0 {held} r0\ngc full => ok; free 64");
        assert_eq!(told(51, "frees", &story("read")), Err(2));
        assert_eq!(told(51, "frees", &story("clear")), Ok(3));
    }
}
