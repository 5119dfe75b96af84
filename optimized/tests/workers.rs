//! However many collect, the same is freed: while mutators rest, the objects that a cycle frees are those that cannot be
//! reached, of graphs of all kinds.

use heaplaw_optimized::{Address, Barrier, Config, Event, Heap, Listener, Mutator, Place, Root};
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex},
};

/// Takes down what is freed.
#[derive(Clone, Default)]
struct Freed(Arc<Mutex<Vec<Address>>>);

impl Listener for Freed {
    fn on(&self, event: Event) {
        if let Event::Free(at) = event {
            self.0.lock().unwrap().push(at);
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// A graph that is grown by chance, and what is known of it without asking the heap.
struct Graph {
    heap: Heap<Freed>,
    freed: Freed,
    mutator: Mutator<Freed>,
    roots: Vec<Root>,
    /// By birth number: where its fields lead to. Those that are not there any more are `None`.
    fields: Vec<Option<Vec<Option<usize>>>>,
    held: Vec<Option<usize>>,
    at: HashMap<Address, usize>,
}

impl Graph {
    fn new(config: Config) -> Graph {
        let freed = Freed::default();
        let heap = Heap::with_listener(config, freed.clone()).unwrap();
        let mut mutator = heap.join();
        let roots: Vec<_> = (0..32).map(|_| mutator.root()).collect();
        let held = vec![None; roots.len()];
        Graph { heap, freed, mutator, roots, fields: Vec::new(), held, at: HashMap::new() }
    }

    /// A new object in a root, of this many pointers.
    fn alloc(&mut self, root: usize, pointers: usize, bytes: usize) {
        let object = self.mutator.alloc(&self.roots[root], pointers, bytes).unwrap();
        self.at.insert(object.address, self.fields.len());
        self.held[root] = Some(self.fields.len());
        self.fields.push(Some(vec![None; pointers]));
    }

    /// Something that is done to it by chance.
    fn step(&mut self, dice: &mut Dice) {
        let [a, b] = [dice.below(self.roots.len()), dice.below(self.roots.len())];
        match dice.below(8) {
            0 | 1 => self.alloc(a, dice.below(4), dice.below(40)),
            2 if dice.below(200) == 0 => self.alloc(a, 17_000, 0),
            2 if dice.below(20) == 0 && a != b => {
                // So many wait at once that they are shared out.
                self.alloc(a, 600, 0);
                for index in 0..600 {
                    self.alloc(b, 2, 0);
                    self.mutator.store(Place::Field(&self.roots[a], index), Some(&self.roots[b])).unwrap();
                    let hub = self.held[a].expect("it was just born");
                    self.fields[hub].as_mut().expect("it is held")[index] = self.held[b];
                }
            }
            3 => {
                self.mutator.copy(&self.roots[a], &self.roots[b]).unwrap();
                self.held[a] = self.held[b];
            }
            4 if dice.below(4) == 0 => {
                self.mutator.clear(&self.roots[a]).unwrap();
                self.held[a] = None;
            }
            choice => {
                let Some(object) = self.held[a] else { return };
                let fields = self.fields[object].as_mut().expect("it is held");
                if fields.is_empty() {
                    return;
                }
                let (index, value) = (dice.below(fields.len()), dice.below(8) > 0);
                let place = Place::Field(&self.roots[a], index);
                if choice == 5 {
                    self.mutator.load(&self.roots[b], place).unwrap();
                    self.held[b] = fields[index];
                } else {
                    self.mutator.store(place, value.then_some(&self.roots[b])).unwrap();
                    fields[index] = if value { self.held[b] } else { None };
                }
            }
        }
    }

    /// What is there and cannot be reached.
    fn garbage(&self) -> BTreeSet<usize> {
        let mut open: Vec<usize> = self.held.iter().flatten().copied().collect();
        let mut reached: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(object) = open.pop() {
            let fields = self.fields[object].as_ref().expect("what is reached is there");
            open.extend(fields.iter().flatten().filter(|to| reached.insert(**to)));
        }
        (0..self.fields.len()).filter(|at| self.fields[*at].is_some() && !reached.contains(at)).collect()
    }

    /// Collects; gives what was freed, by birth number.
    fn collect(&mut self) -> BTreeSet<usize> {
        self.heap.collect();
        let freed = mem::take(&mut *self.freed.0.lock().unwrap());
        let count = freed.len();
        let gone: BTreeSet<usize> = freed.iter().map(|at| self.at.remove(at).expect("it was there")).collect();
        assert_eq!(gone.len(), count, "each once");
        gone.iter().for_each(|object| self.fields[*object] = None);
        gone
    }
}

#[test]
fn what_a_cycle_frees_does_not_depend_on_how_many_collect() {
    let (mut cycles, mut most) = (0, 0);
    for barrier in [Barrier::Hybrid, Barrier::Insertion, Barrier::Deletion] {
        for seed in 0..6 {
            let mut told: Vec<Vec<BTreeSet<usize>>> = Vec::new();
            for workers in [0, 1, 2, 4] {
                let mut dice = Dice(seed);
                // So small that no cycle begins before it is asked for.
                let mut graph = Graph::new(Config { reservation: 64 << 20, workers, barrier, ..Config::default() });
                let mut frees = Vec::new();
                for _ in 0..6 {
                    (0..4_000).for_each(|_| graph.step(&mut dice));
                    let garbage = graph.garbage();
                    let freed = graph.collect();
                    assert_eq!(freed, garbage, "seed {seed}, {workers} workers, {barrier:?}");
                    (cycles, most) = (cycles + 1, most.max(freed.len()));
                    frees.push(freed);
                }
                graph.heap.verify().unwrap();
                told.push(frees);
            }
            assert!(told.windows(2).all(|two| two[0] == two[1]), "seed {seed}");
        }
    }
    assert!(cycles == 432 && most > 500, "{cycles} cycles, {most} objects at most");
}
