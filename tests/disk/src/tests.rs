use rusqlite::Connection;

use super::*;

fn open(folder: &Path, synchronous: &str) -> Connection {
    let sql = Connection::open(folder.join("some.db")).expect("opens");
    let set = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 20;"
    );
    sql.execute_batch(&set).expect("set");
    sql.execute_batch("CREATE TABLE IF NOT EXISTS word (id INTEGER PRIMARY KEY, word TEXT)").expect("made");
    sql
}

/// Draws that are the same each time.
fn draws(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |end| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % end
    }
}

/// How many words are left of `committed`, after a power cut at some call in the next commit or after it.
fn left_after(disk: &Disk, folder: &Path, seed: u64, synchronous: &str) -> (i64, i64) {
    let mut draw = draws(seed);
    let sql = open(folder, synchronous);
    let count = |sql: &Connection| -> i64 {
        sql.query_row("SELECT count(*) FROM word", [], |row| row.get(0)).expect("counted")
    };
    let say = |sql: &Connection| {
        sql.execute("INSERT INTO word (word) VALUES (hex(randomblob(300)))", []).expect("committed")
    };
    for _ in 0..draw(40) {
        say(&sql);
    }
    let committed = count(&sql);
    disk.cut_after(draw(12));
    say(&sql);
    let left = disk.cut(&mut draw);
    drop(sql);
    disk.restore(left).expect("written");
    let sql = open(folder, synchronous);
    let sound: String = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(sound, "ok");
    (committed, count(&sql))
}

#[test]
fn commits_survive_power_cuts_only_with_synchronous_full() {
    let lost = |synchronous: &str, weak: bool| {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::watch(folder.path());
        if weak {
            disk.weaken();
        }
        let runs = (0..60).map(|seed| left_after(&disk, folder.path(), seed, synchronous));
        let (mut lost, mut survived) = (0, 0);
        for (committed, left) in runs {
            assert!(left <= committed + 1);
            lost += i32::from(left < committed);
            survived += i32::from(left > committed);
        }
        assert!(survived > 0, "a commit that nobody heard of is sometimes there");
        lost
    };
    assert_eq!(lost("FULL", false), 0);
    assert!(lost("NORMAL", false) > 5);
    assert!(lost("FULL", true) > 5, "as with NORMAL");
}

#[test]
fn an_unflushed_card_loses_committed_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::watch(folder.path());
    let sql = open(folder.path(), "FULL");
    disk.lie();
    sql.execute("INSERT INTO word (word) VALUES ('gone')", []).expect("committed");
    let left = disk.cut(|_| 0);
    drop(sql);
    disk.restore(left).expect("written");
    let sql = open(folder.path(), "FULL");
    let count: i64 = sql.query_row("SELECT count(*) FROM word", [], |row| row.get(0)).expect("counted");
    assert_eq!(count, 0);
}

#[test]
fn a_full_disk_refuses_writes_until_space_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::watch(folder.path());
    let sql = open(folder.path(), "FULL");
    disk.fill(Some(1)); // in the middle of a frame
    let say = || sql.execute("INSERT INTO word (word) VALUES ('some')", []);
    let refused = say().expect_err("no room");
    assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    disk.fill(None);
    assert_eq!(say().expect("there is room"), 1);
}
