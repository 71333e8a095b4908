//! How long a version of the Graph API lives.
//!
//! A version past its end is not refused: Meta quietly answers as the next one would (or, for some calls, with code 2635).
//! So nothing fails on that day, and something may mean something else. `check`, `doctor` and `setup` look it up here.

use std::time::Duration;

use crate::time::Timestamp;

/// What a connection uses that names none: of the versions whose end is known the one that lives longest.
pub const DEFAULT: &str = "v25.0";
/// Whoever looks after a site by the month sees it twice.
const SOON: Duration = Duration::from_secs(60 * 86_400);

/// The first day without it, or `None` where Meta has set none yet. Source: developers.facebook.com/docs/graph-api/changelog
/// and the announcement of v27.0 of 2026-11-04; read 2026-11-29.
const ENDS: [(u8, Option<&str>); 8] = [
    (20, Some("2026-09-24")),
    (21, Some("2027-01-21")),
    (22, Some("2027-05-20")),
    (23, Some("2027-10-08")),
    (24, Some("2028-02-18")),
    (25, Some("2028-07-29")),
    (26, None),
    (27, None),
];

/// How a version stands on some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSupport {
    /// It has ended: since when.
    Ended(String),
    /// It ends within 60 days: when.
    Ends(String),
    /// No end is near, or none is known.
    Lives,
}

/// Of `v25.0`. A version that is newer than this program lives; one that is older than the table ended before it begins.
#[must_use]
pub fn standing(version: &str, today: Timestamp) -> VersionSupport {
    let Some(major) = major(version) else { return VersionSupport::Lives }; // refused where it is read
    let Some((_, end)) = ENDS.iter().find(|(known, _)| *known == major) else {
        return match major < ENDS[0].0 {
            true => VersionSupport::Ended(format!("version {version} of Meta's API ended long ago")),
            false => VersionSupport::Lives,
        };
    };
    let Some((end, begins)) = end.and_then(|end| Some((end, Timestamp::exact(&format!("{end}T00:00:00Z"))?)))
    else {
        return VersionSupport::Lives;
    };
    let left = today.until(begins);
    if left.is_zero() {
        VersionSupport::Ended(format!("version {version} of Meta's API ended on {end}"))
    } else if left <= SOON {
        VersionSupport::Ends(format!("version {version} of Meta's API ends on {end}"))
    } else {
        VersionSupport::Lives
    }
}

/// What to do about a version that has ended, or soon will.
#[must_use]
pub fn next_step() -> String {
    format!("write api_version = \"{DEFAULT}\" under [[connection]], or take the line out")
}

fn major(version: &str) -> Option<u8> {
    version.strip_prefix('v')?.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: &str) -> Timestamp {
        Timestamp::exact(&format!("{day}T12:00:00Z")).expect("a time")
    }

    #[test]
    fn api_versions_are_warned_of_60_days_before_their_end() {
        let check = |version: &str, day: &str, expected: &str| {
            let (word, sentence) = match standing(version, on(day)) {
                VersionSupport::Ended(sentence) => ("ended", sentence),
                VersionSupport::Ends(sentence) => ("ends", sentence),
                VersionSupport::Lives => ("lives", String::new()),
            };
            assert_eq!(word, expected, "{version} on {day}");
            assert!(word == "lives" || sentence.contains(version), "{sentence}");
        };
        for (version, day, expected) in [
            ("v17.0", "2026-11-29", "ended"),
            ("v20.0", "2026-09-23", "ends"),
            ("v20.0", "2026-09-24", "ended"),
            ("v20.0", "2026-11-29", "ended"),
            ("v21.0", "2026-11-21", "lives"),
            ("v21.0", "2026-11-22", "ends"),
            ("v21.0", "2027-01-20", "ends"),
            ("v21.0", "2027-01-21", "ended"),
            ("v22.0", "2027-05-20", "ended"),
            ("v23.0", "2027-10-08", "ended"),
            ("v24.0", "2028-02-18", "ended"),
            ("v25.0", "2028-05-29", "lives"),
            ("v25.0", "2028-05-30", "ends"),
            ("v25.0", "2028-07-29", "ended"),
            ("v26.0", "2030-01-01", "lives"),
            ("v27.0", "2030-01-01", "lives"),
            ("v99.0", "2030-01-01", "lives"),
            // A machine whose clock was never set refuses nothing.
            ("v25.0", "1970-01-01", "lives"),
        ] {
            check(version, day, expected);
        }
        let VersionSupport::Ends(sentence) = standing("v21.0", on("2026-12-01")) else {
            panic!("it ends soon")
        };
        assert!(sentence.contains("ends on 2027-01-21"), "{sentence}");
    }

    /// Whoever installs it on the day on which the table was written down has a year and more.
    #[test]
    fn the_default_api_version_is_supported_for_a_year() {
        let end = ENDS.iter().find(|(known, _)| Some(*known) == major(DEFAULT)).and_then(|(_, end)| *end);
        assert!(end.expect("its end is known") > "2027-11-29");
        assert_eq!(standing(DEFAULT, on("2027-11-29")), VersionSupport::Lives);
    }
}
