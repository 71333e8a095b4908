//! The only clock. Everything else is handed a [`Timestamp`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Where the time comes from: the machine in the daemon, a number in a simulation.
pub trait Clock {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

impl Timestamp {
    /// The start of 2026: a clock that says less has not been set since the machine booted (no RTC on a Pi).
    pub const EARLIEST_SANE: Self = Self(1_767_225_600_000);

    #[must_use]
    pub fn is_sane(self) -> bool {
        self >= Self::EARLIEST_SANE
    }

    /// The `Date` of an HTTP answer: `Sat, 21 Nov 2026 06:23:00 GMT`.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Self(parsed.as_millisecond()))
    }

    /// How long before `later`, zero if it is not before.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    fn zoned(self, zone: &TimeZone) -> jiff::Zoned {
        jiff::Timestamp::from_millisecond(self.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(zone.clone())
    }

    /// What a message says: `14:03` on the day itself is not enough when it is read tomorrow, so `21 Nov, 14:03`.
    #[must_use]
    pub fn for_people(self, zone: &TimeZone) -> String {
        self.zoned(zone).strftime("%-d %b, %H:%M").to_string()
    }

    /// What tables and logs say: `2026-11-21 14:03:07`.
    #[must_use]
    pub fn for_tables(self, zone: &TimeZone) -> String {
        self.zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `2026-11`, in UTC: months of bills.
    #[must_use]
    pub fn month(self) -> String {
        self.zoned(&TimeZone::UTC).strftime("%Y-%m").to_string()
    }

    /// RFC 3339 in UTC, for JSON.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.zoned(&TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// The zone of that IANA name, for example `Asia/Tbilisi`.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A duration as the configuration writes it: a whole number and a unit, `90s`, `5m`, `2h`, `7d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let seconds = match text.get(digits..)?.trim() {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A duration for a sentence: the two largest units, `2 h 5 min`.
#[must_use]
pub fn duration_for_people(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("5m", Some(300));
        check("10 min", Some(600));
        check("2h", Some(7_200));
        check("7d", Some(604_800));
        check("5", None);
        check("m", None);
        check("-5m", None);
        check("99999999999999999d", None);
    }

    #[test]
    fn a_time_reads_in_the_sites_zone() {
        let at = Timestamp(1_795_242_180_000);
        assert_eq!(at.rfc3339(), "2026-11-21T06:23:00Z");
        assert_eq!(Timestamp::from_http_date("Sat, 21 Nov 2026 06:23:00 GMT"), Some(at));
        let zone = zone("Asia/Tbilisi").expect("a known zone");
        assert_eq!(at.for_people(&zone), "21 Nov, 10:23");
    }
}
