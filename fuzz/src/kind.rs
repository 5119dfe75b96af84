//! The kinds of heaps that are fuzzed: those that the command comes with, heaps with workers, and heaps whose kernel refuses
//! some calls.
//!
//! A byte of the input says which, so that a fuzzer can put one program to another heap by changing nothing else.

use super::{differs, quiet::Quiet};
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
    /// How many calls the kernel grants before it refuses some; all, if nothing is said.
    granted: Option<usize>,
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
}

const DESIGNS: [Design; 16] = [
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
];

/// How many calls the kernel grants: the first are those that make a heap, and most programs do with a hundred.
const GRANTED: [usize; 15] = [0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 23, 32, 45, 64, 90];

/// How many it refuses then.
const REFUSED: usize = 3;

impl Kind {
    /// The kind that the first of these bytes says: four bits are the design, the others when the kernel refuses a call,
    /// and 0 that it never does.
    pub fn of(bytes: &[u8]) -> Kind {
        let byte = bytes.first().copied().map_or(0, usize::from);
        let granted = (byte >> 4).checked_sub(1).map(|step| GRANTED[step]);
        Kind { design: DESIGNS[byte & 15], granted }
    }

    fn config(self) -> Config {
        let faults = self.granted.map_or(Faults::NONE, |after| Faults { after, count: REFUSED });
        let small = Config { reservation: 64 << 20, faults, ..Config::DEFAULT };
        // With this, cycles start after some 40 KiB.
        let paces = Config { gogc: Some(1), ..small };
        match self.design {
            Design::Plain | Design::Quiet => small,
            Design::Paced => Config { reservation: 1 << 30, ..small },
            Design::Tight => Config { reservation: 64 << 10, ..small },
            Design::Tiny | Design::QuietTiny => Config { tiny: true, ..small },
            Design::StopTheWorld | Design::QuietStops => Config { stop_the_world: true, ..small },
            Design::Insertion => Config { barrier: Barrier::Insertion, ..small },
            Design::Deletion | Design::QuietDeletion => Config { barrier: Barrier::Deletion, ..small },
            Design::Listened => Config { workers: 1, ..small },
            Design::Paces => Config { paced: true, ..paces },
            Design::PacesInLittle => {
                Config { paced: true, reservation: 128 << 10, soft_limit: Some(64 << 10), ..paces }
            }
            Design::Workers => Config { workers: 2, ..paces },
            Design::WorkersInLittle => Config { workers: 1, reservation: 128 << 10, ..paces },
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
        here < quiet && self.granted.is_none()
    }

    /// Whether the heap says when it collects, and not the program.
    fn collects_by_itself(self) -> bool {
        let Config { workers, paced, .. } = self.config();
        workers > 0 || paced
    }

    /// What the heap itself finds wrong when it is asked after every so many operations of a program, or what the reference
    /// answers otherwise.
    pub fn believed(self, program: &Program, every: usize) -> Option<String> {
        let corruption = |heap: &InTurn<Subject>| heap.heap().verify().err().map(|wrong| format!("{wrong:?}"));
        if self.is_quiet() {
            self.under(&mut Quiet::of(self.config()).ok()?, program, every, |heap| heap.heap().corruption())
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
    /// heap to say, if it collects by itself, or if one slot has several objects: then programs that ask are not compared,
    /// nor is how much is alive.
    pub fn differs<'r>(self, answered: impl Iterator<Item = (Op, &'r Reply)> + Clone) -> Option<String> {
        let tiny = self.config().tiny;
        if !tiny && !self.collects_by_itself() && self.design != Design::Paced {
            return differs(answered);
        }
        let asks = answered.clone().any(|(op, _)| tells_of_death(&op));
        if asks { None } else { differs(answered.filter(|(op, _)| *op != Op::Collect(Collect::Stats))) }
    }
}

/// Whether the answer depends on what a cycle has found.
fn tells_of_death(op: &Op) -> bool {
    matches!(op, Op::Mutate { action: Action::Strong { .. } | Action::Finalize(_) | Action::Clean(_), .. })
}
