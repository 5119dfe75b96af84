//! A session is used by one thread.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    let heap = Heap::new(Config::DEFAULT).unwrap();
    heap.session(|session| {
        std::thread::scope(|scope| {
            scope.spawn(|| _ = session.alloc::<Node>()); // bad, refused: E0277 between threads safely
            scope.spawn(|| heap.session(|session| _ = session.alloc::<Node>())); // instead
            session.safepoint();
        });
    });
}
