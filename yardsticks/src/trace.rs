//! Traces: what a program asked of its allocator, written down to be done again with another. Below
//! [`workload`](crate::workload).
//!
//! A block is named by the lowest number that is free when it is allocated last in, first out; so an allocation need not
//! say which. Everything is a number of as many bytes as it takes, seven bits to each, the lowest first:
//!
//! ```text
//!   size << 2        allocate so many bytes, aligned to a word
//!   which << 2 | 1   free a block         which: how far its number is from that of the last, turned so that -1 is 1
//!   which << 2 | 2   resize a block       then the new size
//!   size << 2 | 3    allocate             then the power of two that it is aligned to, twice, and one more if zeroed
//! ```
//!
//! Invariants: reading gives what was written; a trace that is read names only blocks that are there.

use std::{
    alloc::{GlobalAlloc, Layout},
    ptr,
};

/// Something that was asked of an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A block of this layout, and whether it is to read zero; its number is the next one that is free.
    Allocate(Layout, bool),
    /// The block of this number is not needed any more.
    Free(usize),
    /// It is to have so many bytes.
    Resize(usize, usize),
}

/// What the kit asked of its allocator while it drew 150 programs, ran them on the reference and judged it by all laws.
///
/// # Panics
/// If the file beside this crate is not what [`write`] writes.
pub fn recorded() -> Vec<Event> {
    read(include_bytes!("../check.trace")).expect("it was written by `write`")
}

/// Numbers for blocks: the one that was given back last is given out first.
#[derive(Default)]
pub struct Numbers {
    free: Vec<usize>,
    used: usize,
}

impl Numbers {
    /// The next number.
    pub fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        })
    }

    /// Gives a number back.
    pub fn give(&mut self, number: usize) {
        self.free.push(number);
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Some(number);
        }
    }
    None
}

/// Writes events down.
pub fn write(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    let mut which = |number: usize| {
        let far = number as i64 - std::mem::replace(&mut last, number) as i64;
        ((far << 1) ^ (far >> 63)) as u64
    };
    for event in events {
        match *event {
            Event::Allocate(layout, false) if layout.align() == 8 => {
                write_number(&mut bytes, (layout.size() as u64) << 2);
            }
            Event::Allocate(layout, zeroed) => {
                write_number(&mut bytes, (layout.size() as u64) << 2 | 3);
                write_number(&mut bytes, u64::from(layout.align().trailing_zeros()) << 1 | u64::from(zeroed));
            }
            Event::Free(number) => write_number(&mut bytes, which(number) << 2 | 1),
            Event::Resize(number, size) => {
                write_number(&mut bytes, which(number) << 2 | 2);
                write_number(&mut bytes, size as u64);
            }
        }
    }
    bytes
}

/// Reads what [`write`] wrote; `None` if that cannot be.
pub fn read(mut bytes: &[u8]) -> Option<Vec<Event>> {
    let (mut events, mut numbers, mut last) = (Vec::new(), Numbers::default(), 0_i64);
    let mut live = Vec::new();
    while !bytes.is_empty() {
        let word = read_number(&mut bytes)?;
        let rest = word >> 2;
        let mut which = || {
            last += (rest >> 1) as i64 ^ -((rest & 1) as i64);
            usize::try_from(last).ok()
        };
        events.push(match word & 3 {
            1 => {
                let number = which()?;
                let there = live.get_mut(number).filter(|there| **there)?;
                *there = false;
                numbers.give(number);
                Event::Free(number)
            }
            2 => {
                let number = which().filter(|number| live.get(*number) == Some(&true))?;
                Event::Resize(number, usize::try_from(read_number(&mut bytes)?).ok()?)
            }
            kind => {
                let more = if kind == 3 { read_number(&mut bytes)? } else { 3 << 1 };
                let align = 1_usize.checked_shl(u32::try_from(more >> 1).ok()?)?;
                let number = numbers.take();
                live.resize(live.len().max(number + 1), false);
                live[number] = true;
                Event::Allocate(Layout::from_size_align(usize::try_from(rest).ok()?, align).ok()?, more & 1 == 1)
            }
        });
    }
    Some(events)
}

/// Does it all again, `times` times, and frees what is left each time. Gives how many blocks there were and how many
/// changes of a size.
pub fn replay<A: GlobalAlloc>(a: &A, events: &[Event], times: usize) -> usize {
    let mut numbers = Numbers::default();
    let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
    let mut pairs = 0;
    for _ in 0..times {
        for event in events {
            match *event {
                Event::Allocate(layout, zeroed) => {
                    let number = numbers.take();
                    // SAFETY: no program asks for no bytes; a block is written within its size.
                    let block = unsafe {
                        let block = if zeroed { a.alloc_zeroed(layout) } else { a.alloc(layout) };
                        assert!(!block.is_null());
                        block.write(1);
                        block
                    };
                    if number == blocks.len() {
                        blocks.push((block, layout));
                    } else {
                        blocks[number] = (block, layout);
                    }
                    pairs += 1;
                }
                Event::Free(number) => {
                    let (block, layout) =
                        std::mem::replace(&mut blocks[number], (ptr::null_mut(), layout_of_nothing()));
                    // SAFETY: allocated with this layout, or resized to it, and freed once.
                    unsafe { a.dealloc(block, layout) };
                    numbers.give(number);
                }
                Event::Resize(number, size) => {
                    let (block, layout) = blocks[number];
                    // SAFETY: as above; it is written within its size.
                    let block = unsafe {
                        let block = a.realloc(block, layout, size);
                        assert!(!block.is_null());
                        block.add(size - 1).write(1);
                        block
                    };
                    blocks[number] = (block, Layout::from_size_align(size, layout.align()).expect("a size"));
                    pairs += 1;
                }
            }
        }
        for (block, layout) in blocks.drain(..).filter(|(block, _)| !block.is_null()) {
            // SAFETY: as above.
            unsafe { a.dealloc(block, layout) };
        }
        numbers = Numbers::default();
    }
    pairs
}

const fn layout_of_nothing() -> Layout {
    Layout::new::<()>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let events = [
            Event::Allocate(block(24, 8), false),
            Event::Allocate(block(1 << 40, 4096), true),
            Event::Allocate(block(1, 1), false),
            Event::Free(2),
            Event::Resize(0, 5000),
            Event::Free(0),
            Event::Allocate(block(64, 8), true),
            Event::Resize(0, 1),
        ];
        assert_eq!(read(&write(&events)), Some(events.to_vec()));
    }

    #[test]
    fn what_names_no_block_or_ends_early_is_not_read() {
        let good = [Event::Allocate(block(300, 16), false), Event::Free(0)];
        for end in [1, 2] {
            assert_eq!(read(&write(&good)[..end]), None, "cut off after {end}");
        }
        for bad in [Event::Free(0), Event::Free(1), Event::Resize(0, 8)] {
            assert_eq!(read(&write(&[good[0], good[1], bad])), None, "{bad:?}");
        }
        assert_eq!(read(&[255; 20]), None);
    }

    #[test]
    fn the_recorded_trace_is_one_and_written_as_it_would_be_today() {
        let events = recorded();
        assert!(events.len() > 50_000, "only {} events", events.len());
        assert_eq!(write(&events), include_bytes!("../check.trace"));
    }
}
