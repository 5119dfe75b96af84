//! Laws of the list that no history can show, and where they are held instead.
//!
//! Some are about the inside of an implementation: they are held by its own tests, by models, or by the reference's
//! chapters. Some are not held at all, because nothing here has what they speak of; then that is what is said. What is
//! named exists: a test looks for each of the words in the file.

/// A law that is not judged from a history.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// Its number in the list of laws.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// How it is held, or why it is not.
    pub how: &'static str,
    /// Files of the repository, and a word in each that is the place; none if it is not held.
    pub held: &'static [(&'static str, &'static str)],
}

const fn held(
    number: u16,
    name: &'static str,
    how: &'static str,
    held: &'static [(&'static str, &'static str)],
) -> Elsewhere {
    Elsewhere { number, name, how, held }
}

/// All of them, by number.
pub const ALL: &[Elsewhere] = &[
    held(
        62,
        "noscan",
        "programs cannot store an address as data; a test of the fast heap does",
        &[("optimized/tests/noscan.rs", "an_address_in_data_keeps_nothing_alive")],
    ),
    held(63, "interior keeps whole", "not held: no operation makes a pointer into the middle of an object", &[]),
    held(64, "past the end", "not held: no operation makes a pointer behind an object", &[]),
    held(69, "span-queue no-miss", "not held: no heap here queues spans to be marked", &[]),
    held(
        74,
        "flag atomicity",
        "explored to the last state: heaplaw explore flag-test-overtaken",
        &[("reference/src/protocol/table.rs", "flag-test-overtaken")],
    ),
    held(
        75,
        "flag before scan",
        "in part: all heaps here turn the barrier on for all mutators at once, and the design in which a mutator has yet to see that is explored",
        &[("reference/src/protocol/table.rs", "flag-test-overtaken")],
    ),
    held(
        76,
        "deferral allowed",
        "by law 82: a shade is reported as soon as it is recorded, and what nobody flushes is grey when marking ends; the rules by which marking ends are explored",
        &[
            ("conformance/src/law/phase.rs", "no premature termination"),
            ("conformance/src/explore/termination.rs", "termination"),
        ],
    ),
    held(
        78,
        "elision proof",
        "barriers that leave something out by colour are designs of the table; nothing here leaves one out by proof",
        &[("reference/src/protocol/table.rs", "hybrid-my-stack")],
    ),
    held(
        79,
        "mutant kill",
        "heaplaw teeth, heaplaw teeth --mutants, heaplaw explore",
        &[
            ("conformance/src/teeth.rs", "every_wrong_heap_is_caught_by_its_own_law"),
            ("conformance/tests/laws_have_teeth.rs", "every_law_is_broken_by_a_faulty_heap"),
            ("optimized/mutants.toml", "[[mutant]]"),
        ],
    ),
    held(88, "worker share", "not held: it is about processors and time, and no program here has either", &[]),
    held(
        89,
        "ragged barrier",
        "in part: handshakes are given one by one, and judged by laws 84 and 86",
        &[("conformance/src/law/color.rs", "scan once"), ("conformance/src/law/pause.rs", "pause bounded")],
    ),
    held(
        94,
        "proportional",
        "the reference's pacer",
        &[("reference/src/pacer.rs", "the_sweep_is_finished_when_the_trigger_is_reached")],
    ),
    held(
        95,
        "reclaim before grow",
        "the reference's allocator",
        &[("reference/src/place/allocator/tests.rs", "pages_are_reclaimed_before_the_heap_grows")],
    ),
    held(133, "trace line", "not held: no heap here prints a trace; what it reports is judged by laws 80 and 132", &[]),
    held(
        135,
        "data-race freedom",
        "the fast heap's kernels in every interleaving, under loom and shuttle",
        &[("optimized/src/models.rs", "loom")],
    ),
    held(
        140,
        "scaling sanity",
        "in part: law 67, for steps of any size; the number of workers is not for a program to say",
        &[("conformance/src/law/reclamation.rs", "order independence")],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law;
    use std::{fs, path::Path};

    #[test]
    fn what_is_named_exists() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for law in ALL {
            for (file, word) in law.held {
                let text = fs::read_to_string(repository.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(word), "{file} has no {word:?} (law {})", law.number);
            }
            assert_eq!(law.held.is_empty(), law.how.starts_with("not held: "), "law {}", law.number);
        }
    }

    #[test]
    fn no_law_is_told_twice() {
        assert!(ALL.is_sorted_by(|a, b| a.number < b.number));
        for elsewhere in ALL {
            assert!(law::all().all(|law| law.number != elsewhere.number), "law {}", elsewhere.number);
            assert!(law::parallel::numbered(elsewhere.number).is_none(), "law {}", elsewhere.number);
        }
    }

    #[test]
    fn every_law_of_collectors_is_judged_or_told_of() {
        let known = |number: u16| {
            law::all().any(|law| law.number == number)
                || law::parallel::numbered(number).is_some()
                || ALL.iter().any(|law| law.number == number)
        };
        let missing: Vec<u16> =
            (51..=97).chain([132, 133]).chain(135..=137).chain([139, 140]).filter(|n| !known(*n)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
