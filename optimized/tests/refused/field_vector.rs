//! No links are where the collector does not look for them.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)]
struct Node {
    next: Link<Node>,
    name: Vec<Link<Node>>, // bad, refused: E0277 `Vec<Link<Node>>` cannot be a field of an object on a heap
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT) + size_of_val(&Node::NAME)); // instead
}
