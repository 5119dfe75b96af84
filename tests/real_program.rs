//! A program that many use, in memory of the malloc face: ripgrep, as the registry has it, with one line more, which names
//! its global allocator. All of its own tests have to pass.
//!
//! Needs the package registry, and a few minutes:
//! `cargo test --test real_program -- --ignored`

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const VERSION: &str = "14.1.1";
/// How many tests ripgrep has at least, its integration tests alone.
const TESTS: usize = 290;

const ALLOCATOR: &str =
    "\n#[global_allocator]\nstatic HEAPLAW: heaplaw_optimized::Global = heaplaw_optimized::Global::new();\n";

/// One more test of ripgrep: that the line above is what it lives on.
const ONE_MORE: &str = "
#[test]
fn lives_in_heaplaw() {
    assert!(heaplaw_optimized::Global::<false>::stats().in_use > 0);
}
";

/// Runs cargo in a directory; what it prints.
#[track_caller]
fn cargo(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir).args(arguments).env("CARGO_TARGET_DIR", dir.join("target"));
    // It is not to be debugged; and its output goes where it likes.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("RUSTFLAGS");
    let output = command.output().expect("cargo starts");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo {arguments:?}\n{out}\n{error}");
    out.into_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file");
        }
    }
}

fn append(file: &Path, text: &str) {
    let old = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    fs::write(file, old + text).expect("a file");
}

/// Where cargo has put the source of a package that it fetched.
fn fetched(package: &str) -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).expect("cargo has a home");
    let registries = fs::read_dir(home.join("registry/src")).expect("cargo has fetched");
    let places = registries.map(|registry| registry.expect("an entry").path().join(package));
    places.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| panic!("{package} is in no registry"))
}

/// How many tests passed, by the lines that say so.
fn passed(output: &str) -> usize {
    let line = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok();
    output.lines().filter_map(line).sum()
}

#[test]
#[ignore = "fetches ripgrep from the registry, and takes minutes"]
fn ripgrep_passes_its_tests_in_this_memory() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-program");
    _ = fs::remove_dir_all(&scratch);

    // A package that depends on it lets cargo fetch its source.
    let fetch = scratch.join("fetch");
    fs::create_dir_all(fetch.join("src")).expect("a directory");
    fs::write(fetch.join("src/lib.rs"), "").expect("a file");
    let manifest =
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    fs::write(fetch.join("Cargo.toml"), format!("{manifest}ripgrep = \"={VERSION}\"\n")).expect("a file");
    cargo(&fetch, &["fetch"]);
    let source = fetched(&format!("ripgrep-{VERSION}"));

    let program = scratch.join("ripgrep");
    copy(&source, &program);
    let optimized = Path::new(env!("CARGO_MANIFEST_DIR")).join("optimized");
    let dependency = format!("\n[dependencies.heaplaw-optimized]\npath = {optimized:?}\n\n[workspace]\n");
    append(&program.join("Cargo.toml"), &dependency);
    append(&program.join("crates/core/main.rs"), ALLOCATOR);
    append(&program.join("tests/tests.rs"), &[ALLOCATOR, ONE_MORE].concat());

    let output = cargo(&program, &["test"]);
    println!("{} tests of ripgrep {VERSION} pass", passed(&output));
    assert!(passed(&output) >= TESTS && output.contains("test lives_in_heaplaw ... ok"), "{output}");
    fs::remove_dir_all(&scratch).expect("it can be removed");
}

#[test]
fn what_passed_is_counted() {
    let output = "running 3 tests\ntest result: ok. 299 passed; 0 failed\ntest result: FAILED. 5 passed\n\
        test result: ok. 41 passed; 0 failed; 2 ignored\n";
    assert_eq!((passed(output), passed("")), (340, 0));
}
