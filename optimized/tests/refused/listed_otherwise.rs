//! By hand, a field is what the list says.
use heaplaw_optimized::typed::{At, Data, Link, Object, layout::{And, End, First, Next}};

struct Node {
    next: Link<Node>,
    value: Data<usize>,
}

impl Object for Node {
    type Fields = And<Link<Node>, And<Data<usize>, End>>;
}

const NEXT: At<Node, Link<Node>> = At::nth::<First>(|node| &node.next);
const VALUE: At<Node, Data<usize>> = At::nth::<First>(|node| &node.value); // bad, refused: E0271 type mismatch
const VALUE: At<Node, Data<usize>> = At::nth::<Next<First>>(|node| &node.value); // instead

fn main() {
    println!("{}", size_of_val(&NEXT) + size_of_val(&VALUE));
}
