//! The commits of the intake: an event, its alerts and their messages, or a count.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::alert::effect::Effect;
use crate::alert::intake::Decision;
use crate::event::incoming::{Event, Identity, REMEMBERED};
use crate::ids::EventId;
use crate::store::db::checksum;
use crate::time::Timestamp;
use crate::words::word_enum;

/// How much of a payload is kept for people to look at.
const PAYLOAD_KEPT_BYTES: usize = 4_096;

/// The outcome of a decision, for the log and the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntakeReport {
    pub messages: usize,
    /// Commands of escalations, and what they post.
    pub commands: usize,
    pub posts: usize,
    /// The number of decisions about alerts, by outcome and reason.
    pub decided: BTreeMap<(AlertDecision, &'static str), u64>,
}

word_enum! {
    /// What a decision about an alert comes to. The reason beside it is the word that is on record.
    AlertDecision {
        /// There is an alert: `fired`, or `once` by a rule without a life.
        Raised = "raised",
        /// A message about it is in the outbox.
        Told = "told",
        /// Somebody is told later, or not at all: `silenced`, `quiet`, `inhibited` and so on.
        Held = "held",
        /// An event that nobody is told of: `condition-false`, `duplicate`, `no-rule` and so on.
        Ignored = "ignored",
    }
}

impl IntakeReport {
    pub(super) fn count(&mut self, outcome: AlertDecision, reason: &'static str, times: usize) {
        if times > 0 {
            *self.decided.entry((outcome, reason)).or_default() += times as u64;
        }
    }
}

impl Store {
    /// Writes the decisions down; call it inside a transaction.
    pub fn accept(&self, decisions: &[Decision]) -> Result<IntakeReport> {
        let mut accepted = IntakeReport::default();
        for decision in decisions {
            self.accept_one(decision, &mut accepted)?;
        }
        Ok(accepted)
    }

    fn accept_one(&self, decision: &Decision, accepted: &mut IntakeReport) -> Result<()> {
        let event = &decision.event;
        if let Some(id) = decision.frees {
            self.free_packet(&format!("packet {id} "))?;
        }
        let is_new = match &event.identity {
            Identity::Counted { device, at } => self.count_event(device, *at, event.received_at)?,
            Identity::Status { device, silent } => self.set_silent(device, *silent)?,
            Identity::Named(_) | Identity::Packet { .. } | Identity::None => true,
        };
        let repeated = !is_new || decision.may_repeat && self.seen(decision)?;
        if repeated {
            // The engine has a memory of its own, which must be written down whatever this row's fate.
            self.perform(decision.effects.iter().filter(|effect| !effect.is_once()), None, accepted)?;
        }
        let mut count = |rule: &str, word: &'static str, reason: Option<&str>| {
            // What an event did to an alert is counted where it is done.
            if !matches!(word, "fired" | "resolved") {
                accepted.count(AlertDecision::Ignored, word, 1);
            }
            self.tally(rule, word, event.received_at, &event.topic, reason)
        };
        if repeated {
            return count("", "duplicate", None);
        }
        for one in &decision.unjudged {
            self.keep_unjudged(one, event)?;
        }
        for (rule, why) in &decision.ignored {
            count(&rule.0, why.as_str(), why.reason().as_deref())?;
        }
        if !decision.has_rule() {
            return count("", "no-rule", None);
        }
        let unreadable = decision.ignored.iter().map(|(_, why)| why).find(|why| why.reason().is_some());
        let turned = decision.effects.iter().any(Effect::is_told);
        if unreadable.is_none() && !turned {
            return self.perform(&decision.effects, None, accepted);
        }
        let (outcome, reason) = match unreadable.filter(|_| !turned) {
            Some(why) => (why.as_str(), why.reason()),
            None => ("alerted", None),
        };
        let id = self.insert_event(event, decision.key.as_deref(), outcome, reason.as_deref())?;
        self.perform(&decision.effects, Some(id), accepted)
    }

    /// An event that could not be accepted, so that it is seen and counted.
    pub fn refuse(&self, event: &Event, reason: &str) -> Result<()> {
        self.insert_event(event, None, "refused", Some(reason))?;
        self.tally("", "refused", event.received_at, &event.topic, Some(reason))
    }

    /// The broker has begun a new session: whatever packet identifier it uses is a new event.
    pub fn free_packets(&self) -> Result<()> {
        self.free_packet("packet ")
    }

    /// Mostly there is none: asked first, since an UPDATE of the column that finds its rows makes a table of them, each time.
    fn free_packet(&self, prefix: &str) -> Result<()> {
        let which = "key >= ?1 AND key < ?1 || char(0x10ffff)";
        let any = format!("SELECT 1 FROM event WHERE {which} LIMIT 1");
        if self.sql.prepare_cached(&any)?.exists([prefix])? {
            self.sql
                .prepare_cached(&format!("UPDATE event SET key = NULL WHERE {which}"))?
                .execute([prefix])?;
        }
        Ok(())
    }

    /// What was written before the clock was set (no RTC on a Pi) may be of any time.
    fn seen(&self, decision: &Decision) -> Result<bool> {
        let since = decision.event.received_at - REMEMBERED;
        self.sql
            .prepare_cached(
                "SELECT 1 FROM event WHERE key = ?1 AND (received_at > ?2 OR received_at < ?3) LIMIT 1",
            )?
            .exists(params![decision.key, since.0, Timestamp::EARLIEST_SANE.0])
    }

    fn tally(
        &self,
        rule: &str,
        outcome: &str,
        at: Timestamp,
        topic: &str,
        reason: Option<&str>,
    ) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO tally VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT DO UPDATE
                 SET count = count + 1, last_at = ?3, last_topic = ?4, last_reason = ?5",
            )?
            .execute(params![rule, outcome, at.0, topic, reason])
            .map(drop)
    }

    fn insert_event(
        &self,
        event: &Event,
        key: Option<&str>,
        outcome: &str,
        reason: Option<&str>,
    ) -> Result<EventId> {
        let kept = &event.payload[..event.payload.len().min(PAYLOAD_KEPT_BYTES)];
        let sum = checksum::of(&[event.topic.as_bytes(), kept]);
        let length = i64::try_from(event.payload.len()).unwrap_or(i64::MAX);
        self.sql
            .prepare_cached(
                "INSERT INTO event (received_at, source, topic, payload, payload_bytes, key, outcome, reason, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .insert(params![
                event.received_at.0,
                event.source.as_str(),
                event.topic,
                kept,
                length,
                key,
                outcome,
                reason,
                sum
            ])
            .map(EventId)
    }

    /// The number of events counted under that word.
    pub fn tally_of(&self, outcome: &str) -> Result<u64> {
        let count: Option<i64> = self
            .sql
            .prepare_cached("SELECT sum(count) FROM tally WHERE outcome = ?1")?
            .query_row([outcome], |row| row.get(0))
            .optional()?
            .flatten();
        Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::alert_key::AlertKey;
    use crate::alert::effect::{Notification, NotificationKind, RaisedAlert};
    use crate::alert::ignored::Ignored;
    use crate::contact::language::Locale;
    use crate::contact::severity::Severity;
    use crate::contact::{Contact, Phone, Recipient};
    use crate::event::incoming::{Event, EventSource};
    use crate::outbox::message::Content;
    use crate::outbox::message_state::OnUnknown;
    use crate::rule::error::EvaluationError;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_795_240_800_000);

    fn contact(id: &str, may_stop: bool) -> Contact {
        Contact {
            id: id.into(),
            name: id.into(),
            to: Recipient::Phone(Phone::parse("+15550100123").expect("valid")),
            roles: std::collections::BTreeSet::new(),
            topics: Vec::new(),
            may_stop,
            locale: Locale::default(),
        }
    }

    /// An event that tells two people, of whom one may stop.
    fn decision(key: &str) -> Decision {
        let raised = RaisedAlert {
            alert: AlertKey { rule: "door".into(), key: String::new() },
            episode: None,
            severity: Severity::Warning,
            bindings: std::collections::BTreeMap::new(),
            content: Content::default(),
            flaw: None,
            held: Vec::new(),
            file: None,
            tag: None,
            actions: Vec::new(),
            at: NOW,
        };
        let message = |to: Contact| {
            Effect::Send(Box::new(Notification {
                alert: None,
                kind: NotificationKind::Once,
                to,
                content: Content::text("The door is open"),
                severity: Severity::Warning,
                connection: "main".into(),
                on_unknown: OnUnknown::Retry,
                at: NOW,
                expires_at: NOW + std::time::Duration::from_secs(60),
            }))
        };
        let messages = [contact("nino", true), contact("dato", false)].map(message);
        let effects = std::iter::once(Effect::Fired(Box::new(raised))).chain(messages).collect();
        let event = Event::new(EventSource::Mqtt, "site/door", "open", NOW);
        let key = Some(key.to_owned());
        Decision {
            event,
            key,
            frees: None,
            may_repeat: true,
            ignored: Vec::new(),
            unjudged: Vec::new(),
            rebirth: None,
            effects,
        }
    }

    fn accept(store: &Store, decision: Decision) -> (usize, Vec<String>) {
        let accepted = store.transaction(|store| store.accept(&[decision])).expect("accepted");
        let told = accepted.decided.iter();
        let told = told.map(|((what, why), count)| format!("{} {why} {count}", what.as_str()));
        (accepted.messages, told.collect())
    }

    #[test]
    fn a_packet_is_one_event_until_its_identifier_is_free() {
        let (_folder, store) = Store::in_new_folder();
        let new = (2, vec!["raised once 1".to_owned(), "told once 2".to_owned()]);
        let repeated = (0, vec!["ignored duplicate 1".to_owned()]);
        let packet = || decision("packet 5 x");
        assert_eq!(accept(&store, packet()), new);
        assert_eq!(accept(&store, packet()), repeated);
        assert_eq!(accept(&store, Decision { may_repeat: false, ..decision("id a") }), new);
        assert_eq!(accept(&store, decision("id a")), repeated);
        assert_eq!(accept(&store, Decision { frees: Some(50), ..packet() }), repeated);
        assert_eq!(accept(&store, Decision { frees: Some(5), ..packet() }), new, "acknowledged before");
        store.transaction(Store::free_packets).expect("freed");
        assert_eq!(accept(&store, packet()), new, "another session");
        assert_eq!(accept(&store, decision("id a")), repeated, "its sender named it");
        let day = Duration::from_secs(24 * 3_600);
        let later = |identity: Identity, time: Duration| {
            let key = if matches!(identity, Identity::None) { "id a" } else { "packet 5 x" };
            let mut later = decision(key);
            (later.event.identity, later.event.received_at) = (identity, NOW + time);
            accept(&store, later)
        };
        let again = || Identity::Packet { id: 5, redelivered: true };
        let moment = Duration::from_millis(1);
        assert_eq!(later(Identity::None, 7 * day - moment), repeated);
        assert_eq!(
            later(Identity::None, 7 * day),
            new,
            "what has the same name a week later is another event"
        );
        assert_eq!(later(again(), 7 * day - moment), repeated);
        assert_eq!(later(again(), 7 * day), new, "no session lives longer");
        let counts = ["duplicate", "alerted"].map(|word| store.tally_of(word).expect("read"));
        assert_eq!(counts, [6, 0]);
    }

    /// What was written by a version that had a statement for each kind reads the same, and what is written now is no other.
    #[test]
    fn the_row_of_an_alert_is_what_earlier_versions_wrote() {
        let (_folder, store) = Store::in_new_folder();
        let columns =
            "rule, severity, bindings, flaw, raised_at, reason, key, episode, state, text, changed_at";
        for (former, episode) in [
            (
                "(event, rule, severity, bindings, flaw, raised_at, reason) VALUES (1, 'door', 1, '{}', 'x', ?1, 'nino is quiet')",
                None,
            ),
            (
                "(event, rule, severity, bindings, raised_at, key, episode, state, text, changed_at)
              VALUES (1, 'door', 1, '{}', ?1, 'id=1', 3, 'firing', 'The door is open', ?1)",
                Some(3),
            ),
        ] {
            let mut one = decision("a");
            let Some(Effect::Fired(raised)) = one.effects.first_mut() else { panic!("an alert") };
            if episode.is_some() {
                (raised.alert.key, raised.content) = ("id=1".into(), Content::text("The door is open"));
            } else {
                (raised.flaw, raised.held) = (Some("x".into()), vec!["nino is quiet".into()]);
            }
            raised.episode = episode;
            one.effects.truncate(1);
            let ignored = vec![("door".into(), Ignored::Life("fired"))];
            accept(&store, Decision { key: None, may_repeat: false, ignored, ..one });
            store.sql.execute(&format!("INSERT INTO alert {former}"), [NOW.0]).expect("written");
            let newest = format!("SELECT {columns} FROM alert ORDER BY id DESC LIMIT 2");
            let rows = store.dump(&newest).expect("read");
            assert_eq!(rows[0], rows[1]);
            let id = crate::ids::AlertId(store.sql.last_insert_rowid());
            let story = store.alert_story(id).expect("read").expect("it is there");
            assert_eq!(story.once.is_none(), episode.is_some());
            assert_eq!(story.event.map(|event| event.0).as_deref(), Some("site/door"));
        }
    }

    #[test]
    fn only_effects_that_happened_are_counted() {
        let (_folder, store) = Store::in_new_folder();
        let mut one = decision("a");
        one.effects.truncate(1);
        assert_eq!(accept(&store, one), (0, vec!["raised once 1".into()]));
    }

    #[test]
    fn an_ignored_event_has_its_reason() {
        let (_folder, store) = Store::in_new_folder();
        let ignored = |why| vec![("door".into(), why)];
        let unreadable = || ignored(Ignored::Undecodable(EvaluationError::of("no JSON")));
        let quiet = |why| Decision { effects: Vec::new(), ignored: why, ..decision("a") };
        assert_eq!(accept(&store, quiet(Vec::new())), (0, vec!["ignored no-rule 1".into()]));
        let (_, words) = accept(&store, quiet(ignored(Ignored::ConditionFalse)));
        assert_eq!(words, ["ignored condition-false 1"]);
        accept(&store, quiet(unreadable()));
        accept(&store, Decision { ignored: unreadable(), ..decision("b") });
        let events = store.dump("SELECT outcome, reason FROM event ORDER BY id").expect("read");
        let why = "the payload could not be read: no JSON";
        assert_eq!(
            events.iter().map(|row| row.trim_end()).collect::<Vec<_>>(),
            [format!("undecodable {why}"), "alerted -".into()]
        );
    }

    #[test]
    fn messages_to_opted_out_people_are_held_with_a_reason() {
        let (_folder, store) = Store::in_new_folder();
        for contact in ["nino", "dato"] {
            store.consent(&contact.into(), false, "test", NOW, NOW).expect("kept");
        }
        let mut one = decision("a");
        let Some(Effect::Fired(raised)) = one.effects.first_mut() else { panic!("an alert") };
        raised.held = vec!["a is quiet".into(), "b is silenced".into()];
        accept(&store, one);
        accept(&store, decision("b"));
        let messages =
            store.dump("SELECT DISTINCT contact, state, coalesce(held_for, '') FROM message ORDER BY 1");
        let rows = |rows: rusqlite::Result<Vec<String>>| {
            rows.expect("read").iter().map(|row| row.trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rows(messages), ["dato queued", "nino held consent"]);
        assert_eq!(
            rows(store.dump("SELECT reason FROM alert ORDER BY id")),
            ["a is quiet; b is silenced", "-"]
        );
    }
}
