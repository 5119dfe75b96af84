//! Reports as text for a terminal or a log.
//!
//! Styles are written as ANSI escapes; whoever prints decides whether to keep them (`anstream` does so for the command).

use crate::{
    campaign::{Breach, Counterexample, End, Outcome},
    footprint::Footprint,
    goals,
    history::{History, Moment},
    law::Law,
    reading::{Reading, World},
};
use heaplaw_reference::{
    cycle,
    event::Event,
    graph::{Effect, Graph},
    heap::{Capability, Claims, Reply},
    object::{Address, ObjectId},
    op::{Action, Op, Place, Root, Run},
};
use std::fmt::Write;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// A report without its styles.
pub fn plain(report: &str) -> String {
    let mut text = String::with_capacity(report.len());
    for (at, part) in report.split('\x1b').enumerate() {
        // After an escape, everything up to the letter that ends it is style.
        text.push_str(if at == 0 { part } else { part.split_once('m').map_or(part, |(_, rest)| rest) });
    }
    text
}

/// A number with its thousands set apart: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 program`, `2 programs`, `2 tries`.
pub fn counted(number: u64, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if number == 1 => format!("1 {thing}"),
        Some(stem) => format!("{} {stem}ies", grouped(number)),
        None => format!("{} {thing}s", grouped(number)),
    }
}

/// Who is judged, and by what: the first line of a run.
pub fn banner(claims: &Claims) -> String {
    let (claimed, not): (Vec<_>, Vec<_>) = Capability::ALL.into_iter().partition(|capability| claims.has(*capability));
    let names = |capabilities: Vec<Capability>| {
        let names: Vec<_> = capabilities.into_iter().map(Capability::name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
    };
    let invariant = claims.invariant.map_or(String::new(), |invariant| format!(", {invariant} invariant"));
    let placement = claims.placement.map_or(String::new(), |placement| format!(", {} placement", placement.name()));
    let mut text = format!(
        "{BOLD}heaplaw {}{PLAIN}   {BOLD}{}{PLAIN}   claims: {}{invariant}{placement}",
        env!("CARGO_PKG_VERSION"),
        claims.name,
        names(claimed),
    );
    if !not.is_empty() {
        let _ = write!(text, "   not claimed: {}", names(not));
    }
    text.push('\n');
    text
}

/// The table of laws after a campaign; `flaky` says whether what was found does not show every time.
pub fn table(outcome: &Outcome, flaky: bool) -> String {
    let mut text = format!("  {DIM}law{:40}programs        checks{PLAIN}\n", "");
    let broken = match &outcome.end {
        End::Found(found) => match &found.breach {
            Breach::Law(law, _) => Some(law.number),
            Breach::Failure(_) => None,
        },
        _ => None,
    };
    let holds = if matches!(outcome.end, End::Finished) { "holds" } else { "held so far" };
    for tally in &outcome.tallies {
        let law = tally.law;
        let missing = outcome.claims.as_ref().map(|claims| law.missing(claims)).unwrap_or_default();
        let verdict = if broken == Some(law.number) {
            format!("{RED}{}{PLAIN}", if flaky { "flaky" } else { "broken" })
        } else if !missing.is_empty() {
            format!("{DIM}not applicable: needs {}{PLAIN}", missing.join(", "))
        } else if tally.checks == 0 {
            format!("{RED}never checked{PLAIN}")
        } else {
            format!("{GREEN}{holds}{PLAIN}")
        };
        let (programs, checks) = match missing.is_empty() {
            true => (grouped(tally.programs), grouped(tally.checks)),
            false => (String::new(), String::new()),
        };
        let _ = writeln!(text, "  {:>3}  {:<36} {programs:>9}  {checks:>12}   {verdict}", law.number, law.name);
    }
    text
}

/// The goals after a campaign: how many were reached, the rarest of them, and those that were not.
pub fn goals(outcome: &Outcome) -> String {
    let Some(claims) = &outcome.claims else { return String::new() };
    let counts = outcome.coverage.counts().filter(|(goal, _)| goal.missing(claims).is_empty());
    let (mut reached, unreached): (Vec<_>, Vec<_>) = counts.partition(|(_, count)| *count > 0);
    let applicable = reached.len() + unreached.len();
    let mut text = format!("\n  goals {}/{applicable}", reached.len());
    if applicable < goals::ALL.len() {
        let _ = write!(text, " {DIM}({} not applicable){PLAIN}", goals::ALL.len() - applicable);
    }
    reached.sort_by_key(|(_, count)| *count);
    for (at, (goal, count)) in reached.iter().take(3).enumerate() {
        let _ = write!(text, "{}{} {}", if at == 0 { "   rarest: " } else { " · " }, goal.name, grouped(*count));
    }
    text.push('\n');
    if !unreached.is_empty() {
        let names: Vec<_> = unreached.into_iter().map(|(goal, _)| goal.name).collect();
        let _ = writeln!(text, "  {RED}NOT REACHED{PLAIN}: {}", names.join(" · "));
    }
    text
}

/// How much memory an allocator used; nothing if it is none, or that cannot be seen.
pub fn footprint(footprint: &Footprint) -> String {
    let (Some(median), Some(worst)) = (footprint.median(), footprint.worst()) else { return String::new() };
    let kib = |bytes: u64| format!("{:.1} KiB", bytes as f64 / 1024.0);
    let (programs, program) = (counted(footprint.programs(), "program"), grouped(worst.program));
    let (smallest, largest) = worst.sizes;
    format!(
        "  memory {median:.2} bytes used for each live at the peak (median of {programs}); {:.2} at worst, in program \
         {program}: {} for {}\n         of objects of {} to {} bytes any allocator can be made to use {:.2}, first fit no \
         more than about {:.2} (Robson)\n",
        worst.ratio(),
        kib(worst.used),
        kib(worst.live),
        grouped(smallest),
        grouped(largest),
        worst.lower_bound(),
        worst.first_fit_bound(),
    )
}

/// What mutators had for themselves, of a heap that reports pauses; else nothing.
pub fn utilisation(outcome: &Outcome) -> String {
    let utilisation = &outcome.utilisation;
    if utilisation.pauses == 0 {
        return String::new();
    }
    let curve = utilisation.curve().map(|(window, part)| format!("{:.0} % of {window}", 100.0 * part));
    format!(
        "  {}, the longest of {} units; of a window of so many units a mutator has at least: {}\n",
        counted(utilisation.pauses, "pause"),
        grouped(utilisation.longest),
        curve.collect::<Vec<_>>().join(" · ")
    )
}

/// One law, as `heaplaw laws 51` shows it.
pub fn law(law: &Law) -> String {
    let mut text = format!("{BOLD}law {}  {}{PLAIN}\n  {}\n", law.number, law.name, law.statement);
    let mut needs: Vec<String> = law.needs.capabilities.iter().map(|c| c.name().to_owned()).collect();
    if !law.needs.invariants.is_empty() {
        let names: Vec<_> = law.needs.invariants.iter().map(|invariant| invariant.name()).collect();
        needs.push(format!("invariant={}", names.join("|")));
    }
    if !law.needs.placements.is_empty() {
        needs.push(format!("placement={}", law.needs.placements.join("|")));
    }
    if !needs.is_empty() {
        let _ = writeln!(text, "  needs a heap that claims: {}", needs.join(", "));
    }
    for fault in crate::faulty::ALL.iter().filter(|fault| fault.law == law.number) {
        let _ = writeln!(text, "  broken by a heap that {}: heaplaw check --heap {}", fault.name, fault.slug());
    }
    for race in crate::faulty::threads::ALL.iter().filter(|race| race.law == law.number && race.needs_threads()) {
        let (name, slug) = (race.name, race.slug());
        let _ = writeln!(text, "  broken by a heap that {name}: heaplaw check --mutators 3 --heap {slug}");
    }
    text
}

/// A counterexample: what is wrong, each operation with what it does to the mutators' side and the collector's, and the
/// heap at the moment when it shows.
pub fn counterexample(found: &Counterexample) -> String {
    let history = &found.history;
    let mut text = match &found.breach {
        Breach::Law(law, _) => {
            format!("  {BOLD}{RED}law {}  {}{PLAIN}: {}\n", law.number, law.name, law.statement)
        }
        Breach::Failure(failure) => format!("  {BOLD}{RED}{failure}{PLAIN}\n"),
    };
    let shown = match &found.breach {
        Breach::Law(_, witness) => witness.moment + 1,
        Breach::Failure(_) => history.moments.len(),
    };
    let rows = rows(history, shown);
    let width = |column: fn(&Row) -> &str, name: &str| {
        rows.iter().map(|row| column(row).chars().count()).chain([name.len()]).max().unwrap_or(0)
    };
    let operation = width(|row| &row.operation, "operation");
    let mutator = width(|row| &row.mutator, "mutators");
    let _ = writeln!(text, "  {DIM}  #  {:<operation$}   {:<mutator$}   collector{PLAIN}", "operation", "mutators");
    for (number, row) in (1..).zip(&rows) {
        let line =
            format!("  {number:>3}  {:<operation$}   {:<mutator$}   {}", row.operation, row.mutator, row.collector);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    match &found.breach {
        Breach::Law(_, witness) => {
            let _ = writeln!(text, "       {RED}^ {}{PLAIN}", witness.why);
            text.push_str(&drawn(&World::after(history, shown), &witness.objects));
        }
        Breach::Failure(_) => {
            if let Some((op, _)) = &history.failure {
                let (number, op) = (rows.len() + 1, op.to_string());
                let _ = writeln!(text, "  {number:>3}  {op:<operation$}   {RED}no answer{PLAIN}");
            }
        }
    }
    text
}

/// One operation in the table of a counterexample.
struct Row {
    operation: String,
    mutator: String,
    collector: String,
}

fn rows(history: &History, shown: usize) -> Vec<Row> {
    let reading = Reading::new(history);
    let mut graph = Graph::new();
    let mut rows = Vec::new();
    for (at, moment) in history.moments.iter().enumerate().take(shown) {
        let effect = reading.scenes[at].effect;
        let mutator = meaning(&graph, moment, effect);
        let came = match effect {
            Effect::Strong { came, .. } | Effect::Clean(came) => came,
            Effect::Finalize(ran) => ran.map(|(id, _)| id),
            _ => None,
        };
        match moment.reply {
            Reply::OutOfMemory => graph.refuse(&moment.op),
            _ => _ = graph.apply_with(&moment.op, came),
        }
        let name = |address: Address| {
            let here = reading.lives().filter(|(_, life)| life.address == address && life.born <= at);
            let alive = here.filter(|(_, life)| life.freed.is_none_or(|freed| freed >= at));
            alive.last().map_or_else(|| address.to_string(), |(id, _)| id.to_string())
        };
        let mut collector: Vec<String> = moment
            .events
            .iter()
            .map(|event| match event {
                Event::Phase(phase) => format!("phase {phase}"),
                Event::Shade(address) => format!("shades {}", name(*address)),
                Event::Scan(address) => format!("{} is black", name(*address)),
                Event::ScanStack(mutator) => format!("scans stack {mutator}"),
                Event::ScanGlobals => "scans globals".to_owned(),
                Event::Start(cause) => format!("cycle ({cause})"),
                Event::Finalize(address) => format!("keeps {} for its finalizer", name(*address)),
                Event::Free(address) => format!("frees {}", name(*address)),
                Event::Pause { who: Some(mutator), units } => format!("stops {mutator} for {units}"),
                Event::Pause { who: None, units } => format!("stops all for {units}"),
                other => format!("{other:?}"),
            })
            .collect();
        match &moment.reply {
            Reply::Idle => collector.push("nothing to do".to_owned()),
            Reply::Stats { objects, bytes } => collector.push(format!("{objects} objects, {bytes} bytes")),
            _ => {}
        }
        rows.push(Row { operation: moment.op.to_string(), mutator, collector: collector.join(", ") });
    }
    rows
}

/// What an operation does on the mutators' side, in terms of objects: `b.0 = a`.
fn meaning(graph: &Graph, moment: &Moment, effect: Effect) -> String {
    let Op::Mutate { by, action } = moment.op else { return String::new() };
    let name = |id: Option<ObjectId>| id.map_or_else(|| "nil".to_owned(), |id| id.to_string());
    let held = |root: Root| name(graph.root(by, root));
    let place = |place: Place| match place {
        Place::Global(number) => format!("g{number}"),
        Place::Field { of, index } => format!("{}.{index}", held(of)),
    };
    let run = |run: Run| match run.count {
        1 => format!("{}.{}", held(run.of), run.at),
        count => format!("{}.{}..{}", held(run.of), run.at, run.at + count),
    };
    let text = match action {
        Action::Alloc { into, .. } => match effect {
            Effect::Born(id) => format!("{into} = {id}, new"),
            _ => format!("{into} as before: out of memory"),
        },
        Action::Load { into, from } => format!("{into} = {}", name(graph.place(by, from))),
        Action::Store { into, value } => {
            format!("{} = {}", place(into), name(value.and_then(|root| graph.root(by, root))))
        }
        Action::Move { into, from, start } => {
            format!("{} = {}", run(into), run(Run { of: from, at: start, count: into.count }))
        }
        Action::Wipe(fields) => format!("{} = nil", run(fields)),
        Action::Copy { into, from } => format!("{into} = {}", held(from)),
        Action::Clear(root) => format!("{root} = nil"),
        Action::Write(root) => format!("data of {}", held(root)),
        Action::Read(root) => match &moment.reply {
            Reply::Data(content) => format!("{} holds {content}", held(root)),
            _ => held(root),
        },
        Action::Send { value, to, into } => format!("{to}.{into} = {}", held(value)),
        Action::Weak { into, to } => match moment.reply {
            Reply::Weak(identity) => format!("{into} refers to {}, as {identity}", held(to)),
            _ => format!("{into} refers to {}", held(to)),
        },
        Action::Strong { into, .. } | Action::Finalize(into) | Action::Clean(into) => match (effect, &moment.reply) {
            (Effect::Strong { came: None, .. } | Effect::Finalize(None) | Effect::Clean(None), Reply::Object(seen)) => {
                format!("{into} = {seen}, where no object lives")
            }
            (Effect::Strong { came, target, .. }, _) if came != Some(target) => {
                format!("{into} = {}, not {target}", name(came))
            }
            (Effect::Strong { came, .. } | Effect::Clean(came), _) => format!("{into} = {}", name(came)),
            (Effect::Finalize(ran), _) => format!("{into} = {}", name(ran.map(|(id, _)| id))),
            _ => String::new(),
        },
        Action::Finalizer(root) => format!("{} has a finalizer", held(root)),
        Action::Cleanup { of, with } => format!("{} has a cleanup with {}", held(of), held(with)),
        _ => String::new(),
    };
    match &moment.reply {
        Reply::Trap(why) => format!("{text}  trap: {why}"),
        _ => text,
    }
}

/// The heap as a list: who holds whom, and in which colour. Only what is reachable, and the objects in question.
fn drawn(world: &World, questioned: &[ObjectId]) -> String {
    let World { graph, colors, phase } = world;
    let marking = cycle::barrier_on(*phase);
    let mut text =
        format!("  {DIM}the heap then{PLAIN}{}\n", if marking { format!(", phase {phase}") } else { String::new() });
    let mut line = |name: String, color: String, holds: Vec<String>, note: &str| {
        let _ = writeln!(text, "{}", format!("    {name:<9} {color:<7} {}{note}", holds.join("  ")).trim_end());
    };
    let shown = |color: heaplaw_reference::color::Color| if marking { color.to_string() } else { String::new() };
    for (mutator, stack) in graph.stacks() {
        let roots = (0..).zip(&stack.roots).filter_map(|(at, root)| Some(format!("r{at} -> {}", (*root)?)));
        line(format!("stack {mutator}"), shown(colors.stack(mutator)), roots.collect(), "");
    }
    let globals = (0..).zip(graph.globals()).filter_map(|(at, global)| Some(format!("g{at} -> {}", (*global)?)));
    let globals: Vec<_> = globals.collect();
    if !globals.is_empty() {
        line("globals".to_owned(), shown(colors.globals()), globals, "");
    }
    let reachable = graph.reachable();
    for id in (0..graph.births()).map(ObjectId) {
        if !reachable.contains(id) && !questioned.contains(&id) {
            continue;
        }
        let Some(object) = graph.object(id) else { continue };
        let fields = object.fields.iter().map(|(at, to)| format!(".{at} -> {to}")).collect();
        let color = match colors.object(id) {
            Some(color) => shown(color),
            None => "freed".to_owned(),
        };
        let note = match (questioned.contains(&id), reachable.contains(id)) {
            (true, true) => "  <- this one",
            (true, false) => "  <- this one, garbage",
            _ => "",
        };
        line(id.to_string(), color, fields, note);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        campaign::judge,
        drive::{InProcess, step},
    };
    use heaplaw_reference::{heap::Heap, machine::Machine, protocol::Protocol};

    #[test]
    fn what_is_attached_to_objects_is_told_in_their_names() {
        let story = "0 alloc r0 0 16\n0 alloc r1 0 16\n0 weak w0 r0\n0 finalizer r0\n0 cleanup r0 r1\n0 clear r0\n\
                     0 clear r1\n0 finalize r2\ngc full\n0 finalize r2\n0 strong r3 w0\n0 clear r2\ngc full\n\
                     0 clean r4\n0 read r4\n";
        let mut subject = InProcess::new(|| Machine::new(Protocol::HYBRID));
        let judged = judge(&mut subject, &story.parse().expect("a story"), step::Ending::Abrupt, &[]);
        let (history, _) = judged.expect("it starts");
        let told: Vec<String> = rows(&history, history.moments.len()).into_iter().map(|row| row.mutator).collect();
        let expected = [
            "r0 = a, new",
            "r1 = b, new",
            "w0 refers to a, as 1",
            "a has a finalizer",
            "a has a cleanup with b",
            "r0 = nil",
            "r1 = nil",
            "r2 = nil",
            "",
            "r2 = a",
            "r3 = nil, not a",
            "r2 = nil",
            "",
            "r4 = b",
            "b holds stamp 2",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_refused_is_in_no_root() {
        let story = "0 alloc r0 0 16\n0 alloc r0 0 64\n0 copy r3 r0\n0 alloc r2 0 16\n";
        let mut subject = InProcess::new(|| Machine::with_memory(Protocol::HYBRID, 48));
        let story = story.parse().expect("a story");
        let history = step::run(&mut subject, &story, step::Ending::Abrupt).expect("it starts");
        assert!(history.moments[1].reply == Reply::OutOfMemory, "{:?}", history.moments);
        let told: Vec<_> = rows(&history, history.moments.len()).into_iter().map(|row| row.mutator).collect();
        assert_eq!((told[2].as_str(), told[3].as_str()), ("r3 = a", "r2 = c, new"), "the root keeps what it had");
    }

    #[test]
    fn styles_can_be_left_out() {
        assert_eq!(plain(&format!("a {BOLD}{RED}b{PLAIN} m")), "a b m");
    }

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "program"), counted(2_000, "program")), ("1 program".into(), "2,000 programs".into()));
    }

    /// What happened in a story; it need not go well.
    fn ran(protocol: Protocol, story: &str) -> History {
        let mut subject = InProcess::new(|| Machine::new(protocol));
        step::run(&mut subject, &story.parse().expect("a story"), step::Ending::Abrupt).expect("it starts")
    }

    /// The page of a law that is said to be broken at a moment, about some objects.
    fn page(history: History, moment: usize, objects: &[u32]) -> String {
        let objects = objects.iter().map(|number| ObjectId(*number)).collect();
        let witness = crate::law::Witness { moment, why: "so it is".to_owned(), objects };
        let breach = Breach::Law(Law::numbered(51).expect("a law"), witness);
        plain(&counterexample(&Counterexample { breach, history, case: None }))
    }

    #[test]
    fn a_page_tells_what_was_done_and_how_the_heap_is_then() {
        let story = "0 alloc r0 2 8\n0 alloc r1 1\n0 store g1 r1\n0 store r0.1 r1\n0 load r3 g1\n0 load r4 r0.0\n\
                     0 alloc r2 1\n0 clear r2\n1 join\n0 send r1 1.r5\n0 move r0.0 r0.1 1\n0 wipe r0.0 2\n0 copy r6 r0\n\
                     0 store r0.1 r1\n0 write r0\n0 read r0\n0 finalizer r0\ngc start\ngc handshake 0\ngc mark 1\n\
                     gc stats\ngc finish\n";
        let expected = "  law 51  reachable never freed: An object that a mutator can reach is never freed.
    #  operation            mutators            collector
    1  0 alloc r0 2 8       r0 = a, new
    2  0 alloc r1 1         r1 = b, new
    3  0 store g1 r1        g1 = b
    4  0 store r0.1 r1      a.1 = b
    5  0 load r3 g1         r3 = b
    6  0 load r4 r0.0       r4 = nil
    7  0 alloc r2 1         r2 = c, new
    8  0 clear r2           r2 = nil
    9  1 join
   10  0 send r1 1.r5       1.r5 = b
   11  0 move r0.0 r0.1 1   a.0 = a.1
   12  0 wipe r0.0 2        a.0..2 = nil
   13  0 copy r6 r0         r6 = a
   14  0 store r0.1 r1      a.1 = b
   15  0 write r0           data of a
   16  0 read r0            a holds stamp 4
   17  0 finalizer r0       a has a finalizer
   18  gc start                                 phase mark, stops all for 2
   19  gc handshake 0                           shades a, shades b, scans stack 0, stops 0 for 5
   20  gc mark 1                                scans globals
   21  gc stats                                 3 objects, 40 bytes
       ^ so it is
  the heap then, phase mark
    stack 0   black   r0 -> a  r1 -> b  r3 -> b  r6 -> a
    stack 1   grey    r5 -> b
    globals   black   g1 -> b
    a         grey    .1 -> b  <- this one
    b         grey
    c         white     <- this one, garbage
";
        assert_eq!(page(ran(Protocol::HYBRID, story), 20, &[0, 2]), expected);
    }

    #[test]
    fn what_is_used_again_has_the_name_of_whoever_is_there() {
        let story = "0 alloc r0 1\n0 clear r0\ngc full\n0 alloc r1 1\n0 clear r1\ngc full\n0 alloc r2 1\n\
                     gc start\ngc handshake 0\n";
        let told: Vec<_> = rows(&ran(Protocol::HYBRID, story), 9).into_iter().map(|row| row.collector).collect();
        assert!(told[2].contains(", frees a, ") && told[5].contains(", frees b, "), "{told:?}");
        assert_eq!(told[8], "shades c, scans stack 0, stops 0 for 2");
        let then = page(ran(Protocol::HYBRID, "0 alloc r0 1\n0 clear r0\ngc full\n"), 2, &[0]);
        assert!(
            then.ends_with("  the heap then\n    stack 0\n    a         freed     <- this one, garbage\n"),
            "{then}"
        );
        let then = page(ran(Protocol::HYBRID, "0 alloc r0 1\n"), 0, &[]);
        assert!(then.ends_with("  the heap then\n    stack 0           r0 -> a\n    a\n"), "{then}");
    }

    #[test]
    fn an_operation_that_was_not_answered_is_told_last() {
        let crash = || crate::drive::Failure::Crashed("c".to_owned());
        let mut history = ran(Protocol::HYBRID, "0 alloc r0 1\n0 alloc r1 1\n");
        history.failure = Some(("0 read r1".parse().expect("an operation"), crash()));
        let found = Counterexample { breach: Breach::Failure(crash()), history, case: None };
        let expected = "  the subject crashed: c
    #  operation      mutators      collector
    1  0 alloc r0 1   r0 = a, new
    2  0 alloc r1 1   r1 = b, new
    3  0 read r1      no answer
";
        assert_eq!(plain(&counterexample(&found)), expected);
    }

    #[test]
    fn what_a_weak_pointer_finds_and_a_finalizer_hands_out_is_followed() {
        let story = "0 alloc r0 0 16\n0 weak w0 r0\n0 strong r1 w0\n0 clear r1\n0 finalizer r0\n0 clear r0\ngc full\n\
                     0 finalize r2\n0 read r2\n0 strong r3 w0\n";
        let history = ran(Protocol::HYBRID, story);
        let told: Vec<_> = rows(&history, history.moments.len()).into_iter().map(|row| row.mutator).collect();
        let expected = ["r2 = a", "a holds stamp 1", "r3 = nil, not a"];
        assert_eq!((told[2].as_str(), &told[7..]), ("r1 = a", &expected.map(str::to_owned)[..]));
    }

    fn outcome(protocol: Protocol) -> Outcome {
        let laws: Vec<_> = [51, 53, 54].into_iter().filter_map(Law::numbered).collect();
        Outcome { claims: Some(Machine::new(protocol).claims()), ..Outcome::of_nothing(&laws, End::Finished) }
    }

    #[test]
    fn the_table_tells_how_each_law_stands() {
        let mut outcome = outcome(Protocol::HYBRID);
        outcome.tallies[2].programs = 1_200;
        outcome.tallies[2].checks = 34_567;
        let told =
            |outcome: &Outcome| plain(&table(outcome, false)).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let expected = [
            format!("   51  {:<36} {:>9}  {:>12}   never checked", "reachable never freed", 0, 0),
            format!(
                "   53  {:<36} {:>9}  {:>12}   not applicable: needs the strong invariant",
                "strong invariant", "", ""
            ),
            format!("   54  {:<36} {:>9}  {:>12}   holds", "weak invariant", "1,200", "34,567"),
        ];
        assert_eq!(told(&outcome), expected);
        outcome.end = End::OutOfTime;
        assert!(told(&outcome)[2].ends_with("   held so far"));
        let witness = crate::law::Witness { moment: 0, why: String::new(), objects: Vec::new() };
        let breach = Breach::Law(Law::numbered(54).expect("a law"), witness);
        let history = ran(Protocol::HYBRID, "gc full\n");
        outcome.end = End::Found(Box::new(Counterexample { breach, history, case: None }));
        assert!(told(&outcome)[2].ends_with("   broken") && told(&outcome)[0].ends_with("   never checked"));
        assert!(plain(&table(&outcome, true)).ends_with("   flaky\n"));
    }

    #[test]
    fn goals_are_counted_the_rarest_first() {
        let claims =
            Claims::new("x").with(&[Capability::Collect, Capability::Steps, Capability::Phases, Capability::Colors]);
        let mut outcome = Outcome { claims: Some(claims.clone()), ..outcome(Protocol::HYBRID) };
        let (there, not): (Vec<&goals::Goal>, Vec<&goals::Goal>) =
            goals::ALL.iter().partition(|goal| goal.missing(&claims).is_empty());
        assert!(there.len() > 10 && !not.is_empty(), "{} {}", there.len(), not.len());
        for (goal, count) in there.iter().zip([5_000, 7, 1, 30]) {
            outcome.coverage.add_count(goal.id, count);
        }
        outcome.coverage.add_count(not[0].id, 3);
        let missed: Vec<_> = there[4..].iter().map(|goal| goal.name).collect();
        let expected = format!(
            "\n  goals 4/{} ({} not applicable)   rarest: {} 1 · {} 7 · {} 30\n  NOT REACHED: {}\n",
            there.len(),
            not.len(),
            there[2].name,
            there[1].name,
            there[3].name,
            missed.join(" · ")
        );
        assert_eq!(plain(&goals(&outcome)), expected);
        there[4..].iter().for_each(|goal| outcome.coverage.add_count(goal.id, 9_000));
        let all = plain(&goals(&outcome));
        assert!(all.contains(&format!("goals {0}/{0} (", there.len())) && !all.contains("NOT REACHED"), "{all}");
        let everything = Outcome { claims: Some(Claims::new("x").with(&Capability::ALL)), ..outcome.clone() };
        assert!(!plain(&goals(&everything)).contains("not applicable"));
        assert_eq!(goals(&Outcome { claims: None, ..outcome }), "");
    }

    #[test]
    fn pauses_are_told_if_there_are_any() {
        let mut outcome = outcome(Protocol::HYBRID);
        assert_eq!(utilisation(&outcome), "");
        outcome
            .utilisation
            .add(&Reading::new(&ran(Protocol::HYBRID, "0 alloc r0 1\n0 safepoint\n0 safepoint\ngc start\n")));
        let told = utilisation(&outcome);
        assert_eq!(
            told,
            "  1 pause, the longest of 1 units; of a window of so many units a mutator has at least: 75 % of 4\n"
        );
    }

    #[test]
    fn a_law_is_told_with_the_heaps_that_break_it_and_no_others() {
        for law in crate::law::all().chain(crate::law::parallel::LAWS) {
            let page = plain(&super::law(law));
            let heaps = crate::faulty::ALL.iter().map(|fault| (fault.law, fault.slug()));
            let races = crate::faulty::threads::ALL.iter().filter(|race| race.needs_threads());
            let all = heaps.chain(races.map(|race| (race.law, race.slug())));
            let mine: Vec<_> = all.filter(|(number, _)| *number == law.number).map(|(_, slug)| slug).collect();
            let told = page.lines().filter(|line| line.starts_with("  broken by a heap that "));
            let told: Vec<_> = told.filter_map(|line| line.split(" --heap ").nth(1)).collect();
            assert_eq!(told, mine, "{page}");
            assert_eq!(
                page.contains("  needs a heap that claims: "),
                !law.missing(&Claims::new("x")).is_empty(),
                "{page}"
            );
        }
    }

    #[test]
    fn what_a_heap_refuses_or_makes_up_is_told() {
        let mut subject = InProcess::new(|| Machine::with_memory(Protocol::HYBRID, 40));
        let story = "0 alloc r0 1\n0 alloc r1 0 400\n0 copy r2 r0\ngc mark 1\n0 finalizer r0\n0 finalize r3\n";
        let mut history =
            step::run(&mut subject, &story.parse().expect("a story"), step::Ending::Abrupt).expect("it starts");
        let all = history.moments.len();
        let nowhere = Address(1 << 40);
        history.moments[all - 1].reply = Reply::Object(nowhere);
        history.moments[2].reply = Reply::Trap("why".to_owned());
        let told: Vec<_> = rows(&history, all).into_iter().map(|row| (row.mutator, row.collector)).collect();
        let quiet = |mutator: &str| (mutator.to_owned(), String::new());
        assert_eq!(told[1], quiet("r1 as before: out of memory"));
        assert_eq!(told[2], quiet("r2 = a  trap: why"));
        assert_eq!(told[3], (String::new(), "nothing to do".to_owned()));
        assert_eq!(told[5], quiet(&format!("r3 = {nowhere}, where no object lives")));
        let all = plain(&banner(&Claims::new("x").with(&Capability::ALL)));
        assert!(all.starts_with(&format!("heaplaw {}   x   claims: ", env!("CARGO_PKG_VERSION"))));
        assert!(all.ends_with('\n') && !all.contains("not claimed"), "{all}");
        let none = plain(&banner(&Claims::new("x")));
        assert!(none.contains("   claims: nothing   not claimed: "), "{none}");
    }
}
