//! What classes of sizes promise: laws 28 and 30.
//!
//! An allocator with classes rounds every request up to one of a few sizes. Which ones is its own choice. Two things are
//! not: the class follows from the request, so that what is freed fits whoever asks for the same again; and the classes
//! lie close enough together that not most of the memory is lost in between. How close: doubling sizes, as a buddy
//! allocator has them, are the coarsest in use, and the smallest class may be two words.
//!
//! Objects with pointers and objects without may have classes of their own (Go: scan and noscan), and so may each
//! alignment.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{heap::Capability, object::ObjectId};
use std::collections::BTreeMap;

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 28,
        name: "slot slack",
        statement: "A class is less than twice as large as the request that it serves, or the alignment asked for, and 16 bytes.",
        needs: Needs::of(&[Capability::Classes]),
        judge: slot_slack,
    },
    Law {
        number: 30,
        name: "monotone classes",
        statement: "Of two objects of one kind, the one that asked for more has no fewer usable bytes, and one that asked for the same has the same.",
        needs: Needs::of(&[Capability::Classes]),
        judge: monotone,
    },
];

/// What the smallest class may have for an object of a byte.
const SMALLEST: u64 = 16;

fn slot_slack(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        let size = life.shape.size();
        let most = 2 * size.max(life.shape.align.into());
        check.that(life.usable < most.saturating_add(SMALLEST), life.born, || {
            (format!("{id} asked for {size} bytes and has {}", life.usable), [id])
        });
    }
    check.done()
}

fn monotone(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // By kind and size: the first that asked for it, and what it got.
    let mut seen: BTreeMap<((bool, u32), u64), (ObjectId, u64)> = BTreeMap::new();
    for (id, life) in reading.lives() {
        let kind = (life.shape.pointer_free(), life.shape.align);
        let size = life.shape.size();
        let smaller = seen.range((kind, 0)..(kind, size)).next_back();
        let larger = seen.range((kind, size + 1)..=(kind, u64::MAX)).next();
        let wrong = match (smaller, seen.get(&(kind, size)), larger) {
            (_, Some((other, usable)), _) if *usable != life.usable => Some((*other, size, *usable)),
            (Some(((_, size), (other, usable))), _, _) if *usable > life.usable => Some((*other, *size, *usable)),
            (_, _, Some(((_, size), (other, usable)))) if *usable < life.usable => Some((*other, *size, *usable)),
            _ => None,
        };
        check.that(wrong.is_none(), life.born, || {
            let (other, asked, has) = wrong.unwrap_or((id, size, life.usable));
            (
                format!("{id} asked for {size} bytes and has {}, {other} for {asked} and has {has}", life.usable),
                [id, other],
            )
        });
        seen.entry((kind, size)).or_insert((id, life.usable));
    }
    check.done()
}
