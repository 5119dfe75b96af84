//! `heaplaw new`: an adapter to start from.
//!
//! A template is a whole program: a heap that allocates and never frees, which conforms to the few laws that apply to
//! it. Whoever copies it puts his own heap in its place, claims more, and is judged by more.

use super::{Exit, Trouble};
use clap::{Args, ValueEnum};
use std::{fs::File, io, io::Write, path::PathBuf};

#[derive(Args)]
pub(super) struct Options {
    /// The language of the heap
    #[arg(long, value_enum)]
    lang: Language,
    /// Where to write it, if not to standard output; a file that exists is left alone
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    C,
    Python,
    Go,
    Rust,
}

impl Language {
    fn template(self) -> &'static str {
        match self {
            Language::C => include_str!("../../adapters/templates/adapter.c"),
            Language::Python => include_str!("../../adapters/templates/adapter.py"),
            Language::Go => include_str!("../../adapters/templates/adapter.go"),
            Language::Rust => include_str!("../../adapters/templates/adapter.rs"),
        }
    }
}

pub(super) fn run(options: &Options) -> Result<Exit, Trouble> {
    let template = options.lang.template();
    let Some(path) = &options.out else {
        anstream::print!("{template}");
        return Ok(Exit::Conforms);
    };
    let written = File::create_new(path).and_then(|mut file| file.write_all(template.as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            Trouble::Usage(format!("{} is there already; name another file", path.display()))
        }
        _ => Trouble::Write { path: path.clone(), source },
    })?;
    Ok(Exit::Conforms)
}
