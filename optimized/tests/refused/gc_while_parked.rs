//! Who is parked has no object at hand.
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
        session.park(|| println!("{node:?}")); // bad, refused: E0502 cannot borrow
        session.park(|| println!("{root:?}")); // instead
    });
}
