//! What is attached to objects is a root from the moment when it is attached, whatever the collector has looked at.
//!
//! One mutator, whose root holds `a`, white, of which a field holds `b`, white as well. It gives `a` a finalizer and forgets
//! it. So `a` is found dead, and handed to the finalizer later; `b` has to be there then.

use super::{alone, check, rejects};
use crate::{
    gc::handshake::{Post, round},
    special::Specials,
    sync::{AtomicBool, Ordering, relax, thread},
};
use std::sync::Arc;

const ARM: u64 = 1;
const SCAN: u64 = 2;
const A: usize = 8;

struct World {
    post: Post,
    barrier: AtomicBool,
    /// Whether the root holds `a`, and whether `a` and `b` are marked.
    root: AtomicBool,
    marked: [AtomicBool; 2],
    specials: Specials,
}

impl World {
    fn mark(&self, object: usize) {
        self.marked[object].store(true, Ordering::Relaxed);
    }

    fn act(&self, request: u64) {
        // Relaxed, all: it is the post that orders.
        if request == ARM {
            self.barrier.store(true, Ordering::Relaxed);
        } else if self.root.load(Ordering::Relaxed) {
            self.mark(0);
            self.mark(1);
        }
    }

    fn ask(&self, request: u64) {
        round(&[self], |world| &world.post, request, |world| world.act(request), |_| relax());
    }

    /// Scans what is attached, as the collector does with the globals.
    fn scan(&self) {
        if self.specials.roots().0 == [A] {
            self.mark(1);
        }
    }

    fn register(&self) {
        self.specials.shard(0).entry(A).or_default().set_finalizer(Some(1));
    }
}

fn shading(world: &World) {
    world.register();
    if world.barrier.load(Ordering::Relaxed) {
        world.mark(1);
    }
}

fn shipped(world: &World) {
    world.ask(ARM);
    world.scan();
    world.ask(SCAN);
}

/// `register` is how the finalizer is attached, `mark` what the collector does.
fn forget(register: fn(&World), mark: fn(&World)) {
    let world = Arc::new(World {
        post: Post::new(),
        barrier: AtomicBool::new(false),
        root: AtomicBool::new(true),
        marked: [AtomicBool::new(false), AtomicBool::new(false)],
        specials: Specials::new(),
    });
    let other = Arc::clone(&world);
    let thread = thread::spawn(move || {
        other.post.enter();
        if let Some(request) = other.post.due() {
            other.act(request);
            other.post.answer(request);
        }
        register(&other);
        other.root.store(false, Ordering::Relaxed);
        other.post.park();
    });
    mark(&world);
    thread.join().expect("it ends");
    assert!(world.marked[1].load(Ordering::Relaxed), "a is kept for its finalizer, and b is not");
}

#[test]
fn what_leads_on_from_an_object_with_a_finalizer_is_marked_whenever_it_got_that() {
    let _alone = alone();
    check(|| forget(shading, shipped));
}

#[test]
fn a_finalizer_that_is_attached_without_shading_comes_too_late() {
    let _alone = alone();
    assert!(rejects(|| forget(World::register, shipped)));
}

#[test]
fn what_is_attached_is_not_scanned_before_all_use_the_barrier() {
    let _alone = alone();
    assert!(rejects(|| {
        forget(shading, |world| {
            world.scan();
            world.ask(ARM);
            world.ask(SCAN);
        });
    }));
}
