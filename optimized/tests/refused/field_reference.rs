//! No field borrows.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: &'static u8, // bad, refused: E0277 `&'static u8` cannot be a field of an object on a heap
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
