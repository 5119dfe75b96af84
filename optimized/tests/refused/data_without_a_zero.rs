//! Data may be zero: objects are born so.
use heaplaw_optimized::typed::{Data, Object};

#[derive(Object)]
struct Node {
    name: Data<std::num::NonZero<u8>>, // bad, refused: E0277 `NonZero<u8>` is no plain data
    name: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Node::NAME)); // instead
}
