//! No field owns memory that somebody would have to free.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: Box<u8>, // bad, refused: E0277 `Box<u8>` cannot be a field of an object on a heap
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
