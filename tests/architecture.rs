//! That the crates depend on one another as ARCHITECTURE.md says, and that its lists of files are true.
//!
//! Each check is a function from texts to complaints, and is tested here on a text that it must reject. Source is read
//! as tokens, so that comments and strings may name whatever they like.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Model checkers: the optimized heap's own business.
const MODEL_CHECKERS: [&str; 2] = ["loom", "shuttle"];

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file under a directory, relative to it, with its text; none if there is no such directory.
fn sources(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let dir = Path::new(ROOT).join(dir);
    let mut found = Vec::new();
    if dir.exists() {
        walk(&dir, &mut found);
    }
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(&dir).expect("it is in there").to_str().expect("UTF-8").to_owned();
    found.iter().map(|path| (name(path), read(path))).collect()
}

/// As [`sources`], of a directory that must not be empty.
fn source(dir: &str) -> Vec<(String, String)> {
    let sources = sources(dir);
    assert!(!sources.is_empty(), "there is no source in {dir}");
    sources
}

// ---- Tokens.

/// The words and marks of a source text, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(&rest[..end]);
            end
        } else {
            if !first.is_whitespace() {
                tokens.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    tokens
}

/// The length of the comment that the text starts with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string, raw or not, that the text starts with.
fn string(text: &str) -> Option<usize> {
    let plain = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let raw = plain.strip_prefix('r').map(|rest| (rest, rest.len() - rest.trim_start_matches('#').len()));
    if let Some((rest, hashes)) = raw
        && rest[hashes..].starts_with('"')
    {
        let start = text.len() - rest.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    let inside = plain.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(text.len() - inside.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of the character that the text starts with; of a lifetime, only its mark.
fn character(text: &str) -> usize {
    let mut inside = text[1..].char_indices();
    match inside.next() {
        // Whatever is escaped, the next mark after it ends the character.
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |at| 3 + at + 1),
        Some(_) => inside.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| 1 + at + 1),
        None => 1,
    }
}

/// Which of these names a source text uses.
fn named<'n>(source: &str, names: &[&'n str]) -> BTreeSet<&'n str> {
    let tokens = tokens(source);
    names.iter().copied().filter(|name| tokens.contains(name)).collect()
}

/// The modules that a source text reaches by `crate::` or `super::`, also inside braces.
fn reached(source: &str) -> BTreeSet<&str> {
    let tokens = tokens(source);
    let mut modules = BTreeSet::new();
    for at in 0..tokens.len() {
        if !matches!(tokens[at], "crate" | "super") || tokens[at + 1..].get(..2) != Some(&[":", ":"]) {
            continue;
        }
        let path = &tokens[at + 3..];
        if path.first() != Some(&"{") {
            modules.extend(path.first());
            continue;
        }
        let mut depth = 0;
        for (before, token) in path.iter().zip(&path[1..]) {
            match *before {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            match (depth, *before) {
                (0, _) => break,
                (1, "{" | ",") if *token != "}" => _ = modules.insert(*token),
                _ => {}
            }
        }
    }
    modules
}

#[test]
fn tokens_are_what_the_compiler_sees() {
    let source = r####"
        // unsafe in a comment
        /* unsafe /* nested */ unsafe */
        fn f<'a>(x: &'a str) -> char { let s = "unsafe \" unsafe"; r#"unsafe " unsafe"#;
        b"unsafe"; '"'; '\''; 'ü'; g() }
    "####;
    let seen = tokens(source);
    assert!(!seen.contains(&"unsafe"), "{seen:?}");
    assert!(seen.contains(&"g") && seen.contains(&"char"), "{seen:?}");
    assert_eq!(named("fn f() { unsafe { g() } }", &["unsafe", "h"]), BTreeSet::from(["unsafe"]));
    assert_eq!(named("#![forbid(unsafe_code)]", &["unsafe"]), BTreeSet::new());
}

#[test]
fn paths_are_followed_into_braces() {
    let source = "use crate::{a::{x, y}, b, c::z as w,}; use super::d; fn f() { crate::e::g(); } // crate::no";
    assert_eq!(reached(source), BTreeSet::from(["a", "b", "c", "d", "e"]));
    assert_eq!(reached("use super::*;"), BTreeSet::from(["*"]));
}

// ---- Manifests.

/// What a crate depends on.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    /// The package, whatever it is called here.
    package: String,
    /// `dependencies`, `dev-dependencies` or `build-dependencies`.
    kind: String,
    optional: bool,
}

/// Everything that a manifest says its package depends on, for any target.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found: Vec<Dependency> = Vec::new();
    // The kind of the section, and whether the section is all about one dependency.
    let mut section: Option<(String, bool)> = None;
    let value = |text: &str, key: &str| {
        let at = text.find(key)?;
        let rest = text[at + key.len()..].trim_start().strip_prefix('=')?.trim_start();
        Some(rest.split([',', '}', '\n']).next().unwrap_or_default().trim().trim_matches('"').to_owned())
    };
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(title) = line.strip_prefix('[').and_then(|title| title.strip_suffix(']')) {
            // A target's condition may contain anything, but it comes first.
            let words: Vec<&str> = title.rsplit('.').take(2).map(|word| word.trim_matches('"')).collect();
            section = match words[..] {
                [kind, ..] if kinds.contains(&kind) && !title.starts_with("workspace.") => {
                    Some((kind.to_owned(), false))
                }
                [name, kind] if kinds.contains(&kind) => {
                    found.push(Dependency { package: name.to_owned(), kind: kind.to_owned(), optional: false });
                    Some((kind.to_owned(), true))
                }
                _ => None,
            };
        } else if let (Some((kind, alone)), Some((key, told))) = (&section, line.split_once('=')) {
            let key = key.trim().trim_matches('"');
            if *alone {
                let last = found.last_mut().expect("the section's own");
                match key {
                    "package" => last.package = told.trim().trim_matches('"').to_owned(),
                    "optional" => last.optional = told.trim() == "true",
                    _ => {}
                }
            } else {
                let name = key.split('.').next().unwrap_or_default();
                found.push(Dependency {
                    package: value(told, "package").unwrap_or_else(|| name.to_owned()),
                    kind: kind.clone(),
                    optional: value(told, "optional").is_some_and(|value| value == "true"),
                });
            }
        }
    }
    found
}

/// The dependencies of a manifest that none of these edges allows, as complaints. An edge is a package, the kind of
/// dependency, and whether it has to be optional. Packages outside this workspace are not looked at.
fn forbidden_edges(manifest: &str, allowed: &[(&str, &str, bool)]) -> Vec<String> {
    let ours = |dependency: &Dependency| dependency.package.starts_with("heaplaw");
    let allows = |dependency: &Dependency| {
        let fits = |(package, kind, optional): &(&str, &str, bool)| {
            dependency.package == *package && dependency.kind == *kind && (dependency.optional || !optional)
        };
        allowed.iter().any(fits)
    };
    dependencies(manifest).into_iter().filter(ours).filter(|d| !allows(d)).map(|d| format!("{d:?}")).collect()
}

#[test]
fn manifests_are_understood() {
    let manifest = r#"
        [workspace.dependencies]
        heaplaw-none = "1"
        [dependencies]
        heaplaw-a = { workspace = true, optional = true } # comment = "x"
        b.workspace = true
        renamed = { package = "heaplaw-c", version = "1" }
        [target.'cfg(unix)'.dev-dependencies]
        "d" = "1"
        [build-dependencies.e]
        package = "heaplaw-f"
        optional = true
        [features]
        dependencies = []
    "#;
    let dependency =
        |package: &str, kind: &str, optional| Dependency { package: package.into(), kind: kind.into(), optional };
    let expected = [
        dependency("heaplaw-a", "dependencies", true),
        dependency("b", "dependencies", false),
        dependency("heaplaw-c", "dependencies", false),
        dependency("d", "dev-dependencies", false),
        dependency("heaplaw-f", "build-dependencies", true),
    ];
    assert_eq!(dependencies(manifest), expected);
    assert_eq!(forbidden_edges(manifest, &[("heaplaw-a", "dependencies", true)]).len(), 2);
    let optional = [("heaplaw-x", "dependencies", true)];
    assert_eq!(forbidden_edges("[dependencies]\nheaplaw-x = \"1\"\n", &optional).len(), 1, "it has to be optional");
    assert_eq!(forbidden_edges("[dev-dependencies]\nheaplaw-x = \"1\"\n", &optional).len(), 1, "of another kind");
}

#[test]
fn the_reference_depends_on_nothing_at_all() {
    assert_eq!(dependencies(&read("reference/Cargo.toml")), []);
}

#[test]
fn the_kit_knows_the_reference_and_no_heap() {
    let manifest = read("conformance/Cargo.toml");
    let allowed = [("heaplaw-reference", "dependencies", false), ("heaplaw-conformance", "dev-dependencies", false)];
    assert_eq!(forbidden_edges(&manifest, &allowed), [""; 0]);
    assert!(dependencies(&manifest).iter().any(|dependency| dependency.package == "heaplaw-reference"));
    for (file, text) in source("conformance/src") {
        assert_eq!(named(&text, &["heaplaw_optimized"]), BTreeSet::new(), "{file}");
    }
}

#[test]
fn the_kit_names_no_model_checker() {
    let packages = dependencies(&read("conformance/Cargo.toml"));
    let named_there: Vec<_> = packages.iter().filter(|d| MODEL_CHECKERS.contains(&d.package.as_str())).collect();
    assert!(named_there.is_empty(), "{named_there:?}");
    for (file, text) in sources("conformance/src").into_iter().chain(sources("conformance/tests")) {
        assert_eq!(named(&text, &MODEL_CHECKERS), BTreeSet::new(), "{file}");
    }
    assert_eq!(named("#[cfg(loom)] mod model;", &MODEL_CHECKERS), BTreeSet::from(["loom"]));
}

#[test]
fn the_derive_knows_none_of_the_others() {
    assert_eq!(forbidden_edges(&read("derive/Cargo.toml"), &[]), [""; 0]);
}

#[test]
fn the_optimized_heap_knows_the_reference_by_its_adapter_alone() {
    let allowed = [
        ("heaplaw-reference", "dependencies", true),
        ("heaplaw-derive", "dependencies", true),
        ("heaplaw-optimized", "dev-dependencies", false),
        ("heaplaw-conformance", "dev-dependencies", false),
    ];
    assert_eq!(forbidden_edges(&read("optimized/Cargo.toml"), &allowed), [""; 0]);
    let others = ["heaplaw_reference", "heaplaw_conformance"];
    let naming: Vec<_> = source("optimized/src")
        .into_iter()
        .filter(|(_, text)| !named(text, &others).is_empty())
        .map(|(file, text)| (file, named(&text, &others)))
        .collect();
    let adapters = ["adapter/fit.rs", "adapter.rs", "foreign.rs"]
        .map(|file| (file.to_owned(), BTreeSet::from(["heaplaw_reference"])));
    assert_eq!(naming, adapters);
}

// ---- Unsafe code.

/// Which files have unsafe code.
fn unsafe_files(sources: Vec<(String, String)>) -> Vec<String> {
    let has = |(_, text): &(String, String)| !named(text, &["unsafe"]).is_empty();
    sources.into_iter().filter(has).map(|(file, _)| file).collect()
}

/// Whether a crate's root forbids unsafe code.
fn forbids_unsafe(root: &str) -> bool {
    let attribute = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    tokens(root).windows(attribute.len()).any(|window| window == attribute)
}

#[test]
fn only_the_lower_layers_of_the_optimized_heap_are_unsafe() {
    for part in ["reference", "conformance", "derive"] {
        assert!(forbids_unsafe(&read(format!("{part}/src/lib.rs"))), "{part}");
        assert_eq!(unsafe_files(source(&format!("{part}/src"))), [""; 0], "{part}");
        assert_eq!(unsafe_files(sources(&format!("{part}/tests"))), [""; 0], "{part}");
    }
    for dir in ["src", "tests", "benches"] {
        assert_eq!(unsafe_files(sources(dir)), [""; 0], "{dir}");
    }
    // Who calls a global allocator by hand; the typed face needs none, nor do programs that use it.
    assert_eq!(unsafe_files(source("optimized/examples")), ["paths.rs"]);
    let lower =
        "arena arithmetic c cache fit/memory foreign/apart foreign global harden malloc memory os page/tests page refusals space span/tests span"
            .split(' ')
            .map(|layer| format!("{layer}.rs"));
    assert_eq!(unsafe_files(source("optimized/src")), lower.collect::<Vec<_>>());

    assert!(!forbids_unsafe("// #![forbid(unsafe_code)]\n#![deny(unsafe_code)]"));
    let bad =
        vec![("good.rs".to_owned(), "// unsafe".to_owned()), ("bad.rs".to_owned(), "unsafe fn f() {}".to_owned())];
    assert_eq!(unsafe_files(bad), ["bad.rs"]);
}

// ---- Words, meaning and places.

/// The modules of the reference, as a page divides them.
struct Parts<'p> {
    words: BTreeSet<&'p str>,
    meaning: BTreeSet<&'p str>,
    places: BTreeSet<&'p str>,
}

fn parts(page: &str) -> Result<Parts<'_>, String> {
    let modules = |part| -> Result<BTreeSet<&str>, String> {
        let files = listed(page, "### reference/src", Some(part))?;
        // The module of `text/answer.rs` is `text`.
        Ok(files.into_iter().filter_map(|file| file.split(['/', '.']).next()).collect())
    };
    let [words, meaning, places] = ["-- the words --", "-- the meaning --", "-- the places --"].map(modules);
    Ok(Parts { words: words?, meaning: meaning?, places: places? })
}

/// Which modules outside of their own part the files of a part must not name, as complaints; and how many files it has.
fn strays(sources: &[(String, String)], part: &BTreeSet<&str>, others: &BTreeSet<&str>) -> (Vec<String>, usize) {
    let inside = |file: &str| file.split(['/', '.']).next().is_some_and(|module| part.contains(module));
    let files: Vec<_> = sources.iter().filter(|(file, _)| inside(file)).collect();
    let stray = |(file, text): &&(String, String)| {
        let named: Vec<_> = reached(text).into_iter().filter(|module| others.contains(module)).collect();
        (!named.is_empty()).then(|| format!("{file} names {named:?}"))
    };
    (files.iter().filter_map(stray).collect(), files.len())
}

#[test]
fn words_name_only_words_and_places_never_name_the_meaning() {
    let page = read("ARCHITECTURE.md");
    let Parts { words, meaning, places } = parts(&page).expect("the page divides the reference");
    let sources = source("reference/src");
    let others = meaning.union(&places).copied().collect();
    for (part, others) in [(&words, &others), (&places, &meaning)] {
        let (strays, files) = strays(&sources, part, others);
        assert_eq!(strays, [""; 0]);
        assert!(files >= 5 && files >= part.len(), "only {files} files of {part:?} were found");
    }
    for module in ["object", "op", "text", "event", "gauge", "heap"] {
        assert!(words.contains(module), "{module} is a word");
    }
    for module in ["graph", "color", "barrier", "cycle", "protocol", "machine"] {
        assert!(meaning.contains(module), "{module} is meaning");
    }
    assert_eq!(places, BTreeSet::from(["place"]));

    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let bad = [file("op.rs", "use crate::{op::Op, graph::Graph};"), file("graph.rs", "use crate::graph::Graph;")];
    let (told, files) = strays(&bad, &words, &others);
    assert_eq!((told, files), (vec!["op.rs names [\"graph\"]".to_owned()], 1));
    let (told, _) = strays(&[file("place/page.rs", "fn f() { crate::pacer::f() }")], &places, &meaning);
    assert_eq!(told, ["place/page.rs names [\"pacer\"]"]);
}

#[test]
fn every_module_of_the_reference_is_word_meaning_or_place() {
    let (page, root) = (read("ARCHITECTURE.md"), read("reference/src/lib.rs"));
    let Parts { words, meaning, places } = parts(&page).expect("the page divides the reference");
    let tokens = tokens(&root);
    let modules: Vec<_> = tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]).collect();
    let divided: Vec<_> = words.iter().chain(&meaning).chain(&places).copied().collect();
    assert_eq!(modules.iter().copied().collect::<BTreeSet<_>>(), divided.iter().copied().collect());
    assert_eq!(modules.len(), divided.len(), "each is in one part");
}

#[test]
fn the_modules_of_the_reference_stand_in_the_order_of_the_book() {
    let (page, root) = (read("ARCHITECTURE.md"), read("reference/src/lib.rs"));
    let tokens = tokens(&root);
    let modules: Vec<_> = tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]).collect();
    let files = listed(&page, "### reference/src", None).expect("the page lists the reference");
    let chapters: Vec<_> = files.iter().filter_map(|file| file.strip_suffix(".rs")).collect();
    let chapters: Vec<_> = chapters.into_iter().filter(|file| *file != "lib" && !file.contains('/')).collect();
    assert_eq!(modules, chapters);
}

// ---- The page.

/// The files that a page lists under a heading: the first word of each line of its text block that does not start with
/// a blank. The others divide the block into parts; if one is named, only what stands in it.
///
/// It is an error if there is no such heading with a text block, or no such part.
fn listed<'p>(page: &'p str, heading: &str, part: Option<&str>) -> Result<Vec<&'p str>, String> {
    let lines = page.lines().skip_while(|line| line.trim_end() != heading).skip(1);
    let mut lines = lines.skip_while(|line| !line.starts_with("```") && !line.starts_with('#'));
    if lines.next() != Some("```text") {
        return Err(format!("no text block under {heading:?}"));
    }
    let (mut files, mut inside, mut found) = (Vec::new(), part.is_none(), part.is_none());
    for line in lines.take_while(|line| !line.starts_with("```")) {
        let file = !line.starts_with(char::is_whitespace);
        if file && inside {
            files.extend(line.split_whitespace().next());
        } else if !file && let Some(part) = part {
            inside = line.trim() == part;
            found |= inside;
        }
    }
    if found { Ok(files) } else { Err(format!("no part {part:?} under {heading:?}")) }
}

/// What is wrong with a list of files.
fn complaints(listed: &[&str], existing: &[&str]) -> Vec<String> {
    let missing = existing.iter().filter(|file| !listed.contains(file)).map(|file| format!("{file} is not listed"));
    let gone = listed.iter().filter(|file| !existing.contains(file)).map(|file| format!("{file} does not exist"));
    let twice = (1..listed.len()).filter(|at| listed[..*at].contains(&listed[*at]));
    let twice = twice.map(|at| format!("{} is listed twice", listed[at]));
    missing.chain(gone).chain(twice).collect()
}

#[test]
fn the_page_lists_exactly_the_files_that_exist() {
    let page = read("ARCHITECTURE.md");
    let mut wrong = Vec::new();
    for dir in ["reference/src", "conformance/src", "optimized/src", "derive/src"] {
        let sources = source(dir);
        let existing: Vec<_> = sources.iter().map(|(file, _)| file.as_str()).collect();
        match listed(&page, &format!("### {dir}"), None) {
            Ok(listed) => {
                wrong.extend(complaints(&listed, &existing).into_iter().map(|complaint| format!("{dir}: {complaint}")));
            }
            Err(error) => wrong.push(error),
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md is not true:\n{}", wrong.join("\n"));
}

#[test]
fn a_page_that_is_not_true_is_noticed() {
    let page = [
        "# x\n### a/src\nprose\n```text\na.rs   first\n       -- part --\nb/c.rs second\n```\n",
        "### b/src\n# y\n```text\nz.rs\n```\n",
    ]
    .concat();
    let page = page.as_str();
    assert_eq!(listed(page, "### a/src", None), Ok(vec!["a.rs", "b/c.rs"]));
    assert!(listed(page, "### b/src", None).is_err_and(|error| error.contains("### b/src")), "the block is another's");
    assert!(listed(page, "### c/src", None).is_err());
    assert_eq!(listed(page, "### a/src", Some("-- part --")), Ok(vec!["b/c.rs"]));
    assert!(listed(page, "### a/src", Some("-- other --")).is_err());
    let told = complaints(&["a.rs", "b.rs", "a.rs"], &["a.rs", "c.rs"]);
    assert_eq!(told, ["c.rs is not listed", "b.rs does not exist", "a.rs is listed twice"]);
    assert_eq!(complaints(&["a.rs"], &["a.rs"]), [""; 0]);
}
