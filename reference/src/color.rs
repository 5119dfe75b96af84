//! Colours: how far a marking collector has come, and when that is safe.
//!
//! Since Dijkstra's on-the-fly collector every object is thought of as white, grey or black:
//!
//! ```text
//!   white ──── shade ───▶ grey ──── scan ───▶ black
//!   not found yet         found, its fields   found, and so are
//!                         not yet looked at   all its referents
//! ```
//!
//! Colours only ever move to the right. When nothing is grey, whatever is still white is garbage and can be freed:
//! provided that no mutator has meanwhile hidden a white object behind something black, where the collector never looks
//! again. To lose an object, two things have to come together (Wilson 1992): something black comes to refer to it,
//! *and* every path on which something grey would have led to it is cut. A safe collector forbids one of the two, and
//! says so as an invariant over every single state:
//!
//! * [`strong`] forbids the first: nothing black refers to anything white.
//! * [`weak`] forbids the second: a white object that something black refers to is **grey-protected**, that is, some
//!   grey thing reaches it over white objects only.
//! * [`modified_weak`] wants the grey protector in the heap (or among the globals). A grey stack is not enough: its owner
//!   can drop a root without any barrier. This is what Go's hybrid barrier keeps (proposal 17503).
//!
//! ```text
//!       strong: no such edge          weak: allowed, as long as        modified: a stack
//!                                     the dotted path is there         does not protect
//!       ●──────────▶○                 ●──────────▶○ ◀┄┄┄┄◍             ●──────▶○ ◀┄┄ stack ◍
//!     black       white             black       white   grey          black  white
//! ```
//!
//! Only what a mutator can reach is judged: a black object that is garbage may refer to anything.
//!
//! This chapter grounds laws 52 to 55.

use crate::{
    graph::Graph,
    object::{ObjectId, ObjectSet},
    op::{MUTATORS, MutatorId},
};
use alloc::vec::Vec;
use core::fmt;

/// White, grey or black.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Color {
    /// Not found in this cycle.
    #[default]
    White,
    /// Found, but its fields have not been looked at.
    Grey,
    /// Found, and everything it refers to has been found. Not looked at again in this cycle.
    Black,
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Color::White => "white",
            Color::Grey => "grey",
            Color::Black => "black",
        })
    }
}

/// The colour of every object, every stack and the globals at one moment of marking. Stacks and globals are never
/// white: they are known, and wait to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coloring {
    // By birth number; `None`: not allocated (not yet born, refused, or freed).
    objects: Vec<Option<Color>>,
    stacks: [Color; MUTATORS as usize],
    globals: Color,
}

impl Default for Coloring {
    fn default() -> Self {
        Coloring::new()
    }
}

impl Coloring {
    /// No object yet; stacks and globals grey.
    pub fn new() -> Self {
        Coloring { objects: Vec::new(), stacks: [Color::Grey; MUTATORS as usize], globals: Color::Grey }
    }

    /// The start of a cycle: every allocated object turns white, stacks and globals turn grey.
    pub fn bleach(&mut self) {
        for color in self.objects.iter_mut().flatten() {
            *color = Color::White;
        }
        self.stacks = [Color::Grey; MUTATORS as usize];
        self.globals = Color::Grey;
    }

    /// An object's colour, if it is allocated.
    pub fn object(&self, id: ObjectId) -> Option<Color> {
        self.objects.get(id.index()).copied().flatten()
    }

    /// Gives an object a colour; `None` when it is freed.
    pub fn set_object(&mut self, id: ObjectId, color: Option<Color>) {
        if self.objects.len() <= id.index() {
            self.objects.resize(id.index() + 1, None);
        }
        self.objects[id.index()] = color;
    }

    /// A stack's colour.
    pub fn stack(&self, mutator: MutatorId) -> Color {
        self.stacks[usize::from(mutator.0)]
    }

    /// Gives a stack a colour.
    pub fn set_stack(&mut self, mutator: MutatorId, color: Color) {
        self.stacks[usize::from(mutator.0)] = color;
    }

    /// The colour of the globals.
    pub fn globals(&self) -> Color {
        self.globals
    }

    /// Gives the globals a colour.
    pub fn set_globals(&mut self, color: Color) {
        self.globals = color;
    }

    fn is_white(&self, id: ObjectId) -> bool {
        self.object(id) == Some(Color::White)
    }
}

/// Where an edge starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field of an object.
    Field(ObjectId, u32),
    /// A root of a mutator.
    Root(MutatorId, u8),
    /// A global.
    Global(u8),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Field(object, index) => write!(f, "{object}.{index}"),
            Source::Root(mutator, root) => write!(f, "root r{root} of mutator {mutator}"),
            Source::Global(number) => write!(f, "global g{number}"),
        }
    }
}

/// What a white object lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing would have been enough: the edge itself is forbidden.
    Nothing,
    /// Nothing grey reaches it over white objects.
    GreyProtector,
    /// Nothing grey in the heap or the globals reaches it over white objects; this grey stack does, but a stack can be
    /// changed without a barrier.
    GreyProtectorInHeap {
        /// The mutator whose stack reaches it.
        only: MutatorId,
    },
}

/// An edge that breaks an invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Where the edge starts: something black.
    pub from: Source,
    /// The white object that it ends in.
    pub to: ObjectId,
    /// What is missing.
    pub missing: Missing,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offence { from, to, missing } = self;
        write!(f, "{from} is black and holds {to}, which is white")?;
        match missing {
            Missing::Nothing => Ok(()),
            Missing::GreyProtector => write!(f, " and has no grey protector"),
            Missing::GreyProtectorInHeap { only } => {
                write!(f, " and is protected only by the grey stack of mutator {only}")
            }
        }
    }
}

/// The strong tri-colour invariant: no black object and no black global refers to a white object. Stacks are excepted,
/// since an insertion barrier does not watch them: it scans them again at the end instead.
///
/// # Errors
/// The first edge that breaks it.
pub fn strong(graph: &Graph, colors: &Coloring) -> Result<(), Offence> {
    let stray = black_edges(graph, colors, &graph.reachable())
        .find(|(from, to)| colors.is_white(*to) && !matches!(from, Source::Root(..)));
    stray.map_or(Ok(()), |(from, to)| Err(Offence { from, to, missing: Missing::Nothing }))
}

/// The weak tri-colour invariant: every white object that something black refers to (an object, a global or a stack) is
/// reached from something grey over white objects only.
///
/// # Errors
/// The first edge that breaks it.
pub fn weak(graph: &Graph, colors: &Coloring) -> Result<(), Offence> {
    let protected = protected(graph, colors, true);
    unprotected(graph, colors, &protected)
        .map_or(Ok(()), |(from, to)| Err(Offence { from, to, missing: Missing::GreyProtector }))
}

/// The modified weak invariant: as [`weak`], and what is grey is in the heap or the globals.
///
/// # Errors
/// The first edge that breaks it.
pub fn modified_weak(graph: &Graph, colors: &Coloring) -> Result<(), Offence> {
    let protected = protected(graph, colors, false);
    let Some((from, to)) = unprotected(graph, colors, &protected) else { return Ok(()) };
    let only = graph
        .stacks()
        .filter(|(mutator, _)| colors.stack(*mutator) == Color::Grey)
        .find(|(_, stack)| spread(graph, colors, stack.roots.iter().flatten().copied()).contains(to));
    let missing = match only {
        Some((only, _)) => Missing::GreyProtectorInHeap { only },
        None => Missing::GreyProtector,
    };
    Err(Offence { from, to, missing })
}

/// Every edge out of something black that a mutator can reach.
fn black_edges<'g>(
    graph: &'g Graph,
    colors: &'g Coloring,
    reachable: &'g ObjectSet,
) -> impl Iterator<Item = (Source, ObjectId)> + 'g {
    let stacks =
        graph.stacks().filter(|(mutator, _)| colors.stack(*mutator) == Color::Black).flat_map(|(mutator, stack)| {
            (0..).zip(&stack.roots).filter_map(move |(at, root)| Some((Source::Root(mutator, at), (*root)?)))
        });
    let globals = (0..)
        .zip(graph.globals())
        .filter(|_| colors.globals() == Color::Black)
        .filter_map(|(number, global)| Some((Source::Global(number), (*global)?)));
    let fields = reachable.iter().filter(|id| colors.object(*id) == Some(Color::Black)).flat_map(move |id| {
        let object = graph.object(id).into_iter();
        object.flat_map(move |object| object.fields.iter().map(move |(at, to)| (Source::Field(id, at), to)))
    });
    fields.chain(globals).chain(stacks)
}

/// The first edge from something black to a white object outside `protected`.
fn unprotected(graph: &Graph, colors: &Coloring, protected: &ObjectSet) -> Option<(Source, ObjectId)> {
    black_edges(graph, colors, &graph.reachable()).find(|(_, to)| colors.is_white(*to) && !protected.contains(*to))
}

/// The white objects that something grey reaches over white objects only.
fn protected(graph: &Graph, colors: &Coloring, by_stacks: bool) -> ObjectSet {
    let fields = (0..graph.births())
        .map(ObjectId)
        .filter(|id| colors.object(*id) == Some(Color::Grey))
        .filter_map(|id| graph.object(id))
        .flat_map(|object| object.fields.iter().map(|(_, to)| to));
    let globals = graph.globals().iter().filter(|_| colors.globals() == Color::Grey).flatten().copied();
    let stacks = graph
        .stacks()
        .filter(|(mutator, _)| by_stacks && colors.stack(*mutator) == Color::Grey)
        .flat_map(|(_, stack)| stack.roots.iter().flatten().copied());
    spread(graph, colors, fields.chain(globals).chain(stacks))
}

/// The white objects among `from`, and those reached from them over white objects only.
fn spread(graph: &Graph, colors: &Coloring, from: impl Iterator<Item = ObjectId>) -> ObjectSet {
    let mut found = ObjectSet::new();
    let mut open: Vec<ObjectId> = from.filter(|id| colors.is_white(*id) && found.insert(*id)).collect();
    while let Some(id) = open.pop() {
        if let Some(object) = graph.object(id) {
            open.extend(object.fields.iter().map(|(_, to)| to).filter(|to| colors.is_white(*to) && found.insert(*to)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Program;

    const A: ObjectId = ObjectId(0);
    const B: ObjectId = ObjectId(1);
    const C: ObjectId = ObjectId(2);

    /// `a.0 -> b`, `c.0 -> b`, and only `a` and `c` are held, by `r0` and `r2`; the stack of mutator 0 is grey.
    fn fork() -> (Graph, Coloring) {
        let text = "0 alloc r0 1\n0 alloc r1 1\n0 alloc r2 1\n0 store r0.0 r1\n0 store r2.0 r1\n0 clear r1\n";
        let mut graph = Graph::new();
        for op in text.parse::<Program>().unwrap().ops() {
            graph.apply(op);
        }
        let mut colors = Coloring::new();
        for (id, color) in [(A, Color::Black), (B, Color::White), (C, Color::Grey)] {
            colors.set_object(id, Some(color));
        }
        (graph, colors)
    }

    #[test]
    fn black_to_white_breaks_only_the_strong_invariant_while_something_grey_protects() {
        let (graph, colors) = fork();
        let offence = strong(&graph, &colors).unwrap_err();
        assert_eq!(offence, Offence { from: Source::Field(A, 0), to: B, missing: Missing::Nothing });
        assert_eq!(weak(&graph, &colors), Ok(()));
        assert_eq!(modified_weak(&graph, &colors), Ok(()));
    }

    #[test]
    fn a_cut_path_breaks_the_weak_invariant() {
        let (mut graph, colors) = fork();
        graph.apply(&"0 store r2.0 nil".parse().unwrap());
        let offence = weak(&graph, &colors).unwrap_err();
        assert_eq!((offence.from, offence.missing), (Source::Field(A, 0), Missing::GreyProtector));
    }

    #[test]
    fn a_grey_stack_protects_weakly_only() {
        let (mut graph, colors) = fork();
        graph.apply(&"0 load r1 r0.0".parse().unwrap());
        graph.apply(&"0 store r2.0 nil".parse().unwrap());
        assert_eq!(weak(&graph, &colors), Ok(()));
        let offence = modified_weak(&graph, &colors).unwrap_err();
        assert_eq!(offence.missing, Missing::GreyProtectorInHeap { only: MutatorId(0) });
    }

    #[test]
    fn a_protecting_path_may_not_lead_over_black() {
        let (graph, mut colors) = fork();
        // The globals are grey and lead to a, but a is black: nobody will look through it.
        colors.set_object(C, Some(Color::Black));
        colors.set_stack(MutatorId(0), Color::Black);
        assert!(weak(&graph, &colors).is_err());
    }

    #[test]
    fn black_stacks_and_globals_count_as_black() {
        let (mut graph, mut colors) = fork();
        graph.apply(&"0 store g1 r0".parse().unwrap());
        colors.set_object(A, Some(Color::White));
        assert_eq!(weak(&graph, &colors), Ok(()), "the grey globals protect a");
        colors.set_globals(Color::Black);
        assert_eq!(weak(&graph, &colors), Ok(()), "the grey stack protects a");
        assert_eq!(modified_weak(&graph, &colors).unwrap_err().from, Source::Global(1));
        assert_eq!(strong(&graph, &colors).unwrap_err().from, Source::Global(1));
        colors.set_stack(MutatorId(0), Color::Black);
        graph.apply(&"0 store g1 nil".parse().unwrap());
        assert_eq!(weak(&graph, &colors).unwrap_err().from, Source::Root(MutatorId(0), 0));
        assert_eq!(strong(&graph, &colors), Ok(()), "stacks are excepted");
    }

    #[test]
    fn what_is_garbage_may_refer_to_anything() {
        let (mut graph, colors) = fork();
        graph.apply(&"0 store r2.0 nil".parse().unwrap());
        graph.apply(&"0 clear r0".parse().unwrap());
        assert_eq!(strong(&graph, &colors), Ok(()));
        assert_eq!(weak(&graph, &colors), Ok(()));
    }

    #[test]
    fn an_offence_is_told_with_its_edge_and_what_is_missing() {
        let to = B;
        let told = |from, missing| alloc::format!("{}", Offence { from, to, missing });
        assert_eq!(told(Source::Field(A, 3), Missing::Nothing), "a.3 is black and holds b, which is white");
        assert_eq!(
            told(Source::Root(MutatorId(2), 7), Missing::GreyProtector),
            "root r7 of mutator 2 is black and holds b, which is white and has no grey protector"
        );
        assert_eq!(
            told(Source::Global(1), Missing::GreyProtectorInHeap { only: MutatorId(3) }),
            "global g1 is black and holds b, which is white and is protected only by the grey stack of mutator 3"
        );
    }

    #[test]
    fn a_cycle_begins_with_white_objects_and_grey_roots() {
        let (_, mut colors) = fork();
        colors.set_object(A, Some(Color::Black));
        colors.set_object(B, None);
        colors.set_stack(MutatorId(1), Color::Black);
        colors.set_globals(Color::Black);
        colors.bleach();
        assert_eq!([A, B].map(|id| colors.object(id)), [Some(Color::White), None]);
        assert_eq!((colors.stack(MutatorId(1)), colors.globals()), (Color::Grey, Color::Grey));
        let names = [Color::White, Color::Grey, Color::Black].map(|color| alloc::format!("{color:>6}"));
        assert_eq!(names, [" white", "  grey", " black"]);
    }

    #[test]
    fn protection_leads_over_white_objects_only() {
        // a -> b -> c, and a back to itself: a is grey, b is black, c is white and held by something black.
        let text = "0 alloc r0 2\n0 alloc r1 1\n0 alloc r2 1\n0 store r0.0 r1\n0 store r0.1 r0\n0 store r1.0 r2\n";
        let mut graph = Graph::new();
        for op in text.parse::<Program>().unwrap().ops() {
            graph.apply(op);
        }
        let mut colors = Coloring::new();
        for (id, color) in [(A, Color::Grey), (B, Color::Black), (C, Color::White)] {
            colors.set_object(id, Some(color));
        }
        colors.set_stack(MutatorId(0), Color::Black);
        colors.set_globals(Color::Black);
        assert!(protected(&graph, &colors, true).is_empty());
        colors.set_object(B, Some(Color::White));
        assert_eq!(protected(&graph, &colors, true), [B, C].into_iter().collect());
    }
}
