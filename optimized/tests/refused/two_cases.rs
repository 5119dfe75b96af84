//! An object has the same fields all its life.
use heaplaw_optimized::typed::{Data, Object};

#[derive(Object)]
enum Shape { // bad, refused: - is no struct
struct Shape { // instead
    Round { size: Data<u8> }, // bad
    size: Data<u8>, // instead
}

fn main() {
    println!("{}", size_of_val(&Shape::SIZE)); // instead
}
