//! Every law is broken by some heap, and no law is broken by a sound one.

use heaplaw_conformance::{
    campaign::{self, Judged},
    drive::{InProcess, Subject, step::Ending},
    faulty::{self, Fault},
    generate::{choices::Seed, scenario::Scenario},
    law::{self, Judgement, Law},
};
use heaplaw_reference::{
    heap::Heap,
    machine::Machine,
    op::Program,
    pacer::Pacing,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};

/// Makes a fresh heap.
type Make = Box<dyn Fn() -> Box<dyn Heap>>;

/// The program of a case that suits a heap.
fn program(subject: &mut dyn Subject, seed: u64, case: u64) -> Program {
    let claims = subject.reset().expect("the heap starts");
    Scenario::suited(&claims, 60).draw(&mut Seed::case(seed, case))
}

fn judged(subject: &mut dyn Subject, seed: u64, case: u64, laws: &[&'static Law]) -> Judged {
    let program = program(subject, seed, case);
    campaign::judge(subject, &program, Ending::Settle, laws).expect("the heap starts").1
}

/// How many programs it takes until the fault's own law is broken.
fn programs_until_broken(fault: &Fault, campaign: u64) -> Option<u64> {
    let law = [Law::numbered(fault.law).expect("a law of this number")];
    let mut subject = InProcess::new(|| fault.heap());
    (0..50_000).find(|case| judged(&mut subject, campaign, *case, &law).breach.is_some())
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
    let machines = sound.map(|row| -> (&str, Make) { (row.name, Box::new(move || Box::new(Machine::new(row)))) });
    let allocators = Policy::ALL.into_iter().flat_map(|policy| [(policy, 1 << 40), (policy, 8 << 10)]);
    let allocators = allocators.map(|(policy, memory)| -> (&str, Make) {
        (policy.name(), Box::new(move || Box::new(Manual::with_memory(policy, memory))))
    });
    let paced: Make = Box::new(|| Box::new(Machine::new(Protocol::HYBRID).paced(Pacing::SOUND)));
    for (name, make) in machines.chain(allocators).chain([("paced", paced)]) {
        let mut subject = InProcess::new(make);
        for case in 0..3_000 {
            let Judged { verdict, breach } = judged(&mut subject, 7, case, &laws);
            if let Some(breach) = breach {
                let program = program(&mut subject, 7, case);
                panic!(
                    "{name} in case {case}: {breach:?}
{program}"
                );
            }
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
        let mut subject = InProcess::new(|| Machine::new(protocol));
        let mut rejected = |case: &u64| judged(&mut subject, 9, *case, &laws).breach.is_some();
        assert!((0..1_000).any(|case| rejected(&case)), "{} is not rejected", protocol.name);
    }
}
