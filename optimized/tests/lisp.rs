//! The Lisp of `examples/lisp`: what its programs print, that nothing of them is left, and what is said of wrong ones.
//! All of it also with a collection, or a piece of one, before each allocation, so that whatever is in no slot is gone
//! by then.

#[path = "../examples/lisp/lisp.rs"]
mod lisp;

use heaplaw_optimized::{Config, Error as Refused, Heap, Phase};
use lisp::{Error, Kind, What, World};
use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

const DEMONSTRATION: &str = include_str!("../examples/lisp/demonstration.lisp");
const PRINTED: [&str; 5] = [
    "(queens . 92)",
    "(6 . (7 . (15 . (36 . (62 . (64 . (75 . (93 . (97 . (217 . (220 . (226 . ()))))))))))))",
    "(2 . (3 . (5 . (7 . (11 . (13 . (17 . (19 . (23 . (29 . ()))))))))))",
    "(ticks . 3)",
    "(consumed . 46352)",
];

/// Long enough for a loaded machine.
const PATIENT: Duration = Duration::from_secs(100);

/// Runs a program; gives what it prints. Nothing may be left of it, and a damaged one may not run for ever.
fn run(config: Config, before: Option<fn(&Heap)>, source: &str) -> Result<Vec<String>, Error> {
    let (source, (sender, result)) = (source.to_owned(), mpsc::channel());
    thread::spawn(move || sender.send(run_here(config, before, &source)));
    result.recv_timeout(PATIENT).expect("the program ends, and nothing in it panics")
}

fn run_here(config: Config, before: Option<fn(&Heap)>, source: &str) -> Result<Vec<String>, Error> {
    let heap = Heap::new(config).unwrap();
    let printed = Mutex::new(Vec::new());
    let print = |line: &str| printed.lock().unwrap().push(line.to_owned());
    let result = World { heap: &heap, print: &print, before, failure: OnceLock::new() }.run(source);
    if config.workers == 0 {
        // With workers, somebody is always at work.
        heap.verify().unwrap();
    }
    heap.collect();
    assert_eq!(heap.stats().objects, 0);
    result.map(|()| printed.into_inner().unwrap())
}

/// Runs the demonstration on a smaller board, which makes a hundredth of the objects.
fn demonstrate(config: Config, before: Option<fn(&Heap)>) {
    let source = DEMONSTRATION.replace("(define size 8)", "(define size 6)");
    let printed = run(config, before, &source).unwrap();
    assert_eq!(printed[0], "(queens . 4)");
    assert_eq!(printed[1..], PRINTED[1..]);
}

fn simply(source: &str) -> Result<Vec<String>, Error> {
    run(Config::DEFAULT, None, source)
}

/// A piece of a cycle, another one each time: so the program runs in all phases, and stores while objects are marked.
fn piece(heap: &Heap) {
    static PIECES: AtomicUsize = AtomicUsize::new(0);
    match PIECES.fetch_add(1, Ordering::Relaxed) % 7 {
        0 => _ = heap.start(),
        1..4 => _ = heap.mark(1),
        4 => heap.collect(),
        _ => _ = heap.sweep(1),
    }
}

#[test]
fn programs_print_what_they_should() {
    assert_eq!(simply(DEMONSTRATION).unwrap(), PRINTED);
}

#[test]
fn programs_print_the_same_with_a_collection_before_each_allocation() {
    demonstrate(Config::DEFAULT, Some(Heap::collect));
}

#[test]
fn programs_print_the_same_in_every_phase_of_a_cycle() {
    demonstrate(Config::DEFAULT, Some(piece));
}

#[test]
fn programs_print_the_same_while_others_collect() {
    for workers in [1, 2] {
        let config = Config { workers, gogc: Some(1), ..Config::DEFAULT };
        assert_eq!(run(config, None, DEMONSTRATION).unwrap(), PRINTED);
    }
}

#[test]
fn what_is_garbage_makes_room_while_a_program_runs() {
    // Some 100 MiB, in two.
    let source = "
        (define count (lambda (from) (if (= from 0) (quote done) (count (- from 1)))))
        (print (count 500000))";
    let paced = Config { reservation: 2 << 20, paced: true, ..Config::DEFAULT };
    assert_eq!(run(paced, None, source).unwrap(), ["done"]);
}

#[test]
fn two_threads_share_variables_and_hand_objects_to_each_other() {
    let source = "
        (define there (channel)) (define back (channel)) (define shared ())
        (define echo (lambda (count)
          (if (= count 0) shared
            (begin (send back (cons count (receive there))) (echo (- count 1))))))
        (define echoes (spawn (lambda () (echo 100))))
        (define play (lambda (count ball)
          (if (= count 0) ball
            (begin (set! shared (cons count ())) (send there (cons ball ())) (play (- count 1) (car (receive back)))))))
        (print (play 100 7))
        (print (receive echoes))";
    for before in [None, Some(Heap::collect as fn(&Heap)), Some(piece)] {
        assert_eq!(run(Config::DEFAULT, before, source).unwrap(), ["1", "(1 . ())"]);
    }
}

#[test]
fn what_is_wrong_is_said_and_where() {
    let wrong = |source: &str, what: What, line: usize| assert_eq!(simply(source), Err(Error(what, line)), "{source}");
    let no = |wanted, given: &str| What::Type { wanted, given: given.to_owned() };
    wrong("\n(print x)", What::Unbound("x".to_owned()), 2);
    wrong("(define f (lambda () y))\n\n(f)", What::Unbound("y".to_owned()), 3);
    wrong("(define f (lambda (a)\n (car a)))\n(f 5)", no(Kind::Pair, "5"), 2);
    wrong("((lambda (a) a))", What::Arguments, 1);
    wrong("((lambda (a) a) 1 2)", What::Arguments, 1);
    wrong("(cons 1)", What::Arguments, 1);
    wrong("\n(5 1)", no(Kind::Closure, "5"), 2);
    wrong("(+ 1 (quote a))", no(Kind::Integer, "a"), 1);
    wrong("(send 3 4)", no(Kind::Channel, "3"), 1);
    wrong("(define 3 4)", no(Kind::Symbol, "3"), 1);
    wrong("(set! x 4)", What::Unbound("x".to_owned()), 1);
    wrong("(if)", no(Kind::Pair, "()"), 1);
    wrong("(lambda)", no(Kind::Pair, "()"), 1);
    wrong("((lambda ()))", no(Kind::Pair, "()"), 1);
    wrong("(quotient 1 0)", What::Arithmetic, 1);
    wrong("(* 4000000000 4000000000)", What::Arithmetic, 1);
    wrong("2305843009213693952", What::Arithmetic, 1);
    wrong("(print 1", What::Syntax("a list is not closed"), 1);
    wrong("\n)", What::Syntax("there is no list to close"), 2);
    // In another thread; the one that waits for it ends too.
    wrong("(receive (spawn (lambda ()\n (car ()))))", no(Kind::Pair, "()"), 2);
    assert_eq!(simply("2305843009213693951 (print (- 0 2305843009213693951))").unwrap(), ["-2305843009213693951"]);
}

#[test]
fn nesting_is_limited_and_tail_calls_are_not() {
    let define = "(define sum (lambda (n) (if (= n 0) 0 (+ n (sum (- n 1))))))\n";
    assert_eq!(simply(&format!("{define}(print (sum 3000))")).unwrap(), ["4501500"]);
    let deep = simply(&format!("{define}(print (sum 100000))"));
    assert_eq!(deep, Err(Error(What::TooDeep, 1)));
    let parentheses = "(".repeat(100_000);
    assert_eq!(simply(&parentheses), Err(Error(What::TooDeep, 1)));
    let tail =
        "(define down (lambda (n) (if (= n 0) n (begin n (let ((m (- n 1))) (down m))))))\n(print (down 100000))";
    assert_eq!(simply(tail).unwrap(), ["0"]);
}

#[test]
fn a_heap_that_is_full_is_an_error_of_the_program() {
    let source = "(define grow (lambda (list)\n  (grow (cons 1 list))))\n(grow ())";
    let result = run(Config { reservation: 1 << 20, paced: true, ..Config::DEFAULT }, None, source);
    assert!(matches!(result, Err(Error(What::Heap(Refused::OutOfMemory { .. }), 1 | 2))), "{result:?}");
}

#[test]
fn all_pieces_of_a_cycle_are_taken() {
    // What `piece` would leave out, no program would have been tried in.
    let heap = Heap::new(Config::DEFAULT).unwrap();
    let mut seen = Vec::new();
    for _ in 0..14 {
        piece(&heap);
        seen.push(heap.phase());
    }
    assert!(seen.contains(&Phase::Mark) && seen.contains(&Phase::Off), "{seen:?}");
}
