//! No object at hand is put together by hand.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        let at = root.get(session).address();
        let node = heaplaw_optimized::typed::Gc::<Node> { at, ..root.get(session) }; // bad, refused: E0451 private
        let node = root.get(session); // instead
        println!("{:?} {:?} {:?}", at, node.at(Node::VALUE), node.at(Node::NEXT));
    });
}
