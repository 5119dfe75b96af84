//! `heaplaw serve`: a bundled heap as an adapter.
//!
//! It speaks the [text form](heaplaw_reference::text) on standard input and output, like any adapter, and claims `batch`:
//! answers wait in a buffer for as long as there is more to read. So a heap of this command can be judged from outside,
//! by any version of the kit, under any tool that wraps a process; and a heap that takes the process with it when it
//! breaks does so in a process of its own. Comments and empty lines are skipped, so a counterexample can be piped in.

use super::{Bundled, Exit, Trouble};
use crate::drive::{InProcess, Subject};
use clap::Args;
use heaplaw_reference::{
    heap::Reply,
    op::Op,
    text::{
        ParseError,
        answer::{self, BATCH, HELLO, RESET},
    },
};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

#[derive(Args)]
pub(super) struct Options {
    /// The heap (see `heaplaw heaps`)
    heap: String,
}

/// Why serving ended before its input did.
enum Stop {
    /// The other end has gone away, and wants nothing more.
    Gone,
    /// Nothing that could be an operation was said.
    Usage(String),
    /// The heap failed to answer.
    Failed(Exit, String),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Stop::Gone
    }
}

pub(super) fn run(options: &Options, heaps: &[Bundled]) -> Result<Exit, Trouble> {
    let heap = super::bundled(heaps, &options.heap)?;
    let mut subject = InProcess::new(&*heap.make);
    match serve(&mut subject, io::stdin().lock(), io::stdout().lock()) {
        Ok(()) | Err(Stop::Gone) => Ok(Exit::Conforms),
        Err(Stop::Usage(why)) => Err(Trouble::Usage(why)),
        Err(Stop::Failed(exit, why)) => {
            anstream::eprintln!("heaplaw: {why}");
            Ok(exit)
        }
    }
}

/// Answers each line of `requests` with one on `answers`.
fn serve(subject: &mut dyn Subject, requests: impl Read, answers: impl Write) -> Result<(), Stop> {
    let failed = |failure| Stop::Failed(Exit::of(&failure), failure.to_string());
    let claims = subject.reset().map_err(failed)?;
    let (mut requests, mut answers) = (BufReader::with_capacity(1 << 16, requests), BufWriter::new(answers));
    let (mut line, mut number, mut events) = (String::new(), 0, Vec::new());
    loop {
        // Whoever waits for an answer has sent nothing more.
        if requests.buffer().is_empty() {
            answers.flush()?;
        }
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        let answer = match line.split('#').next().unwrap_or_default().trim() {
            "" => continue,
            HELLO => format!("{} {BATCH}", answer::print_claims(&claims)),
            RESET => {
                subject.reset().map_err(failed)?;
                answer::print(&Reply::Done, &[])
            }
            request => {
                let op = request.parse::<Op>().map_err(|error| {
                    let ParseError { column, message, .. } = error;
                    Stop::Usage(format!("line {number}, column {column} of standard input: {message}"))
                });
                let op = op.inspect_err(|_| _ = answers.flush())?;
                events.clear();
                let reply = subject.perform(&op, &mut events).map_err(failed);
                // What was answered before is evidence.
                answer::print(&reply.inspect_err(|_| _ = answers.flush())?, &events)
            }
        };
        writeln!(answers, "{answer}")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::{machine::Machine, protocol::Protocol};

    fn answers(requests: &str) -> (String, Result<(), String>) {
        let mut said = Vec::new();
        let mut subject = InProcess::new(|| Machine::new(Protocol::STOP_THE_WORLD));
        let end = serve(&mut subject, requests.as_bytes(), &mut said).map_err(|stop| match stop {
            Stop::Gone => "gone".to_owned(),
            Stop::Usage(why) | Stop::Failed(_, why) => why,
        });
        (String::from_utf8(said).expect("text"), end)
    }

    #[test]
    fn every_line_is_answered_and_comments_are_not() {
        let (said, end) = answers("hello\nreset\n# a story\n\n0 alloc r0 1   # a\n0 read r0\nreset\n0 load r1 g0");
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].starts_with("heap stop-the-world ") && lines[0].ends_with(" batch"), "{said}");
        assert_eq!(lines[1..], ["ok", "at 4096 8 0", "data 0", "ok", "nil"]);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn what_is_no_operation_ends_it_with_its_place() {
        let (said, end) = answers("0 alloc r0 1\n\n0 dance r0\n0 read r0\n");
        assert_eq!(said, "at 4096 8 0\n");
        assert!(end.is_err_and(|why| why.starts_with("line 3, column 3 of standard input: expected ")));
    }
}
