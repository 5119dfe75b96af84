//! A root fits the session that it is of, and no other.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    let heap = Heap::new(Config::DEFAULT).unwrap();
    heap.session(|session| {
        let root = session.alloc::<Node>().unwrap();
        session.park(|| {
            heap.session(|inner| {
                let root = inner.alloc::<Node>().unwrap(); // instead
                root.get(inner).at(Node::VALUE).set(inner, 1); // refused: E0521 borrowed data escapes
            });
        });
        drop(root);
    });
}
