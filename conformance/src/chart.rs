//! A chart of a story as a pacer sees it: how the live heap goes up and down below its goal, and a line for each cycle.
//!
//! The machine that paces itself runs the story, and is asked for its pace after every operation, which changes nothing.
//!
//! ```text
//!   goal   ████████████████████▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅
//!   live   ▁▁▂▂▃▃▄▄▅▅▆▆▇▇██▃▃▄▄▅▃▃▄▄▅▃▃▄▄▅▃▃▄▄
//!   marks                 ━━━   ━━   ━━   ━━
//! ```
//!
//! From left to right are operations, from the bottom up bytes, on one scale; a goal beyond it is drawn at the top.

use heaplaw_reference::{
    event::{Cause, Event, Phase},
    gauge::Gauge,
    graph::Graph,
    heap::{Heap, Reply},
    machine::Machine,
    op::{Collect, Op, Program},
    pacer::Pacing,
    protocol::Protocol,
};
use std::fmt::Write;

/// Columns of a chart; a longer story has several operations in each.
const WIDTH: usize = 96;

/// Eighths of a line, from the bottom up.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One cycle: why it started and at which operation, and the gauge when its marking had ended, or when the story was over.
struct Cycle {
    cause: Cause,
    step: usize,
    before: Gauge,
    after: Gauge,
}

/// What a column shows.
#[derive(Clone, Copy, Default)]
struct Column {
    live: u64,
    goal: u64,
    marks: bool,
}

/// The chart of a story, and the table of its cycles.
pub fn chart(story: &Program) -> String {
    let (columns, cycles) = run(story);
    let mut text = String::new();
    if columns.is_empty() {
        return "  nothing happens\n".to_owned();
    }
    let step = columns.len().div_ceil(WIDTH);
    let columns: Vec<Column> = columns.chunks(step).map(merged).collect();
    let live = columns.iter().map(|column| column.live).max().unwrap_or(0);
    // A goal that nobody comes near would press everything else to the ground.
    let goals = columns.iter().map(|column| column.goal).filter(|goal| *goal / 2 <= live);
    let scale = goals.max().unwrap_or(live).max(live).max(1);
    let bar = |bytes: u64| BARS[(u128::from(bytes) * 8).div_ceil(u128::from(scale)).clamp(1, 8) as usize - 1];
    let goal: String = columns.iter().map(|column| bar(column.goal)).collect();
    let live: String = columns.iter().map(|column| bar(column.live)).collect();
    let marks: String = columns.iter().map(|column| if column.marks { '━' } else { ' ' }).collect();
    let each = if step == 1 { "an operation".to_owned() } else { format!("{step} operations") };
    // Writing to memory does not fail.
    let _ = write!(text, "  goal   {goal}\n  live   {live}\n  marks  {}\n", marks.trim_end());
    let _ = writeln!(text, "         a column is {each}, a full one {}\n", bytes(scale));
    let _ = writeln!(
        text,
        "  {:>5}  {:<7}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>10}  {:>9}",
        "step", "why", "trigger", "start", "end", "goal", "marked", "background", "assists"
    );
    for Cycle { cause, step, before, after } in cycles {
        let [ended, reached, marked] = match after.ended {
            0 => [const { String::new() }; 3],
            _ => [after.ended, after.reached, after.marked].map(bytes),
        };
        let _ = writeln!(
            text,
            "  {:>5}  {cause:<7}  {:>9}  {:>9}  {ended:>9}  {reached:>9}  {marked:>9}  {:>10}  {:>9}",
            step,
            bytes(after.due),
            bytes(after.started),
            bytes(after.background - before.background),
            bytes(after.assists - before.assists),
        );
    }
    text
}

/// Runs a story; gives a column for each operation, and the cycles.
fn run(story: &Program) -> (Vec<Column>, Vec<Cycle>) {
    let mut machine = Machine::new(Protocol::HYBRID).paced(Pacing::SOUND);
    let mut graph = Graph::new();
    let (mut columns, mut cycles): (Vec<Column>, Vec<Cycle>) = (Vec::new(), Vec::new());
    let mut last = Gauge::default();
    for (step, op) in story.ops().iter().enumerate() {
        if !graph.allows(op) || !machine.claims().allow(op) {
            continue;
        }
        graph.apply(op);
        let mut events = Vec::new();
        machine.perform(op, &mut events);
        let Reply::Pace(gauge) = machine.perform(&Op::Collect(Collect::Pace), &mut Vec::new()) else { continue };
        // What a cycle is charged with ends where the next one starts.
        let started = events.iter().filter_map(|event| match event {
            Event::Start(cause) => Some(*cause),
            _ => None,
        });
        let marks = machine.phase() == Phase::Mark || events.contains(&Event::Phase(Phase::Mark));
        let started: Vec<Cause> = started.collect();
        // One that is followed by the next within an operation is told as it was before that.
        if started.is_empty()
            && let Some(cycle) = cycles.last_mut()
        {
            cycle.after = *gauge;
        }
        cycles.extend(started.into_iter().map(|cause| Cycle { cause, step: step + 1, before: last, after: *gauge }));
        columns.push(Column { live: gauge.live, goal: gauge.goal, marks });
        last = *gauge;
    }
    (columns, cycles)
}

/// One column for several: the most that is live, and the last goal.
fn merged(columns: &[Column]) -> Column {
    Column {
        live: columns.iter().map(|column| column.live).max().unwrap_or(0),
        goal: columns.last().map_or(0, |column| column.goal),
        marks: columns.iter().any(|column| column.marks),
    }
}

/// Bytes as people write them.
fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{} KiB", count >> 10),
        u64::MAX => "no end".to_owned(),
        _ => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_story_has_cycles_of_the_same_size_below_the_goal() {
        let story: Program = include_str!("../programs/steady-state.heap").parse().expect("a story");
        let (columns, cycles) = run(&story);
        assert!(columns.len() > 100 && cycles.len() > 8, "{} {}", columns.len(), cycles.len());
        assert!(cycles.iter().all(|cycle| cycle.cause == Cause::Trigger));
        for cycle in &cycles[cycles.len() - 4..cycles.len() - 1] {
            assert!(cycle.after.ended > 0 && cycle.after.ended <= cycle.after.reached, "{:?}", cycle.after);
        }
        let text = chart(&story);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6 + cycles.len(), "{text}");
        assert!(lines[1].contains('▁') && lines[0].contains('█') && lines[2].contains('━'), "{text}");
        assert!(lines[..3].iter().all(|line| line.chars().count() <= WIDTH + 9), "{text}");
    }

    #[test]
    fn bytes_are_written_as_people_do() {
        let written = [0, 9_999, 10_240, 4 << 20, 64 << 20, u64::MAX].map(bytes);
        assert_eq!(written, ["0 B", "9999 B", "10 KiB", "4096 KiB", "64 MiB", "no end"]);
    }

    #[test]
    fn a_story_in_which_nothing_happens_is_told_as_that() {
        assert_eq!(chart(&Program::default()), "  nothing happens\n");
    }

    #[test]
    fn a_chart_is_drawn_on_one_scale() {
        let growth = "  goal   ▂▅▇████
  live   ▁▂▅▆▆▃▃
  marks   ━━━━
         a column is an operation, a full one 215 KiB

   step  why        trigger      start        end       goal     marked  background    assists
      2  trigger     39 KiB     47 KiB                                          0 B        0 B
      3  trigger     48 KiB    112 KiB                                       47 KiB        0 B
      4  trigger     65 KiB    140 KiB                                          0 B     64 KiB
      5  trigger     76 KiB    151 KiB    151 KiB    215 KiB     75 KiB      75 KiB     75 KiB
";
        assert_eq!(chart(&include_str!("../programs/growth-is-paid-for.heap").parse().expect("a story")), growth);
        // The goal of four million bytes is out of sight.
        let told = "  goal   ███████
  live   ▁██████
  marks    ━
         a column is an operation, a full one 40 KiB

   step  why        trigger      start        end       goal     marked  background    assists
      3  told      3904 KiB     40 KiB     40 KiB   4096 KiB     40 KiB         0 B        0 B
";
        assert_eq!(chart(&include_str!("../programs/goal-and-trigger.heap").parse().expect("a story")), told);
    }

    #[test]
    fn what_means_nothing_or_is_not_claimed_has_no_column() {
        let (columns, _) = run(&"0 alloc r0 1\n0 load r1 r5.0\n0 free r0\n0 clear r0\n".parse().expect("a story"));
        assert_eq!(columns.len(), 2);
        let merged = merged(&[
            Column { live: 3, goal: 9, marks: true },
            Column { live: 5, goal: 8, marks: false },
            Column { live: 4, goal: 7, marks: false },
        ]);
        assert_eq!((merged.live, merged.goal, merged.marks), (5, 7, true));
        assert!(!super::merged(&[Column::default()]).marks);
    }

    #[test]
    fn a_long_story_has_several_operations_in_a_column() {
        let chart = |operations| chart(&"0 alloc r0 1\n".repeat(operations).parse().expect("a story"));
        let columns = |text: &str| text.lines().nth(1).expect("live").chars().count() - "  live   ".len();
        assert_eq!((columns(&chart(WIDTH)), columns(&chart(WIDTH + 1))), (WIDTH, WIDTH / 2 + 1));
        assert!(chart(WIDTH).contains("a column is an operation,"));
        assert!(chart(WIDTH + 1).contains("a column is 2 operations,"));
    }
}
