//! No number is stored in a link.
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
        node.at(Node::NEXT).set(session, node.address().get()); // bad, refused: E0277 the trait bound
        node.at(Node::NEXT).set(session, node); // instead
        node.at(Node::VALUE).set(session, 7);
    });
}
