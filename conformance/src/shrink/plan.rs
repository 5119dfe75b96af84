//! Shrinking what threads did.
//!
//! A failure that depends on the scheduler shows in some runs and not in others, so a smaller plan is believed when it has
//! failed several times in as many runs as should show it twice as often, and never on the strength of one run. What is left
//! out are operations, a lane's half at a time and at last one by one; a mutator that has nothing left to do at the end is
//! left out too.

use crate::drive::parallel::Plan;
use heaplaw_reference::op::Op;
use std::time::{Duration, Instant};

/// A plan that was shrunk.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// How many smaller plans were tried.
    pub tries: u64,
    /// Whether the time was up before all had been tried.
    pub cut_off: bool,
}

/// How often a candidate must fail to be believed.
const BELIEVED: u64 = 4;

/// Shrinks a plan that fails `failed` of `runs` times. `fails` runs a plan once.
pub fn shrink(plan: &Plan, (failed, runs): (u64, u64), time: Duration, mut fails: impl FnMut(&Plan) -> bool) -> Shrunk {
    let start = Instant::now();
    // A plan that fails as often as this one does so twice as often as that in so many runs.
    let patience = (2 * BELIEVED * runs).div_ceil(failed.max(1));
    let mut shrunk = Shrunk { plan: plan.clone(), tries: 0, cut_off: false };
    loop {
        let before = shrunk.plan.len();
        for lane in 0..=shrunk.plan.mutators.len() {
            let mut chunk = length(&shrunk.plan, lane);
            while chunk > 0 {
                let mut at = 0;
                while at < length(&shrunk.plan, lane) {
                    if start.elapsed() >= time {
                        shrunk.cut_off = true;
                        return shrunk.without_idle();
                    }
                    let smaller = without(&shrunk.plan, lane, at, chunk);
                    shrunk.tries += 1;
                    let mut failures = 0;
                    let enough = (0..patience).any(|_| {
                        failures += u64::from(fails(&smaller));
                        failures >= BELIEVED
                    });
                    if enough { shrunk.plan = smaller } else { at += chunk }
                }
                chunk /= 2;
            }
        }
        if shrunk.plan.len() == before {
            return shrunk.without_idle();
        }
    }
}

impl Shrunk {
    /// Mutators at the end that do nothing are left out: the others keep their numbers.
    fn without_idle(mut self) -> Self {
        while self.plan.mutators.len() > 1 && self.plan.mutators.last().is_some_and(Vec::is_empty) {
            self.plan.mutators.pop();
        }
        self
    }
}

fn length(plan: &Plan, lane: usize) -> usize {
    plan.mutators.get(lane).map_or(plan.collector.len(), Vec::len)
}

/// The plan without some operations of a lane.
fn without(plan: &Plan, lane: usize, at: usize, count: usize) -> Plan {
    let kept = |step: &usize| *step < at || *step >= at + count;
    let mut smaller = plan.clone();
    let ops: Vec<Op> = (0..length(plan, lane)).filter(kept).filter_map(|step| plan.op(lane, step)).collect();
    match smaller.mutators.get_mut(lane) {
        Some(actions) => {
            *actions = ops
                .iter()
                .filter_map(|op| match op {
                    Op::Mutate { action, .. } => Some(*action),
                    _ => None,
                })
                .collect();
        }
        None => {
            smaller.collector = ops
                .iter()
                .filter_map(|op| match op {
                    Op::Collect(step) => Some(*step),
                    _ => None,
                })
                .collect();
        }
    }
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;
    use heaplaw_reference::op::{Action, Collect, Program, Root};

    fn plan() -> Plan {
        let lane = |number: u8| (0..20).map(move |root| format!("{number} clear r{}\n", (root + number) % 6));
        let story: String = (0..3).flat_map(lane).chain(["gc full\n".to_owned()]).collect();
        Plan::of(&story.parse::<Program>().expect("a program")).expect("a plan")
    }

    fn fails(plan: &Plan) -> bool {
        plan.mutators[0].contains(&Action::Clear(Root(3))) && plan.collector.contains(&Collect::Full)
    }

    #[test]
    fn what_is_needed_is_left() {
        let shrunk = shrink(&plan(), (100, 100), Duration::from_secs(60), fails);
        assert_eq!(shrunk.plan.to_string(), "# mutator 0\n0 clear r3\n# the collector\ngc full\n");
        assert!(!shrunk.cut_off && shrunk.tries > 0);
    }

    #[test]
    fn what_fails_now_and_then_is_shrunk_too() {
        let mut runs = 0_u64;
        let shrunk = shrink(&plan(), (10, 100), Duration::from_secs(60), |plan| {
            runs += 1;
            fails(plan) && runs.is_multiple_of(10)
        });
        assert_eq!(shrunk.plan.len(), 2);
    }

    #[test]
    fn one_failure_is_not_believed() {
        let mut first = true;
        let shrunk = shrink(&plan(), (100, 100), Duration::from_secs(60), |_| std::mem::take(&mut first));
        assert_eq!(shrunk.plan, plan());
    }

    #[test]
    fn lanes_are_cut_and_only_mutators_at_the_end_go() {
        let plan = |story: &str| Plan::of(&story.parse::<Program>().expect("a program")).expect("a plan");
        let whole = plan("0 clear r0\n0 clear r1\n0 clear r2\n1 clear r3\ngc full\ngc start\n");
        let cut = |lane, at, count| without(&whole, lane, at, count).to_string();
        assert_eq!(cut(0, 1, 1), plan("0 clear r0\n0 clear r2\n1 clear r3\ngc full\ngc start\n").to_string());
        assert_eq!(cut(0, 1, 9), plan("0 clear r0\n1 clear r3\ngc full\ngc start\n").to_string());
        assert_eq!(cut(2, 0, 1), plan("0 clear r0\n0 clear r1\n0 clear r2\n1 clear r3\ngc start\n").to_string());
        assert_eq!([0, 1, 2].map(|lane| length(&whole, lane)), [3, 1, 2]);
        let idle = |lanes: &[usize]| {
            let mutators = lanes.iter().map(|length| vec![Action::Safepoint; *length]).collect();
            let shrunk = Shrunk { plan: Plan { mutators, ..whole.clone() }, tries: 0, cut_off: false };
            shrunk.without_idle().plan.mutators.len()
        };
        assert_eq!([idle(&[1, 0, 0]), idle(&[0, 1, 0]), idle(&[0, 0]), idle(&[1, 1])], [1, 2, 1, 2]);
    }

    #[test]
    fn a_candidate_is_run_as_often_as_the_plan_would_have_to() {
        let runs_of_one = |failed, runs| {
            let mut calls = 0_u64;
            let one = Plan::of(&"0 clear r0\n".parse::<Program>().expect("a program")).expect("a plan");
            let shrunk = shrink(&one, (failed, runs), Duration::from_secs(60), |_| {
                calls += 1;
                false
            });
            assert_eq!((shrunk.plan, shrunk.tries, shrunk.cut_off), (one, 1, false));
            calls
        };
        assert_eq!([runs_of_one(10, 10), runs_of_one(3, 10), runs_of_one(0, 10)], [8, 27, 80]);
        // It is believed at the fourth failure.
        let mut calls = 0;
        let shrunk = shrink(&plan(), (1, 1), Duration::from_secs(60), |_| {
            calls += 1;
            true
        });
        assert_eq!((shrunk.plan.len(), calls), (0, 4 * shrunk.tries));
        assert_eq!(shrunk.tries, 4, "each lane goes as a whole");
        let late = shrink(&plan(), (1, 1), Duration::ZERO, |_| true);
        assert_eq!((late.plan, late.tries, late.cut_off), (plan(), 0, true));
    }
}
