//! When each site asked last, and what it said of itself then. "Asked last" is all that is known: presence that is made of
//! connections and their ends goes wrong for days where there are several servers.

use std::collections::BTreeMap;

use bellwire::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Change, Rows};

/// A row of that table; its key is the site's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Its name and version.
    pub program: Option<String>,
    /// Messages in its outbox.
    pub waiting: u64,
    /// For how many seconds the oldest of them has waited.
    pub oldest: u64,
}

#[derive(Debug, Clone, Default)]
pub struct SeenSites(BTreeMap<String, Seen>);

impl SeenSites {
    #[must_use]
    pub fn of(&self, site: &str) -> Option<&Seen> {
        self.0.get(site)
    }
}

impl Seen {
    /// How long ago, by this machine's clock.
    #[must_use]
    pub fn ago(&self, now: Timestamp) -> std::time::Duration {
        Timestamp(self.at).until(now)
    }
}

impl Rows for SeenSites {
    fn apply(&mut self, (site, value): Change) {
        match value.as_deref().and_then(|value| serde_json::from_slice(value).ok()) {
            Some(seen) => self.0.insert(site, seen),
            None => self.0.remove(&site),
        };
    }
}
