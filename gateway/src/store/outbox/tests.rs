//! What the clock does to what waits, what may leave, and what is known of it.

mod set_back;

use std::time::Duration;

use super::*;
use crate::outbox::message::{Media, Part};
use crate::store::clock::OVER;
use crate::store::due::WATCH;

const NOW: Timestamp = Timestamp(1_795_240_800_000);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn composed(store: &Store, content: &Content, at: Timestamp) -> (Conversation, MessageId) {
    let lane = Conversation { connection: "main".into(), contact: "nino".into() };
    let to = Recipient::parse("+15550100123").expect("a number");
    let id = store.compose(&lane, &to, content, at).expect("composed");
    (lane, id)
}

/// A row as it stands after other times: when it was written, is too old, and may leave.
fn waits(store: &Store, id: i64, state: &str, [written, expires, not_before]: [i64; 3]) {
    let insert = "INSERT INTO message (id, connection, contact, address, severity, content, on_unknown,
        created_at, expires_at, state, changed_at, not_before, reason, mergeable, checksum)
        VALUES (?1, 'main', 'nino', '+15550100001', 2, '{}', 'retry', ?3, ?4, ?2, ?3, ?5, 'it waits', 0, x'00')";
    store.sql.execute(insert, params![id, state, written, expires, not_before]).expect("inserted");
}

/// Seed 205 of the simulation: accepted in 1970, tried again by an operator once the clock was right, and then the power
/// and the clock were lost again. Its end must not move with the others' by half a century.
#[test]
fn a_clock_that_is_lost_twice_moves_no_time_twice() {
    let (_folder, store) = Store::in_new_folder();
    let row =
        |id, created: i64, expires, not_before| waits(&store, id, "queued", [created, expires, not_before]);
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

/// Seed 1000392 of the simulation: withdrawn at a start, and sent by an operator after that.
#[test]
fn a_withdrawn_unknown_message_is_marked_when_resent() {
    for (state, marked) in [("unknown", 1_i64), ("queued", 0), ("held", 0)] {
        let (_folder, store) = Store::in_new_folder();
        waits(&store, 1, state, [NOW.0, NOW.0 + 60_000, 0]);
        store.withdraw(&[MessageId(1)], "nobody is told any more", NOW).expect("withdrawn");
        store.retry(MessageId(1), NOW).expect("queued again");
        let read = "SELECT possible_duplicate FROM message WHERE id = 1";
        let found: i64 = store.sql.query_row(read, [], |row| row.get(0)).expect("a row");
        assert_eq!(found, marked, "{state}");
    }
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

/// docs/reliability.md F17: only the step from a clock that was never set to one that is right moves what waits.
#[test]
fn only_the_first_correct_clock_moves_waiting_messages() {
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
fn expired_or_held_messages_do_not_leave() {
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
        let sending = MessageUpdate::Sending { id, attempt: 1, form: MessageForm::Free, at: now };
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
    store.learn(&lane, picture, &refused, NOW, None).expect("written");
    assert_eq!([picture, words].map(has_media), [false, false]);
}

/// Three alerts and an answer wait for somebody, and the first two are in a digest; the digest's number, and the others'.
fn digest_of_two(store: &Store) -> [MessageId; 5] {
    let (lane, digest) = composed(store, &Content::text("two"), NOW);
    let insert = "INSERT INTO alert (rule, severity, bindings, raised_at) VALUES ('door', 1, '{}', 0)";
    store.sql.execute(insert, []).expect("an alert");
    let row = |alert: Option<i64>| {
        let message = NewMessage {
            connection: &lane.connection,
            contact: &lane.contact,
            to: &Recipient::parse("+15550100123").expect("a number"),
            alert: alert.map(AlertId),
            severity: Severity::Warning,
            content: &Content::text("door"),
            on_unknown: OnUnknown::Retry,
            exempt: false,
            created_at: NOW,
            expires_at: NOW + DAY,
        };
        store.insert_message(&message).expect("written")
    };
    let [first, second, alone, answer] = [Some(1), Some(1), Some(1), None].map(row);
    for id in [first, second] {
        store.set(id, "digest = ?2", &[&digest.0]).expect("written");
    }
    [digest, first, second, alone, answer]
}

/// Each member keeps its row, and has the outcome of the message that carries it.
#[test]
fn a_digests_members_follow_its_state() {
    let (_folder, store) = Store::in_new_folder();
    let [digest, first, second, alone, answer] = digest_of_two(&store);
    let all = "state, changed_at, not_before, reason, held_for, attempts, form, possible_duplicate";
    let row = |id: MessageId| {
        let found = store.dump(&format!("SELECT {all} FROM message WHERE id = {id}"));
        found.expect("read").remove(0)
    };
    let before = [alone, answer].map(row);
    let later = |minutes| NOW + Duration::from_secs(60) * minutes;
    let leaves = |attempt| {
        let sending =
            MessageUpdate::Sending { id: digest, attempt, form: MessageForm::Free, at: later(attempt) };
        assert!(store.change(&sending, later(attempt)).expect("written"));
    };
    let step = |step: &str| match step {
        "sending" => leaves(2),
        "unknown" => drop(store.recover(later(3)).expect("recovered")),
        "queued" => store.tend(later(4)).expect("tended"),
        "held" => store.hold(digest, later(5)).expect("possible"),
        word => {
            let state = State::parse(word).expect("a state");
            store.advance(digest, &Next::to(state, word), later(6)).expect("written");
        }
    };
    for state in ["sending", "unknown", "queued", "held", "delivered"] {
        step(state);
        let now = row(digest);
        assert!(now.starts_with(&format!("{state} ")), "{now}");
        assert_eq!([first, second].map(row), [now.clone(), now], "{state}");
        assert_eq!([alone, answer].map(row), before, "{state}");
    }
    assert_eq!(row(digest), format!("delivered {} 0 delivered - 2 free 1", later(6).0));
}

/// An alert, the digest that carries two others, and an answer: where each is once it was to go there.
#[test]
fn requeued_messages_to_opted_out_people_wait_for_start() {
    let moves = |has_stopped: bool, to: &Next| {
        let (_folder, store) = Store::in_new_folder();
        let ids = digest_of_two(&store);
        if has_stopped {
            store.sql.execute("INSERT INTO person (contact, stopped) VALUES ('nino', 1)", []).expect("told");
        }
        let [digest, _, _, alone, answer] = ids;
        for id in [digest, alone, answer] {
            store.advance(id, to, NOW).expect("written");
        }
        store.dump("SELECT state || coalesce(' ' || held_for, '') FROM message ORDER BY id").expect("read")
    };
    let window = Next { held_for: Some(HeldFor::Window), ..Next::to(State::Held, "it waits") };
    let (queued, accepted) = (Next::to(State::Queued, "again"), Next::to(State::Accepted, "Meta has it"));
    let held = "held consent";
    for (has_stopped, to, expected) in [
        (false, &queued, ["queued"; 5]),
        (true, &queued, [held, held, held, held, "queued"]),
        (false, &accepted, ["accepted"; 5]),
        (true, &accepted, ["accepted"; 5]),
        (true, &window, ["held window"; 5]),
    ] {
        assert_eq!(moves(has_stopped, to), expected, "{has_stopped} {to:?}");
    }
}

/// Promise P3: what was under way at the end may have gone out. The grace time doubles with each try.
#[test]
fn interrupted_sends_are_unknown_and_wait_longer_each_time() {
    for (tries, seconds) in [(0, 15), (1, 30), (2, 60), (9, 900)] {
        let (_folder, store) = Store::in_new_folder();
        let (_, id) = composed(&store, &Content::text("x"), NOW);
        store.set(id, "tries = ?2", &[&tries]).expect("changed");
        let sending = MessageUpdate::Sending { id, attempt: tries + 1, form: MessageForm::Free, at: NOW };
        assert!(store.change(&sending, NOW).expect("written"));
        assert_eq!(store.recover(NOW).expect("recovered"), 1);
        let row = store.dump("SELECT state, tries, not_before FROM message").expect("read");
        assert_eq!(row, [format!("unknown {} {}", tries + 1, (NOW + Duration::from_secs(seconds)).0)]);
        let told = store.dump("SELECT ended_at, outcome FROM attempt").expect("read");
        assert_eq!(told, ["- the gateway stopped before the answer came"]);
        assert_eq!(store.recover(NOW).expect("recovered"), 0);
    }
}

/// A table that SQLite makes beside a write has a page cache of its own: one in a trigger cost a tenth of what a message cost.
#[test]
fn writing_a_row_makes_no_table_beside_it() {
    let (_folder, store) = Store::in_new_folder();
    store.sql.execute_batch(WATCH).expect("watched");
    let column = |sql: &str, at: usize| -> Vec<String> {
        let mut rows = store.sql.prepare(sql).expect(sql);
        rows.query_map([], |row| row.get(at)).expect(sql).collect::<Result<_>>().expect(sql)
    };
    let tables = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND wr = 0";
    let mut beside = Vec::new();
    for table in column(tables, 0).iter().filter(|name| !name.starts_with("sqlite_")) {
        let set: Vec<String> = column(&format!("SELECT name FROM pragma_table_info('{table}')"), 0)
            .iter()
            .map(|name| format!("\"{name}\" = 1"))
            .collect();
        for write in [
            format!("INSERT INTO {table} DEFAULT VALUES"),
            format!("UPDATE {table} SET {} WHERE rowid = 1", set.join(", ")),
            format!("DELETE FROM {table} WHERE rowid = 1"),
        ] {
            let steps = column(&format!("EXPLAIN {write}"), 1);
            beside.extend(steps.contains(&"OpenEphemeral".to_owned()).then_some(write));
        }
    }
    assert_eq!(beside, Vec::<String>::new());
}
