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
                }
                excused &= !refused;
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
