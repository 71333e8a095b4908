//! A clock that is set back while the gateway does not run.

use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp(1_795_240_800_000);

/// Seed 1 of the simulation: the power went, and the clock came back 27 minutes early. What was to wait for a receipt for
/// 15 s would have waited for 27 minutes.
#[test]
fn what_waits_for_a_time_waits_no_longer_after_a_start_whose_clock_is_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &mut Dice::seeded(1)).expect("opens");
    let row = |id: i64, state: &str, changed: i64, not_before: i64| {
        let insert = "INSERT INTO message (id, connection, contact, address, severity, content, on_unknown,
            created_at, expires_at, state, changed_at, not_before, reason, mergeable, checksum)
            VALUES (?1, 'main', 'nino', '+15550100001', 2, '{}', 'retry', ?3, ?3 + 86400000, ?2, ?3, ?4, 'it waits', 0, x'00')";
        store.sql.execute(insert, params![id, state, changed, not_before]).expect("inserted");
    };
    let later = NOW.0 + 27 * 60_000;
    row(1, "unknown", later, later + 15_000);
    row(2, "queued", later, later + 3_600_000);
    row(3, "queued", NOW.0 - 1_000, NOW.0 + 86_400_000); // from before, and not yet over
    row(4, "queued", later, 0);
    row(5, "held", later, 0);
    let waits = |id: i64| -> i64 {
        let read = "SELECT max(not_before - ?2, 0) FROM message WHERE id = ?1";
        store.sql.query_row(read, [id, NOW.0], |row| row.get(0)).expect("a row")
    };
    for _ in 0..2 {
        store.recover(NOW).expect("recovered"); // a second start moves nothing again
        assert_eq!([1, 2, 3, 4, 5].map(waits), [15_000, 3_600_000, 86_400_000, 0, 0]);
    }
    store.recover(Timestamp(5_000)).expect("recovered"); // a clock that was never set knows nothing
    assert_eq!([1, 2, 3].map(waits), [15_000, 3_600_000, 86_400_000]);
}

/// Who ran when it was set back has moved what waits already.
#[test]
fn what_has_gone_back_with_the_clock_does_not_go_back_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &mut Dice::seeded(1)).expect("opens");
    let lane = Lane { connection: "main".into(), contact: "nino".into() };
    let to = Recipient::parse("+15550100123").expect("a number");
    let hour = Duration::from_secs(3_600);
    let id = store.compose(&lane, &to, &Content::text("hot"), NOW + hour).expect("composed");
    store.set(id, "not_before = ?2", &[&(NOW + hour * 2).0]).expect("it waits");
    store.change(&Change::SetBack { by: hour }, NOW).expect("set back");
    store.recover(NOW).expect("recovered");
    let waits: i64 =
        store.sql.query_row("SELECT not_before FROM message", [], |row| row.get(0)).expect("a row");
    assert_eq!(Timestamp(waits), NOW + hour);
}
