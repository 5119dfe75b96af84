//! Where objects are: laws 1, 3, 4, 7 and 8.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    graph::Effect,
    heap::{Capability, Reply},
    object::ObjectId,
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 1,
        name: "no overlap",
        statement: "The memory of two objects that both exist never overlaps.",
        needs: Needs::of(&[Capability::Addresses]),
        judge: no_overlap,
    },
    Law {
        number: 3,
        name: "big enough",
        statement: "An object has at least as many usable bytes as were asked for.",
        needs: Needs::NOTHING,
        judge: big_enough,
    },
    Law {
        number: 4,
        name: "alignment",
        statement: "An object with pointers lies on a multiple of 8, any other on the largest of 8, 4, 2, 1 that divides its size.",
        needs: Needs::of(&[Capability::Addresses]),
        judge: alignment,
    },
    Law {
        number: 7,
        name: "address stability",
        statement: "An object never moves: loads find it, and marking works on it, where it was born.",
        needs: Needs::of(&[Capability::Addresses]),
        judge: address_stability,
    },
    Law {
        number: 8,
        name: "identity",
        statement: "Two objects that both exist never have the same address, and none has the address 0.",
        needs: Needs::NOTHING,
        judge: identity,
    },
];

/// Calls `each` for every birth, with each older object that exists at that time: that was not freed, or of a heap that
/// does not report its frees, that a mutator can reach.
fn at_births(reading: &Reading<'_>, mut each: impl FnMut(ObjectId, ObjectId)) {
    let frees = reading.history.claims.tell_frees();
    for (id, life) in reading.lives() {
        for (other, older) in reading.lives().take_while(|(other, _)| *other < id) {
            if older.spans(life.born) && (frees || older.reachable(life.born)) {
                each(id, other);
            }
        }
    }
}

fn no_overlap(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    at_births(reading, |id, other| {
        if let (Some(new), Some(old)) = (reading.life(id), reading.life(other)) {
            let (a, b) = (new.address.0, old.address.0);
            let apart = a.checked_add(new.usable).is_some_and(|end| end <= b)
                || b.checked_add(old.usable).is_some_and(|end| end <= a)
                || new.usable == 0
                || old.usable == 0;
            check.that(apart, new.born, || {
                let why = format!(
                    "{id} was given {} bytes at {}, where {other} has {} bytes at {}",
                    new.usable, new.address, old.usable, old.address
                );
                (why, [id, other])
            });
        }
    });
    check.done()
}

fn identity(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        check.that(life.address.0 != 0, life.born, || (format!("{id} was given the address 0"), [id]));
    }
    at_births(reading, |id, other| {
        if let (Some(new), Some(old)) = (reading.life(id), reading.life(other)) {
            check.that(new.address != old.address, new.born, || {
                (format!("{id} was given the address {} of {other}", new.address), [id, other])
            });
        }
    });
    check.done()
}

fn big_enough(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        check.that(life.usable >= life.shape.size(), life.born, || {
            (format!("{id} asked for {} bytes and was given {}", life.shape.size(), life.usable), [id])
        });
    }
    check.done()
}

fn alignment(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (id, life) in reading.lives() {
        let owed = life.shape.alignment();
        check.that(life.address.0 % owed == 0, life.born, || {
            (
                format!("{id}, of {} bytes, lies at {}, not on a multiple of {owed}", life.shape.size(), life.address),
                [id],
            )
        });
    }
    check.done()
}

fn address_stability(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        let (Effect::Loaded(Some(id)), Reply::Object(seen)) = (scene.effect, &moment.reply) else { continue };
        let Some(life) = reading.life(id) else { continue };
        // An address where some other object lives is a matter for law 14.
        let moved = *seen != life.address && reading.owner(*seen, at).is_none();
        check.that(!moved, at, || (format!("{id} was born at {} and is now at {seen}", life.address), [id]));
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::{told, why};

    #[test]
    fn two_objects_that_exist_have_no_byte_in_common() {
        let second = |at: u64, size: u32| {
            told(1, "", &format!("0 alloc r0 0 16 => at 64 16 0\n0 alloc r1 0 {size} => at {at} {size} 0"))
        };
        assert_eq!([80, 48].map(|at| second(at, 16)), [Ok(1); 2]);
        assert_eq!([79, 72, 64, 49].map(|at| second(at, 16)), [Err(1); 4]);
        assert_eq!([second(64, 0), second(72, 0)], [Ok(1); 2], "it has no byte");
        let nothing_first = "0 alloc r0 0 => at 72 0 0\n0 alloc r1 0 16 => at 64 16 0";
        assert_eq!(told(1, "", nothing_first), Ok(1));
        assert_eq!(told(8, "", nothing_first), Ok(3));
    }

    #[test]
    fn what_was_freed_is_in_nobodys_way() {
        let again = |between: &str| {
            format!("0 alloc r0 0 16 => at 64 16 0\n0 clear r0\n{between}\n0 alloc r1 0 16 => at 64 16 0")
        };
        for law in [1, 8] {
            let births = if law == 8 { 2 } else { 0 };
            assert_eq!(told(law, "", &again("")), Ok(births), "who says that it was not freed?");
            assert_eq!(told(law, "frees", &again("")), Err(2));
            assert_eq!(told(law, "frees", &again("gc full => ok; free 64")), Ok(births));
        }
    }

    #[test]
    fn nobody_lives_where_another_does_or_at_0() {
        let born = |at: u64| told(8, "", &format!("0 alloc r0 0 16 => at 64 16 0\n0 alloc r1 0 16 => at {at} 16 0"));
        assert_eq!([0, 64, 72].map(born), [Err(1), Err(1), Ok(3)]);
    }

    #[test]
    fn objects_are_as_large_and_as_aligned_as_they_have_to_be() {
        let born = |law, shape: &str, at: &str| told(law, "", &format!("0 alloc r0 {shape} => at {at} 0"));
        assert_eq!([15, 16, 17].map(|usable| born(3, "0 16", &format!("64 {usable}"))), [Err(0), Ok(1), Ok(1)]);
        let no_answer = "0 alloc r0 0 8 => ok\n0 alloc r1 0 8 => at 64 7 0";
        assert!(why(3, "", no_answer).starts_with("b asked"), "what has no answer has a number all the same");
        assert_eq!(["68 8", "72 8"].map(|at| born(4, "1 0", at)), [Err(0), Ok(1)]);
        assert_eq!(["66 12", "68 12"].map(|at| born(4, "0 12", at)), [Err(0), Ok(1)]);
    }

    #[test]
    fn an_object_is_found_where_it_was_born() {
        let loaded = |at: u64| {
            let born = "0 alloc r0 1 => at 64 8 0\n0 alloc r1 0 8 => at 80 8 0\n0 store g0 r0\n";
            told(7, "", &format!("{born}0 load r2 g0 => ref {at}"))
        };
        // Where another lives is for law 14.
        assert_eq!([64, 72, 80].map(loaded), [Ok(1), Err(3), Ok(1)]);
    }
}
