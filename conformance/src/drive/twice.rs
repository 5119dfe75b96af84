//! A program is run twice, on two fresh heaps, and the two histories are put side by side.
//!
//! Addresses are for the heap and the kernel to choose, and the identity of a weak pointer is often one of those. So two
//! histories count as the same if those of one can be renamed to those of the other, one to one: what is used again in
//! the first has to be used again in the second.

use super::{Failure, Subject, step};
use crate::history::{History, Moment, Twice};
use heaplaw_reference::{event::Event, heap::Reply, op::Program, text::answer};
use std::collections::HashMap;

/// Runs the program that led to `history` once more, and enters there what came of it.
///
/// # Errors
/// If the subject cannot even be reset.
pub fn second_run(
    subject: &mut dyn Subject,
    program: &Program,
    ending: step::Ending,
    history: &mut History,
) -> Result<(), Failure> {
    let second = step::run(subject, program, ending)?;
    history.twice = compared(&history.moments, &second.moments);
    Ok(())
}

fn compared(first: &[Moment], second: &[Moment]) -> Twice {
    let mut names = Names::default();
    let different = first.iter().zip(second).position(|(a, b)| !names.same_moment(a, b));
    let shorter = first.len().min(second.len());
    match different.or((first.len() != second.len()).then_some(shorter)) {
        None => Twice::Same,
        Some(at) => Twice::Different {
            // The second run may have gone on for longer.
            moment: at.min(first.len().saturating_sub(1)),
            then: second.get(at).map_or("nothing".to_owned(), |moment| answer::print(&moment.reply, &moment.events)),
        },
    }
}

/// A renaming, one to one.
#[derive(Default)]
struct Renaming {
    there: HashMap<u64, u64>,
    back: HashMap<u64, u64>,
}

impl Renaming {
    fn same(&mut self, a: u64, b: u64) -> bool {
        *self.there.entry(a).or_insert(b) == b && *self.back.entry(b).or_insert(a) == a
    }
}

/// What is called what in two histories.
#[derive(Default)]
struct Names {
    addresses: Renaming,
    weak: Renaming,
}

impl Names {
    fn same_moment(&mut self, a: &Moment, b: &Moment) -> bool {
        a.op == b.op
            && self.same_reply(&a.reply, &b.reply)
            && a.events.len() == b.events.len()
            && a.events.iter().zip(&b.events).all(|(a, b)| self.same_event(a, b))
    }

    fn same_reply(&mut self, a: &Reply, b: &Reply) -> bool {
        match (a, b) {
            (
                Reply::Born { at, usable, found, color },
                Reply::Born { at: at_b, usable: usable_b, found: found_b, color: color_b },
            ) => self.addresses.same(at.0, at_b.0) && (usable, found, color) == (usable_b, found_b, color_b),
            (Reply::Object(a), Reply::Object(b)) => self.addresses.same(a.0, b.0),
            (Reply::Weak(a), Reply::Weak(b)) => self.weak.same(*a, *b),
            // What it says may name an address.
            (Reply::Trap(_), Reply::Trap(_)) => true,
            _ => a == b,
        }
    }

    fn same_event(&mut self, a: &Event, b: &Event) -> bool {
        match (a, b) {
            (Event::Shade(a), Event::Shade(b))
            | (Event::Scan(a), Event::Scan(b))
            | (Event::Finalize(a), Event::Finalize(b))
            | (Event::Free(a), Event::Free(b)) => self.addresses.same(a.0, b.0),
            _ => a == b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(lines: &str) -> Vec<Moment> {
        let moment = |line: &str| {
            let (op, answer) = line.split_once(" => ").expect("an operation => an answer");
            let (reply, events) = answer::parse(answer).expect("an answer");
            Moment { op: op.parse().expect("an operation"), reply, events }
        };
        lines.lines().map(moment).collect()
    }

    const ONE: &str = "\
0 alloc r0 1 => at 4096 8 0
0 clear r0 => ok
gc full => ok; phase mark; globals; stack 0; phase terminate; phase sweep; free 4096; phase off
0 alloc r0 1 => at 4096 8 0";

    #[test]
    fn addresses_may_be_others() {
        assert_eq!(compared(&moments(ONE), &moments(ONE)), Twice::Same);
        assert_eq!(compared(&moments(ONE), &moments(&ONE.replace("4096", "64"))), Twice::Same);
    }

    #[test]
    fn an_address_that_is_used_again_has_to_be_used_again() {
        let other = ONE.replacen("=> at 4096", "=> at 64", 1).replace("free 4096", "free 64");
        let then = "at 4096 8 0".to_owned();
        assert_eq!(compared(&moments(ONE), &moments(&other)), Twice::Different { moment: 3, then });
    }

    #[test]
    fn whatever_else_is_different_counts() {
        for (part, other) in
            [("4096 8 0", "4096 16 0"), ("; stack 0; globals", "; globals; stack 0"), ("=> ok", "=> idle")]
        {
            let one = ONE.replace("; globals; stack 0", "; stack 0; globals");
            let different = compared(&moments(&one), &moments(&one.replacen(part, other, 1)));
            assert!(matches!(different, Twice::Different { .. }), "{part}");
        }
        let less = ONE.lines().next().expect("a line");
        let then = "nothing".to_owned();
        assert_eq!(compared(&moments(ONE), &moments(less)), Twice::Different { moment: 1, then });
        assert!(matches!(compared(&moments(less), &moments(ONE)), Twice::Different { moment: 0, .. }));
    }

    #[test]
    fn a_machine_does_the_same_twice_and_one_that_counts_its_lives_does_not() {
        use crate::drive::InProcess;
        use heaplaw_reference::{machine::Machine, protocol::Protocol};
        let program: Program =
            "0 alloc r0 1 8\n0 weak w0 r0\n0 strong r1 w0\n0 load r2 r0.0\ngc stats\n".parse().expect("one");
        let twice = |memory: [u64; 2]| {
            let mut lives = 0;
            let mut subject = InProcess::new(move || {
                lives += 1;
                Machine::with_memory(Protocol::HYBRID, memory[(lives - 1) % 2])
            });
            let mut history = step::run(&mut subject, &program, step::Ending::Abrupt).expect("it starts");
            second_run(&mut subject, &program, step::Ending::Abrupt, &mut history).expect("it starts again");
            history.twice
        };
        assert_eq!(twice([1 << 20, 1 << 20]), Twice::Same);
        assert!(matches!(twice([1 << 20, 8]), Twice::Different { moment: 0, .. }));
    }

    #[test]
    fn what_is_handed_out_may_have_another_name_but_always_the_same() {
        use heaplaw_reference::object::Address;
        let op = "gc full".parse().expect("an operation");
        let moments = |replies: &[Reply]| -> Vec<Moment> {
            replies.iter().map(|reply| Moment { op, reply: reply.clone(), events: Vec::new() }).collect()
        };
        let objects = |all: &[u64]| moments(&all.iter().map(|at| Reply::Object(Address(*at))).collect::<Vec<_>>());
        let weaks = |all: &[u64]| moments(&all.iter().map(|at| Reply::Weak(*at)).collect::<Vec<_>>());
        assert_eq!(compared(&objects(&[8, 16, 8]), &objects(&[24, 32, 24])), Twice::Same);
        assert!(matches!(compared(&objects(&[8, 16, 8]), &objects(&[24, 32, 32])), Twice::Different { moment: 2, .. }));
        assert_eq!(compared(&weaks(&[1, 2, 1]), &weaks(&[5, 4, 5])), Twice::Same);
        assert!(matches!(compared(&weaks(&[1, 2]), &weaks(&[5, 5])), Twice::Different { moment: 1, .. }));
    }

    #[test]
    fn what_a_trap_says_may_name_an_address() {
        let op = "gc full".parse().expect("an operation");
        let trap = |why: &str| vec![Moment { op, reply: Reply::Trap(why.to_owned()), events: Vec::new() }];
        let done = vec![Moment { op, reply: Reply::Done, events: Vec::new() }];
        assert_eq!(compared(&trap("at 8"), &trap("at 16")), Twice::Same);
        assert!(matches!(compared(&trap("at 8"), &done), Twice::Different { moment: 0, .. }));
    }
}
