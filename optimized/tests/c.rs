//! The heap for C: the header says what there is, and the example compiles without a warning, links, and runs.
//!
//! This needs `cc`, and fails without: a check that skips itself checks nothing. Sources are compared as text, by a reader
//! that knows no more of Rust and C than these two files have.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(CRATE).join(file)).unwrap()
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

/// The text without its comments.
fn uncommented(source: &str) -> String {
    let (mut kept, mut rest) = (String::new(), source);
    while let Some(start) = rest.find("/*") {
        kept += &rest[..start];
        rest = &rest[start..][rest[start..].find("*/").expect("a comment ends") + 2..];
    }
    let kept = kept + rest;
    kept.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// A function as both languages see it: how many arguments it takes, and whether each is a pointer, and what it gives.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    /// For each, whether it is a pointer.
    arguments: Vec<bool>,
    gives_pointer: bool,
    gives_nothing: bool,
}

/// What stands between the parentheses after a name, and what stands before and behind.
fn parts<'t>(source: &'t str, at: usize, name: &str) -> (&'t str, Vec<&'t str>, &'t str) {
    let open = at + name.len();
    let close = open + source[open..].find(')').expect("an end");
    let arguments = source[open + 1..close].split(',').map(str::trim);
    let before = source[..at].rsplit([';', '}', '{', '#', ']']).next().unwrap_or_default();
    let behind = source[close + 1..].split(['{', ';']).next().unwrap_or_default();
    (before, arguments.filter(|argument| !matches!(*argument, "" | "void")).collect(), behind)
}

/// The functions that are declared here.
fn functions(source: &str, is_rust: bool) -> BTreeMap<String, Function> {
    let mut found = BTreeMap::new();
    for (at, _) in source.match_indices("heaplaw_") {
        let name = &source[at..][..source[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0)];
        let inside = source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if inside || !source[at + name.len()..].starts_with('(') {
            continue;
        }
        let (before, arguments, behind) = parts(source, at, name);
        let function = Function {
            arguments: arguments.iter().map(|argument| argument.contains('*')).collect(),
            gives_pointer: if is_rust { behind } else { before }.contains('*'),
            gives_nothing: if is_rust { !behind.contains("->") } else { before.trim_end().ends_with("void") },
        };
        assert!(!is_rust || before.ends_with("extern \"C\" fn "), "{name} is not exported");
        assert!(found.insert(name.to_owned(), function).is_none(), "{name} is there twice");
    }
    found
}

/// What stands in the braces after this.
fn braces<'t>(source: &'t str, after: &str) -> &'t str {
    let start = source.find(after).unwrap_or_else(|| panic!("there is no {after:?}")) + after.len();
    let body = &source[start..];
    let open = body.find('{').expect("a brace");
    &body[open + 1..body.find('}').expect("an end")]
}

/// The fields of a struct in their order, each with its type, in C's words.
fn fields(source: &str, name: &str, is_rust: bool) -> Vec<(String, String)> {
    let separator = if is_rust { ',' } else { ';' };
    let types = BTreeMap::from([("usize", "size_t"), ("c_uint", "unsigned"), ("c_int", "int")]);
    let field = |text: &str| match words(text)[..] {
        [] => None,
        [field, of] if is_rust => Some((field.to_owned(), types[of].to_owned())),
        [of, field] => Some((field.to_owned(), of.to_owned())),
        _ => panic!("{text:?} is no field"),
    };
    braces(source, name).split(separator).filter_map(field).collect()
}

/// What is not the same in the header and in the source.
fn differences(header: &str, source: &str) -> Vec<String> {
    let (header, source) = (uncommented(header), uncommented(source));
    let (declared, exported) = (functions(&header, false), functions(&source, true));
    let names = declared.keys().chain(exported.keys());
    let other = names.filter(|name| declared.get(*name) != exported.get(*name));
    let mut different: Vec<String> =
        other.map(|name| format!("{name}: {:?}, {:?}", declared.get(name), exported.get(name))).collect();
    let codes: Vec<String> = words(braces(&source, "enum Code")).iter().map(|code| code.to_uppercase()).collect();
    let listed = words(braces(&header, "enum heaplaw_code"));
    let listed: Vec<String> = listed.iter().map(|code| code.replace("HEAPLAW_", "").replace('_', "")).collect();
    if codes != listed {
        different.push(format!("codes: {listed:?}, {codes:?}"));
    }
    for (c, rust) in [("struct heaplaw_config", "struct Settings"), ("struct heaplaw_stats", "struct Figures")] {
        if fields(&header, c, false) != fields(&source, rust, true) {
            different.push(c.to_owned());
        }
    }
    different.dedup();
    different
}

#[test]
fn the_header_says_what_there_is() {
    let (header, source) = (text("include/heaplaw.h"), text("src/c.rs"));
    assert_eq!(differences(&header, &source), [""; 0]);
    assert_eq!(functions(&uncommented(&source), true).len(), source.matches("#[unsafe(no_mangle)]").count());
}

#[test]
fn a_header_that_says_something_else_is_noticed() {
    let (header, source) = (text("include/heaplaw.h"), text("src/c.rs"));
    let wrong = [
        ("heaplaw_ref object, size_t index);", "heaplaw_ref object);"),
        ("const heaplaw_config *config);", "heaplaw_config config);"),
        ("void heaplaw_destroy(", "int heaplaw_destroy("),
        ("const char *heaplaw_message(", "int heaplaw_message("),
        ("int heaplaw_error(void);", ""),
        ("    HEAPLAW_NOT_RUNNING,", ""),
        ("    int gogc;", "    long gogc;"),
        ("    size_t objects;", ""),
        ("#ifndef HEAPLAW_H", "int heaplaw_more(int x);\n#ifndef HEAPLAW_H"),
    ];
    for (right, wrong) in wrong {
        assert!(header.contains(right), "{right}");
        assert_ne!(differences(&header.replacen(right, wrong, 1), &source), [""; 0], "{right} -> {wrong}");
    }
}

/// Builds the library as users do, beside what is built already.
fn library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let built = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--release", "--lib", "--features", "c", "--crate-type", "staticlib"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--target-dir"])
        .arg(target)
        .status()
        .expect("cargo");
    assert!(built.success());
    target.join("release/libheaplaw_optimized.a")
}

#[test]
fn the_example_in_c_compiles_links_and_runs() {
    let (library, program) = (library(), Path::new(env!("CARGO_TARGET_TMPDIR")).join("trees"));
    let compiled = Command::new("cc")
        .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-O2", "-I"])
        .arg(Path::new(CRATE).join("include"))
        .arg(Path::new(CRATE).join("examples/c/trees.c"))
        .arg(library)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("this test compiles examples/c/trees.c with cc: {error}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let run = Command::new(&program).output().expect("it starts");
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}: {printed}{}", run.status, String::from_utf8_lossy(&run.stderr));
    let expected = "refused: the mutator is NULL\nkept: hello\nthread 0 counted 409500 nodes of the other\n\
        thread 1 counted 409500 nodes of the other\nobjects left: 1\n";
    assert_eq!(printed, expected);
    let trace = String::from_utf8_lossy(&run.stderr);
    assert!(trace.contains(" cycles, the last: gc ") && trace.trim_end().ends_with(" P (forced)"), "{trace}");
}
