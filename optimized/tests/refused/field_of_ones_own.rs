//! What a field can be is settled.
use heaplaw_optimized::typed::{Field, Link, Object, layout::{And, End}};

struct Mine;

impl Field for Mine { // bad, refused: E0277 Field
trait Mines { // instead
    const LINKS: usize = 0;
    const WORDS: usize = 1;
}
impl Mines for Mine {} // instead

struct Node {
    next: Link<Node>,
}

impl Object for Node {
    type Fields = And<Link<Node>, End>;
}

fn of(node: &Node) -> &impl Field {
    &node.next
}

fn main() {
    println!("{}", size_of_val(&of) + size_of_val(&Mine)); // instead
}
