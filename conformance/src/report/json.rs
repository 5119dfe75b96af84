//! Reports as JSON, for programs: `heaplaw check --json FILE`.
//!
//! The file is there from the start of the run, and replaced at its end. So a run that was killed leaves a report too,
//! whose `exit` is null. A report is one object; what is optional is `null`, never left out:
//!
//! | field            | value                                                                                        |
//! |------------------|----------------------------------------------------------------------------------------------|
//! | `schema`         | [`SCHEMA`]; its number changes if a field goes or changes its meaning, not if one is added   |
//! | `version`        | the version of heaplaw                                                                       |
//! | `heap`           | the heap's name; null if it could not be started                                             |
//! | `claims`         | the names of its capabilities                                                                |
//! | `invariant`      | the invariant that it names, or null                                                         |
//! | `placement`      | the rule by which it says that it places objects, `"best-fit/16/32/16/4096"`, or null        |
//! | `seed`           | as `--seed` takes it, `"0x7f3a"`: a number of 64 bits is too long for some readers           |
//! | `from`           | the first case that was to be run                                                            |
//! | `cases`, `ops`   | the programs that were to be run, and the most operations of one                             |
//! | `programs`, `operations` | how many were run                                                                    |
//! | `faults`         | how many refused requests for memory the heap felt, with `--faults`                          |
//! | `elapsed`        | seconds                                                                                      |
//! | `end`            | `running`, `finished`, `out of time`, `interrupted`, `broken` (a law), `failed` (to answer), `flaky` (either, but not every time), `unstartable` |
//! | `exit`           | the exit code; null while the run goes on                                                    |
//! | `failure`        | how the subject failed to answer or to start, or null                                        |
//! | `laws`           | a list, by number: `number`, `name`, `statement`, `status`, `reason`, `programs`, `checks`   |
//! | `goals`          | a list: `id`, `name`, `status`, `reason`, `count`: the operations that met it                |
//! | `utilisation`    | null, or an object, of a heap that reports pauses: `pauses`, how many; `longest`, in units of work; `curve`, a list of a `window`, in units, and the `least` part of it that a mutator had for itself |
//! | `counterexample` | null, or an object                                                                           |
//! | `threads`        | null, or an object: with `--mutators`                                                        |
//!
//! The `status` of a law is `holds`, `held so far`, `broken`, `flaky`, `known`, `stale`, `not applicable` or `never
//! checked`. Its `reason` says what is wrong, why a failure is accepted, or what a heap would have to claim; otherwise
//! it is null.
//!
//! The `status` of a [goal](crate::goals) is `reached`, `not reached` (so far) or `not applicable`; then its `reason` says
//! what a heap would have to claim.
//!
//! With mutators on threads there is no counterexample with operations in an order. Instead, `threads` has `mutators`, how
//! many there were; `foreign` (loads of an object that another thread has made), `contested` (places where several have
//! stored), `cycles` and `reused` (addresses), all of which should not be 0 for "holds" to mean something; and `plan`, null
//! or the `file` that was saved, the command line to `replay` it, and `again` as below.
//!
//! A counterexample has
//!
//! | field        | value                                                                                   |
//! |--------------|-----------------------------------------------------------------------------------------|
//! | `law`        | the number of the law that is broken, or null if the subject failed to answer            |
//! | `case`       | which program of the campaign it comes from, counted from 0; null for a saved failure    |
//! | `operations` | a list: `operation`, `answer` and a list of `events`, all in the [text form](heaplaw_reference::text) |
//! | `witness`    | null, or `moment` (the operation that shows it, from 0), `why`, and the `objects` concerned |
//! | `unanswered` | the operation that was not answered, or null                                             |
//! | `file`       | the file that it was saved to                                                           |
//! | `replay`     | the command line that replays it                                                        |
//! | `again`      | null if it was not run again, or `runs` and `failed`: how often it was, and how often it showed |

use super::{Check, Shown};
use crate::campaign::Breach;
use heaplaw_reference::{
    heap::{Capability, Reply},
    text::answer,
};
use serde::Serialize;
use std::path::Path;

/// The schema that a report declares.
pub const SCHEMA: &str = "heaplaw.check/1";

#[derive(Serialize)]
struct Report<'r> {
    schema: &'static str,
    version: &'static str,
    heap: Option<&'r str>,
    claims: Vec<&'static str>,
    invariant: Option<&'static str>,
    placement: Option<String>,
    seed: String,
    from: u64,
    cases: u64,
    ops: u32,
    programs: u64,
    operations: u64,
    faults: u64,
    elapsed: f64,
    end: &'static str,
    exit: Option<u8>,
    failure: Option<String>,
    laws: Vec<Law>,
    goals: Vec<Goal>,
    utilisation: Option<Utilisation>,
    counterexample: Option<Counterexample<'r>>,
    threads: Option<Threads<'r>>,
}

#[derive(Serialize)]
struct Utilisation {
    pauses: u64,
    longest: u64,
    curve: Vec<Window>,
}

#[derive(Serialize)]
struct Window {
    window: usize,
    least: f64,
}

#[derive(Serialize)]
struct Threads<'r> {
    mutators: u8,
    foreign: u64,
    contested: u64,
    cycles: u64,
    reused: u64,
    plan: Option<Plan<'r>>,
}

#[derive(Serialize)]
struct Plan<'r> {
    file: &'r Path,
    replay: &'r str,
    again: Option<Again>,
}

#[derive(Serialize)]
struct Law {
    number: u16,
    name: &'static str,
    statement: &'static str,
    status: &'static str,
    reason: Option<String>,
    programs: u64,
    checks: u64,
}

#[derive(Serialize)]
struct Goal {
    id: &'static str,
    name: &'static str,
    status: &'static str,
    reason: Option<String>,
    count: u64,
}

#[derive(Serialize)]
struct Counterexample<'r> {
    law: Option<u16>,
    case: Option<u64>,
    operations: Vec<Operation>,
    witness: Option<Witness<'r>>,
    unanswered: Option<String>,
    file: &'r Path,
    replay: &'r str,
    again: Option<Again>,
}

#[derive(Serialize)]
struct Again {
    runs: u64,
    failed: u64,
}

#[derive(Serialize)]
struct Operation {
    operation: String,
    answer: String,
    events: Vec<String>,
}

#[derive(Serialize)]
struct Witness<'r> {
    moment: usize,
    why: &'r str,
    objects: Vec<String>,
}

/// The report of a run.
pub fn report(check: &Check<'_>) -> String {
    let outcome = &check.excused.outcome;
    let claims = outcome.claims.as_ref();
    let laws = check.lines().into_iter().map(|line| Law {
        number: line.law.number,
        name: line.law.name,
        statement: line.law.statement,
        status: line.status.name(),
        reason: line.reason,
        programs: line.programs,
        checks: line.checks,
    });
    let goals = check.aims().into_iter().map(|aim| Goal {
        id: aim.goal.id,
        name: aim.goal.name,
        status: aim.status(),
        reason: (!aim.missing.is_empty()).then(|| format!("needs {}", aim.missing.join(", "))),
        count: aim.count,
    });
    let claimed = Capability::ALL.into_iter().filter(|capability| claims.is_some_and(|claims| claims.has(*capability)));
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        heap: claims.map(|claims| &*claims.name),
        claims: claimed.map(Capability::name).collect(),
        invariant: claims.and_then(|claims| claims.invariant).map(|invariant| invariant.name()),
        placement: claims.and_then(|claims| claims.placement).map(|placement| placement.to_string()),
        seed: format!("{:#x}", check.seed),
        from: check.from,
        cases: check.cases,
        ops: check.ops,
        programs: outcome.programs,
        operations: outcome.performed,
        faults: outcome.faults,
        elapsed: outcome.elapsed.as_secs_f64(),
        end: check.end(),
        exit: check.exit,
        failure: check.failure(),
        laws: laws.collect(),
        goals: goals.collect(),
        utilisation: (outcome.utilisation.pauses > 0).then(|| Utilisation {
            pauses: outcome.utilisation.pauses,
            longest: outcome.utilisation.longest,
            curve: outcome.utilisation.curve().map(|(window, least)| Window { window, least }).collect(),
        }),
        counterexample: check.shown.map(counterexample),
        threads: check.threads.map(|threads| Threads {
            mutators: threads.mutators,
            foreign: threads.crossings.foreign,
            contested: threads.crossings.contested,
            cycles: threads.crossings.cycles,
            reused: threads.crossings.reused,
            plan: threads.plan.map(|plan| Plan {
                file: &plan.file,
                replay: &plan.replay,
                again: plan.again.map(|again| Again { runs: again.runs, failed: again.failed }),
            }),
        }),
    };
    // Nothing in a report can fail to be written down but a path that is not Unicode.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    text.push('\n');
    text
}

fn counterexample(shown: &Shown) -> Counterexample<'_> {
    let found = &shown.counterexample;
    let (law, witness) = match &found.breach {
        Breach::Law(law, witness) => {
            let objects = witness.objects.iter().map(ToString::to_string).collect();
            (Some(law.number), Some(Witness { moment: witness.moment, why: &witness.why, objects }))
        }
        Breach::Failure(_) => (None, None),
    };
    let operations = found.history.moments.iter().take(found.program().len()).map(|moment| {
        let event = |event: &_| {
            let line = answer::print(&Reply::Done, std::slice::from_ref(event));
            line.trim_start_matches("ok; ").to_owned()
        };
        Operation {
            operation: moment.op.to_string(),
            answer: answer::print(&moment.reply, &[]),
            events: moment.events.iter().map(event).collect(),
        }
    });
    let failed = found.history.failure.as_ref().filter(|_| law.is_none());
    Counterexample {
        law,
        case: found.case,
        operations: operations.collect(),
        witness,
        unanswered: failed.map(|(op, _)| op.to_string()),
        file: &shown.file,
        replay: &shown.replay,
        again: shown.again.map(|again| Again { runs: again.runs, failed: again.failed }),
    }
}
