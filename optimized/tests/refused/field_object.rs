//! No object is inside another.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: Leaf, // bad, refused: E0277 `Leaf` cannot be a field of an object on a heap
    name: Data<u8>, // instead
}

#[derive(Object)]
struct Leaf;

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
