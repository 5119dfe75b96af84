//! An object holds no borrows.
use heaplaw_optimized::typed::{Data, Object};

#[derive(Object)]
struct View<'a> { // bad, refused: - has the lifetime
struct View { // instead
    of: Data<u8>,
    text: std::marker::PhantomData<&'a str>, // bad
}

fn main() {
    println!("{}", size_of_val(&View::OF)); // instead
}
