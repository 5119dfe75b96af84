//! An object has the fields of its type.
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
        println!("{:?}", node.get(session).at(Other::NODE)); // bad, refused: E0308 mismatched types
        println!("{:?}", node.get(session).at(Node::NEXT).get(session)); // instead
        println!("{:?}", node.get(session).at(Node::VALUE).get(session));
        println!("{:?}", other.get(session).at(Other::NODE).get(session));
    });
}
