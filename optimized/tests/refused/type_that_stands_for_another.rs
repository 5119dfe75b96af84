//! A type that could stand for another, as a function of any reference for one of some, may list other fields than it.
use heaplaw_optimized::typed::{Data, Gc, Link, Object, layout::{And, End}};

struct Of<F>(F);
type Any = Of<for<'a> fn(&'a u8)>;
type Some = Of<fn(&'static u8)>;

impl Object for Any {
    type Fields = And<Data<u64>, End>;
}
impl Object for Some {
    type Fields = And<Link<Any>, End>;
}

fn other(gc: Gc<'_, Any>) -> Gc<'_, Some> { // bad
fn other(gc: Gc<'_, Any>) -> Gc<'_, Any> { // instead
    gc // refused: E0308 mismatched types
}

fn main() {
    println!("{}", size_of_val(&other) + size_of::<Of<u8>>());
    let _ = Of(1).0;
}
