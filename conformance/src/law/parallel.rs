//! Laws that need no order: what can be said of mutators that ran on threads of their own.
//!
//! These are [`LAWS`] of the project's list, as far as they can be looked at when nobody knows what happened first. An
//! [`Account`] holds what each thread noted, in its own order, what was found when all was quiet, and how often the
//! collector reported what. So what is said here is of the kind "what is loaded was stored there by somebody", "nothing
//! that is held is gone", "every object was freed exactly once".
//!
//! A load that finds something wrong is evidence for one of several laws. If the pointer is one that may be there, the
//! object behind it is what is wrong: it was seen before it was filled (136), if it is well later on, or else it was freed
//! although it was held (51). If the pointer itself may not be there, a store was lost or made up: by threads that raced
//! for the place (137), or without anybody else (14).

use super::{Judgement, Law, Needs};
use crate::drive::{
    Failure,
    parallel::{Account, Books, Location, Name, Note},
};
use heaplaw_reference::{
    event::Phase,
    heap::{Capability, Claims},
    object::{Address, Content},
    op::{Op, WeakSlot},
};
use std::collections::{BTreeMap, HashMap, HashSet};

const fn law(number: u16, name: &'static str, statement: &'static str, needs: Needs) -> Law {
    // The readings of one thread have laws of their own.
    Law { number, name, statement, needs, judge: |_| Judgement::NotApplicable }
}

/// The laws that are judged with mutators on threads of their own, by number.
pub const LAWS: &[Law] = &[
    law(
        1,
        "no overlap",
        "Objects that are reachable when all is quiet do not overlap.",
        Needs::of(&[Capability::Addresses]),
    ),
    law(3, "big enough", "A new object has at least as many bytes as were asked for.", Needs::NOTHING),
    law(5, "zeroed", "The memory of a new object reads zero.", Needs::NOTHING),
    law(6, "content stability", "What an object holds stays the same as long as a root holds it.", Needs::NOTHING),
    law(
        7,
        "address stability",
        "An object is found where it was born, by whichever thread.",
        Needs::of(&[Capability::Addresses]),
    ),
    law(14, "cross equivalence", "A thread loads what it has stored last, where nobody else stores.", Needs::NOTHING),
    law(
        51,
        "reachable never freed",
        "What is loaded is an object that was stored there, and not what took its place.",
        Needs::NOTHING,
    ),
    law(
        81,
        "one transition",
        "Whoever asks at once, every phase of a cycle is entered once.",
        Needs::of(&[Capability::Collect, Capability::Phases]),
    ),
    law(
        91,
        "swept once",
        "When nothing is left, every object that was born has been freed exactly once.",
        Needs::of(&[Capability::Collect, Capability::Stats, Capability::Frees]),
    ),
    law(
        97,
        "full collection",
        "When all is quiet, a full collection leaves nothing but what is reachable.",
        Needs::of(&[Capability::Collect, Capability::Stats]),
    ),
    law(
        107,
        "at most once",
        "A finalizer runs once, with its own object, and when all is quiet none is missing whose object was let go of.",
        Needs::of(&[Capability::Collect, Capability::Finalizers]),
    ),
    law(
        112,
        "weak truth",
        "A weak pointer finds an object that it was made of, and not nil while who asks holds that.",
        Needs::of(&[Capability::Weak]),
    ),
    law(
        123,
        "balance",
        "When all is quiet, the heap counts every object and every byte that is reachable.",
        Needs::of(&[Capability::Collect, Capability::Stats]),
    ),
    law(136, "publication", "An object that another thread has made is seen as it was filled.", Needs::NOTHING),
    law(137, "racing stores", "Where several threads store, a load finds what one of them has stored.", Needs::NOTHING),
    law(
        139,
        "idempotence",
        "When all is quiet, a second full collection changes nothing.",
        Needs::of(&[Capability::Collect, Capability::Stats]),
    ),
];

/// The laws of [`LAWS`] that say nothing of a mutator that is alone.
pub const BETWEEN: [u16; 2] = [136, 137];

/// What is wrong with an account.
#[derive(Clone, Debug)]
pub struct Breach {
    /// The law that is broken.
    pub law: &'static Law,
    /// Whose note shows it; `None` for what was found at the end.
    pub thread: Option<usize>,
    /// What is wrong, as a clause.
    pub why: String,
}

/// What was seen of the laws in an account.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How often each law was looked at.
    pub checks: BTreeMap<u16, u64>,
    /// The first breach of each law that is broken, in the order in which they were come upon: thread by thread, then the
    /// end.
    pub breaches: Vec<Breach>,
    /// How the heap failed to answer, and at which operation.
    pub failure: Option<(Op, Failure)>,
    /// What happened between threads.
    pub crossings: Crossings,
}

/// How much of what this is about has happened: without it, "holds" says little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Loads of an object that another thread has made.
    pub foreign: u64,
    /// Places in which several threads have stored.
    pub contested: u64,
    /// Cycles.
    pub cycles: u64,
    /// Addresses at which more than one object was born.
    pub reused: u64,
}

impl Crossings {
    /// Adds what happened in another run.
    pub fn add(&mut self, other: Crossings) {
        self.foreign += other.foreign;
        self.contested += other.contested;
        self.cycles += other.cycles;
        self.reused += other.reused;
    }
}

impl Findings {
    fn that(&mut self, number: u16, holds: bool, thread: Option<usize>, why: impl FnOnce() -> String) {
        *self.checks.entry(number).or_default() += 1;
        if !holds && self.breaches.iter().all(|breach| breach.law.number != number) {
            let law = numbered(number).expect("the laws that are spoken of here are listed");
            self.breaches.push(Breach { law, thread, why: why() });
        }
    }

    /// The first breach of one of these laws.
    pub fn first(&self, laws: &[&'static Law]) -> Option<&Breach> {
        self.breaches.iter().find(|breach| laws.iter().any(|law| law.number == breach.law.number))
    }
}

/// The law of this number, of those that are listed here.
pub fn numbered(number: u16) -> Option<&'static Law> {
    LAWS.iter().find(|law| law.number == number)
}

/// Judges an account by all laws; gives how many things were looked at.
///
/// # Errors
/// The first breach: of the first thread in which there is one, or else of the end.
pub fn judge(account: &Account) -> Result<u64, Breach> {
    let findings = examine(account);
    match findings.breaches.into_iter().next() {
        Some(breach) => Err(breach),
        None => Ok(findings.checks.values().sum()),
    }
}

/// Judges an account by all laws that apply.
pub fn examine(account: &Account) -> Findings {
    let facts = Facts::of(account);
    let mut findings = Findings::default();
    for (thread, notes) in account.threads.iter().enumerate() {
        facts.judge_notes(Some(thread), notes, &mut findings);
    }
    facts.judge_notes(None, &account.walk, &mut findings);
    // A heap that was not asked to the end owes no account of it.
    if findings.failure.is_none() && findings.breaches.is_empty() {
        facts.judge_end(account, &mut findings);
    }
    findings.crossings = facts.crossings(account);
    findings
}

/// By which thread, and what.
type Store = (Option<usize>, Option<Name>);

/// A birth.
#[derive(Clone, Copy)]
struct Birth {
    at: Address,
    usable: u64,
    by: Option<usize>,
}

/// What all threads together did.
struct Facts<'a> {
    claims: &'a Claims,
    /// Every object that was born; the walk is nobody.
    born: HashMap<Name, Birth>,
    /// How many objects were born at an address.
    births: BTreeMap<Address, u64>,
    /// What was stored where, by which thread, in the order of each.
    stores: HashMap<Location, Vec<Store>>,
    /// What was found well on the walk.
    well: HashSet<Name>,
    /// The objects whose weak pointers were put into each slot.
    weak: HashMap<WeakSlot, HashSet<Name>>,
    /// How often a finalizer was attached to each object, and how often it ran.
    finalizers: BTreeMap<Name, [u64; 2]>,
}

impl<'a> Facts<'a> {
    fn of(account: &'a Account) -> Self {
        let mut facts = Facts {
            claims: &account.claims,
            born: HashMap::new(),
            births: BTreeMap::new(),
            stores: HashMap::new(),
            well: HashSet::new(),
            weak: HashMap::new(),
            finalizers: BTreeMap::new(),
        };
        let threads = account.threads.iter().enumerate().map(|(thread, notes)| (Some(thread), notes));
        for (thread, notes) in threads.chain([(None, &account.walk)]) {
            for note in notes {
                match note {
                    Note::Born { at, usable, holds, .. } => {
                        *facts.births.entry(*at).or_default() += 1;
                        if let Content::Uniform(name) = holds {
                            facts.born.insert(*name, Birth { at: *at, usable: *usable, by: thread });
                        }
                    }
                    Note::Stored(location, value) => {
                        facts.stores.entry(*location).or_default().push((thread, *value));
                    }
                    Note::Weak(slot, name) => _ = facts.weak.entry(*slot).or_default().insert(*name),
                    Note::Registered(name) => facts.finalizers.entry(*name).or_default()[0] += 1,
                    Note::Finalized(_, Content::Uniform(name)) => facts.finalizers.entry(*name).or_default()[1] += 1,
                    Note::Loaded(_, Some((_, Content::Uniform(name)))) if thread.is_none() => {
                        facts.well.insert(*name);
                    }
                    _ => {}
                }
            }
        }
        facts
    }

    fn judge_notes(&self, thread: Option<usize>, notes: &[Note], findings: &mut Findings) {
        // What this thread has stored last, and where.
        let mut mine: HashMap<Location, Option<Name>> = HashMap::new();
        let mut names = HashSet::new();
        // The slots into which this thread has put a weak pointer.
        let mut made = HashSet::new();
        for note in notes {
            match note {
                Note::Born { size, usable, found, holds, .. } => {
                    findings.that(3, usable >= size, thread, || {
                        format!("{size} bytes were asked for and {usable} were given")
                    });
                    findings.that(5, *found == Content::ZERO, thread, || {
                        format!("the memory of a new object holds {found}")
                    });
                    let fresh = matches!(holds, Content::Uniform(name) if names.insert(*name));
                    findings.that(6, fresh, thread, || match holds {
                        Content::Uniform(name) => format!("object {name:#x} is born, and was born before"),
                        torn => format!("a new object was filled and now holds {torn}"),
                    });
                }
                Note::Stored(location, value) => _ = mine.insert(*location, *value),
                Note::Loaded(location, found) => self.judge_load(thread, *location, *found, &mine, findings),
                Note::Weak(slot, _) => _ = made.insert(*slot),
                Note::Strong(slot, found, held) => {
                    let of = self.weak.get(slot);
                    let whole = |content: &Content| match content {
                        Content::Uniform(name) => of.is_some_and(|of| of.contains(name)),
                        Content::Torn { .. } => false,
                    };
                    let right = match found {
                        Some((_, content)) => whole(content),
                        None => !made.contains(slot) || of.is_none_or(|of| of.iter().any(|name| !held.contains(name))),
                    };
                    findings.that(112, right, thread, || match found {
                        Some((at, content)) => {
                            format!(
                                "w{} leads to {at}, which holds {content}: nobody has made it of such an object",
                                slot.0
                            )
                        }
                        None => format!("w{} leads nowhere, and all that it can lead to is held", slot.0),
                    });
                }
                Note::Registered(_) => {}
                Note::Finalized(at, content) => {
                    let runs = match content {
                        Content::Uniform(name) => self.finalizers.get(name).copied().unwrap_or_default(),
                        Content::Torn { .. } => [0, 1],
                    };
                    findings.that(107, runs[1] <= runs[0], thread, || {
                        format!("a finalizer is handed {at}, which holds {content}: it was attached {} times, and ran {} times", runs[0], runs[1])
                    });
                }
                Note::Read(name, content) => self.judge_read(thread, *name, *content, findings),
                Note::Trouble(action, why) => {
                    findings.that(51, false, thread, || format!("at `{action}` the heap itself says: {why}"));
                }
                Note::Failed(op, failure) => _ = findings.failure.get_or_insert_with(|| (*op, failure.clone())),
                Note::Refused => {}
            }
        }
    }

    /// An object that a root has held since its name was learnt.
    fn judge_read(&self, thread: Option<usize>, name: Name, content: Content, findings: &mut Findings) {
        let well = content == Content::Uniform(name);
        let here = self.born.get(&name).map(|birth| birth.at);
        let taken = here.is_some_and(|at| self.births.get(&at).is_some_and(|births| *births > 1));
        let why = || format!("object {name:#x} was held all the time and now holds {content}");
        // If another was born in its place, it was freed before.
        findings.that(51, well || !taken, thread, why);
        findings.that(6, well || taken, thread, why);
    }

    fn judge_load(
        &self,
        thread: Option<usize>,
        location: Location,
        found: Option<(Address, Content)>,
        mine: &HashMap<Location, Option<Name>>,
        findings: &mut Findings,
    ) {
        let possible = self.possible(thread, location, mine);
        let name = match found {
            None => Some(None),
            Some((_, Content::Uniform(name))) if self.born.contains_key(&name) => Some(Some(name)),
            Some(_) => None,
        };
        let right = name.is_some_and(|name| possible.contains(&name));
        // Whose place it is that the pointer leads to, if it may be there.
        let meant = found.and_then(|(at, _)| {
            possible.iter().flatten().find(|name| self.born.get(name).is_some_and(|birth| birth.at == at))
        });
        let shown = || match found {
            None => "nil".to_owned(),
            Some((at, content)) => format!("an object at {at} that holds {content}"),
        };
        if let (Some((at, _)), Some(Some(name))) = (found, name)
            && right
            && self.claims.has(Capability::Addresses)
            && let Some(birth) = self.born.get(&name)
        {
            findings.that(7, birth.at == at, thread, || {
                format!("object {name:#x} was born at {} and is found at {at}", birth.at)
            });
        }
        if let Some(name) = meant.filter(|_| !right) {
            let early = self.well.contains(name) && thread.is_some();
            let (number, fate) = if early { (136, "is not yet filled") } else { (51, "is gone") };
            return findings
                .that(number, false, thread, || format!("object {name:#x} {fate}: {location} leads to {}", shown()));
        }
        findings.that(if self.contested(location) { 137 } else { 14 }, right, thread, || {
            format!("{location} leads to {}, which nobody can have left there", shown())
        });
        if right && let Some(Some(name)) = name {
            findings.that(51, true, thread, String::new);
            if thread.is_some() && self.born.get(&name).is_some_and(|birth| birth.by != thread) {
                findings.that(136, true, thread, String::new);
            }
        }
    }

    /// Whether several threads store somewhere.
    fn contested(&self, location: Location) -> bool {
        let stores = self.stores.get(&location).map_or(&[][..], Vec::as_slice);
        let mut by = stores.iter().filter_map(|(thread, _)| *thread);
        by.next().is_some_and(|first| by.any(|other| other != first))
    }

    /// What a thread can find somewhere: what it has stored there last (nil if nothing), and whatever others store there
    /// at any time. At the end: what each has stored last.
    fn possible(
        &self,
        thread: Option<usize>,
        location: Location,
        mine: &HashMap<Location, Option<Name>>,
    ) -> HashSet<Option<Name>> {
        let stores = self.stores.get(&location).map_or(&[][..], Vec::as_slice);
        let by_others = stores.iter().filter(|(other, _)| other.is_some() && *other != thread);
        let mut possible: HashSet<Option<Name>>;
        if thread.is_some() {
            possible = by_others.map(|(_, value)| *value).collect();
            possible.insert(mine.get(&location).copied().flatten());
        } else {
            let last: HashMap<Option<usize>, Option<Name>> = by_others.copied().collect();
            possible = last.into_values().collect();
            if possible.is_empty() {
                possible.insert(None);
            }
        }
        possible
    }

    /// What is left when all is quiet, and what was heard.
    fn judge_end(&self, account: &Account, findings: &mut Findings) {
        if self.claims.has(Capability::Collect) {
            for (name, [attached, ran]) in &self.finalizers {
                findings.that(107, ran == attached, None, || {
                    format!(
                        "object {name:#x} was let go of with {attached} finalizers, all is quiet, and {ran} have run"
                    )
                });
            }
        }
        let reachable = account.reachable.len() as u64;
        let births = account.reachable.iter().filter_map(|name| self.born.get(name));
        if self.claims.has(Capability::Addresses) {
            let mut places: Vec<_> = births.clone().map(|birth| (birth.at.0, birth.usable)).collect();
            places.sort_unstable();
            for pair in places.windows(2) {
                let [(at, usable), (next, _)] = [pair[0], pair[1]];
                findings.that(1, at.saturating_add(usable) <= next, None, || {
                    format!("an object of {usable} bytes at {at} reaches into the one at {next}")
                });
            }
        }
        let bytes = births.map(|birth| birth.usable).fold(0, u64::saturating_add);
        if let Some(counted) = account.counted {
            let Books { objects, bytes: taken } = counted;
            findings.that(97, objects <= reachable, None, || {
                format!("{reachable} objects can be reached, and after a full collection there are {objects}")
            });
            let short = objects < reachable || objects == reachable && taken != bytes;
            findings.that(123, !short, None, || {
                format!(
                    "{reachable} objects of {bytes} bytes can be reached, and the heap counts {objects} of {taken} bytes"
                )
            });
            if let Some(again) = account.again {
                findings.that(139, again == counted, None, || {
                    format!("after one full collection there is {counted:?}, and after another {again:?}")
                });
            }
        }
        if let Some(left) = account.left {
            findings.that(97, left.objects == 0, None, || {
                format!("nothing can be reached, and after a full collection there are {} objects", left.objects)
            });
            findings.that(123, left.objects > 0 || left.bytes == 0, None, || {
                format!("there is no object, and the heap counts {} bytes", left.bytes)
            });
            if self.claims.has(Capability::Frees) && left.objects == 0 {
                self.judge_frees(account, findings);
            }
        }
        if self.claims.has(Capability::Phases) && self.claims.has(Capability::Collect) {
            let entered = |phase| account.heard.phases.get(&phase).copied().unwrap_or_default();
            let cycles = entered(Phase::Mark);
            for phase in [Phase::Terminate, Phase::Sweep, Phase::Off] {
                findings.that(81, entered(phase) == cycles, None, || {
                    format!("marking began {cycles} times, and the phase {phase} {} times", entered(phase))
                });
            }
        }
    }

    fn judge_frees(&self, account: &Account, findings: &mut Findings) {
        let frees = &account.heard.frees;
        for (at, births) in &self.births {
            let freed = frees.get(at).copied().unwrap_or_default();
            findings.that(91, freed == *births, None, || {
                format!("{births} objects were born at {at}, {freed} were freed there, and none is left")
            });
        }
        if let Some((at, _)) = frees.iter().find(|(at, _)| !self.births.contains_key(at)) {
            findings.that(91, false, None, || format!("something was freed at {at}, where nothing was born"));
        }
    }

    fn crossings(&self, account: &Account) -> Crossings {
        let mut foreign = 0;
        for (thread, notes) in account.threads.iter().enumerate() {
            for note in notes {
                if let Note::Loaded(_, Some((_, Content::Uniform(name)))) = note {
                    foreign += u64::from(self.born.get(name).is_some_and(|birth| birth.by != Some(thread)));
                }
            }
        }
        Crossings {
            foreign,
            contested: self.stores.keys().filter(|location| self.contested(**location)).count() as u64,
            cycles: account.heard.phases.get(&Phase::Mark).copied().unwrap_or_default(),
            reused: self.births.values().filter(|births| **births > 1).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::parallel::Heard;
    use heaplaw_reference::op::{Action, Root};
    use std::collections::BTreeSet;

    const G0: Location = Location::Global(0);

    fn place(name: Name) -> Address {
        Address(name * 4096)
    }

    fn born(name: Name) -> Note {
        Note::Born { at: place(name), size: 16, usable: 16, found: Content::ZERO, holds: Content::Uniform(name) }
    }

    fn loaded(name: Option<Name>) -> Note {
        Note::Loaded(G0, name.map(|name| (place(name), Content::Uniform(name))))
    }

    fn account(threads: &[&[Note]], walk: &[Note]) -> Account {
        let threads = threads.iter().map(|notes| notes.to_vec()).collect();
        let claims = Claims::new("any").with(&[Capability::Addresses, Capability::Collect, Capability::Stats]);
        let (counted, left) = (Some(Books { objects: 0, bytes: 0 }), Some(Books { objects: 0, bytes: 0 }));
        let (reachable, heard) = (BTreeSet::new(), Heard::default());
        Account { claims, threads, walk: walk.to_vec(), reachable, counted, again: counted, left, heard }
    }

    fn law(account: &Account) -> Option<u16> {
        judge(account).err().map(|breach| breach.law.number)
    }

    #[test]
    fn laws_stand_by_number_and_are_one_sentence() {
        assert!(LAWS.is_sorted_by(|a, b| a.number < b.number));
        for law in LAWS {
            assert!(law.statement.ends_with('.') && !law.statement.trim_end_matches('.').contains(". "), "{law:?}");
        }
    }

    #[test]
    fn what_somebody_stored_can_be_loaded_and_nothing_else() {
        let stores = [born(1), Note::Stored(G0, Some(1)), born(2), Note::Stored(G0, Some(2))];
        for (found, holds) in [(None, true), (Some(1), true), (Some(2), true), (Some(3), false)] {
            let other = [born(3), loaded(found)];
            assert_eq!(law(&account(&[&stores, &other], &[])).is_none(), holds, "{found:?}");
        }
        assert_eq!(law(&account(&[&stores], &[loaded(Some(2))])), None);
        assert_eq!(law(&account(&[&stores], &[loaded(Some(1))])), Some(14), "it was overwritten");
        assert_eq!(law(&account(&[&stores], &[loaded(None)])), Some(14));
        let mine = [born(1), Note::Stored(G0, Some(1)), loaded(None)];
        assert_eq!(law(&account(&[&mine, &[]], &[])), Some(14), "nobody else has stored nil");
        let overwritten = [born(1), Note::Stored(G0, Some(1)), born(2), Note::Stored(G0, Some(2)), loaded(Some(1))];
        assert_eq!(law(&account(&[&overwritten], &[])), Some(14), "its own store");
        let unborn = [Note::Stored(G0, Some(9)), loaded(Some(9))];
        assert_eq!(law(&account(&[&unborn], &[])), Some(14), "that was never born");
        assert_eq!(law(&account(&[&mine, &[Note::Stored(G0, None)]], &[])), None);
        assert_eq!(law(&account(&[&mine, &[born(2), Note::Stored(G0, Some(2))]], &[])), Some(137));
    }

    #[test]
    fn what_a_weak_pointer_finds_is_what_it_was_made_of() {
        let slot = WeakSlot(0);
        let found = |name: Name| Note::Strong(slot, Some((place(name), Content::Uniform(name))), vec![]);
        let maker = [born(1), Note::Weak(slot, 1), born(2)];
        assert_eq!(law(&account(&[&maker, &[found(1)]], &[])), None);
        assert_eq!(law(&account(&[&maker, &[found(2)]], &[])), Some(112), "another object");
        let torn = Note::Strong(slot, Some((place(1), Content::Torn { at: 1 })), vec![]);
        assert_eq!(law(&account(&[&maker, &[torn]], &[])), Some(112));
        for (held, broken) in [(vec![1], Some(112)), (vec![2], None)] {
            let nil = Note::Strong(slot, None, held);
            let mine = [born(1), Note::Weak(slot, 1), nil.clone()];
            assert_eq!(law(&account(&[&mine], &[])), broken);
            assert_eq!(
                law(&account(&[&maker, std::slice::from_ref(&nil)], &[])),
                None,
                "it was asked before it was made"
            );
            let other = [born(2), Note::Weak(slot, 2)];
            assert_eq!(law(&account(&[&mine, &other], &[])), None, "another has made it nil");
        }
    }

    #[test]
    fn finalizers_that_run_twice_or_never_are_noticed() {
        let ran = || Note::Finalized(place(1), Content::Uniform(1));
        let maker = [born(1), Note::Registered(1)];
        assert_eq!(law(&account(&[&maker, &[ran()]], &[])), None);
        assert_eq!(law(&account(&[&maker], &[ran()])), None);
        assert_eq!(law(&account(&[&maker, &[ran()]], &[ran()])), Some(107), "twice");
        assert_eq!(law(&account(&[&maker], &[])), Some(107), "never");
        assert_eq!(law(&account(&[&[born(1)], &[ran()]], &[])), Some(107), "it has none");
        let other = Note::Finalized(place(1), Content::ZERO);
        assert_eq!(law(&account(&[&maker, &[other]], &[])), Some(107), "handed something else");
    }

    #[test]
    fn an_object_that_was_lost_is_noticed() {
        assert_eq!(law(&account(&[&[born(1), Note::Read(1, Content::Uniform(2))]], &[])), Some(6));
        assert_eq!(law(&account(&[&[born(1), Note::Read(1, Content::Torn { at: 3 })]], &[])), Some(6));
        let there = Note::Born { at: place(1), size: 16, usable: 16, found: Content::ZERO, holds: Content::Uniform(2) };
        let read = [born(1), Note::Read(1, Content::Uniform(2))];
        let other = [there];
        assert_eq!(law(&account(&[&read, &other], &[])), Some(51));
        let strange = Note::Loaded(G0, Some((place(1), Content::Uniform(2))));
        let stored = [born(1), Note::Stored(G0, Some(1)), strange];
        assert_eq!(law(&account(&[&stored, &other], &[])), Some(51), "the right place, and another object in it");
        let well = [born(1), Note::Read(1, Content::Uniform(1))];
        assert_eq!(law(&account(&[&well], &[])), None);
        assert_eq!(law(&account(&[&well, &other], &[])), None, "the other came later");
        let trouble = Note::Trouble(Action::Read(Root(0)), "gone".to_owned());
        assert_eq!(law(&account(&[&[trouble]], &[])), Some(51));
        assert_eq!(law(&account(&[&[born(1), born(1)]], &[])), Some(6));
        let moved = Note::Loaded(G0, Some((place(9), Content::Uniform(1))));
        assert_eq!(law(&account(&[&[born(1), Note::Stored(G0, Some(1)), moved]], &[])), Some(7));
    }

    #[test]
    fn an_object_that_is_seen_too_early_is_told_from_one_that_is_gone() {
        let maker = [born(1), Note::Stored(G0, Some(1))];
        let early = [Note::Loaded(G0, Some((place(1), Content::ZERO)))];
        assert_eq!(law(&account(&[&maker, &early], &[loaded(Some(1))])), Some(136));
        assert_eq!(law(&account(&[&maker, &early], &[])), Some(51));
        assert_eq!(law(&account(&[&maker, &early, &[loaded(Some(1))]], &[])), Some(51), "it may have been well before");
    }

    #[test]
    fn a_crash_is_no_breach() {
        let failed_note = || Note::Failed(Op::mutate(0, Action::Read(Root(0))), Failure::Crashed("boom".to_owned()));
        let findings = examine(&account(&[&[failed_note()]], &[]));
        assert!(findings.breaches.is_empty() && findings.failure.is_some());
        let wrong = |note: Note| {
            let left = Some(Books { objects: 5, bytes: 5 });
            let findings = examine(&Account { left, ..account(&[&[note]], &[]) });
            findings.breaches.iter().map(|breach| breach.law.number).collect::<Vec<_>>()
        };
        assert_eq!(wrong(failed_note()), [0; 0], "a heap that was not asked to the end owes no account of it");
        assert_eq!(wrong(Note::Trouble(Action::Read(Root(0)), String::new())), [51]);
        assert_eq!(wrong(Note::Refused), [97]);
    }

    #[test]
    fn new_memory_and_the_books_are_judged() {
        let small = Note::Born { at: place(1), size: 16, usable: 8, found: Content::ZERO, holds: Content::Uniform(1) };
        let dirty =
            Note::Born { at: place(1), size: 16, usable: 16, found: Content::Uniform(7), holds: Content::Uniform(1) };
        assert_eq!(law(&account(&[&[small]], &[])), Some(3));
        assert_eq!(law(&account(&[&[dirty]], &[])), Some(5));
        let books = |objects, bytes| Some(Books { objects, bytes });
        let right = Account {
            reachable: BTreeSet::from([1]),
            counted: books(1, 16),
            again: books(1, 16),
            ..account(&[&[born(1)]], &[])
        };
        assert_eq!(law(&right), None);
        assert_eq!(law(&Account { counted: books(2, 32), ..right.clone() }), Some(97));
        assert_eq!(law(&Account { counted: books(0, 0), ..right.clone() }), Some(123));
        assert_eq!(law(&Account { counted: books(1, 24), again: books(1, 24), ..right.clone() }), Some(123));
        assert_eq!(law(&Account { again: books(0, 0), ..right.clone() }), Some(139));
        assert_eq!(law(&Account { left: books(1, 16), ..right.clone() }), Some(97));
        assert_eq!(law(&Account { left: books(0, 8), ..right.clone() }), Some(123));
        let findings = examine(&Account { left: books(1, 16), ..right });
        assert_eq!(findings.breaches.len(), 1, "an object may have bytes: {findings:?}");
    }

    #[test]
    fn what_was_heard_is_counted() {
        let telling = [Capability::Collect, Capability::Stats, Capability::Frees, Capability::Phases];
        let right = Account { claims: Claims::new("any").with(&telling), ..account(&[&[born(1), born(2)]], &[]) };
        let frees = |frees: &[(Name, u64)]| frees.iter().map(|(name, times)| (place(*name), *times)).collect();
        let heard = |told: &[(Name, u64)], phases: [u64; 4]| {
            let all = [Phase::Mark, Phase::Terminate, Phase::Sweep, Phase::Off];
            Account {
                heard: Heard { frees: frees(told), phases: all.into_iter().zip(phases).collect() },
                ..right.clone()
            }
        };
        assert_eq!(law(&heard(&[(1, 1), (2, 1)], [3; 4])), None);
        assert_eq!(law(&heard(&[(1, 1), (2, 2)], [3; 4])), Some(91));
        assert_eq!(law(&heard(&[(1, 1)], [3; 4])), Some(91));
        assert_eq!(law(&heard(&[(1, 1), (2, 1), (3, 1)], [3; 4])), Some(91));
        assert_eq!(law(&heard(&[(1, 1), (2, 1)], [4, 3, 3, 3])), Some(81));
        let unasked = Claims::new("any").with(&[Capability::Stats, Capability::Frees, Capability::Phases]);
        let unfinished = Account { claims: unasked, ..heard(&[(1, 1), (2, 1)], [4, 3, 3, 3]) };
        assert_eq!(law(&unfinished), None, "nobody asked for the last cycle to end");
    }

    #[test]
    fn objects_that_reach_into_each_other_are_noticed() {
        let at = |name: Name, at| Note::Born {
            at: Address(at),
            size: 16,
            usable: 16,
            found: Content::ZERO,
            holds: Content::Uniform(name),
        };
        let both = |second| Account {
            reachable: BTreeSet::from([1, 2]),
            counted: Some(Books { objects: 2, bytes: 32 }),
            again: Some(Books { objects: 2, bytes: 32 }),
            ..account(&[&[at(1, 4096), at(2, second)]], &[])
        };
        assert_eq!((law(&both(4112)), law(&both(4104))), (None, Some(1)));
    }

    #[test]
    fn what_is_looked_at_is_counted_and_the_first_breach_of_each_law_is_kept() {
        let maker = [born(1), Note::Stored(G0, Some(1)), loaded(Some(1))];
        let findings = examine(&account(&[&maker, &[loaded(Some(1)), loaded(Some(1))]], &[loaded(Some(1))]));
        let checks =
            [3, 5, 6, 7, 14, 51, 136, 137].map(|number| findings.checks.get(&number).copied().unwrap_or_default());
        assert_eq!(checks, [1, 1, 1, 4, 4, 4, 2, 0], "two of the four loads are of what another thread made");
        let torn = |at| Note::Read(1, Content::Torn { at });
        let broken = examine(&account(
            &[&[born(1), torn(1)], &[torn(2), Note::Trouble(Action::Read(Root(0)), String::new())]],
            &[],
        ));
        let breaches = broken.breaches.iter().map(|breach| (breach.law.number, breach.thread));
        assert_eq!(breaches.collect::<Vec<_>>(), [(6, Some(0)), (51, Some(1))]);
        let first = |numbers: &[u16]| {
            let laws: Vec<_> = numbers.iter().filter_map(|number| numbered(*number)).collect();
            broken.first(&laws).map(|breach| breach.law.number)
        };
        assert_eq!([first(&[51, 6]), first(&[51]), first(&[3])], [Some(6), Some(51), None]);
    }

    #[test]
    fn what_happens_between_threads_is_counted() {
        let maker = [born(1), Note::Stored(G0, Some(1)), loaded(Some(1)), born(2)];
        let again = Note::Born { at: place(1), size: 16, usable: 16, found: Content::ZERO, holds: Content::Uniform(3) };
        let other = [loaded(Some(1)), Note::Stored(G0, None), loaded(Some(1)), again];
        let heard = Heard { phases: BTreeMap::from([(Phase::Mark, 5), (Phase::Off, 4)]), ..Heard::default() };
        let crossings = examine(&Account { heard, ..account(&[&maker, &other], &[loaded(None)]) }).crossings;
        assert_eq!(crossings, Crossings { foreign: 2, contested: 1, cycles: 5, reused: 1 });
        assert_eq!(examine(&account(&[&maker], &[])).crossings, Crossings::default(), "nobody is alone with himself");
        let mut sum = crossings;
        sum.add(Crossings { foreign: 10, contested: 20, cycles: 30, reused: 40 });
        assert_eq!(sum, Crossings { foreign: 12, contested: 21, cycles: 35, reused: 41 });
    }
}
