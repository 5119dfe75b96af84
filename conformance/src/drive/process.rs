//! A subject in another process: any program that reads the text form and answers it, line by line.
//!
//! ```text
//!                 ┌── one line at a time, the next only when the last is answered ──┐
//!   Process ──────┤                                                                 ├──▶ child (leader of its group)
//!                 └── answers ◀─ reading thread ◀─ at most a chunk ahead ◀──────────┘      │
//!                       post-mortem ◀─ draining thread ◀─ the end of its standard error ◀──┘
//! ```
//!
//! Each line costs two switches between processes, which is more than most heaps need to perform it. A child that
//! claims [`BATCH`](answer::BATCH) is therefore sent the operations that are planned [ahead](Subject::ahead), as many
//! at once as fit into [`WINDOW`] bytes, and the next when all of these are answered. It still answers each, in order.
//! The line that tells it to start afresh is the first of them.
//!
//! The other side of the pipe is under test and may do anything, so nothing is taken for granted:
//!
//! * There is one deadline for a whole answer. Sending a byte now and then does not put it off.
//! * Memory is bounded. An answer has at most [`LONGEST`] bytes, the reading thread is at most a chunk ahead of the
//!   driver (then the pipe fills, and a child that floods it has to wait), and only the last words on standard error are
//!   kept.
//! * What the child has said without having been asked is a [`Failure::Garbled`], not the answer to the next question.
//! * A child that failed is killed with its whole process group, and reaped. The next [`Subject::reset`] starts another.
//!
//! Whoever listens at the other end of two streams is heard by the same rules ([`Process::over`]). There is nothing to kill
//! then, and nothing to start again.

use super::{Failure, Planned, Subject};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::Op,
    text::{
        ParseError,
        answer::{self, Greeting, HELLO, RESET},
    },
};
use std::{
    collections::VecDeque,
    fmt::Display,
    io::{self, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The longest answer in bytes, without its line feed.
pub const LONGEST: usize = 1 << 20;

/// How many bytes of operations are sent ahead of their answers. Every pipe has room for so many.
pub const WINDOW: usize = 4096;

/// How many bytes the reading thread passes on at once.
const CHUNK: usize = 1 << 14;

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
    /// Who is at the other end of streams and has not been greeted yet.
    waiting: Option<Peer>,
    /// The child and what it said of itself, unless it has yet to be started or has failed.
    running: Option<(Peer, Greeting)>,
    /// What is going to be performed, in order, and how much of it the child has been sent.
    planned: VecDeque<Planned>,
    sent: usize,
    /// Whether the child has to start afresh before it performs anything.
    stale: bool,
}

impl Process {
    /// A subject that is this program with these arguments, and has `timeout` for each answer. It is started by the
    /// first [`Subject::reset`].
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>, timeout: Duration) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Process { command, timeout, waiting: None, running: None, planned: VecDeque::new(), sent: 0, stale: false }
    }

    /// A subject that reads `requests` and writes `answers`, wherever it is. When it has failed it is given up. Its
    /// `answers` are read on a thread, which ends when they do.
    ///
    /// # Errors
    /// If there is no more room for a thread.
    pub fn over(
        requests: impl Write + Send + 'static,
        answers: impl Read + Send + 'static,
        timeout: Duration,
    ) -> io::Result<Self> {
        let mut process = Process::new([""; 0], timeout);
        process.waiting = Some(Peer::over(None, Box::new(requests), answers, io::empty())?);
        Ok(process)
    }

    /// The id of the child if one is running, for those who want to watch it with tools of their own.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(|(peer, _)| Some(peer.child.as_ref()?.id()))
    }

    /// Gives up what is planned; the child goes on if it answers what it has been sent of it.
    fn drop_plan(&mut self) {
        let planned = std::mem::take(&mut self.planned);
        let sent = std::mem::take(&mut self.sent);
        if let Some((peer, _)) = &mut self.running
            && !planned.iter().take(sent).all(|planned| peer.hear(&planned.op, self.timeout, true).is_ok())
        {
            self.running = None;
        }
    }
}

impl Subject for Process {
    fn reset(&mut self) -> Result<Claims, Failure> {
        self.drop_plan();
        // A peer that fails on the way is dropped, and so killed.
        let (mut peer, greeting) = match self.running.take() {
            Some(running) => running,
            None => {
                let mut peer = match self.waiting.take() {
                    Some(peer) => peer,
                    None => Peer::start(&self.command)?,
                };
                let greeting = peer.ask(HELLO, self.timeout, answer::parse_greeting)?;
                (peer, greeting)
            }
        };
        // One that takes many lines at once is told together with what comes next.
        self.stale = greeting.batch;
        if !self.stale {
            peer.ask(RESET, self.timeout, afresh)?;
        }
        let claims = greeting.claims.clone();
        self.running = Some((peer, greeting));
        Ok(claims)
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        self.drop_plan();
        let batch = self.running.as_ref().is_some_and(|(_, greeting)| greeting.batch);
        if batch {
            self.planned = plan().into();
        }
        batch
    }

    /// # Panics
    /// If this is not the operation that was planned.
    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        let Some((mut peer, greeting)) = self.running.take() else {
            return Err(Failure::Crashed("it has failed before and was not reset".to_owned()));
        };
        let stale = std::mem::take(&mut self.stale);
        let (reply, happened) = if self.planned.is_empty() {
            if stale {
                peer.ask(RESET, self.timeout, afresh)?;
            }
            peer.ask(&op.to_string(), self.timeout, answer::parse)?
        } else {
            if self.sent == 0 {
                let lines = window(&self.planned);
                self.sent = lines.matches('\n').count();
                if stale {
                    peer.send(&format!("{RESET}\n{lines}"))?;
                    understood(&peer.hear(&RESET, self.timeout, true)?, &RESET, afresh)?;
                } else {
                    peer.send(&lines)?;
                }
            }
            assert_eq!(
                self.planned.pop_front().map(|planned| planned.op).as_ref(),
                Some(op),
                "only what is planned is performed"
            );
            self.sent -= 1;
            let line = peer.hear(op, self.timeout, self.sent > 0)?;
            understood(&line, op, answer::parse)?
        };
        self.running = Some((peer, greeting));
        events.extend(happened);
        Ok(reply)
    }
}

/// Reads the answer of a child that was told to start afresh.
fn afresh(line: &str) -> Result<(), ParseError> {
    match answer::parse(line)? {
        (Reply::Done, _) => Ok(()),
        _ => Err(ParseError { line: 1, column: 1, message: "expected ok".to_owned() }),
    }
}

/// The first of these operations, one a line: as many as may be sent at once, and at least one. One that decides is the
/// last.
fn window(planned: &VecDeque<Planned>) -> String {
    let mut lines = String::new();
    for Planned { op, decides } in planned {
        let line = format!("{op}\n");
        // There is room for the line that may have to go before them.
        if !lines.is_empty() && RESET.len() + 1 + lines.len() + line.len() > WINDOW {
            break;
        }
        lines.push_str(&line);
        if *decides {
            break;
        }
    }
    lines
}

/// A child, and the pipes to it; or whoever is at the end of two streams. Dropping it kills the child.
struct Peer {
    child: Option<Child>,
    requests: Box<dyn Write + Send>,
    // Disconnected at the end of its output.
    chunks: Receiver<Vec<u8>>,
    // What has been heard and not yet been taken as an answer.
    heard: Vec<u8>,
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
        Peer::over(Some(child), Box::new(requests), stdout, stderr).map_err(unstartable)
    }

    fn over(
        child: Option<Child>,
        requests: Box<dyn Write + Send>,
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
    ) -> io::Result<Peer> {
        let (says, chunks) = sync_channel(1);
        let (draining, drained) = channel();
        let last_words = Arc::default();
        let kept = Arc::clone(&last_words);
        let peer = Peer { child, requests, chunks, heard: Vec::new(), last_words, drained };
        thread::Builder::new().name("answers".to_owned()).spawn(move || listen(stdout, &says))?;
        thread::Builder::new().name("standard error".to_owned()).spawn(move || drain(stderr, &kept, draining))?;
        Ok(peer)
    }

    /// Asks, and reads the answer with `read`. A peer that has failed is of no more use.
    fn ask<T>(
        &mut self,
        request: &str,
        timeout: Duration,
        read: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Result<T, Failure> {
        self.send(&format!("{request}\n"))?;
        understood(&self.hear(&request, timeout, false)?, &request, read)
    }

    /// Sends lines, when all lines before are answered.
    fn send(&mut self, lines: &str) -> Result<(), Failure> {
        let request = lines.lines().next().unwrap_or_default();
        self.heard.extend(self.chunks.try_iter().flatten());
        if !self.heard.is_empty() {
            let end = self.heard.iter().position(|byte| *byte == b'\n').unwrap_or(self.heard.len());
            return Err(garbled(format!("it had already said {} unasked", shown(&self.heard[..end])), &request));
        }
        // This cannot block. The lines are shorter than a pipe is deep, and the pipe is empty, since every line before
        // them has been answered: a child that answers without reading is caught talking unasked long before it has
        // left a whole pipe unread.
        self.requests.write_all(lines.as_bytes()).map_err(|_| self.crashed(&request, &[]))
    }

    /// The line that answers `request`; `more` says whether more requests wait for their answers.
    fn hear(&mut self, request: &dyn Display, timeout: Duration, more: bool) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + timeout;
        let mut looked_at = 0;
        let end = loop {
            if let Some(at) = self.heard[looked_at..].iter().position(|byte| *byte == b'\n') {
                break looked_at + at;
            }
            looked_at = self.heard.len();
            if looked_at > LONGEST {
                let start = shown(&self.heard);
                return Err(garbled(format!("it said a line of more than {LONGEST} bytes: {start}"), request));
            }
            match self.chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.heard.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => {
                    let rest = std::mem::take(&mut self.heard);
                    return Err(self.crashed(request, &rest));
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Someone may hold the pipe open who is not the child.
                    let ended = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
                    return Err(if ended { self.crashed(request, &[]) } else { Failure::Hung(timeout) });
                }
            }
        };
        let rest = self.heard.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.heard, rest);
        line.pop();
        if line.len() > LONGEST {
            return Err(garbled(format!("it said a line of more than {LONGEST} bytes: {}", shown(&line)), request));
        }
        if !more && !self.heard.is_empty() {
            return Err(garbled(format!("it said {} and went on after that", shown(&line)), request));
        }
        Ok(line)
    }

    /// The post-mortem of a child that has closed a pipe.
    fn crashed(&mut self, request: &dyn Display, unfinished: &[u8]) -> Failure {
        let patience = Instant::now() + GRACE;
        let status = self.child.as_mut().map(|child| {
            loop {
                match child.try_wait() {
                    Ok(Some(status)) => break Some(status),
                    Ok(None) if Instant::now() < patience => thread::sleep(Duration::from_millis(1)),
                    Ok(None) | Err(_) => break None,
                }
            }
        });
        let how = match status {
            Some(Some(status)) => ExitStatus::to_string(&status),
            Some(None) => "it closed its pipes and went on running".to_owned(),
            None => "it closed its stream".to_owned(),
        };
        let mut report = format!("{how}, when asked {:?}", request.to_string());
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
        let Some(child) = &mut self.child else { return };
        // The standard library kills processes, not groups; every Unix shell can do the latter. The child leads its
        // group and gave it its id, which is not given to anybody else while a member is left. If none is, the shell
        // finds no such group.
        #[cfg(unix)]
        {
            let kill = format!("kill -s KILL -- -{}", child.id());
            let mut shell = Command::new("sh");
            _ = shell.args(["-c", &kill]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        // An error means that it is dead already.
        _ = child.kill();
        _ = child.wait();
    }
}

/// Passes on what the child says until its output ends, or nobody listens any more.
fn listen(mut stdout: impl Read, says: &SyncSender<Vec<u8>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stdout.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) if says.send(chunk[..length].to_vec()).is_err() => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Reads standard error to its end and keeps its last words. `_draining` is dropped when all is read.
fn drain(mut stderr: impl Read, kept: &Mutex<VecDeque<u8>>, _draining: Sender<()>) {
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

/// A line that answers `request`, read with `read`.
fn understood<T>(
    line: &[u8],
    request: &dyn Display,
    read: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    let Ok(text) = str::from_utf8(line) else {
        return Err(garbled(format!("it said {}, which is not UTF-8", shown(line)), request));
    };
    read(text).map_err(|ParseError { column, message, .. }| {
        garbled(format!("it said {}: column {column}: {message}", shown(line)), request)
    })
}

fn garbled(what: String, request: &dyn Display) -> Failure {
    Failure::Garbled(format!("{what}, when asked {:?}", request.to_string()))
}

/// What a child said, as it is shown in messages: in quotes, escaped, and not longer than a line.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MOST)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_sent_at_once_as_there_is_room_for() {
        let planned = |lines: &[(&str, bool)]| {
            let plan = lines.iter().map(|(op, decides)| Planned { op: op.parse().expect(op), decides: *decides });
            window(&plan.collect())
        };
        assert_eq!(planned(&[("gc full", false), ("gc stats", false)]), "gc full\ngc stats\n");
        assert_eq!(
            planned(&[("gc full", true), ("gc stats", false)]),
            "gc full\n",
            "the next is decided by the answer"
        );
        assert_eq!(planned(&[]), "");
        // 510 lines of eight bytes, and before them perhaps another of six: of 4096 bytes, ten are left.
        let sent = |last| planned(&[vec![("gc full", false); 510], vec![(last, false)]].concat()).lines().count();
        assert_eq!([sent("gc mark 1"), sent("gc mark 10")], [511, 510]);
    }

    #[test]
    fn a_child_that_starts_afresh_says_so() {
        assert!(afresh("ok").is_ok() && afresh("ok; free 8").is_ok());
        assert!(afresh("idle").is_err() && afresh("okay").is_err());
    }

    #[test]
    fn what_a_child_said_is_shown_in_one_line() {
        assert_eq!(shown(b"a\n\xff"), r#""a\n\xff""#);
        assert_eq!(shown(&[b'x'; 80]), format!("\"{}\"", "x".repeat(80)));
        assert_eq!(shown(&[b'x'; 81]), format!("\"{}…\"", "x".repeat(80)));
    }
}
