//! Quiet hours: when a person, or a rule, is left in peace, and what breaks through.

use jiff::tz::TimeZone;

use crate::contact::severity::Severity;
use crate::time::{Local, Timestamp};

/// More pieces of a day than anybody keeps in mind.
pub const HOURS_MAX: usize = 8;
const MINUTES_A_DAY: u16 = 24 * 60;

/// Each day from one minute to another, over midnight if the second is the smaller; one or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    hours: Vec<(u16, u16)>,
    /// This severe, and more, is said at once all the same.
    break_through: Severity,
}

impl QuietHours {
    /// `22:00-07:00`, or several such, up to `24:00`. Hours that fill the whole day would never let anything out.
    #[must_use]
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, break_through: Severity) -> Option<Self> {
        let read = |text: &str| {
            let (from, to) = text.split_once('-')?;
            let to = if to.trim() == "24:00" { MINUTES_A_DAY } else { minute(to)? };
            let from = minute(from)?;
            (from != to).then_some((from, to))
        };
        let hours: Vec<(u16, u16)> = texts.into_iter().map(read).collect::<Option<_>>()?;
        let quiet = Self { hours, break_through };
        let ends = (0..MINUTES_A_DAY).any(|minute| !quiet.has(minute));
        ((1..=HOURS_MAX).contains(&quiet.hours.len()) && ends).then_some(quiet)
    }

    /// When they end, if they hold now. A clock that was never set decides nothing (docs/reliability.md F17): an alarm at the
    /// wrong hour is better than none.
    ///
    /// They end where the clock on the wall leaves them: at their last minute, each time that it shows, and where it is put
    /// forward or back.
    #[must_use]
    pub fn end(&self, severity: Severity, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if !now.is_sane() || severity >= self.break_through || !self.holds(now, zone) {
            return None;
        }
        let Local { day, .. } = now.local(zone);
        let last = |(_, to): &(u16, u16)| {
            let (later, minute) = (i64::from(*to / MINUTES_A_DAY), *to % MINUTES_A_DAY);
            let days = [day + later, day + later + 1];
            days.map(|day| Timestamp::all_of_local(Local { day, minute }, zone)).concat()
        };
        let mut ends: Vec<Timestamp> = self.hours.iter().flat_map(last).collect();
        ends.extend(now.next_change(zone));
        ends.retain(|end| *end > now && !self.holds(*end, zone));
        // Always one: some minute of a day is not quiet. If not, the next look decides.
        Some(ends.into_iter().min().unwrap_or(now + std::time::Duration::from_secs(60)))
    }

    fn holds(&self, at: Timestamp, zone: &TimeZone) -> bool {
        self.has(at.local(zone).minute)
    }

    fn has(&self, minute: u16) -> bool {
        let inside = |(from, to): &(u16, u16)| match from > to {
            true => minute >= *from || minute < *to,
            false => (*from..*to).contains(&minute),
        };
        self.hours.iter().any(inside)
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

    fn check(hours: &[&str], now: &str, expected: Option<&str>) {
        let berlin = zone("Europe/Berlin").expect("known");
        let quiet = QuietHours::parse(hours.iter().copied(), Severity::Critical).expect("hours");
        let at = |text: &str| Timestamp::parse(text, &berlin).expect(text);
        assert_eq!(quiet.end(Severity::Warning, at(now), &berlin), expected.map(at), "{hours:?} {now}");
    }

    #[test]
    fn quiet_hours_follow_local_time() {
        let night = &["22:00-02:30"];
        check(night, "2026-06-01 21:59", None);
        check(night, "2026-06-01 22:00", Some("2026-06-02 02:30"));
        check(night, "2026-06-02 02:29", Some("2026-06-02 02:30"));
        check(night, "2026-06-02 02:30", None);
        check(night, "2028-02-28 23:00", Some("2028-02-29 02:30"));
        check(night, "1970-01-01 23:00", None);
    }

    #[test]
    fn quiet_hours_follow_the_clock_across_daylight_saving() {
        // 02:30 does not exist on 29 March 2026: the clock goes from 02:00 to 03:00, which is after it.
        check(&["22:00-02:30"], "2026-03-28 23:00", Some("2026-03-29T03:00:00+02:00"));
        check(&["22:00-07:00"], "2026-03-28 23:00", Some("2026-03-29T07:00:00+02:00"));
        // 02:00 to 03:00 comes twice on 25 October 2026.
        check(&["22:00-02:30"], "2026-10-25T02:15:00+02:00", Some("2026-10-25T02:30:00+02:00"));
        check(&["22:00-02:30"], "2026-10-25T02:45:00+02:00", None);
        check(&["22:00-02:30"], "2026-10-25T02:15:00+01:00", Some("2026-10-25T02:30:00+01:00"));
        // The clock goes back to 02:00 before it shows 03:00.
        check(&["02:30-03:00"], "2026-10-25T02:31:00+02:00", Some("2026-10-25T02:00:00+01:00"));
        check(&["02:30-03:00"], "2026-10-25T02:05:00+01:00", None);
        check(&["02:30-03:00"], "2026-10-25T02:31:00+01:00", Some("2026-10-25T03:00:00+01:00"));
        check(&["22:00-07:00"], "2026-10-24 23:00", Some("2026-10-25T07:00:00+01:00"));
    }

    #[test]
    fn a_day_may_have_several_quiet_hours_until_midnight() {
        let day = &["22:00-24:00", "00:00-07:00", "13:00-15:00"];
        check(day, "2026-06-01 22:00", Some("2026-06-02 07:00"));
        check(day, "2026-06-02 06:59", Some("2026-06-02 07:00"));
        check(day, "2026-06-02 12:59", None);
        check(day, "2026-06-02 13:00", Some("2026-06-02 15:00"));
        check(&["20:00-24:00"], "2026-06-02 23:59", Some("2026-06-03 00:00"));
        check(&["20:00-24:00"], "2026-06-03 00:00", None);
        check(&["12:00-14:00", "13:00-15:00"], "2026-06-03 12:30", Some("2026-06-03 15:00"));
    }

    #[test]
    fn hours_that_are_none_or_never_end_are_refused() {
        let parsed = |texts: &[&str]| QuietHours::parse(texts.iter().copied(), Severity::Critical).is_some();
        for wrong in ["24:00-07:00", "22:60-07:00", "07:00-07:00", "00:00-24:00", "22:00", "22:00-25:00"] {
            assert!(!parsed(&[wrong]), "{wrong}");
        }
        assert!(!parsed(&[]) && !parsed(&["00:00-12:00", "12:00-24:00"]));
        assert!(parsed(&["22:00-07:00"; HOURS_MAX]) && !parsed(&["22:00-07:00"; HOURS_MAX + 1]));
    }
}
