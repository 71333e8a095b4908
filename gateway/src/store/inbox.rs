//! Webhook bodies, and the replies in them.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::ids::{AlertId, ConnectionName, ContactId, InboxId, MessageId, RuleName, Wamid};
use crate::reply::inbound::{self, InboundMessage, InboxState};
use crate::reply::interpret::{AlertRef, Interpretation, SentMessage, SentMessages};
use crate::reply::opt_out::ConsentWord;
use crate::store::db::checksum;
use crate::time::Timestamp;

/// The connections whose app secret signed a body; `None`: that of every connection there is.
pub type Signers = Option<BTreeSet<ConnectionName>>;

/// A body that was not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub id: InboxId,
    pub received_at: Timestamp,
    pub body: Vec<u8>,
    pub signers: Signers,
}

impl Store {
    /// Keeps a body whose signature was right. Committed before Meta is answered 200 (promise P4).
    pub fn keep_webhook(&self, body: &[u8], now: Timestamp) -> Result<InboxId> {
        self.keep_signed(body, &None, now)
    }

    /// The same, of a body that speaks for these connections and no others.
    pub fn keep_signed(&self, body: &[u8], signers: &Signers, now: Timestamp) -> Result<InboxId> {
        let names = signers.as_ref().map(|all| all.iter().map(|name| name.0.as_str()).collect::<Vec<_>>());
        let names = names.map(|names| serde_json::to_string(&names).unwrap_or_default());
        self.sql
            .prepare_cached(
                "INSERT INTO inbox (received_at, body, state, checksum, signed_by) VALUES (?1, ?2, 'new', ?3, ?4)",
            )?
            .insert(params![now.0, body, checksum::of(&[body]), names])
            .map(InboxId)
    }

    /// Whether there is a body that was not read yet.
    pub fn has_webhooks(&self) -> Result<bool> {
        self.sql.prepare_cached("SELECT 1 FROM inbox WHERE state = 'new' LIMIT 1")?.exists([])
    }

    /// Whether `wamid` may be the id of a message to this person that left since then, and whose answer has not come.
    pub fn may_be_under_way(&self, wamid: &Wamid, contact: &ContactId, since: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message m JOIN attempt a ON a.message = m.id
                 WHERE m.contact = ?1 AND m.state IN ('sending', 'unknown') AND a.started_at >= ?2
                 AND NOT EXISTS (SELECT 1 FROM sent WHERE wamid = ?3) LIMIT 1",
            )?
            .exists(params![contact.0, since.0, wamid.0])
    }

    /// The oldest body behind `after` that was not read yet. One that is damaged on disk is put aside, and the next is taken.
    pub fn next_webhook(&self, after: InboxId) -> Result<Option<Unread>> {
        loop {
            let found = self
                .sql
                .prepare_cached(
                    "SELECT id, received_at, body, checksum, signed_by FROM inbox WHERE state = 'new' AND id > ?1
                     ORDER BY id LIMIT 1",
                )?
                .query_row([after.0], |row| {
                    let (id, received_at) = (InboxId(row.get(0)?), Timestamp(row.get(1)?));
                    let signers = row.get::<_, Option<String>>(4)?.map(|names| read_names(&names));
                    let unread = Unread { id, received_at, body: row.get(2)?, signers };
                    Ok((unread, row.get::<_, Vec<u8>>(3)?))
                })
                .optional()?;
            let Some((unread, sum)) = found else { return Ok(None) };
            if sum == checksum::of(&[&unread.body]) {
                return Ok(Some(unread));
            }
            tracing::error!(inbox = unread.id.0, "a webhook body is damaged on disk and was put aside");
            self.close_webhook(
                unread.id,
                InboxState::Damaged,
                "the body is damaged on disk: its checksum does not match",
            )?;
        }
    }

    /// The body has been read; `note` says what was in it.
    pub fn close_webhook(&self, id: InboxId, state: InboxState, note: &str) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE inbox SET state = ?2, note = ?3 WHERE id = ?1")?
            .execute(params![id.0, state.as_str(), note])
            .map(drop)
    }

    /// Whether this message of a person was taken before: Meta delivers at least once.
    pub fn knows_reply(&self, wamid: &Wamid) -> Result<bool> {
        self.sql.prepare_cached("SELECT 1 FROM reply WHERE wamid = ?1")?.exists([&wamid.0])
    }

    /// Writes down a reply and what became of it. What it asked for is written with the same commit.
    pub fn keep_reply(&self, inbox: InboxId, reply: &InboundMessage, outcome: &Interpretation) -> Result<()> {
        let (kind, text) = describe(&reply.content);
        let (contact, word, reason) = name(outcome);
        self.sql
            .prepare_cached("INSERT INTO reply VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                reply.wamid.0,
                inbox.0,
                reply.at.0,
                contact.map(|contact| &contact.0),
                kind,
                text,
                word,
                reason
            ])
            .map(drop)
    }

    pub(super) fn read_alert(&self, id: AlertId) -> Result<Option<AlertRef>> {
        self.sql
            .prepare_cached(
                "SELECT rule, bindings, coalesce(state = 'resolved', 0) OR key IS NOT NULL AND EXISTS (SELECT 1 FROM alert later
                     WHERE later.rule = a.rule AND later.key = a.key AND later.episode > a.episode), actions
                 FROM alert a WHERE id = ?1",
            )?
            .query_row([id.0], |row| {
                let bindings = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default();
                let actions: Option<String> = row.get(3)?;
                let actions =
                    actions.and_then(|actions| serde_json::from_str(&actions).ok()).unwrap_or_default();
                let (rule, is_over) = (RuleName(row.get(0)?), row.get(2)?);
                Ok(AlertRef { alert: id, rule, bindings, is_over, actions })
            })
            .optional()
    }
}

/// A read that fails looks like nothing found, and is logged: the reply is then recorded as not understood rather than
/// held for ever, since a failing disk stops the store at its next write anyway.
impl SentMessages for Store {
    fn alert(&self, id: AlertId) -> Option<AlertRef> {
        self.read_alert(id).unwrap_or_else(|error| {
            tracing::error!(%error, "an alert could not be read");
            None
        })
    }

    fn message(&self, wamid: &Wamid) -> Option<MessageId> {
        self.message_of(wamid).unwrap_or_else(|error| {
            tracing::error!(%error, "a sent message could not be read");
            None
        })
    }

    fn sent(&self, wamid: &Wamid) -> Option<SentMessage> {
        self.read_sent(wamid).unwrap_or_else(|error| {
            tracing::error!(%error, "a sent message could not be read");
            None
        })
    }
}

/// What cannot be read names nobody: a body must not come to speak for more than signed it.
fn read_names(json: &str) -> BTreeSet<ConnectionName> {
    let names: Vec<String> = serde_json::from_str(json).unwrap_or_default();
    names.into_iter().map(ConnectionName).collect()
}

fn describe(content: &inbound::InboundContent) -> (&'static str, String) {
    match content {
        inbound::InboundContent::Tap { title, .. } => ("tap", title.clone()),
        inbound::InboundContent::Text(text) => ("text", text.clone()),
        inbound::InboundContent::Captioned { caption, .. } => ("caption", caption.clone()),
        inbound::InboundContent::Reaction { emoji } => ("reaction", emoji.clone().unwrap_or_default()),
        inbound::InboundContent::SharedNumber(_) => ("other", "contact_request".to_owned()),
        inbound::InboundContent::Given { kind, .. } | inbound::InboundContent::Other(kind) => {
            ("other", kind.clone())
        }
    }
}

/// Who wrote, the word for what became of it, and why.
fn name(outcome: &Interpretation) -> (Option<&ContactId>, &'static str, Option<&str>) {
    match outcome {
        Interpretation::Command(command) => (Some(&command.contact), "command", None),
        Interpretation::Confirm { contact, .. } => (Some(contact), "confirm", None),
        Interpretation::Vote { contact, .. } => (Some(contact), "vote", None),
        Interpretation::Acknowledge { contact, .. } => (Some(contact), "acknowledge", None),
        Interpretation::Note { contact, .. } => (Some(contact), "alert", None),
        Interpretation::Consent { contact, wish: ConsentWord::Stop } => (Some(contact), "stop", None),
        Interpretation::Consent { contact, wish: ConsentWord::Start } => (Some(contact), "start", None),
        Interpretation::Invite { contact, .. } => (Some(contact), "invite", None),
        Interpretation::ReadOn { contact, .. } => (Some(contact), "read-on", None),
        Interpretation::Status { contact } => (Some(contact), "status", None),
        Interpretation::Say { contact, reason, .. } => (Some(contact), "say", Some(reason)),
        Interpretation::Refused { contact, reason, .. } => (Some(contact), "refused", Some(reason)),
        Interpretation::Hurried { contact } => {
            (Some(contact), "hurried", Some("more than 10 acts in a minute"))
        }
        Interpretation::Locked { contact } => {
            (Some(contact), "locked", Some("5 refusals in 15 minutes lock a person out"))
        }
        Interpretation::Stranger => (
            None,
            "stranger",
            Some("the sender is not a contact; add a [[contact]] with this number if it should be one"),
        ),
        Interpretation::Nothing { contact, reason } => (contact.as_ref(), "nothing", Some(reason)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contact::Recipient;
    use crate::outbox::message::Content;
    use crate::outbox::row::{Conversation, MessageUpdate};
    use crate::outbox::window::MessageForm;

    const NOW: Timestamp = Timestamp(1_795_240_800_000);

    #[test]
    fn a_webhook_waits_until_read_and_damaged_ones_are_skipped() {
        let (_folder, store) = Store::in_new_folder();
        let waits = || store.has_webhooks().expect("read");
        let next =
            |after| store.next_webhook(InboxId(after)).expect("read").map(|unread| (unread.id, unread.body));
        assert!(!waits());
        let ids = [&b"one"[..], b"two", b"three"].map(|body| store.keep_webhook(body, NOW).expect("kept"));
        store.sql.execute("UPDATE inbox SET body = x'00' WHERE id = ?1", [ids[1].0]).expect("flipped");
        assert!(waits());
        assert_eq!(next(0), Some((ids[0], b"one".to_vec())));
        assert_eq!(next(ids[0].0), Some((ids[2], b"three".to_vec())));
        for id in [ids[0], ids[2]] {
            store.close_webhook(id, InboxState::Done, "nothing in it").expect("written");
        }
        assert!(!waits() && next(0).is_none());
        assert_eq!(store.dump("SELECT state FROM inbox").expect("read"), ["done", "damaged", "done"]);
    }

    #[test]
    fn a_quoted_message_is_known_or_may_be_in_flight() {
        let (_folder, store) = Store::in_new_folder();
        let lane = Conversation { connection: "main".into(), contact: "nino".into() };
        let to = Recipient::parse("+15550100123").expect("a number");
        let id = store.compose(&lane, &to, &Content::text("The door is open"), NOW).expect("composed");
        let (ours, later) = (Wamid("a".into()), NOW + Duration::from_millis(1));
        let may = |contact: &str, since| store.may_be_under_way(&ours, &contact.into(), since).expect("read");
        assert!(!may("nino", NOW), "it has not left");
        let sending = MessageUpdate::Sending { id, attempt: 1, form: MessageForm::Free, at: NOW };
        assert!(store.change(&sending, NOW).expect("written"));
        assert!(may("nino", NOW) && !may("nino", later) && !may("dato", NOW));
        assert!(store.message(&ours).is_none() && store.sent(&ours).is_none());
        store.remember(&ours, id).expect("written");
        assert!(!may("nino", NOW), "it is known which one that is");
        assert_eq!(store.message(&ours), Some(id));
        assert_eq!(store.sent(&ours).map(|sent| (sent.to, sent.at)), Some((lane.contact, NOW)));
    }
}
