//! The target `arithmetic`: the fast heap's numbers beside the reference's, and beside the same done the obvious way.
//!
//! The bytes are decisions: which of the five, how large, and what is done to it, one thing after the other.
//!
//! | fast                                          | beside                                                  |
//! |-----------------------------------------------|---------------------------------------------------------|
//! | size classes, division by multiplication      | the reference's table, division                         |
//! | slots: bitmaps and a count                    | the reference's span with its cursor                    |
//! | pointer counts, packed                        | an array                                                |
//! | free pages: a tree of summaries, a cache      | first fit over booleans; the reference's tree            |
//! | a page's span                                 | the reference's arenas                                  |

use heaplaw_conformance::generate::choices::{Bytes, Choices};
use heaplaw_optimized::arithmetic::{PAGE_BYTES, Pointers, Slots, Window, class, class_for, slot};
use heaplaw_reference::place::{
    arena::{ARENA, Arenas},
    class::{LARGEST, SpanClass, class_of, row},
    generation::Generation,
    page::CHUNK,
    span::Span,
    summary::Tree,
};
use std::ops::Range;

/// Whatever the bytes decide, both come to the same.
///
/// # Panics
/// If they do not.
pub fn arithmetic(bytes: &[u8]) {
    let mut choices = Bytes(bytes);
    match choices.below(5) {
        0 => classes(&mut choices),
        1 => slots(&mut choices),
        2 => pointers(&mut choices),
        3 => pages(&mut choices),
        _ => spans(&mut choices),
    }
}

/// A number up to `most`: any, or one that is close to a power of two.
fn size(choices: &mut Bytes<'_>, most: usize) -> usize {
    let number = match choices.below(3) {
        0 => choices.below(256) as usize,
        1 => choices.below(u32::MAX) as usize,
        _ => (1usize << choices.below(34)).wrapping_add(choices.below(8) as usize).wrapping_sub(4),
    };
    if number <= most { number } else { number % (most + 1) }
}

fn classes(choices: &mut Bytes<'_>) {
    while !choices.dry() {
        let (bytes, align) = (size(choices, 1 << 34), 1 << choices.below(15));
        let rounded = bytes.max(1).next_multiple_of(align);
        let fits = rounded as u64 <= LARGEST && align <= PAGE_BYTES;
        // The smallest class that holds so many bytes, or a larger one of which the slots are aligned.
        let expected = fits.then(|| {
            let aligned = |number: &usize| (row(*number).size as usize).is_multiple_of(align);
            (class_of(rounded as u64)..).find(aligned).expect("the last class is as large as four pages")
        });
        assert_eq!(class_for(bytes, align), expected, "{bytes} bytes, a multiple of {align}");
        if let Some(number) = expected {
            let (theirs, (bytes, pages, slots)) = (row(number), class(number).expect("a class"));
            assert_eq!([bytes, pages, slots].map(|n| n as u64), [theirs.size, theirs.pages, theirs.objects]);
            let offset = size(choices, pages * PAGE_BYTES);
            let quotient = offset / bytes;
            assert_eq!((slot(number, offset), theirs.slot(offset as u64)), (quotient, quotient as u64), "{offset}");
        }
    }
}

fn slots(choices: &mut Bytes<'_>) {
    let number = 1 + choices.below(67) as usize;
    let mut theirs = Span::small(0x10000, SpanClass::new(number, true), Generation(0));
    let count = theirs.slots() as usize;
    let ours = Slots::new(count);
    let mut live = vec![false; count];
    while !choices.dry() {
        let want = 1 + choices.below(2 * count as u32) as usize;
        let taken = ours.allocate(want);
        let expected: Vec<usize> = (0..want).map_while(|_| theirs.allocate().map(|slot| slot as usize)).collect();
        assert_eq!(taken, expected, "{want} of {count}");
        for slot in taken {
            assert!(!std::mem::replace(&mut live[slot], true));
        }
        // Some live on; the others are freed here, and swept there.
        let (step, phase) = (1 + choices.below(9) as usize, choices.below(9) as usize);
        let kept = |slot: usize| (slot + phase).is_multiple_of(step);
        for word in 0..count.div_ceil(64) {
            let those = (64 * word..count.min(64 * word + 64)).filter(|slot| live[*slot] && !kept(*slot));
            let mask = those.map(|slot| 1u64 << (slot % 64)).fold(0, |mask, bit| mask | bit);
            assert!(ours.free(word, mask), "all of {mask:#x} in word {word} were allocated");
        }
        for (slot, live) in live.iter_mut().enumerate() {
            *live &= kept(slot);
            if *live {
                theirs.mark(slot as u64);
            }
        }
        theirs.sweep().expect("nothing was marked that is not allocated");
        let free = live.iter().filter(|live| !**live).count();
        assert_eq!(ours.room(), (free, free == count));
        assert!((0..count).all(|slot| theirs.is_allocated(slot as u64) == live[slot]));
    }
}

fn pointers(choices: &mut Bytes<'_>) {
    let number = 1 + choices.below(67) as usize;
    let (bytes, _, slots) = class(number).expect("a class");
    let (ours, mut plain) = (Pointers::new(number), vec![1; slots]);
    while !choices.dry() {
        let (slot, count) = (choices.below(slots as u32) as usize, 1 + size(choices, bytes / 8 - 1));
        ours.set(slot, count);
        plain[slot] = count;
        // A neighbour that was disturbed is in the same word or the next.
        let near = slot.saturating_sub(64)..(slot + 65).min(slots);
        assert!(
            near.clone().all(|slot| ours.get(slot) == plain[slot]),
            "after slot {slot} of class {number} got {count}"
        );
    }
    assert!((0..slots).all(|slot| ours.get(slot) == plain[slot]));
}

/// How many pages are mapped.
fn mapped(window: &Window) -> usize {
    window.books().0.iter().sum()
}

/// First fit, done the obvious way.
fn first_fit(taken: &[bool], count: usize, align: usize, base: usize) -> Option<usize> {
    let mut run = 0;
    // An aligned run is looked for in one that is sure to have it.
    let wanted = count + align - 1;
    (0..taken.len()).find_map(|page| {
        run = if taken[page] { 0 } else { run + 1 };
        (run == wanted).then(|| (base + page + 1 - wanted).next_multiple_of(align) - base)
    })
}

fn pages(choices: &mut Bytes<'_>) {
    // One to three levels of summaries.
    let chunks = [1, 2, 8, 9, 65][choices.below(5) as usize];
    let window = chunks * CHUNK as usize;
    let limit = window - [0, 1, 63, 64, 65][choices.below(5) as usize];
    let mut ours = Window::new(window, limit).expect("addresses for a small window");
    // Taking anything but the lowest run is not among what the reference's tree can do.
    let mut tree = (limit == window && choices.chance(1, 2)).then(|| {
        let mut tree = Tree::default();
        tree.grow(0, window as u64);
        tree
    });
    let plain = tree.is_some();
    let mut taken = vec![false; limit];
    let (mut runs, mut cached): (Vec<Range<usize>>, Vec<usize>) = (Vec::new(), Vec::new());
    while !choices.dry() {
        match choices.below(if plain { 5 } else { 9 }) {
            0..3 => {
                let count = [1, 2, 3, 9, 63, 64, 65, 130, 511, 512, 513, 4095, 4097][choices.below(13) as usize];
                let align = if plain { 1 } else { 1 << choices.below(4).saturating_sub(1) };
                let base = if align > 1 { choices.below(64) as usize } else { 0 };
                let expected = first_fit(&taken, count, align, base);
                assert_eq!(ours.take(count, align, base), expected, "{count} pages, aligned to {align} from {base}");
                if let Some(tree) = &mut tree {
                    assert_eq!(tree.allocate(count as u64).map(|page| page as usize), expected, "{count} pages");
                }
                if let Some(first) = expected {
                    taken[first..first + count].fill(true);
                    runs.push(first..first + count);
                }
            }
            3 | 4 if !runs.is_empty() => {
                // All of a run, or its end.
                let number = choices.below(runs.len() as u32) as usize;
                let run = runs.swap_remove(number);
                let from = run.start + if choices.chance(1, 3) { choices.below(run.len() as u32) as usize } else { 0 };
                ours.give_back(from..run.end);
                taken[from..run.end].fill(false);
                if let Some(tree) = &mut tree {
                    tree.free(from as u64, (run.end - from) as u64);
                }
                if from > run.start {
                    runs.push(run.start..from);
                }
            }
            5 if !runs.is_empty() => {
                let number = choices.below(runs.len() as u32) as usize;
                let run = &mut runs[number];
                let more = run.end..run.end + 1 + choices.below(70) as usize;
                if more.end <= window {
                    let expected = more.end <= mapped(&ours) && !taken[more.clone()].contains(&true);
                    assert_eq!(ours.take_at(more.clone()), expected, "{more:?}");
                    if expected {
                        taken[more.clone()].fill(true);
                        run.end = more.end;
                    }
                }
            }
            6 => {
                for page in cached.drain(..) {
                    taken[page] = false;
                }
                let page = choices.below(window as u32) as usize;
                ours.refill_cache(page);
                // What is not mapped is nobody's to cache.
                let group = page / 64 * 64..(page / 64 * 64 + 64).min(mapped(&ours));
                cached.extend(group.filter(|page| !taken[*page]));
                cached.iter().for_each(|page| taken[*page] = true);
            }
            7 => {
                let count = 1 + choices.below(9) as usize;
                let fits = |first: &&usize| (**first..**first + count).all(|page| cached.contains(&page));
                let expected = cached.iter().find(fits).copied();
                assert_eq!(ours.take_cached(count), expected, "{count} of {cached:?}");
                if let Some(first) = expected {
                    cached.retain(|page| !(first..first + count).contains(page));
                    runs.push(first..first + count);
                }
            }
            _ => {
                let keep = choices.below(600) as usize;
                let ([_, before, _], _) = ours.books();
                let gone = ours.release(keep);
                let ([_, present, _], _) = ours.books();
                assert_eq!(gone, before - present);
                // Where the kernel's pages are larger than the heap's, some stay.
                assert!(present <= keep || cfg!(not(target_arch = "x86_64")), "{present} pages, and not {keep}");
            }
        }
        let ([in_use, present, released], books) = ours.books();
        assert_eq!(books, Ok(()));
        assert_eq!(in_use, taken.iter().filter(|taken| **taken).count());
        assert!(in_use + present + released <= limit);
    }
}

fn spans(choices: &mut Bytes<'_>) {
    const WINDOW: usize = 3 * 8192;
    let ours = Window::new(WINDOW, WINDOW).expect("addresses for a small window");
    let mut theirs = Arenas::default();
    // Three arenas side by side, so that spans lie across their borders.
    let base = ARENA;
    (0..3).for_each(|number| assert!(theirs.insert(base + number * ARENA)));
    let address = |page: usize| base + (page * PAGE_BYTES) as u64;
    let mut spans: Vec<Range<usize>> = Vec::new();
    while !choices.dry() {
        let page = match choices.below(3) {
            0 => choices.below(WINDOW as u32) as usize,
            1 => (8192 * (1 + choices.below(2)) + choices.below(64) - 32) as usize,
            _ => spans.last().map_or(0, |span| span.end.min(WINDOW - 1)),
        };
        let inside = spans.iter().position(|span| span.contains(&page));
        match (inside, choices.below(3)) {
            (Some(number), 0) => ours.retract(spans.swap_remove(number)),
            (None, 1) => {
                let room = spans.iter().map(|span| span.start).filter(|start| *start > page).min().unwrap_or(WINDOW);
                let end = (page + 1 + size(choices, 9000)).min(room);
                ours.publish(page..end, 1 + choices.below(255) as u8);
                theirs.set_span(address(page), (end - page) as u64);
                spans.push(page..end);
            }
            _ => {}
        }
        for page in [page, page.saturating_sub(1), (page + 1).min(WINDOW - 1), choices.below(WINDOW as u32) as usize] {
            let expected = spans.iter().find(|span| span.contains(&page)).map(|span| span.start);
            assert_eq!(ours.first(page), expected, "page {page} of {spans:?}");
            // The reference forgets no span: whoever frees one asks for no page of it.
            if let Some(first) = expected {
                assert_eq!(theirs.span_of(address(page) + 5), Some(address(first)), "page {page}");
            }
        }
        assert_eq!(ours.first(WINDOW), None, "beyond the window");
    }
}
