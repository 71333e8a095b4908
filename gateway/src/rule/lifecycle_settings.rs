//! What the configuration says about the life of an alert: a rule that has any of these keys has states, and holds
//! messages back; a rule that has none sends one message for each event.

use std::time::Duration;

use crate::contact::language::Locale;
use crate::contact::quiet_hours::QuietHours;
use crate::event::topic::TopicTemplate;
use crate::ids::RuleName;
use crate::rule::threshold::Threshold;
use crate::words::word_enum;

#[derive(Debug, Clone)]
pub struct LifecycleSettings {
    /// What tells one alert of the rule from another: levels by their names, wildcards (`+1`, `#`), Jinja expressions.
    pub key: Vec<String>,
    /// `for`: how long the condition must hold.
    pub pending_for: Duration,
    /// How long it must not hold before the alert is over.
    pub keep_firing_for: Duration,
    /// A Jinja expression; without one the alert is over when `when` no longer holds.
    pub resolve_when: Option<String>,
    /// Over when nothing has confirmed it for so long.
    pub resolve_after: Option<Duration>,
    pub send_resolved: bool,
    /// Said again this often until somebody acknowledges it; `None`: never.
    pub repeat_interval: Option<Duration>,
    pub group: Option<Grouping>,
    pub inhibited_by: Vec<Inhibition>,
    pub flapping: Flapping,
    pub dedupe: Option<Dedupe>,
    pub quiet: Option<QuietHours>,
    /// In the order of their delays.
    pub escalate: Vec<Step>,
    /// A sign of life must come this often.
    pub expect: Option<Duration>,
    /// A Jinja expression that gives the number to watch.
    pub value: Option<String>,
    pub window: Option<Duration>,
    /// The stretch of time that a picture of `value` shows.
    pub chart: Option<Duration>,
    /// Of `value`, as the conditions name them.
    pub thresholds: Vec<Threshold>,
    pub worst: WorstDirection,
    pub offers: Vec<BuiltInButton>,
}

#[derive(Debug, Clone)]
pub struct Grouping {
    /// Names of levels, parts of the key, or `rule`.
    pub by: Vec<String>,
    pub wait: Duration,
    pub interval: Duration,
}

/// Silent while an alert of `source` fires whose levels `equal` have the same values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibition {
    pub source: RuleName,
    pub equal: Vec<String>,
}

/// More changes than this within that time are told once, and then not one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    pub changes: u32,
    pub within: Duration,
}

/// Events with the same key within the window are one.
#[derive(Debug, Clone)]
pub struct Dedupe {
    /// A Jinja expression.
    pub key: String,
    pub window: Duration,
}

/// What follows when nobody acts.
#[derive(Debug, Clone)]
pub struct Step {
    /// After the alert began to fire.
    pub after: Duration,
    pub unless: Unless,
    pub target: Target,
}

word_enum! {
    /// What makes a step needless.
    Unless {
        Delivered = "delivered",
        Read = "read",
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }
}

#[derive(Debug, Clone)]
pub enum Target {
    /// Contacts and teams.
    People(Vec<String>),
    /// A buzzer, a lamp, another program.
    Topic { topic: TopicTemplate, payload: String },
    /// An HTTP POST.
    Post { url: String },
}

/// Which end of the scale is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorstDirection {
    Highest,
    Lowest,
}

/// A button of ours under the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltInButton {
    Acknowledge,
    Resolve,
    Snooze(Duration),
}

/// What the page shows of a number whose rule draws no picture.
const CURVE: Duration = Duration::from_secs(24 * 3_600);

impl LifecycleSettings {
    /// How long values are kept.
    #[must_use]
    pub fn curve_span(&self) -> Duration {
        self.chart.unwrap_or(CURVE)
    }

    #[must_use]
    pub fn worse(&self, a: Option<f64>, b: Option<f64>) -> Option<f64> {
        a.zip(b).map(|(a, b)| self.worst.of(a, b)).or(a).or(b)
    }
}

#[cfg(test)]
impl LifecycleSettings {
    /// With none of its keys but the states.
    pub fn bare() -> Self {
        Self {
            key: Vec::new(),
            pending_for: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            resolve_when: None,
            resolve_after: None,
            send_resolved: true,
            repeat_interval: None,
            group: None,
            inhibited_by: Vec::new(),
            flapping: Flapping { changes: 6, within: Duration::from_secs(600) },
            dedupe: None,
            quiet: None,
            escalate: Vec::new(),
            expect: None,
            value: None,
            window: None,
            chart: None,
            thresholds: Vec::new(),
            worst: WorstDirection::Highest,
            offers: Vec::new(),
        }
    }
}

impl WorstDirection {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "highest" => Some(Self::Highest),
            "lowest" => Some(Self::Lowest),
            _ => None,
        }
    }

    #[must_use]
    pub fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Highest => a.max(b),
            Self::Lowest => a.min(b),
        }
    }
}

impl BuiltInButton {
    /// A colon stands in no action's id.
    #[must_use]
    pub fn button_id(self) -> String {
        match self {
            Self::Acknowledge => ":acknowledge".into(),
            Self::Resolve => ":resolve".into(),
            Self::Snooze(time) => format!(":snooze-{}", time.as_secs()),
        }
    }

    #[must_use]
    pub fn of_button(id: &str) -> Option<Self> {
        match id.strip_prefix(':')? {
            "acknowledge" => Some(Self::Acknowledge),
            "resolve" => Some(Self::Resolve),
            other => {
                let seconds = other.strip_prefix("snooze-")?.parse().ok()?;
                Some(Self::Snooze(Duration::from_secs(seconds)))
            }
        }
    }

    /// What its button says.
    #[must_use]
    pub fn title(self, locale: &Locale) -> String {
        match self {
            Self::Acknowledge => locale.plain(|s| s.take_care),
            Self::Resolve => locale.plain(|s| s.end_it),
            Self::Snooze(time) => {
                let time = match time.as_secs() {
                    seconds if seconds % 3_600 == 0 => {
                        locale.say(|s| s.snooze_hours, &[("large", &(seconds / 3_600).to_string())])
                    }
                    seconds => locale.say(|s| s.snooze_minutes, &[("large", &(seconds / 60).to_string())]),
                };
                locale.say(|s| s.snooze, &[("time", &time)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_buttons_read_back_as_written() {
        let locale = Locale::default();
        for (offer, id, title) in [
            (BuiltInButton::Acknowledge, ":acknowledge", "I take care"),
            (BuiltInButton::Resolve, ":resolve", "It is over"),
            (BuiltInButton::Snooze(Duration::from_secs(7_200)), ":snooze-7200", "Snooze 2 h"),
            (BuiltInButton::Snooze(Duration::from_secs(5_400)), ":snooze-5400", "Snooze 90 min"),
        ] {
            assert_eq!((offer.button_id().as_str(), offer.title(&locale).as_str()), (id, title));
            assert_eq!(BuiltInButton::of_button(id), Some(offer));
        }
        assert_eq!([BuiltInButton::of_button("stop"), BuiltInButton::of_button(":snooze-")], [None; 2]);
        assert_eq!(
            ["highest", "lowest", "x"].map(WorstDirection::parse),
            [Some(WorstDirection::Highest), Some(WorstDirection::Lowest), None]
        );
    }
}
