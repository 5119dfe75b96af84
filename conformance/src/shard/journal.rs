//! What shards write down: a directory that only ever grows, and survives whatever happens to those who write in it.
//!
//! ```text
//! campaign.json       what is run: heap, claims, seed, cases, laws. Written once, by whoever comes first
//! 2-of-4.1.jsonl      what the first run of the second of four shards did, a line for each block
//! 2-of-4.2.jsonl      what the second did, after the first was killed
//! ```
//!
//! No file is written by two runs, and nothing that was written is touched again. A line is written as a whole, and is
//! on the disk before the next block begins. A run that is killed in the middle of a line leaves a piece without a line
//! break, which is no line. So nothing is lost but the block that was being run, and directories can be copied together
//! from many machines at any moment.
//!
//! A line is one JSON object, `{"block": ...}` or `{"found": ...}`. It has no times in it, nor anything else that depends on
//! the machine: the lines of a heap that is deterministic are the same wherever they come from.

use super::{BLOCK, Shard, block_of};
use crate::{
    campaign::{Campaign, End, Outcome},
    goals,
    known::Known,
    law::Law,
    saved,
};
use heaplaw_reference::heap::{Capability, Claims, Invariant, Placement};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read, Write},
    ops::Range,
    path::{Path, PathBuf},
};

#[cfg(test)]
mod tests;

/// The schema that a campaign declares.
const SCHEMA: &str = "heaplaw.campaign/1";

/// The file that says what is run.
const CAMPAIGN: &str = "campaign.json";

/// Why a directory of journals could not be used.
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
    /// The campaign could not be read.
    #[error(transparent)]
    Campaign(#[from] saved::FileError),
    /// A file does not have in it what it should.
    #[error("{}:{line}: {message}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The directory is of another campaign.
    #[error("{}: this is another campaign: {difference}", dir.display())]
    Different {
        /// The directory.
        dir: PathBuf,
        /// What is different.
        difference: String,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// What is run: whatever the programs, and what is said of them, depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    schema: String,
    version: String,
    heap: String,
    claims: Vec<String>,
    invariant: Option<String>,
    placement: Option<String>,
    seed: String,
    cases: u64,
    ops: u32,
    faults: bool,
    laws: Vec<u16>,
    known: Vec<u16>,
}

impl Identity {
    /// Of a campaign on a heap with these claims, of which these failures are known.
    pub fn of(campaign: &Campaign, claims: &Claims, known: &[Known]) -> Identity {
        let claimed = Capability::ALL.into_iter().filter(|capability| claims.has(*capability));
        let here = known.iter().filter(|known| known.heap.as_ref().is_none_or(|heap| *heap == claims.name));
        let mut known: Vec<u16> = here.map(|known| known.law.number).collect();
        known.sort_unstable();
        known.dedup();
        Identity {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heap: claims.name.to_string(),
            claims: claimed.map(|capability| capability.name().to_owned()).collect(),
            invariant: claims.invariant.map(|invariant| invariant.name().to_owned()),
            placement: claims.placement.map(|placement| placement.to_string()),
            seed: format!("{:#x}", campaign.seed),
            cases: campaign.cases,
            ops: campaign.ops,
            faults: campaign.faults,
            laws: campaign.laws.iter().map(|law| law.number).collect(),
            known,
        }
    }

    /// Reads that of a directory, if it has one.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(dir: &Path) -> Result<Option<Identity>, Error> {
        let path = dir.join(CAMPAIGN);
        if !path.try_exists().map_err(at(&path))? {
            return Ok(None);
        }
        let bytes = saved::read(&path, "campaign")?;
        let malformed = |line, message| Error::Malformed { path: path.clone(), line, message };
        let identity: Identity =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.line(), error.to_string()))?;
        identity.check().map_err(|message| malformed(1, message))?;
        Ok(Some(identity))
    }

    /// Whether its words mean something.
    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("the schema is {:?}, not {SCHEMA:?}", self.schema));
        }
        let seed = self.seed.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        let Some(Ok(_)) = seed else { return Err(format!("{:?} is no seed", self.seed)) };
        if let Some(name) = self.claims.iter().find(|name| Capability::named(name).is_none()) {
            return Err(format!("nothing is called {name:?} that a heap could claim"));
        }
        if let Some(number) = self.laws.iter().chain(&self.known).find(|number| Law::numbered(**number).is_none()) {
            return Err(format!("there is no law {number}"));
        }
        Ok(())
    }

    /// Writes it to a directory that has none; says what is different if it has another.
    fn claim(&self, dir: &Path) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join(CAMPAIGN);
        // Whoever comes first gives the file its name, when it is whole.
        let draft = dir.join(format!("{CAMPAIGN}.{:016x}", RandomState::new().hash_one(())));
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::from).map_err(at(&path))?;
        text.push('\n');
        let mut file = File::create_new(&draft).map_err(at(&draft))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let linked = written.and_then(|()| fs::hard_link(&draft, &path));
        fs::remove_file(&draft).map_err(at(&draft))?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => return linked.map_err(at(&path)),
        }
        match Identity::read(dir)? {
            Some(there) if there != *self => {
                Err(Error::Different { dir: dir.to_owned(), difference: there.difference(self) })
            }
            _ => Ok(()),
        }
    }

    /// What another has that this one has not, in words: this one's, then the other's.
    pub fn difference(&self, other: &Identity) -> String {
        let words = |identity: &Identity| match serde_json::to_value(identity) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (here, there) = (words(self), words(other));
        let different = here.iter().filter(|(name, value)| there.get(*name) != Some(value));
        let told =
            different.map(|(name, value)| format!("{name} {value}, not {}", there.get(name).unwrap_or_default()));
        told.collect::<Vec<_>>().join("; ")
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
    }

    /// How many cases the campaign has.
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// How many operations a program has at most.
    pub fn ops(&self) -> u32 {
        self.ops
    }

    /// The laws that are known to be broken.
    pub fn known(&self) -> impl Iterator<Item = &'static Law> {
        self.known.iter().filter_map(|number| Law::numbered(*number))
    }

    /// What the heap claims.
    pub fn claims(&self) -> Claims {
        let capabilities: Vec<_> = self.claims.iter().filter_map(|name| Capability::named(name)).collect();
        let mut claims = Claims::new(self.heap.clone()).with(&capabilities);
        claims.invariant = self.invariant.as_deref().and_then(Invariant::named);
        claims.placement = self.placement.as_deref().and_then(Placement::named);
        claims
    }

    /// A campaign in which no program has been run.
    fn nothing_yet(&self) -> Outcome {
        let laws: Vec<_> = self.laws.iter().filter_map(|number| Law::numbered(*number)).collect();
        Outcome { claims: Some(self.claims()), ..Outcome::of_nothing(&laws, End::Finished) }
    }
}

/// What came of the cases of a block, all of which were run and broke no law but those that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The first case.
    pub from: u64,
    /// The case after the last.
    pub to: u64,
    /// A hash of all programs.
    programs: String,
    /// How many programs were run, with those of saved failures and refused requests.
    ran: u64,
    operations: u64,
    faults: u64,
    /// The laws that are known to be broken, and were.
    known: Vec<u16>,
    /// For each law, how many programs it applied to, and how often it was looked at; those of which neither is 0.
    laws: BTreeMap<u16, [u64; 2]>,
    /// How many operations met each goal, if any did.
    goals: BTreeMap<String, u64>,
}

impl Block {
    /// Of an outcome of these cases, with the hash of their programs.
    pub(super) fn of(outcome: &Outcome, cases: Range<u64>, programs: u64, known: Vec<u16>) -> Block {
        let laws = outcome.tallies.iter().filter(|tally| tally.programs > 0);
        let goals = outcome.coverage.counts().filter(|(_, count)| *count > 0);
        Block {
            from: cases.start,
            to: cases.end,
            programs: format!("{programs:016x}"),
            ran: outcome.programs,
            operations: outcome.performed,
            faults: outcome.faults,
            known,
            laws: laws.map(|tally| (tally.law.number, [tally.programs, tally.checks])).collect(),
            goals: goals.map(|(goal, count)| (goal.id.to_owned(), count)).collect(),
        }
    }

    /// The laws that are known to be broken, and were.
    pub fn known(&self) -> impl Iterator<Item = u16> {
        self.known.iter().copied()
    }

    /// Counts it too.
    pub(super) fn add_to(&self, outcome: &mut Outcome) {
        outcome.programs = outcome.programs.saturating_add(self.ran);
        outcome.performed = outcome.performed.saturating_add(self.operations);
        outcome.faults = outcome.faults.saturating_add(self.faults);
        for tally in &mut outcome.tallies {
            let [programs, checks] = self.laws.get(&tally.law.number).copied().unwrap_or_default();
            tally.programs = tally.programs.saturating_add(programs);
            tally.checks = tally.checks.saturating_add(checks);
        }
        for (id, count) in &self.goals {
            outcome.coverage.add_count(id, *count);
        }
    }

    /// Whether it can be a block of this campaign.
    fn check(&self, identity: &Identity) -> Result<(), String> {
        if self.from >= self.to || (self.from..self.to) != block_of(self.from, identity.cases) {
            let cases = identity.cases;
            return Err(format!("{}..{} is no block of {BLOCK} cases of {cases}", self.from, self.to));
        }
        if let Some(law) = self.laws.keys().chain(&self.known).find(|law| !identity.laws.contains(law)) {
            return Err(format!("law {law} is none that is judged by"));
        }
        match self.goals.keys().find(|id| goals::ALL.iter().all(|goal| goal.id != **id)) {
            Some(id) => Err(format!("no goal is called {id:?}")),
            None => Ok(()),
        }
    }
}

/// That something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// With which case.
    pub case: Option<u64>,
    /// The law that is broken; none if the heap failed to answer.
    pub law: Option<u16>,
    /// What it was.
    pub why: String,
}

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A block was run.
    Block(Block),
    /// A counterexample was found.
    Found(Found),
}

impl Line {
    fn print(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

/// What was done of a campaign, as far as one has read.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// By their first cases.
    blocks: BTreeMap<u64, Block>,
    /// Something is wrong with each of these.
    pub found: Vec<Found>,
    /// Blocks that were run more than once, and of which more than one thing was written down.
    pub unlike: Vec<Range<u64>>,
    /// How many journals were read.
    pub journals: usize,
    /// How many of them end in the middle of a line.
    pub torn: usize,
}

impl Pieces {
    /// Reads the journals of a directory too.
    ///
    /// # Errors
    /// If one cannot be read, or has a line in it that is none of this campaign.
    pub fn add(&mut self, dir: &Path, identity: &Identity) -> Result<(), Error> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(path);
            }
        }
        files.sort();
        files.iter().try_for_each(|path| self.add_file(path, identity))
    }

    fn add_file(&mut self, path: &Path, identity: &Identity) -> Result<(), Error> {
        self.journals += 1;
        let mut file = BufReader::new(File::open(path).map_err(at(path))?);
        for number in 1.. {
            let mut text = Vec::new();
            file.by_ref().take(saved::LONGEST).read_until(b'\n', &mut text).map_err(at(path))?;
            let malformed = |message| Error::Malformed { path: path.to_owned(), line: number, message };
            if text.is_empty() {
                break;
            }
            if text.last() != Some(&b'\n') {
                if text.len() as u64 == saved::LONGEST {
                    return Err(malformed(format!("a line has less than {} bytes", saved::LONGEST)));
                }
                self.torn += 1;
                break;
            }
            match serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))? {
                Line::Block(block) => {
                    block.check(identity).map_err(malformed)?;
                    self.add_block(block);
                }
                Line::Found(found) => self.add_found(found),
            }
        }
        Ok(())
    }

    fn add_block(&mut self, block: Block) {
        let cases = block.from..block.to;
        match self.blocks.get(&block.from) {
            Some(there) if *there == block => {}
            Some(_) if self.unlike.contains(&cases) => {}
            Some(_) => self.unlike.push(cases),
            None => _ = self.blocks.insert(block.from, block),
        }
    }

    fn add_found(&mut self, found: Found) {
        if !self.found.contains(&found) {
            self.found.push(found);
            self.found.sort();
        }
    }

    /// The blocks, in the order of their cases.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// Which of these cases were not run: as few ranges as can be.
    pub fn gaps(&self, cases: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut next = cases.start;
        for block in self.blocks().filter(|block| cases.contains(&block.from)) {
            if block.from > next {
                gaps.push(next..block.from);
            }
            next = block.to;
        }
        if next < cases.end {
            gaps.push(next..cases.end);
        }
        gaps
    }

    /// What it comes to.
    pub fn outcome(&self, identity: &Identity) -> Outcome {
        let mut outcome = identity.nothing_yet();
        self.blocks().for_each(|block| block.add_to(&mut outcome));
        if !self.gaps(0..identity.cases).is_empty() {
            outcome.end = End::OutOfTime;
        }
        outcome
    }

    /// The laws that are known to be broken, and never were, although they were looked at.
    pub fn stale(&self, identity: &Identity) -> Vec<&'static Law> {
        let shown = |law: &Law| self.blocks().any(|block| block.known.contains(&law.number));
        let looked_at = |law: &Law| self.blocks().any(|block| block.laws.get(&law.number).is_some_and(|of| of[1] > 0));
        identity.known().filter(|law| !shown(law) && looked_at(law)).collect()
    }

    /// Writes all of it to a directory, as one run would have.
    ///
    /// # Errors
    /// If the directory has anything in it, or cannot be written.
    pub fn write(&self, dir: &Path, identity: &Identity) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        if fs::read_dir(dir).map_err(at(dir))?.next().is_some() {
            return Err(at(dir)(io::Error::new(io::ErrorKind::AlreadyExists, "the directory is not empty")));
        }
        let mut journal = Journal::open(dir, identity.clone(), Shard::WHOLE)?;
        let blocks = self.blocks().cloned().map(Line::Block);
        let found = self.found.iter().cloned().map(Line::Found);
        let path = dir.to_owned();
        let lines: io::Result<String> = blocks.chain(found).map(|line| line.print()).collect();
        journal.append(&lines.map_err(at(&path))?)
    }
}

/// The journal of one run of a shard.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    identity: Identity,
    shard: Shard,
    /// What was done before, by whomever.
    pieces: Pieces,
    /// There when there is something to be written.
    file: Option<(File, PathBuf)>,
}

impl Journal {
    /// Opens the directory of a campaign, which becomes one if it is not there.
    ///
    /// # Errors
    /// If it cannot be read or written, or is of another campaign.
    pub fn open(dir: &Path, identity: Identity, shard: Shard) -> Result<Journal, Error> {
        identity.claim(dir)?;
        let mut pieces = Pieces::default();
        pieces.add(dir, &identity)?;
        Ok(Journal { dir: dir.to_owned(), identity, shard, pieces, file: None })
    }

    /// The cases of the shard.
    pub fn cases(&self) -> Range<u64> {
        self.shard.cases(self.identity.cases)
    }

    /// What was done before.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// How many of its cases were run before.
    pub fn done(&self) -> u64 {
        let cases = self.cases();
        let blocks = self.pieces.blocks().filter(|block| cases.contains(&block.from));
        blocks.map(|block| block.to - block.from).sum()
    }

    /// The first block of the shard that was not run before and begins at this case or later; `from` is where one begins.
    pub fn next(&self, from: u64) -> Option<Range<u64>> {
        let cases = self.cases();
        let mut start = from.max(cases.start);
        while self.pieces.blocks.contains_key(&start) {
            start = start.saturating_add(BLOCK);
        }
        (start < cases.end).then(|| block_of(start, cases.end))
    }

    /// Writes a line, to be there whatever comes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, line: &Line) -> Result<(), Error> {
        let text = line.print().map_err(at(&self.dir))?;
        self.append(&text)
    }

    fn append(&mut self, text: &str) -> Result<(), Error> {
        let (mut file, path) = match self.file.take() {
            Some(open) => open,
            None => self.create()?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(at(&path))?;
        self.file = Some((file, path));
        Ok(())
    }

    /// A file that nobody has written.
    fn create(&self) -> Result<(File, PathBuf), Error> {
        let Shard { index, of } = self.shard;
        for run in 1_u64.. {
            let path = self.dir.join(format!("{}-of-{of}.{run}.jsonl", index + 1));
            match File::create_new(&path) {
                Ok(file) => {
                    // Not every system can do that of a directory; then the file's name is safe a little later.
                    let _ = File::open(&self.dir).and_then(|dir| dir.sync_all());
                    return Ok((file, path));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        unreachable!("a directory has fewer files")
    }
}
