//! What becomes of a message, step by step.

use std::time::Duration;

use super::*;
use crate::contact::Recipient;
use crate::outbox::message::Content;
use crate::outbox::message_state::OnUnknown;
use crate::outbox::retry_policy::Class;
use crate::outbox::row::{MessageUpdate, SendResult};
use crate::outbox::window::MessageForm;

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const MINUTE: Duration = Duration::from_secs(60);

fn lane() -> Conversation {
    Conversation { connection: "main".into(), contact: "nino".into() }
}

fn opened() -> (tempfile::TempDir, Store, MessageId) {
    let (folder, store) = Store::in_new_folder();
    let to = Recipient::parse("+15550100123").expect("a number");
    let id = store.compose(&lane(), &to, &Content::text("The door is open"), NOW).expect("composed");
    (folder, store, id)
}

fn status(word: &str, wamid: &str, callback: Option<String>) -> Status {
    let refusal = |class, code| Refusal {
        code,
        class,
        details: "details".into(),
        fbtrace_id: None,
        http_status: None,
        advice: String::new(),
        retry_after: None,
    };
    let (word, refusal) = match word {
        "refused" => ("failed", Some(refusal(Class::Recipient, 131_026))),
        "throttled" => ("failed", Some(refusal(Class::Throttle, 130_429))),
        word => (word, None),
    };
    let (wamid, word, state) = (Wamid(wamid.into()), word.to_owned(), State::parse(word));
    Status {
        wamid,
        phone_number_id: None,
        callback,
        state,
        word,
        at: NOW,
        refusal,
        pricing: None,
        recipients: Vec::new(),
        group: None,
    }
}

fn told(store: &Store, status: &Status) -> bool {
    store.receive(status, Some(&lane().connection), NOW, &mut Rng::seeded(1)).expect("written").is_some()
}

fn answered(store: &Store, id: MessageId, attempt: u32, next: Next, wamid: Option<&str>) -> Result<bool> {
    let wamid = wamid.map(Wamid::from);
    let settled = SendResult {
        id,
        lane: lane(),
        attempt,
        counts: true,
        at: NOW,
        next,
        wamid,
        known_as: None,
        code: None,
        http_status: None,
        fbtrace_id: None,
    };
    store.change(&MessageUpdate::Settled(Box::new(settled)), NOW)
}

fn leaves(store: &Store, id: MessageId, attempt: u32) -> Result<()> {
    let sending = MessageUpdate::Sending { id, attempt, form: MessageForm::Free, at: NOW };
    store.change(&sending, NOW).map(|leaves| assert!(leaves))
}

/// One step: its word, and of which copy it is.
fn step(store: &Store, id: MessageId, attempt: &mut u32, step: &str) -> Result<()> {
    let (word, copy) = step.split_once(' ').unwrap_or((step, ""));
    match word {
        "leaves" => {
            *attempt += 1;
            leaves(store, id, *attempt)?;
        }
        "accepted" => {
            answered(store, id, *attempt, Next::to(State::Accepted, "Meta accepted it"), Some(copy))?;
        }
        "lost" => {
            let next = retry_policy::unknown("no answer", *attempt, OnUnknown::Retry, NOW);
            answered(store, id, *attempt, next, None)?;
        }
        "grace" => store.tend(NOW + MINUTE)?,
        "late" => store.tend(NOW + 60 * 48 * MINUTE)?,
        "restart" => drop(store.recover(NOW)?),
        "holds" => store.hold(id, NOW).expect("possible"),
        "cancels" => store.cancel(id, NOW).expect("possible"),
        word => assert!(told(store, &status(word, copy, Some(store.tag.callback(id))))),
    }
    Ok(())
}

/// A receipt, an answer, an operator and the clock, in each order that matters: the state, what it is held for, the code.
#[test]
fn receipts_answers_and_restarts_decide_a_messages_state() {
    for (steps, expected) in [
        ("leaves, accepted a", "accepted - -"),
        ("leaves, accepted a, sent a", "sent - -"),
        ("leaves, accepted a, delivered a, sent a", "delivered - -"),
        ("leaves, accepted a, delivered a, refused a", "delivered - -"),
        ("leaves, accepted a, failed a", "failed - -"),
        ("leaves, accepted a, refused a", "failed - 131026"),
        ("leaves, accepted a, refused a, sent a", "failed - 131026"),
        ("leaves, accepted a, refused a, delivered a", "delivered - 131026"),
        ("leaves, accepted a, throttled a", "queued - 130429"),
        ("leaves, accepted a, throttled a, leaves, restart", "unknown - 130429"),
        // Told before the answer: which copy failed is known with it.
        ("leaves, sent a", "sent - -"),
        ("leaves, sent a, accepted a", "sent - -"),
        ("leaves, sent a, lost", "sent - -"),
        ("leaves, refused a", "sending - -"),
        ("leaves, refused a, accepted a", "failed - 131026"),
        ("leaves, refused a, restart", "failed - 131026"),
        ("leaves, sent a, refused a", "sent - -"),
        ("leaves, sent a, refused a, accepted a", "failed - 131026"),
        ("leaves, sent a, refused a, lost", "unknown - -"),
        ("leaves, sent a, refused b, accepted a", "sent - -"),
        ("leaves, restart", "unknown - -"),
        // Another copy is there.
        ("leaves, lost, grace, leaves, accepted b, sent b, refused a", "sent - -"),
        ("leaves, lost, grace, leaves, accepted b, sent b, failed a", "sent - -"),
        ("leaves, lost, grace, leaves, accepted b, sent b, refused b", "failed - 131026"),
        // Nobody wants it any more, and only what arrives changes that.
        ("leaves, lost, late, throttled a", "expired - -"),
        ("leaves, lost, late, failed a", "expired - -"),
        ("leaves, lost, late, sent a", "sent - -"),
        ("leaves, lost, holds, refused a", "held operator -"),
        ("leaves, lost, cancels, refused a", "cancelled - -"),
        ("leaves, lost, cancels, delivered a", "delivered - -"),
        ("leaves, lost, cancels, sent a", "sent operator -"),
        ("leaves, lost, cancels, sent a, throttled a", "held operator 130429"),
    ] {
        let (_folder, store, id) = opened();
        let mut attempt = 0;
        for one in steps.split(", ") {
            store.transaction(|store| step(store, id, &mut attempt, one)).expect("on disk");
        }
        let found = store.dump("SELECT state, held_for, code FROM message").expect("read");
        assert_eq!(found, [expected], "{steps}");
    }
}

/// A full disk takes back what memory knew of the row.
#[test]
fn whether_an_answer_is_awaited_is_undone_with_the_row() {
    let (_folder, store, id) = opened();
    let full = || rusqlite::Error::InvalidQuery;
    let undone = store.transaction(|store| leaves(store, id, 1).and(Err::<(), _>(full())));
    assert!(undone.is_err() && !store.awaits_its_answer(id));
    store.transaction(|store| leaves(store, id, 1)).expect("on disk");
    assert!(store.awaits_its_answer(id));
    let accepted = || Next::to(State::Accepted, "Meta accepted it");
    let settle = |store: &Store| answered(store, id, 1, accepted(), Some("a"));
    assert!(store.transaction(|store| settle(store).and(Err::<(), _>(full()))).is_err());
    assert!(store.awaits_its_answer(id));
    store.transaction(settle).expect("on disk");
    assert!(!store.awaits_its_answer(id));
}

#[test]
fn a_status_belongs_to_our_message_or_none() {
    let (_folder, store, id) = opened();
    leaves(&store, id, 1).expect("written");
    answered(&store, id, 1, Next::to(State::Accepted, "Meta accepted it"), Some("a")).expect("written");
    let another = store.tag.callback(MessageId(id.0 + 1));
    assert!(!told(&store, &status("sent", "b", Some(another))), "a row that is gone");
    assert!(!told(&store, &status("sent", "b", Some("somebody else's".into()))));
    assert!(told(&store, &status("sent", "a", None)) && told(&store, &status("warning", "a", None)));
    let to = |word, wamid| store.failed_to(&status(word, wamid, None)).expect("read");
    assert_eq!([to("sent", "a"), to("refused", "b")], [None, None]);
    assert_eq!(to("refused", "a"), Some(lane().contact));
    assert!(told(&store, &status("refused", "a", None)));
    assert_eq!(to("refused", "a"), None, "told before");
}
