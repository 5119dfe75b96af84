//! A root holds objects of its type.
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
        node.set(session, other.get(session)); // bad, refused: E0308 mismatched types
        node.set(session, node.get(session)); // instead
        println!("{:?} {:?}", node.get(session).at(Node::VALUE), node.get(session).at(Node::NEXT));
        println!("{:?}", other.get(session).at(Other::NODE));
    });
}
