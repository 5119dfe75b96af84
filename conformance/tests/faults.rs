//! Faults: each request for memory that a heap makes is refused once, and nothing else comes of it.

use heaplaw_conformance::{
    campaign::{Breach, Campaign, End, Outcome},
    drive::{Failure, InProcess},
    report::text,
};
use heaplaw_reference::{
    event::Event,
    heap::{Claims, Heap, Reply},
    machine::Machine,
    op::Op,
    place::manual::{Manual, Policy},
    protocol::Protocol,
};

fn refused<H: Heap>(make: impl FnMut() -> H, cases: u64) -> Outcome {
    let campaign = Campaign { seed: 3, cases, faults: true, ..Campaign::default() };
    campaign.run(&mut InProcess::new(make), &[], &mut ())
}

#[test]
fn every_bundled_heap_stands_ten_thousand_faults() {
    let sound = Protocol::ALL.into_iter().filter(|protocol| protocol.sound);
    let machines = sound.map(|row| -> Box<dyn Fn() -> Box<dyn Heap>> { Box::new(move || Box::new(Machine::new(row))) });
    let allocators = Policy::ALL
        .into_iter()
        .map(|policy| -> Box<dyn Fn() -> Box<dyn Heap>> { Box::new(move || Box::new(Manual::new(policy))) });
    let mut faults = 0;
    for make in machines.chain(allocators) {
        let outcome = refused(&make, 600);
        let name = outcome.claims.as_ref().map(|claims| claims.name.to_string()).unwrap_or_default();
        if let End::Found(found) = &outcome.end {
            panic!("{name}\n{}", text::plain(&text::counterexample(found)));
        }
        assert_eq!(outcome.programs, 600, "{name}");
        // Go's allocator makes good for a refusal by itself: it collects, and asks again.
        assert!(outcome.faults > 200 || name == "go", "{name} felt {} faults", outcome.faults);
        faults += outcome.faults;
    }
    assert!(faults >= 10_000, "{faults} faults");
}

/// A heap that does something when it has to refuse a request.
struct Sore {
    heap: Manual,
    refusals: u32,
    hurt: fn(&mut Sore, &Op) -> Option<Reply>,
}

impl Heap for Sore {
    fn claims(&self) -> Claims {
        self.heap.claims()
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        if let Some(reply) = (self.hurt)(self, op) {
            return reply;
        }
        let reply = self.heap.perform(op, events);
        self.refusals += u32::from(reply == Reply::OutOfMemory);
        reply
    }
}

fn sore(hurt: fn(&mut Sore, &Op) -> Option<Reply>) -> End {
    refused(|| Sore { heap: Manual::new(Policy::BestFit), refusals: 0, hurt }, 2_000).end
}

#[test]
fn a_heap_that_breaks_when_it_is_refused_memory_is_found() {
    let crash = sore(|this, _| {
        assert_eq!(this.refusals, 0, "no memory");
        None
    });
    let End::Found(found) = crash else { panic!("{crash:?}") };
    assert!(matches!(&found.breach, Breach::Failure(Failure::Crashed(why)) if why.contains("no memory")));
    assert!(found.program().to_string().contains("env fail"), "the fault is a part of the program");

    // It has given up, and refuses even what it has room for.
    let stuck =
        sore(|this, op| (this.refusals > 0 && op.to_string().contains(" alloc ")).then_some(Reply::OutOfMemory));
    let End::Found(found) = stuck else { panic!("{stuck:?}") };
    assert!(matches!(&found.breach, Breach::Law(law, _) if [9, 41].contains(&law.number)), "{:?}", found.breach);
}

/// An allocator that claims nothing.
struct Quiet(Manual);

impl Heap for Quiet {
    fn claims(&self) -> Claims {
        Claims::new("quiet")
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Reply {
        assert!(!matches!(op, Op::Environment(_)), "{op} needs a claim");
        self.0.perform(op, events)
    }
}

#[test]
fn a_heap_that_claims_no_faults_is_run_once_for_each_program() {
    let outcome = refused(|| Quiet(Manual::new(Policy::BestFit)), 20);
    assert!(matches!(outcome.end, End::Finished) && outcome.programs == 20 && outcome.faults == 0, "{outcome:?}");
}
