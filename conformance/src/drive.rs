//! Drivers: they run a program on a subject and write down its history.
//!
//! A [`Subject`] is whatever the kit can put a program to: a Rust [`Heap`] in this process ([`InProcess`]), or a
//! program in any language that speaks the text form on its standard input and output
//! ([`process::Process`]). An allocator, which knows nothing of roots and fields, is lent them by [`blocks::Blocks`].
//! Threads are another matter: [`parallel`] and [`crowd`] run mutators and allocators on threads of their own. A subject
//! can do what a heap cannot: it can [fail](Failure) to answer at all.

pub mod blocks;
pub mod crowd;
pub mod twice;
pub mod parallel;
pub mod process;
pub mod step;

use heaplaw_reference::{
    event::Event,
    heap::{Claims, Heap, Reply},
    op::Op,
};
use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// An operation of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The operation.
    pub op: Op,
    /// Whether the answer to it may be the end of the plan: nothing is sent before it has come.
    pub decides: bool,
}

/// A heap that programs are run on, one after the other.
pub trait Subject {
    /// Forgets everything and starts afresh, with mutator 0 joined; gives what the heap says of itself.
    ///
    /// # Errors
    /// If the subject cannot be started, or fails while it starts.
    fn reset(&mut self) -> Result<Claims, Failure>;

    /// Offers a plan: what will be performed from here to the next [reset](Subject::reset), in order and nothing else.
    /// A subject that is far away can have it sent ahead instead of waiting for each operation; then it answers `true`,
    /// and whoever departs from the plan has to reset it, or to offer another one after an operation that
    /// [decides](Planned::decides). The plan is only made if it is asked for.
    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        let _ = plan;
        false
    }

    /// Performs one operation; the answer is returned, and what happened in its course is appended to `events`.
    ///
    /// # Errors
    /// If the subject fails to answer. It then has to be [reset](Subject::reset) before it is used again.
    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure>;

    /// From now on, nothing may be left of one program when the next begins, whatever that costs. A subject that keeps
    /// something for the sake of speed, such as a process whose allocator has a past, has to begin from nothing at each
    /// [reset](Subject::reset).
    fn begin_from_nothing(&mut self) {}
}

impl<S: Subject + ?Sized> Subject for Box<S> {
    fn reset(&mut self) -> Result<Claims, Failure> {
        (**self).reset()
    }

    fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
        (**self).ahead(plan)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        (**self).perform(op, events)
    }

    fn begin_from_nothing(&mut self) {
        (**self).begin_from_nothing();
    }
}

/// A subject that failed to answer. That is not a broken law: nothing can be said about laws afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The subject could not be started at all.
    #[error("the subject could not be started: {0}")]
    Unstartable(String),
    /// The subject ended, or panicked, in the middle of an operation.
    #[error("the subject crashed: {0}")]
    Crashed(String),
    /// The subject answered something that is not an answer.
    #[error("the subject broke the protocol: {0}")]
    Garbled(String),
    /// The subject did not answer in time.
    #[error("the subject hung: no answer within {} ms", .0.as_millis())]
    Hung(Duration),
}

/// A subject made of a [`Heap`] in this process. A panic is a crash, and the heap that panicked is given up.
pub struct InProcess<F, H> {
    make: F,
    heap: Option<H>,
}

impl<H: Heap, F: FnMut() -> H> InProcess<F, H> {
    /// A subject whose heaps come from `make`, one for each program.
    pub fn new(make: F) -> Self {
        InProcess { make, heap: None }
    }
}

impl<H: Heap, F: FnMut() -> H> Subject for InProcess<F, H> {
    fn reset(&mut self) -> Result<Claims, Failure> {
        // The old heap goes first, so that two never exist at once.
        let old = self.heap.take();
        guarded(|| drop(old))?;
        let heap = guarded(&mut self.make)?;
        let claims = guarded(|| heap.claims())?;
        self.heap = Some(heap);
        Ok(claims)
    }

    fn perform(&mut self, op: &Op, events: &mut Vec<Event>) -> Result<Reply, Failure> {
        let Some(heap) = &mut self.heap else {
            return Err(Failure::Crashed("the heap has crashed before and was not reset".to_owned()));
        };
        let reply = guarded(|| heap.perform(op, events));
        if reply.is_err() {
            let heap = self.heap.take();
            // A heap that panics may do so again when it is dropped; the first panic is the one that is told.
            let _ = guarded(|| drop(heap));
        }
        reply
    }
}

thread_local! {
    /// Whether this thread runs code of the subject.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of the subject; a panic becomes a [`Failure`].
fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, Failure> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(outer);
    result.map_err(|panic| Failure::Crashed(format!("panic: {}", message(&*panic))))
}

/// From now on, panics of subjects are not printed: they are reported as crashes, with the program that led there. Other
/// panics are printed as before.
pub fn print_no_panics_of_subjects() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !GUARDED.get() {
            print(panic);
        }
    }));
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::{machine::Machine, protocol::Protocol};

    /// Keeps what it is told.
    #[derive(Default)]
    struct Told {
        ahead: usize,
        afresh: bool,
    }

    impl Subject for Told {
        fn reset(&mut self) -> Result<Claims, Failure> {
            Ok(Claims::new("told"))
        }

        fn ahead(&mut self, plan: &dyn Fn() -> Vec<Planned>) -> bool {
            self.ahead += plan().len();
            self.ahead > 1
        }

        fn perform(&mut self, op: &Op, _: &mut Vec<Event>) -> Result<Reply, Failure> {
            Err(Failure::Crashed(op.to_string()))
        }

        fn begin_from_nothing(&mut self) {
            self.afresh = true;
        }
    }

    #[test]
    fn a_subject_in_a_box_is_told_what_the_box_is_told() {
        let mut boxed = Box::new(Told::default());
        let op: Op = "gc full".parse().expect("an operation");
        let plan = || vec![Planned { op, decides: false }];
        assert_eq!([Subject::ahead(&mut boxed, &plan), Subject::ahead(&mut boxed, &plan)], [false, true]);
        Subject::begin_from_nothing(&mut boxed);
        assert!(boxed.afresh && Subject::reset(&mut boxed).is_ok_and(|claims| claims.name == "told"));
        assert!(Subject::perform(&mut boxed, &op, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_heap_in_this_process_takes_no_plans() {
        let mut subject = InProcess::new(|| Machine::new(Protocol::HYBRID));
        assert!(!subject.ahead(&|| panic!("nobody asks for the plan")));
        let op: Op = "gc full".parse().expect("an operation");
        let crashed = subject.perform(&op, &mut Vec::new());
        assert!(crashed.is_err_and(|failure| failure.to_string().contains("was not reset")), "there is no heap yet");
    }
}
