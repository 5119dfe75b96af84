//! Objects: what a program allocates, and how the suite recognises one again.
//!
//! An object is a row of pointer fields followed by a run of data bytes:
//!
//! ```text
//!          shape: 2 pointers, 12 bytes                 28 bytes in all
//!   ┌──────────┬──────────┬───────────────────────┐
//!   │ field 0  │ field 1  │ 12 bytes of data      │
//!   └──────────┴──────────┴───────────────────────┘
//! ```
//!
//! Pointers come first because that is the layout every collector can describe, if only as a count. An object without
//! pointer fields is *pointer-free* (Go: noscan): a collector must never look inside it.
//!
//! The suite, not the heap, decides who an object is. Each birth gets the next [`ObjectId`], and its data bytes are
//! filled with a [`Stamp`], so that a heap that loses, duplicates, recycles or corrupts an object can be told what it
//! did and to which one.

use alloc::vec::Vec;
use core::fmt;

/// The birth number of an object: the first one allocated by a program is 0. Shown as `a`, `b`, … `z`, `aa`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// The birth number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bijective base 26: a..z, aa..zz, aaa.. A u32 needs at most seven letters.
        let mut letters = [0u8; 7];
        let mut at = letters.len();
        let mut rest = u64::from(self.0) + 1;
        while rest > 0 {
            rest -= 1;
            at -= 1;
            letters[at] = b'a' + (rest % 26) as u8;
            rest /= 26;
        }
        let name = core::str::from_utf8(&letters[at..]).expect("ASCII letters");
        f.pad(name)
    }
}

/// The bytes that a pointer field takes.
pub const WORD: u64 = 8;

/// What an object is made of: `pointers` fields of eight bytes, then `bytes` bytes of data; and where it may lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Pointer fields, numbered from 0.
    pub pointers: u32,
    /// Data bytes after the last pointer field.
    pub bytes: u32,
    /// The power of two that its address must be a multiple of, if more is asked for than every heap owes; or else 0.
    pub align: u32,
}

/// The largest alignment that is ever asked for.
pub const MOST_ALIGNED: u32 = 4096;

/// The size of the block that small pointer-free objects may share (Go: `maxTinySize`).
pub const TINY_BLOCK: u64 = 16;

impl Shape {
    /// A shape of `pointers` fields and `bytes` bytes of data.
    pub fn new(pointers: u32, bytes: u32) -> Self {
        Shape { pointers, bytes, align: 0 }
    }

    /// The same at a multiple of a power of two, which is at most [`MOST_ALIGNED`]; 0 if what every heap owes will do.
    #[must_use]
    pub fn aligned(self, align: u32) -> Self {
        Shape { align, ..self }
    }

    /// The size in bytes that a mutator asks for.
    pub fn size(self) -> u64 {
        u64::from(self.pointers) * WORD + u64::from(self.bytes)
    }

    /// Whether a collector must not look inside.
    pub fn pointer_free(self) -> bool {
        self.pointers == 0
    }

    /// Whether a heap may put the object into one block of 16 bytes with others (Go: the tiny allocator). Such a block
    /// lives and dies as one, so a weak pointer, a finalizer or a cleanup cannot be had for one of them alone.
    pub fn is_tiny(self) -> bool {
        self.pointer_free() && self.size() < TINY_BLOCK && u64::from(self.align) <= WORD
    }

    /// The alignment that an object of this shape is owed. Every heap owes it 8 when it has pointers or a size divisible
    /// by 8, else the largest of 4, 2, 1 that divides the size. This is the rule of Go's tiny allocator (`malloc.go`), the
    /// weakest that still lets any field be loaded with one instruction. More can be [asked for](Shape::align).
    pub fn alignment(self) -> u64 {
        let owed = match self.size() {
            0 => 1,
            _ if self.pointers > 0 => WORD,
            size => 1 << size.trailing_zeros().min(3),
        };
        owed.max(self.align.into())
    }
}

/// A number that fills an object's data, so that the data tells who wrote it.
///
/// Stamps are handed out in order, from 1: each allocation and each [`write`](crate::op::Action::Write) of a program
/// takes the next one. Data is filled with the stamp's eight little-endian bytes again and again, cut off at the end;
/// data shorter than eight bytes holds the stamp's low bytes.
///
/// ```
/// use heaplaw_reference::object::{Content, Stamp};
/// let mut data = [0; 11];
/// Stamp(0x0102).fill(&mut data);
/// assert_eq!(data, [2, 1, 0, 0, 0, 0, 0, 0, 2, 1, 0]);
/// assert_eq!(Content::of(&data), Content::Uniform(0x0102));
/// data[9] = 7;
/// assert_eq!(Content::of(&data), Content::Torn { at: 9 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Fills `data` with this stamp.
    pub fn fill(self, data: &mut [u8]) {
        let word = self.0.to_le_bytes();
        let (whole, tail) = data.as_chunks_mut();
        whole.fill(word);
        tail.copy_from_slice(&word[..tail.len()]);
    }

    /// What [`Content::of`] says of `bytes` bytes filled with this stamp.
    pub fn content(self, bytes: u32) -> Content {
        match bytes {
            0..8 => Content::Uniform(self.0 & ((1 << (8 * bytes)) - 1)),
            _ => Content::Uniform(self.0),
        }
    }
}

/// What a heap found in a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The same stamp all over; 0 for zeroed (or no) bytes.
    Uniform(u64),
    /// No single stamp: the byte at this offset breaks the pattern that the first eight bytes set.
    Torn {
        /// The offset of the first byte that is wrong.
        at: u64,
    },
}

impl Content {
    /// What zeroed memory reads as.
    pub const ZERO: Content = Content::Uniform(0);

    /// Reads a run of bytes.
    pub fn of(bytes: &[u8]) -> Content {
        let mut word = [0u8; 8];
        let head = bytes.len().min(word.len());
        word[..head].copy_from_slice(&bytes[..head]);
        // The same stamp all over: every byte is the one eight bytes before it.
        let later = bytes.get(word.len()..).unwrap_or_default();
        let earlier = &bytes[..later.len()];
        if later == earlier {
            return Content::Uniform(u64::from_le_bytes(word));
        }
        let same = later.iter().zip(earlier).take_while(|(byte, before)| byte == before).count();
        Content::Torn { at: (word.len() + same) as u64 }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Uniform(0) => write!(f, "zero"),
            Content::Uniform(stamp) => write!(f, "stamp {stamp}"),
            Content::Torn { at } => write!(f, "torn at byte {at}"),
        }
    }
}

/// Where an object is: its address, or for a heap that moves objects any number that keeps naming the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The pointer fields of one object, each nil or a `T`. Nil takes no space, so an object of a billion fields costs what is
/// stored in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields<T> {
    // Invariant: by index, each once.
    stored: Vec<(u32, T)>,
}

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Fields { stored: Vec::new() }
    }
}

impl<T: Copy> Fields<T> {
    fn place(&self, index: u32) -> Result<usize, usize> {
        self.stored.binary_search_by_key(&index, |(at, _)| *at)
    }

    /// The value of field `index`.
    pub fn get(&self, index: u32) -> Option<T> {
        self.place(index).ok().map(|place| self.stored[place].1)
    }

    /// Overwrites field `index`; gives the old value.
    pub fn set(&mut self, index: u32, value: Option<T>) -> Option<T> {
        match (self.place(index), value) {
            (Ok(place), Some(value)) => Some(core::mem::replace(&mut self.stored[place].1, value)),
            (Ok(place), None) => Some(self.stored.remove(place).1),
            (Err(place), Some(value)) => {
                self.stored.insert(place, (index, value));
                None
            }
            (Err(_), None) => None,
        }
    }

    /// The fields that are not nil, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, T)> + '_ {
        self.stored.iter().copied()
    }

    /// Those of them from `start` on, `count` fields wide.
    pub fn range(&self, start: u32, count: u32) -> impl Iterator<Item = (u32, T)> + '_ {
        let first = self.place(start).unwrap_or_else(|place| place);
        self.stored[first..].iter().copied().take_while(move |(index, _)| index - start < count)
    }
}

/// What a move of `count` fields changes: each index into the run, with its new value. Fields that are nil on both sides
/// are left out, so that a long move costs what is stored.
pub fn moved<T: Copy>(from: &Fields<T>, start: u32, into: &Fields<T>, at: u32, count: u32) -> Vec<(u32, Option<T>)> {
    let mut moved: Vec<(u32, Option<T>)> =
        from.range(start, count).map(|(index, value)| (index - start, Some(value))).collect();
    let cleared: Vec<_> = into.range(at, count).map(|(index, _)| (index - at, None)).collect();
    for (index, nil) in cleared {
        if let Err(place) = moved.binary_search_by_key(&index, |(at, _)| *at) {
            moved.insert(place, (index, nil));
        }
    }
    moved
}

/// A set of objects.
#[derive(Clone, Debug, Default)]
pub struct ObjectSet {
    // Invariant: trailing words may be zero, so equality ignores them.
    words: Vec<u64>,
}

impl ObjectSet {
    /// The empty set.
    pub fn new() -> Self {
        ObjectSet::default()
    }

    /// Adds `object`; says whether it was new.
    pub fn insert(&mut self, object: ObjectId) -> bool {
        let (word, bit) = (object.index() / 64, 1u64 << (object.index() % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Takes `object` out; says whether it was in.
    pub fn remove(&mut self, object: ObjectId) -> bool {
        let was = self.contains(object);
        if was {
            self.words[object.index() / 64] &= !(1 << (object.index() % 64));
        }
        was
    }

    /// Whether `object` is in the set.
    pub fn contains(&self, object: ObjectId) -> bool {
        self.words.get(object.index() / 64).is_some_and(|word| word >> (object.index() % 64) & 1 == 1)
    }

    /// How many objects are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set has no object.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The objects, in order of birth.
    pub fn iter(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| ObjectId(index as u32 * 64 + bit))
        })
    }
}

impl PartialEq for ObjectSet {
    fn eq(&self, other: &Self) -> bool {
        let (short, long) = if self.words.len() <= other.words.len() { (self, other) } else { (other, self) };
        long.words[..short.words.len()] == short.words[..] && long.words[short.words.len()..].iter().all(|w| *w == 0)
    }
}

impl Eq for ObjectSet {}

impl FromIterator<ObjectId> for ObjectSet {
    fn from_iter<I: IntoIterator<Item = ObjectId>>(objects: I) -> Self {
        let mut set = ObjectSet::new();
        for object in objects {
            set.insert(object);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn names_run_from_a_past_z() {
        let names: Vec<_> = [0, 1, 25, 26, 51, 52, 701, 702].map(|n| ObjectId(n).to_string()).into();
        assert_eq!(names, ["a", "b", "z", "aa", "az", "ba", "zz", "aaa"]);
        assert_eq!(ObjectId(u32::MAX).to_string().len(), 7);
    }

    #[test]
    fn alignment_is_the_weakest_that_loads_any_field() {
        let cases = [((0, 0), 1), ((0, 1), 1), ((0, 6), 2), ((0, 12), 4), ((0, 16), 8), ((1, 1), 8), ((3, 0), 8)];
        for ((pointers, bytes), alignment) in cases {
            assert_eq!(Shape::new(pointers, bytes).alignment(), alignment, "{pointers} pointers, {bytes} bytes");
        }
    }

    #[test]
    fn a_stamp_reads_back_from_every_length() {
        for length in 0..40 {
            let mut data = vec![0xff; length];
            let stamp = Stamp(0x1122_3344_5566_7788);
            stamp.fill(&mut data);
            assert_eq!(Content::of(&data), stamp.content(length as u32), "{length} bytes");
        }
    }

    #[test]
    fn every_changed_byte_past_the_first_word_shows() {
        let mut data = [0; 21];
        Stamp(9).fill(&mut data);
        for at in 8..data.len() {
            let mut bad = data;
            bad[at] ^= 0x40;
            assert_eq!(Content::of(&bad), Content::Torn { at: at as u64 });
        }
    }

    #[test]
    fn fields_that_are_nil_take_no_space() {
        let mut fields = Fields::default();
        assert_eq!(fields.set(1_000_000_000, None), None);
        assert_eq!((fields.set(1_000_000_000, Some('x')), fields.set(0, Some('y'))), (None, None));
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(0, 'y'), (1_000_000_000, 'x')]);
        assert_eq!(fields.range(1, u32::MAX).collect::<Vec<_>>(), [(1_000_000_000, 'x')]);
        assert_eq!(fields.range(0, 1).count() + fields.range(1, 9).count(), 1);
        assert_eq!((fields.set(0, None), fields.get(0), fields.stored.len()), (Some('y'), None, 1));
    }

    #[test]
    fn a_move_changes_what_is_stored_on_either_side() {
        let (mut from, mut into) = (Fields::default(), Fields::default());
        from.set(5, Some('a'));
        into.set(1_000, Some('b'));
        into.set(1_001, Some('c'));
        assert_eq!(moved(&from, 4, &into, 999, 3), [(1, Some('a')), (2, None)]);
    }

    #[test]
    fn sets_forget_their_trailing_zeroes() {
        let mut set: ObjectSet = [ObjectId(3), ObjectId(200)].into_iter().collect();
        assert_eq!((set.len(), set.contains(ObjectId(200)), set.contains(ObjectId(4000))), (2, true, false));
        assert!(set.remove(ObjectId(200)) && !set.remove(ObjectId(200)));
        assert_eq!(set, [ObjectId(3)].into_iter().collect());
        assert_eq!(set.iter().collect::<Vec<_>>(), [ObjectId(3)]);
    }

    #[test]
    fn sets_are_equal_if_they_have_the_same_objects() {
        let set = |ids: &[u32]| ids.iter().map(|id| ObjectId(*id)).collect::<ObjectSet>();
        let sets = [set(&[]), set(&[3]), set(&[4]), set(&[3, 200]), set(&[200])];
        for (at, one) in sets.iter().enumerate() {
            for (other_at, other) in sets.iter().enumerate() {
                assert_eq!(one == other, at == other_at, "{one:?} {other:?}");
            }
            assert_eq!(one.is_empty(), one.iter().next().is_none());
        }
        let mut emptied = set(&[200]);
        emptied.remove(ObjectId(200));
        assert!(emptied.is_empty() && emptied == set(&[]));
    }

    #[test]
    fn small_objects_without_pointers_or_wishes_may_share_a_block() {
        let tiny = |pointers, bytes, align| Shape::new(pointers, bytes).aligned(align).is_tiny();
        assert!(tiny(0, 0, 0) && tiny(0, 15, 0) && tiny(0, 8, 8));
        assert!(!tiny(0, 16, 0) && !tiny(1, 0, 0) && !tiny(0, 8, 16));
    }

    #[test]
    fn an_address_is_written_in_hexadecimal() {
        assert_eq!(Address(0xc0_0010).to_string(), "0xc00010");
    }

    #[test]
    fn a_set_gives_its_objects_in_order_of_birth() {
        let ids = [0, 63, 64, 65, 130, 1000].map(ObjectId);
        let set: ObjectSet = ids.into_iter().rev().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn what_was_read_is_told_in_words() {
        let told = [Content::ZERO, Content::Uniform(7), Content::Torn { at: 9 }].map(|content| content.to_string());
        assert_eq!(told, ["zero", "stamp 7", "torn at byte 9"]);
    }
}
