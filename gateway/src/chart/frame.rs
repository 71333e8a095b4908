//! Scales: where a time and a value stand, which of them have a label, and what it says.

use jiff::tz::TimeZone;

use super::plot::Plot;
use crate::time::Timestamp;

/// Minutes between two labels of time.
const STEPS: [i64; 12] = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080];
const DAY: i64 = 1_440;
/// Labels of values, about.
const VALUES: f64 = 4.0;
/// Of the height, above the highest and below the lowest.
const MARGIN: f64 = 0.08;

/// What the two scales show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    from: Timestamp,
    until: Timestamp,
    low: f64,
    high: f64,
    /// Between two labels.
    step: f64,
}

impl Frame {
    /// All readings and thresholds are in it.
    #[must_use]
    pub fn of(plot: &Plot) -> Self {
        let limits = || plot.thresholds.iter().map(|one| one.limit);
        let low = limits().fold(plot.lowest(), f64::min);
        let high = limits().fold(plot.highest(), f64::max);
        // What does not change stands in the middle.
        let (low, high) = match high - low {
            range if range > high.abs().max(low.abs()) * 1e-6 => {
                (low - range * MARGIN, high + range * MARGIN)
            }
            _ => {
                let room = (high.abs() * 0.05).max(1.0);
                (low - room, high + room)
            }
        };
        let (from, until) = (plot.from, plot.until);
        Self { from, until, low, high, step: even((high - low) / VALUES) }
    }

    /// From 0 at the left to 1.
    #[must_use]
    pub fn x(&self, at: Timestamp) -> f64 {
        let span = (self.until.0 - self.from.0).max(1);
        ((at.0 - self.from.0) as f64 / span as f64).clamp(0.0, 1.0)
    }

    /// From 0 at the bottom to 1.
    #[must_use]
    pub fn y(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The values with a label, from below.
    #[must_use]
    pub fn values(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step).ceil();
        let values = (0..8).map(|number| (first + f64::from(number)) * self.step);
        values.take_while(|value| *value <= self.high).map(|value| (value, self.label(value))).collect()
    }

    /// As exact as the scale.
    #[must_use]
    pub fn label(&self, value: f64) -> String {
        self.written(value, 0)
    }

    /// One digit more exact than the scale.
    #[must_use]
    pub fn exact(&self, value: f64) -> String {
        self.written(value, 1)
    }

    fn written(&self, value: f64, more: usize) -> String {
        if self.step >= 100_000.0 || self.step < 0.000_1 {
            return if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}").replace(".0e", "e") };
        }
        let decimals = (-self.step.log10().floor()).max(0.0) as usize + more;
        let text = format!("{value:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        if text == "-0" { "0".to_owned() } else { text.to_owned() }
    }

    /// Round hours of the clock on the wall, at most so many. Where that is put back an hour comes twice, as it did.
    #[must_use]
    pub fn times(&self, zone: &TimeZone, most: i64) -> Vec<(Timestamp, String)> {
        let minutes = (self.until.0 - self.from.0) / 60_000;
        let step = STEPS.into_iter().find(|step| minutes / step <= most).unwrap_or(STEPS[STEPS.len() - 1]);
        // Offsets of zones are quarters of an hour.
        let grid = step.min(15) * 60_000;
        let mut at = self.from.0.div_euclid(grid) * grid;
        let mut found = Vec::new();
        while at <= self.until.0 && found.len() < 16 {
            let (time, local) = (Timestamp(at), Timestamp(at).local(zone));
            let is_round = match step {
                days @ DAY.. => local.minute == 0 && local.day % (days / DAY) == 0,
                step => i64::from(local.minute) % step == 0,
            };
            if is_round && at >= self.from.0 {
                let calendar = time.calendar(zone);
                let day = format!("{:02}-{:02}", calendar.month, calendar.day);
                found.push((time, if step >= DAY { day } else { calendar.time }));
            }
            at += grid;
        }
        found
    }
}

/// 1, 2 or 5 with zeros, and not less.
fn even(step: f64) -> f64 {
    let ten = 10_f64.powf(step.log10().floor());
    let even = [1.0, 2.0, 5.0].into_iter().find(|one| one * ten >= step * 0.999);
    even.unwrap_or(10.0) * ten
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chart::plot::Reading;
    use crate::rule::threshold::Threshold;

    fn frame(from: &str, hours: u64, values: &[f64], limits: &[f64]) -> Frame {
        let from = Timestamp::exact(from).expect("a time");
        let until = from + Duration::from_secs(hours * 3_600);
        let reading = |value: &f64| Reading { since: from, at: from, min: *value, max: *value, last: *value };
        let threshold = |limit: &f64| Threshold { limit: *limit, is_above: true, ends: false };
        let (readings, thresholds) =
            (values.iter().map(reading).collect(), limits.iter().map(threshold).collect());
        Frame::of(&Plot { from, until, readings, thresholds, marks: Vec::new() })
    }

    #[test]
    fn values_have_even_labels_that_are_told_apart() {
        for (values, limits, labels) in [
            (&[-18.25, -12.5][..], &[-15.0][..], "-18 -16 -14"),
            (&[-18.25, 4.0], &[-15.0, -17.0], "-20 -10 0"),
            (&[0.0, 0.03], &[], "0 0.01 0.02 0.03"),
            (&[1_013.2, 1_014.9], &[], "1013.5 1014 1014.5 1015"),
            (&[21.5], &[], "21 22"),
            (&[0.0], &[], "-1 -0.5 0 0.5 1"),
            (&[5_000_000.0, 1_000_000.0], &[], "2e6 4e6"),
            (&[-3.4e38, 3.4e38], &[], "-2e38 0 2e38"),
            (&[1e-9, 2e-9], &[], "1e-9 1.5e-9 2e-9"),
        ] {
            let found = frame("2026-11-21T06:00:00Z", 6, values, limits).values();
            let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts.join(" "), labels, "{values:?}");
        }
        let frame = frame("2026-11-21T06:00:00Z", 6, &[-18.25, -12.5], &[-15.0]);
        assert_eq!(
            ["-12.5", "-15", "0"],
            [-12.54, -15.0, -0.04].map(|value| frame.exact(value)).each_ref().map(String::as_str)
        );
        assert!(frame.y(-18.25) > 0.0 && frame.y(-12.5) < 1.0 && frame.y(99.0) == 1.0);
    }

    #[test]
    fn times_are_round_hours_on_the_clock_on_the_wall() {
        for (zone, from, hours, labels) in [
            ("Asia/Tbilisi", "2026-11-21T06:23:00Z", 6, "12:00 14:00 16:00"),
            ("Asia/Kathmandu", "2026-11-21T06:23:00Z", 6, "14:00 16:00 18:00"),
            ("UTC", "2026-11-21T06:23:00Z", 1, "06:30 06:45 07:00 07:15"),
            ("Europe/Berlin", "2026-11-20T12:00:00Z", 24, "18:00 00:00 06:00 12:00"),
            // The clock is put back at three, and forward at two.
            ("Europe/Berlin", "2026-10-25T00:10:00Z", 3, "02:00 03:00 04:00"),
            ("Europe/Berlin", "2026-10-24T23:50:00Z", 3, "02:00 02:00 03:00"),
            ("Europe/Berlin", "2026-03-29T00:10:00Z", 3, "03:00 04:00 05:00"),
            ("UTC", "2026-11-20T12:00:00Z", 168, "11-21 11-23 11-25 11-27"),
            ("UTC", "2026-11-20T12:00:00Z", 72, "11-21 11-22 11-23"),
        ] {
            let zone = crate::time::zone(zone).expect("a zone");
            let found = frame(from, hours, &[1.0], &[]).times(&zone, 4);
            let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts.join(" "), labels, "{from} {hours}");
        }
    }
}
