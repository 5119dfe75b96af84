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

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    #[test]
    fn a_class_is_less_than_twice_what_it_serves_and_sixteen_bytes() {
        let has = |shape: &str, usable: u64| told(28, "", &format!("0 alloc r0 {shape} => at 128 {usable} 0"));
        assert_eq!([35, 36].map(|usable| has("0 10", usable)), [Ok(1), Err(0)]);
        assert_eq!([55, 56].map(|usable| has("2 4", usable)), [Ok(1), Err(0)]);
        assert_eq!([143, 144].map(|usable| has("0 10 @64", usable)), [Ok(1), Err(0)]);
        assert_eq!([15, 16].map(|usable| has("0 0", usable)), [Ok(1), Err(0)]);
    }

    #[test]
    fn who_asks_for_more_has_no_less() {
        let has = |objects: &[(&str, u64)]| {
            let born = objects.iter().map(|(shape, usable)| format!("0 alloc r0 {shape} => at 128 {usable} 0\n"));
            told(30, "", &born.collect::<String>())
        };
        assert_eq!(has(&[("0 10", 16), ("0 20", 32), ("0 15", 16), ("0 18", 32), ("0 10", 16)]), Ok(5));
        assert_eq!(has(&[("0 10", 16), ("0 10", 32)]), Err(1));
        assert_eq!(has(&[("0 10", 16), ("0 10", 12)]), Err(1));
        assert_eq!(has(&[("0 10", 32), ("0 20", 31)]), Err(1), "the larger has less");
        assert_eq!(has(&[("0 20", 31), ("0 10", 32)]), Err(1));
        assert_eq!(has(&[("0 20", 32), ("0 10", 32)]), Ok(2));
        assert_eq!(
            has(&[("0 10", 16), ("0 20", 32), ("0 30", 64), ("0 25", 24)]),
            Err(3),
            "of its neighbours the next"
        );
        assert_eq!(has(&[("0 10", 16), ("0 20", 32), ("0 30", 64), ("0 15", 48)]), Err(3));
        // Pointers and alignments have classes of their own.
        assert_eq!(has(&[("0 16", 16), ("2 0", 32), ("0 16 @64", 64), ("0 16", 16)]), Ok(4));
        assert_eq!(has(&[("0 24", 24), ("1 0", 32), ("0 25 @64", 8)]), Ok(3));
        let said = |last: &str| why(30, "", &format!("0 alloc r0 0 10 => at 128 16 0\n0 alloc r0 {last} 0"));
        assert_eq!(said("0 10 => at 128 8"), "b asked for 10 bytes and has 8, a for 10 and has 16");
        assert_eq!(said("0 20 => at 128 8"), "b asked for 20 bytes and has 8, a for 10 and has 16");
        assert_eq!(said("0 9 => at 128 32"), "b asked for 9 bytes and has 32, a for 10 and has 16");
    }
}
