//! Threads that are watched, and disturbed.
//!
//! Bugs between threads hide in schedules that are rare, so after each operation a thread may give way, waste some time,
//! or sleep: how often and for how long follows from a seed. That does not make a run repeatable, since the scheduler has
//! its say; it makes schedules differ.
//!
//! A [`Board`] tells what every thread is doing, and for how long. Each thread writes its own line of it and no other, so
//! whoever looks at it disturbs nobody, and sees each line a little late.

use super::{Native, Plan, Threads};
use heaplaw_reference::op::MUTATORS;
use std::{
    cell::Cell,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The mutators, the collector, and the walk at the end.
const LANES: usize = MUTATORS as usize + 2;

/// What each thread is doing.
#[derive(Debug)]
pub struct Board {
    start: Instant,
    lanes: [Line; LANES],
}

#[derive(Debug, Default)]
struct Line {
    /// The step that was begun last, plus 1; 0 if there was none.
    step: AtomicU64,
    /// Nanoseconds from the start of the board to the beginning of the step that is being done, plus 1; 0 between steps.
    since: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        Board { start: Instant::now(), lanes: Default::default() }
    }
}

impl Board {
    /// The board is used for another run: nobody has begun anything.
    pub fn clear(&self) {
        for line in &self.lanes {
            // Relaxed, as everywhere here: numbers that stand for themselves, and may be seen late.
            line.since.store(0, Ordering::Relaxed);
            line.step.store(0, Ordering::Relaxed);
        }
    }

    fn begins(&self, lane: usize, step: usize) {
        let line = &self.lanes[lane.min(LANES - 1)];
        line.step.store(step as u64 + 1, Ordering::Relaxed);
        line.since.store(self.start.elapsed().as_nanos() as u64 + 1, Ordering::Relaxed);
    }

    fn ended(&self, lane: usize) {
        self.lanes[lane.min(LANES - 1)].since.store(0, Ordering::Relaxed);
    }

    /// How long a lane has been busy with what it is doing.
    fn busy(&self, lane: usize) -> Duration {
        match self.lanes[lane].since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_nanos(since - 1)),
        }
    }

    /// How long the one that has been at it for longest has been busy with one thing.
    pub fn longest(&self) -> Duration {
        (0..LANES).map(|lane| self.busy(lane)).max().unwrap_or_default()
    }

    /// What each thread of a plan is doing, a line each.
    pub fn told(&self, plan: &Plan) -> String {
        let mut text = String::new();
        let collector = plan.mutators.len();
        for lane in 0..=collector + 1 {
            let name = match lane {
                lane if lane < collector => format!("mutator {lane}"),
                lane if lane == collector => "collector".to_owned(),
                _ => "walk at the end".to_owned(),
            };
            let lane_length = (0..).take_while(|step| plan.op(lane, *step).is_some()).count();
            let begun = self.lanes[lane.min(LANES - 1)].step.load(Ordering::Relaxed) as usize;
            let busy = self.busy(lane.min(LANES - 1));
            let doing = match (begun.checked_sub(1), busy.is_zero()) {
                (None, _) => "has not begun".to_owned(),
                (Some(step), stands) => {
                    let what = match plan.op(lane, step) {
                        Some(op) => format!("`{op}`, {} of {lane_length}", step + 1),
                        None if lane < collector => "`park`, after its last operation".to_owned(),
                        None => "looking at what is left".to_owned(),
                    };
                    match stands {
                        true => format!("has done {what}"),
                        false => format!("has been in {what}, for {:.1} s", busy.as_secs_f64()),
                    }
                }
            };
            let _ = writeln!(text, "  {name:<15} {doing}");
        }
        text
    }
}

thread_local! {
    /// What this thread's disturbances follow from.
    static DICE: Cell<u64> = const { Cell::new(1) };
}

/// The threads of the operating system, disturbed and watched.
#[derive(Debug)]
pub struct Disturbed<'b> {
    seed: u64,
    board: &'b Board,
}

impl<'b> Disturbed<'b> {
    /// Threads whose disturbances follow from a seed, and that write on a board.
    pub fn new(seed: u64, board: &'b Board) -> Self {
        board.clear();
        Disturbed { seed, board }
    }
}

impl Disturbed<'_> {
    /// The same body, on a thread whose dice are its own.
    fn seeded<'a>(&self, number: u64, body: Box<dyn FnOnce() + Send + 'a>) -> Box<dyn FnOnce() + Send + 'a> {
        let seed = (self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        Box::new(move || {
            DICE.set(seed);
            body();
        })
    }
}

/// The next number of a sequence (Marsaglia's xorshift): cheap, and good enough to roll dice with.
fn roll() -> u64 {
    let mut dice = DICE.get();
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    DICE.set(dice);
    dice
}

impl Threads for Disturbed<'_> {
    fn run(&self, bodies: Vec<Box<dyn FnOnce() + Send + '_>>) {
        Native.run((1..).zip(bodies).map(|(number, body)| self.seeded(number, body)).collect());
    }

    fn pause(&self) {
        let dice = roll();
        match dice % 64 {
            0..=31 => {}
            // On a machine that is busy with other things, this is what takes the time.
            32..=43 => std::thread::yield_now(),
            44..=62 => {
                for _ in 0..dice >> 6 & 0x1ff {
                    std::hint::spin_loop();
                }
            }
            _ => std::thread::sleep(Duration::from_micros(dice >> 6 & 0x3f)),
        }
    }

    fn begins(&self, lane: usize, step: usize) {
        self.board.begins(lane, step);
    }

    fn ended(&self, lane: usize) {
        self.board.ended(lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::Program;

    #[test]
    fn the_board_tells_who_is_stuck_and_where() {
        let program: Program = "0 alloc r0 1\n1 read r0\n1 clear r0\ngc full\n".parse().expect("a program");
        let plan = Plan::of(&program).expect("a plan");
        let board = Board::default();
        board.begins(1, 1);
        board.begins(0, 0);
        board.ended(0);
        std::thread::sleep(Duration::from_millis(2));
        assert!(board.longest() >= Duration::from_millis(2));
        let told = board.told(&plan);
        let told: Vec<&str> = told.lines().map(str::trim).collect();
        assert_eq!(told[0], "mutator 0       has done `0 alloc r0 1`, 1 of 1");
        let stuck = told[1].strip_prefix("mutator 1       has been in `1 clear r0`, 2 of 2, for ");
        assert!(stuck.is_some_and(|time| time.ends_with(" s")), "{}", told[1]);
        assert_eq!(told[2..], ["collector       has not begun", "walk at the end has not begun"]);
        board.ended(1);
        assert_eq!(board.longest(), Duration::ZERO);
    }

    #[test]
    fn a_lane_too_many_is_written_on_the_last_line() {
        let board = Board::default();
        board.begins(99, 1);
        std::thread::sleep(Duration::from_millis(1));
        assert!(board.longest() >= Duration::from_millis(1));
        let crowd = Plan { pointers: 1, mutators: vec![Vec::new(); 9], collector: Vec::new() };
        let told = board.told(&crowd);
        assert!(told.contains("walk at the end has been in looking at what is left, for 0.0 s"), "{told}");
        board.ended(99);
        assert_eq!(board.longest(), Duration::ZERO);
        assert!(board.told(&crowd).contains("walk at the end has done looking at what is left"));
        board.clear();
        assert!(board.told(&crowd).lines().all(|line| line.ends_with("has not begun")));
    }

    #[test]
    fn dice_follow_from_the_seed_and_the_thread() {
        // The first two of Marsaglia's sequence that begins with 1.
        DICE.set(1);
        assert_eq!([roll(), roll()], [1_082_269_761, 1_152_992_998_833_853_505]);
        let rolled = |seed| {
            let (board, seeds) = (Board::default(), [AtomicU64::new(0), AtomicU64::new(0)]);
            let body = |at: usize| {
                let seeds = &seeds;
                Box::new(move || seeds[at].store(DICE.get(), Ordering::Relaxed)) as Box<dyn FnOnce() + Send + '_>
            };
            Disturbed::new(seed, &board).run(vec![body(0), body(1)]);
            seeds.map(AtomicU64::into_inner)
        };
        let [one, other] = rolled(8);
        assert!(one != other && one % 2 == 1 && other % 2 == 1, "{one} and {other}: 0 would stay 0");
        assert_eq!(rolled(8), [one, other]);
        let third = rolled(1 << 40);
        assert_eq!([third[0] ^ one, third[1] ^ other], [1 << 40 ^ 8; 2], "each seed has dice of its own");
        // And the threads are watched.
        let board = Board::default();
        let disturbed = Disturbed::new(1, &board);
        disturbed.begins(0, 0);
        std::thread::sleep(Duration::from_millis(1));
        assert!(board.longest() > Duration::ZERO);
        disturbed.ended(0);
        assert_eq!(board.longest(), Duration::ZERO);
    }

    #[test]
    fn who_has_done_all_parks_or_looks_at_what_is_left() {
        let program: Program = "0 alloc r0 1\ngc full\n".parse().expect("a program");
        let plan = Plan::of(&program).expect("a plan");
        let board = Board::default();
        for lane in 0..3 {
            board.begins(lane, 1);
            board.ended(lane);
        }
        let expected = "  mutator 0       has done `park`, after its last operation
  collector       has done looking at what is left
  walk at the end has done looking at what is left
";
        assert_eq!(board.told(&plan), expected);
    }
}
