//! Answers: what any heap answers to a story, so that it can be compared without the kit.
//!
//! Each line of an answers file is an operation and, as a comment, its answer: so it is a program itself, and compares
//! with `diff`. What heaps may do differently is left out: addresses, sizes, colours and events. Objects are called `a`,
//! `b`, `c` by their births, weak pointers 1, 2, 3 as they turn up.
//!
//! ```text
//! # heaplaw answers 1
//! 0 alloc r0 1 8           # at a 0
//! 0 alloc r1 0 16          # at b 0
//! 0 store r0.0 r1          # ok
//! gc start
//! 0 load r2 r0.0           # ref b
//! ```
//!
//! No answer is given where more than one is right: to the single steps of a cycle (what a step is, and whether anything
//! was left to do, is the heap's business), to `gc stats` unless everything has just been collected, and to `alloc` while
//! the environment may refuse memory. Whatever else an answers file says is what any heap answers that performs the
//! operation and has memory, with two exceptions: a weak pointer to an object that no mutator can reach may find it, or
//! nil; and if several objects wait for their finalizers, or several arguments for their cleanups, any may come first.
//!
//! `adapters/answers.awk` does the same for whoever has no kit.

use crate::history::History;
use heaplaw_reference::{
    heap::Reply,
    object::{Address, ObjectId},
    op::{Action, Collect, Environment, Op, Program},
    text::answer,
};
use std::{collections::HashMap, fmt::Write};

/// The first line of an answers file. Its number changes if the same answers would be written otherwise.
pub const HEADER: &str = "# heaplaw answers 1\n";

/// The answers file of a program, as a history has it. An operation that was not performed has no answer.
pub fn of(program: &Program, history: &History) -> String {
    let mut moments = history.moments.iter().peekable();
    let answered = program.ops().iter().map(|op| {
        // Operations are left out, but never moved.
        let moment = moments.next_if(|moment| moment.op == *op);
        (*op, moment.map(|moment| &moment.reply))
    });
    beside(answered)
}

/// The answers file of these operations and replies.
pub fn beside<'r>(answered: impl Iterator<Item = (Op, Option<&'r Reply>)>) -> String {
    let mut text = HEADER.to_owned();
    let mut writer = Writer::default();
    for (op, reply) in answered {
        let (line, said) = (op.to_string(), reply.and_then(|reply| writer.said(&op, reply)));
        // Writing to memory does not fail.
        let _ = match said {
            Some(said) => writeln!(text, "{line:<24} # {said}"),
            None => writeln!(text, "{line}"),
        };
    }
    text
}

/// What has to be remembered from one answer to the next.
#[derive(Default)]
struct Writer {
    births: u32,
    born: HashMap<Address, ObjectId>,
    weak: Vec<u64>,
    failing: bool,
    collected: bool,
}

impl Writer {
    /// What is said of an answer; nothing if another one would be right as well.
    fn said(&mut self, op: &Op, reply: &Reply) -> Option<String> {
        let collected = std::mem::replace(&mut self.collected, *op == Op::Collect(Collect::Full));
        let alloc = matches!(op, Op::Mutate { action: Action::Alloc { .. }, .. });
        let said = match reply {
            Reply::Born { at, found, .. } => {
                let id = ObjectId(self.births);
                self.born.insert(*at, id);
                let found = answer::print(&Reply::Data(*found), &[]);
                format!("at {id} {}", found.trim_start_matches("data "))
            }
            Reply::Object(at) => self.born.get(at).map_or_else(|| "ref ?".to_owned(), |id| format!("ref {id}")),
            Reply::Weak(identity) => {
                let known = self.weak.iter().position(|known| known == identity);
                let number = known.unwrap_or_else(|| {
                    self.weak.push(*identity);
                    self.weak.len() - 1
                });
                format!("weak {}", number + 1)
            }
            Reply::Stats { objects, .. } => format!("stats {objects}"),
            reply => answer::print(reply, &[]),
        };
        self.births += u32::from(alloc);
        match op {
            Op::Environment(Environment::Fail(request)) => self.failing = *request > 0,
            Op::Collect(Collect::Full) => {}
            Op::Collect(Collect::Stats) if collected => {}
            Op::Collect(_) => return None,
            Op::Mutate { .. } if alloc && self.failing => return None,
            _ => {}
        }
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers file of a transcript: each line an operation, `>` and its raw answer.
    fn written(transcript: &[&str]) -> String {
        let parsed: Vec<(Op, Reply)> = transcript
            .iter()
            .map(|line| {
                let (op, reply) = line.split_once(" > ").expect("an operation and its answer");
                (op.parse().expect("an operation"), answer::parse(reply).expect("an answer").0)
            })
            .collect();
        beside(parsed.iter().map(|(op, reply)| (*op, Some(reply)))).replacen(HEADER, "", 1)
    }

    #[test]
    fn objects_and_weak_pointers_are_named_as_they_turn_up() {
        let transcript = [
            "0 alloc r0 0 16 > at 4096 16 0; free 64",
            "0 alloc r1 0 16 > full",
            "0 alloc r1 0 16 > at 64 16 torn@3 black",
            "0 weak w0 r1 > weak 70",
            "0 weak w1 r0 > weak 7",
            "0 weak w2 r1 > weak 70",
            "0 strong r2 w0 > ref 64",
            "0 strong r2 w0 > ref 65",
            "0 read r2 > trap what, me",
        ];
        let said = ["at a 0", "full", "at c torn@3", "weak 1", "weak 2", "weak 1", "ref c", "ref ?", "trap what, me"];
        let text = written(&transcript);
        assert_eq!(text.lines().map(|line| line.split_once("# ").expect("an answer").1).collect::<Vec<_>>(), said);
        assert_eq!(text.parse::<Program>().expect("a program").len(), transcript.len());
    }

    #[test]
    fn nothing_is_said_where_two_answers_are_right() {
        let transcript = [
            "gc start > ok; phase mark",
            "gc stats > stats 3 48",
            "gc full > ok",
            "gc stats > stats 2 32",
            "gc stats > stats 2 32",
            "env fail 1 > ok",
            "0 alloc r0 1 > full",
            "env fail 0 > ok",
            "0 alloc r0 1 > full",
            "gc abort > idle",
        ];
        let expected = "gc start\ngc stats\ngc full                  # ok\ngc stats                 # stats 2\ngc stats\n\
                        env fail 1               # ok\n0 alloc r0 1\nenv fail 0               # ok\n\
                        0 alloc r0 1             # full\ngc abort\n";
        assert_eq!(written(&transcript), expected);
    }
}
