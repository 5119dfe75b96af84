//! Runs the corpora of targets once, without a fuzzer: to measure what they cover, or to profile them.
//!
//! Names of targets can be given; all are run if none is.

use heaplaw_fuzz::{arithmetic::arithmetic, programs, protocol::protocol, steps::steps, text};
use std::{env, fs, io, path::Path};

/// A target by its name.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] =
    [("arithmetic", arithmetic), ("programs", programs), ("protocol", protocol), ("steps", steps), ("text", text)];

fn main() -> io::Result<()> {
    let wanted: Vec<String> = env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !TARGETS.iter().any(|(known, _)| known == name)) {
        return Err(io::Error::other(format!("there is no target {unknown:?}")));
    }
    for (name, target) in TARGETS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files = 0;
        for file in fs::read_dir(folder)? {
            target(&fs::read(file?.path())?);
            files += 1;
        }
        println!("{name}: {files} files");
    }
    Ok(())
}
