//! Quiet hours: when a person, or a rule, is left in peace, and what breaks through.

use jiff::tz::TimeZone;

use crate::alert::rule::Severity;
use crate::time::{Local, Timestamp};

/// Each day from one minute to another, over midnight if the second is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    pub from: u16,
    pub to: u16,
    /// This severe, and more, is said at once all the same.
    pub break_through: Severity,
}

impl Quiet {
    /// `22:00-07:00`.
    #[must_use]
    pub fn parse(text: &str, break_through: Severity) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        (from != to).then_some(Self { from, to, break_through })
    }

    /// When they end, if they hold now. A clock that was never set decides nothing (RELIABILITY F17): an alarm at the
    /// wrong hour is better than none.
    #[must_use]
    pub fn end(&self, severity: Severity, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if !now.is_sane() || severity >= self.break_through {
            return None;
        }
        let Local { day, minute } = now.local(zone);
        let over_midnight = self.from > self.to;
        let inside = match over_midnight {
            true => minute >= self.from || minute < self.to,
            false => (self.from..self.to).contains(&minute),
        };
        let day = if over_midnight && minute >= self.from { day + 1 } else { day };
        let end = Timestamp::of_local(Local { day, minute: self.to }, zone);
        // In the hour that a daylight saving change repeats, `to` has been shown before: the next look decides.
        let end = if end > now { end } else { now + std::time::Duration::from_secs(60) };
        inside.then_some(end)
    }
}

/// `07:00`.
#[must_use]
pub fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::zone;

    #[test]
    fn they_begin_and_end_by_the_clock_on_the_wall() {
        let berlin = zone("Europe/Berlin").expect("known");
        let quiet = Quiet::parse("22:00-02:30", Severity::Critical).expect("hours");
        let check = |now: &str, expected: Option<&str>| {
            let at = |text: &str| Timestamp::parse(text, &berlin).expect(text);
            assert_eq!(quiet.end(Severity::Warning, at(now), &berlin), expected.map(at), "{now}");
        };
        check("2026-06-01 21:59", None);
        check("2026-06-01 22:00", Some("2026-06-02 02:30"));
        check("2026-06-02 02:29", Some("2026-06-02 02:30"));
        check("2026-06-02 02:30", None);
        // 02:30 does not exist on 29 March 2026: the clock goes from 02:00 to 03:00.
        check("2026-03-28 23:00", Some("2026-03-29T03:30:00+02:00"));
        // 02:15 comes twice on 25 October 2026.
        check("2026-10-25T02:15:00+02:00", Some("2026-10-25T02:30:00+02:00"));
        check("2026-10-25T02:15:00+01:00", Some("2026-10-25T02:16:00+01:00"));
        check("2028-02-28 23:00", Some("2028-02-29 02:30"));
        check("1970-01-01 23:00", None);
        assert_eq!(Quiet::parse("24:00-07:00", Severity::Critical), None);
        assert_eq!(Quiet::parse("22:60-07:00", Severity::Critical), None);
        assert_eq!(Quiet::parse("07:00-07:00", Severity::Critical), None);
    }
}
