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
            if held(cycle.start) && held(swept) {
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

#[cfg(test)]
mod tests {
    use super::{Judgement, ObjectId};
    use crate::law::tests::{judged, told, why};

    const START: &str = "gc start => ok; phase mark\n";
    const FINISH: &str = "gc finish => ok; phase terminate; phase sweep\n";
    const OBJECT: &str = "0 alloc r0 0 32 => at 64 32 0\n";
    /// An object with a finalizer leads to another, and nothing else holds either.
    const LEFT: &str = "0 alloc r0 1 => at 64 8 0\n0 alloc r1 1 => at 128 8 0\n0 store r0.0 r1\n0 finalizer r0\n\
        0 clear r0\n0 clear r1\n";

    #[test]
    fn what_only_a_finalizer_holds_survives() {
        let swept = |between: &str, freed: &str| {
            told(68, "", &format!("{LEFT}{START}{between}{FINISH}gc sweep 9 => ok; {freed}phase off"))
        };
        assert_eq!([swept("", ""), swept("", "free 128; "), swept("", "free 64; ")], [Ok(2), Err(8), Err(8)]);
        assert_eq!(told(68, "", &format!("{START}{LEFT}{FINISH}gc sweep 9 => ok; phase off")), Ok(0), "born since");
        // Its finalizer has run: mutators hold it, or nobody does.
        assert_eq!(swept("0 finalize r2 => ref 64\n", "free 128; "), Ok(0), "that is for law 51");
        assert_eq!(swept("0 finalize r2 => ref 64\n0 clear r2\n", "free 128; "), Ok(0));
        assert_eq!(
            told(68, "", &format!("{OBJECT}0 clear r0\n{START}{FINISH}gc sweep 9 => ok; free 64; phase off")),
            Ok(0)
        );
        assert_eq!(told(68, "", &format!("{OBJECT}{START}{FINISH}gc sweep 9 => ok; free 64; phase off")), Ok(0));
    }

    #[test]
    fn what_is_to_be_swept_is_not_handed_out() {
        let weak = format!("{OBJECT}0 weak w0 r0 => weak 1\n0 finalizer r0\n0 clear r0\n");
        let asked = |story: &str| told(92, "finalizers", &format!("{weak}{story}"));
        let (found, nil) = ("0 strong r1 w0 => ref 64", "0 strong r1 w0 => nil");
        assert_eq!(
            [asked(&format!("{START}{FINISH}{found}")), asked(&format!("{START}{FINISH}{nil}"))],
            [Err(6), Ok(1)]
        );
        assert_eq!(asked(&format!("{START}gc mark 1 => ok; shade 64\n{FINISH}{found}")), Ok(0), "it was marked");
        assert_eq!(asked(&format!("{START}{FINISH}gc sweep 9 => ok; phase off\n{found}")), Ok(0), "nothing is swept");
        assert_eq!(asked(&format!("{START}{found}; phase terminate; phase sweep")), Ok(1), "as marking ends");
        assert_eq!(asked(&format!("{START}{FINISH}gc sweep 1 => ok; finalize 64\n{found}")), Ok(1), "it is kept");
        let other = "0 alloc r2 0 32 => at 128 32 0\n0 finalizer r2\n0 clear r2\n";
        assert_eq!(asked(&format!("{other}{START}{FINISH}gc sweep 1 => ok; finalize 128\n{found}")), Err(10));
    }

    #[test]
    fn a_finalizer_runs_once_when_nothing_holds_its_object() {
        let owed = format!("{OBJECT}0 finalizer r0\n");
        let (clear, full) = ("0 clear r0\n", "gc full\n");
        let runs = |then: &str| told(107, "", &format!("{owed}{then}"));
        let once = format!("{clear}{full}0 finalize r1 => ref 64\n");
        assert_eq!(runs(&once), Ok(2));
        assert_eq!(runs(&format!("{once}0 clear r1\n0 finalize r1 => ref 64")), Err(6), "a second time");
        assert_eq!(runs("0 finalize r1 => ref 64"), Err(2), "r0 holds it");
        assert_eq!(runs(&format!("{clear}{full}0 finalize r1 => ref 128")), Err(4), "nobody lives there");
        assert_eq!(runs(&format!("{clear}{full}0 finalize r1 => nil")), Err(4), "it is due");
        assert_eq!(
            [runs(&format!("{clear}0 finalize r1 => nil")), runs(&format!("{full}0 finalize r1 => nil"))],
            [Ok(1); 2]
        );
        assert_eq!(runs(&format!("{clear}gc full => idle\n0 finalize r1 => nil")), Ok(1), "it was no full collection");
        assert_eq!(runs(&format!("{once}0 finalize r1 => nil")), Ok(3), "it has run");
        assert!(why(107, "", &format!("{owed}{clear}{full}0 finalize r1 => nil")).starts_with("a was dead"));
        assert_eq!(told(107, "", &format!("{OBJECT}0 finalize r1 => ref 64")), Err(1), "it has none");
        assert_eq!(
            told(107, "", &format!("{OBJECT}0 finalize r1 => ref 8")),
            Err(1),
            "nobody lives there, and nothing is due"
        );
    }

    #[test]
    fn a_finalizer_is_handed_something_whole() {
        let runs = |freed: &str| format!("{LEFT}gc full => ok{freed}\n0 finalize r2 => ref 64");
        assert_eq!(told(108, "", &runs("")), Ok(1));
        let because = |freed: &str| why(108, "", &runs(freed));
        assert_eq!(because("; free 128"), "the finalizer of a runs after b was freed");
        assert_eq!(because("; free 64").as_str(), "a finalizer is handed 0x40, where no object lives");
        assert_eq!(told(108, "", &format!("{LEFT}0 finalize r2 => nil")), Ok(0));
        assert_eq!(
            why(108, "", &format!("{LEFT}0 finalize r2 => ref 64; free 64")),
            "the finalizer of a runs after a was freed"
        );
        let concerned = |freed: &str| match judged(108, "", &format!("{LEFT}0 finalize r2 => ref 64; free {freed}")) {
            Judgement::Broken(witness) => witness.objects,
            other => panic!("{other:?}"),
        };
        assert_eq!([concerned("128"), concerned("64")], [vec![ObjectId(0), ObjectId(1)], vec![ObjectId(0)]]);
    }

    #[test]
    fn who_leads_to_another_goes_first() {
        let both = LEFT.replace("0 finalizer r0", "0 finalizer r0\n0 finalizer r1");
        let (first, second) = ("0 finalize r2 => ref 64\n", "0 finalize r3 => ref 128\n");
        let runs = |claims: &str, then: &str| told(109, claims, &format!("{both}{then}"));
        assert_eq!(runs("", &format!("gc full\n{first}0 clear r2\ngc full\n{second}")), Ok(0));
        assert_eq!(runs("", second), Err(7));
        // That of the other one has to be found dead by a later marking.
        let cycle = format!("{START}{FINISH}gc sweep 9 => ok; phase off\n");
        assert_eq!(runs("phases", &format!("{cycle}{first}0 clear r2\n{cycle}{second}")), Ok(2));
        assert_eq!(runs("phases", &format!("{cycle}{first}0 clear r2\n{second}")), Err(12));
        assert_eq!(runs("phases", first), Err(7), "nobody can have found it dead");
        assert_eq!(runs("phases", &format!("{START}{first}")), Err(8), "not yet");
        // One that leads back to itself is for law 110.
        let circle = LEFT.replace("0 store r0.0 r1", "0 store r0.0 r0");
        assert_eq!([109, 110].map(|law| told(law, "", &format!("{circle}{first}"))), [Ok(0), Err(6)]);
        assert_eq!(told(110, "", &format!("{both}{first}")), Ok(1));
    }

    #[test]
    fn a_cleanup_runs_after_its_object_was_freed_and_with_its_argument() {
        let two = "0 alloc r0 0 32 => at 64 32 0\n0 alloc r1 0 32 => at 128 32 0\n0 cleanup r0 r1\n0 clear r1\n";
        let runs = |claims: &str, then: &str| told(111, claims, &format!("{two}{then}"));
        let (clean, nil, clear) = ("0 clean r2 => ref 128", "0 clean r2 => nil", "0 clear r0\n");
        assert_eq!(runs("frees", &format!("{clear}gc full => ok; free 64\n{clean}")), Ok(2));
        assert_eq!(runs("frees", &format!("{clear}gc full\n{clean}")), Err(6), "it was not freed");
        assert_eq!(runs("", &format!("{clear}gc full\n{clean}")), Ok(2), "who knows?");
        assert_eq!(runs("", clean), Err(4), "r0 holds it");
        assert_eq!(
            runs("frees", &format!("{clear}gc full => ok; free 64 128\n{clean}")),
            Err(6),
            "the argument is gone"
        );
        let once = format!("{clear}gc full => ok; free 64\n{clean}\n");
        assert_eq!(runs("frees", &format!("{once}{clean}")), Err(7), "a second time");
        assert_eq!(runs("", &format!("{clear}gc full\n0 clean r2 => ref 256")), Err(6), "nobody lives there");
        assert_eq!(runs("", &format!("{clear}gc full\n{nil}")), Err(6), "it is due");
        assert_eq!([runs("", &format!("{clear}{nil}")), runs("", &format!("gc full\n{nil}"))], [Ok(1); 2]);
        assert_eq!(runs("", &format!("{clear}gc full\n{clean}\n{nil}")), Ok(3), "it has run");
        assert!(why(111, "", &format!("{two}{clear}gc full\n{nil}")).starts_with("a was dead"));
        assert_eq!(runs("", "0 clean r2 => ref 256"), Err(4), "nobody lives there, and nothing is due");
        // Of two with one argument the one whose object is dead is meant.
        let shared = "0 alloc r3 0 32 => at 192 32 0\n0 cleanup r3 r1\n";
        let both = two.replace("0 clear r1\n", &format!("{shared}0 clear r1\n0 clear r3\n"));
        assert_eq!(told(111, "frees", &format!("{both}gc full => ok; free 192\n{clean}\n")), Ok(2));
        assert_eq!(told(111, "frees", &format!("{both}gc full => ok; free 192\n{clean}\n{clean}")), Err(9));
        // What matters is whose cleanup it is that has this argument.
        let other = "0 alloc r3 0 32 => at 192 32 0\n0 alloc r4 0 32 => at 256 32 0\n0 cleanup r3 r4\n";
        assert_eq!(runs("frees", &format!("{other}{clear}gc full => ok; free 64\n0 clean r2 => ref 256")), Err(9));
    }

    #[test]
    fn a_weak_pointer_tells_the_truth() {
        let weak = format!("{OBJECT}0 alloc r1 0 32 => at 128 32 0\n0 weak w0 r0 => weak 1\n");
        let asked = |then: &str| told(112, "", &format!("{weak}{then}"));
        let (found, nil, clear) = ("0 strong r2 w0 => ref 64", "0 strong r2 w0 => nil", "0 clear r0\n");
        assert_eq!(
            [found, nil, "0 strong r2 w0 => ref 128", "0 strong r2 w0 => ref 8"].map(asked),
            [Ok(1), Err(3), Err(3), Err(3)]
        );
        assert_eq!([asked(&format!("{clear}{found}")), asked(&format!("{clear}{nil}"))], [Ok(1); 2]);
        assert_eq!(asked(&format!("{clear}{nil}\n{nil}")), Ok(2));
        assert_eq!(asked(&format!("{clear}{nil}\n{found}")), Err(5), "it had found nil before");
        let because = |then: &str| why(112, "", &format!("{weak}{then}"));
        assert!(because("0 strong r2 w0 => ref 128").ends_with("finds b"));
        assert!(because("0 strong r2 w0 => ref 8").ends_with("where no object lives"));
        assert!(because(&format!("{clear}{nil}\n{found}")).contains("found nil before"));
    }

    #[test]
    fn a_weak_pointer_does_not_outlive_a_finalizer() {
        let weak = format!("{OBJECT}0 finalizer r0\n0 weak w0 r0 => weak 1\n0 clear r0\n0 finalize r1 => ref 64\n");
        let asked = |then: &str| told(113, "", &format!("{weak}0 strong r2 w0 => {then}"));
        assert_eq!([asked("nil"), asked("ref 64")], [Ok(1), Err(5)]);
    }

    #[test]
    fn weak_pointers_are_the_same_if_their_objects_are() {
        let weak = format!("{OBJECT}0 alloc r1 0 32 => at 128 32 0\n0 finalizer r0\n0 weak w0 r0 => weak 1\n");
        let second = |of: &str| format!("{weak}0 weak w1 {of}");
        let of = |text: &str| told(114, "", &second(text));
        assert_eq!([of("r0 => weak 1"), of("r1 => weak 2")], [Ok(1); 2]);
        assert_eq!([of("r0 => weak 2"), of("r1 => weak 1")], [Err(4); 2]);
        assert!(why(114, "", &second("r0 => weak 2")).ends_with("two weak pointers to a differ"));
        assert!(why(114, "", &second("r1 => weak 1")).ends_with("weak pointers to b and a are the same"));
        let lives_again =
            |identity: u64| format!("{weak}0 clear r0\n0 finalize r0 => ref 64\n0 weak w1 r0 => weak {identity}");
        assert_eq!([told(114, "", &lives_again(2)), told(114, "", &lives_again(1))], [Ok(1), Err(6)]);
        assert!(why(114, "", &lives_again(1)).ends_with("the same as one from its former life"));
        assert_eq!(told(114, "", &format!("{weak}0 weak w0 r1 => weak 1")), Ok(0), "the other one is gone");
    }

    #[test]
    fn what_a_weak_pointer_finds_while_marking_survives() {
        let weak = format!("{OBJECT}0 weak w0 r0 => weak 1\n0 clear r0\n");
        let (found, nil) = ("0 strong r1 w0 => ref 64\n0 clear r1\n", "0 strong r1 w0 => nil\n");
        let asked = |then: &str| told(115, "invariant=weak", &format!("{weak}{then}"));
        let freed = "gc sweep 9 => ok; free 64; phase off\n";
        assert_eq!(asked(&format!("{START}{found}{FINISH}{freed}")), Err(7));
        assert_eq!(asked(&format!("{START}{nil}{FINISH}{freed}")), Ok(0));
        assert_eq!(asked(&format!("{found}{START}{FINISH}{freed}")), Ok(0), "before");
        assert_eq!(asked(&format!("{START}{FINISH}{found}{freed}")), Ok(0), "after");
        assert_eq!(asked(&format!("{START}{found}{FINISH}")), Ok(1), "it is there");
        let ended = format!("{START}{found}{FINISH}gc sweep 9 => ok; phase off\n");
        assert_eq!(asked(&format!("{ended}gc full => ok; free 64")), Ok(1), "later");
        let full =
            "gc full => ok; phase terminate; phase sweep; phase off; phase mark; phase terminate; phase sweep; free 64";
        assert_eq!(asked(&format!("{START}{found}{full}")), Ok(1), "by the next cycle");
        assert_eq!(
            asked(&format!("{START}{found}gc full => ok; phase terminate; phase sweep; free 64; phase off")),
            Err(6)
        );
        // A cycle that began before it was found is not a later one, whenever it began.
        let begins = "0 strong r1 w0 => ref 64; phase mark\n0 clear r1\n";
        assert_eq!(asked(&format!("{begins}{FINISH}{freed}")), Err(6));
    }
}
