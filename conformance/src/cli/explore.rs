//! `heaplaw explore`: every interleaving of a small world, for one design or for all, and for the rules by which marking
//! ends.

use super::{Exit, Trouble};
use crate::{
    explore::{
        Exploration, Explored, Schedule, Verdict,
        termination::{self, Followed},
    },
    report::text::grouped,
    saved,
};
use clap::Args;
use heaplaw_reference::{
    model::Scope,
    protocol::{Alphabet, Row, StackScan, TABLE},
    termination::Rule,
};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    /// A design, by its number or name in the table, or a rule of termination; all of them if nothing is said
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
    /// With a sweep after marking, and the next cycle after that
    #[arg(long)]
    sweep: bool,
    /// With a weak pointer
    #[arg(long)]
    weak: bool,
    /// With finalizers
    #[arg(long)]
    finalizers: bool,
    /// With mutators that leave and arrive
    #[arg(long)]
    arrivals: bool,
    /// With cycles that are given up
    #[arg(long)]
    aborts: bool,
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
const SCOPES: [Scope; 2] = [Scope::new(3, 1, 1, 2), Scope::new(3, 1, 2, 1)];

/// Where a row is explored: in both small worlds with what it is about. What is sound has to be so whatever else
/// happens; if stores fall into steps, there is too much of that for two mutators at once.
fn row_scopes(row: &Row) -> Vec<Scope> {
    let [one, two] = SCOPES;
    let mut scopes = vec![one.with(row.alphabet), two.with(row.alphabet)];
    if row.protocol.sound {
        let weak = Alphabet { weak: true, ..row.alphabet };
        let two = two.with(if row.protocol.stores_are_atomic { Alphabet::ALL } else { weak });
        scopes.extend([one.with(Alphabet::ALL)]);
        scopes.extend((!scopes.contains(&two)).then_some(two));
    }
    scopes
}

/// What is to be explored: designs of the table, rules of termination.
type Chosen = (Vec<&'static Row>, Vec<Rule>);

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    let (rows, rules) = options.chosen()?;
    let mut all_as_expected = true;
    let mut too_large = false;
    if !rows.is_empty() {
        anstream::println!(
            "{:<5} {:<27} {:<36} {:<17} {:>12} {:>13} {:>8} {:>11}",
            "",
            "design",
            "objects, fields, mutators, registers",
            "verdict",
            "states",
            "transitions",
            "seconds",
            "k states/s"
        );
    }
    for row in rows {
        let (as_expected, bounded) = options.explore(row)?;
        all_as_expected &= as_expected;
        too_large |= bounded;
    }
    if !rules.is_empty() {
        anstream::println!(
            "\n{:<70} {:<17} {:>12} {:>13} {:>8}",
            "rule of termination",
            "verdict",
            "states",
            "transitions",
            "seconds"
        );
    }
    for rule in rules {
        let followed = termination::follow(rule);
        print_rule(rule, &followed, options.row.is_some());
        all_as_expected &= followed.too_early.is_none() == rule.sound;
    }
    anstream::println!(
        "\nLOST in n: the shortest schedule has n steps; (inv.): to a broken invariant. k states/s: thousands of states \
         per second and core"
    );
    if too_large {
        anstream::println!("some worlds have more than {} states (--most-states)", grouped(options.most_states as u64));
    }
    Ok(match (all_as_expected, too_large) {
        (false, _) => Exit::Counterexample,
        (true, true) => Exit::NothingRan,
        (true, false) => Exit::Conforms,
    })
}

fn print_rule(rule: Rule, followed: &Followed, told: bool) {
    let verdict = match &followed.too_early {
        None => "safe".to_owned(),
        Some(steps) => format!("LOST in {}", steps.len()),
    };
    anstream::println!(
        "{:<70} {verdict:<17} {:>12} {:>13} {:>8.2}",
        rule.name,
        grouped(followed.states as u64),
        grouped(followed.transitions),
        followed.elapsed.as_secs_f64()
    );
    for (number, step) in (1..).zip(followed.too_early.iter().flatten()).filter(|_| told) {
        anstream::println!("    {number:>2}  {step}");
    }
}

/// A scope in a few words: `3, 1, 1, 2 + weak`.
fn told(scope: Scope) -> String {
    let Scope { objects, fields, mutators, registers, alphabet } = scope;
    let size = format!("{objects}, {fields}, {mutators}, {registers}");
    let Alphabet { sweep, weak, finalizers, arrivals, aborts } = alphabet;
    let alone = sweep && !(weak || finalizers || aborts);
    let words =
        [(alone, "sweep"), (weak, "weak"), (finalizers, "finalizers"), (arrivals, "arrivals"), (aborts, "aborts")];
    let with: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    match with[..] {
        [] => size,
        [_, _, _, _] => format!("{size} + everything"),
        _ => format!("{size} + {}", with.join(", ")),
    }
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
        told(scope),
        verdict,
        grouped(explored.states as u64),
        grouped(explored.transitions),
        explored.elapsed.as_secs_f64(),
        explored.states_per_second_and_thread() / 1e3
    );
}

impl Options {
    fn chosen(&self) -> Result<Chosen, Trouble> {
        let Some(name) = &self.row else { return Ok((TABLE.iter().collect(), Rule::ALL.to_vec())) };
        let rows: Vec<_> = TABLE.iter().filter(|row| row.id == name || row.protocol.name == name).collect();
        let rules: Vec<_> = Rule::ALL.into_iter().filter(|rule| rule.name == name).collect();
        if rows.is_empty() && rules.is_empty() {
            let designs = TABLE.iter().map(|row| format!("{} {}", row.id, row.protocol.name));
            let names: Vec<_> = designs.chain(Rule::ALL.map(|rule| rule.name.to_owned())).collect();
            return Err(Trouble::Usage(format!("there is no design {name:?}; there are\n  {}", names.join("\n  "))));
        }
        Ok((rows, rules))
    }

    /// Explores a design in all scopes; says whether it fared as the table says, and whether a world was too large.
    fn explore(&self, row: &Row) -> Result<(bool, bool), Trouble> {
        let (mut wrong, mut too_large) = (false, false);
        for scope in self.scopes(row) {
            let (protocol, invariant) = (row.protocol, !self.no_invariant);
            let explored = Exploration { protocol, scope, invariant, most_states: self.most_states }.run();
            print(row, scope, &explored);
            match &explored.verdict {
                Verdict::Exhausted => {}
                Verdict::TooLarge => too_large = true,
                Verdict::Lost(schedule) | Verdict::Broken(_, schedule) => {
                    wrong = true;
                    if self.row.is_some() {
                        anstream::print!("{}", schedule.table(&row.protocol, scope));
                    }
                    self.save(row, scope, schedule)?;
                }
            }
        }
        // A small world does not show everything: what is sound must be right in all of them, what is not wrong in one.
        let as_expected = if row.protocol.sound { !wrong } else { wrong || !self.whole() };
        Ok((as_expected, too_large))
    }

    /// Whether the scopes are those in which every unsound design is known to lose.
    fn whole(&self) -> bool {
        let size = self.objects.or(self.fields).or(self.mutators).or(self.registers);
        size.is_none() && self.alphabet() == Alphabet::PLAIN
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet {
            sweep: self.sweep,
            weak: self.weak,
            finalizers: self.finalizers,
            arrivals: self.arrivals,
            aborts: self.aborts,
        }
    }

    /// What is asked for; otherwise the scopes in which the row meets its fate.
    fn scopes(&self, row: &Row) -> Vec<Scope> {
        if self.whole() {
            return row_scopes(row);
        }
        let size = Scope::new(
            self.objects.unwrap_or(3),
            self.fields.unwrap_or(1),
            self.mutators.unwrap_or(1),
            self.registers.unwrap_or(2),
        );
        let alphabet = self.alphabet();
        vec![size.with(if alphabet == Alphabet::PLAIN { row.alphabet } else { alphabet })]
    }

    fn save(&self, row: &Row, scope: Scope, schedule: &Schedule) -> Result<(), Trouble> {
        let Some(dir) = &self.out else { return Ok(()) };
        let Some(program) = schedule.program(&row.protocol, scope) else {
            anstream::println!("      no file for {}: not all of its schedule can be said in operations", row.id);
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Options {
        Line::try_parse_from(["explore"].iter().chain(words)).expect("a command line").options
    }

    fn row(id: &str) -> &'static Row {
        TABLE.iter().find(|row| row.id == id).expect("a row")
    }

    #[test]
    fn designs_and_rules_are_chosen_by_name() {
        let chosen = |words: &[&str]| {
            let (rows, rules) = options(words).chosen().map_err(|trouble| trouble.to_string())?;
            let names =
                (rows.iter().map(|row| row.id).collect::<Vec<_>>(), rules.iter().map(|rule| rule.name).collect());
            Ok::<(Vec<_>, Vec<_>), String>(names)
        };
        assert_eq!(chosen(&["X10"]), Ok((vec!["X10"], vec![])));
        assert_eq!(chosen(&["weak-bare"]), Ok((vec!["W2"], vec![])));
        assert_eq!(chosen(&["no-wave"]), Ok((vec![], vec!["no-wave"])));
        let (rows, rules) = chosen(&[]).expect("all of them");
        assert_eq!((rows.len(), rules.len()), (TABLE.len(), Rule::ALL.len()));
        let nobody = chosen(&["nobody"]).expect_err("there is none");
        assert!(nobody.starts_with("there is no design \"nobody\"; there are\n  ") && nobody.contains("\n  no-wave"));
        assert!(nobody.contains("\n  X10 hybrid-allocate-white\n"), "{nobody}");
    }

    #[test]
    fn what_is_sound_is_explored_with_everything_and_what_is_not_with_what_it_is_about() {
        let [one, two] = SCOPES;
        let weak = |row: &Row| Alphabet { weak: true, ..row.alphabet };
        for row in TABLE {
            let mine = [one.with(row.alphabet), two.with(row.alphabet)];
            let all = [one.with(Alphabet::ALL), two.with(Alphabet::ALL)];
            let mut expected = mine.to_vec();
            match (row.protocol.sound, row.protocol.stores_are_atomic) {
                (false, _) => {}
                (true, true) => expected.extend(all),
                (true, false) => expected.extend([all[0], two.with(weak(row))]),
            }
            if row.protocol.sound && expected[3] == expected[1] {
                expected.pop();
            }
            assert_eq!(options(&[]).scopes(row), expected, "{}", row.id);
        }
        assert!(TABLE.iter().any(|row| row.protocol.sound && !row.protocol.stores_are_atomic));
    }

    #[test]
    fn who_asks_for_a_world_gets_it() {
        let row = row("W2");
        let scope = |words: &[&str]| {
            let options = options(words);
            assert!(!options.whole());
            options.scopes(row)
        };
        let sized = |objects, fields, mutators, registers| {
            vec![Scope::new(objects, fields, mutators, registers).with(row.alphabet)]
        };
        assert_eq!(scope(&["--objects", "2"]), sized(2, 1, 1, 2));
        assert_eq!(scope(&["--fields", "2"]), sized(3, 2, 1, 2));
        assert_eq!(scope(&["--mutators", "2"]), sized(3, 1, 2, 2));
        assert_eq!(scope(&["--registers", "1"]), sized(3, 1, 1, 1));
        let with = |words: &[&str]| scope(words)[0].alphabet;
        let plain = Alphabet::PLAIN;
        assert_eq!(with(&["--sweep"]), Alphabet { sweep: true, ..plain });
        assert_eq!(with(&["--weak"]), Alphabet { weak: true, ..plain });
        assert_eq!(with(&["--finalizers"]), Alphabet { finalizers: true, ..plain });
        assert_eq!(with(&["--arrivals", "--aborts"]), Alphabet { arrivals: true, aborts: true, ..plain });
        assert!(options(&["X1", "--no-invariant"]).whole());
    }

    #[test]
    fn a_scope_is_told_in_a_few_words() {
        let told = |alphabet| told(Scope::new(3, 1, 2, 1).with(alphabet));
        let plain = Alphabet::PLAIN;
        assert_eq!(told(plain), "3, 1, 2, 1");
        assert_eq!(told(Alphabet { sweep: true, ..plain }), "3, 1, 2, 1 + sweep");
        assert_eq!(told(Alphabet { sweep: true, weak: true, ..plain }), "3, 1, 2, 1 + weak");
        assert_eq!(told(Alphabet { sweep: true, finalizers: true, ..plain }), "3, 1, 2, 1 + finalizers");
        assert_eq!(told(Alphabet { sweep: true, aborts: true, ..plain }), "3, 1, 2, 1 + aborts");
        assert_eq!(told(Alphabet { sweep: true, arrivals: true, ..plain }), "3, 1, 2, 1 + sweep, arrivals");
        assert_eq!(told(Alphabet { weak: true, arrivals: true, ..plain }), "3, 1, 2, 1 + weak, arrivals");
        assert_eq!(told(Alphabet::ALL), "3, 1, 2, 1 + everything");
    }

    #[test]
    fn a_design_fares_as_the_table_says_or_not() {
        let explored = |id: &str, words: &[&str]| options(words).explore(row(id)).expect("nothing is written");
        assert_eq!(explored("X10", &["--objects", "1"]), (true, false));
        // In a world in which nothing is lost nobody can say; in those that are looked at otherwise it would be wrong.
        assert_eq!(explored("X1", &["--objects", "1"]), (true, false));
        assert_eq!(explored("X10", &["--objects", "1", "--most-states", "1"]), (true, true));
        assert_eq!(explored("X10", &["--most-states", "1"]), (false, true));
        let sound = TABLE.iter().find(|row| row.protocol.sound).expect("a sound row");
        assert_eq!(explored(sound.id, &["--objects", "1"]), (true, false));
        assert_eq!(explored(sound.id, &["--objects", "1", "--most-states", "1"]), (true, true));

        let exit = |words: &[&str]| run(&options(words)).expect("nothing is written");
        assert_eq!(exit(&["X10", "--objects", "1"]), Exit::Conforms);
        assert_eq!(exit(&["X10", "--objects", "1", "--most-states", "1"]), Exit::NothingRan);
        assert_eq!(exit(&["X10", "--most-states", "1"]), Exit::Counterexample);
        assert_eq!(exit(&["no-wave"]), Exit::Conforms);
        assert_eq!(exit(&["--most-states", "1"]), Exit::Counterexample, "that the rules hold is no excuse");
        assert_eq!(exit(&["shared"]), Exit::Conforms);
    }

    #[test]
    fn schedules_are_written_as_files_that_say_what_they_show() {
        let dir = std::env::temp_dir().join(format!("heaplaw-explore-{}", std::process::id()));
        let out = dir.to_string_lossy().into_owned();
        let write = |id: &str, more: &[&str]| {
            let options = options(&[&[id, "--out", &out, "--no-invariant"], more].concat());
            assert_eq!(run(&options).expect("it is written"), Exit::Conforms);
        };
        write("X10", &["--objects", "1", "--registers", "1"]);
        write("X4", &["--objects", "2"]);
        write("W6", &["--objects", "1", "--registers", "1"]);
        let mut files: Vec<_> =
            std::fs::read_dir(&dir).expect("a directory").map(|file| file.expect("one").path()).collect();
        files.sort();
        let names: Vec<_> = files.iter().map(|file| file.file_name().expect("a name").to_string_lossy()).collect();
        assert_eq!(names, ["x10-hybrid-allocate-white.heap", "x4-no-barrier-rescan.heap"], "not all can be said");
        let heads = files.iter().map(|file| std::fs::read_to_string(file).expect("text"));
        let heads: Vec<_> = heads.filter_map(|text| text.lines().next().map(str::to_owned)).collect();
        let expected = [
            "# X10 hybrid-allocate-white: loses an object. Shortest schedule.",
            "# X4 no-barrier-rescan: loses an object although stacks are scanned again. Shortest schedule.",
        ];
        assert_eq!(heads, expected);
        assert!(saved::all(&dir).is_ok_and(|programs| programs.iter().all(|(_, program)| !program.is_empty())));
        std::fs::remove_dir_all(&dir).expect("it goes");
    }
}
