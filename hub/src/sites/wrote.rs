//! Which sites wrote to a person, and when: an answer that quotes nothing is for one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::json;

/// A person's own words are answered for so long (Meta's customer service window), and the engine keeps a row as long.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// A row is not written for each message of a flood.
const ANEW: Duration = Duration::from_secs(3_600);

/// A row: when each of them did last, up to an hour early, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wrote(BTreeMap<String, i64>);

impl Wrote {
    /// One that cannot be read is none: then a person is asked.
    #[must_use]
    pub fn read(row: Option<&[u8]>) -> Self {
        row.and_then(|row| serde_json::from_slice(row).ok()).unwrap_or_default()
    }

    /// The row with that site; `None`: what it says is new enough.
    #[must_use]
    pub fn with(mut self, site: &str, now: Timestamp) -> Option<Bytes> {
        if self.0.get(site).is_some_and(|at| is_within(*at, now, ANEW)) {
            return None;
        }
        self.0.insert(site.to_owned(), now.0);
        self.0.retain(|_, at| is_within(*at, now, DAY));
        Some(json(&self))
    }

    /// The row without that site; `None`: it is not in it.
    #[must_use]
    pub fn without(mut self, site: &str) -> Option<Bytes> {
        self.0.remove(site).map(|_| json(&self))
    }

    pub fn sites(&self, now: Timestamp) -> impl Iterator<Item = &String> {
        self.0.iter().filter(move |(_, at)| is_within(**at, now, DAY)).map(|(site, _)| site)
    }
}

fn is_within(at: i64, now: Timestamp, how_long: Duration) -> bool {
    Timestamp(at).until(now) < how_long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_counts_for_a_day_after_its_last_message() {
        let hour = |hour: u64| Timestamp(0) + Duration::from_secs(hour * 3_600);
        let row = Wrote::default().with("a", hour(0)).expect("it is new");
        assert_eq!(Wrote::read(Some(&row)).with("a", Timestamp(hour(1).0 - 1)), None);
        let row = Wrote::read(Some(&row)).with("b", hour(10)).expect("it is new");
        let row = Wrote::read(Some(&row)).with("a", hour(20)).expect("it is old");
        let sites = |at: u64| Wrote::read(Some(&row)).sites(hour(at)).cloned().collect::<Vec<_>>();
        assert_eq!(sites(33), ["a", "b"]);
        assert_eq!(sites(34), ["a"], "it wrote a day ago");
        assert!(sites(44).is_empty());
        let row = Wrote::read(Some(&row)).with("c", hour(50)).expect("it is new");
        assert_eq!(Wrote::read(Some(&row)).0.len(), 1, "a row does not grow for ever");
        assert_eq!(Wrote::read(Some(&row)).without("a"), None);
        assert_eq!(Wrote::read(Some(b"[]")), Wrote::default());
    }
}
