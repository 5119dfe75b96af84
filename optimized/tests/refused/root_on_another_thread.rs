//! A root stays on its thread.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    let heap = Heap::new(Config::DEFAULT).unwrap();
    let global = heap.global::<Node>().unwrap();
    heap.session(|session| {
        let root = session.alloc::<Node>().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(root)); // bad, refused: E0277 between threads safely
            global.set(session, root.get(session)).unwrap(); // instead
            scope.spawn(|| drop(global)); // instead
        });
    });
}
