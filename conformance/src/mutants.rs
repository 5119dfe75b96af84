//! Seeded bugs: textual edits of the source, each of which has to be caught.
//!
//! A file `mutants.toml` beside a crate's `Cargo.toml` lists them. Each edit names a file and a text that occurs in it
//! exactly once, so that an edit which no longer applies is noticed at once and not only when nothing is caught.
//!
//! There are two [levels](Level). A bug in the heap is caught by the judge. A bug in the judge is caught by heaps whose
//! fate is known: it lets a wrong one pass, or it accuses a right one.

use serde::Deserialize;
use std::{
    collections::HashSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Where a bug is seeded, and so who has to catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// In the optimized heap: generated programs, judged by the laws.
    Heap,
    /// In the judge: the wrong heaps that it has to catch, and right ones that it has to let pass.
    Judge,
}

impl Level {
    /// Both.
    pub const ALL: [Level; 2] = [Level::Heap, Level::Judge];

    /// The crate whose list it is.
    pub fn krate(self) -> &'static str {
        match self {
            Level::Heap => "optimized",
            Level::Judge => "conformance",
        }
    }
}

/// One seeded bug.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mutant {
    /// Its name.
    pub name: String,
    /// What it is like in the world.
    pub why: String,
    /// The file, from the crate's root.
    pub file: PathBuf,
    /// A text that occurs exactly once in the file.
    pub find: String,
    /// What it becomes.
    pub replace: String,
    /// The heap of the command that is judged with the bug in it, if it is not the one that collects.
    #[serde(default)]
    pub heap: Option<String>,
    /// The laws one of which must catch it. Of a bug in the judge: one of which lets its wrong heap pass, or accuses a
    /// right one.
    pub caught_by: Vec<u16>,
    /// Whether a crash counts as caught too: of the heap, saved with its program, or of the judge.
    #[serde(default)]
    pub or_crash: bool,
    /// Whether it counts as caught too if the heap does not come back from an operation, which is saved with its program.
    #[serde(default)]
    pub or_hang: bool,
}

/// A list of seeded bugs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The bugs.
    pub mutant: Vec<Mutant>,
}

/// Why seeded bugs could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The list could not be read.
    #[error("{}: {error}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<toml::de::Error>,
    },
    /// An edit does not apply.
    #[error("mutant {name}: its text occurs {times} times in {}, not once", file.display())]
    Edit {
        /// The mutant.
        name: String,
        /// The file it wants to edit.
        file: PathBuf,
        /// How often its text occurs.
        times: usize,
    },
    /// A command failed.
    #[error("{what} failed:\n{output}")]
    Command {
        /// The command.
        what: String,
        /// What it printed.
        output: String,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

impl Catalogue {
    /// Reads the list of a crate.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn of(krate: &Path) -> Result<Catalogue, Error> {
        let path = krate.join("mutants.toml");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        toml::from_str(&text).map_err(|error| Error::List { path, error: Box::new(error) })
    }
}

impl Mutant {
    /// The file with the bug in it.
    ///
    /// # Errors
    /// If the text to be replaced does not occur exactly once.
    pub fn edit(&self, text: &str) -> Result<String, Error> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            times => Err(Error::Edit { name: self.name.clone(), file: self.file.clone(), times }),
        }
    }
}

/// A copy of the repository, outside it, in which bugs are seeded one at a time.
pub struct Scratch {
    root: PathBuf,
    target: PathBuf,
}

/// What one run with the bug gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code.
    pub exit: Option<i32>,
    /// The law that was named.
    pub law: Option<u16>,
    /// How many programs were run.
    pub programs: u64,
    /// How long it took to find something, if anything was found.
    pub found: Option<Duration>,
}

/// What stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A law of this number.
    Law(u16),
    /// The heap did not come back from an operation.
    Hang,
    /// The heap crashed, or the command did.
    Crash,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Law(number) => write!(f, "{number}"),
            By::Hang => f.write_str("hang"),
            By::Crash => f.write_str("crash"),
        }
    }
}

impl Run {
    /// What stopped it, if anything did.
    pub fn by(&self) -> Option<By> {
        let otherwise = || if self.hung() { Some(By::Hang) } else { self.crashed().then_some(By::Crash) };
        self.law.map(By::Law).or_else(otherwise)
    }

    /// Whether the bug was caught, by what it says must catch it.
    pub fn caught(&self, mutant: &Mutant) -> bool {
        (mutant.or_crash && self.crashed())
            || (mutant.or_hang && self.hung())
            || self.law.is_some_and(|law| mutant.caught_by.contains(&law))
    }

    fn hung(&self) -> bool {
        const HANG: i32 = 6;
        self.exit == Some(HANG)
    }

    /// Whether the heap crashed, or the command: an internal error, a panic that nobody caught, or a signal.
    fn crashed(&self) -> bool {
        const HEAP: i32 = 5;
        const COMMAND: i32 = 70;
        const PANIC: i32 = 101;
        self.exit.is_none_or(|exit| [HEAP, COMMAND, PANIC].contains(&exit))
    }
}

impl Scratch {
    /// Copies the repository's files (those that git knows or would take) to the system's temporary directory.
    ///
    /// # Errors
    /// If git cannot list the files, or they cannot be copied.
    pub fn of(repository: &Path) -> Result<Scratch, Error> {
        // One directory for all runs: what cargo has built in it before need not be built again, unless it changed.
        let base = std::env::temp_dir().join("heaplaw-mutants");
        let (root, target) = (base.join("source"), base.join("target"));
        let mut list = Command::new("git");
        list.current_dir(repository).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = output(&mut list)?;
        let mut kept = HashSet::new();
        for file in listed.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (repository.join(file), root.join(file));
            if from.is_file() {
                update(&from, &to)?;
                kept.insert(to);
            }
        }
        remove_all_but(&kept, &root)?;
        Ok(Scratch { root, target })
    }

    /// Seeds a bug, builds the command, and runs it so many times, with other seeds.
    ///
    /// # Errors
    /// If the edit does not apply or what comes of it does not compile.
    pub fn try_out(&self, level: Level, mutant: &Mutant, seeds: u64) -> Result<Vec<Run>, Error> {
        let path = self.root.join(level.krate()).join(&mutant.file);
        let original = fs::read_to_string(&path).map_err(at(&path))?;
        fs::write(&path, mutant.edit(&original)?).map_err(at(&path))?;
        let run = |seed| match level {
            Level::Heap => self.check(mutant.heap.as_deref().unwrap_or("optimized"), seed, &[]),
            Level::Judge => self.put_the_judge_to_the_test(seed),
        };
        let runs = self.build().and_then(|()| (0..seeds).map(run).collect());
        fs::write(&path, original).map_err(at(&path))?;
        runs
    }

    /// Right heaps first, which takes no time; then all that are wrong.
    fn put_the_judge_to_the_test(&self, seed: u64) -> Result<Run, Error> {
        for heap in RIGHT {
            let run = self.check(heap, seed, &["--cases", ENOUGH])?;
            if run.exit != Some(0) {
                return Ok(run);
            }
        }
        self.run(&["teeth", "--seeds", "1", "--from", &seed.to_string(), "--fail-fast"], "NOT CAUGHT: law ")
    }

    fn build(&self) -> Result<(), Error> {
        let mut build = Command::new("cargo");
        // A bug may leave an import or a variable unused; that is not what is looked for.
        build.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).env("RUSTFLAGS", "-Awarnings");
        // The next bug changes a line or two.
        build.env("CARGO_INCREMENTAL", "1");
        build.args(["build", "--release", "--quiet", "--bin", "heaplaw"]);
        output(&mut build).map(|_| ())
    }

    fn check(&self, heap: &str, seed: u64, more: &[&str]) -> Result<Run, Error> {
        let out = self.root.join("failures").join(seed.to_string());
        let saved = out.to_string_lossy();
        let seed = seed.to_string();
        let run = self.run(&[&["check", "--heap", heap, "--seed", &seed, "--out", &saved], more].concat(), "law ");
        // Not to run first for the next bug.
        if out.exists() {
            fs::remove_dir_all(&out).map_err(at(&out))?;
        }
        run
    }

    /// Runs the command; the first line that starts with `naming` goes on with the number of a law.
    fn run(&self, args: &[&str], naming: &str) -> Result<Run, Error> {
        let program = self.target.join("release").join("heaplaw");
        let mut command = Command::new(&program);
        command.current_dir(&self.root).env("NO_COLOR", "1").args(args);
        let result = command.output().map_err(at(&program))?;
        let text = String::from_utf8_lossy(&result.stdout);
        let law = text.lines().find_map(|line| line.strip_prefix(naming)?.split([' ', ',']).next()?.parse().ok());
        let count = |line: &str| line.split(" program").next()?.replace(',', "").parse().ok();
        let programs = text.lines().rev().find_map(count).unwrap_or(0);
        // law 54 weak invariant: broken by program 31, after 0.01 s (16 operations)
        let seconds = |line: &str| line.split_once(", after ")?.1.split(' ').next()?.parse().ok();
        let found = text.lines().find_map(seconds).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Run { exit: result.status.code(), law, programs, found })
    }
}

/// Copies a file, unless the copy is there: cargo builds what is newer than what it has built.
fn update(from: &Path, to: &Path) -> Result<(), Error> {
    let wanted = fs::read(from).map_err(at(from))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(at(dir))?;
    }
    fs::write(to, wanted).map_err(at(to))
}

/// Removes the files of a directory that are none of these.
fn remove_all_but(kept: &HashSet<PathBuf>, dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.is_dir() {
            remove_all_but(kept, &path)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Heaps that are right, and that together claim everything.
const RIGHT: [&str; 6] = [
    "reference:stop-the-world",
    "reference:insertion",
    "reference:hybrid",
    "reference:first-fit",
    // What becomes garbage in the operation in which a cycle starts, and is kept by it.
    "reference:eager",
    // What is freed in the very operation in which it becomes garbage.
    "reference:counting",
];

/// So many programs of each show a judge that accuses them.
const ENOUGH: &str = "3000";

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Result<String, Error> {
    let program = PathBuf::from(command.get_program());
    let result = command.output().map_err(at(&program))?;
    if result.status.success() {
        Ok(String::from_utf8_lossy(&result.stdout).into_owned())
    } else {
        let output = String::from_utf8_lossy(&result.stderr).into_owned();
        Err(Error::Command { what: format!("{command:?}"), output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_changed_is_not_copied_again_and_what_is_gone_goes() {
        let dir = std::env::temp_dir().join(format!("heaplaw-mutants-test-{}", std::process::id()));
        let (from, to, stale) = (dir.join("from"), dir.join("to/there"), dir.join("to/deep/stale"));
        fs::create_dir_all(dir.join("to/deep")).expect("a directory");
        fs::write(&from, "one").expect("a file");
        fs::write(&stale, "old").expect("a file");
        update(&from, &to).expect("a copy");
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&to).expect("the copy").set_modified(long_ago).expect("a time");
        let modified = || fs::metadata(&to).expect("the copy").modified().expect("a time");
        update(&from, &to).expect("nothing to do");
        assert_eq!(modified(), long_ago, "it was copied again");
        fs::write(&from, "two").expect("a file");
        update(&from, &to).expect("a copy");
        assert!(modified() > long_ago && fs::read(&to).expect("the copy") == b"two");
        remove_all_but(&HashSet::from([to.clone()]), &dir.join("to")).expect("it goes");
        assert!(to.exists() && !stale.exists());
        fs::remove_dir_all(&dir).expect("it goes too");
    }

    #[test]
    fn an_edit_applies_exactly_once_or_not_at_all() {
        let text = "[[mutant]]\nname = 'n'\nwhy = 'w'\nfile = 'f'\nfind = 'b'\nreplace = 'x'\ncaught-by = [51]\n";
        let catalogue: Catalogue = toml::from_str(text).expect("a catalogue");
        let mutant = &catalogue.mutant[0];
        assert_eq!(mutant.edit("abc").expect("once"), "axc");
        assert!(matches!(mutant.edit("abcb"), Err(Error::Edit { times: 2, .. })));
        assert!(matches!(mutant.edit("ac"), Err(Error::Edit { times: 0, .. })));
    }

    #[test]
    fn only_what_was_to_catch_it_counts() {
        let text = |more: &str| {
            format!("name = 'n'\nwhy = 'w'\nfile = 'f'\nfind = 'b'\nreplace = 'x'\ncaught-by = [51]\n{more}")
        };
        let strict: Mutant = toml::from_str(&text("")).expect("a mutant");
        let lenient: Mutant = toml::from_str(&text("or-crash = true")).expect("a mutant");
        let patient: Mutant = toml::from_str(&text("or-hang = true")).expect("a mutant");
        let run = |exit, law| Run { exit, law, programs: 1, found: None };
        let runs = [
            (run(Some(1), Some(51)), [true, true, true]),
            (run(Some(1), Some(6)), [false, false, false]),
            (run(Some(5), None), [false, true, false]),
            (run(Some(70), None), [false, true, false]),
            (run(None, None), [false, true, false]),
            (run(Some(0), None), [false, false, false]),
            (run(Some(6), None), [false, false, true]),
        ];
        let by = runs.iter().map(|(run, _)| run.by().map(|by| by.to_string()).unwrap_or_default());
        assert_eq!(by.collect::<Vec<_>>(), ["51", "6", "crash", "crash", "crash", "", "hang"]);
        for (run, caught) in runs {
            assert_eq!([&strict, &lenient, &patient].map(|mutant| run.caught(mutant)), caught, "{run:?}");
        }
    }
}
