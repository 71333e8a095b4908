//! A clock that is set back while the gateway does not run.

use super::*;

/// Seed 1 of the simulation: the power went, and the clock came back 27 minutes early. What was to wait for a receipt for
/// 15 s would have waited for 27 minutes.
#[test]
fn a_start_with_a_slow_clock_lengthens_no_wait() {
    let (_folder, store) = Store::in_new_folder();
    let row = |id, state: &str, changed: i64, not_before| {
        waits(&store, id, state, [changed, changed + 86_400_000, not_before]);
    };
    let later = NOW.0 + 27 * 60_000;
    row(1, "unknown", later, later + 15_000);
    row(2, "queued", later, later + 3_600_000);
    row(3, "queued", NOW.0 - 1_000, NOW.0 + 86_400_000); // from before, and not yet over
    row(4, "queued", later, 0);
    row(5, "held", later, 0);
    let left = |id: i64| -> i64 {
        let read = "SELECT max(not_before - ?2, 0) FROM message WHERE id = ?1";
        store.sql.query_row(read, [id, NOW.0], |row| row.get(0)).expect("a row")
    };
    for _ in 0..2 {
        store.recover(NOW).expect("recovered"); // a second start moves nothing again
        assert_eq!([1, 2, 3, 4, 5].map(left), [15_000, 3_600_000, 86_400_000, 0, 0]);
    }
    store.recover(Timestamp(5_000)).expect("recovered"); // a clock that was never set knows nothing
    assert_eq!([1, 2, 3].map(left), [15_000, 3_600_000, 86_400_000]);
}

/// Who ran when it was set back has moved what waits already.
#[test]
fn a_clock_set_back_moves_times_once() {
    let (_folder, store) = Store::in_new_folder();
    let lane = Conversation { connection: "main".into(), contact: "nino".into() };
    let to = Recipient::parse("+15550100123").expect("a number");
    let hour = Duration::from_secs(3_600);
    let id = store.compose(&lane, &to, &Content::text("hot"), NOW + hour).expect("composed");
    store.set(id, "not_before = ?2", &[&(NOW + hour * 2).0]).expect("it waits");
    store.change(&MessageUpdate::SetBack { by: hour }, NOW).expect("set back");
    store.recover(NOW).expect("recovered");
    let waits: i64 =
        store.sql.query_row("SELECT not_before FROM message", [], |row| row.get(0)).expect("a row");
    assert_eq!(Timestamp(waits), NOW + hour);
}
