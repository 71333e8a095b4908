//! The alerts that quiet hours held back for one person, until it is told in one message.

use serde::{Deserialize, Serialize};

use crate::alert::effect::NotificationKind;
use crate::alert::lifecycle::AlertKey;
use crate::alert::notification::grouping::{Line, first_line, mark};
use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::outbox::message::Template;
use crate::time::Timestamp;

/// Lines that one night keeps for one person; the rest is counted.
const LINES_MAX: usize = 40;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldForSummary {
    pub until: Timestamp,
    pub lines: Vec<HeldLine>,
    pub more: u32,
    /// Of the first alert without a life: nobody else remembers what its summary may be sent with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldLine {
    pub alert: AlertKey,
    pub severity: i64,
    pub text: String,
    pub at: Timestamp,
    pub over_at: Option<Timestamp>,
    /// It was the end of an alert that had been told before.
    pub is_end: bool,
}

impl HeldLine {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.over_at.is_none() && !self.is_end
    }
}

impl HeldForSummary {
    #[must_use]
    pub fn new(until: Timestamp) -> Self {
        Self { until, lines: Vec::new(), more: 0, templates: Vec::new() }
    }

    /// One line an alert: what is said again changes it.
    pub fn add(&mut self, line: &Line, now: Timestamp) {
        let is_end = line.kind == NotificationKind::Resolved;
        if let Some(known) = self.of(&line.alert) {
            if is_end {
                known.over_at = Some(now);
            }
            return;
        }
        let last = self.lines.iter().rev().find(|known| known.alert == line.alert);
        if !is_end || last.is_none_or(|last| last.over_at.is_none()) {
            self.push(line, now); // else its line says already that it is over
        }
    }

    /// A line of its own, whatever was said before.
    pub fn push(&mut self, line: &Line, at: Timestamp) {
        if self.lines.len() >= LINES_MAX {
            self.more += 1;
            // What still fires in the morning matters more than what came and went.
            let over = self.lines.iter().position(|line| !line.is_open());
            let Some(over) = over.filter(|_| line.kind != NotificationKind::Resolved) else { return };
            self.lines.remove(over);
        }
        let (alert, severity, text) = (line.alert.clone(), line.severity.rank(), first_line(&line.text));
        let is_end = line.kind == NotificationKind::Resolved;
        self.lines.push(HeldLine { alert, severity, text, at, over_at: None, is_end });
    }

    /// It is over before anybody heard of it.
    pub fn over(&mut self, alert: &AlertKey, now: Timestamp) -> bool {
        self.of(alert).is_some_and(|line| {
            line.over_at = Some(now);
            true
        })
    }

    /// The line of this alert, if it goes on.
    fn of(&mut self, alert: &AlertKey) -> Option<&mut HeldLine> {
        self.lines.iter_mut().find(|line| line.alert == *alert && line.is_open())
    }

    /// Lines of what goes on.
    pub fn open(&self) -> impl Iterator<Item = &HeldLine> {
        self.lines.iter().filter(|line| line.is_open())
    }

    #[must_use]
    pub fn severity(&self) -> Severity {
        Severity::of_rank(self.lines.iter().map(|line| line.severity).max().unwrap_or(0))
    }

    /// The summary.
    #[must_use]
    pub fn text(&self, now: Timestamp, locale: &Locale) -> String {
        let alerts = locale.alerts(self.lines.len() + self.more as usize);
        let mut text = locale.say(|s| s.in_quiet_hours, &[("alerts", &alerts)]);
        let mut lines: Vec<&HeldLine> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.at); // what was told before and still fires came in last
        for line in lines {
            let at = locale.time_on(line.at, now);
            let mark = if line.is_end { "" } else { mark(Severity::of_rank(line.severity)) };
            let end = line.over_at.map(|over| {
                locale.say(|s| s.over_meanwhile, &[("age", &locale.duration(line.at.until(over)))])
            });
            let end = end.unwrap_or_default();
            text += &format!("\n{mark}{at} {}{end}", line.text);
        }
        if self.more > 0 {
            text += &format!("\n{}", locale.say(|s| s.and_more, &[("count", &self.more.to_string())]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn line(rule: &str, kind: NotificationKind) -> Line {
        let alert = AlertKey { rule: rule.into(), key: String::new() };
        Line { alert, kind, severity: Severity::Warning, text: format!("{rule} is open") }
    }

    #[test]
    fn an_alert_has_one_line_which_its_own_end_closes() {
        let later = NOW + Duration::from_secs(60);
        let mut held = HeldForSummary::new(later);
        let ends = |held: &HeldForSummary| {
            held.lines.iter().map(|line| (line.over_at, line.is_end)).collect::<Vec<_>>()
        };
        held.add(&line("door", NotificationKind::Fired), NOW);
        held.add(&line("door", NotificationKind::Still), later);
        assert_eq!(ends(&held), [(None, false)]);
        assert!(!held.over(&line("gate", NotificationKind::Resolved).alert, later));
        held.add(&line("door", NotificationKind::Resolved), later);
        assert_eq!(ends(&held), [(Some(later), false)]);
        assert!(!held.over(&line("door", NotificationKind::Resolved).alert, later), "it is over already");
        // Of one that had been told before the night the end is a line of its own.
        held.add(&line("gate", NotificationKind::Resolved), later);
        assert_eq!(ends(&held), [(Some(later), false), (None, true)]);
        assert_eq!(held.open().count(), 0);
        // One that was told before the night, still fired in it, and ended: its line says so, once.
        held.add(&line("oven", NotificationKind::Still), NOW);
        assert!(held.over(&line("oven", NotificationKind::Resolved).alert, later));
        held.add(&line("oven", NotificationKind::Resolved), later);
        assert_eq!(ends(&held).last(), Some(&(Some(later), false)));
        assert_eq!(held.lines.len(), 3);
    }

    #[test]
    fn a_summary_always_lists_what_still_fires() {
        let mut held = HeldForSummary::new(NOW);
        for index in 0..100 {
            let door = line(&format!("door {index}"), NotificationKind::Fired);
            held.add(&door, NOW);
            held.over(&door.alert, NOW);
        }
        held.add(&line("freezer", NotificationKind::Fired), NOW);
        assert_eq!((held.lines.len(), held.more), (LINES_MAX, 61));
        assert_eq!(held.open().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["freezer is open"]);
    }

    #[test]
    fn a_night_keeps_forty_lines_and_counts_the_rest() {
        for (pushed, more, first, last) in [
            (40, 0, "🌙 In your quiet hours: 40 alerts", None),
            (42, 2, "🌙 In your quiet hours: 42 alerts", Some("… and 2 more: `bellwire alerts list`")),
        ] {
            let mut held = HeldForSummary::new(NOW);
            (0..pushed).for_each(|_| held.push(&line("door", NotificationKind::Fired), NOW));
            assert_eq!((held.lines.len(), held.more), (LINES_MAX, more));
            let text = held.text(NOW, &Locale::default());
            assert_eq!(text.lines().next(), Some(first));
            assert_eq!(text.lines().nth(1 + LINES_MAX), last);
        }
    }
}
