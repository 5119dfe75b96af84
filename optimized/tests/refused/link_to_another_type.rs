//! A link leads to objects of its type.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

#[derive(Object)]
struct Other {
    node: Link<Node>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let (node, other) = (session.alloc::<Node>().unwrap(), session.alloc::<Other>().unwrap());
        node.get(session).at(Node::NEXT).set(session, other.get(session)); // bad, refused: E0277 the trait bound
        other.get(session).at(Other::NODE).set(session, node.get(session)); // instead
        node.get(session).at(Node::VALUE).set(session, 1);
    });
}
