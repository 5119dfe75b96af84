//! Objects are never dropped, so a struct that says how is not what it seems.
use heaplaw_optimized::typed::{Data, Link, Object};

#[derive(Object)] // refused: E0119 ObjectsAreNeverDropped` for type `Pair<_>`
struct Pair<T: Object> {
    other: Link<T>,
    value: Data<u64>,
}

impl<T: Object> Drop for Pair<T> { // bad
impl<T: Object> Pair<T> { // instead
    fn drop(&mut self) {}
}

#[derive(Object)]
struct Leaf;

fn main() {
    println!("{}", size_of_val(&Pair::<Leaf>::OTHER) + size_of_val(&Pair::<Leaf>::VALUE));
    println!("{}", size_of_val(&Pair::<Leaf>::drop) + size_of_val(&Leaf)); // instead
}
