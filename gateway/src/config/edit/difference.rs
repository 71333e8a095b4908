//! What differs between two texts, line by line.

use crate::words::word_enum;

/// Cells of the table that finds what is common: 2 MB. Two thousand-line files that share nothing between their first and last
/// common line are shown as one taken away and the other added.
const CELLS_MAX: usize = 1_000_000;
/// Lines around a change that are shown with it.
const AROUND: usize = 3;

word_enum! {
    /// Where a line stands.
    Side {
        Both = "both",
        Old = "old",
        New = "new",
        /// Lines that are the same are left out here.
        Gap = "gap",
    }
}

/// A line, with its number in the text that it is from; of both, in the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'t> {
    pub side: Side,
    pub number: usize,
    pub text: &'t str,
}

/// Changed lines with a few around them; empty for the same text.
#[must_use]
pub fn difference<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    let all = whole(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let changed: Vec<usize> = (0..all.len()).filter(|at| all[*at].side != Side::Both).collect();
    let mut shown = Vec::new();
    let mut next = 0;
    for at in changed {
        let from = at.saturating_sub(AROUND).max(next);
        if from > next {
            shown.push(Line { side: Side::Gap, number: 0, text: "" });
        }
        let to = (at + AROUND + 1).min(all.len());
        shown.extend(&all[from.min(to)..to]);
        next = next.max(to);
    }
    if !shown.is_empty() && next < all.len() {
        shown.push(Line { side: Side::Gap, number: 0, text: "" });
    }
    shown
}

/// For the audit: how many lines came and went, and the first that came, or went.
#[must_use]
pub fn one_line(old: &str, new: &str) -> String {
    let lines = difference(old, new);
    let of = |side| lines.iter().filter(move |line| line.side == side);
    let told = |line: &&Line| !line.text.trim().is_empty();
    let first = of(Side::New).find(told).or_else(|| of(Side::Old).find(told));
    let first: String = first.map(|line| line.text.trim().chars().take(80).collect()).unwrap_or_default();
    format!("+{} -{} lines: {first}", of(Side::New).count(), of(Side::Old).count())
}

fn whole<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let both = |number: usize| Line { side: Side::Both, number: number + 1, text: new[number] };
    let mut all: Vec<Line> = (0..head).map(both).collect();
    all.extend(middle(old_middle, new_middle, head));
    all.extend((new.len() - tail..new.len()).map(both));
    all
}

/// By the longest common subsequence, with a table of its lengths from each pair of lines to the end.
fn middle<'t>(old: &[&'t str], new: &[&'t str], head: usize) -> Vec<Line<'t>> {
    let width = new.len() + 1;
    let fits = old.len().saturating_add(1).saturating_mul(width) <= CELLS_MAX;
    let mut lengths = vec![0_u16; if fits { (old.len() + 1) * width } else { 0 }];
    for at in (0..old.len()).rev().filter(|_| fits) {
        for to in (0..new.len()).rev() {
            lengths[at * width + to] = if old[at] == new[to] {
                lengths[(at + 1) * width + to + 1].saturating_add(1)
            } else {
                lengths[(at + 1) * width + to].max(lengths[at * width + to + 1])
            };
        }
    }
    let (mut at, mut to) = (0, 0);
    let mut lines = Vec::new();
    while at < old.len() || to < new.len() {
        let same = fits && at < old.len() && to < new.len() && old[at] == new[to];
        let is_old = at < old.len()
            && (to == new.len() || !fits || lengths[(at + 1) * width + to] >= lengths[at * width + to + 1]);
        let (side, number, text) = match () {
            () if same => (Side::Both, to, new[to]),
            () if is_old => (Side::Old, at, old[at]),
            () => (Side::New, to, new[to]),
        };
        at += usize::from(side != Side::New);
        to += usize::from(side != Side::Old);
        lines.push(Line { side, number: head + number + 1, text });
    }
    lines
}
