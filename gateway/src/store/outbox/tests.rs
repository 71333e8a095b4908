//! What the clock does to what waits, what may leave, and what is known of it.

use std::time::Duration;

use super::*;
use crate::alert::message::{Media, Part};

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn composed(store: &Store, content: &Content, at: Timestamp) -> (Lane, MessageId) {
    let lane = Lane { connection: "main".into(), contact: "nino".into() };
    let to = Recipient::parse("+15550100123").expect("a number");
    let id = store.compose(&lane, &to, content, at).expect("composed");
    (lane, id)
}

/// Seed 205 of the simulation: accepted in 1970, tried again by an operator once the clock was right, and then the power
/// and the clock were lost again. Its end must not move with the others' by half a century.
#[test]
fn a_clock_that_is_lost_twice_moves_no_time_twice() {
    let (_folder, store) = Store::in_new_folder();
    let row = |id: i64, created: i64, expires: i64, not_before: i64| {
        let insert = "INSERT INTO message (id, connection, contact, address, severity, content, on_unknown,
            created_at, expires_at, state, changed_at, not_before, reason, mergeable, checksum)
            VALUES (?1, 'main', 'nino', '+15550100001', 2, '{}', 'retry', ?2, ?3, 'queued', ?2, ?4, 'it waits', 0, x'00')";
        store.sql.execute(insert, [id, created, expires, not_before]).expect("inserted");
    };
    let now = NOW;
    row(1, 5_000, now.0 + 60_000, now.0 + 30_000);
    row(2, 5_000, 65_000, 0);
    row(3, 5_000, 65_000, 9_000);
    store.tend(now).expect("tended");
    let times = |id: i64| -> (i64, i64, i64) {
        let read = "SELECT created_at - ?2, expires_at - ?2, not_before FROM message WHERE id = ?1";
        let found = store.sql.query_row(read, [id, now.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        found.expect("a row")
    };
    assert_eq!(times(1), (0, 60_000, now.0 + 30_000));
    assert_eq!(times(2), (0, 60_000, 0));
    assert_eq!(times(3), (0, 60_000, now.0 + 4_000));
}

/// Each look at what may leave tends first: with a million that had been tried, an event took 3 ms.
#[test]
fn what_was_tried_and_waits_again_is_not_walked_through() {
    let (_folder, store) = Store::in_new_folder();
    for _ in 0..500 {
        composed(&store, &Content::text("hot"), NOW);
    }
    store.sql.execute("UPDATE message SET not_before = ?1", [NOW.0]).expect("tried");
    store.tend(NOW + Duration::from_secs(60)).expect("tended");
    let asked = store.sql.prepare_cached(OVER).expect("the one of before");
    let steps = asked.get_status(rusqlite::StatementStatus::VmStep);
    assert!((1..100).contains(&steps), "{steps} steps");
}

/// RELIABILITY F17: only the step from a clock that was never set to one that is right moves what waits.
#[test]
fn a_clock_that_is_still_wrong_or_was_never_moves_no_time() {
    let wrong = Timestamp(5_000);
    for (at, state, now, moves) in [
        (wrong, "queued", Timestamp(6_000), false),
        (wrong, "queued", NOW, true),
        (wrong, "delivered", NOW, false),
        (NOW, "queued", NOW + Duration::from_secs(60), false),
    ] {
        let (_folder, store) = Store::in_new_folder();
        let (_, id) = composed(&store, &Content::text("x"), at);
        store.sql.execute("UPDATE message SET state = ?1", [state]).expect("changed");
        store.tend(now).expect("tended");
        let read = "SELECT created_at, expires_at FROM message WHERE id = ?1";
        let times = store.sql.query_row(read, [id.0], |row| Ok((row.get(0)?, row.get(1)?)));
        let begins = if moves { now } else { at };
        assert_eq!(times.expect("a row"), (begins.0, (begins + DAY).0), "{state} at {now:?}");
    }
}

#[test]
fn what_is_too_old_or_held_by_then_does_not_leave() {
    let wrong = Timestamp(5_000);
    let millisecond = Duration::from_millis(1);
    for (composed_at, is_held, now, may_leave) in [
        (NOW, false, NOW + DAY - millisecond, true),
        (NOW, false, NOW + DAY, false),
        (NOW, true, NOW, false),
        (wrong, false, wrong + DAY, true), // nobody knows how old it is
    ] {
        let (_folder, store) = Store::in_new_folder();
        let (_, id) = composed(&store, &Content::text("x"), composed_at);
        if is_held {
            store.hold(id, NOW).expect("possible");
        }
        let sending = Change::Sending { id, attempt: 1, form: Form::Free, at: now };
        assert_eq!(store.change(&sending, now).expect("written"), may_leave, "{composed_at:?} {now:?}");
        assert_eq!(store.state(id).expect("read") == Some(State::Sending), may_leave);
    }
}

/// A file is left out once, not for ever.
#[test]
fn a_message_has_a_file_until_it_was_refused() {
    let (_folder, store) = Store::in_new_folder();
    let part = Some(Part::Image(Media::Link("https://example.org/door.jpg".into())));
    let (lane, picture) = composed(&store, &Content { part, ..Content::text("x") }, NOW);
    let (_, words) = composed(&store, &Content::text("x"), NOW);
    let has_media = |id| store.case(id).expect("read").expect("a row").1.has_media;
    assert_eq!([picture, words].map(has_media), [true, false]);
    let refused = Next { learned: Some(Learned::MediaRefused), ..Next::to(State::Queued, "without it") };
    store.learn(&lane, picture, &refused, NOW).expect("written");
    assert_eq!([picture, words].map(has_media), [false, false]);
}
