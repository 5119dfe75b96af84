//! What is due is at hand like any other object.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let due = session.finalized();
        let due = due.and_then(|due| Some(session.root(due.of::<Node>()?))); // instead
        session.alloc::<Node>().unwrap(); // refused: E0502 cannot borrow
        drop(due);
    });
}
