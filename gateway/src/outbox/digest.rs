//! What waits for one person, in one message: nothing is dropped, what does not fit is counted by rule.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::ids::AlertId;
use crate::outbox::message::{Button, Content};
use crate::time::Timestamp;

/// So many at once are a flood: half of the burst that Meta lends to one pair.
pub const FLOOD: u32 = 25;
/// What is later than this was held up by an outage: the person catches up in one message.
pub const LATE: Duration = Duration::from_secs(300);

/// What waits in a lane and has not been tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingMessages {
    /// Counted up to [`FLOOD`].
    pub count: u32,
    pub oldest: Timestamp,
}

/// Whether what waits leaves as one message. `pressed`: the burst that Meta lends is used up, or nearly.
#[must_use]
pub fn merges(waiting: WaitingMessages, pressed: bool, now: Timestamp) -> bool {
    waiting.count >= FLOOD || (waiting.count >= 2 && (pressed || waiting.oldest.until(now) >= LATE))
}

/// Whether a message waits for company while the person is left in peace: answers and what is critical do not.
#[must_use]
pub fn may_rest(alert: Option<AlertId>, severity: Severity) -> bool {
    alert.is_some() && severity < Severity::Critical
}

/// How long a person is left in peace after a message before the next digest: Meta's own pace for one pair.
pub const REST: Duration = Duration::from_secs(6);
/// Alerts whose words are in the digest. 200 fill eight screens of "Read on"; who reads on further looks at the outbox.
pub const WORDED: usize = 200;
/// Alerts in one digest: a bound on one transaction (about 40 ms for so many rows), not on what is told.
pub const MEMBERS_MAX: usize = 5_000;
/// Rows of a list that act; the tenth is "Read on".
const ACTIONS: usize = 9;

/// One alert in it, most severe first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub severity: Severity,
    pub content: Content,
}

/// `others` counts by rule what is not among the items. Buttons of items carry their full ids.
#[must_use]
pub fn compose(items: &[Item], others: &BTreeMap<String, u32>, locale: &Locale) -> Content {
    let unworded: u32 = others.values().sum();
    let alerts = locale.alerts(items.len() + unworded as usize);
    let mut text = locale.say(|s| s.some_firing, &[("alerts", &alerts)]);
    for (number, item) in items.iter().enumerate() {
        let line = one_line(&item.content.text);
        text += &format!("\n{}. {} {line}", number + 1, mark(item.severity));
    }
    if unworded > 0 {
        let counts: Vec<String> = others.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let blanks = [("count", unworded.to_string()), ("rules", counts.join(", "))];
        let blanks = blanks.each_ref().map(|(name, value)| (*name, value.as_str()));
        text += &format!("\n{}", locale.say(|s| s.and_more_of, &blanks));
    }
    let action = |(number, item): (usize, &Item)| {
        let description = one_line(&item.content.text);
        item.content
            .buttons
            .iter()
            .map(move |button| Button {
                title: format!("{}. {}", number + 1, button.title),
                description: Some(description.clone()),
                id: button.id.clone(),
            })
            .collect::<Vec<_>>()
    };
    Content {
        buttons: items.iter().enumerate().flat_map(action).take(ACTIONS).collect(),
        templates: items.first().map(|item| item.content.templates.clone()).unwrap_or_default(),
        ..Content::text(text)
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🔴",
        Severity::Warning => "🟠",
        Severity::Info => "🔵",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::language::Language;

    #[test]
    fn few_go_one_by_one_unless_they_are_late_or_the_pair_limit_is_near() {
        let now = Timestamp(1_000_000_000);
        let check = |count, late_s, pressed, expected| {
            let waiting = WaitingMessages { count, oldest: now - Duration::from_secs(late_s) };
            assert_eq!(merges(waiting, pressed, now), expected, "{count} {late_s} {pressed}");
        };
        check(24, 0, false, false);
        check(25, 0, false, true);
        check(2, 0, true, true);
        check(1, 0, true, false);
        check(2, 299, false, false);
        check(2, 300, false, true);
        check(1, 3_000, false, false);
    }

    #[test]
    fn a_digest_names_each_and_counts_the_rest() {
        let item = |severity, text: &str| Item {
            severity,
            content: Content { buttons: vec![Button::new("id", "Stop defrost")], ..Content::text(text) },
        };
        let items = [
            item(Severity::Critical, "Freezer 2 is at -3 °C\n🕑 21 Nov, 14:03"),
            item(Severity::Warning, "The door is open"),
        ];
        let others = BTreeMap::from([("door".to_owned(), 7), ("freezer".to_owned(), 30)]);
        let digest = compose(&items, &others, &Locale::default());
        assert_eq!(
            digest.text,
            "🔔 39 alerts\n1. 🔴 Freezer 2 is at -3 °C · 🕑 21 Nov, 14:03\n2. 🟠 The door is open\n… and 37 more: door 7, freezer 30"
        );
        assert_eq!(digest.buttons[1].title, "2. Stop defrost");
        assert_eq!(digest.buttons[1].description.as_deref(), Some("The door is open"));
        let german = Locale { language: Language::German, ..Locale::default() };
        let told = compose(&items, &others, &german).text;
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines[0], lines[3]), ("🔔 39 Alarme", "… und 37 weitere: door 7, freezer 30"));
        let many: Vec<Item> = (0..50).map(|n| item(Severity::Info, &format!("Alert {n}"))).collect();
        let all = compose(&many, &BTreeMap::new(), &german);
        assert_eq!((all.buttons.len(), all.text.lines().count()), (9, 51));
        let templates = vec![crate::outbox::message::Template::default()];
        let first = Item {
            content: Content { templates: templates.clone(), ..items[0].content.clone() },
            ..items[0].clone()
        };
        assert_eq!(compose(&[first, items[1].clone()], &others, &german).templates, templates);
    }

    #[test]
    fn answers_and_what_is_critical_do_not_wait_for_company() {
        let check = |alert: Option<i64>, severity| may_rest(alert.map(AlertId), severity);
        assert!(check(Some(1), Severity::Info) && check(Some(1), Severity::Warning));
        assert!(!check(Some(1), Severity::Critical) && !check(None, Severity::Info));
    }
}
