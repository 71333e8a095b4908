//! Several alerts in one message: those that share the labels of `group_by` wait for each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::effect::NotificationKind;
use crate::alert::lifecycle::AlertKey;
use crate::alert::notification::text::alert_line;
use crate::contact::language::{Locale, Sentences};
use crate::contact::severity::Severity;
use crate::ids::ContactId;
use crate::time::Timestamp;

/// Lines that one group keeps until it is told: more than a message can show.
const LINES_MAX: usize = 500;
/// Lines whose words are in the message; the rest is counted.
const WORDED: usize = 20;

/// Alerts that wait to be told together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub label: String,
    pub lines: Vec<PendingGroup>,
    /// Alerts that did not fit.
    pub more: u32,
    pub due: Option<Timestamp>,
    pub flushed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingGroup {
    pub alert: AlertKey,
    /// The words about one that is over; one that fires has its words when the time comes.
    pub over: Option<Resolution>,
}

/// The end of an alert, as those are told who had heard of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Resolution {
    /// Each text with those who read it: most often there is one, since most people of a site speak one language.
    Voiced(Vec<(String, Vec<ContactId>)>),
    /// As it was kept before people had languages of their own.
    ForAll(String, Vec<ContactId>),
}

impl Resolution {
    #[must_use]
    pub fn of(said: impl IntoIterator<Item = (ContactId, String)>) -> Self {
        let mut voiced: Vec<(String, Vec<ContactId>)> = Vec::new();
        for (contact, text) in said {
            match voiced.iter_mut().find(|(known, _)| *known == text) {
                Some((_, told)) => told.push(contact),
                None => voiced.push((text, vec![contact])),
            }
        }
        Self::Voiced(voiced)
    }

    /// The people who had been told.
    pub fn told(&self) -> impl Iterator<Item = &ContactId> {
        self.voiced().flat_map(|(_, told)| told)
    }

    /// The text for this person, if told.
    #[must_use]
    pub fn to(&self, contact: &ContactId) -> Option<&str> {
        self.voiced().find(|(_, told)| told.contains(contact)).map(|(text, _)| text)
    }

    fn voiced(&self) -> impl Iterator<Item = (&str, &[ContactId])> {
        let (many, one) = match self {
            Self::Voiced(voiced) => (voiced.as_slice(), None),
            Self::ForAll(text, told) => (&[][..], Some((text.as_str(), told.as_slice()))),
        };
        many.iter().map(|(text, told)| (text.as_str(), told.as_slice())).chain(one)
    }
}

/// One alert in a message to one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub alert: AlertKey,
    pub kind: NotificationKind,
    pub severity: Severity,
    pub text: String,
}

impl Group {
    /// The first one waits for others, later ones for the end of the interval.
    pub fn add(&mut self, waiting: PendingGroup, wait: Duration, interval: Duration, now: Timestamp) {
        if self.lines.len() >= LINES_MAX {
            self.more += 1;
        } else {
            self.lines.push(waiting);
        }
        let soonest = now + wait;
        let due = self.flushed_at.map_or(soonest, |at| soonest.max(at + interval));
        self.due.get_or_insert(due);
    }

    /// Read by a clock that is behind the one by which its newest alert was saved: it waits no longer for that. What was due
    /// before that alert was saved is by this clock already.
    pub fn go_on(&mut self, ahead: Duration, now: Timestamp) {
        if !ahead.is_zero() && self.due.is_some_and(|due| now + ahead <= due) {
            self.shift(-i64::try_from(ahead.as_millis()).unwrap_or(0));
        }
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
pub fn compose(label: &str, lines: &[Line], more: u32, locale: &Locale) -> String {
    let mut ordered: Vec<&Line> = lines.iter().collect();
    ordered.sort_by_key(|line| (line.kind == NotificationKind::Resolved, std::cmp::Reverse(line.severity)));
    let firing = lines.iter().filter(|line| line.kind != NotificationKind::Resolved).count() + more as usize;
    let over = lines.iter().filter(|line| line.kind == NotificationKind::Resolved).count();
    let choose: fn(&Sentences) -> &'static str = match (firing, over) {
        (0, _) => |s| s.some_over,
        (_, 0) => |s| s.some_firing,
        (_, _) => |s| s.some_of_both,
    };
    let count = locale.say(choose, &[("alerts", &locale.alerts(firing)), ("over", &over.to_string())]);
    let mut text = if label.is_empty() { count } else { format!("{count} · {label}") };
    for line in ordered.iter().take(WORDED) {
        let mark = if line.kind == NotificationKind::Resolved { "" } else { mark(line.severity) };
        let words: Vec<&str> = line.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        text += &format!("\n{mark}{}", words.join(" · "));
    }
    let unworded = ordered.len().saturating_sub(WORDED) + more as usize;
    if unworded > 0 {
        text += &format!("\n{}", locale.say(|s| s.and_more, &[("count", &unworded.to_string())]));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::topic::Bindings;

    #[test]
    fn resolutions_are_saved_once_per_text_and_old_forms_read() {
        let said = [("nino", "over"), ("heike", "vorbei"), ("giorgi", "over")];
        let over = Resolution::of(said.map(|(who, text)| (who.into(), text.to_owned())));
        let kept = serde_json::to_string(&over).expect("JSON");
        assert_eq!(kept, r#"[["over",["nino","giorgi"]],["vorbei",["heike"]]]"#);
        let former: Resolution =
            serde_json::from_str(r#"["over",["nino","heike"]]"#).expect("the former form");
        assert_eq!(former, Resolution::ForAll("over".into(), vec!["nino".into(), "heike".into()]));
        for over in [serde_json::from_str(&kept).expect("read back"), over] {
            assert_eq!([over.to(&"heike".into()), over.to(&"dato".into())], [Some("vorbei"), None]);
            assert_eq!(over.told().count(), 3);
        }
        assert_eq!((former.to(&"heike".into()), former.told().count()), (Some("over"), 2));
        let none: Resolution = serde_json::from_str("[]").expect("nobody was told");
        assert_eq!(none.told().count(), 0);
    }

    #[test]
    fn a_group_waits_and_counts_alerts_beyond_its_limit() {
        let now = Timestamp(1_790_000_000_000);
        let seconds = Duration::from_secs;
        let waiting = || PendingGroup { alert: AlertKey::of(&"r".into(), &[], &Bindings::new()), over: None };
        let mut group = Group::default();
        for _ in 0..LINES_MAX + 2 {
            group.add(waiting(), seconds(30), seconds(300), now);
        }
        assert_eq!((group.lines.len(), group.more, group.due), (500, 2, Some(now + seconds(30))));
        for (flushed, due) in
            [(now - seconds(100), now + seconds(200)), (now - seconds(299), now + seconds(30))]
        {
            let mut group = Group { flushed_at: Some(flushed), ..Group::default() };
            group.add(waiting(), seconds(30), seconds(300), now);
            assert_eq!(group.due, Some(due));
            group.shift(1_000);
            assert_eq!((group.due, group.flushed_at), (Some(due + seconds(1)), Some(flushed + seconds(1))));
        }
    }

    #[test]
    fn twenty_have_words_and_the_others_a_count() {
        let line = |number: usize| Line {
            alert: AlertKey::of(&"r".into(), &[], &Bindings::new()),
            kind: NotificationKind::Fired,
            severity: Severity::Info,
            text: number.to_string(),
        };
        let lines: Vec<Line> = (1..=23).map(line).collect();
        let text = compose("Kitchen", &lines, 4, &Locale::default());
        let told: Vec<&str> = text.lines().collect();
        assert_eq!((told[0], told[20], told.len()), ("🔔 27 alerts · Kitchen", "🔵 20", 22));
        assert_eq!(told[21], "… and 7 more: `bellwire alerts list`");
    }
}
