//! Several alerts in one message: those that share the labels of `group_by` wait for each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::history::Kind;
use crate::alert::lifecycle::Ident;
use crate::alert::rule::Severity;
use crate::alert::words::alert_line;
use crate::time::Timestamp;

/// Lines that one group keeps until it is told: more than a message can show.
const LINES_MAX: usize = 500;
/// Lines whose words are in the message; the rest is counted.
const WORDED: usize = 20;

/// What waits to be said together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub label: String,
    pub lines: Vec<Waiting>,
    /// Alerts that did not fit.
    pub more: u32,
    pub due: Option<Timestamp>,
    pub flushed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub alert: Ident,
    /// The words of one that is over, and who had been told of it; one that fires has its words when the time comes.
    pub over: Option<(String, Vec<crate::ids::ContactId>)>,
}

/// One alert in a message to one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub alert: Ident,
    pub kind: Kind,
    pub severity: Severity,
    pub text: String,
}

impl Group {
    /// The first one waits for others, later ones for the end of the interval.
    pub fn add(&mut self, waiting: Waiting, wait: Duration, interval: Duration, now: Timestamp) {
        if self.lines.len() >= LINES_MAX {
            self.more += 1;
        } else {
            self.lines.push(waiting);
        }
        let soonest = now + wait;
        let due = self.flushed_at.map_or(soonest, |at| soonest.max(at + interval));
        self.due.get_or_insert(due);
    }

    /// The clock was set.
    pub fn shift(&mut self, by: i64) {
        for at in [&mut self.due, &mut self.flushed_at].into_iter().flatten() {
            at.0 += by;
        }
    }
}

/// Many alerts in one text, most severe first.
#[must_use]
pub fn compose(label: &str, lines: &[Line], more: u32) -> String {
    let mut ordered: Vec<&Line> = lines.iter().collect();
    ordered.sort_by_key(|line| (line.kind == Kind::Resolved, std::cmp::Reverse(line.severity)));
    let firing = lines.iter().filter(|line| line.kind != Kind::Resolved).count() + more as usize;
    let over = lines.iter().filter(|line| line.kind == Kind::Resolved).count();
    let count = match (firing, over) {
        (0, over) => format!("✅ {over} over"),
        (firing, 0) => format!("🔔 {firing} alerts"),
        (firing, over) => format!("🔔 {firing} alerts, {over} over"),
    };
    let mut text = if label.is_empty() { count } else { format!("{count} · {label}") };
    for line in ordered.iter().take(WORDED) {
        let mark = if line.kind == Kind::Resolved { "" } else { mark(line.severity) };
        let words: Vec<&str> = line.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        text += &format!("\n{mark}{}", words.join(" · "));
    }
    let unworded = ordered.len().saturating_sub(WORDED) + more as usize;
    if unworded > 0 {
        text += &format!("\n… and {unworded} more: `bellwire alerts list`");
    }
    text
}

/// With a space, before a line.
#[must_use]
pub fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🔴 ",
        Severity::Warning => "🟠 ",
        Severity::Info => "🔵 ",
    }
}

/// One line of a list.
#[must_use]
pub fn first_line(text: &str) -> String {
    alert_line(text).chars().take(200).collect()
}
