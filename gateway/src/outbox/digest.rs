//! The messages that wait for one person, in one: nothing is dropped, what does not fit is counted by rule.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contact::Recipient;
use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, MessageId};
use crate::outbox::message::{Button, Content, Template};
use crate::outbox::message_state::OnUnknown;
use crate::time::Timestamp;

/// So many at once are a flood: half of the burst that Meta lends to one pair.
pub const FLOOD: u32 = 25;
/// A message that is later than this was held up by an outage: the person catches up in one message.
pub const LATE: Duration = Duration::from_secs(300);

/// The messages that wait in a lane and were not tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingMessages {
    /// Counted up to [`FLOOD`].
    pub count: u32,
    /// Means something where there are any.
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

/// The time between a message to a person and the next digest: Meta's own pace for one pair.
pub const REST: Duration = Duration::from_secs(6);
/// Alerts whose words are in the digest. 200 fill eight screens of "Read on"; who reads on further looks at the outbox.
pub const WORDED: usize = 200;
/// Alerts in one digest: a bound on one transaction (about 40 ms for so many rows), not on what is told.
pub const MEMBERS_MAX: usize = 5_000;
/// Rows of a list that act; the tenth is "Read on".
const ACTIONS: usize = 9;

/// One alert in it that is told in words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    severity: Severity,
    content: Content,
}

/// A message that waits, as a digest needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: MessageId,
    pub severity: Severity,
    /// Of its alert; a rule may have gone since.
    pub rule: Option<String>,
    pub on_unknown: OnUnknown,
    pub expires_at: Timestamp,
}

/// The message that leaves in place of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub members: Vec<MessageId>,
    pub to: Recipient,
    pub severity: Severity,
    pub content: Content,
    pub on_unknown: OnUnknown,
    pub expires_at: Timestamp,
}

/// The members of a digest, gathered one by one: the most severe first, then the oldest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathering {
    members: Vec<MessageId>,
    to: Option<Recipient>,
    items: Vec<Item>,
    /// Counts by rule what has no words.
    others: BTreeMap<String, u32>,
    must_not_repeat: bool,
    expires_at: Option<Timestamp>,
}

impl Gathering {
    /// Whether the next one is told in words: then its content is asked for.
    #[must_use]
    pub fn has_words_left(&self) -> bool {
        self.items.len() < WORDED
    }

    /// One more, with its address and content where it is told in words; buttons carry their full ids.
    pub fn add(&mut self, member: Member, words: Option<(Option<Recipient>, Content)>) {
        // What has no words counts as much: no member may come twice that must not, nor be too old before its own time.
        self.must_not_repeat |= member.on_unknown == OnUnknown::Hold;
        self.expires_at = self.expires_at.max(Some(member.expires_at));
        self.members.push(member.id);
        match (words, member.rule) {
            (Some((to, content)), _) => {
                self.to = to.or(self.to.take());
                self.items.push(Item { severity: member.severity, content });
            }
            (None, Some(rule)) => *self.others.entry(rule).or_default() += 1,
            (None, None) => {}
        }
    }

    /// The one message in place of all; none when there is nobody to send it to.
    #[must_use]
    pub fn digest(self, locale: &Locale, now: Timestamp) -> Option<Digest> {
        let severity = self.items.first()?.severity;
        Some(Digest {
            to: self.to?,
            severity,
            content: compose(&self.items, &self.others, locale),
            on_unknown: if self.must_not_repeat { OnUnknown::Hold } else { OnUnknown::Retry },
            expires_at: self.expires_at.map_or(now, |at| at.max(now)),
            members: self.members,
        })
    }
}

/// `others` counts by rule what is not among the items. Buttons of items carry their full ids.
fn compose(items: &[Item], others: &BTreeMap<String, u32>, locale: &Locale) -> Content {
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
    let mut templates = items.first().map(|item| item.content.templates.clone()).unwrap_or_default();
    templates.sort_by_key(Template::needs_file); // the picture of the first alone, only where no other may go out
    Content {
        buttons: items.iter().enumerate().flat_map(action).take(ACTIONS).collect(),
        templates,
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
    use crate::outbox::message::{Header, Media, Part};

    #[test]
    fn few_messages_merge_only_when_late_or_limited() {
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
    fn a_digest_prefers_a_template_without_a_picture() {
        let drawn = Media::Kept { sha256: "a".into(), is_drawn: true };
        let template = |name: &str, header| Template { name: name.into(), header, ..Template::default() };
        let templates =
            vec![template("pictured", Some(Header::Image(drawn.clone()))), template("plain", None)];
        let content = Content { templates, part: Some(Part::Image(drawn)), ..Content::text("x") };
        let digest =
            compose(&[Item { severity: Severity::Info, content }], &BTreeMap::new(), &Locale::default());
        let names: Vec<&str> = digest.templates.iter().map(|template| template.name.as_str()).collect();
        assert_eq!((names, digest.part), (vec!["plain", "pictured"], None));
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

    fn member(id: i64, on_unknown: OnUnknown, expires_at: i64) -> Member {
        let rule = Some(["door", "gate"][usize::from(id % 2 == 1)].to_owned());
        Member {
            id: MessageId(id),
            severity: Severity::Warning,
            rule,
            on_unknown,
            expires_at: Timestamp(expires_at),
        }
    }

    fn words(text: &str) -> Option<(Option<Recipient>, Content)> {
        Some((Recipient::parse("+15550100123"), Content::text(text)))
    }

    #[test]
    fn members_without_text_count_for_policy_and_expiry() {
        use OnUnknown::{Hold, Retry};
        for (of_the_last, now, expected) in [
            ((Retry, 5), 0, (Retry, 7)),
            ((Hold, 5), 0, (Hold, 7)),
            ((Retry, 9), 0, (Retry, 9)),
            ((Retry, 5), 8, (Retry, 8)),
        ] {
            let mut gathering = Gathering::default();
            gathering.add(member(1, Retry, 7), words("hot"));
            gathering.add(member(2, of_the_last.0, of_the_last.1), None);
            let digest = gathering.digest(&Locale::default(), Timestamp(now)).expect("a digest");
            assert_eq!((digest.on_unknown, digest.expires_at.0), expected, "{of_the_last:?} at {now}");
            assert_eq!(digest.members, [MessageId(1), MessageId(2)]);
        }
    }

    #[test]
    fn a_digest_lists_200_and_counts_the_rest_by_rule() {
        let mut gathering = Gathering::default();
        for id in 0..205 {
            let words = gathering.has_words_left().then(|| words("hot")).flatten();
            assert_eq!(words.is_some(), id < 200, "{id}");
            gathering.add(member(id, OnUnknown::Retry, 0), words);
        }
        let of_no_alert = Member { rule: None, ..member(205, OnUnknown::Retry, 0) };
        gathering.add(of_no_alert, None);
        let digest = gathering.digest(&Locale::default(), Timestamp(0)).expect("a digest");
        let lines: Vec<&str> = digest.content.text.lines().collect();
        assert_eq!((lines[0], lines.len()), ("🔔 205 alerts", 202));
        assert_eq!(lines[201], "… and 5 more: door 3, gate 2");
        assert_eq!(digest.members.len(), 206);
    }

    #[test]
    fn a_digest_goes_to_the_newest_readable_address() {
        let to = |addresses: &[Option<&str>]| {
            let mut gathering = Gathering::default();
            for (id, address) in (0..).zip(addresses) {
                let words = (address.and_then(Recipient::parse), Content::text("hot"));
                gathering.add(member(id, OnUnknown::Retry, 0), Some(words));
            }
            gathering.digest(&Locale::default(), Timestamp(0)).map(|digest| digest.to.address().to_owned())
        };
        assert_eq!(to(&[]), None);
        assert_eq!(to(&[None, None]), None);
        assert_eq!(to(&[Some("+15550100123"), Some("+15550100124")]).as_deref(), Some("+15550100124"));
        assert_eq!(to(&[Some("+15550100123"), None]).as_deref(), Some("+15550100123"));
    }

    #[test]
    fn answers_and_what_is_critical_do_not_wait_for_company() {
        let check = |alert: Option<i64>, severity| may_rest(alert.map(AlertId), severity);
        assert!(check(Some(1), Severity::Info) && check(Some(1), Severity::Warning));
        assert!(!check(Some(1), Severity::Critical) && !check(None, Severity::Info));
    }
}
