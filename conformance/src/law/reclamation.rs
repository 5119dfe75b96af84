//! That garbage goes, and that its room can be had again: laws 58 to 61, 67, 93, 97, 139 and 142.
//!
//! What a heap refuses says nothing by itself, as nobody knows how much memory it has. But where an object was freed,
//! just such a one has room, as long as nobody has allocated since. A [tiny](heaplaw_reference::object::Shape::is_tiny)
//! object may have lain in a block with others, which is not free before they are; and what is swept may come back to
//! the mutator that had it, and to no other.

use super::{Check, Judgement, Law, Needs};
use crate::reading::{Life, Reading};
use heaplaw_reference::{
    heap::{Capability, Reply},
    object::{ObjectId, Shape, TINY_BLOCK},
    op::{Action, Collect, Environment, MutatorId, Op},
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 58,
        name: "allocate white outside",
        statement: "What is born after marking has ended, and is garbage when it begins again, is freed by the end of that cycle's sweep.",
        needs: Needs::of(&[Capability::Frees, Capability::Phases]),
        judge: allocate_white_outside,
    },
    Law {
        number: 59,
        name: "completeness",
        statement: "What is garbage when marking begins is freed by the end of that cycle's sweep.",
        needs: Needs::of(&[Capability::Frees, Capability::Phases]),
        judge: completeness,
    },
    Law {
        number: 60,
        name: "two cycles",
        statement: "What becomes garbage during a cycle is freed by the end of the next cycle's sweep.",
        needs: Needs::of(&[Capability::Frees, Capability::Phases]),
        judge: two_cycles,
    },
    Law {
        number: 61,
        name: "cycles",
        statement: "A full collection frees garbage that refers to itself in a circle, and what hangs on it.",
        needs: Needs::of(&[Capability::Collect, Capability::Frees]),
        judge: cycles,
    },
    Law {
        number: 67,
        name: "order independence",
        statement: "A cycle in which no mutator acts frees exactly what was garbage when it began, in whatever steps it is taken.",
        needs: Needs::of(&[Capability::Steps, Capability::Frees, Capability::Phases]),
        judge: order_independence,
    },
    Law {
        number: 93,
        name: "done before mark",
        statement: "When the sweep ends, before the next marking begins, whatever was white when marking ended has been freed, or is kept for its finalizer.",
        needs: Needs::of(&[Capability::Frees, Capability::Phases, Capability::Colors]),
        judge: done_before_mark,
    },
    Law {
        number: 97,
        name: "full collection",
        statement: "A full collection frees everything that is garbage when it is called.",
        needs: Needs::of(&[Capability::Collect, Capability::Frees]),
        judge: full_collection,
    },
    Law {
        number: 139,
        name: "idempotence",
        statement: "A full collection right after another one frees nothing and changes no statistics.",
        needs: Needs::of(&[Capability::Collect]),
        judge: idempotence,
    },
    Law {
        number: 142,
        name: "room again",
        statement: "A mutator that asks for the shape of an object which was its own and which the heap has freed, when nothing was allocated since, is not refused, unless the environment refuses the heap this one request.",
        needs: Needs::of(&[Capability::Frees]),
        judge: room_again,
    },
];

/// Whether an object may still exist after a moment because of a neighbour: it is tiny, and in the same block lies another
/// that still exists too, and that a collection which began at `since` could not free.
fn may_share(reading: &Reading<'_>, id: ObjectId, life: &Life, since: usize, after: usize) -> bool {
    let block = |life: &Life| life.address.0 / TINY_BLOCK;
    let keeps = |other: &Life| {
        other.shape.is_tiny() && block(other) == block(life) && other.spans(after) && !other.dead(since, after)
    };
    life.shape.is_tiny() && reading.lives().any(|(other, life)| other != id && keeps(life))
}

fn completeness(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(swept) = cycle.swept else { continue };
        for id in cycle.garbage.iter() {
            must_be_gone(reading, &mut check, id, cycle.start, swept, || {
                format!("{id} was garbage when marking began and still exists when the sweep has ended")
            });
        }
    }
    check.done()
}

fn allocate_white_outside(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (former, cycle) in reading.cycles.iter().zip(reading.cycles.iter().skip(1)) {
        let (Some(marked), Some(swept)) = (former.marked, cycle.swept) else { continue };
        for id in cycle.garbage.iter() {
            if reading.life(id).is_some_and(|life| life.born > marked && life.born < cycle.start) {
                must_be_gone(reading, &mut check, id, cycle.start, swept, || {
                    format!("{id} was born between two cycles, and still exists when the second has ended")
                });
            }
        }
    }
    check.done()
}

fn order_independence(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(swept) = cycle.swept else { continue };
        let steps = &reading.history.moments[cycle.start..=swept];
        if !steps.iter().all(|moment| matches!(moment.op, Op::Collect(_))) {
            continue;
        }
        for id in cycle.garbage.iter() {
            must_be_gone(reading, &mut check, id, cycle.start, swept, || {
                format!("{id} was garbage when marking began, no mutator has acted since, and the sweep has left it")
            });
        }
        // What is freed when the cycle starts was left by the one before.
        for (at, id) in reading.frees.iter().filter(|(at, _)| cycle.start < *at && *at <= swept) {
            check.that(cycle.garbage.contains(*id), *at, || {
                (format!("{id} was no garbage when marking began, no mutator has acted since, and it is freed"), [*id])
            });
        }
    }
    check.done()
}

fn two_cycles(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (cycle, next) in reading.cycles.iter().zip(reading.cycles.iter().skip(1)) {
        let Some(swept) = next.swept else { continue };
        let dead = next.garbage.iter().filter(|id| reading.life(*id).is_some_and(|life| life.born <= cycle.start));
        for id in dead {
            must_be_gone(reading, &mut check, id, next.start, swept, || {
                format!("{id} became garbage during a cycle and still exists after the next")
            });
        }
    }
    check.done()
}

fn done_before_mark(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let (Some(marked), Some(swept)) = (cycle.marked, cycle.swept) else { continue };
        for id in cycle.white.iter() {
            // What is born in the operation in which marking ends may have been born after that.
            let Some(life) = reading.life(id).filter(|life| life.born < marked) else { continue };
            let sweeping = marked..=swept;
            let gone = || !life.spans(swept);
            let dies = || reading.finalized.iter().any(|(at, dead)| *dead == id && sweeping.contains(at));
            check.that(gone() || dies() || may_share(reading, id, life, cycle.start, swept), swept, || {
                (format!("the sweep ends without having freed {id}, which was white when marking ended"), [id])
            });
        }
    }
    check.done()
}

fn full_collection(reading: &Reading<'_>) -> Judgement {
    full(reading, |_| true, "is garbage and still exists after a full collection")
}

fn cycles(reading: &Reading<'_>) -> Judgement {
    full(reading, |life| life.ring, "is garbage on a circle, or behind one, and outlives a full collection")
}

/// Checks that full collections free the garbage that is meant.
fn full(reading: &Reading<'_>, meant: fn(&Life) -> bool, why: &str) -> Judgement {
    let mut check = Check::default();
    for (at, moment, _) in reading.scenes() {
        if moment.op != Op::Collect(Collect::Full) || moment.reply != Reply::Done {
            continue;
        }
        for (id, life) in reading.lives() {
            if life.born < at && !life.kept(at) && meant(life) {
                must_be_gone(reading, &mut check, id, at, at, || format!("{id} {why}"));
            }
        }
    }
    check.done()
}

/// Checks that an object which stayed garbage does not exist after a collection, unless a neighbour keeps it.
fn must_be_gone(
    reading: &Reading<'_>,
    check: &mut Check,
    id: ObjectId,
    since: usize,
    after: usize,
    why: impl FnOnce() -> String,
) {
    let Some(life) = reading.life(id) else { return };
    if life.dead(since, after) {
        let gone = !life.spans(after) || may_share(reading, id, life, since, after);
        check.that(gone, after, || (why(), [id]));
    }
}

fn idempotence(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // Since the last full collection nothing has happened but looking; the statistics seen since then.
    let mut clean = false;
    let mut stats: Option<&Reply> = None;
    for (at, moment, _) in reading.scenes() {
        match (&moment.op, &moment.reply) {
            (Op::Collect(Collect::Full), Reply::Done) => {
                if clean {
                    let freed = reading.frees.iter().find(|(when, _)| *when == at);
                    check.that(freed.is_none(), at, || {
                        let id = freed.map_or(ObjectId(0), |(_, id)| *id);
                        (format!("{id} is freed only by the second of two full collections"), [id])
                    });
                } else {
                    stats = None;
                }
                clean = true;
            }
            (Op::Collect(Collect::Stats), reply @ Reply::Stats { .. }) if clean => {
                if let Some(earlier) = stats {
                    check.that(earlier == reply, at, || {
                        (format!("the statistics were {earlier:?} after a full collection and are {reply:?} now"), [])
                    });
                }
                stats = Some(reply);
            }
            (Op::Collect(Collect::Stats), _) => {}
            _ => clean = false,
        }
    }
    check.done()
}

fn room_again(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let mut frees = reading.frees.iter().peekable();
    // What was freed since the last birth, and whose it was.
    let mut freed: Vec<(MutatorId, Shape)> = Vec::new();
    let mut excused = false;
    for (at, moment, _) in reading.scenes() {
        let refused = moment.reply == Reply::OutOfMemory;
        match moment.op {
            Op::Mutate { by, action: Action::Alloc { shape, .. } } => {
                if freed.contains(&(by, shape)) {
                    check.that(!refused || excused, at, || {
                        let (pointers, bytes) = (shape.pointers, shape.bytes);
                        let what = format!("{pointers} fields and {bytes} bytes");
                        (format!("an object of {what} is refused, and just such a one was collected before"), [])
                    });
                }
                excused &= !refused;
                if !refused {
                    freed.clear();
                }
            }
            Op::Environment(Environment::Fail(request)) => excused = request > 0,
            _ => {}
        }
        // What is freed in the course of an allocation may be what is allocated; of what is freed by hand, law 41 speaks.
        let collects = !matches!(moment.reply, Reply::Born { .. })
            && !matches!(moment.op, Op::Mutate { action: Action::Free(_), .. });
        while let Some((_, id)) = frees.next_if(|(when, _)| *when <= at) {
            let Some(life) = reading.life(*id).filter(|life| collects && !life.shape.is_tiny()) else { continue };
            if let Op::Mutate { by, .. } = reading.history.moments[life.born].op {
                freed.push((by, life.shape));
            }
        }
    }
    check.done()
}
