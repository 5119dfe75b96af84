//! Every law is broken by some heap, and no law is broken by a sound one.

use heaplaw_conformance::{
    drive::{InProcess, Subject, step},
    faulty::{self, Fault},
    generate::{choices::Seed, scenario::Scenario},
    history::History,
    law::{self, Judgement, Law},
};
use heaplaw_reference::{
    heap::Heap,
    machine::Machine,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};

fn history<H: Heap>(make: impl FnMut() -> H, campaign: u64, case: u64) -> History {
    let mut subject = InProcess::new(make);
    let claims = subject.reset().expect("the heap starts");
    let program = Scenario::suited(&claims, 60).draw(&mut Seed::case(campaign, case));
    step::run(&mut subject, &program, step::Ending::Settle).expect("the heap starts")
}

/// How many programs it takes until the fault's own law is broken.
fn programs_until_broken(fault: &Fault, campaign: u64) -> Option<u64> {
    let law = [Law::numbered(fault.law).expect("a law of this number")];
    (0..3_000).find(|case| law::judge(&history(|| fault.heap(), campaign, *case), &law).broken().is_some())
}

#[test]
fn every_law_is_broken_by_a_faulty_heap() {
    for law in law::all() {
        let faults: Vec<_> = faulty::ALL.iter().filter(|fault| fault.law == law.number).collect();
        assert!(!faults.is_empty(), "nothing breaks {law:?}");
        for fault in faults {
            for campaign in 0..20 {
                let programs = programs_until_broken(fault, campaign);
                assert!(programs.is_some(), "a heap that {} keeps {law:?} in campaign {campaign}", fault.name);
            }
        }
    }
}

#[test]
fn sound_designs_break_no_law_and_every_law_is_checked_on_some() {
    let laws: Vec<_> = law::all().collect();
    let mut checks = vec![0; laws.len()];
    let sound = Protocol::ALL.into_iter().filter(|protocol| protocol.sound);
    let machines = sound.map(|row| -> (&str, Box<dyn Fn() -> Box<dyn Heap>>) {
        (row.name, Box::new(move || Box::new(Machine::new(row))))
    });
    let allocators = Policy::ALL.into_iter().flat_map(|policy| [(policy, 1 << 40), (policy, 8 << 10)]);
    let allocators = allocators.map(|(policy, memory)| -> (&str, Box<dyn Fn() -> Box<dyn Heap>>) {
        (policy.name(), Box::new(move || Box::new(Manual::with_memory(policy, memory))))
    });
    for (name, make) in machines.chain(allocators) {
        for case in 0..1_000 {
            let history = history(&make, 7, case);
            let verdict = law::judge(&history, &laws);
            if let Some((law, witness)) = verdict.broken() {
                panic!("{name} breaks {law:?} in case {case}: {}\n{}", witness.why, history.program());
            }
            assert_eq!(verdict.failure, None);
            for (sum, finding) in checks.iter_mut().zip(&verdict.findings) {
                if let Judgement::Holds { checks } = finding.judgement {
                    *sum += checks;
                }
            }
        }
    }
    let unchecked: Vec<_> = laws.iter().zip(checks).filter(|(_, checks)| *checks == 0).collect();
    assert!(unchecked.is_empty(), "never checked: {unchecked:?}");
}

#[test]
fn unsound_designs_are_rejected() {
    let laws: Vec<_> = law::all().collect();
    for protocol in Protocol::ALL.into_iter().filter(|protocol| !protocol.sound) {
        let rejected = |case: &u64| law::judge(&history(|| Machine::new(protocol), 9, *case), &laws).broken().is_some();
        assert!((0..1_000).any(|case| rejected(&case)), "{} is not rejected", protocol.name);
    }
}
