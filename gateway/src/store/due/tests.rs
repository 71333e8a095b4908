//! What leaves first, and when it is time to look again.

mod changes;
mod digests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rusqlite::StatementStatus;

use super::*;
use crate::ids::Wamid;
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::digest::{MEMBERS_MAX, WORDED};
use crate::outbox::lanes::Lanes;
use crate::outbox::message::{Button, Content, Media, Part, Template};
use crate::outbox::message_state::OnUnknown;
use crate::outbox::rate_limit::PAIR;
use crate::outbox::retry_policy::ApiAnswer;
use crate::outbox::row::MessageUpdate;
use crate::outbox::scheduler::{Scheduler, SchedulerEffect, SchedulerInput};
use crate::outbox::window::CatalogueEntry;
use crate::random::Rng;
use crate::store::outbox::NewMessage;

const NOW: Timestamp = Timestamp(1_900_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn lane(connection: &str, contact: &str) -> Conversation {
    Conversation { connection: connection.into(), contact: contact.into() }
}

/// `nino door critical` is an alert of that rule, in the rule's name, that lasts an hour; `nino - warning` an answer, and
/// `nino@other …` over another connection than `main`.
fn waits(store: &Store, what: &str) -> MessageId {
    let words: Vec<&str> = what.split(' ').collect();
    let (contact, connection) = words[0].split_once('@').unwrap_or((words[0], "main"));
    let rule = Some(words[1]).filter(|rule| *rule != "-");
    let insert = "INSERT INTO alert (rule, severity, bindings, raised_at) VALUES (?1, 1, '{}', 0)";
    let insert = |rule| store.sql.prepare_cached(insert).and_then(|mut insert| insert.insert([rule]));
    let lane = lane(connection, contact);
    let content = Content {
        buttons: vec![Button::new("shut", "Shut")],
        templates: vec![Template { name: words[1].into(), ..Template::default() }],
        ..Content::text(words[1])
    };
    let message = NewMessage {
        connection: &lane.connection,
        contact: &lane.contact,
        to: &Recipient::parse("+15550100123").expect("a number"),
        alert: rule.map(|rule| AlertId(insert(rule).expect("an alert"))),
        severity: Severity::parse(words[2]).expect("a severity"),
        content: &content,
        on_unknown: OnUnknown::Retry,
        exempt: false,
        created_at: NOW,
        expires_at: NOW + HOUR,
    };
    store.insert_message(&message).expect("written")
}

fn all_wait(store: &Store, what: &[&str]) -> Vec<MessageId> {
    what.iter().map(|one| waits(store, one)).collect()
}

/// What keeps messages from leaving, and how many may.
#[derive(Clone, Default)]
struct Kept {
    closed_connections: Vec<ConnectionName>,
    closed_lanes: Vec<Conversation>,
    resting: Vec<Conversation>,
    near_pair_limit: Vec<Conversation>,
    uploads: BTreeMap<Conversation, Option<MessageId>>,
    uploads_full: bool,
    limit: usize,
}

fn request(kept: &Kept) -> LaneRequest {
    let (uploads, uploads_full) = (kept.uploads.clone(), kept.uploads_full);
    LaneRequest { all: true, uploads, uploads_full, ..LaneRequest::default() }
}

/// The lanes, each in its place.
fn lanes(store: &Store, kept: &Kept, now: Timestamp) -> Lanes {
    let mut lanes = Lanes::default();
    let later = now + HOUR;
    for (name, content) in store.look(now, &request(kept)).expect("found").lanes {
        lanes.change(&name, now, |lane| {
            lane.content = content;
            lane.busy = kept.closed_lanes.contains(&name);
            lane.rests_until = kept.resting.contains(&name).then_some(later);
            lane.near_pair_limit = kept.near_pair_limit.contains(&name);
            lane.meter = lane.near_pair_limit.then(|| PAIR.take(None, now));
        });
    }
    lanes
}

/// As the sender does: what is crowded is merged first, then the heads are read.
fn look_at(store: &Store, kept: &Kept, now: Timestamp) -> Vec<DueMessage> {
    let takes = |name: &ConnectionName| if kept.closed_connections.contains(name) { 0 } else { usize::MAX };
    let crowded = lanes(store, kept, now).crowded(takes);
    store.merge(&crowded, &People::default(), now).expect("merged");
    let heads = lanes(store, kept, now).heads(kept.limit, takes, |_, _| true);
    store.load(now, &heads, &People::default()).expect("found").due
}

fn look(store: &Store, kept: &Kept) -> Vec<DueMessage> {
    look_at(store, kept, NOW)
}

fn any() -> Kept {
    Kept { limit: 9, ..Kept::default() }
}

/// Whoever is `nino` has had most of the burst, so that two who wait are a digest.
fn pressed() -> Kept {
    Kept { near_pair_limit: [lane("main", "nino")].into(), ..any() }
}

#[test]
fn the_most_severe_then_oldest_message_leaves_first() {
    let three = ["nino door warning", "dato door critical", "ana door warning"];
    for (waiting, limit, expected) in [
        (&["nino door warning", "nino door warning"][..], 9, &[0][..]),
        (&["nino door info", "nino - warning", "nino door critical"], 9, &[2]),
        (&["nino door info", "nino - critical", "nino door warning"], 9, &[1]),
        (&["nino - critical", "nino door critical"], 9, &[0]),
        (&["nino door critical", "nino - critical"], 9, &[0]),
        (&three, 9, &[1, 0, 2]),
        (&three, 2, &[1, 0]),
    ] {
        let (_folder, store) = Store::in_new_folder();
        let ids = all_wait(&store, waiting);
        let due = look(&store, &Kept { limit, ..any() });
        let found: Vec<_> = due.iter().map(|due| ids.iter().position(|id| *id == due.id)).collect();
        assert_eq!(found, expected.iter().map(|index| Some(*index)).collect::<Vec<_>>(), "{waiting:?}");
    }
}

#[test]
fn a_gate_closes_only_its_lane_or_connection() {
    let (_folder, store) = Store::in_new_folder();
    let ids = all_wait(&store, &["nino door warning", "dato door warning", "nino@other door warning"]);
    for (connections, lanes, expected) in [
        (&[][..], &[][..], &[0, 1, 2][..]),
        (&["main"], &[], &[2]),
        (&[], &["nino"], &[1, 2]),
        (&["other"], &["nino"], &[1]),
        (&["main", "other"], &[], &[]),
    ] {
        let closed_connections = connections.iter().map(|name| ConnectionName::from(*name)).collect();
        let closed_lanes = lanes.iter().map(|contact| lane("main", contact)).collect();
        let due = look(&store, &Kept { closed_connections, closed_lanes, ..any() });
        let expected: Vec<_> = expected.iter().map(|index| ids[*index]).collect();
        assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), expected, "{connections:?} {lanes:?}");
    }
}

/// Whether one leaves: with neither, when the burst is nearly used up, when the person rests, and with both.
#[test]
fn alerts_rest_when_a_person_got_many() {
    for (what, expected) in [
        ("nino door warning", [true, true, true, false]),
        ("nino door info", [true, true, true, false]),
        ("nino door critical", [true; 4]),
        ("nino - warning", [true; 4]),
    ] {
        let (_folder, store) = Store::in_new_folder();
        waits(&store, what);
        let nino = || [lane("main", "nino")].into();
        let resting = Kept { resting: nino(), ..any() };
        let both = Kept { resting: nino(), ..pressed() };
        let leaves = [any(), pressed(), resting, both].map(|wanted| !look(&store, &wanted).is_empty());
        assert_eq!(leaves, expected, "{what}");
    }
}

#[test]
fn due_messages_carry_their_window_and_template_facts() {
    let (_folder, store) = Store::in_new_folder();
    let id = waits(&store, "nino door warning");
    let alone = look(&store, &any());
    assert_eq!(
        (alone[0].id, alone[0].window, &alone[0].listed),
        (id, Window::Unknown, &vec![CatalogueEntry::Unread])
    );
    assert_eq!((alone[0].alert, alone[0].severity), (Some(AlertId(1)), Severity::Warning));
    store.heard(&lane("main", "nino"), NOW, NOW).expect("written");
    store.keep_catalogue(&"main".into(), &[], NOW).expect("written");
    store.set(id, "attempts = 3, tries = 2", &[]).expect("changed");
    let again = look(&store, &any());
    assert_eq!((again[0].window, &again[0].listed), (Window::Open, &vec![CatalogueEntry::Missing]));
    assert_eq!((again[0].attempts, again[0].tries), (3, 2));
}

/// A file that WhatsApp refused is left out, and the words say so.
#[test]
fn a_message_is_whole_with_or_without_its_file() {
    let (_folder, store) = Store::in_new_folder();
    let part = Some(Part::Image(Media::Link("https://example.org/door.jpg".into())));
    let to = Recipient::parse("+15550100123").expect("a number");
    let picture = Content { part, ..Content::text("door") };
    let id = store.compose(&lane("main", "nino"), &to, &picture, NOW).expect("composed");
    let content = || store.whole(id).expect("read").map(|due| due.content);
    assert_eq!(content(), Some(picture));
    store.set(id, "bare = 1", &[]).expect("changed");
    let words = "door\n(WhatsApp refused the file that belongs here)";
    assert_eq!(content(), Some(Content::text(words)));
    assert_eq!(store.whole(MessageId(id.0 + 1)), Ok(None));
}

#[test]
fn the_next_look_is_when_a_waiting_message_may_leave() {
    for (columns, expected) in [
        ("not_before = 1900000000001", Some(1)),
        ("not_before = 1900000000001, state = 'unknown'", Some(1)),
        ("not_before = 1900000000001, state = 'held'", Some(5)),
        ("not_before = 1900000000001, digest = 2", Some(5)),
        ("not_before = 1900000000000", Some(5)),
        ("not_before = 1900000000009", Some(5)),
    ] {
        let (_folder, store) = Store::in_new_folder();
        let ids = all_wait(&store, &["nino door warning", "dato door warning"]);
        store.set(ids[0], columns, &[]).expect("changed");
        store.set(ids[1], "not_before = 1900000000005", &[]).expect("changed");
        let next_at = store.look(NOW, &request(&any())).expect("found").next_at;
        assert_eq!(next_at, expected.map(|later| NOW + Duration::from_millis(later)), "{columns}");
    }
}

/// The newest of each connection.
#[test]
fn a_number_is_restricted_by_messages_held_for_quality() {
    let (_folder, store) = Store::in_new_folder();
    let found = || store.restricted(NOW).expect("read");
    let held = |what: &str, code: &str, after_ms: u64, columns: &str| {
        let columns =
            format!("state = 'held', held_for = 'quality', code = {code}, changed_at = ?2, {columns}");
        store
            .set(waits(&store, what), &columns, &[&(NOW + Duration::from_millis(after_ms)).0])
            .expect("held");
    };
    held("ana@other door info", "131048", 0, "bare = 0");
    held("ana@other door info", "NULL", 1, "bare = 0");
    held("ana@other door info", "131048", 1, "held_for = 'budget'");
    held("ana@other door info", "131048", 1, "state = 'queued'");
    assert_eq!(found(), []);
    held("nino door info", "131048", 1, "bare = 0");
    held("dato door info", "131064", 3, "bare = 0");
    held("nino door info", "131048", 2, "bare = 0");
    held("nino@other door info", "131048", 1, "bare = 0");
    let at = |later| NOW + Duration::from_millis(later);
    assert_eq!(found(), [(lane("main", "dato"), 131_064, at(3)), (lane("other", "nino"), 131_048, at(1))]);
}

#[test]
fn what_leaves_next_is_found_without_walking_through_what_waits() {
    let (_folder, store) = Store::in_new_folder();
    let to = Recipient::parse("+4915112345678").expect("a number");
    let write = |_: &Store| {
        for message in 0..1_000 {
            let lane = Conversation {
                connection: ConnectionName(["main", "other"][message % 2].into()),
                contact: ContactId(["ana", "ben"][message / 2 % 2].into()),
            };
            store.compose(&lane, &to, &Content::text("hot"), NOW)?;
        }
        Ok(())
    };
    store.transaction(write).expect("written");
    assert_eq!(look(&store, &any()).len(), 4, "one a lane");
    for question in [NEXT_CONTACT, NEXT_CONNECTION] {
        let asked = store.sql.prepare_cached(question).expect("the one of before");
        let steps = asked.get_status(StatementStatus::VmStep);
        assert!((1..250).contains(&steps), "{steps} steps for 1,000 messages: {question}");
    }
}

/// Eight alerts in half a minute, where Meta takes five messages: what is more leaves in digests. One by one, with
/// what a rest of 6 s brings back taken for room again, the oldest waited 0.5 s longer each second.
#[test]
fn a_steady_overload_never_delays_a_person_long() {
    const EVERY: Duration = Duration::from_millis(3_750);
    let (_folder, store) = Store::in_new_folder();
    store
        .sql
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF")
        .expect("no alert is needed");
    let lane = Conversation { connection: "main".into(), contact: "nino".into() };
    let (to, content) = (Recipient::parse("+15550100123").expect("a number"), Content::text("hot"));
    let message = |at: Timestamp| NewMessage {
        connection: &lane.connection,
        contact: &lane.contact,
        to: &to,
        alert: Some(AlertId(1)),
        severity: Severity::Warning,
        content: &content,
        on_unknown: OnUnknown::Retry,
        exempt: false,
        created_at: at,
        expires_at: at + Duration::from_secs(86_400),
    };
    let (mut sender, mut dice) = (Scheduler::new(BTreeMap::new()), Rng::seeded(1));
    let (mut written, mut requests, mut oldest, nobody) = (0, 0, Duration::ZERO, People::default());
    for tick in 0..4 * 900 {
        let now = NOW + Duration::from_millis(250) * tick;
        if now >= NOW + EVERY * written {
            store.insert_message(&message(now)).expect("written");
            written += 1;
        }
        let mut inputs = VecDeque::from([SchedulerInput::Wake]);
        while let Some(input) = inputs.pop_front() {
            for effect in sender.handle(input, now, &mut dice) {
                inputs.extend(match effect {
                    SchedulerEffect::Look(wanted) => store.look(now, &wanted).map(SchedulerInput::Lanes).ok(),
                    SchedulerEffect::Merge(lanes) => {
                        store.merge(&lanes, &nobody, now).map(|()| SchedulerInput::Merged).ok()
                    }
                    SchedulerEffect::Load(ids) => {
                        store.load(now, &ids, &nobody).map(SchedulerInput::Loaded).ok()
                    }
                    SchedulerEffect::Commit(change) => {
                        store.change(&change, now).expect("written");
                        match change {
                            MessageUpdate::Sending { id, .. } => Some(SchedulerInput::SendingCommitted(id)),
                            MessageUpdate::Settled(settled) => {
                                Some(SchedulerInput::SettledCommitted(settled.id))
                            }
                            MessageUpdate::Held { .. } | MessageUpdate::SetBack { .. } => None,
                        }
                    }
                    SchedulerEffect::Post(under_way) => {
                        requests += 1;
                        Some(SchedulerInput::Answered(
                            under_way.0.id,
                            ApiAnswer::Accepted(Wamid(format!("wamid.{requests}")).into()),
                        ))
                    }
                    SchedulerEffect::Upload(_)
                    | SchedulerEffect::WakeAt(_)
                    | SchedulerEffect::Paused { .. }
                    | SchedulerEffect::Resumed { .. } => None,
                });
            }
        }
        let waits = "SELECT min(created_at) FROM message WHERE state = 'queued' AND digest IS NULL";
        let since: Option<i64> = store.sql.query_row(waits, [], |row| row.get(0)).expect("asked");
        oldest = oldest.max(since.map_or(Duration::ZERO, |since| Timestamp(since).until(now)));
    }
    assert!(oldest <= Duration::from_secs(6), "{oldest:?} behind after {requests} requests for {written}");
}

/// So that what is said of an alert arrives in its order, and nobody else waits for a slow camera.
#[test]
fn uploads_delay_only_messages_of_the_same_alert() {
    let (_folder, store) = Store::in_new_folder();
    let waiting =
        ["nino door critical", "nino door info", "nino pump info", "nino gate warning", "ann door info"];
    let [pictured, ended, pump, gate, ann] = all_wait(&store, &waiting)[..] else { panic!("five") };
    for sql in [
        format!("UPDATE message SET files = 1, mergeable = 0 WHERE id IN ({pictured}, {gate})"),
        format!(
            "UPDATE message SET alert = (SELECT alert FROM message WHERE id = {pictured}) WHERE id = {ended}"
        ),
    ] {
        store.sql.execute_batch(&sql).expect("set");
    }
    let heads = |wanted: &Kept| -> Vec<MessageId> { look(&store, wanted).iter().map(|due| due.id).collect() };
    let while_uploading =
        |ready: Option<MessageId>| Kept { uploads: [(lane("main", "nino"), ready)].into(), ..any() };
    assert_eq!(heads(&any()), [pictured, ann]);
    assert_eq!(heads(&while_uploading(None)), [pump, ann], "neither another file nor the end of its alert");
    assert_eq!(heads(&Kept { uploads_full: true, ..any() }), [pump, ann]);
    assert_eq!(heads(&while_uploading(Some(gate))), [gate, ann], "the other file waits for its turn");
    assert_eq!(heads(&while_uploading(Some(pictured))), [pictured, ann], "its files are there");
    let lapsed = |ready| store.look(NOW, &request(&while_uploading(ready))).expect("found").lapsed;
    assert!(lapsed(None).is_empty() && lapsed(Some(pictured)).is_empty());
    store.advance(pictured, &Next::to(State::Cancelled, "no more"), NOW).expect("cancelled");
    assert_eq!(lapsed(Some(pictured)), [pictured]);
}
