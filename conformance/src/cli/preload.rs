//! `--allocator`: any library that provides the C `malloc` family, judged in a process of its own.
//!
//! The process is this command again, as `heaplaw serve malloc`, started so that the library comes before the system's:
//! by `LD_PRELOAD`. What the heap `malloc` says of itself names the library that was really found, and that has to be the
//! one that was meant: a loader that does not like a library only says so on standard error, and goes on without it.
//!
//! An allocator has no way to forget what it has been through. So programs follow one another in one process, where some
//! mistakes need just that; but what is shrunk, or run again to see whether it always shows, begins in a process of its
//! own each time.

use super::{Bundled, MALLOC, Trouble, bundled, quoted};
use crate::drive::{Failure, Planned, Subject, process::Process};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Reply},
    op::Op,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Tells the process which library it serves, and that its own memory must come from elsewhere: for the command that comes
/// with the kit, from the bundled heap.
const VARIABLE: &str = "HEAPLAW_ALLOCATOR";

/// A process with a library before the system's own.
pub(super) struct Preloaded {
    process: Process,
    command: Vec<String>,
    timeout: Duration,
    /// Whether every program has a process of its own.
    alone: bool,
    library: String,
}

/// What starts this command over the `malloc` of this library, to be completed by arguments; and what the library is
/// called.
pub(super) fn command(library: &Path, heaps: &[Bundled]) -> Result<(Vec<String>, String), Trouble> {
    bundled(heaps, MALLOC)?;
    let usage = |why: String| Trouble::Usage(format!("{}: {why}", library.display()));
    let path = std::path::absolute(library).map_err(|error| usage(error.to_string()))?;
    if !path.is_file() {
        return Err(usage("there is no such library".to_owned()));
    }
    let text = path.to_string_lossy().into_owned();
    if text.contains([' ', ':']) {
        return Err(usage(
            "LD_PRELOAD cannot name a path with a blank or a colon; link to it from elsewhere".to_owned(),
        ));
    }
    let mut command = vec!["env".to_owned(), format!("LD_PRELOAD={text}"), format!("{VARIABLE}={text}")];
    command.extend(this_command()?);
    let library = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((command, library))
}

/// What starts this command, to be completed by arguments.
pub(super) fn this_command() -> Result<Vec<String>, Trouble> {
    match std::env::current_exe() {
        Ok(this) => Ok(vec![this.to_string_lossy().into_owned()]),
        Err(error) => Err(Trouble::Usage(format!("this command cannot start itself: {error}"))),
    }
}

/// The heap `malloc` in a process of its own, over the `malloc` of this library.
pub(super) fn subject(library: &Path, heaps: &[Bundled], timeout: Duration) -> Result<Preloaded, Trouble> {
    let (command, library) = command(library, heaps)?;
    let command: Vec<String> = command.into_iter().chain(["serve".to_owned(), MALLOC.to_owned()]).collect();
    Ok(Preloaded { process: Process::new(command.clone(), timeout), command, timeout, alone: false, library })
}

/// What a shell takes to start such a process.
pub(super) fn by_hand(library: &Path) -> String {
    let path: PathBuf = std::path::absolute(library).unwrap_or_else(|_| library.to_owned());
    let path = quoted(&path.to_string_lossy());
    format!("env LD_PRELOAD={path} {VARIABLE}={path} heaplaw serve {MALLOC}")
}

/// Whether the library is the one whose `malloc` is called, by what the heap `malloc` says of itself.
pub(super) fn taken(library: &str, name: &str) -> Result<(), Failure> {
    if name.ends_with(library) {
        return Ok(());
    }
    let found = name.strip_prefix("malloc-of-").unwrap_or(name);
    Err(Failure::Unstartable(format!(
        "{library} was not taken: malloc comes from {found}; is it a library for this machine that exports malloc?"
    )))
}

impl Subject for Preloaded {
    fn reset(&mut self) -> Result<Claims, Failure> {
        if self.alone {
            self.process = Process::new(self.command.clone(), self.timeout);
        }
        let claims = self.process.reset()?;
        taken(&self.library, &claims.name)?;
        Ok(claims)
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        self.process.ahead(plan)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        self.process.perform(op, events)
    }

    fn begin_from_nothing(&mut self) {
        self.alone = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_ahead_to_a_process_that_does_not_take_it() {
        let command = vec!["sh".to_owned()];
        let timeout = Duration::from_secs(10);
        let process = Process::new(command.clone(), timeout);
        let mut subject = Preloaded { process, command, timeout, alone: false, library: "a.so".to_owned() };
        assert!(!subject.ahead(&|| panic!("nobody asks for the plan")), "it does not even run");
    }
}
