//! Data are not looked at: an address that is stored as data keeps nothing alive, and is not followed.

use heaplaw_optimized::{Config, Heap};

/// The address of an object, as a program would have it.
fn address(heap: &Heap, mutator: &heaplaw_optimized::Mutator, root: &heaplaw_optimized::Root) -> [u8; 8] {
    let object = mutator.inspect(root).expect("the root is this mutator's").expect("it holds an object");
    assert!(heap.stats().objects > 0);
    (object.address.get() as u64).to_ne_bytes()
}

#[test]
fn an_address_in_data_keeps_nothing_alive() {
    // A pointer-free object, and the data behind the fields of one that is scanned.
    for pointers in [0, 1] {
        let heap = Heap::new(Config { reservation: 64 << 20, ..Config::default() }).expect("a small heap");
        let mut mutator = heap.join();
        let (holder, held) = (mutator.root(), mutator.root());
        mutator.alloc(&holder, pointers, 64).expect("there is room");
        mutator.alloc(&held, 1, 64).expect("there is room");
        let hidden = address(&heap, &mutator, &held);
        for word in 0..8 {
            mutator.write(&holder, 8 * word, &hidden).expect("it has the data");
        }
        heap.collect();
        assert_eq!(heap.stats().objects, 2, "a root holds it");
        mutator.clear(&held).expect("it is this mutator's");
        heap.collect();
        assert_eq!(heap.stats().objects, 1, "with {pointers} pointers: only data refer to it");
        let mut data = [0; 64];
        mutator.read(&holder, 0, &mut data).expect("it has the data");
        assert_eq!(data, hidden.repeat(8)[..], "the data are the program's");
        assert_eq!(heap.verify(), Ok(()));
    }
}
