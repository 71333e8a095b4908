//! The only clock. Everything else is handed a [`Timestamp`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub i64);

/// As an answer of the API has it: RFC 3339.
#[cfg(test)]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// What the clock on the wall shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Since 1970-01-01, a Thursday.
    pub day: i64,
    /// Since midnight.
    pub minute: u16,
}

/// The same for a sentence: the day of the month, the month from 1, and `14:03`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub day: i8,
    pub month: u8,
    pub time: String,
}

/// Both clocks at once: the one on the wall may be set, the steady one only runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    /// Since some moment before the process began.
    pub steady: Duration,
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

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

impl SystemClock {
    #[must_use]
    pub fn both(&self) -> Now {
        static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
        let began = BEGAN.get_or_init(std::time::Instant::now);
        Now { wall: self.now(), steady: began.elapsed() }
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

    #[must_use]
    pub fn local(self, zone: &TimeZone) -> Local {
        let zoned = self.zoned(zone);
        let day = zoned.date().duration_since(jiff::civil::Date::ZERO)
            - EPOCH.duration_since(jiff::civil::Date::ZERO);
        let minute = i64::from(zoned.hour()) * 60 + i64::from(zoned.minute());
        Local { day: day.as_hours() / 24, minute: u16::try_from(minute).unwrap_or(0) }
    }

    /// When the clock on the wall shows that. A minute that a daylight saving change leaves out is an hour later, one
    /// that it repeats is the first of the two.
    #[must_use]
    pub fn of_local(local: Local, zone: &TimeZone) -> Self {
        let date = EPOCH.saturating_add(jiff::SignedDuration::from_hours(local.day * 24));
        let time = jiff::civil::time((local.minute / 60 % 24) as i8, (local.minute % 60) as i8, 0, 0);
        zone.to_ambiguous_zoned(date.to_datetime(time))
            .compatible()
            .map_or(Self(0), |zoned| Self(zoned.timestamp().as_millisecond()))
    }

    /// Each moment at which the clock on the wall shows that: two in the hour that a daylight saving change repeats. In the
    /// one that it leaves out, none: then what the clock would have shown, before and after.
    #[must_use]
    pub fn all_of_local(local: Local, zone: &TimeZone) -> [Self; 2] {
        let date = EPOCH.saturating_add(jiff::SignedDuration::from_hours(local.day * 24));
        let time = jiff::civil::time((local.minute / 60 % 24) as i8, (local.minute % 60) as i8, 0, 0);
        let at = zone.to_ambiguous_zoned(date.to_datetime(time));
        [at.clone().earlier(), at.later()]
            .map(|zoned| zoned.map_or(Self(0), |zoned| Self(zoned.timestamp().as_millisecond())))
    }

    /// When the clock on the wall is put forward or back next.
    #[must_use]
    pub fn next_change(self, zone: &TimeZone) -> Option<Self> {
        let at = jiff::Timestamp::from_millisecond(self.0).ok()?;
        zone.following(at).next().map(|change| Self(change.timestamp().as_millisecond()))
    }

    /// `2026-11-21T14:03:07+04:00`, or without an offset as the clock on the wall shows it: `2026-11-21 14:03`.
    #[must_use]
    pub fn parse(text: &str, zone: &TimeZone) -> Option<Self> {
        if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            return Some(Self(exact.as_millisecond()));
        }
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let zoned = zone.to_ambiguous_zoned(civil).compatible().ok()?;
        Some(Self(zoned.timestamp().as_millisecond()))
    }

    #[must_use]
    pub fn calendar(self, zone: &TimeZone) -> Calendar {
        let zoned = self.zoned(zone);
        let month = u8::try_from(zoned.month()).unwrap_or(1);
        Calendar { day: zoned.day(), month, time: zoned.strftime("%H:%M").to_string() }
    }

    /// What the page says: `21 Nov, 14:03`. Messages say it in their reader's language, by the reader's clock.
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

    /// RFC 3339, with any offset.
    #[must_use]
    pub fn exact(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }

    /// When this month began, in UTC.
    #[must_use]
    pub fn month_began(self) -> Self {
        let day = self.zoned(&TimeZone::UTC).first_of_month().and_then(|day| day.start_of_day());
        day.map_or(self, |day| Self(day.timestamp().as_millisecond()))
    }

    /// `2026-11-21`, in UTC.
    #[must_use]
    pub fn day(self) -> String {
        self.zoned(&TimeZone::UTC).strftime("%Y-%m-%d").to_string()
    }

    /// To the millisecond, as the clock on the wall shows it and with its offset: `2026-11-21T14:03:07.123+04:00`.
    #[must_use]
    pub fn for_records(self, zone: &TimeZone) -> String {
        self.zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
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

/// The same, or what to do about a name that is none.
pub fn zone_or_why(name: &str) -> Result<TimeZone, String> {
    zone(name).ok_or_else(|| match zone("Europe/Berlin") {
        None => "this machine knows no time zones: install the package tzdata".to_owned(),
        Some(_) => format!("`{name}` is not a time zone; write it as Asia/Tbilisi or Europe/Berlin"),
    })
}

/// The IANA name of the zone that this machine's clock on the wall shows; UTC where it has none.
#[must_use]
pub fn zone_of_this_machine() -> String {
    let zone = TimeZone::try_system().ok();
    zone.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC").to_owned()
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

/// A duration for records and lists: the two largest units, `2 h 5 min`.
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
        assert_eq!(at.month_began().rfc3339(), "2026-11-01T00:00:00Z");
        assert_eq!((at.month(), at.day()), ("2026-11".into(), "2026-11-21".into()));
        assert_eq!(Timestamp::from_http_date("Sat, 21 Nov 2026 06:23:00 GMT"), Some(at));
        let zone = zone("Asia/Tbilisi").expect("a known zone");
        assert_eq!(at.for_people(&zone), "21 Nov, 10:23");
    }
}
