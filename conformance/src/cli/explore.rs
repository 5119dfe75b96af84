//! `heaplaw explore`: every interleaving of a small world, for one design or for all.

use super::{Exit, Trouble};
use crate::{
    explore::{Exploration, Explored, Schedule, Verdict},
    report::text::grouped,
    saved,
};
use clap::Args;
use heaplaw_reference::{
    model::Scope,
    protocol::{Row, StackScan, TABLE},
};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// A design, by its number or name in the table; all of them if nothing is said
    row: Option<String>,
    /// All designs, which is also what no design means
    #[arg(long, conflicts_with = "row")]
    all: bool,
    /// Objects, up to 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    objects: Option<u8>,
    /// Fields of each object, up to 2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    fields: Option<u8>,
    /// Mutators, up to 2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    mutators: Option<u8>,
    /// Registers of each mutator, up to 2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    registers: Option<u8>,
    /// Look only for lost objects, not at the invariant in every state
    #[arg(long)]
    no_invariant: bool,
    /// The most states to keep, about 30 bytes each
    #[arg(long, value_name = "N", default_value_t = 60_000_000)]
    most_states: usize,
    /// Write the schedules that whole operations can express to this directory, as files that replay
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// One mutator with two registers, and two with one each.
const SCOPES: [Scope; 2] = [
    Scope { objects: 3, fields: 1, mutators: 1, registers: 2 },
    Scope { objects: 3, fields: 1, mutators: 2, registers: 1 },
];

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    let rows: Vec<&Row> = match &options.row {
        Some(name) => {
            let row = TABLE.iter().find(|row| row.id == name || row.protocol.name == name);
            vec![row.ok_or_else(|| {
                let names: Vec<_> = TABLE.iter().map(|row| format!("{} {}", row.id, row.protocol.name)).collect();
                Trouble::Usage(format!("there is no design {name:?}; there are\n  {}", names.join("\n  ")))
            })?]
        }
        None => TABLE.iter().collect(),
    };
    anstream::println!(
        "{:<5} {:<27} {:<36} {:<17} {:>12} {:>13} {:>8} {:>11}",
        "",
        "design",
        "objects, fields, mutators, registers",
        "verdict",
        "states",
        "steps",
        "seconds",
        "k states/s"
    );
    let mut as_expected = true;
    let mut too_large = false;
    for row in &rows {
        let mut wrong = false;
        for scope in options.scopes() {
            let exploration = Exploration {
                protocol: row.protocol,
                scope,
                invariant: !options.no_invariant,
                most_states: options.most_states,
            };
            let explored = exploration.run();
            print(row, scope, &explored);
            match &explored.verdict {
                Verdict::Exhausted => {}
                Verdict::TooLarge => too_large = true,
                Verdict::Lost(schedule) | Verdict::Broken(_, schedule) => {
                    wrong = true;
                    if options.row.is_some() {
                        anstream::print!("{}", schedule.table(&row.protocol, scope));
                    }
                    options.save(row, scope, schedule)?;
                }
            }
        }
        // A small world does not show everything; what is sound must be right in all of them.
        as_expected &= if row.protocol.sound { !wrong } else { wrong || !options.whole() };
    }
    anstream::println!(
        "\nk states/s: thousands of states per second and core; steps in the verdict: the shortest way there"
    );
    if too_large {
        anstream::println!("some worlds have more than {} states (--most-states)", grouped(options.most_states as u64));
    }
    Ok(match (as_expected, too_large) {
        (false, _) => Exit::Counterexample,
        (true, true) => Exit::NothingRan,
        (true, false) => Exit::Conforms,
    })
}

fn print(row: &Row, scope: Scope, explored: &Explored) {
    let verdict = match &explored.verdict {
        Verdict::Exhausted => "safe".to_owned(),
        Verdict::Lost(schedule) => format!("LOST in {}", schedule.steps.len()),
        Verdict::Broken(_, schedule) => format!("LOST in {} (inv.)", schedule.steps.len()),
        Verdict::TooLarge => "too large".to_owned(),
    };
    anstream::println!(
        "{:<5} {:<27} {:<36} {:<17} {:>12} {:>13} {:>8.2} {:>11.0}",
        row.id,
        row.protocol.name,
        format!("{}, {}, {}, {}", scope.objects, scope.fields, scope.mutators, scope.registers),
        verdict,
        grouped(explored.states as u64),
        grouped(explored.transitions),
        explored.elapsed.as_secs_f64(),
        explored.states_per_second_and_thread() / 1e3
    );
}

impl Options {
    /// Whether the scopes are those in which every unsound design is known to lose.
    fn whole(&self) -> bool {
        self.objects.is_none() && self.fields.is_none() && self.mutators.is_none() && self.registers.is_none()
    }

    fn scopes(&self) -> Vec<Scope> {
        if self.whole() {
            return SCOPES.to_vec();
        }
        vec![Scope {
            objects: self.objects.unwrap_or(3),
            fields: self.fields.unwrap_or(1),
            mutators: self.mutators.unwrap_or(1),
            registers: self.registers.unwrap_or(2),
        }]
    }

    fn save(&self, row: &Row, scope: Scope, schedule: &Schedule) -> Result<(), Trouble> {
        let Some(dir) = &self.out else { return Ok(()) };
        let Some(program) = schedule.program(scope) else {
            anstream::println!("      no file for {}: its schedule interrupts a store", row.id);
            return Ok(());
        };
        let path = dir.join(format!("{}-{}.heap", row.id.to_lowercase(), row.protocol.name));
        let title = match row.protocol.stacks {
            StackScan::Rescan => "loses an object although stacks are scanned again",
            _ => "loses an object",
        };
        let text = format!("# {} {}: {title}. Shortest schedule.\n{program}", row.id, row.protocol.name);
        saved::write_whole(&path, &text).map_err(|source| Trouble::Write { path: path.clone(), source })?;
        anstream::println!("      wrote {}", path.display());
        Ok(())
    }
}
