//! What a weak pointer finds is at hand like any other object.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        let weak = session.weak(root.get(session));
        let node = weak.upgrade(session).unwrap().unwrap(); // bad
        let node = session.root(weak.upgrade(session).unwrap().unwrap()); // instead
        session.alloc_into(&root).unwrap(); // refused: E0502 cannot borrow
        node.at(Node::VALUE).set(session, 1); // bad
        node.get(session).at(Node::VALUE).set(session, 1); // instead
    });
}
