//! What is to be seen in a drawing, on a phone and on the page: data alone.

use serde::{Deserialize, Serialize};

use crate::rule::threshold::Threshold;
use crate::time::Timestamp;

/// A stretch of time, what came in it, where the limits are, and what happened when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    #[serde(rename = "from_at")]
    pub from: Timestamp,
    #[serde(rename = "until_at")]
    pub until: Timestamp,
    /// At least one, in their order.
    pub readings: Vec<Reading>,
    pub thresholds: Vec<Threshold>,
    /// When the alert fired.
    pub marks: Vec<Mark>,
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mark {
    pub at: Timestamp,
}

/// What came within a short time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reading {
    #[serde(rename = "since_at")]
    pub since: Timestamp,
    /// When the last of it came.
    pub at: Timestamp,
    pub min: f64,
    pub max: f64,
    pub last: f64,
}

/// Whoever reports seldom is no gap, and a day has at most as many gaps as hours.
const GAPS: i64 = 24;

impl Plot {
    #[must_use]
    pub fn lowest(&self) -> f64 {
        self.readings.iter().map(|one| one.min).fold(f64::INFINITY, f64::min)
    }

    #[must_use]
    pub fn highest(&self) -> f64 {
        self.readings.iter().map(|one| one.max).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The readings between two gaps: a line is drawn through each, and none over a gap. One is where nothing came for four
    /// times as long as usual.
    #[must_use]
    pub fn pieces(&self) -> Vec<&[Reading]> {
        let pause = |pair: &[Reading]| pair[1].since.0 - pair[0].at.0;
        let mut pauses: Vec<i64> = self.readings.windows(2).map(pause).collect();
        pauses.sort_unstable();
        let usual = pauses.get(pauses.len() / 2).copied().unwrap_or_default();
        let gap = usual.saturating_mul(4).max((self.until.0 - self.from.0) / GAPS);
        let (mut pieces, mut from) = (Vec::new(), 0);
        for (at, pair) in (1..).zip(self.readings.windows(2)) {
            if pause(pair) > gap {
                pieces.push(&self.readings[from..at]);
                from = at;
            }
        }
        pieces.push(&self.readings[from..]);
        pieces
    }

    /// What the number was at that time: the reading that came last until then.
    #[must_use]
    pub fn value_at(&self, at: Timestamp) -> Option<f64> {
        self.readings.iter().rev().find(|one| one.since <= at).map(|one| one.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_only_where_values_are_missing() {
        let minute = 60_000;
        let pieces = |minutes: &[i64]| {
            let reading = |at: &i64| {
                let at = Timestamp(at * minute);
                Reading { since: at, at, min: 0.0, max: 0.0, last: 0.0 }
            };
            let (from, until) = (Timestamp(0), Timestamp(360 * minute));
            let readings = minutes.iter().map(reading).collect();
            Plot { from, until, readings, thresholds: Vec::new(), marks: Vec::new() }
                .pieces()
                .iter()
                .map(|piece| piece.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(pieces(&[7]), [1]);
        assert_eq!(pieces(&[0, 1, 2, 16, 17]), [5], "a quarter of an hour is none");
        assert_eq!(pieces(&[0, 1, 2, 18, 19]), [3, 2]);
        assert_eq!(pieces(&[0, 60, 120, 300]), [4], "whoever reports once an hour");
        assert_eq!(pieces(&[0, 60, 120, 361]), [3, 1]);
    }
}
