//! Laws of allocators that need no order: what can be said of blocks that threads hand to one another.
//!
//! These are the laws of the same numbers, as far as they can be looked at when nobody knows what happened first. An
//! [`Account`] holds what each thread noted; the tickets in it tell for each block when it certainly existed.

use super::{Law, parallel::Breach};
use crate::drive::crowd::{Account, Note, Number};
use heaplaw_reference::{
    heap::Capability,
    object::{Content, Shape},
};
use std::collections::{BTreeMap, HashMap};

/// Judges an account; gives how many things were looked at.
///
/// # Errors
/// The first breach: two blocks that overlap; or of the first thread in which there is one; or of all together.
pub fn judge(account: &Account) -> Result<u64, Breach> {
    // Two owners of one block show in what it holds, too; that they are two is what is wrong.
    let mut checks = judge_overlap(account)?;
    for (thread, notes) in account.threads.iter().enumerate() {
        let thread = Some(thread).filter(|thread| *thread + 1 < account.threads.len());
        for note in notes {
            checks += judge_note(thread, note)?;
        }
    }
    if account.claims.has(Capability::Classes) {
        checks += judge_classes(account)?;
    }
    if let Some((exist, counted)) = account.counted {
        checks += 1;
        if exist != counted {
            return Err(broken(123, None, format!("there are {exist} blocks, and the allocator counts {counted}")));
        }
    }
    match account.left {
        Some(left @ 1..) => Err(broken(123, None, format!("all blocks are freed, and the allocator counts {left}"))),
        left => Ok(checks + u64::from(left.is_some())),
    }
}

fn broken(number: u16, thread: Option<usize>, why: String) -> Breach {
    let law = Law::numbered(number).expect("the laws that are spoken of here exist");
    Breach { law, thread, why }
}

fn judge_note(thread: Option<usize>, note: &Note) -> Result<u64, Breach> {
    let wrong = match note {
        Note::Born { shape, address, usable, found, .. } => {
            let size = shape.size();
            match () {
                () if *usable < size => Some((3, format!("{size} bytes were asked for and {usable} were given"))),
                () if *address == 0 => Some((8, "a block was given the address 0".to_owned())),
                () if address % shape.alignment() != 0 => {
                    let owed = shape.alignment();
                    Some((4, format!("a block of {size} bytes lies at {address:#x}, not on a multiple of {owed}")))
                }
                () if *found != Content::ZERO => Some((5, format!("the memory of a new block holds {found}"))),
                () => None,
            }
        }
        Note::Read(block, found, filled) if found != filled => {
            Some((6, format!("block {block} was filled with {filled} and now holds {found}")))
        }
        Note::Trouble(why) => return Err(broken(51, thread, format!("the allocator itself fails: {why}"))),
        _ => None,
    };
    wrong.map_or(Ok(1), |(law, why)| Err(broken(law, thread, why)))
}

/// A block as it was born.
#[derive(Clone, Copy)]
struct Birth {
    shape: Shape,
    address: u64,
    usable: u64,
}

fn births(account: &Account) -> impl Iterator<Item = (Number, Birth)> {
    account.threads.iter().flatten().filter_map(|note| match *note {
        Note::Born { block, shape, address, usable, .. } => Some((block, Birth { shape, address, usable })),
        _ => None,
    })
}

/// Law 1: two blocks that certainly existed at the same time have no byte in common; nor, law 8, their address.
fn judge_overlap(account: &Account) -> Result<u64, Breach> {
    let births: HashMap<Number, Birth> = births(account).collect();
    // By ticket: what happened then, and whether it was a birth.
    let mut tickets: BTreeMap<u64, (Number, bool)> = births.keys().map(|block| (*block, (*block, true))).collect();
    for note in account.threads.iter().flatten() {
        if let Note::Freed(block, ticket) = note {
            tickets.insert(*ticket, (*block, false));
        }
    }
    let mut exist: BTreeMap<u64, (Number, u64)> = BTreeMap::new();
    let mut checks = 0;
    for (block, born) in tickets.into_values() {
        let Some(Birth { shape, address, usable }) = births.get(&block).copied() else { continue };
        if !born {
            if exist.get(&address).is_some_and(|(other, _)| *other == block) {
                exist.remove(&address);
            }
            continue;
        }
        // What a block of no byte may not share is its address.
        let end = address.saturating_add(usable.max(shape.size()).max(1));
        let neighbour = exist.range(..end).next_back().filter(|(_, (_, other_end))| *other_end > address);
        if let Some((at, (other, _))) = neighbour {
            let law = if *at == address && usable == 0 { 8 } else { 1 };
            let why = format!(
                "block {block} was given {usable} bytes at {address:#x}, where block {other} exists at {at:#x}"
            );
            return Err(broken(law, None, why));
        }
        exist.insert(address, (block, end));
        checks += 1;
    }
    Ok(checks)
}

/// Law 30.
fn judge_classes(account: &Account) -> Result<u64, Breach> {
    let mut seen: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    let mut checks = 0;
    for (_, birth) in births(account) {
        let usable = *seen.entry((birth.shape.align, birth.shape.size())).or_insert(birth.usable);
        if usable != birth.usable {
            let why = format!("{} bytes were once given {usable} bytes, and now {}", birth.shape.size(), birth.usable);
            return Err(broken(30, None, why));
        }
        checks += 1;
    }
    let falls = seen
        .iter()
        .zip(seen.iter().skip(1))
        .find(|(((align, _), usable), ((other, _), more))| align == other && usable > more);
    match falls {
        Some((((_, size), usable), ((_, larger), more))) => {
            Err(broken(30, None, format!("{size} bytes were given {usable}, and {larger} bytes {more}")))
        }
        None => Ok(checks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::heap::Claims;

    fn born(block: Number, address: u64, size: u32) -> Note {
        let found = Content::ZERO;
        Note::Born { block, shape: Shape::new(0, size), address, usable: size.into(), found }
    }

    fn law(threads: &[&[Note]]) -> Option<u16> {
        let threads = threads.iter().map(|notes| notes.to_vec()).chain([Vec::new()]).collect();
        let claims = Claims::new("x").with(&[Capability::Classes]);
        let account = Account { claims, threads, counted: Some((1, 1)), left: Some(0) };
        judge(&account).err().map(|breach| breach.law.number)
    }

    #[test]
    fn blocks_that_existed_at_the_same_time_are_apart() {
        let first = [born(1, 64, 16), Note::Freed(1, 5)];
        assert_eq!(law(&[&first, &[born(6, 64, 16)]]), None, "the first was freed before");
        assert_eq!(law(&[&first, &[born(4, 64, 16)]]), Some(1));
        assert_eq!(law(&[&first, &[born(4, 72, 16)]]), Some(1), "from above");
        assert_eq!(law(&[&first, &[born(4, 56, 16)]]), Some(1), "from below");
        assert_eq!(law(&[&first, &[born(4, 80, 16), born(2, 48, 16)]]), None);
        assert_eq!(law(&[&[born(1, 64, 0)], &[born(4, 64, 0)]]), Some(8));
    }

    #[test]
    fn each_block_is_judged_by_itself() {
        let with = |change: &dyn Fn(&mut Shape, &mut u64, &mut u64, &mut Content)| {
            let mut note = born(1, 64, 32);
            if let Note::Born { shape, address, usable, found, .. } = &mut note {
                change(shape, address, usable, found);
            }
            law(&[&[note]])
        };
        assert_eq!(with(&|_, _, _, _| {}), None);
        assert_eq!(with(&|_, _, usable, _| *usable = 31), Some(3));
        assert_eq!(with(&|_, address, _, _| *address = 68), Some(4));
        assert_eq!(with(&|shape, _, _, _| shape.align = 128), Some(4));
        assert_eq!(with(&|_, _, _, found| *found = Content::Torn { at: 3 }), Some(5));
        assert_eq!(with(&|_, address, _, _| *address = 0), Some(8));
    }

    #[test]
    fn what_blocks_hold_and_how_many_there_are_is_judged() {
        let read = |found| law(&[&[born(1, 64, 16), Note::Read(1, found, Content::Uniform(0x1234))]]);
        assert_eq!(read(Content::Uniform(0x1234)), None);
        assert_eq!(read(Content::ZERO), Some(6));
        assert_eq!(read(Content::Torn { at: 9 }), Some(6));
        assert_eq!(law(&[&[Note::Trouble("panic".to_owned())]]), Some(51));
        let claims = Claims::new("x");
        let account = Account { claims, threads: vec![Vec::new()], counted: Some((2, 2)), left: Some(0) };
        let number = |account: &Account| judge(account).err().map(|breach| breach.law.number);
        assert_eq!(number(&account), None);
        assert_eq!(number(&Account { counted: Some((2, 1)), ..account.clone() }), Some(123));
        assert_eq!(number(&Account { left: Some(1), ..account }), Some(123));
    }

    #[test]
    fn classes_rise_with_the_request() {
        let sized = |block, size, usable: u64| match born(block, block * 1024, size) {
            Note::Born { block, shape, address, found, .. } => Note::Born { block, shape, address, usable, found },
            note => note,
        };
        assert_eq!(law(&[&[sized(1, 10, 16), sized(2, 17, 32), sized(3, 10, 16)]]), None);
        assert_eq!(law(&[&[sized(1, 10, 16)], &[sized(3, 10, 32)]]), Some(30));
        assert_eq!(law(&[&[sized(1, 10, 48), sized(2, 17, 32)]]), Some(30));
    }

    #[test]
    fn what_is_looked_at_is_counted_and_whose_note_shows_a_breach_is_told() {
        let (one, other) = ([born(1, 64, 16), Note::Freed(1, 5)], [born(6, 128, 16), born(7, 256, 17)]);
        let claims = |capabilities: &[Capability]| Claims::new("x").with(capabilities);
        let account = |threads: &[&[Note]], capabilities: &[Capability]| {
            let threads = threads.iter().map(|notes| notes.to_vec()).collect();
            Account { claims: claims(capabilities), threads, counted: None, left: None }
        };
        // Three births that are apart, four notes; three classes; two counts.
        let plain = account(&[&one, &other, &[]], &[]);
        assert_eq!(judge(&plain).ok(), Some(3 + 4));
        assert_eq!(judge(&account(&[&one, &other, &[]], &[Capability::Classes])).ok(), Some(3 + 4 + 3));
        assert_eq!(judge(&Account { counted: Some((2, 2)), ..plain.clone() }).ok(), Some(3 + 4 + 1));
        assert_eq!(judge(&Account { counted: Some((2, 2)), left: Some(0), ..plain }).ok(), Some(3 + 4 + 2));
        // The last entry is what was noted when all was quiet, and nobody's.
        let trouble = [Note::Trouble(String::new())];
        let whose = |threads: &[&[Note]]| judge(&account(threads, &[])).err().and_then(|breach| breach.thread);
        assert_eq!(whose(&[&trouble, &one, &[]]), Some(0));
        assert_eq!(whose(&[&one, &trouble, &[]]), Some(1));
        assert_eq!(whose(&[&one, &other, &trouble]), None);
    }

    #[test]
    fn a_larger_request_may_have_the_same_class_and_another_alignment_any() {
        let sized = |block: Number, size, align, usable: u64| match born(block, block * 1024, size) {
            Note::Born { block, shape, address, found, .. } => {
                Note::Born { block, shape: Shape { align, ..shape }, address, usable, found }
            }
            note => note,
        };
        assert_eq!(law(&[&[sized(1, 10, 1, 32), sized(2, 17, 1, 32)]]), None);
        assert_eq!(law(&[&[sized(1, 10, 1, 64), sized(2, 17, 32, 32)]]), None);
        assert_eq!(law(&[&[sized(1, 10, 1, 33), sized(2, 17, 1, 32)]]), Some(30));
    }
}
