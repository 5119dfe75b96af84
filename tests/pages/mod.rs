//! What the tests of the project's pages share: they look for what a page names.

use std::{fs, path::Path};

/// The text of a file of the project.
pub(crate) fn source(file: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

/// Whether a source text has a test of this name.
pub(crate) fn is_test(source: &str, name: &str) -> bool {
    let start = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        line.starts_with(&start) && attributes.into_iter().any(|line| *line == "#[test]")
    })
}
