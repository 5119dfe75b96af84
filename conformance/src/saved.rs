//! Saved failures: one `.heap` file each, which replays by itself and runs first the next time.
//!
//! What went wrong between threads is a [plan](Plan), in a file `.threads` of the same operations: those of each mutator
//! are done by a thread of its own.
//!
//! A file is written as soon as a failure is found, before it is shrunk, and then replaced as a whole. So whatever
//! happens in between, the failure is not lost.

use crate::{
    campaign::{Again, Breach, Counterexample},
    drive::{
        Failure,
        parallel::{Plan, PlanError},
    },
};
use heaplaw_reference::{
    op::Program,
    text::{ParseError, answer},
};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest file of operations in bytes: some hundred thousand operations, a hundred times those of any generated
/// program. What is longer is not read, so that no file can take all memory.
pub const LONGEST: u64 = 1 << 20;

/// Why a file of operations could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It has more than [`LONGEST`] bytes.
    #[error("{}: this is no {what}: it has more than {LONGEST} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        what: &'static str,
    },
    /// It is not a program.
    #[error("{}:{}:{}: {}\n{}", path.display(), error.line, error.column, error.message, pointed(line, error.column))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ParseError,
        /// The line where it is wrong.
        line: String,
    },
    /// It is not a plan for threads.
    #[error("{}: {error}", path.display())]
    NoPlan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: PlanError,
    },
}

/// The extension of the files of plans.
pub const PLAN: &str = "threads";

/// Whether a file is a plan for threads, by its name.
pub fn is_plan(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == PLAN)
}

/// A line and a caret under the column that is meant. A long line is cut down to what is around the column.
fn pointed(line: &str, column: usize) -> String {
    const WIDTH: usize = 72;
    let skip = (column - 1).saturating_sub(WIDTH / 2);
    let shown: String = line.chars().skip(skip).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("  {shown}\n  {}^", " ".repeat(column - 1 - skip))
}

/// Reads a file of operations.
///
/// # Errors
/// If it cannot be read, is too long, or is not a program; then with the line and the column.
pub fn load(path: &Path) -> Result<Program, FileError> {
    parse(path, read(path, OPERATIONS)?)
}

/// What most files are.
const OPERATIONS: &str = "file of operations";

/// Reads a file of at most [`LONGEST`] bytes; `what` it should be is for the message.
///
/// # Errors
/// If it cannot be read, or is too long.
pub fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(FileError::TooLong { path: path.to_owned(), what });
    }
    Ok(bytes)
}

/// Reads the content of a file of operations; `path` is for the message.
///
/// # Errors
/// If it is too long, or is not a program.
pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Program, FileError> {
    if bytes.len() as u64 > LONGEST {
        return Err(FileError::TooLong { path: path.to_owned(), what: OPERATIONS });
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let before = String::from_utf8_lossy(&bytes[..good]);
            let line = before.lines().last().filter(|_| !before.ends_with('\n')).unwrap_or("");
            let position = ParseError {
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
                message: "this is not UTF-8 text".to_owned(),
            };
            return Err(FileError::Malformed { path: path.to_owned(), line: line.to_owned(), error: position });
        }
    };
    text.parse().map_err(|error: ParseError| {
        let line = text.lines().nth(error.line - 1).unwrap_or("").to_owned();
        FileError::Malformed { path: path.to_owned(), error, line }
    })
}

/// The saved failures of a directory, by name; none if there is no such directory.
///
/// # Errors
/// If the directory or one of its files cannot be read.
pub fn all(dir: &Path) -> Result<Vec<(PathBuf, Program)>, FileError> {
    files(dir, "heap")?.into_iter().map(|path| load(&path).map(|program| (path, program))).collect()
}

/// Reads a file of what threads do.
///
/// # Errors
/// If it cannot be read, is not a program, or is one that threads cannot perform.
pub fn load_plan(path: &Path) -> Result<Plan, FileError> {
    Plan::of(&load(path)?).map_err(|error| FileError::NoPlan { path: path.to_owned(), error })
}

/// The saved plans of a directory, by name; none if there is no such directory.
///
/// # Errors
/// If the directory or one of its files cannot be read.
pub fn plans(dir: &Path) -> Result<Vec<(PathBuf, Plan)>, FileError> {
    files(dir, PLAN)?.into_iter().map(|path| load_plan(&path).map(|plan| (path, plan))).collect()
}

/// The files of a directory with this extension, by name.
fn files(dir: &Path, kind: &str) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == kind) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The name of the file for a failure: the law, or the way to fail, and a few digits of the operations' hash.
pub fn name(breach: &Breach, program: &Program) -> String {
    named(breach, &program.to_string(), "heap")
}

/// The name of the file for a failure between threads.
pub fn plan_name(breach: &Breach, plan: &Plan) -> String {
    named(breach, &plan.to_string(), PLAN)
}

fn named(breach: &Breach, text: &str, extension: &str) -> String {
    let kind = match breach {
        Breach::Law(law, _) => law.number.to_string(),
        Breach::Failure(Failure::Hung(_)) => "hang".to_owned(),
        Breach::Failure(Failure::Garbled(_)) => "protocol".to_owned(),
        Breach::Failure(Failure::Crashed(_) | Failure::Unstartable(_)) => "crash".to_owned(),
    };
    format!("{kind}-{:06x}.{extension}", hash(text) & 0xff_ffff)
}

/// FNV-1a: a name has to stay the same from one version of Rust to the next.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A failure that does not show every time.
#[derive(Clone, Copy, Debug)]
pub struct Flaky<'f> {
    /// How often it shows.
    pub again: Again,
    /// The command line of the run that came upon it.
    pub check: &'f str,
}

/// Writes a failure to a file, as a whole or not at all. One that does not show every time is written with what the heap
/// answered when it did.
///
/// # Errors
/// If the directory or the file cannot be written.
pub fn save(path: &Path, heap: &str, replay: &str, found: &Counterexample, flaky: Option<Flaky<'_>>) -> io::Result<()> {
    let what = match &found.breach {
        Breach::Law(law, witness) => format!("law {} {}: {}", law.number, law.name, witness.why),
        Breach::Failure(failure) => failure.to_string(),
    };
    let origin = found.case.map_or(String::new(), |case| format!(", case {case}"));
    let mut text = String::new();
    let told = flaky.map_or(String::new(), |Flaky { again, check }| {
        format!("flaky: {again} when it is run again; below is what was answered when it did\nfound by: {check}\n")
    });
    for line in format!("{heap}{origin}\n{what}\n{told}replay: {replay}").lines() {
        text.push_str(&format!("# {line}\n"));
    }
    let mut moments = found.history.moments.iter();
    for op in found.program().ops() {
        match moments.next().filter(|_| flaky.is_some()) {
            Some(moment) => {
                let answer = answer::print(&moment.reply, &moment.events);
                text.push_str(&format!("{:<24} # {answer}\n", op.to_string()));
            }
            None => text.push_str(&format!("{op}\n")),
        }
    }
    write_whole(path, &text)
}

/// Writes a plan to a file, as a whole or not at all.
///
/// # Errors
/// If the directory or the file cannot be written.
pub fn save_plan(path: &Path, about: &str, plan: &Plan) -> io::Result<()> {
    let about: String = about.lines().map(|line| format!("# {line}\n")).collect();
    write_whole(path, &format!("{about}{plan}"))
}

/// Writes a text to a file by way of a neighbour that then takes its name.
///
/// # Errors
/// If the directory or the file cannot be written.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let draft = path.with_extension("heap.new");
    fs::write(&draft, text)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_the_same() {
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c, "as published");
    }

    #[test]
    fn the_caret_stands_under_the_column() {
        assert_eq!(pointed("0 alloc q", 9), "  0 alloc q\n          ^");
        let long = format!("{}x", "y".repeat(500));
        let shown = pointed(&long, 501);
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.ends_with('x') && line.len() == caret.len(), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_down_to_what_is_around_the_column() {
        let line: String = ('a'..='z').cycle().take(200).collect();
        let shown = |column: usize| {
            let shown = pointed(&line, column);
            let (text, caret) = shown.split_once('\n').expect("two lines");
            (text[2..].to_owned(), caret.len() - 3)
        };
        assert_eq!(shown(1), (line[..72].to_owned(), 0));
        assert_eq!(shown(37), (line[..72].to_owned(), 36));
        assert_eq!(shown(38), (line[1..73].to_owned(), 36));
        assert_eq!(shown(200), (line[163..].to_owned(), 36));
    }

    #[test]
    fn a_file_may_be_as_long_as_the_longest() {
        let file = std::env::temp_dir().join(format!("heaplaw-saved-{}.heap", std::process::id()));
        let longest = vec![b'#'; LONGEST as usize];
        let longer = [&longest[..], b"#"].concat();
        fs::write(&file, &longest).expect("a file for the test");
        assert!(load(&file).is_ok_and(|program| program.is_empty()));
        fs::write(&file, &longer).expect("a file for the test");
        let told = "this is no list: it has more than 1048576 bytes";
        assert!(read(&file, "list").is_err_and(|error| error.to_string().ends_with(told)));
        fs::remove_file(&file).expect("it goes");
        assert!(load(&file).is_err_and(|error| error.to_string().contains("No such file")));
        assert!(parse(&file, longest).is_ok());
        assert!(parse(&file, longer).is_err_and(|error| error.to_string().contains("no file of operations")));
    }

    #[test]
    fn what_is_no_program_is_told_with_line_and_column() {
        let told = |text: &[u8]| parse(Path::new("f"), text.to_vec()).map_err(|error| error.to_string());
        let utf8 = |at: &str, line: &str| Err(format!("f:{at}: this is not UTF-8 text\n{line}"));
        assert_eq!(told(b"\xff"), utf8("1:1", "  \n  ^"));
        assert_eq!(told(b"gc full\n0 read\xff"), utf8("2:7", "  0 read\n        ^"));
        assert_eq!(told(b"gc full\n\n\xff"), utf8("3:1", "  \n  ^"));
        let wrong = told(b"gc full\n0 read r0\ngc dance\ngc full\n").expect_err("no such step");
        assert!(wrong.starts_with("f:3:4: ") && wrong.ends_with("\n  gc dance\n     ^"), "{wrong}");
    }

    #[test]
    fn plans_and_programs_of_a_directory_are_told_apart_and_sorted() {
        let dir = std::env::temp_dir().join(format!("heaplaw-saved-{}", std::process::id()));
        assert!(all(&dir).is_ok_and(|files| files.is_empty()), "there is no such directory");
        let program: Program = "0 alloc r0 1\n1 alloc r0 1\ngc full\n".parse().expect("a program");
        let plan = Plan::of(&program).expect("a plan");
        let breach = Breach::Failure(Failure::Hung(std::time::Duration::ZERO));
        let name = plan_name(&breach, &plan);
        assert!(name.starts_with("hang-") && name.ends_with(".threads") && name.len() == 19, "{name}");
        save_plan(&dir.join(&name), "one\ntwo", &plan).expect("it is saved");
        let text = fs::read_to_string(dir.join(&name)).expect("the file");
        assert_eq!(text, format!("# one\n# two\n{plan}"));
        for other in ["b.heap", "a.heap", "c.txt"] {
            write_whole(&dir.join(other), "gc full\n").expect("a file");
        }
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files.iter().map(|path| path.strip_prefix(&dir).expect("in it").display().to_string()).collect()
        };
        let programs = all(&dir).expect("programs").into_iter().map(|(path, _)| path).collect();
        assert_eq!(names(programs), ["a.heap", "b.heap"]);
        let found = plans(&dir).expect("plans");
        assert!(found.len() == 1 && found[0].1 == plan && is_plan(&found[0].0), "{found:?}");
        assert!(!is_plan(Path::new("threads")) && !is_plan(Path::new("a.heap")));
        write_whole(&dir.join("wide.threads"), "0 alloc r0 1\n1 alloc r0 2\n").expect("a file");
        assert!(plans(&dir).is_err_and(|error| error.to_string().contains("wide.threads: ")));
        assert!(all(&dir.join("c.txt")).is_err(), "a file is no directory");
        fs::remove_dir_all(&dir).expect("it goes");
    }
}
