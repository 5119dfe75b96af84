//! A field of an object at hand ends with it.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        let value = root.get(session).at(Node::VALUE);
        session.collect(); // refused: E0502 cannot borrow
        let value = root.get(session).at(Node::VALUE); // instead
        value.set(session, 1);
    });
}
