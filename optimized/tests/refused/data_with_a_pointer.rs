//! Data holds no pointers.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: Data<Box<u8>>, // bad, refused: E0277 `Box<u8>` is no plain data
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
