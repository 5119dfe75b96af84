//! What a program that frees by hand is owed: laws 9, 21 and 41.
//!
//! Where an allocator puts an object is its own affair, and how much memory it has. So that it refuses a request says
//! nothing by itself. Three requests it cannot well refuse: one for nothing, one for what it has just been given back, and
//! one that it granted before, when all has been given back since: the pieces that memory was cut into have to come
//! together again.
//!
//! Of the second and third kind, only what no allocator that there is would fail is asked for. Whatever was allocated
//! in between may have taken a part of what was freed. A [tiny](Shape::is_tiny) object may have lain in a block with
//! others, which is not free before they are. What one mutator frees may wait in its own cache for it. And if the
//! environment refuses the heap some request for memory, that may be this one: once for each time that it was told to.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    graph::Effect,
    heap::{Capability, Reply},
    object::Shape,
    op::{Action, Environment, MutatorId, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 9,
        name: "zero size",
        statement: "An object without a byte is never refused.",
        needs: Needs::of(&[Capability::Free]),
        judge: zero_size,
    },
    Law {
        number: 21,
        name: "all free",
        statement: "When every object has been freed, a mutator that asks for a shape which it was given before is not refused, unless the environment refuses the heap this one request.",
        needs: Needs::of(&[Capability::Free]),
        judge: all_free,
    },
    Law {
        number: 41,
        name: "reuse",
        statement: "A mutator that asks for the shape of an object which it freed, when nothing was allocated since, is not refused, unless the environment refuses the heap this one request.",
        needs: Needs::of(&[Capability::Free]),
        judge: reuse,
    },
];

fn zero_size(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, _) in reading.scenes() {
        if let Op::Mutate { action: Action::Alloc { shape, .. }, .. } = moment.op
            && shape.size() == 0
        {
            check.that(moment.reply != Reply::OutOfMemory, at, || ("an object of 0 bytes is refused".to_owned(), []));
        }
    }
    check.done()
}

fn all_free(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // A heap that frees by itself as well has its own time for it.
    if !reading.history.claims.is_allocator() {
        return check.done();
    }
    let mut given: Vec<(MutatorId, Shape)> = Vec::new();
    let (mut exist, mut excused) = (0u64, false);
    for (at, moment, scene) in reading.scenes() {
        match moment.op {
            Op::Mutate { by, action: Action::Alloc { shape, .. } } => {
                let refused = moment.reply == Reply::OutOfMemory;
                if exist == 0 && given.contains(&(by, shape)) {
                    check.that(!refused || excused, at, || {
                        let (pointers, bytes) = (shape.pointers, shape.bytes);
                        let what = format!("{pointers} fields and {bytes} bytes");
                        (format!("everything is free, and an object of {what} is refused, which was given before"), [])
                    });
                    excused &= !refused;
                }
                if !refused {
                    exist += 1;
                    if !given.contains(&(by, shape)) {
                        given.push((by, shape));
                    }
                }
            }
            Op::Mutate { action: Action::Free(_), .. } if matches!(scene.effect, Effect::Freed(_)) => {
                exist = exist.saturating_sub(1);
            }
            Op::Environment(Environment::Fail(growth)) => excused = growth > 0,
            _ => {}
        }
    }
    check.done()
}

fn reuse(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // What was freed, and by whom, since the last birth.
    let mut freed: Vec<(MutatorId, Shape)> = Vec::new();
    let mut excused = false;
    for (at, moment, scene) in reading.scenes() {
        match moment.op {
            Op::Mutate { by, action: Action::Alloc { shape, .. } } => {
                let refused = moment.reply == Reply::OutOfMemory;
                if freed.contains(&(by, shape)) {
                    check.that(!refused || excused, at, || {
                        let (pointers, bytes) = (shape.pointers, shape.bytes);
                        let what = format!("{pointers} fields and {bytes} bytes");
                        (format!("an object of {what} is refused, and just such a one was freed before"), [])
                    });
                    excused &= !refused;
                }
                if !refused {
                    freed.clear();
                }
            }
            Op::Mutate { by, action: Action::Free(_) } => {
                let Effect::Freed(id) = scene.effect else { continue };
                let shape = reading.life(id).map(|life| life.shape);
                freed.extend(shape.filter(|shape| !shape.is_tiny()).map(|shape| (by, shape)));
            }
            Op::Environment(Environment::Fail(growth)) => excused = growth > 0,
            _ => {}
        }
    }
    check.done()
}

#[cfg(test)]
mod tests {
    use crate::law::tests::told;

    const OBJECT: &str = "0 alloc r0 0 32 => at 64 32 0\n";

    #[test]
    fn nothing_is_never_refused() {
        assert_eq!(
            ["0 0 => full", "0 1 => full", "0 0 => at 64 0 0"].map(|asked| told(9, "", &format!("0 alloc r0 {asked}"))),
            [Err(0), Ok(0), Ok(1)]
        );
    }

    /// A refusal that is none to any law: nobody was given so much.
    const TOO_LARGE: &str = "0 alloc r2 0 99 => full\n";

    #[test]
    fn when_all_is_free_what_was_given_is_given_again() {
        let (born, full) = ("0 alloc r1 0 32 => at 64 32 0", "0 alloc r1 0 32 => full");
        let again = |then: &str| told(21, "", &format!("{OBJECT}0 free r0\n{then}"));
        assert_eq!([again(born), again(full)], [Ok(1), Err(2)]);
        assert_eq!(told(21, "collect", &format!("{OBJECT}0 free r0\n{full}")), Ok(0), "it frees by itself");
        assert_eq!(again("0 alloc r1 0 31 => full"), Ok(0), "never given");
        assert_eq!(again("1 join\n1 alloc r1 0 32 => full"), Ok(0), "to another");
        assert_eq!(told(21, "", &format!("{OBJECT}{full}")), Ok(0), "it is still there");
        assert_eq!(told(21, "", &format!("{OBJECT}0 free r9\n{full}")), Ok(0), "that freed nothing");
        let two = format!("{OBJECT}0 alloc r1 0 32 => at 128 32 0\n0 free r0\n");
        assert_eq!(
            [told(21, "", &format!("{two}{full}")), told(21, "", &format!("{two}0 free r1\n{full}"))],
            [Ok(0), Err(4)]
        );
        assert_eq!(again(&format!("{TOO_LARGE}{full}")), Err(3), "what is refused is not there");
        assert_eq!(again("0 alloc r1 0 99 => full\n0 alloc r1 0 99 => full"), Ok(0), "nor was it given");
        assert_eq!(again(&format!("env fail 1\n{full}")), Ok(1));
        assert_eq!(again(&format!("env fail 0\n{full}")), Err(3));
        assert_eq!(again(&format!("env fail 1\n{full}\n{full}")), Err(4), "one request is refused");
        assert_eq!(again(&format!("env fail 1\n{TOO_LARGE}{full}")), Ok(1), "nobody was asked for that, perhaps");
        assert_eq!(again(&format!("env fail 1\n{born}\n0 free r1\n{full}")), Ok(2), "it is still to come");
    }

    #[test]
    fn what_was_freed_has_room_for_its_like() {
        let (born, full) = ("0 alloc r1 0 32 => at 64 32 0", "0 alloc r1 0 32 => full");
        let again = |then: &str| told(41, "", &format!("{OBJECT}0 free r0\n{then}"));
        assert_eq!([again(born), again(full)], [Ok(1), Err(2)]);
        assert_eq!(again("0 alloc r1 0 31 => full"), Ok(0), "another shape");
        assert_eq!(again("1 join\n1 alloc r1 0 32 => full"), Ok(0), "another mutator");
        assert_eq!(told(41, "", &format!("{OBJECT}0 free r9\n{full}")), Ok(0), "that freed nothing");
        assert_eq!(again(&format!("0 alloc r2 0 8 => at 64 8 0\n{full}")), Ok(0), "it may have taken the room");
        assert_eq!(again(&format!("{TOO_LARGE}{full}")), Err(3), "that took nothing");
        assert_eq!(again(&format!("env fail 1\n{full}")), Ok(1));
        assert_eq!(again(&format!("env fail 0\n{full}")), Err(3));
        assert_eq!(again(&format!("env fail 1\n{full}\n{full}")), Err(4), "one request is refused");
        assert_eq!(again(&format!("env fail 1\n{born}\n0 free r1\n{full}")), Ok(2), "it is still to come");
        let tiny = "0 alloc r0 0 8 => at 64 8 0\n0 free r0\n";
        assert_eq!(told(41, "", &format!("{tiny}0 alloc r0 0 8 => full")), Ok(0), "its block may not be free");
        assert_eq!(told(41, "", "0 alloc r0 2 => at 64 16 0\n0 free r0\n0 alloc r0 2 => full"), Err(2));
    }
}
