//! A subject in another process: any program that reads the text form and answers it, line by line.
//!
//! ```text
//!                 ┌── one line at a time, the next only when the last is answered ──┐
//!   Process ──────┤                                                                 ├──▶ child (leader of its group)
//!                 └── answers ◀─ reading thread ◀─ at most a line ahead ◀───────────┘      │
//!                       post-mortem ◀─ draining thread ◀─ the end of its standard error ◀──┘
//! ```
//!
//! The other side of the pipe is under test and may do anything, so nothing is taken for granted:
//!
//! * There is one deadline for a whole answer. Sending a byte now and then does not put it off.
//! * Memory is bounded. An answer has at most [`LONGEST`] bytes, the reading thread is at most a line ahead of the driver
//!   (then the pipe fills, and a child that floods it has to wait), and only the last words on standard error are kept.
//! * What the child has said without having been asked is a [`Failure::Garbled`], not the answer to the next question.
//! * A child that failed is killed with its whole process group, and reaped. The next [`Subject::reset`] starts another.

use super::{Failure, Subject};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::Op,
    text::{
        ParseError,
        answer::{self, HELLO, RESET},
    },
};
use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The longest answer in bytes, without its line feed.
pub const LONGEST: usize = 1 << 20;

/// How many bytes, and how many lines, of the end of standard error are kept.
const LAST_WORDS: (usize, usize) = (4096, 20);

/// How long a child that has closed its output may take to end, and its last words to arrive.
const GRACE: Duration = Duration::from_millis(500);

/// A [`Subject`] that is a command of its own, and speaks the [text form](heaplaw_reference::text).
///
/// ```no_run
/// use heaplaw_conformance::drive::{Failure, Subject, process::Process};
/// use std::time::Duration;
///
/// let mut heap = Process::new(["python3", "conformance/adapters/heap.py"], Duration::from_secs(2));
/// println!("judging {}", heap.reset()?.name);
/// # Ok::<(), Failure>(())
/// ```
pub struct Process {
    command: Vec<String>,
    timeout: Duration,
    /// The child and what it claims, unless it has yet to be started or has failed.
    running: Option<(Peer, Claims)>,
}

impl Process {
    /// A subject that is this program with these arguments, and has `timeout` for each answer. It is started by the
    /// first [`Subject::reset`].
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>, timeout: Duration) -> Self {
        Process { command: command.into_iter().map(Into::into).collect(), timeout, running: None }
    }

    /// The id of the child if one is running, for those who want to watch it with tools of their own.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|(peer, _)| peer.child.id())
    }
}

impl Subject for Process {
    fn reset(&mut self) -> Result<Claims, Failure> {
        // A peer that fails on the way is dropped, and so killed.
        let (mut peer, claims) = match self.running.take() {
            Some(running) => running,
            None => {
                let mut peer = Peer::start(&self.command)?;
                let claims = peer.ask(HELLO, self.timeout, answer::parse_claims)?;
                (peer, claims)
            }
        };
        peer.ask(RESET, self.timeout, |line| match answer::parse(line)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(ParseError { line: 1, column: 1, message: "expected ok".to_owned() }),
        })?;
        self.running = Some((peer, claims.clone()));
        Ok(claims)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        let Some((mut peer, claims)) = self.running.take() else {
            return Err(Failure::Crashed("it has failed before and was not reset".to_owned()));
        };
        let (reply, happened) = peer.ask(&op.to_string(), self.timeout, answer::parse)?;
        self.running = Some((peer, claims));
        events.extend(happened);
        Ok(reply)
    }
}

/// What the reading thread has heard.
enum Heard {
    /// A line without its line feed, and whether something came right behind it.
    Line { line: Vec<u8>, more: bool },
    /// The start of a line that is too long. Nothing is read after it.
    Endless(Vec<u8>),
    /// The end of the output, and what stood there without a line feed.
    End(Vec<u8>),
}

/// A child, and the pipes to it. Dropping it kills the child.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Heard>,
    last_words: Arc<Mutex<VecDeque<u8>>>,
    // Disconnected when the last words are complete.
    drained: Receiver<()>,
}

impl Peer {
    fn start(command: &[String]) -> Result<Peer, Failure> {
        let unstartable = |error: io::Error| Failure::Unstartable(format!("{}: {error}", command.join(" ")));
        let [program, arguments @ ..] = command else {
            return Err(Failure::Unstartable("the command is empty".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(unstartable)?;
        let (Some(requests), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three were asked for as pipes");
        };

        let (says, answers) = sync_channel(1);
        let (draining, drained) = channel();
        let last_words = Arc::default();
        let kept = Arc::clone(&last_words);
        let peer = Peer { child, requests, answers, last_words, drained };
        thread::Builder::new().name("answers".to_owned()).spawn(move || listen(stdout, &says)).map_err(unstartable)?;
        thread::Builder::new()
            .name("standard error".to_owned())
            .spawn(move || drain(stderr, &kept, draining))
            .map_err(unstartable)?;
        Ok(peer)
    }

    /// Asks, and reads the answer with `read`. A peer that has failed is of no more use.
    fn ask<T>(
        &mut self,
        request: &str,
        timeout: Duration,
        read: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Result<T, Failure> {
        let garbled = |what: String| Failure::Garbled(format!("{what}, when asked {request:?}"));
        match self.answers.try_recv() {
            Err(TryRecvError::Empty) => {}
            Ok(Heard::Line { line, .. } | Heard::Endless(line)) => {
                return Err(garbled(format!("it had already said {} unasked", shown(&line))));
            }
            Ok(Heard::End(rest)) => return Err(self.crashed(request, &rest)),
            Err(TryRecvError::Disconnected) => return Err(self.crashed(request, &[])),
        }
        // This cannot block. A request is much shorter than a pipe is deep, and the pipe is empty, since every request
        // before this one has been answered: a child that answers without reading is caught talking unasked long
        // before it has left a whole pipe unread.
        if self.requests.write_all(format!("{request}\n").as_bytes()).is_err() {
            return Err(self.crashed(request, &[]));
        }
        let line = match self.answers.recv_timeout(timeout) {
            Ok(Heard::Line { line, more: false }) => line,
            Ok(Heard::Line { line, more: true }) => {
                return Err(garbled(format!("it said {} and went on after that", shown(&line))));
            }
            Ok(Heard::Endless(start)) => {
                return Err(garbled(format!("it said a line of more than {LONGEST} bytes: {}", shown(&start))));
            }
            Ok(Heard::End(rest)) => return Err(self.crashed(request, &rest)),
            Err(RecvTimeoutError::Disconnected) => return Err(self.crashed(request, &[])),
            Err(RecvTimeoutError::Timeout) => {
                // Someone may hold the pipe open who is not the child.
                let ended = matches!(self.child.try_wait(), Ok(Some(_)));
                return Err(if ended { self.crashed(request, &[]) } else { Failure::Hung(timeout) });
            }
        };
        let Ok(text) = str::from_utf8(&line) else {
            return Err(garbled(format!("it said {}, which is not UTF-8", shown(&line))));
        };
        read(text).map_err(|ParseError { column, message, .. }| {
            garbled(format!("it said {}: column {column}: {message}", shown(&line)))
        })
    }

    /// The post-mortem of a child that has closed a pipe.
    fn crashed(&mut self, request: &str, unfinished: &[u8]) -> Failure {
        let patience = Instant::now() + GRACE;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < patience => thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => break None,
            }
        };
        let how = match status {
            Some(status) => ExitStatus::to_string(&status),
            None => "it closed its pipes and went on running".to_owned(),
        };
        let mut report = format!("{how}, when asked {request:?}");
        if !unfinished.is_empty() {
            report += &format!(" and after it had said {}", shown(unfinished));
        }
        _ = self.drained.recv_timeout(patience.saturating_duration_since(Instant::now()));
        let words: Vec<u8> = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&words);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_WORDS.1)..] {
            report += &format!("\n  | {}", line.escape_debug());
        }
        Failure::Crashed(report)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The standard library kills processes, not groups; every Unix shell can do the latter. The child leads its
        // group and gave it its id, which is not given to anybody else while a member is left. If none is, the shell
        // finds no such group.
        #[cfg(unix)]
        {
            let kill = format!("kill -s KILL -- -{}", self.child.id());
            let mut shell = Command::new("sh");
            _ = shell.args(["-c", &kill]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        // An error means that it is dead already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads answers until the output ends, a line is too long, or nobody listens any more.
fn listen(stdout: ChildStdout, says: &SyncSender<Heard>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        // One byte more, for the line feed.
        let read = stdout.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
        let heard = match read {
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Heard::Line { line, more: !stdout.buffer().is_empty() }
            }
            Ok(_) if line.len() > LONGEST => Heard::Endless(line),
            Ok(_) | Err(_) => Heard::End(line),
        };
        let last = !matches!(heard, Heard::Line { .. });
        if says.send(heard).is_err() || last {
            return;
        }
    }
}

/// Reads standard error to its end and keeps its last words. `_draining` is dropped when all is read.
fn drain(mut stderr: ChildStderr, kept: &Mutex<VecDeque<u8>>, _draining: Sender<()>) {
    let mut chunk = [0; 1024];
    loop {
        match stderr.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&chunk[..length]);
                let excess = kept.len().saturating_sub(LAST_WORDS.0);
                kept.drain(..excess);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// What a child said, as it is shown in messages: in quotes, escaped, and not longer than a line.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MOST)].escape_ascii())
}
