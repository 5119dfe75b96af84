//! A link leads to what can be on a heap.
use heaplaw_optimized::typed::{Link, Object};

#[derive(Object)]
struct Node {
    next: Link<String>, // bad, refused: E0277 `String` is no type of objects on a heap
    next: Link<Node>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NEXT)); // instead
}
