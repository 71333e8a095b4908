//! What a later message about an alert does to an earlier one that has not left.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::contact::language::Locale;
use crate::contact::{Contact, Recipient};
use crate::outbox::message::Content;
use crate::outbox::message_state::OnUnknown;

const NOW: Timestamp = Timestamp(1_795_240_800_000);

fn notice(alert: &AlertKey, kind: NotificationKind, contact: &str) -> Effect {
    Effect::Send(Box::new(Notification {
        alert: Some((alert.clone(), 1)),
        kind,
        to: Contact {
            id: contact.into(),
            name: contact.into(),
            to: Recipient::parse("+15550100123").expect("a number"),
            roles: BTreeSet::new(),
            topics: Vec::new(),
            may_stop: true,
            locale: Locale::default(),
        },
        content: Content::text(kind.as_str()),
        severity: Severity::Warning,
        connection: "main".into(),
        on_unknown: OnUnknown::Retry,
        at: NOW,
        expires_at: NOW + COMMAND_EXPIRES,
    }))
}

/// What becomes of nino's first message, which waits like that, when the next one about the same alert comes; and the
/// notes that escalations find.
fn after(columns: &str, kind: NotificationKind, contact: &str) -> (String, Vec<String>) {
    let (_folder, store) = Store::in_new_folder();
    let alert = AlertKey { rule: "freezer".into(), key: "2".into() };
    let fired = Effect::Fired(Box::new(RaisedAlert {
        alert: alert.clone(),
        episode: Some(1),
        severity: Severity::Warning,
        bindings: BTreeMap::new(),
        content: Content::text("too warm"),
        flaw: None,
        held: Vec::new(),
        file: None,
        tag: None,
        actions: Vec::new(),
        at: NOW,
    }));
    store.watched(&[fired, notice(&alert, NotificationKind::Fired, "nino")], &[]).expect("written");
    store.set(MessageId(1), columns, &[]).expect("changed");
    store.watched(&[notice(&alert, kind, contact)], &[]).expect("written");
    let state = store.state(MessageId(1)).expect("read").expect("a row").as_str().to_owned();
    (state, store.dump("SELECT json_extract(note, '$.receipt.state') FROM alert_note").expect("read"))
}

/// Promise P9: what is over is not told as if it were news, whatever it waited for. What a person decides about stays with
/// the person, and what may have arrived is not taken back.
#[test]
fn a_resolved_alert_cancels_its_waiting_messages() {
    for (columns, expected) in [
        ("state = 'queued'", "cancelled"),
        ("state = 'queued', not_before = 1795240900000", "cancelled"),
        ("state = 'held', held_for = 'window'", "cancelled"),
        ("state = 'held', held_for = 'consent'", "cancelled"),
        ("state = 'held', held_for = 'budget'", "cancelled"),
        ("state = 'held', held_for = 'quality'", "held"),
        ("state = 'held', held_for = 'operator'", "held"),
        ("state = 'held'", "held"),
        ("state = 'queued', possible_duplicate = 1", "queued"),
        ("state = 'held', held_for = 'window', possible_duplicate = 1", "held"),
        ("state = 'queued', digest = 1", "queued"),
        ("state = 'sending'", "sending"),
        ("state = 'unknown'", "unknown"),
        ("state = 'delivered'", "delivered"),
    ] {
        assert_eq!(after(columns, NotificationKind::Resolved, "nino").0, expected, "{columns}");
    }
}

#[test]
fn only_a_newer_stage_replaces_a_persons_waiting_message() {
    for (columns, waits) in [("state = 'queued'", "queued"), ("state = 'held', held_for = 'window'", "held")]
    {
        for (kind, contact, expected, told) in [
            (NotificationKind::Resolved, "nino", "cancelled", &["cancelled"][..]),
            // What becomes of the newer one counts for an escalation.
            (NotificationKind::Still, "nino", "cancelled", &[]),
            (NotificationKind::Escalated, "nino", "cancelled", &[]),
            (NotificationKind::Resolved, "dato", waits, &[]),
            (NotificationKind::Escalated, "dato", waits, &[]),
            (NotificationKind::Fired, "nino", waits, &[]),
            (NotificationKind::Acknowledged, "nino", waits, &[]),
            (NotificationKind::Flapping, "nino", waits, &[]),
        ] {
            let (state, notes) = after(columns, kind, contact);
            assert_eq!(
                (state.as_str(), notes),
                (expected, told.iter().map(|word| (*word).to_owned()).collect()),
                "{columns} {kind:?} {contact}"
            );
        }
    }
}
