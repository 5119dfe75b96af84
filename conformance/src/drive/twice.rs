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
}
