//! A failure as a file and as a picture: the program, the turns of its threads, and who did what when.
//!
//! The file is text: the lines of a [`Program`], `turn THREAD STEPS` for each turn, and `twin NAME` if a mistake was
//! switched on. Lines that begin with `#` are for the reader: what went wrong, and the picture.

use super::{
    Failure,
    program::Program,
    run,
    schedule::{Chooser, Turn},
    world::{COLOURS, SET_UP, Told},
};
use crate::twin::{ALL, Twin};
use std::{fmt::Write, fs, io, path::PathBuf, sync::Arc};

/// What is read from a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) program: Arc<Program>,
    pub(super) twin: Option<Twin>,
    pub(super) turns: Vec<Turn>,
}

/// The text form of a failure.
pub(super) fn text(failure: &Failure) -> String {
    let mut text = format!("# {}\n", failure.message);
    let (operations, switches) = (failure.program.len(), failure.track.switches);
    _ = writeln!(text, "# {operations} operations, {switches} switches away from who could have gone on");
    if let Some(twin) = failure.twin {
        _ = writeln!(text, "twin {twin:?}");
    }
    _ = write!(text, "{}", failure.program);
    for (thread, steps) in &failure.track.turns {
        _ = writeln!(text, "turn {thread} {steps}");
    }
    for line in picture(failure).lines() {
        _ = writeln!(text, "# {line}");
    }
    text
}

/// Reads the text form.
pub(super) fn parse(text: &str) -> Result<Saved, String> {
    let (mut program, mut twin, mut turns) = (Program::default(), None, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let strange = || format!("`{line}` is no line of a schedule");
        if program.read(line)? {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["twin", name] => {
                let found = ALL.into_iter().find(|twin| format!("{twin:?}") == name);
                twin = Some(found.ok_or_else(strange)?);
            }
            ["turn", thread, steps] => {
                let number = |text: &str| text.parse().map_err(|_| strange());
                turns.push((number(thread)?, number(steps)?));
            }
            _ => return Err(strange()),
        }
    }
    Ok(Saved { program: Arc::new(program), twin, turns })
}

/// A lane for each mutator and one for the collector, from top to bottom what they began and said, in its order; and how
/// the objects were coloured then.
pub(super) fn picture(failure: &Failure) -> String {
    const WIDTH: usize = 24;
    let told = run(&failure.program, failure.twin, Chooser::Turns(failure.track.turns.clone()), 0, 1, true).told;
    let lanes = failure.program.lanes.len();
    let mut picture = format!("{:<WIDTH$}", "collector");
    for lane in 1..=lanes {
        _ = write!(picture, "{:<WIDTH$}", format!("lane {}", lane - 1));
    }
    let [white, grey, black] = COLOURS;
    _ = writeln!(picture, "objects: {white} white, {grey} grey, {black} black");
    // The collector's column is 0; what was set up before is no lane's.
    let begun = told.iter().rposition(|told| told.column == 0 && told.what == SET_UP).map_or(0, |at| at + 1);
    let right = (lanes + 1) * WIDTH;
    for Told { column, what, colours } in &told[begun..] {
        let line = format!("{:width$}{what}", "", width = column * WIDTH);
        _ = writeln!(picture, "{line:<right$}{colours}");
    }
    picture.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Writes a failure into a file beside the test's program; gives where.
pub(super) fn save(failure: &Failure, name: &str) -> io::Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("schedules");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.schedule"));
    fs::write(&path, text(failure))?;
    Ok(path)
}
