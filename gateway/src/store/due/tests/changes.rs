//! Which lanes are looked at again.

use super::*;

/// Whatever statement it was: a mark that is missing is a message that waits until the next start.
#[test]
fn only_a_changed_lane_is_read_again() {
    let (_folder, store) = Store::in_new_folder();
    let ids = all_wait(&store, &["nino door warning", "dato door warning", "ana door warning"]);
    let seen = |all, since: Timestamp, now| {
        let report = store
            .look(now, &LaneRequest { all, since, next_at: Some(now), ..LaneRequest::default() })
            .expect("found");
        report.lanes.into_iter().map(|(lane, _)| lane.contact.0).collect::<Vec<_>>().join(" ")
    };
    let changed = || seen(false, NOW, NOW);
    assert_eq!(seen(true, NOW, NOW), "ana dato nino");
    assert_eq!(changed(), "");
    let [nino, dato, ana] = ids[..] else { panic!("three") };
    for (sql, expected) in [
        (format!("UPDATE message SET state = 'held' WHERE id = {nino}"), "nino"),
        (format!("UPDATE message SET reason = 'x' WHERE id = {nino}"), ""),
        (format!("UPDATE message SET state = 'queued' WHERE id = {nino}"), "nino"),
        (format!("UPDATE message SET digest = {ana} WHERE id = {dato}"), "dato"),
        (format!("UPDATE message SET digest = NULL, severity = 2 WHERE id = {dato}"), "dato"),
        (format!("UPDATE message SET contact = 'eve' WHERE id = {dato}"), "dato eve"),
        (format!("DELETE FROM message WHERE id = {dato}"), "eve"),
        ("UPDATE message SET not_before = 1900000000009".to_owned(), "ana nino"),
    ] {
        store.sql.execute_batch(&sql).expect("changed");
        assert_eq!(changed(), expected, "{sql}");
    }
    assert_eq!(seen(false, NOW, NOW + Duration::from_millis(8)), "");
    assert_eq!(seen(false, NOW, NOW + Duration::from_millis(9)), "ana nino", "their time has come");
    waits(&store, "ben door warning");
    assert_eq!(changed(), "ben");
    let other = rusqlite::Connection::open(store.directory.join("bellwire.db")).expect("opens");
    other.execute_batch("UPDATE message SET not_before = 0").expect("written");
    assert_eq!(changed(), "ana ben nino", "another process wrote");
    assert_eq!(changed(), "");
}
