//! What a program can learn of a death: laws 68, 92 and 107 to 115.

use super::{Check, Judgement, Law, Needs};
use crate::reading::Reading;
use heaplaw_reference::{
    event::Phase,
    graph::{Death, Effect, Obituary},
    heap::{Capability, Invariant, Reply},
    object::ObjectId,
    op::WEAKS,
};

pub(super) const LAWS: &[Law] = &[
    Law {
        number: 68,
        name: "root completeness",
        statement: "What only a finalizer or a cleanup that has not run holds survives a cycle.",
        needs: Needs::of(&[Capability::Finalizers, Capability::Frees, Capability::Phases]),
        judge: root_completeness,
    },
    Law {
        number: 92,
        name: "swept before use",
        statement: "While sweeping, a weak pointer finds no object that was white when marking ended, unless it was kept for its finalizer.",
        needs: Needs::of(&[Capability::Weak, Capability::Phases, Capability::Colors]),
        judge: swept_before_use,
    },
    Law {
        number: 107,
        name: "at most once",
        statement: "A finalizer runs once, only when nothing else holds its object, and is due when a full collection has found that so.",
        needs: Needs::of(&[Capability::Finalizers]),
        judge: at_most_once,
    },
    Law {
        number: 108,
        name: "resurrection",
        statement: "The object that a finalizer is handed, and all that it leads to, have not been freed.",
        needs: Needs::of(&[Capability::Finalizers, Capability::Frees]),
        judge: resurrection,
    },
    Law {
        number: 109,
        name: "dependency order",
        statement: "If one object with a finalizer leads to another, its finalizer runs first, and that of the other in a later cycle.",
        needs: Needs::of(&[Capability::Finalizers]),
        judge: dependency_order,
    },
    Law {
        number: 110,
        name: "cyclic finalizer",
        statement: "A finalizer does not run while its own object leads back to it.",
        needs: Needs::of(&[Capability::Finalizers]),
        judge: cyclic_finalizer,
    },
    Law {
        number: 111,
        name: "cleanup",
        statement: "A cleanup runs once, only after its object was freed and with its argument intact, and is due when a full collection has found the object dead.",
        needs: Needs::of(&[Capability::Cleanups]),
        judge: cleanup,
    },
    Law {
        number: 112,
        name: "weak truth",
        statement: "A weak pointer finds its object as long as a mutator can reach it, never another one or one that was freed, and nothing after it has found nil.",
        needs: Needs::of(&[Capability::Weak]),
        judge: weak_truth,
    },
    Law {
        number: 113,
        name: "weak before finalizer",
        statement: "A weak pointer that was made before its object's finalizer ran finds nil afterwards.",
        needs: Needs::of(&[Capability::Weak, Capability::Finalizers]),
        judge: weak_before_finalizer,
    },
    Law {
        number: 114,
        name: "weak canonical",
        statement: "Two weak pointers are the same exactly if they were made of one object in one life.",
        needs: Needs::of(&[Capability::Weak]),
        judge: weak_canonical,
    },
    Law {
        number: 115,
        name: "weak to strong in mark",
        statement: "What a weak pointer finds while marking survives the cycle.",
        needs: Needs::of(&[Capability::Weak, Capability::Phases, Capability::Frees])
            .upholding(&[Invariant::Weak, Invariant::ModifiedWeak]),
        judge: weak_to_strong_in_mark,
    },
];

fn root_completeness(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for cycle in &reading.cycles {
        let Some(swept) = cycle.swept else { continue };
        for (id, life) in reading.lives() {
            let held = |moment| life.kept(moment) && !life.reachable(moment);
            if life.born < cycle.start && held(cycle.start) && held(swept) {
                check.that(life.spans(swept), swept, || {
                    (format!("{id} is freed although a finalizer or cleanup that has not run holds it"), [id])
                });
            }
        }
    }
    check.done()
}

fn swept_before_use(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, _, scene) in reading.scenes() {
        let Effect::Strong { target, came, .. } = scene.effect else { continue };
        let sweeping = scene.phase == Phase::Sweep;
        let cycle = reading.cycles.iter().rev().find(|cycle| cycle.start <= at).filter(|_| sweeping);
        let Some(cycle) = cycle.filter(|cycle| cycle.white.contains(target)) else { continue };
        // What was kept for its finalizer may have been handed out to that, and live again.
        let kept = reading.finalized.iter().any(|(moment, id)| *id == target && (cycle.start..=at).contains(moment));
        let dead = cycle.marked.is_some_and(|marked| marked < at) && !kept;
        check.that(!dead || came != Some(target), at, || {
            (format!("{target} was not marked, and is handed out before the sweep has come to it"), [target])
        });
    }
    check.done()
}

fn at_most_once(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        match (scene.effect, &moment.reply) {
            (Effect::Finalize(Some((id, death))), _) => {
                check.that(death != Death::NotOwed, at, || {
                    (format!("{id} is handed to a finalizer that it does not have, or that has run"), [id])
                });
                check.that(death != Death::Held, at, || {
                    (format!("the finalizer of {id} runs although something else holds {id}"), [id])
                });
            }
            (Effect::Finalize(None), Reply::Object(seen)) => {
                check.failed(at, format!("a finalizer is handed {seen}, where no object lives"), []);
            }
            (Effect::Finalize(None), _) => {
                let late = overdue(reading, at);
                check.that(late.is_none(), at, || {
                    let id = late.unwrap_or(ObjectId(0));
                    (format!("{id} was dead when everything was collected, and its finalizer is not due"), [id])
                });
            }
            _ => {}
        }
    }
    check.done()
}

/// The object whose finalizer or cleanup is due when nil is handed out.
fn overdue(reading: &Reading<'_>, at: usize) -> Option<ObjectId> {
    reading.overdue.iter().find(|(moment, _)| *moment == at).map(|(_, id)| *id)
}

fn resurrection(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        if let (Effect::Finalize(None), Reply::Object(seen)) = (scene.effect, &moment.reply) {
            check.failed(at, format!("a finalizer is handed {seen}, where no object lives"), []);
        }
    }
    for (at, id, missing) in &reading.estates {
        match missing {
            None => check.held(),
            Some(missing) if missing == id => {
                check.failed(*at, format!("the finalizer of {id} runs after {id} was freed"), [*id]);
            }
            Some(missing) => {
                check.failed(*at, format!("the finalizer of {id} runs after {missing} was freed"), [*id, *missing]);
            }
        }
    }
    check.done()
}

fn dependency_order(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let phases = reading.history.claims.has(Capability::Phases);
    for (at, _, scene) in reading.scenes() {
        let Effect::Finalize(Some((id, death))) = scene.effect else { continue };
        if let Death::Awaits(first) = death
            && first != id
        {
            check.failed(
                at,
                format!("the finalizer of {id} runs before that of {first}, which leads to it"),
                [id, first],
            );
            continue;
        }
        // The object was let go of for the last time here; only a marking that ended since can have found it dead.
        let life = reading.life(id);
        let gone = life.and_then(|life| life.unreachable.iter().rev().find(|turn| **turn < at));
        if let (Some(gone), Death::Due, true) = (gone, death, phases) {
            let ended = |moment: usize| (*gone..=at).contains(&moment);
            let found = reading.cycles.iter().any(|cycle| cycle.marked.is_some_and(ended));
            check.that(found, at, || {
                (format!("the finalizer of {id} runs although no marking has ended since {id} was let go of"), [id])
            });
        }
    }
    check.done()
}

fn cyclic_finalizer(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, _, scene) in reading.scenes() {
        if let Effect::Finalize(Some((id, death))) = scene.effect {
            check.that(death != Death::Awaits(id), at, || {
                (format!("the finalizer of {id} runs although {id} leads back to itself"), [id])
            });
        }
    }
    check.done()
}

fn cleanup(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    let frees = reading.history.claims.has(Capability::Frees);
    let mut pending: Vec<(ObjectId, ObjectId)> = Vec::new();
    for (at, moment, scene) in reading.scenes() {
        match (scene.effect, &moment.reply) {
            (Effect::Cleanup(of, with), _) => pending.push((of, with)),
            (Effect::Clean(Some(argument)), _) => {
                let dead = |of: &ObjectId| {
                    reading.life(*of).is_some_and(|life| if frees { !life.spans(at) } else { !life.kept(at) })
                };
                let owed = |cleanup: &(ObjectId, ObjectId)| cleanup.1 == argument;
                let due = pending.iter().position(|cleanup| owed(cleanup) && dead(&cleanup.0));
                match due.or_else(|| pending.iter().position(owed)) {
                    None => {
                        check.failed(at, format!("no cleanup with the argument {argument} is left to run"), [argument]);
                    }
                    Some(place) => {
                        let (of, _) = pending.remove(place);
                        check
                            .that(due.is_some(), at, || (format!("a cleanup of {of} runs before {of} is freed"), [of]));
                        let intact = reading.life(argument).is_some_and(|life| life.spans(at));
                        check.that(intact, at, || {
                            (format!("a cleanup of {of} runs after its argument {argument} was freed"), [of, argument])
                        });
                    }
                }
            }
            (Effect::Clean(None), Reply::Object(seen)) => {
                check.failed(at, format!("a cleanup is handed {seen}, where no object lives"), []);
            }
            (Effect::Clean(None), _) => {
                let late = overdue(reading, at);
                check.that(late.is_none(), at, || {
                    let id = late.unwrap_or(ObjectId(0));
                    (format!("{id} was dead when everything was collected, and its cleanup is not due"), [id])
                });
            }
            _ => {}
        }
    }
    check.done()
}

fn weak_truth(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        let Effect::Strong { target, dead, reachable, came } = scene.effect else { continue };
        match (&moment.reply, dead) {
            (Reply::Object(seen), _) if came != Some(target) => {
                let what = came.map_or_else(|| format!("{seen}, where no object lives"), |id| id.to_string());
                check.failed(at, format!("a weak pointer to {target} finds {what}"), [target]);
            }
            (Reply::Object(_), Some(Obituary::FoundNil)) => {
                check.failed(
                    at,
                    format!("a weak pointer to {target} found nil before and now finds {target}"),
                    [target],
                );
            }
            (Reply::Nil, None) => check.that(!reachable, at, || {
                (format!("a weak pointer to {target} finds nil although a mutator can reach {target}"), [target])
            }),
            _ => check.held(),
        }
    }
    check.done()
}

fn weak_before_finalizer(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, moment, scene) in reading.scenes() {
        if let Effect::Strong { target, dead: Some(Obituary::Finalized), .. } = scene.effect {
            check.that(moment.reply == Reply::Nil, at, || {
                (format!("a weak pointer finds {target}, whose finalizer has run since it was made"), [target])
            });
        }
    }
    check.done()
}

fn weak_canonical(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    // Of each slot: the object, how often it had died before, and the identity.
    let mut slots: [Option<((ObjectId, usize), u64)>; WEAKS as usize] = [None; WEAKS as usize];
    let mut finalized: Vec<ObjectId> = Vec::new();
    for (at, moment, scene) in reading.scenes() {
        match (scene.effect, &moment.reply) {
            (Effect::Finalize(Some((id, _))), _) => finalized.push(id),
            (Effect::Weak(slot, target), Reply::Weak(identity)) => {
                let life = (target, finalized.iter().filter(|id| **id == target).count());
                slots[usize::from(slot.0)] = None;
                for (other, known) in slots.iter().flatten() {
                    check.that((*known == *identity) == (*other == life), at, || {
                        let why = match other.0 == target {
                            true if *other == life => format!("two weak pointers to {target} differ"),
                            true => format!("a weak pointer to {target} is the same as one from its former life"),
                            false => format!("weak pointers to {target} and {} are the same", other.0),
                        };
                        (why, [target])
                    });
                }
                slots[usize::from(slot.0)] = Some((life, *identity));
            }
            _ => {}
        }
    }
    check.done()
}

fn weak_to_strong_in_mark(reading: &Reading<'_>) -> Judgement {
    let mut check = Check::default();
    for (at, _, scene) in reading.scenes() {
        let Effect::Strong { target, came, .. } = scene.effect else { continue };
        if scene.phase != Phase::Mark || came != Some(target) {
            continue;
        }
        let Some(cycle) = reading.cycles.iter().rev().find(|cycle| cycle.start <= at) else { continue };
        let Some(freed) = reading.life(target).and_then(|life| life.freed) else {
            check.held();
            continue;
        };
        let survived = cycle.swept.is_some_and(|swept| freed > swept);
        // A full collection finishes one cycle and runs another in one operation.
        let another = reading.cycles.iter().any(|later| later.start > at && later.start <= freed);
        check.that(survived || another, freed, || {
            (format!("{target} was found by a weak pointer while marking and is freed by that same cycle"), [target])
        });
    }
    check.done()
}
