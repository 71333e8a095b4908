//! A number over time: what it was before, and its count, minimum, maximum, mean and rate over a window.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::time::Timestamp;

/// Parts of a window. Readings of one part are summed up, so that memory does not grow with the rate of events, and a
/// window is exact to a 32nd of its length.
const PARTS: u32 = 32;

/// One key's readings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSeries {
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    parts: VecDeque<Part>,
    last: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Part {
    from: Timestamp,
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
    first: f64,
    last: f64,
    last_at: Timestamp,
}

impl TimeSeries {
    /// Takes a reading; answers what conditions and messages may name.
    pub fn take(&mut self, value: f64, window: Option<Duration>, now: Timestamp) -> Value {
        let previous = self.last.replace(value).unwrap_or(value);
        let Some(window) = window else {
            return json!({ "value": number(value), "previous": number(previous) });
        };
        let oldest = now - window;
        while self.parts.front().is_some_and(|part| part.last_at < oldest) {
            self.parts.pop_front();
        }
        let fresh = Part {
            from: now,
            count: 1,
            sum: value,
            min: value,
            max: value,
            first: value,
            last: value,
            last_at: now,
        };
        match self.parts.back_mut().filter(|part| part.from.until(now) < window / PARTS) {
            Some(part) => {
                part.count += 1;
                part.sum += value;
                part.min = part.min.min(value);
                part.max = part.max.max(value);
                (part.last, part.last_at) = (value, now);
            }
            None => self.parts.push_back(fresh),
        }
        while self.parts.len() > PARTS as usize + 1 {
            self.parts.pop_front(); // only a clock that was set back makes so many
        }
        json!({ "value": number(value), "previous": number(previous), "window": self.summary() })
    }

    fn summary(&self) -> Value {
        let count: u32 = self.parts.iter().map(|part| part.count).sum();
        let sum: f64 = self.parts.iter().map(|part| part.sum).sum();
        let min = self.parts.iter().map(|part| part.min).fold(f64::INFINITY, f64::min);
        let max = self.parts.iter().map(|part| part.max).fold(f64::NEG_INFINITY, f64::max);
        let ends = self.parts.front().zip(self.parts.back());
        let delta = ends.map_or(0.0, |(first, last)| last.last - first.first);
        let seconds = ends.map_or(0.0, |(first, last)| first.from.until(last.last_at).as_secs_f64());
        let rate = if seconds > 0.0 { delta / seconds } else { 0.0 };
        json!({ "count": count, "min": number(min), "max": number(max), "mean": number(sum / f64::from(count.max(1))), "delta": number(delta), "rate": rate })
    }

    /// When the last reading of a window came.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.parts.back().map(|part| part.last_at)
    }

    /// The clock was set: readings keep their distance from now.
    pub fn shift(&mut self, by: i64) {
        for part in &mut self.parts {
            part.from.0 += by;
            part.last_at.0 += by;
        }
    }
}

/// A whole number reads as one: 180 cm, not 180.0 cm. Beyond 2^53 a float has no exact one.
#[must_use]
pub fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_what_is_older_and_never_grows() {
        let start = Timestamp(1_800_000_000_000);
        let mut numbers = TimeSeries::default();
        let window = Some(Duration::from_secs(600));
        let first = numbers.take(10.0, window, start);
        assert_eq!(first["previous"], json!(10));
        assert_eq!(first["window"]["rate"], json!(0.0));
        let second = numbers.take(16.0, window, start + Duration::from_secs(60));
        assert_eq!(second["previous"], json!(10));
        assert_eq!(
            second["window"],
            json!({"count": 2, "min": 10, "max": 16, "mean": 13, "delta": 6, "rate": 0.1})
        );
        let third = numbers.take(1.0, window, start + Duration::from_secs(1_000));
        assert_eq!(third["window"]["count"], json!(1));
        for second in 0..10_000 {
            numbers.take(
                f64::from(second),
                window,
                start + Duration::from_millis(1_000_000 + 100 * u64::from(second as u32)),
            );
        }
        assert!(numbers.parts.len() <= 33);
    }

    #[test]
    fn readings_of_a_32nd_of_the_window_are_one_part() {
        let start = Timestamp(1_800_000_000_000);
        let seconds = Duration::from_secs;
        let mut numbers = TimeSeries::default();
        let mut take =
            |value, after| numbers.take(value, Some(seconds(320)), start + after)["window"].clone();
        take(1.0, seconds(0));
        take(9.0, Duration::from_millis(9_999));
        let both = take(5.0, seconds(10));
        assert_eq!(both, json!({"count": 3, "min": 1, "max": 9, "mean": 5, "delta": 4, "rate": 0.4}));
        let (count, spans) = (numbers.parts.len(), numbers.parts.iter().map(|part| part.count));
        assert_eq!((count, spans.collect::<Vec<_>>()), (2, vec![2, 1]));
        // The whole window is 33 parts, of which the first leaves when its last reading is older.
        for part in 2..=40 {
            numbers.take(1.0, Some(seconds(320)), start + seconds(part * 10));
        }
        assert_eq!((numbers.parts.len(), numbers.parts[0].from), (33, start + seconds(80)));
        // A clock that is set back leaves parts in its future; they are bounded, and the oldest go.
        for part in 0..10 {
            numbers.take(1.0, Some(seconds(320)), start + seconds(part * 10));
        }
        assert_eq!(numbers.parts.len(), 33);
    }

    #[test]
    fn a_corrected_clock_moves_readings_and_large_numbers_stay_floats() {
        let start = Timestamp(1_800_000_000_000);
        let window = Some(Duration::from_secs(60));
        let mut numbers = TimeSeries::default();
        numbers.take(1.0, window, start);
        numbers.shift(3_600_000);
        let later = start + Duration::from_secs(3_600);
        assert_eq!((numbers.parts[0].from, numbers.parts[0].last_at), (later, later));
        let moved = numbers.take(2.0, window, start + Duration::from_secs(3_600));
        assert_eq!((&moved["window"]["count"], numbers.parts.len()), (&json!(2), 1));
        let exact = 9_007_199_254_740_992.0;
        assert_eq!([number(exact - 1.0), number(-0.5)], [json!(9_007_199_254_740_991_i64), json!(-0.5)]);
        assert_eq!(number(exact), json!(exact));
    }
}
