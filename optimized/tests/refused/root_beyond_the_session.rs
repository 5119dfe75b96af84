//! No root outlives the session.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn main() {
    let mut kept = None;
    Heap::new(Config::DEFAULT).unwrap().session(|session| {
        let root = session.alloc::<Node>().unwrap();
        kept = Some(root); // bad, refused: E0521 borrowed data escapes
        kept = Some(root.get(session).address()); // instead
    });
    println!("{kept:?}");
}
