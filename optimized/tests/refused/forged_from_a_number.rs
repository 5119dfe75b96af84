//! No number becomes an object.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        let number = root.get(session).address().get();
        let node = heaplaw_optimized::typed::Gc::<Node>::new(number).unwrap(); // bad, refused: E0624 private
        let node = root.get(session); // instead
        println!("{} {:?} {:?}", number, node.at(Node::VALUE), node.at(Node::NEXT));
    });
}
