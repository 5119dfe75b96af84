//! Programs: what each thread does to a heap, as data. They are drawn from a seed or written by hand, are text in a
//! file, and get smaller one operation at a time.
//!
//! Operations name registers: a lane's roots, `r0` and on, and the heap's globals, `g0` and on. What means nothing where it
//! stands is left out when it runs; so every part of a program is a program.

use std::{fmt, str::FromStr};

/// How many globals there are.
pub(super) const GLOBALS: usize = 3;
/// How many roots a lane has.
pub(super) const ROOTS: usize = 4;
/// The pointer fields of what `alloc` and `large` make; a large object has so many that it is scanned in pieces.
pub(super) const FIELDS: usize = 2;
pub(super) const MANY: usize = 24;

/// A root, a global, the number of a field.
type Register = usize;

/// One operation of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Alloc(Register),
    /// Without pointers.
    Leaf(Register),
    /// With pages of its own.
    Large(Register),
    /// Stores into a field of the object that a root holds.
    Store(Register, usize, Register),
    Wipe(Register, usize),
    Load(Register, Register, usize),
    Put(Register, Register),
    Unset(Register),
    Take(Register, Register),
    Clear(Register),
    Copy(Register, Register),
    /// Looks at a global for a while, without a safepoint, and attaches something to what it holds.
    Peek(Register),
    Safepoint,
    /// The mutator runs from here on, until `Out`.
    In,
    Out,
    /// The mutator leaves, and another joins.
    Rejoin,
    /// Allocates within a body that panics afterwards.
    Panic(Register),
    /// Hands an object to a mutator that waits, and forgets it; and takes it back.
    Send(Register),
    Receive(Register),
    // What the collector is told.
    Collect,
    Start,
    Handshake(u64),
    Mark(usize),
    Finish,
    Sweep(usize),
    /// Halts everybody, and looks.
    Halt,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Alloc(r) => write!(f, "alloc r{r}"),
            Op::Leaf(r) => write!(f, "leaf r{r}"),
            Op::Large(r) => write!(f, "large r{r}"),
            Op::Store(o, i, r) => write!(f, "store r{o} {i} r{r}"),
            Op::Wipe(o, i) => write!(f, "wipe r{o} {i}"),
            Op::Load(r, o, i) => write!(f, "load r{r} r{o} {i}"),
            Op::Put(g, r) => write!(f, "put g{g} r{r}"),
            Op::Unset(g) => write!(f, "unset g{g}"),
            Op::Take(r, g) => write!(f, "take r{r} g{g}"),
            Op::Clear(r) => write!(f, "clear r{r}"),
            Op::Copy(a, b) => write!(f, "copy r{a} r{b}"),
            Op::Peek(g) => write!(f, "peek g{g}"),
            Op::Safepoint => f.write_str("safepoint"),
            Op::In => f.write_str("in"),
            Op::Out => f.write_str("out"),
            Op::Rejoin => f.write_str("rejoin"),
            Op::Panic(r) => write!(f, "panic r{r}"),
            Op::Send(r) => write!(f, "send r{r}"),
            Op::Receive(r) => write!(f, "receive r{r}"),
            Op::Collect => f.write_str("collect"),
            Op::Start => f.write_str("start"),
            Op::Handshake(m) => write!(f, "handshake {m}"),
            Op::Mark(n) => write!(f, "mark {n}"),
            Op::Finish => f.write_str("finish"),
            Op::Sweep(n) => write!(f, "sweep {n}"),
            Op::Halt => f.write_str("halt"),
        }
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Op, String> {
        let strange = || format!("`{text}` is no operation");
        let mut words = text.split_whitespace();
        let name = words.next().ok_or_else(strange)?;
        let operands: Option<Vec<usize>> = words.map(|word| word.trim_start_matches(['r', 'g']).parse().ok()).collect();
        Ok(match (name, operands.ok_or_else(strange)?[..].as_ref()) {
            ("alloc", &[r]) => Op::Alloc(r),
            ("leaf", &[r]) => Op::Leaf(r),
            ("large", &[r]) => Op::Large(r),
            ("store", &[o, i, r]) => Op::Store(o, i, r),
            ("wipe", &[o, i]) => Op::Wipe(o, i),
            ("load", &[r, o, i]) => Op::Load(r, o, i),
            ("put", &[g, r]) => Op::Put(g, r),
            ("unset", &[g]) => Op::Unset(g),
            ("take", &[r, g]) => Op::Take(r, g),
            ("clear", &[r]) => Op::Clear(r),
            ("copy", &[a, b]) => Op::Copy(a, b),
            ("peek", &[g]) => Op::Peek(g),
            ("safepoint", &[]) => Op::Safepoint,
            ("in", &[]) => Op::In,
            ("out", &[]) => Op::Out,
            ("rejoin", &[]) => Op::Rejoin,
            ("panic", &[r]) => Op::Panic(r),
            ("send", &[r]) => Op::Send(r),
            ("receive", &[r]) => Op::Receive(r),
            ("collect", &[]) => Op::Collect,
            ("start", &[]) => Op::Start,
            ("handshake", &[m]) => Op::Handshake(m as u64),
            ("mark", &[n]) => Op::Mark(n),
            ("finish", &[]) => Op::Finish,
            ("sweep", &[n]) => Op::Sweep(n),
            ("halt", &[]) => Op::Halt,
            _ => return Err(strange()),
        })
    }
}

/// What happens to one heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// How many threads collect in the background.
    pub(super) workers: usize,
    /// Whether the world stops for a cycle.
    pub(super) stops: bool,
    /// The bytes of memory that the heap may use; 0 for no limit.
    pub(super) limit: usize,
    /// The calls to the kernel that fail: after how many, and how many.
    pub(super) faults: (usize, usize),
    /// What one mutator does before all others, which then leaves.
    pub(super) setup: Vec<Op>,
    /// What each thread does.
    pub(super) lanes: Vec<Vec<Op>>,
}

impl Program {
    /// A program by hand: operations are separated by commas.
    pub(super) fn new(workers: usize, setup: &str, lanes: &[&str]) -> Program {
        let ops = |text: &str| -> Vec<Op> {
            let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            texts.map(|text| text.parse().expect("a program that is written by hand can be read")).collect()
        };
        let lanes = lanes.iter().map(|lane| ops(lane)).collect();
        Program { workers, setup: ops(setup), lanes, ..Program::default() }
    }

    /// How many operations there are.
    pub(super) fn len(&self) -> usize {
        self.setup.len() + self.lanes.iter().map(Vec::len).sum::<usize>()
    }

    /// The program without an operation, counted through setup and lanes.
    pub(super) fn without(&self, at: usize) -> Program {
        let mut smaller = self.clone();
        let mut at = at;
        for ops in std::iter::once(&mut smaller.setup).chain(&mut smaller.lanes) {
            if at < ops.len() {
                ops.remove(at);
                break;
            }
            at -= ops.len();
        }
        smaller
    }

    /// A program of `mutators` lanes with `ops` operations each, in a heap with workers, or else one lane more of
    /// collector's steps.
    pub(super) fn draw(seed: u64, mutators: usize, ops: usize, workers: usize) -> Program {
        let mut dice = Dice(seed);
        let mut program = Program { workers, ..Program::default() };
        for global in 0..GLOBALS {
            program.setup.extend([Op::Alloc(0), Op::Alloc(1), Op::Store(0, 0, 1), Op::Put(global, 0)]);
        }
        for _ in 0..mutators {
            let mut lane = vec![Op::Take(0, dice.below(GLOBALS))];
            lane.extend((0..ops).map(|_| dice.mutate(workers)));
            program.lanes.push(lane);
        }
        if workers == 0 {
            program.lanes.push(dice.steps(ops));
        }
        program
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "workers {}", self.workers)?;
        writeln!(f, "stops {}", u8::from(self.stops))?;
        writeln!(f, "limit {}", self.limit)?;
        writeln!(f, "faults {} {}", self.faults.0, self.faults.1)?;
        for op in &self.setup {
            writeln!(f, "setup {op}")?;
        }
        for (number, lane) in self.lanes.iter().enumerate() {
            for op in lane {
                writeln!(f, "lane {number} {op}")?;
            }
        }
        Ok(())
    }
}

impl Program {
    /// Takes in one line of the text form; gives whether it is one.
    pub(super) fn read(&mut self, line: &str) -> Result<bool, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no number, in `{line}`"));
        match word {
            "workers" => self.workers = number(rest)?,
            "stops" => self.stops = number(rest)? != 0,
            "limit" => self.limit = number(rest)?,
            "faults" => {
                let (after, count) = rest.split_once(' ').ok_or("faults are two numbers")?;
                self.faults = (number(after)?, number(count)?);
            }
            "setup" => self.setup.push(rest.parse()?),
            "lane" => {
                let (lane, op) = rest.split_once(' ').ok_or("a lane has a number and an operation")?;
                let lane = number(lane)?;
                if self.lanes.len() <= lane {
                    self.lanes.resize(lane + 1, Vec::new());
                }
                self.lanes[lane].push(op.parse()?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Numbers that look random. Source: Steele, Lea and Flood's SplitMix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % end as u64) as usize
    }

    fn mutate(&mut self, workers: usize) -> Op {
        let (a, b, g, i) = (self.below(ROOTS), self.below(ROOTS), self.below(GLOBALS), self.below(FIELDS));
        match self.below(32) {
            0..=4 => Op::Alloc(a),
            5 => Op::Leaf(a),
            6 => Op::Large(a),
            7..=11 => Op::Store(a, i, b),
            12 | 13 => Op::Wipe(a, i),
            14..=17 => Op::Load(a, b, i),
            18..=20 => Op::Put(g, a),
            21 => Op::Unset(g),
            22..=24 => Op::Take(a, g),
            25 => Op::Clear(a),
            26 => Op::Copy(a, b),
            27 => [Op::In, Op::Out][self.below(2)],
            28 => [Op::Rejoin, Op::Panic(a)][self.below(2)],
            29 => [Op::Send(a), Op::Receive(a)][self.below(2)],
            30 => [Op::Safepoint, Op::Peek(g)][self.below(2)],
            _ if workers > 0 => Op::Collect,
            _ => Op::Sweep(1),
        }
    }

    /// One cycle, its steps in any order but so that it comes to its end, and a few of the next.
    fn steps(&mut self, ops: usize) -> Vec<Op> {
        let mut steps = vec![Op::Start];
        for _ in 0..ops {
            steps.push(match self.below(6) {
                0 | 1 => Op::Handshake(1 + self.below(3) as u64),
                2 | 3 => Op::Mark(1 + self.below(3)),
                4 => Op::Finish,
                _ => Op::Sweep(1),
            });
        }
        steps.push(if self.below(2) == 0 { Op::Collect } else { Op::Start });
        steps
    }
}
