//! The target `steps`: each operation is four bytes, and the collector moves in the smallest steps that there are. The
//! first four say what [kind](Kind) of heap it is. A few records are many operations: one object that leads to a hundred.
//!
//! In [`programs`](super::programs) bytes are the decisions of a generator that knows what is likely to hurt. Here they
//! are operations as they stand: a changed byte changes one of them and no other, so a fuzzer can work on a single
//! schedule for long. The heap is asked after each of them whether it still believes in itself.
//!
//! ```text
//!   │ what │ who, a root │ a root, a field │ a shape, a number │
//! ```

use super::{kind::Kind, simplest, wrong};
use heaplaw_reference::{
    object::Shape,
    op::{Action, Collect, Environment, Gogc, MutatorId, Op, Place, Program, Root, Run, WeakSlot},
};

/// The bytes of an operation.
pub const RECORD: usize = 4;

/// The most operations that are decoded; the bytes of any more mean nothing.
pub const MOST: usize = 600;

/// How often a heap is asked that has more operations to do.
const LOOKS: usize = 150;

/// Mutators, and roots of each, that take part.
const WORLD: (u8, u8) = (3, 4);

/// The most records that are [fans](fan).
const FANS: usize = 6;

/// The objects that a fan leads to, beside the one that was there before.
const WIDTH: u32 = 100;

/// The field by which it leads to that. Late, so that whoever scans one fan comes upon the next with much in hand; and not
/// the last, which is looked at when little is left.
const LINK: u32 = 80;

/// Small, with and without pointers, more than a word of any bitmap, and more than a page; and tiny.
const SHAPES: [(u32, u32); 16] = [
    (0, 8),
    (1, 0),
    (2, 0),
    (3, 24),
    (0, 0),
    (1, 5),
    (2, 100),
    (0, 1024),
    (65, 0),
    (0, 5000),
    (1, 32_760),
    (4, 33_000),
    (0, 1),
    (0, 6),
    (0, 13),
    (100, 1000),
];

/// The operation of a record.
fn op([what, who, b, c]: [u8; RECORD]) -> Op {
    let by = MutatorId((who >> 2) % WORLD.0);
    let other = MutatorId((b >> 4) % WORLD.0);
    let [r, s] = [who, b].map(|byte| Root(byte % WORLD.1));
    let index = u32::from(b >> 2) % 4;
    let field = |of| Place::Field { of, index };
    let global = Place::Global(b >> 4 & 3);
    let run = Run { of: r, at: index, count: 1 + u32::from(c) % 3 };
    let long = Run { of: r, at: 0, count: 1 + u32::from(c) % WIDTH };
    let action = match if what < FAN { what % 48 } else { what } {
        0..5 => {
            let (pointers, bytes) = SHAPES[usize::from(c) % SHAPES.len()];
            Action::Alloc { into: r, shape: Shape::new(pointers, bytes) }
        }
        5..9 => Action::Load { into: r, from: field(s) },
        9..13 => Action::Store { into: field(s), value: Some(r) },
        13 => Action::Store { into: field(s), value: None },
        14 => Action::Load { into: r, from: global },
        15 => Action::Store { into: global, value: Some(r) },
        16 => Action::Store { into: global, value: None },
        17 => Action::Copy { into: r, from: s },
        18..21 => Action::Clear(r),
        21 => Action::Move { into: run, from: s, start: u32::from(c >> 4) % 4 },
        22 => Action::Wipe(run),
        23 => Action::Write(r),
        24 => Action::Read(r),
        25 => Action::Send { value: r, to: other, into: s },
        26 => Action::Safepoint,
        27 => Action::Park,
        28 => Action::Unpark,
        29 => Action::Join,
        30 => Action::Exit,
        31..34 => return Op::Collect(Collect::Start),
        34..37 => return Op::Collect(Collect::Handshake(by)),
        37..41 => return Op::Collect(Collect::Mark(1)),
        41..44 => return Op::Collect(Collect::Finish),
        44..46 => return Op::Collect(Collect::Sweep(1)),
        46 => return Op::Collect(Collect::Full),
        232..236 => Action::Move { into: long, from: s, start: 0 },
        236..240 => Action::Wipe(long),
        240 | 241 => Action::Weak { into: WeakSlot(c % 4), to: r },
        242 | 243 => Action::Strong { into: r, from: WeakSlot(c % 4) },
        244 | 245 => Action::Finalizer(r),
        246 | 247 => Action::Finalize(r),
        248 | 249 => Action::Cleanup { of: r, with: s },
        250 | 251 => Action::Clean(r),
        252 => return Op::Environment(Environment::Gogc(percent(c))),
        253 => return Op::Environment(Environment::Limit((c > 0).then(|| u32::from(c) << 15))),
        254 => return Op::Environment(Environment::Clock(u32::from(b) << (c % 12))),
        255 => return Op::Collect(Collect::Pace),
        _ => return Op::Collect(Collect::Stats),
    };
    Op::Mutate { by, action }
}

/// A pace, from never to at once.
fn percent(byte: u8) -> Gogc {
    if byte == 255 { Gogc::Off } else { Gogc::Percent(u32::from(byte)) }
}

/// The first of the codes of a [fan]; the codes from [`AFTER_FAN`] on mean something else.
const FAN: u8 = 228;
const AFTER_FAN: u8 = 232;

/// One object that leads to many others, and to what the root held before: fans are joined to a comb.
fn fan([_, who, b, c]: [u8; RECORD]) -> impl Iterator<Item = Op> {
    let by = MutatorId((who >> 2) % WORLD.0);
    let [r, s] = [who, b].map(|byte| byte % WORLD.1);
    let (r, s) = (Root(r), Root(if r == s { (s + 1) % WORLD.1 } else { s }));
    let (pointers, bytes) = SHAPES[usize::from(b >> 2) % SHAPES.len()];
    let field = |index| Place::Field { of: s, index };
    let first = [
        Action::Alloc { into: s, shape: Shape::new(WIDTH + 1, 0) },
        Action::Store { into: field(LINK), value: Some(r) },
        Action::Copy { into: r, from: s },
    ];
    let rest = (0..1 + u32::from(c) % WIDTH).flat_map(move |index| {
        let into = Place::Field { of: r, index: index + u32::from(index >= LINK) };
        [Action::Alloc { into: s, shape: Shape::new(pointers, bytes) }, Action::Store { into, value: Some(s) }]
    });
    first.into_iter().chain(rest).map(move |action| Op::Mutate { by, action })
}

/// The program that these bytes mean, all but the first record. A record that is not whole means nothing, nor does one fan
/// too many.
pub fn decoded(bytes: &[u8]) -> Program {
    let (mut ops, mut fans) = (Vec::new(), 0);
    for record in bytes.as_chunks().0.iter().skip(1).take(MOST) {
        if (FAN..AFTER_FAN).contains(&record[0]) {
            fans += 1;
            if fans <= FANS {
                ops.extend(fan(*record));
            }
        } else {
            ops.push(op(*record));
        }
    }
    ops.into_iter().collect()
}

/// The record that means an operation, if one does.
pub fn encoded(wanted: &Op) -> Option<[u8; RECORD]> {
    let whats = (0..48).chain(AFTER_FAN..=255);
    let records = whats.flat_map(|what| {
        let whos = 0..WORLD.0 * WORLD.1;
        whos.flat_map(move |who| (0..=255).flat_map(move |b| (0..16).map(move |c| [what, who, b, c])))
    });
    records.into_iter().find(|record| op(*record) == *wanted)
}

/// After the first record every four bytes are an operation; no law is broken, the reference answers the same, and the heap
/// believes no falsehood after any of them, or if they come to more than [`MOST`], after some.
///
/// # Panics
/// If one of these is not so. The message has the program, as simple as the reducer can make it.
pub fn steps(bytes: &[u8]) {
    let (kind, program) = (Kind::of(bytes), decoded(bytes));
    // A heap of many objects is looked at for long.
    let every = if program.len() > MOST { program.len() / LOOKS } else { 1 };
    let wrong = |program: &Program| {
        kind.believed(program, every).or_else(|| kind.is_in_steps().then(|| wrong(kind, program)).flatten())
    };
    if let Some(what) = wrong(&program) {
        panic!("{kind:?}: {what}\n{}", simplest(&program, |candidate| wrong(candidate).is_some()));
    }
}

/// Changes the operations of an input as operations: one is left out, doubled, moved, replaced or put in, or another
/// stretch of the same input is repeated. `size` of `bytes` are the input, which may grow to their end. Gives the new size.
pub fn mutate(bytes: &mut [u8], size: usize, seed: u32) -> usize {
    let most = (bytes.len() / RECORD).min(MOST + 1);
    let mut records: Vec<[u8; RECORD]> = bytes[..size].as_chunks().0.to_vec();
    let mut state = u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    for _ in 0..=below(3) {
        let len = records.len();
        let fresh = std::array::from_fn(|_| below(256) as u8);
        match below(7) {
            0 if len > 0 => _ = records.remove(below(len)),
            1 if len > 0 => records.insert(below(len), records[below(len)]),
            2 if len > 1 => records.swap(below(len), below(len)),
            3 if len > 0 => records[below(len)] = fresh,
            4 if len > 0 => {
                let (record, byte) = (below(len), below(RECORD));
                records[record][byte] = fresh[0];
            }
            5 if len > 0 => {
                let from = below(len);
                let stretch = records[from..(from + 1 + below(8)).min(len)].to_vec();
                let at = below(len + 1);
                records.splice(at..at, stretch);
            }
            _ => records.insert(below(len + 1), fresh),
        }
    }
    records.truncate(most);
    let flat = records.as_flattened();
    bytes[..flat.len()].copy_from_slice(flat);
    flat.len()
}
