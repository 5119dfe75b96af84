//! The text form: how people, files and pipes write programs down.
//!
//! One operation a line; `#` starts a comment; blank lines are free. It is at once the file of a counterexample, the
//! corpus, and the wire protocol: a heap in any language is judged by a program that reads these lines on its standard
//! input and answers each with one line on its standard output (the answers are in [`answer`]).
//!
//! ```text
//! 0 alloc r0 2 24      # mutator 0: an object of 2 pointer fields and 24 data bytes, into root 0
//! 0 alloc r1 1         # no data
//! 0 alloc r4 0 100 @64 # at a multiple of 64
//! 0 store r0.1 r1      # field 1 of the object in r0 := the object in r1
//! 0 store r0.1 nil
//! 0 load r2 r0.1       # r2 := field 1 of the object in r0
//! 0 store g0 r0        # a global; load r2 g0 reads it back
//! 0 move r0.0 r1.0 1   # 1 field from r1.0 on into r0.0 on
//! 0 wipe r0.0 2        # 2 fields from r0.0 on become nil
//! 0 copy r3 r0         # r3 := r0
//! 0 clear r0           # r0 := nil
//! 0 write r3           # fill the data with the next stamp
//! 0 read r3            # what does the data say?
//! 1 join               # mutator 1 arrives
//! 0 send r3 1.r0       # straight into root 0 of mutator 1
//! 0 weak w0 r3         # a weak pointer to the object in r3
//! 0 strong r0 w0       # what it refers to: the object, or nil if it has died
//! 0 finalizer r3       # give the object in r3 a finalizer
//! 0 finalize r0        # run one that is due: its object into r0
//! 0 cleanup r3 r0      # give the object in r3 a cleanup, with the one in r0 as argument
//! 0 clean r0           # run one that is due: its argument into r0
//! 0 free r0            # free the object in r0 by hand (allocators only)
//! 0 safepoint
//! 0 park
//! 0 unpark
//! 1 exit
//! gc full              # a whole collection; or in steps:
//! gc start
//! gc handshake 0       # mutator 0 is at a safepoint: scan its stack
//! gc mark 3            # scan at most 3 grey objects
//! gc finish            # end marking if nothing is grey
//! gc sweep 3           # at most 3 steps of sweeping
//! gc abort             # give up marking
//! gc stats             # objects and bytes allocated and not freed
//! gc pace              # what the pacer goes by
//! env fail 2           # the second request for memory from now on is refused
//! env clock 1000       # so many milliseconds pass
//! env gogc 50          # the heap may grow by half between collections
//! env gogc off
//! env limit 1048576    # so many bytes of memory should be enough
//! env limit off
//! ```
//!
//! Reading and writing are inverse to one another:
//!
//! ```
//! use heaplaw_reference::op::Program;
//! let program: Program = "0 alloc r0 2   # two fields\n\n\t0 store r0.1 r0\n".parse()?;
//! assert_eq!(program.to_string(), "0 alloc r0 2\n0 store r0.1 r0\n");
//! # Ok::<(), heaplaw_reference::text::ParseError>(())
//! ```

pub mod answer;

use crate::{
    object::{MOST_ALIGNED, Shape},
    op::{
        Action, Collect, Environment, GLOBALS, Gogc, MUTATORS, MutatorId, Op, Place, Program, ROOTS, Root, Run, WEAKS,
        WeakSlot,
    },
};
use alloc::{format, string::String, vec::Vec};
use core::{fmt, str::FromStr};

/// The largest number of pointer fields, and of data bytes, that the text form takes: 2³⁰ each.
pub const LARGEST: u32 = 1 << 30;

/// Where and why a text is not a program (or an answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What was expected there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl core::error::Error for ParseError {}

type Parsed<T> = Result<T, ParseError>;

/// The words of one line, each with its column.
struct Words<'t> {
    line: &'t str,
    // Byte offset of what is left; always at a character boundary.
    at: usize,
}

impl<'t> Words<'t> {
    fn new(line: &'t str) -> Self {
        Words { line, at: 0 }
    }

    fn error<T>(&self, at: usize, message: String) -> Parsed<T> {
        Err(ParseError { line: 1, column: self.line[..at].chars().count() + 1, message })
    }

    fn peek(&mut self) -> Option<&'t str> {
        let rest = &self.line[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.line[self.at..].split_whitespace().next()
    }

    /// The next word and its offset.
    fn next(&mut self, expected: &str) -> Parsed<(usize, &'t str)> {
        match self.peek() {
            Some(word) => {
                let at = self.at;
                self.at += word.len();
                Ok((at, word))
            }
            None => self.error(self.at, format!("expected {expected}, found the end of the line")),
        }
    }

    fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(word) => self.error(self.at, format!("expected the end of the line, found {}", quoted(word))),
        }
    }

    /// A word that `read` understands.
    fn take<T>(&mut self, expected: &str, read: impl FnOnce(&'t str) -> Option<T>) -> Parsed<T> {
        let (at, word) = self.next(expected)?;
        match read(word) {
            Some(value) => Ok(value),
            None => self.error(at, format!("expected {expected}, found {}", quoted(word))),
        }
    }

    fn number(&mut self, expected: &str) -> Parsed<u32> {
        self.take(expected, |word| digits(word).filter(|n| *n <= LARGEST))
    }

    /// A number, or nothing for `off`.
    fn unless_off(&mut self, expected: &str) -> Parsed<Option<u32>> {
        match self.peek() {
            Some("off") => self.next(expected).map(|_| None),
            _ => self.number(&format!("{expected}, or off")).map(Some),
        }
    }

    fn root(&mut self) -> Parsed<Root> {
        self.take("a root r0 to r15", root)
    }

    fn weak(&mut self) -> Parsed<WeakSlot> {
        self.take("a weak slot w0 to w3", |word| {
            digits(word.strip_prefix('w')?).filter(|n| *n < u32::from(WEAKS)).map(|n| WeakSlot(n as u8))
        })
    }

    fn mutator(&mut self) -> Parsed<MutatorId> {
        self.take("a mutator 0 to 3", mutator)
    }

    fn place(&mut self) -> Parsed<Place> {
        self.take("a field such as r1.2, or a global g0 to g3", |word| match word.strip_prefix('g') {
            Some(number) => digits(number).filter(|n| *n < u32::from(GLOBALS)).map(|n| Place::Global(n as u8)),
            None => field(word).map(|(of, index)| Place::Field { of, index }),
        })
    }

    fn field(&mut self) -> Parsed<(Root, u32)> {
        self.take("a field such as r1.2", field)
    }

    fn op(&mut self) -> Parsed<Op> {
        let (at, first) = self.next("a mutator, gc or env")?;
        match first {
            "gc" => return self.collect().map(Op::Collect),
            "env" => return self.environment().map(Op::Environment),
            _ => {}
        }
        match mutator(first) {
            Some(by) => Ok(Op::Mutate { by, action: self.action()? }),
            None => self.error(at, format!("expected a mutator 0 to 3, gc or env; found {}", quoted(first))),
        }
    }

    fn collect(&mut self) -> Parsed<Collect> {
        let (at, verb) = self.next("a step of the collector")?;
        Ok(match verb {
            "full" => Collect::Full,
            "start" => Collect::Start,
            "mark" => Collect::Mark(self.number("a number of objects")?),
            "handshake" => Collect::Handshake(self.mutator()?),
            "finish" => Collect::Finish,
            "sweep" => Collect::Sweep(self.number("a number of steps")?),
            "abort" => Collect::Abort,
            "stats" => Collect::Stats,
            "pace" => Collect::Pace,
            _ => {
                return self.error(
                    at,
                    format!(
                        "expected full, start, mark, handshake, finish, sweep, abort, stats or pace; found {}",
                        quoted(verb)
                    ),
                );
            }
        })
    }

    fn environment(&mut self) -> Parsed<Environment> {
        let (at, verb) = self.next("what happens")?;
        Ok(match verb {
            "fail" => Environment::Fail(self.number("a number of requests")?),
            "clock" => Environment::Clock(self.number("a number of milliseconds")?),
            "gogc" => Environment::Gogc(self.unless_off("a percentage")?.map_or(Gogc::Off, Gogc::Percent)),
            "limit" => Environment::Limit(self.unless_off("a number of bytes")?),
            _ => return self.error(at, format!("expected fail, clock, gogc or limit; found {}", quoted(verb))),
        })
    }

    fn action(&mut self) -> Parsed<Action> {
        let (at, verb) = self.next("an operation")?;
        Ok(match verb {
            "alloc" => {
                let into = self.root()?;
                let pointers = self.number("a number of pointer fields")?;
                let bytes = match self.peek() {
                    Some(word) if !word.starts_with('@') => self.number("a number of data bytes")?,
                    _ => 0,
                };
                let align = match self.peek() {
                    Some(_) => {
                        self.take("an alignment @1 to @4096, a power of two, or the end of the line", alignment)?
                    }
                    None => 0,
                };
                Action::Alloc { into, shape: Shape::new(pointers, bytes).aligned(align) }
            }
            "load" => Action::Load { into: self.root()?, from: self.place()? },
            "store" => {
                let into = self.place()?;
                let value = self.take("a root r0 to r15, or nil", |word| match word {
                    "nil" => Some(None),
                    _ => root(word).map(Some),
                })?;
                Action::Store { into, value }
            }
            "move" => {
                let (of, at) = self.field()?;
                let (from, start) = self.field()?;
                let count = self.number("a number of fields")?;
                Action::Move { into: Run { of, at, count }, from, start }
            }
            "wipe" => {
                let (of, at) = self.field()?;
                Action::Wipe(Run { of, at, count: self.number("a number of fields")? })
            }
            "copy" => Action::Copy { into: self.root()?, from: self.root()? },
            "clear" => Action::Clear(self.root()?),
            "write" => Action::Write(self.root()?),
            "read" => Action::Read(self.root()?),
            "send" => {
                let value = self.root()?;
                let (to, into) = self.take("a root of another mutator such as 1.r0", |word| {
                    let (to, into) = word.split_once('.')?;
                    Some((mutator(to)?, root(into)?))
                })?;
                Action::Send { value, to, into }
            }
            "weak" => Action::Weak { into: self.weak()?, to: self.root()? },
            "strong" => Action::Strong { into: self.root()?, from: self.weak()? },
            "finalizer" => Action::Finalizer(self.root()?),
            "finalize" => Action::Finalize(self.root()?),
            "cleanup" => Action::Cleanup { of: self.root()?, with: self.root()? },
            "clean" => Action::Clean(self.root()?),
            "free" => Action::Free(self.root()?),
            "safepoint" => Action::Safepoint,
            "park" => Action::Park,
            "unpark" => Action::Unpark,
            "join" => Action::Join,
            "exit" => Action::Exit,
            _ => {
                return self.error(
                    at,
                    format!(
                        "expected alloc, load, store, move, wipe, copy, clear, write, read, send, weak, strong, \
                         finalizer, finalize, cleanup, clean, free, safepoint, park, unpark, join or exit; found {}",
                        quoted(verb)
                    ),
                );
            }
        })
    }
}

/// A word as it is shown in messages: in quotes, control characters escaped, not longer than 24 characters.
fn quoted(word: &str) -> String {
    let mut shown: String = word.chars().take(24).flat_map(char::escape_debug).collect();
    if word.chars().nth(24).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// Plain decimal digits, without sign, and without leading zeroes so that every number has one spelling.
fn digits(word: &str) -> Option<u32> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}

fn alignment(word: &str) -> Option<u32> {
    digits(word.strip_prefix('@')?).filter(|n| n.is_power_of_two() && *n <= MOST_ALIGNED)
}

fn root(word: &str) -> Option<Root> {
    digits(word.strip_prefix('r')?).filter(|n| *n < u32::from(ROOTS)).map(|n| Root(n as u8))
}

fn mutator(word: &str) -> Option<MutatorId> {
    digits(word).filter(|n| *n < u32::from(MUTATORS)).map(|n| MutatorId(n as u8))
}

fn field(word: &str) -> Option<(Root, u32)> {
    let (of, index) = word.split_once('.')?;
    Some((root(of)?, digits(index).filter(|n| *n <= LARGEST)?))
}

/// The part of a line before its comment.
fn code(line: &str) -> &str {
    line.split('#').next().unwrap_or("")
}

impl FromStr for Op {
    type Err = ParseError;

    /// Reads one line, which may end in a comment.
    fn from_str(line: &str) -> Parsed<Op> {
        let mut words = Words::new(code(line));
        let op = words.op()?;
        words.end()?;
        Ok(op)
    }
}

impl FromStr for Program {
    type Err = ParseError;

    fn from_str(text: &str) -> Parsed<Program> {
        let mut ops = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if !code(line).trim().is_empty() {
                ops.push(line.parse().map_err(|error| ParseError { line: number + 1, ..error })?);
            }
        }
        Ok(Program::new(ops))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for WeakSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for MutatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Field { of, index } => write!(f, "{of}.{index}"),
            Place::Global(number) => write!(f, "g{number}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Alloc { into, shape: Shape { pointers, bytes: 0, align: 0 } } => {
                write!(f, "alloc {into} {pointers}")
            }
            Action::Alloc { into, shape: Shape { pointers, bytes, align: 0 } } => {
                write!(f, "alloc {into} {pointers} {bytes}")
            }
            Action::Alloc { into, shape: Shape { pointers, bytes, align } } => {
                write!(f, "alloc {into} {pointers} {bytes} @{align}")
            }
            Action::Load { into, from } => write!(f, "load {into} {from}"),
            Action::Store { into, value: Some(value) } => write!(f, "store {into} {value}"),
            Action::Store { into, value: None } => write!(f, "store {into} nil"),
            Action::Move { into: Run { of, at, count }, from, start } => {
                write!(f, "move {of}.{at} {from}.{start} {count}")
            }
            Action::Wipe(Run { of, at, count }) => write!(f, "wipe {of}.{at} {count}"),
            Action::Copy { into, from } => write!(f, "copy {into} {from}"),
            Action::Clear(root) => write!(f, "clear {root}"),
            Action::Write(root) => write!(f, "write {root}"),
            Action::Read(root) => write!(f, "read {root}"),
            Action::Send { value, to, into } => write!(f, "send {value} {to}.{into}"),
            Action::Weak { into, to } => write!(f, "weak {into} {to}"),
            Action::Strong { into, from } => write!(f, "strong {into} {from}"),
            Action::Finalizer(root) => write!(f, "finalizer {root}"),
            Action::Finalize(into) => write!(f, "finalize {into}"),
            Action::Cleanup { of, with } => write!(f, "cleanup {of} {with}"),
            Action::Clean(into) => write!(f, "clean {into}"),
            Action::Free(root) => write!(f, "free {root}"),
            Action::Safepoint => write!(f, "safepoint"),
            Action::Park => write!(f, "park"),
            Action::Unpark => write!(f, "unpark"),
            Action::Join => write!(f, "join"),
            Action::Exit => write!(f, "exit"),
        }
    }
}

impl fmt::Display for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Collect::Full => write!(f, "full"),
            Collect::Start => write!(f, "start"),
            Collect::Mark(steps) => write!(f, "mark {steps}"),
            Collect::Handshake(mutator) => write!(f, "handshake {mutator}"),
            Collect::Finish => write!(f, "finish"),
            Collect::Sweep(steps) => write!(f, "sweep {steps}"),
            Collect::Abort => write!(f, "abort"),
            Collect::Stats => write!(f, "stats"),
            Collect::Pace => write!(f, "pace"),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Environment::Fail(requests) => write!(f, "fail {requests}"),
            Environment::Clock(milliseconds) => write!(f, "clock {milliseconds}"),
            Environment::Gogc(Gogc::Percent(percent)) => write!(f, "gogc {percent}"),
            Environment::Gogc(Gogc::Off) => write!(f, "gogc off"),
            Environment::Limit(Some(bytes)) => write!(f, "limit {bytes}"),
            Environment::Limit(None) => write!(f, "limit off"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Mutate { by, action } => write!(f, "{by} {action}"),
            Op::Collect(step) => write!(f, "gc {step}"),
            Op::Environment(change) => write!(f, "env {change}"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in self.ops() {
            writeln!(f, "{op}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// One line of every form; the module's documentation shows the same.
    const EVERY_FORM: &str = "\
0 alloc r0 2 24
0 alloc r1 1
0 alloc r4 0 100 @64
0 load r2 r0.1
0 load r2 g3
0 store r0.1 r1
0 store g0 nil
0 move r0.0 r1.0 1
0 wipe r15.0 2
0 copy r3 r0
0 clear r0
0 write r3
0 read r3
1 join
0 send r3 1.r0
0 weak w3 r3
0 strong r0 w0
0 finalizer r3
0 finalize r0
0 cleanup r3 r0
0 clean r0
0 free r0
0 safepoint
0 park
0 unpark
1 exit
gc full
gc start
gc handshake 3
gc mark 3
gc finish
gc sweep 1073741824
gc abort
gc stats
gc pace
env fail 2
env clock 1000
env gogc 50
env gogc off
env limit 1048576
env limit off
";

    #[test]
    fn what_is_written_reads_back() {
        let program: Program = EVERY_FORM.parse().unwrap();
        assert_eq!(program.to_string(), EVERY_FORM);
        assert_eq!(program.len(), EVERY_FORM.lines().count());
    }

    #[test]
    fn malformed_text_is_placed_by_line_and_column() {
        let cases = [
            ("0 alloc", "line 1, column 8: expected a root r0 to r15, found the end of the line"),
            ("\n# x\n 0 alloc q0 2", "line 3, column 10: expected a root r0 to r15, found \"q0\""),
            ("0 alloc r16 2", "line 1, column 9: expected a root r0 to r15, found \"r16\""),
            ("0 alloc r0 02", "line 1, column 12: expected a number of pointer fields, found \"02\""),
            (
                "0 alloc r0 1 @24",
                "line 1, column 14: expected an alignment @1 to @4096, a power of two, or the end of the line, found \"@24\"",
            ),
            (
                "0 alloc r0 1 8 @8192",
                "line 1, column 16: expected an alignment @1 to @4096, a power of two, or the end of the line, found \"@8192\"",
            ),
            ("0 alloc r0 -1", "line 1, column 12: expected a number of pointer fields, found \"-1\""),
            ("0 alloc r0 1073741825", "line 1, column 12: expected a number of pointer fields, found \"1073741825\""),
            ("4 clear r0", "line 1, column 1: expected a mutator 0 to 3, gc or env; found \"4\""),
            ("0 clear r0 r1", "line 1, column 12: expected the end of the line, found \"r1\""),
            ("0 load r0 g4", "line 1, column 11: expected a field such as r1.2, or a global g0 to g3, found \"g4\""),
            (
                "gc dance",
                "line 1, column 4: expected full, start, mark, handshake, finish, sweep, abort, stats or pace; found \"dance\"",
            ),
            ("0 strong r0 w4", "line 1, column 13: expected a weak slot w0 to w3, found \"w4\""),
            ("env gogc on", "line 1, column 10: expected a percentage, or off, found \"on\""),
            ("ü", "line 1, column 1: expected a mutator 0 to 3, gc or env; found \"ü\""),
            ("0 clear ü\u{7}", "line 1, column 9: expected a root r0 to r15, found \"ü\\u{7}\""),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Program>().unwrap_err().to_string(), message, "{text:?}");
        }
    }
}
