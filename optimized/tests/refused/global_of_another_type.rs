//! A global holds objects of the type that it was made with.
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
    let heap = Heap::new(Config::DEFAULT).unwrap();
    let global = heap.global::<Other>().unwrap(); // bad
    let global = heap.global::<Node>().unwrap(); // instead
    heap.session(|session| {
        let root = session.alloc::<Node>().unwrap();
        global.set(session, root.get(session)).unwrap(); // refused: E0277 the trait bound
        println!("{:?} {:?}", root.get(session).at(Node::NEXT), root.get(session).at(Node::VALUE));
        println!("{:?}", session.alloc::<Other>().unwrap().get(session).at(Other::NODE));
    });
}
