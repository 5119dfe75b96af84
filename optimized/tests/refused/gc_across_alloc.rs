//! An object at hand ends when something is allocated.
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
        node.at(Node::VALUE).set(session, 1);
        let other = session.alloc::<Node>().unwrap(); // refused: E0502 cannot borrow
        let node = root.get(session); // instead
        node.at(Node::NEXT).set(session, other.get(session));
    });
}
