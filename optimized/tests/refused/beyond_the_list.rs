//! By hand, there are as many fields as the list says.
use heaplaw_optimized::typed::{At, Data, Object, layout::{And, End, First, Next}};

struct Node {
    value: Data<u64>,
}

impl Object for Node {
    type Fields = And<Data<u64>, End>;
}

const VALUE: At<Node, Data<u64>> = At::nth::<Next<First>>(|node| &node.value); // bad, refused: E0277 has no field of this number
const VALUE: At<Node, Data<u64>> = At::nth::<First>(|node| &node.value); // instead

fn main() {
    println!("{}", size_of_val(&VALUE) + size_of::<Next<First>>());
}
