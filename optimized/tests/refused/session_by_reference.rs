//! What allocates needs the session to itself.
use heaplaw_optimized::{Config, typed::{Data, Heap, Link, Object}};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    value: Data<u64>,
}

fn grow(
    session: &heaplaw_optimized::typed::Session<'_>, // bad
    session: &mut heaplaw_optimized::typed::Session<'_>, // instead
) {
    session.alloc::<Node>().unwrap(); // refused: E0596 cannot borrow
    println!("{} {}", size_of_val(&Node::NEXT), size_of_val(&Node::VALUE));
}

fn main() {
    Heap::new(Config::DEFAULT).unwrap().session(|session| grow(session));
}
