//! The kinds of heaps that are fuzzed: those that the command comes with, heaps with workers, and heaps whose kernel refuses
//! some calls.
//!
//! The first bytes of the input say which, so that a fuzzer can put one program to another heap by changing nothing else:
//!
//! ```text
//!   │ design │ calls that the kernel grants │ calls that it refuses then │ 0, or what company does │
//! ```

use super::{differs, of_the_reference, quiet::Quiet};
use heaplaw_conformance::ledger::Ledger;
use heaplaw_optimized::{
    Barrier, Config, Error, Faults,
    adapter::{Subject, with},
};
use heaplaw_reference::{
    heap::{Heap, InTurn, Reply},
    op::{Action, Collect, Op, Program},
};

/// A kind of heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    design: Design,
    faults: Faults,
    /// Whether there is [company](super::company), and what it does; only of heaps to which nobody listens.
    company: u8,
}

/// How a heap is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    Plain,
    Paced,
    Tight,
    Tiny,
    StopTheWorld,
    Insertion,
    Deletion,
    /// Workers, and the kit listens.
    Listened,
    /// Nobody listens from here on.
    Quiet,
    QuietDeletion,
    QuietStops,
    QuietTiny,
    Paces,
    PacesInLittle,
    Workers,
    WorkersInLittle,
    QuietInsertion,
    PacesAndStops,
    WorkersStop,
    /// So many addresses that the kernel is told that the tables beside them are sparse.
    Sparse,
}

const DESIGNS: [Design; 20] = [
    Design::Plain,
    Design::Paced,
    Design::Tight,
    Design::Tiny,
    Design::StopTheWorld,
    Design::Insertion,
    Design::Deletion,
    Design::Listened,
    Design::Quiet,
    Design::QuietDeletion,
    Design::QuietStops,
    Design::QuietTiny,
    Design::Paces,
    Design::PacesInLittle,
    Design::Workers,
    Design::WorkersInLittle,
    Design::QuietInsertion,
    Design::PacesAndStops,
    Design::WorkersStop,
    Design::Sparse,
];

impl Kind {
    /// The bytes that say it.
    pub const BYTES: usize = 4;

    /// The kind that the first of these bytes say; what is missing is 0.
    pub fn of(bytes: &[u8]) -> Kind {
        let mut head = [0; Kind::BYTES];
        head.iter_mut().zip(bytes).for_each(|(byte, said)| *byte = *said);
        let [design, after, count, company] = head;
        let faults = Faults { after: usize::from(after), count: usize::from(count) };
        Kind { design: DESIGNS[usize::from(design) % DESIGNS.len()], faults, company }
    }

    fn config(self) -> Config {
        let small = Config { reservation: 64 << 20, faults: self.faults, ..Config::DEFAULT };
        // With this, cycles start after some 40 KiB.
        let paces = Config { gogc: Some(1), ..small };
        match self.design {
            Design::Plain | Design::Quiet => small,
            Design::Paced => Config { reservation: 1 << 30, ..small },
            Design::Tight => Config { reservation: 64 << 10, ..small },
            Design::Tiny | Design::QuietTiny => Config { tiny: true, ..small },
            Design::StopTheWorld | Design::QuietStops => Config { stop_the_world: true, ..small },
            Design::Insertion | Design::QuietInsertion => Config { barrier: Barrier::Insertion, ..small },
            Design::Deletion | Design::QuietDeletion => Config { barrier: Barrier::Deletion, ..small },
            Design::Listened => Config { workers: 1, ..small },
            Design::Paces => Config { paced: true, ..paces },
            Design::PacesAndStops => Config { paced: true, stop_the_world: true, ..paces },
            Design::PacesInLittle => {
                Config { paced: true, reservation: 128 << 10, soft_limit: Some(64 << 10), ..paces }
            }
            Design::Workers => Config { workers: 2, ..paces },
            Design::WorkersInLittle => Config { workers: 1, reservation: 128 << 10, ..paces },
            Design::WorkersStop => Config { workers: 1, stop_the_world: true, ..paces },
            Design::Sparse => Config { reservation: 4 << 30, ..small },
        }
    }

    /// A fresh heap that the kit listens to.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses so early that there is none.
    pub fn subject(self) -> Result<InTurn<Subject>, Error> {
        match self.design {
            Design::Paced => Subject::paced(self.config()).map(InTurn::new),
            _ => with(self.config()),
        }
    }

    /// Whether the laws of single steps can judge it: everything happens in the thread that asks for it, the kit hears of it,
    /// and the kernel grants what there is.
    pub fn is_in_steps(self) -> bool {
        let quiet = DESIGNS.iter().position(|design| *design == Design::Listened);
        let here = DESIGNS.iter().position(|design| *design == self.design);
        here < quiet && self.faults.count == 0
    }

    /// Whether the program alone says when the heap collects, and what is alive.
    fn is_alone(self) -> bool {
        let Config { workers, paced, .. } = self.config();
        workers == 0 && !paced && !(self.is_quiet() && self.company > 0)
    }

    /// What the heap itself finds wrong when it is asked after every so many operations of a program, or what the reference
    /// answers otherwise.
    pub fn believed(self, program: &Program, every: usize) -> Option<String> {
        let corruption = |heap: &InTurn<Subject>| heap.heap().verify().err().map(|wrong| format!("{wrong:?}"));
        if self.is_quiet() {
            self.under(&mut Quiet::of(self.config(), self.company).ok()?, program, every, |heap| {
                heap.heap().corruption()
            })
        } else {
            self.under(&mut self.subject().ok()?, program, every, corruption)
        }
    }

    fn is_quiet(self) -> bool {
        let first = DESIGNS.iter().position(|design| *design == Design::Quiet);
        DESIGNS.iter().position(|design| *design == self.design) >= first
    }

    fn under<H: Heap>(
        self,
        heap: &mut H,
        program: &Program,
        every: usize,
        corruption: impl Fn(&H) -> Option<String>,
    ) -> Option<String> {
        let claims = heap.claims();
        let mut ledger = Ledger::default();
        let mut answered = Vec::new();
        for op in program.ops().iter().filter(|op| claims.allow(op)) {
            if !ledger.graph().allows(op) {
                continue;
            }
            let reply = heap.perform(op, &mut Vec::new());
            ledger.enter(op, &reply);
            answered.push((*op, reply));
            if answered.len().is_multiple_of(every)
                && let Some(corruption) = corruption(heap)
            {
                return Some(format!("after {op}: {corruption}"));
            }
        }
        if let Some(corruption) = corruption(heap) {
            return Some(format!("at the end: {corruption}"));
        }
        self.differs(answered.iter().map(|(op, reply): &(Op, Reply)| (*op, reply)))
    }

    /// What the reference answers otherwise to the same operations, if anything. When what is dead is found dead is for the
    /// heap to say, if it collects by itself or has company, or if one slot has several objects; and in the
    /// steps of a cycle it is a matter of the barrier, which says whose stack is scanned when, and of how many steps it
    /// takes. Then programs that ask are not compared, nor is how much is alive.
    pub fn differs<'r>(self, answered: impl Iterator<Item = (Op, &'r Reply)> + Clone) -> Option<String> {
        let Config { tiny, barrier, .. } = self.config();
        let starts = answered.clone().any(|(op, _)| op == Op::Collect(Collect::Start));
        let same = !starts || barrier == Barrier::Hybrid && ends_alike(answered.clone());
        if same && !tiny && self.is_alone() && self.design != Design::Paced {
            return differs(answered);
        }
        let asks = answered.clone().any(|(op, _)| tells_of_death(&op));
        if asks { None } else { differs(answered.filter(|(op, _)| *op != Op::Collect(Collect::Stats))) }
    }
}

/// Whether the reference ends marking where the heap does. That need not scan what has no pointers, and gathers what it
/// shades if nobody listens: it may take a step more or less.
fn ends_alike<'r>(answered: impl Iterator<Item = (Op, &'r Reply)>) -> bool {
    of_the_reference(answered).iter().all(|(op, here, there)| *op != Op::Collect(Collect::Finish) || *here == there)
}

/// Whether the answer depends on what a cycle has found.
fn tells_of_death(op: &Op) -> bool {
    matches!(op, Op::Mutate { action: Action::Strong { .. } | Action::Finalize(_) | Action::Clean(_), .. })
}
