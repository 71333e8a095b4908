//! What was measured, kept as JSON, and made into a page and plots.

mod machine;
mod page;
mod plot;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use machine::Machine;
pub use page::{text, write};
pub use plot::Plot;

/// All that one run of the bench found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub budgets: Vec<Line>,
    #[serde(default)]
    pub growth: Vec<Plot>,
    #[serde(default)]
    pub peers: Vec<Peer>,
    #[serde(default)]
    pub soak: Option<Soak>,
}

/// One figure against its aim.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub aim: String,
    pub unit: String,
    /// The median of the runs.
    pub value: f64,
    pub runs: Vec<f64>,
    /// What the machine can do at all, measured in the same run.
    pub floor: Option<Floor>,
    pub met: bool,
    pub note: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Floor {
    pub what: String,
    pub value: f64,
    /// Of the value to the floor.
    pub ratio: f64,
}

/// What one program made of the same work.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    pub version: String,
    pub start_ms: f64,
    pub idle_mb: f64,
    pub peak_mb: f64,
    pub cpu_us_per_message: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub burst_per_s: f64,
    pub sockets: u64,
    pub burst_sent: u64,
    pub lost_at_503: u64,
    pub lost_at_refusal: u64,
    pub outage_sent: u64,
    pub lost_at_kill: u64,
    pub twice_at_kill: u64,
    pub kill_sent: u64,
}

/// Hours of mixed load with faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Soak {
    pub seconds: u64,
    pub sent: u64,
    pub lost: u64,
    pub twice: u64,
    /// Alerts of which the outbox says that they may have come twice.
    #[serde(default)]
    pub marked: Option<u64>,
    /// How many of which.
    pub faults: BTreeMap<String, u64>,
    pub plots: Vec<Plot>,
    /// Slopes an hour over the second half, and whether each is flat.
    pub slopes: Vec<(String, f64, bool)>,
}

impl Report {
    /// What was measured anew takes the place of what was known.
    pub fn merge(&mut self, lines: Vec<Line>) {
        for line in lines {
            match self.budgets.iter_mut().find(|known| known.name == line.name) {
                Some(known) => *known = line,
                None => self.budgets.push(line),
            }
        }
    }
}

pub fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Line {
    pub fn new(name: &str, aim: &str, unit: &str, runs: Vec<f64>) -> Self {
        let value = median(&runs);
        Self { name: name.into(), aim: aim.into(), unit: unit.into(), value, runs, ..Self::default() }
    }

    pub fn at_most(mut self, limit: f64) -> Self {
        self.met = self.value <= limit;
        self
    }

    pub fn at_least(mut self, limit: f64) -> Self {
        self.met = self.value >= limit;
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With the median of the floor's runs.
    pub fn against(mut self, what: &str, runs: &[f64]) -> Self {
        let value = median(runs);
        self.floor = Some(Floor { what: what.into(), value, ratio: self.value / value });
        self
    }

    pub fn ratio(&self) -> f64 {
        self.floor.as_ref().map_or(f64::NAN, |floor| floor.ratio)
    }

    pub fn ratio_at_least(mut self, limit: f64) -> Self {
        self.met = self.ratio() >= limit;
        self
    }

    pub fn ratio_at_most(mut self, limit: f64) -> Self {
        self.met = self.ratio() <= limit;
        self
    }
}
