//! The malloc face in the long run: memory that stays, forks, threads that come and go, and signals. No hang, no leak.
//!
//! What is said of resident memory is said of a process of its own: this test again, with the name of a workload in an
//! environment variable.
#![cfg(target_os = "linux")]

use heaplaw_optimized::Global;
use std::{
    cell::RefCell,
    collections::VecDeque,
    env, fs,
    hint::black_box,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: Global = Global::new();

const VARIABLE: &str = "HEAPLAW_TEST_SOAK";
const MIB: usize = 1 << 20;

/// One test at a time: some look at totals.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

type Block = Box<[u8]>;

/// A block all of whose memory is touched.
fn block(size: usize) -> Block {
    black_box(vec![size as u8; size].into_boxed_slice())
}

/// The bytes of memory that this process has.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * page
}

// ---- Workloads, each on two threads.

/// Blocks of one thread replace one another at random, and now and then threads exchange all that they have.
fn replace(stop: &AtomicBool, given: &Mutex<Vec<Block>>, mut random: Random) {
    let mut own: Vec<Block> = (0..20_000).map(|_| block(8 + random.below(1000))).collect();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20_000 {
            let at = random.below(own.len());
            own[at] = block(8 + random.below(1000));
        }
        let mut given = given.lock().unwrap();
        if given.is_empty() {
            given.extend((0..20_000).map(|_| block(100)));
        }
        std::mem::swap(&mut own, &mut *given);
    }
}

/// Vectors grow and shrink, across all sizes up to a few hundred kilobytes.
fn resize(stop: &AtomicBool, _: &Mutex<Vec<Block>>, mut random: Random) {
    let mut own: Vec<Vec<u8>> = (0..300).map(|_| Vec::new()).collect();
    while !stop.load(Ordering::Relaxed) {
        let vector = &mut own[random.below(300)];
        let size = 1 << random.below(18);
        vector.resize(size + random.below(size), 7);
        vector.shrink_to_fit();
    }
}

/// Everything is freed, and comes again in another size.
fn tides(stop: &AtomicBool, _: &Mutex<Vec<Block>>, _: Random) {
    for round in 0.. {
        let size = 16 << (round % 8);
        drop((0..(8 * MIB) / size).map(|_| block(size)).collect::<Vec<_>>());
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// What one thread allocates, another frees.
fn hand_over(stop: &AtomicBool, given: &Mutex<Vec<Block>>, mut random: Random) {
    let produces = random.0 == 1;
    while !stop.load(Ordering::Relaxed) {
        if produces {
            let mut batch: Vec<_> = (0..500).map(|_| block(8 + random.below(2000))).collect();
            while given.lock().unwrap().len() > 20_000 && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            given.lock().unwrap().append(&mut batch);
        } else {
            let mut given = given.lock().unwrap();
            let keep = given.len().saturating_sub(1000);
            let taken = given.split_off(keep);
            drop(given);
            drop(taken);
        }
    }
}

/// A scope does not wait for what its threads do when they have come back, and that is when they give back what is in their
/// caches; this does.
fn join<const COUNT: usize>(threads: [ScopedJoinHandle<'_, ()>; COUNT]) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

type Workload = fn(&AtomicBool, &Mutex<Vec<Block>>, Random);
const WORKLOADS: [(&str, Workload); 4] =
    [("replace", replace), ("resize", resize), ("tides", tides), ("hand over", hand_over)];

/// Runs a workload for so long. What is resident after two fifths of the time must not be more than what was before, but
/// for a fiftieth and `more` bytes.
fn soak(workload: Workload, time: Duration, more: usize) {
    let (stop, given) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (mut before, mut after) = (0, 0);
    thread::scope(|scope| {
        let (stop, given) = (&stop, &given);
        let threads = [1, 2].map(|seed| scope.spawn(move || workload(stop, given, Random(seed))));
        let start = Instant::now();
        while start.elapsed() < time {
            let peak = if start.elapsed() < time * 2 / 5 { &mut before } else { &mut after };
            *peak = resident().max(*peak);
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        join(threads);
    });
    println!("{} KiB resident at first, {} KiB after that", before >> 10, after >> 10);
    assert!(before > MIB && after <= before + before / 50 + more, "{before} bytes resident, then {after}");
    drop(given);
    Global::<false>::verify().unwrap();
}

/// How many blocks are alive at once when one thread frees what another allocates, and how many there are in all.
const WINDOW: usize = 150_000;
const TOTAL: usize = 20 * WINDOW;

/// The most that is resident when one thread allocates blocks and frees them in their order.
fn one_thread() -> usize {
    let (mut random, mut window, mut peak) = (Random(5), VecDeque::with_capacity(WINDOW + 1), 0);
    for number in 0..TOTAL {
        window.push_back(block(8 + random.below(800)));
        if window.len() > WINDOW {
            window.pop_front();
        }
        if number % 10_000 == 0 {
            peak = resident().max(peak);
        }
    }
    peak
}

/// The same when another thread frees them.
fn two_threads() -> usize {
    let (sender, receiver) = mpsc::sync_channel::<Block>(WINDOW);
    let peak = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| receiver.into_iter().for_each(drop));
        let mut random = Random(5);
        for number in 0..TOTAL {
            sender.send(block(8 + random.below(800))).unwrap();
            if number % 10_000 == 0 {
                peak.fetch_max(resident(), Ordering::Relaxed);
            }
        }
        drop(sender);
    });
    peak.into_inner()
}

#[test]
fn child() {
    let Ok(wanted) = env::var(VARIABLE) else { return };
    let [name, seconds, more] = wanted.split('/').collect::<Vec<_>>()[..] else { panic!("{wanted:?}") };
    match name {
        "one thread" => println!("peak {}", one_thread()),
        "two threads" => println!("peak {}", two_threads()),
        _ => {
            let workload = WORKLOADS.iter().find(|(known, _)| *known == name).expect("a workload").1;
            soak(workload, Duration::from_secs(seconds.parse().unwrap()), more.parse().unwrap());
        }
    }
}

fn start(name: &str, seconds: u64, more: usize) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, format!("{name}/{seconds}/{more}"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What it printed.
#[track_caller]
fn end(name: &str, child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}");
    text
}

/// All workloads at once, each in a process of its own.
fn soak_all(seconds: u64, more: usize) {
    let children = WORKLOADS.map(|(name, _)| (name, start(name, seconds, more)));
    for (name, child) in children {
        let text = end(name, child);
        let told = text.lines().find(|line| line.contains("resident")).expect("what was resident");
        println!("{name}, {seconds} s: {told}");
    }
}

#[test]
fn memory_stays_what_it_is() {
    let _alone = alone();
    // Too short for the heap to have had all the free memory that it keeps, and all the spans that wait empty.
    soak_all(3, 64 * MIB);
}

/// Five minutes.
#[test]
#[ignore = "takes five minutes"]
fn memory_stays_what_it_is_for_minutes() {
    let _alone = alone();
    soak_all(300, 4 * MIB);
}

#[test]
fn blocks_that_another_thread_frees_take_no_more_memory() {
    let _alone = alone();
    let peak = |name: &str| {
        let text = end(name, start(name, 0, 0));
        let line = text.lines().find_map(|line| line.split_once("peak ")).expect("a peak").1;
        line.parse::<usize>().unwrap()
    };
    let (one, two) = (peak("one thread"), peak("two threads"));
    println!("{} KiB on one thread, {} KiB on two", one >> 10, two >> 10);
    assert!(one > WINDOW * 400 && two <= one + one / 10, "{one} bytes on one thread, {two} on two");
}

// ---- Forks, threads, signals.

/// Threads that allocate and free until they are told to stop.
fn meanwhile(work: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads = [1, 2].map(|seed| {
            let stop = &stop;
            scope.spawn(move || {
                let (mut random, mut own) = (Random(seed), VecDeque::new());
                while !stop.load(Ordering::Relaxed) {
                    own.push_back(block(if random.below(50) == 0 { 50_000 } else { random.below(2000) }));
                    if own.len() > 500 {
                        own.pop_front();
                    }
                }
            })
        });
        work();
        stop.store(true, Ordering::Relaxed);
        join(threads);
    });
}

/// Asserts that `work` leaves no more than 2 MiB behind, and everything in order.
fn leaves_nothing(work: impl Fn()) {
    let in_use = || {
        Global::<false>::trim();
        Global::<false>::stats().in_use
    };
    work();
    let before = in_use();
    work();
    let after = in_use();
    println!("{} KiB in use before, {} KiB after", before >> 10, after >> 10);
    assert!(after <= before + 2 * MIB, "{before} bytes in use, then {after}");
    Global::<false>::verify().unwrap();
}

fn forks(count: usize) {
    let fork = || {
        // SAFETY: the child only allocates, which this allocator allows, and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: a child that hangs is ended by the clock.
            unsafe { libc::alarm(60) };
            let mut random = Random(9);
            let all: Vec<_> = (0..200).map(|_| block(random.below(3000))).collect();
            let large = block(200_000);
            let kept = all.iter().all(|block| block.iter().all(|byte| *byte == block.len() as u8));
            drop((all, large));
            // SAFETY: ends the child without running what belongs to its parent.
            unsafe { libc::_exit(if kept { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for our child, with a valid place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    };
    leaves_nothing(|| meanwhile(|| (0..count.div_ceil(2)).for_each(|_| fork())));
}

/// Threads that do little, and allocate and free once more when their thread-locals are destroyed.
fn threads(count: usize) {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    struct Late(RefCell<Vec<Block>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let mut own = self.0.borrow_mut();
            own.truncate(10);
            own.extend((0..30).map(|size| block(size * 50)));
            DESTROYED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static LATE: Late = const { Late(RefCell::new(Vec::new())) });
    let short = || {
        LATE.with(|late| late.0.borrow_mut().extend((0..50).map(|size| block(size * 20))));
        drop(block(40_000));
    };
    leaves_nothing(|| {
        for _ in 0..count.div_ceil(8) {
            let all = [(); 4].map(|()| thread::spawn(short));
            all.into_iter().for_each(|thread| thread.join().unwrap());
        }
    });
    assert!(DESTROYED.load(Ordering::Relaxed) >= count);
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Interrupts threads that allocate; the handler does not.
fn signals(count: usize) {
    // SAFETY: all zero is a value of it; the handler does nothing but count. Calls are not restarted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
    leaves_nothing(|| {
        let stop = AtomicBool::new(false);
        let ready = mpsc::channel();
        thread::scope(|scope| {
            let threads = [1, 2].map(|seed| {
                let (stop, ready) = (&stop, ready.0.clone());
                scope.spawn(move || {
                    // SAFETY: asks for a name.
                    ready.send(unsafe { libc::pthread_self() }).unwrap();
                    let (mut random, mut own) = (Random(seed), VecDeque::new());
                    while !stop.load(Ordering::Relaxed) {
                        own.push_back(block(if random.below(20) == 0 { 300_000 } else { random.below(3000) }));
                        if own.len() > 100 {
                            own.pop_front();
                        }
                    }
                })
            });
            let names = [ready.1.recv().unwrap(), ready.1.recv().unwrap()];
            let goal = HANDLED.load(Ordering::Relaxed) + count.div_ceil(2);
            while HANDLED.load(Ordering::Relaxed) < goal {
                for thread in names {
                    // SAFETY: the threads run until they are told to stop.
                    assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
                }
                thread::sleep(Duration::from_micros(20));
            }
            stop.store(true, Ordering::Relaxed);
            join(threads);
        });
    });
    assert!(HANDLED.load(Ordering::Relaxed) >= count);
}

#[test]
fn children_of_forks_allocate_and_end() {
    let _alone = alone();
    forks(100);
}

#[test]
fn threads_that_allocate_to_their_very_end_leave_nothing() {
    let _alone = alone();
    threads(800);
}

#[test]
fn signals_interrupt_nothing() {
    let _alone = alone();
    signals(1000);
}

/// 1000 forks, 10,000 threads, 10,000 signals.
#[test]
#[ignore = "takes a minute"]
fn many_forks_threads_and_signals() {
    let _alone = alone();
    forks(1000);
    threads(10_000);
    signals(10_000);
}
