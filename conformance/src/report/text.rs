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
    use heaplaw_reference::{machine::Machine, protocol::Protocol};

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
}
