//! The write barrier: what a pointer store owes a collector that is marking.
//!
//! While a collector marks, mutators keep on storing pointers. A barrier is the code that goes with each store into a
//! [place](crate::op::Place), an object's field or a global, and shades what the store could hide. It runs before the
//! store, and between reading its on/off flag and the store no phase may change.
//!
//! ```text
//!   none         *slot = new
//!   insertion    shade(new);              *slot = new        Dijkstra et al. 1978; Go 1.5 to 1.7
//!   deletion     shade(*slot);            *slot = new        Yuasa 1990
//!   hybrid       shade(*slot); shade(new); *slot = new       Go since 1.8
//! ```
//!
//! 1. **Insertion** keeps the strong invariant: what is stored into something black is no longer white. It does not
//!    watch stacks, so an object that was moved from the heap to a stack that had been scanned hides there: stacks have
//!    to be scanned again at the end, with the world stopped.
//! 2. **Deletion** keeps the weak invariant: a path that protected a white object is not cut without shading the
//!    object it led to. It needs all stacks scanned at the start, before anything is black, and keeps everything that
//!    was reachable then alive for the cycle.
//! 3. **Hybrid** keeps the modified weak invariant: the deletion half watches what goes from the heap to a stack, the
//!    insertion half what goes from a stack to the heap. Each stack is scanned once, at any time, and never again.
//! 4. The **old value** has to be read before the store. Read afterwards, it is the new value, and the deletion half
//!    is gone.
//! 5. **Nil is not special.** Storing nil deletes an edge like any other store.
//! 6. Barriers do not ask for the colour of the object that is stored into. Asking needs a store-load fence, and the
//!    answer can be out of date by the time the store happens.
//! 7. A pointer that goes from stack to stack ([`Action::Send`](crate::op::Action::Send)) passes no place and no
//!    barrier; the hand-over itself has to shade it.
//!
//! What may be left out, because nothing would be shaded or what would be shaded is safe already:
//!
//! 8. All of it, if the value goes into the mutator's own frame, or has no pointers in it.
//! 9. The deletion half, if the place is known to hold nil: a field of an object that is new and zero.
//! 10. The insertion half, if the new value is known not to be in the heap: nil, a global's address, read-only data.
//! 11. Of a bulk copy or clear nothing but repetition: every pointer that is overwritten, and every one that is copied, is
//!     shaded before the first is written.
//!
//! A shade may also be *deferred*: the values go into a buffer, and are shaded when it is full or at the next handshake.
//! That is sound as long as the old value was read before the store, and every buffer is emptied before marking ends.
//!
//! This chapter grounds laws 70 to 73, 76 and 78. Source: Go's `mbarrier.go`, `mwbbuf.go` and proposal 17503.
//!
//! Rules 4 to 6 are data here, so that their breach can be tried: each half of a [`Barrier`] has a condition
//! ([`When`]), and shades and write have an [`Order`]. Rules 7 and 11 are switches of the
//! [protocol](crate::protocol::Protocol).
//!
//! ```
//! use heaplaw_reference::barrier::{Barrier, When};
//! let (stack_is_grey, some_stack_is_grey, new_is_nil) = (false, false, true);
//! let shades = |when: When| when.applies(stack_is_grey, some_stack_is_grey, Default::default(), new_is_nil);
//! assert!(shades(Barrier::HYBRID.deletion), "nil is not special");
//! assert!(!shades(Barrier::INSERTION.deletion));
//! ```

use crate::color::Color;

/// When a half of a barrier shades its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// There is no such half.
    Never,
    /// Always.
    Always,
    /// While the stack of the mutator that stores is grey: the hybrid barrier as designed. (Go's runs unconditionally.)
    MyStackIsGrey,
    /// While some stack is grey.
    SomeStackIsGrey,
    /// Unless the value that is stored is nil. Breaks rule 5.
    NewIsNotNil,
    /// If the object that is stored into is black when that is asked. Breaks rule 6 for the insertion half.
    ObjectIsBlack,
    /// Unless that object is black. For the deletion half this is sound, under sequential consistency.
    ObjectIsNotBlack,
    /// If that object is grey. Loses what a white object protects.
    ObjectIsGrey,
    /// Unless that object is white. Loses the same.
    ObjectIsNotWhite,
}

impl When {
    /// Whether a store shades, given the colour of the mutator's own stack, of all stacks, of the object that is stored
    /// into, and the value.
    pub fn applies(self, my_stack_is_grey: bool, some_stack_is_grey: bool, object: Color, new_is_nil: bool) -> bool {
        match self {
            When::Never => false,
            When::Always => true,
            When::MyStackIsGrey => my_stack_is_grey,
            When::SomeStackIsGrey => some_stack_is_grey,
            When::NewIsNotNil => !new_is_nil,
            When::ObjectIsBlack => object == Color::Black,
            When::ObjectIsNotBlack => object != Color::Black,
            When::ObjectIsGrey => object == Color::Grey,
            When::ObjectIsNotWhite => object != Color::White,
        }
    }
}

/// In which order a store reads, shades and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Read the old value, shade, write.
    ShadeFirst,
    /// Read the old value, write, shade. Sound, if marking does not end while a shade is owed.
    ShadeLast,
    /// Write, then read the "old" value. Breaks rule 4.
    WriteFirst,
}

/// A write barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barrier {
    /// When the overwritten value is shaded.
    pub deletion: When,
    /// When the stored value is shaded.
    pub insertion: When,
    /// In which order.
    pub order: Order,
}

impl Barrier {
    /// Nothing: sound only if no mutator runs while marking.
    pub const NONE: Barrier = Barrier { deletion: When::Never, insertion: When::Never, order: Order::ShadeFirst };

    /// Shade the stored value: Dijkstra's.
    pub const INSERTION: Barrier = Barrier { insertion: When::Always, ..Barrier::NONE };

    /// Shade the overwritten value: Yuasa's.
    pub const DELETION: Barrier = Barrier { deletion: When::Always, ..Barrier::NONE };

    /// Shade both: Go's.
    pub const HYBRID: Barrier = Barrier { deletion: When::Always, insertion: When::Always, order: Order::ShadeFirst };
}

#[cfg(test)]
mod tests {
    use super::*;
    use Color::{Black, Grey, White};

    /// Of the object's colour, whether my stack and some stack are grey, and whether the value is not nil.
    type Expected = fn(Color, bool, bool, bool) -> bool;

    #[test]
    fn each_condition_asks_for_what_its_name_says_and_for_nothing_else() {
        let applies: [(When, Expected); 9] = [
            (When::Never, |_, _, _, _| false),
            (When::Always, |_, _, _, _| true),
            (When::MyStackIsGrey, |_, mine, _, _| mine),
            (When::SomeStackIsGrey, |_, _, some, _| some),
            (When::NewIsNotNil, |_, _, _, value| value),
            (When::ObjectIsBlack, |object, _, _, _| matches!(object, Black)),
            (When::ObjectIsNotBlack, |object, _, _, _| matches!(object, White | Grey)),
            (When::ObjectIsGrey, |object, _, _, _| matches!(object, Grey)),
            (When::ObjectIsNotWhite, |object, _, _, _| matches!(object, Grey | Black)),
        ];
        for (when, expected) in applies {
            for object in [White, Grey, Black] {
                for bits in 0..8 {
                    let [mine, some, value] = [bits & 1 == 1, bits & 2 == 2, bits & 4 == 4];
                    let found = when.applies(mine, some, object, !value);
                    assert_eq!(found, expected(object, mine, some, value), "{when:?} {object} {bits:#b}");
                }
            }
        }
    }
}
