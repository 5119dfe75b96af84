//! A parameter has to say that it is a type of objects.
use heaplaw_optimized::typed::{Link, Object};

#[derive(Object)]
struct Pair<
    T: 'static, // bad
    T: Object, // instead
> {
    other: Link<T>, // refused: E0277 `T` is no type of objects on a heap
}

#[derive(Object)]
struct Leaf;

fn main() {
    println!("{}", size_of_val(&Pair::<Leaf>::OTHER) + size_of_val(&Leaf)); // instead
}
