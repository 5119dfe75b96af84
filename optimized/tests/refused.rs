//! What must not compile does not, and for the reason that it is there for.
//!
//! Each file in `tests/refused` is two programs that differ in what is wrong alone. Lines that end in `// bad` are only in
//! the one that is refused, those that end in `// instead` only in its twin, which compiles. `// refused: CODE text` says
//! which error the compiler reports in this line, and what it says there; `-` is an error without a code. It reports no
//! other one. Documentation cannot test that: a stable compiler takes any error for the one that was meant.
//!
//! The README's example for embedders is one more program that compiles. All together are a package, made for the purpose,
//! which is given the versions of this workspace.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An error that a program is refused with: its line, its code, and what it says.
#[derive(Debug, PartialEq)]
struct Refusal {
    line: usize,
    code: String,
    text: String,
}

/// What the comment at the end of a line says: whether the line is in the program that is refused, and in its twin; and
/// the error that is reported there.
fn marks(line: &str) -> ([bool; 2], Option<(&str, &str)>) {
    let Some((_, mark)) = line.rsplit_once("// ") else { return ([true, true], None) };
    let (bad, instead) = (mark == "bad" || mark.starts_with("bad, "), mark == "instead");
    let refused = mark.split_once("refused: ").filter(|(before, _)| ["", "bad, "].contains(before));
    let told = refused.map(|(_, told)| told.split_once(' ').expect("a code and a text"));
    ([!instead, !bad], told)
}

/// The program that is refused, its twin, and the refusals. Lines keep their numbers.
fn twins(source: &str) -> ([String; 2], Vec<Refusal>) {
    let (mut programs, mut refusals) = ([String::new(), String::new()], Vec::new());
    for (line, number) in source.lines().zip(1..) {
        let (wanted, told) = marks(line);
        for (program, wanted) in programs.iter_mut().zip(wanted) {
            program.push_str(if wanted { line } else { "" });
            program.push('\n');
        }
        refusals.extend(told.map(|(code, text)| Refusal { line: number, code: code.into(), text: text.into() }));
    }
    (programs, refusals)
}

/// The errors of each program, from what the compiler prints, one line for each: `src/bin/NAME.rs:12:5: error[E0502]: text`.
fn errors(printed: &str) -> BTreeMap<String, Vec<Refusal>> {
    let mut found: BTreeMap<String, Vec<Refusal>> = BTreeMap::new();
    for line in printed.lines() {
        let Some((name, rest)) = line.strip_prefix("src/bin/").and_then(|line| line.split_once(".rs:")) else {
            continue;
        };
        let mut parts = rest.splitn(3, ':');
        let [Some(at), Some(_), Some(told)] = [parts.next(), parts.next(), parts.next()] else { continue };
        let Some(told) = told.trim_start().strip_prefix("error") else { continue };
        let (code, text) = match told.strip_prefix('[').and_then(|told| told.split_once("]: ")) {
            Some(parts) => parts,
            None => ("-", told.trim_start_matches(": ")),
        };
        let refusal = Refusal { line: at.parse().expect("a line"), code: code.into(), text: text.into() };
        found.entry(name.to_owned()).or_default().push(refusal);
    }
    found
}

/// What is wrong with the errors of a program that is to be refused so; nothing, if it is.
fn complaint(expected: &[Refusal], found: &[Refusal]) -> Option<String> {
    // What is wrong with a field is also said of the derive, and of who uses the field.
    let same = |told: &Refusal, wanted: &Refusal| told.code == wanted.code && told.text.contains(&wanted.text);
    let fits = |told: &Refusal, wanted: &Refusal| told.line == wanted.line && same(told, wanted);
    let missing = expected.iter().find(|wanted| !found.iter().any(|told| fits(told, wanted)));
    let more = found.iter().find(|told| !expected.iter().any(|wanted| same(told, wanted)));
    match (missing, more) {
        _ if expected.is_empty() => Some("it says no error that it is refused with".to_owned()),
        (Some(missing), _) => Some(format!("it is not refused with {missing:?}, but with {found:?}")),
        (None, Some(more)) => Some(format!("it is also refused with {more:?}")),
        (None, None) => None,
    }
}

/// The Rust program in the README's section for Rust programs.
fn readme() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("the README");
    let blocks = page.split("```rust,ignore\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|block| block.0);
    let mut ours = blocks.filter(|block| block.contains("typed::"));
    let (Some(program), None) = (ours.next(), ours.next()) else { panic!("the README has one example of types") };
    program.to_owned()
}

/// The package of these programs, with the versions of this workspace.
fn package(programs: &BTreeMap<String, String>) -> PathBuf {
    let (own, package) =
        (Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused"));
    let bin = package.join("src/bin");
    _ = fs::remove_dir_all(&bin);
    fs::create_dir_all(&bin).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"refused\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         heaplaw-optimized = {{ path = {own:?}, features = [\"derive\"] }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(own.join("../Cargo.lock"), package.join("Cargo.lock")).expect("the workspace's versions");
    for (name, program) in programs {
        fs::write(bin.join(format!("{name}.rs")), program).expect("a program");
    }
    package
}

#[test]
fn what_must_not_compile_does_not_and_its_twin_does() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let (mut programs, mut refusals) = (BTreeMap::new(), BTreeMap::new());
    for case in fs::read_dir(cases).expect("the cases") {
        let path = case.expect("a case").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let ([bad, twin], told) = twins(&fs::read_to_string(&path).expect("the text"));
        assert_ne!(bad, twin, "{name}: its twin is the same");
        programs.insert(format!("{name}_refused"), bad);
        programs.insert(format!("{name}_twin"), twin);
        refusals.insert(format!("{name}_refused"), told);
    }
    assert!(refusals.len() >= 30, "only {} cases", refusals.len());
    // Whoever uses the derive need not allow unsafe code.
    for program in programs.values_mut() {
        program.insert_str(0, "#![forbid(unsafe_code)]");
    }
    programs.insert("readme".to_owned(), readme());

    let package = package(&programs);
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&package).args(["check", "--bins", "--keep-going", "--offline", "--message-format", "short"]);
    let output = command.arg("--target-dir").arg(package.join("target")).output().expect("cargo runs");
    let printed = String::from_utf8(output.stderr).expect("text");
    let mut errors = errors(&printed);
    let mut wrong = Vec::new();
    for name in programs.keys() {
        let (found, told) = (errors.remove(name).unwrap_or_default(), refusals.get(name));
        match told.map(|told| complaint(told, &found)) {
            Some(complaint) => wrong.extend(complaint.map(|complaint| format!("{name}: {complaint}"))),
            None if found.is_empty() => {}
            None => wrong.push(format!("{name}: it does not compile: {found:?}")),
        }
        // What printed no errors was looked at too: one that is refused is named at the end.
        let failed = printed.contains(&format!("could not compile `refused` (bin \"{name}\")"));
        if failed != told.is_some() {
            wrong.push(format!("{name}: refused: {failed}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{printed}", wrong.join("\n"));
}

#[test]
fn a_program_that_is_refused_for_another_reason_is_noticed() {
    let source = "//! Prose.\nlet a = 1; // bad\nlet a = 2; // instead\nf(a); // bad, refused: E0001 wrong thing\ng(a); // refused: - none\n";
    let ([bad, twin], refusals) = twins(source);
    assert_eq!(
        bad.lines().map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>(),
        ["//! Prose.", "let a = 1", "", "f(a)", "g(a)"]
    );
    assert_eq!(
        twin.lines().map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>(),
        ["//! Prose.", "", "let a = 2", "", "g(a)"]
    );
    let printed = "src/bin/x.rs:4:2: error[E0001]: a wrong thing\nsrc/bin/x.rs:1:1: warning: w\nsrc/bin/x.rs:5:1: error: none\nerror: no\n";
    let found = errors(printed).remove("x").expect("errors of x");
    assert_eq!((refusals.len(), found.len()), (2, 2));
    assert_eq!(complaint(&refusals, &found), None);
    let elsewhere = errors(&printed.replace(":4:", ":3:")).remove("x").expect("errors of x");
    let otherwise = errors(&printed.replace("E0001", "E0002")).remove("x").expect("errors of x");
    let says = errors(&printed.replace("wrong thing", "thing")).remove("x").expect("errors of x");
    for found in [&elsewhere[..], &otherwise, &says, &found[..1], &[]] {
        assert!(complaint(&refusals, found).is_some(), "{found:?}");
    }
    assert!(complaint(&refusals[..1], &found).is_some(), "one more than was told");
    assert!(complaint(&[], &[]).is_some(), "a case that says nothing");
}
