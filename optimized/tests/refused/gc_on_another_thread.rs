//! An object at hand stays on its thread; what is to be shared goes through a global or a weak pointer.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        let node = root.get(session);
        std::thread::scope(|scope| {
            scope.spawn(move || println!("{node:?}")); // bad, refused: E0277 between threads safely
            let weak = session.weak(node); // instead
            scope.spawn(move || println!("{weak:?}")); // instead
        });
    });
}
