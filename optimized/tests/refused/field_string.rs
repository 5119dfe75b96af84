//! No field owns memory that somebody would have to free, whatever it is called.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: String, // bad, refused: E0277 `String` cannot be a field of an object on a heap
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
