//! The README shows what the command really prints.
//!
//! Each `console` block whose command begins with `heaplaw` or `cargo run --release` is run and compared, line by line.
//! `...` stands for any lines. Times are not compared, nor is the random part of a default seed.

use std::{path::Path, process::Command};

/// The commands of a page with the output that it shows for each.
fn shown(page: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut console = false;
    for line in page.lines() {
        if line.starts_with("```") {
            console = line == "```console";
        } else if console {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                (None, Some((_, output))) => output.push(line.to_owned()),
                (None, None) => {}
            }
        }
    }
    commands
}

/// The arguments that a command of the page gives to `heaplaw`.
fn arguments(command: &str) -> Option<Vec<&str>> {
    match command.strip_prefix("heaplaw ") {
        Some(arguments) => Some(arguments.split_whitespace().collect()),
        None => (command == "cargo run --release").then(|| vec!["check", "--seed", "0x5eed"]),
    }
}

/// A line without what is different every time: the seconds.
fn steady(line: &str) -> String {
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let timed = |at: usize| words.get(at + 1).is_some_and(|next| next.starts_with('s') && next.len() <= 2);
    let steady = words.iter().enumerate().map(|(at, word)| if timed(at) { "N" } else { word });
    steady.collect::<Vec<_>>().join(" ")
}

/// Whether output is as shown; if not, the first line that is not.
fn compare(shown: &[String], printed: &[String]) -> Result<(), String> {
    let mut rest = printed.iter();
    let mut skipping = false;
    for line in shown {
        if line == "..." {
            skipping = true;
            continue;
        }
        let wanted = steady(line);
        let found = if skipping { rest.find(|line| steady(line) == wanted) } else { rest.next() };
        match found {
            Some(found) if steady(found) == wanted => skipping = false,
            found => return Err(format!("the page shows {line:?}; printed is {found:?}")),
        }
    }
    match rest.next() {
        Some(more) if !skipping => Err(format!("the page ends, and {more:?} is printed")),
        _ => Ok(()),
    }
}

#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let out = std::env::temp_dir().join(format!("heaplaw-readme-{}", std::process::id()));
    std::fs::create_dir_all(&out).expect("a directory");
    // The page's commands name the adapter from the repository's root, and failures from where they run.
    let adapters = out.join("conformance");
    std::os::unix::fs::symlink(root.join("conformance"), &adapters).expect("a link");
    let mut compared = 0;
    for (command, lines) in shown(&page).into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let arguments = arguments(&command).unwrap_or_else(|| panic!("do not know how to run {command:?}"));
        let result = Command::new(env!("CARGO_BIN_EXE_heaplaw")).current_dir(&out).args(arguments).output();
        // The next command knows nothing of what this one has found.
        _ = std::fs::remove_dir_all(out.join("failures"));
        let printed = String::from_utf8(result.expect("the command runs").stdout).expect("text");
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        compare(&lines, &printed).unwrap_or_else(|why| panic!("{command}: {why}\n\n{}", printed.join("\n")));
        compared += 1;
    }
    std::fs::remove_dir_all(&out).expect("the directory goes");
    assert!(compared >= 2, "the page shows the output of {compared} commands");
}

#[test]
fn a_page_that_shows_something_else_is_noticed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = lines("a\nb in 3.1 s: fine\nc\n");
    assert_eq!(compare(&lines("a\nb in 9.9 s: fine\nc"), &printed), Ok(()));
    assert_eq!(compare(&lines("...\nc"), &printed), Ok(()));
    assert_eq!(compare(&lines("a\n..."), &printed), Ok(()));
    assert!(compare(&lines("a\nb in 3.1 s: good\nc"), &printed).is_err());
    assert!(compare(&lines("a"), &printed).is_err());
    assert!(compare(&lines("a\n...\nd"), &printed).is_err());
}
