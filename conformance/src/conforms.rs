//! Judging a heap from `cargo test`: one test for each law.

use crate::{
    campaign::{self, Campaign, End},
    drive::{InProcess, Subject},
    law::{Judgement, Law},
    report::text,
    saved::{self, Flaky},
    shrink::Budget,
};
use heaplaw_reference::{heap::Heap, op::Program};
use std::path::Path;

/// Makes one `#[test]` for each law, named after it: `law_51_reachable_never_freed`.
///
/// The expression gives a fresh heap; it is evaluated once for every program. A law that needs more than the heap claims
/// passes, and says so. A test that fails prints the shrunk counterexample and saves it in the directory `failures`;
/// saved failures run first from then on.
///
/// `HEAPLAW_CASES` sets how many programs each law is judged by (2,000), `HEAPLAW_SEED` what they follow from (0).
///
/// ```
/// # use heaplaw_reference::{machine::Machine, protocol::Protocol};
/// heaplaw_conformance::conforms! { Machine::new(Protocol::HYBRID) }
/// ```
#[macro_export]
macro_rules! conforms {
    ($heap:expr) => {
        $crate::conforms! { @tests $heap;
            1 law_1_no_overlap
            3 law_3_big_enough
            4 law_4_alignment
            5 law_5_zeroed
            6 law_6_content_stability
            7 law_7_address_stability
            8 law_8_identity
            9 law_9_zero_size
            10 law_10_total_failure
            13 law_13_determinism
            14 law_14_cross_equivalence
            17 law_17_fit_completeness
            18 law_18_first_fit_choice
            19 law_19_next_fit_choice
            20 law_20_best_fit_choice
            21 law_21_all_free
            22 law_22_bump_monotone
            28 law_28_slot_slack
            30 law_30_monotone_classes
            41 law_41_reuse
            51 law_51_reachable_never_freed
            52 law_52_sound_termination
            53 law_53_strong_invariant
            54 law_54_weak_invariant
            55 law_55_monotone_colour
            56 law_56_grey_is_queued
            57 law_57_allocate_black
            58 law_58_allocate_white_outside
            59 law_59_completeness
            60 law_60_two_cycles
            61 law_61_cycles
            65 law_65_bounded_work
            66 law_66_small_steps
            67 law_67_order_independence
            68 law_68_root_completeness
            70 law_70_covers_all_stores
            71 law_71_old_value_first
            72 law_72_nil_is_not_special
            73 law_73_hand_over_shade
            77 law_77_off_is_free
            80 law_80_phase_automaton
            81 law_81_one_transition
            82 law_82_no_premature_termination
            83 law_83_termination
            84 law_84_scan_once
            85 law_85_stop_the_world_bounded
            86 law_86_pause_bounded
            87 law_87_progress
            90 law_90_sweep_exactness
            92 law_92_swept_before_use
            93 law_93_done_before_mark
            94 law_94_proportional_sweep
            96 law_96_no_zombie
            97 law_97_full_collection
            98 law_98_goal_formula
            99 law_99_trigger_bounds
            100 law_100_steady_state
            101 law_101_hard_bound
            102 law_102_assist_honesty
            103 law_103_limiter
            104 law_104_memory_limit
            105 law_105_periodic
            106 law_106_no_needless_cycle
            107 law_107_at_most_once
            108 law_108_resurrection
            109 law_109_dependency_order
            110 law_110_cyclic_finalizer
            111 law_111_cleanup
            112 law_112_weak_truth
            113 law_113_weak_before_finalizer
            114 law_114_weak_canonical
            115 law_115_weak_to_strong_in_mark
            123 law_123_balance
            127 law_127_live_after_collection
            132 law_132_trace_order
            139 law_139_idempotence
            141 law_141_return_to_baseline
            142 law_142_room_again
        }
    };
    (@tests $heap:expr; $($number:literal $name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conforms::to($number, || $heap);
            }
        )*
        /// The numbers of the laws that have a test here.
        #[allow(dead_code, reason = "only the kit's own tests compare it with the list of laws")]
        const LAWS: &[(u16, &str)] = &[$(($number, stringify!($name))),*];
    };
}

/// Judges a heap by one law, as the tests made by [`conforms!`](crate::conforms!) do.
///
/// # Panics
/// If the law is broken, with the counterexample; if the heap crashes; if the law was never looked at although the heap
/// claims what it needs; or if there is no law of this number.
pub fn to<H: Heap>(number: u16, make: impl FnMut() -> H) {
    let campaign = campaign(number, |variable| std::env::var(variable).ok());
    if let Err(report) = judge(&campaign, &mut InProcess::new(make), Path::new("failures")) {
        panic!("{}", text::plain(&report));
    }
}

/// The campaign of a law, as the environment would have it.
fn campaign(number: u16, variable: impl Fn(&str) -> Option<String>) -> Campaign {
    let law = Law::numbered(number).unwrap_or_else(|| panic!("there is no law {number}"));
    let number_from = |name: &str, default: u64| match variable(name) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")),
        None => default,
    };
    Campaign {
        seed: number_from("HEAPLAW_SEED", 0),
        cases: number_from("HEAPLAW_CASES", 2_000),
        laws: vec![law],
        ..Campaign::default()
    }
}

/// Runs a campaign by one law; gives the report of what is wrong.
fn judge(campaign: &Campaign, subject: &mut dyn Subject, out: &Path) -> Result<(), String> {
    let saved = saved::all(out).map_err(|error| error.to_string())?;
    let first: Vec<Program> = saved.into_iter().map(|(_, program)| program).collect();
    let outcome = campaign.run(subject, &first, &mut ());
    match outcome.end {
        End::Found(found) => {
            let heap = found.history.claims.name.to_string();
            let shrunk = campaign::shrink(subject, *found, Budget::default(), &mut ());
            let (shown, again) = (shrunk.counterexample, shrunk.again);
            let path = out.join(saved::name(&shown.breach, &shown.program()));
            let check = format!("HEAPLAW_SEED={} HEAPLAW_CASES={} cargo test", campaign.seed, outcome.programs);
            let flaky = again.is_flaky().then_some(Flaky { again, check: &check });
            let wrote = match saved::save(&path, &heap, "cargo test", &shown, flaky) {
                Ok(()) => format!("  wrote  {} (runs first from now on)\n", path.display()),
                Err(error) => format!("  cannot write {}: {error}\n", path.display()),
            };
            let flaky =
                if again.is_flaky() { format!("  FLAKY  it {again} when it is run again\n") } else { String::new() };
            Err(format!("\n{}{flaky}{wrote}", text::counterexample(&shown)))
        }
        End::Unstartable(failure) => Err(failure.to_string()),
        End::Finished | End::OutOfTime | End::Interrupted => {
            let Some(tally) = outcome.tallies.first() else { return Ok(()) };
            let missing = outcome.claims.map(|claims| tally.law.missing(&claims)).unwrap_or_default();
            if !missing.is_empty() {
                println!("not applicable: the heap would have to claim {}", missing.join(", "));
                Ok(())
            } else if tally.checks == 0 {
                let nothing = Judgement::Holds { checks: 0 };
                Err(format!("{:?} was never looked at ({nothing:?}) in {} programs", tally.law, outcome.programs))
            } else {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{faulty, law};
    use heaplaw_reference::{heap::Capability, machine::Machine, pacer::Pacing, protocol::Protocol};

    mod machine {
        use super::*;
        crate::conforms! { Machine::new(Protocol::HYBRID) }

        #[test]
        fn every_law_has_its_test() {
            let laws: Vec<_> = law::all().map(|law| (law.number, law.identifier())).collect();
            let tests: Vec<_> = LAWS.iter().map(|(number, name)| (*number, (*name).to_owned())).collect();
            assert_eq!(tests, laws);
        }
    }

    /// The other laws are looked at on machines that pace themselves in a campaign of their own.
    #[test]
    fn a_heap_that_paces_itself_passes_the_tests_of_its_pacing() {
        let pacing = law::all().filter(|law| law.needs.capabilities.contains(&Capability::Pacing));
        let tested: Vec<u16> = pacing.map(|law| law.number).collect();
        assert!(tested.len() >= 9, "{tested:?}");
        for law in tested {
            to(law, || Machine::new(Protocol::HYBRID).paced(Pacing::SOUND));
        }
    }

    #[test]
    fn a_faulty_heap_fails_its_test_with_a_file_that_replays() {
        let out = std::env::temp_dir().join(format!("heaplaw-conforms-{}", std::process::id()));
        let fault = faulty::ALL.iter().find(|fault| fault.law == 54).expect("a fault of law 54");
        let law = Law::numbered(54).expect("law 54");
        let campaign = Campaign { laws: vec![law], ..Campaign::default() };
        let mut subject = InProcess::new(|| fault.heap());
        let report = judge(&campaign, &mut subject, &out).expect_err("a report");
        assert!(report.contains("law 54  weak invariant"), "{report}");
        let saved = saved::all(&out).expect("the directory");
        let first: Vec<_> = saved.into_iter().map(|(_, program)| program).collect();
        let none = Campaign { cases: 0, ..campaign };
        assert!(matches!(none.run(&mut subject, &first, &mut ()).end, End::Found(_)));
        std::fs::remove_dir_all(&out).expect("the directory goes");
    }

    #[test]
    fn a_law_that_is_never_looked_at_fails() {
        let law = Law::numbered(54).expect("law 54");
        let campaign = Campaign { cases: 0, laws: vec![law], ..Campaign::default() };
        let report = judge(&campaign, &mut InProcess::new(|| Machine::new(Protocol::HYBRID)), Path::new("none-such"));
        assert!(report.is_err_and(|report| report.contains("never looked at")));
    }

    #[test]
    fn the_environment_says_how_many_programs_and_which() {
        let plain = campaign(51, |_| None);
        assert_eq!((plain.seed, plain.cases), (0, 2_000));
        assert_eq!(plain.laws.iter().map(|law| law.number).collect::<Vec<_>>(), [51]);
        let told = campaign(52, |name| Some(if name == "HEAPLAW_SEED" { "7" } else { "9" }.to_owned()));
        assert_eq!((told.seed, told.cases, told.laws[0].number), (7, 9, 52));
    }

    #[test]
    #[should_panic(expected = "HEAPLAW_SEED is not a number: \"x\"")]
    fn what_is_no_number_is_not_passed_over() {
        campaign(51, |_| Some("x".to_owned()));
    }

    #[test]
    #[should_panic(expected = "there is no law 2000")]
    fn a_test_of_a_law_that_there_is_not_fails() {
        to(2_000, || Machine::new(Protocol::HYBRID));
    }
}
