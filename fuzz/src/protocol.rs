//! The target `protocol`: the bytes are what an adapter says, and the kit has to come to terms with it.
//!
//! No process is started: [`Process::over`] hears a script instead. A request that is written releases a line of the
//! script, so what is said comes when it is asked for, unless the script wants otherwise.
//!
//! ```text
//!   │ how many bytes arrive at once │ length │ decisions: a program │ script …
//! ```
//!
//! In the script, [`UNASKED`] after a line feed says that the next line comes along with the last; [`AGAIN`] and a number
//! repeat the byte before them so many times eight KiB, or an answer could never be too long.

use super::drawn;
use heaplaw_conformance::{
    campaign::{self, Counterexample},
    drive::{Failure, Planned, Subject, process::Process, step::Ending},
    law,
    report::text,
};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::Op,
    text::answer,
};
use std::{
    io::{self, Read, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The next line comes unasked.
pub const UNASKED: u8 = 0x1d;

/// The byte before is meant many times.
pub const AGAIN: u8 = 0x1c;

/// What a number after [`AGAIN`] counts, in bytes; and the most that it can be.
const STRETCH: (usize, usize) = (8 << 10, 160);

/// The longest that a failure may be in bytes when it is told.
const TOLD: usize = 1024;

/// Nothing here takes so long: who says nothing more has closed the stream.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever an adapter says, it is understood as it was said, or told in a message of bounded length; and laws say
/// something about it.
///
/// # Panics
/// If not.
pub fn protocol(bytes: &[u8]) {
    let (&[chunk, length], rest) = bytes.split_first_chunk().unwrap_or((&[0, 0], bytes));
    let (decisions, script) = rest.split_at(rest.len().min(length.into()));
    let program = drawn(decisions);
    let script = Script::new(script, 1 + usize::from(chunk) * usize::from(chunk));
    let lines = script.lines();

    let stage = Arc::new((Mutex::new(script), Condvar::new()));
    let (requests, answers) = (Requests(Arc::clone(&stage)), Answers(stage));
    let process = Process::over(requests, answers, PATIENCE).expect("room for two threads");
    let mut heard = Heard { process, said: Vec::new(), ahead: false };
    let laws: Vec<_> = law::all().collect();
    match campaign::judge(&mut heard, &program, Ending::Settle, &laws) {
        Err(failure) => told(&failure),
        Ok((history, judged)) => {
            if let Some((_, failure)) = &history.failure {
                told(failure);
            }
            if let Some(breach) = judged.breach {
                let found = Counterexample { breach, history, case: None };
                assert!(!text::counterexample(&found).is_empty());
            }
        }
    }

    // What was understood is what was said, in that order. Of what was sent ahead, some may have been passed over.
    let read = |line: &Vec<u8>| answer::parse(str::from_utf8(line).ok()?).ok();
    let mut said = lines.iter().skip(1);
    for (number, understood) in heard.said.iter().enumerate() {
        let found = if heard.ahead {
            said.any(|line| read(line).as_ref() == Some(understood))
        } else {
            // After the greeting, and the answer to the line that tells to start afresh.
            lines.get(number + 2).and_then(read).as_ref() == Some(understood)
        };
        assert!(found, "{understood:?} was never said, or not then");
    }
}

/// A failure is told in few words, none of which can do harm to a terminal.
fn told(failure: &Failure) {
    let text = failure.to_string();
    assert!(text.len() <= TOLD, "{} bytes: {text}", text.len());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!matches!(failure, Failure::Hung(_)), "who says nothing more has closed the stream");
}

/// What the adapter says, and when.
struct Script {
    bytes: Vec<u8>,
    /// Where each request's answer ends.
    ends: Vec<usize>,
    /// How many have been asked for, and how many bytes have been read.
    asked: usize,
    at: usize,
    chunk: usize,
    /// Whether nobody asks any more.
    closed: bool,
}

impl Script {
    fn new(written: &[u8], chunk: usize) -> Script {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut rest = written.iter().copied();
        let mut stretches = 0;
        while let Some(byte) = rest.next() {
            match byte {
                UNASKED if ends.last() == Some(&bytes.len()) => _ = ends.pop(),
                AGAIN => {
                    let (count, last) = (usize::from(rest.next().unwrap_or(0)), bytes.last().copied());
                    let count = count.min(STRETCH.1 - stretches);
                    stretches += count;
                    if let Some(last) = last.filter(|last| *last != b'\n') {
                        bytes.resize(bytes.len() + count * STRETCH.0, last);
                    }
                }
                byte => {
                    bytes.push(byte);
                    if byte == b'\n' {
                        ends.push(bytes.len());
                    }
                }
            }
        }
        // The end of the stream comes with the last answer, or instead of it.
        Script { bytes, ends, asked: 0, at: 0, chunk, closed: false }
    }

    /// All lines, without their ends.
    fn lines(&self) -> Vec<Vec<u8>> {
        self.bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// How far the stream goes for now, and whether it goes on.
    fn released(&self) -> (usize, bool) {
        match self.asked.checked_sub(1) {
            None => (0, true),
            Some(last) => self.ends.get(last).map_or((self.bytes.len(), false), |end| (*end, true)),
        }
    }
}

type Stage = Arc<(Mutex<Script>, Condvar)>;

fn on(stage: &Stage) -> MutexGuard<'_, Script> {
    stage.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The adapter's standard input.
struct Requests(Stage);

impl Write for Requests {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        on(&self.0).asked += lines.iter().filter(|byte| **byte == b'\n').count();
        self.0.1.notify_one();
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        on(&self.0).closed = true;
        self.0.1.notify_one();
    }
}

/// The adapter's standard output.
struct Answers(Stage);

impl Read for Answers {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut script = on(&self.0);
        loop {
            let (end, more) = script.released();
            if script.at < end {
                let count = (end - script.at).min(script.chunk).min(into.len());
                into[..count].copy_from_slice(&script.bytes[script.at..script.at + count]);
                script.at += count;
                return Ok(count);
            }
            if script.closed || !more {
                return Ok(0);
            }
            script = self.0.1.wait(script).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A subject, and what was understood of it.
struct Heard {
    process: Process,
    said: Vec<(Reply, Vec<Event>)>,
    /// Whether it was ever sent anything ahead, or started afresh.
    ahead: bool,
}

impl Subject for Heard {
    fn reset(&mut self) -> Result<Claims, Failure> {
        self.ahead |= !self.said.is_empty();
        self.process.reset()
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        let sent = self.process.ahead(plan);
        self.ahead |= sent;
        sent
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        let before = events.len();
        let reply = self.process.perform(op, events)?;
        self.said.push((reply.clone(), events[before..].to_vec()));
        Ok(reply)
    }
}
