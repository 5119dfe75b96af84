//! That a textbook allocator goes by its book: laws 17 to 20 and 22.
//!
//! A heap may claim a [rule](Placement) by which it places objects. Then there is nothing left to its own judgement:
//! from the first object on, the [reference](heaplaw_reference::place) says for each request where in the range it lies,
//! whether it is refused, and how the range grows. Only where the range itself lies is the heap's affair, and how much
//! memory it has: so all addresses are counted from the first object, and a request that no free block can serve may be
//! refused or not.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    graph::Effect,
    heap::{Capability, Choice, Placement, Reply},
    object::ObjectId,
    op::{Action, Op},
    place::{
        BASE,
        fit::{Fit, FreeList, Rules},
    },
};
use std::collections::HashMap;

const FITS: &[&str] = &["first-fit", "next-fit", "best-fit"];

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 17,
        name: "fit completeness",
        statement: "A free list refuses a request only if no free block is large enough, where its rule has left them.",
        needs: Needs::of(&[Capability::Addresses, Capability::Free]).placing(FITS),
        judge: completeness,
    },
    Law {
        number: 18,
        name: "first-fit choice",
        statement: "A first-fit heap places every object in the lowest free block that is large enough.",
        needs: Needs::of(&[Capability::Addresses, Capability::Free]).placing(&["first-fit"]),
        judge: choice,
    },
    Law {
        number: 19,
        name: "next-fit choice",
        statement: "A next-fit heap places every object in the first free block from the rover on that is large enough, going round once.",
        needs: Needs::of(&[Capability::Addresses, Capability::Free]).placing(&["next-fit"]),
        judge: choice,
    },
    Law {
        number: 20,
        name: "best-fit choice",
        statement: "A best-fit heap places every object in the smallest free block that is large enough, the lowest of equals.",
        needs: Needs::of(&[Capability::Addresses, Capability::Free]).placing(&["best-fit"]),
        judge: choice,
    },
    Law {
        number: 22,
        name: "bump monotone",
        statement: "A cursor places every object right behind the one before, at the next multiple of its alignment.",
        needs: Needs::of(&[Capability::Addresses]).placing(&["bump"]),
        judge: bump,
    },
];

/// What the book says of a request that the heap has answered.
enum Told {
    /// Granted: how far from the first object it lies, and how far it should.
    Placed { id: ObjectId, is: i128, owed: i128 },
    /// Refused; whether there was a block for it.
    Refused { size: u64, room: Option<u64> },
}

/// Goes through a history beside the book, and tells of every request. Ends with the first object that is out of place:
/// after that, the two have different blocks.
fn compare(reading: &Reading<'_>, mut tell: impl FnMut(usize, Told)) {
    let Some(Placement::FreeList { choice, granule, min_block, header, growth }) = reading.history.claims.placement
    else {
        return;
    };
    let rules = Rules { granule, min_block, header };
    let fit = match choice {
        Choice::First => Fit::First,
        Choice::Next => Fit::Next,
        Choice::Best => Fit::Best,
    };
    let base = BASE.next_multiple_of(granule);
    let mut book = FreeList::new(fit, rules, base, growth);
    // Where the objects are by the book; and the first one, here and there.
    let mut places: HashMap<ObjectId, u64> = HashMap::new();
    let mut first: Option<(u64, u64)> = None;
    for (at, moment, scene) in reading.scenes() {
        match (moment.op, &moment.reply, scene.effect) {
            (Op::Mutate { action: Action::Alloc { shape, .. }, .. }, Reply::OutOfMemory, _) => {
                let mut trial = book.clone();
                let room = trial.allocate(shape.size());
                tell(at, Told::Refused { size: shape.size(), room });
            }
            (
                Op::Mutate { action: Action::Alloc { shape, .. }, .. },
                Reply::Born { at: address, .. },
                Effect::Born(id),
            ) => {
                let size = shape.size();
                if size == 0 {
                    continue;
                }
                let place = book.allocate(size).or_else(|| {
                    let more = rules.needed(size)?.checked_next_multiple_of(growth)?;
                    book.size().checked_add(more).filter(|size| *size < u64::MAX / 2)?;
                    book.grow(more);
                    book.allocate(size)
                });
                let Some(place) = place else { return };
                let (here, there) = *first.get_or_insert((address.0, place));
                let (is, owed) = (i128::from(address.0) - i128::from(here), i128::from(place) - i128::from(there));
                tell(at, Told::Placed { id, is, owed });
                if is != owed {
                    return;
                }
                places.insert(id, place);
            }
            (_, _, Effect::Freed(id)) => {
                if let Some(place) = places.remove(&id) {
                    // It is there: it was placed by the book.
                    book.free(place).expect("what was placed can be freed");
                }
            }
            _ => {}
        }
    }
}

fn choice(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    compare(reading, |at, told| {
        if let Told::Placed { id, is, owed } = told {
            check.that(is == owed, at, || {
                (format!("{id} lies {is} bytes from the first object, and should lie {owed} bytes from it"), [id])
            });
        }
    });
    check.done()
}

fn completeness(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    compare(reading, |at, told| match told {
        Told::Refused { size, room } => {
            check.that(room.is_none(), at, || (format!("{size} bytes are refused, and a free block has them"), []));
        }
        Told::Placed { .. } => check.held(),
    });
    check.done()
}

fn bump(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let Some(Placement::Bump { granule }) = reading.history.claims.placement else { return check.done() };
    let mut before: Option<(ObjectId, u64)> = None;
    for (id, life) in reading.lives().filter(|(_, life)| life.shape.size() > 0) {
        let align = granule.max(life.shape.alignment());
        if let Some((other, end)) = before {
            let owed = end.checked_next_multiple_of(align);
            check.that(owed == Some(life.address.0), life.born, || {
                (
                    format!("{other} ends at {end:#x}, and {id} lies at {} instead of behind it", life.address),
                    [id, other],
                )
            });
        }
        before = Some((id, life.address.0.saturating_add(life.shape.size())));
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    const FIRST: &str = "placement=first-fit/16/32/0/64";

    /// Three objects of 32 bytes, of which the first and the last are freed, the last joining what is free behind it.
    const HOLES: &str = "0 alloc r0 0 32 => at 1000 32 0\n0 alloc r1 0 32 => at 1032 32 0\n\
        0 alloc r2 0 32 => at 1064 32 0\n0 alloc r3 0 32 => at 1096 32 0\n0 free r0\n0 free r2\n";

    #[test]
    fn each_rule_has_its_own_place() {
        // After four objects the first hole is at 1000, and a smaller one is made at 1064 by another of half the size.
        let placed = |law, rule: &str, at: u64| {
            told(law, &format!("placement={rule}/16/16/0/128"), &format!("{HOLES}0 alloc r0 0 32 => at {at} 32 0"))
        };
        assert_eq!([1000, 1064].map(|at| placed(18, "first-fit", at)), [Ok(5), Err(6)]);
        assert_eq!([1000, 1064].map(|at| placed(20, "best-fit", at)), [Ok(5), Err(6)]);
        let grown = told(
            18,
            FIRST,
            "0 alloc r0 0 32 => at 8 32 0\n0 alloc r1 0 32 => at 40 32 0\n0 alloc r2 0 32 => at 72 32 0",
        );
        assert_eq!(grown, Ok(3), "the range grows as it has to");
        assert_eq!(
            told(18, FIRST, "0 alloc r0 0 0 => at 7 0 0\n0 alloc r1 0 32 => at 40 32 0"),
            Ok(1),
            "nothing is nowhere"
        );
        // Behind an object that is out of place nothing can be said.
        let lost = "0 alloc r0 0 32 => at 8 32 0\n0 alloc r1 0 32 => at 80 32 0\n0 alloc r2 0 32 => at 1 32 0";
        assert_eq!([told(18, FIRST, lost), told(17, FIRST, lost)], [Err(1), Ok(2)]);
    }

    #[test]
    fn a_request_is_refused_only_if_no_block_is_large_enough() {
        let refused = |claims: &str, size: u32| told(17, claims, &format!("{HOLES}0 alloc r0 0 {size} => full"));
        let tight = "placement=first-fit/16/16/0/128";
        assert_eq!([32, 33].map(|size| refused(tight, size)), [Err(6), Ok(5)]);
        assert_eq!(told(17, tight, "0 alloc r0 0 200 => full"), Ok(1), "nobody knows how far it can grow");
    }

    #[test]
    fn a_cursor_places_each_behind_the_one_before() {
        let placed = |sizes: [u32; 2], at: u64| {
            let [one, other] = sizes;
            told(
                22,
                "placement=bump/8",
                &format!("0 alloc r0 0 {one} => at 64 {one} 0\n0 alloc r1 0 {other} => at {at} {other} 0"),
            )
        };
        assert_eq!([72, 80, 88].map(|at| placed([12, 8], at)), [Err(1), Ok(1), Err(1)]);
        assert_eq!([placed([8, 0], 3), placed([0, 8], 8)], [Ok(0); 2], "nothing is nowhere");
        assert_eq!(
            [128, 72].map(|at| told(
                22,
                "placement=bump/8",
                &format!("0 alloc r0 0 8 => at 64 8 0\n0 alloc r1 0 8 @128 => at {at} 8 0")
            )),
            [Ok(1), Err(1)]
        );
    }
}
