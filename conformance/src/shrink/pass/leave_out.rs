//! Leaving operations out: delta debugging (Zeller and Hildebrandt 2002).
//!
//! The end goes before the beginning, because later operations build on earlier ones and seldom the other way round.

use crate::shrink::{edit::Edit, trace::Line};

/// Programs up to this length are tried without any two of their operations.
const PAIRS_UP_TO: usize = 24;

/// Cuts off the end: everything, then the second half, the last quarter, …, the last operation.
pub(super) fn tails(lines: &[Line]) -> Vec<Edit> {
    let cuts = std::iter::successors(Some(lines.len()), |cut| Some(cut / 2)).take_while(|cut| *cut > 0);
    cuts.map(|cut| Edit::drop(lines.len() - cut..lines.len())).collect()
}

/// Leaves out `size` neighbours, from the end.
pub(super) fn neighbours(lines: &[Line], size: usize) -> Vec<Edit> {
    let ends = (1..=lines.len()).rev().step_by(size);
    ends.map(|end| Edit::drop(end.saturating_sub(size)..end)).collect()
}

/// Leaves out any two operations.
pub(super) fn pairs(lines: &[Line]) -> Vec<Edit> {
    let ends = if lines.len() <= PAIRS_UP_TO { 0..lines.len() } else { 0..0 };
    ends.rev().flat_map(|second| (0..second).rev().map(move |first| Edit::drop([first, second]))).collect()
}
