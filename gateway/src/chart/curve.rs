//! The last values of one number: a ring of parts of its span, each with its lowest and highest, so that no spike is lost
//! however often a sensor reports.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plot::{Mark, Plot, Reading};
use crate::rule::threshold::Threshold;
use crate::time::Timestamp;

/// Parts of a span: one is 3.75 minutes of 6 hours, and 11 pixels of a picture.
const PARTS: u32 = 96;
/// Values are written down with the first that is so much younger than what is on disk: what a power cut may lose.
pub const WRITTEN_EVERY: Duration = Duration::from_secs(60);
/// What had no value for so long is forgotten, unless its span is longer.
const STALE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Kept as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The expression that gives the number: of another one it is another curve.
    pub of: String,
    /// The device that counts its events, if one of those reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    points: VecDeque<Point>,
    /// What came since it was written down, a minute's values at most.
    #[serde(skip)]
    open: Option<Point>,
}

/// What came within a part of the span. Seven digits are more than a picture shows, and half the memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
struct Point {
    from: Timestamp,
    until: Timestamp,
    min: f32,
    max: f32,
    last: f32,
    /// It came to this process, whose clock may still be set.
    is_new: bool,
}

/// Without names: when it began, how long it is in milliseconds, lowest, highest, last.
type Row = (Timestamp, u32, f32, f32, f32);

impl Curve {
    #[must_use]
    pub fn new(of: &str) -> Self {
        Self { of: of.to_owned(), ..Self::default() }
    }

    /// Takes a value; whether the curve is to be written down now. What is no number is none.
    pub fn take(&mut self, value: f64, span: Duration, at: Timestamp) -> bool {
        if value.is_nan() {
            return false;
        }
        let value = (value as f32).clamp(f32::MIN, f32::MAX); // beyond them a sensor is broken, which is seen
        let new = Point { from: at, until: at, min: value, max: value, last: value, is_new: true };
        let is_apart = |open: &Point| at < open.from || open.from.until(at) >= WRITTEN_EVERY;
        let settled = self.open.is_some_and(|open| is_apart(&open)) && self.settle(span);
        match &mut self.open {
            Some(open) => open.join(new),
            None => self.open = Some(new),
        }
        let is_apart = self.points.back().is_none_or(|newest| newest.until + WRITTEN_EVERY <= at);
        is_apart && self.settle(span) || settled
    }

    /// What came since is a part of what is written down; `false`: nothing came.
    pub fn settle(&mut self, span: Duration) -> bool {
        let Some(new) = self.open.take() else { return false };
        // What a device could not tell earlier belongs before what came since.
        let before = self.points.iter().rposition(|point| point.from <= new.from);
        match before.and_then(|at| self.points.get_mut(at)) {
            Some(point) if point.from.until(new.from) < span / PARTS => point.join(new),
            Some(_) | None => self.points.insert(before.map_or(0, |at| at + 1), new),
        }
        let oldest = self.newest().unwrap_or(new.until) - span;
        while self.points.len() > PARTS as usize + 1
            || self.points.front().is_some_and(|one| one.until < oldest)
        {
            self.points.pop_front();
        }
        true
    }

    /// When it is to be written down though nothing more comes.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.open.map(|open| open.from + WRITTEN_EVERY)
    }

    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.points.is_empty()
    }

    /// Whether its device is silent for so long that nobody looks for it here.
    #[must_use]
    pub fn is_stale(&self, span: Duration, now: Timestamp) -> bool {
        now.is_sane() && self.newest().is_none_or(|newest| newest + span.max(STALE) < now)
    }

    fn newest(&self) -> Option<Timestamp> {
        self.points.iter().chain(&self.open).map(|point| point.until).max()
    }

    /// The clock was set: what came to this process keeps its distance from now.
    pub fn shift(&mut self, by: i64) {
        for point in self.points.iter_mut().chain(&mut self.open).filter(|point| point.is_new) {
            point.from.0 += by;
            point.until.0 += by;
        }
        self.points.make_contiguous().sort_by_key(|point| point.from);
    }

    /// What is to be seen of it; `None` where nothing came in that time.
    #[must_use]
    pub fn plot(
        &self,
        span: Duration,
        until: Timestamp,
        thresholds: &[Threshold],
        marks: Vec<Mark>,
    ) -> Option<Plot> {
        let from = until - span;
        let shown =
            self.points.iter().chain(&self.open).filter(|point| point.until >= from && point.from <= until);
        let readings: Vec<Reading> = shown.map(Point::reading).collect();
        (!readings.is_empty()).then(|| Plot { from, until, readings, thresholds: thresholds.to_vec(), marks })
    }
}

impl Point {
    fn join(&mut self, other: Self) {
        if other.until >= self.until {
            (self.until, self.last) = (other.until, other.last);
        }
        self.from = self.from.min(other.from);
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
        self.is_new |= other.is_new;
    }

    fn reading(&self) -> Reading {
        // The shortest decimal that is this number: 21.45, and not 21.450000762939453.
        let exact = |value: f32| value.to_string().parse().unwrap_or_else(|_| f64::from(value));
        let (min, max, last) = (exact(self.min), exact(self.max), exact(self.last));
        Reading { since: self.from, at: self.until, min, max, last }
    }
}

impl From<Row> for Point {
    fn from((from, length, min, max, last): Row) -> Self {
        let until = from + Duration::from_millis(length.into());
        Self { from, until, min, max, last, is_new: false }
    }
}

impl From<Point> for Row {
    fn from(point: Point) -> Self {
        let length = point.from.until(point.until).as_millis();
        (point.from, u32::try_from(length).unwrap_or(u32::MAX), point.min, point.max, point.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000_000);
    const SPAN: Duration = Duration::from_secs(6 * 3_600);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    fn all(curve: &Curve, until: Timestamp) -> Vec<Reading> {
        curve.plot(SPAN, until, &[], Vec::new()).map(|plot| plot.readings).unwrap_or_default()
    }

    fn read_back(curve: &Curve) -> Curve {
        serde_json::from_str(&serde_json::to_string(curve).expect("JSON")).expect("read back")
    }

    #[test]
    fn a_spike_stays_however_often_a_sensor_reports() {
        let mut curve = Curve::new("value");
        for second in 0..2 * 6 * 3_600 {
            let value = if second == 30_001 { 99.5 } else { -18.25 };
            curve.take(value, SPAN, after(second));
        }
        let seen = all(&curve, after(2 * 6 * 3_600));
        assert!(seen.len() <= 98, "{}", seen.len());
        let highest = seen.iter().max_by(|a, b| a.max.total_cmp(&b.max)).expect("one");
        assert_eq!((highest.max, highest.min, highest.last), (99.5, -18.25, -18.25));
        assert!(highest.since <= after(30_001) && highest.at >= after(30_001));
        assert!(seen.iter().all(|one| one.at >= after(6 * 3_600) - SPAN / PARTS), "what is older goes");
        assert!(serde_json::to_string(&curve).expect("JSON").len() < 4_500);
    }

    #[test]
    fn values_within_a_minute_are_written_at_its_end() {
        let mut curve = Curve::new("value");
        assert!(curve.take(1.0, SPAN, after(0)), "the first");
        assert!(!curve.take(5.0, SPAN, after(20)) && !curve.take(2.0, SPAN, after(59)));
        assert_eq!(curve.due(), Some(after(80)));
        assert_eq!(all(&curve, after(60)).len(), 2, "it is seen before it is written");
        assert_eq!(all(&read_back(&curve), after(60)).len(), 1);
        assert!(curve.take(3.0, SPAN, after(80)), "a minute after what waits began");
        let kept = all(&read_back(&curve), after(80));
        assert_eq!((kept.len(), kept[0].max, kept[0].at), (1, 5.0, after(59)));
        assert!(curve.settle(SPAN) && !curve.settle(SPAN) && curve.due().is_none());
        assert_eq!(all(&read_back(&curve), after(80)), all(&curve, after(80)));
        assert!(curve.take(4.0, SPAN, after(140)), "what comes once a minute is written each time");
    }

    #[test]
    fn late_values_are_put_in_order() {
        let mut curve = Curve::new("value");
        for (value, at) in [(1.0, 0), (5.0, 4_000), (3.0, 2_000), (2.0, 1_000), (9.0, 4_010)] {
            curve.take(value, SPAN, after(at));
        }
        curve.settle(SPAN);
        let seen: Vec<(f64, f64)> = all(&curve, after(5_000)).iter().map(|one| (one.last, one.max)).collect();
        assert_eq!(seen, [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (9.0, 9.0)]);
    }

    #[test]
    fn nan_is_left_out_and_huge_numbers_are_clamped() {
        let mut curve = Curve::new("value");
        assert!(!curve.take(f64::NAN, SPAN, after(0)) && curve.due().is_none() && !curve.is_kept());
        for (at, value) in [(0, f64::INFINITY), (100, -1e300), (200, 21.45)] {
            curve.take(value, SPAN, after(at));
        }
        let back = all(&read_back(&curve), after(300));
        assert_eq!((back[0].max, back[0].min, back[0].last), (3.4028235e38, -3.4028235e38, 21.45));
    }

    #[test]
    fn a_set_clock_moves_this_processs_readings() {
        let mut earlier = Curve::new("value");
        earlier.take(1.0, SPAN, after(0));
        let mut curve = read_back(&earlier);
        curve.take(2.0, SPAN, after(300));
        curve.take(3.0, SPAN, after(310));
        curve.shift(3_600_000);
        let seen: Vec<Timestamp> = all(&curve, after(5_000)).iter().map(|one| one.at).collect();
        assert_eq!(seen, [after(0), after(3_900), after(3_910)]);
    }

    #[test]
    fn a_curve_silent_for_a_week_is_forgotten() {
        let mut curve = Curve::new("value");
        curve.take(1.0, SPAN, START);
        for (after, is_stale) in [(STALE, false), (STALE + Duration::from_millis(1), true)] {
            assert_eq!(curve.is_stale(SPAN, START + after), is_stale);
        }
        assert!(!curve.is_stale(2 * STALE, START + STALE * 2) && !curve.is_stale(SPAN, Timestamp(60_000)));
        assert!(curve.plot(SPAN, START + SPAN * 2, &[], Vec::new()).is_none(), "there is nothing to see");
    }
}
