use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rusqlite::StatementStatus;

use super::*;
use crate::alert::delivery::Answer;
use crate::alert::outbox::Change;
use crate::alert::sender::{Effect, Input, Sender};
use crate::chance::Dice;
use crate::ids::Wamid;

const NOW: Timestamp = Timestamp(1_900_000_000_000);

fn lane() -> Lane {
    Lane { connection: "main".into(), contact: "nino".into() }
}

fn to() -> Recipient {
    Recipient::parse("+15550100123").expect("a number")
}

/// A store that asks for no alert behind a message.
fn empty() -> (tempfile::TempDir, Store) {
    let (folder, store) = Store::in_new_folder();
    store.sql.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF").expect("set");
    (folder, store)
}

fn warn(store: &Store, at: Timestamp) {
    let (lane, to, content) = (lane(), to(), Content::text("hot"));
    let message = NewMessage {
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
    store.insert_message(&message).expect("written");
}

#[test]
fn what_leaves_next_is_found_without_walking_through_what_waits() {
    let (_folder, store) = Store::in_new_folder();
    let to = Recipient::parse("+4915112345678").expect("a number");
    let write = |_: &Store| {
        for message in 0..1_000 {
            let lane = Lane {
                connection: ConnectionName(["main", "other"][message % 2].into()),
                contact: ContactId(["ana", "ben"][message / 2 % 2].into()),
            };
            store.compose(&lane, &to, &Content::text("hot"), NOW)?;
        }
        Ok(())
    };
    store.transaction(write).expect("written");
    let wanted = Wanted { limit: 10, ..Wanted::default() };
    let work = store.work(NOW, &wanted, &People::default()).expect("found");
    assert_eq!(work.due.len(), 4, "one a lane");
    for (closed, open) in [("main", "other"), ("other", "main")] {
        let wanted = Wanted { closed_connections: vec![closed.into()], ..wanted.clone() };
        let due = store.work(NOW, &wanted, &People::default()).expect("found").due;
        let lanes: Vec<_> = due.iter().map(|due| (&*due.lane.connection.0, &*due.lane.contact.0)).collect();
        assert_eq!(lanes, [(open, "ana"), (open, "ben")]);
    }
    for question in [NEXT_CONTACT, NEXT_CONNECTION] {
        let asked = store.sql.prepare_cached(question).expect("the one of before");
        let steps = asked.get_status(StatementStatus::VmStep);
        assert!((1..250).contains(&steps), "{steps} steps for 1,000 messages: {question}");
    }
}

#[test]
fn an_answer_does_not_wait_for_the_digest_that_rests() {
    let (_folder, store) = empty();
    let lane = lane();
    for _ in 0..3 {
        warn(&store, NOW);
    }
    let answer = store.compose(&lane, &to(), &Content::text("done"), NOW).expect("written");
    let of = BTreeSet::from([lane]);
    let leaving = |wanted: &Wanted| {
        let work = store.work(NOW, wanted, &People::default()).expect("found");
        work.due.iter().map(|due| due.id).collect::<Vec<_>>()
    };
    let resting = Wanted { resting: of.clone(), pressed: of.clone(), limit: 1, ..Wanted::default() };
    assert_eq!(leaving(&resting), [answer]);
    store.hold(answer, NOW).expect("possible");
    assert_eq!(leaving(&resting), []);
    let rested = Wanted { resting: BTreeSet::new(), ..resting };
    assert_eq!(leaving(&rested), [MessageId(answer.0 + 1)], "the digest");
}

/// Eight alerts in half a minute, where Meta takes five messages: what is more leaves in digests. One by one, with
/// what a rest of 6 s brings back taken for room again, the oldest waited 0.5 s longer each second.
#[test]
fn who_is_told_more_than_meta_allows_is_never_far_behind() {
    const EVERY: Duration = Duration::from_millis(3_750);
    let (_folder, store) = empty();
    let (mut sender, mut dice) = (Sender::new(BTreeMap::new()), Dice::seeded(1));
    let (mut written, mut requests, mut oldest) = (0, 0, Duration::ZERO);
    for tick in 0..4 * 900 {
        let now = NOW + Duration::from_millis(250) * tick;
        if now >= NOW + EVERY * written {
            warn(&store, now);
            written += 1;
        }
        let mut inputs = VecDeque::from([Input::Wake]);
        while let Some(input) = inputs.pop_front() {
            for effect in sender.handle(input, now, &mut dice) {
                inputs.extend(match effect {
                    Effect::Load(wanted) => {
                        Some(Input::Loaded(store.work(now, &wanted, &People::default()).expect("found")))
                    }
                    Effect::Commit(change) => {
                        store.change(&change, now).expect("written");
                        match change {
                            Change::Sending { id, .. } => Some(Input::SendingCommitted(id)),
                            Change::Settled(settled) => Some(Input::SettledCommitted(settled.id)),
                            Change::Held { .. } | Change::SetBack { .. } => None,
                        }
                    }
                    Effect::Post(due, _) => {
                        requests += 1;
                        Some(Input::Answered(due.id, Answer::Accepted(Wamid(format!("wamid.{requests}")))))
                    }
                    Effect::WakeAt(_) | Effect::Paused { .. } | Effect::Resumed { .. } => None,
                });
            }
        }
        let waits = "SELECT min(created_at) FROM message WHERE state = 'queued' AND digest IS NULL";
        let since: Option<i64> = store.sql.query_row(waits, [], |row| row.get(0)).expect("asked");
        oldest = oldest.max(since.map_or(Duration::ZERO, |since| Timestamp(since).until(now)));
    }
    assert!(oldest <= Duration::from_secs(6), "{oldest:?} behind after {requests} requests for {written}");
}
