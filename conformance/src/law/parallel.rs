//! Laws that need no order: what can be said of mutators that ran on threads of their own.
//!
//! These are the laws of the same numbers, as far as they can be looked at when nobody knows what happened first. An
//! [`Account`] holds what each thread noted, in its own order, and what was found when all was quiet.

use super::Law;
use crate::drive::parallel::{Account, Location, Name, Note};
use heaplaw_reference::object::Content;
use std::collections::{HashMap, HashSet};

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

/// Judges an account; gives how many things were looked at.
///
/// # Errors
/// The first breach: of the first thread in which there is one, or else of the end.
pub fn judge(account: &Account) -> Result<u64, Breach> {
    let facts = Facts::of(account);
    let mut checks = 0;
    for (thread, notes) in account.threads.iter().enumerate() {
        checks += facts.judge_notes(Some(thread), notes)?;
    }
    checks += facts.judge_notes(None, &account.walk)?;
    checks += judge_counts(account)?;
    Ok(checks)
}

fn broken(number: u16, thread: Option<usize>, why: String) -> Breach {
    let law = Law::numbered(number).expect("the laws that are spoken of here exist");
    Breach { law, thread, why }
}

fn judge_counts(account: &Account) -> Result<u64, Breach> {
    let reachable = account.reachable;
    if let Some(counted) = account.counted.filter(|counted| *counted != reachable) {
        let why = format!("{reachable} objects can be reached, and after a full collection there are {counted}");
        // Too many are garbage that stays; too few are not counted, or gone.
        return Err(broken(if counted > reachable { 97 } else { 123 }, None, why));
    }
    match account.left {
        Some(left @ 1..) => Err(broken(
            97,
            None,
            format!("nothing can be reached, and after a full collection there are {left} objects"),
        )),
        left => Ok(u64::from(left.is_some()) + u64::from(account.counted.is_some())),
    }
}

/// By which thread, and what.
type Store = (Option<usize>, Option<Name>);

/// What all threads together did.
struct Facts {
    /// Every object that was born, and by whom; the walk is nobody.
    born: HashSet<Name>,
    /// What was stored where, by which thread, in the order of each.
    stores: HashMap<Location, Vec<Store>>,
}

impl Facts {
    fn of(account: &Account) -> Facts {
        let mut facts = Facts { born: HashSet::new(), stores: HashMap::new() };
        let threads = account.threads.iter().enumerate().map(|(thread, notes)| (Some(thread), notes));
        for (thread, notes) in threads.chain([(None, &account.walk)]) {
            for note in notes {
                match note {
                    Note::Born { holds: Content::Uniform(name), .. } => _ = facts.born.insert(*name),
                    Note::Stored(location, value) => {
                        facts.stores.entry(*location).or_default().push((thread, *value));
                    }
                    _ => {}
                }
            }
        }
        facts
    }

    fn judge_notes(&self, thread: Option<usize>, notes: &[Note]) -> Result<u64, Breach> {
        // What this thread has stored last, and where.
        let mut mine: HashMap<Location, Option<Name>> = HashMap::new();
        let mut names = HashSet::new();
        for note in notes {
            match note {
                Note::Born { size, usable, found, holds } => {
                    if usable < size {
                        return Err(broken(3, thread, format!("{size} bytes were asked for and {usable} were given")));
                    }
                    if *found != Content::ZERO {
                        return Err(broken(5, thread, format!("the memory of a new object holds {found}")));
                    }
                    let Content::Uniform(name) = holds else {
                        return Err(broken(6, thread, format!("a new object was filled and now holds {holds}")));
                    };
                    if !names.insert(*name) {
                        return Err(broken(6, thread, format!("object {name:#x} is born, and was born before")));
                    }
                }
                Note::Stored(location, value) => _ = mine.insert(*location, *value),
                Note::Loaded(location, found) => self.judge_load(thread, *location, *found, &mine)?,
                Note::Read(name, content) => {
                    if *content != Content::Uniform(*name) {
                        let why = format!("object {name:#x} was held all the time and now holds {content}");
                        return Err(broken(6, thread, why));
                    }
                }
                Note::Trouble(action, why) => {
                    return Err(broken(51, thread, format!("at `{action}` the heap itself says: {why}")));
                }
                Note::Refused => {}
            }
        }
        Ok(notes.len() as u64)
    }

    fn judge_load(
        &self,
        thread: Option<usize>,
        location: Location,
        found: Option<Content>,
        mine: &HashMap<Location, Option<Name>>,
    ) -> Result<(), Breach> {
        let name = match found {
            None => None,
            Some(Content::Uniform(name)) if self.born.contains(&name) => Some(name),
            Some(content) => {
                let why = format!("{location} leads to an object that holds {content}, which was born nowhere");
                return Err(broken(51, thread, why));
            }
        };
        if self.possible(thread, location, mine).contains(&name) {
            return Ok(());
        }
        let shown = name.map_or("nil".to_owned(), |name| format!("object {name:#x}"));
        Err(broken(14, thread, format!("{shown} is loaded from {location}, and that cannot be there")))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::{Action, Root};

    const G0: Location = Location::Global(0);

    fn born(name: Name) -> Note {
        Note::Born { size: 16, usable: 16, found: Content::ZERO, holds: Content::Uniform(name) }
    }

    fn loaded(name: Option<Name>) -> Note {
        Note::Loaded(G0, name.map(Content::Uniform))
    }

    fn account(threads: &[&[Note]], walk: &[Note]) -> Account {
        let threads = threads.iter().map(|notes| notes.to_vec()).collect();
        Account { threads, walk: walk.to_vec(), reachable: 1, counted: Some(1), left: Some(0) }
    }

    fn law(account: &Account) -> Option<u16> {
        judge(account).err().map(|breach| breach.law.number)
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
        assert_eq!(law(&account(&[&mine, &[Note::Stored(G0, None)]], &[])), None);
    }

    #[test]
    fn an_object_that_was_lost_is_noticed() {
        assert_eq!(law(&account(&[&[born(1), Note::Read(1, Content::Uniform(2))]], &[])), Some(6));
        assert_eq!(law(&account(&[&[born(1), Note::Read(1, Content::Torn { at: 3 })]], &[])), Some(6));
        assert_eq!(law(&account(&[&[loaded(Some(9))]], &[])), Some(51));
        let trouble = Note::Trouble(Action::Read(Root(0)), "gone".to_owned());
        assert_eq!(law(&account(&[&[trouble]], &[])), Some(51));
        assert_eq!(law(&account(&[&[born(1), born(1)]], &[])), Some(6));
    }

    #[test]
    fn new_memory_and_the_books_are_judged() {
        let small = Note::Born { size: 16, usable: 8, found: Content::ZERO, holds: Content::Uniform(1) };
        let dirty = Note::Born { size: 16, usable: 16, found: Content::Uniform(7), holds: Content::Uniform(1) };
        assert_eq!(law(&account(&[&[small]], &[])), Some(3));
        assert_eq!(law(&account(&[&[dirty]], &[])), Some(5));
        let right = account(&[], &[]);
        assert_eq!(law(&right), None);
        assert_eq!(law(&Account { counted: Some(2), ..right.clone() }), Some(97));
        assert_eq!(law(&Account { counted: Some(0), ..right.clone() }), Some(123));
        assert_eq!(law(&Account { left: Some(1), ..right }), Some(97));
    }
}
