//! Programs that are likely to get an allocator into trouble.
//!
//! A heap that frees nothing by itself does not care who refers to whom. It cares about sizes, about the order in which
//! they come back, and about how much there is at once. So these programs hardly link objects; they hold each in a root
//! of its own, or in a field of one large object when sixteen roots are too few, and draw
//!
//! * [`Sizes`]: on either side of every class of sizes, power of two and page, with and without the bytes that a header
//!   takes; one shape again and again; or few sizes that fit into one another's gaps;
//! * [`Order`]: the last one in is the first one out, the first one, any one, or every other one;
//! * tides: a while of mostly allocating, then one of mostly freeing, down to nothing and up again;
//! * an alignment, of a heap that gives what is asked for, with one request in four;
//! * and one gesture: what was freed is asked for again at once.

use super::choices::Choices;
use heaplaw_reference::{
    graph::Graph,
    object::{MOST_ALIGNED, Shape},
    op::{Action, Collect, Environment, MutatorId, Op, Place, Program, ROOTS, Root},
    place::class::{CLASSES, row},
};

/// What the heap can be asked for, beyond allocating and freeing.
#[derive(Clone, Copy)]
pub(super) struct Repertoire {
    pub(super) mutators: bool,
    pub(super) stats: bool,
    pub(super) faults: bool,
    pub(super) aligned: bool,
}

/// What kind of objects a program asks for.
#[derive(Clone, Copy)]
enum Sizes {
    /// Just below, at and above where allocators change their mind.
    Edges,
    /// A few bytes to a few hundred.
    Small,
    /// One shape again and again.
    One(Shape),
    /// A size, its double, and their sum with two headers: what is merged and split fits exactly, or just not.
    Gaps(u32),
    /// Pages, and now and then a MiB.
    Large,
}

/// Which object is freed next.
#[derive(Clone, Copy)]
enum Order {
    LastIn,
    FirstIn,
    Any,
    /// Every other one, and so with gaps between those that stay.
    EveryOther,
}

/// Draws a program of at most `ops` operations; one in twenty takes up to 960 more.
pub(super) fn draw(can: Repertoire, ops: u32, choices: &mut dyn Choices) -> Program {
    let mut drawing = Drawing {
        crowd: can.mutators && choices.chance(1, 3),
        can,
        choices,
        graph: Graph::new(),
        sizes: Sizes::Small,
        order: Order::Any,
        live: Vec::new(),
        turn: 0,
        ops: Vec::new(),
    };
    drawing.sizes = drawing.sizes();
    drawing.order = drawing.order();
    if drawing.choices.chance(1, 20) {
        drawing.table();
    } else {
        drawing.tides(ops as usize);
    }
    Program::new(drawing.ops)
}

struct Drawing<'a> {
    can: Repertoire,
    choices: &'a mut dyn Choices,
    graph: Graph,
    /// Whether mutator 1 takes part.
    crowd: bool,
    sizes: Sizes,
    order: Order,
    /// Roots that hold an object, in the order of their births.
    live: Vec<(MutatorId, Root)>,
    /// How many objects were chosen to be freed.
    turn: usize,
    ops: Vec<Op>,
}

impl Drawing<'_> {
    /// Adds an operation if it means something; says whether it does.
    fn add(&mut self, op: Op) -> bool {
        let allowed = self.graph.allows(&op);
        if allowed {
            self.graph.apply(&op);
            self.ops.push(op);
        }
        allowed
    }

    fn act(&mut self, by: MutatorId, action: Action) -> bool {
        self.add(Op::Mutate { by, action })
    }

    // ---- what is drawn once for a program

    fn sizes(&mut self) -> Sizes {
        match self.choices.weighted(&[6, 4, 5, 3, 1]) {
            0 => Sizes::Edges,
            1 => Sizes::Small,
            2 => {
                self.sizes = if self.choices.chance(1, 3) { Sizes::Edges } else { Sizes::Small };
                Sizes::One(self.shape())
            }
            3 => Sizes::Gaps(16 + 16 * self.choices.below(60)),
            _ => Sizes::Large,
        }
    }

    fn order(&mut self) -> Order {
        [Order::Any, Order::LastIn, Order::FirstIn, Order::EveryOther][self.choices.weighted(&[2, 1, 1, 1])]
    }

    // ---- sixteen roots

    fn tides(&mut self, most: usize) {
        if self.crowd {
            self.act(MutatorId(1), Action::Join);
        }
        let mut rising = true;
        while self.ops.len() < most && !self.choices.dry() {
            if self.choices.chance(1, 14) {
                rising = !rising;
                // Now and then it goes on with other sizes: what the tide leaves has to serve those.
                if self.choices.chance(1, 3) {
                    self.sizes = self.sizes();
                }
            }
            let graph = &self.graph;
            self.live.retain(|(by, root)| graph.root(*by, *root).is_some());
            let some = u32::from(!self.live.is_empty());
            let (alloc, free) = if rising { (12, 3) } else { (3, 12) };
            let weights = [
                alloc,
                some * free,
                some * 4, // free, and ask again
                some * 3, // read
                some * 2, // write
                some * u32::from(self.crowd) * 3,
                u32::from(self.can.stats) * 2,
                u32::from(self.can.faults),
                some, // copy
            ];
            match self.choices.weighted(&weights) {
                0 => _ = self.alloc(),
                1 => _ = self.free(),
                2 => {
                    if let Some((by, into, shape)) = self.free()
                        && self.act(by, Action::Alloc { into, shape })
                    {
                        self.live.push((by, into));
                    }
                }
                3 => _ = self.at_some(Action::Read),
                4 => _ = self.at_some(Action::Write),
                5 => self.hand_over(),
                6 => _ = self.add(Op::Collect(Collect::Stats)),
                7 => {
                    let growth = 1 + self.choices.below(2);
                    self.add(Op::Environment(Environment::Fail(growth)));
                }
                _ => {
                    let into = Root(self.choices.below(u32::from(ROOTS)) as u8);
                    self.at_some(|from| Action::Copy { into, from });
                }
            }
        }
    }

    /// Allocates into an empty root, if there is one.
    fn alloc(&mut self) -> bool {
        let by = MutatorId(if self.crowd { self.choices.below(2) as u8 } else { 0 });
        let Some(into) = self.empty(by) else { return false };
        let shape = self.shape();
        self.live.push((by, into));
        self.act(by, Action::Alloc { into, shape })
    }

    fn empty(&mut self, by: MutatorId) -> Option<Root> {
        let empty: Vec<Root> = (0..ROOTS).map(Root).filter(|root| self.graph.root(by, *root).is_none()).collect();
        (!empty.is_empty()).then(|| empty[self.choices.below(empty.len() as u32) as usize])
    }

    /// Frees the object whose turn it is; says who did, which root is empty now, and what was freed.
    fn free(&mut self) -> Option<(MutatorId, Root, Shape)> {
        let count = self.live.len();
        let index = match self.order {
            Order::LastIn => count.checked_sub(1)?,
            Order::FirstIn => 0,
            Order::Any => self.choices.below(count.max(1) as u32) as usize,
            Order::EveryOther => self.turn % count.max(1),
        };
        // What comes after it moves up, so that one more is the next but one.
        self.turn = index + 1;
        let (by, root) = *self.live.get(index)?;
        self.live.remove(index);
        let shape = self.graph.object(self.graph.root(by, root)?)?.shape;
        self.act(by, Action::Free(root)).then_some((by, root, shape))
    }

    fn at_some(&mut self, action: impl FnOnce(Root) -> Action) -> bool {
        let (by, root) = self.live[self.choices.below(self.live.len() as u32) as usize];
        self.act(by, action(root))
    }

    /// One mutator hands an object to another, which will free it.
    fn hand_over(&mut self) {
        let index = self.choices.below(self.live.len() as u32) as usize;
        let (by, value) = self.live[index];
        let to = MutatorId(1 - by.0);
        let Some(into) = self.empty(to) else { return };
        if self.act(by, Action::Send { value, to, into }) {
            self.act(by, Action::Clear(value));
            self.live[index] = (to, into);
        }
    }

    // ---- hundreds of fields

    /// Fills a table with objects, empties a part of it in some order, fills that with others, and empties all of it.
    fn table(&mut self) {
        let count = 20 + self.choices.below(60);
        let (by, table, hand) = (MutatorId(0), Root(0), Root(1));
        self.act(by, Action::Alloc { into: table, shape: Shape::new(count, 0) });
        let mut full: Vec<u32> = Vec::new();
        let mut empty: Vec<u32> = (0..count).rev().collect();
        for round in 0..2 {
            while let Some(index) = empty.pop() {
                let shape = self.shape();
                self.act(by, Action::Alloc { into: hand, shape });
                let into = Place::Field { of: table, index };
                self.act(by, Action::Store { into, value: Some(hand) });
                self.act(by, Action::Clear(hand));
                full.push(index);
            }
            let keep = if round == 0 { self.choices.below(full.len() as u32) as usize } else { 0 };
            while full.len() > keep {
                let at = match self.order {
                    Order::LastIn => full.len() - 1,
                    Order::FirstIn => 0,
                    Order::Any => self.choices.below(full.len() as u32) as usize,
                    Order::EveryOther => self.turn % full.len(),
                };
                self.turn = at + 1;
                let index = full.remove(at);
                let place = Place::Field { of: table, index };
                self.act(by, Action::Load { into: hand, from: place });
                self.act(by, Action::Store { into: place, value: None });
                self.act(by, Action::Free(hand));
                empty.push(index);
            }
            if self.can.stats {
                self.add(Op::Collect(Collect::Stats));
            }
            if self.choices.chance(1, 2) {
                self.sizes = self.sizes();
            }
        }
    }

    // ---- sizes

    fn shape(&mut self) -> Shape {
        let size = match self.sizes {
            Sizes::One(shape) => return shape,
            Sizes::Small => self.choices.below(400),
            Sizes::Edges => self.edge(),
            Sizes::Gaps(unit) => match self.choices.below(4) {
                0 => 2 * unit,
                1 => 3 * unit + 32,
                2 => 2 * unit + 16,
                _ => unit,
            },
            Sizes::Large => match self.choices.weighted(&[20, 10, 1]) {
                0 => 4096 * (1 + self.choices.below(12)),
                1 => self.choices.below(150_000),
                _ => self.choices.below(2 << 20),
            },
        };
        // One byte in a hundred requests is none at all.
        let size = if self.choices.chance(1, 100) { 0 } else { size };
        let pointers = self.choices.below((size / 8).min(3) + 1);
        let shape = Shape::new(pointers, size - 8 * pointers);
        if !self.can.aligned || !self.choices.chance(1, 4) {
            return shape;
        }
        // A word, two, a cache line, a page; now and then anything.
        match self.choices.weighted(&[2, 6, 4, 2, 3]) {
            0 => shape.aligned(8),
            1 => shape.aligned(16),
            2 => shape.aligned(64),
            3 => shape.aligned(MOST_ALIGNED),
            _ => shape.aligned(1 << self.choices.below(MOST_ALIGNED.ilog2() + 1)),
        }
    }

    fn edge(&mut self) -> u32 {
        let edge = match self.choices.weighted(&[6, 4, 2]) {
            0 => {
                // The lower half of the classes more often than the upper.
                let classes = if self.choices.chance(1, 3) { CLASSES as u32 - 1 } else { 34 };
                let class = 1 + self.choices.below(classes);
                row(class as usize).size as u32
            }
            1 => 1 << (3 + self.choices.weighted(&[4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 2, 2, 1, 1, 1])),
            _ => 4096 * (1 + self.choices.below(6)),
        };
        let header = [0, 8, 16][self.choices.weighted(&[4, 1, 1])];
        (edge + self.choices.below(3)).saturating_sub(1 + header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{
        choices::{Bytes, Seed},
        scenario::Scenario,
    };
    use heaplaw_reference::heap::{Capability, Claims};
    use std::collections::BTreeSet;

    fn programs(count: u64) -> impl Iterator<Item = Program> {
        let can = Repertoire { mutators: true, stats: true, faults: true, aligned: true };
        (0..count).map(move |case| draw(can, 60, &mut Seed::case(1, case)))
    }

    #[test]
    fn every_operation_means_something_and_programs_are_as_short_as_they_say() {
        for program in programs(2_000) {
            let mut graph = Graph::new();
            for op in program.ops() {
                assert!(graph.allows(op), "{op}");
                graph.apply(op);
            }
            assert!(program.len() <= 1_020, "{}", program.len());
        }
        let can = Repertoire { mutators: false, stats: false, faults: false, aligned: false };
        assert!(draw(can, 60, &mut Bytes(&[])).is_empty());
    }

    #[test]
    fn half_of_what_is_born_is_freed_and_much_of_it_asked_for_again() {
        let (mut births, mut frees, mut again) = (0, 0, 0);
        for program in programs(1_000) {
            let verb = |op: &Op| match op {
                Op::Mutate { action: Action::Alloc { .. }, .. } => 'a',
                Op::Mutate { action: Action::Free(_), .. } => 'f',
                _ => ' ',
            };
            let verbs: String = program.ops().iter().map(verb).collect();
            births += verbs.matches('a').count();
            frees += verbs.matches('f').count();
            again += verbs.matches("fa").count();
        }
        assert!(2 * frees > births && 5 * again > frees, "{births} births, {frees} frees, {again} again");
    }

    #[test]
    fn every_edge_is_met_from_both_sides() {
        let mut sizes = BTreeSet::new();
        for program in programs(20_000) {
            let alloc = |op: &Op| match op {
                Op::Mutate { action: Action::Alloc { shape, .. }, .. } => Some(shape.size()),
                _ => None,
            };
            sizes.extend(program.ops().iter().filter_map(alloc));
        }
        for class in 1..CLASSES {
            let edge = row(class).size;
            assert!([edge - 1, edge, edge + 1].iter().all(|size| sizes.contains(size)), "{edge} bytes");
        }
        assert!(sizes.contains(&0) && sizes.last() > Some(&1_000_000));
    }

    #[test]
    fn every_alignment_is_asked_for_of_those_that_claim_it() {
        let aligns = |aligned| -> BTreeSet<u32> {
            let can = Repertoire { mutators: false, stats: false, faults: false, aligned };
            let programs = (0..3_000).map(|case| draw(can, 60, &mut Seed::case(2, case)));
            let align = |op: &Op| match op {
                Op::Mutate { action: Action::Alloc { shape, .. }, .. } => Some(shape.align),
                _ => None,
            };
            programs.flat_map(|program| program.ops().iter().filter_map(align).collect::<Vec<_>>()).collect()
        };
        assert_eq!(aligns(false), BTreeSet::from([0]));
        assert_eq!(aligns(true), [0].into_iter().chain((0..13).map(|power| 1 << power)).collect());
    }

    #[test]
    fn only_allocators_are_asked() {
        let frees = |capabilities: &[Capability]| {
            let scenario = Scenario::suited(&Claims::new("x").with(capabilities), 60);
            let draw = |case| scenario.draw(&mut Seed::case(4, case));
            (0..200).map(draw).any(|program| program.ops().iter().any(|op| op.to_string().contains(" free ")))
        };
        assert!(frees(&[Capability::Free]) && !frees(&[Capability::Stats]));
    }
}
