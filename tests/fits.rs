//! The optimized fits place exactly where the reference places, whatever is asked of them: sizes on either side of every
//! decision, objects freed in any order, twice, or where there are none, memory that grows or is refused.
//!
//! Streams are drawn from a seed. The tests run a thousand for each allocator; the full count is
//! `cargo test --release --test fits -- --ignored`.

use heaplaw_conformance::generate::{
    choices::{Choices, Seed},
    scenario::Scenario,
};
use heaplaw_optimized::{Faults, adapter::fit::ByHand, fit};
use heaplaw_reference::{
    heap::{Heap, Reply},
    op::{Environment, Op},
    place::{
        self, bump, fit as list,
        manual::{Manual, Policy},
        segregated,
    },
};

/// Streams for each allocator, in every run of the tests and in full.
const FEW: u64 = 1_000;
const FULL: u64 = 100_000;

/// Operations of a stream.
const OPS: u32 = 120;

/// Where the reference's memory starts: a multiple of every alignment that is asked for.
const BASE: u64 = 1 << 32;

/// The number of a reference's address as an offset.
fn offset(at: u64) -> usize {
    if at == place::ZERO_BASE { fit::ZERO_BASE } else { (at - BASE) as usize }
}

fn address(at: usize) -> u64 {
    if at == fit::ZERO_BASE { place::ZERO_BASE } else { BASE.wrapping_add(at as u64) }
}

fn freed(result: Result<(), list::NotAllocated>) -> Result<(), fit::NotAllocated> {
    result.map_err(|why| match why {
        list::NotAllocated::Outside => fit::NotAllocated::Outside,
        list::NotAllocated::Free => fit::NotAllocated::Free,
        list::NotAllocated::Inside => fit::NotAllocated::Inside,
    })
}

/// A size that is likely to be awkward.
fn size(choices: &mut dyn Choices, room: u32) -> u32 {
    match choices.weighted(&[8, 4, 4, 2, 1, 1]) {
        0 => 1 + choices.below(200),
        // Around a power of two.
        1 => ((1 << choices.below(13)) + choices.below(5)).saturating_sub(2),
        // Around 64 granules of any size.
        2 => (64 << choices.below(6)) - 20 + choices.below(40),
        3 => choices.below(room),
        4 => 0,
        _ => u32::MAX - choices.below(64),
    }
}

/// What a stream came upon, so that no stream is about nothing.
#[derive(Default)]
struct Seen {
    placed: u64,
    refused: u64,
    freed: u64,
    misfreed: u64,
    grown: u64,
}

impl Seen {
    fn everything(&self) -> bool {
        let Seen { placed, refused, freed, misfreed, grown } = *self;
        [placed, refused, freed, misfreed, grown].iter().all(|times| *times > 100)
    }
}

/// One of the objects there are, taken out.
fn one_of(live: &mut Vec<usize>, choices: &mut dyn Choices) -> Option<usize> {
    let last = u32::try_from(live.len()).ok()?.checked_sub(1)?;
    Some(live.swap_remove(match choices.below(4) {
        0 => last,
        1 => 0,
        _ => choices.below(last + 1),
    } as usize))
}

fn free_list_stream(seed: u64, case: u64, fit: list::Fit, seen: &mut Seen) {
    let choices = &mut Seed::case(seed, case);
    let granule = 1 << choices.below(6);
    let min_block = granule * (1 + choices.below(4));
    let header = granule * choices.below(3);
    let memory = min_block.next_multiple_of(granule) + granule * choices.below(4000);
    let limit = memory + granule * choices.below(4000);
    let rules = list::Rules { granule: granule.into(), min_block: min_block.into(), header: header.into() };
    let mut slow = list::FreeList::new(fit, rules, BASE, memory.into());
    let rules = fit::Rules { granule: granule as usize, min_block: min_block as usize, header: header as usize };
    let policy = match fit {
        list::Fit::First => fit::Fit::First,
        list::Fit::Next => fit::Fit::Next,
        list::Fit::Best => fit::Fit::Best,
    };
    let mut fast = fit::FreeList::new(policy, rules, memory as usize, limit as usize, Faults::NONE)
        .expect("the kernel gives addresses");
    let mut live: Vec<usize> = Vec::new();
    let mut rising = true;
    for step in 0..OPS {
        rising ^= choices.chance(1, 15);
        let (alloc, free) = if rising { (12, 4) } else { (4, 12) };
        match choices.weighted(&[alloc, free, 1, 1]) {
            0 => {
                let size = size(choices, memory);
                let (at, placed) = (slow.allocate(size.into()), fast.allocate(size as usize).ok());
                assert_eq!(placed, at.map(offset), "{size} bytes at step {step} of case {case}");
                let Some(at) = placed.filter(|at| *at != fit::ZERO_BASE) else {
                    seen.refused += u64::from(size > 0);
                    continue;
                };
                live.push(at);
                seen.placed += 1;
            }
            1 => {
                let Some(at) = one_of(&mut live, choices) else { continue };
                assert_eq!((slow.free(address(at)), fast.free(at)), (Ok(()), Ok(())), "{at} at step {step}");
                seen.freed += 1;
            }
            2 => {
                // Mostly no object: a block's start, the middle of one, what was freed, beyond the end.
                let at = choices.below(limit + 9) as usize;
                let at = if choices.chance(1, 2) { at / granule as usize * granule as usize } else { at };
                let result = freed(slow.free(address(at)));
                assert_eq!(fast.free(at), result, "{at} at step {step} of case {case}");
                seen.misfreed += u64::from(result.is_err());
                live.retain(|there| *there != at || result.is_err());
            }
            _ => {
                let more = min_block.next_multiple_of(granule) + granule * choices.below(500);
                let room = slow.size() + u64::from(more) <= u64::from(limit);
                let refused = choices.chance(1, 3);
                fast.fail(Faults { after: 0, count: refused.into() });
                assert_eq!(fast.grow(more as usize).is_ok(), room && !refused, "step {step} of case {case}");
                fast.fail(Faults::NONE);
                if room && !refused {
                    slow.grow(more.into());
                    seen.grown += 1;
                }
            }
        }
        assert_eq!((address(fast.rover()), fast.size() as u64), (slow.rover(), slow.size()), "step {step} of {case}");
        assert_eq!(fast.objects(), live.len());
        if step % 8 == 0 {
            same_state(&slow, &fast);
        }
        if let Some(at) = live.last() {
            assert_eq!(fast.usable(*at).map(|usable| usable as u64), slow.usable(address(*at)));
        }
    }
    while let Some(at) = one_of(&mut live, choices) {
        assert_eq!((slow.free(address(at)), fast.free(at)), (Ok(()), Ok(())));
    }
    same_state(&slow, &fast);
    assert!(fast.blocks().eq([fit::Block { start: 0, size: fast.size(), used: false }]), "law 21");
}

/// Laws 15 to 20: the tiles are those that the rules make, and the allocator believes nothing else.
fn same_state(slow: &list::FreeList, fast: &fit::FreeList) {
    assert_eq!(fast.verify(), Ok(()));
    let tiles = slow.blocks().map(|list::Block { start, size, used }| fit::Block {
        start: offset(start),
        size: size as usize,
        used,
    });
    assert!(tiles.eq(fast.blocks()));
}

fn segregated_stream(seed: u64, case: u64, pop: segregated::Pop, seen: &mut Seen) {
    let choices = &mut Seed::case(seed, case);
    let mut sizes: Vec<u32> = vec![1 + choices.below(40)];
    for _ in 0..choices.below(63) {
        let last = *sizes.last().expect("there is one");
        sizes.push(last + 1 + choices.below(last));
        if sizes.last() > Some(&5000) {
            break;
        }
    }
    let most = *sizes.last().expect("there is one");
    let unit = most + choices.below(3 * most);
    let limit = unit * choices.below(30) + choices.below(unit);
    let wide = sizes.iter().map(|size| u64::from(*size)).collect();
    let mut slow = segregated::Segregated::new(wide, unit.into(), pop, BASE, limit.into());
    let policy = match pop {
        segregated::Pop::Lowest => fit::Pop::Lowest,
        segregated::Pop::Last => fit::Pop::Last,
    };
    let sizes: Vec<usize> = sizes.iter().map(|size| *size as usize).collect();
    let mut fast = fit::Segregated::new(&sizes, unit as usize, policy, limit as usize, Faults::NONE)
        .expect("the kernel gives addresses");
    let mut live: Vec<usize> = Vec::new();
    let mut rising = true;
    for step in 0..OPS {
        rising ^= choices.chance(1, 15);
        let (alloc, free) = if rising { (12, 4) } else { (4, 12) };
        match choices.weighted(&[alloc, free, 1]) {
            0 => {
                let size = if choices.chance(1, 2) { choices.below(most + 2) } else { size(choices, limit) };
                if choices.chance(1, 8) && slow.wants_unit(size.into()) {
                    fast.fail(Faults { after: 0, count: 1 });
                    assert!(fast.allocate(size as usize).is_err(), "a unit is asked for, and refused");
                    fast.fail(Faults::NONE);
                    seen.grown += 1;
                }
                let (at, placed) = (slow.allocate(size.into()), fast.allocate(size as usize).ok());
                assert_eq!(placed, at.map(offset), "{size} bytes at step {step} of case {case}");
                let Some(at) = placed.filter(|at| *at != fit::ZERO_BASE) else {
                    seen.refused += u64::from(size > 0);
                    continue;
                };
                live.push(at);
                seen.placed += 1;
            }
            1 => {
                let Some(at) = one_of(&mut live, choices) else { continue };
                assert_eq!((slow.free(address(at)), fast.free(at)), (Ok(()), Ok(())), "{at} at step {step}");
                seen.freed += 1;
            }
            _ => {
                let at = choices.below(limit + 9) as usize;
                let at = if choices.chance(1, 2) { at } else { at / sizes[0] * sizes[0] };
                let result = freed(slow.free(address(at)));
                assert_eq!(fast.free(at), result, "{at} at step {step} of case {case}");
                seen.misfreed += u64::from(result.is_err());
                live.retain(|there| *there != at || result.is_err());
            }
        }
        if let Some(at) = live.last() {
            assert_eq!(fast.usable(*at).map(|usable| usable as u64), slow.usable(address(*at)));
        }
        assert_eq!(fast.objects(), live.len());
        if step % 8 == 0 {
            assert_eq!(fast.verify(), Ok(()));
        }
    }
    assert_eq!(fast.verify(), Ok(()));
}

fn bump_stream(seed: u64, case: u64, seen: &mut Seen) {
    let choices = &mut Seed::case(seed, case);
    let (limit, growth) = (choices.below(100_000), choices.below(10_000));
    let mut slow = bump::Bump::new(BASE, limit.into());
    let mut fast = fit::Bump::new(limit as usize, growth as usize, Faults::NONE).expect("the kernel gives addresses");
    let (mut marks, mut end) = (Vec::new(), 0);
    for step in 0..OPS {
        match choices.weighted(&[30, 4, 3, 1]) {
            0 => {
                let (size, align) = (size(choices, limit), 1u32 << choices.below(20));
                let refused = choices.chance(1, 20);
                fast.fail(Faults { after: 0, count: refused.into() });
                let placed = fast.allocate(size as usize, align as usize);
                fast.fail(Faults::NONE);
                if refused && placed.is_err() {
                    assert_eq!(fast.used() as u64, slow.used(), "a refusal changes nothing");
                    seen.grown += 1;
                    continue;
                }
                assert_eq!(placed.ok(), slow.allocate(size.into(), align.into()).map(offset), "step {step} of {case}");
                match placed {
                    Ok(fit::ZERO_BASE) => {}
                    Ok(at) => {
                        // Law 22.
                        assert!(at >= end && at - end < align as usize && fast.used() == at + size as usize);
                        seen.placed += 1;
                    }
                    Err(_) => seen.refused += 1,
                }
            }
            1 => marks.push((slow.mark(), fast.mark())),
            2 => {
                let count = u32::try_from(marks.len()).expect("a few");
                if count > 0 {
                    let (was, is) = marks[choices.below(count) as usize];
                    let released = slow.release(was);
                    assert_eq!(fast.release(is).is_ok(), released.is_ok(), "step {step} of case {case}");
                    seen.freed += u64::from(released.is_ok());
                    seen.misfreed += u64::from(released.is_err());
                }
            }
            _ => {
                slow.reset();
                fast.reset();
            }
        }
        end = fast.used();
        assert_eq!(end as u64, slow.used());
    }
}

/// A program of the kit, on the reference's heap freed by hand and on the optimized one; now and then the kernel refuses.
fn program(seed: u64, case: u64, policy: Policy, seen: &mut Seen) {
    // Often full, or with room for anything.
    let memory = if case.is_multiple_of(2) { 16 << 10 } else { 1 << 30 };
    let fast = match policy {
        Policy::Bump => ByHand::bump(memory),
        Policy::FirstFit => ByHand::free_list(fit::Fit::First, memory),
        Policy::NextFit => ByHand::free_list(fit::Fit::Next, memory),
        Policy::BestFit => ByHand::free_list(fit::Fit::Best, memory),
        Policy::SegregatedFit => ByHand::segregated(memory),
        Policy::Go => panic!("Go's allocator is no fit"),
    };
    let mut fast = fast.expect("the kernel gives addresses");
    let mut slow = Manual::with_memory(policy, memory as u64);
    let mut choices = Seed::case(seed, case);
    let program = Scenario::suited(&fast.claims(), 60).draw(&mut choices);
    let fault = Op::Environment(Environment::Fail(1 + choices.below(12)));
    let fault = choices.chance(1, 2).then_some(&fault);
    // Objects without a byte have an address of their own at the top, in both.
    let apart = |at: u64, base: u64| if at > u64::MAX / 2 { at } else { at - base };
    for (step, op) in fault.into_iter().chain(program.ops()).enumerate() {
        let (was, is) = (slow.perform(op, &mut Vec::new()), fast.perform(op, &mut Vec::new()));
        let base = fast.base();
        let same = match (&was, &is) {
            (Reply::Born { at: a, usable: room, found: zero, .. }, Reply::Born { at: b, usable, found, .. }) => {
                seen.placed += 1;
                (apart(a.0, place::BASE), room, zero) == (apart(b.0, base), usable, found)
            }
            (Reply::Object(a), Reply::Object(b)) => apart(a.0, place::BASE) == apart(b.0, base),
            // A program that was refused an object goes on as if it had it.
            (Reply::Trap(_), Reply::Trap(_)) => true,
            (was, is) => {
                seen.refused += u64::from(*is == Reply::OutOfMemory);
                was == is
            }
        };
        assert!(same, "{op} at step {step} of case {case}: {was:?}, {is:?}");
        if step % 16 == 0 {
            assert_eq!(fast.verify(), Ok(()), "step {step} of case {case}");
        }
    }
}

/// Runs the programs of one allocator.
fn programs(count: u64, policy: Policy) {
    let mut seen = Seen::default();
    (0..count).for_each(|case| program(41, case, policy, &mut seen));
    assert!(seen.placed > 1000 && seen.refused > 100, "{} placed, {} refused", seen.placed, seen.refused);
}

/// Runs the streams of one allocator.
fn streams(count: u64, run: impl Fn(u64, &mut Seen)) {
    let mut seen = Seen::default();
    (0..count).for_each(|case| run(case, &mut seen));
    assert!(seen.everything(), "some of it never happened");
}

macro_rules! allocators {
    ($($name:ident $full:ident $run:expr;)*) => {$(
        #[test]
        fn $name() {
            $run(FEW);
        }

        #[test]
        #[ignore = "the full count takes minutes"]
        fn $full() {
            $run(FULL);
        }
    )*};
}

allocators! {
    first_fit_is_the_references in_full_first_fit
        |count| streams(count, |case, seen| free_list_stream(18, case, list::Fit::First, seen));
    next_fit_is_the_references in_full_next_fit
        |count| streams(count, |case, seen| free_list_stream(19, case, list::Fit::Next, seen));
    best_fit_is_the_references in_full_best_fit
        |count| streams(count, |case, seen| free_list_stream(20, case, list::Fit::Best, seen));
    segregated_fit_lowest_first_is_the_references in_full_segregated_fit_lowest_first
        |count| streams(count, |case, seen| segregated_stream(3, case, segregated::Pop::Lowest, seen));
    segregated_fit_last_in_first_out_is_the_references in_full_segregated_fit_last_in_first_out
        |count| streams(count, |case, seen| segregated_stream(4, case, segregated::Pop::Last, seen));
    the_cursor_is_the_references in_full_the_cursor
        |count| streams(count, |case, seen| bump_stream(22, case, seen));

    programs_are_placed_alike_by_a_cursor in_full_programs_by_a_cursor |count| programs(count, Policy::Bump);
    programs_are_placed_alike_by_first_fit in_full_programs_by_first_fit |count| programs(count, Policy::FirstFit);
    programs_are_placed_alike_by_next_fit in_full_programs_by_next_fit |count| programs(count, Policy::NextFit);
    programs_are_placed_alike_by_best_fit in_full_programs_by_best_fit |count| programs(count, Policy::BestFit);
    programs_are_placed_alike_by_segregated_fit in_full_programs_by_segregated_fit
        |count| programs(count, Policy::SegregatedFit);
}
