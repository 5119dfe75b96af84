//! The generator: it draws programs.
//!
//! There is one generator, [`scenario::Scenario`], and it asks all its questions of a [`choices::Choices`]: "a number
//! below five?". Who answers decides what it is: a seed makes it a random tester, the bytes of a fuzzer make it a
//! decoder under which every byte string is a program, and an odometer makes it an enumeration of all programs up to
//! some size.
//!
//! Three well-known libraries can hold the other end, each behind a feature of its name: `proptest` (a strategy),
//! `quickcheck` and `arbitrary` (for [`Sample`]).

mod allocator;
pub mod choices;
mod pacing;
pub mod scenario;

#[cfg(feature = "arbitrary")]
mod arbitrary;
#[cfg(feature = "proptest")]
pub mod proptest;
#[cfg(feature = "quickcheck")]
mod quickcheck;

use heaplaw_reference::op::Program;

/// A program that was drawn with the default [`scenario::Scenario`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sample(pub Program);

#[cfg(test)]
mod tests {
    use super::{choices::Seed, scenario::Scenario};
    use crate::drive::{crowd, parallel};
    use heaplaw_reference::heap::{Capability, Claims};

    /// The FNV-1a hash of what is drawn in so many cases.
    fn fingerprint(cases: u64, draw: impl Fn(&mut Seed) -> String) -> u64 {
        let text = (0..cases).map(|case| draw(&mut Seed::case(7, case)));
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.flat_map(String::into_bytes).fold(0xcbf2_9ce4_8422_2325, hash)
    }

    /// What was measured with the generator is measured again if it changes: how fast wrong heaps are caught
    /// (`DETECTIONS.md`), and the fuzzers' seeds, which are what it draws. And a seed that somebody has noted draws
    /// something else.
    #[test]
    fn a_seed_draws_what_it_always_drew() {
        let program = |claims: Claims, ops: u32| {
            fingerprint(400, move |seed| Scenario::suited(&claims, ops).draw(seed).to_string())
        };
        let claims = |capabilities: &[Capability]| Claims::new("any").with(capabilities);
        let allocator =
            [Capability::Free, Capability::Mutators, Capability::Stats, Capability::Faults, Capability::Aligned];
        let paced =
            [Capability::Collect, Capability::Pacing, Capability::Clock, Capability::Steps, Capability::Mutators];
        let few: [&[Capability]; 6] = [
            &[Capability::Collect, Capability::Weak],
            &[Capability::Collect, Capability::Finalizers],
            &[Capability::Collect, Capability::Cleanups],
            &[Capability::Stats, Capability::Clock],
            &[Capability::Steps, Capability::Faults],
            &[Capability::Collect, Capability::Pacing],
        ];
        let drawn = [
            program(claims(&Capability::ALL), 60),
            program(claims(&allocator), 60),
            program(claims(&paced), 60),
            program(claims(&paced), 400),
            few.map(|few| program(claims(few), 60)).into_iter().fold(0, |sum, hash| (sum ^ hash).rotate_left(1)),
            program(claims(&[Capability::Collect, Capability::Steps]), 200),
            fingerprint(400, |seed| parallel::Plan::draw(seed, &claims(&Capability::ALL), 3, 40).to_string()),
            fingerprint(400, |seed| format!("{:?}", crowd::Plan::draw(seed, 3, 40))),
        ];
        let always = [
            0xe9fb_f53a_43b9_fe1f,
            0xc54f_ea76_26ad_598b,
            0x0553_7881_d6dc_2262,
            0x6a0f_c976_aa65_79f0,
            0xb189_5623_16c6_dbe1,
            0xf116_6d95_36ca_1e85,
            0x4987_ab65_ef27_a07a,
            0x5f69_9806_f863_b803,
        ];
        assert_eq!(drawn, always);
    }
}
