//! Histories that the simulation found, each in its shortest form.

use std::time::Duration;

use super::*;
use crate::outbox::message::Content;
use crate::outbox::scheduler::{Scheduler, SchedulerEffect};
use crate::random::Rng;
use crate::store::ActError;
use crate::task::outbox_transaction::take;

/// Seed 624 of the simulation: an operator gave up a message of which nobody knew whether it had left. It had; Meta said
/// so, and then that it failed. It must not be tried again, nor wait for the person's next word.
#[test]
fn a_cancelled_message_is_not_requeued_by_a_late_failure() {
    type Stop = fn(&Store, MessageId, Timestamp) -> Result<(), ActError>;
    let stops: [Stop; 2] = [Store::cancel, Store::hold];
    for (stop, code) in
        stops.into_iter().flat_map(|stop| [131_047, 131_049, 131_000].map(|code| (stop, code)))
    {
        let site = Site::new();
        site.send(&[]);
        let now = SystemClock.now();
        let stopped = site.store.transaction(|store| {
            store.recover(now)?; // the process ended in the middle of the request
            Ok(stop(store, MessageId(1), now).is_ok())
        });
        assert!(stopped.expect("stopped"));
        for mut status in statuses("wamid.late", &Fate::Fails { sent: true, code }) {
            status["biz_opaque_callback_data"] = site.store.tag().callback(MessageId(1)).into();
            site.take(body(&[status]).as_bytes());
        }
        let message = site.store.dump("SELECT state, held_for FROM message WHERE id = 1").expect("a row");
        assert!(message[0].contains("held") && message[0].contains("operator"), "{code}: {message:?}");
    }
}

/// The failure that Meta tells of message 1, over the number that it went over.
fn fails(site: &Site, code: i64) {
    let mut failed = statuses("wamid.late", &Fate::Fails { sent: false, code }).remove(0);
    failed["biz_opaque_callback_data"] = site.store.tag().callback(MessageId(1)).into();
    site.take(body(&[failed]).as_bytes());
}

/// A start finds a file in which that is otherwise.
fn starts_with(site: &mut Site, changes: &[(&str, &str)]) {
    let text = changes.iter().fold(config_text(""), |text, (from, to)| text.replace(from, to));
    site.config = parsed(&text);
    site.store.transaction(|store| orphans::end(store, &site.config, SystemClock.now())).expect("a start");
}

/// Seed 1000152: a message had left over a number that was taken out of the configuration, and waited for another one. What
/// Meta then told of the former number, its window or a restriction, held it back from this one for good.
#[test]
fn a_removed_numbers_refusal_holds_nothing_back() {
    for code in [131_047, 131_048, 130_429] {
        let mut site = Site::new();
        site.send(&[]);
        site.restart();
        starts_with(&mut site, &[("\"main\"", "\"office\""), (NUMBER, "900000000000009")]);
        fails(&site, code);
        let message = site.store.dump("SELECT state, connection, not_before FROM message").expect("a row");
        assert_eq!(message, ["queued office 0"], "{code}");
        assert!(site.store.dump("SELECT * FROM window").expect("read").is_empty(), "{code}");
    }
}

/// Seed 1000353: a copy was accepted, the rule then told somebody else, and the failure came after that. What it put back into
/// the queue went to whoever is not told any more, since a start looks at what waits; and to who is gone, over what is gone.
#[test]
fn a_late_failure_requeues_nothing_for_removed_recipients() {
    let op = "[[contact]]\n        id = \"op\"\n        phone = \"+1 555 010 0123\"\n";
    let told = ("notify = [\"op\"]", "notify = [\"boss\"]");
    type Changes<'a> = &'a [(&'a str, &'a str)];
    let changes: [(Changes, &str, &str); 5] = [
        (&[], "delivered", "queued main"),
        (&[told], "delivered", "cancelled main"),
        (&[told], "failed", "queued main"), // nobody else would hear of it
        (&[told, (op, "")], "failed", "cancelled main"),
        (&[("\"main\"", "\"office\"")], "delivered", "queued office"),
    ];
    for (changes, boss, expected) in changes {
        let mut site = Site::new();
        site.send(&["wamid.late".to_owned()]);
        site.send_to("boss", "wamid.boss", None);
        let rows = [
            "INSERT INTO alert (id, rule, severity, bindings, raised_at) VALUES (1, 'pump', 2, '{}', 1)",
            &format!("UPDATE message SET alert = 1, state = iif(contact = 'boss', '{boss}', state)"),
        ];
        rows.iter().for_each(|row| drop(site.store.dump(row).expect("a row")));
        starts_with(&mut site, changes);
        fails(&site, 131_000);
        let message = site.store.dump("SELECT state, connection FROM message WHERE contact = 'op'");
        assert_eq!(message.expect("a row"), [expected], "{changes:?}, {boss}");
    }
}

/// A person's words, of now.
fn words(id: &str, text: &str) -> String {
    let at = (SystemClock.now().0 / 1_000).to_string();
    let message =
        json!({ "from": "15550100123", "id": id, "timestamp": at, "type": "text", "text": { "body": text } });
    let value = json!({ "messaging_product": "whatsapp", "metadata": { "phone_number_id": NUMBER }, "messages": [message] });
    json!({ "object": "whatsapp_business_account",
            "entry": [{ "id": "900000000000001", "changes": [{ "field": "messages", "value": value }] }] })
    .to_string()
}

/// Found by the simulation: STOP held what waited, and what was under way just then came back to the queue and went out.
#[test]
fn messages_in_flight_at_stop_wait_for_start() {
    let mut site = Site::new();
    site.send(&[]);
    let member = |store: &Store| {
        let lane =
            Conversation { connection: ConnectionName("main".into()), contact: ContactId("op".into()) };
        let to = &site.config.people.contacts[&lane.contact].to;
        store.compose(&lane, to, &Content::text("Pump 8"), SystemClock.now())
    };
    site.store.transaction(member).expect("composed");
    site.store.dump("UPDATE message SET digest = 1 WHERE id = 2").expect("a digest");
    site.restart(); // and nobody knows whether it has left
    site.take(words("wamid.in1", "STOP").as_bytes());
    let later = SystemClock.now() + Duration::from_secs(3_600);
    site.store.transaction(|store| store.tend(later)).expect("the grace time is over");
    let message =
        |site: &Site| site.store.dump("SELECT state, held_for FROM message WHERE id = 1").expect("a row");
    assert_eq!(message(&site), ["held consent"]);
    site.take(words("wamid.in2", "START").as_bytes());
    assert_eq!(message(&site), ["queued -"]);
}

/// Found by the simulation, seed 34 of its time: a copy failed, since the person had to write first; they wrote, another
/// copy left, and the process ended before its answer. The first one's failure is none of the second's.
#[test]
fn an_earlier_copys_failure_does_not_settle_the_current_one() {
    let mut site = Site::new();
    site.send(&[]);
    site.restart();
    let mut failed = statuses("wamid.first", &Fate::Fails { sent: false, code: 131_047 }).remove(0);
    failed["biz_opaque_callback_data"] = site.store.tag().callback(MessageId(1)).into();
    site.take(body(&[failed]).as_bytes());
    site.take(words("wamid.in1", "hello").as_bytes());
    let now = SystemClock.now();
    let again = MessageUpdate::Sending { id: MessageId(1), attempt: 2, form: MessageForm::Free, at: now };
    assert!(site.store.transaction(|store| store.change(&again, now)).expect("on disk"));
    site.restart();
    let message = site.store.dump("SELECT state, attempts FROM message WHERE id = 1").expect("a row");
    assert_eq!(message, ["unknown 2"]);
}

/// The sender heeds a status in the transaction that writes it down: whoever takes the next turn, even in the same
/// transaction, finds the number restricted. A try would make it worse. And it heeds all that a body tells of a lane: another
/// failure of the same person's hid the restriction (seed 21,147 of its time).
#[test]
fn nothing_leaves_after_a_status_restricts_the_number() {
    let site = Site::new();
    site.send(&["wamid.1".to_owned(), "wamid.2".to_owned()]);
    let failed = |wamid, code| statuses(wamid, &Fate::Fails { sent: false, code });
    let told = body(&[failed("wamid.1", 131_048), failed("wamid.2", 131_053)].concat());
    let (mut sender, now) = (Scheduler::default(), SystemClock.now());
    let mut turn = |store: &Store, begin| {
        take(store, &mut sender, begin, &site.config, now, &mut Rng::seeded(1)).map(|turn| turn.done)
    };
    let left = site.store.transaction(|store| {
        store.keep_webhook(told.as_bytes(), now)?;
        let boss = &site.config.people.contacts[&ContactId("boss".into())];
        let over = &site.config.connections[0];
        let heed = |begin| turn(store, begin).map(|done| SendStep { done, rest: Vec::new() });
        let read = read_next(store, &site.config, now, &mut Rng::seeded(1), |_| {}, heed)?.expect("a body");
        assert_eq!(read.turns.len(), 2);
        store.compose(&lane(over, boss), &boss.to, &Content::text("Pump 8"), now)?;
        turn(store, StepStart::With(SchedulerInput::Wake))
    });
    let left = left.expect("on disk");
    assert!(!left.iter().any(|effect| matches!(effect, SchedulerEffect::Post(_))), "{left:?}");
}

/// Seed 161: Meta told that it was sent, and that it failed, while its answer was awaited; then the power went. And the same
/// with the failure after the start.
#[test]
fn a_failure_counts_though_its_answer_is_never_heard() {
    for failed_before in [true, false] {
        let mut site = Site::new();
        site.send(&[]);
        let mut told = statuses("wamid.early", &Fate::Fails { sent: true, code: 131_026 });
        for status in &mut told {
            status["biz_opaque_callback_data"] = site.store.tag().callback(MessageId(1)).into();
        }
        let count = if failed_before { 2 } else { 1 };
        told.iter().take(count).for_each(|status| site.take(body(std::slice::from_ref(status)).as_bytes()));
        site.restart();
        told.iter().skip(count).for_each(|status| site.take(body(std::slice::from_ref(status)).as_bytes()));
        let message = site.store.dump("SELECT state, code FROM message WHERE id = 1").expect("a row");
        assert!(
            message[0].contains("failed") && message[0].contains("131026"),
            "{failed_before}: {message:?}"
        );
    }
}
