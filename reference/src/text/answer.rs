//! Answers: what a heap says back, one line for each line it is given.
//!
//! | answer                             | to                       | meaning                                            |
//! |------------------------------------|--------------------------|----------------------------------------------------|
//! | `ok`                               | any                      | done, nothing to say                               |
//! | `idle`                             | `gc …`                   | the step found nothing to do                       |
//! | `at 4096 48 0`                     | `alloc`                  | address, usable bytes, what it read before stamping |
//! | `at 4096 48 0 black`               | `alloc`, while marking   | and the colour at birth: `white`, `grey`, `black`  |
//! | `full`                             | `alloc`                  | out of memory, nothing has changed                 |
//! | `ref 4096`                         | `load`, `strong`, `finalize`, `clean` | the pointer that came into the root   |
//! | `nil`                              | the same                 | nil came into the root                             |
//! | `weak 7`                           | `weak`                   | the identity of the weak pointer                   |
//! | `data 3`                           | `read`                   | every byte agrees with stamp 3 (0: all zero)       |
//! | `data torn@9`                      | `read`                   | byte 9 does not agree with the first eight         |
//! | `stats 12 480`                     | `gc stats`               | objects and usable bytes not yet freed             |
//! | `pace live=480 goal=4194304 …`     | `gc pace`                | every number of a [`Gauge`], in its order          |
//! | `trap why`                         | any                      | the heap noticed that something is wrong           |
//! | `unknown`                          | any                      | the heap does not know the operation               |
//!
//! Events follow the answer on the same line, in the order in which they happened, each after a semicolon:
//!
//! | event            | meaning                                                |
//! |------------------|--------------------------------------------------------|
//! | `; start trigger` | a cycle starts, and why: `trigger`, `limit`, `time`, `told` |
//! | `; phase mark`   | the collector is in this phase: `off`, `mark`, `terminate`, `sweep` |
//! | `; shade 4096`   | turned grey (several addresses may follow)             |
//! | `; scan 4096`    | turned black                                           |
//! | `; stack 0`      | the roots of mutator 0 were looked at                  |
//! | `; globals`      | the globals were looked at                             |
//! | `; finalize 4096` | found dead, kept, and its finalizer is due            |
//! | `; free 4096 8192` | this memory may be handed out again                  |
//! | `; pause 0 17`   | mutator 0 was kept from running for 17 units of work; `pause all 5`: everyone was |
//!
//! Before the first operation a heap is greeted with the line `hello`, and says who it is and what it
//! [claims](crate::heap::Capability): `heap my-gc-2.3 collect steps frees`. A claim `invariant=weak` (or `strong`,
//! `modified-weak`) names the [invariant](crate::heap::Invariant) it keeps while marking, a claim
//! `placement=best-fit/16/32/16/4096` the [rule](crate::heap::Placement) by which it places objects. The line `reset`
//! means: forget everything and start afresh with mutator 0; the answer is `ok`.
//!
//! A heap that adds the word `batch` to its greeting may be sent several operations at once, up to 4096 bytes of them,
//! before their answers are read. Any program that reads a line, answers it, and reads the next can say so; it is fast
//! if it holds its answers back until it has answered all that has come in, and flushes them only then.
//!
//! ```
//! use heaplaw_reference::{event::Event, heap::Reply, object::Address, text::answer};
//! let (reply, events) = answer::parse("idle; free 4096 8192")?;
//! assert_eq!(reply, Reply::Idle);
//! assert_eq!(events, [Event::Free(Address(4096)), Event::Free(Address(8192))]);
//! assert_eq!(answer::print(&reply, &events), "idle; free 4096 8192");
//! # Ok::<(), heaplaw_reference::text::ParseError>(())
//! ```

use super::{ParseError, Parsed, Words, mutator, quoted};
use crate::{
    event::{Cause, Event, Phase},
    gauge::Gauge,
    heap::{BornAs, Capability, Claims, Invariant, Placement, Reply},
    object::{Address, Content},
};
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write;

/// The request that asks who the heap is.
pub const HELLO: &str = "hello";

/// The word in the answer to [`HELLO`] that allows operations to be sent ahead of the answers.
pub const BATCH: &str = "batch";

/// The request to start afresh.
pub const RESET: &str = "reset";

/// Reads an answer and its events.
///
/// # Errors
/// If the line is not an answer; the error's line is 1.
pub fn parse(line: &str) -> Parsed<(Reply, Vec<Event>)> {
    let mut parts = line.split(';');
    let reply = words(parts.next().unwrap_or(""), reply)?;
    let mut events = Vec::new();
    let mut offset = line.split(';').next().map_or(0, |part| part.chars().count()) + 1;
    for part in parts {
        words(part, |words| event(words, &mut events))
            .map_err(|error| ParseError { column: error.column + offset, ..error })?;
        offset += part.chars().count() + 1;
    }
    Ok((reply, events))
}

fn words<T>(text: &str, read: impl FnOnce(&mut Words<'_>) -> Parsed<T>) -> Parsed<T> {
    let mut words = Words::new(text);
    let value = read(&mut words)?;
    words.end()?;
    Ok(value)
}

fn reply(words: &mut Words<'_>) -> Parsed<Reply> {
    let (at, verb) = words.next("an answer")?;
    Ok(match verb {
        "ok" => Reply::Done,
        "idle" => Reply::Idle,
        "nil" => Reply::Nil,
        "full" => Reply::OutOfMemory,
        "unknown" => Reply::Unsupported,
        "at" => Reply::Born {
            at: address(words)?,
            usable: count(words, "a number of usable bytes")?,
            found: content(words)?,
            color: match words.peek() {
                None => None,
                Some(_) => Some(words.take("white, grey or black", |word| match word {
                    "white" => Some(BornAs::White),
                    "grey" => Some(BornAs::Grey),
                    "black" => Some(BornAs::Black),
                    _ => None,
                })?),
            },
        },
        "ref" => Reply::Object(address(words)?),
        "weak" => Reply::Weak(count(words, "the identity of a weak pointer")?),
        "data" => Reply::Data(content(words)?),
        "stats" => {
            Reply::Stats { objects: count(words, "a number of objects")?, bytes: count(words, "a number of bytes")? }
        }
        "pace" => Reply::Pace(Box::new(Gauge::read(|name| words.named(name))?)),
        "trap" => {
            words.peek();
            let why = words.line[words.at..].trim_end().to_string();
            words.at = words.line.len();
            Reply::Trap(why)
        }
        _ => {
            return words.error(
                at,
                format!(
                    "expected ok, idle, at, ref, nil, weak, data, stats, pace, full, trap or unknown; found {}",
                    quoted(verb)
                ),
            );
        }
    })
}

fn event(words: &mut Words<'_>, events: &mut Vec<Event>) -> Parsed<()> {
    let (at, verb) = words.next("an event")?;
    let of_address = match verb {
        "start" => {
            let named = |word: &str| Cause::ALL.into_iter().find(|cause| cause.name() == word);
            events.push(Event::Start(words.take("trigger, limit, time or told", named)?));
            return Ok(());
        }
        "phase" => {
            events.push(Event::Phase(words.take("off, mark, terminate or sweep", |word| match word {
                "off" => Some(Phase::Off),
                "mark" => Some(Phase::Mark),
                "terminate" => Some(Phase::Terminate),
                "sweep" => Some(Phase::Sweep),
                _ => None,
            })?));
            return Ok(());
        }
        "stack" => {
            events.push(Event::ScanStack(words.take("a mutator 0 to 3", mutator)?));
            return Ok(());
        }
        "globals" => {
            events.push(Event::ScanGlobals);
            return Ok(());
        }
        "pause" => {
            let who = words.take("all, or a mutator 0 to 3", |word| match word {
                "all" => Some(None),
                _ => mutator(word).map(Some),
            })?;
            events.push(Event::Pause { who, units: count(words, "a number of units")? });
            return Ok(());
        }
        "shade" => Event::Shade,
        "scan" => Event::Scan,
        "finalize" => Event::Finalize,
        "free" => Event::Free,
        _ => {
            return words.error(
                at,
                format!(
                    "expected start, phase, shade, scan, stack, globals, finalize, free or pause; found {}",
                    quoted(verb)
                ),
            );
        }
    };
    events.push(of_address(address(words)?));
    while words.peek().is_some() {
        events.push(of_address(address(words)?));
    }
    Ok(())
}

/// A decimal number, or a hexadecimal one after `0x`.
fn wide(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        None if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok(),
        _ => None,
    }
}

fn count(words: &mut Words<'_>, expected: &str) -> Parsed<u64> {
    words.take(expected, wide)
}

impl Words<'_> {
    /// The number after `name=`.
    fn named(&mut self, name: &str) -> Parsed<u64> {
        self.take(&format!("{name}= and a number"), |word| wide(word.strip_prefix(name)?.strip_prefix('=')?))
    }
}

fn address(words: &mut Words<'_>) -> Parsed<Address> {
    words.take("an address", wide).map(Address)
}

fn content(words: &mut Words<'_>) -> Parsed<Content> {
    words.take("a stamp, or torn@ and an offset", |word| match word.strip_prefix("torn@") {
        Some(at) => wide(at).map(|at| Content::Torn { at }),
        None => wide(word).map(Content::Uniform),
    })
}

/// Writes an answer and its events as one line, without the line feed.
pub fn print(reply: &Reply, events: &[Event]) -> String {
    let mut line = match reply {
        Reply::Done => "ok".to_string(),
        Reply::Idle => "idle".to_string(),
        Reply::Nil => "nil".to_string(),
        Reply::OutOfMemory => "full".to_string(),
        Reply::Unsupported => "unknown".to_string(),
        Reply::Born { at, usable, found, color } => {
            let color = match color {
                None => "",
                Some(BornAs::White) => " white",
                Some(BornAs::Grey) => " grey",
                Some(BornAs::Black) => " black",
            };
            format!("at {} {usable} {}{color}", at.0, data(found))
        }
        Reply::Object(at) => format!("ref {}", at.0),
        Reply::Weak(identity) => format!("weak {identity}"),
        Reply::Data(found) => format!("data {}", data(found)),
        Reply::Stats { objects, bytes } => format!("stats {objects} {bytes}"),
        Reply::Pace(gauge) => {
            let mut line = "pace".to_string();
            gauge.each(|name, number| {
                let _ = write!(line, " {name}={number}");
            });
            line
        }
        // A semicolon would end the message, a line feed the line.
        Reply::Trap(why) => format!("trap {}", why.replace(';', ",").split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    let mut last = None;
    for event in events {
        let (verb, operand) = match event {
            Event::Start(cause) => ("start", Some(cause.to_string())),
            Event::Phase(phase) => ("phase", Some(phase.to_string())),
            Event::Shade(at) => ("shade", Some(at.0.to_string())),
            Event::Scan(at) => ("scan", Some(at.0.to_string())),
            Event::ScanStack(mutator) => ("stack", Some(mutator.to_string())),
            Event::ScanGlobals => ("globals", None),
            Event::Finalize(at) => ("finalize", Some(at.0.to_string())),
            Event::Free(at) => ("free", Some(at.0.to_string())),
            Event::Pause { who: Some(mutator), units } => ("pause", Some(format!("{mutator} {units}"))),
            Event::Pause { who: None, units } => ("pause", Some(format!("all {units}"))),
        };
        let lists = matches!(event, Event::Shade(_) | Event::Scan(_) | Event::Finalize(_) | Event::Free(_));
        let joins = lists && last == Some(verb);
        if !joins {
            let _ = write!(line, "; {verb}");
        }
        if let Some(operand) = operand {
            let _ = write!(line, " {operand}");
        }
        last = Some(verb);
    }
    line
}

fn data(content: &Content) -> String {
    match content {
        Content::Uniform(stamp) => stamp.to_string(),
        Content::Torn { at } => format!("torn@{at}"),
    }
}

/// What the answer to `hello` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What the heap says of itself.
    pub claims: Claims,
    /// Whether operations may be sent ahead of the answers: whether it has said [`BATCH`].
    pub batch: bool,
}

/// Reads the answer to `hello`.
///
/// # Errors
/// If the line is not such an answer; the error's line is 1.
pub fn parse_greeting(line: &str) -> Parsed<Greeting> {
    let mut words = Words::new(line);
    words.take("heap, the name of the heap and its claims", |word| (word == "heap").then_some(()))?;
    let (_, name) = words.next("the name of the heap")?;
    let mut claims = Claims::new(name.to_string());
    let mut batch = false;
    while let Some(word) = words.peek() {
        batch |= word == BATCH;
        claims = words.take("a capability, batch, invariant= and its name, or placement= and the rule", |word| {
            if let Some(rule) = word.strip_prefix("placement=") {
                return Placement::named(rule).map(|placement| claims.clone().placing(placement));
            }
            match word.strip_prefix("invariant=") {
                Some(name) => Invariant::named(name).map(|invariant| claims.clone().upholding(invariant)),
                None if word == BATCH => Some(claims.clone()),
                None => Capability::named(word).map(|capability| claims.clone().with(&[capability])),
            }
        })?;
    }
    Ok(Greeting { claims, batch })
}

/// Reads the claims in the answer to `hello`.
///
/// # Errors
/// If the line is not such an answer; the error's line is 1.
pub fn parse_claims(line: &str) -> Parsed<Claims> {
    parse_greeting(line).map(|greeting| greeting.claims)
}

/// Writes the answer to `hello`.
pub fn print_claims(claims: &Claims) -> String {
    let mut line = format!("heap {}", claims.name.split_whitespace().collect::<Vec<_>>().join("-"));
    for capability in Capability::ALL.into_iter().filter(|capability| claims.has(*capability)) {
        let _ = write!(line, " {capability}");
    }
    if let Some(invariant) = claims.invariant {
        let _ = write!(line, " invariant={invariant}");
    }
    if let Some(placement) = claims.placement {
        let _ = write!(line, " placement={placement}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_reads_back() {
        let lines = [
            "ok",
            "idle; phase mark; shade 4096 8192; stack 3; globals; scan 4096; phase terminate; phase sweep; phase off",
            "at 4096 48 0",
            "at 4096 48 torn@3 grey; free 1 2 3",
            "at 1 2 0 white",
            "at 1 2 0 black",
            "full",
            "ref 18446744073709551615",
            "nil",
            "weak 7",
            "ok; finalize 8 16; free 24",
            "ok; pause 0 17; pause all 18446744073709551615",
            "data 7",
            "data torn@9",
            "stats 12 480",
            "pace live=1 goal=18446744073709551615 trigger=3 marked=4 roots=5 unswept=6 mapped=7 free=8 used=9 \
             by-trigger=10 by-limit=11 by-time=12 by-hand=13 started=14 due=15 ended=16 reached=17 expected=18 done=19 \
             background=20 assists=21 told=22 debt=23 limiting=24 limited=25 processors=26 elapsed=27 \
             collecting=28",
            "ok; start time; phase mark",
            "trap zombie at 4096",
            "unknown",
        ];
        for line in lines {
            let (reply, events) = parse(line).unwrap();
            assert_eq!(print(&reply, &events), line);
        }
        assert_eq!(parse("ref 0x1000").unwrap().0, Reply::Object(Address(4096)));
    }

    #[test]
    fn what_is_not_an_answer_is_placed() {
        let cases = [
            ("", 1),
            ("okay", 1),
            ("ok 1", 4),
            ("at 4096", 8),
            ("at 4096 48 0 red", 14),
            ("ref -1", 5),
            ("ref +1", 5),
            ("ref 0x+1", 5),
            ("ref 0x-1", 5),
            ("data torn@", 6),
            ("ok; dance", 5),
            ("ok; start now", 11),
            ("pace live=1 goals=2", 13),
            ("pace live=x", 6),
            ("ok; shade", 10),
            ("ok; phase mark; free x", 22),
            ("ok; pause 4 1", 11),
            ("ok; pause all", 14),
            ("stats 99999999999999999999 1", 7),
        ];
        for (line, column) in cases {
            assert_eq!(parse(line).unwrap_err().column, column, "{line:?}");
        }
    }

    #[test]
    fn a_trap_cannot_break_out_of_its_line() {
        let line = print(&Reply::Trap("a; free 1\nok".to_string()), &[Event::ScanGlobals]);
        assert_eq!(line, "trap a, free 1 ok; globals");
        assert_eq!(parse(&line).unwrap().1, [Event::ScanGlobals]);
    }

    #[test]
    fn claims_read_back() {
        let line = "heap my-gc collect steps frees invariant=weak";
        assert_eq!(print_claims(&parse_claims(line).unwrap()), line);
        let batch = parse_greeting("heap my-gc collect batch steps frees invariant=weak").unwrap();
        assert_eq!((print_claims(&batch.claims).as_str(), batch.batch), (line, true));
        assert!(!parse_greeting(line).unwrap().batch);
        let placed = "heap my-list free placement=best-fit/16/32/16/4096";
        assert_eq!(print_claims(&parse_claims(placed).unwrap()), placed);
        let bump = "heap my-cursor addresses placement=bump/8";
        assert_eq!(print_claims(&parse_claims(bump).unwrap()), bump);
        for wrong in
            ["worst-fit/16/32/16/4096", "best-fit/16", "best-fit/24/48/24/4800", "first-fit/16/32/8/4096", "bump/0"]
        {
            assert_eq!(parse_claims(&format!("heap x placement={wrong}")).unwrap_err().column, 8, "{wrong}");
        }
        assert_eq!(parse_claims("heap").unwrap_err().column, 5);
        assert_eq!(parse_claims("heap x fly").unwrap_err().column, 8);
        assert_eq!(parse_claims("hello x").unwrap_err().column, 1);
    }
}
